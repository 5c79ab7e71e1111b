"""Files in and out: reading photos of every common format, writing results safely.

read.py         read_frame, read_bracket, read_image, read_hdr_image: the way in
write.py        check_output, write_image, write_hdr_image: the way out
atomic.py       files that are there whole or not at all
containers.py   what a file is, by its first bytes, and its header (headers.py; base_media.py: the
                boxes of AVIF, HEIC and JPEG XL)
decode.py       samples of JPEG, PNG, WebP, AVIF, HEIC and Radiance HDR; what all have in common
tiff.py exr.py raw.py dng.py jpegxl.py av1.py   the formats that need more
encode.py       pixels to bytes of a format
gainmap.py gainmap_facts.py   the gain map that makes a JPEG HDR, and the file around it
rgbe.py         pixels of Radiance HDR
avif.py jpeg.py         boxes and segments that encoders leave out
exif.py metadata.py     the Exif block, and what of it matters
icc.py colours.py   colour profiles, and colours that a file tells by numbers
"""

"""From pixels to a file of each format, with the profile and the Exif block in their places.

Every encoder writes to the path it is given; that it is a temporary one is `atomic.py`'s affair.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any, Final

import cv2
import imagecodecs
import numpy as np
from numpy.typing import NDArray

from ..bracket import Metadata, Space
from ..errors import FileReadError
from ..pixels import color
from ..pixels.stripes import for_each_stripe
from . import avif, gainmap, icc
from .colours import BT709_CHROMATICITIES
from .dng_write import encode_dng
from .exif import (
    BYTE,
    LONG,
    SUB_DIRECTORIES,
    UNDEFINED,
    ExifBlock,
    Tags,
    TiffReader,
    Value,
    build_directories,
    build_exif,
)
from .jpeg import APP1, APP2, APP13, MAX_BODY_BYTES, head_end, segment
from .metadata import SOFTWARE
from .packets import IPTC_TAG, PNG_KEYWORD, XMP_NAME, XMP_TAG, photoshop_resources
from .xmp import descriptions_of

# Chroma at full resolution from this quality on: fused edges between colours stay sharp.
_FULL_CHROMA_QUALITY: Final = 90
# libavif's scale: 10 is fastest. Slower ones save a few percent and take many times as long.
_AVIF_SPEED: Final = 8
# libjxl's scale: 1 is fastest.
_JPEGXL_EFFORT: Final = 1
_ROWS_AT_ONCE: Final = 256
_HALF_MAX: Final = 65504.0


@dataclass(frozen=True)
class Extras:
    """What goes into a file beside the pixels.

    quality: 1..100 for the lossy formats. depth: bits per sample. block: Exif directories.
    xmp: a packet. iptc: records of IPTC's IIM.
    """

    quality: int
    depth: int
    icc_profile: bytes
    block: ExifBlock
    metadata: Metadata
    xmp: bytes | None = None
    iptc: bytes | None = None

    @property
    def exif(self) -> bytes:
        """The Exif block in bytes."""
        return build_exif(self.block)


Encoder = Callable[[Path, NDArray[Any], Extras], None]


# As above, and the HDR rendition: (H, W, 3) float32, linear, 1.0 = SDR white.
HdrEncoder = Callable[[Path, NDArray[Any], NDArray[np.float32], Extras], None]


@dataclass(frozen=True)
class HdrVariant:
    """How a display format holds an HDR rendition too; the first of its depths is the default."""

    name: str
    depths: tuple[int, ...]
    encode: HdrEncoder


@dataclass(frozen=True)
class OutputFormat:
    """A format that results are written in; the first of its depths is the default.

    hdr: how it is written for HDR displays; None for a format that cannot be, or is linear anyway.
    alpha: whether it holds transparency. Pixels are then (H, W, 3), or (H, W, 4) with alpha last,
        which the colours are not multiplied by.
    lossy: whether there is a quality to choose.
    sensor_colours: whether it can tell colours of a sensor's own.
    """

    name: str
    suffixes: tuple[str, ...]
    space: Space
    depths: tuple[int, ...]
    max_side: int
    encode: Encoder
    hdr: HdrVariant | None = None
    alpha: bool = False
    lossy: bool = False
    sensor_colours: bool = False


def encode_jpeg(path: Path, pixels: NDArray[Any], extras: Extras) -> None:
    """Write a baseline JPEG with Exif and ICC segments right after its first one.

    Pixels: (H, W, 3 or 4).
    """
    data = _jpeg(pixels, extras.quality)
    at = head_end(data)
    with path.open("wb") as stream:
        own = _jpeg_segments(extras)
        if extras.xmp is not None:
            own.insert(1, segment(APP1, XMP_NAME + extras.xmp))
        stream.write(data[:at] + b"".join(own))
        stream.write(memoryview(data)[at:])


def _jpeg(pixels: NDArray[Any], quality: int) -> bytes:
    subsampling = "444" if quality >= _FULL_CHROMA_QUALITY else "420"
    return bytes(imagecodecs.jpeg8_encode(pixels, level=quality, subsampling=subsampling))


def _jpeg_segments(extras: Extras) -> list[bytes]:
    """The Exif segment, those of the ICC profile, and IPTC's; XMP is for the caller to add."""
    made = [segment(APP1, b"Exif\0\0" + extras.exif)]
    room = MAX_BODY_BYTES - 14
    profile = extras.icc_profile
    pieces = [profile[i : i + room] for i in range(0, len(profile), room)]
    for number, piece in enumerate(pieces, start=1):
        made.append(segment(APP2, b"ICC_PROFILE\0" + bytes((number, len(pieces))) + piece))
    if extras.iptc is not None:
        made.append(segment(APP13, photoshop_resources(extras.iptc)))
    return made


def encode_gain_map_jpeg(
    path: Path, pixels: NDArray[Any], hdr: NDArray[np.float32], extras: Extras
) -> None:
    """Write the same JPEG as `encode_jpeg`, with a gain map behind it that makes it `hdr`.

    pixels, hdr: (H, W, 3).
    """
    picture = _jpeg(pixels, extras.quality)
    decoded = np.asarray(imagecodecs.jpeg8_decode(picture))
    light = _light_of_codes(extras.icc_profile)
    codes, facts = gainmap.make_gain_map(decoded, hdr, light)
    most = 100 if extras.quality >= _FULL_CHROMA_QUALITY else extras.quality
    quality = gainmap.map_quality(decoded, hdr, codes, facts, light, most)
    del decoded
    second = gainmap.encode_gain_map(codes, facts, quality)
    del codes
    with path.open("wb") as stream:
        own = _jpeg_segments(extras)
        stream.writelines(gainmap.join_jpegs(picture, own, second, descriptions_of(extras.xmp)))


def _light_of_codes(profile: bytes) -> NDArray[np.float32]:
    try:
        return icc.light_of_codes(profile)
    except FileReadError:  # a profile that LittleCMS refuses; most viewers then take it for sRGB
        return color.srgb_to_linear(np.arange(256) / 255)


def encode_png(path: Path, pixels: NDArray[Any], extras: Extras) -> None:
    """Write a PNG of 8 or 16 bits with its profile and Exif chunks before the pixels.

    Pixels: (H, W, 3 or 4).
    """
    profile = zlib.compress(extras.icc_profile, 9)
    chunks = _png_chunk(b"iCCP", b"ICC Profile\0\0" + profile) + _png_chunk(b"eXIf", extras.exif)
    if extras.xmp is not None:
        # Not packed, in no language: so that programs find it without reading the rest.
        chunks += _png_chunk(b"iTXt", PNG_KEYWORD + b"\0\0\0\0\0" + extras.xmp)
    _write_png(path, pixels, chunks)


def encode_grey_png(path: Path, pixels: NDArray[Any]) -> None:
    """Write a grey PNG (H, W) uint8 with nothing beside the pixels."""
    _write_png(path, pixels, b"")


def _write_png(path: Path, pixels: NDArray[Any], chunks: bytes) -> None:
    # Runs after the filter "sub": a third of the usual time, and files a few percent larger.
    data = imagecodecs.png_encode(pixels, level=1, strategy=3, filter=16)
    with path.open("wb") as stream:
        stream.write(data[:33] + chunks)  # the signature and IHDR take 33 bytes
        stream.write(memoryview(data)[33:])


def _png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _saved_by_pillow(pixels: NDArray[Any], format_name: str, **how: Any) -> memoryview:
    from PIL import Image

    memory = io.BytesIO()
    Image.fromarray(pixels).save(memory, format_name, **how)
    return memory.getbuffer()


def encode_webp(path: Path, pixels: NDArray[Any], extras: Extras) -> None:
    """Write a lossy WebP. pixels: (H, W, 3 or 4)."""
    data = _saved_by_pillow(
        pixels, "WEBP", quality=extras.quality, exif=extras.exif,
        icc_profile=extras.icc_profile, method=4, xmp=extras.xmp or b"",
    )  # fmt: skip
    path.write_bytes(data)


def encode_avif(path: Path, pixels: NDArray[Any], extras: Extras) -> None:
    """Write an AVIF with Exif: of 8 bits with its profile, or of 10 or 12 bits in sRGB.

    Pixels: (H, W, 3 or 4).
    """
    if extras.depth == 8:
        subsampling = "4:4:4" if extras.quality >= _FULL_CHROMA_QUALITY else "4:2:0"
        # Given the Exif block, Pillow would take it apart and write it anew.
        plain = _saved_by_pillow(
            pixels, "AVIF", quality=extras.quality, icc_profile=extras.icc_profile,
            subsampling=subsampling, speed=_AVIF_SPEED,
        )  # fmt: skip
        path.write_bytes(avif.add_facts(bytes(plain), extras.exif, xmp=extras.xmp))
        return
    if icc.to_linear_srgb_matrix(extras.icc_profile) is not None:
        colours = np.ascontiguousarray(pixels[:, :, :3])
        colours = icc.convert(colours, extras.icc_profile, icc.srgb_profile())
        pixels = np.concatenate([colours, pixels[:, :, 3:]], axis=2)
    top = (1 << extras.depth) - 1
    codes = (pixels.astype(np.uint32) * top + 32767) // 65535
    # H.273: BT.709 primaries, sRGB curve, BT.601 matrix.
    data = imagecodecs.avif_encode(
        codes.astype(np.uint16), level=extras.quality, bitspersample=extras.depth,
        primaries=1, transfer=13, matrix=6, speed=_AVIF_SPEED, numthreads=2,
    )  # fmt: skip
    path.write_bytes(avif.add_facts(bytes(data), extras.exif, xmp=extras.xmp))


def encode_pq_avif(
    path: Path, pixels: NDArray[Any], hdr: NDArray[np.float32], extras: Extras
) -> None:
    """Write the HDR rendition as an AVIF of 10 or 12 bits: BT.2020 primaries, the PQ curve.

    pixels, hdr: (H, W, 3).

    SDR white is at 203 cd/m2 (BT.2408). The SDR picture (`pixels`) is not in the file.
    """
    matrix = color.BT2020_FROM_BT709
    wide = icc.to_linear_srgb_matrix(extras.icc_profile)
    if wide is not None:
        matrix = matrix @ wide
    matrix = (matrix * color.SDR_WHITE_NITS).astype(np.float32)
    top = np.float32((1 << extras.depth) - 1)
    codes = np.empty(hdr.shape, np.uint16)
    height, width = hdr.shape[:2]
    levels: dict[int, tuple[float, float]] = {}

    def work(start: int, stop: int) -> None:
        nits = cv2.transform(hdr[start:stop], matrix)
        brightest = nits.max(axis=2)
        levels[start] = float(brightest.max()), float(brightest.sum(dtype=np.float64))
        rows = color.pq_encode(nits)
        rows *= top
        codes[start:stop] = np.rint(rows, out=rows)

    for_each_stripe(height, width, work)
    # CTA-861.3: the brightest channel of the brightest pixel, and of all pixels on average.
    brightest = ceil(max(peak for peak, _ in levels.values()))
    average = ceil(sum(total for _, total in levels.values()) / (height * width))
    # H.273: BT.2020 primaries, PQ, BT.2020 matrix (not of constant luminance).
    data = imagecodecs.avif_encode(
        codes, level=extras.quality, bitspersample=extras.depth,
        primaries=9, transfer=16, matrix=9, speed=_AVIF_SPEED, numthreads=2,
    )  # fmt: skip
    levels_told = (brightest, average)
    path.write_bytes(avif.add_facts(bytes(data), extras.exif, levels_told, extras.xmp))


def encode_tiff(path: Path, pixels: NDArray[Any], extras: Extras) -> None:
    """Write a TIFF with deflate and a predictor, then give it the Exif directories.

    Pixels: (H, W, 3 or 4).
    """
    import tifffile

    floats = pixels.dtype == np.float32
    # Given a path, tifffile would resolve it, and a file without a name has none to resolve to.
    with path.open("w+b") as stream:
        tifffile.imwrite(
            stream,
            pixels,
            byteorder="<",
            photometric="rgb",
            extrasamples=["unassalpha"] if pixels.shape[2] == 4 else None,
            compression="zlib",
            compressionargs={"level": 1},
            predictor=3 if floats else 2,
            rowsperstrip=max(1, (1 << 20) // max(pixels[0].nbytes, 1)),
            iccprofile=extras.icc_profile,
            metadata=None,
            software=False,
            maxworkers=2,
        )
    append_exif(path, extras.block, further_tags(extras))


def further_tags(extras: Extras) -> Tags:
    """What a TIFF's first directory says beside Exif."""
    further: Tags = {}
    if extras.xmp is not None:
        further[XMP_TAG] = Value(BYTE, len(extras.xmp), extras.xmp)
    if extras.iptc is not None:
        further[IPTC_TAG] = Value(UNDEFINED, len(extras.iptc), extras.iptc)
    return further


def append_exif(path: Path, block: ExifBlock, further: Tags) -> None:
    """Write the first directory anew behind the pixels, with the Exif and GPS ones after it."""
    with path.open("r+b") as stream:

        def read_at(offset: int, size: int) -> bytes:
            stream.seek(offset)
            return stream.read(size)

        reader = TiffReader(read_at)
        if read_at(0, 4) != b"II*\0":
            return  # a BigTIFF, beyond 4 GB
        tags, _ = reader.directory(reader.first)
        end = stream.seek(0, io.SEEK_END)
        end += end % 2
        if end > 0xFFF00000:
            return
        stream.seek(end)
        if SUB_DIRECTORIES in tags:  # places are told as plain numbers, as everybody reads them
            tags[SUB_DIRECTORIES] = replace(tags[SUB_DIRECTORIES], kind=LONG)
        whole = ExifBlock(block.image | further | tags, block.photo, block.gps)
        stream.write(build_directories(whole, end))
        stream.seek(4)
        stream.write(struct.pack("<I", end))


def encode_radiance(path: Path, pixels: NDArray[Any], extras: Extras) -> None:
    """Write a Radiance .hdr: RGBE, run-length coded, rounded to the nearest mantissa.

    Pixels: (H, W, 3 or 4).
    """
    height, width = pixels.shape[:2]
    primaries = " ".join(f"{number:g}" for number in BT709_CHROMATICITIES)
    header = (
        f"#?RADIANCE\nSOFTWARE={SOFTWARE}\nPRIMARIES={primaries}\n"
        f"FORMAT=32-bit_rle_rgbe\n\n-Y {height} +X {width}\n"
    )
    with path.open("wb") as stream:
        stream.write(header.encode())
        for start in range(0, height, _ROWS_AT_ONCE):
            rows = _rounded_to_rgbe(pixels[start : start + _ROWS_AT_ONCE])
            # Run lengths may take more room than pixels; the encoder's own guess is too small.
            room = len(rows) * (8 * width + 4)
            runs = 8 <= width < 32768
            stream.write(imagecodecs.rgbe_encode(rows, header=False, rle=runs, out=room))


def _rounded_to_rgbe(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values that the encoder, which truncates, turns into the nearest mantissas."""
    brightest = np.maximum(rows.max(axis=2), np.float32(1e-38))
    _, exponents = np.frexp(brightest)
    step = np.ldexp(np.float32(1), exponents - 8)
    # The brightest may round up to 256 / 256: then the exponent is one higher.
    step = np.where(np.rint(brightest / step) > 255, 2 * step, step)[:, :, None]
    return np.asarray((np.rint(rows / step) + np.float32(0.25)) * step, np.float32)


def encode_exr(path: Path, pixels: NDArray[Any], extras: Extras) -> None:
    """Write an OpenEXR, half or float, lossless, with its primaries and the exposure facts.

    Pixels: (H, W, 3 or 4).
    """
    import OpenEXR

    channels = "RGBA" if pixels.shape[2] == 4 else "RGB"
    if channels == "RGBA":  # OpenEXR's colours are multiplied by alpha
        pixels = np.concatenate([pixels[:, :, :3] * pixels[:, :, 3:], pixels[:, :, 3:]], axis=2)
    if extras.depth == 16:
        pixels = np.minimum(pixels, np.float32(_HALF_MAX)).astype(np.float16)
    header: dict[str, Any] = {
        "compression": OpenEXR.ZIP_COMPRESSION,
        "type": OpenEXR.scanlineimage,
        "chromaticities": BT709_CHROMATICITIES,
        "software": SOFTWARE,
    }
    facts = extras.metadata
    for name, value in (
        ("expTime", facts.shutter_seconds),
        ("aperture", facts.aperture_f_number),
        ("isoSpeed", facts.iso),
        ("cameraModel", facts.camera),
        ("whiteLuminance", _white_luminance(facts)),
        ("lensModel", facts.lens),
        ("capDate", facts.taken_at[:19].replace("-", ":").replace("T", " ")
         if facts.taken_at else None),
        ("owner", _owner(extras.block)),
    ):  # fmt: skip
        if value is not None:
            header[name] = value
    # Given a path, OpenEXR tells of a full disk as a RuntimeError that names that path.
    with path.open("wb") as stream:
        OpenEXR.File(header, {channels: np.ascontiguousarray(pixels)}).write(stream)


def encode_jpegxl(path: Path, pixels: NDArray[Any], extras: Extras) -> None:
    """Write a JPEG XL, half or float, lossless, linear with sRGB primaries, with its Exif block.

    Pixels: (H, W, 3 or 4).
    """
    if extras.depth == 16:
        pixels = np.minimum(pixels, np.float32(_HALF_MAX)).astype(np.float16)
    stream = imagecodecs.jpegxl_encode(
        pixels, lossless=True, effort=_JPEGXL_EFFORT, usecontainer=True, numthreads=2
    )
    # ISO/IEC 18181-2: boxes. The Exif one, an offset of 0 before the block, goes before the pixels.
    boxes_end = stream.index(b"jxlc") - 4
    exif = b"\0\0\0\0" + extras.exif
    with path.open("wb") as file:
        file.write(memoryview(stream)[:boxes_end])
        file.write(struct.pack(">I4s", 8 + len(exif), b"Exif") + exif)
        if extras.xmp is not None:
            file.write(struct.pack(">I4s", 8 + len(extras.xmp), b"xml ") + extras.xmp)
        file.write(memoryview(stream)[boxes_end:])


def _white_luminance(facts: Metadata) -> float | None:
    """Luminance in cd/m2 of what just clips in the reference photo, 1.0; None where unknown.

    ISO 12232: a sensor of saturation-based speed S clips at 78 / S lux seconds, and a lens brings
    0.65 L t / N^2 of them from a luminance L.
    """
    if facts.shutter_seconds is None or facts.aperture_f_number is None or facts.iso is None:
        return None
    return 78 / 0.65 * facts.aperture_f_number**2 / (facts.iso * facts.shutter_seconds)


def _owner(block: ExifBlock) -> str | None:
    value = block.image.get(0x8298) or block.image.get(0x013B)  # copyright, else artist
    return (value.text() or None) if value is not None else None


OUTPUT_FORMATS: Final = (
    OutputFormat(
        "JPEG", (".jpg", ".jpeg"), "display", (8,), 65_500, encode_jpeg,
        HdrVariant("gain-map JPEG", (8,), encode_gain_map_jpeg), lossy=True,
    ),
    OutputFormat("PNG", (".png",), "display", (8, 16), 2**31 - 1, encode_png, alpha=True),
    OutputFormat(
        "TIFF", (".tif", ".tiff"), "display", (8, 16, 32), 2**31 - 1, encode_tiff, alpha=True
    ),
    OutputFormat("WebP", (".webp",), "display", (8,), 16_383, encode_webp, alpha=True, lossy=True),
    OutputFormat(
        "AVIF", (".avif",), "display", (8, 10, 12), 65_536, encode_avif,
        HdrVariant("PQ AVIF", (10, 12), encode_pq_avif), alpha=True, lossy=True,
    ),
    OutputFormat("Radiance HDR", (".hdr",), "linear", (32,), 2**31 - 1, encode_radiance),
    OutputFormat("OpenEXR", (".exr",), "linear", (16, 32), 2**31 - 1, encode_exr, alpha=True),
    OutputFormat("JPEG XL", (".jxl",), "linear", (16, 32), 2**30, encode_jpegxl, alpha=True),
    OutputFormat(
        "DNG", (".dng",), "linear", (16, 32), 2**31 - 1, encode_dng, sensor_colours=True
    ),
)  # fmt: skip
FORMAT_BY_SUFFIX: Final = {suffix: known for known in OUTPUT_FORMATS for suffix in known.suffixes}

"""What a file is and says before any pixel is decoded: format, size, orientation, Exif, ICC.

The format is told by the first bytes, never by the name. Each reader walks its container's chunks
in place and looks at nothing else, so a picture that is too large is refused before memory is
asked for. Sources: ITU-T T.81 (JPEG), PNG third edition, the WebP container specification,
ISO/IEC 14496-12 and 23008-12 (AVIF, HEIF), the Radiance file format of Ward.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import Final, Literal

from ..errors import FileReadError
from . import colours
from . import exif as exif_block
from .base_media import read_base_media_header
from .headers import ICC_LIMIT_BYTES, Damaged, Header, need

Format = Literal["jpeg", "png", "webp", "avif", "heif", "hdr", "exr", "jxl", "tiff", "raw"]

FORMAT_NAMES: Final[dict[Format, str]] = {
    "jpeg": "JPEG",
    "png": "PNG",
    "webp": "WebP",
    "avif": "AVIF",
    "heif": "HEIC",
    "hdr": "Radiance HDR",
    "exr": "OpenEXR",
    "jxl": "JPEG XL",
    "tiff": "TIFF",
    "raw": "camera RAW",
}
HEAD_BYTES: Final = 64

_HEIF_BRANDS: Final = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_AVIF_BRANDS: Final = {b"avif", b"avis"}
# Starts of the camera RAW formats that are no TIFF: Fujifilm, Minolta, Sigma, Olympus, Panasonic,
# Canon's CRW, Phase One, ARRI, Apple QuickTake, Logitech, Rollei.
_RAW_STARTS: Final = (
    b"FUJIFILMCCD-RAW",
    b"\0MRM",
    b"FOVb",
    b"IIRO",
    b"IIRS",
    b"MMOR",
    b"IIU\0",
    b"II\x1a\0\0\0HEAPCCDR",
    b"IIII",
    b"MMMM",
    b"ARRI",
    b"qktk",
    b"qktn",
    b"PXN",
    b"DSC-Image",
)


def sniff(head: bytes) -> Format | None:
    """Tell the format by a file's first `HEAD_BYTES` bytes; TIFF may still turn out to be RAW."""
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[4:8] == b"ftyp":
        return _sniff_base_media(head)
    if head.startswith((b"#?RADIANCE", b"#?RGBE")):
        return "hdr"
    if head.startswith(b"\x76\x2f\x31\x01"):
        return "exr"
    if head.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")):
        return "jxl"
    if head.startswith(_RAW_STARTS):
        return "raw"
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "raw" if head[8:10] == b"CR" else "tiff"
    return None


def _sniff_base_media(head: bytes) -> Format | None:
    size = min(struct.unpack(">I", head[:4])[0], len(head))
    brands = {head[8:12], *(head[i : i + 4] for i in range(16, size - 3, 4))}
    if b"crx " in brands:
        return "raw"
    if brands & _AVIF_BRANDS:
        return "avif"
    return "heif" if brands & _HEIF_BRANDS else None


def what_it_seems(head: bytes) -> str:
    """Say in a word or two what bytes that are no photo look like."""
    if not head.strip(b"\0"):
        return "only zeros"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:20].lower()
    for start, name in (
        (b"<!doctype html", "a web page"),
        (b"<html", "a web page"),
        (b"<?xml", "an XML file"),
        (b"<svg", "an SVG drawing"),
        (b"pk\x03\x04", "a zip archive"),
        (b"%pdf", "a PDF document"),
        (b"gif8", "a GIF picture"),
        (b"8bps", "a Photoshop document"),
        (b"\x1f\x8b", "a gzip archive"),
    ):
        if text.startswith(start):
            return name
    if head[4:8] == b"ftyp":
        return "a video"
    printable = sum(32 <= byte < 127 or byte in b"\t\r\n" for byte in head)
    return "text" if printable >= 0.95 * len(head) else "unknown data"


def read_jpeg_header(data: bytes) -> Header:
    """Walk the segments up to the first scan, then look for the end mark."""
    header: Header | None = None
    process = 0
    exif: bytes | None = None
    profile: dict[int, bytes] = {}
    offset = 2
    while True:
        offset = data.find(b"\xff", offset)
        marker = need(data, offset, 2)[1] if offset >= 0 else need(data, len(data), 1)[0]
        if marker in (0x00, 0xFF):
            offset += 1
            continue
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:
            offset += 2
            continue
        if marker == 0xD9:
            raise Damaged("it ends before its pixels begin")
        size = struct.unpack(">H", need(data, offset + 2, 2))[0]
        if size < 2:
            raise Damaged(f"the segment at byte {offset} has no length")
        body = need(data, offset + 4, size - 2)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            header, process = _jpeg_frame(marker, body), marker
        elif marker == 0xE1 and body.startswith(b"Exif\0") and exif is None:
            exif = body[6:]
        elif marker == 0xE2 and body.startswith(b"ICC_PROFILE\0") and len(body) > 14:
            profile[body[12]] = body[14:]
        elif marker == 0xDA:
            break
        offset += 2 + size
    if header is None:
        raise Damaged("its size is missing")
    # A baseline block takes two bits at least, a progressive one's first scan a bit; arithmetic
    # coding may take less.
    bits = {0xC0: 2, 0xC1: 2, 0xC2: 1}.get(process, 0)
    blocks = ceil(header.width / 8) * ceil(header.height / 8)
    header.too_short = blocks * bits > 8 * (len(data) - offset)
    header.exif = exif
    header.icc_profile = b"".join(profile[i] for i in sorted(profile)) or None
    # 0xFF inside the pixels is always followed by 0 or a restart mark, so this is the true end.
    header.complete = data.find(b"\xff\xd9", offset) >= 0
    return header


def _jpeg_frame(marker: int, body: bytes) -> Header:
    if len(body) < 6:
        raise Damaged("its frame header is too short")
    bits, height, width, samples = struct.unpack(">BHHB", body[:6])
    if marker not in (0xC0, 0xC1, 0xC2, 0xC9, 0xCA) or bits != 8 or samples not in (1, 3, 4):
        raise FileReadError(
            f"expected a JPEG of 8 bits with 1, 3 or 4 channels, found {bits} bits, {samples} "
            f"channels, process {marker - 0xC0}; export it again as an ordinary JPEG or as TIFF"
        )
    return Header(width, height, bits=bits, samples=samples)


# Deflate makes of a byte this many at most (RFC 1951: 258 of two bits).
_MOST_DEFLATED: Final = 1032
_PNG_COLOURS: Final = (b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM")


def read_png_header(data: bytes) -> Header:
    """Walk the chunks; profile and Exif may stand before or after the pixels."""
    chunks: dict[bytes, bytes] = {}
    packed = 0
    if need(data, 12, 4) != b"IHDR":
        raise Damaged("its first chunk is not IHDR")
    width, height, bits, colour = struct.unpack(">IIBB", need(data, 16, 10))
    header = Header(width, height, bits=bits, samples={0: 1, 4: 2, 6: 4}.get(colour, 3))
    offset = 8
    while offset + 12 <= len(data):
        size, kind = struct.unpack(">I4s", data[offset : offset + 8])
        start = offset + 8
        if kind in _PNG_COLOURS and size < ICC_LIMIT_BYTES:
            chunks.setdefault(kind, data[start : start + size])
        elif kind == b"eXIf":
            header.exif = data[start : start + size].removeprefix(b"Exif\0\0")
        elif kind == b"IDAT":
            packed += size
        elif kind == b"acTL" and size == 8:
            header.pages = struct.unpack(">I", need(data, start, 4))[0]
        elif kind == b"IEND":
            row_bits = width * bits * {2: 3, 4: 2, 6: 4}.get(colour, 1)
            header.too_short = height * row_bits > 8 * _MOST_DEFLATED * packed
            _take_png_colours(header, chunks)
            return header
        offset = start + size + 4
    raise Damaged(f"it ends at byte {len(data)}, before its last chunk")


def _take_png_colours(header: Header, chunks: dict[bytes, bytes]) -> None:
    """Set the header's colours by the chunk that comes first: cICP, iCCP, sRGB, gAMA and cHRM."""
    header.colours_told = bool(chunks)
    note = ""
    coded = chunks.get(b"cICP", b"")
    if len(coded) == 4 and coded[2] == 0 and coded[3] < 2:  # RGB, narrow or full range
        header.primaries, header.transfer, header.full_range = coded[0], coded[1], coded[3] == 1
        if header.transfer != colours.PQ:
            header.told_profile, note = colours.profile_of_h273(header.primaries, header.transfer)
    elif b"iCCP" in chunks:
        header.icc_profile = _png_profile(chunks[b"iCCP"])
    elif b"sRGB" not in chunks and chunks:
        gamma = _png_numbers(chunks.get(b"gAMA", b""), 1)
        points = _png_numbers(chunks.get(b"cHRM", b""), 8)
        if points is not None:  # white comes first
            points = points[2:] + points[:2]
        header.told_profile, note = colours.profile_of_png(gamma[0] if gamma else None, points)
    if coded and header.transfer is None:
        header.notes.append("its cICP chunk makes no sense and was ignored")
    if note:
        header.notes.append(note)


def _png_numbers(body: bytes, count: int) -> tuple[float, ...] | None:
    if len(body) != 4 * count:
        return None
    return tuple(number / 100_000 for number in struct.unpack(f">{count}I", body))


def _png_profile(body: bytes) -> bytes | None:
    name_end = body.find(b"\0")
    try:
        unpacker = zlib.decompressobj()
        return unpacker.decompress(body[name_end + 2 :], ICC_LIMIT_BYTES) or None
    except zlib.error:
        return None


def read_webp_header(data: bytes) -> Header:
    """Walk the RIFF chunks; the canvas size, else that of the first picture."""
    end = struct.unpack("<I", need(data, 4, 4))[0] + 8
    if end > len(data) + 1:
        raise Damaged(f"it ends at byte {len(data)} of {end}")
    header: Header | None = None
    exif: bytes | None = None
    profile: bytes | None = None
    frames, offset = 0, 12
    while offset + 8 <= min(end, len(data)):
        kind, size = struct.unpack("<4sI", data[offset : offset + 8])
        body = data[offset + 8 : offset + 8 + min(size, ICC_LIMIT_BYTES)]
        if kind == b"EXIF":
            exif = body.removeprefix(b"Exif\0\0")
        elif kind == b"ICCP":
            profile = body
        elif kind == b"ANMF":
            frames += 1
        elif header is None:
            header = _webp_size(kind, body)
        offset += 8 + size + size % 2
    if header is None:
        raise Damaged("its size is missing")
    header.exif, header.icc_profile, header.pages = exif, profile, max(frames, 1)
    return header


def _webp_size(kind: bytes, body: bytes) -> Header | None:
    if kind == b"VP8X" and len(body) >= 10:
        width, height = (int.from_bytes(body[i : i + 3], "little") + 1 for i in (4, 7))
        return Header(width, height)
    if kind == b"VP8 " and len(body) >= 10:
        width, height = struct.unpack("<HH", body[6:10])
        return Header(width & 0x3FFF, height & 0x3FFF)
    if kind == b"VP8L" and len(body) >= 5:
        bits = struct.unpack("<I", body[1:5])[0]
        return Header((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    return None


_RESOLUTION: Final = re.compile(rb"([+-])([XY]) +(\d{1,9}) +([+-])([XY]) +(\d{1,9})\s*$")
# (first axis and sign, second axis and sign) to the Exif orientation that turns it upright.
_SCANS: Final = {
    b"-Y+X": 1, b"-Y-X": 2, b"+Y-X": 3, b"+Y+X": 4,
    b"+X-Y": 5, b"-X-Y": 6, b"-X+Y": 7, b"+X+Y": 8,
}  # fmt: skip


@dataclass
class RadianceHeader(Header):
    """A Radiance header also says where the pixels begin and whether they are RGBE or XYZE."""

    pixels_at: int = 0
    xyz: bool = False


def read_radiance_header(data: bytes) -> RadianceHeader:
    """Read the lines up to the resolution string; width is the length of one scan line."""
    end = data.find(b"\n\n", 0, 1 << 16)
    if end < 0:
        raise Damaged("its header has no end")
    line_end = data.find(b"\n", end + 2, end + 200)
    line = data[end + 2 : line_end]
    match = _RESOLUTION.match(line)
    if line_end < 0 or match is None:
        raise Damaged(f"expected a size such as '-Y 512 +X 1024', found {line[:40]!r}")
    scan = match[1] + match[2] + match[4] + match[5]
    if scan not in _SCANS:
        raise Damaged(f"expected a size with X and Y, found {line[:40]!r}")
    header = RadianceHeader(int(match[6]), int(match[3]), _SCANS[scan], bits=32)
    header.pixels_at = line_end + 1
    header.xyz = b"FORMAT=32-bit_rle_xyze" in data[:end]
    return header


HEADER_READERS: Final[dict[Format, Callable[[bytes], Header]]] = {
    "jpeg": read_jpeg_header,
    "png": read_png_header,
    "webp": read_webp_header,
    "avif": read_base_media_header,
    "heif": read_base_media_header,
    "hdr": read_radiance_header,
}


def read_header(data: bytes, kind: Format) -> Header:
    """Read the header of a file in memory (all formats but TIFF, EXR and RAW).

    Raises Damaged, or FileReadError for a kind of the format that nothing here decodes.
    """
    try:
        header = HEADER_READERS[kind](data)
    except (struct.error, IndexError, ValueError) as error:
        raise Damaged("its header is cut off or damaged") from error
    if header.exif:
        reader = exif_block.TiffReader(exif_block.bytes_reader(header.exif))
        block = reader.block()
        if kind in ("jpeg", "png", "webp"):
            header.orientation = exif_orientation(block)
        if not (kind == "jpeg" and header.samples == 4):  # inks
            take_colours_of_exif(header, reader, block)
    return header


def take_colours_of_exif(
    header: Header, reader: exif_block.TiffReader, block: exif_block.ExifBlock
) -> None:
    """Set the header's profile by its Exif where nothing else tells of its colours."""
    if header.icc_profile is None and not header.colours_told:
        header.told_profile, note = colours.profile_of_exif(reader, block)
        header.notes += [note] if note else []


def exif_orientation(block: exif_block.ExifBlock) -> int:
    """The orientation tag, 1 where there is none or it is out of range."""
    value = block.image.get(0x0112)
    numbers = value.integers() if value is not None else []
    return numbers[0] if numbers and numbers[0] in range(1, 9) else 1

"""TIFF: integers of any depth, floats, strips and tiles, chunky or planar, by tifffile."""

from __future__ import annotations

import logging
import math
import struct
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..errors import FileReadError
from .containers import exif_orientation, read_webp_header, take_colours_of_exif
from .exif import SUB_DIRECTORIES, Tags, TiffReader, build_exif, bytes_reader
from .headers import Damaged, Header
from .jpeg import segments
from .jpegxl import read_jpegxl_header
from .metadata import compact_block

# PhotometricInterpretation: colour filter array, linear RAW (DNG 1.6).
_RAW_PHOTOMETRIC: Final = {32803, 34892}
# Compression schemes that only cameras use: Nikon, Sony, Pentax, Samsung, Kodak, Panasonic.
_RAW_COMPRESSION: Final = {34713, 32767, 65535, 32769, 32770, 32772, 65000, 34316}
_DNG_VERSION: Final = 0xC612
_COMPRESSION, _PHOTOMETRIC = 0x0103, 0x0106
_MIN_IS_WHITE, _MIN_IS_BLACK, _RGB, _PALETTE, _SEPARATED, _YCBCR = 0, 1, 2, 3, 5, 6
_MODELS: Final = {_SEPARATED: "cmyk", _RGB: "rgb", _YCBCR: "rgb", _PALETTE: "rgb"}
# ExtraSamples: unspecified data, alpha that colours are multiplied by, alpha that they are not.
_UNTOLD, _ASSOCIATED, _UNASSOCIATED = 0, 1, 2
_X_RESOLUTION, _Y_RESOLUTION, _X_POSITION, _Y_POSITION = 282, 283, 286, 287
_MAX_PAGES_LOOKED_AT: Final = 50
_FARTHEST_PIXELS: Final = 1 << 24


def file_reader(path: Path, max_value_bytes: int = 1 << 20) -> tuple[TiffReader, Any]:
    """A directory reader over an open file, and that file (the caller closes it).

    max_value_bytes: longer values are passed over.
    """
    file = path.open("rb")

    def read_at(offset: int, size: int) -> bytes:
        file.seek(offset)
        return file.read(size)

    return TiffReader(read_at, max_value_bytes), file


def is_raw(path: Path) -> bool:
    """Whether a file that begins as a TIFF holds a sensor's data."""
    reader, file = file_reader(path)
    with file:
        tags, following = reader.directory(reader.first)
        if _DNG_VERSION in tags or _is_raw_directory(tags):
            return True
        offsets = tags[SUB_DIRECTORIES].integers()[:8] if SUB_DIRECTORIES in tags else []
        if 0x010F in tags:  # the chained directories of a camera's file
            offsets.append(following)
        return any(_is_raw_directory(reader.directory(offset)[0]) for offset in offsets)


def _is_raw_directory(tags: Tags) -> bool:
    def first(tag: int) -> int:
        numbers = tags[tag].integers() if tag in tags else []
        return numbers[0] if numbers else -1

    return first(_PHOTOMETRIC) in _RAW_PHOTOMETRIC or first(_COMPRESSION) in _RAW_COMPRESSION


def quiet_tifffile() -> Any:
    """The module tifffile, which else writes on the terminal what it thinks of damaged files."""
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    return tifffile


def _open(path: Path) -> tuple[Any, Any, int]:
    """Return the open file, its first full-size page, and how many pages it has (at least)."""
    tifffile = quiet_tifffile()
    file = tifffile.TiffFile(path)
    try:
        pages = []
        for page in file.pages:
            pages.append(page)
            if len(pages) == _MAX_PAGES_LOOKED_AT:
                break
        full = [page for page in pages if not int(getattr(page, "subfiletype", 0)) & 1]
        if not pages:
            raise Damaged("it has no picture")
        return file, (full or pages)[0].aspage(), len(full)
    except BaseException:
        file.close()
        raise


def read_tiff_header(path: Path) -> Header:
    """Read the directory of the first full-size page."""
    file, page, count = _open(path)
    with file:
        _check_layout(page)
        floats = np.dtype(page.dtype).kind == "f"
        coloured = int(page.photometric) != _SEPARATED and not floats
        header = Header(
            int(page.imagewidth),
            int(page.imagelength),
            bits=32 if floats else int(page.bitspersample),  # half floats are read as full ones
            samples=int(page.samplesperpixel),
            pages=max(count, 1),
            icc_profile=_profile(page),
        )
    reader, stream = file_reader(path)
    with stream:
        block = reader.block()
        if coloured:
            take_colours_of_exif(header, reader, block)
    header.orientation = exif_orientation(block)
    header.exif = build_exif(compact_block(block))
    header.place = _place(block.image)
    return header


def _profile(page: Any) -> bytes | None:
    """The ICC profile; None where there is none, or where its tag is of the wrong type."""
    profile = page.iccprofile
    return profile if isinstance(profile, bytes) and profile else None


def _place(tags: Tags) -> tuple[int, int] | None:
    """Where the picture lies on a larger page, x and y in pixels; None where that is not told.

    TIFF 6.0 counts in the unit of the resolution; so do nona and align_image_stack, which crop
    every photo to what it shows.
    """
    found = []
    for position, resolution in ((_X_POSITION, _X_RESOLUTION), (_Y_POSITION, _Y_RESOLUTION)):
        numbers = [
            tags[tag].numbers()[0] if tag in tags and tags[tag].numbers() else math.nan
            for tag in (position, resolution)
        ]
        pixels = numbers[0] * numbers[1]
        if not math.isfinite(pixels) or abs(pixels) > _FARTHEST_PIXELS:
            return None
        found.append(round(pixels))
    return found[0], found[1]


def _check_layout(page: Any) -> None:
    photometric, samples = int(page.photometric), int(page.samplesperpixel)
    colours = {_RGB: 3, _YCBCR: 3, _SEPARATED: 4}.get(photometric, 1)
    known = photometric in (_MIN_IS_WHITE, _MIN_IS_BLACK, _RGB, _PALETTE, _SEPARATED, _YCBCR)
    if not known or not colours <= samples <= colours + 4 or set(page.axes) - set("YXS"):
        raise FileReadError(
            f"expected a TIFF in grey, palette, RGB or CMYK, found photometric {photometric} with "
            f"{samples} samples; export it again as RGB"
        )
    if photometric == _YCBCR and int(page.compression) not in (6, 7):
        raise FileReadError(
            "expected a TIFF in RGB, found uncompressed YCbCr; export it again as RGB"
        )


def check_complete(page: Any, size: int) -> None:
    """Raise Damaged where a strip or tile is missing or lies beyond the end of the file."""
    offsets, counts = page.dataoffsets, page.databytecounts
    expected = int(np.prod(page.chunked, dtype=np.int64))
    if len(offsets) < expected or len(counts) < expected:
        raise Damaged(f"expected {expected} strips, found {min(len(offsets), len(counts))}")
    for index, (offset, count) in enumerate(zip(offsets, counts, strict=False)):
        if index < expected and (count <= 0 or offset <= 0 or offset + count > size):
            raise Damaged(f"strip {index + 1} of {expected} is cut off or missing")
    if int(page.compression) == 1 and sum(counts) * 8 < page.size * int(page.bitspersample):
        raise Damaged("it holds fewer bytes than its size needs")


# Parts that are pictures of their own, whose headers say how large --------------------------------

_JPEG: Final = {6, 7, 33007, 34892}
_JPEG_2000: Final = {33003, 33004, 33005, 34712}
_JPEG_XR: Final = {22610, 34934}
_JPEG_XL: Final = {50002, 52546}
_WEBP: Final = {34927, 50001}
_PNG, _LERC = {34933}, {34887}
# Whose decoders are told how much is wanted, and give no more.
_PLAIN: Final = {1, 2, 3, 4, 5, 8, 32773, 32946, 34925, 34926, 50000, 50013}
_HEAD_BYTES: Final = 1 << 16
_USUAL_TILE_PIXELS: Final = 1 << 22


def check_parts(page: Any) -> None:
    """Raise Damaged where a strip or tile, decoded, would be larger than its place in the picture.

    A part of kilobytes may hold a picture of gigabytes, of which its place is then cut.
    """
    compression = int(page.compression)
    width, height = page.imagewidth, min(page.rowsperstrip, page.imagelength)
    if page.is_tiled:
        width, height = page.tilewidth, page.tilelength
    if width * height > max(4 * page.imagewidth * page.imagelength, _USUAL_TILE_PIXELS):
        raise Damaged(f"its tiles of {width} x {height} pixels are far larger than it is itself")
    if compression in _PLAIN:
        return
    stream = page.parent.filehandle
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False):
        stream.seek(offset)
        size = _size_of_part(compression, stream.read(min(count, _HEAD_BYTES)))
        if size is None:
            raise FileReadError(
                f"expected a TIFF of a usual compression, found number {compression}; "
                "export it again with deflate or LZW"
            )
        if size[0] * size[1] > width * height:
            raise Damaged(
                f"a part of {width} x {height} pixels holds a picture of {size[0]} x {size[1]}"
            )


def _size_of_part(compression: int, head: bytes) -> tuple[int, int] | None:
    """Width and height that a part's own header tells; None for a compression that is not known."""
    if compression in _JPEG:
        for marker, _, body in segments(head):
            if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
                height, width = struct.unpack(">2H", body[1:5])
                return width, height
        raise Damaged("a part's size is missing")
    if compression in _JPEG_2000:
        at = head.index(b"\xff\x4f\xff\x51")
        right, bottom, left, top = struct.unpack(">4I", head[at + 8 : at + 24])
        return max(right - left, 0), max(bottom - top, 0)
    if compression in _JPEG_XL:
        inner: Header = read_jpegxl_header(head)
    elif compression in _WEBP:
        inner = read_webp_header(head[:4] + struct.pack("<I", len(head) - 8) + head[8:])
    elif compression in _JPEG_XR:
        tags = TiffReader(bytes_reader(b"II*\0" + head[4:])).directory(
            int.from_bytes(head[4:8], "little")
        )[0]
        sides = [tags[tag].integers() if tag in tags else [] for tag in (0xBC80, 0xBC81)]
        return sides[0][0], sides[1][0]
    elif compression in _PNG:
        width, height = struct.unpack(">2I", head[16:24])
        return width, height
    elif compression in _LERC and head.startswith(b"Lerc2 "):
        at = 10 if int.from_bytes(head[6:10], "little") < 3 else 14
        height, width = struct.unpack("<2I", head[at : at + 8])
        return width, height
    else:
        return None
    return inner.width, inner.height


def decode_tiff(path: Path) -> tuple[NDArray[Any], str, bool]:
    """Decode the first full-size page.

    Returns pixels (H, W) or (H, W, S) as uint8, uint16 or float32 over their full range; their
    colour model: "gray", "rgb" or "cmyk"; and whether they are multiplied by alpha. Alpha, if
    there is any, comes last; other further samples are left out.
    """
    file, page, _ = _open(path)
    with file:
        _check_layout(page)
        check_complete(page, path.stat().st_size)
        check_parts(page)
        pixels = np.asarray(page.asarray())
        if page.axes.startswith("S"):
            pixels = np.moveaxis(pixels, 0, -1)
        photometric = int(page.photometric)
        if photometric == _PALETTE:
            pixels = _apply_palette(pixels, page.colormap)
        else:
            pixels = full_range(pixels, int(page.bitspersample))
        if photometric == _MIN_IS_WHITE:
            top = 1.0 if pixels.dtype.kind == "f" else np.iinfo(pixels.dtype).max
            grey = pixels if pixels.ndim == 2 else pixels[:, :, :1]  # what follows may be alpha
            grey[...] = (pixels.dtype.type(top) - grey).astype(pixels.dtype)
        model = _MODELS.get(photometric, "gray")
        kinds = [int(kind) for kind in page.extrasamples]
        if pixels.ndim == 3 and photometric != _PALETTE:
            pixels, premultiplied = _with_alpha_last(pixels, model, kinds)
            return pixels, model, premultiplied
    return pixels, model, False


def _with_alpha_last(
    pixels: NDArray[Any], model: str, kinds: list[int]
) -> tuple[NDArray[Any], bool]:
    """Keep of the samples beside the colours only alpha; and whether colours are multiplied by it.

    kinds: what ExtraSamples says of each; programs also leave it out, or keep masks there that are
        no transparency. An untold one is taken for alpha where nothing lies under its zeros.
    """
    colours = {"gray": 1, "rgb": 3, "cmyk": 4}[model]
    count = pixels.shape[2] - colours
    kinds = (kinds + [_UNTOLD] * count)[:count]
    told = next((i for i, kind in enumerate(kinds) if kind in (_ASSOCIATED, _UNASSOCIATED)), None)
    if told is None and count == 1 and _hides_nothing(pixels, colours):
        told = 0
    if told is None:
        return np.ascontiguousarray(pixels[:, :, :colours]), False
    if count > 1:
        pixels = np.concatenate(
            [pixels[:, :, :colours], pixels[:, :, colours + told : colours + told + 1]], axis=2
        )
    return pixels, kinds[told] == _ASSOCIATED


def _hides_nothing(pixels: NDArray[Any], colours: int) -> bool:
    """Whether all pixels under the zeros of the last sample are of one colour."""
    hidden = pixels[pixels[:, :, colours] == 0]
    return len(hidden) > 0 and bool((hidden == hidden[0]).all())


def _apply_palette(pixels: NDArray[Any], colours: NDArray[np.uint16]) -> NDArray[np.uint8]:
    indices = pixels if pixels.ndim == 2 else pixels[:, :, 0]
    table: NDArray[Any] = np.asarray(colours).T
    if int(indices.max(initial=0)) >= len(table):
        raise Damaged("a pixel lies outside its palette")
    # Some writers fill the 16-bit table with 8-bit numbers.
    table = table if table.max(initial=0) < 256 else table >> 8
    return np.asarray(table.astype(np.uint8)[indices])


def full_range(pixels: NDArray[Any], bits: int) -> NDArray[Any]:
    """Bring samples of any type, shape and depth to uint8, uint16 or float32 over their range.

    >>> full_range(np.array([[0, 2048, 4095]], np.uint16), 12)
    array([[    0, 32776, 65535]], dtype=uint16)
    """
    kind = pixels.dtype.kind
    if kind == "f":
        return pixels.astype(np.float32, copy=False)
    if kind == "b":
        return pixels.astype(np.uint8) * np.uint8(255)
    if kind != "u" or bits > 32:
        raise FileReadError(
            f"expected samples that are unsigned or float, found {pixels.dtype}; "
            "export it again with 8 or 16 bits"
        )
    if pixels.dtype == np.uint32 and bits > 16:
        return (pixels >> np.uint32(bits - 16)).astype(np.uint16)
    target: type[np.uint8 | np.uint16] = np.uint8 if bits <= 8 else np.uint16
    if bits in (8, 16):
        return pixels.astype(target, copy=False)
    levels = (1 << bits) - 1
    top = np.iinfo(target).max
    table = ((np.arange(levels + 1, dtype=np.uint64) * top + levels // 2) // levels).astype(target)
    return np.asarray(table[np.minimum(pixels, levels)])

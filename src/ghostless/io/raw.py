"""Camera RAW and DNG, developed by LibRaw to linear 16-bit RGB with sRGB primaries.

All frames of a bracket get one white balance and none of LibRaw's per-picture brightening, so that
the numbers of two frames differ by their exposure and by nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .containers import Damaged, Header, read_jpeg_header
from .exif import ExifBlock, build_exif
from .metadata import block_from_facts, compact_block, facts_by_exifread
from .quiet import captured_stderr
from .tiff import file_reader

# LibRaw's turns as the Exif tag counts them.
_TURNS_OF_LIBRAW = {3: 3, 5: 8, 6: 6}

WhiteBalance = tuple[float, float, float, float]


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    import rawpy

    raw = rawpy.RawPy()
    try:
        raw.open_file(str(path))
        yield raw
    finally:
        raw.close()


def read_raw_header(path: Path) -> tuple[Header, WhiteBalance]:
    """Read size (turned upright), metadata and the camera's white balance, without the pixels."""
    with captured_stderr(), _opened(path) as raw:
        sizes = raw.sizes
        width, height = int(sizes.iwidth), int(sizes.iheight)
        flip = int(sizes.flip)
        if flip & 4:
            width, height = height, width
        balance = white_balance(raw)
    header = Header(width, height, bits=16, applied=_TURNS_OF_LIBRAW.get(flip, 1))
    header.exif = build_exif(_read_exif(path))
    return header, balance


def white_balance(raw: Any) -> WhiteBalance:
    """The camera's multipliers for R, G, B, G2; daylight's where it stored none that make sense."""
    for candidate in (raw.camera_whitebalance, raw.daylight_whitebalance):
        red, green, blue, green_2 = (float(value) for value in candidate)
        if all(math.isfinite(value) and value > 0 for value in (red, green, blue)):
            return red, green, blue, green_2 if green_2 > 0 else green
    return 1.0, 1.0, 1.0, 1.0


def decode_raw(path: Path, balance: WhiteBalance) -> NDArray[np.uint16]:
    """Develop a RAW file: (H, W, 3) uint16, linear, upright, 65535 where the sensor clips."""
    import rawpy

    with captured_stderr() as complaints, _opened(path) as raw:
        raw.unpack()
    if any("corrupted" in line or "end of file" in line for line in complaints):
        raise Damaged("its sensor data is cut off or damaged")
    with _opened(path) as raw:
        pixels = raw.postprocess(
            rawpy.Params(
                user_wb=list(balance),
                output_bps=16,
                output_color=rawpy.ColorSpace.sRGB,
                gamma=(1, 1),
                no_auto_bright=True,
                # Else LibRaw lowers the white level to what a frame happens to hold.
                adjust_maximum_thr=0.0,
                highlight_mode=rawpy.HighlightMode.Clip,
            )
        )
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3):
        raise Damaged(f"its pixels come out in the shape {pixels.shape}")
    # Sensors without colour filters give one channel.
    return np.asarray(pixels if pixels.shape[2] == 3 else np.repeat(pixels, 3, axis=2))


def _read_exif(path: Path) -> ExifBlock:
    """What is worth keeping of a RAW file's Exif, wherever its maker put it."""
    reader, file = file_reader(path)
    with file:
        if reader.order:
            block = compact_block(reader.block())
        else:
            head = _fujifilm_preview(file)
            exif = read_jpeg_header(head).exif if head else None
            block = compact_block(_parse(exif))
        if not {0x829A, 0x8827} <= block.photo.keys():
            file.seek(0)
            found = block_from_facts(facts_by_exifread(file))
            block.image = found.image | block.image
            block.photo = found.photo | block.photo
    block.image.pop(0x0112, None)  # LibRaw turns the picture upright
    return block


def _parse(exif: bytes | None) -> ExifBlock:
    from .exif import parse_exif

    return parse_exif(exif) if exif else ExifBlock()


def _fujifilm_preview(file: Any) -> bytes:
    """A RAF file holds its Exif in a JPEG whose place stands at byte 84."""
    file.seek(0)
    head = file.read(92)
    if not head.startswith(b"FUJIFILMCCD-RAW") or len(head) < 92:
        return b""
    file.seek(int.from_bytes(head[84:88], "big"))
    return bytes(file.read(min(int.from_bytes(head[88:92], "big"), 1 << 24)))

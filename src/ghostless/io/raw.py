"""Camera RAW and DNG, developed by LibRaw to linear 16-bit RGB with sRGB primaries.

All frames of a bracket get one white balance and none of LibRaw's per-picture brightening, so that
the numbers of two frames differ by their exposure and by nothing else.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..bracket import SensorColours
from ..errors import FileReadError
from .colours import XYZ_TO_REC709
from .containers import read_jpeg_header
from .decode import check_floats, turn
from .dng import (
    MAX_VALUE_BYTES,
    Dng,
    apply_gain_maps,
    decode_stored,
    develop_linear,
    light_of,
    plain_dng,
    read_dng,
    stand_in,
)
from .exif import ExifBlock, build_exif
from .headers import Damaged, Header, check_size
from .metadata import block_from_facts, compact_block, facts_by_exifread
from .quiet import captured_stderr
from .tiff import file_reader

# LibRaw's turns as the Exif tag counts them.
_TURNS_OF_LIBRAW = {3: 3, 5: 8, 6: 6}

WhiteBalance = tuple[float, float, float, float]


# LibRaw's flip, bits of turning by 180 degrees, mirroring and transposing, as Exif counts.
_ORIENTATION_OF_FLIP: Final = {3: 3, 5: 8, 6: 6}


@contextmanager
def _opened(source: Path | bytes) -> Iterator[Any]:
    import rawpy

    raw = rawpy.RawPy()
    try:
        if isinstance(source, bytes):
            raw.open_buffer(io.BytesIO(source))
        else:
            raw.open_file(str(source))
        yield raw
    finally:
        raw.close()


@contextmanager
def _kinds_refused() -> Iterator[None]:
    """Tell of a kind of RAW that LibRaw knows but cannot decode as what it is: not as damage."""
    import rawpy

    try:
        yield
    except rawpy.LibRawFileUnsupportedError as error:
        raise FileReadError(
            "expected a RAW file of a kind that LibRaw reads, found one that it does not; "
            "convert it with Adobe DNG Converter, or develop it to a TIFF"
        ) from error


def read_raw_header(path: Path, max_pixels: int) -> tuple[Header, WhiteBalance]:
    """Read size (turned upright), metadata and the camera's white balance.

    Pixels are decoded only of what is no DNG, for rawpy does so before it tells the white balance.
    Raises FileReadError for a picture of more than `max_pixels`, before that.
    """
    facts = _dng_facts(path)
    with captured_stderr(), _opened(path) as raw:
        sizes = raw.sizes
        width, height = int(sizes.iwidth), int(sizes.iheight)
        check_size(width, height, max_pixels)
        check_size(int(sizes.raw_width), int(sizes.raw_height), max_pixels)
        flip = int(sizes.flip)
        if flip & 4:
            width, height = height, width
        if facts is None:
            with _kinds_refused():
                balance = white_balance(raw)
        else:
            with _opened(stand_in(facts)) as small:
                balance = white_balance(small)
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


def sensor_colours(path: Path, balance: WhiteBalance, camera: str | None) -> SensorColours | None:
    """What a RAW file's own colours mean; None for a sensor that LibRaw knows no colours of.

    balance: the multipliers that it is developed with. camera: its name.
    """
    facts = _dng_facts(path)
    with captured_stderr(), _opened(path if facts is None else stand_in(facts)) as raw:
        to_srgb = np.array(raw.color_matrix, np.float64)[:3, :3]
        # LibRaw tells its matrix with rows of one sum each; this is what they were divided by.
        daylight = np.array(raw.daylight_whitebalance[:3], np.float64)
    if not np.isfinite(to_srgb).all() or abs(np.linalg.det(to_srgb)) < 1e-6:
        return None
    if not np.isfinite(daylight).all() or daylight.min() <= 0:
        daylight = np.ones(3)
    xyz_to_camera = np.linalg.inv(to_srgb) @ np.array(XYZ_TO_REC709) / daylight[:, None]
    neutral = min(balance[:3]) / np.array(balance[:3])
    red, green, blue = (float(value) for value in neutral)
    return SensorColours(
        camera or "unknown camera", _rows(xyz_to_camera), (red, green, blue), _rows(to_srgb)
    )


def _rows(matrix: NDArray[np.float64]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(value) for value in row) for row in matrix)


def decode_raw(
    path: Path, balance: WhiteBalance, *, own_colours: bool = False
) -> tuple[NDArray[np.uint16] | NDArray[np.float32], list[str]]:
    """Develop a RAW file: (H, W, 3), linear, upright; also returns notes.

    uint16, 65535 where the sensor clips; of a DNG of floats float32, 1.0 where its white level is.
    own_colours: leave them in the sensor's colours, balanced (`sensor_colours`).
    """
    facts = _dng_facts(path)
    if facts is None or not facts.needs_other_decoder:
        return _develop(path, balance, facts, own_colours), facts.notes if facts else []
    light = light_of(decode_stored(path, facts), facts)
    check_floats(light.reshape(*light.shape[:2], -1), facts.notes)
    if not facts.floats:
        return _develop(plain_dng(light, facts), balance, None, own_colours), facts.notes
    if facts.linear:
        with captured_stderr(), _opened(stand_in(facts)) as raw:
            matrix, turn_by = raw.color_matrix, _ORIENTATION_OF_FLIP.get(int(raw.sizes.flip), 1)
        matrix = np.eye(3) if own_colours else matrix
        return turn(develop_linear(light, balance, matrix), turn_by), facts.notes
    # LibRaw develops mosaics of integers only, and cuts what the white balance lifts above white;
    # what is brighter than white anyway shall not be lost.
    brightest = float(light.max())
    brightest = brightest * max(balance[:3]) / min(balance[:3]) if brightest > 1 else 1.0
    pixels = _develop(plain_dng(light / np.float32(brightest), facts), balance, None, own_colours)
    return pixels * np.float32(brightest / 65535), facts.notes


def _dng_facts(path: Path) -> Dng | None:
    reader, file = file_reader(path, MAX_VALUE_BYTES)
    with file:
        return read_dng(reader) if reader.order else None


def _develop(
    source: Path | bytes,
    balance: WhiteBalance,
    facts: Dng | None = None,
    own_colours: bool = False,
) -> NDArray[np.uint16]:
    """Have LibRaw develop a file or its bytes; the gain maps in `facts` are applied before."""
    import rawpy

    with captured_stderr() as complaints, _opened(source) as raw, _kinds_refused():
        raw.unpack()
    if any("corrupted" in line or "end of file" in line for line in complaints):
        raise Damaged("its sensor data is cut off or damaged")
    with _opened(source) as raw:
        if facts is not None and facts.gain_maps:
            top, left, bottom, right = facts.area
            mosaic = raw.raw_image[top:bottom, left:right]
            apply_gain_maps(mosaic, facts.gain_maps, facts.black, facts.white)
        pixels = raw.postprocess(
            rawpy.Params(
                user_wb=list(balance),
                output_bps=16,
                output_color=rawpy.ColorSpace.raw if own_colours else rawpy.ColorSpace.sRGB,
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

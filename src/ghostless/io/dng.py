"""DNG: what LibRaw leaves undone or undoes. Opcodes, floats, and tiles coded in JPEG XL.

LibRaw knows no opcodes, so the gain maps by which phones and drones even out their lenses' shading
are applied here to the mosaic before it develops it. It cannot decode JPEG XL: such a picture is
decoded by tifffile and handed to it anew, plain, so that colours come about as for any other RAW.
Floats it scales by what each picture's brightest pixel happens to be; linear ones are developed
here, float mosaics handed over like JPEG XL.

Source: Digital Negative Specification 1.7.1, Adobe (chapters 4 and 7; opcodes are big-endian).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import FileReadError
from ..pixels.stripes import for_each_stripe
from .exif import (
    SUB_DIRECTORIES,
    Tags,
    TiffReader,
    Value,
    build_directory,
    long,
    short,
)
from .headers import Damaged
from .tiff import check_complete, check_parts, quiet_tifffile

_COMPRESSION, _PHOTOMETRIC, _SAMPLES, _SAMPLE_FORMAT, _BITS = 0x0103, 0x0106, 0x0115, 0x0153, 0x0102
_WIDTH, _HEIGHT, _SUBFILE_TYPE = 0x0100, 0x0101, 0x00FE
_DNG_VERSION, _LINEARIZATION, _BLACK_REPEAT, _BLACK, _WHITE = 0xC612, 0xC618, 0xC619, 0xC61A, 0xC61D
_ACTIVE_AREA: Final = 0xC68D
_CFA, _LINEAR_RAW = 32803, 34892
_JPEG_XL: Final = 52546
_FLOATS: Final = 3
# OpcodeList1 to 3: for the stored samples, for linear ones, and for demosaiced ones.
_OPCODE_LISTS: Final = {1: 0xC740, 2: 0xC741, 3: 0xC74E}
_GAIN_MAP: Final = 9
_OPCODE_NAMES: Final = {
    1: "WarpRectilinear", 2: "WarpFisheye", 3: "FixVignetteRadial", 4: "FixBadPixelsConstant",
    5: "FixBadPixelsList", 6: "TrimBounds", 7: "MapTable", 8: "MapPolynomial", 9: "GainMap",
    10: "DeltaPerRow", 11: "DeltaPerColumn", 12: "ScalePerRow", 13: "ScalePerColumn",
    14: "WarpRectilinear2",
}  # fmt: skip
_MAX_OPCODES: Final = 1000
# Longer than any list of gain maps and bad pixels.
MAX_VALUE_BYTES: Final = 64 << 20
# Of the raw picture's directory the colour filters go into a plain copy; all else tells of coding.
_KEPT_RAW_TAGS: Final = (0x828D, 0x828E, 0xC616, 0xC617)
# Of the first directory these do not: layout, previews, profiles for looks, opcodes.
_DROPPED_TAGS: Final = {
    _SUBFILE_TYPE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, 0x0111, _SAMPLES, 0x0116,
    0x0117, 0x011C, 0x013D, 0x0142, 0x0143, 0x0144, 0x0145, SUB_DIRECTORIES, _SAMPLE_FORMAT, 0x0201,
    0x0202, 0x02BC, 0x8649, 0x83BB, 0x8769, 0x8825, _LINEARIZATION, _BLACK_REPEAT, _BLACK, _WHITE,
    0xC61B, 0xC61C, 0xC61E, 0xC61F, 0xC620, _ACTIVE_AREA, *_OPCODE_LISTS.values(), 0xC634, 0xC68B,
    0xC68C,
}  # fmt: skip


@dataclass(frozen=True)
class GainMap:
    """Gains over a part of a picture: opcode 9.

    area: top, left, bottom, right in pixels of the active area. planes: first one and how many.
    pitch: every so many rows and columns. spacing, origin: of the map's points, down and across,
    as shares of the active area. gains: (rows, columns, planes) float32.
    """

    area: tuple[int, int, int, int]
    planes: tuple[int, int]
    pitch: tuple[int, int]
    spacing: tuple[float, float]
    origin: tuple[float, float]
    gains: NDArray[np.float32]


@dataclass(frozen=True)
class Dng:
    """What the directories of a DNG say of its raw picture.

    offset: of the raw picture's directory. area: the active one: top, left, bottom, right.
    black: (rows, columns, samples) repeated over the active area. white: per sample.
    """

    offset: int
    image: Tags
    raw: Tags
    linear: bool
    floats: bool
    compression: int
    area: tuple[int, int, int, int]
    black: NDArray[np.float32]
    white: NDArray[np.float32]
    gain_maps: tuple[GainMap, ...] = ()
    notes: list[str] = field(default_factory=list)

    @property
    def needs_other_decoder(self) -> bool:
        """Whether LibRaw cannot decode it, scales it by its maximum, or gives no mosaic to edit."""
        return self.floats or self.compression == _JPEG_XL or (self.linear and bool(self.gain_maps))


def read_dng(reader: TiffReader) -> Dng | None:
    """What a file's directories say if it is a DNG with a raw picture, else None."""
    image, _ = reader.directory(reader.first)
    if _DNG_VERSION not in image:
        return None
    found = [(reader.first, image)]
    found += [(place, reader.directory(place)[0]) for place in _all(image, SUB_DIRECTORIES)[:32]]
    raws = [
        (place, tags)
        for place, tags in found
        if _first(tags, _PHOTOMETRIC) in (_CFA, _LINEAR_RAW) and not _first(tags, _SUBFILE_TYPE)
    ]
    if not raws:
        return None
    offset, raw = max(raws, key=lambda item: _first(item[1], _WIDTH) * _first(item[1], _HEIGHT))
    width, height = _first(raw, _WIDTH), _first(raw, _HEIGHT)
    area = tuple(_all(raw, _ACTIVE_AREA)) or (0, 0, height, width)
    if len(area) != 4 or not (area[0] < area[2] <= height and area[1] < area[3] <= width):
        raise Damaged(f"its active area is {area} of {width} x {height} pixels")
    samples = max(_first(raw, _SAMPLES), 1)
    floats = _first(raw, _SAMPLE_FORMAT) == _FLOATS
    maps, notes = _opcodes(raw)
    return Dng(
        offset,
        image,
        raw,
        _first(raw, _PHOTOMETRIC) == _LINEAR_RAW,
        floats,
        _first(raw, _COMPRESSION),
        area,
        _black(raw, samples),
        _white(raw, samples, 1.0 if floats else 2.0 ** min(_first(raw, _BITS), 32) - 1),
        maps,
        notes,
    )


def _all(tags: Tags, tag: int) -> list[int]:
    return tags[tag].integers() if tag in tags else []


def _first(tags: Tags, tag: int) -> int:
    return next(iter(_all(tags, tag)), 0)


def _black(raw: Tags, samples: int) -> NDArray[np.float32]:
    rows, columns = (_all(raw, _BLACK_REPEAT) or [1, 1])[:2]
    levels = raw[_BLACK].numbers() if _BLACK in raw else []
    if not 0 < rows * columns <= 4096 or len(levels) != rows * columns * samples:
        rows, columns, levels = 1, 1, [levels[0] if levels else 0.0] * samples
    black = np.array(levels, np.float32).reshape(rows, columns, samples)
    if not np.isfinite(black).all():
        raise Damaged("its black level is no number")
    return black


def _white(raw: Tags, samples: int, usual: float) -> NDArray[np.float32]:
    levels = raw[_WHITE].numbers() if _WHITE in raw else []
    if len(levels) != samples:
        levels = [levels[0] if levels else usual] * samples
    white = np.array(levels, np.float32)
    if not np.isfinite(white).all() or white.min() <= 0:
        raise Damaged("its white level is no number above 0")
    return white


# Opcodes ------------------------------------------------------------------------------------------


def _opcodes(raw: Tags) -> tuple[tuple[GainMap, ...], list[str]]:
    """The gain maps for linear samples, and a note that names what else there is."""
    maps: list[GainMap] = []
    left_out: list[str] = []
    for number, tag in _OPCODE_LISTS.items():
        if tag not in raw:
            continue
        for code, body in _listed(raw[tag].data):
            gain_map = _gain_map(body) if code == _GAIN_MAP and number == 2 else None
            name = f"{_OPCODE_NAMES.get(code, f'number {code}')} of list {number}"
            if gain_map is not None:
                maps.append(gain_map)
            elif name not in left_out:
                left_out.append(name)
    notes = [f"its DNG opcodes were not applied: {', '.join(left_out)}"] if left_out else []
    return tuple(maps), notes


def _listed(data: bytes) -> Iterator[tuple[int, bytes]]:
    count = int.from_bytes(data[:4], "big")
    place = 4
    for _ in range(min(count, _MAX_OPCODES)):
        head = data[place : place + 16]
        if len(head) < 16:
            return
        code, _, _, size = struct.unpack(">4I", head)
        yield code, data[place + 16 : place + 16 + size]
        place += 16 + size


def _gain_map(body: bytes) -> GainMap | None:
    """Opcode 9's parameters; None where they make no sense."""
    try:
        numbers = struct.unpack(">10I4dI", body[:76])
    except struct.error:
        return None
    top, left, bottom, right, plane, planes, row_pitch, column_pitch, rows, columns = numbers[:10]
    spacing, origin, map_planes = numbers[10:12], numbers[12:14], numbers[14]
    count = rows * columns * map_planes
    if not 0 < count <= len(body) // 4 or len(body) < 76 + 4 * count:
        return None
    gains = np.frombuffer(body, ">f4", count, 76).astype(np.float32)
    sane = np.isfinite((*spacing, *origin)).all() and np.isfinite(gains).all() and gains.min() >= 0
    if not sane or min(row_pitch, column_pitch) < 1 or min(spacing) < 0:
        return None
    if (rows > 1 and spacing[0] == 0) or (columns > 1 and spacing[1] == 0):
        return None
    return GainMap(
        (top, left, bottom, right),
        (plane, planes),
        (row_pitch, column_pitch),
        spacing,
        origin,
        gains.reshape(rows, columns, map_planes),
    )


def apply_gain_maps(
    values: NDArray[Any],
    maps: tuple[GainMap, ...],
    black: NDArray[np.float32],
    white: NDArray[np.float32],
) -> None:
    """Multiply what lies above black by the maps' gains, in place.

    values: the active area, (H, W) or (H, W, S), integers or float32. black, white: as in `Dng`.
    Integers that are white stay so, for there the sensor clipped, and none becomes more than that.
    """
    height, width = values.shape[:2]
    cube = values if values.ndim == 3 else values[:, :, None]
    for gain_map in maps:
        first, count = gain_map.planes
        for plane in range(first, min(first + count, cube.shape[2])):
            level = black[:, :, min(plane, black.shape[2] - 1)]
            top = white[min(plane, len(white) - 1)]
            _apply(cube[:, :, plane], gain_map, plane, level, top, (height, width))


def _apply(
    plane: NDArray[Any],
    gain_map: GainMap,
    number: int,
    black: NDArray[np.float32],
    white: np.float32,
    size: tuple[int, int],
) -> None:
    (top, left, bottom, right), (row_pitch, column_pitch) = gain_map.area, gain_map.pitch
    rows = np.arange(top, min(bottom, size[0]), row_pitch)
    columns = np.arange(left, min(right, size[1]), column_pitch)
    if not rows.size or not columns.size:
        return
    gains = gain_map.gains[:, :, min(number, gain_map.gains.shape[2] - 1)]
    before, after, share = _between(columns, size[1], gain_map.spacing[1], gain_map.origin[1],
                                    gains.shape[1])  # fmt: skip
    across = gains[:, before] * (1 - share) + gains[:, after] * share
    upper, lower, parts = _between(rows, size[0], gain_map.spacing[0], gain_map.origin[0],
                                   len(gains))  # fmt: skip
    column_slice = slice(left, min(right, size[1]), column_pitch)
    column_levels = black[:, columns % black.shape[1]]
    integers = plane.dtype.kind == "u"

    def work(start: int, stop: int) -> None:
        chosen = rows[start:stop]
        part = slice(int(chosen[0]), int(chosen[-1]) + 1, row_pitch)
        down = parts[start:stop, None]
        gain = across[upper[start:stop]] * (1 - down) + across[lower[start:stop]] * down
        stored = plane[part, column_slice]
        level = column_levels[chosen % len(column_levels)]
        changed = (stored - level) * gain + level
        if integers:
            changed = np.where(stored >= white, stored, np.clip(np.rint(changed), 0, white))
        plane[part, column_slice] = changed

    for_each_stripe(len(rows), len(columns), work)


def _between(
    places: NDArray[np.intp], side: int, spacing: float, origin: float, points: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """The map's points before and after each pixel's centre, and how far it is between them."""
    if points == 1:
        nowhere = np.zeros(len(places), np.intp)
        return nowhere, nowhere, np.zeros(len(places), np.float32)
    index = np.clip(((places + 0.5) / side - origin) / spacing, 0, points - 1)
    before = np.minimum(index.astype(np.intp), points - 2)
    return before, before + 1, (index - before).astype(np.float32)


# Pictures that LibRaw does not decode -------------------------------------------------------------


def decode_stored(path: Path, dng: Dng) -> NDArray[Any]:
    """The active area's samples, (H, W) or (H, W, S), linear, as stored: before black and white."""
    tifffile = quiet_tifffile()
    with tifffile.TiffFile(path) as file:
        pages = [found for page in file.pages[:8] for found in (page, *(page.pages or ()))]
        page = next((p.aspage() for p in pages if p.offset == dng.offset), None)
        if page is None:
            raise Damaged("its raw picture was not found")
        if set(page.axes) - set("YXS"):
            raise FileReadError(
                f"expected a DNG with one raw picture, found axes {page.axes}; convert it with "
                "Adobe DNG Converter"
            )
        check_complete(page, path.stat().st_size)
        check_parts(page)
        stored = np.asarray(page.asarray())
        if page.axes.startswith("S"):
            stored = np.moveaxis(stored, 0, 2)
    top, left, bottom, right = dng.area
    stored = stored[top:bottom, left:right]
    if stored.dtype == np.float16:
        stored = stored.astype(np.float32)
    if _LINEARIZATION in dng.raw and stored.dtype.kind == "u":
        table = np.array(dng.raw[_LINEARIZATION].integers(), np.uint16)
        if len(table):
            stored = table[np.minimum(stored, len(table) - 1)]
    if stored.dtype not in (np.uint8, np.uint16, np.float32):
        raise FileReadError(
            f"expected a DNG of 8 or 16 bits or of floats, found {stored.dtype}; convert it with "
            "Adobe DNG Converter"
        )
    return stored


def light_of(stored: NDArray[Any], dng: Dng) -> NDArray[np.float32]:
    """Stored samples as light, 0 at black and 1 at white, gain maps applied: (H, W) or (H, W, S).

    Integers end at 1, where the sensor clips; floats may exceed it.
    """
    height, width = stored.shape[:2]
    cube = stored if stored.ndim == 3 else stored[:, :, None]
    light = np.empty(cube.shape, np.float32)
    black, white = dng.black, dng.white
    rows, columns = black.shape[:2]
    # White counts from the least black, as LibRaw has it for all channels.
    scale = 1 / np.maximum(white - black.min(axis=(0, 1)), np.float32(1e-6))
    for y in range(rows):
        for x in range(columns):
            part = cube[y::rows, x::columns]
            light[y::rows, x::columns] = (part - black[y, x]) * scale
    none, one = np.zeros((1, 1, cube.shape[2]), np.float32), np.ones(cube.shape[2], np.float32)
    if stored.dtype.kind == "u":
        np.clip(light, 0, 1, out=light)
        clipped = cube >= white
    apply_gain_maps(light, dng.gain_maps, none, one)
    if stored.dtype.kind == "u":
        np.minimum(light, 1, out=light)
        light[clipped] = 1
    return light if stored.ndim == 3 else light.reshape(height, width)


def plain_dng(light: NDArray[np.float32], dng: Dng) -> bytes:
    """A DNG 1.4 of 16 bits, uncoded, of light (0 to 1; more is cut) with the same colours.

    Light: (H, W, 3).
    """
    codes = np.rint(np.clip(light, 0, 1) * np.float32(65535)).astype("<u2")
    height, width = codes.shape[:2]
    samples = codes.shape[2] if codes.ndim == 3 else 1
    tags: Tags = {tag: value for tag, value in dng.image.items() if tag not in _DROPPED_TAGS}
    tags |= {tag: dng.raw[tag] for tag in _KEPT_RAW_TAGS if tag in dng.raw}
    at = 8 + codes.nbytes
    tags |= {
        _SUBFILE_TYPE: long(0),
        _WIDTH: long(width),
        _HEIGHT: long(height),
        _BITS: short(*[16] * samples),
        _COMPRESSION: short(1),
        _PHOTOMETRIC: short(_LINEAR_RAW if dng.linear else _CFA),
        0x0111: long(8),
        _SAMPLES: short(samples),
        0x0116: long(height),
        0x0117: long(codes.nbytes),
        0x011C: short(1),
        _DNG_VERSION: Value(1, 4, bytes((1, 4, 0, 0))),
        0xC613: Value(1, 4, bytes((1, 4, 0, 0))),
        _WHITE: long(*[65535] * samples),
    }
    at += at % 2
    head = b"II*\0" + struct.pack("<I", at) + codes.tobytes()
    return bytes(head.ljust(at, b"\0") + build_directory(tags, at))


def stand_in(dng: Dng) -> bytes:
    """A small black DNG of the same camera and light: what LibRaw says of it holds for the other.

    rawpy decodes a whole picture before it tells the white balance.
    """
    samples = (3,) if dng.linear and len(dng.white) > 1 else ()
    return plain_dng(np.zeros((64, 64, *samples), np.float32), dng)


def develop_linear(
    light: NDArray[np.float32], balance: tuple[float, ...], to_srgb: NDArray[Any]
) -> NDArray[np.float32]:
    """Develop linear camera RGB: (H, W, 3) float32, linear, sRGB primaries.

    balance: multipliers of red, green and blue, of which the least counts as 1. to_srgb: LibRaw's
    matrix from balanced camera colours.
    """
    if light.ndim == 2 or light.shape[2] == 1:
        return np.asarray(cv2.cvtColor(light.reshape(light.shape[:2]), cv2.COLOR_GRAY2RGB))
    multipliers = np.array(balance[:3], np.float32)
    matrix = np.asarray(to_srgb, np.float32)[:3, :3] * (multipliers / multipliers.min())
    return np.asarray(np.maximum(cv2.transform(light, matrix), 0))

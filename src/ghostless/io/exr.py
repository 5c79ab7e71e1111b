"""OpenEXR: half and float, the red, green and blue channels of whatever layer has them."""

from __future__ import annotations

import io
import math
import struct
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import FileReadError
from .colours import BT709_CHROMATICITIES
from .exif import build_exif
from .headers import Damaged, Header
from .metadata import block_from_facts
from .quiet import captured_stderr

_REQUIRED: Final = (
    "channels", "compression", "dataWindow", "displayWindow", "lineOrder", "pixelAspectRatio",
    "screenWindowCenter", "screenWindowWidth",
)  # fmt: skip
# Scan lines in a chunk by compression: ZIP, PIZ, PXR24, B44, B44A, DWAA, DWAB, HTJ2K256, HTJ2K32.
_LINES_PER_CHUNK: Final = {3: 16, 4: 32, 5: 16, 6: 32, 7: 32, 8: 32, 9: 256, 10: 256, 11: 32}
# A multiple of all of these, so that no chunk is decoded twice.
_ROWS_AT_ONCE: Final = 256
_MAX_COORDINATE: Final = 1 << 26
# Longer than any header, previews included; a header cut off here is refused.
_HEADER_BYTES: Final = 8 << 20
# A window of more pixels than this may be so many times as large as what is stored in it.
_MAY_BE_EMPTY_PIXELS: Final = 1 << 24
_MOST_EMPTY: Final = 16
# OpenEXR's PixelType: UINT, HALF, FLOAT.
_SAMPLE_BYTES: Final = {0: 4, 1: 2, 2: 4}
# Bradford's cone responses, to adapt one white to another (ICC.1:2022 annex E).
_BRADFORD: Final = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)


@dataclass(frozen=True)
class _Channel:
    kind: int
    sampling: tuple[int, int]


@dataclass
class _ExrHeader:
    """The attributes that decoding needs, checked, and where the pixels' table stands."""

    attributes: dict[str, tuple[bytes, bytes]]
    version: int
    table_at: int

    def value(self, name: str, kind: str, size: int) -> bytes:
        found_kind, value = self.attributes.get(name, (b"", b""))
        if found_kind != kind.encode() or len(value) != size:
            raise Damaged(f"its attribute {name} is missing or damaged")
        return value

    def window(self, name: str) -> tuple[int, int, int, int]:
        x0, y0, x1, y1 = struct.unpack("<4i", self.value(name, "box2i", 16))
        if x1 < x0 or y1 < y0 or max(abs(n) for n in (x0, y0, x1, y1)) > _MAX_COORDINATE:
            raise Damaged(f"its {name} is {x0}, {y0} to {x1}, {y1}")
        return x0, y0, x1, y1

    @property
    def multipart(self) -> bool:
        return bool(self.version & 0x1000)

    @property
    def tiled(self) -> bool:
        return bool(self.version & 0x200)


def _parse(data: bytes) -> _ExrHeader:
    """Read the attributes of the (first) header.

    Nothing of a header goes to OpenEXR unchecked: its Python binding crashes on an attribute's
    name that is no text.
    """
    version = struct.unpack("<I", data[4:8])[0]
    if version & 0x800:
        raise FileReadError("expected a flat OpenEXR picture, found a deep one; render it flat")
    attributes: dict[str, tuple[bytes, bytes]] = {}
    offset = 8
    while data[offset : offset + 1] != b"\0":
        name_end = data.index(b"\0", offset, offset + 256)
        kind_end = data.index(b"\0", name_end + 1, name_end + 257)
        name = data[offset:name_end].decode("ascii")
        size = struct.unpack("<i", data[kind_end + 1 : kind_end + 5])[0]
        start = kind_end + 5
        if not name.isprintable() or size < 0 or start + size > len(data):
            raise Damaged(f"its attribute at byte {offset} is damaged")
        attributes[name] = data[name_end + 1 : kind_end], data[start : start + size]
        offset = start + size
    header = _ExrHeader(attributes, version, offset + 1)
    if header.value("compression", "compression", 1)[0] > 11:
        raise Damaged("its compression is unknown")
    if header.value("lineOrder", "lineOrder", 1)[0] > 2:
        raise Damaged("its line order is unknown")
    return header


def _channels(header: _ExrHeader) -> dict[str, _Channel]:
    kind, value = header.attributes.get("channels", (b"", b""))
    channels: dict[str, _Channel] = {}
    offset = 0
    while kind == b"chlist" and value[offset : offset + 1] not in (b"", b"\0"):
        end = value.index(b"\0", offset)
        name = value[offset:end].decode("utf-8")
        sample, _, x, y = struct.unpack("<iIii", value[end + 1 : end + 17])
        if sample not in _SAMPLE_BYTES or not (0 < x <= 64 and 0 < y <= 64):
            raise Damaged(f"its channel {name} is damaged")
        channels[name] = _Channel(sample, (x, y))
        offset = end + 17
    if not channels:
        raise Damaged("its channels are missing")
    return channels


def read_exr_header(path: Path) -> Header:
    """Read the size: that of the display window, or of the stored pixels where they are more."""
    with path.open("rb") as stream:
        head = _parse(stream.read(_HEADER_BYTES))
    _channel_names(_channels(head))
    x0, y0, x1, y1 = head.window("displayWindow")
    left, top, right, bottom = head.window("dataWindow")
    header = Header(x1 - x0 + 1, y1 - y0 + 1, bits=32)
    header.stored = right - left + 1, bottom - top + 1
    shown, stored = header.width * header.height, header.stored[0] * header.stored[1]
    if stored > 4 * shown:
        raise Damaged("its pixels lie far outside its display window")
    if shown > max(_MOST_EMPTY * stored, _MAY_BE_EMPTY_PIXELS):
        raise FileReadError(
            f"expected a picture that fills its window, found {header.stored[0]} x "
            f"{header.stored[1]} pixels in one of {header.width} x {header.height}; render the "
            "whole picture, or set the display window to the data window"
        )
    header.exif = build_exif(block_from_facts(_facts(head)))
    return header


def _facts(head: _ExrHeader) -> dict[str, Any]:
    """Exposure and camera, from OpenEXR's standard attributes."""
    facts: dict[str, Any] = {}
    for name, attribute in (
        ("shutter", "expTime"),
        ("f_number", "aperture"),
        ("iso", "isoSpeed"),
    ):
        kind, value = head.attributes.get(attribute, (b"", b""))
        number = struct.unpack("<f", value)[0] if kind == b"float" and len(value) == 4 else 0
        if math.isfinite(number) and number > 0:
            facts[name] = number
    for name, attribute in (("model", "cameraModel"), ("lens", "lensModel"), ("date", "capDate")):
        kind, value = head.attributes.get(attribute, (b"", b""))
        if kind == b"string":
            facts[name] = value.decode("utf-8", "replace").replace("\0", "")
    return facts


def _channel_names(channels: dict[str, _Channel]) -> list[str]:
    """Names of the red, green and blue channel, or of one luminance channel."""
    layers = sorted({name.rpartition(".")[0] for name in channels}, key=lambda n: (n.count("."), n))
    for layer in layers:
        prefix = f"{layer}." if layer else ""
        for wanted in ("RGB", "rgb"):
            names = [prefix + letter for letter in wanted]
            if all(name in channels for name in names):
                return _checked(names, channels)
        if prefix + "Y" in channels and prefix + "RY" not in channels:
            return _checked([prefix + "Y"], channels)
    raise FileReadError(
        f"expected channels R, G and B, found {', '.join(sorted(channels))[:120]}; "
        "write the picture with RGB channels"
    )


def _checked(names: list[str], channels: dict[str, _Channel]) -> list[str]:
    if any(channels[name].sampling != (1, 1) for name in names):
        raise FileReadError("expected channels at full size, found subsampled ones; write RGB")
    return names


def _cleaned(data: bytes, header: _ExrHeader, chunks: int) -> bytes:
    """The same picture behind a header that holds nothing but what decoding needs."""
    parts = [data[:8]]
    names = (*_REQUIRED, "tiles") if header.tiled else _REQUIRED
    for name in names:
        kind, value = header.attributes[name]
        parts.append(name.encode() + b"\0" + kind + b"\0" + struct.pack("<i", len(value)) + value)
    head = b"".join(parts) + b"\0"
    table_end = header.table_at + 8 * chunks
    offsets = np.frombuffer(data, "<u8", chunks, header.table_at)
    if int(offsets.min()) < table_end or int(offsets.max()) >= len(data) - 8:
        raise Damaged("its table of pixels points outside the file: it was cut off")
    moved = offsets.astype(np.int64) + (len(head) - header.table_at)
    return b"".join([head, moved.astype("<u8").tobytes(), data[table_end:]])


def _chunk_count(header: _ExrHeader) -> int:
    """How many offsets stand in the table (of the first part)."""
    left, top, right, bottom = header.window("dataWindow")
    width, height = right - left + 1, bottom - top + 1
    if not header.tiled:
        lines = _LINES_PER_CHUNK.get(header.value("compression", "compression", 1)[0], 1)
        return math.ceil(height / lines)
    x_size, y_size, mode = struct.unpack("<IIB", header.value("tiles", "tiledesc", 9))
    if not (0 < x_size <= 1 << 16 and 0 < y_size <= 1 << 16) or mode & 15 > 2:
        raise Damaged("its tiles are damaged")
    widths, heights = [width], [height]
    if mode & 15:
        widths, heights = _level_sides(width, mode >> 4), _level_sides(height, mode >> 4)
    columns: list[int] = [math.ceil(side / x_size) for side in widths]
    rows: list[int] = [math.ceil(side / y_size) for side in heights]
    if mode & 15 == 1:  # one picture per level, both sides halved together
        return sum(a * b for a, b in zip_longest(columns, rows, fillvalue=1))
    return sum(columns) * sum(rows)


def _level_sides(side: int, round_up: int) -> list[int]:
    sides = [side]
    while sides[-1] > 1:
        sides.append((sides[-1] + (1 if round_up else 0)) // 2)
    return sides


def decode_exr(path: Path) -> tuple[NDArray[np.float32], list[str]]:
    """Decode to (H, W, 3) float32, linear, sRGB primaries; also returns notes.

    With alpha, or where the data window leaves some of the display window out, (H, W, 4), the
    colours multiplied by alpha.
    """
    data = path.read_bytes()
    head = _parse(data)
    channels = _channels(head)
    names = _channel_names(channels)
    alpha = names[0].rpartition(".")[0]
    alpha = f"{alpha}.A" if alpha else "A"
    if alpha in channels and channels[alpha].sampling == (1, 1):
        names = [*names, alpha]
    for name, kind, size in (
        ("pixelAspectRatio", "float", 4),
        ("screenWindowCenter", "v2f", 8),
        ("screenWindowWidth", "float", 4),
    ):
        head.value(name, kind, size)
    source = data if head.multipart else _cleaned(data, head, _chunk_count(head))
    del data
    left, top, right, bottom = head.window("dataWindow")
    shape = (bottom - top + 1, right - left + 1)
    array, opaque = _read_planes(source, names, top, shape, names[-1] == alpha)
    notes: list[str] = []
    window = head.window("displayWindow")
    if opaque is None and _leaves_out(window, (left, top, right, bottom)):
        opaque = np.ones(shape, np.float32)
    array = _to_display_window(array, left, top, window, notes)
    matrix = _to_bt709(head.attributes.get("chromaticities", (b"", b""))[1])
    if matrix is not None:
        notes.append("its primaries were converted to those of sRGB")
        for start in range(0, len(array), _ROWS_AT_ONCE):
            rows = array[start : start + _ROWS_AT_ONCE]
            rows[:] = cv2.transform(rows, matrix)
    if opaque is not None:
        array = np.dstack([array, _to_display_window(opaque, left, top, window, [])])
    return np.asarray(array), notes


def _read_planes(
    source: bytes, names: list[str], top: int, shape: tuple[int, int], with_alpha: bool
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Colours (H, W, 3), a single channel in all three, and alpha (H, W) if it is the last one."""
    import Imath
    import OpenEXR

    array = np.empty((*shape, 3), np.float32)
    opaque = np.empty(shape, np.float32) if with_alpha else None
    colours = names[:-1] if with_alpha else names
    as_float = Imath.PixelType(Imath.PixelType.FLOAT)
    with captured_stderr():
        file = OpenEXR.InputFile(io.BytesIO(source))
        try:
            # By bands: whole planes would take as much memory again as the picture.
            for start in range(0, len(array), _ROWS_AT_ONCE):
                rows = array[start : start + _ROWS_AT_ONCE]
                lines = top + start, top + start + len(rows) - 1
                planes = file.channels(names, as_float, *lines)
                for k in range(3):
                    plane = np.frombuffer(planes[min(k, len(colours) - 1)], np.float32)
                    rows[:, :, k] = plane.reshape(rows.shape[:2])
                if opaque is not None:
                    plane = np.frombuffer(planes[-1], np.float32)
                    opaque[start : start + len(rows)] = plane.reshape(rows.shape[:2])
        finally:
            file.close()
    return array, opaque


def _leaves_out(window: tuple[int, int, int, int], data: tuple[int, int, int, int]) -> bool:
    """Whether some of the display window has no pixels."""
    return data[0] > window[0] or data[1] > window[1] or data[2] < window[2] or data[3] < window[3]


def _to_display_window(
    array: NDArray[Any], left: int, top: int, window: tuple[int, int, int, int], notes: list[str]
) -> NDArray[Any]:
    """Cut or pad with black to the window that the picture is meant to be looked at in."""
    x0, y0, x1, y1 = window
    height, width = y1 - y0 + 1, x1 - x0 + 1
    if (left, top) == (x0, y0) and array.shape[:2] == (height, width):
        return array
    notes.append("its data window was fitted to its display window")
    canvas = np.zeros((height, width, *array.shape[2:]), np.float32)
    dx, dy = left - x0, top - y0
    part = array[max(0, -dy) : max(0, height - dy), max(0, -dx) : max(0, width - dx)]
    y, x = max(0, dy), max(0, dx)
    canvas[y : y + part.shape[0], x : x + part.shape[1]] = part
    return canvas


def rgb_to_xyz(chromaticities: tuple[float, ...]) -> NDArray[np.float64]:
    """Matrix (3, 3) from linear RGB of these primaries and white to XYZ (SMPTE RP 177)."""
    x, y = np.array(chromaticities, np.float64).reshape(4, 2).T
    columns = np.stack([x / y, np.ones(4), (1 - x - y) / y])
    primaries, white = columns[:, :3], columns[:, 3]
    return np.asarray(primaries * np.linalg.solve(primaries, white))


def _to_bt709(value: bytes) -> NDArray[np.float32] | None:
    """Matrix from a file's primaries to BT.709's, None where they are the same or senseless."""
    if len(value) != 32:
        return None
    points = struct.unpack("<8f", value)
    if not np.isfinite(points).all() or min(points[1::2]) <= 0:
        return None
    if np.allclose(points, BT709_CHROMATICITIES, atol=2e-3):
        return None
    try:
        source, target = rgb_to_xyz(points), rgb_to_xyz(BT709_CHROMATICITIES)
        whites = _BRADFORD @ (source @ np.ones(3)), _BRADFORD @ (target @ np.ones(3))
        adapt = np.linalg.solve(_BRADFORD, np.diag(whites[1] / whites[0]) @ _BRADFORD)
        matrix = np.linalg.solve(target, adapt @ source)
    except np.linalg.LinAlgError:
        return None
    return matrix.astype(np.float32) if np.isfinite(matrix).all() else None

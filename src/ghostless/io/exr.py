"""OpenEXR: half and float, the red, green and blue channels of whatever layer has them."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import FileReadError
from .containers import Damaged, Header
from .quiet import captured_stderr

# Chromaticities (x, y) of Rec. ITU-R BT.709-6: red, green, blue, white (D65).
BT709_CHROMATICITIES: Final = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)
# OpenEXR's PixelType: UINT, HALF, FLOAT.
_SAMPLE_TYPES: Final = {0: np.uint32, 1: np.float16, 2: np.float32}
# Bradford's cone responses, to adapt one white to another (ICC.1:2022 annex E).
_BRADFORD: Final = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)


def read_exr_header(path: Path) -> Header:
    """Read the display window's size and check that every chunk of pixels is within the file."""
    with captured_stderr():
        head = _header(path)
    x0, y0, x1, y1 = _window(head["displayWindow"])
    _channel_names(head["channels"])
    left, top, right, bottom = _window(head["dataWindow"])
    header = Header(x1 - x0 + 1, y1 - y0 + 1, bits=32)
    if (right - left + 1) * (bottom - top + 1) > header.width * header.height:
        header.width, header.height = right - left + 1, bottom - top + 1
    return header


def _header(path: Path) -> dict[str, Any]:
    import OpenEXR

    with path.open("rb") as stream:
        version = struct.unpack("<I", stream.read(8)[4:])[0]
    if version & 0x800:
        raise FileReadError("expected a flat OpenEXR picture, found a deep one; render it flat")
    file = OpenEXR.InputFile(str(path))
    try:
        return dict(file.header())
    finally:
        file.close()


def _window(box: Any) -> tuple[int, int, int, int]:
    x0, y0, x1, y1 = int(box.min.x), int(box.min.y), int(box.max.x), int(box.max.y)
    if x1 < x0 or y1 < y0:
        raise Damaged("its window is empty")
    return x0, y0, x1, y1


def _channel_names(channels: dict[str, Any]) -> list[str]:
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


def _checked(names: list[str], channels: dict[str, Any]) -> list[str]:
    if any((channels[name].xSampling, channels[name].ySampling) != (1, 1) for name in names):
        raise FileReadError("expected channels at full size, found subsampled ones; write RGB")
    return names


def decode_exr(path: Path) -> tuple[NDArray[np.float32], list[str]]:
    """Decode to (H, W, 3) float32, linear, sRGB primaries; also returns notes."""
    import OpenEXR

    with captured_stderr():
        file = OpenEXR.InputFile(str(path))
        try:
            head = dict(file.header())
            names = _channel_names(head["channels"])
            planes = file.channels(names)
        finally:
            file.close()
    left, top, right, bottom = _window(head["dataWindow"])
    shape = (bottom - top + 1, right - left + 1)
    channels = [
        np.frombuffer(plane, _SAMPLE_TYPES[head["channels"][name].type.v])
        .reshape(shape)
        .astype(np.float32)
        for name, plane in zip(names, planes, strict=True)
    ]
    array = cv2.merge(channels if len(channels) == 3 else channels * 3)
    notes: list[str] = []
    array = _to_display_window(array, left, top, _window(head["displayWindow"]), notes)
    matrix = _to_bt709(head.get("chromaticities"))
    if matrix is not None:
        notes.append("its primaries were converted to those of sRGB")
        array = cv2.transform(array, matrix)
    return np.asarray(array), notes


def _to_display_window(
    array: NDArray[Any], left: int, top: int, window: tuple[int, int, int, int], notes: list[str]
) -> NDArray[Any]:
    """Cut or pad with black to the window that the picture is meant to be looked at in."""
    x0, y0, x1, y1 = window
    height, width = y1 - y0 + 1, x1 - x0 + 1
    if (left, top) == (x0, y0) and array.shape[:2] == (height, width):
        return array
    notes.append("its data window was fitted to its display window")
    canvas = np.zeros((height, width, 3), np.float32)
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


def _to_bt709(value: Any) -> NDArray[np.float32] | None:
    """Matrix from a file's primaries to BT.709's, None where they are the same or senseless."""
    if value is None:
        return None
    corners = (value.red, value.green, value.blue, value.white)
    points = tuple(float(number) for point in corners for number in (point.x, point.y))
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

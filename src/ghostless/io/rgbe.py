"""Pixels of Radiance HDR files."""

from __future__ import annotations

import struct
from typing import Final

import cv2
import imagecodecs
import numpy as np
from numpy.typing import NDArray

from .containers import RadianceHeader
from .headers import Damaged

ROWS_AT_ONCE: Final = 256
# XYZ (equal-energy white, as Radiance has it) to linear sRGB primaries: the matrix of
# IEC 61966-2-1 with its rows scaled so that equal XYZ gives equal RGB.
XYZ_TO_SRGB: Final = np.array(
    [[3.2404542, -1.5371385, -0.4985314], [-0.9692660, 1.8760108, 0.0415560],
     [0.0556434, -0.2040259, 1.0572252]], np.float32,
)  # fmt: skip


def decode_radiance(data: bytes, header: RadianceHeader) -> NDArray[np.float32]:
    """Decode RGBE: (H, W, 3) float32, mantissa / 256 * 2^exponent."""
    width, height = header.width, header.height
    body = data[header.pixels_at :]
    if body[:4] == b"\2\2" + struct.pack(">H", width) and 8 <= width < 32768:
        array = np.empty((height, width, 3), np.float32)
        imagecodecs.rgbe_decode(body, header=False, rle=True, out=array)
    else:
        array = _rgbe_to_float(_old_runs(body, width * height).reshape(height, width, 4))
    if header.xyz:
        matrix = XYZ_TO_SRGB / XYZ_TO_SRGB.sum(axis=1, keepdims=True)
        array = np.maximum(cv2.transform(array, matrix), 0)
    return array


def _old_runs(body: bytes, count: int) -> NDArray[np.uint8]:
    """Undo the old run-length scheme: (1, 1, 1, n) repeats the pixel before n times.

    Runs in a row shift their counts by 8 bits each. A file without runs is `count` plain pixels.
    """
    pixels = np.frombuffer(body, np.uint8, len(body) // 4 * 4).reshape(-1, 4)
    marks = np.flatnonzero((pixels[:, :3] == 1).all(axis=1))
    if marks.size == 0:
        if len(pixels) < count:
            raise Damaged(f"it ends after {len(pixels)} of {count} pixels")
        return pixels[:count]
    repeats = np.ones(len(pixels), np.int64)
    shift, before = 0, -2
    for mark in marks:
        shift = shift + 8 if mark == before + 1 else 0
        repeats[mark] = int(pixels[mark, 3]) << min(shift, 32)
        before = int(mark)
    is_run = np.zeros(len(pixels), bool)
    is_run[marks] = True
    if is_run[0]:
        raise Damaged("it begins with a run")
    source = np.maximum.accumulate(np.where(is_run, 0, np.arange(len(pixels))))
    ends = np.cumsum(np.minimum(repeats, count))
    if ends[-1] < count:
        raise Damaged(f"it ends after {ends[-1]} of {count} pixels")
    last = int(np.searchsorted(ends, count))
    repeats = repeats[: last + 1]
    repeats[last] = count - (int(ends[last - 1]) if last else 0)
    whole = np.repeat(pixels.view(np.uint32).ravel()[source[: last + 1]], repeats)
    return whole.view(np.uint8).reshape(-1, 4)


def _rgbe_to_float(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    light = np.empty((*pixels.shape[:2], 3), np.float32)
    for start in range(0, len(pixels), ROWS_AT_ONCE):
        rows = pixels[start : start + ROWS_AT_ONCE]
        exponents = rows[:, :, 3].astype(np.int32)
        scale = np.where(exponents > 0, np.ldexp(np.float32(1), exponents - 136), 0)
        np.multiply(
            rows[:, :, :3],
            scale[:, :, None],
            out=light[start : start + len(rows)],
            casting="unsafe",
        )
    return light

"""Transfer curves and colour matrices: every constant that turns numbers into light or back.

Encoded values are called display (0..1, sRGB curve); linear ones are proportional to light.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Transfer = Literal["srgb", "linear"]

# Luma of Rec. ITU-R BT.601-7, the weights of MATLAB's rgb2gray and of most fusion papers.
LUMA_601 = np.array([0.2989, 0.5870, 0.1140], dtype=np.float32)
# Relative luminance of linear Rec. ITU-R BT.709-6 / sRGB primaries.
LUMINANCE_709 = np.array([0.2126, 0.7152, 0.0722], dtype=np.float32)

_BIT_LEVELS = {np.dtype(np.uint8): 256, np.dtype(np.uint16): 65536}


def srgb_to_linear(display: NDArray[Any]) -> NDArray[np.float32]:
    """Decode sRGB display values (any shape, 0..1) to linear light (IEC 61966-2-1).

    >>> float(srgb_to_linear(np.float32([0.5]))[0].round(4))
    0.214
    """
    x = np.asarray(display, dtype=np.float32)
    low = x * np.float32(1 / 12.92)
    high = np.power(np.maximum((x + np.float32(0.055)) * np.float32(1 / 1.055), 0), np.float32(2.4))
    return np.where(x <= np.float32(0.04045), low, high).astype(np.float32, copy=False)


def linear_to_srgb(linear: NDArray[Any]) -> NDArray[np.float32]:
    """Encode linear light (any shape, clipped below at 0) with the sRGB curve (IEC 61966-2-1)."""
    x = np.maximum(np.asarray(linear, dtype=np.float32), 0)
    low = x * np.float32(12.92)
    high = np.float32(1.055) * np.power(x, np.float32(1 / 2.4)) - np.float32(0.055)
    return np.where(x <= np.float32(0.0031308), low, high).astype(np.float32, copy=False)


@lru_cache(maxsize=8)
def _table(levels: int, transfer: Transfer, wanted: Transfer) -> NDArray[np.float32]:
    codes = np.arange(levels, dtype=np.float32) / np.float32(levels - 1)
    if transfer == wanted:
        table = codes
    elif wanted == "linear":
        table = srgb_to_linear(codes)
    else:
        table = linear_to_srgb(codes)
    table.flags.writeable = False
    return table


def _decode(pixels: NDArray[Any], transfer: Transfer, wanted: Transfer) -> NDArray[np.float32]:
    levels = _BIT_LEVELS.get(pixels.dtype)
    if levels == 256:
        return np.asarray(cv2.LUT(pixels, _table(256, transfer, wanted)))
    if levels is not None:
        return np.take(_table(levels, transfer, wanted), pixels)
    if transfer == wanted:
        return pixels.astype(np.float32, copy=False)
    return srgb_to_linear(pixels) if wanted == "linear" else linear_to_srgb(pixels)


def to_unit(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """Scale integer pixels (uint8, uint16) to float32 0..1; floats pass through unchanged.

    Any shape (..., 3) or (H, W).
    """
    levels = _BIT_LEVELS.get(pixels.dtype)
    if levels is None:
        return pixels.astype(np.float32, copy=False)
    return pixels.astype(np.float32) * np.float32(1 / (levels - 1))


def to_linear(pixels: NDArray[Any], transfer: Transfer) -> NDArray[np.float32]:
    """Turn stored pixels (uint8, uint16, float32; any shape) into linear light, 1.0 = clip."""
    return _decode(pixels, transfer, "linear")


def to_display(pixels: NDArray[Any], transfer: Transfer) -> NDArray[np.float32]:
    """Turn stored pixels (uint8, uint16, float32; any shape) into display values, 0..1."""
    display = _decode(pixels, transfer, "srgb")
    return display if pixels.dtype in _BIT_LEVELS else np.clip(display, 0, 1)


def luma(display: NDArray[np.float32]) -> NDArray[np.float32]:
    """Luma (H, W) of display RGB (H, W, 3), weights of BT.601 as MATLAB's rgb2gray."""
    return np.asarray(cv2.transform(display, LUMA_601.reshape(1, 3)))


def luminance(linear: NDArray[np.float32]) -> NDArray[np.float32]:
    """Relative luminance (H, W) of linear RGB (H, W, 3) with sRGB primaries (BT.709)."""
    return np.asarray(cv2.transform(linear, LUMINANCE_709.reshape(1, 3)))


# JFIF (ITU-T T.871): full-range YCbCr of BT.601, here with planes 0..1 and neutral chroma 0.5.
YCBCR_FROM_RGB = np.array(
    [
        [0.299, 0.587, 0.114],
        [-0.299 / 1.772, -0.587 / 1.772, 0.5],
        [0.5, -0.587 / 1.402, -0.114 / 1.402],
    ],
    dtype=np.float64,
)
RGB_FROM_YCBCR = np.linalg.inv(YCBCR_FROM_RGB)
NEUTRAL_CHROMA = 0.5


def rgb_to_ycbcr(display: NDArray[np.float32]) -> NDArray[np.float32]:
    """Full-range YCbCr (H, W, 3) of display RGB (H, W, 3), both 0..1; grey has Cb = Cr = 0.5."""
    matrix = np.column_stack([YCBCR_FROM_RGB, [0, NEUTRAL_CHROMA, NEUTRAL_CHROMA]])
    return np.asarray(cv2.transform(display, matrix.astype(np.float32)))


def ycbcr_to_rgb(ycbcr: NDArray[np.float32]) -> NDArray[np.float32]:
    """Display RGB (H, W, 3) of full-range YCbCr (H, W, 3); not clipped to 0..1."""
    offset = -RGB_FROM_YCBCR[:, 1:].sum(axis=1) * NEUTRAL_CHROMA
    matrix = np.hstack([RGB_FROM_YCBCR, offset[:, None]]).astype(np.float32)
    return np.asarray(cv2.transform(ycbcr, matrix))


def fuse_chroma(chroma: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Fuse the same chroma plane(s) of several images: the more colour, the more weight.

    chroma: arrays of one shape, values 0..1 with neutral 0.5. Returns the mean of the values
    weighted by their distance from neutral (Prabhakar et al., DeepFuse, ICCV 2017; LCNDR eq. 10),
    and neutral where no image has colour.
    """
    numerator = np.zeros_like(chroma[0])
    denominator = np.zeros_like(chroma[0])
    for plane in chroma:
        offset = plane - np.float32(NEUTRAL_CHROMA)
        weight = np.abs(offset)
        denominator += weight
        numerator += offset * weight
    np.divide(numerator, denominator, out=numerator, where=denominator > 0)
    return numerator + np.float32(NEUTRAL_CHROMA)


# Linear RGB of BT.709 primaries to BT.2020's, both with white D65: Rec. ITU-R BT.2087-0, section 3.
BT2020_FROM_BT709 = np.array(
    [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]],
    dtype=np.float64,
)
# The luminance of SDR white in an HDR picture, cd/m2: Report ITU-R BT.2408, section 2.
SDR_WHITE_NITS = 203.0
# SMPTE ST 2084, equations 4.1 and 5.1 (PQ); codes 0..1 stand for 0 to 10,000 cd/m2.
PQ_PEAK_NITS = 10_000.0
_PQ_M1, _PQ_M2 = 2610 / 16384, 2523 / 4096 * 128
_PQ_C1, _PQ_C2, _PQ_C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32


def pq_encode(nits: NDArray[Any]) -> NDArray[np.float32]:
    """Encode luminance in cd/m2 (any shape, clipped to 0..10,000) as PQ codes, 0..1.

    >>> float(pq_encode(np.float32([203.0]))[0].round(3))
    0.581
    """
    share = np.asarray(nits, dtype=np.float32) * np.float32(1 / PQ_PEAK_NITS)
    power = np.power(np.clip(share, 0, 1), np.float32(_PQ_M1))
    ratio = (np.float32(_PQ_C1) + np.float32(_PQ_C2) * power) / (1 + np.float32(_PQ_C3) * power)
    return np.asarray(np.power(ratio, np.float32(_PQ_M2)), np.float32)


def pq_decode(codes: NDArray[Any]) -> NDArray[np.float32]:
    """Decode PQ codes (any shape, 0..1) to luminance in cd/m2, 0..10,000."""
    root = np.power(np.clip(np.asarray(codes, dtype=np.float64), 0, 1), 1 / _PQ_M2)
    share = np.power(np.maximum(root - _PQ_C1, 0) / (_PQ_C2 - _PQ_C3 * root), 1 / _PQ_M1)
    return (PQ_PEAK_NITS * share).astype(np.float32)

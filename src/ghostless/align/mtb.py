"""Shifts from median threshold bitmaps: Ward, Fast, Robust Image Registration for Compositing High
Dynamic Range Photographs from Hand-Held Exposures, JGT 8(2), 2003.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

# The paper's grey, levels, exclusion and percentiles for extreme exposures.
_GRAY = np.array([[54, 183, 19]], np.float32) / 256
_LEVELS = 6
_EXCLUDED_CODES = 4
_PERCENTILES = (50, 17, 83)
# A threshold this close to black or white (codes) splits noise or clipping, not the scene.
_MARGIN_CODES = 12.0
_SMALLEST_SIDE = 8
# A shift counts only if it removes this share of zero shift's errors.
_CLEARLY = 0.1


def _threshold_percentile(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """Percentile for both images: the median unless it lies near a clip in one of them."""

    def room(percentile: float) -> float:
        levels = [float(np.percentile(image, percentile)) for image in (first, second)]
        return min(min(level, 255 - level) for level in levels)

    if room(50) >= _MARGIN_CODES:
        return 50.0
    # Between and beyond the paper's 17 and 83 when those are clipped as well.
    return max((*_PERCENTILES, 5, 10, 25, 33, 67, 75, 90, 95), key=room)


def _bitmaps(
    image: NDArray[np.uint8], percentile: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    level = float(np.percentile(image, percentile))
    return image > level, np.abs(image.astype(np.int16) - level) > _EXCLUDED_CODES


def _errors(
    first: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    second: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    dx: int,
    dy: int,
) -> float:
    height, width = first[0].shape
    rows = slice(max(0, -dy), height - max(0, dy))
    columns = slice(max(0, -dx), width - max(0, dx))
    rows_b = slice(max(0, dy), height - max(0, -dy))
    columns_b = slice(max(0, dx), width - max(0, -dx))
    counted = first[1][rows, columns] & second[1][rows_b, columns_b]
    differ = (first[0][rows, columns] ^ second[0][rows_b, columns_b]) & counted
    total = counted.size
    return float(np.count_nonzero(differ)) / total if total else 1.0


def _halved(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    size = (image.shape[1] // 2, image.shape[0] // 2)
    half: Any = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.asarray(half)


def _grey(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.clip(np.rint(cv2.transform(image, _GRAY)), 0, 255).astype(np.uint8)


def bitmap_difference(reference: NDArray[np.float32], moving: NDArray[np.float32]) -> float:
    """Share of pixels, 0..1, whose median threshold bitmaps differ; lower is better aligned.

    Two images (h, w, 3) RGB, 0..255, of one size. Pixels within 4 codes of the threshold of one
    image do not count as different. Exposures do not matter, as far as nothing is clipped.
    """
    first, second = _grey(reference), _grey(moving)
    percentile = _threshold_percentile(first, second)
    return _errors(_bitmaps(first, percentile), _bitmaps(second, percentile), 0, 0)


def mtb_shift(reference: NDArray[np.float32], moving: NDArray[np.float32]) -> tuple[int, int]:
    """Find the shift between two images (h, w, 3) RGB, 0..255, up to 63 pixels each way.

    Returns (dx, dy), whole pixels: reference(x, y) shows what moving(x + dx, y + dy) shows. It is
    (0, 0) unless another shift removes clearly more than noise.
    """
    images = [_grey(image) for image in (reference, moving)]
    pyramid = [images]
    while len(pyramid) < _LEVELS and min(pyramid[-1][0].shape) // 2 >= _SMALLEST_SIDE:
        pyramid.append([_halved(image) for image in pyramid[-1]])
    percentile = _threshold_percentile(*images)
    dx = dy = 0
    errors = unmoved = 1.0
    for first, second in reversed(pyramid):
        maps = _bitmaps(first, percentile), _bitmaps(second, percentile)
        dx, dy = 2 * dx, 2 * dy
        height, width = first.shape
        tries = [
            (_errors(*maps, dx + x, dy + y), abs(x) + abs(y), dx + x, dy + y)
            for x in (-1, 0, 1)
            for y in (-1, 0, 1)
            if abs(dx + x) < width and abs(dy + y) < height
        ]
        errors, _, dx, dy = min(tries)
        unmoved = _errors(*maps, 0, 0)
    return (dx, dy) if errors < unmoved * (1 - _CLEARLY) else (0, 0)

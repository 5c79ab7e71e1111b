"""The range of a fused picture, and which levels of its frames are the same light.

Histograms have 256 levels whatever the type of the photos is.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..pixels.pyramid import Plane
from ..pixels.stripes import for_each_stripe
from .photos import Photos

LEVELS = 256


def stretch(pixels: NDArray[np.float32], percent: float) -> None:
    """Stretch the range between two percentiles to 0..1 in place, and clip.

    The low percentile is that of each pixel's darkest channel, the high one that of its brightest
    (Hessel, IPOL 2018).
    """
    low = _percentile(pixels.min(axis=2), percent, upper=False)
    high = _percentile(pixels.max(axis=2), percent, upper=True)
    if high - low < 1 / 255:  # one flat tone: nothing to stretch
        low, high = 0.0, 1.0

    def work(rows: NDArray[np.float32]) -> None:
        rows -= np.float32(low)
        rows *= np.float32(1 / (high - low))
        np.clip(rows, 0, 1, out=rows)

    each_rows(pixels, work)


def each_rows(pixels: NDArray[np.float32], work: Callable[[NDArray[np.float32]], object]) -> None:
    """Call `work` with stripes of a picture (H, W, 3), to be changed in place."""

    def work_on(start: int, stop: int) -> None:
        work(pixels[start:stop])

    for_each_stripe(pixels.shape[0], pixels.shape[1], work_on)


def _percentile(plane: Plane, percent: float, *, upper: bool) -> float:
    rank = int(plane.size * percent / 100)
    rank = plane.size - 1 - rank if upper else rank
    return float(np.partition(plane.ravel(), rank)[rank])


def histograms(photos: Photos) -> NDArray[np.int64]:
    """Histograms of what is seen in all frames at once: (frames, 3 channels, 256 levels)."""
    count = len(photos.stack.frames)
    found: dict[int, NDArray[np.int64]] = {}

    def work(start: int, stop: int) -> None:
        seen = [mask > 0.5 for mask in photos.masks(start, stop) if mask is not None]
        keep = np.logical_and.reduce(seen) if seen else None
        bins = np.zeros((count, 3, LEVELS), np.int64)
        for index, planes in enumerate(photos.planes(start, stop)):
            for channel, plane in enumerate(planes):
                codes = (plane * np.float32(LEVELS - 1) + np.float32(0.5)).astype(np.uint8)
                kept = codes.ravel() if keep is None else codes[keep]
                bins[index, channel] = np.bincount(kept, minlength=LEVELS)
        found[start] = bins

    for_each_stripe(*photos.size, work)
    return np.asarray(sum(found.values(), np.zeros((count, 3, LEVELS), np.int64)))


def matched_levels(source: NDArray[np.int64], target: NDArray[np.int64]) -> NDArray[np.int64]:
    """For every level of a histogram the level of another with the nearest cumulative count.

    The lowest one where several are as near. Both (256,); returns (256,).

    >>> source, target = np.zeros((2, 256), np.int64)
    >>> source[[10, 20]], target[[30, 60]] = 5, 5
    >>> matched_levels(source, target)[[10, 20]].tolist()
    [30, 60]
    """
    wanted, there = np.cumsum(source), np.cumsum(target)
    return np.asarray(np.abs(wanted[:, None] - there[None, :]).argmin(axis=1), np.int64)

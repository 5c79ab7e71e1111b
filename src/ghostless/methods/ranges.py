"""The range of a fused picture, and which levels of its frames are the same light.

Histograms have 256 levels whatever the type of the photos is.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from ..pixels.pyramid import Plane
from ..pixels.stripes import every, for_each_stripe
from .photos import Photos

LEVELS = 256
# Display values from which highlights and shadows give way to what overshoots, and the share of all
# pixels that may still be cut off at each end.
_SHOULDER_FROM, _TOE_FROM = 0.9, 0.3
_CUT_SHARE = 0.002


def fit_range(pixels: NDArray[np.float32]) -> None:
    """Bring a fused picture (H, W, 3) into 0..1 in place, with detail in what overshoots.

    Blending over scales drives large bright areas beside dark ones above 1 and dark ones beside
    bright ones below 0, and clipping would turn them white and black though some exposure shows
    what is there. A shoulder, by the brightest channel so that colours keep their hue, and a toe,
    by the luma, make room for them; a picture that does not overshoot is left as it is.
    """
    height, width = pixels.shape[:2]
    sample = every(pixels, max(1, int((height * width / 2**20) ** 0.5)))
    top = float(np.quantile(_brightest_channel(sample), 1 - _CUT_SHARE))
    bottom = float(np.quantile(_luma(sample), _CUT_SHARE))

    def work(rows: NDArray[np.float32]) -> None:
        if top > 1:
            brightest = _brightest_channel(rows)
            if brightest.max() > _SHOULDER_FROM:
                factor = _shoulder(brightest, top)
                cv2.multiply(rows, cv2.merge([factor] * 3), dst=rows)
        if bottom < 0:
            luma = _luma(rows)
            if luma.min() < _TOE_FROM:
                cv2.add(rows, cv2.merge([_toe(luma, bottom)] * 3), dst=rows)
        np.clip(rows, 0, 1, out=rows)

    each_rows(pixels, work)


def _brightest_channel(pixels: NDArray[np.float32]) -> Plane:
    red, green, blue = cv2.split(pixels)
    return np.asarray(np.maximum(np.maximum(red, green), blue), np.float32)


def _luma(pixels: NDArray[np.float32]) -> Plane:
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.float32)


def _shoulder(brightest: Plane, top: float) -> Plane:
    """Factor that bends values above the shoulder, so that `top` becomes 1."""
    above = brightest - np.float32(_SHOULDER_FROM)
    wanted = _eased(above, top - _SHOULDER_FROM, 1 - _SHOULDER_FROM) + np.float32(_SHOULDER_FROM)
    factor = wanted / np.maximum(brightest, np.float32(_SHOULDER_FROM))
    return np.where(above > 0, factor, np.float32(1))


def _toe(luma: Plane, bottom: float) -> Plane:
    """What is to be added to values below the toe, so that `bottom` becomes 0."""
    below = np.float32(_TOE_FROM) - luma
    lift = below - _eased(below, _TOE_FROM - bottom, _TOE_FROM)
    return np.where(below > 0, lift, np.float32(0))


def _eased(distance: Plane, longest: float, room: float) -> Plane:
    """Distances 0..longest brought to 0..room: slope 1 at 0, then less and less."""
    steepness = longest / room
    t = np.clip(distance * np.float32(1 / longest), 0, 1)
    return np.asarray(t * np.float32(longest) / (1 + np.float32(steepness - 1) * t), np.float32)


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

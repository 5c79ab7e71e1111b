"""Metrics of structure: local similarity of the fused image to its sources.

All work on single planes (H, W), values 0..255; `ghostless.research.metrics` averages over R, G, B.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ._filters import correlate_same, gaussian, require_size, smooth_valid

Bytes = NDArray[np.uint8]
Plane = NDArray[np.float64]

# The constant that MEFB's code of Qc and Qy takes where SSIM has (K L)^2.
_TINY = 2e-16


def _similarity(
    first: Plane, second: Plane, window: Plane, c1: float, c2: float
) -> tuple[Plane, Plane, Plane]:
    """SSIM map and both variances (valid region)."""
    mean1, mean2 = smooth_valid(first, window), smooth_valid(second, window)
    variance1 = smooth_valid(first * first, window) - mean1 * mean1
    variance2 = smooth_valid(second * second, window) - mean2 * mean2
    covariance = smooth_valid(first * second, window) - mean1 * mean2
    above = (2 * mean1 * mean2 + c1) * (2 * covariance + c2)
    below = (mean1 * mean1 + mean2 * mean2 + c1) * (variance1 + variance2 + c2)
    return above / below, variance1, variance2


@dataclass(frozen=True)
class WindowSimilarities:
    """Qc and Qy of the same three planes; they share their windows' moments."""

    cvejic: float
    yang: float


def window_similarities(
    first: Bytes, second: Bytes, fused: Bytes, *, exact: bool = False
) -> WindowSimilarities:
    """Qc and Qy: similarity to the sources in 7 x 7 windows, weighted in two ways.

    Qc (Cvejic et al. 2005) weights the sources by their covariance with the result. Qy (Yang et
    al. 2008) weights them by their variance where they are alike, and takes the more similar one
    where they are not. MEFB's code has no stabilising constant, so in windows where an image is
    flat (clipped) its values are the rounding error of the sums, and may reach hundreds. That error
    is followed (see `_WindowMoments`), because the official figures contain it.

    exact: as the same formulas come out in exact arithmetic: a flat window has no variance and no
        covariance with others. Two flat windows are then as similar as their levels, and windows
        in which the formulas are 0 / 0 are left out. Both values lie in -1..1. The published table
        of MEFB is of this kind: on twelve results of other programs Qy is within 0.4 % of it and
        Qc within 4.5 %, where the noise of MEFB's code gives up to 470.
    """
    moments = (_ExactMoments if exact else _WindowMoments)(first, second, fused)
    similar_a, similar_b = moments.similarity(0, 2), moments.similarity(1, 2)

    share = _share(moments.covariance(0, 2), moments.covariance(1, 2))
    quality = share * similar_a + (1 - share) * similar_b
    quality[share < 0] = 0
    quality[share > 1] = 1
    cvejic = _mean_of_known(quality)

    share = _share(moments.covariance(0, 0), moments.covariance(1, 1))
    redundant = share * similar_a + (1 - share) * similar_b
    alike = moments.similarity(0, 1) >= 0.75
    # As in MEFB both terms are summed, so a pixel without a share is left out in either case.
    yang = _mean_of_known(redundant * alike + np.maximum(similar_a, similar_b) * ~alike)
    return WindowSimilarities(cvejic, yang)


def _share(first: Plane, second: Plane) -> Plane:
    """The first one's share of the sum; not a number where the sum is zero."""
    total = first + second
    return np.divide(first, total, out=np.full_like(total, np.nan), where=total != 0)


class _WindowMoments:
    """Moments of three planes in 7 x 7 Gaussian windows, as GNU Octave's filter2 rounds them.

    Octave sums the 49 products of a window column by column, last pixel first, with fused
    multiply-add. The order matters only where a plane is flat, for there a variance is nothing
    but the rounding error; only those windows are summed that way, the others by separable filters.
    """

    def __init__(self, *planes: Bytes) -> None:
        require_size(planes[0].shape, 11, "Qc or Qy")
        self._planes = planes
        self._flat = [_is_flat(plane) for plane in planes]
        self._any_flat = np.logical_or.reduce(self._flat)
        self._sums: dict[tuple[int, ...], Plane] = {}

    def covariance(self, i: int, j: int) -> Plane:
        """Weighted covariance (H-6, W-6) of planes i and j."""
        return self._sum(i, j) - self._sum(i) * self._sum(j)

    def similarity(self, i: int, j: int) -> Plane:
        """SSIM map (H-6, W-6) of planes i and j with MEFB's tiny constants."""
        product = self._sum(i) * self._sum(j)
        above = (2 * product + _TINY) * (2 * self.covariance(i, j) + _TINY)
        squares = self._sum(i) ** 2 + self._sum(j) ** 2 + _TINY
        return np.asarray(
            above / (squares * (self.covariance(i, i) + self.covariance(j, j) + _TINY))
        )

    def _sum(self, *indices: int) -> Plane:
        """Weighted sum (H-6, W-6) of a plane, or of the product of two."""
        if indices not in self._sums:
            plane = self._planes[indices[0]].astype(np.uint16)
            if len(indices) == 2:
                plane *= self._planes[indices[1]]
            total = smooth_valid(plane.astype(np.float64), gaussian(7, 1.5))
            touched = self._any_flat
            if len(indices) == 2:
                touched = self._flat[indices[0]] | self._flat[indices[1]]
            constant = _is_flat(plane)
            levels, which = np.unique(plane[3:-3, 3:-3][constant], return_inverse=True)
            total[constant] = _octave_sum(repeat(levels, 49), len(levels))[which]
            rows, columns = np.nonzero(touched & ~constant)
            total[rows, columns] = _octave_sums_at(plane, rows, columns)
            self._sums[indices] = total
        return self._sums[indices]


class _ExactMoments(_WindowMoments):
    """The same moments, where flat windows have exactly no variance and no covariance."""

    def covariance(self, i: int, j: int) -> Plane:
        return np.where(self._flat[i] | self._flat[j], 0.0, super().covariance(i, j))

    def _sum(self, *indices: int) -> Plane:
        if indices not in self._sums:
            product = np.prod([self._planes[i].astype(np.float64) for i in indices], axis=0)
            self._sums[indices] = smooth_valid(product, gaussian(7, 1.5))
        return self._sums[indices]


def _is_flat(plane: NDArray[np.unsignedinteger[Any]]) -> NDArray[np.bool_]:
    """Whether each 7 x 7 window (H-6, W-6) of a plane holds one value only."""
    box = np.ones((7, 7), np.uint8)
    return np.asarray((cv2.dilate(plane, box) == cv2.erode(plane, box))[3:-3, 3:-3])


def _octave_sums_at(
    plane: NDArray[np.uint16], rows: NDArray[np.intp], columns: NDArray[np.intp]
) -> Plane:
    """Octave's sums of the windows whose top left pixels are given."""
    width = plane.shape[1]
    pixels = plane.ravel()
    starts = rows * width + columns
    sums = np.empty(len(starts), np.float64)
    for begin in range(0, len(starts), _CHUNK):
        chunk = starts[begin : begin + _CHUNK]
        windows = (pixels.take(chunk + (r * width + c)) for r, c in _OCTAVE_ORDER)
        sums[begin : begin + _CHUNK] = _octave_sum(windows, len(chunk))
    return sums


def _octave_sum(windows: Iterable[NDArray[np.uint16]], count: int) -> Plane:
    """Sum the products of 49 pixels and the kernel, each step rounded once.

    windows: in `_OCTAVE_ORDER`, one pixel of each of `count` windows. A fused multiply-add rounds
    total + pixel x weight once. Here the weight is split in two halves whose products with 16-bit
    pixels are exact, and the error of the first addition is carried (Knuth's two-sum) into the
    second.
    """
    total = np.zeros(count, np.float64)
    for (row, column), window in zip(_OCTAVE_ORDER, windows, strict=True):
        weight = _OCTAVE_KERNEL[row, column]
        high = float(np.float32(weight))
        pixels = window.astype(np.float64)
        product = pixels * high
        added = total + product
        rest = added - total
        error = (total - (added - rest)) + (product - rest)
        pixels *= weight - high
        error += pixels
        total = added + error
    return total


def _octave_gaussian(size: int, sigma: float) -> Plane:
    """Two-dimensional Gaussian normalised twice by sums in storage order, as MEFB's code has it."""
    offsets = [x - (size - 1) / 2 for x in range(size)]
    kernel = [[math.exp(-(x * x + y * y) / (2 * sigma**2)) for y in offsets] for x in offsets]
    total = 0.0
    for column in kernel:
        for value in column:
            total += value
    kernel = [[value / total for value in column] for column in kernel]
    sums = []
    for column in kernel:
        partial = 0.0
        for value in column:
            partial += value
        sums.append(partial)
    total = 0.0
    for partial in sums:
        total += partial
    return np.array([[value / total for value in column] for column in kernel]).T


_OCTAVE_KERNEL = _octave_gaussian(7, 1.5)
_OCTAVE_ORDER = [(row, column) for column in range(6, -1, -1) for row in range(6, -1, -1)]
# Windows summed at a time, so that the working arrays stay in the cache.
_CHUNK = 16384


def piella_edge_similarity(first: Bytes, second: Bytes, fused: Bytes) -> float:
    """Qw as MEFB has it: Piella's weighted similarity taken on edge images (Piella 2003)."""
    a, b, f = (_prewitt(plane.astype(np.float64)) for plane in (first, second, fused))
    require_size(a.shape, 11, "Qw")
    window = gaussian(11, 1.5)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    _, variance_a, variance_b = _similarity(a, b, window, c1, c2)
    flat = variance_a + variance_b == 0
    variance_a = variance_a + 0.5 * flat
    variance_b = variance_b + 0.5 * flat
    share = variance_a / (variance_a + variance_b)
    similar_a, *_ = _similarity(f, a, window, c1, c2)
    similar_b, *_ = _similarity(f, b, window, c1, c2)
    weight = np.maximum(variance_a, variance_b)
    return float(np.sum(weight * (share * similar_a + (1 - share) * similar_b)) / np.sum(weight))


def _prewitt(plane: Plane) -> Plane:
    kernel = np.array([[1, 0, -1]] * 3, np.float64)
    across = correlate_same(plane, kernel)
    down = correlate_same(plane, np.ascontiguousarray(kernel.T))
    return np.hypot(across, down)


def _mean_of_known(values: Plane) -> float:
    known = values[~np.isnan(values)]
    # Nothing but flat windows: the images agree as far as this metric can see.
    return float(known.mean()) if known.size else 1.0

"""Smoothing that keeps the edges of another picture, by recursion along rows and columns.

Gastal, Oliveira: Domain Transform for Edge-Aware Image and Video Processing, SIGGRAPH 2011, the
recursive filter. Two neighbours are as far apart as they are unlike in the guide; what decays with
that distance is carried along every row, forward and back, and along every column.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .pyramid import Plane
from .stripes import for_each_stripe

_ITERATIONS = 3
# Rows read at once: recursion along rows is quick over many, and blocks of rows are read in order.
_ROWS = 256

# Rows start..stop of the guide, (rows, W, 3), 0..1.
ReadGuide = Callable[[int, int], NDArray[np.float32]]


def smooth_recursively(plane: Plane, guide: ReadGuide, sigma: float, sigma_range: float) -> None:
    """Smooth a plane (H, W) in place but for the edges of a guide.

    sigma: of the smoothing, in pixels. sigma_range: difference of the guide's values, summed over
    its channels, that counts as far as `sigma` does.
    """
    for iteration in range(1, _ITERATIONS + 1):
        share = sqrt(3) * 2 ** (_ITERATIONS - iteration) / sqrt(4**_ITERATIONS - 1)
        decay = -sqrt(2) / (sigma * share)
        _along_rows(plane, guide, decay, sigma / sigma_range)
        _along_columns(plane, guide, decay, sigma / sigma_range)


def _kept(step: NDArray[np.float32], decay: float, scale: float) -> NDArray[np.float32]:
    """How much is carried over a step of the guide's values, (..., 3) to (...)."""
    distance = np.abs(step).sum(axis=-1)
    distance *= np.float32(scale)
    distance += np.float32(1)
    distance *= np.float32(decay)
    return np.asarray(np.exp(distance, out=distance))


def _along_rows(plane: Plane, guide: ReadGuide, decay: float, scale: float) -> None:
    height, width = plane.shape

    def work(start: int, stop: int) -> None:
        kept = np.ascontiguousarray(_kept(np.diff(guide(start, stop), axis=1), decay, scale).T)
        columns = np.ascontiguousarray(plane[start:stop].T)
        _carry(columns, kept)
        plane[start:stop] = columns.T

    for_each_stripe(height, width, work, pixels=_ROWS * width)


def _along_columns(plane: Plane, guide: ReadGuide, decay: float, scale: float) -> None:
    height = plane.shape[0]
    blocks = [(start, min(start + _ROWS, height)) for start in range(0, height, _ROWS)]

    def kept_of(start: int, stop: int) -> NDArray[np.float32]:
        """What is carried from each row of a block to the next one, that after it included."""
        return _kept(np.diff(guide(start, min(stop + 1, height)), axis=0), decay, scale)

    for start, stop in blocks:
        kept = kept_of(start, stop)
        last = min(stop + 1, height)
        for row, (before, after) in enumerate(pairwise(plane[start:last])):
            _take(after, before, kept[row])
    for start, stop in reversed(blocks):
        kept = kept_of(start, stop)
        last = min(stop + 1, height)
        for row in range(last - start - 2, -1, -1):
            _take(plane[start + row], plane[start + row + 1], kept[row])


def _carry(rows: NDArray[np.float32], kept: NDArray[np.float32]) -> None:
    """Carry what lies in a row on to the next one, and back, in place."""
    for row in range(len(kept)):
        _take(rows[row + 1], rows[row], kept[row])
    for row in range(len(kept) - 1, -1, -1):
        _take(rows[row], rows[row + 1], kept[row])


def _take(target: NDArray[Any], source: NDArray[Any], share: NDArray[Any]) -> None:
    """Draw a row towards another by a share, in place."""
    step = source - target
    step *= share
    target += step

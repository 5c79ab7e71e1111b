"""Local contrast by histograms of tiles: contrast-limited adaptive histogram equalisation.

Zuiderveld: Contrast Limited Adaptive Histogram Equalization, Graphics Gems IV, 1994.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .pyramid import Plane
from .stripes import for_each_stripe

_TILES, _LEVELS = 8, 256


def equalise(plane: Plane, clip: float) -> None:
    """Equalise a plane (H, W), 0..1, in place, by the histograms of 8 x 8 tiles, mixed bilinearly.

    clip: how far above an even histogram a level may rise: 0 for not at all, which changes nothing
    but the range, to 1 for all the way. What is cut off is spread evenly
    over the others.
    """
    height, width = plane.shape
    tile_height, above = _tile(height)
    tile_width, left = _tile(width)
    maps = np.zeros((_TILES, _TILES, _LEVELS))
    for row in range(_TILES):
        for column in range(_TILES):
            tile = plane[
                np.ix_(
                    _mirrored(row * tile_height - above, tile_height, height),
                    _mirrored(column * tile_width - left, tile_width, width),
                )
            ]
            maps[row, column] = _map(tile, clip)
    across = _neighbours(width, left, tile_width)

    def work(start: int, stop: int) -> None:
        rows = plane[start:stop]
        codes = rows * np.float32(_LEVELS - 1)
        level = np.minimum(codes.astype(np.int32), _LEVELS - 2)
        between = codes - level
        upper, lower, down = (x[start:stop, None] for x in _neighbours(height, above, tile_height))
        first, second, right = (x[None] for x in across)
        mixed = np.zeros(rows.shape)
        for of_row, vertical in ((upper, 1 - down), (lower, down)):
            for of_column, horizontal in ((first, 1 - right), (second, right)):
                low = maps[of_row, of_column, level]
                high = maps[of_row, of_column, level + 1]
                mixed += vertical * horizontal * (low + between * (high - low))
        plane[start:stop] = mixed

    for_each_stripe(height, width, work)


def _tile(size: int) -> tuple[int, int]:
    """Side of the tiles, which is even, and how far the first one reaches over the border."""
    side = -(-size // _TILES)
    side += side % 2
    return side, (side * _TILES - size) // 2


def _mirrored(first: int, count: int, size: int) -> NDArray[np.int64]:
    """Places in a row of `size`; beyond its ends it is mirrored, the end itself repeated."""
    places = np.arange(first, first + count) % (2 * size)
    return np.minimum(places, 2 * size - 1 - places)


def _map(tile: Plane, clip: float) -> NDArray[np.float64]:
    """New value, 0..1, of every level of a tile."""
    codes = (tile * np.float32(_LEVELS - 1) + np.float32(0.5)).astype(np.uint8)
    histogram = np.bincount(codes.ravel(), minlength=_LEVELS).astype(np.float64)
    even = np.ceil(codes.size / _LEVELS)
    most = even + np.floor(clip * (codes.size - even) + 0.5)
    clipped = np.minimum(histogram, most)
    # Those that come to the limit take no more, so there may be some left for the others.
    while (excess := codes.size - clipped.sum()) > 0.5 and (room := clipped < most).any():
        clipped[room] = np.minimum(clipped[room] + excess / room.sum(), most)
    return np.minimum(np.cumsum(clipped) / codes.size, 1)


def _neighbours(
    size: int, before: int, side: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """For every place the two tiles whose middles it lies between, and how far, 0..1."""
    place = (np.arange(size) + before - (side - 1) / 2) / side
    first = np.floor(place).astype(np.int64)
    lower = np.clip(first, 0, _TILES - 1)
    upper = np.clip(first + 1, 0, _TILES - 1)
    return lower, upper, place - first

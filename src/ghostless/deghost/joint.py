"""What a colour of the source says beyond its channels: a smooth table over all three of them.

Cameras clip the channels of their sensor, mix them by a matrix, and compress the gamut, so one
channel's curve depends on the other two, most of all near white and near black. The table holds
what is left over of registered pixels once the curves have been applied, and how widely it
scatters. It is zero where nothing like a colour was seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.float32]

# Codes at which the table has nodes, in each channel: close together where cameras bend colours.
_NODES = np.array(
    [
        0,
        2,
        5,
        10,
        18,
        32,
        48,
        64,
        80,
        96,
        112,
        128,
        144,
        160,
        176,
        192,
        208,
        222,
        234,
        243,
        250,
        255,
    ],
    np.float64,
)
_FINER = 3
# This many pixels seen at a node weigh as much as what its neighbourhood says.
_PRIOR_PIXELS = 30.0
# Pixels further off than this many spreads, and this many codes, count as moved things.
_REACH_SPREADS = 3.0
_REACH_CODES = 12.0
# Scatter taken for colours that were never seen.
UNSEEN_CODES = 8.0


@dataclass(frozen=True)
class JointTable:
    """What colours add to their channels' curves, and how sure that is.

    table: (n, n, n, 6) float32 over source red, green and blue: three residuals, three standard
        deviations, in codes of the target.
    """

    table: NDArray[np.float32]

    def look_up(self, source: Codes) -> tuple[Codes, Codes]:
        """Residuals and standard deviations (H, W, 3) at source codes (H, W, 3)."""
        places = cv2.LUT(cv2.convertScaleAbs(source), _FINE_PLACES[None])
        size = self.table.shape[0]
        red, green, blue = (places[..., c].astype(np.int32) for c in range(3))
        index = (red * size + green) * size + blue
        values = self.table.reshape(-1, 6)[index]
        return np.ascontiguousarray(values[..., :3]), np.ascontiguousarray(values[..., 3:])


def learn_table(
    source: Codes, residual: NDArray[Any], free: NDArray[np.bool_], first_reach: float
) -> JointTable:
    """Learn the table from samples: source codes (N, 3), what the curves leave over (N, 3).

    free: (N,) where the residual may be anything, the source being clipped or black.
    first_reach: codes beyond which any other sample counts as something that moved.
    """
    count = len(_NODES)
    nearest = _NODE_OF[np.clip(np.rint(source), 0, 255).astype(np.uint8)].astype(np.int64)
    cell = (nearest[:, 0] * count + nearest[:, 1]) * count + nearest[:, 2]
    centre = np.zeros((count**3, 3))
    spread = np.full((count**3, 3), first_reach / _REACH_SPREADS)
    for step in range(3):
        off = residual - centre[cell]
        reach = np.maximum(_REACH_SPREADS * spread[cell], _REACH_CODES)
        if step == 0:
            reach = np.where(free[:, None], 1000.0, reach)
        far = np.square(off / reach).max(axis=1)
        weight = np.square(np.maximum(1 - far, 0))
        centre = _settled(cell, residual, weight, count, 0.0)
        off = residual - centre[cell]
        squares = _settled(cell, np.square(off), weight, count, UNSEEN_CODES**2)
        # Tukey's weights shorten the tails, and the spread with them.
        spread = 1.2 * np.sqrt(np.maximum(squares, 0.25))
    values = np.concatenate([centre, spread], axis=1).reshape(count, count, count, 6)
    for axis in range(3):
        values = np.moveaxis(np.tensordot(_TO_FINE, values, axes=(1, axis)), 0, axis)
    return JointTable(np.ascontiguousarray(values, np.float32))


def _settled(
    cell: NDArray[np.int64], values: NDArray[Any], weight: NDArray[Any], count: int, prior: float
) -> NDArray[np.float64]:
    """Weighted means at the nodes (count^3, 3), leaning on ever wider neighbourhoods."""
    sums = np.stack(
        [np.bincount(cell, weights=weight, minlength=count**3)]
        + [np.bincount(cell, weights=weight * values[:, c], minlength=count**3) for c in range(3)],
        axis=-1,
    ).reshape(count, count, count, 4)
    mean = np.full((count, count, count, 3), prior)
    for radius in (2, 1, 0):
        wide = _box_sums(sums, radius)
        mean = (wide[..., 1:] + _PRIOR_PIXELS * mean) / (wide[..., :1] + _PRIOR_PIXELS)
    return np.asarray(mean.reshape(-1, 3))


def _box_sums(values: NDArray[Any], radius: int) -> NDArray[Any]:
    """Sums over cubes of side 2 radius + 1, over the first three axes."""
    if radius == 0:
        return values
    for axis in range(3):
        pad = [(radius + 1, radius) if a == axis else (0, 0) for a in range(values.ndim)]
        total = np.cumsum(np.pad(values, pad), axis=axis)
        side, size = 2 * radius + 1, values.shape[axis]
        upper = np.take(total, np.arange(side, side + size), axis=axis)
        values = upper - np.take(total, np.arange(size), axis=axis)
    return values


def _nearest_nodes() -> NDArray[np.uint8]:
    return np.asarray(np.abs(np.arange(256)[:, None] - _NODES).argmin(axis=1), np.uint8)


def _fine_places() -> NDArray[np.uint8]:
    position = np.interp(np.arange(256), _NODES, np.arange(len(_NODES)))
    return np.asarray(np.rint(position * _FINER), np.uint8)


def _to_fine() -> NDArray[np.float64]:
    """Matrix that interpolates values at the nodes to the finer steps."""
    steps = np.arange((len(_NODES) - 1) * _FINER + 1) / _FINER
    return np.asarray(np.maximum(1 - np.abs(steps[:, None] - np.arange(len(_NODES))), 0))


_NODE_OF = _nearest_nodes()
_FINE_PLACES = _fine_places()
_TO_FINE = _to_fine()

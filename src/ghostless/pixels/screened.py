"""A screened Poisson equation with weights of its own at every step between neighbours.

Finds the plane p that minimises

    sum w p^2 + sum w_x (dp/dx - v_x)^2 + sum w_y (dp/dy - v_y)^2:

near 0, with given differences, each as far as its weight says. By conjugate gradients,
preconditioned by a multigrid cycle: squares of four pixels are one pixel of the next coarser grid,
whose steps weigh as much as the steps between the squares do together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .pyramid import Plane
from .stripes import Progress

_DAMPING = np.float32(0.9)
_COARSEST = 4


@dataclass(frozen=True)
class _Grid:
    """One grid: weights of the pixels (H, W), of the steps right (H, W - 1) and down (H - 1, W)."""

    pixels: Plane
    right: Plane
    down: Plane
    inverse: Plane

    def times(self, plane: Plane) -> Plane:
        """The equation's left side."""
        out = self.pixels * plane
        _add_steps(out, np.diff(plane, axis=1) * self.right, np.diff(plane, axis=0) * self.down)
        return out


def solve_screened(
    right: tuple[Plane, Plane],
    down: tuple[Plane, Plane],
    pixels: Plane | None = None,
    tolerance: float = 1e-3,
    most_steps: int = 60,
    progress: Progress | None = None,
) -> Plane:
    """Return the plane, (H, W) float32.

    right, down: weight and wanted difference of every step to the right (H, W - 1) and down
    (H - 1, W). pixels: how much each should be 0, (H, W), above 0; None for 1.
    tolerance: of the residual, as a share of what it is at the start.
    """
    if pixels is None:
        pixels = np.ones((right[0].shape[0], down[0].shape[1]), np.float32)
    grids = [_grid(pixels, right[0], down[0])]
    while min(grids[-1].pixels.shape) > _COARSEST:
        grids.append(_coarser(grids[-1]))
    residual = np.zeros_like(grids[0].pixels)
    _add_steps(residual, -right[0] * right[1], -down[0] * down[1])
    residual *= -1
    plane = np.zeros_like(residual)
    start = _norm(residual, residual)
    search = np.zeros_like(residual)
    before = 1.0
    for step in range(most_steps):
        wanted = _cycle(grids, residual)
        product = _norm(residual, wanted)
        search *= np.float32(product / before if step else 0)
        search += wanted
        before = product
        applied = grids[0].times(search)
        length = np.float32(product / max(_norm(search, applied), 1e-30))
        plane += length * search
        residual -= length * applied
        left = _norm(residual, residual)
        if progress is not None:
            progress((step + 1) / most_steps)
        if left <= tolerance**2 * start:
            break
    return plane


def _norm(first: Plane, second: Plane) -> float:
    return float(np.vdot(first, second))


def _grid(pixels: Plane, right: Plane, down: Plane) -> _Grid:
    diagonal = pixels.copy()
    diagonal[:, 1:] += right
    diagonal[:, :-1] += right
    diagonal[1:] += down
    diagonal[:-1] += down
    return _Grid(pixels, right, down, _DAMPING / diagonal)


def _add_steps(out: Plane, right: Plane, down: Plane) -> None:
    """Add what flows over the steps: to the one end, and from the other."""
    out[:, 1:] += right
    out[:, :-1] -= right
    out[1:] += down
    out[:-1] -= down


def _coarser(grid: _Grid) -> _Grid:
    """Squares of four pixels as one."""
    right = _pairs(grid.right[:, 1::2], axis=0)
    down = _pairs(grid.down[1::2], axis=1)
    return _grid(_squares(grid.pixels), right, down)


def _pairs(plane: Plane, axis: int) -> Plane:
    return np.asarray(np.add.reduceat(plane, np.arange(0, plane.shape[axis], 2), axis=axis))


def _squares(plane: Plane) -> Plane:
    return _pairs(_pairs(plane, 0), 1)


def _cycle(grids: list[_Grid], residual: Plane) -> Plane:
    """What to add to the plane, roughly: smoothed, corrected on the coarser grids, smoothed."""
    grid = grids[0]
    plane = grid.inverse * residual
    if len(grids) == 1:
        for _ in range(30):
            plane += grid.inverse * (residual - grid.times(plane))
        return plane
    left = residual - grid.times(plane)
    coarse = _cycle(grids[1:], _squares(left))
    height, width = plane.shape
    spread = coarse.repeat(2, axis=0)[:height].repeat(2, axis=1)[:, :width]
    plane += spread
    plane += grid.inverse * (residual - grid.times(plane))
    return plane

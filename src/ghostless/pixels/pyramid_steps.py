"""The steps from level to level of a pyramid, down and up again, rows at a time.

`halvings` are those of `pyramid`. Their samples stand where every second one of the finer level
stood, from the first row and column on; how far the last one is from the other border depends on
the size. On coarse levels that is a good part of the picture: the same photos at another size, or
turned upside down, come out brighter here and darker there. `balanced_steps` halve only while a
level is large; from some 32 rows or columns on the levels are grids of cells that part the picture
evenly, the same ones for every size, down to a single cell. `halvings_alike` halve to the end, but
as if every picture had the same size: what learnt on halvings wants them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .pyramid import Plane, expand_rows, half, level_count, reduce_rows, source_rows

# Cells of the shorter side of the first grid; twice as many were measured to give the same.
GRID_CELLS = 32
# Rows from which on halvings are alike: 40, 20, 10, 5, 3, 2, of which the last stand far apart.
_HALVED_ROWS = 40
# Deviation of the bell by which a coarser cell takes the mean of finer ones, in its own width; as
# wide as the kernel of `pyramid`.
_BELL = 0.5
# In which no more is left of it than a hundredth.
_REACH = 1.5


class Step(Protocol):
    """From a level to the next coarser one, and back.

    size: of the finer level, (height, width). coarse: of the coarser one.
    """

    @property
    def size(self) -> tuple[int, int]: ...

    @property
    def coarse(self) -> tuple[int, int]: ...

    def source_rows(self, start: int, stop: int) -> tuple[int, int]:
        """Which rows of the finer level rows start..stop of the coarser one need."""
        ...

    def reduce_rows(self, source: Plane, first: int, start: int, stop: int) -> Plane:
        """Rows start..stop of the coarser level: (h, w) to (stop - start, coarse width).

        source: the rows that `source_rows` asks for. first: the number of the first of them.
        """
        ...

    def expand_rows(self, coarse: Plane, start: int, stop: int) -> Plane:
        """Rows start..stop of the coarser level enlarged to the finer one, for an even start.

        (h, w) to (stop - start, width).
        """
        ...


@dataclass(frozen=True)
class Halving:
    """Every second row and column of a level, blurred: a step of `pyramid`."""

    size: tuple[int, int]
    wraps: bool = False

    @property
    def coarse(self) -> tuple[int, int]:
        return half(self.size[0]), half(self.size[1])

    def source_rows(self, start: int, stop: int) -> tuple[int, int]:
        return source_rows(start, stop, self.size[0])

    def reduce_rows(self, source: Plane, first: int, start: int, stop: int) -> Plane:
        """(h, w) to (stop - start, coarse width), see `Step`."""
        return reduce_rows(source, first, start, stop, self.wraps)

    def expand_rows(self, coarse: Plane, start: int, stop: int) -> Plane:
        """(h, w) to (stop - start, width), see `Step`."""
        return expand_rows(coarse, start, stop, self.size[1], self.wraps)


@dataclass(frozen=True)
class Axis:
    """Where the samples of a level stand along one side, as shares of the picture.

    wraps: whether the picture's end is its beginning.
    """

    count: int
    first: float
    spacing: float
    wraps: bool = False

    @classmethod
    def cells(cls, count: int, wraps: bool = False) -> Axis:
        """In the middles of so many even parts."""
        return cls(count, 0.5 / count, 1 / count, wraps)

    @classmethod
    def halved(cls, count: int, pixels: int, scale: int, wraps: bool = False) -> Axis:
        """Of a side of so many pixels, on those whose number is a multiple of `scale`."""
        return cls(count, 0.5 / pixels, 1 / count if wraps else scale / pixels, wraps)

    @property
    def places(self) -> NDArray[np.float64]:
        """Of all samples, (count,)."""
        return self.first + self.spacing * np.arange(self.count, dtype=np.float64)


@dataclass(frozen=True)
class Taps:
    """Samples made of others: of each, which ones, (n, taps), and their shares, (n, taps)."""

    index: NDArray[np.intp]
    share: NDArray[np.float32]

    def of_rows(self, plane: Plane, first: int, start: int, stop: int) -> Plane:
        """Rows start..stop, each made of rows, of which `plane` begins with the number `first`.

        (h, w) to (stop - start, w).
        """
        index, share = self.index[start:stop] - first, self.share[start:stop]
        made = plane[index[:, 0]] * share[:, :1]
        for tap in range(1, index.shape[1]):
            made += plane[index[:, tap]] * share[:, tap : tap + 1]
        return made

    def of_columns(self, plane: Plane) -> Plane:
        """Columns, each made of columns: (h, w) to (h, n)."""
        made = plane[:, self.index[:, 0]] * self.share[:, 0]
        for tap in range(1, self.index.shape[1]):
            made += plane[:, self.index[:, tap]] * self.share[:, tap]
        return made


def means(fine: Axis, coarse: Axis) -> Taps:
    """Means of finer samples by a bell around each coarser one."""
    reach = _REACH * coarse.spacing
    taps = int(2 * reach / fine.spacing) + 2
    start = np.floor((coarse.places - reach - fine.first) / fine.spacing).astype(np.intp)
    index = start[:, None] + np.arange(taps)
    away = fine.first + fine.spacing * index - coarse.places[:, None]
    share = np.exp(-np.square(away / (_BELL * coarse.spacing)) / 2)
    # A hair more, lest rounding decide about a sample at the very end.
    share[np.abs(away) > reach * (1 + 1e-9)] = 0
    return _taps(fine, index, share)


def between(coarse: Axis, fine: Axis) -> Taps:
    """Finer samples between the two coarser ones beside each, by distance; beyond the last, it."""
    place = (fine.places - coarse.first) / coarse.spacing
    if not coarse.wraps:
        place = place.clip(0, coarse.count - 1)
    start = np.floor(place).astype(np.intp)
    towards = place - start
    index = np.stack([start, start + 1], axis=1)
    return _taps(coarse, index, np.stack([1 - towards, towards], axis=1))


def _taps(source: Axis, index: NDArray[np.intp], share: NDArray[np.float64]) -> Taps:
    if source.wraps:
        index = index % source.count
    else:
        share = np.where((index >= 0) & (index < source.count), share, 0)
        index = index.clip(0, source.count - 1)
    share = share / share.sum(axis=1, keepdims=True)
    return Taps(index, share.astype(np.float32))


@dataclass(frozen=True)
class Regridding:
    """From a level to a grid of cells that part the picture evenly.

    down, up: by rows and by columns.
    """

    size: tuple[int, int]
    coarse: tuple[int, int]
    down: tuple[Taps, Taps]
    up: tuple[Taps, Taps]

    @classmethod
    def between(cls, fine: Sequence[Axis], coarse: Sequence[Axis]) -> Regridding:
        """From axes of rows and columns to others."""
        (rows, columns), (cell_rows, cell_columns) = fine, coarse
        return cls(
            (rows.count, columns.count),
            (cell_rows.count, cell_columns.count),
            (means(rows, cell_rows), means(columns, cell_columns)),
            (between(cell_rows, rows), between(cell_columns, columns)),
        )

    def source_rows(self, start: int, stop: int) -> tuple[int, int]:
        needed = self.down[0].index[start:stop]
        return int(needed.min()), int(needed.max()) + 1

    def reduce_rows(self, source: Plane, first: int, start: int, stop: int) -> Plane:
        """(h, w) to (stop - start, coarse width), see `Step`."""
        by_rows, by_columns = self.down
        return by_columns.of_columns(by_rows.of_rows(source, first, start, stop))

    def expand_rows(self, coarse: Plane, start: int, stop: int) -> Plane:
        """(h, w) to (stop - start, width), see `Step`."""
        by_rows, by_columns = self.up
        return by_columns.of_columns(by_rows.of_rows(coarse, 0, start, stop))


# The steps of a picture of (height, width), which goes all the way round or not.
Steps = Callable[[tuple[int, int], bool], list[Step]]


def halvings(size: tuple[int, int], depth: int, wraps: bool = False) -> list[Step]:
    """The steps of a pyramid of `depth` levels, the finest of (height, width) `size`."""
    steps: list[Step] = []
    for _ in range(depth - 1):
        steps.append(Halving(size, wraps))
        size = steps[-1].coarse
    return steps


def balanced_steps(size: tuple[int, int], wraps: bool = False) -> list[Step]:
    """Steps from (height, width) `size` down to a single sample, alike at all sizes.

    Turned or mirrored, a picture gives the same coarse levels, turned or mirrored.
    """
    steps, axes = _halved_until(size, GRID_CELLS, wraps)
    level = (axes[0].count, axes[1].count)
    while max(level) > 1:
        if min(level) > GRID_CELLS:
            level = _in_proportion(size, GRID_CELLS)
        else:
            level = half(level[0]), half(level[1])
        grid = (Axis.cells(level[0]), Axis.cells(level[1], wraps))
        steps.append(Regridding.between(axes, grid))
        axes = grid
    return steps


def halvings_alike(size: tuple[int, int], wraps: bool = False) -> list[Step]:
    """Halvings down to two rows or columns, as of a picture with 40 times a power of two of them.

    Smaller ones than 40 are halved as they are.
    """
    steps, axes = _halved_until(size, _HALVED_ROWS, wraps)
    level = (axes[0].count, axes[1].count)
    if min(level) > _HALVED_ROWS:
        level = _in_proportion(size, _HALVED_ROWS)
        grid = (Axis(level[0], 0.0, 1 / level[0]), Axis(level[1], 0.0, 1 / level[1], wraps))
        steps.append(Regridding.between(axes, grid))
    depth = level_count(*level) + (max(level) > 1)
    return [*steps, *halvings(level, depth, wraps)]


def _halved_until(
    size: tuple[int, int], count: int, wraps: bool
) -> tuple[list[Step], tuple[Axis, Axis]]:
    """Halvings until the shorter side has `count` to twice as many samples, and where these are."""
    steps: list[Step] = []
    level, scale = size, 1
    while min(level) > 2 * count:
        steps.append(Halving(level, wraps))
        level, scale = steps[-1].coarse, 2 * scale
    rows = Axis.halved(level[0], size[0], scale)
    return steps, (rows, Axis.halved(level[1], size[1], scale, wraps))


def _in_proportion(size: tuple[int, int], count: int) -> tuple[int, int]:
    """A grid of the form of `size`, its shorter side of so many cells."""
    height, width = (round(count * side / min(size)) for side in size)
    return height, width

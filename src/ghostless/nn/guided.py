"""Carrying a result from a proxy to the full size by local affine models on the frames themselves.

A method that ran on reduced frames has decided, for every place, how to mix them. That decision is
read off as models: near each place, result = A (values of all frames) + b. The models vary slowly,
so they are fitted on the proxy, interpolated, and applied to the full-size frames, whose detail the
result then has. In the spirit of He, Sun: Fast Guided Filter (2015), Chen, Adams, Wadhwa, Hasinoff:
Bilateral Guided Upsampling (SIGGRAPH Asia 2016).

Fitted by ridge regression on windows of several sizes, from the whole image down to a few pixels of
the proxy. A small window gives up its slopes in favour of the next larger one's as far as it has no
contrast to tell them from, so that texture too fine for the proxy is not lost. A frame that clips
has no contrast and so no part in the slopes. What the models miss is a residual at the proxy's
size, which is added after plain interpolation.

Networks blur a little, by a pixel or so. On the proxy that would be several pixels of the photo,
so both fit and residual look at smoothed images only: the models then say how contrast is treated
where the network shows it whole, and apply that to the finer detail as well.

Works on NumPy arrays with OpenCV, in stripes; nothing of full size is held but the result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from ..pixels.stripes import Progress, for_each_stripe

Values = NDArray[np.float32]
# From rows start to stop of full-size frames to their values (F, rows, W) in the models' domain.
ReadRows = Callable[[int, int], Values]

# Side of the finest windows' cells in pixels of the proxy; each further level's cells are
# `_LEVEL_FACTOR` times as large. A window reaches one cell beyond its own to every side.
CELL_PIXELS = 2
_LEVEL_FACTOR = 4
# Squared contrast (of values 0..1) below which a window leaves its slopes to the larger one.
_PRIOR_STRENGTH = 1e-5
# How often a kernel of (1 2 1) / 4 smooths before the fit: keeps MEF-SSIM for networks that blur
# by a deviation of up to 1.2 pixels, at a loss of 0.001 for those that do not blur.
_SMOOTHINGS = 2
# Large enough that calls cost little beside the work, whatever `read` does.
_STRIPE_PIXELS = 1 << 17


@dataclass(frozen=True)
class LocalModels:
    """Affine models on a grid of cells that divides the image evenly.

    coefficients: (rows, 3, F + 1, columns) float32: of cell (row, column), output channel c is the
        sum of coefficients[row, c, k, column] * value k, the last value being 1.
    """

    coefficients: Values


def fit(values: Values, result: Values, noise: Values | float = 0.0) -> LocalModels:
    """Fit models that make a result of values on the proxy.

    values: (F, h, w) of all frames, about 0..1. result: (3, h, w).
    noise: variance that the values have at the full size but no longer on the proxy, a number or
        (F, h, w): a slope that would amplify it is not worth its fit.
    """
    moments = _Moments.of(values, result, noise)
    levels = [moments]
    while max(levels[-1].grid) > 1:
        levels.append(levels[-1].reduced())
    slopes: Values | None = None
    for level in reversed(levels):
        slopes = level.smoothed().solve(slopes)
    assert slopes is not None
    return LocalModels(levels[0].smoothed().with_offsets(slopes))


@dataclass(frozen=True)
class _Moments:
    """Means of values, results and their products in each cell of a grid.

    value: (F, r, c). result: (3, r, c). product: (F, F, r, c). cross: (F, 3, r, c).
    noise: (F, r, c).
    """

    value: Values
    result: Values
    product: Values
    cross: Values
    noise: Values

    @classmethod
    def of(cls, values: Values, result: Values, noise: Values | float) -> _Moments:
        # Around the middle of the range, so that differences of products keep their precision.
        values, result = values - np.float32(0.5), result - np.float32(0.5)
        count = len(values)
        reduce = partial(_reduce_plane, factor=CELL_PIXELS)
        value = np.stack([reduce(plane) for plane in values])
        grid = value.shape[1:]
        product = np.empty((count, count, *grid), np.float32)
        for i in range(count):
            for j in range(i + 1):
                product[i, j] = product[j, i] = reduce(values[i] * values[j])
        cross = np.empty((count, 3, *grid), np.float32)
        for i in range(count):
            for channel in range(3):
                cross[i, channel] = reduce(values[i] * result[channel])
        if np.ndim(noise) == 0:
            variance = np.full_like(value, noise)
        else:
            variance = np.stack([reduce(plane) for plane in np.asarray(noise, np.float32)])
        return cls(value, np.stack([reduce(plane) for plane in result]), product, cross, variance)

    @property
    def grid(self) -> tuple[int, int]:
        rows, columns = self.value.shape[1:]
        return rows, columns

    def _mapped(self, function: Callable[[Values], Values]) -> _Moments:
        def every(planes: Values) -> Values:
            flat = planes.reshape(-1, *planes.shape[-2:])
            mapped = np.stack([function(plane) for plane in flat])
            return mapped.reshape(*planes.shape[:-2], *mapped.shape[-2:])

        return _Moments(
            every(self.value),
            every(self.result),
            every(self.product),
            every(self.cross),
            every(self.noise),
        )

    def reduced(self) -> _Moments:
        """The next coarser level's."""
        return self._mapped(partial(_reduce_plane, factor=_LEVEL_FACTOR))

    def smoothed(self) -> _Moments:
        """Over a window of 3 x 3 cells, the middle weighing most."""
        return self._mapped(_smooth)

    def solve(self, coarser: Values | None) -> Values:
        """Slopes (F, 3, r, c), near those of a coarser grid where this one has no contrast."""
        covariance = self.product - self.value[:, None] * self.value[None]
        right = self.cross - self.value[:, None] * self.result[None]
        count = len(self.value)
        diagonal = np.arange(count)
        covariance[diagonal, diagonal] += self.noise + np.float32(1e-7)
        if coarser is not None:
            flat = coarser.reshape(-1, *coarser.shape[-2:])
            size = (self.grid[1], self.grid[0])
            prior = np.stack([cv2.resize(plane, size) for plane in flat]).reshape(right.shape)
            covariance[diagonal, diagonal] += np.float32(_PRIOR_STRENGTH)
            right += np.float32(_PRIOR_STRENGTH) * prior
        return _solve(covariance, right)

    def with_offsets(self, slopes: Values) -> Values:
        """Coefficients (r, 3, F + 1, c) of slopes (F, 3, r, c) and the offsets that fit them."""
        count = len(slopes)
        rows, columns = self.grid
        out = np.empty((rows, 3, count + 1, columns), np.float32)
        out[:, :, :count] = slopes.transpose(2, 1, 0, 3)
        offset = self.result - (slopes * self.value[:, None]).sum(axis=0)
        # Back from values and results around 0 to ones around 0.5.
        offset += np.float32(0.5) * (1 - slopes.sum(axis=0))
        out[:, :, count] = offset.transpose(1, 0, 2)
        return out


def _solve(matrices: Values, right: Values) -> Values:
    """Solve many symmetric positive definite systems: (n, n, ...) and (n, m, ...) to (n, m, ...).

    By Cholesky's method without roots, each step on all systems at once.
    """
    count = len(matrices)
    lower = matrices  # overwritten by L below the diagonal, D on it
    out = right
    for j in range(count):
        for i in range(j + 1, count):
            factor = lower[i, j] / lower[j, j]
            for k in range(j + 1, i + 1):
                lower[i, k] -= factor * lower[k, j]
            out[i] -= factor * out[j]
    # Column j of `lower` still holds L times D: as the transposed upper factor, row by row.
    for i in reversed(range(count)):
        for k in range(i + 1, count):
            out[i] -= lower[k, i] * out[k]
        out[i] /= lower[i, i]
    return out


def _reduce_plane(plane: Values, factor: int) -> Values:
    """Means of equal cells of about factor x factor values."""
    height, width = plane.shape
    size = (-(-width // factor), -(-height // factor))
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA))


def _smooth(plane: Values) -> Values:
    kernel = np.array([1, 2, 1], np.float32) / 4
    return np.asarray(
        cv2.sepFilter2D(plane, cv2.CV_32F, kernel, kernel, borderType=cv2.BORDER_REFLECT_101)
        if min(plane.shape) > 1
        else cv2.sepFilter2D(plane, cv2.CV_32F, kernel, kernel, borderType=cv2.BORDER_REPLICATE)
    )


def _smoothed(planes: Values) -> Values:
    for _ in range(_SMOOTHINGS):
        planes = np.stack([_smooth(plane) for plane in planes])
    return planes


def apply(
    models: LocalModels,
    residual: Values | None,
    read: ReadRows,
    write: Callable[[int, int, Values], None],
    size: tuple[int, int],
    progress: Progress | None = None,
) -> None:
    """Apply models to an image of any size, some rows at a time, on all cores.

    residual: (h, 3, w), to be interpolated and added; None for none. read: values (F, rows, W) of
    some rows. write: takes start, stop and the results (3, rows, W). size: height and width.
    """
    height, width = size
    grid = models.coefficients
    count = grid.shape[2] - 1

    def work(start: int, stop: int) -> None:
        values = read(start, stop)
        rows = stop - start
        coefficients = interpolated(grid.reshape(len(grid), -1, grid.shape[3]), start, stop, size)
        coefficients = coefficients.reshape(3, count + 1, rows, width)
        out = coefficients[:, count]
        if residual is not None:
            out += interpolated(residual, start, stop, size)
        for k in range(count):
            slope = coefficients[:, k]
            slope *= values[k]
            out += slope
        write(start, stop, out)

    for_each_stripe(height, width, work, pixels=_STRIPE_PIXELS, progress=progress)


def interpolated(grid: Values, start: int, stop: int, size: tuple[int, int]) -> Values:
    """Rows start to stop, (K, stop - start, W), of planes (r, K, c) stretched over a whole image.

    Linear between the centres of cells; the outermost ones hold to the border.
    """
    height, width = size
    rows, planes, columns = grid.shape
    position = (np.arange(start, stop) + 0.5) * rows / height - 0.5
    position = np.clip(position, 0, rows - 1)
    above = np.minimum(position.astype(np.intp), rows - 1)
    below = np.minimum(above + 1, rows - 1)
    share = (position - above).astype(np.float32)[:, None]
    across = np.empty((planes, stop - start, columns), np.float32)
    for row in range(stop - start):
        np.multiply(grid[above[row]], 1 - share[row], out=across[:, row])
        across[:, row] += grid[below[row]] * share[row]
    flat = across.reshape(-1, columns)
    out = cv2.resize(flat, (width, len(flat)), interpolation=cv2.INTER_LINEAR)
    return np.asarray(out, np.float32).reshape(planes, stop - start, width)


def carry(
    values: Values,
    result: Values,
    read: ReadRows,
    write: Callable[[int, int, Values], None],
    size: tuple[int, int],
    noise: Values | float = 0.0,
    progress: Progress | None = None,
) -> None:
    """Carry a result (3, h, w) made of values (F, h, w) of a proxy to the full size.

    read, write, size: of the full size, as of `apply`. noise: as of `fit`.
    """
    models = fit(_smoothed(values), _smoothed(result), noise)
    residual = np.ascontiguousarray(result.transpose(1, 0, 2))

    def subtract(start: int, stop: int, modelled: Values) -> None:
        residual[start:stop] -= modelled.transpose(1, 0, 2)

    apply(models, None, lambda start, stop: values[:, start:stop], subtract, result.shape[1:])
    residual = np.ascontiguousarray(_smoothed(residual.transpose(1, 0, 2)).transpose(1, 0, 2))
    apply(models, residual, read, write, size, progress)

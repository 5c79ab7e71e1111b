"""The picture whose differences are nearest to given ones, with free borders.

Least squares lead to Poisson's equation with the slope at the border left open, which the discrete
cosine transform solves in one go: Bhat, Curless, Cohen, Zitnick, Fourier Analysis of the 2D
Screened Poisson Equation for Gradient Domain Problems, ECCV 2008. Done in place, some rows or
columns at a time in double precision, so that only one plane of the picture's size is held.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .pyramid import Plane
from .stripes import Progress, for_each_stripe, part

Values = NDArray[np.float64]


def integrate(divergence: Plane, progress: Progress | None = None) -> None:
    """Make of a field's divergence the picture that has it, mean 0: (H, W) float32, in place.

    divergence: of differences forward, dx[y, x] = p[y, x + 1] - p[y, x], that are 0 in the last
    column, and dy likewise: div = dx - dx shifted right + dy - dy shifted down.
    """
    height, width = divergence.shape
    across, along = _eigenvalues(width), _eigenvalues(height)

    def rows_forward(start: int, stop: int) -> None:
        divergence[start:stop] = _cosine(divergence[start:stop].astype(np.float64))

    def columns(start: int, stop: int) -> None:
        found = _cosine(divergence[:, start:stop].T.astype(np.float64))
        bend = across[start:stop, None] + along
        found /= np.where(bend == 0, -np.inf, bend)
        divergence[:, start:stop] = _inverse_cosine(found).T

    def rows_back(start: int, stop: int) -> None:
        divergence[start:stop] = _inverse_cosine(divergence[start:stop].astype(np.float64))

    for_each_stripe(height, width, rows_forward, progress=part(progress, 0, 0.25))
    for_each_stripe(width, height, columns, progress=part(progress, 0.25, 0.75))
    for_each_stripe(height, width, rows_back, progress=part(progress, 0.75, 1))


def _eigenvalues(size: int) -> Values:
    """Of the second difference with free ends, for every cosine: 0 to -4."""
    return 2 * np.cos(np.pi * np.arange(size) / size) - 2


def _turns(size: int) -> NDArray[np.complex128]:
    return np.asarray(np.exp(-0.5j * np.pi * np.arange(size) / size), np.complex128)


def _cosine(rows: Values) -> Values:
    """Cosine transform (DCT-II) of every row, by Makhoul's order of the samples, 1980."""
    size = rows.shape[1]
    mixed = np.concatenate([rows[:, ::2], rows[:, 1::2][:, ::-1]], axis=1)
    return np.asarray((np.fft.fft(mixed, axis=1) * _turns(size)).real)


def _inverse_cosine(rows: Values) -> Values:
    """Undo `_cosine`."""
    size = rows.shape[1]
    mirrored = np.zeros_like(rows)
    mirrored[:, 1:] = rows[:, :0:-1]
    mixed = np.fft.ifft((rows - 1j * mirrored) / _turns(size), axis=1).real
    out = np.empty_like(rows)
    middle = (size + 1) // 2
    out[:, ::2] = mixed[:, :middle]
    out[:, 1::2] = mixed[:, : middle - 1 : -1] if middle else mixed[:, ::-1]
    return out

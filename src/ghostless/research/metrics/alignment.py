"""Metrics of alignment: how far a homography, or a registered frame, is from where it should be.

A homography takes pixel-centre coordinates (x, y, 1) of the reference to those of the moving frame,
as everywhere in Ghostless. The share of differing bits needs no truth:
`ghostless.align.mtb.bitmap_difference`, offered here under the same name.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ...align.mtb import bitmap_difference
from ...errors import InputError

__all__ = ["SUCCESS_PIXELS", "bitmap_difference", "corner_error", "success_rate"]

Matrix = NDArray[np.float64]

# The threshold that a corner error of a registered pair counts under, here and in the benchmark.
SUCCESS_PIXELS = 2.0


def corner_error(estimate: Matrix, truth: Matrix, width: int, height: int) -> float:
    """Mean distance in pixels between where two homographies send an image's four corners.

    estimate, truth: (3, 3), any scale; width, height: size of the reference in pixels. 0 and up,
    lower is better; infinite where the estimate sends a corner to infinity or holds NaN (DeTone,
    Malisiewicz, Rabinovich: Deep Image Homography Estimation, 2016).
    """
    for name, matrix in (("estimate", estimate), ("truth", truth)):
        if np.shape(matrix) != (3, 3):
            raise InputError(
                f"expected the {name} as a homography of shape (3, 3), found {np.shape(matrix)}"
            )
    right, bottom = width - 1.0, height - 1.0
    corners = np.array([[0, 0, 1], [right, 0, 1], [right, bottom, 1], [0, bottom, 1]])
    distance = _project(estimate, corners) - _project(truth, corners)
    error = float(np.hypot(distance[:, 0], distance[:, 1]).mean())
    return error if np.isfinite(error) else float("inf")


def _project(matrix: Matrix, points: Matrix) -> Matrix:
    sent = points @ np.asarray(matrix, np.float64).T
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(sent[:, :2] / sent[:, 2:])


def success_rate(errors_pixels: Iterable[float], threshold_pixels: float = SUCCESS_PIXELS) -> float:
    """Share of corner errors below a threshold, 0..1; raises InputError where there is none."""
    errors = np.array(list(errors_pixels), np.float64)
    if errors.size == 0:
        raise InputError("expected at least one corner error, found none; align a pair first")
    return float(np.mean(errors < threshold_pixels))

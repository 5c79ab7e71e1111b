"""Square windows around every pixel: means, minima, and filters made of them.

A window that reaches over the border is clipped there: its mean is that of the pixels it has (He,
Sun, Tang: Guided Image Filtering, TPAMI 2013). So constants stay constants to the very edge.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.floating[Any]]


def counts(size: int, radius: int) -> NDArray[np.float64]:
    """How many pixels the windows of a row of so many pixels have.

    >>> counts(4, 1).tolist()
    [2.0, 3.0, 3.0, 2.0]
    """
    places = np.arange(size)
    first, last = np.maximum(places - radius, 0), np.minimum(places + radius, size - 1)
    return (last - first + 1).astype(np.float64)


def box_sum(plane: Plane, radius: int) -> NDArray[np.float64]:
    """Sum over windows of side 2 radius + 1, clipped at the border: (H, W[, C]) float64."""
    side = (2 * radius + 1, 2 * radius + 1)
    summed = cv2.boxFilter(plane, cv2.CV_64F, side, normalize=False, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(summed, np.float64).reshape(plane.shape)


def box_mean(plane: Plane, radius: int) -> NDArray[np.float64]:
    """Mean over windows of side 2 radius + 1, clipped at the border: (H, W[, C]) float64."""
    mean = box_sum(plane, radius)
    height, width = plane.shape[:2]
    beside = (1,) * (plane.ndim - 2)
    mean /= counts(height, radius).reshape(-1, 1, *beside)
    mean /= counts(width, radius).reshape(-1, *beside)
    return mean


def variance(plane: Plane, mean: NDArray[np.float64], radius: int) -> NDArray[np.float64]:
    """Variance over the windows of a plane (H, W) whose `mean` over them is known, >= 0."""
    squares = box_mean(np.square(plane, dtype=np.float64), radius)
    squares -= np.square(mean)
    return np.maximum(squares, 0, out=squares)


def guided_filter(guide: Plane, plane: Plane, radius: int, eps: float) -> NDArray[np.float64]:
    """Smooth a plane (H, W) but for the edges of a grey guide (He, Sun, Tang, TPAMI 2013).

    radius: of the windows; the result depends on twice as many pixels around. eps: variance of the
    guide that counts as an edge.
    """
    mean = box_mean(guide, radius)
    of_plane = box_mean(plane, radius)
    covariance = box_mean(np.multiply(guide, plane, dtype=np.float64), radius) - mean * of_plane
    slope = covariance / (variance(guide, mean, radius) + eps)
    offset = of_plane - slope * mean
    return box_mean(slope, radius) * guide + box_mean(offset, radius)


def laplacian(plane: Plane) -> NDArray[np.float32]:
    """How much a plane (H, W) differs from its four neighbours: |4 p - sum|, border repeated."""
    plane = np.asarray(plane, np.float32)
    found = cv2.Laplacian(plane, cv2.CV_32F, ksize=1, borderType=cv2.BORDER_REPLICATE)
    return np.abs(np.asarray(found, np.float32).reshape(plane.shape))


def erode(mask: NDArray[np.float32], radius: int) -> NDArray[np.float32]:
    """Minimum over windows of side 2 radius + 1 within the border: (H, W)."""
    side = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
    return np.asarray(cv2.erode(mask, side), np.float32).reshape(mask.shape)

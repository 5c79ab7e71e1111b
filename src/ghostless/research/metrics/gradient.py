"""Metrics of gradients and contrast: how sharp the fused image is, how well edges carry over.

All work on single planes (H, W), uint8 values 0..255; `research.metrics` averages over R, G, B.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ._filters import correlate_same

Bytes = NDArray[np.uint8]
Plane = NDArray[np.float64]

_SOBEL = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], np.float64)


def average_gradient(fused: Bytes) -> float:
    """Mean gradient magnitude over sqrt(2), levels per pixel (Cui et al., Optics Comm. 2015).

    Central differences, one-sided at the border; the sum is divided by (H-1)(W-1) as in MEFB.
    """
    values = fused.astype(np.float64)
    height, width = values.shape
    down = np.gradient(values, axis=0) if height > 1 else np.zeros_like(values)
    across = np.gradient(values, axis=1) if width > 1 else np.zeros_like(values)
    total = float(np.sqrt((across**2 + down**2) / 2).sum())
    return float(total / max((height - 1) * (width - 1), 1))


def edge_intensity(fused: Bytes) -> float:
    """Mean magnitude of the Sobel response, replicated border (Rajalingam & Priya 2018)."""
    values = fused.astype(np.float64)
    across = correlate_same(values, _SOBEL, cv2.BORDER_REPLICATE)
    down = correlate_same(values, np.ascontiguousarray(_SOBEL.T), cv2.BORDER_REPLICATE)
    return float(np.sqrt(across**2 + down**2).mean())


def spatial_frequency(fused: Bytes) -> float:
    """Root of the mean squared differences along rows and columns (Eskicioglu & Fisher 1995)."""
    values = fused.astype(np.float64)
    rows = float((np.diff(values, axis=1) ** 2).sum())
    columns = float((np.diff(values, axis=0) ** 2).sum())
    return float(np.sqrt((rows + columns) / values.size))


def standard_deviation(fused: Bytes) -> float:
    """Standard deviation of the levels (population)."""
    return float(fused.astype(np.float64).std())


def edge_preservation(first: Bytes, second: Bytes, fused: Bytes) -> float:
    """Qabf: how much edge strength and orientation of the sources is kept (Xydeas & Petrovic 2000).

    Where strengths are equal, MEFB's code takes the strength itself for their ratio of 1; this is
    kept, as the published figures have it (the sigmoid saturates, so only strengths below 1, that
    is flat places without weight, could differ).
    """
    strength_fused, angle_fused = _strength_and_angle(fused)
    weighted = np.zeros_like(strength_fused)
    total = 0.0
    for source in (first, second):
        strength, angle = _strength_and_angle(source)
        low = np.minimum(strength, strength_fused)
        high = np.maximum(strength, strength_fused)
        ratio = np.divide(low, high, out=strength_fused.copy(), where=low != high)
        alignment = 1 - np.abs(angle - angle_fused) / (np.pi / 2)
        kept_strength = 0.9994 / (1 + np.exp(-15 * (ratio - 0.5)))
        kept_angle = 0.9879 / (1 + np.exp(-22 * (alignment - 0.8)))
        weighted += kept_strength * kept_angle * strength
        total += float(strength.sum())
    return float(weighted.sum()) / total if total > 0 else 1.0


def _strength_and_angle(plane: Bytes) -> tuple[Plane, Plane]:
    values = plane.astype(np.float64)
    # Convolution with zeros outside: the kernels are flipped, which changes signs only.
    across = correlate_same(values, -_SOBEL)
    down = correlate_same(values, np.ascontiguousarray(-_SOBEL.T))
    vertical = across == 0
    angle = np.arctan(np.divide(-down, across, out=np.zeros_like(across), where=~vertical))
    angle[vertical] = np.pi / 2
    return np.hypot(across, down), angle

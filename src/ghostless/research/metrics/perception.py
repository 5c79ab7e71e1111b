"""Metrics of perceived quality: contrast sensitivity and visual information.

All work on single planes (H, W) of uint8; `research.metrics` averages them over R, G and B.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ._filters import (
    correlate_same,
    filter_in_frequency,
    frequency_radius,
    gaussian,
    require_size,
    smooth_same,
    smooth_valid,
    stretch,
)

Bytes = NDArray[np.uint8]
Plane = NDArray[np.float64]


def chen_blum_quality(first: Bytes, second: Bytes, fused: Bytes) -> float:
    """Qcb: contrast kept after contrast-sensitivity filtering (Chen & Blum 2009).

    Difference-of-Gaussians sensitivity f0 = 15.387, f1 = 1.3456, a = 0.7622; local contrast by
    Gaussians of sigma 2 and 4 on 31 x 31 pixels; masking exponents p = 3, q = 2, Z = 1e-4.
    """
    height, width = fused.shape
    radius = frequency_radius(height, width, height / 30, width / 30)
    response = np.exp(-((radius / 15.3870) ** 2)) - 0.7622 * np.exp(-((radius / 1.3456) ** 2))

    def masked_contrast(plane: Bytes) -> Plane:
        seen = filter_in_frequency(stretch(plane).astype(np.float64), response)
        # The Gaussians are not normalised over their 31 x 31 pixels; this shifts the contrast.
        fine = smooth_same(seen, _unnormalised_gaussian(2))
        coarse = smooth_same(seen, _unnormalised_gaussian(4))
        quotient = np.divide(fine, coarse, out=np.ones_like(fine), where=coarse != 0)
        contrast = np.abs(quotient - 1)
        return np.asarray(contrast**3 / (contrast**2 + 1e-4))

    contrast_a, contrast_b, contrast_f = (masked_contrast(p) for p in (first, second, fused))
    kept_a = _smaller_over_larger(contrast_a, contrast_f)
    kept_b = _smaller_over_larger(contrast_b, contrast_f)
    power_a, power_b = contrast_a**2, contrast_b**2
    total = power_a + power_b
    share = np.divide(power_a, total, out=np.full_like(total, 0.5), where=total > 0)
    return float((share * kept_a + (1 - share) * kept_b).mean())


def _unnormalised_gaussian(sigma: float) -> Plane:
    x = np.arange(-15, 16, dtype=np.float64)
    return np.asarray(np.exp(-(x**2) / (2 * sigma**2)) / (np.sqrt(2 * np.pi) * sigma))


def _smaller_over_larger(first: Plane, second: Plane) -> Plane:
    low, high = np.minimum(first, second), np.maximum(first, second)
    return np.divide(low, high, out=np.ones_like(low), where=high > 0)


def chen_varshney_quality(first: Bytes, second: Bytes, fused: Bytes) -> float:
    """Qcv: visible difference to the sources, weighted by edges; lower is better (Chen 2007).

    Blocks of 16 x 16 pixels (zeros beyond the border), saliency exponent 5, Mannos-Sakrison
    contrast sensitivity at MEFB's viewing distance (frequencies up to size / 8).
    """
    a, b, f = (stretch(plane).astype(np.float64) for plane in (first, second, fused))
    height, width = f.shape
    radius = frequency_radius(height, width, height / 8, width / 8)
    response = 2.6 * (0.0192 + 0.144 * radius) * np.exp(-((0.144 * radius) ** 1.1))
    above = below = 0.0
    for source in (a, b):
        saliency = _block_sums(_sobel_strength(source) ** 5)
        difference = filter_in_frequency(source - f, response)
        error = _block_sums(difference**2) / 256
        above += float((saliency * error).sum())
        below += float(saliency.sum())
    return above / below if below > 0 else 0.0


def _sobel_strength(plane: Plane) -> Plane:
    kernel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], np.float64)
    across = correlate_same(plane, kernel)
    down = correlate_same(plane, np.ascontiguousarray(kernel.T))
    return np.hypot(across, down)


def _block_sums(plane: Plane, size: int = 16) -> Plane:
    height, width = plane.shape
    padded = np.pad(plane, ((0, -height % size), (0, -width % size)))
    rows, columns = padded.shape[0] // size, padded.shape[1] // size
    return np.asarray(padded.reshape(rows, size, columns, size).sum(axis=(1, 3)))


def fusion_visual_information(first: Bytes, second: Bytes, fused: Bytes) -> float:
    """VIF for fusion: information of the better-kept source, over four scales (Han et al. 2013).

    Visual noise 0.005 x 255^2; scale weights 1, 0, 0.15, 1 over their sum.
    """
    require_size(fused.shape, 41, "VIF")
    weights = np.array([1, 0, 0.15, 1]) / 2.15
    kept_a = _visual_information(first, fused)
    kept_b = _visual_information(second, fused)
    score = 0.0
    for weight, (gain_a, with_a, without_a), (gain_b, with_b, without_b) in zip(
        weights, kept_a, kept_b, strict=True
    ):
        from_a = gain_a < gain_b
        kept = np.where(from_a, with_a, with_b) + 1e-7
        wanted = np.where(from_a, without_a, without_b) + 1e-7
        score += float(weight * kept.sum() / wanted.sum())
    return score


def _visual_information(reference: Bytes, distorted: Bytes) -> list[tuple[Plane, Plane, Plane]]:
    """Gain, information with and without distortion, per scale (pixel-domain VIF, Sheikh 2006)."""
    noise = 0.005 * 255 * 255
    ref, dist = reference.astype(np.float64), distorted.astype(np.float64)
    result = []
    for scale in range(4):
        size = 2 ** (4 - scale) + 1
        window = gaussian(size, size / 5)
        if scale:
            ref = np.ascontiguousarray(smooth_valid(ref, window)[::2, ::2])
            dist = np.ascontiguousarray(smooth_valid(dist, window)[::2, ::2])
        mean_r, mean_d = smooth_valid(ref, window), smooth_valid(dist, window)
        variance_r = np.maximum(smooth_valid(ref * ref, window) - mean_r**2, 0)
        variance_d = np.maximum(smooth_valid(dist * dist, window) - mean_d**2, 0)
        covariance = smooth_valid(ref * dist, window) - mean_r * mean_d
        gain = covariance / (variance_r + 1e-10)
        residual = variance_d - gain * covariance
        flat_r, flat_d = variance_r < 1e-10, variance_d < 1e-10
        gain[flat_r] = 0
        residual[flat_r] = variance_d[flat_r]
        variance_r[flat_r] = 0
        gain[flat_d] = 0
        residual[flat_d] = 0
        inverted = gain < 0
        residual[inverted] = variance_d[inverted]
        gain[inverted] = 0
        residual = np.maximum(residual, 1e-10)
        kept = np.log10(1 + gain**2 * variance_r / (residual + noise))
        wanted = np.log10(1 + variance_r / noise)
        result.append((gain, kept, wanted))
    return result

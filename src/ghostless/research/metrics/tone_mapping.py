"""TMQI: how faithful and how natural a display image is, against the scene's radiance.

Yeganeh & Wang, "Objective quality assessment of tone-mapped images", TIP 22(2), 2013.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ._filters import gaussian, halve, require_size, smooth_valid

Plane = NDArray[np.float64]

# Luminance of linear sRGB as the authors' code has it.
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
# Spatial frequencies of the five scales, cycles per degree at the authors' viewing distance.
_FREQUENCIES = (16.0, 8.0, 4.0, 2.0, 1.0)


@dataclass(frozen=True)
class ToneMappingQuality:
    """Overall quality, structural fidelity and statistical naturalness, each 0..1."""

    quality: float
    fidelity: float
    naturalness: float


def tone_mapping_quality(
    radiance: NDArray[np.generic], display: NDArray[np.generic]
) -> ToneMappingQuality:
    """Score a display image against radiance.

    radiance: (H, W, 3) linear RGB, any scale. display: (H, W, 3) RGB, values 0..255.
    """
    require_size(display.shape, 11 * 16, "TMQI")
    high = np.asarray(radiance, np.float64) @ _LUMINANCE
    low = np.asarray(display, np.float64) @ _LUMINANCE
    spread = high.max() - high.min()
    high = (2.0**32 - 1) * (high - high.min()) / (spread if spread > 0 else 1.0)
    fidelity = _structural_fidelity(high, low)
    naturalness = _statistical_naturalness(low)
    quality = 0.8012 * fidelity**0.3046 + (1 - 0.8012) * naturalness**0.7088
    return ToneMappingQuality(quality, fidelity, naturalness)


def _structural_fidelity(high: Plane, low: Plane) -> float:
    score = 1.0
    for weight, frequency in zip(_SCALE_WEIGHTS, _FREQUENCIES, strict=True):
        score *= max(_local_fidelity(high, low, frequency), 0.0) ** weight
        high, low = halve(high), halve(low)
    return score


def _local_fidelity(high: Plane, low: Plane, frequency: float) -> float:
    window = gaussian(11, 1.5)
    mean_h, mean_l = smooth_valid(high, window), smooth_valid(low, window)
    variance_h = smooth_valid(high * high, window) - mean_h**2
    variance_l = smooth_valid(low * low, window) - mean_l**2
    covariance = smooth_valid(high * low, window) - mean_h * mean_l
    deviation_h = np.sqrt(np.maximum(variance_h, 0))
    deviation_l = np.sqrt(np.maximum(variance_l, 0))
    # Visibility of the local contrast by the contrast sensitivity of Mannos and Sakrison.
    sensitivity = 260 * (0.0192 + 0.114 * frequency) * math.exp(-((0.114 * frequency) ** 1.1))
    threshold = 128 / (1.4 * sensitivity)
    seen_h = _normal_cdf((deviation_h - threshold) / (threshold / 3))
    seen_l = _normal_cdf((deviation_l - threshold) / (threshold / 3))
    strength = (2 * seen_h * seen_l + 0.01) / (seen_h**2 + seen_l**2 + 0.01)
    structure = (covariance + 10) / (deviation_h * deviation_l + 10)
    return float((strength * structure).mean())


_CDF_GRID = np.linspace(-9, 9, 36001)
_CDF_VALUES = np.array([0.5 * math.erfc(-x / math.sqrt(2)) for x in _CDF_GRID])


def _normal_cdf(values: Plane) -> Plane:
    # Interpolated on a grid of 1/2000: exact to 1e-8, and NumPy has no error function.
    return np.asarray(np.interp(values, _CDF_GRID, _CDF_VALUES))


def _statistical_naturalness(low: Plane) -> float:
    brightness = float(low.mean())
    height, width = low.shape
    padded = np.pad(low, ((0, -height % 11), (0, -width % 11)))
    blocks = padded.reshape(padded.shape[0] // 11, 11, padded.shape[1] // 11, 11)
    deviations = blocks.std(axis=(1, 3), ddof=1)
    per_pixel = np.repeat(np.repeat(deviations, 11, axis=0), 11, axis=1)[:height, :width]
    contrast = float(per_pixel.mean()) / 64.29
    # Both densities over their peaks: Gaussian(115.94, 27.99) and beta(4.4, 10.1).
    likely_brightness = math.exp(-0.5 * ((brightness - 115.94) / 27.99) ** 2)
    mode = (4.4 - 1) / (4.4 + 10.1 - 2)
    likely_contrast = 0.0
    if 0 < contrast < 1:
        likely_contrast = (contrast / mode) ** 3.4 * ((1 - contrast) / (1 - mode)) ** 9.1
    return likely_brightness * likely_contrast

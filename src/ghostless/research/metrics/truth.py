"""Metrics against a true image: how far a result is from what it should be.

Display images are (H, W, 3) values 0..peak (255 by default). Where a channel count matters, the
value is the mean over R, G and B.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ._filters import gaussian, halve, require_size, smooth_valid

Image = NDArray[np.generic]
Plane = NDArray[np.float64]

MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def psnr(result: Image, truth: Image, peak: float = 255.0) -> float:
    """Peak signal-to-noise ratio over all pixels and channels, dB; infinite for equal images.
    Of (H, W) or (H, W, 3).

    peak: the largest possible value. MEF-GAN and LCNDR write 256 for 8-bit images, +0.034 dB.
    """
    difference = np.asarray(result, np.float64) - np.asarray(truth, np.float64)
    error = float(np.mean(difference**2))
    return math.inf if error == 0 else 10 * math.log10(peak**2 / error)


def ssim(result: Image, truth: Image, peak: float = 255.0) -> float:
    """Structural similarity, mean over pixels and channels (Wang et al., TIP 2004).
    Of (H, W) or (H, W, 3).

    11 x 11 Gaussian window, sigma 1.5, only where it fits; K = 0.01, 0.03.
    """
    return float(np.mean([_ssim_and_contrast(a, b, peak)[0] for a, b in _planes(result, truth)]))


def ms_ssim(result: Image, truth: Image, peak: float = 255.0) -> float:
    """Multi-scale structural similarity over five scales (Wang et al., Asilomar 2003).
    Of (H, W) or (H, W, 3).

    Between scales 2 x 2 means (symmetric border) and every second pixel.
    """
    require_size(np.asarray(truth).shape, 11 * 16, "MS_SSIM", "SSIM")
    scores = []
    for a, b in _planes(result, truth):
        score = 1.0
        for scale, weight in enumerate(MS_SSIM_WEIGHTS):
            full, contrast = _ssim_and_contrast(a, b, peak)
            last = scale == len(MS_SSIM_WEIGHTS) - 1
            score *= max(full if last else contrast, 0.0) ** weight
            a, b = halve(a), halve(b)
        scores.append(score)
    return float(np.mean(scores))


def correlation(result: Image, truth: Image) -> float:
    """Pearson correlation of two arrays, -1..1; 1 for equal ones, 0 where one is constant.

    Of (H, W) or (H, W, 3).
    """
    a, b = np.asarray(result, np.float64), np.asarray(truth, np.float64)
    if np.array_equal(a, b):
        return 1.0
    if a.min() == a.max() or b.min() == b.max():
        return 0.0  # and not what the means' rounding leaves
    a, b = a - a.mean(), b - b.mean()
    norm = math.sqrt(float((a * a).sum()) * float((b * b).sum()))
    return float((a * b).sum()) / norm if norm > 0 else 0.0


def difference_of_shares(result: Image, truth: Image) -> float:
    """How far the shares of R, G and B in all levels are from the truth's: the largest, percent."""
    sums = (np.asarray(image, np.float64).sum(axis=(0, 1)) for image in (result, truth))
    shares = [plane / max(float(plane.sum()), 1e-12) for plane in sums]
    return 100 * float(np.abs(shares[0] - shares[1]).max())


def intensity_and_saturation(image: Image) -> tuple[Plane, Plane]:
    """Intensity and saturation (H, W) of RGB as MEF-GAN defines them (Xu et al., TIP 2020).

    I = (R + G + B) / sqrt 3, S = the length of the two colour-difference axes.
    """
    red, green, blue = np.moveaxis(np.asarray(image, np.float64), 2, 0)
    intensity = (red + green + blue) / math.sqrt(3)
    first = (red + green - 2 * blue) / math.sqrt(6)
    second = (red - green) / math.sqrt(2)
    return intensity, np.hypot(first, second)


def _planes(result: Image, truth: Image) -> list[tuple[Plane, Plane]]:
    a, b = np.atleast_3d(np.asarray(result)), np.atleast_3d(np.asarray(truth))
    require_size(b.shape, 11, "SSIM")
    return [
        (a[:, :, channel].astype(np.float64), b[:, :, channel].astype(np.float64))
        for channel in range(b.shape[2])
    ]


def _ssim_and_contrast(a: Plane, b: Plane, peak: float) -> tuple[float, float]:
    window = gaussian(11, 1.5)
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    mean_a, mean_b = smooth_valid(a, window), smooth_valid(b, window)
    variance_a = smooth_valid(a * a, window) - mean_a**2
    variance_b = smooth_valid(b * b, window) - mean_b**2
    covariance = smooth_valid(a * b, window) - mean_a * mean_b
    contrast = (2 * covariance + c2) / (variance_a + variance_b + c2)
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return float((luminance * contrast).mean()), float(contrast.mean())

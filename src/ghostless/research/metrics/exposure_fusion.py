"""MEF-SSIM: whether the fused image shows the structure and contrast of its best-exposed sources.

On grey planes (H, W), values 0..255, and any number of sources.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import cv2
import numpy as np
from numpy.typing import NDArray

from ._filters import gaussian, halve, require_size, smooth_valid

Plane = NDArray[np.float64]

MEF_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001)


def mef_ssim(sources: Sequence[NDArray[np.generic]], fused: NDArray[np.generic]) -> float:
    """MEF-SSIM on three scales (Ma, Zeng, Wang, TIP 2015), 0..1, higher is better.

    sources: two or more grey planes (H, W), values 0..255; fused: one such plane.
    """
    planes = [np.asarray(source, np.float64) for source in sources]
    result = np.asarray(fused, np.float64)
    require_size(result.shape, 11 * 4, "MEF_SSIM", "MEF_SSIM1")
    weights = np.array(MEF_SSIM_WEIGHTS) / sum(MEF_SSIM_WEIGHTS)
    score = 1.0
    for scale, weight in enumerate(weights):
        if scale:
            planes, result = [halve(plane) for plane in planes], halve(result)
        quality = float(mef_ssim_map(planes, result).mean())
        score *= max(quality, 0.0) ** float(weight)
    return score


def mef_ssim_single_scale(
    sources: Sequence[NDArray[np.generic]], fused: NDArray[np.generic]
) -> float:
    """MEF-SSIM on the full scale only (Ma, Zeng, Wang, TIP 2015), higher is better.

    Of (H, W, 3).
    """
    planes = [np.asarray(source, np.float64) for source in sources]
    result = np.asarray(fused, np.float64)
    require_size(result.shape, 11, "MEF_SSIM1")
    return float(mef_ssim_map(planes, result).mean())


def mef_ssim_moving(sources: Sequence[NDArray[np.generic]], fused: NDArray[np.generic]) -> float:
    """MEF-SSIMd, for scenes in which things move (Fang, Zhu, Ma, Wang, Li, TIP 2020), -1..1.

    sources: two or more grey planes (H, W), values 0..255; fused: one such plane. One scale.
    Windows whose structure agrees in all sources are static and scored as by MEF-SSIM, with
    weights of power 4. In the others the result should show one source only, at all exposures: the
    wanted patch comes from that source and copies of it with the others' histograms. The source
    that the result agrees with best counts. The score is the mean of both parts, however large.
    """
    planes = [np.asarray(source, np.float64) for source in sources]
    result = np.asarray(fused, np.float64)
    require_size(result.shape, 11, "MEF_SSIMd")
    static = _static_windows(planes)
    parts = []
    if static.any():
        parts.append(float(mef_ssim_map(planes, result, power=4)[static].mean()))
    if not static.all():
        scores = []
        for shown in range(len(planes)):
            exposures = [
                plane if index == shown else _with_histogram_of(planes[shown], plane)
                for index, plane in enumerate(planes)
            ]
            quality = mef_ssim_map(exposures, result, power=4)
            scores.append(float(quality[~static].mean()))
        parts.append(max(scores))
    return sum(parts) / len(parts)


def _static_windows(planes: Sequence[Plane]) -> NDArray[np.bool_]:
    """Which 11 x 11 windows (H-10, W-10) have one structure in all planes.

    Their structure terms are 0.5 or more, opened by a disk of radius 11.
    """
    box = np.full(11, 1 / 11)
    constant = (0.03 * 255) ** 2
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (23, 23))
    means = [smooth_valid(plane, box) for plane in planes]
    deviations = [
        np.sqrt(np.maximum(smooth_valid(plane * plane, box) - mean * mean, 0))
        for plane, mean in zip(planes, means, strict=True)
    ]
    static = np.ones(means[0].shape, np.bool_)
    for i, j in combinations(range(len(planes)), 2):
        covariance = smooth_valid(planes[i] * planes[j], box) - means[i] * means[j]
        structure = (covariance + constant) / (deviations[i] * deviations[j] + constant)
        alike = (structure >= 0.5).astype(np.uint8)
        static &= cv2.morphologyEx(alike, cv2.MORPH_OPEN, disk) > 0
    return static


def _with_histogram_of(plane: Plane, wanted: Plane) -> Plane:
    """Levels of a plane mapped so that its histogram becomes that of another one."""
    levels, target = np.rint(plane).astype(np.uint8), np.rint(wanted).astype(np.uint8)
    shares = np.cumsum(np.bincount(levels.ravel(), minlength=256)) / levels.size
    wanted_shares = np.cumsum(np.bincount(target.ravel(), minlength=256)) / target.size
    nearest = np.abs(shares[:, None] - wanted_shares[None, :]).argmin(axis=1)
    return np.asarray(nearest[levels], np.float64)


def mef_ssim_map(sources: Sequence[Plane], fused: Plane, power: float | None = None) -> Plane:
    """Quality map (H-10, W-10) of one scale: structure and contrast, no luminance.

    power: of the contrasts that weight the structures; by default it grows with their consistency.

    Every 11 x 11 patch of the sources is split into mean, contrast and structure; the wanted patch
    has the largest contrast and the contrast-weighted mean structure. Its moments follow from those
    of the sources, for it is a linear combination of their patches.
    """
    box = np.full(11, 1 / 11)
    bell = gaussian(11, 1.5)
    count = len(sources)
    means = [smooth_valid(source, box) for source in sources]
    covariances: dict[tuple[int, int], Plane] = {}
    for i in range(count):
        for j in range(i, count):
            product = smooth_valid(sources[i] * sources[j], box)
            covariances[i, j] = product - means[i] * means[j]
    contrasts = [np.sqrt(np.maximum(121 * covariances[i, i], 0)) + 0.001 for i in range(count)]
    factors = _factors(contrasts, covariances, power)
    length = np.zeros_like(means[0])
    for (i, j), covariance in covariances.items():
        length += (1 if i == j else 2) * factors[i] * factors[j] * 121 * covariance
    length = np.sqrt(np.maximum(length, 0))
    largest = np.maximum.reduce(contrasts)
    scale = np.divide(largest, length, out=np.zeros_like(length), where=length > 0)

    bell_means = [smooth_valid(source, bell) for source in sources]
    fused_mean = smooth_valid(fused, bell)
    fused_variance = smooth_valid(fused * fused, bell) - fused_mean * fused_mean
    wanted_variance = np.zeros_like(means[0])
    covariance_with_fused = np.zeros_like(means[0])
    for i in range(count):
        with_fused = smooth_valid(sources[i] * fused, bell) - bell_means[i] * fused_mean
        covariance_with_fused += factors[i] * with_fused
        for j in range(i, count):
            product = smooth_valid(sources[i] * sources[j], bell)
            bell_covariance = product - bell_means[i] * bell_means[j]
            wanted_variance += (1 if i == j else 2) * factors[i] * factors[j] * bell_covariance
    constant = (0.03 * 255) ** 2
    above = 2 * scale * covariance_with_fused + constant
    below = scale**2 * wanted_variance + fused_variance + constant
    return np.asarray(above / below)


def _factors(
    contrasts: Sequence[Plane], covariances: Mapping[tuple[int, int], Plane], power: float | None
) -> list[Plane]:
    """What each source's patch counts for in the wanted structure."""
    if power is None:
        weights = _weights_by_consistency(contrasts, covariances)
    else:
        weights = [contrast**power + 0.001 for contrast in contrasts]
    total = sum(weights)
    return [weight / total / contrast for weight, contrast in zip(weights, contrasts, strict=True)]


def _weights_by_consistency(
    contrasts: Sequence[Plane], covariances: Mapping[tuple[int, int], Plane]
) -> list[Plane]:
    """Weights of the structures: the more consistent they are, the more the largest counts.

    Consistency is the norm of the summed patches over the sum of their norms.
    """
    tiny = np.finfo(np.float64).eps
    summed = sum((1 if i == j else 2) * covariance for (i, j), covariance in covariances.items())
    norm_of_sum = np.sqrt(np.maximum(121 * np.asarray(summed), 0))
    sum_of_norms = sum(contrast - 0.001 for contrast in contrasts)
    consistency = np.clip((norm_of_sum + tiny) / (sum_of_norms + tiny), tiny, 1 - tiny)
    power = np.minimum(np.tan(np.pi / 2 * consistency), 10)
    return [(contrast / 11) ** power + tiny for contrast in contrasts]

"""Scores and losses that stand in for judges: PSNR, MEF-SSIM, and what replaces a VGG.

Images are (B, C, H, W), 0..1. For measuring finished pictures use `ghostless.metrics`.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..nn.ycbcr import luma
from .losses import _window_means, ssim

# Ma, Zeng, Wang: Perceptual Quality Assessment for Multi-Exposure Image Fusion, IEEE TIP 2015, and
# the authors' program, for values 0..255: side of the windows, constant against division by zero,
# what is added to contrasts, the largest exponent.
_WINDOW = 11
_MEF_CONSTANT = (0.03 * 255) ** 2
_LEAST_CONTRAST = 0.001
_LARGEST_POWER = 10.0
_TINY = 1e-8


def psnr(image: Tensor, target: Tensor) -> float:
    """Peak signal-to-noise ratio in dB, peak 1; 100 for equal images."""
    error = float(F.mse_loss(image.clamp(0, 1), target.clamp(0, 1)))
    return min(100.0, -10 * math.log10(max(error, 1e-10)))


def mef_ssim(first: Tensor, second: Tensor, fused: Tensor) -> Tensor:
    """Structural similarity (B,) of a fused luma to the best of two sources, differentiable.

    first, second, fused: (B, 1, H, W), 0..1, sides of at least 11. In every window the wanted
    structure has the larger contrast of the two sources and the mean of their directions, weighted
    by contrast. The finest scale of `metrics.exposure_fusion.mef_ssim`, for two sources.
    """
    first, second, fused = first * 255, second * 255, fused * 255
    products = [first, second, first * first, second * second, first * second]
    with torch.no_grad():
        # Weights of the sources, from plain means.
        box = [F.avg_pool2d(plane, _WINDOW, 1) for plane in products]
        variances = [box[2] - box[0].square(), box[3] - box[1].square()]
        covariance = box[4] - box[0] * box[1]
        norms = [(_WINDOW**2 * variance).clamp_min(0).sqrt() for variance in variances]
        of_sum = (_WINDOW**2 * (variances[0] + variances[1] + 2 * covariance)).clamp_min(0).sqrt()
        consistency = ((of_sum + _TINY) / (norms[0] + norms[1] + _TINY)).clamp(0, 1 - 1e-6)
        power = torch.tan(consistency * (math.pi / 2)).clamp_max(_LARGEST_POWER)
        contrasts = [norm + _LEAST_CONTRAST for norm in norms]
        largest = torch.maximum(*contrasts)
        # As shares of the largest: powers of small contrasts leave the range of float32.
        weights = [(contrast / largest).pow(power) for contrast in contrasts]
        total = weights[0] + weights[1]
        one, other = (w / total / c for w, c in zip(weights, contrasts, strict=True))
        length = one.square() * variances[0] + other.square() * variances[1]
        length = (_WINDOW**2 * (length + 2 * one * other * covariance)).clamp_min(0).sqrt()
        scale = torch.where(length > _TINY, largest / length.clamp_min(_TINY), 0)
        one, other = scale * one, scale * other
    bell = [*products, fused, fused * fused, first * fused, second * fused]
    mean = _window_means(torch.stack(bell, dim=1)).unbind(dim=1)
    wanted = one.square() * (mean[2] - mean[0].square())
    wanted = wanted + other.square() * (mean[3] - mean[1].square())
    wanted = wanted + 2 * one * other * (mean[4] - mean[0] * mean[1])
    with_fused = one * (mean[7] - mean[0] * mean[5]) + other * (mean[8] - mean[1] * mean[5])
    variance = mean[6] - mean[5].square()
    score = (2 * with_fused + _MEF_CONSTANT) / (wanted + variance + _MEF_CONSTANT)
    return score.flatten(1).mean(dim=1)


def mef_ssim_loss(under: Tensor, over: Tensor, fused: Tensor) -> Tensor:
    """1 - MEF-SSIM of RGB images, on their luma."""
    return (1 - mef_ssim(luma(under), luma(over), luma(fused))).mean()


def likeness_loss(fused: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error plus 1 - SSIM."""
    return F.l1_loss(fused, target) + (1 - ssim(fused, target)).mean()


def scale_space_loss(fused: Tensor, target: Tensor, scales: int = 4) -> Tensor:
    """What stands in for a VGG: likeness of colours, gradients and structure at several scales.

    Sum over scales of the mean absolute error of the image and of its differences to the right and
    below (three times), and 1 - SSIM; each scale averages 2 x 2 pixels of the one before. Knows
    edges and contrast at all sizes, but nothing of textures that only a trained network tells
    apart, so it forgives neither a shifted texture nor invents one: results are a little softer.
    """
    terms = []
    for scale in range(scales):
        if scale:
            fused, target = F.avg_pool2d(fused, 2), F.avg_pool2d(target, 2)
        if min(fused.shape[-2:]) < 11:
            break
        terms.append(F.l1_loss(fused, target) + (1 - ssim(fused, target)).mean())
        for dim in (-1, -2):
            terms.append(3 * F.l1_loss(fused.diff(dim=dim), target.diff(dim=dim)))
    return torch.stack(terms).sum() / scales

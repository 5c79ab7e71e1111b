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

# Ma, Zeng, Wang: Perceptual Quality Assessment for Multi-Exposure Image Fusion, IEEE TIP 2015:
# the constant against division by zero, for values 0..1, and the largest exponent.
_MEF_CONSTANT = 0.03**2
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
    the more by contrast the more alike they are. One scale, Gaussian windows: near to the score of
    `ghostless.metrics`, not equal to it.
    """
    maps = [first, second, fused, first * first, second * second, fused * fused]
    maps += [first * second, first * fused, second * fused]
    mean = _window_means(torch.stack(maps, dim=1)).unbind(dim=1)
    variance_1 = (mean[3] - mean[0].square()).clamp_min(0)
    variance_2 = (mean[4] - mean[1].square()).clamp_min(0)
    variance_f = (mean[5] - mean[2].square()).clamp_min(0)
    covariance = mean[6] - mean[0] * mean[1]
    with_1, with_2 = mean[7] - mean[0] * mean[2], mean[8] - mean[1] * mean[2]
    with torch.no_grad():
        contrast_1, contrast_2 = (variance_1 + _TINY).sqrt(), (variance_2 + _TINY).sqrt()
        length = (variance_1 + variance_2 + 2 * covariance).clamp_min(0).sqrt()
        consistency = (length / (contrast_1 + contrast_2)).clamp(0, 1)
        power = torch.tan(consistency * (math.pi / 2)).clamp(0, _LARGEST_POWER)
        largest = torch.maximum(contrast_1, contrast_2)
        weight_1 = (contrast_1 / largest).pow(power)
        weight_2 = (contrast_2 / largest).pow(power)
        # Directions: sources less their means, over their contrasts.
        cosine = (covariance / (contrast_1 * contrast_2)).clamp(-1, 1)
        wanted = weight_1.square() + weight_2.square() + 2 * weight_1 * weight_2 * cosine
        scale = largest / (wanted + _TINY).sqrt()
    agreement = scale * (weight_1 * with_1 / contrast_1 + weight_2 * with_2 / contrast_2)
    score = (2 * agreement + _MEF_CONSTANT) / (largest.square() + variance_f + _MEF_CONSTANT)
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

"""Scores and losses that stand in for judges: PSNR, MEF-SSIM, and what replaces a VGG.

Images are (B, C, H, W), 0..1; the metrics among them are those of `research.metrics.tensor`.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ...nn.ycbcr import luma
from ..metrics import tensor as metrics
from .losses import ssim

_SIDE_FOR_THREE_SCALES = 44


def psnr(image: Tensor, target: Tensor) -> float:
    """Peak signal-to-noise ratio in dB, peak 1; 100 for equal images."""
    error = float(F.mse_loss(image.clamp(0, 1), target.clamp(0, 1)))
    return min(100.0, -10 * math.log10(max(error, 1e-10)))


def mef_ssim(first: Tensor, second: Tensor, fused: Tensor) -> Tensor:
    """Structural similarity (B,) of a fused luma to the best of two sources, differentiable.

    first, second, fused: (B, 1, H, W), 0..1, sides of at least 11. At three scales, as the
    benchmark has it, where the sides allow (44), else at the finest; see `metrics.tensor.mef_ssim`.
    """
    scales = 3 if min(fused.shape[-2:]) >= _SIDE_FOR_THREE_SCALES else 1
    return metrics.mef_ssim([first * 255, second * 255], fused * 255, scales)


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

"""Metrics against a true image, on tensors; see `..truth` and `..radiance` for what they are.

Images are (B, C, H, W); every value is (B,).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ....pixels.color import LUMINANCE_709
from .._filters import require_size
from ..radiance import _PU21, _PU21_PEAK, MU
from ..truth import MS_SSIM_WEIGHTS
from .filters import bell, halve, power_of_positive, smooth_valid


def psnr(result: Tensor, truth: Tensor, peak: float = 255.0) -> Tensor:
    """Peak signal-to-noise ratio over all pixels and channels, dB; infinite for equal images.

    (B, C, H, W) to (B,).
    """
    error = (result - truth).square().flatten(1).mean(dim=1)
    return 10 * torch.log10(peak**2 / error)


def ssim(result: Tensor, truth: Tensor, peak: float = 255.0) -> Tensor:
    """Structural similarity, mean over pixels and channels; differentiable.

    (B, C, H, W) to (B,).
    """
    return _ssim_and_contrast(result, truth, peak)[0].mean(dim=1)


def ms_ssim(result: Tensor, truth: Tensor, peak: float = 255.0) -> Tensor:
    """Multi-scale structural similarity over five scales; differentiable. (B, C, H, W) to (B,)."""
    require_size(tuple(truth.shape[-2:]), 11 * 16, "MS_SSIM", "SSIM")
    score = torch.ones(result.shape[:2], dtype=result.dtype, device=result.device)
    for scale, weight in enumerate(MS_SSIM_WEIGHTS):
        full, contrast = _ssim_and_contrast(result, truth, peak)
        last = scale == len(MS_SSIM_WEIGHTS) - 1
        score = score * power_of_positive(full if last else contrast, weight)
        result, truth = halve(result), halve(truth)
    return score.mean(dim=1)


def correlation(result: Tensor, truth: Tensor) -> Tensor:
    """Pearson correlation of all pixels, -1..1; 1 for equal images, 0 where one is constant.

    (B, C, H, W) to (B,).
    """
    first, second = result.flatten(1), truth.flatten(1)
    equal = (first == second).all(dim=1)
    varied = (first != first[:, :1]).any(dim=1) & (second != second[:, :1]).any(dim=1)
    first = first - first.mean(dim=1, keepdim=True)
    second = second - second.mean(dim=1, keepdim=True)
    norm = (first.square().sum(dim=1) * second.square().sum(dim=1)).sqrt()
    usable = varied & (norm > 0)
    value = (first * second).sum(dim=1) / torch.where(usable, norm, 1)
    return torch.where(equal, 1, torch.where(usable, value, 0))


def intensity_and_saturation(rgb: Tensor) -> tuple[Tensor, Tensor]:
    """MEF-GAN's planes of intensity and saturation, (B, 1, H, W) each."""
    red, green, blue = rgb[:, :1], rgb[:, 1:2], rgb[:, 2:]
    intensity = (red + green + blue) / math.sqrt(3)
    first, second = (red + green - 2 * blue) / math.sqrt(6), (red - green) / math.sqrt(2)
    return intensity, torch.hypot(first, second)


def _ssim_and_contrast(a: Tensor, b: Tensor, peak: float) -> tuple[Tensor, Tensor]:
    """SSIM and its contrast and structure term, means over pixels, (B, C) each."""
    require_size(tuple(a.shape[-2:]), 11, "SSIM")
    planes = torch.stack([a, b, a * a, b * b, a * b])
    mean_a, mean_b, square_a, square_b, product = smooth_valid(planes, bell(a))
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    variances = square_a - mean_a.square() + square_b - mean_b.square()
    contrast = (2 * (product - mean_a * mean_b) + c2) / (variances + c2)
    luminance = (2 * mean_a * mean_b + c1) / (mean_a.square() + mean_b.square() + c1)
    return (luminance * contrast).mean(dim=(-2, -1)), contrast.mean(dim=(-2, -1))


# ---- of linear images, RGB (B, 3, H, W) ----


def mu_law(linear: Tensor) -> Tensor:
    """Compress linear 0..1 by the mu-law, mu = 5000. (B, C, H, W) to the same."""
    return torch.log1p(MU * linear) / math.log1p(MU)


def psnr_mu(result: Tensor, truth: Tensor) -> Tensor:
    """PSNR after the mu-law, dB. (B, C, H, W) to (B,)."""
    a, b = _unit(result, truth)
    return psnr(mu_law(a), mu_law(b), 1.0)


def psnr_linear(result: Tensor, truth: Tensor) -> Tensor:
    """PSNR of linear radiance, dB. (B, C, H, W) to (B,)."""
    return psnr(*_unit(result, truth), 1.0)


def ssim_mu(result: Tensor, truth: Tensor) -> Tensor:
    """SSIM after the mu-law. (B, C, H, W) to (B,)."""
    a, b = _unit(result, truth)
    return ssim(mu_law(a), mu_law(b), 1.0)


def ssim_linear(result: Tensor, truth: Tensor) -> Tensor:
    """SSIM of linear radiance. (B, C, H, W) to (B,)."""
    return ssim(*_unit(result, truth), 1.0)


def pu21_encode(luminance: Tensor) -> Tensor:
    """Encode absolute luminance, cd/m2 (clipped to 0.005..10000), to uniform steps.

    (B, C, H, W) to the same.
    """
    p1, p2, p3, p4, p5, p6, p7 = _PU21
    power = luminance.clamp(0.005, 10000).pow(p4)
    return (p7 * (((p1 + p2 * power) / (1 + p3 * power)).pow(p5) - p6)).clamp_min(0)


def pu21_psnr(result: Tensor, truth: Tensor, white_nits: float = 203.0) -> Tensor:
    """PSNR of PU21-encoded luminance, dB. (B, C, H, W) to (B,)."""
    a, b = (pu21_encode(luminance(image) * white_nits) for image in (result, truth))
    return psnr(a, b, _PU21_PEAK)


def pu21_ssim(result: Tensor, truth: Tensor, white_nits: float = 203.0) -> Tensor:
    """SSIM of PU21-encoded luminance. (B, C, H, W) to (B,)."""
    a, b = (pu21_encode(luminance(image) * white_nits) for image in (result, truth))
    return ssim(a, b, _PU21_PEAK)


def luminance(rgb: Tensor) -> Tensor:
    """BT.709 luminance (B, 1, H, W) of linear RGB."""
    return weighted_sum(rgb, LUMINANCE_709.tolist())


def weighted_sum(rgb: Tensor, weights: Sequence[float]) -> Tensor:
    """One plane (B, 1, H, W) from the channels of (B, 3, H, W)."""
    factors = torch.tensor(weights, dtype=rgb.dtype, device=rgb.device)
    return torch.einsum("bchw,c->bhw", rgb, factors).unsqueeze(1)


def _unit(result: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    top = truth.amax(dim=(1, 2, 3), keepdim=True)
    top = torch.where(top > 0, top, 1)
    return result.clamp_min(0) / top, truth.clamp_min(0) / top

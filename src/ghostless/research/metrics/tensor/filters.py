"""Filters and histograms that several metrics share, on tensors (..., H, W); see `.._filters`."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .._filters import frequency_radius


def bell(x: Tensor, size: int = 11, sigma: float = 1.5) -> Tensor:
    """Gaussian window (size,) that sums to 1, of a tensor's type and device; SSIM's by default."""
    steps = torch.arange(size, dtype=x.dtype, device=x.device) - (size - 1) / 2
    window = torch.exp(-steps.square() / (2 * sigma**2))
    return window / window.sum()


def box(x: Tensor, size: int = 11) -> Tensor:
    """A window of equal weights for a tensor. (size,)."""
    return x.new_full((size,), 1 / size)


def smooth_valid(x: Tensor, window: Tensor) -> Tensor:
    """Correlate (..., H, W) with a separable window; only where it fits, (..., H-n+1, W-n+1)."""
    flat = x.flatten(0, -3).unsqueeze(1)
    flat = F.conv2d(F.conv2d(flat, window.view(1, 1, -1, 1)), window.view(1, 1, 1, -1))
    return flat.reshape(*x.shape[:-2], *flat.shape[2:])


def smooth_same(x: Tensor, window: Tensor) -> Tensor:
    """Correlate (..., H, W) with a separable window of odd length, zeros outside; same size."""
    half = len(window) // 2
    return smooth_valid(F.pad(x, (half, half, half, half)), window)


def sobel(x: Tensor, *, repeat_border: bool = False) -> tuple[Tensor, Tensor]:
    """Sobel's responses across and down, each like (B, C, H, W); zeros outside by default."""
    return _gradients(x, (1.0, 2.0, 1.0), repeat_border)


def prewitt(x: Tensor) -> tuple[Tensor, Tensor]:
    """Prewitt's responses across and down, each like (B, C, H, W); zeros outside."""
    return _gradients(x, (1.0, 1.0, 1.0), False)


def _gradients(
    x: Tensor, weights: tuple[float, float, float], repeat_border: bool
) -> tuple[Tensor, Tensor]:
    padded = F.pad(x, (1, 1, 1, 1), mode="replicate" if repeat_border else "constant")
    # Sums of differences of whole levels are exact, so that "no gradient" is exactly zero.
    right, down = padded.diff(dim=-1), padded.diff(dim=-2)
    across = right[..., 1:] + right[..., :-1]
    along = down[..., 1:, :] + down[..., :-1, :]
    one, two, three = weights
    return (
        one * across[..., :-2, :] + two * across[..., 1:-1, :] + three * across[..., 2:, :],
        one * along[..., :-2] + two * along[..., 1:-1] + three * along[..., 2:],
    )


def halve(x: Tensor) -> Tensor:
    """Mean of 2 x 2 pixels, symmetric border, every second pixel; (B, C, H, W), sides halved up."""
    return F.avg_pool2d(F.pad(x, (0, 1, 0, 1), mode="replicate"), 2)


def power_of_positive(x: Tensor, exponent: float) -> Tensor:
    """x^exponent, 0 for x <= 0, with a gradient of 0 there where the power's is infinite.

    Any shape (B, ...) to the same.
    """
    positive = x > 0
    return torch.where(positive, torch.where(positive, x, 1).pow(exponent), 0)


def stretch(x: Tensor) -> Tensor:
    """Stretch each plane of (B, C, H, W) to levels 0..255 by its own range; constant ones to 0."""
    low, high = x.amin(dim=(-2, -1), keepdim=True), x.amax(dim=(-2, -1), keepdim=True)
    span = torch.where(high > low, high - low, 1)
    return ((x - low) / span * 255 + 0.5).floor()


def histogram(levels: Tensor) -> Tensor:
    """Probabilities (B, C, 256) of the levels 0..255 of planes (B, C, H, W)."""
    return _counted(levels.round().long().flatten(2), 256, levels.dtype)


def joint_histogram(first: Tensor, second: Tensor) -> Tensor:
    """Joint probabilities (B, C, 256, 256) of two planes' levels: rows first, columns second."""
    code = first.round().long() * 256 + second.round().long()
    counted = _counted(code.flatten(2), 65536, first.dtype)
    return counted.view(*counted.shape[:2], 256, 256)


def _counted(codes: Tensor, bins: int, dtype: torch.dtype) -> Tensor:
    planes, pixels = codes.shape[:2], codes.shape[2]
    flat = codes.flatten(0, 1)
    flat = flat + bins * torch.arange(len(flat), device=codes.device).unsqueeze(1)
    counts = torch.bincount(flat.flatten(), minlength=bins * len(flat))
    return counts.view(*planes, bins).to(dtype) / pixels


def entropy_bits(probabilities: Tensor) -> Tensor:
    """Shannon entropy in bits (B, C) of probabilities (B, C, ...)."""
    return -(torch.xlogy(probabilities, probabilities).flatten(2).sum(dim=2)) / math.log(2)


def radius_like(x: Tensor, vertical: float, horizontal: float) -> Tensor:
    """`frequency_radius` (H, W) for a tensor (..., H, W)."""
    radius = frequency_radius(x.shape[-2], x.shape[-1], vertical, horizontal)
    return torch.from_numpy(radius).to(device=x.device, dtype=x.dtype)


def filter_in_frequency(x: Tensor, response: Tensor) -> Tensor:
    """Multiply the spectrum of (..., H, W) by a real even response (zero frequency at [0, 0])."""
    filtered: Tensor = torch.fft.ifft2(torch.fft.fft2(x) * response).real
    return filtered

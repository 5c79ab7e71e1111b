"""TMQI on tensors; see `..tone_mapping` for what it is."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .._filters import require_size
from ..tone_mapping import _FREQUENCIES, _LUMINANCE, _SCALE_WEIGHTS
from .filters import bell, halve, power_of_positive, smooth_valid
from .truth import weighted_sum


def tone_mapping_quality(radiance: Tensor, display: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Quality, fidelity and naturalness, (B,) each.

    radiance: (B, 3, H, W) linear RGB, any scale. display: (B, 3, H, W) RGB, values 0..255.
    """
    require_size(tuple(display.shape[-2:]), 11 * 16, "TMQI")
    high, low = (weighted_sum(rgb, _LUMINANCE.tolist()) for rgb in (radiance, display))
    least = high.amin(dim=(1, 2, 3), keepdim=True)
    spread = high.amax(dim=(1, 2, 3), keepdim=True) - least
    high = (2.0**32 - 1) * (high - least) / torch.where(spread > 0, spread, 1)
    naturalness = _naturalness(low)
    fidelity = torch.ones_like(naturalness)
    for weight, frequency in zip(_SCALE_WEIGHTS, _FREQUENCIES, strict=True):
        fidelity = fidelity * power_of_positive(_local_fidelity(high, low, frequency), weight)
        high, low = halve(high), halve(low)
    quality = 0.8012 * fidelity**0.3046 + (1 - 0.8012) * naturalness**0.7088
    return quality, fidelity, naturalness


def _local_fidelity(high: Tensor, low: Tensor, frequency: float) -> Tensor:
    window = bell(high)
    mean_h, mean_l = smooth_valid(high, window), smooth_valid(low, window)
    deviation_h = (smooth_valid(high * high, window) - mean_h**2).clamp_min(0).sqrt()
    deviation_l = (smooth_valid(low * low, window) - mean_l**2).clamp_min(0).sqrt()
    covariance = smooth_valid(high * low, window) - mean_h * mean_l
    sensitivity = 260 * (0.0192 + 0.114 * frequency) * math.exp(-((0.114 * frequency) ** 1.1))
    threshold = 128 / (1.4 * sensitivity)
    seen_h = torch.special.ndtr((deviation_h - threshold) / (threshold / 3))
    seen_l = torch.special.ndtr((deviation_l - threshold) / (threshold / 3))
    strength = (2 * seen_h * seen_l + 0.01) / (seen_h**2 + seen_l**2 + 0.01)
    structure = (covariance + 10) / (deviation_h * deviation_l + 10)
    fidelity: Tensor = (strength * structure).mean(dim=(1, 2, 3))
    return fidelity


def _naturalness(low: Tensor) -> Tensor:
    brightness = low.mean(dim=(1, 2, 3))
    height, width = low.shape[-2:]
    padded = F.pad(low, (0, -width % 11, 0, -height % 11))
    blocks = F.unfold(padded, 11, stride=11)
    deviations = blocks.std(dim=1).view(-1, padded.shape[2] // 11, padded.shape[3] // 11)
    per_pixel = deviations.repeat_interleave(11, 1).repeat_interleave(11, 2)
    contrast = per_pixel[:, :height, :width].mean(dim=(1, 2)) / 64.29
    likely_brightness = torch.exp(-0.5 * ((brightness - 115.94) / 27.99) ** 2)
    mode = (4.4 - 1) / (4.4 + 10.1 - 2)
    likely = (contrast / mode) ** 3.4 * ((1 - contrast).clamp_min(0) / (1 - mode)) ** 9.1
    return likely_brightness * likely

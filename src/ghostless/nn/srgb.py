"""The sRGB curve on tensors (IEC 61966-2-1): the torch twins of `pixels.color`, any shape."""

from __future__ import annotations

import torch
from torch import Tensor


def srgb_to_linear(display: Tensor) -> Tensor:
    """Decode sRGB display values, 0..1, to linear light, 0..1. Any shape (..., C)."""
    high = ((display + 0.055) / 1.055).pow(2.4)
    return torch.where(display <= 0.04045, display / 12.92, high)


def linear_to_srgb(linear: Tensor) -> Tensor:
    """Encode linear light, clipped below at 0, with the sRGB curve. Any shape (..., C)."""
    light = linear.clamp_min(0)
    # The power's slope is infinite at 0 and would reach the gradient though its value is not used.
    high = 1.055 * light.clamp_min(1e-8).pow(1 / 2.4) - 0.055
    return torch.where(light <= 0.0031308, light * 12.92, high)

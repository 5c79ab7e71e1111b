"""The merge that HDR networks can start from, on tensors: the twin of `pixels.merge`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..pixels.merge import (
    AGREES_FROM,
    AGREES_FULLY,
    CLIPPED,
    DISPLAY_NOISE,
    FALL,
    FORGIVEN,
    LAST_RESORT,
    READ_NOISE,
    SHOT_NOISE,
    SLOPE,
    SLOPE_POWER,
)


def merge_towards_reference(
    displays: Sequence[Tensor], lights: Sequence[Tensor], exposures: Sequence[Tensor]
) -> Tensor:
    """Radiance (B, 3, H, W) of dark, reference and bright frame, 1 = the dark one clips.

    displays: (B, 3, H, W), 0..1, as stored. lights: the same linearised, 0..1. exposures: over
    that of the dark frame, >= 1, (B, 1, 1, 1) each. Things that move are where the reference has
    them, unless it clips there.
    """
    radiance = [light / exposure for light, exposure in zip(lights, exposures, strict=True)]
    variance = [
        _variance(display, light).mean(1, keepdim=True) / exposure.square()
        for display, light, exposure in zip(displays, lights, exposures, strict=True)
    ]
    unclipped = [
        ((CLIPPED - display.amax(1, keepdim=True)) / (CLIPPED - FALL)).clamp(0, 1)
        for display in displays
    ]
    # Where all clip the darkest knows most.
    unclipped[0] = torch.ones_like(unclipped[0])
    own, clips = radiance[1], 1 - unclipped[1]
    forgiven = (FORGIVEN * own.mean(1, keepdim=True)).square()
    total, merged = torch.zeros_like(forgiven), torch.zeros_like(own)
    for number in range(len(displays)):
        weight = unclipped[number] / variance[number]
        if number == 1:
            weight = weight + LAST_RESORT / variance[1]
        else:
            apart = (radiance[number] - own).square().mean(1, keepdim=True)
            agrees = torch.exp(-apart / (2 * (variance[number] + variance[1] + forgiven)))
            share = radiance[number].amax(1, keepdim=True) * exposures[1]
            clips_too = ((share - AGREES_FROM) / (AGREES_FULLY - AGREES_FROM)).clamp(0, 1)
            weight = weight * (agrees + clips * (clips_too - agrees))
        total = total + weight
        merged = merged + weight * radiance[number]
    return merged / total


def _variance(display: Tensor, light: Tensor) -> Tensor:
    """Variance of the noise of a frame's light."""
    slope = SLOPE * display.clamp_min(1 / 255).pow(SLOPE_POWER)
    return (slope * DISPLAY_NOISE).square() + SHOT_NOISE * light + READ_NOISE

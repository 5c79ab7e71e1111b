"""A merge of three exposures that keeps to the reference: what an HDR network can start from.

Each frame counts by the inverse of its noise's variance, and the dark and the bright frame by how
well they agree with the reference, as in burst merging (Hasinoff et al.: Burst photography for high
dynamic range and low-light imaging, SIGGRAPH Asia 2016), but pixel by pixel and across exposures.
Where the reference clips there is nothing to agree with: there the others count where they, too,
say that it must clip.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

# Display values between which a frame's weight falls to nothing before it clips.
_FALL, _CLIPPED = 0.90, 0.97
# Standard deviation of rounding and compression in display values, and the slope of display curves
# (a power of 2.2), by which it becomes one of light.
_DISPLAY_NOISE = 0.6 / 255
_SLOPE, _SLOPE_POWER = 2.2, 1.2
# Variance of a light of 1 by shot noise, and of the darkest: a middling sensor.
_SHOT_NOISE = 1e-4
_READ_NOISE = 1e-6
# Disagreement forgiven beside the noise, as a share of the reference's light: curves differ.
_FORGIVEN = 0.03
# Light of a frame, as a share of where the reference clips, from which it agrees with clipping.
_AGREES_FROM, _AGREES_FULLY = 0.85, 0.95
# Of the reference where it clips and nothing agrees with it: all that is left.
_LAST_RESORT = 1e-6


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
        ((_CLIPPED - display.amax(1, keepdim=True)) / (_CLIPPED - _FALL)).clamp(0, 1)
        for display in displays
    ]
    # Where all clip the darkest knows most.
    unclipped[0] = torch.ones_like(unclipped[0])
    own, clips = radiance[1], 1 - unclipped[1]
    forgiven = (_FORGIVEN * own.mean(1, keepdim=True)).square()
    total, merged = torch.zeros_like(forgiven), torch.zeros_like(own)
    for number in range(len(displays)):
        weight = unclipped[number] / variance[number]
        if number == 1:
            weight = weight + _LAST_RESORT / variance[1]
        else:
            apart = (radiance[number] - own).square().mean(1, keepdim=True)
            agrees = torch.exp(-apart / (2 * (variance[number] + variance[1] + forgiven)))
            share = radiance[number].amax(1, keepdim=True) * exposures[1]
            clips_too = ((share - _AGREES_FROM) / (_AGREES_FULLY - _AGREES_FROM)).clamp(0, 1)
            weight = weight * (agrees + clips * (clips_too - agrees))
        total = total + weight
        merged = merged + weight * radiance[number]
    return merged / total


def _variance(display: Tensor, light: Tensor) -> Tensor:
    """Variance of the noise of a frame's light."""
    slope = _SLOPE * display.clamp_min(1 / 255).pow(_SLOPE_POWER)
    return (slope * _DISPLAY_NOISE).square() + _SHOT_NOISE * light + _READ_NOISE

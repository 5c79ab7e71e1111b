"""A merge of three exposures that keeps to the reference: what an HDR network can start from.

Each frame counts by the inverse of its noise's variance, and the dark and the bright frame by how
well they agree with the reference, as in burst merging (Hasinoff et al.: Burst photography for high
dynamic range and low-light imaging, SIGGRAPH Asia 2016), but pixel by pixel and across exposures.
Where the reference clips there is nothing to agree with: there the others count where they, too,
say that it must clip. `nn.merge` is its twin on tensors.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

# Display values between which a frame's weight falls to nothing before it clips.
FALL, CLIPPED = 0.90, 0.97
# Standard deviation of rounding and compression in display values, and the slope of display curves
# (a power of 2.2), by which it becomes one of light.
DISPLAY_NOISE = 0.6 / 255
SLOPE, SLOPE_POWER = 2.2, 1.2
# Variance of a light of 1 by shot noise, and of the darkest: a middling sensor.
SHOT_NOISE = 1e-4
READ_NOISE = 1e-6
# Disagreement forgiven beside the noise, as a share of the reference's light: curves differ.
FORGIVEN = 0.03
# Light of a frame, as a share of where the reference clips, from which it agrees with clipping.
AGREES_FROM, AGREES_FULLY = 0.85, 0.95
# Of the reference where it clips and nothing agrees with it: all that is left.
LAST_RESORT = 1e-6

Values = NDArray[np.float32]


def merge_towards_reference(
    displays: Sequence[Values], lights: Sequence[Values], exposures: Sequence[float]
) -> Values:
    """Radiance (H, W, 3) of dark, reference and bright frame, 1 = the dark one clips.

    displays: (H, W, 3), 0..1, as stored. lights: the same linearised, 0..1. exposures: over that of
    the dark frame, >= 1. Things that move are where the reference has them, unless it clips there.
    """
    radiance = [
        light * np.float32(1 / exposure) for light, exposure in zip(lights, exposures, strict=True)
    ]
    variance = [
        _mean(_variance(display, light)) * np.float32(1 / exposure**2)
        for display, light, exposure in zip(displays, lights, exposures, strict=True)
    ]
    unclipped = [_ramp(_highest(display), CLIPPED, FALL) for display in displays]
    # Where all clip the darkest knows most.
    unclipped[0] = np.ones_like(unclipped[0])
    own, clips = radiance[1], 1 - unclipped[1]
    forgiven = np.square(np.float32(FORGIVEN) * _mean(own))
    total, merged = np.zeros_like(forgiven), np.zeros_like(own)
    for number in range(len(displays)):
        weight = unclipped[number] / variance[number]
        if number == 1:
            weight += np.float32(LAST_RESORT) / variance[1]
        else:
            apart = _mean(np.square(radiance[number] - own))
            agrees = np.exp(apart / (-2 * (variance[number] + variance[1] + forgiven)))
            share = _highest(radiance[number]) * np.float32(exposures[1])
            clips_too = _ramp(share, AGREES_FROM, AGREES_FULLY)
            weight *= agrees + clips * (clips_too - agrees)
        total += weight
        merged += weight[:, :, None] * radiance[number]
    merged /= total[:, :, None]
    return merged


def _mean(image: Values) -> Values:
    """Mean of the channels (H, W); numpy takes several times as long over an axis of three."""
    return np.asarray(cv2.transform(image, np.full((1, 3), 1 / 3, np.float32)), np.float32)


def _highest(image: Values) -> Values:
    """Highest channel (H, W)."""
    return np.maximum(np.maximum(image[..., 0], image[..., 1]), image[..., 2])


def _ramp(values: Values, start: float, end: float) -> Values:
    """Straight from 0 at `start` to 1 at `end`, which may be the lower."""
    values = (values - np.float32(start)) * np.float32(1 / (end - start))
    return np.clip(values, 0, 1, out=values)


def _variance(display: Values, light: Values) -> Values:
    """Variance of the noise of a frame's light."""
    # The square of a power, as one power.
    least = np.maximum(display, np.float32(1 / 255))
    variance: Values = np.asarray(cv2.pow(least, 2 * SLOPE_POWER), np.float32)
    variance *= np.float32((SLOPE * DISPLAY_NOISE) ** 2)
    variance += np.float32(SHOT_NOISE) * light
    variance += np.float32(READ_NOISE)
    return variance

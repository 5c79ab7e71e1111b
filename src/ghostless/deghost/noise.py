"""How noisy codes are at each level, and smoothing what is noisier than it should be."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .mapping import LEVELS, Codes, Mapping, box_mean, look_up

_BINS = 32
_SAMPLES = 100_000
_FEWEST_SAMPLES = 100
_UNKNOWN_CODES = 2.0
# Half a code of rounding is never smoothed.
_LEAST_EXCESS_CODES = 0.7
_RADII = (2, 4, 8)
_NOISE_CEILING = 1.6
# Only where brightening stretches codes by more than this, noise is smoothed before it.
_STEEP_SLOPE = 1.5
# Quantisation and read noise are about a code wide in the shadows.
_SHADOW_VARIANCE = 2.0


def noise_curve(
    values: Codes,
    level: Codes,
    usable: NDArray[np.bool_],
    *,
    quantile: float = 0.4,
    radius: int = 1,
) -> NDArray[np.float32]:
    """Standard deviation of the noise in values (H, W, 3) for each code of a level, (256, 3).

    Taken from what neighbours within a radius do not share, and from its smaller values (up to the
    quantile, of a normal distribution), so that neither things that moved nor texture count.
    """
    places = np.flatnonzero(usable)
    places = places[:: max(1, len(places) // _SAMPLES)]
    # A pixel less the mean of n that include it keeps 1 - 1/n of white noise's variance.
    lost = 1 / (2 * radius + 1) ** 2
    rough = np.abs(values - box_mean(values, radius)).reshape(-1, 3)[places]
    rough *= np.float32(1 / np.sqrt(1 - lost))
    bins = np.clip(level.reshape(-1, 3)[places] * (_BINS / 256), 0, _BINS - 1)
    bins = bins.astype(np.uint8)
    curve = np.empty((256, 3), np.float32)
    centres = (np.arange(_BINS) + 0.5) * (256 / _BINS)
    for channel in range(3):
        order = np.argsort(bins[:, channel], kind="stable")
        cuts = np.searchsorted(bins[order, channel], np.arange(_BINS + 1))
        sorted_values = rough[order, channel]
        spread = np.full(_BINS, np.nan)
        for index in range(_BINS):
            inside = sorted_values[cuts[index] : cuts[index + 1]]
            if inside.size >= _FEWEST_SAMPLES:
                spread[index] = np.quantile(inside, quantile) / _NORMAL_QUANTILES[quantile]
        known = np.isfinite(spread)
        if known.any():
            spread = np.interp(centres, centres[known], spread[known])
        else:
            spread[:] = _UNKNOWN_CODES
        # Levels that few pixels have are mostly edges: they count by what was seen of them.
        seen = np.diff(cuts) + 1.0
        both = np.stack([spread * seen, seen])[:, None]
        total, counted = (cv2.blur(row, (3, 1), borderType=cv2.BORDER_REPLICATE) for row in both)
        smooth = (total / counted)[0]
        curve[:, channel] = np.interp(LEVELS, centres, smooth)
    return curve


# Such a share of a normal distribution lies within so many standard deviations.
_NORMAL_QUANTILES = {0.25: 0.319, 0.4: 0.524}


@dataclass(frozen=True)
class Calmed:
    """Codes (H, W, 3) as noisy as wanted, and how much of finer detail may be added, (H, W)."""

    codes: Codes
    gain: NDArray[np.float32]


def calm(codes: Codes, frame: Codes, usable: NDArray[np.bool_]) -> Calmed:
    """Smooth codes, edges kept, to the noise that the frame itself has at the same level.

    codes: what the frame is predicted to show; where the mapping stretches, so does it the noise.
    frame, usable: the frame and where it is to be compared with; all (H, W[, 3]).
    A guided filter with the codes as their own guide (He, Sun, Tang, ECCV 2010), ever wider.
    """
    # By the level of the surroundings: by its own, a pixel seems as quiet as its bin is narrow.
    level, own_level = box_mean(codes, 2), box_mean(frame, 2)
    have = _variance(codes, level, np.ones_like(usable), level)
    want = _variance(frame, own_level, usable, level)
    # The noise of the difference is the most that either can have, whatever the texture.
    have = np.minimum(have, _variance(frame - codes, level, usable, level))
    too_much = have > want + np.float32(_LEAST_EXCESS_CODES**2)
    if not too_much.any():
        return Calmed(codes, np.ones(codes.shape[:2], np.float32))
    # The share of the noise that stays: as much as the frame has itself.
    stays = np.sqrt(np.minimum(want / np.maximum(have, np.float32(1e-3)), 1))
    stays[~too_much] = 1
    stays = box_mean(stays, 2)
    smooth, gain = codes, np.ones_like(codes)
    for radius in _RADII:
        smooth, step = _guided(smooth, have, radius)
        gain = gain * step
    # Less by what the filter left anyway.
    stays = np.maximum(stays - gain, 0) / np.maximum(1 - gain, np.float32(1e-3))
    gain = gain + (1 - gain) * stays
    calmed = smooth + (codes - smooth) * stays
    return Calmed(np.asarray(calmed), np.asarray(gain.mean(axis=2)))


def _variance(values: Codes, level: Codes, usable: NDArray[np.bool_], wanted_level: Codes) -> Codes:
    """Variance of the noise in values, at wanted levels."""
    curve = noise_curve(values, level, usable, quantile=0.25, radius=2)
    return look_up(np.square(curve), wanted_level)


def smooth_shadows(codes: Codes, mapping: Mapping) -> Codes:
    """Codes of a source (H, W, 3) with noise smoothed, edges kept, where the mapping is steep.

    There one code stands for many, so only a mean of several pixels tells which.
    """
    slope = np.asarray(np.gradient(mapping.expected.mean(axis=1)))
    if not (slope > _STEEP_SLOPE).any():
        return codes
    smooth, _gain = _guided(codes, np.float32(_SHADOW_VARIANCE), 2)
    amount = np.clip((slope - _STEEP_SLOPE) / _STEEP_SLOPE, 0, 1).astype(np.float32)
    steep = look_up(np.repeat(amount[:, None], 3, axis=1), box_mean(codes, 2))
    return np.asarray(codes + (smooth - codes) * steep)


def _guided(codes: Codes, noise: Codes | np.float32, radius: int) -> tuple[Codes, Codes]:
    mean = box_mean(codes, radius)
    variance = box_mean(np.square(codes), radius) - np.square(mean)
    np.maximum(variance, 0, out=variance)
    # The variance of pure noise in a small square is often larger than the noise's.
    signal = np.maximum(variance - np.float32(_NOISE_CEILING) * noise, 0)
    gain: Codes = signal / (signal + noise + np.float32(1e-3))
    offset: Codes = mean - gain * mean
    gain, offset = box_mean(gain, radius), box_mean(offset, radius)
    return gain * codes + offset, gain

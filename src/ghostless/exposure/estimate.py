"""Exposure in stops as the pixels tell it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ..bracket import Bracket, Frame
from .curves import (
    CURVE_STRENGTHS,
    USUAL_STRENGTH,
    light_stops,
    trust,
    weighted_median,
)
from .intensity import (
    histograms,
    level_count,
    quantiles,
    sample_display,
    sample_mask,
)
from .metadata import EQUAL_STOPS

_SHARES = (np.arange(256) + 0.5) / 256


# Frames that are transparent in places are compared where all show something, if that is so much.
_LEAST_COMMON_SHARE = 0.05


@dataclass(frozen=True)
class Profile:
    """What the estimate needs of one frame."""

    values: NDArray[np.float64]  # (256, 3) quantiles of display values
    mean: float
    usable: float  # share of sample values that are neither black nor clipped
    black: float  # share of sample values that are black
    low: float  # display value below which values are black
    linear: bool


def profiles_of(frames: Sequence[Frame]) -> list[Profile]:
    """Profiles of frames of one size, from where all of them show something, as far as they do."""
    seen = [sample_mask(frame.opaque, frame.height, frame.width) for frame in frames]
    if all(mask.all() for mask in seen):
        return [profile_of(frame) for frame in frames]
    common = np.logical_and.reduce(seen)
    enough = float(common.mean()) > _LEAST_COMMON_SHARE
    return [
        profile_of(frame, common if enough or not mask.any() else mask)
        for frame, mask in zip(frames, seen, strict=True)
    ]


def profile_of(frame: Frame, seen: NDArray[np.bool_] | None = None) -> Profile:
    """What a frame's values tell of its exposure. seen: (n,), those of the sample that counts."""
    display = sample_display(frame)
    if seen is not None and seen.any():
        display = display[seen]
    levels = level_count(frame)
    counts = histograms(display, levels)
    values = np.stack([quantiles(counts[:, c], _SHARES) for c in range(3)], axis=1)
    low = 3 / 255 if levels == 256 else 2 / 1023
    black = float((display <= low).mean())
    clipped = float((display >= 252 / 255).mean())
    linear = frame.transfer == "linear"
    return Profile(values, float(display.mean()), 1 - black - clipped, black, low, linear)


@dataclass(frozen=True)
class Estimate:
    """Stops of each frame from the pixels, and how much each may be wrong against the darkest.

    The doubt leaves out what the camera's unknown curve adds, which goes with the difference.
    """

    stops: tuple[float, ...]
    doubt: tuple[float, ...]


def estimate_stops(bracket: Bracket) -> tuple[float, ...]:
    """Estimate the exposures of a bracket from its pixels alone, in stops.

    Quantiles of the frames' brightness are matched, so camera shake and moving people hardly
    matter, and compared as light in the range that is clipped in neither of two neighbours in
    brightness. The unknown curve of the camera is taken from a family (`curves.camera_curve`):
    the member under which the difference is most alike over the whole range. Only differences
    count; the middle frame gets 0. Always finite.
    """
    return estimate_all(profiles_of(bracket.frames)).stops


def compare_exposures(first: Frame, second: Frame) -> tuple[float, float]:
    """How many stops more light the second of two frames has by its pixels, and the doubt of that.

    The doubt leaves out what the camera's unknown curve adds, up to half of the difference.
    """
    estimate = estimate_all([profile_of(first), profile_of(second)])
    return estimate.stops[1] - estimate.stops[0], max(estimate.doubt)


def estimate_all(profiles: Sequence[Profile]) -> Estimate:
    order = sorted(range(len(profiles)), key=lambda i: profiles[i].mean)
    pairs = [(profiles[a], profiles[b]) for a, b in pairwise(order)]
    if all(profile.linear for profile in profiles):
        strength = 0.0
    else:
        strength = min(CURVE_STRENGTHS, key=lambda s: _misfit(pairs, s))
    stops = [0.0] * len(profiles)
    doubts = [0.0] * len(profiles)
    for place, (dark, bright) in enumerate(pairs):
        difference, doubt = _difference(dark, bright, strength)
        stops[order[place + 1]] = stops[order[place]] + difference
        doubts[order[place + 1]] = math.hypot(doubts[order[place]], doubt)
    middle = stops[order[len(order) // 2]]
    return Estimate(tuple(value - middle for value in stops), tuple(doubts))


def _matched(
    dark: Profile, bright: Profile, strength: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Differences in stops at the quantiles that neither frame clips, and their weights."""
    a, b = dark.values, bright.values
    differences = light_stops(b, strength) - light_stops(a, strength)
    # Toes and shoulders differ most between cameras, and noise lives in the shadows.
    weights = np.minimum(trust(a, dark.low), trust(b, bright.low))
    return differences, weights


def _misfit(pairs: Sequence[tuple[Profile, Profile]], strength: float) -> float:
    """How unlike the differences of all pairs are under a curve, relative to their size."""
    total = 0.0
    mass = 0.0
    for dark, bright in pairs:
        differences, weights = _matched(dark, bright, strength)
        weight = float(weights.sum())
        if weight < 1.0:
            continue
        centre = weighted_median(differences, weights)
        scatter = float((np.abs(differences - centre) * weights).sum())
        total += scatter / max(abs(centre), 0.3)
        mass += weight
    return (total / mass if mass else 0.0) + 0.02 * (strength - USUAL_STRENGTH) ** 2


def _difference(dark: Profile, bright: Profile, strength: float) -> tuple[float, float]:
    """Difference in stops between two frames, and how much it may be wrong."""
    differences, weights = _matched(dark, bright, strength)
    mass = float(weights.sum())
    if mass >= 0.5:
        centre = weighted_median(differences, weights)
        scatter = weighted_median(np.abs(differences - centre), weights)
        return centre, 0.1 + scatter + 1.0 / mass
    # Hardly a value is unclipped in both: the means of what is left tell the direction at least.
    light = [np.exp2(light_stops(p.values, strength)).mean() for p in (dark, bright)]
    difference = float(np.log2((light[1] + 1e-4) / (light[0] + 1e-4)))
    if bright.mean > dark.mean:
        difference = max(difference, EQUAL_STOPS)
    return difference, 4.0 + abs(difference)

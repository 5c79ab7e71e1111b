"""Finding where a frame disagrees with what the reference shows.

The frame is compared with its prediction from the reference, an interval of codes per pixel: a
point where the reference is well exposed, open above where it is clipped. What is left over is
weighed against all that may explain it without motion: noise, measured in the pair itself; doubt
about the mapping; and edges that lie half a pixel off. This is done at several scales, since noise
and misplaced edges average out over an area while a thing that has moved does not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .mapping import (
    BLACK_CODES,
    OPEN,
    Codes,
    Mapping,
    box_mean,
    largest_channel,
    local_range,
    look_up,
    near_clip,
)
from .noise import noise_curve
from .regions import Flags

SCALES = 5
# An edge counts as this share of its height too much: about half a pixel, for the 3 x 3 range of
# an edge spans two pixels.
EDGE_SHARE = 0.4
# Misplaced edges alternate in sign, so halving the size leaves less than half of them.
EDGE_DECAY = 0.6
# Noise variance left after averaging 2 x 2 pixels; 0.25 for white noise, more after a JPEG.
NOISE_DECAY = 0.35
# Doubt about the mapping, which no averaging removes: in codes; as a share of the predicted code
# (0.02 of it is about 0.07 stops); and in codes of the source, for rounding and colour processing,
# which a steep mapping magnifies.
DOUBT_CODES = 1.0
DOUBT_SHARE = 0.02
DOUBT_SOURCE_CODES = 0.6
# What a single channel counts beside two that agree.
ONE_CHANNEL_SHARE = 0.4
# A finer scale must show this share of what a coarser one shows.
FINER_SHARE = 0.5
# How far a colour may bend its channels' curves: what is further off may be a thing of that colour
# that moved. In codes, and as a share of the predicted code.
_BEND_CODES = 8.0
_BEND_SHARE = 0.12
# How far flare may lift black, in codes, and clipped channels pull others, as a share.
_LIFT_CODES = 24.0
_MIX_SHARE = 0.25
# The interval of a clipped or black colour reaches this many standard deviations of what the frame
# shows at that colour.
_WIDE_SPREADS = 2.5
# A channel above this share of the clip code may itself be higher than it looks, beside a clipped.
_MIXED_FROM = 0.6
# Variance of the noise that the scatter of a colour holds anyway.
_NOISE_IN_SPREAD = 1.0


@dataclass(frozen=True)
class Prediction:
    """What a frame should show, and how sure that is; all (H, W, 3).

    low, high: the interval of codes that the source allows.
    noise: variance of the noise in the difference between the frame and its prediction.
    doubt: variance of what is not known about the mapping.
    expected: the most likely codes, also where the interval is wide.
    spread: standard deviation of the frame's codes at the source's colour.
    """

    low: Codes
    high: Codes
    noise: Codes
    doubt: Codes
    expected: Codes
    spread: Codes

    def excess(self, frame: Codes) -> Codes:
        """How far the frame's codes lie outside the interval, signed; 0 inside."""
        return np.asarray(cv2.subtract(frame, cv2.min(cv2.max(frame, self.low), self.high)))


def predict(source: Codes, frame: Codes, mapping: Mapping, usable: Flags) -> Prediction:
    """Predict a frame from a source, both (H, W, 3), and measure the noise of the difference."""
    expected, spread = mapping.expect(source)
    alone = look_up(mapping.expected, source)
    reach = alone * np.float32(_BEND_SHARE) + np.float32(_BEND_CODES)
    extra = np.asarray(cv2.max(cv2.min(cv2.subtract(expected, alone), reach), -reach))
    low, high = look_up(mapping.low, source), look_up(mapping.high, source)
    low += extra
    high += extra
    interval = _Interval(low.reshape(-1, 3), high.reshape(-1, 3))
    listed = _Colours(source.reshape(-1, 3), expected.reshape(-1, 3), spread.reshape(-1, 3))
    _widen_black(interval, listed)
    clipped = near_clip(source, mapping.source_clip)
    _widen_clipped(interval, np.flatnonzero(clipped), listed, mapping)
    # From its clip code on, the frame may show any code.
    clip = np.float32(mapping.target_clip)
    np.minimum(low, clip, out=low)
    # So it may in the channels beside one that clips, for the sensor's clipped and are mixed.
    high[(high >= clip) | (largest_channel(low) >= clip)[..., None]] = OPEN
    prediction = Prediction(low, high, low, low, expected, spread)
    noise = look_up(np.square(noise_curve(prediction.excess(frame), low, usable)), low)
    doubt = look_up(_doubt_curve(mapping), source)
    # What scatters with the colour is doubt, as far as it is more than noise.
    scatter = np.square(np.asarray(cv2.min(spread, reach)))
    scatter -= np.float32(_NOISE_IN_SPREAD) * noise
    scatter[clipped] = 0
    doubt += np.maximum(scatter, 0)
    return replace(prediction, noise=noise, doubt=doubt)


@dataclass(frozen=True)
class _Interval:
    """The codes that a frame may show, (N, 3), to be widened in place."""

    low: Codes
    high: Codes


@dataclass(frozen=True)
class _Colours:
    """Colours of the source, and what the frame is expected to show there, (N, 3)."""

    source: Codes
    expected: Codes
    spread: Codes


def _widen_black(interval: _Interval, colours: _Colours) -> None:
    """Let the frame show where the source is black what it shows at black elsewhere.

    Flare and a camera's black level lift it there, if not by any amount: what is black in the
    reference because it moved has a colour of its own, and would else be taken for the rule.
    """
    pixel, channel = np.nonzero(colours.source < BLACK_CODES)
    if not pixel.size:
        return
    place = (pixel, channel)
    high = interval.high[place]
    top = colours.expected[place] + np.float32(_WIDE_SPREADS) * colours.spread[place]
    interval.low[place] = 0
    interval.high[place] = np.maximum(high, np.minimum(top, high + np.float32(_LIFT_CODES)))


def _widen_clipped(
    interval: _Interval, places: NDArray[Any], colours: _Colours, mapping: Mapping
) -> None:
    """Widen the interval of all channels where one of the source is clipped (`least_codes`)."""
    if not places.size:
        return
    source, expected = colours.source[places], colours.expected[places]
    wide = np.float32(_WIDE_SPREADS) * colours.spread[places]
    least = least_codes(source[None], mapping)[0]
    low, high = interval.low[places], interval.high[places]
    interval.low[places] = np.maximum(np.minimum(low, expected - wide), least)
    most = high * np.float32(1 + _MIX_SHARE) + np.float32(_BEND_CODES)
    high = np.maximum(high, np.minimum(expected + wide, most))
    high[source > mapping.source_clip * _MIXED_FROM] = OPEN
    interval.high[places] = high


def least_codes(source: Codes, mapping: Mapping) -> Codes:
    """The darkest that a frame can be where one channel of the source is clipped.

    The sensor's channels clip, and are mixed afterwards: beside a clipped channel the others are
    too high or too low as well, but not by any amount.
    """
    least = look_up(mapping.low, source) * np.float32(1 - _MIX_SHARE) - np.float32(_BEND_CODES)
    return np.asarray(np.maximum(least, 0))


def _doubt_curve(mapping: Mapping) -> NDArray[np.float32]:
    """Variance of the doubt about the mapping for each source code, (256, 3)."""
    level = np.minimum(mapping.low, 255)
    slope = np.gradient(np.minimum(mapping.expected, 255), axis=0)
    variance = DOUBT_CODES**2 + (DOUBT_SHARE * level) ** 2 + (DOUBT_SOURCE_CODES * slope) ** 2
    return np.asarray(variance, np.float32)


@dataclass(frozen=True)
class Evidence:
    """How much a frame disagrees with its prediction, in standard deviations, (H, W) float32.

    strongest: the largest over all scales; blurred where a coarse scale speaks.
    sharpened: the same confined to where the finer scales bear it out.
    """

    strongest: NDArray[np.float32]
    sharpened: NDArray[np.float32]


def disagreement(frame: Codes, prediction: Prediction, usable: Flags) -> Evidence:
    """Measure how a frame disagrees with its prediction; 0 where not usable."""
    scores = _scores(frame, prediction, usable)
    strongest: NDArray[Any] = scores.pop()
    sharpened: NDArray[Any] = strongest
    while scores:
        finer = scores.pop()
        size = finer.shape[::-1]
        strongest = np.maximum(finer, cv2.resize(strongest, size, interpolation=cv2.INTER_LINEAR))
        sharpened = cv2.resize(sharpened, size, interpolation=cv2.INTER_LINEAR)
        # A thing that is there at one scale shows at the next finer one at half the strength or
        # more; the blur around it does not.
        sharpened = np.maximum(finer, cv2.min(sharpened, finer * np.float32(1 / FINER_SHARE)))
    sharpened = sharpened * usable
    strongest = strongest * usable
    return Evidence(strongest, sharpened)


def _scores(frame: Codes, prediction: Prediction, usable: Flags) -> list[NDArray[np.float32]]:
    """Disagreement at each scale, finest first: the largest of the channels."""
    excess = prediction.excess(frame)
    excess[~usable] = 0
    edges = cv2.min(local_range(prediction.low), local_range(frame)) * np.float32(EDGE_SHARE)
    noise, doubt = prediction.noise, prediction.doubt
    scores: list[NDArray[np.float32]] = []
    while True:
        ratio = np.square(excess)
        ratio /= doubt + (noise + np.square(edges))
        scores.append(np.sqrt(np.maximum(_over_channels(box_mean(ratio)), 0)))
        if len(scores) == SCALES or min(excess.shape[:2]) < 8:
            return scores
        excess, edges = _halve(excess), _halve(edges) * np.float32(EDGE_DECAY)
        noise, doubt = _halve(noise) * np.float32(NOISE_DECAY), _halve(doubt)


def _over_channels(ratio: Codes) -> Codes:
    """Squared disagreement of three channels as one: the second largest, the largest at a discount.

    A thing that moved shows in at least two channels; one alone is as often a saturated colour,
    which cameras do not process channel by channel.
    """
    red, green, blue = cv2.split(ratio)
    low, high = cv2.min(red, green), cv2.max(red, green)
    middle = cv2.max(low, cv2.min(high, blue))
    return np.asarray(cv2.max(middle, cv2.max(high, blue) * ONE_CHANNEL_SHARE**2))


def _halve(values: Codes) -> Codes:
    size = ((values.shape[1] + 1) // 2, (values.shape[0] + 1) // 2)
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA))

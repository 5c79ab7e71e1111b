"""The camera's response: what its display codes mean in light, estimated from a registered stack.

Cameras render JPEGs steeper than sRGB in shadows and middle tones and roll off the highlights.
Merging exposures as if they were sRGB then puts the same wall at a different radiance in every
frame. The response is found in two steps, both of which need the exposures in stops:

1. a curve of two parameters, in the spirit of Grossberg and Nayar, "Modeling the Space of Camera
   Response Functions", PAMI 2004: `curves.camera_curve` and a factor on its stops;
2. a smooth correction of it per channel, by least squares as in Debevec and Malik, "Recovering
   High Dynamic Range Radiance Maps from Photographs", SIGGRAPH 1997, with one difference: the
   equations come from matched histograms of the pixels that agree between two frames (Grossberg
   and Nayar, "Determining the Camera Response from Images", PAMI 2003), not from pixels, so that
   slips of the registration and things that moved do not bend the curve.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from ..bracket import Frame, Stack
from ..errors import BracketError
from ..pixels import color
from .curves import CURVE_STRENGTHS, USUAL_STRENGTH, Values, light_stops, trust, weighted_median
from .intensity import (
    Floats,
    agreeing,
    histograms,
    level_count,
    match_histograms,
    monotone,
    sample_display,
    sample_mask,
)

# --- the response -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Response:
    """What display codes mean in light, per channel.

    table: (levels, 3) float32, linear light of codes spread evenly over 0..1; rising, 1.0 at 1.0.
    kind: "estimated"; "srgb" where that served better or the evidence was thin; "linear" for
        frames that are linear already.
    misfit_stops: how far the light of one thing differs between neighbouring frames on average,
        in stops, under this response.
    misfit_srgb_stops: the same if the codes were plain sRGB. NaN where nothing could be compared.
    """

    table: Floats
    kind: Literal["estimated", "srgb", "linear"] = "estimated"
    misfit_stops: float = float("nan")
    misfit_srgb_stops: float = float("nan")
    _lookups: dict[Any, Floats] = field(default_factory=dict, repr=False, compare=False)

    def to_linear(self, pixels: NDArray[Any], transfer: color.Transfer = "srgb") -> Floats:
        """Turn stored pixels (..., 3) of any of our types into linear light, 1.0 = clip."""
        if transfer == "linear" or self.kind == "linear":
            return color.to_linear(pixels, "linear")
        if pixels.dtype == np.float32:
            codes = np.linspace(0.0, 1.0, len(self.table))
            unit = np.nan_to_num(pixels, nan=0.0)
            channels = [np.interp(unit[..., c], codes, self.table[:, c]) for c in range(3)]
            return np.stack(channels, axis=-1).astype(np.float32)
        table = self._table_for(int(np.iinfo(pixels.dtype).max) + 1)
        if pixels.dtype == np.uint8 and pixels.ndim == 3:
            return np.asarray(cv2.LUT(np.ascontiguousarray(pixels), table[None]))
        return np.stack([np.take(table[:, c], pixels[..., c]) for c in range(3)], axis=-1)

    def _table_for(self, levels: int) -> Floats:
        if levels not in self._lookups:
            codes = np.linspace(0.0, 1.0, levels)
            own = np.linspace(0.0, 1.0, len(self.table))
            columns = [np.interp(codes, own, self.table[:, c]) for c in range(3)]
            self._lookups[levels] = np.stack(columns, axis=1).astype(np.float32)
        return self._lookups[levels]


def srgb_response(levels: int = 256) -> Response:
    """Return the response that takes codes for plain sRGB."""
    column = color.srgb_to_linear(np.linspace(0.0, 1.0, levels))
    return Response(np.repeat(column[:, None], 3, axis=1), "srgb")


# Exposures must span this much, or the response is not to be seen in them.
_MIN_SPAN_STOPS = 0.9
# Sum of trust over matched levels below which the evidence is called thin (about 30 good levels).
_MIN_EVIDENCE = 30.0
# An estimate must bring the misfit below this share of sRGB's, or sRGB stays.
_WORTH_WHILE = 0.9
# Factors on the stops of the prior curve that a camera's response can have.
_SCALE_RANGE = (0.6, 1.6)


def estimate_response(stack: Stack) -> Response:
    """Estimate the camera's response from a registered stack of known exposures.

    Pixels outside the stack's masks are not looked at; pixels that disagree between frames are
    found and left out. The result is smooth and monotone, and tells how well it fits. It is plain
    sRGB where the evidence is thin or sRGB fits about as well, and the identity if the frames are
    linear. Costs some 50 milliseconds, whatever the size of the photos.

    Raises BracketError where a frame's exposure is unknown.
    """
    levels = max(level_count(frame) for frame in stack.frames)
    if all(frame.transfer == "linear" for frame in stack.frames):
        column = np.linspace(0.0, 1.0, levels, dtype=np.float32)
        return Response(np.repeat(column[:, None], 3, axis=1), "linear", 0.0, 0.0)
    fallback = srgb_response(levels)
    evidence = _collect(stack)
    if evidence is None:
        return fallback
    before = _misfit(evidence, fallback.table)
    fallback = Response(fallback.table, "srgb", before, before)
    if float(evidence.weights.sum()) < _MIN_EVIDENCE:
        return fallback
    strength, scale = _fit_family(evidence)
    if not _SCALE_RANGE[0] <= scale <= _SCALE_RANGE[1]:
        return fallback
    table = _refined(evidence, strength, scale, levels)
    after = _misfit(evidence, table)
    if not after < _WORTH_WHILE * before:
        return fallback
    return Response(table, "estimated", after, before)


ResponseChoice = Literal["auto", "srgb", "estimate"]


def find_response(stack: Stack, choice: ResponseChoice) -> tuple[Response | None, tuple[str, ...]]:
    """Return the response to use, None where the frames' own transfer says it all, and notes.

    choice: "auto" estimates it and keeps sRGB where that fits as well; "srgb" takes codes for plain
        sRGB; "estimate" is "auto" that raises BracketError where there is too little to tell.
    """
    if choice == "srgb" or all(frame.transfer == "linear" for frame in stack.frames):
        return None, ()
    response = estimate_response(stack)
    if response.kind == "srgb":
        if choice == "estimate" and np.isnan(response.misfit_stops):
            raise BracketError(
                "expected frames whose exposures tell the camera's response, found too little "
                "that two of them show unclipped; use the response 'auto' or 'srgb'"
            )
        return None, ()
    return response, (
        f"camera response estimated from the frames: they differ by {response.misfit_stops:.2f} "
        f"stops on average instead of {response.misfit_srgb_stops:.2f} under sRGB",
    )


def recode_to_srgb(stack: Stack, response: Response) -> Stack:
    """Return the stack as a camera would have stored it whose codes are plain sRGB.

    Display frames of integers get 16 bits, which the finer steps need; linear ones stay.
    """
    return replace(stack, frames=tuple(_recoded(frame, response) for frame in stack.frames))


def _recoded(frame: Frame, response: Response) -> Frame:
    pixels: Any = frame.pixels
    if frame.transfer == "linear":
        return frame
    if pixels.dtype == np.float32:
        light = response.to_linear(pixels)
        return replace(frame, pixels=np.asarray(color.linear_to_srgb(light), np.float32))
    levels = int(np.iinfo(pixels.dtype).max) + 1
    codes = np.repeat(np.arange(levels, dtype=pixels.dtype)[:, None], 3, axis=1)
    display = color.linear_to_srgb(response.to_linear(codes))
    table = np.rint(np.clip(display, 0, 1) * 65535).astype(np.uint16)
    channels = [np.take(table[:, c], pixels[..., c]) for c in range(3)]
    return replace(frame, pixels=np.stack(channels, axis=-1))


@dataclass(frozen=True)
class _Evidence:
    """Pairs of codes of one thing in two frames: light(bright) - light(dark) = difference."""

    dark: Values  # (n,) display values
    bright: Values
    difference: Values  # (n,) stops
    channel: NDArray[np.intp]
    weights: Values


def _collect(stack: Stack) -> _Evidence | None:
    """Match the histograms of neighbours in exposure; None if there is nothing to match."""
    order = sorted(range(len(stack.frames)), key=lambda i: stack.stops[i])
    if stack.stops[order[-1]] - stack.stops[order[0]] < _MIN_SPAN_STOPS:
        return None
    display = {i: sample_display(stack.frames[i]) for i in order}
    seen = {i: _seen(stack, i) for i in order}
    parts = []
    for dark, bright in _pairs(order, stack.stops):
        chosen = seen[dark] & seen[bright]
        if int(chosen.sum()) < 100:
            continue
        parts.append(
            _matched_pair(
                display[dark][chosen],
                display[bright][chosen],
                stack.stops[bright] - stack.stops[dark],
            )
        )
    if not parts:
        return None
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return _Evidence(columns[0], columns[1], columns[2], columns[3].astype(np.intp), columns[4])


def _pairs(order: Sequence[int], stops: Sequence[float]) -> list[tuple[int, int]]:
    """Neighbours in exposure, passing over frames that hardly differ."""
    pairs = []
    last = order[0]
    for index in order[1:]:
        if stops[index] - stops[last] > 0.3:
            pairs.append((last, index))
            last = index
    return pairs


def _seen(stack: Stack, index: int) -> NDArray[np.bool_]:
    """Sample points where the stack's masks let a frame count."""
    frame = stack.frames[index]
    seen = sample_mask(None, frame.height, frame.width)
    for mask in (stack.valid[index], stack.confidence[index]):
        if mask is not None:
            seen &= sample_mask(mask, frame.height, frame.width)
    return seen


def _matched_pair(
    dark: Floats, bright: Floats, difference: float
) -> tuple[Values, Values, Values, Values, Values]:
    levels = 256
    keep = agreeing(dark, bright)
    dark_counts = histograms(dark, levels, keep)
    bright_counts = histograms(bright, levels, keep)
    at = np.linspace(0.0, 1.0, levels)
    found = []
    for c in range(3):
        matched, known = match_histograms(dark_counts[:, c], bright_counts[:, c], at)
        # Beyond a few hundred samples the match of a level is as good as it gets.
        enough = np.minimum(dark_counts[:, c] / 200.0, 1.0)
        weights = np.minimum(trust(at), trust(matched)) * known * enough
        found.append((at, matched, np.full(levels, difference), np.full(levels, float(c)), weights))
    joined = [np.concatenate(column) for column in zip(*found, strict=True)]
    return joined[0], joined[1], joined[2], joined[3], joined[4]


def _misfit(evidence: _Evidence, table: Floats) -> float:
    """Mean distance in stops between the light of one thing in two frames."""
    total = float(evidence.weights.sum())
    if total <= 0:
        return float("nan")
    codes = np.linspace(0.0, 1.0, len(table))
    stops = np.log2(np.maximum(table.astype(np.float64), 1e-7))
    error = np.zeros(len(evidence.dark))
    for c in range(3):
        of = evidence.channel == c
        seen = np.interp(evidence.bright[of], codes, stops[:, c])
        seen -= np.interp(evidence.dark[of], codes, stops[:, c])
        error[of] = np.abs(seen - evidence.difference[of])
    return float((error * evidence.weights).sum() / total)


def _fit_family(evidence: _Evidence) -> tuple[float, float]:
    """Strength of the S-curve and factor on its stops under which the exposures fit best."""
    best = (float("inf"), 0.0, 1.0)
    for strength in CURVE_STRENGTHS:
        seen = light_stops(evidence.bright, strength) - light_stops(evidence.dark, strength)
        clear = seen > 0.05
        if not clear.any():
            continue
        ratio = evidence.difference[clear] / seen[clear]
        scale = weighted_median(ratio, evidence.weights[clear] * seen[clear])
        error = np.abs(scale * seen - evidence.difference) * evidence.weights
        misfit = float(error.sum() / evidence.weights.sum())
        misfit += 0.01 * (strength - USUAL_STRENGTH) ** 2 + 0.02 * abs(np.log2(scale))
        best = min(best, (misfit, strength, scale))
    return best[1], best[2]


_NODES = 33
_SMOOTHNESS = 0.3
_COUPLING = 0.5
_RIDGE = 0.05


def _refined(evidence: _Evidence, strength: float, scale: float, levels: int) -> Floats:
    """Correct the fitted curve per channel by robust, smooth least squares; (levels, 3) light."""
    prior = [scale * light_stops(values, strength) for values in (evidence.dark, evidence.bright)]
    rows = _node_weights(evidence.bright, evidence.channel)
    rows -= _node_weights(evidence.dark, evidence.channel)
    wanted = evidence.difference - (prior[1] - prior[0])
    fixed = _regularity()
    correction: Values = np.zeros(3 * _NODES)
    for _ in range(5):
        residual = np.abs(rows @ correction - wanted)
        # Huber weights: beyond 0.1 stops a level counts as an outlier, more and more.
        weights = evidence.weights * np.minimum(1.0, 0.1 / np.maximum(residual, 1e-6))
        normal = rows.T @ (rows * weights[:, None]) + fixed
        correction = np.asarray(np.linalg.solve(normal, rows.T @ (weights * wanted)))
    nodes = np.linspace(0.0, 1.0, _NODES)
    codes = np.linspace(0.0, 1.0, levels)
    curve = scale * light_stops(codes, strength)
    table = np.empty((levels, 3))
    for c in range(3):
        own = correction[c * _NODES : (c + 1) * _NODES]
        bent: Values = curve + np.interp(codes, nodes, own)
        stops = monotone(bent)
        table[:, c] = np.exp2(stops - stops[-1])
    table[0] = 0.0
    return table.astype(np.float32)


def _node_weights(values: Values, channel: NDArray[np.intp]) -> Values:
    """Linear interpolation at values 0..1 as a matrix (n, 3 x nodes), a block per channel."""
    place = np.clip(values, 0.0, 1.0) * (_NODES - 1)
    left = np.minimum(place.astype(np.intp), _NODES - 2)
    share = place - left
    matrix = np.zeros((len(values), 3 * _NODES))
    row = np.arange(len(values))
    matrix[row, channel * _NODES + left] = 1 - share
    matrix[row, channel * _NODES + left + 1] = share
    return matrix


@lru_cache(maxsize=1)
def _regularity() -> Values:
    """What the correction should be a priori: smooth, alike in the channels, small, 0 at white.

    The channels are held together because a grey wall must stay grey at every brightness.
    """
    bend = np.diff(np.eye(_NODES), n=2, axis=0) * _NODES**1.5
    smooth = _SMOOTHNESS * np.kron(np.eye(3), bend.T @ bend) / _NODES
    apart = _COUPLING * np.kron(np.eye(3) - 1 / 3, np.eye(_NODES))
    white = np.zeros((3 * _NODES, 3 * _NODES))
    ends = [(c + 1) * _NODES - 1 for c in range(3)]
    white[ends, ends] = 1e3
    result: Values = smooth + apart + white + _RIDGE * np.eye(3 * _NODES)
    result.flags.writeable = False
    return result

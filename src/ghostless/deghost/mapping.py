"""Intensity mapping: which code of one frame stands for which code of another.

Learnt from the joint histogram of the two frames alone, one monotone curve per channel, as
Grossberg and Nayar (What can be known about the radiometric response from images?, ECCV 2002)
define it; it holds for any camera response and needs no exposures. Things that moved are outliers
of the histogram: the curve follows its ridge.

Codes are display values times 255, as float32, whatever the frames are stored in.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..pixels import color
from .joint import JointTable, learn_table

Codes = NDArray[np.float32]
Curve = NDArray[np.float64]

LEVELS = np.arange(256, dtype=np.float64)
# An upper bound of an interval from here on means "as bright as you like".
OPEN = 1000.0

# The ridge is sought among ratios of light, dark over bright, in stops.
_RATIO_STEP_STOPS = 0.1
_RATIO_RANGE_STOPS = (-13.0, 3.0)
_RATIOS = np.arange(*_RATIO_RANGE_STOPS, _RATIO_STEP_STOPS) + _RATIO_STEP_STOPS / 2
# What all three channels show together counts this much beside what one shows itself.
_SHARED_GAIN = 0.3
_RIDGE_ROWS = 64
_RIDGE_REACH = 3
_RIDGE_BEND_COST = 1.5
# Below this code quantisation drowns the ratio; the curve there follows from codes above.
_DARKEST_RATIO_CODE = 2.5
_LEARNING_PIXELS = 200_000
_FLAT_RANGE_CODES = 14.0
_FEWEST_FLAT_PIXELS = 2000
# Length in codes over which the curve may bend; pixels of one level that make it fully sure.
_SPLINE_CODES = 8.0
_SURE_PIXELS = 100.0
_KNOT_CODES = 3
# No camera maps exposures more flatly than this power of the code.
_LEAST_RELATIVE_SLOPE = 0.6
_CLIP_CODE = 249.0
# Codes of the source from which on it is black: anything darker looks the same.
BLACK_CODES = 2
_DARK_CODES = 8.0
# A colour of which any channel is this near to the clip code counts as clipped.
_NEAR_CLIP_CODES = 4.0
# Codes beyond which what the curves leave over is a thing that moved, before more is known.
_JOINT_REACH_CODES = 60.0


@dataclass(frozen=True)
class Mapping:
    """What a code of the source frame says about the code of the target frame, per channel.

    low, high: (256, 3) float32, the interval of target codes that one source code allows. They
        differ where the source is clipped: the light may then be anything above (high is OPEN).
    expected: (256, 3) float32, the most likely target code; the lowest where the source is clipped.
    target_clip: target code from which on the target is clipped: brighter cannot be told apart.
    source_clip: the same of the source.
    joint: what a colour adds to what its channels say alone.
    darkens: whether the target is the darker of the two.
    """

    low: NDArray[np.float32]
    high: NDArray[np.float32]
    expected: NDArray[np.float32]
    source_clip: float
    target_clip: float
    joint: JointTable
    darkens: bool

    @cached_property
    def fine_table(self) -> NDArray[np.float32]:
        """`expected` at 16 steps per code, (4096, 3), for sources with fractions of codes."""
        steps = np.arange(4096) / 16.0
        return np.stack(
            [np.interp(steps, LEVELS, self.expected[:, c]) for c in range(3)], axis=1
        ).astype(np.float32)

    def expect(self, source: Codes) -> tuple[Codes, Codes]:
        """Most likely target codes for source codes (H, W, 3), and their standard deviation."""
        extra, spread = self.joint.look_up(source)
        extra += self.along_curves(source)
        return np.clip(extra, 0, 255, out=extra), spread

    def along_curves(self, source: Codes) -> Codes:
        """Target codes by the channels' curves alone; where clipped, the lowest."""
        index = np.clip(np.rint(source * 16), 0, 4080).astype(np.uint16)
        out = np.empty(source.shape, np.float32)
        for channel in range(3):
            np.take(self.fine_table[:, channel], index[..., channel], out=out[..., channel])
        return out


def look_up(table: NDArray[np.float32], codes: Codes) -> Codes:
    """Values of a (256, 3) table at codes (H, W, 3), nearest level."""
    index = cv2.convertScaleAbs(codes)
    return np.asarray(cv2.LUT(index, table.reshape(1, 256, 3)))


def clip_code(codes: Codes) -> float:
    """Code from which a frame counts as clipped: 255 or so, or where its codes pile up."""
    top = float(np.percentile(codes, 99.95))
    if top < 246 and float(np.mean(codes >= top - 1.5)) > 0.02:
        return max(top - 3, 8.0)
    return _CLIP_CODE


def local_range(codes: Codes) -> Codes:
    """Largest minus smallest code in each 3 x 3 neighbourhood."""
    kernel = np.ones((3, 3), np.uint8)
    return np.asarray(cv2.subtract(cv2.dilate(codes, kernel), cv2.erode(codes, kernel)))


def largest_channel(values: Codes) -> Codes:
    """Largest of the three channels, (H, W)."""
    red, green, blue = cv2.split(values)
    return np.asarray(cv2.max(cv2.max(red, green), blue))


def box_mean(values: Codes, radius: int = 1) -> Codes:
    """Mean over a square of side 2 radius + 1."""
    side = 2 * radius + 1
    return np.asarray(cv2.blur(values, (side, side), borderType=cv2.BORDER_REPLICATE))


def learn_mapping(
    source: Codes,
    target: Codes,
    usable: NDArray[np.bool_],
    *,
    source_is_brighter: bool,
    stops_apart: float | None,
) -> Mapping:
    """Learn the mapping from source to target codes, both (H, W, 3), 0..255.

    usable: (H, W), where both frames show the scene; known ghosts may be left out.
    stops_apart: exposure difference, a mild preference where the pixels say little; None unknown.
    """
    bright, dark = (source, target) if source_is_brighter else (target, source)
    bright_clip = clip_code(bright)
    chosen = _flat_pixels(bright, usable)
    bright_samples = box_mean(bright)[chosen]
    dark_samples = box_mean(dark)[chosen]
    prior = None if stops_apart is None else -abs(stops_apart)
    curves = _learn_curves(bright_samples, dark_samples, bright_clip, prior)
    dark_clip = clip_code(dark)
    if source_is_brighter:
        low, high, expected = _darkening(curves, bright_clip)
        source_clip, target_clip = bright_clip, dark_clip
        source_samples, target_samples = bright_samples, dark_samples
    else:
        codes = np.rint(bright_samples).astype(np.int64)
        seen = [np.bincount(codes[:, c], minlength=256)[:256].astype(np.float64) for c in range(3)]
        low, high, expected = _brightening(curves, seen, dark_clip, bright_clip)
        source_clip, target_clip = dark_clip, bright_clip
        source_samples, target_samples = dark_samples, bright_samples
    joint = _learn_joint(source_samples, target_samples, expected, source_clip)
    return Mapping(low, high, expected, source_clip, target_clip, joint, source_is_brighter)


def _learn_joint(
    source: Codes, target: Codes, expected: NDArray[np.float32], source_clip: float
) -> JointTable:
    """The table of what colours add to the curves `expected`, from samples (N, 3)."""
    alone = np.stack([np.interp(source[:, c], LEVELS, expected[:, c]) for c in range(3)], axis=1)
    brightest = largest_channel(source[None])[0] if len(source) else np.zeros(0)
    # Where the source is clipped or black, the target may show anything.
    free = (brightest >= source_clip - _NEAR_CLIP_CODES) | (brightest < _DARK_CODES)
    return learn_table(source, target - alone, free, _JOINT_REACH_CODES)


def near_clip(codes: Codes, clip: float) -> NDArray[np.bool_]:
    """Whether any channel of colours (H, W, 3) is clipped or nearly so; (H, W)."""
    return np.asarray(largest_channel(codes) >= clip - _NEAR_CLIP_CODES)


def _flat_pixels(bright: Codes, usable: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels without edges near them, so that half a pixel of shift does not matter."""
    flat = largest_channel(local_range(box_mean(bright))) < _FLAT_RANGE_CODES
    flat &= usable
    if np.count_nonzero(flat) < _FEWEST_FLAT_PIXELS:
        flat = usable.copy()
    count = np.count_nonzero(flat)
    if count > _LEARNING_PIXELS:
        every = -(-count // _LEARNING_PIXELS)
        places = np.flatnonzero(flat)
        flat = np.zeros(flat.size, np.bool_)
        flat[places[::every]] = True
        flat = flat.reshape(usable.shape)
    return np.asarray(flat)


def _decode(codes: NDArray[Any] | float) -> NDArray[np.float64]:
    return color.srgb_to_linear(np.asarray(codes) / 255).astype(np.float64)


def _encode(light: NDArray[Any]) -> NDArray[np.float64]:
    return color.linear_to_srgb(light).astype(np.float64) * 255


def _learn_curves(
    bright: Codes, dark: Codes, clip: float, prior_stops: float | None
) -> list[Curve]:
    """Dark code for each bright code 0..255, of each channel; never falling."""
    pairs = []
    for channel in range(3):
        unclipped = bright[:, channel] < clip
        pairs.append((bright[unclipped, channel], dark[unclipped, channel]))
    gains = [_ridge_gain(bright, dark, prior_stops) for bright, dark in pairs]
    # All channels were exposed alike: what one shows clearly holds for one that shows little.
    shared = np.float32(_SHARED_GAIN) * np.sum(gains, axis=0, dtype=np.float32)
    curves = []
    for gain, (bright, dark) in zip(gains, pairs, strict=True):
        ratios = _ridge(gain + shared)
        curve: Curve = _encode(_decode(LEVELS) * np.exp2(ratios))
        curves.append(_refine(curve, bright, dark))
    return curves


def _ridge_gain(bright: Codes, dark: Codes, prior_stops: float | None) -> NDArray[np.float32]:
    """How much was seen of each ratio of light (columns) at bright codes (rows), one channel."""
    lowest = _RATIO_RANGE_STOPS[0]
    bins = len(_RATIOS)
    seen = (dark > _DARKEST_RATIO_CODE) & (bright > _DARKEST_RATIO_CODE)
    ratio = np.log2(_decode(dark[seen]) / _decode(bright[seen]))
    column = np.clip(((ratio - lowest) / _RATIO_STEP_STOPS).astype(np.int64), 0, bins - 1)
    row = np.minimum((bright[seen] * (_RIDGE_ROWS / 256)).astype(np.int64), _RIDGE_ROWS - 1)
    counts = np.bincount(row * bins + column, minlength=_RIDGE_ROWS * bins)
    histogram = cv2.GaussianBlur(
        counts.reshape(_RIDGE_ROWS, bins).astype(np.float32),
        (0, 0),
        sigmaX=1.5,
        sigmaY=0.7,
        borderType=cv2.BORDER_REPLICATE,
    )
    expected = 0.0 if prior_stops is None else prior_stops
    pull = 0.01 if prior_stops is None else 0.5
    prior = pull * np.exp(-0.5 * ((_RATIOS - expected) / 0.7) ** 2)
    histogram += prior.astype(np.float32)
    # A row counts by how much was seen in it, a bin by its share of the row's fullest.
    gain = histogram / np.maximum(histogram.max(axis=1, keepdims=True), 1e-6)
    gain *= np.log1p(histogram.sum(axis=1, keepdims=True))
    return np.asarray(gain, np.float32)


def _ridge(gain: NDArray[np.float32]) -> NDArray[np.float64]:
    """Ratio of light in stops for each bright code: the histogram's ridge."""
    path = _best_path(gain)
    smooth = cv2.GaussianBlur(
        _RATIOS[path][None], (0, 0), sigmaX=2.0, borderType=cv2.BORDER_REPLICATE
    )[0]
    row_codes = (np.arange(_RIDGE_ROWS) + 0.5) * (256 / _RIDGE_ROWS)
    return np.asarray(np.interp(LEVELS, row_codes, smooth))


def _best_path(gain: NDArray[Any]) -> NDArray[np.int64]:
    """Column for each row, of the largest total gain at little sideways movement."""
    rows, bins = gain.shape
    offsets = range(-_RIDGE_REACH, _RIDGE_REACH + 1)
    total = gain[0].astype(np.float64)
    came_from = np.zeros((rows, bins), np.int64)
    columns = np.arange(bins)
    for row in range(1, rows):
        options = np.full((len(offsets), bins), -np.inf)
        for place, offset in enumerate(offsets):
            inside = (columns + offset >= 0) & (columns + offset < bins)
            options[place, inside] = total[columns[inside] + offset]
            options[place] -= _RIDGE_BEND_COST * abs(offset)
        pick = options.argmax(axis=0)
        total = gain[row] + options[pick, columns]
        came_from[row] = columns + pick - _RIDGE_REACH
    path = np.zeros(rows, np.int64)
    path[-1] = total.argmax()
    for row in range(rows - 1, 0, -1):
        path[row - 1] = came_from[row, path[row]]
    return path


def _refine(curve: Curve, bright: Codes, dark: Codes) -> Curve:
    """Move the curve onto the dark codes near it, as smoothly as they allow.

    A smoothing spline, robust by Tukey's weights. In display coding a constant ratio of light is
    nearly a straight line, which is what the curve becomes where nothing was seen.
    """
    knots = LEVELS[::_KNOT_CODES]
    level = np.rint(bright / _KNOT_CODES).astype(np.int64)
    bend = np.diff(np.eye(len(knots)), n=2, axis=0)
    stiffness = (_SPLINE_CODES / _KNOT_CODES) ** 4 * (bend.T @ bend)
    at_knots: Curve = curve[::_KNOT_CODES]
    for reach in (24.0, 16.0, 10.0, 10.0):
        residual = dark - np.interp(bright, knots, at_knots)
        weights = np.square(np.maximum(1 - np.square(residual / reach), 0))
        total = np.bincount(level, weights=weights, minlength=len(knots))
        moved = np.bincount(level, weights=weights * residual, minlength=len(knots))
        # A level that was seen very often is not that much surer.
        trust = np.minimum(total / _SURE_PIXELS, 1)
        target = at_knots + moved / np.maximum(total, 1e-9)
        target[0], trust[0] = 0, 10
        # A touch of the curve as it is keeps the equations solvable.
        keep = 1e-6
        system = np.diag(trust + keep) + stiffness
        solved = np.linalg.solve(system, trust * target + keep * at_knots)
        at_knots = _rising(np.clip(solved, 0, 255), knots)
    return np.asarray(np.interp(LEVELS, knots, at_knots))


def _rising(curve: Curve, at: NDArray[np.float64]) -> Curve:
    """Make a curve rise everywhere by at least a share of its slope to the origin.

    Texture that moved shows all bright codes with one dark code; a curve that followed it would
    stretch that code over all of them.
    """
    power = np.maximum(at, 1) ** _LEAST_RELATIVE_SLOPE
    relative = curve / power
    from_below = np.maximum.accumulate(relative)
    from_above = np.minimum.accumulate(relative[::-1])[::-1]
    return np.asarray(np.minimum((from_below + from_above) / 2 * power, 255))


Tables = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]


def _darkening(curves: list[Curve], source_clip: float) -> Tables:
    """Low, high and expected codes of the darker frame: open above where the source is clipped."""
    low = np.stack(curves, axis=1).astype(np.float32)
    first = int(source_clip)
    low[first:] = low[first]
    high = low.copy()
    high[first:] = OPEN
    return low, high, low


def _brightening(
    curves: list[Curve], seen: list[NDArray[np.float64]], source_clip: float, target_clip: float
) -> Tables:
    """The same of the brighter frame: the curve's inverse; saturates where the target clips.

    seen: how often each bright code was seen.
    """
    columns, means = [], []
    for curve, count in zip(curves, seen, strict=True):
        rising = curve + LEVELS * 1e-6
        column = np.interp(LEVELS, rising, LEVELS)
        saturated = curve[int(target_clip)] <= LEVELS
        column[saturated] = 255.0
        columns.append(column)
        # A dark code stands for all the bright codes that round to it: take their mean.
        rounded = np.rint(curve).astype(np.int64)
        weight = count + 1e-3
        mean = column.copy()
        sums = np.bincount(rounded, weights=weight, minlength=256)
        several = (sums > 0) & ~saturated
        mean[several] = (
            np.bincount(rounded, weights=weight * LEVELS, minlength=256)[several] / sums[several]
        )
        means.append(np.maximum.accumulate(mean))
    low = np.stack(columns, axis=1).astype(np.float32)
    high = low.copy()
    high[int(source_clip) :] = OPEN
    # Black may be any darkness: the lowest codes say nothing about how dark.
    low[:BLACK_CODES] = 0
    high[:BLACK_CODES] = np.maximum(high[:BLACK_CODES], high[BLACK_CODES])
    return low, high, np.stack(means, axis=1).astype(np.float32)

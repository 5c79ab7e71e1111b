"""Where things move between the photos of a bracket, roughly and cheaply, before any registration.

Neighbours in brightness are reduced to a few hundred pixels, laid on each other by one shift, and
brought to one exposure by their histograms, which are the same whether things moved or not. What
then differs by more than a few pixels of shift explain, over more than thin edges, moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..bracket import Frame
from ..pixels import color
from ..pixels.stripes import every

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]

_LONG_SIDE = 320
# Every so many proxy pixels a frame is sampled before it is reduced by areas.
_SAMPLES_PER_PIXEL = 3
# Differences in codes, and as a share of the code, that the camera's processing explains.
_TOLERANCE_CODES = 10.0
_TOLERANCE_SHARE = 0.12
_SHIFT_RADIUS = 2
# Blobs narrower than this are edges that slipped.
_LEAST_WIDTH = 5
_GROW_RADIUS = 3
_LARGEST_SHIFT_SHARE = 0.1
_LEAST_RESPONSE = 0.05
_BLACK, _CLIPPED = 3.0, 249.0


def small_displays(frames: Sequence[Frame]) -> list[Floats]:
    """Frames as display codes 0..255, (h, w, 3), a few hundred pixels wide."""
    return [_small(frame) for frame in frames]


def _small(frame: Frame) -> Floats:
    scale = max(frame.height, frame.width) / _LONG_SIDE
    step = max(1, int(scale / _SAMPLES_PER_PIXEL))
    pixels: Any = every(frame.pixels, step)
    if scale > 1:
        size = (max(1, round(frame.width / scale)), max(1, round(frame.height / scale)))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).reshape(*size[::-1], 3)
    if pixels.dtype == np.float32:
        pixels = np.nan_to_num(pixels, nan=0.0, posinf=1.0, neginf=0.0)
    return np.asarray(color.to_display(pixels, frame.transfer) * np.float32(255))


def moving_area(displays: Sequence[Floats], *, wraps: bool = False) -> Flags:
    """Where any two neighbours of frames sorted by brightness disagree, (h, w).

    wraps: whether their right edge is their left one's neighbour.
    """
    moving = np.zeros(displays[0].shape[:2], np.bool_)
    if min(moving.shape) < 4 * _LEAST_WIDTH:
        return moving
    grays = [np.asarray(color.luma(display), np.float32) for display in displays]
    for dark, bright in pairwise(grays):
        moving |= _disagreeing(dark, _turned(dark, bright) if wraps else _shifted(dark, bright))
    kernel = np.ones((2 * _GROW_RADIUS + 1,) * 2, np.uint8)
    return cv2.dilate(moving.astype(np.uint8), kernel).astype(np.bool_)


def _disagreeing(dark: Floats, bright: Floats) -> Flags:
    to_dark = _matched_histogram(bright, dark)
    to_bright = _matched_histogram(dark, bright)
    inside_dark = (bright > _BLACK) & (bright < _CLIPPED)
    inside_bright = (dark > _BLACK) & (dark < _CLIPPED)
    differs = _beyond_tolerance(dark, to_dark, bright) & inside_dark
    differs |= _beyond_tolerance(bright, to_bright, dark) & inside_bright
    # A clipped or black pixel contradicts only what is certainly darker or brighter.
    clip_level = float(to_dark[bright >= _CLIPPED].min(initial=255.0))
    differs |= (bright >= _CLIPPED) & (_upper(dark) < 0.6 * clip_level - _TOLERANCE_CODES)
    kernel = np.ones((_LEAST_WIDTH, _LEAST_WIDTH), np.uint8)
    return cv2.morphologyEx(differs.astype(np.uint8), cv2.MORPH_OPEN, kernel).astype(np.bool_)


def _shifted(fixed: Floats, moving: Floats) -> Floats:
    """The moving image laid on the fixed one by one shift, of any exposure."""
    window = cv2.createHanningWindow(fixed.shape[::-1], cv2.CV_32F)
    a, b = _flattened(fixed), _flattened(moving)
    (x, y), response = cv2.phaseCorrelate(a, b, window)
    if response < _LEAST_RESPONSE or max(abs(x), abs(y)) > _LARGEST_SHIFT_SHARE * max(fixed.shape):
        return moving
    matrix = np.array([[1, 0, x], [0, 1, y]], np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = fixed.shape[::-1]
    moved = cv2.warpAffine(moving, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved)


def _turned(fixed: Floats, moving: Floats) -> Floats:
    """The moving image of a camera that sees all round, turned by columns onto the fixed one."""
    first, second = (np.fft.rfft(_flattened(image), axis=1) for image in (fixed, moving))
    likeness = np.fft.irfft((np.conj(first) * second).sum(axis=0), fixed.shape[1])
    return np.roll(moving, -int(likeness.argmax()), axis=1)


def _flattened(gray: Floats) -> Floats:
    """A gray image less its surroundings' mean, over its surroundings' spread."""
    centred = gray - cv2.GaussianBlur(gray, (0, 0), 5)
    spread = np.sqrt(cv2.GaussianBlur(centred * centred, (0, 0), 5)) + np.float32(4)
    return np.asarray(centred / spread)


def _matched_histogram(source: Floats, target: Floats) -> Floats:
    """Source codes mapped so that their histogram becomes the target's."""
    bins = np.arange(257)
    ranks = [np.cumsum(np.histogram(image, bins)[0]) / image.size for image in (source, target)]
    middle = ranks[0] - np.diff(ranks[0], prepend=0) / 2
    table = np.interp(middle, ranks[1], np.arange(256))
    return np.interp(source, np.arange(256), table).astype(np.float32)


def _beyond_tolerance(image: Floats, predicted: Floats, source: Floats) -> Flags:
    kernel = np.ones((2 * _SHIFT_RADIUS + 1,) * 2, np.uint8)
    high, low = cv2.dilate(predicted, kernel), cv2.erode(predicted, kernel)
    # Where the source is clipped or black nearby, so may the shifted neighbour be.
    high[cv2.dilate(source, kernel) >= _CLIPPED] = 255
    low[cv2.erode(source, kernel) <= _BLACK] = 0
    tolerance = _TOLERANCE_CODES + _TOLERANCE_SHARE * predicted
    return np.asarray((image > high + tolerance) | (image < low - tolerance))


def _upper(image: Floats) -> Floats:
    return np.asarray(cv2.dilate(image, np.ones((2 * _SHIFT_RADIUS + 1,) * 2, np.uint8)))

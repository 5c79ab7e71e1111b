"""What the agreement network sees of two frames: their codes, and how far each is from what the
other leads one to expect.

Two expectations are made of the pair itself, in both directions, without exposures or a camera's
curve. Matching the histograms, channel by channel, is blind to what moved, for things take their
codes with them; but it knows nothing of cameras that mix colours before their curve. What of it
depends on the colour is therefore taken out, by the mean error at every colour of the other frame;
which in turn hides what is the only thing of its colour. Between the two, and from the pictures
themselves, the network judges.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .mapping import Codes, box_mean

Flags = NDArray[np.bool_]

CHANNELS = 18
# Pixels that expectations are learnt from: about as many as the patches have that the network was
# trained on, so that they are as sure.
_LEARNING_PIXELS = 65_536
# Colours are told apart by this many levels of each channel, and by fewer where few were seen.
_COLOUR_LEVELS = 16
_FINE_LEVELS = 32
# Pixels of a colour that count as much as what coarser cells say of it.
_PRIOR_PIXELS = 6.0
# Errors beyond this many codes are things that moved rather than colours.
_LARGEST_ERROR_CODES = 64.0
_ERROR_SPREAD_CODES = 32.0
# Errors are shown to the network larger than codes, which are 0..1.
_ERROR_GAIN = 4.0


def evidence(reference: Codes, frame: Codes, usable: Flags) -> NDArray[np.float32]:
    """Lay out what the network sees: (18, H, W) float32.

    reference, frame: registered, (H, W, 3), 0..255. usable: (H, W), where both show the scene.
    Channels, in threes of red, green and blue: the reference's codes and the frame's, 0..1; by how
    much the frame exceeds what its histogram leads to expect, and the reference what the frame's
    does; the same two less what each colour exceeds it by on average.
    """
    picture = np.empty((CHANNELS, *reference.shape[:2]), np.float32)
    pixels = _learning_pixels(usable)
    smooth = [box_mean(codes).reshape(-1, 3)[pixels] for codes in (reference, frame)]
    if not usable.all():
        # What is not judged must not cast doubt on what lies beside it.
        frame = np.where(usable[..., None], frame, _match(reference, *smooth))
    pair = (reference, frame)
    for number in range(2):
        source, target = pair[number], pair[1 - number]
        _lay_out(source, 1 / 255, picture[3 * number :])
        matched = _match(source, smooth[number], smooth[1 - number])
        seen_match = _match_samples(smooth[number], smooth[number], smooth[1 - number])
        error = target - matched
        colour = _error_of_colour(smooth[number], smooth[1 - number] - seen_match)
        first = 6 + 3 * number
        _lay_out(error, _ERROR_GAIN / 255, picture[first:])
        error -= _look_up(colour, source)
        _lay_out(error, _ERROR_GAIN / 255, picture[first + 6 :])
    return picture


def _lay_out(codes: Codes, gain: float, planes: NDArray[np.float32]) -> None:
    """Write the channels of codes (H, W, 3) into the first three planes, multiplied."""
    for channel in range(3):
        np.multiply(codes[..., channel], np.float32(gain), out=planes[channel])


def _learning_pixels(usable: Flags) -> NDArray[np.intp]:
    # Means of neighbours are learnt from: all of them must be usable.
    inner = cv2.erode(usable.astype(np.uint8), np.ones((3, 3), np.uint8))
    places = np.flatnonzero(inner)
    if places.size == 0:
        places = np.arange(usable.size)
    # A step that does not fall in with the rows.
    step = max(1, places.size // _LEARNING_PIXELS) | 1
    return places[::step]


# Histograms ---------------------------------------------------------------------------------------


def _matching_table(source: Codes, target: Codes) -> NDArray[np.float32]:
    """Code of the target, (256, 3), that each code of the source stands for by rank.

    source, target: samples (N, 3). A code stands for the mean of all that share its ranks: what is
    clipped in the source, for the mean of what it hides.
    """
    table = np.empty((256, 3), np.float32)
    levels = np.arange(256)
    for channel in range(3):
        values = np.sort(target[:, channel])
        sums = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
        rounded = np.rint(source[:, channel]).astype(np.int64)
        counts = np.bincount(np.clip(rounded, 0, 255), minlength=256)
        ends = np.cumsum(counts)
        seen = counts > 0
        means = (sums[ends[seen]] - sums[ends[seen] - counts[seen]]) / counts[seen]
        table[:, channel] = np.interp(levels, levels[seen], means)
    # A little smoothing where few pixels make steps; the ends stay.
    smooth = cv2.GaussianBlur(
        table, (1, 0), sigmaX=0.1, sigmaY=1.5, borderType=cv2.BORDER_REPLICATE
    )
    smooth[[0, 255]] = table[[0, 255]]
    return np.asarray(smooth, np.float32)


def _match(source: Codes, seen: Codes, target: Codes) -> Codes:
    table = _matching_table(seen, target)
    return np.asarray(cv2.LUT(cv2.convertScaleAbs(source), table.reshape(1, 256, 3)))


def _match_samples(source: Codes, seen: Codes, target: Codes) -> Codes:
    return np.asarray(_match(source[None], seen, target)[0])


# Colours ------------------------------------------------------------------------------------------


def _error_of_colour(colours: Codes, errors: Codes) -> NDArray[np.float32]:
    """Mean error at each colour, robustly: (32 ** 3, 3), in codes; 0 where nothing is known.

    colours, errors: samples (N, 3).
    """
    cells = _cells(colours, _COLOUR_LEVELS)
    errors = np.clip(errors, -_LARGEST_ERROR_CODES, _LARGEST_ERROR_CODES)
    mean = _cell_means(cells, errors, np.ones(len(errors), np.float32))
    off = np.square(errors - mean.reshape(-1, 3)[cells]).sum(axis=1)
    weights = 1 / (1 + off * np.float32(1 / _ERROR_SPREAD_CODES**2))
    mean = _cell_means(cells, errors, weights)
    return _enlarge(mean, _FINE_LEVELS).reshape(-1, 3)


def _cells(colours: Codes, levels: int) -> NDArray[Any]:
    """Index of each colour (..., 3) among levels ** 3 cells."""
    shift = 8 - (levels.bit_length() - 1)
    index = cv2.convertScaleAbs(colours).astype(np.int32) >> shift
    flat: NDArray[Any] = (index[..., 0] * levels + index[..., 1]) * levels + index[..., 2]
    return flat


def _cell_means(cells: NDArray[Any], values: Codes, weights: NDArray[Any]) -> NDArray[np.float32]:
    """Weighted means in a grid of colours, each leant on those of larger cells: (L, L, L, 3)."""
    side = _COLOUR_LEVELS
    grid = np.empty((side, side, side, 4), np.float32)
    for channel in range(4):
        amount = weights if channel == 3 else weights * values[:, channel]
        grid[..., channel] = np.bincount(cells, amount, side**3).reshape(side, side, side)
    grids = [_blurred(grid)]
    while grids[-1].shape[0] > 2:
        half = grids[-1].shape[0] // 2
        grids.append(grids[-1].reshape(half, 2, half, 2, half, 2, 4).sum(axis=(1, 3, 5)))
    mean = np.zeros((1, 1, 1, 3), np.float32)
    for level in reversed(grids):
        wider = _enlarge(mean, level.shape[0]) if mean.shape[0] > 1 else mean
        prior = np.float32(_PRIOR_PIXELS)
        mean = (level[..., :3] + prior * wider) / (level[..., 3:] + prior)
    return np.asarray(mean, np.float32)


def _blurred(grid: NDArray[np.float32]) -> NDArray[np.float32]:
    """A grid blurred by 1 2 1 along its first three axes; what is there stays in sum."""
    for axis in range(3):
        padded = np.concatenate([grid.take([0], axis), grid, grid.take([-1], axis)], axis=axis)
        size = grid.shape[axis]
        parts = [padded.take(range(start, start + size), axis) for start in range(3)]
        grid = (parts[0] + 2 * parts[1] + parts[2]) / 4
    return grid


def _enlarge(grid: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """A cube of cells (s, s, s, C) at a multiple of its side, trilinearly."""
    small = grid.shape[0]
    place = np.clip((np.arange(side) + 0.5) * (small / side) - 0.5, 0, small - 1)
    lower = np.minimum(place.astype(np.int64), max(small - 2, 0))
    upper = np.minimum(lower + 1, small - 1)
    share = (place - lower).astype(np.float32)
    for axis in range(3):
        shape = [1, 1, 1, 1]
        shape[axis] = side
        part = share.reshape(shape)
        grid = grid.take(lower, axis) * (1 - part) + grid.take(upper, axis) * part
    return grid


def _look_up(table: NDArray[np.float32], codes: Codes) -> Codes:
    return np.asarray(table[_cells(codes, _FINE_LEVELS)])

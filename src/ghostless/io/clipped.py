"""Colours of a bright photo that clipped before they were converted, told by a darker photo.

A camera that writes Adobe RGB clips each channel at the white of that space. Converted to sRGB,
whose primaries are mixtures of the wider ones, a clipped channel falsifies the others: a bright
green, of which the camera kept too little, turns yellow. What the photo would have shown is known
from the darker ones of its bracket: their colours, made brighter, are clipped and converted as the
camera did, and a table tells from what comes out what should. No pixel's place counts, so nothing
need be registered and things may move.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..bracket import Frame
from ..pixels import color
from ..pixels.stripes import every, for_each_stripe
from . import icc

Floats = NDArray[np.float32]

# Cells of the table along each channel, and how many sampled pixels a cell needs to be believed.
_CELLS: Final = 32
_PIXELS_FOR_A_CELL: Final = 4.0
_SAMPLED_PIXELS: Final = 1 << 18
# Display values that count as clipped, and as certainly not.
_CLIPPED: Final = 0.985
_TOO_DARK: Final = 0.04
# A space is wider where a primary of sRGB takes this much away of another channel.
_LEAST_TAKEN: Final = 0.02
# The photo must be so much brighter than the darker one, in stops, to tell anything new.
_LEAST_STOPS: Final = 0.5


def restore_clipped(frames: Sequence[Frame], profiles: Sequence[bytes | None]) -> list[Frame]:
    """Correct colours that clipped in a wider space than sRGB, to which they were converted.

    frames: all photos of a bracket. profiles: those that each was converted from by what its file
        tells in numbers, None where it was not. Only frames of integers are corrected.
    """
    samples: dict[int, Floats] = {}

    def sample(index: int) -> Floats:
        if index not in samples:
            frame = frames[index]
            step = max(1, int((frame.height * frame.width / _SAMPLED_PIXELS) ** 0.5))
            seen = every(frame.pixels, step)
            if frame.opaque is not None:
                seen = seen[every(frame.opaque, step) == 255]
            samples[index] = color.to_linear(seen, frame.transfer).reshape(-1, 3)
        return samples[index]

    restored = list(frames)
    for index, (frame, profile) in enumerate(zip(frames, profiles, strict=True)):
        matrix = None if profile is None else icc.to_linear_srgb_matrix(profile)
        if matrix is None or matrix.min() > -_LEAST_TAKEN or frame.pixels.dtype == np.float32:
            continue
        gains = [(_gain(sample(other), sample(index)), other) for other in range(len(frames))]
        darker = [(gain, sample(other)) for gain, other in gains if gain > 2**_LEAST_STOPS]
        if darker:
            table = _table(darker, matrix)
            if np.abs(table).max() > 1 / 255:
                restored[index] = _corrected(frame, table)
    return restored


def _gain(dark: Floats, bright: Floats) -> float:
    """How many times brighter one photo is than another, by quantiles of their green."""
    shares = np.linspace(0.02, 0.98, 49)
    low, high = (np.quantile(light[:, 1], shares) for light in (dark, bright))
    limits = color.srgb_to_linear(np.array([_TOO_DARK, _CLIPPED]))
    usable = (low > limits[0]) & (high < limits[1])
    return float(np.median(high[usable] / low[usable])) if usable.sum() >= 3 else 0.0


def _table(darker: Sequence[tuple[float, Floats]], matrix: Floats) -> Floats:
    """What to add to display colours that came of clipped ones, (cells, cells, cells, 3)."""
    count = np.zeros((_CELLS,) * 3, np.float32)
    total = np.zeros((_CELLS,) * 3 + (3,), np.float32)
    back = np.linalg.inv(matrix).astype(np.float32)
    whole = color.srgb_to_linear(np.array([_CLIPPED]))[0]
    for gain, light in darker:
        wanted = light[light.max(axis=1) < whole] * np.float32(gain)
        stored = wanted @ back.T
        mixed = np.clip(np.clip(stored, 0, 1) @ matrix.T, 0, 1)
        shown = color.linear_to_srgb(mixed)
        partly = _partly_clipped(shown)
        shown = shown[partly]
        right = color.linear_to_srgb(np.clip(wanted[partly], 0, 1))
        cell = np.minimum((shown * _CELLS).astype(np.int64), _CELLS - 1)
        np.add.at(count, tuple(cell.T), 1)
        np.add.at(total, tuple(cell.T), right - shown)
    count, total = _spread(count[..., None]), _spread(total)
    return np.asarray(total / (count + np.float32(_PIXELS_FOR_A_CELL)), np.float32)


def _spread(cells: Floats) -> Floats:
    """Share what is in the cells with their neighbours, so that the table has no steps."""
    for axis in range(3):
        rows = np.moveaxis(cells, axis, 0)
        padded = np.concatenate([rows[:1], rows, rows[-1:]])
        mixed = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
        cells = np.moveaxis(mixed, 0, axis)
    return np.asarray(cells, np.float32)


def _partly_clipped(display: Floats) -> NDArray[np.bool_]:
    """Which colours (..., 3) have a channel that clips and one that does not."""
    return np.asarray((display.max(axis=-1) >= _CLIPPED) & (display.min(axis=-1) < _CLIPPED))


def _corrected(frame: Frame, table: Floats) -> Frame:
    pixels: NDArray[Any] = frame.pixels
    if not pixels.flags.writeable:
        pixels = pixels.copy()
    top = np.iinfo(pixels.dtype).max

    def work(start: int, stop: int) -> None:
        rows = pixels[start:stop]
        display = color.to_unit(rows)
        partly = _partly_clipped(display)
        if not partly.any():
            return
        found = display[partly]
        found += _looked_up(table, found)
        rows[partly] = np.rint(np.clip(found, 0, 1) * top).astype(pixels.dtype)

    for_each_stripe(frame.height, frame.width, work)
    return replace(frame, pixels=pixels)


def _looked_up(table: Floats, colours: Floats) -> Floats:
    """Values of the table at colours (n, 3), linear between the middles of its cells."""
    place = np.clip(colours * np.float32(_CELLS) - np.float32(0.5), 0, _CELLS - 1)
    first = np.minimum(place.astype(np.int64), _CELLS - 2)
    share = place - first.astype(np.float32)
    found = np.zeros_like(colours)
    for corner in np.ndindex(2, 2, 2):
        weight = np.prod(np.where(np.array(corner) == 1, share, 1 - share), axis=1)
        cell = first + np.array(corner)
        found += weight[:, None].astype(np.float32) * table[tuple(cell.T)]
    return found

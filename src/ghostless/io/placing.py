"""Laying photos of several sizes on one another before any pixel is read.

Two kinds of difference in size are meant. Programs that stitch or align crop every photo to what it
shows and say in the file where it lies (TIFF's XPosition and YPosition): these are laid on a canvas
that holds all of them. Others differ by a few pixels of their edges, as two developers of one RAW
photo do: these are cropped, about their middle, to what they share. Anything else is no bracket.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..bracket import Mask, Window

# Sides that differ by no more than this share, or these pixels, differ in their edges only.
_EDGE_SHARE: Final = 0.01
_EDGE_PIXELS: Final = 4
# A canvas of more than this many times the largest photo holds photos that have little in common.
_LARGEST_CANVAS: Final = 4.0


@dataclass(frozen=True)
class Placed:
    """A photo's name, size, and where it lies on a page, x and y in pixels; None for untold."""

    name: str
    height: int
    width: int
    place: tuple[int, int] | None = None


def nearly_one_size(first: tuple[int, int], second: tuple[int, int]) -> bool:
    """Whether two sizes (both in the same order of sides) differ by no more than their edges.

    >>> nearly_one_size((4000, 6000), (4024, 6024)), nearly_one_size((400, 600), (410, 600))
    (True, False)
    """
    return all(
        abs(a - b) <= max(_EDGE_PIXELS, int(_EDGE_SHARE * max(a, b)))
        for a, b in zip(first, second, strict=True)
    )


def windows_of(photos: Sequence[Placed]) -> tuple[list[Window | None], list[str]]:
    """Find which part of each photo belongs into the bracket; None for all of it, and notes.

    A window may reach beyond its photo, where the photo shows nothing. Photos whose sizes have
    nothing to do with each other get None, and stay as they are.
    """
    whole: list[Window | None] = [None] * len(photos)
    sizes = {(photo.height, photo.width) for photo in photos}
    canvas = _canvas(photos)
    if canvas is not None:
        left, top, width, height = canvas
        windows: list[Window | None] = []
        for photo in photos:
            x, y = photo.place or (0, 0)
            windows.append(_or_whole((left - x, top - y, width, height), photo))
        if all(window is None for window in windows):
            return whole, []
        note = f"laid on {width} x {height} pixels, each photo where its file says that it lies"
        return windows, [note]
    if len(sizes) == 1:
        return whole, []
    height, width = (min(side) for side in zip(*sizes, strict=True))
    if not all(nearly_one_size((height, width), size) for size in sizes):
        return whole, []
    windows = [
        _or_whole(((photo.width - width) // 2, (photo.height - height) // 2, width, height), photo)
        for photo in photos
    ]
    notes = [
        f"{photo.name}: cropped from {photo.width} x {photo.height} to the {width} x {height} "
        "pixels that all photos have"
        for photo, window in zip(photos, windows, strict=True)
        if window is not None
    ]
    return windows, notes


def _or_whole(window: Window, photo: Placed) -> Window | None:
    return None if window == (0, 0, photo.width, photo.height) else window


def _canvas(photos: Sequence[Placed]) -> Window | None:
    """The smallest page part that holds all photos; None where places are untold or senseless."""
    spans = []
    for photo in photos:
        if photo.place is None:
            return None
        x, y = photo.place
        spans.append((x, y, x + photo.width, y + photo.height))
    left, top = min(span[0] for span in spans), min(span[1] for span in spans)
    right, bottom = max(span[2] for span in spans), max(span[3] for span in spans)
    area = (right - left) * (bottom - top)
    if area > _LARGEST_CANVAS * max(photo.width * photo.height for photo in photos):
        return None
    shared = min(s[2] for s in spans) - max(s[0] for s in spans)
    shared_down = min(s[3] for s in spans) - max(s[1] for s in spans)
    if shared <= 0 or shared_down <= 0:
        return None
    return left, top, right - left, bottom - top


def through_window(
    pixels: NDArray[Any], opaque: Mask | None, window: Window
) -> tuple[NDArray[Any], Mask | None]:
    """The part of a picture in a window; where that reaches beyond, it is transparent."""
    left, top, width, height = window
    rows, columns = (
        slice(max(top, 0), max(top + height, 0)),
        slice(max(left, 0), max(left + width, 0)),
    )
    part = pixels[rows, columns]
    if part.shape[:2] == (height, width):
        return part, None if opaque is None else opaque[rows, columns]
    y, x = max(-top, 0), max(-left, 0)
    there = slice(y, y + part.shape[0]), slice(x, x + part.shape[1])
    whole = np.zeros((height, width, 3), pixels.dtype)
    whole[there] = part
    shown = np.zeros((height, width), np.uint8)
    shown[there] = 255 if opaque is None else opaque[rows, columns]
    return whole, shown

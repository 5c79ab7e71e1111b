"""Photos and pictures as small JPEGs, each read by a process of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ..io.read import read_frame
from ..io.regular import open_regular
from ..pixels import color
from ..pixels.reduced import reduced, size_within
from ..work.children import Failure
from ..work.pool import do_apart
from .journal import Stamp, stamp_of
from .likeness import readers

_QUALITY: Final = 80
_USUAL_PIXELS: Final = 24_000_000
# A JPEG is decoded at such a fraction of its sides as still has the pixels.
_EIGHTH_TO_HALF: Final = (
    cv2.IMREAD_REDUCED_COLOR_8,
    cv2.IMREAD_REDUCED_COLOR_4,
    cv2.IMREAD_REDUCED_COLOR_2,
)


class Thumbnails:
    """Small pictures of files, made once for each state of a file."""

    def __init__(self) -> None:
        self._made: dict[tuple[Path, int], tuple[Stamp | None, bytes]] = {}

    def of(self, sides: Mapping[Path, int]) -> dict[Path, bytes]:
        """JPEG data by file, of at most so many pixels a side; files that cannot be read lack."""
        wanted = {path: (side, stamp_of(path)) for path, side in sides.items()}
        new = [
            (path, side)
            for path, (side, stamp) in wanted.items()
            if self._made.get((path, side), (None, b""))[0] != stamp
        ]
        for place, data in do_apart(thumbnail, new, readers(_USUAL_PIXELS)):
            path, side = new[place]
            if not isinstance(data, Failure):
                self._made[path, side] = wanted[path][1], data
        return {
            path: self._made[path, side][1]
            for path, (side, _) in wanted.items()
            if (path, side) in self._made
        }


def thumbnail(path: Path, side: int) -> bytes:
    """A photo or a picture as a JPEG of at most `side` pixels a side, upright, sRGB.

    Radiance is shown with the sRGB curve, what is above 1.0 white.
    Raises FileReadError for a file that cannot be read.
    """
    cv2.setNumThreads(1)
    pixels = _reduced_jpeg(path, side)
    if pixels is None:
        frame = read_frame(path)
        unit: Any = color.to_unit(frame.pixels)
        size = size_within(unit.shape, side=side)
        shown = color.to_display(reduced(unit, size), frame.transfer)
        pixels = np.rint(255 * np.clip(shown, 0, 1)).astype(np.uint8)
    elif max(pixels.shape[:2]) > side:
        pixels = np.asarray(reduced(pixels, size_within(pixels.shape, side=side)), np.uint8)
    _, data = cv2.imencode(
        ".jpg", np.ascontiguousarray(pixels[:, :, ::-1]), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    )
    return bytes(data)


def _reduced_jpeg(path: Path, side: int) -> NDArray[np.uint8] | None:
    """A JPEG at the smallest fraction that has the pixels, RGB; None for other files."""
    with open_regular(path) as file:
        if file.read(3) != b"\xff\xd8\xff":
            return None
        file.seek(0)
        data = np.frombuffer(file.read(), np.uint8)
    for flag in _EIGHTH_TO_HALF:
        pixels = cv2.imdecode(data, flag)
        if pixels is not None and max(pixels.shape[:2]) >= side:
            return np.ascontiguousarray(pixels[:, :, ::-1], np.uint8)
    return None


def sides_of(pictures: Sequence[Path], photos: Sequence[Path], many: int) -> dict[Path, int]:
    """How large each thumbnail is, in pixels a side: smaller where there are many sets."""
    large, small = (520, 160) if many <= 200 else (360, 120)
    return {**dict.fromkeys(photos, small), **dict.fromkeys(pictures, large)}

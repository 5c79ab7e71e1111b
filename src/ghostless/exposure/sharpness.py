"""Which photos of a bracket are blurred, whatever their exposures, before any registration.

In places all over the picture the finest detail is set against the somewhat coarser one of the
same place, which the exposure scales alike; a photo that has much less of it than the others, in
places where both see, was out of focus or shaken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..bracket import Frame
from ..pixels import color

Floats = NDArray[np.float32]

_PATCH_PIXELS = 64
_MARGIN_PIXELS = 12
_PATCHES_EACH_WAY = 7
_FINE_SIGMA, _COARSE_SIGMA = 1.0, 4.0
# A place counts where this little of it is black or white and it has that much structure, in codes.
_LARGEST_LOST_SHARE = 0.05
_BLACK, _WHITE = 20.0, 245.0
_LEAST_STRUCTURE = 3.0
_FEWEST_PLACES = 4
# A place is one on what moves where this much of it does.
_LEAST_MOVING_SHARE = 0.4
_TAILS = (0.15, 0.85)


def relative_sharpness(frames: Sequence[Frame]) -> list[float]:
    """Fine detail of each frame against the sharpest other, as log2; 0 where nothing is known.

    Sharp frames of one camera lie within 0.4 of each other, noise and JPEG included; one that is
    out of focus by two pixels is some 1.7 below.
    """
    return _against_each_other(
        [_measure(frame, _spread_places(frame.height, frame.width)) for frame in frames],
        lambda ratios: float(np.median(ratios)),
    )


def sharpness_of_moving(frames: Sequence[Frame], moving: NDArray[np.bool_]) -> list[float]:
    """The same of what moves: below the frame's own `relative_sharpness` it is blurred by motion.

    A place shows a thing in one frame and what is behind it in another. Of two sharp frames each
    has as much less detail than the other where its thing is smooth as the other has elsewhere; a
    smeared thing takes detail away and gives none back.

    moving: (h, w), of the whole frame, smaller.
    """
    measured = []
    for frame in frames:
        places = _places_on(moving, frame.height, frame.width)
        measured.append(_measure(frame, places))
    return _against_each_other(measured, lambda ratios: float(np.quantile(ratios, _TAILS).sum()))


_Measured = tuple[Floats, NDArray[np.bool_]]
_Places = list[tuple[int, int]]


def _against_each_other(
    measured: Sequence[_Measured], summarise: Callable[[Floats], float]
) -> list[float]:
    """What a summary of a frame's log ratios to each other frame is at the least."""
    found = []
    for index, (detail, seen) in enumerate(measured):
        ratios = []
        for other, (its_detail, its_seen) in enumerate(measured):
            both = seen & its_seen
            if other != index and np.count_nonzero(both) >= _FEWEST_PLACES:
                ratios.append(summarise(detail[both] - its_detail[both]))
        found.append(min(ratios, default=0.0))
    return found


def _measure(frame: Frame, places: _Places) -> _Measured:
    """Log2 of fine against coarser detail at each place, and where that tells anything."""
    detail = np.zeros(len(places), np.float32)
    seen = np.zeros(len(places), np.bool_)
    for number, (row, column) in enumerate(places):
        part = (_around(row, frame.height), _around(column, frame.width))
        codes = _display_codes(frame.pixels[part], frame)
        gray = np.asarray(color.luma(codes), np.float32)
        smooth = cv2.GaussianBlur(gray, (0, 0), _FINE_SIGMA)
        fine = float(np.std(gray - smooth))
        coarse = float(np.std(smooth - cv2.GaussianBlur(smooth, (0, 0), _COARSE_SIGMA)))
        lost = np.mean((codes.max(axis=2) > _WHITE) | (codes.max(axis=2) < _BLACK))
        seen[number] = coarse > _LEAST_STRUCTURE and lost < _LARGEST_LOST_SHARE
        detail[number] = np.log2(max(fine, 1e-3) / max(coarse, 1e-3))
    return detail, seen


def _spread_places(height: int, width: int) -> _Places:
    """Top left corners of places all over a frame."""
    return [(row, column) for row in _starts(height) for column in _starts(width)]


def _places_on(moving: NDArray[np.bool_], height: int, width: int) -> _Places:
    """Top left corners of places, at most as many, that lie on what moves for the most part."""
    rows, columns = (
        max(1, round(_PATCH_PIXELS * size / side))
        for size, side in zip(moving.shape, (height, width), strict=True)
    )
    share = cv2.blur(moving.astype(np.float32), (columns, rows), borderType=cv2.BORDER_CONSTANT)
    # Places that overlap by half at most.
    cells = share[:: max(1, rows // 2), :: max(1, columns // 2)]
    chosen = np.argwhere(cells > _LEAST_MOVING_SHARE)
    chosen = chosen[:: max(1, -(-len(chosen) // _PATCHES_EACH_WAY**2))]
    scale = np.array([height / moving.shape[0], width / moving.shape[1]])
    centres = chosen * [max(1, rows // 2), max(1, columns // 2)] * scale
    last = np.maximum([height - _PATCH_PIXELS, width - _PATCH_PIXELS], 0)
    corners = np.clip(np.rint(centres - _PATCH_PIXELS / 2), 0, last)
    return [(int(row), int(column)) for row, column in corners]


def _starts(side: int) -> list[int]:
    """Where patches begin along a side, evenly spread and never overlapping."""
    count = max(1, min(_PATCHES_EACH_WAY, side // _PATCH_PIXELS))
    return [int(start) for start in np.linspace(0, max(side - _PATCH_PIXELS, 0), count)]


def _around(start: int, side: int) -> slice:
    return slice(max(start - _MARGIN_PIXELS, 0), min(start + _PATCH_PIXELS + _MARGIN_PIXELS, side))


def _display_codes(pixels: NDArray[Any], frame: Frame) -> Floats:
    codes = color.to_display(np.ascontiguousarray(pixels), frame.transfer) * np.float32(255)
    return np.asarray(np.nan_to_num(codes, nan=0.0, posinf=255.0, neginf=0.0))

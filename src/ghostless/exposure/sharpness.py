"""Which photos of a bracket are blurred, whatever their exposures, before any registration.

In places all over the picture the finest detail is set against the somewhat coarser one of the
same place, which the exposure scales alike; a photo that has much less of it than the others, in
places where both see, was out of focus or shaken.
"""

from __future__ import annotations

from collections.abc import Sequence
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


def relative_sharpness(frames: Sequence[Frame]) -> list[float]:
    """Fine detail of each frame against the sharpest other, as log2; 0 where nothing is known.

    Sharp frames of one camera lie within 0.4 of each other, noise and JPEG included; one that is
    out of focus by two pixels is some 1.7 below.
    """
    measured = [_measure(frame) for frame in frames]
    found = []
    for index, (detail, seen) in enumerate(measured):
        ratios = []
        for other, (its_detail, its_seen) in enumerate(measured):
            both = seen & its_seen
            if other != index and np.count_nonzero(both) >= _FEWEST_PLACES:
                ratios.append(float(np.median(detail[both] - its_detail[both])))
        found.append(min(ratios, default=0.0))
    return found


def _measure(frame: Frame) -> tuple[Floats, NDArray[np.bool_]]:
    """Log2 of fine against coarser detail at each place, and where that tells anything."""
    rows, columns = _starts(frame.height), _starts(frame.width)
    detail = np.zeros((len(rows), len(columns)), np.float32)
    seen = np.zeros(detail.shape, np.bool_)
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            part = (_around(row, frame.height), _around(column, frame.width))
            codes = _display_codes(frame.pixels[part], frame)
            gray = np.asarray(color.luma(codes), np.float32)
            smooth = cv2.GaussianBlur(gray, (0, 0), _FINE_SIGMA)
            fine = float(np.std(gray - smooth))
            coarse = float(np.std(smooth - cv2.GaussianBlur(smooth, (0, 0), _COARSE_SIGMA)))
            lost = np.mean((codes.max(axis=2) > _WHITE) | (codes.max(axis=2) < _BLACK))
            seen[i, j] = coarse > _LEAST_STRUCTURE and lost < _LARGEST_LOST_SHARE
            detail[i, j] = np.log2(max(fine, 1e-3) / max(coarse, 1e-3))
    return detail, seen


def _starts(side: int) -> list[int]:
    """Where patches begin along a side, evenly spread and never overlapping."""
    count = max(1, min(_PATCHES_EACH_WAY, side // _PATCH_PIXELS))
    return [int(start) for start in np.linspace(0, max(side - _PATCH_PIXELS, 0), count)]


def _around(start: int, side: int) -> slice:
    return slice(max(start - _MARGIN_PIXELS, 0), min(start + _PATCH_PIXELS + _MARGIN_PIXELS, side))


def _display_codes(pixels: NDArray[Any], frame: Frame) -> Floats:
    codes = color.to_display(np.ascontiguousarray(pixels), frame.transfer) * np.float32(255)
    return np.asarray(np.nan_to_num(codes, nan=0.0, posinf=255.0, neginf=0.0))

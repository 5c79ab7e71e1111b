"""Gaussian and Laplacian pyramids (Burt and Adelson 1983), whole or in stripes of rows.

Pictures that go all the way round (`wraps`) have no border at their sides: what lies beyond is
taken from the other side. A level of odd width counts as one column wider then, which lies between
the last and the first and is their mean, so that the next level has an even number of steps round.

The kernel is [1 4 6 4 1] / 16 in both directions. Reducing mirrors the border with the edge pixel
repeated; expanding repeats the edge sample. This is the form of the exposure fusion paper's own
program; OpenCV's default border (mirrored without the edge) differs near the edge.

All arrays are float32 of shape (H, W) or (H, W, C). A level of (H, W) is followed by one of
(ceil(H / 2), ceil(W / 2)). The `_rows` functions give stripes of exactly what the whole-image
functions give.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .seam import with_margins

Plane = NDArray[np.float32]


def level_count(height: int, width: int) -> int:
    """Return the depth at which the coarsest level is one or two pixels from vanishing.

    floor(log2(shorter side)), at least 1, as in Mertens et al. 2007: as many levels as the image
    has, for with fewer the coarsest one is blended pixel by pixel, which shows as halos.

    >>> level_count(4000, 6000), level_count(7, 5), level_count(1, 1)
    (11, 2, 1)
    """
    return max(1, min(height, width).bit_length() - 1)


def full_level_count(height: int, width: int) -> int:
    """Return the depth at which the coarsest level is a single pixel.

    >>> full_level_count(4, 5), full_level_count(1, 1)
    (4, 1)
    """
    return (max(height, width) - 1).bit_length() + 1


def half(size: int) -> int:
    """Return the side of the next level."""
    return (size + 1) // 2


def reduce(image: Plane, wraps: bool = False) -> Plane:
    """Blur and drop every second row and column: (H, W[, C]) to (ceil(H/2), ceil(W/2)[, C])."""
    if wraps:
        small = cv2.pyrDown(_round_the_seam(image), borderType=cv2.BORDER_REFLECT)
        return np.asarray(small[:, 1 : 1 + half(image.shape[1])])
    return np.asarray(cv2.pyrDown(image, borderType=cv2.BORDER_REFLECT))


def _round_the_seam(image: Plane) -> Plane:
    """An image of even width with two columns more on both sides, from beyond the seam."""
    if image.shape[1] % 2:
        between = (image[:, :1] + image[:, -1:]) * np.float32(0.5)
        image = np.concatenate([image, between], axis=1)
    return with_margins(image, 2)


def source_rows(start: int, stop: int, height: int) -> tuple[int, int]:
    """Return the rows of an image of `height` that rows start..stop of its reduction need."""
    return max(0, 2 * start - 2), min(height, 2 * stop + 1)


def reduce_rows(source: Plane, first: int, start: int, stop: int, wraps: bool = False) -> Plane:
    """Rows start..stop of `reduce(image)`, from `source`, the rows `source_rows` asks for.
    (h, w) to (stop - start, ceil(w/2)).

    first: the number of source's first row in the image.
    """
    skip = start - first // 2
    return reduce(source, wraps)[skip : skip + stop - start]


def expand_rows(coarse: Plane, start: int, stop: int, width: int, wraps: bool = False) -> Plane:
    """Rows start..stop of `expand(coarse, (height, width))`, for an even start.

    (h, w) to (stop - start, width).
    """
    wanted_first, wanted_stop = start // 2 - 1, half(stop) + 1
    first, last = max(0, wanted_first), min(coarse.shape[0], wanted_stop)
    rows, sides = coarse[first:last], 1
    if wraps:
        rows, sides = np.concatenate([rows[:, -1:], rows, rows[:, :1]], axis=1), 0
    above, below = first - wanted_first, wanted_stop - last
    padded = cv2.copyMakeBorder(rows, above, below, sides, sides, cv2.BORDER_REPLICATE)
    return np.asarray(cv2.pyrUp(padded)[2 : 2 + stop - start, 2 : 2 + width])


def expand(coarse: Plane, size: tuple[int, int], wraps: bool = False) -> Plane:
    """Interpolate to twice the size: (ceil(H/2), ceil(W/2)[, C]) to size (H, W)[, C]."""
    return expand_rows(coarse, 0, size[0], size[1], wraps)

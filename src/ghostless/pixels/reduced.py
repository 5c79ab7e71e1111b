"""Pictures made smaller by means of areas.

Pixel centres keep their place: x + 0.5 = (x_small + 0.5) * scale, along both sides.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Size = tuple[int, int]


def size_within(
    shape: tuple[int, ...], *, pixels: float = math.inf, side: float = math.inf
) -> Size:
    """Height and width of a picture of a shape (H, W, ...), reduced but never enlarged.

    pixels: about so many at most. side: the longer one, at most.

    >>> size_within((200, 300, 3), pixels=15_000), size_within((200, 300), side=30)
    ((100, 150), (20, 30))
    """
    height, width = shape[:2]
    scale = max(1.0, math.sqrt(height * width / pixels), max(height, width) / side)
    return max(1, round(height / scale)), max(1, round(width / scale))


def reduced(picture: NDArray[Any], size: Size) -> NDArray[Any]:
    """A picture (H, W) or (H, W, C), up to four channels, at a size (height, width).

    The picture itself where it has this size.
    """
    if picture.shape[:2] == size:
        return picture
    small = cv2.resize(picture, size[::-1], interpolation=cv2.INTER_AREA)
    return np.asarray(small).reshape(*size, *picture.shape[2:])

"""A picture as a small PNG, for notebooks."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from . import color
from .reduced import reduced, size_within

_LONGEST_SIDE = 640


def png_thumbnail(
    pixels: NDArray[np.float32],
    transfer: color.Transfer,
    opaque: NDArray[np.uint8] | None = None,
    side: int = _LONGEST_SIDE,
) -> bytes:
    """Reduce RGB pixels (H, W, 3), float32, to at most `side` pixels a side; return a PNG.

    Linear pixels are shown with the sRGB curve, what is above 1.0 white. opaque: (H, W) uint8, 0
    where the picture is transparent.
    """
    size = size_within(pixels.shape, side=side)
    codes = np.rint(255 * color.to_display(reduced(pixels, size), transfer)).astype(np.uint8)
    planes = [codes[:, :, ::-1]]
    if opaque is not None:
        planes.append(reduced(opaque, size)[:, :, None])
    _, data = cv2.imencode(".png", np.ascontiguousarray(np.concatenate(planes, axis=2)))
    return bytes(data)

"""What a result loses at the ends of its range that a source shows."""

from __future__ import annotations

import numpy as np

from .images import Images, greys

# Levels of 255: what looks black or white, and what a source must show to be missed there.
_BLACK, _SHOWN_IN_SHADOW = 3, 20
_WHITE, _SHOWN_IN_LIGHT = 252, 235


def crushed(images: Images) -> float:
    """Percent of the pixels that are black, though some source shows something there."""
    sources, fused = greys(images)
    brightest = np.maximum.reduce(sources)
    return 100 * float(np.mean((fused <= _BLACK) & (brightest >= _SHOWN_IN_SHADOW)))


def blown(images: Images) -> float:
    """Percent of the pixels that are white, though some source shows something there."""
    sources, fused = greys(images)
    darkest = np.minimum.reduce(sources)
    return 100 * float(np.mean((fused >= _WHITE) & (darkest <= _SHOWN_IN_LIGHT)))

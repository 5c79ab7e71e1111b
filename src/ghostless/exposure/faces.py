"""Where faces are in a small copy of a photo, if the OpenCV that is installed can tell.

OpenCV 4 brings a detector with its weights (Viola and Jones, CVPR 2001); OpenCV 5 has left it out,
and Ghostless ships none: there, nobody's face is found, and what moves is all that is known.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Box = tuple[int, int, int, int]

# How often a place must be found, at shifts and sizes close by, to be a face.
_LEAST_VOTES = 6
_SMALLEST_SHARE = 0.06


def faces_in(display: NDArray[np.float32]) -> list[Box]:
    """Boxes (left, top, width, height) of upright faces seen from the front, in pixels.

    display: (H, W, 3), codes 0..255, a few hundred pixels wide. Empty where none can be looked for.
    """
    detector = _detector()
    if detector is None:
        return []
    grey = cv2.cvtColor(np.clip(display, 0, 255).astype(np.uint8), cv2.COLOR_RGB2GRAY)
    least = max(20, int(_SMALLEST_SHARE * max(grey.shape)))
    # Dark photos are looked at as bright ones.
    found = detector.detectMultiScale(
        cv2.equalizeHist(grey), scaleFactor=1.1, minNeighbors=_LEAST_VOTES, minSize=(least, least)
    )
    return [(int(x), int(y), int(w), int(h)) for x, y, w, h in found]


@cache
def _detector() -> Any:
    """OpenCV's detector of faces; None where there is none."""
    if not hasattr(cv2, "CascadeClassifier"):
        return None
    folder: Any = getattr(cv2, "data", None)
    file = Path(getattr(folder, "haarcascades", "")) / "haarcascade_frontalface_default.xml"
    detector = cv2.CascadeClassifier(str(file)) if file.is_file() else None
    return None if detector is None or detector.empty() else detector

"""Finding what moved by a small network, which OpenCV runs; no torch is needed.

How it was trained stands in train/agreement.py, what it is built as in nn/agreement.py; what it is
given in evidence.py.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from .evidence import Flags, evidence
from .mapping import Codes

NETWORK_FILE = Path(__file__).resolve().parents[1] / "weights" / "agreement.onnx"

_SIZE_MULTIPLE = 16
# Larger pictures are looked at smaller.
_MOST_PIXELS = 1_000_000
# Chance of having moved that starts a region, and down to which a region grows.
_START = 0.7
_GROW = 0.35
_SMALLEST_START_PIXELS = 12
_CLOSE_PIXELS = 3
# A chance that is enough between parts of a region: things of one colour agree with themselves.
_BETWEEN = 0.2
_BETWEEN_PIXELS = 30
_MARGIN_PIXELS = 1


class AgreementNetwork:
    """The network, read from its file; one per thread, for OpenCV keeps its state in it."""

    def __init__(self, file: Path = NETWORK_FILE) -> None:
        self._network = cv2.dnn.readNetFromONNX(np.fromfile(file, np.uint8))

    def moved(self, reference: Codes, frame: Codes, usable: Flags) -> NDArray[np.float32]:
        """Chance that a frame shows another thing than its reference does, (H, W), 0..1.

        reference, frame: registered, (H, W, 3), 0..255. usable: (H, W); 0 elsewhere.
        """
        size = usable.shape
        scale = (_MOST_PIXELS / (size[0] * size[1])) ** 0.5
        if scale < 1:
            small = (max(1, round(size[1] * scale)), max(1, round(size[0] * scale)))
            reference, frame = (
                np.asarray(cv2.resize(codes, small, interpolation=cv2.INTER_AREA), np.float32)
                for codes in (reference, frame)
            )
            inside = cv2.resize(usable.astype(np.uint8), small, interpolation=cv2.INTER_AREA)
            chance = cv2.resize(self._judge(reference, frame, inside > 0), size[::-1])
        else:
            chance = self._judge(reference, frame, usable)
        return np.asarray(chance * usable, np.float32)

    def _judge(self, reference: Codes, frame: Codes, usable: Flags) -> NDArray[np.float32]:
        seen = evidence(reference, frame, usable)
        height, width = usable.shape
        padding = ((0, 0), (0, -height % _SIZE_MULTIPLE), (0, -width % _SIZE_MULTIPLE))
        self._network.setInput(np.pad(seen, padding, mode="edge")[None])
        logits = self._network.forward()[0, 0, :height, :width]
        return np.asarray(1 / (1 + np.exp(-logits)), np.float32)


def regions(chance: NDArray[np.float32], sensitivity: float = 1.0) -> Flags:
    """Turn chances of having moved (H, W) into whole regions to replace, bool (H, W).

    What has very likely moved starts a region, what may have and touches it belongs to it, and what
    might have and lies between its parts; gaps are closed and a narrow margin added for soft edges.
    sensitivity: factor of the odds.
    """
    odds = chance / np.maximum(1 - chance, np.float32(1e-6)) * np.float32(sensitivity)
    low = (odds > _GROW / (1 - _GROW)).astype(np.uint8)
    if not low.any():
        return low.astype(np.bool_)
    strong = odds > _START / (1 - _START)
    count, labels = cv2.connectedComponents(low, connectivity=8)
    keep = np.bincount(labels[strong], minlength=count) >= _SMALLEST_START_PIXELS
    keep[0] = False
    mask = keep[labels].astype(np.uint8)
    mask |= _closed(mask, _BETWEEN_PIXELS) & (odds > _BETWEEN / (1 - _BETWEEN)).astype(np.uint8)
    border = 2 * _CLOSE_PIXELS
    padded = cv2.copyMakeBorder(mask, border, border, border, border, cv2.BORDER_REPLICATE)
    padded = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, _disc(_CLOSE_PIXELS))
    padded = cv2.dilate(padded, _disc(_MARGIN_PIXELS))
    return padded[border:-border, border:-border].astype(np.bool_)


def _closed(mask: NDArray[np.uint8], radius: int) -> NDArray[np.uint8]:
    """A mask, 0 or 1, with gaps of up to twice the radius closed, in a time that does not grow."""
    if not mask.any():
        return mask
    padded = cv2.copyMakeBorder(mask, *(radius + 1,) * 4, cv2.BORDER_CONSTANT, value=0)
    away = cv2.distanceTransform(1 - padded, cv2.DIST_L2, cv2.DIST_MASK_5)
    wide = (away <= radius).astype(np.uint8)
    inside = cv2.distanceTransform(wide, cv2.DIST_L2, cv2.DIST_MASK_5)
    closed = (inside > radius).astype(np.uint8)[radius + 1 : -radius - 1, radius + 1 : -radius - 1]
    return np.asarray(closed | mask)


def _disc(radius: int) -> NDArray[np.uint8]:
    side = 2 * radius + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))

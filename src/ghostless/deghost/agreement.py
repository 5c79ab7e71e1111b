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

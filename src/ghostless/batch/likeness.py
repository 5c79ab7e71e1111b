"""Whether two photos show one scene, whatever their exposures are: by small copies of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ..bracket import Frame, Metadata, Pixels
from ..exposure.estimate import compare_exposures
from ..io.decode import turn
from ..io.read import ReadSettings, read_frame
from ..io.regular import open_regular
from ..pixels.likeness import likeness
from ..pixels.stripes import core_count
from ..work.memory import available_bytes
from .order import Evidence

# A copy for estimating exposures keeps enough pixels for quantiles.
_COPY_PIXELS: Final = 20_000
# What a process takes that reads a photo: the libraries, and for each pixel (RAW takes most).
_BASE_BYTES: Final = 150_000_000
_BYTES_PER_PIXEL: Final = 24.0
_MEMORY_SHARE: Final = 0.7


def readers(largest_pixels: int) -> int:
    """How many photos may be read at a time, by cores and memory."""
    each = _BASE_BYTES + _BYTES_PER_PIXEL * largest_pixels
    return max(1, min(core_count(), int(_MEMORY_SHARE * available_bytes() / each)))


def bare_copy(path: Path, settings: ReadSettings | None) -> Frame:
    """A small copy without its metadata, to be sent from one process to another."""
    cv2.setNumThreads(1)
    return replace(small_copy(path, settings), metadata=Metadata())


def small_copy(path: Path, settings: ReadSettings | None = None) -> Frame:
    """Read a photo and reduce it to some 20,000 pixels, upright, in its own coding.

    JPEG is decoded at an eighth of its size, which takes a fraction of the time.
    Raises FileReadError for a file that cannot be read.
    """
    pixels = _eighth_of_jpeg(path)
    if pixels is not None:
        frame = Frame(pixels, path=path)
    else:
        frame = read_frame(path, settings or ReadSettings())
    scale = (_COPY_PIXELS / (frame.width * frame.height)) ** 0.5
    if scale >= 1:
        return frame
    size = max(1, round(frame.width * scale)), max(1, round(frame.height * scale))
    reduced: Pixels = cv2.resize(frame.pixels, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    return Frame(reduced, frame.transfer, path=path, metadata=frame.metadata)


def _eighth_of_jpeg(path: Path) -> NDArray[np.uint8] | None:
    """A JPEG at an eighth of its sides, upright, RGB; None for other files and small ones."""
    if path.suffix.lower() not in (".jpg", ".jpeg"):
        return None
    try:
        with open_regular(path) as file:
            # Whatever the name says; other formats would be decoded whole.
            if file.read(3) != b"\xff\xd8\xff":
                return None
            file.seek(0)
            data = np.frombuffer(file.read(), np.uint8)
    except OSError:
        return None  # read_frame says why
    pixels = cv2.imdecode(data, cv2.IMREAD_REDUCED_COLOR_8) if data.size else None
    if pixels is None or pixels.shape[0] * pixels.shape[1] < _COPY_PIXELS:
        return None
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)


def compare(first: Frame, second: Frame) -> Evidence:
    """Compare two small copies: whether they show one scene, and the second's stops against it.

    What their orientation tags say may be wrong (`io.turns`): the second is taken the way round
    that is more like the first.
    """
    alike, second = _way_round(first, second)
    if alike is None or first.pixels.shape != second.pixels.shape:
        return Evidence(alike)
    return Evidence(alike, *compare_exposures(first, second))


def _way_round(first: Frame, second: Frame) -> tuple[float | None, Frame]:
    """Likeness of the second photo as it is or turned, whichever is more like the first, and it."""
    turned = (first.height >= first.width) != (second.height >= second.width)
    best: tuple[float | None, Frame] = (None, second)
    # Orientations as the Exif tag counts them; mirrored ones only where a plain one cannot be.
    for orientation in (6, 8, 5, 7) if turned else (1, 3):
        pixels: Any = np.ascontiguousarray(turn(second.pixels, orientation))
        shown = replace(second, pixels=pixels)
        alike = likeness(first, shown)
        if alike is not None and (best[0] is None or alike > best[0]):
            best = alike, shown
    return best

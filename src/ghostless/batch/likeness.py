"""Whether two photos show one scene, whatever their exposures are: by small copies of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ..bracket import Frame, Metadata, Pixels
from ..color import LUMA_601, to_display
from ..exposure import compare_exposures
from ..io.read import ReadSettings, read_frame
from ..memory import available_bytes
from ..regular import open_regular
from ..stripes import core_count
from .grouping import Evidence

# Small enough that the camera's shake is gone, large enough to tell rooms apart.
_SHORT_SIDE_PIXELS: Final = 24
# A copy for estimating exposures keeps enough pixels for quantiles.
_COPY_PIXELS: Final = 20_000
# Where a picture is nearly all black or white, less than this share of the order is left in it, and
# what that says is chance.
_TOO_LITTLE: Final = 0.25
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

    The order of the pixels by brightness is the same in all exposures of a scene, but for ties
    where one clips. Likeness is the rank correlation of the two (Spearman, ties at their mean
    rank), as a share of what the same two histograms reach at best.
    """
    likeness = _likeness(first, second)
    if likeness is None or first.pixels.shape != second.pixels.shape:
        return Evidence(likeness)
    return Evidence(likeness, *compare_exposures(first, second))


def _likeness(first: Frame, second: Frame) -> float | None:
    if (first.height >= first.width) != (second.height >= second.width):
        return 0.0
    a, b = _ranks(first), _ranks(second)
    if a.shape != b.shape:
        return 0.0
    best = _correlation(np.sort(a, axis=None), np.sort(b, axis=None))
    return None if best < _TOO_LITTLE else _correlation(a, b) / best


def _ranks(frame: Frame) -> NDArray[np.float64]:
    """Every pixel's place in the order of brightness, (h, w), ties at their mean, mean 0."""
    luma = to_display(frame.pixels, frame.transfer) @ LUMA_601
    scale = _SHORT_SIDE_PIXELS / min(luma.shape)
    if scale < 1:
        size = max(1, round(luma.shape[1] * scale)), max(1, round(luma.shape[0] * scale))
        luma = cv2.resize(np.nan_to_num(luma), size, interpolation=cv2.INTER_AREA)
    codes = np.rint(luma * 255)
    _, inverse, counts = np.unique(codes, return_inverse=True, return_counts=True)
    mean_ranks = np.cumsum(counts) - (counts + 1) / 2
    ranks = mean_ranks[inverse.reshape(-1)].reshape(codes.shape)
    return np.asarray(ranks - ranks.mean())


def _correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Correlation of two pictures of ranks; 0 where one has next to none but ties."""
    lengths = float(np.linalg.norm(a)), float(np.linalg.norm(b))
    without_ties = np.sqrt(a.size * (a.size**2 - 1) / 12)
    if min(lengths) <= _TOO_LITTLE * without_ties:
        return 0.0
    return float((a * b).sum() / (lengths[0] * lengths[1]))

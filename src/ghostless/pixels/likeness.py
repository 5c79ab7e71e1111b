"""Whether two pictures show one scene, and which way round, whatever their exposures are."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ..bracket import Frame
from .color import LUMA_601, to_display

# Small enough that the camera's shake is gone, large enough to tell rooms apart.
SHORT_SIDE_PIXELS: Final = 24
# Where a picture is nearly all black or white, less than this share of the order is left in it, and
# what that says is chance.
_TOO_LITTLE: Final = 0.25
# A photo is a stranger that is less like each of the others than the one, while two of them are as
# much alike as the other. Photos of one scene in the hand have 0.85 and more; of two scenes 95 in
# 100 have less than 0.5.
_STRANGE: Final = 0.6
_ALIKE: Final = 0.76


def likeness(first: Frame, second: Frame, short_side: int = SHORT_SIDE_PIXELS) -> float | None:
    """Tell how alike two pictures are: near 1 for one scene, near 0 for two, None if untold.

    The order of the pixels by brightness is the same in all exposures of a scene, but for ties
    where one clips. Likeness is the rank correlation of the two (Spearman, ties at their mean
    rank) on copies of a short side of so many pixels, as a share of what the same two histograms
    reach at best. It is 0 for pictures of different shapes, and None where one of the two is so
    nearly black or white that its order says nothing.
    """
    if (first.height >= first.width) != (second.height >= second.width):
        return 0.0
    return _likeness(_ranks(first, short_side), _ranks(second, short_side))


def _likeness(a: NDArray[np.float64], b: NDArray[np.float64]) -> float | None:
    """Likeness of two pictures by the order of their pixels."""
    if a.shape != b.shape:
        return 0.0
    best = _correlation(np.sort(a, axis=None), np.sort(b, axis=None))
    return None if best < _TOO_LITTLE else _correlation(a, b) / best


def strangers(frames: Sequence[Frame]) -> set[int]:
    """Find the photos of a bracket that show something else than the others, by their index.

    frames: of one size; small copies, some hundred pixels wide, are enough. Of two photos nobody
        can tell which one is wrong; one that is too dark or too bright to be compared is none.
    """
    ranks = [_ranks(frame, SHORT_SIDE_PIXELS) for frame in frames]
    alike = {(i, j): _likeness(ranks[i], ranks[j]) for i, j in combinations(range(len(frames)), 2)}
    found = set()
    for index in range(len(frames)):
        own = [value for pair, value in alike.items() if index in pair and value is not None]
        others = [value for pair, value in alike.items() if index not in pair and value is not None]
        if own and max(own) < _STRANGE and max(others, default=0.0) > _ALIKE:
            found.add(index)
    return found


def _ranks(frame: Frame, short_side: int) -> NDArray[np.float64]:
    """Every pixel's place in the order of brightness, (h, w), ties at their mean, mean 0."""
    luma = to_display(frame.pixels, frame.transfer) @ LUMA_601
    scale = short_side / min(luma.shape)
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

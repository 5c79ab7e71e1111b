"""Pictures that go all the way round: their right edge is their left one's neighbour.

What works on a neighbourhood sees across the seam once a picture is unrolled: its left part is
repeated at the right. Folding it up again takes what was made of that part from the right, where it
lies in the middle of its surroundings, and fades over to what was made of it on the left far from
both ends. So nothing changes at the seam that would not change anywhere else.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_OVERLAP_SHARE = 0.3
_LEAST_OVERLAP_PIXELS = 128


def overlap_of(width: int) -> int:
    """How many columns are repeated in a picture of so many; all of a narrow one."""
    return min(width, max(_LEAST_OVERLAP_PIXELS, round(width * _OVERLAP_SHARE)))


def unrolled(picture: NDArray[Any]) -> NDArray[Any]:
    """A picture (H, W[, C]) with its left part repeated at the right."""
    return np.concatenate([picture, picture[:, : overlap_of(picture.shape[1])]], axis=1)


def folded(picture: NDArray[Any], width: int) -> NDArray[Any]:
    """An unrolled picture at its own width again; of flags, the nearer of the two is taken.

    (H, W, ...) to (H, width, ...).
    """
    extra = picture.shape[1] - width
    out = picture[:, :width].copy()
    # 0 in the outer quarter on the left: there all is taken from the right.
    share = np.clip((np.arange(extra, dtype=np.float32) + 0.5) / (extra / 2) - 0.5, 0, 1)
    left, right = picture[:, :extra], picture[:, width:]
    if picture.dtype == np.bool_:
        out[:, :extra] = np.where(share > 0.5, left, right)
        return out
    share = share.reshape(1, -1, *(1,) * (picture.ndim - 2))
    mixed = left * share + right * (1 - share)
    if picture.dtype.kind == "u":
        mixed = np.rint(mixed)
    out[:, :extra] = mixed.astype(picture.dtype)
    return out


def with_margins(picture: NDArray[Any], columns: int) -> NDArray[Any]:
    """A picture (H, W[, C]) with columns from beyond the seam on both sides."""
    width = picture.shape[1]
    if columns <= width:
        return np.concatenate(
            [picture[:, width - columns :], picture, picture[:, :columns]], axis=1
        )
    places = np.arange(-columns, width + columns) % width
    return np.asarray(np.take(picture, places, axis=1))

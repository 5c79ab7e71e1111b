"""Luma from 0 to 1 in the range that PMGI and SDNet work in, -1 to 1, and back.

Their authors' programs make luma by the formulas of studio video (Rec. ITU-R BT.601 in 8 bits,
black at 16, white at 235), so that weights which they trained know only -0.87 to 0.84.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor

Levels = Literal["full", "studio"]

_BLACK, _RANGE = 16 / 255, 219 / 255


def to_signed(luma: Tensor, levels: Levels) -> Tensor:
    """Luma 0..1, any shape, as a network of those levels sees it, within -1..1."""
    if levels == "studio":
        luma = luma * _RANGE + _BLACK
    return luma * 2 - 1


def from_signed(luma: Tensor, levels: Levels) -> Tensor:
    """What `to_signed` made of a luma, undone; not clipped."""
    luma = (luma + 1) / 2
    if levels == "studio":
        luma = (luma - _BLACK) / _RANGE
    return luma

"""What attention on a pair of frames is taught and judged by: what changed, at equal brightness.

Chen & Chuang say that their attention suppresses what is misaligned or has moved. A network learns
sooner to weigh by brightness alone, and in the mean that looks alike: what moves is seldom as
bright as what lies around it. So changed areas are compared with unchanged ones of the same
brightness.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ...nn.ycbcr import luma

BINS = 16
# A level counts if so many pixels of it have not changed.
_LEAST_PIXELS = 16
_LARGEST_WEIGHT = 10.0


@dataclass(frozen=True)
class Suppression:
    """How attention treats what changed beside what did not, over levels of equal brightness.

    on_changed: mean attention on changed pixels. on_unchanged: on unchanged ones, whose levels are
    weighed as the changed pixels have them. pixels: changed ones that have their like.
    """

    on_changed: float
    on_unchanged: float
    pixels: float

    @property
    def ratio(self) -> float:
        """Attention on what changed by that on what did not; NaN where nothing changed."""
        return self.on_changed / self.on_unchanged if self.on_unchanged else float("nan")


def suppression(attention: Tensor, brightness: Tensor, change: Tensor) -> Suppression:
    """Judge an attention map, all (B, 1, H, W), 0..1.

    brightness: of the frame that attention is on, as it is. change: how surely it changed there.
    """
    level = (brightness * BINS).long().clamp(0, BINS - 1).flatten()
    moved, still, weights = change.flatten(), (1 - change).flatten(), attention.flatten()
    per_level = torch.zeros(4, BINS, dtype=torch.float64, device=level.device)
    for row, values in enumerate((moved, still, moved * weights, still * weights)):
        per_level[row].scatter_add_(0, level, values.double())
    known = per_level[1] >= _LEAST_PIXELS
    count, rest, on_moved, on_still = per_level[:, known]
    pixels = float(count.sum())
    if not pixels:
        return Suppression(0.0, 0.0, 0.0)
    like = float((count * on_still / rest).sum())
    return Suppression(float(on_moved.sum()) / pixels, like / pixels, pixels)


def joined(found: list[Suppression]) -> Suppression:
    """Of several pairs together, by their changed pixels."""
    pixels = sum(each.pixels for each in found)
    if not pixels:
        return Suppression(0.0, 0.0, 0.0)
    on_changed = sum(each.on_changed * each.pixels for each in found) / pixels
    on_unchanged = sum(each.on_unchanged * each.pixels for each in found) / pixels
    return Suppression(on_changed, on_unchanged, pixels)


def attention_loss(attention: Tensor, over: Tensor, change: Tensor) -> Tensor:
    """Cross entropy of attention (B, 1, H, W) to what has not changed.

    Changed pixels weigh as much as the unchanged ones of their brightness, so that brightness alone
    says nothing. over: (B, 3, H, W), 0..1.
    """
    level = (luma(over) * BINS).long().clamp(0, BINS - 1).flatten()
    with torch.no_grad():
        moved = change.new_zeros(BINS).scatter_add_(0, level, change.flatten())
        still = change.new_zeros(BINS).scatter_add_(0, level, 1 - change.flatten())
        balance = (still / moved.clamp_min(1)).clamp(1 / _LARGEST_WEIGHT, _LARGEST_WEIGHT)
        weight = change * balance[level].view_as(change) + 1 - change
    attention = attention.clamp(1e-5, 1 - 1e-5)
    entropy = F.binary_cross_entropy(attention, 1 - change, weight, reduction="sum")
    return entropy / weight.sum()


def filling_loss(instead: Tensor, still: Tensor, change: Tensor) -> Tensor:
    """Mean absolute error of what is put in place of the over-exposed frame, most of it where that
    changed. (B, 3, H, W), 0..1, change (B, 1, H, W)."""
    weight = change + 0.1
    return ((instead - still).abs() * weight).mean() / weight.mean()

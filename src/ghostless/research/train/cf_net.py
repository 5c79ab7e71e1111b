"""Training CF-Net (methods/cf_net.py).

Presets "paper" and "program": its own width, 1 - SSIM of what the first block of each branch makes
to its own frame and of what all coupled ones make to the reference, patches of 128 pixels in
batches of 4, a thousand epochs with a rate that halves every two hundred. The published file has
1e-6 at the start, which is that of going on from trained weights; 1e-4 here. How many patches an
epoch has is not said; a thousand batches are taken for one. SSIM looks through the window of 11
pixels that all recipes have, theirs through one of 7.
Preset "default": half the width, four groups for six, mean absolute errors beside SSIM, shorter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...methods.cf_net import NETWORK, CfNet, CfNetArchitecture, reduced
from .losses import ssim
from .pairs import draw_pairs, validate_pairs
from .recipe import (
    Batch,
    Losses,
    Moment,
    Phase,
    Player,
    Recipe,
    Table,
    check_patch,
    schedule_of,
    switched,
)

_EPOCHS, _STEPS_PER_EPOCH, _EPOCHS_PER_HALVING = 1000, 1000, 200

# Pictures of both branches, block after block.
Pictures = list[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class CfNetRecipe(Recipe):
    """Numbers of a CF-Net training.

    absolute_weight: of mean absolute errors beside 1 - SSIM. halving: steps after which the rate
        halves, in place of `schedule`; 0 for none.
    """

    steps: int = 20_000
    batch: int = 4
    patch_pixels: int = 128
    absolute_weight: float = 1.0
    halving: int = 0
    architecture: Mapping[str, Any] = field(default_factory=dict)


_PAPER = CfNetRecipe(
    preset="paper",
    steps=_EPOCHS * _STEPS_PER_EPOCH,
    rate=1e-4,
    ema_decay=0.0,
    absolute_weight=0.0,
    halving=_EPOCHS_PER_HALVING * _STEPS_PER_EPOCH,
    architecture={"channels": 64, "groups": 6},
)
PRESETS: Mapping[str, CfNetRecipe] = {
    "paper": _PAPER,
    "program": replace(_PAPER, preset="program"),
    "default": CfNetRecipe(),
}


class _Learning(nn.Module):
    """The network, giving the pictures of all its blocks."""

    def __init__(self, network: CfNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, *, over: Tensor, under: Tensor) -> Pictures:
        scale = self.network.architecture.scale
        frames = (reduced(frame, scale) * 2 - 1 for frame in (over, under))
        return [(o / 2 + 0.5, u / 2 + 0.5) for o, u in self.network.pictures(*frames)]


class _Learner:
    """What the network learns from, and how it fuses."""

    def __init__(self, recipe: CfNetRecipe) -> None:
        self.recipe = recipe

    def losses(self, table: Table, batch: Batch) -> Losses:
        pictures: Pictures = table.run("generator", over=batch["over"], under=batch["under"])
        (over, under), *fused = pictures
        both = [picture for pair in fused for picture in pair]
        alone = [self.unlike(over, batch["over"]), self.unlike(under, batch["under"])]
        coupled = [self.unlike(picture, batch["target"]) for picture in both]
        return {"enlarged": torch.stack(alone).sum(), "fused": torch.stack(coupled).sum()}

    def unlike(self, picture: Tensor, target: Tensor) -> Tensor:
        loss = (1 - ssim(picture, target).clamp_min(0)).mean()
        if self.recipe.absolute_weight:
            loss = loss + self.recipe.absolute_weight * F.l1_loss(picture, target)
        return loss

    def fuse(self, table: Table, batch: Batch) -> Tensor:
        pictures: Pictures = table.run("generator", over=batch["over"], under=batch["under"])
        over, under = pictures[-1]
        return (over + under) / 2

    def rate(self, moment: Moment) -> float:
        recipe = self.recipe
        if not recipe.halving:
            return schedule_of(recipe, recipe.steps)(moment)
        return float(recipe.rate * 0.5 ** (moment.step // recipe.halving))


def phases(recipe: CfNetRecipe) -> tuple[Phase, ...]:
    """The one phase of this method."""
    architecture = switched(CfNetArchitecture(), recipe)
    check_patch(recipe, architecture.scale, 32)
    own = _Learner(recipe)
    return (
        Phase(
            name="fusion",
            steps=recipe.steps,
            players=(
                Player("generator", lambda: _Learning(CfNet(architecture)), own.losses, own.rate),
            ),
            draw=draw_pairs(recipe.batch, recipe.patch_pixels),
            validate=validate_pairs(own.fuse),
            best="psnr",
            export=NETWORK,
            exported=lambda learning: cast(_Learning, learning).network,
            known_failures="Softer than the photos, which it sees at half their size. Aligned "
            "pairs only: things that move leave ghosts.",
        ),
    )

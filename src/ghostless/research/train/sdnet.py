"""Training SDNet (methods/sdnet.py).

Presets "paper" and "program": likeness of the fused luma to both frames and of its gradients to the
stronger ones (see `luma_pairs.sdnet_squeeze_loss`), and of what is rebuilt from it to both frames;
patches of 120 pixels in batches of 32, Adam at 1e-4. How many patches an epoch has is not said; a
thousand batches are taken for one here, and of the program's twenty epochs the twelve after which
its published weights were stored.
Preset "default" has the same loss, and a rate that falls.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch.nn.functional as F
from torch import Tensor, nn

from ...methods.sdnet import NETWORK, Sdnet, SdnetArchitecture
from ...nn.signed_luma import from_signed, to_signed
from .luma_pairs import lumas_of, picture_of, sdnet_squeeze_loss
from .pairs import draw_pairs, validate_pairs
from .recipe import Batch, Losses, Phase, Player, Recipe, Table, check_patch, schedule_of, switched

_EPOCHS, _STEPS_PER_EPOCH = 12, 1000


@dataclass(frozen=True)
class SdnetRecipe(Recipe):
    """Numbers of an SDNet training.

    gradient_weight: of gradients within the loss of the fused luma. decomposition_weight: of the
        loss of what is rebuilt from it.
    """

    steps: int = 8000
    batch: int = 32
    patch_pixels: int = 120
    rate: float = 1e-3
    gradient_weight: float = 50.0
    decomposition_weight: float = 1.0
    architecture: Mapping[str, Any] = field(default_factory=dict)


_PAPER = SdnetRecipe(
    preset="paper",
    steps=_EPOCHS * _STEPS_PER_EPOCH,
    rate=1e-4,
    schedule="constant",
    ema_decay=0.0,
)
PRESETS: Mapping[str, SdnetRecipe] = {
    "paper": _PAPER,
    "program": replace(_PAPER, preset="program"),
    "default": SdnetRecipe(),
}


class _Learning(nn.Module):
    """The network with its second half, all in its own range."""

    def __init__(self, network: Sdnet) -> None:
        super().__init__()
        self.network = network

    def forward(self, *, over: Tensor, under: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The fused luma and the rebuilt bright and dark ones, (B, 1, H, W) each, -1..1."""
        fused = self.network.squeeze(over, under)
        rebuilt_under, rebuilt_over = self.network.decompose(fused)
        return fused, rebuilt_over, rebuilt_under


class _Learner:
    """What the network learns from, and how it fuses."""

    def __init__(self, recipe: SdnetRecipe, architecture: SdnetArchitecture) -> None:
        self.recipe, self.levels = recipe, architecture.levels

    def losses(self, table: Table, batch: Batch) -> Losses:
        over, under = (to_signed(plane, self.levels) for plane in lumas_of(batch))
        fused, rebuilt_over, rebuilt_under = table.run("generator", over=over, under=under)
        weight = self.recipe.gradient_weight
        rebuilding = F.mse_loss(rebuilt_over, over) + F.mse_loss(rebuilt_under, under)
        return {
            "squeeze": sdnet_squeeze_loss(fused, over, under, gradient_weight=weight),
            "decomposition": self.recipe.decomposition_weight * rebuilding,
        }

    def fuse(self, table: Table, batch: Batch) -> Tensor:
        over, under = (to_signed(plane, self.levels) for plane in lumas_of(batch))
        fused = table.run("generator", over=over, under=under)[0]
        return picture_of(from_signed(fused, self.levels), batch)


def phases(recipe: SdnetRecipe) -> tuple[Phase, ...]:
    """The one phase of this method."""
    check_patch(recipe, 1, 16)
    architecture = switched(SdnetArchitecture(), recipe)
    own = _Learner(recipe, architecture)
    rate = schedule_of(recipe, recipe.steps)
    return (
        Phase(
            name="fusion",
            steps=recipe.steps,
            players=(
                Player("generator", lambda: _Learning(Sdnet(architecture)), own.losses, rate),
            ),
            draw=draw_pairs(recipe.batch, recipe.patch_pixels),
            validate=validate_pairs(own.fuse),
            best="mef_ssim",
            export=NETWORK,
            exported=lambda learning: cast(_Learning, learning).network,
            known_failures="Squared errors to both frames pull to their mean: the stretch gives "
            "back what contrast it can. Aligned pairs only: things that move leave ghosts.",
        ),
    )

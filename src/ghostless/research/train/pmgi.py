"""Training PMGI (methods/pmgi.py).

Presets "paper" and "program": likeness of intensity and of gradients to both frames (see
`luma_pairs.pmgi_loss`), patches of 120 pixels in batches of 32, Adam at 1e-4. Neither text nor
program is without a count of patches in an epoch; a thousand batches are taken for one here, and of
the program's thirty epochs the ten after which its published weights were stored.
Preset "default" has the same loss, and a rate that falls.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from ...methods.pmgi import NETWORK, Pmgi, PmgiArchitecture
from .luma_pairs import lumas_of, picture_of, pmgi_loss
from .pairs import draw_pairs, validate_pairs
from .recipe import Batch, Losses, Phase, Player, Recipe, Table, check_patch, schedule_of, switched

_EPOCHS, _STEPS_PER_EPOCH = 10, 1000


@dataclass(frozen=True)
class PmgiRecipe(Recipe):
    """Numbers of a PMGI training.

    intensity_weight, gradient_weight: of the loss. strongest_gradient: gradients like the stronger
        of both frames, see `luma_pairs.pmgi_loss`.
    """

    steps: int = 8000
    batch: int = 32
    patch_pixels: int = 120
    rate: float = 1e-3
    intensity_weight: float = 1.5
    gradient_weight: float = 16.0
    strongest_gradient: bool = False
    architecture: Mapping[str, Any] = field(default_factory=dict)


_PAPER = PmgiRecipe(
    preset="paper",
    steps=_EPOCHS * _STEPS_PER_EPOCH,
    rate=1e-4,
    schedule="constant",
    ema_decay=0.0,
)
PRESETS: Mapping[str, PmgiRecipe] = {
    "paper": _PAPER,
    "program": replace(_PAPER, preset="program"),
    "default": PmgiRecipe(),
}


class _Learner:
    """What the network learns from, and how it fuses."""

    def __init__(self, recipe: PmgiRecipe) -> None:
        self.recipe = recipe

    def fuse_luma(self, table: Table, batch: Batch) -> Tensor:
        over, under = lumas_of(batch)
        fused: Tensor = table.run("generator", over=over, under=under)
        return fused

    def losses(self, table: Table, batch: Batch) -> Losses:
        recipe = self.recipe
        planes = (self.fuse_luma(table, batch), *lumas_of(batch))
        fused, over, under = (plane * 2 - 1 for plane in planes)
        loss = pmgi_loss(
            fused,
            over,
            under,
            intensity_weight=recipe.intensity_weight,
            gradient_weight=recipe.gradient_weight,
            strongest_gradient=recipe.strongest_gradient,
        )
        return {"sources": loss}

    def fuse(self, table: Table, batch: Batch) -> Tensor:
        return picture_of(self.fuse_luma(table, batch), batch)


def phases(recipe: PmgiRecipe) -> tuple[Phase, ...]:
    """The one phase of this method."""
    check_patch(recipe, 1, 16)
    architecture = switched(PmgiArchitecture(), recipe)
    own = _Learner(recipe)
    rate = schedule_of(recipe, recipe.steps)
    return (
        Phase(
            name="fusion",
            steps=recipe.steps,
            players=(Player("generator", lambda: Pmgi(architecture), own.losses, rate),),
            draw=draw_pairs(recipe.batch, recipe.patch_pixels),
            validate=validate_pairs(own.fuse),
            best="mef_ssim",
            export=NETWORK,
            known_failures="Squared errors to both frames pull to their mean: the stretch gives "
            "back what contrast it can. Aligned pairs only: things that move leave ghosts.",
        ),
    )

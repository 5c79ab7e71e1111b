"""Training U2Fusion (methods/u2fusion.py).

Presets "paper" and "program": 1 - SSIM and twenty times the squared error to both frames, each
weighted by what the frame tells, patches of 64 pixels in batches of 18, order of the frames at
random, rate 1e-4, two epochs; how many patches an epoch has is not said, ten thousand batches are
taken for one here. Three things differ: what a frame tells is measured in the frame itself and not
in the features of a VGG-16 (`luma_pairs.information`), its scale is found on pairs of the data
before the first step, and the optimiser is Adam, not RMSProp. Only exposures are taught, so nothing
keeps what other tasks taught before.
Preset "default" has the same loss, and a rate that falls.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from ...errors import OptionError
from ...methods.u2fusion import NETWORK, U2Fusion, U2FusionArchitecture
from .luma_pairs import information, information_scale, lumas_of, picture_of, u2fusion_loss
from .pairs import draw_pairs, validate_pairs
from .recipe import Batch, Losses, Phase, Player, Recipe, Table, check_patch, schedule_of, switched
from .samples import TrainingData

_EPOCHS, _STEPS_PER_EPOCH = 2, 10_000
_LARGEST_WEIGHT = 50.0


@dataclass(frozen=True)
class U2FusionRecipe(Recipe):
    """Numbers of a U2Fusion training.

    mse_weight: of squared errors beside 1 - SSIM. median_preference: how far apart the weights of
        the two frames of a typical pair are, 0 for both alike to 1 for one alone.
        preference_pairs: pairs on which that is measured.
    """

    steps: int = 10_000
    batch: int = 18
    patch_pixels: int = 64
    mse_weight: float = 20.0
    median_preference: float = 0.3
    preference_pairs: int = 500
    architecture: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.median_preference < 1:
            raise OptionError(
                f"median_preference: expected above 0 to below 1, found {self.median_preference}"
            )
        if self.preference_pairs < 1:
            raise OptionError(
                f"preference_pairs: expected 1 or more, found {self.preference_pairs}"
            )


_PAPER = U2FusionRecipe(
    preset="paper",
    steps=_EPOCHS * _STEPS_PER_EPOCH,
    rate=1e-4,
    schedule="constant",
    ema_decay=0.0,
)
PRESETS: Mapping[str, U2FusionRecipe] = {
    "paper": _PAPER,
    "program": replace(_PAPER, preset="program"),
    "default": U2FusionRecipe(),
}


class _Learner:
    """What the network learns from, and how it fuses."""

    def __init__(self, recipe: U2FusionRecipe) -> None:
        self.recipe = recipe
        self.scale: float | None = None
        self._draw = draw_pairs(recipe.batch, recipe.patch_pixels)

    def prepare(self, data: TrainingData) -> str:
        """Find the scale of what frames tell; the same whenever it is looked for."""
        recipe = self.recipe
        generator = torch.Generator(data.device).manual_seed(0)
        differences, wanted = [], recipe.preference_pairs
        for start in range(0, wanted, recipe.batch):
            count = min(recipe.batch, wanted - start)
            over, under = lumas_of(data.pairs(count, recipe.patch_pixels, generator))
            differences.append(information(over) - information(under))
        self.scale = information_scale(torch.cat(differences), recipe.median_preference)
        return f"information of a frame, scale measured on {wanted} pairs: {self.scale:.4g}"

    def draw(self, data: TrainingData, generator: torch.Generator, step: int) -> Batch:
        batch = self._draw(data, generator, step)
        if torch.rand((), generator=generator, device=generator.device) < 0.5:
            return {**batch, "over": batch["under"], "under": batch["over"]}
        return batch

    def fuse_luma(self, table: Table, batch: Batch) -> Tensor:
        over, under = lumas_of(batch)
        fused: Tensor = table.run("generator", over=over, under=under)
        return fused

    def losses(self, table: Table, batch: Batch) -> Losses:
        assert self.scale is not None, "prepare comes first"
        over, under = lumas_of(batch)
        fused = self.fuse_luma(table, batch)
        weight = self.recipe.mse_weight
        return {"sources": u2fusion_loss(fused, over, under, scale=self.scale, mse_weight=weight)}

    def fuse(self, table: Table, batch: Batch) -> Tensor:
        return picture_of(self.fuse_luma(table, batch), batch)


def phases(recipe: U2FusionRecipe) -> tuple[Phase, ...]:
    """The one phase of this method."""
    # The coarsest of five scales needs two pixels.
    check_patch(recipe, 1, 32)
    architecture = switched(U2FusionArchitecture(), recipe)
    own = _Learner(recipe)
    player = Player(
        "generator",
        lambda: U2Fusion(architecture),
        own.losses,
        schedule_of(recipe, recipe.steps),
        clip_weights=_LARGEST_WEIGHT,
    )
    return (
        Phase(
            name="fusion",
            steps=recipe.steps,
            players=(player,),
            draw=own.draw,
            validate=validate_pairs(own.fuse),
            prepare=own.prepare,
            best="mef_ssim",
            export=NETWORK,
            known_failures="Squared errors to both frames pull to their mean: the stretch gives "
            "back what contrast it can. Aligned pairs only: things that move leave ghosts.",
        ),
    )

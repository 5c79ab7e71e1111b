"""Training DPGN (nn/dpgn.py).

Preset "paper", the printed text: multi-scale squared errors and a 70 x 70 PatchGAN (neither it nor
its weight, 0.01 here, is described), generator and discriminator in turns, Adam at 1e-4.
Preset "program", the authors' program: whole photos reduced to 1024 pixels with black beyond them,
one a step; priors of the two images fused first, with its nearly equal weights. It has neither a
discriminator nor a training loop, so losses and optimiser are the paper's. Its loader also joins
the two images' channels in turns when training and not when testing, which is not built.
Preset "default": the network adds to a local fusion of both frames; half the width (10.9 of 43.7
million parameters), no discriminator, no dropout; multi-scale squared errors, mean absolute error,
SSIM and MEF-SSIM.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor

from ...nn.dpgn import DISCRIMINATOR, Dpgn, DpgnArchitecture, Outputs
from ...nn.dpgn_tiled import NETWORK
from ...nn.patchgan import PatchGan
from ...nn.ycbcr import luma
from .losses import bce_discriminator_loss, bce_generator_loss, multi_scale_loss
from .pairs import draw_pairs, validate_pairs
from .quality import likeness_loss, mef_ssim_loss
from .recipe import (
    Batch,
    Losses,
    Phase,
    Player,
    Recipe,
    Table,
    check_choices,
    check_patch,
    schedule_of,
    switched,
)


@dataclass(frozen=True)
class DpgnRecipe(Recipe):
    """Numbers of a DPGN training.

    base, dropout: of the architecture. adversarial_weight: 0 trains no discriminator.
    multi_scale_form: "mean" squared errors as the text of equation 5 says, or the "norm" that is
        printed. printed_sign: the sign of equation 6 as printed, which rewards calling fakes real.
    luma_target: the reference's luma in place of its colours, as the program's loader yields it.
    likeness_weight, mef_ssim_weight: of terms that the paper does not have.
    """

    base: int = 8
    dropout: float = 0.0
    adversarial_weight: float = 0.0
    multi_scale_form: Literal["mean", "norm"] = "mean"
    printed_sign: bool = False
    luma_target: bool = False
    likeness_weight: float = 1.0
    mef_ssim_weight: float = 0.5
    architecture: Mapping[str, Any] = field(default_factory=lambda: {"adds_to": "local fusion"})

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choices(self, multi_scale_form=("mean", "norm"))


_EPOCHS, _PAIRS, _BATCH = 500, 712, 8
# Batches of 8 crops, which batch norm needs; the paper does not say its own.
_PAPER = DpgnRecipe(
    preset="paper",
    steps=_EPOCHS * _PAIRS // _BATCH,
    batch=_BATCH,
    patch_pixels=512,
    rate=1e-4,
    schedule="constant",
    ema_decay=0.0,
    base=16,
    dropout=0.3,
    adversarial_weight=0.01,
    likeness_weight=0.0,
    mef_ssim_weight=0.0,
    architecture={},
)
PRESETS: Mapping[str, DpgnRecipe] = {
    "paper": _PAPER,
    "program": replace(
        _PAPER,
        preset="program",
        steps=_EPOCHS * _PAIRS,
        batch=1,
        patch_pixels=1024,
        photo_size="1024",
        framing="letterbox",
        architecture={"prior_form": "fused_first", "prior_weights": "program"},
    ),
    "default": DpgnRecipe(),
}


class _Players:
    """What the players learn from."""

    def __init__(self, recipe: DpgnRecipe) -> None:
        self.recipe = recipe

    def fuse(self, table: Table, batch: Batch) -> Outputs:
        outputs: Outputs = table.run("generator", over=batch["over"], under=batch["under"])
        return outputs

    def target_of(self, batch: Batch) -> Tensor:
        target: Tensor = batch["target"]
        return luma(target).expand_as(target) if self.recipe.luma_target else target

    def generator_losses(self, table: Table, batch: Batch) -> Losses:
        outputs, target = self.fuse(table, batch), self.target_of(batch)
        form = self.recipe.multi_scale_form
        losses = {"multi_scale": multi_scale_loss(outputs.final, outputs.sides, target, form=form)}
        if self.recipe.adversarial_weight:
            scores = table.run("discriminator", outputs.final * 2 - 1)
            losses["adversarial"] = self.recipe.adversarial_weight * bce_generator_loss(scores)
        if self.recipe.likeness_weight:
            losses["likeness"] = self.recipe.likeness_weight * likeness_loss(outputs.final, target)
        if self.recipe.mef_ssim_weight:
            unlike = mef_ssim_loss(batch["under"], batch["over"], outputs.final)
            losses["mef_ssim"] = self.recipe.mef_ssim_weight * unlike
        return losses

    def discriminator_losses(self, table: Table, batch: Batch) -> Losses:
        with torch.no_grad():
            fused = self.fuse(table, batch).final
        both = torch.cat([self.target_of(batch), fused]) * 2 - 1
        real, fake = table.run("discriminator", both).chunk(2)
        printed = self.recipe.printed_sign
        return {"real_or_fused": bce_discriminator_loss(real, fake, printed=printed)}

    def final(self, table: Table, batch: Batch) -> Tensor:
        return self.fuse(table, batch).final


def phases(recipe: DpgnRecipe) -> tuple[Phase, ...]:
    """The one phase of this method."""
    architecture = switched(DpgnArchitecture(base=recipe.base, dropout=recipe.dropout), recipe)
    check_patch(recipe, architecture.size_multiple, 128)
    own = _Players(recipe)
    rate = schedule_of(recipe, recipe.steps)
    generator = Player("generator", lambda: Dpgn(architecture), own.generator_losses, rate)
    discriminator = Player(
        "discriminator", lambda: PatchGan(DISCRIMINATOR), own.discriminator_losses, rate
    )
    return (
        Phase(
            name="fusion",
            steps=recipe.steps,
            players=(generator, discriminator) if recipe.adversarial_weight else (generator,),
            draw=draw_pairs(recipe.batch, recipe.patch_pixels),
            validate=validate_pairs(own.final),
            best="psnr",
            export=NETWORK,
            known_failures="Aligned pairs only: things that move leave ghosts. Its validation "
            "scores the network's own colours; fusing takes them from exposure fusion by default.",
        ),
    )

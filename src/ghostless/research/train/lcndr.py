"""Training LCNDR (nn/lcndr.py).

Preset "paper": unsupervised, likeness of the fused luma to both sources, SSIM times 0.3 and
equation 9 times 5 as printed. That equation is some 1e-5 of a mean squared error, so nothing but
SSIM acts; `mse_form=mean` takes what its name says, which pulls to the mean of the two photos, so
that contrast is low. Batch norm after all convolutions of SAM, chroma measured from 128.
Preset "program": the network of the authors' early program, with a rate that falls by a tenth each
epoch, as its checkpoint shows, and true mean squared errors. Its training itself was not published.
Preset "quality", which is also the default, is a deviation: the method becomes supervised, by mean
absolute error and SSIM to a reference's luma, and by MEF-SSIM.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from torch import Tensor

from ...nn.lcndr import NETWORK, Lcndr, LcndrArchitecture
from ...nn.ycbcr import luma, with_fused_chroma
from .losses import lcndr_loss, supervised_luma_loss
from .pairs import draw_pairs, validate_pairs
from .quality import mef_ssim
from .recipe import (
    Batch,
    Losses,
    Moment,
    Phase,
    Player,
    Recipe,
    Table,
    check_choices,
    check_patch,
    schedule_of,
    switched,
)

# 500 epochs of 374 pairs in batches of 16.
_EPOCHS, _PAIRS, _BATCH = 500, 374, 16


@dataclass(frozen=True)
class LcndrRecipe(Recipe):
    """Numbers of an LCNDR training.

    source_weight: of the paper's loss. ssim_weight, mse_weight: alpha and beta within it (equation
        6). mse_form: "mean" squared errors, or equation 9 as "printed".
    likeness_weight: of the supervised loss. mef_ssim_weight: of MEF-SSIM to the pair.
    decay_per_epoch: factor of the rate after each epoch of 374 pairs, in place of `schedule`; 1 for
        none.
    """

    patch_pixels: int = 192
    source_weight: float = 0.0
    ssim_weight: float = 0.3
    mse_weight: float = 5.0
    mse_form: Literal["mean", "printed"] = "mean"
    likeness_weight: float = 1.0
    mef_ssim_weight: float = 0.5
    decay_per_epoch: float = 1.0
    architecture: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choices(self, mse_form=("mean", "printed"))


_QUALITY = LcndrRecipe(preset="quality")
_PAPER = LcndrRecipe(
    preset="paper",
    steps=_EPOCHS * _PAIRS // _BATCH,
    batch=_BATCH,
    patch_pixels=256,
    rate=1e-4,
    ema_decay=0.0,
    source_weight=1.0,
    mse_form="printed",
    likeness_weight=0.0,
    mef_ssim_weight=0.0,
    architecture={"attention_norms": True, "tau": 128.0},
)
PRESETS: Mapping[str, LcndrRecipe] = {
    "paper": _PAPER,
    "program": replace(
        _PAPER,
        preset="program",
        mse_form="mean",
        decay_per_epoch=0.9,
        architecture={"variant": "program"},
    ),
    "quality": _QUALITY,
    "default": replace(_QUALITY, preset="default"),
}


class _Network:
    """What the network learns from, and how it fuses."""

    def __init__(self, recipe: LcndrRecipe, tau: float) -> None:
        self.recipe, self.neutral = recipe, tau / 255

    def fuse_luma(self, table: Table, batch: Batch) -> Tensor:
        over, under = luma(batch["over"]), luma(batch["under"])
        fused: Tensor = table.run("generator", over=over, under=under)
        return fused

    def losses(self, table: Table, batch: Batch) -> Losses:
        recipe = self.recipe
        fused = self.fuse_luma(table, batch)
        over, under = luma(batch["over"]), luma(batch["under"])
        found = {}
        if recipe.source_weight:
            found["sources"] = recipe.source_weight * lcndr_loss(
                fused,
                over,
                under,
                ssim_weight=recipe.ssim_weight,
                mse_weight=recipe.mse_weight,
                mse_form=recipe.mse_form,
            )
        if recipe.likeness_weight:
            unlike = supervised_luma_loss(fused, luma(batch["target"]))
            found["likeness"] = recipe.likeness_weight * unlike
        if recipe.mef_ssim_weight:
            unlike = (1 - mef_ssim(under, over, fused)).mean()
            found["mef_ssim"] = recipe.mef_ssim_weight * unlike
        return found

    def fuse(self, table: Table, batch: Batch) -> Tensor:
        fused = self.fuse_luma(table, batch)
        return with_fused_chroma(fused, [batch["over"], batch["under"]], self.neutral)

    def rate(self, moment: Moment) -> float:
        if self.recipe.decay_per_epoch == 1:
            return schedule_of(self.recipe, self.recipe.steps)(moment)
        epoch = moment.step * self.recipe.batch // _PAIRS
        return float(self.recipe.rate * self.recipe.decay_per_epoch**epoch)


def phases(recipe: LcndrRecipe) -> tuple[Phase, ...]:
    """The one phase of this method."""
    check_patch(recipe, 8, 32)
    architecture = switched(LcndrArchitecture(), recipe)
    own = _Network(recipe, architecture.tau)
    generator = Player("generator", lambda: Lcndr(architecture), own.losses, own.rate)
    return (
        Phase(
            name="fusion",
            steps=recipe.steps,
            players=(generator,),
            draw=draw_pairs(recipe.batch, recipe.patch_pixels),
            validate=validate_pairs(own.fuse),
            best="psnr" if recipe.likeness_weight else "mef_ssim",
            export=NETWORK,
            known_failures="Aligned pairs only: things that move leave ghosts. Colour follows a "
            "rule, so it is pale where both frames are.",
        ),
    )

"""Training LCNDR (methods/lcndr.py).

Preset "paper": unsupervised, likeness of the fused luma to both sources (SSIM times 0.3, squared
errors times 5). The squared errors pull to the mean of the two, so contrast is low.
Preset "quality", which is also the default, is a deviation: the method becomes supervised, by mean
absolute error and SSIM to a reference's luma, and by MEF-SSIM.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...methods.lcndr import NETWORK, Lcndr, LcndrArchitecture
from ...nn.ycbcr import fuse_chroma, luma, rgb_to_ycbcr, ycbcr_to_rgb
from .losses import lcndr_loss, supervised_luma_loss
from .pairs import draw_pairs, validate_pairs
from .quality import mef_ssim
from .recipe import Batch, Losses, Phase, Player, Recipe, Table, check_patch, schedule_of, switched


@dataclass(frozen=True)
class LcndrRecipe(Recipe):
    """Numbers of an LCNDR training.

    source_weight: of the paper's loss. likeness_weight: of the supervised one.
    mef_ssim_weight: of MEF-SSIM to the pair.
    """

    patch_pixels: int = 192
    source_weight: float = 0.0
    likeness_weight: float = 1.0
    mef_ssim_weight: float = 0.5


_QUALITY = LcndrRecipe(preset="quality")

PRESETS: Mapping[str, LcndrRecipe] = {
    # 500 epochs of 374 pairs.
    "paper": LcndrRecipe(
        preset="paper",
        steps=500 * 374 // 16,
        batch=16,
        patch_pixels=256,
        rate=1e-4,
        ema_decay=0.0,
        source_weight=1.0,
        likeness_weight=0.0,
        mef_ssim_weight=0.0,
    ),
    "quality": _QUALITY,
    "default": replace(_QUALITY, preset="default"),
}


def phases(recipe: LcndrRecipe) -> tuple[Phase, ...]:
    """The one phase of this method."""
    check_patch(recipe, 8, 32)
    architecture = switched(LcndrArchitecture(), recipe)

    def fuse_luma(table: Table, batch: Batch) -> Tensor:
        over, under = luma(batch["over"]), luma(batch["under"])
        fused: Tensor = table.run("generator", over=over, under=under)
        return fused

    def losses(table: Table, batch: Batch) -> Losses:
        fused, over, under = fuse_luma(table, batch), luma(batch["over"]), luma(batch["under"])
        found = {}
        if recipe.source_weight:
            found["sources"] = recipe.source_weight * lcndr_loss(fused, over, under)
        if recipe.likeness_weight:
            unlike = supervised_luma_loss(fused, luma(batch["target"]))
            found["likeness"] = recipe.likeness_weight * unlike
        if recipe.mef_ssim_weight:
            unlike = (1 - mef_ssim(under, over, fused)).mean()
            found["mef_ssim"] = recipe.mef_ssim_weight * unlike
        return found

    generator = Player(
        "generator",
        lambda: Lcndr(architecture),
        losses,
        schedule_of(recipe, recipe.steps),
    )

    def fuse(table: Table, batch: Batch) -> Tensor:
        fused = fuse_luma(table, batch)
        chroma = fuse_chroma([rgb_to_ycbcr(batch[name])[:, 1:] for name in ("over", "under")])
        return ycbcr_to_rgb(torch.cat([fused, chroma], dim=1))

    return (
        Phase(
            name="fusion",
            steps=recipe.steps,
            players=(generator,),
            draw=draw_pairs(recipe.batch, recipe.patch_pixels),
            validate=validate_pairs(fuse),
            best="mef_ssim" if recipe.preset == "paper" else "psnr",
            export=NETWORK,
            known_failures="Aligned pairs only: things that move leave ghosts. Colour follows a "
            "rule, so it is pale where both frames are.",
        ),
    )

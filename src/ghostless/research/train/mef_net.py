"""Training MEF-Net (methods/mef_net.py).

Presets "paper" and "program", which agree: one bracket a step, minus a form of MEF-SSIM with
luminance (`losses.mef_net_score`), 100 epochs of 600 brackets at 512 pixels on the short side, here
on brackets of two to five photos.
Preset "default" is shorter, its rate higher and falling; the loss is the paper's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from ...methods.mef_net import NETWORK, MefNet, MefNetArchitecture
from ...nn.ycbcr import luma, with_fused_chroma
from ..metrics.tensor.exposure_fusion import mef_ssim
from .losses import mef_net_score
from .quality import psnr
from .recipe import (
    Batch,
    Losses,
    Phase,
    Player,
    Recipe,
    Table,
    Validation,
    check_patch,
    mean_scores,
    schedule_of,
    switched,
)
from .samples import TrainingData

_EPOCHS, _BRACKETS = 100, 600
_PICTURES = 3


@dataclass(frozen=True)
class MefNetRecipe(Recipe):
    """Numbers of a MEF-Net training.

    patch_pixels: the long side of whole pictures, sides 4 to 3.
    """

    steps: int = 3000
    batch: int = 1
    patch_pixels: int = 384
    rate: float = 5e-4
    ema_decay: float = 0.998
    validate_every: int = 300
    architecture: Mapping[str, Any] = field(default_factory=dict)


_PAPER = MefNetRecipe(
    preset="paper",
    steps=_EPOCHS * _BRACKETS,
    patch_pixels=684,
    rate=1e-4,
    schedule="constant",
    ema_decay=0.0,
)
PRESETS: Mapping[str, MefNetRecipe] = {
    "paper": _PAPER,
    "program": replace(_PAPER, preset="program"),
    "default": MefNetRecipe(),
}


class _Learner:
    """What the network learns from, and how it is judged."""

    def __init__(self, recipe: MefNetRecipe) -> None:
        self.recipe = recipe

    def draw(self, data: TrainingData, generator: torch.Generator, step: int) -> Batch:
        return data.photos(self.recipe.batch, self.recipe.patch_pixels, generator)

    def losses(self, table: Table, batch: Batch) -> Losses:
        lumas = lumas_of(batch)
        fused = table.run("generator", lumas)
        return {"mef_ssim": (1 - mef_net_score(lumas, fused)).mean()}

    def validate(self, table: Table, data: TrainingData) -> Validation:
        scores, pictures = [], {}
        for number, batch in enumerate(data.held_out_photos()):
            lumas = lumas_of(batch)
            fused = table.run("generator", lumas).clamp(0, 1)
            picture = with_fused_chroma(fused, batch["photos"].unbind(1)).clamp(0, 1)
            planes = [255 * plane for plane in lumas.unbind(1)]
            scores.append(
                {
                    "mef_ssim": float(mef_ssim(planes, 255 * fused)),
                    "own": float(mef_net_score(lumas, fused)),
                    "psnr": psnr(picture, batch["target"]),
                }
            )
            if number < _PICTURES:
                ends = batch["photos"][:, [0, -1]].unbind(1)
                pictures[f"scene {number}"] = torch.cat([*ends, picture, batch["target"]], dim=3)[0]
        return Validation(mean_scores(scores), pictures)


def lumas_of(batch: Batch) -> Tensor:
    """Luma (B, K, 1, H, W) of a batch's photos."""
    photos = batch["photos"]
    count, frames, _, height, width = photos.shape
    return luma(photos.flatten(0, 1)).view(count, frames, 1, height, width)


def phases(recipe: MefNetRecipe) -> tuple[Phase, ...]:
    """The one phase of this method."""
    check_patch(recipe, 4, 64)
    architecture = switched(MefNetArchitecture(), recipe)
    own = _Learner(recipe)
    schedule = schedule_of(recipe, recipe.steps)
    return (
        Phase(
            name="fusion",
            steps=recipe.steps,
            players=(Player("generator", lambda: MefNet(architecture), own.losses, schedule),),
            draw=own.draw,
            validate=own.validate,
            best="mef_ssim",
            export=NETWORK,
            known_failures="Two photos far apart: it chooses one of them for each place, and the "
            "seams and halos between show in skies. Aligned photos only: things that move leave "
            "ghosts.",
        ),
    )

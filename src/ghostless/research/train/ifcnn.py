"""Training IFCNN (methods/ifcnn.py). Its authors published weights but no program that trains.

Presets "paper" and "program", which agree: pictures of which one place or the other is blurred, and
the sharp picture to make of both, by mean squared error; no exposures are ever seen. The second
stage, with features of a ResNet-101 in the loss, is left out, the first convolution is learned
rather than ImageNet's, and Adam takes the place of gradient descent with momentum.
Preset "default" is a deviation: it learns from exposures, by likeness to a reference's luma and by
MEF-SSIM, what it is used for here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ...methods.ifcnn import NETWORK, Ifcnn, IfcnnArchitecture
from ...nn.ycbcr import luma, with_fused_chroma
from .losses import supervised_luma_loss
from .luma_pairs import stacked_lumas
from .pairs import draw_pairs, validate_pairs
from .quality import mef_ssim
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
from .samples import TrainingData, uniform

# Radii of blur, pixels; a kernel is twice that and one wide.
_LARGEST_RADIUS = 7
# Fields across a patch of which each is in focus or not, before they are smoothed.
_FIELDS = 5


@dataclass(frozen=True)
class IfcnnRecipe(Recipe):
    """Numbers of an IFCNN training.

    shown: "focus", pictures with blurred places, or "exposures". mef_ssim_weight: of MEF-SSIM to
    the exposures.
    """

    steps: int = 8000
    patch_pixels: int = 128
    shown: Literal["focus", "exposures"] = "exposures"
    mef_ssim_weight: float = 0.5
    architecture: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choices(self, shown=("focus", "exposures"))


_PAPER = IfcnnRecipe(
    preset="paper", steps=65_000, batch=64, rate=1e-3, ema_decay=0.0, shown="focus"
)
PRESETS: Mapping[str, IfcnnRecipe] = {
    "paper": _PAPER,
    "program": replace(_PAPER, preset="program"),
    "default": IfcnnRecipe(),
}


class _Learner:
    """What the network learns from, and how it fuses."""

    def __init__(self, recipe: IfcnnRecipe) -> None:
        self.recipe = recipe

    def draw(self, data: TrainingData, generator: torch.Generator, step: int) -> Batch:
        recipe = self.recipe
        pairs = draw_pairs(recipe.batch, recipe.patch_pixels)(data, generator, step)
        return pairs if recipe.shown == "exposures" else in_and_out_of_focus(pairs, generator)

    def losses(self, table: Table, batch: Batch) -> Losses:
        if self.recipe.shown == "focus":
            fused = table.run("generator", torch.stack([batch["near"], batch["far"]], dim=1))
            return {"distance": F.mse_loss(fused, batch["target"])}
        under, over = luma(batch["under"]), luma(batch["over"])
        fused_luma = self._fuse_luma(table, batch)
        found = {"likeness": supervised_luma_loss(fused_luma, luma(batch["target"]))}
        if self.recipe.mef_ssim_weight:
            unlike = (1 - mef_ssim(under, over, fused_luma)).mean()
            found["mef_ssim"] = self.recipe.mef_ssim_weight * unlike
        return found

    def _fuse_luma(self, table: Table, batch: Batch) -> Tensor:
        return luma(table.run("generator", stacked_lumas(batch)))

    def fuse(self, table: Table, batch: Batch) -> Tensor:
        fused = self._fuse_luma(table, batch).clamp(0, 1)
        return with_fused_chroma(fused, [batch["under"], batch["over"]])


def in_and_out_of_focus(batch: Batch, generator: torch.Generator) -> Batch:
    """Make of each target two pictures, "near" and "far", each blurred where the other is sharp."""
    sharp = batch["target"]
    count, _, height, width = sharp.shape
    fields = uniform((count, 1, _FIELDS, _FIELDS), 0, 1, generator)
    near = (F.interpolate(fields, (height, width), mode="bicubic") > 0.5).to(sharp)
    radius = int(uniform((1,), 1, _LARGEST_RADIUS + 1, generator))
    blurred = _blurred(sharp, radius)
    return {
        "near": torch.lerp(blurred, sharp, near),
        "far": torch.lerp(sharp, blurred, near),
        "target": sharp,
    }


def _blurred(pictures: Tensor, radius: int) -> Tensor:
    """Pictures blurred by a Gaussian of a kernel's width, as an erratum of the authors has it."""
    deviation = 0.6 * (2 * radius) + 0.8
    places = torch.arange(-radius, radius + 1, device=pictures.device, dtype=pictures.dtype)
    bell = torch.exp(-places.square() / (2 * deviation**2))
    bell = (bell / bell.sum()).expand(3, 1, 1, -1)
    padded = F.pad(pictures, (radius,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, bell, groups=3), bell.transpose(2, 3), groups=3)


def phases(recipe: IfcnnRecipe) -> tuple[Phase, ...]:
    """The one phase of this method."""
    check_patch(recipe, 1, 32)
    architecture = switched(IfcnnArchitecture(), recipe)
    own = _Learner(recipe)
    schedule = schedule_of(recipe, recipe.steps)
    return (
        Phase(
            name="fusion",
            steps=recipe.steps,
            players=(Player("generator", lambda: Ifcnn(architecture), own.losses, schedule),),
            draw=own.draw,
            validate=validate_pairs(own.fuse),
            best="psnr" if recipe.shown == "exposures" else "mef_ssim",
            export=NETWORK,
            known_failures="It takes the mean of the frames' features: contrast of what only one "
            "shows is halved. Aligned frames only: things that move leave ghosts.",
        ),
    )

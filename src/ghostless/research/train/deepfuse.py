"""Training DeepFuse (methods/deepfuse.py).

The loss is 1 - MEF-SSIM at one scale, which knows contrast and structure and leaves the brightness
free. Preset "paper": the network of the paper's text, patches of 64 pixels. Preset "program": the
network that was published with weights; each patch is stretched to its own range before the loss,
as in the authors' training stub. Preset "default" does not stretch, which amplifies noise in flat
patches, and holds the brightness by a weak pull towards the better exposed frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from ...methods.deepfuse import NETWORK, DeepFuse, DeepFuseArchitecture
from ...nn.ycbcr import with_fused_chroma
from ..metrics import tensor as metrics
from .losses import luminance_loss
from .luma_pairs import stacked_lumas
from .pairs import draw_pairs, validate_pairs
from .recipe import (
    Batch,
    Losses,
    Phase,
    Player,
    Recipe,
    Table,
    check_patch,
    schedule_of,
    switched,
)

_EPOCHS, _PATCHES, _BATCH = 100, 30_000, 50


@dataclass(frozen=True)
class DeepFuseRecipe(Recipe):
    """Numbers of a DeepFuse training.

    structure_weight: of 1 - MEF-SSIM. luminance_weight: of the pull on the brightness.
    stretch: each patch to its own range before the loss.
    """

    steps: int = 8000
    patch_pixels: int = 128
    structure_weight: float = 1.0
    luminance_weight: float = 0.05
    stretch: bool = False
    architecture: Mapping[str, Any] = field(default_factory=lambda: {"borders": "repeated"})


_PAPER = DeepFuseRecipe(
    preset="paper",
    steps=_EPOCHS * _PATCHES // _BATCH,
    batch=_BATCH,
    patch_pixels=64,
    rate=1e-4,
    schedule="constant",
    ema_decay=0.0,
    luminance_weight=0.0,
    architecture={"variant": "paper"},
)
PRESETS: Mapping[str, DeepFuseRecipe] = {
    "paper": _PAPER,
    "program": replace(
        _PAPER,
        preset="program",
        patch_pixels=77,
        rate=1e-3,
        structure_weight=100.0,
        stretch=True,
        architecture={},
    ),
    "default": DeepFuseRecipe(),
}


class _Learner:
    """What the network learns from, and how it fuses."""

    def __init__(self, recipe: DeepFuseRecipe) -> None:
        self.recipe = recipe

    def losses(self, table: Table, batch: Batch) -> Losses:
        recipe = self.recipe
        lumas = _lumas(batch)
        fused: Tensor = table.run("generator", lumas)
        seen = _stretched(fused, 0.0) if recipe.stretch else fused
        score = metrics.mef_ssim([255 * plane for plane in lumas.unbind(1)], 255 * seen, 1)
        found = {"structure": recipe.structure_weight * (1 - score).mean()}
        if recipe.luminance_weight:
            found["luminance"] = recipe.luminance_weight * luminance_loss(lumas, fused)
        return found

    def fuse(self, table: Table, batch: Batch) -> Tensor:
        fused = _stretched(table.run("generator", _lumas(batch)), 0.01).clamp(0, 1)
        return with_fused_chroma(fused, [batch["under"], batch["over"]])


def _lumas(batch: Batch) -> Tensor:
    """Luma of a pair at studio levels, (B, 2, 1, H, W), as the network gets it."""
    return (16 + 219 * stacked_lumas(batch)) / 255


def _stretched(fused: Tensor, share: float) -> Tensor:
    """Each of some planes (B, 1, H, W) brought to 0..1, but for a share at both ends."""
    flat = fused.flatten(1)
    count = flat.shape[1]
    low = flat.kthvalue(1 + round(share * (count - 1)), dim=1).values
    high = flat.kthvalue(count - round(share * (count - 1)), dim=1).values
    low, high = (limit.view(-1, 1, 1, 1) for limit in (low, high))
    return (fused - low) / (high - low).clamp_min(1e-6)


def phases(recipe: DeepFuseRecipe) -> tuple[Phase, ...]:
    """The one phase of this method."""
    check_patch(recipe, 1, 44)
    architecture = switched(DeepFuseArchitecture(), recipe)
    own = _Learner(recipe)
    schedule = schedule_of(recipe, recipe.steps)
    return (
        Phase(
            name="fusion",
            steps=recipe.steps,
            players=(Player("generator", lambda: DeepFuse(architecture), own.losses, schedule),),
            draw=draw_pairs(recipe.batch, recipe.patch_pixels),
            validate=validate_pairs(own.fuse),
            best="mef_ssim",
            export=NETWORK,
            known_failures="The stretch makes the brightness: a picture without a dark or a bright "
            "place gets one. Aligned frames only: things that move leave ghosts.",
        ),
    )

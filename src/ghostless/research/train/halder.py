"""Training HALDeR (methods/halder.py).

Its authors published no training, and what is left of it names several losses without saying which
taught what; so presets "paper" and "program" are our "default": both the blend and what is made of
it learn at once, each by mean absolute error and 1 - SSIM to a reference, patches of 256 pixels in
batches of 8, Adam at 1e-4 with a falling rate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from torch import Tensor, nn

from ...methods.halder import NETWORK, SIZE_MULTIPLE, Halder, HalderArchitecture
from .pairs import draw_pairs, validate_pairs
from .quality import likeness_loss
from .recipe import Batch, Losses, Phase, Player, Recipe, Table, check_patch, schedule_of, switched


@dataclass(frozen=True)
class HalderRecipe(Recipe):
    """Numbers of a HALDeR training.

    blend_weight: of the likeness of the blend, beside that of the result.
    """

    steps: int = 10_000
    batch: int = 8
    rate: float = 1e-4
    blend_weight: float = 1.0
    architecture: Mapping[str, Any] = field(default_factory=dict)


PRESETS: Mapping[str, HalderRecipe] = {
    name: replace(HalderRecipe(), preset=name) for name in ("paper", "program", "default")
}


class _Learning(nn.Module):
    """The network, giving what comes between its parts too."""

    def __init__(self, network: Halder) -> None:
        super().__init__()
        self.network = network

    def forward(self, *, over: Tensor, under: Tensor) -> tuple[Tensor, Tensor]:
        """The blend and the result, (B, 3, H, W) each, not clipped."""
        blended = self.network.blend(over=over, under=under)
        return blended, self.network.refine(blended)


class _Learner:
    """What the network learns from, and how it fuses."""

    def __init__(self, recipe: HalderRecipe) -> None:
        self.recipe = recipe

    def losses(self, table: Table, batch: Batch) -> Losses:
        blended, refined = table.run("generator", over=batch["over"], under=batch["under"])
        target = batch["target"]
        return {
            "blend": self.recipe.blend_weight * likeness_loss(blended, target),
            "likeness": likeness_loss(refined, target),
        }

    def fuse(self, table: Table, batch: Batch) -> Tensor:
        fused: Tensor = table.run("generator", over=batch["over"], under=batch["under"])[1]
        return fused


def phases(recipe: HalderRecipe) -> tuple[Phase, ...]:
    """The one phase of this method."""
    check_patch(recipe, SIZE_MULTIPLE, 32)
    architecture = switched(HalderArchitecture(), recipe)
    own = _Learner(recipe)
    rate = schedule_of(recipe, recipe.steps)
    return (
        Phase(
            name="fusion",
            steps=recipe.steps,
            players=(
                Player("generator", lambda: _Learning(Halder(architecture)), own.losses, rate),
            ),
            draw=draw_pairs(recipe.batch, recipe.patch_pixels),
            validate=validate_pairs(own.fuse),
            best="psnr",
            export=NETWORK,
            exported=lambda learning: cast(_Learning, learning).network,
            known_failures="Aligned pairs only: things that move leave ghosts. The second part can "
            "only brighten what the first makes too dark.",
        ),
    )

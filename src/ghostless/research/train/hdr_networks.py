"""Training the networks of three frames that give radiance, on moving brackets: one recipe for all.

The loss compares radiance in the mu-law domain, in which such networks are judged (Kalantari,
Ramamoorthi, SIGGRAPH 2017): its mean absolute difference, or its square. A network with several
outputs is held to the truth with each. What is said of a method's own training stands in its file
beside this one. Steps that a paper does not print are ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ...nn.mu_law import mu_law
from ...nn.three_frames import network_frames
from ...nn.weights import NetworkKind
from .quality import psnr
from .recipe import (
    Batch,
    Draws,
    Losses,
    Moment,
    Phase,
    Player,
    Recipe,
    Table,
    Validation,
    check_choices,
    check_patch,
    mean_scores,
    schedule_of,
    switched,
)
from .samples import TrainingData

_PICTURES = 3


@dataclass(frozen=True)
class HdrRecipe(Recipe):
    """Numbers of the training of a network of three frames.

    loss: "absolute" or "squared" differences in the mu-law domain. further_weight: of the loss of
        every output but the first. beta_1: of Adam. rate_falls_at: share of the steps after which
        the rate falls to a tenth; 1 for never.
    """

    draws: ClassVar[Draws] = "brackets"

    steps: int = 30_000
    batch: int = 8
    loss: Literal["absolute", "squared"] = "absolute"
    further_weight: float = 0.1
    beta_1: float = 0.9
    rate_falls_at: float = 1.0
    photo_size: str = "0"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choices(self, loss=("absolute", "squared"))


Draw = Callable[[TrainingData, torch.Generator, int], Batch]
Lay = Callable[[Batch], Batch]


def phases_of(
    recipe: HdrRecipe,
    kind: NetworkKind,
    *,
    least_patch: int,
    multiple: int = 1,
    draw: Draw | None = None,
    lay: Lay = lambda batch: batch,
    known_failures: str = "",
) -> tuple[Phase, ...]:
    """The one phase of a method.

    least_patch, multiple: of the patches' sides. draw: makes a batch; None for brackets as they
    come. lay: what is done with a whole bracket before the network.
    """
    architecture = switched(kind.architecture(), recipe)
    check_patch(recipe, multiple, least_patch)
    own = _Learning(recipe, lay)
    betas = (recipe.beta_1, 0.999)
    player = Player(
        "generator", lambda: kind.build(architecture), own.losses, own.rate, betas=betas
    )
    return (
        Phase(
            name="reconstruction",
            steps=recipe.steps,
            players=(player,),
            draw=draw or own.draw,
            validate=own.validate,
            best="psnr_mu",
            export=kind,
            known_failures="What clips in the darkest frame is clipped in the result. "
            + known_failures,
        ),
    )


@dataclass(frozen=True)
class _Learning:
    """What a network learns from, and how the result is judged."""

    recipe: HdrRecipe
    lay: Lay

    def draw(self, data: TrainingData, generator: torch.Generator, step: int) -> Batch:
        return self.lay(data.brackets(self.recipe.batch, self.recipe.patch_pixels, generator))

    def losses(self, table: Table, batch: Batch) -> Losses:
        truth = mu_law(batch["radiance"].clamp(0, 1))
        compare = F.l1_loss if self.recipe.loss == "absolute" else F.mse_loss
        found = {}
        for number, output in enumerate(_outputs(table, batch)):
            weight = 1.0 if number == 0 else self.recipe.further_weight
            found[f"mu_law_{number + 1}"] = weight * compare(mu_law(output), truth)
        return found

    def rate(self, moment: Moment) -> float:
        steps = self.recipe.steps
        fallen = moment.step >= self.recipe.rate_falls_at * steps
        return schedule_of(self.recipe, steps)(moment) * (0.1 if fallen else 1.0)

    def validate(self, table: Table, data: TrainingData) -> Validation:
        return score_brackets(data, lambda batch: _outputs(table, self.lay(batch))[0])


def inputs_of(batch: Batch) -> list[Tensor]:
    """What the networks see of a batch of brackets: (B, 6, H, W) of each frame, dark to bright."""
    exposures = torch.exp2(batch["stops"] - batch["stops"][:, :1]).view(-1, 3, 1, 1, 1)
    return network_frames(batch["light"].unbind(1), exposures.unbind(1))


def _outputs(table: Table, batch: Batch) -> tuple[Tensor, ...]:
    """Radiance that a network gives, (B, 3, H, W), and what else it is held to the truth with."""
    found: Any = table.run("generator", *inputs_of(batch))
    return found if isinstance(found, tuple) else (found,)


def score_brackets(data: TrainingData, reconstruct: Callable[[Batch], Tensor]) -> Validation:
    """Scores of a network on the held-out brackets, and pictures of some.

    reconstruct: of a bracket to its radiance, (1, 3, H, W), 1 where the darkest frame clips.
    """
    scores, pictures = [], {}
    for number, batch in enumerate(data.held_out_brackets()):
        radiance, truth = reconstruct(batch), batch["radiance"]
        scores.append(
            {
                "psnr_mu": psnr(mu_law(radiance.clamp(0, 1)), mu_law(truth.clamp(0, 1))),
                "psnr_linear": psnr(radiance, truth),
            }
        )
        if number < _PICTURES:
            shown = [*batch["frames"].unbind(1)]
            shown += [mu_law(image.clamp(0, 1)) for image in (radiance, truth)]
            pictures[f"scene {number}"] = torch.cat(shown, dim=3)[0]
    return Validation(mean_scores(scores), pictures)

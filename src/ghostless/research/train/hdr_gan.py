"""Training HDR-GAN (nn/hdr_gan.py), on moving brackets of three frames.

Preset "paper", the printed text: inputs and outputs are linear radiance, frames raised to 2.2; L1
of both outputs in the mu-law domain and the sphere GAN's loss from the north pole, weighted alike.
Patches, batches and rates could not be read in it and are the program's.
Preset "program", the authors' program: the second half of the inputs and the outputs in the mu-law
domain, photos cut to 8 bits, the sphere's distance from its first axis, gradients clipped to -1..1,
the discriminator's step on a fresh batch.
In both one step of the generator, then one of the discriminator; rates 1e-4, 1e-5, 1e-6 over the
same shares of the steps as in the program.
Preset "default": the network adds to a merge that keeps to the reference; L1 only, larger batches
of smaller patches, cosine rate: in the paper's own table the discriminator adds 0.2 dB, for twice
the time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from ...nn.hdr_gan import (
    GENERATOR,
    Discriminator,
    Generator,
    HdrGanArchitecture,
    compressed_output,
    network_inputs,
    radiance_of_output,
)
from ...nn.mu_law import mu_law
from .hdr_networks import score_brackets
from .losses import deep_supervision_loss, sphere_discriminator_loss, sphere_generator_loss
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
    schedule_of,
    switched,
)
from .samples import TrainingData

_PAPER_STEPS = 1_215_000
# Steps after which the rate falls to a tenth, as shares of all.
_RATE_FALLS_AT = (114_300 / _PAPER_STEPS, 706_400 / _PAPER_STEPS)


@dataclass(frozen=True)
class HdrGanRecipe(Recipe):
    """Numbers of an HDR-GAN training.

    adversarial_weight: of the sphere GAN's loss (lambda); 0 trains no discriminator.
    adversarial_outputs: which of the outputs the discriminator sees: "all", "first" or "last"
        (table III).
    ref_index: axis that the sphere's distance is measured from; -1 for the north pole.
    by_root_count: divide scores by the root of their number first, see `losses.sphere_distance`.
    clip_gradients: largest absolute value of any of their elements; 0 for none.
    fresh_batch: the discriminator's step on a batch of its own.
    eight_bits: cut photos to 8 bits, as the program reads them.
    stepwise_rate: the program's schedule in place of `schedule`.
    """

    draws: ClassVar[Draws] = "brackets"

    steps: int = 30_000
    adversarial_weight: float = 0.0
    adversarial_outputs: Literal["all", "first", "last"] = "all"
    ref_index: int = -1
    by_root_count: bool = False
    clip_gradients: float = 0.0
    fresh_batch: bool = False
    eight_bits: bool = False
    stepwise_rate: bool = False
    photo_size: str = "0"
    architecture: Mapping[str, Any] = field(default_factory=lambda: {"adds_to": "merge"})

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choices(self, adversarial_outputs=("all", "first", "last"))


_PAPER = HdrGanRecipe(
    preset="paper",
    steps=_PAPER_STEPS,
    batch=2,
    patch_pixels=512,
    rate=1e-4,
    ema_decay=0.0,
    adversarial_weight=1.0,
    stepwise_rate=True,
    architecture={"curve": "gamma", "in_hdr": True, "out_hdr": True},
)
PRESETS: Mapping[str, HdrGanRecipe] = {
    "paper": _PAPER,
    "program": replace(
        _PAPER,
        preset="program",
        ref_index=0,
        clip_gradients=1.0,
        fresh_batch=True,
        eight_bits=True,
        architecture={"curve": "gamma"},
    ),
    "default": HdrGanRecipe(),
}


def inputs_of(batch: Batch, architecture: HdrGanArchitecture) -> list[Tensor]:
    """The network's inputs: six channels for each of the three frames, dark to bright."""
    exposures = torch.exp2(batch["stops"] - batch["stops"][:, :1]).view(-1, 3, 1, 1, 1)
    return network_inputs(
        batch["frames"].unbind(1), batch["light"].unbind(1), exposures.unbind(1), architecture
    )


class _Players:
    """What the players learn from, and how the result is judged."""

    def __init__(self, recipe: HdrGanRecipe, architecture: HdrGanArchitecture) -> None:
        self.recipe, self.architecture = recipe, architecture

    def target_of(self, batch: Batch) -> Tensor:
        return mu_law(batch["radiance"].clamp(0, 1)) * 2 - 1

    def generate(self, table: Table, batch: Batch) -> list[Tensor]:
        outputs = table.run("generator", *inputs_of(batch, self.architecture))
        return [compressed_output(output, self.architecture) for output in outputs]

    def generator_losses(self, table: Table, batch: Batch) -> Losses:
        outputs = self.generate(table, batch)
        target = self.target_of(batch)
        # Each by itself, so that the log tells which falls when (the paper's figure 10).
        losses = {
            f"mu_law_{number}": deep_supervision_loss([output], target)
            for number, output in enumerate(outputs, start=1)
        }
        if self.recipe.adversarial_weight:
            scores = [table.run("discriminator", output) for output in self.judged(outputs)]
            sphere = sphere_generator_loss(scores, **self.sphere)
            losses["sphere"] = self.recipe.adversarial_weight * sphere
        return losses

    def judged(self, outputs: list[Tensor]) -> list[Tensor]:
        """The outputs that the discriminator sees."""
        which = self.recipe.adversarial_outputs
        if which == "all":
            return outputs
        return outputs[:1] if which == "first" else outputs[-1:]

    @property
    def sphere(self) -> dict[str, Any]:
        """How the sphere's distance is measured."""
        index = self.recipe.ref_index
        return {
            "ref_index": None if index < 0 else index,
            "by_root_count": self.recipe.by_root_count,
        }

    def discriminator_losses(self, table: Table, batch: Batch) -> Losses:
        with torch.no_grad():
            outputs = self.judged(self.generate(table, batch))
        scores = table.run("discriminator", torch.cat([self.target_of(batch), *outputs]))
        real, *fakes = scores.chunk(1 + len(outputs))
        return {"sphere": sphere_discriminator_loss(real, fakes, **self.sphere)}

    def rate(self, moment: Moment) -> float:
        if not self.recipe.stepwise_rate:
            return schedule_of(self.recipe, self.recipe.steps)(moment)
        share = moment.step / self.recipe.steps
        return float(self.recipe.rate * 0.1 ** sum(share >= fall for fall in _RATE_FALLS_AT))

    def validate(self, table: Table, data: TrainingData) -> Validation:
        kept = table.module("generator").kept_output

        def reconstruct(batch: Batch) -> Tensor:
            output = table.run("generator", *inputs_of(batch, self.architecture))[kept]
            return radiance_of_output(output, self.architecture)

        return score_brackets(data, reconstruct)

    def draw(self, data: TrainingData, generator: torch.Generator, step: int) -> Batch:
        batch = data.brackets(self.recipe.batch, self.recipe.patch_pixels, generator)
        if not self.recipe.eight_bits:
            return batch
        # The light is not looked at with the curve "gamma".
        return {**batch, "frames": (batch["frames"] * 255).round() / 255}


def phases(recipe: HdrGanRecipe) -> tuple[Phase, ...]:
    """The one phase of this method."""
    architecture = switched(HdrGanArchitecture(), recipe)
    check_patch(recipe, architecture.size_multiple, 64)
    own = _Players(recipe, architecture)
    clip = recipe.clip_gradients or None
    generator = Player(
        "generator",
        lambda: Generator(architecture),
        own.generator_losses,
        own.rate,
        clip_gradients=clip,
    )
    discriminator = Player(
        "discriminator",
        Discriminator,
        own.discriminator_losses,
        own.rate,
        clip_gradients=clip,
        fresh_batch=recipe.fresh_batch,
    )
    return (
        Phase(
            name="reconstruction",
            steps=recipe.steps,
            players=(generator, discriminator) if recipe.adversarial_weight else (generator,),
            draw=own.draw,
            validate=own.validate,
            best="psnr_mu",
            export=GENERATOR,
            known_failures="What clips in the darkest frame is clipped in the result. Motion "
            "larger than some 60 pixels over clipped regions cannot be filled from elsewhere.",
        ),
    )

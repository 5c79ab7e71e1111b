"""Training MEF-GAN (nn/mef_gan.py).

Preset "paper", the printed text: one step of the discriminator of section III-B (SGD), then one of
the generator (Adam at 6e-4, content loss times 500 and equation 5's adversarial one), two epochs,
rates falling exponentially; ReLU, spectral norm on local layers 2 to 4, no norm before the tanh,
gradients as differences of neighbours. The factor of the fall is not printed; 0.7 an epoch is.
Preset "program", the authors' program: LeakyReLU, its deeper discriminator, the generator's loss
that does not saturate, rates from 3e-4 that fall by 0.7 for every epoch's number of updates of
either player, four epochs, every third batch further steps of whoever lags behind, all weights
clipped to -8..8, high-pass gradients. Its spectral norm passes gradients through the power
iteration, which PyTorch's does not.
Preset "default": no discriminator; mean absolute error, SSIM and MEF-SSIM instead, cosine rate,
no batch norm before the tanh.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ...nn.mef_gan import (
    GENERATOR,
    Discriminator,
    DiscriminatorArchitecture,
    Generator,
    GeneratorArchitecture,
)
from .losses import (
    TANH_SLOPE,
    bce_discriminator_loss,
    bce_generator_loss,
    mef_gan_content_loss,
)
from .pairs import draw_pairs, validate_pairs
from .quality import likeness_loss, mef_ssim_loss
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

# 20,000 patches in batches of 19.
_STEPS_PER_EPOCH = 1050
# Balancing: every third batch, while one side is more than this sure.
_BALANCE_EVERY = 3
_SURE, _UNSURE = 0.6, 0.4
_MOST_DISCRIMINATOR_STEPS, _MOST_GENERATOR_STEPS = 4, 8


@dataclass(frozen=True)
class MefGanRecipe(Recipe):
    """Numbers of a MEF-GAN training.

    adversarial: train a discriminator too. content_weight: of the content loss beside it (lambda).
    gradient_weight: of gradients within the content loss (xi), 0 leaves them out.
    gradient_form: "differences" of neighbours, or the program's "high-pass".
    saturating: the generator's adversarial loss as of equation 5, not the program's.
    discriminator: "paper" or "code", see `methods.mef_gan.DiscriminatorArchitecture`.
    discriminator_rate: as a multiple of the generator's rate.
    balanced: further steps of whoever lags behind. clip_weights: largest absolute value of any
        weight; 0 for none. adam_beta1, adam_beta2: of the generator's optimiser.
    decay: factor of both rates after each epoch's number of moves, counted in "steps" or in
        "updates" of either player (`decay_counts`); 1 leaves the rate to `schedule`.
    gamma_deviation: of the normal distribution that the attention's residual scale is drawn from;
        0 starts it at the architecture's `initial_gamma`.
    likeness_weight: of mean absolute error and SSIM to the reference. mef_ssim_weight: of MEF-SSIM
        to the pair. norm_before_tanh: of the architecture.
    """

    patch_pixels: int = 192
    adversarial: bool = False
    content_weight: float = 0.0
    gradient_weight: float = 0.6
    gradient_form: Literal["high-pass", "differences"] = "high-pass"
    saturating: bool = False
    discriminator: Literal["code", "paper"] = "code"
    discriminator_rate: float = 2.0
    balanced: bool = False
    clip_weights: float = 0.0
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    decay: float = 1.0
    decay_counts: Literal["steps", "updates"] = "steps"
    gamma_deviation: float = 0.0
    likeness_weight: float = 1.0
    mef_ssim_weight: float = 0.5
    norm_before_tanh: bool = False
    architecture: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choices(
            self,
            gradient_form=("high-pass", "differences"),
            discriminator=("code", "paper"),
            decay_counts=("steps", "updates"),
        )


PRESETS: Mapping[str, MefGanRecipe] = {
    "paper": MefGanRecipe(
        preset="paper",
        steps=2 * _STEPS_PER_EPOCH,
        batch=19,
        patch_pixels=144,
        rate=6e-4,
        schedule="constant",
        ema_decay=0.0,
        adversarial=True,
        content_weight=500.0,
        gradient_form="differences",
        saturating=True,
        discriminator="paper",
        decay=0.7,
        likeness_weight=0.0,
        mef_ssim_weight=0.0,
        norm_before_tanh=False,
        architecture={"activation": "relu", "local_spectral_layers": 3},
    ),
    "program": MefGanRecipe(
        preset="program",
        steps=4 * _STEPS_PER_EPOCH,
        batch=19,
        patch_pixels=144,
        rate=3e-4,
        schedule="constant",
        ema_decay=0.0,
        adversarial=True,
        content_weight=500.0,
        balanced=True,
        clip_weights=8.0,
        adam_beta1=0.0,
        adam_beta2=0.9,
        decay=0.7,
        decay_counts="updates",
        gamma_deviation=0.5,
        likeness_weight=0.0,
        mef_ssim_weight=0.0,
        norm_before_tanh=True,
    ),
    "default": MefGanRecipe(),
}


class _Players:
    """What the players learn from."""

    def __init__(self, recipe: MefGanRecipe) -> None:
        self.recipe = recipe

    def make_generator(self) -> nn.Module:
        recipe = self.recipe
        architecture = GeneratorArchitecture(norm_before_tanh=recipe.norm_before_tanh)
        generator = Generator(switched(architecture, recipe))
        if recipe.gamma_deviation and generator.attention is not None:
            deviation = recipe.gamma_deviation
            gamma = generator.attention.gamma
            nn.init.trunc_normal_(gamma, 0.0, deviation, -2 * deviation, 2 * deviation)
        return generator

    def make_discriminator(self) -> nn.Module:
        recipe = self.recipe
        architecture = DiscriminatorArchitecture(
            variant=recipe.discriminator,
            patch=recipe.patch_pixels,
            activation="relu" if recipe.discriminator == "paper" else "leaky_0.2",
        )
        network = Discriminator(architecture)
        if recipe.discriminator == "paper":
            # The text says nothing of how kernels begin. Drawn like the program's, this one's last
            # layer, which sees 165,888 numbers, would be certain from the first step on.
            network.score.reset_parameters()
        return network

    def fuse(self, table: Table, batch: Batch) -> Tensor:
        fused: Tensor = table.run("generator", over=batch["over"], under=batch["under"])
        return fused

    def rate(self, moment: Moment) -> float:
        recipe = self.recipe
        if recipe.decay == 1:
            return schedule_of(recipe, recipe.steps)(moment)
        moves = moment.updates if recipe.decay_counts == "updates" else moment.step
        return float(recipe.rate * recipe.decay ** (moves / _STEPS_PER_EPOCH))

    def generator_losses(self, table: Table, batch: Batch) -> Losses:
        recipe = self.recipe
        fused, target = self.fuse(table, batch), batch["target"]
        losses = {}
        if recipe.adversarial:
            scores = table.run("discriminator", fused)
            losses["adversarial"] = bce_generator_loss(
                scores, slope=TANH_SLOPE, saturating=recipe.saturating
            )
        if recipe.content_weight:
            content = mef_gan_content_loss(
                fused,
                target,
                gradient_weight=recipe.gradient_weight,
                gradient_form=recipe.gradient_form,
            )
            losses["content"] = recipe.content_weight * content
        if recipe.likeness_weight:
            losses["likeness"] = recipe.likeness_weight * likeness_loss(fused, target)
        if recipe.mef_ssim_weight:
            unlike = mef_ssim_loss(batch["under"], batch["over"], fused)
            losses["mef_ssim"] = recipe.mef_ssim_weight * unlike
        return losses

    def discriminator_losses(self, table: Table, batch: Batch) -> Losses:
        with torch.no_grad():
            fused = self.fuse(table, batch)
        # One call for both: a wrapper of several devices counts calls.
        real, fake = table.run("discriminator", torch.cat([batch["target"], fused])).chunk(2)
        return {"real_or_fused": bce_discriminator_loss(real, fake, slope=TANH_SLOPE)}


def phases(recipe: MefGanRecipe) -> tuple[Phase, ...]:
    """The one phase of this method."""
    check_patch(recipe, 8, 64)
    switched(GeneratorArchitecture(), recipe)  # what it does not know is told before any work
    own = _Players(recipe)
    clip = recipe.clip_weights or None
    generator = Player(
        "generator",
        own.make_generator,
        own.generator_losses,
        own.rate,
        betas=(recipe.adam_beta1, recipe.adam_beta2),
        clip_weights=clip,
    )
    discriminator = Player(
        "discriminator",
        own.make_discriminator,
        own.discriminator_losses,
        lambda moment: recipe.discriminator_rate * own.rate(moment),
        optimiser="sgd",
        clip_weights=clip,
    )
    return (
        Phase(
            name="fusion",
            steps=recipe.steps,
            players=(discriminator, generator) if recipe.adversarial else (generator,),
            draw=draw_pairs(recipe.batch, recipe.patch_pixels),
            validate=validate_pairs(own.fuse),
            best="psnr",
            export=GENERATOR,
            extra=balance if recipe.adversarial and recipe.balanced else None,
            known_failures="Aligned pairs only: things that move leave ghosts. Where both frames "
            "clip or are black, detail is guessed. After a short training colours drift: the "
            "demo's warm room comes out pinkish.",
        ),
    )


def balance(table: Table, batch: Batch, step: int) -> Iterator[str]:
    """Name who moves once more on this batch: the discriminator while unsure, then the generator.

    At most four and eight moves, the regular one counted, every third batch.
    """
    if step % _BALANCE_EVERY:
        return

    @torch.no_grad()
    def beliefs() -> tuple[float, float]:
        fused = table.run("generator", over=batch["over"], under=batch["under"])
        real = torch.sigmoid(TANH_SLOPE * table.run("discriminator", batch["target"])).mean()
        fake = torch.sigmoid(TANH_SLOPE * table.run("discriminator", fused)).mean()
        return float(real), float(fake)

    for _ in range(_MOST_DISCRIMINATOR_STEPS - 1):
        real, fake = beliefs()
        if not (fake > _SURE or real < _UNSURE):
            break
        yield "discriminator"
    for _ in range(_MOST_GENERATOR_STEPS - 1):
        real, fake = beliefs()
        if not (real > _SURE or fake < _UNSURE):
            break
        yield "generator"

"""Training MEF-GAN (methods/mef_gan.py).

Preset "paper", after the paper and, where the two differ, the authors' program: one step of the
discriminator (SGD), one of the generator (Adam, content loss times 500 and the adversarial one),
every third batch further steps of whoever lags behind, all weights clipped to -8..8, rates falling
by 0.7 for every epoch's number of updates.
Preset "default": no discriminator; mean absolute error, SSIM and MEF-SSIM instead, cosine rate,
no batch norm before the tanh.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ...methods.mef_gan import (
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
    check_patch,
    schedule_of,
    switched,
)

# 20,000 patches in batches of 19.
_UPDATES_PER_EPOCH = 1050
_DECAY_PER_EPOCH = 0.7
_DISCRIMINATOR_RATE_FACTOR = 2.0
_CLIP_WEIGHTS = 8.0
# Balancing: every third batch, while one side is more than this sure.
_BALANCE_EVERY = 3
_SURE, _UNSURE = 0.6, 0.4
_MOST_DISCRIMINATOR_STEPS, _MOST_GENERATOR_STEPS = 4, 8


@dataclass(frozen=True)
class MefGanRecipe(Recipe):
    """Numbers of a MEF-GAN training.

    adversarial: train a discriminator too. content_weight: of the content loss beside it.
    gradient_weight: of gradients within the content loss (xi), 0 leaves them out.
    likeness_weight: of mean absolute error and SSIM to the reference. mef_ssim_weight: of MEF-SSIM
        to the pair. norm_before_tanh: of the architecture.
    """

    patch_pixels: int = 192
    adversarial: bool = False
    content_weight: float = 0.0
    gradient_weight: float = 0.6
    likeness_weight: float = 1.0
    mef_ssim_weight: float = 0.5
    norm_before_tanh: bool = False


PRESETS: Mapping[str, MefGanRecipe] = {
    "paper": MefGanRecipe(
        preset="paper",
        steps=4 * _UPDATES_PER_EPOCH,
        batch=19,
        patch_pixels=144,
        rate=3e-4,
        schedule="constant",
        ema_decay=0.0,
        adversarial=True,
        content_weight=500.0,
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

    def fuse(self, table: Table, batch: Batch) -> Tensor:
        fused: Tensor = table.run("generator", over=batch["over"], under=batch["under"])
        return fused

    def rate(self, moment: Moment) -> float:
        if self.recipe.adversarial:
            epochs = moment.updates / _UPDATES_PER_EPOCH
            return float(self.recipe.rate * _DECAY_PER_EPOCH**epochs)
        return schedule_of(self.recipe, self.recipe.steps)(moment)

    def generator_losses(self, table: Table, batch: Batch) -> Losses:
        fused, target = self.fuse(table, batch), batch["target"]
        losses = {}
        if self.recipe.adversarial:
            scores = table.run("discriminator", fused)
            losses["adversarial"] = bce_generator_loss(scores, slope=TANH_SLOPE)
        if self.recipe.content_weight:
            content = mef_gan_content_loss(
                fused, target, gradient_weight=self.recipe.gradient_weight
            )
            losses["content"] = self.recipe.content_weight * content
        if self.recipe.likeness_weight:
            losses["likeness"] = self.recipe.likeness_weight * likeness_loss(fused, target)
        if self.recipe.mef_ssim_weight:
            unlike = mef_ssim_loss(batch["under"], batch["over"], fused)
            losses["mef_ssim"] = self.recipe.mef_ssim_weight * unlike
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
    own = _Players(recipe)
    architecture = switched(GeneratorArchitecture(norm_before_tanh=recipe.norm_before_tanh), recipe)
    clip = _CLIP_WEIGHTS if recipe.adversarial else None
    generator = Player(
        "generator",
        lambda: Generator(architecture),
        own.generator_losses,
        own.rate,
        betas=(0.0, 0.9) if recipe.adversarial else (0.9, 0.999),
        clip_weights=clip,
    )
    discriminator = Player(
        "discriminator",
        lambda: Discriminator(DiscriminatorArchitecture(patch=recipe.patch_pixels)),
        own.discriminator_losses,
        lambda moment: _DISCRIMINATOR_RATE_FACTOR * own.rate(moment),
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
            extra=balance if recipe.adversarial else None,
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

"""The second stage of Chen & Chuang's training: attention and merging network, and the PatchGAN."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import OptionError, WeightsError
from ...nn.chen_chuang import (
    GENERATOR,
    SIZE_MULTIPLE,
    Attended,
    ChenChuangArchitecture,
    Discriminator,
    Generator,
)
from ...nn.four_points import SIDE_PIXELS
from ...nn.homography import HOMOGRAPHY, homography_from_offsets, warp
from ...nn.ycbcr import luma
from .attention_losses import attention_loss, filling_loss, joined, suppression
from .chen_chuang_recipe import ChenChuangRecipe
from .homography_stage import UNREGISTERED, network_inputs
from .losses import lsgan_discriminator_loss, lsgan_generator_loss
from .pairs import PICTURES, draw_pairs, validate_pairs
from .perceptual import (
    CAFFE_LAMBDAS,
    VggSettings,
    load_squeezenet,
    load_vgg19,
    measure_lambdas,
    perceptual_loss,
)
from .quality import mef_ssim_loss, scale_space_loss
from .recipe import (
    Batch,
    Losses,
    Moment,
    Phase,
    Player,
    Table,
    Validation,
    check_patch,
    schedule_of,
    switched,
)
from .samples import (
    Motion,
    TrainingData,
    changed,
    flip,
    jitter,
    make_homography_pairs,
    margin_of,
    move,
    paste_moving,
)

Draw = Callable[[TrainingData, torch.Generator, int], Batch]
Validate = Callable[[Table, TrainingData], Validation]

# The perceptual loss counts pixels on 0..255; what stands in for it does too, beside the GAN loss.
_LEVELS = 255.0
_LAMBDA_BATCH = 4


def middle(image: Tensor, side: int) -> Tensor:
    """The middle square of an image, enlarged first if it is smaller."""
    height, width = image.shape[-2:]
    if min(height, width) < side:
        scale = side / min(height, width)
        size = (max(side, round(height * scale)), max(side, round(width * scale)))
        image = F.interpolate(image, size, mode="bilinear", align_corners=False)
        height, width = size
    top, left = (height - side) // 2, (width - side) // 2
    return image[..., top : top + side, left : left + side]


def fusion_phase(recipe: ChenChuangRecipe) -> Phase:
    """The second stage."""
    check_patch(recipe, SIZE_MULTIPLE, SIZE_MULTIPLE)
    stage = _Fusion(recipe)
    if stage.apart and recipe.patch_pixels != SIDE_PIXELS:
        raise OptionError(
            f"patch: expected {SIDE_PIXELS} pixels with registration {recipe.registration!r}, "
            f"found {recipe.patch_pixels}"
        )
    architecture = switched(ChenChuangArchitecture(full_size_skip=recipe.full_size_skip), recipe)
    rate = schedule_of(recipe, recipe.steps)
    attention = _Attention(recipe)
    if recipe.learns == "attention":
        return attention.phase(architecture, rate)
    losses: Callable[[Table, Batch], Losses] = stage.generator_losses
    draw: Draw = stage.draw
    validate = validate_pairs(stage.fuse)
    if recipe.attention_weight and architecture.gate:
        losses, draw = attention.beside(losses), attention.drawn_beside(draw)
        validate = attention.validated_beside(validate)
    generator = Player("generator", lambda: Generator(architecture), losses, rate)
    discriminator = Player("discriminator", Discriminator, stage.discriminator_losses, rate)
    return Phase(
        name="fusion",
        steps=recipe.steps,
        players=(discriminator, generator) if recipe.adversarial_weight else (generator,),
        draw=draw,
        validate=validate,
        best="psnr",
        export=GENERATOR,
        frozen={"homography": HOMOGRAPHY} if stage.by_network else {},
        check=stage.likeness.check,
        prepare=stage.likeness.prepare,
        known_failures=_failures(architecture),
    )


class _Fusion:
    """What the second stage draws, and its losses."""

    def __init__(self, recipe: ChenChuangRecipe) -> None:
        self.recipe = recipe
        self.by_network = recipe.registration == "network"
        self.apart = recipe.registration != "aligner"
        self.likeness = _Likeness(recipe)
        self.still = draw_pairs(recipe.batch, recipe.patch_pixels)
        self.larger = draw_pairs(recipe.batch, SIDE_PIXELS + 2 * margin_of(UNREGISTERED))

    def draw(self, data: TrainingData, generator: torch.Generator, step: int) -> Batch:
        if self.apart:
            batch = self.larger(data, generator, step)
            offsets = UNREGISTERED.draw(self.recipe.batch, generator)
            made = make_homography_pairs(
                batch["under"], batch["over"], offsets, margin_of(UNREGISTERED)
            )
            return {
                "under": made.first,
                "over": made.second,
                "target": middle(batch["target"], SIDE_PIXELS),
            }
        batch = paste_moving(self.still(data, generator, step), self.recipe.moving_share, generator)
        return {**batch, "over": jitter(batch["over"], self.recipe.rest_pixels, generator)}

    def register(self, table: Table, batch: Batch) -> Tensor:
        """The over-exposed frame as the generator gets it."""
        if not self.by_network or batch["under"].shape[-2:] != (SIDE_PIXELS, SIDE_PIXELS):
            return batch["over"]
        with torch.no_grad():
            offsets = table.run("homography", network_inputs(batch["under"], batch["over"]))
            return warp(batch["over"], homography_from_offsets(offsets))[0]

    def generator_losses(self, table: Table, batch: Batch) -> Losses:
        under, over, target = batch["under"], self.register(table, batch), batch["target"]
        fused = table.run("generator", under, over)
        losses = self.likeness.loss(fused, target)
        if self.recipe.mef_ssim_weight:
            weight = _LEVELS * self.recipe.mef_ssim_weight
            losses["mef_ssim"] = weight * mef_ssim_loss(under, over, fused)
        if self.recipe.adversarial_weight:
            beside = self.condition(batch, over)
            scores = table.run("discriminator", torch.cat([under, beside, fused], dim=1))
            losses["adversarial"] = self.recipe.adversarial_weight * lsgan_generator_loss(scores)
        return losses

    def discriminator_losses(self, table: Table, batch: Batch) -> Losses:
        under, over = batch["under"], self.register(table, batch)
        with torch.no_grad():
            fused = table.run("generator", under, over)
        beside = self.condition(batch, over)
        judged = [torch.cat([under, beside, image], dim=1) for image in (batch["target"], fused)]
        real, fake = table.run("discriminator", torch.cat(judged)).chunk(2)
        return {"real_or_fused": lsgan_discriminator_loss(real, fake)}

    def condition(self, batch: Batch, registered: Tensor) -> Tensor:
        """The over-exposed frame that the discriminator sees."""
        return registered if self.recipe.condition == "warped" else batch["over"]

    def fuse(self, table: Table, batch: Batch) -> Tensor:
        fused: Tensor = table.run("generator", batch["under"], batch["over"])
        return fused


_MOVING = ("under", "over", "still")
_OF_MOVING = "moving "  # before the names of what is drawn for the attention


class _Attention:
    """How attention learns what moved: on pairs of its own, alone or beside the picture."""

    def __init__(self, recipe: ChenChuangRecipe) -> None:
        self.recipe = recipe
        self.patch = recipe.attention_patch or recipe.patch_pixels
        self.batch = recipe.attention_batch or recipe.batch
        self.apart = Motion(recipe.apart_pixels, "uniform")
        self.pool: Tensor | None = None

    def draw(self, data: TrainingData, generator: torch.Generator, step: int) -> Batch:
        batch = flip(self._pairs(data, generator), generator)
        shares = torch.rand(self.batch, generator=generator, device=generator.device)
        apart = move(batch["over"], self.apart.draw(self.batch, generator))
        chosen = (shares < self.recipe.apart_share).view(-1, 1, 1, 1)
        return {**batch, "over": torch.where(chosen, apart, batch["over"])}

    def _pairs(self, data: TrainingData, generator: torch.Generator) -> Batch:
        size = self.recipe.attention_pool
        if not size:
            return data.moving_pairs(self.batch, self.patch, generator)
        if self.pool is None:
            self.pool = self._fill(data, size)
        chosen = torch.randint(size, (self.batch,), generator=generator, device=data.device)
        images = self.pool[chosen].float() / 255
        return dict(zip(_MOVING, images.unbind(dim=1), strict=True))

    def _fill(self, data: TrainingData, size: int) -> Tensor:
        # The same whenever it is filled, so that a resumed run goes on with the same.
        generator = torch.Generator(data.device).manual_seed(0)
        held: list[Tensor] = []
        while sum(map(len, held)) < size:
            made = data.moving_pairs(self.batch, self.patch, generator)
            images = torch.stack([made[name] for name in _MOVING], dim=1)
            held.append((images * 255).round().to(torch.uint8))
        return torch.cat(held)[:size]

    def losses(self, table: Table, batch: Batch) -> Losses:
        under, over, still = batch["under"], batch["over"], batch["still"]
        found: Attended = table.run("generator", under, over, look="gate")
        change = changed(over, still)
        weight = self.recipe.attention_weight
        losses = {"attention": weight * attention_loss(found.attention, over, change)}
        if found.instead is not None:
            losses["instead"] = weight * 2 * filling_loss(found.instead, still, change)
        return losses

    def validate(self, table: Table, data: TrainingData) -> Validation:
        found, errors, pictures = [], [], {}
        for number, batch in enumerate(data.held_out_moving_pairs(self.patch)):
            under, over, still = batch["under"], batch["over"], batch["still"]
            seen: Attended = table.run("generator", under, over, look="attention")
            change = changed(over, still)
            found.append(suppression(seen.attention, luma(over), change))
            shown = [under, over, *(m.expand_as(over) for m in (change, seen.attention))]
            if seen.instead is not None:
                errors.append(float(filling_loss(seen.instead, still, change)))
                shown.append(seen.instead)
            if number < PICTURES:
                pictures[f"attention {number}"] = torch.cat(shown, dim=3)[0].clamp(0, 1)
        both = joined(found)
        scores = {"attention_ratio": both.ratio, "on_unchanged": both.on_unchanged}
        if errors:
            scores["instead"] = sum(errors) / len(errors)
        return Validation(scores, pictures)

    def beside(self, losses: Callable[[Table, Batch], Losses]) -> Callable[[Table, Batch], Losses]:
        def both(table: Table, batch: Batch) -> Losses:
            moving = {
                name.removeprefix(_OF_MOVING): value
                for name, value in batch.items()
                if name.startswith(_OF_MOVING)
            }
            return {**losses(table, batch), **self.losses(table, moving)}

        return both

    def drawn_beside(self, draw: Draw) -> Draw:
        def both(data: TrainingData, generator: torch.Generator, step: int) -> Batch:
            batch = draw(data, generator, step)
            moving = self.draw(data, generator, step)
            return {**batch, **{_OF_MOVING + name: value for name, value in moving.items()}}

        return both

    def validated_beside(self, validate: Validate) -> Validate:
        def both(table: Table, data: TrainingData) -> Validation:
            found, own = validate(table, data), self.validate(table, data)
            return Validation({**found.scores, **own.scores}, {**found.pictures, **own.pictures})

        return both

    def phase(self, architecture: ChenChuangArchitecture, rate: Callable[[Moment], float]) -> Phase:
        """Attention alone."""
        return Phase(
            name="fusion",
            steps=self.recipe.steps,
            players=(Player("generator", lambda: Generator(architecture), self.losses, rate),),
            draw=self.draw,
            validate=self.validate,
            best="attention_ratio",
            lower_is_better=True,
            export=GENERATOR,
            batch=self.batch,
            known_failures="Only its attention has learnt; what merges is as it was before.",
        )


class _Likeness:
    """How like a fused image is to its reference: by a network's features, or by what stands in."""

    def __init__(self, recipe: ChenChuangRecipe) -> None:
        self.recipe = recipe
        self.features: nn.Module | None = None
        self.lambdas: Mapping[str, float] = CAFFE_LAMBDAS

    def check(self) -> None:
        """Raise OptionError without features where nothing may stand in for them."""
        recipe = self.recipe
        file = recipe.vgg or recipe.squeezenet
        if file is not None and not Path(file).is_file():
            name = "vgg" if recipe.vgg is not None else "squeezenet"
            raise WeightsError(f"{name}: expected a file of weights, found none at {file}")
        if file is None and not recipe.stand_in:
            raise OptionError(
                "vgg: expected a file of VGG-19's ImageNet weights for the perceptual loss of "
                f"preset {recipe.preset}, found none; name one with --set vgg=FILE (and --set "
                "vgg_scale=torchvision for torchvision's), or SqueezeNet's with --set "
                "squeezenet=FILE, or take losses without one with --set stand_in=true"
            )

    @property
    def _caffe(self) -> bool:
        return self.recipe.squeezenet is None and self.recipe.vgg_scale == "caffe"

    def prepare(self, data: TrainingData) -> str | None:
        """Read the features and find the layers' weights; say which."""
        recipe = self.recipe
        if recipe.squeezenet is not None:
            self.features = load_squeezenet(recipe.squeezenet)
        elif recipe.vgg is not None:
            bgr = recipe.vgg_channels == "bgr" or (recipe.vgg_channels == "auto" and self._caffe)
            settings = VggSettings(recipe.vgg_scale, recipe.vgg_pooling, bgr)
            self.features = load_vgg19(recipe.vgg, settings)
        else:
            return None
        self.features.to(data.device)
        if recipe.lambdas != "auto":
            self.lambdas, how = self._given(data), "as given"
        elif self._caffe:
            self.lambdas, how = CAFFE_LAMBDAS, "of the paper"
        else:
            pairs = _middle_exposures(data, recipe.lambda_pairs, recipe.patch_pixels)
            self.lambdas = measure_lambdas(self.features, pairs)
            how = f"measured on {recipe.lambda_pairs} pairs"
        listed = ", ".join(f"{name} {value:.4g}" for name, value in self.lambdas.items())
        return f"perceptual loss, lambdas {how}: {listed}"

    def _given(self, data: TrainingData) -> dict[str, float]:
        assert self.features is not None
        names = list(self.features(torch.zeros(1, 3, 64, 64, device=data.device)))
        try:
            values = [float(word) for word in self.recipe.lambdas.split(",")]
        except ValueError:
            values = []
        if len(values) != len(names):
            raise OptionError(
                f"lambdas: expected {len(names)} numbers with commas, for {', '.join(names)}, "
                f"found {self.recipe.lambdas!r}"
            )
        return dict(zip(names, values, strict=True))

    def loss(self, fused: Tensor, target: Tensor) -> Losses:
        if self.features is None:
            return {"scale_space": _LEVELS * scale_space_loss(fused, target)}
        return {"perceptual": perceptual_loss(self.features, fused, target, self.lambdas)}


def _middle_exposures(data: TrainingData, count: int, side: int) -> Iterator[tuple[Tensor, Tensor]]:
    """References beside middle exposures of their scenes, the same ones every time.

    Where a source has pairs only, either of the two by turns.
    """
    generator = torch.Generator(data.device).manual_seed(0)
    for number in range(-(-count // _LAMBDA_BATCH)):
        batch = min(_LAMBDA_BATCH, count - number * _LAMBDA_BATCH)
        middles = getattr(data, "middles", None)
        if middles is not None:
            drawn = middles(batch, side, generator)
            yield drawn["target"], drawn["middle"]
        else:
            drawn = data.pairs(batch, side, generator)
            yield drawn["target"], drawn["over" if number % 2 else "under"]


def _failures(architecture: ChenChuangArchitecture) -> str:
    if architecture.adds_to != "nothing":
        moving = "What moves it does not reject."
        if architecture.gate:
            moving = (
                "What moved it replaces by the darker photo made brighter, noise and all; where "
                "that is black or the brighter photo white, it cannot tell and lets it through. "
                "In place of fine detail that is misaligned by a pixel, such as leaves, the darker "
                "photo may stand too. "
                "Small things of a colour that nothing else has lose some of it."
            )
        lattice = ""
        if architecture.shifts == 1:
            lattice = (
                " In flat areas it shows a lattice of 128 pixels, faint at one megapixel, plain in "
                "photos of many as a whole (`--quality full`): it has only seen patches of 256."
            )
        return f"What it brightens, it brightens with its noise. {moving}{lattice}"
    if architecture.full_size_skip:
        return "Its skip at full size is not in the paper."
    return "A little soft: the finest skip of its U-Net is at half size."

"""Training Chen & Chuang's networks (methods/chen_chuang.py, nn/homography.py), in two stages.

Stage "homography": the homography network alone, on how far the corners moved, in units of 32
pixels. Stage "fusion": attention and merging network, the over-exposed frame registered first.
Preset "paper": VGG-19 perceptual loss (with a path to weights) and a conditional PatchGAN with
least-squares loss (weight 0.01); frames registered by the frozen network of the first stage.
Preset "default": the homography network with six poolings (6.9 million parameters, not 19.5) and
instance norm after its first four convolutions only, on small patches and motions first, and with
heads that say how far each cell of its grids moved: without these it stays at chance for tens of
thousands of pairs, with them it starts after some ten thousand. Fusion without discriminator, the
frames misaligned by what a good aligner leaves.

Without VGG weights `quality.scale_space_loss` stands in, which says what that costs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import OptionError
from ...methods.chen_chuang import (
    GENERATOR,
    SIZE_MULTIPLE,
    ChenChuangArchitecture,
    Discriminator,
    Generator,
)
from ...nn.blocks import ConvBlock
from ...nn.homography import (
    CONVOLUTIONS,
    HOMOGRAPHY,
    LARGEST_OFFSET_PIXELS,
    SIDE_PIXELS,
    HomographyArchitecture,
    HomographyNetwork,
    homography_from_offsets,
    warp,
)
from .losses import (
    CAFFE_LAMBDAS,
    Vgg19,
    VggSettings,
    load_vgg19,
    lsgan_discriminator_loss,
    lsgan_generator_loss,
    perceptual_loss,
)
from .pairs import draw_pairs, validate_pairs
from .quality import mef_ssim_loss, scale_space_loss
from .recipe import (
    Batch,
    Losses,
    Phase,
    Player,
    Recipe,
    Table,
    Validation,
    check_patch,
    schedule_of,
    switched,
)
from .samples import (
    Motion,
    Spread,
    TrainingData,
    flip,
    jitter,
    make_homography_pairs,
    margin_of,
    paste_moving,
    repeat_border,
    uniform,
)

_ITERATIONS_PER_EPOCH = 471
_ADVERSARIAL_WEIGHT = 0.01
# The perceptual loss counts pixels on 0..255; what stands in for it does too, beside the GAN loss.
_LEVELS = 255.0
# Grids, from the last back, on which the motion of each cell is learnt too.
LOCAL_GRIDS = 4
# Up to this error the robust loss is a square: what is nearly right should get right.
_ROBUST_PIXELS = 1.0
# As far apart as frames may be for the homography network: the paper's motion.
UNREGISTERED = Motion(LARGEST_OFFSET_PIXELS)
# What a first pass leaves, as a share of the motion.
_REST_OF_FIRST_PASS = (0.02, 0.5)
_MOTIONS_OF_HELD_OUT = 12
_POOL_DRAW = 16


@dataclass(frozen=True)
class ChenChuangRecipe(Recipe):
    """Numbers of a training of both stages.

    homography_steps, homography_batch, homography_rate: of the first stage; `steps`, `batch` and
        `rate` are the second's.
    homography_channels, instance_norms, pool_last: of the homography network's architecture.
    homography_spread: of the corners' motion, see `samples.Motion`.
    homography_loss: "squared" error of the offsets, or "robust": smooth L1.
    homography_pool: exposure pairs that are simulated once and cut anew with new motions at every
        step; 0 for fresh ones each time, which a CPU is too slow for. 0.9 MB of memory each.
    second_passes: whether half of the patches of 256 pixels are such as a second pass sees, which
        begins from the answer of the first: nearly in place, with a border that is repeated.
    small_first: whether patches and motions start small, see `growth_of`.
    local_weight: of the motion of each cell of the last four grids; 0 for no such heads.
    full_size_skip: of the generator's architecture.
    adversarial_weight: 0 trains no discriminator. mef_ssim_weight: of 1 - MEF-SSIM to the frames,
        beside the likeness to the reference, on the same scale of 255.
    registration: what brings the frames of the second stage together: the frozen "network" of the
        first (patches of 256 pixels), or "aligner": they are aligned but for a small rest, or
        "none": as far apart as for the network (the paper's ablation).
    rest_pixels: the largest rest at the corners. moving_share: of samples in which things move;
        the default leaves those to the line's deghosting.
    vgg, vgg_scale: path to VGG-19's weights, and whose they are.
    """

    homography_steps: int = 60_000
    homography_batch: int = 64
    homography_rate: float = 5e-4
    homography_channels: int = 64
    homography_spread: Spread = "uniform"
    homography_loss: Literal["squared", "robust"] = "robust"
    homography_pool: int = 0
    instance_norms: int = 4
    pool_last: bool = True
    second_passes: bool = True
    small_first: bool = True
    local_weight: float = 1.0
    full_size_skip: bool = False
    adversarial_weight: float = 0.0
    mef_ssim_weight: float = 1.0
    registration: Literal["network", "aligner", "none"] = "aligner"
    rest_pixels: float = 1.5
    moving_share: float = 0.0
    vgg: str | None = None
    vgg_scale: Literal["caffe", "torchvision"] = "caffe"
    architecture: Mapping[str, Any] = field(default_factory=lambda: {"adds_to": "local fusion"})

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, choices in (
            ("homography_spread", get_args(Spread)),
            ("homography_loss", ("squared", "robust")),
            ("registration", ("network", "aligner", "none")),
        ):
            if getattr(self, name) not in choices:
                raise OptionError(
                    f"{name}: expected one of {', '.join(choices)}, found {getattr(self, name)!r}"
                )
        for name in ("homography_pool", "local_weight"):
            if getattr(self, name) < 0:
                raise OptionError(f"{name}: expected 0 or more, found {getattr(self, name)}")
        if self.small_first and not self.local_weight:
            raise OptionError(
                "small_first: expected a local_weight above 0 with it, found 0: small patches "
                "teach nothing else"
            )

    def numbers_of(self, stage: str | None) -> Mapping[str, str]:
        if stage != "homography":
            return {}
        return {name: f"homography_{name}" for name in ("steps", "batch")}


PRESETS: Mapping[str, ChenChuangRecipe] = {
    "paper": ChenChuangRecipe(
        preset="paper",
        steps=200 * _ITERATIONS_PER_EPOCH,
        batch=4,
        patch_pixels=256,
        rate=1e-4,
        schedule="constant",
        ema_decay=0.0,
        homography_steps=500 * _ITERATIONS_PER_EPOCH,
        homography_batch=4,
        homography_rate=1e-4,
        homography_spread="normal",
        homography_loss="squared",
        instance_norms=CONVOLUTIONS,
        pool_last=False,
        second_passes=False,
        small_first=False,
        local_weight=0.0,
        adversarial_weight=_ADVERSARIAL_WEIGHT,
        mef_ssim_weight=0.0,
        registration="network",
        moving_share=0.0,
        architecture={},
    ),
    "default": ChenChuangRecipe(),
}


def phases(recipe: ChenChuangRecipe) -> tuple[Phase, ...]:
    """Both stages, the homography network first."""
    return homography_phase(recipe), fusion_phase(recipe)


# Stage one


def network_inputs(first: Tensor, second: Tensor) -> Tensor:
    """Both images and their bitmaps, (B, 8, 256, 256), as `nn.homography.network_input` joins them.

    first, second: (B, 3, 256, 256), 0..1, the darker first.
    """
    bitmaps = []
    weights = first.new_tensor([54.0, 183.0, 19.0]).view(1, 3, 1, 1)
    greys = [
        ((image * 255).round() * weights).sum(1, keepdim=True).div(256).floor()
        for image in (first, second)
    ]
    thresholds = _thresholds(*greys)
    for grey, threshold in zip(greys, thresholds, strict=True):
        bitmaps.append((grey > threshold.view(-1, 1, 1, 1)).to(first.dtype))
    return torch.cat([first * 2 - 1, second * 2 - 1, *bitmaps], dim=1)


def _thresholds(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Grey levels (B,) that cut both images (B, 1, H, W) at one quantile, on the device."""
    from ...nn.homography import _BRIGHTEST_THRESHOLD, _DARKEST_THRESHOLD, _QUANTILES

    quantiles = torch.tensor(_QUANTILES, device=first.device, dtype=torch.float64)
    levels = []
    for grey in (first, second):
        codes = grey.flatten(1).long().clamp(0, 255)
        counts = torch.zeros(len(codes), 256, device=grey.device, dtype=torch.float64)
        counts.scatter_add_(1, codes, torch.ones_like(codes, dtype=torch.float64))
        shares = counts.cumsum(1) / codes.shape[1]
        wanted = quantiles.expand(len(codes), -1).contiguous()
        levels.append(torch.searchsorted(shares, wanted))
    both = torch.stack(levels)
    below = (_DARKEST_THRESHOLD + 1 - both).clamp_min(0)
    above = (both - _BRIGHTEST_THRESHOLD + 1).clamp_min(0)
    # The first of equals: the quantile nearest to a half.
    excess = (below + above).sum(0) * len(_QUANTILES) + torch.arange(
        len(_QUANTILES), device=first.device
    )
    best = excess.argmin(dim=1, keepdim=True)
    one, other = (level.gather(1, best)[:, 0] for level in levels)
    return one, other


def corner_error(found: Tensor, wanted: Tensor) -> Tensor:
    """Mean distance in pixels (B,) between four found and four true corners, (B, 8) each."""
    error: Tensor = torch.linalg.vector_norm((found - wanted).view(-1, 4, 2), dim=2).mean(dim=1)
    return error


@dataclass(frozen=True)
class Growth:
    """A part of the first stage: its last step as a share of all, its patches, their motion."""

    until: float
    side: int
    motion: Motion


def growth_of(recipe: ChenChuangRecipe) -> tuple[Growth, ...]:
    """What the homography network is shown, part after part.

    Small patches first: they cost little, so that many are seen while it learns to compare, and
    they move by little, mostly all of one piece. The last part is the paper's.
    """
    whole = Growth(1.0, SIDE_PIXELS, Motion(LARGEST_OFFSET_PIXELS, recipe.homography_spread))
    if not recipe.small_first:
        return (whole,)
    return (
        Growth(0.1, 64, Motion(6.0, "uniform", shared=0.7)),
        Growth(0.3, 64, Motion(12.0, "uniform", shared=0.7)),
        Growth(0.45, 128, Motion(16.0, "uniform", shared=0.5)),
        Growth(0.6, 128, Motion(24.0, "uniform", shared=0.5)),
        whole,
    )


class WithLocalMotion(nn.Module):
    """A homography network with heads that tell how far each cell of its grids moved.

    The heads (1 x 1 convolutions, behind the last four pairs of convolutions) are dropped after the
    training: they turn eight numbers to learn from into hundreds (deep supervision, Lee et al.,
    AISTATS 2015). Input (B, 8, S, S). Output: the offsets (B, 8), only where S is 256, and the
    motion of the cells in pixels, (B, 2, n, n) for each grid.
    """

    def __init__(self, network: HomographyNetwork, heads: bool = True) -> None:
        super().__init__()
        self.network = network
        self.heads = nn.ModuleDict()
        if not heads:
            return
        blocks = 0
        for place, layer in enumerate(network.features):
            if isinstance(layer, ConvBlock):
                blocks += 1
                if blocks % 2 == 0 and blocks > CONVOLUTIONS - 2 * LOCAL_GRIDS:
                    self.heads[str(place)] = nn.Conv2d(layer.conv.out_channels, 2, 1)

    def forward(self, x: Tensor) -> tuple[Tensor | None, list[Tensor]]:
        whole = x.shape[-1] == SIDE_PIXELS
        moved = []
        for place, layer in enumerate(self.network.features):
            x = layer(x)
            if str(place) in self.heads:
                moved.append(self.heads[str(place)](F.avg_pool2d(x, 2)) * LARGEST_OFFSET_PIXELS)
        offsets = self.network.regression(x) * LARGEST_OFFSET_PIXELS if whole else None
        return offsets, moved


def motion_of_cells(homography: Tensor, side: int, cells: int) -> Tensor:
    """How far the middles of n x n parts of a square move, (B, 2, n, n), in pixels.

    cells: n. homography: (B, 3, 3), of pixel centres of a square of `side` pixels.
    """
    place = (torch.arange(cells, device=homography.device) + 0.5) * (side / cells) - 0.5
    y, x = torch.meshgrid(place, place, indexing="ij")
    points = torch.stack([x, y, torch.ones_like(x)]).to(homography.dtype).flatten(1)
    moved = homography @ points
    motion = moved[:, :2] / moved[:, 2:] - points[:2]
    return motion.float().view(-1, 2, cells, cells)


def homography_phase(recipe: ChenChuangRecipe) -> Phase:
    """The first stage: exposures of still scenes, one of them moved."""
    parts = growth_of(recipe)
    architecture = HomographyArchitecture(
        pool_last=recipe.pool_last,
        base_channels=recipe.homography_channels,
        instance_norms=recipe.instance_norms,
    )
    pool = ExposurePool(recipe.homography_pool)

    def draw(data: TrainingData, generator: torch.Generator, step: int) -> Batch:
        part = next(p for p in parts if step < p.until * recipe.homography_steps or p is parts[-1])
        # Twice the patches of half the side: half the work, and steadier steps.
        count = recipe.homography_batch * (SIDE_PIXELS // part.side)
        margin = margin_of(part.motion)
        pair = pool.draw(data, count, part.side + 2 * margin, generator)
        turned = flip(pair, generator)
        offsets = part.motion.draw(count, generator)
        again = slice(count, count)
        first_pass: Tensor | None = None
        if recipe.second_passes and part is parts[-1] and count > 1:
            again = slice((count + 1) // 2, count)
            first_pass = homography_from_offsets(offsets[again].flatten(1))
            rest = uniform((count // 2, 1, 1), *_REST_OF_FIRST_PASS, generator)
            offsets[again] = part.motion.draw(count // 2, generator) * rest
        made = make_homography_pairs(turned["under"], turned["over"], offsets, margin)
        second = made.second
        if first_pass is not None:
            second[again] = repeat_border(second[again], first_pass)
        return {
            "input": network_inputs(made.first, second),
            "offsets": made.offsets,
            "homography": made.homography,
        }

    def offset_loss(found: Tensor, wanted: Tensor) -> Tensor:
        if recipe.homography_loss == "squared":
            return F.mse_loss(found / LARGEST_OFFSET_PIXELS, wanted / LARGEST_OFFSET_PIXELS)
        return robust_distance(found, wanted)

    def losses(table: Table, batch: Batch) -> Losses:
        offsets, moved = table.run("homography", batch["input"])
        found: Losses = {}
        if offsets is not None:
            found["offsets"] = offset_loss(offsets, batch["offsets"])
        if recipe.local_weight:
            side = batch["input"].shape[-1]
            distances = [
                robust_distance(grid, motion_of_cells(batch["homography"], side, grid.shape[-1]))
                for grid in moved
            ]
            found["local"] = recipe.local_weight * torch.stack(distances).sum()
        if offsets is None:
            # Devices that share gradients wait for those of every parameter.
            idle = table.module("homography").network.regression.parameters()
            found["local"] = found["local"] + 0 * sum(weights.sum() for weights in idle)
        return found

    def validate(table: Table, data: TrainingData) -> Validation:
        errors = []
        generator = torch.Generator(data.device).manual_seed(1)
        motion = parts[-1].motion
        for scene in data.held_out_exposures(SIDE_PIXELS + 2 * margin_of(motion)):
            for _ in range(_MOTIONS_OF_HELD_OUT):
                offsets = motion.draw(len(scene["under"]), generator)
                made = make_homography_pairs(
                    scene["under"], scene["over"], offsets, margin_of(motion)
                )
                found, _ = table.run("homography", network_inputs(made.first, made.second))
                errors.append(corner_error(found, made.offsets))
        all_errors = torch.cat(errors)
        scores = {
            "corner_error_median_pixels": float(all_errors.median()),
            "corner_error_mean_pixels": float(all_errors.mean()),
            "share_under_2_pixels": float((all_errors < 2).float().mean()),
        }
        return Validation(scores)

    schedule = schedule_of(recipe, recipe.homography_steps)
    factor = recipe.homography_rate / recipe.rate
    player = Player(
        "homography",
        lambda: WithLocalMotion(HomographyNetwork(architecture), heads=recipe.local_weight > 0),
        losses,
        lambda moment: factor * schedule(moment),
    )
    return Phase(
        name="homography",
        steps=recipe.homography_steps,
        players=(player,),
        draw=draw,
        validate=validate,
        best="corner_error_mean_pixels",
        lower_is_better=True,
        export=HOMOGRAPHY,
        export_player="homography",
        exported=lambda learning: cast(WithLocalMotion, learning).network,
        batch=recipe.homography_batch,
        known_failures="A coarse start, to be refined: it sees 256 x 256 pixels, and corners moved "
        "by more than 32 of those are beyond its training.",
    )


def robust_distance(found: Tensor, wanted: Tensor) -> Tensor:
    """Smooth L1 distance of motions in pixels, in units of the largest offset."""
    distance: Tensor = F.smooth_l1_loss(
        found / LARGEST_OFFSET_PIXELS,
        wanted / LARGEST_OFFSET_PIXELS,
        beta=_ROBUST_PIXELS / LARGEST_OFFSET_PIXELS,
    )
    return distance


class ExposurePool:
    """Exposure pairs drawn once from the data and cut anew from then on.

    size: of the pool; 0 for fresh pairs every time. Which pairs it holds does not depend on when it
    is filled, so that a resumed run goes on with the same.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._pairs: Tensor | None = None

    def draw(
        self, data: TrainingData, count: int, side: int, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """`count` pairs of `side` x `side` pixels, "under" and "over" (count, 3, side, side)."""
        if not self.size:
            return dict(data.exposures(count, side, generator))
        if self._pairs is None:
            self._pairs = self._fill(data)
        chosen = torch.randint(self.size, (count,), generator=generator, device=data.device)
        # One place for all of the batch: the pictures differ anyway.
        free = self._pairs.shape[-1] - side
        top, left = torch.randint(free + 1, (2,), generator=generator, device=data.device).tolist()
        cut = self._pairs[chosen, ..., top : top + side, left : left + side].float() / 255
        return {"under": cut[:, 0], "over": cut[:, 1]}

    def _fill(self, data: TrainingData) -> Tensor:
        generator = torch.Generator(data.device).manual_seed(0)
        side = SIDE_PIXELS + 2 * margin_of(UNREGISTERED)
        held: list[Tensor] = []
        while sum(map(len, held)) < self.size:
            pair = data.exposures(_POOL_DRAW, side, generator)
            both = torch.stack([pair["under"], pair["over"]], dim=1)
            held.append((both * 255).round().to(torch.uint8))
        return torch.cat(held)[: self.size]


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


# Stage two


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
    generator = Player("generator", lambda: Generator(architecture), stage.generator_losses, rate)
    discriminator = Player("discriminator", Discriminator, stage.discriminator_losses, rate)
    return Phase(
        name="fusion",
        steps=recipe.steps,
        players=(discriminator, generator) if recipe.adversarial_weight else (generator,),
        draw=stage.draw,
        validate=validate_pairs(stage.fuse),
        best="psnr",
        export=GENERATOR,
        frozen={"homography": HOMOGRAPHY} if stage.by_network else {},
        known_failures=_failures(architecture),
    )


class _Fusion:
    """What the second stage draws, and its losses."""

    def __init__(self, recipe: ChenChuangRecipe) -> None:
        self.recipe = recipe
        self.by_network = recipe.registration == "network"
        self.apart = recipe.registration != "aligner"
        self.vggs: dict[torch.device, Vgg19] = {}
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
        if self.recipe.vgg is not None:
            vgg = self.vggs.get(target.device)
            if vgg is None:
                loaded = load_vgg19(self.recipe.vgg, VggSettings(scale=self.recipe.vgg_scale))
                vgg = self.vggs.setdefault(target.device, loaded.to(target.device))
            losses = {"perceptual": perceptual_loss(vgg, fused, target, CAFFE_LAMBDAS)}
        else:
            losses = {"scale_space": _LEVELS * scale_space_loss(fused, target)}
        if self.recipe.mef_ssim_weight:
            weight = _LEVELS * self.recipe.mef_ssim_weight
            losses["mef_ssim"] = weight * mef_ssim_loss(under, over, fused)
        if self.recipe.adversarial_weight:
            scores = table.run("discriminator", torch.cat([under, over, fused], dim=1))
            losses["adversarial"] = self.recipe.adversarial_weight * lsgan_generator_loss(scores)
        return losses

    def discriminator_losses(self, table: Table, batch: Batch) -> Losses:
        under, over = batch["under"], self.register(table, batch)
        with torch.no_grad():
            fused = table.run("generator", under, over)
        judged = [torch.cat([under, over, image], dim=1) for image in (batch["target"], fused)]
        real, fake = table.run("discriminator", torch.cat(judged)).chunk(2)
        return {"real_or_fused": lsgan_discriminator_loss(real, fake)}

    def fuse(self, table: Table, batch: Batch) -> Tensor:
        fused: Tensor = table.run("generator", batch["under"], batch["over"])
        return fused


def _failures(architecture: ChenChuangArchitecture) -> str:
    if architecture.adds_to != "nothing":
        return (
            "What it brightens, it brightens with its noise. What moves it does not reject. In "
            "flat areas it shows a lattice of 128 pixels, faint at one megapixel, plain in photos "
            "of many as a whole (`--quality full`): it has only seen patches of 256."
        )
    if architecture.full_size_skip:
        return "Its skip at full size is not in the paper."
    return "A little soft: the finest skip of its U-Net is at half size."

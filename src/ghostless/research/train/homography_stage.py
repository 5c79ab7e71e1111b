"""The first stage of Chen & Chuang's training: the homography network alone.

It learns how far the corners of a patch moved, in units of 32 pixels, on exposures of still scenes
one of which is moved. What helps it off the ground, and what the paper's form is, says
`chen_chuang_recipe.ChenChuangRecipe`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...nn.blocks import ConvBlock
from ...nn.four_points import SIDE_PIXELS
from ...nn.homography import (
    CONVOLUTIONS,
    HOMOGRAPHY,
    LARGEST_OFFSET_PIXELS,
    HomographyArchitecture,
    HomographyNetwork,
    homography_from_offsets,
)
from .chen_chuang_recipe import ChenChuangRecipe
from .recipe import Batch, Losses, Phase, Player, Table, Validation, schedule_of
from .samples import (
    HomographyPair,
    Motion,
    TrainingData,
    flip,
    make_homography_pairs,
    margin_of,
    repeat_border,
    uniform,
)

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
    from ...nn.four_points import BRIGHTEST_THRESHOLD, DARKEST_THRESHOLD, QUANTILES

    quantiles = torch.tensor(QUANTILES, device=first.device, dtype=torch.float64)
    levels = []
    for grey in (first, second):
        codes = grey.flatten(1).long().clamp(0, 255)
        counts = torch.zeros(len(codes), 256, device=grey.device, dtype=torch.float64)
        counts.scatter_add_(1, codes, torch.ones_like(codes, dtype=torch.float64))
        shares = counts.cumsum(1) / codes.shape[1]
        wanted = quantiles.expand(len(codes), -1).contiguous()
        levels.append(torch.searchsorted(shares, wanted))
    both = torch.stack(levels)
    below = (DARKEST_THRESHOLD + 1 - both).clamp_min(0)
    above = (both - BRIGHTEST_THRESHOLD + 1).clamp_min(0)
    # The first of equals: the quantile nearest to a half.
    excess = (below + above).sum(0) * len(QUANTILES) + torch.arange(
        len(QUANTILES), device=first.device
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


class _Homography:
    """What the stage draws, its losses and its scores."""

    def __init__(self, recipe: ChenChuangRecipe) -> None:
        self.recipe = recipe
        self.parts = growth_of(recipe)
        self.pool = ExposurePool(recipe.homography_pool)

    def draw(self, data: TrainingData, generator: torch.Generator, step: int) -> Batch:
        recipe, last = self.recipe, self.parts[-1]
        part = next(p for p in self.parts if step < p.until * recipe.homography_steps or p is last)
        # Twice the patches of half the side: half the work, and steadier steps.
        count = recipe.homography_batch * (SIDE_PIXELS // part.side)
        margin = margin_of(part.motion)
        pair = self.pool.draw(data, count, part.side + 2 * margin, generator)
        turned = flip(pair, generator)
        offsets = part.motion.draw(count, generator)
        again = slice(count, count)
        first_pass: Tensor | None = None
        repeats = int(recipe.second_passes * count)
        if part is last and repeats:
            again = slice(count - repeats, count)
            first_pass = homography_from_offsets(offsets[again].flatten(1))
            rest = uniform((repeats, 1, 1), *_REST_OF_FIRST_PASS, generator)
            offsets[again] = part.motion.draw(repeats, generator) * rest
        made = make_homography_pairs(turned["under"], turned["over"], offsets, margin)
        second = made.second
        if first_pass is not None:
            second[again] = repeat_border(second[again], first_pass)
        return {
            "input": network_inputs(made.first, second),
            "offsets": made.offsets,
            "homography": made.homography,
        }

    def losses(self, table: Table, batch: Batch) -> Losses:
        offsets, moved = table.run("homography", batch["input"])
        found: Losses = {}
        if offsets is not None:
            found["offsets"] = self._offset_loss(offsets, batch["offsets"])
        if self.recipe.local_weight:
            side = batch["input"].shape[-1]
            distances = [
                robust_distance(grid, motion_of_cells(batch["homography"], side, grid.shape[-1]))
                for grid in moved
            ]
            found["local"] = self.recipe.local_weight * torch.stack(distances).sum()
        if offsets is None:
            # Devices that share gradients wait for those of every parameter.
            idle = table.module("homography").network.regression.parameters()
            found["local"] = found["local"] + 0 * sum(weights.sum() for weights in idle)
        return found

    def _offset_loss(self, found: Tensor, wanted: Tensor) -> Tensor:
        if self.recipe.homography_loss == "squared":
            return F.mse_loss(found / LARGEST_OFFSET_PIXELS, wanted / LARGEST_OFFSET_PIXELS)
        return robust_distance(found, wanted)

    def validate(self, table: Table, data: TrainingData) -> Validation:
        errors = []
        for made in held_out_motions(data, self.parts[-1].motion):
            found, _ = table.run("homography", network_inputs(made.first, made.second))
            errors.append(corner_error(found, made.offsets))
        all_errors = torch.cat(errors)
        scores = {
            "corner_error_median_pixels": float(all_errors.median()),
            "corner_error_mean_pixels": float(all_errors.mean()),
            "share_under_2_pixels": float((all_errors < 2).float().mean()),
        }
        return Validation(scores)


def held_out_motions(data: TrainingData, motion: Motion) -> Iterator[HomographyPair]:
    """Pairs of held-out scenes, each moved in several ways: the same ones every time."""
    generator = torch.Generator(data.device).manual_seed(1)
    margin = margin_of(motion)
    for scene in data.held_out_exposures(SIDE_PIXELS + 2 * margin):
        for _ in range(_MOTIONS_OF_HELD_OUT):
            offsets = motion.draw(len(scene["under"]), generator)
            yield make_homography_pairs(scene["under"], scene["over"], offsets, margin)


def homography_phase(recipe: ChenChuangRecipe) -> Phase:
    """The first stage: exposures of still scenes, one of them moved."""
    stage = _Homography(recipe)
    architecture = HomographyArchitecture(
        pool_last=recipe.pool_last,
        base_channels=recipe.homography_channels,
        instance_norms=recipe.instance_norms,
    )
    schedule = schedule_of(recipe, recipe.homography_steps)
    factor = recipe.homography_rate / recipe.rate
    player = Player(
        "homography",
        lambda: WithLocalMotion(HomographyNetwork(architecture), heads=recipe.local_weight > 0),
        stage.losses,
        lambda moment: factor * schedule(moment),
    )
    return Phase(
        name="homography",
        steps=recipe.homography_steps,
        players=(player,),
        draw=stage.draw,
        validate=stage.validate,
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

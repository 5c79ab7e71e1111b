"""Chen & Chuang's exposure fusion: attention on the over-exposed frame, a U-Net, a PatchGAN.

Paper: Chen, Chuang: Deep Exposure Fusion with Deghosting via Homography Estimation and Attention
    Learning, ICASSP 2020.
Built as: a homography network that registers the over-exposed to the under-exposed frame (in
    nn/homography.py; 19,487,496 parameters); an attention network that weighs the features of the
    over-exposed frame and a merging U-Net with seven scales (1,364,675); a conditional PatchGAN
    (2,772,673). RGB in and out, 0..1. No program of the authors is published.
Differs from the paper, or fills what it leaves open:
    - The line's own aligner stands in front, with the homography network's answer as a starting
      point if so asked; alone it is coarse. `homography="on"` runs the network here, `"off"` is the
      paper's ablation. It looks five times, at mirror images too, and its answer passes the
      safety net of align/homography_net.py; the paper's looks once and is taken as it is
      (`homography_passes=1`, `homography_mirrored=False`, `homography_check=False`, which
      `--as-published` sets).
    - The shared encoder is one convolution, as in AHDRNet, which the attention follows.
    - Skips join mirror levels, as in the U-Net it is modelled on. The finest one is at half size,
      so the result is a little soft; `full_size_skip=True` adds one at full size, which is a
      deviation.
    - `adds_to="local fusion"`, which the weights that ship have: the last layer's output is a
      change, in logits, to the two frames' mean with their detail fused over five scales
      (`nn.priors.fuse_locally`), and begins at 0. So the result is as sharp as its sources. The
      paper's form, `"nothing"`, makes the picture from nothing.
    - `gate=True`, which the weights that ship have: what moved or is misaligned in the over-exposed
      frame is replaced by what the under-exposed one foretells, before attention and fusion look at
      it (`nn.gate`; 133,220 parameters). The paper's attention alone sees 7 pixels of frames whose
      exposures it does not know, and weighs by brightness.
    - `shifts=4`, which the weights that ship have: what the coarse levels say is the mean over 16
      places of their grid (cycle spinning: Coifman, Donoho, 1995). In one place a cell of 128
      pixels shows as a lattice in skies.
    - No norms in the merging network: instance norm would erase the brightness. A sigmoid ends it.
    - LeakyReLU slopes are 0.2.
    - The discriminator's condition is the warped over-exposed frame, as in the paper's overview;
      its equations 2 and 3 name the one before warping, which does not fit the image judged.
    - The discriminator's middle norms have learned scale and shift, its scores no activation: they
      are called probabilities, but the least-squares loss does not bound them.
    - Of more than two frames the darkest and the brightest; all in turn with `order`. The gate
      judges pairs of photos only: of a result on the way no curve foretells a photo.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import OptionError
from ..pixels.stripes import part
from .blocks import Activation, ConvBlock, DeconvBlock, in_full_precision
from .fullsize import (
    Progress,
    Region,
    Tile,
    make_tiles,
    run_in_tiles,
    tile_budget,
)
from .gate import (
    GATE_HALO,
    GATE_MULTIPLE,
    Gate,
    add_to,
    gather,
    let_through,
    make_curves,
)
from .patchgan import PatchGan, PatchGanArchitecture, PatchLayer
from .priors import LOCAL_HALO, LOCAL_MULTIPLE, fuse_locally
from .tiled import PairReader, ReadPair, map_in_tiles
from .weights import LoadedNetwork, NetworkKind, Sides

LEVELS = 7
SIZE_MULTIPLE = 2**LEVELS
# The coarsest cell at a quarter of the size, where the coarse levels begin.
COARSE_CELL = SIZE_MULTIPLE // 4


@dataclass(frozen=True)
class ChenChuangArchitecture:
    """Which generator.

    attention: False leaves the over-exposed frame's features as they are (the paper's ablation).
    full_size_skip: join the encoder's features to the last layer too. Not in the paper.
    channels: of every layer.
    adds_to: "nothing" as in the paper, or "local fusion", see `nn.priors.fuse_locally`.
    gate: whether what moved in the over-exposed frame is replaced before anything else looks at it,
        see `nn.gate`. Not in the paper.
    shifts: in how many places each way the grid of the coarse levels is laid over a picture, to
        take the mean: 1 as in the paper. A training has always one.
    """

    attention: bool = True
    full_size_skip: bool = False
    channels: int = 64
    adds_to: Literal["nothing", "local fusion"] = "nothing"
    gate: bool = False
    shifts: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.shifts <= COARSE_CELL:
            raise OptionError(f"shifts: expected 1 to {COARSE_CELL}, found {self.shifts}")
        if self.adds_to not in ("nothing", "local fusion"):
            raise OptionError(f"adds_to: expected nothing or local fusion, found {self.adds_to!r}")
        if not 1 <= self.channels <= 1024:
            raise OptionError(f"channels: expected 1 to 1024, found {self.channels}")


class AttentionNetwork(nn.Module):
    """Features of both frames, those of the over-exposed one weighed by an attention map.

    under, over: (B, 3, H, W), 0..1. passes: how much of the over-exposed frame is its own,
    (B, 1, H, W), None for all. Returns their features (B, C, H, W) each.
    """

    def __init__(self, architecture: ChenChuangArchitecture) -> None:
        super().__init__()
        channels = architecture.channels
        self.encoder = ConvBlock(3, channels, activation="leaky_0.2")
        self.attention: nn.Module | None = None
        self.map: nn.Module | None = None
        if architecture.attention:
            # What passes here is what there is to be seen of attention, (B, 1, H, W).
            self.map = nn.Identity()
            self.attention = nn.Sequential(
                ConvBlock(2 * channels, channels, activation="leaky_0.2"),
                ConvBlock(channels, channels, activation="sigmoid"),
            )

    def forward(
        self, under: Tensor, over: Tensor, passes: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        under_features, over_features = self.encoder(under), self.encoder(over)
        if self.attention is not None:
            weights = self.weigh(under_features, over_features)
            over_features = over_features * weights
            assert self.map is not None
            mean = weights.mean(dim=1, keepdim=True)
            self.map(mean if passes is None else passes * mean)
        return under_features, over_features

    def weigh(self, under_features: Tensor, over_features: Tensor) -> Tensor:
        """The attention map (B, C, H, W), 0..1."""
        assert self.attention is not None
        weights: Tensor = self.attention(torch.cat([under_features, over_features], dim=1))
        return weights


class MergingNetwork(nn.Module):
    """U-Net of seven halvings and seven doublings: features (B, 2C, H, W) in, RGB 0..1 out.

    Or, where that is added to something, logits (B, 3, H, W) by which to change it.
    `down[i]` takes maps at 1/2^i of the size to 1/2^(i+1), `up[i]` back.
    """

    def __init__(self, architecture: ChenChuangArchitecture) -> None:
        super().__init__()
        self.shifts = architecture.shifts
        channels = architecture.channels
        adds = architecture.adds_to != "nothing"
        last: Activation = "none" if adds else "sigmoid"
        self.down = nn.ModuleList(
            ConvBlock(
                channels * (2 if level == 0 else 1),
                channels,
                4,
                stride=2,
                padding=1,
                activation="leaky_0.2",
            )
            for level in range(LEVELS)
        )
        self.up = nn.ModuleList(
            DeconvBlock(
                channels * (1 if level == LEVELS - 1 else 2),
                channels if level or architecture.full_size_skip else 3,
                activation="relu" if level or architecture.full_size_skip else last,
            )
            for level in range(LEVELS)
        )
        self.head: nn.Module | None = None
        if architecture.full_size_skip:
            self.head = ConvBlock(3 * channels, 3, activation=last)
        if adds:
            final = self.up[0] if self.head is None else self.head
            nn.init.zeros_(cast(nn.Conv2d, final.conv).weight)
            nn.init.zeros_(cast(Tensor, cast(nn.Conv2d, final.conv).bias))

    def forward(self, features: Tensor) -> Tensor:
        first: Tensor = self.down[0](features)
        second = self.down[1](first)
        return self.finish(features, first, second, self.coarse(second))

    def coarse(self, second: Tensor) -> Tensor:
        """From maps at 1/4 of the size, down to the bottom and up again to 1/4.

        The mean over shifts of the grid, but while training; borders are repeated.
        """
        if self.training or self.shifts == 1:
            return self._coarse_in_place(second)
        height, width = second.shape[-2:]
        shifts = [COARSE_CELL * number // self.shifts for number in range(self.shifts)]
        total: Tensor | None = None
        for top in shifts:
            for left in shifts:
                around = (left, -left % COARSE_CELL, top, -top % COARSE_CELL)
                moved = self._coarse_in_place(F.pad(second, around, mode="replicate"))
                here = moved[..., top : top + height, left : left + width]
                total = here if total is None else total + here
        assert total is not None
        return total / len(shifts) ** 2

    def _coarse_in_place(self, second: Tensor) -> Tensor:
        maps = [second]
        for layer in list(self.down)[2:]:
            maps.append(layer(maps[-1]))
        out: Tensor = self.up[LEVELS - 1](maps.pop())
        for level in range(LEVELS - 2, 1, -1):
            out = self.up[level](torch.cat([out, maps.pop()], dim=1))
        return out

    def finish(self, features: Tensor, first: Tensor, second: Tensor, coarse: Tensor) -> Tensor:
        """From the maps at 1/4 of the size, `coarse` and the skip `second`, to the image."""
        half = self.up[1](torch.cat([coarse, second], dim=1))
        both = torch.cat([half, first], dim=1)
        if self.head is None:
            return in_full_precision(self.up[0], both)
        return in_full_precision(self.head, torch.cat([self.up[0](both), features], dim=1))


Look = Literal["attention", "gate"]


@dataclass(frozen=True)
class Attended:
    """What the attention makes of a pair.

    attention: how much of the over-exposed frame's features counts, their mean, (B, 1, H, W), 0..1.
    passes: how much of the frame itself, (B, 1, H, W), 0..1; instead: what is there in its place,
        (B, 3, H, W), 0..1. None without a gate.
    """

    attention: Tensor
    passes: Tensor | None
    instead: Tensor | None


class Generator(nn.Module):
    """Fuses an under-exposed frame and an over-exposed one that lies on it.

    under, over: (B, 3, H, W), RGB 0..1, sides multiples of 128. Returns (B, 3, H, W), 0..1.
    """

    # Switches of parts that a training may add to weights without them.
    grows_by = ("gate",)

    def __init__(self, architecture: ChenChuangArchitecture | None = None) -> None:
        super().__init__()
        self.architecture = architecture or ChenChuangArchitecture()
        self.gate = Gate() if self.architecture.gate else None
        self.attention = AttentionNetwork(self.architecture)
        self.merging = MergingNetwork(self.architecture)

    def forward(self, under: Tensor, over: Tensor, look: Look | None = None) -> Any:
        """The picture; or what it looks at, see `attend`."""
        if look is not None:
            return self.attend(under, over, look)
        passes = None
        if self.gate is not None:
            passes, instead = self.gate(under, over, make_curves(gather(under, over)))
            over = let_through(over, passes, instead)
        made: Tensor = self.merging(torch.cat(self.attention(under, over, passes), dim=1))
        if self.architecture.adds_to == "nothing":
            return made
        return add_to(fuse_locally((under, over)), made)

    def attend(self, under: Tensor, over: Tensor, look: Look = "attention") -> Attended:
        """What the attention makes of a pair (B, 3, H, W), 0..1; of a "gate" alone, if there is."""
        passes = instead = None
        seen = over
        if self.gate is not None:
            passes, instead = self.gate(under, over, make_curves(gather(under, over)))
            if look == "gate" or self.attention.attention is None:
                return Attended(passes, passes, instead)
            seen = let_through(over, passes, instead)
        if self.attention.attention is None:
            raise OptionError("expected a network with attention, found one without")
        weights = self.attention.weigh(*(self.attention.encoder(image) for image in (under, seen)))
        mean = weights.mean(dim=1, keepdim=True)
        return Attended(mean if passes is None else passes * mean, passes, instead)


# Input: under-exposed frame, warped over-exposed frame, image to judge; 256 pixels give 15 x 15.
DISCRIMINATOR = PatchGanArchitecture(
    channels_in=9,
    layers=(
        PatchLayer(64),
        PatchLayer(128, norm="instance"),
        PatchLayer(256, norm="instance"),
        PatchLayer(512, norm="instance"),
        PatchLayer(1, stride=1, activation="none"),
    ),
)


class Discriminator(PatchGan):
    """Scores patches of an image given its two sources: 1 for a reference, 0 for a fused one."""

    def __init__(self) -> None:
        super().__init__(DISCRIMINATOR)

    def score(self, under: Tensor, over: Tensor, image: Tensor) -> Tensor:
        """Scores (B, 1, h, w) of images (B, 3, H, W); all three RGB, 0..1."""
        return self.forward(torch.cat([under, over, image], dim=1))


# Full size

# Three convolutions of 3x3 and one of 4x4 to the map at half size; one of 3x3 of the optional head.
FINE_HALO = 8
# From the map at half size to that at a quarter, in pixels of the image.
_QUARTER_HALO = 8
# Up again: 4x4 kernels at 1/4 and at 1/2 of the size, and what the head's features need.
FINISH_HALO = 16
# Held of the whole image: the maps at 1/2 and 1/4 of the size, coarser ones in the making, and what
# the gate lets through.
_MAP_BYTES_PER_PIXEL = 136
# Tensors alive at once, in float32: two frames' features, joined, with the convolutions' copies.
FINE_BYTES_PER_PIXEL = 4096


def generate_in_tiles(
    generator: Generator,
    read: ReadPair,
    size: tuple[int, int],
    write: Callable[[Tile, Tensor], None],
    *,
    tile_pixels: int,
    coloured: Tensor | None = None,
    photos: bool = True,
    progress: Progress | None = None,
) -> None:
    """Run the generator on an image of any size, equal to the whole at once to rounding.

    The network sees 384 pixels around each, too many for a halo. But only its fine levels are
    large: they run in tiles, and everything from a quarter of the size on runs as a whole.

    read: over- and under-exposed frames of a region. size: height and width, multiples of 128.
    write: takes each tile of the result. coloured: as of `nn.priors.mertens_weights`, of the whole
    frames, where the network adds to their fusion. photos: whether both are, see `PairReader`; if
    not, there is no gate. The maps kept take 80 bytes a pixel in float32.
    """
    merging = generator.merging
    pair = _judge_in_tiles(generator.gate if photos else None, read, size, tile_pixels)

    def features(region: Region) -> Tensor:
        over, under = pair(region)
        return torch.cat(generator.attention(under, over, pair.passes(region)), dim=1)

    def tiles(halo: int) -> list[Tile]:
        return make_tiles(*size, halo, 4, tile_pixels)

    first = map_in_tiles(
        lambda tile: merging.down[0](features(tile.outer)),
        tiles(FINE_HALO),
        scale=2,
        progress=part(progress, 0.0, 0.8),
    )
    second = map_in_tiles(
        lambda tile: merging.down[1](tile.outer.cut(first, 2)), tiles(_QUARTER_HALO), scale=4
    )
    coarse = merging.coarse(second)

    def finish(tile: Tile) -> Tensor:
        outer = tile.outer
        # Only the optional head looks at the features.
        fine = first if merging.head is None else features(outer)
        made = merging.finish(fine, outer.cut(first, 2), outer.cut(second, 4), outer.cut(coarse, 4))
        if generator.architecture.adds_to == "nothing":
            return made
        around = outer.grown(LOCAL_HALO, LOCAL_MULTIPLE, size)
        return add_to(outer.within(around, fuse_locally(pair(around), coloured)), made)

    run_in_tiles(finish, write, tiles(FINISH_HALO), progress=part(progress, 0.9, 1.0))


@dataclass(frozen=True)
class _JudgedPair:
    """Regions of a pair, of the over-exposed frame what the gate lets through and puts instead.

    judged: how much passes, and that frame, (1, 4, H, W); None without a gate.
    """

    read: ReadPair
    judged: Tensor | None = None

    def __call__(self, region: Region) -> tuple[Tensor, Tensor]:
        over, under = self.read(region)
        return (over if self.judged is None else region.cut(self.judged)[:, 1:]), under

    def passes(self, region: Region) -> Tensor | None:
        return None if self.judged is None else region.cut(self.judged)[:, :1]


def _judge_in_tiles(
    gate: Gate | None, read: ReadPair, size: tuple[int, int], tile_pixels: int
) -> _JudgedPair:
    """Look at the whole pair once for its curves, and again tile by tile."""
    if gate is None:
        return _JudgedPair(read)

    def tiles(halo: int) -> list[Tile]:
        return make_tiles(*size, halo, GATE_MULTIPLE, tile_pixels)

    # Of the whole frames, so that tiles agree.
    sums: Tensor | None = None
    for tile in tiles(0):
        over, under = read(tile.inner)
        found = gather(under, over)
        sums = found if sums is None else sums + found
    assert sums is not None
    curves = make_curves(sums)

    def judge(tile: Tile) -> Tensor:
        over, under = read(tile.outer)
        passes, instead = gate(under, over, curves)
        return torch.cat([passes, let_through(over, passes, instead)], dim=1)

    return _JudgedPair(read, map_in_tiles(judge, tiles(GATE_HALO)))


def run(
    loaded: LoadedNetwork,
    read: PairReader,
    write: Callable[[Tile, Tensor], None],
    progress: Progress | None,
) -> None:
    """Run the network on a pair of any size, see `weights.NetworkKind`."""
    coloured = None if read.coloured is None else torch.tensor(read.coloured, device=loaded.device)
    generate_in_tiles(
        loaded.network,
        read,
        read.size,
        write,
        tile_pixels=tile_budget(loaded.device, FINE_BYTES_PER_PIXEL),
        coloured=coloured,
        photos=read.photos,
        progress=progress,
    )


GENERATOR = NetworkKind(
    name="chen-chuang",
    architecture=ChenChuangArchitecture,
    build=Generator,
    train_command="ghostless train chen-chuang",
    sides=lambda architecture: Sides(SIZE_MULTIPLE),
    run=run,
    map_bytes_per_pixel=_MAP_BYTES_PER_PIXEL,
)

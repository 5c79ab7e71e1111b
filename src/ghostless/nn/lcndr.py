"""LCNDR: an unsupervised network that fuses luma with coordinate attention and self-attention.

Paper: Li, Liu, Zhou, Zhang, Kasabov: Learning a Coordinated Network for Detail-refinement
    Multi-exposure Image Fusion, accepted 2022.
Built as: one branch, used for the over- and the under-exposed luma in turn, makes a weight map
    each (219,099 parameters): a collaborative extraction module (pooling pyramid and three
    coordinate-attention blocks), a self-attention module that also sees the other image, and an
    edge revision module. Fused luma = M_over * Y_over + (M_under + Y_under). Chroma is fused by
    rule.
Differs from the paper, whose equations 2 to 5, 9 and 10 do not hold as printed:
    - Self-attention (equations 2 and 3) is softmax(Q K^T) V + F0, at 1/8 of the size: with the one
      max-pooling of the text (`attention_stride=2`) a megapixel has 262,144 tokens, which the
      paper's running times rule out.
    - The gradient filter (equations 4 and 5) works at each pixel instead of summing over all, and
      its output is added to the features; alone (`edge_filter="alone"`) it would discard all low
      frequencies.
    - Equation 1 adds three attention outputs to the pooling extractor's, the text concatenates
      them: their concatenation is added here.
    - Widths of the extractor and of the edge module are not given; those here follow the authors'
      early program.
    - What SAM's attention is added to, F0, is taken after its second convolution: the text names
      the first one's output, which has another size and other channels than what is added to it.
    - Batch norm and an activation after SAM's three 1x1 convolutions, which the text asks for with
      "after all convolutional layers", only with `attention_norms=True`: queries and keys through a
      LeakyReLU can tell less apart.
    - Chroma (equation 10) is fused per channel across the images; the equation mixes Cb and Cr. Its
      tau is 127.5, the grey of full-range YCbCr; `tau=128` is the paper's.
    - `variant="program"` is the network of the authors' early program: squeeze-and-excitation in
      place of coordinate attention, two convolutions in place of the pooling extractor, no edge
      revision. Its strided convolutions are padded here, so that a map is an eighth of the image.
    - Of more than two frames the darkest and the brightest; all in turn, as section IV-H
      of the paper proposes, with another `order`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..pixels.stripes import part
from .attention import CoordinateAttention, SelfAttention, SqueezeExcitation
from .blocks import Activation, ConvBlock, in_full_precision
from .edges import filter_gradients
from .fullsize import (
    Progress,
    Region,
    Tile,
    make_tiles,
    run_in_tiles,
    tile_budget,
)
from .tiled import SMALL_TILE_BYTES, PairReader, ReadPair
from .weights import LoadedNetwork, NetworkKind, Sides
from .ycbcr import luma, with_fused_chroma

SIZE_MULTIPLE = 8
# At an eighth of the size, attention needs more than one place to look at.
MINIMUM_SIDE = 16
# How far the parts see that run tile by tile, poolings and interpolations included.
HALO_PIXELS = 16

Tradeoff = Literal["multiply_add", "add_add", "add_multiply", "multiply_multiply"]
TRADEOFFS: tuple[Tradeoff, ...] = (
    "add_add",
    "add_multiply",
    "multiply_multiply",
    "multiply_add",
)


@dataclass(frozen=True)
class LcndrArchitecture:
    """Which network: the paper's by default, or its ablations.

    extraction, attention, edge_revision: leave a module out (the paper's table IV). Without
        extraction the first convolution's features stand in for its output; without edge revision
        one convolution makes the map.
    coordinate_blocks: 1 to 3 (table V); fewer than three are added to the first channels only.
    tradeoff: how over and under are weighted, in this order, by their maps (table VI: (a)
        "add_add", (b) "add_multiply", (c) "multiply_multiply", (d) "multiply_add").
    attention_stride: 8, or 2 for the paper's one max-pooling.
    key_pooling: average keys and values over n x n positions: an approximation, for stride 2.
    edge_filter: "residual" adds the gradients to the features, "alone" passes only the gradients.
    attention_norms: batch norm and LeakyReLU after the 1x1 convolutions of the self-attention.
    tau: code of 8 bits that chroma is measured from, 127.5 or the paper's 128.
    variant: "paper", or "program", the network of the authors' early program, of which the other
        switches but attention, tradeoff, attention_norms and tau change nothing.
    """

    extraction: bool = True
    attention: bool = True
    edge_revision: bool = True
    coordinate_blocks: int = 3
    tradeoff: Tradeoff = "multiply_add"
    attention_stride: Literal[8, 2] = 8
    key_pooling: int = 1
    edge_filter: Literal["residual", "alone"] = "residual"
    attention_norms: bool = False
    tau: float = 127.5
    variant: Literal["paper", "program"] = "paper"

    def __post_init__(self) -> None:
        if self.coordinate_blocks not in (1, 2, 3):
            raise ValueError(f"expected 1 to 3 coordinate_blocks, found {self.coordinate_blocks}")
        if self.tradeoff not in TRADEOFFS:
            raise ValueError(
                f"expected a tradeoff of {', '.join(TRADEOFFS)}, found {self.tradeoff!r}"
            )
        if self.variant not in ("paper", "program"):
            raise ValueError(f"expected a variant paper or program, found {self.variant!r}")
        if not 120 <= self.tau <= 136:
            raise ValueError(f"expected a tau of about 127.5, found {self.tau}")
        if self.attention_stride not in (8, 2):
            raise ValueError(
                f"expected an attention_stride of 8 or 2, found {self.attention_stride}"
            )


@dataclass(frozen=True)
class Means:
    """Means of the first convolution's features: all that some layers need of the whole image.

    rows: (B, 32, H, 1), the mean of every row; columns: (B, 32, 1, W).
    """

    rows: Tensor
    columns: Tensor

    @classmethod
    def of(cls, features: Tensor) -> Means:
        return cls(features.mean(dim=3, keepdim=True), features.mean(dim=2, keepdim=True))


# Per block the gates of rows and columns.
Gates = Sequence[tuple[Tensor, Tensor]]


class PoolingExtractor(nn.Module):
    """Multi-dimensional pooling extractor P: 32 channels in, 96 out, sides multiples of 4."""

    def __init__(self) -> None:
        super().__init__()
        self.shallow = nn.Sequential(_conv(32, 32), _conv(32, 64), _conv(64, 32, kernel=1))
        self.deep = _conv(128, 64)
        self.narrow = nn.Conv2d(64, 32, 1)
        self.join = _conv(64, 96, kernel=1)

    def forward(self, features: Tensor) -> Tensor:
        shallow = self.shallow(features)
        pooled = _pool_both_ways(_pool_both_ways(shallow))
        # The 1x1 convolution comes after the interpolation in the paper. The two commute, and
        # this way it costs a sixteenth.
        deep = _interpolate(self.narrow(self.deep(pooled)), 4)
        out: Tensor = self.join(torch.cat([shallow, F.leaky_relu(deep)], dim=1))
        return out


class SelfAttentionModule(nn.Module):
    """SAM: relates all positions of own features and the other image's luma, 33 channels in.

    The output, 32 channels at 1 / attention_stride of the size, is enlarged by the caller.
    """

    def __init__(self, architecture: LcndrArchitecture) -> None:
        super().__init__()
        stride = 2 if architecture.attention_stride == 8 else 1
        self.program = architecture.variant == "program"
        activation: Activation = "relu" if self.program else "leaky_0.01"
        self.first = _conv(33, 48, stride=stride, norm=True, activation=activation)
        self.second = _conv(48, 32, stride=stride, norm=True, activation=activation)
        self.attention = SelfAttention(
            32, 8, key_pooling=architecture.key_pooling, norms=architecture.attention_norms
        )
        self.first_scale = 2 * stride

    def encode(self, features: Tensor, other: Tensor) -> Tensor:
        """The part that needs the full-size image: 48 channels, `first_scale` times smaller."""
        return F.max_pool2d(self.first(torch.cat([features, other], dim=1)), 2)

    def relate(self, encoded: Tensor) -> Tensor:
        original = self.second(encoded)
        if self.program:
            return cast(Tensor, self.attention(original))
        # Interpolating the sum once equals interpolating both terms.
        out: Tensor = self.attention(original) + original
        return out


class ProgramExtractor(nn.Module):
    """What the authors' program has in place of the pooling extractor: 32 channels in, 96 out."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(_conv(32, 64), _conv(64, 96))

    def forward(self, features: Tensor) -> Tensor:
        out: Tensor = self.layers(features)
        return out


class Branch(nn.Module):
    """One branch of the network: a weight map from own and the other luma."""

    def __init__(self, architecture: LcndrArchitecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.stem = nn.Conv2d(1, 32, 3, padding=1)
        self.extractor: PoolingExtractor | ProgramExtractor | None = None
        self.coordinate: nn.ModuleList | None = None
        self.program = architecture.variant == "program"
        channels = 32
        if self.program:
            self.extractor = ProgramExtractor()
            self.coordinate = nn.ModuleList([SqueezeExcitation(32, 16)])
            channels = 192
        elif architecture.extraction:
            self.extractor = PoolingExtractor()
            self.coordinate = nn.ModuleList(
                CoordinateAttention(32) for _ in range(architecture.coordinate_blocks)
            )
            channels = 96
        self.attention = SelfAttentionModule(architecture) if architecture.attention else None
        channels += 32 * architecture.attention
        self.edges = architecture.edge_revision and not self.program
        if self.edges:
            self.revise = nn.Sequential(_conv(channels, 64), nn.Conv2d(64, 1, 3, padding=1))
        else:
            self.revise = nn.Sequential(nn.Conv2d(channels, 1, 3, padding=1))
        self.norm = nn.BatchNorm2d(1)

    def gates(self, means: Means) -> Gates:
        blocks: Sequence[nn.Module] = () if self.coordinate is None else list(self.coordinate)
        return [
            block.gates(means.rows, means.columns)
            for block in blocks
            if isinstance(block, CoordinateAttention | SqueezeExcitation)
        ]

    def enlarge(self, attended: Tensor, region: Region) -> Tensor:
        """Attention output for a region of an image, from that for the whole image."""
        stride = self.architecture.attention_stride
        part = region.cut(attended, stride)
        return (
            F.interpolate(part, scale_factor=stride) if self.program else _interpolate(part, stride)
        )

    def weigh(self, features: Tensor, gates: Gates, attended: Tensor | None) -> Tensor:
        """Weight map from the first features, gates for them, and enlarged attention output."""
        extracted = features
        if self.program and self.extractor is not None:
            ((rows, columns),) = gates
            weighed = features * rows * columns
            # The program joins the output of one block three times over.
            extracted = torch.cat([weighed, weighed, weighed, self.extractor(features)], dim=1)
        elif self.extractor is not None:
            extracted = self.extractor(features)
            for index, (rows, columns) in enumerate(gates):
                extracted[:, 32 * index : 32 * (index + 1)] += features * rows * columns
        if attended is not None:
            extracted = torch.cat([extracted, attended], dim=1)
        if self.edges:
            edges = filter_gradients(extracted)
            residual = self.architecture.edge_filter == "residual"
            extracted = extracted + edges if residual else edges
        for layer in list(self.revise)[:-1]:
            extracted = layer(extracted)
        return _to_map(in_full_precision(self.norm, in_full_precision(self.revise[-1], extracted)))


class Lcndr(nn.Module):
    """The fusion network.

    over, under: luma (B, 1, H, W), 0..1, sides multiples of 8, at least 16. Returns fused luma of
    the same shape; it may leave 0..1, so that a loss pulls it back, and is clipped after training.
    """

    def __init__(self, architecture: LcndrArchitecture = LcndrArchitecture()) -> None:
        super().__init__()
        self.architecture = architecture
        self.branch = Branch(architecture)

    def forward(self, *, over: Tensor, under: Tensor) -> Tensor:
        over, under = over * 2 - 1, under * 2 - 1
        return self.combine(over, self.make_map(over, under), under, self.make_map(under, over))

    def make_map(self, own: Tensor, other: Tensor) -> Tensor:
        """Weight map of one whole image, luma -1..1, beside the other."""
        size = (own.shape[2], own.shape[3])
        features = self.branch.stem(own)
        attended = None
        block = self.branch.attention
        if block is not None:
            attended = block.relate(block.encode(features, other))
            attended = self.branch.enlarge(attended, Region(0, size[0], 0, size[1]))
        return self.branch.weigh(features, self.branch.gates(Means.of(features)), attended)

    def combine(self, over: Tensor, over_map: Tensor, under: Tensor, under_map: Tensor) -> Tensor:
        """Fused luma, 0..1, of two lumas -1..1 and their maps."""
        for_over, for_under = self.architecture.tradeoff.split("_")
        fused = _apply(over_map, over, for_over) + _apply(under_map, under, for_under)
        return (fused + 1) / 2


# Held of the whole image: both images' maps at a quarter of the size and below.
_MAP_BYTES_PER_PIXEL = 40
# Peak of all tensors of a tile: the 128 channels of one branch, their gradients, and copies.
BYTES_PER_PIXEL = 3600


def fuse_in_tiles(
    network: Lcndr,
    read: ReadPair,
    size: tuple[int, int],
    write: Callable[[Tile, Tensor], None],
    *,
    tile_pixels: int,
    progress: Progress | None = None,
) -> None:
    """Fuse the luma of a large pair tile by tile, equal to running the network on the whole.

    read: over- and under-exposed luma (1, 1, h, w), 0..1, of a region. size: height and width,
    multiples of 8. write: gets each tile's fused luma, as of `nn.fullsize.run_in_tiles`.

    A first walk gathers what the whole image decides: the means of rows and columns, and the
    self-attention's input at a quarter of the size.
    """
    tiles = make_tiles(*size, HALO_PIXELS, SIZE_MULTIPLE, tile_pixels)
    contexts = _gather_contexts(network, read, size, tiles, part(progress, 0, 0.2))

    def fuse_tile(tile: Tile) -> Tensor:
        over, under = (plane * 2 - 1 for plane in read(tile.outer))
        over_map = contexts[0].make_map(network.branch, over, tile.outer)
        under_map = contexts[1].make_map(network.branch, under, tile.outer)
        return network.combine(over, over_map, under, under_map)

    run_in_tiles(fuse_tile, write, tiles, progress=part(progress, 0.4, 1))


@dataclass(frozen=True)
class _Context:
    """What a branch must know of the whole image to run on a region of it."""

    gates: Gates
    attended: Tensor | None

    def make_map(self, branch: Branch, own: Tensor, region: Region) -> Tensor:
        rows, columns = region.slices()
        gates = [
            (
                down[:, :, rows] if down.shape[2] > 1 else down,
                across[..., columns] if across.shape[3] > 1 else across,
            )
            for down, across in self.gates
        ]
        attended = self.attended
        if attended is not None:
            attended = branch.enlarge(attended, region)
        return branch.weigh(branch.stem(own), gates, attended)


def _gather_contexts(
    network: Lcndr,
    read: ReadPair,
    size: tuple[int, int],
    tiles: Sequence[Tile],
    progress: Progress | None,
) -> list[_Context]:
    """Contexts of the over- and the under-exposed image."""
    branch = network.branch
    block = branch.attention
    kernel = branch.stem.weight
    exact = torch.promote_types(kernel.dtype, torch.float32)
    row_sums = [kernel.new_zeros(1, 32, size[0], 1, dtype=exact) for _ in range(2)]
    column_sums = [kernel.new_zeros(1, 32, 1, size[1], dtype=exact) for _ in range(2)]
    encoded: list[Tensor] = []
    for index, tile in enumerate(tiles):
        pair = [plane * 2 - 1 for plane in read(tile.outer)]
        rows, columns = tile.inner.slices()
        for which, (own, other) in enumerate((pair, pair[::-1])):
            features = branch.stem(own)
            kept = tile.keep(features).to(exact)
            row_sums[which][:, :, rows] += kept.sum(dim=3, keepdim=True)
            column_sums[which][..., columns] += kept.sum(dim=2, keepdim=True)
            if block is not None:
                scale = block.first_scale
                result = tile.keep(block.encode(features, other), scale)
                if len(encoded) <= which:
                    height, width = (side // scale for side in size)
                    encoded.append(result.new_empty(1, result.shape[1], height, width))
                encoded[which][..., tile.inner.slices(scale)[0], tile.inner.slices(scale)[1]] = (
                    result
                )
        if progress is not None:
            progress((index + 1) / len(tiles))
    contexts = []
    for which in range(2):
        means = Means(row_sums[which] / size[1], column_sums[which] / size[0])
        attended = None if block is None else block.relate(encoded[which])
        contexts.append(_Context(branch.gates(means), attended))
    return contexts


def _apply(weight_map: Tensor, plane: Tensor, how: str) -> Tensor:
    return weight_map * plane if how == "multiply" else weight_map + plane


def _to_map(scores: Tensor) -> Tensor:
    """Weight map in 0..0.762."""
    return torch.tanh(torch.sigmoid(scores))


def _pool_both_ways(x: Tensor) -> Tensor:
    return torch.cat([F.max_pool2d(x, 2), F.avg_pool2d(x, 2)], dim=1)


def _interpolate(x: Tensor, scale: int) -> Tensor:
    return F.interpolate(x, scale_factor=scale, mode="bilinear", align_corners=False)


def _conv(
    channels_in: int,
    channels_out: int,
    *,
    kernel: int = 3,
    stride: int = 1,
    norm: bool = False,
    activation: Activation = "leaky_0.01",
) -> ConvBlock:
    return ConvBlock(
        channels_in,
        channels_out,
        kernel,
        stride=stride,
        norm="batch" if norm else "none",
        activation=activation,
    )


def run(
    loaded: LoadedNetwork,
    read: PairReader,
    write: Callable[[Tile, Tensor], None],
    progress: Progress | None,
) -> None:
    """Run the network on a pair of any size, see `weights.NetworkKind`.

    The network fuses luma; chroma is fused by rule (`color.fuse_chroma`), and replaced by
    `methods.painted` unless the settings say otherwise.
    """

    def read_luma(region: Region) -> tuple[Tensor, Tensor]:
        bright, dark = read(region)
        return luma(bright), luma(dark)

    def write_colour(tile: Tile, fused_luma: Tensor) -> None:
        tau = loaded.network.architecture.tau
        write(tile, add_colour(fused_luma, read(tile.inner), tau))

    fuse_in_tiles(
        loaded.network,
        read_luma,
        read.size,
        write_colour,
        tile_pixels=tile_budget(loaded.device, BYTES_PER_PIXEL, SMALL_TILE_BYTES),
        progress=progress,
    )


def add_colour(fused_luma: Tensor, images: Sequence[Tensor], tau: float = 127.5) -> Tensor:
    """RGB (B, 3, H, W), 0..1, of fused luma (B, 1, H, W) and the fused chroma of RGB images."""
    return with_fused_chroma(fused_luma.clamp(0, 1), images, tau / 255).clamp(0, 1)


NETWORK = NetworkKind(
    name="lcndr",
    architecture=LcndrArchitecture,
    build=Lcndr,
    train_command="ghostless train lcndr",
    sides=lambda architecture: Sides(SIZE_MULTIPLE, MINIMUM_SIDE),
    run=run,
    map_bytes_per_pixel=_MAP_BYTES_PER_PIXEL,
)

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
    - Chroma (equation 10) is fused per channel across the images; the equation mixes Cb and Cr.
    - Any number of frames, by fusing in turn, as the paper's section IV-H proposes.
    `variant="recovered"` builds the authors' early program instead (107,204 parameters, squeeze
    and excitation in place of coordinate attention, no pooling extractor, no edge module), but
    with attention within each item of a batch; the program's runs across items.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ..bracket import Frame, Fused, Stack
from ..nn.attention import CoordinateAttention, SelfAttention
from ..nn.blocks import ConvBlock, in_full_precision
from ..nn.fullsize import (
    Progress,
    Region,
    Tile,
    check_finite,
    computing,
    make_tiles,
    pixel_writer,
    run_in_tiles,
    tile_budget,
)
from ..nn.settings import NetworkSettings
from ..nn.tiled import SMALL_TILE_BYTES, PairReader, ReadPair
from ..nn.weights import LoadedNetwork, NetworkKind, load_network
from ..nn.ycbcr import fuse_chroma, luma, rgb_to_ycbcr, ycbcr_to_rgb
from ..pixels.stripes import part
from .in_turn import PairOrder, fuse_stack_in_turn

SIZE_MULTIPLE = 8
# The recovered variant's unpadded convolutions leave nothing of smaller images.
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
# sqrt'(0) is infinite; equation 5 needs something below the root.
_GRADIENT_FLOOR = 1e-12


@dataclass(frozen=True)
class LcndrArchitecture:
    """Which network: the paper's by default, its ablations, or the authors' early program.

    variant: "paper" or "recovered"; the other fields but `tradeoff` concern the paper's.
    extraction, attention, edge_revision: leave a module out (the paper's table IV). Without
        extraction the first convolution's features stand in for its output; without edge revision
        one convolution makes the map.
    coordinate_blocks: 1 to 3 (table V); fewer than three are added to the first channels only.
    tradeoff: how over and under are weighted, in this order, by their maps (table VI: (a)
        "add_add", (b) "add_multiply", (c) "multiply_multiply", (d) "multiply_add").
    attention_stride: 8, or 2 for the paper's one max-pooling.
    key_pooling: average keys and values over n x n positions: an approximation, for stride 2.
    edge_filter: "residual" adds the gradients to the features, "alone" passes only the gradients.
    """

    variant: Literal["paper", "recovered"] = "paper"
    extraction: bool = True
    attention: bool = True
    edge_revision: bool = True
    coordinate_blocks: int = 3
    tradeoff: Tradeoff = "multiply_add"
    attention_stride: Literal[8, 2] = 8
    key_pooling: int = 1
    edge_filter: Literal["residual", "alone"] = "residual"

    def __post_init__(self) -> None:
        if self.coordinate_blocks not in (1, 2, 3):
            raise ValueError(f"expected 1 to 3 coordinate_blocks, found {self.coordinate_blocks}")
        if self.tradeoff not in TRADEOFFS:
            raise ValueError(
                f"expected a tradeoff of {', '.join(TRADEOFFS)}, found {self.tradeoff!r}"
            )
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


# Per block the gates of rows and columns, or one gate for all.
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
        self.first = _conv(33, 48, stride=stride, norm=True)
        self.second = _conv(48, 32, stride=stride, norm=True)
        self.attention = SelfAttention(32, 8, key_pooling=architecture.key_pooling)
        self.first_scale = 2 * stride

    def encode(self, features: Tensor, other: Tensor) -> Tensor:
        """The part that needs the full-size image: 48 channels, `first_scale` times smaller."""
        return F.max_pool2d(self.first(torch.cat([features, other], dim=1)), 2)

    def relate(self, encoded: Tensor) -> Tensor:
        original = self.second(encoded)
        # Interpolating the sum once equals interpolating both terms.
        out: Tensor = self.attention(original) + original
        return out


class PaperBranch(nn.Module):
    """One branch of the paper's network: a weight map from own and the other luma."""

    def __init__(self, architecture: LcndrArchitecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.stem = nn.Conv2d(1, 32, 3, padding=1)
        self.extractor: PoolingExtractor | None = None
        self.coordinate: nn.ModuleList | None = None
        channels = 32
        if architecture.extraction:
            self.extractor = PoolingExtractor()
            self.coordinate = nn.ModuleList(
                CoordinateAttention(32) for _ in range(architecture.coordinate_blocks)
            )
            channels = 96
        self.attention = SelfAttentionModule(architecture) if architecture.attention else None
        channels += 32 * architecture.attention
        if architecture.edge_revision:
            self.revise = nn.Sequential(_conv(channels, 64), nn.Conv2d(64, 1, 3, padding=1))
        else:
            self.revise = nn.Sequential(nn.Conv2d(channels, 1, 3, padding=1))
        self.norm = nn.BatchNorm2d(1)

    def gates(self, means: Means) -> Gates:
        blocks: Sequence[nn.Module] = () if self.coordinate is None else list(self.coordinate)
        return [
            block.gates(means.rows, means.columns)
            for block in blocks
            if isinstance(block, CoordinateAttention)
        ]

    def enlarge(self, attended: Tensor, region: Region, size: tuple[int, int]) -> Tensor:
        """Attention output for a region of an image of `size`, from that for the whole image."""
        del size
        stride = self.architecture.attention_stride
        return _interpolate(region.cut(attended, stride), stride)

    def weigh(self, features: Tensor, gates: Gates, attended: Tensor | None) -> Tensor:
        """Weight map from the first features, gates for them, and enlarged attention output."""
        extracted = features
        if self.extractor is not None:
            extracted = self.extractor(features)
            for index, (rows, columns) in enumerate(gates):
                extracted[:, 32 * index : 32 * (index + 1)] += features * rows * columns
        if attended is not None:
            extracted = torch.cat([extracted, attended], dim=1)
        if self.architecture.edge_revision:
            edges = filter_gradients(extracted)
            residual = self.architecture.edge_filter == "residual"
            extracted = extracted + edges if residual else edges
        for layer in list(self.revise)[:-1]:
            extracted = layer(extracted)
        return _to_map(in_full_precision(self.norm, in_full_precision(self.revise[-1], extracted)))


class RecoveredAttention(nn.Module):
    """SAM of the authors' early program: unpadded convolutions, no residual."""

    first_scale = 4

    def __init__(self) -> None:
        super().__init__()
        self.first = ConvBlock(33, 48, stride=2, padding=0, norm="batch", activation="relu")
        self.second = ConvBlock(48, 32, stride=2, padding=0, norm="batch", activation="relu")
        self.attention = SelfAttention(32, 8)
        # The released file holds one more number than its layers: taken for the scale of SAGAN's
        # residual, of which the program makes no use.
        self.gamma = nn.Parameter(torch.zeros(1))

    def encode(self, features: Tensor, other: Tensor) -> Tensor:
        return F.max_pool2d(self.first(torch.cat([features, other], dim=1)), 2)

    def relate(self, encoded: Tensor) -> Tensor:
        out: Tensor = self.attention(self.second(encoded))
        return out


class RecoveredBranch(nn.Module):
    """One branch of the authors' early program."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 32, 3, padding=1)
        self.squeeze = nn.Linear(32, 16)
        self.excite = nn.Linear(16, 32)
        self.widen = nn.Sequential(_conv(32, 64), _conv(64, 96))
        self.attention: RecoveredAttention | None = RecoveredAttention()
        self.revise = nn.Conv2d(224, 1, 3, padding=1)
        self.norm = nn.BatchNorm2d(1)

    def gates(self, means: Means) -> Gates:
        hidden = F.relu(self.squeeze(means.rows.mean(dim=(2, 3))))
        gate = torch.sigmoid(self.excite(hidden))[:, :, None, None]
        return [(gate, torch.ones_like(gate))]

    def enlarge(self, attended: Tensor, region: Region, size: tuple[int, int]) -> Tensor:
        rows, columns = (
            torch.arange(start, stop, device=attended.device) * small // whole
            for start, stop, small, whole in (
                (region.top, region.bottom, attended.shape[2], size[0]),
                (region.left, region.right, attended.shape[3], size[1]),
            )
        )
        return attended[:, :, rows][:, :, :, columns]

    def weigh(self, features: Tensor, gates: Gates, attended: Tensor | None) -> Tensor:
        assert attended is not None
        gated = features * gates[0][0]
        # One set of weights three times over: three equal copies of the 32 channels.
        joined = torch.cat([gated, gated, gated, self.widen(features), attended], dim=1)
        return _to_map(in_full_precision(self.norm, in_full_precision(self.revise, joined)))


class Lcndr(nn.Module):
    """The fusion network.

    over, under: luma (B, 1, H, W), 0..1, sides multiples of 8, at least 16. Returns fused luma of
    the same shape; it may leave 0..1, so that a loss pulls it back, and is clipped after training.
    """

    def __init__(self, architecture: LcndrArchitecture = LcndrArchitecture()) -> None:
        super().__init__()
        self.architecture = architecture
        self.branch: PaperBranch | RecoveredBranch = (
            PaperBranch(architecture) if architecture.variant == "paper" else RecoveredBranch()
        )

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
            attended = self.branch.enlarge(attended, Region(0, size[0], 0, size[1]), size)
        return self.branch.weigh(features, self.branch.gates(Means.of(features)), attended)

    def combine(self, over: Tensor, over_map: Tensor, under: Tensor, under_map: Tensor) -> Tensor:
        """Fused luma, 0..1, of two lumas -1..1 and their maps."""
        for_over, for_under = self.architecture.tradeoff.split("_")
        fused = _apply(over_map, over, for_over) + _apply(under_map, under, for_under)
        return (fused + 1) / 2


# Held of the whole image: both images' maps at a quarter of the size and below.
_MAP_BYTES_PER_PIXEL = 40
# Peak of all tensors of a tile: the 128 channels of one branch, their gradients, and copies.
_BYTES_PER_PIXEL = 3600


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

    size: tuple[int, int]
    gates: Gates
    attended: Tensor | None

    def make_map(
        self, branch: PaperBranch | RecoveredBranch, own: Tensor, region: Region
    ) -> Tensor:
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
            attended = branch.enlarge(attended, region, self.size)
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
                    # Without padding (the recovered variant) one row and column less than this.
                    short = isinstance(block, RecoveredAttention)
                    height, width = (side // scale - short for side in size)
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
        contexts.append(_Context(size, branch.gates(means), attended))
    return contexts


def filter_gradients(features: Tensor) -> Tensor:
    """Spatial gradient filter (equations 4 and 5, at each pixel), per channel.

    E = length of the differences to the left and to the lower neighbour; the result is the larger
    of E here and E one pixel down and to the right. The border is repeated.
    """
    if not torch.is_grad_enabled():
        return _filter_gradients_in_place(features)
    left = torch.cat([features[..., :1], features[..., :-1]], dim=3)
    below = torch.cat([features[:, :, 1:], features[:, :, -1:]], dim=2)
    square = (features - left).square() + (features - below).square()
    edges = torch.sqrt(square + _GRADIENT_FLOOR)
    padded = F.pad(edges, (0, 1, 0, 1), mode="replicate")
    return torch.maximum(edges, padded[:, :, 1:, 1:])


def _filter_gradients_in_place(features: Tensor) -> Tensor:
    """The same in half the passes over memory, which is what it costs; not for training."""
    edges, down = torch.empty_like(features), torch.empty_like(features)
    torch.sub(features[..., 1:], features[..., :-1], out=edges[..., 1:])
    edges[..., 0] = 0
    torch.sub(features[:, :, 1:], features[:, :, :-1], out=down[:, :, :-1])
    down[:, :, -1] = 0
    edges.mul_(edges).addcmul_(down, down).add_(_GRADIENT_FLOOR).sqrt_()
    larger = down
    inner, last = slice(None, -1), slice(-1, None)
    for rows, next_rows in ((inner, slice(1, None)), (last, last)):
        for columns, next_columns in ((inner, slice(1, None)), (last, last)):
            here, beyond = edges[:, :, rows, columns], edges[:, :, next_rows, next_columns]
            torch.maximum(here, beyond, out=larger[:, :, rows, columns])
    return larger


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
    channels_in: int, channels_out: int, *, kernel: int = 3, stride: int = 1, norm: bool = False
) -> ConvBlock:
    return ConvBlock(
        channels_in,
        channels_out,
        kernel,
        stride=stride,
        norm="batch" if norm else "none",
        activation="leaky_0.01",
    )


NETWORK = NetworkKind(
    name="lcndr",
    architecture=LcndrArchitecture,
    build=Lcndr,
    train_command="ghostless train lcndr",
)


@dataclass(frozen=True, kw_only=True)
class LcndrSettings(NetworkSettings):
    """How to fuse with LCNDR, besides what every network can be told.

    order: of fusing more than two frames, see `in_turn.fuse_in_turn`.
    """

    order: PairOrder = "mirrored"


def fuse(stack: Stack, settings: LcndrSettings, progress: Progress | None = None) -> Fused:
    """Fuse two or more frames, dark to bright, into a display image.

    The network fuses luma; chroma is fused by rule (`color.fuse_chroma`). Masks are not used: the
    pixels replaced in a deghosted or warped stack agree with its reference. Returns (H, W, 3)
    float32, 0..1. Raises WeightsError while there are no weights, naming the command that makes
    them.
    """
    check_finite(stack.frames)
    loaded = load_network(NETWORK, settings)

    def fuse_pair(under: Frame, over: Frame, progress: Progress | None) -> NDArray[np.float32]:
        return _fuse_pair(loaded, over=over, under=under, progress=progress)

    return fuse_stack_in_turn(
        stack,
        fuse_pair,
        settings,
        loaded.device,
        order=settings.order,
        map_bytes_per_pixel=_MAP_BYTES_PER_PIXEL,
        progress=progress,
    )


def _fuse_pair(
    loaded: LoadedNetwork, *, over: Frame, under: Frame, progress: Progress | None
) -> NDArray[np.float32]:
    read = PairReader(
        over=over,
        under=under,
        multiple=SIZE_MULTIPLE,
        minimum=MINIMUM_SIDE,
        device=loaded.device,
    )
    fused = np.empty(over.pixels.shape, np.float32)
    write_pixels = pixel_writer(fused)

    def read_luma(region: Region) -> tuple[Tensor, Tensor]:
        bright, dark = read(region)
        return luma(bright), luma(dark)

    def write(tile: Tile, fused_luma: Tensor) -> None:
        write_pixels(tile, add_colour(fused_luma, read(tile.inner)))

    with torch.inference_mode(), computing(loaded.dtype, loaded.device):
        fuse_in_tiles(
            loaded.network,
            read_luma,
            read.size,
            write,
            tile_pixels=tile_budget(loaded.device, _BYTES_PER_PIXEL, SMALL_TILE_BYTES),
            progress=progress,
        )
    return fused


def add_colour(fused_luma: Tensor, images: Sequence[Tensor]) -> Tensor:
    """RGB (B, 3, H, W), 0..1, of fused luma (B, 1, H, W) and the fused chroma of RGB images."""
    chroma = fuse_chroma([rgb_to_ycbcr(image)[:, 1:] for image in images])
    return ycbcr_to_rgb(torch.cat([fused_luma.clamp(0, 1), chroma], dim=1)).clamp(0, 1)

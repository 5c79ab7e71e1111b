"""ReFusion: a light transformer over channels, trained by a loss that is itself learned.

Paper: Bai, Zhao, Zhang, Wu, Deng, Cui, Jiang, Xu: ReFusion: Learning Image Fusion from
    Reconstruction with Learnable Loss via Meta-Learning, IJCV 2024.
Built as: two encoders of two transformer blocks, one for the luma of each frame; a merger in which
    each frame's features are attended by the other's and gated; two transformer blocks and two
    convolutions that decode (59,856 parameters, in the order of the published weights). Attention
    relates channels to channels (Zamir et al., Restormer, CVPR 2022), so that it costs little, and
    looks at the whole image. The fused luma is stretched to its range; chroma is fused by rule.
Differs from the paper:
    - The learned loss, and the networks that teach it, are not here: there are the authors' weights
      (`ghostless weights import`) and no recipe.
    - Of more than a megapixel, which channels attend to which is told by a copy of a megapixel, and
      the network runs in tiles by that.
    - Any number of frames, by fusing in turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..bracket import Fused, Stack
from ..errors import WeightsError
from ..nn.fullsize import Region, Tile, make_tiles, run_in_tiles, tile_budget
from ..nn.published import Published, State, only_file
from ..nn.published_files.torch_checkpoint import read_torch
from ..nn.tiled import SMALL_TILE_BYTES
from ..nn.weights import LoadedNetwork, NetworkKind
from ..pixels.stripes import Progress
from .luma import LumaReader, WriteTile, fuse_luma
from .settings import LumaPairSettings

# How far the convolutions see: one on the way in, two of each block, two of the merger, two out.
_REACH_PIXELS = 13
# Peak of all tensors of a tile: 128 channels within a decoder's block, gated, and around it.
_BYTES_PER_PIXEL = 2400
_WHOLE_PIXELS = 1_000_000


@dataclass(frozen=True)
class RefusionArchitecture:
    """Sizes of the network: those of the published weights by default.

    channels: of each encoder. heads: that its channels are divided among. blocks: of each encoder
    and of the decoder. expansion: of the channels between the two steps of a block.
    """

    channels: int = 16
    heads: int = 8
    blocks: int = 2
    expansion: int = 2


class Relations:
    """Which channels attend to which, of all attentions in the order in which they run.

    They are sums over the whole image: gathered where it runs as a whole, and used where a part of
    it does.
    """

    def __init__(self) -> None:
        self._gathered: list[Tensor] = []
        self._next: int | None = None

    def use(self) -> None:
        """Give out from now on what has been gathered, from the first one on."""
        self._next = 0

    def of(self, query: Tensor, key: Tensor, temperature: Tensor) -> Tensor:
        """Shares (B, heads, C, C) of the channels of a key, from (B, heads, C, pixels) each."""
        if self._next is not None:
            found = self._gathered[self._next]
            self._next += 1
            return found
        with torch.autocast(query.device.type, enabled=False):
            query, key = (F.normalize(x.float(), dim=-1) for x in (query, key))
            found = ((query @ key.transpose(-2, -1)) * temperature).softmax(dim=-1)
        self._gathered.append(found)
        return found


def _convolution(channels_in: int, channels_out: int, kernel: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2, bias=False)


def _spread(channels: int) -> nn.Conv2d:
    """A 3x3 convolution of each channel by itself."""
    return nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)


class ChannelNorm(nn.Module):
    """Normalises the channels of each pixel. (B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        normal = F.layer_norm(x.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias)
        return normal.permute(0, 3, 1, 2)


class _Projections(nn.Module):
    """Queries, keys and values of an image: (B, C, H, W) to three of (B, heads, C / heads, HW)."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.project = _convolution(channels, 3 * channels)
        self.spread = _spread(3 * channels)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        batch, channels, height, width = x.shape
        found = self.spread(self.project(x))
        shape = (batch, self.heads, channels // self.heads, height * width)
        query, key, value = (part.reshape(shape) for part in found.chunk(3, dim=1))
        return query, key, value


class _Attention(nn.Module):
    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.projections = _Projections(channels, heads)
        self.leave = _convolution(channels, channels)

    def forward(self, x: Tensor, relations: Relations) -> Tensor:
        query, key, value = self.projections(x)
        attended = relations.of(query, key, self.temperature) @ value
        out: Tensor = self.leave(attended.reshape(x.shape))
        return out


class _Mix(nn.Module):
    """Channels mixed, half of them gating the other half."""

    def __init__(self, channels: int, expansion: int) -> None:
        super().__init__()
        self.enter = _convolution(channels, 2 * expansion * channels)
        self.spread = _spread(2 * expansion * channels)
        self.leave = _convolution(expansion * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.spread(self.enter(x)).chunk(2, dim=1)
        out: Tensor = self.leave(F.gelu(gate) * value)
        return out


class _Block(nn.Module):
    def __init__(self, channels: int, architecture: RefusionArchitecture) -> None:
        super().__init__()
        self.attention_norm = ChannelNorm(channels)
        self.attention = _Attention(channels, architecture.heads)
        self.mix_norm = ChannelNorm(channels)
        self.mix = _Mix(channels, architecture.expansion)

    def forward(self, x: Tensor, relations: Relations) -> Tensor:
        x = x + self.attention(self.attention_norm(x), relations)
        out: Tensor = x + self.mix(self.mix_norm(x))
        return out


class _Side(nn.Module):
    """What the merger does for one of the frames."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.projections = _Projections(channels, heads)
        self.attended = _convolution(channels, channels)
        self.enter = _convolution(channels, 4 * channels)
        self.spread = _spread(4 * channels)
        self.leave = _convolution(4 * channels, 2 * channels)

    def gated(self, x: Tensor, gate: Tensor) -> Tensor:
        out: Tensor = self.leave(F.gelu(gate) * self.spread(self.enter(x)))
        return out


class _Merger(nn.Module):
    """Two frames' features (B, C, H, W) to those of both, (B, 2 C, H, W)."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.under = _Side(channels, heads)
        self.over = _Side(channels, heads)
        self.gates = _convolution(2 * channels, 8 * channels)
        self.spread = _spread(8 * channels)

    def forward(self, under: Tensor, over: Tensor, relations: Relations) -> Tensor:
        shape = under.shape
        of_under, of_over = self.under.projections(under), self.over.projections(over)
        # Each one's keys and values are asked by the other.
        asked = relations.of(of_over[0], of_under[1], self.under.temperature) @ of_under[2]
        under = under + self.under.attended(asked.reshape(shape))
        asked = relations.of(of_under[0], of_over[1], self.over.temperature) @ of_over[2]
        over = over + self.over.attended(asked.reshape(shape))
        joined = torch.cat([under, over], dim=1)
        gates = self.spread(self.gates(joined)).chunk(2, dim=1)
        return joined + self.under.gated(under, gates[0]) + self.over.gated(over, gates[1])


class Refusion(nn.Module):
    """The fusion network: luma (B, 1, H, W), 0..1, of both frames to fused luma of that shape."""

    def __init__(self, architecture: RefusionArchitecture = RefusionArchitecture()) -> None:
        super().__init__()
        self.architecture = architecture
        channels, heads, blocks = architecture.channels, architecture.heads, architecture.blocks

        def coder(channels: int) -> nn.ModuleList:
            return nn.ModuleList(_Block(channels, architecture) for _ in range(blocks))

        self.enter_under = _convolution(1, channels, 3)
        self.enter_over = _convolution(1, channels, 3)
        self.encode_under = coder(channels)
        self.encode_over = coder(channels)
        self.merge = _Merger(channels, heads)
        self.decode = coder(2 * channels)
        self.leave = nn.ModuleList(
            [_convolution(2 * channels, channels, 3), _convolution(channels, 1, 3)]
        )

    def forward(self, *, over: Tensor, under: Tensor, relations: Relations | None = None) -> Tensor:
        relations = Relations() if relations is None else relations
        under, over = self.enter_under(under), self.enter_over(over)
        for block in self.encode_under:
            under = block(under, relations)
        for block in self.encode_over:
            over = block(over, relations)
        features = self.merge(under, over, relations)
        for block in self.decode:
            features = block(features, relations)
        fused: Tensor = self.leave[1](F.leaky_relu(self.leave[0](features), 0.01))
        return torch.sigmoid(fused)


NETWORK = NetworkKind(
    name="refusion",
    architecture=RefusionArchitecture,
    build=Refusion,
    train_command="ghostless weights import refusion FILE -o OUT.safetensors",
)


def fuse(stack: Stack, settings: LumaPairSettings, progress: Progress | None = None) -> Fused:
    """Fuse two or more frames, dark to bright, into a display image: see `luma.fuse_luma`."""
    return fuse_luma(stack, settings, NETWORK, _run, progress=progress)


def _run(
    loaded: LoadedNetwork, read: LumaReader, write: WriteTile, progress: Progress | None
) -> None:
    height, width = read.size
    if height * width <= _WHOLE_PIXELS:
        whole = Region(0, height, 0, width)
        under, over = read(whole)
        write(Tile(whole, whole), loaded.network(over=over, under=under))
        if progress is not None:
            progress(1)
        return
    relations = Relations()
    under, over = read.reduced(_WHOLE_PIXELS)
    loaded.network(over=over, under=under, relations=relations)

    def fuse_tile(tile: Tile) -> Tensor:
        relations.use()
        under, over = read(tile.outer)
        fused: Tensor = loaded.network(over=over, under=under, relations=relations)
        return fused

    pixels = tile_budget(loaded.device, _BYTES_PER_PIXEL, SMALL_TILE_BYTES)
    tiles = make_tiles(height, width, _REACH_PIXELS, 1, pixels)
    run_in_tiles(fuse_tile, write, tiles, progress=progress)


# Parts of the published names, in the order in which they are replaced by ours.
_NAMES = (
    ("project_in_1.", "enter_under."),
    ("project_in_2.", "enter_over."),
    ("project_out_0.", "leave.0."),
    ("project_out_1.", "leave.1."),
    ("encoder1.", "encode_under."),
    ("encoder2.", "encode_over."),
    ("decoder.", "decode."),
    (".norm1.body.", ".attention_norm."),
    (".norm2.body.", ".mix_norm."),
    (".attn.qkv_dwconv.", ".attention.projections.spread."),
    (".attn.qkv.", ".attention.projections.project."),
    (".attn.project_out.", ".attention.leave."),
    (".attn.", ".attention."),
    (".ffn.project_in.", ".mix.enter."),
    (".ffn.dwconv.", ".mix.spread."),
    (".ffn.project_out.", ".mix.leave."),
    ("FM.project_E.", "merge.gates."),
    ("FM.project_E_d.", "merge.spread."),
    *(
        pair
        for number, side in (("1", "merge.under."), ("2", "merge.over."))
        for pair in (
            (f"FM.temperature{number}", f"{side}temperature"),
            (f"FM.qkv{number}_dwconv.", f"{side}projections.spread."),
            (f"FM.qkv{number}.", f"{side}projections.project."),
            (f"FM.project_mid{number}.", f"{side}attended."),
            (f"FM.project_E{number}.", f"{side}enter."),
            (f"FM.project_E{number}_d.", f"{side}spread."),
            (f"FM.project_out{number}.", f"{side}leave."),
        )
    ),
)


def _read_published(files: Sequence[Path]) -> tuple[RefusionArchitecture, State]:
    path = only_file(files, PUBLISHED.files)
    found = read_torch(path)
    state = {}
    for name, value in found.items():
        # Every kernel is there twice, under its own name and that of what holds it.
        if name.endswith(".conv.weight"):
            holder = name.removesuffix(".conv.weight") + ".weight"
            if holder not in found or not np.array_equal(found[holder], value):
                raise WeightsError(
                    f"{path}: expected {holder!r} to be the same as {name!r}, found it is not; "
                    "the file is of another network"
                )
            continue
        for theirs, ours in _NAMES:
            name = name.replace(theirs, ours)
        state[name] = value
    return RefusionArchitecture(), state


PUBLISHED = Published(
    files="ReFusion_MEIF.pth",
    source="the authors' project ReFusion",
    licence="none stated",
    read=_read_published,
)

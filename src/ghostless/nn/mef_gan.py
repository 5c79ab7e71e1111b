"""MEF-GAN: fusion of an over- and an under-exposed image with self-attention and a GAN loss.

Paper: Xu, Ma, Zhang: MEF-GAN: Multi-Exposure Image Fusion via Generative Adversarial Networks,
    IEEE Transactions on Image Processing 2020.
Built as: a dense local detail block at full size and a self-attention block at one eighth of it,
    merged by three convolutions (generator, 487,582 parameters); a convolutional discriminator of
    144 x 144 patches (1,692,961 parameters).
Differs from the paper, whose text, figure and published program disagree; the program is followed
    because the published results come from it. The other reading is an option of the architecture:
    - LeakyReLU 0.2 where the text says ReLU (`activation="relu"`).
    - Spectral norm on local layers 2 to 5; the text says 2 to 4 (`local_spectral_layers=3`).
    - The first merge layer puts out 128 channels; the figure's 216 is its number of input channels
      (`merge_channels=216` builds it as drawn).
    - Batch norm before the final tanh, which the figure lacks (`norm_before_tanh=False`).
    - Five strided layers in the discriminator, spectral norm in place of batch norm
      (`variant="paper"` of the discriminator).
    - The attention's residual scale gamma starts at 0 as in SAGAN; the program draws it from a
      normal distribution of deviation 0.5 (`initial_gamma=0.5`).
    - Sides that are no multiple of 8 are mirrored up to one and cropped back; the program crops.
    - Of more than two frames the darkest and the brightest; all in turn, as section IV-D
      of the paper proposes, with another `order`.
    - Fused colour is taken from exposure fusion, and what is dark in the mean is brightened
      (`methods/painted.py`); the paper's, both from the network, is `chroma="net"` and
      `brightness="net"`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..pixels.stripes import part
from .attention import SelfAttention
from .blocks import Activation, ConvBlock, in_full_precision
from .fullsize import (
    Progress,
    Tile,
    make_tiles,
    run_in_tiles,
    tile_budget,
)
from .tiled import SMALL_TILE_BYTES, PairReader, ReadPair, map_in_tiles
from .weights import LoadedNetwork, NetworkKind, Sides

SIZE_MULTIPLE = 8
# How far the local and merge blocks see: 5 + 3 convolutions.
HALO_PIXELS = 8


@dataclass(frozen=True)
class GeneratorArchitecture:
    """Which generator: the published one by default, readings of the paper and ablations.

    local_block, attention_block: leave one out (the paper's ablations); not both.
    activation: "leaky_0.2" as published, "relu" as the paper says.
    local_spectral_layers: how many local layers after the first have spectral norm, 4 or 3.
    merge_channels: output channels of the first merge layer, 128 or (the figure) 216.
    norm_before_tanh: batch norm before the final tanh.
    initial_gamma: start of the attention's residual scale.
    initial_deviation: of the truncated normal distribution that kernels start from; norms absorb
        its scale, so it sets how fast the kernels turn rather than how strong they are.
    """

    local_block: bool = True
    attention_block: bool = True
    activation: Activation = "leaky_0.2"
    local_spectral_layers: int = 4
    merge_channels: int = 128
    norm_before_tanh: bool = True
    initial_gamma: float = 0.0
    initial_deviation: float = 0.5


class LocalBlock(nn.Module):
    """Five densely connected 3x3 convolutions at full size, 40 channels each: 6 in, 200 out."""

    def __init__(self, architecture: GeneratorArchitecture) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            _conv(
                40 * index if index else 6,
                40,
                architecture,
                spectral=0 < index <= architecture.local_spectral_layers,
            )
            for index in range(5)
        )

    def forward(self, pair: Tensor) -> Tensor:
        """(B, 6, H, W) to (B, 200, H, W)."""
        features: Tensor = self.layers[0](pair)
        for layer in list(self.layers)[1:]:
            features = torch.cat([features, layer(features)], dim=1)
        return features


class AttentionBlock(nn.Module):
    """Self-attention at one eighth of the size: 6 channels in, 16 out at half the size.

    The final enlargement to full size (nearest neighbour) is the caller's, who may do it in
    stripes.
    """

    def __init__(self, architecture: GeneratorArchitecture) -> None:
        super().__init__()
        self.encode_first = _conv(6, 16, architecture, stride=2)
        self.encode_second = _conv(16, 32, architecture, stride=2, spectral=True)
        self.attention = SelfAttention(32, 8, spectral=True)
        self.gamma = nn.Parameter(torch.tensor([architecture.initial_gamma]))
        self.decode_first = _conv(32, 20, architecture, spectral=True)
        self.decode_second = _conv(20, 16, architecture, spectral=True)

    def encode_quarter(self, pair: Tensor) -> Tensor:
        """(B, 6, H, W) to (B, 16, H/4, W/4): the only part that needs the full-size images."""
        return F.max_pool2d(self.encode_first(pair), 2)

    def relate(self, quarter: Tensor) -> Tensor:
        """(B, 16, H/4, W/4) to (B, 32, H/8, W/8), every position related to all others."""
        eighth = self.encode_second(quarter)
        out: Tensor = eighth + self.gamma.to(eighth.dtype) * self.attention(eighth)
        return out

    def decode_quarter(self, eighth: Tensor) -> Tensor:
        """(B, 32, H/8, W/8) to (B, 20, H/4, W/4)."""
        out: Tensor = self.decode_first(enlarge(eighth))
        return out

    def decode_half(self, quarter: Tensor) -> Tensor:
        """(B, 20, H/4, W/4) to (B, 16, H/2, W/2)."""
        out: Tensor = self.decode_second(enlarge(quarter))
        return out

    def forward(self, pair: Tensor) -> Tensor:
        """(B, 6, H, W) to (B, 16, H/2, W/2)."""
        return self.decode_half(self.decode_quarter(self.relate(self.encode_quarter(pair))))


class Generator(nn.Module):
    """The fusion network.

    over, under: (B, 3, H, W) RGB 0..1, sides multiples of 8. Returns (B, 3, H, W) RGB 0..1.
    """

    def __init__(self, architecture: GeneratorArchitecture = GeneratorArchitecture()) -> None:
        super().__init__()
        if not (architecture.local_block or architecture.attention_block):
            raise ValueError("expected the local block, the attention block or both, found neither")
        self.architecture = architecture
        self.local = LocalBlock(architecture) if architecture.local_block else None
        self.attention = AttentionBlock(architecture) if architecture.attention_block else None
        channels = 200 * architecture.local_block + 16 * architecture.attention_block
        self.merge = nn.Sequential(
            _conv(channels, architecture.merge_channels, architecture, spectral=True),
            _conv(architecture.merge_channels, 64, architecture, spectral=True),
            ConvBlock(
                64,
                3,
                padding_mode="reflect",
                norm="batch_tf" if architecture.norm_before_tanh else "none",
                activation="tanh",
            ),
        )
        initialise(self, architecture.initial_deviation)
        if not architecture.norm_before_tanh:
            # Nothing absorbs the scale of this one: keep the tanh out of saturation.
            initialise(self.merge[2], 0.02)

    def merge_blocks(self, pair: Tensor, attended: Tensor | None) -> Tensor:
        """Fused RGB from the pair (B, 6, H, W), over first, and the attention block's output."""
        parts = []
        if self.local is not None:
            parts.append(self.local(pair))
        if attended is not None:
            parts.append(enlarge(attended))
        first, second, last = self.merge
        return (in_full_precision(last, second(first(torch.cat(parts, dim=1)))) + 1) / 2

    def forward(self, *, over: Tensor, under: Tensor) -> Tensor:
        pair = torch.cat([over, under], dim=1)
        return self.merge_blocks(pair, None if self.attention is None else self.attention(pair))


# Held of the whole image: the attention block's maps at a quarter of the size and below.
_MAP_BYTES_PER_PIXEL = 24
# Peak of all tensors of a tile: the 216 merged channels, mirrored, and the layers around them.
BYTES_PER_PIXEL = 3600


def generate_in_tiles(
    generator: Generator,
    read: ReadPair,
    size: tuple[int, int],
    write: Callable[[Tile, Tensor], None],
    *,
    tile_pixels: int,
    progress: Progress | None = None,
) -> None:
    """Run a generator on a large pair, tile by tile, equal to running it on the whole.

    read: over- and under-exposed pixels (1, 3, h, w) of a region. size: height and width,
    multiples of 8. write: gets each tile's fused RGB, as of `nn.fullsize.run_in_tiles`.

    Only the attention block sees the whole image; what it keeps of it, 16 channels at a quarter
    of the size, is gathered first. Local and merge block reach 8 pixels, the enlargement of the
    attention block's output 6.
    """
    tiles = make_tiles(*size, HALO_PIXELS, SIZE_MULTIPLE, tile_pixels)
    attended: Tensor | None = None
    block = generator.attention
    if block is not None:
        quarter = map_in_tiles(
            lambda tile: block.encode_quarter(torch.cat(read(tile.outer), dim=1)),
            tiles,
            scale=4,
            progress=part(progress, 0, 0.1),
        )
        attended = block.decode_quarter(block.relate(quarter))
        del quarter

    def fuse_tile(tile: Tile) -> Tensor:
        pair = torch.cat(read(tile.outer), dim=1)
        if block is None or attended is None:
            return generator.merge_blocks(pair, None)
        return generator.merge_blocks(pair, block.decode_half(tile.outer.cut(attended, 4)))

    run_in_tiles(fuse_tile, write, tiles, progress=part(progress, 0.3, 1))


@dataclass(frozen=True)
class DiscriminatorArchitecture:
    """Which discriminator: the published one, or that of the paper's text and figure.

    patch: side of the square patches in pixels; the last layer is fully connected.
    """

    variant: Literal["code", "paper"] = "code"
    patch: int = 144
    activation: Activation = "leaky_0.2"
    initial_deviation: float = 0.1


class Discriminator(nn.Module):
    """Scores whole patches: (B, 3, patch, patch) RGB 0..1 in, (B, 1) logits z out.

    The probability of being real is (tanh(z) + 1) / 2 = sigmoid(2 z): see `train.losses`.
    """

    def __init__(
        self,
        architecture: DiscriminatorArchitecture = DiscriminatorArchitecture(),
    ) -> None:
        super().__init__()
        self.architecture = architecture
        if architecture.variant == "code":
            # channels, stride, spectral norm, batch norm
            table = [(c, 2, True, False) for c in (64, 64, 96, 128, 256)]
            table.append((512, 1, False, False))
        else:
            table = [
                (64, 2, True, False),
                (128, 2, True, True),
                (256, 2, True, True),
                (512, 1, False, True),
            ]
        channels, side = 3, architecture.patch
        layers = []
        for wanted, stride, spectral, norm in table:
            layers.append(
                ConvBlock(
                    channels,
                    wanted,
                    stride=stride,
                    padding_mode="reflect",
                    norm="batch_tf" if norm else "none",
                    activation=architecture.activation,
                    spectral=spectral,
                )
            )
            channels, side = wanted, -(-side // stride)
        self.layers = nn.Sequential(*layers)
        self.score = nn.Linear(channels * side * side, 1)
        initialise(self, architecture.initial_deviation)

    def forward(self, image: Tensor) -> Tensor:
        out: Tensor = self.score(self.layers(image).flatten(1))
        return out


def enlarge(x: Tensor) -> Tensor:
    """Double the sides by repeating every value. (B, C, H, W) to (B, C, 2 H, 2 W)."""
    return F.interpolate(x, scale_factor=2, mode="nearest")


def initialise(network: nn.Module, deviation: float) -> None:
    """Draw kernels from a truncated normal distribution (cut at two deviations), zero biases."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            parametrized = getattr(module, "parametrizations", None)
            weight = parametrized.weight.original if parametrized else module.weight
            nn.init.trunc_normal_(weight, std=deviation, a=-2 * deviation, b=2 * deviation)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _conv(
    channels_in: int,
    channels_out: int,
    architecture: GeneratorArchitecture,
    *,
    stride: int = 1,
    spectral: bool = False,
) -> ConvBlock:
    return ConvBlock(
        channels_in,
        channels_out,
        stride=stride,
        padding_mode="reflect",
        norm="batch_tf",
        activation=architecture.activation,
        spectral=spectral,
    )


def run(
    loaded: LoadedNetwork,
    read: PairReader,
    write: Callable[[Tile, Tensor], None],
    progress: Progress | None,
) -> None:
    """Run the network on a pair of any size, see `weights.NetworkKind`."""
    generate_in_tiles(
        loaded.network,
        read,
        read.size,
        write,
        tile_pixels=tile_budget(loaded.device, BYTES_PER_PIXEL, SMALL_TILE_BYTES),
        progress=progress,
    )


GENERATOR = NetworkKind(
    name="mef-gan",
    architecture=GeneratorArchitecture,
    build=Generator,
    train_command="ghostless train mef-gan",
    sides=lambda architecture: Sides(SIZE_MULTIPLE),
    run=run,
    map_bytes_per_pixel=_MAP_BYTES_PER_PIXEL,
)

"""NHDRRNet: one linear HDR image of three frames, every place looking at the whole scene.

Paper: Yan, Zhang, Liu, Zhu, Sun, Shi, Zhang: Deep HDR Imaging via a Non-Local Network, IEEE
    Transactions on Image Processing 2020.
Built as: an encoder of four scales for each frame; at a sixteenth of the size nine blocks of three
    kernels beside each other, and self-attention over the whole scene, pooled to 16 x 16; a decoder
    that sees the encoders' features (41,422,083 parameters).
Differs from the paper: its authors published no program, and the widths are those of a port by
    others (whose count of 45,486,339 has a tenth block that is never run); others count 31.56
    million in the original. Input and output are 0..1 with a sigmoid, the port's -1..1 with a
    hyperbolic tangent. Frames are linearised by their own curve and given the papers' of 2.2, see
    `nn.three_frames`. Two frames, and more than three: see `triplets`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..bracket import Fused, Stack
from ..nn import fullsize
from ..nn.blocks import ConvBlock, in_full_precision
from ..nn.fullsize import Progress, Tile
from ..nn.three_frames import FRAMES
from ..nn.tiled import map_in_tiles
from ..nn.weights import LoadedNetwork, NetworkKind, Sides
from ..settings import Range, check_settings
from .settings import HdrNetworkSettings
from .triplets import Reconstruct, Triplet, fuse_by_paper

_SCALES = 4
_REDUCED = 2**_SCALES
# Side of the map over which each place looks at all others.
_GLOBAL_SIDE = 16
# How far encoders and decoder see; between them lies what sees the whole image.
HALO_PIXELS = 48
# Tensors alive at once in float32: features of three frames and the decoder's at half the size.
_BYTES_PER_PIXEL = 768
# The map at a sixteenth of the size, its three kernels and the blocks' copies.
_MAP_BYTES_PER_PIXEL = 32


@dataclass(frozen=True)
class NhdrrNetArchitecture:
    """Numbers of the network: channels at half the size, doubled at each scale; and blocks."""

    channels: Annotated[int, Range(1, 512)] = 32
    blocks: Annotated[int, Range(1, 64)] = 9

    def __post_init__(self) -> None:
        check_settings(self)


class Down(nn.Module):
    """A 3x3 convolution of stride 2, zeros after the last row and column, norm and ReLU."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = ConvBlock(channels_in, channels_out, stride=2, padding=0, norm="batch")

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels_in, H, W) to (B, channels_out, H / 2, W / 2)."""
        out: Tensor = self.conv(F.pad(x, (0, 1, 0, 1)))
        return out


class Up(nn.Module):
    """A 4x4 transposed convolution of stride 2, norm and leaky ReLU."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(channels_in, channels_out, 4, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels_in, H, W) to (B, channels_out, 2 H, 2 W)."""
        return F.leaky_relu(self.norm(self.conv(x)), 0.01)


class TripleBlock(nn.Module):
    """Convolutions of three kernels beside each other, joined by one of 3x3; added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.beside = nn.ModuleList(ConvBlock(channels, channels, kernel) for kernel in (1, 3, 5))
        self.join = ConvBlock(3 * channels, channels, activation="none")

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to the same."""
        out: Tensor = x + self.join(torch.cat([conv(x) for conv in self.beside], dim=1))
        return out


class GlobalBranch(nn.Module):
    """Self-attention over the whole map, pooled to 16 x 16 and enlarged again."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(1, channels // 2)
        self.query, self.key, self.value = (
            nn.Conv2d(channels, inner, 1),
            nn.Conv2d(channels, inner, 1),
            nn.Conv2d(channels, inner, 1),
        )
        self.back = nn.Conv2d(inner, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to the same."""
        pooled = F.adaptive_avg_pool2d(x, _GLOBAL_SIDE)
        queries = self.query(pooled).flatten(2).transpose(1, 2)
        looks = torch.softmax(queries @ self.key(pooled).flatten(2), dim=-1)
        seen = looks @ self.value(pooled).flatten(2).transpose(1, 2)
        seen = seen.transpose(1, 2).reshape(len(x), -1, _GLOBAL_SIDE, _GLOBAL_SIDE)
        return F.interpolate(pooled + self.back(seen), x.shape[-2:], mode="nearest")


class NhdrrNet(nn.Module):
    """Radiance of the reference's moment from three frames as `nn.three_frames` makes them.

    dark, reference, bright: (B, 6, H, W), 0..1, sides multiples of 16. Returns (B, 3, H, W), 0..1,
    1 where the dark frame clips.
    """

    def __init__(self, architecture: NhdrrNetArchitecture | None = None) -> None:
        super().__init__()
        self.architecture = architecture = architecture or NhdrrNetArchitecture()
        base = architecture.channels
        widths = [base * 2**scale for scale in range(_SCALES)]
        self.encoders = nn.ModuleList(
            nn.Sequential(
                *(Down(before, after) for before, after in zip([6, *widths], widths, strict=False))
            )
            for _ in range(FRAMES)
        )
        deepest = widths[-1]
        self.join = ConvBlock(FRAMES * deepest, deepest, norm="batch")
        self.blocks = nn.Sequential(*(TripleBlock(deepest) for _ in range(architecture.blocks)))
        self.everywhere = GlobalBranch(deepest)
        found, given = [2 * deepest, *widths[-2::-1]], [*widths[-2::-1], base]
        skips = [0, *(FRAMES * width for width in widths[-2::-1])]
        self.up = nn.ModuleList(
            Up(before + skip, after)
            for before, skip, after in zip(found, skips, given, strict=True)
        )
        self.head = ConvBlock(base, 3, activation="sigmoid")

    def forward(self, dark: Tensor, reference: Tensor, bright: Tensor) -> Tensor:
        skips = self.encode([dark, reference, bright])
        return self.decode(self.look(self.joined(skips)), skips)

    def encode(self, frames: Sequence[Tensor]) -> list[Tensor]:
        """The frames' features beside each other at each scale, half the size first."""
        features = list(frames)
        scales = []
        for scale in range(_SCALES):
            features = [
                encoder.get_submodule(str(scale))(x)
                for encoder, x in zip(self.encoders, features, strict=True)
            ]
            scales.append(torch.cat(features, dim=1))
        return scales

    def joined(self, scales: Sequence[Tensor]) -> Tensor:
        """One map at a sixteenth of the size, (B, 8 channels, H / 16, W / 16)."""
        out: Tensor = self.join(scales[-1])
        return out

    def look(self, joined: Tensor) -> Tensor:
        """What becomes of the whole map, (B, 16 channels, H / 16, W / 16): near and far."""
        return torch.cat([self.blocks(joined), self.everywhere(joined)], dim=1)

    def decode(self, x: Tensor, scales: Sequence[Tensor]) -> Tensor:
        """Radiance (B, 3, H, W) from the map and the frames' features at each scale."""
        x = self.up[0](x)
        for up, skip in zip(list(self.up)[1:], scales[-2::-1], strict=True):
            x = up(torch.cat([x, skip], dim=1))
        return in_full_precision(self.head, x)


NETWORK = NetworkKind(
    name="nhdrrnet",
    architecture=NhdrrNetArchitecture,
    build=NhdrrNet,
    train_command="ghostless train nhdrrnet",
    sides=lambda _: Sides(_REDUCED, _REDUCED),
)


def fuse(stack: Stack, settings: HdrNetworkSettings, progress: Progress | None = None) -> Fused:
    """Fuse two or more frames of known exposure into linear radiance, 1.0 = the reference clips.

    As `triplets.fuse_by_paper` says. What sees the whole scene runs on the whole of it, at a
    sixteenth of its size, between the tiles of the encoders and those of the decoder.
    """
    return fuse_by_paper(
        stack,
        settings,
        NETWORK,
        halo_pixels=HALO_PIXELS,
        bytes_per_pixel=_BYTES_PER_PIXEL,
        map_bytes_per_pixel=_MAP_BYTES_PER_PIXEL,
        prepare=_prepare,
        progress=progress,
    )


def _prepare(loaded: LoadedNetwork, triplet: Triplet) -> Reconstruct:
    """Make the map of the whole scene, and return what decodes a tile of it."""
    network: NhdrrNet = loaded.network
    pixels = fullsize.tile_budget(loaded.device, _BYTES_PER_PIXEL)
    tiles = fullsize.make_tiles(*triplet.size, HALO_PIXELS, _REDUCED, pixels)

    def encode(tile: Tile) -> list[Tensor]:
        return network.encode(triplet.network_frames(tile.outer))

    joined = map_in_tiles(lambda tile: network.joined(encode(tile)), tiles, scale=_REDUCED)
    seen = network.look(joined)
    return lambda tile: network.decode(tile.outer.cut(seen, _REDUCED), encode(tile))

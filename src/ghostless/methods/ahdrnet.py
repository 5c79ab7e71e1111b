"""AHDRNet: one linear HDR image of three frames, attention keeping out what moved.

Paper: Yan, Gong, Shi, van den Hengel, Shen, Reid, Zhang: Attention-Guided Network for Ghost-Free
    High Dynamic Range Imaging, CVPR 2019.
Built as: features of every frame, those of dark and bright multiplied by an attention that looks at
    them and at the reference; three dilated residual dense blocks; the reference's features added
    (1,441,283 parameters). As the authors' program: no activation between the last three
    convolutions, where the paper's figure has some.
Differs from the paper: of the program's 1,515,139 parameters 73,856 belong to layers that are never
    called; they are left out. Frames are linearised by their own curve and given the papers' of
    2.2, see `nn.three_frames`. Two frames, and more than three: see `triplets`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn

from ..bracket import Fused, Stack
from ..nn.blocks import ConvBlock, in_full_precision
from ..nn.fullsize import Progress
from ..nn.weights import NetworkKind
from ..settings import Range, check_settings
from .settings import HdrNetworkSettings
from .triplets import fuse_by_paper

# How far the network sees: 3 blocks of 6 convolutions of dilation 2, and 7 plain ones.
HALO_PIXELS = 43
_BLOCKS, _LAYERS, _DILATION = 3, 6, 2
# Tensors alive at once in float32: the frames' features, a dense block's and its joined layers.
_BYTES_PER_PIXEL = 3072


@dataclass(frozen=True)
class AhdrNetArchitecture:
    """Numbers of the network: channels of its features, and channels that each dense layer adds."""

    channels: Annotated[int, Range(1, 512)] = 64
    growth: Annotated[int, Range(1, 512)] = 32

    def __post_init__(self) -> None:
        check_settings(self)


class Attention(nn.Module):
    """How much of a side frame's features fits the reference's, 0..1, by channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            ConvBlock(2 * channels, 2 * channels, activation="leaky_0.01"),
            ConvBlock(2 * channels, channels, activation="sigmoid"),
        )

    def forward(self, side: Tensor, reference: Tensor) -> Tensor:
        """(B, channels, H, W) each to the same."""
        gate: Tensor = self.layers(torch.cat([side, reference], dim=1))
        return gate


class DilatedDenseBlock(nn.Module):
    """Dilated convolutions, each seeing all before, joined by a 1x1 one; added to the input."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            ConvBlock(channels + number * growth, growth, dilation=_DILATION)
            for number in range(_LAYERS)
        )
        self.join = ConvBlock(channels + _LAYERS * growth, channels, 1, activation="none")

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to the same."""
        joined = x
        for layer in self.layers:
            joined = torch.cat([joined, layer(joined)], dim=1)
        out: Tensor = x + self.join(joined)
        return out


class AhdrNet(nn.Module):
    """Radiance of the reference's moment from three frames as `nn.three_frames` makes them.

    dark, reference, bright: (B, 6, H, W), 0..1. Returns (B, 3, H, W), 0..1, 1 where the dark frame
    clips.
    """

    def __init__(self, architecture: AhdrNetArchitecture | None = None) -> None:
        super().__init__()
        self.architecture = architecture = architecture or AhdrNetArchitecture()
        channels = architecture.channels
        self.encoder = ConvBlock(6, channels, activation="leaky_0.01")
        self.attention_dark = Attention(channels)
        self.attention_bright = Attention(channels)
        self.merge = ConvBlock(3 * channels, channels, activation="none")
        self.blocks = nn.ModuleList(
            DilatedDenseBlock(channels, architecture.growth) for _ in range(_BLOCKS)
        )
        self.fuse = nn.Sequential(
            ConvBlock(_BLOCKS * channels, channels, 1, activation="none"),
            ConvBlock(channels, channels, activation="none"),
        )
        self.last = ConvBlock(channels, channels, activation="none")
        self.head = ConvBlock(channels, 3, activation="sigmoid")
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, dark: Tensor, reference: Tensor, bright: Tensor) -> Tensor:
        own = self.encoder(reference)
        sides = []
        for frame, attention in ((dark, self.attention_dark), (bright, self.attention_bright)):
            features = self.encoder(frame)
            sides.append(features * attention(features, own))
        x = self.merge(torch.cat([sides[0], own, sides[1]], dim=1))
        del sides
        found = []
        for block in self.blocks:
            x = block(x)
            found.append(x)
        out = self.last(self.fuse(torch.cat(found, dim=1)) + own)
        return in_full_precision(self.head, out)


NETWORK = NetworkKind(
    name="ahdrnet",
    architecture=AhdrNetArchitecture,
    build=AhdrNet,
    train_command="ghostless train ahdrnet",
)


def fuse(stack: Stack, settings: HdrNetworkSettings, progress: Progress | None = None) -> Fused:
    """Fuse two or more frames of known exposure into linear radiance, 1.0 = the reference clips.

    As `triplets.fuse_by_paper` says; tiles give the result of the whole image.
    """
    return fuse_by_paper(
        stack,
        settings,
        NETWORK,
        halo_pixels=HALO_PIXELS,
        bytes_per_pixel=_BYTES_PER_PIXEL,
        progress=progress,
    )

"""DeepHDR: one linear HDR image of three frames, translated by a residual network.

Paper: Wu, Xu, Tai, Tang: Deep High Dynamic Range Imaging with Large Foreground Motions, ECCV 2018.
Built as: an encoder of two scales for each frame, a merger at an eighth of the size, nine residual
    blocks, and a decoder that sees the encoders' features: the paper's ResNet form, as the authors'
    program has it (16,606,339 parameters). The background is aligned beforehand, by a homography.
Differs from the paper: the U-Net form, which the paper has too, is not here. Frames are linearised
    by their own curve and given the papers' of 2.2, see `nn.three_frames`; the program reads them
    as 8 bits. Two frames, and more than three: see `triplets`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..bracket import Fused, Stack
from ..nn.blocks import Activation, ConvBlock, Norm, in_full_precision
from ..nn.fullsize import Progress
from ..nn.three_frames import FRAMES
from ..nn.weights import NetworkKind, Sides
from ..settings import Range, check_settings
from .settings import HdrNetworkSettings
from .triplets import fuse_by_paper

# Measured, rounded up to a multiple of 8.
HALO_PIXELS = 184
_KERNEL = 5
# Tensors alive at once in float32: three frames' features at half the size, and the decoder's.
_BYTES_PER_PIXEL = 1536


@dataclass(frozen=True)
class DeepHdrArchitecture:
    """Numbers of the network: channels at half the size, doubled at each scale; and blocks."""

    channels: Annotated[int, Range(1, 512)] = 64
    blocks: Annotated[int, Range(1, 64)] = 9

    def __post_init__(self) -> None:
        check_settings(self)


class Down(nn.Module):
    """A 5x5 convolution of stride 2, borders mirrored: (B, C, H, W) to (B, c, H / 2, W / 2)."""

    def __init__(self, channels_in: int, channels_out: int, norm: Norm = "batch") -> None:
        super().__init__()
        self.conv = ConvBlock(
            channels_in, channels_out, _KERNEL, stride=2, padding=0, norm=norm, activation="none"
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(F.pad(x, (1, 2, 1, 2), mode="reflect"))
        return out


class Up(nn.Module):
    """ReLU and a 5x5 transposed convolution of stride 2: (B, C, H, W) to (B, c, 2 H, 2 W)."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(
            channels_in, channels_out, _KERNEL, stride=2, padding=2, output_padding=1
        )
        self.norm = nn.BatchNorm2d(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.conv(F.relu(x)))
        return out


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, borders mirrored, added to the rectified input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        activations: tuple[Activation, ...] = ("relu", "none")
        self.layers = nn.Sequential(
            *(
                ConvBlock(
                    channels, channels, padding_mode="reflect", norm="batch", activation=activation
                )
                for activation in activations
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to the same."""
        x = F.relu(x)
        out: Tensor = x + self.layers(x)
        return out


class DeepHdr(nn.Module):
    """Radiance of the reference's moment from three frames as `nn.three_frames` makes them.

    dark, reference, bright: (B, 6, H, W), 0..1, sides multiples of 8. Returns (B, 3, H, W), 0..1,
    1 where the dark frame clips.
    """

    def __init__(self, architecture: DeepHdrArchitecture | None = None) -> None:
        super().__init__()
        self.architecture = architecture = architecture or DeepHdrArchitecture()
        half = architecture.channels
        quarter, eighth = 2 * half, 4 * half
        self.first = nn.ModuleList(Down(6, half, "none") for _ in range(FRAMES))
        self.second = nn.ModuleList(Down(half, quarter) for _ in range(FRAMES))
        self.merger = Down(FRAMES * quarter, eighth)
        self.blocks = nn.Sequential(*(ResidualBlock(eighth) for _ in range(architecture.blocks)))
        self.up = nn.ModuleList(
            [
                Up(2 * eighth, quarter),
                Up((1 + FRAMES) * quarter, half),
                Up((1 + FRAMES) * half, half),
            ]
        )
        self.head = ConvBlock(half, 3, _KERNEL, padding_mode="reflect", activation="tanh")
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.normal_(module.weight, std=0.02)

    def forward(self, dark: Tensor, reference: Tensor, bright: Tensor) -> Tensor:
        halves, quarters = [], []
        for first, second, frame in zip(
            self.first, self.second, (dark, reference, bright), strict=True
        ):
            halves.append(first(frame * 2 - 1))
            quarters.append(second(F.leaky_relu(halves[-1], 0.2)))
        merged = self.merger(F.leaky_relu(torch.cat(quarters, dim=1), 0.2))
        x = self.up[0](torch.cat([self.blocks(merged), merged], dim=1))
        x = self.up[1](torch.cat([x, *quarters], dim=1))
        x = self.up[2](torch.cat([x, *halves], dim=1))
        return (in_full_precision(self.head, F.relu(x)) + 1) / 2


NETWORK = NetworkKind(
    name="deephdr",
    architecture=DeepHdrArchitecture,
    build=DeepHdr,
    train_command="ghostless train deephdr",
    # Mirroring needs three rows and columns at half and a quarter of the size, two at an eighth.
    sides=lambda _: Sides(8, 16),
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

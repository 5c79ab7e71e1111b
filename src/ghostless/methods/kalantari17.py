"""Kalantari & Ramamoorthi: optical flow lays two frames on the third, a network weighs them.

Paper: Kalantari, Ramamoorthi: Deep High Dynamic Range Imaging of Dynamic Scenes, ACM Transactions
    on Graphics (SIGGRAPH) 2017.
Built as: the dark and the bright frame follow the reference by dense optical flow (`align.follow`);
    four convolutions give a weight to each frame, pixel and channel; the radiance is the weighted
    mean of the frames (383,909 parameters). This is the paper's form "WE".
Differs from the paper: the flow is dense inverse search, the paper's that of Liu (2009); where its
    two directions disagree and the reference shows what is there, that stands in. The result has
    the size of the frames, which are mirrored at the borders; the paper loses 6 pixels a side. Its
    forms "direct" and "WIE" are not here. Frames are linearised by their own curve and given the
    paper's of 2.2, see `nn.three_frames`. Two frames, and more than three: see `triplets`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..align.follow import follow
from ..bracket import Fused, Stack
from ..nn.blocks import ConvBlock, in_full_precision
from ..nn.fullsize import Progress
from ..nn.three_frames import FRAMES
from ..nn.weights import LoadedNetwork, NetworkKind, Sides
from ..settings import Range, check_settings
from .settings import HdrNetworkSettings
from .triplets import Reconstruct, Triplet, by_convolutions, fuse_by_paper

_KERNELS = (7, 5, 3)
# How far the network sees.
HALO_PIXELS = sum(kernel // 2 for kernel in _KERNELS)
# Tensors alive at once in float32: two of 100 channels and their convolution's copies.
_BYTES_PER_PIXEL = 2048
_LEAST_WEIGHT = 1e-6


@dataclass(frozen=True)
class Kalantari17Architecture:
    """Numbers of the network: channels of its first two layers; the third has half as many."""

    channels: Annotated[int, Range(2, 512)] = 100

    def __post_init__(self) -> None:
        check_settings(self)


class Kalantari17(nn.Module):
    """Radiance from three frames as `nn.three_frames` makes them, laid on each other.

    dark, reference, bright: (B, 6, H, W), 0..1, sides of at least 7. Returns (B, 3, H, W), 0..1, 1
    where the dark frame clips.
    """

    def __init__(self, architecture: Kalantari17Architecture | None = None) -> None:
        super().__init__()
        self.architecture = architecture = architecture or Kalantari17Architecture()
        channels = [6 * FRAMES, *[architecture.channels] * 2, architecture.channels // 2]
        self.layers = nn.Sequential(
            *(
                ConvBlock(before, after, kernel, padding=0)
                for before, after, kernel in zip(channels, channels[1:], _KERNELS, strict=False)
            )
        )
        self.head = ConvBlock(channels[-1], 3 * FRAMES, 1, activation="sigmoid")
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)

    def forward(self, dark: Tensor, reference: Tensor, bright: Tensor) -> Tensor:
        frames = [dark, reference, bright]
        seen = torch.cat([frame[:, :3] for frame in frames] + [frame[:, 3:] for frame in frames], 1)
        seen = F.pad(seen, [HALO_PIXELS] * 4, mode="reflect")
        weights = in_full_precision(self.head, self.layers(seen)).chunk(FRAMES, dim=1)
        light = [weight * frame[:, 3:] for weight, frame in zip(weights, frames, strict=True)]
        total = torch.stack(weights).sum(dim=0)
        return torch.stack(light).sum(dim=0) / (total + _LEAST_WEIGHT)


NETWORK = NetworkKind(
    name="kalantari17",
    architecture=Kalantari17Architecture,
    build=Kalantari17,
    train_command="ghostless train kalantari17",
    sides=lambda _: Sides(1, HALO_PIXELS + 1),
)


def fuse(stack: Stack, settings: HdrNetworkSettings, progress: Progress | None = None) -> Fused:
    """Fuse two or more frames of known exposure into linear radiance, 1.0 = the reference clips.

    As `triplets.fuse_by_paper` says; tiles give the result of the whole image. Every triplet's
    frames are laid on the reference first.
    """
    return fuse_by_paper(
        stack,
        settings,
        NETWORK,
        halo_pixels=HALO_PIXELS,
        bytes_per_pixel=_BYTES_PER_PIXEL,
        prepare=_prepare,
        progress=progress,
    )


def _prepare(loaded: LoadedNetwork, triplet: Triplet) -> Reconstruct:
    dark, reference, bright = triplet.frames
    laid = [follow(reference, dark), reference, follow(reference, bright)]
    return by_convolutions(loaded, replace(triplet, frames=laid))

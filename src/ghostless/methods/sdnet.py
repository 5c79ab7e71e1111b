"""SDNet: two paths squeeze a pair of photos into one luma, from which both can be rebuilt.

Paper: Zhang, Ma: SDNet: A Versatile Squeeze-and-Decomposition Network for Real-Time Image Fusion,
    International Journal of Computer Vision 2021.
Built as: a path of four densely connected convolutions for the luma of each frame, and one that
    makes one of both (28,705 parameters); in training a second half rebuilds both frames from the
    result (67,091 with it). Chroma is fused by rule. The authors' published weights fit
    (`PUBLISHED`), and `as_published` does what their programs do around the network: its darkest
    value becomes black and its brightest white, and its levels are taken for those of studio video.
Differs from the paper:
    - The luma is in full range, from 0 to 255; that of the authors' programs goes from 16 to 235
      (`levels="studio"` of the architecture, which their weights have).
    - The fused luma is stretched from its first to its last percentile, so that no single pixel
      says how all others look.
    - Any number of frames, by fusing in turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ..bracket import Fused, Stack
from ..nn.blocks import ConvBlock, in_full_precision
from ..nn.published import Published, State, renamed
from ..nn.published_files.tensorflow_checkpoint import kernel_of, read_tensorflow_checkpoint
from ..nn.signed_luma import Levels, from_signed, to_signed
from ..nn.weights import NetworkKind
from ..pixels.stripes import Progress
from .luma import fuse_luma, in_tiles
from .settings import StretchedPairSettings

_LAYERS = 4
# A convolution of 5 x 5 pixels, three of 3 x 3.
HALO_PIXELS = 5
# Peak of all tensors of a tile: the 128 channels of both paths, and their copies.
_BYTES_PER_PIXEL = 1400


@dataclass(frozen=True)
class SdnetArchitecture:
    """Which network.

    channels: of each layer of a path. levels: of the luma it was taught, from 0 to 255 ("full") or
        16 to 235 ("studio").
    """

    channels: int = 16
    levels: Levels = "full"

    def __post_init__(self) -> None:
        if self.levels not in ("full", "studio"):
            raise ValueError(f"expected levels full or studio, found {self.levels!r}")


class Squeeze(nn.Module):
    """A path: luma (B, 1, H, W), -1..1, to the outputs of its four layers."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            ConvBlock(channels * index or 1, channels, 3 if index else 5, activation="leaky_0.2")
            for index in range(_LAYERS)
        )

    def forward(self, luma: Tensor) -> list[Tensor]:
        outputs = [self.layers[0](luma)]
        for layer in list(self.layers)[1:]:
            outputs.append(layer(torch.cat(outputs, dim=1)))
        return outputs


class Decompose(nn.Module):
    """What rebuilds both frames from the fused luma, in training."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.common = ConvBlock(1, 8 * channels, 1, activation="leaky_0.2")
        self.under, self.over = (
            nn.Sequential(
                ConvBlock(8 * channels, channels, activation="leaky_0.2"),
                ConvBlock(channels, channels // 4, activation="leaky_0.2"),
                ConvBlock(channels // 4, 1, activation="tanh"),
            )
            for _ in range(2)
        )

    def forward(self, fused: Tensor) -> tuple[Tensor, Tensor]:
        """The darker and the brighter frame's luma, all (B, 1, H, W), -1..1."""
        common = self.common(fused)
        return self.under(common), self.over(common)


class Sdnet(nn.Module):
    """The fusion network.

    over, under: luma (B, 1, H, W), 0..1. Returns fused luma of the same shape; of a network with
    levels "studio" it may leave 0..1 a little.
    """

    def __init__(self, architecture: SdnetArchitecture = SdnetArchitecture()) -> None:
        super().__init__()
        self.architecture = architecture
        self.under = Squeeze(architecture.channels)
        self.over = Squeeze(architecture.channels)
        self.join = ConvBlock(2 * _LAYERS * architecture.channels, 1, 1, activation="tanh")
        self.decompose = Decompose(architecture.channels)

    def forward(self, *, over: Tensor, under: Tensor) -> Tensor:
        levels = self.architecture.levels
        return from_signed(self.squeeze(to_signed(over, levels), to_signed(under, levels)), levels)

    def squeeze(self, over: Tensor, under: Tensor) -> Tensor:
        """The fused luma in the network's own range, all (B, 1, H, W), -1..1."""
        pairs = zip(self.under(under), self.over(over), strict=True)
        features = torch.cat([feature for pair in pairs for feature in pair], dim=1)
        return in_full_precision(self.join, features)


NETWORK = NetworkKind(
    name="sdnet",
    architecture=SdnetArchitecture,
    build=Sdnet,
    train_command="ghostless train sdnet",
)


def fuse(stack: Stack, settings: StretchedPairSettings, progress: Progress | None = None) -> Fused:
    """Fuse two or more frames, dark to bright, into a display image: see `luma.fuse_luma`."""
    run = in_tiles(HALO_PIXELS, _BYTES_PER_PIXEL)
    return fuse_luma(stack, settings, NETWORK, run, progress=progress)


def _read_published(files: Sequence[Path]) -> tuple[SdnetArchitecture, State]:
    found = read_tensorflow_checkpoint(files)
    # The program calls its sources infrared and visible; for exposures they are dark and bright.
    layers = {"5_fuse": "join", "6_sept": "decompose.common"}
    for theirs, ours in (("ir", "under"), ("vi", "over")):
        layers |= {f"{i + 1}_{theirs}": f"{ours}.layers.{i}" for i in range(_LAYERS)}
        layers |= {f"{i + 7}_{theirs}": f"decompose.{ours}.{i}" for i in range(3)}
    names = {}
    for theirs, ours in layers.items():
        names[f"fusion_model/layer{theirs}/w{theirs}"] = f"{ours}.conv.weight"
        names[f"fusion_model/layer{theirs}/b{theirs}"] = f"{ours}.conv.bias"
    state = renamed(files[0], found, names)
    architecture = SdnetArchitecture(levels="studio")
    return architecture, {name: kernel_of(array) for name, array in state.items()}


PUBLISHED = Published(
    files="MEF.model-11.index and MEF.model-11.data-00000-of-00001",
    source="the authors' project SDNet",
    licence="MIT",
    read=_read_published,
)

"""IFCNN: one small network for images of any kind, its features joined element by element.

Paper: Zhang, Liu, Sun, Yan, Zhao, Zhang: IFCNN: A General Image Fusion Framework Based on
    Convolutional Neural Network, Information Fusion 54, 2020.
Built as: two convolutions for each frame, whose first is that of a ResNet-101 trained on ImageNet,
    not trained further; the mean, the largest or the sum of the frames' features; two convolutions
    (83,587 parameters). The network takes colour pictures; for exposures the authors give it the
    luma three times over, equalise the fused luma locally (CLAHE), and fuse chroma by rule. Any
    number of frames.
Differs from the paper:
    - Without the authors' weights there is no first convolution of ImageNet: it is learned with the
      rest.
    - It was never trained on exposures; the benchmark's column of it looks like the weights for
      "max" on colours (`planes="rgb"`).
    - Local equalisation is an option (`equalise`), off unless asked for: it is no part of the
      network and hides what that does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ..bracket import Fused, Stack
from ..errors import OptionError, WeightsError
from ..nn.fast import fuse_at_quality
from ..nn.fullsize import (
    PaddedFrame,
    Tile,
    check_finite,
    computing,
    make_tiles,
    pixel_writer,
    run_in_tiles,
    tile_budget,
    to_tensor,
)
from ..nn.published import Published, State, only_file, renamed
from ..nn.published_files.torch_checkpoint import read_torch
from ..nn.tiled import SMALL_TILE_BYTES
from ..nn.weights import LoadedNetwork, NetworkKind, load_network
from ..nn.ycbcr import luma
from ..pixels.stripes import Progress
from .luma import as_bracket, fuse_luma, in_tiles
from .settings import IfcnnSettings

_CHANNELS = 64
_REACH_PIXELS = 5
# Peak of all tensors of a tile for each frame: 64 channels before and after a convolution, padded.
_BYTES_PER_PIXEL = 1000
# Mean and deviation of ImageNet's colours.
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# Contrast at most, and tiles along each side, of the authors' local equalisation.
_CLAHE_LIMIT, _CLAHE_TILES = 2.0, 8


@dataclass(frozen=True)
class IfcnnArchitecture:
    """How the frames' features are joined: the mean, as published for exposures, max or sum."""

    join: Literal["mean", "max", "sum"] = "mean"


class _Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            _CHANNELS, _CHANNELS, 3, padding=1, padding_mode="replicate", bias=False
        )
        self.norm = nn.BatchNorm2d(_CHANNELS)
        deviation = (2 / (9 * _CHANNELS)) ** 0.5
        nn.init.normal_(self.conv.weight, std=deviation)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x)))


class Ifcnn(nn.Module):
    """The fusion network.

    Takes pictures (B, K, 3, H, W), or planes (B, K, 1, H, W) that stand for three alike, 0..1, and
    gives fused ones (B, 3, H, W); they may leave 0..1.
    """

    def __init__(self, architecture: IfcnnArchitecture = IfcnnArchitecture()) -> None:
        super().__init__()
        self.architecture = architecture
        self.first = nn.Conv2d(3, _CHANNELS, 7, padding=3, padding_mode="replicate", bias=False)
        nn.init.orthogonal_(self.first.weight)
        self.of_each = _Block()
        self.of_all = _Block()
        self.last = nn.Conv2d(_CHANNELS, 3, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        batch, count, _, height, width = pictures.shape
        flat = pictures.expand(batch, count, 3, height, width).flatten(0, 1)
        features = self.of_each(self.first(flat)).unflatten(0, (batch, count))
        if self.architecture.join == "max":
            joined = features.amax(dim=1)
        else:
            joined = features.mean(dim=1)
            joined = joined * count if self.architecture.join == "sum" else joined
        fused: Tensor = self.last(self.of_all(joined))
        return fused


NETWORK = NetworkKind(
    name="ifcnn",
    architecture=IfcnnArchitecture,
    build=Ifcnn,
    train_command="ghostless train ifcnn",
)


def fuse(stack: Stack, settings: IfcnnSettings, progress: Progress | None = None) -> Fused:
    """Fuse any number of frames into a display image: see `luma.fuse_luma`.

    Raises OptionError for an equalisation of colours.
    """
    if settings.planes == "luma":
        run = in_tiles(_REACH_PIXELS, _BYTES_PER_PIXEL, call=_fused_luma)
        return fuse_luma(
            stack,
            settings,
            NETWORK,
            run,
            in_codes=settings.equalise,
            finish=_equalise if settings.equalise else None,
            progress=progress,
        )
    if settings.equalise:
        raise OptionError(
            f"equalise: expected planes=luma with it, found planes={settings.planes}; leave one out"
        )
    check_finite(stack.frames)
    loaded = load_network(NETWORK, settings)
    return fuse_at_quality(
        stack,
        settings,
        loaded.device,
        lambda stack, progress: _fuse_colours(stack, loaded, settings, progress),
        map_bytes_per_pixel=0,
        progress=progress,
    )


def _fused_luma(network: nn.Module, planes: Sequence[Tensor]) -> Tensor:
    return luma(as_bracket(network, planes))


def _fuse_colours(
    stack: Stack, loaded: LoadedNetwork, settings: IfcnnSettings, progress: Progress | None
) -> Fused:
    first = stack.frames[0]
    fused = np.empty((first.height, first.width, 3), np.float32)
    frames = [PaddedFrame(frame) for frame in stack.frames]
    mean, deviation = (
        torch.tensor(values, device=loaded.device).view(1, -1, 1, 1)
        for values in ((_MEAN, _DEVIATION) if settings.planes == "imagenet" else ((0,), (1,)))
    )

    def fuse_tile(tile: Tile) -> Tensor:
        pictures = [to_tensor(frame.display(tile.outer), loaded.device) for frame in frames]
        normal = [(picture - mean) / deviation for picture in pictures]
        result: Tensor = loaded.network(torch.stack(normal, dim=1))
        return (result * deviation + mean).clamp(0, 1)

    pixels = tile_budget(loaded.device, _BYTES_PER_PIXEL * len(frames), SMALL_TILE_BYTES)
    tiles = make_tiles(first.height, first.width, _REACH_PIXELS, 1, pixels)
    with torch.inference_mode(), computing(loaded.dtype, loaded.device):
        run_in_tiles(fuse_tile, pixel_writer(fused), tiles, progress=progress)
    return Fused(fused, "display", stack.frames[stack.reference].metadata)


def _equalise(fused: NDArray[np.float32]) -> None:
    """Equalise luma (H, W), 0..1, locally, as the authors do: at studio levels, in 8 bits.

    Rounded down twice, as their program does: what is equalised shows half a code.
    """
    codes = np.floor(255 * np.clip(fused, 0, 1))
    codes = np.floor(16 + codes * np.float32(219 / 255)).astype(np.uint8)
    clahe = cv2.createCLAHE(_CLAHE_LIMIT, (_CLAHE_TILES, _CLAHE_TILES))
    fused[:] = clahe.apply(codes)
    fused *= np.float32(1 / 255)


def _read_published(files: Sequence[Path]) -> tuple[IfcnnArchitecture, State]:
    path = only_file(files, PUBLISHED.files)
    joins: tuple[Literal["mean", "max", "sum"], ...] = ("mean", "max", "sum")
    named = [join for join in joins if join.upper() in Path(path).stem.upper().split("-")]
    if len(named) != 1:
        raise WeightsError(
            f"{path}: expected a name that tells how features are joined, as IFCNN-MEAN.pth, found "
            f"{Path(path).name}; give the file as its authors named it"
        )
    names = {
        "conv1.weight": "first.weight",
        "conv4.weight": "last.weight",
        "conv4.bias": "last.bias",
    }
    for theirs, ours in (("conv2", "of_each"), ("conv3", "of_all")):
        names[f"{theirs}.conv.weight"] = f"{ours}.conv.weight"
        for part in ("weight", "bias", "running_mean", "running_var"):
            names[f"{theirs}.bn.{part}"] = f"{ours}.norm.{part}"
    return IfcnnArchitecture(named[0]), renamed(path, read_torch(path), names)


PUBLISHED = Published(
    files="IFCNN-MEAN.pth (for exposures), IFCNN-MAX.pth or IFCNN-SUM.pth",
    source="the authors' project IFCNN",
    licence="none stated",
    read=_read_published,
)

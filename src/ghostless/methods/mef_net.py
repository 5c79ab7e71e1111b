"""MEF-Net: a small network weighs small copies of the frames, a guided filter carries the weights.

Paper: Ma, Duanmu, Zhu, Fang, Wang: Deep Guided Learning for Fast Multi-Exposure Image Fusion, IEEE
    Transactions on Image Processing 2020.
Built as: copies of the frames' luma, 128 pixels on the short side, pass one by one through seven
    convolutions of growing reach (26,461 parameters); a fast guided filter makes of what comes out,
    with the luma itself as the guide, a weight for every pixel at full size. The fused luma is the
    weighted mean; chroma is fused by rule. The authors' published weights fit (`PUBLISHED`).
Differs from the paper:
    - The window means of the guided filter are taken directly; the program's running sums lose
      digits.
    - Photos of more than 1024 pixels on the short side are reduced to that by means of areas before
      the small copies are made of them: the same picture, without a copy of the photo in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ..bracket import Fused, Stack
from ..nn.fullsize import check_finite, computing
from ..nn.published import Published, State, only_file, renamed
from ..nn.published_files.torch_checkpoint import read_torch
from ..nn.settings import NetworkSettings
from ..nn.weights import LoadedNetwork, NetworkKind, load_network
from ..pixels.stripes import Progress
from .small_weights import (
    COPY_SIDE,
    LEAST_WEIGHT,
    SmallWeights,
    fuse_by_weights,
    shares,
    shown_on_copy,
    small_copy,
)

Array = NDArray[np.float32]

_DILATIONS = (1, 2, 4, 8, 16, 1)
# Of the guided filter: side of its window, and what counts as flat.
_WINDOW, _FLAT = 3, 1e-4


@dataclass(frozen=True)
class MefNetArchitecture:
    """Which network: the published one by default.

    channels: of each convolution but the last.
    """

    channels: int = 24


class AdaptiveNorm(nn.Module):
    """A mixture, learned, of features and the same normalised over each image. (B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.plain = nn.Parameter(torch.ones(1))
        self.normalised = nn.Parameter(torch.zeros(1))
        self.norm = nn.InstanceNorm2d(channels, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.plain * x + self.normalised * self.norm(x)
        return out


class _Block(nn.Module):
    def __init__(self, channels_in: int, channels_out: int, dilation: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            channels_in, channels_out, 3, padding=dilation, dilation=dilation, bias=False
        )
        self.norm = AdaptiveNorm(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.norm(self.conv(x)), 0.2)


class MefNet(nn.Module):
    """The network that weighs, and the fusion as its training sees it."""

    def __init__(self, architecture: MefNetArchitecture = MefNetArchitecture()) -> None:
        super().__init__()
        self.architecture = architecture
        channels = architecture.channels
        self.blocks = nn.ModuleList(
            _Block(channels if index else 1, channels, dilation)
            for index, dilation in enumerate(_DILATIONS)
        )
        self.last = nn.Conv2d(channels, 1, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)

    def weigh(self, copies: Tensor) -> Tensor:
        """Raw weights (K, 1, h, w) of small copies of luma, (K, 1, h, w), 0..1, each by itself."""
        features = copies
        for block in self.blocks:
            features = block(features)
        out: Tensor = self.last(features)
        return out

    def forward(self, lumas: Tensor) -> Tensor:
        """Fused luma (B, 1, H, W) of brackets of luma (B, K, 1, H, W), 0..1."""
        batch, count = lumas.shape[:2]
        flat = lumas.flatten(0, 1)
        copies = small_copies(flat)
        slopes, offsets = guided_coefficients(copies, self.weigh(copies))
        size = (flat.shape[2], flat.shape[3])
        slopes, offsets = (F.interpolate(m, size, mode="bilinear") for m in (slopes, offsets))
        weights = (slopes * flat + offsets).abs() + LEAST_WEIGHT
        weights = weights.view(batch, count, 1, *size)
        return (weights * lumas).sum(dim=1) / weights.sum(dim=1)


def small_copies(lumas: Tensor) -> Tensor:
    """Luma (K, 1, H, W) brought to 128 pixels on the short side, as by `small_copy`."""
    height, width = lumas.shape[2:]
    short = min(height, width)
    size = [int(COPY_SIDE * side / short) for side in (height, width)]
    return F.interpolate(lumas, size, mode="bilinear", antialias=True)


def guided_coefficients(guide: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Slopes and offsets of the guided filter (He, Sun: Fast Guided Filter, 2015).

    guide, values: (K, 1, h, w). The filtered values are slope * guide + offset, at any size.
    """
    with torch.autocast(guide.device.type, enabled=False):
        guide, values = guide.float(), values.float()
        mean_guide, mean_values = _window_mean(guide), _window_mean(values)
        covariance = _window_mean(guide * values) - mean_guide * mean_values
        variance = _window_mean(guide * guide) - mean_guide * mean_guide
        slopes = covariance / (variance + _FLAT)
        return slopes, mean_values - slopes * mean_guide


def _window_mean(x: Tensor) -> Tensor:
    """Mean over a window around each place, of what lies inside the image. (K, 1, h, w)."""
    return F.avg_pool2d(x, _WINDOW, 1, _WINDOW // 2, count_include_pad=False)


NETWORK = NetworkKind(
    name="mef-net",
    architecture=MefNetArchitecture,
    build=MefNet,
    train_command="ghostless train mef-net",
)


def fuse(
    stack: Stack,
    settings: NetworkSettings,
    *,
    progress: Progress | None = None,
) -> Fused:
    """Fuse any number of frames into a display image, (H, W, 3) float32, 0..1.

    The network sees small copies whatever the quality, and every pixel is mixed of the frames' own,
    so that "fast" and "full" give the same. Masks are not used: the pixels replaced in a deghosted
    or warped stack agree with its reference.
    Raises BracketError for pixels that are not finite, and WeightsError while there are no weights,
    naming the command that makes them.
    """
    return fuse_by_weights(stack, _weights(stack, settings), progress)


def weight_maps(stack: Stack, settings: NetworkSettings) -> list[Array]:
    """Return how much each frame counts where, on the small copies.

    (h, w) float32 per frame, 0..1, together 1 everywhere.
    """
    return shares(_weights(stack, settings))


def _weights(stack: Stack, settings: NetworkSettings) -> list[SmallWeights]:
    check_finite(stack.frames)
    loaded = load_network(NETWORK, settings)
    return [_weights_of(loaded, stack, number) for number in range(len(stack.frames))]


def _weights_of(loaded: LoadedNetwork, stack: Stack, number: int) -> SmallWeights:
    copy = small_copy(stack.frames[number], enlarge=True)
    shown = shown_on_copy(stack, number, copy)
    with torch.inference_mode(), computing(loaded.dtype, loaded.device):
        found = loaded.network.weigh(torch.from_numpy(copy)[None, None].to(loaded.device))
    return SmallWeights.of(copy, found[0, 0].float().cpu().numpy(), _WINDOW, _FLAT, shown)


def _read_published(files: Sequence[Path]) -> tuple[MefNetArchitecture, State]:
    path = only_file(files, "MEFNet_release.pt")
    names = {"lr.18.weight": "last.weight", "lr.18.bias": "last.bias"}
    for index in range(len(_DILATIONS)):
        block, norm = f"blocks.{index}", f"lr.{3 * index + 1}"
        names |= {
            f"lr.{3 * index}.weight": f"{block}.conv.weight",
            f"{norm}.w_0": f"{block}.norm.plain",
            f"{norm}.w_1": f"{block}.norm.normalised",
            f"{norm}.in_norm.weight": f"{block}.norm.norm.weight",
            f"{norm}.in_norm.bias": f"{block}.norm.norm.bias",
        }
    return MefNetArchitecture(), renamed(path, read_torch(path), names)


PUBLISHED = Published(
    files="MEFNet_release.pt",
    source="the authors' project MEFNet",
    licence="none stated",
    read=_read_published,
)

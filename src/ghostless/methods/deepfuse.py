"""DeepFuse: the first network that learned to fuse exposures without a reference.

Paper: Prabhakar, Sai Srikar, Babu: DeepFuse: A Deep Unsupervised Approach for Exposure Fusion with
    Extreme Exposure Image Pairs, ICCV 2017.
Built as: two convolutions for each frame's luma, the same for all; their features are added, and
    four convolutions make the fused luma of them (316,976 parameters, no biases). That is stretched
    from its first to its ninety-ninth percentile, because the loss leaves its brightness free;
    chroma is fused by rule. This is the network that the authors published with weights.
Differs from the paper:
    - The paper's own network is smaller (88,961 parameters), has larger kernels first, and ends in
      a tanh: `variant="paper"`, as others build it from the text.
    - Any number of frames: the mean of the features times two, which is their sum for two.
    - Their program reduces photos to 512 pixels on the long side first; here every pixel goes
      through the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..bracket import Fused, Stack
from ..nn.published import Published, State, only_file, renamed
from ..nn.published_files.arrays import flipped, read_npz
from ..nn.weights import NetworkKind
from ..pixels.stripes import Progress
from .luma import as_bracket, fuse_luma, in_tiles
from .settings import DeepFuseSettings

# Kernels and channels out of each convolution; the frames' features are joined after the second.
_LAYERS = {
    "published": ((3, 32), (5, 64), (7, 64), (5, 32), (5, 16), (7, 1)),
    "paper": ((5, 16), (7, 32), (7, 32), (5, 16), (5, 1)),
}
_OF_EACH_FRAME = 2
# Peak of all tensors of a tile for each frame: 64 channels before and after a convolution, joined.
_BYTES_PER_PIXEL = 800
_REACH_PIXELS = 13


@dataclass(frozen=True)
class DeepFuseArchitecture:
    """Which network.

    variant: the one with published weights, or the paper's. borders: what convolutions see beyond
    the image: "black", as those of both, which leaves a dark line at its border, or it "repeated".
    """

    variant: Literal["published", "paper"] = "published"
    borders: Literal["black", "repeated"] = "black"


class DeepFuse(nn.Module):
    """The fusion network.

    Takes the luma of brackets, (B, K, 1, H, W), studio levels 16..235 of 255 as 0..1, and gives
    fused luma (B, 1, H, W). Its scale is whatever the loss leaves free: it may leave 0..1.
    """

    def __init__(self, architecture: DeepFuseArchitecture = DeepFuseArchitecture()) -> None:
        super().__init__()
        self.architecture = architecture
        published = architecture.variant == "published"
        layers, channels = [], 1
        for kernel, wanted in _LAYERS[architecture.variant]:
            padding = kernel // 2
            layers.append(nn.Conv2d(channels, wanted, kernel, padding=padding, bias=not published))
            channels = wanted
        self.layers = nn.ModuleList(layers)
        self.leaky = nn.LeakyReLU(0.01)

    def forward(self, lumas: Tensor) -> Tensor:
        if self.architecture.borders == "black":
            return self._fuse(lumas)
        margin = _REACH_PIXELS
        padded = F.pad(lumas.flatten(0, 1), (margin,) * 4, mode="replicate")
        fused = self._fuse(padded.view(*lumas.shape[:3], *padded.shape[2:]))
        return fused[..., margin:-margin, margin:-margin]

    def _fuse(self, lumas: Tensor) -> Tensor:
        batch, count = lumas.shape[:2]
        published = self.architecture.variant == "published"
        # The paper's works on -1..1, the published one on the 255 levels of 8 bits.
        features = lumas.flatten(0, 1) * 255 if published else lumas.flatten(0, 1) * 2 - 1
        for layer in self.layers[:_OF_EACH_FRAME]:
            features = self.leaky(layer(features))
        features = features.view(batch, count, *features.shape[1:]).mean(dim=1) * 2
        for layer in self.layers[_OF_EACH_FRAME:-1]:
            features = self.leaky(layer(features))
        last: Tensor = self.layers[-1](features)
        return self.leaky(last) / 255 if published else (torch.tanh(last) + 1) / 2


NETWORK = NetworkKind(
    name="deepfuse",
    architecture=DeepFuseArchitecture,
    build=DeepFuse,
    train_command="ghostless train deepfuse",
)


def fuse(stack: Stack, settings: DeepFuseSettings, progress: Progress | None = None) -> Fused:
    """Fuse any number of frames into a display image: see `luma.fuse_luma`."""
    run = in_tiles(_REACH_PIXELS, _BYTES_PER_PIXEL, call=as_bracket)
    return fuse_luma(stack, settings, NETWORK, run, levels="studio", progress=progress)


def _read_published(files: Sequence[Path]) -> tuple[DeepFuseArchitecture, State]:
    path = only_file(files, "DF_model_Epoch99.npz")
    count = len(_LAYERS["published"])
    names = {f"arr_{index}": f"layers.{index}.weight" for index in range(count)}
    found = renamed(path, read_npz(path), names)
    for name, kernel in found.items():
        if kernel.ndim == 4:  # any other shape is for the check of shapes to name
            found[name] = flipped(kernel)
    return DeepFuseArchitecture(), found


PUBLISHED = Published(
    files="DF_model_Epoch99.npz",
    source="the authors' project DeepFuse",
    licence="research only, not commercial",
    read=_read_published,
)

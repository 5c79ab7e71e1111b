"""U2Fusion: one densely connected network that keeps of both photos as much as they tell.

Paper: Xu, Ma, Jiang, Guo, Ling: U2Fusion: A Unified Unsupervised Image Fusion Network, IEEE
    Transactions on Pattern Analysis and Machine Intelligence 2022.
Built as: the luma of both frames passes through six convolutions, each of which sees all that came
    before, and four that narrow it down (659,217 parameters). Chroma is fused by rule. The authors'
    published weights fit (`PUBLISHED`), and `as_published` does what their programs do around the
    network: its brightest value becomes white, and its levels are taken for those of studio video.
Differs from the paper:
    - For photographs alone: the paper teaches one network infrared, exposures and focus in turn.
    - The fused luma is stretched from its first to its last percentile, in full range; the programs
      keep black as it is and widen the contrast by the change of levels.
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
from ..nn.weights import NetworkKind, Sides
from ..pixels.stripes import Progress
from .luma import fuse_luma, in_tiles
from .settings import StretchedPairSettings

_DENSE_LAYERS = 5
# Ten convolutions.
HALO_PIXELS = 10
# Peak of all tensors of a tile: 264 channels, mirrored, and the layer after them.
_BYTES_PER_PIXEL = 3800
_INITIAL_DEVIATION = 0.05


@dataclass(frozen=True)
class U2FusionArchitecture:
    """Which network: the published one by default.

    channels: of each of the six first layers. narrowing: channels of the layers after them but the
        last.
    """

    channels: int = 44
    narrowing: tuple[int, ...] = (128, 64, 32)


class U2Fusion(nn.Module):
    """The fusion network.

    over, under: luma (B, 1, H, W), 0..1, sides of at least 2. Returns fused luma of the same shape,
    0..1.
    """

    def __init__(self, architecture: U2FusionArchitecture = U2FusionArchitecture()) -> None:
        super().__init__()
        self.architecture = architecture
        width = architecture.channels
        self.first = _conv(2, width)
        self.dense = nn.ModuleList(
            _conv(width * (index + 1), width) for index in range(_DENSE_LAYERS)
        )
        sides = (width * (_DENSE_LAYERS + 1), *architecture.narrowing)
        self.narrow = nn.Sequential(*(_conv(sides[i], sides[i + 1]) for i in range(len(sides) - 1)))
        self.last = ConvBlock(sides[-1], 1, padding_mode="reflect", activation="tanh")
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                reach = 2 * _INITIAL_DEVIATION
                nn.init.trunc_normal_(module.weight, std=_INITIAL_DEVIATION, a=-reach, b=reach)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(self, *, over: Tensor, under: Tensor) -> Tensor:
        features = self.first(torch.cat([over, under], dim=1))
        for layer in self.dense:
            # What is new comes first, as in the authors' program.
            features = torch.cat([layer(features), features], dim=1)
        return in_full_precision(self.last, self.narrow(features)) / 2 + 0.5


def _conv(channels_in: int, channels_out: int) -> ConvBlock:
    return ConvBlock(channels_in, channels_out, padding_mode="reflect", activation="leaky_0.2")


NETWORK = NetworkKind(
    name="u2fusion",
    architecture=U2FusionArchitecture,
    build=U2Fusion,
    train_command="ghostless train u2fusion",
    sides=lambda architecture: Sides(least=2),
)


def fuse(stack: Stack, settings: StretchedPairSettings, progress: Progress | None = None) -> Fused:
    """Fuse two or more frames, dark to bright, into a display image: see `luma.fuse_luma`."""
    run = in_tiles(HALO_PIXELS, _BYTES_PER_PIXEL)
    return fuse_luma(stack, settings, NETWORK, run, progress=progress)


def _read_published(files: Sequence[Path]) -> tuple[U2FusionArchitecture, State]:
    found = read_tensorflow_checkpoint(files)
    encoder, decoder = "Generator/encoder", "Generator_1/decoder"
    layers = {f"{encoder}/conv1_1": "first"}
    layers |= {f"{encoder}/dense_block_conv{i + 1}": f"dense.{i}" for i in range(_DENSE_LAYERS)}
    layers |= {f"{decoder}/conv2_{i + 1}": f"narrow.{i}" for i in range(3)}
    layers[f"{decoder}/conv2_4"] = "last"
    names = {}
    for theirs, ours in layers.items():
        names[f"{theirs}/kernel"] = f"{ours}.conv.weight"
        names[f"{theirs}/bias"] = f"{ours}.conv.bias"
    state = renamed(files[0], found, names)
    return U2FusionArchitecture(), {name: kernel_of(array) for name, array in state.items()}


PUBLISHED = Published(
    files="model.ckpt.index and model.ckpt.data-00000-of-00001 of the task of exposures",
    source="the authors' project U2Fusion",
    licence="none stated",
    read=_read_published,
)

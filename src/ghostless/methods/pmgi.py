"""PMGI: two paths that tell each other what they find, one led by each photo.

Paper: Zhang, Xu, Xiao, Guo, Ma: Rethinking the Image Fusion: A Fast Unified Image Fusion Network
    based on Proportional Maintenance of Gradient and Intensity, AAAI 2020.
Built as: two paths of four layers for the luma, one that gets the dark frame twice and the bright
    one once, one the other way round, which exchange features after the second and third; what all
    layers found makes the fused luma (42,017 parameters). Chroma is fused by rule. The authors'
    published weights fit (`PUBLISHED`), and `as_published` does what their programs do around the
    network: its darkest value becomes black and its brightest white, and its levels are taken for
    those of studio video.
Differs from the paper:
    - Norms have the statistics of the image at hand, in training too; the paper's are batch norms.
      The authors' test program makes batch norms anew, which comes to the same without what they
      had learned (`norms="plain"`, which their weights have).
    - The luma is in full range, from 0 to 255; that of the authors' programs goes from 16 to 235
      (`levels="studio"`, which their weights have) or, by a slip in one formula, from 16 to 250.
    - The fused luma is stretched from its first to its last percentile, so that no single pixel
      says how all others look.
    - Any number of frames, by fusing in turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..bracket import Fused, Stack
from ..nn.blocks import ConvBlock, in_full_precision
from ..nn.fullsize import Tile, make_tiles, run_in_tiles, tile_budget
from ..nn.published import Published, State, renamed
from ..nn.published_files.tensorflow_checkpoint import kernel_of, read_tensorflow_checkpoint
from ..nn.signed_luma import Levels, from_signed, to_signed
from ..nn.tiled import SMALL_TILE_BYTES
from ..nn.weights import LoadedNetwork, NetworkKind
from ..pixels.stripes import Progress, part
from .luma import LumaReader, WriteTile, fuse_luma
from .settings import StretchedPairSettings

# A convolution of 5 x 5 pixels, three of 3 x 3.
HALO_PIXELS = 5
# Peak of all tensors of a tile: the 128 channels of both paths, and their copies.
_BYTES_PER_PIXEL = 1400
_EPSILON = 1e-5
_INITIAL_DEVIATION = 1e-3

# Of both paths: the dark frame's, then the bright one's.
Both = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class PmgiArchitecture:
    """Which network.

    channels: of each layer of a path. norms: with the factors and offsets that were "learned", or
        "plain" without. levels: of the luma it was taught, from 0 to 255 ("full") or 16 to 235
        ("studio").
    """

    channels: int = 16
    norms: Literal["learned", "plain"] = "learned"
    levels: Levels = "full"

    def __post_init__(self) -> None:
        if self.norms not in ("learned", "plain"):
            raise ValueError(f"expected norms learned or plain, found {self.norms!r}")
        if self.levels not in ("full", "studio"):
            raise ValueError(f"expected levels full or studio, found {self.levels!r}")


@dataclass(frozen=True)
class Moments:
    """Mean and variance (B, C, 1, 1) of features over each image."""

    mean: Tensor
    variance: Tensor

    @classmethod
    def of(cls, features: Tensor) -> Moments:
        exact = features.float() if features.dtype == torch.bfloat16 else features
        variance, mean = torch.var_mean(exact, dim=(2, 3), correction=0, keepdim=True)
        return cls(mean, variance)


class _Path(nn.Module):
    """A layer of one path: a convolution, then a norm with given statistics, then LeakyReLU."""

    def __init__(self, channels_in: int, channels: int, kernel: int, plain: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels, kernel, padding=kernel // 2)
        self.scale = nn.Parameter(torch.ones(channels))
        self.shift = nn.Parameter(torch.zeros(channels))
        self.plain = plain

    def finish(self, features: Tensor, moments: Moments) -> Tensor:
        normed = (features - moments.mean) * torch.rsqrt(moments.variance + _EPSILON)
        if not self.plain:
            normed = normed * self.scale.view(1, -1, 1, 1) + self.shift.view(1, -1, 1, 1)
        return F.leaky_relu(normed.to(features.dtype), 0.2)


class _Level(nn.Module):
    """The same layer of both paths, each with its own weights."""

    def __init__(self, channels_in: int, kernel: int, architecture: PmgiArchitecture) -> None:
        super().__init__()
        plain = architecture.norms == "plain"
        self.under, self.over = (
            _Path(channels_in, architecture.channels, kernel, plain) for _ in range(2)
        )

    def convolve(self, inputs: Both) -> Tensor:
        """What comes before the norms, of both paths: (B, 2 channels, H, W)."""
        return torch.cat([self.under.conv(inputs[0]), self.over.conv(inputs[1])], dim=1)

    def finish(self, features: Tensor, moments: Moments) -> Both:
        parts = zip(
            (self.under, self.over),
            features.chunk(2, dim=1),
            moments.mean.chunk(2, dim=1),
            moments.variance.chunk(2, dim=1),
            strict=True,
        )
        first, second = (path.finish(own, Moments(m, v)) for path, own, m, v in parts)
        return first, second


class Pmgi(nn.Module):
    """The fusion network.

    over, under: luma (B, 1, H, W), 0..1. Returns fused luma of the same shape; of a network with
    levels "studio" it may leave 0..1 a little.
    """

    def __init__(self, architecture: PmgiArchitecture = PmgiArchitecture()) -> None:
        super().__init__()
        self.architecture = architecture
        width = architecture.channels
        # The third and the fifth are where the paths exchange what they found.
        shapes = (
            (3, 5),
            (width, 3),
            (2 * width, 1),
            (3 * width, 3),
            (2 * width, 1),
            (4 * width, 3),
        )
        self.levels = nn.ModuleList(_Level(*shape, architecture) for shape in shapes)
        self.join = ConvBlock(8 * width, 1, 1, activation="tanh")
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                reach = 2 * _INITIAL_DEVIATION
                nn.init.trunc_normal_(module.weight, std=_INITIAL_DEVIATION, a=-reach, b=reach)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(self, *, over: Tensor, under: Tensor) -> Tensor:
        levels = self.architecture.levels
        return from_signed(self.blend(to_signed(over, levels), to_signed(under, levels)), levels)

    def blend(
        self, over: Tensor, under: Tensor, moments: Sequence[Moments] | None = None
    ) -> Tensor:
        """The fused luma in the network's own range, all (B, 1, H, W), -1..1.

        moments: of every level, where they are known; None for those of these images.
        """
        found: list[Both] = []
        for number, level in enumerate(self._each_level()):
            features = level.convolve(self._inputs(over, under, found))
            known = Moments.of(features) if moments is None else moments[number]
            found.append(level.finish(features, known))
        own = [feature for index in (0, 1, 3, 5) for feature in found[index]]
        return in_full_precision(self.join, torch.cat(own, dim=1))

    def features(self, over: Tensor, under: Tensor, moments: Sequence[Moments]) -> Tensor:
        """What the first level whose moments are not given makes, before its norms."""
        found: list[Both] = []
        levels = self._each_level()
        for level, known in zip(levels, moments, strict=False):
            features = level.convolve(self._inputs(over, under, found))
            found.append(level.finish(features, known))
        return levels[len(moments)].convolve(self._inputs(over, under, found))

    def _each_level(self) -> list[_Level]:
        return cast(list[_Level], list(self.levels))

    @staticmethod
    def _inputs(over: Tensor, under: Tensor, found: Sequence[Both]) -> Both:
        """What the next level of each path gets, of what those before it found."""
        if not found:
            return torch.cat([under, under, over], 1), torch.cat([over, over, under], 1)
        if len(found) == 1:
            return found[0]
        if len(found) in (2, 4):
            joined = torch.cat(found[-1], dim=1)
            return joined, joined
        chosen = (0, 1, 2) if len(found) == 3 else (0, 1, 3, 4)
        first, second = (torch.cat([found[i][path] for i in chosen], dim=1) for path in (0, 1))
        return first, second


NETWORK = NetworkKind(
    name="pmgi",
    architecture=PmgiArchitecture,
    build=Pmgi,
    train_command="ghostless train pmgi",
)


def fuse(stack: Stack, settings: StretchedPairSettings, progress: Progress | None = None) -> Fused:
    """Fuse two or more frames, dark to bright, into a display image: see `luma.fuse_luma`."""
    return fuse_luma(stack, settings, NETWORK, _run, progress=progress)


def _run(
    loaded: LoadedNetwork, read: LumaReader, write: WriteTile, progress: Progress | None
) -> None:
    """Run the network on a large pair tile by tile, equal to running it on the whole.

    Norms see the whole image: so it is walked through once for the statistics of every level, each
    time as far as that level, and once more for the result.
    """
    network: Pmgi = loaded.network
    levels = network.architecture.levels
    pixels = tile_budget(loaded.device, _BYTES_PER_PIXEL, SMALL_TILE_BYTES)
    tiles = make_tiles(*read.size, HALO_PIXELS, 1, pixels)

    def signed(tile: Tile) -> tuple[Tensor, Tensor]:
        under, over = (to_signed(plane, levels) for plane in read(tile.outer))
        return over, under

    moments: list[Moments] = []
    if len(tiles) > 1:
        count = len(network.levels)
        for number in range(count):
            walked = _Sums()
            run_in_tiles(
                lambda tile: network.features(*signed(tile), moments),
                walked.add,
                tiles,
                progress=part(progress, 0.12 * number, 0.12 * (number + 1)),
            )
            moments.append(walked.moments())

    run_in_tiles(
        lambda tile: from_signed(network.blend(*signed(tile), moments or None), levels),
        write,
        tiles,
        progress=part(progress, 0.72 if moments else 0, 1),
    )


class _Sums:
    """Sums of features and of their squares, tile by tile."""

    def __init__(self) -> None:
        self._count = 0
        self._sums: list[Tensor] = []

    def add(self, tile: Tile, features: Tensor) -> None:
        exact = features.double()
        sums = [exact.sum(dim=(2, 3), keepdim=True), exact.square().sum(dim=(2, 3), keepdim=True)]
        self._sums = [a + b for a, b in zip(self._sums, sums, strict=True)] if self._sums else sums
        self._count += tile.inner.height * tile.inner.width

    def moments(self) -> Moments:
        mean, square = (total / self._count for total in self._sums)
        variance = (square - mean.square()).clamp_min(0)
        return Moments(mean.float(), variance.float())


_LAYERS = ("layer1", "layer2", "layer2_3", "layer3", "layer3_4", "layer4")


def _read_published(files: Sequence[Path]) -> tuple[PmgiArchitecture, State]:
    found = read_tensorflow_checkpoint(files)
    root = "fusion_model"
    names = {f"{root}/layer5/w5": "join.conv.weight", f"{root}/layer5/b5": "join.conv.bias"}
    for index, layer in enumerate(_LAYERS):
        # The program calls its sources infrared and visible; for exposures: dark and bright.
        for ending, ours in (("", "under"), ("_vi", "over")):
            theirs, number = f"{root}/{layer}{ending}", layer.removeprefix("layer")
            names[f"{theirs}/w{number}{ending}"] = f"levels.{index}.{ours}.conv.weight"
            names[f"{theirs}/b{number}{ending}"] = f"levels.{index}.{ours}.conv.bias"
            names[f"{theirs}/BatchNorm/gamma"] = f"levels.{index}.{ours}.scale"
            names[f"{theirs}/BatchNorm/beta"] = f"levels.{index}.{ours}.shift"
            for running in ("moving_mean", "moving_variance"):
                found.pop(f"{theirs}/BatchNorm/{running}", None)  # of training, used by nothing
    state = renamed(files[0], found, names)
    architecture = PmgiArchitecture(norms="plain", levels="studio")
    return architecture, {name: kernel_of(array) for name, array in state.items()}


PUBLISHED = Published(
    files="CGAN.model-9.index and CGAN.model-9.data-00000-of-00001",
    source="the authors' project PMGI",
    licence="MIT",
    read=_read_published,
)

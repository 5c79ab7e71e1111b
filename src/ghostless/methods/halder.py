"""HALDeR: two attention maps blend the pair, a third network brightens what came out too dark.

Paper: Liu, Shang, Liu, Fan: HALDeR: Hierarchical Attention-Guided Learning with Detail-Refinement
    for Multi-Exposure Image Fusion, IEEE ICME 2021.
Built as: for each frame a network of its own that looks at three scales and gives a map for every
    colour channel; the frames times their maps, added; then a chain of convolutions that estimates
    the illumination of this sum, by which it is divided (1,233,289 parameters; the authors' file
    has six more that nothing uses). The authors' published weights fit (`PUBLISHED`).
Differs from the paper:
    - Sides that are no multiple of 4 are filled up to one by the last pixel and cropped back; the
      program pools odd sides as they are, and its maps shift by a part of a pixel.
    - Any number of frames, by fusing in turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..bracket import Fused, Stack
from ..errors import WeightsError
from ..nn.blocks import in_full_precision
from ..nn.published import Published, State, renamed
from ..nn.published_files.torch_checkpoint import read_torch
from ..nn.weights import NetworkKind, Sides
from ..pixels.stripes import Progress
from .pairs import fuse_pairs, in_tiles
from .settings import PairSettings

SIZE_MULTIPLE = 4
# The attention sees up to 20 pixels, the illumination 7 more.
HALO_PIXELS = 28
# Peak of all tensors of a tile: the 128 channels of the illumination, a few times.
_BYTES_PER_PIXEL = 2400
# Keeps the division from 0.
_DARKEST = 1e-5
_SLOPE = 0.1
_STATISTICS = ("running_mean", "running_var")


@dataclass(frozen=True)
class HalderArchitecture:
    """Which network: the published one by default.

    channels: of the attention's layers and of the illumination's first; the others' are twice that.
    initial_bias: of the illumination's last layer; at 3 the division starts near 1.
    """

    channels: int = 64
    initial_bias: float = 3.0


class Attention(nn.Module):
    """RGB (B, 3, H, W), 0..1, sides multiples of 4, to a map of the same shape, 0..1."""

    def __init__(self, channels: int) -> None:
        super().__init__()

        def conv(channels_in: int, kernel: int, channels_out: int = channels) -> nn.Conv2d:
            return nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2)

        self.first = nn.Sequential(*_leaky(conv(3, 3), conv(channels, 3), conv(channels, 1)))
        self.to_half = nn.Sequential(*_leaky(conv(2 * channels, 1)))
        self.before_quarter = nn.Sequential(*_leaky(conv(channels, 1)))
        self.to_quarter = nn.Sequential(*_leaky(conv(2 * channels, 3), conv(channels, 3)))
        self.on_half = nn.Sequential(*_leaky(conv(channels, 3)))
        self.join = nn.Sequential(*_leaky(conv(channels, 1)))
        self.last = conv(channels, 3, 3)

    def forward(self, image: Tensor) -> Tensor:
        half = self.to_half(_pool_both_ways(self.first(image)))
        quarter = self.to_quarter(_pool_both_ways(self.before_quarter(half)))
        joined = self.join(self.on_half(half) + _doubled(quarter))
        return torch.sigmoid(in_full_precision(self.last, _doubled(joined)))


class Illumination(nn.Module):
    """RGB (B, 3, H, W), 0..1, to its illumination, of the same shape, 0..1."""

    def __init__(self, architecture: HalderArchitecture) -> None:
        super().__init__()
        width = architecture.channels
        sides = (3, width, *(2 * width,) * 6)
        self.convs = nn.ModuleList(
            nn.Conv2d(sides[i], sides[i + 1], 3, padding=1) for i in range(len(sides) - 1)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(side) for side in sides[1:])
        self.last = nn.Conv2d(sides[-1], 3, 1)
        assert self.last.bias is not None
        nn.init.constant_(self.last.bias, architecture.initial_bias)

    def forward(self, image: Tensor) -> Tensor:
        x = image
        second = fifth = x
        for index, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            x = norm(conv(x))
            if index == 3:
                x = x + second
            elif index == 6:
                x = x + fifth
            x = F.relu(x)
            if index == 1:
                second = x
            elif index == 5:
                fifth = x
        return torch.sigmoid(in_full_precision(self.last, x))


class Halder(nn.Module):
    """The fusion network.

    over, under: RGB (B, 3, H, W), 0..1, sides multiples of 4. Returns the same shape, 0..1.
    """

    def __init__(self, architecture: HalderArchitecture = HalderArchitecture()) -> None:
        super().__init__()
        self.architecture = architecture
        self.over = Attention(architecture.channels)
        self.under = Attention(architecture.channels)
        self.illumination = Illumination(architecture)

    def forward(self, *, over: Tensor, under: Tensor) -> Tensor:
        return self.refine(self.blend(over=over, under=under)).clamp(0, 1)

    def blend(self, *, over: Tensor, under: Tensor) -> Tensor:
        """The frames times their maps, added: (B, 3, H, W), 0..2."""
        out: Tensor = self.over(over) * over + self.under(under) * under
        return out

    def refine(self, blended: Tensor) -> Tensor:
        """Divided by the illumination, so never darker: (B, 3, H, W), not clipped."""
        out: Tensor = blended / (self.illumination(blended) + _DARKEST)
        return out


def _leaky(*layers: nn.Module) -> list[nn.Module]:
    return [each for layer in layers for each in (layer, nn.LeakyReLU(_SLOPE))]


def _pool_both_ways(x: Tensor) -> Tensor:
    return torch.cat([F.max_pool2d(x, 3, 2, 1), F.avg_pool2d(x, 3, 2, 1)], dim=1)


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


NETWORK = NetworkKind(
    name="halder",
    architecture=HalderArchitecture,
    build=Halder,
    train_command="ghostless train halder",
    sides=lambda architecture: Sides(SIZE_MULTIPLE, border="replicate"),
    run=in_tiles(HALO_PIXELS, _BYTES_PER_PIXEL, SIZE_MULTIPLE),
)


def fuse(stack: Stack, settings: PairSettings, progress: Progress | None = None) -> Fused:
    """Fuse two or more frames, dark to bright, into a display image: see `pairs.fuse_pairs`."""
    return fuse_pairs(stack, settings, "halder", progress=progress)


# What the authors' files call the layers of ours.
_OF_ATTENTION = {
    "fe1": "first.0",
    "fe2": "first.2",
    "sAtt_1": "first.4",
    "sAtt_2": "to_half.0",
    "sAtt_L1": "before_quarter.0",
    "sAtt_L2": "to_quarter.0",
    "sAtt_L3": "to_quarter.2",
    "sAtt_3": "on_half.0",
    "sAtt_4": "join.0",
    "sAtt_5": "last",
}
_OF_ILLUMINATION = {"conv26": "last"} | {
    f"{theirs}{number}": f"{ours}.{index}"
    for index, number in enumerate((1, 3, 4, 5, 8, 9, 25))
    for theirs, ours in (("conv", "convs"), ("bn", "norms"))
}
_FILES = {
    "A": ("over", _OF_ATTENTION),
    "V": ("under", _OF_ATTENTION),
    "H": ("illumination", _OF_ILLUMINATION),
}
_FILE_NAMES = ", ".join(f"latest_net_G_{letter}.pth" for letter in _FILES)


def _read_published(files: Sequence[Path]) -> tuple[HalderArchitecture, State]:
    state: State = {}
    for letter, (part, layers) in _FILES.items():
        chosen = [path for path in files if path.name.endswith(f"_{letter}.pth")]
        if len(files) != len(_FILES) or len(chosen) != 1:
            found = ", ".join(path.name for path in files)
            raise WeightsError(f"expected the three files {_FILE_NAMES}, found {found}; give all")
        # Neither the norm after the last layer nor the counts of steps are used by anything.
        arrays = {
            name: array
            for name, array in read_torch(chosen[0]).items()
            if not name.startswith("bn26.") and not name.endswith("num_batches_tracked")
        }
        names = {
            f"{theirs}.{kind}": f"{part}.{ours}.{kind}"
            for theirs, ours in layers.items()
            for kind in ("weight", "bias", *_STATISTICS * theirs.startswith("bn"))
        }
        state |= renamed(chosen[0], arrays, names)
    return HalderArchitecture(), state


PUBLISHED = Published(
    files=_FILE_NAMES,
    source="the authors' project HALDeR",
    licence="none stated",
    read=_read_published,
)

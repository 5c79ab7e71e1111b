"""HDR-GAN: one linear HDR image from three exposures of a moving scene.

Paper: Niu, Wu, Liu, Guo, Lau: HDR-GAN: HDR Image Reconstruction from Multi-Exposed LDR Images with
    Large Motions, IEEE Transactions on Image Processing 2021.
Built as: an encoder of three scales for each frame, dilated merging blocks that correct the
    reference's features, and nested decoders with two supervised outputs (2,557,382 parameters,
    spectral norm on all but the three up-convolutions, reflection padding throughout); a spectrally
    normed PatchGAN (660,929).
Differs from the paper, mostly as the authors' published program does:
    - The second half of each input is the mu-law of the exposure-corrected frame, and the outputs
      are in the mu-law domain, everything scaled to -1..1. The paper's linear forms are
      `in_hdr=True` and `out_hdr=True`; linear values are near 0 for long exposures.
    - Frames are linearised by their own curve; the paper raises them to 2.2 (`curve="gamma"`).
    - Nearest-neighbour enlargement is followed by a 3x3 convolution and ReLU.
    - Exposure times are divided by the shortest, so that radiance lies in 0..1.
    - The sphere GAN loss measures from the north pole, as the paper says; the program takes the
      first axis (`ref_index=0` in train/losses.py).
    - Two frames, and more than three: see `methods.hdr_gan`.
    - `adds_to="merge"`, which the weights that ship have: the outputs are added to a merge of the
      frames that keeps to the reference (merge.py). The network gets it in place of the
      reference's radiance, of which the display half of that input says as much. The last layers
      then have no spectral norm and no tanh, and begin at 0.
    - The four-scale and two-scale ablations continue the nested pattern; without merging blocks the
      three frames' features are joined as they are. The paper draws both in a figure only.
The network reads a scene as wide as its darkest frame: what clips there is clipped in the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import OptionError
from .blocks import Activation, ConvBlock, in_full_precision, rectified
from .merge import merge_towards_reference
from .mu_law import inverse_mu_law, mu_law
from .patchgan import PatchGan, PatchGanArchitecture, PatchLayer
from .three_frames import FRAMES, PAPER_GAMMA
from .weights import NetworkKind, Sides

# Tensors alive at once in float32: three frames' features, joined, with the convolutions' copies.
BYTES_PER_PIXEL = 2048
# How far the network sees, measured, rounded up to its multiple, by number of scales.
HALO_PIXELS = {2: 28, 3: 64, 4: 136}


@dataclass(frozen=True)
class HdrGanArchitecture:
    """Which generator: that of the paper, its ablations, and the domain it works in.

    scales: 2, 3 or 4; the number of outputs is one less.
    merging: False joins the three frames' features without the merging blocks.
    auxiliary_outputs: False builds the last output only (one supervised output).
    in_hdr: give the exposure-corrected half of the input linearly, as the paper says.
    out_hdr: take the output as linear, as the paper says.
    curve: "own" linearises frames by their transfer curve, "gamma" by the paper's power of 2.2.
    base_channels: of the first scale; each further one has twice as many.
    adds_to: "nothing" as in the paper, or "merge", an image that the outputs are added to.
    """

    scales: int = 3
    merging: bool = True
    auxiliary_outputs: bool = True
    in_hdr: bool = False
    out_hdr: bool = False
    curve: Literal["own", "gamma"] = "own"
    base_channels: int = 32
    adds_to: Literal["nothing", "merge"] = "nothing"

    def __post_init__(self) -> None:
        if self.scales not in HALO_PIXELS:
            raise OptionError(f"scales: expected 2, 3 or 4, found {self.scales}")
        if self.curve not in ("own", "gamma"):
            raise OptionError(f"curve: expected own or gamma, found {self.curve!r}")
        if self.adds_to not in ("nothing", "merge"):
            raise OptionError(f"adds_to: expected nothing or merge, found {self.adds_to!r}")
        if self.adds_to == "merge" and self.out_hdr:
            raise OptionError(
                "adds_to: merge works in the mu-law domain; it cannot go with out_hdr"
            )
        if not 1 <= self.base_channels <= 512:
            raise OptionError(f"base_channels: expected 1 to 512, found {self.base_channels}")

    @property
    def size_multiple(self) -> int:
        """What the sides of an input must be multiples of."""
        return int(2 ** (self.scales - 1))

    @property
    def least_side(self) -> int:
        """Smallest side: reflection by two pixels needs three at the coarsest scale."""
        return 3 * self.size_multiple


def _conv(
    channels_in: int,
    channels_out: int,
    kernel: int = 3,
    *,
    stride: int = 1,
    dilation: int = 1,
    activation: Activation = "relu",
) -> ConvBlock:
    """A convolution as nearly all here are: spectrally normed and padded by reflection."""
    return ConvBlock(
        channels_in,
        channels_out,
        kernel,
        stride=stride,
        dilation=dilation,
        padding_mode="reflect",
        activation=activation,
        spectral=True,
    )


class ResidualUnit(nn.Module):
    """Two 3x3 convolutions beside a shortcut, which is 1x1 where the channels change."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.first = _conv(channels_in, channels_out)
        self.second = _conv(channels_out, channels_out, activation="none")
        self.shortcut: nn.Module = nn.Identity()
        if channels_in != channels_out:
            self.shortcut = _conv(channels_in, channels_out, 1, activation="none")

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels_in, H, W) to (B, channels_out, H, W)."""
        out: Tensor = self.second(self.first(x)) + self.shortcut(x)
        return rectified(out)


class Encoder(nn.Module):
    """Features of one frame, (B, 6, H, W), at every scale: base channels at 1, twice at 1/2, ..."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.units = nn.ModuleList([ResidualUnit(6, channels[0])])
        self.down = nn.ModuleList()
        for finer, coarser in pairwise(channels):
            self.down.append(_conv(finer, finer, stride=2))
            self.units.append(ResidualUnit(finer, coarser))

    def forward(self, x: Tensor, scales: int) -> list[Tensor]:
        features = [self.units[0](x)]
        for scale in range(1, scales):
            features.append(self.units[scale](self.down[scale - 1](features[-1])))
        return features


class MergingBlock(nn.Module):
    """Four dilated convolutions from all frames' features to a correction of the reference's."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            _conv(FRAMES * channels, channels, dilation=2),
            _conv(channels, channels, dilation=2),
            _conv(channels, channels, dilation=2),
            _conv(channels, channels, dilation=2, activation="none"),
        )

    def forward(self, joined: Tensor, reference: Tensor) -> Tensor:
        """(B, 3 channels, H, W) and the reference's (B, channels, H, W) to the latter's shape."""
        out: Tensor = self.layers(joined) + reference
        return rectified(out)


class UpBlock(nn.Module):
    """Nearest-neighbour enlargement by two and a 3x3 convolution with ReLU, no spectral norm."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = ConvBlock(channels_in, channels_out, padding_mode="reflect")

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels_in, H, W) to (B, channels_out, 2 H, 2 W)."""
        out: Tensor = self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))
        return out


class Generator(nn.Module):
    """Reconstructs radiance from three frames, each given as six channels by `network_inputs`.

    dark, reference, bright: (B, 6, H, W), -1..1, sides multiples of `architecture.size_multiple`.
    Returns the outputs, (B, 3, H, W) each, -1..1, in the mu-law domain (linear with out_hdr); the
    paper keeps the second, `kept_output`. Added to a merge they may leave -1..1, and a loss pulls
    them back.
    """

    def __init__(self, architecture: HdrGanArchitecture | None = None) -> None:
        super().__init__()
        self.architecture = architecture = architecture or HdrGanArchitecture()
        scales = architecture.scales
        channels = [architecture.base_channels * 2**scale for scale in range(scales)]
        self.encoders = nn.ModuleList(Encoder(channels) for _ in range(FRAMES))
        self.merging = nn.ModuleList(
            MergingBlock(width) for width in channels if architecture.merging
        )
        merged = [width * (1 if architecture.merging else FRAMES) for width in channels]
        # Nested decoders: node (scale, step) joins the enlarged node (scale + 1, step - 1), the
        # merged and the reference's features of its scale and all earlier nodes of its scale.
        self.up = nn.ModuleDict()
        self.decoders = nn.ModuleDict()
        for step in range(1, scales):
            for scale in range(scales - step):
                below = merged[scale + 1] if step == 1 else channels[scale + 1]
                joined = merged[scale] + (1 + step) * channels[scale]
                self.up[f"{scale}_{step}"] = UpBlock(below, channels[scale])
                self.decoders[f"{scale}_{step}"] = ResidualUnit(joined, channels[scale])
        first_head = 1 if architecture.auxiliary_outputs else scales - 1
        self.heads = nn.ModuleDict(
            {
                str(step): ConvBlock(
                    channels[0], 3, 1, activation="none", spectral=architecture.adds_to == "nothing"
                )
                for step in range(first_head, scales)
            }
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
        if architecture.adds_to == "merge":
            for head in self.heads.values():
                assert isinstance(head, ConvBlock)
                nn.init.zeros_(head.conv.weight)
                if head.conv.bias is not None:
                    nn.init.zeros_(head.conv.bias)

    @property
    def kept_output(self) -> int:
        """Index of the output to use: the second, or the only one."""
        return min(1, len(self.heads) - 1)

    @property
    def halo_pixels(self) -> int:
        """How far the output to use sees."""
        return HALO_PIXELS[int(list(self.heads)[self.kept_output]) + 1]

    def forward(self, dark: Tensor, reference: Tensor, bright: Tensor) -> list[Tensor]:
        return self._run([dark, reference, bright], list(self.heads))

    def reconstruct(self, dark: Tensor, reference: Tensor, bright: Tensor) -> Tensor:
        """Only the output to use, (B, 3, H, W), without what just the others need."""
        return self._run([dark, reference, bright], [list(self.heads)[self.kept_output]])[0]

    def _run(self, frames: Sequence[Tensor], heads: Sequence[str]) -> list[Tensor]:
        scales = int(heads[-1]) + 1
        features = [
            encoder(frame, scales) for encoder, frame in zip(self.encoders, frames, strict=True)
        ]
        own = features[1]
        merged = []
        for scale in range(scales):
            joined = torch.cat([maps[scale] for maps in features], dim=1)
            if self.architecture.merging:
                joined = self.merging[scale](joined, own[scale])
            merged.append(joined)
        del features, joined
        finest = self._decode(own, merged)
        # Full precision: the darks of the mu-law domain need more than 8 bits of mantissa.
        found = [in_full_precision(self.heads[head], finest[int(head) - 1]) for head in heads]
        if self.architecture.adds_to == "merge":
            return [frames[1][:, 3:] + change for change in found]
        return [torch.tanh(output) for output in found]

    def _decode(self, own: Sequence[Tensor], merged: Sequence[Tensor]) -> list[Tensor]:
        """The nested decoders' nodes at full size, step by step."""
        scales = len(merged)
        rows: list[list[Tensor]] = [[] for _ in range(scales)]
        below = merged
        for step in range(1, scales):
            nodes = []
            for scale in range(scales - step):
                name = f"{scale}_{step}"
                enlarged = self.up[name](below[scale + 1])
                joined = torch.cat([enlarged, merged[scale], own[scale], *rows[scale]], dim=1)
                nodes.append(self.decoders[name](joined))
            for scale, node in enumerate(nodes):
                rows[scale].append(node)
            below = nodes
        return rows[0]


# 512 pixels give 58 x 58 scores; unconditional.
DISCRIMINATOR = PatchGanArchitecture(
    channels_in=3,
    layers=(
        PatchLayer(64, padding=0, spectral=True),
        PatchLayer(128, padding=0, spectral=True),
        PatchLayer(128, padding=0, spectral=True),
        PatchLayer(128, stride=1, padding=0, spectral=True),
        PatchLayer(
            1, stride=1, padding=1, padding_mode="reflect", spectral=True, activation="none"
        ),
    ),
    activation="swish",
)


class Discriminator(PatchGan):
    """Scores patches of an HDR image in the mu-law domain, (B, 3, H, W), -1..1."""

    def __init__(self) -> None:
        super().__init__(DISCRIMINATOR)


GENERATOR = NetworkKind(
    name="hdr-gan",
    architecture=HdrGanArchitecture,
    build=Generator,
    train_command="ghostless train hdr-gan",
    sides=lambda architecture: Sides(architecture.size_multiple, architecture.least_side),
)


# Into the network's domain and back


def network_inputs(
    displays: Sequence[Tensor],
    lights: Sequence[Tensor],
    exposures: Sequence[Tensor],
    architecture: HdrGanArchitecture,
) -> list[Tensor]:
    """Six channels, -1..1, from each of dark, reference and bright: the frame and its radiance.

    displays: (B, 3, H, W), 0..1, as stored. lights: the same linearised, 0..1; not looked at with
        the curve "gamma". exposures: exposure time over that of the darkest frame, >= 1, each
        (B, 1, 1, 1).
    With `adds_to="merge"` the reference's radiance is that of all frames merged.
    """
    if architecture.curve == "gamma":
        lights = [display.pow(PAPER_GAMMA) for display in displays]
    # Equation 2.
    radiances = [light / exposure for light, exposure in zip(lights, exposures, strict=True)]
    if architecture.adds_to == "merge":
        radiances[1] = merge_towards_reference(displays, lights, exposures)
    if not architecture.in_hdr:
        radiances = [mu_law(radiance) for radiance in radiances]
    elif architecture.adds_to == "merge":
        radiances[1] = mu_law(radiances[1])
    return [
        torch.cat([display, radiance], dim=1) * 2 - 1
        for display, radiance in zip(displays, radiances, strict=True)
    ]


def compressed_output(output: Tensor, architecture: HdrGanArchitecture) -> Tensor:
    """An output in the mu-law domain, -1..1, for losses and discriminator.

    (B, 3, H, W) to the same.
    """
    return mu_law((output + 1) / 2) * 2 - 1 if architecture.out_hdr else output


def radiance_of_output(output: Tensor, architecture: HdrGanArchitecture) -> Tensor:
    """Radiance, 0..1, from an output, -1..1; 1 is where the darkest frame clips.

    (B, 3, H, W) to the same.
    """
    unit = ((output + 1) / 2).clamp(0, 1)
    return unit if architecture.out_hdr else inverse_mu_law(unit)

"""DPGN: a U-Net that fuses two images, guided at every scale by exposure-fusion pyramids.

Paper: Yin, Chen, Peng, Tsai: Deep Prior Guided Network for High-Quality Image Fusion, ICME 2020.
Built as: six scales of 16 to 512 channels and a bottom of 1024; the encoder joins features of the
    content prior (CPG), the decoder adds one of the detail prior (DPG) (43,739,937 parameters; a
    width of 8 has 10.9 million). Every decoder scale has a side output. A 70 x 70 PatchGAN as
    discriminator (2,766,529).
Differs from the paper, which leaves much open, and from the authors' program:
    - CPG blocks at scales 1 to 5 and DPG blocks at all six, as in the program; the figure has five
      of each.
    - Priors are those of equations 3 and 4. The program fuses the images first and takes that
      image's pyramid (`prior_form="fused_first"`), with weights that a slip of its makes nearly
      equal everywhere (`prior_weights="program"`).
    - The image keeps its size, repeated at the border up to a multiple of 64; the program resizes
      to 1024 pixels and pads with black, also in the priors.
    - Outputs are RGB; fused colour is taken from exposure fusion, in step with the brightness
      (`methods/painted.py`), or as in the program (`chroma="prior"`), or from the network
      (`chroma="net"`). What is dark in the mean is brightened, unless `brightness="net"`.
    - The discriminator is not described; its loss (equation 6) has the wrong sign for fakes.
    - `adds_to="local fusion"`, which the weights that ship have: the last layer's output is added
      to the mean of the two images with their detail fused over five scales
      (`priors.fuse_locally`), and begins at 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import priors as prior_parts
from .blocks import in_full_precision, make_norm
from .patchgan import PatchGanArchitecture, pix2pix_70
from .priors import PriorForm, Priors, WeightForm, make_priors

DISCRIMINATOR: PatchGanArchitecture = pix2pix_70(3)


@dataclass(frozen=True)
class DpgnArchitecture:
    """Which network: the program's width and depth, the paper's ablations.

    base: channels of the finest scale, doubled at each coarser one. levels: number of scales.
    content_priors, detail_priors: leave the CPG or DPG blocks' priors out (the paper's table 2).
    side_outputs: how many of the finest scales have a side output to supervise.
    dropout: in the encoder and the bottom, while training.
    prior_form, prior_weights: see `nn.priors.make_priors`.
    adds_to: "nothing" as in the paper, or "local fusion": the mean of the two images with the
        detail priors' detail, which must then be that of exposure fusion.
    """

    base: int = 16
    levels: int = 6
    content_priors: bool = True
    detail_priors: bool = True
    side_outputs: int = 6
    dropout: float = 0.3
    prior_form: PriorForm = "paper"
    prior_weights: WeightForm = "mertens"
    adds_to: Literal["nothing", "local fusion"] = "nothing"

    def __post_init__(self) -> None:
        if not (1 <= self.base <= 256 and 1 <= self.levels <= 8):
            raise ValueError(
                "expected a base of 1 to 256 channels and 1 to 8 levels, "
                f"found {self.base} and {self.levels}"
            )
        if self.adds_to not in ("nothing", "local fusion"):
            raise ValueError(f"expected adds_to nothing or local fusion, found {self.adds_to!r}")
        priors = (self.prior_form, self.prior_weights)
        if self.adds_to == "local fusion" and priors != ("paper", "mertens"):
            raise ValueError(
                "expected adds_to local fusion with prior_form paper and prior_weights mertens, "
                f"found {' and '.join(priors)}"
            )
        if not 0 <= self.side_outputs <= self.levels:
            raise ValueError(f"expected 0 to {self.levels} side_outputs, found {self.side_outputs}")

    @property
    def size_multiple(self) -> int:
        """Sides must be multiples of this."""
        return 1 << self.levels

    @property
    def needs_priors(self) -> bool:
        return self.content_priors or self.detail_priors or self.adds_to == "local fusion"

    def channels(self, level: int) -> int:
        """Channels at a level, 0 the finest, `levels` the bottom."""
        return self.base << level


class DoubleConvolution(nn.Module):
    """Twice a 3x3 convolution, ReLU and then batch norm; dropout between the two."""

    def __init__(self, channels_in: int, channels_out: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels_in, channels_out, 3, padding=1),
            nn.ReLU(),
            make_norm("batch_tf", channels_out),
            nn.Dropout(dropout),
            nn.Conv2d(channels_out, channels_out, 3, padding=1),
            nn.ReLU(),
            make_norm("batch_tf", channels_out),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels_in, H, W) to (B, channels_out, H, W)."""
        out: Tensor = self.layers(x)
        return out


class Encoder(nn.Module):
    """One scale of the encoder; with a content prior a CPG block (equation 1)."""

    def __init__(self, channels_in: int, channels: int, dropout: float, *, prior: bool) -> None:
        super().__init__()
        self.prior = DoubleConvolution(3, channels, dropout) if prior else None
        self.join = DoubleConvolution(channels_in + channels * prior, channels, dropout)

    def forward(self, x: Tensor, content: Tensor | None) -> Tensor:
        """Features from those of the finer scale, pooled, and the content prior, -1..1.

        (B, C, H, W) to (B, channels, H, W).
        """
        if self.prior is not None and content is not None:
            x = torch.cat([x, self.prior(content)], dim=1)
        out: Tensor = self.join(x)
        return out


class Decoder(nn.Module):
    """One scale of the decoder; with a detail prior a DPG block (equation 2)."""

    def __init__(self, channels: int, *, prior: bool, side: bool) -> None:
        super().__init__()
        self.enlarge = nn.ConvTranspose2d(2 * channels, channels, 2, stride=2)
        self.prior = DoubleConvolution(3, 1) if prior else None
        self.first = DoubleConvolution(2 * channels, channels)
        self.second = DoubleConvolution(channels, channels)
        self.side = nn.Conv2d(channels, 3, 1) if side else None

    def forward(self, coarse: Tensor, skip: Tensor, detail: Tensor | None) -> Tensor:
        """Features from those of the coarser scale, the encoder's, and the detail prior.

        (B, 2 C, H/2, W/2) to (B, C, H, W).
        """
        joined = torch.cat([self.enlarge(coarse), skip], dim=1)
        if self.prior is not None and detail is not None:
            joined = joined + self.prior(detail)
        out: Tensor = self.second(self.first(joined))
        return out


@dataclass(frozen=True)
class Outputs:
    """Fused RGB 0..1: `final` (B, 3, H, W) and the side outputs, the finest, (H, W), first.

    Added to a local fusion, `final` may leave 0..1, so that a loss pulls it back.
    """

    final: Tensor
    sides: list[Tensor]


class Dpgn(nn.Module):
    """The fusion network.

    over, under: (B, 3, H, W) RGB 0..1, sides multiples of 64 (of 2^levels).
    priors: of `nn.priors.make_priors`, if they are at hand; made of the images otherwise.
    """

    def __init__(self, architecture: DpgnArchitecture = DpgnArchitecture()) -> None:
        super().__init__()
        self.architecture = architecture
        channels, dropout = architecture.channels, architecture.dropout
        levels = range(architecture.levels)
        self.encoders = nn.ModuleList(
            Encoder(
                channels(level - 1) if level else 6,
                channels(level),
                dropout,
                prior=level > 0 and architecture.content_priors,
            )
            for level in levels
        )
        self.bottom = DoubleConvolution(
            channels(architecture.levels - 1), channels(architecture.levels), dropout
        )
        self.decoders = nn.ModuleList(
            Decoder(
                channels(level),
                prior=architecture.detail_priors,
                side=level < architecture.side_outputs,
            )
            for level in levels
        )
        self.last = nn.Conv2d(channels(0), 3, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        if architecture.adds_to != "nothing":
            nn.init.zeros_(self.last.weight)

    def forward(self, *, over: Tensor, under: Tensor, priors: Priors | None = None) -> Outputs:
        content: Sequence[Tensor | None] = [None] * self.architecture.levels
        detail = content
        if self.architecture.needs_priors:
            priors = priors or self.make_priors(over=over, under=under)
            content, detail = priors.content, priors.detail
        x = join_pair(over, under)
        skips = []
        for level, encoder in enumerate(self.encoders):
            skips.append(encoder(x, signed(content[level]) if level else None))
            x = F.max_pool2d(skips[-1], 2)
        x = self.bottom(x)
        sides = []
        for level in reversed(range(self.architecture.levels)):
            x = self.decoders[level](x, skips.pop(), detail[level])
            side = self.decoders[level].side
            if isinstance(side, nn.Module):
                sides.append(to_rgb(side, x))
        added: Tensor | None = None
        if self.architecture.adds_to == "local fusion":
            assert priors is not None
            fused = prior_parts.detail_on_mean(priors.detail, [over, under])
            added = prior_parts.fit_range(fused)
        return Outputs(self.finish(x, added), sides[::-1])

    def finish(self, features: Tensor, added: Tensor | None) -> Tensor:
        """The fused image of the finest features and of what they are added to, if anything.

        (B, C, H, W) to (B, 3, H, W).
        """
        if added is None:
            return to_rgb(self.last, features)
        return added + torch.tanh(in_full_precision(self.last, features))

    @torch.no_grad()
    def make_priors(self, *, over: Tensor, under: Tensor) -> Priors:
        """Priors of a pair of whole images. (B, 3, H, W) each."""
        how = self.architecture
        return make_priors([over, under], how.levels, how.prior_form, how.prior_weights)


def join_pair(over: Tensor, under: Tensor) -> Tensor:
    """The network's input: 6 channels, -1..1. (B, 3, H, W) each to (B, 6, H, W)."""
    return torch.cat([over, under], dim=1) * 2 - 1


def signed(content: Tensor | None) -> Tensor | None:
    """A content prior 0..1 as the network takes it, -1..1. (B, C, H, W) to the same."""
    return None if content is None else content * 2 - 1


def to_rgb(layer: nn.Module, features: Tensor) -> Tensor:
    """RGB 0..1 of a scale's features. (B, C, H, W) to (B, 3, H, W)."""
    return (torch.tanh(in_full_precision(layer, features)) + 1) / 2

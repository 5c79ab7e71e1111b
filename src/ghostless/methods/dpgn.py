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
    - Outputs are RGB; fused colour is taken from exposure fusion as in the program
      (`chroma="prior"`), or from the network (`chroma="net"`).
    - The discriminator is not described; its loss (equation 6) has the wrong sign for fakes.
    - `adds_to="local fusion"`, which the weights that ship have: the last layer's output is added
      to the mean of the two images with their detail fused over five scales
      (`nn.priors.fuse_locally`), and begins at 0.
    - Any number of frames, by fusing in turn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ..bracket import Frame, Fused, Stack
from ..nn import priors as prior_parts
from ..nn.blocks import in_full_precision, make_norm
from ..nn.fullsize import (
    Progress,
    Region,
    Tile,
    check_finite,
    computing,
    make_tiles,
    pixel_writer,
    run_in_tiles,
    tile_budget,
)
from ..nn.patchgan import PatchGanArchitecture, pix2pix_70
from ..nn.priors import PriorForm, Priors, WeightForm, make_priors
from ..nn.settings import NetworkSettings
from ..nn.tiled import SMALL_TILE_BYTES, PairReader, ReadPair, map_in_tiles
from ..nn.weights import LoadedNetwork, NetworkKind, load_network
from ..pixels import color
from ..pixels.stripes import for_each_stripe, part
from . import mertens
from .in_turn import PairOrder, fuse_stack_in_turn

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
        out: Tensor = self.layers(x)
        return out


class Encoder(nn.Module):
    """One scale of the encoder; with a content prior a CPG block (equation 1)."""

    def __init__(self, channels_in: int, channels: int, dropout: float, *, prior: bool) -> None:
        super().__init__()
        self.prior = DoubleConvolution(3, channels, dropout) if prior else None
        self.join = DoubleConvolution(channels_in + channels * prior, channels, dropout)

    def forward(self, x: Tensor, content: Tensor | None) -> Tensor:
        """Features from those of the finer scale, pooled, and the content prior, -1..1."""
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
        """Features from those of the coarser scale, the encoder's, and the detail prior."""
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
        """The fused image of the finest features and of what they are added to, if anything."""
        if added is None:
            return to_rgb(self.last, features)
        return added + torch.tanh(in_full_precision(self.last, features))

    @torch.no_grad()
    def make_priors(self, *, over: Tensor, under: Tensor) -> Priors:
        """Priors of a pair of whole images."""
        how = self.architecture
        return make_priors([over, under], how.levels, how.prior_form, how.prior_weights)


def join_pair(over: Tensor, under: Tensor) -> Tensor:
    """The network's input: 6 channels, -1..1."""
    return torch.cat([over, under], dim=1) * 2 - 1


def signed(content: Tensor | None) -> Tensor | None:
    """A content prior 0..1 as the network takes it, -1..1."""
    return None if content is None else content * 2 - 1


def to_rgb(layer: nn.Module, features: Tensor) -> Tensor:
    """RGB 0..1 of a scale's features."""
    return (torch.tanh(in_full_precision(layer, features)) + 1) / 2


# Full size. The U-Net sees too far for one halo, but each scale by itself sees only a few pixels:
# so scale after scale runs in tiles, and only the maps between them are held, half as many numbers
# at each coarser scale.

# Two double convolutions, the prior's and that on the joined features.
_ENCODER_HALO = 4
# Two double convolutions on the joined features, after another on the prior.
_DECODER_HALO = 6
# As much again after the finest prior, made on the spot, whose rim of 2 pixels is wrong.
_FINEST_HALO = 8
# Laplacian of the weights; reducing; expanding.
_PRIOR_HALO = 8
# Held of the whole image: the skips and priors of all coarser scales.
_MAP_BYTES_PER_PIXEL = 120
# Peak of a decoder's tensors in channels of its scale, 4 bytes each.
_BYTES_PER_PIXEL_AND_CHANNEL = 48


class _PriorMaps:
    """Priors of a large pair: those of the finest scale by region, the others whole.

    At the finest scale only the frames themselves and their next Gaussian level are needed, so
    nothing of full size is held.
    """

    def __init__(
        self,
        architecture: DpgnArchitecture,
        read: ReadPair,
        size: tuple[int, int],
        tile_pixels: int,
    ) -> None:
        self.read = read
        self.weights_form = architecture.prior_weights
        self.whole: Priors | None = None
        self.half_fused: Tensor | None = None
        if architecture.prior_form == "fused_first":
            pair = read(Region(0, size[0], 0, size[1]))
            self.whole = make_priors(
                pair, architecture.levels, architecture.prior_form, architecture.prior_weights
            )
            self.coarser = Priors(self.whole.content[1:], self.whole.detail[1:])
            return
        tiles = make_tiles(*size, _PRIOR_HALO, 4, tile_pixels)
        self.coloured = torch.stack(
            [prior_parts.has_colour(read(tile.inner)) for tile in tiles]
        ).any(dim=0)

        def reduce_tile(tile: Tile) -> Tensor:
            pair = read(tile.outer)
            return prior_parts.reduce(torch.cat([*pair, *self._weights(pair)], dim=1))

        # Both images' and both weights' next level: 3 + 3 + 1 + 1 channels.
        joined = map_in_tiles(reduce_tile, tiles, scale=2)
        self.next_images = [joined[:, :3], joined[:, 3:6]]
        self.coarser = prior_parts.weighted_priors(
            self.next_images, [joined[:, 6:7], joined[:, 7:]], architecture.levels - 1
        )

    def _weights(self, pair: Sequence[Tensor]) -> list[Tensor]:
        return prior_parts.make_weights(pair, self.weights_form, self.coloured)

    def finest_detail(self, tile: Tile, pair: Sequence[Tensor]) -> Tensor:
        """Detail prior of the finest scale on a tile's outer region, wrong in its rim of 2 pixels.

        pair: over and under on that region.
        """
        if self.whole is not None:
            return tile.outer.cut(self.whole.detail[0])
        coarse = [tile.outer.cut(image, 2) for image in self.next_images]
        return prior_parts.weighted_detail(pair, coarse, self._weights(pair))

    def local_fusion(
        self, tile: Tile, pair: Sequence[Tensor], detail: Tensor | None = None
    ) -> Tensor:
        """`nn.priors.fuse_locally` on a tile's outer region, wrong in its rim of 2 pixels.

        Over no more scales than the network has. detail: what `finest_detail` gave, if it is known.
        """
        if self.half_fused is None:
            coarser = self.coarser.detail[: prior_parts.LOCAL_LEVELS - 1]
            self.half_fused = prior_parts.detail_on_mean(coarser, self.next_images)
        size = (tile.outer.height, tile.outer.width)
        coarse = prior_parts.expand(tile.outer.cut(self.half_fused, 2), size)
        if detail is None:
            detail = self.finest_detail(tile, pair)
        return prior_parts.fit_range(detail + coarse)


def fuse_in_tiles(
    network: Dpgn,
    read: ReadPair,
    size: tuple[int, int],
    write: Callable[[Tile, Tensor], None],
    *,
    tile_bytes: float,
    progress: Progress | None = None,
) -> None:
    """Run the network on a large pair, equal to running it on the whole.

    read: over- and under-exposed pixels (1, 3, h, w) of a region. size: height and width,
    multiples of 2^levels. write: gets each tile's fused RGB, as of `nn.fullsize.run_in_tiles`.
    tile_bytes: memory that the tensors of one tile may take.
    """
    run = _FullSizeRun(network, read, size, tile_bytes)
    run.encode(part(progress, 0, 0.4))
    run.decode(write, part(progress, 0.4, 1))


class _FullSizeRun:
    """The maps between the scales, from the first to the last step of one run."""

    def __init__(
        self, network: Dpgn, read: ReadPair, size: tuple[int, int], tile_bytes: float
    ) -> None:
        self.network = network
        self.architecture = network.architecture
        self.read = read
        self.size = size
        self.tile_bytes = tile_bytes
        self.priors: _PriorMaps | None = None
        if self.architecture.needs_priors:
            pixels = self._tile_pixels(0)
            self.priors = _PriorMaps(self.architecture, read, size, pixels)
        self.skips: list[Tensor | None] = []
        self.features = torch.empty(0)

    def _tile_pixels(self, level: int) -> int:
        pixel_bytes = _BYTES_PER_PIXEL_AND_CHANNEL * self.architecture.channels(level)
        return max(1, int(self.tile_bytes / pixel_bytes))

    def _tiles(self, level: int, halo: int) -> list[Tile]:
        height, width = (side >> level for side in self.size)
        return make_tiles(height, width, halo, 2, self._tile_pixels(level))

    def _finest_skip(self, pair: Sequence[Tensor]) -> Tensor:
        over, under = pair
        skip: Tensor = self.network.encoders[0](join_pair(over, under), None)
        return skip

    def encode(self, progress: Progress | None) -> None:
        """Fill `skips` (but for the finest, which is cheaper to make again) and the bottom."""
        levels = self.architecture.levels
        pooled = map_in_tiles(
            lambda tile: F.max_pool2d(self._finest_skip(self.read(tile.outer)), 2),
            self._tiles(0, _ENCODER_HALO),
            scale=2,
            progress=part(progress, 0, 0.5),
        )
        self.skips = [None]
        for level in range(1, levels):
            skip = map_in_tiles(
                self._encoder(level, pooled),
                self._tiles(level, _ENCODER_HALO),
                progress=part(progress, 1 - 0.5**level, 1 - 0.5 ** (level + 1)),
            )
            self.skips.append(skip)
            pooled = F.max_pool2d(skip, 2)
        self.features = self.network.bottom(pooled)

    def _encoder(self, level: int, pooled: Tensor) -> Callable[[Tile], Tensor]:
        encoder = self.network.encoders[level]
        content: Tensor | None = None
        if self.architecture.content_priors and self.priors is not None:
            content = self.priors.coarser.content[level - 1]

        def encode(tile: Tile) -> Tensor:
            prior = None if content is None else signed(tile.outer.cut(content))
            out: Tensor = encoder(tile.outer.cut(pooled), prior)
            return out

        return encode

    def decode(self, write: Callable[[Tile, Tensor], None], progress: Progress | None) -> None:
        """Go up the scales again and write the fused image."""
        for level in reversed(range(1, self.architecture.levels)):
            skip = self.skips.pop()
            assert skip is not None
            self.features = map_in_tiles(
                self._decoder(level, skip),
                self._tiles(level, _DECODER_HALO),
                progress=part(progress, 0.5 ** (level + 1), 0.5**level),
            )
            del skip
        run_in_tiles(
            self._finest,
            write,
            self._tiles(0, _FINEST_HALO),
            progress=part(progress, 0.5, 1),
        )

    def _decoder(self, level: int, skip: Tensor) -> Callable[[Tile], Tensor]:
        decoder, features = self.network.decoders[level], self.features
        detail: Tensor | None = None
        if self.architecture.detail_priors and self.priors is not None:
            detail = self.priors.coarser.detail[level - 1]

        def decode(tile: Tile) -> Tensor:
            outer = tile.outer
            prior = None if detail is None else outer.cut(detail)
            out: Tensor = decoder(outer.cut(features, 2), outer.cut(skip), prior)
            return out

        return decode

    def _finest(self, tile: Tile) -> Tensor:
        pair = self.read(tile.outer)
        detail: Tensor | None = None
        if self.architecture.detail_priors and self.priors is not None:
            detail = self.priors.finest_detail(tile, pair)
        coarse = tile.outer.cut(self.features, 2)
        features = self.network.decoders[0](coarse, self._finest_skip(pair), detail)
        added: Tensor | None = None
        if self.architecture.adds_to == "local fusion":
            assert self.priors is not None
            added = self.priors.local_fusion(tile, pair, detail)
        return self.network.finish(features, added)


NETWORK = NetworkKind(
    name="dpgn",
    architecture=DpgnArchitecture,
    build=Dpgn,
    train_command="ghostless train dpgn",
)


@dataclass(frozen=True, kw_only=True)
class DpgnSettings(NetworkSettings):
    """How to fuse with DPGN, besides what every network can be told.

    chroma: "prior" takes the luma of the network's image and the chroma of exposure fusion, as the
        authors do; "net" takes all from the network.
    order: of fusing more than two frames, see `in_turn.fuse_in_turn`.
    """

    chroma: Literal["prior", "net"] = "prior"
    order: PairOrder = "mirrored"


def fuse(stack: Stack, settings: DpgnSettings, progress: Progress | None = None) -> Fused:
    """Fuse two or more frames, dark to bright, into a display image.

    Masks are not used: the pixels replaced in a deghosted or warped stack agree with its reference.
    Returns (H, W, 3) float32, 0..1. Raises WeightsError while there are no weights, naming the
    command that makes them.
    """
    check_finite(stack.frames)
    loaded = load_network(NETWORK, settings)

    def fuse_pair(under: Frame, over: Frame, progress: Progress | None) -> NDArray[np.float32]:
        pixels = _fuse_pair(loaded, over=over, under=under, progress=progress)
        if settings.chroma == "prior":
            take_chroma(pixels, mertens.fuse(Stack((under, over), reference=0)).pixels)
        return pixels

    return fuse_stack_in_turn(
        stack,
        fuse_pair,
        settings,
        loaded.device,
        order=settings.order,
        map_bytes_per_pixel=_MAP_BYTES_PER_PIXEL,
        progress=progress,
    )


def _fuse_pair(
    loaded: LoadedNetwork, *, over: Frame, under: Frame, progress: Progress | None
) -> NDArray[np.float32]:
    network: Dpgn = loaded.network
    read = PairReader(
        over=over,
        under=under,
        multiple=network.architecture.size_multiple,
        border="replicate",
        device=loaded.device,
    )
    fused = np.empty(over.pixels.shape, np.float32)
    with torch.inference_mode(), computing(loaded.dtype, loaded.device):
        fuse_in_tiles(
            network,
            read,
            read.size,
            pixel_writer(fused),
            tile_bytes=tile_budget(loaded.device, 1, SMALL_TILE_BYTES),
            progress=progress,
        )
    return fused


def take_chroma(pixels: NDArray[np.float32], prior: NDArray[np.float32]) -> None:
    """Give an image, display RGB (H, W, 3), the chroma of another one, in place; clip to 0..1."""

    def work(start: int, stop: int) -> None:
        rows = slice(start, stop)
        ycbcr = color.rgb_to_ycbcr(prior[rows])
        ycbcr[..., 0] = color.rgb_to_ycbcr(pixels[rows])[..., 0]
        np.clip(color.ycbcr_to_rgb(ycbcr), 0, 1, out=pixels[rows])

    for_each_stripe(pixels.shape[0], pixels.shape[1], work)

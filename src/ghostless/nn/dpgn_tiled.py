"""Running DPGN, the network of dpgn.py, on pairs of any size."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..pixels.stripes import part
from . import priors as prior_parts
from .dpgn import Dpgn, DpgnArchitecture, join_pair, signed
from .fullsize import (
    Progress,
    Region,
    Tile,
    make_tiles,
    run_in_tiles,
    tile_budget,
)
from .priors import Priors, make_priors
from .tiled import SMALL_TILE_BYTES, PairReader, ReadPair, map_in_tiles
from .weights import LoadedNetwork, NetworkKind, Sides

# The U-Net sees too far for one halo, but each scale by itself sees only a few pixels:
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


def run(
    loaded: LoadedNetwork,
    read: PairReader,
    write: Callable[[Tile, Tensor], None],
    progress: Progress | None,
) -> None:
    """Run the network on a pair of any size, see `weights.NetworkKind`."""
    fuse_in_tiles(
        loaded.network,
        read,
        read.size,
        write,
        tile_bytes=tile_budget(loaded.device, 1, SMALL_TILE_BYTES),
        progress=progress,
    )


NETWORK = NetworkKind(
    name="dpgn",
    architecture=DpgnArchitecture,
    build=Dpgn,
    train_command="ghostless train dpgn",
    sides=lambda architecture: Sides(architecture.size_multiple, border="replicate"),
    run=run,
    map_bytes_per_pixel=_MAP_BYTES_PER_PIXEL,
)

"""Running a network of three frames, dark, reference and bright, on tensors, in tiles.

Which three frames it gets, and what becomes of its answers: see `rounds`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..bracket import Frame, Fused, Stack
from ..nn import fullsize
from ..nn.fullsize import PaddedFrame, Progress, Region, Tile
from ..nn.three_frames import PAPER_GAMMA, network_frames
from ..nn.weights import LoadedNetwork, NetworkKind, Sides, load_network
from .rounds import (
    Wanted,
    WriteRegion,
    by_own_curve,
    exposures_of,
    fuse_in_rounds,
)
from .settings import HdrNetworkSettings, TripletSettings


@dataclass(frozen=True)
class Triplet:
    """Dark, reference and bright frame of a stack, as tensors on a device.

    sides: what the frames are padded to. gamma: whether codes are light to the power 1 / 2.2,
        whatever the frames' own curve.
    """

    frames: Sequence[Frame]
    sides: Sides
    device: torch.device
    gamma: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the padded frames."""
        return self.sides.padded(self.frames[0].height, self.frames[0].width)

    @property
    def exposures(self) -> list[float]:
        """Exposure times over that of the dark frame."""
        return exposures_of(self.frames)

    @property
    def times(self) -> list[Tensor]:
        """`exposures` as tensors (1, 1, 1, 1)."""
        return [
            torch.full((1, 1, 1, 1), exposure, device=self.device) for exposure in self.exposures
        ]

    def displays(self, region: Region) -> list[Tensor]:
        """The frames on a region as they look: (1, 3, h, w) each, 0..1."""
        return [
            fullsize.to_tensor(self._padded(frame).display(region), self.device)
            for frame in self.frames
        ]

    def lights(self, region: Region) -> list[Tensor]:
        """The frames on a region as light: (1, 3, h, w) each, 0..1."""
        return [self._light(frame, region) for frame in self.frames]

    def network_frames(self, region: Region) -> list[Tensor]:
        """What `nn.three_frames.network_frames` makes of a region: (1, 6, h, w) each, 0..1."""
        return network_frames(self.lights(region), self.times)

    def network_frame(self, number: int, region: Region) -> Tensor:
        """One of `network_frames`."""
        light = self._light(self.frames[number], region)
        return network_frames([light], [self.times[number]])[0]

    def _light(self, frame: Frame, region: Region) -> Tensor:
        padded = self._padded(frame)
        if self.gamma and frame.transfer != "linear":
            return fullsize.to_tensor(padded.display(region), self.device).pow(PAPER_GAMMA)
        return fullsize.to_tensor(np.clip(padded.linear(region), 0, 1), self.device)

    def _padded(self, frame: Frame) -> PaddedFrame:
        return PaddedFrame(frame, self.sides.border)


# From a tile to the radiance (1, 3, h, w) of its outer region, 0..1, 1 = the dark frame clips.
Reconstruct = Callable[[Tile], Tensor]


@dataclass(frozen=True)
class TripletNetwork:
    """A network ready to run on triplets.

    kind: which. halo_pixels: how far it sees, within what `prepare` returns.
    bytes_per_pixel: of the tensors alive at once in a tile; map_bytes_per_pixel: of what is held of
        the whole image.
    prepare: does what must be done before the tiles.
    """

    kind: NetworkKind
    loaded: LoadedNetwork
    halo_pixels: int
    bytes_per_pixel: int
    prepare: Callable[[Triplet], Reconstruct]
    map_bytes_per_pixel: int = 0

    @property
    def sides(self) -> Sides:
        return self.kind.sides(self.loaded.network.architecture)


def fuse_by_paper(
    stack: Stack,
    settings: HdrNetworkSettings,
    kind: NetworkKind,
    *,
    halo_pixels: int,
    bytes_per_pixel: int,
    map_bytes_per_pixel: int = 0,
    prepare: Callable[[LoadedNetwork, Triplet], Reconstruct] | None = None,
    progress: Progress | None = None,
) -> Fused:
    """Fuse by a network that takes `network_frames`, as most of the papers' do.

    prepare: None for a network of convolutions alone. Otherwise as `fuse_in_triplets`, which also
        says what it returns and raises; and BracketError with response="estimate" if the frames
        tell too little of it.
    """
    loaded = load_network(kind, settings)
    make = prepare or by_convolutions
    network = TripletNetwork(
        kind,
        loaded,
        halo_pixels,
        bytes_per_pixel,
        lambda triplet: make(loaded, triplet),
        map_bytes_per_pixel,
    )
    if settings.response == "gamma":
        return fuse_in_triplets(stack, settings, network, gamma=True, progress=progress)
    stack, notes = by_own_curve(stack, settings.response)
    fused = fuse_in_triplets(stack, settings, network, progress=progress)
    return replace(fused, notes=(*notes, *fused.notes))


def by_convolutions(loaded: LoadedNetwork, triplet: Triplet) -> Reconstruct:
    """How a network of convolutions alone makes the radiance of a tile of a triplet."""

    def reconstruct(tile: Tile) -> Tensor:
        found: Tensor = loaded.network(*triplet.network_frames(tile.outer))
        return found

    return reconstruct


def fuse_in_triplets(
    stack: Stack,
    settings: TripletSettings,
    network: TripletNetwork,
    *,
    gamma: bool = False,
    progress: Progress | None = None,
) -> Fused:
    """`rounds.fuse_in_rounds` with such a network. gamma: see `Triplet`."""
    return fuse_in_rounds(stack, settings, OnTensors(network, gamma), progress=progress)


@dataclass(frozen=True)
class OnTensors:
    """A `TripletNetwork` as `rounds` takes them. gamma: see `Triplet`."""

    network: TripletNetwork
    gamma: bool = False

    @property
    def name(self) -> str:
        return self.network.kind.name

    @property
    def device(self) -> torch.device:
        return self.network.loaded.device

    @property
    def map_bytes_per_pixel(self) -> int:
        return self.network.map_bytes_per_pixel

    def reconstruct(
        self, frames: Sequence[Frame], wanted: Wanted, write: WriteRegion, progress: Progress
    ) -> None:
        """In tiles of the size that memory allows."""
        network, loaded = self.network, self.network.loaded
        triplet = Triplet(frames, network.sides, loaded.device, self.gamma)
        height, width = frames[0].height, frames[0].width
        pixels = fullsize.tile_budget(loaded.device, network.bytes_per_pixel)
        multiple = network.sides.multiple
        tiles = fullsize.make_tiles(*triplet.size, network.halo_pixels, multiple, pixels)
        tiles = [tile for tile in tiles if wanted(tile.inner.cropped(height, width))]
        # From 1.0 = the darkest frame clips to 1.0 = the reference clips.
        scale = triplet.exposures[1]

        def write_tile(tile: Tile, radiance: Tensor) -> None:
            region = tile.inner.cropped(height, width)
            found = fullsize.to_pixels(radiance * scale)
            write(region, found[: region.height, : region.width])

        if not tiles:
            progress(1.0)
            return
        with torch.inference_mode(), fullsize.computing(loaded.dtype, loaded.device):
            prepared = network.prepare(triplet)
            fullsize.run_in_tiles(prepared, write_tile, tiles, progress=progress)

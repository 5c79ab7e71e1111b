"""A network of two frames as a method of any number: everything around the network itself.

Frames are checked, fused in turn at the quality asked for, filled up to the sides that the network
takes, and the result is cropped again. The network runs with torch, or as graphs where it ships as
such and torch is not installed (`nn.graphs`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from ..bracket import Frame, Fused, Stack
from ..nn.fast import fuse_at_quality
from ..nn.graphs import GraphNetwork, load_graphs, use_graphs
from ..nn.regions import (
    PaddedFrame,
    Region,
    Tile,
    check_finite,
    make_tiles,
    run_in_tiles,
    to_planes,
)
from ..nn.weights import LoadedNetwork, NetworkKind, load_network
from ..pixels.stripes import Progress
from .in_turn import fuse_frames_in_turn
from .photos import all_grey
from .settings import PairSettings

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from ..nn.tiled import PairReader

WriteTile = Callable[[Tile, "Tensor"], None]
# Runs a network on what the reader reads and writes every tile of the result, RGB
# (1, 3, h, w), 0..1.
RunPair = Callable[[LoadedNetwork, "PairReader", WriteTile, Progress | None], None]
# Changes a pair's display values (H, W, 3) in place, given the darker and the brighter frame.
FinishPair = Callable[[NDArray[np.float32], Frame, Frame], None]


def fuse_pairs(
    stack: Stack,
    settings: PairSettings,
    method: str,
    *,
    finish: FinishPair | None = None,
    notes: tuple[str, ...] = (),
    progress: Progress | None = None,
) -> Fused:
    """Fuse two or more frames, dark to bright, into a display image, (H, W, 3) float32, 0..1.

    Masks are not used: the pixels replaced in a deghosted or warped stack agree with its reference.

    method: its name in the table; its NetworkKind says how the network runs on a pair with torch.
    Where torch is not installed it runs as graphs, if it ships as such.
    finish: changes a pair's result. notes: to give with the result.
    Raises BracketError for pixels that are not finite, WeightsError while there are no weights,
    naming the command that makes them, and MissingPackageError where nothing is installed that
    runs it.
    """
    from .table import METHODS

    check_finite(stack.frames)
    entry = METHODS[method]
    network: _Network
    if use_graphs(method):
        network = _AsGraphs(load_graphs(method, settings))
    else:
        kind = entry.kind
        assert kind.run is not None
        loaded = load_network(kind, settings)
        network = _WithTorch(loaded, kind, kind.run, kind.map_bytes_per_pixel)
    return _fuse(stack, settings, network, entry.best_pixels, finish, notes, progress)


def _fuse(
    stack: Stack,
    settings: PairSettings,
    network: _Network,
    best_pixels: int | None,
    finish: FinishPair | None,
    notes: tuple[str, ...],
    progress: Progress | None,
) -> Fused:
    # Of the photos: a result on the way is grey but for rounding.
    coloured = not all_grey(stack.frames)

    def fuse_whole(stack: Stack, progress: Progress | None) -> Fused:
        photos = {id(frame) for frame in stack.frames}

        def fuse_pair(under: Frame, over: Frame, progress: Progress | None) -> NDArray[np.float32]:
            about = PairFacts(coloured, {id(under), id(over)} <= photos)
            fused = network.fuse(under, over, about, progress)
            if finish is not None:
                finish(fused, under, over)
            return fused

        pixels = fuse_frames_in_turn(stack.frames, fuse_pair, settings.order, progress)
        metadata = stack.frames[stack.reference].metadata
        return Fused(pixels, "display", metadata=metadata, notes=notes)

    return fuse_at_quality(
        stack,
        settings,
        network.device,
        fuse_whole,
        map_bytes_per_pixel=network.map_bytes_per_pixel,
        best_pixels=best_pixels,
        progress=progress,
    )


@dataclass(frozen=True)
class PairFacts:
    """What a pair's pixels do not tell.

    coloured: whether the photos that it comes of have any colour. photos: whether both are photos,
    and none a result on the way.
    """

    coloured: bool
    photos: bool


class _Network(Protocol):
    """A network of two frames, ready to run. device, ...: as of `nn.fast.fuse_at_quality`."""

    @property
    def device(self) -> torch.device | None: ...

    @property
    def map_bytes_per_pixel(self) -> int: ...

    def fuse(
        self, under: Frame, over: Frame, about: PairFacts, progress: Progress | None
    ) -> NDArray[np.float32]:
        """Fuse two frames to display values (H, W, 3)."""
        ...


@dataclass(frozen=True)
class _WithTorch:
    loaded: LoadedNetwork
    kind: NetworkKind
    run: RunPair
    map_bytes_per_pixel: int

    @property
    def device(self) -> torch.device:
        return self.loaded.device

    def fuse(
        self, under: Frame, over: Frame, about: PairFacts, progress: Progress | None
    ) -> NDArray[np.float32]:
        import torch

        from ..nn.fullsize import computing, pixel_writer
        from ..nn.tiled import PairReader

        loaded = self.loaded
        sides = self.kind.sides(getattr(loaded.network, "architecture", self.kind.architecture()))
        read = PairReader(
            over=over,
            under=under,
            sides=sides,
            device=loaded.device,
            coloured=about.coloured,
            photos=about.photos,
        )
        fused = np.empty(over.pixels.shape, np.float32)
        with torch.inference_mode(), computing(loaded.dtype, loaded.device):
            self.run(loaded, read, pixel_writer(fused), progress)
        return fused


@dataclass(frozen=True)
class _AsGraphs:
    """On proxies, which graphs take whole."""

    network: GraphNetwork
    device: None = None
    map_bytes_per_pixel: int = 0

    def fuse(
        self, under: Frame, over: Frame, about: PairFacts, progress: Progress | None
    ) -> NDArray[np.float32]:
        sides = self.network.plan.sides
        size = sides.padded(over.height, over.width)
        whole = Region(0, size[0], 0, size[1])
        under_planes, over_planes = (
            to_planes(PaddedFrame(frame, sides.border).display(whole)) for frame in (under, over)
        )
        inputs = {
            "under": under_planes,
            "over": over_planes,
            "coloured": np.full((1, 1, 1, 1), about.coloured),
        }
        if not about.photos:
            # What a gate of chen-chuang's would give: it judges photos only.
            inputs["passed"] = over_planes
        fused = self.network.run(inputs, size, progress=progress)["fused"]
        cropped = fused[0, :, : over.height, : over.width].transpose(1, 2, 0)
        return np.ascontiguousarray(cropped, np.float32)


def in_tiles(halo_pixels: int, bytes_per_pixel: int, multiple: int = 1) -> RunPair:
    """Return how to run a network of convolutions alone, `network(over=..., under=...)`.

    halo_pixels: how far it sees. bytes_per_pixel: peak of all its tensors. multiple: what its
    strides and poolings divide the image by. Layers that see the whole image need a run of their
    own.
    """

    def run(
        loaded: LoadedNetwork, read: PairReader, write: WriteTile, progress: Progress | None
    ) -> None:
        from ..nn.fullsize import tile_budget
        from ..nn.tiled import SMALL_TILE_BYTES

        def fuse_tile(tile: Tile) -> Tensor:
            over, under = read(tile.outer)
            fused: Tensor = loaded.network(over=over, under=under)
            return fused

        pixels = tile_budget(loaded.device, bytes_per_pixel, SMALL_TILE_BYTES)
        tiles = make_tiles(*read.size, halo_pixels, multiple, pixels)
        run_in_tiles(fuse_tile, write, tiles, progress=progress)

    return run

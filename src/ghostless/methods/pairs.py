"""A network of two frames as a method of any number: everything around the network itself.

Frames are checked, fused in turn at the quality asked for, filled up to the sides that the network
takes, and the result is cropped again.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..bracket import Frame, Fused, Stack
from ..nn.fast import fuse_at_quality
from ..nn.fullsize import (
    Tile,
    check_finite,
    computing,
    make_tiles,
    pixel_writer,
    run_in_tiles,
    tile_budget,
)
from ..nn.tiled import SMALL_TILE_BYTES, PairReader
from ..nn.weights import LoadedNetwork, NetworkKind, load_network
from ..pixels.stripes import Progress
from .in_turn import fuse_frames_in_turn
from .settings import PairSettings

WriteTile = Callable[[Tile, Tensor], None]
# Runs a network on what the reader reads and writes every tile of the result, RGB
# (1, 3, h, w), 0..1.
RunPair = Callable[[LoadedNetwork, PairReader, WriteTile, Progress | None], None]


def fuse_pairs(
    stack: Stack,
    settings: PairSettings,
    kind: NetworkKind,
    run: RunPair,
    *,
    map_bytes_per_pixel: int = 0,
    most_pixels: int | None = None,
    finish: Callable[[NDArray[np.float32], Frame, Frame], None] | None = None,
    notes: tuple[str, ...] = (),
    progress: Progress | None = None,
) -> Fused:
    """Fuse two or more frames, dark to bright, into a display image, (H, W, 3) float32, 0..1.

    Masks are not used: the pixels replaced in a deghosted or warped stack agree with its reference.

    run: the network on a pair. map_bytes_per_pixel, most_pixels: as of `nn.fast.fuse_at_quality`.
    finish: changes a pair's display values (H, W, 3) in place, given the darker and the brighter
        frame. notes: to give with the result.
    Raises BracketError for pixels that are not finite, and WeightsError while there are no weights,
    naming the command that makes them.
    """
    check_finite(stack.frames)
    loaded = load_network(kind, settings)
    sides = kind.sides(getattr(loaded.network, "architecture", kind.architecture()))

    def fuse_pair(under: Frame, over: Frame, progress: Progress | None) -> NDArray[np.float32]:
        read = PairReader(over=over, under=under, sides=sides, device=loaded.device)
        fused = np.empty(over.pixels.shape, np.float32)
        with torch.inference_mode(), computing(loaded.dtype, loaded.device):
            run(loaded, read, pixel_writer(fused), progress)
        if finish is not None:
            finish(fused, under, over)
        return fused

    def fuse_whole(stack: Stack, progress: Progress | None) -> Fused:
        pixels = fuse_frames_in_turn(stack.frames, fuse_pair, settings.order, progress)
        metadata = stack.frames[stack.reference].metadata
        return Fused(pixels, "display", metadata=metadata, notes=notes)

    return fuse_at_quality(
        stack,
        settings,
        loaded.device,
        fuse_whole,
        map_bytes_per_pixel=map_bytes_per_pixel,
        most_pixels=most_pixels,
        progress=progress,
    )


def in_tiles(halo_pixels: int, bytes_per_pixel: int, multiple: int = 1) -> RunPair:
    """Return how to run a network of convolutions alone, `network(over=..., under=...)`.

    halo_pixels: how far it sees. bytes_per_pixel: peak of all its tensors. multiple: what its
    strides and poolings divide the image by. Layers that see the whole image need a run of their
    own.
    """

    def run(
        loaded: LoadedNetwork, read: PairReader, write: WriteTile, progress: Progress | None
    ) -> None:
        def fuse_tile(tile: Tile) -> Tensor:
            over, under = read(tile.outer)
            fused: Tensor = loaded.network(over=over, under=under)
            return fused

        pixels = tile_budget(loaded.device, bytes_per_pixel, SMALL_TILE_BYTES)
        tiles = make_tiles(*read.size, halo_pixels, multiple, pixels)
        run_in_tiles(fuse_tile, write, tiles, progress=progress)

    return run

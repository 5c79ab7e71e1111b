"""Reading a large pair of frames by region, and gathering a network's maps tile by tile."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..bracket import Frame
from .fullsize import (
    PaddedFrame,
    Progress,
    Region,
    Tile,
    map_writer,
    run_in_tiles,
    to_tensor,
)
from .weights import Sides

# Memory for the tensors of one tile on the CPU, for networks with small halos. Tensors of up to
# 32 MB come from memory that the C library keeps; for larger ones the system hands out fresh pages
# every time, which takes longer than the arithmetic: MEF-GAN and LCNDR run 2 to 3 times faster in
# such tiles than in ones of 1.5 GB.
SMALL_TILE_BYTES = 2e8

ReadPair = Callable[[Region], tuple[Tensor, Tensor]]


class PairReader:
    """Regions of an over- and an under-exposed frame as RGB tensors (1, 3, h, w), 0..1.

    The frames are extended at the bottom and at the right to the sides that a network takes;
    `size` is the height and width after that. Nothing of full size is held.

    coloured: whether the photos that the pair comes of have any colour, where that is known: of a
        result on the way rounding makes it hard to tell.
    photos: whether both are photos; a result on the way has tones that no exposure has.
    """

    def __init__(
        self,
        *,
        over: Frame,
        under: Frame,
        sides: Sides,
        device: torch.device | None = None,
        coloured: bool | None = None,
        photos: bool = True,
    ) -> None:
        self.over = PaddedFrame(over, sides.border)
        self.under = PaddedFrame(under, sides.border)
        self.device = device or torch.device("cpu")
        self.coloured = coloured
        self.photos = photos
        self.size = sides.padded(over.height, over.width)

    def __call__(self, region: Region) -> tuple[Tensor, Tensor]:
        over, under = (
            to_tensor(frame.display(region), self.device) for frame in (self.over, self.under)
        )
        return over, under


def map_in_tiles(
    function: Callable[[Tile], Tensor],
    tiles: Sequence[Tile],
    *,
    scale: int = 1,
    progress: Progress | None = None,
) -> Tensor:
    """Run a function tile by tile and return the whole map (1, C, H / scale, W / scale).

    function: as of `fullsize.run_in_tiles`. tiles: of `fullsize.make_tiles`, so that the last one
    ends where the image does.
    """
    height, width = tiles[-1].inner.bottom // scale, tiles[-1].inner.right // scale
    whole: Tensor | None = None

    def write(tile: Tile, result: Tensor) -> None:
        nonlocal whole
        if whole is None:
            whole = result.new_empty(1, result.shape[1], height, width)
            whole = whole.contiguous(memory_format=torch.channels_last)
        map_writer(whole, scale)(tile, result)

    run_in_tiles(function, write, list(tiles), scale=scale, progress=progress)
    assert whole is not None
    return whole

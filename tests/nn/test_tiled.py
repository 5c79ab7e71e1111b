"""Reading pairs by region beyond their borders, and gathering maps from tiles."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from ghostless.bracket import Frame  # noqa: E402
from ghostless.nn.fullsize import Region, make_tiles  # noqa: E402
from ghostless.nn.tiled import PairReader, map_in_tiles  # noqa: E402
from ghostless.nn.weights import Sides  # noqa: E402


def frame(height, width, seed, dtype=np.uint8):
    return Frame(np.random.default_rng(seed).integers(0, 255, (height, width, 3)).astype(dtype))


@pytest.mark.parametrize(("border", "mode"), [("reflect", "reflect"), ("replicate", "edge")])
@pytest.mark.parametrize("size", [(13, 21), (16, 24), (2, 3)])
def test_regions_are_those_of_the_padded_frames(border, mode, size):
    over, under = frame(*size, 0), frame(*size, 1)
    read = PairReader(over=over, under=under, sides=Sides(8, 16, border))
    assert read.size == (16, 24 if size[1] > 16 else 16)
    pads = [(0, big - small) for big, small in zip(read.size, size, strict=True)]
    for region in (
        Region(0, *read.size[:1], 0, read.size[1]),
        Region(1, 2, 0, 2),
        Region(8, 16, 8, 16),
        Region(15, 16, 3, read.size[1]),
    ):
        for tensor, source in zip(read(region), (over, under), strict=True):
            whole = np.pad(source.display(), (*pads, (0, 0)), mode=mode)
            expected = whole[region.top : region.bottom, region.left : region.right]
            np.testing.assert_array_equal(tensor[0].permute(1, 2, 0).numpy(), expected)


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_a_map_from_tiles_is_that_of_the_whole(scale):
    image = torch.rand(1, 3, 32, 24)
    pool = torch.nn.AvgPool2d(scale)
    tiles = make_tiles(32, 24, 4, 4, 16 * 16)
    assert len(tiles) > 2
    found = map_in_tiles(lambda tile: pool(tile.outer.cut(image)), tiles, scale=scale)
    torch.testing.assert_close(found, pool(image))
    assert found.is_contiguous(memory_format=torch.channels_last)

"""Tiled running: tiles that cover, padding that mirrors, results equal to the whole image's."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from ghostless.bracket import Frame  # noqa: E402
from ghostless.errors import BracketError  # noqa: E402
from ghostless.nn import fullsize  # noqa: E402
from ghostless.nn.fullsize import PaddedFrame, Region  # noqa: E402
from ghostless.nn.weights import Sides  # noqa: E402


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 40),
    columns=st.integers(1, 40),
    multiple=st.sampled_from([1, 2, 4, 8]),
    halo=st.integers(0, 20),
    tile_pixels=st.integers(1, 20_000),
)
def test_tiles_cover_an_image_once_with_their_halos(rows, columns, multiple, halo, tile_pixels):
    height, width = rows * multiple, columns * multiple
    covered = np.zeros((height, width), int)
    for tile in fullsize.make_tiles(height, width, halo, multiple, tile_pixels):
        inner, outer = tile.inner, tile.outer
        covered[inner.slices()] += 1
        for edge in (inner.top, inner.left, outer.top, outer.left, outer.bottom, outer.right):
            assert edge % multiple == 0
        assert outer.top <= max(0, inner.top - halo)
        assert outer.left <= max(0, inner.left - halo)
        assert outer.bottom >= min(height, inner.bottom + halo)
        assert outer.right >= min(width, inner.right + halo)
    assert (covered == 1).all()


def test_tiles_keep_to_the_budget_where_the_halo_allows():
    tiles = fullsize.make_tiles(4000, 6000, 64, 4, 1_000_000)
    sizes = [tile.outer.height * tile.outer.width for tile in tiles]
    assert max(sizes) <= 1_000_000
    assert sum(sizes) < 1.5 * 4000 * 6000


def test_small_images_run_in_one_piece_and_narrow_ones_in_stripes():
    assert len(fullsize.make_tiles(400, 600, 64, 4, 1_000_000)) == 1
    stripes = fullsize.make_tiles(6000, 900, 4, 4, 1_000_000)
    assert len(stripes) > 3
    assert all(tile.outer.width == 900 for tile in stripes)
    thin = fullsize.make_tiles(12, 4000, 64, 4, 12 * 500)
    assert all(tile.outer.height == 12 and tile.outer.width <= 500 for tile in thin)


def test_sizes_must_fit_the_multiple():
    with pytest.raises(ValueError, match="multiple of 4"):
        fullsize.make_tiles(10, 8, 2, 4, 100)


@pytest.mark.parametrize(
    ("size", "multiple", "minimum", "padded"),
    [((5, 9), 4, 1, (8, 12)), ((8, 8), 4, 1, (8, 8)), ((1, 1), 128, 1, (128, 128)),
     ((3, 40), 4, 12, (12, 40))],
)  # fmt: skip
def test_padded_size(size, multiple, minimum, padded):
    assert Sides(multiple, minimum).padded(*size) == padded


@settings(max_examples=40, deadline=None)
@given(size=st.integers(1, 12), extra=st.integers(0, 40))
def test_reflection_is_that_of_numpy(size, extra):
    row = np.arange(size)
    expected = np.pad(row, (0, extra), mode="reflect")
    np.testing.assert_array_equal(row[fullsize.reflected(0, size + extra, size)], expected)


@pytest.mark.parametrize("border", ["reflect", "replicate"])
@pytest.mark.parametrize("transfer", ["srgb", "linear"])
def test_padded_frame_reads_what_numpy_pads(border, transfer):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 7, 3), dtype=np.uint8)
    frame = Frame(pixels, transfer=transfer)
    mode = "reflect" if border == "reflect" else "edge"
    whole = np.pad(frame.display(), ((0, 10), (0, 9), (0, 0)), mode=mode)
    light = np.pad(frame.linear(), ((0, 10), (0, 9), (0, 0)), mode=mode)
    for region in (Region(0, 16, 0, 16), Region(2, 5, 1, 6), Region(5, 16, 3, 9)):
        np.testing.assert_array_equal(
            PaddedFrame(frame, border).display(region), whole[region.slices()]
        )
        np.testing.assert_array_equal(
            PaddedFrame(frame, border).linear(region), light[region.slices()]
        )


def test_tiles_give_the_whole_images_result():
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect"),
        torch.nn.Conv2d(3, 3, 3, stride=2, padding=1),
    ).double()
    image = torch.rand(1, 2, 24, 30, dtype=torch.float64)
    found = torch.full((1, 3, 12, 15), torch.nan, dtype=torch.float64)
    fractions = []
    with torch.no_grad():
        fullsize.run_in_tiles(
            lambda tile: network(tile.outer.cut(image)),
            fullsize.map_writer(found, 2),
            fullsize.make_tiles(24, 30, 2, 2, 100),
            scale=2,
            progress=fractions.append,
        )
        torch.testing.assert_close(found, network(image), rtol=0, atol=1e-14)
    assert len(fractions) > 2
    assert fractions[-1] == 1
    assert fractions == sorted(fractions)


def test_pixels_are_cropped_on_the_way_out():
    target = np.zeros((5, 7, 3), np.float32)
    image = np.random.default_rng(0).random((8, 8, 3), np.float32)
    tensor = fullsize.to_tensor(image, torch.device("cpu"))
    np.testing.assert_array_equal(fullsize.to_pixels(tensor), image)
    write = fullsize.pixel_writer(target)
    for tile in fullsize.make_tiles(8, 8, 0, 4, 16):
        write(tile, tile.inner.cut(tensor))
    np.testing.assert_array_equal(target, image[:5, :7])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_frames_that_are_not_finite_are_refused_by_name(value, tmp_path):
    pixels = np.zeros((300, 4, 3), np.float32)
    fullsize.check_finite([Frame(pixels)])
    pixels[299, 2, 1] = value
    with pytest.raises(BracketError, match=r"bad\.exr: expected finite pixels"):
        fullsize.check_finite([Frame(pixels, path=tmp_path / "bad.exr")])

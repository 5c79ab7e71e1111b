"""The steps from level to level: whole, in stripes, turned, at other sizes, all the way round."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ghostless.pixels import pyramid, pyramid_steps
from ghostless.pixels.pyramid_steps import Regridding, balanced_steps, halvings, halvings_alike
from tests.laplacian import down, up

SIZES = [(1, 1), (1, 9), (7, 5), (33, 64), (65, 40), (157, 203), (70, 300)]


def noise(*size: int) -> NDArray[np.float32]:
    return np.random.default_rng(1).random(size).astype(np.float32)


def coarsened(plane: NDArray[np.float32], wraps: bool = False) -> list[NDArray[np.float32]]:
    levels = [plane]
    for step in balanced_steps(plane.shape, wraps):  # type: ignore[arg-type]
        levels.append(down(step, levels[-1]))
    return levels


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("wraps", [False, True])
def test_steps_lead_to_one_sample_and_keep_what_is_flat(size: tuple[int, int], wraps: bool) -> None:
    steps = balanced_steps(size, wraps)
    sizes = [size, *(step.coarse for step in steps)]
    assert [step.size for step in steps] == sizes[:-1]
    assert sizes[-1] == (1, 1)
    assert all(a[0] >= b[0] and a[1] >= b[1] and a != b for a, b in pairwise(sizes))
    flat = np.full(size, np.float32(0.3))
    for step in steps:
        flat = down(step, flat)
        np.testing.assert_allclose(flat, 0.3, rtol=1e-6)
        np.testing.assert_allclose(up(step, flat), 0.3, rtol=1e-6)
    assert flat.shape == (1, 1)


@pytest.mark.parametrize("size", SIZES[2:])
@pytest.mark.parametrize("wraps", [False, True])
def test_stripes_are_those_of_the_whole_level(size: tuple[int, int], wraps: bool) -> None:
    plane = noise(*size)
    for step in balanced_steps(size, wraps):
        small = down(step, plane)
        assert small.shape == step.coarse
        for start in range(0, step.coarse[0], 2):
            stop = min(start + 2, step.coarse[0])
            first, last = step.source_rows(start, stop)
            rows = step.reduce_rows(plane[first:last], first, start, stop)
            np.testing.assert_allclose(rows, small[start:stop], atol=1e-6)
        large = up(step, small)
        assert large.shape == step.size
        for start in range(0, step.size[0], 4):
            stop = min(start + 4, step.size[0])
            np.testing.assert_allclose(
                step.expand_rows(small, start, stop), large[start:stop], atol=1e-6
            )
        plane = small


def test_halvings_are_those_of_the_pyramid() -> None:
    plane = noise(37, 50)
    steps = halvings((37, 50), 4)
    assert len(steps) == 3
    small = pyramid.reduce(plane)
    np.testing.assert_array_equal(down(steps[0], plane), small)
    np.testing.assert_array_equal(up(steps[0], small), pyramid.expand(small, (37, 50)))
    assert halvings((37, 50), 1) == []


@pytest.mark.parametrize("wraps", [False, True])
@pytest.mark.parametrize("size", [*SIZES, (410, 615), (600, 900)])
def test_halvings_alike_end_with_two_rows_and_keep_what_is_flat(
    size: tuple[int, int], wraps: bool
) -> None:
    flat = np.full(size, np.float32(0.3))
    for step in halvings_alike(size, wraps):
        assert step.size == flat.shape
        flat = down(step, flat)
        np.testing.assert_allclose(flat, 0.3, rtol=1e-6)
        np.testing.assert_allclose(up(step, flat), 0.3, rtol=1e-6)
    assert min(flat.shape) == min(2, *size)


def test_halvings_are_alike_from_forty_rows_on() -> None:
    for size in ((82, 123), (410, 615), (600, 900)):
        coarse = [step.coarse for step in halvings_alike(size)]
        assert coarse[-5:] == [(20, 30), (10, 15), (5, 8), (3, 4), (2, 2)]
        assert coarse[-6] == (40, 60)


@given(st.integers(1, 64), st.integers(1, 64))
@settings(deadline=None, max_examples=30)
def test_grids_turn_with_the_picture(height: int, width: int) -> None:
    plane = noise(height, width)
    turned = np.ascontiguousarray(plane[::-1, ::-1])
    for level, other in zip(coarsened(plane), coarsened(turned), strict=True):
        np.testing.assert_allclose(level, other[::-1, ::-1], atol=1e-5)


def test_coarse_levels_are_alike_at_every_size() -> None:
    def picture(height: int, width: int) -> NDArray[np.float32]:
        y, x = np.mgrid[0:height, 0:width]
        y, x = (y + 0.5) / height, (x + 0.5) / width
        return np.asarray(np.sin(5 * x + 2) * np.cos(7 * y) + x * y, np.float32)

    large, small = coarsened(picture(600, 900)), coarsened(picture(410, 615))
    for level, other in zip(large[::-1], small[::-1], strict=False):
        if min(level.shape) > pyramid_steps.GRID_CELLS:
            break
        assert level.shape == other.shape
        np.testing.assert_allclose(level, other, atol=0.02)
    else:
        pytest.fail("expected levels of pixels before those of cells")


def test_all_the_way_round_there_is_no_border() -> None:
    plane = noise(24, 64)
    for level, other in zip(
        coarsened(plane, True), coarsened(np.roll(plane, 32, 1), True), strict=True
    ):
        half = level.shape[1] // 2
        if level.shape[1] % 2 == 0:
            np.testing.assert_allclose(np.roll(level, half, 1), other, atol=1e-5)
    (step,) = [s for s in balanced_steps((24, 64), True) if s.size == (24, 64)]
    assert isinstance(step, Regridding)
    small = down(step, plane)
    moved = np.roll(up(step, small), 2, 1)
    np.testing.assert_allclose(moved, up(step, np.roll(small, 1, 1)), atol=1e-5)


def test_enlarging_is_linear_between_cells() -> None:
    (step, *_) = balanced_steps((8, 8))
    ramp = np.tile(np.arange(4, dtype=np.float32), (4, 1))
    expected = np.clip((np.arange(8) + 0.5) / 2 - 0.5, 0, 3)
    np.testing.assert_allclose(up(step, ramp), np.tile(expected, (8, 1)), atol=1e-6)

"""Filters and solvers of `pixels` against what they stand for, written out plainly."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from ghostless.pixels.local_histograms import equalise
from ghostless.pixels.poisson import integrate
from ghostless.pixels.recursive import smooth_recursively
from ghostless.pixels.screened import solve_screened
from ghostless.pixels.windows import box_mean, erode, guided_filter, laplacian, variance

SIZES = [(1, 1), (1, 9), (12, 7), (33, 40)]


def some(size: tuple[int, ...], seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random(size).astype(np.float32)


def plain_mean(plane: NDArray[np.floating], radius: int) -> NDArray[np.float64]:
    out = np.zeros(plane.shape)
    for y, x in np.ndindex(*plane.shape[:2]):
        window = plane[max(0, y - radius) : y + radius + 1, max(0, x - radius) : x + radius + 1]
        out[y, x] = window.mean(axis=(0, 1), dtype=np.float64)
    return out


@pytest.mark.parametrize("size", [*SIZES, (9, 8, 3)])
@pytest.mark.parametrize("radius", [1, 4, 50])
def test_means_are_of_the_pixels_that_are_there(size: tuple[int, ...], radius: int) -> None:
    plane = some(size)
    np.testing.assert_allclose(box_mean(plane, radius), plain_mean(plane, radius), atol=1e-7)


def test_variance_and_minimum_are_of_windows() -> None:
    plane = some((12, 15))
    mean = box_mean(plane, 2)
    wanted = plain_mean(np.square(plane, dtype=np.float64), 2) - plain_mean(plane, 2) ** 2
    np.testing.assert_allclose(variance(plane, mean, 2), wanted, atol=1e-6)
    padded = np.pad(plane, 2, constant_values=9)
    least = [padded[y : y + 12, x : x + 15] for y in range(5) for x in range(5)]
    np.testing.assert_array_equal(erode(plane, 2), np.min(least, axis=0))
    assert laplacian(np.full((4, 5), 0.3, np.float32)).max() < 1e-6


def test_the_guided_filter_keeps_the_guides_edges_only() -> None:
    guide = np.zeros((40, 40), np.float32)
    guide[:, 20:] = 1
    noisy = guide + 0.2 * (some((40, 40)) - 0.5)
    smooth = guided_filter(guide, noisy, 6, 1e-3)
    assert np.abs(smooth - guide).max() < 0.08
    assert np.abs(guided_filter(some((40, 40), 3), noisy, 6, 1e3) - noisy).mean() > 0.05


@pytest.mark.parametrize("size", SIZES)
def test_a_picture_comes_back_from_its_differences(size: tuple[int, int]) -> None:
    picture = some(size) * 200
    across, down = np.zeros_like(picture), np.zeros_like(picture)
    across[:, :-1], down[:-1] = np.diff(picture, axis=1), np.diff(picture, axis=0)
    divergence = across + down
    divergence[:, 1:] -= across[:, :-1]
    divergence[1:] -= down[:-1]
    integrate(divergence)
    np.testing.assert_allclose(divergence, picture - picture.mean(), atol=1e-3)


def test_the_screened_equation_is_solved() -> None:
    height, width = 13, 18
    weights = [10 ** some(shape, n) for n, shape in enumerate(((13, 17), (12, 18)))]
    wanted = [some(shape, n + 5) - 0.5 for n, shape in enumerate(((13, 17), (12, 18)))]
    pixels = 0.1 + some((height, width), 9)
    number = np.arange(height * width).reshape(height, width)
    system, side = np.diag(pixels.ravel().astype(np.float64)), np.zeros(height * width)
    ends = ((number[:, :-1], number[:, 1:]), (number[:-1], number[1:]))
    for (first, second), weight, step in zip(ends, weights, wanted, strict=True):
        for i, j, w, v in zip(first.flat, second.flat, weight.flat, step.flat, strict=True):
            system[[i, j], [i, j]] += w
            system[[i, j], [j, i]] -= w
            side[[i, j]] += w * v * np.array([-1, 1])
    expected = np.linalg.solve(system, side).reshape(height, width)
    found = solve_screened(
        (weights[0].astype(np.float32), wanted[0]),
        (weights[1].astype(np.float32), wanted[1]),
        pixels=pixels,
        tolerance=1e-5,
    )
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_recursive_smoothing_stops_at_edges_and_keeps_what_is_even() -> None:
    guide = np.zeros((30, 40, 3), np.float32)
    guide[:, 20:] = 1

    def smoothed(plane: NDArray[np.float32]) -> NDArray[np.float32]:
        plane = plane.copy()
        smooth_recursively(plane, lambda start, stop: guide[start:stop], 20, 0.5)
        return plane

    even = np.full((30, 40), 0.4, np.float32)
    np.testing.assert_allclose(smoothed(even), even, atol=1e-6)
    noisy = guide[:, :, 0] + 0.5 * (some((30, 40)) - 0.5)
    found = smoothed(noisy)
    assert np.abs(found - guide[:, :, 0]).max() < 0.2
    assert found.std(axis=1).mean() > 0.4


def test_equalising_spreads_a_narrow_range_as_far_as_the_clip_lets_it() -> None:
    narrow = 0.4 + 0.2 * some((80, 96))
    gentle, full = narrow.copy(), narrow.copy()
    equalise(gentle, 0.003)
    equalise(full, 1.0)
    assert narrow.std() < gentle.std() < full.std()
    assert 0 <= full.min() < 0.05
    assert 0.95 < full.max() <= 1
    # An even range stays as it is.
    ramp = np.tile(np.linspace(0, 1, 8 * 256, dtype=np.float32).reshape(8, 256).T, (8, 8))
    ramp = np.random.default_rng(1).permuted(ramp.ravel()).reshape(ramp.shape)
    kept = ramp.copy()
    equalise(kept, 0.003)
    assert np.abs(kept - ramp).mean() < 0.03

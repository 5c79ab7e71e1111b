from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ghostless.pixels import pyramid
from tests.laplacian import collapse, laplacian_pyramid

SIZES = [(1, 1), (1, 9), (2, 2), (3, 4), (7, 5), (16, 11), (64, 48), (101, 67)]
KERNEL = np.array([1, 4, 6, 4, 1]) / 16


def random_image(size: tuple[int, ...], seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random(size).astype(np.float32)


def filter_both(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convolve with the kernel in both directions, the part without border."""
    height, width = image.shape[0] - 4, image.shape[1] - 4
    rows = sum(KERNEL[k] * image[k : k + height] for k in range(5))
    return sum(KERNEL[k] * rows[:, k : k + width] for k in range(5))


def plain_reduce(image: NDArray[np.float32]) -> NDArray[np.float64]:
    return filter_both(np.pad(image.astype(float), 2, mode="symmetric"))[::2, ::2]


def plain_expand(coarse: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float64]:
    padded = np.pad(coarse.astype(float), 1, mode="edge")
    sparse = np.zeros((2 * padded.shape[0], 2 * padded.shape[1]))
    sparse[::2, ::2] = 4 * padded
    return filter_both(np.pad(sparse, 2))[2 : 2 + size[0], 2 : 2 + size[1]]


@pytest.mark.parametrize("size", SIZES)
def test_reduce_and_expand_are_the_textbook_sums(size: tuple[int, int]) -> None:
    image = random_image(size)
    coarse = pyramid.reduce(image)
    assert coarse.shape == (pyramid.half(size[0]), pyramid.half(size[1]))
    np.testing.assert_allclose(coarse, plain_reduce(image), atol=1e-6)
    np.testing.assert_allclose(pyramid.expand(coarse, size), plain_expand(coarse, size), atol=1e-6)


@pytest.mark.parametrize("size", SIZES)
def test_a_flat_image_stays_flat(size: tuple[int, int]) -> None:
    flat = np.full(size, 0.7, np.float32)
    coarse = pyramid.reduce(flat)
    np.testing.assert_allclose(coarse, 0.7, atol=1e-6)
    np.testing.assert_allclose(pyramid.expand(coarse, size), 0.7, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.integers(1, 40), st.data())
def test_stripes_equal_the_whole(height: int, width: int, data: st.DataObject) -> None:
    image = random_image((height, width))
    coarse = pyramid.reduce(image)
    start = data.draw(st.integers(0, coarse.shape[0] - 1))
    stop = data.draw(st.integers(start + 1, coarse.shape[0]))
    first, last = pyramid.source_rows(start, stop, height)
    stripe = pyramid.reduce_rows(image[first:last], first, start, stop)
    np.testing.assert_allclose(stripe, coarse[start:stop], atol=1e-6)

    start = 2 * data.draw(st.integers(0, (height - 1) // 2))
    stop = data.draw(st.integers(start + 1, height))
    whole = pyramid.expand(coarse, (height, width))
    stripe = pyramid.expand_rows(coarse, start, stop, width)
    np.testing.assert_allclose(stripe, whole[start:stop], atol=1e-6)


@pytest.mark.parametrize("shape", [*SIZES, (33, 20, 3)])
def test_a_laplacian_pyramid_collapses_to_its_image(shape: tuple[int, ...]) -> None:
    image = random_image(shape)
    levels = pyramid.level_count(*shape[:2])
    details = laplacian_pyramid(image, levels)
    assert len(details) == levels
    np.testing.assert_allclose(collapse(details), image, atol=1e-6)


def test_level_count_follows_the_shorter_side() -> None:
    assert [pyramid.level_count(side, 5000) for side in (1, 2, 3, 4, 1023, 1024)] == [
        1,
        1,
        1,
        2,
        9,
        10,
    ]

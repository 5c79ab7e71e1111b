"""Corner error, success rate, and the share of differing bits."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ghostless.errors import InputError
from ghostless.research.metrics.alignment import bitmap_difference, corner_error, success_rate

from .pictures import photo

TRUE = np.array([[1.01, 0.02, -3.0], [-0.01, 0.99, 5.0], [1e-5, -2e-5, 1.0]])


def test_corner_error_of_a_shift_is_its_length() -> None:
    shifted = TRUE.copy()
    # A shift after the homography moves every corner alike.
    shift = np.array([[1, 0, 3], [0, 1, 4], [0, 0, 1]])
    assert corner_error(shift @ shifted, TRUE, 640, 480) == pytest.approx(5)


def test_corner_error_of_a_scaling_grows_with_the_picture() -> None:
    wider = np.diag([1.1, 1, 1])
    # Two of four corners move, by a tenth of the last column's number.
    assert corner_error(wider, np.eye(3), 101, 50) == pytest.approx(5)
    assert corner_error(wider, np.eye(3), 201, 50) == pytest.approx(10)


def test_a_homography_has_no_scale() -> None:
    assert corner_error(-2.5 * TRUE, TRUE, 640, 480) == pytest.approx(0, abs=1e-9)


def test_a_matrix_that_sends_a_corner_to_infinity_has_an_infinite_error() -> None:
    singular = np.array([[1, 0, 0], [0, 1, 0], [-1 / 100, 0, 1.0]])
    assert corner_error(singular, np.eye(3), 101, 50) == math.inf
    assert corner_error(np.full((3, 3), np.nan), np.eye(3), 101, 50) == math.inf


def test_success_rate_counts_what_lies_below_the_threshold() -> None:
    errors = [0.5, 1.9, 2.0, 7.0, math.inf]
    assert success_rate(errors) == pytest.approx(0.4)
    assert success_rate(errors, threshold_pixels=10) == pytest.approx(0.8)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(InputError, match="corner error"):
        success_rate([])
    with pytest.raises(InputError, match=r"\(3, 3\)"):
        corner_error(np.eye(2), np.eye(3), 10, 10)


def test_bits_agree_across_exposures_and_differ_across_shifts() -> None:
    dark, bright = (photo(160, 200, ev).astype(np.float32) for ev in (-1.0, 1.0))
    aligned = bitmap_difference(dark, bright)
    shares = [bitmap_difference(dark, np.roll(bright, pixels, axis=1)) for pixels in (1, 3, 9)]
    assert aligned < 0.01
    assert [aligned, *shares] == sorted([aligned, *shares])
    assert shares[-1] > 0.1

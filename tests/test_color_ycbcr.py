"""YCbCr and the chroma rule: the standard's numbers, round trips, a neutral pair."""

from __future__ import annotations

import numpy as np
import pytest

from ghostless.pixels import color


def pixel(*rgb: float):
    return np.array([[rgb]], np.float32)


@pytest.mark.parametrize(
    ("rgb", "ycbcr_8_bit"),
    [
        # The 8-bit numbers of JFIF (ITU-T T.871), its neutral 128 being 0.5 here.
        ((1, 1, 1), (255, 128, 128)),
        ((0, 0, 0), (0, 128, 128)),
        ((1, 0, 0), (76.245, 84.972, 255.5)),
        ((0, 1, 0), (149.685, 43.528, 21.235)),
        ((0, 0, 1), (29.07, 255.5, 107.265)),
    ],
)
def test_ycbcr_of_the_primaries(rgb, ycbcr_8_bit):
    found = color.rgb_to_ycbcr(pixel(*rgb))[0, 0] * 255
    expected = np.array(ycbcr_8_bit) - [0, 0.5, 0.5]
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_ycbcr_round_trip_also_of_colours_out_of_range():
    rgb = np.random.default_rng(0).uniform(-0.5, 1.5, (9, 7, 3)).astype(np.float32)
    back = color.ycbcr_to_rgb(color.rgb_to_ycbcr(rgb))
    np.testing.assert_allclose(back, rgb, atol=2e-6)


def test_a_neutral_pair_stays_neutral():
    neutral = np.full((2, 3), 0.5, np.float32)
    np.testing.assert_array_equal(color.fuse_chroma([neutral, neutral]), neutral)


def test_chroma_is_weighted_by_its_distance_from_neutral():
    first, second = np.float32([[0.5 + 0.3]]), np.float32([[0.5 - 0.1]])
    expected = 0.5 + (0.3 * 0.3 - 0.1 * 0.1) / (0.3 + 0.1)
    assert color.fuse_chroma([first, second])[0, 0] == pytest.approx(expected, abs=1e-6)
    neutral = np.float32([[0.5]])
    assert color.fuse_chroma([first, neutral])[0, 0] == pytest.approx(0.8, abs=1e-6)


def test_fusing_chroma_leaves_the_planes_alone_and_stays_between_them():
    random = np.random.default_rng(1)
    planes = [random.uniform(0, 1, (5, 6)).astype(np.float32) for _ in range(3)]
    copies = [plane.copy() for plane in planes]
    fused = color.fuse_chroma(planes)
    for plane, copy in zip(planes, copies, strict=True):
        np.testing.assert_array_equal(plane, copy)
    assert (fused >= np.min(planes, axis=0) - 1e-6).all()
    assert (fused <= np.max(planes, axis=0) + 1e-6).all()

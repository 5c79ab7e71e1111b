"""Shifts from threshold bitmaps, on scenes and on real pairs that are aligned as they are."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ghostless.align.mtb import mtb_shift
from tests.scenes import expose, make_radiance


def _float(pixels):
    return pixels.astype(np.float32)


@pytest.mark.parametrize("gap", [-3, 1, 3])
@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (5, -7), (-21, 13), (40, 38)])
def test_a_known_shift_is_found_at_any_exposure(gap, dx, dy):
    scene = make_radiance(420, 520, 2)
    first = expose(scene[60:360, 60:460], 0)
    second = expose(scene[60 - dy : 360 - dy, 60 - dx : 460 - dx], gap)
    assert mtb_shift(_float(first), _float(second)) == (dx, dy)


def test_flat_images_and_noise_do_not_move():
    flat = np.full((64, 64, 3), 120, np.float32)
    assert mtb_shift(flat, flat) == (0, 0)


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (30, 400)])
def test_small_images_pass(shape):
    image = _float(expose(make_radiance(*shape, seed=1), 0))
    assert mtb_shift(image, image) == (0, 0)


@pytest.mark.parametrize("pair", ["Memorial", "Office", "ICCV_03", "House"])
def test_real_pairs(shared, pair):
    folder = shared / "mefb30" / pair
    images = [
        _float(cv2.imread(str(next(folder.glob(f"{stem}.*"))))[..., ::-1])
        for stem in ("under", "over")
    ]
    assert mtb_shift(*images) == (0, 0)
    assert mtb_shift(images[0], np.roll(images[1], (-7, 5), axis=(0, 1))) == (5, -7)


def test_another_percentile_where_the_median_is_clipped():
    scene = make_radiance(420, 520, 3, range_stops=6)
    first = expose(scene[60:360, 60:460], 2.5)
    second = expose(scene[67:367, 55:455], 3)
    assert np.median(second) == 255
    assert mtb_shift(_float(first), _float(second)) == (5, -7)

"""Where things move between photos, before registration."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from ghostless.exposure.motion import moving_area, small_displays
from tests import scenes

STOPS = (-2.0, 0.0, 2.0)


def moving_in(radiances: scenes.Radiance | Sequence[scenes.Radiance]) -> np.ndarray:
    return moving_area(small_displays(scenes.make_frames(radiances, STOPS, noise=1.0)))


@pytest.mark.parametrize("seed", range(4))
def test_nothing_moves_in_a_still_scene(seed: int) -> None:
    assert moving_in(scenes.make_radiance(240, 320, seed, range_stops=8)).mean() < 0.005


def test_a_shift_of_the_camera_is_no_movement() -> None:
    scene = scenes.make_radiance(300, 400, 2, range_stops=5)
    shifted = [np.ascontiguousarray(scene[10 + d : 250 + d, 20 + d : 340 + d]) for d in (0, 7, -5)]
    assert moving_in(shifted).mean() < 0.02


def test_a_thing_that_moves_is_found_where_it_was_and_is() -> None:
    scene = scenes.make_radiance(240, 320, 3, range_stops=2)
    places = [(80, 120), (160, 120), (240, 120)]
    moving = moving_in([scenes.add_disc(scene, place, 25, (0.02, 0.02, 0.03)) for place in places])
    for x, y in places:
        assert moving[y - 8 : y + 8, x - 8 : x + 8].mean() > 0.8
    assert moving.mean() < 0.2


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (12, 9), (2000, 3)])
def test_any_size(size: tuple[int, int]) -> None:
    frames = scenes.make_frames(np.full((*size, 3), 0.2, np.float32), STOPS)
    assert not moving_area(small_displays(frames)).any()

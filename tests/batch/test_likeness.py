"""Whether two photos show one scene."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from ghostless.batch.likeness import compare, small_copy
from ghostless.batch.order import ALIKE, UNLIKE
from ghostless.bracket import Frame

from .. import scenes
from ..files import save_photo


def photo(seed: int, stops: float, *, turned: bool = False) -> Frame:
    pixels = scenes.expose(scenes.make_radiance(120, 180, seed=seed), stops, noise=1)
    return Frame(np.ascontiguousarray(np.rot90(pixels)) if turned else pixels)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("stops", [(-2, 0), (0, 2), (2, -2), (-3, 1), (0, -4)])
def test_exposures_of_one_scene_are_alike_and_their_difference_is_told(
    seed: int, stops: tuple[int, int]
) -> None:
    evidence = compare(photo(seed, stops[0]), photo(seed, stops[1]))
    assert evidence.likeness is not None
    assert evidence.likeness > ALIKE
    assert evidence.stops == pytest.approx(stops[1] - stops[0], rel=0.3)


@pytest.mark.parametrize("seed", range(6))
def test_two_scenes_are_not(seed: int) -> None:
    evidence = compare(photo(seed, 0), photo(seed + 1, 0))
    assert evidence.likeness is not None
    assert evidence.likeness < UNLIKE


def test_a_white_photo_says_nothing() -> None:
    white = Frame(np.full((120, 180, 3), 255, np.uint8))
    assert compare(photo(0, 0), white).likeness is None


def test_a_photo_tagged_the_wrong_way_round_is_known_again() -> None:
    evidence = compare(photo(0, 0), photo(0, 1, turned=True))
    assert evidence.likeness is not None
    assert evidence.likeness > ALIKE
    assert evidence.stops == pytest.approx(1, rel=0.3)
    upside_down = photo(0, 0)
    upside_down = Frame(np.ascontiguousarray(np.rot90(upside_down.pixels, 2)))
    assert (compare(photo(0, 1), upside_down).likeness or 0) > ALIKE
    assert (compare(photo(0, 0), photo(1, 0, turned=True)).likeness or 0) < UNLIKE


def test_small_copies_are_small_and_upright(tmp_path: Path) -> None:
    pixels = scenes.expose(scenes.make_radiance(900, 1400, seed=1), 0)
    upright = small_copy(save_photo(tmp_path / "a.jpg", pixels))  # type: ignore[arg-type]
    turned = small_copy(save_photo(tmp_path / "b.jpg", pixels, orientation=6))  # type: ignore[arg-type]
    assert upright.width > upright.height
    assert turned.height > turned.width
    assert upright.width * upright.height <= 20_200
    png = small_copy(save_photo(tmp_path / "c.png", pixels))  # type: ignore[arg-type]
    assert compare(upright, png).likeness > 0.98  # type: ignore[operator]


def test_real_brackets_are_told_apart(shared: Path) -> None:
    folders = sorted((shared / "static" / "sice").iterdir())[:6]
    brackets = [
        [small_copy(file) for file in sorted(folder.glob("[0-9]*.jpg"))] for folder in folders
    ]
    for bracket in brackets:
        for first, second in pairwise(bracket):
            assert compare(first, second).likeness > ALIKE  # type: ignore[operator]
    for one, other in pairwise(brackets):
        assert compare(one[-1], other[0]).likeness < ALIKE  # type: ignore[operator]

"""Which photos show something else than the others of their bracket."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ghostless.bracket import Bracket, Frame
from ghostless.exposure.reference import choose_reference, strangers_in
from ghostless.pipeline import FuseOptions, fuse_files
from ghostless.pixels.likeness import strangers

from . import scenes
from .files import save_photo


def photo(seed: int, stops: float) -> Frame:
    return Frame(scenes.expose(scenes.make_radiance(120, 180, seed=seed), stops, noise=1))


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("seed", range(3))
def test_a_photo_of_another_place_is_found_wherever_it_stands(seed: int, place: int) -> None:
    frames = [photo(seed, stops) for stops in (-2, 0, 2)]
    frames.insert(place, photo(seed + 10, place - 1))
    assert strangers(frames) == {place}


@pytest.mark.parametrize("seed", range(6))
def test_exposures_of_one_scene_are_no_strangers(seed: int) -> None:
    assert strangers([photo(seed, stops) for stops in (-5, -2, 0, 2, 4)]) == set()


def test_of_two_photos_and_of_three_places_nobody_can_tell() -> None:
    assert strangers([photo(0, -1), photo(1, 1)]) == set()
    assert strangers([photo(0, -1), photo(1, 1), photo(2, 0)]) == set()


def test_a_white_photo_is_no_stranger() -> None:
    white = Frame(np.full((120, 180, 3), 255, np.uint8))
    assert strangers([photo(0, -1), photo(0, 1), white]) == set()


def test_a_stranger_is_no_reference_even_where_it_is_the_best_exposed() -> None:
    bracket = Bracket((photo(0, -5), photo(7, 0), photo(0, -4)))
    assert [frame is bracket.frames[1] for frame in strangers_in(bracket)] == [True]
    assert choose_reference(bracket) != 1


@pytest.mark.parametrize("deghost", ["auto", "off"])
def test_the_line_says_so_once(tmp_path: Path, deghost: str) -> None:
    from ghostless.deghost import DeghostSettings

    files = []
    for number, (seed, stops) in enumerate(((0, -2), (0, 0), (7, 2))):
        files.append(tmp_path / f"IMG_{number}.png")
        save_photo(files[-1], photo(seed, stops).pixels)
    mode: dict = {"mode": deghost}
    options = FuseOptions(stops=(-2, 0, 2), deghost=DeghostSettings(**mode))
    notes = fuse_files(files, tmp_path / "out.png", options).notes
    assert sum("IMG_2.png shows something else" in note for note in notes) == 1

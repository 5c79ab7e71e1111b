"""Orientation tags that are at odds within one bracket: the pixels tell which way round."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ghostless.errors import BracketError
from ghostless.io.decode import turn
from ghostless.io.read import read_bracket
from ghostless.io.turns import inverse, then

from .. import scenes
from ..files import save_photo

STOPS = (-2.0, -1.0, 0.0, 1.0, 2.0)


def save(folder: Path, tags: tuple[int, ...], *, size=(60, 90), stored=None, suffix=".png"):  # type: ignore[no-untyped-def]
    """A bracket whose pixels lie as `stored` says (as if tagged 1), and whose tags are `tags`."""
    radiance = scenes.make_radiance(*size, seed=5)
    paths = []
    for number, tag in enumerate(tags):
        pixels = scenes.expose(radiance, STOPS[number % 5])
        lies = 1 if stored is None else stored[number]
        pixels = np.ascontiguousarray(turn(pixels, inverse(lies)))
        paths.append(
            save_photo(
                folder / f"p{number}{suffix}", pixels, stops=STOPS[number % 5], orientation=tag
            )  # type: ignore[arg-type]
        )
    return paths, radiance


def expected(radiance, stop: float, tag: int):  # type: ignore[no-untyped-def]
    return turn(scenes.expose(radiance, stop), tag)  # type: ignore[arg-type]


@pytest.mark.parametrize("odd", [2, 3, 4, 5, 6, 7, 8])
@pytest.mark.parametrize("size", [(60, 90), (64, 64)])
def test_one_frame_with_another_tag_is_laid_on_the_others(
    tmp_path: Path, odd: int, size: tuple[int, int]
) -> None:
    paths, radiance = save(tmp_path, (1, 1, odd), size=size)
    bracket = read_bracket(paths)
    for frame, stop in zip(bracket.frames, STOPS, strict=False):
        assert np.array_equal(frame.pixels, expected(radiance, stop, 1))
    assert len(bracket.notes) == 1
    assert "p2.png" in bracket.notes[0]
    assert "orientation tag" in bracket.notes[0]


def test_most_decide_whatever_their_tag(tmp_path: Path) -> None:
    paths, radiance = save(tmp_path, (6, 1, 6, 8, 6))
    bracket = read_bracket(paths)
    for frame, stop in zip(bracket.frames, STOPS, strict=False):
        assert np.array_equal(frame.pixels, expected(radiance, stop, 6))
    assert len(bracket.notes) == 2


def test_of_two_the_first_decides(tmp_path: Path) -> None:
    paths, radiance = save(tmp_path, (3, 1))
    bracket = read_bracket(paths)
    assert np.array_equal(bracket.frames[1].pixels, expected(radiance, STOPS[1], 3))


def test_a_camera_that_was_really_turned_is_believed(tmp_path: Path) -> None:
    paths, radiance = save(tmp_path, (1, 1, 3), stored=(1, 1, 3))
    bracket = read_bracket(paths)
    assert np.array_equal(bracket.frames[2].pixels, expected(radiance, STOPS[2], 1))
    assert not bracket.notes


def test_pixels_that_a_program_turned_without_changing_the_tag_are_turned_back(
    tmp_path: Path,
) -> None:
    # All were tagged 6; a viewer turned the last one's pixels and left its tag.
    paths, radiance = save(tmp_path, (6, 6, 6), stored=(1, 1, 8))
    turned = read_bracket(paths)
    assert np.array_equal(turned.frames[2].pixels, expected(radiance, STOPS[2], 6))
    assert len(turned.notes) == 1


def test_a_black_frame_goes_with_the_others(tmp_path: Path) -> None:
    paths, _ = save(tmp_path, (1, 1))
    black = save_photo(tmp_path / "black.png", np.zeros((60, 90, 3), np.uint8), orientation=8)
    assert read_bracket([*paths, black]).frames[2].pixels.shape == (60, 90, 3)


def test_a_portrait_photo_of_something_else_stays_an_error(tmp_path: Path) -> None:
    paths, _ = save(tmp_path, (1, 1))
    other = scenes.expose(scenes.make_radiance(60, 90, seed=77), 0)
    stranger = save_photo(tmp_path / "other.png", other, orientation=8)  # type: ignore[arg-type]
    with pytest.raises(BracketError, match="another orientation"):
        read_bracket([*paths, stranger])


@pytest.mark.parametrize("first", range(1, 9))
@pytest.mark.parametrize("second", range(1, 9))
def test_turns_make_a_group(first: int, second: int) -> None:
    picture = np.arange(6, dtype=np.uint8).reshape(2, 3)
    both = turn(turn(picture, first), second)
    assert np.array_equal(turn(picture, then(first, second)), both)
    assert then(first, inverse(first)) == 1


def test_the_case(shared: Path, tmp_path: Path) -> None:
    folder = shared / "cases" / "one_frame_tagged_upside_down"
    if not folder.is_dir():
        pytest.skip("needs ../shared/data/cases")
    truth = shared / "cases" / "one_frame_tagged_upside_down_truth"
    found, true = (read_bracket(sorted(place.iterdir())) for place in (folder, truth))
    for a, b in zip(found.frames, true.frames, strict=True):
        assert np.array_equal(a.pixels, b.pixels)

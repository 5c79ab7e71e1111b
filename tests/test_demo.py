"""The demo: its bracket is what it says it is, and the line beats doing nothing."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from ghostless.align import align_pair
from ghostless.bracket import Stack
from ghostless.demo import BRACKET, PHOTOS, REFERENCE, TRIPOD_PHOTOS
from ghostless.demo.__main__ import compare, compose, make_demo, tripod_stack
from ghostless.exposure.metadata import stops_from_metadata
from ghostless.io.read import read_bracket

STOPS = (-3.0, 0.0, 3.0)


@pytest.fixture(scope="module")
def still() -> Stack:
    return tripod_stack()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bracket at a quarter of its size, with its EXIF."""
    folder = tmp_path_factory.mktemp("bracket")
    for name in (*PHOTOS, *TRIPOD_PHOTOS):
        with Image.open(BRACKET / name) as photo:
            photo.reduce(4).save(folder / name, quality=95, exif=photo.getexif())
    return folder


def test_the_bracket_is_small_and_its_scene_spans_more_than_one_photo_holds(still: Stack) -> None:
    files = [BRACKET / name for name in (*PHOTOS, *TRIPOD_PHOTOS)]
    assert sum(file.stat().st_size for file in files) < 4e6
    assert still.frames[0].pixels.shape == (800, 1200, 3)
    clipped = [float((frame.pixels.max(axis=2) > 250).mean()) for frame in still.frames]
    black = [float((frame.pixels.max(axis=2) < 5).mean()) for frame in still.frames]
    assert clipped[0] < 0.02 < 0.2 < clipped[2]
    assert black[2] < 0.01 < 0.1 < black[0]


def test_photos_carry_their_true_exposure() -> None:
    bracket = read_bracket([BRACKET / name for name in PHOTOS])
    known = [stops_from_metadata(frame.metadata) for frame in bracket.frames]
    assert np.diff(known) == pytest.approx(np.diff(STOPS))  # type: ignore[arg-type]
    assert all(frame.metadata.camera for frame in bracket.frames)


def test_the_tripod_shows_the_reference_photo_without_its_noise(still: Stack) -> None:
    photo = read_bracket([BRACKET / name for name in PHOTOS]).frames[REFERENCE]
    difference = photo.pixels.astype(float) - still.frames[REFERENCE].pixels
    assert np.abs(difference).mean() < 6
    # Noise, and nothing else: it averages out.
    assert np.abs(cv2.blur(difference, (25, 25))[20:-20, 20:-20]).mean() < 1.0


def test_the_others_show_another_moment_from_another_place(still: Stack) -> None:
    bracket = read_bracket([BRACKET / name for name in PHOTOS])
    for n in (0, 2):
        difference = np.abs(bracket.frames[n].pixels.astype(float) - still.frames[n].pixels)
        assert np.percentile(difference, 95) > 20


def test_the_tripod_stands_still(still: Stack) -> None:
    middle = still.frames[REFERENCE]
    for n in (0, 2):
        matrix = align_pair(middle, still.frames[n]).matrix
        corners = np.array([[0, 0, 1], [1199, 0, 1], [0, 799, 1], [1199, 799, 1]], float)
        moved = corners @ matrix.T
        assert np.abs(moved[:, :2] / moved[:, 2:] - corners[:, :2]).max() < 1.0


def test_comparing_finds_what_differs() -> None:
    truth = np.full((10, 10, 3), 100, np.uint8)
    picture = truth.copy()
    picture[:5] += 20
    error, share = compare(picture, truth)
    assert error == pytest.approx(np.sqrt(200))
    assert share == 0.5
    assert compose([truth] * 3, truth, picture, 60).shape[1] == 60


def test_the_demo_beats_fusing_the_photos_as_they_are(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    errors = make_demo(tmp_path, small)
    assert errors["ours"] < 0.5 * errors["naive"]
    printed = capsys.readouterr().out
    for name in ("inputs", "naive.jpg", "ours.jpg", "truth.jpg", "side_by_side.jpg"):
        assert str(tmp_path / name) in printed
    with Image.open(tmp_path / "ours.jpg") as image:
        assert image.size == (300, 200)


def test_the_script_photographs_what_was_rendered(tmp_path: Path, still: Stack) -> None:
    pytest.importorskip("torch")
    from ghostless.research.demo_bracket import SHOTS, store

    assert tuple(shot.stops for shot in SHOTS) == STOPS
    light = np.ascontiguousarray(still.frames[0].linear()[::8, ::8])
    for name in ("a", "b"):
        store([light] * 3, tmp_path / name)
    for name in (*PHOTOS, *TRIPOD_PHOTOS):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    frames = read_bracket([tmp_path / "a" / name for name in PHOTOS]).frames
    assert [frame.metadata.shutter_seconds for frame in frames] == pytest.approx(
        [shot.shutter_seconds for shot in SHOTS]
    )
    assert frames[0].pixels.mean() < frames[1].pixels.mean() < frames[2].pixels.mean()

"""The demo: its bracket is what it says it is, and the line beats doing nothing."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from ghostless.demo import BRACKET, PHOTOS, REFERENCE, TRUTH
from ghostless.demo.__main__ import compare, compose, make_demo, tripod_stack
from ghostless.exposure.metadata import stops_from_metadata
from ghostless.io.read import read_bracket, read_image

STOPS = (-3.0, 0.0, 3.0)


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    return read_image(BRACKET / TRUTH).pixels


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bracket at a quarter of its size, with its EXIF."""
    folder = tmp_path_factory.mktemp("bracket")
    for name in PHOTOS:
        with Image.open(BRACKET / name) as photo:
            photo.reduce(4).save(folder / name, quality=95, exif=photo.getexif())
    import OpenEXR

    radiance = read_image(BRACKET / TRUTH).pixels
    reduced = cv2.resize(radiance, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    OpenEXR.File({}, {"RGB": reduced}).write(str(folder / TRUTH))
    return folder


def test_the_bracket_is_small_and_its_scene_spans_more_than_one_photo_holds(
    truth: np.ndarray,
) -> None:
    files = [BRACKET / name for name in (*PHOTOS, TRUTH)]
    assert sum(file.stat().st_size for file in files) < 4e6
    assert truth.shape == (800, 1200, 3)
    assert truth.min() >= 0
    low, high = np.percentile(truth.max(axis=2), (2, 98))
    assert np.log2(high / low) > 7


def test_photos_carry_their_true_exposure() -> None:
    bracket = read_bracket([BRACKET / name for name in PHOTOS])
    known = [stops_from_metadata(frame.metadata) for frame in bracket.frames]
    assert np.diff(known) == pytest.approx(np.diff(STOPS))  # type: ignore[arg-type]
    assert all(frame.metadata.camera for frame in bracket.frames)


def test_the_truth_is_the_light_of_the_reference_photo(truth: np.ndarray) -> None:
    photo = read_bracket([BRACKET / name for name in PHOTOS]).frames[REFERENCE]
    clean = tripod_stack(truth, STOPS).frames[REFERENCE]
    difference = photo.pixels.astype(float) - clean.pixels
    assert np.abs(difference).mean() < 6
    # Noise, and nothing else: it averages out.
    assert np.abs(cv2.blur(difference, (25, 25))[20:-20, 20:-20]).mean() < 1.0


def test_the_others_show_another_moment_from_another_place(truth: np.ndarray) -> None:
    bracket = read_bracket([BRACKET / name for name in PHOTOS])
    stack = tripod_stack(truth, STOPS)
    for n in (0, 2):
        difference = np.abs(bracket.frames[n].pixels.astype(float) - stack.frames[n].pixels)
        assert np.percentile(difference, 95) > 20


def test_the_tripod_stack_stands_still(truth: np.ndarray) -> None:
    frames = tripod_stack(truth, STOPS).frames
    linear = [frame.linear() / 2.0**stops for frame, stops in zip(frames, STOPS, strict=True)]
    well = [((frame.pixels > 60) & (frame.pixels < 240)).all(axis=2) for frame in frames]
    for a, b in ((0, 1), (1, 2)):
        both = well[a] & well[b]
        assert both.sum() > 100
        assert np.percentile(np.abs(np.log2(linear[a][both] / linear[b][both])), 95) < 0.05


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


def test_the_script_photographs_what_was_rendered(tmp_path: Path, truth: np.ndarray) -> None:
    pytest.importorskip("torch")
    from ghostless.research.demo_bracket import SHOTS, store

    assert tuple(shot.stops for shot in SHOTS) == STOPS
    light = np.ascontiguousarray(truth[::8, ::8])
    for name in ("a", "b"):
        store([light] * 3, tmp_path / name)
    for name in (*PHOTOS, TRUTH):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    frames = read_bracket([tmp_path / "a" / name for name in PHOTOS]).frames
    assert [frame.metadata.shutter_seconds for frame in frames] == pytest.approx(
        [shot.shutter_seconds for shot in SHOTS]
    )
    assert (frames[2].pixels == 255).mean() > 0.1

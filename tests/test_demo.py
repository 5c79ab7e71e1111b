"""The demo at a small size: the scene is the same each time, and the line beats doing nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ghostless.demo.__main__ import compare, compose, make_demo
from ghostless.demo.photograph import SHOTS, Scene, expose, take_bracket, true_stack
from ghostless.exposure import stops_from_metadata
from ghostless.io.read import read_bracket


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene(width=300)


def test_the_scene_spans_more_than_one_photo_holds(scene: Scene) -> None:
    radiance = scene.view(1, (0.0, 0.0, 0.0))
    assert radiance.shape == (200, 300, 3)
    assert np.isfinite(radiance).all()
    assert radiance.min() >= 0
    low, high = np.percentile(radiance.max(axis=2), (2, 98))
    assert np.log2(high / low) > 7


def test_the_passer_by_moves_and_the_room_does_not(scene: Scene) -> None:
    first, second = (scene.view(moment, (0.0, 0.0, 0.0)) for moment in (0, 1))
    changed = np.abs(np.log2((first + 1e-3) / (second + 1e-3))).max(axis=2) > 0.3
    assert 0.03 < changed.mean() < 0.3
    assert not changed[:, -20:].any()  # nobody has reached the right-hand wall


def test_photos_carry_their_true_exposure(scene: Scene, tmp_path: Path) -> None:
    files = take_bracket(scene, tmp_path)
    bracket = read_bracket(files)
    for frame, shot in zip(bracket.frames, SHOTS, strict=True):
        assert frame.metadata.shutter_seconds == pytest.approx(shot.shutter_seconds)
    known = [stops_from_metadata(frame.metadata) for frame in bracket.frames]
    assert np.diff(known) == pytest.approx(np.diff([shot.stops for shot in SHOTS]))  # type: ignore[arg-type]
    again = take_bracket(scene, tmp_path / "again")
    assert [a.read_bytes() for a in files] == [b.read_bytes() for b in again]


def test_exposing_clips_and_adds_noise_only_where_asked(scene: Scene) -> None:
    radiance = scene.view(0, (0.0, 0.0, 0.0))
    clean, noisy = expose(radiance, 0.0), expose(radiance, 0.0, seed=1)
    assert clean.max() == 255
    assert np.array_equal(clean, expose(radiance, 0.0))
    assert 0.2 < np.abs(noisy.astype(float) - clean).mean() < 6


def test_the_true_stack_stands_still(scene: Scene) -> None:
    stack = true_stack(scene, 1)
    frames = [(frame, 2.0**shot.stops) for frame, shot in zip(stack.frames, SHOTS, strict=True)]
    linear = [frame.linear() / gain for frame, gain in frames]
    well = [((frame.pixels > 60) & (frame.pixels < 240)).all(axis=2) for frame, _ in frames]
    for a, b in ((0, 1), (1, 2)):
        both = well[a] & well[b]
        assert both.sum() > 100
        assert np.abs(np.median(np.log2(linear[a][both] / linear[b][both]))) < 0.02
        assert np.percentile(np.abs(np.log2(linear[a][both] / linear[b][both])), 95) < 0.3


def test_comparing_finds_what_differs() -> None:
    truth = np.full((10, 10, 3), 100, np.uint8)
    picture = truth.copy()
    picture[:5] += 20
    error, share = compare(picture, truth)
    assert error == pytest.approx(np.sqrt(200))
    assert share == 0.5
    assert compose([truth] * 3, truth, picture, 60).shape[1] == 60


def test_the_demo_beats_fusing_the_photos_as_they_are(
    scene: Scene, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    errors = make_demo(scene, tmp_path)
    assert errors["ours"] < 0.7 * errors["naive"]
    printed = capsys.readouterr().out
    for name in ("inputs", "naive.jpg", "ours.jpg", "truth.jpg", "side_by_side.jpg"):
        assert str(tmp_path / name) in printed
    with Image.open(tmp_path / "ours.jpg") as image:
        assert image.size == (300, 200)

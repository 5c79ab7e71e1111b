"""Ghosts by hand: a photo that is to be shown in a part of the picture, or a part left alone."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from tests import scenes
from tests.files import save_shaken_bracket

import ghostless
from ghostless import pipeline
from ghostless.align import AlignSettings
from ghostless.bracket import Frame, Stack
from ghostless.deghost import DeghostSettings, Kept, deghost_stack
from ghostless.errors import BracketError, GhostlessError

STOPS = (-2.0, 0.0, 2.0)
PLACES = (60, 110, 160)


@pytest.fixture(scope="module")
def walking() -> Stack:
    """A red disc that walks from left to right."""
    scene = scenes.make_radiance(160, 220, 5, range_stops=3)
    radiances = [scenes.add_disc(scene, (x, 80), 20, (0.5, 0.06, 0.06)) for x in PLACES]
    return Stack(tuple(scenes.make_frames(radiances, STOPS, noise=0.5)), reference=1)


def mask_at(*columns: int) -> np.ndarray:
    mask = np.zeros((160, 220), np.uint8)
    for column in columns:
        mask[50:110, column - 28 : column + 28] = 255
    return mask


def redness(frame: Frame, column: int) -> float:
    part = frame.pixels[72:88, column - 8 : column + 8].astype(float).mean(axis=(0, 1))
    return float(part[0] / max(part[1], 1))


def test_a_kept_photo_is_shown_where_it_is_kept_and_the_reference_elsewhere(walking: Stack) -> None:
    # The disc of the darkest photo is kept, and its place in the reference is as that photo has it.
    kept = Kept(mask_at(60, 110), frame=0)
    for mode in ("auto", "off"):
        found = deghost_stack(walking, DeghostSettings(mode=mode), kept=[kept])
        for frame in found.frames:
            assert redness(frame, 60) > 1.7
            assert redness(frame, 110) < 1.4
        assert found.frames[0].pixels is walking.frames[0].pixels or mode == "auto"
    automatic = deghost_stack(walking)
    assert all(redness(frame, 110) > 1.7 for frame in automatic.frames)


def test_where_nothing_shall_be_replaced_frames_stay_as_they_are(walking: Stack) -> None:
    found = deghost_stack(walking, kept=[Kept(mask_at(*PLACES))])
    for frame, before in zip(found.frames, walking.frames, strict=True):
        np.testing.assert_array_equal(frame.pixels[60:100, 40:180], before.pixels[60:100, 40:180])


def test_the_later_decision_counts(walking: Stack) -> None:
    decisions = [Kept(mask_at(60, 110), frame=0), Kept(mask_at(60, 110), frame=1)]
    found = deghost_stack(walking, DeghostSettings(mode="off"), kept=decisions)
    assert all(redness(frame, 110) > 1.7 for frame in found.frames)
    assert all(redness(frame, 60) < 1.4 for frame in found.frames)


def test_wrong_masks_and_frames_are_one_clear_line(walking: Stack) -> None:
    with pytest.raises(BracketError, match="220 x 160 pixels, found one of 20 x 10"):
        deghost_stack(walking, kept=[Kept(np.zeros((10, 20), np.uint8), 0)])
    with pytest.raises(BracketError, match="from 0 to 2 to keep, found 3"):
        deghost_stack(walking, kept=[Kept(mask_at(60), 3)])


@pytest.fixture(scope="module")
def shaken(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return save_shaken_bracket(tmp_path_factory.mktemp("shaken"))


def disc_of_the_darkest(folder: Path) -> str:
    mask = np.zeros((200, 220), np.uint8)
    mask[70:130, 30:140] = 255
    cv2.imwrite(str(folder / "mask.png"), mask)
    return f"IMG_0:{folder / 'mask.png'}"


def test_masks_are_cropped_as_the_photos_are(shaken: list[Path], tmp_path: Path) -> None:
    keep = (disc_of_the_darkest(tmp_path),)
    whole = ghostless.fuse(shaken, keep=keep)
    cropped = ghostless.fuse(shaken, keep=keep, align=AlignSettings(crop=True))
    # What the darkest photo does not show lies at the left.
    left = whole.pixels.shape[1] - cropped.pixels.shape[1]
    assert 12 <= left <= 15
    assert "cropped to" in " ".join(cropped.notes)
    apart = np.abs(whole.pixels[80:120, 40:120] - cropped.pixels[80:120, 40 - left : 120 - left])
    assert apart.mean() < 0.02
    automatic = ghostless.fuse(shaken, align=AlignSettings(crop=True))
    apart = np.abs(whole.pixels[80:120, 40:120] - automatic.pixels[80:120, 40 - left : 120 - left])
    assert apart.mean() > 0.06


@pytest.mark.parametrize(
    ("size", "photo", "said"),
    [
        ((220, 200), "IMG_0", "expected a mask of the photos' size, 220 x 200 pixels"),
        ((200, 220), "IMG_7", "expected one of the photos"),
        ((200, 220), "3", "expected one of the photos"),
    ],
)
def test_what_cannot_be_kept_is_told_before_photos_are_aligned(
    shaken: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    size: tuple[int, int],
    photo: str,
    said: str,
) -> None:
    monkeypatch.setattr(pipeline, "align_bracket", lambda *_, **__: pytest.fail("aligned"))
    monkeypatch.setattr(pipeline, "assign_stops", lambda *_, **__: pytest.fail("exposures found"))
    cv2.imwrite(str(tmp_path / "mask.png"), np.full(size, 255, np.uint8))
    word = f"{photo}:{tmp_path / 'mask.png'}"
    with pytest.raises(GhostlessError, match=said):
        ghostless.fuse(shaken, keep=(word,))
    with pytest.raises(GhostlessError, match=said):
        ghostless.fuse_files(shaken, tmp_path / "out.jpg", ghostless.FuseOptions(keep=(word,)))
    assert not (tmp_path / "out.jpg").exists()


def test_a_mask_that_is_not_there_is_told_before_photos_are_read(shaken: list[Path]) -> None:
    with pytest.raises(GhostlessError, match="expected a mask's file behind the colon"):
        ghostless.fuse([shaken[0], Path("none.png")], keep=("IMG_0:nowhere.png",))

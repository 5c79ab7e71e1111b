"""Ghosts by hand: a photo that is to be shown in a part of the picture, or a part left alone."""

from __future__ import annotations

import numpy as np
import pytest
from tests import scenes

from ghostless.bracket import Frame, Stack
from ghostless.deghost import DeghostSettings, Kept, deghost_stack
from ghostless.errors import BracketError

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

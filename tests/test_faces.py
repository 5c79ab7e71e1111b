"""Faces as a reason for the reference, where the installed OpenCV can find them."""

from __future__ import annotations

import numpy as np
import pytest

from ghostless.bracket import Bracket
from ghostless.exposure import faces, reference

from . import scenes


def test_nobody_is_found_in_nothing() -> None:
    assert faces.faces_in(np.full((60, 80, 3), 128, np.float32)) == []


def test_a_frame_that_shows_a_face_is_preferred(monkeypatch: pytest.MonkeyPatch) -> None:
    bracket = Bracket(scenes.make_frames(scenes.make_radiance(240, 320, 4, range_stops=2), (-1, 0)))
    before = reference.choose_reference(bracket)
    seen = iter([[], []])
    other = 1 - before
    found = [[], []]
    found[other] = [(100, 60, 60, 60)]
    seen = iter(found)
    monkeypatch.setattr(reference, "faces_in", lambda display: next(seen))
    assert reference.choose_reference(bracket) == other


def test_a_face_that_a_frame_clips_is_lost_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = scenes.make_radiance(240, 320, 4, range_stops=2)
    scene[60:150, 100:190] = 0.9
    bracket = Bracket(scenes.make_frames(scene, (-2, 0, 2)))
    monkeypatch.setattr(reference, "faces_in", lambda display: [(100, 60, 90, 90)])
    chosen = reference.choose_reference(bracket)
    assert chosen == 0

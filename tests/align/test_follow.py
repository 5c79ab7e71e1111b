"""Frames follow the reference, moving things included, whatever their exposures."""

from __future__ import annotations

import numpy as np
import pytest

from ghostless.align.follow import follow
from ghostless.bracket import Frame
from tests.scenes import add_disc, expose, make_radiance

COLOUR = (0.5, 0.3, 0.15)


def moved_pair(stops: float, shift: int = 12) -> tuple[Frame, Frame, Frame]:
    """A reference, a frame in which a disc is elsewhere, and that frame had it not moved."""
    scene = make_radiance(160, 200, 3, range_stops=4)
    here, there = (add_disc(scene, (x, 80), 24, COLOUR) for x in (100, 100 + shift))
    frame, still = (Frame(expose(light, stops), stops=stops) for light in (there, here))
    return Frame(expose(here, 0), stops=0.0), frame, still


def misfit(frame: Frame, other: Frame, place: tuple[slice, slice]) -> float:
    apart = frame.pixels[place].astype(float) - other.pixels[place]
    return float(np.abs(apart).mean())


@pytest.mark.parametrize("stops", [-2.0, 2.0])
def test_a_thing_that_moved_is_brought_back(stops: float) -> None:
    reference, frame, still = moved_pair(stops)
    before = frame.pixels.copy()
    followed = follow(reference, frame)
    disc = slice(60, 100), slice(80, 120)
    assert misfit(followed, still, disc) < 0.35 * misfit(frame, still, disc)
    # What lies still stays, and what was given too.
    corner = slice(5, 40), slice(5, 60)
    assert misfit(followed, still, corner) < 2.0
    np.testing.assert_array_equal(frame.pixels, before)
    assert (followed.stops, followed.pixels.dtype) == (frame.stops, np.uint8)


def test_what_lies_beyond_the_frame_is_the_reference_exposed_alike() -> None:
    scene = make_radiance(160, 260, 7, range_stops=4)
    reference = Frame(expose(scene[:, :200], 0), stops=0.0)
    # The frame looks 30 pixels further to the right.
    frame = Frame(expose(scene[:, 30:230], 1), stops=1.0)
    wanted = Frame(expose(scene[:, :200], 1), stops=1.0)
    followed = follow(reference, frame)
    left = slice(20, 140), slice(0, 24)
    assert misfit(followed, wanted, left) < 6
    assert misfit(followed, wanted, left) < 0.3 * misfit(frame, wanted, left)


def test_light_that_only_the_frame_knows_is_kept_where_the_reference_clips() -> None:
    scene = make_radiance(160, 200, 5, range_stops=3)
    scene[40:120, 60:140] = 4 + np.random.default_rng(0).random((80, 80, 1))
    reference, frame = (Frame(expose(scene, stops), stops=stops) for stops in (0.0, -4.0))
    place = slice(50, 110), slice(70, 130)
    assert (reference.pixels[place] == 255).all()
    assert misfit(follow(reference, frame), frame, place) < 0.5 * frame.pixels[place].std()


def test_the_reference_and_tiny_frames_stay_as_they_are() -> None:
    reference, frame, _ = moved_pair(1.0)
    assert follow(reference, reference) is reference
    small = Frame(frame.pixels[:10, :40], stops=1.0)
    assert follow(Frame(reference.pixels[:10, :40], stops=0.0), small) is small


def test_floats_and_linear_frames_follow_too() -> None:
    reference, frame, still = moved_pair(2.0)
    disc = slice(60, 100), slice(80, 120)
    light = [Frame(f.linear(), "linear", stops=f.stops) for f in (reference, frame, still)]
    assert misfit(follow(light[0], light[1]), light[2], disc) < 0.5 * misfit(
        light[1], light[2], disc
    )

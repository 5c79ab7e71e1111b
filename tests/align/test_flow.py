"""Dense flow repairs what a matrix cannot, and leaves flat areas alone."""

from __future__ import annotations

import cv2
import numpy as np

from ghostless.align import AlignSettings, align_bracket
from ghostless.align.flow import residual_flow
from ghostless.bracket import Bracket, Frame
from tests.scenes import add_disc, expose, make_radiance

HEIGHT, WIDTH = 240, 320


def _bent(radiance, strength: float):
    """A scene bent smoothly, by up to `strength` pixels, as parallax would."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    dx = strength * np.sin(x / 50) * np.cos(y / 40)
    dy = strength * np.cos(x / 45 + 1) * np.sin(y / 55)
    return cv2.remap(radiance, x + dx, y + dy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


def _misfit(stack, wanted):
    inner = slice(20, -20)
    apart = stack.frames[1].pixels[inner, inner].astype(float) - wanted[inner, inner]
    return float(np.sqrt(np.mean(apart**2)))


def test_flow_improves_a_bent_scene():
    scene = make_radiance(HEIGHT, WIDTH, 3, range_stops=5)
    wanted = expose(scene, 1)
    bracket = Bracket((Frame(expose(scene, 0)), Frame(expose(_bent(scene, 3), 1))))
    plain = align_bracket(bracket, AlignSettings(), reference=0)
    flowed = align_bracket(bracket, AlignSettings(model="flow"), reference=0)
    assert flowed.registrations[1].model == "flow"
    assert _misfit(flowed, wanted) < 0.6 * _misfit(plain, wanted)


def test_flow_is_zero_where_there_is_nothing_to_see():
    scene = make_radiance(HEIGHT, WIDTH, 4, range_stops=5)
    scene[:, 200:] = 100.0
    first, second = expose(scene, 0), expose(_bent(scene, 3), 2)
    grays = [image.astype(np.float32).mean(axis=2) for image in (first, second)]
    flow = residual_flow(*grays, np.eye(3))
    assert flow is not None
    length = np.linalg.norm(flow, axis=2)
    assert length[:, :150].mean() > 0.5
    assert length[:, 240:].max() < 0.05
    # No tearing: neighbouring vectors differ by much less than a pixel.
    assert np.abs(np.diff(flow, axis=1)).max() < 0.7


def test_flow_of_equal_frames_changes_nothing_to_speak_of():
    scene = make_radiance(HEIGHT, WIDTH, 5)
    bracket = Bracket((Frame(expose(scene, 0)), Frame(expose(scene, 2))))
    stack = align_bracket(bracket, AlignSettings(model="flow"), reference=0)
    apart = np.abs(stack.frames[1].pixels.astype(int) - bracket.frames[1].pixels)
    assert np.mean(apart > 3) < 0.01


def test_a_thing_that_walked_far_is_not_torn():
    scene = make_radiance(HEIGHT, WIDTH, 6, range_stops=4)
    views = [add_disc(scene, (x, 120), 45, (0.6, 0.3, 0.2)) for x in (140, 148)]
    grays = [
        expose(view, ev).astype(np.float32).mean(axis=2)
        for view, ev in zip(views, (0, 2), strict=True)
    ]
    flow = residual_flow(*grays, np.eye(3))
    if flow is not None:
        assert max(np.abs(np.diff(flow, axis=axis)).max() for axis in (0, 1)) < 0.5

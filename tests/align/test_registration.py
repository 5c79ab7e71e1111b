"""The cascade finds known motions, and never leaves a frame worse off."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ghostless.align import AlignSettings, align_bracket, align_pair, cascade
from ghostless.align.proxy import make_proxy
from ghostless.bracket import Bracket, Frame
from ghostless.errors import BracketError, OptionError
from tests.align.motions import (
    MARGIN,
    corner_errors,
    corner_homography,
    seen_from,
    shaken_bracket,
    shift_matrix,
)
from tests.scenes import add_disc, expose, make_radiance

HEIGHT, WIDTH = 200, 280
STILL = np.eye(3)


def _scene(seed: int = 0, height: int = HEIGHT, width: int = WIDTH, **how: float):
    return make_radiance(height + 2 * MARGIN, width + 2 * MARGIN, seed, **how)


def _worst(registration, truth, shape=(HEIGHT, WIDTH)) -> float:
    return float(corner_errors(registration.matrix, truth, shape).max())


@settings(max_examples=6, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 5),
    gap=st.sampled_from([-3.0, -2.0, 2.0, 3.0]),
    moves=st.lists(
        st.tuples(st.floats(-7, 7, width=32), st.floats(-7, 7, width=32)), min_size=4, max_size=4
    ),
)
def test_a_known_homography_is_recovered(seed, gap, moves):
    truth = corner_homography(HEIGHT, WIDTH, moves)
    bracket = shaken_bracket(_scene(seed), [0, gap], [STILL, truth], noise=1.0)
    found = align_pair(*bracket.frames)
    assert _worst(found, truth) < 1.0


@pytest.mark.parametrize(
    ("truth", "model"),
    [
        (shift_matrix(6.4, -3.7), "shift"),
        (np.array([[0.999, -0.02, 5], [0.02, 0.999, -4], [0, 0, 1]]), "affine"),
        (
            corner_homography(HEIGHT, WIDTH, [[9, 3], [-7, 4], [8, -6], [-9, -2]]),
            "homography",
        ),
    ],
)
def test_the_simplest_model_that_explains_the_motion_is_chosen(truth, model):
    bracket = shaken_bracket(_scene(3), [0, 2], [STILL, truth], noise=1.0)
    found = align_pair(*bracket.frames)
    assert found.model == model
    assert _worst(found, truth) < 0.5
    assert found.improvement > 0.3
    assert found.matches >= found.inliers > 20
    assert found.residual_pixels < 2


def test_equal_views_keep_their_pixels_untouched():
    bracket = shaken_bracket(_scene(1), [-2, 0, 2], [STILL] * 3, noise=1.0)
    stack = align_bracket(bracket, reference=1)
    for before, after, registration in zip(
        bracket.frames, stack.frames, stack.registrations, strict=True
    ):
        assert after.pixels is before.pixels
        assert np.array_equal(registration.matrix, STILL)
    assert [r.model for r in stack.registrations] == ["identity", "reference", "identity"]
    assert stack.valid == (None, None, None)


def test_a_moving_object_does_not_pull_the_fit():
    scene = _scene(4)
    radius = np.sqrt(0.2 * HEIGHT * WIDTH / np.pi)
    truth = shift_matrix(3.3, 2.2)
    views = [
        add_disc(scene, (x + MARGIN, 100 + MARGIN), radius, (0.9, 0.5, 0.3)) for x in (110, 160)
    ]
    first = Frame(expose(seen_from(views[0], STILL), 0, noise=1.0))
    second = Frame(expose(seen_from(views[1], truth), 2, noise=1.0, seed=1))
    assert _worst(align_pair(first, second), truth) < 0.5


def test_a_moving_object_before_a_still_camera_moves_nothing():
    scene = _scene(5)
    views = [add_disc(scene, (x + MARGIN, 90 + MARGIN), 45, (0.9, 0.5, 0.3)) for x in (120, 127)]
    frames = [Frame(expose(seen_from(v, STILL), ev, noise=1.0)) for v, ev in zip(views, (0, 2))]  # noqa: B905
    assert _worst(align_pair(*frames), STILL) < 0.3


@pytest.mark.parametrize("seed", range(3))
def test_noise_without_a_scene_is_left_alone(seed):
    random = np.random.default_rng(seed)
    frames = [Frame(random.integers(0, 256, (90, 120, 3), dtype=np.uint8)) for _ in range(2)]
    found = align_pair(*frames)
    assert found.model == "identity"
    assert found.notes


def test_far_exposures_are_chained_through_their_neighbours():
    truths = [shift_matrix(4 * k, -3 * k) for k in range(5)]
    bracket = shaken_bracket(
        _scene(6, range_stops=10), [-6, -3, 0, 3, 6], truths, noise=1.0, known=True
    )
    stack = align_bracket(bracket, reference=0)
    for registration, truth in zip(stack.registrations, truths, strict=True):
        assert _worst(registration, truth) < 1.0


def test_a_chained_motion_is_not_said_to_be_left_as_it_is(monkeypatch):
    """Where the direct way finds nothing and the chain is taken, only that is told."""
    shown = shaken_bracket(_scene(6), [0, 2], [np.eye(3), shift_matrix(6, 4)], noise=1.0)
    proxies = [make_proxy(frame, 1_500_000) for frame in shown.frames]
    pair = cascade.Pair(*proxies)
    found = cascade.estimate_motion(pair, "auto")
    said = "no motion fits clearly better than none; left as it is"
    nothing = replace(found, motion=found.unmoved, notes=("few features", said))
    answers = iter([found, nothing])
    monkeypatch.setattr(cascade, "estimate_motion", lambda *words: next(answers))
    estimate = cascade.estimate_chained(pair, np.eye(3), *proxies, "auto")
    assert estimate.motion is not found.unmoved
    assert estimate.notes == ("few features", "motion chained through the neighbouring exposure")


def test_twenty_frames():
    truths = [shift_matrix(0.5 * k, 0.3 * k) for k in range(20)]
    scene = make_radiance(96 + 2 * MARGIN, 120 + 2 * MARGIN, 2)
    bracket = shaken_bracket(scene, np.linspace(-4, 4, 20), truths)
    told: list[float] = []
    stack = align_bracket(bracket, reference=10, progress=told.append)
    base = np.linalg.inv(truths[10])
    errors = [
        _worst(r, t @ base, (96, 120)) for r, t in zip(stack.registrations, truths, strict=True)
    ]
    assert max(errors) < 1.0
    assert told == sorted(told)
    assert told[-1] == 1


@pytest.mark.parametrize(
    ("depth", "linear"), [(8, False), (16, False), (16, True), (32, True), (8, True)]
)
def test_every_type_and_transfer_is_aligned_and_kept(depth, linear):
    truth = shift_matrix(5, -3)
    bracket = shaken_bracket(_scene(7), [0, 2], [STILL, truth], depth=min(depth, 16), linear=linear)
    if depth == 32:
        frames = tuple(
            Frame((f.pixels / np.float32(65535)).astype(np.float32), transfer="linear")
            for f in bracket.frames
        )
        bracket = Bracket(frames)
    stack = align_bracket(bracket, reference=0)
    assert _worst(stack.registrations[1], truth) < 0.5
    assert stack.frames[1].pixels.dtype == bracket.frames[1].pixels.dtype
    assert np.isfinite(stack.frames[1].pixels).all()


def test_very_dark_frames_are_aligned():
    truth = shift_matrix(-4, 6)
    bracket = shaken_bracket(_scene(8, range_stops=6), [-7.5, 0], [STILL, truth])
    assert np.percentile(bracket.frames[0].pixels, 90) < 10
    assert _worst(align_pair(*bracket.frames), truth) < 1.0


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (5, 400), (16, 16), (17, 40)])
def test_small_frames_pass(shape):
    frames = tuple(Frame(expose(make_radiance(*shape, seed=1), ev)) for ev in (-1, 0, 1))
    stack = align_bracket(Bracket(frames), reference=1)
    assert all(frame.pixels.shape == (*shape, 3) for frame in stack.frames)


@pytest.mark.parametrize("codes", [(0, 0), (255, 255), (0, 255), (90, 180)])
def test_flat_and_clipped_frames_are_left_alone(codes):
    frames = tuple(Frame(np.full((120, 160, 3), code, np.uint8)) for code in codes)
    stack = align_bracket(Bracket(frames), reference=0)
    assert stack.frames[1].pixels is frames[1].pixels
    assert stack.registrations[1].model == "identity"


def test_a_repeating_facade_finds_its_true_shift():
    y, x = np.mgrid[: 240 + 2 * MARGIN, : 320 + 2 * MARGIN]
    windows = ((x % 24 < 12) & (y % 32 < 18)).astype(np.float32)
    scene = np.repeat((0.05 + 0.4 * windows)[..., None], 3, axis=2)
    scene *= 0.8 + 0.4 * make_radiance(*scene.shape[:2], seed=9, range_stops=1)
    truth = shift_matrix(5, 3)
    bracket = shaken_bracket(scene.astype(np.float32), [0, 2], [STILL, truth], noise=1.0)
    assert _worst(align_pair(*bracket.frames), truth, (240, 320)) < 0.5


def test_settings_bound_the_model():
    truth = corner_homography(HEIGHT, WIDTH, [[6, 2], [-5, 3], [5, -4], [-6, -2]])
    bracket = shaken_bracket(_scene(3), [0, 2], [STILL, truth])
    shift = align_pair(*bracket.frames, AlignSettings(model="shift"))
    assert shift.model in ("shift", "identity")
    assert np.array_equal(shift.matrix[:2, :2], np.eye(2))
    affine = align_pair(*bracket.frames, AlignSettings(model="affine"))
    assert np.allclose(affine.matrix[2], (0, 0, 1), atol=1e-9)
    stack = align_bracket(bracket, AlignSettings(model="none"), reference=0)
    assert stack.frames == bracket.frames


def test_results_do_not_change_from_run_to_run():
    truth = corner_homography(HEIGHT, WIDTH, [[6, 2], [-5, 3], [5, -4], [-6, -2]])
    bracket = shaken_bracket(_scene(2), [0, 2], [STILL, truth], noise=1.0)
    first, second = (align_pair(*bracket.frames) for _ in range(2))
    assert np.array_equal(first.matrix, second.matrix)


def test_bad_settings_and_references_are_refused():
    frames = tuple(Frame(np.zeros((20, 20, 3), np.uint8)) for _ in range(2))
    with pytest.raises(OptionError, match="homography"):
        AlignSettings(model="homografy")  # type: ignore[arg-type]
    with pytest.raises(BracketError, match="from 0 to 1"):
        align_bracket(Bracket(frames), reference=2)
    with pytest.raises(BracketError, match="another size"):
        align_pair(frames[0], Frame(np.zeros((20, 21, 3), np.uint8)))

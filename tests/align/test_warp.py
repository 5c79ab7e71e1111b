"""Resampling, validity masks, filling and cropping."""

from __future__ import annotations

import numpy as np
import pytest

from ghostless.align import AlignSettings, align_bracket
from ghostless.align.proxy import make_proxy, to_full_size
from ghostless.align.warp import common_rectangle, fill_from_reference, warp_pixels
from ghostless.bracket import Frame
from tests.align.motions import MARGIN, corner_errors, shaken_bracket, shift_matrix
from tests.scenes import expose, make_radiance


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_whole_pixel_shift_moves_pixels_exactly(dtype):
    random = np.random.default_rng(0)
    pixels = (random.random((50, 60, 3)) * (1 if dtype == np.float32 else 255)).astype(dtype)
    warped, valid = warp_pixels(Frame(pixels), shift_matrix(3, -2))
    assert warped.dtype == dtype
    np.testing.assert_allclose(warped[2:, :-3], pixels[:-2, 3:], rtol=1e-5)
    assert valid is not None
    assert valid[2:, :-3].min() == 255
    assert valid[:2].max() == 0
    assert valid[:, -3:].max() == 0


def test_stripes_leave_no_seam(monkeypatch):
    frame = Frame(expose(make_radiance(120, 90, 1), 0))
    matrix = np.array([[1.01, 0.03, -4.2], [-0.02, 0.99, 5.7], [1e-5, -2e-5, 1]])
    whole, whole_valid = warp_pixels(frame, matrix)
    monkeypatch.setattr("ghostless.align.warp._STRIPE_PIXELS", 900)
    striped, striped_valid = warp_pixels(frame, matrix)
    assert np.abs(whole.astype(int) - striped).max() <= 1
    assert np.array_equal(whole_valid, striped_valid)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_lamps_in_linear_light_get_no_black_rings(dtype):
    pixels = np.full((40, 40, 3), 300, dtype)
    pixels[18:22, 18:22] = 60000
    warped, _ = warp_pixels(Frame(pixels, transfer="linear"), shift_matrix(0.4, 0.3))
    assert warped.min() >= 299
    assert warped.max() <= 60000


def test_proxies_and_full_frames_share_pixel_centres():
    matrix = np.array([[1.002, -0.01, 3.5], [0.012, 0.997, -2.25], [1e-5, 2e-5, 1]])
    full = to_full_size(matrix, (100, 150), (400, 600))
    point = np.array([37.0, 58.0])
    sent = matrix @ [*point, 1]
    on_full = full @ [*((point + 0.5) * 4 - 0.5), 1]
    np.testing.assert_allclose(
        (sent[:2] / sent[2] + 0.5) * 4 - 0.5, on_full[:2] / on_full[2], atol=1e-9
    )


def test_reduced_proxies_give_full_size_motions():
    scene = make_radiance(600 + 2 * MARGIN, 800 + 2 * MARGIN, 3)
    truth = shift_matrix(9.5, -6.25)
    bracket = shaken_bracket(scene, [0, 2], [np.eye(3), truth])
    settings = AlignSettings(proxy_pixels=60_000)
    assert make_proxy(bracket.frames[0], settings.proxy_pixels).shape[:2] == (212, 283)
    found = align_bracket(bracket, settings, reference=0).registrations[1]
    assert corner_errors(found.matrix, truth, (600, 800)).max() < 0.5


def test_borders_are_filled_with_the_reference_re_exposed():
    scene = make_radiance(200 + 2 * MARGIN, 260 + 2 * MARGIN, 4, range_stops=5)
    truth = shift_matrix(25, -18)
    bracket = shaken_bracket(scene, [0, 1.5], [np.eye(3), truth])
    stack = align_bracket(bracket, reference=0)
    wanted = shaken_bracket(scene, [0, 1.5], [np.eye(3), np.eye(3)]).frames[1].pixels
    valid = stack.valid[1]
    assert valid is not None
    assert 0.1 < np.mean(valid == 0) < 0.3
    apart = np.abs(stack.frames[1].pixels.astype(int) - wanted)
    assert np.median(apart[valid == 0]) <= 4
    assert np.percentile(apart[valid == 0], 90) <= 16
    assert stack.valid[0] is None


def test_a_frame_that_covers_nothing_becomes_the_reference():
    reference = Frame(expose(make_radiance(30, 40, 1), 0))
    frame = Frame(np.zeros((30, 40, 3), np.uint8))
    filled = fill_from_reference(reference, frame, np.zeros((30, 40), np.uint8))
    assert np.array_equal(filled.pixels, reference.pixels)


def test_crop_cuts_all_frames_to_what_all_cover():
    scene = make_radiance(200 + 2 * MARGIN, 260 + 2 * MARGIN, 5)
    truths = [shift_matrix(10, 0), np.eye(3), shift_matrix(-5, 12)]
    bracket = shaken_bracket(scene, [-2, 0, 2], truths)
    stack = align_bracket(bracket, AlignSettings(crop=True), reference=1)
    height, width = stack.frames[0].pixels.shape[:2]
    assert 200 - 12 - 3 <= height <= 200 - 12
    assert 260 - 15 - 3 <= width <= 260 - 15
    assert stack.valid == (None, None, None)
    assert any("cropped" in note for note in stack.notes)
    rows, columns = slice(0, height), slice(5, 5 + width)
    apart = np.abs(stack.frames[1].pixels.astype(int) - bracket.frames[1].pixels[rows, columns])
    assert apart.max() == 0


def test_the_largest_common_rectangle():
    first = np.full((60, 80), 255, np.uint8)
    first[:10] = 0
    second = np.full((60, 80), 255, np.uint8)
    second[:, 70:] = 0
    second[55, 3] = 0
    assert common_rectangle([first, None, second], (60, 80)) == (slice(10, 60), slice(4, 70))
    assert common_rectangle([None, None], (60, 80)) is None
    assert common_rectangle([np.zeros((60, 80), np.uint8)], (60, 80)) is None

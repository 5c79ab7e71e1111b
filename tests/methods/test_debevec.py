from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.scenes import make_radiance, make_stack

from ghostless.bracket import Frame, Stack
from ghostless.errors import BracketError, OptionError
from ghostless.exposure.curves import camera_curve
from ghostless.methods.debevec import DebevecSettings, fuse
from ghostless.pixels import color

SRGB = DebevecSettings(response="srgb")


def stops_off(found: NDArray[np.float32], truth: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.abs(np.log2(np.maximum(found, 1e-9) / np.maximum(truth, 1e-9)))


def patches(*columns: tuple[float, float, float]) -> NDArray[np.float32]:
    """Radiance (8, 8 n, 3) of flat patches side by side."""
    return np.repeat(np.repeat(np.float32([columns]), 8, axis=0), 8, axis=1)


@pytest.mark.parametrize("weighting", ["noise", "hat"])
@pytest.mark.parametrize(("depth", "linear"), [(8, False), (16, False), (16, True)])
def test_radiance_is_recovered(weighting: str, depth: int, linear: bool) -> None:
    radiance = np.clip(make_radiance(120, 160, seed=2), 0.003, 8)
    stack = make_stack(radiance, [-4, -1, 2], depth=depth, linear=linear)
    fused = fuse(stack, DebevecSettings("srgb", weighting))  # type: ignore[arg-type]
    scale = np.float32(2.0**-1)  # the reference frame lets in one stop less than 1
    off = stops_off(fused.pixels, radiance * scale)
    bright = radiance.max(axis=2) > 0.02
    assert fused.space == "linear"
    assert np.quantile(off[bright], 0.99) < (0.08 if depth == 8 else 0.005)
    assert off.max() < (0.7 if depth == 8 else 0.05)


def test_one_means_what_just_clips_in_the_reference() -> None:
    radiance = patches((1, 1, 1), (0.25, 0.25, 0.25))
    frames = make_stack(radiance, [-2, 0, 2], depth=16).frames
    for reference, stops in enumerate((-2, 0, 2)):
        fused = fuse(Stack(frames, reference), SRGB).pixels
        np.testing.assert_allclose(fused[0, 0], 2.0**stops, rtol=1e-3)
        np.testing.assert_allclose(fused[0, 12], 0.25 * 2.0**stops, rtol=1e-3)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-6, 6), min_size=1, max_size=6), st.booleans(), st.integers(0, 9))
def test_more_light_never_gives_less_radiance(stops: list[float], linear: bool, seed: int) -> None:
    stops = sorted(stops)
    ramp = np.geomspace(1e-4, 200, 400, dtype=np.float32)
    tint = np.random.default_rng(seed).uniform(0.2, 1, 3).astype(np.float32)
    radiance = np.repeat((ramp[:, None] * tint)[None], 2, axis=0)
    stack = make_stack(radiance, stops, depth=16, linear=linear)
    fused = fuse(stack, SRGB).pixels[0]
    assert (np.diff(fused, axis=0) >= -2e-3 * fused[1:] - 2e-4).all()


def test_clipped_channels_never_leak_into_the_colour() -> None:
    # The red of the patch clips in the middle frame, red and green in the bright one.
    orange = (1.6, 0.7, 0.1)
    stack = make_stack(patches(orange, (0.2, 0.2, 0.2)), [-2, 0, 2], depth=16)
    fused = fuse(stack, SRGB).pixels
    np.testing.assert_allclose(fused[4, 4], orange, rtol=2e-3)


def test_a_highlight_edge_keeps_its_hue() -> None:
    """Along a ramp through all clipping points the ratio of the channels stays."""
    ramp = np.geomspace(0.01, 3.5, 600, dtype=np.float32)
    radiance = np.repeat((ramp[:, None] * np.float32([1, 0.6, 0.3]))[None], 4, axis=0)
    fused = fuse(make_stack(radiance, [-2, 0, 2], depth=16), SRGB).pixels[0]
    np.testing.assert_allclose(fused[:, 1] / fused[:, 0], 0.6, rtol=0.01)
    np.testing.assert_allclose(fused[:, 2] / fused[:, 0], 0.3, rtol=0.01)


def test_where_all_clip_the_darkest_shows_white_and_where_all_are_black_the_brightest() -> None:
    radiance = patches((900, 900, 900), (0, 0, 0), (2e-4, 2e-4, 2e-4))
    fused = fuse(make_stack(radiance, [-3, 0, 3]), SRGB).pixels
    np.testing.assert_allclose(fused[4, 4], 8, rtol=1e-5)
    assert (fused[4, 12] == 0).all()
    # 2e-4 is code 5 of 255 in the brightest frame and black in the others
    np.testing.assert_allclose(fused[4, 20], 2e-4, rtol=0.2)


def test_between_a_black_and_a_clipped_frame_the_black_one_is_believed() -> None:
    radiance = patches((0.5, 0.5, 0.5))
    fused = fuse(make_stack(radiance, [-9, 3], depth=16), SRGB).pixels
    np.testing.assert_allclose(fused * 2.0**-3, 0.5, rtol=0.02)


def test_longer_exposures_lower_the_noise() -> None:
    radiance = np.full((100, 100, 3), 0.02, np.float32)
    stack = make_stack(radiance, [-4, -2, 0, 2], depth=16, noise=1, linear=True)
    truth = 0.02 * 2.0 ** stack.stops[stack.reference]
    spread = float(fuse(stack, SRGB).pixels.std()) / truth
    hat = float(fuse(stack, DebevecSettings("srgb", "hat")).pixels.std()) / truth
    alone = float((stack.frames[3].linear()).std()) / 0.08
    assert spread < 1.02 * alone
    assert spread < hat


def test_masks_hide_a_frame_wholly() -> None:
    radiance = np.clip(make_radiance(60, 80, seed=4), 0.01, 0.9)
    stack = make_stack(radiance, [-2, 0, 1], depth=16)
    mask = np.full((60, 80), 255, np.uint8)
    mask[20:40, 30:60] = 0
    frames = list(stack.frames)
    garbage = frames[0].pixels.copy()
    garbage[mask == 0] = 12345
    frames[0] = replace(frames[0], pixels=garbage)
    masks = (mask, None, None)
    clean = fuse(replace(stack, confidence=masks), SRGB).pixels
    dirty = fuse(replace(stack, frames=tuple(frames), confidence=masks), SRGB).pixels
    np.testing.assert_array_equal(clean, dirty)
    np.testing.assert_allclose(dirty, radiance, rtol=0.01)


def test_a_masked_highlight_falls_to_the_next_frame_as_softly_as_the_mask() -> None:
    radiance = np.full((40, 200, 3), 3.0, np.float32)  # clips in all but the darkest frame
    stack = make_stack(radiance, [-2, 0, 2], depth=16)
    mask = np.full((40, 200), 255, np.uint8)
    mask[:, 100:] = 0
    mask = cv2.GaussianBlur(mask, (0, 0), 8)
    row = fuse(replace(stack, confidence=(mask, None, None)), SRGB).pixels[20, :, 0]
    assert row[0] == pytest.approx(3, rel=1e-3)
    assert row[-1] == pytest.approx(1, rel=1e-3)
    assert (np.diff(row) <= 1e-4).all()
    assert np.abs(np.diff(row)).max() < 5 * np.abs(np.diff(mask[20] / 255.0)).max()


def test_where_all_frames_are_masked_the_reference_is_taken() -> None:
    stack = make_stack(make_radiance(30, 40, seed=5), [-2, 0, 2])
    nothing = np.zeros((30, 40), np.uint8)
    fused = fuse(replace(stack, valid=(nothing,) * 3), SRGB).pixels
    np.testing.assert_allclose(fused, stack.frames[1].linear(), atol=1e-6)


def test_order_does_not_matter_and_one_frame_is_itself() -> None:
    stack = make_stack(make_radiance(30, 40, seed=6), [-2, 0, 2])
    turned = Stack(stack.frames[::-1], 1)
    np.testing.assert_allclose(fuse(turned, SRGB).pixels, fuse(stack, SRGB).pixels, rtol=1e-4)
    single = Stack(stack.frames[:1], 0)
    np.testing.assert_allclose(
        fuse(single, SRGB).pixels, single.frames[0].linear(), rtol=1e-5, atol=1e-7
    )


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 24),
    st.integers(1, 24),
    st.lists(st.floats(-12, 12), min_size=1, max_size=20),
    st.sampled_from(["uint8", "uint16", "linear", "float"]),
    st.booleans(),
    st.sampled_from(["noise", "hat"]),
)
def test_output_is_finite_and_not_negative(
    height: int, width: int, stops: list[float], kind: str, masked: bool, weighting: str
) -> None:
    random = np.random.default_rng(height * 31 + width)
    frames = []
    for value in stops:
        if kind == "float":
            pixels = (random.standard_normal((height, width, 3)) * 3).astype(np.float32)
            pixels[0, 0] = np.nan, np.inf, -np.inf
            frames.append(Frame(pixels, "linear", value))
        else:
            dtype = np.uint8 if kind == "uint8" else np.uint16
            top = np.iinfo(dtype).max
            pixels = random.choice([0, 1, top // 2, top], (height, width, 3)).astype(dtype)
            frames.append(Frame(pixels, "linear" if kind == "linear" else "srgb", value))
    masks = tuple(random.choice(np.array([0, 1, 255], np.uint8), (height, width)) for _ in frames)
    how = DebevecSettings(weighting=weighting)  # type: ignore[arg-type]
    fused = fuse(Stack(tuple(frames), 0, valid=masks if masked else ()), how)
    assert fused.pixels.shape == (height, width, 3)
    assert np.isfinite(fused.pixels).all()
    assert fused.pixels.min() >= 0


def test_a_camera_curve_is_found_and_undone() -> None:
    radiance = np.clip(make_radiance(240, 320, seed=7, range_stops=9), 0.001, 8)
    curve = np.exp2(camera_curve(1.0))
    codes = np.linspace(0, 1, len(curve))
    frames = tuple(
        Frame(
            np.rint(np.interp(np.clip(radiance * 2.0**stops, 0, 1), curve, codes) * 255).astype(
                np.uint8
            ),
            stops=float(stops),
        )
        for stops in (-3, -1, 1, 3)
    )
    stack = Stack(frames, 1)
    middle = (radiance.max(axis=2) > 0.02) & (radiance.max(axis=2) < 4)

    def ratio_error(response: str) -> float:
        fused = fuse(stack, DebevecSettings(response)).pixels[middle]  # type: ignore[arg-type]
        off = np.log2(np.maximum(fused, 1e-6) / (radiance[middle] * 0.5))
        return float(np.std(off))

    assert ratio_error("auto") < 0.5 * ratio_error("srgb")
    assert any("response" in note for note in fuse(stack).notes)


def test_an_estimate_from_nothing_is_refused_and_auto_falls_back() -> None:
    flat = Frame(np.full((20, 20, 3), 90, np.uint8), stops=0.0)
    stack = Stack((flat, flat), 0)
    with pytest.raises(BracketError, match="response"):
        fuse(stack, DebevecSettings("estimate"))
    assert color.linear_to_srgb(fuse(stack).pixels)[3, 3, 0] == pytest.approx(90 / 255, abs=1e-4)


def test_unknown_exposures_and_settings_are_refused() -> None:
    stack = make_stack(make_radiance(8, 8), [-1, 1], known=False)
    with pytest.raises(BracketError, match="exposure"):
        fuse(stack)
    with pytest.raises(OptionError, match="response"):
        DebevecSettings(response="gamma")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="weighting"):
        DebevecSettings(weighting="box")  # type: ignore[arg-type]


def test_progress_rises_to_one() -> None:
    told: list[float] = []
    fuse(make_stack(make_radiance(200, 600), [-2, 0, 2]), SRGB, progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 1


@pytest.mark.parametrize("filled", [True, False])
def test_what_was_re_exposed_leaves_no_seam_in_the_shadows(filled: bool) -> None:
    # A camera that crushes shadows: code 3 where sRGB would have 8. The brighter frame knows the
    # light, and holds the reference's content, re-exposed, where its own was found ghosted.
    reference = np.full((24, 24, 3), 3, np.uint8)
    brighter = np.full((24, 24, 3), 60, np.uint8)
    confidence = np.full((24, 24), 255, np.uint8)
    confidence[8:16, 8:16] = 0
    stack = Stack(
        (Frame(reference, stops=0.0), Frame(brighter, stops=4.0)),
        0,
        confidence=(None, confidence),
        filled=filled,
    )
    merged = fuse(stack, SRGB).pixels
    inside, outside = float(merged[12, 12, 1]), float(merged[2, 2, 1])
    if filled:
        assert inside == pytest.approx(outside, rel=0.02)
    else:
        assert inside < 0.5 * outside


@pytest.mark.parametrize("filled", [True, False])
def test_a_clipped_thing_takes_the_light_that_a_darker_frame_was_filled_with(filled: bool) -> None:
    reference = np.full((24, 24, 3), 255, np.uint8)
    darker = np.full((24, 24, 3), 200, np.uint8)
    confidence = np.full((24, 24), 255, np.uint8)
    confidence[8:16, 8:16] = 0
    stack = Stack(
        (Frame(darker, stops=-3.0), Frame(reference, stops=0.0)),
        1,
        confidence=(confidence, None),
        filled=filled,
    )
    merged = fuse(stack, SRGB).pixels
    inside, outside = float(merged[12, 12, 1]), float(merged[2, 2, 1])
    assert outside > 3
    if filled:
        assert inside == pytest.approx(outside, rel=0.02)
    else:
        assert inside == pytest.approx(1, rel=0.02)

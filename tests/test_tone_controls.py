"""Tone by hand: each control does what its name says, and nothing at 0."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ghostless.bracket import Frame, Fused
from ghostless.errors import OptionError
from ghostless.pixels import color
from ghostless.tone.controls import ToneControls, control_part, control_tone

Pixels = np.ndarray


def picture(height: int = 90, width: int = 120) -> Fused:
    """A dark half and a bright half, textured, coloured."""
    rng = np.random.default_rng(2)
    light = np.where(np.arange(width)[None, :, None] < width // 2, 0.2, 0.8)
    texture = cv2.GaussianBlur(rng.normal(0, 0.4, (height, width, 3)), (0, 0), 1.5)
    pixels = light * np.array([1.0, 0.9, 0.8]) + texture * 0.3
    return Fused(np.clip(pixels, 0, 1).astype(np.float32), "display")


def halves(pixels: Pixels) -> tuple[float, float]:
    return float(pixels[:, 10:50].mean()), float(pixels[:, 70:110].mean())


def changed(**controls: Any) -> Pixels:
    return control_tone(picture(), ToneControls(**controls)).pixels


def test_neutral_controls_give_the_same_object() -> None:
    fused = picture()
    assert control_tone(fused, ToneControls()) is fused


def test_shadows_and_highlights_change_their_own_half() -> None:
    dark, bright = halves(picture().pixels)
    for value in (-60, 60):
        lifted = halves(changed(shadows=value))
        assert (lifted[0] - dark) * value > 1
        assert abs(lifted[1] - bright) < 0.01
        raised = halves(changed(highlights=value))
        assert (raised[1] - bright) * value > 1
        assert abs(raised[0] - dark) < 0.01


EVERYTHING = ToneControls(0.5, -40, 60, 20, 15, 10, -5, 0.7)


@pytest.mark.parametrize("controls", [EVERYTHING, ToneControls(shadows=50), ToneControls()])
def test_a_part_is_changed_as_in_the_whole(controls: ToneControls) -> None:
    fused = picture(240, 360)
    photo = Frame(np.rint(fused.pixels * 200).astype(np.uint8))
    whole = control_tone(fused, controls, photo).pixels
    down, across = slice(30, 140), slice(150, 300)
    size = (180, 120)  # of the small copy
    part = control_part(
        replace(fused, pixels=fused.pixels[down, across].copy()),
        controls,
        replace(photo, pixels=photo.pixels[down, across].copy()),
        corner=(30, 150),
        size=fused.pixels.shape[:2],
        small=replace(fused, pixels=cv2.resize(fused.pixels, size, interpolation=cv2.INTER_AREA)),
        small_reference=replace(
            photo, pixels=cv2.resize(photo.pixels, size, interpolation=cv2.INTER_AREA)
        ),
    )
    assert np.abs(part.pixels - whole[down, across]).max() < 2 / 255


def test_what_lies_in_the_shadows_keeps_its_contrast() -> None:
    before, after = (p[:, 10:50] for p in (picture().pixels, changed(shadows=100)))
    contrasts = [np.std(np.log(color.srgb_to_linear(p) + 0.01)) for p in (before, after)]
    assert contrasts[1] > 0.8 * contrasts[0]


def test_contrast_drives_the_halves_apart_and_saturation_the_channels() -> None:
    dark, bright = halves(picture().pixels)
    more, less = (halves(changed(contrast=value)) for value in (60, -60))
    assert more[0] < dark < less[0]
    assert less[1] < bright < more[1]
    spread = [np.std(p, axis=2).mean() for p in (changed(saturation=-100), changed(saturation=50))]
    assert spread[0] < 1e-3
    assert spread[1] > 1.3 * np.std(picture().pixels, axis=2).mean()


def test_temperature_and_tint_keep_the_luminance_of_grey() -> None:
    grey = Fused(np.full((8, 8, 3), 0.4, np.float32), "linear")
    for controls in ({"temperature": 80}, {"tint": -70}, {"temperature": -30, "tint": 50}):
        pixels = control_tone(grey, ToneControls(**controls)).pixels
        assert color.luminance(pixels)[0, 0] == pytest.approx(0.4, rel=1e-3)
    warm = control_tone(grey, ToneControls(temperature=50)).pixels[0, 0]
    assert warm[0] > warm[1] > warm[2]
    magenta = control_tone(grey, ToneControls(tint=50)).pixels[0, 0]
    assert magenta[1] < min(magenta[0], magenta[2])


def test_strength_goes_from_the_photo_to_the_result_and_beyond() -> None:
    fused = picture()
    photo = Frame(np.full((90, 120, 3), 128, np.uint8))
    at = {s: control_tone(fused, ToneControls(strength=s), photo).pixels for s in (0, 0.5, 1, 1.5)}
    np.testing.assert_allclose(at[0], 128 / 255, atol=1e-6)
    np.testing.assert_allclose(at[0.5], (at[0] + at[1]) / 2, atol=1e-6)
    assert at[1] is fused.pixels
    assert np.std(at[1.5]) > np.std(at[1])
    for wrong in (None, Frame(np.zeros((4, 4, 3), np.uint8))):
        with pytest.raises(OptionError, match=r"strength: expected the reference photo"):
            control_tone(fused, ToneControls(strength=0.5), wrong)


@pytest.mark.parametrize("name", ["highlights", "shadows", "contrast", "strength"])
def test_a_linear_result_refuses_what_is_about_displays(name: str) -> None:
    linear = Fused(np.ones((8, 8, 3), np.float32), "linear")
    with pytest.raises(OptionError, match=f"{name}: expected a display file"):
        control_tone(linear, ToneControls(**{name: 0.5}))
    assert control_tone(linear, ToneControls(exposure=1)).pixels.max() == pytest.approx(2)


@pytest.mark.parametrize(("name", "value"), [("exposure", 9), ("tint", 101), ("strength", -1)])
def test_values_out_of_range_are_one_clear_line(name: str, value: float) -> None:
    with pytest.raises(OptionError, match=rf"{name}: expected a number from .* found {value}"):
        ToneControls(**{name: value})


@settings(max_examples=25, deadline=None)
@given(st.floats(-5, 5), st.lists(st.floats(-100, 100), min_size=6, max_size=6), st.integers(0, 5))
def test_nothing_leaves_the_range_and_white_and_black_stay(
    exposure: float, values: list[float], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    pixels = rng.random((9, 7, 3)).astype(np.float32)
    pixels[0], pixels[1] = 0, 1
    names = ("highlights", "shadows", "contrast", "saturation", "temperature", "tint")
    controls = ToneControls(exposure=exposure, **dict(zip(names, values, strict=True)))
    found = control_tone(Fused(pixels, "display"), controls).pixels
    assert np.isfinite(found).all()
    assert found.min() >= 0
    assert found.max() <= 1
    np.testing.assert_allclose(found[0], 0, atol=2e-3)
    np.testing.assert_allclose(found[1], 1, atol=2e-3)

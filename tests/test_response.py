"""The camera response estimated from registered stacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ghostless.bracket import Frame, Stack
from ghostless.errors import BracketError
from ghostless.exposure.curves import CURVE_STRENGTHS, camera_curve, display_values, light_stops
from ghostless.exposure.response import (
    Response,
    estimate_response,
    find_response,
    recode_to_srgb,
    srgb_response,
)
from ghostless.pixels import color

from . import scenes

Curve = Callable[[np.ndarray], np.ndarray]


def s_curve(light: np.ndarray) -> np.ndarray:
    y = light ** (1 / 2.2)
    return np.asarray(0.4 * y + 0.6 * (3 * y**2 - 2 * y**3))


def film(light: np.ndarray) -> np.ndarray:
    return np.asarray(((1 - np.exp(-3 * light)) / (1 - np.exp(-3))) ** (1 / 2.2))


def logistic(light: np.ndarray) -> np.ndarray:
    def raw(y: np.ndarray | float) -> np.ndarray:
        return np.asarray(1 / (1 + np.exp(-5 * (np.asarray(y) - 0.5))))

    return np.asarray((raw(light ** (1 / 2.2)) - raw(0)) / (raw(1) - raw(0)))


CURVES: dict[str, Curve] = {
    "gamma 1.8": lambda light: light ** (1 / 1.8),
    "gamma 2.6": lambda light: light ** (1 / 2.6),
    "s-curve": s_curve,
    "film": film,
    "logistic": logistic,
}


def shoot(
    radiances: np.ndarray | Sequence[np.ndarray],
    stops: Sequence[float],
    curve: Curve,
    depth: int = 8,
) -> Stack:
    """A registered stack taken with a camera of this curve, with sensor noise."""
    if isinstance(radiances, np.ndarray):
        radiances = [radiances] * len(stops)
    random = np.random.default_rng(0)
    frames = []
    for radiance, value in zip(radiances, stops, strict=True):
        light = radiance.astype(np.float64) * 2.0**value
        light += np.sqrt(light * 4e-5 + 1e-6) * random.standard_normal(light.shape)
        top = 255 if depth == 8 else 65535
        codes = np.rint(curve(np.clip(light, 0, 1)) * top)
        pixels = codes.astype(np.uint8 if depth == 8 else np.uint16)
        frames.append(Frame(pixels, stops=float(value), stops_source="user"))
    return Stack(tuple(frames), reference=len(frames) // 2)


def shape_error_stops(response: Response, curve: Curve) -> float:
    """Mean error of the response over the well-exposed range, apart from a common factor."""
    light = np.exp2(np.linspace(-14, 0, 3000))
    values = curve(light)
    inside = (values > 0.15) & (values < 0.92)
    codes = np.linspace(0, 1, len(response.table))
    columns = [np.interp(values[inside], codes, response.table[:, c]) for c in range(3)]
    error = np.log2(np.stack(columns, axis=1)) - np.log2(light[inside])[:, None]
    return float(np.abs(error - np.median(error)).mean())


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("stops", [(-2, 0, 2), (-1, 0, 1), (-2, -1, 0, 1, 2), (-1.5, 1.5)])
def test_a_camera_curve_is_recovered(name: str, stops: tuple[float, ...]) -> None:
    curve = CURVES[name]
    response = estimate_response(shoot(scenes.make_radiance(160, 240, 1), stops, curve))
    assert response.kind == "estimated"
    assert shape_error_stops(response, curve) < 0.06  # 4 % of light
    assert shape_error_stops(response, curve) < 0.4 * shape_error_stops(srgb_response(), curve)
    assert response.misfit_stops < 0.5 * response.misfit_srgb_stops


@pytest.mark.parametrize("depth", [8, 16])
def test_ghosts_do_not_bend_the_curve(depth: int) -> None:
    radiance = scenes.make_radiance(160, 240, 1)
    moving = [
        scenes.add_disc(radiance, (50 + 70 * i, 80), 45, colour=(3.0 / 4**i, 0.6 / 4**i, 0.3))
        for i in range(3)
    ]
    response = estimate_response(shoot(moving, (-2, 0, 2), s_curve, depth))
    assert len(response.table) == (256 if depth == 8 else 1024)
    assert shape_error_stops(response, s_curve) < 0.06


def test_a_slip_of_the_registration_does_not_bend_the_curve() -> None:
    radiance = cv2.GaussianBlur(scenes.make_radiance(160, 240, 1), (0, 0), 1.0)
    moved = [np.roll(radiance, i, 1) for i in range(3)]
    response = estimate_response(shoot(moved, (-2, 0, 2), s_curve))
    assert shape_error_stops(response, s_curve) < 0.08


def test_masked_pixels_are_not_looked_at() -> None:
    stack = shoot(scenes.make_radiance(160, 240, 1), (-2, 0, 2), s_curve)
    mask = np.full((160, 240), 255, np.uint8)
    mask[:, 70:] = 0
    wrong = stack.frames[0].pixels.copy()
    wrong[:, 70:] //= 2
    frames = (Frame(wrong, stops=-2.0), *stack.frames[1:])
    masked = estimate_response(Stack(frames, 1, confidence=(mask, None, None)))
    assert shape_error_stops(masked, s_curve) < 0.06


def test_plain_srgb_stays_srgb() -> None:
    stack = scenes.make_stack(scenes.make_radiance(120, 160, 1), (-2, 0, 2), noise=1.0)
    response = estimate_response(stack)
    assert response.kind == "srgb"
    assert response.misfit_stops < 0.05


@pytest.mark.parametrize("stops", [(-0.2, 0.2), (0, 0, 0)])
def test_thin_evidence_stays_srgb(stops: tuple[float, ...]) -> None:
    response = estimate_response(shoot(scenes.make_radiance(90, 120, 1), stops, s_curve))
    assert response.kind == "srgb"


def test_absurd_stops_stay_srgb() -> None:
    stack = scenes.make_stack(scenes.make_radiance(90, 120, 1), (-1, 1))
    frames = tuple(
        Frame(frame.pixels, stops=stops) for frame, stops in zip(stack.frames, (0, 20), strict=True)
    )
    assert estimate_response(Stack(frames, 0)).kind == "srgb"


def test_linear_frames_have_the_identity() -> None:
    radiance = scenes.make_radiance(60, 80, 1)
    stack = scenes.make_stack(radiance, (-1, 1), depth=16, linear=True)
    response = estimate_response(stack)
    assert response.kind == "linear"
    frame = stack.frames[0]
    np.testing.assert_allclose(response.to_linear(frame.pixels, "linear"), frame.linear())


def test_unknown_stops_are_an_error() -> None:
    frames = scenes.make_frames(scenes.make_radiance(30, 40), (-1, 1), known=False)
    with pytest.raises(BracketError, match="known exposure"):
        estimate_response(Stack(frames, 0))


def test_srgb_response_is_that_of_the_color_module() -> None:
    random = np.random.default_rng(0)
    for dtype, levels in ((np.uint8, 256), (np.uint16, 1024)):
        pixels = random.integers(0, np.iinfo(dtype).max, (20, 30, 3), endpoint=True).astype(dtype)
        linear = srgb_response(levels).to_linear(pixels)
        assert linear.dtype == np.float32
        np.testing.assert_allclose(linear, color.to_linear(pixels, "srgb"), atol=2e-5)


@pytest.mark.parametrize("depth", [8, 16])
def test_recoded_frames_hold_the_same_light_as_srgb(depth: int) -> None:
    stack = shoot(scenes.make_radiance(48, 64), (-2, 0, 2), s_curve, depth)
    response, notes = find_response(stack, "auto")
    assert response is not None
    assert "camera response estimated" in notes[0]
    recoded = recode_to_srgb(stack, response)
    assert recoded.stops == stack.stops
    for before, after in zip(stack.frames, recoded.frames, strict=True):
        assert after.pixels.dtype == np.uint16
        wanted = response.to_linear(before.pixels)
        np.testing.assert_allclose(after.linear(), wanted, rtol=1e-2, atol=2e-6)
        as_float = replace(before, pixels=before.unit())
        found = recode_to_srgb(Stack((as_float,), reference=0), response).frames[0]
        np.testing.assert_allclose(found.linear(), wanted, rtol=1e-3, atol=2e-6)
    assert find_response(stack, "srgb") == (None, ())
    raw = replace(stack.frames[0], transfer="linear")
    assert recode_to_srgb(Stack((raw,), reference=0), response).frames[0] is raw


def test_all_types_of_pixels_give_the_same_light() -> None:
    stack = shoot(scenes.make_radiance(120, 160, 1), (-2, 0, 2), s_curve)
    response = estimate_response(stack)
    pixels = stack.frames[1].pixels
    linear = response.to_linear(pixels)
    np.testing.assert_allclose(response.to_linear(pixels.astype(np.uint16) * 257), linear)
    np.testing.assert_allclose(response.to_linear(stack.frames[1].unit()), linear, atol=1e-5)
    np.testing.assert_allclose(
        response.to_linear(pixels.reshape(-1, 3)).reshape(120, 160, 3), linear
    )


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 100),
    stops=st.lists(st.floats(-5, 5), min_size=2, max_size=4),
    size=st.sampled_from([(1, 1), (7, 5), (30, 40), (80, 90)]),
    name=st.sampled_from(sorted(CURVES)),
)
def test_any_response_rises_from_black_to_one(
    seed: int, stops: list[float], size: tuple[int, int], name: str
) -> None:
    response = estimate_response(shoot(scenes.make_radiance(*size, seed), stops, CURVES[name]))
    assert np.isfinite(response.table).all()
    assert (np.diff(response.table, axis=0) >= 0).all()
    assert response.table[0] == pytest.approx(0, abs=1e-6)
    assert response.table[-1] == pytest.approx(1)


def test_the_family_of_curves_rises_and_inverts() -> None:
    values = np.linspace(0.05, 1, 50)
    for strength in CURVE_STRENGTHS:
        assert (np.diff(camera_curve(strength)) >= 0).all()
        there = display_values(light_stops(values, strength), strength)
        np.testing.assert_allclose(there, values, atol=1e-3)


@pytest.mark.parametrize(
    ("folder", "names", "stops"),
    [
        ("static/frobisher_001", ["IMG_2600.jpg", "IMG_2601.jpg", "IMG_2602.jpg"], (-3, 0, 3)),
        ("dynamic/sculpture_garden", ["1.png", "3.png", "5.png"], (-2, 0, 2)),
    ],
)
def test_on_real_cameras_the_frames_agree_far_better_than_as_srgb(
    shared: Path, folder: str, names: list[str], stops: tuple[float, ...]
) -> None:
    images = [
        cv2.imread(str(shared / folder / name), cv2.IMREAD_COLOR)[:, :, ::-1] for name in names
    ]
    half = images[0].shape[1] // 2
    fitted = Stack(
        tuple(
            Frame(np.ascontiguousarray(image[:, :half]), stops=float(value))
            for image, value in zip(images, stops, strict=True)
        ),
        1,
    )
    response = estimate_response(fitted)
    # The other half of the photos was not seen: the same wall must have the same light there.
    middle, bright = (np.ascontiguousarray(image[:, half:]) for image in images[1:])
    known = ((middle > 40) & (bright > 40) & (bright < 235)).all(axis=2)

    def scatter(by: Response) -> float:
        ratio = np.log2(by.to_linear(bright)[known] / by.to_linear(middle)[known])
        return float(np.median(np.abs(ratio - (stops[2] - stops[1]))))

    assert known.sum() > 1000
    assert scatter(response) < 0.5 * scatter(srgb_response())


def test_the_family_runs_from_srgb_to_steeper_with_a_roll_off() -> None:
    def contrast(strength: float, at: float) -> float:
        ends = np.array([at - 0.02, at + 0.02])
        plain = np.diff(np.log2(color.srgb_to_linear(ends)))
        return float((plain / np.diff(light_stops(ends, strength)))[0])

    assert contrast(0.0, 0.3) == pytest.approx(1, abs=0.02)
    assert contrast(1.0, 0.3) == pytest.approx(1.49, abs=0.03)
    assert contrast(1.0, 0.9) == pytest.approx(0.63, abs=0.03)

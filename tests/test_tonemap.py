from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ghostless.bracket import Fused, Metadata
from ghostless.errors import OptionError, SpaceError
from ghostless.pixels import color, stripes
from ghostless.tone import operators, tonemap
from ghostless.tone.operators import OPERATORS
from ghostless.tone.tonemap import ToneMapSettings, tone_map
from tests.scenes import make_radiance

every_operator = pytest.mark.parametrize("operator", sorted(OPERATORS))


def mapped(pixels: NDArray[np.float32], operator: str, **how: float) -> NDArray[np.float32]:
    return tone_map(Fused(pixels, "linear"), ToneMapSettings(operator, **how)).pixels


def room(height: int = 160, width: int = 240) -> NDArray[np.float32]:
    """A dim textured room with a bright window and a small lamp of 1e5."""
    radiance = 0.05 * make_radiance(height, width, seed=1, range_stops=4)
    view = make_radiance(60, 80, seed=2, range_stops=3)[:, :, :1]
    radiance[30:90, 60:140] = 20 * view * np.float32([0.85, 0.95, 1])
    radiance[120:123, 200:203] = np.float32([1e5, 8e4, 3e4])
    return radiance


@every_operator
def test_the_result_is_a_display_image_with_its_metadata(operator: str) -> None:
    metadata = Metadata(camera="box")
    result = tone_map(Fused(room(), "linear", metadata, ("before",)), ToneMapSettings(operator))
    assert result.space == "display"
    assert result.metadata is metadata
    assert result.notes[0] == "before"
    assert operator in result.notes[1]
    assert result.pixels.min() >= 0
    assert result.pixels.max() <= 1


@every_operator
@pytest.mark.parametrize("scale", [1e-4, 1e3])
def test_the_scale_of_the_input_does_not_matter(operator: str, scale: float) -> None:
    radiance = room()
    scaled = mapped(radiance * np.float32(scale), operator)
    np.testing.assert_allclose(scaled, mapped(radiance, operator), atol=0.01)


@every_operator
def test_the_picture_is_neither_too_dark_nor_too_bright(operator: str) -> None:
    for seed, range_stops in ((1, 4.0), (2, 10.0), (3, 16.0)):
        median = np.median(mapped(make_radiance(120, 160, seed, range_stops), operator))
        assert 0.3 < median < 0.65


@every_operator
def test_one_lamp_does_not_darken_the_rest_and_is_white(operator: str) -> None:
    with_lamp = room()
    without = with_lamp.copy()
    without[120:123, 200:203] = without[110, 200]
    lit, unlit = mapped(with_lamp, operator), mapped(without, operator)
    assert abs(np.median(lit) - np.median(unlit)) < 0.03
    assert lit[121, 201].min() > 0.93


@every_operator
def test_a_window_keeps_detail_and_the_room_is_seen(operator: str) -> None:
    radiance = room()
    result = color.luma(mapped(radiance, operator))
    window, wall = result[40:80, 70:130], result[100:, :180]
    assert window.mean() > wall.mean() + 0.1
    # One curve for all has little room left for a window so much brighter than the room.
    least = {"reinhard": 0.001, "reinhard-local": 0.01, "drago": 0.01}
    assert window.std() > least.get(operator, 0.03)
    assert wall.std() > 0.03
    assert np.mean(window > 0.995) < 0.25
    # more light is never shown darker by much: the order of brightness inside the window stays
    light = color.luminance(radiance)[40:80, 70:130]
    agreement = np.corrcoef(np.log(light).ravel(), window.ravel())[0, 1]
    assert agreement > (0.5 if operator == "reinhard-local" else 0.8)


@every_operator
def test_grey_stays_grey_and_colours_keep_their_order(operator: str) -> None:
    grey = make_radiance(80, 100)[:, :, :1].repeat(3, axis=2)
    result = mapped(grey, operator)
    np.testing.assert_allclose(result, result[:, :, :1].repeat(3, axis=2), atol=2e-3)

    tinted = grey * np.float32([1, 0.7, 0.4])
    result = mapped(tinted, operator)
    middle = (result.max(axis=2) < 0.97) & (result.min(axis=2) > 0.05)
    assert middle.mean() > 0.5
    assert (np.diff(result[middle], axis=1) < 0).all()


@every_operator
def test_exposure_and_saturation_do_what_they_say(operator: str) -> None:
    radiance = room()
    dark, plain, bright = (mapped(radiance, operator, exposure_stops=stops) for stops in (-1, 0, 1))
    assert np.median(dark) + 0.05 < np.median(plain) < np.median(bright) - 0.05
    assert (bright >= plain - 2e-3).all()
    assert np.mean(bright > 0.999) < np.mean(plain > 0.999) + 0.02
    grey = mapped(radiance, operator, saturation=0)
    assert np.ptp(grey, axis=2).max() < 0.01
    strong = mapped(radiance, operator, saturation=1.5)
    assert np.ptp(strong, axis=2).mean() > 1.2 * np.ptp(plain, axis=2).mean()


@every_operator
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (7, 5), (33, 2)])
def test_tiny_sizes_and_flat_or_black_pictures_work(operator: str, size: tuple[int, int]) -> None:
    flat = mapped(np.full((*size, 3), 3.7, np.float32), operator)
    assert flat.shape == (*size, 3)
    assert np.ptp(flat) < 1e-3
    assert 0.3 < flat[0, 0, 0] < 0.95
    assert (mapped(np.zeros((*size, 3), np.float32), operator) == 0).all()
    assert np.isfinite(mapped(make_radiance(*size), operator)).all()


@every_operator
@settings(max_examples=15, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 99), st.floats(0, 24))
def test_any_input_gives_finite_values_in_range(
    operator: str, height: int, width: int, seed: int, spread: float
) -> None:
    random = np.random.default_rng(seed)
    stops = random.normal(0, spread, (height, width, 3)).clip(-120, 120)
    radiance = np.exp2(stops).astype(np.float32)
    wild = random.random((height, width)) < 0.1
    odd = np.array([0, -1, np.nan, np.inf, -np.inf, 3e38], np.float32)
    radiance[wild] = random.choice(odd, (int(wild.sum()), 3))
    result = mapped(radiance, operator)
    assert np.isfinite(result).all()
    assert result.min() >= 0
    assert result.max() <= 1


@every_operator
def test_local_results_at_full_size_follow_those_at_the_proxys(
    operator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture larger than the proxy comes out nearly as with a proxy of its own size."""
    radiance = cv2.resize(room(), (960, 640), interpolation=cv2.INTER_LINEAR)
    whole = mapped(radiance, operator)
    monkeypatch.setattr(tonemap, "_PROXY_PIXELS", 60_000)
    small = mapped(radiance, operator)
    off = np.abs(whole - small)
    assert np.quantile(off, 0.95) < (0.12 if operator in ("reinhard-local", "mantiuk") else 0.05)


@every_operator
def test_stripes_leave_no_seams(operator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    radiance = room()
    whole = mapped(radiance, operator)
    monkeypatch.setattr(tonemap, "STRIPE_PIXELS", 4 * 240 * 8)
    monkeypatch.setattr(stripes.stripes, "__defaults__", (240 * 6,))
    np.testing.assert_allclose(mapped(radiance, operator), whole, atol=1e-4)


def test_the_input_is_left_alone() -> None:
    radiance = room()
    before = radiance.copy()
    radiance.flags.writeable = False
    for operator in OPERATORS:
        mapped(radiance, operator)
    np.testing.assert_array_equal(radiance, before)


def test_reinhards_curve_has_the_papers_values() -> None:
    scene = operators.Scene(np.zeros((1, 1), np.float32), -10, np.log2(1 / 0.18), 0.0)
    shown = operators.reinhard_curve(np.float32([0, np.log2(1 / 0.18), -20]), scene)
    # key 0.18 and white 1: 0.18 (1 + 0.18) / 1.18 = 0.18, and white is white
    np.testing.assert_allclose(shown, [0.18, 1, 0.18 * 2.0**-20], rtol=1e-4)


def test_dragos_curve_shows_the_top_as_white_and_rises() -> None:
    scene = operators.Scene(np.zeros((1, 1), np.float32), -6, 6, 0.0)
    shown = operators.drago_curve(np.linspace(-6, 6, 50, dtype=np.float32), scene)
    assert shown[-1] == pytest.approx(1, rel=1e-4)
    assert (np.diff(shown) > 0).all()


def test_the_bilateral_filter_smooths_within_edges() -> None:
    random = np.random.default_rng(0)
    step = np.repeat([[0.0] * 60 + [8.0] * 60], 80, axis=0)
    noisy = (step + 0.2 * random.standard_normal(step.shape)).astype(np.float32)
    smooth = operators.bilateral(noisy, 6.0, 1.3)
    assert np.abs(smooth - step).max() < 0.25
    assert (smooth - step).std() < 0.05


def test_auto_is_an_operator_and_near_names_are_told() -> None:
    assert tonemap.AUTO in OPERATORS
    assert ToneMapSettings().operator == "auto"
    with pytest.raises(OptionError, match="did you mean 'reinhard'"):
        ToneMapSettings("reinhart")
    with pytest.raises(OptionError, match=r"tone_map\.operator: expected one of auto, fusion"):
        mapped(room(), "magic")


def test_display_images_and_wild_settings_are_refused() -> None:
    with pytest.raises(SpaceError, match="expected a linear image"):
        tone_map(Fused(np.zeros((2, 2, 3), np.float32), "display"))
    with pytest.raises(OptionError, match="exposure_stops"):
        ToneMapSettings(exposure_stops=float("nan"))
    with pytest.raises(OptionError, match="saturation"):
        ToneMapSettings(saturation=-1)


@every_operator
def test_progress_rises_to_one(operator: str) -> None:
    told: list[float] = []
    tone_map(Fused(room(), "linear"), ToneMapSettings(operator), progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 1

"""The mapping of codes between exposures of one scene."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ghostless.bracket import Frame
from ghostless.exposure.intensity import (
    IntensityMapping,
    intensity_mapping,
    monotone,
    sample_display,
)
from ghostless.pixels import color

from . import scenes


def expected(codes: np.ndarray, gain_stops: float) -> np.ndarray:
    """Where sRGB codes 0..1 go when the exposure changes by so many stops."""
    light = color.srgb_to_linear(codes) * np.float32(2.0**gain_stops)
    return color.linear_to_srgb(np.minimum(light, 1))


def mean_error(mapping: IntensityMapping, gain_stops: float) -> float:
    wanted = expected(mapping.levels_at, gain_stops)[:, None]
    return float(np.abs(mapping.table - wanted)[mapping.known].mean())


@pytest.mark.parametrize("registered", [False, True])
@pytest.mark.parametrize(("source", "target"), [(-2, 0), (0, -2), (0, 1), (1, -2)])
@pytest.mark.parametrize("depth", [8, 16])
def test_the_mapping_is_that_of_the_exposures(
    source: float, target: float, registered: bool, depth: int
) -> None:
    radiance = scenes.make_radiance(160, 240, 1)
    a, b = scenes.make_frames(radiance, (source, target), depth=depth, noise=0.5)
    mapping = intensity_mapping(a, b, registered=registered)
    assert len(mapping.table) == (256 if depth == 8 else 1024)
    assert mean_error(mapping, target - source) < 0.006


def test_histograms_need_no_registration() -> None:
    radiance = scenes.make_radiance(160, 240, 1)
    a = scenes.make_frames(radiance, (-1,))[0]
    b = scenes.make_frames(np.ascontiguousarray(radiance[:, ::-1]), (1,))[0]
    assert mean_error(intensity_mapping(a, b), 2) < 0.004


@pytest.mark.parametrize(("source", "target"), [(-1, 1), (1, -1)])
def test_a_large_ghost_drops_out_of_registered_frames(source: float, target: float) -> None:
    radiance = scenes.make_radiance(160, 240, 2)
    first = scenes.add_disc(radiance, (60, 80), 38, colour=(1.0, 0.2, 0.05))
    second = scenes.add_disc(radiance, (170, 80), 38, colour=(1.0, 0.2, 0.05))
    a = scenes.make_frames(first, (source,), noise=0.5)[0]
    b = scenes.make_frames(second, (target,), noise=0.5)[0]
    with_care = mean_error(intensity_mapping(a, b, registered=True), target - source)
    without = mean_error(intensity_mapping(a, b, registered=False), target - source)
    assert with_care < 0.004
    assert with_care < without


def test_a_slip_of_the_registration_bends_little() -> None:
    radiance = scenes.make_radiance(160, 240, 3)
    a = scenes.make_frames(radiance, (-1,))[0]
    b = scenes.make_frames(np.roll(radiance, (1, 1), (0, 1)), (1,))[0]
    assert mean_error(intensity_mapping(a, b, registered=True), 2) < 0.012


def test_pixels_outside_the_mask_are_not_looked_at() -> None:
    radiance = scenes.make_radiance(160, 240, 3)
    a, b = scenes.make_frames(radiance, (-1, 1))
    pixels = b.pixels.copy()
    pixels[:, 140:] = 90
    valid = np.full((160, 240), 255, np.uint8)
    valid[:, 140:] = 0
    mapping = intensity_mapping(a, Frame(pixels), registered=True, valid=valid)
    assert mean_error(mapping, 2) < 0.004


def test_unknown_ends_continue_at_the_same_gain() -> None:
    random = np.random.default_rng(0)
    middle = random.uniform(0.08, 0.25, (64, 64, 3)).astype(np.float32)
    a, b = scenes.make_frames(middle, (0, 1))
    mapping = intensity_mapping(a, b)
    assert not mapping.known[[0, 255]].any()
    wanted = expected(mapping.levels_at, 1)
    np.testing.assert_allclose(mapping.table, np.repeat(wanted[:, None], 3, 1), atol=0.03)


def test_what_is_clipped_is_unknown_when_mapped_to_a_darker_frame() -> None:
    a, b = scenes.make_frames(scenes.make_radiance(120, 160, 1), (1, -1))
    mapping = intensity_mapping(a, b, registered=True)
    assert not mapping.known[255].any()
    assert (mapping.table[255] >= mapping.table[254]).all()
    assert (mapping.table[255] < 0.85).all()


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 100),
    stops=st.tuples(st.floats(-4, 4), st.floats(-4, 4)),
    size=st.sampled_from([(1, 1), (7, 5), (40, 30)]),
    kind=st.sampled_from(["srgb8", "srgb16", "linear16"]),
    registered=st.booleans(),
)
def test_any_mapping_is_monotone_finite_and_in_range(
    seed: int, stops: tuple[float, float], size: tuple[int, int], kind: str, registered: bool
) -> None:
    a, b = scenes.make_frames(
        scenes.make_radiance(*size, seed),
        stops,
        depth=8 if kind == "srgb8" else 16,
        linear=kind == "linear16",
    )
    mapping = intensity_mapping(a, b, registered=registered)
    assert np.isfinite(mapping.table).all()
    assert (np.diff(mapping.table, axis=0) >= 0).all()
    assert mapping.table.min() >= 0
    assert mapping.table.max() <= 1
    mapped = mapping.apply(a.pixels)
    assert mapped.dtype == a.pixels.dtype
    assert mapped.shape == a.pixels.shape


def test_a_linear_pair_is_a_factor() -> None:
    radiance = scenes.make_radiance(120, 160, 1)
    a, b = scenes.make_frames(radiance, (-2, 0), depth=16, linear=True)
    mapped = intensity_mapping(a, b, registered=True).apply_unit(a.pixels)
    inside = b.unit() < 0.95
    np.testing.assert_allclose(mapped[inside], b.unit()[inside], rtol=0.05, atol=0.002)


def test_integers_floats_and_unit_values_map_alike() -> None:
    a, b = scenes.make_frames(scenes.make_radiance(60, 80, 1), (-1, 1))
    mapping = intensity_mapping(a, b)
    unit = mapping.apply_unit(a.pixels)
    assert unit.dtype == np.float32
    np.testing.assert_allclose(mapping.apply(a.pixels), unit * 255, atol=0.51)
    np.testing.assert_allclose(mapping.apply(a.unit()), unit, atol=1e-5)


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=40))
def test_monotone_keeps_the_mean_and_rises(values: list[float]) -> None:
    fitted = monotone(np.array(values))
    assert len(fitted) == len(values)
    assert (np.diff(fitted) >= -1e-12).all()
    assert fitted.mean() == pytest.approx(np.mean(values), abs=1e-9)


def test_samples_of_a_large_frame_are_few_and_fair() -> None:
    values = np.linspace(0, 255, 3000).astype(np.uint8)
    frame = Frame(np.broadcast_to(values[None, :, None], (2000, 3000, 3)).copy())
    display = sample_display(frame)
    assert 100_000 < len(display) < 300_000
    assert float(display.mean()) == pytest.approx(float(frame.pixels.mean()) / 255, abs=0.005)

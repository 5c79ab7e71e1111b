"""The parts of HDR-VDP-2: geometry, optics, sensitivity, responses, pyramid; and the whole."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ghostless.research.metrics import hdr_vdp
from tests import scenes


def test_the_default_display_has_32_pixels_per_degree() -> None:
    # 24 inches at 16:9 are 0.2989 m high, 33.3 degrees at 0.5 m.
    assert hdr_vdp.pixels_per_degree() == pytest.approx(1080 / 33.28, abs=0.01)
    near, far = (hdr_vdp.pixels_per_degree(distance_metres=d) for d in (0.5, 5.0))
    assert far / near == pytest.approx(10, rel=0.1)


def test_the_optics_keep_light_and_lose_detail() -> None:
    passed = hdr_vdp.optical_transfer(np.array([0.0, 1, 10, 30]))
    assert passed[0] == pytest.approx(1)
    assert (np.diff(passed) < 0).all()
    assert passed[-1] < 0.2


def test_the_csf_peaks_where_eyes_do() -> None:
    """The whole sensitivity: neural x optics x receptors, at daylight and at night."""
    frequencies = np.geomspace(0.1, 50, 400)

    def whole(nits: float) -> np.ndarray:
        level = np.array([nits])
        return (
            hdr_vdp.neural_csf(frequencies, level)
            * hdr_vdp.optical_transfer(frequencies)
            * hdr_vdp.joint_sensitivity(level)
        )

    day, dusk, night = whole(100), whole(1), whole(0.01)
    assert 2 < frequencies[day.argmax()] < 6
    assert frequencies[night.argmax()] < frequencies[dusk.argmax()] < frequencies[day.argmax()]
    assert day.max() > dusk.max() > night.max()
    # With the paper's factor of 8.6 a contrast of 0.41 % is just seen at 2 cycles and 100 cd/m2.
    at_two = float(np.interp(2, frequencies, day))
    assert 1 / (8.6 * at_two) == pytest.approx(0.0041, abs=2e-4)
    assert hdr_vdp.neural_csf(np.zeros(1), np.ones(1)) == 0


def test_rods_see_in_the_dark_only() -> None:
    nits = np.array([1e-4, 1.0, 1e3])
    rods, both = hdr_vdp.rod_sensitivity(nits), hdr_vdp.joint_sensitivity(nits)
    assert rods.argmax() == 1
    assert rods[2] < 0.001 * both[2]


def test_responses_grow_by_a_step_for_a_threshold() -> None:
    nits = np.geomspace(1e-4, 1e4, 200)
    response = hdr_vdp.achromatic_response(nits)
    assert (np.diff(response) > 0).all()
    # In daylight, where cones work alone, the slope is their sensitivity: a contrast of
    # 1 / sensitivity is one step.
    bright = np.array([500.0, 500.0 * 1.001])
    steps = float(np.diff(hdr_vdp.achromatic_response(bright))[0])
    sensitivity = float(hdr_vdp.joint_sensitivity(bright[:1])[0])
    correction = 0.006894596 * 10**2.4
    assert steps == pytest.approx(math.log(1.001) * sensitivity * correction, rel=0.05)


@pytest.mark.parametrize("shape", [(64, 96), (61, 83), (17, 200)])
def test_the_pyramid_rebuilds_the_image(shape: tuple[int, int]) -> None:
    plane = np.random.default_rng(0).normal(size=shape)
    levels = hdr_vdp.pyramid_levels(shape)
    mirrored = hdr_vdp._mirrored(plane, levels)
    bands = hdr_vdp._pyramid_of_mirrored(mirrored, levels)
    assert np.allclose(_rebuilt(bands, mirrored.shape)[: shape[0], : shape[1]], plane)
    cropped = hdr_vdp.steerable_pyramid(plane, levels)
    assert [len(group) for group in cropped] == [1, *[4] * levels, 1]
    assert cropped[0][0].shape == cropped[1][0].shape == shape
    assert cropped[-1][0].shape == tuple(-(-side // 2**levels) for side in shape)


def _rebuilt(bands: list[list[np.ndarray]], shape: tuple[int, ...]) -> np.ndarray:
    """Apply every filter a second time and add everything up, from the base band on."""
    levels = len(bands) - 2
    result = bands[-1][0]
    for level in range(levels, 0, -1):
        band_shape = bands[level][0].shape
        low = hdr_vdp.low_pass(hdr_vdp._frequencies(*band_shape), *hdr_vdp._OCTAVE)
        # Zeros between the pixels repeat the spectrum; the low-pass filter keeps one copy.
        wide = np.zeros(band_shape)
        wide[::2, ::2] = 4 * result
        spectrum = np.fft.rfft2(wide) * low
        high = hdr_vdp._complement(low)
        filters = hdr_vdp._orientation_filters(*band_shape)
        for band, oriented in zip(bands[level], filters, strict=True):
            spectrum = spectrum + np.fft.rfft2(band) * high * np.conj(oriented)
        result = np.fft.irfft2(spectrum, band_shape)
    low = hdr_vdp.low_pass(hdr_vdp._frequencies(*shape), *hdr_vdp._RESIDUAL)
    residual = np.fft.rfft2(bands[0][0]) * hdr_vdp._complement(low)
    return np.fft.irfft2(np.fft.rfft2(result) * low + residual, shape)


def test_a_wave_lands_in_the_band_of_its_frequency_and_direction() -> None:
    columns = np.arange(256)
    for level, wavelength in ((1, 4), (2, 8), (3, 16)):
        wave = np.broadcast_to(np.sin(2 * np.pi * columns / wavelength), (256, 256))
        bands = hdr_vdp.steerable_pyramid(wave, 3)
        power = {
            (scale, orientation): float((band**2).mean())
            for scale, group in enumerate(bands)
            for orientation, band in enumerate(group)
        }
        assert max(power, key=lambda key: power[key]) == (level, 0)
        # The direction across sees nothing.
        assert power[level, 2] < 1e-6 * power[level, 0]


@pytest.fixture(scope="module")
def light() -> np.ndarray:
    return scenes.make_radiance(150, 180, seed=2)


def test_quality_falls_with_the_size_of_errors(light: np.ndarray) -> None:
    noise = np.random.default_rng(0).normal(size=light.shape)
    scores = [
        hdr_vdp.hdr_vdp_quality(light * (1 + share * noise), light)
        for share in (0, 0.01, 0.03, 0.1)
    ]
    assert scores[0] == 100
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] < 80


def test_errors_hide_in_the_dark(light: np.ndarray) -> None:
    noise = np.random.default_rng(0).normal(size=light.shape)
    noisy = light * (1 + 0.05 * noise)
    day = hdr_vdp.hdr_vdp_quality(noisy, light)
    assert hdr_vdp.hdr_vdp_quality(noisy, light, white_nits=0.1) > day + 2


def test_errors_hide_in_texture() -> None:
    random = np.random.default_rng(0)
    wave = 1 + 0.02 * np.sin(np.arange(128) / 3)[None, :, None]
    flat = np.full((128, 128, 3), 0.5)
    texture = flat * random.lognormal(0, 0.4, flat.shape)
    on_flat = hdr_vdp.hdr_vdp_quality(flat * wave, flat)
    on_texture = hdr_vdp.hdr_vdp_quality(texture * wave, texture)
    assert on_texture > on_flat + 5


def test_masking_has_a_value_where_large_responses_stand_beside_none() -> None:
    random = np.random.default_rng(0)
    band = random.random((30, 40)) * 10.0 ** random.uniform(-30, 0, (30, 40))
    assert hdr_vdp._mutual(band, band).min() >= 0
    flat = np.full((64, 52, 3), 0.7)
    spark = flat.copy()
    spark[:3, :3] = 5000.0
    assert math.isfinite(hdr_vdp.hdr_vdp_quality(spark, flat))


@pytest.mark.parametrize("seed", range(3))
def test_it_lies_near_the_original_on_a_picture_of_the_same_recipe(seed: int) -> None:
    """Waves and uniform noise, 1 to 400 cd/m2, under Gaussian noise of 4 cd/m2, 30 pixels a degree.

    Revision 2.2.2 of the original gives 76.27 for one such picture, drawn by another generator;
    drawings differ by some 0.3, and the pyramid's filters account for the rest.
    """
    random = np.random.default_rng(seed)
    y, x = np.meshgrid(np.linspace(0, 1, 128), np.linspace(0, 1, 128), indexing="ij")
    truth = (0.5 + 0.5 * np.sin(40 * x) * np.cos(31 * y)) * 150
    truth += (0.5 + 0.5 * np.sin(7 * x + 3 * y)) * 100 + 60 * random.random((128, 128)) + 1
    noisy = np.maximum(truth + 4 * random.normal(size=truth.shape), 1e-5)
    assert hdr_vdp.luminance_quality(noisy, truth, 30) == pytest.approx(76.27, abs=1.5)

"""PSNR, SSIM and the metrics of HDR images against other implementations and known points."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghostless.research.metrics import radiance, truth

from .pictures import noisy, photo

HEIGHT, WIDTH = 97, 121


@pytest.fixture(scope="module")
def display() -> tuple[np.ndarray, np.ndarray]:
    picture = photo(HEIGHT, WIDTH)
    return noisy(picture, 8), picture


@pytest.fixture(scope="module")
def linear() -> tuple[np.ndarray, np.ndarray]:
    light = (photo(HEIGHT, WIDTH).astype(np.float64) / 255) ** 2.2 * 40
    return light * np.random.default_rng(0).lognormal(0, 0.05, light.shape), light


def test_psnr_equals_that_of_scikit_image(display: tuple[np.ndarray, np.ndarray]) -> None:
    metrics = pytest.importorskip("skimage.metrics")
    result, wanted = display
    ours = truth.psnr(result, wanted)
    assert ours == pytest.approx(metrics.peak_signal_noise_ratio(wanted, result), rel=1e-12)


def test_ssim_equals_that_of_scikit_image(display: tuple[np.ndarray, np.ndarray]) -> None:
    metrics = pytest.importorskip("skimage.metrics")
    result, wanted = display
    # Its mean leaves out a border of 5 pixels, as ours does: windows that fit only.
    theirs = metrics.structural_similarity(
        wanted,
        result,
        data_range=255,
        channel_axis=2,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert truth.ssim(result, wanted) == pytest.approx(theirs, rel=1e-7)


def test_ms_ssim_is_ssim_when_the_coarse_scales_agree() -> None:
    # Checkers of one pixel vanish by the first halving, so that only the finest scale differs.
    wanted = np.full((176, 180, 3), 128, np.uint8)
    checkers = ((np.indices((176, 180)).sum(axis=0) % 2) * 40 - 20)[:, :, None]
    result = (wanted + checkers).astype(np.uint8)
    contrast = (0.03 * 255) ** 2 / (20**2 + (0.03 * 255) ** 2)
    assert truth.ms_ssim(result, wanted) == pytest.approx(contrast**0.0448, rel=1e-3)


def test_psnr_takes_its_peak_as_an_argument(display: tuple[np.ndarray, np.ndarray]) -> None:
    gain = truth.psnr(*display, peak=256) - truth.psnr(*display)
    assert gain == pytest.approx(20 * math.log10(256 / 255))


def test_psnr_of_a_known_error() -> None:
    wanted = np.zeros((5, 7, 3), np.uint8)
    assert truth.psnr(wanted + 16, wanted) == pytest.approx(20 * math.log10(255 / 16))


def test_intensity_and_saturation_of_known_colours() -> None:
    grey, red = np.full((1, 1, 3), 90.0), np.array([[[90.0, 0, 0]]])
    intensity, saturation = truth.intensity_and_saturation(grey)
    assert (intensity.item(), saturation.item()) == pytest.approx((90 * math.sqrt(3), 0))
    intensity, saturation = truth.intensity_and_saturation(red)
    # The three axes are orthonormal: lengths are kept.
    assert math.hypot(intensity.item(), saturation.item()) == pytest.approx(90)


def test_correlation_is_blind_to_gain_and_offset(display: tuple[np.ndarray, np.ndarray]) -> None:
    result = display[0].astype(np.float64)
    assert truth.correlation(3 * result + 7, result) == pytest.approx(1)
    assert truth.correlation(-result, result) == pytest.approx(-1)
    assert truth.correlation(np.zeros_like(result), result) == 0


def test_pu21_passes_its_known_points() -> None:
    assert radiance.pu21_encode(np.array([100.0])) == pytest.approx(256, abs=0.5)
    assert radiance.pu21_encode(np.array([0.005])) == pytest.approx(0, abs=0.1)
    # The largest code that its authors print for this variant, at 10000 cd/m2.
    assert radiance.pu21_encode(np.array([1e4])) == pytest.approx(595.39, abs=0.1)


@given(st.floats(0.006, 9000), st.floats(1.001, 1.1))
def test_pu21_grows_with_luminance(nits: float, ratio: float) -> None:
    low, high = radiance.pu21_encode(np.array([nits, nits * ratio]))
    assert high > low


def test_mu_law_passes_its_known_points() -> None:
    found = radiance.mu_law(np.array([0.0, 1 / 5000, 1.0]))
    assert found == pytest.approx([0, math.log(2) / math.log(5001), 1])


@pytest.mark.parametrize(
    "metric", [radiance.psnr_mu, radiance.psnr_linear, radiance.ssim_mu, radiance.ssim_linear]
)
def test_scale_of_both_images_does_not_matter(
    linear: tuple[np.ndarray, np.ndarray], metric: object
) -> None:
    result, wanted = linear
    straight = metric(result, wanted)  # type: ignore[operator]
    assert metric(result / 50, wanted / 50) == pytest.approx(straight)  # type: ignore[operator]
    # A peak given replaces the truth's largest value.
    top = float(wanted.max())
    assert metric(result, wanted, peak=top) == pytest.approx(straight)  # type: ignore[operator]
    assert metric(result, wanted, peak=8 * top) > straight  # type: ignore[operator]


def test_pu21_depends_on_how_bright_white_is(linear: tuple[np.ndarray, np.ndarray]) -> None:
    result, wanted = linear
    bright, dim = (radiance.pu21_psnr(result / 40, wanted / 40, white_nits=n) for n in (1000, 1))
    # Errors hide in the dark.
    assert dim > bright


def test_scaling_to_the_truth_ignores_a_lamp(linear: tuple[np.ndarray, np.ndarray]) -> None:
    _, wanted = linear
    dark = wanted / 16
    dark[:2, :2] = 0
    lamp = wanted.copy()
    lamp[:2, :2] = 1e6
    assert radiance.scaled(dark, lamp)[5:] == pytest.approx(wanted[5:], rel=1e-2)
    assert radiance.scaled(np.zeros_like(wanted), wanted).max() == 0


def test_negative_radiance_counts_as_black(linear: tuple[np.ndarray, np.ndarray]) -> None:
    result, wanted = linear
    below = np.where(result < 0.5, -1.0, result)
    clipped = np.maximum(below, 0)
    assert radiance.psnr_mu(below, wanted) == radiance.psnr_mu(clipped, wanted)
    assert not math.isnan(radiance.pu21_ssim(below, wanted))

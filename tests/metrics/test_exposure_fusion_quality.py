"""MEF-SSIM and MEF-SSIMd: what they reward, and that moving scenes need the second."""

from __future__ import annotations

import numpy as np
import pytest

from ghostless.research.metrics import exposure_fusion as quality
from ghostless.research.metrics.images import grey
from tests import scenes

from .pictures import fused_by_opencv, photo

STOPS = (-2.0, 0.0, 2.0)


@pytest.fixture(scope="module")
def moving() -> dict[str, np.ndarray | list[np.ndarray]]:
    """Three exposures of a scene with a disc that moves; fused with and without its motion."""
    radiance = scenes.make_radiance(160, 200, seed=1)
    places = [
        scenes.add_disc(radiance, (45 + 45 * index, 80), 20, (0.5, 0.1, 0.1)) for index in range(3)
    ]
    sources = tuple(scenes.expose(place, ev) for place, ev in zip(places, STOPS, strict=True))
    still = tuple(scenes.expose(places[1], ev) for ev in STOPS)
    return {
        "sources": [grey(source) for source in sources],  # type: ignore[arg-type]
        "still": [grey(source) for source in still],  # type: ignore[arg-type]
        "ghosted": grey(fused_by_opencv(sources)),  # type: ignore[arg-type]
        "clean": grey(fused_by_opencv(still)),  # type: ignore[arg-type]
    }


def test_a_ghosted_result_scores_below_a_clean_one(
    moving: dict[str, np.ndarray | list[np.ndarray]],
) -> None:
    sources = moving["sources"]
    ghosted = quality.mef_ssim_moving(sources, moving["ghosted"])  # type: ignore[arg-type]
    clean = quality.mef_ssim_moving(sources, moving["clean"])  # type: ignore[arg-type]
    assert clean > ghosted + 0.05
    # What it is for: MEF-SSIM prefers the ghosts, which do resemble the sources.
    assert quality.mef_ssim(sources, moving["ghosted"]) > quality.mef_ssim(  # type: ignore[arg-type]
        sources,  # type: ignore[arg-type]
        moving["clean"],  # type: ignore[arg-type]
    )


def test_static_windows_are_where_nothing_moves(
    moving: dict[str, np.ndarray | list[np.ndarray]],
) -> None:
    static = quality._static_windows(moving["sources"])  # type: ignore[arg-type]
    # Windows are counted from their top left pixel; the disc passes row 80, columns 25 to 155.
    for column in (45, 90, 135):
        assert not static[75, column - 5]
    assert static[:30].mean() > 0.9
    assert 0.6 < static.mean() < 0.95


def test_pictures_of_one_light_are_static_at_any_exposure() -> None:
    dark = grey(photo(120, 140, -0.5))
    assert quality._static_windows([dark, dark * 1.8]).all()


def test_matching_histograms_turns_one_exposure_into_the_other() -> None:
    first, second = (grey(photo(120, 140, ev)) for ev in (-1.0, 0.5))
    matched = quality._with_histogram_of(first, second)
    before, after = (np.abs(image - second).mean() for image in (first, matched))
    assert after < before / 10


def test_any_number_of_sources_and_any_order() -> None:
    planes = [grey(photo(60, 70, ev)) for ev in (-3, -1.5, 0, 1.5, 3)]
    fused = np.mean(planes, axis=0)
    for metric in (quality.mef_ssim, quality.mef_ssim_single_scale, quality.mef_ssim_moving):
        assert metric(planes, fused) == pytest.approx(metric(planes[::-1], fused), rel=1e-9)


def test_brightness_does_not_count_but_contrast_does() -> None:
    planes = [grey(photo(60, 70, ev)) for ev in (-1.0, 1.0)]
    fused = np.mean(planes, axis=0)
    score = quality.mef_ssim_single_scale(planes, fused)
    assert quality.mef_ssim_single_scale(planes, fused + 20) == pytest.approx(score, rel=1e-9)
    assert quality.mef_ssim_single_scale(planes, fused / 3) < score - 0.05

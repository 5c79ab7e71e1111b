"""What holds for every metric in the table: ranges, direction, sizes, needs, odd pictures."""

from __future__ import annotations

import math
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings

from ghostless.errors import InputError, OptionError
from ghostless.research.metrics import Images, get_metric, score
from ghostless.research.metrics._filters import TooSmallError
from ghostless.research.metrics.table import METRICS, Metric

from .pictures import Bytes, fused_by_opencv, noisy, photo, picture_sets

# Wide enough for the metrics over five scales, and odd.
HEIGHT, WIDTH = 177, 181
OWN = [metric for metric in METRICS.values() if metric.package is None]
OF_MEFB = [metric.name for metric in OWN if metric.mefb]


def all_images(fused: Bytes, sources: tuple[Bytes, ...], truth: Bytes) -> list[Images]:
    """The same pictures as a display result and as a linear one."""
    light = truth.astype(np.float32) / 100
    return [
        Images(fused, sources, truth=truth, radiance=light),
        Images(fused.astype(np.float32) / 100, true_radiance=light),
    ]


def check_value(metric: Metric, value: float) -> None:
    low, high = metric.value_range
    assert not math.isnan(value), metric.name
    assert low is None or value >= low - 1e-9, (metric.name, value)
    assert high is None or value <= high + 1e-9, (metric.name, value)


@settings(max_examples=25, deadline=None)
@given(picture_sets(4))
def test_any_picture_of_any_size_has_a_value_in_range_or_is_too_small(
    pictures: tuple[Bytes, ...],
) -> None:
    first, second, fused, truth = pictures
    scored = set()
    for images in all_images(fused, (first, second), truth):
        for metric in OWN:
            if metric.applies_to(images):
                scored.add(metric.name)
                with suppress(TooSmallError):
                    check_value(metric, metric.compute(images))
    assert scored == {metric.name for metric in OWN}


@pytest.fixture(scope="module")
def scene() -> tuple[tuple[Bytes, Bytes], Bytes]:
    sources = (photo(HEIGHT, WIDTH, -1.5), photo(HEIGHT, WIDTH, 1.5))
    return sources, fused_by_opencv(sources)


@pytest.mark.parametrize(
    "name",
    # Those that count edges and levels take noise for detail; the two over flat windows are
    # dominated by rounding errors.
    sorted(
        {metric.name for metric in OWN}
        - {"Entropy", "SD", "SD_grey", "Avg_gradient", "Edge_intensity", "Spatial_frequency"}
        - {"Cross_entropy", "Qc", "Qy", "TMQI_naturalness", "Blown"}
    ),
)
def test_noise_is_worse_in_the_direction_that_the_table_says(
    scene: tuple[tuple[Bytes, Bytes], Bytes], name: str
) -> None:
    sources, fused = scene
    metric = METRICS[name]
    worse = noisy(fused, 25)
    good_and_bad = []
    for result in (fused, worse):
        images = next(i for i in all_images(result, sources, fused) if metric.applies_to(i))
        good_and_bad.append(metric.compute(images))
    good, bad = good_and_bad
    assert (good > bad) == metric.higher_is_better
    assert good != bad


@pytest.mark.parametrize(
    ("name", "best"),
    {
        "PSNR": math.inf,
        "PSNR_I": math.inf,
        "PSNR_S": math.inf,
        "CC_I": 1,
        "CC_S": 1,
        "SSIM": 1,
        "MS_SSIM": 1,
        "PSNR_mu": math.inf,
        "PSNR_linear": math.inf,
        "SSIM_mu": 1,
        "SSIM_linear": 1,
        "PU21_PSNR": math.inf,
        "PU21_SSIM": 1,
        "HDR_VDP2": 100,
        "MEF_SSIM": 1,
        "MEF_SSIM1": 1,
        "MEF_SSIMd": 1,
        "CC": 1,
        "MSSIM": 1,
        "Cross_entropy": 0,
        "FMI": 1,
        "NMI": 2,
        "Psnr": math.inf,
        "Qw": 1,
        "Qcb": 1,
        "Qcv": 0,
        "VIF": 1,
    }.items(),
)
def test_equal_pictures_have_the_best_value(name: str, best: float) -> None:
    picture = photo(HEIGHT, WIDTH)
    metric = METRICS[name]
    images = next(
        i for i in all_images(picture, (picture, picture), picture) if metric.applies_to(i)
    )
    # MEF-SSIM adds small constants to norms.
    value = metric.compute(images)
    assert value == pytest.approx(best, abs=2e-3)
    check_value(metric, value)


def test_the_order_of_two_sources_does_not_matter(
    scene: tuple[tuple[Bytes, Bytes], Bytes],
) -> None:
    (first, second), fused = scene
    # Qc is left out: in flat windows it is a rounding error whose sign decides between two values.
    names = [metric.name for metric in OWN if metric.needs == "sources" and metric.name != "Qc"]
    forward = score(Images(fused, (first, second)), names)
    backward = score(Images(fused, (second, first)), names)
    assert backward == pytest.approx(forward, rel=1e-9)


@pytest.mark.parametrize("name", OF_MEFB)
def test_turning_all_pictures_by_180_degrees_changes_next_to_nothing(
    scene: tuple[tuple[Bytes, Bytes], Bytes], name: str
) -> None:
    sources, fused = scene
    turned = [np.ascontiguousarray(image[::-1, ::-1]) for image in (*sources, fused)]
    straight = METRICS[name].compute(Images(fused, sources))
    # Blocks, halving and thinning start at the top left; odd sizes leave other borders.
    found = METRICS[name].compute(Images(turned[2], (turned[0], turned[1])))
    assert found == pytest.approx(straight, rel=0.05)


def test_grey_pictures_score_like_one_of_their_channels(
    scene: tuple[tuple[Bytes, Bytes], Bytes],
) -> None:
    sources, fused = scene
    channels = [np.repeat(image[:, :, 1:2], 3, axis=2) for image in (*sources, fused)]
    images = Images(channels[2], (channels[0], channels[1]))
    from ghostless.research.metrics.gradient import edge_preservation
    from ghostless.research.metrics.phase_congruency import phase_congruency_quality

    planes = [np.ascontiguousarray(image[:, :, 0]) for image in channels]
    found = score(images, ["Qabf", "Qp"])
    assert found["Qabf"] == pytest.approx(edge_preservation(*planes), rel=1e-9)
    assert found["Qp"] == pytest.approx(phase_congruency_quality(*planes), rel=1e-9)


def test_threads_do_not_change_values(scene: tuple[tuple[Bytes, Bytes], Bytes]) -> None:
    sources, fused = scene
    alone, together = (score(Images(fused, sources), threads=number) for number in (1, 4))
    # Sums of float32 depend in their last digits on where arrays lie in memory.
    assert together == pytest.approx(alone, rel=1e-9)


def test_progress_ends_at_one(scene: tuple[tuple[Bytes, Bytes], Bytes]) -> None:
    sources, fused = scene
    told: list[float] = []
    score(Images(fused, sources), ["SD", "MI", "CC"], progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 1


def test_small_pictures_leave_out_what_needs_more_unless_it_is_named() -> None:
    small = Images(photo(20, 30), (photo(20, 30, -1), photo(20, 30, 1)))
    found = score(small)
    assert "VIF" not in found
    assert "MEF_SSIM1" in found
    with pytest.raises(
        TooSmallError, match=r"VIF expected .* 41 x 41 .* found 30 x 20; use a larger image"
    ):
        score(small, ["SD", "VIF"])


def test_each_name_is_computed_once_and_in_the_order_asked() -> None:
    images = Images(photo(20, 30))
    assert list(score(images, ["SD", "Entropy", "SD"])) == ["SD", "Entropy"]


@pytest.mark.parametrize(
    ("metric", "says"),
    [
        ("Qabf", "exactly 2 sources, found 3"),
        ("PSNR", "--truth"),
        ("TMQI", "--radiance"),
        ("PSNR_mu", "linear result"),
    ],
)
def test_an_unmet_need_is_told(metric: str, says: str) -> None:
    picture = photo(20, 30)
    with pytest.raises(OptionError, match=says):
        score(Images(picture, (picture,) * 3), [metric])


def test_a_linear_result_is_refused_by_display_metrics() -> None:
    light = photo(20, 30).astype(np.float32)
    with pytest.raises(OptionError, match="tone-mapped"):
        score(Images(light, true_radiance=light), ["Entropy"])


def test_an_unknown_name_is_answered_with_the_near_ones() -> None:
    with pytest.raises(OptionError, match="'MEF_SSIM'"):
        get_metric("MEF-SSIM")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda a: Images(a[:, :, 0]), "shape"),
        (lambda a: Images(a.astype(np.uint16)), "uint8"),
        (lambda a: Images(a, (a, a[:, :5])), "source 2"),
        (lambda a: Images(a, truth=a.astype(np.float32)), "the truth"),
        (lambda a: Images(a, radiance=a), "the radiance"),
        (lambda a: Images(a.astype(np.float32) * np.nan), "finite"),
        (lambda a: Images(a[:0]), "shape"),
    ],
)
def test_wrong_arrays_are_refused_in_one_line(make: object, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        make(photo(20, 30))  # type: ignore[operator]
    assert "\n" not in str(caught.value)


def test_facts_are_complete() -> None:
    for name, metric in METRICS.items():
        assert metric.name == name
        assert metric.summary
        assert metric.paper
        low, high = metric.value_range
        assert low is None or high is None or low < high

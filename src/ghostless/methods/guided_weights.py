"""Exposure fusion whose weights follow the edges of the frames on every level of the pyramid.

The engine of `kou`, `li` and `fler`: weights as in exposure fusion, times the square of the frame's
mean brightness. Blurring them from level to level lets them spread over edges, which shows as
halos; so on every level they are filtered with the luma of the level as guide, and normalised anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..pixels import color
from ..pixels.pyramid import Plane, level_count
from ..pixels.stripes import (
    Progress,
    around,
    for_each_stripe,
    stripe_pixels,
)
from ..pixels.windows import box_mean, variance
from .exposure_fusion import (
    Blending,
    Exponents,
    Exposures,
    Level,
    ReadRows,
    fuse_exposures,
)
from .photos import favour_bright

# beta of Kou et al.: so many levels fewer, and filters of radius 2^beta.
_FEWER_LEVELS = 2
RADIUS = 2**_FEWER_LEVELS
EPS = 1 / 1024
_FLOOR = 1e-12
_TINY = 1e-6

Values = NDArray[np.float64]


@dataclass(frozen=True)
class EdgeAware:
    """How a filter knows edges by the variances of its guide.

    edge: variances over the filter's and the smallest windows -> how much of an edge each place is.
    of_least: whether the least of it counts in `slope` too, besides means.
    covariance: covariance, edge, and the statistics -> the slope of the local line.
    """

    edge: Callable[[Values, Values], Values]
    slope: Callable[[Values, Values, Values, Statistics], Values]


@dataclass(frozen=True)
class Statistics:
    """Of how much of an edge all places of a guide are: mean, least, and mean of the inverse."""

    mean: float
    least: float
    mean_inverse: float


def fuse_with_guided_weights(
    exposures: Exposures,
    brightness: list[float],
    exponents: Exponents,
    kind: EdgeAware,
    progress: Progress | None,
) -> NDArray[np.float32]:
    """Fuse pictures to one of (H, W, 3) float32; it may overshoot 0..1 a little.

    brightness: mean luma of every picture.
    """
    factors = favour_bright(brightness)

    def weigh(index: int, planes: list[Plane]) -> Plane:
        return np.asarray(exponents(index, planes) * factors[index], np.float32)

    def refine(read: ReadRows, size: tuple[int, int]) -> ReadRows:
        return _refined(read, size, kind)

    depth = max(2, level_count(*exposures.size) - _FEWER_LEVELS)
    return fuse_exposures(
        exposures, weigh, depth, progress, blending=Blending(refine, halo=2 * RADIUS)
    )


def gradient_domain() -> EdgeAware:
    """The gradient domain guided filter of Kou, Chen, Wen, Li, IEEE TIP 2015."""

    def edge(wide: Values, narrow: Values) -> Values:
        return np.sqrt(wide * narrow)

    def slope(covariance: Values, wide: Values, edge: Values, all_: Statistics) -> Values:
        importance = (edge + _TINY) * all_.mean_inverse
        spread = all_.mean - all_.least
        if spread > 0:
            exponent = np.clip((4 / spread) * (edge - all_.mean), -50, 50)
            kept = 1 - 1 / (1 + np.exp(exponent))
        else:  # a guide without edges
            kept = np.full_like(edge, 0.5)
        return (covariance + EPS * kept / importance) / (wide + EPS / importance)

    return EdgeAware(edge, slope)


def weighted() -> EdgeAware:
    """The weighted guided filter of Li, Zheng, Zhu, Yao, Wu, IEEE TIP 2015."""

    def edge(wide: Values, narrow: Values) -> Values:
        return narrow

    def slope(covariance: Values, wide: Values, edge: Values, all_: Statistics) -> Values:
        importance = (edge + _TINY) * all_.mean_inverse
        return covariance / (wide + EPS / importance)

    return EdgeAware(edge, slope)


def luma(planes: list[Plane]) -> Plane:
    """Luma of red, green and blue planes, (H, W) each."""
    red, green, blue = planes
    of_red, of_green, of_blue = (np.float32(weight) for weight in color.LUMA_601)
    return np.asarray(of_red * red + of_green * green + of_blue * blue, np.float32)


def _variances(guide: Plane) -> tuple[Values, Values, Values]:
    """Mean and variance of a guide over the filter's windows, and variance over 3 x 3."""
    mean = box_mean(guide, RADIUS)
    narrow = variance(guide, box_mean(guide, 1), 1)
    return mean, variance(guide, mean, RADIUS), narrow


def _refined(read: ReadRows, size: tuple[int, int], kind: EdgeAware) -> ReadRows:
    """Read a level with its weights filtered by its luma, and normalised."""
    statistics = _statistics(read, size, kind)

    def read_refined(start: int, stop: int) -> Level:
        rows = around(start, stop, 2 * RADIUS, size[0])
        level = read(rows.first, rows.last)
        weights = []
        for planes, weight, of_all, mask in zip(
            level.planes, level.weights, statistics, level.masks, strict=True
        ):
            filtered = np.maximum(_filtered(luma(planes), weight, of_all, kind), 0) + _FLOOR
            if mask is not None:
                filtered *= mask > 0
            weights.append(filtered[rows.inner])
        total = np.add.reduce(weights)
        inner = rows.inner
        return Level(
            [[plane[inner] for plane in planes] for planes in level.planes],
            [np.asarray(weight / total, np.float32) for weight in weights],
            [None if mask is None else mask[inner] for mask in level.masks],
        )

    return read_refined


def _filtered(guide: Plane, weight: Plane, of_all: Statistics, kind: EdgeAware) -> Values:
    mean, wide, narrow = _variances(guide)
    of_weight = box_mean(weight, RADIUS)
    products = box_mean(np.multiply(guide, weight, dtype=np.float64), RADIUS)
    slope = kind.slope(products - mean * of_weight, wide, kind.edge(wide, narrow), of_all)
    offset = of_weight - slope * mean
    return box_mean(slope, RADIUS) * guide + box_mean(offset, RADIUS)


def _statistics(read: ReadRows, size: tuple[int, int], kind: EdgeAware) -> list[Statistics]:
    """How much of an edge all places of every picture of a level are."""
    found: dict[int, list[tuple[float, float, float]]] = {}

    def work(start: int, stop: int) -> None:
        rows = around(start, stop, RADIUS, size[0])
        parts = []
        for planes in read(rows.first, rows.last).planes:
            _, wide, narrow = _variances(luma(planes))
            edge = kind.edge(wide, narrow)[rows.inner]
            parts.append((edge.sum(), edge.min(), (1 / (edge + _TINY)).sum()))
        found[start] = parts

    for_each_stripe(*size, work, pixels=stripe_pixels(RADIUS, size[1]))
    of_stripes: Any = np.array([found[start] for start in sorted(found)])
    sums, least = of_stripes.sum(axis=0) / (size[0] * size[1]), of_stripes.min(axis=0)
    return [
        Statistics(float(mean), float(smallest), float(inverse))
        for (mean, _, inverse), (_, smallest, _) in zip(sums, least, strict=True)
    ]

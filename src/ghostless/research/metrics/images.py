"""What a metric looks at, and how metrics of single planes become metrics of colour images."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from . import truth
from .structure import WindowSimilarities, window_similarities
from .tone_mapping import ToneMappingQuality, tone_mapping_quality

Bytes = NDArray[np.uint8]
Plane = NDArray[np.float64]

# MATLAB's rgb2gray: the luminance row of the inverse of its NTSC matrix.
_GREY = np.array([0.298936021293775, 0.587043074451121, 0.114020904255103])


@dataclass(frozen=True)
class Images:
    """A result and what it is compared with. Every image is RGB (H, W, 3) of one size.

    fused: the result, uint8, or float radiance where it is scored against true radiance.
    sources: the frames that were fused, uint8, dark to bright.
    truth: what a display result should be, uint8.
    true_radiance: what a linear result should be, float.
    radiance: the scene's radiance, float, for metrics of tone mapping.

    Raises InputError for images of another shape, type or size, or with values that are no numbers.
    """

    fused: NDArray[Any]
    sources: tuple[Bytes, ...] = ()
    truth: Bytes | None = None
    true_radiance: NDArray[np.floating[Any]] | None = None
    radiance: NDArray[np.floating[Any]] | None = None
    _lock: threading.RLock = field(
        default_factory=threading.RLock, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        _check("the result", self.fused, (np.uint8, np.floating))
        for number, source in enumerate(self.sources, start=1):
            self._check_like_result(f"source {number}", source, np.uint8)
        self._check_like_result("the truth", self.truth, np.uint8)
        self._check_like_result("the true radiance", self.true_radiance, np.floating)
        self._check_like_result("the radiance", self.radiance, np.floating)

    def _check_like_result(self, name: str, image: NDArray[Any] | None, kind: type) -> None:
        if image is None:
            return
        _check(name, image, (kind,))
        if image.shape != self.fused.shape:
            raise InputError(
                f"expected {name} to have the result's size, {self.fused.shape[1]} x "
                f"{self.fused.shape[0]} pixels, found {image.shape[1]} x {image.shape[0]}; "
                "give images of one scene and size"
            )

    @property
    def is_display(self) -> bool:
        """Whether the result is a display image."""
        return self.fused.dtype == np.uint8

    # Two metrics or more share each of these; they may run at the same time.

    @property
    def tone_mapping(self) -> ToneMappingQuality:
        """TMQI's three numbers, computed once."""
        with self._lock:
            return self._tone_mapping

    @property
    def window_similarities(self) -> WindowSimilarities:
        """Qc and Qy, means over R, G, B, computed once."""
        with self._lock:
            return self._window_similarities

    @property
    def exact_window_similarities(self) -> WindowSimilarities:
        """Qc_exact and Qy_exact, means over R, G, B, computed once."""
        with self._lock:
            return self._exact_window_similarities

    @cached_property
    def _tone_mapping(self) -> ToneMappingQuality:
        assert self.radiance is not None
        return tone_mapping_quality(self.radiance, self.fused)

    @cached_property
    def _window_similarities(self) -> WindowSimilarities:
        return self._window_similarities_over_channels(exact=False)

    @cached_property
    def _exact_window_similarities(self) -> WindowSimilarities:
        return self._window_similarities_over_channels(exact=True)

    def _window_similarities_over_channels(self, *, exact: bool) -> WindowSimilarities:
        three = (*self.sources, self.fused)
        channels = [
            window_similarities(*(plane_of(image, channel) for image in three), exact=exact)
            for channel in range(3)
        ]
        return WindowSimilarities(
            float(np.mean([c.cvejic for c in channels])), float(np.mean([c.yang for c in channels]))
        )


def _check(name: str, image: NDArray[Any], kinds: tuple[type, ...]) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise InputError(
            f"expected {name} as an array of shape (height, width, 3), found {image.shape}"
        )
    if not any(np.issubdtype(image.dtype, kind) for kind in kinds):
        wanted = " or ".join("uint8" if kind is np.uint8 else "float" for kind in kinds)
        raise InputError(
            f"expected {name} as {wanted} pixels, found {image.dtype}; "
            "display images are uint8, radiance is float"
        )
    if image.dtype != np.uint8 and not np.isfinite(image).all():
        raise InputError(f"expected {name} to hold finite numbers only, found NaN or infinity")


def plane_of(image: NDArray[Any], channel: int) -> NDArray[Any]:
    """One channel (H, W) of an image, contiguous."""
    return np.ascontiguousarray(image[:, :, channel])


def grey(image: Bytes) -> Plane:
    """Grey values 0..255 (H, W) of uint8 RGB, rounded to whole levels as MATLAB's rgb2gray."""
    return np.asarray(np.floor(image.astype(np.float64) @ _GREY + 0.5))


def greys(images: Images) -> tuple[list[Plane], Plane]:
    """Grey values of the sources and of the result. (H, W) each."""
    return [grey(source) for source in images.sources], grey(images.fused)


def per_channel(function: Callable[..., float]) -> Callable[[Images], float]:
    """Mean over R, G, B of a metric of single planes of the two sources and the result."""

    def compute(images: Images) -> float:
        three = (*images.sources, images.fused)
        values = [function(*(plane_of(i, channel) for i in three)) for channel in range(3)]
        return float(np.mean(values))

    return compute


def of_whole_images(function: Callable[..., float]) -> Callable[[Images], float]:
    """Metric of the two sources and the result that takes all channels at once."""
    return lambda images: function(*images.sources, images.fused)


def of_result(function: Callable[[Bytes], float]) -> Callable[[Images], float]:
    """Mean over R, G, B of a metric of single planes of the result alone."""

    def compute(images: Images) -> float:
        return float(np.mean([function(plane_of(images.fused, channel)) for channel in range(3)]))

    return compute


def to_truth(function: Callable[..., float]) -> Callable[[Images], float]:
    """Metric of the result against the true display image."""
    return lambda images: function(images.fused, images.truth)


def to_radiance(function: Callable[..., float]) -> Callable[[Images], float]:
    """Metric of the result against true radiance."""
    return lambda images: function(images.fused, images.true_radiance)


def of_intensity(function: Callable[..., float]) -> Callable[[Images], float]:
    """Metric of the intensity plane against the truth's."""
    return lambda images: function(*_intensity_and_saturation(images, 0))


def of_saturation(function: Callable[..., float]) -> Callable[[Images], float]:
    """Metric of the saturation plane against the truth's."""
    return lambda images: function(*_intensity_and_saturation(images, 1))


def _intensity_and_saturation(images: Images, part: int) -> tuple[Plane, Plane]:
    assert images.truth is not None
    result = truth.intensity_and_saturation(images.fused)[part]
    return result, truth.intensity_and_saturation(images.truth)[part]


def mean_over_sources(function: Callable[..., float]) -> Callable[[Images], float]:
    """Mean over the sources of a metric of their grey values and the result's."""

    def compute(images: Images) -> float:
        sources, result = greys(images)
        return float(np.mean([function(source, result) for source in sources]))

    return compute


def sum_over_sources(function: Callable[..., float]) -> Callable[[Images], float]:
    """Sum over the sources of a metric of their grey levels (uint8) and the result's."""

    def compute(images: Images) -> float:
        sources, result = greys(images)
        levels = result.astype(np.uint8)
        return sum(function(source.astype(np.uint8), levels) for source in sources)

    return compute

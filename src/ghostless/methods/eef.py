"""Extended exposure fusion: every frame as several of less range, so that nothing overshoots.

Paper: Hessel, Morel: An Extended Exposure Fusion and its Application to Single Image Contrast
    Enhancement, WACV 2020; Hessel: Extended Exposure Fusion, IPOL 2019.
Built as: every frame is replaced by simulated exposures that keep one part of its range and bend
    the rest smoothly towards it; all are blended by exposure fusion (`exposure_fusion.py`), with
    the slope of the bend as one more measure; then the range is stretched, one percent of the
    pixels clipping at each end.
Differs from the paper: what masks hide has no influence. `slope_weight=False` is the paper of WACV,
    without the measure of slope.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Annotated

import numpy as np

from ..bracket import Fused, Stack
from ..pixels.pyramid import Plane, level_count
from ..pixels.stripes import Progress
from ..settings import Range, check_settings
from .exposure_fusion import Exponents, fuse_exposures
from .photos import Photos, all_grey
from .ranges import stretch

_FLOOR = np.float32(1e-12)


@dataclass(frozen=True)
class EefSettings:
    """How the frames are taken apart.

    kept_range: how much of the range a simulated exposure keeps; the smaller, the more there are.
        1 takes the frames as they are, which is exposure fusion.
    bend: over how much of the range what lies beyond is bent.
    slope_weight: weigh what is bent less.
    stretch_percent: share of the pixels that clip at each end of the result.
    """

    kept_range: Annotated[float, Range(0.05, 1)] = 0.3
    bend: Annotated[float, Range(above=0, high=0.5)] = 0.125
    slope_weight: bool = True
    stretch_percent: Annotated[float, Range(0, below=50)] = 1.0

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def count(self) -> int:
        """Number of simulated exposures of every frame."""
        return ceil(1 / self.kept_range - 1e-9)


def fuse(
    stack: Stack, settings: EefSettings = EefSettings(), *, progress: Progress | None = None
) -> Fused:
    """Fuse 1 to 20 aligned frames into one display image.

    stack: frames of any type and transfer; masks are honoured. Where all frames are masked, the
        reference is taken.
    progress: called with the fraction done, 0..1.
    Returns a display image, (H, W, 3) float32, 0..1, with the reference's metadata.
    """
    exposures = _Simulated(stack, settings)
    measures = Exponents(saturation=0.0 if all_grey(stack.frames) else 1.0)

    def weigh(index: int, planes: list[Plane]) -> Plane:
        weight = measures(index, planes)
        if settings.slope_weight and settings.count > 1:
            # The floor comes last: it is for what is flat, bent or not.
            weight -= _FLOOR
            for plane in planes:
                weight *= exposures.slope(index % settings.count, plane)
            np.maximum(weight, 0, out=weight)
            weight += _FLOOR
        return weight

    depth = level_count(*exposures.size)
    pixels = fuse_exposures(exposures, weigh, depth, progress, wraps=stack.wraps)
    if settings.stretch_percent > 0:
        stretch(pixels, settings.stretch_percent)
    np.clip(pixels, 0, 1, out=pixels)
    return Fused(pixels, "display", stack.frames[stack.reference].metadata)


@dataclass(frozen=True)
class _Simulated(Photos):
    """A stack's frames as simulated exposures of less range: `count` of every frame in turn."""

    settings: EefSettings = EefSettings()

    @property
    def masked(self) -> Sequence[bool]:
        count = self.settings.count
        return [masked for masked in Photos.masked.fget(self) for _ in range(count)]  # type: ignore[attr-defined]

    def planes(self, start: int, stop: int) -> list[list[Plane]]:
        frames = super().planes(start, stop)
        if self.settings.count == 1:
            return frames
        return [
            [self._bent(number, plane) for plane in planes]
            for planes in frames
            for number in range(self.settings.count)
        ]

    def masks(self, start: int, stop: int) -> list[Plane | None]:
        masks = super().masks(start, stop)
        return [mask for mask in masks for _ in range(self.settings.count)]

    def slope(self, number: int, bent: Plane) -> Plane:
        """Slope of the bend, 0..1, at the values that came out of it."""
        left = self._reach - np.abs(bent - self._middle(number))
        slope = np.square(left * np.float32(1 / self.settings.bend))
        return np.asarray(np.minimum(slope, 1), np.float32)

    def _bent(self, number: int, plane: Plane) -> Plane:
        off = plane - self._middle(number)
        distance = np.abs(off)
        half = np.float32(self.settings.kept_range / 2)
        bend = np.float32(self.settings.bend)
        beyond = self._reach - bend**2 / np.maximum(distance - half + bend, bend)
        return np.where(distance <= half, plane, self._middle(number) + np.copysign(beyond, off))

    @property
    def _reach(self) -> np.float32:
        return np.float32(self.settings.kept_range / 2 + self.settings.bend)

    def _middle(self, number: int) -> np.float32:
        kept = self.settings.kept_range
        return np.float32(1 - kept / 2 - number * (1 - kept) / (self.settings.count - 1))

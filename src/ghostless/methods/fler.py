"""Two photos far apart in exposure: a virtual one between them bridges the gap.

Paper: Yang, Cao, Wu, Li: Multi-Scale Fusion of Two Large-Exposure-Ratio Images, IEEE Signal
    Processing Letters 2018.
Built as: histograms tell which level of one photo is which of the other, channel by channel. So
    each photo is brought to the other's exposure, and the geometric mean with itself lies half-way.
    The virtual photo is the mean of both half-ways, each where its photo is neither black nor
    clipped; the three are fused as by `kou`.
Differs from the paper: levels between the 256 of the histograms are interpolated, so that photos of
    more bits keep them. Where neither photo is reliable both half-ways count alike; the authors'
    program leaves black specks there and reads its tables one level off, which
    `as_published=True` does too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bracket import Fused, Stack
from ..pixels.pyramid import Plane
from ..pixels.stripes import Progress, for_each_stripe, part
from ..settings import check_settings
from .exposure_fusion import Exponents
from .guided_weights import fuse_with_guided_weights, gradient_domain, luma
from .kou import WELL_EXPOSEDNESS
from .photos import Photos, all_grey
from .ranges import LEVELS, histograms, matched_levels

# Levels between which the dark photo begins to be reliable, and the bright one ceases to be.
_DARK_FROM, _DARK_TO = 10, 55
_BRIGHT_FROM, _BRIGHT_TO = 200, 250


@dataclass(frozen=True)
class FlerSettings:
    """How the virtual photo is made.

    as_published: look levels up one off, leave black specks where neither photo is reliable, and
        round to 8 bits, as the authors' program does.
    """

    as_published: bool = False

    def __post_init__(self) -> None:
        check_settings(self)


def fuse(
    stack: Stack, settings: FlerSettings = FlerSettings(), *, progress: Progress | None = None
) -> Fused:
    """Fuse two aligned frames into one display image.

    stack: two frames of any type and transfer, dark and bright; masks are honoured. Where both are
        masked, the reference is taken.
    progress: called with the fraction done, 0..1.
    Returns a display image, (H, W, 3) float32, 0..1, with the reference's metadata.
    """
    exposures = _WithVirtual(stack, settings.as_published)
    brightness = _mean_lumas(exposures, part(progress, 0, 0.1))
    exponents = Exponents(
        saturation=0.0 if all_grey(stack.frames) else 1.0, well_exposedness=WELL_EXPOSEDNESS
    )
    pixels = fuse_with_guided_weights(
        exposures, brightness, exponents, gradient_domain(), part(progress, 0.1, 1)
    )
    np.clip(pixels, 0, 1, out=pixels)
    return Fused(pixels, "display", stack.frames[stack.reference].metadata)


@dataclass(frozen=True)
class _WithVirtual:
    """Two frames and the virtual one between them.

    brighter, darker: (3, 256), level of the bright frame for every one of the dark, and back.
    """

    stack: Stack
    as_published: bool
    brighter: NDArray[np.int64] = field(init=False)
    darker: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        dark, bright = histograms(self.photos)
        pairs = list(zip(dark, bright, strict=True))
        object.__setattr__(self, "brighter", np.array([matched_levels(d, b) for d, b in pairs]))
        object.__setattr__(self, "darker", np.array([matched_levels(b, d) for d, b in pairs]))

    @property
    def photos(self) -> Photos:
        return Photos(self.stack)

    @property
    def size(self) -> tuple[int, int]:
        return self.photos.size

    @property
    def masked(self) -> Sequence[bool]:
        dark, bright = self.photos.masked
        return [dark, bright, dark and bright]

    def masks(self, start: int, stop: int) -> list[Plane | None]:
        dark, bright = self.photos.masks(start, stop)
        either = np.maximum(dark, bright) if dark is not None and bright is not None else None
        return [dark, bright, either]

    def planes(self, start: int, stop: int) -> list[list[Plane]]:
        dark, bright = self.photos.planes(start, stop)
        masks = self.photos.masks(start, stop)
        virtual = [
            self._virtual(channel, dark[channel], bright[channel], masks) for channel in range(3)
        ]
        return [dark, bright, virtual]

    def _virtual(
        self, channel: int, dark: Plane, bright: Plane, masks: list[Plane | None]
    ) -> Plane:
        top = np.float32(LEVELS - 1)
        dark, bright = dark * top, bright * top
        from_dark = np.sqrt(dark * self._looked_up(self.brighter[channel], dark))
        from_bright = np.sqrt(bright * self._looked_up(self.darker[channel], bright))
        of_dark = _smooth_step((dark - _DARK_FROM) / (_DARK_TO - _DARK_FROM))
        of_bright = _smooth_step((_BRIGHT_TO - bright) / (_BRIGHT_TO - _BRIGHT_FROM))
        # What is hidden of one photo is made of the other, reliable or not.
        seen = [np.ones_like(dark) if mask is None else mask for mask in masks]
        of_dark, of_bright = of_dark * seen[0], of_bright * seen[1]
        total = of_dark + of_bright
        if self.as_published:
            total[total == 0] = np.inf
        else:
            np.copyto(of_dark, seen[0], where=total == 0)
            np.copyto(of_bright, seen[1], where=total == 0)
            total = of_dark + of_bright
        virtual = (of_dark * from_dark + of_bright * from_bright) / total
        if self.as_published:
            virtual = np.floor(virtual + np.float32(0.5))
        return np.asarray(virtual / top, np.float32)

    def _looked_up(self, table: NDArray[np.int64], codes: Plane) -> Plane:
        levels = np.arange(LEVELS)
        if self.as_published:
            off = np.concatenate([[0], np.minimum(table[:-1] + 1, LEVELS - 1)])
            return np.asarray(off[np.rint(codes).astype(np.int64)], np.float32)
        return np.asarray(np.interp(codes, levels, table), np.float32)


def _smooth_step(t: NDArray[Any]) -> Plane:
    """Rises from 0 at 0 to 1 at 1, flat at both."""
    t = np.clip(t, 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def _mean_lumas(exposures: _WithVirtual, progress: Progress | None) -> list[float]:
    found: dict[int, NDArray[np.float64]] = {}

    def work(start: int, stop: int) -> None:
        masks = exposures.masks(start, stop)
        pairs = []
        for planes, mask in zip(exposures.planes(start, stop), masks, strict=True):
            values = luma(planes)
            weight = np.ones_like(values) if mask is None else mask
            pairs.append(((values * weight).sum(dtype=np.float64), weight.sum(dtype=np.float64)))
        found[start] = np.array(pairs)

    for_each_stripe(*exposures.size, work, progress=progress)
    total = sum((found[start] for start in sorted(found)), np.zeros((3, 2)))
    return [float(value / max(weight, 1e-9)) for value, weight in total]

"""Exposure fusion: every pixel from the frames that show it best, blended over scales.

Paper: Mertens, Kautz, Van Reeth: Exposure Fusion, Pacific Graphics 2007.
Built as: weight = contrast^a * saturation^b * well-exposedness^c per frame and pixel, normalised
    over the frames; Laplacian pyramids of the frames blended by Gaussian pyramids of the weights.
Differs from the paper: frames may have masks, and what is masked has no influence at any scale
    (the pyramid of a masked frame is made of its unmasked pixels only). The result is clipped to
    0..1, or stretched into it on request.

The image is never held in float at full size but for the result. Pass one walks the photos in
stripes, weighs them and reduces frames and weights to half the side; the coarser levels are made
from those; pass two walks the photos again, weighs them again (cheaper than keeping the weights)
and adds their finest detail. The result equals that of the whole-image algorithm.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite

import cv2
import numpy as np
from numpy.typing import NDArray

from .. import color
from ..bracket import Fused, Pixels, Stack
from ..errors import OptionError
from ..pyramid import (
    Plane,
    expand_rows,
    half,
    level_count,
    reduce_rows,
    source_rows,
)
from ..stripes import Progress, for_each_stripe, part, stripes

# Keeps the weights of a pixel that no frame shows well from being 0 / 0 (Mertens et al., program).
_WEIGHT_FLOOR = np.float32(1e-12)
# Rounding in float32 makes up to this much Laplacian out of a flat area; the floor would not
# outweigh it, and noise would choose between the frames.
_LAPLACIAN_NOISE = 1e-6
# exp(-(z - 0.5)^2 / (2 sigma^2)), sigma = 0.2 (Mertens et al. 2007, section 3.1).
_WELL_EXPOSED = 0.5
_WELL_EXPOSED_SIGMA = 0.2


@dataclass(frozen=True)
class MertensSettings:
    """How exposure fusion weighs the frames.

    contrast, saturation, well_exposedness: exponents of the three measures, 0 leaves one out.
    levels: depth of the pyramid; None for as many as the image has, which leaves no halos.
    stretch_percent: let this share of the pixels clip at each end and stretch the rest to 0..1
        (Hessel, IPOL 2018, uses 1); 0 only clips what overshoots.
    """

    contrast: float = 1.0
    saturation: float = 1.0
    well_exposedness: float = 1.0
    levels: int | None = None
    stretch_percent: float = 0.0

    def __post_init__(self) -> None:
        for name in ("contrast", "saturation", "well_exposedness"):
            value = getattr(self, name)
            if not (isfinite(value) and value >= 0):
                raise OptionError(f"expected a {name} exponent of 0 or more, found {value}")
        if self.levels is not None and self.levels < 1:
            raise OptionError(f"expected at least 1 pyramid level, found {self.levels}")
        if not 0 <= self.stretch_percent < 50:
            raise OptionError(
                f"expected a stretch_percent from 0 to less than 50, found {self.stretch_percent}"
            )


@dataclass(frozen=True)
class _Level:
    """One level of all frames' pyramids, or a stripe of it.

    planes: per frame its red, green and blue, (H, W) each.
    weights: per frame, (H, W), adding up to 1.
    masks: per frame, (H, W) above 0 where the frame counts, or None where it does everywhere.
    """

    planes: list[list[Plane]]
    weights: list[Plane]
    masks: list[Plane | None]

    @property
    def shape(self) -> tuple[int, int]:
        height, width = self.weights[0].shape
        return height, width

    def rows(self, start: int, stop: int) -> _Level:
        span = slice(start, stop)
        return _Level(
            [[plane[span] for plane in planes] for planes in self.planes],
            [weight[span] for weight in self.weights],
            [None if mask is None else mask[span] for mask in self.masks],
        )


_ReadRows = Callable[[int, int], _Level]


def fuse(
    stack: Stack,
    settings: MertensSettings = MertensSettings(),
    *,
    progress: Progress | None = None,
) -> Fused:
    """Fuse 1 to 20 aligned frames into one display image by exposure fusion.

    stack: frames of any type and transfer; masks are honoured. Where all frames are masked, the
        reference is taken.
    progress: called with the fraction done, 0..1.
    Returns a display image, (H, W, 3) float32, 0..1, with the reference's metadata.
    """
    reference = stack.frames[stack.reference]
    size = (reference.height, reference.width)
    photos = _Photos(stack, settings)
    depth = min(settings.levels or level_count(*size), level_count(*size))
    if depth == 1:
        pixels = _mean(photos.rows, size, progress)
    else:
        pixels = _blend(photos.rows, size, depth, len(stack.frames), photos.masked, progress)
    _fit_range(pixels, settings.stretch_percent)
    return Fused(pixels, "display", reference.metadata)


class _Photos:
    """The finest level, made from the photos whenever a stripe of it is asked for."""

    def __init__(self, stack: Stack, settings: MertensSettings) -> None:
        self.stack = stack
        self.settings = settings
        self.height, self.width = stack.frames[0].height, stack.frames[0].width
        self.use_saturation = settings.saturation > 0 and not _all_grey(stack)
        self.masked = [
            stack.valid[index] is not None or stack.confidence[index] is not None
            for index in range(len(stack.frames))
        ]

    def rows(self, start: int, stop: int) -> _Level:
        # One row more on each side for the Laplacian.
        first, last = max(0, start - 1), min(self.height, stop + 1)
        inner = slice(start - first, stop - first)
        masks = self._masks(slice(start, stop))
        all_planes, weights = [], []
        for frame, mask in zip(self.stack.frames, masks, strict=True):
            planes = _display_planes(frame.pixels[first:last], frame.transfer)
            weight = _quality(planes, self.settings, self.use_saturation)[inner]
            if mask is not None:
                weight *= mask
            all_planes.append([plane[inner] for plane in planes])
            weights.append(weight)
        total = weights[0].copy()
        for weight in weights[1:]:
            total += weight
        for weight in weights:
            np.divide(weight, total, out=weight)
        return _Level(all_planes, weights, masks)

    def _masks(self, rows: slice) -> list[Plane | None]:
        masks = [self.stack.weight(index, rows) for index in range(len(self.stack.frames))]
        if any(mask is None for mask in masks):
            return masks
        # Where every frame is masked, somebody has to be shown: the reference.
        nowhere = np.maximum.reduce([mask for mask in masks if mask is not None]) == 0
        reference = masks[self.stack.reference]
        assert reference is not None
        reference[nowhere] = 1
        return masks


def _display_planes(pixels: Pixels, transfer: color.Transfer) -> list[Plane]:
    planes = [color.to_display(plane, transfer) for plane in cv2.split(pixels)]
    if pixels.dtype == np.float32:
        planes = [np.nan_to_num(plane, nan=0.0) for plane in planes]
    return planes


def _all_grey(stack: Stack) -> bool:
    """Whether no frame has any colour; then saturation says nothing (Mertens et al., program)."""
    for frame in stack.frames:
        for start, stop in stripes(frame.height, frame.width):
            red, green, blue = cv2.split(frame.pixels[start:stop])
            if not (np.array_equal(red, green) and np.array_equal(green, blue)):
                return False
    return True


def _quality(planes: list[Plane], settings: MertensSettings, use_saturation: bool) -> Plane:
    """Weight of one frame before normalising (Mertens et al. 2007, section 3.1 and equation 1)."""
    red, green, blue = planes
    quality = np.full_like(red, 1)
    if settings.contrast > 0:
        grey = cv2.addWeighted(red, float(color.LUMA_601[0]), green, float(color.LUMA_601[1]), 0)
        cv2.scaleAdd(blue, float(color.LUMA_601[2]), grey, dst=grey)
        laplacian = cv2.Laplacian(grey, cv2.CV_32F, ksize=1, borderType=cv2.BORDER_REPLICATE)
        contrast = np.abs(np.asarray(laplacian, np.float32))
        cv2.threshold(contrast, _LAPLACIAN_NOISE, 0, cv2.THRESH_TOZERO, dst=contrast)
        quality = _power(contrast, settings.contrast)
    if use_saturation:
        quality *= _power(_spread(red, green, blue), settings.saturation)
    if settings.well_exposedness > 0:
        # sum over channels of (z - 0.5)^2
        off = np.square(red - np.float32(_WELL_EXPOSED))
        for plane in (green, blue):
            centred = plane - np.float32(_WELL_EXPOSED)
            off += np.square(centred, out=centred)
        off *= np.float32(-settings.well_exposedness / (2 * _WELL_EXPOSED_SIGMA**2))
        quality *= cv2.exp(off, dst=off)
    quality += _WEIGHT_FLOOR
    return quality


def _spread(red: Plane, green: Plane, blue: Plane) -> Plane:
    """Standard deviation of the three channels; exactly 0 for grey."""
    # From the differences d1 = r - g, d2 = g - b: variance = 2/9 (d1^2 + d2^2 + d1 d2).
    first = red - green
    second = green - blue
    variance = first + second
    variance *= first
    variance += np.square(second, out=second)
    variance *= np.float32(2 / 9)
    return np.asarray(cv2.sqrt(np.maximum(variance, 0, out=variance), dst=variance))


def _power(base: Plane, exponent: float) -> Plane:
    return base if exponent == 1 else np.asarray(cv2.pow(base, exponent, dst=base))


def _mean(read: _ReadRows, size: tuple[int, int], progress: Progress | None) -> NDArray[np.float32]:
    """Blend without a pyramid: the weighted mean of the frames."""
    out = np.empty((*size, 3), np.float32)

    def work(start: int, stop: int) -> None:
        cv2.merge(_weighted_sum(read(start, stop)), dst=out[start:stop])

    for_each_stripe(*size, work, progress=progress)
    return out


def _weighted_sum(level: _Level) -> list[Plane]:
    return [
        np.add.reduce(
            [
                weight * planes[channel]
                for planes, weight in zip(level.planes, level.weights, strict=True)
            ]
        )
        for channel in range(3)
    ]


def _blend(
    read: _ReadRows,
    size: tuple[int, int],
    depth: int,
    count: int,
    masked: list[bool],
    progress: Progress | None,
) -> NDArray[np.float32]:
    """Blend the Laplacian pyramids of `count` frames, `depth` levels, to (H, W, 3)."""
    levels = [_reduced(read, size, count, masked, part(progress, 0, 0.4))]
    while len(levels) < depth - 1:
        finer = levels[-1]
        levels.append(_reduced(finer.rows, finer.shape, count, masked, None))

    blended = _weighted_sum(levels[-1])
    while len(levels) > 1:
        coarser = levels.pop()
        finer = levels[-1]
        planes = [np.empty(finer.shape, np.float32) for _ in range(3)]
        _add_detail(finer.rows, finer.shape, coarser, blended, planes, None)
        blended = planes
    if progress is not None:
        progress(0.5)
    out = np.empty((*size, 3), np.float32)
    _add_detail(read, size, levels[0], blended, out, part(progress, 0.5, 1))
    return out


def _reduced(
    read: _ReadRows,
    size: tuple[int, int],
    count: int,
    masked: list[bool],
    progress: Progress | None,
) -> _Level:
    """Make the next coarser level of one of `size`, all of it."""
    small = (half(size[0]), half(size[1]))
    level = _Level(
        [[np.empty(small, np.float32) for _ in range(3)] for _ in range(count)],
        [np.empty(small, np.float32) for _ in range(count)],
        [np.empty(small, np.float32) if is_masked else None for is_masked in masked],
    )

    def work(start: int, stop: int) -> None:
        first, last = source_rows(start, stop, size[0])
        source = read(first, last)
        target = level.rows(start, stop)
        for index in range(count):
            target.weights[index][:] = reduce_rows(source.weights[index], first, start, stop)
            mask, target_mask = source.masks[index], target.masks[index]
            if mask is not None and target_mask is not None:
                target_mask[:] = reduce_rows(mask, first, start, stop)
            for plane, wanted in zip(source.planes[index], target.planes[index], strict=True):
                if mask is None or target_mask is None:
                    wanted[:] = reduce_rows(plane, first, start, stop)
                else:
                    # The mean of the unmasked pixels alone; where there are none the weight is
                    # 0 here and at every neighbour that expanding reads, so any value will do.
                    wanted[:] = reduce_rows(plane * mask, first, start, stop)
                    np.divide(wanted, target_mask, out=wanted, where=target_mask > 0)

    for_each_stripe(*small, work, progress=progress)
    return level


def _add_detail(
    read: _ReadRows,
    size: tuple[int, int],
    coarser: _Level,
    blended: list[Plane],
    out: list[Plane] | NDArray[np.float32],
    progress: Progress | None,
) -> None:
    """Expand the blended coarser level and add the detail of this one, blended by its weights.

    out: three planes, or (H, W, 3); written.
    """

    def work(start: int, stop: int) -> None:
        level = read(start, stop)
        planes = [expand_rows(plane, start, stop, size[1]) for plane in blended]
        for frame, coarse, weight in zip(level.planes, coarser.planes, level.weights, strict=True):
            for channel in range(3):
                detail = expand_rows(coarse[channel], start, stop, size[1])
                np.subtract(frame[channel], detail, out=detail)
                detail *= weight
                planes[channel] += detail
        if isinstance(out, list):
            for plane, target in zip(planes, out, strict=True):
                target[start:stop] = plane
        else:
            cv2.merge(planes, dst=out[start:stop])

    for_each_stripe(*size, work, progress=progress)


def _fit_range(pixels: NDArray[np.float32], stretch_percent: float) -> None:
    """Clip to 0..1 in place, after stretching the range between two percentiles to it.

    The low percentile is that of each pixel's darkest channel, the high one that of its brightest
    (Hessel, IPOL 2018).
    """
    height, width = pixels.shape[:2]
    low, high = 0.0, 1.0
    if stretch_percent > 0:
        low = _percentile(pixels.min(axis=2), stretch_percent, upper=False)
        high = _percentile(pixels.max(axis=2), stretch_percent, upper=True)
        if high - low < 1 / 255:  # one flat tone: nothing to stretch
            low, high = 0.0, 1.0

    def work(start: int, stop: int) -> None:
        rows = pixels[start:stop]
        if (low, high) != (0, 1):
            rows -= np.float32(low)
            rows *= np.float32(1 / (high - low))
        np.clip(rows, 0, 1, out=rows)

    for_each_stripe(height, width, work)


def _percentile(plane: Plane, percent: float, *, upper: bool) -> float:
    rank = int(plane.size * percent / 100)
    rank = plane.size - 1 - rank if upper else rank
    return float(np.partition(plane.ravel(), rank)[rank])

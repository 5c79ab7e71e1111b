"""Exposure fusion of pictures that come in stripes: weighed by quality, blended over scales.

The engine of `methods/mertens.py`, of the tone mapper made from it and of other methods that blend
pyramids (`dem`, `kou`, `li`, `fler`, `eef`). Whatever can give rows of several exposures of one
scene can be fused, be it photos or virtual exposures of an HDR image.

No picture is ever held in float at full size but the result. Pass one walks the exposures in
stripes, weighs them and reduces pictures and weights to half the side; the coarser levels are made
from those; pass two walks the exposures again, weighs them again (cheaper than keeping the
weights) and adds their finest detail. The result equals that of the whole-image algorithm of
Mertens, Kautz, Van Reeth: Exposure Fusion, Pacific Graphics 2007.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from ..pixels import color
from ..pixels.pyramid import Plane, full_level_count
from ..pixels.pyramid_steps import Step, Steps, balanced_steps, halvings
from ..pixels.seam import with_margins
from ..pixels.stripes import STRIPE_PIXELS, Progress, for_each_stripe, part, stripe_pixels
from ..work.spill import empty

# Keeps the weights of a pixel that no picture shows well from being 0 / 0 (Mertens et al.,
# program).
_WEIGHT_FLOOR = np.float32(1e-12)
# Rounding in float32 makes up to this much Laplacian out of a flat area; the floor would not
# outweigh it, and noise would choose between the pictures.
_LAPLACIAN_NOISE = 1e-6
# exp(-(z - 0.5)^2 / (2 sigma^2)), sigma = 0.2 (Mertens et al. 2007, section 3.1).
_WELL_EXPOSED = 0.5
_WELL_EXPOSED_SIGMA = 0.2


class Exposures(Protocol):
    """Several display pictures of one scene that are made row by row.

    size: (height, width).
    masked: for each picture whether `masks` gives a mask for it.
    """

    @property
    def size(self) -> tuple[int, int]: ...

    @property
    def masked(self) -> Sequence[bool]: ...

    def planes(self, start: int, stop: int) -> list[list[Plane]]:
        """Rows of every picture's red, green and blue: new float32 (rows, W), 0..1, finite."""
        ...

    def masks(self, start: int, stop: int) -> list[Plane | None]:
        """Rows of what to multiply weights by, (rows, W), 0..1; not 0 for all pictures at once."""
        ...


# Weighs rows of a picture, given its number and its planes; one row more on each side than wanted.
Weigh = Callable[[int, list[Plane]], Plane]


@dataclass(frozen=True)
class Exponents:
    """How much each measure of quality counts; 0 leaves one out."""

    contrast: float = 1.0
    saturation: float = 1.0
    well_exposedness: float = 1.0

    def __call__(self, index: int, planes: list[Plane]) -> Plane:
        """Weigh rows of a picture, (rows, W) each; not normalised."""
        return _quality(planes, self)


@dataclass(frozen=True)
class Level:
    """One level of all pictures' pyramids, or a stripe of it.

    planes: per picture its red, green and blue, (H, W) each.
    weights: per picture, (H, W), adding up to 1.
    masks: per picture, (H, W) above 0 where the picture counts, or None where it does everywhere.
    """

    planes: list[list[Plane]]
    weights: list[Plane]
    masks: list[Plane | None]

    @property
    def shape(self) -> tuple[int, int]:
        height, width = self.weights[0].shape
        return height, width

    def rows(self, start: int, stop: int) -> Level:
        span = slice(start, stop)
        return Level(
            [[plane[span] for plane in planes] for planes in self.planes],
            [weight[span] for weight in self.weights],
            [None if mask is None else mask[span] for mask in self.masks],
        )


ReadRows = Callable[[int, int], Level]
# Changes the weights of a level, given the next coarser one and the step there, None for the
# coarsest. Of the finest level, which is never there as a whole, the weights are then those of the
# next, enlarged.
Reweigh = Callable[[Level, tuple[Level, Step] | None], None]


@dataclass(frozen=True)
class Blending:
    """What other methods do differently once the pyramids are there.

    refine: reads a level of a size with other weights; called once for every level.
    coarsest: blends the coarsest level, all of it, to three planes.
    halo: how many rows on both sides `refine` looks at.
    """

    refine: Callable[[ReadRows, tuple[int, int]], ReadRows] = lambda read, size: read
    coarsest: Callable[[Level], list[Plane]] = lambda level: weighted_sum(level)
    halo: int = 0


def fuse_exposures(
    exposures: Exposures,
    weigh: Weigh,
    levels: int | Steps = balanced_steps,
    progress: Progress | None = None,
    *,
    wraps: bool = False,
    reweigh: Reweigh | None = None,
    blending: Blending = Blending(),
) -> NDArray[np.float32]:
    """Fuse pictures to one of (H, W, 3) float32; it may overshoot 0..1 a little.

    wraps: whether their right edge is their left one's neighbour.
    reweigh: what to make of the weights of each level.
    levels: the steps of the pyramid, or the depth of one of `halvings`, at most down to one pixel.
    """
    size = exposures.size
    if isinstance(levels, int):
        steps = halvings(size, min(levels, full_level_count(*size)), wraps)
    else:
        steps = levels(size, wraps)

    def read(start: int, stop: int) -> Level:
        return _weighed_rows(exposures, weigh, start, stop, wraps)

    if not steps:
        return _mean(read, size, progress)
    finest = None if reweigh is None else partial(_finest_rows, exposures, steps[0])
    return _blend(read, steps, exposures.masked, progress, reweigh, finest, blending)


def mean_weights(
    exposures: Exposures, weigh: Weigh, factor: int, *, wraps: bool = False
) -> list[Plane]:
    """Weigh pictures as `fuse_exposures` does; give the mean weights of squares of pixels.

    factor: side of the squares; the last ones of a row or column may be smaller.
    Returns a plane of (ceil(H / factor), ceil(W / factor)) per picture; together they are 1.
    """
    height, width = exposures.size
    small = (-(-height // factor), -(-width // factor))
    maps = [np.empty(small, np.float32) for _ in exposures.masked]

    def work(start: int, stop: int) -> None:
        rows = start * factor, min(stop * factor, height)
        level = _weighed_rows(exposures, weigh, *rows, wraps)
        for weight, target in zip(level.weights, maps, strict=True):
            target[start:stop] = _mean_of_squares(weight, factor)

    for_each_stripe(*small, work, pixels=max(1, STRIPE_PIXELS // factor**2))
    return maps


def _mean_of_squares(plane: Plane, factor: int) -> Plane:
    height, width = plane.shape
    padding = (0, -height % factor, 0, -width % factor)
    whole = cv2.copyMakeBorder(plane, *padding, cv2.BORDER_REFLECT)
    size = (whole.shape[1] // factor, whole.shape[0] // factor)
    return np.asarray(cv2.resize(whole, size, interpolation=cv2.INTER_AREA), np.float32)


def _weighed_rows(exposures: Exposures, weigh: Weigh, start: int, stop: int, wraps: bool) -> Level:
    """Make rows of the finest level from the pictures themselves."""
    # One row more on each side for the Laplacian.
    first, last = max(0, start - 1), min(exposures.size[0], stop + 1)
    inner = slice(start - first, stop - first)
    pictures = exposures.planes(first, last)
    masks = exposures.masks(start, stop)
    weights = []
    for index, (planes, mask) in enumerate(zip(pictures, masks, strict=True)):
        if wraps:
            # A column more on each side for the Laplacian.
            beyond = [with_margins(plane, 1) for plane in planes]
            weight = np.ascontiguousarray(weigh(index, beyond)[inner, 1:-1])
        else:
            weight = weigh(index, planes)[inner]
        if mask is not None:
            weight *= mask
        weights.append(weight)
    total = np.add.reduce(weights)
    for weight in weights:
        np.divide(weight, total, out=weight)
    return Level([[plane[inner] for plane in planes] for planes in pictures], weights, masks)


def _finest_rows(exposures: Exposures, step: Step, coarser: Level, start: int, stop: int) -> Level:
    """Rows of the finest level with the weights of the next one, enlarged."""
    masks = exposures.masks(start, stop)
    weights = [step.expand_rows(weight, start, stop) for weight in coarser.weights]
    if any(mask is not None for mask in masks):
        for weight, mask in zip(weights, masks, strict=True):
            # Beside a mask's edge its neighbours' weights must not be missing.
            weight += _WEIGHT_FLOOR
            if mask is not None:
                weight *= mask
        total = np.add.reduce(weights)
        for weight in weights:
            np.divide(weight, total, out=weight)
    return Level(exposures.planes(start, stop), weights, masks)


def _quality(planes: list[Plane], exponents: Exponents) -> Plane:
    """Weigh one picture, not normalised (Mertens et al. 2007, section 3.1 and equation 1)."""
    red, green, blue = planes
    quality = np.full_like(red, 1)
    if exponents.contrast > 0:
        grey = cv2.addWeighted(red, float(color.LUMA_601[0]), green, float(color.LUMA_601[1]), 0)
        cv2.scaleAdd(blue, float(color.LUMA_601[2]), grey, dst=grey)
        laplacian = cv2.Laplacian(grey, cv2.CV_32F, ksize=1, borderType=cv2.BORDER_REPLICATE)
        contrast = np.abs(np.asarray(laplacian, np.float32))
        cv2.threshold(contrast, _LAPLACIAN_NOISE, 0, cv2.THRESH_TOZERO, dst=contrast)
        quality = _power(contrast, exponents.contrast)
    if exponents.saturation > 0:
        quality *= _power(_spread(red, green, blue), exponents.saturation)
    if exponents.well_exposedness > 0:
        # sum over channels of (z - 0.5)^2
        off = np.square(red - np.float32(_WELL_EXPOSED))
        for plane in (green, blue):
            centred = plane - np.float32(_WELL_EXPOSED)
            off += np.square(centred, out=centred)
        off *= np.float32(-exponents.well_exposedness / (2 * _WELL_EXPOSED_SIGMA**2))
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


def _mean(read: ReadRows, size: tuple[int, int], progress: Progress | None) -> NDArray[np.float32]:
    """Blend without a pyramid: the weighted mean of the pictures."""
    out = empty((*size, 3), np.float32)

    def work(start: int, stop: int) -> None:
        cv2.merge(weighted_sum(read(start, stop)), dst=out[start:stop])

    for_each_stripe(*size, work, progress=progress)
    return out


def weighted_sum(level: Level) -> list[Plane]:
    """The pictures of a level added up by their weights: three planes, (H, W) each."""
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
    read: ReadRows,
    steps: Sequence[Step],
    masked: Sequence[bool],
    progress: Progress | None,
    reweigh: Reweigh | None,
    finest: Callable[[Level, int, int], Level] | None,
    blending: Blending,
) -> NDArray[np.float32]:
    """Blend the Laplacian pyramids of the pictures, a level more than `steps`, to (H, W, 3).

    finest: given the next level and rows, the finest level's as `reweigh` would have them.
    """
    size = steps[0].size
    levels = [_reduced(read, steps[0], masked, part(progress, 0, 0.4))]
    for step in steps[1:]:
        levels.append(_reduced(levels[-1].rows, step, masked, None))

    if reweigh is not None:
        for place, level in enumerate(levels):
            beyond = place + 1 < len(levels)
            reweigh(level, (levels[place + 1], steps[place + 1]) if beyond else None)
    top = blending.refine(levels[-1].rows, levels[-1].shape)
    blended = blending.coarsest(top(0, levels[-1].shape[0]))
    for step in reversed(steps[1:]):
        coarser = levels.pop()
        rows = blending.refine(levels[-1].rows, step.size)
        planes = list(np.moveaxis(empty((step.size[0], 3, step.size[1]), np.float32), 1, 0))
        _add_detail(rows, step, coarser, blended, planes, None, blending.halo)
        blended = planes
    if progress is not None:
        progress(0.5)
    out = empty((*size, 3), np.float32)
    if finest is not None:
        read = partial(finest, levels[0])
    read = blending.refine(read, size)
    _add_detail(read, steps[0], levels[0], blended, out, part(progress, 0.5, 1), blending.halo)
    return out


def _reduced(
    read: ReadRows, step: Step, masked: Sequence[bool], progress: Progress | None
) -> Level:
    """Make the next coarser level, all of it."""
    count = len(masked)
    level = _empty_level(step.coarse, masked)

    def work(start: int, stop: int) -> None:
        first, last = step.source_rows(start, stop)
        source = read(first, last)
        target = level.rows(start, stop)
        for index in range(count):
            target.weights[index][:] = step.reduce_rows(source.weights[index], first, start, stop)
            mask, target_mask = source.masks[index], target.masks[index]
            if mask is not None and target_mask is not None:
                target_mask[:] = step.reduce_rows(mask, first, start, stop)
            for plane, wanted in zip(source.planes[index], target.planes[index], strict=True):
                if mask is None or target_mask is None:
                    wanted[:] = step.reduce_rows(plane, first, start, stop)
                else:
                    # The mean of the unmasked pixels alone; where there are none the weight is
                    # 0 here and at every neighbour that expanding reads, so any value will do.
                    wanted[:] = step.reduce_rows(plane * mask, first, start, stop)
                    np.divide(wanted, target_mask, out=wanted, where=target_mask > 0)

    for_each_stripe(*step.coarse, work, progress=progress)
    return level


def _empty_level(size: tuple[int, int], masked: Sequence[bool]) -> Level:
    """Make room for a level. Rows of all its planes lie together, as they are looked at."""
    height, width = size
    count = len(masked)
    rows = empty((height, 4 * count + sum(masked), width), np.float32)
    planes = [rows[:, index] for index in range(rows.shape[1])]
    masks = iter(planes[4 * count :])
    return Level(
        [planes[3 * index : 3 * index + 3] for index in range(count)],
        planes[3 * count : 4 * count],
        [next(masks) if is_masked else None for is_masked in masked],
    )


def _add_detail(
    read: ReadRows,
    step: Step,
    coarser: Level,
    blended: list[Plane],
    out: list[Plane] | NDArray[np.float32],
    progress: Progress | None,
    halo: int,
) -> None:
    """Expand the blended coarser level and add the detail of this one, blended by its weights.

    out: three planes, or (H, W, 3); written.
    """

    def work(start: int, stop: int) -> None:
        level = read(start, stop)
        planes = [step.expand_rows(plane, start, stop) for plane in blended]
        for frame, coarse, weight in zip(level.planes, coarser.planes, level.weights, strict=True):
            for channel in range(3):
                detail = step.expand_rows(coarse[channel], start, stop)
                np.subtract(frame[channel], detail, out=detail)
                detail *= weight
                planes[channel] += detail
        if isinstance(out, list):
            for plane, target in zip(planes, out, strict=True):
                target[start:stop] = plane
        else:
            cv2.merge(planes, dst=out[start:stop])

    pixels = stripe_pixels(halo, step.size[1])
    for_each_stripe(*step.size, work, pixels=pixels, progress=progress)

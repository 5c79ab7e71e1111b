"""Exposure fusion: every pixel from the frames that show it best, blended over scales.

Paper: Mertens, Kautz, Van Reeth: Exposure Fusion, Pacific Graphics 2007.
Built as: weight = contrast^a * saturation^b * well-exposedness^c per frame and pixel, normalised
    over the frames; Laplacian pyramids of the frames blended by Gaussian pyramids of the weights
    (`exposure_fusion.py`, in stripes).
Differs from the paper: frames may have masks, and what is masked has no influence at any scale
    (the pyramid of a masked frame is made of its unmasked pixels only). What overshoots 0..1
    gets a shoulder in place of being clipped, so that highlights keep their detail.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from typing import Annotated, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from ..bracket import Frame, Fused, Stack
from ..pixels import color
from ..pixels.pyramid import Plane, level_count
from ..pixels.stripes import Progress, for_each_stripe, stripes
from ..settings import Range, check_settings
from ..work.spill import trim
from .exposure_fusion import Exponents, fit_range, fuse_exposures, mean_weights


@dataclass(frozen=True)
class MertensSettings:
    """How exposure fusion weighs the frames.

    contrast, saturation, well_exposedness: exponents of the three measures, 0 leaves one out.
    levels: depth of the pyramid; "paper" for floor(log2(shorter side)) as in the paper's program,
        None for one level more, which balances the brightness of large areas better.
    overshoot: blending over scales drives large highlights beside dark areas above 1. "shoulder"
        makes room for them, so that they keep the detail that a dark frame has; "clip" cuts them
        off as the paper's program does.
    stretch_percent: let this share of the pixels clip at each end and stretch the rest to 0..1
        (Hessel, IPOL 2018, uses 1), in place of `overshoot`; 0 for not at all.
    """

    contrast: Annotated[float, Range(0)] = 1.0
    saturation: Annotated[float, Range(0)] = 1.0
    well_exposedness: Annotated[float, Range(0)] = 1.0
    levels: Annotated[int, Range(1)] | Literal["paper"] | None = None
    overshoot: Literal["shoulder", "clip"] = "shoulder"
    stretch_percent: Annotated[float, Range(0, below=50)] = 0.0

    def __post_init__(self) -> None:
        check_settings(self)


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
    photos = Photos(stack)
    exponents = _exponents(stack, settings)
    levels = level_count(*photos.size) if settings.levels == "paper" else settings.levels
    pixels = fuse_exposures(photos, exponents, levels, progress, wraps=stack.wraps)
    if settings.stretch_percent > 0:
        _stretch(pixels, settings.stretch_percent)
    elif settings.overshoot == "shoulder":
        fit_range(pixels)
    else:
        _each_rows(pixels, lambda rows: np.clip(rows, 0, 1, out=rows))
    return Fused(pixels, "display", stack.frames[stack.reference].metadata)


def weight_maps(
    stack: Stack, settings: MertensSettings = MertensSettings(), proxy_pixels: int = 600_000
) -> list[Plane]:
    """Return how much each frame counts where, before the blending over scales.

    Means over squares of pixels, so many that a map has at most `proxy_pixels`: (h, w) float32 per
    frame, 0..1, together 1 everywhere.
    """
    photos = Photos(stack)
    height, width = photos.size
    factor = max(1, ceil(sqrt(height * width / proxy_pixels)))
    return mean_weights(photos, _exponents(stack, settings), factor, wraps=stack.wraps)


def _exponents(stack: Stack, settings: MertensSettings) -> Exponents:
    # Grey photos have no saturation to judge by (Mertens et al., program).
    coloured = settings.saturation > 0 and not all_grey(stack.frames)
    return Exponents(
        settings.contrast, settings.saturation if coloured else 0.0, settings.well_exposedness
    )


@dataclass(frozen=True)
class Photos:
    """A stack as exposures to fuse."""

    stack: Stack

    @property
    def size(self) -> tuple[int, int]:
        return self.stack.frames[0].height, self.stack.frames[0].width

    @property
    def masked(self) -> Sequence[bool]:
        if self.stack.filled:
            return [frame.opaque is not None for frame in self.stack.frames]
        masks = zip(self.stack.valid, self.stack.confidence, strict=True)
        return [valid is not None or confidence is not None for valid, confidence in masks]

    def planes(self, start: int, stop: int) -> list[list[Plane]]:
        return [_display_planes(frame, slice(start, stop)) for frame in self.stack.frames]

    def masks(self, start: int, stop: int) -> list[Plane | None]:
        # A thing that moved is better fused from its own re-exposed pixels than shown at the
        # reference's exposure alone, which leaves it dull and smears the coarse levels around it.
        # What is transparent is not fused: the other photos saw what is there.
        rows = slice(start, stop)
        if self.stack.filled:
            masks = [_opacity(frame, rows) for frame in self.stack.frames]
        else:
            masks = [self.stack.weight(index, rows) for index in range(len(self.stack.frames))]
        if any(mask is None for mask in masks):
            return masks
        # Where every frame is masked, somebody has to be shown: the reference.
        nowhere = np.maximum.reduce([mask for mask in masks if mask is not None]) == 0
        reference = masks[self.stack.reference]
        assert reference is not None
        reference[nowhere] = 1
        return masks


def _opacity(frame: Frame, rows: slice) -> Plane | None:
    """Rows of a frame's opacity, 0..1; None for one without."""
    if frame.opaque is None:
        return None
    return frame.opaque[rows].astype(np.float32) * np.float32(1 / 255)


def _display_planes(frame: Frame, rows: slice) -> list[Plane]:
    planes = [color.to_display(plane, frame.transfer) for plane in cv2.split(frame.pixels[rows])]
    if frame.pixels.dtype == np.float32:
        return [np.nan_to_num(plane, nan=0.0) for plane in planes]
    return planes


def all_grey(frames: Iterable[Frame]) -> bool:
    """Whether no frame has any colour."""
    for frame in frames:
        for start, stop in stripes(frame.height, frame.width):
            red, green, blue = cv2.split(frame.pixels[start:stop])
            trim()
            if not (np.array_equal(red, green) and np.array_equal(green, blue)):
                return False
    return True


def _stretch(pixels: NDArray[np.float32], percent: float) -> None:
    """Stretch the range between two percentiles to 0..1 in place, and clip.

    The low percentile is that of each pixel's darkest channel, the high one that of its brightest
    (Hessel, IPOL 2018).
    """
    low = _percentile(pixels.min(axis=2), percent, upper=False)
    high = _percentile(pixels.max(axis=2), percent, upper=True)
    if high - low < 1 / 255:  # one flat tone: nothing to stretch
        low, high = 0.0, 1.0

    def work(rows: NDArray[np.float32]) -> None:
        rows -= np.float32(low)
        rows *= np.float32(1 / (high - low))
        np.clip(rows, 0, 1, out=rows)

    _each_rows(pixels, work)


def _each_rows(pixels: NDArray[np.float32], work: Callable[[NDArray[np.float32]], object]) -> None:
    def work_on(start: int, stop: int) -> None:
        work(pixels[start:stop])

    for_each_stripe(pixels.shape[0], pixels.shape[1], work_on)


def _percentile(plane: Plane, percent: float, *, upper: bool) -> float:
    rank = int(plane.size * percent / 100)
    rank = plane.size - 1 - rank if upper else rank
    return float(np.partition(plane.ravel(), rank)[rank])

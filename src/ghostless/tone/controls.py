"""Tone by hand: how a finished picture is made brighter, softer, warmer, before it is written.

These are no tone-mapping operator: they change what came out, be it fused or tone-mapped, and at 0
they leave every code as it was. Highlights and shadows are told apart by the brightness of their
surroundings, not of the pixel, so that what lies in them keeps its contrast: the guided filter of
He, Sun, Tang (IEEE TPAMI 2013) follows edges, and a small copy is enough for it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

import cv2
import numpy as np
from numpy.typing import NDArray

from ..bracket import Frame, Fused
from ..errors import OptionError
from ..pixels import color
from ..pixels.reduced import reduced, size_within
from ..pixels.stripes import for_each_stripe
from ..settings import Range, check_settings
from ..work.spill import empty
from .light import Gains, scale_light

Array = NDArray[np.float32]

# What 100 of a control does, in stops of light but for contrast and saturation.
_RECOVERED_STOPS = 1.5
_TEMPERATURE_STOPS = 0.5
_TINT_STOPS = 0.35
# Slope in the middle at a contrast of 100, and at -100 its inverse.
_STEEPEST = 1.8
_MIDDLE = 0.5
# Surroundings, as a share of the longer side of a copy of so many pixels, and the variance of
# display values below which they are one.
_COPY_PIXELS = 500_000
_RADIUS_SHARE = 0.02
_EDGE_VARIANCE = 0.01
# Display values of the surroundings from which shadows and up to which highlights are changed less
# and less.
_SHADOWS = (0.15, 0.55)
_HIGHLIGHTS = (0.45, 0.85)


@dataclass(frozen=True)
class ToneControls:
    """How the result is changed by hand; 0, and 1 for strength, leaves it as it is.

    exposure: brighter or darker, in stops; white stays white.
    highlights: bright areas brighter (above 0) or darker, so that they show more (below).
    shadows: dark areas brighter (above 0), so that they show more, or darker (below).
    contrast: of tones with each other, about the middle grey.
    saturation: of colours; -100 leaves none.
    temperature: warmer (above 0) or cooler.
    tint: towards magenta (above 0) or green.
    strength: how much of what fusing did: 0 gives the reference photo as it is, 1 the result, more
        goes beyond it.
    """

    exposure: Annotated[float, Range(-5, 5)] = 0.0
    highlights: Annotated[float, Range(-100, 100)] = 0.0
    shadows: Annotated[float, Range(-100, 100)] = 0.0
    contrast: Annotated[float, Range(-100, 100)] = 0.0
    saturation: Annotated[float, Range(-100, 100)] = 0.0
    temperature: Annotated[float, Range(-100, 100)] = 0.0
    tint: Annotated[float, Range(-100, 100)] = 0.0
    strength: Annotated[float, Range(0, 2)] = 1.0

    def __post_init__(self) -> None:
        check_settings(self, "tone")

    @property
    def gains(self) -> Gains:
        """What the light of red, green and blue is multiplied by."""
        warm = _TEMPERATURE_STOPS * self.temperature / 100
        magenta = _TINT_STOPS * self.tint / 100
        stops = np.array([warm + magenta, -magenta, magenta - warm])
        # Grey keeps its luminance.
        gains = 2.0**stops / float(color.LUMINANCE_709 @ 2.0**stops) * 2.0**self.exposure
        red, green, blue = (float(gain) for gain in gains)
        return red, green, blue


NEUTRAL = ToneControls()
# Controls that make no sense of radiance.
OF_DISPLAYS = ("highlights", "shadows", "contrast", "strength")


def control_tone(fused: Fused, controls: ToneControls, reference: Frame | None = None) -> Fused:
    """Change a result by hand.

    fused: display space; of a linear result only exposure, temperature, tint and saturation can be
        changed, the others are about displays.
    reference: the photo that a strength other than 1 is measured from, of the result's size.
    Returns the same object where all controls are neutral. Raises OptionError for what a linear
    result cannot be changed by, and for a strength without a reference.
    """
    if controls == NEUTRAL:
        return fused
    if fused.space == "linear":
        check_linear(controls)
    fused = _lit(fused, controls, reference)
    if _shapes_tones(controls):
        around = None
        if controls.highlights or controls.shadows:
            around = _Surroundings.of(fused.pixels, fused.pixels.shape[:2])
        fused = _toned(fused, controls, around)
    return fused


def control_part(
    part: Fused,
    controls: ToneControls,
    reference: Frame | None,
    *,
    corner: tuple[int, int],
    size: tuple[int, int],
    small: Fused,
    small_reference: Frame | None,
) -> Fused:
    """Change a part of a picture as `control_tone` does the whole, at that part's cost.

    part: display space, with the reference photo of the same part, for a strength other than 1.
    corner: row and column of the picture where the part begins. size: height and width of the
        picture. small, small_reference: all of it, reduced; what is around a pixel is seen there.
    """
    if controls == NEUTRAL:
        return part
    part = _lit(part, controls, reference)
    if _shapes_tones(controls):
        around = None
        if controls.highlights or controls.shadows:
            around = _Surroundings.of(_lit(small, controls, small_reference).pixels, size)
        part = _toned(part, controls, around, corner)
    return part


def _lit(fused: Fused, controls: ToneControls, reference: Frame | None) -> Fused:
    """The controls that know nothing of a pixel's surroundings, and come first."""
    if controls.strength != 1:
        fused = _mixed(fused, controls.strength, reference)
    if controls.exposure or controls.temperature or controls.tint:
        fused = scale_light(fused, controls.gains)
    return fused


def _shapes_tones(controls: ToneControls) -> bool:
    toned = (controls.highlights, controls.shadows, controls.contrast, controls.saturation)
    return any(toned)


def check_linear(controls: ToneControls) -> None:
    """Raise OptionError for a control that a linear result cannot be changed by."""
    for name in OF_DISPLAYS:
        if getattr(controls, name) != getattr(NEUTRAL, name):
            raise OptionError(
                f"{name}: expected a display file such as .jpg, found a linear result, which holds "
                "the radiance as it is; leave the option out, or change it where it is shown"
            )


def _mixed(fused: Fused, strength: float, reference: Frame | None) -> Fused:
    """Between the reference photo and the result, or beyond it."""
    if reference is None or reference.pixels.shape != fused.pixels.shape:
        raise OptionError(
            f"strength: expected the reference photo to be at hand for a strength of {strength:g}, "
            "found none of the result's size; leave the option out"
        )
    pixels, photo = empty(fused.pixels.shape, np.float32), reference

    def work(start: int, stop: int) -> None:
        shown = color.to_display(np.ascontiguousarray(photo.pixels[start:stop]), photo.transfer)
        own = np.clip(np.nan_to_num(shown, nan=0.0), 0, 1)
        rows = (fused.pixels[start:stop] - own) * np.float32(strength) + own
        pixels[start:stop] = np.clip(rows, 0, 1)

    for_each_stripe(pixels.shape[0], pixels.shape[1], work)
    return replace(fused, pixels=pixels)


def _toned(
    fused: Fused,
    controls: ToneControls,
    around: _Surroundings | None,
    corner: tuple[int, int] = (0, 0),
) -> Fused:
    pixels = empty(fused.pixels.shape, np.float32)
    top, left = corner
    saturation = np.float32(1 + controls.saturation / 100)

    def work(start: int, stop: int) -> None:
        rows = fused.pixels[start:stop]
        if around is not None:
            rows = _recovered(rows, around.of_rows(rows, top + start, left), controls)
        if controls.contrast:
            rows = _contrasted(rows, controls.contrast / 100)
        if saturation != 1:
            grey = color.luma(rows)[..., None]
            rows = grey + saturation * (rows - grey)
        limit = 1 if fused.space == "display" else np.inf
        pixels[start:stop] = np.clip(rows, 0, limit)

    for_each_stripe(pixels.shape[0], pixels.shape[1], work)
    return replace(fused, pixels=pixels)


@dataclass(frozen=True)
class _Surroundings:
    """How bright it is around each pixel: a times its luma plus b, both smooth, (h, w)."""

    a: Array
    b: Array
    size: tuple[int, int]

    @staticmethod
    def of(pixels: Array, size: tuple[int, int]) -> _Surroundings:
        """Those of a picture of a height and width, seen in a copy that may be smaller."""
        copy = size_within(pixels.shape, pixels=_COPY_PIXELS)
        luma = color.luma(np.asarray(reduced(pixels, copy), np.float32))
        side = 2 * max(1, round(_RADIUS_SHARE * max(copy))) + 1

        def mean(plane: Array) -> Array:
            return np.asarray(cv2.blur(plane, (side, side), borderType=cv2.BORDER_REFLECT))

        around = mean(luma)
        variance = np.maximum(mean(luma * luma) - around * around, 0)
        a = np.asarray(variance / (variance + np.float32(_EDGE_VARIANCE)), np.float32)
        b = np.asarray((1 - a) * around, np.float32)
        return _Surroundings(mean(a), mean(b), size)

    def of_rows(self, pixels: Array, top: int, left: int) -> Array:
        """Brightness around a part of the picture, whose pixels are given, (h, w), 0..1."""
        height, width = self.size
        h, w = pixels.shape[:2]
        down = (np.arange(top, top + h, dtype=np.float32) + 0.5) * (len(self.a) / height) - 0.5
        scale = self.a.shape[1] / width
        across = (np.arange(left, left + w, dtype=np.float32) + 0.5) * scale - 0.5
        x, y = (np.asarray(grid, np.float32) for grid in np.meshgrid(across, down))
        a, b = (
            np.asarray(cv2.remap(plane, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
            for plane in (self.a, self.b)
        )
        found = a * color.luma(np.ascontiguousarray(pixels)) + b
        return np.asarray(np.clip(found, 0, 1), np.float32)


def _recovered(rows: Array, around: Array, controls: ToneControls) -> Array:
    """Brighten or darken by what lies around; white stays white, as of `scale_light`."""
    dark, bright = 1 - _step(around, *_SHADOWS), _step(around, *_HIGHLIGHTS)
    stops = dark * np.float32(_RECOVERED_STOPS * controls.shadows / 100)
    stops += bright * np.float32(_RECOVERED_STOPS * controls.highlights / 100)
    factor = np.exp2(stops)[..., None]
    light = color.srgb_to_linear(np.clip(rows, 0, 1))
    return color.linear_to_srgb(factor * light / (1 + (factor - 1) * light))


def _step(values: Array, start: float, end: float) -> Array:
    """Smooth step from 0 at `start` to 1 at `end`."""
    x = np.clip((values - np.float32(start)) * np.float32(1 / (end - start)), 0, 1)
    return np.asarray(x * x * (3 - 2 * x), np.float32)


def _contrasted(rows: Array, contrast: float) -> Array:
    """An S about the middle grey, or its inverse, by luma: colours keep their hue."""
    slope = np.float32(_STEEPEST**contrast)
    luma = np.clip(color.luma(rows) / color.LUMA_601.sum(), 1e-4, 1)
    below = luma < _MIDDLE
    half = np.where(below, luma, 1 - luma) / _MIDDLE
    # Steepest in the middle and as flat at both ends, the inverse at -contrast.
    bent = _MIDDLE * half / (half + slope * (1 - half))
    wanted = np.where(below, bent, 1 - bent)
    return np.asarray(rows * (wanted / luma)[..., None], np.float32)

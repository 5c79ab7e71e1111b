"""Tone mapping: scene radiance to a display image.

`OPERATORS` is the table. There are three kinds. A "global" operator is one curve for all pixels. A
"local" one is computed on a small proxy of the luminance and applied at full size by a guided
filter, so memory stays bounded. The "fusion" operator takes virtual photos of the radiance at
several exposures and fuses them as `methods/mertens.py` fuses real ones.

What all share: operators see the brightness of the pixels, some luminance, mostly the brightest
channel (luminance alone turns sunsets and lamps pale, for it hardly sees blue and red). They see
it between robust percentiles, so that one lamp or the sun does not darken the rest. Brightness is
scaled and the colour kept; a colour too bright for the display fades towards white, in its hue.
The median ends at a sensible brightness, whatever the scale of the input.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import ceil, sqrt
from typing import Annotated

import cv2
import numpy as np
from numpy.typing import NDArray

from ..bracket import Fused
from ..exposure.curves import USUAL_STRENGTH, camera_curve
from ..methods.exposure_fusion import Exponents, fuse_exposures
from ..methods.ranges import fit_range
from ..pixels import color
from ..pixels.pyramid import Plane
from ..pixels.reduced import reduced, size_within
from ..pixels.seam import folded, unrolled
from ..pixels.stripes import STRIPE_PIXELS, Progress, every, for_each_stripe, part
from ..settings import Names, Range, check_settings
from ..work.spill import empty
from .operators import OPERATORS, Operator, Scene

AUTO = "fusion"

# Local operators work on at most this many pixels.
_PROXY_PIXELS = 1_000_000
# The brightness that operators see lies between these percentiles, with some room.
_LOW_PERCENT, _HIGH_PERCENT = 0.5, 99.7
_ROOM_STOPS = 1.0
# The result's median brightness is brought into this range (linear; 0.18 is mid-grey).
_DARKEST_MEDIAN, _BRIGHTEST_MEDIAN = 0.16, 0.30
# What is brighter than this, or infinite, is set to it, lest products overflow.
_BRIGHTEST = 1e15
# The same for black.
_DARKEST = 1e-15
# Guided filter that carries the proxy's result to full size: radius in proxy pixels, and the
# variance of log2 brightness below which a window counts as flat.
_GUIDE_RADIUS = 3
_GUIDE_VARIANCE = 0.01


def _operators() -> tuple[str, ...]:
    return ("auto", *OPERATORS)


@dataclass(frozen=True)
class ToneMapSettings:
    """How radiance becomes a display image.

    operator: a name from OPERATORS, or "auto".
    exposure_stops: brighter (above 0) or darker than the operator would have it.
    saturation: 1 keeps the colours as the operator gives them, 0 is grey.
    """

    operator: Annotated[str, Names(_operators)] = "auto"
    exposure_stops: Annotated[float, Range(-20, 20)] = 0.0
    saturation: Annotated[float, Range(0, 4)] = 1.0

    def __post_init__(self) -> None:
        check_settings(self, "tone_map")


def tone_map(
    fused: Fused,
    settings: ToneMapSettings = ToneMapSettings(),
    *,
    progress: Progress | None = None,
) -> Fused:
    """Turn a linear image into a display image.

    The brightness of the result does not depend on the scale of the input, only on
    `exposure_stops`. Pixels that are negative or not finite count as black, infinite ones as
    white.
    progress: called with the fraction done, 0..1.
    Returns a display image, (H, W, 3) float32, 0..1, with the metadata of `fused`.
    Raises SpaceError for a display image.
    """
    operator = OPERATORS[AUTO if settings.operator == "auto" else settings.operator]
    radiance = fused.require("linear").pixels
    log2_brightness = _log2_brightness(radiance)
    if log2_brightness is None:  # nothing but black
        pixels = np.zeros_like(radiance)
    elif operator.kind == "fusion":
        photos = _VirtualPhotos(radiance, _virtual_stops(_scene(log2_brightness)))
        del log2_brightness
        pixels = _fuse_virtual_photos(photos, settings, progress, fused.wraps)
    else:
        pixels = _apply(operator, radiance, log2_brightness, settings, progress, fused.wraps)
    if progress is not None:
        progress(1.0)
    notes = (*fused.notes, f"tone-mapped by {operator.name} ({operator.summary})")
    return replace(fused, pixels=pixels, space="display", notes=notes)


def _clean_rows(radiance: NDArray[np.float32], start: int, stop: int) -> NDArray[np.float32]:
    """Rows without negative and unnumbered values, a new array."""
    rows = np.maximum(radiance[start:stop], 0)
    if not np.isfinite(rows.sum(dtype=np.float64)):
        rows = np.nan_to_num(rows, nan=0.0)
    return np.asarray(np.minimum(rows, np.float32(_BRIGHTEST), out=rows))


def _brightness(linear: NDArray[np.float32]) -> Plane:
    """Mix of luminance and the brightest channel, (H, W)."""
    red, green, blue = cv2.split(linear)
    brightest = np.maximum(np.maximum(red, green), blue)
    return np.asarray(0.3 * color.luminance(linear) + 0.7 * brightest, np.float32)


def _log2_brightness(radiance: NDArray[np.float32]) -> Plane | None:
    """log2 of brightness (H, W), black raised to what is just darker than nearly all; or None."""
    height, width = radiance.shape[:2]
    step = ceil(sqrt(height * width / _PROXY_PIXELS))
    sample = _brightness(_clean_rows(every(radiance, step), 0, height))
    lit = sample[sample > 0]
    if not lit.size:
        return None
    floor = max(float(np.percentile(lit, 0.1)) / 16, _DARKEST)
    out = empty((height, width), np.float32)

    def work(start: int, stop: int) -> None:
        brightness = _brightness(_clean_rows(radiance, start, stop))
        np.log2(np.maximum(brightness, np.float32(floor), out=brightness), out=out[start:stop])

    for_each_stripe(height, width, work)
    return out


def _scene(log2_brightness: Plane) -> Scene:
    proxy = reduced(log2_brightness, size_within(log2_brightness.shape, pixels=_PROXY_PIXELS))
    low, high = np.percentile(proxy, [_LOW_PERCENT, _HIGH_PERCENT])
    low, high = float(low) - _ROOM_STOPS, float(high) + _ROOM_STOPS / 2
    proxy = np.clip(proxy, low, high)
    return Scene(proxy, low, high, float(proxy.mean()))


def _apply(
    operator: Operator,
    radiance: NDArray[np.float32],
    log2_brightness: Plane,
    settings: ToneMapSettings,
    progress: Progress | None,
    wraps: bool,
) -> NDArray[np.float32]:
    """Run a global or local operator on the brightness and carry the colours along."""
    height, width = log2_brightness.shape
    scene = _scene(log2_brightness)
    gain_rows, sample = _gain(operator, scene, (height, width), wraps)
    if progress is not None:
        progress(0.3)
    brighten = _brightener(sample, settings.exposure_stops)
    saturation = operator.saturation * settings.saturation
    out = empty(radiance.shape, np.float32)

    def work(start: int, stop: int) -> None:
        log2 = log2_brightness[start:stop]
        shown = np.exp2(log2 + gain_rows(log2, start, stop))
        shown = brighten(shown)
        rows = _clean_rows(radiance, start, stop)
        rows *= (shown * np.exp2(-log2))[:, :, None]
        if saturation != 1:
            rows -= shown[:, :, None]
            rows *= np.float32(saturation)
            rows += shown[:, :, None]
            np.maximum(rows, 0, out=rows)
        _fade_to_white(rows)
        out[start:stop] = color.linear_to_srgb(rows)
        np.clip(out[start:stop], 0, 1, out=out[start:stop])

    for_each_stripe(height, width, work, pixels=STRIPE_PIXELS // 2, progress=part(progress, 0.3, 1))
    return out


GainRows = Callable[[Plane, int, int], Plane]


def _gain(
    operator: Operator, scene: Scene, size: tuple[int, int], wraps: bool
) -> tuple[GainRows, Plane]:
    """Return a function that gives rows of the log2 gain, and the result on the proxy."""
    if operator.curve is not None:
        shown = operator.curve(scene.proxy, scene)
        nodes = np.linspace(scene.low - 4, scene.high + 4, 2048, dtype=np.float32)
        gains = _log2(operator.curve(nodes, scene)) - nodes

        def along_curve(log2: Plane, start: int, stop: int) -> Plane:
            return np.asarray(np.interp(log2, nodes, gains), np.float32)

        return along_curve, shown

    assert operator.map is not None
    small = scene.proxy.shape[1]
    if wraps:
        scene = replace(scene, proxy=unrolled(scene.proxy))
    shown = operator.map(scene)
    slope, offset = _local_lines(scene.proxy, _log2(shown) - scene.proxy)
    if wraps:
        slope, offset, shown = (folded(plane, small) for plane in (slope, offset, shown))

    def along_lines(log2: Plane, start: int, stop: int) -> Plane:
        within = np.clip(log2, scene.low, scene.high)
        gain = _enlarged_rows(slope, start, stop, size, wraps) * within
        gain += _enlarged_rows(offset, start, stop, size, wraps)
        return gain

    return along_lines, shown


def _log2(plane: Plane) -> Plane:
    return np.asarray(np.log2(np.maximum(plane, np.float32(1e-6))))


def _local_lines(guide: Plane, values: Plane) -> tuple[Plane, Plane]:
    """Slope and offset of values as a line of the guide around each pixel.

    The coefficients of the guided filter (He, Sun, Tang 2010), smooth, so that they may be
    enlarged (He, Sun 2015).
    """

    def mean(plane: NDArray[np.float64]) -> NDArray[np.float64]:
        side = 2 * _GUIDE_RADIUS + 1
        return np.asarray(cv2.blur(plane, (side, side), borderType=cv2.BORDER_REPLICATE))

    x, y = guide.astype(np.float64), values.astype(np.float64)
    mean_x, mean_y = mean(x), mean(y)
    variance = mean(x * x) - mean_x**2
    slope = (mean(x * y) - mean_x * mean_y) / (np.maximum(variance, 0) + _GUIDE_VARIANCE)
    offset = mean_y - slope * mean_x
    return mean(slope).astype(np.float32), mean(offset).astype(np.float32)


def _enlarged_rows(
    plane: Plane, start: int, stop: int, size: tuple[int, int], wraps: bool
) -> Plane:
    """Rows start..stop of a small plane enlarged to `size` (height, width), linear."""
    height, width = size
    y = (np.arange(start, stop) + 0.5) * (plane.shape[0] / height) - 0.5
    y = np.clip(y, 0, plane.shape[0] - 1)
    above = np.floor(y).astype(np.intp)
    below = np.minimum(above + 1, plane.shape[0] - 1)
    share = (y - above).astype(np.float32)[:, None]
    rows = plane[above] * (1 - share) + plane[below] * share
    if wraps:
        # A column from beyond the seam on both sides, which stands between the places.
        x = (np.arange(width) + 0.5) * (plane.shape[1] / width) - 0.5
        left = np.floor(x).astype(np.intp)
        part = (x - left).astype(np.float32)
        columns = left % plane.shape[1], (left + 1) % plane.shape[1]
        return np.asarray(rows[:, columns[0]] * (1 - part) + rows[:, columns[1]] * part)
    return np.asarray(cv2.resize(rows, (width, stop - start), interpolation=cv2.INTER_LINEAR))


def _brightener(shown: Plane, exposure_stops: float) -> Callable[[Plane], Plane]:
    """Return a curve that brings the median of `shown` into the sensible range, and then brightens.

    A power for the first, which shares the contrast between shadows and highlights; for the
    second what multiplies shadows and leaves white alone. Black stays black; 1 and above is white.
    """
    median = float(np.clip(np.median(shown), 1e-5, 0.99))
    target = min(max(median, _DARKEST_MEDIAN), _BRIGHTEST_MEDIAN)
    power = float(np.log(target) / np.log(median))
    factor = 2.0**exposure_stops

    def brighten(values: Plane) -> Plane:
        if power != 1:
            values = np.power(values, np.float32(power))
        if factor != 1:
            values = values * np.float32(factor)
            values /= 1 + np.minimum(values, np.float32(factor)) * np.float32(1 - 1 / factor)
        return values

    return brighten


def _fade_to_white(rows: NDArray[np.float32]) -> None:
    """Fit colours with a channel above 1 into the display, in place.

    They keep their hue and turn white as film does, the more the farther they are out: a sunset
    stays orange, the sun is white.
    """
    brightest = rows.max(axis=2)
    over = brightest > 1
    if not over.any():
        return
    top = brightest[over][:, None]
    white = np.clip(np.log2(top) * np.float32(1 / _WHITE_STOPS), 0, 1)
    white = white * white * (3 - 2 * white)
    rows[over] = rows[over] / top * (1 - white) + white


# How many stops above the display's white a colour has faded to white entirely.
_WHITE_STOPS = 3.0


# Luminance that the darkest photo shows of the top of the range, and the brightest of its bottom.
_TOP_SHOWN, _BOTTOM_SHOWN = 0.8, 0.05
_MAX_STEP_STOPS = 2.0
_MAX_PHOTOS = 7
# Strength of the camera's curve: plain sRGB would give photos flatter than any camera's.
_CAMERA_STRENGTH = USUAL_STRENGTH


@dataclass(frozen=True)
class _VirtualPhotos:
    """Display pictures of one radiance at several exposures in stops, as exposures to fuse."""

    radiance: NDArray[np.float32]
    stops: Sequence[float]

    @property
    def size(self) -> tuple[int, int]:
        return self.radiance.shape[0], self.radiance.shape[1]

    @property
    def masked(self) -> Sequence[bool]:
        return [False] * len(self.stops)

    def masks(self, start: int, stop: int) -> list[Plane | None]:
        return [None] * len(self.stops)

    def planes(self, start: int, stop: int) -> list[list[Plane]]:
        channels = cv2.split(_clean_rows(self.radiance, start, stop))
        return [
            [_as_photo(channel * np.float32(2.0**value)) for channel in channels]
            for value in self.stops
        ]


def _as_photo(light: Plane) -> Plane:
    """Display values of light, 1 = clip, under the curve of a usual camera."""
    codes = np.sqrt(np.minimum(light, 1))
    codes *= len(_PHOTO_TABLE) - 1
    return np.asarray(np.take(_PHOTO_TABLE, np.rint(codes, out=codes).astype(np.uint16)))


def _photo_table() -> Plane:
    """Display values at the squares of evenly spaced numbers 0..1."""
    light = np.linspace(0, 1, 1 << 16) ** 2
    light_of_code = np.exp2(camera_curve(_CAMERA_STRENGTH))
    light_of_code[0] = 0
    codes = np.linspace(0, 1, len(light_of_code))
    return np.asarray(np.interp(light, light_of_code, codes), np.float32)


def _virtual_stops(scene: Scene) -> list[float]:
    """Exposures that show the range of the scene, evenly spaced, dark to bright."""
    darkest = float(np.log2(_TOP_SHOWN)) - scene.high
    brightest = float(np.log2(_BOTTOM_SHOWN)) - (scene.low + _ROOM_STOPS)
    if brightest <= darkest:
        return [darkest]
    count = min(ceil((brightest - darkest) / _MAX_STEP_STOPS) + 1, _MAX_PHOTOS)
    return [float(value) for value in np.linspace(darkest, brightest, count)]


_PHOTO_TABLE = _photo_table()


def _fuse_virtual_photos(
    photos: _VirtualPhotos, settings: ToneMapSettings, progress: Progress | None, wraps: bool
) -> NDArray[np.float32]:
    tell = part(progress, 0.05, 0.95)
    pixels = fuse_exposures(photos, Exponents(), progress=tell, wraps=wraps)
    fit_range(pixels)
    height, width = pixels.shape[:2]
    step = ceil(sqrt(height * width / _PROXY_PIXELS))
    sample = every(pixels, step)
    shown_sample = _brightness(color.srgb_to_linear(sample))
    brighten = _brightener(shown_sample, settings.exposure_stops)

    def work(start: int, stop: int) -> None:
        rows = pixels[start:stop]
        light = color.srgb_to_linear(rows)
        before = _brightness(light)
        shown = brighten(before)
        light *= (shown / np.maximum(before, np.float32(1e-9)))[:, :, None]
        if settings.saturation != 1:
            grey = shown[:, :, None]
            light = np.maximum(grey + np.float32(settings.saturation) * (light - grey), 0)
        _fade_to_white(light)
        rows[:] = color.linear_to_srgb(light)
        np.clip(rows, 0, 1, out=rows)

    for_each_stripe(height, width, work)
    return pixels

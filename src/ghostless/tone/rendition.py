"""The HDR rendition of a fused picture: what a display with headroom shows in place of the SDR one.

A finished picture (display space) and the radiance of the same scene know nothing of each other's
brightness. `hdr_rendition` scales the radiance so that the mid-tones of the two agree: a viewer
that fades from one to the other sees only the highlights rise. What is brighter than the headroom
is bent under it.
"""

from __future__ import annotations

from math import ceil, sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..bracket import Fused
from ..errors import BracketError
from ..pixels import color
from ..pixels.stripes import Progress, every, for_each_stripe
from ..work.spill import empty

# Most headroom over SDR white, in stops: 22 times its luminance, 4,500 cd/m2 at the 203 cd/m2 that
# BT.2408 gives SDR white. Displays of 2026 end at about 1,600 to 4,000.
MAX_HEADROOM_STOPS: Final = 4.5
# Least: below a stop, viewers do not bother, and a gain map needs some.
MIN_HEADROOM_STOPS: Final = 1.0
# The share of the pixels that the headroom is for: a few sparkles shall not dim all the rest on
# displays that have less headroom than they ask for.
_TOP_PERCENT: Final = 99.9
# Highlights bend from this far below the headroom on.
_KNEE_STOPS: Final = 1.0
# Mid-tones: luminance of the SDR picture, linear; sRGB codes of about 0.2 to 0.8.
_DARKEST_MIDTONE, _BRIGHTEST_MIDTONE = 0.03, 0.6
_SAMPLE_PIXELS: Final = 1_000_000
_BLACK: Final = 1e-6


def hdr_rendition(picture: Fused, radiance: Fused, *, progress: Progress | None = None) -> Fused:
    """Scale radiance to the exposure of a finished picture, and bound it.

    picture: display space. radiance: linear, of the same size, pixel for pixel the same scene.
    progress: called with the fraction done, 0..1.
    Returns a linear image in which 1.0 is the white of the SDR picture, 0 to at most
    2 ** MAX_HEADROOM_STOPS; metadata and primaries are the radiance's.
    Raises SpaceError for the wrong spaces, BracketError for two sizes.
    """
    shown, light = picture.require("display").pixels, radiance.require("linear").pixels
    if shown.shape != light.shape:
        raise BracketError(
            "expected a picture and its radiance to have one size, found "
            f"{shown.shape[1]} x {shown.shape[0]} and {light.shape[1]} x {light.shape[0]}"
        )
    height, width = light.shape[:2]
    step = ceil(sqrt(height * width / _SAMPLE_PIXELS))
    sample = every(light, step)
    scale = _scale(every(shown, step), sample)
    brightest = sample.max(axis=2) * np.float32(scale)
    headroom = _headroom_stops(brightest)
    out = empty(light.shape, np.float32)

    def work(start: int, stop: int) -> None:
        rows = np.maximum(light[start:stop] * np.float32(scale), 0)
        _bend_highlights(rows, headroom)
        out[start:stop] = rows

    for_each_stripe(height, width, work, progress=progress)
    return Fused(out, "linear", radiance.metadata, radiance.notes)


def _scale(display: NDArray[np.float32], light: NDArray[np.float32]) -> float:
    """The factor that makes the mid-tones of both agree: the median of their ratios."""
    shown = color.luminance(color.srgb_to_linear(display))
    real = color.luminance(light)
    lit = (real > _BLACK) & (shown > _BLACK)
    midtones = lit & (shown > _DARKEST_MIDTONE) & (shown < _BRIGHTEST_MIDTONE)
    counted = midtones if midtones.any() else lit
    if not counted.any():
        return 1.0
    return float(np.exp2(np.median(np.log2(shown[counted]) - np.log2(real[counted]))))


def _headroom_stops(brightest: NDArray[np.float32]) -> float:
    top = float(np.percentile(brightest, _TOP_PERCENT))
    stops = float(np.log2(max(top, _BLACK)))
    return min(max(stops, MIN_HEADROOM_STOPS), MAX_HEADROOM_STOPS)


def _bend_highlights(rows: NDArray[np.float32], headroom_stops: float) -> None:
    """Bend what is brighter than the knee under the headroom, in place; colours keep their hue.

    In stops over the knee, x becomes k tanh(x / k): straight at first, never above k.
    """
    knee = headroom_stops - _KNEE_STOPS
    brightest = rows.max(axis=2)
    over = brightest > 2.0**knee
    if not over.any():
        return
    stops = np.log2(brightest[over]) - np.float32(knee)
    bent = np.float32(_KNEE_STOPS) * np.tanh(stops * np.float32(1 / _KNEE_STOPS))
    rows[over] *= np.exp2(bent - stops)[:, None]

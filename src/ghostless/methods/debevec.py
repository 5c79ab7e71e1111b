"""Radiance merge: one linear HDR image of the scene from frames of known exposure.

Paper: Debevec, Malik: Recovering High Dynamic Range Radiance Maps from Photographs, SIGGRAPH 1997.
Built as: every frame is brought to linear light by the camera's response, divided by its exposure
    and averaged with weights that fall to 0 where the frame clips.
Differs from the paper: the default weight is the inverse variance of the noise, so that longer
    exposures count for more where they do not clip (Kirk and Andersen, Noise Characterization of
    Weighting Schemes for Combination of Multiple Exposures, BMVC 2006), and the mean is taken of
    light, not of its logarithm. One weight serves all three channels: channels that clip one after
    the other would tint highlights. `weighting="hat"` is the paper's.

Where all frames clip, the darkest one is shown, which is white there; where all are black, the
brightest one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from ..bracket import Frame, Fused, Stack
from ..exposure.response import Response, ResponseChoice, find_response
from ..pixels import color
from ..pixels.stripes import STRIPE_PIXELS, Progress, for_each_stripe
from ..settings import check_settings
from ..work.spill import empty

Weighting = Literal["noise", "hat"]
Plane = NDArray[np.float32]

# sRGB codes between which a frame's weight falls to 0 towards clipping: 235 and 250 of 255. Above,
# JPEG's ringing and the camera's shoulder have already eaten at the values.
_CLIP_FROM, _CLIP_TO = 0.92, 0.98
# sRGB code below which a display frame loses weight: cameras crush the deepest shadows.
_BLACK_TO = 0.1
# The same for linear light: a few times the read noise, under which clipping at 0 biases it.
_BLACK_TO_LINEAR = 0.004
# What is left of a black pixel's weight; the brightest frame still outweighs all others by it.
_BLACK_FLOOR = 1e-4
# Variance of the light of one pixel, 1 = clipping: shot noise per light, and read noise. Of an
# APS-C camera at base ISO (full well about 25,000 electrons, range of 10 stops at noise 1).
_SHOT_VARIANCE = 4e-5
_READ_VARIANCE = 1e-6
# sRGB code of the reference, and its light, up to which what was re-exposed from it counts.
_DARK_TO, _DARK_TO_LINEAR = 0.2, 0.033
# Sum of the frames' clipping weights from which the darkest frame is no longer needed.
_ENOUGH = 1.0
# Light above this would overflow sums; nothing in nature is as bright beside what just clips.
_BRIGHTEST = 1e9


@dataclass(frozen=True)
class DebevecSettings:
    """How radiance is merged.

    response: what display codes mean in light. "auto" estimates it from the frames and keeps sRGB
        where that fits as well; "srgb" takes them for plain sRGB; "estimate" is "auto" that
        refuses where there is too little to estimate from. Linear frames (RAW) need none.
    weighting: "noise" for the inverse variance, "hat" for Debevec and Malik's triangle.
    """

    response: ResponseChoice = "auto"
    weighting: Weighting = "noise"

    def __post_init__(self) -> None:
        check_settings(self)


def fuse(
    stack: Stack,
    settings: DebevecSettings = DebevecSettings(),
    *,
    progress: Progress | None = None,
) -> Fused:
    """Merge 1 to 20 aligned frames of known exposure into scene radiance.

    stack: frames of any type and transfer, exposures known; masks are honoured, but where the
        reference is too dark or clipped to say much: there a filled frame counts all the same.
        Where the mask hides the only frame that does not clip, the next darker one is shown,
        blended as softly as the mask is; where all frames are masked, the reference.
    progress: called with the fraction done, 0..1.
    Returns a linear image, (H, W, 3) float32, >= 0 and finite, 1.0 = what just clips in the
        reference, with the reference's metadata.
    Raises BracketError where an exposure is unknown, or with response="estimate" if the frames
        tell too little of it.
    """
    stops = np.asarray(stack.stops)
    exposures = np.exp2(stops - stops[stack.reference])
    dark_to_bright = [int(index) for index in np.argsort(stops, kind="stable")]
    response, notes = find_response(stack, settings.response)
    reference = stack.frames[stack.reference]
    out = empty((reference.height, reference.width, 3), np.float32)

    def work(start: int, stop: int) -> None:
        rows = slice(start, stop)
        codes = [_brightest_code(frame, rows) for frame in stack.frames]
        of_reference = codes[stack.reference]
        masks = [_mask(stack, index, rows, of_reference) for index in range(len(stack.frames))]
        lights, trusts, unclipped = [], [], []
        for frame, brightest, exposure in zip(stack.frames, codes, exposures, strict=True):
            light = light_rows(frame, rows, response)
            clip_weight = 1 - _smooth_step(brightest, *_clip_range(frame))
            trusts.append(_trust(light, brightest, frame, float(exposure), settings) * clip_weight)
            unclipped.append(clip_weight)
            light *= np.float32(1 / exposure)
            lights.append(light)
        weights = _weights(trusts, unclipped, masks, dark_to_bright, stack.reference)
        total = lights[0]
        total *= weights[0][:, :, None]
        for light, weight in zip(lights[1:], weights[1:], strict=True):
            light *= weight[:, :, None]
            total += light
        out[rows] = total

    for_each_stripe(
        reference.height, reference.width, work, pixels=STRIPE_PIXELS, progress=progress
    )
    return Fused(out, "linear", reference.metadata, notes)


def _mask(stack: Stack, index: int, rows: slice, of_reference: Plane) -> Plane | None:
    """Rows of what a frame's weight is multiplied by, (h, W), 0..1; None for 1.

    of_reference: `_brightest_code` of the reference.

    Where a frame was filled, its pixels hold the reference's content, re-exposed. They count where
    the reference itself says little: in its shadows, for brighter frames, and where it clips, for
    darker ones (which then hold what surrounds the clipped thing lets one expect). A seam would
    show otherwise between what another frame saw and what the reference alone says.
    """
    mask = stack.weight(index, rows)
    if mask is None or not stack.filled:
        return mask
    reference = stack.frames[stack.reference]
    if stack.stops[index] > stack.stops[stack.reference]:
        dark_to = _DARK_TO if reference.transfer == "srgb" else _DARK_TO_LINEAR
        return np.maximum(mask, 1 - _smooth_step(of_reference, 0, dark_to))
    return np.maximum(mask, _smooth_step(of_reference, *_clip_range(reference)))


def light_rows(frame: Frame, rows: slice, response: Response | None) -> NDArray[np.float32]:
    """Rows as linear light (h, W, 3), a new array, 1.0 = clip."""
    if response is None:
        light = frame.linear(rows)
    else:
        light = response.to_linear(frame.pixels[rows], frame.transfer)
    if frame.pixels.dtype != np.float32:
        return light
    return np.clip(np.nan_to_num(light, nan=0.0), 0, _BRIGHTEST)


def _brightest_code(frame: Frame, rows: slice) -> Plane:
    """Rows of the brightest channel in the frame's own coding, (h, W), 0..1."""
    red, green, blue = cv2.split(frame.pixels[rows])
    brightest = color.to_unit(np.maximum(np.maximum(red, green), blue))
    return np.nan_to_num(brightest) if frame.pixels.dtype == np.float32 else brightest


def _clip_range(frame: Frame) -> tuple[float, float]:
    if frame.transfer == "srgb":
        return _CLIP_FROM, _CLIP_TO
    low, high = color.srgb_to_linear(np.array([_CLIP_FROM, _CLIP_TO]))
    return float(low), float(high)


def _trust(
    light: NDArray[np.float32],
    brightest: Plane,
    frame: Frame,
    exposure: float,
    settings: DebevecSettings,
) -> Plane:
    """Weight of a frame's radiance where it does not clip, (h, W), > 0."""
    if settings.weighting == "hat":
        display = color.linear_to_srgb(brightest) if frame.transfer == "linear" else brightest
        return np.maximum(np.minimum(display, 1 - display), np.float32(_BLACK_FLOOR))
    black_to = _BLACK_TO if frame.transfer == "srgb" else _BLACK_TO_LINEAR
    trust = _smooth_step(brightest, 0, black_to)
    np.maximum(trust, np.float32(_BLACK_FLOOR), out=trust)
    # radiance = light / exposure, so its variance is that of light / exposure^2
    variance = color.luminance(light)
    variance *= np.float32(_SHOT_VARIANCE / exposure**2)
    variance += np.float32(_READ_VARIANCE / exposure**2)
    np.divide(trust, variance, out=trust)
    return trust


def _weights(
    trusts: Sequence[Plane],
    unclipped: Sequence[Plane],
    masks: Sequence[Plane | None],
    dark_to_bright: Sequence[int],
    reference: int,
) -> list[Plane]:
    """Weights of all frames, (h, W) each, adding up to 1.

    A mean of the frames that do not clip; as these run out (they clip, or are masked), a blend
    into the darkest frame, and into the next darkest as far as that one is masked.
    """
    shape = trusts[0].shape
    weights = [
        trust if mask is None else trust * mask for trust, mask in zip(trusts, masks, strict=True)
    ]
    total = np.add.reduce(weights)
    enough = np.zeros(shape, np.float32)
    for clear, mask in zip(unclipped, masks, strict=True):
        enough += clear if mask is None else clear * mask
    share = _smooth_step(enough, 0, _ENOUGH)
    share[total <= 0] = 0
    scale = np.divide(share, total, out=np.zeros(shape, np.float32), where=total > 0)
    for weight in weights:
        weight *= scale

    left = 1 - share  # what no trusted frame covers
    if left.any():
        for index in dark_to_bright:
            mask = masks[index]
            taken = left if mask is None else left * mask
            weights[index] += taken
            left = left - taken
        weights[reference] += left
    return weights


def _smooth_step(values: Plane, low: float, high: float) -> Plane:
    """Rise from 0 at `low` to 1 at `high` without a kink at either end: 3 t^2 - 2 t^3."""
    t = (values - np.float32(low)) * np.float32(1 / (high - low))
    np.clip(t, 0, 1, out=t)
    return np.asarray(t * t * (3 - 2 * t))

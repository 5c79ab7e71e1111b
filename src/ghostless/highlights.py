"""Highlights that moved: the light of what clips in the reference and no darker frame can tell.

Where a bright thing moves, deghosting hides the darker frames, and all that the merge knows of it
is that it clips. Right beside, where a darker frame happens to agree, it knows the light, often
stops brighter. An SDR picture shows both as white; an HDR display shows a patchwork. Here the
hidden parts take on the brightness of their clipped surroundings: a guess, but never darker than
what is known, and only where the reference clips.
"""

from __future__ import annotations

from math import ceil, sqrt
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from . import color
from .bracket import Frame, Fused, Stack
from .stripes import for_each_stripe

Plane = NDArray[np.float32]

# sRGB codes between which a pixel begins to clip, as the radiance merge takes them.
_CLIP_FROM, _CLIP_TO = 0.92, 0.98
_PROXY_PIXELS: Final = 250_000
# How far to look for surroundings that are known, in proxy pixels, near ones first; and the share
# of them in a neighbourhood that is enough.
_REACHES_PIXELS: Final = (3, 6, 12, 24, 48)
_ENOUGH: Final = 0.03
_SOFT_PIXELS: Final = 2
_DARKEST: Final = np.float32(1e-6)


def extend_highlights(radiance: Fused, stack: Stack) -> Fused:
    """Raise hidden highlights to the brightness of their clipped surroundings.

    radiance: linear, merged from `stack`, whose exposures are known.
    Returns the radiance itself where nothing clips and is hidden.
    """
    reference = stack.frames[stack.reference]
    limit = stack.stops[stack.reference]
    darker = [index for index, stops in enumerate(stack.stops) if stops < limit]
    height, width = reference.height, reference.width
    step = ceil(sqrt(height * width / _PROXY_PIXELS))
    clipped = _clipping(reference.pixels[::step, ::step], reference)
    told = np.zeros(clipped.shape, np.float32)
    for index in darker:
        weight = stack.weight(index)
        told = np.maximum(told, 1 if weight is None else weight[::step, ::step])
    hidden, known = clipped * (1 - told), clipped * told
    if not darker or hidden.max() < 0.5 or known.max() < 0.5:
        return radiance
    brightness = radiance.pixels[::step, ::step].max(axis=2)
    stops = _stops_to_add(np.log2(np.maximum(brightness, _DARKEST)), hidden, known)
    large = cv2.resize(stops, (width, height), interpolation=cv2.INTER_LINEAR)
    out = np.empty_like(radiance.pixels)

    def work(start: int, stop: int) -> None:
        rows = slice(start, stop)
        factor = np.exp2(large[rows] * _clipping(reference.pixels[rows], reference))
        np.multiply(radiance.pixels[rows], factor[:, :, None], out=out[rows])

    for_each_stripe(height, width, work)
    return Fused(out, radiance.space, radiance.metadata, radiance.notes)


def _stops_to_add(log2_brightness: Plane, hidden: Plane, known: Plane) -> Plane:
    """What the hidden parts lack to the mean of what is known around them, soft at their edges."""
    wanted = log2_brightness.copy()
    missing = hidden > 0
    for reach in _REACHES_PIXELS:
        share = _blurred(known, reach)
        found = missing & (share > _ENOUGH)
        wanted[found] = _blurred(known * log2_brightness, reach)[found] / share[found]
        missing &= ~found
    lacking = np.maximum(wanted - log2_brightness, 0) * hidden
    around = np.maximum(_blurred(hidden, _SOFT_PIXELS), np.float32(1e-3))
    return np.asarray(_blurred(lacking, _SOFT_PIXELS) / around * hidden, np.float32)


def _blurred(plane: Plane, sigma_pixels: float) -> Plane:
    return np.asarray(cv2.GaussianBlur(plane, (0, 0), sigma_pixels))


def _clipping(pixels: NDArray[Any], frame: Frame) -> Plane:
    """How much pixels of a frame clip, (h, W), 0..1."""
    red, green, blue = cv2.split(np.ascontiguousarray(pixels))
    code = color.to_unit(np.maximum(np.maximum(red, green), blue))
    if frame.transfer == "linear":
        code = color.linear_to_srgb(code)
    share = np.clip((code - np.float32(_CLIP_FROM)) / np.float32(_CLIP_TO - _CLIP_FROM), 0, 1)
    return np.asarray(share * share * (3 - 2 * share), np.float32)

"""Laying a frame on the reference, moving things included: dense flow between equal exposures.

For methods that judge for themselves what of it to believe. A person who walked is bent into place
as well as flow can, which may tear; `flow.py` is for what must not tear.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from ..bracket import Frame, Mask
from ..pixels import color
from ..pixels.reduced import reduced, size_within
from .flow import to_full_flow, two_way_flow
from .warp import fill_from_reference, warp_by_flow

# Frames are reduced to so many pixels for the flow: those of the photos that such methods are
# measured on.
_FLOW_PIXELS = 1_500_000
# Sides below which dense flow cannot be found.
_SHORTEST_SIDE = 16
# Forward and backward flow may miss each other by so many pixels, and this share of their length.
_AGREE_PIXELS, _AGREE_SHARE = 1.0, 0.05
# Display values between which the reference shows what is there.
_TELLS = (0.03, 0.95)

_Gray = NDArray[np.uint8]


def follow(reference: Frame, frame: Frame) -> Frame:
    """Return a frame with everything where the reference has it, as far as flow can tell.

    Both of known exposure and one size. The darker one is raised to the exposure of the other, flow
    is found in both directions, and the frame is read where it points. Where it points out of the
    frame, the reference stands in, exposed like the frame; also where the two directions disagree,
    unless the reference is clipped or black there. What the flow gets wrong otherwise stays.
    """
    size = size_within(reference.pixels.shape, pixels=_FLOW_PIXELS)
    if frame is reference or min(size) < _SHORTEST_SIDE:
        return frame
    first, second = _at_one_exposure(reference, frame, size)
    flow, miss = two_way_flow(first, second)
    agree = miss < _AGREE_PIXELS + _AGREE_SHARE * np.linalg.norm(flow, axis=2)
    shown = reduced(reference.pixels, size)
    codes = color.to_display(shown, reference.transfer).max(axis=2)
    believed = agree | (codes < _TELLS[0]) | (codes > _TELLS[1])
    pixels, valid = warp_by_flow(frame, np.eye(3), to_full_flow(flow, reference.pixels.shape))
    valid = _both(valid, believed, reference.pixels.shape[:2])
    return fill_from_reference(reference, replace(frame, pixels=pixels), valid)


def _at_one_exposure(first: Frame, second: Frame, size: tuple[int, int]) -> tuple[_Gray, _Gray]:
    """Two frames as grey codes (h, w) in the exposure of the brighter one."""
    brightest = max(first.stops or 0.0, second.stops or 0.0)
    codes = []
    for frame in (first, second):
        light = color.to_linear(reduced(frame.pixels, size), frame.transfer)
        light = np.clip(light * np.float32(2.0 ** (brightest - (frame.stops or 0.0))), 0, 1)
        grey = color.luma(color.linear_to_srgb(light))
        codes.append(np.rint(grey * 255).astype(np.uint8))
    return codes[0], codes[1]


def _both(valid: Mask | None, believed: NDArray[np.bool_], size: tuple[int, int]) -> Mask | None:
    """The least of a mask of full size and a smaller one; None for everywhere."""
    if believed.all():
        return valid
    mask = believed.astype(np.uint8) * np.uint8(255)
    full = cv2.resize(mask, size[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(full if valid is None else np.minimum(full, valid), np.uint8)

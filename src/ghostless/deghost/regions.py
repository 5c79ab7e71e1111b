"""From what each pixel says to whole regions to replace.

Both ways of finding ghosts end here: strong signs start a region, weaker ones that touch it belong
to it, specks are dropped, gaps closed, and a narrow margin added for soft edges.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Flags = NDArray[np.bool_]
Marks = NDArray[np.uint8]

_SMALLEST_START_PIXELS = 12
_CLOSE_PIXELS = 3
# Chance of having moved that starts a region, and down to which a region grows.
_START_CHANCE = 0.7
_GROW_CHANCE = 0.35
# A chance that is enough between parts of a region: things of one colour agree with themselves.
_BETWEEN_CHANCE = 0.1
_BETWEEN_PIXELS = 30
_CHANCE_MARGIN_PIXELS = 1
# What a region surrounds moved with it, a shirt of one colour and what it hid, unless it is this
# much of all that the region's outline encloses.
_LARGEST_HOLE_SHARE = 0.35
# Disagreement in standard deviations that starts a region, and down to which a region grows.
_START_SIGMA = 3.5
_GROW_SIGMA = 1.8
_SIGMA_MARGIN_PIXELS = 2


def regions_of_chance(chance: NDArray[np.float32], sensitivity: float = 1.0) -> Flags:
    """Turn chances of having moved (H, W) into whole regions to replace, bool (H, W).

    What might have moved and lies between the parts of a region belongs to it too, and what it
    surrounds: things of one colour agree with themselves where they moved over themselves.
    sensitivity: factor of the odds.
    """
    odds = chance / np.maximum(1 - chance, np.float32(1e-6)) * np.float32(sensitivity)
    low = (odds > _odds(_GROW_CHANCE)).astype(np.uint8)
    if not low.any():
        return low.astype(np.bool_)
    mask = _grown(low, odds > _odds(_START_CHANCE))
    between = (odds > _odds(_BETWEEN_CHANCE)).astype(np.uint8)
    mask |= _closed(mask, _BETWEEN_PIXELS) & between
    mask = _without_holes(mask)
    return _rounded(mask, _CHANCE_MARGIN_PIXELS)


def regions_of_disagreement(
    strongest: NDArray[np.float32], sharpened: NDArray[np.float32], sensitivity: float = 1.0
) -> Flags:
    """Turn disagreement (H, W), in standard deviations, into whole regions to replace.

    strongest: starts regions. sharpened: what they grow along. sensitivity: factor of both.
    """
    low = (sharpened > _GROW_SIGMA / sensitivity).astype(np.uint8)
    if not low.any():
        return low.astype(np.bool_)
    mask = _grown(low, strongest > _START_SIGMA / sensitivity)
    return _rounded(mask, _SIGMA_MARGIN_PIXELS)


def _odds(chance: float) -> float:
    return chance / (1 - chance)


def _grown(low: Marks, strong: Flags) -> Marks:
    """The connected parts of `low` in which enough is strong."""
    count, labels = cv2.connectedComponents(low, connectivity=8)
    keep = np.bincount(labels[strong], minlength=count) >= _SMALLEST_START_PIXELS
    keep[0] = False
    return np.asarray(keep[labels].astype(np.uint8))


def _rounded(mask: Marks, margin: int) -> Flags:
    """A mask with small gaps closed and a margin added."""
    border = 2 * _CLOSE_PIXELS
    padded = cv2.copyMakeBorder(mask, border, border, border, border, cv2.BORDER_REPLICATE)
    padded = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, _disc(_CLOSE_PIXELS))
    padded = cv2.dilate(padded, _disc(margin))
    return padded[border:-border, border:-border].astype(np.bool_)


def _closed(mask: Marks, radius: int) -> Marks:
    """A mask, 0 or 1, with gaps of up to twice the radius closed, in a time that does not grow."""
    if not mask.any():
        return mask
    padded = cv2.copyMakeBorder(mask, *(radius + 1,) * 4, cv2.BORDER_CONSTANT, value=0)
    away = cv2.distanceTransform(1 - padded, cv2.DIST_L2, cv2.DIST_MASK_5)
    wide = (away <= radius).astype(np.uint8)
    inside = cv2.distanceTransform(wide, cv2.DIST_L2, cv2.DIST_MASK_5)
    closed = (inside > radius).astype(np.uint8)[radius + 1 : -radius - 1, radius + 1 : -radius - 1]
    return np.asarray(closed | mask)


def _without_holes(mask: Marks) -> Marks:
    """A mask, 0 or 1, whose regions have no holes but such as are large beside the region."""
    filled = mask.copy()
    outlines, kinships = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    for number in range(len(outlines)):
        parent = int(kinships[0, number, 3])
        if parent < 0:
            continue
        hole, whole = (cv2.contourArea(outlines[place]) for place in (number, parent))
        if hole <= _LARGEST_HOLE_SHARE * whole:
            cv2.drawContours(filled, outlines, number, 1, cv2.FILLED)
    return filled


def _disc(radius: int) -> Marks:
    side = 2 * radius + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))

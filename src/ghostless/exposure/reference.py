"""Which frame of a bracket to keep to."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from ..bracket import Bracket, Frame, Mask
from ..pixels.likeness import strangers
from .faces import faces_in
from .intensity import (
    Floats,
    sample_display,
    sample_mask,
)
from .metadata import stops_from_metadata
from .motion import moving_area, small_displays
from .sharpness import relative_sharpness, sharpness_of_moving

# What the outermost frame's loss is raised by, and the area that it is charged besides: its
# registration to the far end is the hardest.
_DISTANCE_RISE = 0.45
_DISTANCE_COST = 0.03


# Share of the picture that moves at which it decides half; what it counts beside the rest then.
_MOVING_HALF_SHARE = 0.01
_MOVING_COST = 1.5
_STILL_SHARE = 0.3
# What the brightest frame is charged where things move: the longer it was open, the more they blur.
_BLUR_COST = 0.03
# A frame with less than this of the others' fine detail (log2) is blurred, by focus or shake, and
# what lies at its edges would be called moved in all others: charged as if half of it were lost.
_BLURRED = -0.8
_BLURRED_COST = 0.5
# Each halving of fine detail in what moves, beyond what differs between sharp photos anyway, counts
# as if this much of what moves were lost: the frame that catches a face sharp is to be preferred.
_MOTION_BLUR_COST = 0.15
_MOTION_BLUR_FROM = 0.8
# People hold still for no photo: faces count as what moves. A frame in which none is found that
# another shows has it turned away, closed, clipped or dark.
_NO_FACE_COST = 0.08
# A photo that a flash lit beside one that it did not: fog, pink windows and shadows of its own. One
# whose metadata alone were overruled by the pixels may be one too, or was taken in another light.
_FLASH_COST = 10.0


def choose_reference(bracket: Bracket) -> int:
    """Choose the frame that loses least: its index in the bracket, sorted dark to bright.

    A frame that a flash lit is chosen only where a flash lit all, and one that shows something else
    than the others (`strangers_in`) never.

    Each frame is charged for the area where its highlights clip and where its shadows are so dark
    that their noise and rounding would show once brightened; near-ties go to the middle. Where
    things move (`motion.moving_area`), what they lose counts most: of them the result shows only
    what the reference saw, while what stands still is seen by the other frames as well.
    """
    middle = (len(bracket.frames) - 1) / 2
    displays = small_displays(bracket.frames)
    moving = moving_area(displays, wraps=bracket.wraps)
    for frame in bracket.frames:
        if frame.opaque is not None:
            moving &= _reduced_mask(frame.opaque, moving.shape)
    faces = [faces_in(display) for display in displays]
    for left, top, width, height in (box for found in faces for box in found):
        moving[top : top + height, left : left + width] = True
    share = float(moving.mean())
    decides = share / (share + _MOVING_HALF_SHARE)
    sharpness = relative_sharpness(bracket.frames)
    motion_blur = [0.0] * len(displays)
    if share > 0:
        of_moving = sharpness_of_moving(bracket.frames, moving)
        motion_blur = [
            max(0.0, whole - part - _MOTION_BLUR_FROM)
            for whole, part in zip(sharpness, of_moving, strict=True)
        ]
    overruled = _overruled(bracket.frames) | _strangers(bracket, displays)
    costs = []
    for index, frame in enumerate(bracket.frames):
        distance = abs(index - middle) / max(middle, 0.5)
        loss = _loss(sample_display(frame), sample_mask(frame.opaque, frame.height, frame.width))
        cost = loss * (1 + _DISTANCE_RISE * distance) + _DISTANCE_COST * distance
        if share > 0:
            lost = _moving_loss(displays[index][moving] * np.float32(1 / 255))
            blur = _BLUR_COST * index / max(2 * middle, 1)
            cost = cost * (1 - (1 - _STILL_SHARE) * decides)
            blur += _MOTION_BLUR_COST * motion_blur[index]
            blur += _NO_FACE_COST * (any(faces) and not faces[index])
            cost += decides * (_MOVING_COST * lost + blur)
        if sharpness[index] < _BLURRED:
            cost += _BLURRED_COST
        if frame.metadata.flash_fired or index in overruled:
            cost += _FLASH_COST
        costs.append(cost)
    return int(np.argmin(costs))


def strangers_in(bracket: Bracket) -> list[Frame]:
    """Frames that show something else than the others of their bracket."""
    found = _strangers(bracket, small_displays(bracket.frames))
    return [bracket.frames[index] for index in sorted(found)]


def _strangers(bracket: Bracket, displays: Sequence[Floats]) -> set[int]:
    # The camera may have been turned all the way round between photos that go round.
    if len(displays) < 3 or bracket.wraps:
        return set()
    return strangers([Frame(display.astype(np.uint8)) for display in displays])


def _overruled(frames: Sequence[Frame]) -> set[int]:
    """Frames whose own exposures are not believed, where those of most others are."""
    told = [i for i, frame in enumerate(frames) if stops_from_metadata(frame.metadata) is not None]
    doubted = {i for i in told if frames[i].stops_source == "pixels"}
    return doubted if 2 * len(doubted) < len(told) else set()


def _moving_loss(display: Floats) -> float:
    """Share of what moves that a frame loses to clipping, or all but loses to noise."""
    brightest = display.max(axis=1)
    clipped = np.clip((brightest - 0.94) / 0.05, 0.0, 1.0)
    crushed = np.clip((0.12 - brightest) / 0.10, 0.0, 1.0)
    return float(clipped.mean() + crushed.mean())


def _reduced_mask(mask: Mask, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    return np.asarray(cv2.resize(mask, shape[::-1], interpolation=cv2.INTER_AREA) == 255)


def _loss(display: Floats, shown: NDArray[np.bool_]) -> float:
    """Share of the area (0..1) that a frame loses to clipping and to noise in shadows.

    shown: samples that are not transparent; the others are lost.
    """
    brightest = display.max(axis=1)
    clipped = np.clip((brightest - 0.94) / 0.05, 0.0, 1.0)
    crushed = np.clip((0.30 - brightest) / 0.25, 0.0, 1.0)
    # What moves is shown from the reference alone, so a dark shadow costs as much as a highlight.
    return float(np.where(shown, clipped + crushed, 1).mean())

"""Which way round the photos of one bracket lie, where their orientation tags are at odds.

A camera that points up or down guesses which side is up anew for every shot, so the photos of one
bracket may have different tags though it never turned. Its pixels tell: the turn is taken that lays
a photo on the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import cv2
import numpy as np

from ..bracket import Frame
from ..pixels.likeness import likeness
from .decode import turn

# Fine enough to tell a picture from its mirror image.
_SHORT_SIDE_PIXELS: Final = 48
_COPY_SIDE_PIXELS: Final = 192
# A turn that fits better by less than this is not told from another.
_TELLING: Final = 0.02
# Below this nothing fits: another scene, whose tag may be as it will.
_FITS: Final = 0.6
_MOST_COMPARED: Final = 3


@dataclass(frozen=True)
class Laid:
    """How a photo lies: its size once upright by its own tag, and that tag, 1..8."""

    name: str
    height: int
    width: int
    tag: int

    @property
    def stored(self) -> tuple[int, int]:
        """Height and width before the tag is applied."""
        return (self.height, self.width) if self.tag < 5 else (self.width, self.height)


def settle_turns(
    photos: Sequence[Laid], read: Callable[[int], Frame]
) -> tuple[list[int], list[str]]:
    """Find by what each photo is to be turned further, once upright by its own tag.

    read: gives the pixels of the photo of an index, upright by its own tag; it is called only where
        tags are at odds.
    Returns an orientation (1..8, 1 for not at all) for each photo, and notes.
    """
    further = [1] * len(photos)
    kinds = Counter((photo.stored, photo.tag) for photo in photos)
    (stored, tag), _ = kinds.most_common(1)[0]
    like_most = [i for i, photo in enumerate(photos) if (photo.stored, photo.tag) == (stored, tag)]
    base = photos[like_most[0]]
    at_odds = [
        index
        for index, photo in enumerate(photos)
        if index not in like_most
        and {photo.height, photo.width} == {base.height, base.width}
        and (photo.tag != tag or photo.height != base.height)
    ]
    if not at_odds:
        return further, []
    step = -(-len(like_most) // _MOST_COMPARED)
    others = [_small(read(index)) for index in like_most[::step]]
    notes = []
    for index in at_odds:
        photo = photos[index]
        chosen = _best_turn(_small(read(index)), others, photo, base)
        if chosen == 1:
            continue
        further[index] = chosen
        notes.append(
            f"{photo.name}: its pixels do not lie as its orientation tag ({photo.tag}) says, but "
            f"as those of {base.name} (tag {base.tag}): turned to fit them"
        )
    return further, notes


def _best_turn(copy: Frame, others: Sequence[Frame], photo: Laid, base: Laid) -> int:
    """The further turn that lays a photo on the others; 1 where none fits."""
    # As if it had the tag that most have: what a camera that guessed wrong needs.
    common = then(inverse(photo.tag), base.tag)
    candidates: list[int] = [
        code
        for code in dict.fromkeys((common, 1, *range(2, 9)))
        if (photo.height, photo.width)[:: -1 if code >= 5 else 1] == (base.height, base.width)
    ]
    fits: dict[int, float] = {}
    for code in candidates:
        turned: Any = np.ascontiguousarray(turn(copy.pixels, code))
        shown = replace(copy, pixels=turned)
        found = [likeness(other, shown, _SHORT_SIDE_PIXELS) for other in others]
        known = [value for value in found if value is not None]
        if known:
            fits[code] = float(np.mean(known))
    if not fits:  # all black or white
        return common if common in candidates and photo.stored == base.stored else 1
    best = max(fits.values())
    if best < _FITS:
        return 1
    return next(code for code in candidates if fits.get(code, -1.0) >= best - _TELLING)


def _small(frame: Frame) -> Frame:
    scale = _COPY_SIDE_PIXELS / min(frame.height, frame.width)
    if scale >= 1:
        return frame
    size = max(1, round(frame.width * scale)), max(1, round(frame.height * scale))
    small: Any = cv2.resize(frame.pixels, size, interpolation=cv2.INTER_AREA)
    return replace(frame, pixels=small)


# What each orientation does to the corners of a picture, as a tuple of where they come from.
def _corners(orientation: int) -> tuple[int, ...]:
    return tuple(turn(np.array([[0, 1], [2, 3]], np.uint8), orientation).reshape(-1).tolist())


_CODES: Final[dict[tuple[int, ...], int]] = {_corners(code): code for code in range(1, 9)}


def then(first: int, second: int) -> int:
    """The orientation that amounts to one applied after another.

    >>> then(6, 6), then(6, 8), then(2, 3)
    (3, 1, 4)
    """
    once = _corners(first)
    return _CODES[tuple(once[place] for place in _corners(second))]


def inverse(orientation: int) -> int:
    """The orientation that undoes one.

    >>> inverse(6), inverse(5)
    (8, 5)
    """
    return next(code for code in range(1, 9) if then(orientation, code) == 1)

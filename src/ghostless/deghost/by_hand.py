"""What a person decided about ghosts, as words: FRAME:MASK."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..bracket import Mask, Stack
from ..errors import BracketError, OptionError
from ..io.read import read_frame

# Says that nothing is to be replaced.
NOBODY = "none"


@dataclass(frozen=True)
class Kept:
    """What a person decided of a part of the picture.

    mask: (H, W) uint8 of the frames' size, 128 and more where it holds. frame: index of the photo
        that is to be shown there, whatever moves; None where nothing is to be replaced.
    """

    mask: Mask
    frame: int | None = None


def read_kept(words: Sequence[str], stack: Stack) -> list[Kept]:
    """Read the masks that words FRAME:MASK name, for a stack.

    FRAME: a photo's file name, with or without its suffix, or its place from 0, dark to bright;
    "none" for a part that is left as it is. MASK: an image of the photos' size, white where it
    holds; what is transparent does not.
    Raises OptionError for other words and photos that are not there, BracketError for a mask of
    another size, FileReadError for one that cannot be read.
    """
    return [_read(word, stack) for word in words]


def check_kept(words: Sequence[str]) -> None:
    """Raise, before any work is done, what is wrong with words whatever the photos are."""
    for word in words:
        _, file = _parts(word)
        if not file.is_file():
            raise OptionError(f"keep: expected a mask's file behind the colon, found {word!r}")


def _parts(word: str) -> tuple[str, Path]:
    name, colon, file = word.partition(":")
    if not (name.strip() and colon and file.strip()):
        raise OptionError(
            f"keep: expected FRAME:MASK, such as IMG_2:mask.png, found {word!r}; FRAME is a "
            f"photo's name or its place from 0, or {NOBODY!r} where nothing is to be replaced"
        )
    return name.strip(), Path(file.strip())


def _read(word: str, stack: Stack) -> Kept:
    name, file = _parts(word)
    painted = read_frame(file)
    shown = painted.unit().max(axis=2) >= 0.5
    if painted.opaque is not None:
        shown &= painted.opaque >= 128
    mask = shown.astype(np.uint8) * np.uint8(255)
    check_mask(mask, stack, f"{file}: ")
    return Kept(mask, None if name.lower() == NOBODY else _index(name, stack, word))


def check_mask(mask: Mask, stack: Stack, named: str = "") -> None:
    """Raise BracketError for a mask of another size than a stack's frames.

    named: what the message begins with.
    """
    first = stack.frames[0]
    if mask.shape != (first.height, first.width):
        raise BracketError(
            f"{named}expected a mask of the photos' size, {first.width} x {first.height} pixels, "
            f"found one of {mask.shape[1]} x {mask.shape[0]}; paint it on one of the photos"
        )


def _index(name: str, stack: Stack, word: str) -> int:
    frames = stack.frames
    if name.isdecimal() and int(name) < len(frames):
        return int(name)
    found = [i for i, f in enumerate(frames) if name in (f.name, Path(f.name).stem)]
    if len(found) == 1:
        return found[0]
    names = ", ".join(frame.name for frame in frames)
    why = "several of this name" if found else repr(word)
    raise OptionError(f"keep: expected one of the photos ({names}) or a place from 0, found {why}")

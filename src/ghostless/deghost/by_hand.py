"""What a person decided about ghosts, as words: FRAME:MASK."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..bracket import Bracket, Crop, Frame, Mask, Stack
from ..errors import BracketError, OptionError
from ..io.read import read_facts, read_frame

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
    holds; what is transparent does not. Where the frames were cropped, so are the masks.
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


def check_kept_of(words: Sequence[str], bracket: Bracket) -> None:
    """Raise, before photos are aligned, what `read_kept` would raise after it.

    Of the masks only the headers are read.
    """
    first = bracket.frames[0]
    for word in words:
        name, file = _parts(word)
        _index(name, bracket.frames, word)
        facts = read_facts(file)
        _check_size((facts.height, facts.width), (first.height, first.width), f"{file}: ")


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
    if stack.crop is not None:
        mask = _cropped(mask, stack, stack.crop, f"{file}: ")
    check_mask(mask, stack, f"{file}: ")
    return Kept(mask, _index(name, stack.frames, word))


def _cropped(mask: Mask, stack: Stack, crop: Crop, named: str) -> Mask:
    """A mask of the photos' size, cut as they were."""
    _check_size(mask.shape, (crop.photo_height, crop.photo_width), named)
    bottom = crop.top + stack.frames[0].height
    return mask[crop.top : bottom, crop.left : crop.left + stack.frames[0].width].copy()


def check_mask(mask: Mask, stack: Stack, named: str = "") -> None:
    """Raise BracketError for a mask of another size than a stack's frames.

    named: what the message begins with.
    """
    first = stack.frames[0]
    _check_size(mask.shape, (first.height, first.width), named)


def _check_size(found: tuple[int, ...], wanted: tuple[int, int], named: str) -> None:
    if found != wanted:
        raise BracketError(
            f"{named}expected a mask of the photos' size, {wanted[1]} x {wanted[0]} pixels, "
            f"found one of {found[1]} x {found[0]}; paint it on one of the photos"
        )


def _index(name: str, frames: Sequence[Frame], word: str) -> int | None:
    """The place of a photo among the frames; None where nothing is to be replaced."""
    if name.lower() == NOBODY:
        return None
    if name.isdecimal() and int(name) < len(frames):
        return int(name)
    found = [i for i, f in enumerate(frames) if name in (f.name, Path(f.name).stem)]
    if len(found) == 1:
        return found[0]
    names = ", ".join(frame.name for frame in frames)
    why = "several of this name" if found else repr(word)
    raise OptionError(f"keep: expected one of the photos ({names}) or a place from 0, found {why}")

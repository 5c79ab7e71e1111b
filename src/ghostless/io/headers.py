"""What a header tells of a picture, and checks that all formats share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from ..errors import FileReadError

ICC_LIMIT_BYTES: Final = 16 << 20


@dataclass
class Header:
    """What stands before the pixels.

    width, height: as stored, before the orientation is applied.
    orientation: 1..8 as the Exif tag counts them. applied: the same, where width and height are
        those of the picture turned already, as its decoder gives it.
    stored: width and height of what is decoded, where that may be more. too_short: whether there
        are fewer bytes than the pixels take at the very least.
    place: where the picture lies on a larger page, x and y in pixels, where it says so.
    bits: per sample. pages: pictures in the file. complete: False where a JPEG's end mark is
        missing. cropped: width and height of HEIF's clean aperture. transfer, primaries: codes
        of ITU-T H.273, where the file gives them. full_range: whether codes span all their bits;
        else those of video. icc_profile: the file's own. told_profile: what its numbers on colour
        amount to, where it has none. colours_told: whether more than the Exif tells of colours.
    """

    width: int
    height: int
    orientation: int = 1
    stored: tuple[int, int] | None = None
    too_short: bool = False
    bits: int = 8
    samples: int = 3
    pages: int = 1
    complete: bool = True
    exif: bytes | None = None
    icc_profile: bytes | None = None
    told_profile: bytes | None = None
    transfer: int | None = None
    primaries: int | None = None
    full_range: bool = True
    colours_told: bool = False
    cropped: tuple[int, int] | None = None
    applied: int = 1
    place: tuple[int, int] | None = None
    notes: list[str] = field(default_factory=list)


class Damaged(Exception):
    """The bytes do not follow the format; says where."""


def check_pixels(header: Header, most: int) -> None:
    """Raise FileReadError for more pixels than are allowed, Damaged for more than can be there."""
    check_size(header.width, header.height, most)
    if header.stored is not None:
        check_size(*header.stored, most)
    if header.too_short:
        raise Damaged(f"it is too short for its {header.width} x {header.height} pixels")


def check_size(width: int, height: int, most: int) -> None:
    """Raise FileReadError for a picture of more pixels than are allowed."""
    if width * height > most:
        raise FileReadError(
            f"expected at most {most:,} pixels, found {width} x {height}; scale the picture down "
            "or allow more with --max-pixels"
        )


def need(data: bytes, offset: int, size: int) -> bytes:
    piece = data[offset : offset + size]
    if offset < 0 or len(piece) < size:
        raise Damaged(f"it ends at byte {len(data)}, before its header does")
    return piece

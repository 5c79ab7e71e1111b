"""Masks that a client painted: what is taken of them, and where they lie.

The server reads a PNG's first bytes only; a worker decodes it, as it does photos.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from typing import Any

from ..errors import BracketError, InputError, OptionError
from .storage import StoredBracket

_MOST_MASKS = 200
_MOST_BYTES = 100_000_000
_PNG = b"\x89PNG\r\n\x1a\n"
_HEADER = struct.Struct(">8sI4sIIBB")
_MOST_BITS = 8


def add_mask(bracket: StoredBracket, content: bytes) -> str:
    """Keep a mask of a bracket and return its name; the same mask has the same name.

    content: a PNG of the photos' size. Raises InputError for what is none, or one mask too many,
    and BracketError for one of another size.
    """
    width, height = _size(content)
    first = bracket.facts["frames"][0]
    if (width, height) != (first["width"], first["height"]):
        raise BracketError(
            f"expected a mask of the photos' size, {first['width']} x {first['height']} pixels, "
            f"found one of {width} x {height}; paint it on one of the photos"
        )
    name = hashlib.sha256(content).hexdigest()[:32]
    folder = bracket.folder / "masks"
    path = folder / f"{name}.png"
    if name in bracket.masks:
        return name
    used = sum(each.stat().st_size for each in bracket.masks.values())
    if len(bracket.masks) >= _MOST_MASKS or used + len(content) > _MOST_BYTES:
        raise InputError(
            f"expected at most {_MOST_MASKS} masks of a bracket, {_MOST_BYTES // 10**6} MB "
            "together, found more; upload the photos again"
        )
    folder.mkdir(mode=0o700, exist_ok=True)
    path.write_bytes(content)
    bracket.masks[name] = path
    return name


def _size(content: bytes) -> tuple[int, int]:
    if len(content) >= _HEADER.size:
        signature, _, kind, width, height, bits, _ = _HEADER.unpack_from(content)
        if signature == _PNG and kind == b"IHDR" and bits <= _MOST_BITS:
            return width, height
    raise InputError("expected a mask as a PNG of 1 to 8 bits, white where it holds, found none")


def words_of(bracket: StoredBracket, request: Mapping[str, Any]) -> list[str]:
    """What a request keeps, as the words FRAME:MASK of the library.

    Raises OptionError for a mask that this bracket does not have.
    """
    words = []
    for kept in request["keep"]:
        path = bracket.masks.get(kept["mask"])
        if path is None:
            raise OptionError(
                "keep: expected a mask that was uploaded for these photos, found none of this "
                "name; upload it again"
            )
        photo = "none"
        if kept["frame"] is not None:
            # By its file, for places change with the exposures that are told.
            photo = bracket.files[bracket.facts["frames"][kept["frame"]]["number"]].name
        words.append(f"{photo}:{path}")
    return words

"""Photos that lie on each other already, as a stack."""

from __future__ import annotations

from ..bracket import Stack
from ..io.arrays import Photos
from .assign import assign_stops
from .reference import choose_reference


def as_stack(photos: Stack | Photos) -> Stack:
    """A Stack as it is; of photos one in which they are taken to lie on each other already.

    photos: as `as_bracket` takes them, arrays or paths, in any order.
    Raises what `as_bracket` and `assign_stops` raise.
    """
    if isinstance(photos, Stack):
        return photos
    bracket = assign_stops(photos)
    return Stack(
        bracket.frames,
        choose_reference(bracket),
        valid=tuple(frame.opaque for frame in bracket.frames),
        notes=bracket.notes,
        wraps=bracket.wraps,
    )

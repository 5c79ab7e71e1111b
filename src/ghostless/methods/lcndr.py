"""Fusing with LCNDR, the network of nn/lcndr.py: pairs of any size, more frames in turn."""

from __future__ import annotations

from ..bracket import Fused, Stack
from ..pixels.stripes import Progress
from .painted import finish_of
from .pairs import fuse_pairs
from .settings import LcndrSettings


def fuse(stack: Stack, settings: LcndrSettings, progress: Progress | None = None) -> Fused:
    """Fuse two or more frames, dark to bright, into a display image: see `pairs.fuse_pairs`."""
    return fuse_pairs(stack, settings, "lcndr", finish=finish_of(settings), progress=progress)

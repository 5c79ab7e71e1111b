"""Fusing with MEF-GAN, the network of nn/mef_gan.py: pairs of any size, more frames in turn."""

from __future__ import annotations

from ..bracket import Fused, Stack
from ..pixels.stripes import Progress
from .painted import finish_of
from .pairs import fuse_pairs
from .settings import MefGanSettings


def fuse(stack: Stack, settings: MefGanSettings, progress: Progress | None = None) -> Fused:
    """Fuse two or more frames, dark to bright, into a display image: see `pairs.fuse_pairs`."""
    return fuse_pairs(stack, settings, "mef-gan", finish=finish_of(settings), progress=progress)

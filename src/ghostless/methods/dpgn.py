"""Fusing with DPGN, the network of nn/dpgn.py: pairs of any size, more frames in turn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..bracket import Frame, Fused, Stack
from ..pixels import color
from ..pixels.stripes import Progress, for_each_stripe
from . import mertens
from .pairs import fuse_pairs
from .settings import DpgnSettings


def fuse(stack: Stack, settings: DpgnSettings, progress: Progress | None = None) -> Fused:
    """Fuse two or more frames, dark to bright, into a display image: see `pairs.fuse_pairs`."""

    def finish(pixels: NDArray[np.float32], under: Frame, over: Frame) -> None:
        take_chroma(pixels, mertens.fuse(Stack((under, over), reference=0)).pixels)

    return fuse_pairs(
        stack,
        settings,
        "dpgn",
        finish=finish if settings.chroma == "prior" else None,
        progress=progress,
    )


def take_chroma(pixels: NDArray[np.float32], prior: NDArray[np.float32]) -> None:
    """Give an image, display RGB (H, W, 3), the chroma of another one, in place; clip to 0..1."""

    def work(start: int, stop: int) -> None:
        rows = slice(start, stop)
        ycbcr = color.rgb_to_ycbcr(prior[rows])
        ycbcr[..., 0] = color.rgb_to_ycbcr(pixels[rows])[..., 0]
        np.clip(color.ycbcr_to_rgb(ycbcr), 0, 1, out=pixels[rows])

    for_each_stripe(pixels.shape[0], pixels.shape[1], work)

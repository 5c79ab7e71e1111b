"""Colour of exposure fusion for networks that paint every pixel: they fuse luma well before colour.

Source: the program of DPGN (Yin, Chen, Peng, Tsai, ICME 2020) takes its colours so.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..bracket import Frame, Stack
from ..pixels import color
from ..pixels.stripes import for_each_stripe
from . import mertens
from .pairs import FinishPair
from .settings import PaintingSettings

_GREY = np.float32(color.NEUTRAL_CHROMA)
# Of luma that is compared: keeps chroma from growing without end where the prior is black.
_BLACK = 0.02


def finish_of(settings: PaintingSettings) -> FinishPair | None:
    """What is left to do to a pair's result: see `PaintingSettings.chroma`."""

    def finish(pixels: NDArray[np.float32], under: Frame, over: Frame) -> None:
        prior = mertens.fuse(Stack((under, over), reference=0)).pixels
        take_chroma(pixels, prior, scaled=settings.chroma == "scaled")

    return None if settings.chroma == "net" else finish


def take_chroma(
    pixels: NDArray[np.float32], prior: NDArray[np.float32], scaled: bool = False
) -> None:
    """Give an image, display RGB (H, W, 3), the chroma of another one, in place; clip to 0..1.

    scaled: by the root of how much brighter the image is than the prior. The same chroma is more
    saturated the darker it is: as it stands, it turns a wall that was made darker orange; in step
    with luma, which keeps its saturation, it is farther from what people pick.
    """

    def work(start: int, stop: int) -> None:
        rows = slice(start, stop)
        luma = color.rgb_to_ycbcr(pixels[rows])[..., 0]
        ycbcr = color.rgb_to_ycbcr(prior[rows])
        if scaled:
            by = np.sqrt((luma.clip(0) + _BLACK) / (ycbcr[..., 0].clip(0) + _BLACK))
            ycbcr[..., 1:] = (ycbcr[..., 1:] - _GREY) * by[..., None] + _GREY
        ycbcr[..., 0] = luma
        np.clip(color.ycbcr_to_rgb(ycbcr), 0, 1, out=pixels[rows])

    for_each_stripe(pixels.shape[0], pixels.shape[1], work)

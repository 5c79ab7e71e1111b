"""What is done to pictures that networks paint pixel by pixel: brightness and colour.

Such networks learn luma well before colour, or luma alone, and the mean of what could be shown,
which is dark.
Colour as exposure fusion has it: the program of DPGN (Yin, Chen, Peng, Tsai, ICME 2020). Brightness
by middle grey, as cameras meter.
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
# What reflects 18 % of the light, as an sRGB value.
_MIDDLE_GREY = 0.461
# A night is not made a day: luma of 0.25 becomes 0.4 at most.
_LEAST_GAMMA = 2 / 3
_BINS = 1024
_HALVINGS = 12


def finish_of(settings: PaintingSettings) -> FinishPair | None:
    """What is left to do to a pair's result: see `PaintingSettings`."""
    if settings.chroma == "net" and settings.brightness == "net":
        return None

    def finish(pixels: NDArray[np.float32], under: Frame, over: Frame) -> None:
        if settings.brightness == "grey":
            lift_to_grey(pixels)
        if settings.chroma != "net":
            prior = mertens.fuse(Stack((under, over), reference=0)).pixels
            take_chroma(pixels, prior, scaled=settings.chroma == "scaled")

    return finish


def lift_to_grey(pixels: NDArray[np.float32]) -> None:
    """Brighten an image, display RGB (H, W, 3), 0..1, in place until its luma is 0.461 in the mean.

    By one power of its values, which leaves black and white where they are; no stronger than the
    power 2/3, and not at all where it is as bright already.
    """
    counts: list[NDArray[np.int64]] = []

    def count(start: int, stop: int) -> None:
        luma = color.rgb_to_ycbcr(pixels[start:stop])[..., 0].clip(0, 1)
        counts.append(np.histogram(luma, _BINS, (0, 1))[0])

    for_each_stripe(pixels.shape[0], pixels.shape[1], count)
    gamma = _gamma_to_grey(np.sum(counts, axis=0))
    if gamma == 1:
        return

    def work(start: int, stop: int) -> None:
        rows = pixels[start:stop]
        np.clip(rows, 0, 1, out=rows)
        np.power(rows, np.float32(gamma), out=rows)

    for_each_stripe(pixels.shape[0], pixels.shape[1], work)


def _gamma_to_grey(counts: NDArray[np.int64]) -> float:
    """The power, 2/3 to 1, at which a histogram of 0..1 has its mean nearest to middle grey."""
    values = (np.arange(_BINS) + 0.5) / _BINS

    def is_dark(gamma: float) -> bool:
        return float(np.average(values**gamma, weights=counts)) < _MIDDLE_GREY

    if not is_dark(1.0):
        return 1.0
    if is_dark(_LEAST_GAMMA):
        return _LEAST_GAMMA
    low, high = _LEAST_GAMMA, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if is_dark(middle) else (middle, high)
    return (low + high) / 2


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

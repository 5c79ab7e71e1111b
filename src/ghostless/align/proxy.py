"""Small grey stand-ins of two frames, made comparable in spite of their exposures."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ..bracket import Frame
from ..pixels import color
from ..pixels.reduced import reduced, size_within
from ..work.spill import trim

Gray = NDArray[np.float32]
Matrix = NDArray[np.float64]

# Codes (of 255) from which on a pixel is taken to be clipped; compression rings a little.
DARK_CLIP = 0
BRIGHT_CLIP = 252


def make_proxy(frame: Frame, max_pixels: int) -> NDArray[np.float32]:
    """Reduce a frame to at most about `max_pixels`, display coding.

    Returns (h, w, 3) float32 RGB, 0..255. Reduction averages areas, so that pixel centres keep
    their place: x_full + 0.5 = (x_proxy + 0.5) * scale.
    """
    pixels = reduced(frame.pixels, size_within(frame.pixels.shape, pixels=max_pixels))
    if pixels is not frame.pixels:
        trim()
    if pixels.dtype == np.float32:
        pixels = np.nan_to_num(pixels, nan=0.0, posinf=1.0, neginf=0.0)
    return np.asarray(color.to_display(pixels, frame.transfer) * np.float32(255))


def to_full_size(matrix: Matrix, proxy: tuple[int, ...], full: tuple[int, ...]) -> Matrix:
    """Carry a matrix between two proxies over to the full frames; sizes are (height, width, ...).

    Pixel centres are whole numbers on both sides, so half a pixel is added and taken away.
    """
    sx, sy = full[1] / proxy[1], full[0] / proxy[0]
    up = np.array([[sx, 0, (sx - 1) / 2], [0, sy, (sy - 1) / 2], [0, 0, 1]], np.float64)
    scaled = up @ matrix @ np.linalg.inv(up)
    return np.asarray(scaled / scaled[2, 2])


def gray_of(proxy: NDArray[np.float32]) -> Gray:
    """Luma (h, w) of a proxy (h, w, 3)."""
    return color.luma(proxy)


def resized(image: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Reduce an image to a shape (height, width, ...), averaging areas."""
    return reduced(image, (shape[0], shape[1]))


@dataclass(frozen=True)
class TonalRange:
    """The codes 0..255 of two images, as (low, high), between which both hold detail."""

    reference: tuple[float, float]
    moving: tuple[float, float]


def _cumulative_histogram(gray: Gray) -> NDArray[np.float64]:
    codes = np.clip(np.rint(gray), 0, 255).astype(np.uint8)
    counts = cv2.calcHist([codes], [0], None, [256], [0, 256]).ravel()
    return np.asarray(np.cumsum(counts, dtype=np.float64) / max(1, gray.size))


def overlapping_range(reference: Gray, moving: Gray) -> TonalRange:
    """Find the tones that neither image clips, by equal rank in the cumulative histograms.

    The same things keep the same rank at any exposure, moved or not (Grossberg and Nayar,
    Determining the Camera Response from Images: What Is Knowable?, PAMI 2003): what the brighter
    image clips above and the darker one loses below can be cut off in both.
    """
    ranks = [_cumulative_histogram(reference), _cumulative_histogram(moving)]
    low = max(float(rank[DARK_CLIP]) for rank in ranks)
    high = min(float(rank[BRIGHT_CLIP]) for rank in ranks)
    limits = []
    for rank in ranks:
        bottom = min(float(np.searchsorted(rank, low, side="left")), 254.0)
        top = min(float(np.searchsorted(rank, high, side="right")), 255.0)
        limits.append((bottom, max(top, bottom + 1)))
    return TonalRange(limits[0], limits[1])


def local_normalise(image: Gray, window_pixels: float, noise: float) -> tuple[Gray, Gray]:
    """Take out the local mean and divide by the local spread, which takes out the exposure.

    noise: spread (in codes) below which texture fades out rather than being amplified.
    Returns the normalised image, and its energy 0..1: the share of the local variance that is
    more than noise.
    """
    border = cv2.BORDER_REFLECT
    centred = image - cv2.GaussianBlur(image, (0, 0), window_pixels, borderType=border)
    variance = cv2.GaussianBlur(centred * centred, (0, 0), window_pixels, borderType=border)
    total = variance + np.float32(noise * noise)
    energy = variance / total
    cv2.sqrt(total, total)
    centred /= total
    return centred, energy

"""Filters and histograms that several metrics share, in float64, with MATLAB's conventions."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from ...errors import InputError

Plane = NDArray[np.float64]


class TooSmallError(InputError):
    """An image is smaller than a metric's window or pyramid."""


def require_size(shape: tuple[int, ...], least: int, metric: str, instead: str = "") -> None:
    """Raise TooSmallError unless both sides of (H, W, ...) have at least `least` pixels."""
    height, width = shape[:2]
    if min(height, width) < least:
        other = f" or {instead}" if instead else ""
        raise TooSmallError(
            f"{metric} expected an image of at least {least} x {least} pixels, "
            f"found {width} x {height}; use a larger image{other}"
        )


@lru_cache(maxsize=16)
def gaussian(size: int, sigma: float) -> Plane:
    """One-dimensional Gaussian window of `size` taps that sums to 1. (size,)."""
    x = np.arange(size, dtype=np.float64) - (size - 1) / 2
    window = np.exp(-(x**2) / (2 * sigma**2))
    return np.asarray(window / window.sum())


def smooth_valid(plane: Plane, window: Plane) -> Plane:
    """Correlate (H, W) with a separable window; only where the window fits, (H-n+1, W-n+1)."""
    smoothed = cv2.sepFilter2D(plane, cv2.CV_64F, window, window, borderType=cv2.BORDER_CONSTANT)
    first, last = (len(window) - 1) // 2, len(window) // 2
    height, width = plane.shape
    return np.asarray(smoothed[first : height - last, first : width - last])


def smooth_same(plane: Plane, window: Plane) -> Plane:
    """Correlate (H, W) with a separable window, zeros outside; same size."""
    return np.asarray(
        cv2.sepFilter2D(plane, cv2.CV_64F, window, window, borderType=cv2.BORDER_CONSTANT)
    )


def correlate_same(plane: Plane, kernel: Plane, border: int = cv2.BORDER_CONSTANT) -> Plane:
    """Correlate (H, W) with a small two-dimensional kernel; zeros outside by default."""
    return np.asarray(cv2.filter2D(plane, cv2.CV_64F, kernel, borderType=border))


def halve(plane: Plane) -> Plane:
    """Mean of 2 x 2 pixels, symmetric border, every second pixel; (H, W) to ceil of half."""
    padded = cv2.copyMakeBorder(plane, 0, 1, 0, 1, cv2.BORDER_REFLECT)
    mean = (padded[:-1, :-1] + padded[1:, :-1] + padded[:-1, 1:] + padded[1:, 1:]) / 4
    return np.ascontiguousarray(mean[::2, ::2])


def stretch(plane: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Stretch a plane (H, W) to 0..255 by its own minimum and maximum, rounded half away from 0.

    A constant plane other than 0 has no range to stretch; it becomes 0.
    """
    values = plane.astype(np.float64)
    low, high = float(values.min()), float(values.max())
    if high == low:
        return np.zeros(plane.shape, np.uint8)
    return np.floor((values - low) / (high - low) * 255 + 0.5).astype(np.uint8)


def histogram(plane: NDArray[np.uint8]) -> Plane:
    """Probabilities (256,) of the levels of a uint8 plane."""
    return np.bincount(plane.ravel(), minlength=256) / plane.size


def joint_histogram(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> Plane:
    """Joint probabilities (256, 256) of two uint8 planes: rows first, columns second."""
    code = first.ravel().astype(np.int32) * 256 + second.ravel()
    return np.bincount(code, minlength=65536).reshape(256, 256) / first.size


def entropy_bits(probabilities: Plane) -> float:
    """Shannon entropy in bits of an array of probabilities of any shape."""
    present = probabilities[probabilities > 0]
    return float(-np.sum(present * np.log2(present)))


def filter_in_frequency(plane: Plane, response: Plane) -> Plane:
    """Multiply the spectrum of (H, W) by a real even response (zero frequency at [0, 0])."""
    spectrum = cv2.dft(plane, flags=cv2.DFT_COMPLEX_OUTPUT)
    spectrum = spectrum * response[:, :, None]
    return np.asarray(cv2.dft(spectrum, flags=cv2.DFT_INVERSE | cv2.DFT_SCALE)[:, :, 0])


def frequency_radius(height: int, width: int, vertical: float, horizontal: float) -> Plane:
    """Radius (H, W) of MATLAB's freqspace grid (-1..1), its axes scaled; zero at [0, 0].

    `freqspace(n)` is (-n : 2 : n-2) / n for even n and (1-n : 2 : n-1) / n for odd n.
    """

    def axis(count: int) -> Plane:
        start = -count if count % 2 == 0 else 1 - count
        return np.arange(start, start + 2 * count, 2, dtype=np.float64) / count

    v = vertical * axis(height)[:, None]
    u = horizontal * axis(width)[None, :]
    return np.asarray(np.fft.ifftshift(np.sqrt(u**2 + v**2)))

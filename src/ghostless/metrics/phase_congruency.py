"""Qp: phase congruency of the sources found again in the fused image (Zhao et al. 2007).

Phase congruency follows Kovesi, "Phase congruency detects corners and edges", DICTA 2003: log-Gabor
filters on 4 scales (shortest wavelength 3 pixels, factor 2.1, bandwidth 0.55) and 6 orientations.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ._filters import gaussian, smooth_same

Bytes = NDArray[np.uint8]
Plane = NDArray[np.float64]
Plane32 = NDArray[np.float32]

_SCALES = 4
_ORIENTATIONS = 6
_EPSILON = 1e-4
_FEATURE_THRESHOLD = 0.1


def phase_congruency_quality(first: Bytes, second: Bytes, fused: Bytes) -> float:
    """Product of the correlations of phase congruency and of its largest and smallest moments."""
    a, b, f = (phase_congruency(plane.astype(np.float64)) for plane in (first, second, fused))
    stronger = a.congruency > b.congruency
    both = Congruency(*(np.where(stronger, x, y) for x, y in zip(a.planes, b.planes, strict=True)))
    masks = [plane.congruency > _FEATURE_THRESHOLD for plane in (a, b, both)]
    score = 1.0
    for maps in zip(a.planes, b.planes, both.planes, f.planes, strict=True):
        score *= _best_correlation(maps[:3], maps[3], masks)
    return score


@dataclass(frozen=True)
class Congruency:
    """Phase congruency (H, W) and the largest and smallest moment of its covariance."""

    congruency: Plane
    largest_moment: Plane
    smallest_moment: Plane

    @property
    def planes(self) -> tuple[Plane, Plane, Plane]:
        return self.congruency, self.largest_moment, self.smallest_moment


def phase_congruency(plane: Plane) -> Congruency:
    """Phase congruency of a plane (H, W) and the moments of its covariance over orientation.

    Worked out in float32, which keeps the official figures to about 1e-6 at half the time.
    """
    height, width = plane.shape
    values = plane.astype(np.float32)
    spectrum: Any = cv2.dft(values, flags=cv2.DFT_COMPLEX_OUTPUT)
    energy_sum, amplitude_sum, xx, yy, xy = (np.zeros_like(values) for _ in range(5))
    for orientation in range(_ORIENTATIONS):
        weighted, amplitudes = _oriented_energy(spectrum, _filters(height, width, orientation))
        energy_sum += weighted
        amplitude_sum += amplitudes
        local = np.divide(weighted, amplitudes, out=weighted, where=amplitudes > 0)
        local *= local
        angle = orientation * np.pi / _ORIENTATIONS
        xx += local * np.float32(np.cos(angle) ** 2)
        yy += local * np.float32(np.sin(angle) ** 2)
        xy += local * np.float32(np.cos(angle) * np.sin(angle))
    xx, yy = xx * np.float32(2 / _ORIENTATIONS), yy * np.float32(2 / _ORIENTATIONS)
    xy = xy * np.float32(1 / _ORIENTATIONS)
    root = np.sqrt(xy**2 + (xx - yy) ** 2) + _EPSILON
    maps = (energy_sum / (amplitude_sum + _EPSILON), (xx + yy + root) / 2, (xx + yy - root) / 2)
    return Congruency(*(np.asarray(m, np.float64) for m in maps))


def _oriented_energy(spectrum: Plane32, bank: _Bank) -> tuple[Plane32, Plane32]:
    """Energy above noise, weighted by its spread over scales, and summed amplitude, (H, W) each."""
    shape = spectrum.shape[:2]
    even_sum, odd_sum = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    amplitudes, largest = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    responses = []
    mean_square = 0.0
    for index, response in enumerate(bank.filters):
        filtered: Any = cv2.dft(
            spectrum * response[:, :, None], flags=cv2.DFT_INVERSE | cv2.DFT_SCALE
        )
        even, odd = cv2.split(filtered)
        amplitude = cv2.magnitude(even, odd)
        even_sum += even
        odd_sum += odd
        amplitudes += amplitude
        np.maximum(largest, amplitude, out=largest)
        responses.append((even, odd))
        if index == 0:
            # Median of a Rayleigh-distributed amplitude gives the mean of its square.
            mean_square = float(np.median(amplitude)) ** 2 / np.log(2)
    norm = cv2.magnitude(even_sum, odd_sum) + np.float32(_EPSILON)
    even_sum /= norm
    odd_sum /= norm
    energy = np.zeros(shape, np.float32)
    for even, odd in responses:
        energy += even * even_sum
        energy += odd * odd_sum
        energy -= np.abs(even * odd_sum - odd * even_sum)
    energy -= np.float32(bank.noise_factor * np.sqrt(mean_square))
    np.maximum(energy, 0, out=energy)
    spread = amplitudes / ((largest + np.float32(_EPSILON)) * np.float32(_SCALES))
    energy /= 1 + np.exp((np.float32(0.5) - spread) * 10)
    return energy, amplitudes


@dataclass(frozen=True)
class _Bank:
    filters: list[Plane32]
    # Noise threshold over the root mean square response at the smallest scale.
    noise_factor: float


@lru_cache(maxsize=2 * _ORIENTATIONS)
def _filters(height: int, width: int, orientation: int) -> _Bank:
    """Log-Gabor filters of one orientation, zero frequency at [0, 0]."""

    def axis(count: int) -> Plane:
        if count % 2:
            return np.arange(-(count - 1) / 2, (count - 1) / 2 + 1) / max(count - 1, 1)
        return np.arange(-count / 2, count / 2) / count

    x, y = np.meshgrid(axis(width), axis(height))
    radius = np.sqrt(x**2 + y**2)
    radius[height // 2, width // 2] = 1
    radius = np.fft.ifftshift(radius)
    theta = np.fft.ifftshift(np.arctan2(-y, x))

    low_x = (np.arange(1, width + 1) - (width // 2 + 1)) / width
    low_y = (np.arange(1, height + 1) - (height // 2 + 1)) / height
    low_radius = np.sqrt(low_x[None, :] ** 2 + low_y[:, None] ** 2)
    # Kovesi shifts this one with fftshift, which differs from ifftshift at odd sizes.
    low_pass = np.fft.fftshift(1 / (1 + (low_radius / 0.45) ** 30))

    angle = orientation * np.pi / _ORIENTATIONS
    sine = np.sin(theta) * np.cos(angle) - np.cos(theta) * np.sin(angle)
    cosine = np.cos(theta) * np.cos(angle) + np.sin(theta) * np.sin(angle)
    distance = np.abs(np.arctan2(sine, cosine))
    sigma = np.pi / _ORIENTATIONS / 1.2
    spread = np.exp(-(distance**2) / (2 * sigma**2))

    filters = []
    for scale in range(_SCALES):
        centre = 1 / (3 * 2.1**scale)
        radial = np.exp(-(np.log(radius / centre) ** 2) / (2 * np.log(0.55) ** 2)) * low_pass
        radial[0, 0] = 0
        filters.append(radial * spread)

    # The noise energy needs sums over pixels of products of the filters' real impulse responses;
    # by Parseval they are sums over frequency of products of their even parts.
    even = [(f + np.roll(f[::-1, ::-1], (1, 1), axis=(0, 1))) / 2 for f in filters]
    squares = sum(float((e * e).sum()) for e in even)
    products = sum(
        float((even[i] * even[j]).sum()) for i in range(_SCALES) for j in range(i + 1, _SCALES)
    )
    power = 1 / float((filters[0] ** 2).sum())
    tau = np.sqrt((2 * squares + 4 * products) * power / 2)
    # Mean plus two deviations of a Rayleigh variable, over Kovesi's empirical 1.7.
    threshold = tau * (np.sqrt(np.pi / 2) + 2 * np.sqrt(2 - np.pi / 2)) / 1.7
    return _Bank([f.astype(np.float32) for f in filters], float(threshold))


def _best_correlation(
    sources: tuple[Plane, ...], fused: Plane, masks: list[NDArray[np.bool_]]
) -> float:
    window = gaussian(11, 1.5)
    constant = 1e-4
    fused_mean = smooth_same(fused, window)
    fused_variance = smooth_same(fused * fused, window) - fused_mean**2
    best = np.full(fused.shape, -np.inf)
    for source, mask in zip(sources, masks, strict=True):
        kept = source * mask
        mean = smooth_same(kept, window)
        variance = smooth_same(kept * kept, window) - mean**2
        covariance = smooth_same(kept * fused, window) - mean * fused_mean
        correlation = (covariance + constant) / (
            np.sqrt(np.abs(variance * fused_variance)) + constant
        )
        best = np.maximum(best, np.where(mask, correlation, 0))
    features = int(masks[2].sum())
    # No feature anywhere: nothing that could have been lost.
    return float(best.sum()) / features if features else 1.0

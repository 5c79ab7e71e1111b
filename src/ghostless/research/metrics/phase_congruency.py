"""Qp: phase congruency of the sources found again in the fused image (Zhao et al. 2007).

Phase congruency follows Kovesi, "Phase congruency detects corners and edges", DICTA 2003: log-Gabor
filters on 4 scales (shortest wavelength 3 pixels, factor 2.1, bandwidth 0.55) and 6 orientations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ._filters import gaussian, require_size, smooth_same

Bytes = NDArray[np.uint8]
Plane = NDArray[np.float64]
Plane32 = NDArray[np.float32]

_SCALES = 4
_ORIENTATIONS = 6
_EPSILON = 1e-4
_FEATURE_THRESHOLD = 0.1
# Pixels worked on at a time, so that the working arrays stay in the cache.
_STRIPE_PIXELS = 32768


def phase_congruency_quality(first: Bytes, second: Bytes, fused: Bytes) -> float:
    """Product of the correlations of phase congruency and of its largest and smallest moments.

    Each image: (H, W, 3) uint8, scored channel by channel and averaged, or one plane (H, W).
    """
    require_size(fused.shape, 11, "Qp")
    images = [np.atleast_3d(image) for image in (first, second, fused)]
    bank = FilterBank.of_size(*images[0].shape[:2])
    scores = []
    for channel in range(images[0].shape[2]):
        a, b, f = (phase_congruency(image[:, :, channel], bank) for image in images)
        scores.append(_kept_features(a, b, f))
    return float(np.mean(scores))


def _kept_features(a: Congruency, b: Congruency, f: Congruency) -> float:
    stronger = a.congruency > b.congruency
    both = Congruency(*(np.where(stronger, x, y) for x, y in zip(a.planes, b.planes, strict=True)))
    masks = [plane.congruency > _FEATURE_THRESHOLD for plane in (a, b, both)]
    score = 1.0
    for maps in zip(a.planes, b.planes, both.planes, f.planes, strict=True):
        score *= _best_correlation(maps[:3], maps[3], masks)
    return score


@dataclass(frozen=True)
class Congruency:
    """Phase congruency (H, W) and the largest and smallest moment of its covariance, float32."""

    congruency: Plane32
    largest_moment: Plane32
    smallest_moment: Plane32

    @property
    def planes(self) -> tuple[Plane32, Plane32, Plane32]:
        return self.congruency, self.largest_moment, self.smallest_moment


def phase_congruency(plane: NDArray[np.generic], bank: FilterBank | None = None) -> Congruency:
    """Phase congruency of a plane (H, W) and the moments of its covariance over orientation.

    bank: the filters for this size, where several planes share them. Worked out in float32, which
    keeps the official figures to some 1e-6 at half the time.
    """
    values = np.ascontiguousarray(plane, np.float32)
    bank = bank or FilterBank.of_size(*values.shape)
    spectrum: Any = cv2.dft(values, flags=cv2.DFT_COMPLEX_OUTPUT)
    spectrum = spectrum.view(np.complex64)[:, :, 0]
    energy_sum, amplitude_sum, xx, yy, xy = (np.zeros_like(values) for _ in range(5))
    work = _Work.of_shape(values.shape)
    for orientation in range(_ORIENTATIONS):
        weighted, amplitudes = _oriented_energy(spectrum, bank, orientation, work)
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
    root: Any = np.sqrt(xy**2 + (xx - yy) ** 2) + np.float32(_EPSILON)
    half = np.float32(0.5)
    return Congruency(
        energy_sum / (amplitude_sum + np.float32(_EPSILON)),
        (xx + yy + root) * half,
        (xx + yy - root) * half,
    )


@dataclass(frozen=True)
class _Work:
    """Arrays used again for every orientation; asking the system for new ones costs more time."""

    turned: NDArray[np.complex64]
    product: NDArray[np.complex64]
    responses: list[Plane32]
    finest: Plane32
    energy: Plane32
    amplitudes: Plane32

    @classmethod
    def of_shape(cls, shape: tuple[int, ...]) -> _Work:
        planes = (np.empty(shape, np.float32) for _ in range(3))
        responses = [np.empty((*shape, 2), np.float32) for _ in range(_SCALES)]
        return cls(np.empty(shape, np.complex64), np.empty(shape, np.complex64), responses, *planes)


def _oriented_energy(
    spectrum: NDArray[np.complex64], bank: FilterBank, orientation: int, work: _Work
) -> tuple[Plane32, Plane32]:
    """Energy above noise, weighted by its spread over scales, and summed amplitude, (H, W) each.

    The arrays returned are the work arrays: they hold until the next call.
    """
    np.multiply(spectrum, bank.oriented[orientation], out=work.turned)
    for radial, response in zip(bank.radial, work.responses, strict=True):
        np.multiply(work.turned, radial, out=work.product)
        shape = response.shape
        flags = cv2.DFT_INVERSE | cv2.DFT_SCALE
        cv2.dft(work.product.view(np.float32).reshape(shape), dst=response, flags=flags)
    # Median of a Rayleigh-distributed amplitude gives the mean of its square.
    even, odd = cv2.split(work.responses[0])
    cv2.magnitude(even, odd, magnitude=work.finest)
    mean_square = float(np.square(_median(work.finest)) / np.log(2))
    noise = np.float32(bank.noise_factors[orientation] * np.sqrt(mean_square))
    rows_at_once = max(1, _STRIPE_PIXELS // spectrum.shape[1])
    for top in range(0, spectrum.shape[0], rows_at_once):
        rows = slice(top, top + rows_at_once)
        stripe = [response[rows] for response in work.responses]
        work.energy[rows], work.amplitudes[rows] = _energy_of_stripe(stripe, noise)
    return work.energy, work.amplitudes


def _energy_of_stripe(stripe: list[Plane32], noise: np.float32) -> tuple[Plane32, Plane32]:
    parts = [cv2.split(response) for response in stripe]
    amplitudes = [cv2.magnitude(even, odd) for even, odd in parts]
    even_sum: Any = sum(even for even, _ in parts)
    odd_sum: Any = sum(odd for _, odd in parts)
    amplitude_sum: Any = sum(amplitudes)
    largest = np.maximum.reduce(amplitudes)
    norm = cv2.magnitude(even_sum, odd_sum) + np.float32(_EPSILON)
    even_sum /= norm
    odd_sum /= norm
    energy: Any = sum(
        even * even_sum + odd * odd_sum - np.abs(even * odd_sum - odd * even_sum)
        for even, odd in parts
    )
    energy -= noise
    np.maximum(energy, 0, out=energy)
    spread = amplitude_sum / ((largest + np.float32(_EPSILON)) * np.float32(_SCALES))
    energy /= 1 + np.exp((np.float32(0.5) - spread) * np.float32(10))
    return energy, amplitude_sum


def _median(values: Plane32) -> float:
    # A third of the time of np.median.
    low, high = (values.size - 1) // 2, values.size // 2
    parted = np.partition(values, (low, high), axis=None)
    return float((np.float64(parted[low]) + parted[high]) / 2)


@dataclass(frozen=True)
class FilterBank:
    """Log-Gabor filters of one size; a filter is a radial part times an oriented part.

    radial: (H, W) float32 per scale, zero frequency at [0, 0]; oriented: the same per orientation.
    noise_factors: per orientation, the noise threshold over the root mean square response at the
        smallest scale.
    """

    radial: list[Plane32]
    oriented: list[Plane32]
    noise_factors: list[float]

    @classmethod
    def of_size(cls, height: int, width: int) -> FilterBank:
        """Build the filters for planes (height, width)."""
        radius, theta = _polar_frequencies(height, width)
        low_pass = _low_pass(height, width)
        radial = []
        for scale in range(_SCALES):
            centre = 1 / (3 * 2.1**scale)
            band = np.exp(-(np.log(radius / centre) ** 2) / (2 * np.log(0.55) ** 2)) * low_pass
            band[0, 0] = 0
            radial.append(band)
        oriented, noise_factors = [], []
        for orientation in range(_ORIENTATIONS):
            angle = orientation * np.pi / _ORIENTATIONS
            sine = np.sin(theta) * np.cos(angle) - np.cos(theta) * np.sin(angle)
            cosine = np.cos(theta) * np.cos(angle) + np.sin(theta) * np.sin(angle)
            distance = np.abs(np.arctan2(sine, cosine))
            sigma = np.pi / _ORIENTATIONS / 1.2
            part = np.exp(-(distance**2) / (2 * sigma**2))
            noise_factors.append(_noise_factor([band * part for band in radial]))
            oriented.append(part.astype(np.float32))
        return cls([band.astype(np.float32) for band in radial], oriented, noise_factors)


def _polar_frequencies(height: int, width: int) -> tuple[Plane, Plane]:
    """Radius (cycles per pixel, 1 instead of 0) and angle (H, W), zero frequency at [0, 0]."""

    def axis(count: int) -> Plane:
        if count % 2:
            return np.arange(-(count - 1) / 2, (count - 1) / 2 + 1) / max(count - 1, 1)
        return np.arange(-count / 2, count / 2) / count

    x, y = np.meshgrid(axis(width), axis(height))
    radius = np.sqrt(x**2 + y**2)
    radius[height // 2, width // 2] = 1
    return np.fft.ifftshift(radius), np.fft.ifftshift(np.arctan2(-y, x))


def _low_pass(height: int, width: int) -> Plane:
    """Butterworth filter (H, W), cutoff 0.45 cycles per pixel, order 15."""
    x = (np.arange(1, width + 1) - (width // 2 + 1)) / width
    y = (np.arange(1, height + 1) - (height // 2 + 1)) / height
    radius = np.sqrt(x[None, :] ** 2 + y[:, None] ** 2)
    # Kovesi shifts this one with fftshift, which differs from ifftshift at odd sizes.
    return np.fft.fftshift(1 / (1 + (radius / 0.45) ** 30))


def _noise_factor(filters: list[Plane]) -> float:
    """Noise threshold of one orientation, over the root mean square of its finest response.

    It needs sums over pixels of products of the filters' real impulse responses; by Parseval they
    are sums over frequency of products of their even parts.
    """
    even = [(f + np.roll(f[::-1, ::-1], (1, 1), axis=(0, 1))) / 2 for f in filters]
    squares = sum(float((e * e).sum()) for e in even)
    products = sum(
        float((even[i] * even[j]).sum()) for i in range(_SCALES) for j in range(i + 1, _SCALES)
    )
    power = 1 / float((filters[0] ** 2).sum())
    tau = np.sqrt((2 * squares + 4 * products) * power / 2)
    # Mean plus two deviations of a Rayleigh variable, over Kovesi's empirical 1.7.
    return float(tau * (np.sqrt(np.pi / 2) + 2 * np.sqrt(2 - np.pi / 2)) / 1.7)


def _best_correlation(
    sources: tuple[Plane32, ...], fused: Plane32, masks: list[NDArray[np.bool_]]
) -> float:
    window = gaussian(11, 1.5)
    constant = 1e-4
    result = fused.astype(np.float64)
    fused_mean = smooth_same(result, window)
    fused_variance = smooth_same(result * result, window) - fused_mean**2
    best = np.full(fused.shape, -np.inf)
    for source, mask in zip(sources, masks, strict=True):
        kept = source.astype(np.float64) * mask
        mean = smooth_same(kept, window)
        variance = smooth_same(kept * kept, window) - mean**2
        covariance = smooth_same(kept * result, window) - mean * fused_mean
        correlation = (covariance + constant) / (
            np.sqrt(np.abs(variance * fused_variance)) + constant
        )
        best = np.maximum(best, np.where(mask, correlation, 0))
    features = int(masks[2].sum())
    # No feature anywhere: nothing that could have been lost.
    return float(best.sum()) / features if features else 1.0

"""Metrics of information: how much of the sources' information the fused image holds.

All work on single planes (H, W) of uint8; `research.metrics` averages them over R, G and B.
"""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from ._filters import (
    correlate_same,
    entropy_bits,
    histogram,
    joint_histogram,
    require_size,
    stretch,
)

Bytes = NDArray[np.uint8]
Plane = NDArray[np.float64]


def entropy(fused: Bytes) -> float:
    """Shannon entropy of the levels, bits (van Aardt, J. Applied Remote Sensing 2008)."""
    return entropy_bits(histogram(fused))


def cross_entropy(first: Bytes, second: Bytes, fused: Bytes) -> float:
    """Mean relative entropy of the sources' levels to the fused image's, bits.

    Levels that one of the two images lacks are left out, as in MEFB (Bulanon et al.,
    Biosystems Engineering 2009), so that it can be negative.
    """
    target = histogram(fused)
    total = 0.0
    for source in (histogram(first), histogram(second)):
        both = (source > 0) & (target > 0)
        total += float(np.sum(source[both] * np.log2(source[both] / target[both])))
    return total / 2


def mutual_information(first: Bytes, second: Bytes) -> float:
    """Mutual information of two planes' levels, bits (256 bins)."""
    joint = joint_histogram(first, second)
    return entropy_bits(joint.sum(axis=1)) + entropy_bits(joint.sum(axis=0)) - entropy_bits(joint)


def normalised_mutual_information(first: Bytes, second: Bytes, fused: Bytes) -> float:
    """Mutual information normalised by the entropies (Hossny et al., Electronics Letters 2008).

    Every plane is first stretched to 0..255 by its own range, as in MEFB.
    """
    result = stretch(fused)
    total = 0.0
    for source in (stretch(first), stretch(second)):
        joint = joint_histogram(source, result)
        entropies = entropy_bits(joint.sum(axis=1)) + entropy_bits(joint.sum(axis=0))
        if entropies > 0:
            total += (entropies - entropy_bits(joint)) / entropies
    return 2 * total


def tsallis_information(first: Bytes, second: Bytes, fused: Bytes, order: float = 1.85) -> float:
    """Tsallis mutual information of order 1.85 (Cvejic et al., Electronics Letters 2006).

    Built as MEFB computes it: the marginal of the source stands along the fused image's axis of
    the joint histogram and the reverse, so that the published figures are met; a level that only
    one marginal has is left out.
    """
    result = stretch(fused)
    total = 0.0
    for source in (stretch(first), stretch(second)):
        joint = joint_histogram(source, result)
        product = joint.sum(axis=0)[:, None] * joint.sum(axis=1)[None, :]
        present = product > 0
        ratio = joint[present] ** order / product[present] ** (order - 1)
        total += float((1 - ratio.sum()) / (1 - order))
    return total


def nonlinear_correlation_entropy(first: Bytes, second: Bytes, fused: Bytes) -> float:
    """Nonlinear correlation information entropy of the three planes (Wang et al. 2005, 2008)."""
    planes = [stretch(first), stretch(second), stretch(fused)]
    matrix = np.eye(3)
    for row, column in ((0, 1), (0, 2), (1, 2)):
        # In units of log2(256) bits.
        value = mutual_information(planes[row], planes[column]) / 8
        matrix[row, column] = matrix[column, row] = value
    eigenvalues = np.linalg.eigvalsh(matrix)
    eigenvalues = eigenvalues[eigenvalues > 0]
    return float(1 + np.sum(eigenvalues / 3 * np.log2(eigenvalues / 3)) / 8)


def benchmark_psnr(first: Bytes, second: Bytes, fused: Bytes) -> float:
    """MEFB's PSNR, dB: its "mean squared error" is the root of the summed squares over the count.

    Kept for comparison with the published table only; see `research.metrics.truth.psnr`.
    """
    result = fused.astype(np.float64)
    errors = [
        float(np.sqrt(((source.astype(np.float64) - result) ** 2).sum())) / result.size
        for source in (first, second)
    ]
    error = sum(errors) / 2
    return math.inf if error == 0 else 20 * math.log10(255 / math.sqrt(error))


def feature_mutual_information(first: Bytes, second: Bytes, fused: Bytes) -> float:
    """Mean mutual information of edge maps in 3 x 3 windows (Haghighat et al. 2011, 2014).

    Edges are Sobel edges with MATLAB's automatic threshold and thinning, so a window is one of
    512 patterns and the value of each pair of patterns is computed once.
    """
    require_size(fused.shape, 3, "FMI")
    table = _pattern_information()
    codes = [_pattern_codes(_sobel_edges(plane)) for plane in (first, second, fused)]
    values = table[codes[0], codes[2]] + table[codes[1], codes[2]]
    return float(values.mean() / 2)


def _sobel_edges(plane: Bytes) -> NDArray[np.bool_]:
    """Sobel edges (H, W) as MATLAB's edge(): threshold 4 x mean squared gradient, thinned."""
    values = plane.astype(np.float64)
    kernel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], np.float64) / 8
    across = np.abs(correlate_same(values, kernel, cv2.BORDER_REPLICATE))
    down = np.abs(correlate_same(values, np.ascontiguousarray(kernel.T), cv2.BORDER_REPLICATE))
    power = across**2 + down**2
    cutoff = 4 * power.mean()
    padded = np.pad(power, 1)
    left, right = padded[1:-1, :-2], padded[1:-1, 2:]
    above, below = padded[:-2, 1:-1], padded[2:, 1:-1]
    tolerance = 100 * np.finfo(np.float64).eps
    peak_across = (across >= down - tolerance) & (left <= power) & (power > right)
    peak_down = (down >= across - tolerance) & (above <= power) & (power > below)
    return np.asarray((power > cutoff) & (peak_across | peak_down))


def _pattern_codes(edges: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Codes 0..511 of all 3 x 3 windows; bit i is the window's i-th pixel in column order."""
    height, width = edges.shape
    codes = np.zeros((height - 2, width - 2), np.int32)
    for bit in range(9):
        column, row = divmod(bit, 3)
        codes |= edges[row : row + height - 2, column : column + width - 2].astype(np.int32) << bit
    return codes


@lru_cache(maxsize=1)
def _pattern_information() -> Plane:
    """Normalised mutual information (512, 512) of every pair of binary 3 x 3 windows.

    A window's stretched values, divided by their sum, are taken as a distribution over its nine
    pixels; the joint distribution is Nelsen's mixture of the Frechet bound and independence that
    has the windows' correlation.
    """
    bits = ((np.arange(512)[:, None] >> np.arange(9)) & 1).astype(np.float64)
    flat = (bits.min(axis=1) == bits.max(axis=1))[:, None]
    density = np.where(flat, 1.0, bits)
    density /= density.sum(axis=1, keepdims=True)
    cumulative = density.cumsum(axis=1)
    position = np.arange(1, 10, dtype=np.float64)
    mean = density @ position
    spread = np.sqrt(np.maximum(density @ position**2 - mean**2, 0))
    centred = density - density.mean(axis=1, keepdims=True)
    norm = np.sqrt((centred**2).sum(axis=1))
    entropies = np.array([entropy_bits(row) for row in density])

    table = np.empty((512, 512))
    for source in range(512):
        scale = norm[source] * norm
        correlation = np.divide(
            centred @ centred[source], scale, out=np.zeros(512), where=scale > 1e-15
        )
        f, a = cumulative[:, :, None], cumulative[source][None, None, :]
        independent = density[:, :, None] * density[source][None, None, :]
        upper = np.minimum(f, a)
        lower = np.maximum(f + a - 1, 0)
        positive = (correlation >= 0)[:, None, None]
        bound = np.where(positive, upper, lower)
        covariance = (bound - f * a).sum(axis=(1, 2))
        spreads = spread * spread[source]
        usable = (spreads > 1e-15) & (np.abs(correlation) > 1e-15) & (np.abs(covariance) > 1e-15)
        share = np.divide(correlation * spreads, covariance, out=np.zeros(512), where=usable)
        mass = np.diff(np.diff(bound, axis=1, prepend=0), axis=2, prepend=0)
        joint = share[:, None, None] * mass + (1 - share)[:, None, None] * independent
        # MATLAB takes the real part of p log2 p where the mixture dips below zero.
        size = np.abs(joint)
        logarithm = np.log2(size, out=np.zeros_like(size), where=size > 0)
        joint_entropy = -(joint * logarithm).sum(axis=(1, 2))
        total = entropies + entropies[source]
        information = total - joint_entropy
        row = np.divide(2 * information, total, out=np.zeros(512), where=total > 0)
        row[source] = 1.0
        table[source] = row
    table.flags.writeable = False
    return table

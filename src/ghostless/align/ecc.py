"""Direct alignment: maximise the correlation of locally normalised images, coarse to fine.

Evangelidis and Psarakis (Parametric Image Alignment Using Enhanced Correlation Coefficient
Maximization, PAMI 2008) take out one gain and one offset for the whole image. Two exposures of a
scene differ by a curve, so here gain and offset are taken out around every pixel, and the
correlation is raised by Gauss-Newton steps with the mean of both images' gradients (Benhimane and
Malis, Homography-based 2D Visual Tracking and Servoing, IJRR 2007). Weights leave out what only one
of the exposures shows and what moved by itself (Geman-McClure).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .proxy import Gray, Matrix, gray_of, local_normalise, overlapping_range, resized

PARAMETERS = {"identity": 0, "shift": 2, "similarity": 4, "affine": 6, "homography": 8}

_WINDOW_PIXELS = 3.0
# Takes the sampling noise off the gradients.
_SOFTEN_PIXELS = 0.8
# Rounding to 8 bits alone spreads codes by 0.29.
_NOISE_CODES = 0.3
_SMALLEST_SIDE = 24
# Levels up to this size use the three colours, larger ones grey alone.
_COLOUR_PIXELS = 300_000
_POINTS = 15_000
_CELL = 8
_TILE = 16
# Neighbouring pixels are not independent: area that counts as one observation.
_CORRELATED_PIXELS = 10.0
# How far a hand's shake moves things, as standard deviations of the parameters in unit coordinates:
# shift, the four linear terms, the two of perspective.
_EXPECTED = np.array([0.4, 0.4, 0.16, 0.16, 0.16, 0.16, 0.1, 0.1])


@dataclass(frozen=True)
class _Points:
    """Pixels of the reference that take part in the fit, one row each."""

    x: NDArray[np.float32]
    y: NDArray[np.float32]
    value: NDArray[np.float32]
    gradient_x: NDArray[np.float32]
    gradient_y: NDArray[np.float32]
    energy: NDArray[np.float32]


@dataclass(frozen=True)
class _Channel:
    """One channel of both images at one level.

    moving: (h, w, 4) value, gradient in x and y, energy, to be sampled in one go.
    """

    reference: Gray
    reference_energy: Gray
    moving: NDArray[np.float32]
    points: _Points


@dataclass(frozen=True)
class Level:
    """One level of a pair's pyramid, of shape (height, width)."""

    shape: tuple[int, int]
    channels: tuple[_Channel, ...]


@dataclass(frozen=True)
class Agreement:
    """How well two images agree under a motion.

    correlation: of the locally normalised images where they overlap, -1..1.
    observations: number of independent pixels with texture in both.
    overlap: share of the reference that the moving image covers.
    """

    correlation: float
    observations: float
    overlap: float


def unit_from_pixels(shape: tuple[int, ...]) -> Matrix:
    """Matrix from pixel-centre coordinates to -1..1 along the longer side, 0 at the centre.

    In unit coordinates one matrix holds at every level of a pyramid.
    """
    half = max(shape[:2]) / 2
    return np.array(
        [
            [1 / half, 0, (0.5 - shape[1] / 2) / half],
            [0, 1 / half, (0.5 - shape[0] / 2) / half],
            [0, 0, 1],
        ],
        np.float64,
    )


def _gradients(image: Gray) -> tuple[Gray, Gray]:
    return (
        np.asarray(cv2.Sobel(image, cv2.CV_32F, 1, 0, scale=1 / 8)),
        np.asarray(cv2.Sobel(image, cv2.CV_32F, 0, 1, scale=1 / 8)),
    )


def _soften(image: Gray) -> Gray:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), _SOFTEN_PIXELS))


def _choose_points(value: Gray, energy: Gray) -> _Points:
    """Take the pixels with most texture, equally many from each small cell of the image."""
    gradient_x, gradient_y = _gradients(value)
    strength = energy * (np.abs(gradient_x) + np.abs(gradient_y))
    height, width = value.shape
    side = max(_CELL, int(np.sqrt(height * width / _POINTS)))
    rows, columns = height // side, width // side
    per_cell = max(1, round(_POINTS / max(1, rows * columns)))
    if rows and columns and per_cell < side * side:
        cells = strength[: rows * side, : columns * side].reshape(rows, side, columns, side)
        cells = cells.transpose(0, 2, 1, 3).reshape(rows * columns, side * side)
        best = np.argpartition(cells, -per_cell, axis=1)[:, -per_cell:]
        cell = np.arange(rows * columns)[:, None]
        y = ((cell // columns) * side + best // side).ravel()
        x = ((cell % columns) * side + best % side).ravel()
        textured = strength[y, x] > 1e-3
        y, x = y[textured], x[textured]
    else:
        y, x = np.nonzero(strength > 1e-3)
    return _Points(
        x.astype(np.float32),
        y.astype(np.float32),
        value[y, x],
        gradient_x[y, x],
        gradient_y[y, x],
        energy[y, x],
    )


def _make_channel(reference: Gray, moving: Gray, noise: float) -> _Channel:
    value, energy = local_normalise(_soften(reference), _WINDOW_PIXELS, noise)
    moving_value, moving_energy = local_normalise(_soften(moving), _WINDOW_PIXELS, noise)
    bundle = np.dstack([moving_value, *_gradients(moving_value), moving_energy])
    return _Channel(value, energy, bundle, _choose_points(value, energy))


def build_levels(reference: NDArray[np.float32], moving: NDArray[np.float32]) -> list[Level]:
    """Build the pyramid of a pair of proxies (h, w, 3), 0..255; finest level first.

    Tones that one of them clips are cut off in both. Levels of up to 0.3 megapixels carry the three
    colours, because where one clips another may not; larger ones carry grey.
    """
    planes = [[gray_of(image), *cv2.split(image)] for image in (reference, moving)]
    pairs = []
    for a, b in zip(*planes, strict=True):
        span = overlapping_range(a, b)
        pairs.append((np.clip(a, *span.reference), np.clip(b, *span.moving)))
    levels = []
    noise = _NOISE_CODES
    while True:
        shape = pairs[0][0].shape
        colour = shape[0] * shape[1] <= _COLOUR_PIXELS
        used = pairs[1:] if colour else pairs[:1]
        channels = tuple(_make_channel(a, b, noise) for a, b in used)
        levels.append(Level((shape[0], shape[1]), channels))
        if min(shape) / 2 < _SMALLEST_SIDE:
            return levels
        half = (max(1, round(shape[0] / 2)), max(1, round(shape[1] / 2)))
        pairs = [(resized(a, half), resized(b, half)) for a, b in pairs]


def _jacobian(
    gx: NDArray[np.float32],
    gy: NDArray[np.float32],
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    model: str,
) -> NDArray[np.float32]:
    """Derivative (8 or fewer, N) of the moving image by the motion's parameters."""
    if model == "shift":
        return np.stack([gx, gy])
    if model == "similarity":
        return np.stack([gx, gy, gx * x + gy * y, gy * x - gx * y])
    rows = [gx, gy, gx * x, gx * y, gy * x, gy * y]
    if model == "homography":
        outward = -(gx * x + gy * y)
        rows += [outward * x, outward * y]
    return np.stack(rows)


def _step_matrix(delta: NDArray[np.float64], model: str) -> Matrix:
    d = np.zeros(8)
    if model == "similarity":
        d[:6] = delta[0], delta[1], delta[2], -delta[3], delta[3], delta[2]
    else:
        d[: delta.size] = delta
    return np.array([[1 + d[2], d[3], d[0]], [d[4], 1 + d[5], d[1]], [d[6], d[7], 1]], np.float64)


def _normal_equations(
    channel: _Channel, shape: tuple[int, int], matrix: Matrix, unit: Matrix, model: str
) -> tuple[NDArray[np.float64], NDArray[np.float64], float, float] | None:
    """Return Gauss-Newton's matrix and right side from one channel; None without texture.

    With them come the sums of the weighted squared residuals and of the weights.

    matrix maps pixels to pixels, unit pixels to unit coordinates; parameters are in unit ones.
    """
    points = channel.points
    if points.x.size < 20:
        return None
    m = matrix.astype(np.float32)
    depth = m[2, 0] * points.x + m[2, 1] * points.y + m[2, 2]
    if depth.min() < 0.1:
        return None
    to_x = (m[0, 0] * points.x + m[0, 1] * points.y + m[0, 2]) / depth
    to_y = (m[1, 0] * points.x + m[1, 1] * points.y + m[1, 2]) / depth
    inside = (to_x >= 1) & (to_y >= 1) & (to_x <= shape[1] - 2) & (to_y <= shape[0] - 2)
    # OpenCV wants a picture of places.
    places = to_x[:, None], to_y[:, None], cv2.INTER_LINEAR
    sampled = cv2.remap(channel.moving, *places, borderMode=cv2.BORDER_REPLICATE)[:, 0]
    weight = points.energy * sampled[:, 3] * inside
    keep = weight > 0.02
    if np.count_nonzero(keep) < 20:
        return None
    px, py, depth = to_x[keep], to_y[keep], depth[keep]
    x, y, weight, sampled = points.x[keep], points.y[keep], weight[keep], sampled[keep]
    # Chain rule: the moving image's gradient as seen from the reference.
    gx, gy = (
        (sampled[:, 1] * (m[0, k] - px * m[2, k]) + sampled[:, 2] * (m[1, k] - py * m[2, k]))
        / depth
        for k in (0, 1)
    )
    gx = (gx + points.gradient_x[keep]) * np.float32(0.5 / unit[0, 0])
    gy = (gy + points.gradient_y[keep]) * np.float32(0.5 / unit[0, 0])
    residual = sampled[:, 0] - points.value[keep]
    spread = max(0.1, 1.4826 * float(np.median(np.abs(residual))))
    weight /= (1 + (residual / spread) ** 2) ** 2
    ux = x * np.float32(unit[0, 0]) + np.float32(unit[0, 2])
    uy = y * np.float32(unit[1, 1]) + np.float32(unit[1, 2])
    jacobian = _jacobian(gx, gy, ux, uy, model)
    weighted = jacobian * weight
    return (
        (weighted @ jacobian.T).astype(np.float64),
        (weighted @ residual).astype(np.float64),
        float(weight @ (residual * residual)),
        float(weight.sum()),
    )


def _prior(matrix: Matrix, model: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Precision of what is expected of a model's parameters, and how far a matrix is from it."""
    m = matrix / matrix[2, 2]
    offset = np.array(
        [m[0, 2], m[1, 2], m[0, 0] - 1, m[0, 1], m[1, 0], m[1, 1] - 1, m[2, 0], m[2, 1]]
    )
    expected = _EXPECTED
    if model == "similarity":
        offset = np.array(
            [offset[0], offset[1], (offset[2] + offset[5]) / 2, (offset[4] - offset[3]) / 2]
        )
        expected = expected[:4]
    count = PARAMETERS[model]
    return 1 / expected[:count] ** 2, offset[:count]


def refine_level(
    level: Level, matrix: Matrix, model: str, *, iterations: int = 15, tolerance: float = 0.02
) -> Matrix:
    """Improve a motion on one level by at most `iterations` Gauss-Newton steps.

    matrix: (3, 3) in unit coordinates, reference to moving; what is returned is so too, and differs
    from it by a motion of the model ("shift", "similarity", "affine", "homography").
    tolerance: in pixels of the level; a smaller step ends the search.
    """
    unit = unit_from_pixels(level.shape)
    back = np.linalg.inv(unit)
    count = PARAMETERS[model]
    current = matrix
    for _ in range(iterations):
        hessian, slope = np.zeros((count, count)), np.zeros(count)
        power = mass = 0.0
        for channel in level.channels:
            part = _normal_equations(channel, level.shape, back @ current @ unit, unit, model)
            if part is not None:
                hessian += part[0]
                slope += part[1]
                power += part[2]
                mass += part[3]
        if mass <= 0 or not np.isfinite(hessian).all():
            return matrix
        # Where texture is scarce, what it does not tell is what a hand's shake makes likely.
        shrink = power / mass * _CORRELATED_PIXELS * len(level.channels)
        precision, offset = _prior(current, model)
        hessian += np.diag(shrink * precision) + 1e-9 * np.eye(count)
        slope += shrink * precision * offset
        delta = np.clip(-np.linalg.solve(hessian, slope), -0.1, 0.1)
        current = current @ _step_matrix(delta, model)
        current = current / current[2, 2]
        if float(np.abs(delta).max()) / unit[0, 0] < tolerance:
            break
    return current


def refine(
    levels: Sequence[Level], matrix: Matrix, models: Sequence[str], *, iterations: int = 15
) -> Matrix:
    """Improve a motion over several levels, given finest first and used coarsest first.

    models: one per level from the coarsest on; the last one holds for the rest.
    """
    for index, level in enumerate(reversed(levels)):
        model = models[min(index, len(models) - 1)]
        matrix = refine_level(level, matrix, model, iterations=iterations)
    return matrix


def agreement(level: Level, matrix: Matrix) -> Agreement:
    """Measure how well the images of a level agree under a motion in unit coordinates.

    Exposure does not enter: both are locally normalised, and tones that one of them clips are cut
    off in both.
    """
    shape = level.shape
    unit = unit_from_pixels(shape)
    pixels = np.linalg.inv(unit) @ matrix @ unit
    size = (shape[1], shape[0])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    covered = cv2.warpPerspective(np.ones(shape, np.float32), pixels, size, flags=flags) > 0.999
    both = first = second = observations = 0.0
    for channel in level.channels:
        warped = cv2.warpPerspective(channel.moving, pixels, size, flags=flags)[covered]
        value = channel.reference[covered]
        both += float(value @ warped[:, 0])
        first += float(value @ value)
        second += float(warped[:, 0] @ warped[:, 0])
        observations += float(channel.reference_energy[covered] @ warped[:, 3])
    correlation = both / np.sqrt(first * second) if first > 0 and second > 0 else 0.0
    return Agreement(
        correlation=float(correlation),
        observations=observations / len(level.channels) / _CORRELATED_PIXELS,
        overlap=float(np.mean(covered)),
    )


def consent(level: Level, matrix: Matrix) -> float:
    """Tell whether the image as a whole prefers a motion to none: 1 all of it, -1 nothing.

    The gains of small tiles are added up and divided by the sum of their sizes, so that a walker
    who gains much by a motion that the background loses by is out-voted.
    """
    shape = level.shape
    unit = unit_from_pixels(shape)
    pixels = np.linalg.inv(unit) @ matrix @ unit
    size = (shape[1], shape[0])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    gain = np.zeros(shape, np.float32)
    for channel in level.channels:
        value = np.ascontiguousarray(channel.moving[..., 0])
        moved = cv2.warpPerspective(value, pixels, size, flags=flags)
        gain += channel.reference * (moved - value)
    tiles = (-(-shape[1] // _TILE), -(-shape[0] // _TILE))
    sums = cv2.resize(gain, tiles, interpolation=cv2.INTER_AREA)
    total = float(np.abs(sums).sum())
    return float(sums.sum()) / total if total > 0 else 0.0


def evidence(found: Agreement, observations: float, model: str) -> float:
    """Bayesian information criterion of a motion: smaller is better.

    The misfit of two normalised images is 2 (1 - correlation); each parameter of the model must pay
    for itself (Schwarz, Estimating the Dimension of a Model, 1978).
    """
    count = max(observations, 1.0)
    misfit = max(1e-6, 1 - found.correlation)
    return count * float(np.log(misfit)) + PARAMETERS[model] * float(np.log(max(count, 2.0)))

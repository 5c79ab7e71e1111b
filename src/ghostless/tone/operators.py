"""Curves and maps from radiance to a display: the tone mapping operators, a table.

A "global" operator is one curve for all pixels. A "local" one works on a small proxy of the
luminance. What a scene is, to them: `Scene`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from ..pixels.pyramid import Plane


@dataclass(frozen=True)
class Scene:
    """What operators see of a picture: the log2 of its brightness, robust and small.

    proxy: (h, w) float32, at most about a megapixel, clamped to `low`..`high`.
    low, high: range that counts, log2. average: mean of the proxy.
    """

    proxy: Plane
    low: float
    high: float
    average: float


# From log2 brightness or the scene to brightness on the display, linear, 1 = white.
CurveFunction = Callable[[Plane, Scene], Plane]
MapFunction = Callable[[Scene], Plane]


@dataclass(frozen=True)
class Operator:
    """What there is to know about a tone mapping operator.

    saturation: what it multiplies colour by, for compressed luminance makes colours look stronger.
    """

    name: str
    summary: str
    kind: Literal["global", "local", "fusion"]
    paper: str
    curve: CurveFunction | None = None
    map: MapFunction | None = None
    saturation: float = 1.0


def reinhard_curve(log2_brightness: Plane, scene: Scene) -> Plane:
    """Photographic curve with burn-out (Reinhard et al. 2002, equations 1, 2 and 4).
    (H, W) to the same.

    Key 0.18; the smallest luminance that turns white is the top of the robust range.
    """
    scaled = _KEY * np.exp2(log2_brightness - scene.average)
    white = max(_KEY * 2.0 ** (scene.high - scene.average), 1.0)
    return np.asarray(scaled * (1 + scaled / white**2) / (1 + scaled), np.float32)


_KEY = 0.18


def drago_curve(log2_brightness: Plane, scene: Scene) -> Plane:
    """Adaptive logarithm (Drago et al. 2003, equation 4), bias 0.85, peak 100 cd/m2.

    (H, W) to the same.
    """
    bias = np.log(0.85) / np.log(0.5)
    scaled = np.exp2(log2_brightness - scene.average)
    brightest = 2.0 ** (scene.high - scene.average)
    share = np.minimum(scaled / brightest, 1)
    curve = np.log(scaled + 1) / np.log(2 + 8 * share**bias)
    return np.asarray(curve / np.log10(brightest + 1), np.float32)


def reinhard_map(scene: Scene) -> Plane:
    """Dodging and burning (Reinhard et al. 2002, equations 5 to 9). Of the proxy (h, w).

    Each pixel is compared with the largest surround that has no strong contrast in it. Constants
    of the paper: key 0.18, sharpening 8, threshold 0.05, eight scales 1.6 apart.
    """
    scaled = _KEY * np.exp2(scene.proxy - scene.average)
    scales, sharpening, threshold = 1.6 ** np.arange(8), 2.0**8, 0.05
    centre = _surround(scaled, 1.0)
    adaptation = centre.copy()
    undecided = np.ones(scaled.shape, bool)
    for scale in scales:
        surround = _surround(scaled, scale * 1.6)
        contrast = (centre - surround) / (sharpening * _KEY / scale**2 + centre)
        undecided &= np.abs(contrast) < threshold
        adaptation[undecided] = surround[undecided]
        centre = surround
    white = max(_KEY * 2.0 ** (scene.high - scene.average), 1.0)
    return np.asarray(scaled * (1 + scaled / white**2) / (1 + adaptation), np.float32)


def _surround(plane: Plane, scale: float) -> Plane:
    """Blur by exp(-r^2 / (0.35 scale)^2), equation 5."""
    sigma = 0.35 * scale / sqrt(2)
    return np.asarray(cv2.GaussianBlur(plane, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE))


def durand_map(scene: Scene) -> Plane:
    """Compress the large scales and keep the detail (Durand and Dorsey 2002). Of the proxy (h, w).

    The large scales are a bilateral filter of log luminance: 2 % of the size in space and 0.4 in
    log10, as in the paper; they are brought to a contrast of 50.
    """
    space = max(0.02 * max(scene.proxy.shape), 1.0)
    base = bilateral(scene.proxy, space, 0.4 * _LOG2_OF_10)
    bottom, top = np.percentile(base, [1, 99.5])
    top = max(float(top), scene.average + _FLAT_TOP_STOPS)
    factor = min(1.0, float(np.log2(50.0)) / max(top - float(bottom), 1e-6))
    return np.asarray(np.exp2((base - top) * factor + (scene.proxy - base)), np.float32)


_LOG2_OF_10 = 3.321928
# White is at least this far above the average, else a flat scene would be all white.
_FLAT_TOP_STOPS = 1.7


_MANTIUK_SCALE = 0.85


def mantiuk_map(scene: Scene) -> Plane:
    """Contrast processing (Mantiuk et al. 2006), OpenCV's implementation. Of the proxy (h, w)."""
    light = np.exp2(scene.proxy - scene.high)
    height, width = light.shape
    # It reduces the image a few times and fails on sides that vanish.
    pad = (max(0, 32 - height), max(0, 32 - width))
    padded = cv2.copyMakeBorder(light, 0, pad[0], 0, pad[1], cv2.BORDER_REPLICATE)
    if float(padded.max() - padded.min()) < 1e-6:
        return np.asarray(light, np.float32)
    before = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    try:  # OpenCV 5 warns of an expression in its own code
        mapped = cv2.createTonemapMantiuk(1.0, _MANTIUK_SCALE, 1.0).process(cv2.merge([padded] * 3))
    finally:
        cv2.utils.logging.setLogLevel(before)
    mapped = np.nan_to_num(mapped[:height, :width, 1], nan=0.0, posinf=1.0, neginf=0.0)
    # Its darkest pixel is 0: lift it so far that shadows keep no more contrast than they had.
    dark, middle, top = (float(value) for value in np.percentile(mapped, [1, 50, 99.5]))
    dark_before, middle_before = np.percentile(scene.proxy, [1, 50])
    ratio = 2.0 ** (_MANTIUK_SCALE * float(middle_before - dark_before))
    toe = max((middle - ratio * dark) / max(ratio - 1, 1e-6), 0.0)
    return np.asarray((mapped + toe) / max(top + toe, 1e-6), np.float32)


def bilateral(plane: Plane, space: float, spread: float) -> Plane:
    """Smooth (h, W) within edges: Gaussian of `space` pixels, and of `spread` in value.

    On a bilateral grid (Chen, Paris, Durand 2007): values are gathered in cells of one sigma in
    space and value, the cells blurred, and the result read back by trilinear interpolation.
    """
    height, width = plane.shape
    lowest = float(plane.min())
    y = np.arange(height, dtype=np.float32)[:, None] / np.float32(space) + 2
    x = np.arange(width, dtype=np.float32)[None, :] / np.float32(space) + 2
    z = (plane - lowest) / np.float32(spread) + 2
    shape = (int(y.max()) + 4, int(x.max()) + 4, int(z.max()) + 4)
    nearest = (
        (np.rint(y).astype(np.intp) * shape[1] + np.rint(x).astype(np.intp)) * shape[2]
        + np.rint(z).astype(np.intp)
    ).ravel()
    size = shape[0] * shape[1] * shape[2]
    count = np.bincount(nearest, minlength=size).astype(np.float32).reshape(shape)
    total = np.bincount(nearest, plane.ravel(), minlength=size).astype(np.float32).reshape(shape)
    kernel = np.exp(-0.5 * np.arange(-2, 3, dtype=np.float32) ** 2)
    for axis in range(3):
        count, total = _convolve(count, kernel, axis), _convolve(total, kernel, axis)

    y0, x0, z0 = np.floor(y), np.floor(x), np.floor(z)
    fy, fx, fz = y - y0, x - x0, z - z0
    base = (y0.astype(np.intp) * shape[1] + x0.astype(np.intp)) * shape[2] + z0.astype(np.intp)
    flat_count, flat_total = count.ravel(), total.ravel()
    weights = np.zeros(plane.shape, np.float32)
    values = np.zeros(plane.shape, np.float32)
    for corner in range(8):
        dy, dx, dz = corner >> 2 & 1, corner >> 1 & 1, corner & 1
        share = (fy if dy else 1 - fy) * (fx if dx else 1 - fx) * (fz if dz else 1 - fz)
        index = base + (dy * shape[1] + dx) * shape[2] + dz
        weights += share * flat_count[index]
        values += share * flat_total[index]
    return np.asarray(values / weights, np.float32)


def _convolve(grid: NDArray[np.float32], kernel: Plane, axis: int) -> NDArray[np.float32]:
    """Filter along one axis; what lies outside the grid is 0."""
    moved = np.moveaxis(grid, axis, 0)
    out = np.zeros_like(moved)
    reach = len(kernel) // 2
    for offset, weight in zip(range(-reach, reach + 1), kernel, strict=True):
        target = slice(max(0, -offset), min(len(moved), len(moved) - offset))
        source = slice(max(0, offset), min(len(moved), len(moved) + offset))
        out[target] += weight * moved[source]
    return np.asarray(np.moveaxis(out, 0, axis))


OPERATORS: dict[str, Operator] = {
    operator.name: operator
    for operator in (
        Operator(
            "fusion",
            "virtual photos at several exposures, fused: natural, details everywhere",
            "fusion",
            "after Mertens, Kautz, Van Reeth: Exposure Fusion, Pacific Graphics 2007",
        ),
        Operator(
            "reinhard",
            "photographic curve: simple, soft highlights",
            "global",
            "Reinhard, Stark, Shirley, Ferwerda: Photographic Tone Reproduction for Digital "
            "Images, SIGGRAPH 2002",
            curve=reinhard_curve,
        ),
        Operator(
            "reinhard-local",
            "the same with dodging and burning around each pixel",
            "local",
            "Reinhard, Stark, Shirley, Ferwerda: Photographic Tone Reproduction for Digital "
            "Images, SIGGRAPH 2002",
            map=reinhard_map,
        ),
        Operator(
            "drago",
            "adaptive logarithm: bright shadows, low contrast",
            "global",
            "Drago, Myszkowski, Annen, Chiba: Adaptive Logarithmic Mapping For Displaying High "
            "Contrast Scenes, Eurographics 2003",
            curve=drago_curve,
            saturation=0.9,
        ),
        Operator(
            "durand",
            "large scales compressed, fine detail kept",
            "local",
            "Durand, Dorsey: Fast Bilateral Filtering for the Display of High-Dynamic-Range "
            "Images, SIGGRAPH 2002",
            map=durand_map,
            saturation=0.85,
        ),
        Operator(
            "mantiuk",
            "contrast compressed at all scales as far as the eye sees it: strong detail",
            "local",
            "Mantiuk, Myszkowski, Seidel: A Perceptual Framework for Contrast Processing of High "
            "Dynamic Range Images, ACM TAP 2006",
            map=mantiuk_map,
            saturation=0.85,
        ),
    )
}

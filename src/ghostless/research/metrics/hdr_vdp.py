"""HDR-VDP-2's quality correlate: how visible, to an eye, the errors of an HDR image are.

Paper: Mantiuk, Kim, Rempel, Heidrich: HDR-VDP-2, SIGGRAPH 2011. Pooling weights: Narwaria,
    Mantiuk, Da Silva, Le Callet: HDR-VDP-2.2, J. Electronic Imaging 24(1), 2015. Constants are
    those of revision 2.2, whose quality is 100 for equal images and falls with visible errors.
Built as: light scattered in the eye -> responses of cones and rods in units of just noticeable
    differences -> steerable pyramid, 4 orientations -> differences over thresholds that contrast
    sensitivity and masking set -> logarithms of their norms, weighted by frequency.
Differs from the original, and has not been compared with it on the same images:
    - The pyramid is built in the frequency domain from log-raised cosines, as wide as the
      responses of the original's small filters; images are mirrored at borders, where the original
      surrounds them with darkness before the eye's optics.
    - Luminance only, with the spectrum of daylight (D65); the original knows several displays.
    - Maps are resized by area or linearly, not by cubic kernels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from ...pixels.color import LUMINANCE_709
from ._filters import require_size

Plane = NDArray[np.float64]
Spectrum = NDArray[np.complex128]

ORIENTATIONS = 4
# A band is split further while its smaller side holds the original's low-pass filter.
_SMALLEST_SIDE = 17
# Cycles per pixel over which the first low-pass filter and the others fall from 1 to 0: straight
# lines through the responses of the original's filters (Karasaridis & Simoncelli, ICASSP 1996).
_RESIDUAL = (0.21, 0.5)
_OCTAVE = (0.102, 0.25)
_DARKEST_NITS, _BRIGHTEST_NITS = 1e-5, 1e10

# Eye's optics: weights and slopes per cycle per degree of a sum of exponentials (eq. 2).
_GLARE, _BROAD = 0.99727370023777070, 0.061466549455263
_OPTICS_WEIGHTS = (
    0.426 * _GLARE,
    0.574 * _GLARE,
    (1 - _GLARE) * _BROAD,
    (1 - _GLARE) * (1 - _BROAD),
)
_OPTICS_SLOPES = (0.028, 0.37, 37.0, 360.0)

# Excitation by daylight of 1 cd/m2: L cones, M cones (Smith & Pokorny 1975; they sum to
# luminance) and rods (CIE 1951).
_CONES = (0.655, 0.345)
_RODS = 0.992
# Peak sensitivity of Daly's CSF at 30 cd/m2 over the paper's fit.
_SENSITIVITY = 0.006894596 / 10**-2.4

# Neural contrast sensitivity (eq. 12): parameters p1 to p4 at six luminances.
_CSF_NITS = (0.002, 0.02, 0.2, 2.0, 20.0, 150.0)
_CSF_PARAMETERS = np.array(
    [
        [0.991265, 3.74038, 0.50722, 4.46044],
        [0.800889, 3.54104, 0.682505, 4.94958],
        [0.476505, 4.37453, 0.750315, 5.28678],
        [0.405782, 4.40602, 0.935314, 5.61425],
        [0.334278, 3.79542, 1.07327, 6.4635],
        [0.394533, 2.7755, 1.16577, 7.45665],
    ]
)

# Masking (eq. 13, 14): exponents of difference and mask; gains of the band itself, of the other
# orientations and of the neighbouring scales.
_P, _Q = 10**0.544068, 10**0.49576
_SELF, _CROSS, _NEIGHBOURS = 10**0.189065, 10**0.449199, 10**1.52512

# Pooling: weight of a band by its frequency in cycles per degree.
_POOLING_FREQUENCIES = (0.2344, 0.4688, 0.9375, 1.875, 3.75, 7.5, 15.0)
_POOLING_WEIGHTS = (0.0002, 0.0003, 0.0003, 0.0398, 0.2690, 0.2142, 0.2832)
_EPSILON = 1e-12
# Pixels that differ by less than this share do not count.
_SAME = 0.001


def pixels_per_degree(
    diagonal_inches: float = 24.0,
    resolution: tuple[int, int] = (1920, 1080),
    distance_metres: float = 0.5,
) -> float:
    """Pixels that a degree of the visual field spans on a flat display seen from its middle."""
    width, height = resolution
    height_metres = diagonal_inches * 0.0254 * height / math.hypot(width, height)
    return height / math.degrees(2 * math.atan(height_metres / 2 / distance_metres))


def hdr_vdp_quality(
    result: NDArray[np.generic],
    truth: NDArray[np.generic],
    white_nits: float = 203.0,
    per_degree: float | None = None,
) -> float:
    """HDR-VDP-2's quality correlate: 100 for equal images, lower the more visible errors are.

    result, truth: (H, W, 3) linear RGB; 1.0 is shown at `white_nits` cd/m2. per_degree: pixels per
    visual degree, by default of a 24-inch display of 1920 x 1080 pixels at 0.5 m.
    """
    require_size(np.shape(truth), _SMALLEST_SIDE, "HDR_VDP2")
    shown = [
        np.clip((np.asarray(i, np.float64) @ LUMINANCE_709) * white_nits, _DARKEST_NITS, None)
        for i in (result, truth)
    ]
    return luminance_quality(shown[0], shown[1], per_degree or pixels_per_degree())


def luminance_quality(result: Plane, truth: Plane, per_degree: float) -> float:
    """HDR-VDP-2's quality correlate of luminance (H, W), cd/m2 (see `hdr_vdp_quality`)."""
    seen, wanted = (_see(luminance, per_degree) for luminance in (result, truth))
    differs = (np.abs(result - truth) / truth > _SAME).astype(np.float64)
    log_adapting = np.log10(np.clip((seen.adapting + wanted.adapting) / 2, 1e-5, 1e5))
    mutual = [
        [_mutual(a, b) for a, b in zip(*pair, strict=True)]
        for pair in zip(seen.bands, wanted.bands, strict=True)
    ]
    base = len(mutual) - 1
    total = 0.0
    for scale, frequency in enumerate(_band_frequencies(base, per_degree)):
        shape = mutual[scale][0].shape
        sensitivity = np.ones(shape)
        if scale < base:
            sensitivity = _sensitivity_map(frequency, _resized(log_adapting, shape))
        weight = float(np.interp(frequency, _POOLING_FREQUENCIES, _POOLING_WEIGHTS))
        counted = _resized(differs, shape)
        for orientation, mask in enumerate(_masks(mutual, scale, sensitivity)):
            difference = seen.bands[scale][orientation] - wanted.bands[scale][orientation]
            visible = counted * _over_threshold(difference, mask, sensitivity, 2.0**scale)
            norm = math.sqrt(float((visible**2).sum())) / visible.size
            total += weight * (math.log(norm + _EPSILON) - math.log(_EPSILON))
    return 100 - total


def _over_threshold(difference: Plane, mask: Plane, sensitivity: Plane, gain: float) -> Plane:
    """Difference over its threshold, raised to the power of masking (eq. 13)."""
    excitation = gain * np.abs(difference) ** _P
    return np.asarray(excitation / np.sqrt(sensitivity ** (-2 * _P) + (gain * mask) ** 2))


def _masks(mutual: list[list[Plane]], scale: int, sensitivity: Plane) -> list[Plane]:
    """What masks each orientation of a scale (eq. 14)."""
    bands = mutual[scale]
    everything = sum(bands[1:], start=bands[0])
    base = len(mutual) - 1
    masks = []
    for orientation, own in enumerate(bands):
        across = np.maximum(everything - own, 0)
        near = np.zeros_like(own)
        for other in (scale - 1, scale + 1):
            # The base band does not mask the one before it.
            if 0 <= other < base:
                band = mutual[other][min(orientation, len(mutual[other]) - 1)]
                near += _resized(band, own.shape)
        masks.append(
            _SELF * (own * sensitivity) ** _Q
            + _CROSS * (across * sensitivity) ** _Q
            + _NEIGHBOURS * (near * sensitivity) ** _Q
        )
    return masks


def _mutual(first: Plane, second: Plane) -> Plane:
    """What both images hold of a band: only that masks; averaged over 3 x 3 for unknown phase."""
    both = np.minimum(np.abs(first), np.abs(second))
    mean = cv2.blur(both, (3, 3), borderType=cv2.BORDER_CONSTANT)
    # The running sums of the filter end a rounding error below zero after a large value.
    return np.maximum(mean, 0)


def _resized(plane: Plane, shape: tuple[int, ...]) -> Plane:
    if plane.shape == shape:
        return plane
    shrinks = shape[0] < plane.shape[0]
    kernel = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(plane, (shape[1], shape[0]), interpolation=kernel))


def _band_frequencies(base: int, per_degree: float) -> list[float]:
    """Peak frequency of each scale, cycles per degree, from the high-pass residual on."""
    return [per_degree / 2 / 2**scale for scale in range(base + 1)]


@dataclass(frozen=True)
class _Seen:
    """Bands of the response to an image, and the luminance (H, W) that the eye adapts to."""

    bands: list[list[Plane]]
    adapting: Plane


def _see(luminance: Plane, per_degree: float) -> _Seen:
    """Let an eye see luminance (H, W), cd/m2."""
    levels = pyramid_levels(luminance.shape)
    passed = _filtered(luminance, lambda f: optical_transfer(per_degree * f))
    light = np.clip(passed, _DARKEST_NITS, _BRIGHTEST_NITS)
    response = achromatic_response(light)
    bands = steerable_pyramid(response - response.mean(), levels)
    # In the original, frequencies of the base band are stretched by the root of 2.
    stretched = per_degree / 2 / 2 ** (levels + 1) * 2 * math.sqrt(2)
    adapting = np.full(1, float(light.mean()))
    bands[-1] = [_filtered(bands[-1][0], lambda f: neural_csf(stretched * f, adapting))]
    # The original's oriented filters and low-pass filters together halve what they pass.
    halved = [[band / (2 if scale else 1) for band in group] for scale, group in enumerate(bands)]
    return _Seen(halved, light)


def _filtered(plane: Plane, response: Callable[[Plane], Plane]) -> Plane:
    """Filter (H, W), mirrored at its borders, by a function of cycles per pixel."""
    mirrored = _mirrored(plane, 0)
    spectrum = np.fft.rfft2(mirrored) * response(_frequencies(*mirrored.shape))
    return _cropped(np.fft.irfft2(spectrum, mirrored.shape), plane.shape, 0)


# The eye ------------------------------------------------------------------------------------------


def optical_transfer(cycles_per_degree: Plane) -> Plane:
    """Share of contrast that the eye's optics let through, 1 at frequency 0 (eq. 2).

    Any shape (h, w) to the same.
    """
    return np.asarray(
        sum(
            weight * np.exp(-slope * cycles_per_degree)
            for weight, slope in zip(_OPTICS_WEIGHTS, _OPTICS_SLOPES, strict=True)
        )
    )


def joint_sensitivity(nits: Plane) -> Plane:
    """Peak contrast sensitivity of cones and rods together by luminance (eq. 9).

    Any shape (h, w) to the same.
    """
    return np.asarray(30.162 * ((4.0627 / nits) ** 1.6596 + 1) ** -0.2712)


def rod_sensitivity(nits: Plane) -> Plane:
    """Peak contrast sensitivity of rods alone; they saturate in daylight.

    Any shape (h, w) to the same.
    """
    distance = np.log10(nits / 1.1732)
    darker = np.exp(-(np.abs(distance) ** 1.2167) / 1.1478)
    brighter = np.exp(-(np.abs(distance) ** 2.9899) / 0.5547)
    return np.asarray(10**1.1414 * np.where(distance > 0, brighter, darker))


def neural_csf(cycles_per_degree: Plane, adapting_nits: Plane) -> Plane:
    """Contrast sensitivity without optics and without that of the receptors (eq. 12).

    Frequencies and luminances of shapes that broadcast; 0 at frequency 0.
    """
    log_nits = np.log10(np.clip(adapting_nits, _CSF_NITS[0], _CSF_NITS[-1]))
    table = np.log10(_CSF_NITS)
    p1, p2, p3, p4 = (np.interp(log_nits, table, column) for column in _CSF_PARAMETERS.T)
    rise = (1 - np.exp(-((cycles_per_degree / 7) ** 2))) ** p3
    return np.asarray(p4 * np.sqrt(rise / (1 + (p1 * cycles_per_degree) ** p2)))


def _sensitivity_map(frequency: float, log_adapting: Plane) -> Plane:
    grid = np.linspace(-5, 5, 256)
    values = neural_csf(np.full_like(grid, frequency), 10**grid)
    return np.interp(log_adapting, grid, values)


@lru_cache(maxsize=1)
def _transducers() -> tuple[Plane, Plane, Plane]:
    """Grid of log10 luminance, and the responses of a cone and of rods, in noticeable steps.

    A step is a threshold: responses integrate sensitivity over luminance (eq. 5 to 8).
    """
    grid = np.linspace(-5, 5, 2048)
    nits = 10**grid
    rods = rod_sensitivity(nits)
    both = np.maximum(joint_sensitivity(nits) - rods, 1e-3)
    # Two kinds of cones see half the light each.
    cones = 0.5 * np.interp(np.minimum(2 * nits, nits[-1]), nits, both)

    def integrated(sensitivity: Plane) -> Plane:
        steps = (sensitivity[1:] + sensitivity[:-1]) / 2 * np.diff(grid) * math.log(10)
        return np.concatenate([[0.0], np.cumsum(steps)]) * _SENSITIVITY

    return grid, integrated(cones), integrated(rods)


def achromatic_response(nits: Plane) -> Plane:
    """Summed response of cones and rods to daylight of some luminance, in noticeable steps.

    Any shape (h, w) to the same.
    """
    grid, cone, rod = _transducers()
    log_nits = np.log10(nits)
    response = np.interp(log_nits + math.log10(_RODS), grid, rod)
    for share in _CONES:
        response += np.interp(log_nits + math.log10(share), grid, cone)
    return response


# Steerable pyramid (Simoncelli & Freeman, ICIP 1995) ---------------------------------------------


def pyramid_levels(shape: tuple[int, ...]) -> int:
    """Scales of oriented bands that an image (H, W) has room for."""
    return max(0, math.floor(math.log2(min(shape) / _SMALLEST_SIDE)) + 1)


def steerable_pyramid(plane: Plane, levels: int) -> list[list[Plane]]:
    """Split (H, W) into high-pass residual, `levels` x 4 oriented bands, and base band.

    The image is mirrored at its borders. Band l >= 1 has ceil(H / 2^(l-1)) rows; the base band is
    half as large as the last. The squared filters sum to 1, so the bands rebuild the image.
    """
    bands = _pyramid_of_mirrored(_mirrored(plane, levels), levels)
    return [
        [_cropped(band, plane.shape, max(scale - 1, 0)) for band in group]
        for scale, group in enumerate(bands)
    ]


def _mirrored(plane: Plane, levels: int) -> Plane:
    """Extend to sides that halve `levels` times, then mirror both ways."""
    step = 2**levels
    rows, columns = plane.shape
    padded = np.pad(plane, ((0, -rows % step), (0, -columns % step)), mode="symmetric")
    return np.pad(padded, ((0, padded.shape[0]), (0, padded.shape[1])), mode="symmetric")


def _cropped(band: Plane, shape: tuple[int, ...], halvings: int) -> Plane:
    return band[: -(-shape[0] // 2**halvings), : -(-shape[1] // 2**halvings)]


def _frequencies(height: int, width: int) -> Plane:
    """Radial frequency (H, W // 2 + 1) in cycles per pixel, as np.fft.rfft2 orders them."""
    return np.asarray(np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]))


def low_pass(cycles_per_pixel: Plane, start: float, stop: float) -> Plane:
    """Log-raised cosine: 1 up to `start`, 0 from `stop` on. Any shape (h, w) to the same."""
    octaves = np.log2(np.maximum(cycles_per_pixel, 1e-12) / start)
    return np.asarray(np.cos(np.pi / 2 * np.clip(octaves / math.log2(stop / start), 0, 1)))


def _complement(response: Plane) -> Plane:
    return np.asarray(np.sqrt(np.maximum(1 - response**2, 0)))


def _orientation_filters(height: int, width: int) -> list[Spectrum]:
    """Third powers of cosines; imaginary and odd, so that bands are real."""
    angle = np.arctan2(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    # The squares of four such cosines sum to 5/4.
    return [
        1j * math.sqrt(4 / 5) * np.cos(angle - k * np.pi / ORIENTATIONS) ** 3
        for k in range(ORIENTATIONS)
    ]


def _pyramid_of_mirrored(plane: Plane, levels: int) -> list[list[Plane]]:
    shape = plane.shape
    spectrum = np.fft.rfft2(plane)
    low = low_pass(_frequencies(*shape), *_RESIDUAL)
    bands = [[np.fft.irfft2(spectrum * _complement(low), shape)]]
    spectrum = spectrum * low
    for _ in range(levels):
        low = low_pass(_frequencies(*shape), *_OCTAVE)
        high = spectrum * _complement(low)
        bands.append([np.fft.irfft2(high * f, shape) for f in _orientation_filters(*shape)])
        spectrum, shape = _halved(spectrum * low, shape)
    bands.append([np.fft.irfft2(spectrum, shape)])
    return bands


def _halved(spectrum: Spectrum, shape: tuple[int, ...]) -> tuple[Spectrum, tuple[int, int]]:
    """Spectrum of every second pixel of an image without frequencies above half of Nyquist."""
    height, width = shape[0] // 2, shape[1] // 2
    top, bottom = -(-height // 2), height // 2
    rows = np.concatenate([spectrum[:top], spectrum[spectrum.shape[0] - bottom :]])
    return np.asarray(rows[:, : width // 2 + 1] / 4, np.complex128), (height, width)

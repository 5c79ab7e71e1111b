"""Metrics of HDR images against true radiance.

One convention for all: result and truth are linear RGB (H, W, 3); both are divided by one peak (the
truth's largest value unless given), so that the truth spans 0..1, and the result is clipped below
at 0. No border is cropped; windows are those of SSIM. `scaled` brings the result to the truth's
exposure first, for methods that know radiance only up to a factor.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...pixels.color import LUMINANCE_709
from .truth import psnr, ssim

Image = NDArray[np.generic]
Plane = NDArray[np.float64]

MU = 5000.0

# PU21 with glare, "banding_glare" in Mantiuk & Azimi, Picture Coding Symposium 2021.
_PU21 = (
    0.353487901,
    0.3734658629,
    8.277049286e-05,
    0.9062562627,
    0.09150303166,
    0.9099517204,
    596.3148142,
)
# The encoding takes 100 cd/m2 to 256, and its authors score with that as the peak.
_PU21_PEAK = 256.0


def mu_law(linear: Image) -> Plane:
    """Compress linear 0..1 by the mu-law of Kalantari & Ramamoorthi 2017, mu = 5000.

    (H, W, 3) to the same.
    """
    return np.asarray(np.log1p(MU * np.asarray(linear, np.float64)) / np.log1p(MU))


def scaled(result: Image, truth: Image) -> Plane:
    """Scale a result by the one factor that brings its radiance nearest to the truth's.
    (H, W, 3) to the same.

    Least squares on linear radiance, pixels above the truth's 99.9th percentile left out so that
    a lamp does not decide.
    """
    a, b = np.asarray(result, np.float64), np.asarray(truth, np.float64)
    kept = (b <= np.percentile(b, 99.9)).all(axis=2)
    power = float((a[kept] ** 2).sum())
    return a * (float((a[kept] * b[kept]).sum()) / power if power > 0 else 1.0)


def psnr_mu(result: Image, truth: Image, peak: float | None = None) -> float:
    """PSNR after the mu-law, dB. Of (H, W, 3)."""
    a, b = _unit(result, truth, peak)
    return psnr(mu_law(a), mu_law(b), 1.0)


def psnr_linear(result: Image, truth: Image, peak: float | None = None) -> float:
    """PSNR of linear radiance, dB. Of (H, W, 3)."""
    return psnr(*_unit(result, truth, peak), 1.0)


def ssim_mu(result: Image, truth: Image, peak: float | None = None) -> float:
    """SSIM after the mu-law, mean over R, G, B. Of (H, W, 3)."""
    a, b = _unit(result, truth, peak)
    return ssim(mu_law(a), mu_law(b), 1.0)


def ssim_linear(result: Image, truth: Image, peak: float | None = None) -> float:
    """SSIM of linear radiance, mean over R, G, B. Of (H, W, 3)."""
    return ssim(*_unit(result, truth, peak), 1.0)


def pu21_encode(luminance: Image) -> Plane:
    """Encode absolute luminance or colour, cd/m2 (clipped to 0.005..10000), to uniform steps.

    (H, W) or (H, W, 3) to the same.
    """
    p1, p2, p3, p4, p5, p6, p7 = _PU21
    power = np.clip(np.asarray(luminance, np.float64), 0.005, 10000) ** p4
    return np.maximum(p7 * (((p1 + p2 * power) / (1 + p3 * power)) ** p5 - p6), 0)


def pu21_psnr(result: Image, truth: Image, white_nits: float = 203.0) -> float:
    """PSNR of PU21-encoded luminance, dB; radiance 1.0 is shown at `white_nits` (BT.2408: 203).

    Of (H, W, 3).
    """
    a, b = (pu21_encode(_luminance(image) * white_nits) for image in (result, truth))
    return psnr(a, b, _PU21_PEAK)


def pu21_ssim(result: Image, truth: Image, white_nits: float = 203.0) -> float:
    """SSIM of PU21-encoded luminance; radiance 1.0 is shown at `white_nits` (BT.2408: 203).

    Of (H, W, 3).
    """
    a, b = (pu21_encode(_luminance(image) * white_nits) for image in (result, truth))
    return ssim(a, b, _PU21_PEAK)


def _luminance(image: Image) -> Plane:
    return np.asarray(np.asarray(image, np.float64) @ LUMINANCE_709.astype(np.float64))


def _unit(result: Image, truth: Image, peak: float | None) -> tuple[Plane, Plane]:
    a, b = np.asarray(result, np.float64), np.asarray(truth, np.float64)
    top = peak if peak is not None else float(b.max())
    top = top if top > 0 else 1.0
    return np.maximum(a, 0) / top, np.maximum(b, 0) / top

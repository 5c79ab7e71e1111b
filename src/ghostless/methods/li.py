"""Exposure fusion with edge-keeping weights, and the details of all frames added on top.

Paper: Li, Wei, Wen, Zheng: Detail-Enhanced Multi-Scale Exposure Fusion, IEEE TIP 26(3), 2017.
Built as: exposure fusion with the weights of `guided_weights.py`, smoothed on every level by the
    weighted guided filter. The detail layer is that of Li, Zheng, Rahardja: Detail-Enhanced
    Exposure Fusion, IEEE TIP 21(11), 2012: the gradients of log luma of all frames, averaged, give
    the layer that is near 0 and has these gradients where they are weak; the fused picture is
    multiplied by its exponential.
Differs from the paper: no program of it was published. The gradients are averaged as in 2012, where
    the paper of 2017 takes the leading direction of a structure tensor. What masks hide has no
    influence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from ..bracket import Fused, Stack
from ..pixels import color
from ..pixels.pyramid import Plane
from ..pixels.screened import solve_screened
from ..pixels.stripes import Progress, around, for_each_stripe, part
from ..settings import Range, check_settings
from .exposure_fusion import Exponents
from .guided_weights import fuse_with_guided_weights, weighted
from .photos import Photos, all_grey, visible_means

# psi(z)^2 = |z|^1.2 + 1e-4: the weaker a gradient, the more the detail layer has of it.
_POWER, _LEAST = 1.2, 1e-4


@dataclass(frozen=True)
class LiSettings:
    """How much detail is added.

    detail: factor of the detail layer, 0 for none.
    smoothness: how much is taken for detail; the greater, the larger the details.
    """

    detail: Annotated[float, Range(0, 5)] = 1.0
    smoothness: Annotated[float, Range(0, 100)] = 1.0

    def __post_init__(self) -> None:
        check_settings(self)


def fuse(
    stack: Stack, settings: LiSettings = LiSettings(), *, progress: Progress | None = None
) -> Fused:
    """Fuse 1 to 20 aligned frames into one display image.

    stack: frames of any type and transfer; masks are honoured. Where all frames are masked, the
        reference is taken.
    progress: called with the fraction done, 0..1.
    Returns a display image, (H, W, 3) float32, 0..1, with the reference's metadata.
    """
    photos = Photos(stack)
    brightness = visible_means(photos, part(progress, 0, 0.05), color.luma)
    exponents = Exponents(saturation=0.0 if all_grey(stack.frames) else 1.0)
    pixels = fuse_with_guided_weights(
        photos, brightness, exponents, weighted(), part(progress, 0.05, 0.4)
    )
    if settings.detail > 0 and settings.smoothness > 0:
        layer = detail_layer(photos, settings.smoothness, part(progress, 0.4, 0.95))

        def work(start: int, stop: int) -> None:
            gain = np.exp(np.float32(settings.detail) * layer[start:stop])
            pixels[start:stop] *= gain[:, :, None]

        for_each_stripe(*photos.size, work)
    np.clip(pixels, 0, 1, out=pixels)
    if progress is not None:
        progress(1)
    return Fused(pixels, "display", stack.frames[stack.reference].metadata)


def detail_layer(photos: Photos, smoothness: float, progress: Progress | None = None) -> Plane:
    """Details of all frames, in natural logarithms of luma: (H, W) float32."""
    height, width = photos.size
    right = np.empty((height, width - 1), np.float32)
    down = np.empty((height - 1, width), np.float32)

    def work(start: int, stop: int) -> None:
        rows = around(start, stop, 1, height)
        lumas = [
            np.floor(color.luma(picture) * np.float32(255) + np.float32(0.5))
            for picture in photos.shown(rows.first, rows.last)
        ]
        masks = photos.masks(rows.first, rows.last)
        right[start:stop] = _mean_gradient(lumas, masks, 1)[rows.inner]
        below = _mean_gradient(lumas, masks, 0)[rows.inner]
        down[start : start + len(below)] = below

    for_each_stripe(height, width, work, progress=part(progress, 0, 0.1))
    return solve_screened(
        (_stiffness(right, smoothness), right),
        (_stiffness(down, smoothness), down),
        progress=part(progress, 0.1, 1),
    )


def _mean_gradient(lumas: list[Plane], masks: list[Plane | None], axis: int) -> NDArray[np.float32]:
    """Mean difference of log luma, weighted by how far from black and white both ends are."""
    first, second = (slice(None, -1), slice(1, None))
    ends = (first, second) if axis == 0 else ((slice(None), first), (slice(None), second))
    total: Plane = np.zeros_like(np.diff(lumas[0], axis=axis))
    weights = np.full_like(total, 1e-12)
    for luma, mask in zip(lumas, masks, strict=True):
        trust = np.where(luma <= 127, luma + 1, 256 - luma)
        if mask is not None:
            trust = trust * mask
        weight = trust[ends[0]] * trust[ends[1]]
        total += weight * np.diff(np.log(luma + 1), axis=axis)
        weights += weight
    return np.asarray(total / weights, np.float32)


def _stiffness(gradient: NDArray[np.float32], smoothness: float) -> NDArray[np.float32]:
    power = np.abs(gradient) ** np.float32(_POWER)
    return np.asarray(np.float32(smoothness) / (power + np.float32(_LEAST)), np.float32)

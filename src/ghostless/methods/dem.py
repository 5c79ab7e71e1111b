"""Exposure fusion in YUV: luma and chroma by one set of weights, the brighter frames first.

Paper: Wang, Chen, Wu, Li: Detail-Enhanced Multi-Scale Exposure Fusion in YUV Color Space, IEEE
    TCSVT 2020.
Built as: weight = contrast of luma * (chroma + 1) * well-exposedness of luma, times the square of
    the frame's mean brightness, which keeps what is brighter in the scene brighter; pyramids as in
    `exposure_fusion.py`. On the coarsest level of luma the weights are smoothed, and of more than
    two frames the darker ones get more where they have detail there.
Differs from the paper: without its separate component that enhances details, which the authors'
    program does not have either. What masks hide has no influence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from ..bracket import Fused, Stack
from ..pixels.pyramid import Plane, expand, level_count, reduce
from ..pixels.stripes import Progress, for_each_stripe, part
from ..pixels.windows import laplacian
from .exposure_fusion import Blending, Level, fuse_exposures, weighted_sum
from .photos import Photos, favour_bright, split, visible_means

# Analog YUV and back as the authors' program has them, which is the inverse to within a level.
_YUV_FROM_RGB = np.array(
    [[0.299, 0.587, 0.114], [-0.147, -0.289, 0.436], [0.615, -0.515, -0.100]], np.float32
)
_RGB_FROM_YUV = np.array([[1, 0, 1.14], [1, -0.39, -0.58], [1, 2.03, 0]], np.float32)
_SIGMA = 0.2
_FLOOR = np.float32(1e-12)
# Levels fewer than exposure fusion has.
_FEWER_LEVELS = 2
# What the darker frames' detail on the coarsest level counts beside the weights.
_DARK_DETAIL = 1.5


@dataclass(frozen=True)
class DemSettings:
    """There is nothing to set."""


def fuse(
    stack: Stack, settings: DemSettings = DemSettings(), *, progress: Progress | None = None
) -> Fused:
    """Fuse 1 to 20 aligned frames into one display image.

    stack: frames of any type and transfer; masks are honoured. Where all frames are masked, the
        reference is taken.
    progress: called with the fraction done, 0..1.
    Returns a display image, (H, W, 3) float32, 0..1, with the reference's metadata.
    """
    photos = Photos(stack)
    brightness = visible_means(photos, part(progress, 0, 0.1), _luma)
    factors = favour_bright(brightness)

    def weigh(index: int, planes: list[Plane]) -> Plane:
        luma, u, v = planes
        weight = laplacian(luma)
        weight *= np.abs(u) + np.abs(v) + np.float32(1)
        weight *= np.exp(np.square(luma - np.float32(0.5)) * np.float32(-1 / (2 * _SIGMA**2)))
        weight += _FLOOR
        return np.asarray(weight * factors[index], np.float32)

    darkest = np.argsort(brightness, kind="stable")[: (len(brightness) + 1) // 2 - 1]
    blending = Blending(coarsest=lambda level: _blend_coarsest(level, darkest.tolist()))
    depth = max(1, level_count(*photos.size) - _FEWER_LEVELS)
    pixels = fuse_exposures(
        _InYuv(stack),
        weigh,
        depth,
        part(progress, 0.1, 1),
        wraps=stack.wraps,
        blending=blending,
    )

    def work(start: int, stop: int) -> None:
        rgb = cv2.transform(pixels[start:stop], _RGB_FROM_YUV)
        np.clip(rgb, 0, 1, out=pixels[start:stop])

    for_each_stripe(*photos.size, work)
    return Fused(pixels, "display", stack.frames[stack.reference].metadata)


@dataclass(frozen=True)
class _InYuv(Photos):
    """A stack's frames as luma and two signed planes of chroma."""

    def planes(self, start: int, stop: int) -> list[list[Plane]]:
        pictures = self.pictures(start, stop)
        return [split(cv2.transform(rgb, _YUV_FROM_RGB)) for rgb in pictures]


def _luma(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(cv2.transform(picture, _YUV_FROM_RGB[:1]))


def _blend_coarsest(level: Level, darkest: Sequence[int]) -> list[Plane]:
    """Blend the coarsest level: luma by smoother weights, with more of dark frames' details."""
    u_and_v = weighted_sum(level)[1:]
    weights = [_smooth(weight) for weight in level.weights]
    for index in darkest:
        luma = level.planes[index][0]
        detail = np.abs(luma - expand(reduce(luma), luma.shape))
        weights[index] += np.float32(_DARK_DETAIL) * _smooth(detail) * (detail > 0)
    for index, mask in enumerate(level.masks):
        weights[index] += _FLOOR
        if mask is not None:
            weights[index] *= mask > 0
    total = np.add.reduce(weights)
    smooth = replace(level, weights=[weight / total for weight in weights])
    return [weighted_sum(smooth)[0], *u_and_v]


def _smooth(plane: Plane) -> Plane:
    blurred = cv2.GaussianBlur(plane, (3, 3), 1, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(blurred, np.float32).reshape(plane.shape)

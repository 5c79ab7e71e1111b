"""Guided filtering: every pixel from the frame with most detail there, edges by guided filters.

Paper: Li, Kang, Hu: Image Fusion with Guided Filtering, IEEE TIP 2013.
Built as: saliency is the smoothed Laplacian; the frame where it is greatest counts 1, the others 0.
    These weights are smoothed twice by guided filters with the frame itself as guide: widely for
    the base of the frames (means over 31 x 31), narrowly for their details. Both are blended and
    added; there is no pyramid.
Differs from the paper: what masks hide has no influence. The authors' program rounds the weights to
    8 bits in between, which shows; `as_published=True` does too.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ..bracket import Fused, Stack
from ..pixels import color
from ..pixels.pyramid import Plane
from ..pixels.stripes import Progress, around, for_each_stripe, part, stripe_pixels
from ..pixels.windows import box_mean, erode, guided_filter, laplacian
from ..settings import check_settings
from ..work.spill import empty
from .photos import Photos

_SALIENCY_SIDE, _SALIENCY_SIGMA = 11, 5.0
# Radius and eps of the guided filters of the weights of the base and of the details.
_BASE = (45, 0.3)
_DETAIL = (7, 1e-6)
_MEAN_RADIUS = 15
_FLOOR = np.float32(1e-12)


@dataclass(frozen=True)
class GffSettings:
    """How exact the weights are.

    as_published: round luma and weights to 8 bits in between, as the authors' program does.
    """

    as_published: bool = False

    def __post_init__(self) -> None:
        check_settings(self)


def fuse(
    stack: Stack, settings: GffSettings = GffSettings(), *, progress: Progress | None = None
) -> Fused:
    """Fuse 1 to 20 aligned frames into one display image.

    stack: frames of any type and transfer; masks are honoured. Where all frames are masked, the
        reference is taken.
    progress: called with the fraction done, 0..1.
    Returns a display image, (H, W, 3) float32, 0..1, with the reference's metadata.
    """
    photos = Photos(stack)
    height, width = photos.size
    salient = _most_salient(photos, settings, part(progress, 0, 0.2))
    out = empty((height, width, 3), np.float32)
    halo = 2 * _BASE[0]

    def work(start: int, stop: int) -> None:
        rows = around(start, stop, halo, height)
        chosen = salient[rows.first : rows.last]
        pictures = photos.shown(rows.first, rows.last)
        masks = photos.masks(rows.first, rows.last)
        out[start:stop] = _fuse_rows(pictures, masks, chosen, rows.inner, settings)

    pixels = stripe_pixels(halo, width, times=2)
    for_each_stripe(height, width, work, pixels=pixels, progress=part(progress, 0.2, 1))
    return Fused(out, "display", stack.frames[stack.reference].metadata)


def _most_salient(
    photos: Photos, settings: GffSettings, progress: Progress | None
) -> NDArray[np.uint8]:
    """Number of the frame with the greatest saliency, (H, W), the first one if several have it."""
    height, width = photos.size
    salient = empty((height, width), np.uint8)
    halo = _SALIENCY_SIDE // 2 + 1

    def work(start: int, stop: int) -> None:
        rows = around(start, stop, halo, height)
        masks = photos.masks(rows.first, rows.last)
        saliencies = []
        for picture, mask in zip(photos.shown(rows.first, rows.last), masks, strict=True):
            detail = laplacian(_grey(picture, settings))
            if mask is not None:
                detail *= erode(mask, 1)
            side = (_SALIENCY_SIDE, _SALIENCY_SIDE)
            saliency = cv2.GaussianBlur(
                detail, side, _SALIENCY_SIGMA, borderType=cv2.BORDER_REPLICATE
            ).reshape(detail.shape)
            if mask is not None:
                saliency[mask == 0] = -1
            saliencies.append(saliency[rows.inner])
        salient[start:stop] = np.argmax(saliencies, axis=0)

    pixels = stripe_pixels(halo, width)
    for_each_stripe(height, width, work, pixels=pixels, progress=progress)
    return salient


def _fuse_rows(
    pictures: list[NDArray[np.float32]],
    masks: list[Plane | None],
    chosen: NDArray[np.uint8],
    inner: slice,
    settings: GffSettings,
) -> NDArray[np.float32]:
    """Fuse the inner rows of those given."""
    size = pictures[0][inner].shape
    bases, details = np.zeros(size, np.float32), np.zeros(size, np.float32)
    of_bases, of_details = np.zeros((2, *size[:2], 1), np.float32)
    for index, (picture, mask) in enumerate(zip(pictures, masks, strict=True)):
        guide = _grey(picture, settings)
        wanted = (chosen == index).astype(np.float32)
        seen = None if mask is None else mask[inner]
        for_base = _weight(guide, wanted, _BASE, inner, seen, settings)
        for_detail = _weight(guide, wanted, _DETAIL, inner, seen, settings)
        base = _base(picture, mask)[inner]
        bases += for_base * base
        of_bases += for_base
        details += for_detail * (picture[inner] - base)
        of_details += for_detail
    fused = bases / of_bases + details / of_details
    return np.asarray(np.clip(fused, 0, 1), np.float32)


def _weight(
    guide: Plane,
    wanted: Plane,
    how: tuple[int, float],
    inner: slice,
    mask: Plane | None,
    settings: GffSettings,
) -> NDArray[np.float32]:
    """Smoothed weights of the inner rows, (rows, W, 1)."""
    smooth = np.clip(guided_filter(guide, wanted, *how)[inner], 0, 1)
    if settings.as_published:
        smooth = np.floor(smooth * 255 + 0.5) * (1 / 255)
    weight = np.asarray(smooth, np.float32) + _FLOOR
    if mask is not None:
        weight *= mask
    return weight[:, :, None]


def _base(picture: NDArray[np.float32], mask: Plane | None) -> NDArray[np.float32]:
    """Means over large windows, of what is seen."""
    side = (2 * _MEAN_RADIUS + 1,) * 2
    mean = cv2.blur(picture, side, borderType=cv2.BORDER_REPLICATE).reshape(picture.shape)
    if mask is None or mask.min() > 0:
        return np.asarray(mean, np.float32)
    share = np.maximum(box_mean(mask, _MEAN_RADIUS), 1e-6)[:, :, None]
    seen = box_mean(picture * mask[:, :, None], _MEAN_RADIUS) / share
    return np.asarray(np.where(share < 1 - 1e-6, seen, mean), np.float32)


def _grey(picture: NDArray[np.float32], settings: GffSettings) -> Plane:
    grey = color.luma(picture)
    if settings.as_published:
        grey = np.floor(grey * np.float32(255) + np.float32(0.5)) * np.float32(1 / 255)
    return grey

"""Structural patch decomposition: large patches, each at its strongest contrast, averaged.

Paper: Ma, Li, Yong, Wang, Meng, Zhang: Robust Multi-Exposure Image Fusion: A Structural Patch
    Decomposition Approach, IEEE TIP 2017.
Built as: patches of 21 x 21 pixels and three channels at every second pixel, each taken apart into
    mean, contrast and structure. The fused patch has the greatest contrast, the mean structure
    weighted by the fourth power of contrast, and a mean of those patches and pictures that are
    exposed best; overlapping patches are averaged. All of it is box filters: the norm of a mixed
    structure follows from the covariances of the frames.
Differs from the paper: the check for moving things is left out, for the line before finds them. A
    frame gives nothing to a patch of which a mask hides any pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from ..bracket import Fused, Stack
from ..pixels.pyramid import Plane
from ..pixels.stripes import Progress, around, for_each_stripe, part, stripe_pixels
from ..pixels.windows import box_mean, box_sum, erode
from ..work.spill import empty
from .photos import Photos, visible_means

_SIDE, _POWER = 21, 4.0
# Spread of the well-exposed means about mid-grey: of whole pictures and of patches.
_PICTURE_SIGMA, _PATCH_SIGMA = 0.2, 0.5
# Keeps flat patches from being 0 / 0, and gives every frame a say in their structure.
_FLOOR = 0.001

Patches = NDArray[np.float64]


@dataclass(frozen=True)
class SpdMefSettings:
    """There is nothing to set."""


def fuse(
    stack: Stack,
    settings: SpdMefSettings = SpdMefSettings(),
    *,
    progress: Progress | None = None,
) -> Fused:
    """Fuse 1 to 20 aligned frames into one display image.

    stack: frames of any type and transfer; masks are honoured. Where all frames are masked, the
        reference is taken.
    progress: called with the fraction done, 0..1.
    Returns a display image, (H, W, 3) float32, 0..1, with the reference's metadata.
    """
    photos = Photos(stack)
    height, width = photos.size
    radius = (min(_SIDE, height, width) - 1) // 2
    brightness = visible_means(photos, part(progress, 0, 0.1))
    out = empty((height, width, 3), np.float32)

    def work(start: int, stop: int) -> None:
        rows = around(start, stop, 2 * radius, height)
        pictures = photos.pictures(rows.first, rows.last)
        masks = photos.masks(rows.first, rows.last)
        places = np.outer(_places(height, radius)[rows.first : rows.last], _places(width, radius))
        fused = _fuse_rows(pictures, masks, brightness, places, radius)
        out[start:stop] = np.clip(fused[rows.inner], 0, 1)

    pixels = stripe_pixels(2 * radius, width)
    for_each_stripe(height, width, work, pixels=pixels, progress=part(progress, 0.1, 1))
    return Fused(out, "display", stack.frames[stack.reference].metadata)


def _places(size: int, radius: int) -> NDArray[np.float64]:
    """Where in a row the middles of patches are: every second place, and the last one."""
    places = np.zeros(size)
    places[radius : size - radius : 2] = 1
    places[size - radius - 1] = 1
    return places


def _fuse_rows(
    pictures: list[NDArray[np.float32]],
    masks: list[Plane | None],
    brightness: list[float],
    places: NDArray[np.float64],
    radius: int,
) -> NDArray[np.float64]:
    """Fuse rows of pictures; right where all patches that cover a pixel lie within them."""
    gains, offset, seen = _fused_patches(pictures, masks, brightness, radius)
    there = places * seen
    cover = box_sum(there, radius)
    fused = np.zeros(pictures[0].shape)
    for gain, picture in zip(gains, pictures, strict=True):
        fused += box_sum(gain * there, radius)[:, :, None] * picture
    fused += box_sum(offset * there, radius)[:, :, None]
    covered = cover > 0.5
    fused /= np.where(covered, cover, 1)[:, :, None]
    if not covered.all():
        fused[~covered] = _plain_mean(pictures, masks)[~covered]
    return fused


def _fused_patches(
    pictures: list[NDArray[np.float32]],
    masks: list[Plane | None],
    brightness: list[float],
    radius: int,
) -> tuple[list[Patches], Patches, Patches]:
    """Fused patch = sum of gain_k * x_k + offset, by its middle; and which have any frame.

    Returns the gains, the offset, and 1 or 0.
    """
    values = (2 * radius + 1) ** 2 * 3
    means = [box_mean(picture.mean(axis=2, dtype=np.float64), radius) for picture in pictures]
    count = len(pictures)
    norms: dict[tuple[int, int], Patches] = {}
    for i, j in combinations_with_replacement(range(count), 2):
        products = np.einsum("hwc,hwc->hw", pictures[i], pictures[j], dtype=np.float64) / 3
        norms[i, j] = (box_mean(products, radius) - means[i] * means[j]) * values
    contrasts = [np.sqrt(np.maximum(norms[k, k], 0)) + _FLOOR for k in range(count)]
    whole = [None if mask is None else erode(mask, radius) for mask in masks]
    shares, structures = [], []
    for mean, contrast, seen, bright in zip(means, contrasts, whole, brightness, strict=True):
        share = np.exp(
            (bright - 0.5) ** 2 / (-2 * _PICTURE_SIGMA**2)
            + np.square(mean - 0.5) / (-2 * _PATCH_SIGMA**2)
        )
        structure = contrast**_POWER + _FLOOR
        if seen is not None:
            share *= seen
            structure *= seen
            contrast *= seen > 0
        shares.append(share)
        structures.append(structure)
    strongest = np.maximum.reduce(contrasts)
    total = np.add.reduce(structures)
    any_seen = (total > 0).astype(np.float64)
    total[total == 0] = 1
    for structure, contrast in zip(structures, contrasts, strict=True):
        structure /= total * np.where(contrast > 0, contrast, 1)
    norm = np.zeros_like(total)
    for (i, j), product in norms.items():
        norm += (1 if i == j else 2) * structures[i] * structures[j] * product
    length = np.sqrt(np.maximum(norm, 0))
    gain = np.divide(strongest, length, out=np.zeros_like(length), where=length > 1e-9)
    gains = [gain * structure for structure in structures]
    light = np.add.reduce(shares)
    light[light == 0] = 1
    offset = sum(
        (share / light - own) * mean for share, own, mean in zip(shares, gains, means, strict=True)
    )
    return gains, np.asarray(offset), any_seen


def _plain_mean(
    pictures: list[NDArray[np.float32]], masks: list[Plane | None]
) -> NDArray[np.float64]:
    """The mean of what is seen: for pixels to which no whole patch belongs."""
    weights = [
        np.ones(picture.shape[:2]) if mask is None else mask.astype(np.float64)
        for picture, mask in zip(pictures, masks, strict=True)
    ]
    total = np.add.reduce(weights)
    return np.asarray(
        sum((w / total)[:, :, None] * picture for w, picture in zip(weights, pictures, strict=True))
    )

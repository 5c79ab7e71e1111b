"""Dense SIFT: every pixel from the frame whose surroundings have most structure.

Paper: Liu, Wang: Dense SIFT for Ghost-Free Multi-Exposure Fusion, Journal of Visual Communication
    and Image Representation 31, 2015.
Built as: contrast is the sum of the dense SIFT descriptor of a pixel, not normalised: gradients by
    direction, gathered over 16 x 16 pixels. The frame of most contrast counts 1, the others 0,
    unless it is nearly black or white there. The weights are smoothed by the recursive domain
    transform filter along the frame's own edges, and the mean is taken at full size, without a
    pyramid.
Differs from the paper: its check for moving things is not built, for the line before finds them.
    What masks hide has no influence. In the authors' program the gathering window lies 1.5 pixels
    off the middle; `as_published=True` does as it does. What is beyond the border is black, and so
    an edge, as there: large white areas are then left to the brighter frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from ..bracket import Fused, Stack
from ..pixels import color
from ..pixels.pyramid import Plane
from ..pixels.recursive import smooth_recursively
from ..pixels.stripes import Progress, around, for_each_stripe, part, stripe_pixels
from ..settings import check_settings
from ..work.spill import empty
from .photos import Photos

_SCALE, _BINS, _SHARPNESS = 16, 8, 9
_PADDING = _SCALE // 2 - 1
# Luma between which a pixel counts as exposed.
_DARK, _BRIGHT = 0.10, 0.90
# Keeps a share for frames where none is exposed, or none has contrast.
_FLOOR = np.float32(1e-25)
_SIGMA, _SIGMA_RANGE = 100.0, 4.0
# Rows that a pixel's descriptor sees: samples at 4, windows of 8, gradients of 2.
_HALO = 4 + _SCALE // 2 + 2


@dataclass(frozen=True)
class DsiftEfSettings:
    """How frames are chosen.

    choice: "winner" takes the frame of most contrast; "mean" weighs all by their contrast.
    as_published: gather contrast 1.5 pixels off the middle, as the authors' program does.
    """

    choice: Literal["winner", "mean"] = "winner"
    as_published: bool = False

    def __post_init__(self) -> None:
        check_settings(self)


def fuse(
    stack: Stack,
    settings: DsiftEfSettings = DsiftEfSettings(),
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
    count, size = len(stack.frames), photos.size
    contrast = _Contrast(photos, settings)
    winners, exposed = _choose(photos, contrast, part(progress, 0, 0.3))
    total = empty(size, np.float32)
    out = empty((*size, 3), np.float32)
    total[:], out[:] = 0, 0
    for index in range(count):
        begun = 0.3 + 0.7 * index / count
        weights = _weights(photos, contrast, winners, exposed, index)
        if progress is not None:
            progress(begun + 0.1 / count)
        smooth_recursively(
            weights,
            lambda start, stop, index=index: photos.shown(start, stop)[index],  # type: ignore[misc]
            _SIGMA,
            _SIGMA_RANGE,
        )
        _add(photos, weights, index, out, total)
        if progress is not None:
            progress(0.3 + 0.7 * (index + 1) / count)

    def normalise(start: int, stop: int) -> None:
        out[start:stop] /= total[start:stop, :, None]
        np.clip(out[start:stop], 0, 1, out=out[start:stop])

    for_each_stripe(*size, normalise)
    return Fused(out, "display", stack.frames[stack.reference].metadata)


class _Contrast:
    """Sums of the descriptors of rows of the frames."""

    def __init__(self, photos: Photos, settings: DsiftEfSettings) -> None:
        self.height, self.width = photos.size
        self.photos, self.settings = photos, settings
        self.by_mean = settings.choice == "mean"
        self._brightest = self._brightest_values()

    def _brightest_values(self) -> list[float]:
        """The greatest luma of every frame, by which the authors' program divides it."""
        count = len(self.photos.stack.frames)
        found: dict[int, list[float]] = {}

        def work(start: int, stop: int) -> None:
            pictures = self.photos.shown(start, stop)
            found[start] = [float(color.luma(picture).max()) for picture in pictures]

        for_each_stripe(self.height, self.width, work)
        tops = np.max(list(found.values()), axis=0) if found else np.ones(count)
        return [float(top) if top > 0 else 1.0 for top in tops]

    def rows(self, index: int, lumas: Plane, first: int, inner: slice) -> Plane:
        """Contrast of the inner rows of those given, of which the first has that number."""
        above = _PADDING if first == 0 else 0
        below = _PADDING if first + lumas.shape[0] == self.height else 0
        sides = (above, below, _PADDING, _PADDING)
        padded = np.asarray(cv2.copyMakeBorder(lumas, *sides, cv2.BORDER_CONSTANT), np.float32)
        padded *= np.float32(1 / self._brightest[index])
        gathered = _gather(_directed(padded), self.settings.as_published)
        start, stop = inner.start + above, inner.stop + above
        total = np.zeros((stop - start, self.width), np.float32)
        for down in (-4, 4):
            for right in (_PADDING - 4, _PADDING + 4):
                total += gathered[start + down : stop + down, right : right + self.width]
        return total


def _directed(padded: Plane) -> Plane:
    """Strength of the gradient, summed over eight directions of sharp sensitivity."""
    middle = np.arange(5) - 2
    bell = np.exp(-(middle**2) / 2.0)
    window = np.outer(bell, bell) / bell.sum() ** 2
    down, right = np.gradient(window)
    kernels = [kernel * 2 / np.abs(kernel).sum() for kernel in (right, down)]
    across, along = (
        cv2.filter2D(padded, cv2.CV_32F, kernel, borderType=cv2.BORDER_CONSTANT)
        for kernel in kernels
    )
    strength = np.hypot(across, along)
    total = np.zeros_like(strength)
    safe = np.maximum(strength, np.float32(1e-20))
    # Opposite directions together are the absolute value of one.
    for angle in np.arange(_BINS // 2) * (2 * np.pi / _BINS):
        cosine = (across * np.float32(np.cos(angle)) + along * np.float32(np.sin(angle))) / safe
        total += np.abs(cosine) ** _SHARPNESS
    return np.asarray(total * strength, np.float32)


def _gather(plane: Plane, off_middle: bool) -> Plane:
    """Sum over a triangular window, 16 pixels wide."""
    places = np.arange(1 - _SCALE // 2, _SCALE // 2 + 1)
    middle = 1.5 if off_middle else 0.0
    triangle = np.maximum(1 - np.abs(places - middle) / (_SCALE / 2), 0)
    anchor = (_SCALE // 2 - 1,) * 2
    summed = cv2.sepFilter2D(
        plane, cv2.CV_32F, triangle, triangle, anchor=anchor, borderType=cv2.BORDER_CONSTANT
    )
    return np.asarray(summed, np.float32)


def _choose(
    photos: Photos, contrast: _Contrast, progress: Progress | None
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Number of the frame of most contrast, and how many are exposed, for every pixel."""
    height, width = photos.size
    winners, exposed = empty((height, width), np.uint8), empty((height, width), np.uint8)

    def work(start: int, stop: int) -> None:
        rows = around(start, stop, _HALO + 4, height)
        masks = photos.masks(rows.first, rows.last)
        contrasts, lit = [], np.zeros((stop - start, width), np.uint8)
        for index, picture in enumerate(photos.shown(rows.first, rows.last)):
            lumas = color.luma(picture)
            found = contrast.rows(index, lumas, rows.first, rows.inner)
            mask = masks[index]
            if mask is not None:
                found[mask[rows.inner] == 0] = -1
            contrasts.append(found)
            lit += _exposed(lumas[rows.inner], None if mask is None else mask[rows.inner])
        winners[start:stop] = np.argmax(contrasts, axis=0)
        exposed[start:stop] = lit

    pixels = stripe_pixels(_HALO, width)
    for_each_stripe(height, width, work, pixels=pixels, progress=progress)
    return winners, exposed


def _exposed(lumas: Plane, mask: Plane | None) -> NDArray[np.bool_]:
    lit = (lumas > _DARK) & (lumas < _BRIGHT)
    return lit if mask is None else lit & (mask > 0)


def _weights(
    photos: Photos,
    contrast: _Contrast,
    winners: NDArray[np.uint8],
    exposed: NDArray[np.uint8],
    index: int,
) -> Plane:
    """A frame's weights before they are smoothed, (H, W)."""
    height, width = photos.size
    weights = empty((height, width), np.float32)
    count = np.float32(len(photos.stack.frames))

    def work(start: int, stop: int) -> None:
        rows = around(start, stop, _HALO + 4 if contrast.by_mean else 0, height)
        lumas = color.luma(photos.shown(rows.first, rows.last)[index])
        mask = photos.masks(start, stop)[index]
        lit = _exposed(lumas[rows.inner], mask).astype(np.float32)
        trusted = (lit + _FLOOR) / (exposed[start:stop] + count * _FLOOR)
        if contrast.by_mean:
            trusted *= contrast.rows(index, lumas, rows.first, rows.inner)
        else:
            trusted *= winners[start:stop] == index
        weights[start:stop] = trusted

    pixels = stripe_pixels(_HALO, width) if contrast.by_mean else stripe_pixels(0, width)
    for_each_stripe(height, width, work, pixels=pixels)
    return weights


def _add(
    photos: Photos, weights: Plane, index: int, out: NDArray[np.float32], total: Plane
) -> None:
    """Add a frame by its smoothed weights."""

    def work(start: int, stop: int) -> None:
        weight = weights[start:stop] + _FLOOR
        mask = photos.masks(start, stop)[index]
        if mask is not None:
            weight *= mask
        total[start:stop] += weight
        out[start:stop] += weight[:, :, None] * photos.shown(start, stop)[index]

    for_each_stripe(*photos.size, work)

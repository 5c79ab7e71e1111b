"""Gradient-domain fusion: at every pixel the strongest gradient, integrated to a picture.

Paper: Paul, Sevcenco, Agathoklis: Multi-Exposure and Multi-Focus Image Fusion in Gradient Domain,
    Journal of Circuits, Systems and Computers 25(10), 2016.
Built as: of the luma the gradient of the frame where it is greatest; the picture with these
    gradients by least squares; its range brought to that of a photo by a power; local contrast
    raised by histograms of tiles. Chroma is the mean weighted by its distance from grey.
Differs from the paper: Poisson's equation is solved exactly by the cosine transform, where the
    authors use wavelets, to the same but for half a level. The picture is not rounded to 8 bits
    between the steps. Gradients and chroma that masks hide do not count.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ..bracket import Fused, Stack
from ..pixels.local_histograms import equalise
from ..pixels.poisson import integrate
from ..pixels.pyramid import Plane
from ..pixels.stripes import Progress, around, for_each_stripe, part
from ..settings import check_settings
from ..work.spill import empty
from .photos import Photos, all_grey, split

# Studio range of Rec. ITU-R BT.601: luma 16 to 235, chroma 16 to 240 about 128.
_BLACK, _RANGE = 16.0, 219.0
_YCBCR_FROM_RGB = np.array(
    [
        [65.481, 128.553, 24.966, 16],
        [-37.797, -74.203, 112.0, 128],
        [112.0, -93.786, -18.214, 128],
    ],
    np.float64,
)
_NEUTRAL = np.float32(128)
_CLIP = 0.003
# A picture of less range than this, in levels, is flat, and stretching it would show its noise.
_FLAT = 2.0


@dataclass(frozen=True)
class GdSettings:
    """Whether local contrast is raised.

    local_contrast: raise it at the end as the authors do.
    as_published: round to 8 bits between the steps, as their program does.
    """

    local_contrast: bool = True
    as_published: bool = False

    def __post_init__(self) -> None:
        check_settings(self)


def fuse(
    stack: Stack, settings: GdSettings = GdSettings(), *, progress: Progress | None = None
) -> Fused:
    """Fuse 1 to 20 aligned frames into one display image.

    stack: frames of any type and transfer; masks are honoured. Where all frames are masked, the
        reference is taken.
    progress: called with the fraction done, 0..1.
    Returns a display image, (H, W, 3) float32, 0..1, with the reference's metadata.
    """
    photos = Photos(stack)
    grey = all_grey(stack.frames)
    reader = _Reader(photos, grey, settings.as_published)
    luma, mean = _divergence(reader, part(progress, 0, 0.3))
    integrate(luma, part(progress, 0.3, 0.8))
    _to_range(luma, mean, grey)
    if settings.as_published:
        _rounded(luma)
    if settings.local_contrast:
        _raise_contrast(luma, grey)
    out = empty((*photos.size, 3), np.float32)
    from_ycbcr = np.linalg.inv(_YCBCR_FROM_RGB[:, :3])
    offset = -from_ycbcr @ _YCBCR_FROM_RGB[:, 3]
    matrix = np.column_stack([from_ycbcr, offset]).astype(np.float32)

    def work(start: int, stop: int) -> None:
        rows = luma[start:stop]
        if grey:
            cv2.merge([rows * np.float32(1 / 255)] * 3, dst=out[start:stop])
        else:
            planes = [rows, *reader.chroma(start, stop)]
            if settings.as_published:
                planes = [np.floor(plane + np.float32(0.5)) for plane in planes]
            cv2.transform(cv2.merge(planes), matrix, dst=out[start:stop])
        np.clip(out[start:stop], 0, 1, out=out[start:stop])

    for_each_stripe(*photos.size, work, progress=part(progress, 0.8, 1))
    return Fused(out, "display", stack.frames[stack.reference].metadata)


@dataclass(frozen=True)
class _Reader:
    """Rows of the frames in YCbCr of studio range; of grey ones luma of 0 to 255."""

    photos: Photos
    grey: bool
    rounded: bool

    def lumas(self, start: int, stop: int) -> list[Plane]:
        return [planes[0] for planes in self._planes(start, stop)]

    def chroma(self, start: int, stop: int) -> list[Plane]:
        """Cb and Cr, the mean of all frames: the more colour, the more it counts."""
        totals = np.zeros((2, stop - start, self.photos.size[1]), np.float32)
        weights = np.zeros_like(totals)
        masks = self.photos.masks(start, stop)
        for planes, mask in zip(self._planes(start, stop), masks, strict=True):
            for index, plane in enumerate(planes[1:]):
                off = plane - _NEUTRAL
                weight = np.abs(off)
                if mask is not None:
                    weight *= mask
                totals[index] += weight * off
                weights[index] += weight
        np.divide(totals, weights, out=totals, where=weights > 0)
        return list(totals + _NEUTRAL)

    def _planes(self, start: int, stop: int) -> list[list[Plane]]:
        pictures = self.photos.shown(start, stop)
        if self.grey:
            return [[picture[:, :, 0] * np.float32(255)] for picture in pictures]
        matrix = _YCBCR_FROM_RGB.astype(np.float32)
        converted = [cv2.transform(picture, matrix) for picture in pictures]
        if self.rounded:
            converted = [np.floor(picture + np.float32(0.5)) for picture in converted]
        return [split(picture) for picture in converted]


def _divergence(reader: _Reader, progress: Progress | None) -> tuple[Plane, float]:
    """Divergence of the strongest gradients, (H, W), and the mean luma."""
    height, width = reader.photos.size
    divergence = empty((height, width), np.float32)
    sums: dict[int, float] = {}

    def work(start: int, stop: int) -> None:
        rows = around(start, stop, 1, height)
        lumas = reader.lumas(rows.first, rows.last)
        across, down = _strongest(lumas, reader.photos.masks(rows.first, rows.last))
        if rows.last == height:
            down[-1] = 0
        field = across.copy()
        field[:, 1:] -= across[:, :-1]
        field += down
        field[1:] -= down[:-1]
        divergence[start:stop] = field[rows.inner]
        sums[start] = float(np.sum([luma[rows.inner].sum(dtype=np.float64) for luma in lumas]))

    for_each_stripe(height, width, work, progress=progress)
    total = sum(sums[start] for start in sorted(sums))
    return divergence, total / (height * width * len(reader.photos.stack.frames))


def _strongest(lumas: list[Plane], masks: list[Plane | None]) -> tuple[Plane, Plane]:
    """Forward differences across and down of the frame where they are greatest together."""
    best = np.full_like(lumas[0], -1)
    chosen = np.zeros_like(best), np.zeros_like(best)
    for luma, mask in zip(lumas, masks, strict=True):
        across, down = np.zeros_like(luma), np.zeros_like(luma)
        across[:, :-1] = np.diff(luma, axis=1)
        down[:-1] = np.diff(luma, axis=0)
        strength = np.square(across) + np.square(down)
        if mask is not None:
            seen = mask > 0
            hidden = ~seen
            hidden[:, :-1] |= ~seen[:, 1:]
            hidden[:-1] |= ~seen[1:]
            strength[hidden] = -1
        stronger = strength > best
        for target, found in zip(chosen, (across, down), strict=True):
            np.copyto(target, found, where=stronger)
        np.copyto(best, strength, where=stronger)
    return chosen


def _to_range(luma: Plane, mean: float, grey: bool) -> None:
    """Bring what was integrated to the range of luma in place, by a power."""
    low, high = float(luma.min()), float(luma.max())
    reach, base = (255.0, 0.0) if grey else (_RANGE, _BLACK)
    if high - low < _FLAT:
        luma += np.float32(mean)
        return
    power = np.log(reach) / np.log(high - low)

    def work(start: int, stop: int) -> None:
        rows = luma[start:stop]
        rows -= np.float32(low)
        rows *= np.float32(1 / (high - low))
        np.power(np.maximum(rows, 0, out=rows), np.float32(power), out=rows)
        rows *= np.float32(reach)
        rows += np.float32(base)

    for_each_stripe(luma.shape[0], luma.shape[1], work)


def _raise_contrast(luma: Plane, grey: bool) -> None:
    low, high = float(luma.min()), float(luma.max())
    if high - low < _FLAT:
        return
    reach, base = (255.0, 0.0) if grey else (_RANGE, _BLACK)
    if grey:
        low, high = 0.0, 255.0
    luma -= np.float32(low)
    luma *= np.float32(1 / (high - low))
    np.clip(luma, 0, 1, out=luma)
    equalise(luma, _CLIP)
    luma *= np.float32(reach)
    luma += np.float32(base)


def _rounded(plane: NDArray[np.float32]) -> None:
    plane += np.float32(0.5)
    np.floor(plane, out=plane)

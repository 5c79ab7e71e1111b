"""Weights found on small copies of the frames, carried to every pixel by a guided filter.

Source: He, Sun: Fast Guided Filter, 2015; used for fusion by Ma et al., MEF-Net, IEEE TIP 2020.

On a small copy of a frame's luma something gives a weight for each place. Around each place the
weights are modelled as slope * luma + offset; the models are interpolated to the full size and
applied to the full luma, so that the weights follow the edges of the picture. Needs no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..bracket import Frame, Fused, Stack
from ..nn.guided import interpolated
from ..pixels import color
from ..pixels.reduced import reduced
from ..pixels.stripes import Progress, for_each_stripe

Array = NDArray[np.float32]

COPY_SIDE = 128
# Keeps the weights' sum from 0.
LEAST_WEIGHT = 1e-8
# Share of what becomes a place of a copy that must be shown.
_BELIEVED = 0.99
# Larger photos are first reduced by means of areas: the same, without a copy of them in memory.
_LARGEST_WHOLE = 1024
_GREY = np.float32(color.NEUTRAL_CHROMA)
_LUMA = color.YCBCR_FROM_RGB[0].astype(np.float32)


def small_copy(frame: Frame, enlarge: bool = False) -> Array:
    """Luma of a frame, (h, w), 0..1, with 128 pixels on the short side.

    Linear interpolation over as many pixels as become one. enlarge: whether smaller frames are,
    too.
    """
    short = min(frame.height, frame.width)
    scale = max(1.0, short / _LARGEST_WHOLE)
    size = (round(frame.height / scale), round(frame.width / scale))
    luma = color.to_display(reduced(frame.pixels, size), frame.transfer) @ _LUMA
    if short <= COPY_SIDE and not enlarge:
        return np.asarray(luma, np.float32)
    height, width = (int(COPY_SIDE * side / short) for side in (frame.height, frame.width))
    whole = Image.fromarray(np.asarray(luma, np.float32))
    return np.array(whole.resize((width, height), Image.Resampling.BILINEAR))


@dataclass(frozen=True)
class SmallWeights:
    """How a frame's weights are made of its luma.

    coefficients: slopes and offsets on its small copy, (h, 2, w). copy: that copy's luma (h, w).
    """

    coefficients: Array
    copy: Array

    @staticmethod
    def of(
        copy: Array, values: Array, window: int, flat: float, shown: Array | None = None
    ) -> SmallWeights:
        """Model what was found for each place of a copy.

        copy, values: (h, w). window: side of the filter's window. flat: variance of the luma that
        counts as none. shown: how much each place counts, (h, w), 0..1; None for all alike.
        """
        guide, wanted = copy.astype(np.float64), values.astype(np.float64)
        counted = np.ones_like(guide) if shown is None else shown.astype(np.float64) + 1e-9
        total = _sum(counted, window)

        def mean(plane: NDArray[np.float64]) -> NDArray[np.float64]:
            return _sum(plane * counted, window) / total

        mean_guide, mean_wanted = mean(guide), mean(wanted)
        covariance = mean(guide * wanted) - mean_guide * mean_wanted
        variance = mean(guide * guide) - mean_guide**2
        slopes = covariance / (variance + flat)
        both = np.stack([slopes, mean_wanted - slopes * mean_guide], axis=1)
        return SmallWeights(np.asarray(both, np.float32), copy)

    def of_rows(self, luma: Array, start: int, stop: int, height: int) -> Array:
        """Weights of rows start..stop of a picture of this height, from their luma (rows, W)."""
        slopes, offsets = interpolated(self.coefficients, start, stop, (height, luma.shape[1]))
        return _weights(slopes, offsets, luma)

    def on_copy(self) -> Array:
        """Weights of the copy's places, (h, w)."""
        return _weights(self.coefficients[:, 0], self.coefficients[:, 1], self.copy)


def _weights(slopes: Array, offsets: Array, luma: Array) -> Array:
    return np.asarray(np.abs(slopes * luma + offsets) + np.float32(LEAST_WEIGHT), np.float32)


def _sum(plane: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Sum over a window around each place, of what lies inside the picture."""
    border = cv2.BORDER_CONSTANT
    return np.asarray(cv2.boxFilter(plane, -1, (window,) * 2, normalize=False, borderType=border))


def shown_on_copy(stack: Stack, number: int, copy: Array) -> Array | None:
    """How much each place of a frame's small copy may be believed: 0 where anything is hidden."""
    frame = stack.frames[number]
    mask = stack.weight(number, slice(0, frame.height))
    if mask is None:
        return None
    return np.asarray(reduced(mask, (copy.shape[0], copy.shape[1])) > _BELIEVED, np.float32)


def shares(weights: Sequence[SmallWeights]) -> list[Array]:
    """How much each frame counts where on the copies: (h, w), 0..1, together 1 everywhere."""
    raw = [own.on_copy() for own in weights]
    total = np.add.reduce(raw)
    return [np.asarray(weight / total, np.float32) for weight in raw]


def fuse_by_weights(
    stack: Stack, weights: Sequence[SmallWeights], progress: Progress | None = None
) -> Fused:
    """Mean of the frames' luma by their weights, coloured by rule (`color.fuse_chroma`).

    Masks are honoured; where all frames are masked, the reference is taken.
    Returns a display image, (H, W, 3) float32, 0..1, with the reference's metadata.
    """
    reference = stack.frames[stack.reference]
    height, width = reference.height, reference.width
    fused = np.empty((height, width, 3), np.float32)

    def work(start: int, stop: int) -> None:
        rows = slice(start, stop)
        total = np.zeros((stop - start, width), np.float32)
        sums = np.zeros_like(total)
        chromas = []
        for number, (frame, own) in enumerate(zip(stack.frames, weights, strict=True)):
            ycbcr = color.rgb_to_ycbcr(frame.display(rows))
            luma, chroma = ycbcr[:, :, 0], ycbcr[:, :, 1:]
            weight = own.of_rows(luma, start, stop, height)
            mask = stack.weight(number, rows)
            if mask is not None:
                weight *= mask
                # Grey, which counts nothing.
                chroma = (chroma - _GREY) * mask[:, :, None] + _GREY
            total += weight
            sums += weight * luma
            chromas.append(chroma)
        hidden = total == 0
        if hidden.any():
            ycbcr = color.rgb_to_ycbcr(reference.display(rows))
            total[hidden], sums[hidden] = 1, ycbcr[hidden, 0]
            chromas.append(np.where(hidden[:, :, None], ycbcr[:, :, 1:], _GREY))
        mean = np.clip(sums / total, 0, 1)
        ycbcr = np.concatenate([mean[:, :, None], color.fuse_chroma(chromas)], axis=2)
        fused[rows] = np.clip(color.ycbcr_to_rgb(ycbcr), 0, 1)

    for_each_stripe(height, width, work, progress=progress)
    return Fused(fused, "display", reference.metadata)

"""Rows of a stack's frames as display pictures, with their masks: what methods are made from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..bracket import Frame, Stack
from ..pixels import color
from ..pixels.pyramid import Plane
from ..pixels.stripes import Progress, for_each_stripe, stripes
from ..work.spill import trim


@dataclass(frozen=True)
class Photos:
    """A stack as exposures to fuse: see `exposure_fusion.Exposures`."""

    stack: Stack

    @property
    def size(self) -> tuple[int, int]:
        return self.stack.frames[0].height, self.stack.frames[0].width

    @property
    def masked(self) -> Sequence[bool]:
        if self.stack.filled:
            return [frame.opaque is not None for frame in self.stack.frames]
        masks = zip(self.stack.valid, self.stack.confidence, strict=True)
        return [valid is not None or confidence is not None for valid, confidence in masks]

    def planes(self, start: int, stop: int) -> list[list[Plane]]:
        """Rows of every frame's red, green and blue: new (rows, W) each, 0..1, finite."""
        return [display_planes(frame, slice(start, stop)) for frame in self.stack.frames]

    def pictures(self, start: int, stop: int) -> list[NDArray[np.float32]]:
        """Rows of every frame: new (rows, W, 3) float32, 0..1, finite."""
        return [display_picture(frame, slice(start, stop)) for frame in self.stack.frames]

    def shown(self, start: int, stop: int) -> list[NDArray[np.float32]]:
        """As `pictures`, but what is hidden is the mean of what other frames show: (rows, W, 3)."""
        pictures, masks = self.pictures(start, stop), self.masks(start, stop)
        if all(mask is None for mask in masks):
            return pictures
        weights = [1 if mask is None else mask[:, :, None] for mask in masks]
        total = sum(w * picture for w, picture in zip(weights, pictures, strict=True))
        mean = total / np.maximum(sum(weights), np.float32(1e-9))
        for picture, mask in zip(pictures, masks, strict=True):
            if mask is not None:
                np.copyto(picture, mean, where=mask[:, :, None] == 0)
        return pictures

    def masks(self, start: int, stop: int) -> list[Plane | None]:
        """Rows of what every frame's weight is multiplied by, (rows, W), 0..1; None for 1."""
        # A thing that moved is better fused from its own re-exposed pixels than shown at the
        # reference's exposure alone, which leaves it dull and smears the coarse levels around it.
        # What is transparent is not fused: the other photos saw what is there.
        rows = slice(start, stop)
        if self.stack.filled:
            masks = [_opacity(frame, rows) for frame in self.stack.frames]
        else:
            masks = [self.stack.weight(index, rows) for index in range(len(self.stack.frames))]
        if any(mask is None for mask in masks):
            return masks
        # Where every frame is masked, somebody has to be shown: the reference.
        nowhere = np.maximum.reduce([mask for mask in masks if mask is not None]) == 0
        reference = masks[self.stack.reference]
        assert reference is not None
        reference[nowhere] = 1
        return masks


def _opacity(frame: Frame, rows: slice) -> Plane | None:
    """Rows of a frame's opacity, 0..1; None for one without."""
    if frame.opaque is None:
        return None
    return frame.opaque[rows].astype(np.float32) * np.float32(1 / 255)


def display_planes(frame: Frame, rows: slice) -> list[Plane]:
    """Rows of a frame's red, green and blue: new float32 (rows, W) each, 0..1, finite."""
    planes = [color.to_display(plane, frame.transfer) for plane in cv2.split(frame.pixels[rows])]
    if frame.pixels.dtype == np.float32:
        return [np.nan_to_num(plane, nan=0.0) for plane in planes]
    return planes


def display_picture(frame: Frame, rows: slice) -> NDArray[np.float32]:
    """Rows of a frame: new (rows, W, 3) float32, 0..1, finite."""
    picture = frame.display(rows)
    if frame.pixels.dtype == np.float32:
        return np.nan_to_num(picture, nan=0.0)
    return picture


def split(picture: NDArray[Any]) -> list[Plane]:
    """The planes, (H, W) each, of a float32 picture (H, W, C)."""
    return [np.asarray(plane, np.float32) for plane in cv2.split(picture)]


def all_grey(frames: Iterable[Frame]) -> bool:
    """Whether no frame has any colour."""
    for frame in frames:
        for start, stop in stripes(frame.height, frame.width):
            red, green, blue = cv2.split(frame.pixels[start:stop])
            trim()
            if not (np.array_equal(red, green) and np.array_equal(green, blue)):
                return False
    return True


# Mean brightness below which a frame is black as a whole; it still has to count for something.
_BLACK = 1e-3


def favour_bright(brightness: Sequence[float]) -> list[np.float32]:
    """Factors of the frames' weights by their mean brightness, squared (Kou et al. 2017)."""
    return [np.float32(max(mean, _BLACK) ** 2) for mean in brightness]


def visible_means(
    photos: Photos,
    progress: Progress | None = None,
    value: Callable[[NDArray[np.float32]], NDArray[np.float32]] = lambda picture: picture,
) -> list[float]:
    """Mean over all unmasked pixels of every frame, 0..1 (0 where there are none).

    value: what is averaged of a picture (rows, W, 3): by default all its channels alike.
    """
    count = len(photos.stack.frames)
    sums: dict[int, NDArray[np.float64]] = {}

    def work(start: int, stop: int) -> None:
        totals, weights = np.zeros((2, count))
        masks = photos.masks(start, stop)
        for index, picture in enumerate(photos.pictures(start, stop)):
            values, mask = value(picture), masks[index]
            if mask is not None:
                values = values * (mask[:, :, None] if values.ndim == 3 else mask)
                weights[index] = mask.sum(dtype=np.float64) * values.size / mask.size
            else:
                weights[index] = values.size
            totals[index] = values.sum(dtype=np.float64)
        sums[start] = np.array([totals, weights])

    for_each_stripe(*photos.size, work, progress=progress)
    # In order, so that the rounding is the same each time.
    total, weight = sum((sums[start] for start in sorted(sums)), np.zeros((2, count)))
    return [float(mean) for mean in total / np.maximum(weight, 1e-9)]

"""For every patch of one picture a like one in another: PatchMatch, and pictures made from it.

Barnes, Shechtman, Finkelstein, Goldman: PatchMatch: A Randomized Correspondence Algorithm for
Structural Image Editing, SIGGRAPH 2009. Here all pixels take a step at once, so that good matches
spread over a few distances in every sweep; and patches of 7 x 7 pixels are compared by the lowest
frequencies of their cosine transforms, 16 numbers that hold nearly all that tells patches apart.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from .windows import erode

RADIUS = 3
_SIDE = 2 * RADIUS + 1
# Which frequencies (down, across) are kept of brightness, and of either difference of colour.
_OF_BRIGHTNESS = ((0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (2, 0), (1, 2), (2, 1), (2, 2), (0, 3))
_OF_COLOUR = ((0, 0), (0, 1), (1, 0))
# Brightness and two differences of colour, of length 1 and at right angles.
_OPPONENT = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])
_STEPS = (8, 3, 1)

Places = NDArray[np.int32]
Picture = NDArray[np.float32]


def describe(picture: Picture) -> NDArray[np.float32]:
    """Descriptors of the patch around every pixel of a picture (H, W, 3): (H, W, 16) float32."""
    places = np.arange(_SIDE)
    waves = np.cos(np.pi * (places[None] + 0.5) * places[:, None] / _SIDE)
    waves /= np.linalg.norm(waves, axis=1, keepdims=True)
    planes = cv2.split(cv2.transform(picture, _OPPONENT.astype(np.float32)))
    found = []
    for index, plane in enumerate(planes):
        for down, across in _OF_COLOUR if index else _OF_BRIGHTNESS:
            found.append(cv2.sepFilter2D(plane, cv2.CV_32F, waves[across], waves[down]))
    return np.stack([part.reshape(picture.shape[:2]) for part in found], axis=2)


@dataclass(frozen=True)
class Source:
    """A picture that patches are taken from.

    picture: (H, W, 3). usable: (H, W), whether a pixel may be used; a patch is if all its pixels
    are.
    """

    picture: Picture
    usable: NDArray[np.bool_]
    descriptors: NDArray[np.float32] = field(init=False)
    whole: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        descriptors = describe(self.picture)
        whole = erode(self.usable.astype(np.float32), RADIUS) > 0
        object.__setattr__(self, "descriptors", descriptors.reshape(-1, descriptors.shape[2]))
        object.__setattr__(self, "whole", whole.ravel())


def identity(height: int, width: int) -> Places:
    """The field that maps every pixel to itself: (2, H, W), rows and columns."""
    return np.asarray(np.indices((height, width)), np.int32)


def resized(places: Places, size: tuple[int, int]) -> Places:
    """A field for other sizes of both pictures, which have one size."""
    height, width = size
    before = places.shape[1:]
    offsets = places - identity(*before)
    nearest = [
        np.minimum(((np.arange(n) + 0.5) * old / n).astype(np.int64), old - 1)
        for n, old in zip(size, before, strict=True)
    ]
    taken = offsets[:, nearest[0][:, None], nearest[1]]
    scale = np.array([height / before[0], width / before[1]]).reshape(2, 1, 1)
    moved = identity(height, width) + np.rint(taken * scale).astype(np.int32)
    last = np.array([height - 1, width - 1]).reshape(2, 1, 1)
    return np.asarray(np.clip(moved, 0, last), np.int32)


class Search:
    """Looks for patches like those of a target in a source of the same size.

    where: (H, W), which pixels' patches are looked for; others keep what `places` says of them.
    """

    def __init__(
        self, target: Picture, source: Source, places: Places, where: NDArray[np.bool_]
    ) -> None:
        self.size = target.shape[:2]
        self.source, self.places = source, places
        self.rows, self.columns = (part.astype(np.int32) for part in np.nonzero(where))
        self.wanted = describe(target)[self.rows, self.columns]
        self.best = np.full(len(self.rows), np.inf, np.float32)
        self._try(*places[:, self.rows, self.columns])
        self._try(self.rows, self.columns)

    def run(self, sweeps: int, random: np.random.Generator) -> None:
        """Improve the places; the same each time for the same state of `random`."""
        for _ in range(sweeps):
            for step in _STEPS:
                for down, across in ((0, step), (0, -step), (step, 0), (-step, 0)):
                    self._spread(down, across)
            reach = max(self.size)
            while reach >= 1:
                jumps = random.uniform(-reach, reach, (2, len(self.rows))).astype(np.int32)
                found = self.places[:, self.rows, self.columns]
                self._try(found[0] + jumps[0], found[1] + jumps[1])
                reach //= 2

    def _spread(self, down: int, across: int) -> None:
        """Take over from a neighbour where its patch's neighbour fits better."""
        height, width = self.size
        rows = np.clip(self.rows + down, 0, height - 1)
        columns = np.clip(self.columns + across, 0, width - 1)
        of_rows, of_columns = self.places[:, rows, columns]
        self._try(of_rows + self.rows - rows, of_columns + self.columns - columns)

    def _try(self, rows: Places, columns: Places) -> None:
        height, width = self.size
        rows, columns = np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)
        index = rows * np.int32(width) + columns
        off = np.take(self.source.descriptors, index, axis=0)
        off -= self.wanted
        distance = np.einsum("nd,nd->n", off, off)
        distance[~self.source.whole[index]] = np.inf
        better = distance < self.best
        self.best[better] = distance[better]
        at = self.rows[better], self.columns[better]
        self.places[0][at], self.places[1][at] = rows[better], columns[better]


def vote(
    source: Source, places: Places, rows: NDArray[np.intp], columns: NDArray[np.intp]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What the patches that cover a pixel say of it, on the mean: (n, 3) and how many do, (n,).

    rows, columns: of the n pixels.
    """
    height, width = source.usable.shape
    total = np.zeros((len(rows), 3), np.float32)
    count = np.zeros(len(rows), np.float32)
    flat, usable = source.picture.reshape(-1, 3), source.usable.ravel()
    for down in range(-RADIUS, RADIUS + 1):
        middle_rows = np.clip(rows - down, 0, height - 1)
        for across in range(-RADIUS, RADIUS + 1):
            middle_columns = np.clip(columns - across, 0, width - 1)
            there = places[:, middle_rows, middle_columns]
            at = np.clip(there[0] + rows - middle_rows, 0, height - 1) * width
            at += np.clip(there[1] + columns - middle_columns, 0, width - 1)
            seen = usable[at].astype(np.float32)
            total += np.take(flat, at, axis=0) * seen[:, None]
            count += seen
    mean = total / np.maximum(count, 1)[:, None]
    return np.asarray(mean, np.float32), count

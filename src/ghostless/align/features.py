"""Matched features: SIFT on exposure-normalised images, evenly spread, and a robust fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .proxy import Gray, Matrix, local_normalise, overlapping_range

_CONTRAST = 0.02
_WINDOW_PIXELS = 12.0
_NOISE_CODES = 1.0
_RATIO = 0.8
_GRID = 8
_MOST_FEATURES = 3000
_MAGSAC_PIXELS = 2.0
_SEED = 20031


@dataclass(frozen=True)
class Matches:
    """Places (N, 2) float64 of the same things in both images, pixel-centre coordinates."""

    reference: NDArray[np.float64]
    moving: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.reference)

    def distances(self, matrix: Matrix) -> NDArray[np.float64]:
        """Distance in pixels between where the matrix sends each place and its match.

        (3, 3) to (n,).
        """
        if not len(self):
            return np.zeros(0)
        sent = cv2.perspectiveTransform(self.reference[None], matrix)[0]
        return np.asarray(np.hypot(*(sent - self.moving).T))


def _normalised(reference: Gray, moving: Gray) -> Iterator[tuple[NDArray[np.uint8], ...]]:
    """Yield both images in 8 bits under each of several normalisations."""
    span = overlapping_range(reference, moving)
    clipped = (np.clip(reference, *span.reference), np.clip(moving, *span.moving))
    yield tuple(
        np.clip(128 + 50 * local_normalise(image, _WINDOW_PIXELS, _NOISE_CODES)[0], 0, 255).astype(
            np.uint8
        )
        for image in clipped
    )
    yield tuple(np.asarray(cv2.equalizeHist(np.rint(image).astype(np.uint8))) for image in clipped)


def _spread(keypoints: Sequence[cv2.KeyPoint], shape: tuple[int, ...], count: int) -> list[int]:
    """Indices of `count` keypoints, taken by turns from the cells of a grid, strongest first."""
    place = np.array([k.pt for k in keypoints], np.float64)
    response = np.array([k.response for k in keypoints])
    cell = (np.minimum(place[:, 1] * _GRID / shape[0], _GRID - 1).astype(int)) * _GRID + np.minimum(
        place[:, 0] * _GRID / shape[1], _GRID - 1
    ).astype(int)
    order = np.lexsort((-response, cell))
    first = np.searchsorted(cell[order], cell[order])
    turn = np.arange(len(order)) - first
    by_turn = np.lexsort((-response[order], turn))
    return [int(i) for i in order[by_turn][:count]]


def _describe(
    image: NDArray[np.uint8],
) -> tuple[Sequence[cv2.KeyPoint], NDArray[np.float32]]:
    sift = cv2.SIFT.create(contrastThreshold=_CONTRAST)
    keypoints, words = sift.detectAndCompute(image, np.full_like(image, 255))
    if not len(keypoints):
        return (), np.zeros((0, 128), np.float32)
    # RootSIFT: Arandjelovic and Zisserman, Three things everyone should know, CVPR 2012.
    return keypoints, np.sqrt(words / (words.sum(1, keepdims=True) + 1e-6))


def _match_images(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> Matches:
    found = [_describe(first), _describe(second)]
    count = min(_MOST_FEATURES, len(found[0][0]), len(found[1][0]))
    if count < 2:
        return Matches(np.zeros((0, 2)), np.zeros((0, 2)))
    # As many in one frame as in the other: with far more of them in one frame, repeated things
    # find a wrong partner.
    (points_a, words_a), (points_b, words_b) = found
    chosen_a = _spread(points_a, first.shape, count)
    chosen_b = _spread(points_b, second.shape, count)
    places_a = np.array([points_a[i].pt for i in chosen_a])
    places_b = np.array([points_b[i].pt for i in chosen_b])
    # Of unit length, so the squared distance is 2 - 2 a.b.
    likeness = words_a[chosen_a] @ words_b[chosen_b].T
    distance = np.sqrt(np.maximum(2 - 2 * likeness, 0))
    nearest = distance.argmin(1)
    mutual = distance.argmin(0)[nearest] == np.arange(count)
    two = np.partition(distance, 1, axis=1)[:, :2]
    good = mutual & (two[:, 0] < _RATIO * two[:, 1])
    return Matches(places_a[good], places_b[nearest[good]])


def match_features(reference: Gray, moving: Gray) -> Matches:
    """Match features of two grey images (h, w), 0..255, of different exposure.

    SIFT (Lowe 2004) runs on locally normalised and on equalised images, both without the tones that
    one of the two clips; matches are mutual and pass Lowe's ratio test, and are pooled.
    """
    parts = [_match_images(a, b) for a, b in _normalised(reference, moving)]
    return Matches(
        np.concatenate([p.reference for p in parts]), np.concatenate([p.moving for p in parts])
    )


def fit_homography(matches: Matches) -> Matrix | None:
    """Fit a homography (3, 3) by MAGSAC++ (Barath et al., CVPR 2020), seeded.

    Returns None where there are too few matches or no consensus among them.
    """
    if len(matches) < 8:
        return None
    cv2.setRNGSeed(_SEED)
    matrix, inliers = cv2.findHomography(
        matches.reference.astype(np.float32),
        matches.moving.astype(np.float32),
        cv2.USAC_MAGSAC,
        _MAGSAC_PIXELS,
        maxIters=5000,
        confidence=0.999,
    )
    if matrix is None or int(np.count_nonzero(inliers)) < 6 or not np.isfinite(matrix).all():
        return None
    return np.asarray(matrix, np.float64)

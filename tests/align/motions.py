"""Scenes seen under known motions, for the tests of alignment."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from ghostless.bracket import Bracket, Frame
from tests.scenes import Radiance, expose

MARGIN = 40


def corner_homography(
    height: int, width: int, moves: Sequence[Sequence[float]]
) -> NDArray[np.float64]:
    """Homography (3, 3) that moves the four corners (clockwise from the top left) by (dx, dy)."""
    corners = np.array(
        [[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], np.float32
    )
    moved = corners + np.asarray(moves, np.float32)
    return cv2.getPerspectiveTransform(corners, moved).astype(np.float64)


def shift_matrix(dx: float, dy: float) -> NDArray[np.float64]:
    """Matrix (3, 3) of a shift."""
    return np.array([[1, 0, dx], [0, 1, dy], [0, 0, 1]], np.float64)


def seen_from(radiance: Radiance, matrix: NDArray[np.float64]) -> Radiance:
    """What the moved camera sees: its pixel matrix x shows what the reference's x shows.

    radiance has MARGIN more pixels on each side than the frame, so that no border shows.
    """
    height, width = (side - 2 * MARGIN for side in radiance.shape[:2])
    from_frame = shift_matrix(MARGIN, MARGIN) @ np.linalg.inv(matrix)
    moved = cv2.warpPerspective(
        np.log2(radiance + np.float32(1e-4)),
        from_frame,
        (width, height),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
    )
    return np.exp2(moved).astype(np.float32)


def shaken_bracket(
    radiance: Radiance,
    stops: Sequence[float],
    matrices: Sequence[NDArray[np.float64]],
    *,
    known: bool = False,
    noise: float = 0.0,
    depth: int = 8,
    linear: bool = False,
) -> Bracket:
    """Frames of a scene (with margins), one exposure and one motion each."""
    frames = []
    for index, (ev, matrix) in enumerate(zip(stops, matrices, strict=True)):
        seen = seen_from(radiance, matrix)
        pixels = expose(seen, ev, depth=depth, noise=noise, linear=linear, seed=index)
        frames.append(
            Frame(
                pixels,
                transfer="linear" if linear else "srgb",
                stops=float(ev) if known else None,
            )
        )
    return Bracket(tuple(frames))


def corner_errors(
    estimate: NDArray[np.float64], truth: NDArray[np.float64], shape: tuple[int, ...]
) -> NDArray[np.float64]:
    """Distances (4,) between where two matrices send an image's corners."""
    right, bottom = shape[1] - 1, shape[0] - 1
    corners = np.array([[[0, 0], [right, 0], [right, bottom], [0, bottom]]], np.float64)
    apart = cv2.perspectiveTransform(corners, estimate) - cv2.perspectiveTransform(corners, truth)
    return np.hypot(apart[0, :, 0], apart[0, :, 1])

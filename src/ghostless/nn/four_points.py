"""What the homography network is shown and what its answer means, on arrays.

Median threshold bitmaps (Ward, Journal of Graphics Tools 2003) and the geometry of four points.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SIDE_PIXELS = 256

# Ward 2003: medians at the ends of the scale make noisy bitmaps of clipped tones.
DARKEST_THRESHOLD, BRIGHTEST_THRESHOLD = 20, 235
QUANTILES = (0.5, *(0.5 + sign * step / 20 for step in range(1, 9) for sign in (-1, 1)))
# Pixel centres (4, 2) of the top left, top right, bottom right and bottom left corner.
CORNERS = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float64) * (SIDE_PIXELS - 1)


def grey_for_bitmaps(display: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Grey levels 0..255 (H, W) of display RGB (H, W, 3), 0..1, with Ward's integer weights."""
    codes = np.rint(display * 255).astype(np.int32)
    grey: NDArray[np.int32] = (codes @ np.array([54, 183, 19], np.int32)) >> 8
    return grey.astype(np.uint8)


def bitmap_thresholds(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> tuple[int, int]:
    """Grey levels that cut two exposures of one scene at the same quantile. Planes (H, W).

    The median; where one of the two medians is at most 20 or at least 235, the quantile nearest to
    it at which neither is, or at which they are least so.
    """
    shares = [
        np.cumsum(np.bincount(grey.ravel(), minlength=256)) / grey.size for grey in (first, second)
    ]

    def thresholds(quantile: float) -> tuple[int, int]:
        one, other = (int(np.searchsorted(share, quantile)) for share in shares)
        return one, other

    def excess(quantile: float) -> int:
        return sum(
            max(0, DARKEST_THRESHOLD + 1 - level) + max(0, level - BRIGHTEST_THRESHOLD + 1)
            for level in thresholds(quantile)
        )

    return thresholds(min(QUANTILES, key=excess))  # the first of equals, so the nearest to 0.5


def median_threshold_bitmaps(
    first: NDArray[np.uint8], second: NDArray[np.uint8]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Bitmaps of two grey exposures (H, W): where each is brighter than the common quantile."""
    one, other = bitmap_thresholds(first, second)
    return first > one, second > other


def network_planes(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """Join two display images (256, 256, 3), 0..1, and their bitmaps to (1, 8, 256, 256).

    first: the darker exposure, onto which the second is to be brought.
    """
    bitmaps = median_threshold_bitmaps(grey_for_bitmaps(first), grey_for_bitmaps(second))
    planes = [first * 2 - 1, second * 2 - 1, *(b[:, :, None].astype(np.float32) for b in bitmaps)]
    joined = np.concatenate(planes, axis=2, dtype=np.float32)
    return np.ascontiguousarray(joined.transpose(2, 0, 1)[None])


def homography_of_offsets(offsets: NDArray[np.float64]) -> NDArray[np.float64]:
    """The homography (3, 3) that moves each of `CORNERS` by its offset (4, 2).

    The direct linear transform: eight equations for eight unknowns, the ninth element being 1.
    """
    rows, values = [], []
    for (x, y), (u, v) in zip(CORNERS, CORNERS + offsets, strict=True):
        rows.append([x, y, 1, 0, 0, 0, -u * x, -u * y])
        rows.append([0, 0, 0, x, y, 1, -v * x, -v * y])
        values += [u, v]
    solution = np.linalg.solve(np.array(rows), np.array(values))
    return np.append(solution, 1.0).reshape(3, 3)


def is_convex(quadrilateral: NDArray[np.float64]) -> bool:
    """Whether four corners (4, 2), in the order of `corners`, make a convex unfolded quad."""
    edges = np.roll(quadrilateral, -1, axis=0) - quadrilateral
    following = np.roll(edges, -1, axis=0)
    turns = edges[:, 0] * following[:, 1] - edges[:, 1] * following[:, 0]
    return bool(np.isfinite(turns).all() and (turns > 0).all())


def rescale_homography(
    matrix: NDArray[np.float64], old: tuple[int, int], new: tuple[int, int]
) -> NDArray[np.float64]:
    """Return a homography between images of size `new` (width, height) from one for size `old`.
    (3, 3) to (3, 3).

    Pixel centres are at whole numbers, so x_old = (x_new + 0.5) * old / new - 0.5 on both sides.
    """
    scale_x, scale_y = old[0] / new[0], old[1] / new[1]
    to_old = np.array([[scale_x, 0, (scale_x - 1) / 2], [0, scale_y, (scale_y - 1) / 2], [0, 0, 1]])
    scaled = np.linalg.solve(to_old, matrix @ to_old)
    return np.asarray(scaled / scaled[2, 2], dtype=np.float64)

"""Registration by the homography network, accepted only where it helps.

The network sees two exposures at 256 x 256 pixels, so its homography is a coarse one: a start for
refinement. It looks again, a few times, at the pair as its answer so far brings it together, each
time at the pair mirrored, too, which the paper does not. The answer is taken only if the
quadrilateral is convex and the median threshold bitmaps of the two frames differ less after it than
before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from ..bracket import Frame, Registration
from ..nn.four_points import (
    CORNERS,
    SIDE_PIXELS,
    bitmap_thresholds,
    grey_for_bitmaps,
    homography_of_offsets,
    is_convex,
    network_planes,
    rescale_homography,
)
from ..nn.graphs import load_graphs, use_graphs
from ..nn.settings import NetworkSettings, needs_torch_extra
from ..nn.weights import has_weights, load_network
from ..pixels import color
from ..settings import Range, check_settings
from ..work.packages import is_installed

NETWORK = "chen-chuang-homography"
# From the planes (1, 8, 256, 256) of `network_planes` to the offsets of the corners, 8 numbers.
Answer = Callable[[NDArray[np.float32]], NDArray[Any]]

# On moved pairs of still photos a sixth look gains nothing in the median.
PASSES = 5
# Corners of a quadrilateral, in the order of `CORNERS`, after it is mirrored.
_LEFT_RIGHT, _UP_DOWN = [1, 0, 3, 2], [3, 2, 1, 0]
# Side of the frames on which the two bitmaps are compared.
_CHECK_SIDE_PIXELS = 768
# Share of differing bits that the homography must remove: less is within the noise of the count.
_LEAST_IMPROVEMENT = 0.02
# Grey levels this close to the threshold say nothing (Ward 2003's exclusion bitmap).
_EXCLUDED_LEVELS = 4
# Share of the frame that must still be covered after warping.
_LEAST_OVERLAP = 0.5


@dataclass(frozen=True, kw_only=True)
class HomographyNetSettings(NetworkSettings):
    """How to run the homography network as an aligner, besides the fields of every network.

    passes: how often it looks; the paper's network does once.
    mirrored: look at the pair mirrored left to right, upside down and both, too, and take the mean
        of the four answers; the paper does not.
    """

    passes: Annotated[int, Range(1, 20)] = PASSES
    mirrored: bool = True

    def __post_init__(self) -> None:
        check_settings(self)


def register_by_network(
    reference: Frame, frame: Frame, settings: HomographyNetSettings | None = None
) -> Registration:
    """Estimate the homography that brings a frame onto the reference.

    reference, frame: of one size and any exposures.
    Returns a Registration of model "homography", or of model "identity" with a note where the
    network's answer does not pass: then classical features should be tried. `improvement` is the
    share of differing bitmap pixels that went. Raises WeightsError while there are no weights and
    MissingPackageError where neither torch nor onnxruntime is installed.
    """
    settings = settings or HomographyNetSettings()
    return register_with(load(settings), reference, frame, settings.passes)


def load(settings: HomographyNetSettings) -> Answer:
    """The network as the settings ask, for `register_with`, with torch or as graphs."""
    network = _load(settings)
    return mean_of_mirrored(network) if settings.mirrored else network


def mean_of_mirrored(network: Answer) -> Answer:
    """A network that answers the mean of what another says to a pair and its three mirror images.

    What it gets wrong in one image it gets wrong differently in another.
    """

    def answer(planes: NDArray[np.float32]) -> NDArray[Any]:
        answers = []
        for left_right in (False, True):
            for up_down in (False, True):
                rows, columns = (
                    slice(None, None, -1 if turn else 1) for turn in (up_down, left_right)
                )
                seen = np.ascontiguousarray(planes[:, :, rows, columns])
                offsets = np.asarray(network(seen), np.float64).reshape(4, 2)
                if left_right:
                    offsets = offsets[_LEFT_RIGHT] * (-1, 1)
                if up_down:
                    offsets = offsets[_UP_DOWN] * (1, -1)
                answers.append(offsets)
        mean: NDArray[np.float64] = np.mean(answers, axis=0).reshape(1, 8)
        return mean

    return answer


def _load(settings: HomographyNetSettings) -> Answer:
    if use_graphs(NETWORK):
        graphs = load_graphs(NETWORK, settings)
        side = (SIDE_PIXELS, SIDE_PIXELS)
        return lambda planes: graphs.run({"pair": planes}, side)["offsets"]
    with needs_torch_extra("align 'network'"):
        from ..nn.homography import HOMOGRAPHY, answer_with

    network = load_network(HOMOGRAPHY, settings).network
    return lambda planes: answer_with(network, planes)


def is_ready() -> bool:
    """Tell whether the network's weights ship with this version and what it runs with is here."""
    runtime = "onnxruntime" if use_graphs(NETWORK) else "torch"
    return has_weights(NETWORK) and is_installed(runtime)


def answer_of(
    network: Answer, reference: Frame, frame: Frame, passes: int = PASSES
) -> NDArray[np.float64] | None:
    """What the network says, unchecked: (3, 3), of full-size pixels; None for a folded answer."""
    side = (SIDE_PIXELS, SIDE_PIXELS)
    images = [_small(image, side) for image in (reference, frame)]
    # The network is trained with the darker image first.
    swapped = float(images[0].mean()) > float(images[1].mean())
    dark, bright = images[::-1] if swapped else images
    matrix: NDArray[np.float64] = np.eye(3)
    seen = bright
    for number in range(passes):
        if number:
            how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            repeated = cv2.BORDER_REPLICATE
            seen = cast(
                NDArray[np.float32],
                cv2.warpPerspective(bright, matrix, side, flags=how, borderMode=repeated),
            )
        offsets = network(network_planes(dark, seen)).astype(np.float64).reshape(4, 2)
        if not is_convex(CORNERS + offsets):
            return None
        matrix = matrix @ homography_of_offsets(offsets)
        matrix /= matrix[2, 2]
        moved = cv2.perspectiveTransform(CORNERS[None], matrix)[0]
        if not is_convex(np.asarray(moved, np.float64)):
            return None
    if swapped:
        matrix = np.asarray(np.linalg.inv(matrix), np.float64)
    return rescale_homography(matrix, side, (reference.width, reference.height))


def bitmaps_that_differ(
    reference: Frame, frame: Frame, matrix: NDArray[np.float64]
) -> tuple[float, float, float]:
    """How far the median threshold bitmaps of two frames differ: the paper's XOR.

    matrix: (3, 3); takes pixel centres of the reference to those of the frame. Returns the shares
    of differing pixels before and after warping by it, and the share that it leaves covered.
    """
    size = (reference.width, reference.height)
    return _disagreement(reference, frame, rescale_homography(matrix, size, _check_size(size)))


def register_with(
    network: Answer, reference: Frame, frame: Frame, passes: int = PASSES
) -> Registration:
    """Like `register_by_network`, with a network in hand."""
    matrix = answer_of(network, reference, frame, passes)
    if matrix is None:
        return _rejected("its quadrilateral is folded")
    before, after, overlap = bitmaps_that_differ(reference, frame, matrix)
    if overlap < _LEAST_OVERLAP:
        return _rejected(f"it leaves {overlap:.0%} of the frame covered")
    if not after < before * (1 - _LEAST_IMPROVEMENT):
        return _rejected(f"bitmaps differ in {after:.1%} of pixels after it, {before:.1%} before")
    return Registration(
        model="homography",
        matrix=matrix,
        improvement=1 - after / before,
    )


def _rejected(reason: str) -> Registration:
    note = f"homography network not followed: {reason}"
    return Registration(model="identity", matrix=np.eye(3), notes=(note,))


def _small(frame: Frame, size: tuple[int, int]) -> NDArray[np.float32]:
    """Display values (h, w, 3), 0..1, of a frame resized to (width, height)."""
    small = cv2.resize(frame.pixels, size, interpolation=cv2.INTER_AREA)
    return color.to_display(np.asarray(small), frame.transfer)


def _check_size(size: tuple[int, int]) -> tuple[int, int]:
    scale = min(1.0, _CHECK_SIDE_PIXELS / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _disagreement(
    reference: Frame, frame: Frame, matrix: NDArray[np.float64]
) -> tuple[float, float, float]:
    """Shares of differing bitmap pixels before and after warping, and the share covered.

    Both counted where the warped frame has pixels, and in tones away from the thresholds.
    """
    size = _check_size((reference.width, reference.height))
    still, moving = (grey_for_bitmaps(_small(image, size)) for image in (reference, frame))
    levels = bitmap_thresholds(still, moving)
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpPerspective(moving, matrix, size, flags=how, borderMode=cv2.BORDER_REPLICATE)
    covered = cv2.warpPerspective(np.full_like(moving, 255), matrix, size, flags=how) == 255

    def share(other: NDArray[np.uint8]) -> float:
        pairs = [(still, levels[0]), (other, levels[1])]
        clear = covered.copy()
        for grey, level in pairs:
            clear &= np.abs(grey.astype(np.int16) - level) > _EXCLUDED_LEVELS
        first, second = (grey > level for grey, level in pairs)
        return int(np.count_nonzero((first ^ second) & clear)) / max(1, int(clear.sum()))

    return share(moving), share(np.asarray(warped)), float(covered.mean())

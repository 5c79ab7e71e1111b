"""Fusing any number of frames with a method that takes two: which two next.

A result's brightness lies between those of its two sources, and every pass through a network costs
some sharpness, so the order matters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..bracket import Frame
from ..errors import OptionError
from ..pixels.stripes import Progress, part

Image = TypeVar("Image")
FusePair = Callable[[Frame, Frame, Progress | None], NDArray[np.float32]]
PairOrder = Literal["mirrored", "neighbours", "sequential", "extremes"]

PAIR_ORDERS = ("mirrored", "neighbours", "sequential", "extremes")


def check_pair_order(order: str) -> None:
    """Raise OptionError unless `order` names an order of fusing."""
    if order not in PAIR_ORDERS:
        raise OptionError(f"order: expected one of {', '.join(PAIR_ORDERS)}, found {order!r}")


def fuse_in_turn(
    images: Sequence[Image],
    fuse_pair: Callable[[Image, Image], Image],
    brightness: Callable[[Image], float],
    order: PairOrder = "mirrored",
    progress: Callable[[float], None] | None = None,
) -> Image:
    """Fuse two or more images, dark to bright, with a function of a darker and a brighter one.

    order:
        "mirrored": the darkest with the brightest, the second darkest with the second brightest
            and so on, a middle one waiting; then the results likewise. These are the pairs
            (i, N - i + 1) that the networks are trained on, and no frame passes through the
            network more than about log2(N) times.
        "neighbours": pairs of neighbours in brightness, then pairs of the results: small gaps.
        "sequential": the darkest with the next, the result with the next, and so on; what papers
            propose for more than two frames. The darkest frame passes N - 1 times.
        "extremes": the darkest with the brightest and nothing else.
    brightness: of an image; tells the darker of two results.
    """
    check_pair_order(order)
    waiting = list(images)
    if len(waiting) < 2:
        raise ValueError(f"expected at least two images, found {len(waiting)}")
    if order == "extremes":
        waiting = [waiting[0], waiting[-1]]
    total = len(waiting) - 1
    done = 0
    while len(waiting) > 1:
        pairs, results = _pairs(waiting, order)
        waiting.clear()  # a frame that has been fused may be let go of
        while pairs:
            first, second = pairs.pop(0)
            darker_first = brightness(first) <= brightness(second)
            result = fuse_pair(first, second) if darker_first else fuse_pair(second, first)
            if order == "sequential":
                results.insert(0, result)
            else:
                results.append(result)
            done += 1
            if progress is not None:
                progress(done / total)
        waiting = results if order == "sequential" else sorted(results, key=brightness)
    return waiting[0]


def fuse_frames_in_turn(
    frames: Sequence[Frame],
    fuse_pair: FusePair,
    order: PairOrder = "mirrored",
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """Fuse two or more frames, dark to bright, to display values (H, W, 3), 0..1.

    fuse_pair: of a darker frame, a brighter one, and a progress function or None, to display
        values. Results on the way are kept in 16 bits: half the memory, and far finer than frames.
    """
    count = 1 if order == "extremes" else len(frames) - 1
    done = 0
    last: list[NDArray[np.float32]] = []

    def fuse(darker: Frame, brighter: Frame) -> Frame:
        nonlocal done
        fused = fuse_pair(darker, brighter, part(progress, done / count, (done + 1) / count))
        done += 1
        if done == count:
            last.append(fused)
            return Frame(fused)
        return Frame(to_16_bits(fused))

    fuse_in_turn(frames, fuse, brightness, order)
    return last[0]


def brightness(frame: Frame) -> float:
    """Mean display value of a sample of about 256 rows of a frame."""
    return float(frame.display(slice(None, None, max(1, frame.height // 256))).mean())


def to_16_bits(display: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Display values (H, W, 3), 0..1, as 16-bit codes, a few rows at a time."""
    codes = np.empty(display.shape, np.uint16)
    for start in range(0, len(display), 256):
        rows = slice(start, start + 256)
        codes[rows] = np.rint(np.clip(display[rows], 0, 1) * 65535)
    return codes


def _pairs(
    images: Sequence[Image], order: PairOrder
) -> tuple[list[tuple[Image, Image]], list[Image]]:
    """Divide images, dark to bright, into pairs to fuse now and images that wait."""
    count = len(images)
    if order == "sequential":
        return [(images[0], images[1])], list(images[2:])
    if order == "neighbours":
        pairs = [(images[i], images[i + 1]) for i in range(0, count - 1, 2)]
        return pairs, list(images[-1:]) if count % 2 else []
    pairs = [(images[i], images[count - 1 - i]) for i in range(count // 2)]
    return pairs, [images[count // 2]] if count % 2 else []

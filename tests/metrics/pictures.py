"""Small pictures for the tests of metrics."""

from __future__ import annotations

import cv2
import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests import scenes

Bytes = NDArray[np.uint8]


def photo(height: int, width: int, stops: float = 0.0, seed: int = 0) -> Bytes:
    """A synthetic photo at an exposure."""
    return scenes.expose(scenes.make_radiance(height, width, seed=seed), stops)  # type: ignore[return-value]


def fused_by_opencv(frames: tuple[Bytes, ...]) -> Bytes:
    """Exposure fusion by OpenCV, only as something plausible to score."""
    result = cv2.createMergeMertens().process(list(frames))
    return np.clip(np.rint(result * 255), 0, 255).astype(np.uint8)


def noisy(image: Bytes, sigma: float, seed: int = 0) -> Bytes:
    """The image with Gaussian noise of sigma levels."""
    noise = np.random.default_rng(seed).normal(0, sigma, image.shape)
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


def _picture(kind: str, height: int, width: int, seed: int) -> Bytes:
    random = np.random.default_rng(seed)
    shape = (height, width, 3)
    if kind == "constant":
        return np.full(shape, random.integers(0, 256), np.uint8)
    if kind == "noise":
        return random.integers(0, 256, shape).astype(np.uint8)
    if kind == "black and white":
        return (255 * random.integers(0, 2, shape)).astype(np.uint8)
    if kind == "blocks":
        blocks = random.integers(0, 256, (height // 5 + 1, width // 5 + 1, 3))
        return np.repeat(np.repeat(blocks, 5, 0), 5, 1)[:height, :width].astype(np.uint8)
    if kind == "grey ramp":
        ramp = np.linspace(0, 255, width).astype(np.uint8)
        return np.ascontiguousarray(np.broadcast_to(ramp[None, :, None], shape))
    dot = np.zeros(shape, np.uint8)
    dot[height // 2, width // 2] = 255
    return dot


KINDS = ["constant", "noise", "black and white", "blocks", "grey ramp", "dot"]


@st.composite
def picture_sets(draw: st.DrawFn, count: int, largest: int = 64) -> tuple[Bytes, ...]:
    """Pictures of one random size, each of a random kind; equal ones are likely."""
    height, width = draw(st.integers(1, largest)), draw(st.integers(1, largest))
    return tuple(
        _picture(draw(st.sampled_from(KINDS)), height, width, draw(st.integers(0, 2)))
        for _ in range(count)
    )

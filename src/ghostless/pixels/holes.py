"""Filling what is not known of a picture smoothly from what is, for what must not see an edge."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .stripes import for_each_stripe

Floats = NDArray[np.float32]

_PROXY_PIXELS = 500_000
# A reduced pixel of which less than this is known is left to its neighbours.
_LEAST_SHARE = 0.25


def pull_push(weighted: Floats, weight: Floats) -> Floats:
    """Fill in by pyramid: weighted sums (h, w, 3) and weights (h, w); holes take coarser means."""
    mean = weighted / np.maximum(weight, np.float32(1e-9))[..., None]
    height, width = weight.shape
    if min(height, width) <= 2:
        total = max(float(weight.sum()), 1e-9)
        flat = weighted.reshape(-1, 3).sum(axis=0) / np.float32(total)
        coarse = np.broadcast_to(flat, weighted.shape)
    else:
        half = ((width + 1) // 2, (height + 1) // 2)
        # Weights add up from level to level, until an area counts as fully seen.
        small_weight = np.asarray(
            cv2.resize(weight, half, interpolation=cv2.INTER_AREA), np.float32
        )
        small = np.asarray(cv2.resize(weighted, half, interpolation=cv2.INTER_AREA), np.float32)
        gain = np.minimum(np.float32(4), 1 / np.maximum(small_weight, np.float32(1e-9)))
        filled = pull_push(small * gain[..., None], small_weight * gain)
        coarse = cv2.resize(filled, (width, height), interpolation=cv2.INTER_LINEAR)
    share = np.minimum(weight, 1)[..., None]
    return np.asarray(mean * share + coarse * (1 - share), np.float32)


def fill_holes(pixels: NDArray[Any], known: NDArray[np.uint8]) -> None:
    """Fill pixels (H, W, 3) in place where `known` (H, W) is 0, smoothly from where it is not.

    So a hole has neither texture nor edges, and nothing that measures the picture finds any there.
    """
    holes = known == 0
    if not holes.any() or holes.all():
        return
    height, width = holes.shape
    pixels[holes] = 0
    scale = min(1.0, (_PROXY_PIXELS / (height * width)) ** 0.5)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    share = cv2.resize((~holes).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    sums = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    seen = (share > _LEAST_SHARE).astype(np.float32)
    sums *= (seen / np.maximum(share, np.float32(_LEAST_SHARE)))[..., None]
    smooth = pull_push(sums, seen)
    x = np.arange(width, dtype=np.float32)[None] + np.float32(0.5)
    x = x * np.float32(size[0] / width) - np.float32(0.5)

    def work(start: int, stop: int) -> None:
        inside = holes[start:stop]
        if not inside.any():
            return
        y = np.arange(start, stop, dtype=np.float32)[:, None] + np.float32(0.5)
        y = y * np.float32(size[1] / height) - np.float32(0.5)
        places = (np.broadcast_to(x, inside.shape), np.broadcast_to(y, inside.shape))
        values = cv2.remap(
            smooth,
            np.ascontiguousarray(places[0]),
            np.ascontiguousarray(places[1]),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )[inside]
        if pixels.dtype != np.float32:
            values = np.rint(np.clip(values, 0, np.iinfo(pixels.dtype).max))
        pixels[start:stop][inside] = values.astype(pixels.dtype)

    for_each_stripe(height, width, work)

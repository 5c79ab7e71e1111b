"""Fusing with Chen & Chuang's network of nn/chen_chuang.py: registered by another if so asked.

Pairs of any size; more frames in turn.
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from ..bracket import Frame, Fused, Pixels, Stack
from ..nn.regions import check_finite
from ..pixels.stripes import Progress
from .pairs import fuse_pairs
from .settings import ChenChuangSettings


def fuse(stack: Stack, settings: ChenChuangSettings, progress: Progress | None = None) -> Fused:
    """Fuse two or more frames, dark to bright, into a display image of the darkest's geometry.

    See `pairs.fuse_pairs`; what disagrees with the darkest frame is judged by the attention.
    """
    check_finite(stack.frames)
    frames, notes = registered(stack, settings)
    return fuse_pairs(
        replace(stack, frames=tuple(frames)),
        settings,
        "chen-chuang",
        notes=notes,
        progress=progress,
    )


def registered(stack: Stack, settings: ChenChuangSettings) -> tuple[list[Frame], tuple[str, ...]]:
    """Bring the brighter frames onto the darkest with the homography network, if so set."""
    wanted = settings.homography == "on"
    if settings.homography == "auto" and not stack.registrations:
        wanted = settings.homography_weights is not None
    if not wanted:
        return list(stack.frames), ()
    from ..align.homography_net import (
        HomographyNetSettings,
        answer_of,
        load,
        register_by_network,
    )

    how = HomographyNetSettings(
        weights=settings.homography_weights,
        device=settings.device,
        precision=settings.precision,
        compile=settings.compile,
        passes=settings.homography_passes,
        mirrored=settings.homography_mirrored,
    )
    darkest = stack.frames[0]
    frames: list[Frame] = [darkest]
    notes: list[str] = []
    for frame in stack.frames[1:]:
        if not settings.homography_check:
            answer = answer_of(load(how), darkest, frame, settings.homography_passes)
            if answer is None:
                notes.append(f"{frame.name}: the homography network's answer folds; left as it was")
            frames.append(frame if answer is None else _warped(frame, answer))
            continue
        found = register_by_network(darkest, frame, how)
        notes.extend(f"{frame.name}: {note}" for note in found.notes)
        frames.append(frame if found.model == "identity" else _warped(frame, found.matrix))
    return frames, tuple(notes)


def _warped(frame: Frame, matrix: NDArray[np.float64]) -> Frame:
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = (frame.width, frame.height)
    pixels = cv2.warpPerspective(
        frame.pixels, matrix, size, flags=how, borderMode=cv2.BORDER_REPLICATE
    )
    return replace(frame, pixels=cast(Pixels, pixels))

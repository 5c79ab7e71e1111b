"""Pieces of photos that move through others, where the truth is known."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...bracket import Frame, Pixels
from ...pixels import color
from .with_and_without import (
    Flags,
)

# Longest side of a piece, as a share of the picture's shorter side.
SIZES = (0.08, 0.30)
EDGE_PIXELS = (1.0, 4.0)
# How far a piece goes from one exposure to the next, in its own lengths: from half behind itself to
# well away.
STEPS = (0.3, 1.6)
# Smaller differences between the moving and the still bracket, in codes of 8 bits, are not seen.
VISIBLE_CODES = 4.0
# A piece is taken if so much of it stands out from what it covers, in every exposure: a thing as
# black as its surroundings makes no ghost.
_VISIBLE_SHARE = 0.25
_TRIES = 100

Share = NDArray[np.float32]
Place = tuple[int, int]
Frames = tuple[Frame, ...]


@dataclass(frozen=True)
class Piece:
    """Something cut out of a still bracket, and where each exposure shows it.

    source: the bracket that it was cut out of.
    views: (h, w, 3), how each exposure sees it, in the order of the frames.
    cover: (h, w) float32, 1 inside, 0 outside, soft between.
    places: left and top of it in each frame.
    """

    source: str
    views: tuple[Pixels, ...]
    cover: Share
    places: tuple[Place, ...]

    def lay(self, frame: Frame, index: int, place: Place) -> Frame:
        """Return frame `index` of the bracket with its own view of the piece at a place.

        The soft edge mixes light, as a lens does.
        """
        left, top = place
        height, width = self.cover.shape
        pixels = frame.pixels.copy()
        under = pixels[top : top + height, left : left + width]
        cover = self.cover[..., None]
        light = cover * color.to_linear(self.views[index], frame.transfer)
        light += (1 - cover) * color.to_linear(under, frame.transfer)
        mixed = _coded(light, frame)
        mixed = np.where(cover >= 1, self.views[index], np.where(cover <= 0, under, mixed))
        pixels[top : top + height, left : left + width] = mixed
        return replace(frame, pixels=pixels)


def make_piece(frames: Frames, cut_from: Frames, source: str, random: np.random.Generator) -> Piece:
    """Cut a random piece out of one bracket and find it a place in each frame of another.

    frames, cut_from: two brackets alike, or the same one. Of several tries the first is taken that
    stands out from what it covers, or else the one that stands out most.
    """
    shorter = min(frames[0].height, frames[0].width)
    room = min(shorter, cut_from[0].height, cut_from[0].width)
    best, most = None, -1.0
    for _ in range(_TRIES):
        length = min(random.uniform(*SIZES) * shorter, 0.6 * room)
        cover = make_cover(length, random.uniform(*EDGE_PIXELS), random)
        height, width = cover.shape
        left, top = _random_place(cut_from[0], cover, random)
        views = tuple(
            frame.pixels[top : top + height, left : left + width].copy() for frame in cut_from
        )
        piece = Piece(source, views, cover, _path(frames[0], cover, len(frames), length, random))
        seen = min(_visible_share(piece, frame, index) for index, frame in enumerate(frames))
        if seen > most:
            best, most = piece, seen
        if most >= _VISIBLE_SHARE:
            break
    assert best is not None
    return best


def make_cover(length: float, edge_pixels: float, random: np.random.Generator) -> Share:
    """Draw a random blob with a soft edge: (h, w) float32, 0 at the border.

    length: its longest extent in pixels. edge_pixels: from inside to outside, about.
    """
    angles = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    radius = np.ones_like(angles)
    for wave in range(2, 8):
        radius += random.uniform(0, 0.5 / wave) * np.cos(wave * angles + random.uniform(0, 7))
    radius *= 1 + 0.03 * random.standard_normal(len(angles))
    outline = np.stack([radius * np.cos(angles), radius * np.sin(angles)], axis=1)
    outline[:, 1] *= random.uniform(0.4, 1.0)
    turn = random.uniform(0, 2 * np.pi)
    outline = outline @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    outline -= outline.min(axis=0)
    outline *= length / outline.max()
    margin = math.ceil(edge_pixels) + 2
    width, height = np.ceil(outline.max(axis=0)).astype(int) + 2 * margin + 1
    inside = np.zeros((height, width), np.uint8)
    fixed = np.rint((outline + margin) * 16).astype(np.int32)
    cv2.fillPoly(inside, [fixed], 255, cv2.LINE_AA, 4)
    # From 5 to 95 %, the edge of a blurred step is 3.3 standard deviations wide.
    soft = cv2.GaussianBlur(inside.astype(np.float32) / 255, (0, 0), edge_pixels / 3.3)
    soft = np.clip((soft - 0.01) / 0.98, 0, 1).astype(np.float32)
    soft[[0, -1], :] = soft[:, [0, -1]] = 0
    return np.asarray(soft)


def _random_place(frame: Frame, cover: Share, random: np.random.Generator) -> Place:
    return (
        int(random.integers(0, frame.width - cover.shape[1] + 1)),
        int(random.integers(0, frame.height - cover.shape[0] + 1)),
    )


def _path(
    frame: Frame, cover: Share, count: int, length: float, random: np.random.Generator
) -> tuple[Place, ...]:
    """Walk through a picture: a place for each exposure, all of them inside."""
    places = [_random_place(frame, cover, random)]
    direction = random.uniform(0, 2 * np.pi)
    most = np.array([frame.width - cover.shape[1], frame.height - cover.shape[0]])
    while len(places) < count:
        for _ in range(_TRIES):
            turned = direction + random.normal(0, 0.5)
            step = length * random.uniform(*STEPS)
            to = np.rint(places[-1] + step * np.array([np.cos(turned), np.sin(turned)]))
            if (to >= 0).all() and (to <= most).all():
                break
            direction = random.uniform(0, 2 * np.pi)
        direction = turned
        to = np.clip(to, 0, most).astype(int)
        places.append((int(to[0]), int(to[1])))
    return tuple(places)


def _visible_share(piece: Piece, frame: Frame, index: int) -> float:
    """Share of a piece that stands out from what it covers in a frame."""
    left, top = piece.places[index]
    height, width = piece.cover.shape
    under = replace(frame, pixels=frame.pixels[top : top + height, left : left + width])
    seen = differs(replace(under, pixels=piece.views[index]), under)
    return float(seen[piece.cover > 0.5].mean())


def differs(one: Frame, other: Frame) -> Flags:
    """Where two frames visibly differ, (H, W): their codes, a little blurred, in any channel."""
    codes = [
        cv2.GaussianBlur(color.to_display(f.pixels, f.transfer) * 255, (0, 0), 1.0)
        for f in (one, other)
    ]
    return np.asarray(np.abs(codes[0] - codes[1]).max(axis=2) > VISIBLE_CODES)


def _coded(light: NDArray[np.float32], frame: Frame) -> Pixels:
    """Linear light as pixels of a frame's own type and transfer."""
    codes = light if frame.transfer == "linear" else color.linear_to_srgb(light)
    if frame.pixels.dtype == np.float32:
        return np.asarray(codes, np.float32)
    kind: Any = frame.pixels.dtype
    return np.asarray(np.rint(codes * np.iinfo(kind).max), kind)

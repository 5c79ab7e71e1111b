"""Synthetic scenes with known answers, for the tests: radiance, cameras, moving things."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from ghostless.bracket import Bracket, Frame, Stack
from ghostless.pixels import color

Radiance = NDArray[np.float32]


def noise_octaves(
    height: int, width: int, random: np.random.Generator, coarsest: int = 96
) -> NDArray[np.float32]:
    """Smooth-to-sharp random texture (H, W) of about zero mean and unit spread."""
    total = np.zeros((height, width), np.float32)
    size = coarsest
    strength = 1.0
    while size >= 1:
        shape = (max(2, height // size + 2), max(2, width // size + 2))
        layer = random.standard_normal(shape).astype(np.float32)
        total += strength * cv2.resize(layer, (width, height), interpolation=cv2.INTER_CUBIC)
        size //= 2
        strength *= 0.72
    return (total - total.mean()) / max(float(total.std()), 1e-6)


def make_radiance(height: int, width: int, seed: int = 0, range_stops: float = 8.0) -> Radiance:
    """Scene radiance (H, W, 3), linear, median about 0.18, spanning about `range_stops` stops.

    Coloured texture, a few hard-edged patches (windows, walls) and thin lines.
    """
    random = np.random.default_rng(seed)
    base = noise_octaves(height, width, random) * (range_stops / 6)
    log2_radiance = np.repeat(base[:, :, None], 3, axis=2)
    for channel in range(3):
        log2_radiance[:, :, channel] += 0.35 * noise_octaves(height, width, random)
    for _ in range(12):
        y, x = random.integers(0, height), random.integers(0, width)
        h = int(random.integers(1, max(2, height // 4)))
        w = int(random.integers(1, max(2, width // 4)))
        log2_radiance[y : y + h, x : x + w] += random.uniform(-1, 1) * range_stops / 4
    for _ in range(8):
        start = tuple(int(v) for v in (random.integers(0, width), random.integers(0, height)))
        end = tuple(int(v) for v in (random.integers(0, width), random.integers(0, height)))
        shade = float(random.uniform(-1, 1) * range_stops / 4)
        line = np.zeros((height, width), np.float32)
        cv2.line(line, start, end, shade, 2, cv2.LINE_AA)
        log2_radiance += line[:, :, None]
    return (0.18 * np.exp2(log2_radiance)).astype(np.float32)


def expose(
    radiance: Radiance,
    stops: float,
    *,
    depth: int = 8,
    noise: float = 0.0,
    linear: bool = False,
    seed: int = 0,
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Photograph radiance at an exposure in stops: noise, clipping, sRGB curve, rounding.

    noise: 0 for none; 1 for shot and read noise like that of a camera at base ISO.
    """
    light = radiance * np.float32(2.0**stops)
    if noise:
        random = np.random.default_rng(seed)
        spread = noise * np.sqrt(np.maximum(light, 0) * 4e-5 + 1e-6)
        light = light + spread * random.standard_normal(light.shape).astype(np.float32)
    light = np.clip(light, 0, 1)
    codes = light if linear else color.linear_to_srgb(light)
    levels = 255 if depth == 8 else 65535
    return np.rint(codes * levels).astype(np.uint8 if depth == 8 else np.uint16)


def make_frames(
    radiances: Radiance | Sequence[Radiance],
    stops: Sequence[float],
    *,
    known: bool = True,
    depth: int = 8,
    noise: float = 0.0,
    linear: bool = False,
) -> tuple[Frame, ...]:
    """Frames of one radiance, or of one radiance each, at the exposures given."""
    if isinstance(radiances, np.ndarray):
        radiances = [radiances] * len(stops)
    return tuple(
        Frame(
            expose(radiance, ev, depth=depth, noise=noise, linear=linear, seed=index),
            transfer="linear" if linear else "srgb",
            stops=float(ev) if known else None,
            stops_source="user" if known else None,
        )
        for index, (radiance, ev) in enumerate(zip(radiances, stops, strict=True))
    )


def make_bracket(
    radiances: Radiance | Sequence[Radiance], stops: Sequence[float], **how: bool
) -> Bracket:
    """Bracket version of `make_frames`."""
    return Bracket(make_frames(radiances, stops, **how))  # type: ignore[arg-type]


def make_stack(
    radiances: Radiance | Sequence[Radiance], stops: Sequence[float], **how: bool
) -> Stack:
    """Stack version of `make_frames`, the middle frame as the reference."""
    frames = make_frames(radiances, stops, **how)  # type: ignore[arg-type]
    return Stack(frames, reference=len(frames) // 2)


def add_disc(
    radiance: Radiance,
    centre: tuple[float, float],
    radius: float,
    colour: tuple[float, float, float],
) -> Radiance:
    """Radiance with a textured soft-edged disc of a colour at (x, y): a thing that can move."""
    height, width = radiance.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    distance = np.hypot(x - centre[0], y - centre[1])
    cover = np.clip(radius - distance + 0.5, 0, 1)[:, :, None]
    stripes = 1 + 0.3 * np.sin((x - centre[0]) * 0.7 + (y - centre[1]) * 0.4)[:, :, None]
    thing = np.asarray(colour, np.float32) * stripes
    return (radiance * (1 - cover) + thing * cover).astype(np.float32)

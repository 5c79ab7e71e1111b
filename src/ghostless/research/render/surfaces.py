"""Surfaces of the demo's room: wood, brick, cloth, paintings, all drawn from seeded noise.

Every texture is linear albedo, float32 (H, W, 3), 0..1, and repeats without a seam.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[Any]
Colour = tuple[float, float, float]
SIZE = 1024

# Albedo of books' spines, and of the gilding on them.
SPINES: tuple[Colour, ...] = (
    (0.33, 0.05, 0.04),
    (0.05, 0.12, 0.24),
    (0.08, 0.19, 0.10),
    (0.48, 0.33, 0.10),
    (0.55, 0.50, 0.40),
    (0.10, 0.07, 0.06),
    (0.38, 0.17, 0.06),
    (0.19, 0.24, 0.27),
)
GOLD: Colour = (0.62, 0.47, 0.20)


def vector(values: Any) -> Image:
    """Numbers as a float32 array: a colour, a place, a direction. (n,)."""
    return np.asarray(values, np.float32)


def noise(
    random: np.random.Generator, cells: tuple[int, int], shape: tuple[int, int] = (SIZE, SIZE)
) -> Image:
    """Smooth seamless noise (H, W) of about unit spread with `cells` bumps down and across."""
    if all(side >= 512 and side >= 8 * count for side, count in zip(shape, cells, strict=True)):
        coarse = noise(random, cells, (shape[0] // 2, shape[1] // 2))
        return np.asarray(cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_LINEAR))
    grid = random.standard_normal(cells).astype(np.float32)
    grid = np.pad(grid, 2, mode="wrap")
    rows = (np.arange(shape[0], dtype=np.float32) + 0.5) * cells[0] / shape[0] + 1.5
    columns = (np.arange(shape[1], dtype=np.float32) + 0.5) * cells[1] / shape[1] + 1.5
    at_x, at_y = np.meshgrid(columns, rows)
    return np.asarray(cv2.remap(grid, at_x, at_y, cv2.INTER_CUBIC), np.float32)


def octaves(
    random: np.random.Generator,
    cells: tuple[int, int],
    count: int,
    shape: tuple[int, int] = (SIZE, SIZE),
    gain: float = 0.55,
) -> Image:
    """Sum of `count` noises, each twice as fine and `gain` times as strong as the one before.

    Of `shape`.
    """
    total = np.zeros(shape, np.float32)
    for octave in range(count):
        scaled = (min(cells[0] << octave, shape[0]), min(cells[1] << octave, shape[1]))
        total += noise(random, scaled, shape) * np.float32(gain**octave)
    return total


def tint(shade: Image, colour: tuple[float, float, float]) -> Image:
    """Colour a shade map (H, W) into an albedo."""
    return vector(np.clip(shade[:, :, None] * np.array(colour, np.float32), 0.004, 0.92))


def _lines(position: Image, spacing: float, width: float) -> Image:
    """1 on soft lines every `spacing`, 0 between; position and sizes in pixels."""
    distance = np.abs((position / spacing + 0.5) % 1 - 0.5) * spacing
    return np.clip(1.5 - distance / max(width, 1e-3), 0, 1).astype(np.float32)


def wood(random: np.random.Generator, colour: tuple[float, float, float], planks: int = 1) -> Image:
    """Wood with its grain along x; planks of different tone with staggered joints. (H, W, 3)."""
    grain = octaves(random, (64, 3), 4, gain=0.8) + 0.6 * octaves(random, (4, 2), 3)
    rings = np.sin(octaves(random, (6, 1), 2) * 7 + noise(random, (200, 6)) * 0.6)
    shade = 1 + 0.09 * grain + 0.10 * rings.astype(np.float32)
    if planks > 1:
        y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32)
        height = SIZE / planks
        row = (y // height).astype(int)
        shift = random.uniform(0, SIZE, planks)[row]
        board = (((x + shift) // (SIZE / 2)) % 2).astype(int)
        shade *= random.normal(1, 0.14, (planks, 2))[row, board].astype(np.float32)
        roll = random.integers(0, SIZE, planks)
        shade = np.concatenate(
            [
                np.roll(shade[int(i * height) : int((i + 1) * height)], roll[i], axis=1)
                for i in range(planks)
            ]
            + [shade[int(planks * height) :]]
        )
        gaps = np.maximum(_lines(y, height, 1.6), _lines(x + shift, SIZE / 2, 1.4))
        shade *= 1 - 0.7 * gaps
    return tint(shade, colour)


def brick(random: np.random.Generator) -> Image:
    """Old red bricks in running bond: 4 across, 12 courses. (H, W, 3)."""
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    wobble = 2.5 * octaves(random, (12, 12), 3)
    height, width = SIZE / 12, SIZE / 4
    row = (y // height).astype(int) % 12
    x = x + (row % 2) * width / 2
    column = (x // width).astype(int) % 4
    mortar = np.maximum(_lines(y + wobble, height, 4.5), _lines(x + wobble, width, 4.5))
    tone = random.normal(1, 0.2, (12, 4))[row, column].astype(np.float32)
    redness = random.normal(0, 0.05, (12, 4))[row, column].astype(np.float32)
    rough = 1 + 0.12 * octaves(random, (40, 40), 4, gain=0.8)
    bricks = tint(tone * rough, (0.36, 0.15, 0.095))
    bricks[:, :, 0] += redness
    joints = tint(1 + 0.12 * octaves(random, (60, 60), 3), (0.40, 0.36, 0.31))
    return vector(np.clip(bricks + mortar[:, :, None] * (joints - bricks), 0.01, 0.9))


def plaster(random: np.random.Generator, colour: tuple[float, float, float]) -> Image:
    """Painted plaster: nearly even, a little stained, finely rough. (H, W, 3)."""
    shade = 1 + 0.02 * octaves(random, (3, 3), 4) + 0.018 * octaves(random, (120, 120), 3)
    return tint(shade, colour)


def cloth(
    random: np.random.Generator, colour: tuple[float, float, float], folds: float = 0.0
) -> Image:
    """Woven cloth; `folds` deepens soft vertical folds. (H, W, 3)."""
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    weave = np.sin(x * 2 * np.pi / 8) * np.sin(y * 2 * np.pi / 8)
    shade = 1 + 0.10 * weave.astype(np.float32) + 0.04 * octaves(random, (50, 50), 3)
    if folds:
        sway = 14 * noise(random, (3, 6))
        wave = np.sin((x + sway) * 2 * np.pi * 9 / SIZE) + 0.5 * np.sin(
            (x - sway) * 2 * np.pi * 14 / SIZE
        )
        shade *= 1 + folds * wave.astype(np.float32)
    return tint(shade, colour)


def rug(random: np.random.Generator) -> Image:
    """A knotted rug: borders, diamonds and a medallion, one picture for the whole face.

    (H, W, 3).
    """
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32) / (SIZE / 2) - 1
    edge = np.maximum(np.abs(x), np.abs(y))
    result = np.empty((SIZE, SIZE, 3), np.float32)
    result[:] = (0.30, 0.045, 0.04)
    diamonds = ((np.abs((x * 7) % 1 - 0.5) + np.abs((y * 7) % 1 - 0.5)) < 0.27) & (edge < 0.74)
    result[diamonds] = (0.46, 0.33, 0.17)
    inner = (np.abs((x * 14) % 1 - 0.5) + np.abs((y * 14) % 1 - 0.5)) < 0.2
    result[inner & (edge < 0.74)] = (0.05, 0.07, 0.15)
    star = np.abs(x) + np.abs(y) + 0.05 * np.cos(np.arctan2(y, x) * 8)
    for limit, colour in (
        (0.50, (0.46, 0.33, 0.17)),
        (0.45, (0.05, 0.07, 0.15)),
        (0.32, (0.42, 0.07, 0.05)),
        (0.18, (0.50, 0.40, 0.24)),
        (0.09, (0.05, 0.07, 0.15)),
    ):
        result[star < limit] = colour
    result[(edge > 0.74) & (edge < 0.93)] = (0.05, 0.07, 0.15)
    zigzag = np.abs(((x + y) * 12) % 1 - 0.5) < 0.18
    result[zigzag & (edge > 0.78) & (edge < 0.89)] = (0.46, 0.33, 0.17)
    result[(edge > 0.96)] = (0.46, 0.38, 0.27)
    knots = 1 + 0.16 * noise(random, (300, 300)) + 0.05 * octaves(random, (8, 8), 3)
    return np.clip(result * knots[:, :, None], 0.01, 0.9).astype(np.float32)


def books(random: np.random.Generator) -> Image:
    """A shelf of book spines, one picture for the whole face (y grows upward from the board).

    (H, W, 3).
    """
    result = np.full((SIZE, SIZE, 3), 0.012, np.float32)
    palette, gold = vector(SPINES), vector(GOLD)
    left = 6
    while left < SIZE - 30:
        width = int(random.integers(26, 62))
        if random.random() < 0.07:
            left += width
            continue
        height = int(random.uniform(0.62, 0.93) * SIZE)
        right = min(left + width, SIZE - 4)
        colour = palette[random.integers(len(palette))] * random.uniform(0.75, 1.25)
        across = np.linspace(-1, 1, right - left, dtype=np.float32)
        round_back = (1 - 0.55 * across**4)[None, :, None]
        result[:height, left:right] = colour * round_back
        for band in random.uniform(0.08, 0.92, 4):
            row = int(band * height)
            result[row : row + int(random.integers(3, 9)), left:right] = gold * round_back
        middle, half = int(random.uniform(0.4, 0.65) * height), int(0.14 * height)
        for row in range(middle - half, middle + half, 14):
            inset = int(width * random.uniform(0.25, 0.38))
            result[row : row + 6, left + inset : right - inset] = gold
        left = right + 2
    return result


def painting(random: np.random.Generator, kind: int) -> Image:
    """One of three paintings (a sea at dusk, circles, stripes), y growing upward. (H, W, 3)."""
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32) / SIZE
    canvas = 1 + 0.06 * noise(random, (256, 256))
    strokes = octaves(random, (40, 6), 4, gain=0.7)
    picture = np.zeros((SIZE, SIZE, 3), np.float32)
    if kind == 0:
        height = np.clip((y - 0.42) / 0.58, 0, 1)[:, :, None]
        warm, cool = vector((0.85, 0.42, 0.14)), vector((0.13, 0.20, 0.38))
        picture = warm + height**0.6 * (cool - warm)
        sea = vector((0.06, 0.13, 0.18)) * (1 + 0.9 * strokes[:, :, None])
        picture = np.where((y < 0.42)[:, :, None], sea, picture * (1 + 0.10 * strokes[:, :, None]))
        sun = np.hypot(x - 0.62, (y - 0.50)) < 0.055
        picture[sun] = (0.9, 0.75, 0.45)
        glint = (np.abs(x - 0.62) < 0.03 + 0.10 * (0.42 - y)) & (y < 0.42) & (strokes > 0.1)
        picture[glint] = (0.80, 0.52, 0.25)
    elif kind == 1:
        picture[:] = (0.72, 0.66, 0.54)
        for _ in range(11):
            centre, radius = random.uniform(0.15, 0.85, 2), random.uniform(0.05, 0.24)
            colour = random.uniform(0.04, 0.7, 3).astype(np.float32)
            distance = np.hypot(x - centre[0], y - centre[1])
            picture[distance < radius] = colour
            picture[np.abs(distance - radius * 1.18) < 0.007] = (0.03, 0.03, 0.03)
        picture *= 1 + 0.05 * strokes[:, :, None]
    else:
        colours = random.uniform(0.04, 0.62, (9, 3)).astype(np.float32)
        band = np.clip(((x + 0.03 * strokes) * 9).astype(int), 0, 8)
        picture = colours[band] * (1 + 0.10 * strokes[:, :, None])
        picture[y + 0.01 * strokes < 0.3] *= 0.35
    return np.clip(picture * canvas[:, :, None], 0.01, 0.9).astype(np.float32)


def outside(random: np.random.Generator, height: int, width: int) -> Image:
    """Radiance of the view from the window (H, W, 3): evening sky, clouds, hills, trees, a lake.

    Row 0 is 25 degrees above the horizon, the last row 17 degrees below it.
    """
    y, x = np.mgrid[:height, :width].astype(np.float32)
    elevation = 25 - 42 * y / height
    high = np.clip(elevation / 25, 0, 1)[:, :, None]
    glow = np.exp(-(((x / width - 0.72) / 0.33) ** 2) - (np.maximum(elevation, 0) / 13) ** 2)
    sky = vector((3.0, 2.3, 1.75)) * (1 - high) ** 2 + vector((0.62, 1.02, 1.75)) * (
        1 - (1 - high) ** 2
    )
    sky = sky + glow[:, :, None] * vector((4.2, 2.3, 0.8))
    cover = octaves(random, (7, 4), 7, (height, width), gain=0.56)
    density = (
        np.clip((cover - 0.15) * 1.5, 0, 1)[:, :, None] * np.clip(elevation / 3, 0, 1)[:, :, None]
    )
    lit = np.clip(cover - np.roll(cover, (10, -16), (0, 1)) + 0.45, 0, 1.3)[:, :, None]
    cloud = vector((0.95, 0.85, 0.95)) + lit * vector((4.0, 2.7, 1.7))
    picture = sky + 0.85 * density * (cloud - sky)
    haze = vector((2.2, 1.75, 1.45))
    column = np.arange(width) / width
    for layer, (top, rough, near) in enumerate(
        ((3.6, 2.6, 0.12), (1.7, 2.0, 0.38), (-0.6, 1.7, 0.68), (-3.4, 1.5, 0.9))
    ):
        ridge = octaves(random, (1, 3 + 2 * layer), 7, (2, width), gain=0.5)[0]
        jagged = octaves(random, (1, 160), 3, (2, width), gain=0.8)[0] * 0.16 * near
        line = top + rough * 0.6 * ridge + jagged + 0.5 * np.sin(column * 7 + layer)
        cover_here = np.clip((line[None, :] - elevation) * height / 42 + 0.5, 0, 1)[:, :, None]
        trees = octaves(random, (30 << layer, 60 << layer), 4, (height, width), gain=0.75)
        ground = vector((0.36, 0.44, 0.15)) * (1 + 0.34 * trees[:, :, None])
        slope = np.gradient(cv2.GaussianBlur(line.astype(np.float32)[None, :], (0, 0), 5)[0])
        ground = ground * np.clip(1 - 60 * slope, 0.55, 1.6)[None, :, None]
        colour = np.maximum(ground, 0.05) * near + haze * (1 - near) ** 1.5
        picture = picture + cover_here * (colour - picture)
    return vector(0.62 * np.maximum(picture, 0.05))

"""A room at evening: what stands in it, the view from its window, and who walks through it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from .engine import Sunlight, Surface, Thing, World
from .shapes import (
    Array,
    Mesh,
    Vector,
    ball,
    box,
    curtain,
    cushion,
    leaf,
    merged,
    pose,
    rounded_box,
    turned,
)
from .surfaces import (
    GOLD,
    SPINES,
    brick,
    cloth,
    octaves,
    outside,
    painting,
    plaster,
    rug,
    tint,
    vector,
    wood,
)

WIDTH, HEIGHT, DEPTH = 5.2, 2.75, 5.2
_WALL = 0.28
# The window in the far wall: left, bottom, right, top.
_WINDOW = (1.45, 0.82, 3.85, 2.32)
_TO_SUN = (0.36, 0.60, 0.72)
_SUN = (15.0, 9.5, 4.9)
_SHADE_GLOW, _BULB_GLOW = (2.3, 1.2, 0.46), (24.0, 14.5, 6.6)
_SKY_PIXELS_PER_DEGREE = 10


def build_room(seed: int = 7) -> World:
    """Furnish the room."""
    random = np.random.default_rng(seed)
    oak = Surface(wood(random, (0.36, 0.215, 0.11)), roughness=0.45)
    walnut = Surface(wood(random, (0.125, 0.066, 0.036)), roughness=0.4)
    white = Surface(plaster(random, (0.66, 0.64, 0.60)), roughness=0.6)
    black = Surface((0.025, 0.025, 0.027), roughness=0.4)
    things = [
        *_shell(random, white),
        *_window(white, black),
        *_curtains(random, black),
        *_bookcase(random, walnut),
        *_sideboard(oak, walnut, black),
        *_table(random, oak),
        *_sofa(random, walnut),
        *_pictures(random, black, white),
        *_lamps(black),
        *_plants(random),
    ]
    to_sun = np.array(_TO_SUN) / np.linalg.norm(_TO_SUN)
    sun = Sunlight((float(to_sun[0]), float(to_sun[1]), float(to_sun[2])), _SUN)
    return World(tuple(things), _around(random), sun)


def _around(random: np.random.Generator) -> Array:
    """Radiance all round: the view, mirrored to all sides, sky over it, grass below."""
    scale = _SKY_PIXELS_PER_DEGREE
    view = outside(random, 42 * scale, 90 * scale)
    ring = np.concatenate([view[:, ::-1], view, view[:, ::-1], view], axis=1)
    ring = np.roll(ring, -45 * scale, axis=1)
    height = np.linspace(1, 0, 65 * scale)[:, None, None]
    sky = ring[:1] + height**0.5 * (vector((0.36, 0.62, 1.1)) - ring[:1])
    ground = np.broadcast_to(ring[-1:].mean(axis=1, keepdims=True), (73 * scale, 360 * scale, 3))
    return vector(np.concatenate([sky, ring, ground]))


def _shell(random: np.random.Generator, white: Surface) -> list[Thing]:
    x0, y0, x1, y1 = _WINDOW
    back = DEPTH + _WALL
    walls = [
        box((0, 0, -0.1), (WIDTH, HEIGHT, 0), metres=2),
        box((WIDTH, 0, 0), (WIDTH + 0.1, HEIGHT, back), metres=2),
        box((0, 0, DEPTH), (x0, HEIGHT, back), metres=2),
        box((x1, 0, DEPTH), (WIDTH, HEIGHT, back), metres=2),
        box((x0, 0, DEPTH), (x1, y0, back), metres=2),
        box((x0, y1, DEPTH), (x1, HEIGHT, back), metres=2),
    ]
    beams = [
        box((0, HEIGHT - 0.19, z), (WIDTH, HEIGHT, z + 0.13), metres=0.7) for z in (1.5, 2.75, 4.0)
    ]
    boards = [
        box((0, 0, DEPTH - 0.018), (WIDTH, 0.11, DEPTH), metres=0.8),
        box((WIDTH - 0.018, 0, 0), (WIDTH, 0.11, DEPTH), metres=0.8),
    ]
    planks = wood(random, (0.27, 0.145, 0.075), planks=8)
    return [
        Thing("walls", merged(walls), Surface(plaster(random, (0.55, 0.50, 0.43)))),
        Thing(
            "brick wall",
            box((-0.1, 0, 0), (0.012, HEIGHT, back), metres=1.04, upright=True),
            Surface(brick(random)),
        ),
        Thing(
            "floor",
            box((0, -0.1, 0), (WIDTH, 0, back), metres=1.15),
            Surface(planks, roughness=0.32),
        ),
        Thing(
            "ceiling",
            box((0, HEIGHT, 0), (WIDTH, HEIGHT + 0.1, back), metres=2),
            Surface(plaster(random, (0.62, 0.60, 0.56))),
        ),
        Thing("beams", merged(beams), Surface(wood(random, (0.15, 0.085, 0.05)))),
        Thing("skirting", merged(boards), white),
        Thing("rug", box((1.75, 0, 1.75), (3.75, 0.012, 3.35)), Surface(rug(random))),
    ]


def _window(white: Surface, black: Surface) -> list[Thing]:
    x0, y0, x1, y1 = _WINDOW
    front, back = DEPTH + 0.10, DEPTH + 0.15
    frame, bar = 0.06, 0.035
    sill = rounded_box((x0 - 0.08, y0 - 0.045, DEPTH - 0.16), (x1 + 0.08, y0, DEPTH + 0.1), 0.012)
    bars, handles = [sill], []
    sash = (x1 - x0) / 3
    rail = y0 + (y1 - y0) * 0.68
    for number in range(3):
        left, right = x0 + number * sash, x0 + (number + 1) * sash
        for low, high in (
            ((left, y0, front), (left + frame, y1, back)),
            ((right - frame, y0, front), (right, y1, back)),
            ((left, y0, front), (right, y0 + frame, back)),
            ((left, y1 - frame, front), (right, y1, back)),
            ((left, rail - bar / 2, front), (right, rail + bar / 2, back)),
        ):
            bars.append(box(low, high, metres=0.8))
        handles.append(
            rounded_box(
                (right - 0.04, 1.30, front - 0.035), (right - 0.02, 1.42, front - 0.012), 0.009
            )
        )
    return [Thing("window", merged(bars), white), Thing("handles", merged(handles), black)]


def _curtains(random: np.random.Generator, black: Surface) -> list[Thing]:
    rod = turned([(0.014, 0.86), (0.014, 4.44)], steps=16).moved(pose((0, 2.44, 0), (0, 0, 90)))
    knobs = [ball(0.028, steps=24).moved(pose((x, 2.44, 0))) for x in (0.86, 4.44)]
    hangings = [
        curtain(0.50, 2.38, 6.5, 0.045, seed).moved(pose((x, 0.05, 0)))
        for x, seed in ((0.97, 4), (3.84, 5))
    ]
    depth = pose((0, 0, DEPTH - 0.12))
    # Folds are real: the cloth itself is even.
    linen = Surface(cloth(random, (0.46, 0.40, 0.31)), translucent=0.35)
    return [
        Thing("rod", merged([rod, *knobs]).moved(depth), black),
        Thing("curtains", _tiled(merged(hangings), 0.5).moved(depth), linen),
    ]


def _tiled(mesh: Mesh, metres: float) -> Mesh:
    """The mesh with its texture, so far in metres, repeated every `metres`."""
    return Mesh(mesh.vertices, mesh.normals, mesh.texture / metres, mesh.faces, mesh.colours)


# Outlines of turned things: radius and height in metres, bottom to top (the bowl's inside after).
_BOWL = (
    *((0.0, 0.0), (0.06, 0.0), (0.10, 0.02), (0.145, 0.06)),
    *((0.15, 0.062), (0.14, 0.06), (0.09, 0.024), (0.0, 0.012)),
)
_STAND = (
    *((0.0, 0.02), (0.045, 0.03), (0.075, 0.07), (0.078, 0.10)),
    *((0.055, 0.15), (0.025, 0.19), (0.014, 0.21), (0.012, 0.36)),
)
_HOOD = (
    *((0.21, 0.0), (0.205, 0.02), (0.16, 0.09), (0.09, 0.15)),
    *((0.05, 0.19), (0.03, 0.22), (0.0, 0.23)),
)
_POT = (
    *((0.0, 0.0), (0.14, 0.0), (0.19, 0.33), (0.21, 0.33)),
    *((0.215, 0.40), (0.19, 0.40), (0.185, 0.37), (0.0, 0.37)),
)


def _bookcase(random: np.random.Generator, walnut: Surface) -> list[Thing]:
    """A bookcase against the left wall, its books one by one."""
    z0, z1, deep, top = 3.30, 4.75, 0.32, 2.02
    levels = (0.05, 0.46, 0.85, 1.23, 1.61, top - 0.03)
    boards = [box((0.012, 0, z), (deep, top, z + 0.035), metres=0.7) for z in (z0, z1 - 0.035)]
    boards += [box((0.012, y - 0.03, z0), (deep, y, z1), metres=0.7) for y in levels]
    boards.append(box((0.012, 0, z0), (0.03, top, z1), metres=0.7))
    boards.append(box((0.012, top - 0.03, z0 - 0.02), (deep + 0.02, top, z1 + 0.02), metres=0.7))
    books = [
        book
        for low, high in pairwise(levels)
        for book in _shelf(random, low, high - 0.03, z0 + 0.045, z1 - 0.045)
    ]
    return [
        Thing("bookcase", merged(boards), walnut),
        Thing("books", merged(books), Surface(None, roughness=0.55)),
    ]


def _shelf(
    random: np.random.Generator, low: float, high: float, left: float, right: float
) -> list[Mesh]:
    """Books along z on a board at `low`, their spines towards +x, gold on many."""
    parts = []
    z = left
    while z < right - 0.06:
        thick = random.uniform(0.018, 0.05)
        if random.random() < 0.06:
            z += 2 * thick
            continue
        tall = (high - low) * random.uniform(0.64, 0.95)
        front = 0.27 - random.uniform(0, 0.035)
        colour = vector(SPINES[random.integers(len(SPINES))]) * random.uniform(0.75, 1.25)
        spine = rounded_box((0.04, low, z), (front, low + tall, z + thick - 0.002), 0.006)
        parts.append(spine.coloured(tuple(colour)))
        for band in random.uniform(0.06, 0.94, random.integers(0, 5)):
            y = low + band * tall
            parts.append(
                box(
                    (front - 0.004, y, z + 0.003),
                    (front + 0.0006, y + random.uniform(0.003, 0.008), z + thick - 0.005),
                ).coloured(GOLD)
            )
        if thick > 0.03:
            y = low + tall * random.uniform(0.4, 0.62)
            label = vector(SPINES[random.integers(len(SPINES))]) * 0.6
            parts.append(
                box(
                    (front - 0.004, y, z + 0.004), (front + 0.0005, y + 0.06, z + thick - 0.006)
                ).coloured(tuple(label))
            )
        z += thick
    return parts


def _sideboard(oak: Surface, walnut: Surface, black: Surface) -> list[Thing]:
    """A sideboard with drawers against the right wall."""
    x0, x1, z0, z1, low, top = 4.67, WIDTH, 2.55, 4.35, 0.16, 0.80
    body = [box((x0, low, z0), (x1, top, z1), metres=0.7)]
    knobs = []
    third = (z1 - z0) / 3
    for number in range(3):
        start = z0 + number * third
        for bottom in (low + 0.03, low + 0.33):
            drawer = (
                (x0 - 0.016, bottom, start + 0.02),
                (x0 + 0.02, bottom + 0.27, start + third - 0.02),
            )
            body.append(rounded_box(*drawer, 0.006, metres=0.7))
            middle = start + third / 2
            knobs.append(
                rounded_box(
                    (x0 - 0.038, bottom + 0.17, middle - 0.07),
                    (x0 - 0.02, bottom + 0.186, middle + 0.07),
                    0.006,
                )
            )
    top_board = rounded_box((x0 - 0.03, top, z0 - 0.03), (x1, top + 0.035, z1 + 0.03), 0.008)
    legs = [
        box((x0 + 0.03, 0, z), (x0 + 0.08, low, z + 0.05), metres=0.7)
        for z in (z0 + 0.05, z1 - 0.1)
    ]
    return [
        Thing("sideboard", merged(body), oak),
        Thing("sideboard top", merged([_tiled(top_board, 0.7), *legs]), walnut),
        Thing("knobs", merged(knobs), black),
    ]


def _table(random: np.random.Generator, oak: Surface) -> list[Thing]:
    """A table under the pendant lamp, with books and a bowl of fruit."""
    place = pose((1.25, 0, 2.75), (0, -14, 0))
    parts = [_tiled(rounded_box((-0.55, 0.70, -0.42), (0.55, 0.74, 0.42), 0.008), 0.7)]
    parts += [
        box((x - 0.03, 0, z - 0.03), (x + 0.03, 0.70, z + 0.03), metres=0.7)
        for x in (-0.48, 0.48)
        for z in (-0.35, 0.35)
    ]
    volumes = [
        rounded_box((-0.14, 0.74, -0.10), (0.14, 0.768, 0.10), 0.006)
        .coloured((0.07, 0.15, 0.18))
        .moved(pose((1.16, 0, 2.54), (0, -33, 0))),
        rounded_box((-0.11, 0.768, -0.08), (0.11, 0.792, 0.08), 0.006)
        .coloured((0.52, 0.28, 0.06))
        .moved(pose((1.16, 0, 2.54), (0, -22, 0))),
    ]
    bowl = turned(_BOWL).moved(pose((1.45, 0.74, 2.95)))
    fruit = []
    for x, y, z, radius, colour in (
        (0.0, 0.052, 0.02, 0.046, (0.55, 0.20, 0.02)),
        (0.085, 0.068, 0.03, 0.042, (0.45, 0.03, 0.025)),
        (-0.075, 0.064, 0.05, 0.044, (0.50, 0.34, 0.03)),
        (-0.03, 0.062, -0.07, 0.043, (0.17, 0.28, 0.04)),
        (0.05, 0.066, -0.065, 0.042, (0.50, 0.10, 0.03)),
        (0.01, 0.115, 0.0, 0.040, (0.48, 0.06, 0.03)),
    ):
        shape = ball(radius).scaled((1, 0.92, 1)).moved(pose((1.45 + x, 0.74 + y, 2.95 + z)))
        fruit.append(shape.coloured(tuple(np.array(colour) * random.uniform(0.9, 1.1))))
    return [
        Thing("table", merged(parts).moved(place), oak),
        Thing("volumes", merged(volumes), Surface(None, roughness=0.6)),
        Thing("bowl", bowl, Surface((0.06, 0.13, 0.24), roughness=0.15)),
        Thing("fruit", merged(fruit), Surface(None, roughness=0.35)),
    ]


def _sofa(random: np.random.Generator, walnut: Surface) -> list[Thing]:
    """A sofa beneath the window."""
    x0, x1, z0, z1 = 1.75, 3.60, 4.16, 4.98
    middle = (x0 + x1) / 2
    parts = [
        rounded_box((x0, 0.12, z0 + 0.03), (x1, 0.30, z1), 0.03),
        rounded_box((x0, 0.28, z0), (middle - 0.004, 0.45, z1 - 0.18), 0.05),
        rounded_box((middle + 0.004, 0.28, z0), (x1, 0.45, z1 - 0.18), 0.05),
        rounded_box((x0, 0.30, z1 - 0.24), (middle - 0.004, 0.78, z1 - 0.02), 0.07),
        rounded_box((middle + 0.004, 0.30, z1 - 0.24), (x1, 0.78, z1 - 0.02), 0.07),
        rounded_box((x0 - 0.17, 0.12, z0), (x0 + 0.01, 0.60, z1), 0.06),
        rounded_box((x1 - 0.01, 0.12, z0), (x1 + 0.17, 0.60, z1), 0.06),
    ]
    legs = [
        box((x - 0.025, 0, z - 0.025), (x + 0.025, 0.13, z + 0.025), metres=0.7)
        for x in (x0 - 0.1, x1 + 0.1)
        for z in (z0 + 0.06, z1 - 0.06)
    ]
    pillow = cushion((0.44, 0.42, 0.15), metres=0.22)
    pillows = [
        pillow.moved(pose((x0 + 0.27, 0.635, z1 - 0.37), (16, -9, 4))),
        pillow.moved(pose((x1 - 0.29, 0.63, z1 - 0.37), (18, 8, -5))),
    ]
    return [
        Thing("sofa", _tiled(merged(parts), 0.28), Surface(cloth(random, (0.10, 0.17, 0.20)))),
        Thing("sofa legs", merged(legs), walnut),
        Thing("pillows", merged(pillows), Surface(cloth(random, (0.55, 0.27, 0.05)))),
    ]


def _pictures(random: np.random.Generator, black: Surface, white: Surface) -> list[Thing]:
    """Framed paintings on the right wall."""
    frames, mounts, paintings = [], [], []
    for kind, (z0, z1, y0, y1) in enumerate(
        ((2.50, 3.45, 1.42, 2.12), (1.55, 2.25, 1.25, 2.00), (4.15, 4.85, 1.25, 2.05))
    ):
        frames.append(rounded_box((WIDTH - 0.035, y0, z0), (WIDTH, y1, z1), 0.008))
        mounts.append(
            box(
                (WIDTH - 0.037, y0 + 0.035, z0 + 0.035),
                (WIDTH - 0.03, y1 - 0.035, z1 - 0.035),
                metres=0.8,
            )
        )
        canvas = box((WIDTH - 0.04, y0 + 0.10, z0 + 0.10), (WIDTH - 0.03, y1 - 0.10, z1 - 0.10))
        paintings.append(Thing(f"painting {kind}", canvas, Surface(painting(random, kind))))
    return [
        Thing("frames", merged(frames), black),
        Thing("mounts", merged(mounts), white),
        *paintings,
    ]


def _lamps(black: Surface) -> list[Thing]:
    """A table lamp on the sideboard, a pendant over the table."""
    stand = [
        turned([(0.0, 0.0), (0.085, 0.0), (0.085, 0.012), (0.05, 0.025), (0.0, 0.03)]),
        turned(_STAND),
    ]
    shade = turned([(0.155, 0.0), (0.10, 0.23)], steps=64)
    bulb = ball(0.035, steps=24)
    cord = turned([(0.006, 0.0), (0.006, 0.75)], steps=12)
    hood = turned(_HOOD)
    lining = turned([(0.045, 0.185), (0.085, 0.148), (0.155, 0.088), (0.205, 0.005)])
    lamp, pendant = (4.92, 0.835, 3.75), (1.25, 1.84, 2.75)
    above = (lamp[0], lamp[1] + 0.29, lamp[2])
    return [
        Thing("lamp stand", merged(stand).moved(pose(lamp)), Surface((0.5, 0.45, 0.37), 0.3)),
        Thing("lampshade", shade.moved(pose(above)), Surface((0.5, 0.45, 0.37), glow=_SHADE_GLOW)),
        Thing(
            "lamp bulb",
            bulb.moved(pose((above[0], above[1] + 0.1, above[2]))),
            Surface((0.5, 0.5, 0.5), glow=_BULB_GLOW),
        ),
        Thing("cord", cord.moved(pose((pendant[0], pendant[1] + 0.22, pendant[2]))), black),
        Thing("hood", hood.moved(pose(pendant)), Surface((0.045, 0.10, 0.085), roughness=0.25)),
        Thing("lining", lining.moved(pose(pendant)), Surface((0.75, 0.72, 0.66))),
        Thing(
            "pendant bulb",
            ball(0.045, steps=32).moved(pose((pendant[0], pendant[1] + 0.05, pendant[2]))),
            Surface((0.5, 0.5, 0.5), glow=_BULB_GLOW),
        ),
    ]


def _plants(random: np.random.Generator) -> list[Thing]:
    clay = Surface(tint(1 + 0.1 * octaves(random, (20, 20), 4), (0.36, 0.15, 0.085)))
    things = []
    for name, place, size, count, length, height in (
        ("small", (4.93, 0.835, 2.85), 0.55, 46, 0.20, 0.30),
        ("tall", (4.45, 0.0, 4.75), 1.0, 60, 0.40, 0.75),
    ):
        pot = turned(_POT, smooth=False).scaled(size).moved(pose(place))
        root = (place[0], place[1] + 0.37 * size, place[2])
        green = merged(_leaves(random, root, count, length, height))
        things.append(Thing(f"{name} pot", pot, clay))
        things.append(Thing(f"{name} plant", green, Surface(None, roughness=0.4, translucent=0.25)))
    return things


def _leaves(
    random: np.random.Generator, root: Vector, count: int, length: float, height: float
) -> list[Mesh]:
    leaves = []
    for number in range(count):
        around = number * 2.39996 + random.normal(0, 0.2)
        rise = (number + 0.5) / count
        lean = (1 - 0.75 * rise) * random.uniform(0.75, 1.1)
        way = np.array([np.cos(around) * lean, 0.25 + 0.75 * rise, np.sin(around) * lean])
        way /= np.linalg.norm(way)
        start = np.array(root) + np.array([0, 0.75 * height * rise, 0]) + 0.03 * way
        own = length * random.uniform(0.7, 1.15)
        tone = random.uniform(0.7, 1.3)
        blade = leaf(tuple(start), way, own, own * random.uniform(0.07, 0.11), 0.35 * (1 - rise))
        leaves.append(blade.coloured((0.07 * tone, 0.18 * tone, 0.035 * tone)))
    return leaves

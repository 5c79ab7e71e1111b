"""What stands in the demo's room, and who walks through it."""

from __future__ import annotations

from functools import partial

import numpy as np

from .render import Box, Lamp, Material, Room, Vector
from .soft import Group, Leaf, Shape, plain, striped
from .textures import books, brick, cloth, outside, painting, plaster, rug, wood

WIDTH, HEIGHT, DEPTH = 5.2, 2.75, 5.2
WINDOW = (1.45, 0.82, 3.85, 2.32)
WINDOW_WALL = 0.28
SUN_RADIANCE = (11.0, 7.0, 3.6)
LAMP_PLACE = (4.55, 1.24, 3.75)
PENDANT_PLACE = (1.25, 1.83, 2.75)


def _materials(random: np.random.Generator) -> dict[str, Material]:
    return {
        "walls": Material(plaster(random, (0.55, 0.50, 0.43)), 2.0),
        "brick": Material(brick(random), 1.04, upright=True),
        "floor": Material(wood(random, (0.27, 0.145, 0.075), planks=8), 1.15, gloss=0.9),
        "ceiling": Material(plaster(random, (0.62, 0.60, 0.56)), 2.0),
        "white": Material(plaster(random, (0.66, 0.64, 0.60)), 0.8),
        "oak": Material(wood(random, (0.36, 0.215, 0.11)), 0.7),
        "walnut": Material(wood(random, (0.125, 0.066, 0.036)), 0.7, gloss=0.5),
        "beam": Material(wood(random, (0.15, 0.085, 0.05)), 0.7),
        "sofa": Material(cloth(random, (0.10, 0.17, 0.20)), 0.28),
        "cushion": Material(cloth(random, (0.50, 0.26, 0.06)), 0.22),
        "curtain": Material(cloth(random, (0.42, 0.37, 0.29), folds=0.30), 1.1, upright=True),
        "rug": Material(rug(random), None, upright=True),
        "books": Material(books(random), None, upright=True),
        "books2": Material(books(random), None, upright=True),
        "books3": Material(books(random), None, upright=True),
        "sea": Material(painting(random, 0), None, upright=True),
        "circles": Material(painting(random, 1), None, upright=True),
        "stripes": Material(painting(random, 2), None, upright=True),
        "black": Material(plaster(random, (0.03, 0.03, 0.032)), 0.5),
    }


def _window() -> tuple[list[Box], list[tuple[float, float, float, float]]]:
    """Reveal, frame and bars of the window, and its panes."""
    x0, y0, x1, y1 = WINDOW
    near, far = DEPTH + 0.001, DEPTH + WINDOW_WALL
    frame, bar = 0.06, 0.04
    boxes = [
        Box((x0 - 0.2, y0 - 0.2, near), (x1 + 0.2, y0, far), "white"),
        Box((x0 - 0.2, y1, near), (x1 + 0.2, y1 + 0.2, far), "white"),
        Box((x0 - 0.2, y0, near), (x0, y1, far), "white"),
        Box((x1, y0, near), (x1 + 0.2, y1, far), "white"),
        Box((x0 - 0.08, y0 - 0.045, DEPTH - 0.16), (x1 + 0.08, y0, DEPTH), "white"),
    ]
    front, back = DEPTH + 0.10, DEPTH + 0.15
    panes = []
    sash = (x1 - x0) / 3
    rail = y0 + (y1 - y0) * 0.68
    for number in range(3):
        left, right = x0 + number * sash, x0 + (number + 1) * sash
        boxes += [
            Box((left, y0, front), (left + frame, y1, back), "white"),
            Box((right - frame, y0, front), (right, y1, back), "white"),
            Box((left, y0, front), (right, y0 + frame, back), "white"),
            Box((left, y1 - frame, front), (right, y1, back), "white"),
            Box((left, rail - bar / 2, front), (right, rail + bar / 2, back), "white"),
        ]
        panes += [
            (left + frame, y0 + frame, right - frame, rail - bar / 2),
            (left + frame, rail + bar / 2, right - frame, y1 - frame),
        ]
    return boxes, panes


def _bookcase() -> list[Box]:
    """A bookcase against the left wall."""
    z0, z1, deep, top = 3.35, 4.75, 0.30, 2.02
    boxes = [
        Box((0.0, 0, z0), (deep, top, z0 + 0.035), "walnut"),
        Box((0.0, 0, z1 - 0.035), (deep, top, z1), "walnut"),
    ]
    shelves = [0.05, 0.46, 0.85, 1.23, 1.61, top - 0.03]
    for low, name in zip(
        shelves[:-1], ("books", "books2", "books3", "books", "books2"), strict=True
    ):
        boxes.append(Box((0.0, low, z0 + 0.035), (deep - 0.05, low + 0.35, z1 - 0.035), name))
    boxes += [Box((0.0, low - 0.03, z0), (deep, low, z1), "walnut") for low in shelves]
    boxes.append(Box((0.0, shelves[-1], z0), (deep, top, z1), "walnut"))
    return boxes


def _sideboard() -> list[Box]:
    """A sideboard against the right wall, with drawers."""
    x0, x1, z0, z1, low, top = 4.72 - 0.05, WIDTH, 2.55, 4.35, 0.16, 0.80
    boxes = [
        Box((x0, low, z0), (x1, top, z1), "oak"),
        Box((x0 - 0.03, top, z0 - 0.03), (x1, top + 0.035, z1 + 0.03), "walnut"),
    ]
    third = (z1 - z0) / 3
    for number in range(3):
        start = z0 + number * third
        for bottom, height in ((low + 0.03, 0.27), (low + 0.33, 0.27)):
            boxes.append(
                Box(
                    (x0 - 0.014, bottom, start + 0.025),
                    (x0, bottom + height, start + third - 0.025),
                    "oak",
                )
            )
            middle = start + third / 2
            boxes.append(
                Box(
                    (x0 - 0.035, bottom + 0.17, middle - 0.07),
                    (x0 - 0.014, bottom + 0.185, middle + 0.07),
                    "black",
                )
            )
    boxes += [
        Box((x0 + 0.03, 0, z), (x0 + 0.08, low, z + 0.05), "walnut") for z in (z0 + 0.05, z1 - 0.1)
    ]
    return boxes


def _table() -> list[Box]:
    """A table under the pendant lamp, with a chair."""
    x, z, turn = 1.25, 2.75, 14.0
    boxes = [Box((x - 0.55, 0.70, z - 0.42), (x + 0.55, 0.74, z + 0.42), "oak", turn)]
    angle = np.deg2rad(turn)
    for sign_x in (-1, 1):
        for sign_z in (-1, 1):
            dx, dz = sign_x * 0.48, sign_z * 0.35
            at_x = x + np.cos(angle) * dx + np.sin(angle) * dz
            at_z = z - np.sin(angle) * dx + np.cos(angle) * dz
            boxes.append(
                Box((at_x - 0.03, 0, at_z - 0.03), (at_x + 0.03, 0.70, at_z + 0.03), "oak", turn)
            )
    boxes += [
        Box((1.02, 0.74, 2.44), (1.30, 0.765, 2.64), "sofa", 33),
        Box((1.05, 0.765, 2.46), (1.27, 0.79, 2.62), "cushion", 24),
    ]
    return boxes


def _sofa() -> list[Box]:
    """A sofa beneath the window."""
    x0, x1, z0, z1 = 1.75, 3.60, 4.22, 5.02
    return [
        Box((x0, 0.10, z0), (x1, 0.42, z1), "sofa"),
        Box((x0, 0.42, z1 - 0.20), (x1, 0.76, z1), "sofa"),
        Box((x0 - 0.16, 0.10, z0), (x0, 0.58, z1), "sofa"),
        Box((x1, 0.10, z0), (x1 + 0.16, 0.58, z1), "sofa"),
        Box((x0 + 0.06, 0.42, z1 - 0.36), (x0 + 0.48, 0.78, z1 - 0.22), "cushion", 9),
        Box((x1 - 0.50, 0.42, z1 - 0.36), (x1 - 0.08, 0.76, z1 - 0.22), "cushion", -8),
    ]


def _pictures() -> list[Box]:
    """Framed paintings on the right wall, and one on the far wall."""
    boxes = []
    for z0, z1, y0, y1, name in (
        (1.55, 2.25, 1.25, 2.00, "circles"),
        (2.50, 3.45, 1.42, 2.12, "sea"),
        (4.15, 4.85, 1.25, 2.05, "stripes"),
    ):
        boxes.append(Box((WIDTH - 0.03, y0, z0), (WIDTH, y1, z1), "black"))
        boxes.append(
            Box(
                (WIDTH - 0.036, y0 + 0.035, z0 + 0.035),
                (WIDTH - 0.03, y1 - 0.035, z1 - 0.035),
                "white",
            )
        )
        boxes.append(
            Box((WIDTH - 0.04, y0 + 0.10, z0 + 0.10), (WIDTH - 0.036, y1 - 0.10, z1 - 0.10), name)
        )
    return boxes


def build_room(seed: int = 7) -> Room:
    """Furnish the room."""
    random = np.random.default_rng(seed)
    window, panes = _window()
    boxes = [
        Box((0, 0, 0), (WIDTH, HEIGHT, DEPTH), "walls"),
        Box((0, 0.0, 0), (0.012, HEIGHT, DEPTH), "brick"),
        Box((0, 0, 0), (WIDTH, 0.004, DEPTH), "floor"),
        Box((0, HEIGHT - 0.01, 0), (WIDTH, HEIGHT, DEPTH), "ceiling"),
        *(
            Box((0, HEIGHT - 0.19, z), (WIDTH, HEIGHT - 0.005, z + 0.13), "beam")
            for z in (1.5, 2.75, 4.0)
        ),
        Box((0.012, 0, DEPTH - 0.018), (WIDTH, 0.11, DEPTH), "white"),
        Box((WIDTH - 0.018, 0, 0), (WIDTH, 0.11, DEPTH), "white"),
        Box((1.75, 0.004, 1.75), (3.75, 0.012, 3.35), "rug"),
        Box((0.90, 2.42, DEPTH - 0.13), (4.40, 2.45, DEPTH - 0.10), "black"),
        Box((0.98, 0.05, DEPTH - 0.17), (1.46, 2.43, DEPTH - 0.07), "curtain"),
        Box((3.84, 0.05, DEPTH - 0.17), (4.32, 2.43, DEPTH - 0.07), "curtain"),
        *window,
        *_bookcase(),
        *_sideboard(),
        *_table(),
        *_sofa(),
        *_pictures(),
        Box((1.243, 2.02, 2.743), (1.257, HEIGHT, 2.757), "black"),
    ]
    direction = np.array([0.36, 0.60, 0.72])
    x, y, z = (float(v) for v in direction / np.linalg.norm(direction))
    return Room(
        boxes=tuple(boxes),
        materials=_materials(random),
        lamps=(
            Lamp(LAMP_PLACE, 0.09, (0.50, 0.27, 0.105)),
            Lamp(
                (PENDANT_PLACE[0], PENDANT_PLACE[1] - 0.03, PENDANT_PLACE[2]),
                0.06,
                (0.30, 0.17, 0.07),
            ),
        ),
        opening=WINDOW,
        panes=tuple(panes),
        to_sun=(x, y, z),
        sun=SUN_RADIANCE,
        outside=outside(random, 900, 2400),
    )


def still_life() -> list[Group]:
    """Round things that stand still: lamps, pots, plants, fruit."""
    top = 0.835
    clay, ivory, black = (plain(c) for c in ((0.34, 0.15, 0.085), (0.55, 0.50, 0.42), (0.03,) * 3))
    brass, enamel = plain((0.30, 0.22, 0.10)), plain((0.05, 0.10, 0.09))
    shade_glow, bulb_glow = (3.1, 1.75, 0.72), (22.0, 14.0, 7.0)

    x, y, z = LAMP_PLACE
    lamp = (
        Shape((x, top, z), (x, top + 0.03, z), 0.09, 0.08, black, cone=True),
        Shape((x, top + 0.03, z), (x, top + 0.16, z), 0.075, 0.035, ivory),
        Shape((x, top + 0.16, z), (x, y, z), 0.012, 0.012, brass),
        Shape((x, y - 0.10, z), (x, y + 0.12, z), 0.155, 0.10, ivory, cone=True, glow=shade_glow),
    )
    px, py, pz = PENDANT_PLACE
    rim, disc = (px, py + 0.005, pz), (px, py + 0.018, pz)
    pendant = (
        Shape((px, py + 0.02, pz), (px, py + 0.20, pz), 0.21, 0.05, enamel, cone=True),
        Shape(rim, disc, 0.19, 0.19, ivory, cone=True, glow=shade_glow),
        Shape((px, py, pz), (px, py, pz), 0.045, 0.045, ivory, glow=bulb_glow),
    )
    bx, bz = 1.45, 2.95
    bowl = [Shape((bx, 0.74, bz), (bx, 0.80, bz), 0.07, 0.15, plain((0.10, 0.16, 0.26)), cone=True)]
    for dx, dz, colour in (
        (0.0, 0.0, (0.46, 0.17, 0.02)),
        (0.085, 0.03, (0.45, 0.04, 0.03)),
        (-0.06, 0.06, (0.42, 0.30, 0.03)),
        (-0.03, -0.08, (0.15, 0.24, 0.04)),
    ):
        place = (bx + dx, 0.835, bz + dz)
        bowl.append(Shape(place, place, 0.046, 0.046, plain(colour)))

    random = np.random.default_rng(11)
    small, tall = (4.93, top + 0.20, 2.85), (4.55, 0.42, 4.83)
    small_pot = Shape((4.93, top, 2.85), small, 0.075, 0.10, clay, cone=True)
    tall_pot = Shape((4.55, 0.0, 4.83), (4.55, 0.40, 4.83), 0.14, 0.20, clay, cone=True)
    return [
        Group(lamp, (), x - 0.02, z - 0.25, 0.86, 1.4),
        Group(pendant, (), px, pz - 0.25, 1.6, 2.2),
        Group(tuple(bowl), (), bx, bz - 0.2, 0.8, 1.0),
        Group((small_pot,), tuple(_plant(random, small, 46, 0.20, 0.30)), 4.8, 2.8, 0.86, 1.5),
        Group((tall_pot,), tuple(_plant(random, tall, 60, 0.36, 0.75)), 4.4, 4.65, 0.1, 1.5),
    ]


def _plant(
    random: np.random.Generator, root: Vector, count: int, length: float, height: float
) -> list[Leaf]:
    leaves = []
    for number in range(count):
        around = number * 2.39996 + random.normal(0, 0.2)
        rise = (number + 0.5) / count
        lean = (1 - 0.75 * rise) * random.uniform(0.75, 1.1)
        way = np.array([np.cos(around) * lean, 0.25 + 0.75 * rise, np.sin(around) * lean])
        way /= np.linalg.norm(way)
        start = np.array(root) + np.array([0, 0.75 * height * rise, 0]) + 0.05 * way
        own = length * random.uniform(0.7, 1.15)
        side = np.cross(way, np.array([0, 1.0, 0]))
        side /= np.linalg.norm(side) + 1e-6
        roll = random.normal(0, 0.5)
        up = np.cross(side, way)
        normal = np.cos(roll) * up + np.sin(roll) * side
        tone = random.uniform(0.7, 1.3)
        leaves.append(
            Leaf(
                tuple(start + 0.5 * own * way),
                tuple(way),
                tuple(normal),
                own / 2,
                own * random.uniform(0.10, 0.15),
                (0.07 * tone, 0.17 * tone, 0.035 * tone),
            )
        )
    return leaves


def walker(x: float, z: float, phase: float, facing: float = 1.0) -> Group:
    """A person who walks along x, at (x, z); phase in turns of the stride."""
    skin, hair = plain((0.42, 0.24, 0.16)), plain((0.035, 0.022, 0.015))
    shirt = partial(striped, (0.56, 0.10, 0.07), (0.60, 0.55, 0.46), 0.065)
    jeans, shoe = plain((0.05, 0.085, 0.17), 0.25), plain((0.30, 0.25, 0.20))
    swing = np.sin(2 * np.pi * phase)
    bob = 0.02 * np.cos(4 * np.pi * phase)

    def at(forward: float, up: float, side: float) -> Vector:
        return (x + facing * forward, up + bob, z + side)

    shapes = [
        Shape(at(0.0, 0.96, 0.055), at(0.0, 0.98, -0.055), 0.125, 0.125, jeans),
        Shape(at(0.0, 1.06, 0.0), at(0.025, 1.33, 0.0), 0.128, 0.152, shirt),
        Shape(at(0.02, 1.40, 0.13), at(0.02, 1.40, -0.13), 0.075, 0.075, shirt),
        Shape(at(0.025, 1.44, 0.0), at(0.04, 1.55, 0.0), 0.058, 0.055, skin),
        Shape(at(0.06, 1.60, 0.0), at(0.05, 1.66, 0.0), 0.078, 0.096, skin),
        Shape(at(0.135, 1.615, 0.0), at(0.152, 1.60, 0.0), 0.018, 0.016, skin),
        Shape(at(0.03, 1.675, 0.0), at(0.02, 1.69, 0.0), 0.105, 0.10, hair),
        Shape(at(-0.03, 1.63, 0.0), at(-0.045, 1.56, 0.0), 0.085, 0.06, hair),
    ]
    for side, sign in ((0.10, 1.0), (-0.10, -1.0)):
        lift = sign * swing
        hip = (0.0, 0.93)
        knee = (0.42 * np.sin(0.42 * lift + 0.10), 0.93 - 0.42 * np.cos(0.42 * lift + 0.10))
        bend = 0.42 * lift - (0.22 if lift < 0 else 0.06)
        foot = (knee[0] + 0.42 * np.sin(bend), knee[1] - 0.42 * np.cos(bend))
        shapes += [
            Shape(at(*hip, side), at(*knee, side), 0.095, 0.068, jeans),
            Shape(at(*knee, side), at(*foot, side), 0.066, 0.050, jeans),
            Shape(
                at(foot[0], foot[1] - 0.04, side),
                at(foot[0] + 0.15, foot[1] - 0.055, side),
                0.046,
                0.038,
                shoe,
            ),
        ]
        angle = -0.45 * lift
        elbow = (0.02 + 0.29 * np.sin(angle), 1.38 - 0.29 * np.cos(angle))
        wrist = (elbow[0] + 0.25 * np.sin(angle + 0.35), elbow[1] - 0.25 * np.cos(angle + 0.35))
        shapes += [
            Shape(at(0.02, 1.39, side * 1.9), at(*elbow, side * 2.2), 0.060, 0.048, shirt),
            Shape(at(*elbow, side * 2.2), at(*wrist, side * 2.2), 0.045, 0.034, skin),
            Shape(
                at(*wrist, side * 2.2),
                at(wrist[0] + 0.04, wrist[1] - 0.07, side * 2.2),
                0.040,
                0.034,
                skin,
            ),
        ]
    return Group(tuple(shapes), (), x, z, 0.1, 1.75)

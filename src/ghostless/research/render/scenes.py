"""Random scenes for training: a panorama as light and backdrop, ground, and things at many depths.

Between the moments of a scene the camera shakes and shifts as a hand does, so that near things
move against far ones, and some of the things go their own way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...errors import OptionError
from .engine import Camera, Surface, Thing, World
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
from .surfaces import books, brick, cloth, painting, plaster, rug, wood
from .walker import walker

Random = np.random.Generator
Range = tuple[float, float]

_GROUND_METRES = 60.0
_DRAWN_SURFACES = 3
# What is brighter than this, against the mean, would leave single bright pixels all over.
_MOST_LIGHT = 4000.0


@dataclass(frozen=True, kw_only=True)
class SceneSettings:
    """What scenes are like. A pair is a range that each scene draws from anew.

    size: (height, width) in pixels. moments: how many pictures of a scene. view_degrees: across
    the picture. objects: how many things stand about, from `near_metres` to `far_metres`; up to
    `moving` of them move, by `travel_metres` and up to `travel_degrees` between moments.
    shake_degrees, shift_metres: of the camera at each moment, at most, along each axis.
    indoor_share: share of the scenes inside a dark room with a window.
    """

    size: tuple[int, int] = (256, 384)
    moments: int = 3
    view_degrees: Range = (45.0, 65.0)
    objects: tuple[int, int] = (5, 12)
    moving: tuple[int, int] = (1, 4)
    near_metres: float = 1.8
    far_metres: float = 9.0
    travel_metres: Range = (0.05, 0.6)
    travel_degrees: float = 12.0
    shake_degrees: float = 0.7
    shift_metres: float = 0.02
    indoor_share: float = 0.4

    def __post_init__(self) -> None:
        if min(self.size) < 16:
            raise OptionError(f"size: expected at least 16 x 16 pixels, found {self.size}")
        if not 2 <= self.moments <= 20:
            raise OptionError(f"moments: expected 2 to 20, found {self.moments}")
        if not 0 < self.objects[0] <= self.objects[1] <= 100:
            raise OptionError(f"objects: expected (low, high) from 1 to 100, found {self.objects}")
        if not 0 <= self.moving[0] <= self.moving[1]:
            raise OptionError(f"moving: expected (low, high) from 0, found {self.moving}")


@dataclass(frozen=True)
class Placed:
    """A thing and where it is at each moment: rigid poses (M, 4, 4) from its own space."""

    thing: Thing
    poses: NDArray[np.float64]


@dataclass(frozen=True)
class Scene:
    """A scene over its moments; things have names of their own."""

    placed: tuple[Placed, ...]
    cameras: tuple[Camera, ...]
    around: Array
    around_yaw_degrees: float

    def at(self, moment: int) -> World:
        """The world at one moment."""
        things = tuple(
            replace(part.thing, mesh=part.thing.mesh.moved(part.poses[moment]))
            for part in self.placed
        )
        return World(things, self.around, around_yaw_degrees=self.around_yaw_degrees)


def random_scene(
    random: Random,
    around: Array,
    surfaces: Sequence[Array] = (),
    settings: SceneSettings = SceneSettings(),
) -> Scene:
    """Draw a scene.

    around: panorama (H, W, 3), linear. surfaces: colour maps (H, W, 3) of linear albedo that things
    are covered with beside what is drawn by code.
    """
    paint = _painter(random, surfaces)
    view = float(np.deg2rad(random.uniform(*settings.view_degrees)))
    height = float(random.uniform(1.1, 1.9))
    placed = [_still(Thing("ground", _ground(random), paint()), settings.moments)]
    if random.random() < settings.indoor_share:
        walls = Thing("walls", _walls(random, settings.far_metres), paint())
        placed.append(_still(walls, settings.moments))
    count = int(random.integers(settings.objects[0], settings.objects[1] + 1))
    moving = min(int(random.integers(settings.moving[0], settings.moving[1] + 1)), count)
    # Even in inverse depth: as many things near, where they are large, as far.
    nearness = np.linspace(1 / settings.near_metres, 1 / settings.far_metres, count)
    goes = np.zeros(count, bool)
    goes[random.permutation(count)[:moving]] = True
    for number in range(count):
        depth = 1 / float(nearness[number])
        placed.append(_place(random, number, depth, view, bool(goes[number]), paint, settings))
    yaw = float(random.uniform(-180, 180))
    return Scene(tuple(placed), _cameras(random, view, height, settings), _even(around), yaw)


def _even(around: Array) -> Array:
    """The panorama with a mean of 1, the sun's disc no brighter than a path tracer can bear."""
    mean = float(around.mean())
    if not mean > 0:
        raise OptionError("expected a panorama with light in it, found only black")
    return np.asarray(np.clip(around / mean, 0, _MOST_LIGHT), np.float32)


def _cameras(
    random: Random, view: float, height: float, settings: SceneSettings
) -> tuple[Camera, ...]:
    pixels_down, pixels_across = settings.size
    focal = pixels_across / 2 / np.tan(view / 2)
    pitch = float(random.uniform(-9, 1))
    cameras = []
    for _ in range(settings.moments):
        turn = random.uniform(-1, 1, 3) * settings.shake_degrees + (pitch, 0, 0)
        place = random.uniform(-1, 1, 3) * settings.shift_metres + (0, height, 0)
        cameras.append(
            Camera(_vector(place), _vector(turn), pixels_across, pixels_down, float(focal))
        )
    return tuple(cameras)


def _vector(values: NDArray[np.float64]) -> Vector:
    return float(values[0]), float(values[1]), float(values[2])


# Surfaces -----------------------------------------------------------------------------------------


def _painter(random: Random, surfaces: Sequence[Array]) -> Callable[[], Surface]:
    """Draws surfaces: given ones and a few drawn ones, matte or shiny."""
    drawn = [_drawn(random) for _ in range(_DRAWN_SURFACES)]

    def paint() -> Surface:
        pool = surfaces if surfaces and random.random() < 0.7 else drawn
        albedo = pool[int(random.integers(len(pool)))]
        # None is whiter than paint or blacker than velvet.
        albedo = np.clip(albedo * random.uniform(0.6, 1.2), 0.02, 0.85)
        roughness = 1.0 if random.random() < 0.6 else float(random.uniform(0.15, 0.6))
        return Surface(np.asarray(albedo, np.float32), roughness)

    return paint


def _drawn(random: Random) -> Array:
    red, green, blue = (float(part) for part in np.exp(random.uniform(-3, -0.4, 3)))
    kinds: tuple[Callable[[], Array], ...] = (
        lambda: wood(random, (0.36, 0.215, 0.11)),
        lambda: brick(random),
        lambda: cloth(random, (red, green, blue)),
        lambda: plaster(random, (red, green, blue)),
        lambda: rug(random),
        lambda: books(random),
        lambda: painting(random, int(random.integers(3))),
    )
    return kinds[int(random.integers(len(kinds)))]()


# Things -------------------------------------------------------------------------------------------


def _ground(random: Random) -> Mesh:
    half = _GROUND_METRES / 2
    return box((-half, -0.2, -4), (half, 0, _GROUND_METRES), metres=float(random.uniform(0.8, 2.5)))


def _walls(random: Random, far: float) -> Mesh:
    """A room round the camera and the things, with a window in its far wall."""
    side, back, top = random.uniform(3.0, 4.5), far + 0.8, random.uniform(2.6, 3.4)
    left = random.uniform(-0.7, 0.1) * side
    right = left + random.uniform(0.35, 0.6) * side
    low, high = random.uniform(0.5, 1.0), random.uniform(1.9, 2.4)
    deep = back + 0.3
    parts = [
        ((-side - 0.2, 0, -3.2), (-side, top, deep)),
        ((side, 0, -3.2), (side + 0.2, top, deep)),
        ((-side, 0, -3.2), (side, top, -3.0)),
        ((-side, top, -3.2), (side, top + 0.2, deep)),
        ((-side, 0, back), (left, top, deep)),
        ((right, 0, back), (side, top, deep)),
        ((left, 0, back), (right, low, deep)),
        ((left, high, back), (right, top, deep)),
    ]
    return merged([box(*corners, metres=1.6) for corners in parts])


def _still(thing: Thing, moments: int) -> Placed:
    return Placed(thing, np.broadcast_to(np.eye(4), (moments, 4, 4)).copy())


def _place(
    random: Random,
    number: int,
    depth: float,
    view: float,
    goes: bool,
    paint: Callable[[], Surface],
    settings: SceneSettings,
) -> Placed:
    """Stand a random thing at a depth within the view; let it move over the moments, or not."""
    thing = _thing(random, f"thing {number}", paint)
    across = 0.85 * np.tan(view / 2) * depth
    start = np.array([random.uniform(-across, across), 0.0, depth])
    heading = random.uniform(0, 2 * np.pi)
    # Far things cover few pixels: they go further.
    speed = random.uniform(*settings.travel_metres) * min(depth / 3, 2) * goes
    way = speed * np.array([np.cos(heading), 0.0, 0.4 * np.sin(heading)])
    turn = random.uniform(0, 360)
    spin = random.uniform(-1, 1) * settings.travel_degrees * goes
    time = np.arange(settings.moments) - (settings.moments - 1) // 2
    poses = [pose(_vector(start + step * way), (0, turn + step * spin, 0)) for step in time]
    return Placed(thing, np.stack(poses))


def _thing(random: Random, name: str, paint: Callable[[], Surface]) -> Thing:
    """A random thing that stands on the ground at the origin."""
    size = float(np.exp(random.uniform(np.log(0.3), np.log(1.3))))
    kind = int(random.integers(8))
    if kind == 0:
        return replace(walker(0, 0, random.random(), voxel_metres=0.02), name=name)
    if kind == 1:
        blades = merged(_blades(random, size))
        return Thing(name, blades, Surface(None, roughness=0.5, translucent=0.2))
    if kind == 2:
        wide, deep = size * random.uniform(0.4, 1), size * random.uniform(0.4, 1)
        mesh = box((-wide / 2, 0, -deep / 2), (wide / 2, size, deep / 2))
    elif kind == 3:
        wide, deep = size * random.uniform(0.5, 1), size * random.uniform(0.5, 1)
        low, high = (-wide / 2, 0, -deep / 2), (wide / 2, size, deep / 2)
        mesh = rounded_box(low, high, 0.12 * size, metres=float(random.uniform(0.3, 0.8)))
    elif kind == 4:
        mesh = ball(size / 2).moved(pose((0, size / 2, 0)))
    elif kind == 5:
        mesh = turned(_profile(random, size))
    elif kind == 6:
        upright = pose((0, 0.45 * size, 0), (random.uniform(0, 25), 0, random.uniform(-15, 15)))
        mesh = cushion((size, 0.9 * size, 0.35 * size), metres=0.4).moved(upright)
    else:
        cloth_height = 1.2 * size + 0.4
        mesh = curtain(size, cloth_height, random.uniform(3, 8), 0.05, int(random.integers(1000)))
        mesh = mesh.moved(pose((-size / 2, 0.0, 0.0)))
    return Thing(name, mesh, paint())


def _profile(random: Random, size: float) -> list[tuple[float, float]]:
    """A vase's outline, bottom to top."""
    heights = np.linspace(0, size, 14)
    bends = random.normal(0, 0.35, 3) / (1, 2, 3)
    swing = sum(bend * np.sin((n + 1) * 3 * heights / size) for n, bend in enumerate(bends))
    radii = np.clip(0.22 * size * (1 + swing), 0.04 * size, 0.5 * size)
    outline = [(0.0, 0.0), *zip(radii.tolist(), heights.tolist(), strict=True)]
    return [*outline, (0.8 * float(radii[-1]), size), (0.0, 0.9 * size)]


def _blades(random: Random, size: float) -> list[Mesh]:
    blades = []
    for number in range(40):
        around, rise = number * 2.39996, (number + 0.5) / 40
        lean = (1 - 0.75 * rise) * random.uniform(0.7, 1.1)
        way = np.array([np.cos(around) * lean, 0.3 + 0.7 * rise, np.sin(around) * lean])
        tone = random.uniform(0.6, 1.4)
        length = size * random.uniform(0.5, 0.9)
        blade = leaf((0, 0.3 * size * rise, 0), way, length, 0.09 * size, 0.3 * (1 - rise))
        blades.append(blade.coloured((0.07 * tone, 0.18 * tone, 0.035 * tone)))
    return blades

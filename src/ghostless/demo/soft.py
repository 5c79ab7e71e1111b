"""Round things and leaves: capsules and cones met by sphere tracing, leaves as pointed discs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from .render import Array, Ints, LightMaps, Painting, Vector
from .textures import vector

Paint = Callable[[Array], Array]
_BLEND_METRES = 0.018
_STEPS = 40
_SHADOW_STEPS = 14
_TILE_PIXELS = 96
_CONTACT_METRES = 0.16


@dataclass(frozen=True)
class Shape:
    """A capsule from `start` to `end` whose radius changes on the way, or an upright cut cone.

    paint: albedo (N, 3) of points (N, 3) given from `start`. glow: radiance of its own.
    """

    start: Vector
    end: Vector
    start_radius: float
    end_radius: float
    paint: Paint
    cone: bool = False
    glow: Vector = (0.0, 0.0, 0.0)

    def distance(self, points: Array) -> Array:
        """Signed distance (N,) of points (N, 3), at most the true one."""
        start, along = vector(self.start), np.subtract(self.end, self.start).astype(np.float32)
        moved = points - start
        if self.cone:
            part = moved[:, 1] / along[1]
            radius = self.start_radius + part * (self.end_radius - self.start_radius)
            slope = (self.end_radius - self.start_radius) / along[1]
            side = (np.hypot(moved[:, 0], moved[:, 2]) - radius) / np.hypot(1, slope)
            ends = (np.abs(part - 0.5) - 0.5) * along[1]
            return vector(np.maximum(side, ends))
        part = np.clip(moved @ along / max(float(along @ along), 1e-9), 0, 1)
        radius = self.start_radius + part * (self.end_radius - self.start_radius)
        away = moved - part[:, None] * along
        return vector(np.sqrt((away * away).sum(1)) - radius)

    def corners(self) -> Array:
        """Two opposite corners spread to a box about the shape, (8, 3)."""
        radius = max(self.start_radius, self.end_radius) + _BLEND_METRES
        low = np.minimum(self.start, self.end) - radius
        high = np.maximum(self.start, self.end) + radius
        pick = np.array([(a, b, c) for a in (0, 1) for b in (0, 1) for c in (0, 1)])
        return np.where(pick == 0, low, high).astype(np.float32)


@dataclass(frozen=True)
class Leaf:
    """A pointed leaf: its middle, the way it grows, its normal, half its length and width."""

    middle: tuple[float, ...]
    way: tuple[float, ...]
    normal: tuple[float, ...]
    half_length: float
    half_width: float
    colour: Vector


@dataclass(frozen=True)
class Group:
    """Things drawn together, lit by probes up a vertical line at (x, z) from `low` to `high`."""

    shapes: tuple[Shape, ...]
    leaves: tuple[Leaf, ...]
    x: float
    z: float
    low: float
    high: float


def _grain(points: Array) -> Array:
    """Cheap speckle (N,), about -1..1, fixed to the surface."""
    mixed = points @ vector([127.1, 311.7, 74.7]) * 9
    return np.asarray(2 * ((np.sin(mixed) * 43758.547) % 1) - 1, np.float32)


def plain(colour: Vector, speckle: float = 0.10) -> Paint:
    """One colour, a little speckled."""

    def paint(points: Array) -> Array:
        return np.asarray(vector(colour) * (1 + speckle * _grain(points))[:, None], np.float32)

    return paint


def striped(first: Vector, second: Vector, spacing: float, points: Array) -> Array:
    """Knitted horizontal stripes of two colours."""
    place = points[:, 1] / spacing
    stripe = np.clip((np.abs(place % 1 - 0.5) - 0.22) * 40, 0, 1)[:, None]
    knit = 1 + 0.16 * np.sin(points[:, 1] * 900) * np.sin(points[:, 0] * 500 + points[:, 2] * 500)
    colour = vector(first) + stripe * (vector(second) - vector(first))
    return np.asarray(colour * knit[:, None], np.float32)


def _field(shapes: Sequence[Shape], points: Array) -> tuple[Array, Ints]:
    """Smoothly joined distance to shapes, and which one is nearest."""
    total = np.full(len(points), 1e3, np.float32)
    nearest, which = total.copy(), np.zeros(len(points), np.int32)
    for index, shape in enumerate(shapes):
        distance = shape.distance(points)
        which[distance < nearest] = index
        nearest = np.minimum(nearest, distance)
        if shape.cone:
            total = np.minimum(total, distance)
        else:
            mix = np.clip(0.5 + 0.5 * (total - distance) / _BLEND_METRES, 0, 1)
            total = total + mix * (distance - total) - _BLEND_METRES * mix * (1 - mix)
    return total.astype(np.float32), which


def ambient(probes: tuple[Array, Array], points: Array, normals: Array) -> Array:
    """Irradiance (N, 3) from the nearest heights of a column of probes.

    probes: heights (P,) rising, and irradiance (P, 6, 3) for the six axes.
    """
    heights, light = probes
    place = np.interp(points[:, 1], heights, np.arange(len(heights))).astype(np.float32)
    low = np.minimum(place.astype(int), len(heights) - 2)
    part = (place - low)[:, None, None]
    here = light[low] * (1 - part) + light[low + 1] * part
    weight = np.stack([np.maximum(s * normals[:, a], 0) for a in range(3) for s in (-1, 1)], axis=1)
    return np.asarray(((weight**2)[:, :, None] * here).sum(1), np.float32)


def draw(painting: Painting, maps: LightMaps, group: Group) -> None:
    """Draw a group into a painting, in place, where it is nearer than what is there."""
    heights = np.linspace(group.low, group.high, 5, dtype=np.float32)
    line = [np.full(5, group.x), heights, np.full(5, group.z)]
    probes = heights, maps.probe(np.stack(line, axis=1).astype(np.float32))
    if group.shapes:
        _draw_shapes(painting, maps, group.shapes, probes)
    _draw_leaves(painting, group.leaves, probes)


def _draw_shapes(
    painting: Painting, maps: LightMaps, shapes: Sequence[Shape], probes: tuple[Array, Array]
) -> None:
    """Draw one group of shapes and its shadows into a painting, in place."""
    frames = [painting.camera.frame_of(shape.corners()) for shape in shapes]
    if any(frame is None for frame in frames):
        return
    around = np.array(frames)
    _cast_shadows(painting, maps, shapes, around)
    x0, y0 = around[:, :2].min(axis=0)
    x1, y1 = around[:, 2:].max(axis=0)
    for top in range(y0, y1, _TILE_PIXELS):
        for left in range(x0, x1, _TILE_PIXELS):
            bottom, right = min(top + _TILE_PIXELS, y1), min(left + _TILE_PIXELS, x1)
            meets = (around[:, 0] < right) & (around[:, 2] > left)
            meets &= (around[:, 1] < bottom) & (around[:, 3] > top)
            near = [shapes[int(index)] for index in np.flatnonzero(meets)]
            if near:
                _draw_tile(painting, maps, near, probes, (left, top, right, bottom))


def _draw_tile(
    painting: Painting,
    maps: LightMaps,
    shapes: Sequence[Shape],
    probes: tuple[Array, Array],
    tile: tuple[int, int, int, int],
) -> None:
    camera = painting.camera
    left, top, right, bottom = tile
    rows, columns = (grid.ravel() for grid in np.mgrid[top:bottom, left:right])
    way = camera.rays(columns, rows)
    eye = vector(camera.place)
    spread = np.concatenate([shape.corners() for shape in shapes]) - eye
    first, last = np.linalg.norm(spread, axis=1).min() - 0.3, np.linalg.norm(spread, axis=1).max()
    travelled = np.full(len(way), max(float(first), 0.02), np.float32)
    alive = np.arange(len(way))
    reached = np.zeros(len(way), bool)
    for _ in range(_STEPS):
        gap, _ = _field(shapes, eye + travelled[alive, None] * way[alive])
        done = gap < 0.0012
        reached[alive[done]] = True
        travelled[alive] += np.maximum(gap, 0) * 0.95
        alive = alive[~done & (travelled[alive] < last)]
        if not len(alive):
            break
    at = np.flatnonzero(reached & (travelled < painting.depth[rows, columns]))
    if len(at):
        points = (eye + travelled[at, None] * way[at]).astype(np.float32)
        light, sun = _shade_points(points, shapes, maps, probes)
        painting.light[rows[at], columns[at]] = light
        painting.sun[rows[at], columns[at]] = sun
        painting.depth[rows[at], columns[at]] = travelled[at]


def _cast_shadows(
    painting: Painting, maps: LightMaps, shapes: Sequence[Shape], around: Ints
) -> None:
    """Take sunlight away behind shapes, and darken what they nearly touch."""
    height, width = painting.depth.shape
    margin = height // 16
    y0, y1 = max(around[:, 1].min() - margin, 0), min(around[:, 3].max() + margin, height)
    x0, x1 = max(around[:, 0].min() - margin, 0), min(around[:, 2].max() + margin, width)
    rows, columns = (grid.ravel() for grid in np.mgrid[y0:y1, x0:x1])
    points = painting.points(rows, columns)
    spread = np.concatenate([shape.corners() for shape in shapes])
    low, high = spread.min(axis=0) - _CONTACT_METRES, spread.max(axis=0) + _CONTACT_METRES
    at = np.flatnonzero(((points > low) & (points < high)).all(axis=1))
    if len(at):
        gap = _field(shapes, points[at])[0]
        open_share = 0.45 + 0.55 * np.clip(gap / _CONTACT_METRES, 0, 1) ** 0.7
        painting.light[rows[at], columns[at]] *= open_share[:, None]
    rows, columns = np.nonzero(painting.sun.max(axis=2) > 0.01)
    start = painting.points(rows, columns)
    to_sun = vector(maps.tracer.room.to_sun)
    # The rays that pass the group's bounding ball are the only ones it can shade.
    middle, radius = (low + high) / 2, float(np.linalg.norm(high - low)) / 2
    along = (middle - start) @ to_sun
    aside = np.linalg.norm(start + along[:, None] * to_sun - middle, axis=1)
    at = np.flatnonzero((aside < radius) & (along > -radius))
    travelled = np.maximum(along[at] - radius, 0.01).astype(np.float32)
    clear = np.ones(len(at), np.float32)
    for _ in range(_SHADOW_STEPS):
        gap = _field(shapes, start[at] + travelled[:, None] * to_sun)[0]
        clear = np.minimum(clear, np.clip(gap / (0.012 * travelled + 0.002) + 0.5, 0, 1))
        travelled += np.maximum(gap, 0.012)
    painting.sun[rows[at], columns[at]] *= clear[:, None]


def _shade_points(
    points: Array, shapes: Sequence[Shape], maps: LightMaps, probes: tuple[Array, Array]
) -> tuple[Array, Array]:
    step = np.float32(2e-3)
    here, which = _field(shapes, points)
    axes = np.eye(3, dtype=np.float32)
    gradient = [_field(shapes, points + step * axis)[0] - here for axis in axes]
    normals = np.stack(gradient, axis=1)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-9
    open_share = np.clip(_field(shapes, points + np.float32(0.07) * normals)[0] / 0.07, 0, 1)
    light = ambient(probes, points, normals) * (0.35 + 0.65 * open_share)[:, None]
    to_sun = vector(maps.tracer.room.to_sun)
    lifted = points + np.float32(0.01) * normals
    own_shadow = np.clip(_field(shapes, lifted + np.float32(0.05) * to_sun)[0] / 0.02, 0, 1)
    sun = maps.sun(lifted, normals) * own_shadow[:, None]
    for index, shape in enumerate(shapes):
        at = np.flatnonzero(which == index)
        if len(at):
            albedo = np.clip(shape.paint(points[at] - vector(shape.start)), 0.003, 0.9)
            light[at] = albedo * light[at] / np.float32(np.pi) + vector(shape.glow)
            sun[at] *= albedo / np.float32(np.pi)
    return light.astype(np.float32), sun.astype(np.float32)


def _draw_leaves(painting: Painting, leaves: Sequence[Leaf], probes: tuple[Array, Array]) -> None:
    """Draw leaves into a painting, in place, where they are nearer."""
    camera, depth = painting.camera, painting.depth
    eye = vector(camera.place)
    for leaf in leaves:
        middle, way, normal = (vector(v) for v in (leaf.middle, leaf.way, leaf.normal))
        side = np.cross(way, normal).astype(np.float32)
        ends = np.stack(
            [
                middle + s * leaf.half_length * way + t * leaf.half_width * side
                for s in (-1, 1)
                for t in (-1, 1)
            ]
        )
        frame = camera.frame_of(ends)
        if frame is None or frame[2] <= frame[0] or frame[3] <= frame[1]:
            continue
        rows, columns = (g.ravel() for g in np.mgrid[frame[1] : frame[3], frame[0] : frame[2]])
        rays = camera.rays(columns, rows)
        slant = rays @ normal
        distance = ((middle - eye) @ normal) / np.where(np.abs(slant) < 1e-4, 1e-4, slant)
        points = eye + distance[:, None] * rays
        along = (points - middle) @ way / leaf.half_length
        across = (points - middle) @ side / leaf.half_width
        inside = (np.abs(along) < 1) & (np.abs(across) < (1 - along**2) * (1 + 0.35 * along))
        inside &= (distance > 0) & (distance < depth[rows, columns])
        at = np.flatnonzero(inside)
        if not len(at):
            continue
        front = normal if float((eye - middle) @ normal) > 0 else -normal
        normals = np.broadcast_to(front, (len(at), 3)).astype(np.float32)
        light = ambient(probes, points[at].astype(np.float32), normals)
        through = ambient(probes, points[at].astype(np.float32), -normals)
        vein = (
            1
            + 0.5 * (np.abs(across[at]) < 0.10)
            + 0.12 * np.sin(along[at] * 26 + np.abs(across[at]) * 5)
        )
        albedo = vector(leaf.colour) * vein[:, None]
        glow = through * vector((0.35, 0.55, 0.12)) * 0.30
        painting.light[rows[at], columns[at]] = (albedo * light + glow * albedo * 4) / np.pi
        painting.sun[rows[at], columns[at]] = 0
        depth[rows[at], columns[at]] = distance[at]


def through_lens(picture: Array, strength: float = 0.012) -> Array:
    """Soften a picture by less than a pixel and spread a little of its brightest light."""
    picture = cv2.GaussianBlur(picture, (0, 0), 0.65)
    height, width = picture.shape[:2]
    bright = np.maximum(picture - 2.0, 0)
    small = cv2.resize(bright, (width // 4, height // 4), interpolation=cv2.INTER_AREA)
    spread = sum(
        np.asarray(cv2.GaussianBlur(small, (0, 0), sigma)) * weight
        for sigma, weight in ((4, 0.5), (14, 0.3), (45, 0.2))
    )
    wide = cv2.resize(
        np.asarray(spread, np.float32), (width, height), interpolation=cv2.INTER_LINEAR
    )
    return np.asarray(picture + np.float32(strength * 4) * wide, np.float32)

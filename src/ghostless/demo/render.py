"""A small renderer for the demo's room: boxes, light maps with bounced light, soft round things.

Metres; x to the right, y up, z away from the camera. Colours are linear radiance, float32.
Diffuse light is gathered once per patch of surface (a "texel"): sky light through the window,
lamps, and two bounces along cosine-distributed rays. The picture then looks surfaces up in these
light maps, and adds hard sunlight and the floor's reflections per pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .textures import vector

Array = NDArray[Any]
Ints = NDArray[Any]
Vector = tuple[float, float, float]

NOTHING = -1
_FAR = np.float32(1e9)
_TEXEL_METRES = 0.095
_GATHER_RAYS = 32
_BOUNCES = 3
_WINDOW_SAMPLES = 18
_CHUNK = 60_000
_TILE = 192


@dataclass(frozen=True)
class Material:
    """A surface: its texture repeats every `metres`, or is fitted once to the face for None."""

    texture: Array
    metres: float | None = 1.0
    gloss: float = 0.0
    upright: bool = False


@dataclass(frozen=True)
class Box:
    """A box from `low` to `high`, turned about its vertical axis."""

    low: Vector
    high: Vector
    material: str
    turn_degrees: float = 0.0


@dataclass(frozen=True)
class Lamp:
    """A small round light; `colour` is its radiant intensity."""

    centre: Vector
    radius: float
    colour: Vector


@dataclass(frozen=True)
class Room:
    """All that stands still. boxes[0] is the room itself, seen from inside.

    opening: x0, y0, x1, y1 of the window in the far wall.
    to_sun: unit vector towards the sun. panes: x0, y0, x1, y1 of each pane.
    """

    boxes: tuple[Box, ...]
    materials: dict[str, Material]
    lamps: tuple[Lamp, ...]
    opening: tuple[float, float, float, float]
    panes: tuple[tuple[float, float, float, float], ...]
    to_sun: Vector
    sun: Vector
    outside: Array


@dataclass(frozen=True)
class Hits:
    """Where rays met something: distance, box and face (or NOTHING), place on the face 0..1."""

    distance: Array
    box: Ints
    face: Ints
    u: Array
    v: Array


def _turned(box: Box, points: Array, about: bool) -> Array:
    """Points (about the box's middle) or directions in the box's own axes."""
    middle = np.array([(a + b) / 2 for a, b in zip(box.low, box.high, strict=True)], np.float32)
    moved = points - middle if about else points
    if not box.turn_degrees:
        return moved.astype(np.float32)
    angle = np.deg2rad(box.turn_degrees)
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return np.stack(
        [c * moved[:, 0] - s * moved[:, 2], moved[:, 1], s * moved[:, 0] + c * moved[:, 2]], axis=1
    )


def _enter(box: Box, origins: Array, directions: Array) -> tuple[Array, Array]:
    """Distances at which rays enter and leave a box (slab test); enter > leave for a miss."""
    half = np.array([(b - a) / 2 for a, b in zip(box.low, box.high, strict=True)], np.float32)
    start, way = _turned(box, origins, True), _turned(box, directions, False)
    enter = np.full(len(start), -_FAR, np.float32)
    leave = np.full(len(start), _FAR, np.float32)
    for axis in range(3):
        step = way[:, axis]
        inverse = 1 / np.where(np.abs(step) < 1e-9, np.float32(1e-9), step)
        middle, reach = -start[:, axis] * inverse, half[axis] * np.abs(inverse)
        enter = np.maximum(enter, middle - reach)
        leave = np.minimum(leave, middle + reach)
    return enter, leave


def face_normals(box: Box) -> Array:
    """Outward normals (6, 3) of a box's faces: -x, +x, -y, +y, -z, +z in its own axes."""
    angle = np.deg2rad(box.turn_degrees)
    c, s = np.cos(angle), np.sin(angle)
    x, z = np.array([c, 0, -s]), np.array([s, 0, c])
    y = np.array([0.0, 1, 0])
    return np.stack([-x, x, -y, y, -z, z]).astype(np.float32)


class Tracer:
    """Finds what rays meet in a room."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self.normals = np.stack([face_normals(box) for box in room.boxes])
        self.normals[0] *= -1  # the room is seen from inside
        self.halves = np.array(
            [[(h - low) / 2 for low, h in zip(b.low, b.high, strict=True)] for b in room.boxes],
            np.float32,
        )
        # What is smaller than this, in square metres, throws no soft shadow worth its time.
        faces = 4 * np.prod(np.sort(self.halves, axis=1)[:, 1:], axis=1)
        self.large = [index for index in range(1, len(room.boxes)) if faces[index] > 0.06]

    def in_opening(self, points: Array) -> NDArray[np.bool_]:
        """Whether points on the far wall lie in the window's opening."""
        x0, y0, x1, y1 = self.room.opening
        inside = (points[:, 0] > x0) & (points[:, 0] < x1)
        return inside & (points[:, 1] > y0) & (points[:, 1] < y1)

    def wall_distance(self, origins: Array, directions: Array) -> Array:
        """Distance to the room's walls; far where the ray leaves by the window."""
        _, leave = _enter(self.room.boxes[0], origins, directions)
        ends = origins + leave[:, None] * directions
        far_wall = np.float32(self.room.boxes[0].high[2])
        out = (np.abs(ends[:, 2] - far_wall) < 1e-3) & self.in_opening(ends)
        return np.where(out | (origins[:, 2] > far_wall), _FAR, leave).astype(np.float32)

    def meet(self, origins: Array, directions: Array, boxes: Sequence[int] | None = None) -> Hits:
        """Nearest surface along rays (N, 3), among `boxes` (all by default) and the walls."""
        nearest = self.wall_distance(origins, directions)
        which = np.where(nearest < _FAR, 0, NOTHING).astype(np.int32)
        for index in range(1, len(self.room.boxes)) if boxes is None else boxes:
            enter, leave = _enter(self.room.boxes[index], origins, directions)
            closer = (enter < leave) & (enter > 1e-4) & (enter < nearest)
            nearest = np.where(closer, enter, nearest)
            which[closer] = index
        return self._place(origins, directions, nearest, which)

    def _place(self, origins: Array, directions: Array, distance: Array, which: Ints) -> Hits:
        face = np.full(len(which), NOTHING, np.int32)
        u, v = np.zeros(len(which), np.float32), np.zeros(len(which), np.float32)
        ends = origins + np.minimum(distance, 1e4)[:, None] * directions
        for index in np.unique(which[which >= 0]):
            at = np.flatnonzero(which == index)
            box = self.room.boxes[index]
            unit = _turned(box, ends[at], True) / self.halves[index]
            axis = np.argmax(np.abs(unit), axis=1)
            rows = np.arange(len(at))
            face[at] = axis * 2 + (unit[rows, axis] > 0)
            across = np.where(axis == 0, 2, 0)
            upward = np.where(axis == 1, 2, 1)
            u[at] = np.clip(unit[rows, across] * 0.5 + 0.5, 0, 1)
            v[at] = np.clip(unit[rows, upward] * 0.5 + 0.5, 0, 1)
        return Hits(distance, which, face, u, v)

    def blocked(
        self, origins: Array, targets: Array, boxes: Sequence[int] | None = None
    ) -> NDArray[np.bool_]:
        """Whether one of `boxes` (all by default) stands between pairs of points."""
        way = targets - origins
        hidden = np.zeros(len(way), bool)
        for index in range(1, len(self.room.boxes)) if boxes is None else boxes:
            enter, leave = _enter(self.room.boxes[index], origins, way)
            hidden |= (enter < leave) & (leave > 1e-3) & (enter < 0.999)
        return hidden

    def sky(self, directions: Array) -> Array:
        """Radiance (N, 3) of the view outside along directions."""
        z = np.maximum(directions[:, 2], 1e-3)
        elevation = np.rad2deg(np.arctan2(directions[:, 1], np.hypot(directions[:, 0], z)))
        azimuth = np.rad2deg(np.arctan2(directions[:, 0], z))
        height, width = self.room.outside.shape[:2]
        at_x = ((azimuth + 45) / 90 * width).astype(np.float32)
        at_y = ((25 - elevation) / 42 * height).astype(np.float32)
        # cv2.remap takes no side over 32767: long lists are folded into rows.
        return fold_remap(self.room.outside, at_x, at_y, cv2.BORDER_REPLICATE)

    def sunlit(self, points: Array) -> Array:
        """Share 0..1 of the sun's disc seen through the panes, furniture included."""
        to_sun = np.array(self.room.to_sun, np.float32)
        far_wall = self.room.boxes[0].high[2] + 0.12
        reach = (far_wall - points[:, 2]) / to_sun[2]
        x, y = points[:, 0] + reach * to_sun[0], points[:, 1] + reach * to_sun[1]
        blur = np.maximum(0.006 * reach, 0.004)
        light = np.zeros(len(points), np.float32)
        for x0, y0, x1, y1 in self.room.panes:
            inside_x = np.clip((x - x0) / blur + 0.5, 0, 1) * np.clip((x1 - x) / blur + 0.5, 0, 1)
            inside_y = np.clip((y - y0) / blur + 0.5, 0, 1) * np.clip((y1 - y) / blur + 0.5, 0, 1)
            light = np.maximum(light, inside_x * inside_y)
        at = np.flatnonzero(light > 0.004)
        if len(at):
            start = points[at] + 2e-3 * to_sun
            ends = np.stack([x[at], y[at], np.full(len(at), far_wall, np.float32)], axis=1)
            light[at[self.blocked(start, ends.astype(np.float32))]] = 0
        return light


def fold_remap(image: Array, at_x: Array, at_y: Array, border: int) -> Array:
    """Sample an image (H, W, 3) bilinearly at N places; returns (N, 3)."""
    count = len(at_x)
    width = 1024
    pad = -count % width
    x = np.pad(at_x.astype(np.float32), (0, pad)).reshape(-1, width)
    y = np.pad(at_y.astype(np.float32), (0, pad)).reshape(-1, width)
    rows = [
        cv2.remap(image, x[i : i + 8192], y[i : i + 8192], cv2.INTER_LINEAR, borderMode=border)
        for i in range(0, len(x), 8192)
    ]
    if not rows:
        return np.zeros((0, 3), np.float32)
    return np.concatenate(rows).reshape(-1, 3)[:count]


def _cosine_rays(normals: Array, count: int, random: np.random.Generator) -> Array:
    """`count` directions about each normal, density as the cosine; (N, count, 3)."""
    size = len(normals)
    index = np.arange(count, dtype=np.float32)[None, :]
    turn = random.random((size, 2), dtype=np.float32)
    radius = np.sqrt((index + turn[:, :1]) / count)
    angle = 2 * np.pi * ((index * 0.61803399 + turn[:, 1:]) % 1)
    side = np.where(np.abs(normals[:, 1:2]) < 0.9, vector([[0, 1, 0]]), vector([[1, 0, 0]]))
    first = np.cross(normals, side)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    second = np.cross(normals, first)
    rays = (
        (radius * np.cos(angle))[:, :, None] * first[:, None]
        + (radius * np.sin(angle))[:, :, None] * second[:, None]
        + np.sqrt(np.maximum(1 - radius**2, 0))[:, :, None] * normals[:, None]
    )
    return vector(rays)


class LightMaps:
    """Irradiance of every texel of every face, with two bounces."""

    def __init__(self, tracer: Tracer, seed: int = 1) -> None:
        self.tracer = tracer
        self.random = np.random.default_rng(seed)
        self._lay_out()
        self._mean_albedo()
        black = np.zeros((1, 3), np.float32)
        direct = self.direct(self.points, self.point_normals)
        sun = self.sun(self.points, self.point_normals)
        met = self._gather(self.points, self.point_normals)
        light = np.concatenate([direct + sun, black])
        for _ in range(_BOUNCES):
            glow = light * self.albedo / np.float32(np.pi)
            light = np.concatenate([direct + sun + self._bounced(glow, met), black])
        self.glow = self._smooth(light) * self.albedo / np.float32(np.pi)
        # Sunlight is left out of what pixels look up: they find its hard edges by themselves.
        self.light = self._smooth(light - np.concatenate([sun, black]))

    @staticmethod
    def _bounced(glow: Array, met: Ints) -> Array:
        """Irradiance from the surfaces that cosine rays met: pi times their mean radiance."""
        total = np.zeros((len(met), 3), np.float32)
        for ray in range(met.shape[1]):
            total += glow[met[:, ray]]
        return total * np.float32(np.pi / met.shape[1])

    def _lay_out(self) -> None:
        points, normals, self.box_of = [], [], []
        boxes = self.tracer.room.boxes
        self.offset = np.zeros((len(boxes), 6), np.int64)
        self.across = np.zeros((len(boxes), 6), np.int64)
        self.down = np.zeros((len(boxes), 6), np.int64)
        total = 0
        for index, box in enumerate(boxes):
            half = self.tracer.halves[index]
            middle = np.add(box.low, box.high) / 2
            axes = face_normals(box)[1::2]
            for face in range(6):
                axis, sign = face // 2, 1 if face % 2 else -1
                u_axis, v_axis = (2 if axis == 0 else 0), (2 if axis == 1 else 1)
                nu = int(np.clip(np.ceil(2 * half[u_axis] / _TEXEL_METRES), 2, 64))
                nv = int(np.clip(np.ceil(2 * half[v_axis] / _TEXEL_METRES), 2, 64))
                v, u = np.mgrid[:nv, :nu].astype(np.float32)
                u, v = (u.ravel() + 0.5) / nu * 2 - 1, (v.ravel() + 0.5) / nv * 2 - 1
                normal = self.tracer.normals[index, face]
                place = middle + sign * half[axis] * axes[axis] + 4e-3 * normal
                place = place + u[:, None] * half[u_axis] * axes[u_axis]
                points.append(place + v[:, None] * half[v_axis] * axes[v_axis])
                normals.append(np.broadcast_to(normal, (nu * nv, 3)))
                self.box_of.append(np.full(nu * nv, index))
                self.offset[index, face], self.across[index, face] = total, nu
                self.down[index, face] = nv
                total += nu * nv
        self.points = np.concatenate(points).astype(np.float32)
        self.point_normals = np.concatenate(normals).astype(np.float32)

    def _mean_albedo(self) -> None:
        room = self.tracer.room
        means = {name: m.texture.mean(axis=(0, 1)) for name, m in room.materials.items()}
        of_box = np.stack([means[box.material] for box in room.boxes])
        # The last texel, black, stands for whatever a ray that met nothing comes back with.
        self.albedo = np.concatenate([of_box[np.concatenate(self.box_of)], np.zeros((1, 3))])
        self.albedo = self.albedo.astype(np.float32)

    def direct(self, points: Array, normals: Array) -> Array:
        """Irradiance (N, 3) that comes straight from the sky in the window and the lamps."""
        room, total = self.tracer.room, np.zeros_like(points)
        x0, y0, x1, y1 = room.opening
        z = room.boxes[0].high[2] + 0.02
        columns = 6
        rows = _WINDOW_SAMPLES // columns
        area = (x1 - x0) * (y1 - y0) / _WINDOW_SAMPLES
        for sample in range(_WINDOW_SAMPLES):
            jitter = self.random.random((len(points), 2), dtype=np.float32)
            x = x0 + (x1 - x0) * (sample % columns + jitter[:, 0]) / columns
            y = y0 + (y1 - y0) * (sample // columns + jitter[:, 1]) / rows
            target = np.stack([x, y, np.full_like(x, z)], axis=1)
            way = target - points
            length = np.linalg.norm(way, axis=1) + 1e-4
            way /= length[:, None]
            geometry = np.maximum((way * normals).sum(1), 0) * np.maximum(way[:, 2], 0)
            geometry *= area / np.maximum(length, 0.15) ** 2
            at = np.flatnonzero(geometry > 1e-5)
            at = at[~self.tracer.blocked(points[at], target[at], self.tracer.large)]
            total[at] += geometry[at, None] * self.tracer.sky(way[at])
        for lamp in room.lamps:
            count = 8
            for _ in range(count):
                offset = self.random.standard_normal((len(points), 3)).astype(np.float32)
                offset *= lamp.radius / np.linalg.norm(offset, axis=1, keepdims=True)
                target = vector(lamp.centre) + offset
                way = target - points
                length = np.linalg.norm(way, axis=1) + 1e-4
                cosine = np.maximum((way * normals).sum(1), 0) / length
                strength = cosine / np.maximum(length, 0.18) ** 2 / count
                at = np.flatnonzero(strength > 1e-5)
                at = at[~self.tracer.blocked(points[at], target[at], self.tracer.large)]
                total[at] += strength[at, None] * vector(lamp.colour)
        return total.astype(np.float32)

    def sun(self, points: Array, normals: Array) -> Array:
        """Irradiance (N, 3) that comes straight from the sun."""
        facing = np.maximum(normals @ vector(self.tracer.room.to_sun), 0)
        at = np.flatnonzero(facing > 0)
        facing[at] *= self.tracer.sunlit(points[at])
        return vector(facing[:, None] * vector(self.tracer.room.sun))

    def _gather(self, points: Array, normals: Array) -> Ints:
        """Send cosine rays out from each point; returns the texel (N, rays) each one met."""
        rays = _cosine_rays(normals, _GATHER_RAYS, self.random).reshape(-1, 3)
        starts = np.repeat(points, _GATHER_RAYS, axis=0)
        chunks = [slice(i, i + _CHUNK) for i in range(0, len(rays), _CHUNK)]

        def meet(part: slice) -> Ints:
            return self.texel_of(self.tracer.meet(starts[part], rays[part], self.tracer.large))

        with ThreadPoolExecutor(2) as pool:
            return np.concatenate(list(pool.map(meet, chunks))).reshape(-1, _GATHER_RAYS)

    def texel_of(self, hits: Hits) -> Ints:
        """Nearest texel of every hit; the black last one for rays that met nothing."""
        box, face = np.maximum(hits.box, 0), np.maximum(hits.face, 0)
        nu, nv = self.across[box, face], self.down[box, face]
        column = np.minimum((hits.u * nu).astype(np.int64), nu - 1)
        row = np.minimum((hits.v * nv).astype(np.int64), nv - 1)
        index = self.offset[box, face] + row * nu + column
        return np.where(hits.box < 0, len(self.points), index).astype(np.int32)

    def _smooth(self, light: Array) -> Array:
        """Take the sampling noise out of every face's map."""
        light = light.copy()
        for box in range(len(self.offset)):
            for face in range(6):
                start, nu, nv = self.offset[box, face], self.across[box, face], self.down[box, face]
                part = light[start : start + nu * nv].reshape(nv, nu, 3)
                part[:] = cv2.GaussianBlur(part, (0, 0), 0.8, borderType=cv2.BORDER_REFLECT)
        return light

    def look_up(self, hits: Hits) -> Array:
        """Irradiance (N, 3) at hits, bilinear within each face."""
        box, face = np.maximum(hits.box, 0), np.maximum(hits.face, 0)
        nu, nv = self.across[box, face], self.down[box, face]
        x = np.clip(hits.u * nu - 0.5, 0, nu - 1)
        y = np.clip(hits.v * nv - 0.5, 0, nv - 1)
        column, row = x.astype(np.int64), y.astype(np.int64)
        part_x, part_y = (x - column)[:, None], (y - row)[:, None]
        right, below = np.minimum(column + 1, nu - 1), np.minimum(row + 1, nv - 1)
        start = self.offset[box, face]
        top = self.light[start + row * nu + column] * (1 - part_x)
        top += self.light[start + row * nu + right] * part_x
        bottom = self.light[start + below * nu + column] * (1 - part_x)
        bottom += self.light[start + below * nu + right] * part_x
        return vector(top * (1 - part_y) + bottom * part_y)

    def probe(self, places: Array) -> Array:
        """Irradiance (N, 6, 3) at places in the air for surfaces facing -x, +x, -y, +y, -z, +z.

        Sunlight is left out: it changes too fast from place to place.
        """
        axes = np.repeat(np.eye(3, dtype=np.float32), 2, axis=0)
        axes[::2] *= -1
        normals = np.tile(axes, (len(places), 1))
        points = np.repeat(places.astype(np.float32), 6, axis=0)
        bounced = self._bounced(self.glow, self._gather(points, normals))
        return (self.direct(points, normals) + bounced).reshape(-1, 6, 3)


@dataclass(frozen=True)
class Camera:
    """A pinhole camera; yaw turns it to the right, pitch up."""

    place: Vector
    yaw_degrees: float
    pitch_degrees: float
    width: int
    height: int
    focal_pixels: float

    def _axes(self) -> Array:
        yaw, pitch = np.deg2rad(self.yaw_degrees), np.deg2rad(self.pitch_degrees)
        forward = np.array(
            [np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)]
        )
        right = np.array([np.cos(yaw), 0, -np.sin(yaw)])
        return np.stack([right, np.cross(forward, right), forward]).astype(np.float32)

    def rays(self, columns: NDArray[Any], rows: NDArray[Any]) -> Array:
        """Unit directions (N, 3) through pixel centres."""
        local = np.stack(
            [
                (columns - (self.width - 1) / 2) / self.focal_pixels,
                (rows - (self.height - 1) / 2) / self.focal_pixels,
                np.ones(len(columns)),
            ],
            axis=1,
        ).astype(np.float32)
        local /= np.linalg.norm(local, axis=1, keepdims=True)
        axes = self._axes()
        return np.asarray(local @ (axes * vector([[1], [-1], [1]])), np.float32)

    def frame_of(self, points: Array) -> tuple[int, int, int, int] | None:
        """Pixel rectangle x0, y0, x1, y1 about points (N, 3); None where some lie behind."""
        local = (points - vector(self.place)) @ self._axes().T
        if local[:, 2].min() < 0.05:
            return None
        x = local[:, 0] / local[:, 2] * self.focal_pixels + (self.width - 1) / 2
        y = -local[:, 1] / local[:, 2] * self.focal_pixels + (self.height - 1) / 2
        return (
            int(np.clip(x.min() - 2, 0, self.width)),
            int(np.clip(y.min() - 2, 0, self.height)),
            int(np.clip(x.max() + 3, 0, self.width)),
            int(np.clip(y.max() + 3, 0, self.height)),
        )


def corners(box: Box) -> Array:
    """The eight corners of a box, (8, 3)."""
    middle = np.add(box.low, box.high) / 2
    half = np.subtract(box.high, box.low) / 2
    signs = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    return np.asarray(middle + (signs * half) @ face_normals(box)[1::2], np.float32)


@dataclass(frozen=True)
class Painting:
    """A picture under way: radiance but for direct sunlight (H, W, 3), sunlight, distance (H, W).

    Things drawn later write into these arrays.
    """

    camera: Camera
    light: Array
    sun: Array
    depth: Array

    def copy(self) -> Painting:
        return Painting(self.camera, self.light.copy(), self.sun.copy(), self.depth.copy())

    def points(self, rows: NDArray[Any], columns: NDArray[Any]) -> Array:
        """Places in the room (N, 3) that pixels show."""
        way = self.camera.rays(columns, rows)
        return vector(vector(self.camera.place) + self.depth[rows, columns, None] * way)


class Painter:
    """Draws a room with its light maps as seen by a camera."""

    def __init__(self, maps: LightMaps, camera: Camera) -> None:
        self.maps, self.tracer, self.camera = maps, maps.tracer, camera
        self.room = maps.tracer.room
        self.frames = [camera.frame_of(corners(box)) for box in self.room.boxes]
        self.mips = {
            name: self._shrink(material.texture) for name, material in self.room.materials.items()
        }

    @staticmethod
    def _shrink(texture: Array) -> list[Array]:
        levels = [texture]
        while levels[-1].shape[0] > 32:
            height, width = levels[-1].shape[:2]
            levels.append(
                np.asarray(
                    cv2.resize(levels[-1], (width // 2, height // 2), interpolation=cv2.INTER_AREA)
                )
            )
        return levels

    def paint(self) -> Painting:
        """Draw every pixel, a tile at a time: few boxes can be met within one tile."""
        width, height = self.camera.width, self.camera.height
        painting = Painting(
            self.camera,
            np.zeros((height, width, 3), np.float32),
            np.zeros((height, width, 3), np.float32),
            np.zeros((height, width), np.float32),
        )
        corners = [(x, y) for y in range(0, height, _TILE) for x in range(0, width, _TILE)]
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda corner: self._tile(painting, *corner), corners))
        return painting

    def _tile(self, painting: Painting, left: int, top: int) -> None:
        camera = self.camera
        right, bottom = min(left + _TILE, camera.width), min(top + _TILE, camera.height)
        rows, columns = (grid.ravel() for grid in np.mgrid[top:bottom, left:right])
        directions = camera.rays(columns, rows)
        origins = np.broadcast_to(vector(camera.place), directions.shape)
        near = [
            index
            for index, frame in enumerate(self.frames)
            if index
            and (
                frame is None
                or (frame[0] < right and frame[2] > left and frame[1] < bottom and frame[3] > top)
            )
        ]
        hits = self.tracer.meet(origins, directions, near)
        light, sun = self._shade(origins, directions, hits)
        painting.light[rows, columns], painting.sun[rows, columns] = light, sun
        painting.depth[rows, columns] = hits.distance

    def _shade(self, origins: Array, directions: Array, hits: Hits) -> tuple[Array, Array]:
        """Radiance without direct sunlight, and what the sun adds."""
        radiance, sunlight = np.empty_like(directions), np.zeros_like(directions)
        open_air = hits.box < 0
        radiance[open_air] = self.tracer.sky(directions[open_air])
        for name, material in self.room.materials.items():
            known = [i for i, box in enumerate(self.room.boxes) if box.material == name]
            at = np.flatnonzero(np.isin(hits.box, known))
            if not len(at):
                continue
            part = Hits(*(getattr(hits, field)[at] for field in Hits.__dataclass_fields__))
            way = directions[at]
            normals = self.tracer.normals[part.box, part.face]
            points = origins[at] + part.distance[:, None] * way + 3e-3 * normals
            albedo = self._albedo(name, material, part, -(way * normals).sum(1))
            radiance[at] = albedo * self.maps.look_up(part) / np.float32(np.pi)
            if material.gloss:
                radiance[at] += material.gloss * self._mirrored(points, way, normals, albedo)
            sunlight[at] = albedo * self.maps.sun(points, normals) / np.float32(np.pi)
        return radiance, sunlight

    def _albedo(self, name: str, material: Material, hits: Hits, cosine: Array) -> Array:
        axis = hits.face // 2
        half = self.tracer.halves[hits.box]
        rows = np.arange(len(axis))
        wide = 2 * half[rows, np.where(axis == 0, 2, 0)]
        tall = 2 * half[rows, np.where(axis == 1, 2, 1)]
        u, v = hits.u, hits.v
        levels = self.mips[name]
        size = np.float32(levels[0].shape[0])
        if material.metres is not None:
            u, v = u * wide / material.metres, v * tall / material.metres
            metres: Any = material.metres
        else:
            metres = np.maximum(wide, tall)
        # A plank's grain follows its longer side.
        turned = tall > wide if not material.upright else wide < 0
        u, v = np.where(turned, v, u), np.where(turned, u, v)
        shown_metres = hits.distance / self.camera.focal_pixels / np.sqrt(np.maximum(cosine, 0.02))
        level = np.log2(np.maximum(shown_metres * size / metres, 1e-3))
        level = np.clip(np.rint(level), 0, len(levels) - 1).astype(int)
        albedo = np.empty((len(u), 3), np.float32)
        border = cv2.BORDER_WRAP if material.metres is not None else cv2.BORDER_REPLICATE
        for index in np.unique(level):
            at = np.flatnonzero(level == index)
            texture = levels[index]
            x, y = u[at] * texture.shape[1] - 0.5, v[at] * texture.shape[0] - 0.5
            if material.metres is not None:
                x, y = x % texture.shape[1], y % texture.shape[0]
            albedo[at] = fold_remap(texture, x, y, border)
        return albedo

    def _mirrored(self, points: Array, way: Array, normals: Array, albedo: Array) -> Array:
        """Reflected radiance by Schlick's Fresnel term, the grain roughening the mirror."""
        cosine = -(way * normals).sum(1)
        rough = (albedo.mean(axis=1) / max(float(albedo.mean()), 1e-6) - 1) * np.float32(0.012)
        bent = way + (2 * cosine)[:, None] * normals
        bent[:, 0] += rough
        bent[:, 2] -= rough
        bent /= np.linalg.norm(bent, axis=1, keepdims=True)
        hits = self.tracer.meet(points, bent)
        seen = self.maps.glow[self.maps.texel_of(hits)]
        open_air = hits.box < 0
        seen[open_air] = np.minimum(self.tracer.sky(bent[open_air]), 6)
        fresnel = 0.04 + 0.96 * (1 - np.clip(cosine, 0, 1)) ** 5
        return np.asarray(fresnel[:, None] * seen, np.float32)

"""Meshes made by code: boxes, cushions, turned things, leaves, cloth, and what grows from balls.

Scenes are in metres, x to the right, y up, z away from the viewer; colours are linear albedo.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...work.packages import needs_extra
from .surfaces import Colour

Array = NDArray[Any]
Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Mesh:
    """Triangles with what Mitsuba wants at each corner.

    vertices, normals: (V, 3) float32. texture: (V, 2), place in the texture, row 0 at 0.
    faces: (F, 3) indices. colours: (V, 3) albedo of the vertices, or None.
    """

    vertices: Array
    normals: Array
    texture: Array
    faces: Array
    colours: Array | None = None

    def moved(self, pose: Array) -> Mesh:
        """Return the mesh moved by a rigid pose (4, 4)."""
        turn = np.asarray(pose[:3, :3], np.float32)
        vertices = self.vertices @ turn.T + np.asarray(pose[:3, 3], np.float32)
        return replace(self, vertices=vertices, normals=self.normals @ turn.T)

    def scaled(self, factors: float | Vector) -> Mesh:
        """Return the mesh stretched about the origin; factors are positive."""
        stretch = np.broadcast_to(np.asarray(factors, np.float32), (3,))
        normals = self.normals / stretch
        return replace(self, vertices=self.vertices * stretch, normals=_unit(normals))

    def coloured(self, colour: Colour) -> Mesh:
        """Return the mesh with one colour at all its vertices."""
        colours = np.broadcast_to(np.asarray(colour, np.float32), self.vertices.shape)
        return replace(self, colours=np.ascontiguousarray(colours))


def merged(meshes: Sequence[Mesh]) -> Mesh:
    """Return several meshes as one; all have colours, or none."""
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes[:-1])])
    colours = [mesh.colours for mesh in meshes if mesh.colours is not None]
    return Mesh(
        np.concatenate([mesh.vertices for mesh in meshes]),
        np.concatenate([mesh.normals for mesh in meshes]),
        np.concatenate([mesh.texture for mesh in meshes]),
        np.concatenate([mesh.faces + start for mesh, start in zip(meshes, starts, strict=True)]),
        np.concatenate(colours) if colours else None,
    )


def pose(place: Vector = (0, 0, 0), turn_degrees: Vector = (0, 0, 0)) -> NDArray[np.float64]:
    """Rigid pose (4, 4): turned about z (roll), x (pitch) and y (yaw), in this order, then moved.

    Positive yaw turns to the right, positive pitch up, positive roll clockwise, as seen by a
    camera that looks along z.
    """
    pitch, yaw, roll = np.deg2rad(turn_degrees)
    about_z = np.array(
        [[np.cos(roll), np.sin(roll), 0], [-np.sin(roll), np.cos(roll), 0], [0, 0, 1]]
    )
    about_x = np.array(
        [[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]]
    )
    about_y = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    matrix = np.eye(4)
    matrix[:3, :3] = about_y @ about_x @ about_z
    matrix[:3, 3] = place
    return matrix


def _unit(vectors: Array) -> Array:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-12), np.float32)


def grid(
    points: Array, texture: Array, *, normals: Array | None = None, outwards: bool = True
) -> Mesh:
    """Mesh of a grid of points (rows, columns, 3) with their places in the texture (.., 2).

    Normals follow the faces if not given: rows x columns, or the reverse.
    """
    rows, columns = points.shape[:2]
    if normals is None:
        across = np.gradient(points, axis=1)
        along = np.gradient(points, axis=0)
        normals = _unit(np.cross(along, across) * (1 if outwards else -1))
    index = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    faces = np.stack([a, b, c, a, c, d], axis=-1).reshape(-1, 3)
    return Mesh(
        np.asarray(points.reshape(-1, 3), np.float32),
        np.asarray(normals.reshape(-1, 3), np.float32),
        np.asarray(texture.reshape(-1, 2), np.float32),
        faces,
    )


def box(
    low: Vector,
    high: Vector,
    *,
    turn_degrees: float = 0.0,
    metres: float | None = None,
    upright: bool = False,
    inside: bool = False,
) -> Mesh:
    """A box between two corners, turned about the vertical through its middle.

    metres: side of a repeat of the texture, which runs along the longer side of each face, or
    upwards if `upright`; None fits the texture once to each face. inside: seen from within.
    """
    low_corner, high_corner = np.array(low, float), np.array(high, float)
    half, middle = (high_corner - low_corner) / 2, (high_corner + low_corner) / 2
    parts = []
    for axis in range(3):
        u_axis, v_axis = (2 if axis == 0 else 0), (2 if axis == 1 else 1)
        for sign in (-1.0, 1.0):
            corners = np.zeros((2, 2, 3))
            corners[..., axis] = sign * half[axis]
            corners[:, :, u_axis] = np.array([-1, 1]) * half[u_axis]
            corners[:, :, v_axis] = (np.array([-1, 1]) * half[v_axis])[:, None]
            size = np.array([2 * half[u_axis], 2 * half[v_axis]])
            place = np.stack(np.broadcast_arrays([0.0, 1.0], np.array([[0.0], [1.0]])), axis=-1)
            if metres is not None:
                place = place * size / metres
                if not upright and size[0] < size[1]:
                    place = place[..., ::-1]
            normal = np.zeros(3)
            normal[axis] = -sign if inside else sign
            parts.append(grid(corners, place, normals=np.broadcast_to(normal, (2, 2, 3))))
    return merged(parts).moved(pose(tuple(middle), (0, -turn_degrees, 0)))


def rounded_box(low: Vector, high: Vector, radius: float, *, metres: float = 1.0) -> Mesh:
    """A box with round edges and corners; its texture repeats every `metres`."""
    low_corner, high_corner = np.array(low, float), np.array(high, float)
    half, middle = (high_corner - low_corner) / 2, (high_corner + low_corner) / 2
    radius = min(radius, float(half.min()) * 0.999)
    parts = []
    for axis in range(3):
        u_axis, v_axis = (2 if axis == 0 else 0), (2 if axis == 1 else 1)
        for sign in (-1.0, 1.0):
            places = [_rounding(half[a], radius) for a in (u_axis, v_axis)]
            cube = np.zeros((len(places[1]), len(places[0]), 3))
            cube[..., axis] = sign * half[axis]
            cube[..., u_axis], cube[..., v_axis] = np.meshgrid(*places)
            core = np.clip(cube, radius - half, half - radius)
            normals = _unit(cube - core)
            points = core + radius * normals
            texture = points[..., [u_axis, v_axis]] / metres
            parts.append(grid(points, texture, normals=normals))
    return merged(parts).moved(pose(tuple(middle)))


def _rounding(half: float, radius: float) -> Array:
    """Places along a side: dense in the rounding, where angles shall be even."""
    bend = radius * (1 - np.tan(np.linspace(np.pi / 4, 0, 6)))
    return np.concatenate([-half + bend, half - bend[::-1]])


def cushion(size: Vector, *, metres: float = 1.0) -> Mesh:
    """A pillow about the origin: thick in the middle, thin towards its four corners."""
    u, v = np.meshgrid(np.linspace(-1, 1, 33), np.linspace(-1, 1, 33))
    swell = ((1 - u**4) * (1 - v**4)) ** 0.4
    pinch = 1 - 0.06 * (1 - u**2) * v**2 - 0.06 * (1 - v**2) * u**2
    parts = []
    for sign in (-1.0, 1.0):
        points = np.stack([u * pinch * size[0], v * pinch * size[1], sign * swell * size[2]], -1)
        texture = np.stack([u * size[0], v * size[1]], -1) / (2 * metres)
        parts.append(grid(points / 2, texture, outwards=sign < 0))
    return merged(parts)


def turned(profile: Sequence[tuple[float, float]], *, steps: int = 48, smooth: bool = True) -> Mesh:
    """What a lathe makes about the vertical axis of (radius, height) points, in their order.

    smooth: whether the profile's corners are rounded off for the light.
    """
    outline = np.array(profile, float)
    if not smooth:
        outline = np.repeat(outline, 2, axis=0)[1:-1]
    angle = np.linspace(0, 2 * np.pi, steps + 1)
    ring = np.stack([np.cos(angle), np.zeros_like(angle), np.sin(angle)], -1)
    points = outline[:, None, :1] * ring + outline[:, None, 1:] * np.array([0.0, 1.0, 0.0])
    way = np.gradient(outline, axis=0)
    if not smooth:
        way = np.repeat(np.diff(outline, axis=0)[::2], 2, axis=0)
    side = _unit(np.stack([way[:, 1], -way[:, 0]], -1))
    normals = side[:, None, :1] * ring + side[:, None, 1:] * np.array([0.0, 1.0, 0.0])
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(outline, axis=0), axis=1))])
    texture = np.stack(
        np.broadcast_arrays(angle[None] / (2 * np.pi), (length / length[-1])[:, None]), axis=-1
    )
    return grid(points, texture, normals=normals)


def ball(radius: float = 1.0, *, steps: int = 48) -> Mesh:
    """A sphere about the origin."""
    angle = np.linspace(-np.pi / 2, np.pi / 2, steps // 2 + 1)
    return turned(
        [(radius * float(np.cos(a)), radius * float(np.sin(a))) for a in angle], steps=steps
    )


def leaf(root: Vector, way: Array, length: float, width: float, droop: float) -> Mesh:
    """A pointed leaf that grows from `root` along `way` and bends down by `droop` of its length.

    `way`: (3,).
    """
    along = np.linspace(0, 1, 9)[:, None]
    side = _unit(np.cross(way, np.array([0.0, 1.0, 0.0])))
    spine = np.array(root) + length * (along * way - along**2 * droop * np.array([0.0, 1.0, 0.0]))
    # Not quite pointed: a point has no normal.
    half = width * np.maximum(np.sin(np.pi * along**0.8) * (1 - 0.3 * along), 0.02)
    across = np.linspace(-1, 1, 5)[:, None]
    lift = np.array([0.0, 0.35, 0.0]) * across**2
    points = spine[:, None] + half[:, None] * (across * side + lift)
    texture = np.stack(np.broadcast_arrays(across[None, :, 0], along), axis=-1)
    return grid(points, texture)


def curtain(width: float, height: float, folds: float, depth: float, seed: int) -> Mesh:
    """A hanging cloth from (0, 0, 0) to (width, height, 0) with uneven folds along z."""
    random = np.random.default_rng(seed)
    u, v = np.meshgrid(np.linspace(0, 1, 220), np.linspace(0, 1, 30))
    sway = sum(
        random.normal(0, 0.6 / n) * np.sin(np.pi * n * (u + 0.12 * (1 - v) * random.normal()))
        for n in range(1, 6)
    )
    wave = np.sin(2 * np.pi * (folds * u + 0.35 * sway)) * (0.75 + 0.25 * (1 - v))
    points = np.stack([u * width, v * height, depth * wave], -1)
    return grid(points, np.stack([u * width, v * height], -1))


@dataclass(frozen=True)
class Limb:
    """A capsule from `start` to `end` whose radius changes on the way, of one or two colours.

    stripe_metres: height of a stripe of the second colour and the gap to the next.
    """

    start: Vector
    end: Vector
    start_radius: float
    end_radius: float
    colour: Colour
    second_colour: Colour | None = None
    stripe_metres: float = 0.065

    def distance(self, points: Array) -> Array:
        """Signed distance of points (..., 3). (..., 3) to (...,)."""
        start = np.array(self.start, np.float32)
        along = np.array(self.end, np.float32) - start
        part = np.clip((points - start) @ along / max(float(along @ along), 1e-9), 0, 1)
        radius = self.start_radius + part * (self.end_radius - self.start_radius)
        away = points - start - part[..., None] * along
        return np.asarray(np.sqrt((away * away).sum(axis=-1)) - radius, np.float32)

    def colours(self, points: Array) -> Array:
        """Albedo at points (N, 3)."""
        first = np.array(self.colour, np.float32)
        if self.second_colour is None:
            return np.broadcast_to(first, points.shape)
        stripe = np.abs(points[:, 1] / self.stripe_metres % 1 - 0.5) < 0.25
        return np.where(stripe[:, None], np.array(self.second_colour, np.float32), first)


def grown(limbs: Sequence[Limb], *, voxel_metres: float, blend_metres: float = 0.018) -> Mesh:
    """One smooth skin round limbs, found by marching cubes; needs scikit-image."""
    with needs_extra("rendering", "render"):
        measure: Any = importlib.import_module("skimage.measure")
    reach = max(max(limb.start_radius, limb.end_radius) for limb in limbs) + 4 * voxel_metres
    ends = np.array([end for limb in limbs for end in (limb.start, limb.end)])
    low, high = ends.min(axis=0) - reach, ends.max(axis=0) + reach
    counts = np.ceil((high - low) / voxel_metres).astype(int)
    axes = [
        (start + voxel_metres * np.arange(count)).astype(np.float32)
        for start, count in zip(low, counts, strict=True)
    ]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    field = limbs[0].distance(points)
    for limb in limbs[1:]:
        distance = limb.distance(points)
        mix = np.clip(0.5 + 0.5 * (field - distance) / blend_metres, 0, 1)
        field = field + mix * (distance - field) - blend_metres * mix * (1 - mix)
    vertices, faces, inwards, _ = measure.marching_cubes(field, 0.0, spacing=(voxel_metres,) * 3)
    vertices = np.asarray(vertices + low, np.float32)
    nearest = np.argmin([limb.distance(vertices) for limb in limbs], axis=0)
    colours = np.zeros_like(vertices)
    for index, limb in enumerate(limbs):
        of_limb = nearest == index
        colours[of_limb] = limb.colours(vertices[of_limb])
    texture = np.asarray(vertices[:, :2], np.float32)
    return Mesh(vertices, -_unit(np.asarray(inwards)), texture, faces, colours)

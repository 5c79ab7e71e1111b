"""The one place that speaks to Mitsuba 3: scenes in, light, depth and what is seen where out.

Mitsuba's world is right-handed; ours (x right, y up, z away) becomes it by a change of x's sign.
"""

from __future__ import annotations

import ctypes
import importlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...errors import OptionError
from ...work.packages import needs_extra
from .shapes import Array, Mesh, Vector, pose

VARIANTS: Final = ("auto", "llvm_ad_rgb", "cuda_ad_rgb", "scalar_rgb")
# LLVM 15 crashes, 16 does on CPUs with AVX-512, and older ones lack what Mitsuba needs.
_LLVM_VERSIONS: Final = range(30, 16, -1)
NOTHING: Final = 255


@dataclass(frozen=True)
class Surface:
    """What a thing is made of.

    albedo: one linear colour, or a texture (H, W, 3) of linear albedo whose row 0 lies at 0; None
        for the colours of the mesh's vertices.
    roughness: 1 is matte; less shines like varnish.
    glow: radiance of its own, on the side of the mesh's normals.
    translucent: share of the light that thin things (leaves, cloth) let through.
    """

    albedo: Vector | Array | None = None
    roughness: float = 1.0
    glow: Vector | Array | None = None
    translucent: float = 0.0


@dataclass(frozen=True)
class Thing:
    """A mesh and its surface; `name` tells things apart in what `Camera` sees.

    cells that share a name count as one thing.
    """

    name: str
    mesh: Mesh
    surface: Surface


@dataclass(frozen=True)
class Camera:
    """A pinhole camera that looks along z, then turned and moved.

    turn_degrees: pitch up, yaw to the right, roll clockwise.
    """

    place: Vector
    turn_degrees: Vector
    width: int
    height: int
    focal_pixels: float

    @property
    def pose(self) -> NDArray[np.float64]:
        """From the camera's space to the scene's, (4, 4)."""
        return pose(self.place, self.turn_degrees)

    @property
    def intrinsics(self) -> NDArray[np.float64]:
        """From the camera's space (x right, y up, z away) to pixel centres (x, y, 1), (3, 3)."""
        return np.array(
            [
                [self.focal_pixels, 0, (self.width - 1) / 2],
                [0, -self.focal_pixels, (self.height - 1) / 2],
                [0, 0, 1.0],
            ]
        )


@dataclass(frozen=True)
class Sunlight:
    """The sun: unit vector towards it, irradiance, and the radius of its disc in degrees."""

    towards: Vector
    irradiance: Vector


@dataclass(frozen=True)
class World:
    """All that is there at one moment.

    around: equirectangular radiance (H, W, 3) of what is infinitely far, its middle along z and
        its right to the right, or None for darkness.
    """

    things: tuple[Thing, ...]
    around: Array | None = None
    sun: Sunlight | None = None
    around_yaw_degrees: float = 0.0


@dataclass(frozen=True, kw_only=True)
class RenderSettings:
    """How pictures are rendered.

    samples: light paths per pixel. bounces: at most. denoise: whether what noise is left is
        removed by Open Image Denoise.
    variant: of Mitsuba; "auto" takes llvm_ad_rgb where LLVM 17 or newer is found, else scalar_rgb,
        which is several times slower and needs nothing.
    """

    samples: int = 64
    bounces: int = 6
    denoise: bool = True
    variant: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("samples", "bounces"):
            if getattr(self, name) < 1:
                raise OptionError(f"{name}: expected at least 1, found {getattr(self, name)}")
        if self.variant not in VARIANTS:
            raise OptionError(
                f"variant: expected one of {', '.join(VARIANTS)}, found {self.variant!r}"
            )


@dataclass(frozen=True)
class Rendering:
    """What a camera sees.

    radiance: (H, W, 3) float32. depth: (H, W) float32, z in metres at the pixels' centres, inf
    where nothing is near. thing: (H, W) uint8, index in `names`, NOTHING where there is none.
    """

    radiance: Array
    depth: Array
    thing: Array
    names: tuple[str, ...]


def render(world: World, camera: Camera, settings: RenderSettings = RenderSettings()) -> Rendering:
    """Render a world through a camera.

    Raises MissingPackageError without the extra `render`.
    """
    mi = _mitsuba(settings.variant)
    names = tuple(dict.fromkeys(thing.name for thing in world.things))
    if len(names) > NOTHING:
        raise OptionError(f"expected at most {NOTHING} things with names, found {len(names)}")
    shapes = {f"thing_{n:04d}": _mesh(mi, thing) for n, thing in enumerate(world.things)}
    scene = mi.load_dict({"type": "scene", **shapes, **_lights(mi, world)})
    of_shape = _names_of_shapes(scene, world, names)
    depth, thing = _seen(mi, scene, camera, of_shape)
    return Rendering(_light(mi, scene, camera, settings), depth, thing, names)


# Light --------------------------------------------------------------------------------------------


def _light(mi: Any, scene: Any, camera: Camera, settings: RenderSettings) -> Array:
    path = {"type": "path", "max_depth": settings.bounces + 1}
    channels = {"type": "aov", "aovs": "albedo:albedo,normal:sh_normal", "inner": path}
    integrator = mi.load_dict(channels if settings.denoise else path)
    sampler = {"type": "independent", "sample_count": settings.samples}
    sensor = mi.load_dict(_sensor(mi, camera, sampler))
    pixels = np.array(
        mi.render(
            scene, sensor=sensor, integrator=integrator, spp=settings.samples, seed=settings.seed
        ),
        np.float32,
    )
    light = np.maximum(np.nan_to_num(pixels[..., :3]), 0)
    if not settings.denoise:
        return light
    with needs_extra("rendering", "render"):
        denoiser: Any = importlib.import_module("mitsuba_oidn")
    albedo, normal = (np.ascontiguousarray(pixels[..., n : n + 3]) for n in (3, 6))
    clean = denoiser.denoise(
        np.ascontiguousarray(light), albedo=np.clip(albedo, 0, 1), normal=normal, hdr=True
    )
    return np.maximum(np.asarray(clean, np.float32), 0)


def _sensor(mi: Any, camera: Camera, sampler: dict[str, Any]) -> dict[str, Any]:
    mirror = np.diag([-1.0, 1, 1, 1])
    return {
        "type": "perspective",
        "fov_axis": "x",
        "fov": float(np.rad2deg(2 * np.arctan(camera.width / 2 / camera.focal_pixels))),
        "near_clip": 0.01,
        "far_clip": 1e4,
        "to_world": mi.ScalarTransform4f(mirror @ camera.pose @ mirror),
        "film": {
            "type": "hdrfilm",
            "width": camera.width,
            "height": camera.height,
            # The denoiser expects noise that pixels do not share.
            "rfilter": {"type": "box"},
            "component_format": "float32",
        },
        "sampler": sampler,
    }


def _lights(mi: Any, world: World) -> dict[str, Any]:
    lights: dict[str, Any] = {}
    if world.around is not None:
        turn = mi.ScalarTransform4f().rotate([0, 1, 0], -world.around_yaw_degrees)
        lights["around"] = {
            "type": "envmap",
            "bitmap": mi.Bitmap(np.ascontiguousarray(world.around, np.float32)),
            "to_world": turn,
        }
    if world.sun is not None:
        x, y, z = world.sun.towards
        lights["sun"] = {
            "type": "directional",
            "direction": [x, -y, -z],
            "irradiance": _colour(world.sun.irradiance),
        }
    return lights


# What is seen where -------------------------------------------------------------------------------


def _seen(mi: Any, scene: Any, camera: Camera, of_shape: Array) -> tuple[Array, Array]:
    """Depth and thing at the very centre of each pixel: one sample, not jittered."""
    sampler = {"type": "stratified", "sample_count": 1, "jitter": False}
    sensor = mi.load_dict(_sensor(mi, camera, sampler))
    integrator = mi.load_dict({"type": "aov", "aovs": "at:position,far:depth,which:shape_index"})
    seen = np.array(mi.render(scene, sensor=sensor, integrator=integrator, spp=1), np.float64)
    seen = seen[..., -5:]
    hit = seen[..., 3] > 0
    back = np.linalg.inv(camera.pose)
    points = seen[..., :3] * np.array([-1.0, 1, 1])
    depth = np.where(hit, points @ back[2, :3] + back[2, 3], np.inf)
    # Mitsuba counts from 1, and 0 is nothing: the last of ours.
    return depth.astype(np.float32), of_shape[seen[..., 4].astype(int) - 1]


def _names_of_shapes(scene: Any, world: World, names: Sequence[str]) -> Array:
    """Index in `names` of each of Mitsuba's shapes, whose order is its own; NOTHING at the end."""
    numbers = [int(shape.id().removeprefix("thing_")) for shape in scene.shapes()]
    of_shape = [names.index(world.things[number].name) for number in numbers]
    return np.array([*of_shape, NOTHING], np.uint8)


# Meshes and surfaces ------------------------------------------------------------------------------


def _mesh(mi: Any, thing: Thing) -> Any:
    mesh, surface = thing.mesh, thing.surface
    properties = mi.Properties()
    properties["mesh_bsdf"] = mi.load_dict(_bsdf(mi, surface))
    if surface.glow is not None:
        area = {"type": "area", "radiance": _colour(surface.glow, mi)}
        properties["mesh_emitter"] = mi.load_dict(area)
    made = mi.Mesh(
        thing.name,
        vertex_count=len(mesh.vertices),
        face_count=len(mesh.faces),
        has_vertex_normals=True,
        has_vertex_texcoords=True,
        props=properties,
    )
    values = mi.traverse(made)
    mirror = np.array([-1, 1, 1], np.float32)
    values["vertex_positions"] = np.ravel(mesh.vertices * mirror).astype(np.float32)
    values["vertex_normals"] = np.ravel(mesh.normals * mirror).astype(np.float32)
    values["vertex_texcoords"] = np.ravel(mesh.texture).astype(np.float32)
    values["faces"] = np.ravel(_outwards(mesh)[:, ::-1]).astype(np.uint32)
    values.update()
    if surface.albedo is None and mesh.colours is not None:
        made.add_attribute("vertex_color", 3, np.ravel(mesh.colours).astype(np.float32))
    return made


def _outwards(mesh: Mesh) -> Array:
    """Faces whose corners run round the way that the normals want."""
    a, b, c = (mesh.vertices[mesh.faces[:, n]] for n in range(3))
    inwards = (np.cross(b - a, c - a) * mesh.normals[mesh.faces].sum(axis=1)).sum(axis=1) < 0
    return np.where(inwards[:, None], mesh.faces[:, ::-1], mesh.faces)


def _bsdf(mi: Any, surface: Surface) -> dict[str, Any]:
    if surface.albedo is None:
        albedo: Any = {"type": "mesh_attribute", "name": "vertex_color"}
    else:
        albedo = _colour(surface.albedo, mi)
    if surface.translucent:
        # Twice the share: principledthin counts from 0 to 2.
        return {
            "type": "principledthin",
            "base_color": albedo,
            "roughness": min(surface.roughness, 0.9),
            "diff_trans": 2 * surface.translucent,
        }
    if surface.roughness >= 1:
        inner = {"type": "diffuse", "reflectance": albedo}
    else:
        inner = {
            "type": "principled",
            "base_color": albedo,
            "roughness": surface.roughness,
            "specular": 0.5,
        }
    return {"type": "twosided", "bsdf": inner}


def _colour(value: Vector | Array, mi: Any = None) -> dict[str, Any]:
    if isinstance(value, np.ndarray):
        bitmap = mi.Bitmap(np.ascontiguousarray(value, np.float32))
        return {"type": "bitmap", "bitmap": bitmap, "raw": True, "wrap_mode": "repeat"}
    return {"type": "rgb", "value": [float(part) for part in value]}


# Mitsuba itself -----------------------------------------------------------------------------------


@cache
def _mitsuba(variant: str) -> Any:
    if variant == "auto":
        variant = "llvm_ad_rgb" if _find_llvm() else "scalar_rgb"
    with needs_extra("rendering", "render"):
        mi: Any = importlib.import_module("mitsuba")
    mi.set_variant(variant)
    return mi


def _find_llvm() -> bool:
    """Look for an LLVM that Mitsuba can use, and tell it which; without this it takes any."""
    if os.environ.get("DRJIT_LIBLLVM_PATH"):
        return True
    for name in _llvm_names():
        try:
            ctypes.CDLL(name)
        except OSError:
            continue
        os.environ["DRJIT_LIBLLVM_PATH"] = name
        return True
    return False


def _llvm_names() -> Iterator[str]:
    for version in _LLVM_VERSIONS:
        yield f"libLLVM-{version}.so.1"
        yield f"libLLVM.so.{version}.1"

"""Rendered scenes as files: one OpenEXR per moment, and what is known about all in scene.json."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from ...errors import OptionError
from ...io.atomic import write_atomically
from ...io.read import read_image
from ...io.write import WriteSettings, check_output, write_text
from ...pixels import color
from ..data.splits import HDR_SUFFIXES, SURFACE_SUFFIXES, list_files, scene_of, split_of
from .engine import Rendering, RenderSettings, render
from .scenes import Scene, SceneSettings, random_scene
from .shapes import Array

MANIFEST: Final = "scene.json"
FORMAT: Final = 1
_SURFACE_SIDE_PIXELS: Final = 512


def render_files(
    panoramas: Sequence[Path],
    out: Path,
    scene_settings: SceneSettings,
    render_settings: RenderSettings,
    *,
    surfaces: Path | None = None,
    count: int = 1,
    seed: int = 0,
    overwrite: bool = False,
    progress: Callable[[float], None] | None = None,
) -> list[Path]:
    """Render random scenes, one folder each, and return the folders.

    panoramas: HDR files and folders of them; they are taken in turn. surfaces: folder of colour
    maps that things are covered with. A scene lit by a held-out panorama wears held-out surfaces
    only, and the others none of these.
    Each moment becomes moment_N.exr: R, G, B as half floats, Z (metres, inf where nothing is near)
    as floats, and thing, an index in scene.json's list of things, 255 where there is none.
    Scenes that are there already are kept, unless `overwrite`.
    """
    files = [
        file
        for path in panoramas
        for file in (list_files(path, HDR_SUFFIXES) if path.is_dir() else [path])
    ]
    if not files or count < 1:
        raise OptionError(f"count: expected at least 1 scene, found {count}")
    maps = [] if surfaces is None else list_files(surfaces, SURFACE_SUFFIXES)
    folders = []
    for number in range(count):
        file = files[number % len(files)]
        folder = out / f"{file.stem}_{seed + number // len(files):02d}"
        folders.append(folder)
        if overwrite or not (folder / MANIFEST).is_file():
            place = scene_of(file.stem)
            fitting = [path for path in maps if split_of(scene_of(path.stem)) == split_of(place)]
            random = np.random.default_rng([seed, number])
            around = read_image(file).require("linear").pixels
            albedos = [_albedo(path) for path in _few(random, fitting)]
            scene = random_scene(random, np.maximum(around, 0), albedos, scene_settings)
            _store(scene, folder, file.stem, replace(render_settings, seed=number), overwrite)
        if progress is not None:
            progress((number + 1) / count)
    return folders


def _few(random: np.random.Generator, paths: Sequence[Path]) -> list[Path]:
    """Those that one scene wears."""
    order = random.permutation(len(paths))[:8]
    return [paths[index] for index in order]


def _albedo(path: Path) -> Array:
    """A colour map as linear albedo, 512 pixels at most, row 0 at the bottom."""
    linear = color.srgb_to_linear(read_image(path).require("display").pixels)
    scale = _SURFACE_SIDE_PIXELS / max(linear.shape[:2])
    if scale < 1:
        small = cv2.resize(linear, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        linear = np.asarray(small, np.float32)
    return np.asarray(linear[::-1], np.float32)


def _store(
    scene: Scene, folder: Path, panorama: str, settings: RenderSettings, overwrite: bool
) -> None:
    write = WriteSettings(overwrite=overwrite)
    files = [folder / f"moment_{number + 1}.exr" for number in range(len(scene.cameras))]
    for file in files:
        check_output(file, write, make_folder=True)
    folder.mkdir(parents=True, exist_ok=True)
    for moment, (camera, file) in enumerate(zip(scene.cameras, files, strict=True)):
        seen = render(scene.at(moment), camera, settings)
        # Without a manifest the folder is no scene yet: what a run that was cut off left goes.
        write_atomically(file, partial(_write_exr, seen=seen), overwrite=True)
    place = scene_of(panorama)
    facts = {
        "format": FORMAT,
        "panorama": panorama,
        "scene": place,
        "split": split_of(place),
        "size": [scene.cameras[0].height, scene.cameras[0].width],
        "moments": [file.name for file in files],
        "intrinsics": [camera.intrinsics.tolist() for camera in scene.cameras],
        "cameras": [camera.pose.tolist() for camera in scene.cameras],
        "things": [part.thing.name for part in scene.placed],
        "poses": [part.poses.tolist() for part in scene.placed],
    }
    # Written last: a scene counts as rendered once this is there.
    write_text(json.dumps(facts, indent=1), folder / MANIFEST, WriteSettings(overwrite=True))


def _write_exr(path: Path, seen: Rendering) -> None:
    import OpenEXR

    light = np.minimum(seen.radiance, 65504).astype(np.float16)
    channels = {name: np.ascontiguousarray(light[..., n]) for n, name in enumerate("RGB")}
    channels["Z"] = seen.depth
    channels["thing"] = seen.thing.astype(np.uint32)
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, channels).write(str(path))

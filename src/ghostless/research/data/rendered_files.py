"""Rendered scenes as files: read as they were rendered, packed for training, and read again."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...errors import FileReadError
from .panoramas import decode_log2, encode_jpeg2000, encode_log2, store_bytes
from .splits import Split

# Depth is packed as 16-bit codes of 1 / metres, from 0 (nothing) to 1 / this.
NEAREST_METRES = 0.2

# Written by `ghostless render`, beside the pictures of a scene's moments.
SCENE = "scene.json"
PACKED = "rendered.json"
# Within a packed folder.
FOLDER = "rendered"
FORMAT = 1
NOTHING = 255


@dataclass(frozen=True)
class RenderedScene:
    """One scene: M moments of (H, W) pixels, and K things.

    radiance: (M, H, W, 3) float32. nearness: (M, H, W) float32, 1 / depth in metres, 0 where
    nothing is near. thing: (M, H, W) uint8. intrinsics: (M, 3, 3); cameras: (M, 4, 4), from the
    camera's space (x right, y up, z away) to the scene's; poses: (K, M, 4, 4), from each thing's
    space to the scene's.
    """

    name: str
    scene: str
    split: Split
    radiance: NDArray[np.float32]
    nearness: NDArray[np.float32]
    thing: NDArray[np.uint8]
    intrinsics: NDArray[np.float64]
    cameras: NDArray[np.float64]
    poses: NDArray[np.float64]


def list_scenes(folder: Path) -> list[Path]:
    """Folders of rendered scenes: the folder itself, or those in it, by name."""
    if (folder / SCENE).is_file():
        return [folder]
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if (path / SCENE).is_file())


def read_scene(folder: Path) -> RenderedScene:
    """Read a scene that `ghostless render` wrote; raises FileReadError where it cannot be."""
    facts = _read_facts(folder / SCENE)
    try:
        size = (int(facts["size"][0]), int(facts["size"][1]))
        moments = [_read_moment(folder / name, size) for name in facts["moments"]]
        return RenderedScene(
            folder.name,
            facts["scene"],
            facts["split"],
            np.stack([light for light, _, _ in moments]),
            np.stack([near for _, near, _ in moments]),
            np.stack([thing for _, _, thing in moments]),
            np.array(facts["intrinsics"], float).reshape(-1, 3, 3),
            np.array(facts["cameras"], float).reshape(-1, 4, 4),
            np.array(facts["poses"], float).reshape(-1, len(moments), 4, 4),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise FileReadError(
            f"{folder / SCENE}: expected the facts of a rendered scene, found damaged ones "
            f"({type(error).__name__}); render it again with: ghostless render"
        ) from None


def scene_size(folder: Path) -> tuple[int, int]:
    """Height and width of a scene's pictures."""
    size = _read_facts(folder / SCENE).get("size")
    if not isinstance(size, list) or len(size) != 2:
        raise FileReadError(f"{folder / SCENE}: expected the size of a scene, found {size!r}")
    return int(size[0]), int(size[1])


def _read_facts(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FileReadError(
            f"{path}: expected rendered scenes, found none that can be read "
            f"({type(error).__name__}); make them with: ghostless render"
        ) from None
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise FileReadError(
            f"{path}: expected rendered scenes of format {FORMAT}, found another; render them again"
        )
    return facts


def _read_moment(
    path: Path, size: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.uint8]]:
    import OpenEXR

    from .panoramas import read_radiance

    light = read_radiance(path)
    with OpenEXR.File(str(path), separate_channels=True) as file:
        channels = file.channels()
        if light.shape[:2] != size or not {"Z", "thing"} <= set(channels):
            raise FileReadError(
                f"{path}: expected a rendered moment of {size[1]} x {size[0]} pixels with the "
                "channels R, G, B, Z and thing, found another picture; render it again"
            )
        depth = np.asarray(channels["Z"].pixels, np.float32)
        thing = np.asarray(channels["thing"].pixels, np.uint8)
    return light, (1 / np.maximum(depth, 1e-3)).astype(np.float32), thing


def pack_rendered(
    folders: Sequence[Path],
    out: Path,
    *,
    overwrite: bool = False,
    progress: Callable[[float], None] | None = None,
) -> list[str]:
    """Pack rendered scenes small for training: light as panoramas are, depth in 16 bits.

    Raises FileReadError where there are none, OutputError for what exists.
    """
    from ...io.write import WriteSettings, write_text

    scenes = [scene for folder in folders for scene in list_scenes(folder)]
    if not scenes:
        raise FileReadError(
            f"{folders[0] if folders else out}: expected rendered scenes, found none; "
            "make them with: ghostless render"
        )
    entries = []
    for done, folder in enumerate(scenes):
        entries.append(_pack_scene(read_scene(folder), out, overwrite))
        if progress is not None:
            progress((done + 1) / len(scenes))
    text = json.dumps({"format": FORMAT, "scenes": entries})
    write_text(text, out / PACKED, WriteSettings(overwrite=overwrite))
    return [str(entry["name"]) for entry in entries]


def _pack_scene(scene: RenderedScene, out: Path, overwrite: bool) -> dict[str, Any]:
    moments = []
    for number, light in enumerate(scene.radiance):
        stem = f"{scene.name}_{number + 1}"
        codes, low, high = encode_log2(light)
        store_bytes(encode_jpeg2000(codes), out / f"{stem}.jp2", overwrite=overwrite)
        near = np.clip(scene.nearness[number] * NEAREST_METRES, 0, 1)
        for suffix, plane in (
            ("near", np.rint(near * 65535).astype(np.uint16)),
            ("thing", scene.thing[number]),
        ):
            data = np.asarray(cv2.imencode(".png", plane)[1])
            store_bytes(data, out / f"{stem}_{suffix}.png", overwrite=overwrite)
        moments.append({"stem": stem, "low_stops": low, "high_stops": high})
    return {
        "name": scene.name,
        "scene": scene.scene,
        "split": scene.split,
        "moments": moments,
        "intrinsics": scene.intrinsics.tolist(),
        "cameras": scene.cameras.tolist(),
        "poses": scene.poses.tolist(),
    }


def read_packed(folder: Path) -> list[RenderedScene]:
    """Read what `pack_rendered` wrote."""
    facts = _read_facts(folder / PACKED)
    try:
        return [_unpack(folder, entry) for entry in facts["scenes"]]
    except (KeyError, TypeError, ValueError) as error:
        raise FileReadError(
            f"{folder / PACKED}: expected packed scenes, found damaged ones "
            f"({type(error).__name__}); pack them again with: ghostless data pack"
        ) from None


def _unpack(folder: Path, entry: dict[str, Any]) -> RenderedScene:
    moments = entry["moments"]
    lights, nears, things = [], [], []
    for moment in moments:
        codes = _read_plane(folder / f"{moment['stem']}.jp2")[:, :, ::-1]
        lights.append(decode_log2(codes, moment["low_stops"], moment["high_stops"]))
        near = _read_plane(folder / f"{moment['stem']}_near.png")
        nears.append(near.astype(np.float32) / np.float32(65535 * NEAREST_METRES))
        things.append(_read_plane(folder / f"{moment['stem']}_thing.png").astype(np.uint8))
    return RenderedScene(
        entry["name"],
        entry["scene"],
        entry["split"],
        np.stack(lights),
        np.stack(nears),
        np.stack(things),
        np.array(entry["intrinsics"], float).reshape(-1, 3, 3),
        np.array(entry["cameras"], float).reshape(-1, 4, 4),
        np.array(entry["poses"], float).reshape(-1, len(moments), 4, 4),
    )


def _read_plane(path: Path) -> NDArray[Any]:
    data = np.frombuffer(path.read_bytes(), np.uint8) if path.is_file() else None
    plane = None if data is None or not data.size else cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if plane is None:
        raise FileReadError(f"{path}: expected a packed picture, found none; pack again")
    return np.asarray(plane)

"""Layouts of the data sets that researchers have: scenes of several exposures, some with a truth.

Each function walks a folder and returns its scenes, sorted by name; no picture is read. Splits are
by scene, never by patch: two patches of one scene on both sides would be memory, not skill.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import FileReadError, OptionError, unknown_name
from ..photo_files import IMAGE_SUFFIXES, natural_key
from ..stops_file import find_stops_file, read_stops_file


@dataclass(frozen=True)
class Scene:
    """One scene of a data set.

    frames: dark to bright where the layout says so, else in natural order of their names.
    stops: exposure of each frame, None where the data set gives none.
    label: the picture to reach: a display reference or a true HDR image; None where there is none.
    """

    name: str
    frames: tuple[Path, ...]
    stops: tuple[float, ...] | None = None
    label: Path | None = None


def read_sice(folder: Path) -> list[Scene]:
    """SICE: either SCENE/01.jpg ... with SCENE/label.jpg, or as published, SCENE/1.JPG ... and
    Label/SCENE.JPG beside the scenes.
    """
    labels = next((sub for sub in _folders(folder) if sub.name.casefold() == "label"), None)
    by_name = {} if labels is None else {path.stem: path for path in _images(labels)}
    scenes = []
    for sub in _folders(folder):
        if sub == labels:
            continue
        images = _images(sub)
        own = next((path for path in images if path.stem.casefold() == "label"), None)
        frames = tuple(path for path in images if path != own)
        label = own or by_name.get(sub.name)
        if len(frames) >= 2 and label is not None:
            scenes.append(Scene(sub.name, frames, label=label))
    return _some(scenes, folder, "SICE scenes: folders of exposures with label.jpg or ../Label")


def read_kalantari(folder: Path) -> list[Scene]:
    """Kalantari and Ramamoorthi 2017: SCENE/*.tif, SCENE/exposure.txt, SCENE/HDRImg.hdr.

    Scenes without HDRImg.hdr have no label.
    """
    scenes = []
    for sub in _folders(folder):
        images = _images(sub)
        truth = next((path for path in images if path.stem.casefold() == "hdrimg"), None)
        frames = tuple(path for path in images if path.suffix.lower() not in (".hdr", ".exr"))
        stops = _stops_of(frames)
        if len(frames) >= 2 and stops is not None:
            scenes.append(Scene(sub.name, frames, stops, truth))
    return _some(scenes, folder, "folders of three photos with exposure.txt and HDRImg.hdr")


def read_brackets(folder: Path) -> list[Scene]:
    """Brackets without truth, such as Sen's or Tursun's: one bracket, or one in each subfolder.

    Exposures are read from a text file beside the photos, where there is one.
    """
    scenes = []
    for sub in [folder, *_folders(folder)]:
        frames = tuple(
            path
            for path in _images(sub)
            if path.stem.casefold() not in ("label", "hdrimg", "truth")
            and path.suffix.lower() not in (".hdr", ".exr")
        )
        if len(frames) >= 2:
            scenes.append(Scene(sub.resolve().name, frames, _stops_of(frames)))
    return _some(scenes, folder, "photos of one bracket, or folders of them")


def read_mefb(folder: Path) -> list[Scene]:
    """MEFB: PAIR/under.* and PAIR/over.*, or as published, PAIR/PAIR_A.* and PAIR/PAIR_B.*."""
    scenes = []
    for sub in _folders(folder):
        by_stem = {path.stem.casefold(): path for path in _images(sub)}
        name = sub.name.casefold()
        for under, over in (("under", "over"), (f"{name}_a", f"{name}_b")):
            if under in by_stem and over in by_stem:
                scenes.append(Scene(sub.name, (by_stem[under], by_stem[over])))
                break
    return _some(scenes, folder, "folders with under.* and over.*, or NAME_A.* and NAME_B.*")


LAYOUTS: Mapping[str, Callable[[Path], list[Scene]]] = {
    "sice": read_sice,
    "kalantari": read_kalantari,
    "brackets": read_brackets,
    "mefb": read_mefb,
}


def read_scenes(layout: str, folder: Path) -> list[Scene]:
    """Scenes of a folder in a layout of LAYOUTS; raises OptionError for an unknown layout."""
    if layout not in LAYOUTS:
        raise unknown_name("layout", layout, LAYOUTS)
    return LAYOUTS[layout](folder)


def split_scenes(
    scenes: Sequence[Scene], held_out_share: float = 0.1, seed: int = 0
) -> tuple[list[Scene], list[Scene]]:
    """Split scenes into those to train on and those held out.

    The side of a scene depends on its name and the seed alone, so that a data set that grows keeps
    its split. At least one scene is on each side; raises OptionError for fewer than two scenes.
    """
    if not 0 < held_out_share < 1:
        raise OptionError(f"held_out_share: expected between 0 and 1, found {held_out_share}")
    if len(scenes) < 2:
        raise OptionError(f"expected at least 2 scenes to split, found {len(scenes)}")
    ranked = sorted(scenes, key=lambda scene: _place(scene.name, seed))
    count = sum(_place(scene.name, seed) < held_out_share for scene in ranked)
    count = min(max(count, 1), len(scenes) - 1)
    held = {id(scene) for scene in ranked[:count]}
    return (
        [scene for scene in scenes if id(scene) not in held],
        [scene for scene in scenes if id(scene) in held],
    )


def _place(name: str, seed: int) -> float:
    """A number 0..1 that a name and a seed always give."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2.0**64


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise FileReadError(f"{folder}: expected a folder of scenes, found none; check its name")
    inside = [path for path in folder.iterdir() if path.is_dir() and path.name[0] != "."]
    return sorted(inside, key=lambda path: natural_key(path.name))


def _images(folder: Path) -> list[Path]:
    inside = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and path.name[0] != "."
    ]
    return sorted(inside, key=lambda path: natural_key(path.name))


def _stops_of(frames: Sequence[Path]) -> tuple[float, ...] | None:
    side_file = find_stops_file(frames) if frames else None
    return None if side_file is None else read_stops_file(side_file, len(frames))


def _some(scenes: list[Scene], folder: Path, expected: str) -> list[Scene]:
    if not scenes:
        raise FileReadError(f"{folder}: expected {expected}; found none; check the layout's name")
    return scenes

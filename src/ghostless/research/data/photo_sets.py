"""Sets of photographed brackets to train on, however their authors laid them out.

    SICE              NAME/1.JPG, 2.JPG ... and Label/NAME.JPG, in one part or several beside each
                      other; or NAME/01.jpg ... with NAME/label.jpg
    Kalantari 2017    Training/NAME/*.tif, exposure.txt and HDRImg.hdr, likewise under Test; or
                      NAME/input_1.tif ..., input_exp.txt and ref_hdr.hdr
    any other         brackets in folders, with a true picture beside the photos or without

Which scenes are held out is said by the folders, where they are called Training and Test; else by
`held-out.txt`, a file beside the scenes with a name on each line; else a tenth of them is, chosen
by their names (`splits.names_to_hold_out`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ...errors import BracketError, FileReadError
from ...io.photo_files import images_in, natural_key
from .scenes import Scene, bracket_in
from .splits import names_to_hold_out

Layout = Literal["labels", "radiance", "photos"]

HELD_OUT_FILE = "held-out.txt"
# Training/EXTRA/NAME is three folders down.
_DEEPEST = 3
_TRAINING = ("training", "train")
_TEST = ("test", "testing", "held-out", "validation")
_NO_SCENES = ("label", "truth")
KNOWN = (
    "packed pictures ('ghostless data pack'), SICE (NAME/1.JPG ... with Label/NAME.JPG or "
    "NAME/label.jpg), Kalantari 2017 (NAME/*.tif with exposure.txt or input_exp.txt and HDRImg.hdr "
    "or ref_hdr.hdr) or a folder of brackets"
)


@dataclass(frozen=True)
class PhotoSet:
    """Scenes to train on and scenes held out, sorted by name.

    layout: what is true of them: "labels" that people picked, "radiance", or "photos" alone.
    """

    folder: Path
    layout: Layout
    train: tuple[Scene, ...]
    held_out: tuple[Scene, ...]

    @property
    def scenes(self) -> tuple[Scene, ...]:
        return (*self.train, *self.held_out)


def find_photo_set(folder: Path) -> PhotoSet:
    """List the scenes of a folder; no picture is read.

    Raises FileReadError for a folder that is none, and BracketError for one of no known layout, for
    a scene without the truth that the others have, and for fewer than two scenes.
    """
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing"
        raise FileReadError(f"{folder}: expected a folder to train on, found {found}")
    scenes = [scene for place in _places(folder) if (scene := _scene(folder, place)) is not None]
    if not scenes:
        raise BracketError(f"{folder}: expected {KNOWN}, found no folder with two photos in it")
    layout = _layout(folder, scenes)
    if len(scenes) < 2:
        raise BracketError(
            f"{folder}: expected at least 2 scenes, one to hold out, found {scenes[0].name} alone"
        )
    held = _held_out(folder, [scene.name for scene in scenes])
    return PhotoSet(
        folder,
        layout,
        tuple(scene for scene in scenes if scene.name not in held),
        tuple(scene for scene in scenes if scene.name in held),
    )


def _places(folder: Path) -> list[Path]:
    """Folders that may hold a bracket; the folder itself where nothing below does."""
    found, level = [], [folder]
    for _ in range(_DEEPEST):
        try:
            below = [path for place in level for path in place.iterdir() if path.is_dir()]
        except OSError as error:
            raise FileReadError(
                f"{folder}: expected folders of scenes, found one that cannot be read "
                f"({error.strerror}); check its permissions"
            ) from None
        level = sorted(
            (p for p in below if p.name[0] != "." and p.name.casefold() not in _NO_SCENES),
            key=lambda path: natural_key(path.as_posix()),
        )
        found += level
    return found or [folder]


def _scene(folder: Path, place: Path) -> Scene | None:
    scene = bracket_in(place)
    if scene is None:
        return None
    name = place.relative_to(folder).as_posix()
    truth = scene.truth or _label_beside(place)
    return replace(scene, name=scene.name if name == "." else name, truth=truth)


def _label_beside(place: Path) -> Path | None:
    """The label of a scene of SICE as published: Label/NAME.* beside its folder."""
    for labels in place.parent.iterdir():
        if labels.is_dir() and labels.name.casefold() == "label":
            return next((file for file in images_in(labels) if file.stem == place.name), None)
    return None


def _layout(folder: Path, scenes: list[Scene]) -> Layout:
    """What the scenes have beside their photos, all of them or none."""
    radiance = [scene for scene in scenes if scene.true_radiance is not None]
    labelled = [scene for scene in scenes if scene.truth is not None]
    if not radiance and not labelled:
        return "photos"
    # Radiance says more than a picture, where a set has both.
    layout: Layout = "radiance" if len(radiance) >= len(labelled) else "labels"
    have = radiance if layout == "radiance" else labelled
    wanted = (
        "its true radiance (HDRImg.hdr, ref_hdr.hdr or truth.exr)"
        if layout == "radiance"
        else "its label (label.jpg in it, or Label/NAME.jpg beside it)"
    )
    for scene in scenes:
        if scene not in have:
            raise BracketError(
                f"{folder / scene.name}: expected {wanted} as {have[0].name} has, found none; add "
                "it or take the scene out"
            )
    return layout


def _held_out(folder: Path, names: list[str]) -> set[str]:
    sides = {name: name.split("/")[0].casefold() for name in names}
    held = {name for name, side in sides.items() if side in _TEST}
    if held and any(side in _TRAINING for side in sides.values()):
        return held
    chosen = folder / HELD_OUT_FILE
    if not chosen.is_file():
        return names_to_hold_out(names)
    wanted = {line.strip() for line in chosen.read_text(encoding="utf-8").splitlines()} - {""}
    unknown = sorted(wanted - set(names))
    if unknown:
        raise BracketError(
            f"{chosen}: expected names of scenes such as {names[0]}, found {unknown[0]!r}"
        )
    if not wanted or wanted == set(names):
        raise BracketError(
            f"{chosen}: expected some of the {len(names)} scenes, found {len(wanted)} of them"
        )
    return wanted

"""Layouts of the data sets that researchers have: scenes of several exposures, some with a truth.

Each function walks a folder and returns its scenes, sorted by name; no picture is read. It raises
FileReadError for a folder that cannot be read and BracketError for one without scenes. Exposures
are left to `exposure.assign_stops`, which finds the text file that data sets have beside photos.

Splits are by scene, never by patch: two patches of one scene on both sides would be memory, not
skill.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ...errors import BracketError, FileReadError
from ...io.photo_files import images_in, natural_key
from .splits import names_to_hold_out

# What data sets call the true picture: SICE, Kalantari & Ramamoorthi 2017, `ghostless simulate`.
_TRUE_RADIANCE = (
    "truth.exr",
    "truth.hdr",
    "hdrimg.hdr",
    "hdrimg.exr",
    "ref_hdr.hdr",
    "ref_hdr.exr",
    "gt.hdr",
    "ref_hdr_aligned.hdr",
)
# Kalantari's photos are also passed on with copies that someone registered.
_ALIGNED = "_aligned"
_TRUE_DISPLAY = ("label.jpg", "label.png", "label.jpeg", "truth.png", "truth.jpg", "gt.png")
_JPEG = (".jpg", ".jpeg")
# Beside the true radiance of a simulated bracket: what else is true of it.
ANSWERS = "answers.json"


@dataclass(frozen=True)
class Scene:
    """One bracket of a data set.

    files: the photos, in natural order of their names. truth: the true display image, if there is
    one. true_radiance: the true linear image, if there is one. recordable: the largest radiance,
    in its unit, that any of the photos can hold, where that is known.
    """

    name: str
    files: tuple[Path, ...]
    truth: Path | None = None
    true_radiance: Path | None = None
    recordable: float | None = None

    @property
    def has_jpeg_inputs(self) -> bool:
        """Whether the photos are JPEG files."""
        return self.files[0].suffix.lower() in _JPEG


def read_mefb(folder: Path) -> tuple[Scene, ...]:
    """MEFB: NAME/under.* and NAME/over.*, or as published, NAME/NAME_A.* and NAME/NAME_B.*.

    The pairs may also lie in `folder` itself. In the published layout the darker photo may be
    either of the two.
    """
    scenes = []
    for place in [*_subfolders(folder), folder]:
        by_stem = {file.stem: file for file in images_in(place)}
        if "under" in by_stem and "over" in by_stem:
            scenes.append(Scene(place.absolute().name, (by_stem["under"], by_stem["over"])))
            continue
        for stem, file in by_stem.items():
            partner = by_stem.get(f"{stem[:-2]}_B")
            if stem.endswith("_A") and partner is not None:
                scenes.append(Scene(stem[:-2], (file, partner)))
    return _some(scenes, folder, "folders with under.* and over.*, or NAME_A.* and NAME_B.*")


def read_brackets(folder: Path) -> tuple[Scene, ...]:
    """A bracket in every subfolder that holds two photos or more, or in the folder itself.

    So lie the sets of Kalantari and Ramamoorthi 2017 (HDRImg.hdr beside three photos), Sen and
    Tursun (without truth), what `ghostless simulate` writes, and most photographers' own. A true
    image, beside the photos or in their folder "truth", is told from them by its name.
    """
    inside = _subfolders(folder)
    scenes = [scene for place in inside if (scene := bracket_in(place)) is not None]
    if not scenes and (alone := bracket_in(folder)) is not None:
        scenes = [alone]
    return _some(scenes, folder, "folders with the photos of one bracket each")


def read_simulated(folder: Path) -> tuple[Scene, ...]:
    """What `ghostless simulate` writes: brackets with their true radiance and answers.json."""
    return tuple(
        replace(scene, recordable=recordable_of(scene.true_radiance.with_name(ANSWERS)))
        if scene.true_radiance is not None
        else scene
        for scene in read_brackets(folder)
    )


def recordable_of(path: Path) -> float | None:
    """Where the darkest photo clips, 1 being where the reference does; None without answers."""
    if not path.is_file():
        return None
    try:
        answers = json.loads(path.read_text(encoding="utf-8"))
        stops = [float(stop) for stop in answers["stops"]]
        return float(2.0 ** (stops[answers["reference"]] - min(stops)))
    except (OSError, ValueError, TypeError, KeyError, IndexError):
        raise FileReadError(
            f"{path}: expected the answers that 'ghostless simulate' wrote (stops, reference), "
            "found something else; make the brackets again"
        ) from None


def bracket_in(place: Path) -> Scene | None:
    """The bracket in a folder, its true images told from the photos by name; None without two."""
    files = images_in(place)
    # `ghostless simulate` keeps its answers in a folder of their own.
    answers = images_in(place / "truth") if (place / "truth").is_dir() else []
    display = _named([*files, *answers], _TRUE_DISPLAY)
    radiance = _named([*files, *answers], _TRUE_RADIANCE)
    # Linear files beside photos are results or truths of other names.
    photos = [
        file
        for file in files
        if file not in (display, radiance) and file.suffix.lower() not in (".hdr", ".exr")
    ]
    stems = {file.stem for file in photos}
    photos = [
        file
        for file in photos
        if not (file.stem.endswith(_ALIGNED) and file.stem.removesuffix(_ALIGNED) in stems)
    ]
    if len(photos) < 2:
        return None
    # absolute: "." has no name
    return Scene(place.absolute().name, tuple(photos), display, radiance)


def _named(files: list[Path], names: tuple[str, ...]) -> Path | None:
    by_name = {file.name.casefold(): file for file in files}
    return next((by_name[name] for name in names if name in by_name), None)


def read_sice(folder: Path) -> tuple[Scene, ...]:
    """SICE: NAME/01.jpg, 02.jpg ... and NAME/label.*; as published, Label/NAME.* beside NAME/1.JPG.

    Published parts may lie beside each other; their scenes are then called PART_NAME. Scenes
    without a label are left out.
    """
    parts = [sub for sub in _subfolders(folder) if _labels_in(sub) is not None]
    if parts:
        found = [(part, scene) for part in parts for scene in read_sice(part)]
        return tuple(replace(scene, name=f"{part.name}_{scene.name}") for part, scene in found)
    labels = _labels_in(folder)
    by_stem = {} if labels is None else {file.stem: file for file in images_in(labels)}
    scenes = [
        Scene(scene.name, scene.files, truth)
        for scene in read_brackets(folder)
        if (truth := scene.truth or by_stem.get(scene.name)) is not None
    ]
    return _some(scenes, folder, "folders with photos and label.jpg")


def _labels_in(folder: Path) -> Path | None:
    """SICE's folder of labels within one of its parts."""
    return next((sub for sub in _subfolders(folder) if sub.name.casefold() == "label"), None)


def split_scenes(
    scenes: Sequence[Scene], held_out_share: float = 0.1, seed: int = 0
) -> tuple[list[Scene], list[Scene]]:
    """Split scenes into those to train on and those held out, by `splits.names_to_hold_out`."""
    held = names_to_hold_out((scene.name for scene in scenes), held_out_share, seed)
    return (
        [scene for scene in scenes if scene.name not in held],
        [scene for scene in scenes if scene.name in held],
    )


def _subfolders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing"
        raise FileReadError(f"{folder}: expected a folder of scenes, found {found}; check its name")
    try:
        inside = [path for path in folder.iterdir() if path.is_dir() and path.name[0] != "."]
    except OSError as error:
        raise FileReadError(
            f"{folder}: expected a folder of scenes, found one that cannot be read "
            f"({error.strerror}); check its permissions"
        ) from None
    return sorted(inside, key=lambda path: natural_key(path.name))


def _some(scenes: list[Scene], folder: Path, wanted: str) -> tuple[Scene, ...]:
    if not scenes:
        raise BracketError(
            f"{folder}: expected {wanted}, found none; check that this is the right folder"
        )
    return tuple(scenes)

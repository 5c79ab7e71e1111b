"""Photographed scenes decoded once into arrays that a training maps into memory.

A cache is a folder with one folder for each scene:

    facts.json       what it was made from, sizes, exposures
    frames.npy       (N, H, W, 3) display codes, dark to bright: uint8, or uint16 beside radiance
    target.npy       (H, W, 3) uint8: the label, or what stands in for one
    radiance.npy     (H, W, 3) float32, 1 where the darkest frame clips; where the set has it

A scene whose files or size have changed is decoded again, and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...bracket import Bracket, Frame, Stack
from ...errors import BracketError, FileReadError, OptionError, OutputError
from ...exposure.assign import assign_stops
from ...io.atomic import write_atomically
from ...io.read import read_frame
from ...methods import fuse_stack
from ..data.photo_sets import Layout, PhotoSet
from ..data.scenes import ANSWERS, Scene, recordable_of

_VERSION = 1
_TOLD = ("file", "exif", "user")
_STAND_IN = "mertens"
Progress = Callable[[str], None]


@dataclass(frozen=True)
class CachedScene:
    """One decoded scene; its arrays are mapped from their files, not read.

    frames: (N, H, W, 3), dark to bright. stops: relative to the darkest; () where not needed.
    """

    name: str
    frames: NDArray[Any]
    target: NDArray[np.uint8] | None
    radiance: NDArray[np.float32] | None
    stops: tuple[float, ...]

    @property
    def size(self) -> tuple[int, int]:
        return int(self.frames.shape[1]), int(self.frames.shape[2])


@dataclass(frozen=True)
class PhotoSize:
    """How large photos are kept, see `Recipe.photo_size`."""

    width: int = 0
    height: int = 0

    @classmethod
    def parse(cls, text: str) -> PhotoSize:
        found = re.fullmatch(r"(\d+)(?:x(\d+))?", text.strip())
        if found is None:
            raise OptionError(
                f"photo_size: expected 0, a longer side such as 1200, or a size such as 1200x800, "
                f"found {text!r}"
            )
        return cls(int(found[1]), int(found[2] or 0))

    def of(self, height: int, width: int) -> tuple[int, int]:
        """Height and width that a photo is kept at."""
        if self.height:
            return self.height, self.width
        longer = max(height, width)
        if not self.width or longer <= self.width:
            return height, width
        scale = self.width / longer
        return max(1, round(height * scale)), max(1, round(width * scale))


def fill_cache(
    found: PhotoSet, cache: Path, size: PhotoSize, tell: Progress | None = None
) -> dict[str, CachedScene]:
    """Decode what is missing of a set; return all of its scenes by name.

    Raises BracketError for photos of a scene that do not belong together or whose exposures nobody
    knows where they are needed, FileReadError for files that cannot be read, OutputError for a
    cache that cannot be written.
    """
    scenes = {}
    for number, scene in enumerate(found.scenes):
        place = cache / _slug(scene.name)
        key = _key(scene, found.layout, size)
        if _key_there(place) != key:
            if tell is not None:
                tell(f"decoding {scene.name} ({number + 1} of {len(found.scenes)})")
            _decode(found, scene, place, key, size)
        scenes[scene.name] = _map(scene.name, place)
    return scenes


def _slug(name: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9.-]+", "_", name)
    return f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def _key(scene: Scene, layout: Layout, size: PhotoSize) -> str:
    files = [*scene.files, *(f for f in (scene.truth, scene.true_radiance) if f is not None)]
    try:
        stamps = [(f.as_posix(), f.stat().st_size, f.stat().st_mtime_ns) for f in files]
    except OSError as error:
        raise FileReadError(
            f"{error.filename}: expected a photo, found none that can be read ({error.strerror})"
        ) from None
    text = json.dumps([_VERSION, layout, size.width, size.height, stamps])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _key_there(place: Path) -> str | None:
    try:
        facts = json.loads((place / "facts.json").read_text(encoding="utf-8"))
        return str(facts["key"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _map(name: str, place: Path) -> CachedScene:
    facts = json.loads((place / "facts.json").read_text(encoding="utf-8"))

    def mapped(file: str) -> Any:
        # "c": torch wants memory that could be written to; nothing reaches the file.
        path = place / file
        return np.load(path, mmap_mode="c") if path.is_file() else None

    return CachedScene(
        name,
        mapped("frames.npy"),
        mapped("target.npy"),
        mapped("radiance.npy"),
        tuple(facts["stops"]),
    )


def _decode(found: PhotoSet, scene: Scene, place: Path, key: str, size: PhotoSize) -> None:
    where = found.folder / scene.name
    frames = _frames(scene, where)
    stops: tuple[float, ...] = ()
    if found.layout == "radiance":
        frames, stops = _exposed(frames, where)
    else:
        frames = sorted(frames, key=lambda frame: float(frame.display().mean()))
    shape = (frames[0].height, frames[0].width)
    deep = found.layout == "radiance" and any(f.pixels.dtype != np.uint8 for f in frames)
    wanted = size.of(*shape)
    kept: dict[str, NDArray[Any]] = {
        "frames": np.stack([_codes(_resized(f.display(), wanted), deep) for f in frames])
    }
    if found.layout == "radiance":
        kept["radiance"] = _resized(_radiance(scene, where, shape), wanted)
    elif found.layout == "labels":
        assert scene.truth is not None
        label = _read_like(scene.truth, where, shape, "label").display()
        kept["target"] = _codes(_resized(label, wanted), False)
    else:
        kept["target"] = _stand_in(kept["frames"])
    facts = {"key": key, "name": scene.name, "stops": stops}
    _save(place, kept, facts)


def _frames(scene: Scene, where: Path) -> list[Frame]:
    frames: list[Frame] = []
    for file in scene.files:
        frame = read_frame(file)
        if frames and frame.pixels.shape != frames[0].pixels.shape:
            raise BracketError(
                f"{where}: expected photos of one size, {frames[0].width} x {frames[0].height} "
                f"pixels like {frames[0].name}, found {frame.width} x {frame.height} in "
                f"{frame.name}"
            )
        frames.append(frame)
    return frames


def _exposed(frames: list[Frame], where: Path) -> tuple[list[Frame], tuple[float, ...]]:
    """Frames dark to bright with their stops, which somebody must have told."""
    bracket = assign_stops(Bracket(tuple(frames)))
    if any(frame.stops_source not in _TOLD for frame in bracket.frames):
        raise BracketError(
            f"{where}: expected the exposures of its {len(frames)} photos in stops, in "
            "exposure.txt or input_exp.txt beside them or in their EXIF, found neither"
        )
    stops = bracket.stops
    return list(bracket.frames), tuple(stop - stops[0] for stop in stops)


def _read_like(file: Path, where: Path, shape: tuple[int, int], what: str) -> Frame:
    frame = read_frame(file)
    if (frame.height, frame.width) != shape:
        raise BracketError(
            f"{where}: expected a {what} of the photos' size, {shape[1]} x {shape[0]} pixels, "
            f"found {frame.width} x {frame.height} in {file.name}"
        )
    return frame


def _radiance(scene: Scene, where: Path, shape: tuple[int, int]) -> NDArray[np.float32]:
    """True radiance, 1 where the darkest photo clips."""
    assert scene.true_radiance is not None
    frame = _read_like(scene.true_radiance, where, shape, "true radiance")
    answers = scene.true_radiance.with_name(ANSWERS)
    recordable = recordable_of(answers) if answers.is_file() else None
    return np.asarray(frame.unit() / np.float32(recordable or 1.0), np.float32)


def _resized(image: NDArray[np.float32], wanted: tuple[int, int]) -> NDArray[np.float32]:
    height, width = wanted
    if image.shape[:2] == wanted:
        return image
    smaller = height * width < image.shape[0] * image.shape[1]
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=how), np.float32)


def _codes(display: NDArray[np.float32], deep: bool) -> NDArray[Any]:
    most, kind = (65535, np.uint16) if deep else (255, np.uint8)
    return np.rint(np.clip(display, 0, 1) * most).astype(kind)


def _stand_in(frames: NDArray[Any]) -> NDArray[np.uint8]:
    """Exposure fusion of all photos of a scene, where nobody says what its picture should be."""
    stack = Stack(tuple(Frame(np.ascontiguousarray(f)) for f in frames), len(frames) // 2)
    return np.asarray(_codes(fuse_stack(stack, _STAND_IN).pixels, False), np.uint8)


def _save(place: Path, arrays: dict[str, NDArray[Any]], facts: dict[str, Any]) -> None:
    try:
        place.mkdir(parents=True, exist_ok=True)
        (place / "facts.json").unlink(missing_ok=True)
        for name in ("frames", "target", "radiance"):
            (place / f"{name}.npy").unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"{place}: expected a folder for decoded photos, found that none can be there "
            f"({error.strerror}); choose another place for the run"
        ) from None
    for name, array in arrays.items():

        def write(scratch: Path, array: NDArray[Any] = array) -> None:
            with scratch.open("wb") as file:
                np.save(file, array)

        write_atomically(place / f"{name}.npy", write, overwrite=True)
    text = json.dumps(facts) + "\n"

    def write_facts(scratch: Path) -> None:
        scratch.write_text(text, encoding="utf-8")

    # Last: what has its facts is whole.
    write_atomically(place / "facts.json", write_facts, overwrite=True)

"""What a folder holds: photos with their facts, and the reason for every file that is none."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Final, Literal, get_args

from ..bracket import Metadata
from ..errors import FileReadError, GhostlessError, OptionError
from ..exposure import stops_from_metadata
from ..io.containers import HEAD_BYTES, Format, sniff, what_it_seems
from ..io.exif import ExifBlock, parse_exif
from ..io.metadata import SOFTWARE
from ..io.read import PhotoFacts, ReadSettings, read_facts
from ..photo_files import IMAGE_SUFFIXES, natural_key
from .grouping import Photo

Prefer = Literal["raw", "jpeg"]
Status = Literal["used", "single", "pair", "left out", "failed", "damaged", "not a photo"]

_THREADS: Final = 4
_SOFTWARE_TAG, _SERIAL_TAG, _DNG_SERIAL_TAG = 0x0131, 0xA431, 0xC62F
# Of files of one shot, which holds most: as recorded by the sensor, then what loses nothing.
_BEST_FIRST: Final[tuple[Format, ...]] = ("raw", "tiff", "png", "heif", "avif", "webp", "jpeg")
# A camera may stamp the two files of a pair some moments apart.
_PAIR_SECONDS: Final = 2.0


@dataclass(frozen=True)
class PhotoFile:
    """A photo with what else a batch needs to know of its file."""

    photo: Photo
    kind: Format | None = None
    white_balance: tuple[float, float, float, float] | None = None
    auto_white_balance: bool = True

    @property
    def pixels(self) -> int:
        return self.photo.width * self.photo.height


@dataclass(frozen=True)
class Folder:
    """Everything below a folder.

    photos: one for each shot, by name. other: for every other file its status and the reason.
    """

    root: Path
    photos: Mapping[str, PhotoFile] = field(default_factory=dict)
    other: Mapping[str, tuple[Status, str]] = field(default_factory=dict)


def scan_folder(
    root: Path,
    *,
    prefer: Prefer = "raw",
    read: ReadSettings | None = None,
    skip: Path | None = None,
    progress: Callable[[float], None] | None = None,
) -> Folder:
    """Look at every file below a folder.

    prefer: which file of a RAW+JPEG pair is fused.
    skip: a folder that is passed over, where results go.
    A damaged photo is a photo with a problem, so that its bracket is not fused without it.
    Raises FileReadError for a folder that cannot be read or does not exist.
    """
    if prefer not in get_args(Prefer):
        raise OptionError(f"pairs: expected 'raw' or 'jpeg', found {prefer!r}")
    if not root.is_dir():
        raise FileReadError(
            f"{root}: expected a folder of photos, found "
            f"{'a file' if root.exists() else 'none'}; name the folder of the shoot"
        )
    names = list(_walk(root, skip))
    found: dict[str, PhotoFile] = {}
    other: dict[str, tuple[Status, str]] = {}
    with ThreadPoolExecutor(_THREADS) as pool:
        looks = pool.map(lambda name: _look(root, name, read or ReadSettings()), names)
        for number, (name, look) in enumerate(zip(names, looks, strict=True), start=1):
            if isinstance(look, PhotoFile):
                found[name] = look
            else:
                other[name] = look
            if progress is not None:
                progress(number / len(names))
    for name, main in _pairs(found, prefer).items():
        del found[name]
        other[name] = ("pair", f"the same shot as {PurePosixPath(main).name}, which counts")
    return Folder(root, found, other)


def _walk(root: Path, skip: Path | None) -> Iterator[str]:
    """Names of all files below a folder, in natural order, folders not followed through links."""

    def stop(error: OSError) -> None:
        raise FileReadError(
            f"{error.filename}: expected a folder that can be read, found: {error.strerror}; "
            "check its permissions"
        ) from error

    skipped = None if skip is None else skip.resolve()
    for folder, folders, files in os.walk(root, onerror=stop):
        folders[:] = sorted(
            (f for f in folders if Path(folder, f).resolve() != skipped), key=natural_key
        )
        for file in sorted(files, key=natural_key):
            yield Path(folder, file).relative_to(root).as_posix()


def _look(root: Path, name: str, read: ReadSettings) -> PhotoFile | tuple[Status, str]:
    path = root / name
    if path.name.startswith("."):
        return "not a photo", "a hidden file"
    named_so = path.suffix.lower() in IMAGE_SUFFIXES
    try:
        with path.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
        return PhotoFile(Photo(name, problem=reason)) if named_so else ("not a photo", reason)
    kind = sniff(head)
    if kind is None:
        seems = what_it_seems(head) if head else "an empty file"
        if named_so and seems != "a video":
            return PhotoFile(Photo(name, problem=f"damaged: it holds {seems}"))
        return "not a photo", seems
    if kind in ("hdr", "exr"):
        return "left out", "an HDR picture, no single exposure"
    try:
        facts = read_facts(path, read)
    except GhostlessError as error:
        return PhotoFile(Photo(name, problem=" ".join(str(error).split())), kind)
    block = parse_exif(facts.metadata.exif) if facts.metadata.exif else ExifBlock()
    if _text(block, _SOFTWARE_TAG) == SOFTWARE:
        return "left out", "made by Ghostless"
    return _photo_file(name, facts, block)


def _photo_file(name: str, facts: PhotoFacts, block: ExifBlock) -> PhotoFile:
    metadata = facts.metadata
    serial = _text(block, _SERIAL_TAG) or _text(block, _DNG_SERIAL_TAG)
    camera = " ".join(part for part in (metadata.camera, serial) if part) or None
    photo = Photo(
        name,
        stops=stops_from_metadata(metadata),
        start_seconds=_seconds(metadata),
        shutter_seconds=metadata.shutter_seconds,
        camera=camera,
        lens=metadata.lens,
        focal_length_mm=metadata.focal_length_mm,
        width=facts.width,
        height=facts.height,
        turned=facts.orientation >= 5,
    )
    white_balance = block.photo.get(0xA403)  # 1: set by hand, hence the same for all photos
    by_hand = white_balance is not None and white_balance.numbers()[:1] == [1.0]
    return PhotoFile(photo, facts.kind, facts.white_balance, not by_hand)


def _text(block: ExifBlock, tag: int) -> str:
    value = block.photo.get(tag) or block.image.get(tag)
    return "" if value is None else value.text()


def _seconds(metadata: Metadata) -> float | None:
    """When a photo was taken by its camera's clock; the time zone does not matter in one row."""
    if metadata.taken_at is None:
        return None
    text = re.sub(r"(\.\d{1,6})\d*", r"\1", metadata.taken_at)
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _pairs(found: Mapping[str, PhotoFile], prefer: Prefer) -> dict[str, str]:
    """For every photo that another file of the same shot stands for, that other one's name."""
    by_stem: dict[str, list[str]] = defaultdict(list)
    for name in found:
        by_stem[str(PurePosixPath(name).with_suffix("")).casefold()].append(name)
    replaced: dict[str, str] = {}
    for names in by_stem.values():
        kinds = [found[name].kind for name in names]
        if len(names) < 2 or len(set(kinds)) < 2:
            continue
        best = min(names, key=lambda name: _rank(found[name], prefer))
        replaced |= {
            name: best for name in names if name != best and _one_shot(found[name], found[best])
        }
    return replaced


def _rank(file: PhotoFile, prefer: Prefer) -> int:
    if file.kind is None or file.photo.problem is not None:
        return len(_BEST_FIRST)
    place = _BEST_FIRST.index(file.kind)
    return place if prefer == "raw" else -place


def _one_shot(first: PhotoFile, second: PhotoFile) -> bool:
    """Whether two files of one name hold one shot, as far as they tell."""
    a, b = first.photo, second.photo
    if a.start_seconds is not None and b.start_seconds is not None:
        return abs(a.start_seconds - b.start_seconds) <= _PAIR_SECONDS
    return "raw" in (first.kind, second.kind) or a.problem is not None or b.problem is not None

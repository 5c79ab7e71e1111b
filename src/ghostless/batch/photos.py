"""What a folder holds: photos with their facts, and the reason for every file that is none."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final, Literal, get_args

from ..errors import FileReadError, GhostlessError, OptionError
from ..exposure.metadata import stops_from_metadata
from ..io.containers import HEAD_BYTES, Format, sniff, what_it_seems
from ..io.exif import ExifBlock, parse_exif
from ..io.photo_files import IMAGE_SUFFIXES, natural_key
from ..io.read import PhotoFacts, ReadSettings, read_facts
from ..io.regular import check_regular, open_regular
from ..io.shots import Prefer, Shot, same_shots, shot_of
from ..work.children import Failure
from ..work.pool import do_apart
from .order import Photo

Status = Literal["used", "single", "pair", "left out", "failed", "damaged", "not a photo"]

# Disks answer several questions at once sooner than one after the other.
_LOOKERS: Final = 4
_SERIAL_TAG, _DNG_SERIAL_TAG = 0xA431, 0xC62F


@dataclass(frozen=True)
class PhotoFile:
    """A photo with what else a batch needs to know of its file."""

    photo: Photo
    kind: Format | None = None
    white_balance: tuple[float, float, float, float] | None = None
    auto_white_balance: bool = True
    own: bool = False

    @property
    def pixels(self) -> int:
        return self.photo.width * self.photo.height

    @property
    def shot(self) -> Shot:
        """What the file says of the shot in it."""
        photo = self.photo
        return Shot(self.kind, photo.start_seconds, photo.flash, self.own, photo.problem)


# What a file is: a photo, or its status and the reason; and what a file is known by.
Look = PhotoFile | tuple[Status, str]
Known = tuple[str, tuple[int, int] | None]


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
    known: MutableMapping[Known, Look] | None = None,
    progress: Callable[[float], None] | None = None,
) -> Folder:
    """Look at every file below a folder, in processes of their own.

    prefer: which file of a RAW+JPEG pair is fused.
    skip: a folder that is passed over, where results go.
    known: what was found out before, of files that have not changed since; more is added to it.
    A damaged photo is a photo with a problem, so that its bracket is not fused without it; so is
    one that takes the process with it that looks at it.
    Raises FileReadError for a folder that cannot be read or does not exist.
    """
    if prefer not in get_args(Prefer):
        raise OptionError(f"pairs: expected 'raw' or 'jpeg', found {prefer!r}")
    if not root.is_dir():
        raise FileReadError(
            f"{root}: expected a folder of photos, found "
            f"{'a file' if root.exists() else 'none'}; name the folder of the shoot"
        )
    names = list(files_below(root, skip))
    found: dict[str, PhotoFile] = {}
    other: dict[str, tuple[Status, str]] = {}
    for name, look in _looks(root, names, read or ReadSettings(), known, progress).items():
        if isinstance(look, PhotoFile):
            found[name] = look
        else:
            other[name] = look
    # As the names come, not as the looks did.
    found = {name: found[name] for name in names if name in found}
    other = {name: other[name] for name in names if name in other}
    for name, main in same_shots({n: file.shot for n, file in found.items()}, prefer).items():
        del found[name]
        other[name] = ("pair", f"the same shot as {PurePosixPath(main).name}, which counts")
    return Folder(root, found, other)


def _looks(
    root: Path,
    names: Sequence[str],
    read: ReadSettings,
    known: MutableMapping[Known, Look] | None,
    progress: Callable[[float], None] | None,
) -> dict[str, Look]:
    """What each file is, from what is known already or by looking at it."""
    known = {} if known is None else known
    keys = {name: _known_by(root / name, name) for name in names}
    new = [name for name in names if keys[name] not in known]
    looks = {name: known[keys[name]] for name in names if keys[name] in known}
    jobs = [(root, name, read) for name in new]
    for place, look in do_apart(look_at, jobs, _LOOKERS, progress=progress):
        name = new[place]
        looks[name] = _unreadable(name, look.reason) if isinstance(look, Failure) else look
        known[keys[name]] = looks[name]
    return looks


def _known_by(path: Path, name: str) -> Known:
    """What tells a file from what it was before: its name, size and time of change."""
    try:
        facts = path.stat()
    except (OSError, ValueError):
        return name, None
    return name, (facts.st_size, facts.st_mtime_ns)


def files_below(root: Path, skip: Path | None) -> Iterator[str]:
    """Names of all files below a folder, in natural order, folders not followed through links."""

    def stop(error: OSError) -> None:
        raise FileReadError(
            f"{error.filename}: expected a folder that can be read, found: {error.strerror}; "
            "check its permissions"
        ) from error

    skipped = None if skip is None else os.path.realpath(skip)
    for folder, folders, files in os.walk(root, onerror=stop):
        folders[:] = sorted(
            (f for f in folders if os.path.realpath(Path(folder, f)) != skipped), key=natural_key
        )
        for file in sorted(files, key=natural_key):
            yield Path(folder, file).relative_to(root).as_posix()


def look_at(root: Path, name: str, read: ReadSettings) -> PhotoFile | tuple[Status, str]:
    """Tell what a file is: a photo with its facts, or its status and the reason."""
    path = root / name
    if path.name.startswith("."):
        return "not a photo", "a hidden file"
    try:
        status = path.stat()
    except OSError as error:
        return _unreadable(name, f"cannot be read: {error.strerror}")
    try:
        check_regular(status)
    except OSError as error:
        return "not a photo", f"cannot be read: {error.strerror}"
    try:
        with open_regular(path) as stream:
            head = stream.read(HEAD_BYTES)
    except OSError as error:
        return _unreadable(name, f"cannot be read: {error.strerror}")
    kind = sniff(head)
    if kind is None:
        seems = what_it_seems(head) if head else "an empty file"
        if _is_named_so(name) and seems != "a video":
            return PhotoFile(Photo(name, problem=f"damaged: it holds {seems}"))
        return "not a photo", seems
    if kind in ("hdr", "exr"):
        return "left out", "an HDR picture, no single exposure"
    try:
        facts = read_facts(path, read)
        block = parse_exif(facts.metadata.exif) if facts.metadata.exif else ExifBlock()
        file = _photo_file(root, name, facts, block)
    except GhostlessError as error:
        return PhotoFile(Photo(name, problem=" ".join(str(error).split())), kind)
    return ("left out", "made by Ghostless") if file.own else file


def _unreadable(name: str, reason: str) -> PhotoFile | tuple[Status, str]:
    """What to make of a file that nothing is known of but its name."""
    return PhotoFile(Photo(name, problem=reason)) if _is_named_so(name) else ("not a photo", reason)


def _is_named_so(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES


def _photo_file(root: Path, name: str, facts: PhotoFacts, block: ExifBlock) -> PhotoFile:
    metadata = facts.metadata
    shot = shot_of(facts, block, root / name)
    serial = _text(block, _SERIAL_TAG) or _text(block, _DNG_SERIAL_TAG)
    camera = " ".join(part for part in (metadata.camera, serial) if part) or None
    photo = Photo(
        name,
        stops=stops_from_metadata(metadata),
        start_seconds=shot.start_seconds,
        shutter_seconds=metadata.shutter_seconds,
        camera=camera,
        lens=metadata.lens,
        focal_length_mm=metadata.focal_length_mm,
        width=facts.width,
        height=facts.height,
        turned=facts.orientation >= 5,
        flash=shot.flash,
    )
    white_balance = block.photo.get(0xA403)  # 1: set by hand, hence the same for all photos
    by_hand = white_balance is not None and white_balance.numbers()[:1] == [1.0]
    return PhotoFile(photo, facts.kind, facts.white_balance, not by_hand, shot.own)


def _text(block: ExifBlock, tag: int) -> str:
    value = block.photo.get(tag) or block.image.get(tag)
    return "" if value is None else value.text()

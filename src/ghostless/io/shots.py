"""Which files hold the shots of one bracket.

A camera or a phone may have stored a shot twice, as RAW and as JPEG; a folder may hold pictures
that Ghostless made of its photos; and a photo lit by a flash shows other light than those beside
it. All of this is told by names and headers, before anything is decoded.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Final, Literal

from ..bracket import MAX_FRAMES, MIN_FRAMES, Metadata, check_frame_count
from ..errors import BracketError, GhostlessError
from .containers import Format
from .exif import ExifBlock, parse_exif
from .metadata import SOFTWARE
from .packets import read_packets
from .photo_files import images_in
from .read import PhotoFacts, ReadSettings, read_facts

Prefer = Literal["raw", "jpeg"]

_SOFTWARE_TAG: Final = 0x0131
# Of files of one shot, which holds most: as recorded by the sensor, then what loses nothing.
_BEST_FIRST: Final[tuple[Format, ...]] = ("raw", "tiff", "png", "heif", "avif", "webp", "jpeg")
# A camera may stamp the two files of a pair some moments apart.
_PAIR_SECONDS: Final = 2.0
# What phones add to a shot's name in one of its files: IMG_1.RAW-01.COVER.jpg, IMG_1.MP.jpg.
_MARKS: Final = re.compile(
    r"[._~ -](?:raw|cover|original|mp|mv|motion|night|portrait|macro|astro|pano|long_exposure|"
    r"action_pan|hdr|hdrp|hhdr|dng|jpg|jpeg|heic|heif|edr|pro|expert|burst)(?:-\d{1,2})?$"
)
# What they set before the date that is the name.
_BEFORE_DATES: Final = re.compile(r"^[a-z]{2,6}[_-]?(?=(?:19|20)\d{6}[_-]?\d{6})")
_HDR_FORMATS: Final = ("hdr", "exr")
# Programs that keep their hands off Exif write whether a flash fired into XMP (exif:Flash).
_FIRED: Final = re.compile(
    rb"<exif:Fired>\s*(True|False)\s*<|exif:Fired\s*=\s*['\"](True|False)['\"]", re.IGNORECASE
)


@dataclass(frozen=True)
class Shot:
    """What a file says of the shot in it; None where that is not told.

    flash: whether a flash fired. own: whether Ghostless made the picture. problem: why the file
    cannot be read, None for one that can.
    """

    kind: Format | None = None
    start_seconds: float | None = None
    flash: bool | None = None
    own: bool = False
    problem: str | None = None


def shot_of(facts: PhotoFacts, block: ExifBlock, path: Path) -> Shot:
    """What a photo's facts, its Exif and its XMP say of the shot."""
    flash = facts.metadata.flash_fired
    software = block.image.get(_SOFTWARE_TAG)
    return Shot(
        facts.kind,
        seconds_taken(facts.metadata),
        _fired_by_xmp(path, facts.kind) if flash is None else flash,
        software is not None and software.text() == SOFTWARE,
    )


def read_shot(path: Path, settings: ReadSettings | None = None) -> Shot:
    """Read what a file says of the shot in it; a file that cannot be read is one with a problem."""
    try:
        facts = read_facts(path, settings or ReadSettings())
    except GhostlessError as error:
        return Shot(problem=str(error))
    block = parse_exif(facts.metadata.exif) if facts.metadata.exif else ExifBlock()
    return shot_of(facts, block, path)


def _fired_by_xmp(path: Path, kind: Format) -> bool | None:
    """What a photo's XMP packets, its sidecar's first, say of the flash."""
    for packet in read_packets(path, kind)[0]:
        told = _FIRED.search(packet)
        if told is not None:
            return (told[1] or told[2]).lower() == b"true"
    return None


def seconds_taken(metadata: Metadata) -> float | None:
    """When a photo was taken by its camera's clock; the time zone does not matter in one row."""
    if metadata.taken_at is None:
        return None
    text = re.sub(r"(\.\d{1,6})\d*", r"\1", metadata.taken_at)
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
    except (ValueError, OverflowError):
        return None


# --- RAW+JPEG pairs ------------------------------------------------------------------------------


def same_shots(shots: Mapping[str, Shot], prefer: Prefer = "raw") -> dict[str, str]:
    """For every file that another of the same shot stands for, that other one's name.

    shots: by name, or by path with slashes. Files of one name in one folder hold one shot if their
    formats differ and their times do not. Of a RAW and another file it is enough that the names
    are the same but for what phones add: `PXL_1.RAW-02.ORIGINAL.dng` and `PXL_1.RAW-01.COVER.jpg`.
    """
    replaced: dict[str, str] = {}
    for key in (_plain_key, shot_name):
        alike: dict[str, list[str]] = defaultdict(list)
        for name in shots:
            if name not in replaced:
                alike[key(name)].append(name)
        for names in alike.values():
            kinds = {shots[name].kind for name in names}
            if len(kinds) < 2 or (key is shot_name and "raw" not in kinds):
                continue
            best = min(names, key=lambda name: _rank(shots[name], prefer))
            replaced |= {
                name: best
                for name in names
                if name != best
                and _one_shot(shots[name], shots[best])
                and (key is _plain_key or "raw" in (shots[name].kind, shots[best].kind))
            }
    return {name: _end_of(replaced, best) for name, best in replaced.items()}


def _end_of(replaced: Mapping[str, str], name: str) -> str:
    while name in replaced:
        name = replaced[name]
    return name


def _plain_key(name: str) -> str:
    return str(PurePath(name).with_suffix("")).casefold()


def shot_name(name: str) -> str:
    """What the names of all files of a shot have in common.

    >>> shot_name("PXL_20240505_1000.RAW-01.MP.COVER.jpg"), shot_name("IMG_7.MP.jpg")
    ('pxl_20240505_1000', 'img_7')
    """
    path = PurePath(name)
    stem = path.stem.casefold()
    while (shorter := _MARKS.sub("", stem)) != stem and shorter:
        stem = shorter
    return str(path.parent / _BEFORE_DATES.sub("", stem))


def _rank(shot: Shot, prefer: Prefer) -> int:
    if shot.kind not in _BEST_FIRST or shot.problem is not None:
        return len(_BEST_FIRST)
    place = _BEST_FIRST.index(shot.kind)
    return place if prefer == "raw" else -place


def _one_shot(first: Shot, second: Shot) -> bool:
    """Whether two files of one name hold one shot, as far as they tell."""
    if first.start_seconds is not None and second.start_seconds is not None:
        return abs(first.start_seconds - second.start_seconds) <= _PAIR_SECONDS
    return (
        "raw" in (first.kind, second.kind)
        or first.problem is not None
        or second.problem is not None
    )


# --- the files of one bracket --------------------------------------------------------------------


@dataclass(frozen=True)
class Chosen:
    """Files that make a bracket, of those that were given.

    places: of each among those given. notes: why others are left out, in plain words.
    """

    files: tuple[Path, ...]
    places: tuple[int, ...]
    notes: tuple[str, ...] = ()


def photos_in(folder: Path, settings: ReadSettings | None = None) -> Chosen:
    """The photos of a folder by name, without the pictures that were made of them.

    Left out are pictures that Ghostless made and HDR pictures, unless there is nothing else: then
    they are the bracket themselves. Raises FileReadError for a folder that cannot be read.
    """
    files = tuple(images_in(folder))
    everything = Chosen(files, tuple(range(len(files))))
    shots = {file: read_shot(file, settings) for file in files}
    notes: list[str] = []
    for why, is_result in (
        ("made by Ghostless: left out", lambda shot: shot.own),
        ("an HDR picture, no single exposure: left out", lambda shot: shot.kind in _HDR_FORMATS),
    ):
        everything = _left_out(everything, shots, is_result, why, notes)
    return Chosen(everything.files, everything.places, tuple(notes))


def choose_shots(files: Sequence[Path], settings: ReadSettings | None = None) -> Chosen:
    """The files of one bracket, each shot once and all lit by the same light.

    Of a RAW+JPEG pair the RAW counts, or the JPEG where only JPEG holds every shot. Photos that a
    flash lit are never in one bracket with photos that it did not: the fewer are left out, unless
    a single photo would remain.
    Raises BracketError where that leaves fewer than two files, or for too many files.
    """
    if len(files) > 4 * MAX_FRAMES:
        check_frame_count(len(files))
    chosen = Chosen(tuple(files), tuple(range(len(files))))
    shots = {file: read_shot(file, settings) for file in files}
    notes: list[str] = []
    chosen = _each_shot_once(chosen, shots, notes)
    if len(chosen.files) < MIN_FRAMES <= len(files):
        raise BracketError(
            f"expected at least {MIN_FRAMES} shots of one scene, found {len(chosen.files)} "
            f"({notes[0]}); give all photos of the bracket"
        )
    lit = [file for file in chosen.files if shots[file].flash]
    unlit = [file for file in chosen.files if not shots[file].flash]
    if lit and unlit:
        if max(len(lit), len(unlit)) < MIN_FRAMES:
            notes.append(
                f"{lit[0].name} was lit by a flash, {unlit[0].name} was not: they show different "
                "light, and shadows of the flash may show"
            )
        elif len(unlit) >= MIN_FRAMES:
            why = "lit by a flash, as the others are not: left out"
            chosen = _left_out(chosen, shots, lambda shot: bool(shot.flash), why, notes)
        else:
            why = "not lit by a flash, as the others are: left out"
            chosen = _left_out(chosen, shots, lambda shot: not shot.flash, why, notes)
    return Chosen(chosen.files, chosen.places, tuple(notes))


def _each_shot_once(chosen: Chosen, shots: Mapping[Path, Shot], notes: list[str]) -> Chosen:
    by_name = {file.as_posix(): shots[file] for file in chosen.files}
    best = same_shots(by_name)
    kept = [shot for name, shot in by_name.items() if name not in best]
    if best and any(shot.kind != "raw" for shot in kept):
        # Not every shot is there as RAW: frames of one kind make the better bracket.
        other = same_shots(by_name, "jpeg")
        if len({shot.kind for name, shot in by_name.items() if name not in other}) == 1:
            best = other
    for name, main in best.items():
        notes.append(f"{PurePath(name).name}: the same shot as {PurePath(main).name}, which counts")
    places = [
        place
        for place, file in zip(chosen.places, chosen.files, strict=True)
        if file.as_posix() not in best
    ]
    files = tuple(file for file in chosen.files if file.as_posix() not in best)
    return Chosen(files, tuple(places))


def _left_out(
    chosen: Chosen,
    shots: Mapping[Path, Shot],
    unwanted: Callable[[Shot], bool],
    why: str,
    notes: list[str],
) -> Chosen:
    """Leave out what is not wanted, and say so, unless that is all there is."""
    kept = [
        (file, place)
        for file, place in zip(chosen.files, chosen.places, strict=True)
        if not unwanted(shots[file])
    ]
    if not kept:
        return chosen
    left = set(chosen.files) - {file for file, _ in kept}
    notes += [f"{file.name}: {why}" for file in chosen.files if file in left]
    return Chosen(tuple(file for file, _ in kept), tuple(place for _, place in kept))

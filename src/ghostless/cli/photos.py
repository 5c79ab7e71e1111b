"""The photos that a command is given: folders stand for what is in them, wrong names are told."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from ..errors import BracketError, FileReadError

# Where formats without Exif say which program made them.
_SIGNED_BYTES = 65_536


def check_no_photo_at(out: Path, files: Sequence[Path]) -> None:
    """Raise OutputError if a result would take the place of a photo in one of the folders given.

    What Ghostless made itself there, and what is no photo, may be overwritten.
    """
    from ..errors import GhostlessError, OutputError
    from ..io.metadata import SOFTWARE
    from ..io.read import read_facts

    real = Path(os.path.realpath(out))
    folders = {os.path.realpath(path) for path in files if path.is_dir()}
    if str(real.parent) not in folders or not real.is_file():
        return
    try:
        exif = read_facts(real).metadata.exif or b""
    except GhostlessError:
        return
    with real.open("rb") as file:
        start = file.read(_SIGNED_BYTES)
        file.seek(max(0, real.stat().st_size - _SIGNED_BYTES))
        signed = SOFTWARE.encode() in exif + start + file.read()
    if not signed:
        raise OutputError(
            f"{out}: expected a new file, found a photo that is not from Ghostless in the folder "
            "to be fused; choose another name"
        )


def free_name_beside(files: Sequence[Path]) -> Path:
    """A name for a result beside the first photo, which no file has: IMG_1_fused.jpg.

    The place of a folder is in it. Whether the photos can be read is found out later.
    """
    from ..io.shots import photos_in

    first = files[0]
    if first.is_dir():
        inside = photos_in(first).files
        first = inside[0] if inside else first / "photos"
    name = first.with_name(f"{first.stem}_fused.jpg")
    number = 2
    while os.path.lexists(name):
        name = first.with_name(f"{first.stem}_fused_{number}.jpg")
        number += 1
    return name


def _missing(path: Path) -> FileReadError:
    """What is most likely wrong with a name that nothing has."""
    import difflib
    import glob

    text = str(path)
    if path.is_symlink():
        return FileReadError(
            f"{path}: expected a photo or a folder, found a link that leads to none; "
            "mend the link or give the photo itself"
        )
    if glob.has_magic(text):
        fitting = len(glob.glob(text))
        what = f"{fitting} files fit" if fitting else "no file fits"
        cure = "give it without quotes" if fitting else "check the name and the folder"
        return FileReadError(
            f"{path}: expected a photo or a folder, found a pattern that the shell has not "
            f"replaced by names ({what} it); {cure}"
        )
    if re.match(r"[a-z]+:/", text):
        return FileReadError(
            f"{path}: expected a photo or a folder, found an address; give files of this machine"
        )
    if not path.parent.is_dir():
        return FileReadError(
            f"{path}: expected a photo or a folder, found no folder {path.parent}; check its name"
        )
    try:
        near = difflib.get_close_matches(path.name, os.listdir(path.parent), n=1)
    except OSError:
        near = []
    hint = f"did you mean {path.with_name(near[0])}?" if near else "check it"
    return FileReadError(f"{path}: expected a photo or a folder, found none of this name; {hint}")


def expand(files: Sequence[Path], out: Path | None = None) -> tuple[list[Path], list[str]]:
    """Replace folders by the photos in them, by name, and say what of them is left out.

    An earlier output there is no photo: neither the file at `out`, nor what Ghostless made.
    """
    from ..io.shots import photos_in

    expanded: list[Path] = []
    notes: list[str] = []
    for path in files:
        if not path.is_dir():
            if not os.path.exists(path):
                raise _missing(path)
            expanded.append(path)
            continue
        found = photos_in(path)
        inside = [file for file in found.files if out is None or not _is_same(file, out)]
        if not inside:
            raise BracketError(
                f"{path}: expected a folder with the photos of one bracket, "
                "found none in it; give the files by name"
            )
        expanded += inside
        notes += found.notes
    return expanded, notes


def _is_same(first: Path, second: Path) -> bool:
    return os.path.realpath(first) == os.path.realpath(second)

"""What results are called: a pattern of a user's, or the name of a bracket's first photo."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from string import Formatter
from typing import Final

from ..errors import OptionError, unknown_name
from .photos import Folder

FIELDS: Final = ("first", "last", "date", "number", "folder", "method")
_LEAST_DIGITS: Final = 3
_LONGEST_BYTES: Final = 200
# What some system does not take in a name; "/" parts folders.
_NOT_IN_NAMES: Final = re.compile(r'[\x00-\x1f<>:"\\|?*]')


@dataclass(frozen=True)
class Naming:
    """How results are named.

    suffix: of the files, ".jpg". pattern: words in braces stand for what is known of a bracket:
    `first` and `last` (names of its photos, without suffix), `date` (2026-06-21, of its first
    photo), `number` (its place among all brackets, 001), `folder` (the name of the folder that it
    lies in), `method`; "" for `{first}`. A pattern without "/" names files in the subfolder of the
    photos, one with "/" below the folder of results.
    method: gives the name of what fuses so many photos.
    Raises OptionError for a pattern that names no file.
    """

    suffix: str
    pattern: str = ""
    method: Callable[[int], str] = lambda photos: ""

    def __post_init__(self) -> None:
        if self.pattern:
            _check(self.pattern)

    def outputs(self, brackets: Sequence[Sequence[str]], folder: Folder) -> list[str]:
        """A name below the folder of results for each bracket, given by its files.

        Raises OptionError where a pattern gives two brackets one name.
        """
        if not self.pattern:
            return _after_first_photos(brackets, self.suffix)
        digits = max(_LEAST_DIGITS, len(str(len(brackets))))
        outputs = [
            self._output(files, f"{number:0{digits}d}", folder)
            for number, files in enumerate(brackets, start=1)
        ]
        self._check_collisions(outputs, brackets)
        return outputs

    def _output(self, files: Sequence[str], number: str, folder: Folder) -> str:
        first, last = PurePosixPath(files[0]), PurePosixPath(files[-1])
        values = {
            "first": first.stem,
            "last": last.stem,
            "date": _date_of(folder, files),
            "number": number,
            "folder": first.parent.name or folder.root.resolve().name or "photos",
            "method": self.method(len(files)),
        }
        # What comes from names of files stays one part of a path.
        plain = {name: value.replace("/", "_") for name, value in values.items()}
        name = self.pattern.format(**plain)
        path = PurePosixPath(name) if "/" in self.pattern else first.parent / name
        if len(path.name.encode()) > _LONGEST_BYTES or any(part == ".." for part in path.parts):
            raise OptionError(
                f"--name: expected names that a folder can hold, found {path.name[:40]!r}... for "
                f"the bracket of {files[0]}; give a shorter pattern"
            )
        return f"{path}{self.suffix}"

    def _check_collisions(self, outputs: Sequence[str], brackets: Sequence[Sequence[str]]) -> None:
        seen: dict[str, str] = {}
        for output, files in zip(outputs, brackets, strict=True):
            other = seen.setdefault(output.casefold(), files[0])
            if other != files[0]:
                cure = "{number}" if "{first}" in self.pattern else "{first} or {number}"
                raise OptionError(
                    f"--name: expected a name of its own for each bracket, found {output} for "
                    f"those of {other} and {files[0]}; add {cure} to the pattern"
                )


def _check(pattern: str) -> None:
    """Raise OptionError for a pattern that cannot be a name."""
    try:
        parts = list(Formatter().parse(pattern))
    except ValueError:
        raise OptionError(
            f"--name: expected pairs of braces, found {pattern!r}; write '{{first}}_hdr'"
        ) from None
    for text, field, form, conversion in parts:
        if field is not None and field not in FIELDS:
            raise unknown_name("word in --name", field, FIELDS)
        if form or conversion:
            raise OptionError(
                f"--name: expected words alone in the braces, found {field}:{form}; write "
                f"{{{field}}}"
            )
        found = _NOT_IN_NAMES.search(text)
        if found is not None:
            raise OptionError(
                f"--name: expected a pattern that every system can take for a name, found "
                f"{found[0]!r} in it; leave it out"
            )
    plain = PurePosixPath(pattern)
    if plain.is_absolute() or ".." in plain.parts or pattern.endswith("/") or pattern[:1] == ".":
        raise OptionError(
            f"--name: expected names below the folder of results, found {pattern!r}; "
            "write '{first}_hdr' or '{date}/{first}'"
        )


def _date_of(folder: Folder, files: Sequence[str]) -> str:
    known = (folder.photos[name].photo.start_seconds for name in files if name in folder.photos)
    seconds = next((value for value in known if value is not None), None)
    if seconds is None:
        return "undated"
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()


def _after_first_photos(brackets: Sequence[Sequence[str]], suffix: str) -> list[str]:
    """Name results after the first photo of each bracket, in the same subfolder."""
    taken: set[str] = set()
    outputs = []
    for files in brackets:
        first = PurePosixPath(files[0])
        name = first.with_suffix(suffix)
        if str(name).casefold() in taken:
            name = first.with_name(f"{first.stem}_{first.suffix[1:].lower()}{suffix}")
        taken.add(str(name).casefold())
        outputs.append(str(name))
    return outputs

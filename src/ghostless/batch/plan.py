"""What shall be done with every file of a folder, and that as CSV to check and to edit."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from ..bracket import MAX_FRAMES, Frame
from ..errors import FileReadError, OptionError
from ..io.photo_files import natural_key
from ..io.read import ReadSettings
from ..io.regular import read_regular
from ..io.write import WriteSettings, check_output, write_text
from ..work.children import Failure
from ..work.pool import do_apart
from .grouping import group_photos, open_questions
from .likeness import bare_copy, compare, readers
from .naming import Naming
from .order import Evidence, Pair, lit_photos
from .photos import Folder, Status
from .segments import GroupSettings

COLUMNS = ("file", "group", "output", "status", "stops", "seconds", "note")
_MAX_PLAN_BYTES = 64 << 20


@dataclass(frozen=True)
class Planned:
    """A bracket to fuse.

    files: names below the shoot's folder, in the order taken. output: name below the folder of
    results. problem: why it cannot be fused, "" if it can. note: what is unusual about it.
    """

    number: int
    files: tuple[str, ...]
    output: str
    note: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Plan:
    """Brackets, and for every file that is in none its status and the reason."""

    brackets: tuple[Planned, ...]
    rest: Mapping[str, tuple[Status, str]] = field(default_factory=dict)


# --- making one ----------------------------------------------------------------------------------


def make_plan(
    folder: Folder,
    settings: GroupSettings,
    naming: Naming | str,
    *,
    read: ReadSettings | None = None,
    progress: Callable[[float], None] | None = None,
) -> Plan:
    """Group the photos of a folder; photos are looked at only where their facts leave a doubt.

    naming: what results are called; a suffix alone names them after the first photos.
    """
    naming = Naming(naming) if isinstance(naming, str) else naming
    folder, pixels = _look_at_doubts(folder, settings, read, progress)
    photos = [file.photo for file in folder.photos.values()]
    rest = dict(folder.other)
    chosen: list[tuple[tuple[str, ...], str]] = []
    for group in group_photos(photos, settings, pixels):
        if group.is_bracket:
            chosen.append((tuple(photo.name for photo in group.photos), group.note))
            continue
        photo = group.photos[0]
        reason = photo.problem or group.note or "no other photo belongs to it"
        rest[photo.name] = ("damaged" if photo.problem else "single", reason)
    outputs = naming.outputs([files for files, _ in chosen], folder)
    brackets = tuple(
        Planned(number, files, output, note, _problem(folder, files))
        for number, ((files, note), output) in enumerate(zip(chosen, outputs, strict=True), start=1)
    )
    return Plan(brackets, rest)


def _look_at_doubts(
    folder: Folder,
    settings: GroupSettings,
    read: ReadSettings | None,
    progress: Callable[[float], None] | None,
) -> tuple[Folder, dict[Pair, Evidence]]:
    """Compare the pixels of neighbours until they would change nothing any more.

    A photo that cannot be read, or whose process dies of it, becomes one with a problem.
    """
    pixels: dict[Pair, Evidence] = {}
    while pairs := open_questions([f.photo for f in folder.photos.values()], settings, pixels):
        problems: dict[str, str] = {}
        for number, (pair, evidence) in enumerate(_evidence(folder, pairs, read, problems), 1):
            pixels[pair] = evidence
            if progress is not None:
                progress(number / len(pairs))
        folder = _changed(folder, {name: {"problem": why} for name, why in problems.items()})
        lit = lit_photos((file.photo for file in folder.photos.values()), pixels)
        folder = _changed(folder, {name: {"flash": True} for name in lit})
    return folder, pixels


def _evidence(
    folder: Folder,
    pairs: Sequence[Pair],
    read: ReadSettings | None,
    problems: dict[str, str],
) -> Iterator[tuple[Pair, Evidence]]:
    """Compare pairs of photos, each read once, by processes of their own; note what is damaged."""
    asked: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        for name in pair:
            asked[name].append(pair)
    names = list(asked)
    jobs = [(folder.root / name, read) for name in names]
    largest = max(folder.photos[name].pixels for name in names)
    copies: dict[str, Frame | Failure] = {}
    open_pairs = dict.fromkeys(pairs)
    for place, copy in do_apart(bare_copy, jobs, readers(largest)):
        name = names[place]
        copies[name] = copy
        if isinstance(copy, Failure):
            problems[name] = copy.reason
        for pair in asked[name]:
            first, second = (copies.get(other) for other in pair)
            if first is None or second is None:
                continue
            del open_pairs[pair]
            if isinstance(first, Failure) or isinstance(second, Failure):
                yield pair, Evidence()  # nothing speaks for or against it
            else:
                yield pair, compare(first, second)
        for other in {other for pair in asked[name] for other in pair}:
            if other in copies and not any(pair in open_pairs for pair in asked[other]):
                del copies[other]


def _changed(folder: Folder, facts: Mapping[str, Mapping[str, Any]]) -> Folder:
    """A folder with what was found out about some of its photos."""
    photos = dict(folder.photos)
    for name, found in facts.items():
        photos[name] = replace(photos[name], photo=replace(photos[name].photo, **found))
    return replace(folder, photos=photos)


def _problem(folder: Folder, files: Sequence[str]) -> str:
    problems = (folder.photos[name].photo.problem for name in files if name in folder.photos)
    return next((problem for problem in problems if problem), "")


# --- CSV -----------------------------------------------------------------------------------------


def write_plan(plan: Plan, folder: Folder, path: Path, *, overwrite: bool = False) -> None:
    """Write a plan as CSV: a line for each file, those of a bracket with its number.

    Raises OutputError where it cannot be written.
    """
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(_rows(plan, folder))
    # The mark at the beginning tells Excel that this is UTF-8.
    write_text("\ufeff" + text.getvalue(), path, WriteSettings(overwrite=overwrite))


def check_plan_file(path: Path) -> None:
    """Raise, before any work, if a plan could not be written there."""
    check_output(path, suffixes=(".csv",))


def _rows(plan: Plan, folder: Folder) -> Iterator[dict[str, str]]:
    for bracket in plan.brackets:
        for place, name in enumerate(bracket.files):
            first = place == 0
            yield {
                **_facts(folder, name),
                "group": str(bracket.number),
                "output": bracket.output if first else "",
                "status": "used",
                "note": (bracket.problem or bracket.note) if first else "",
            }
    for name in sorted(plan.rest, key=natural_key):
        status, reason = plan.rest[name]
        yield {**_facts(folder, name), "status": status, "note": reason}


def _facts(folder: Folder, name: str) -> dict[str, str]:
    file = folder.photos.get(name)
    stops = None if file is None else file.photo.stops
    seconds = None if file is None else file.photo.shutter_seconds
    return {
        "file": name,
        "stops": "" if stops is None else f"{stops:.2f}",
        "seconds": "" if seconds is None else f"{seconds:.6g}",
    }


def read_plan(path: Path, folder: Folder, naming: Naming | str) -> Plan:
    """Read a plan that was checked and edited: the columns `file`, `group` and `output` count.

    Files with one group make a bracket, in the order of the lines; a group is any word. An empty
    group leaves a file out. An output is that of the group's first line, or named after its first
    file. Files of the folder that the plan does not name are left out.
    Raises FileReadError or OptionError for what cannot be used, with the line.
    """
    naming = Naming(naming) if isinstance(naming, str) else naming
    groups: dict[str, list[str]] = defaultdict(list)
    named: dict[str, str] = {}
    lines: dict[str, int] = {}
    rest = dict(folder.other)
    for number, row in _read_rows(path):
        name = row["file"].replace("\\", "/")
        if name in lines:
            raise OptionError(
                f"{path}, line {number}: expected each file once, found {name} in line "
                f"{lines[name]} too; remove one of the lines"
            )
        lines[name] = number
        group = row.get("group", "")
        if not group:
            continue
        if name not in folder.photos and name not in folder.other:
            raise OptionError(
                f"{path}, line {number}: expected files below {folder.root}, found {name} "
                "which is not there; correct the line or remove it"
            )
        groups[group].append(name)
        rest.pop(name, None)
        if len(groups[group]) == 1 and row.get("output"):
            named[group] = _checked_output(row["output"], naming.suffix, path, number)
    for name in folder.photos:
        if name not in rest and not any(name in files for files in groups.values()):
            rest[name] = (
                "left out",
                "in no group of the plan" if name in lines else "not in the plan",
            )
    brackets = _from_groups(groups, named, rest, folder, naming)
    _check_outputs(brackets, path)
    return Plan(brackets, rest)


def _from_groups(
    groups: Mapping[str, list[str]],
    named: Mapping[str, str],
    rest: dict[str, tuple[Status, str]],
    folder: Folder,
    naming: Naming,
) -> tuple[Planned, ...]:
    for files in groups.values():
        if len(files) == 1:
            rest[files[0]] = ("single", "alone in its group of the plan")
    full = {group: files for group, files in groups.items() if len(files) > 1}
    defaults = naming.outputs(list(full.values()), folder)
    brackets = []
    for number, ((group, files), default) in enumerate(zip(full.items(), defaults, strict=True), 1):
        problem = _problem(folder, files)
        if len(files) > MAX_FRAMES:
            problem = f"expected at most {MAX_FRAMES} photos, the plan has {len(files)}"
        brackets.append(Planned(number, tuple(files), named.get(group, default), problem=problem))
    return tuple(brackets)


def _read_rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Lines of a plan with their numbers; comma, semicolon or tab between the columns."""
    try:
        data = read_regular(path, _MAX_PLAN_BYTES)
    except OSError as error:
        raise FileReadError(
            f"{path}: expected a plan (CSV), found: {error.strerror}; check the name"
        ) from None
    if len(data) > _MAX_PLAN_BYTES:
        raise FileReadError(
            f"{path}: expected a plan (CSV), found more than {_MAX_PLAN_BYTES:,} bytes"
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252", "replace")  # as Excel saves CSV in the West
    head = text.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    try:
        table = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        columns = [name.strip().casefold() for name in table.fieldnames or ()]
        if not {"file", "group"} <= set(columns):
            raise OptionError(
                f"{path}: expected a plan with the columns file and group, found "
                f"{', '.join(columns[:8]) or 'nothing'}; let --plan write a new file to start from"
            )
        table.fieldnames = columns
        for row in table:
            plain = {key: (value or "").strip() for key, value in row.items() if key is not None}
            if plain.get("file"):
                yield table.line_num, plain
    except csv.Error as error:
        raise FileReadError(f"{path}: expected a plan (CSV), found it damaged ({error})") from None


def _checked_output(name: str, suffix: str, path: Path, number: int) -> str:
    """An output's name that stays below the folder of results."""
    plain = PurePosixPath(name.replace("\\", "/"))
    if plain.is_absolute() or ".." in plain.parts or "\0" in name or not plain.name:
        raise OptionError(
            f"{path}, line {number}: expected an output below the folder of results, "
            f"found {name!r}; give a name such as kitchen{suffix}"
        )
    return str(plain if plain.suffix else plain.with_suffix(suffix))


def _check_outputs(brackets: Sequence[Planned], path: Path) -> None:
    seen: dict[str, Planned] = {}
    for bracket in brackets:
        other = seen.setdefault(bracket.output.casefold(), bracket)
        if other is not bracket:
            raise OptionError(
                f"{path}: expected an output of its own for each group, found {bracket.output} "
                f"for those of {other.files[0]} and {bracket.files[0]}; change one of them"
            )

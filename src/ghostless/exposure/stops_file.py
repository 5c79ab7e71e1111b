"""Exposures from a text file beside the photos, as data sets of brackets come with."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..bracket import Frame
from ..errors import FileReadError
from ..io.photo_files import images_in, natural_key
from ..io.regular import read_regular

# Largest difference in stops between two frames that anyone means.
MAX_STOPS = 40.0

STOPS_FILE_NAMES = (
    "ev.txt",
    "input_exp.txt",
    "exposure.txt",
    "exposures.txt",
    "exposure_values.txt",
    "stops.txt",
)
MAX_STOPS_FILE_BYTES = 65_536


def find_stops_file(paths: Iterable[Path]) -> Path | None:
    """Find the file of exposures that lies beside the frames, or None.

    Looked for are the names in `STOPS_FILE_NAMES`, in that order, in any case of letters, and only
    if all frames lie in one folder.
    """
    folders = {Path(path).parent for path in paths}
    if len(folders) != 1:
        return None
    folder = folders.pop()
    try:
        present = {entry.name.casefold(): entry for entry in folder.iterdir() if entry.is_file()}
    except OSError:
        return None
    return next((present[name] for name in STOPS_FILE_NAMES if name in present), None)


def read_stops_file(path: Path, count: int) -> tuple[float, ...]:
    """Read `count` exposures in stops from a text file.

    Either one number on each line, or all in one line, separated by commas, semicolons or
    blanks. Of several such lines the last one counts (a line of shutter times may precede it).
    Empty lines and what follows a # are passed over. The values belong to the photos in the
    natural order of their names (IMG_9 before IMG_10), whatever order the photos are given in.

    Raises FileReadError if the file cannot be read or does not hold `count` numbers.
    """
    rows = [_numbers_of(line, number, path) for number, line in _lines_of(path)]
    if not rows:
        raise FileReadError(f"{path}: expected {count} exposures in stops, found none")
    if all(len(row) == 1 for row in rows):
        rows = [[row[0] for row in rows]]
    values = rows[-1]
    if len(values) != count or any(len(row) != len(values) for row in rows):
        found = " and ".join(str(len(row)) for row in rows[:3])
        raise FileReadError(
            f"{path}: expected {count} exposures in stops, one for each photo, found {found}; "
            "correct the file or give the stops yourself"
        )
    if max(values) - min(values) > MAX_STOPS:
        raise FileReadError(
            f"{path}: expected exposures in stops, found {min(values):g} to {max(values):g}, "
            f"more than {MAX_STOPS:g} apart; shutter times are no stops"
        )
    return tuple(values)


def _lines_of(path: Path) -> list[tuple[int, str]]:
    try:
        data = read_regular(path, MAX_STOPS_FILE_BYTES)
    except OSError as error:
        reason = error.strerror or str(error)
        raise FileReadError(
            f"{path}: expected a file of exposures, found none ({reason})"
        ) from None
    if len(data) > MAX_STOPS_FILE_BYTES:
        raise FileReadError(
            f"{path}: expected a few lines of exposures, found over {MAX_STOPS_FILE_BYTES} bytes"
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise FileReadError(
            f"{path}: expected a text file of exposures, found other data"
        ) from None
    lines = ((number, line.split("#")[0]) for number, line in enumerate(text.splitlines(), 1))
    return [(number, line) for number, line in lines if line.strip()]


def _numbers_of(line: str, number: int, path: Path) -> list[float]:
    values = []
    for word in re.split(r"[\s,;]+", line.strip().strip(",;")):
        try:
            value = float(word)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise FileReadError(
                f"{path}, line {number}: expected numbers of stops, found {word[:40]!r}; "
                "correct the file or give the stops yourself"
            )
        values.append(value)
    return values


def stops_from_file(path: Path, frames: Sequence[Frame]) -> list[float]:
    """Stops of the frames from a side file that covers them, or all photos of their folder."""
    order = sorted(range(len(frames)), key=lambda i: natural_key(frames[i].name))
    names = [frame.name for frame in frames]
    if all(frame.path is not None and frame.path.parent == path.parent for frame in frames):
        photos = [photo.name for photo in images_in(path.parent)]
        if len(photos) > len(frames) and set(names) <= set(photos):
            try:
                of_all = dict(zip(photos, read_stops_file(path, len(photos)), strict=True))
                return [of_all[name] for name in names]
            except FileReadError:
                pass  # not one value for each photo of the folder: then for the frames given
    values = read_stops_file(path, len(frames))
    stops = [0.0] * len(frames)
    for place, index in enumerate(order):
        stops[index] = values[place]
    return stops

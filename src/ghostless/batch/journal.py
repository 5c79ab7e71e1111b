"""What has been done: a file beside the results that lets a killed batch go on where it was.

A line of JSON for each event, written in one piece. What a result will be known by is recorded
before it gets its name, hence whatever happens in between: a file that the journal knows is ours,
and any other is somebody else's. Lines that are cut off or damaged are passed over one by one.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePath
from types import TracebackType
from typing import Any, BinaryIO, Final

from ..errors import OutputError
from ..io.regular import open_regular
from ..pipeline import FuseOptions, versions
from .doubts import Doubt, FusedPhoto

JOURNAL_NAME = "ghostless-batch.jsonl"
_EVENTS: Final = ("begin", "written", "done", "failed")
_LONGEST_LINE_BYTES: Final = 1 << 20
_MOST_BYTES: Final = 1 << 28
_LARGEST: Final = 1 << 63

Stamp = tuple[int, int]


def stamp_of(path: Path) -> Stamp | None:
    """What a file is known by: its size and time of change; None where there is none."""
    try:
        facts = path.stat()
    except (OSError, ValueError):
        return None
    return facts.st_size, facts.st_mtime_ns


def key_of(files: Sequence[Path], options: FuseOptions) -> str:
    """Hash of all that a result depends on: the photos' names, sizes and times, and the options."""
    stamps: list[Any] = []
    for file in files:
        stamp = stamp_of(file)
        stamps.append((file.name, None) if stamp is None else (file.name, *stamp))
    facts_of_options = asdict(options)
    # Whether a file may be replaced changes nothing in the picture.
    facts_of_options["write"].pop("overwrite", None)
    text = json.dumps([versions()["ghostless"], stamps, facts_of_options], default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


# --- records -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Record:
    """One event. output: the result's name below the folder. stamp: what the file is known by."""

    event: str
    output: str
    key: str = ""
    stamp: Stamp | None = None
    seconds: float = 0.0
    method: str = ""
    notes: tuple[str, ...] = ()
    photos: tuple[FusedPhoto, ...] = ()
    doubts: tuple[Doubt, ...] = ()


def record_of(line: bytes) -> Record | None:
    """Read one line; None for a damaged one, whatever the damage is."""
    try:
        facts = json.loads(line.decode("utf-8"))
        os.fsencode(str(facts["output"]))
        return _checked(facts)
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _checked(facts: dict[str, Any]) -> Record | None:
    event, output = facts["event"], facts["output"]
    if event not in _EVENTS or not isinstance(output, str) or not _is_below(output):
        return None
    if event in ("begin", "failed"):
        return Record(event, output)
    key, stamp = facts["key"], facts["stamp"]
    seconds, method = facts.get("seconds", 0.0), facts.get("method", "")
    notes = facts.get("notes", [])
    if not (isinstance(key, str) and isinstance(method, str) and _is_stamp(stamp)):
        return None
    if not isinstance(notes, list) or not all(isinstance(note, str) for note in notes):
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    if not 0 <= seconds < _LARGEST or not math.isfinite(seconds):
        return None
    known = None if stamp is None else (stamp[0], stamp[1])
    photos = tuple(FusedPhoto(*values) for values in _rows(facts, "photos", _is_photo))
    doubts = tuple(Doubt(*values) for values in _rows(facts, "doubts", _is_doubt))
    return Record(event, output, key, known, float(seconds), method, tuple(notes), photos, doubts)


def _rows(facts: dict[str, Any], name: str, fits: Callable[[Any], bool]) -> list[list[Any]]:
    """Rows of a table in a record; none where one of them is not as it should be.

    They only tell of a result, so a record without them is as good.
    """
    rows = facts.get(name, [])
    whole = isinstance(rows, list) and all(isinstance(r, list) and fits(r) for r in rows)
    return rows if whole else []


def _is_photo(row: list[Any]) -> bool:
    if len(row) != 3 or not isinstance(row[0], str) or not isinstance(row[2], bool):
        return False
    stops = row[1]
    number = isinstance(stops, int | float) and not isinstance(stops, bool)
    return stops is None or (number and abs(stops) < _LARGEST)


def _is_doubt(row: list[Any]) -> bool:
    return len(row) == 2 and type(row[0]) is int and isinstance(row[1], str)


def _is_below(output: str) -> bool:
    path = PurePath(output)
    return bool(path.name) and not path.is_absolute() and ".." not in path.parts


def _is_stamp(stamp: Any) -> bool:
    return stamp is None or (
        isinstance(stamp, list)
        and len(stamp) == 2
        and all(type(number) is int and -_LARGEST <= number < _LARGEST for number in stamp)
    )


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Lines of a file, as far as the limits go; longer ones come in pieces."""
    left = _MOST_BYTES
    while left > 0 and (line := file.readline(min(_LONGEST_LINE_BYTES, left))):
        left -= len(line)
        yield line


def _add(file: BinaryIO, event: dict[str, Any]) -> None:
    """Append a record in one piece, on a line of its own, and have it reach the disk."""
    data = json.dumps(event).encode() + b"\n"
    if file.seek(0, os.SEEK_END):
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":
            data = b"\n" + data  # after what a full disk cut off
    if file.write(data) != len(data):
        raise OSError(0, "only a part of it could be written")
    os.fsync(file.fileno())


# --- the journal ---------------------------------------------------------------------------------


class Known:
    """What the records of a journal say.

    passed_over: the number of damaged records.
    """

    def __init__(self, folder: Path) -> None:
        self.passed_over = 0
        self._folder = folder
        self._last: dict[str, Record] = {}
        self._stamps: dict[str, set[Stamp]] = defaultdict(set)

    @classmethod
    def read(cls, path: Path) -> Known:
        """Read a journal; one that is missing knows nothing. Raises OSError."""
        known = cls(path.parent)
        try:
            with open_regular(path) as file:
                known.take_lines(file)
        except FileNotFoundError:
            pass
        return known

    def take_lines(self, file: BinaryIO) -> None:
        """Take the records of a file, from where it is on."""
        for line in _lines(file):
            record = record_of(line)
            if record is not None:
                self.take(record)
            elif line.endswith(b"\n") and line.strip():  # else a kill cut the last one off
                self.passed_over += 1

    def take(self, record: Record) -> None:
        """Learn of an event."""
        if record.event in ("written", "done"):
            self._last[record.output] = record
            if record.stamp is not None:
                self._stamps[record.output].add(record.stamp)

    def finished(self, output: str, key: str) -> Record | None:
        """The record of a result that is there and was made from the same; None if it is not."""
        record = self._last.get(output)
        if record is None or record.key != key or not os.path.isfile(self._folder / output):
            return None
        # What was about to get its name when all ended may never have got it.
        if record.event == "written" and stamp_of(self._folder / output) != record.stamp:
            return None
        return record

    def may_replace(self, output: str) -> bool:
        """Whether a file in the output's place is ours, and nobody has changed it since."""
        return stamp_of(self._folder / output) in self._stamps.get(output, ())


class BatchJournal:
    """The record of one folder of results; only one batch at a time can hold it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / JOURNAL_NAME
        self._folder = folder
        self.known = Known(folder)

    def __enter__(self) -> BatchJournal:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file = open_regular(self.path, append=True)
        except OSError as error:
            raise OutputError(
                f"{self.path}: expected to be able to write what has been done, found: "
                f"{error.strerror}; choose another folder"
            ) from error
        self._lock()
        try:
            self.known = Known.read(self.path)
        except OSError as error:
            self._file.close()
            raise OutputError(
                f"{self.path}: expected to be able to read what has been done, found: "
                f"{error.strerror}; choose another folder"
            ) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def finished(self, output: str, key: str) -> Record | None:
        """The record of a result that is there and was made from the same; None if it is not."""
        return self.known.finished(output, key)

    def may_replace(self, output: str) -> bool:
        """Whether a file in the output's place is ours, and nobody has changed it since."""
        return self.known.may_replace(output)

    def begin(self, output: str) -> None:
        """Record that a result is being made."""
        self._write({"event": "begin", "output": output})

    def done(self, output: str, key: str, stamp: Stamp | None, facts: dict[str, Any]) -> None:
        """Record that a result is written whole, and what it is known by."""
        self._write({"event": "done", "output": output, "key": key, "stamp": stamp, **facts})

    def failed(self, output: str, error: str) -> None:
        """Record that a bracket failed; it is tried again by the next run."""
        self._write({"event": "failed", "output": output, "error": error})

    def _lock(self) -> None:
        try:
            import fcntl
        except ImportError:  # Windows
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise OutputError(
                f"{self._folder}: expected no other batch at work there, found one; wait for its "
                "end or choose another folder"
            ) from None

    def _write(self, event: dict[str, Any]) -> None:
        try:
            _add(self._file, event)
        except OSError as error:
            raise OutputError(
                f"{self.path}: expected to be able to write what has been done, found: "
                f"{error.strerror}; free some space, then run the same command again"
            ) from error


def announce(journal: Path, output: str, key: str, stamp: Stamp | None) -> None:
    """Record what a result will be known by, before it gets its name. Raises OutputError."""
    event = {"event": "written", "output": output, "key": key, "stamp": stamp}
    try:
        with open_regular(journal, append=True) as log:
            _add(log, event)
    except OSError as error:
        raise OutputError(
            f"{journal}: expected to be able to write what has been done, found: "
            f"{error.strerror}; nothing was written"
        ) from error

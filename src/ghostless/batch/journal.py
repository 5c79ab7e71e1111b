"""What has been done: a file beside the results that lets a killed batch go on where it was.

A line of JSON for each event, flushed as it is written. A line that a kill cut off is passed over.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from ..errors import OutputError
from ..pipeline import FuseOptions, versions

JOURNAL_NAME = "ghostless-batch.jsonl"


def key_of(files: Sequence[Path], options: FuseOptions) -> str:
    """Hash of all that a result depends on: the photos' names, sizes and times, and the options."""
    stamps: list[Any] = []
    for file in files:
        try:
            facts = file.stat()
            stamps.append((file.name, facts.st_size, facts.st_mtime_ns))
        except OSError:
            stamps.append((file.name, None))
    facts_of_options = asdict(options)
    # Whether a file may be replaced changes nothing in the picture.
    facts_of_options["write"].pop("overwrite", None)
    text = json.dumps([versions()["ghostless"], stamps, facts_of_options], default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class BatchJournal:
    """The record of one folder of results; only one batch at a time can hold it."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / JOURNAL_NAME
        self._folder = folder
        self._done: dict[str, dict[str, Any]] = {}
        self._ours: dict[str, tuple[int, int] | None] = {}

    def __enter__(self) -> BatchJournal:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("a+", encoding="utf-8")
        except OSError as error:
            raise OutputError(
                f"{self._path}: expected to be able to write what has been done, found: "
                f"{error.strerror}; choose another folder"
            ) from error
        self._lock()
        self._load()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def finished(self, output: str, key: str) -> dict[str, Any] | None:
        """The record of a result that is there and was made from the same; None if it is not."""
        record = self._done.get(output)
        if record is None or record.get("key") != key or not (self._folder / output).is_file():
            return None
        return record

    def may_replace(self, output: str) -> bool:
        """Whether a file in the output's place is ours, and nobody has changed it since."""
        if output not in self._ours:
            return False
        written = self._ours[output]
        return written is None or written == _stamp(self._folder / output)

    def begin(self, output: str) -> None:
        """Record that a result is being made: what appears there from now on is ours."""
        self._ours[output] = None
        self._write({"event": "begin", "output": output})

    def done(self, output: str, key: str, record: dict[str, Any]) -> None:
        """Record that a result is written whole."""
        stamp = _stamp(self._folder / output)
        self._ours[output] = stamp
        event = {"event": "done", "output": output, "key": key, "stamp": stamp, **record}
        self._done[output] = event
        self._write(event)

    def failed(self, output: str, error: str) -> None:
        """Record that a bracket failed; it is tried again by the next run."""
        self._forget(output)
        self._write({"event": "failed", "output": output, "error": error})

    def _forget(self, output: str) -> None:
        """Nothing was written: what is or will be there is ours only if it was before."""
        stamp = self._done.get(output, {}).get("stamp")
        if stamp:
            self._ours[output] = (int(stamp[0]), int(stamp[1]))
        else:
            self._ours.pop(output, None)

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

    def _load(self) -> None:
        self._file.seek(0)
        whole = True
        for line in self._file:
            whole = line.endswith("\n")
            try:
                event = json.loads(line)
                kind, output = event["event"], str(event["output"])
            except (ValueError, KeyError, TypeError):
                continue
            if kind == "begin":
                self._ours[output] = None
            elif kind == "done":
                self._done[output] = event
                stamp = event.get("stamp")
                self._ours[output] = (int(stamp[0]), int(stamp[1])) if stamp else None
            elif kind == "failed":
                self._forget(output)
        if not whole:
            self._file.write("\n")

    def _write(self, event: dict[str, Any]) -> None:
        try:
            self._file.write(json.dumps(event) + "\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise OutputError(
                f"{self._path}: expected to be able to write what has been done, found: "
                f"{error.strerror}; free some space, then run the same command again"
            ) from error


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_size, facts.st_mtime_ns

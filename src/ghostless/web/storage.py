"""The private folder: what clients uploaded and what was made of it, and when it goes.

One folder that only this user may enter (mode 0700), a subfolder per bracket and in it one per
job, all under names of our own: what a client calls its files is remembered to be shown, and never
part of a path. The folder goes with the server. A server that was killed leaves it behind, without
its lock, and the next one to start clears it away.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

_PREFIX = "ghostless-web-"
_LOCK = "lock"
_LONGEST_NAME = 120
_COPY_BYTES = 1 << 20


def new_name() -> str:
    """Return a name that nobody can guess."""
    return secrets.token_urlsafe(16)


def shown_name(name: str | None, number: int) -> str:
    """Return what to call a client's file: its last part, printable, not too long."""
    last = re.split(r"[/\\]", name or "")[-1]
    printable = "".join(letter for letter in last if letter.isprintable()).strip()
    if len(printable) > _LONGEST_NAME:
        printable = printable[: _LONGEST_NAME // 2] + "…" + printable[-_LONGEST_NAME // 2 + 1 :]
    return printable or f"photo {number}"


@dataclass
class StoredBracket:
    """One upload.

    names: what the client calls its files. files: where they are. facts: about the frames, dark to
    bright, as `worker.inspect` found them. masks: painted by the client, by name. used: when it was
    last asked for.
    """

    id: str
    folder: Path
    names: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    masks: dict[str, Path] = field(default_factory=dict)
    file_bytes: int = 0
    used: float = field(default_factory=time.monotonic)

    def add(self, name: str | None, content: IO[bytes]) -> None:
        """Take in one more file."""
        number = len(self.files) + 1
        path = self.folder / "photos" / f"photo-{number:02d}"
        with path.open("xb") as target:
            shutil.copyfileobj(content, target, _COPY_BYTES)
        self.names.append(shown_name(name, number))
        self.files.append(path)
        self.file_bytes += path.stat().st_size

    def in_clients_words(self, value: Any) -> Any:
        """Replace our names of the files by the client's, in texts and all that holds texts."""
        if isinstance(value, str):
            return self._our_folders.sub("", self._our_names.sub(self._their_name, value))
        if isinstance(value, dict):
            return {key: self.in_clients_words(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.in_clients_words(item) for item in value]
        return value

    @property
    def _our_folders(self) -> re.Pattern[str]:
        slash = re.escape(os.sep)
        return re.compile(f"{re.escape(str(self.folder))}{slash}(?:[A-Za-z0-9_-]{{22}}{slash})*")

    @property
    def _our_names(self) -> re.Pattern[str]:
        folder = re.escape(str(self.folder / "photos")) + re.escape(os.sep)
        return re.compile(f"(?:{folder})?photo-([0-9]{{2}})")

    def _their_name(self, found: re.Match[str]) -> str:
        number = int(found[1])
        return self.names[number - 1] if 1 <= number <= len(self.names) else found[0]


class Storage:
    """All brackets of one server."""

    def __init__(self, parent: Path | None = None) -> None:
        where = Path(parent or tempfile.gettempdir())
        _clear_abandoned(where)
        self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=where))  # mode 0700
        self._lock = _lock(self.folder / _LOCK)
        self.brackets: dict[str, StoredBracket] = {}

    def new_bracket(self) -> StoredBracket:
        """Make the folder of a bracket that is about to be uploaded; `keep` makes it known."""
        name = new_name()
        folder = self.folder / name
        (folder / "photos").mkdir(parents=True, mode=0o700)
        return StoredBracket(name, folder)

    def keep(self, bracket: StoredBracket) -> None:
        self.brackets[bracket.id] = bracket

    def discard(self, bracket: StoredBracket) -> None:
        """Remove a bracket and all that was made of it."""
        self.brackets.pop(bracket.id, None)
        shutil.rmtree(bracket.folder, ignore_errors=True)

    def used_bytes(self) -> int:
        """Bytes of all files in the folder."""
        total = 0
        for folder, _, names in os.walk(self.folder):
            for name in names:
                with suppress(OSError):
                    total += os.lstat(os.path.join(folder, name)).st_size
        return total

    def close(self) -> None:
        """Remove everything."""
        self.brackets.clear()
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _lock(path: Path) -> int | None:
    """Lock a file for as long as this process lives; None where there is no such lock."""
    try:
        import fcntl
    except ImportError:
        return None
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _clear_abandoned(where: Path) -> None:
    """Remove the folders of servers of this user that no longer run."""
    if not hasattr(os, "getuid"):
        return
    for folder in where.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            status = folder.lstat()
            ours = status.st_uid == os.getuid() and not folder.is_symlink() and folder.is_dir()
            if not ours or not (folder / _LOCK).is_file():
                continue
            lock = _lock(folder / _LOCK)
            if lock is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)

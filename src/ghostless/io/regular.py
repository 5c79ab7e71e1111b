"""Opening what a user or a folder names, where nothing but a regular file will do.

A pipe waits for somebody to write, a device may never end, and a socket cannot be read at all. A
file's kind is asked of the opened file itself, since names may come to mean something else.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

_NEVER_WAIT = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)


def open_regular(path: Path, *, append: bool = False) -> BinaryIO:
    """Open a file to read its bytes, or (`append`) to read and to add to it, made if missing.

    Raises OSError for what cannot be opened, and for a pipe, a device or a socket, which are never
    waited for.
    """
    how = os.O_RDWR | os.O_APPEND | os.O_CREAT if append else os.O_RDONLY
    if "\0" in str(path):
        raise OSError(errno.EINVAL, "a NUL character in its name")
    try:
        check_regular(os.stat(path))
    except FileNotFoundError:
        if not append:
            raise
    descriptor = os.open(path, how | _NEVER_WAIT, 0o666)
    try:
        check_regular(os.fstat(descriptor))
        # Unbuffered, so that what is added goes to the file in one piece.
        return os.fdopen(descriptor, "a+b", 0) if append else os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_regular(path: Path, most_bytes: int) -> bytes:
    """Read a file, and of a longer one the first `most_bytes` + 1 bytes, which tell that it is.

    Raises OSError as `open_regular` does.
    """
    with open_regular(path) as file:
        return file.read(most_bytes + 1) or b""


def check_regular(status: os.stat_result) -> None:
    """Raise OSError, in words that fit after "found", unless a status is that of a file."""
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is a pipe, a device or a socket, not a file")

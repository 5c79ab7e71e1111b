"""Keeping C libraries from writing on the terminal while they decode.

OpenEXR and LibRaw report damaged data on file descriptor 2, past Python. The error that we raise
says the same in one line; two of them would confuse, and what LibRaw prints is its only sign that
a RAW file was cut off.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_LOCK = threading.RLock()


@contextmanager
def captured_stderr() -> Iterator[list[str]]:
    """Catch what is written to descriptor 2 meanwhile; the list is filled when the block ends.

    One at a time over all threads. Lines that no decoder wrote are passed on afterwards.
    """
    lines: list[str] = []
    with _LOCK, tempfile.TemporaryFile() as sink:
        try:
            kept = os.dup(2)
        except OSError:  # no standard error at all, as in a daemon
            yield lines
            return
        try:
            os.dup2(sink.fileno(), 2)
            yield lines
        finally:
            os.dup2(kept, 2)
            sink.seek(0)
            for line in sink.read().decode("utf-8", "replace").splitlines(keepends=True):
                ours = "(EXR_ERR" in line or "data corrupted" in line or "end of file" in line
                lines.append(line)
                if not ours:
                    with suppress(OSError):
                        os.write(kept, line.encode())
            os.close(kept)

"""Large arrays that outlive a stage: in memory up to a limit, beyond it in files without a name.

Frames, masks, pyramids and results are walked in stripes of rows, so all of them need not be in
memory at once. `empty` and `settled` hand out ordinary arrays; those that would exceed the limit
are mapped from a temporary file that has no name (or loses it at once), so that nothing stays
behind however the process ends. `trim`, which every walk calls as it goes, takes what was looked at
out of this process's memory again; the system keeps as much of the files in its cache as it has
room for, so that a machine with memory to spare reads nothing from the disk.
"""

from __future__ import annotations

import mmap
import os
import shutil
import sys
import tempfile
import threading
import weakref
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..errors import OutputError
from .memory import IN_MEMORY_BYTES, available_bytes

# Smaller arrays are not worth a file.
_SMALLEST_BYTES = 4 << 20
_PIECES_BETWEEN_TRIMS = 16
# Room that is left on the disk for others, and in memory where there is no room on the disk.
_LEFT_TO_OTHERS_BYTES = 256 << 20
_FOLDER_VARIABLES = ("TMPDIR", "TEMP", "TMP")
_LARGE_FILES_FOLDER = "/var/tmp"

_lock = threading.Lock()
_in_memory: list[weakref.ref[NDArray[Any]]] = []
_mapped: list[weakref.ref[mmap.mmap]] = []
_remarks: list[str] = []


def empty(shape: Iterable[int], dtype: DTypeLike) -> NDArray[Any]:
    """Return an uninitialised array as `np.empty` does, in a file where memory is used up.

    Raises OutputError where neither the disk nor the memory has room for it.
    """
    sides, kind = tuple(shape), np.dtype(dtype)
    size = int(np.prod(sides, dtype=np.int64)) * kind.itemsize
    with _lock:
        if _fits(size):
            return _counted(np.empty(sides, kind))
    return _mapped_array(size, sides, kind)


def settled(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array that is to outlive its stage: itself, or a copy in a file.
    Any shape (H, W, ...).

    The caller gives up its own reference, or nothing is gained. Raises OutputError as `empty`.
    """
    with _lock:
        if _fits(array.nbytes):
            return _counted(array)
    copy = _mapped_array(array.nbytes, array.shape, array.dtype)
    rows = max(1, _SMALLEST_BYTES * len(array) // max(1, array.nbytes))
    for start in range(0, len(array), rows):
        copy[start : start + rows] = array[start : start + rows]
        if start // rows % _PIECES_BETWEEN_TRIMS == 0:
            trim()
    trim()
    return copy


def trim() -> None:
    """Take the files' pages out of this process's memory; they come back when looked at."""
    for reference in _mapped.copy():
        mapping = reference()
        # Of a shared mapping nothing is lost by this: what was written is the file's already.
        if mapping is not None and hasattr(mapping, "madvise"):
            mapping.madvise(mmap.MADV_DONTNEED)


def take_remarks() -> tuple[str, ...]:
    """Return what the user should know about where arrays went, once."""
    with _lock:
        remarks = tuple(dict.fromkeys(_remarks))
        _remarks.clear()
    return remarks


def folder() -> Path:
    """Return the folder for the files: TMPDIR's if it is set, else one that is on a disk.

    /tmp is kept in memory on many systems; /var/tmp is for what is large.
    """
    told = any(os.environ.get(name) for name in _FOLDER_VARIABLES)
    if not told and os.access(_LARGE_FILES_FOLDER, os.W_OK | os.X_OK):
        return Path(_LARGE_FILES_FOLDER)
    return Path(tempfile.gettempdir())


def _fits(size: int) -> bool:
    """Whether an array of so many bytes stays in memory; the lock is held."""
    alive = [array for reference in _in_memory if (array := reference()) is not None]
    _in_memory[:] = [weakref.ref(array) for array in alive]
    return size < _SMALLEST_BYTES or sum(a.nbytes for a in alive) + size <= IN_MEMORY_BYTES


def _counted(array: NDArray[Any]) -> NDArray[Any]:
    if array.nbytes >= _SMALLEST_BYTES:
        owner = array if not isinstance(array.base, np.ndarray) else array.base
        if not any(reference() is owner for reference in _in_memory):
            _in_memory.append(weakref.ref(owner))
    return array


def _mapped_array(size: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    try:
        with tempfile.TemporaryFile(dir=folder(), buffering=0) as file:
            _reserve(file, size)
            mapping = mmap.mmap(file.fileno(), size)
    except OSError as error:
        return _in_memory_after_all(size, shape, dtype, error)
    with _lock:
        _mapped[:] = [reference for reference in _mapped if reference() is not None]
        _mapped.append(weakref.ref(mapping))
    return np.frombuffer(mapping, dtype).reshape(shape)


def _reserve(file: BinaryIO, size: int) -> None:
    """Give a file its size and its place on the disk: a full one must not show when it is used."""
    free = shutil.disk_usage(folder()).free
    if free < size + _LEFT_TO_OTHERS_BYTES:
        raise OSError(f"{free / 1e9:.1f} GB free")
    if sys.platform == "linux":
        os.posix_fallocate(file.fileno(), 0, size)
    else:
        file.truncate(size)


def _in_memory_after_all(
    size: int, shape: tuple[int, ...], dtype: np.dtype[Any], error: OSError
) -> NDArray[Any]:
    found = error.strerror or str(error)
    place = folder()
    if available_bytes() < size + _LEFT_TO_OTHERS_BYTES:
        raise OutputError(
            f"{place}: expected room for {size / 1e9:.1f} GB of pixels that do not fit in memory, "
            f"found: {found}; free some space there or set TMPDIR to another folder"
        ) from error
    with _lock:
        _remarks.append(
            f"pixels were kept in memory for want of room in {place} ({found}); "
            "set TMPDIR to another folder to need less memory"
        )
        with suppress(MemoryError):
            return _counted(np.empty(shape, dtype))
    raise OutputError(
        f"{place}: expected room for {size / 1e9:.1f} GB of pixels that do not fit in memory, "
        f"found: {found}; free some space there or set TMPDIR to another folder"
    ) from error

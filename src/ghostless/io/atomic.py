"""Files that are there whole or not at all: the atomic write, and checks before it."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from ..errors import OutputError

StrPath = str | os.PathLike[str]


def check_output_folder(target: Path, make_folder: bool) -> None:
    folder = target.parent
    while make_folder and not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    if not folder.exists():
        raise OutputError(
            f"{target}: expected the folder {folder} to write to, found none; make it first"
        )
    if not folder.is_dir():
        raise OutputError(
            f"{target}: expected {folder} to be a folder, found a file; choose another place"
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(
            f"{target}: expected a folder that can be written to, found {folder} write-protected; "
            "choose another place"
        )


def check_free(target: Path, overwrite: bool, inputs: Sequence[StrPath]) -> None:
    try:
        os.lstat(target)
    except FileNotFoundError:
        return
    if target.is_dir():
        raise OutputError(f"{target}: expected a file name, found a folder; name a file in it")
    # Same file, whatever it is called: links, another spelling, another case.
    for source in inputs:
        with suppress(OSError):
            if os.path.samefile(target, source):
                raise OutputError(
                    f"{target}: expected a new file, found one of the input photos ({source}); "
                    "inputs are never overwritten: choose another name"
                )
    if target.exists() and not target.is_file():
        raise OutputError(f"{target}: expected a file name, found a device; choose another name")
    if not overwrite:
        raise OutputError(
            f"{target}: expected a new file, found that it exists; "
            "choose another name or allow overwriting (--overwrite)"
        )


def cannot_write(target: Path, error: Exception) -> OutputError:
    reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or repr(error)
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        cure = "nothing was written: free some space or choose another place"
    else:
        cure = "nothing was written: choose another place"
    return OutputError(f"{target}: expected to be able to write it, found: {reason}; {cure}")


def write_atomically(
    path: StrPath,
    write: Callable[[Path], None],
    *,
    overwrite: bool = False,
    inputs: Sequence[StrPath] = (),
) -> None:
    """Write a file so that it is there whole or not at all.

    write: called with a path to write to, which is not `path`; that file is empty and exists.
    overwrite: whether an existing file is replaced (by one step); else it is left as it is.
    Raises OutputError if it exists, is one of `inputs`, or cannot be written (a full disk); the
    folder is then as it was.
    """
    # Through a symbolic link the file behind it is replaced, as any editor does.
    target = Path(os.path.realpath(path))
    try:
        check_free(Path(path), overwrite, inputs)
        with _unnamed_file(target.parent) as (scratch, give_name):
            write(scratch)
            _flush(scratch)
            ask = _before_naming.get()
            if ask is not None:
                ask(scratch, target)
            give_name(target, overwrite)
        _flush_folder(target.parent)
    except FileExistsError as error:
        raise OutputError(
            f"{path}: expected a new file, found that it exists now; nothing was overwritten"
        ) from error
    except (OSError, RuntimeError, MemoryError) as error:
        raise cannot_write(Path(path), error) from error


GiveName = Callable[[Path, bool], None]
BeforeNaming = Callable[[Path, Path], None]
_before_naming: ContextVar[BeforeNaming | None] = ContextVar("before_naming", default=None)


@contextmanager
def before_naming(ask: BeforeNaming) -> Iterator[None]:
    """Call `ask` with every file that is written meanwhile, when it is whole but has no name yet.

    ask: called with the file and the name that it will get. What it raises keeps the file from
        getting it, and nothing is written.
    """
    token = _before_naming.set(ask)
    try:
        yield
    finally:
        _before_naming.reset(token)


@contextmanager
def _unnamed_file(folder: Path) -> Iterator[tuple[Path, GiveName]]:
    """An empty file in a folder, and the function that gives it its name in one step.

    On Linux it has no name until then, so not even a killed process leaves one behind.
    """
    descriptor = _open_nameless(folder)
    if descriptor is not None:
        scratch = Path(f"/proc/self/fd/{descriptor}")
        try:
            yield scratch, lambda target, overwrite: _link_nameless(scratch, target, overwrite)
        finally:
            os.close(descriptor)
        return
    scratch = _temporary_name(folder)
    os.close(os.open(scratch, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666))
    try:
        yield scratch, lambda target, overwrite: _rename(scratch, target, overwrite)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(scratch)


def _temporary_name(folder: Path) -> Path:
    return folder / f".ghostless-{secrets.token_hex(8)}.part"


def _open_nameless(folder: Path) -> int | None:
    flag = getattr(os, "O_TMPFILE", None)
    if flag is None or not os.path.isdir("/proc/self/fd"):
        return None
    try:
        return os.open(folder, flag | os.O_RDWR, 0o666)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT):
            return None  # this file system cannot; a folder that is missing fails by name too
        raise


def _link_nameless(scratch: Path, target: Path, overwrite: bool) -> None:
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        # Given a folder's descriptor, Python follows the link in /proc to the file itself.
        if not overwrite:
            os.link(scratch, target.name, dst_dir_fd=folder, follow_symlinks=True)
            return
        temporary = _temporary_name(target.parent)
        os.link(scratch, temporary.name, dst_dir_fd=folder, follow_symlinks=True)
        _replace(temporary, target)
    finally:
        os.close(folder)


def _replace(temporary: Path, target: Path) -> None:
    try:
        os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def _rename(scratch: Path, target: Path, overwrite: bool) -> None:
    if overwrite:
        os.replace(scratch, target)
        return
    try:
        os.link(scratch, target)
    except FileExistsError:
        raise
    except OSError:
        # No hard links here (FAT, some network drives): claim the name, then replace the claim.
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        try:
            os.replace(scratch, target)
        except BaseException:
            with suppress(OSError):
                os.unlink(target)
            raise


def _flush(path: Path) -> None:
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())


def _flush_folder(folder: Path) -> None:
    with suppress(OSError):  # some systems cannot; the file itself is safe
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def make_folder_of(target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(target, error) from error

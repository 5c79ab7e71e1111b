"""The atomic write: all or nothing, never over an input, never over a file by accident."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ghostless.bracket import Fused
from ghostless.errors import OptionError, OutputError
from ghostless.io import atomic, write
from ghostless.io.atomic import write_atomically
from ghostless.io.write import WriteSettings, check_output, write_image

from .samples import picture

OVERWRITE = WriteSettings(overwrite=True)
EVERY_NAME = ("a.jpg", "a.png", "a.tif", "a.webp", "a.avif", "a.hdr", "a.exr")


@pytest.fixture(params=["nameless", "named", "without links"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each way that file systems force on us."""
    if request.param != "nameless":
        monkeypatch.setattr(atomic, "_open_nameless", lambda folder: None)
    if request.param == "without links":

        def no_links(*_: object, **__: object) -> None:
            raise OSError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(os, "link", no_links)
    return str(request.param)


def put(text: str) -> Callable[[Path], None]:
    return lambda scratch: write._write_bytes(scratch, text.encode())


def test_new_file_and_overwriting(way: str, tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    write_atomically(target, put("one"))
    assert target.read_text() == "one"
    with pytest.raises(OutputError, match=r"a\.txt.*exists.*--overwrite"):
        write_atomically(target, put("two"))
    assert target.read_text() == "one"
    write_atomically(target, put("three"), overwrite=True)
    assert target.read_text() == "three"
    assert os.listdir(tmp_path) == ["a.txt"]
    mask = os.umask(0)
    os.umask(mask)
    assert target.stat().st_mode & 0o777 == 0o666 & ~mask


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"),
                                   RuntimeError("encoder failed"), MemoryError()])  # fmt: skip
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_failure_leaves_everything_as_it_was(
    way: str, error: Exception, overwrite: bool, tmp_path: Path
) -> None:
    target = tmp_path / "a.txt"
    if overwrite:
        target.write_text("old")

    def fail(scratch: Path) -> None:
        scratch.write_bytes(b"half of i")
        raise error

    with pytest.raises(OutputError, match=r"a\.txt.*nothing was written"):
        write_atomically(target, fail, overwrite=overwrite)
    assert os.listdir(tmp_path) == (["a.txt"] if overwrite else [])
    assert not overwrite or target.read_text() == "old"


def test_an_interrupt_leaves_nothing(way: str, tmp_path: Path) -> None:
    def interrupt(scratch: Path) -> None:
        scratch.write_bytes(b"half of i")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "a.txt", interrupt)
    assert os.listdir(tmp_path) == []


def test_a_failing_rename_leaves_the_old_file(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OutputError, match="Input/output error"):
        write_atomically(target, put("new"), overwrite=True)
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_file_that_appears_meanwhile_is_not_lost(way: str, tmp_path: Path) -> None:
    target = tmp_path / "a.txt"

    def slow(scratch: Path) -> None:
        scratch.write_bytes(b"ours")
        target.write_text("theirs")

    with pytest.raises(OutputError, match="exists now; nothing was overwritten"):
        write_atomically(target, slow)
    assert target.read_text() == "theirs"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_of_many_writers_one_wins(way: str, tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    barrier = threading.Barrier(8)
    won: list[int] = []

    def run(number: int) -> None:
        def wait(scratch: Path) -> None:
            scratch.write_text(str(number))
            barrier.wait()

        try:
            write_atomically(target, wait)
        except OutputError:
            return
        won.append(number)

    threads = [threading.Thread(target=run, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [target.read_text()] == [str(number) for number in won]
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_killed_process_leaves_nothing(tmp_path: Path) -> None:
    if atomic._open_nameless(tmp_path) is None:
        pytest.skip("this file system has no nameless files")
    code = (
        "import os, signal, sys\n"
        "from ghostless.io.atomic import write_atomically\n"
        "def die(scratch):\n"
        "    scratch.write_bytes(b'half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_atomically(sys.argv[1], die)\n"
    )
    path = os.pathsep.join(p for p in sys.path if p)
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.txt")],
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == -signal.SIGKILL
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", EVERY_NAME)
def test_every_encoder_on_a_full_disk(name: str, tmp_path: Path) -> None:
    """A limit on the size of files stands in for the full disk; the encoders meet it for real."""
    space = "linear" if name in ("a.hdr", "a.exr") else "display"
    random = np.random.default_rng(0)
    fused = Fused(random.random((64, 64, 3), np.float32), space)  # type: ignore[arg-type]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600, limits[1]))
    try:
        with pytest.raises(OutputError, match=rf"{name}.*nothing was written") as caught:
            write_image(fused, tmp_path / name)
        assert "/proc/" not in str(caught.value)
        assert "File too large" in str(caught.value)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", EVERY_NAME)
def test_every_encoder_works_on_a_named_temporary_file(way: str, name: str, tmp_path: Path) -> None:
    space = "linear" if name in ("a.hdr", "a.exr") else "display"
    fused = Fused(picture().astype(np.float32) / 255, space)  # type: ignore[arg-type]
    write_image(fused, tmp_path / name)
    assert os.listdir(tmp_path) == [name]
    assert (tmp_path / name).stat().st_size > 100


# Inputs -------------------------------------------------------------------------------------------


def test_an_input_is_never_overwritten(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    photo = folder / "IMG_1.png"
    photo.write_bytes(b"the only copy")
    (tmp_path / "soft.png").symlink_to(photo)
    (tmp_path / "hard.png").hardlink_to(photo)
    (tmp_path / "door").symlink_to(folder)
    for name in (
        photo,
        tmp_path / "soft.png",
        tmp_path / "hard.png",
        tmp_path / "door" / "IMG_1.png",
        folder / ".." / "photos" / "IMG_1.png",
        Path(os.path.relpath(photo)),
    ):
        with pytest.raises(OutputError, match="inputs are never overwritten"):
            check_output(name, OVERWRITE, [tmp_path / "other.png", photo])
        with pytest.raises(OutputError, match="inputs are never overwritten"):
            write_atomically(name, put("lost"), overwrite=True, inputs=[photo])
    assert photo.read_bytes() == b"the only copy"


def test_an_input_under_another_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS and Windows, where IMG.PNG and img.png are one file."""
    photo = tmp_path / "IMG.PNG"
    photo.write_bytes(b"the only copy")
    if not (tmp_path / "img.png").exists():
        (tmp_path / "img.png").hardlink_to(photo)  # what such a file system shows
    with pytest.raises(OutputError, match="inputs are never overwritten"):
        check_output(tmp_path / "img.png", OVERWRITE, [photo])


def test_through_a_link_the_file_behind_it_is_replaced(tmp_path: Path) -> None:
    real = tmp_path / "real.txt"
    real.write_text("old")
    link = tmp_path / "link.txt"
    link.symlink_to(real)
    with pytest.raises(OutputError, match="exists"):
        write_atomically(link, put("new"))
    write_atomically(link, put("new"), overwrite=True)
    assert link.is_symlink()
    assert real.read_text() == "new"


# Before any work ----------------------------------------------------------------------------------


def test_places_that_cannot_be_written_to(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"expected the folder .*missing.*make it first"):
        check_output(tmp_path / "missing" / "a.png")
    check_output(tmp_path / "missing" / "deeper" / "a.png", make_folder=True)
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="to be a folder, found a file"):
        check_output(tmp_path / "file" / "a.png")
    with pytest.raises(OutputError, match="to be a folder, found a file"):
        check_output(tmp_path / "file" / "deeper" / "a.png", make_folder=True)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(OutputError, match="found a folder"):
        check_output(tmp_path / "folder.png", OVERWRITE)
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(OutputError, match="found a device"):
        check_output(tmp_path / "pipe.png", OVERWRITE)
    with pytest.raises(OutputError, match="File name too long"):
        check_output(tmp_path / ("x" * 300 + ".png"))
    with pytest.raises(OptionError, match="NUL"):
        check_output("a\0.png")
    with pytest.raises(OptionError, match=r"ends in \.json, found '\.txt'"):
        check_output(tmp_path / "a.txt", suffixes=(".json",))
    (tmp_path / "a.png").write_text("x")
    with pytest.raises(OutputError, match=r"exists.*--overwrite"):
        check_output(tmp_path / "a.png")
    check_output(tmp_path / "a.png", OVERWRITE)


def test_a_write_protected_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o555)
    if os.access(tmp_path, os.W_OK):  # the superuser may write anywhere
        monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(OutputError, match="write-protected"):
        check_output(tmp_path / "a.png")
    tmp_path.chmod(0o755)


def test_names_with_dashes_spaces_and_letters_of_the_world(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fused = Fused(np.zeros((4, 5, 3), np.float32), "display")
    for name in ("-o out.png", "ein Bild.tif", "写真.jpg"):
        check_output(name)
        write_image(fused, name)
    light = Fused(np.zeros((4, 5, 3), np.float32), "linear")
    for name in ("- 写真.exr", "- 写真.hdr"):
        write_image(light, name)
    assert len(os.listdir(tmp_path)) == 5

"""Large arrays in files: the same pixels, little memory, and nothing left behind."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ghostless.errors import OutputError
from ghostless.pipeline import FuseOptions, fuse_files
from ghostless.pixels.stripes import every
from ghostless.work import spill

from .files import save_bracket

MB = 1 << 20
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for the files of this test, and no room in memory."""
    folder = tmp_path / "spilled"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(spill, "IN_MEMORY_BYTES", 0)
    spill.take_remarks()
    yield folder
    assert list(folder.iterdir()) == []


def is_in_file(array: np.ndarray) -> bool:
    while isinstance(array, np.ndarray):
        array = array.base  # type: ignore[assignment]
    return array is not None


def test_what_fits_stays_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spill, "IN_MEMORY_BYTES", sum(a.nbytes for a in alive()) + 20 * MB)
    first = spill.empty((10 * MB,), np.uint8)
    photo = np.ones((8 * MB,), np.uint8)
    assert spill.settled(photo) is photo
    assert not is_in_file(first)
    assert is_in_file(spill.empty((10 * MB,), np.uint8))
    assert not is_in_file(spill.empty((1000,), np.uint8))  # not worth a file
    del first
    assert not is_in_file(spill.empty((10 * MB,), np.uint8))


def alive() -> list[np.ndarray]:
    return [array for reference in spill._in_memory if (array := reference()) is not None]


def test_a_view_counts_as_what_it_is_a_view_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spill, "IN_MEMORY_BYTES", sum(a.nbytes for a in alive()) + 20 * MB)
    whole = np.ones((10 * MB,), np.uint8)
    view = spill.settled(whole[:])
    del whole
    assert is_in_file(spill.empty((15 * MB,), np.uint8))
    del view


def test_an_array_in_a_file_is_as_any_other(own_folder: Path) -> None:
    source = np.random.default_rng(0).integers(0, 255, (700, 1000, 9), np.uint8)
    copy = spill.settled(source)
    assert is_in_file(copy)
    assert np.array_equal(copy, source)
    copy[3:5] = 7
    spill.trim()
    assert np.all(copy[3:5] == 7)
    assert np.array_equal(copy[5:], source[5:])
    view = copy[100:110]
    del copy
    assert np.array_equal(view, source[100:110])


WALK = """
import numpy as np
from ghostless.work import memory, spill
from ghostless.pixels.stripes import every, for_each_stripe
spill.IN_MEMORY_BYTES = 0
before = memory.resident_bytes()
array = spill.empty((8000, 10_000), np.float32)  # 320 MB
def write(start, stop):
    array[start:stop] = start
for_each_stripe(*array.shape, write)
assert every(array, 100, 50).shape == (80, 100)
for_each_stripe(*array.shape, lambda start, stop: float(array[start:stop].sum()))
print(memory.peak_resident_bytes() - before, memory.resident_bytes() - before)
"""


@linux_only
def test_a_walk_holds_little_of_what_it_walks(own_folder: Path) -> None:
    done = subprocess.run([sys.executable, "-c", WALK], capture_output=True, text=True, check=True)
    peak, after = (int(word) for word in done.stdout.split())
    assert peak < 160e6
    assert after < 60e6


def test_every_takes_the_pixels_that_slices_take() -> None:
    array = np.arange(37 * 23 * 3).reshape(37, 23, 3)
    for step, first in ((1, 0), (3, 0), (5, 2), (50, 25)):
        assert np.array_equal(every(array, step, first), array[first::step, first::step])


def test_a_bracket_in_files_gives_the_same_picture(
    own_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spill, "_SMALLEST_BYTES", 1000)
    files = save_bracket(tmp_path / "photos", height=90, width=120)
    fuse_files(files, tmp_path / "spilled.png")
    fuse_files(files, tmp_path / "spilled.exr")
    monkeypatch.setattr(spill, "IN_MEMORY_BYTES", 1 << 40)
    fuse_files(files, tmp_path / "plain.png")
    fuse_files(files, tmp_path / "plain.exr")
    for suffix in (".png", ".exr"):
        first, second = tmp_path / f"spilled{suffix}", tmp_path / f"plain{suffix}"
        assert first.read_bytes() == second.read_bytes()


def test_without_room_on_the_disk_memory_is_taken_and_the_report_tells(
    own_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spill, "_SMALLEST_BYTES", 1000)

    def full(_file: object, _size: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(spill, "_reserve", full)
    files = save_bracket(tmp_path / "photos")
    report = fuse_files(files, tmp_path / "out.png", FuseOptions())
    told = [note for note in report.notes if "for want of room" in note]
    assert len(told) == 1
    assert str(own_folder) in told[0]
    assert spill.take_remarks() == ()


def test_without_room_anywhere_one_line_says_what_to_do(
    own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spill, "available_bytes", lambda: 100 * MB)
    full = SimpleNamespace(free=10 * MB)
    monkeypatch.setattr(spill.shutil, "disk_usage", lambda _: full)
    with pytest.raises(OutputError, match=r"room for 0\.5 GB .* 0\.0 GB free; free some") as told:
        spill.empty((500_000_000,), np.uint8)
    assert "\n" not in str(told.value)


def test_a_folder_that_is_not_there_is_as_a_full_one(
    own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spill, "folder", lambda: own_folder / "gone")
    assert not is_in_file(spill.empty((5 * MB,), np.uint8))
    assert "No such file" in spill.take_remarks()[0]


def test_the_folder_is_the_users_or_one_on_a_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(spill, "_LARGE_FILES_FOLDER", str(tmp_path))
    assert spill.folder() == tmp_path
    monkeypatch.setattr(spill, "_LARGE_FILES_FOLDER", str(tmp_path / "none"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    assert spill.folder() == Path(tempfile.gettempdir())
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    assert spill.folder() == tmp_path


@linux_only
def test_a_killed_process_leaves_nothing(own_folder: Path) -> None:
    code = (
        "import numpy as np; from ghostless.work import spill; spill.IN_MEMORY_BYTES = 0;"
        "a = spill.empty((20_000_000,), np.uint8); a[:] = 1; print(flush=True); input()"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert list(own_folder.iterdir()) == []
        child.send_signal(signal.SIGKILL)

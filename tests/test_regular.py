"""Pipes, devices, sockets and links that lead in a circle, where a file should be."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from ghostless.batch.photos import Folder, scan_folder
from ghostless.batch.plan import make_plan, read_plan
from ghostless.batch.segments import GroupSettings
from ghostless.errors import FileReadError, GhostlessError
from ghostless.exposure.stops_file import find_stops_file, read_stops_file
from ghostless.io.photo_files import images_in
from ghostless.io.read import read_frame
from ghostless.io.regular import open_regular, read_regular
from ghostless.nn.weights import read_info
from ghostless.presets import read_preset

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs POSIX")


def pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


def plug(path: Path) -> Path:
    listener = socket.socket(socket.AF_UNIX)
    before = Path.cwd()
    try:
        os.chdir(path.parent)  # a socket's whole path may have 107 bytes
        listener.bind(path.name)
    finally:
        os.chdir(before)
        listener.close()
    return path


def device(path: Path) -> Path:
    path.symlink_to("/dev/zero")
    return path


def terminal(path: Path) -> Path:
    path.symlink_to("/dev/tty")
    return path


def circle(path: Path) -> Path:
    path.symlink_to(path.name)
    return path


def folder(path: Path) -> Path:
    path.mkdir()
    return path


KINDS = [pipe, plug, device, terminal, circle, folder]
READERS: list[tuple[str, Callable[[Path], object]]] = [
    ("photo.jpg", read_frame),
    ("stops.txt", lambda path: read_stops_file(path, 3)),
    ("mine.toml", lambda path: read_preset(str(path))),
    ("plan.csv", lambda path: read_plan(path, Folder(path.parent), ".jpg")),
    ("net.safetensors", read_info),
]


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize(("name", "read"), READERS, ids=[name for name, _ in READERS])
def test_what_is_no_file_is_refused_at_once_in_one_line(
    tmp_path: Path, make: Callable[[Path], Path], name: str, read: Callable[[Path], object]
) -> None:
    with pytest.raises(GhostlessError, match=name) as caught:
        read(make(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_no_more_than_the_limit_is_read(tmp_path: Path) -> None:
    path = tmp_path / "ev.txt"
    with path.open("wb") as file:
        file.truncate(3 << 30)  # of holes
    assert len(read_regular(path, 1000)) == 1001
    assert find_stops_file([tmp_path / "a.jpg"]) == path
    with pytest.raises(FileReadError, match="over 65536 bytes"):
        read_stops_file(path, 3)
    for name, read in READERS[2:4]:
        path.rename(tmp_path / name)
        path = tmp_path / name
        with pytest.raises(FileReadError, match="more than"):
            read(path)


def test_a_file_that_is_added_to_is_read_from_its_start(tmp_path: Path) -> None:
    for text in (b"one\n", b"two\n"):
        with open_regular(tmp_path / "log", append=True) as file:
            file.write(text)
            file.seek(0)
            assert file.readline() == b"one\n"
    assert read_regular(tmp_path / "log", 100) == b"one\ntwo\n"


def test_a_folder_s_photos_are_files(tmp_path: Path) -> None:
    for make in KINDS:
        make(tmp_path / f"{make.__name__}.jpg")
    (tmp_path / "photo.jpg").touch()
    # What cannot be looked at stays: reading it says why.
    assert [path.name for path in images_in(tmp_path)] == ["circle.jpg", "photo.jpg"]
    assert find_stops_file([tmp_path / "photo.jpg"]) is None


@pytest.mark.parametrize("make", KINDS[:4])
def test_a_shoot_may_hold_anything(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    make(tmp_path / "IMG_1.jpg")
    make(tmp_path / "notes.txt")
    circle(tmp_path / "circle.jpg")
    circle(tmp_path / "circle")
    plan = make_plan(scan_folder(tmp_path, skip=tmp_path / "circle"), GroupSettings(), ".jpg")
    assert plan.brackets == ()
    kinds = {name: status for name, (status, _) in plan.rest.items()}
    assert kinds == {
        "IMG_1.jpg": "not a photo",
        "notes.txt": "not a photo",
        "circle.jpg": "damaged",
        "circle": "not a photo",
    }
    assert "not a file" in plan.rest["IMG_1.jpg"][1]

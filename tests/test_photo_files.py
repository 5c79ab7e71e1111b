"""Which files of a folder are photos, and their order."""

from __future__ import annotations

from pathlib import Path

import pytest

from ghostless.errors import FileReadError
from ghostless.io.photo_files import images_in, natural_key


def test_natural_order_counts_numbers_as_numbers() -> None:
    names = ["b10.jpg", "b9.jpg", "B1.jpg", "a.jpg", "10.jpg", "9.jpg"]
    ordered = ["9.jpg", "10.jpg", "a.jpg", "B1.jpg", "b9.jpg", "b10.jpg"]
    assert sorted(names, key=natural_key) == ordered


def test_images_are_told_by_their_names(tmp_path: Path) -> None:
    for name in ("IMG_10.JPG", "IMG_9.jpg", "raw.NEF", "ev.txt", "._IMG_9.jpg", "jpg", ".jpg"):
        (tmp_path / name).touch()
    (tmp_path / "folder.tif").mkdir()
    (tmp_path / "gone.png").symlink_to("nowhere.png")  # reading it is what fails, by its name
    names = [path.name for path in images_in(tmp_path)]
    assert names == ["gone.png", "IMG_9.jpg", "IMG_10.JPG", "raw.NEF"]


def test_what_is_no_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name, reason in (("none", "No such file"), ("file", "Not a directory")):
        with pytest.raises(FileReadError, match=f"{name}: expected a folder of photos.*{reason}"):
            images_in(tmp_path / name)


def test_names_that_cameras_and_phones_give(tmp_path: Path) -> None:
    names = ["a.HIF", "b.insp", "c.MPO", "d.jpe", "e.jfif", "f.ERF", "g.sr2", "h.raw", "i.3FR"]
    for name in (*names, "j.txt", "k.mov"):
        (tmp_path / name).write_bytes(b"x")
    assert [path.name for path in images_in(tmp_path)] == names

"""Layouts of data sets: scenes are found as published, and wrong folders are told apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from ghostless.data.scenes import Scene, read_scenes, split_scenes
from ghostless.errors import FileReadError, OptionError


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return root


def test_sice_as_published_and_as_kept_beside(tmp_path: Path) -> None:
    published = touch(
        tmp_path / "a", "1/1.JPG", "1/2.JPG", "1/10.JPG", "2/1.JPG", "2/2.JPG", "Label/1.JPG"
    )
    (scene,) = read_scenes("sice", published)
    assert scene.name == "1"
    assert [path.name for path in scene.frames] == ["1.JPG", "2.JPG", "10.JPG"]
    assert scene.label == published / "Label" / "1.JPG"
    beside = touch(tmp_path / "b", "007/01.jpg", "007/02.jpg", "007/label.jpg")
    (scene,) = read_scenes("sice", beside)
    assert len(scene.frames) == 2
    assert scene.label == beside / "007" / "label.jpg"


def test_kalantari(tmp_path: Path) -> None:
    root = touch(tmp_path, "001/a1.tif", "001/a2.tif", "001/a3.tif", "001/HDRImg.hdr")
    (root / "001" / "exposure.txt").write_text("-2\n0\n2\n")
    (scene,) = read_scenes("kalantari", root)
    assert scene.stops == (-2, 0, 2)
    assert scene.label == root / "001" / "HDRImg.hdr"
    assert len(scene.frames) == 3


def test_brackets_and_mefb(tmp_path: Path) -> None:
    root = touch(tmp_path / "sen", "cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png", "one/1.png")
    (root / "dog" / "ev.txt").write_text("-1,1")
    scenes = read_scenes("brackets", root)
    assert [(scene.name, scene.stops) for scene in scenes] == [("cat", None), ("dog", (-1, 1))]
    assert [scene.name for scene in read_scenes("brackets", root / "cat")] == ["cat"]
    pairs = touch(tmp_path / "mefb", "A/over.png", "A/under.jpg", "B/B_A.jpg", "B/B_B.jpg")
    scenes = read_scenes("mefb", pairs)
    assert [path.stem for scene in scenes for path in scene.frames] == [
        "under",
        "over",
        "B_A",
        "B_B",
    ]


def test_the_real_folders(shared: Path) -> None:
    sice = read_scenes("sice", shared / "static" / "sice")
    assert len(sice) == 11
    assert all(len(scene.frames) == 5 and scene.label is not None for scene in sice)
    assert len(read_scenes("mefb", shared / "mefb30")) == 30
    dynamic = read_scenes("brackets", shared / "dynamic")
    assert len(dynamic) == 9
    assert sum(scene.stops is not None for scene in dynamic) == 5


def test_wrong_folders_are_answered_in_a_line(tmp_path: Path) -> None:
    for layout in ("sice", "kalantari", "brackets", "mefb"):
        with pytest.raises(FileReadError, match="expected a folder of scenes"):
            read_scenes(layout, tmp_path / "none")
        with pytest.raises(FileReadError, match="found none"):
            read_scenes(layout, tmp_path)
    with pytest.raises(OptionError, match="did you mean 'mefb'"):
        read_scenes("mfeb", tmp_path)


def test_splits_are_by_scene_and_stay_as_data_grow() -> None:
    scenes = [Scene(f"scene {n}", ()) for n in range(200)]
    train, held = split_scenes(scenes, 0.2)
    assert len(train) + len(held) == 200
    assert 20 < len(held) < 60
    assert not {scene.name for scene in train} & {scene.name for scene in held}
    fewer_train, fewer_held = split_scenes(scenes[:100], 0.2)
    assert {scene.name for scene in fewer_held} <= {scene.name for scene in held}
    assert {scene.name for scene in fewer_train} <= {scene.name for scene in train}
    assert split_scenes(scenes, 0.2, seed=1)[1] != held
    train, held = split_scenes(scenes[:2], 0.01)
    assert len(train) == len(held) == 1


def test_splits_that_cannot_be_are_refused() -> None:
    with pytest.raises(OptionError):
        split_scenes([Scene("a", ())])
    with pytest.raises(OptionError):
        split_scenes([Scene("a", ()), Scene("b", ())], 1.0)

"""Layouts of data sets: scenes are found as published, and wrong folders are told apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from ghostless.errors import BracketError, FileReadError, OptionError
from ghostless.research.data.scenes import (
    Scene,
    read_brackets,
    read_mefb,
    read_sice,
    read_simulated,
    split_scenes,
)


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return root


def names_of(scene: Scene) -> list[str]:
    return [path.name for path in scene.files]


def test_sice_as_published_and_as_kept_beside(tmp_path: Path) -> None:
    published = touch(
        tmp_path / "a", "1/1.JPG", "1/2.JPG", "1/10.JPG", "2/1.JPG", "2/2.JPG", "Label/1.JPG"
    )
    (scene,) = read_sice(published)
    assert scene.name == "1"
    assert names_of(scene) == ["1.JPG", "2.JPG", "10.JPG"]
    assert scene.truth == published / "Label" / "1.JPG"
    assert scene.has_jpeg_inputs
    two = touch(tmp_path / "two", "Part1/3/1.JPG", "Part1/3/2.JPG", "Part1/Label/3.JPG")
    (again,) = read_sice(two)
    assert again.name == "Part1_3"
    beside = touch(tmp_path / "b", "007/01.png", "007/02.png", "007/label.jpg")
    (scene,) = read_sice(beside)
    assert len(scene.files) == 2
    assert scene.truth == beside / "007" / "label.jpg"
    assert not scene.has_jpeg_inputs


def test_truth_is_told_from_the_photos(tmp_path: Path) -> None:
    kalantari = ("007/1.tif", "007/2.tif", "007/10.tif", "007/HDRImg.hdr", "007/exposure.txt")
    simulated = ("0008/1.jpg", "0008/2.jpg", "0008/truth/truth.exr", "0008/truth/ghosts_1.png")
    touch(tmp_path, *kalantari, *simulated, "one/1.png", "results/1.exr", "results/2.exr")
    first, second = read_brackets(tmp_path)
    assert (first.name, second.name) == ("007", "0008")
    assert names_of(first) == ["1.tif", "2.tif", "10.tif"]
    assert names_of(second) == ["1.jpg", "2.jpg"]
    assert first.true_radiance == tmp_path / "007" / "HDRImg.hdr"
    assert second.true_radiance == tmp_path / "0008" / "truth" / "truth.exr"
    assert (first.truth, second.truth) == (None, None)


def test_what_simulated_photos_can_hold_is_known(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.jpg", "a/2.jpg", "a/truth/truth.exr", "b/1.jpg", "b/2.jpg")
    assert [scene.recordable for scene in read_simulated(tmp_path)] == [None, None]
    answers = tmp_path / "a" / "truth" / "answers.json"
    answers.write_text('{"reference": 1, "stops": [-3, 0]}')
    assert [scene.recordable for scene in read_simulated(tmp_path)] == [8.0, None]
    for wrong in ("{}", "[", '{"reference": 2, "stops": [-3, 0]}'):
        answers.write_text(wrong)
        with pytest.raises(FileReadError, match=r"answers.json: expected the answers"):
            read_simulated(tmp_path)


def test_a_folder_of_photos_is_one_scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = touch(tmp_path, "cat/1.png", "cat/2.png", "cat/truth/truth.png")
    (scene,) = read_brackets(root / "cat")
    assert scene.name == "cat"
    assert scene.truth == root / "cat" / "truth" / "truth.png"
    monkeypatch.chdir(root / "cat")
    assert read_brackets(Path())[0].name == "cat"


def test_mefb_as_published_and_as_kept_beside(tmp_path: Path) -> None:
    pairs = ("A/over.png", "A/under.jpg", "A/notes.txt", "B/B_A.jpg", "B/B_B.jpg", "C/C_A.jpg")
    touch(tmp_path, *pairs, "D_B.jpg", "D_A.jpg")
    scenes = read_mefb(tmp_path)
    assert [scene.name for scene in scenes] == ["A", "B", "D"]
    assert [names_of(scene) for scene in scenes] == [
        ["under.jpg", "over.png"],
        ["B_A.jpg", "B_B.jpg"],
        ["D_A.jpg", "D_B.jpg"],
    ]


def test_the_real_folders(shared: Path) -> None:
    sice = read_sice(shared / "static" / "sice")
    assert len(sice) == 11
    assert all(len(scene.files) == 5 and scene.truth is not None for scene in sice)
    assert len(read_mefb(shared / "mefb30")) == 30
    dynamic = read_brackets(shared / "dynamic")
    assert len(dynamic) == 9
    assert {len(scene.files) for scene in dynamic} == {3, 4, 5}


@pytest.mark.parametrize("read", [read_sice, read_brackets, read_mefb])
def test_wrong_folders_are_answered_in_a_line(read, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(FileReadError, match="expected a folder of scenes, found nothing"):
        read(tmp_path / "none")
    with pytest.raises(FileReadError, match="expected a folder of scenes, found a file"):
        read(touch(tmp_path / "files", "note") / "note")
    with pytest.raises(BracketError, match=r"expected folders with .*, found none"):
        read(tmp_path)


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

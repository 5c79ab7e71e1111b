"""Packing HDR pictures: little is lost, nothing is lost silently, and splits are by scene."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from ghostless.bracket import Fused
from ghostless.errors import FileReadError, OptionError, OutputError
from ghostless.io.write import write_image
from ghostless.research.data.panoramas import (
    check_split,
    encode_log2,
    from_radiance,
    load_packed,
    pack,
    read_manifest,
)
from ghostless.research.data.splits import HELD_OUT_SCENES, scene_of, split_of
from tests.scenes import make_radiance


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = tmp_path / "hdr"
    source.mkdir()
    for name, seed in (("meadow_1k", 0), ("leadenhall_market_1k", 1)):
        write_image(Fused(make_radiance(64, 128, seed), "linear"), source / f"{name}.exr")
    return source


def window(panoramas, entry: int, top: int, left: int, size: tuple[int, int]) -> np.ndarray:  # type: ignore[no-untyped-def, type-arg]
    cut = panoramas.windows(torch.tensor([entry]), torch.tensor([top]), torch.tensor([left]), size)
    return cut[0].permute(1, 2, 0).numpy()


def test_what_is_packed_comes_back(folder: Path, tmp_path: Path) -> None:
    entries = pack([folder], tmp_path / "packed")
    assert [entry.split for entry in entries] == ["held-out", "train"]
    panoramas = load_packed(tmp_path / "packed")
    truth = np.float32(np.float16(make_radiance(64, 128, 0)))
    back = window(panoramas, 1, 0, 0, (64, 128))
    error = np.abs(np.log2(back / truth))
    assert np.median(error) < 0.1
    assert np.percentile(error, 99) < 0.5


def test_the_sun_is_clipped_and_the_rest_is_not() -> None:
    radiance = make_radiance(128, 256)
    radiance[10, 10] = 1e5
    codes, _, high = encode_log2(radiance)
    assert 2.0**high < 1e4
    assert (codes == 65535).all(axis=2).sum() < 10


def test_codes_in_memory_are_exact_to_a_thousandth_of_a_stop() -> None:
    radiance = make_radiance(64, 128)
    back = window(from_radiance([("a", radiance)]), 0, 0, 0, (64, 128))
    inside = (radiance < np.percentile(radiance, 99.9)) & (radiance > np.percentile(radiance, 0.1))
    assert np.abs(np.log2(back / radiance))[inside].max() < 1e-3


def test_panoramas_wrap_and_pictures_are_mirrored() -> None:
    whole, part = make_radiance(64, 128, 0), make_radiance(64, 100, 1)
    panoramas = from_radiance([("whole", whole), ("part", part)])
    full = window(panoramas, 0, 0, 0, (64, 128))
    assert np.array_equal(window(panoramas, 0, 0, 120, (64, 16))[:, 8:], full[:, :8])
    assert np.array_equal(window(panoramas, 0, -3, 0, (4, 128))[0], full[0])
    picture = window(panoramas, 1, 0, 0, (64, 100))
    assert np.array_equal(window(panoramas, 1, 0, -2, (64, 4))[:, :2], picture[:, 1::-1])


def test_surfaces_become_linear_light(folder: Path, tmp_path: Path) -> None:
    surfaces = tmp_path / "surfaces"
    surfaces.mkdir()
    cv2.imwrite(str(surfaces / "grey.png"), np.full((600, 600, 3), 188, np.uint8))
    pack([folder], tmp_path / "packed", surfaces=surfaces)
    panoramas = load_packed(tmp_path / "packed")
    assert panoramas.entries[2].kind == "surface"
    assert panoramas.entries[2].width == 512
    assert np.allclose(window(panoramas, 2, 0, 0, (8, 8)), 0.5, atol=0.01)
    assert len(panoramas.select(kinds=("surface",))) == 1
    assert len(check_split(panoramas, "train")) == 2


def test_one_scene_is_on_one_side_of_the_split() -> None:
    assert scene_of("pmndrs_sunrise") == scene_of("spruit_sunrise_4k")
    assert scene_of("hotel_room_1k_blender") == "hotel_room"
    assert split_of(scene_of("pmndrs_sunrise")) == "held-out"
    assert split_of("anything_else") == "train"


def test_of_scenes_that_nobody_split_some_are_held_out(tmp_path: Path) -> None:
    (tmp_path / "hdr").mkdir()
    for number in range(4):
        radiance = make_radiance(32, 64, seed=number)
        for name in (f"street {number}", f"street {number}_2k"):
            write_image(Fused(radiance, "linear"), tmp_path / "hdr" / f"{name}.exr")
    sides = {(e.scene, e.split) for e in pack([tmp_path / "hdr"], tmp_path / "packed")}
    assert len(sides) == 4
    assert 1 <= [side for _, side in sides].count("held-out") <= 3
    again = {(e.scene, e.split) for e in pack([tmp_path / "hdr"], tmp_path / "again")}
    assert again == sides


def test_the_real_panoramas_have_the_held_out_scenes(shared: Path) -> None:
    files = [*(shared / "hdri").iterdir(), *(shared / "hdri_4k").iterdir()]
    assert {scene_of(file.stem) for file in files} >= HELD_OUT_SCENES


def test_wrong_folders_are_answered_in_a_line(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(FileReadError, match="expected a folder"):
        pack([tmp_path / "none"], tmp_path / "packed")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileReadError, match="found none in it"):
        pack([tmp_path / "empty"], tmp_path / "packed")
    with pytest.raises(FileReadError, match="ghostless data pack"):
        load_packed(tmp_path / "empty")
    pack([folder], tmp_path / "packed")
    with pytest.raises(OutputError):
        pack([folder], tmp_path / "packed")
    entry = read_manifest(tmp_path / "packed")[0]
    (tmp_path / "packed" / entry.file).write_bytes(b"no picture")
    with pytest.raises(FileReadError, match="damaged"):
        load_packed(tmp_path / "packed")


def test_a_split_without_pictures_is_refused() -> None:
    with pytest.raises(OptionError, match="held-out"):
        check_split(from_radiance([("meadow", make_radiance(64, 128))]), "held-out")

"""The commands simulate and data: files as others read them, and errors of one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ghostless.bracket import Fused
from ghostless.cli import run
from ghostless.exposure.assign import assign_stops
from ghostless.exposure.stops_file import find_stops_file
from ghostless.io.read import read_bracket, read_image
from ghostless.io.write import write_image
from ghostless.pixels import color
from ghostless.research.data.panoramas import load_packed
from ghostless.research.data.scenes import read_simulated
from tests.scenes import make_radiance


@pytest.fixture
def panorama(tmp_path: Path) -> Path:
    path = tmp_path / "hdr" / "meadow.exr"
    path.parent.mkdir()
    write_image(Fused(make_radiance(128, 256), "linear"), path)
    return path


def simulate(panorama: Path, out: Path, *words: str) -> int:
    line = ["simulate", str(panorama), "-o", str(out), "--size", "64x48", "-q", *words]
    return run(line)


def test_what_is_written_is_a_bracket_with_its_answers(panorama: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ("--frames", "4", "--gap", "1.5", "--count", "2", "--format", "png")
    assert simulate(panorama, out, *words) == 0
    assert sorted(path.name for path in out.iterdir()) == ["0000", "0001"]
    files = [out / "0000" / f"{n}.png" for n in (1, 2, 3, 4)]
    bracket = assign_stops(read_bracket(files), side_file=find_stops_file(files))
    assert bracket.stops == (-2.25, -0.75, 0.75, 2.25)
    assert bracket.frames[0].pixels.shape == (48, 64, 3)
    answers = json.loads((out / "0000" / "truth" / "answers.json").read_text())
    assert answers["stops"] == [-2.25, -0.75, 0.75, 2.25]
    assert np.array(answers["homographies"]).shape == (4, 3, 3)
    assert answers["reference"] == 1
    truth = read_image(out / "0000" / "truth" / "truth.exr")
    assert truth.space == "linear"
    assert truth.pixels.shape == (48, 64, 3)
    assert (out / "0000" / "truth" / "ghosts_4.png").is_file()


def test_the_display_truth_is_a_rendition_of_what_the_photos_hold(
    panorama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--size", "192x176", "--display", "--format", "png", "--static")
    assert simulate(panorama, tmp_path / "out", *words) == 0
    (scene,) = read_simulated(tmp_path / "out")
    assert scene.truth is not None
    shown = read_image(scene.truth).pixels
    assert shown.shape == (176, 192, 3)
    # Well exposed, and as bright in the order of brightness as the reference photo.
    assert 0.25 < shown.mean() < 0.75
    photo = read_image(scene.files[1]).pixels
    assert np.corrcoef(shown.ravel(), photo.ravel())[0, 1] > 0.7
    assert simulate(panorama, tmp_path / "small", "--display") == 2
    assert "at least 176" in capsys.readouterr().err


def test_static_brackets_show_the_truth(panorama: Path, tmp_path: Path) -> None:
    assert simulate(panorama, tmp_path / "out", "--static", "--format", "png") == 0
    folder = tmp_path / "out" / "0000"
    truth = read_image(folder / "truth" / "truth.exr").pixels
    reference = read_image(folder / "2.png").pixels
    # The response is unknown but rises with light: brightness ranks alike, but for noise.
    dim = (truth > 0.02) & (truth < 0.9)
    order = np.corrcoef(color.linear_to_srgb(truth)[dim], reference[dim])[0, 1]
    assert order > 0.97


def test_the_seed_decides(panorama: Path, tmp_path: Path) -> None:
    for name, seed, count in (("a", "3", "1"), ("b", "3", "2"), ("c", "4", "1")):
        assert simulate(panorama, tmp_path / name, "--seed", seed, "--count", count) == 0
    first, again, other = ((tmp_path / name / "0000" / "1.jpg").read_bytes() for name in "abc")
    assert first == again
    assert first != other


def test_packing_by_the_command_and_simulating_from_it(panorama: Path, tmp_path: Path) -> None:
    assert run(["data", "pack", str(panorama.parent), "-o", str(tmp_path / "packed"), "-q"]) == 0
    assert len(load_packed(tmp_path / "packed")) == 1
    assert simulate(tmp_path / "packed", tmp_path / "out") == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--size", "64"), "--size: expected WIDTHxHEIGHT"),
        (("--format", "gif"), "expected frames as .jpg or .png"),
        (("--size", "4x4"), "at least 16 x 16"),
    ],
)
def test_wrong_words_are_answered_in_a_line(
    words: tuple[str, ...],
    message: str,
    panorama: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert simulate(panorama, tmp_path / "out", *words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_wrong_sources_and_existing_files_are_refused(
    panorama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = tmp_path / "photo.png"
    write_image(Fused(np.zeros((32, 32, 3), np.float32), "display"), photo)
    assert simulate(photo, tmp_path / "out") == 2
    assert "expected an HDR picture" in capsys.readouterr().err
    assert simulate(panorama, tmp_path / "out") == 0
    assert simulate(panorama, tmp_path / "out") == 2
    assert simulate(panorama, tmp_path / "out", "--overwrite") == 0

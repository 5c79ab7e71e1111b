"""The command: what it prints, what it writes, how it ends."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

import ghostless
from ghostless import cli
from ghostless.cli import commands, show
from ghostless.methods import METHODS
from ghostless.nn.weights import has_weights, read_info, shipped_path

from .files import contents, save_bracket, seconds_of_children

SRC = Path(ghostless.__file__).parents[1]


def pixels_of(path: Path) -> NDArray[np.uint8]:
    """What any other program sees in a picture file."""
    with Image.open(path) as image:
        return np.asarray(image)


def command(*words: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m ghostless` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "ghostless", *map(str, words)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(SRC), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_fuse_writes_the_picture_and_tells_what_was_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = save_bracket(tmp_path, height=96, width=128)
    out, report = tmp_path / "out.jpg", tmp_path / "report.json"
    words = ["fuse", *map(str, files), "-o", str(out), "--report", str(report), "--verbose"]
    assert cli.run(words) == 0
    printed, errors = capsys.readouterr()
    assert errors == ""
    for file in files:
        assert file.name in printed
    assert "reference" in printed
    assert "GB peak" in printed
    assert str(out) in printed
    assert pixels_of(out).shape == (96, 128, 3)
    told = json.loads(report.read_text())
    assert [frame["stops_source"] for frame in told["frames"]] == ["exif"] * 3
    assert {"read", "align", "deghost", "fuse"} <= {stage["name"] for stage in told["stages"]}
    assert all(stage["peak_bytes"] >= 0 and stage["seconds"] >= 0 for stage in told["stages"])


def test_json_and_quiet_keep_standard_output_clean(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = save_bracket(tmp_path)
    out = tmp_path / "out.png"
    assert cli.run(["fuse", *map(str, files), "-o", str(out), "--json"]) == 0
    printed, errors = capsys.readouterr()
    assert json.loads(printed)["output"] == str(out)
    assert errors == ""
    assert cli.run(["fuse", *map(str, files), "-o", str(out), "--overwrite", "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    "stops", [["--stops", "-2,0,2"], ["--stops=-2,0,2"], ["--stops", "-2 0 4/2"]]
)
def test_stops_may_start_with_a_dash(
    stops: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = save_bracket(tmp_path, exif=False)
    assert cli.run(["info", *map(str, files), "--json", *stops]) == 0
    frames = json.loads(capsys.readouterr().out)["frames"]
    assert [frame["stops"] for frame in frames] == [-2, 0, 2]
    assert {frame["stops_source"] for frame in frames} == {"user"}


def test_a_folder_stands_for_its_photos_but_not_for_an_earlier_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_bracket(tmp_path)
    (tmp_path / "notes.txt").write_text("not a photo")
    words = ["fuse", str(tmp_path), "-o", str(tmp_path / "out.jpg"), "--overwrite", "--json"]
    for _ in range(2):
        assert cli.run(words) == 0
        assert len(json.loads(capsys.readouterr().out)["frames"]) == 3


def test_overwrite_replaces_and_nothing_else_is_left(tmp_path: Path) -> None:
    files = save_bracket(tmp_path)
    out = tmp_path / "out.jpg"
    out.write_text("old")
    assert cli.run(["fuse", *map(str, files), "-o", str(out), "--overwrite", "-q"]) == 0
    assert pixels_of(out).shape == (48, 64, 3)
    assert set(contents(tmp_path)) == {*(file.name for file in files), "out.jpg"}


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (333, 501)])
@pytest.mark.parametrize("suffix", [".png", ".exr"])
def test_any_size_works(size: tuple[int, int], suffix: str, tmp_path: Path) -> None:
    height, width = size
    files = save_bracket(tmp_path, height=height, width=width, exif=False)
    out = tmp_path / f"out{suffix}"
    assert cli.run(["fuse", *map(str, files), "-o", str(out), "--stops", "-2,0,2", "-q"]) == 0
    fused = ghostless.read_image(out)
    assert fused.pixels.shape == (*size, 3)
    assert np.isfinite(fused.pixels).all()
    assert fused.pixels.min() >= 0
    if suffix == ".png":
        assert fused.pixels.max() <= 1


@settings(
    max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(order=st.permutations(range(4)))
def test_the_order_of_files_does_not_matter(order: list[int], tmp_path: Path) -> None:
    files = save_bracket(tmp_path, height=32, width=40, stops=(-3, -1, 1, 3))
    sorted_out, out = tmp_path / "sorted.png", tmp_path / "shuffled.png"
    again = ["--overwrite", "-q"]
    assert cli.run(["fuse", *map(str, files), "-o", str(sorted_out), *again]) == 0
    shuffled = [str(files[index]) for index in order]
    assert cli.run(["fuse", *shuffled, "-o", str(out), *again]) == 0
    assert np.array_equal(pixels_of(out), pixels_of(sorted_out))


def test_hdr_makes_a_picture_that_shines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [str(file) for file in save_bracket(tmp_path / "photos")]
    assert cli.run(["fuse", *files, "-o", str(tmp_path / "a.jpg"), "--hdr", "-q"]) == 0
    data = (tmp_path / "a.jpg").read_bytes()
    assert imagecodecs.ultrahdr_decode(data)[:, :, :3].max() > 1
    assert cli.run(["fuse", *files, "-o", str(tmp_path / "a.avif"), "--hdr", "-q"]) == 0
    assert cli.run(["fuse", *files, "-o", str(tmp_path / "a.webp"), "--hdr"]) == 2
    assert "write one of .jpg" in capsys.readouterr().err
    assert not (tmp_path / "a.webp").exists()


def test_align_and_deghost_write_frames(tmp_path: Path) -> None:
    files = save_bracket(tmp_path / "in", height=96, width=128)
    words = [str(file) for file in files]
    assert cli.run(["align", *words, "-o", str(tmp_path / "aligned"), "-q"]) == 0
    assert set(contents(tmp_path / "aligned")) == {f"{file.stem}.tif" for file in files}
    assert cli.run(["deghost", *words, "-o", str(tmp_path / "clean"), "--masks", "-q"]) == 0
    names = {f"{file.stem}.tif" for file in files} | {f"{file.stem}_mask.png" for file in files}
    assert set(contents(tmp_path / "clean")) == names
    for file in files:
        frame = ghostless.read_frame(tmp_path / "aligned" / f"{file.stem}.tif")
        assert frame.pixels.dtype == np.uint8
        assert frame.pixels.shape == (96, 128, 3)
        assert frame.metadata.shutter_seconds is not None
        assert pixels_of(tmp_path / "clean" / f"{file.stem}_mask.png").shape == (96, 128)


def test_only_what_looked_for_ghosts_tells_how_many(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(file) for file in save_bracket(tmp_path / "in", height=96, width=128)]
    out = str(tmp_path / "out.jpg")
    for call, told in (
        (["align", *words, "-o", str(tmp_path / "aligned")], False),
        (["deghost", *words, "-o", str(tmp_path / "clean")], True),
        (["fuse", *words, "-o", out], True),
        (["fuse", *words, "-o", out, "--deghost", "off"], False),
    ):
        assert cli.run([*call, "--overwrite", "-v"]) == 0
        assert ("deghosted" in capsys.readouterr().out) == told
        assert cli.run([*call, "--overwrite", "--json"]) == 0
        frames = json.loads(capsys.readouterr().out)["frames"]
        assert all((frame["deghosted_share"] is not None) == told for frame in frames)


@pytest.mark.parametrize("words", [["-h"], ["help"], ["fuse", "-h"], ["help", "fuse"]])
def test_help_by_other_words(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(words) == 0
    said = "Usage: ghostless fuse" if "fuse" in words else "Usage: ghostless [OPTIONS]"
    assert said in capsys.readouterr().out


def test_save_stages_keeps_aligned_and_deghosted_frames(tmp_path: Path) -> None:
    files = save_bracket(tmp_path / "in")
    stages = tmp_path / "stages"
    words = ["fuse", *map(str, files), "-o", str(tmp_path / "out.jpg"), "-q"]
    assert cli.run([*words, "--save-stages", str(stages)]) == 0
    kept = set(contents(stages))
    for stage in ("aligned", "deghosted"):
        assert {f"{stage}/{file.stem}.tif" for file in files} <= kept
    assert any(name.endswith("_mask.png") for name in kept)


def test_method_weights_reach_the_method(tmp_path: Path) -> None:
    files = [str(file) for file in save_bracket(tmp_path)]
    pictures = []
    for name, extra in (("a.png", []), ("b.png", ["--set", "mertens.saturation=1"])):
        out = tmp_path / name
        assert cli.run(["fuse", *files, "-o", str(out), "-q", *extra]) == 0
        pictures.append(pixels_of(out))
    assert not np.array_equal(*pictures)


def test_any_setting_of_the_method_can_be_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [str(file) for file in save_bracket(tmp_path)]
    by_option, by_word, other = (tmp_path / f"{name}.png" for name in "abc")
    assert cli.run(["fuse", *files, "-o", str(by_option), "-q", "--set", "levels=2"]) == 0
    words = ["--set", "mertens.levels=2"]
    assert cli.run(["fuse", *files, "-o", str(by_word), "-q", *words]) == 0
    assert by_option.read_bytes() == by_word.read_bytes()
    assert cli.run(["fuse", *files, "-o", str(other), "-q", "--set", "overshoot=clip"]) == 0
    assert by_option.read_bytes() != other.read_bytes()
    for word, answer in (
        ("overshot=clip", "overshoot"),
        ("overshoot", "expected NAME=VALUE, found 'overshoot'"),
        ("method.contrast=much", "method.contrast: expected a number of 0 or more, found 'much'"),
        ("contrast=much", "--set tone.contrast: expected a number from -100 to 100, found 'much'"),
        ("overshoot=much", "found 'much'"),
    ):
        assert cli.run(["fuse", *files, "-o", str(tmp_path / "d.png"), "--set", word]) == 2
        assert answer in capsys.readouterr().err
    assert not (tmp_path / "d.png").exists()


def test_info_names_exposures_and_the_reference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = save_bracket(tmp_path)
    assert cli.run(["info", *map(str, files)]) == 0
    printed = capsys.readouterr().out
    assert "1/1024 s" in printed
    assert "f/4" in printed
    assert "64 x 48" in printed
    assert printed.count("reference") == 1
    assert cli.run(["info", *map(str, files), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [frame["shutter_seconds"] for frame in told["frames"]] == [1 / 1024, 1 / 256, 1 / 64]
    assert told["frames"][told["reference"]]["reference"] is True


def test_methods_prints_every_fact_of_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    printed = ""
    for method in METHODS.values():
        assert cli.run(["methods", method.name]) == 0
        told = capsys.readouterr().out
        assert f"{method.name}: {method.summary}" in told
        assert method.paper in told
        printed += told
    assert cli.run(["methods", "mertans"]) == 2
    assert "did you mean 'mertens'" in capsys.readouterr().err
    assert cli.run(["methods", "--json"]) == 0
    table = json.loads(capsys.readouterr().out)
    assert [entry["name"] for entry in table] == list(METHODS)
    assert all(set(entry) == set(METHODS["mertens"].facts()) for entry in table)
    counted = {entry["name"]: entry["parameters"] for entry in table}
    assert counted == {name: dict(method.parameters) for name, method in METHODS.items()}
    for entry in table:
        if entry["weights"] and has_weights(entry["weights"]):
            assert entry["scores"] == read_info(shipped_path(entry["weights"])).scores
    assert "chen-chuang-homography 1,227,720" in printed
    assert "dpgn 10,950,681" in printed


def test_methods_stand_by_what_they_are_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["methods"]) == 0
    use, compare = capsys.readouterr().out.split("To compare with:")
    for method in METHODS.values():
        here, there = (use, compare) if method.group == "use" else (compare, use)
        assert f"  {method.name} " in here
        assert f"  {method.name} " not in there
        why = method.why_not_here()
        if why is not None:
            assert f"not here: {why}\n" in here
    assert use.count("\n") < 20


def test_bench_align_scores_on_a_folder_of_pairs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = save_bracket(tmp_path / "pair", height=340, width=340, stops=(-1, 1))
    for file, name in zip(files, ("under.png", "over.png"), strict=True):
        file.rename(file.with_name(name))
    words = ["bench", "align", str(tmp_path), "--patches", "1"]
    assert cli.run([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["pairs"] == ["pair"]
    assert {"identity", "ghostless"} <= {score["method"] for score in told["scores"]}
    assert cli.run(["bench", "align", str(tmp_path / "gone")]) == 2
    assert "gone" in capsys.readouterr().err


def test_bench_speed_measures_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--megapixels", "0.05", "--repeats", "1", "--no-whole-command"]
    assert cli.run(["bench", "speed", *small, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["frames"] == 3
    assert cli.run(["bench", "speed", *small, "--method", "mertns"]) == 2
    assert "'mertens'" in capsys.readouterr().err


def test_version_help_and_no_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--version"]) == 0
    assert capsys.readouterr().out == f"ghostless {ghostless.__version__}\n"
    for words in ([], ["--help"], ["bench"]):
        assert cli.run(words) == 0
        printed, errors = capsys.readouterr()
        assert "Usage: ghostless" in printed
        assert errors == ""


def test_an_unexpected_error_is_one_line_and_status_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*words: object) -> None:
        raise ZeroDivisionError("a\nb")

    monkeypatch.setattr(commands, "print_json", fail)
    monkeypatch.delenv("GHOSTLESS_TRACEBACK", raising=False)
    assert cli.run(["methods", "--json"]) == 1
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "ZeroDivisionError: a b" in line
    assert "GHOSTLESS_TRACEBACK=1" in line
    monkeypatch.setenv("GHOSTLESS_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        cli.run(["methods", "--json"])


def test_a_process_of_its_own_prints_one_line_and_exits_2(tmp_path: Path) -> None:
    save_bracket(tmp_path)
    (tmp_path / "frame_2.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    done = command("fuse", tmp_path, "-o", "out.jpg", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("ghostless: ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out.jpg").exists()


def test_a_closed_pipe_ends_quietly(tmp_path: Path) -> None:
    words = f'"{sys.executable}" -m ghostless methods --json | true'
    done = subprocess.run(
        ["bash", "-c", words],
        env={**os.environ, "PYTHONPATH": str(SRC)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_is_one_line_and_leaves_nothing(
    number: signal.Signals, tmp_path: Path
) -> None:
    files = save_bracket(tmp_path, height=700, width=1000)
    before = contents(tmp_path)
    process = subprocess.Popen(
        [sys.executable, "-m", "ghostless", "fuse", *map(str, files), "-o", "out.jpg"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(SRC)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(0.5)
    process.send_signal(number)
    printed, errors = process.communicate(timeout=60)
    if process.returncode == 0:
        pytest.skip("the machine was too fast to be interrupted")
    assert process.returncode == 130
    assert printed == ""
    assert errors.startswith("ghostless: interrupted")
    assert errors.count("\n") == 1
    assert contents(tmp_path) == before


def test_help_and_import_are_quick_and_bring_no_torch(tmp_path: Path) -> None:
    # Seconds of processor time: what others do on the machine is not in them.
    seconds = []
    for _ in range(5):
        start = seconds_of_children()
        assert command("--help", cwd=tmp_path).returncode == 0
        seconds.append(seconds_of_children() - start)
    assert statistics.median(seconds) < 0.3
    code = (
        "import sys, time; start = time.process_time(); import ghostless; ghostless.__version__; "
        "took = time.process_time() - start; assert took < 0.5, took; "
        "import ghostless.cli; "
        "heavy = {'torch', 'cv2', 'numpy', 'PIL'} & set(sys.modules); assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(SRC)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_progress_bars_appear_on_a_terminal_only_and_late(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(show, "_SECONDS_BEFORE_BARS", 0.05)
    with show.Bars(quiet=False) as bars:
        bars("align", 0.3)
        time.sleep(0.15)
    assert capsys.readouterr().err == ""

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    shown = ""
    with show.Bars(quiet=False) as bars:
        for _ in range(100):  # a machine with other work may take its time
            bars("align", 0.3)
            time.sleep(0.1)
            shown += capsys.readouterr().err
            if shown:
                break
    assert "align" in shown + capsys.readouterr().err

    with show.Bars(quiet=True) as bars:
        bars("align", 0.3)
        time.sleep(0.15)
    assert capsys.readouterr().err == ""

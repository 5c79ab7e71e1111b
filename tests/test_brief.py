"""What the command says of a run: four lines for a photographer, warnings, the rest on demand."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from ghostless import cli
from ghostless.cli.brief import in_brief
from ghostless.cli.remaining import OF_THE_LINE, Remaining
from ghostless.report import FrameReport, Report

from .files import contents, save_bracket


def frame(
    name: str, stops: float | None, share: float | None = 0.0, **facts: object
) -> FrameReport:
    plain = FrameReport(
        name, stops, "exif", False, "homography", [], 100, 90, 0.5, 1.0, 1.0, share, ["started ..."]
    )
    return replace(plain, **facts)  # type: ignore[arg-type]


def told(*frames: FrameReport, notes: tuple[str, ...] = (), **settings: object) -> list[str]:
    report = Report("o.jpg", "mertens", "display", 90, 60, frames, (), dict(settings), {}, notes)
    return in_brief(report).splitlines()


THREE = (
    frame("IMG_1.jpg", -2),
    frame("IMG_2.jpg", 0, reference=True),
    frame("IMG_3.jpg", 2, 0.123),
)


def test_four_lines_say_what_is_known() -> None:
    assert told(*THREE) == [
        "3 photos, 2 stops apart",
        "aligned to the reference IMG_2.jpg",
        "what moved was taken from IMG_2.jpg (up to 12 % of a photo)",
        "o.jpg: 90 x 60, 0.0 s",
    ]


def test_what_is_not_known_is_not_said() -> None:
    unlooked = tuple(replace(f, deghosted_share=None, model="identity") for f in THREE)
    lines = told(*unlooked)
    assert len(lines) == 3
    assert lines[1] == "laid on each other as they are; the reference is IMG_2.jpg"
    still = tuple(replace(f, deghosted_share=0.0) for f in THREE)
    assert told(*still)[2] == "nothing moved"
    assert told(*(replace(f, stops=None) for f in THREE))[0] == "3 photos"
    guessed = tuple(replace(f, stops_source="pixels") for f in THREE)
    assert told(*guessed)[0].endswith("apart (estimated from the photos themselves)")
    uneven = (THREE[0], THREE[1], replace(THREE[2], stops=3.5))
    assert told(*uneven)[0] == "3 photos, 5.5 stops from darkest to brightest"
    one = replace(THREE[0], model="identity")
    assert told(one, *THREE[1:])[1] == "IMG_3.jpg aligned to the reference IMG_2.jpg, others as is"
    assert "by hand: 2:hat.png" in told(*THREE, keep=["2:hat.png"])


def test_warnings_stay_and_details_go() -> None:
    warnings = (
        "c.jpg shows something else than the reference: 90 % of it was replaced, so ...",
        "EXIF contradicts the pixels and was overruled for a.jpg: ...",
        "a.jpg: its ICC profile is damaged or of another kind and was ignored",
    )
    details = (
        "tone-mapped by reinhard (global)",
        "hdr-gan did not need: a.jpg",
        "a.jpg: the same shot as a.dng, which counts",
        "cropped to 80 x 50 pixels at (1, 2)",
        "a.jpg: its colours were converted to sRGB",
    )
    lines = told(*THREE, notes=(*details, *warnings))
    assert lines[4:] == [f"note: {warning}" for warning in warnings]


def test_verbose_tells_the_rest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(file) for file in save_bracket(tmp_path)]
    out = str(tmp_path / "out.jpg")
    assert cli.run(["fuse", *files, "-o", out]) == 0
    brief = capsys.readouterr().out
    assert len(brief.splitlines()) == 4
    assert "peak" not in brief
    assert cli.run(["fuse", *files, "-o", out, "--overwrite", "-v"]) == 0
    whole = capsys.readouterr().out
    assert "GB peak" in whole
    assert re.search(r"residual|matches|stops \(exif\)", whole)
    for other in ("--quiet", "--json"):
        assert cli.run(["fuse", *files, "-o", str(tmp_path / "b.jpg"), "-v", other]) == 2
        assert f"found {other}" in capsys.readouterr().err


def test_without_a_name_the_result_lies_beside_the_first_photo(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = save_bracket(tmp_path / "in")
    before = contents(tmp_path / "in")
    monkeypatch.chdir(tmp_path)
    stem = files[0].stem
    words = ["fuse", *map(str, files)]
    for name in (f"{stem}_fused.jpg", f"{stem}_fused_2.jpg"):
        assert cli.run([*words, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["output"] == str(tmp_path / "in" / name)
        with Image.open(tmp_path / "in" / name) as image:
            assert image.size == (64, 48)
    # Of a folder: what was made before is no photo.
    assert cli.run(["fuse", "in", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["output"], len(facts["frames"])) == (f"in/{stem}_fused_3.jpg", 3)
    after = contents(tmp_path / "in")
    assert {name: after[name] for name in before} == before


def test_the_folders_of_result_and_report_are_made(tmp_path: Path) -> None:
    files = [str(file) for file in save_bracket(tmp_path / "in")]
    out, report = tmp_path / "a" / "b" / "out.jpg", tmp_path / "c" / "report.json"
    assert cli.run(["fuse", *files, "-o", str(out), "--report", str(report), "-q"]) == 0
    assert out.is_file()
    assert report.is_file()
    # One that cannot be made is told before any work, and nothing is left of the try.
    assert cli.run(["fuse", *files, "-o", str(out / "x" / "y.jpg"), "-q"]) == 2
    assert cli.run(["fuse", *files[:1], "-o", str(tmp_path / "d" / "y.jpg"), "-q"]) == 2
    assert not (tmp_path / "d").exists()


def test_stages_can_be_saved_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(file) for file in save_bracket(tmp_path / "in")]
    words = ["fuse", *files, "-o", str(tmp_path / "o.jpg"), "--save-stages", str(tmp_path / "s")]
    assert cli.run([*words, "-q"]) == 0
    first = {file: file.stat().st_mtime_ns for file in (tmp_path / "s").rglob("*.*")}
    assert cli.run([*words, "-q"]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert cli.run([*words, "-q", "--overwrite"]) == 0
    again = {file: file.stat().st_mtime_ns for file in (tmp_path / "s").rglob("*.*")}
    assert set(again) == set(first)
    assert all(again[file] > first[file] for file in first)


def test_the_remaining_time_follows_the_stages() -> None:
    now = [0.0]
    rest = Remaining(OF_THE_LINE, lambda: now[0])
    assert rest.in_words() == ""
    whole, at = 40.0, 0.0
    for stage, share in OF_THE_LINE.items():
        for fraction in (0.0, 0.5, 1.0):
            now[0] = whole * (at + share * fraction)
            rest.at(stage, fraction)
            left = rest.seconds()
            if now[0] > 2:
                assert left == pytest.approx(whole - now[0], abs=1e-6)
        rest.at("save", 0.5)  # of no share: changes nothing
        at += share
    short = Remaining(OF_THE_LINE, lambda: now[0])
    now[0] += 2
    short.at("deghost", 0.5)
    assert short.seconds() is None  # all of it takes less than five seconds
    alone = Remaining(None, lambda: now[0])
    alone.at("compare", 0.0)
    now[0] += 10
    alone.at("compare", 0.25)
    assert alone.in_words() == "about 30 s left"

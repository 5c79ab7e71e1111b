"""The contact sheet: every set with its photos, doubts first, and a command that works."""

from __future__ import annotations

import base64
import html
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ghostless import cli
from ghostless.batch.doubts import Doubt, doubts_of
from ghostless.batch.journal import record_of
from ghostless.batch.sheet import SHEET_NAME
from ghostless.batch.thumbnails import Thumbnails, thumbnail
from ghostless.cli.rerun import _absolute, command_again
from ghostless.options import FuseOptions
from ghostless.report import FrameReport, Report

from ..files import save_photo
from .folders import ShootFolder

FAST = ["--align", "none", "--deghost", "off"]


def page_of(out: Path) -> str:
    return (out / SHEET_NAME).read_text("utf-8")


def test_every_set_stands_on_the_sheet_and_its_command_fuses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shoot = ShootFolder(tmp_path / "a night <1>")
    files = [shoot.bracket() for _ in range(3)]
    files[1][2].write_bytes(files[1][2].read_bytes()[:1200])
    out = tmp_path / "out"
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    words = ["batch", str(shoot.folder), "-o", str(out), "-q", *FAST, "--jpeg-quality", "80"]
    assert cli.run(words) == 1
    page = page_of(out)
    assert "Contact sheet: a night &lt;1&gt;" in page
    assert "3 sets, 1 to look at first, 1 failed" in page
    names = re.findall(r"<h3>(.*?)</h3>", page)
    assert names[0] == "IMG_0004.jpg"  # what failed comes first
    assert set(names) == {"IMG_0001.jpg", "IMG_0004.jpg", "IMG_0007.jpg"}
    assert page.count("<figure>") == 9
    for source in re.findall(r"base64,([^\"]+)", page):
        with Image.open(BytesIO(base64.b64decode(source))) as image:
            assert image.size == (64, 48)
    for link in re.findall(r'<a href="(.*?)"', page):
        assert (out / link.replace("%20", " ").replace("%3C", "<").replace("%3E", ">")).exists()
    commands = [shlex.split(html.unescape(c)) for c in re.findall(r"<code>(.*?)</code>", page)]
    program, *again = next(c for c in commands if any("IMG_0001" in word for word in c))
    assert program == "ghostless"
    assert page.count("Copy the command that fuses it again") == 3
    before = (out / "IMG_0001.jpg").read_bytes()
    (out / "IMG_0001.jpg").unlink()
    monkeypatch.chdir(tmp_path)
    assert cli.run([*again, "-q"]) == 0
    assert (out / "IMG_0001.jpg").read_bytes() == before


@pytest.mark.parametrize(
    "name",
    ["IMG 1.jpg", "it's $HOME.jpg", 'say "no".jpg', "größer.jpg", os.fsdecode(b"a\\\xff'\n.jpg")],
)
def test_a_shell_takes_the_command_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Whatever photos are called, and wherever the command is given."""
    shell = shutil.which("bash")
    if shell is None:
        pytest.skip("needs bash")
    monkeypatch.chdir(tmp_path)
    for file in (name, "mine.toml", "nets.safetensors"):
        (tmp_path / file).touch()
    monkeypatch.setattr("shutil.which", lambda _: None)
    words = ["--preset", "mine.toml", "--set", "weights=nets.safetensors", "--deghost", "on"]
    options = FuseOptions()
    line = command_again(
        [tmp_path / name],
        tmp_path / "out" / name,
        [_absolute(word) for word in words],
        options,
        replace(options, reference=1, gains=(1.0, 0.5, 2.0)),
    )
    printed = subprocess.run(
        [shell, "-c", f"for word in {line}; do printf '%s\\0' \"$word\"; done"],
        capture_output=True,
        check=True,
        cwd="/",
    ).stdout.split(b"\0")[:-1]
    assert [os.fsdecode(word) for word in printed] == [
        *(sys.executable, "-m", "ghostless", "fuse", str(tmp_path / name)),
        *("-o", str(tmp_path / "out" / name), "--overwrite"),
        *("--preset", str(tmp_path / "mine.toml")),
        *("--set", f"weights={tmp_path / 'nets.safetensors'}", "--deghost", "on"),
        *("--reference", "1", "--set", "gains=1.0,0.5,2.0"),
    ]


def test_a_sheet_that_is_still_true_stays_and_another_file_is_never_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shoot = ShootFolder(tmp_path / "shoot")
    shoot.bracket()
    out = tmp_path / "out"
    words = ["batch", str(shoot.folder), "-o", str(out), *FAST]
    assert cli.run(words) == 0
    assert f"contact sheet: {out / SHEET_NAME}" in capsys.readouterr().out
    first = (out / SHEET_NAME).stat().st_mtime_ns
    assert cli.run([*words, "-q"]) == 0
    assert (out / SHEET_NAME).stat().st_mtime_ns == first
    shoot.bracket()
    assert cli.run([*words, "-q"]) == 0
    assert page_of(out).count("<article>") == 2
    (out / SHEET_NAME).write_text("my own list")
    capsys.readouterr()
    assert cli.run(words) == 0
    assert "found another; give it another name" in capsys.readouterr().out
    assert page_of(out) == "my own list"


def frame(name: str, *, reference: bool = False, **facts: object) -> FrameReport:
    plain = FrameReport(
        file=name,
        stops=0.0,
        stops_source="exif",
        reference=reference,
        model="homography",
        matrix=np.eye(3).tolist(),
        matches=100,
        inliers=90,
        residual_pixels=0.5,
        improvement=1.0,
        valid_share=1.0,
        deghosted_share=0.01,
        notes=[],
    )
    return replace(plain, **facts)  # type: ignore[arg-type]


def report(*frames: FrameReport, notes: tuple[str, ...] = ()) -> Report:
    return Report("o.jpg", "mertens", "display", 1500, 1000, frames, (), notes=notes)


def test_doubts_name_what_is_to_be_looked_at_the_gravest_first() -> None:
    good = frame("b.jpg", reference=True)
    assert doubts_of(report(frame("a.jpg"), good)) == ()
    assert doubts_of(report(good, frame("c.jpg", deghosted_share=0.7))) == (
        Doubt(3, "c.jpg was replaced nearly whole (70 %)"),
    )
    unsure = ["no motion fits clearly better than none; left as it is"]
    assert doubts_of(report(good, frame("c.jpg", notes=unsure, residual_pixels=0.9))) == ()
    left_there = frame("c.jpg", notes=unsure, residual_pixels=2.5)  # of 1500: noise gives that much
    assert doubts_of(report(good, left_there)) == ()
    for wrong in ({"residual_pixels": 4.0}, {"residual_pixels": None}, {"inliers": 14}):
        (left,) = doubts_of(report(good, replace(left_there, **wrong)))
        assert "could not be laid" in left.text
    (far,) = doubts_of(report(good, frame("c.jpg", residual_pixels=5.8)))
    assert far == Doubt(1, "c.jpg lies on the others only to 5.8 pixels")
    stranger = "c.jpg shows something else than the reference: 90 % of it was replaced, so ..."
    found = doubts_of(
        report(
            good,
            frame("c.jpg", deghosted_share=0.9),
            frame("d.jpg", deghosted_share=0.3),
            notes=(stranger, "EXIF contradicts the pixels and was overruled for a.jpg: ..."),
        )
    )
    assert [doubt.weight for doubt in found] == [3, 2, 2]
    assert found[0].text == "c.jpg shows another scene; it adds nothing"


def test_what_the_line_says_of_wrong_exposures_becomes_a_doubt(tmp_path: Path) -> None:
    shoot = ShootFolder(tmp_path / "shoot", height=120, width=160)
    files = shoot.bracket()
    pixels = np.asarray(Image.open(files[2]))
    save_photo(files[2], pixels, stops=-8.0)  # what Exif says is wrong
    out = tmp_path / "told.jpg"
    import ghostless

    found = doubts_of(ghostless.fuse_files(files, out))
    assert any(doubt.text.startswith("exposures: EXIF contradicts") for doubt in found), found


def test_records_of_other_forms_tell_nothing_of_photos_and_doubts() -> None:
    line = b'{"event":"done","output":"a.jpg","key":"k","stamp":null,"photos":%s,"doubts":%s}'
    record = record_of(line % (b'[["a",-1.5,true],["b",null,false]]', b'[[3,"x"]]'))
    assert record is not None
    assert record.doubts == (Doubt(3, "x"),)
    assert [photo.stops for photo in record.photos] == [-1.5, None]
    for wrong in (b"5", b'[["a"]]', b'[["a",true,true]]', b'[["a",1e999,false]]', b'["abc"]'):
        record = record_of(line % (wrong, wrong))
        assert record is not None
        assert (record.photos, record.doubts) == ((), ())


def test_thumbnails_are_upright_and_made_once(tmp_path: Path) -> None:
    wide = np.zeros((400, 600, 3), np.uint8)
    wide[:, :300, 0] = 255
    for name in ("a.jpg", "b.png", "c.tif"):
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.fromarray(wide).save(tmp_path / name, exif=exif)
        with Image.open(BytesIO(thumbnail(tmp_path / name, 90))) as image:
            assert image.size == (60, 90), name
            assert np.asarray(image)[10, 30, 0] > 200
    made = Thumbnails()
    (tmp_path / "d.jpg").write_bytes(b"no picture")
    sides = {tmp_path / name: 90 for name in ("a.jpg", "d.jpg")}
    first = made.of(sides)
    assert set(first) == {tmp_path / "a.jpg"}
    assert made.of(sides)[tmp_path / "a.jpg"] is first[tmp_path / "a.jpg"]

"""The scripts for darktable and Lightroom run against strict stubs, with the real command."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import ghostless
from ghostless.presets import list_presets

from ..files import contents, save_bracket

ROOT = Path(__file__).resolve().parents[2]
STUBS = Path(__file__).parent
DARKTABLE = ROOT / "integrations" / "darktable" / "ghostless.lua"
LIGHTROOM = ROOT / "integrations" / "lightroom" / "ghostless.lrplugin"
SRC = Path(ghostless.__file__).parents[1]


@pytest.fixture(scope="module")
def lua() -> str:
    for name in ("lua5.4", "lua", "lua5.3"):
        if (found := shutil.which(name)) is not None:
            return found
    pytest.skip("no Lua interpreter is installed (Debian: apt-get install lua5.4)")


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """The command `ghostless` of this checkout, at a place with an apostrophe and a blank."""
    path = tmp_path / "it's here" / "ghostless"
    path.parent.mkdir()
    words = shlex.join([sys.executable, "-m", "ghostless"])
    path.write_text(f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(SRC))} exec {words} "$@"\n')
    path.chmod(0o755)
    return path


def run(lua: str, *words: str | Path, scratch: Path) -> list[str]:
    done = subprocess.run(
        [lua, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "TMPDIR": str(scratch)},
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout.splitlines()


def bracket(tmp_path: Path) -> list[Path]:
    return save_bracket(tmp_path / "a room's photos", suffix=".jpg")


def test_darktable_fuses_the_selection_and_brings_it_back(
    lua: str, program: Path, tmp_path: Path
) -> None:
    files = bracket(tmp_path)
    folder, before = files[0].parent, contents(files[0].parent)
    settings = [f"command={program}", "format=tif", "options=--preset tripod"]
    # One photo twice, as darktable's duplicates are; first by the button, then by the shortcut.
    chosen = [file.name for file in (*reversed(files), files[1])]
    printed = run(
        lua,
        STUBS / "darktable_stub.lua",
        DARKTABLE,
        folder,
        *settings,
        "--",
        *chosen,
        scratch=tmp_path,
    )
    stem = files[0].stem
    for name in (f"{stem}_fused.tif", f"{stem}_fused_2.tif"):
        assert f"imported {folder / name}" in printed
        assert f"grouped {name} with {files[-1].name}" in printed
        with Image.open(folder / name) as image:
            assert image.size == (64, 48)
    assert sum(line.startswith("ran ") for line in printed) == 2
    after = contents(folder)
    assert {name: after[name] for name in before} == before


@pytest.mark.parametrize(
    ("options", "count", "said"),
    [
        ("--preset tripdo", 3, "did you mean"),
        ("", 1, "select the two or more photos"),
    ],
)
def test_darktable_says_what_is_wrong(
    options: str, count: int, said: str, lua: str, program: Path, tmp_path: Path
) -> None:
    files = bracket(tmp_path)
    words = [STUBS / "darktable_stub.lua", DARKTABLE, files[0].parent, f"command={program}"]
    chosen = [file.name for file in files[:count]]
    printed = run(lua, *words, f"options={options}", "--", *chosen, scratch=tmp_path)
    assert any(line.startswith("said") and said in line for line in printed), printed
    assert len(contents(files[0].parent)) == 3


@pytest.mark.parametrize("way", ["menu", "export"])
def test_lightroom_fuses_the_photos_and_stacks_the_picture(
    way: str, lua: str, program: Path, tmp_path: Path
) -> None:
    files = bracket(tmp_path)
    words = [STUBS / "lightroom_stub.lua", LIGHTROOM, way, program, "jpg", "--deghost off", "--"]
    for name in (f"{files[0].stem}_fused.jpg", f"{files[0].stem}_fused_2.jpg"):
        printed = run(lua, *words, *files, scratch=tmp_path)
        out = files[0].with_name(name)
        assert f"added {out} below {files[0]}" in printed, printed
        with Image.open(out) as image:
            assert image.size == (64, 48)
    assert not list(tmp_path.glob("ghostless.txt*"))


@pytest.mark.parametrize("way", ["menu", "export"])
def test_lightroom_says_what_is_wrong(way: str, lua: str, program: Path, tmp_path: Path) -> None:
    files = bracket(tmp_path)
    stub = [STUBS / "lightroom_stub.lua", LIGHTROOM, way]
    for command, count, said in (
        (program, 1, "Select the two or more photos"),
        (tmp_path / "nowhere", 3, "nowhere"),
    ):
        printed = run(lua, *stub, command, "jpg", "", "--", *files[:count], scratch=tmp_path)
        assert any(line.startswith("said") and said in line for line in printed), printed
    assert len(contents(files[0].parent)) == 3


def test_the_pages_name_what_is_there() -> None:
    presets = {preset.name for preset in list_presets()}
    for page, files in (
        (DARKTABLE.parent / "README.md", ["ghostless.lua"]),
        (LIGHTROOM.parent / "README.md", ["ghostless.lrplugin"]),
    ):
        text = page.read_text(encoding="utf-8")
        for name in files:
            assert name in text
        assert set(re.findall(r"--preset (\w+)", text)) <= presets

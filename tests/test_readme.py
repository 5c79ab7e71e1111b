"""What the README and the quickstart tell a reader to type runs as it stands there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from ghostless import cli

from . import scenes
from .files import STOPS, save_photo

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "docs/quickstart.md", "docs/hdr-files.md", "docs/command.md")


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the pages speak of, as the working folder."""
    radiance = scenes.make_radiance(60, 90, seed=8)
    for number, stops in enumerate(STOPS):
        pixels = scenes.expose(radiance, stops)
        for name in (f"IMG_{number + 1}.jpg", f"photos/IMG_{number + 1}.jpg"):
            save_photo(tmp_path / name, pixels, stops=stops)  # type: ignore[arg-type]
        save_photo(tmp_path / f"{'abc'[number]}.png", pixels)  # type: ignore[arg-type]
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", PAGES)
def test_commands_run(page: str, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line for block in blocks(page, "sh") for line in block.splitlines() if line]
    assert len(lines) >= 4
    for line in lines:
        program, *words = shlex.split(line, comments=True)
        assert program == "ghostless"
        assert cli.run(words) == 0, (line, capsys.readouterr().err)
        for option in ("-o", "--report", "--save-stages"):
            if option in words:
                assert (photos / words[words.index(option) + 1]).exists()


def test_python_runs(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    snippets = blocks("README.md", "python")
    assert len(snippets) >= 2
    for snippet in snippets:
        exec(compile(snippet, "README.md", "exec"), {})
    assert (photos / "from_python.jpg").exists()
    assert (photos / "by_hand.png").exists()
    assert "reference" in capsys.readouterr().out


def test_every_option_of_the_table_exists(capsys: pytest.CaptureFixture[str]) -> None:
    table = (ROOT / "README.md").read_text(encoding="utf-8").split("### Options in short")[1]
    options = set(re.findall(r"`(--[a-z-]+)", table.split("## From Python")[0]))
    assert len(options) > 10
    assert cli.run(["fuse", "--help"]) == 0
    printed = capsys.readouterr().out
    assert {option for option in options if option not in printed} == set()


def test_links_and_pictures_are_there() -> None:
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (ROOT / page).parent.joinpath(target).exists(), target

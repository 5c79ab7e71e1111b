"""What all commands share: --json, exit statuses, completion, and a page that names them all."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ghostless
from ghostless import cli
from ghostless.cli import commands
from ghostless.cli.lazy import command_of
from ghostless.methods import METHODS
from ghostless.presets import preset_names

from .files import contents, save_bracket

SRC = Path(ghostless.__file__).parents[1]
PAGE = SRC.parent / "docs" / "command.md"


def all_commands(group: Any = None, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every command that does something, by its words."""
    for name, found in (group or command_of(commands.app)).commands.items():
        if hasattr(found, "commands"):
            yield from all_commands(found, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", found


COMMANDS = dict(all_commands())


def ask(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ghostless", *words],
        env={**os.environ, "PYTHONPATH": str(SRC), "HOME": str(folder), **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_every_command_has_json_but_the_server() -> None:
    without = {
        name
        for name, command in COMMANDS.items()
        if not any("--json" in parameter.opts for parameter in command.params)
    }
    assert without == {"serve"}


def test_the_page_names_every_command_and_no_other() -> None:
    rows = re.findall(r"^\| `ghostless ([a-z -]+?)`", PAGE.read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(COMMANDS)


def test_whoever_fuses_takes_a_preset() -> None:
    takers = {
        name
        for name, command in COMMANDS.items()
        if any("--preset" in parameter.opts and parameter.is_eager for parameter in command.params)
    }
    assert takers == {"fuse", "align", "deghost", "batch"}


def test_exit_statuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [str(file) for file in save_bracket(tmp_path)]
    assert cli.run(["info", *files]) == 0
    for wrong in (
        ["align", *files],
        ["fuse", *files, "--keep", "0:none.png"],
        ["info", *files, "--nonsense"],
        ["info", "missing.jpg", "also.jpg"],
        ["nonsense"],
        ["export", "mertens", "-o", "a.onnx"],
    ):
        assert cli.run(wrong) == 2, wrong
    before = contents(tmp_path)

    def fail(error: type[BaseException]) -> None:
        def stand_in(*words: object) -> None:
            raise error

        monkeypatch.setattr("ghostless.pipeline.prepare_files", stand_in)

    fail(ZeroDivisionError)
    assert cli.run(["info", *files]) == 1
    assert "GHOSTLESS_TRACEBACK" in capsys.readouterr().err
    fail(KeyboardInterrupt)
    assert cli.run(["info", *files]) == 130
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("ghostless fuse --method mef-g", {"mef-gan"}),
        ("ghostless fuse --preset ", set(preset_names())),
        ("ghostless batch --method ", {"auto", *METHODS}),
        ("ghostless align --align ho", {"homography"}),
        ("ghostless export homo", {"homography"}),
        ("ghostless pre", {"presets"}),
    ],
)
def test_the_shell_completes_names(words: str, wanted: set[str], tmp_path: Path) -> None:
    count = str(len(words.split()) - (not words.endswith(" ")))
    done = ask(tmp_path, _GHOSTLESS_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=count)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == wanted


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_complete_too(shell: str, tmp_path: Path) -> None:
    how = {"_TYPER_COMPLETE_ARGS": "ghostless fuse --method mef"}
    if shell == "fish":
        how["_TYPER_COMPLETE_FISH_ACTION"] = "get-args"
    done = ask(tmp_path, _GHOSTLESS_COMPLETE=f"complete_{shell}", **how)
    assert "mef-gan" in done.stdout
    assert "mertens" not in done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_installs_itself_for_a_shell(shell: str, tmp_path: Path) -> None:
    # Told, not guessed from the process that started this one, which may be none.
    told = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    assert "_GHOSTLESS_COMPLETE" in ask(tmp_path, "--show-completion", shell, **told).stdout
    done = ask(tmp_path, "--install-completion", shell, **told)
    assert done.returncode == 0, done.stderr
    written = "".join(str(text) for text in contents(tmp_path).values())
    assert "_GHOSTLESS_COMPLETE" in written

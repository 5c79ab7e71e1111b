"""What docs/batch.md tells a reader to type runs as it stands there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from ghostless import cli
from ghostless.batch.plan import COLUMNS

from .folders import ShootFolder

PAGE = Path(__file__).resolve().parents[2] / "docs" / "batch.md"


def test_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ShootFolder(tmp_path / "SHOOT").bracket()
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line]
    assert len(lines) == 3
    for line in lines:
        program, *words = shlex.split(line)
        assert program == "ghostless"
        assert cli.run([*words, "--quiet"]) == 0
    assert (tmp_path / "FINISHED" / "IMG_0001.jpg").is_file()
    assert (tmp_path / "groups.csv").is_file()


def test_the_page_knows_every_option_and_column() -> None:
    from ghostless.cli.commands import app
    from ghostless.cli.lazy import command_of

    page = PAGE.read_text()
    command = command_of(app).commands["batch"]
    names = {max(p.opts, key=len) for p in command.params if p.opts[0].startswith("--")}
    untold = {"--out", "--help", "--quiet", "--max-pixels"}
    assert {name for name in names if name not in page} <= untold
    assert all(f"`{column}`" in page for column in COLUMNS)

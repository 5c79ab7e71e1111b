"""The same plan on a Ray cluster: two workers here, one of which is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import ghostless
from ghostless import cli

from .folders import ShootFolder

SRC = Path(ghostless.__file__).parents[1]


def words_of(process: Path) -> str:
    try:
        return (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def busy_workers(since: int) -> list[int]:
    """Ray's processes that fuse right now, of those younger than a process."""
    return [
        int(process.name)
        for process in Path("/proc").glob("[0-9]*")
        if "_fuse_elsewhere" in words_of(process) and int(process.name) > since
    ]


@pytest.mark.slow
def test_two_workers_of_which_one_is_killed_fuse_everything(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    shoot = ShootFolder(tmp_path / "shoot", height=400, width=600)
    for _ in range(6):
        shoot.bracket()
    out = tmp_path / "out"
    words = ["batch", str(shoot.folder), "-o", str(out), "--cluster", "local", "--jobs", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "ghostless", *words, "--json"],
        env={**os.environ, "PYTHONPATH": str(SRC)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    seen: set[int] = set()
    try:
        end = time.monotonic() + 300
        while len(seen) < 2 and process.poll() is None and time.monotonic() < end:
            seen |= set(busy_workers(process.pid))
            time.sleep(0.02)
        assert seen, "no worker of Ray ever began"
        os.kill(max(busy_workers(process.pid) or seen), signal.SIGKILL)
        printed, errors = process.communicate(timeout=300)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    assert process.returncode == 0, errors
    facts = json.loads(printed)
    assert facts["counts"]["done"] == 6
    assert len(list(out.glob("*.jpg"))) == 6
    assert len(seen) >= 2, "one worker did it all"
    # What it did, it did as processes of this machine would: they find nothing left to do.
    assert cli.run(["batch", str(shoot.folder), "-o", str(out), "-q"]) == 0


@pytest.mark.slow
def test_a_cluster_that_does_not_answer_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ray")
    shoot = ShootFolder(tmp_path / "shoot")
    shoot.bracket()
    done = subprocess.run(
        [sys.executable, "-m", "ghostless", "batch", str(shoot.folder), "-o", str(tmp_path / "o"),
         "--cluster", "auto"],
        env={**os.environ, "PYTHONPATH": str(SRC)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "--cluster local" in done.stderr


def test_without_ray_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import importlib.util

    shoot = ShootFolder(tmp_path / "shoot")
    shoot.bracket()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    words = ["batch", str(shoot.folder), "-o", str(tmp_path / "o"), "--cluster", "local"]
    assert cli.run(words) == 2
    errors = capsys.readouterr().err
    assert "pip install 'ghostless[distributed]'" in errors
    assert errors.count("\n") == 1

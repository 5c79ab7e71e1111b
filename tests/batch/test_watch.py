"""A watched folder: sets are fused when they are complete, and nothing is lost at the end."""

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
from ghostless.batch.photos import Folder, Known, Look, scan_folder
from ghostless.batch.plan import Plan, Planned, make_plan
from ghostless.batch.segments import GroupSettings
from ghostless.batch.sheet import SHEET_NAME
from ghostless.batch.watch import WatchSettings, complete_sets

from .folders import ShootFolder

SRC = Path(ghostless.__file__).parents[1]


class Clock:
    """Time that passes only when somebody sleeps; at its times, something happens."""

    def __init__(self, events: dict[float, object]) -> None:
        self.now = 0.0
        self.events = events

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        for when in [when for when in self.events if when <= self.now]:
            self.events.pop(when)()  # type: ignore[operator]
        if self.now > 200:
            raise KeyboardInterrupt


def rounds(root: Path, clock: Clock, count: int) -> list[tuple[float, list[int]]]:
    """When sets were complete, and how many photos each had; names tell who belongs together."""

    def plan(folder: Folder) -> Plan:
        groups: dict[str, list[str]] = {}
        for name in sorted(path.name for path in root.iterdir()):
            groups.setdefault(name[0], []).append(name)
        sets = [files for files in groups.values() if len(files) > 1]
        return Plan(tuple(Planned(n, tuple(f), f[0]) for n, f in enumerate(sets, 1)))

    found = []
    sets = complete_sets(
        root,
        lambda: Folder(root),
        plan,
        WatchSettings(quiet_seconds=4, patience_seconds=30),
        clock=clock,
        sleep=clock.sleep,
    )
    for _ in range(count):
        _, complete = next(sets)
        found.append((clock.now, [len(bracket.files) for bracket in complete.brackets]))
    return found


def test_a_set_is_complete_when_nothing_comes_and_it_is_as_large_as_the_others(
    tmp_path: Path,
) -> None:
    def put(*names: str) -> object:
        return lambda: [(tmp_path / name).write_text(name) for name in names]

    for name in ("a1", "a2", "a3"):
        (tmp_path / name).write_text(name)
    clock = Clock(
        {
            10: put("b1"),
            12: put("b2"),  # two of three: it waits for the rest
            20: put("b3"),
            40: put("c1", "c2"),  # and nothing more comes
        }
    )
    assert rounds(tmp_path, clock, 5) == [
        (0, [3]),  # what is there already is complete
        (16, [3]),
        (24, [3, 3]),
        (44, [3, 3]),
        (70, [3, 3, 2]),
    ]


def test_a_file_that_grows_is_not_complete(tmp_path: Path) -> None:
    clock = Clock({})
    for when in range(1, 9):
        clock.events[float(when)] = lambda n=when: [
            (tmp_path / name).write_text("x" * n) for name in ("a1", "a2")
        ]
    assert rounds(tmp_path, clock, 2) == [(0, []), (12, [2])]


def test_photos_are_looked_at_once_while_they_do_not_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shoot = ShootFolder(tmp_path / "shoot")
    shoot.bracket()
    known: dict[Known, Look] = {}
    first = scan_folder(shoot.folder, known=known)
    assert len(known) == 3

    def no_jobs(work: object, jobs: list[object], *rest: object, **more: object) -> object:
        assert jobs == []
        return iter(())

    monkeypatch.setattr("ghostless.batch.photos.do_apart", no_jobs)
    assert scan_folder(shoot.folder, known=known) == first
    monkeypatch.undo()
    shoot.bracket()
    assert len(scan_folder(shoot.folder, known=known).photos) == 6
    assert make_plan(first, GroupSettings(), ".jpg").brackets[0].files == tuple(first.photos)


def test_a_watched_folder_is_fused_as_it_fills_and_ends_cleanly(tmp_path: Path) -> None:
    shoot = ShootFolder(tmp_path / "shoot")
    shoot.bracket()
    out = tmp_path / "out"
    words = ["batch", str(shoot.folder), "-o", str(out), "--watch", "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "ghostless", *words, "--align", "none", "--deghost", "off"],
        env={**os.environ, "PYTHONPATH": str(SRC)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell starts what runs in its background with the interrupt ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        wait_for(out / "IMG_0001.jpg", process)
        second = shoot.bracket()
        wait_for(out / "IMG_0004.jpg", process)
        end = time.monotonic() + 60
        while (out / SHEET_NAME).read_text().count("<article>") < 2 and time.monotonic() < end:
            time.sleep(0.1)
    finally:
        process.send_signal(signal.SIGINT)
        printed, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    facts = json.loads(printed)
    assert facts["counts"]["done"] == 2
    assert facts["brackets"][1]["files"] == [path.name for path in second]
    assert not list(out.glob(".ghostless-*"))
    again = ["batch", str(shoot.folder), "-o", str(out), "--align", "none", "--deghost", "off"]
    stamps = {path: path.stat().st_mtime_ns for path in out.glob("*.jpg")}
    assert cli.run([*again, "-q"]) == 0
    assert stamps == {path: path.stat().st_mtime_ns for path in out.glob("*.jpg")}


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 100
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, f"no {path.name}"
        time.sleep(0.1)


@pytest.mark.parametrize("option", [["--consistent"], ["--plan", "p.csv"], ["--cluster", "local"]])
def test_what_needs_all_photos_is_refused(
    option: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["batch", str(tmp_path), "-o", str(tmp_path / "out"), "--watch", *option]
    assert cli.run(words) == 2
    line = capsys.readouterr().err
    assert option[0] in line
    assert "--watch" in line
    assert line.count("\n") == 1

"""The fuzzer: it sees what it is there to see; and a short run of it finds nothing."""

from __future__ import annotations

import random
import re
import sys
from pathlib import Path

import pytest

from .__main__ import cases, main
from .damage import damaged
from .worker import attempt

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

PLANTED = """
import os, random, sys, time
from tests.fuzz import targets, worker

def planted(path, dice):
    number = int(path.read_text())
    if number == 1: os.abort()
    if number == 2: time.sleep(60)
    if number == 3: raise KeyError("a key")
    if number == 4: bytearray(b"1") * (worker.MEMORY_BYTES + 200_000_000)
    if number == 5: (path.parents[1] / "tmp" / "left").write_text("")
    if number == 6: raise targets.Wrong("upside down")
    if number == 7: raise worker.GhostlessError("one line")

worker.target_of = lambda name: planted
worker.prepare = lambda number, whole: ("a.txt", str(number).encode(), random.Random())
worker.main()
"""


@pytest.mark.slow
def test_every_kind_of_find_is_seen_and_the_rest_still_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "planted_faults.py").write_text(PLANTED)
    monkeypatch.setattr("tests.fuzz.__main__._FIRST_SECONDS", 90.0)
    monkeypatch.setattr("tests.fuzz.__main__._CHUNK", 3)
    monkeypatch.setattr("tests.fuzz.__main__.MORE_PATHS", [str(tmp_path)])
    tried = cases(0, 9, 2, tmp_path, tmp_path, seconds=15, module="planted_faults")
    found = {number: (outcome, line) for number, outcome, line in tried}
    assert sorted(found) == list(range(9))
    assert found[0] == found[8] == ("fine", "")
    assert found[7] == ("refused", "one line")
    expected = ("", "SIGABRT", "more than 15 s", "KeyError", "took .* MB", "left left", "upside")
    for number in range(1, 7):
        outcome, line = found[number]
        assert outcome == "find"
        assert re.search(expected[number], line), line


def test_damage_changes_files_and_needs_nothing_of_their_structure() -> None:
    dice = random.Random(0)
    for name in ("a.jpg", "a.png", "a.avif", "a.dng", "a.jsonl", "a.toml", "a.safetensors"):
        data = b'{"some": "bytes"}\n' * 20
        assert len({damaged(name, data, dice) for _ in range(50)}) > 20, name
        for _ in range(200):  # damage upon damage
            data = damaged(name, data, dice)[:10_000]


def test_a_whole_file_is_taken_and_a_damaged_one_refused(tmp_path: Path) -> None:
    stops = b"-2\n0\n2\n"
    assert attempt("stops.txt", stops, random.Random(0), tmp_path) == ("fine", "")
    assert attempt("stops.txt", b"?", random.Random(0), tmp_path)[0] == "refused"


@pytest.mark.slow
def test_a_short_run_finds_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--rounds", "1000", "--from", "0", "--folder", str(tmp_path)]) == 0, (
        capfd.readouterr().out
    )
    assert "0 finds" in capfd.readouterr().out


@pytest.mark.slow
def test_a_run_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    for rounds in (3, 2):
        main(["--rounds", str(rounds), "--workers", "1", "--folder", str(tmp_path)])
    assert (tmp_path / "next").read_text() == "5"

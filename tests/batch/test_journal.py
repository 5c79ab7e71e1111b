"""The journal of a batch: damaged records, and what of a folder it can prove to be ours."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghostless import cli
from ghostless.batch.journal import (
    JOURNAL_NAME,
    BatchJournal,
    Known,
    announce,
    record_of,
    stamp_of,
)
from ghostless.batch.run import RunSettings, run_plan
from ghostless.batch.workers import Task, fuse_task
from ghostless.errors import OutputError
from ghostless.pipeline import FuseOptions

from ..files import save_bracket
from .folders import ShootFolder

FAST = ["--align", "none", "--deghost", "off"]
EVENTS: list[dict[str, object]] = [
    {"event": "begin", "output": "a.jpg"},
    {"event": "written", "output": "a.jpg", "key": "0" * 32, "stamp": [1234, 1_700_000_000]},
    {"event": "done", "output": "a.jpg", "key": "0" * 32, "stamp": [1234, 1_700_000_000],
     "seconds": 1.5, "peak_bytes": 10, "method": "mertens", "notes": ["a note"]},
    {"event": "failed", "output": "sub/b.jpg", "error": "damaged"},
]  # fmt: skip
GOOD = b"".join(json.dumps(event).encode() + b"\n" for event in EVENTS)


def known(data: bytes, folder: Path) -> Known:
    (folder / JOURNAL_NAME).write_bytes(data)
    return Known.read(folder / JOURNAL_NAME)


def test_flipped_bytes_cost_their_own_record_alone(tmp_path: Path) -> None:
    dice = random.Random(11)
    lines = GOOD.splitlines(keepends=True)
    for _ in range(4000):
        place = dice.randrange(len(lines))
        damaged = bytearray(lines[place])
        for _ in range(dice.choice([1, 1, 1, 4])):
            damaged[dice.randrange(len(damaged) - 1)] = dice.randrange(256)
        record_of(bytes(damaged))  # whatever it says, it raises nothing
    (tmp_path / "a.jpg").write_bytes(b"x")
    for _ in range(300):
        damaged = bytearray(GOOD)
        damaged[dice.randrange(len(damaged))] = dice.randrange(256)
        found = known(bytes(damaged), tmp_path)
        assert found.passed_over <= 2
        assert not found.may_replace("a.jpg")


@pytest.mark.parametrize(
    "line",
    [
        b"[" * 100_000,
        b'{"event":"done","output":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        b'{"event":"done","output":' + b"9" * 10_000 + b"}",
        b'{"event":"done","output":"a.jpg","key":1,"stamp":[1,2]}',
        b'{"event":"done","output":"a.jpg","key":"k","stamp":[1]}',
        b'{"event":"done","output":"a.jpg","key":"k","stamp":[1,1e400]}',
        b'{"event":"done","output":"a.jpg","key":"k","stamp":[true,2]}',
        b'{"event":"done","output":"a.jpg","key":"k","stamp":[1,%d]}' % 2**64,
        b'{"event":"done","output":"a.jpg","key":"k","stamp":[1,2],"seconds":Infinity}',
        b'{"event":"done","output":"a.jpg","key":"k","stamp":[1,2],"seconds":NaN}',
        b'{"event":"done","output":"a.jpg","key":"k","stamp":[1,2],"seconds":"1"}',
        b'{"event":"done","output":"a.jpg","key":"k","stamp":[1,2],"notes":"x"}',
        b'{"event":"done","output":"a.jpg","key":"k","stamp":[1,2],"notes":[1]}',
        b'{"event":"done","output":"../a.jpg","key":"k","stamp":[1,2]}',
        b'{"event":"done","output":"/a.jpg","key":"k","stamp":[1,2]}',
        b'{"event":"done","output":"","key":"k","stamp":[1,2]}',
        b'{"event":"done","output":"a\\u0000.jpg","key":5}',
        b'{"event":"done","output":"\\ud800.jpg","key":"k","stamp":[1,2]}',
        b'{"event":["done"],"output":"a.jpg"}',
        b'{"event":"begin"}',
        b"\xff\xfe{}",
        b"null",
        b"17",
        b'"text"',
    ],
)
def test_what_is_no_record_is_passed_over_and_counted(tmp_path: Path, line: bytes) -> None:
    assert record_of(line) is None
    found = known(GOOD + line + b"\n" + GOOD, tmp_path)
    assert found.passed_over == 1
    assert known(GOOD + b"\n" + GOOD[:-20], tmp_path).passed_over == 0  # cut off by a kill


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


@given(st.sampled_from(EVENTS), st.sampled_from(sorted(EVENTS[2])), json_values)
def test_no_value_of_any_type_raises(event: dict[str, object], name: str, value: object) -> None:
    record_of(json.dumps({**event, name: value}).encode())


def test_a_damaged_journal_is_told_and_stops_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shoot = ShootFolder(tmp_path / "shoot")
    for _ in range(2):
        shoot.bracket()
    out = tmp_path / "out"
    words = ["batch", str(shoot.folder), "-o", str(out), *FAST]
    assert cli.run([*words, "-q"]) == 0
    journal = out / JOURNAL_NAME
    lines = journal.read_bytes().splitlines(keepends=True)
    damaged = [b"\xff" + line if b"IMG_0001" in line else line for line in lines]
    journal.write_bytes(b"".join(damaged))
    before = (out / "IMG_0001.jpg").read_bytes()
    capsys.readouterr()
    # Its result is there, but nothing proves any more that it is ours: it stays.
    assert cli.run([*words, "--json"]) == 1
    facts = json.loads(capsys.readouterr().out)
    assert [bracket["state"] for bracket in facts["brackets"]] == ["failed", "kept"]
    assert facts["notes"] == [
        f"{JOURNAL_NAME}: 3 records of it are damaged and passed over; what only they knew is not "
        "taken for done"
    ]
    assert (out / "IMG_0001.jpg").read_bytes() == before


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs POSIX")
@pytest.mark.parametrize("kind", ["pipe", "folder", "circle", "device"])
def test_a_journal_that_is_no_file_is_one_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / JOURNAL_NAME
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(JOURNAL_NAME if kind == "circle" else "/dev/zero")
    with pytest.raises(OutputError, match=JOURNAL_NAME), BatchJournal(tmp_path):
        pass


def test_what_a_full_disk_cut_off_spoils_no_other_record(tmp_path: Path) -> None:
    (tmp_path / JOURNAL_NAME).write_bytes(GOOD + b'{"event": "do')
    (tmp_path / "c.jpg").write_bytes(b"12345")
    announce(tmp_path / JOURNAL_NAME, "c.jpg", "key", stamp_of(tmp_path / "c.jpg"))
    found = Known.read(tmp_path / JOURNAL_NAME)
    assert found.passed_over == 1
    assert found.may_replace("c.jpg")
    assert found.finished("c.jpg", "key")


# ---- what is ours ----


def begun(folder: Path) -> tuple[Task, Path]:
    """A task of a batch that was killed before its result got its name."""
    files = tuple(save_bracket(folder / "shoot"))
    out = folder / "out"
    with BatchJournal(out) as journal:
        journal.begin("a.jpg")
    task = Task(
        1, files, out / "a.jpg", FuseOptions(), journal=out / JOURNAL_NAME, output="a.jpg", key="k"
    )
    return task, out


def test_a_begun_result_s_place_is_the_user_s(tmp_path: Path) -> None:
    task, out = begun(tmp_path)
    (out / "a.jpg").write_bytes(b"put there by hand")
    with BatchJournal(out) as journal:
        assert not journal.may_replace("a.jpg")
        assert journal.finished("a.jpg", "k") is None
    outcome = fuse_task(task)
    assert "exists" in outcome.error
    assert (out / "a.jpg").read_bytes() == b"put there by hand"


def test_a_result_that_got_its_name_before_the_kill_is_kept_and_may_be_replaced(
    tmp_path: Path,
) -> None:
    task, out = begun(tmp_path)
    assert fuse_task(task).error == ""  # the batch was killed before it heard of that
    with BatchJournal(out) as journal:
        assert journal.finished("a.jpg", "k")
        assert journal.finished("a.jpg", "another") is None
        assert journal.may_replace("a.jpg")
    first = stamp_of(out / "a.jpg")
    assert fuse_task(task).error == ""
    assert stamp_of(out / "a.jpg") != first
    (out / "a.jpg").write_bytes(b"retouched by hand")
    with BatchJournal(out) as journal:
        assert journal.finished("a.jpg", "k") is None
        assert not journal.may_replace("a.jpg")
    assert "exists" in fuse_task(task).error
    assert (out / "a.jpg").read_bytes() == b"retouched by hand"


def test_a_file_that_comes_while_the_bracket_is_fused_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ghostless.batch import workers

    task, out = begun(tmp_path)
    assert fuse_task(task).error == ""
    fuse = workers.fuse_files

    def fuse_slowly(*words: object, **more: object) -> object:
        (out / "a.jpg").write_bytes(b"put there meanwhile")
        return fuse(*words, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(workers, "fuse_files", fuse_slowly)
    outcome = fuse_task(task)  # which began when the file there was ours
    assert "nothing was overwritten" in outcome.error
    assert (out / "a.jpg").read_bytes() == b"put there meanwhile"


def test_a_user_s_file_outlives_kill_and_resume(tmp_path: Path) -> None:
    shoot = ShootFolder(tmp_path / "shoot")
    for _ in range(2):
        shoot.bracket()
    out = tmp_path / "out"
    with BatchJournal(out) as journal:
        journal.begin("IMG_0001.jpg")
        announce(journal.path, "IMG_0001.jpg", "key", (77, 88))
    (out / "IMG_0001.jpg").write_bytes(b"a picture of my own")
    assert cli.run(["batch", str(shoot.folder), "-o", str(out), "-q", *FAST]) == 1
    assert (out / "IMG_0001.jpg").read_bytes() == b"a picture of my own"
    assert (out / "IMG_0004.jpg").read_bytes().startswith(b"\xff\xd8")
    assert cli.run(["batch", str(shoot.folder), "-o", str(out), "-q", *FAST, "--overwrite"]) == 0
    assert (out / "IMG_0001.jpg").read_bytes().startswith(b"\xff\xd8")


def test_a_failed_bracket_s_place_belongs_to_nobody(tmp_path: Path) -> None:
    with BatchJournal(tmp_path) as journal:
        journal.begin("a.jpg")
        journal.failed("a.jpg", "damaged")
    with BatchJournal(tmp_path) as journal:
        assert not journal.may_replace("a.jpg")
        assert journal.finished("a.jpg", "key") is None


def test_what_runs_says_nothing_of_a_whole_journal(tmp_path: Path) -> None:
    from ghostless.batch.photos import scan_folder
    from ghostless.batch.plan import Plan

    folder = scan_folder(ShootFolder(tmp_path / "shoot").folder)
    ran = run_plan(Plan(()), folder, tmp_path / "out", FuseOptions(), RunSettings())
    assert ran.brackets == ran.notes == ()

"""Running a plan: in parallel within memory, on after a kill, and a true account at the end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ghostless
from ghostless import cli
from ghostless.batch.journal import JOURNAL_NAME, BatchJournal
from ghostless.batch.run import RemainingTime, Room, RunSettings, estimated_bytes
from ghostless.batch.sheet import SHEET_NAME
from ghostless.batch.workers import Outcome, Processes, Task, fuse_task
from ghostless.cli.remaining import time_in_words
from ghostless.errors import OptionError, OutputError
from ghostless.pipeline import FuseOptions

from ..files import contents
from .folders import ShootFolder

SRC = Path(ghostless.__file__).parents[1]
FAST = ["--align", "none", "--deghost", "off"]


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shoot of three brackets and a single shot; not to be changed."""
    shoot = ShootFolder(tmp_path_factory.mktemp("three") / "shoot")
    shoot.bracket()
    shoot.bracket()
    shoot.single()
    shoot.bracket()
    return shoot.folder


def batch(*words: str | Path, status: int = 0) -> None:
    assert cli.run(["batch", *map(str, words), *FAST]) == status


def account(capsys: pytest.CaptureFixture[str], *words: str | Path, status: int = 0) -> dict:  # type: ignore[type-arg]
    capsys.readouterr()
    batch(*words, "--json", status=status)
    facts: dict = json.loads(capsys.readouterr().out)  # type: ignore[type-arg]
    counts = facts["counts"]
    counted = Counter(file["status"].replace(" ", "_") for file in facts["files"])
    told = {name[6:]: number for name, number in counts.items() if name.startswith("files_")}
    assert {name: number for name, number in told.items() if number} == counted
    assert sum(told.values()) == counts["files"] == len(facts["files"])
    assert counts["brackets"] == counts["done"] + counts["kept"] + counts["failed"]
    return facts


def results(out: Path) -> set[str]:
    return {path.name for path in out.rglob("*") if path.suffix == ".jpg"}


def test_a_folder_becomes_pictures_and_every_file_is_accounted_for(
    three: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(three)
    out, report = tmp_path / "out", tmp_path / "report.json"
    batch(three, "-o", out, "--report", report)
    printed, progress = capsys.readouterr()
    assert results(out) == {"IMG_0001.jpg", "IMG_0004.jpg", "IMG_0008.jpg"}
    assert "3 brackets: 3 fused" in printed
    assert "10 files: 9 used, 1 single shot" in printed
    assert "single: IMG_0007.jpg" in printed
    assert progress.count("\n") == 3
    assert "left" in progress
    assert contents(three) == before
    facts = json.loads(report.read_text())
    assert facts["counts"]["done"] == 3
    used = {f["file"]: f["output"] for f in facts["files"] if f["status"] == "used"}
    assert used["IMG_0005.jpg"] == "IMG_0004.jpg"
    assert len(used) == 9


def test_results_that_are_there_are_kept_until_something_changes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shoot = ShootFolder(tmp_path / "shoot")
    for _ in range(3):
        shoot.bracket()
    out = tmp_path / "out"

    def states(*words: str) -> list[str]:
        facts = account(capsys, shoot.folder, "-o", out, *words)
        return [bracket["state"] for bracket in facts["brackets"]]

    assert states() == ["done"] * 3
    stamps = {name: (out / name).stat().st_mtime_ns for name in results(out)}
    assert states() == ["kept"] * 3
    assert stamps == {name: (out / name).stat().st_mtime_ns for name in results(out)}
    assert states("--jpeg-quality", "90") == ["done"] * 3
    photo = shoot.folder / "IMG_0005.jpg"
    os.utime(photo, ns=(0, photo.stat().st_mtime_ns + 5_000_000_000))
    assert states("--jpeg-quality", "90") == ["kept", "done", "kept"]
    (out / "IMG_0007.jpg").unlink()
    assert states("--jpeg-quality", "90") == ["kept", "kept", "done"]
    shoot.bracket()
    assert states("--jpeg-quality", "90") == ["kept"] * 3 + ["done"]
    assert states("--jpeg-quality", "90", "--overwrite") == ["done"] * 4


def test_a_result_that_somebody_has_worked_on_is_not_replaced(
    three: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    batch(three, "-o", out, "-q")
    (out / "IMG_0004.jpg").write_bytes(b"retouched by hand")
    facts = account(capsys, three, "-o", out)
    assert [bracket["state"] for bracket in facts["brackets"]] == ["kept"] * 3
    facts = account(capsys, three, "-o", out, "--jpeg-quality", "80", status=1)
    assert [bracket["state"] for bracket in facts["brackets"]] == ["done", "failed", "done"]
    assert "--overwrite" in facts["brackets"][1]["error"]
    assert (out / "IMG_0004.jpg").read_bytes() == b"retouched by hand"


def test_a_bad_bracket_stops_no_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shoot = ShootFolder(tmp_path / "shoot")
    files = [shoot.bracket() for _ in range(4)]
    cut_off = files[1][2]
    cut_off.write_bytes(cut_off.read_bytes()[:1200])
    files[2][1].write_bytes(b"")
    facts = account(capsys, shoot.folder, "-o", tmp_path / "out", status=1)
    assert [bracket["state"] for bracket in facts["brackets"]] == [
        "done",
        "failed",
        "failed",
        "done",
    ]
    assert cut_off.name in facts["brackets"][1]["error"]
    status = {file["file"]: file["status"] for file in facts["files"]}
    assert [status[f.name] for f in files[2]] == ["failed"] * 3
    # Mended, only what failed is done.
    files[2][1].write_bytes(files[2][0].read_bytes())
    again = account(capsys, shoot.folder, "-o", tmp_path / "out", "--size", "3", status=1)
    assert again["brackets"][0]["state"] == "kept"


def test_a_killed_batch_goes_on_where_it_was(tmp_path: Path) -> None:
    shoot = ShootFolder(tmp_path / "shoot", height=150, width=200)
    for _ in range(9):
        shoot.bracket()
    out = tmp_path / "out"
    words = [sys.executable, "-m", "ghostless", "batch", shoot.folder, "-o", out, "--jobs", "1"]
    words += FAST
    environment = {**os.environ, "PYTHONPATH": str(SRC)}
    process = subprocess.Popen(
        [*map(str, words)], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    end = time.monotonic() + 120
    while len(results(out)) < 2 and process.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    process.kill()
    process.wait()
    finished = results(out)
    assert 2 <= len(finished) < 9, "killed too late to show anything"
    assert all((out / name).read_bytes().endswith(b"\xff\xd9") for name in finished)
    journal = out / JOURNAL_NAME
    journal.write_text(journal.read_text() + '{"event": "do')  # as a lost write leaves it
    done = subprocess.run(
        [*map(str, words), "--json"], env=environment, capture_output=True, text=True, check=True
    )
    counts = json.loads(done.stdout)["counts"]
    assert counts["brackets"] == 9
    assert counts["kept"] >= 1
    assert counts["kept"] + counts["done"] == 9
    assert len(results(out)) == 9


def start_batch(shoot: Path, out: Path, scratch: Path, *words: str) -> subprocess.Popen[str]:
    """Start the command, with a folder of its own for temporary files."""
    scratch.mkdir()
    return subprocess.Popen(
        [sys.executable, "-m", "ghostless", "batch", str(shoot), "-o", str(out), *words],
        env={**os.environ, "PYTHONPATH": str(SRC), "TMPDIR": str(scratch)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 60
    while not condition() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)


def in_session_of(marker: Path) -> list[int]:
    """Processes that have a folder as their TMPDIR."""
    wanted = f"TMPDIR={marker}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if wanted in (process / "environ").read_bytes().split(b"\0"):
                found.append(int(process.name))
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interruption_is_one_line_and_leaves_nothing_behind(
    tmp_path: Path, number: signal.Signals
) -> None:
    shoot = ShootFolder(tmp_path / "shoot", height=600, width=900)
    for _ in range(2):
        shoot.bracket()
    out, scratch = tmp_path / "o", tmp_path / "scratch"
    process = start_batch(shoot.folder, out, scratch)
    journal = out / JOURNAL_NAME
    wait_until(lambda: journal.exists() and "begin" in journal.read_text(), process)
    process.send_signal(number)
    printed, errors = process.communicate(timeout=60)
    if process.returncode == 0:
        pytest.skip("the machine was too fast to be interrupted")
    assert printed == ""
    if number == signal.SIGKILL:
        assert errors == ""
    else:
        assert process.returncode == 130
        assert errors.splitlines()[-1].startswith("ghostless: interrupted")
    assert "Traceback" not in errors
    assert not list(out.glob(".ghostless-*"))
    assert not list(scratch.iterdir())
    if Path("/proc/self/environ").exists():
        end = time.monotonic() + 20
        while in_session_of(scratch) and time.monotonic() < end:
            time.sleep(0.05)
        assert in_session_of(scratch) == []


# ---- the command ----


def test_a_plan_is_written_then_followed(
    three: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "groups.csv", tmp_path / "out"
    batch(three, "-o", out, "--plan", path)
    assert "3 brackets of 9 photos, 1 other" in capsys.readouterr().out
    assert not out.exists()
    text = path.read_text("utf-8-sig")
    path.write_text(text.replace("IMG_0001.jpg,1,IMG_0001.jpg", "IMG_0001.jpg,1,kitchen.png"))
    batch(three, "-o", out, "--plan", path, "-q")
    assert {p.name for p in out.iterdir()} == {
        "kitchen.png", "IMG_0004.jpg", "IMG_0008.jpg", JOURNAL_NAME, SHEET_NAME
    }  # fmt: skip


def test_other_formats_and_subfolders(tmp_path: Path) -> None:
    for room in ("kitchen", "hall"):
        ShootFolder(tmp_path / "shoot" / room).bracket()
    batch(tmp_path / "shoot", "-o", tmp_path / "shoot" / "fused", "--format", "exr", "-q")
    batch(tmp_path / "shoot", "-o", tmp_path / "shoot" / "fused", "--format", "exr", "-q")
    names = {str(p.relative_to(tmp_path / "shoot")) for p in tmp_path.rglob("*.exr")}
    assert names == {"fused/kitchen/IMG_0001.exr", "fused/hall/IMG_0001.exr"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["SHOOT"], "--out DIR"),
        (["SHOOT", "-o", "SHOOT"], "folder of their own"),
        (["SHOOT/IMG_0001.jpg", "-o", "OUT"], "found a file"),
        (["NOWHERE", "-o", "OUT"], "found none"),
        (["SHOOT", "-o", "OUT", "--format", "gif"], "gif"),
        (["SHOOT", "-o", "OUT", "--method", "mertns"], "did you mean 'mertens'"),
        (["SHOOT", "-o", "OUT", "--pairs", "both"], "'raw' or 'jpeg'"),
        (["SHOOT", "-o", "OUT", "--plan", "OUT/plan.txt"], ".csv"),
        (["SHOOT", "-o", "OUT", "--size", "1"], "size"),
        (["SHOOT", "-o", "OUT", "--size", "7"], "found none among 10 photos"),
    ],
)
def test_wrong_use_is_one_line_and_status_2(
    words: list[str], message: str, three: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"SHOOT": str(three), "OUT": str(tmp_path / "out"), "NOWHERE": str(tmp_path / "no")}
    for name, place in places.items():
        words = [word.replace(name, place) for word in words]
    assert cli.run(["batch", *words]) == 2
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1
    assert message in errors


def test_a_preset_s_reference_is_obeyed(
    three: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    preset = tmp_path / "mine.toml"
    preset.write_text("reference = 7\n")
    batch(three, "-o", tmp_path / "out", "--preset", preset, status=1)
    assert "expected an index from 0 (darkest) to 2" in capsys.readouterr().out
    preset.write_text("reference = 0\n")
    facts = account(capsys, three, "-o", tmp_path / "out", "--preset", preset)
    assert facts["counts"]["done"] == 3
    kept = account(capsys, three, "-o", tmp_path / "out", "--reference", "0")
    assert kept["counts"]["kept"] == 3


def test_two_batches_do_not_write_to_one_folder(three: Path, tmp_path: Path) -> None:
    with BatchJournal(tmp_path), pytest.raises(OutputError, match="no other batch"):  # noqa: SIM117
        with BatchJournal(tmp_path):
            pass
    batch(three, "-o", tmp_path, "-q")


def test_times_time_in_words() -> None:
    assert [time_in_words(seconds) for seconds in (0.2, 42.4, 150, 7000)] == [
        "0 s", "42 s", "2.5 min", "1 h 57 min"
    ]  # fmt: skip


# ---- processes ----


@pytest.fixture
def processes() -> Iterator[Processes]:
    pool = Processes()
    yield pool
    pool.stop()


def crash(task: Task) -> Outcome:
    if task.work:
        os.kill(os.getpid(), int(task.work))
    return fuse_task(task)


def task(number: int, *, needs: int = 0, work: float = 1.0) -> Task:
    return Task(number, (), Path("out.jpg"), FuseOptions(), needs, work)


@pytest.mark.parametrize(
    ("number", "killed", "word"),
    [(signal.SIGSEGV, False, "SIGSEGV"), (signal.SIGKILL, True, "--memory-gb")],
)
def test_a_crash_is_the_outcome_of_its_own_bracket_alone(
    number: signal.Signals, killed: bool, word: str
) -> None:
    pool = Processes(crash)
    pool.start(task(1, work=0))  # the real work: no photos, hence a plain failure
    pool.start(task(2, work=number))
    ended: dict[int, Outcome] = {}
    while len(ended) < 2:
        ended |= {done.number: outcome for done, outcome in pool.wait(30)}
    pool.stop()
    assert ended[2].killed is killed
    assert word in ended[2].error
    assert "at least 2 frames" in ended[1].error


def test_stopping_ends_what_runs(processes: Processes, three: Path, tmp_path: Path) -> None:
    files = tuple(sorted(three.glob("IMG_000[123].jpg")))
    processes.start(Task(1, files, tmp_path / "a.jpg", FuseOptions()))
    processes.stop()
    assert processes.wait(0.1) == []
    assert list(tmp_path.iterdir()) == []


# ---- room and time ----

tasks = st.lists(st.integers(1, 100), min_size=1, max_size=20)


@given(tasks, st.integers(1, 5), st.integers(1, 150))
def test_brackets_keep_within_the_memory_and_all_get_their_turn(
    needs: list[int], jobs: int, budget: int
) -> None:
    room = Room(jobs, budget)
    waiting = [task(number, needs=need) for number, need in enumerate(needs)]
    ran = []
    while waiting or room.running:
        while (following := room.next_of(waiting)) is not None:
            waiting.remove(following)
            room.enter(following)
            held = sum(running.bytes_needed for running in room.running.values())
            assert held <= budget or len(room.running) == 1
            assert len(room.running) <= jobs
        ran.append(next(iter(room.running)))
        room.leave(ran[-1], 0)
    assert sorted(ran) == list(range(len(needs)))


def test_estimates_grow_with_what_brackets_turn_out_to_take() -> None:
    room = Room(4, 100)
    room.enter(task(0, needs=40))
    room.leave(0, 80)
    room.enter(task(1, needs=40))
    assert room.next_of([task(2, needs=40)]) is None
    assert room.next_of([task(3, needs=10)]) is not None


def test_memory_is_estimated_from_megapixels_and_frames() -> None:
    plain = estimated_bytes(24_000_000, 3)
    assert estimated_bytes(8_000_000, 3) < plain
    assert plain < estimated_bytes(24_000_000, 7)
    assert estimated_bytes(24_000_000, 3, deep=True) > plain
    assert estimated_bytes(150_000_000, 3, FuseOptions(hdr=True)) > estimated_bytes(150_000_000, 3)
    assert estimated_bytes(24_000_000, 3, FuseOptions(method="dpgn")) > plain + 1e9


def test_the_rest_takes_as_long_as_the_rate_so_far_says() -> None:
    now = [100.0]
    clock = RemainingTime(30.0, lambda: now[0])
    assert clock.seconds_left() is None
    now[0] += 8
    clock.did(10.0)
    assert clock.seconds_left() == pytest.approx(16)
    clock.did(20.0)
    assert clock.seconds_left() == 0


@pytest.mark.parametrize("bad", [{"jobs": 0}, {"memory_bytes": 0}])
def test_run_settings_check_themselves(bad: dict[str, int]) -> None:
    with pytest.raises(OptionError, match="expected"):
        RunSettings(**bad)  # type: ignore[arg-type]

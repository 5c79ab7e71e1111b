"""Work in processes of its own: whatever happens there costs one job."""

from __future__ import annotations

import math
import multiprocessing.spawn
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ghostless.errors import FileReadError
from ghostless.work import children as apart
from ghostless.work.children import Failure
from ghostless.work.pool import do_apart

posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX")


def work(number: int) -> int:
    if number == 2:
        raise FileReadError("two\nlines")
    if number == 3:
        raise ZeroDivisionError("three")
    if number == 4:
        raise MemoryError
    if number == 5:
        os.kill(os.getpid(), signal.SIGSEGV)
    if number == 6:
        os._exit(7)
    return number * number


def test_every_job_has_an_answer_or_a_reason() -> None:
    answers = dict(do_apart(work, [(number,) for number in range(9)], 3))
    assert sorted(answers) == list(range(9))
    assert [answers[i] for i in (0, 1, 7, 8)] == [0, 1, 49, 64]
    assert answers[2] == Failure("two lines")
    assert answers[3] == Failure("unexpected error: ZeroDivisionError: three")
    assert "memory" in answers[4].reason  # type: ignore[union-attr]
    assert answers[5] == Failure("its process crashed (SIGSEGV)", died=True)
    assert answers[6] == Failure("its process ended with status 7", died=True)


def test_nothing_to_do_is_no_work() -> None:
    assert list(do_apart(math.sqrt, [], 4)) == []


def killed_once(mark: Path) -> str:
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def test_what_was_killed_is_done_once_more_alone(tmp_path: Path) -> None:
    shares: list[float] = []
    jobs = [(tmp_path / "a",), (tmp_path / "b",)]
    assert dict(do_apart(killed_once, jobs, 2, progress=shares.append)) == {0: "done", 1: "done"}
    assert shares == [0.5, 1.0]
    ((_, failure),) = do_apart(signal.raise_signal, [(signal.SIGKILL,)], 1)
    assert failure == Failure("its process was killed, most likely for want of memory", True, True)


def test_a_job_that_does_not_end_is_ended() -> None:
    start = time.monotonic()
    answers = dict(do_apart(time.sleep, [(100,), (0.01,)], 2, seconds=1.5))
    assert answers[1] is None
    assert answers[0] == Failure("it took longer than 1.5 s", died=True)
    assert time.monotonic() - start < 30


def running(folder: Path, number: int) -> int:
    """How many ran at once, this one counted; each leaves its mark while it runs."""
    mark = folder / str(number)
    mark.touch()
    time.sleep(0.3)
    count = len(list(folder.iterdir()))
    time.sleep(0.3)
    mark.unlink()
    return count


def test_as_many_at_a_time_as_the_budget_holds(tmp_path: Path) -> None:
    sizes = [3, 3, 3, 9]
    jobs = [(tmp_path, number) for number in range(4)]
    most = dict(do_apart(running, jobs, 4, needs=sizes.__getitem__, budget=6.5))
    assert max(most[number] for number in (0, 1, 2)) == 2
    assert most[3] == 1  # it needs more than there is, and has it all


def test_jobs_are_made_as_they_are_needed() -> None:
    made: list[int] = []

    def jobs() -> Iterator[tuple[int]]:
        for number in range(6):
            made.append(number)
            yield (number,)

    answers = do_apart(abs, jobs(), 1)
    assert next(answers) == (0, 0)
    assert len(made) <= 3
    assert [place for place, _ in answers] == [1, 2, 3, 4, 5]


def test_processes_that_start_from_nothing_have_the_environment_of_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GHOSTLESS_TEST_OF_NOW", "yes")
    answers = dict(do_apart(os.getenv, [("GHOSTLESS_TEST_OF_NOW",)], 1, fresh=True))
    assert answers == {0: "yes"}


def test_a_failure_holds_what_was_raised() -> None:
    ((_, failure),) = do_apart(work, [(3,)], 1)
    assert isinstance(failure, Failure)
    assert isinstance(failure.error, ZeroDivisionError)


@posix
def test_a_server_that_was_ended_is_started_again() -> None:
    assert dict(do_apart(math.sqrt, [(4,)], 1)) == {0: 2.0}
    server = apart._server()
    server._process.kill()
    server._process.wait()
    assert dict(do_apart(math.sqrt, [(9,)], 1)) == {0: 3.0}
    assert apart._server() is not server


@posix
def test_processes_end_with_those_who_gave_them_work() -> None:
    jobs = do_apart(os.getpid, [(), ()], 2)
    _, number = next(jobs)
    assert isinstance(number, int)
    os.kill(number, 0)
    jobs.close()
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)


def test_where_nothing_forks_processes_start_from_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert multiprocessing.spawn.get_executable()  # which is told at its import
    monkeypatch.setattr(apart.sys, "executable", "")
    answers = dict(do_apart(signal.raise_signal, [(signal.SIGSEGV,), (0,)], 1))
    assert answers[0] == Failure("its process crashed (SIGSEGV)", died=True)


def test_paths_mean_the_same_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        assert dict(do_apart(os.getcwd, [()], 1)) == {0: str(tmp_path / name)}

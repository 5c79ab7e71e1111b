"""The queue: order, memory, cancelling; and that a worker's end is no end of the server."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from ghostless.errors import OptionError
from ghostless.web import jobs as jobs_module
from ghostless.web.jobs import Job, Jobs, QueueFullError
from ghostless.web.limits import Limits, memory_of_job
from ghostless.web.processes import TaskFailedError, Worker
from ghostless.web.storage import StoredBracket

BRACKET = StoredBracket("bracket", Path("/nowhere"))
GIGABYTE = 1_000_000_000


class StandIn:
    """A worker that does nothing until it is told to; remembers what ran when."""

    log: list[str]
    gates: dict[str, asyncio.Event]
    ended: list[str]

    def __init__(self, scratch: Path) -> None:
        self.now = ""

    async def start(self) -> None:
        return

    async def close(self) -> None:
        StandIn.ended.append(self.now)

    async def run(self, task: dict[str, Any], tell: Any, seconds: float, memory: int) -> Any:
        self.now = task["name"]
        StandIn.log.append(f"+{self.now}")
        try:
            await StandIn.gates.setdefault(self.now, asyncio.Event()).wait()
        except asyncio.CancelledError:
            StandIn.log.append(f"!{self.now}")
            raise
        StandIn.log.append(f"-{self.now}")
        if self.now.startswith("bad"):
            raise TaskFailedError("no good")
        return {"name": self.now}


def run(
    monkeypatch: pytest.MonkeyPatch, scene: Callable[[Jobs], Awaitable[None]], **limits: int
) -> list[str]:
    StandIn.log, StandIn.gates, StandIn.ended = [], {}, []
    monkeypatch.setattr(jobs_module, "Worker", StandIn)

    async def play() -> None:
        queue = Jobs(Limits(**limits), Path("/nowhere"))
        await scene(queue)
        await queue.close()

    asyncio.run(play())
    return StandIn.log


def job(name: str, gigabytes: float = 0.5, quick: bool = False) -> Job:
    return Job("fuse", BRACKET, {"name": name}, int(gigabytes * GIGABYTE), quick)


async def breathe() -> None:
    for _ in range(6):
        await asyncio.sleep(0)


async def finish(name: str) -> None:
    StandIn.gates.setdefault(name, asyncio.Event()).set()
    await breathe()


def test_one_after_the_other_and_quick_ones_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(queue: Jobs) -> None:
        first, second, third = (queue.submit(job(name)) for name in "abc")
        quick = queue.submit(job("q", quick=True))
        await breathe()
        assert StandIn.log == ["+a", "+q"]
        assert [queue.ahead_of(each) for each in (first, second, third, quick)] == [0, 1, 2, 0]
        await finish("a")
        assert first.state == "done"
        assert first.value == {"name": "a"}
        assert (second.state, third.state) == ("running", "queued")
        await finish("q")
        await finish("b")
        await finish("c")
        assert third.fraction == 1

    assert run(monkeypatch, scene, memory_bytes=8 * GIGABYTE) == [
        "+a", "+q", "-a", "+b", "-q", "-b", "+c", "-c",
    ]  # fmt: skip


def test_memory_is_never_promised_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(queue: Jobs) -> None:
        queue.submit(job("a", 3))
        queue.submit(job("b", 2))
        queue.submit(job("c", 0.5))  # would fit, but may not overtake
        await breathe()
        assert StandIn.log == ["+a"]
        await finish("a")
        assert StandIn.log == ["+a", "-a", "+b", "+c"]
        with pytest.raises(TaskFailedError, match=r"found one of about 5\.0"):
            queue.submit(job("never", 5))
        await finish("b")
        await finish("c")

    run(monkeypatch, scene, memory_bytes=4 * GIGABYTE, running=3)


def test_the_queue_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(queue: Jobs) -> None:
        for name in "ab":
            queue.submit(job(name))
        with pytest.raises(QueueFullError):
            queue.submit(job("c"))
        await breathe()
        await finish("a")
        queue.submit(job("c"))

    run(monkeypatch, scene, jobs=2)


def test_cancelling_what_waits_and_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(queue: Jobs) -> None:
        first, second, third = (queue.submit(job(name)) for name in "abc")
        await breathe()
        await queue.cancel(second)
        assert second.state == "cancelled"
        await queue.cancel(first)
        assert first.state == "cancelled"
        await breathe()
        assert third.state == "running"
        await finish("c")
        await queue.cancel(third)
        assert third.state == "done"

    assert run(monkeypatch, scene) == ["+a", "!a", "+c", "-c"]


def test_a_failure_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(queue: Jobs) -> None:
        bad, good = queue.submit(job("bad")), queue.submit(job("good"))
        await breathe()
        await finish("bad")
        assert (bad.state, bad.error) == ("failed", "no good")
        await finish("good")
        assert good.state == "done"
        await finish("bad again")
        with pytest.raises(TaskFailedError, match="no good"):
            await queue.run(job("bad again"))

    run(monkeypatch, scene)


def test_all_of_a_bracket_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(queue: Jobs) -> None:
        other = Job("fuse", StoredBracket("other", Path("/x")), {"name": "o"}, 1)
        queue.submit(job("a"))
        queue.submit(job("b"))
        queue.submit(other)
        await breathe()
        assert queue.busy_with(BRACKET)
        await queue.forget(BRACKET)
        await breathe()
        assert list(queue.all.values()) == [other]
        assert other.state == "running"

    assert run(monkeypatch, scene)[:3] == ["+a", "!a", "+o"]


def test_progress_is_one_bar_that_never_goes_back() -> None:
    told = job("a")
    seen = []
    for stage in ("read", "exposure", "align", "deghost", "fuse", "write"):
        for fraction in (0.0, 0.5, 1.0):
            told.tell(stage, fraction)
            seen.append(told.fraction)
    assert seen == sorted(seen)
    assert 0.9 < seen[-1] <= 1
    assert told.stage == "write"
    told.tell("a stage nobody knows", 1.0)
    assert told.fraction <= 1


def test_memory_of_jobs_covers_what_was_measured() -> None:
    # Three frames of 24 megapixels in which something moved, from files to file: 1.6 GB.
    assert 1.6e9 < memory_of_job(3, 24_000_000, 1) < 3e9
    assert memory_of_job(3, 24_000_000, 1, network=True) > memory_of_job(3, 24_000_000, 1)


@pytest.mark.parametrize("wrong", [{"jobs": 0}, {"frames": 1}, {"frames": 21}, {"memory_bytes": 9}])
def test_limits_check_themselves(wrong: dict[str, int]) -> None:
    with pytest.raises(OptionError):
        Limits(**wrong)


# With a process of its own ------------------------------------------------------------------------


def test_a_worker_outlives_nothing_it_should_not(tmp_path: Path, photos: list[Path]) -> None:
    """Killed, too large or too slow, it fails its task with one line, and the next one runs."""
    task = {"do": "inspect", "files": [str(path) for path in photos], "folder": str(tmp_path)}
    task["pixels"] = 10**6  # type: ignore[assignment]

    async def check() -> None:
        worker = Worker(tmp_path)
        told: list[str] = []
        value = await worker.run(task, lambda stage, _: told.append(stage), 60, 4 * GIGABYTE)
        assert len(value["frames"]) == 3
        assert told[0] == "read"

        process = worker._process
        assert process is not None
        os.kill(process.pid, signal.SIGSTOP)  # so that it is killed before it answers
        running = asyncio.create_task(worker.run(task, lambda *_: None, 60, 4 * GIGABYTE))
        await asyncio.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(TaskFailedError, match="ended before it was done"):
            await running

        await worker.start()
        assert worker._process is not None
        os.kill(worker._process.pid, signal.SIGKILL)  # in idleness: nobody notices
        await asyncio.sleep(0.2)
        value = await worker.run(task, lambda *_: None, 60, 4 * GIGABYTE)
        assert len(value["frames"]) == 3

        with pytest.raises(TaskFailedError, match=r"fit in 0\.0 GB of memory"):
            await worker.run(task, lambda *_: None, 60, 20_000_000)
        with pytest.raises(TaskFailedError, match="found that it takes longer"):
            await worker.run(task, lambda *_: None, 0.01, 4 * GIGABYTE)
        assert worker._process is None
        await worker.start()
        with pytest.raises(TaskFailedError, match="unexpected error; the server's log"):
            await worker.run({"do": "nothing we know"}, lambda *_: None, 60, 4 * GIGABYTE)
        await worker.end()

    asyncio.run(check())

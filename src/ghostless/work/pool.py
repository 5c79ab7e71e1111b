"""Many jobs, each in a process of its own: see `children`."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sized
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Final, TypeVar

from .children import Child, Failure, answer_of, ask, start_child

_SECONDS_FOR_A_JOB: Final = 300.0

Answer = TypeVar("Answer")


def do_apart(
    work: Callable[..., Answer],
    jobs: Iterable[tuple[Any, ...]],
    workers: int,
    *,
    seconds: float = _SECONDS_FOR_A_JOB,
    needs: Callable[[int], float] | None = None,
    budget: float = math.inf,
    fresh: bool = False,
    progress: Callable[[float], None] | None = None,
) -> Generator[tuple[int, Answer | Failure], None, None]:
    """Do jobs in processes of their own, and yield their places and answers as they come.

    work: a function of a module. jobs: its arguments, one tuple each, taken as they are needed.
    workers: processes at a time. seconds: that a job may take.
    needs, budget: what the job at a place takes of what all may take together, such as bytes; one
        job may always run. fresh: whether processes start from nothing, with the environment as it
        is now, rather than as copies of one that has libraries loaded.
    progress: called with the fraction done, of jobs that have a length.
    Closed, or interrupted, it ends all of them at once; whoever is killed takes them along.
    A process that dies costs the job that it had. One that was killed may have died for others: its
    job is done once more, alone, when all others are done.
    """
    count = len(jobs) if isinstance(jobs, Sized) else 0
    pool = _Pool(work, jobs, workers, seconds, needs, budget, fresh)
    try:
        for done, answer in enumerate(pool.answers(), start=1):
            if progress is not None and count:
                progress(done / count)
            yield answer
    finally:
        pool.stop()


@dataclass(frozen=True)
class _Busy:
    """A process with the job that it does, and when it must have done it."""

    place: int
    job: tuple[Any, ...]
    child: Child
    end: float


class _Pool:
    """The processes of one `do_apart`."""

    def __init__(
        self,
        work: Callable[..., Any],
        jobs: Iterable[tuple[Any, ...]],
        workers: int,
        seconds: float,
        needs: Callable[[int], float] | None,
        budget: float,
        fresh: bool,
    ) -> None:
        self._work, self._workers, self._seconds, self._fresh = work, workers, seconds, fresh
        self._needs, self._budget = needs or (lambda place: 0.0), budget
        self._waiting: Iterator[tuple[int, tuple[Any, ...]]] = enumerate(jobs)
        self._head = next(self._waiting, None)
        self._later: list[tuple[int, tuple[Any, ...]]] = []
        self._alone = False
        self._busy: dict[Connection, _Busy] = {}
        self._idle: list[Child] = []

    def answers(self) -> Iterator[tuple[int, Any]]:
        """Give jobs to processes, and yield places and answers, until there are none."""
        while self._head is not None or self._busy or self._later:
            if self._head is None and not self._busy:
                self._waiting, self._later, self._alone = iter(self._later), [], True
                self._head = next(self._waiting, None)
            while self._head is not None and self._has_room(self._head[0]):
                if self._begin(*self._head):
                    self._head = next(self._waiting, None)
            for each, answer in self._ended():
                died = isinstance(answer, Failure) and answer.died
                if not died:
                    self._idle.append(each.child)
                elif answer.killed and not self._alone:
                    self._later.append((each.place, each.job))
                    continue
                yield each.place, answer

    def _has_room(self, place: int) -> bool:
        if not self._busy:
            return True
        if self._alone or len(self._busy) >= self._workers:
            return False
        taken = sum(self._needs(each.place) for each in self._busy.values())
        return taken + self._needs(place) <= self._budget

    def _begin(self, place: int, job: tuple[Any, ...]) -> bool:
        """Give a job to a process; False if that one has died in idleness."""
        child = self._idle.pop() if self._idle else start_child(self._fresh)
        try:
            ask(child, self._work, *job)
        except OSError:
            child.kill()
            return False
        self._busy[child.pipe] = _Busy(place, job, child, time.monotonic() + self._seconds)
        return True

    def _ended(self) -> list[tuple[_Busy, Any]]:
        """Wait for the next processes that have answered, died or taken too long."""
        first_end = min(each.end for each in self._busy.values())
        pause = None if math.isinf(first_end) else max(0.0, first_end - time.monotonic())
        ready = set(wait(list(self._busy), pause))
        ended: list[tuple[_Busy, Any]] = []
        for pipe, each in list(self._busy.items()):
            if pipe in ready:
                ended.append((each, answer_of(each.child)))
            elif time.monotonic() >= each.end:
                each.child.kill()
                late = Failure(f"it took longer than {self._seconds:g} s", died=True)
                ended.append((each, late))
            else:
                continue
            del self._busy[pipe]
        return ended

    def stop(self) -> None:
        """End all processes at once."""
        for child in (*self._idle, *(each.child for each in self._busy.values())):
            child.kill()

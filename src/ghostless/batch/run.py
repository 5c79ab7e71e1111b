"""Doing what a plan says: as many brackets at a time as memory allows, and on where it was."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Annotated, Final, Literal

from ..errors import GhostlessError, OutputError
from ..io.write import check_output
from ..methods import METHODS
from ..options import FuseOptions
from ..options.chosen import method_of
from ..pixels.stripes import core_count
from ..settings import Range, check_settings
from ..work.memory import available_bytes, fusing_bytes
from .journal import JOURNAL_NAME, BatchJournal, key_of
from .photos import Folder
from .plan import Plan, Planned
from .workers import Outcome, Processes, RayWorkers, Task, Workers

# Of what is available, for others and for what an estimate misses.
_MEMORY_SHARE: Final = 0.7
# For photos whose size is not known: what many cameras take.
_USUAL_PIXELS: Final = 24_000_000
_WAIT_SECONDS: Final = 0.5

State = Literal["done", "kept", "failed"]


@dataclass(frozen=True)
class RunSettings:
    """How a plan is run.

    jobs: brackets at a time at most; None for the number of cores.
    memory_bytes: what they may take together; None for 70 % of what is available.
    cluster: "local", "auto" or the address of a Ray cluster; None for processes of this machine.
    """

    jobs: Annotated[int, Range(1)] | None = None
    memory_bytes: Annotated[int, Range(1)] | None = None
    cluster: str | None = None

    def __post_init__(self) -> None:
        check_settings(self, "batch")


@dataclass(frozen=True)
class Done:
    """What became of a planned bracket. kept: it was there from an earlier run."""

    planned: Planned
    state: State
    outcome: Outcome


@dataclass(frozen=True)
class Ran:
    """What became of each bracket of a plan, in their order, and what there is to say of all."""

    brackets: tuple[Done, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Step:
    """Where a run is. last: what just ended. seconds_left: None while nothing can be said."""

    finished: int
    total: int
    seconds_left: float | None
    last: Done


def run_plan(
    plan: Plan,
    folder: Folder,
    out: Path,
    options: FuseOptions,
    settings: RunSettings,
    *,
    options_of: Mapping[int, FuseOptions] | None = None,
    progress: Callable[[Step], None] | None = None,
) -> Ran:
    """Fuse all brackets of a plan into a folder; results that are there and still true are kept.

    options_of: options of brackets that have their own, by number.
    A bracket that fails stops no other.
    Raises GhostlessError for what concerns all, before anything is fused.
    """
    _check_before(plan, folder, out, options)
    finished: dict[int, Done] = {}
    with BatchJournal(out) as journal:
        keys: dict[int, str] = {}
        waiting: list[Task] = []
        for planned in plan.brackets:
            own = (options_of or {}).get(planned.number, options)
            files = tuple(_real(folder.root / name) for name in planned.files)
            keys[planned.number] = key_of(files, own)
            state = _before(planned, journal, keys[planned.number], out, own, files)
            if isinstance(state, Done):
                finished[planned.number] = state
            else:
                task = _task(planned, folder, out, own, files)
                waiting.append(
                    replace(task, journal=journal.path.absolute(), key=keys[planned.number])
                )
        clock = RemainingTime(sum(task.work for task in waiting))
        by_number = {planned.number: planned for planned in plan.brackets}

        def tell(done: Done) -> None:
            if progress is not None:
                progress(Step(len(finished), len(plan.brackets), clock.seconds_left(), done))

        for done in finished.values():
            tell(done)
        for task, outcome in _work_off(waiting, journal, by_number, settings):
            planned = by_number[task.number]
            if outcome.error:
                journal.failed(planned.output, outcome.error)
            else:
                key = keys[task.number]
                journal.done(planned.output, key, outcome.stamp, _record(outcome))
            state_now: State = "failed" if outcome.error else "done"
            clock.did(task.work)
            finished[task.number] = Done(planned, state_now, outcome)
            tell(finished[task.number])
        notes = _journal_notes(journal)
    return Ran(tuple(finished[planned.number] for planned in plan.brackets), notes)


def _journal_notes(journal: BatchJournal) -> tuple[str, ...]:
    count = journal.known.passed_over
    if not count:
        return ()
    what = "record of it is" if count == 1 else "records of it are"
    return (
        f"{JOURNAL_NAME}: {count} {what} damaged and passed over; what only they knew is not taken "
        "for done",
    )


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _record(outcome: Outcome) -> dict[str, object]:
    return {
        "seconds": outcome.seconds,
        "peak_bytes": outcome.peak_bytes,
        "method": outcome.method,
        "notes": list(outcome.notes),
        "photos": [list(astuple(photo)) for photo in outcome.photos],
        "doubts": [list(astuple(doubt)) for doubt in outcome.doubts],
    }


# --- before anything is fused --------------------------------------------------------------------


def check_folders(root: Path, out: Path) -> None:
    """Raise OutputError if results would come to lie among the photos."""
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out}: expected a folder for the results, found a file; name another")
    if _real(root) == _real(out):
        raise OutputError(
            f"{out}: expected a folder of their own for the results, found that of the photos; "
            f"name another, such as {out / 'fused'}"
        )


def _check_before(plan: Plan, folder: Folder, out: Path, options: FuseOptions) -> None:
    """Find now what every bracket would stumble over: a method without weights, a full word."""
    check_folders(folder.root, out)
    for suffix in {Path(planned.output).suffix for planned in plan.brackets}:
        target = out / f"name{suffix}"
        method_of(options, target)
        check_output(target, replace(options.write, overwrite=True), make_folder=True)


def _before(
    planned: Planned,
    journal: BatchJournal,
    key: str,
    out: Path,
    options: FuseOptions,
    files: Sequence[Path],
) -> Done | None:
    """What can be said of a bracket without fusing it; None if it has to be fused."""
    if planned.problem:
        return Done(planned, "failed", Outcome(planned.problem))
    record = journal.finished(planned.output, key)
    if record is not None and not options.write.overwrite:
        outcome = Outcome(
            seconds=record.seconds,
            method=record.method,
            notes=record.notes,
            photos=record.photos,
            doubts=record.doubts,
        )
        return Done(planned, "kept", outcome)
    overwrite = options.write.overwrite or journal.may_replace(planned.output)
    try:
        write = replace(options.write, overwrite=overwrite)
        check_output(out / planned.output, write, files, make_folder=True)
    except GhostlessError as error:
        return Done(planned, "failed", Outcome(str(error)))
    return None


def _task(
    planned: Planned, folder: Folder, out: Path, options: FuseOptions, files: tuple[Path, ...]
) -> Task:
    known = [folder.photos[name] for name in planned.files if name in folder.photos]
    pixels = max((file.pixels for file in known), default=0) or _USUAL_PIXELS
    deep = any(file.kind in ("raw", "tiff", "png", "heif") for file in known)
    return Task(
        planned.number,
        files,
        _real(out / planned.output),
        options,
        output=planned.output,
        bytes_needed=estimated_bytes(pixels, len(files), options, deep=deep),
        work=pixels * len(files),
    )


def estimated_bytes(
    pixels: int, frames: int, options: FuseOptions | None = None, *, deep: bool = False
) -> int:
    """Memory that fusing a bracket takes at most, in bytes.

    pixels: of one frame. deep: whether its files may hold 16 bits per sample.
    """
    options = options or FuseOptions()
    network = options.method in METHODS and METHODS[options.method].needs_extra
    return fusing_bytes(frames, pixels, 2 if deep else 1, hdr=options.hdr, network=network)


# --- working the tasks off -----------------------------------------------------------------------


def _work_off(
    tasks: Sequence[Task],
    journal: BatchJournal,
    by_number: Mapping[int, Planned],
    settings: RunSettings,
) -> Iterator[tuple[Task, Outcome]]:
    """Run tasks as far as there is room, and yield what became of each as it ends."""
    if not tasks:
        return
    budget = settings.memory_bytes or int(_MEMORY_SHARE * available_bytes())
    with _workers(settings, budget) as (workers, jobs):
        threads = max(1, core_count() // min(jobs, len(tasks))) if settings.cluster is None else 1
        room = Room(jobs, budget if settings.cluster is None else None)
        waiting = list(tasks)
        again: set[int] = set()
        while waiting or room.running:
            while (task := room.next_of(waiting)) is not None:
                waiting.remove(task)
                room.enter(task)
                journal.begin(by_number[task.number].output)
                workers.start(replace(task, threads=threads))
            for task, outcome in workers.wait(_WAIT_SECONDS):
                company = len(room.running) > 1
                room.leave(task.number, outcome.peak_bytes)
                if outcome.killed and company and task.number not in again:
                    # Others may have taken the memory: once more, with all of it.
                    again.add(task.number)
                    waiting.append(replace(task, bytes_needed=budget))
                    continue
                yield task, outcome


@contextmanager
def _workers(settings: RunSettings, budget: int) -> Iterator[tuple[Workers, int]]:
    """The workers, and how many tasks to give them at a time; all are stopped in the end."""
    workers: Processes | RayWorkers
    if settings.cluster is None:
        workers, jobs = Processes(), settings.jobs or core_count()
    else:
        workers = RayWorkers(settings.cluster, settings.jobs, settings.memory_bytes)
        jobs = workers.slots()
    try:
        yield workers, jobs
    finally:
        workers.stop()


class Room:
    """Which tasks may run beside each other.

    jobs: at most so many. budget_bytes: they together take at most so much, but one may always run;
    None for no limit. Estimates grow with what finished brackets turned out to take.
    """

    def __init__(self, jobs: int, budget_bytes: int | None) -> None:
        self._jobs = jobs
        self._budget = budget_bytes
        self._scale = 1.0
        self.running: dict[int, Task] = {}

    def next_of(self, waiting: Sequence[Task]) -> Task | None:
        """The first waiting task that there is room for, or None."""
        if len(self.running) >= self._jobs:
            return None
        if not self.running or self._budget is None:
            return waiting[0] if waiting else None
        left = self._budget - sum(self._needs(task) for task in self.running.values())
        return next((task for task in waiting if self._needs(task) <= left), None)

    def enter(self, task: Task) -> None:
        """A task begins."""
        self.running[task.number] = task

    def leave(self, number: int, peak_bytes: int) -> None:
        """A task has ended and took so much at its highest (0 for unknown)."""
        task = self.running.pop(number)
        if task.bytes_needed:
            self._scale = max(self._scale, peak_bytes / task.bytes_needed)

    def _needs(self, task: Task) -> float:
        return task.bytes_needed * self._scale


class RemainingTime:
    """Estimates how long the rest takes, from how long what is done has taken."""

    def __init__(self, work: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._left = work
        self._done = 0.0
        self._clock = clock
        self._start = clock()

    def did(self, work: float) -> None:
        """So much of the work is done."""
        self._done += work
        self._left = max(0.0, self._left - work)

    def seconds_left(self) -> float | None:
        """Seconds that the rest will take at the rate so far; None before anything is done."""
        if self._left <= 0:
            return 0.0
        if self._done <= 0:
            return None
        return (self._clock() - self._start) * self._left / self._done

"""Where brackets are fused: processes of this machine, or a Ray cluster.

Both take tasks one by one and give back outcomes as they come. Whatever happens to a bracket, be it
a crash of the process, is an outcome.
"""

from __future__ import annotations

import importlib
import io
import os
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, redirect_stdout, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Protocol

from ..errors import GhostlessError, InputError, OutputError
from ..io.atomic import before_naming
from ..pipeline import FuseOptions, fuse_files
from ..work.children import Child, Failure, answer_of, ask, one_line, start_child
from ..work.packages import check_installed
from .doubts import Doubt, FusedPhoto, doubts_of, photos_of
from .journal import Known, Stamp, announce, stamp_of

# How often Ray starts a bracket again whose worker or machine was lost.
_RAY_RETRIES = 3
_RAY_OBJECT_STORE_BYTES = 100_000_000  # pictures travel as files


@dataclass(frozen=True)
class Task:
    """One bracket to fuse: whole paths, so that it means the same in any process.

    bytes_needed: estimate of the memory it takes. work: what it costs beside others, any unit.
    threads: cores that it may use; 0 for all.
    journal: where a result is recorded before it gets its name, as `output`, made by `key`; None to
        record nothing.
    """

    number: int
    files: tuple[Path, ...]
    out: Path
    options: FuseOptions
    bytes_needed: int = 0
    work: float = 1.0
    threads: int = 0
    journal: Path | None = None
    output: str = ""
    key: str = ""


@dataclass(frozen=True)
class Outcome:
    """What became of a bracket.

    error: one line, "" where the result is written. killed: whether the process was ended by the
    system or a person rather than by a fault of its own. stamp: what the result is known by.
    photos, doubts: what a contact sheet tells beside the picture.
    """

    error: str = ""
    seconds: float = 0.0
    peak_bytes: int = 0
    method: str = ""
    notes: tuple[str, ...] = ()
    killed: bool = False
    stamp: Stamp | None = None
    photos: tuple[FusedPhoto, ...] = ()
    doubts: tuple[Doubt, ...] = ()


class Workers(Protocol):
    """What fuses tasks."""

    def start(self, task: Task) -> None:
        """Begin a task; it must have room."""
        ...

    def wait(self, seconds: float) -> list[tuple[Task, Outcome]]:
        """Return the tasks that ended, waiting for one at most so long."""
        ...

    def stop(self) -> None:
        """End everything at once; what is not finished leaves nothing behind."""
        ...


def fuse_task(task: Task) -> Outcome:
    """Fuse one bracket by the line; every failure becomes an outcome."""
    limit_threads(task.threads)
    start = time.perf_counter()
    naming = _Naming(task)
    try:
        task.out.parent.mkdir(parents=True, exist_ok=True)
        write = replace(task.options.write, overwrite=naming.may_replace())
        with before_naming(naming):
            report = fuse_files(task.files, task.out, replace(task.options, write=write))
    except GhostlessError as error:
        return Outcome(one_line(str(error)), time.perf_counter() - start)
    except MemoryError:
        return Outcome("expected enough memory, found too little; allow fewer --jobs")
    except Exception as error:
        return Outcome(one_line(f"unexpected error: {type(error).__name__}: {error}"))
    return Outcome(
        seconds=time.perf_counter() - start,
        peak_bytes=report.peak_bytes,
        method=report.method or "",
        notes=report.notes,
        stamp=naming.stamp,
        photos=photos_of(report),
        doubts=doubts_of(report),
    )


class _Naming:
    """Sees to it that a result takes the place of nothing that is not ours, and is recorded."""

    def __init__(self, task: Task) -> None:
        self.stamp: Stamp | None = None
        self._task = task

    def may_replace(self) -> bool:
        """Whether what is at the result's place now, if anything is, may go."""
        task = self._task
        if task.options.write.overwrite or task.journal is None:
            return task.options.write.overwrite
        # Read only where there is something: an earlier try may have come as far as that.
        if stamp_of(task.out) is None:
            return False
        try:
            return Known.read(task.journal).may_replace(task.output)
        except OSError:
            return False

    def __call__(self, file: Path, target: Path) -> None:
        task = self._task
        self.stamp = stamp_of(file)
        if task.journal is None:
            return
        if stamp_of(target) is not None and not self.may_replace():
            raise OutputError(
                f"{target}: expected a new file, found that it exists now; nothing was overwritten"
            )
        announce(task.journal, task.output, task.key, self.stamp)


def limit_threads(count: int) -> None:
    """Let this process use so many cores; 0 for all."""
    if count:
        import cv2

        from ..pixels.stripes import limit_threads

        limit_threads(count)
        cv2.setNumThreads(count)


# --- processes of this machine -------------------------------------------------------------------


class Processes:
    """A process of its own for each bracket: what one does to itself harms no other."""

    def __init__(self, work: Callable[[Task], Outcome] = fuse_task) -> None:
        self._work = work
        self._running: dict[Connection, tuple[Task, Child]] = {}

    def start(self, task: Task) -> None:
        child = start_child()
        self._running[child.pipe] = task, child
        with suppress(OSError):  # one that has died already is found out by `wait`
            ask(child, self._work, task)

    def wait(self, seconds: float) -> list[tuple[Task, Outcome]]:
        # A pipe is readable when an answer came, and when the other end is gone.
        ended = []
        for pipe in wait(list(self._running), seconds):
            assert isinstance(pipe, Connection)
            task, child = self._running.pop(pipe)
            answer = answer_of(child)
            child.kill()
            ended.append((task, _outcome(answer) if isinstance(answer, Failure) else answer))
        return ended

    def stop(self) -> None:
        for _, child in self._running.values():
            child.kill()
        self._running.clear()


def _outcome(failure: Failure) -> Outcome:
    cure = "allow fewer --jobs or give --memory-gb" if failure.killed else "the others went on"
    return Outcome(f"{failure.reason}; {cure}", killed=failure.killed)


# --- a Ray cluster -------------------------------------------------------------------------------


class RayWorkers:
    """Tasks of a Ray cluster: `local` starts one here, `auto` finds one that runs here.

    A bracket whose worker or machine is lost is started again elsewhere. All machines must see the
    photos and the folder of results under the same paths.
    """

    def __init__(self, address: str, jobs: int | None, budget_bytes: int | None) -> None:
        check_installed("--cluster", "distributed")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        # Untyped, for it need not be installed where types are checked.
        ray: Any = importlib.import_module("ray")
        self._ray = ray
        quiet = {"logging_level": "ERROR", "log_to_driver": False}
        local = {
            "num_cpus": jobs,
            "_memory": budget_bytes,
            "object_store_memory": _RAY_OBJECT_STORE_BYTES,
            "include_dashboard": False,
        }
        try:
            if address == "local":
                ray.init(address="local", **local, **quiet)
            else:
                ray.init(address=address, **quiet)
        except Exception as error:
            raise InputError(
                f"--cluster: expected a Ray cluster at {address!r}, found none that answers "
                f"({one_line(str(error))[:160]}); start one, or use --cluster local"
            ) from error
        # Ray tells of lost workers on standard output, which is for results.
        self._hushed = ExitStack()
        self._hushed.enter_context(redirect_stdout(io.StringIO()))
        self._remote = ray.remote(max_retries=_RAY_RETRIES)(_fuse_elsewhere)
        self._running: dict[Any, Task] = {}

    def slots(self) -> int:
        """How many tasks to keep under way: those that run, and as many in waiting."""
        return max(1, 2 * int(self._ray.cluster_resources().get("CPU", 1)))

    def start(self, task: Task) -> None:
        memory = min(task.bytes_needed, self._largest_memory())
        reference = self._remote.options(memory=memory).remote(task)
        self._running[reference] = task

    def _largest_memory(self) -> int:
        """Memory of the cluster's largest machine: a task that asks for more would never start."""
        nodes: list[Mapping[str, Any]] = self._ray.nodes()
        return int(max((n["Resources"].get("memory", 0) for n in nodes if n["Alive"]), default=0))

    def wait(self, seconds: float) -> list[tuple[Task, Outcome]]:
        ready, _ = self._ray.wait(list(self._running), num_returns=1, timeout=seconds)
        ended = []
        for reference in ready:
            task = self._running.pop(reference)
            try:
                outcome = self._ray.get(reference)
            except Exception as error:
                reason = one_line(str(error))[:200]
                outcome = Outcome(f"its worker was lost {_RAY_RETRIES + 1} times: {reason}")
            ended.append((task, outcome))
        return ended

    def stop(self) -> None:
        for reference in self._running:
            with suppress(Exception):
                self._ray.cancel(reference, force=True)
        self._running.clear()
        self._ray.shutdown()
        self._hushed.close()


def _fuse_elsewhere(task: Task) -> Outcome:
    """Fuse on another machine, or here by another worker; what is missing is told by machine."""
    missing = next((file for file in task.files if not file.exists()), None)
    if missing is not None:
        return Outcome(
            f"{missing}: expected to find it on {socket.gethostname()} too, found no such file; "
            "all machines of the cluster must see the photos under the same path"
        )
    return fuse_task(task)

"""Where brackets are fused: processes of this machine, or a Ray cluster.

Both take tasks one by one and give back outcomes as they come. Whatever happens to a bracket, be it
a crash of the process, is an outcome.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack, redirect_stdout, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Protocol

from ..errors import GhostlessError, InputError, MissingPackageError
from ..pipeline import FuseOptions, fuse_files

# The system takes memory back from the process with the highest score first; ours may be 0..1000.
_OUT_OF_MEMORY_SCORE = "600"
# How often Ray starts a bracket again whose worker or machine was lost.
_RAY_RETRIES = 3
_RAY_OBJECT_STORE_BYTES = 100_000_000  # pictures travel as files


@dataclass(frozen=True)
class Task:
    """One bracket to fuse: whole paths, so that it means the same in any process.

    bytes_needed: estimate of the memory it takes. work: what it costs beside others, any unit.
    threads: cores that it may use; 0 for all.
    """

    number: int
    files: tuple[Path, ...]
    out: Path
    options: FuseOptions
    bytes_needed: int = 0
    work: float = 1.0
    threads: int = 0


@dataclass(frozen=True)
class Outcome:
    """What became of a bracket.

    error: one line, "" where the result is written. died: whether the process ended without a
    word. killed: by the system or a person rather than by a fault of its own.
    """

    error: str = ""
    seconds: float = 0.0
    peak_bytes: int = 0
    method: str = ""
    notes: tuple[str, ...] = ()
    died: bool = False
    killed: bool = False


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
    _limit_threads(task.threads)
    start = time.perf_counter()
    try:
        task.out.parent.mkdir(parents=True, exist_ok=True)
        report = fuse_files(task.files, task.out, task.options)
    except GhostlessError as error:
        return Outcome(_one_line(str(error)), time.perf_counter() - start)
    except MemoryError:
        return Outcome("expected enough memory, found too little; allow fewer --jobs")
    except Exception as error:
        return Outcome(_one_line(f"unexpected error: {type(error).__name__}: {error}"))
    return Outcome(
        seconds=time.perf_counter() - start,
        peak_bytes=report.peak_bytes,
        method=report.method or "",
        notes=report.notes,
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _limit_threads(count: int) -> None:
    if count:
        import cv2

        from ..stripes import limit_threads

        limit_threads(count)
        cv2.setNumThreads(count)


# --- processes of this machine -------------------------------------------------------------------


class Processes:
    """A process of its own for each bracket: what one does to itself harms no other.

    Where the system can (Linux, macOS), they are forked from a small server that has the libraries
    loaded, which takes milliseconds.
    """

    def __init__(self) -> None:
        methods = multiprocessing.get_all_start_methods()
        self._context: Any = multiprocessing.get_context(
            "forkserver" if "forkserver" in methods else "spawn"
        )
        if "forkserver" in methods:
            self._context.set_forkserver_preload([__name__, "ghostless.methods.mertens"])
        self._running: dict[Connection, tuple[Task, Any]] = {}

    def start(self, task: Task) -> None:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_child, args=(theirs, task), daemon=True)
        process.start()
        theirs.close()
        self._running[ours] = task, process

    def wait(self, seconds: float) -> list[tuple[Task, Outcome]]:
        # A pipe is readable when an answer came, and when the other end is gone.
        ready = wait(list(self._running), seconds)
        ended = []
        for pipe in ready:
            assert isinstance(pipe, Connection)
            task, process = self._running.pop(pipe)
            try:
                outcome = pipe.recv()
                process.join()
            except (EOFError, OSError):
                process.join()
                outcome = _death(process.exitcode)
            pipe.close()
            ended.append((task, outcome))
        return ended

    def stop(self) -> None:
        for _, process in self._running.values():
            process.kill()
        for pipe, (_, process) in self._running.items():
            process.join()
            pipe.close()
        self._running.clear()


def _child(pipe: Connection, task: Task) -> None:
    """What runs in a bracket's own process."""
    # Interruptions are the parent's business, which ends this process in its own way.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OUT_OF_MEMORY_SCORE)
    threading.Thread(target=_end_with_parent, args=(pipe,), daemon=True).start()
    pipe.send(fuse_task(task))


def _end_with_parent(pipe: Connection) -> None:
    """End this process when the other end of its pipe is gone: nobody waits for its result."""
    with suppress(EOFError, OSError):
        pipe.recv()
    os._exit(1)


def _death(exit_code: int | None) -> Outcome:
    killed = exit_code == -signal.SIGKILL if hasattr(signal, "SIGKILL") else False
    if killed:
        why = "it was killed, most likely for want of memory: allow fewer --jobs or give --memory"
    elif exit_code is not None and exit_code < 0:
        with suppress(ValueError):
            exit_code_name = signal.Signals(-exit_code).name
            return Outcome(f"its process crashed ({exit_code_name}); the others went on", died=True)
        why = f"its process ended by signal {-exit_code}"
    else:
        why = f"its process ended with status {exit_code}"
    return Outcome(why, died=True, killed=killed)


# --- a Ray cluster -------------------------------------------------------------------------------


class RayWorkers:
    """Tasks of a Ray cluster: `local` starts one here, `auto` finds one that runs here.

    A bracket whose worker or machine is lost is started again elsewhere. All machines must see the
    photos and the folder of results under the same paths.
    """

    def __init__(self, address: str, jobs: int | None, budget_bytes: int | None) -> None:
        if importlib.util.find_spec("ray") is None:
            raise MissingPackageError(
                "--cluster needs the package ray, which is not installed; "
                "install it with: pip install 'ghostless[distributed]'"
            )
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
                f"({_one_line(str(error))[:160]}); start one, or use --cluster local"
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
        # A try whose worker was lost may have written its result already.
        write = replace(task.options.write, overwrite=True)
        task = replace(task, options=replace(task.options, write=write))
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
                reason = _one_line(str(error))[:200]
                outcome = Outcome(
                    f"its worker was lost {_RAY_RETRIES + 1} times: {reason}", died=True
                )
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

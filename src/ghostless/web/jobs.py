"""The queue: what waits, what runs, and what all of it may take.

A job runs when a worker is free and the memory that it is estimated to take is, first come, first
served. Reading an upload and writing a result in another format have a worker of their own, so
that they need not wait for the fusing of others.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from .limits import Limits
from .processes import TaskFailedError, Worker
from .storage import StoredBracket, new_name

State = Literal["queued", "running", "done", "failed", "cancelled"]
Kind = Literal["measure", "inspect", "fuse", "export"]
# What a stage takes of a whole run, roughly: for one bar over all of them.
_SHARES = {
    "read": 0.12,
    "exposure": 0.06,
    "align": 0.3,
    "deghost": 0.22,
    "fuse": 0.2,
    "tone map": 0.05,
    "write": 0.05,
}


class QueueFullError(Exception):
    """As many jobs wait as may."""


@dataclass
class Job:
    """Something a worker does for a client.

    task: what the worker is told. memory_bytes: what it is estimated to take. file: what it writes
    for the client to fetch, by which name. parent: the job whose result an export writes.
    """

    kind: Kind
    bracket: StoredBracket
    task: dict[str, Any]
    memory_bytes: int
    quick: bool = False
    file: Path | None = None
    file_name: str = ""
    parent: str | None = None
    request: dict[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=new_name)
    state: State = "queued"
    stage: str = ""
    fraction: float = 0.0
    error: str | None = None
    value: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    finished: asyncio.Event = field(default_factory=asyncio.Event)
    runner: asyncio.Task[None] | None = None

    @property
    def is_over(self) -> bool:
        return self.state in ("done", "failed", "cancelled")

    def tell(self, stage: str, fraction: float) -> None:
        """Take note of progress: of a stage, kept as a share of the whole that never shrinks."""
        self.stage = stage
        if self.kind == "fuse" and stage in _SHARES:
            names = list(_SHARES)
            before = sum(_SHARES[name] for name in names[: names.index(stage)])
            fraction = before + _SHARES[stage] * fraction
        self.fraction = max(self.fraction, min(fraction, 1.0))


class Jobs:
    """All jobs of one server, and the workers that do them."""

    def __init__(self, limits: Limits, scratch: Path) -> None:
        self.limits = limits
        self.all: dict[str, Job] = {}
        self._waiting: list[Job] = []
        self._running: list[Job] = []
        self._idle = [Worker(scratch) for _ in range(limits.running)]
        self._idle_quick = [Worker(scratch)]
        self._starting: set[asyncio.Task[None]] = set()
        self._is_closing = False

    async def start(self) -> None:
        """Start the workers, so that the first job need not wait for their libraries."""
        for worker in (*self._idle, *self._idle_quick):
            await worker.start()

    def submit(self, job: Job) -> Job:
        """Queue a job; raise QueueFullError or TaskFailedError if it cannot ever run."""
        if len(self._waiting) + len(self._running) >= self.limits.jobs:
            raise QueueFullError
        if job.memory_bytes > self.limits.memory_bytes:
            raise TaskFailedError(
                f"expected a job that fits in {self.limits.memory_bytes / 1e9:.1f} GB of memory, "
                f"found one of about {job.memory_bytes / 1e9:.1f}; give fewer or smaller photos"
            )
        self.all[job.id] = job
        self._waiting.append(job)
        self._start_what_can()
        return job

    async def run(self, job: Job) -> dict[str, Any]:
        """Do a job and wait for its value; if the waiting is cancelled, so is the job."""
        self.submit(job)
        try:
            await job.finished.wait()
        finally:
            await self.cancel(job)
            self.all.pop(job.id, None)
        if job.state == "done":
            return job.value
        raise TaskFailedError(job.error or "cancelled")

    def ahead_of(self, job: Job) -> int:
        """How many jobs must end or start before this one starts."""
        if job not in self._waiting:
            return 0
        before = self._waiting[: self._waiting.index(job)]
        return sum(other.quick == job.quick for other in (*before, *self._running))

    async def cancel(self, job: Job) -> None:
        """Take a job out of the queue, or end the process that does it."""
        if job in self._waiting:
            self._waiting.remove(job)
            self._finish(job, "cancelled")
        elif job.runner is not None and not job.is_over:
            job.runner.cancel()
            with suppress(asyncio.CancelledError):
                await job.runner

    async def forget(self, bracket: StoredBracket) -> None:
        """Cancel and forget all jobs of a bracket."""
        # The last first: what waits shall not start for a moment when what runs is ended.
        for job in [job for job in reversed(self.all.values()) if job.bracket is bracket]:
            await self.cancel(job)
            self.all.pop(job.id, None)

    def busy_with(self, bracket: StoredBracket) -> bool:
        return any(job.bracket is bracket and not job.is_over for job in self.all.values())

    async def close(self) -> None:
        """Cancel everything and end the workers."""
        self._is_closing = True
        for job in list(self.all.values()):
            await self.cancel(job)
        for task in list(self._starting):
            task.cancel()
        for worker in (*self._idle, *self._idle_quick):
            await worker.close()

    def _start_what_can(self) -> None:
        """Start jobs from the front of the queue as long as workers and memory are free."""
        blocked: set[bool] = set()
        for job in list(self._waiting):
            workers = self._idle_quick if job.quick else self._idle
            taken = sum(other.memory_bytes for other in self._running)
            if job.quick in blocked:
                continue
            if not workers or taken + job.memory_bytes > self.limits.memory_bytes:
                blocked.add(job.quick)  # the next may not overtake it
                continue
            self._waiting.remove(job)
            self._running.append(job)
            job.state = "running"
            job.runner = asyncio.create_task(self._do(job, workers.pop(), workers.append))

    async def _do(self, job: Job, worker: Worker, give_back: Callable[[Worker], None]) -> None:
        started = time.monotonic()
        limits = self.limits
        try:
            job.value = await worker.run(
                job.task, job.tell, limits.job_seconds, limits.memory_bytes
            )
            state: State = "done"
        except TaskFailedError as error:
            job.error = job.bracket.in_clients_words(str(error))
            state = "failed"
        except asyncio.CancelledError:
            state = "cancelled"
        except Exception as error:
            job.error = f"unexpected error: {type(error).__name__}"
            state = "failed"
        job.seconds = time.monotonic() - started
        self._running.remove(job)
        give_back(worker)
        self._finish(job, state)
        if self._is_closing:
            return
        # If the process was ended, have the next one ready before it is asked for.
        start = asyncio.create_task(worker.start())
        self._starting.add(start)
        start.add_done_callback(self._starting.discard)

    def _finish(self, job: Job, state: State) -> None:
        job.state = state
        if state == "done":
            job.fraction = 1.0
        job.finished.set()
        self._start_what_can()

"""Worker processes as the server sees them: started ahead of need, watched, ended at will."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import GhostlessError
from ..work.children import Child, Failure, Remark, answer_of, ask, start_child
from ..work.memory import resident_bytes
from .worker import prepare, run_task

logger = logging.getLogger("ghostless.web")

_SECONDS_BETWEEN_LOOKS = 0.25
# A worker that holds more than this after its work is replaced by a new one.
_IDLE_BYTES = 1_200_000_000

OnProgress = Callable[[str, float], None]


class TaskFailedError(GhostlessError):
    """A task ended without a result; the message is for the client."""


class Worker:
    """One worker process, which does one task at a time."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._process: Child | None = None
        self._busy = False
        self._start_lock = asyncio.Lock()
        # What waits for a process to speak, so that the server need not.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="worker")

    async def start(self) -> None:
        """Start the process unless it runs; it loads its libraries while nobody waits."""
        async with self._start_lock:
            # One that was asked nothing and has something to say tells of its own end.
            if self._process is not None and not self._busy and self._process.pipe.poll():
                await self.end()
            if self._process is None:
                self._process = await self._aside(_start, str(self._scratch))

    async def run(
        self, task: dict[str, Any], on_progress: OnProgress, seconds: float, memory_bytes: int
    ) -> dict[str, Any]:
        """Do a task and return its value.

        Raises TaskFailedError with one line for the client if the task fails, dies, or takes more
        than `seconds` or `memory_bytes`. Cancelled, it ends the process.
        """
        await self.start()
        self._busy, process = True, self._process
        assert process is not None
        work = asyncio.create_task(self._converse(process, task, on_progress))
        watch = asyncio.create_task(_outgrown(process, memory_bytes))
        try:
            await asyncio.wait({work, watch}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return work.result()
            if watch.done():
                raise TaskFailedError(
                    f"expected the job to fit in {memory_bytes / 1e9:.1f} GB of memory, found that "
                    "it takes more; give fewer or smaller photos"
                )
            raise TaskFailedError(
                f"expected the job to take at most {seconds:g} seconds, found that it takes longer"
            )
        finally:
            self._busy = False
            work.cancel()
            watch.cancel()
            if not work.done() or work.cancelled() or resident_bytes(process.pid) > _IDLE_BYTES:
                await self.end()

    async def _converse(
        self, process: Child, task: dict[str, Any], on_progress: OnProgress
    ) -> dict[str, Any]:
        with suppress(OSError):  # it has died: the answer says how
            ask(process, run_task, task, remarks=True)
        while isinstance(answer := await self._aside(answer_of, process), Remark):
            on_progress(*answer.said)
        if not isinstance(answer, Failure):
            value: dict[str, Any] = answer
            return value
        if answer.expected:
            raise TaskFailedError(answer.reason)
        logger.error("%s\n%s", answer.reason, answer.where)
        if not answer.died:
            raise TaskFailedError("unexpected error; the server's log tells more")
        await self.end()
        raise TaskFailedError(
            "the job's process ended before it was done (out of memory, or a decoder crashed); "
            "try fewer or smaller photos"
        )

    async def _aside(self, work: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    async def end(self) -> None:
        """End the process at once, whatever it does."""
        process, self._process = self._process, None
        if process is not None:
            process.strike()
            # After whoever listens has heard of its end: one at a time talks with a process.
            await self._aside(process.kill)

    async def close(self) -> None:
        """End the process for good."""
        await self.end()
        self._thread.shutdown(wait=False)


def _start(scratch: str) -> Child:
    child = start_child()
    ask(child, prepare, scratch)
    answer_of(child)
    return child


async def _outgrown(process: Child, memory_bytes: int) -> None:
    """Return once the process takes more memory than it may; never where that is not known."""
    while resident_bytes(process.pid) <= memory_bytes:
        await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)

"""Worker processes as the server sees them: started ahead of need, watched, ended at will."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import GhostlessError
from ..work.memory import resident_bytes

logger = logging.getLogger("ghostless.web")

_EVENT_BYTES = 1 << 24
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
        self._process: asyncio.subprocess.Process | None = None
        self._start_lock = asyncio.Lock()

    async def start(self) -> None:
        """Start the process unless it runs; it loads its libraries while nobody waits."""
        async with self._start_lock:
            if self._process is not None and self._process.returncode is None:
                return
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "ghostless.web.worker",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                limit=_EVENT_BYTES,
                # An interrupt at the terminal is for the server, which then ends its workers.
                start_new_session=True,
                env={**os.environ, "TMPDIR": str(self._scratch)},
            )

    async def run(
        self, task: dict[str, Any], on_progress: OnProgress, seconds: float, memory_bytes: int
    ) -> dict[str, Any]:
        """Do a task and return its value.

        Raises TaskFailedError with one line for the client if the task fails, dies, or takes more
        than `seconds` or `memory_bytes`. Cancelled, it ends the process.
        """
        await self.start()
        process = self._process
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
            work.cancel()
            watch.cancel()
            if not work.done() or work.cancelled() or resident_bytes(process.pid) > _IDLE_BYTES:
                await self.end()

    async def _converse(
        self, process: asyncio.subprocess.Process, task: dict[str, Any], on_progress: OnProgress
    ) -> dict[str, Any]:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(task).encode() + b"\n")
            await process.stdin.drain()
            while line := await process.stdout.readline():
                event = json.loads(line)
                if "progress" in event:
                    on_progress(*event["progress"])
                elif "done" in event:
                    value: dict[str, Any] = event["done"]
                    return value
                elif "failed" in event:
                    if event["known"]:
                        raise TaskFailedError(event["failed"])
                    logger.error("unexpected error: %s\n%s", event["failed"], event["at"])
                    raise TaskFailedError("unexpected error; the server's log tells more")
        except ConnectionError:
            pass
        status = await process.wait()
        logger.error("a worker ended with status %s", status)
        raise TaskFailedError(
            "the job's process ended before it was done (out of memory, or a decoder crashed); "
            "try fewer or smaller photos"
        )

    async def end(self) -> None:
        """End the process at once, whatever it does."""
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _outgrown(process: asyncio.subprocess.Process, memory_bytes: int) -> None:
    """Return once the process takes more memory than it may; never where that is not known."""
    while resident_bytes(process.pid) <= memory_bytes:
        await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)

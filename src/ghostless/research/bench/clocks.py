"""Time as the wall has it, and as the cores gave it."""

from __future__ import annotations

import time


class Clocks:
    """Both clocks of this process, started when it is made.

    Seconds of the cores, added up over threads, say what a computation takes even on a machine that
    other work shares; seconds of the wall do not.
    """

    def __init__(self) -> None:
        self._wall, self._cores = time.perf_counter(), time.process_time()

    def passed(self) -> dict[str, float]:
        """`seconds` and `core_seconds` since then."""
        return {
            "seconds": time.perf_counter() - self._wall,
            "core_seconds": time.process_time() - self._cores,
        }

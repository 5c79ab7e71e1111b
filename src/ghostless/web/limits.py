"""How much of everything a server takes before it says no."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from ..bracket import MAX_FRAMES, MIN_FRAMES
from ..errors import OptionError
from ..work.memory import fusing_bytes

# A worker with the libraries loaded.
_PROCESS_BYTES = 400_000_000


def _half_of_the_memory() -> int:
    try:
        pages, page_bytes = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 4_000_000_000
    return max(1_000_000_000, pages * page_bytes // 2)


@dataclass(frozen=True)
class Limits:
    """What a server takes.

    bracket_bytes: size of one upload. brackets: kept at a time. uploads: received at a time.
    pixels, frames: of one photo, of one bracket.
    jobs: those waiting and running. running: those that run at a time.
    memory_bytes: what all workers may take together; a worker that takes more is ended.
    stored_bytes: on disk. The brackets that were unused longest make room for new ones.
    keep_seconds: how long photos and results that nobody asks for are kept.
    job_seconds: after which a job is ended.
    connections, client_connections: of all clients, of one address; the one that has waited longest
        for its client makes room for another.
    head_seconds, idle_seconds: in which a request's head must come, on a new connection and on one
        that had a request before.
    stall_seconds: that a client may be waited for, to send more of a body or to take more of an
        answer. body_bytes_per_second: that uploads must keep up beside.
    """

    bracket_bytes: int = 2_000_000_000
    brackets: int = 100
    uploads: int = 4
    pixels: int = 150_000_000
    frames: int = MAX_FRAMES
    jobs: int = 16
    running: int = 1
    memory_bytes: int = field(default_factory=_half_of_the_memory)
    stored_bytes: int = 20_000_000_000
    keep_seconds: float = 3600.0
    job_seconds: float = 1800.0
    connections: int = 200
    client_connections: int = 120
    head_seconds: float = 10.0
    idle_seconds: float = 30.0
    stall_seconds: float = 20.0
    body_bytes_per_second: float = 8_000.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise OptionError(f"{name}: expected a limit above 0, found {value}")
        if not MIN_FRAMES <= self.frames <= MAX_FRAMES:
            raise OptionError(
                f"frames: expected a limit from {MIN_FRAMES} to {MAX_FRAMES}, found {self.frames}"
            )
        if self.memory_bytes < 2 * _PROCESS_BYTES:
            raise OptionError(
                f"memory: expected at least {2 * _PROCESS_BYTES / 1e9:g} GB, "
                f"found {self.memory_bytes / 1e9:g}"
            )


def memory_of_job(frames: int, pixels: int, sample_bytes: int, *, network: bool = False) -> int:
    """Estimate the memory that fusing takes at its peak, in bytes, on the safe side.

    pixels: of one frame. sample_bytes: of one of its three channels.
    """
    needed = fusing_bytes(frames, pixels, sample_bytes, hdr=True, network=network)
    # The estimate is within a quarter of what a run takes.
    return int(1.25 * needed)


def memory_of_headers(file_bytes: int) -> int:
    """Estimate the memory that reading the headers of uploaded files takes."""
    return _PROCESS_BYTES + file_bytes


def memory_of_reading(needed: int, file_bytes: int) -> int:
    """Estimate the memory that looking at a bracket takes, on the safe side.

    needed: what reading its photos takes, by their headers.
    """
    return int(1.25 * needed) + file_bytes

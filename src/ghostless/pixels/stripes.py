"""Walking a large image in stripes of rows, on all cores.

A stripe is small enough for the cache, so a chain of array operations on it runs at the speed of
the arithmetic instead of that of the memory, and no full-size intermediate is ever held. NumPy and
OpenCV release the interpreter's lock, so threads are enough.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..work.spill import trim

Progress = Callable[[float], None]

# 256 KB per float32 plane: a few planes fit in a core's second-level cache.
STRIPE_PIXELS = 1 << 16
# Walked at once where pixels are sampled.
_SAMPLED_BYTES = 64 << 20
# More threads than this only fight for memory bandwidth.
MAX_THREADS = 8


_limit: int | None = None


def limit_threads(count: int | None) -> None:
    """Let this process work on at most so many cores, for others beside it; None for all."""
    global _limit
    _limit = count


def core_count() -> int:
    """Return the number of cores that this process may use."""
    count = _system_core_count()
    return count if _limit is None else max(1, min(_limit, count))


def _system_core_count() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@lru_cache(maxsize=1)
def _keep_freed_memory() -> None:
    """Have the C library keep the small arrays' memory when they are freed.

    The GNU C library hands blocks over 128 KB back to the system at once and faults them in again
    page by page, which costs three times the arithmetic on a stripe. Freeing one larger block tells
    it to keep blocks up to that size. Other C libraries do not mind.
    """
    np.empty(16 << 20, np.uint8)


def stripes(height: int, width: int, pixels: int = STRIPE_PIXELS) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) rows of stripes of about `pixels` pixels; every start is even.

    >>> list(stripes(5, 10, pixels=20))
    [(0, 2), (2, 4), (4, 5)]
    """
    rows = max(2, pixels // max(width, 1) // 2 * 2)
    for start in range(0, height, rows):
        yield start, min(start + rows, height)


def for_each_stripe(
    height: int,
    width: int,
    work: Callable[[int, int], None],
    *,
    pixels: int = STRIPE_PIXELS,
    progress: Progress | None = None,
) -> None:
    """Call `work(start, stop)` for all stripes of an image, several at a time.

    work: must only write to its own rows. An exception in it stops the walk and is raised here.
    progress: called from this thread with the fraction done, 0..1.
    Arrays of `spill` that are larger than memory leave it again stripe by stripe.
    """
    _keep_freed_memory()
    spans = list(stripes(height, width, pixels))
    threads = min(core_count(), MAX_THREADS, len(spans))
    if threads <= 1:
        for done, span in enumerate(spans, start=1):
            work(*span)
            trim()
            if progress is not None:
                progress(done / len(spans))
        return
    with ThreadPoolExecutor(threads) as pool:
        waiting: set[Future[None]] = {pool.submit(work, *span) for span in spans}
        try:
            while waiting:
                finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in finished:
                    future.result()
                trim()
                if progress is not None:
                    progress(1 - len(waiting) / len(spans))
        finally:
            for future in waiting:
                future.cancel()


@dataclass(frozen=True)
class Rows:
    """Some rows of a picture with those around them that a filter looks at.

    first, last: all rows to read. inner: of those read, the rows wanted.
    """

    first: int
    last: int
    inner: slice


def around(start: int, stop: int, halo: int, height: int) -> Rows:
    """Rows start..stop of a picture of `height` with up to `halo` more on both sides."""
    first, last = max(0, start - halo), min(height, stop + halo)
    return Rows(first, last, slice(start - first, stop - first))


def stripe_pixels(halo: int, width: int, times: int = 4) -> int:
    """How many pixels a stripe should have where each is read with `halo` rows on both sides.

    times: so many times the rows of one halo: the fewer, the less memory and the more to do twice.
    """
    return max(STRIPE_PIXELS, times * halo * width)


def every(array: NDArray[Any], step: int, first: int = 0) -> NDArray[Any]:
    """Return every `step`-th pixel of every `step`-th row, from `first` on: a new array.
    (H, W, ...) to (h, w, ...).

    Taken in pieces, for looking at a few pixels brings all around them into memory.
    """
    rows = range(first, len(array), step)
    at_once = max(1, _SAMPLED_BYTES * len(array) // max(1, array.nbytes) // step)
    pieces = []
    for start in range(0, len(rows), at_once):
        chosen = rows[start : start + at_once]
        pieces.append(array[chosen.start : chosen.stop : step, first::step].copy())
        trim()
    return np.concatenate(pieces)


def part(progress: Progress | None, start: float, stop: float) -> Progress | None:
    """Return a progress function whose 0..1 fills `start`..`stop` of `progress`."""
    if progress is None:
        return None
    return lambda fraction: progress(start + (stop - start) * fraction)

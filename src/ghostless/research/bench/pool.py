"""Processes that share a machine: one thread each, so that they do not fight for its cores."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, NoReturn, TypeVar

import cv2

from ...errors import GhostlessError
from ...pixels.stripes import limit_threads
from ...work.children import Failure
from ...work.pool import do_apart

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

Job = TypeVar("Job")
Answer = TypeVar("Answer")


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Let the processes to come use one thread each, so that they do not share cores."""
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def on_one_core(work: Callable[..., Answer], *job: Any) -> Answer:
    """Do a job of a pool with one thread, OpenCV's too."""
    cv2.setNumThreads(1)
    limit_threads(1)
    return work(*job)


def map_in_processes(
    work: Callable[[Job], Answer],
    jobs: Sequence[Job],
    workers: int,
    progress: Callable[[float], None] | None = None,
) -> list[Answer]:
    """Return `work` of every job, in their order, so many at a time; one worker is this process.

    work: a function of a module, which is sent to the processes as the jobs are. An error in it
        ends all.
    progress: called with the fraction done, 0..1.
    """
    tell = progress or (lambda share: None)
    if workers == 1 or len(jobs) < 2:
        answers = []
        for count, job in enumerate(jobs, start=1):
            answers.append(work(job))
            tell(count / len(jobs))
        return answers
    found: dict[int, Answer] = {}
    calls = [(work, job) for job in jobs]
    answers_apart = do_apart(
        on_one_core, calls, workers, seconds=math.inf, fresh=True, progress=tell
    )
    with one_thread_each(), closing(answers_apart):
        for place, answer in answers_apart:
            found[place] = raise_failure(answer) if isinstance(answer, Failure) else answer
    return [found[place] for place in range(len(jobs))]


def raise_failure(failure: Failure) -> NoReturn:
    """Raise what a job raised, or that its process died."""
    raise failure.error or GhostlessError(f"a job has no answer: {failure.reason}")

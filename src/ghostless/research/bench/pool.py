"""Processes that share a machine: one thread each, so that they do not fight for its cores."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from typing import TypeVar

import cv2

from ...pixels.stripes import limit_threads

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


def start_process() -> None:
    """What a process of a pool begins with."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # an interrupted process ends without a word
    cv2.setNumThreads(1)


def _start_on_one_core() -> None:
    start_process()
    limit_threads(1)


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
    context = multiprocessing.get_context("spawn")
    with (
        one_thread_each(),
        ProcessPoolExecutor(workers, mp_context=context, initializer=_start_on_one_core) as pool,
    ):
        futures = [pool.submit(work, job) for job in jobs]
        try:
            for count, future in enumerate(as_completed(futures), start=1):
                future.result()
                tell(count / len(jobs))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        return [future.result() for future in futures]

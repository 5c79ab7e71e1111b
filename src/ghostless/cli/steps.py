"""What a batch shows on its way: a line for each bracket, and a bar on a terminal."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING

from .remaining import time_in_words

if TYPE_CHECKING:
    from rich.progress import Progress

    from ..batch.run import Step


def say(words: str, quiet: bool) -> None:
    """Tell somebody who is looking what begins; a log keeps to what has become of the brackets."""
    if not quiet and sys.stderr.isatty():
        print(words, file=sys.stderr, flush=True)


class Steps:
    """A line on standard error for each bracket; on a terminal a bar below it."""

    def __init__(self, quiet: bool, brackets: int) -> None:
        self._quiet = quiet
        self._brackets = brackets
        self._progress: Progress | None = None

    def __enter__(self) -> Steps:
        if not self._quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                Progress,
                TextColumn,
                TimeElapsedColumn,
            )

            self._progress = Progress(
                TextColumn("brackets"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.fields[left]}"),
                console=Console(stderr=True),
                transient=True,
            )
            self._progress.add_task("", total=self._brackets, left="")
            self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def __call__(self, step: Step) -> None:
        left = "" if step.seconds_left is None else f"about {time_in_words(step.seconds_left)} left"
        if self._quiet:
            return
        if self._progress is not None:
            task = self._progress.task_ids[0]
            self._progress.update(task, completed=step.finished, total=step.total, left=left)
        if step.last.state == "kept":
            return
        line = f"{step.finished}/{step.total} {step.last.planned.output}: "
        if step.last.state == "failed":
            line += f"failed: {step.last.outcome.error}"
        else:
            line += f"{len(step.last.planned.files)} photos, {step.last.outcome.seconds:.1f} s"
        if self._progress is not None:
            self._progress.console.print(line, markup=False, highlight=False)
        else:
            print(f"{line}; {left}" if left else line, file=sys.stderr, flush=True)

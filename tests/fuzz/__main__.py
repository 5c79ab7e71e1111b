"""Try damaged files by the ten thousand: `python -m tests.fuzz`, or `make fuzz`.

Every case is known by its number, and a run goes on where the last one ended, so that no two runs
try the same. A case is a find where the process crashes, takes too long or too much memory, raises
anything but one line of `ghostless.errors`, or lets something wrong through. Its file is kept, and
one line tells of it; the exit status is 1 then. `--from N --rounds 1` tries one case again.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from .targets import make_whole_files
from .worker import prepare

ROOT = Path(__file__).resolve().parents[2]
MORE_PATHS: list[str] = []
SECONDS_PER_CASE = 20.0
# A process is told of so many cases at a time; the first takes longer, for torch is imported.
_CHUNK = 50
_FIRST_SECONDS = 120.0


class Worker:
    """A process that tries cases, and the thread that reads its answers."""

    def __init__(self, number: int, whole: Path, scratch: Path, module: str) -> None:
        self.scratch = scratch / f"worker-{number}"
        shutil.rmtree(self.scratch, ignore_errors=True)
        (self.scratch / "tmp").mkdir(parents=True)
        paths = [*MORE_PATHS, str(ROOT), str(ROOT / "src")]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(paths),
            "TMPDIR": str(self.scratch / "tmp"),
            "OMP_NUM_THREADS": "1",
        }
        with (self.scratch / "stderr").open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, str(whole), str(self.scratch)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment,
                text=True,
            )
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.fresh = True

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def ask(self, first: int, last: int) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{first} {last}\n")
        self.process.stdin.flush()

    def answer(self, seconds: float) -> list[object] | None:
        """The next answer; None where the process has ended. Raises queue.Empty when it is late."""
        line = self._lines.get(timeout=_FIRST_SECONDS if self.fresh else seconds)
        self.fresh = False
        return list(json.loads(line)) if line else None

    def end(self) -> int:
        """End the process; returns its status."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.kill()
        status = self.process.wait()
        self._reader.join()
        self.process.stdin.close()
        self.process.stdout.close()
        return status


def cases(
    first: int, rounds: int, workers: int, whole: Path, scratch: Path,
    *, seconds: float = SECONDS_PER_CASE, module: str = "tests.fuzz.worker",
) -> Iterator[tuple[int, str, str]]:  # fmt: skip
    """Try cases in processes; yield each one's number, outcome and line as they come."""
    waiting: queue.Queue[tuple[int, int]] = queue.Queue()
    for start in range(first, first + rounds, _CHUNK):
        waiting.put((start, min(start + _CHUNK, first + rounds)))
    found: queue.Queue[tuple[int, str, str] | None] = queue.Queue()

    def work(number: int) -> None:
        try:
            _work_off(number, waiting, found, whole, scratch, seconds, module)
        finally:
            found.put(None)

    for number in range(workers):
        threading.Thread(target=work, args=(number,), daemon=True).start()
    running = workers
    while running:
        case = found.get()
        if case is None:
            running -= 1
        else:
            yield case


def _work_off(
    number: int,
    waiting: queue.Queue[tuple[int, int]],
    found: queue.Queue[tuple[int, str, str] | None],
    whole: Path,
    scratch: Path,
    seconds: float,
    module: str,
) -> None:
    worker = Worker(number, whole, scratch, module)
    try:
        while True:
            try:
                first, last = waiting.get_nowait()
            except queue.Empty:
                return
            case = first
            while case < last:
                worker.ask(case, last)
                case = _take_answers(worker, case, last, found, seconds)
                if case < last:  # it died on the way: another one goes on
                    worker = Worker(number, whole, scratch, module)
    finally:
        worker.end()


def _take_answers(
    worker: Worker,
    case: int,
    last: int,
    found: queue.Queue[tuple[int, str, str] | None],
    seconds: float,
) -> int:
    """Pass answers on until the process is idle or gone; returns the next case to try."""
    while True:
        try:
            answer = worker.answer(seconds)
        except queue.Empty:
            worker.end()
            found.put((case, "find", f"took more than {seconds:g} s"))
            return case + 1
        if answer is None:
            status = worker.end()
            name = signal.Signals(-status).name if status < 0 else f"status {status}"
            found.put((case, "find", f"the process ended ({name})"))
            return case + 1
        if answer[0] == "idle":
            return last
        if answer[0] != "begin":
            found.put((case, str(answer[0]), str(answer[1])))
            case += 1


def run(first: int, rounds: int, workers: int, folder: Path) -> int:
    """Try cases and print what was found; returns how many finds there are."""
    finds, counts, started = 0, Counter[str](), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ghostless-fuzz-") as name:
        whole, scratch = Path(name, "whole"), Path(name)
        whole.mkdir()
        make_whole_files(whole)
        for number, outcome, line in cases(first, rounds, workers, whole, scratch):
            counts[outcome] += 1
            if outcome == "find":
                finds += 1
                file, data, _ = prepare(number, whole)
                folder.mkdir(parents=True, exist_ok=True)
                kept = folder / f"{number}-{file}"
                kept.write_bytes(data)
                print(f"case {number}: {kept}: {line}", flush=True)
    print(
        f"cases {first} to {first + rounds - 1}: {counts['fine']} were taken, "
        f"{counts['refused']} refused in one line, {finds} finds, "
        f"{time.monotonic() - started:.0f} s"
    )
    return finds


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tests.fuzz", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=10_000, help="how many cases")
    parser.add_argument("--from", type=int, dest="first", help="first case; else goes on")
    parser.add_argument("--workers", type=int, default=2, help="processes at a time")
    parser.add_argument("--folder", type=Path, default=ROOT / ".fuzz", help="where finds are kept")
    options = parser.parse_args(words)
    mark = options.folder / "next"
    first = options.first
    if first is None:
        first = int(mark.read_text()) if mark.is_file() else 0
    finds = run(first, options.rounds, options.workers, options.folder)
    if options.first is None:
        options.folder.mkdir(parents=True, exist_ok=True)
        mark.write_text(str(first + options.rounds))
    return 1 if finds else 0


if __name__ == "__main__":
    sys.exit(main())

"""Programs of others as methods of the benchmark: same photos, same scorer, same run.

With them stands a base line, the reference alone. Each program is run as its own documentation
shows it, with its defaults, from files to a file.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...errors import FileReadError, GhostlessError
from ...work.memory import peak_resident_bytes

_TIME_LIMIT_SECONDS = 1800

Photos = list[NDArray[np.uint8]]


@dataclass(frozen=True)
class Cost:
    """Wall-clock seconds of one run, from files to a file, and its peak memory in bytes."""

    seconds: float
    peak_bytes: int


@dataclass(frozen=True)
class Outside:
    """What there is to know about a program of others.

    merge: takes the photos (BGR uint8) and their exposure in stops; returns display BGR, float
        0..1, or linear BGR where `linear` is asked for. None for a command.
    command: runs a command given photos, output and a folder for its own files. None for a library.
    programs: those that must be installed.
    linear: whether it can give radiance.
    aligns: whether it registers the photos by itself.
    """

    name: str
    summary: str
    merge: Callable[[Photos, Sequence[float], bool], NDArray[Any]] | None = None
    command: Callable[[Sequence[Path], Path, Path], None] | None = None
    programs: tuple[str, ...] = ()
    needs_stops: bool = False
    linear: bool = False
    aligns: bool = False

    def missing(self) -> str | None:
        """Say which program is not installed, None if all are."""
        absent = [program for program in self.programs if shutil.which(program) is None]
        return f"the program {' and '.join(absent)} is not installed" if absent else None

    def version(self) -> str:
        """Return the version of the library or the first line that the program tells."""
        if not self.programs:
            return f"OpenCV {cv2.__version__}"
        return "; ".join(_version(program) for program in self.programs)

    def run(
        self, files: Sequence[Path], stops: Sequence[float], out: Path, *, linear: bool = False
    ) -> Cost:
        """Fuse photos into a .png file, or into an .exr or .hdr file where `linear`.

        Raises GhostlessError where the program fails.
        """
        if self.command is not None:
            return self._run_command(files, out)
        from ...report import Journal

        assert self.merge is not None
        journal = Journal()
        with journal.stage("all"):
            merged = self.merge([_read(file) for file in files], stops, linear)
            _write(merged, out, linear)
        return Cost(journal.stages[0].seconds, journal.stages[0].peak_bytes)

    def _run_command(self, files: Sequence[Path], out: Path) -> Cost:
        from PIL import Image

        assert self.command is not None
        with tempfile.TemporaryDirectory(prefix="ghostless-bench-") as folder:
            result = Path(folder) / "result.tif"
            with _ChildMemory() as memory:
                start = time.perf_counter()
                self.command(files, result, Path(folder))
                seconds = time.perf_counter() - start
            if not result.is_file():
                raise GhostlessError(f"{self.name}: expected it to write a picture, found none")
            with Image.open(result) as image:
                image.convert("RGB").save(out)
        return Cost(seconds, memory.peak_bytes)


# ---- OpenCV ----


def _read(file: Path) -> NDArray[np.uint8]:
    photo = cv2.imread(str(file), cv2.IMREAD_COLOR)
    if photo is None:
        raise FileReadError(f"{file}: expected a photo that OpenCV reads, found another file")
    return np.asarray(photo, np.uint8)


def _write(merged: NDArray[Any], out: Path, linear: bool) -> None:
    if linear:
        from ...bracket import Fused
        from ...io.write import WriteSettings, write_image

        rgb = np.ascontiguousarray(np.nan_to_num(merged[:, :, ::-1], nan=0, posinf=0, neginf=0))
        rgb = np.maximum(rgb, 0).astype(np.float32)
        write_image(Fused(rgb, "linear"), out, WriteSettings(overwrite=True))
        return
    codes = np.rint(np.clip(np.nan_to_num(merged), 0, 1) * 255).astype(np.uint8)
    if not cv2.imwrite(str(out), codes):
        raise GhostlessError(f"{out}: expected to write a picture, OpenCV could not")


def _mertens(photos: Photos, stops: Sequence[float], linear: bool) -> NDArray[Any]:
    return np.asarray(cv2.createMergeMertens().process(photos))


def _aligned_mertens(photos: Photos, stops: Sequence[float], linear: bool) -> NDArray[Any]:
    aligned = [photo.copy() for photo in photos]
    cv2.createAlignMTB().process(photos, aligned)
    return _mertens(aligned, stops, linear)


def _debevec(tone_map: Callable[[], Any]) -> Callable[[Photos, Sequence[float], bool], Any]:
    """OpenCV's tutorial: calibrate the response, merge by it, tone-map with gamma 2.2."""

    def merge(photos: Photos, stops: Sequence[float], linear: bool) -> NDArray[Any]:
        seconds = np.exp2(np.asarray(stops, np.float32) - np.float32(max(stops)))
        response = cv2.createCalibrateDebevec().process(photos, seconds)
        radiance = cv2.createMergeDebevec().process(photos, seconds, response)
        return np.asarray(radiance if linear else tone_map().process(radiance))

    return merge


# ---- a base line ----


def _reference_alone(photos: Photos, stops: Sequence[float], linear: bool) -> NDArray[Any]:
    """The photo whose geometry the truth has, as it is; its light by the bracket's response."""
    reference = (len(photos) - 1) // 2
    if not linear:
        return photos[reference] / np.float32(255)
    from ...align import align_bracket
    from ...bracket import Bracket, Frame
    from ...exposure.response import find_response, recode_to_srgb

    frames = tuple(
        Frame(np.ascontiguousarray(photo[:, :, ::-1]), stops=stop, stops_source="file")
        for photo, stop in zip(photos, stops, strict=True)
    )
    stack = align_bracket(Bracket(frames), reference=reference)
    response, _ = find_response(stack, "auto")
    if response is not None:
        stack = recode_to_srgb(stack, response)
    return stack.frames[reference].linear()[:, :, ::-1]


# ---- commands ----


class _ChildMemory:
    """Watches the largest resident memory of this process's children while it runs."""

    def __init__(self) -> None:
        self.peak_bytes = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> _ChildMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        children = Path(f"/proc/{os.getpid()}/task")
        while not self._end.wait(0.05):
            try:
                pids = {
                    int(pid)
                    for task in children.iterdir()
                    for pid in (task / "children").read_text().split()
                }
            except OSError:
                continue  # a thread that just ended, or a system without /proc
            self.peak_bytes = max([self.peak_bytes, *map(peak_resident_bytes, pids)])


def _call(arguments: Sequence[str]) -> None:
    try:
        done = subprocess.run(
            arguments,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIME_LIMIT_SECONDS,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise GhostlessError(
            f"{arguments[0]}: expected to end within {_TIME_LIMIT_SECONDS} s, found it running"
        ) from None
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:] or ["nothing"]
        raise GhostlessError(
            f"{arguments[0]}: expected exit status 0, found {done.returncode}; it said: {said[0]}"
        )


def _version(program: str) -> str:
    flag = "--version" if program == "enfuse" else "--help"
    answer = subprocess.run(
        [program, flag], capture_output=True, text=True, errors="replace", check=False
    )
    lines = [line.strip() for line in (answer.stdout + answer.stderr).splitlines()]
    return next((line for line in lines if re.search(r"\d+\.\d+", line)), program)


def _enfuse(files: Sequence[Path], out: Path, folder: Path) -> None:
    _call(["enfuse", "--output", str(out), *map(str, files)])


def _hugin(files: Sequence[Path], out: Path, folder: Path) -> None:
    _call(["align_image_stack", "-a", str(folder / "aligned_"), *map(str, files)])
    _enfuse(sorted(folder.glob("aligned_*.tif")), out, folder)


OUTSIDE: dict[str, Outside] = {
    tool.name: tool
    for tool in (
        Outside("opencv-mertens", "OpenCV's exposure fusion", merge=_mertens),
        Outside(
            "opencv-mtb-mertens",
            "OpenCV's alignment by median thresholds, then its exposure fusion",
            merge=_aligned_mertens,
            aligns=True,
        ),
        Outside(
            "opencv-debevec",
            "OpenCV's response calibration and radiance merge, Reinhard's curve",
            merge=_debevec(lambda: cv2.createTonemapReinhard(2.2)),
            needs_stops=True,
            linear=True,
        ),
        Outside(
            "opencv-debevec-drago",
            "the same with Drago's curve",
            merge=_debevec(lambda: cv2.createTonemapDrago(2.2)),
            needs_stops=True,
            linear=True,
        ),
        Outside(
            "reference-alone",
            "base line: the middle photo alone, the darker of two; a merge should beat it",
            merge=_reference_alone,
            needs_stops=True,
            linear=True,
        ),
        Outside("enfuse", "Enblend's exposure fusion", command=_enfuse, programs=("enfuse",)),
        Outside(
            "hugin",
            "Hugin's align_image_stack, then enfuse",
            command=_hugin,
            programs=("align_image_stack", "enfuse"),
            aligns=True,
        ),
    )
}

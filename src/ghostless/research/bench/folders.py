"""Whole folders: how many brackets a minute `ghostless batch` makes, and how many it mistakes.

A day of shooting is simulated as files: brackets of several patterns of small rendered rooms, each
its own view, with single shots and interrupted series in between, pauses from none to minutes,
long exposures, and a share of the photos without metadata. Everything is measured on the command
itself, in processes of their own: grouping by the plan that it writes, speed by fusing the folder
once by one process and once by all.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ... import __version__
from ...errors import GhostlessError, OptionError
from ...pixels import color
from ...pixels.stripes import core_count

PATTERNS: Final = (
    (-2.0, 0.0, 2.0),
    (0.0, -2.0, 2.0),
    (0.0, -1.0, 1.0, -2.0, 2.0),
    (-4.0, -2.0, 0.0, 2.0, 4.0),
    (-3.0, 0.0, 3.0),
)
# How often a photographer does what between two brackets.
_SINGLE_SHARE, _INTERRUPTED_SHARE, _REPEATED_SHARE = 0.25, 0.04, 0.08
_BRACKETS_OF_ONE_JOB: Final = 20
_PAUSES_SECONDS: Final = (1.0, 2.0, 4.0, 8.0, 30.0, 120.0)
_FRAME_SECONDS: Final = 0.25  # between the end of one exposure of a series and the next


@dataclass(frozen=True)
class GroupingResult:
    """How many brackets came out wrong where a share of the photos had lost its metadata.

    wrong: brackets and interrupted series that are not in the plan as they were taken, and brackets
        in the plan that nobody took.
    """

    missing_share: float
    photos: int
    brackets: int
    wrong: int
    seconds: float

    @property
    def error_share(self) -> float:
        return self.wrong / self.brackets


@dataclass(frozen=True)
class FolderResult:
    """Results of `run`: grouping, and brackets a minute by jobs at a time."""

    brackets: int
    megapixels: float
    grouping: tuple[GroupingResult, ...]
    per_minute: dict[int, float]
    cores: int
    seed: int
    version: str = __version__

    def as_dict(self) -> dict[str, Any]:
        """Return the result in plain JSON types."""
        facts = asdict(self)
        for row, result in zip(facts["grouping"], self.grouping, strict=True):
            row["error_share"] = result.error_share
        facts["per_minute"] = {str(jobs): rate for jobs, rate in self.per_minute.items()}
        return facts

    def as_text(self) -> str:
        """Return a line for each measurement."""
        lines = [
            f"grouping, {100 * g.missing_share:.0f} % without EXIF: {g.wrong} of {g.brackets} "
            f"brackets wrong ({100 * g.error_share:.2f} %), {g.photos} photos in {g.seconds:.1f} s"
            for g in self.grouping
        ]
        slowest = self.per_minute[1]
        lines += [
            f"{jobs} at a time: {rate:.1f} brackets a minute ({rate / slowest:.2f} of one process)"
            for jobs, rate in self.per_minute.items()
        ]
        lines.append(
            f"{self.brackets} brackets of {self.megapixels:g} megapixels, {self.cores} cores"
        )
        return "\n".join(lines)


def run(
    brackets: int = 200,
    megapixels: float = 0.3,
    missing: Sequence[float] = (0.0, 0.1),
    jobs: Sequence[int] | None = None,
    seed: int = 0,
    *,
    progress: Callable[[str, float], None] | None = None,
) -> FolderResult:
    """Simulate a shoot, group it at each share of missing metadata, and fuse it.

    jobs: brackets at a time to compare, 1 first; None for one and for one per core.
    """
    if brackets < 1:
        raise OptionError(f"brackets: expected at least 1, found {brackets}")
    for share in missing:
        if not 0 <= share <= 1:
            raise OptionError(f"missing: expected shares from 0 to 1, found {share}")
    tell = progress or (lambda stage, share: None)
    counts = tuple(dict.fromkeys((1, *(jobs or (core_count(),)))))
    with tempfile.TemporaryDirectory(prefix="ghostless-bench-") as folder:
        root = Path(folder)
        grouping = []
        for number, share in enumerate(missing):
            shoot = root / f"shoot_{number}"
            truth = simulate_shoot(
                shoot, brackets, megapixels, share, seed, lambda done: tell("photograph", done)
            )
            tell("group", number / len(missing))
            grouping.append(_grouping(shoot, root / f"plan_{number}.csv", truth, share))
        rates = {}
        for number, count in enumerate(counts):
            tell("fuse", number / len(counts))
            rates[count] = _brackets_per_minute(
                root / "shoot_0", root / f"out_{count}", root / "plan_0.csv", count
            )
    return FolderResult(brackets, megapixels, tuple(grouping), rates, core_count(), seed)


# --- measuring the command -----------------------------------------------------------------------


def _grouping(
    shoot: Path, plan: Path, truth: Sequence[tuple[str, ...]], share: float
) -> GroupingResult:
    start = time.perf_counter()
    _command("batch", shoot, "--plan", plan, "--quiet")
    seconds = time.perf_counter() - start
    groups: dict[str, list[str]] = {}
    photos = 0
    for row in csv.DictReader(io.StringIO(plan.read_text("utf-8-sig"))):
        photos += 1
        if row["group"]:
            groups.setdefault(row["group"], []).append(row["file"])
    found = {tuple(files) for files in groups.values()}
    wanted = {files for files in truth if len(files) > 1}
    missed, invented = wanted - found, found - wanted
    wrong = max(len(missed), len(invented))
    return GroupingResult(share, photos, len(wanted), wrong, seconds)


def _brackets_per_minute(shoot: Path, out: Path, plan: Path, jobs: int) -> float:
    words: list[str | Path] = [
        "batch",
        shoot,
        "--plan",
        plan,
        "-o",
        out,
        "--jobs",
        str(jobs),
        "--json",
    ]
    start = time.perf_counter()
    done = json.loads(_command(*words))["counts"]["done"]
    return 60 * float(done) / (time.perf_counter() - start)


def _command(*words: str | Path) -> str:
    here = str(Path(__file__).resolve().parents[3])
    paths = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-m", "ghostless", *map(str, words)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
        check=False,
    )
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or ["nothing"]
        raise GhostlessError(
            f"ghostless {words[0]}: expected exit status 0, found {done.returncode}; "
            f"it said: {last[0]}"
        )
    return done.stdout


# --- a simulated day -----------------------------------------------------------------------------


def simulate_shoot(
    folder: Path,
    brackets: int,
    megapixels: float,
    missing_share: float,
    seed: int,
    progress: Callable[[float], None] | None = None,
) -> list[tuple[str, ...]]:
    """Write a day's photos into a folder; return the names of each bracket and single shot.

    The same seed takes the same photos; `missing_share` of them have no Exif at all.
    """
    folder.mkdir(parents=True, exist_ok=True)
    camera = _Camera(folder, megapixels, seed, missing_share)
    taken = 0
    while taken < brackets:
        if taken % _BRACKETS_OF_ONE_JOB == 0:
            camera.next_job()
        dice = camera.dice.random()
        if dice < _SINGLE_SHARE:
            camera.new_view()
            camera.series((0.0,))
        elif dice < _SINGLE_SHARE + _INTERRUPTED_SHARE:
            camera.new_view()
            camera.series(camera.pattern[:-1])
        else:
            if dice > 1 - _REPEATED_SHARE and taken:
                camera.clock -= camera.pause  # at once, and of the same view
            else:
                camera.new_view()
            camera.series(camera.pattern)
            taken += 1
            if progress is not None:
                progress(taken / brackets)
    return camera.truth


class _Camera:
    """Walks through rooms: exposure by its own meter, times, names, files."""

    def __init__(self, folder: Path, megapixels: float, seed: int, missing_share: float) -> None:
        self.dice = np.random.default_rng(seed)
        # What is lost must not change what is taken.
        self._losses = np.random.default_rng(seed + 1)
        self._missing_share = missing_share
        self._folder = folder
        self._width = max(48, round(math.sqrt(megapixels * 1e6 * 1.5)))
        self._height = max(32, round(self._width / 1.5))
        self._number = 0
        self._view: NDArray[np.float32] | None = None
        self.base = 0.0
        self.pattern: tuple[float, ...] = PATTERNS[0]
        self.truth: list[tuple[str, ...]] = []
        self.clock = datetime(2026, 6, 21, 9, 0, tzinfo=UTC).timestamp()
        self.pause = 0.0

    def next_job(self) -> None:
        """Another house, another setting."""
        self.pattern = PATTERNS[int(self.dice.integers(len(PATTERNS)))]
        self.clock += 1800

    def new_view(self) -> None:
        """Turn to something else, and let the camera meter it: from 1/250 s to 8 s."""
        self._view = _view(self._height, self._width, self.dice)
        self.base = float(self.dice.integers(-24, 10)) / 3

    def series(self, offsets: Sequence[float]) -> None:
        """Take photos one after the other, then pause."""
        self.truth.append(tuple(self._take(offset) for offset in offsets))
        self.pause = float(self.dice.choice(_PAUSES_SECONDS))
        self.clock += self.pause

    def _take(self, offset: float) -> str:
        from PIL import Image
        from PIL.TiffImagePlugin import IFDRational

        assert self._view is not None
        self._number += 1
        name = f"DSC_{self._number:04d}.jpg"
        seconds = 2.0 ** (self.base + offset)
        exif = Image.Exif()
        exif[0x010F], exif[0x0110] = "Ghostless", "Simulated camera"
        details = exif.get_ifd(0x8769)
        fast = seconds < 0.3
        details[0x829A] = (
            IFDRational(1, round(1 / seconds)) if fast else IFDRational(round(seconds * 10), 10)
        )
        details[0x829D], details[0x8827] = IFDRational(8, 1), 100
        when = datetime.fromtimestamp(self.clock, UTC)
        details[0x9003] = when.strftime("%Y:%m:%d %H:%M:%S")
        details[0x920A] = IFDRational(24, 1)
        if self._losses.random() < self._missing_share:
            exif = Image.Exif()
        shake = self.dice.uniform(-1.5, 1.5, 2)
        moved = cv2.warpAffine(
            self._view,
            np.array([[1, 0, shake[0]], [0, 1, shake[1]]]),
            (self._width, self._height),
            borderMode=cv2.BORDER_REFLECT,
        )
        light = moved * np.float32(0.2 * 2.0**offset)
        noise = self.dice.standard_normal(light.shape, np.float32)
        light += noise * np.sqrt(np.maximum(light, 0) * np.float32(4e-5) + np.float32(1e-6))
        codes = np.rint(color.linear_to_srgb(np.clip(light, 0, 1)) * 255).astype(np.uint8)
        Image.fromarray(codes).save(self._folder / name, quality=92, exif=exif)
        self.clock += seconds + _FRAME_SECONDS
        return name


def _view(height: int, width: int, dice: np.random.Generator) -> NDArray[np.float32]:
    """Light of a room-like view (H, W, 3), median about 1: walls, things, a window, texture."""
    log2_light = np.zeros((height, width), np.float32)
    size = max(height, width) / 3
    strength = 0.8
    while size >= 2:
        grid = (max(2, round(height / size)), max(2, round(width / size)))
        layer = dice.standard_normal(grid).astype(np.float32) * np.float32(strength)
        log2_light += cv2.resize(layer, (width, height), interpolation=cv2.INTER_LINEAR)
        size, strength = size / 3, strength * 0.6
    for number in range(24):
        y, x = int(dice.integers(height)), int(dice.integers(width))
        h, w = (int(dice.integers(2, max(3, side // 3))) for side in (height, width))
        log2_light[y : y + h, x : x + w] += np.float32(
            4.0 if number == 0 else dice.uniform(-1.5, 1.5)
        )
    tint = dice.uniform(-0.4, 0.4, (1, 1, 3)).astype(np.float32)
    light = np.exp2(log2_light[:, :, None] + tint)
    return np.asarray(light / np.median(light), np.float32)

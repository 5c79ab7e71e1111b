"""What a measurement of speed found: costs, targets, and the file that keeps them."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from ...errors import (
    FileReadError,
    MissingPackageError,
    OutputError,
)
from ...io.write import WriteSettings, write_text
from . import networks
from .networks import NetworkCost

COMMAND = "ghostless fuse"

# What a method and the whole command may take, on two cores and 3 x 24 megapixels: share of the
# time of the peer named, seconds, bytes.
TARGET_RATIO = {("mertens", "opencv-mertens"): 0.6}
TARGET_SECONDS = {COMMAND: 20.0}
TARGET_BYTES = {"mertens": 1.2e9, COMMAND: 2.5e9}
TARGETS_HOLD_FOR = (24.0, 3)


@dataclass(frozen=True)
class Cost:
    """What one contender took: seconds of each run, and the highest peak memory of them.

    peak_bytes: highest resident memory of the process, 0 where the system cannot tell.
    core_seconds: of each run, of all cores together; none of whole commands.
    """

    name: str
    version: str
    kind: Literal["in memory", "whole command"]
    seconds: tuple[float, ...]
    peak_bytes: int
    core_seconds: tuple[float, ...] = ()

    @property
    def median_seconds(self) -> float:
        return statistics.median(self.seconds)


@dataclass(frozen=True)
class SpeedResult:
    """Costs of all contenders of one call.

    peers: names of those that are not ours. networks: costs of methods that are networks.
    """

    megapixels: float
    frames: int
    costs: tuple[Cost, ...]
    peers: tuple[str, ...]
    cores: int
    opencv_threads: int
    versions: dict[str, str]
    networks: tuple[NetworkCost, ...] = ()

    def cost(self, name: str) -> Cost:
        return next(cost for cost in self.costs if cost.name == name)

    @property
    def ratios(self) -> dict[tuple[str, str], float]:
        """Median time of ours as a share of that of the peers that do the same."""
        ours = [cost for cost in self.costs if cost.name not in self.peers]
        theirs = [cost for cost in self.costs if cost.name in self.peers]
        return {
            (own.name, peer.name): own.median_seconds / peer.median_seconds
            for own in ours
            for peer in theirs
            if PEERS[peer.name].does == own.name
        }

    @property
    def missed_targets(self) -> tuple[str, ...]:
        """The targets that were missed, in words; none are set for other sizes than 3 x 24 MP."""
        of_networks = [words for cost in self.networks for words in cost.missed_targets]
        if (self.megapixels, self.frames) != TARGETS_HOLD_FOR:
            return tuple(of_networks)
        missed = [
            f"{own} took {ratio:.2f} of the time of {peer}, target {TARGET_RATIO[own, peer]}"
            for (own, peer), ratio in self.ratios.items()
            if ratio > TARGET_RATIO.get((own, peer), np.inf)
        ]
        for cost in self.costs:
            seconds, limit = cost.median_seconds, TARGET_SECONDS.get(cost.name, np.inf)
            if seconds > limit:
                missed.append(f"{cost.name} took {seconds:.1f} s, target {limit:.0f}")
            if cost.peak_bytes > TARGET_BYTES.get(cost.name, np.inf):
                missed.append(
                    f"{cost.name} took {cost.peak_bytes / 1e9:.2f} GB, "
                    f"target {TARGET_BYTES[cost.name] / 1e9}"
                )
        return (*missed, *of_networks)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for a JSON file."""
        return {
            "megapixels": self.megapixels,
            "frames": self.frames,
            "cores": self.cores,
            "opencv_threads": self.opencv_threads,
            "versions": self.versions,
            "costs": [
                {
                    **vars(cost),
                    "seconds": list(cost.seconds),
                    "core_seconds": list(cost.core_seconds),
                    "median_seconds": cost.median_seconds,
                }
                for cost in self.costs
            ],
            "networks": [cost.as_dict() for cost in self.networks],
            "ratios": {f"{own} / {peer}": ratio for (own, peer), ratio in self.ratios.items()},
            "missed_targets": list(self.missed_targets),
        }

    def as_text(self) -> str:
        """Return a table for the screen."""
        lines = [
            f"{self.frames} x {self.megapixels:g} megapixels; {self.cores} cores, OpenCV with "
            f"{self.opencv_threads} threads; each in a process of its own, in turn; median (range)",
            f"{'contender':<18} {'version':<12} {'what':<14} {'seconds':>8} {'':<17} "
            f"{'peak GB':>7}",
        ]
        for cost in self.costs:
            spread = f"({min(cost.seconds):.2f} to {max(cost.seconds):.2f})"
            lines.append(
                f"{cost.name:<18} {cost.version:<12} {cost.kind:<14} {cost.median_seconds:>8.2f} "
                f"{spread:<17} {cost.peak_bytes / 1e9:>7.2f}"
            )
        lines += [
            f"{own}: {ratio:.2f} of the time of {peer}"
            for (own, peer), ratio in self.ratios.items()
        ]
        lines += networks.text_of(self.networks)
        lines += [f"missed: {words}" for words in self.missed_targets]
        return "\n".join(lines)


FILE = "speed.json"


def check_folder(folder: Path) -> None:
    """Make the folder that `save` writes to. Raises OutputError where it cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder}: expected a folder to write {FILE} to, found none and could not make it "
            f"({error.strerror}); name another"
        ) from None


def save(result: SpeedResult, folder: Path) -> None:
    """Write speed.json, which `bench report` reads where it lies beside a suite's results."""
    text = json.dumps(result.as_dict(), indent=1) + "\n"
    write_text(text, folder / FILE, WriteSettings(overwrite=True))


@dataclass(frozen=True)
class SpeedRow:
    """One line of the table of speeds in a report.

    quality: of a network, "" for other methods. megapixels: of the photos measured on.
    core_seconds_per_megapixel: of all cores together, whatever else they did; None if not measured.
    share: of the machine's matrix rate, None where it does not apply. published: in words.
    """

    name: str
    quality: str
    megapixels: float
    seconds_per_megapixel: float
    share: float | None
    peak_bytes: int
    device: str
    published: str
    random_weights: bool
    core_seconds_per_megapixel: float | None = None


def load_rows(folder: Path) -> tuple[SpeedRow, ...]:
    """Read the speeds beside a suite's results; none where they were not measured.

    Raises FileReadError for a damaged file.
    """
    path = folder / FILE
    if not path.is_file():
        return ()
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        size, cores = float(found["megapixels"]), int(found["cores"])
        rows = [
            SpeedRow(
                cost["name"],
                "",
                size,
                float(cost["median_seconds"]) / size,
                None,
                int(cost["peak_bytes"]),
                f"CPU, {cores} cores",
                "",
                False,
                _median_for(cost.get("core_seconds"), size),
            )
            for cost in found["costs"]
        ]
        for cost in found["networks"]:
            runtime = networks.paper_runtime(cost["name"])
            on_cpu = cost["device"] == "cpu"
            rows.append(
                SpeedRow(
                    cost["name"],
                    cost["quality"],
                    float(cost["megapixels"]),
                    float(cost["seconds_per_megapixel"]),
                    cost["share_of_matrix_rate"],
                    int(cost["device_peak_bytes"] or cost["peak_bytes"]),
                    f"CPU, {cores} cores" if on_cpu else "GPU",
                    "" if runtime is None else runtime.in_words(),
                    bool(cost["random_weights"]),
                    _median_for(cost.get("core_seconds"), float(cost["megapixels"])),
                )
            )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FileReadError(
            f"{path}: expected what 'ghostless bench speed -o DIR' wrote, found a damaged file "
            f"({type(error).__name__}); measure again, or remove it"
        ) from None
    return tuple(rows)


def _median_for(seconds: Sequence[float] | None, megapixels: float) -> float | None:
    return statistics.median(seconds) / megapixels if seconds else None


@dataclass(frozen=True)
class Peer:
    """A program of others.

    does: our contender that does the same.
    fuse: takes the frames, uint8 RGB, and their exposure in stops; None for a command.
    command: its arguments given the files and the output; None for a library.
    """

    name: str
    does: str
    version: Callable[[], str]
    fuse: Callable[[list[NDArray[np.uint8]], list[float]], Any] | None = None
    command: Callable[[Sequence[Path], Path], list[str]] | None = None


def _opencv_mertens(frames: list[NDArray[np.uint8]], stops: list[float]) -> Any:
    return cv2.createMergeMertens().process(frames)


def _opencv_debevec(frames: list[NDArray[np.uint8]], stops: list[float]) -> Any:
    return cv2.createMergeDebevec().process(frames, np.exp2(np.asarray(stops, np.float32)))


def _enfuse_version() -> str:
    if shutil.which("enfuse") is None:
        raise MissingPackageError(
            "enfuse: expected the program to be installed, found none; install the package enfuse "
            "or leave this peer out"
        )
    answer = subprocess.run(["enfuse", "--version"], capture_output=True, text=True, check=False)
    words = answer.stdout.split()
    return words[1] if len(words) > 1 else "unknown"


PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        Peer("opencv-mertens", "mertens", lambda: cv2.__version__, fuse=_opencv_mertens),
        Peer("opencv-debevec", "debevec", lambda: cv2.__version__, fuse=_opencv_debevec),
        Peer(
            "enfuse",
            COMMAND,
            _enfuse_version,
            command=lambda files, out: ["enfuse", "-o", str(out), *map(str, files)],
        ),
    )
}

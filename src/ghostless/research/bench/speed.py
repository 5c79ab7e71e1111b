"""Speed and memory, side by side with the programs that people use today.

Every contender runs in a fresh process of its own, all of them in turn and the whole round several
times, so that what else the machine does falls on all alike. A method gets the photos in memory,
decoded, and only the fusing is timed; a command gets the files and is timed as a whole. Peak memory
is that of the process, photos included. Networks have a table of their own, see `networks`.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from ... import __version__
from ...errors import (
    GhostlessError,
    OptionError,
    unknown_name,
)
from ...methods import METHODS
from ...pixels.stripes import Progress, core_count
from ...work.memory import peak_resident_bytes
from . import networks
from .networks import NetworkCost, NetworkQuality
from .speed_process import photo_files
from .speed_results import COMMAND, PEERS, Cost, SpeedResult

_MODULE = "ghostless.research.bench.speed_process"
_TIME_LIMIT_SECONDS = 900


@dataclass(frozen=True)
class _Contender:
    name: str
    version: str
    kind: Literal["in memory", "whole command"]
    arguments: list[str]
    out: Path | None = None
    quality: NetworkQuality | None = None


@dataclass(frozen=True)
class _Run:
    """What a contender took once; core_seconds: None of a whole command."""

    seconds: float
    core_seconds: float | None
    peak_bytes: int


def run(
    megapixels: float = 24,
    frames: int = 3,
    methods: Sequence[str] = ("mertens",),
    peers: Sequence[str] = ("opencv-mertens",),
    whole_command: bool = True,
    repeats: int = 3,
    *,
    progress: Progress | None = None,
) -> SpeedResult:
    """Measure methods, peers and the whole command on a synthetic bracket.

    megapixels, frames: size of the bracket; it is made from a seed and saved as JPEGs.
    methods: names from `ghostless methods`. peers: names from PEERS.
    whole_command: also time `ghostless fuse` from files to a file, alignment and deghosting on.
    progress: called with the fraction done, 0..1.
    Raises OptionError for unknown names or sizes, MissingPackageError for a peer that is not
    installed, GhostlessError where a contender fails.
    """
    _check(megapixels, frames, repeats, methods, peers)
    classical = [name for name in methods if not METHODS[name].needs_extra]
    of_networks = [name for name in methods if METHODS[name].needs_extra]
    answers: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="ghostless-speed-") as folder:
        contenders = _contenders(Path(folder), frames, classical, peers, whole_command)
        if contenders:
            _run_python("make", str(folder), str(megapixels), str(frames))
        learned = _network_contenders(Path(folder), megapixels, of_networks)
        everyone = [*contenders, *learned]
        runs: dict[str, list[_Run]] = {c.name: [] for c in everyone}
        for round_number in range(repeats):
            for position, contender in enumerate(everyone):
                made, answers[contender.name] = _measure(contender)
                runs[contender.name].append(made)
                if progress is not None:
                    done = round_number * len(everyone) + position + 1
                    progress(done / (repeats * len(everyone)))
    return SpeedResult(
        megapixels=megapixels,
        frames=frames,
        costs=tuple(_cost(contender, runs[contender.name]) for contender in contenders),
        peers=tuple(peers),
        cores=core_count(),
        opencv_threads=cv2.getNumThreads(),
        versions=_versions(),
        networks=tuple(
            _network_cost(contender, megapixels, runs[contender.name], answers[contender.name])
            for contender in learned
        ),
    )


def _check(
    megapixels: float, frames: int, repeats: int, methods: Sequence[str], peers: Sequence[str]
) -> None:
    if not 0.01 <= megapixels <= 500 or not 2 <= frames <= 20 or repeats < 1:
        raise OptionError(
            "expected 0.01 to 500 megapixels, 2 to 20 frames and at least 1 repeat, found "
            f"{megapixels}, {frames} and {repeats}"
        )
    for kind, names, known in (("method", methods, METHODS), ("peer", peers, PEERS)):
        for name in names:
            if name not in known:
                raise unknown_name(kind, name, known)
    for name in methods:
        if not METHODS[name].needs_extra and (why := METHODS[name].why_not_here()):
            raise OptionError(why)


def _versions() -> dict[str, str]:
    return {
        "ghostless": __version__,
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "python": platform.python_version(),
    }


def _cost(contender: _Contender, runs: Sequence[_Run]) -> Cost:
    return Cost(
        contender.name,
        contender.version,
        contender.kind,
        tuple(run.seconds for run in runs),
        max(run.peak_bytes for run in runs),
        tuple(run.core_seconds for run in runs if run.core_seconds is not None),
    )


def _network_contenders(folder: Path, megapixels: float, names: Sequence[str]) -> list[_Contender]:
    """Both qualities of each network, on brackets of as many frames as it sees at once."""
    contenders = []
    for name in names:
        frames = networks.frames_of(name)
        for quality in networks.QUALITIES:
            size = _network_megapixels(quality, megapixels)
            bracket = folder / f"{frames}_frames_{size:g}"
            if not bracket.exists():
                bracket.mkdir()
                _run_python("make", str(bracket), str(size), str(frames))
            words = ["network", name, quality, *map(str, photo_files(bracket, frames))]
            arguments = [sys.executable, "-m", _MODULE, *words]
            contenders.append(
                _Contender(f"{name} {quality}", __version__, "in memory", arguments, None, quality)
            )
    return contenders


def _network_megapixels(quality: NetworkQuality, megapixels: float) -> float:
    return min(megapixels, networks.FULL_MEGAPIXELS) if quality == "full" else megapixels


def _network_cost(
    contender: _Contender,
    megapixels: float,
    runs: Sequence[_Run],
    answer: dict[str, Any],
) -> NetworkCost:
    assert contender.quality is not None
    name = contender.name.removesuffix(f" {contender.quality}")
    of_runs = ("seconds", "core_seconds", "peak_bytes")
    facts = {key: value for key, value in answer.items() if key not in of_runs}
    return NetworkCost(
        name=name,
        quality=contender.quality,
        megapixels=_network_megapixels(contender.quality, megapixels),
        frames=networks.frames_of(name),
        seconds=tuple(run.seconds for run in runs),
        core_seconds=tuple(run.core_seconds for run in runs if run.core_seconds is not None),
        peak_bytes=max(run.peak_bytes for run in runs),
        **facts,
    )


def _contenders(
    folder: Path,
    frames: int,
    methods: Sequence[str],
    peers: Sequence[str],
    whole_command: bool,
) -> list[_Contender]:
    files = photo_files(folder, frames)
    in_memory = [sys.executable, "-m", _MODULE]
    contenders = []
    for name in methods:
        taken = files[: METHODS[name].frames[1]]
        arguments = [*in_memory, "method", name, *map(str, taken)]
        contenders.append(_Contender(name, __version__, "in memory", arguments))
    for name in peers:
        peer = PEERS[name]
        version = peer.version()
        if peer.command is None:
            arguments = [*in_memory, "peer", name, *map(str, files)]
            contenders.append(_Contender(name, version, "in memory", arguments))
        else:
            out = folder / f"{name}.tif"
            arguments = peer.command(files, out)
            contenders.append(_Contender(name, version, "whole command", arguments, out))
    if whole_command:
        out = folder / "ghostless.jpg"
        command = [sys.executable, "-m", "ghostless", "fuse", *map(str, files), "-o", str(out)]
        contenders.append(_Contender(COMMAND, __version__, "whole command", command, out))
    return contenders


def _environment() -> dict[str, str]:
    """Return the environment with this very package on the path."""
    here = str(Path(__file__).resolve().parents[3])
    paths = [here, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def _run_python(*arguments: str) -> str:
    return _run([sys.executable, "-m", _MODULE, *arguments])[0]


def _run(arguments: list[str]) -> tuple[str, float, int]:
    """Run a program; return what it printed, its seconds and its peak memory in bytes.

    The memory is the system's account of the ended process, which starts at what this process held
    when it started the other one (so pictures are made elsewhere), or the highest that was seen
    while it ran: `ghostless fuse` resets its own account at every stage.
    """
    with tempfile.TemporaryFile() as printed, tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        process = subprocess.Popen(arguments, stdout=printed, stderr=errors, env=_environment())
        peak = 0
        try:
            if hasattr(os, "wait4"):
                peak = _wait_for(process)
            else:
                process.wait(_TIME_LIMIT_SECONDS)
        except BaseException:
            process.kill()
            process.wait()
            raise
        seconds = time.perf_counter() - start
        printed.seek(0)
        errors.seek(0)
        text = printed.read().decode(errors="replace")
        if process.returncode != 0:
            last = errors.read().decode(errors="replace").strip().splitlines()[-1:] or ["nothing"]
            raise GhostlessError(
                f"{' '.join(arguments[:4])} ...: expected exit status 0, found "
                f"{process.returncode}; it said: {last[0]}"
            )
    return text, seconds, peak


def _wait_for(process: subprocess.Popen[bytes]) -> int:
    """Wait for the end of a process and return its peak memory in bytes."""
    end = time.perf_counter() + _TIME_LIMIT_SECONDS
    pause, seen = 0.001, 0
    while True:
        seen = max(seen, peak_resident_bytes(process.pid))
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return max(seen, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024))
        if time.perf_counter() > end:
            raise GhostlessError(
                f"{process.args!r}: expected to end within {_TIME_LIMIT_SECONDS} s, found it "
                "running; measure fewer megapixels"
            )
        time.sleep(pause)
        pause = min(pause * 1.5, 0.02)


def _measure(contender: _Contender) -> tuple[_Run, dict[str, Any]]:
    """Run a contender once; return what it took and all that it told."""
    if contender.out is not None:
        contender.out.unlink(missing_ok=True)
    printed, seconds, peak = _run(contender.arguments)
    if contender.kind == "whole command":
        return _Run(seconds, None, peak), {}
    answer: dict[str, Any] = json.loads(printed)
    peak = int(answer["peak_bytes"]) or peak
    return _Run(float(answer["seconds"]), float(answer["core_seconds"]), peak), answer

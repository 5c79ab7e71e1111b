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
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from ... import __version__
from ...errors import (
    FileReadError,
    GhostlessError,
    MissingPackageError,
    OptionError,
    OutputError,
    unknown_name,
)
from ...io.write import WriteSettings, write_text
from ...methods import METHODS
from ...pixels.stripes import Progress, core_count
from ...work.memory import peak_resident_bytes
from . import networks
from .networks import NetworkCost, NetworkQuality

COMMAND = "ghostless fuse"

# What a method and the whole command may take, on two cores and 3 x 24 megapixels: share of the
# time of the peer named, seconds, bytes.
TARGET_RATIO = {("mertens", "opencv-mertens"): 0.6}
TARGET_SECONDS = {COMMAND: 20.0}
TARGET_BYTES = {"mertens": 1.2e9, COMMAND: 2.5e9}
TARGETS_HOLD_FOR = (24.0, 3)

_MODULE = "ghostless.research.bench.speed"
_TIME_LIMIT_SECONDS = 900
_STEP_STOPS = 2.0
_JPEG_QUALITY = 95
_SEED = 20


@dataclass(frozen=True)
class Cost:
    """What one contender took: seconds of each run, and the highest peak memory of them.

    peak_bytes: highest resident memory of the process, 0 where the system cannot tell.
    """

    name: str
    version: str
    kind: Literal["in memory", "whole command"]
    seconds: tuple[float, ...]
    peak_bytes: int

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
            )
            for cost in found["costs"]
        ]
        for cost in found["networks"]:
            runtime = networks.PAPER_RUNTIMES.get(cost["name"])
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
                )
            )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FileReadError(
            f"{path}: expected what 'ghostless bench speed -o DIR' wrote, found a damaged file "
            f"({type(error).__name__}); measure again, or remove it"
        ) from None
    return tuple(rows)


# ---- contenders ----


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


@dataclass(frozen=True)
class _Contender:
    name: str
    version: str
    kind: Literal["in memory", "whole command"]
    arguments: list[str]
    out: Path | None = None
    quality: NetworkQuality | None = None


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
    if not 0.01 <= megapixels <= 500 or not 2 <= frames <= 20 or repeats < 1:
        raise OptionError(
            "expected 0.01 to 500 megapixels, 2 to 20 frames and at least 1 repeat, found "
            f"{megapixels}, {frames} and {repeats}"
        )
    for kind, names, known in (("method", methods, METHODS), ("peer", peers, PEERS)):
        for name in names:
            if name not in known:
                raise unknown_name(kind, name, known)
    classical = [name for name in methods if not METHODS[name].needs_torch]
    of_networks = [name for name in methods if METHODS[name].needs_torch]
    answers: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="ghostless-speed-") as folder:
        contenders = _contenders(Path(folder), frames, classical, peers, whole_command)
        if contenders:
            _run_python("make", str(folder), str(megapixels), str(frames))
        learned = _network_contenders(Path(folder), megapixels, of_networks)
        everyone = [*contenders, *learned]
        runs: dict[str, list[tuple[float, int]]] = {c.name: [] for c in everyone}
        for round_number in range(repeats):
            for position, contender in enumerate(everyone):
                seconds, peak, answers[contender.name] = _measure(contender)
                runs[contender.name].append((seconds, peak))
                if progress is not None:
                    done = round_number * len(everyone) + position + 1
                    progress(done / (repeats * len(everyone)))
    return SpeedResult(
        megapixels=megapixels,
        frames=frames,
        costs=tuple(
            Cost(
                contender.name,
                contender.version,
                contender.kind,
                tuple(seconds for seconds, _ in runs[contender.name]),
                max(peak for _, peak in runs[contender.name]),
            )
            for contender in contenders
        ),
        peers=tuple(peers),
        cores=core_count(),
        opencv_threads=cv2.getNumThreads(),
        versions={
            "ghostless": __version__,
            "numpy": np.__version__,
            "opencv": cv2.__version__,
            "python": platform.python_version(),
        },
        networks=tuple(
            _network_cost(contender, megapixels, runs[contender.name], answers[contender.name])
            for contender in learned
        ),
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
            words = ["network", name, quality, *map(str, _files(bracket, frames))]
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
    runs: Sequence[tuple[float, int]],
    answer: dict[str, Any],
) -> NetworkCost:
    assert contender.quality is not None
    name = contender.name.removesuffix(f" {contender.quality}")
    facts = {key: value for key, value in answer.items() if key not in ("seconds", "peak_bytes")}
    return NetworkCost(
        name=name,
        quality=contender.quality,
        megapixels=_network_megapixels(contender.quality, megapixels),
        frames=networks.frames_of(name),
        seconds=tuple(seconds for seconds, _ in runs),
        peak_bytes=max(peak for _, peak in runs),
        **facts,
    )


def _contenders(
    folder: Path,
    frames: int,
    methods: Sequence[str],
    peers: Sequence[str],
    whole_command: bool,
) -> list[_Contender]:
    files = _files(folder, frames)
    in_memory = [sys.executable, "-m", _MODULE]
    contenders = [
        _Contender(name, __version__, "in memory", [*in_memory, "method", name, *map(str, files)])
        for name in methods
    ]
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


def _files(folder: Path, frames: int) -> list[Path]:
    return [folder / f"frame_{index:02d}.jpg" for index in range(frames)]


def _stops(frames: int) -> list[float]:
    return [_STEP_STOPS * (index - (frames - 1) / 2) for index in range(frames)]


# ---- processes ----


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


def _measure(contender: _Contender) -> tuple[float, int, dict[str, Any]]:
    """Run a contender once; return its seconds, its peak memory and all that it told."""
    if contender.out is not None:
        contender.out.unlink(missing_ok=True)
    printed, seconds, peak = _run(contender.arguments)
    if contender.kind == "whole command":
        return seconds, peak, {}
    answer: dict[str, Any] = json.loads(printed)
    return float(answer["seconds"]), int(answer["peak_bytes"]) or peak, answer


# ---- what runs in the other processes ----


def make_bracket(folder: Path, megapixels: float, frames: int) -> list[Path]:
    """Write a synthetic bracket as JPEGs with exposures in their Exif; return the files.

    A room-like scene of 8 stops: shades and hard edges over texture at all scales, and bright
    windows; each frame moved and turned a little, as by hand.
    """
    from PIL import Image

    width = max(2, round((megapixels * 1e6 * 1.5) ** 0.5))
    height = max(2, round(megapixels * 1e6 / width))
    log2_light = _scene(height, width)
    random = np.random.default_rng(_SEED)
    files = _files(folder, frames)
    for file, stops in zip(files, _stops(frames), strict=True):
        angle = float(random.uniform(-0.15, 0.15))
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)
        matrix[:, 2] += random.uniform(-0.003, 0.003, 2) * width
        moved = cv2.warpAffine(log2_light, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)
        codes = _codes(np.asarray(moved, np.float32), stops)
        exif = Image.Exif()
        exif.get_ifd(0x8769).update({0x829A: 2.0**stops / 60, 0x829D: 8.0, 0x8827: 100})
        Image.fromarray(codes).save(file, quality=_JPEG_QUALITY, exif=exif)
    return files


def _scene(height: int, width: int) -> NDArray[np.float32]:
    """log2 of light (H, W), 0 = what just clips at 0 stops."""
    random = np.random.default_rng(_SEED)
    scene = np.full((height, width), -3.0, np.float32)
    size, strength = max(height, width) / 3, 1.2
    while size >= 2:
        grid = (max(2, round(height / size)), max(2, round(width / size)))
        layer = random.standard_normal(grid).astype(np.float32) * np.float32(strength)
        scene += cv2.resize(layer, (width, height), interpolation=cv2.INTER_LINEAR)
        size, strength = size / 3, strength * 0.7
    for number in range(60):
        y, x = int(random.integers(height)), int(random.integers(width))
        h, w = (int(random.integers(1, max(2, side // 8))) for side in (height, width))
        scene[y : y + h, x : x + w] += np.float32(4.0 if number < 4 else random.uniform(-1.5, 1.5))
    return scene


def _codes(log2_light: NDArray[np.float32], stops: float) -> NDArray[np.uint8]:
    """Photograph the scene: tint, sensor noise, clipping, sRGB curve, 8 bit."""
    from ...pixels import color

    random = np.random.default_rng(_SEED)
    height, width = log2_light.shape
    out = np.empty((height, width, 3), np.uint8)
    for start in range(0, height, 256):
        rows = log2_light[start : start + 256]
        noise = random.standard_normal(rows.shape, np.float32)
        for channel, tint in enumerate((0.25, 0.0, -0.35)):
            # The tint swings with the shade, so that the picture has colours and not one cast.
            light = np.exp2(rows * np.float32(1 + 0.15 * tint) + np.float32(stops + tint))
            light += noise * np.sqrt(4e-5 * light + 1e-6)
            codes = color.linear_to_srgb(np.clip(light, 0, 1)) * 255
            out[start : start + 256, :, channel] = np.rint(codes)
    return out


def _fuse_in_memory(kind: str, name: str, files: Sequence[str]) -> dict[str, float]:
    """Decode the photos, fuse them and tell the seconds of the fusing and the peak memory."""
    photos = []
    for file in files:
        photo = np.asarray(cv2.imread(file, cv2.IMREAD_COLOR), np.uint8)
        cv2.cvtColor(photo, cv2.COLOR_BGR2RGB, dst=photo)
        photos.append(photo)
    stops = _stops(len(photos))
    if kind == "peer":
        peer = PEERS[name].fuse
        assert peer is not None
        start = time.perf_counter()
        peer(photos, stops)
    else:
        from ...bracket import Frame, Stack

        frames = tuple(
            Frame(photo, stops=value) for photo, value in zip(photos, stops, strict=True)
        )
        stack = Stack(frames, reference=len(frames) // 2)
        fuse, settings_class = METHODS[name].load()
        start = time.perf_counter()
        fuse(stack, settings_class())
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "peak_bytes": peak_resident_bytes()}


def _main(arguments: Sequence[str]) -> None:
    task, *rest = arguments
    if task == "make":
        make_bracket(Path(rest[0]), float(rest[1]), int(rest[2]))
    elif task == "network":
        name, quality, *files = rest
        facts = networks.measure(name, cast(Any, quality), files, _stops(len(files)))
        print(json.dumps({**facts, "peak_bytes": peak_resident_bytes()}))
    else:
        print(json.dumps(_fuse_in_memory(task, rest[0], rest[1:])))


if __name__ == "__main__":
    _main(sys.argv[1:])

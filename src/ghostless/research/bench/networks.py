"""Speed of networks: seconds per megapixel, what share of the machine's matrix rate that is.

A network is measured in both its qualities: "full", on every pixel of a photo that takes seconds
and not minutes, and "fast", on photos of the size asked for. Without shipped weights it runs with
random ones, which take as long as trained ones do.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np

from ...bracket import Frame, Stack
from ...methods import METHODS, PaperRuntime, get_method
from ...nn.settings import choose_device, needs_torch_extra
from .clocks import Clocks

if TYPE_CHECKING:
    import torch

NetworkQuality = Literal["full", "fast"]
QUALITIES: tuple[NetworkQuality, ...] = ("full", "fast")
# "full" is measured on photos no larger than this.
FULL_MEGAPIXELS = 1.0

# What "fast" may take on two cores and 24 megapixels.
TARGET_FAST_SECONDS = 15.0
TARGET_FAST_BYTES = 3e9
TARGET_FAST_MEGAPIXELS = 24.0

_COUNTED_SIDE = 512
_MATRIX_SIDE = {"cpu": 2048, "cuda": 8192}
_MATRIX_SECONDS = 0.5


@dataclass(frozen=True)
class NetworkCost:
    """What one quality of a network took.

    frames: as many as it sees at once. seconds: of each run, fusing only. peak_bytes: highest
    resident memory of the process, photos included. device_peak_bytes: of the GPU, 0 on a CPU.
    gflop: arithmetic of the convolutions and matrices for one megapixel, overlaps of tiles
        included; 0 for "fast", which mostly does other things.
    matrix_gflops: rate of a large matrix product here, by type; precision: the network's type.
    core_seconds: of each run, of all cores together.
    """

    name: str
    quality: NetworkQuality
    megapixels: float
    frames: int
    seconds: tuple[float, ...]
    peak_bytes: int
    device: str
    device_peak_bytes: int
    precision: str
    random_weights: bool
    gflop: float
    matrix_gflops: dict[str, float]
    core_seconds: tuple[float, ...] = ()

    @property
    def median_seconds(self) -> float:
        return statistics.median(self.seconds)

    @property
    def seconds_per_megapixel(self) -> float:
        return self.median_seconds / self.megapixels

    @property
    def share_of_matrix_rate(self) -> float | None:
        """Arithmetic per second over that of a large matrix product; None for "fast"."""
        if not self.gflop:
            return None
        return self.gflop / self.seconds_per_megapixel / self.matrix_gflops[self.precision]

    @property
    def missed_targets(self) -> tuple[str, ...]:
        """In words; targets are set for "fast" on a CPU at 24 megapixels only."""
        if (self.quality, self.megapixels) != ("fast", TARGET_FAST_MEGAPIXELS) or (
            self.device != "cpu"
        ):
            return ()
        missed = []
        if self.median_seconds > TARGET_FAST_SECONDS:
            missed.append(
                f"{self.name} fast took {self.median_seconds:.1f} s, "
                f"target {TARGET_FAST_SECONDS:.0f}"
            )
        if self.peak_bytes > TARGET_FAST_BYTES:
            missed.append(
                f"{self.name} fast took {self.peak_bytes / 1e9:.2f} GB, "
                f"target {TARGET_FAST_BYTES / 1e9}"
            )
        return tuple(missed)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for a JSON file."""
        return {
            **vars(self),
            "seconds": list(self.seconds),
            "core_seconds": list(self.core_seconds),
            "median_seconds": self.median_seconds,
            "seconds_per_megapixel": self.seconds_per_megapixel,
            "share_of_matrix_rate": self.share_of_matrix_rate,
            "paper": None if (runtime := paper_runtime(self.name)) is None else vars(runtime),
        }


def text_of(costs: Sequence[NetworkCost]) -> list[str]:
    """Return lines of a table for the screen, with what the papers say below."""
    if not costs:
        return []
    lines = [
        f"networks on {costs[0].device}, each on as many frames as it sees at once",
        f"{'network':<12} {'quality':<8} {'frames':>6} {'MP':>6} {'seconds':>8} {'s/MP':>7} "
        f"{'GFLOP/MP':>9} {'matrix rate':>21} {'share':>6} {'peak GB':>8}",
    ]
    for cost in costs:
        share = cost.share_of_matrix_rate
        rate = f"{cost.matrix_gflops[cost.precision]:.0f} GFLOP/s {cost.precision}"
        peak = cost.device_peak_bytes or cost.peak_bytes
        lines.append(
            f"{cost.name:<12} {cost.quality:<8} {cost.frames:>6} {cost.megapixels:>6.2f} "
            f"{cost.median_seconds:>8.2f} {cost.seconds_per_megapixel:>7.2f} "
            f"{format(cost.gflop, '9.0f') if share is not None else '':>9} {rate:>21} "
            f"{format(share, '6.0%') if share is not None else '':>6} {peak / 1e9:>8.2f}"
        )
    for name in dict.fromkeys(cost.name for cost in costs):
        runtime = paper_runtime(name)
        if runtime is not None:
            lines.append(f"{name}, published: {runtime.in_words()}")
    untrained = dict.fromkeys(cost.name for cost in costs if cost.random_weights)
    if untrained:
        lines.append(f"random weights: {', '.join(untrained)}")
    return lines


def paper_runtime(name: str) -> PaperRuntime | None:
    """What the table says that a method's paper says of its speed; None for unknown names too."""
    return METHODS[name].paper_runtime if name in METHODS else None


def frames_of(name: str) -> int:
    """Number of frames that a network is measured on."""
    return get_method(name).frames_at_once or 2


# ---- what runs in a process of its own ----


def measure(
    name: str, quality: NetworkQuality, files: Sequence[str], stops: Sequence[float]
) -> dict[str, Any]:
    """Fuse photos once and tell seconds, memory, device, arithmetic and the matrix rate."""
    with needs_torch_extra(f"method {name!r}"):
        import torch

        from ...nn.settings import choose_dtype
    photos = [cv2.cvtColor(_read(file), cv2.COLOR_BGR2RGB) for file in files]
    stack = _stack([np.asarray(photo, np.uint8) for photo in photos], stops)
    fuse, settings_class = get_method(name).load()
    device = choose_device("auto")
    with tempfile.TemporaryDirectory() as folder:
        weights = _random_weights(name, Path(folder))
        settings = settings_class(weights=weights, quality=quality)
        warm_up = _stack(
            [frame.pixels[:_COUNTED_SIDE, :_COUNTED_SIDE] for frame in stack.frames], stops
        )
        flop = _count_flop(lambda: fuse(warm_up, settings_class(weights=weights, quality="full")))
        pixels = warm_up.frames[0].height * warm_up.frames[0].width
        # A type that the device only emulates would take minutes, and no network runs in it.
        types = {torch.float32, choose_dtype("auto", device)}
        rates = {
            str(dtype).removeprefix("torch."): _matrix_rate(dtype, device)
            for dtype in sorted(types, key=str)
        }
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        started = Clocks()
        fuse(stack, settings)
        passed = started.passed()
    device_peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
    return {
        **passed,
        "device": device.type,
        "device_peak_bytes": device_peak,
        "precision": str(choose_dtype("auto", device)).removeprefix("torch."),
        "random_weights": weights is not None,
        "gflop": flop / pixels / 1e3 if quality == "full" else 0.0,
        "matrix_gflops": {dtype: rate / 1e9 for dtype, rate in rates.items()},
    }


def _read(file: str) -> Any:
    return cv2.imread(file, cv2.IMREAD_COLOR)


def _stack(photos: Sequence[Any], stops: Sequence[float]) -> Stack:
    frames = tuple(
        Frame(np.ascontiguousarray(photo), stops=value)
        for photo, value in zip(photos, stops, strict=True)
    )
    return Stack(frames, reference=len(frames) // 2)


def _random_weights(name: str, folder: Path) -> Path | None:
    """Save random weights for a network that ships without any; None for one that has some."""
    import torch

    from ...nn.weights import WeightsInfo, has_weights, save_weights

    kind = get_method(name).kind
    if has_weights(kind.name):
        return None
    torch.manual_seed(0)
    path = folder / f"{kind.name}.safetensors"
    save_weights(kind.build(kind.architecture()).eval(), path, WeightsInfo(kind.name))
    return path


def _count_flop(run: Any) -> float:
    """Floating-point operations of convolutions, matrix products and attention in a run."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        run()
    return float(counter.get_total_flops())


def _matrix_rate(dtype: torch.dtype, device: torch.device) -> float:
    """Operations per second of a large matrix product, the best of half a second."""
    import torch

    side = _MATRIX_SIDE[device.type]
    a, b = torch.randn(2, side, side, device=device).to(dtype)

    def once() -> float:
        start = time.perf_counter()
        torch.mm(a, b)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - start

    once()
    end = time.perf_counter() + _MATRIX_SECONDS
    best = once()
    while time.perf_counter() < end:
        best = min(best, once())
    return 2 * side**3 / best

"""Which three frames a network of three gets, and what becomes of its answers; needs no torch.

Two frames: the reference stands in for the missing one. More than three: nearest gaps to the
trained ones first, see `choose_triplets`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from ..bracket import Frame, Fused, Stack
from ..exposure.response import ResponseChoice, find_response, recode_to_srgb
from ..nn.fast import Base, fuse_at_quality
from ..nn.regions import PaddedFrame, Progress, Region, check_finite
from .settings import TripletSettings

if TYPE_CHECKING:
    import torch

# Gap between neighbouring exposures in the training data: 2 or 3 stops.
TRAINED_GAP_STOPS = 2.5

# Where an inner triplet has nothing to say: its darkest frame clips (highest channel) or its
# brightest one is still dark. Display values between which the next triplet takes over.
_CLIPPING = (0.92, 0.99)
_DARKNESS = (0.08, 0.03)

Places = tuple[int, int, int]


def choose_triplets(
    stops: Sequence[float], reference: int, more_frames: str = "rounds"
) -> list[Places]:
    """Which frames to give the network: triplets of dark, reference and bright, inner one first.

    stops: of all frames, dark to bright. The reference stands in where there is no darker or no
    brighter frame. The first triplet has the gaps nearest to 2.5 stops, those of the training;
    "rounds" adds triplets with the frames beyond.
    """
    gaps = [stop - stops[reference] for stop in stops]
    sides = []
    for side in (-1, 1):
        outward = sorted(
            (i for i, gap in enumerate(gaps) if gap * side > 0), key=lambda i: abs(gaps[i])
        )
        if more_frames == "extremes":
            outward = outward[-1:]
        if outward:
            nearest = min(outward, key=lambda i: abs(abs(gaps[i]) - TRAINED_GAP_STOPS))
            outward = outward[outward.index(nearest) :]
        sides.append(outward or [reference])
    darker, brighter = sides
    rounds = max(len(darker), len(brighter)) if more_frames == "rounds" else 1
    return [
        (darker[min(i, len(darker) - 1)], reference, brighter[min(i, len(brighter) - 1)])
        for i in range(rounds)
    ]


# Whether a region of the image is needed, and what takes its radiance (h, w, 3).
Wanted = Callable[[Region], bool]
WriteRegion = Callable[[Region, NDArray[np.float32]], None]


class RoundsNetwork(Protocol):
    """A network of three frames, ready to run. device, ...: as of `nn.fast.fuse_at_quality`."""

    @property
    def name(self) -> str: ...

    @property
    def device(self) -> torch.device | None: ...

    @property
    def map_bytes_per_pixel(self) -> int: ...

    def reconstruct(
        self, frames: Sequence[Frame], wanted: Wanted, write: WriteRegion, progress: Progress
    ) -> None:
        """Make the radiance of the regions that are wanted, 1.0 = the reference clips.

        frames: dark, reference and bright.
        """
        ...


def exposures_of(frames: Sequence[Frame]) -> list[float]:
    """Exposure times over that of the first, darkest frame."""
    stops = [frame.stops or 0.0 for frame in frames]
    return [2.0 ** (stop - stops[0]) for stop in stops]


def by_own_curve(stack: Stack, choice: ResponseChoice) -> tuple[Stack, tuple[str, ...]]:
    """The stack as if its camera's curve were sRGB, and notes; see `exposure.response`."""
    response, notes = find_response(stack, choice)
    return (stack if response is None else recode_to_srgb(stack, response)), notes


def fuse_in_rounds(
    stack: Stack,
    settings: TripletSettings,
    network: RoundsNetwork,
    *,
    base: Callable[[Sequence[Places]], Base | None] = lambda triplets: None,
    progress: Progress | None = None,
) -> Fused:
    """Fuse two or more frames of known exposure into linear radiance, 1.0 = the reference clips.

    The result has the reference's geometry and moving things. Masks are not used: the network
    itself rejects what does not fit the reference.
    base: what the network adds to when it runs on these triplets, as of `nn.fast.fuse_at_quality`.
    Returns (H, W, 3) float32, >= 0. Raises BracketError where an exposure is unknown or a pixel is
    not finite.
    """
    stops = stack.stops
    check_finite(stack.frames)
    triplets = choose_triplets(stops, stack.reference, settings.more_frames)
    return fuse_at_quality(
        stack,
        settings,
        network.device,
        lambda stack, progress: _fuse_triplets(network, stack, triplets, progress),
        map_bytes_per_pixel=network.map_bytes_per_pixel,
        base=base(triplets),
        progress=progress,
    )


def _fuse_triplets(
    network: RoundsNetwork,
    stack: Stack,
    triplets: Sequence[Places],
    progress: Progress | None,
) -> Fused:
    first = stack.frames[0]
    fused = np.empty((first.height, first.width, 3), np.float32)
    replaced: list[Frame] = []
    for number, places in enumerate(triplets):

        def tell(done: float, number: int = number) -> None:
            if progress is not None:
                progress((number + done) / len(triplets))

        frames = [stack.frames[place] for place in places]
        _fuse_triplet(network, frames, replaced, fused, tell)
        replaced = [frames[0], frames[2]]
    used = {place for places in triplets for place in places}
    notes = []
    if len(used) < len(stack.frames):
        left_out = ", ".join(f.name for i, f in enumerate(stack.frames) if i not in used)
        notes.append(f"{network.name} did not need: {left_out}")
    metadata = stack.frames[stack.reference].metadata
    return Fused(fused, "linear", metadata=metadata, notes=tuple(notes))


def _fuse_triplet(
    network: RoundsNetwork,
    frames: Sequence[Frame],
    inner: Sequence[Frame],
    fused: NDArray[np.float32],
    progress: Progress,
) -> None:
    """Write the radiance of a triplet over `fused`, where the inner dark and bright frame fail."""

    def wanted(region: Region) -> bool:
        return not inner or bool(_need(inner, region).any())

    def write(region: Region, radiance: NDArray[np.float32]) -> None:
        if inner:
            before = fused[region.slices()]
            radiance = before + _need(inner, region)[:, :, None] * (radiance - before)
        fused[region.slices()] = radiance

    network.reconstruct(frames, wanted, write, progress)


def _need(inner: Sequence[Frame], region: Region) -> NDArray[np.float32]:
    """How much a region needs frames beyond the inner dark and bright one, (h, w), 0..1."""
    dark, bright = (PaddedFrame(frame).display(region).max(axis=2) for frame in inner)
    return np.maximum(_ramp(dark, *_CLIPPING), _ramp(bright, *_DARKNESS))


def _ramp(value: NDArray[np.float32], start: float, end: float) -> NDArray[np.float32]:
    """Smooth step from 0 at `start` to 1 at `end`, which may be the lower."""
    x = np.clip((value - np.float32(start)) / np.float32(end - start), 0, 1)
    return np.asarray(x * x * (3 - 2 * x), np.float32)

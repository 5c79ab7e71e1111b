"""Fusing any number of frames with a network of three: dark, reference and bright.

What all such networks share: which frames they get, in tiles of which size, and what becomes of
their answers. Two frames: the reference stands in for the missing one. More than three: nearest
gaps to the trained ones first, see `choose_triplets`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..bracket import Frame, Fused, Stack
from ..exposure.response import ResponseChoice, find_response, recode_to_srgb
from ..nn import fullsize
from ..nn.fast import Base, fuse_at_quality
from ..nn.fullsize import PaddedFrame, Progress, Region, Tile
from ..nn.three_frames import PAPER_GAMMA, network_frames
from ..nn.weights import LoadedNetwork, NetworkKind, Sides, load_network
from .settings import HdrNetworkSettings, TripletSettings

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


@dataclass(frozen=True)
class Triplet:
    """Dark, reference and bright frame of a stack, as tensors on a device.

    sides: what the frames are padded to. gamma: whether codes are light to the power 1 / 2.2,
        whatever the frames' own curve.
    """

    frames: Sequence[Frame]
    sides: Sides
    device: torch.device
    gamma: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the padded frames."""
        return self.sides.padded(self.frames[0].height, self.frames[0].width)

    @property
    def exposures(self) -> list[float]:
        """Exposure times over that of the dark frame."""
        stops = [frame.stops or 0.0 for frame in self.frames]
        return [2.0 ** (stop - stops[0]) for stop in stops]

    @property
    def times(self) -> list[Tensor]:
        """`exposures` as tensors (1, 1, 1, 1)."""
        return [
            torch.full((1, 1, 1, 1), exposure, device=self.device) for exposure in self.exposures
        ]

    def displays(self, region: Region) -> list[Tensor]:
        """The frames on a region as they look: (1, 3, h, w) each, 0..1."""
        return [
            fullsize.to_tensor(self._padded(frame).display(region), self.device)
            for frame in self.frames
        ]

    def lights(self, region: Region) -> list[Tensor]:
        """The frames on a region as light: (1, 3, h, w) each, 0..1."""
        return [self._light(frame, region) for frame in self.frames]

    def network_frames(self, region: Region) -> list[Tensor]:
        """What `nn.three_frames.network_frames` makes of a region: (1, 6, h, w) each, 0..1."""
        return network_frames(self.lights(region), self.times)

    def network_frame(self, number: int, region: Region) -> Tensor:
        """One of `network_frames`."""
        light = self._light(self.frames[number], region)
        return network_frames([light], [self.times[number]])[0]

    def _light(self, frame: Frame, region: Region) -> Tensor:
        padded = self._padded(frame)
        if self.gamma and frame.transfer != "linear":
            return fullsize.to_tensor(padded.display(region), self.device).pow(PAPER_GAMMA)
        return fullsize.to_tensor(np.clip(padded.linear(region), 0, 1), self.device)

    def _padded(self, frame: Frame) -> PaddedFrame:
        return PaddedFrame(frame, self.sides.border)


# From a tile to the radiance (1, 3, h, w) of its outer region, 0..1, 1 = the dark frame clips.
Reconstruct = Callable[[Tile], Tensor]


@dataclass(frozen=True)
class TripletNetwork:
    """A network ready to run on triplets.

    kind: which. halo_pixels: how far it sees, within what `prepare` returns.
    bytes_per_pixel: of the tensors alive at once in a tile; map_bytes_per_pixel: of what is held of
        the whole image.
    prepare: does what must be done before the tiles.
    """

    kind: NetworkKind
    loaded: LoadedNetwork
    halo_pixels: int
    bytes_per_pixel: int
    prepare: Callable[[Triplet], Reconstruct]
    map_bytes_per_pixel: int = 0

    @property
    def sides(self) -> Sides:
        return self.kind.sides(self.loaded.network.architecture)


def fuse_by_paper(
    stack: Stack,
    settings: HdrNetworkSettings,
    kind: NetworkKind,
    *,
    halo_pixels: int,
    bytes_per_pixel: int,
    map_bytes_per_pixel: int = 0,
    prepare: Callable[[LoadedNetwork, Triplet], Reconstruct] | None = None,
    progress: Progress | None = None,
) -> Fused:
    """Fuse by a network that takes `network_frames`, as most of the papers' do.

    prepare: None for a network of convolutions alone. Otherwise as `fuse_in_triplets`, which also
        says what it returns and raises; and BracketError with response="estimate" if the frames
        tell too little of it.
    """
    loaded = load_network(kind, settings)
    make = prepare or _convolutions
    network = TripletNetwork(
        kind,
        loaded,
        halo_pixels,
        bytes_per_pixel,
        lambda triplet: make(loaded, triplet),
        map_bytes_per_pixel,
    )
    if settings.response == "gamma":
        return fuse_in_triplets(stack, settings, network, gamma=True, progress=progress)
    stack, notes = by_own_curve(stack, settings.response)
    fused = fuse_in_triplets(stack, settings, network, progress=progress)
    return replace(fused, notes=(*notes, *fused.notes))


def by_own_curve(stack: Stack, choice: ResponseChoice) -> tuple[Stack, tuple[str, ...]]:
    """The stack as if its camera's curve were sRGB, and notes; see `exposure.response`."""
    response, notes = find_response(stack, choice)
    return (stack if response is None else recode_to_srgb(stack, response)), notes


def _convolutions(loaded: LoadedNetwork, triplet: Triplet) -> Reconstruct:
    def reconstruct(tile: Tile) -> Tensor:
        found: Tensor = loaded.network(*triplet.network_frames(tile.outer))
        return found

    return reconstruct


def fuse_in_triplets(
    stack: Stack,
    settings: TripletSettings,
    network: TripletNetwork,
    *,
    gamma: bool = False,
    base: Callable[[Sequence[Places]], Base | None] = lambda triplets: None,
    progress: Progress | None = None,
) -> Fused:
    """Fuse two or more frames of known exposure into linear radiance, 1.0 = the reference clips.

    The result has the reference's geometry and moving things. Masks are not used: the network
    itself rejects what does not fit the reference.
    gamma: see `Triplet`. base: what the network adds to when it runs on these triplets, as of
        `nn.fast.fuse_at_quality`.
    Returns (H, W, 3) float32, >= 0. Raises BracketError where an exposure is unknown or a pixel is
    not finite.
    """
    stops = stack.stops
    fullsize.check_finite(stack.frames)
    triplets = choose_triplets(stops, stack.reference, settings.more_frames)
    return fuse_at_quality(
        stack,
        settings,
        network.loaded.device,
        lambda stack, progress: _fuse_triplets(network, stack, triplets, gamma, progress),
        map_bytes_per_pixel=network.map_bytes_per_pixel,
        base=base(triplets),
        progress=progress,
    )


def _fuse_triplets(
    network: TripletNetwork,
    stack: Stack,
    triplets: Sequence[Places],
    gamma: bool,
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
        triplet = Triplet(frames, network.sides, network.loaded.device, gamma)
        _fuse_triplet(network, triplet, replaced, fused, tell)
        replaced = [frames[0], frames[2]]
    used = {place for places in triplets for place in places}
    notes = []
    if len(used) < len(stack.frames):
        left_out = ", ".join(f.name for i, f in enumerate(stack.frames) if i not in used)
        notes.append(f"{network.kind.name} did not need: {left_out}")
    metadata = stack.frames[stack.reference].metadata
    return Fused(fused, "linear", metadata=metadata, notes=tuple(notes))


def _fuse_triplet(
    network: TripletNetwork,
    triplet: Triplet,
    inner: Sequence[Frame],
    fused: NDArray[np.float32],
    progress: Progress,
) -> None:
    """Write the radiance of a triplet over `fused`, where the inner dark and bright frame fail."""
    height, width = fused.shape[:2]
    loaded = network.loaded
    pixels = fullsize.tile_budget(loaded.device, network.bytes_per_pixel)
    tiles = fullsize.make_tiles(*triplet.size, network.halo_pixels, network.sides.multiple, pixels)
    if inner:
        tiles = [tile for tile in tiles if _need(inner, _cropped(tile, height, width)).any()]
    # From 1.0 = the darkest frame clips to 1.0 = the reference clips.
    scale = triplet.exposures[1]

    def write(tile: Tile, radiance: Tensor) -> None:
        region = _cropped(tile, height, width)
        rows, columns = region.slices()
        found = fullsize.to_pixels(radiance * scale)[: region.height, : region.width]
        if inner:
            before = fused[rows, columns]
            found = before + _need(inner, region)[:, :, None] * (found - before)
        fused[rows, columns] = found

    if not tiles:
        progress(1.0)
        return
    with torch.inference_mode(), fullsize.computing(loaded.dtype, loaded.device):
        reconstruct = network.prepare(triplet)
        fullsize.run_in_tiles(reconstruct, write, tiles, progress=progress)


def _cropped(tile: Tile, height: int, width: int) -> Region:
    inner = tile.inner
    return Region(inner.top, min(inner.bottom, height), inner.left, min(inner.right, width))


def _need(inner: Sequence[Frame], region: Region) -> NDArray[np.float32]:
    """How much a region needs frames beyond the inner dark and bright one, (h, w), 0..1."""
    dark, bright = (PaddedFrame(frame).display(region).max(axis=2) for frame in inner)
    return np.maximum(_ramp(dark, *_CLIPPING), _ramp(bright, *_DARKNESS))


def _ramp(value: NDArray[np.float32], start: float, end: float) -> NDArray[np.float32]:
    """Smooth step from 0 at `start` to 1 at `end`, which may be the lower."""
    x = np.clip((value - np.float32(start)) / np.float32(end - start), 0, 1)
    return np.asarray(x * x * (3 - 2 * x), np.float32)

"""Fusing with HDR-GAN, the network of nn/hdr_gan.py: any number of frames, of any size.

Two frames: the reference stands in for the missing one. More than three: nearest gaps to the
trained ones first, see `choose_triplets`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..bracket import Frame, Fused, Stack
from ..exposure.response import find_response, recode_to_srgb
from ..nn import fullsize
from ..nn.fast import Base, fuse_at_quality
from ..nn.fullsize import PaddedFrame, Progress, Region, Tile
from ..nn.hdr_gan import (
    FRAMES,
    GENERATOR,
    PAPER_GAMMA,
    Discriminator,
    Generator,
    HdrGanArchitecture,
    compressed_output,
    network_inputs,
    radiance_of_output,
)
from ..nn.merge import merge_towards_reference
from ..nn.weights import LoadedNetwork, load_network
from .settings import HdrGanSettings

# The network is the method's too.
__all__ = (
    "FRAMES",
    "GENERATOR",
    "Discriminator",
    "Generator",
    "HdrGanArchitecture",
    "HdrGanSettings",
    "choose_triplets",
    "compressed_output",
    "fuse",
    "network_inputs",
    "radiance_of_output",
)


# Gap between neighbouring exposures in the training data: 2 or 3 stops.
TRAINED_GAP_STOPS = 2.5
# Tensors alive at once in float32: three frames' features, joined, with the convolutions' copies.
_BYTES_PER_PIXEL = 2048

# Where an inner triplet has nothing to say: its darkest frame clips (highest channel) or its
# brightest one is still dark. Display values between which the next triplet takes over.
_CLIPPING = (0.92, 0.99)
_DARKNESS = (0.08, 0.03)


def choose_triplets(
    stops: Sequence[float], reference: int, more_frames: str = "rounds"
) -> list[tuple[int, int, int]]:
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


def fuse(stack: Stack, settings: HdrGanSettings, progress: Progress | None = None) -> Fused:
    """Fuse two or more frames of known exposure into linear radiance, 1.0 = the reference clips.

    The result has the reference's geometry and moving things. Masks are not used: the network
    itself rejects what does not fit the reference. Returns (H, W, 3) float32, >= 0. Raises
    BracketError where an exposure is unknown, or with response="estimate" if the frames tell too
    little of it, WeightsError while there are no weights, naming the command that makes them.
    """
    stops = stack.stops
    fullsize.check_finite(stack.frames)
    loaded = load_network(GENERATOR, settings)
    triplets = choose_triplets(stops, stack.reference, settings.more_frames)
    response, notes = find_response(stack, settings.response)
    if response is not None:
        stack = recode_to_srgb(stack, response)
    fused = fuse_at_quality(
        stack,
        settings,
        loaded.device,
        lambda stack, progress: _fuse_triplets(loaded, stack, triplets, progress),
        map_bytes_per_pixel=0,
        base=_merge_of(triplets, loaded),
        progress=progress,
    )
    return replace(fused, notes=(*notes, *fused.notes))


def _merge_of(triplets: Sequence[tuple[int, int, int]], loaded: LoadedNetwork) -> Base | None:
    """The merge that the network adds to, where there is but one."""
    architecture: HdrGanArchitecture = loaded.network.architecture
    if architecture.adds_to != "merge" or len(triplets) > 1:
        return None

    def merge(stack: Stack, rows: slice) -> NDArray[np.float32]:
        frames = [stack.frames[index] for index in triplets[0]]
        region = Region(rows.start, rows.stop, 0, frames[0].width)
        exposures = _exposures_of(frames)
        with torch.inference_mode():
            displays, lights = _read(frames, region, torch.device("cpu"), architecture)
            times = [torch.full((1, 1, 1, 1), exposure) for exposure in exposures]
            radiance = merge_towards_reference(displays, lights, times) * exposures[1]
        return fullsize.to_pixels(radiance)

    return merge


def _exposures_of(frames: Sequence[Frame]) -> list[float]:
    """Exposure times over that of the first, darkest frame."""
    stops = [frame.stops or 0.0 for frame in frames]
    return [2.0 ** (stop - stops[0]) for stop in stops]


def _fuse_triplets(
    loaded: LoadedNetwork,
    stack: Stack,
    triplets: Sequence[tuple[int, int, int]],
    progress: Progress | None,
) -> Fused:
    first = stack.frames[0]
    fused = np.empty((first.height, first.width, 3), np.float32)
    replaced: list[Frame] = []
    for number, triplet in enumerate(triplets):

        def tell(done: float, number: int = number) -> None:
            if progress is not None:
                progress((number + done) / len(triplets))

        _fuse_triplet(loaded, [stack.frames[i] for i in triplet], replaced, fused, tell)
        replaced = [stack.frames[triplet[0]], stack.frames[triplet[2]]]
    used = {i for triplet in triplets for i in triplet}
    notes = []
    if len(used) < len(stack.frames):
        left_out = ", ".join(f.name for i, f in enumerate(stack.frames) if i not in used)
        notes.append(f"hdr-gan did not need: {left_out}")
    metadata = stack.frames[stack.reference].metadata
    return Fused(fused, "linear", metadata=metadata, notes=tuple(notes))


def _fuse_triplet(
    loaded: LoadedNetwork,
    frames: Sequence[Frame],
    inner: Sequence[Frame],
    fused: NDArray[np.float32],
    progress: Progress,
) -> None:
    """Write the radiance of a triplet over `fused`, where the inner dark and bright frame fail."""
    generator: Generator = loaded.network
    architecture = generator.architecture
    height, width = fused.shape[:2]
    size = GENERATOR.sides(architecture).padded(height, width)
    pixels = fullsize.tile_budget(loaded.device, _BYTES_PER_PIXEL)
    tiles = fullsize.make_tiles(*size, generator.halo_pixels, architecture.size_multiple, pixels)
    if inner:
        tiles = [tile for tile in tiles if _need(inner, _cropped(tile, height, width)).any()]

    exposures = _exposures_of(frames)

    def reconstruct(tile: Tile) -> Tensor:
        inputs = _read_inputs(frames, exposures, tile.outer, loaded.device, architecture)
        output = generator.reconstruct(*inputs)
        # From 1.0 = the darkest frame clips to 1.0 = the reference clips.
        return radiance_of_output(output, architecture) * exposures[1]

    def write(tile: Tile, radiance: Tensor) -> None:
        region = _cropped(tile, height, width)
        rows, columns = region.slices()
        found = fullsize.to_pixels(radiance)[: region.height, : region.width]
        if inner:
            before = fused[rows, columns]
            found = before + _need(inner, region)[:, :, None] * (found - before)
        fused[rows, columns] = found

    with torch.inference_mode(), fullsize.computing(loaded.dtype, loaded.device):
        fullsize.run_in_tiles(reconstruct, write, tiles, progress=progress)


def _cropped(tile: Tile, height: int, width: int) -> Region:
    inner = tile.inner
    return Region(inner.top, min(inner.bottom, height), inner.left, min(inner.right, width))


def _read_inputs(
    frames: Sequence[Frame],
    exposures: Sequence[float],
    region: Region,
    device: torch.device,
    architecture: HdrGanArchitecture,
) -> list[Tensor]:
    displays, lights = _read(frames, region, device, architecture)
    times = [torch.full((1, 1, 1, 1), exposure, device=device) for exposure in exposures]
    return network_inputs(displays, lights, times, architecture)


def _read(
    frames: Sequence[Frame], region: Region, device: torch.device, architecture: HdrGanArchitecture
) -> tuple[list[Tensor], list[Tensor]]:
    """Frames on a region as they look and as light, 0..1, as `network_inputs` takes them."""
    displays, lights = [], []
    for frame in frames:
        padded = PaddedFrame(frame)
        displays.append(fullsize.to_tensor(padded.display(region), device))
        if architecture.curve == "own":
            light = fullsize.to_tensor(np.clip(padded.linear(region), 0, 1), device)
        else:
            light = displays[-1].pow(PAPER_GAMMA)
        lights.append(light)
    return displays, lights


def _need(inner: Sequence[Frame], region: Region) -> NDArray[np.float32]:
    """How much a region needs frames beyond the inner dark and bright one, (h, w), 0..1."""
    dark, bright = (PaddedFrame(frame).display(region).max(axis=2) for frame in inner)
    return np.maximum(_ramp(dark, *_CLIPPING), _ramp(bright, *_DARKNESS))


def _ramp(value: NDArray[np.float32], start: float, end: float) -> NDArray[np.float32]:
    """Smooth step from 0 at `start` to 1 at `end`, which may be the lower."""
    x = np.clip((value - np.float32(start)) / np.float32(end - start), 0, 1)
    return np.asarray(x * x * (3 - 2 * x), np.float32)

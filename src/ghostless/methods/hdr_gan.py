"""Fusing with HDR-GAN, the network of nn/hdr_gan.py: any number of frames, of any size.

Which three of them the network gets: see `rounds`. It runs with torch, or as graphs (`nn.graphs`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..bracket import Frame, Fused, Stack
from ..nn.fast import Base
from ..nn.graphs import GraphNetwork, load_graphs, use_graphs
from ..nn.regions import PaddedFrame, Progress, Region, Tile, check_finite, to_planes
from ..pixels.merge import merge_towards_reference
from .rounds import (
    Places,
    RoundsNetwork,
    Wanted,
    WriteRegion,
    by_own_curve,
    exposures_of,
    fuse_in_rounds,
)
from .settings import HdrGanSettings

if TYPE_CHECKING:
    from torch import Tensor

NAME = "hdr-gan"
# Niu et al. linearise frames by this power; see the architecture's `curve`.
_PAPER_GAMMA = 2.2


def fuse(stack: Stack, settings: HdrGanSettings, progress: Progress | None = None) -> Fused:
    """Fuse two or more frames of known exposure into linear radiance, 1.0 = the reference clips.

    The result has the reference's geometry and moving things. Masks are not used: the network
    itself rejects what does not fit the reference. Returns (H, W, 3) float32, >= 0. Raises
    BracketError where an exposure is unknown, or with response="estimate" if the frames tell too
    little of it, WeightsError while there are no weights, naming the command that makes them,
    MissingPackageError where neither torch nor onnxruntime is installed.
    """
    stack.stops  # noqa: B018  raises where an exposure is unknown
    check_finite(stack.frames)
    network, merged_curve = _load(settings)
    stack, notes = by_own_curve(stack, settings.response)
    fused = fuse_in_rounds(
        stack,
        settings,
        network,
        base=lambda triplets: _merge_of(triplets, merged_curve),
        progress=progress,
    )
    return replace(fused, notes=(*notes, *fused.notes))


def _merge_of(triplets: Sequence[Places], curve: str | None) -> Base | None:
    """The merge that the network adds to, where there is but one."""
    if curve is None or len(triplets) > 1:
        return None

    def merge(stack: Stack, rows: slice) -> NDArray[np.float32]:
        frames = [stack.frames[place] for place in triplets[0]]
        exposures = exposures_of(frames)
        displays = [frame.display(rows) for frame in frames]
        lights = [
            display ** np.float32(_PAPER_GAMMA)
            if curve == "gamma" and frame.transfer != "linear"
            else np.clip(frame.linear(rows), 0, 1)
            for frame, display in zip(frames, displays, strict=True)
        ]
        radiance = merge_towards_reference(displays, lights, exposures)
        radiance *= np.float32(exposures[1])
        return radiance

    return merge


def _load(settings: HdrGanSettings) -> tuple[RoundsNetwork, str | None]:
    """The network, and by which curve ("own", "gamma") frames become light in the merge that it
    adds to; None where it adds to nothing."""
    if use_graphs(NAME):
        graphs = load_graphs(NAME, settings)
        how = graphs.plan.architecture
        return _AsGraphs(graphs), how["curve"] if how["adds_to"] == "merge" else None
    from ..nn.hdr_gan import BYTES_PER_PIXEL, GENERATOR, network_inputs, radiance_of_output
    from ..nn.weights import load_network
    from .triplets import OnTensors, Reconstruct, Triplet, TripletNetwork

    loaded = load_network(GENERATOR, settings)
    generator = loaded.network
    architecture = generator.architecture

    def prepare(triplet: Triplet) -> Reconstruct:
        def reconstruct(tile: Tile) -> Tensor:
            frames = triplet.displays(tile.outer), triplet.lights(tile.outer)
            inputs = network_inputs(*frames, triplet.times, architecture)
            return radiance_of_output(generator.reconstruct(*inputs), architecture)

        return reconstruct

    network = TripletNetwork(GENERATOR, loaded, generator.halo_pixels, BYTES_PER_PIXEL, prepare)
    curve = architecture.curve if architecture.adds_to == "merge" else None
    return OnTensors(network, gamma=architecture.curve == "gamma"), curve


@dataclass(frozen=True)
class _AsGraphs:
    """On proxies, which graphs take whole."""

    network: GraphNetwork
    name: str = NAME
    device: None = None
    map_bytes_per_pixel: int = 0

    def reconstruct(
        self, frames: Sequence[Frame], wanted: Wanted, write: WriteRegion, progress: Progress
    ) -> None:
        height, width = frames[0].height, frames[0].width
        sides = self.network.plan.sides
        size = sides.padded(height, width)
        padded = Region(0, size[0], 0, size[1])
        names = ("dark", "reference", "bright")
        inputs = {
            name: to_planes(PaddedFrame(frame, sides.border).display(padded))
            for name, frame in zip(names, frames, strict=True)
        }
        inputs["stops"] = np.log2(np.asarray([exposures_of(frames)], np.float32))
        maps = self.network.run(
            inputs,
            size,
            wanted=lambda region: wanted(region.cropped(height, width)),
            progress=progress,
        )
        if "radiance" not in maps:
            return
        radiance = maps["radiance"][0, :, :height, :width].transpose(1, 2, 0)
        # Of tiles that were not wanted no pixel is needed, so that they may be anything.
        write(Region(0, height, 0, width), np.ascontiguousarray(radiance))

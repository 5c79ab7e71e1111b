"""Fusing with HDR-GAN, the network of nn/hdr_gan.py: any number of frames, of any size.

Which three of them the network gets, and in which tiles: see `triplets`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..bracket import Fused, Stack
from ..nn import fullsize
from ..nn.fast import Base
from ..nn.fullsize import Progress, Region, Tile
from ..nn.hdr_gan import (
    GENERATOR,
    Discriminator,
    Generator,
    HdrGanArchitecture,
    compressed_output,
    network_inputs,
    radiance_of_output,
)
from ..nn.merge import merge_towards_reference
from ..nn.three_frames import FRAMES
from ..nn.weights import load_network
from .settings import HdrGanSettings
from .triplets import (
    Places,
    Reconstruct,
    Triplet,
    TripletNetwork,
    by_own_curve,
    fuse_in_triplets,
)

# The network is the method's too.
__all__ = (
    "FRAMES",
    "GENERATOR",
    "Discriminator",
    "Generator",
    "HdrGanArchitecture",
    "HdrGanSettings",
    "compressed_output",
    "fuse",
    "network_inputs",
    "radiance_of_output",
)

# Tensors alive at once in float32: three frames' features, joined, with the convolutions' copies.
_BYTES_PER_PIXEL = 2048


def fuse(stack: Stack, settings: HdrGanSettings, progress: Progress | None = None) -> Fused:
    """Fuse two or more frames of known exposure into linear radiance, 1.0 = the reference clips.

    The result has the reference's geometry and moving things. Masks are not used: the network
    itself rejects what does not fit the reference. Returns (H, W, 3) float32, >= 0. Raises
    BracketError where an exposure is unknown, or with response="estimate" if the frames tell too
    little of it, WeightsError while there are no weights, naming the command that makes them.
    """
    stack.stops  # noqa: B018  raises where an exposure is unknown
    fullsize.check_finite(stack.frames)
    loaded = load_network(GENERATOR, settings)
    generator: Generator = loaded.network
    architecture = generator.architecture
    network = TripletNetwork(
        GENERATOR,
        loaded,
        generator.halo_pixels,
        _BYTES_PER_PIXEL,
        lambda triplet: _prepare(generator, triplet),
    )
    stack, notes = by_own_curve(stack, settings.response)
    fused = fuse_in_triplets(
        stack,
        settings,
        network,
        gamma=architecture.curve == "gamma",
        base=lambda triplets: _merge_of(triplets, architecture),
        progress=progress,
    )
    return replace(fused, notes=(*notes, *fused.notes))


def _prepare(generator: Generator, triplet: Triplet) -> Reconstruct:
    def reconstruct(tile: Tile) -> Tensor:
        inputs = network_inputs(*_read(triplet, tile.outer), triplet.times, generator.architecture)
        return radiance_of_output(generator.reconstruct(*inputs), generator.architecture)

    return reconstruct


def _merge_of(triplets: Sequence[Places], architecture: HdrGanArchitecture) -> Base | None:
    """The merge that the network adds to, where there is but one."""
    if architecture.adds_to != "merge" or len(triplets) > 1:
        return None
    sides, gamma = GENERATOR.sides(architecture), architecture.curve == "gamma"

    def merge(stack: Stack, rows: slice) -> NDArray[np.float32]:
        frames = [stack.frames[place] for place in triplets[0]]
        return _merged(Triplet(frames, sides, torch.device("cpu"), gamma), rows)

    return merge


def _merged(triplet: Triplet, rows: slice) -> NDArray[np.float32]:
    """Rows of the merge of a triplet, 1.0 = the reference clips."""
    region = Region(rows.start, rows.stop, 0, triplet.frames[0].width)
    with torch.inference_mode():
        radiance = merge_towards_reference(*_read(triplet, region), triplet.times)
    return fullsize.to_pixels(radiance * triplet.exposures[1])


def _read(triplet: Triplet, region: Region) -> tuple[list[Tensor], list[Tensor]]:
    """Frames on a region as they look and as light, 0..1, as `network_inputs` takes them."""
    return triplet.displays(region), triplet.lights(region)

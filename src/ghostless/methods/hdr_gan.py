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
from ..exposure.response import find_response, recode_to_srgb
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
from .triplets import Places, Reconstruct, Triplet, TripletNetwork, fuse_in_triplets

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

    def prepare(triplet: Triplet) -> Reconstruct:
        def reconstruct(tile: Tile) -> Tensor:
            inputs = network_inputs(*_read(triplet, tile.outer), triplet.times, architecture)
            return radiance_of_output(generator.reconstruct(*inputs), architecture)

        return reconstruct

    def base(triplets: Sequence[Places]) -> Base | None:
        # The merge that the network adds to, where there is but one.
        if architecture.adds_to != "merge" or len(triplets) > 1:
            return None
        return lambda stack, rows: _merged(triplet_of(stack, triplets[0]), rows)

    def triplet_of(stack: Stack, places: Places) -> Triplet:
        frames = [stack.frames[place] for place in places]
        gamma = architecture.curve == "gamma"
        return Triplet(frames, GENERATOR.sides(architecture), torch.device("cpu"), gamma)

    network = TripletNetwork(GENERATOR, loaded, generator.halo_pixels, _BYTES_PER_PIXEL, prepare)
    response, notes = find_response(stack, settings.response)
    if response is not None:
        stack = recode_to_srgb(stack, response)
    fused = fuse_in_triplets(
        stack,
        settings,
        network,
        gamma=architecture.curve == "gamma",
        base=base,
        progress=progress,
    )
    return replace(fused, notes=(*notes, *fused.notes))


def _merged(triplet: Triplet, rows: slice) -> NDArray[np.float32]:
    """Rows of the merge of a triplet, 1.0 = the reference clips."""
    region = Region(rows.start, rows.stop, 0, triplet.frames[0].width)
    with torch.inference_mode():
        radiance = merge_towards_reference(*_read(triplet, region), triplet.times)
    return fullsize.to_pixels(radiance * triplet.exposures[1])


def _read(triplet: Triplet, region: Region) -> tuple[list[Tensor], list[Tensor]]:
    """Frames on a region as they look and as light, 0..1, as `network_inputs` takes them."""
    return triplet.displays(region), triplet.lights(region)

"""Fusing with SAFNet, the network of nn/safnet.py, ours or its authors'."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ..bracket import Fused, Stack
from ..nn.fullsize import Progress, Region, Tile
from ..nn.published import Published, State, only_file, renamed
from ..nn.published_files.torch_checkpoint import read_torch
from ..nn.safnet import (
    DILATIONS,
    FLOW_PIXELS,
    FLOW_SHARE,
    HALO_PIXELS,
    LEVELS,
    NETWORK,
    Form,
    SafNet,
    SafNetArchitecture,
    enlarged,
    flow_size,
)
from ..nn.three_frames import FRAMES
from ..nn.weights import LoadedNetwork, load_network
from ..pixels.reduced import reduced
from .settings import HdrNetworkSettings
from .triplets import Reconstruct, Triplet, fuse_by_paper

# The network is the method's too.
__all__ = ("NETWORK", "PUBLISHED", "SafNet", "SafNetArchitecture", "fuse")

# Tensors alive at once in float32 in a tile, of which the frames read by flow are a few more.
_BYTES_PER_PIXEL = {"full": 3072, "small": 1536}
# Flow and masks, as they are found, at a quarter of the pixels; and the layers that find them.
_MAP_BYTES_PER_PIXEL = 512
_PUBLISHED_FILES = "SAFNet_S_siggraph17.pth, or a checkpoint of the full SAFNet"
_OF_CONV = ("0.weight", "0.bias", "1.weight")


def fuse(stack: Stack, settings: HdrNetworkSettings, progress: Progress | None = None) -> Fused:
    """Fuse two or more frames of known exposure into linear radiance, 1.0 = the reference clips.

    As `triplets.fuse_by_paper` says. Flow and masks are found on the whole image at half its size;
    merge and correction run in tiles, which read the frames wherever the flow points.
    """
    form: Form = load_network(NETWORK, settings).network.architecture.form
    return fuse_by_paper(
        stack,
        settings,
        NETWORK,
        halo_pixels=HALO_PIXELS[form],
        bytes_per_pixel=_BYTES_PER_PIXEL[form],
        map_bytes_per_pixel=_MAP_BYTES_PER_PIXEL,
        prepare=_prepare,
        progress=progress,
    )


def _prepare(loaded: LoadedNetwork, triplet: Triplet) -> Reconstruct:
    """Find the motion of the whole scene, and return what merges and corrects a tile of it."""
    network: SafNet = loaded.network
    found = network.look(_small(triplet))

    def reconstruct(tile: Tile) -> Tensor:
        motion = enlarged(found, triplet.size, tile.outer)
        places = [_pointed_to(flow, tile.outer, triplet.size) for flow in motion.flows]
        sides = [
            triplet.network_frame(number, place)
            for number, place in zip((0, 2), places, strict=True)
        ]
        reference = triplet.network_frame(1, tile.outer)
        return network.merge_and_correct(sides, places, reference, tile.outer, motion)[0]

    return reconstruct


def _small(triplet: Triplet) -> list[Tensor]:
    """The frames at the size at which flow is found, one at a time."""
    height, width = triplet.size
    size = flow_size(height, width)
    if height * width * FLOW_SHARE**2 > FLOW_PIXELS:
        frames = [
            replace(frame, pixels=reduced(frame.pixels, size), opaque=None)
            for frame in triplet.frames
        ]
        small = replace(triplet, frames=frames)
        return small.network_frames(Region(0, size[0], 0, size[1]))
    whole = Region(0, height, 0, width)
    return [
        F.interpolate(triplet.network_frame(number, whole), size, mode="bilinear")
        for number in range(FRAMES)
    ]


def _pointed_to(flow: Tensor, region: Region, size: tuple[int, int]) -> Region:
    """The part of a frame of a size that a flow on a region points to, and two pixels around."""
    x = flow[:, 0] + torch.arange(region.left, region.right, device=flow.device)
    y = flow[:, 1] + torch.arange(region.top, region.bottom, device=flow.device)[:, None]
    bounds = []
    for places, most in ((y, size[0]), (x, size[1])):
        inside = places.nan_to_num(0.0).clamp(0, most)
        low, high = math.floor(float(inside.min())) - 3, math.ceil(float(inside.max())) + 4
        bounds += [max(0, min(low, most - 1)), max(1, min(high, most))]
    return Region(*bounds)


# Weights of the authors


def _read_published(files: Sequence[Path]) -> tuple[SafNetArchitecture, State]:
    """The authors' checkpoint of either form, told apart by the correction's first layer."""
    path = only_file(files, _PUBLISHED_FILES)
    found = read_torch(path)
    form: Form = "full" if "refinenet.conv0.0.0.weight" in found else "small"
    return SafNetArchitecture(form), renamed(path, found, _published_names(form))


def _published_names(form: Form) -> dict[str, str]:
    """The names of the network's state by those of the authors' program."""
    parts = {
        f"encoder.pyramid{level + 1}.{conv}.": f"encoder.levels.{level}.{conv}."
        for level in range(LEVELS)
        for conv in (0, 1)
    }
    parts["decoder.conv1."] = "decoder.first."
    parts |= {f"decoder.conv{2 + number}.": f"decoder.grouped.{number}." for number in range(3)}
    parts["decoder.conv5."] = "decoder.last."
    plain = {"decoder.conv6.": "decoder.up."}
    if form == "small":
        stack = len(DILATIONS["small"])
        parts |= {f"refinenet.conv{1 + n}.": f"correction.layers.{n}." for n in range(stack)}
        plain[f"refinenet.conv{1 + stack}."] = "correction.head."
    else:
        for number, name in enumerate(("dark", "reference", "bright")):
            parts |= {f"refinenet.conv{number}.{c}.": f"correction.{name}.{c}." for c in (0, 1)}
        plain["refinenet.conv3."] = "correction.head."
        for number in range(len(DILATIONS["full"])):
            theirs, ours = f"refinenet.resblock{1 + number}.", f"correction.blocks.{number}."
            parts[f"{theirs}conv1."] = f"{ours}first."
            plain[f"{theirs}conv2."] = f"{ours}second."
            parts[f"{theirs}prelu."] = f"{ours}activation."
    names = {
        f"{theirs}{end}": f"{ours}{end}"
        for theirs, ours in parts.items()
        for end in (("weight",) if theirs.endswith("prelu.") else _OF_CONV)
    }
    return names | {
        f"{theirs}{end}": f"{ours}{end}"
        for theirs, ours in plain.items()
        for end in ("weight", "bias")
    }


PUBLISHED = Published(
    files=_PUBLISHED_FILES,
    source="the authors' project SAFNet",
    licence="academic use only",
    read=_read_published,
)

"""What Chen & Chuang's attention does where something changed: measured on pasted pieces.

A piece of a still pair of photos lies at one place in the darker and at another in the brighter one
(see `bench.pieces`), so what changed between them is known to the pixel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ....bracket import Frame, Stack
from ....errors import OptionError
from ....methods import METHODS
from ..pasted import near
from ..pieces import differs, make_piece
from ..with_and_without import decibels
from .place import Place, counted, levels
from .printed import PrintedTable
from .result import FoundRow, FoundTable, Value

_PIECES = 2
# How far corners move that nobody registered, against the shorter side: 8 of 256 pixels.
_APART_SHARE = 1 / 32
# What a darker photo must show of a changed place, for anyone to tell: codes of 8 bits.
_TOLD_CODES = 3

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class PastedPair:
    """A pair in which a piece moves. still: the brighter frame with it where the darker has it."""

    under: Frame
    over: Frame
    still: Frame


def pasted_pairs(place: Place, table: PrintedTable) -> Iterator[tuple[str, list[PastedPair]]]:
    """The darkest and brightest photo of each scene, with pieces of them laid in."""
    for scene in place.scenes(table):
        photos = place.photos(scene)
        frames = (Frame(photos[0]), Frame(photos[-1]))
        made = []
        for number in range(_PIECES):
            random = np.random.default_rng([place.settings.seed, number, *scene.name.encode()])
            piece = make_piece(frames, frames, scene.name, random)
            home, other = piece.places
            under, still = (piece.lay(frame, i, home) for i, frame in enumerate(frames))
            made.append(PastedPair(under, piece.lay(frames[1], 1, other), still))
        yield scene.name, made


def suppression(table: PrintedTable, place: Place) -> FoundTable:
    """Attention on what changed beside that on what did not, at equal brightness."""
    network = _network(place)
    ways: dict[str, Callable[[PastedPair, int], Frame]] = {
        "in place": lambda pair, number: pair.over,
        "in place by homography": lambda pair, number: _registered(place, pair, pair.over),
        "apart": lambda pair, number: _apart(pair, number),
        "registered": lambda pair, number: _registered(place, pair, _apart(pair, number)),
    }
    found, scenes = _nothing_yet(table), 0
    for _, pairs in pasted_pairs(place, table):
        scenes += 1
        for row in table.rows:
            way, _, only = row.method.partition(", ")
            values = _of_scene([(p, ways[way](p, i)) for i, p in enumerate(pairs)], network, only)
            for metric, value in values.items():
                found[row.method][metric].append(value)
    differs_by = (
        f"{counted(scenes, 'scene')}, {_PIECES} pieces laid into each; attention is the mean over "
        "channels.",
        place.about_weights(),
    )
    return FoundTable(table, _means(table, found, place), differs_by)


def with_and_without(table: PrintedTable, place: Place) -> FoundTable:
    """PSNR inside and outside what changed, with attention and with all of the frame let through.

    To what the network makes of the pair in which the piece stands still: by itself, and (`common`)
    without attention.
    """
    network = _network(place)
    found, scenes = _nothing_yet(table), 0
    for _, pairs in pasted_pairs(place, table):
        scenes += 1
        for pair in pairs:
            inside = near(differs(pair.over, pair.still)[None])
            with without_attention(network):
                plain = _fuse(place, pair.under, pair.still)
            for row in table.rows:
                without = row.method == "without attention"
                with without_attention(network, really=without):
                    picture = _fuse(place, pair.under, pair.over)
                    own = plain if without else _fuse(place, pair.under, pair.still)
                values = found[row.method]
                for metric, truth, where in (
                    ("PSNR_inside", own, inside),
                    ("PSNR_inside_common", plain, inside),
                    ("PSNR_outside", own, ~inside),
                    ("PSNR_outside_common", plain, ~inside),
                ):
                    if metric in values:
                        values[metric].append(decibels(picture, truth, where))
    differs_by = (f"{counted(scenes, 'scene')}, {_PIECES} pieces each.", place.about_weights())
    return FoundTable(table, _means(table, found, place), differs_by)


def _nothing_yet(table: PrintedTable) -> dict[str, dict[str, list[float]]]:
    """Lists to gather a table's values in, by method and metric."""
    return {row.method: {metric: [] for metric in table.metrics} for row in table.rows}


def _means(
    table: PrintedTable, found: dict[str, dict[str, list[float]]], place: Place
) -> tuple[FoundRow, ...]:
    rows = []
    for row in table.rows:
        means = {m: Value.of(v, place.settings.seed) for m, v in found[row.method].items()}
        rows.append(FoundRow(row.name, {m: v for m, v in means.items() if v is not None}))
    return tuple(rows)


@contextmanager
def without_attention(network: Any, really: bool = True) -> Iterator[None]:
    """A generator that holds back nothing: without its gate; where it has none, with the same
    attention, the mean, at every place."""
    if not really:
        yield
        return
    if network.gate is not None:
        gate, network.gate = network.gate, None
        try:
            yield
        finally:
            network.gate = gate
        return
    if network.attention.attention is None:
        raise OptionError("expected a network with attention, found one without")
    hook = network.attention.attention.register_forward_hook(
        lambda module, inputs, output: output.mean(dim=(2, 3), keepdim=True).expand_as(output)
    )
    try:
        yield
    finally:
        hook.remove()


def attention_on(network: Any, under: Frame, over: Frame) -> NDArray[np.float32]:
    """How much of the over-exposed frame counts where, (H, W), 0..1, at its full size."""
    import torch

    from ....nn.chen_chuang import SIZE_MULTIPLE
    from ....nn.fullsize import to_tensor
    from ....nn.regions import PaddedFrame, Region

    height, width = under.height, under.width
    size = tuple(-(-side // SIZE_MULTIPLE) * SIZE_MULTIPLE for side in (height, width))
    device = next(network.parameters()).device
    pair = [
        to_tensor(PaddedFrame(f, "reflect").display(Region(0, size[0], 0, size[1])), device)
        for f in (under, over)
    ]
    with torch.inference_mode():
        shown = network.attend(*pair).attention
    return np.asarray(shown[0, 0, :height, :width].float().cpu().numpy(), np.float32)


def _of_scene(pairs: list[tuple[PastedPair, Frame]], network: Any, only: str) -> dict[str, float]:
    import torch

    from ...train.attention_losses import joined, suppression

    def plane(values: NDArray[Any]) -> Any:
        return torch.from_numpy(np.ascontiguousarray(values, np.float32))[None, None]

    parts = []
    for pair, over in pairs:
        change = differs(over, pair.still).astype(np.float32)
        shown = attention_on(network, pair.under, over)
        grey = cv2.cvtColor(np.asarray(over.display(), np.float32), cv2.COLOR_RGB2GRAY)
        planes = [plane(values) for values in (shown, grey, change)]
        if only:
            told = pair.under.pixels.max(axis=2) > _TOLD_CODES
            planes = [values[:, :, told][:, :, None] for values in planes]
        parts.append(suppression(*planes))
    both = joined(parts)
    return {
        "ratio": both.ratio,
        "on_changed": both.on_changed if both.pixels else float("nan"),
        "on_unchanged": both.on_unchanged if both.pixels else float("nan"),
    }


def _apart(pair: PastedPair, number: int) -> Frame:
    """The brighter frame as if nobody had registered it."""
    random = np.random.default_rng([number, pair.over.height, pair.over.width])
    height, width = pair.over.height, pair.over.width
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    largest = _APART_SHARE * min(height, width)
    moved = corners + random.uniform(-largest, largest, corners.shape).astype(np.float32)
    matrix = cv2.getPerspectiveTransform(corners, moved)
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    pixels = cv2.warpPerspective(
        pair.over.pixels, matrix, (width, height), flags=how, borderMode=cv2.BORDER_REFLECT
    )
    return replace(pair.over, pixels=np.asarray(pixels, np.uint8))


def _registered(place: Place, pair: PastedPair, over: Frame) -> Frame:
    from ....methods.chen_chuang import registered
    from ....methods.settings import ChenChuangSettings

    stack = Stack((pair.under, over), reference=0)
    # As by default, not as published.
    how = ChenChuangSettings(homography="on", device=place.settings.device)
    frames, _ = registered(stack, how)
    return frames[1]


def _network(place: Place) -> Any:
    from ....nn.weights import load_network

    return load_network(METHODS[place.paper].kind, place.method_settings()).network


def _fuse(place: Place, under: Frame, over: Frame) -> NDArray[np.float32]:
    frames = [levels(frame.display()) for frame in (under, over)]
    fused = place.fuse(frames, homography="off", quality="full", precision="float32")
    return fused.astype(np.float32) / np.float32(255)

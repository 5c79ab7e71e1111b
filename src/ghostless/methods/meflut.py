"""MEFLUT: the weight of every pixel looked up by its grey, in one curve for each frame.

Paper: Jiang, Wang, Li, Li, Fan, Liu: MEFLUT: Unsupervised 1D Lookup Tables for Multi-exposure Image
    Fusion, ICCV 2023.
Built as: on copies of the frames' luma, 128 pixels on the short side, the curve of a frame tells
    the weight of each grey; a guided filter carries the weights to the full size, where the fused
    luma is the mean by them; chroma is fused by rule. The curves are those that the authors
    published, one set for each number of frames (`ghostless weights import`); no network runs.
Differs from the paper:
    - Their network, of which they keep no weights, is not here: the curves are all there is of it.
    - Between two greys the curve is interpolated; the program takes the lower one
      (`interpolate=False`).
    - Frames of other numbers than there are curves for take curves in between, by their place
      between the brightest and the darkest.
Needs no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..bracket import Fused, Stack
from ..errors import WeightsError
from ..nn.weights import load_arrays
from ..pixels.stripes import Progress
from ..settings import check_settings
from .small_weights import SmallWeights, fuse_by_weights, shares, shown_on_copy, small_copy

Array = NDArray[np.float32]

NAME = "meflut"
_COMMAND = "ghostless weights import meflut FILE -o OUT.safetensors"
# Of the guided filter: side of its window, and what counts as flat, which is all there can be: the
# weights are as good as smoothed.
_WINDOW, _FLAT = 5, 1.0


@dataclass(frozen=True)
class MeflutSettings:
    """How to fuse with looked-up weights.

    weights: a safetensors file with the curves.
    interpolate: the curves between two greys of 8 bits; the program takes the lower one's weight.
    """

    weights: Path | str | None = None
    interpolate: bool = True

    def __post_init__(self) -> None:
        check_settings(self)


def fuse(
    stack: Stack,
    settings: MeflutSettings = MeflutSettings(),
    *,
    progress: Progress | None = None,
) -> Fused:
    """Fuse 1 to 20 aligned frames, dark to bright, into one display image by looked-up weights.

    Masks are honoured; where all frames are masked, the reference is taken.
    Returns a display image, (H, W, 3) float32, 0..1, with the reference's metadata. Raises
    WeightsError while there are no curves, or where they are damaged or of something else.
    """
    return fuse_by_weights(stack, _weights(stack, settings), progress)


def weight_maps(stack: Stack, settings: MeflutSettings = MeflutSettings()) -> list[Array]:
    """Return how much each frame counts where, on the small copies.

    (h, w) float32 per frame, 0..1, together 1 everywhere.
    """
    return shares(_weights(stack, settings))


def _weights(stack: Stack, settings: MeflutSettings) -> list[SmallWeights]:
    curves = curves_for(len(stack.frames), _read_curves(settings.weights))
    found = []
    for number, (frame, curve) in enumerate(zip(stack.frames, reversed(curves), strict=True)):
        copy = small_copy(frame)
        # NaN, which floats may hold, would spread.
        copy = np.nan_to_num(copy, nan=0.0)
        places = copy * np.float32(len(curve) - 1)
        if not settings.interpolate:
            places = np.floor(places)
        values = np.asarray(np.interp(places, np.arange(len(curve)), curve), np.float32)
        shown = shown_on_copy(stack, number, copy)
        found.append(SmallWeights.of(copy, values, _WINDOW, _FLAT, shown))
    return found


def curves_for(count: int, sets: dict[int, Array]) -> list[Array]:
    """Curves (256,) for so many frames, the brightest first.

    sets: curves (K, 256) by K. Without a set for `count`, the largest one's, interpolated.
    """
    if count in sets:
        return list(sets[count])
    largest = sets[max(sets)]
    places = np.linspace(0, len(largest) - 1, count)
    first = np.minimum(places.astype(int), len(largest) - 2)
    share = (places - first).astype(np.float32)[:, None]
    return list(largest[first] * (1 - share) + largest[first + 1] * share)


def _read_curves(path: Path | str | None) -> dict[int, Array]:
    arrays, _ = load_arrays(NAME, _COMMAND, path)
    sets = {}
    for name, curves in arrays.items():
        word, _, count = name.partition(".")
        if word != "curves" or curves.ndim != 2 or curves.shape[1] < 2 or count != str(len(curves)):
            raise WeightsError(
                f"{path or NAME}: expected curves as curves.K of shape (K, 256), found {name!r} of "
                f"shape {curves.shape}; import them again with: {_COMMAND}"
            )
        sets[len(curves)] = curves
    if not sets or max(sets) < 2:
        raise WeightsError(
            f"{path or NAME}: expected curves for two frames or more, found none; "
            f"import them with: {_COMMAND}"
        )
    return sets

"""What a reference photo does not show, filled with patches of the other photos: `sen` and `hu`.

Where the reference is clipped or black, other photos know more, but what they show may have moved.
So patches that fit what is around are looked for in them (`pixels/patch_match.py`), from coarse to
fine, and pixels are made from all patches that cover them. This is done on a proxy; at full size,
pixels are taken from where the proxy's patches were found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from ..bracket import Frame, Stack
from ..exposure.response import ResponseChoice
from ..pixels import color
from ..pixels.holes import pull_push
from ..pixels.patch_match import RADIUS, Places, Search, Source, identity, resized, vote
from ..pixels.reduced import reduced, size_within
from ..pixels.windows import erode
from ..settings import Range, check_settings

Picture = NDArray[np.float32]
Plane = NDArray[np.float32]
# Rows and columns of some pixels, (n,) each.
At = tuple[NDArray[np.intp], NDArray[np.intp]]

# Display codes between which a photo begins to tell shadows, and ceases to tell highlights.
_BLACK_FROM, _BLACK_TO = 0.02, 0.10
_CLIP_FROM, _CLIP_TO = 0.90, 0.98
# Sides of the coarsest proxy, and of each to the next finer one.
_COARSEST_SIDE, _STEP = 35, 1.5
# Light of another photo as a share of the reference's: less than this where the reference is
# clipped, or more where it is black, is another thing.
_LEAST_SHARE, _SURE_SHARE = 0.5, 0.8
_BLACK_LIGHT = 0.01


@dataclass(frozen=True)
class PatchSettings:
    """How patches are looked for.

    iterations: at the coarsest scale; at the finest there are an eighth as many.
    megapixels: size of the proxy on which patches are looked for, for larger photos.
    response: what display codes mean in light, as of `debevec`.
    """

    iterations: Annotated[int, Range(1, 200)] = 16
    megapixels: Annotated[float, Range(0.05, 24)] = 1.0
    response: ResponseChoice = "auto"

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True)
class Proxy:
    """A photo at the size of a proxy.

    codes: (h, w, 3) display values. gain: how many times the reference's light it was let in.
    usable: (h, w), where it shows the scene.
    """

    codes: Picture
    gain: float
    usable: NDArray[np.bool_]

    def at(self, size: tuple[int, int]) -> Proxy:
        """At another size, (height, width)."""
        if size == self.codes.shape[:2]:
            return self
        usable = reduced(self.usable.astype(np.float32), size) > 0.999
        return Proxy(reduced(self.codes, size), self.gain, np.asarray(usable))


def reduced_frame(
    frame: Frame, weight: Plane | None, megapixels: float
) -> tuple[Frame, NDArray[np.bool_]]:
    """A frame at so many megapixels at most, and where, (h, w), it shows the scene.

    weight: (H, W), 0 where the frame does not; None for everywhere.
    """
    size = size_within(frame.pixels.shape, pixels=megapixels * 1e6)
    usable = np.ones(size, np.bool_) if weight is None else reduced(weight, size) > 0.5
    pixels: NDArray[Any] = frame.pixels
    if pixels.dtype == np.float32:
        pixels = np.nan_to_num(pixels, nan=0.0)
    return Frame(reduced(pixels, size), frame.transfer), usable


def sizes(height: int, width: int) -> list[tuple[int, int]]:
    """Sizes of all proxies, coarse to fine, the last one that given.

    >>> sizes(100, 150)
    [(44, 67), (67, 100), (100, 150)]
    """
    found = [(height, width)]
    while min(found[0]) / _STEP >= _COARSEST_SIDE:
        found.insert(0, (round(found[0][0] / _STEP), round(found[0][1] / _STEP)))
    return found


def tells(codes: Picture, *, shadows: bool, highlights: bool) -> Plane:
    """How far a photo tells what is there, 0..1, (..., 3) to (...).

    shadows, highlights: whether its black and white tell too, for no other photo knows more.
    """
    brightest = codes.max(axis=-1)
    told = np.ones_like(brightest)
    if not shadows:
        told *= smooth_step(brightest, _BLACK_FROM, _BLACK_TO)
    if not highlights:
        told *= 1 - smooth_step(brightest, _CLIP_FROM, _CLIP_TO)
    return np.asarray(told, np.float32)


def agrees(light: Picture, reference: Picture, clipped: bool | None = None) -> Plane:
    """How far light of another photo, (..., 3), can be what the reference shows: 0..1, (...).

    Where the reference is clipped there is at least as much of every colour, where it is black at
    most.
    clipped: which of both it is where it does not tell; None if both can be.
    """
    other, own = light.max(axis=-1), reference.max(axis=-1)
    share = (light + np.float32(_BLACK_LIGHT)) / (reference + np.float32(_BLACK_LIGHT))
    bright = smooth_step(share.min(axis=-1), _LEAST_SHARE, _SURE_SHARE)
    excess = other / (own + np.float32(_BLACK_LIGHT))
    dark = 1 - smooth_step(excess, 1 / _SURE_SHARE, 1 / _LEAST_SHARE)
    if clipped is not None:
        return bright if clipped else np.asarray(dark, np.float32)
    is_bright = smooth_step(own, 0.1, 0.3)
    return np.asarray(is_bright * bright + (1 - is_bright) * dark, np.float32)


def smooth_step(values: NDArray[np.float32], low: float, high: float) -> NDArray[np.float32]:
    """Rise from 0 at `low` to 1 at `high`, flat at both ends; of any shape."""
    t = np.clip((values - np.float32(low)) * np.float32(1 / (high - low)), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def spread(values: Picture, sure: Plane, at: At, shape: tuple[int, ...], clipped: bool) -> Picture:
    """Fill pixels smoothly from those around them that are surer: (n, 3) to (n, 3).

    sure: (n,), 0..1. at: where in a picture of `shape` they are. clipped: whether the reference is
    clipped there, so that only what is brighter than the values can be meant; else it is black, and
    only what is darker can.
    """
    sums, weights = np.zeros(shape, np.float32), np.zeros(shape[:2], np.float32)
    weights[at] = sure
    sums[at] = values * sure[:, None]
    if not weights.any():
        return values
    around = pull_push(sums, weights)[at]
    around = np.maximum(around, values) if clipped else np.minimum(around, values)
    share = sure[:, None]
    return np.asarray(share * values + (1 - share) * around, np.float32)


@dataclass
class Fill:
    """One scale of filling: the pixels to fill, and where their patches are found.

    wanted: per source (h, w), what to fill from it. sources: photos to take from. places: where,
    per source.
    """

    wanted: list[NDArray[np.bool_]]
    sources: list[Source]
    places: list[Places]

    def __post_init__(self) -> None:
        self.rows, self.columns = np.nonzero(np.logical_or.reduce(self.wanted))

    def search(
        self, number: int, target: Picture, sweeps: int, random: np.random.Generator
    ) -> None:
        """Look in a source for patches like those of a target."""
        # Patches that cover a wanted pixel lie as far out as their radius.
        kept = (~self.wanted[number]).astype(np.float32)
        covering = erode(kept, RADIUS) == 0
        Search(target, self.sources[number], self.places[number], covering).run(sweeps, random)

    def voted(self, number: int) -> tuple[Picture, Plane]:
        """Values of all pixels to fill by a source's patches, (n, 3), and how many say so, (n,)."""
        codes = np.zeros((len(self.rows), 3), np.float32)
        count = np.zeros(len(self.rows), np.float32)
        of_it = self.wanted[number][self.rows, self.columns]
        at = self.rows[of_it], self.columns[of_it]
        codes[of_it], count[of_it] = vote(self.sources[number], self.places[number], *at)
        return codes, count


def coarse_to_fine(
    photos: list[Proxy], wanted: Callable[[list[Proxy]], list[NDArray[np.bool_]]]
) -> Iterator[tuple[list[Proxy], Fill, float]]:
    """Walk the scales: the photos at it, what to fill, and how fine it is, 0 to 1.

    wanted: tells what to fill from each photo at a scale, (h, w) each. Places that were found go on
    to the next scale.
    """
    every = sizes(*photos[0].codes.shape[:2])
    places = [identity(*every[0]) for _ in photos]
    for number, size in enumerate(every):
        here = [photo.at(size) for photo in photos]
        places = [resized(found, size) for found in places]
        fill = Fill(wanted(here), [Source(p.codes, p.usable) for p in here], places)
        yield here, fill, number / max(1, len(every) - 1)


def full_size_places(
    places: Places, rows: NDArray[np.intp], columns: NDArray[np.intp], size: tuple[int, int]
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Where in a photo of full size pixels are found by the patches of a proxy around them.

    rows, columns: of the pixels; size: (height, width) of the photo. Yields rows and columns, once
    for each of several patches.
    """
    height, width = places.shape[1:]
    scale = np.array([size[0] / height, size[1] / width])
    as_fine = bool(np.all(scale == 1))
    shifts = range(-RADIUS, RADIUS + 1) if as_fine else range(-2, 3, 2)
    at_rows = np.minimum(((rows + 0.5) / scale[0]).astype(np.intp), height - 1)
    at_columns = np.minimum(((columns + 0.5) / scale[1]).astype(np.intp), width - 1)
    for down in shifts:
        for across in shifts:
            by_rows = np.clip(at_rows + down, 0, height - 1)
            by_columns = np.clip(at_columns + across, 0, width - 1)
            found = places[:, by_rows, by_columns]
            moved = np.rint((found[0] - by_rows) * scale[0]).astype(np.intp)
            moved_across = np.rint((found[1] - by_columns) * scale[1]).astype(np.intp)
            yield (
                np.clip(rows + moved, 0, size[0] - 1),
                np.clip(columns + moved_across, 0, size[1] - 1),
            )


def taken(
    stack: Stack, index: int, places: Iterable[tuple[NDArray[np.intp], NDArray[np.intp]]]
) -> tuple[Picture, Plane]:
    """Mean of several places of a frame, in its own coding, (n, 3), and of how many, (n,)."""
    frame = stack.frames[index]
    masks = [m for m in (stack.valid[index], stack.confidence[index]) if m is not None]
    total: Any = 0
    count: Any = 0
    for at in places:
        seen = np.logical_and.reduce([mask[at] > 127 for mask in masks]) if masks else True
        seen = np.broadcast_to(np.float32(seen), at[0].shape)
        total = total + np.nan_to_num(color.to_unit(frame.pixels[at])) * seen[:, None]
        count = count + seen
    return total / np.maximum(count, 1)[:, None], count

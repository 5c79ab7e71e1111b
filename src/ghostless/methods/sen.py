"""Radiance of a moving scene: the reference, and patches of others where it tells nothing.

Paper: Sen, Kalantari, Yaesoubi, Darabi, Goldman, Shechtman: Robust Patch-Based HDR Reconstruction
    of Dynamic Scenes, SIGGRAPH Asia 2012.
Built as: where the reference is neither clipped nor black, its light. Elsewhere, in turn, from
    coarse to fine: the radiance so far is exposed like each of the other photos, patches like those
    of this picture are looked for in that photo, pixels are made of all patches that cover them,
    and merged to the next radiance (`patch_fill.py`).
Differs from the paper: patches of the result are looked for in the photos, but not those of the
    photos in the result. The search begins with the merge of the photos as they lie, and light
    that the reference rules out does not count: less than clips it, more than it shows black. From
    some size on, patches are looked for on a proxy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from ..bracket import Frame, Fused, Stack
from ..exposure.response import Response, find_response
from ..pixels import color
from ..pixels.stripes import Progress, for_each_stripe, part
from ..settings import Range
from ..work.spill import empty
from .debevec import light_rows
from .patch_fill import (
    At,
    Fill,
    PatchSettings,
    Picture,
    Plane,
    Proxy,
    agrees,
    coarse_to_fine,
    full_size_places,
    reduced_frame,
    spread,
    taken,
    tells,
)

_LEAST = np.float32(1e-9)
# Light of the reference above which what it does not tell is clipped, not black.
_BRIGHT = 0.3


@dataclass(frozen=True)
class SenSettings(PatchSettings):
    """How patches are looked for."""

    iterations: Annotated[int, Range(1, 200)] = 24


def fuse(
    stack: Stack, settings: SenSettings = SenSettings(), *, progress: Progress | None = None
) -> Fused:
    """Merge 2 to 20 frames of known exposure, in which things may move, into scene radiance.

    stack: frames of any type and transfer, aligned as far as the camera moved; masked pixels are
        not used.
    progress: called with the fraction done, 0..1.
    Returns a linear image, (H, W, 3) float32, >= 0 and finite, 1.0 = what just clips in the
        reference, with the reference's metadata.
    Raises BracketError where an exposure is unknown.
    """
    stops = np.asarray(stack.stops)
    gains = np.exp2(stops - stops[stack.reference])
    response, notes = find_response(stack, settings.response)
    merge = _Merge(gains.tolist(), stack.reference)
    photos = _proxies(stack, response, gains.tolist(), settings.megapixels)
    found = _search(photos, merge, settings.iterations, part(progress, 0, 0.8))
    pixels = _at_full_size(stack, response, merge, found, part(progress, 0.8, 1))
    return Fused(pixels, "linear", stack.frames[stack.reference].metadata, notes)


def _proxies(
    stack: Stack, response: Response | None, gains: Sequence[float], megapixels: float
) -> list[Proxy]:
    """A stack's frames in display values of their light, at so many megapixels at most."""
    found = []
    for index, (frame, gain) in enumerate(zip(stack.frames, gains, strict=True)):
        small, usable = reduced_frame(frame, stack.weight(index), megapixels)
        found.append(Proxy(codes_of(small, slice(None), response), gain, usable))
    return found


def codes_of(frame: Frame, rows: slice, response: Response | None) -> Picture:
    """Rows of a frame's light in display values, (rows, W, 3), 0..1."""
    light = light_rows(frame, rows, response)
    return np.minimum(color.linear_to_srgb(light), 1)


@dataclass(frozen=True)
class _Merge:
    """Merges values of one thing at several exposures.

    gains: how many times the reference's light each photo was let in.
    """

    gains: list[float]
    reference: int

    def missing(self, codes: Picture) -> list[NDArray[np.bool_]]:
        """What of the reference's codes (h, w, 3) each photo may know better: (h, w) each.

        Darker photos know what is clipped in it, brighter ones what is black.
        """
        clipped = tells(codes, shadows=True, highlights=False) < 1
        black = tells(codes, shadows=False, highlights=True) < 1
        never = np.zeros_like(black)
        return [black if gain > 1 else clipped if gain < 1 else never for gain in self.gains]

    def radiance(self, codes: Sequence[Picture], seen: Sequence[Plane]) -> tuple[Picture, Plane]:
        """Of codes (n, 3) of every photo, the reference's own among them: (n, 3).

        seen: above 0 where a photo has any, (n,). As far as nobody can be trusted, the reference is
        shown, clipped or black as it is; the second result says how far somebody can, (n,).
        """
        own = color.srgb_to_linear(codes[self.reference])
        total, weights = np.zeros_like(own), np.zeros(len(own), np.float32)
        sure = np.zeros(len(own), np.float32)
        for index, (values, there) in enumerate(zip(codes, seen, strict=True)):
            light = color.srgb_to_linear(values) * np.float32(1 / self.gains[index])
            # The more light, the less noise.
            trust = self._told(index, values) * (there > 0)
            if index != self.reference:
                trust *= agrees(light, own)
            np.maximum(sure, trust, out=sure)
            weight = trust * np.float32(self.gains[index])
            total += weight[:, None] * light
            weights += weight
        other = total / np.maximum(weights, _LEAST)[:, None]
        other = own + sure[:, None] * (other - own)
        told = self._told(self.reference, codes[self.reference])[:, None]
        return np.asarray(told * own + (1 - told) * other, np.float32), sure

    def _told(self, index: int, codes: Picture) -> Plane:
        gain = self.gains[index]
        return tells(codes, shadows=gain >= max(self.gains), highlights=gain <= min(self.gains))


def _search(photos: list[Proxy], merge: _Merge, iterations: int, progress: Progress | None) -> Fill:
    """Find where what the reference misses is in the other photos: the finest scale."""
    random = np.random.default_rng(0)
    others = [index for index in range(len(photos)) if index != merge.reference]
    last: Fill | None = None
    for here, fill, fineness in coarse_to_fine(
        photos, lambda scale: merge.missing(scale[merge.reference].codes)
    ):
        radiance = color.srgb_to_linear(here[merge.reference].codes)
        at = fill.rows, fill.columns
        if last is None:  # the photos as they lie
            codes = [photo.codes[at] for photo in here]
            seen = [photo.usable[at].astype(np.float32) for photo in here]
            radiance[at] = _spread(*merge.radiance(codes, seen), at, radiance.shape)
        else:
            radiance[at] = _voted(fill, here, merge, others)
        for _ in range(max(1, round(iterations * (1 - fineness * 7 / 8)))):
            for index in others:
                exposed = np.minimum(radiance * np.float32(here[index].gain), 1)
                fill.search(index, color.linear_to_srgb(exposed), 1, random)
            radiance[at] = _voted(fill, here, merge, others)
        last = fill
        if progress is not None:
            progress(0.1 + 0.9 * fineness**2)
    assert last is not None
    if progress is not None:
        progress(1)
    return last


def _voted(fill: Fill, photos: list[Proxy], merge: _Merge, others: list[int]) -> Picture:
    """Radiance of the wanted pixels by the patches found, (n, 3)."""
    codes = [photo.codes[fill.rows, fill.columns] for photo in photos]
    seen = [np.ones(len(fill.rows), np.float32) for _ in photos]
    for index in others:
        codes[index], seen[index] = fill.voted(index)
    return merge.radiance(codes, seen)[0]


def _spread(radiance: Picture, sure: Plane, at: At, shape: tuple[int, ...]) -> Picture:
    """Fill pixels of which no photo can be trusted smoothly from those around them, (n, 3)."""
    filled = radiance.copy()
    bright = radiance.max(axis=1) > _BRIGHT
    for of_these in (bright, ~bright):
        there = at[0][of_these], at[1][of_these]
        clipped = of_these is bright
        filled[of_these] = spread(radiance[of_these], sure[of_these], there, shape, clipped)
    return filled


def _at_full_size(
    stack: Stack,
    response: Response | None,
    merge: _Merge,
    found: Fill,
    progress: Progress | None,
) -> Picture:
    """The reference's light, and the patches found where it does not tell."""
    size = stack.frames[0].height, stack.frames[0].width
    out = empty((*size, 3), np.float32)

    def work(start: int, stop: int) -> None:
        rows = slice(start, stop)
        own = codes_of(stack.frames[merge.reference], rows, response)
        fused = color.srgb_to_linear(own)
        at = np.nonzero(np.logical_or.reduce(merge.missing(own)))
        if len(at[0]):
            codes = [own[at] for _ in stack.frames]
            seen = [np.ones(len(at[0]), np.float32) for _ in stack.frames]
            for index, frame in enumerate(stack.frames):
                if index != merge.reference:
                    places = full_size_places(found.places[index], at[0] + start, at[1], size)
                    pixels, seen[index] = taken(stack, index, places)
                    mean = Frame(pixels[:, None], frame.transfer)
                    codes[index] = codes_of(mean, slice(None), response)[:, 0]
            fused[at] = merge.radiance(codes, seen)[0]
        out[rows] = fused

    for_each_stripe(*size, work, progress=progress)
    return out

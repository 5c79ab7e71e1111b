"""Radiance of a moving scene: every photo rebuilt as if taken with the reference, and merged.

Paper: Hu, Gallo, Pulli, Sun: HDR Deghosting: How to Deal with Saturation?, CVPR 2013.
Built as: the reference brought to the exposure of each other photo by a curve from matched
    histograms; where it is clipped or black, patches of that photo (`patch_fill.py`), which agree
    with what is around them and with what the clipped code still says: at least so bright. Both are
    joined along their gradients by Poisson's equation. Photos next to the reference come first,
    and what was made of them is the reference of those farther off. Then they are merged as by
    `debevec`.
Differs from the paper: the curve is found once, from pixels that agree, not anew at every scale.
    The fill begins with the photo as it lies. From some size on, patches are looked for on a proxy,
    and joined there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from ..bracket import Frame, Fused, Stack
from ..exposure.intensity import IntensityMapping, intensity_mapping
from ..pixels import color
from ..pixels.screened import solve_screened
from ..pixels.stripes import Progress, for_each_stripe, part
from ..work.spill import empty
from . import debevec
from .patch_fill import (
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

# How far pixels that are known hold against the gradients of the patches beside them.
_HOLD = 10.0


@dataclass(frozen=True)
class HuSettings(PatchSettings):
    """How patches are looked for."""


def fuse(
    stack: Stack, settings: HuSettings = HuSettings(), *, progress: Progress | None = None
) -> Fused:
    """Merge 2 to 20 frames of known exposure, in which things may move, into scene radiance.

    stack: frames of any type and transfer, aligned as far as the camera moved; masked pixels are
        not used.
    progress: called with the fraction done, 0..1.
    Returns a linear image, (H, W, 3) float32, >= 0 and finite, 1.0 = what just clips in the
        reference, with the reference's metadata.
    Raises BracketError where an exposure is unknown.
    """
    latent = as_if_together(stack, settings, part(progress, 0, 0.9))
    linear = all(frame.transfer == "linear" for frame in stack.frames)
    how = debevec.DebevecSettings(response="srgb" if linear else settings.response)
    return debevec.fuse(latent, how, progress=part(progress, 0.9, 1))


def as_if_together(
    stack: Stack, settings: HuSettings = HuSettings(), progress: Progress | None = None
) -> Stack:
    """The stack's photos as if all had been taken at once with the reference.

    Returns a stack without masks, frames of 16 bits of sRGB codes, the reference as it is.
    """
    stops = np.asarray(stack.stops)
    frames = list(stack.frames)
    done = 0
    for towards in (1, -1):
        side = np.flatnonzero((stops - stops[stack.reference]) * towards > 0)
        side = side[np.argsort(np.abs(stops[side] - stops[stack.reference]), kind="stable")]
        base = stack.reference
        for index in side.tolist():
            step = 1 / max(1, len(frames) - 1)
            told = part(progress, done * step, (done + 1) * step)
            pair = _Pair(stack, frames[base], index, settings)
            frames[index] = pair.latent(told)
            base, done = index, done + 1
    same = [i for i in range(len(frames)) if i != stack.reference and frames[i] is stack.frames[i]]
    for index in same:  # of the same exposure: nothing is missing in the reference
        frames[index] = replace(frames[stack.reference], path=frames[index].path)
    if progress is not None:
        progress(1)
    return Stack(tuple(frames), stack.reference, notes=stack.notes)


class _Pair:
    """A photo to be rebuilt from one that lies with the reference.

    The latter tells all but what is clipped in it, if the photo is darker, or black, if brighter.
    """

    def __init__(self, stack: Stack, base: Frame, index: int, settings: HuSettings) -> None:
        self.stack, self.base, self.index, self.settings = stack, base, index, settings
        self.photo = stack.frames[index]
        stops = stack.stops[index] - (base.stops if base.stops is not None else 0.0)
        self.darker = stops < 0
        self.gain = float(np.exp2(stops))
        weight = stack.weight(index)
        seen = None if weight is None else np.where(weight > 0.5, 255, 0).astype(np.uint8)
        self.curve: IntensityMapping = intensity_mapping(
            base, self.photo, registered=True, valid=seen
        )

    def latent(self, progress: Progress | None) -> Frame:
        """The photo as if taken with the base."""
        fill, change = self._fill(part(progress, 0, 0.8))
        size = self.photo.height, self.photo.width
        out = empty((*size, 3), np.uint16)

        def work(start: int, stop: int) -> None:
            rows = slice(start, stop)
            codes, known = self._mapped(self.base, rows)
            at = np.nonzero(known < 1)
            if len(at[0]):
                places = full_size_places(fill.places[1], at[0] + start, at[1], size)
                pixels, count = taken(self.stack, self.index, places)
                mean = Frame(np.ascontiguousarray(pixels[:, None]), self.photo.transfer)
                codes[at] = self._joined(codes[at], known[at], mean.display()[:, 0], count)[0]
            codes += _enlarged(change, start, stop, size)
            out[rows] = np.rint(np.clip(codes, 0, 1) * np.float32(65535))

        for_each_stripe(*size, work, progress=part(progress, 0.8, 1))
        return replace(self.photo, pixels=out, transfer="srgb", opaque=None)

    def _mapped(self, frame: Frame, rows: slice) -> tuple[Picture, Plane]:
        """Rows of the base at the photo's exposure, (rows, W, 3), and how far they are right."""
        values = self.curve.apply_unit(frame.pixels[rows])
        codes = color.to_display(np.asarray(values, np.float32), self.photo.transfer)
        display = frame.display(rows)
        known = self._known(display)
        if self.darker:
            # What is clipped in all channels is white, whatever their curves say of its end.
            white = codes.max(axis=2, keepdims=True)
            coloured = self._known(display.min(axis=2, keepdims=True))
            codes = white + coloured[:, :, None] * (codes - white)
        return np.array(codes, np.float32), known

    def _as_base(self, codes: Picture) -> Frame:
        """Display values in the coding of the base, which the curve is for."""
        if self.base.transfer == "linear":
            return Frame(color.srgb_to_linear(codes), "linear")
        return Frame(codes)

    def _known(self, base: Picture) -> Plane:
        return tells(base, shadows=self.darker, highlights=not self.darker)

    def _joined(
        self, mapped: Picture, known: Plane, found: Picture, count: Plane
    ) -> tuple[Picture, Plane]:
        """Values, (n, 3), of the base as far as it tells, else of patches not ruled out by it.

        The second result says how far either can be trusted, (n,).
        """
        trust = agrees(color.srgb_to_linear(found), color.srgb_to_linear(mapped), self.darker)
        trust *= count > 0
        share = ((1 - known) * trust)[:, None]
        joined = np.asarray(mapped + share * (found - mapped), np.float32)
        return joined, np.maximum(known, trust)

    def _fill(self, progress: Progress | None) -> tuple[Fill, Picture]:
        """Where patches are found, on the proxy, and what joins them there without a seam."""
        weight = self.stack.weight(self.index)
        base, everywhere = reduced_frame(self.base, None, self.settings.megapixels)
        photo, usable = reduced_frame(self.photo, weight, self.settings.megapixels)
        proxies = [Proxy(base.display(), 1, everywhere), Proxy(photo.display(), self.gain, usable)]
        random = np.random.default_rng(0)
        last: tuple[Fill, Picture, Plane] | None = None
        for here, fill, fineness in coarse_to_fine(
            proxies, lambda scale: [scale[0].usable & False, self._known(scale[0].codes) < 1]
        ):
            mapped, known = self._mapped(self._as_base(here[0].codes), slice(None))
            at = fill.rows, fill.columns
            latent = mapped.copy()
            if last is None:  # the photo as it lies
                seen = here[1].usable[at].astype(np.float32)
                own = self._joined(mapped[at], known[at], here[1].codes[at], seen)
                latent[at] = spread(*own, at, latent.shape, self.darker)
            else:
                latent[at] = self._joined(mapped[at], known[at], *fill.voted(1))[0]
            for _ in range(max(1, round(self.settings.iterations * (1 - fineness * 7 / 8)))):
                fill.search(1, latent, 1, random)
                latent[at] = self._joined(mapped[at], known[at], *fill.voted(1))[0]
            last = fill, latent, known
            if progress is not None:
                progress(0.1 + 0.8 * fineness**2)
        assert last is not None
        fill, latent, known = last
        change = _change_of_joining(fill, latent, known)
        if progress is not None:
            progress(1)
        return fill, change


def _change_of_joining(fill: Fill, latent: Picture, known: Plane) -> Picture:
    """What to add to a latent picture so that it keeps the patches' gradients, (h, w, 3)."""
    change = np.zeros_like(latent)
    patches = latent.copy()
    codes, count = fill.voted(1)
    at = fill.rows, fill.columns
    patches[at] = np.where((count > 0)[:, None], codes, latent[at])
    off = patches - latent
    if not off.any():
        return change
    hold = np.float32(_HOLD) * known + np.float32(0.02)
    ones = np.ones_like(known)
    for channel in range(3):
        plane = np.ascontiguousarray(off[:, :, channel])
        change[:, :, channel] = solve_screened(
            (ones[:, 1:], np.diff(plane, axis=1)),
            (ones[1:], np.diff(plane, axis=0)),
            pixels=hold,
            most_steps=20,
        )
    return change


def _enlarged(change: Picture, start: int, stop: int, size: tuple[int, int]) -> Picture:
    """Rows of a change made on a proxy at full size."""
    height, width = change.shape[:2]
    if (height, width) == size:
        return change[start:stop]
    x = (np.arange(size[1], dtype=np.float32) + 0.5) * np.float32(width / size[1]) - 0.5
    y = (np.arange(start, stop, dtype=np.float32) + 0.5) * np.float32(height / size[0]) - 0.5
    places = np.meshgrid(x.astype(np.float32), y.astype(np.float32))
    found: Any = cv2.remap(change, *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found, np.float32)

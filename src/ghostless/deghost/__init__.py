"""Deghosting: frames in which moving things agree with the reference.

The line of one frame: where it shows another thing than the reference, by a small network
(agreement.py) or by what noise, clipping and half a pixel of shift do not explain (detect.py); its
intensity mapping from the reference (mapping.py); and the reference's content re-exposed in those
places (repair.py). Frames are done outward from the reference, so that one already made consistent
tells what the reference, being clipped, cannot.

Detection works on a proxy of a megapixel or so; only replacing walks the full size, in stripes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Literal

import cv2
import numpy as np

from ..bracket import Frame, Mask, Stack
from ..errors import BracketError
from ..exposure.stack import as_stack
from ..io.arrays import Photos
from ..pixels.reduced import reduced
from ..pixels.seam import folded, unrolled
from ..pixels.stripes import Progress, part
from ..settings import Range, check_settings
from ..work.spill import trim
from .agreement import AgreementNetwork
from .by_hand import Kept, check_mask
from .detect import Prediction, disagreement, predict
from .mapping import Codes, Mapping, largest_channel, learn_mapping
from .regions import Flags, regions_of_chance, regions_of_disagreement
from .repair import (
    Source,
    apply_patch,
    cannot_tell,
    display_codes,
    keep_real_pixels,
    make_patch,
)

__all__ = ["DeghostSettings", "Kept", "deghost_stack"]

Mode = Literal["auto", "on", "off"]
Finder = Literal["network", "statistics"]
# Less than this share of the picture is not worth touching on "auto".
_SMALLEST_SHARE = 2e-4
# Where more than this is to be replaced, the thresholds are doubted before the photo is.
_DOUBTFUL_SHARE = 0.4
_DOUBTED_SENSITIVITIES = (1.0, 0.6, 0.36)
# From these shares on a note tells.
_LARGE_SHARE = 0.3
_WHOLE_SHARE = 0.85
_LEAST_COMPARABLE_SHARE = 0.05
_BLACK_CODE, _CLIPPED_CODE = 8.0, 247.0


@dataclass(frozen=True)
class DeghostSettings:
    """How ghosts are looked for.

    mode: "auto" leaves a stack alone in which next to nothing moves, "on" replaces all that is
        found, "off" nothing.
    by: what finds: "network", which has learnt what cameras do, or "statistics", which weigh noise,
        clipping and half a pixel of shift by rules.
    sensitivity: above 1 finds fainter ghosts and mistakes more noise for them.
    feather_pixels: softness of the transition at the edges of what is replaced, on the proxy.
    proxy_pixels: size in pixels to which frames are reduced for finding ghosts.
    """

    mode: Mode = "auto"
    by: Finder = "network"
    sensitivity: Annotated[float, Range(0.25, 4)] = 1.0
    feather_pixels: Annotated[float, Range(0, 50)] = 1.5
    proxy_pixels: Annotated[int, Range(4096)] = 1_500_000

    def __post_init__(self) -> None:
        check_settings(self, "deghost")


@dataclass(frozen=True)
class _Guide:
    """A frame that agrees with the reference, its proxy, and where to trust it."""

    index: int
    frame: Frame
    codes: Codes
    trusted: Flags


@dataclass(frozen=True)
class _Told:
    """What a finder makes of a frame.

    regions_at: what moved, (h, w), at a sensitivity. untold: where it had better not be asked if it
    says that most of the frame moved.
    """

    regions_at: Callable[[float], Flags]
    untold: Flags


def deghost_stack(
    stack: Stack | Photos,
    settings: DeghostSettings = DeghostSettings(),
    *,
    kept: Sequence[Kept] = (),
    progress: Progress | None = None,
) -> Stack:
    """Make every frame of a stack show what its reference shows.

    stack: registered frames, dark to bright, of any type, transfer and number; exposures need not
        be known. Borders that `valid` marks as filled are neither judged nor used. Or photos as
        `as_bracket` takes them, arrays or paths, that lie on each other already.
    kept: what was decided by hand, the later before the earlier: there all frames show what the
        chosen one shows, or what they show anyway, and nothing is looked for. Also with mode "off".
    progress: called with the fraction done, 0..1.
    Returns the stack with ghosted regions replaced by the reference's content at the frame's own
    exposure, a confidence mask for each frame so changed (0 replaced, 255 its own, soft between),
    and notes. Frames in which nothing was found are the same objects as before, mask None.
    Raises BracketError for a mask of another size and a frame that is not there.
    """
    stack = as_stack(stack)
    _check_kept(stack, kept)
    if (settings.mode == "off" and not kept) or len(stack.frames) < 2:
        return stack
    return _Deghoster(stack, settings, kept, progress).run()


def _check_kept(stack: Stack, kept: Sequence[Kept]) -> None:
    for each in kept:
        check_mask(each.mask, stack)
        if each.frame is not None and not 0 <= each.frame < len(stack.frames):
            raise BracketError(
                f"expected a frame from 0 to {len(stack.frames) - 1} to keep, found {each.frame}"
            )


class _Deghoster:
    """One run over a stack."""

    def __init__(
        self,
        stack: Stack,
        settings: DeghostSettings,
        kept: Sequence[Kept],
        progress: Progress | None,
    ) -> None:
        self.stack = stack
        self.kept = kept
        self.settings = settings
        self.progress = progress
        self.frames = list(stack.frames)
        self.confidence = list(stack.confidence)
        self.notes: list[str] = []
        reference = stack.frames[stack.reference]
        self.size = (reference.height, reference.width)
        self.proxy_size = _proxy_size(*self.size, settings.proxy_pixels)
        looks = settings.mode != "off"
        self.network = AgreementNetwork() if looks and settings.by == "network" else None

    def run(self) -> Stack:
        self.settled = self._settle()
        if self.settings.mode != "off":
            self._look()
        if self.progress is not None:
            self.progress(1.0)
        return replace(
            self.stack,
            frames=tuple(self.frames),
            confidence=tuple(self.confidence),
            notes=tuple(dict.fromkeys((*self.stack.notes, *self.notes))),
            filled=self.stack.filled or all(valid is None for valid in self.stack.valid),
        )

    def _settle(self) -> Flags:
        """Do what was decided by hand; the part of the proxy that is decided, (h, w)."""
        nobody, as_it_is = -2, -1
        owner = np.full(self.proxy_size, nobody, np.int16)
        if self.stack.wraps:
            owner = unrolled(owner)
        for each in self.kept:
            owner[self._small_flags(each.mask)] = as_it_is if each.frame is None else each.frame
        for index in range(len(self.frames)):
            flags = owner == index
            if flags.any():
                self._show_everywhere(index, flags)
        return np.asarray(owner != nobody)

    def _small_flags(self, mask: Mask) -> Flags:
        flags = np.asarray(reduced(mask, self.proxy_size) >= 128)
        return unrolled(flags) if self.stack.wraps else flags

    def _show_everywhere(self, kept: int, flags: Flags) -> None:
        """Replace a part of all frames by what one of them shows there."""
        codes = self._codes(self.stack.frames[kept])
        guide = _Guide(kept, self.stack.frames[kept], codes, self._usable(kept))
        for index in range(len(self.frames)):
            if index != kept:
                own = self._codes(self.frames[index])
                trusted = self._usable(index) & ~flags
                sources = (self._source(guide, index, own, trusted),)
                self._replace(index, own, sources, flags & guide.trusted, trusted)

    def _look(self) -> None:
        """Find what moved in every frame, outward from the reference, and replace it."""
        reference = self.stack.reference
        frame = self.frames[reference]
        codes = self._codes(frame)
        usable = np.ones(codes.shape[:2], np.bool_)
        start = _Guide(reference, frame, codes, usable)
        darker = range(reference - 1, -1, -1)
        brighter = range(reference + 1, len(self.frames))
        count, done = len(self.frames) - 1, 0
        for side in (darker, brighter):
            nearer: _Guide | None = None
            for index in side:
                tell = part(self.progress, done / count, (done + 1) / count)
                nearer = self._frame(index, start, nearer, tell)
                done += 1

    def _frame(
        self, index: int, reference: _Guide, nearer: _Guide | None, progress: Progress | None
    ) -> _Guide:
        """Deghost one frame; return it as a guide for the next one out."""
        frame = self.frames[index]
        codes = self._codes(frame)
        usable = self._usable(index)
        guides = [reference] if nearer is None else [reference, nearer]
        found = self._find(index, codes, guides, usable) & usable & ~self.settled
        found = self._both_ends(found)
        if not self._is_worth_it(found):
            return _Guide(index, frame, codes, usable)
        # What moved must not teach the mapping.
        trusted = usable & ~found
        sources = tuple(self._source(guide, index, codes, trusted) for guide in guides)
        ghosted = self._both_ends(keep_real_pixels(codes, sources, found))
        if not self._is_worth_it(ghosted):
            return _Guide(index, frame, codes, usable)
        self._note(frame, ghosted, _can_be_compared(codes, reference.codes) & usable)
        self._replace(index, codes, sources, ghosted, trusted, progress)
        codes = self._codes(self.frames[index])
        return _Guide(index, self.frames[index], codes, usable & ~ghosted)

    def _replace(
        self,
        index: int,
        codes: Codes,
        sources: tuple[Source, ...],
        ghosted: Flags,
        trusted: Flags,
        progress: Progress | None = None,
    ) -> None:
        """Put into a part of a frame what its sources show, as the frame would have shown it."""
        patch = make_patch(
            codes,
            sources,
            ghosted,
            trusted,
            self.settings.feather_pixels,
            with_details=self.proxy_size != self.size,
        )
        if self.stack.wraps:
            patch = patch.folded(self.proxy_size[1])
        self.frames[index], confidence = apply_patch(self.frames[index], patch, progress)
        before = self.confidence[index]
        self.confidence[index] = confidence if before is None else np.minimum(before, confidence)

    def _both_ends(self, flags: Flags) -> Flags:
        """The same at both ends of an unrolled proxy, where they show the same."""
        if not self.stack.wraps:
            return flags
        return unrolled(folded(flags, self.proxy_size[1]))

    def _is_worth_it(self, ghosted: Flags) -> bool:
        share = float(np.mean(ghosted))
        return share > 0 and (self.settings.mode != "auto" or share >= _SMALLEST_SHARE)

    def _find(self, index: int, codes: Codes, guides: list[_Guide], usable: Flags) -> Flags:
        """Find where a frame (its proxy's codes) disagrees with the reference, (h, w).

        index: of the frame; guides: the reference and, from the second frame out, its neighbour
        that was made consistent already.
        """
        told = (
            self._by_statistics(index, codes, guides, usable)
            if self.network is None
            else self._by_network(self.network, codes, guides, usable)
        )
        flags = np.zeros_like(usable)
        for doubt in _DOUBTED_SENSITIVITIES:
            flags = told.regions_at(self.settings.sensitivity * doubt)
            if float(np.mean(flags)) <= _DOUBTFUL_SHARE:
                return flags
        return flags & ~told.untold

    def _by_network(
        self, network: AgreementNetwork, codes: Codes, guides: list[_Guide], usable: Flags
    ) -> _Told:
        chance = network.moved(guides[0].codes, codes, usable)
        for guide in guides[1:]:
            both = usable & guide.trusted
            chance = np.maximum(chance, network.moved(guide.codes, codes, both))
        return _Told(partial(regions_of_chance, chance), np.zeros_like(usable))

    def _by_statistics(
        self, index: int, codes: Codes, guides: list[_Guide], usable: Flags
    ) -> _Told:
        sources = tuple(self._source(guide, index, codes, usable) for guide in guides)
        evidence = disagreement(codes, _best_prediction(sources), usable)
        regions = partial(regions_of_disagreement, evidence.strongest, evidence.sharpened)
        return _Told(regions, cannot_tell(sources[0]))

    def _note(self, frame: Frame, ghosted: Flags, comparable: Flags) -> None:
        """Say where so much is replaced that the photos had better be looked at.

        What is clipped or black in either cannot differ, so a wrong photo is told by the rest.
        """
        share = float(np.mean(ghosted))
        of_those = float(np.mean(ghosted[comparable])) if comparable.any() else 0.0
        enough = float(np.mean(comparable)) > _LEAST_COMPARABLE_SHARE
        if share > _WHOLE_SHARE or (enough and of_those > _WHOLE_SHARE):
            self.notes.append(
                f"{frame.name} shows something else than the reference: {100 * share:.0f} % of it "
                "was replaced, so it adds nothing"
            )
        elif share > _LARGE_SHARE:
            self.notes.append(
                f"{frame.name}: {100 * share:.0f} % was replaced by what the reference shows; "
                "if not that much moves, fuse without deghosting"
            )

    def _source(self, guide: _Guide, index: int, codes: Codes, usable: Flags) -> Source:
        mapping = self._mapping(guide, index, codes, usable)
        prediction = predict(guide.codes, codes, mapping, usable & guide.trusted)
        return Source(guide.frame, guide.codes, mapping, prediction, guide.trusted)

    def _mapping(self, guide: _Guide, index: int, codes: Codes, usable: Flags) -> Mapping:
        both = usable & guide.trusted
        if not both.any():
            both = np.ones_like(usable)
        own, other = self.frames[index].stops, guide.frame.stops
        apart = None if own is None or other is None else own - other
        darker = index < guide.index
        return learn_mapping(guide.codes, codes, both, source_is_brighter=darker, stops_apart=apart)

    def _codes(self, frame: Frame) -> Codes:
        """Proxy of a frame as codes; unrolled if it goes all the way round."""
        codes = self._codes_of(frame)
        return unrolled(codes) if self.stack.wraps else codes

    def _codes_of(self, frame: Frame) -> Codes:
        height, width = self.proxy_size
        if self.proxy_size == self.size:
            return display_codes(frame.pixels, frame.transfer)
        small = np.empty((height, width, 3), frame.pixels.dtype)
        small[:] = cv2.resize(frame.pixels, (width, height), interpolation=cv2.INTER_AREA)
        trim()
        return display_codes(small, frame.transfer)

    def _usable(self, index: int) -> Flags:
        """Proxy pixels that are the frame's own entirely."""
        usable = self._usable_of(index)
        return unrolled(usable) if self.stack.wraps else usable

    def _usable_of(self, index: int) -> Flags:
        valid = self.stack.valid[index]
        height, width = self.proxy_size
        if valid is None:
            return np.ones((height, width), np.bool_)
        if self.proxy_size == self.size:
            return np.asarray(valid == 255)
        small = cv2.resize(valid, (width, height), interpolation=cv2.INTER_AREA)
        return np.asarray(small == 255)


def _proxy_size(height: int, width: int, pixels: int) -> tuple[int, int]:
    if height * width <= pixels * 1.3:
        return height, width
    scale = (pixels / (height * width)) ** 0.5
    return max(1, round(height * scale)), max(1, round(width * scale))


def _can_be_compared(codes: Codes, reference: Codes) -> Flags:
    """Where neither of two frames (h, w, 3) is clipped or black."""
    tops = [largest_channel(some) for some in (codes, reference)]
    inside = [(top > _BLACK_CODE) & (top < _CLIPPED_CODE) for top in tops]
    return np.asarray(inside[0] & inside[1])


def _best_prediction(sources: tuple[Source, ...]) -> Prediction:
    """The more certain of two predictions at each pixel; an open one is the least certain."""
    first = sources[0].prediction
    if len(sources) == 1:
        return first
    second, trusted = sources[1].prediction, sources[1].trusted
    far = np.float32(1e6)
    doubt = [
        largest_channel(p.noise + p.doubt) + far * (largest_channel(p.high) > 999)
        for p in (first, second)
    ]
    take = ((doubt[1] < doubt[0]) & trusted)[..., None]
    chosen = [
        np.where(take, getattr(second, name), getattr(first, name))
        for name in ("low", "high", "noise", "doubt", "expected", "spread")
    ]
    return Prediction(*chosen)

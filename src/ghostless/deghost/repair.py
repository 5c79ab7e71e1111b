"""What shall stand where a frame was found ghosted, and putting it there.

All thinking is done on the proxy: the reference's content in the frame's codes, by the joint
mapping and as noisy as the frame (`Mapping.expect`, noise.py); plus what the frame, where it is
trusted, differs from that, carried in along what looks alike (carry.py). That difference removes
the seam where the reference is well exposed, and is all that is known where it is clipped. At full
size the proxy's content is enlarged, and the detail of the reference beyond the proxy added.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..bracket import Frame, Mask
from ..pixels import color
from ..pixels.seam import folded, with_margins
from ..pixels.stripes import Progress, for_each_stripe
from ..work.spill import empty
from .carry import carry
from .detect import Prediction, least_codes
from .mapping import (
    Codes,
    Mapping,
    box_mean,
    largest_channel,
    near_clip,
)
from .noise import calm, smooth_shadows
from .regions import Flags

Floats = NDArray[np.float32]

# Over this many codes below the clip code the reference gives way to what fills its highlights.
_CLIP_RAMP_CODES = 6.0
# A pixel beside a clipped one, brighter than this share of the clip code, is a mixture with light
# of unknown strength: mapped alone it would draw a dark line round the filled highlight.
_RIM_FROM = 0.5
_RIM_RADIUS = 2
# Scatter in codes at which the mapping is half trusted.
_DOUBTED_SPREAD_CODES = 14.0
# How much the prediction itself is believed, pixel by pixel, beside trusted pixels around the
# ghost: what differs there is carried in some 30 pixels of the proxy deep.
_BELIEF = 1e-3
_LEAST_BELIEF = 1e-7
# What differs by more than this where the mapping is sure is no tone mapping but another thing.
_LARGEST_DRIFT_CODES = 24.0
# Up to this code the reference is black, for a frame that is brighter.
_BLACK_CODES = 10.0
# Below this code a pixel may be kept where the reference is black.
_DARK_CODES = 40.0
# Codes outside the interval, in standard deviations, from which a pixel contradicts its prediction.
_CONTRADICTION_SIGMA = 2.5
# Pixels this near to a contradiction (as a share of the diagonal) belong to the same thing.
_SAME_THING_SHARE = 0.015


@dataclass(frozen=True)
class Source:
    """A frame that others can be predicted from, on the proxy.

    codes: (h, w, 3); mapping: to the frame in question; prediction: of the frame from it.
    trusted: (h, w), where its pixels are its own.
    """

    frame: Frame
    codes: Codes
    mapping: Mapping
    prediction: Prediction
    trusted: Flags


@dataclass(frozen=True)
class Detail:
    """Whose detail beyond the proxy to add: (h, w) how much, (h, w, 3) what the proxy has of it."""

    frame: Frame
    mapping: Mapping
    gain: Floats
    base: Codes


@dataclass(frozen=True)
class Patch:
    """All that is needed to replace the ghosted regions of one frame.

    share: (h, w) uint8 at proxy size, 255 where the frame is replaced entirely.
    codes: (h, w, 3) what to put there, at proxy size.
    details: what to add to that at full size; empty where the proxy has the full size.
    wraps: whether the right edge is the left one's neighbour.
    """

    share: Mask
    codes: Codes
    details: tuple[Detail, ...]
    wraps: bool = False

    def folded(self, width: int) -> Patch:
        """A patch made of unrolled proxies (`seam.unrolled`) as one of proxies of their width."""
        return Patch(
            folded(self.share, width),
            folded(self.codes, width),
            tuple(
                replace(detail, gain=folded(detail.gain, width), base=folded(detail.base, width))
                for detail in self.details
            ),
            wraps=True,
        )


def clipped_share(codes: Codes, clip: float) -> Floats:
    """How far a pixel (H, W, 3) is clipped in any channel: 0 not at all, 1 entirely; (H, W)."""
    brightest = largest_channel(codes)
    ramp = (brightest - np.float32(clip - _CLIP_RAMP_CODES)) * np.float32(1 / _CLIP_RAMP_CODES)
    np.clip(ramp, 0, 1, out=ramp)
    beside = cv2.dilate(ramp, np.ones((2 * _RIM_RADIUS + 1,) * 2, np.uint8))
    bright = (brightest * np.float32(1 / clip) - _RIM_FROM) * np.float32(1 / (1 - _RIM_FROM))
    return np.asarray(np.maximum(ramp, beside * np.clip(bright, 0, 1)))


def certainty(source: Source, spread: Codes) -> Floats:
    """How well a source tells the frame's codes, (h, w): 0 where it is clipped or not its own.

    spread: (h, w, 3) scatter of the frame's codes at the source's colour.
    """
    doubt = largest_channel(spread) * np.float32(1 / _DOUBTED_SPREAD_CODES)
    sure = 1 / (1 + np.square(np.square(doubt)))
    if source.mapping.darkens:
        sure *= 1 - clipped_share(source.codes, source.mapping.source_clip)
    sure *= source.trusted
    return np.asarray(sure, np.float32)


def cannot_tell(reference: Source) -> Flags:
    """Where a reference is clipped, or so black that brightening shows but noise, (h, w)."""
    if reference.mapping.darkens:
        return near_clip(reference.codes, reference.mapping.source_clip)
    return np.asarray(largest_channel(box_mean(reference.codes, 2)) < _BLACK_CODES)


def keep_real_pixels(codes: Codes, sources: tuple[Source, ...], ghosted: Flags) -> Flags:
    """Ghosted pixels less those that the frame had better keep, (h, w).

    Kept is what agrees with a reference that cannot tell, being clipped or black, and is bright or
    dark itself; unless it lies next to a contradiction, for then it is likely a part of the same
    ghost.
    """
    darkest = largest_channel(codes) < _DARK_CODES
    against = np.full(ghosted.shape, np.inf, np.float32)
    unsure = np.ones(ghosted.shape, np.bool_)
    for source in reversed(sources):
        told = source.prediction
        off = np.square(told.excess(codes)) / (told.noise + told.doubt)
        sure = certainty(source, told.spread) > 0.5
        against = np.where(source.trusted, np.sqrt(largest_channel(off)), against)
        unsure &= ~sure
        if not source.mapping.darkens:
            unsure &= darkest
    strange = (ghosted & (against > _CONTRADICTION_SIGMA)).astype(np.uint8)
    contradicts = cv2.morphologyEx(strange, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    radius = max(2, round(_SAME_THING_SHARE * float(np.hypot(*ghosted.shape))))
    distance = cv2.distanceTransform(1 - contradicts, cv2.DIST_L2, 3)
    agrees = (ghosted & unsure & (distance > radius)).astype(np.uint8)
    kept = cv2.morphologyEx(agrees, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    return np.asarray(ghosted & (kept == 0))


def make_patch(
    codes: Codes,
    sources: tuple[Source, ...],
    ghosted: Flags,
    trusted: Flags,
    feather_pixels: float,
    *,
    with_details: bool,
) -> Patch:
    """Work out on the proxy what shall stand in the ghosted regions; all (h, w[, 3]).

    sources: the reference, then others that tell what it, being clipped, cannot; their mappings
        learnt without what moved.
    trusted: where the frame shows what the reference shows.
    with_details: whether the full size is larger than the proxy.
    """
    share = ghosted.astype(np.uint8) * np.uint8(255)
    if feather_pixels > 0:
        share = np.asarray(cv2.GaussianBlur(share, (0, 0), feather_pixels))
    # From here on only the window round the ghosts is looked at.
    replaced = share > 0
    window = _window(replaced)
    near = tuple(
        replace(source, codes=source.codes[window], trusted=source.trusted[window])
        for source in sources
    )
    replaced = replaced[window]
    seen, gains, sure = _predicted(codes[window], near, trusted[window])
    drift = _drift(codes[window], seen, near[0].codes, trusted[window], sure, replaced)
    seen[replaced] = np.clip(seen[replaced] + drift, _floor(near[0], replaced), 255)
    content = codes.copy()
    content[window] = seen
    details: tuple[Detail, ...] = ()
    if with_details:
        details = tuple(
            Detail(
                source.frame,
                source.mapping,
                _placed(gain, window, share.shape),
                _placed(source.mapping.along_curves(source.codes), window, share.shape),
            )
            for source, gain in zip(near, gains, strict=True)
            if gain.any()
        )
    return Patch(share, content, details)


def _placed(part: Floats, window: tuple[slice, slice], shape: tuple[int, ...]) -> Floats:
    """An image (h, w[, n]) that is a part in a window and 0 elsewhere."""
    whole = np.zeros((*shape, *part.shape[2:]), np.float32)
    whole[window] = part
    return whole


def _floor(reference: Source, places: Flags) -> Codes:
    """What the frame shows at least where the reference is clipped, 0 elsewhere; (N, 3)."""
    codes = reference.codes[places][None]
    clipped = near_clip(codes, reference.mapping.source_clip)
    return np.asarray((least_codes(codes, reference.mapping) * clipped[..., None])[0])


def _window(flags: Flags) -> tuple[slice, slice]:
    """The box round all flags, and half its size more on each side."""
    spans = []
    for axis in (1, 0):
        places = np.flatnonzero(flags.any(axis=axis))
        margin = max(32, (int(places[-1]) - int(places[0])) // 2)
        spans.append(slice(max(0, int(places[0]) - margin), int(places[-1]) + 1 + margin))
    return spans[0], spans[1]


def _predicted(
    codes: Codes, sources: tuple[Source, ...], trusted: Flags
) -> tuple[Codes, list[Floats], Floats]:
    """The sources' word on the frame's codes, how much of whose detail, and how sure it is."""
    left = np.ones(trusted.shape, np.float32)
    wanted = np.zeros_like(codes)
    gains = []
    for source in sources:
        expected, spread = source.mapping.expect(smooth_shadows(source.codes, source.mapping))
        calmed = calm(expected, codes, trusted)
        part = left * certainty(source, spread)
        wanted += calmed.codes * part[..., None]
        gains.append(calmed.gain * part)
        left = left - part
        if source is sources[0]:
            likely = calmed.codes
    # What none of them is sure of, the reference's mean at that colour.
    wanted += likely * left[..., None]
    return wanted, gains, 1 - left


def _drift(
    codes: Codes,
    content: Codes,
    reference: Codes,
    trusted: Flags,
    sure: Floats,
    replaced: Flags,
) -> Codes:
    """How the frame differs from its predicted content, carried to what is replaced; (N, 3)."""
    off: Codes = codes - content
    limit = np.float32(_LARGEST_DRIFT_CODES) / np.maximum(sure, np.float32(0.05))
    far = largest_channel(np.abs(off)) / limit
    known = np.square(np.maximum(1 - np.square(far), 0))
    off[~trusted] = 0
    belief = np.float32(_BELIEF) * sure + np.float32(_LEAST_BELIEF)
    weight = np.where(trusted, known, belief)
    guide = np.concatenate([box_mean(reference), box_mean(content)], axis=2)
    return carry(off, weight, guide, replaced)


def apply_patch(frame: Frame, patch: Patch, progress: Progress | None = None) -> tuple[Frame, Mask]:
    """Return the frame with its ghosts replaced, and its confidence mask, both at full size.

    The mask: (H, W).
    """
    height, width = frame.height, frame.width
    out = empty(frame.pixels.shape, frame.pixels.dtype)
    confidence = empty((height, width), np.uint8)

    def work(start: int, stop: int) -> None:
        rows = slice(start, stop)
        share = _enlarged(patch.share, (height, width), rows, slice(0, width), patch.wraps)
        np.subtract(255, share, out=confidence[rows])
        out[rows] = frame.pixels[rows]
        columns = np.flatnonzero(share.any(axis=0))
        if columns.size == 0:
            return
        span = slice(int(columns[0]), int(columns[-1]) + 1)
        wanted = _content(patch, (height, width), rows, span)
        mixed = _mixed(frame, rows, span, wanted, share[:, span])
        ghosted = share[:, span] > 0
        out[rows, span][ghosted] = mixed[ghosted]

    for_each_stripe(height, width, work, progress=progress)
    return replace(frame, pixels=out), confidence


def _enlarged(
    proxy: NDArray[Any], size: tuple[int, int], rows: slice, span: slice, wraps: bool = False
) -> NDArray[Any]:
    """A window of a proxy enlarged linearly to `size` (height, width)."""
    height, width = size
    if proxy.shape[:2] == size:
        return proxy[rows, span]
    y = _proxy_places(rows, proxy.shape[0] / height)
    x = _proxy_places(span, proxy.shape[1] / width)
    top, bottom = _reach(y, proxy.shape[0])
    if wraps:
        proxy = with_margins(proxy[top:bottom], 1)
        y, x = y - np.float32(top), x + np.float32(1)
        top, bottom = 0, bottom - top
    left, right = _reach(x, proxy.shape[1])
    shape = (len(y), len(x))
    return np.asarray(
        cv2.remap(
            proxy[top:bottom, left:right],
            np.broadcast_to(x - np.float32(left), shape).copy(),
            np.broadcast_to((y - np.float32(top))[:, None], shape).copy(),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
    )


def _proxy_places(span: slice, ratio: float) -> Floats:
    """Where the pixel centres of a span lie on the proxy."""
    full = np.arange(span.start, span.stop, dtype=np.float32) + np.float32(0.5)
    return full * np.float32(ratio) - np.float32(0.5)


def _reach(places: Floats, size: int) -> tuple[int, int]:
    """First and past-the-last pixel of the proxy that places need."""
    return max(int(np.floor(places[0])) - 1, 0), min(int(np.ceil(places[-1])) + 2, size)


def display_codes(pixels: NDArray[Any], transfer: color.Transfer) -> Codes:
    """Codes of stored pixels: display values times 255, float32, never NaN.

    (H, W, 3) to the same.
    """
    codes = color.to_display(pixels, transfer) * np.float32(255)
    if pixels.dtype == np.float32:
        codes = np.nan_to_num(codes, nan=0.0, copy=False)
    return codes


def _content(patch: Patch, size: tuple[int, int], rows: slice, span: slice) -> Codes:
    """What shall stand in a window, in codes at full size."""
    wanted = _enlarged(patch.codes, size, rows, span, patch.wraps).astype(np.float32)
    for detail in patch.details:
        full = display_codes(detail.frame.pixels[rows, span], detail.frame.transfer)
        beyond = detail.mapping.along_curves(full)
        beyond -= _enlarged(detail.base, size, rows, span, patch.wraps)
        beyond *= _enlarged(detail.gain, size, rows, span, patch.wraps)[..., None]
        wanted += beyond
    return wanted


def _mixed(frame: Frame, rows: slice, span: slice, wanted: Codes, share: Mask) -> NDArray[Any]:
    """Blend a window of the frame with wanted codes by share, in the frame's own coding."""
    pixels = frame.pixels[rows, span]
    part = share.astype(np.float32)[..., None] * np.float32(1 / 255)
    own = color.to_unit(pixels)
    target = wanted * np.float32(1 / 255)
    if frame.transfer == "linear":
        target = color.srgb_to_linear(target)
    mixed: Codes = own + (target - own) * part
    if pixels.dtype == np.float32:
        return mixed
    top = 255 if pixels.dtype == np.uint8 else 65535
    return np.asarray(np.rint(np.clip(mixed, 0, 1) * np.float32(top)).astype(pixels.dtype))

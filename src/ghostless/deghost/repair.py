"""Putting the reference's content, re-exposed, where a frame was found ghosted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .. import color
from ..bracket import Frame, Mask
from ..stripes import Progress, for_each_stripe
from .detect import Flags
from .mapping import Codes, Mapping, box_mean, largest_channel

# Over this many codes below the clip code the reference gives way to what fills its highlights.
_CLIP_RAMP_CODES = 6.0
# A pixel beside a clipped one, brighter than this share of the clip code, is a mixture with light
# of unknown strength: mapped alone it would draw a dark line round the filled highlight.
_RIM_FROM = 0.5
_RIM_RADIUS = 2
# What is seen of unclipped surroundings counts this much beside what is seen of clipped ones.
_RIM_WEIGHT = 0.01
_SMOOTHING_RADIUS = 2
# Only where brightening stretches codes by more than this is noise worth smoothing.
_SMOOTHING_SLOPE = 1.5


@dataclass(frozen=True)
class Source:
    """A frame that others can be predicted from, how its codes map to them, and where it may.

    confidence: (H, W) uint8 at full size, 0 where its pixels are not its own; None for anywhere.
    """

    frame: Frame
    mapping: Mapping
    confidence: Mask | None = None


@dataclass(frozen=True)
class Patch:
    """All that is needed to replace the ghosted regions of one frame.

    share: (h, w) uint8 at proxy size, 255 where the frame is replaced entirely.
    sources: in order of preference; the next one serves where the one before is clipped or not
        its own.
    fill: (h, w, 3) codes at proxy size for where every source is clipped; None where none is.
    """

    share: Mask
    sources: tuple[Source, ...]
    fill: Codes | None


def clipped_share(codes: Codes, clip: float) -> NDArray[np.float32]:
    """How far a pixel (H, W, 3) is clipped in any channel: 0 not at all, 1 entirely; (H, W)."""
    brightest = largest_channel(codes)
    ramp = (brightest - np.float32(clip - _CLIP_RAMP_CODES)) * np.float32(1 / _CLIP_RAMP_CODES)
    np.clip(ramp, 0, 1, out=ramp)
    beside = cv2.dilate(ramp, np.ones((2 * _RIM_RADIUS + 1,) * 2, np.uint8))
    bright = (brightest * np.float32(1 / clip) - _RIM_FROM) * np.float32(1 / (1 - _RIM_FROM))
    return np.asarray(np.maximum(ramp, beside * np.clip(bright, 0, 1)))


def fill_highlights(
    frame: Codes, predicted: Codes, clipped: NDArray[np.float32], ghosted: Flags, usable: Flags
) -> Codes:
    """Guess the frame's codes where the reference is clipped and the frame is ghosted.

    The frame's own trusted codes nearby, of pixels that are clipped in the reference as well, are
    carried smoothly into the hole, and brightened to the reference's clip level if they are below.
    All (h, w[, 3]).
    """
    trusted = np.where(usable & ~ghosted, clipped, np.float32(0))
    rim = np.float32(_RIM_WEIGHT) * (1 - clipped)
    total = trusted + rim
    values = frame * trusted[..., None] + predicted * rim[..., None]
    filled = _pull_push(values, total)
    gain = predicted.mean(axis=2) / np.maximum(filled.mean(axis=2), np.float32(1))
    # All channels alike, or what is filled would turn grey.
    filled *= np.maximum(gain, 1)[..., None]
    return np.asarray(np.minimum(filled, 255))


def _pull_push(weighted: Codes, weight: NDArray[np.float32]) -> Codes:
    """Fill in by pyramid: weighted sums (h, w, 3) and weights (h, w); holes take coarser means."""
    mean = weighted / np.maximum(weight, np.float32(1e-6))[..., None]
    height, width = weight.shape
    if min(height, width) <= 2:
        total = max(float(weight.sum()), 1e-6)
        flat = weighted.reshape(-1, 3).sum(axis=0) / np.float32(total)
        coarse = np.broadcast_to(flat, weighted.shape)
    else:
        half = ((width + 1) // 2, (height + 1) // 2)
        # Weights add up from level to level, until an area counts as fully seen.
        small_weight = np.asarray(
            cv2.resize(weight, half, interpolation=cv2.INTER_AREA), np.float32
        )
        small = np.asarray(cv2.resize(weighted, half, interpolation=cv2.INTER_AREA), np.float32)
        gain = np.minimum(np.float32(4), 1 / np.maximum(small_weight, np.float32(1e-6)))
        filled = _pull_push(small * gain[..., None], small_weight * gain)
        coarse = cv2.resize(filled, (width, height), interpolation=cv2.INTER_LINEAR)
    share = np.minimum(weight, 1)[..., None]
    return np.asarray(mean * share + coarse * (1 - share), np.float32)


def apply_patch(frame: Frame, patch: Patch, progress: Progress | None = None) -> tuple[Frame, Mask]:
    """Return the frame with its ghosts replaced, and its confidence mask, both at full size."""
    height, width = frame.height, frame.width
    out = np.empty_like(frame.pixels)
    confidence = np.empty((height, width), np.uint8)

    def work(start: int, stop: int) -> None:
        rows = slice(start, stop)
        share = _enlarged(patch.share, (height, width), start, stop)
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


def _enlarged(proxy: NDArray[Any], size: tuple[int, int], start: int, stop: int) -> NDArray[Any]:
    """Rows start..stop of a proxy enlarged linearly to `size` (height, width)."""
    height, width = size
    if proxy.shape[:2] == size:
        return proxy[start:stop]
    ratio = proxy.shape[0] / height
    y = (np.arange(start, stop, dtype=np.float32) + np.float32(0.5)) * np.float32(ratio) - 0.5
    x = np.arange(width, dtype=np.float32) + np.float32(0.5)
    x = x * np.float32(proxy.shape[1] / width) - np.float32(0.5)
    first = max(int(np.floor(y[0])) - 1, 0)
    last = min(int(np.ceil(y[-1])) + 2, proxy.shape[0])
    shape = (stop - start, width)
    return np.asarray(
        cv2.remap(
            proxy[first:last],
            np.broadcast_to(x, shape).copy(),
            np.broadcast_to(y[:, None] - np.float32(first), shape).copy(),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
    )


def display_codes(pixels: NDArray[Any], transfer: color.Transfer) -> Codes:
    """Codes of stored pixels: display values times 255, float32, never NaN."""
    codes = color.to_display(pixels, transfer) * np.float32(255)
    if pixels.dtype == np.float32:
        codes = np.nan_to_num(codes, nan=0.0, copy=False)
    return codes


def _content(patch: Patch, size: tuple[int, int], rows: slice, span: slice) -> Codes:
    """What the sources say the frame should show in a window, in codes."""
    height = size[0]
    wanted: Codes | None = None
    # From the last resort to the first choice.
    if patch.fill is not None:
        wanted = np.ascontiguousarray(_enlarged(patch.fill, size, rows.start, rows.stop)[:, span])
    for source in reversed(patch.sources):
        margin = _SMOOTHING_RADIUS * 2
        first, last = max(rows.start - margin, 0), min(rows.stop + margin, height)
        codes = display_codes(source.frame.pixels[first:last, span], source.frame.transfer)
        inner = slice(rows.start - first, rows.stop - first)
        smooth = _smoothed(codes, source.mapping)[inner]
        predicted = source.mapping.predict(smooth)
        if wanted is None:
            wanted = predicted
            continue
        useless = clipped_share(codes, source.mapping.source_clip)[inner]
        if source.confidence is not None:
            own = source.confidence[rows, span] * np.float32(1 / 255)
            useless = 1 - (1 - useless) * own
        wanted = predicted + (wanted - predicted) * useless[..., None]
    assert wanted is not None
    return wanted


def _smoothed(codes: Codes, mapping: Mapping) -> Codes:
    """Codes with noise smoothed, edges kept, where the mapping would stretch the noise.

    A guided filter with the image as its own guide (He, Sun, Tang, ECCV 2010).
    """
    slope = np.asarray(np.gradient(mapping.expected.mean(axis=1)))
    steep = slope > _SMOOTHING_SLOPE
    if not steep.any():
        return codes
    # Quantisation and read noise are about a code wide in the shadows.
    noise_variance = np.float32(2.0)
    mean = box_mean(codes, _SMOOTHING_RADIUS)
    variance: Codes = box_mean(np.square(codes), _SMOOTHING_RADIUS) - np.square(mean)
    np.maximum(variance, 0, out=variance)
    gain: Codes = variance / (variance + noise_variance)
    offset: Codes = mean - gain * mean
    gain, offset = box_mean(gain, _SMOOTHING_RADIUS), box_mean(offset, _SMOOTHING_RADIUS)
    amount = np.clip((slope - _SMOOTHING_SLOPE) / _SMOOTHING_SLOPE, 0, 1).astype(np.float32)
    index = np.clip(np.rint(mean), 0, 255).astype(np.uint8)
    blend = amount[index]
    return np.asarray(codes + (gain * codes + offset - codes) * blend)


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

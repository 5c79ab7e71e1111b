"""Structural patch decomposition over scales, in stripes: the engine of `fmmef` and `mespd`.

A patch is its mean plus its contrast times a unit structure. Fused patches are averaged where they
overlap, which is the same as box filters of the weights, so no patch is ever cut out (Li, Ma, Yong,
Zhang, TIP 2020). Per scale the details D = sum_k box(u_k) x_k - box(u_k m_k) are kept and the means
m_k, at every second pixel, are the pictures of the next scale; on the coarsest, the means are
blended by how well they are exposed.

Colour is looked at on the finest scale only; on the others a picture is one plane. Where a mask
hides any pixel of a patch, the frame gives nothing to it, and means are those of what is seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..bracket import Stack
from ..pixels.pyramid import Plane, half
from ..pixels.stripes import Progress, around, for_each_stripe, part, stripe_pixels
from ..pixels.windows import box_mean, box_sum, erode
from ..work.spill import empty
from .photos import Photos

_FLOOR = 1e-12
# Weighs the pictures of the coarsest scale: means -> weights, from the inputs x_k and the means.
BaseWeights = Callable[[Plane, NDArray[np.float64]], NDArray[np.float64]]


@dataclass(frozen=True)
class Rule:
    """What the two methods differ in.

    power: of the contrast in the weights. radius, coarsest_radius: of the patches.
    edges: variance (of the finest scale, halved at each following one) from which a patch is taken
        for an edge, which is left to the next scale as it is; 0 for not at all.
    last_edges: judge the edges of all pictures by the last one's, as the authors' program does.
    base: weighs the coarsest scale.
    """

    power: float
    radius: int
    coarsest_radius: int
    base: BaseWeights
    edges: float = 0.0
    last_edges: bool = False


@dataclass(frozen=True)
class _Slab:
    """Rows of all pictures of a scale.

    pictures: (rows, W, 3) or (rows, W) each. masks: (rows, W), 0..1, or None.
    """

    pictures: list[NDArray[np.float32]]
    masks: list[Plane | None]


@dataclass(frozen=True)
class _Scale:
    """One scale: its size, how to read its rows, and what its patches are."""

    size: tuple[int, int]
    read: Callable[[int, int], _Slab]
    radius: int
    edges: float


def fuse_scales(stack: Stack, rule: Rule, progress: Progress | None = None) -> NDArray[np.float32]:
    """Fuse a stack's frames; a display picture, (H, W, 3) float32, 0..1."""
    photos = Photos(stack)
    scales = [
        _Scale(
            photos.size,
            lambda start, stop: _Slab(photos.pictures(start, stop), photos.masks(start, stop)),
            rule.radius,
            rule.edges,
        )
    ]
    between = max(1, min(photos.size).bit_length() - 1 - 5)
    for number in range(between + 1):
        step = part(progress, 0, 0.4) if number == 0 else None
        radius = rule.coarsest_radius if number == between else rule.radius
        scales.append(_next_scale(scales[-1], rule, photos.masked, radius, step))
    if progress is not None:
        progress(0.4)
    blended = _coarsest(scales.pop(), rule)
    while len(scales) > 1:
        scale = scales.pop()
        finer = empty(scale.size, np.float32)
        _add_details(scale, rule, blended, finer, None)
        blended = finer
    out = empty((*photos.size, 3), np.float32)
    _add_details(scales[0], rule, blended, out, part(progress, 0.4, 1))
    return out


def _next_scale(
    scale: _Scale, rule: Rule, masked: Sequence[bool], radius: int, progress: Progress | None
) -> _Scale:
    """Make the pictures of the next scale: every second mean of this one's."""
    height, width = scale.size
    small = (half(height), half(width))
    pictures = [empty(small, np.float32) for _ in masked]
    masks = [empty(small, np.float32) if is_masked else None for is_masked in masked]

    def work(start: int, stop: int) -> None:
        rows = around(2 * start, min(2 * stop, height), scale.radius, height)
        slab = scale.read(rows.first, rows.last)
        shares = [_share(mask, scale.radius) for mask in slab.masks]
        means = _means(slab, shares, scale, rule)[0]
        _fill(means, shares)
        for number, mean in enumerate(means):
            pictures[number][start:stop] = mean[rows.inner][::2, ::2]
            share, target = shares[number], masks[number]
            if share is not None and target is not None:
                target[start:stop] = share[rows.inner][::2, ::2]

    pixels = max(1, stripe_pixels(scale.radius, width) // 4)
    for_each_stripe(*small, work, pixels=pixels, progress=progress)

    def read(start: int, stop: int) -> _Slab:
        span = slice(start, stop)
        return _Slab(
            [picture[span] for picture in pictures],
            [None if mask is None else mask[span] for mask in masks],
        )

    return _Scale(small, read, radius, scale.edges / 2)


def _share(mask: Plane | None, radius: int) -> NDArray[np.float64] | None:
    """How much of every patch is seen, 0..1; None for all of it."""
    return None if mask is None else box_mean(mask, radius)


def _mean(
    picture: NDArray[np.float32],
    mask: Plane | None,
    share: NDArray[np.float64] | None,
    radius: int,
) -> NDArray[np.float64]:
    """Mean of what is seen of every patch and of its channels; 0 where nothing is."""
    plane = picture.mean(axis=2, dtype=np.float64) if picture.ndim == 3 else picture
    if mask is None or share is None:
        return box_mean(plane, radius)
    mean = box_mean(plane * mask, radius)
    # Sums that run along rows leave rounding where there should be nothing.
    seen = share > _SEEN
    return np.divide(mean, share, out=np.zeros_like(mean), where=seen)


_SEEN = 1e-6


def _means(
    slab: _Slab, shares: Sequence[NDArray[np.float64] | None], scale: _Scale, rule: Rule
) -> tuple[list[NDArray[np.float64]], list[NDArray[np.float64]], list[NDArray[np.float64] | None]]:
    """Means, contrasts and edge factors (None without) of every patch of every picture."""
    means, contrasts = [], []
    edges: list[NDArray[np.float64] | None] = []
    for picture, mask, share in zip(slab.pictures, slab.masks, shares, strict=True):
        mean = _mean(picture, mask, share, scale.radius)
        squares = _mean(np.square(picture, dtype=np.float64), mask, share, scale.radius)
        spread = np.maximum(squares - np.square(mean), 0)
        values = (2 * scale.radius + 1) ** 2 * (3 if picture.ndim == 3 else 1)
        contrasts.append(np.sqrt(spread * values) + _FLOOR)
        edge = None
        if scale.edges > 0:
            edge = spread / (spread + scale.edges)
            seen = picture.mean(axis=2, dtype=np.float64) if picture.ndim == 3 else picture
            if mask is not None:
                edge = edge * (mask > 0)
            mean = mean + edge * (seen - mean)
        means.append(mean)
        edges.append(edge)
    return means, contrasts, edges


def _fill(means: list[NDArray[np.float64]], shares: Sequence[NDArray[np.float64] | None]) -> None:
    """Put the mean of the others where nothing is seen of a picture, so that no edge is made."""
    if all(share is None for share in shares):
        return
    seen = [
        np.ones_like(mean) if share is None else (share > _SEEN).astype(np.float64)
        for mean, share in zip(means, shares, strict=True)
    ]
    total = sum(mean * s for mean, s in zip(means, seen, strict=True))
    other = total / np.maximum(np.add.reduce(seen), 1)
    for mean, s in zip(means, seen, strict=True):
        np.copyto(mean, other, where=s == 0)


def _weights(
    contrasts: list[NDArray[np.float64]],
    edges: list[NDArray[np.float64] | None],
    masks: list[Plane | None],
    scale: _Scale,
    rule: Rule,
) -> list[NDArray[np.float64]]:
    """How much each picture's structure counts in every patch, times the patch's contrast."""
    whole = [
        None if mask is None else (erode((mask > _SEEN).astype(np.float32), scale.radius) > 0)
        for mask in masks
    ]
    for contrast, seen in zip(contrasts, whole, strict=True):
        if seen is not None:
            contrast *= seen
    strongest = np.maximum.reduce(contrasts)
    weights = [contrast ** (rule.power - 1) for contrast in contrasts]
    total = np.full_like(strongest, _FLOOR)
    for weight, contrast in zip(weights, contrasts, strict=True):
        total += weight * contrast
    gain = strongest / total
    for weight, edge in zip(weights, edges, strict=True):
        weight *= gain
        judged = edges[-1] if rule.last_edges else edge
        if judged is not None:
            weight *= 1 - judged
    return weights


def _details(slab: _Slab, scale: _Scale, rule: Rule) -> NDArray[np.float64]:
    """What the patches of a scale add to its means: (rows, W[, 3])."""
    shares = [_share(mask, scale.radius) for mask in slab.masks]
    means, contrasts, edges = _means(slab, shares, scale, rule)
    weights = _weights(contrasts, edges, slab.masks, scale, rule)
    details = np.zeros(slab.pictures[0].shape)
    offset = np.zeros(slab.pictures[0].shape[:2])
    for picture, mean, weight in zip(slab.pictures, means, weights, strict=True):
        smooth = box_mean(weight, scale.radius)
        details += picture * (smooth[:, :, None] if picture.ndim == 3 else smooth)
        offset += weight * mean
    offset = box_mean(offset, scale.radius)
    details -= offset[:, :, None] if details.ndim == 3 else offset
    return details


def _coarsest(scale: _Scale, rule: Rule) -> Plane:
    """Blend the coarsest scale, which is small, all at once."""
    slab = scale.read(0, scale.size[0])
    shares = [_share(mask, scale.radius) for mask in slab.masks]
    means = _means(slab, shares, scale, rule)[0]
    weights = []
    for picture, mean, mask in zip(slab.pictures, means, slab.masks, strict=True):
        weight = rule.base(picture, mean) + _FLOOR
        weights.append(weight if mask is None else weight * mask)
    total = np.add.reduce(weights)
    base = np.zeros(scale.size)
    for weight, mean in zip(weights, means, strict=True):
        base += weight / total * mean
    return np.asarray(_details(slab, scale, rule) + box_mean(base, scale.radius), np.float32)


def _add_details(
    scale: _Scale,
    rule: Rule,
    coarser: Plane,
    out: NDArray[np.float32],
    progress: Progress | None,
) -> None:
    """Write a scale, made of its details and of the next coarser one, to (H, W[, 3])."""
    height, width = scale.size
    halo = 2 * scale.radius

    def work(start: int, stop: int) -> None:
        rows = around(start, stop, halo, height)
        fused = _details(scale.read(rows.first, rows.last), scale, rule)[rows.inner]
        base = _expanded(coarser, start, stop, (height, width), scale.radius)
        fused += base[:, :, None] if fused.ndim == 3 else base
        out[start:stop] = np.clip(fused, 0, 1) if out.ndim == 3 else fused

    pixels = stripe_pixels(halo, width)
    for_each_stripe(height, width, work, pixels=pixels, progress=progress)


def _expanded(
    coarse: Plane, start: int, stop: int, size: tuple[int, int], radius: int
) -> NDArray[np.float64]:
    """Rows of a coarser scale at twice its size: the mean of the samples in every patch."""
    height, width = size
    rows = around(start, stop, radius + 1, height)
    sparse = np.zeros((rows.last - rows.first, width))
    first = half(rows.first)
    places = slice(2 * first - rows.first, None, 2)
    sparse[places, ::2] = coarse[first : half(rows.last)]
    summed = box_sum(sparse, radius)[rows.inner]
    summed /= _samples(height, radius)[start:stop, None]
    summed /= _samples(width, radius)
    return summed


def _samples(size: int, radius: int) -> NDArray[np.float64]:
    """How many even places the windows of a row have; a window of radius 1 has one or two."""
    even = np.zeros((1, size))
    even[0, ::2] = 1
    return np.asarray(box_sum(even, radius)[0], np.float64)

"""Carrying what is known into holes, along what looks alike and never across edges.

The colours of a guide are sorted into a few classes. Each class is carried by itself, smoothly,
from where it is known: first from next to the hole, else from further away, also past what lies
between (the sky between branches). A pixel takes from each class by its likeness to it. That is a
bilateral filter with the range sampled (Durand and Dorsey 2002) over a pull-push pyramid.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_CLASSES = 12
_CLASS_SAMPLES = 3000
_CLASS_ROUNDS = 4
# Codes within which two colours are alike.
_ALIKE_CODES = 12.0
# What every pixel counts in every class, so that one without known pixels takes from all others.
_OTHERS = 1e-4
_COARSE_PIXELS = 400_000


def carry(values: Floats, weight: Floats, guide: Floats) -> Floats:
    """Carry values (h, w, 3) from where their weight (h, w), 0..1, is large to everywhere else.

    guide: (h, w, n) codes, alike where the values are.
    """
    centres = _classes(guide)
    likeness = _likeness(guide, centres)
    height, width = weight.shape
    shrink = height * width > _COARSE_PIXELS
    size = ((width + 1) // 2, (height + 1) // 2) if shrink else (width, height)
    out = np.zeros_like(values)
    for index in range(len(centres)):
        alike = likeness[index]
        counted = weight * (alike + np.float32(_OTHERS))
        weighted = values * counted[..., None]
        if shrink:
            counted = np.asarray(cv2.resize(counted, size, interpolation=cv2.INTER_AREA))
            weighted = np.asarray(cv2.resize(weighted, size, interpolation=cv2.INTER_AREA))
        field = pull_push(weighted, counted)
        if shrink:
            field = np.asarray(cv2.resize(field, (width, height), interpolation=cv2.INTER_LINEAR))
        out += field * alike[..., None]
    return out


def _classes(guide: Floats) -> Floats:
    """Colours (k, n) that stand for those of a guide: k-means, started from the unlikeliest."""
    flat = guide.reshape(-1, guide.shape[-1])
    samples = flat[:: max(1, len(flat) // _CLASS_SAMPLES)].astype(np.float32)
    centres = [samples.mean(axis=0)]
    distance = np.square(samples - centres[0]).sum(axis=1)
    while len(centres) < _CLASSES and float(distance.max()) > _ALIKE_CODES**2:
        centres.append(samples[int(distance.argmax())])
        distance = np.minimum(distance, np.square(samples - centres[-1]).sum(axis=1))
    found = np.stack(centres)
    for _ in range(_CLASS_ROUNDS):
        nearest = _distances(samples, found).argmin(axis=0)
        for index in range(len(found)):
            members = samples[nearest == index]
            if len(members):
                found[index] = members.mean(axis=0)
    return found


def _distances(colours: Floats, centres: Floats) -> Floats:
    """Squared distances (k, ...) of colours (..., n) to centres (k, n)."""
    across = np.tensordot(centres, colours, axes=(1, colours.ndim - 1))
    across *= -2
    across += np.einsum("...c,...c->...", colours, colours)
    across += np.square(centres).sum(axis=1).reshape(-1, *(1,) * (colours.ndim - 1))
    return np.asarray(np.maximum(across, 0, out=across), np.float32)


def _likeness(guide: Floats, centres: Floats) -> Floats:
    """How much each pixel belongs to each class, (k, h, w), 1 in sum."""
    distance = _distances(guide, centres)
    distance -= distance.min(axis=0)
    distance *= np.float32(-0.5 / _ALIKE_CODES**2)
    likeness = np.exp(distance, out=distance)
    likeness /= likeness.sum(axis=0)
    return likeness


def pull_push(weighted: Floats, weight: Floats) -> Floats:
    """Fill in by pyramid: weighted sums (h, w, 3) and weights (h, w); holes take coarser means."""
    mean = weighted / np.maximum(weight, np.float32(1e-9))[..., None]
    height, width = weight.shape
    if min(height, width) <= 2:
        total = max(float(weight.sum()), 1e-9)
        flat = weighted.reshape(-1, 3).sum(axis=0) / np.float32(total)
        coarse = np.broadcast_to(flat, weighted.shape)
    else:
        half = ((width + 1) // 2, (height + 1) // 2)
        # Weights add up from level to level, until an area counts as fully seen.
        small_weight = np.asarray(
            cv2.resize(weight, half, interpolation=cv2.INTER_AREA), np.float32
        )
        small = np.asarray(cv2.resize(weighted, half, interpolation=cv2.INTER_AREA), np.float32)
        gain = np.minimum(np.float32(4), 1 / np.maximum(small_weight, np.float32(1e-9)))
        filled = pull_push(small * gain[..., None], small_weight * gain)
        coarse = cv2.resize(filled, (width, height), interpolation=cv2.INTER_LINEAR)
    share = np.minimum(weight, 1)[..., None]
    return np.asarray(mean * share + coarse * (1 - share), np.float32)

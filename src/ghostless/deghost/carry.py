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

from ..pixels.holes import pull_push

Floats = NDArray[np.float32]

_CLASSES = 12
_CLASS_SAMPLES = 3000
_CLASS_ROUNDS = 4
# Codes within which two colours are alike.
_ALIKE_CODES = 12.0
# What every pixel counts in every class, so that one without known pixels takes from all others.
_OTHERS = 1e-4
_COARSE_PIXELS = 400_000


def carry(values: Floats, weight: Floats, guide: Floats, wanted: NDArray[np.bool_]) -> Floats:
    """Carry values (h, w, 3) from where their weight (h, w), 0..1, is large to wanted pixels.

    guide: (h, w, n) codes, alike where the values are; wanted: (h, w).
    Returns the values at the wanted pixels, (N, 3), in the order of the rows.
    """
    centres = _classes(guide)
    y, x = (np.asarray(places, np.float32) for places in np.nonzero(wanted))
    there = _likeness(guide[wanted], centres)
    weighted = values * weight[..., None]
    height, width = weight.shape
    if height * width > _COARSE_PIXELS:
        size = ((width + 1) // 2, (height + 1) // 2)
        weighted, weight, guide = (_reduced(plane, size) for plane in (weighted, weight, guide))
        y = (y + np.float32(0.5)) * np.float32(size[1] / height) - np.float32(0.5)
        x = (x + np.float32(0.5)) * np.float32(size[0] / width) - np.float32(0.5)
    likeness = _likeness(guide, centres)
    out = np.zeros((len(x), 3), np.float32)
    for alike, alike_there in zip(likeness, there, strict=True):
        alike += np.float32(_OTHERS)
        field = pull_push(weighted * alike[..., None], weight * alike)
        out += _sampled(field, x, y) * alike_there[:, None]
    return out


def _reduced(plane: Floats, size: tuple[int, int]) -> Floats:
    """A plane (h, w) or (h, w, n) at a size (width, height), averaging areas."""
    if plane.ndim == 3 and plane.shape[2] > 4:  # more than OpenCV takes
        parts = [plane[..., first : first + 3] for first in range(0, plane.shape[2], 3)]
        return np.concatenate([_reduced(np.ascontiguousarray(p), size) for p in parts], axis=2)
    shape = (size[1], size[0], *plane.shape[2:])
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA)).reshape(shape)


# OpenCV takes no longer lists of places at once.
_LONGEST_LIST = 30_000


def _sampled(field: Floats, x: Floats, y: Floats) -> Floats:
    """Values (N, 3) of a field (h, w, 3) at places, between its pixels."""
    parts = [
        cv2.remap(
            field,
            x[start : start + _LONGEST_LIST, None],
            y[start : start + _LONGEST_LIST, None],
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        ).reshape(-1, 3)
        for start in range(0, len(x), _LONGEST_LIST)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, 3), np.float32)


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

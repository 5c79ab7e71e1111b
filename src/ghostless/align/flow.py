"""Dense optical flow on top of a matrix, for what no matrix describes: parallax and bending."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .proxy import Gray, Matrix, local_normalise, overlapping_range

Flow = NDArray[np.float32]

_WINDOW_PIXELS = 6.0
_NOISE_CODES = 1.5
# Forward and backward flow may miss each other by this much before a vector is dropped.
_AGREE_PIXELS = 0.7
# Vectors longer than this share of the longer side are taken for mistakes.
_LONGEST = 0.03
_SMOOTH_PIXELS = 5.0
# A field that changes by more than this from pixel to pixel would tear the picture.
_STEEPEST = 0.3
# Confidence below which a vector gives way to the matrix.
_DOUBT = 0.08


def dense_flow(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> Flow:
    """Flow (h, w, 2), such that second(x + flow(x)) = first(x), of grey images of one exposure.

    By Kroeger et al., Fast Optical Flow using Dense Inverse Search, ECCV 2016. Sides of at least
    16 pixels.
    """
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return np.asarray(search.calc(first, second, np.zeros((*first.shape, 2), np.float32)))


def two_way_flow(
    first: NDArray[np.uint8], second: NDArray[np.uint8]
) -> tuple[Flow, NDArray[np.float32]]:
    """`dense_flow`, and by how many pixels (h, w) the flow back misses where it came from."""
    forward, backward = dense_flow(first, second), dense_flow(second, first)
    return forward, np.linalg.norm(forward + read_at(backward, forward), axis=2)


def read_at(image: NDArray[np.float32], flow: Flow) -> NDArray[np.float32]:
    """An image (h, w) or (h, w, C) read where a flow of its size points."""
    height, width = flow.shape[:2]
    x = np.arange(width, dtype=np.float32)[None] + flow[..., 0]
    y = np.arange(height, dtype=np.float32)[:, None] + flow[..., 1]
    return np.asarray(cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def _local_correlation(a: Gray, b: Gray) -> Gray:
    blur = (0, 0), _SMOOTH_PIXELS
    both = cv2.GaussianBlur(a * b, *blur)
    power = cv2.GaussianBlur(a * a, *blur) * cv2.GaussianBlur(b * b, *blur)
    return np.asarray(both / np.sqrt(power + 1e-3), np.float32)


def _spread(flow: Flow, confidence: Gray) -> Flow:
    """Normalised convolution: trusted vectors spread into their neighbourhood and fade out."""
    mass = cv2.GaussianBlur(confidence, (0, 0), _SMOOTH_PIXELS)
    smooth = cv2.GaussianBlur(flow * confidence[..., None], (0, 0), _SMOOTH_PIXELS)
    fade = mass / (mass * mass + _DOUBT * _DOUBT)
    return np.asarray(smooth * fade[..., None], np.float32)


def _steepness(flow: Flow) -> Gray:
    """Largest change of a vector from one pixel to the next, (h, w)."""
    slopes = [
        np.abs(cv2.Sobel(flow, cv2.CV_32F, dx, 1 - dx, scale=1 / 8)).max(axis=2) for dx in (0, 1)
    ]
    return np.asarray(np.maximum(*slopes), np.float32)


def _smoothed(flow: Flow, confidence: Gray) -> Flow:
    """Smooth a field, and let go of what moves too differently from its surroundings.

    A person who walked cannot be bent into place without tearing the person or the background:
    wherever the field is too steep, its vectors are dropped in a growing neighbourhood until it is
    smooth everywhere. Such things are left to deghosting.
    """
    smooth = _spread(flow, confidence)
    reach = int(2 * _SMOOTH_PIXELS)
    while True:
        steep = _steepness(smooth) > _STEEPEST
        if not steep.any():
            return smooth
        confidence = confidence * (cv2.dilate(steep.astype(np.uint8), _box(reach)) == 0)
        smooth = _spread(flow, confidence)
        reach *= 2


def _box(radius: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_RECT, (2 * radius + 1, 2 * radius + 1)))


def residual_flow(reference: Gray, moving: Gray, matrix: Matrix) -> Flow | None:
    """Find what motion is left after a matrix, (h, w, 2) float32 in pixels of these images.

    reference, moving: grey (h, w), 0..255, of different exposure; matrix: reference to moving.
    The moving image read at matrix (x + flow(x)) lies on the reference at x. A vector is kept only
    where forward and backward flow agree, both images have texture there, and it makes them agree
    better; elsewhere the flow fades to zero, so that flat and clipped areas cannot tear.
    Returns None for images too small for dense flow or where nothing is left to gain.
    """
    height, width = reference.shape
    if min(height, width) < 32:
        return None
    flags, size = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, (width, height)
    warped: Any = np.asarray(
        cv2.warpPerspective(moving, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    )
    covered: Any = np.asarray(
        cv2.warpPerspective(np.ones((height, width), np.float32), matrix, size, flags=flags)
    )
    span = overlapping_range(reference, warped)
    a, energy_a = local_normalise(np.clip(reference, *span.reference), _WINDOW_PIXELS, _NOISE_CODES)
    b, energy_b = local_normalise(np.clip(warped, *span.moving), _WINDOW_PIXELS, _NOISE_CODES)
    codes = [np.clip(128 + 45 * image, 0, 255).astype(np.uint8) for image in (a, b)]
    forward, miss = two_way_flow(codes[0], codes[1])
    length = np.linalg.norm(forward, axis=2)
    tolerance = _AGREE_PIXELS + 0.05 * length
    confidence = (
        np.exp(-((miss / tolerance) ** 2))
        * energy_a
        * read_at(energy_b, forward)
        * read_at(covered, forward)
        * (length < _LONGEST * max(height, width))
    ).astype(np.float32)
    before = _local_correlation(a, b)
    after = _local_correlation(a, read_at(b, forward))
    confidence *= (after > before + 0.02) & (after > 0.3)
    if float(confidence.mean()) < 1e-3:
        return None
    return _smoothed(forward, confidence)


def to_full_flow(flow: Flow, full: tuple[int, ...]) -> Flow:
    """Scale a proxy's vectors to full-size pixels; the field itself stays small."""
    scale = np.array([full[1] / flow.shape[1], full[0] / flow.shape[0]], np.float32)
    return np.asarray(flow * scale)

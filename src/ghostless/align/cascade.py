"""The cascade that finds the motion of one pair of frames, on their proxies.

Several starting points are refined and compared by how well the images agree; the simplest motion
that the evidence supports is kept, and none at all unless another is beyond doubt better.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray

from ..bracket import Registration, RegistrationModel
from .ecc import (
    Agreement,
    Level,
    agreement,
    build_levels,
    consent,
    evidence,
    refine,
    refine_level,
    unit_from_pixels,
)
from .features import Matches, fit_homography, match_features
from .mtb import mtb_shift
from .proxy import Matrix, gray_of, resized, to_full_size
from .warp import corner_motion, corners_of

# Features and scores are taken at this size, the last refinement at AlignSettings.proxy_pixels.
_SCORED_PIXELS = 300_000
# Motions beyond these are no hand's shake: share of the longer side that a corner may move, ratio
# of areas, and share of the reference that must stay covered.
_FARTHEST = 0.4
_AREA_RATIO = 1.8
_LEAST_OVERLAP = 0.4
# Two starting points that end nearer than this, in pixels, need no third opinion.
_SAME_PIXELS = 0.5
# A motion must win by this much evidence over leaving the frame alone, and raise the correlation by
# this share of what was missing.
_CLEAR_EVIDENCE = 6.0
_CLEAR_GAIN = 0.02
# A motion of less than this many proxy pixels must remove this share, to be worth resampling.
_TINY_PIXELS = 0.5
_CLEAR_GAIN_TINY = 0.1
# How much of the image must prefer a motion to none (ecc.consent). More is asked, and a
# correlation, where no other starting point ended within this share of the longer side.
_CONSENT = 0.6
_CONSENT_ALONE = 0.9
_CORRELATION_ALONE = 0.6
_SUPPORT = 0.012
# Resampling blurs more than so small a motion does.
_STILL_PIXELS = 0.1
# With fewer observations than this, a pair cannot speak against what its neighbours say, nor can a
# motion that one starting point led to prove itself.
_SCARCE = 100.0
_INLIER_PIXELS = 3.0

_SIMPLER = ("shift", "similarity", "affine", "homography")
_REPORTED: dict[str, RegistrationModel] = {
    "identity": "identity",
    "shift": "shift",
    "similarity": "affine",
    "affine": "affine",
    "homography": "homography",
}


@dataclass(frozen=True)
class Motion:
    """A motion in unit coordinates, how well it fits and what it costs."""

    matrix: Matrix
    model: str
    found: Agreement
    evidence: float
    start: str


@dataclass(frozen=True)
class Estimate:
    """The motion kept for a pair, and what it was compared with."""

    motion: Motion
    unmoved: Motion
    matches: Matches
    scale: float
    notes: tuple[str, ...]


# Name of a starting point, the motion that it led to, and how well that fits.
_Tried = tuple[str, Matrix, Agreement]


class Pair:
    """Two proxies and their pyramid, on which motions are tried."""

    def __init__(self, reference: NDArray[np.float32], moving: NDArray[np.float32]) -> None:
        self.reference, self.moving = reference, moving
        self.shape = reference.shape[:2]
        self.levels = build_levels(reference, moving)
        self.unit = unit_from_pixels(self.shape)
        sizes = [level.shape[0] * level.shape[1] for level in self.levels]
        self.scored = next(
            (i for i, size in enumerate(sizes) if size <= _SCORED_PIXELS), len(sizes) - 1
        )

    @property
    def level(self) -> Level:
        return self.levels[self.scored]

    @property
    def coarse(self) -> list[Level]:
        return self.levels[self.scored :]

    def to_pixels(self, matrix: Matrix) -> Matrix:
        pixels = np.linalg.inv(self.unit) @ matrix @ self.unit
        return np.asarray(pixels / pixels[2, 2])

    def from_full_size(self, matrix: Matrix, full: tuple[int, ...]) -> Matrix:
        """A matrix between the full frames (height, width, ...) in unit coordinates."""
        unit = self.unit @ to_full_size(matrix, full, self.shape) @ np.linalg.inv(self.unit)
        return np.asarray(unit / unit[2, 2])

    def apart(self, first: Matrix, second: Matrix) -> float:
        """Mean distance in pixels between where two unit matrices send the corners."""
        corners = corners_of(self.shape)[None]
        sent = [cv2.perspectiveTransform(corners, self.to_pixels(m)) for m in (first, second)]
        return float(np.hypot(*(sent[0] - sent[1])[0].T).mean())

    def judge(self, matrix: Matrix, model: str, start: str, observations: float) -> Motion:
        found = agreement(self.level, matrix)
        return Motion(matrix, model, found, evidence(found, observations, model), start)


def _plausible(matrix: Matrix, shape: tuple[int, ...]) -> bool:
    """Tell whether a motion in pixels could be a camera's between two shots."""
    corners = corners_of(shape)
    if not np.isfinite(matrix).all():
        return False
    depth = corners @ matrix[2, :2] + matrix[2, 2]
    if depth.min() < 0.5 * depth.max() or depth.min() <= 0:
        return False
    moved = cv2.perspectiveTransform(corners[None], matrix)[0]
    if np.hypot(*(moved - corners).T).max() > _FARTHEST * max(shape[:2]):
        return False
    ratio = cv2.contourArea(moved.astype(np.float32)) / max(
        1.0, cv2.contourArea(corners.astype(np.float32))
    )
    return bool(
        cv2.isContourConvex(moved.astype(np.float32)) and 1 / _AREA_RATIO < ratio < _AREA_RATIO
    )


def _simplified(matrix: Matrix, model: str) -> Matrix:
    """The motion of a simpler model that agrees with a matrix at the centre (unit coordinates)."""
    if model == "homography":
        return matrix
    at = matrix[:2, 2] / matrix[2, 2]
    linear = (matrix[:2, :2] - np.outer(at, matrix[2, :2])) / matrix[2, 2]
    if model == "similarity":
        a = (linear[0, 0] + linear[1, 1]) / 2
        b = (linear[1, 0] - linear[0, 1]) / 2
        linear = np.array([[a, -b], [b, a]])
    if model == "shift":
        linear = np.eye(2)
    simple = np.eye(3)
    simple[:2, :2], simple[:2, 2] = linear, at
    return simple


def _limited(models: Sequence[str], largest: str) -> list[str]:
    """The models, none of them larger than the largest allowed."""
    rank = _SIMPLER.index(largest)
    return [m if _SIMPLER.index(m) <= rank else largest for m in models]


def _feature_matches(pair: Pair) -> tuple[Matches, Matrix | None]:
    """Matches in proxy pixels, and the homography that most of them agree on."""
    scored = pair.level.shape
    matches = match_features(
        resized(gray_of(pair.reference), scored), resized(gray_of(pair.moving), scored)
    )
    scale = pair.shape[1] / scored[1]
    matches = Matches((matches.reference + 0.5) * scale - 0.5, (matches.moving + 0.5) * scale - 0.5)
    return matches, fit_homography(matches)


def _starts(
    pair: Pair, largest: str, feature_matrix: Matrix | None, known: Mapping[str, Matrix]
) -> Iterator[tuple[str, Matrix]]:
    """Refine every starting point up to the scored level; yields names and unit matrices."""
    direct = _limited(("affine", "homography"), largest)
    careful = _limited(("shift", "affine", "homography"), largest)
    near = _limited(("homography",), largest)
    for name, matrix in known.items():
        yield name, matrix
        yield name, refine(pair.coarse[:3], matrix, near)
    by_features = None
    if feature_matrix is not None:
        unit_matrix = pair.unit @ feature_matrix @ np.linalg.inv(pair.unit)
        start = _simplified(unit_matrix / unit_matrix[2, 2], largest)
        by_features = refine(pair.coarse[:3], start, near)
        yield "features", start
        yield "features", by_features
    by_pixels = refine(pair.coarse, np.eye(3), direct)
    yield "pixels", by_pixels
    if by_features is not None and pair.apart(by_features, by_pixels) < _SAME_PIXELS:
        return
    scored = pair.level.shape
    shift = mtb_shift(resized(pair.reference, scored), resized(pair.moving, scored))
    start = np.eye(3)
    start[:2, 2] = np.array(shift) * 2 / max(scored)
    yield "bitmaps", refine(pair.coarse, start, careful)


_LEFT_ALONE = "no motion fits clearly better than none; left as it is"


def estimate_motion(
    pair: Pair, model: str, known: Mapping[str, Matrix] = MappingProxyType({})
) -> Estimate:
    """Find the motion of a pair.

    known: motions found elsewhere, by name, in unit coordinates: further starting points.
    """
    auto = model in ("auto", "flow", "network")
    largest = "homography" if auto else model
    notes: list[str] = []
    scale = pair.shape[1] / pair.level.shape[1]
    matches, feature_matrix = _feature_matches(pair)
    if feature_matrix is None:
        notes.append("too few matching features; aligned by pixels")
    tried = _tried(pair, _starts(pair, largest, feature_matrix, known))
    unmoved_found = agreement(pair.level, np.eye(3))
    observations = max(f.observations for f in (unmoved_found, *(t[2] for t in tried)))
    unmoved = pair.judge(np.eye(3), "identity", "none", observations)
    motions = [
        Motion(matrix, largest, found, evidence(found, observations, largest), name)
        for name, matrix, found in tried
    ]
    best = min(motions, key=lambda m: m.evidence, default=unmoved)
    if auto and best is not unmoved:
        best = _simplest(pair, best, observations)
    if best is not unmoved:
        best = _finished(pair, best, observations)
    if best is not unmoved and not _clearly_better(pair, best, unmoved, tried):
        notes.append(_LEFT_ALONE)
        best = unmoved
    elif best.start != "features" and feature_matrix is not None:
        notes.append(f"started from {best.start} rather than from features")
    return Estimate(best, unmoved, matches, scale, tuple(notes))


def _tried(pair: Pair, starts: Iterator[tuple[str, Matrix]]) -> list[_Tried]:
    """Measure the motions that starting points led to; impossible ones are left out."""
    tried = []
    for name, matrix in starts:
        if _plausible(pair.to_pixels(matrix), pair.shape):
            found = agreement(pair.level, matrix)
            if found.overlap >= _LEAST_OVERLAP:
                tried.append((name, matrix, found))
    return tried


def _supported(pair: Pair, start: str, matrix: Matrix, tried: Sequence[_Tried]) -> bool:
    """Tell whether another starting point led to nearly the same motion."""
    near = _SUPPORT * max(pair.shape)
    return any(name != start and pair.apart(other, matrix) < near for name, other, _ in tried)


def _simplest(pair: Pair, best: Motion, observations: float) -> Motion:
    """Try simpler models beside the best motion and keep the one with most evidence."""
    tried = [best]
    for model in ("affine", "similarity", "shift"):
        matrix = refine(pair.coarse[:2], _simplified(best.matrix, model), (model,))
        if _plausible(pair.to_pixels(matrix), pair.shape):
            tried.append(pair.judge(matrix, model, best.start, observations))
    return min(tried, key=lambda m: m.evidence)


def _finished(pair: Pair, motion: Motion, observations: float) -> Motion:
    """Refine a motion on the levels finer than the scored one; keep it if it does no harm."""
    matrix = motion.matrix
    for level in reversed(pair.levels[: pair.scored]):
        matrix = refine_level(level, matrix, motion.model, iterations=8)
    if matrix is motion.matrix or not _plausible(pair.to_pixels(matrix), pair.shape):
        return motion
    finer = pair.judge(matrix, motion.model, motion.start, observations)
    return finer if finer.found.correlation > motion.found.correlation - 0.01 else motion


def _clearly_better(pair: Pair, motion: Motion, unmoved: Motion, tried: Sequence[_Tried]) -> bool:
    """Tell whether a motion is beyond doubt better than none.

    It must win by evidence and by correlation, and the image as a whole must prefer it. A motion
    that only one of the starting points led to is a local optimum until it proves itself.
    """
    pixels = pair.to_pixels(motion.matrix)
    gain = motion.found.correlation - unmoved.found.correlation
    tiny = corner_motion(pixels, pair.shape) < _TINY_PIXELS
    least = _CLEAR_GAIN_TINY if tiny else _CLEAR_GAIN
    if motion.evidence > unmoved.evidence - _CLEAR_EVIDENCE or gain < least * (
        1 - unmoved.found.correlation
    ):
        return False
    agreed = consent(pair.level, motion.matrix)
    if _supported(pair, motion.start, motion.matrix, tried):
        return agreed > _CONSENT
    return (
        agreed > _CONSENT_ALONE
        and motion.found.correlation > _CORRELATION_ALONE
        and motion.found.observations > _SCARCE
    )


def describe(
    estimate: Estimate, pair: Pair, full: tuple[int, ...], notes: tuple[str, ...] = ()
) -> Registration:
    """Describe an estimate in full-size pixels."""
    pixels = pair.to_pixels(estimate.motion.matrix)
    matrix = to_full_size(pixels, pair.shape, full)
    model = _REPORTED[estimate.motion.model]
    if model != "identity" and corner_motion(matrix, full) < _STILL_PIXELS:
        model = "identity"
    if model == "identity":
        matrix, pixels = np.eye(3), np.eye(3)
    distances = estimate.matches.distances(pixels)
    inliers = distances[distances < _INLIER_PIXELS * estimate.scale]
    scale = full[1] / pair.shape[1]
    missing = 1 - estimate.unmoved.found.correlation
    gained = estimate.motion.found.correlation - estimate.unmoved.found.correlation
    return Registration(
        model=model,
        matrix=matrix,
        matches=len(estimate.matches),
        inliers=len(inliers),
        residual_pixels=float(np.sqrt(np.mean(inliers**2)) * scale) if len(inliers) else np.nan,
        improvement=float(np.clip(gained / missing, 0, 1)) if missing > 1e-6 else 0.0,
        notes=estimate.notes + notes,
    )


def estimate_chained(
    pair: Pair,
    to_neighbour: Matrix,
    neighbour: NDArray[np.float32],
    moving: NDArray[np.float32],
    model: str,
    known: Mapping[str, Matrix] = MappingProxyType({}),
) -> Estimate:
    """Estimate directly with the chain through the nearer neighbour as a further start.
    Planes (h, w).

    Frames far apart in exposure may share so little that only the chain finds the motion: where
    the direct evidence does not speak against it, the chain is kept.
    """
    link = estimate_motion(Pair(neighbour, moving), model)
    chained = link.motion.matrix @ to_neighbour
    chained = chained / chained[2, 2]
    direct = estimate_motion(pair, model, {**known, "chain": chained})
    in_pixels = pair.to_pixels(chained)
    if (
        not _plausible(in_pixels, pair.shape)
        or corner_motion(in_pixels, pair.shape) < _STILL_PIXELS
    ):
        return direct
    model = _largest_model(chained)
    chain = pair.judge(chained, model, "chain", direct.unmoved.found.observations)
    rise = chain.found.correlation - direct.motion.found.correlation
    scarce = direct.unmoved.found.observations < _SCARCE and direct.motion is direct.unmoved
    if rise < (-_CLEAR_GAIN if scarce else _CLEAR_GAIN):
        return direct
    # What was said of the direct motion is not true of this one.
    notes = tuple(note for note in direct.notes if note != _LEFT_ALONE)
    return replace(
        direct, motion=chain, notes=(*notes, "motion chained through the neighbouring exposure")
    )


def _largest_model(matrix: Matrix) -> str:
    """Smallest model that a motion in unit coordinates belongs to."""
    if not np.allclose(matrix[2], (0, 0, 1), atol=1e-9):
        return "homography"
    return "shift" if np.allclose(matrix[:2, :2], np.eye(2), atol=1e-9) else "affine"

"""Alignment measured where the answer is known: exposure pairs under random homographies.

A patch of one exposure is the reference. The other exposure is resampled, from the whole picture
so that no border shows, into a patch whose corners moved by a random amount, and each method says
where the reference's corners went. The protocol is that of DeTone, Malisiewicz and Rabinovich,
Deep Image Homography Estimation (2016), on pairs of different exposure.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...align import AlignSettings, align_pair, homography_net
from ...bracket import Frame
from ...errors import FileReadError, unknown_name
from ..metrics import alignment as metrics

PATCH_PIXELS = 256
RADII_PIXELS = (8, 32)
HIT_PIXELS = 2.0
_TRIES = 200

Matrix = NDArray[np.float64]
Aligner = Callable[[Frame, Frame], Matrix]


@dataclass(frozen=True)
class PatchPair:
    """Two patches of one scene at two exposures, and where the reference's pixels went.

    truth: (3, 3) float64; takes pixel-centre coordinates of the reference to those of the moving
        patch.
    """

    name: str
    reference: Frame
    moving: Frame
    truth: Matrix


@dataclass(frozen=True)
class MethodScore:
    """What one method reached on a set of patches.

    hits: share of patches whose mean corner error is under 2 pixels.
    worse: share whose error exceeds that of leaving the patch alone by more than a pixel.
    seconds: median time of one patch.
    """

    method: str
    radius_pixels: int
    half: str
    patches: int
    hits: float
    median_pixels: float
    worse: float
    seconds: float


@dataclass(frozen=True)
class AlignmentResult:
    """Scores of every method, side by side on the same patches.

    The pairs, sorted by name, are split in two halves: constants were chosen on the even ones
    ("tuned") and not on the odd ones ("held out"); "all" is both together.
    """

    scores: tuple[MethodScore, ...]
    pairs: tuple[str, ...]
    skipped: tuple[str, ...]
    patches_per_pair: int
    seed: int
    errors: Mapping[tuple[str, int, str], tuple[float, ...]]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for a JSON file."""
        return {
            "patch_pixels": PATCH_PIXELS,
            "hit_pixels": HIT_PIXELS,
            "patches_per_pair": self.patches_per_pair,
            "seed": self.seed,
            "opencv": cv2.__version__,
            "pairs": list(self.pairs),
            "skipped": list(self.skipped),
            "scores": [vars(score) for score in self.scores],
            "hits_by_pair": {
                f"{method} {radius} {pair}": float(np.mean(np.array(errors) < HIT_PIXELS))
                for (method, radius, pair), errors in self.errors.items()
            },
        }

    def as_text(self) -> str:
        """Return a table for the screen."""
        lines = [
            f"{PATCH_PIXELS} x {PATCH_PIXELS} patches, {self.patches_per_pair} of each of "
            f"{len(self.pairs)} exposure pairs, seed {self.seed}; corners moved up to r pixels",
            f"{'r':>3} {'pairs':<9} {'method':<17} {'under 2 px':>10} {'median px':>10} "
            f"{'worse than none':>16} {'seconds':>8}",
        ]
        lines += [
            f"{s.radius_pixels:>3} {s.half:<9} {s.method:<17} {s.hits:>10.1%} "
            f"{s.median_pixels:>10.2f} {s.worse:>16.1%} {s.seconds:>8.3f}"
            for s in self.scores
        ]
        if self.skipped:
            lines.append(
                f"left out, smaller than {PATCH_PIXELS + 2 * max(RADII_PIXELS)} pixels needed: "
                + ", ".join(self.skipped)
            )
        return "\n".join(lines)


def corner_error(estimate: Matrix, truth: Matrix) -> float:
    """Mean distance in pixels between where two matrices send a patch's corners."""
    return metrics.corner_error(estimate, truth, PATCH_PIXELS, PATCH_PIXELS)


def make_patch_pair(
    name: str,
    images: tuple[NDArray[np.uint8], NDArray[np.uint8]],
    radius_pixels: float,
    random: np.random.Generator,
) -> PatchPair:
    """Cut one patch pair out of two aligned exposures, (H, W, 3) RGB uint8.

    Each corner's dx and dy is uniform in -radius..radius. Which exposure is the reference is a
    coin's toss. Raises ValueError where the images are too small for the radius.
    """
    height, width = images[0].shape[:2]
    if min(height, width) < PATCH_PIXELS + 2 * radius_pixels:
        raise ValueError(f"{name}: no patch fits into {width} x {height} pixels")
    first, second = (0, 1) if random.random() < 0.5 else (1, 0)
    last = PATCH_PIXELS - 1
    corners = np.array([[0, 0], [last, 0], [last, last], [0, last]], np.float32)
    for _ in range(_TRIES):
        left = int(random.integers(0, width - PATCH_PIXELS + 1))
        top = int(random.integers(0, height - PATCH_PIXELS + 1))
        moved = corners + random.uniform(-radius_pixels, radius_pixels, (4, 2)).astype(np.float32)
        if not cv2.isContourConvex(moved):
            continue
        truth = cv2.getPerspectiveTransform(corners, moved).astype(np.float64)
        # The moving patch shows, at q, what the reference's frame shows at truth^-1 q.
        seen = cv2.perspectiveTransform(corners[None].astype(np.float64), np.linalg.inv(truth))[
            0
        ] + (left, top)
        if seen.min() < 0 or seen[:, 0].max() > width - 1 or seen[:, 1].max() > height - 1:
            continue
        place = np.array([[1, 0, left], [0, 1, top], [0, 0, 1]], np.float64)
        moving: Any = np.asarray(
            cv2.warpPerspective(
                images[second],
                place @ np.linalg.inv(truth),
                (PATCH_PIXELS, PATCH_PIXELS),
                flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REPLICATE,
            )
        )
        reference = images[first][top : top + PATCH_PIXELS, left : left + PATCH_PIXELS]
        return PatchPair(name, Frame(np.ascontiguousarray(reference)), Frame(moving), truth)
    raise ValueError(f"{name}: found no patch in {_TRIES} tries")


def _equalised(frame: Frame) -> NDArray[np.uint8]:
    """Grey with its histogram equalised: the base lines' own remedy for the exposures.

    On plain grey both base lines reach hardly half of what they reach on this.
    """
    return np.asarray(cv2.equalizeHist(cv2.cvtColor(frame.pixels, cv2.COLOR_RGB2GRAY)))


def align_by_nothing(reference: Frame, moving: Frame) -> Matrix:
    """Base line: leave the frame where it is."""
    return np.eye(3)


def align_by_sift(reference: Frame, moving: Frame) -> Matrix:
    """Base line: OpenCV's SIFT on equalised grey, ratio test and USAC_MAGSAC, nothing else."""
    sift = cv2.SIFT.create()
    points_a, words_a = sift.detectAndCompute(_equalised(reference), None)
    points_b, words_b = sift.detectAndCompute(_equalised(moving), None)
    if words_a is None or words_b is None or len(points_a) < 4 or len(points_b) < 4:
        return np.eye(3)
    near = cv2.BFMatcher(cv2.NORM_L2).knnMatch(words_a, words_b, k=2)
    good = [m[0] for m in near if len(m) == 2 and m[0].distance < 0.8 * m[1].distance]
    if len(good) < 4:
        return np.eye(3)
    matrix, _ = cv2.findHomography(
        np.array([points_a[m.queryIdx].pt for m in good], np.float32),
        np.array([points_b[m.trainIdx].pt for m in good], np.float32),
        cv2.USAC_MAGSAC,
        2.0,
        maxIters=5000,
    )
    return np.eye(3) if matrix is None else np.asarray(matrix, np.float64)


def align_by_opencv_ecc(reference: Frame, moving: Frame) -> Matrix:
    """Base line: cv2.findTransformECC, a homography from identity, on equalised grey."""
    try:
        _, matrix = cv2.findTransformECC(
            _equalised(reference),
            _equalised(moving),
            np.eye(3, dtype=np.float32),
            cv2.MOTION_HOMOGRAPHY,
            (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 200, 1e-6),
            np.full((PATCH_PIXELS, PATCH_PIXELS), 255, np.uint8),
            5,
        )
    except cv2.error:
        return np.eye(3)
    return np.asarray(matrix, np.float64)


def align_by_ghostless(reference: Frame, moving: Frame) -> Matrix:
    """Our cascade with its default settings."""
    return align_pair(reference, moving, AlignSettings()).matrix


def align_by_network(reference: Frame, moving: Frame) -> Matrix:
    """The homography network alone, its answer taken as it is."""
    network = homography_net.load(homography_net.HomographyNetSettings())
    answer = homography_net.answer_of(network, reference, moving)
    return np.eye(3) if answer is None else answer


def align_with_network(reference: Frame, moving: Frame) -> Matrix:
    """Our cascade with the network's answer as a further starting point."""
    return align_pair(reference, moving, AlignSettings(model="network")).matrix


METHODS: dict[str, Aligner] = {
    "identity": align_by_nothing,
    "sift+magsac": align_by_sift,
    "opencv ecc": align_by_opencv_ecc,
    "ghostless": align_by_ghostless,
}
# These need torch and weights.
NETWORK_METHODS: dict[str, Aligner] = {
    "network": align_by_network,
    "ghostless+network": align_with_network,
}


def _read(folder: Path, stem: str) -> NDArray[np.uint8]:
    for path in sorted(folder.glob(f"{stem}.*")):
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is not None:
            return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
    raise FileReadError(f"{folder}: expected an image {stem}.*, found none; give the pairs' folder")


def read_pairs(
    data: Path, pairs: Sequence[str] | None = None
) -> dict[str, tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Read under.* and over.* of every folder of `data`, or of the pairs named, sorted by name.
    (H, W, 3) each.

    Raises FileReadError for a missing folder or picture.
    """
    names = sorted(p.name for p in data.iterdir() if p.is_dir()) if data.is_dir() else []
    if not names:
        raise FileReadError(f"{data}: expected folders with under.* and over.*, found none")
    for name in pairs or ():
        if name not in names:
            raise unknown_name("exposure pair", name, names)
    return {
        name: (_read(data / name, "under"), _read(data / name, "over"))
        for name in (names if pairs is None else sorted(pairs))
    }


def _score(
    method: str,
    radius: int,
    half: str,
    errors: Sequence[float],
    still: Sequence[float],
    seconds: Sequence[float],
) -> MethodScore:
    error, alone = np.array(errors), np.array(still)
    return MethodScore(
        method=method,
        radius_pixels=radius,
        half=half,
        patches=len(errors),
        hits=float(np.mean(error < HIT_PIXELS)),
        median_pixels=float(np.median(error)),
        worse=float(np.mean(error > alone + 1)),
        seconds=float(np.median(seconds)),
    )


def _methods(asked: Sequence[str] | None) -> tuple[str, ...]:
    known = METHODS | NETWORK_METHODS
    names = tuple(asked or (known if homography_net.is_ready() else METHODS))
    for name in names:
        if name not in known:
            raise unknown_name("alignment method", name, known)
    return names


def _parts(used: Sequence[str]) -> dict[str, list[str]]:
    """Pairs by half, every other one, and all of them."""
    return {"tuned": [*used[::2]], "held out": [*used[1::2]], "all": [*used]}


def _scores(
    names: Sequence[str],
    radii: Sequence[int],
    used: Sequence[str],
    errors: dict[tuple[str, int, str], list[float]],
    still: dict[tuple[int, str], list[float]],
    seconds: dict[tuple[str, int, str], list[float]],
) -> Iterator[MethodScore]:
    for radius in radii:
        for half, chosen in _parts(used).items():
            for name in names if chosen else ():
                yield _score(
                    name,
                    radius,
                    half,
                    [e for p in chosen for e in errors[name, radius, p]],
                    [e for p in chosen for e in still[radius, p]],
                    [s for p in chosen for s in seconds[name, radius, p]],
                )


def run(
    data: Path,
    *,
    pairs: Sequence[str] | None = None,
    patches: int = 10,
    seed: int = 0,
    methods: Sequence[str] | None = None,
    radii: Sequence[int] = RADII_PIXELS,
    progress: Callable[[float], None] | None = None,
) -> AlignmentResult:
    """Run the methods on random patches of the exposure pairs in `data`, side by side.

    data: a folder of folders, each with an aligned under.* and over.* (such as MEFB's).
    patches: patches of each pair and radius. The same seed gives the same patches.
    methods: names out of METHODS and NETWORK_METHODS; None for all that can run here.
    Pairs smaller than a patch and its largest motion are left out and named in the result.
    Raises FileReadError for missing data, OptionError for an unknown pair or method.
    """
    names, known = _methods(methods), METHODS | NETWORK_METHODS
    images = read_pairs(data, pairs)
    need = PATCH_PIXELS + 2 * max(radii)
    used = tuple(n for n, pair in images.items() if min(pair[0].shape[:2]) >= need)
    errors: dict[tuple[str, int, str], list[float]] = defaultdict(list)
    seconds: dict[tuple[str, int, str], list[float]] = defaultdict(list)
    still: dict[tuple[int, str], list[float]] = defaultdict(list)
    for count, pair in enumerate(used, start=1):
        # Seeded by the pair's name too, so that a choice of pairs does not change the patches.
        random = np.random.default_rng([seed, *pair.encode()])
        for radius in radii:
            for _ in range(patches):
                case = make_patch_pair(pair, images[pair], radius, random)
                still[radius, pair].append(corner_error(np.eye(3), case.truth))
                for name in names:
                    start = time.perf_counter()
                    matrix = known[name](case.reference, case.moving)
                    seconds[name, radius, pair].append(time.perf_counter() - start)
                    errors[name, radius, pair].append(corner_error(matrix, case.truth))
        if progress is not None:
            progress(count / len(used))
    return AlignmentResult(
        scores=tuple(_scores(names, radii, used, errors, still, seconds)),
        pairs=used,
        skipped=tuple(n for n in images if n not in used),
        patches_per_pair=patches,
        seed=seed,
        errors={key: tuple(values) for key, values in errors.items()},
    )

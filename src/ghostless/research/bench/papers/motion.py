"""Homographies: corners whose motion is known, and bitmaps of hand-held brackets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from ....align import AlignSettings, align_pair
from ....align.homography_net import (
    HomographyNetSettings,
    answer_of,
    bitmaps_that_differ,
    load,
)
from ....bracket import Frame
from ..alignment import PATCH_PIXELS, corner_error, make_patch_pair
from .place import Place, counted
from .printed import PrintedTable
from .result import FoundRow, FoundTable, Value

Matrix = NDArray[np.float64]
Aligner = Callable[[Frame, Frame], Matrix | None]
_RADIUS_PIXELS = 32
_PATCHES = 5
_HIT_PIXELS = 2.0
# What counts as a success on photos whose motion nobody knows.
_LEAST_GAIN, _FEW = 0.02, 0.01


def aligners(place: Place) -> dict[str, Aligner]:
    """What a table's rows name: each says where the first frame's pixels lie in the second."""
    default = HomographyNetSettings(device=place.settings.device)
    once, often = load(replace(default, mirrored=False)), load(default)

    def by_bitmaps(reference: Frame, moving: Frame) -> Matrix:
        greys = [cv2.cvtColor(frame.pixels, cv2.COLOR_RGB2GRAY) for frame in (reference, moving)]
        right, down = cv2.createAlignMTB().calculateShift(*greys)
        # OpenCV tells how to shift the second one onto the first.
        return np.array([[1, 0, -right], [0, 1, -down], [0, 0, 1]], np.float64)

    return {
        "identity": lambda reference, moving: np.eye(3),
        "mtb": by_bitmaps,
        "network": lambda reference, moving: answer_of(once, reference, moving, passes=1),
        "network, by default": lambda reference, moving: answer_of(
            often, reference, moving, default.passes
        ),
        "ghostless": lambda reference, moving: (
            align_pair(reference, moving, AlignSettings()).matrix
        ),
    }


def corners_of_known_motion(table: PrintedTable, place: Place) -> FoundTable:
    """Corner errors and bitmaps on patches of still pairs that were moved."""
    known = aligners(place)
    errors: dict[str, list[float]] = {row.method: [] for row in table.rows}
    shares: dict[str, list[float]] = {row.method: [] for row in table.rows}
    need = PATCH_PIXELS + 2 * _RADIUS_PIXELS
    used = 0
    for scene in place.scenes(table):
        photos = place.photos(scene)
        if min(photos[0].shape[:2]) < need:
            continue
        used += 1
        random = np.random.default_rng([place.settings.seed, *scene.name.encode()])
        for _ in range(_PATCHES):
            pair = (photos[0], photos[-1])
            case = make_patch_pair(scene.name, pair, _RADIUS_PIXELS, random)
            for row in table.rows:
                matrix = known[row.method](case.reference, case.moving)
                matrix = np.eye(3) if matrix is None else matrix
                errors[row.method].append(corner_error(matrix, case.truth))
                differ = bitmaps_that_differ(case.reference, case.moving, matrix)
                shares[row.method].append(100 * differ[1])
    rows = []
    for row in table.rows:
        found, seed = np.array(errors[row.method]), place.settings.seed
        values = {
            "median_pixels": Value(float(np.median(found))),
            "under_2_pixels_percent": Value.of(list(100.0 * (found < _HIT_PIXELS)), seed),
            "xor_percent": Value.of(shares[row.method], seed),
        }
        here = {name: value for name, value in values.items() if value is not None}
        rows.append(FoundRow(row.name, here, row.printed))
    differs = (f"{counted(used, 'scene')}, {_PATCHES} patches of each.", _about_network())
    return FoundTable(table, tuple(rows), differs)


def bitmaps_of_brackets(table: PrintedTable, place: Place) -> FoundTable:
    """How many bits differ after alignment, and how often an answer is a success."""
    known = aligners(place)
    scenes = place.scenes(table)
    shares: dict[str, list[float]] = {row.method: [] for row in table.rows}
    hits: dict[str, list[float]] = {row.method: [] for row in table.rows}
    pairs = 0
    for scene in scenes:
        frames = [Frame(photo) for photo in place.photos(scene)]
        for brighter in frames[1:]:
            pairs += 1
            for row in table.rows:
                matrix = known[row.method](frames[0], brighter)
                answer = np.eye(3) if matrix is None else matrix
                before, after, _ = bitmaps_that_differ(frames[0], brighter, answer)
                shares[row.method].append(100 * after)
                good = after < max(before * (1 - _LEAST_GAIN), _FEW)
                hits[row.method].append(100.0 * bool(good and matrix is not None))
    rows = []
    for row in table.rows:
        seed = place.settings.seed
        values = {
            "xor_percent": Value.of(shares[row.method], seed),
            "success_percent": Value.of(hits[row.method], seed),
        }
        here = {name: value for name, value in values.items() if value is not None}
        rows.append(FoundRow(row.name, here, row.printed))
    differs = (
        f"{pairs} pairs of {len(scenes)} brackets, the darkest photo with each of the others.",
        _about_network(),
    )
    return FoundTable(table, tuple(rows), differs)


def _about_network() -> str:
    from ....nn.weights import read_info, shipped_path

    info = read_info(shipped_path("chen-chuang-homography"))
    width = info.architecture.get("base_channels")
    return (
        f"Our homography network is {width} channels wide at its first layers, the paper's 64, and "
        f"learnt for {int(info.recipe.get('step', 0)):,} steps; it looks once, as the paper's."
    )

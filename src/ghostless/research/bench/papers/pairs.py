"""Other photos of the same scenes: more than two, other exposures, and unaligned ones."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ....align import AlignSettings, align_bracket
from ....bracket import Bracket, Frame
from ...data.scenes import Scene
from ...metrics import Images, score
from ...metrics.table import METRICS
from .place import Place, counted
from .printed import PrintedTable
from .result import FoundRow, FoundTable, Value

_PHOTOS = 5
Bytes = NDArray[np.uint8]


def more_inputs(table: PrintedTable, place: Place) -> FoundTable:
    """Two to five photos of a scene, fused in turn, the darkest and the brightest among them."""
    scenes = place.scenes(table, least=_PHOTOS)
    rows = []
    for count in range(2, _PHOTOS + 1):
        found = []
        for scene in scenes:
            photos = place.photos(scene)
            chosen = [photos[i] for i in spread(len(photos), count)]
            fused = place.fuse(chosen, order="sequential")
            found.append(_scores(table, fused, photos, place.label_picture(scene)))
        rows.append(_row(table, place, f"{count} photos", found))
    differs = (
        f"{_of(scenes)}; of more than two photos each next one is fused with the result so far.",
        place.about_weights(),
    )
    return FoundTable(table, tuple(rows), differs)


def any_two(table: PrintedTable, place: Place) -> FoundTable:
    """Every two of five photos of a scene, or each of the dark ones with each of the bright."""
    scenes = place.scenes(table, least=_PHOTOS)
    pairs = [
        (dark, bright)
        for dark, bright in combinations(range(_PHOTOS), 2)
        if not table.dark or dark < table.dark <= bright
    ]
    rows = []
    for dark, bright in pairs:
        found = []
        for scene in scenes:
            photos = place.photos(scene)
            five = [photos[i] for i in spread(len(photos), _PHOTOS)]
            fused = place.fuse([five[dark], five[bright]])
            found.append(_scores(table, fused, five, place.label_picture(scene)))
        rows.append(_row(table, place, f"({dark + 1}) with ({bright + 1})", found))
    return FoundTable(table, tuple(rows), (f"{_of(scenes)}.", place.about_weights()))


def unaligned(table: PrintedTable, place: Place) -> FoundTable:
    """The darkest and the brightest photo as they are, and aligned either way."""
    scenes = place.scenes(table)
    ways = {
        "as they are": None,
        "over-exposed to under-exposed": 0,
        "under-exposed to over-exposed": 1,
    }
    rows = []
    for name, reference in ways.items():
        found = []
        for scene in scenes:
            photos = place.photos(scene)
            pair = [photos[0], photos[-1]]
            lying = pair if reference is None else _aligned(pair, reference)
            judged = _aligned(pair, 0) if reference is None else lying
            found.append(_scores(table, place.fuse(lying), judged, None))
        rows.append(_row(table, place, name, found))
    return FoundTable(table, tuple(rows), (f"{_of(scenes)}.", place.about_weights()))


def spread(there: int, wanted: int) -> list[int]:
    """Indices of so many of the photos, the first and the last among them.

    >>> spread(7, 5), spread(5, 2)
    ([0, 2, 3, 4, 6], [0, 4])
    """
    return [round(i * (there - 1) / (wanted - 1)) for i in range(wanted)]


def _aligned(pair: list[Bytes], reference: int) -> list[Bytes]:
    bracket = Bracket(tuple(Frame(photo, stops=float(i)) for i, photo in enumerate(pair)))
    stack = align_bracket(bracket, AlignSettings(model="flow"), reference)
    return [np.asarray(frame.pixels, np.uint8) for frame in stack.frames]


def _scores(
    table: PrintedTable, fused: Bytes, sources: list[Bytes], truth: Bytes | None
) -> dict[str, float]:
    images = Images(fused, tuple(sources), truth=truth)
    return score(images, [m for m in table.metrics if METRICS[m].applies_to(images)], threads=1)


def _row(table: PrintedTable, place: Place, name: str, found: list[dict[str, float]]) -> FoundRow:
    values = {}
    for metric in table.metrics:
        known = [entry[metric] for entry in found if metric in entry]
        mean = Value.of(known, place.settings.seed)
        if mean is not None:
            values[metric] = mean
    return FoundRow(name, values)


def _of(scenes: list[Scene]) -> str:
    return counted(len(scenes), "scene")

"""The order in which photos were taken, and what tells two neighbours apart."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Final, TypeVar

from ..io.photo_files import natural_key
from ..io.placing import nearly_one_size

# From here on cameras may take a second exposure, in the dark, to subtract its noise.
_NOISE_REDUCTION_SECONDS: Final = 1.0
_SAME_FOCAL_LENGTH: Final = 0.05
_HALF_OF_COUNTER: Final = 5000  # after 9999 cameras go on with 1
# By how much more light than metadata tell pixels may show before another light is at work (a
# flash, a lamp): they are of two brackets. What cameras' curves add goes with the difference.
_OTHER_LIGHT_STOPS: Final = 1.0
_OTHER_LIGHT_SHARE: Final = 0.5
# A photo whose own light is another is so beside photos that were taken within such a time.
_BESIDE_SECONDS: Final = 10.0
# Likeness (likeness.py) from which on two photos show one scene, and below which they do not. Of 95
# neighbours in real brackets the least alike reach 0.77 (the next but one 0.86); of 1,225 pairs of
# different scenes 1 % exceed 0.68, landscapes under a bright sky.
ALIKE: Final = 0.76
UNLIKE: Final = 0.64


@dataclass(frozen=True)
class Photo:
    """What grouping needs to know of one photo; None (0 for sizes) where it cannot be told.

    name: path below the shoot's folder, with slashes.
    stops: exposure of shutter, ISO and aperture together (`exposure.stops_from_metadata`).
    start_seconds: when the exposure began, on any clock that the photos share.
    camera: model and serial number, so that two bodies of one model are told apart.
    width, height: upright by the photo's own orientation tag.
    turned: whether that tag turns it by a quarter.
    problem: why the file cannot be read, for one that is a damaged photo.
    flash: whether a flash fired.
    """

    name: str
    stops: float | None = None
    start_seconds: float | None = None
    shutter_seconds: float | None = None
    camera: str | None = None
    lens: str | None = None
    focal_length_mm: float | None = None
    width: int = 0
    height: int = 0
    turned: bool = False
    problem: str | None = None
    flash: bool | None = None

    @property
    def folder(self) -> str:
        return str(PurePosixPath(self.name).parent)


@dataclass(frozen=True)
class Evidence:
    """What the pixels of two photos that follow each other say; None where they say nothing.

    likeness: near 1 for one scene at any two exposures, near 0 for two scenes.
    stops: how much more light the second has. doubt: by how many stops that may be wrong.
    """

    likeness: float | None = None
    stops: float | None = None
    doubt: float = 0.0


Pair = tuple[str, str]
Pixels = Mapping[Pair, Evidence]


T = TypeVar("T")


def in_order(photos: Iterable[Photo]) -> list[list[Photo]]:
    """Sort photos into rows, one per folder and camera, in the order in which they were taken.

    Photos that a flash lit are a row of their own: they show other light, wherever in a series they
    were taken.
    Photos that do not tell their time or camera take their place by name, after the one before:
    cameras count. Rows, and photos taken within one second, are in the natural order of names.
    """
    series: dict[tuple[str, str], list[Photo]] = defaultdict(list)
    for photo in sorted(photos, key=lambda photo: natural_key(photo.name)):
        stem = PurePosixPath(photo.name).stem
        series[photo.folder, re.sub(r"\d+$", "", stem).casefold()].append(photo)
    rows: dict[tuple[str, str, bool], list[tuple[float, Photo]]] = defaultdict(list)
    for (folder, _), same_prefix in series.items():
        times = _filled([photo.start_seconds for photo in same_prefix])
        cameras = _filled([photo.camera for photo in same_prefix])
        for photo, time, camera in zip(same_prefix, times, cameras, strict=True):
            row = rows[folder, camera or "", bool(photo.flash)]
            row.append((-math.inf if time is None else time, photo))
    ordered = []
    for row in rows.values():
        ends = _counters_at_their_end(row)
        row.sort(
            key=lambda item: (
                item[0],
                item[0] in ends and _number(item[1]) < _HALF_OF_COUNTER,
                natural_key(item[1].name),
            )
        )
        ordered.append([photo for _, photo in row])
    return sorted(ordered, key=lambda row: natural_key(row[0].name))


def _counters_at_their_end(row: Sequence[tuple[float, Photo]]) -> frozenset[float]:
    """Seconds in which a camera's counter went from 9999 to 1."""
    numbers: dict[float, list[int]] = defaultdict(list)
    for time, photo in row:
        numbers[time].append(_number(photo))
    return frozenset(
        time for time, seen in numbers.items() if max(seen) - min(seen) > _HALF_OF_COUNTER
    )


def _number(photo: Photo) -> int:
    digits = re.search(r"(\d{1,9})$", PurePosixPath(photo.name).stem)
    return int(digits[1]) if digits else 0


def _filled(values: Sequence[T | None]) -> list[T | None]:
    """Fill gaps with the value before, and those at the beginning with the first one known."""
    last = next((value for value in values if value is not None), None)
    filled: list[T | None] = []
    for value in values:
        last = last if value is None else value
        filled.append(last)
    return filled


def idle_seconds(first: Photo, second: Photo) -> float | None:
    """Time between the end of one exposure and the beginning of the next; None if untold.

    Cameras stamp the beginning of an exposure, some its end: the shorter reading counts. After a
    long exposure the camera may have taken another as long to subtract its noise; that is not idle.
    """
    if first.start_seconds is None or second.start_seconds is None:
        return None
    between = second.start_seconds - first.start_seconds
    exposed = first.shutter_seconds or 0.0
    idle = between - exposed
    if exposed >= _NOISE_REDUCTION_SECONDS and idle >= exposed:
        idle -= exposed
    return max(0.0, min(idle, between - (second.shutter_seconds or 0.0)))


def differ(first: Photo, second: Photo) -> bool:
    """Whether facts that both photos tell rule out that they are of one bracket."""
    if first.width and second.width and not _same_size(first, second):
        return True
    if first.lens and second.lens and first.lens != second.lens:
        return True
    a, b = first.focal_length_mm, second.focal_length_mm
    return bool(a and b and abs(a - b) > _SAME_FOCAL_LENGTH * max(a, b))


def _same_size(first: Photo, second: Photo) -> bool:
    """Whether two photos are of one size but for their edges (`io.placing`), upright or as stored.

    As stored, for tags may be wrong (`io.turns`).
    """
    upright, other = (first.width, first.height), (second.width, second.height)
    return nearly_one_size(upright, other) or (
        first.turned != second.turned and nearly_one_size(upright, other[::-1])
    )


def surplus_stops(first: Photo, second: Photo, seen: Evidence) -> float:
    """Stops by which the second is brighter than its exposure tells; 0 where that may be chance."""
    if seen.stops is None or first.stops is None or second.stops is None:
        return 0.0
    surplus = seen.stops - (second.stops - first.stops)
    chance = _OTHER_LIGHT_STOPS + _OTHER_LIGHT_SHARE * abs(seen.stops) + 2 * seen.doubt
    return surplus if abs(surplus) > chance else 0.0


def lit_photos(photos: Iterable[Photo], pixels: Pixels) -> list[str]:
    """Names of photos that are brighter than they tell beside all neighbours: by a flash, mostly.

    Not all flashes are told of by the camera. Photos that were taken within some seconds count, and
    all of them must have been compared.
    """
    found = []
    for row in in_order(photos):
        surplus: list[list[float]] = [[] for _ in row]
        for place, (first, second) in enumerate(pairwise(row)):
            seen = pixels.get((first.name, second.name))
            idle = idle_seconds(first, second)
            if idle is None or idle > _BESIDE_SECONDS:
                continue
            stops = 0.0 if seen is None else surplus_stops(first, second, seen)
            surplus[place].append(-stops)
            surplus[place + 1].append(stops)
        found += [
            photo.name
            for photo, values in zip(row, surplus, strict=True)
            if values and min(values) > 0 and not photo.flash
        ]
    return found

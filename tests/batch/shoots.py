"""Photographers' days as records: photos with their facts, and which of them belong together."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ghostless.batch.grouping import Group, group_photos, open_questions
from ghostless.batch.order import Evidence, Pair, Photo
from ghostless.batch.segments import GroupSettings

OUTWARDS_5 = (0.0, -1.0, 1.0, -2.0, 2.0)
THREE = (-2.0, 0.0, 2.0)
# What cameras write for the time 2^-n seconds: true stops are a little off.
NOMINAL = {
    2**n: d
    for n, d in ((3, 8), (4, 15), (5, 30), (6, 60), (7, 125), (8, 250), (9, 500), (10, 1000))
}


@dataclass
class Shoot:
    """A row of photos in the making; `truth` holds the names of each bracket and single shot."""

    photos: list[Photo] = field(default_factory=list)
    truth: list[tuple[str, ...]] = field(default_factory=list)
    scenes: dict[str, int] = field(default_factory=dict)
    clock: float = 1_000_000.0
    number: int = 1
    folder: str = ""
    prefix: str = "IMG_"
    facts: dict[str, object] = field(default_factory=dict)
    scene: int = 0

    def wait(self, seconds: float) -> Shoot:
        self.clock += seconds
        return self

    def _take(self, stops: float, pause: float) -> str:
        shutter = 2.0 ** (stops - 7)
        nominal = NOMINAL.get(round(1 / shutter)) if shutter < 0.3 else None
        shutter = 1 / nominal if nominal else shutter
        name = f"{self.folder}{self.prefix}{self.number:04d}.jpg"
        photo = Photo(
            name,
            stops=math.log2(shutter),
            start_seconds=float(math.floor(self.clock)),
            shutter_seconds=shutter,
            camera="Camera",
            width=6000,
            height=4000,
        )
        self.photos.append(replace(photo, **self.facts))  # type: ignore[arg-type]
        self.scenes[name] = self.scene
        self.number += 1
        self.clock += shutter + pause
        return name

    def bracket(
        self,
        offsets: Sequence[float] = THREE,
        base: float = 0.0,
        pause: float = 0.3,
        *,
        same_scene: bool = False,
        apart: bool = False,
    ) -> Shoot:
        """Take a series; `apart`: its photos belong to no series, each is a single shot."""
        self.scene += not same_scene
        names = tuple(self._take(base + offset, pause) for offset in offsets)
        self.truth += [(name,) for name in names] if apart else [names]
        return self

    def single(self, stops: float = 0.0, pause: float = 0.3) -> Shoot:
        return self.bracket((stops,), pause=pause)

    def change(self, condition: Callable[[Photo], bool], **facts: object) -> Shoot:
        """Change facts of some photos, for what was lost or is damaged."""
        self.photos = [
            replace(photo, **facts) if condition(photo) else photo  # type: ignore[arg-type]
            for photo in self.photos
        ]
        return self

    def look(self, pair: Pair) -> Evidence:
        """What the pixels of two photos would say."""
        first, second = (self.scenes[name] for name in pair)
        original = {photo.name: photo.stops for photo in self.photos}
        a, b = original[pair[0]], original[pair[1]]
        return Evidence(0.97 if first == second else 0.2, None if a is None or b is None else b - a)


NOTHING_TOLD = {"stops": None, "start_seconds": None, "shutter_seconds": None, "camera": None}


def without_metadata(shoot: Shoot, share: float, seed: int = 0) -> list[Photo]:
    """The shoot's photos, a share of which has lost its metadata."""
    random = np.random.default_rng(seed)
    return [
        replace(photo, **NOTHING_TOLD) if random.random() < share else photo  # type: ignore[arg-type]
        for photo in shoot.photos
    ]


def grouped(
    shoot: Shoot,
    settings: GroupSettings | None = None,
    photos: Sequence[Photo] | None = None,
    *,
    look: bool = False,
) -> list[Group]:
    """Group a shoot's photos; `look`: with the pixels at hand."""
    settings = settings or GroupSettings()
    photos = shoot.photos if photos is None else photos
    pixels: dict[Pair, Evidence] = {}
    while look and (pairs := open_questions(photos, settings, pixels)):
        pixels |= {pair: shoot.look(pair) for pair in pairs}
    return group_photos(photos, settings, pixels)


def names(groups: Sequence[Group]) -> list[tuple[str, ...]]:
    return [tuple(photo.name for photo in group.photos) for group in groups]

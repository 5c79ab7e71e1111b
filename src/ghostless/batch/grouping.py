"""Which photos make a bracket: pure functions on what the photos' files say.

Photos are brought into the order in which they were taken, camera by camera, and that order is cut
into segments: brackets, and single shots. Of all ways to cut it, the one of the least cost is
taken (dynamic programming). What a segment costs says what a bracket looks like:

1. its exposures differ, and come as cameras and people take them: outwards, in even steps, and in
   the pattern that other brackets of the same shoot have (`Vocabulary`);
2. its photos follow each other closely, counted from the *end* of each exposure;
3. camera, lens, focal length and size are the same;
4. where metadata are missing or the pattern is new, the pixels of its photos are alike. Those are
   not at hand here: `open_questions` tells which pairs of photos are worth looking at.

Costs are counted in segments: a cut costs 1, so something that speaks against a bracket of three
as much as having three single shots in its place has a price of 2.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from operator import itemgetter
from pathlib import PurePosixPath
from typing import Final, TypeVar

from ..bracket import MAX_FRAMES, MIN_FRAMES
from ..errors import OptionError
from ..io.photo_files import natural_key
from ..io.placing import nearly_one_size

# Exposures nearer than this are the same: nominal shutter times (1/60, 1/125) are up to 0.1 stop
# off their true values, and the smallest step of any camera's bracketing is 0.3.
SAME_STOPS: Final = 0.2
# The same for exposures that were estimated from pixels.
_SAME_STOPS_IN_PIXELS: Final = 0.35
# Where a bracket's exposure rises, an estimate of it does at least so much.
_ESTIMATED_RISE_STOPS: Final = 0.15
# Offsets of two brackets of one pattern differ by rounding alone: twice 0.1, and room.
_PATTERN_TOLERANCE_STOPS: Final = 0.25
_EVEN_STEPS_TOLERANCE_STOPS: Final = 0.35
# Times are mostly whole seconds, and a bracketing camera takes two photos a second or more.
_QUICK_SECONDS: Final = 2.0
# Every so many idle seconds between two photos speak against a bracket like one cut does for it.
_SECONDS_PER_CUT: Final = 6.0
# From here on cameras may take a second exposure, in the dark, to subtract its noise.
_NOISE_REDUCTION_SECONDS: Final = 1.0
_SAME_FOCAL_LENGTH: Final = 0.05
_HALF_OF_COUNTER: Final = 5000  # after 9999 cameras go on with 1
# The longest series that cameras take by themselves.
_USUAL_MOST_FRAMES: Final = 9

_KNOWN_PATTERN_COST: Final = 0.6
_INTERRUPTED_COST: Final = 1.2
_ALIKE_COST: Final = 1.2  # of no known pattern, but of one scene
_NEW_PATTERN_COST: Final = 1.5
_PAIR_COST: Final = 0.6  # two photos of different exposure are no pattern yet
_UNTOLD_COST: Final = 0.9  # for each gap between photos that only stand beside each other
_GUESS_COST: Final = 1.05  # the same where nothing at all speaks for any of them
_UNEVEN_COST: Final = 1.0
_UNUSUAL_ORDER_COST: Final = 1.2
_UNLIKE_COST: Final = 3.0
_TURNED_COST: Final = 0.6  # one upright, the other not, by their tags
# Photos far apart in exposure share few pixels that are neither black nor white: from here on their
# looking unlike counts less, down to this share.
_COMPARABLE_STOPS: Final = 2.0
_UNCERTAIN_SHARE_PER_STOP: Final = 0.35
_LEAST_CERTAINTY: Final = 0.3
# By how much more light than metadata tell pixels may show before another light is at work (a
# flash, a lamp): they are of two brackets. What cameras' curves add goes with the difference.
_OTHER_LIGHT_STOPS: Final = 1.0
_OTHER_LIGHT_SHARE: Final = 0.5
_OTHER_LIGHT_COST: Final = 2.0
# A photo whose own light is another is so beside photos that were taken within such a time.
_BESIDE_SECONDS: Final = 10.0
# How many of the brackets of an unusual pattern are looked at, whether it is one.
_SAMPLES: Final = 3
_REPEATED_COST: Final = 1.5
# Exposures that metadata tell to be equal, in a set of no known pattern, and of a known one.
_EQUAL_COST: Final = 0.6
_EQUAL_IN_PATTERN_COST: Final = 0.2
# A set stands apart if the pauses around it are so much longer than those within, and so long.
_APART_RATIO: Final = 2.5
_APART_SECONDS: Final = 2.5
# What is slow, or of an unusual order, in a set that stands apart counts by so much.
_SLOW_SHARE: Final = 0.4
_UNUSUAL_SHARE: Final = 0.15
# Of how many stops' difference a pattern of two photos, or one with equal exposures, must be.
_CLEAR_STOPS: Final = 0.9
_MOST_OF_ROW: Final = 0.8
# Two photos that differ by less are no bracket of two: a burst's exposures drift so.
_DRIFT_STOPS: Final = 0.5
_PATTERN_PRICE: Final = 0.7  # of believing in a pattern at all
_MOST_PATTERNS: Final = 8
# Two photos of different exposures happen by chance; a pattern takes three, or pauses around it.
_SHORTEST_PATTERN: Final = 3
# Gaps that together cost more than this leave a doubt that only pixels settle.
_DOUBTFUL_GAPS: Final = 0.5
# A segment that would raise the cost of the whole row by no more than this might be true as well.
_CLOSE_CALL: Final = 0.4
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


@dataclass(frozen=True)
class GroupSettings:
    """How photos are grouped.

    size: how many photos each bracket has; None to find out.
    max_gap_seconds: idle time between two photos that no bracket has, whatever else it looks like.
    """

    size: int | None = None
    max_gap_seconds: float = 60.0

    def __post_init__(self) -> None:
        if self.size is not None and not MIN_FRAMES <= self.size <= MAX_FRAMES:
            raise OptionError(
                f"size: expected {MIN_FRAMES} to {MAX_FRAMES} photos in a bracket, "
                f"found {self.size}"
            )
        if not (math.isfinite(self.max_gap_seconds) and self.max_gap_seconds > 0):
            raise OptionError(f"max gap: expected seconds above 0, found {self.max_gap_seconds}")


@dataclass(frozen=True)
class Group:
    """Photos that belong together, in the order taken; one photo is a single shot.

    note: what is unusual about it, in plain words; "" for nothing.
    """

    photos: tuple[Photo, ...]
    note: str = ""

    @property
    def is_bracket(self) -> bool:
        return len(self.photos) >= MIN_FRAMES


def group_photos(
    photos: Iterable[Photo], settings: GroupSettings = GroupSettings(), pixels: Pixels | None = None
) -> list[Group]:
    """Group photos into brackets and single shots; every photo is in exactly one group.

    pixels: evidence for pairs of names, as far as it has been gathered.
    """
    return [
        group
        for row in in_order(photos)
        for group in _Row(row, settings, pixels or {}).solve().groups()
    ]


def open_questions(
    photos: Iterable[Photo], settings: GroupSettings = GroupSettings(), pixels: Pixels | None = None
) -> list[Pair]:
    """Pairs of photos whose pixels would help to group them, and are not in `pixels` yet.

    Gather them and ask again, until none is left: looking at one pair may raise the next.
    """
    known = pixels or {}
    return [
        pair
        for row in in_order(photos)
        for pair in _Row(row, settings, known).solve().doubts()
        if pair not in known
    ]


T = TypeVar("T")

# --- order ---------------------------------------------------------------------------------------


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


def _differ(first: Photo, second: Photo) -> bool:
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


def _surplus(first: Photo, second: Photo, seen: Evidence) -> float:
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
            stops = 0.0 if seen is None else _surplus(first, second, seen)
            surplus[place].append(-stops)
            surplus[place + 1].append(stops)
        found += [
            photo.name
            for photo, values in zip(row, surplus, strict=True)
            if values and min(values) > 0 and not photo.flash
        ]
    return found


# --- patterns ------------------------------------------------------------------------------------

Offsets = tuple[float, ...]


@dataclass(frozen=True)
class Vocabulary:
    """Patterns of exposure that several brackets of a row have.

    patterns: stops of each photo against the first, in the order taken: (0, -2, +2).
    """

    patterns: tuple[Offsets, ...] = ()

    def match(
        self, stops: Sequence[float | None], estimated: Sequence[float] | None = None
    ) -> bool:
        """Whether photos have a known pattern; a stop that is not told fits any.

        estimated: stops from pixels where none are told, which tell the order at least.
        """
        return any(
            len(pattern) == len(stops)
            and _fits(stops, pattern)
            and (estimated is None or _same_order(estimated, pattern))
            for pattern in self.patterns
        )

    def longer(self, stops: Sequence[float | None]) -> Offsets | None:
        """The pattern of which these photos are a part, in order; None if there is none."""
        if any(value is None for value in stops):
            return None
        for pattern in self.patterns:
            if len(pattern) > len(stops) and _is_part(stops, pattern):
                return pattern
        return None


def _fits(stops: Sequence[float | None], pattern: Sequence[float]) -> bool:
    told = [
        (value, offset) for value, offset in zip(stops, pattern, strict=True) if value is not None
    ]
    if not told:
        return False
    bases = [value - offset for value, offset in told]
    return max(bases) - min(bases) <= _PATTERN_TOLERANCE_STOPS


def _same_order(estimated: Sequence[float], pattern: Offsets) -> bool:
    """Whether estimated exposures rise and fall as a pattern does."""
    places = range(len(pattern))
    return all(
        estimated[j] - estimated[i] > _ESTIMATED_RISE_STOPS
        for i in places
        for j in places
        if pattern[j] - pattern[i] > 2 * _SAME_STOPS_IN_PIXELS
    )


def _is_part(stops: Sequence[float | None], pattern: Offsets) -> bool:
    """Whether stops are some of a pattern's, in its order, at any base exposure."""
    for anchor in pattern:
        base = (stops[0] or 0.0) - anchor
        place = 0
        for offset in pattern:
            value = stops[place] or 0.0
            if abs(value - base - offset) <= _PATTERN_TOLERANCE_STOPS:
                place += 1
                if place == len(stops):
                    return True
    return False


def goes_outwards(stops: Sequence[float], tolerance: float = 0.0) -> bool:
    """Whether every exposure lies outside of all before it, as series of cameras do.

    >>> goes_outwards([0, -1, 1, -2, 2]), goes_outwards([-2, 0, 2]), goes_outwards([0, 2, 1])
    (True, True, False)
    """
    low = high = stops[0]
    for value in stops[1:]:
        if low - tolerance < value < high + tolerance:
            return False
        low, high = min(low, value), max(high, value)
    return True


def has_even_steps(stops: Sequence[float]) -> bool:
    """Whether the exposures, sorted, lie equally far apart."""
    values = sorted(stops)
    steps = [b - a for a, b in pairwise(values)]
    return max(steps) - min(steps) <= _EVEN_STEPS_TOLERANCE_STOPS


def starts_anew(stops: Sequence[float]) -> bool:
    """Whether exposures are those of a series and of the same one, or a part of it, once more.

    >>> starts_anew([0, -2, 2, 0, -2, 2]), starts_anew([0, -2, 0, -2, 2]), starts_anew([0, 1, 1, 2])
    (True, True, False)
    """
    for second in range(2, len(stops) - 1):
        pairs = list(zip(stops, stops[second:], strict=False))[:second]
        if all(abs(a - b) < SAME_STOPS for a, b in pairs):
            return True
    if _goes_one_way(stops):
        return False
    # Whole series of one pattern, whatever their base exposures are.
    return any(
        len(stops) % size == 0
        and all(
            _fits(stops[start : start + size], [value - stops[0] for value in stops[:size]])
            for start in range(size, len(stops), size)
        )
        for size in range(_SHORTEST_PATTERN, len(stops) // 2 + 1)
    )


def _goes_one_way(stops: Sequence[float]) -> bool:
    steps = [b - a for a, b in pairwise(stops) if abs(b - a) >= SAME_STOPS]
    return all(step > 0 for step in steps) or all(step < 0 for step in steps)


def equal_count(stops: Sequence[float]) -> int:
    """How many photos have the exposure of one before them.

    >>> equal_count([0, 1, 1, 2, 0])
    2
    """
    return sum(
        any(abs(value - other) < SAME_STOPS for other in stops[:place])
        for place, value in enumerate(stops)
    )


def _may_be_a_set(stops: Sequence[float]) -> bool:
    """Whether exposures, some of them equal, may still be those of one set.

    People who set the aperture by hand, and cameras at the end of their range, take some twice; a
    burst takes all at nearly one.
    """
    different = len(stops) - equal_count(stops)
    return (
        different >= max(3, len(stops) / 2)
        and max(stops) - min(stops) >= _CLEAR_STOPS
        and not starts_anew(stops)
    )


# --- one row of photos ---------------------------------------------------------------------------


@dataclass(frozen=True)
class _Segment:
    """Photos `start` to `stop` of a row, and what speaks for and against them as a bracket.

    stops: as told by metadata. estimated: the same with gaps filled from the pixels; None where
        all are told, or some cannot be estimated.
    between: what the gaps between its photos cost. cost: what is unusual about its exposures, but
        for what depends on the vocabulary.
    certain: whether metadata tell the exposure and the time of all.
    alike: whether the pixels say that all show one scene.
    damaged: whether a file of it cannot be read.
    apart: whether it stands apart from the photos around it, by time.
    equal: how many of its photos have, by metadata, the exposure of one before.
    """

    start: int
    stop: int
    stops: tuple[float | None, ...]
    estimated: tuple[float, ...] | None
    between: float
    cost: float
    certain: bool
    alike: bool
    damaged: bool
    apart: bool
    equal: int


# What each segment costs in all, by its first photo.
_Totals = list[list[float]]


@dataclass
class _Row:
    """Photos of one camera in order, to be cut."""

    photos: Sequence[Photo]
    settings: GroupSettings
    pixels: Pixels
    vocabulary: Vocabulary = field(default_factory=Vocabulary)
    idle: list[float | None] = field(default_factory=list)
    gaps: list[tuple[float, float] | None] = field(default_factory=list)
    segments: list[list[_Segment]] = field(default_factory=list)
    cuts: list[_Segment] = field(default_factory=list)
    totals: _Totals = field(default_factory=list)

    def solve(self) -> _Row:
        """Cut the row; patterns are taken into the vocabulary as long as they lower the cost."""
        self.idle = [idle_seconds(first, second) for first, second in pairwise(self.photos)]
        self.gaps = [self._gap_cost(index) for index in range(len(self.photos) - 1)]
        self.segments = [self._segments_from(start) for start in range(len(self.photos))]
        candidates = self._candidates() if self.settings.size is None else []
        for pattern in candidates:
            self._add_segments(pattern)
        self.totals = [[self._total(segment) for segment in some] for some in self.segments]
        best, self.cuts = self._cut(self.totals)
        concerned = {pattern: self._concerned(pattern) for pattern in candidates}
        while len(self.vocabulary.patterns) < _MOST_PATTERNS:
            trials: list[tuple[float, int, Vocabulary, list[_Segment], _Totals]] = []
            before = self.vocabulary
            for pattern in candidates:
                if pattern in before.patterns:
                    continue
                self.vocabulary = Vocabulary((*before.patterns, pattern))
                totals = self._totals_with(concerned[pattern])
                cost, cuts = self._cut(totals)
                cost += _PATTERN_PRICE * len(self.vocabulary.patterns)
                trials.append((cost, len(trials), self.vocabulary, cuts, totals))
            self.vocabulary = before
            if not trials or min(trials)[0] >= best - 1e-9:
                break
            best, _, self.vocabulary, self.cuts, self.totals = min(trials)
        return self

    def _concerned(self, pattern: Offsets) -> list[tuple[int, int]]:
        """Places of the segments whose costs another pattern can change."""
        alone = Vocabulary((pattern,))
        return [
            (start, place)
            for start, segments in enumerate(self.segments)
            for place, segment in enumerate(segments)
            if alone.match(segment.stops, segment.estimated)
            or alone.longer(segment.stops) is not None
        ]

    def _totals_with(self, concerned: Sequence[tuple[int, int]]) -> _Totals:
        """The costs of all segments, of those concerned anew by the vocabulary."""
        totals = list(self.totals)
        for start, place in concerned:
            if totals[start] is self.totals[start]:
                totals[start] = list(totals[start])
            totals[start][place] = self._total(self.segments[start][place])
        return totals

    def groups(self) -> list[Group]:
        """The brackets and single shots that were found."""
        strangers = self._strangers()
        found = []
        for cut in self.cuts:
            notes = [self._note(cut), *strangers.get(cut.start, ())]
            photos = tuple(self.photos[cut.start : cut.stop])
            found.append(Group(photos, "; ".join(note for note in notes if note)))
        return found

    def _strangers(self) -> dict[int, list[str]]:
        """Remarks, by where a cut starts, on photos that only pixels keep out of a bracket."""
        seen = [self.pixels.get(self._pair(index)) for index in range(len(self.photos) - 1)]
        if all(evidence is None for evidence in seen):
            return {}
        remarks: dict[int, list[str]] = defaultdict(list)
        by_facts = {
            place: cut
            for cut in _Row(self.photos, self.settings, {}).solve().cuts
            for place in range(cut.start, cut.stop)
        }
        for before, after in pairwise(self.cuts):
            index = after.start - 1  # of the last photo before the cut between them
            together = by_facts[index] is by_facts[after.start]
            evidence = seen[index]
            if not together or evidence is None or 1 not in (_length(before), _length(after)):
                continue
            alone, bracket = (before, after) if _length(before) == 1 else (after, before)
            if _length(bracket) == 1:
                continue
            first, second = self.photos[index : index + 2]
            stranger, neighbour = (first, second) if alone is before else (second, first)
            if _surplus(first, second, evidence):
                why = "was taken in another light, by a flash maybe"
            elif evidence.likeness is not None and evidence.likeness < ALIKE:
                why = "shows something else"
            else:
                continue
            name = PurePosixPath(stranger.name).name
            beside = PurePosixPath(neighbour.name).name
            remarks[bracket.start].append(
                f"{name} beside it would fit by exposure and time, but {why}: left out"
            )
            remarks[alone.start].append(f"{why}; by exposure and time it would fit to {beside}")
        return remarks

    def doubts(self) -> list[Pair]:
        """Pairs of neighbours whose pixels could change the cuts."""
        wanted: set[int] = set()
        samples = self._samples() if self.settings.size is None else []
        doubtful = [*filter(self._is_doubtful, self.cuts), *samples]
        for segment in [*doubtful, *self._close_calls(), *self._new_sets_with_equals()]:
            first = segment.start if segment.certain else max(segment.start - 1, 0)
            last = segment.stop - 1 if segment.certain else min(segment.stop, len(self.photos) - 1)
            wanted.update(range(first, last))
        return [
            self._pair(index)
            for index in sorted(wanted)
            if not any(photo.problem for photo in self.photos[index : index + 2])
        ]

    def _is_doubtful(self, segment: _Segment) -> bool:
        if not segment.certain:
            return True
        if self.settings.size is not None or segment.stop - segment.start == 1:
            return False
        photos = self.photos[segment.start : segment.stop]
        if len({photo.turned for photo in photos}) > 1:
            return True
        return not self.vocabulary.match(segment.stops) or segment.between > _DOUBTFUL_GAPS

    def _is_unusual(self, segment: _Segment) -> bool:
        """Whether a bracket of a known pattern is not as cameras take them: it may be two things.

        A photo by flash after each bracket makes a pattern too.
        """
        stops = [value for value in segment.stops if value is not None]
        if segment.equal or (len(stops) > 2 and len(stops) % 2 == 0):
            return True
        idle = [seconds or 0.0 for seconds in self.idle[segment.start : segment.stop - 1]]
        if max(idle) - min(idle) > _QUICK_SECONDS or not goes_outwards(stops):
            return True
        return len(stops) > 2 and not has_even_steps(stops)

    def _samples(self) -> list[_Segment]:
        """Some brackets of each unusual pattern, or all where one turned out to be no bracket."""
        unusual = [
            cut
            for cut in self.cuts
            if cut.stop - cut.start > 1 and cut.certain and self._is_unusual(cut)
        ]
        doubted = any(
            _surplus(first, second, self.pixels.get((first.name, second.name), Evidence()))
            for first, second in pairwise(self.photos)
        )
        if doubted:
            return unusual
        seen: dict[tuple[int, ...], int] = defaultdict(int)
        samples = []
        for cut in unusual:
            key = tuple(round((value or 0.0) - (cut.stops[0] or 0.0)) for value in cut.stops)
            seen[key] += 1
            if seen[key] <= _SAMPLES:
                samples.append(cut)
        return samples

    def _close_calls(self) -> list[_Segment]:
        """Possible brackets that were not chosen by a hair's breadth."""
        ahead = self._costs_ahead(self.totals)
        behind = [math.inf] * (len(self.photos) + 1)
        behind[0] = 0.0
        costs: list[tuple[_Segment, float]] = []
        for segments, totals in zip(self.segments, self.totals, strict=True):
            for segment, total in zip(segments, totals, strict=True):
                cost = behind[segment.start] + total
                behind[segment.stop] = min(behind[segment.stop], cost)
                costs.append((segment, cost + ahead[segment.stop]))
        chosen = {(cut.start, cut.stop) for cut in self.cuts}
        return [
            segment
            for segment, cost in costs
            if cost <= ahead[0] + _CLOSE_CALL
            and segment.stop - segment.start > 1
            and (segment.start, segment.stop) not in chosen
        ]

    def _new_sets_with_equals(self) -> list[_Segment]:
        """Sets with equal exposures and of no known pattern, which only pixels make brackets."""
        return [
            segment
            for segments in self.segments
            for segment in segments
            if segment.equal and segment.apart and not self.vocabulary.match(segment.stops)
        ]

    def _pair(self, index: int) -> Pair:
        return self.photos[index].name, self.photos[index + 1].name

    def _note(self, cut: _Segment) -> str:
        count = cut.stop - cut.start
        if count == 1 and self.photos[cut.start].flash:
            return "lit by a flash, or in another light than the photos around it"
        if self.settings.size is not None:
            return "" if count > 1 else f"left over: no full set of {self.settings.size}"
        longer = None if count < MIN_FRAMES else self.vocabulary.longer(cut.stops)
        if longer is not None and not self.vocabulary.match(cut.stops):
            return f"interrupted series: {count} photos, others have {len(longer)}"
        return ""

    # What segments cost

    def _segments_from(self, start: int) -> list[_Segment]:
        """All segments that may begin at a photo, by length; they end where nothing can go on."""
        longest = self.settings.size or MAX_FRAMES
        found = [self._segment(start, start + 1, 0.0, 0.0)]
        slow = unlike = 0.0
        equal = 0
        for stop in range(start + 2, min(start + longest, len(self.photos)) + 1):
            gap = self.gaps[stop - 2]
            last = self.photos[stop - 1]
            if gap is None or any(_differ(photo, last) for photo in self.photos[start : stop - 1]):
                break
            slow, unlike = slow + gap[0], unlike + gap[1]
            if self.settings.size is not None:
                if stop - start == self.settings.size:
                    found.append(self._segment(start, stop, slow, unlike))
                continue
            equal += self._repeats(start, stop - 1)
            if equal > longest // 2:
                break
            # With equal exposures only what stands apart may be a set, or what has its pattern.
            if not equal or self._is_set_apart(start, stop):
                found.append(self._segment(start, stop, slow, unlike, equal))
        return found

    def _is_set_apart(self, start: int, stop: int) -> bool:
        if not self._stands_apart(start, stop):
            return False
        stops = [photo.stops for photo in self.photos[start:stop]]
        told = [value for value in stops if value is not None]
        return len(told) == len(stops) and _may_be_a_set(told)

    def _add_segments(self, pattern: Offsets) -> None:
        """Add the segments of a pattern with equal exposures that do not stand apart."""
        if not equal_count(pattern):
            return
        for start in range(len(self.photos) - len(pattern) + 1):
            stop = start + len(pattern)
            gaps = [gap for gap in self.gaps[start : stop - 1] if gap is not None]
            photos = self.photos[start:stop]
            if (
                len(gaps) < len(pattern) - 1
                or not _fits([photo.stops for photo in photos], pattern)
                or any(_differ(first, last) for first, last in combinations(photos, 2))
                or any(segment.stop == stop for segment in self.segments[start])
            ):
                continue
            slow, unlike = (sum(costs) for costs in zip(*gaps, strict=True))
            added = self._segment(start, stop, slow, unlike, equal_count(pattern))
            self.segments[start] = sorted([*self.segments[start], added], key=lambda s: s.stop)

    def _stands_apart(self, start: int, stop: int) -> bool:
        """Whether pauses around some photos are much longer than those between them."""
        between = self.idle[start : stop - 1]
        around = [self.idle[i] for i in (start - 1, stop - 1) if 0 <= i < len(self.idle)]
        if any(seconds is None for seconds in (*between, *around)):
            return False
        longest = max((seconds or 0.0 for seconds in between), default=0.0)
        least = max(_APART_RATIO * longest, _APART_SECONDS)
        return all((seconds or 0.0) >= least for seconds in around)

    def _repeats(self, start: int, last: int) -> bool:
        """Whether the last photo has, by metadata, the exposure of one before it."""
        stops = self.photos[last].stops
        return stops is not None and any(
            other.stops is not None and abs(other.stops - stops) < SAME_STOPS
            for other in self.photos[start:last]
        )

    def _gap_cost(self, index: int) -> tuple[float, float] | None:
        """What speaks against photos `index` and the next in one bracket; None if impossible.

        The pause between them, and that they look unlike.
        """
        first, second = self.photos[index], self.photos[index + 1]
        if _differ(first, second):
            return None
        idle = self.idle[index]
        if idle is not None and idle > self.settings.max_gap_seconds:
            return None
        cost = 0.0 if idle is None else max(0.0, idle - _QUICK_SECONDS) / _SECONDS_PER_CUT
        seen = self.pixels.get(self._pair(index), Evidence())
        if seen.likeness is None:
            return cost, (_TURNED_COST if first.turned != second.turned else 0.0)
        unlike = min(max((ALIKE - seen.likeness) / (ALIKE - UNLIKE), 0.0), 1.0)
        step = abs(seen.stops or 0.0)
        if first.stops is not None and second.stops is not None:
            step = min(step, abs(second.stops - first.stops))
        doubt = _UNCERTAIN_SHARE_PER_STOP * max(0.0, step - _COMPARABLE_STOPS)
        against = _UNLIKE_COST * unlike * max(_LEAST_CERTAINTY, 1 - doubt)
        if _surplus(first, second, seen):
            against += _OTHER_LIGHT_COST
        return cost * (0.3 + 0.7 * unlike), against

    def _segment(
        self, start: int, stop: int, slow: float, unlike: float, equal: int = 0
    ) -> _Segment:
        photos = self.photos[start:stop]
        stops = tuple(photo.stops for photo in photos)
        certain = all(p.stops is not None and p.start_seconds is not None for p in photos)
        damaged = any(photo.problem is not None for photo in photos)
        cost = 0.0
        if stop - start > 1:
            cost += self._repeated_cost(start, stop) if self.settings.size else 0.0
            cost += 0.0 if self.settings.size else self._shape_cost(start, stop)
        alike = stop - start > 1 and self._alike(start, stop)
        untold = stop - start > 1 and any(value is None for value in stops)
        estimated = self._estimated(start, stop) if untold else None
        filled = None if estimated is None else tuple(estimated)
        apart = self._stands_apart(start, stop)
        between = slow * (_SLOW_SHARE if apart else 1.0) + unlike
        return _Segment(
            start, stop, stops, filled, between, cost, certain, alike, damaged, apart, equal
        )

    def _repeated_cost(self, start: int, stop: int) -> float:
        return 0.3 * sum(self._repeats(start, last) for last in range(start + 1, stop))

    def _shape_cost(self, start: int, stop: int) -> float:
        """What is unusual about the exposures, told or estimated, whatever the vocabulary is."""
        photos = self.photos[start:stop]
        told = [photo.stops for photo in photos]
        count = stop - start
        cost = 0.1 * max(0, count - _USUAL_MOST_FRAMES)
        if all(value is not None for value in told):
            return cost + _told_cost([value for value in told if value is not None])
        estimated = self._estimated(start, stop)
        if estimated is None:
            return cost + self._untold_cost(start, stop)
        repeated = sum(
            any(abs(value - other) < _SAME_STOPS_IN_PIXELS for other in estimated[:place])
            for place, value in enumerate(estimated)
        )
        cost += _REPEATED_COST * repeated
        if not repeated and count > 3 and not goes_outwards(estimated, -0.5):
            cost += _UNUSUAL_ORDER_COST
        return cost

    def _likenesses(self, start: int, stop: int) -> list[float | None]:
        pairs = (self._pair(index) for index in range(start, stop - 1))
        return [self.pixels.get(pair, Evidence()).likeness for pair in pairs]

    def _alike(self, start: int, stop: int) -> bool:
        """Whether all neighbours of a segment are known to show one scene."""
        found = self._likenesses(start, stop)
        return all(likeness is not None and likeness >= ALIKE for likeness in found)

    def _untold_cost(self, start: int, stop: int) -> float:
        """For photos that tell no exposure, and whose pixels tell none: their place in the row."""
        found = self._likenesses(start, stop)
        price = _UNTOLD_COST if any(likeness is not None for likeness in found) else _GUESS_COST
        return price * sum(
            likeness is None and None in (self.photos[index].stops, self.photos[index + 1].stops)
            for index, likeness in enumerate(found, start=start)
        )

    def _estimated(self, start: int, stop: int) -> list[float] | None:
        """Stops of all photos of a segment, gaps filled by what the pixels say of neighbours."""
        values = [photo.stops for photo in self.photos[start:stop]]
        if all(value is None for value in values):
            values[0] = 0.0
        steps = [
            self.pixels.get(self._pair(index), Evidence()).stops for index in range(start, stop - 1)
        ]
        for place, step in enumerate(steps):
            before = values[place]
            if values[place + 1] is None and before is not None and step is not None:
                values[place + 1] = before + step
        for place in reversed(range(len(steps))):
            after, step = values[place + 1], steps[place]
            if values[place] is None and after is not None and step is not None:
                values[place] = after - step
        known = [value for value in values if value is not None]
        return known if len(known) == len(values) else None

    def _total(self, segment: _Segment) -> float:
        """The whole cost of a segment; infinite for one that cannot be."""
        count = segment.stop - segment.start
        if count == 1:
            return 1.0
        if self.settings.size is not None:
            return segment.between + segment.cost + _KNOWN_PATTERN_COST
        told = sum(value is not None for value in segment.stops)
        vocabulary = self.vocabulary
        if 2 * told >= count and vocabulary.match(segment.stops, segment.estimated):
            return segment.between + _KNOWN_PATTERN_COST + _EQUAL_IN_PATTERN_COST * segment.equal
        if segment.damaged:
            return math.inf  # a broken file is no reason to give up photos that need it not
        if segment.equal:
            return self._cost_with_equals(segment)
        if vocabulary.longer(segment.stops) is not None:
            return segment.between + _INTERRUPTED_COST
        if count == told == 2 and self._is_drift(segment):
            return math.inf
        cost = segment.between + segment.cost
        if segment.alike:
            # Exposures that differ, of one scene: it need hardly be a known pattern.
            return cost + _ALIKE_COST
        return cost + _NEW_PATTERN_COST + (_PAIR_COST if count == 2 else 0.0)

    def _is_drift(self, segment: _Segment) -> bool:
        """Whether two exposures differ by no more than a camera's meter from shot to shot."""
        first, second = segment.stops
        return abs((first or 0.0) - (second or 0.0)) < _DRIFT_STOPS

    def _cost_with_equals(self, segment: _Segment) -> float:
        """Of a set of no known pattern with equal exposures: only pauses and pixels make it one."""
        stops = [value for value in segment.stops if value is not None]
        if not (segment.apart and segment.alike and segment.certain and _may_be_a_set(stops)):
            return math.inf
        unusual = _UNUSUAL_SHARE * segment.cost + _EQUAL_COST * segment.equal
        return segment.between + _ALIKE_COST + unusual

    # Cutting

    def _cut(self, totals: _Totals) -> tuple[float, list[_Segment]]:
        """The least cost of the row and its segments; of equal ones longer brackets first."""
        ahead = self._costs_ahead(totals)
        cuts: list[_Segment] = []
        place = 0
        while place < len(self.photos):
            _, stop, cut = min(
                (
                    (total + ahead[segment.stop], -segment.stop, segment)
                    for segment, total in zip(self.segments[place], totals[place], strict=True)
                ),
                key=itemgetter(0, 1),
            )
            cuts.append(cut)
            place = -stop
        return ahead[0], cuts

    def _costs_ahead(self, totals: _Totals) -> list[float]:
        """The least cost of the rest of the row from every photo on."""
        ahead = [0.0] * (len(self.photos) + 1)
        for start in reversed(range(len(self.photos))):
            ahead[start] = min(
                total + ahead[segment.stop]
                for segment, total in zip(self.segments[start], totals[start], strict=True)
            )
        return ahead

    def _candidates(self) -> list[Offsets]:
        """Patterns that several possible brackets have, those that cover most photos first.

        A bracket and the single shot before it look like one pattern if that happens twice by
        chance; uneven steps give it away, and people's own uneven patterns come more often.
        """
        ends: dict[tuple[int, ...], int] = {}
        counts: dict[tuple[int, ...], int] = defaultdict(int)
        first_seen: dict[tuple[int, ...], Offsets] = {}
        for segments in self.segments:
            for segment in segments:
                count = segment.stop - segment.start
                if not segment.certain or count < _SHORTEST_PATTERN:
                    continue
                if segment.between > _DOUBTFUL_GAPS * (count - 1):
                    continue
                stops = [value for value in segment.stops if value is not None]
                if segment.equal or not goes_outwards(stops):
                    continue
                offsets = tuple(value - stops[0] for value in stops)
                key = tuple(round(3 * offset) for offset in offsets)
                first_seen.setdefault(key, offsets)
                if segment.start >= ends.get(key, 0):
                    counts[key] += 1
                    ends[key] = segment.stop
        most = max(counts.values(), default=0)
        frequent = [
            key
            for key, count in counts.items()
            if count >= (max(2, most / 5) if has_even_steps(first_seen[key]) else max(4, most / 3))
        ]
        frequent.sort(key=lambda key: (-counts[key] * len(key), -len(key), key))
        usual = [first_seen[key] for key in frequent[: 2 * _MOST_PATTERNS]]
        further = [
            pattern
            for pattern in self._candidates_apart()
            if not any(len(other) == len(pattern) and _fits(pattern, other) for other in usual)
        ]
        return [*usual, *further]

    def _candidates_apart(self) -> list[Offsets]:
        """Patterns of sets that stand apart by time: pairs, and those of an unusual order too."""
        found: list[tuple[Offsets, int]] = []
        for segments in self.segments:
            for segment in segments:
                count = segment.stop - segment.start
                if not (segment.apart and segment.certain and count > 1):
                    continue
                if segment.between > _DOUBTFUL_GAPS * (count - 1) + _UNLIKE_COST:
                    continue
                stops = [value for value in segment.stops if value is not None]
                clear = max(stops) - min(stops) >= _CLEAR_STOPS
                if not (_may_be_a_set(stops) if count > 2 else clear):
                    continue
                for place, (pattern, times) in enumerate(found):
                    if len(pattern) == count and _fits(stops, pattern):
                        found[place] = pattern, times + 1
                        break
                else:
                    found.append((tuple(value - stops[0] for value in stops), 1))
        most = max((times for _, times in found), default=0)
        frequent = [
            (pattern, times)
            for pattern, times in found
            if times >= max(2 if self._is_enough(pattern, times) else 3, most / 3)
        ]
        frequent.sort(key=lambda item: -item[1] * len(item[0]))
        return [pattern for pattern, _ in frequent[:_MOST_PATTERNS]]

    def _is_enough(self, pattern: Offsets, times: int) -> bool:
        """Whether a pattern that came twice is no chance: of several photos, or most of all."""
        return len(pattern) > 2 or times * len(pattern) >= _MOST_OF_ROW * len(self.photos)


def _length(segment: _Segment) -> int:
    return segment.stop - segment.start


def _told_cost(stops: Sequence[float]) -> float:
    """What is unusual about exposures that metadata tell, of equal ones the first."""
    stops = [
        value
        for place, value in enumerate(stops)
        if all(abs(value - other) >= SAME_STOPS for other in stops[:place])
    ]
    if len(stops) <= 2:
        return 0.0
    usual = 0.5 if len(stops) == 3 else 1.0
    cost = 0.0 if has_even_steps(stops) else _UNEVEN_COST * usual
    if not goes_outwards(stops):
        cost += _UNUSUAL_ORDER_COST * (0.25 if len(stops) == 3 else 1.0)
    return cost

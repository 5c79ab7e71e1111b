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
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from operator import itemgetter
from pathlib import PurePosixPath
from typing import Final

from ..bracket import MIN_FRAMES
from .order import ALIKE, Evidence, Pair, Photo, Pixels, idle_seconds, in_order, surplus_stops
from .patterns import Offsets, Vocabulary, goes_outwards, has_even_steps, may_be_a_set
from .segments import DOUBTFUL_GAPS, MOST_PATTERNS, QUICK_SECONDS, GroupSettings, Segment, Segments

_KNOWN_PATTERN_COST: Final = 0.6
_INTERRUPTED_COST: Final = 1.2
_ALIKE_COST: Final = 1.2  # of no known pattern, but of one scene
_NEW_PATTERN_COST: Final = 1.5
_PAIR_COST: Final = 0.6  # two photos of different exposure are no pattern yet
# How many of the brackets of an unusual pattern are looked at, whether it is one.
_SAMPLES: Final = 3
# Exposures that metadata tell to be equal, in a set of no known pattern, and of a known one.
_EQUAL_COST: Final = 0.6
_EQUAL_IN_PATTERN_COST: Final = 0.2
_UNUSUAL_SHARE: Final = 0.15
# Two photos that differ by less are no bracket of two: a burst's exposures drift so.
_DRIFT_STOPS: Final = 0.5
_PATTERN_PRICE: Final = 0.7  # of believing in a pattern at all
# A segment that would raise the cost of the whole row by no more than this might be true as well.
_CLOSE_CALL: Final = 0.4


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
    photos: Iterable[Photo], settings: GroupSettings | None = None, pixels: Pixels | None = None
) -> list[Group]:
    """Group photos into brackets and single shots; every photo is in exactly one group.

    pixels: evidence for pairs of names, as far as it has been gathered.
    """
    return [
        group
        for row in in_order(photos)
        for group in _Row(row, settings or GroupSettings(), pixels or {}).solve().groups()
    ]


def open_questions(
    photos: Iterable[Photo], settings: GroupSettings | None = None, pixels: Pixels | None = None
) -> list[Pair]:
    """Pairs of photos whose pixels would help to group them, and are not in `pixels` yet.

    Gather them and ask again, until none is left: looking at one pair may raise the next.
    """
    known = pixels or {}
    return [
        pair
        for row in in_order(photos)
        for pair in _Row(row, settings or GroupSettings(), known).solve().doubts()
        if pair not in known
    ]


# What each segment costs in all, by its first photo.
_Totals = list[list[float]]


@dataclass
class _Row(Segments):
    """The row and how it is cut, by the patterns that its brackets have."""

    vocabulary: Vocabulary = field(default_factory=Vocabulary)
    cuts: list[Segment] = field(default_factory=list)
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
        while len(self.vocabulary.patterns) < MOST_PATTERNS:
            trials: list[tuple[float, int, Vocabulary, list[Segment], _Totals]] = []
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
            if surplus_stops(first, second, evidence):
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

    def _is_doubtful(self, segment: Segment) -> bool:
        if not segment.certain:
            return True
        if self.settings.size is not None or segment.stop - segment.start == 1:
            return False
        photos = self.photos[segment.start : segment.stop]
        if len({photo.turned for photo in photos}) > 1:
            return True
        return not self.vocabulary.match(segment.stops) or segment.between > DOUBTFUL_GAPS

    def _is_unusual(self, segment: Segment) -> bool:
        """Whether a bracket of a known pattern is not as cameras take them: it may be two things.

        A photo by flash after each bracket makes a pattern too.
        """
        stops = [value for value in segment.stops if value is not None]
        if segment.equal or (len(stops) > 2 and len(stops) % 2 == 0):
            return True
        idle = [seconds or 0.0 for seconds in self.idle[segment.start : segment.stop - 1]]
        if max(idle) - min(idle) > QUICK_SECONDS or not goes_outwards(stops):
            return True
        return len(stops) > 2 and not has_even_steps(stops)

    def _samples(self) -> list[Segment]:
        """Some brackets of each unusual pattern, or all where one turned out to be no bracket."""
        unusual = [
            cut
            for cut in self.cuts
            if cut.stop - cut.start > 1 and cut.certain and self._is_unusual(cut)
        ]
        doubted = any(
            surplus_stops(first, second, self.pixels.get((first.name, second.name), Evidence()))
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

    def _close_calls(self) -> list[Segment]:
        """Possible brackets that were not chosen by a hair's breadth."""
        ahead = self._costs_ahead(self.totals)
        behind = [math.inf] * (len(self.photos) + 1)
        behind[0] = 0.0
        costs: list[tuple[Segment, float]] = []
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

    def _new_sets_with_equals(self) -> list[Segment]:
        """Sets with equal exposures and of no known pattern, which only pixels make brackets."""
        return [
            segment
            for segments in self.segments
            for segment in segments
            if segment.equal and segment.apart and not self.vocabulary.match(segment.stops)
        ]

    def _note(self, cut: Segment) -> str:
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

    def _total(self, segment: Segment) -> float:
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

    def _is_drift(self, segment: Segment) -> bool:
        """Whether two exposures differ by no more than a camera's meter from shot to shot."""
        first, second = segment.stops
        return abs((first or 0.0) - (second or 0.0)) < _DRIFT_STOPS

    def _cost_with_equals(self, segment: Segment) -> float:
        """Of a set of no known pattern with equal exposures: only pauses and pixels make it one."""
        stops = [value for value in segment.stops if value is not None]
        if not (segment.apart and segment.alike and segment.certain and may_be_a_set(stops)):
            return math.inf
        unusual = _UNUSUAL_SHARE * segment.cost + _EQUAL_COST * segment.equal
        return segment.between + _ALIKE_COST + unusual

    # Cutting

    def _cut(self, totals: _Totals) -> tuple[float, list[Segment]]:
        """The least cost of the row and its segments; of equal ones longer brackets first."""
        ahead = self._costs_ahead(totals)
        cuts: list[Segment] = []
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


def _length(segment: Segment) -> int:
    return segment.stop - segment.start

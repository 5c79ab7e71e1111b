"""Segments of a row of photos, as brackets may be cut from it, and what each costs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Annotated, Final

from ..bracket import MAX_FRAMES, MIN_FRAMES
from ..settings import Range, check_settings
from .order import ALIKE, UNLIKE, Evidence, Pair, Photo, Pixels, differ, surplus_stops
from .patterns import (
    CLEAR_STOPS,
    SAME_STOPS,
    SAME_STOPS_IN_PIXELS,
    SHORTEST_PATTERN,
    UNUSUAL_ORDER_COST,
    Offsets,
    equal_count,
    fits,
    goes_outwards,
    has_even_steps,
    may_be_a_set,
    told_cost,
)

# Times are mostly whole seconds, and a bracketing camera takes two photos a second or more.
QUICK_SECONDS: Final = 2.0
# Every so many idle seconds between two photos speak against a bracket like one cut does for it.
_SECONDS_PER_CUT: Final = 6.0
# The longest series that cameras take by themselves.
_USUAL_MOST_FRAMES: Final = 9
_UNTOLD_COST: Final = 0.9  # for each gap between photos that only stand beside each other
_GUESS_COST: Final = 1.05  # the same where nothing at all speaks for any of them
_UNLIKE_COST: Final = 3.0
_TURNED_COST: Final = 0.6  # one upright, the other not, by their tags
# Photos far apart in exposure share few pixels that are neither black nor white: from here on their
# looking unlike counts less, down to this share.
_COMPARABLE_STOPS: Final = 2.0
_UNCERTAIN_SHARE_PER_STOP: Final = 0.35
_LEAST_CERTAINTY: Final = 0.3
_OTHER_LIGHT_COST: Final = 2.0
_REPEATED_COST: Final = 1.5
# A set stands apart if the pauses around it are so much longer than those within, and so long.
_APART_RATIO: Final = 2.5
_APART_SECONDS: Final = 2.5
# What is slow, or of an unusual order, in a set that stands apart counts by so much.
_SLOW_SHARE: Final = 0.4
_MOST_OF_ROW: Final = 0.8
MOST_PATTERNS: Final = 8
# Gaps that together cost more than this leave a doubt that only pixels settle.
DOUBTFUL_GAPS: Final = 0.5


@dataclass(frozen=True)
class GroupSettings:
    """How photos are grouped.

    size: how many photos each bracket has; None to find out.
    max_gap_seconds: idle time between two photos that no bracket has, whatever else it looks like.
    """

    size: Annotated[int, Range(MIN_FRAMES, MAX_FRAMES)] | None = None
    max_gap_seconds: Annotated[float, Range(above=0)] = 60.0

    def __post_init__(self) -> None:
        check_settings(self, "batch")


@dataclass(frozen=True)
class Segment:
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


@dataclass
class Segments:
    """Photos of one camera in order, all segments that may be cut from them, and what they cost.

    All that does not depend on the other brackets of the row.
    """

    photos: Sequence[Photo]
    settings: GroupSettings
    pixels: Pixels
    idle: list[float | None] = field(default_factory=list)
    gaps: list[tuple[float, float] | None] = field(default_factory=list)
    segments: list[list[Segment]] = field(default_factory=list)

    def _pair(self, index: int) -> Pair:
        return self.photos[index].name, self.photos[index + 1].name

    def _segments_from(self, start: int) -> list[Segment]:
        """All segments that may begin at a photo, by length; they end where nothing can go on."""
        longest = self.settings.size or MAX_FRAMES
        found = [self._segment(start, start + 1, 0.0, 0.0)]
        slow = unlike = 0.0
        equal = 0
        for stop in range(start + 2, min(start + longest, len(self.photos)) + 1):
            gap = self.gaps[stop - 2]
            last = self.photos[stop - 1]
            if gap is None or any(differ(photo, last) for photo in self.photos[start : stop - 1]):
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
        return len(told) == len(stops) and may_be_a_set(told)

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
                or not fits([photo.stops for photo in photos], pattern)
                or any(differ(first, last) for first, last in combinations(photos, 2))
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
        if differ(first, second):
            return None
        idle = self.idle[index]
        if idle is not None and idle > self.settings.max_gap_seconds:
            return None
        cost = 0.0 if idle is None else max(0.0, idle - QUICK_SECONDS) / _SECONDS_PER_CUT
        seen = self.pixels.get(self._pair(index), Evidence())
        if seen.likeness is None:
            return cost, (_TURNED_COST if first.turned != second.turned else 0.0)
        unlike = min(max((ALIKE - seen.likeness) / (ALIKE - UNLIKE), 0.0), 1.0)
        step = abs(seen.stops or 0.0)
        if first.stops is not None and second.stops is not None:
            step = min(step, abs(second.stops - first.stops))
        doubt = _UNCERTAIN_SHARE_PER_STOP * max(0.0, step - _COMPARABLE_STOPS)
        against = _UNLIKE_COST * unlike * max(_LEAST_CERTAINTY, 1 - doubt)
        if surplus_stops(first, second, seen):
            against += _OTHER_LIGHT_COST
        return cost * (0.3 + 0.7 * unlike), against

    def _segment(
        self, start: int, stop: int, slow: float, unlike: float, equal: int = 0
    ) -> Segment:
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
        return Segment(
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
            return cost + told_cost([value for value in told if value is not None])
        estimated = self._estimated(start, stop)
        if estimated is None:
            return cost + self._untold_cost(start, stop)
        repeated = sum(
            any(abs(value - other) < SAME_STOPS_IN_PIXELS for other in estimated[:place])
            for place, value in enumerate(estimated)
        )
        cost += _REPEATED_COST * repeated
        if not repeated and count > 3 and not goes_outwards(estimated, -0.5):
            cost += UNUSUAL_ORDER_COST
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
                if not segment.certain or count < SHORTEST_PATTERN:
                    continue
                if segment.between > DOUBTFUL_GAPS * (count - 1):
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
        usual = [first_seen[key] for key in frequent[: 2 * MOST_PATTERNS]]
        further = [
            pattern
            for pattern in self._candidates_apart()
            if not any(len(other) == len(pattern) and fits(pattern, other) for other in usual)
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
                if segment.between > DOUBTFUL_GAPS * (count - 1) + _UNLIKE_COST:
                    continue
                stops = [value for value in segment.stops if value is not None]
                clear = max(stops) - min(stops) >= CLEAR_STOPS
                if not (may_be_a_set(stops) if count > 2 else clear):
                    continue
                for place, (pattern, times) in enumerate(found):
                    if len(pattern) == count and fits(stops, pattern):
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
        return [pattern for pattern, _ in frequent[:MOST_PATTERNS]]

    def _is_enough(self, pattern: Offsets, times: int) -> bool:
        """Whether a pattern that came twice is no chance: of several photos, or most of all."""
        return len(pattern) > 2 or times * len(pattern) >= _MOST_OF_ROW * len(self.photos)

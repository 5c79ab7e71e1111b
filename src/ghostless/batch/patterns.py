"""Patterns of exposures: of brackets as cameras and people take them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

# Exposures nearer than this are the same: nominal shutter times (1/60, 1/125) are up to 0.1 stop
# off their true values, and the smallest step of any camera's bracketing is 0.3.
SAME_STOPS: Final = 0.2
# The same for exposures that were estimated from pixels.
SAME_STOPS_IN_PIXELS: Final = 0.35
# Where a bracket's exposure rises, an estimate of it does at least so much.
_ESTIMATED_RISE_STOPS: Final = 0.15
# Offsets of two brackets of one pattern differ by rounding alone: twice 0.1, and room.
_PATTERN_TOLERANCE_STOPS: Final = 0.25
_EVEN_STEPS_TOLERANCE_STOPS: Final = 0.35
_UNEVEN_COST: Final = 1.0
UNUSUAL_ORDER_COST: Final = 1.2
# Of how many stops' difference a pattern of two photos, or one with equal exposures, must be.
CLEAR_STOPS: Final = 0.9
# Two photos of different exposures happen by chance; a pattern takes three, or pauses around it.
SHORTEST_PATTERN: Final = 3


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
            and fits(stops, pattern)
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


def fits(stops: Sequence[float | None], pattern: Sequence[float]) -> bool:
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
        if pattern[j] - pattern[i] > 2 * SAME_STOPS_IN_PIXELS
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
            fits(stops[start : start + size], [value - stops[0] for value in stops[:size]])
            for start in range(size, len(stops), size)
        )
        for size in range(SHORTEST_PATTERN, len(stops) // 2 + 1)
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


def may_be_a_set(stops: Sequence[float]) -> bool:
    """Whether exposures, some of them equal, may still be those of one set.

    People who set the aperture by hand, and cameras at the end of their range, take some twice; a
    burst takes all at nearly one.
    """
    different = len(stops) - equal_count(stops)
    return (
        different >= max(3, len(stops) / 2)
        and max(stops) - min(stops) >= CLEAR_STOPS
        and not starts_anew(stops)
    )


def told_cost(stops: Sequence[float]) -> float:
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
        cost += UNUSUAL_ORDER_COST * (0.25 if len(stops) == 3 else 1.0)
    return cost

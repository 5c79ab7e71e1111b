"""How long a run will take yet, from what its stages take as a rule and how it has gone so far."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

# What the stages of the line take of its time, median over brackets of three and five photos by
# hand, 0.8 to 24 megapixels.
OF_THE_LINE: Final[Mapping[str, float]] = MappingProxyType(
    {
        "read": 0.02,
        "exposure": 0.05,
        "align": 0.30,
        "deghost": 0.57,
        "fuse": 0.03,
        "merge": 0.01,
        "tone map": 0.01,
        "write": 0.01,
    }
)
# A network takes several times as long as all other stages together.
OF_A_NETWORK: Final[Mapping[str, float]] = MappingProxyType({**OF_THE_LINE, "fuse": 4.0})
# Before so much time or so much of the work nothing can be said; short runs need no word of it.
_LEAST_SECONDS, _LEAST_SHARE, _WORTH_TELLING_SECONDS = 1.0, 0.03, 5.0


class Remaining:
    """Estimates the rest of a run. shares: of its stages, in their order; none: of each stage."""

    def __init__(
        self,
        shares: Mapping[str, float] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._shares = dict(shares or {})
        self._clock = clock
        self._stage = ""
        self._start = clock()
        self._whole: float | None = None
        self.share = 0.0

    def at(self, stage: str, fraction: float) -> None:
        """A stage has come so far; `share` is how much of the whole, or of the stage, that is."""
        if not self._shares:
            if stage != self._stage:
                self._stage, self._start, self._whole = stage, self._clock(), None
            self.share = fraction
        elif stage in self._shares:  # what is saved on the way has no share
            self.share = max(self.share, self._share_at(stage, fraction))
        took = self._clock() - self._start
        if took >= _LEAST_SECONDS and self.share >= _LEAST_SHARE:
            self._whole = took / self.share

    def _share_at(self, stage: str, fraction: float) -> float:
        names = list(self._shares)
        before = sum(self._shares[name] for name in names[: names.index(stage)])
        return (before + self._shares[stage] * fraction) / sum(self._shares.values())

    def seconds(self) -> float | None:
        """Seconds that are left; None while nothing can be said, and for what is short."""
        if self._whole is None or self._whole <= _WORTH_TELLING_SECONDS:
            return None
        return max(0.0, self._whole - (self._clock() - self._start))

    def in_words(self) -> str:
        """The rest as "about 12 s left", or nothing."""
        left = self.seconds()
        return "" if left is None else f"about {time_in_words(max(left, 1.0))} left"


def time_in_words(seconds: float) -> str:
    """A time for people.

    >>> time_in_words(42.4), time_in_words(150), time_in_words(7000)
    ('42 s', '2.5 min', '1 h 57 min')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.1f} min"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min"

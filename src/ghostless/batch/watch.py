"""A folder that a camera is writing to: which sets are complete, as they come."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from ..settings import Range, check_settings
from .journal import Stamp, stamp_of
from .photos import Folder, files_below
from .plan import Plan, Planned

_LOOK_SECONDS: Final = 0.5
Files = dict[str, Stamp | None]


@dataclass(frozen=True)
class WatchSettings:
    """When a set counts as complete.

    quiet_seconds: no file has come or grown for so long.
    patience_seconds: for how long one that has fewer photos than most sets waits for the rest.
    """

    quiet_seconds: Annotated[float, Range(0)] = 4.0
    patience_seconds: Annotated[float, Range(0)] = 60.0

    def __post_init__(self) -> None:
        check_settings(self, "watch")


def complete_sets(
    root: Path,
    scan: Callable[[], Folder],
    plan: Callable[[Folder], Plan],
    settings: WatchSettings = WatchSettings(),
    *,
    skip: Path | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[tuple[Folder, Plan]]:
    """Yield the folder and the plan of its complete sets, whenever something has come; no end.

    scan, plan: look at the folder, and group what is in it. skip: a folder that is passed over.
    What was fused too early is planned again with the photos that came later.
    """
    before: Files | None = None
    came: dict[str, float] = {}
    changed = clock()
    look_again: float | None = None
    while True:
        files = _files(root, skip)
        now = clock()
        if files != before:
            new = [] if before is None else [n for n in files if before.get(n) != files[n]]
            came.update(dict.fromkeys(new, now))
            before, changed = files, now
            look_again = now + (0.0 if not new else settings.quiet_seconds)
        if look_again is not None and now >= look_again:
            folder = scan()
            whole = plan(folder)
            waiting = [b for b in whole.brackets if _may_grow(b, whole, came, now, settings)]
            done = tuple(b for b in whole.brackets if b not in waiting)
            look_again = changed + settings.patience_seconds if waiting else None
            yield folder, Plan(done, whole.rest)
        sleep(_LOOK_SECONDS)


def _files(root: Path, skip: Path | None) -> Files:
    return {name: stamp_of(root / name) for name in files_below(root, skip)}


def _may_grow(
    bracket: Planned, plan: Plan, came: dict[str, float], now: float, settings: WatchSettings
) -> bool:
    """Whether a set that has just come has fewer photos than the others have."""
    last = max(came.get(name, -float("inf")) for name in bracket.files)
    if now - last >= settings.patience_seconds:
        return False
    counts = Counter(len(other.files) for other in plan.brackets if other is not bracket)
    return bool(counts) and len(bracket.files) < counts.most_common(1)[0][0]

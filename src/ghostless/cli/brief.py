"""What was done, in a few lines for a photographer; `--verbose` tells the rest."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ..report import FrameReport, Report

# Notes that tell how something was done. All others are warnings, and stand in the brief words too.
_DETAILS: Final = re.compile(
    "|".join(
        (
            r"^tone-mapped by ",
            r"^[\w-]+ did not need: ",
            r": the same shot as ",
            r": made by Ghostless: left out$",
            r"^cropped to \d",
            r": cropped from \d",
            r"^laid on \d",
            r"(primaries|colours|PQ codes) were ",
            r": it holds \d+ pictures; ",
            r"its data window was fitted",
        )
    )
)
_SHOWN_NAMES: Final = 3
# Less than this share of the pixels is grain and edges, not something that moved.
_MOVED_SHARE: Final = 0.001
# Steps that differ by less are called the same: a third of a stop is the finest that cameras set.
_EVEN_STOPS: Final = 0.4


def in_brief(report: Report) -> str:
    """Return the photos, how they were laid on each other, what moved, the file; and warnings."""
    lines = [_photos(report.frames), _laid(report.frames), *_moved(report)]
    lines.append(f"{report.output}: {report.width} x {report.height}, {_seconds(report.seconds)}")
    lines += [f"note: {note}" for note in report.notes if not _DETAILS.search(note)]
    return "\n".join(lines)


def _photos(frames: Sequence[FrameReport]) -> str:
    words = f"{len(frames)} photos"
    stops = [frame.stops for frame in frames if frame.stops is not None]
    if len(stops) == len(frames):
        steps = sorted(b - a for a, b in pairwise(stops))
        if steps and steps[-1] - steps[0] < _EVEN_STOPS:
            words += f", {_stops(sum(steps) / len(steps))} apart"
        else:
            words += f", {_stops(stops[-1] - stops[0])} from darkest to brightest"
    if any(frame.stops_source == "pixels" for frame in frames):
        words += " (estimated from the photos themselves)"
    return words


def _laid(frames: Sequence[FrameReport]) -> str:
    reference = _reference(frames)
    moved = [f for f in frames if not f.reference and f.model not in ("none", "identity")]
    if not moved:
        return f"laid on each other as they are; the reference is {reference}"
    if len(moved) == len(frames) - 1:
        return f"aligned to the reference {reference}"
    return f"{_listed([f.file for f in moved])} aligned to the reference {reference}, others as is"


def _moved(report: Report) -> list[str]:
    others = [frame for frame in report.frames if not frame.reference]
    if any(frame.deghosted_share is None for frame in others):
        return []  # nobody looked
    kept = report.settings.get("keep") or []
    by_hand = [f"by hand: {', '.join(map(str, kept))}"] if kept else []
    largest = max((frame.deghosted_share or 0.0 for frame in others), default=0.0)
    if largest < _MOVED_SHARE:
        return ["nothing moved", *by_hand]
    share = f"{100 * largest:.0f}" if largest >= 0.01 else f"{100 * largest:.1f}"
    taken = f"what moved was taken from {_reference(report.frames)}"
    return [f"{taken} (up to {share} % of a photo)", *by_hand]


def _reference(frames: Sequence[FrameReport]) -> str:
    return next((frame.file for frame in frames if frame.reference), frames[0].file)


def _listed(names: Sequence[str]) -> str:
    if len(names) <= _SHOWN_NAMES:
        return ", ".join(names)
    return f"{', '.join(names[:_SHOWN_NAMES])} and {len(names) - _SHOWN_NAMES} more"


def _stops(value: float) -> str:
    number = f"{value:.1f}".removesuffix(".0")
    return f"{number} stop{'' if number == '1' else 's'}"


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.1f} min"

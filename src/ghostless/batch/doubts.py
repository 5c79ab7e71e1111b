"""What had better be looked at in a picture, from the report of how it was made."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from ..report import FrameReport, Report

# Of a photo's pixels replaced: so many that it hardly counts, and so many that it may be a mistake.
_NEARLY_WHOLE, _LARGE = 0.6, 0.25
# How far matched points lie apart, as a share of the picture's longer side, or of so many pixels
# where it has fewer. Noise, many stops between photos and what walks through the picture give up to
# 0.0024 where nothing is wrong; photos that are off by 0.003 and were left so give 0.0033.
_FAR, _SHORTEST_PIXELS = 0.0025, 1000
# Share of the matched points that lie near each other, of so many at least: below it a photo that
# was left where it was does not belong there. Where that was right, 0.78 and more did.
_FEW_NEAR, _MATCHES = 0.4, 20
_OTHER_SCENE: Final = re.compile(r"shows something else than the (?:reference|other photos)")
_EXPOSURES: Final = re.compile(
    r"contradicts? the pixels|but the pixels look like|no usable exposure in EXIF"
)
_USELESS: Final = re.compile(r"is all (?:black|white): it adds nothing")
_NOT_LAID: Final = re.compile(r"no motion fits|too few matching features|folds; left as it was")


@dataclass(frozen=True)
class Doubt:
    """One reason to look at a picture. weight: from 3, nearly surely wrong, to 1, uncertain."""

    weight: int
    text: str


@dataclass(frozen=True)
class FusedPhoto:
    """A photo of a bracket as it was fused. stops: None where nobody knows.

    reference: whether the others were laid on it.
    """

    file: str
    stops: float | None
    reference: bool


def photos_of(report: Report) -> tuple[FusedPhoto, ...]:
    """The photos of a report, dark to bright."""
    return tuple(FusedPhoto(f.file, f.stops, f.reference) for f in report.frames)


def doubts_of(report: Report) -> tuple[Doubt, ...]:
    """The reasons to look at a picture, the gravest first; none for one that went well."""
    found: list[Doubt] = []
    strangers = {note.split(" shows ")[0] for note in report.notes if _OTHER_SCENE.search(note)}
    found += [Doubt(3, f"{name} shows another scene; it adds nothing") for name in strangers]
    for note in report.notes:
        if _EXPOSURES.search(note):
            found.append(Doubt(2, f"exposures: {note}"))
        elif _USELESS.search(note):
            found.append(Doubt(2, note))
    longest = max(report.width, report.height, _SHORTEST_PIXELS)
    for frame in report.frames:
        if frame.file not in strangers and not frame.reference:
            found += _doubts_of_frame(frame, longest)
    return tuple(sorted(found, key=lambda doubt: -doubt.weight))


def _doubts_of_frame(frame: FrameReport, longest: int) -> list[Doubt]:
    found = []
    share = frame.deghosted_share or 0.0
    if share > _NEARLY_WHOLE:
        found.append(Doubt(3, f"{frame.file} was replaced nearly whole ({100 * share:.0f} %)"))
    elif share > _LARGE:
        found.append(Doubt(2, f"{100 * share:.0f} % of {frame.file} was replaced"))
    residual = frame.residual_pixels
    unsure = any(_NOT_LAID.search(note) for note in frame.notes)
    strays = frame.matches >= _MATCHES and frame.inliers < _FEW_NEAR * frame.matches
    if unsure and (residual is None or strays or residual > _FAR * longest):
        found.append(Doubt(1, f"{frame.file} could not be laid on the others with certainty"))
    elif residual is not None and residual > _FAR * longest:
        found.append(Doubt(1, f"{frame.file} lies on the others only to {residual:.1f} pixels"))
    return found

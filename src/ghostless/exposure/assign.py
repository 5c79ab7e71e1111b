"""Exposure of each frame in stops: from EXIF, from the user, from a side file, from the pixels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..bracket import Bracket, Frame
from ..errors import BracketError, FileReadError, OptionError
from ..io.arrays import Photos, as_bracket
from .estimate import Estimate, Profile, estimate_all, profiles_of
from .metadata import EQUAL_STOPS, bracket_metadata_stops
from .stops_file import MAX_STOPS, find_stops_file, stops_from_file


def assign_stops(
    bracket: Bracket | Photos, stops: Sequence[float] | None = None, side_file: Path | None = None
) -> Bracket:
    """Give every frame its exposure in stops and sort the frames dark to bright.

    bracket: or photos as `as_bracket` takes them, arrays or paths.

    What the user says is believed first (`stops`, in the order of the frames), then `side_file`
    or one that `find_stops_file` finds beside the frames, then EXIF, then the pixels. EXIF, or a
    side file that nobody named, is overruled where it contradicts the pixels. Frames without EXIF
    are placed among the others by their pixels. All that is worth knowing stands in the notes of
    the bracket returned.

    Raises OptionError for user stops of another number than the frames or no numbers,
    FileReadError for a bad side file, and BracketError if all frames are equally exposed, or all
    are black or white.
    """
    bracket = as_bracket(bracket)
    frames = bracket.frames
    profiles = profiles_of(frames)
    _check_usable(frames, profiles)
    estimate = estimate_all(profiles)
    notes = [*bracket.notes, *_useless_notes(frames, profiles)]
    values: list[float] | None = None
    if stops is not None:
        values, sources = _user_stops(stops, frames), ["user"] * len(frames)
    elif side_file is not None:
        values, sources = stops_from_file(Path(side_file), frames), ["file"] * len(frames)
    elif not _all_told(frames):
        values, remarks = _found_beside(frames, profiles, estimate)
        sources = ["file"] * len(frames)
        notes += remarks
    if values is None:
        values, sources, remarks = _stops_of_frames(frames, profiles, estimate)
        notes += remarks
    _check_spread(values, sources)
    if sources[0] in ("user", "file") and _contradictions(values, estimate, profiles):
        notes.append(_doubt_note(values, sources[0], estimate))
    done = [
        replace(frame, stops=float(value), stops_source=source)
        for frame, value, source in zip(frames, values, sources, strict=True)
    ]
    done.sort(key=lambda frame: frame.stops or 0.0)
    return replace(bracket, frames=tuple(done), notes=tuple(dict.fromkeys(notes)))


def _all_told(frames: Sequence[Frame]) -> bool:
    """Whether every frame carries stops already that someone gave."""
    return all(f.stops is not None and f.stops_source in ("user", "file") for f in frames)


def _found_beside(
    frames: Sequence[Frame], profiles: Sequence[Profile], estimate: Estimate
) -> tuple[list[float] | None, list[str]]:
    """Stops from a side file that nobody named but that lies beside the frames, and remarks.

    None where there is none, or where it does not fit these frames: it may belong to others.
    """
    path = find_stops_file([frame.path for frame in frames if frame.path is not None])
    if path is None or any(frame.path is None for frame in frames):
        return None, []
    try:
        values = stops_from_file(path, frames)
    except FileReadError as error:
        return None, [f"passed over a file beside the frames: {error}"]
    if _contradictions(values, estimate, profiles):
        return None, [
            f"{path.name} beside the frames contradicts the pixels and was passed over: it says "
            f"{_listed(values, values[0])} stops, the pixels "
            f"{_listed(estimate.stops, estimate.stops[0])}"
        ]
    return values, []


def _user_stops(stops: Sequence[float], frames: Sequence[Frame]) -> list[float]:
    if len(stops) != len(frames):
        raise OptionError(
            f"expected one exposure for each of the {len(frames)} frames, found {len(stops)} "
            "stops; give as many stops as frames"
        )
    for value in stops:
        if not math.isfinite(value):
            raise OptionError(f"expected exposures in stops, found {value}; give numbers")
    if max(stops) - min(stops) > MAX_STOPS:
        raise OptionError(
            f"expected exposures in stops, found {min(stops):g} to {max(stops):g}, more than "
            f"{MAX_STOPS:g} apart; shutter times are no stops"
        )
    return [float(value) for value in stops]


def _check_usable(frames: Sequence[Frame], profiles: Sequence[Profile]) -> None:
    if any(profile.usable > 2e-4 for profile in profiles):
        return
    black = [profile.black > 0.5 for profile in profiles]
    what = "all black" if all(black) else "black or white" if any(black) else "all white"
    raise BracketError(
        f"expected photos with something between black and white, found {len(frames)} frames "
        f"that are {what} ({frames[0].name} ...); give other exposures"
    )


def _useless_notes(frames: Sequence[Frame], profiles: Sequence[Profile]) -> list[str]:
    return [
        f"{frame.name} is all {'black' if profile.black > 0.5 else 'white'}: it adds nothing"
        for frame, profile in zip(frames, profiles, strict=True)
        if profile.usable <= 2e-4
    ]


def _check_spread(values: Sequence[float], sources: Sequence[str]) -> None:
    spread = max(values) - min(values)
    measured = "pixels" in sources
    if spread >= (1e-3 if sources[0] in ("user", "file") else EQUAL_STOPS):
        return
    origin = {"user": "stops given", "file": "stops in the side file", "exif": "EXIF"}
    told = "the pixels" if measured else f"the {origin[sources[0]]}"
    raise BracketError(
        f"expected frames at different exposures, found all frames equally exposed by {told} "
        f"({spread:.2f} stops apart); give photos of an exposure bracket, or their stops"
    )


def _tolerance(difference: float, doubt: float) -> float:
    """Distance in stops from the estimate beyond which a known difference contradicts it.

    Cameras' curves, from plain gamma to hard S, bend an estimate by up to 45 %.
    """
    return 0.4 + 0.5 * abs(difference) + 2 * doubt


def _pair_agrees(known: float, seen: float, doubt: float) -> bool:
    """Whether a known difference in stops is possible given what the pixels show."""
    if abs(known) < EQUAL_STOPS and abs(seen) > 0.25 + doubt:
        return False
    if known * seen < 0 and min(abs(known), abs(seen)) > 0.3:
        return False
    return abs(known - seen) <= _tolerance(seen, doubt)


def _pair_doubt(a: int, b: int, estimate: Estimate) -> float:
    return math.sqrt(abs(estimate.doubt[a] ** 2 - estimate.doubt[b] ** 2))


def _contradictions(
    values: Sequence[float | None], estimate: Estimate, profiles: Sequence[Profile]
) -> list[tuple[int, int]]:
    """Pairs of usable frames whose known difference the pixels contradict."""
    good = [i for i, value in enumerate(values) if value is not None and profiles[i].usable > 2e-4]
    return [
        (a, b)
        for place, a in enumerate(good)
        for b in good[place + 1 :]
        if not _pair_agrees(
            (values[b] or 0.0) - (values[a] or 0.0),
            estimate.stops[b] - estimate.stops[a],
            _pair_doubt(a, b, estimate),
        )
    ]


def _listed(values: Iterable[float | None], anchor: float = 0.0) -> str:
    return ", ".join("?" if v is None else f"{v - anchor:+.1f}" for v in values)


def _doubt_note(values: Sequence[float], source: str, estimate: Estimate) -> str:
    who = "the stops given" if source == "user" else "the side file"
    first = values[0]
    return (
        f"{who} say {_listed(values, first)} stops against the first frame, but the pixels look "
        f"like {_listed(estimate.stops, estimate.stops[0])}; believed as given"
    )


def _stops_of_frames(
    frames: Sequence[Frame], profiles: Sequence[Profile], estimate: Estimate
) -> tuple[list[float], list[str], list[str]]:
    """Stops from what the frames carry, checked against and completed from the pixels."""
    if _all_told(frames):
        told = [frame.stops_source or "user" for frame in frames]
        return [frame.stops or 0.0 for frame in frames], told, []
    known = [
        frame.stops if value is None and frame.stops_source == "exif" else value
        for frame, value in zip(frames, bracket_metadata_stops(frames), strict=True)
    ]
    believed = _believable(known, estimate, profiles)
    notes = []
    overruled = [i for i, value in enumerate(known) if value is not None and i not in believed]
    if overruled:
        notes.append(_overruled_note(frames, known, overruled, estimate))
    missing = [i for i, value in enumerate(known) if value is None]
    if missing and believed:
        names = ", ".join(frames[i].name for i in missing)
        notes.append(f"{names}: no usable exposure in EXIF; placed by the pixels")
    kept = {i: known[i] or 0.0 for i in believed}
    values = _completed(kept, estimate)
    sources = ["exif" if i in kept else "pixels" for i in range(len(frames))]
    return values, sources, notes


def _believable(
    known: Sequence[float | None], estimate: Estimate, profiles: Sequence[Profile]
) -> set[int]:
    """Frames whose known stops stand: those that agree with each other as the pixels do.

    One frame that contradicts a majority is overruled alone; without a majority all are.
    """
    present = {i for i, value in enumerate(known) if value is not None}
    against = _contradictions(known, estimate, profiles)
    if not against:
        return present
    wrong: set[int] = set()
    while against:
        if len(present) - len(wrong) <= 2:
            return set()
        worst = max(present - wrong, key=lambda i: _blame(i, against, known, estimate))
        wrong.add(worst)
        against = [pair for pair in against if worst not in pair]
    kept = present - wrong
    return kept if len(kept) * 2 > len(present) else set()


def _blame(
    index: int,
    against: Sequence[tuple[int, int]],
    known: Sequence[float | None],
    estimate: Estimate,
) -> tuple[int, float]:
    """In how many contradictions a frame takes part, and how far it is off all others in sum."""
    own = (known[index] or 0.0) - estimate.stops[index]
    offs = [
        abs(value - estimate.stops[i] - own) for i, value in enumerate(known) if value is not None
    ]
    return sum(index in pair for pair in against), sum(offs)


def _completed(kept: dict[int, float], estimate: Estimate) -> list[float]:
    """Stops of all frames: the known ones, and between and beyond them the estimate."""
    seen = estimate.stops
    if not kept:
        return list(seen)
    scale = _scale(kept, seen)
    values = []
    for i, value in enumerate(seen):
        if i in kept:
            values.append(kept[i])
            continue
        nearest = min(kept, key=lambda j: abs(seen[j] - value))
        values.append(kept[nearest] + scale * (value - seen[nearest]))
    return values


def _scale(kept: dict[int, float], seen: Sequence[float]) -> float:
    """How many known stops one estimated stop is, from the frames that are known."""
    slopes = [
        (kept[a] - kept[b]) / (seen[a] - seen[b])
        for a in kept
        for b in kept
        if a < b and abs(seen[a] - seen[b]) > 0.5
    ]
    return float(np.clip(np.median(slopes), 0.5, 2.0)) if slopes else 1.0


def _overruled_note(
    frames: Sequence[Frame],
    known: Sequence[float | None],
    overruled: Sequence[int],
    estimate: Estimate,
) -> str:
    names = ", ".join(frames[i].name for i in overruled)
    first = next(value for value in known if value is not None)
    base = known.index(first)
    return (
        f"EXIF contradicts the pixels and was overruled for {names}: against "
        f"{frames[base].name} EXIF says {_listed(known, first)} stops, the pixels "
        f"{_listed(estimate.stops, estimate.stops[base])}"
    )

"""Exposure of each frame in stops: from EXIF, from the user, from a side file, from the pixels.

Side files (`stops_file.py`), the camera response (`response.py`) and the mapping of codes between
exposures (`intensity.py`) are reached through this module as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..bracket import Bracket, Frame, Mask, Metadata
from ..errors import BracketError, FileReadError, OptionError
from ..pixels.likeness import strangers
from .curves import (
    CURVE_STRENGTHS,
    USUAL_STRENGTH,
    light_stops,
    trust,
    weighted_median,
)
from .intensity import (
    Floats,
    IntensityMapping,
    histograms,
    intensity_mapping,
    level_count,
    quantiles,
    sample_display,
    sample_mask,
)
from .motion import moving_area, small_displays
from .response import Response, estimate_response
from .sharpness import relative_sharpness
from .stops_file import MAX_STOPS, find_stops_file, read_stops_file, stops_from_file

__all__ = [
    "IntensityMapping",
    "Response",
    "assign_stops",
    "choose_reference",
    "compare_exposures",
    "estimate_response",
    "estimate_stops",
    "find_stops_file",
    "intensity_mapping",
    "read_stops_file",
    "stops_from_metadata",
]

# Frames whose exposures differ by less than this in all are one exposure taken several times.
EQUAL_STOPS = 0.15

# --- from metadata ------------------------------------------------------------------------------


def stops_from_metadata(metadata: Metadata) -> float | None:
    """Exposure in stops that the metadata tell: log2(shutter * ISO / 100 / N^2).

    An aperture or ISO that is missing or nonsense (a manual lens writes 0) counts as f/1 and
    ISO 100: in one bracket it is the same for all frames, and only differences count.
    Returns None where the shutter time is missing or nonsense (0, negative, NaN).

    >>> stops_from_metadata(Metadata(shutter_seconds=1 / 4, aperture_f_number=2.0, iso=400))
    -2.0
    """
    return _exposure_stops(metadata, metadata.aperture_f_number, metadata.iso)


def _positive(value: float | None) -> bool:
    return value is not None and math.isfinite(value) and value > 0


def _exposure_stops(
    metadata: Metadata, aperture_f_number: float | None, iso: float | None
) -> float | None:
    if not _positive(metadata.shutter_seconds):
        return None
    stops = math.log2(metadata.shutter_seconds or 1.0)
    if _positive(iso):
        stops += math.log2((iso or 100.0) / 100)
    if _positive(aperture_f_number):
        stops -= 2 * math.log2(aperture_f_number or 1.0)
    return stops


def _bracket_metadata_stops(frames: Sequence[Frame]) -> list[float | None]:
    """Stops of each frame from its metadata, gaps in aperture and ISO filled from the others."""
    all_metadata = [frame.metadata for frame in frames]
    apertures = [m.aperture_f_number for m in all_metadata if _positive(m.aperture_f_number)]
    isos = [m.iso for m in all_metadata if _positive(m.iso)]
    stops = [
        _exposure_stops(
            m,
            m.aperture_f_number if _positive(m.aperture_f_number) else next(iter(apertures), None),
            m.iso if _positive(m.iso) else next(iter(isos), None),
        )
        for m in all_metadata
    ]
    if all(value is None for value in stops):
        # Without shutter times the bias of automatic bracketing still tells the differences.
        biases = [m.exposure_bias_stops for m in all_metadata]
        known = [b for b in biases if b is not None and math.isfinite(b)]
        if len(known) == len(frames) and max(known) - min(known) > EQUAL_STOPS:
            return list(known)
    return stops


# --- from the pixels ----------------------------------------------------------------------------

_SHARES = (np.arange(256) + 0.5) / 256


# Frames that are transparent in places are compared where all show something, if that is so much.
_LEAST_COMMON_SHARE = 0.05


@dataclass(frozen=True)
class _Profile:
    """What the estimate needs of one frame."""

    values: NDArray[np.float64]  # (256, 3) quantiles of display values
    mean: float
    usable: float  # share of sample values that are neither black nor clipped
    black: float  # share of sample values that are black
    low: float  # display value below which values are black
    linear: bool


def _profiles(frames: Sequence[Frame]) -> list[_Profile]:
    """Profiles of frames of one size, from where all of them show something, as far as they do."""
    seen = [sample_mask(frame.opaque, frame.height, frame.width) for frame in frames]
    if all(mask.all() for mask in seen):
        return [_profile(frame) for frame in frames]
    common = np.logical_and.reduce(seen)
    enough = float(common.mean()) > _LEAST_COMMON_SHARE
    return [
        _profile(frame, common if enough or not mask.any() else mask)
        for frame, mask in zip(frames, seen, strict=True)
    ]


def _profile(frame: Frame, seen: NDArray[np.bool_] | None = None) -> _Profile:
    display = sample_display(frame)
    if seen is not None and seen.any():
        display = display[seen]
    levels = level_count(frame)
    counts = histograms(display, levels)
    values = np.stack([quantiles(counts[:, c], _SHARES) for c in range(3)], axis=1)
    low = 3 / 255 if levels == 256 else 2 / 1023
    black = float((display <= low).mean())
    clipped = float((display >= 252 / 255).mean())
    linear = frame.transfer == "linear"
    return _Profile(values, float(display.mean()), 1 - black - clipped, black, low, linear)


@dataclass(frozen=True)
class _Estimate:
    """Stops of each frame from the pixels, and how much each may be wrong against the darkest.

    The doubt leaves out what the camera's unknown curve adds, which goes with the difference.
    """

    stops: tuple[float, ...]
    doubt: tuple[float, ...]


def estimate_stops(bracket: Bracket) -> tuple[float, ...]:
    """Estimate the exposures of a bracket from its pixels alone, in stops.

    Quantiles of the frames' brightness are matched, so camera shake and moving people hardly
    matter, and compared as light in the range that is clipped in neither of two neighbours in
    brightness. The unknown curve of the camera is taken from a family (`curves.camera_curve`):
    the member under which the difference is most alike over the whole range. Only differences
    count; the middle frame gets 0. Always finite.
    """
    return _estimate(_profiles(bracket.frames)).stops


def compare_exposures(first: Frame, second: Frame) -> tuple[float, float]:
    """How many stops more light the second of two frames has by its pixels, and the doubt of that.

    The doubt leaves out what the camera's unknown curve adds, up to half of the difference.
    """
    estimate = _estimate([_profile(first), _profile(second)])
    return estimate.stops[1] - estimate.stops[0], max(estimate.doubt)


def _estimate(profiles: Sequence[_Profile]) -> _Estimate:
    order = sorted(range(len(profiles)), key=lambda i: profiles[i].mean)
    pairs = [(profiles[a], profiles[b]) for a, b in pairwise(order)]
    if all(profile.linear for profile in profiles):
        strength = 0.0
    else:
        strength = min(CURVE_STRENGTHS, key=lambda s: _misfit(pairs, s))
    stops = [0.0] * len(profiles)
    doubts = [0.0] * len(profiles)
    for place, (dark, bright) in enumerate(pairs):
        difference, doubt = _difference(dark, bright, strength)
        stops[order[place + 1]] = stops[order[place]] + difference
        doubts[order[place + 1]] = math.hypot(doubts[order[place]], doubt)
    middle = stops[order[len(order) // 2]]
    return _Estimate(tuple(value - middle for value in stops), tuple(doubts))


def _matched(
    dark: _Profile, bright: _Profile, strength: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Differences in stops at the quantiles that neither frame clips, and their weights."""
    a, b = dark.values, bright.values
    differences = light_stops(b, strength) - light_stops(a, strength)
    # Toes and shoulders differ most between cameras, and noise lives in the shadows.
    weights = np.minimum(trust(a, dark.low), trust(b, bright.low))
    return differences, weights


def _misfit(pairs: Sequence[tuple[_Profile, _Profile]], strength: float) -> float:
    """How unlike the differences of all pairs are under a curve, relative to their size."""
    total = 0.0
    mass = 0.0
    for dark, bright in pairs:
        differences, weights = _matched(dark, bright, strength)
        weight = float(weights.sum())
        if weight < 1.0:
            continue
        centre = weighted_median(differences, weights)
        scatter = float((np.abs(differences - centre) * weights).sum())
        total += scatter / max(abs(centre), 0.3)
        mass += weight
    return (total / mass if mass else 0.0) + 0.02 * (strength - USUAL_STRENGTH) ** 2


def _difference(dark: _Profile, bright: _Profile, strength: float) -> tuple[float, float]:
    """Difference in stops between two frames, and how much it may be wrong."""
    differences, weights = _matched(dark, bright, strength)
    mass = float(weights.sum())
    if mass >= 0.5:
        centre = weighted_median(differences, weights)
        scatter = weighted_median(np.abs(differences - centre), weights)
        return centre, 0.1 + scatter + 1.0 / mass
    # Hardly a value is unclipped in both: the means of what is left tell the direction at least.
    light = [np.exp2(light_stops(p.values, strength)).mean() for p in (dark, bright)]
    difference = float(np.log2((light[1] + 1e-4) / (light[0] + 1e-4)))
    if bright.mean > dark.mean:
        difference = max(difference, EQUAL_STOPS)
    return difference, 4.0 + abs(difference)


# --- putting it together ------------------------------------------------------------------------


def assign_stops(
    bracket: Bracket, stops: Sequence[float] | None = None, side_file: Path | None = None
) -> Bracket:
    """Give every frame its exposure in stops and sort the frames dark to bright.

    What the user says is believed first (`stops`, in the order of the frames), then `side_file`
    or one that `find_stops_file` finds beside the frames, then EXIF, then the pixels. EXIF, or a
    side file that nobody named, is overruled where it contradicts the pixels. Frames without EXIF
    are placed among the others by their pixels. All that is worth knowing stands in the notes of
    the bracket returned.

    Raises OptionError for user stops of another number than the frames or no numbers,
    FileReadError for a bad side file, and BracketError if all frames are equally exposed, or all
    are black or white.
    """
    frames = bracket.frames
    profiles = _profiles(frames)
    _check_usable(frames, profiles)
    estimate = _estimate(profiles)
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
    frames: Sequence[Frame], profiles: Sequence[_Profile], estimate: _Estimate
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


def _check_usable(frames: Sequence[Frame], profiles: Sequence[_Profile]) -> None:
    if any(profile.usable > 2e-4 for profile in profiles):
        return
    black = [profile.black > 0.5 for profile in profiles]
    what = "all black" if all(black) else "black or white" if any(black) else "all white"
    raise BracketError(
        f"expected photos with something between black and white, found {len(frames)} frames "
        f"that are {what} ({frames[0].name} ...); give other exposures"
    )


def _useless_notes(frames: Sequence[Frame], profiles: Sequence[_Profile]) -> list[str]:
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


def _pair_doubt(a: int, b: int, estimate: _Estimate) -> float:
    return math.sqrt(abs(estimate.doubt[a] ** 2 - estimate.doubt[b] ** 2))


def _contradictions(
    values: Sequence[float | None], estimate: _Estimate, profiles: Sequence[_Profile]
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


def _doubt_note(values: Sequence[float], source: str, estimate: _Estimate) -> str:
    who = "the stops given" if source == "user" else "the side file"
    first = values[0]
    return (
        f"{who} say {_listed(values, first)} stops against the first frame, but the pixels look "
        f"like {_listed(estimate.stops, estimate.stops[0])}; believed as given"
    )


def _stops_of_frames(
    frames: Sequence[Frame], profiles: Sequence[_Profile], estimate: _Estimate
) -> tuple[list[float], list[str], list[str]]:
    """Stops from what the frames carry, checked against and completed from the pixels."""
    if _all_told(frames):
        told = [frame.stops_source or "user" for frame in frames]
        return [frame.stops or 0.0 for frame in frames], told, []
    known = [
        frame.stops if value is None and frame.stops_source == "exif" else value
        for frame, value in zip(frames, _bracket_metadata_stops(frames), strict=True)
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
    known: Sequence[float | None], estimate: _Estimate, profiles: Sequence[_Profile]
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
    estimate: _Estimate,
) -> tuple[int, float]:
    """In how many contradictions a frame takes part, and how far it is off all others in sum."""
    own = (known[index] or 0.0) - estimate.stops[index]
    offs = [
        abs(value - estimate.stops[i] - own) for i, value in enumerate(known) if value is not None
    ]
    return sum(index in pair for pair in against), sum(offs)


def _completed(kept: dict[int, float], estimate: _Estimate) -> list[float]:
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
    estimate: _Estimate,
) -> str:
    names = ", ".join(frames[i].name for i in overruled)
    first = next(value for value in known if value is not None)
    base = known.index(first)
    return (
        f"EXIF contradicts the pixels and was overruled for {names}: against "
        f"{frames[base].name} EXIF says {_listed(known, first)} stops, the pixels "
        f"{_listed(estimate.stops, estimate.stops[base])}"
    )


# --- the reference ------------------------------------------------------------------------------

# What the outermost frame's loss is raised by, and the area that it is charged besides: its
# registration to the far end is the hardest.
_DISTANCE_RISE = 0.45
_DISTANCE_COST = 0.03


# Share of the picture that moves at which it decides half; what it counts beside the rest then.
_MOVING_HALF_SHARE = 0.01
_MOVING_COST = 1.5
_STILL_SHARE = 0.3
# What the brightest frame is charged where things move: the longer it was open, the more they blur.
_BLUR_COST = 0.03
# A frame with less than this of the others' fine detail (log2) is blurred, by focus or shake, and
# what lies at its edges would be called moved in all others: charged as if half of it were lost.
_BLURRED = -0.8
_BLURRED_COST = 0.5
# A photo that a flash lit beside one that it did not: fog, pink windows and shadows of its own. One
# whose metadata alone were overruled by the pixels may be one too, or was taken in another light.
_FLASH_COST = 10.0


def choose_reference(bracket: Bracket) -> int:
    """Choose the frame that loses least: its index in the bracket, sorted dark to bright.

    A frame that a flash lit is chosen only where a flash lit all, and one that shows something else
    than the others (`strangers_in`) never.

    Each frame is charged for the area where its highlights clip and where its shadows are so dark
    that their noise and rounding would show once brightened; near-ties go to the middle. Where
    things move (`motion.moving_area`), what they lose counts most: of them the result shows only
    what the reference saw, while what stands still is seen by the other frames as well.
    """
    middle = (len(bracket.frames) - 1) / 2
    displays = small_displays(bracket.frames)
    moving = moving_area(displays, wraps=bracket.wraps)
    for frame in bracket.frames:
        if frame.opaque is not None:
            moving &= _reduced_mask(frame.opaque, moving.shape)
    share = float(moving.mean())
    decides = share / (share + _MOVING_HALF_SHARE)
    sharpness = relative_sharpness(bracket.frames)
    overruled = _overruled(bracket.frames) | _strangers(bracket, displays)
    costs = []
    for index, frame in enumerate(bracket.frames):
        distance = abs(index - middle) / max(middle, 0.5)
        loss = _loss(sample_display(frame), sample_mask(frame.opaque, frame.height, frame.width))
        cost = loss * (1 + _DISTANCE_RISE * distance) + _DISTANCE_COST * distance
        if share > 0:
            lost = _moving_loss(displays[index][moving] * np.float32(1 / 255))
            blur = _BLUR_COST * index / max(2 * middle, 1)
            cost = cost * (1 - (1 - _STILL_SHARE) * decides)
            cost += decides * (_MOVING_COST * lost + blur)
        if sharpness[index] < _BLURRED:
            cost += _BLURRED_COST
        if frame.metadata.flash_fired or index in overruled:
            cost += _FLASH_COST
        costs.append(cost)
    return int(np.argmin(costs))


def strangers_in(bracket: Bracket) -> list[Frame]:
    """Frames that show something else than the others of their bracket."""
    found = _strangers(bracket, small_displays(bracket.frames))
    return [bracket.frames[index] for index in sorted(found)]


def _strangers(bracket: Bracket, displays: Sequence[Floats]) -> set[int]:
    # The camera may have been turned all the way round between photos that go round.
    if len(displays) < 3 or bracket.wraps:
        return set()
    return strangers([Frame(display.astype(np.uint8)) for display in displays])


def _overruled(frames: Sequence[Frame]) -> set[int]:
    """Frames whose own exposures are not believed, where those of most others are."""
    told = [i for i, frame in enumerate(frames) if stops_from_metadata(frame.metadata) is not None]
    doubted = {i for i in told if frames[i].stops_source == "pixels"}
    return doubted if 2 * len(doubted) < len(told) else set()


def _moving_loss(display: Floats) -> float:
    """Share of what moves that a frame loses to clipping, or all but loses to noise."""
    brightest = display.max(axis=1)
    clipped = np.clip((brightest - 0.94) / 0.05, 0.0, 1.0)
    crushed = np.clip((0.12 - brightest) / 0.10, 0.0, 1.0)
    return float(clipped.mean() + crushed.mean())


def _reduced_mask(mask: Mask, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    return np.asarray(cv2.resize(mask, shape[::-1], interpolation=cv2.INTER_AREA) == 255)


def _loss(display: Floats, shown: NDArray[np.bool_]) -> float:
    """Share of the area (0..1) that a frame loses to clipping and to noise in shadows.

    shown: samples that are not transparent; the others are lost.
    """
    brightest = display.max(axis=1)
    clipped = np.clip((brightest - 0.94) / 0.05, 0.0, 1.0)
    crushed = np.clip((0.30 - brightest) / 0.25, 0.0, 1.0)
    # What moves is shown from the reference alone, so a dark shadow costs as much as a highlight.
    return float(np.where(shown, clipped + crushed, 1).mean())

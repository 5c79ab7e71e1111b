"""The same exposure and white balance from set to set.

Every bracket is fused small first, and what its picture looks like is measured; the gains that
bring all to the median look then go into the options of each (`light.scale_light`), so that every
picture is made in one go.

- Brackets of one manual exposure (a panorama, a time lapse) are made to show the same light at the
  same brightness. Brackets whose exposures differ (the rooms of a house, metered one by one) are
  made equally bright.
- HDR files hold one absolute scale, by the exposures that the cameras tell.
- RAW photos are all developed with one white balance, the median of the cameras' own. Other
  photos of automatic white balance are brought to one by their nearly grey areas; photos
  whose white balance was set by hand share it already.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..bracket import Bracket, Stack
from ..exposure.assign import assign_stops
from ..exposure.reference import choose_reference
from ..io.write import space_of
from ..methods import fuse_stack
from ..options import FuseOptions
from ..options.chosen import method_of, settings_for
from ..pixels import color
from ..tone.light import Gains
from ..tone.tonemap import tone_map
from ..work.children import Failure
from ..work.pool import do_apart
from .likeness import readers, small_copy
from .patterns import SAME_STOPS
from .photos import Folder, PhotoFile
from .plan import Plan, Planned
from .workers import limit_threads

_SECONDS_TO_MEASURE: Final = 3600.0
# Light that counts: neither so dark that noise, nor so bright that clipping decides.
_DARKEST, _BRIGHTEST = 0.01, 0.9
# How far red or blue may lie from green, in e-folds, for a pixel to count as nearly grey.
_NEARLY_GREY: Final = 0.35
# What is asked for beyond these is no difference of exposure or white balance: the motif is.
_MOST_STOPS: Final = 2.0
_MOST_WHITE_BALANCE_STOPS: Final = 0.5
# Gains in such steps, so that one more bracket in the folder does not change all others by a hair.
_STEP_STOPS: Final = 0.05


@dataclass(frozen=True)
class Look:
    """How a bracket's picture comes out, measured on a small one.

    brightness: mean over the pixels of ln(y / (1 - y)), y the luminance of the display picture;
        None for HDR files.
    rendering: the same against ln(radiance) on the camera's absolute scale: how bright a given
        light is shown; None where exposures are not told.
    cast: red's and blue's ln against green's in nearly grey areas.
    stops: exposures of the darkest and brightest photo; None where not told.
    reference, reference_stops: the photo that the picture's geometry and scale are of.
    """

    brightness: float | None
    rendering: float | None
    cast: tuple[float, float]
    stops: tuple[float, float] | None
    reference: int
    reference_stops: float | None


def consistent_options(
    plan: Plan,
    folder: Folder,
    out: Path,
    options: FuseOptions,
    *,
    progress: Callable[[float], None] | None = None,
) -> dict[int, FuseOptions]:
    """Options for each bracket of a plan that make all pictures look alike.

    Brackets that cannot be measured keep the common options: they will fail, and say why.
    """
    files = [file for planned in plan.brackets for file in _files(folder, planned)]
    balance = _common_white_balance(files)
    options = replace(options, read=replace(options.read, white_balance=balance))
    jobs = [
        (planned, _part_of(folder, planned), out / planned.output, options)
        for planned in plan.brackets
    ]
    workers = readers(max((file.pixels for file in files), default=0))
    looks: dict[int, Look] = {}
    for place, look in do_apart(
        _measure_alone, jobs, workers, seconds=_SECONDS_TO_MEASURE, progress=progress
    ):
        if not isinstance(look, Failure):
            looks[plan.brackets[place].number] = look
    looks = {number: looks[number] for number in sorted(looks)}
    by_camera = balance is not None or not any(file.auto_white_balance for file in files)
    gains = consistent_gains(list(looks.values()), white_balance=not by_camera)
    chosen = {planned.number: options for planned in plan.brackets}
    for (number, look), gain in zip(looks.items(), gains, strict=True):
        reference = look.reference if options.reference is None else options.reference
        chosen[number] = replace(options, gains=gain, reference=reference)
    return chosen


def _part_of(folder: Folder, planned: Planned) -> Folder:
    """What one bracket needs to know of a folder."""
    photos = {name: folder.photos[name] for name in planned.files if name in folder.photos}
    return Folder(folder.root, photos)


def _measure_alone(planned: Planned, folder: Folder, target: Path, options: FuseOptions) -> Look:
    """Measure on one core, for others are measured beside."""
    limit_threads(1)
    return measure(planned, folder, target, options)


def _files(folder: Folder, planned: Planned) -> list[PhotoFile]:
    return [folder.photos[name] for name in planned.files if name in folder.photos]


def _common_white_balance(files: Sequence[PhotoFile]) -> tuple[float, float, float, float] | None:
    """The median of what cameras recorded in RAW files, green at 1; None if there are none."""
    found = [file.white_balance for file in files if file.white_balance is not None]
    if not found:
        return None
    red, green, blue, green_2 = np.median([np.array(b) / b[1] for b in found], axis=0).tolist()
    return red, green, blue, green_2


# --- measuring -----------------------------------------------------------------------------------


def measure(planned: Planned, folder: Folder, target: Path, options: FuseOptions) -> Look:
    """Fuse small copies of a bracket and measure the picture.

    Raises GhostlessError where a photo cannot be read or the photos make no bracket.
    """
    copies = tuple(small_copy(folder.root / name, options.read) for name in planned.files)
    told = [file.photo.stops for file in _files(folder, planned)]
    known = [value for value in told if value is not None]
    absolute = known if len(known) == len(copies) else None
    bracket = assign_stops(Bracket(copies), absolute)
    reference = options.reference
    if reference is None or not 0 <= reference < len(copies):
        reference = choose_reference(bracket)
    stack = Stack(bracket.frames, reference)
    reference_stops = None if absolute is None else bracket.stops[reference]
    method = method_of(options, target, len(stack.frames))
    fused = fuse_stack(stack, method.name, settings_for(options, method))
    is_hdr = space_of(target) == "linear"
    picture = tone_map(fused, options.tone_map) if fused.space == "linear" else fused
    light = color.srgb_to_linear(picture.pixels)
    luminance = color.luminance(light)
    odds = _log_odds(luminance)
    rendering = None
    if reference_stops is not None and not is_hdr:
        radiance = color.luminance(fuse_stack(stack, "debevec").pixels)
        shown = (luminance > _DARKEST) & (luminance < _BRIGHTEST) & (radiance > 0)
        if shown.any():
            absolute_light = np.log(radiance[shown]) - reference_stops * np.log(2)
            rendering = float(np.median(odds[shown] - absolute_light))
    return Look(
        brightness=None if is_hdr else float(odds.mean()),
        rendering=rendering,
        cast=_cast(light),
        stops=None if absolute is None else (min(absolute), max(absolute)),
        reference=reference,
        reference_stops=reference_stops,
    )


def _log_odds(light: NDArray[np.float32]) -> NDArray[np.float32]:
    """ln(y / (1 - y)), to which a gain of `scale_light` adds its logarithm."""
    light = np.clip(light, 0.002, 0.998)
    return np.asarray(np.log(light / (1 - light)), np.float32)


def _cast(light: NDArray[np.float32]) -> tuple[float, float]:
    """Colour of the nearly grey: mean log odds of red and blue against green, (0, 0) without."""
    counts = (light.min(axis=2) > _DARKEST) & (light.max(axis=2) < _BRIGHTEST)
    odds = _log_odds(light[counts])
    if len(odds) < 100:
        return 0.0, 0.0
    red, blue = odds[:, 0] - odds[:, 1], odds[:, 2] - odds[:, 1]
    weights = np.exp(-((red / _NEARLY_GREY) ** 2) - (blue / _NEARLY_GREY) ** 2) + 1e-6
    return float(np.average(red, weights=weights)), float(np.average(blue, weights=weights))


# --- deciding ------------------------------------------------------------------------------------


def consistent_gains(looks: Sequence[Look], *, white_balance: bool = True) -> list[Gains]:
    """The gains of each picture that bring all to the median look."""
    if not looks:
        return []
    exposure = _exposure_gains(looks)
    casts = np.array([look.cast for look in looks])
    shifts = np.median(casts, axis=0) - casts if white_balance else np.zeros_like(casts)
    shifts = _limited(shifts, _MOST_WHITE_BALANCE_STOPS)
    gains: list[Gains] = []
    for value, (red, blue) in zip(exposure, shifts, strict=True):
        logs = np.array([value + red, value, value + blue]) / np.log(2)
        red_gain, green_gain, blue_gain = np.exp2(np.round(logs / _STEP_STOPS) * _STEP_STOPS)
        gains.append((float(red_gain), float(green_gain), float(blue_gain)))
    return gains


def _exposure_gains(looks: Sequence[Look]) -> NDArray[np.float64]:
    """Logarithms of what to multiply each picture by."""
    if any(look.brightness is None for look in looks):
        scales = [look.reference_stops for look in looks]
        if any(scale is None for scale in scales):
            return np.zeros(len(looks))  # no common scale is told
        known = np.array(scales, float) * np.log(2)
        return np.asarray(np.median(known) - known)
    shown = [look.rendering if _one_exposure(looks) else look.brightness for look in looks]
    values = np.array(shown, float)
    return _limited(np.median(values) - values, _MOST_STOPS)


def _one_exposure(looks: Sequence[Look]) -> bool:
    """Whether all brackets were taken at the same manual exposures, and all can be compared."""
    stops = [look.stops for look in looks]
    if any(value is None for value in stops) or any(look.rendering is None for look in looks):
        return False
    return bool((np.ptp(np.array(stops, float), axis=0) < SAME_STOPS).all())


def _limited(logs: NDArray[np.float64], stops: float) -> NDArray[np.float64]:
    return np.asarray(np.clip(logs, -stops * np.log(2), stops * np.log(2)))

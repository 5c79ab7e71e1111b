"""The line: from files on disk to a finished picture. Every face of Ghostless goes through here."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from . import __version__
from .align import align_bracket
from .bracket import MAX_FRAMES, Bracket, Frame, Fused, Space, Stack, check_frame_count
from .deghost import DeghostSettings, deghost_stack
from .deghost.by_hand import check_kept, check_kept_of, read_kept
from .errors import OptionError, unknown_name
from .exposure.assign import assign_stops
from .exposure.reference import choose_reference, strangers_in
from .io.arrays import Channels, Photos, as_bracket, paths_in
from .io.atomic import make_folder_of
from .io.folder import check_folder, stage_saver, write_stack
from .io.read import read_bracket
from .io.shots import choose_shots
from .io.write import (
    check_output,
    format_of,
    holds_transparency,
    space_of,
    write_hdr_image,
    write_image,
    write_text,
)
from .methods import Method, fuse_stack
from .options import FuseOptions as FuseOptions
from .options.chosen import method_of, settings_for
from .options.unused import check_unused
from .pixels.color import Transfer
from .report import Journal, Observer, Progress, Report, describe_frames, plain, with_strangers
from .tone.controls import control_tone
from .tone.light import scale_light
from .tone.rendition import hdr_rendition
from .tone.tonemap import ToneMapSettings, tone_map
from .work.spill import take_remarks

StrPath = str | Path


def fuse_files(
    paths: Sequence[StrPath],
    out: StrPath,
    options: FuseOptions | None = None,
    *,
    progress: Progress | None = None,
    observe: Observer | None = None,
    remarks: Sequence[str] = (),
) -> Report:
    """Fuse the photos of one bracket into one picture: read, align, deghost, fuse, write.

    paths: 2 to 20 shots of one scene, any order. Of a RAW+JPEG pair one file counts, and photos
        lit by a flash are not fused with others (`shots.choose_shots`).
    out: the file to write; its suffix decides between display (.jpg .png .tif .webp .avif) and
        linear (.exr .hdr .jxl, .dng). A linear result is tone-mapped on its way to a display file.
    progress: called with (stage, fraction 0..1).
    observe: called with ("aligned", Stack), ("deghosted", Stack) where that was done,
        ("fused", Fused), where a linear result becomes a display file ("picture", Fused), and with
        `hdr` ("rendition", Fused).
        It may look and copy; what it keeps stays in memory.
    remarks: what is to be said of the choice of the files: the report's first notes.
    Returns a Report. Raises GhostlessError; nothing is written then. An option that is set and
    would do nothing, such as a tone mapping of a display image, is an OptionError too.
    """
    options, files, target = options or FuseOptions(), [Path(p) for p in paths], Path(out)
    _check_fusing(files, target, options)
    keeps = format_of(target).sensor_colours
    line = _Line(options, target, Journal(progress), observe, files, sensor_colours=keeps)
    display = space_of(target) == "display"

    # Photos, frames and radiance are let go of as soon as the next step has been: memory is dear.
    stack = line.align(line.expose(line.read(files, remarks)))
    photo = line.photo_to_measure_from(stack)
    stack = line.deghost(stack)
    fused = line.fuse(stack)
    line.journal.note(*_transparency_note(fused, target, options.hdr))
    light = line.merge(stack, fused) if options.hdr and display else None
    del stack
    if display:
        fused = line.tone_map(fused)
    fused = line.balance(line.control(fused, photo))
    if light is not None:
        light = line.render(fused, light)
    line.write(fused, light, target, files)
    return line.report(target, fused.space, fused.pixels.shape)


def fuse(
    photos: Photos,
    options: FuseOptions | None = None,
    *,
    transfer: Transfer = "srgb",
    channels: Channels = "rgb",
    progress: Progress | None = None,
    observe: Observer | None = None,
    **changes: Any,
) -> Fused:
    """Fuse the photos of one bracket in memory: the line without a file to write.

    photos: 2 to 20 shots of one scene, any order: arrays (H, W, 3) RGB or (H, W) grey of uint8,
        uint16 or float 0..1, what has `__array__` (a torch tensor), or paths (`as_bracket`).
    transfer: how arrays' numbers relate to light: "srgb" or "linear". channels: "rgb", or "bgr" as
        OpenCV has them; the result is RGB.
    progress, observe: as in `fuse_files`.
    changes: fields of FuseOptions, in place of those in `options`: `stops=(-2, 0, 2)`. Of `align`,
        `deghost` and `tone_map` a word will do: `align="none"`, `deghost="on"`,
        `tone_map="reinhard"`.
    Returns a Fused, whose pixels `np.asarray` gives: float32 (H, W, 3), a picture 0..1 with the
    sRGB curve; of a linear method radiance, unless `tone_map` is given.
    Raises GhostlessError, also for options that are about files (`hdr`, `write`, `report`, ...).
    """
    options = _changed(options or FuseOptions(), changes)
    paths = paths_in(photos)
    mapped = "tone_map" in changes or options.tone_map != ToneMapSettings()
    target = _check_fusing_in_memory(options, arrays=not paths)
    line = _Line(options, target, Journal(progress), observe)

    if paths:
        stack = line.align(line.expose(line.read(paths)))
    else:
        bracket = as_bracket(photos, transfer=transfer, channels=channels)
        stack = line.align(line.expose(bracket))
    photo = line.photo_to_measure_from(stack)
    stack = line.deghost(stack)
    fused = line.fuse(stack)
    del stack
    if mapped:
        fused = line.tone_map(fused)
    fused = line.balance(line.control(fused, photo))
    line.journal.note(*take_remarks())
    return replace(fused, notes=tuple(line.journal.notes))


def align_files(
    paths: Sequence[StrPath],
    out_folder: StrPath,
    options: FuseOptions | None = None,
    *,
    progress: Progress | None = None,
    remarks: Sequence[str] = (),
) -> Report:
    """Register the photos of one bracket and write the aligned frames to a folder as TIFF."""
    options = replace(options or FuseOptions(), deghost=DeghostSettings(mode="off"))
    return deghost_files(paths, out_folder, options, progress=progress, remarks=remarks)


def deghost_files(
    paths: Sequence[StrPath],
    out_folder: StrPath,
    options: FuseOptions | None = None,
    *,
    masks: bool = False,
    progress: Progress | None = None,
    remarks: Sequence[str] = (),
) -> Report:
    """Write the aligned frames of one bracket to a folder as TIFF with the ghosts gone.

    masks: also write each frame's confidence mask (PNG; black where ghosts were replaced).
    """
    options = options or FuseOptions()
    files, folder = [Path(path) for path in paths], Path(out_folder)
    check_frame_count(min(len(files), MAX_FRAMES))
    _check_sidelines(files, options)
    check_folder(folder, options.write, files, masks)
    line = _Line(options, None, Journal(progress), None, files)

    stack = line.align(line.expose(line.read(files, remarks)))
    stack = line.deghost(stack)
    with line.journal.stage("write"):
        write_stack(stack, folder, options.write, files, stack.confidence if masks else None)
    first = stack.frames[0]
    space: Space = "display" if first.transfer == "srgb" else "linear"
    return line.report(folder, space, first.pixels.shape)


def prepare_files(
    paths: Sequence[StrPath], options: FuseOptions | None = None, remarks: Sequence[str] = ()
) -> Bracket:
    """Read the photos of one bracket and find their exposures; frames sorted dark to bright."""
    options = options or FuseOptions()
    line = _Line(options, None, Journal())
    bracket = line.read([Path(path) for path in paths], remarks)
    return assign_stops(bracket, line.stops, options.stops_file)


def versions() -> dict[str, str]:
    """Return the versions that a result depends on."""
    return {
        "ghostless": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
    }


# ---- the steps ----


class _Line:
    """The steps of one run. Each is timed, tells how far it is, and shows what it made.

    target: the file that will be written, by which the method is chosen when the photos are known;
        None where the frames themselves are wanted.
    stops: those that were told of the frames that were read, in their order.
    observe: called with (moment, value). files: the photos, which saved stages are named after.
    sensor_colours: whether RAW photos stay in their sensor's colours, for a result that does; saved
        stages are pictures to look at, and have none.
    """

    def __init__(
        self,
        options: FuseOptions,
        target: Path | None,
        journal: Journal,
        observe: Observer | None = None,
        files: Sequence[Path] = (),
        *,
        sensor_colours: bool = False,
    ) -> None:
        self.journal = journal
        self._sensor_colours = sensor_colours and options.save_stages is None
        self._options = options
        self._target = target
        self._method: Method | None = None
        self.stops = options.stops
        self._reference = 0
        self._strangers: list[str] = []
        self._observers = [] if observe is None else [observe]
        if options.save_stages is not None:
            self._observers.append(stage_saver(options.save_stages, options.write, files, journal))

    def read(self, files: Sequence[Path], remarks: Sequence[str] = ()) -> Bracket:
        """Read those of the files that make the bracket."""
        with self.journal.stage("read"):
            check_frame_count(min(len(files), MAX_FRAMES))
            chosen = choose_shots(files, self._options.read)
            check_frame_count(len(chosen.files))
            if self.stops is not None and len(self.stops) == len(files):
                self.stops = tuple(self.stops[place] for place in chosen.places)
            bracket = read_bracket(
                chosen.files, self._options.read, sensor_colours=self._sensor_colours
            )
        return replace(bracket, notes=(*remarks, *chosen.notes, *bracket.notes))

    def expose(self, bracket: Bracket) -> Bracket:
        """Find every frame's exposure, sort them, and choose the reference and the method."""
        check_kept_of(self._options.keep, bracket)
        if self._target is not None:
            self._method = method_of(self._options, self._target, len(bracket.frames))
        with self.journal.stage("exposure"):
            bracket = assign_stops(bracket, self.stops, self._options.stops_file)
            self._reference = _reference_of(bracket, self._options.reference)
            self._strangers = [frame.name for frame in strangers_in(bracket)]
        return bracket

    def align(self, bracket: Bracket) -> Stack:
        """Lay every frame on the reference."""
        with self.journal.stage("align") as tell:
            stack = align_bracket(bracket, self._options.align, self._reference, progress=tell)
        del bracket
        self._show("aligned", stack)
        return stack

    def deghost(self, stack: Stack) -> Stack:
        """Replace what moved, where that is asked for; tell what became of every frame."""
        settings = self._options.deghost
        looked = settings.mode != "off" and not self._deghosts_itself()
        if looked or self._options.keep:
            settings = settings if looked else replace(settings, mode="off")
            with self.journal.stage("deghost") as tell:
                kept = read_kept(self._options.keep, stack)
                stack = deghost_stack(stack, settings, kept=kept, progress=tell)
            self._show("deghosted", stack)
        self.journal.note(*with_strangers(stack.notes, self._strangers))
        self.journal.frames = describe_frames(stack, looked)
        return stack

    def fuse(self, stack: Stack) -> Fused:
        """Fuse the frames by the method."""
        assert self._method is not None
        with self.journal.stage("fuse") as tell:
            settings = settings_for(self._options, self._method)
            fused = fuse_stack(stack, self._method.name, settings, progress=tell)
        self.journal.note(*fused.notes)
        self._show("fused", fused)
        return fused

    def merge(self, stack: Stack, fused: Fused) -> Fused:
        """The scene's radiance: the result itself if it is linear, else merged from the frames."""
        with self.journal.stage("merge") as tell:
            if fused.space == "linear":
                return fused
            if self._deghosts_itself():
                stack = deghost_stack(stack, self._options.deghost)
            light = fuse_stack(stack, "debevec", progress=tell)
        self.journal.note(*light.notes)
        return light

    def tone_map(self, fused: Fused) -> Fused:
        """Turn radiance into a picture; one that is a picture stays as it is."""
        if fused.space == "display":
            return fused
        with self.journal.stage("tone map") as tell:
            fused = tone_map(fused, self._options.tone_map, progress=tell)
        self._show("picture", fused)
        return fused

    def photo_to_measure_from(self, stack: Stack) -> Frame | None:
        """The reference photo, where the tone is set by how far the result is from it."""
        return stack.frames[stack.reference] if self._options.tone.strength != 1 else None

    def control(self, fused: Fused, photo: Frame | None) -> Fused:
        """Set the tone by hand, where that is asked for."""
        return control_tone(fused, self._options.tone, photo)

    def balance(self, fused: Fused) -> Fused:
        """Scale the light of the channels, where that is asked for."""
        gains = self._options.gains
        return fused if gains is None else scale_light(fused, gains)

    def render(self, fused: Fused, light: Fused) -> Fused:
        """What HDR displays show where others show `fused`."""
        rendition = hdr_rendition(fused, light)
        self._show("rendition", rendition)
        return rendition

    def write(
        self, fused: Fused, rendition: Fused | None, out: Path, files: Sequence[Path]
    ) -> None:
        """Write the result, with what HDR displays show if there is that; its folder is made."""
        with self.journal.stage("write"):
            make_folder_of(out)
            if rendition is None:
                write_image(fused, out, self._options.write, files)
            else:
                write_hdr_image(fused, rendition, out, self._options.write, files)

    def report(self, out: Path, space: Space, shape: tuple[int, ...]) -> Report:
        """Tell what was done, in the file that was asked for too."""
        self.journal.note(*take_remarks())
        report = Report(
            output=str(out),
            method=None if self._method is None else self._method.name,
            space=space,
            width=shape[1],
            height=shape[0],
            frames=self.journal.frames,
            stages=tuple(self.journal.stages),
            settings=plain(asdict(self._used())),
            versions=versions(),
            notes=tuple(self.journal.notes),
        )
        if self._options.report is not None:
            text = json.dumps(report.as_dict(), indent=2) + "\n"
            make_folder_of(self._options.report)
            write_text(text, self._options.report, self._options.write)
        return report

    def _used(self) -> FuseOptions:
        """The options with what the method runs with alone."""
        if self._method is None:
            return self._options
        own = settings_for(self._options, self._method)
        return replace(self._options, method_settings=own)

    def _deghosts_itself(self) -> bool:
        method = self._method
        return method is not None and method.deghosts and self._options.deghost.mode == "auto"

    def _show(self, moment: str, value: Stack | Fused) -> None:
        for observe in self._observers:
            observe(moment, value)


# ---- the checks before it ----


def _check_fusing(files: Sequence[Path], target: Path, options: FuseOptions) -> None:
    """Raise, before any work, what would keep the result from being written."""
    check_frame_count(min(len(files), MAX_FRAMES))
    _check_method(options, target, len(files))
    check_output(target, options.write, files, make_folder=True, hdr=options.hdr)
    _check_sidelines(files, options)


def _check_method(options: FuseOptions, target: Path, photos: int | None) -> None:
    """Raise what would keep the method from running, as far as its photos are known."""
    method = method_of(options, target, photos)
    check_unused(options, method, target)
    method.check_ready(settings_for(options, method))


# What is about the file of a result; and about files of photos.
_ABOUT_RESULT = ("hdr", "write", "save_stages", "report")
_ABOUT_PHOTOS = ("read", "stops_file")
_WORDS = {"align": "model", "deghost": "mode", "tone_map": "operator"}


def _changed(options: FuseOptions, changes: Mapping[str, Any]) -> FuseOptions:
    """The options with some of their fields changed; words stand for settings."""
    known = {item.name for item in fields(FuseOptions)}
    values = {}
    for name, value in changes.items():
        if name not in known:
            raise unknown_name("option", name, known)
        if name in _WORDS and isinstance(value, str):
            value = replace(getattr(options, name), **{_WORDS[name]: value})
        if name == "stops" and value is not None:
            value = tuple(float(number) for number in value)
        values[name] = value
    return replace(options, **values)


def _check_fusing_in_memory(options: FuseOptions, *, arrays: bool) -> Path:
    """Raise what cannot be done without a file; give the name that the method is chosen by."""
    target = Path("array.tif")
    plain = FuseOptions()
    about_files = _ABOUT_RESULT + (_ABOUT_PHOTOS if arrays else ())
    for name in about_files:
        if getattr(options, name) != getattr(plain, name):
            whose = "result" if name in _ABOUT_RESULT else "photos"
            raise OptionError(
                f"{name}: expected files, found that the {whose} is in memory only; leave the "
                "option out or use fuse_files"
            )
    _check_method(options, target, None)
    check_kept(options.keep)
    return target


def _check_sidelines(files: Sequence[Path], options: FuseOptions) -> None:
    """Raise what would keep the report or the saved stages from being written."""
    if options.report is not None:
        check_output(options.report, options.write, files, suffixes=(".json",), make_folder=True)
    check_kept(options.keep)
    if options.save_stages is not None:
        for stage in ("aligned", "deghosted"):
            check_folder(options.save_stages / stage, options.write, files, masks=True)


def _reference_of(bracket: Bracket, wanted: int | None) -> int:
    if wanted is None:
        return choose_reference(bracket)
    if not 0 <= wanted < len(bracket.frames):
        raise OptionError(
            f"reference: expected an index from 0 (darkest) to {len(bracket.frames) - 1} "
            f"(brightest), found {wanted}"
        )
    return wanted


# ---- what is told of it ----


def _transparency_note(fused: Fused, target: Path, hdr: bool) -> tuple[str, ...]:
    """Say what becomes of places that no photo shows."""
    if fused.opaque is None:
        return ()
    share = 100 * float(np.mean(fused.opaque < 128))
    shown = f"{share:.1f} % of the picture is transparent in all photos"
    if holds_transparency(target, hdr=hdr):
        return (f"{shown}, and in the result",)
    return (f"{shown}: black in the result; write a .png or .tif to keep it so, or use --crop",)

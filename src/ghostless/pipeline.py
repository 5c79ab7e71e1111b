"""The line: from files on disk to a finished picture. Every face of Ghostless goes through here."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from . import __version__
from .align import AlignSettings, align_bracket
from .bracket import MAX_FRAMES, Bracket, Fused, Mask, Stack, check_frame_count
from .deghost import DeghostSettings, deghost_stack
from .errors import OptionError, SpaceError
from .exposure.assign import assign_stops
from .exposure.reference import choose_reference, strangers_in
from .io.read import read_bracket
from .io.shots import choose_shots
from .io.write import (
    WriteSettings,
    check_output,
    holds_transparency,
    space_of,
    write_frame,
    write_hdr_image,
    write_image,
    write_mask,
    write_text,
)
from .methods import Method, fuse_stack, get_method
from .options import FuseOptions as FuseOptions
from .report import Journal, Progress, Report, describe_frames
from .tone.light import scale_light
from .tone.rendition import hdr_rendition
from .tone.tonemap import tone_map
from .unused import check_unused
from .work.spill import take_remarks

StrPath = str | Path
Observer = Callable[[str, Stack | Fused], None]


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
        linear (.exr .hdr .jxl). A linear result is tone-mapped on its way to a display file.
    progress: called with (stage, fraction 0..1).
    observe: called with ("aligned", Stack), ("deghosted", Stack) where that was done,
        ("fused", Fused), where a linear result becomes a display file ("picture", Fused), and with
        `hdr` ("rendition", Fused).
        It may look and copy; what it keeps stays in memory.
    remarks: what is to be said of the choice of the files: the report's first notes.
    Returns a Report. Raises GhostlessError; nothing is written then. An option that is set and
    would do nothing, such as a tone mapping of a display image, is an OptionError too.
    """
    options = options or FuseOptions()
    files, target = [Path(path) for path in paths], Path(out)
    check_frame_count(min(len(files), MAX_FRAMES))
    method = choose_method(options.method, target)
    check_unused(options, method, target)
    method.check_ready(options.method_settings)
    check_output(target, options.write, files, hdr=options.hdr)
    _check_report(options, files)
    if options.save_stages is not None:
        for stage in ("aligned", "deghosted"):
            _check_folder(options.save_stages / stage, options.write, files, masks=True)
    journal = Journal(progress)
    observe = observe or _look_away

    stack = _prepare(files, options, journal, method, observe, remarks)
    with journal.stage("fuse") as tell:
        fused = fuse_stack(stack, method.name, options.method_settings, progress=tell)
    frames = describe_frames(stack, _looks_for_ghosts(method, options))
    notes = (*stack.notes, *fused.notes, *_transparency_note(fused, target, options.hdr))
    radiance = None
    if options.hdr and space_of(target) == "display":
        with journal.stage("merge") as tell:
            radiance = _radiance(stack, fused, method, options, tell)
        notes = tuple(dict.fromkeys((*notes, *radiance.notes)))
    del stack  # a linear result needs the memory for its tone mapping
    observe("fused", fused)
    if fused.space == "linear" and space_of(target) == "display":
        with journal.stage("tone map") as tell:
            fused = tone_map(fused, options.tone_map, progress=tell)
        observe("picture", fused)
    if options.gains is not None:
        fused = scale_light(fused, options.gains)
    if radiance is None:
        with journal.stage("write"):
            write_image(fused, target, options.write, files)
    else:
        rendition = hdr_rendition(fused, radiance)
        del radiance
        observe("rendition", rendition)
        with journal.stage("write"):
            write_hdr_image(fused, rendition, target, options.write, files)

    notes = tuple(dict.fromkeys((*notes, *take_remarks())))
    report = Report(
        output=str(target),
        method=method.name,
        space=fused.space,
        width=fused.pixels.shape[1],
        height=fused.pixels.shape[0],
        frames=frames,
        stages=tuple(journal.stages),
        settings=_plain(asdict(options)),
        versions=versions(),
        notes=notes,
    )
    _save_report(report, options)
    return report


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
    return _frames_to_folder(paths, out_folder, options, False, progress, remarks)


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
    return _frames_to_folder(paths, out_folder, options or FuseOptions(), masks, progress, remarks)


def prepare_files(
    paths: Sequence[StrPath], options: FuseOptions | None = None, remarks: Sequence[str] = ()
) -> Bracket:
    """Read the photos of one bracket and find their exposures; frames sorted dark to bright."""
    options = options or FuseOptions()
    bracket, options = _read([Path(path) for path in paths], options, remarks)
    return assign_stops(bracket, options.stops, options.stops_file)


def _read(
    files: Sequence[Path], options: FuseOptions, remarks: Sequence[str]
) -> tuple[Bracket, FuseOptions]:
    """Read those of the files that make the bracket; the options' stops are left to be theirs."""
    check_frame_count(min(len(files), MAX_FRAMES))
    chosen = choose_shots(files, options.read)
    check_frame_count(len(chosen.files))
    if options.stops is not None and len(options.stops) == len(files):
        options = replace(options, stops=tuple(options.stops[place] for place in chosen.places))
    bracket = read_bracket(chosen.files, options.read)
    return replace(bracket, notes=(*remarks, *chosen.notes, *bracket.notes)), options


def _transparency_note(fused: Fused, target: Path, hdr: bool) -> tuple[str, ...]:
    """Say what becomes of places that no photo shows."""
    if fused.opaque is None:
        return ()
    share = 100 * float(np.mean(fused.opaque < 128))
    shown = f"{share:.1f} % of the picture is transparent in all photos"
    if holds_transparency(target, hdr=hdr):
        return (f"{shown}, and in the result",)
    return (f"{shown}: black in the result; write a .png or .tif to keep it so, or use --crop",)


def choose_method(name: str, out: Path) -> Method:
    """Pick the method for an output file; raise SpaceError where the two do not fit."""
    space = space_of(out)
    if name == "auto":
        return get_method("mertens" if space == "display" else "debevec")
    method = get_method(name)
    if space == "linear" and method.output == "display":
        raise SpaceError(
            f"{out.name}: expected a method with a linear result for a {out.suffix} file, found "
            f"{name!r} which gives a display image; use --method debevec or write a .jpg or .png"
        )
    return method


def versions() -> dict[str, str]:
    """Return the versions that a result depends on."""
    return {
        "ghostless": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
    }


def _look_away(moment: str, value: Stack | Fused) -> None:
    """Observe nothing."""


def _prepare(
    files: list[Path],
    options: FuseOptions,
    journal: Journal,
    method: Method | None,
    observe: Observer = _look_away,
    remarks: Sequence[str] = (),
) -> Stack:
    """Read, align and deghost; the frames as read are let go of on the way."""
    with journal.stage("read"):
        bracket, options = _read(files, options, remarks)
    with journal.stage("exposure"):
        bracket = assign_stops(bracket, options.stops, options.stops_file)
        reference = _reference_of(bracket, options.reference)
        strange = [frame.name for frame in strangers_in(bracket)]
    own_alignment = method is not None and method.aligns and options.align.model == "auto"
    settings = AlignSettings(model="none") if own_alignment else options.align
    with journal.stage("align") as tell:
        stack = align_bracket(bracket, settings, reference, progress=tell)
    del bracket
    observe("aligned", stack)
    if options.save_stages is not None:
        with journal.stage("save"):
            _save_stack(stack, options.save_stages / "aligned", options.write, files, stack.valid)
    if _looks_for_ghosts(method, options):
        with journal.stage("deghost") as tell:
            stack = deghost_stack(stack, options.deghost, progress=tell)
        observe("deghosted", stack)
        if options.save_stages is not None:
            with journal.stage("save"):
                folder = options.save_stages / "deghosted"
                _save_stack(stack, folder, options.write, files, stack.confidence)
    return replace(stack, notes=_with_strangers(stack.notes, strange))


def _with_strangers(notes: tuple[str, ...], strange: list[str]) -> tuple[str, ...]:
    """Notes, with one for each photo of something else that deghosting has not told of."""
    told = [name for name in strange if any(note.startswith(f"{name} shows") for note in notes)]
    return (
        *notes,
        *(
            f"{name} shows something else than the other photos, so it adds nothing; leave it out"
            for name in strange
            if name not in told
        ),
    )


def _looks_for_ghosts(method: Method | None, options: FuseOptions) -> bool:
    return not _deghosts_itself(method, options) and options.deghost.mode != "off"


def _deghosts_itself(method: Method | None, options: FuseOptions) -> bool:
    return method is not None and method.deghosts and options.deghost.mode == "auto"


def _radiance(
    stack: Stack,
    fused: Fused,
    method: Method,
    options: FuseOptions,
    progress: Callable[[float], None],
) -> Fused:
    """The scene's radiance: the result itself if it is linear, else merged from the same frames."""
    if fused.space == "linear":
        return fused
    if _deghosts_itself(method, options):
        stack = deghost_stack(stack, options.deghost)
    return fuse_stack(stack, "debevec", progress=progress)


def _reference_of(bracket: Bracket, wanted: int | None) -> int:
    if wanted is None:
        return choose_reference(bracket)
    if not 0 <= wanted < len(bracket.frames):
        raise OptionError(
            f"reference: expected an index from 0 (darkest) to {len(bracket.frames) - 1} "
            f"(brightest), found {wanted}"
        )
    return wanted


def _frames_to_folder(
    paths: Sequence[StrPath],
    out_folder: StrPath,
    options: FuseOptions,
    masks: bool,
    progress: Progress | None,
    remarks: Sequence[str],
) -> Report:
    files, folder = [Path(path) for path in paths], Path(out_folder)
    check_frame_count(min(len(files), MAX_FRAMES))
    _check_report(options, files)
    _check_folder(folder, options.write, files, masks)
    journal = Journal(progress)
    stack = _prepare(files, options, journal, None, remarks=remarks)
    with journal.stage("write"):
        _save_stack(stack, folder, options.write, files, stack.confidence if masks else None)
    report = Report(
        output=str(folder),
        method=None,
        space="display" if stack.frames[0].transfer == "srgb" else "linear",
        width=stack.frames[0].width,
        height=stack.frames[0].height,
        frames=describe_frames(stack, _looks_for_ghosts(None, options)),
        stages=tuple(journal.stages),
        settings=_plain(asdict(options)),
        versions=versions(),
        notes=(*stack.notes, *take_remarks()),
    )
    _save_report(report, options)
    return report


def _names_in_folder(files: Sequence[Path]) -> dict[Path, str]:
    """Name every frame's file in an output folder; files of one name are told apart by number."""
    stems = [file.stem for file in files]
    return {
        file: file.stem if stems.count(file.stem) == 1 else f"{number:02d}_{file.stem}"
        for number, file in enumerate(files, start=1)
    }


def _check_folder(folder: Path, settings: WriteSettings, files: list[Path], masks: bool) -> None:
    """Fail before any work if one of the frames could not be written later."""
    for name in _names_in_folder(files).values():
        check_output(folder / f"{name}.tif", settings, files, make_folder=True)
        if masks:
            check_output(folder / f"{name}_mask.png", settings, files, make_folder=True)


def _save_stack(
    stack: Stack,
    folder: Path,
    settings: WriteSettings,
    files: list[Path],
    masks: Sequence[Mask | None] | None,
) -> None:
    """Write frames as TIFF in their own depth and masks as PNG (a missing mask is all white)."""
    names = _names_in_folder(files)
    for index, frame in enumerate(stack.frames):
        name = names[frame.path] if frame.path is not None else f"{index + 1:02d}"
        write_frame(frame, folder / f"{name}.tif", settings, files)
        if masks is not None:
            mask = masks[index]
            if mask is None:
                mask = np.full((frame.height, frame.width), 255, np.uint8)
            write_mask(mask, folder / f"{name}_mask.png", settings, files)


def _check_report(options: FuseOptions, files: list[Path]) -> None:
    if options.report is not None:
        check_output(options.report, options.write, files, suffixes=(".json",))


def _save_report(report: Report, options: FuseOptions) -> None:
    if options.report is not None:
        text = json.dumps(report.as_dict(), indent=2) + "\n"
        write_text(text, options.report, options.write)


def _plain(value: Any) -> Any:
    """Turn settings into plain JSON types."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, bool | int | float | str | None) else str(value)

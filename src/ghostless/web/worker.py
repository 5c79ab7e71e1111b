"""What worker processes do: they alone touch pixels, so that ending one ends a job for certain."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..bracket import Fused, Stack
from ..cli.show import bracket_facts
from ..errors import GhostlessError
from ..exposure.reference import choose_reference
from ..io.read import DECODING_THREADS, ReadSettings, read_facts
from ..io.write import space_of, write_hdr_image, write_image
from ..methods.maps import attention_map, weight_maps
from ..options.chosen import method_of, settings_for
from ..pipeline import FuseOptions, fuse_files, prepare_files
from ..tone.rendition import hdr_rendition
from ..work.memory import reading_bytes
from . import views
from .numbers import has_fused, load_fused, save_fused, save_reference, with_tone
from .requests import fuse_options, tone_of, write_settings

RESULT = "result.jpg"
Tell = Callable[[str, float], None]
_SECONDS_BETWEEN_EVENTS = 0.05


def measure(task: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """Read the headers of photos only; returns the memory that reading them will take.

    task: files, pixels (the most a photo may have).
    """
    settings = ReadSettings(max_pixels=task["pixels"])
    facts = [read_facts(file, settings) for file in task["files"]]
    kept, decoding = zip(*((each.kept_bytes, each.decoding_bytes) for each in facts), strict=True)
    return {"memory_bytes": reading_bytes(kept, decoding, DECODING_THREADS)}


def inspect(task: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """Read a bracket; write previews and thumbnails of its frames, dark to bright.

    task: files, folder, pixels (the most a photo may have). Returns the facts about the frames.
    """
    folder = Path(task["folder"])
    tell("read", 0.0)
    options = FuseOptions(read=ReadSettings(max_pixels=task["pixels"]))
    bracket = prepare_files(task["files"], options)
    tell("preview", 0.7)
    places = [str(frame.path) for frame in bracket.frames]
    facts = bracket_facts(bracket, choose_reference(bracket))
    for index, frame in enumerate(bracket.frames):
        sides = {f"frame-{index}": views.PREVIEW_SIDE, f"thumbnail-{index}": views.THUMBNAIL_SIDE}
        views.save_frame_previews(frame, folder, sides)
        facts["frames"][index]["number"] = task["files"].index(places[index])
    facts["sample_bytes"] = max(frame.pixels.itemsize for frame in bracket.frames)
    return facts


class _Watch:
    """Looks at a run of the line and saves what the page shows of it."""

    def __init__(self, folder: Path, options: FuseOptions) -> None:
        self.folder, self._options = folder, options
        self.views: list[dict[str, Any]] = []
        self.layers: list[dict[str, Any]] = []
        self.notes: list[str] = []
        self._stack: Stack | None = None
        self._corner = {"left": 0, "top": 0}

    def __call__(self, moment: str, value: Stack | Fused) -> None:
        if isinstance(value, Stack):
            if moment == "aligned":
                if value.crop is not None:
                    self._corner = {"left": value.crop.left, "top": value.crop.top}
                self._save_frames(value)
                save_reference(value.frames[value.reference], self.folder)
            self._stack = value
            return
        if self._stack is not None:
            self._save_layers(self._stack)
            self._stack = None
        save_fused(value, self.folder)
        if value.space == "display":
            self._save_view("picture", "picture", None, value)

    def _save_frames(self, stack: Stack) -> None:
        for index, frame in enumerate(stack.frames):
            self._save_view(f"frame-{index}", "frame", index, frame, index == stack.reference)

    def _save_view(
        self, name: str, kind: str, frame: int | None, image: Any, tiles: bool = True
    ) -> None:
        facts = views.save_view(image, self.folder / name, tiles=tiles)
        told = {"name": name, "kind": kind, "frame": frame}
        self.views.append({**told, **facts, **self._corner})

    def _save_layers(self, stack: Stack) -> None:
        for index, mask in enumerate(stack.confidence):
            if mask is not None and int(mask.min()) < 255:
                views.save_ghosts(mask, self._layer(f"ghosts-{index}", "ghosts", index))
        method = method_of(self._options, Path(RESULT), len(stack.frames))
        settings = settings_for(self._options, method)
        if "weights" in method.shows:
            for index, weights in enumerate(weight_maps(stack, method.name, settings)):
                views.save_map(weights, self._layer(f"weights-{index}", "weights", index))
        if "attention" in method.shows:
            try:
                seen = attention_map(stack, method.name, settings)
            except GhostlessError as error:
                self.notes.append(f"no attention map: {error}")
            else:
                views.save_map(seen, self._layer("attention", "attention", None))

    def _layer(self, name: str, kind: str, frame: int | None) -> Path:
        self.layers.append({"name": name, "kind": kind, "frame": frame})
        return self.folder / f"{name}.png"


def fuse(task: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """Run the line; write result.jpg, the fused image as numbers, views and layers.

    task: files, folder, pixels, request (a checked FuseRequest), keep (its masks, as words).
    Returns the report, views, layers and notes. What the page shows and keeps as numbers is the
    result before its tone is set by hand; the file has its tone.
    """
    folder = Path(task["folder"])
    options = fuse_options(task["request"], task["pixels"], keep=task["keep"])
    watch = _Watch(folder, options)
    out = folder / RESULT
    report = fuse_files(task["files"], out, options, progress=tell, observe=watch)
    facts = report.as_dict()
    del facts["output"]
    facts["notes"] += watch.notes
    return {"report": facts, "views": watch.views, "layers": watch.layers}


def export(task: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """Write a job's result in another format, from the numbers in its folder.

    A picture of a method that gives no radiance has none there until the first export that needs
    it; the line is run for it then.

    task: files, folder (of the job), out (a new file), pixels, request and keep (of the job),
    export (a checked ExportRequest).
    """
    folder, out, wanted = Path(task["folder"]), Path(task["out"]), task["export"]
    if not is_quick(folder, wanted):
        _merge_radiance(task, folder, out.with_name("radiance.exr"), tell)
    tell("write", 0.0)
    settings, tone = write_settings(wanted), tone_of(wanted, task["request"])
    if wanted["hdr"]:
        picture = with_tone(load_fused(folder, "display"), tone, folder)
        rendition = hdr_rendition(picture, load_fused(folder, "linear"))
        write_hdr_image(picture, rendition, out, settings, task["files"])
    else:
        fused = with_tone(load_fused(folder, space_of(out)), tone, folder)
        write_image(fused, out, settings, task["files"])
    return {"bytes": out.stat().st_size}


def _merge_radiance(task: dict[str, Any], folder: Path, scratch: Path, tell: Tell) -> None:
    """Run the line to a linear result and keep its numbers."""

    def keep(moment: str, value: Stack | Fused) -> None:
        if moment == "fused" and isinstance(value, Fused):
            save_fused(value, folder)

    options = fuse_options(task["request"], task["pixels"], scratch.suffix, task["keep"])
    fuse_files(task["files"], scratch, options, progress=tell, observe=keep)
    scratch.unlink()


def is_quick(folder: Path, export: dict[str, Any]) -> bool:
    """Whether all numbers that an export needs are in a job's folder."""
    return has_fused(folder, "linear" if export["hdr"] else space_of(f"result{export['format']}"))


# The process --------------------------------------------------------------------------------------

TASKS: dict[str, Callable[[dict[str, Any], Tell], dict[str, Any]]] = {
    "measure": measure,
    "inspect": inspect,
    "fuse": fuse,
    "export": export,
}


def prepare(scratch: str) -> None:
    """Make a process ready for tasks, this module's libraries loaded.

    scratch: the folder for what it keeps for a while.
    """
    os.environ["TMPDIR"] = tempfile.tempdir = scratch


def run_task(task: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """Do one task; `tell` is called for each stage, but not too often."""
    return TASKS[task["do"]](task, _seldom(tell))


def _seldom(tell: Tell) -> Tell:
    last_stage, last = "", 0.0

    def tell_sometimes(stage: str, fraction: float) -> None:
        nonlocal last_stage, last
        now = time.monotonic()
        if stage != last_stage or now - last >= _SECONDS_BETWEEN_EVENTS:
            last_stage, last = stage, now
            tell(stage, fraction)

    return tell_sometimes

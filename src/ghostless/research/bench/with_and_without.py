"""The line run twice on one bracket, with deghosting and without: what the two benches share."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...bracket import Fused, Stack
from ...errors import BracketError, OptionError, unknown_name
from ...io.write import check_output, write_text
from ...methods import fuse_stack
from ...options.chosen import method_of, settings_for
from ...pipeline import FuseOptions, fuse_files
from ...tone.tonemap import tone_map
from ..data.scenes import Scene, read_brackets, read_mefb
from ..metrics.truth import psnr
from .writing import OVERWRITE

# Equal pictures have an infinite PSNR, which no mean survives: nothing counts as more than this.
MOST_DECIBELS = 99.0
DEFAULT_DATA = (Path("../shared/data/mefb30"), Path("../shared/data/static/sice"))
_PANEL_PIXELS = 700

Picture = NDArray[np.float32]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class LineRun:
    """What the line made of one bracket.

    aligned, deghosted: the stacks between its steps, the same where nothing was deghosted.
    picture: (H, W, 3) float32, display 0..1.
    """

    aligned: Stack
    deghosted: Stack
    picture: Picture
    notes: tuple[str, ...]

    @property
    def replaced(self) -> tuple[Flags, ...]:
        """For every frame, dark to bright, (H, W): where its pixels were replaced."""
        shape = self.picture.shape[:2]
        return tuple(
            np.zeros(shape, np.bool_) if mask is None else np.asarray(mask < 128)
            for mask in self.deghosted.confidence
        )


def run_line(files: Sequence[Path], options: FuseOptions) -> LineRun:
    """Fuse a bracket by `pipeline.fuse_files` and keep what lies between its steps.

    Raises GhostlessError as the line does.
    """
    stacks: dict[str, Stack] = {}
    pictures: list[Picture] = []

    def observe(moment: str, value: Stack | Fused) -> None:
        if isinstance(value, Stack):
            stacks[moment] = value
        else:
            pictures.append(value.pixels)

    with tempfile.TemporaryDirectory(prefix="ghostless-bench-") as folder:
        report = fuse_files(files, Path(folder) / "fused.png", options, observe=observe)
    aligned = stacks["aligned"]
    deghosted = stacks.get("deghosted", aligned)
    return LineRun(aligned, deghosted, np.clip(pictures[-1], 0, 1), report.notes)


def picture_of(stack: Stack, options: FuseOptions) -> Picture:
    """Fuse a stack as the line would from here on: (H, W, 3) float32, display 0..1."""
    method = method_of(options, Path("fused.png"), len(stack.frames))
    fused = fuse_stack(stack, method.name, settings_for(options, method))
    if fused.space == "linear":
        fused = tone_map(fused, options.tone_map)
    return np.clip(fused.pixels, 0, 1)


def decibels(picture: Picture, truth: Picture, where: Flags | None = None) -> float:
    """PSNR of two display pictures, dB, at most MOST_DECIBELS; over the pixels `where`, or all.

    NaN where there is no such pixel.
    """
    if where is not None:
        if not where.any():
            return math.nan
        picture, truth = picture[where], truth[where]
    return min(MOST_DECIBELS, psnr(picture, truth, peak=1.0))


def find_scenes(
    folders: Sequence[Path], wanted: tuple[str, ...] | None = None
) -> dict[str, tuple[Scene, ...]]:
    """List the brackets of every folder by the folder's name; only those named, if any are.

    A folder is laid out as MEFB's pairs, or has a bracket in each subfolder, or is a bracket.
    Raises FileReadError or BracketError for a folder without brackets, OptionError for a scene
    that is in none of them or two folders of one name.
    """
    suites: dict[str, tuple[Scene, ...]] = {}
    for folder in folders:
        try:
            scenes = read_mefb(folder)
        except BracketError:
            scenes = read_brackets(folder)
        name = folder.absolute().name
        if name in suites:
            raise OptionError(f"{folder}: expected folders of different names, found {name} twice")
        suites[name] = scenes
    if wanted is None:
        return suites
    names = [scene.name for scenes in suites.values() for scene in scenes]
    for name in wanted:
        if name not in names:
            raise unknown_name("scene", name, names)
    chosen = {
        suite: tuple(scene for scene in scenes if scene.name in wanted)
        for suite, scenes in suites.items()
    }
    return {suite: scenes for suite, scenes in chosen.items() if scenes}


def check_results(path: Path) -> None:
    """Fail before any work if a JSON file of results could not be written; its folder is made."""
    check_output(path, OVERWRITE, suffixes=(".json",), make_folder=True)


def save_results(facts: dict[str, Any], path: Path) -> None:
    """Write results as JSON in place of earlier ones; their folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(json.dumps(facts, indent=1) + "\n", path, OVERWRITE)


def save_panels(panels: Sequence[NDArray[np.float32]], path: Path) -> None:
    """Write pictures (H, W, 3), 0..1, side by side as one JPEG, reduced to a screen's size."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    images = []
    for panel in panels:
        image = Image.fromarray(np.asarray(np.rint(panel * 255), np.uint8))
        image.thumbnail((_PANEL_PIXELS, _PANEL_PIXELS))
        images.append(image)
    width, height = images[0].size
    sheet = Image.new("RGB", ((width + 4) * len(images) - 4, height), "white")
    for index, image in enumerate(images):
        sheet.paste(image, (index * (width + 4), 0))
    sheet.save(path, quality=90)

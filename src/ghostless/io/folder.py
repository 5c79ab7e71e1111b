"""The frames of a stack in a folder, each under the name of its photo, with its mask."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..bracket import Fused, Mask, Stack
from ..report import Journal, Observer
from .write import WriteSettings, check_output, write_frame, write_mask


def check_folder(
    folder: Path, settings: WriteSettings, files: Sequence[Path], masks: bool = False
) -> None:
    """Fail before any work if one of the files' frames could not be written to a folder later."""
    for name in _names(files).values():
        check_output(folder / f"{name}.tif", settings, files, make_folder=True)
        if masks:
            check_output(folder / f"{name}_mask.png", settings, files, make_folder=True)


def write_stack(
    stack: Stack,
    folder: Path,
    settings: WriteSettings,
    files: Sequence[Path],
    masks: Sequence[Mask | None] | None = None,
) -> None:
    """Write frames as TIFF in their own depth and masks as PNG (a missing mask is all white).

    files: what the frames were chosen from, in the user's order; none of them is overwritten.
    masks: per frame (H, W) uint8, or None for frames alone.
    """
    names = _names(files)
    for index, frame in enumerate(stack.frames):
        name = names[frame.path] if frame.path is not None else f"{index + 1:02d}"
        write_frame(frame, folder / f"{name}.tif", settings, files)
        if masks is not None:
            mask = masks[index]
            if mask is None:
                mask = np.full((frame.height, frame.width), 255, np.uint8)
            write_mask(mask, folder / f"{name}_mask.png", settings, files)


def stage_saver(
    folder: Path, settings: WriteSettings, files: Sequence[Path], journal: Journal
) -> Observer:
    """An observer that writes every stack into a folder of its moment's name."""

    def save(moment: str, value: Stack | Fused) -> None:
        if isinstance(value, Stack):
            masks = value.valid if moment == "aligned" else value.confidence
            with journal.stage("save"):
                write_stack(value, folder / moment, settings, files, masks)

    return save


def _names(files: Sequence[Path]) -> dict[Path, str]:
    """Name every frame's file in an output folder; files of one name are told apart by number."""
    stems = [file.stem for file in files]
    return {
        file: file.stem if stems.count(file.stem) == 1 else f"{number:02d}_{file.stem}"
        for number, file in enumerate(files, start=1)
    }

"""Fuse the demo's bracket, compare with the truth, and lay the pictures side by side."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ..align import AlignSettings
from ..bracket import Stack
from ..deghost import DeghostSettings
from ..exposure.assign import assign_stops
from ..io.read import read_bracket, read_image
from ..io.write import WriteSettings, write_image
from ..methods import fuse_stack
from ..pipeline import FuseOptions, fuse_files
from . import BRACKET, PHOTOS, REFERENCE, TRIPOD_PHOTOS

Picture = NDArray[np.uint8]
_GAP = 6
_VISIBLE_CODES = 12


def main(words: Sequence[str] | None = None) -> None:
    """Make the demo in a folder and say where it lies."""
    parser = argparse.ArgumentParser(prog="python -m ghostless.demo", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("demo"))
    make_demo(parser.parse_args(words).folder)


def make_demo(folder: Path, bracket: Path = BRACKET) -> dict[str, float]:
    """Write inputs, naive result, ours, the truth and comparisons; return the errors measured.

    bracket: folder with the photos, by hand and from a tripod, as `photograph` writes it.
    """
    (folder / "inputs").mkdir(parents=True, exist_ok=True)
    files = [Path(shutil.copy(bracket / name, folder / "inputs")) for name in PHOTOS]
    print(f"fusing {len(files)} hand-held photos ...", flush=True)
    write = WriteSettings(overwrite=True)
    ours, naive, truth = (folder / f"{name}.jpg" for name in ("ours", "naive", "truth"))
    plain = FuseOptions(
        method="mertens",
        align=AlignSettings(model="none"),
        deghost=DeghostSettings(mode="off"),
        write=write,
    )
    fuse_files(files, naive, plain)
    # The truth is of the middle photo's moment.
    options = FuseOptions(method="mertens", reference=REFERENCE, write=write)
    report = fuse_files(files, ours, options)
    write_image(fuse_stack(tripod_stack(bracket), "mertens"), truth, write)

    print(report.as_text())
    errors = {}
    for name, file in (("naive", naive), ("ours", ours)):
        errors[name], share = compare(_read(file), _read(truth))
        print(
            f"{name + ':':<6} error {errors[name]:5.2f} of 255 codes (root mean square), "
            f"{share:6.2%} of pixels visibly wrong (over {_VISIBLE_CODES} codes)"
        )
    pictures = [_read(file) for file in files], _read(naive), _read(ours)
    width = pictures[1].shape[1]
    _save(compose(*pictures, width=2 * width), folder / "side_by_side.jpg", 92)
    _save(compose(*pictures, width=min(1200, 2 * width)), folder / "readme.jpg", 80)
    for name in ("inputs", naive.name, ours.name, truth.name, "side_by_side.jpg"):
        print(folder / name)
    return errors


def tripod_stack(folder: Path = BRACKET) -> Stack:
    """The same exposures of the reference's moment on a tripod, without noise."""
    bracket = read_bracket([folder / name for name in TRIPOD_PHOTOS])
    return Stack(assign_stops(bracket).frames, reference=REFERENCE)


def compare(picture: Picture, truth: Picture) -> tuple[float, float]:
    """Root mean square error in codes, and the share of pixels off by more than is seen."""
    difference = picture.astype(np.float32) - truth
    visible = (np.abs(difference).max(axis=2) > _VISIBLE_CODES).mean()
    return float(np.sqrt((difference**2).mean())), float(visible)


def compose(inputs: Sequence[Picture], naive: Picture, ours: Picture, width: int) -> Picture:
    """The inputs in a row, the two results beneath, a part of each enlarged beneath them."""
    thirds, half = _columns(width, len(inputs)), _columns(width, 2)
    height, full = ours.shape[:2]
    left, top = int(0.42 * full), int(0.28 * height)
    part = slice(top, top + int(0.36 * height)), slice(left, left + int(0.36 * full))
    rows = [
        _row(inputs, thirds, [f"photo {number + 1}" for number in range(len(inputs))]),
        _row([naive, ours], half, ["fused as they are", "ghostless"]),
        _row([naive[part], ours[part]], half, ["", ""]),
    ]
    white = np.full((_GAP, width, 3), 255, np.uint8)
    return np.concatenate([rows[0], white, rows[1], white, rows[2]])


def _columns(width: int, count: int) -> list[int]:
    """Widths of `count` pictures that fill a row, gaps between them."""
    edges = np.linspace(0, width + _GAP, count + 1).astype(int)
    return [int(b - a) - _GAP for a, b in pairwise(edges)]


def _row(pictures: Sequence[Picture], widths: Sequence[int], labels: Sequence[str]) -> Picture:
    height = round(min(widths) * pictures[0].shape[0] / pictures[0].shape[1])
    parts: list[Picture] = []
    for picture, width, label in zip(pictures, widths, labels, strict=True):
        smaller = width < picture.shape[1]
        how = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
        scaled = np.asarray(cv2.resize(picture, (width, height), interpolation=how), np.uint8)
        if label:
            scaled = _labelled(scaled, label)
        if parts:
            parts.append(np.full((height, _GAP, 3), 255, np.uint8))
        parts.append(scaled)
    return np.concatenate(parts, axis=1)


def _labelled(picture: Picture, label: str) -> Picture:
    image = Image.fromarray(picture)
    size = max(image.height // 20, 11)
    ImageDraw.Draw(image).text(
        (size // 2, image.height - size // 2),
        label,
        fill="white",
        font=ImageFont.load_default(size),
        anchor="ls",
        stroke_width=max(size // 10, 1),
        stroke_fill="black",
    )
    return np.asarray(image)


def _read(file: Path) -> Picture:
    return np.rint(read_image(file).pixels * 255).astype(np.uint8)


def _save(picture: Picture, file: Path, quality: int) -> None:
    Image.fromarray(picture).save(file, quality=quality, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1:])

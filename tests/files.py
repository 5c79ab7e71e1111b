"""Small bracket files for tests of everything that starts from files."""

from __future__ import annotations

import resource
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from . import scenes

STOPS = (-2.0, 0.0, 2.0)


def save_photo(
    path: Path, pixels: NDArray[np.uint8], *, stops: float | None = None, orientation: int = 1
) -> Path:
    """Write one photo (the suffix decides how), with shutter, aperture and ISO for its stops."""
    exif = Image.Exif()
    exif[0x0110] = "Test camera"
    exif[0x0112] = orientation
    if stops is not None:
        details = exif.get_ifd(0x8769)
        denominator = round(2 ** (8 - stops))
        details[0x829A] = IFDRational(1, denominator)
        details[0x829D] = IFDRational(4, 1)
        details[0x8827] = 100
    path.parent.mkdir(parents=True, exist_ok=True)
    how = {"quality": 95} if path.suffix == ".jpg" else {}
    Image.fromarray(pixels).save(path, exif=exif, **how)
    return path


def save_bracket(
    folder: Path,
    *,
    height: int = 48,
    width: int = 64,
    stops: Sequence[float] = STOPS,
    suffix: str = ".png",
    exif: bool = True,
    seed: int = 3,
) -> list[Path]:
    """Write a still bracket of a random scene as frame_1, frame_2 ..., in the order of `stops`."""
    radiance = scenes.make_radiance(height, width, seed=seed)
    return [
        save_photo(
            folder / f"frame_{number}{suffix}",
            scenes.expose(radiance, ev),  # type: ignore[arg-type]  depth 8 gives uint8
            stops=ev if exif else None,
        )
        for number, ev in enumerate(stops, start=1)
    ]


def contents(folder: Path) -> dict[str, bytes | str]:
    """Everything in a folder: what each file holds and where each link points."""
    return {
        str(path.relative_to(folder)): str(path.readlink())
        if path.is_symlink()
        else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def seconds_of_children() -> float:
    """Processor time that all finished child processes have taken so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def save_shaken_bracket(folder: Path) -> list[Path]:
    """Three photos, 220 x 200, of a walking disc by a hand that moves.

    The darkest looks 12 pixels further right than the others, so that a crop takes the left edge.
    """
    scene = scenes.make_radiance(200, 280, 5, range_stops=3)
    files = []
    shots = zip((60, 110, 160), (-2.0, 0.0, 2.0), (24, 12, 12), strict=True)
    for index, (place, stops, left) in enumerate(shots):
        radiance = scenes.add_disc(scene, (place + 12, 100), 20, (0.5, 0.06, 0.06))
        pixels = scenes.expose(radiance[:, left : left + 220], stops)
        files.append(save_photo(folder / f"IMG_{index}.png", pixels, stops=stops))
    return files

"""Small shoots on disk, with Exif as cameras write it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from .. import scenes

START = datetime(2026, 6, 21, 10, 0, 0, tzinfo=UTC).timestamp()


class ShootFolder:
    """Writes photos into a folder as a camera does: counted names, time, exposure."""

    def __init__(self, folder: Path, *, height: int = 48, width: int = 64) -> None:
        self.folder = folder
        self.size = height, width
        self.clock = START
        self.number = 1
        self.scene = 0
        folder.mkdir(parents=True, exist_ok=True)

    def bracket(
        self, stops: Sequence[float] = (-2.0, 0.0, 2.0), *, exif: bool = True, gain: float = 1.0
    ) -> list[Path]:
        """Photograph a scene of its own, then walk on."""
        self.scene += 1
        radiance = scenes.make_radiance(*self.size, seed=self.scene) * np.float32(gain)
        files = [self._take(scenes.expose(radiance, ev), ev, exif) for ev in stops]  # type: ignore[arg-type]
        self.clock += 20
        return files

    def single(self) -> Path:
        return self.bracket((0.0,))[0]

    def _take(self, pixels: NDArray[np.uint8], stops: float, exif: bool) -> Path:
        path = self.folder / f"IMG_{self.number:04d}.jpg"
        block = Image.Exif()
        if exif:
            block[0x0110] = "Test camera"
            details = block.get_ifd(0x8769)
            details[0x829A] = IFDRational(1, round(2 ** (8 - stops)))
            details[0x829D] = IFDRational(4, 1)
            details[0x8827] = 100
            when = datetime.fromtimestamp(self.clock, UTC)
            details[0x9003] = when.strftime("%Y:%m:%d %H:%M:%S")
        Image.fromarray(pixels).save(path, quality=95, exif=block)
        self.number += 1
        self.clock += 0.4
        return path

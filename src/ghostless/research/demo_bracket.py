"""Make the demo's bracket anew: render the room, photograph it by hand and from a tripod.

    python -m ghostless.research.demo_bracket src/ghostless/demo/bracket

It needs the extras `render` and `networks` and some minutes. `make demo` does not need it: the
bracket comes with the package.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from ..demo import PHOTOS, REFERENCE, TRIPOD_PHOTOS
from .data.camera import CameraModel
from .data.camera_settings import CameraSettings
from .render.engine import Camera, Rendering, RenderSettings, World, render
from .render.room import build_room
from .render.shapes import Array, Vector
from .render.walker import walker

_EYE, _TURN_DEGREES = (2.35, 1.42, 0.25), (-1.5, 1.5, 0.0)
_FOCAL_WIDTHS = 0.69
_WALKER_Z_METRES = 3.25
# Radiance that the middle photo clips at is 1 / this.
_SENSOR_GAIN = 2.4
# A camera as people have them, whose pictures are reduced; CameraSettings says what each does.
_CAMERA = CameraSettings(
    plain_share=0.0,
    exposure_share=1.0,
    exposure_stops=0.06,
    flicker_share=0.0,
    glare_share=1.0,
    glare=(4e-3, 4e-3),
    vignetting_share=0.0,
    sensor_share=1.0,
    red_gain=(2.0, 2.0),
    blue_gain=(1.6, 1.6),
    highlight_shares=(1.0, 0.0, 0.0),
    compress_share=0.0,
    tone_shares=(0.0, 0.0, 1.0),
    local_share=0.0,
    style_share=1.0,
    saturation=(1.1, 1.1),
    hue_degrees=0.0,
    contrast=(0.2, 0.2),
    fade=0.5,
    black_share=0.0,
    grain_share=1.0,
    smooth_share=1.0,
    smooth=(4e-3, 4e-3),
    sharpen_share=1.0,
    sharpen=(0.4, 0.4),
    sharpen_pixels=(0.8, 0.8),
    hot_share=0.0,
    responses=("srgb",),
    noise_share=1.0,
    shot_noise=(2e-5, 2e-5),
    read_noise=(4e-4, 4e-4),
    jpeg_share=0.0,
)
_CAMERA_SEED = 1
_ISO, _APERTURE = 800, 4.0
_JPEG_QUALITY, _TRIPOD_QUALITY = 93, 95


@dataclass(frozen=True)
class Shot:
    """One photo of the hand-held bracket: how long, how the hand shook, and who was where.

    stops: exposure against the middle shot. shake_degrees: pitch, yaw, roll.
    shift_metres: of the camera. walker_x: of the passer-by, metres; phase: of the stride.
    """

    stops: float
    shake_degrees: Vector
    shift_metres: Vector
    walker_x: float
    phase: float

    @property
    def shutter_seconds(self) -> float:
        return float(2.0 ** (self.stops - 7))


SHOTS = (
    Shot(-3.0, (-0.45, 0.70, 0.55), (0.003, -0.002, 0.001), 1.42, 0.08),
    Shot(0.0, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), 2.32, 0.30),
    Shot(3.0, (0.60, -0.85, -0.80), (-0.004, 0.003, -0.002), 3.22, 0.62),
)


def main(words: Sequence[str] | None = None) -> None:
    """Render, photograph and store the bracket."""
    parser = argparse.ArgumentParser(prog="python -m ghostless.research.demo_bracket")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--width", type=int, default=1200, help="width of the photos in pixels")
    parser.add_argument("--samples", type=int, default=64, help="light paths per pixel")
    given = parser.parse_args(words)
    settings = RenderSettings(samples=given.samples)
    lights = [seen.radiance for seen in render_shots(build_room(), given.width, settings)]
    for file in store(lights, given.folder):
        print(file, f"{file.stat().st_size / 1e6:.2f} MB")


def render_shots(room: World, width: int, settings: RenderSettings) -> list[Rendering]:
    """What the camera sees at each shot's moment, in a room of furniture and a passer-by."""
    seen = []
    for number, shot in enumerate(SHOTS):
        passer_by = walker(shot.walker_x, _WALKER_Z_METRES, shot.phase)
        world = replace(room, things=(*room.things, passer_by))
        camera = Camera(
            _sum(_EYE, shot.shift_metres),
            _sum(_TURN_DEGREES, shot.shake_degrees),
            width,
            width * 2 // 3,
            _FOCAL_WIDTHS * width,
        )
        seen.append(render(world, camera, replace(settings, seed=number)))
    return seen


def _sum(a: Vector, b: Vector) -> Vector:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]


def store(lights: Sequence[Array], folder: Path) -> list[Path]:
    """Photograph one radiance (H, W, 3) per shot, and the reference's from a tripod; write all."""
    folder.mkdir(parents=True, exist_ok=True)
    still = [lights[REFERENCE]] * len(SHOTS)
    taken = photograph(lights, _CAMERA), photograph(still, replace(_CAMERA, noise_share=0.0))
    files = []
    for pictures, names, quality in zip(
        taken, (PHOTOS, TRIPOD_PHOTOS), (_JPEG_QUALITY, _TRIPOD_QUALITY), strict=True
    ):
        for number, (picture, name) in enumerate(zip(pictures, names, strict=True)):
            files.append(folder / name)
            exif = _exif(SHOTS[number], number)
            Image.fromarray(picture).save(files[-1], quality=quality, subsampling=0, exif=exif)
    return files


def photograph(lights: Sequence[Array], settings: CameraSettings) -> list[NDArray[np.uint8]]:
    """Photograph radiances (H, W, 3), one per shot, by the same camera each time."""
    camera = CameraModel(settings)
    drawn = camera.draw(1, torch.Generator().manual_seed(_CAMERA_SEED))
    exposed = [
        light * np.float32(_SENSOR_GAIN * 2.0**shot.stops)
        for light, shot in zip(lights, SHOTS, strict=True)
    ]
    planes = torch.from_numpy(np.stack(exposed)).permute(0, 3, 1, 2)[None]
    display = camera.photograph(planes, drawn, torch.Generator().manual_seed(_CAMERA_SEED))
    codes = (display[0] * 255).round().byte().permute(0, 2, 3, 1).numpy()
    return list(np.ascontiguousarray(codes))


def _exif(shot: Shot, number: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Ghostless", "Rendered camera"
    details = exif.get_ifd(0x8769)
    details[0x829A] = IFDRational(1, round(1 / shot.shutter_seconds))
    details[0x829D] = IFDRational(round(_APERTURE * 10), 10)
    details[0x8827] = _ISO
    details[0x9003] = f"2026:06:21 20:41:{7 + number:02d}"
    details[0x920A] = IFDRational(25, 1)
    return exif


if __name__ == "__main__":
    main(sys.argv[1:])

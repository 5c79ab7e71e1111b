"""The demo's camera: shake, noise, clipping, an 8-bit JPEG with EXIF; and the truth behind it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from .. import color
from ..bracket import Frame, Stack
from .render import Array, Camera, LightMaps, Painter, Tracer
from .room import build_room, still_life, walker
from .soft import draw, through_lens

# The scene is drawn this much finer than it is photographed, with room for the shake.
_SUPERSAMPLING = 1.2
_MARGIN = 1.06
_FOCAL_WIDTHS = 0.69
_EYE = (2.35, 1.42, 0.25)
_SENSOR_GAIN = 2.4
_SHOT_NOISE = 9e-5
_READ_NOISE = 1.5e-3
_ISO = 800
_APERTURE = 4.0


@dataclass(frozen=True)
class Shot:
    """One photo of the hand-held bracket: when it was taken, how long, and how the camera shook.

    stops: exposure against the middle shot. shake_degrees: yaw, pitch, roll.
    walker_x: where the passer-by was, metres; phase: of the stride.
    """

    stops: float
    shake_degrees: tuple[float, float, float]
    walker_x: float
    phase: float

    @property
    def shutter_seconds(self) -> float:
        return float(2.0 ** (self.stops - 7))


SHOTS = (
    Shot(-3.0, (0.70, -0.45, 0.55), 1.42, 0.08),
    Shot(0.0, (0.0, 0.0, 0.0), 2.32, 0.30),
    Shot(3.0, (-0.85, 0.60, -0.80), 3.22, 0.62),
)
_WALKER_Z = 3.25


def _turn(degrees: tuple[float, float, float]) -> NDArray[np.float64]:
    yaw, pitch, roll = np.deg2rad(degrees)
    about_y, _ = cv2.Rodrigues(np.array([0.0, yaw, 0.0]))
    about_x, _ = cv2.Rodrigues(np.array([pitch, 0.0, 0.0]))
    about_z, _ = cv2.Rodrigues(np.array([0.0, 0.0, roll]))
    return np.asarray(about_y @ about_x @ about_z, np.float64)


def _lens(width: int, height: int, focal_pixels: float) -> NDArray[np.float64]:
    return np.array(
        [[focal_pixels, 0, (width - 1) / 2], [0, focal_pixels, (height - 1) / 2], [0, 0, 1.0]]
    )


class Scene:
    """The rendered room with the passer-by at each shot's moment.

    radiances: one (H, W, 3) float32 per shot, wider and finer than the photos.
    """

    def __init__(self, width: int = 1500) -> None:
        self.width, self.height = width, width * 2 // 3
        self.focal_pixels = _FOCAL_WIDTHS * width
        fine = _SUPERSAMPLING
        camera = Camera(
            _EYE,
            yaw_degrees=1.5,
            pitch_degrees=-1.5,
            width=int(self.width * fine * _MARGIN),
            height=int(self.height * fine * _MARGIN),
            focal_pixels=self.focal_pixels * fine,
        )
        self.camera = camera
        maps = LightMaps(Tracer(build_room()))
        empty = Painter(maps, camera).paint()
        for group in still_life():
            draw(empty, maps, group)

        def with_walker(shot: Shot) -> Array:
            painting = empty.copy()
            draw(painting, maps, walker(shot.walker_x, _WALKER_Z, shot.phase))
            return through_lens(painting.light + painting.sun)

        self.radiances = [with_walker(shot) for shot in SHOTS]

    def view(self, moment: int, shake_degrees: tuple[float, float, float]) -> Array:
        """Radiance (height, width, 3) at one shot's moment through a camera turned by a shake."""
        fine = _lens(self.camera.width, self.camera.height, self.camera.focal_pixels)
        photo = _lens(self.width, self.height, self.focal_pixels)
        to_fine = fine @ _turn(shake_degrees) @ np.linalg.inv(photo)
        return np.asarray(
            cv2.warpPerspective(
                self.radiances[moment],
                to_fine,
                (self.width, self.height),
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REPLICATE,
            ),
            np.float32,
        )


def expose(radiance: Array, stops: float, seed: int | None = None) -> NDArray[np.uint8]:
    """Photograph radiance: sensor noise (none without a seed), clipping, sRGB curve, 8 bits."""
    light = radiance * np.float32(_SENSOR_GAIN * 2.0**stops)
    if seed is not None:
        random = np.random.default_rng(seed)
        spread = np.sqrt(np.clip(light, 0, 2) * np.float32(_SHOT_NOISE) + _READ_NOISE**2)
        light = light + spread * random.standard_normal(light.shape, dtype=np.float32)
    codes = color.linear_to_srgb(np.clip(light, 0, 1))
    return np.rint(codes * 255).astype(np.uint8)


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


def take_bracket(scene: Scene, folder: Path) -> list[Path]:
    """Photograph the scene by hand; returns the JPEG files written, dark to bright."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for number, shot in enumerate(SHOTS):
        pixels = expose(scene.view(number, shot.shake_degrees), shot.stops, seed=100 + number)
        file = folder / f"IMG_{number + 1}.jpg"
        Image.fromarray(pixels).save(file, quality=93, subsampling=0, exif=_exif(shot, number))
        files.append(file)
    return files


def true_stack(scene: Scene, reference: int) -> Stack:
    """The same exposures of one frozen moment on a tripod, with the same camera's noise.

    The moment and the camera's direction are those of shot `reference`.
    """
    radiance = scene.view(reference, SHOTS[reference].shake_degrees)
    frames = tuple(
        Frame(
            expose(radiance, shot.stops, seed=200 + number), stops=shot.stops, stops_source="user"
        )
        for number, shot in enumerate(SHOTS)
    )
    return Stack(frames, reference=reference)

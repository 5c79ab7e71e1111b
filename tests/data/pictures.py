"""Small pictures to simulate brackets from, and cameras without faults."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ghostless.research.data.camera_settings import CameraSettings
from ghostless.research.data.panoramas import Panoramas, from_radiance
from tests.scenes import make_radiance

PERFECT = CameraSettings.plain(
    responses=("srgb",),
    noise_share=0,
    red_gain=(1, 1),
    blue_gain=(1, 1),
    rounding=False,
    jpeg_share=0,
)


def small_panoramas(count: int = 2) -> Panoramas:
    """Panoramas of 128 x 256 pixels that differ."""
    pictures = [(f"scene{n}", make_radiance(128, 256, seed=n)) for n in range(count)]
    return from_radiance(pictures)


def lamp(height: int = 128, width: int = 256, brightness: float = 1000.0) -> NDArray[np.float32]:
    """A dim flat room with a lamp of a few pixels."""
    radiance = np.full((height, width, 3), 0.1, np.float32)
    radiance[height // 2 - 2 : height // 2 + 2, ::16] = brightness
    return radiance

"""What runs in the processes that are measured: a bracket made, a bracket fused in memory."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from ...methods import METHODS
from ...work.memory import peak_resident_bytes
from . import networks
from .clocks import Clocks
from .speed_results import PEERS

_STEP_STOPS = 2.0
_JPEG_QUALITY = 95
_SEED = 20


def photo_files(folder: Path, frames: int) -> list[Path]:
    return [folder / f"frame_{index:02d}.jpg" for index in range(frames)]


def _stops(frames: int) -> list[float]:
    return [_STEP_STOPS * (index - (frames - 1) / 2) for index in range(frames)]


def make_bracket(folder: Path, megapixels: float, frames: int) -> list[Path]:
    """Write a synthetic bracket as JPEGs with exposures in their Exif; return the files.

    A room-like scene of 8 stops: shades and hard edges over texture at all scales, and bright
    windows; each frame moved and turned a little, as by hand.
    """
    from PIL import Image

    width = max(2, round((megapixels * 1e6 * 1.5) ** 0.5))
    height = max(2, round(megapixels * 1e6 / width))
    log2_light = _scene(height, width)
    random = np.random.default_rng(_SEED)
    files = photo_files(folder, frames)
    for file, stops in zip(files, _stops(frames), strict=True):
        angle = float(random.uniform(-0.15, 0.15))
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)
        matrix[:, 2] += random.uniform(-0.003, 0.003, 2) * width
        moved = cv2.warpAffine(log2_light, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)
        codes = _codes(np.asarray(moved, np.float32), stops)
        exif = Image.Exif()
        exif.get_ifd(0x8769).update({0x829A: 2.0**stops / 60, 0x829D: 8.0, 0x8827: 100})
        Image.fromarray(codes).save(file, quality=_JPEG_QUALITY, exif=exif)
    return files


def _scene(height: int, width: int) -> NDArray[np.float32]:
    """log2 of light (H, W), 0 = what just clips at 0 stops."""
    random = np.random.default_rng(_SEED)
    scene = np.full((height, width), -3.0, np.float32)
    size, strength = max(height, width) / 3, 1.2
    while size >= 2:
        grid = (max(2, round(height / size)), max(2, round(width / size)))
        layer = random.standard_normal(grid).astype(np.float32) * np.float32(strength)
        scene += cv2.resize(layer, (width, height), interpolation=cv2.INTER_LINEAR)
        size, strength = size / 3, strength * 0.7
    for number in range(60):
        y, x = int(random.integers(height)), int(random.integers(width))
        h, w = (int(random.integers(1, max(2, side // 8))) for side in (height, width))
        scene[y : y + h, x : x + w] += np.float32(4.0 if number < 4 else random.uniform(-1.5, 1.5))
    return scene


def _codes(log2_light: NDArray[np.float32], stops: float) -> NDArray[np.uint8]:
    """Photograph the scene: tint, sensor noise, clipping, sRGB curve, 8 bit."""
    from ...pixels import color

    random = np.random.default_rng(_SEED)
    height, width = log2_light.shape
    out = np.empty((height, width, 3), np.uint8)
    for start in range(0, height, 256):
        rows = log2_light[start : start + 256]
        noise = random.standard_normal(rows.shape, np.float32)
        for channel, tint in enumerate((0.25, 0.0, -0.35)):
            # The tint swings with the shade, so that the picture has colours and not one cast.
            light = np.exp2(rows * np.float32(1 + 0.15 * tint) + np.float32(stops + tint))
            light += noise * np.sqrt(4e-5 * light + 1e-6)
            codes = color.linear_to_srgb(np.clip(light, 0, 1)) * 255
            out[start : start + 256, :, channel] = np.rint(codes)
    return out


def _fuse_in_memory(kind: str, name: str, files: Sequence[str]) -> dict[str, float]:
    """Decode the photos, fuse them and tell the seconds of the fusing and the peak memory."""
    photos = []
    for file in files:
        photo = np.asarray(cv2.imread(file, cv2.IMREAD_COLOR), np.uint8)
        cv2.cvtColor(photo, cv2.COLOR_BGR2RGB, dst=photo)
        photos.append(photo)
    stops = _stops(len(photos))
    if kind == "peer":
        peer = PEERS[name].fuse
        assert peer is not None
        started = Clocks()
        peer(photos, stops)
    else:
        from ...bracket import Frame, Stack

        frames = tuple(
            Frame(photo, stops=value) for photo, value in zip(photos, stops, strict=True)
        )
        stack = Stack(frames, reference=len(frames) // 2)
        fuse, settings_class = METHODS[name].load()
        started = Clocks()
        fuse(stack, settings_class())
    return {**started.passed(), "peak_bytes": peak_resident_bytes()}


def main(arguments: Sequence[str]) -> None:
    task, *rest = arguments
    if task == "make":
        make_bracket(Path(rest[0]), float(rest[1]), int(rest[2]))
    elif task == "network":
        name, quality, *files = rest
        facts = networks.measure(name, cast(Any, quality), files, _stops(len(files)))
        print(json.dumps({**facts, "peak_bytes": peak_resident_bytes()}))
    else:
        print(json.dumps(_fuse_in_memory(task, rest[0], rest[1:])))


if __name__ == "__main__":
    main(sys.argv[1:])

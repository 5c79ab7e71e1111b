"""Pictures for the screen: previews, tiles at full size, and layers to lay over them.

The page shows the preview at once and, zoomed in, the tiles that are in sight, so that a picture of
any size opens quickly and every pixel can be looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..bracket import Frame, Fused, Mask
from ..pixels.color import to_display
from ..work.spill import trim

TILE_PIXELS = 1024
PREVIEW_SIDE = 2048
THUMBNAIL_SIDE = 360
_LAYER_SIDE = 1280
_BAND_BYTES = 64 << 20
_PREVIEW_QUALITY, _TILE_QUALITY = 88, 92
# What was replaced is shown in a colour that few pictures have, and lets the picture through.
_GHOST_RGB, _GHOST_OPACITY = (255, 0, 170), 0.65

Bytes8 = NDArray[np.uint8]
ReadRows = Callable[[slice], Bytes8]


def _rows_of_frame(frame: Frame) -> ReadRows:
    if frame.pixels.dtype == np.uint8 and frame.transfer == "srgb":
        return lambda rows: np.ascontiguousarray(frame.pixels[rows], np.uint8)
    return lambda rows: to_bytes(frame.display(rows))


def to_bytes(display: NDArray[np.float32]) -> Bytes8:
    return np.rint(np.clip(display, 0, 1) * 255).astype(np.uint8)


def _profile(image: Frame | Fused) -> bytes | None:
    """The colour profile to view by; browsers convert from it."""
    linear = isinstance(image, Frame) and image.transfer == "linear"
    return None if linear else image.metadata.icc_profile


def save_frame_previews(frame: Frame, folder: Path, sides: Mapping[str, int]) -> None:
    """Write NAME.jpg for every name in `sides`: a frame reduced to so many pixels a side."""
    pixels = frame.pixels
    for name, side in sorted(sides.items(), key=lambda item: -item[1]):
        pixels = reduced(pixels, side)
        _save_jpeg(
            to_bytes(to_display(pixels, frame.transfer)),
            folder / f"{name}.jpg",
            _PREVIEW_QUALITY,
            _profile(frame),
        )


def save_view(image: Frame | Fused, folder: Path, *, tiles: bool) -> dict[str, Any]:
    """Write a picture to look at: preview.jpg and, if it is larger, tiles COLUMN-ROW.jpg.

    Returns its facts: width, height and the side of its tiles, 0 where there are none.
    """
    folder.mkdir()
    height, width = image.pixels.shape[:2]
    tiles = tiles and max(height, width) > PREVIEW_SIDE
    if isinstance(image, Frame):
        save_frame_previews(image, folder, {"preview": PREVIEW_SIDE})
        read = _rows_of_frame(image)
    else:
        small = to_bytes(reduced(image.require("display").pixels, PREVIEW_SIDE))
        _save_jpeg(small, folder / "preview.jpg", _PREVIEW_QUALITY, _profile(image))
        read = lambda rows: to_bytes(image.pixels[rows])  # noqa: E731
    if tiles:
        for top in range(0, height, TILE_PIXELS):
            rows = read(slice(top, top + TILE_PIXELS))
            for left in range(0, width, TILE_PIXELS):
                path = folder / f"{left // TILE_PIXELS}-{top // TILE_PIXELS}.jpg"
                tile = np.ascontiguousarray(rows[:, left : left + TILE_PIXELS])
                _save_jpeg(tile, path, _TILE_QUALITY, _profile(image))
            trim()
    return {"width": width, "height": height, "tile": TILE_PIXELS if tiles else 0}


def save_ghosts(confidence: Mask, path: Path) -> None:
    """Write where ghosts were replaced as a layer: a colour where they were, else transparent."""
    replaced = 255 - reduced(confidence, _LAYER_SIDE)
    layer = np.empty((*replaced.shape, 4), np.uint8)
    layer[..., :3] = _GHOST_RGB
    layer[..., 3] = np.rint(replaced * np.float32(_GHOST_OPACITY))
    Image.fromarray(layer).save(path, optimize=False, compress_level=3)


def save_map(values: NDArray[np.float32], path: Path) -> None:
    """Write a map of 0..1 as a layer: dark violet for 0, over green, to yellow for 1."""
    codes = reduced(to_bytes(values), _LAYER_SIDE)
    coloured = cv2.applyColorMap(codes, cv2.COLORMAP_VIRIDIS)[..., ::-1]
    Image.fromarray(np.ascontiguousarray(coloured)).save(path, compress_level=3)


def reduced(pixels: NDArray[Any], side: int) -> NDArray[Any]:
    """Pixels reduced to at most `side` a side, by areas; large ones in bands, see `work/spill`."""
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return pixels
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(_narrowed(pixels, size[0]), size, interpolation=cv2.INTER_AREA))


def _narrowed(pixels: NDArray[Any], width: int) -> NDArray[Any]:
    """Pixels of the same height reduced to a width, in bands of rows."""
    height = len(pixels)
    narrow = np.empty((height, width, *pixels.shape[2:]), pixels.dtype)
    rows = max(1, _BAND_BYTES * height // max(1, pixels.nbytes))
    for start in range(0, height, rows):
        band = pixels[start : start + rows]
        size = (width, len(band))
        narrow[start : start + rows] = cv2.resize(band, size, interpolation=cv2.INTER_AREA)
        trim()
    return narrow


def _save_jpeg(pixels: Bytes8, path: Path, quality: int, profile: bytes | None) -> None:
    Image.fromarray(pixels).save(path, "JPEG", quality=quality, subsampling=0, icc_profile=profile)

"""Writing a merge as a linear DNG of floats, as raw developers expect one.

From RAW photos it holds the camera's own colours before white balance, so that a developer treats
it as it would treat one of the photos; from other photos linear Rec. 709. A display picture is
embedded for programs that show files without developing them.

Source: Digital Negative Specification 1.7.1, Adobe: chapter 2 (a preview in the first directory,
    the picture in a subordinate one), 4 (tags), 6 (what the matrices mean); floats since 1.4.
"""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ..bracket import SensorColours
from ..pixels import color
from ..pixels.reduced import reduced, size_within
from .colours import XYZ_TO_REC709
from .metadata import SOFTWARE

if TYPE_CHECKING:
    from .encode import Extras

_VERSION: Final = (1, 4, 0, 0)
_LINEAR_RAW: Final = 34892
_D65: Final = 21
_FLOAT_PREDICTOR: Final = 3
# Side of a tile; LibRaw takes one that is larger than the picture for damage.
_TILE_PIXELS, _LEAST_TILE_PIXELS = 256, 16
_PREVIEW_PIXELS: Final = 1024
# This share of the picture may be white in the preview.
_PREVIEW_WHITE: Final = 0.01
REC709: Final = SensorColours(
    "Ghostless linear Rec. 709", XYZ_TO_REC709, (1.0, 1.0, 1.0), tuple(map(tuple, np.eye(3)))
)


def encode_dng(path: Path, pixels: NDArray[Any], extras: Extras) -> None:
    """Write linear radiance (H, W, 3) float32 as a DNG with its metadata and a preview.

    Pixels of `extras.metadata.sensor` are that sensor's balanced colours, else linear Rec. 709.
    Scaled by a power of two so that none is above 1; the baseline exposure undoes that.
    """
    import tifffile

    from .encode import append_exif, further_tags

    colours = extras.metadata.sensor or REC709
    brightest = float(pixels.max(initial=0))
    stops = max(0, math.ceil(math.log2(brightest))) if brightest > 1 else 0
    scale = np.array(colours.neutral, np.float32) * np.float32(2.0**-stops)
    tile = _TILE_PIXELS
    while tile > max(min(pixels.shape[:2]), _LEAST_TILE_PIXELS):
        tile //= 2
    floats = np.float16 if extras.depth == 16 else np.float32
    stored = (pixels * scale).astype(floats)
    with path.open("w+b") as stream, tifffile.TiffWriter(stream, byteorder="<") as tiff:
        shared: dict[str, Any] = {"metadata": None, "software": SOFTWARE}
        tiff.write(
            _preview(pixels, colours),
            photometric="rgb",
            compression="zlib",
            predictor=2,
            rowsperstrip=256,
            subfiletype=1,
            subifds=1,
            extratags=_camera_tags(colours, stops),
            **shared,
        )
        tiff.write(
            stored,
            photometric=_LINEAR_RAW,
            planarconfig="contig",
            compression="zlib",
            compressionargs={"level": 1},
            predictor=_FLOAT_PREDICTOR,
            tile=(tile, tile),
            subfiletype=0,
            extratags=[
                # Black and white level.
                (0xC61A, "I", 3, (0, 0, 0), True),
                (0xC61D, "I", 3, (1, 1, 1), True),
            ],
            maxworkers=2,
            **shared,
        )
    append_exif(path, extras.block, further_tags(extras))


def _camera_tags(colours: SensorColours, stops: int) -> list[tuple[Any, ...]]:
    """What a developer must know of the camera: tags of the first directory."""
    matrix = [part for row in colours.xyz_to_camera for value in row for part in _rational(value)]
    neutral = [part for value in colours.neutral for part in _rational(value)]
    return [
        (0xC612, "B", 4, _VERSION, True),
        (0xC613, "B", 4, _VERSION, True),
        (0xC614, "s", 0, colours.camera, True),
        (0xC621, "2i", 9, tuple(matrix), True),
        (0xC628, "2I", 3, tuple(neutral), True),
        (0xC62A, "2i", 1, (stops, 1), True),
        (0xC65A, "H", 1, _D65, True),
    ]


def _rational(value: float) -> tuple[int, int]:
    fraction = Fraction(value).limit_denominator(1_000_000)
    return fraction.numerator, fraction.denominator


def _preview(pixels: NDArray[Any], colours: SensorColours) -> NDArray[np.uint8]:
    """A small display picture, (h, w, 3)."""
    size = size_within(pixels.shape, side=_PREVIEW_PIXELS)
    small = reduced(np.asarray(pixels, np.float32), size)
    small = cv2.transform(small, np.array(colours.to_srgb, np.float32)).reshape(*size, 3)
    white = float(np.quantile(small.max(axis=2), 1 - _PREVIEW_WHITE))
    shown = color.linear_to_srgb(np.clip(small / max(white, 1e-6), 0, 1))
    return np.asarray(np.rint(shown * 255), np.uint8)

"""Small files of every format, made on the spot, for the tests of reading and writing."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from ghostless.io import icc

Array = NDArray[Any]


def picture(height: int = 30, width: int = 41, dtype: Any = np.uint8, seed: int = 0) -> Array:
    """A smooth colourful picture with some texture; floats span 0 to about 4."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / max(height, width)
    waves = np.stack([np.sin(7 * x + k) * np.cos(5 * y - k) for k in range(3)], axis=2)
    values = 0.5 + 0.4 * waves + 0.02 * random.standard_normal((height, width, 3))
    values = np.clip(values, 0, 1)
    if np.dtype(dtype).kind == "f":
        return (4 * values**2).astype(dtype)
    return np.rint(values * np.iinfo(dtype).max).astype(dtype)


def pillow_bytes(image: Array | Image.Image, kind: str, **how: Any) -> bytes:
    """A picture as Pillow writes it."""
    memory = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(memory, kind, **how)
    return memory.getvalue()


def tiff_bytes(image: Array, **how: Any) -> bytes:
    """A picture as tifffile writes it."""
    memory = io.BytesIO()
    how.setdefault("photometric", "rgb" if image.ndim == 3 else "minisblack")
    tifffile.imwrite(memory, image, metadata=None, **how)
    return memory.getvalue()


def exr_bytes(image: Array, names: str = "RGB", **header: Any) -> bytes:
    """A picture as OpenEXR writes it."""
    import OpenEXR

    memory = io.BytesIO()
    planes = {n: np.ascontiguousarray(image[:, :, k]) for k, n in enumerate(names)}
    OpenEXR.File({"type": OpenEXR.scanlineimage, **header}, planes).write(memory)
    return memory.getvalue()


def hdr_bytes(image: Array, size: str = "-Y {height} +X {width}", head: str = "") -> bytes:
    """A Radiance picture with a size line of one's own."""
    line = size.format(height=image.shape[0], width=image.shape[1])
    top = f"#?RADIANCE\n{head}FORMAT=32-bit_rle_rgbe\n\n{line}\n"
    return top.encode() + imagecodecs.rgbe_encode(
        image, header=False, rle=True, out=8 * image.size + 4096
    )


def dng_bytes(
    mosaic: Array | None = None,
    *,
    neutral: tuple[float, float, float] = (0.5, 1.0, 0.7),
    orientation: int = 1,
    exposure: tuple[int, int] = (1, 125),
) -> bytes:
    """A minimal DNG 1.4: an RGGB mosaic (H, W) uint16 of 14 bits, of a camera that sees sRGB.

    The colour matrix is XYZ to sRGB, so white-balanced camera colours are sRGB's.
    """
    if mosaic is None:
        mosaic = np.full((30, 40), 4000, np.uint16)

    def fractions(*numbers: float) -> tuple[int, ...]:
        return tuple(part for n in numbers for part in (round(n * 10_000), 10_000))

    matrix = fractions(
        3.2404542, -1.5371385, -0.4985314, -0.969266, 1.8760108, 0.041556, 0.0556434, -0.2040259,
        1.0572252,
    )  # fmt: skip
    tags = [
        (271, "s", 0, "Ghost", True),
        (272, "s", 0, "Ghost One", True),
        (274, "H", 1, orientation, True),
        (33421, "H", 2, (2, 2), True),
        (33422, "B", 4, bytes((0, 1, 1, 2)), True),
        (33434, "2I", 1, exposure, True),
        (33437, "2I", 1, (8, 1), True),
        (34855, "H", 1, 100, True),
        (50706, "B", 4, bytes((1, 4, 0, 0)), True),
        (50708, "s", 0, "Ghost One", True),
        (50714, "H", 1, 0, True),
        (50717, "H", 1, 16383, True),
        (50721, "2i", 9, matrix, True),
        (50728, "2I", 3, fractions(*neutral), True),
        (50778, "H", 1, 21, True),
    ]
    return tiff_bytes(mosaic, photometric=32803, extratags=tags, software=False)


def heic_bytes(image: Array) -> bytes:
    """A HEIC picture; needs pillow-heif."""
    import pillow_heif

    memory = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(image)).save(memory, quality=95)
    return memory.getvalue()


def exif_with(orientation: int | None = None, photo: dict[int, Any] | None = None) -> bytes:
    """An Exif block made by Pillow (with its prefix), not by the code under test."""
    exif = Image.Exif()
    exif[0x010F] = "Ghost Optics"
    exif[0x0110] = "Spectre 9"
    exif[0x013B] = "A. Photographer"
    exif[0x8298] = "(c) A. Photographer"
    if orientation is not None:
        exif[0x0112] = orientation
    exif.get_ifd(0x8769).update(
        {
            0x829A: IFDRational(1, 125),
            0x829D: IFDRational(8),
            0x8827: 200,
            0x9003: "2024:05:06 07:08:09",
            0x9291: "25",
            0xA434: "Ghost 50mm",
            0x920A: IFDRational(50),
            **(photo or {}),
        }
    )
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 8.0, 30.5), 3: "E", 4: (11.0, 34.0, 0.0)})
    return exif.tobytes()


def every_format() -> dict[str, bytes]:
    """One small valid file of every format and kind that can be read, by a name with suffix."""
    colour, deep = picture(), picture(dtype=np.uint16)
    light, half = picture(dtype=np.float32), picture(dtype=np.float16)
    alpha = np.dstack([colour, colour[:, :, 0]])
    profile = icc.srgb_profile()
    exif = exif_with(6)
    makers: dict[str, Callable[[], bytes]] = {
        "a.jpg": lambda: pillow_bytes(colour, "JPEG", quality=90, exif=exif, icc_profile=profile),
        "progressive.jpg": lambda: pillow_bytes(colour, "JPEG", progressive=True),
        "grey.jpg": lambda: pillow_bytes(colour[:, :, 0], "JPEG"),
        "cmyk.jpg": lambda: pillow_bytes(Image.fromarray(colour).convert("CMYK"), "JPEG"),
        "a.png": lambda: pillow_bytes(colour, "PNG", exif=exif, icc_profile=profile),
        "deep.png": lambda: imagecodecs.png_encode(deep),
        "alpha.png": lambda: pillow_bytes(alpha, "PNG"),
        "palette.png": lambda: pillow_bytes(Image.fromarray(colour).quantize(16), "PNG"),
        "a.tif": lambda: tiff_bytes(colour, iccprofile=profile),
        "lzw.tif": lambda: tiff_bytes(deep, compression="lzw", predictor=True, rowsperstrip=7),
        "deflate.tif": lambda: tiff_bytes(light, compression="zlib", predictor=3),
        "tiled.tif": lambda: tiff_bytes(colour, tile=(16, 16), compression="zlib"),
        "planar.tif": lambda: tiff_bytes(np.moveaxis(deep, 2, 0).copy(), planarconfig="separate"),
        "a.webp": lambda: pillow_bytes(colour, "WEBP", exif=exif, icc_profile=profile),
        "lossless.webp": lambda: pillow_bytes(alpha, "WEBP", lossless=True),
        "a.avif": lambda: pillow_bytes(colour, "AVIF", exif=exif, icc_profile=profile),
        "deep.avif": lambda: imagecodecs.avif_encode(
            deep >> 6, level=90, bitspersample=10, speed=10
        ),
        "a.hdr": lambda: hdr_bytes(light),
        "a.exr": lambda: exr_bytes(half),
        "float.exr": lambda: exr_bytes(light),
        "a.jxl": lambda: imagecodecs.jpegxl_encode(half, lossless=True, usecontainer=True),
        "bytes.jxl": lambda: imagecodecs.jpegxl_encode(colour, lossless=True),
        "pq.avif": lambda: imagecodecs.avif_encode(
            deep >> 6, level=90, bitspersample=10, speed=10, primaries=9, transfer=16, matrix=9
        ),
        "a.dng": lambda: dng_bytes(),
    }
    return {name: make() for name, make in makers.items()}


def save(folder: Path, name: str, data: bytes) -> Path:
    """Put bytes into a file and return its path."""
    path = folder / name
    path.write_bytes(data)
    return path


def case(shared: Path, name: str) -> list[Path]:
    """The files of a folder of inputs that once went wrong; skips the test where there is none."""
    folder = shared / "cases" / name
    if not folder.is_dir():
        pytest.skip(f"needs ../shared/data/cases/{name}")
    return sorted(folder.iterdir())

"""Small files of enormous pictures: refused by their headers, before memory is asked for."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile

from ghostless.bracket import Fused
from ghostless.io.read import read_frame, read_hdr_image
from ghostless.io.write import WriteSettings, write_hdr_image

from . import samples
from .samples import picture, save

SIDE = 4500  # within the limit of pixels: what is said elsewhere must give them away
SMALL = (48, 64)
MEGABYTES = 40

READ = """
import json, sys
from ghostless.errors import FileReadError
from ghostless.io import read

def peak():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

found = {}
first = sys.argv[1]  # loads every library
for path in [first, *sys.argv[1:]]:
    before = peak()
    try:
        how = read.read_hdr_image if "gain" in path else read.read_frame
        image = how(path, read.ReadSettings(max_pixels=150_000_000))
        said = str(image.pixels.shape)
    except FileReadError as error:
        said = str(error)
    found[path] = (peak() - before) // 1024, said
print(json.dumps(found))
"""


def read_alone(paths: list[Path]) -> dict[str, tuple[int, str]]:
    """Read files in a process of their own: megabytes that its peak grew by, and what came out."""
    if not Path("/proc/self/status").exists():
        pytest.skip("asks /proc for the peak")
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", READ, *paths], capture_output=True, text=True, check=True,
        timeout=300, env={**os.environ, "PYTHONPATH": str(root / "src")},
    )  # fmt: skip
    return {Path(path).name: tuple(found) for path, found in json.loads(done.stdout).items()}


def gain_map_jpeg(folder: Path) -> bytes:
    light = picture(*SMALL, dtype=np.float32)
    shown = Fused(np.clip(light / 4, 0, 1), "display")
    path = folder / "small gain.jpg"
    write_hdr_image(shown, Fused(light, "linear"), path, WriteSettings(overwrite=True))
    return path.read_bytes()


def with_map_size(data: bytes, height: int, width: int) -> bytes:
    """The same file with another size in the frame header of its second picture."""
    spoiled = bytearray(data)
    at = data.rindex(b"\xff\xc0") + 5
    spoiled[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(spoiled)


def gain_map_of_one_colour(folder: Path) -> bytes:
    """A gain map whose pixels are all there, in few bytes: it is decoded if it is not refused."""
    data = gain_map_jpeg(folder)
    start = data.rindex(b"\xff\xd8\xff")
    flat = bytes(imagecodecs.jpeg8_encode(np.full((SIDE, SIDE), 99, np.uint8), level=50))
    old = data[start:]
    told = old[2 : old.index(b"\xff\xdb")]
    return data[:start] + flat[:2] + told + flat[2:]


def exr(shown: tuple[int, int], stored: tuple[int, int]) -> bytes:
    data = bytearray(samples.exr_bytes(picture(*SMALL, dtype=np.float16)))
    for name, (height, width) in ((b"displayWindow", shown), (b"dataWindow", stored)):
        at = data.index(name + b"\0box2i") + len(name) + 1 + 6 + 4
        data[at : at + 16] = struct.pack("<4i", 0, 0, width - 1, height - 1)
    return bytes(data)


def tiff_with_part(compression: str, encode: Callable[[Any], bytes]) -> bytes:
    """A TIFF of 64 x 48 pixels, whose one strip holds a picture of millions of pixels."""
    data = bytearray(samples.tiff_bytes(picture(*SMALL), compression=compression))
    inner = encode(np.zeros((SIDE, SIDE, 3), np.uint8))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        assert len(file.pages[0].dataoffsets) == 1  # type: ignore[union-attr]
    for tag, value in ((273, len(data)), (279, len(inner))):
        at = next(i for k in (3, 4) if (i := data.find(struct.pack("<HHI", tag, k, 1))) >= 0)
        data[at : at + 12] = struct.pack("<HHII", tag, 4, 1, value)
    return bytes(data + inner)


def tiff_with_tile() -> bytes:
    """A TIFF of 64 x 48 pixels, whose one tile, of millions of pixels, is all there."""
    data = bytearray(samples.tiff_bytes(picture(*SMALL), tile=(64, 64), compression="zlib"))
    inner = zlib.compress(bytes(SIDE // 16 * 16 * SIDE * 3), 1)
    for tag, value in ((322, SIDE), (323, SIDE // 16 * 16), (324, len(data)), (325, len(inner))):
        at = next(i for k in (3, 4) if (i := data.find(struct.pack("<HHI", tag, k, 1))) >= 0)
        data[at : at + 12] = struct.pack("<HHII", tag, 4, 1, value)
    return bytes(data + inner)


def avif() -> bytes:
    flat = np.zeros((SIDE, SIDE, 3), np.uint8)
    data = bytearray(imagecodecs.avif_encode(flat, level=10, speed=10, numthreads=2))
    at = data.index(b"ispe") + 8
    data[at : at + 8] = struct.pack(">II", *SMALL)
    return bytes(data)


def scaled_avif() -> bytes:
    """A small picture that is said to be large, as which its decoder would scale it."""
    data = bytearray(imagecodecs.avif_encode(picture(*SMALL), level=60, speed=10))
    at = data.index(b"ispe") + 8
    data[at : at + 8] = struct.pack(">II", SIDE, SIDE)
    return bytes(data)


def jpeg() -> bytes:
    data = bytearray(imagecodecs.jpeg8_encode(picture(*SMALL)))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", SIDE, SIDE)
    return bytes(data)


def png() -> bytes:
    data = bytearray(imagecodecs.png_encode(picture(*SMALL)))
    data[16:24] = struct.pack(">II", SIDE, SIDE)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def dng_with_area() -> bytes:
    """A raw picture far larger than its active area, and than is allowed."""
    from .test_dng import dng

    area = (50829, "I", 4, (0, 0, *SMALL), True)
    data = bytearray(dng(np.zeros((64, 64), np.uint16), area))
    for tag in (256, 257):
        at = next(i for k in (3, 4) if (i := data.find(struct.pack("<HHI", tag, k, 1))) >= 0)
        data[at : at + 12] = struct.pack("<HHII", tag, 4, 1, 40_000)
    return bytes(data)


def many_channels_jxl() -> bytes:
    """A JPEG XL header with 4000 extra channels."""
    bits, place = 0, 0
    for value, count in (
        (0, 1), (2, 2), (SIDE - 1, 18), (0, 3), (2, 2), (SIDE - 1, 18),  # size
        (0, 1), (0, 1), (0, 1), (0, 2), (0, 1), (3, 2), (3999, 12),
    ):  # fmt: skip
        bits |= value << place
        place += count
    return b"\xff\x0a" + bits.to_bytes(16, "little") + bytes(200)


def bombs(folder: Path) -> dict[str, bytes]:
    return {
        "gain sizes.jpg": with_map_size(gain_map_jpeg(folder), 20_000, 20_000),
        "gain flat.jpg": gain_map_of_one_colour(folder),
        "display.exr": exr((2_000_000, 64), SMALL),
        "data.exr": exr(SMALL, (48, 4_000_000)),
        "both.exr": exr((48, 2_000_000), (48, 2_000_000)),
        "high.exr": exr((2_000_000, 64), (2_000_000, 64)),
        "jpeg.tif": tiff_with_part("jpeg", lambda a: bytes(imagecodecs.jpeg8_encode(a))),
        "webp.tif": tiff_with_part("webp", lambda a: bytes(imagecodecs.webp_encode(a, level=1))),
        "jxl.tif": tiff_with_part(
            "jpegxl", lambda a: bytes(imagecodecs.jpegxl_encode(a, effort=1))
        ),
        "tile.tif": tiff_with_tile(),
        "avif.avif": avif(),
        "scaled.avif": scaled_avif(),
        "jpeg.jpg": jpeg(),
        "png.png": png(),
        "raw.dng": dng_with_area(),
        "channels.jxl": many_channels_jxl(),
    }


def test_bombs_take_no_memory(tmp_path: Path) -> None:
    sound = [save(tmp_path, f"{name}.sound", data) for name, data in (
        ("gain", gain_map_jpeg(tmp_path)),
        ("exr", samples.exr_bytes(picture(*SMALL, dtype=np.float16))),
        *((kind, samples.every_format()[kind]) for kind in ("a.tif", "a.avif", "a.png", "a.dng",
                                                            "bytes.jxl", "a.webp"))
    )]  # fmt: skip
    paths = [save(tmp_path, name, data) for name, data in bombs(tmp_path).items()]
    found = read_alone([*sound, *paths])
    for path in sound[1:]:
        assert found[path.name][1].startswith("("), found[path.name]
    for path in paths:
        megabytes, said = found[path.name]
        assert ": expected " in said, (path.name, said)
        assert megabytes < MEGABYTES, (path.name, megabytes, said)


def test_the_case(shared: Path) -> None:
    (path,) = samples.case(shared, "gain_map_bomb")
    assert read_frame(path).pixels.shape == (*SMALL, 3)
    megabytes, said = read_alone([path])[path.name]
    assert megabytes < MEGABYTES, said


def test_a_gain_map_of_the_pictures_size_is_read(tmp_path: Path) -> None:
    path = save(tmp_path, "a.jpg", gain_map_jpeg(tmp_path))
    assert read_hdr_image(path).pixels.shape == (*SMALL, 3)


def test_a_cropped_exr_in_an_ordinary_window_is_read(tmp_path: Path) -> None:
    frame = read_frame(save(tmp_path, "a.exr", exr((2160, 3840), SMALL)))
    assert frame.pixels.shape == (2160, 3840, 3)
    assert np.array_equal(frame.pixels[:48, :64], picture(*SMALL, dtype=np.float16))


@pytest.mark.parametrize("kind", ["jpeg", "webp", "jpegxl", "jpeg2000", "png", "jpegxr", "lerc"])
@pytest.mark.parametrize("how", [{}, {"tile": (32, 32)}, {"rowsperstrip": 16}])
def test_sound_parts_of_a_tiff_are_read(kind: str, how: dict[str, Any], tmp_path: Path) -> None:
    codes = picture(70, 90)
    frame = read_frame(save(tmp_path, "a.tif", samples.tiff_bytes(codes, compression=kind, **how)))
    assert np.abs(frame.pixels.astype(int) - codes).mean() < 6


def test_deep_pictures_take_little_more_than_themselves(tmp_path: Path) -> None:
    """PQ codes and floats become float32 by stripes, not by copies of the whole."""
    flat = np.full((2000, 2000, 3), 300, np.uint16)
    pq = imagecodecs.avif_encode(flat, level=50, bitspersample=10, speed=10, primaries=9,
                                 transfer=16, matrix=9, numthreads=2)  # fmt: skip
    paths = [
        save(tmp_path, "first.exr", samples.exr_bytes(picture(*SMALL, dtype=np.float16))),
        save(tmp_path, "pq.avif", bytes(pq)),
        save(tmp_path, "half.exr", samples.exr_bytes(flat.astype(np.float16))),
        save(tmp_path, "runs.hdr", b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 2000 +X 2000\n"
             + bytes((128, 64, 32, 129)) + bytes((1, 1, 1, 255)) * 4),
    ]  # fmt: skip
    itself = 2000 * 2000 * 12 / 2**20
    for name, (megabytes, said) in read_alone(paths).items():
        assert said.endswith("3)"), said
        assert megabytes < 2.6 * itself, (name, megabytes)

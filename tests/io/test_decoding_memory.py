"""What decoding takes is known from the header, before memory is asked for."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from ghostless.io import read
from ghostless.work import memory

from . import samples
from .samples import save
from .test_dng import dng

SIDE = 2600
PEAKS = """
import json, sys
from ghostless.io import read

def status(name):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) * 1024

found = []
first, *paths = sys.argv[1:]
read.read_frame(first)  # loads what reading needs
for path in paths:
    facts = read.read_facts(path)
    open("/proc/self/clear_refs", "w").write("5")
    before = status("VmRSS")
    pixels = read.read_frame(path).pixels
    found.append([path, pixels.nbytes, facts.kept_bytes, status("VmHWM") - before,
                  facts.decoding_bytes])
    del pixels
print(json.dumps(found))
"""


def large_files() -> dict[str, bytes]:
    """A picture of 6.8 megapixels in every format that packs it small."""
    ramp = np.arange(SIDE, dtype=np.uint16) // 11
    codes = np.tile(ramp.astype(np.uint8)[None, :, None], (SIDE, 1, 3))
    deep, light = codes.astype(np.uint16) * 257, codes.astype(np.float32) / 255
    heic = io.BytesIO()
    pytest.importorskip("pillow_heif").from_pillow(Image.fromarray(codes)).save(heic, quality=50)

    def avif(bits: int, pixels: Any, **how: int) -> bytes:
        return imagecodecs.avif_encode(pixels, level=60, speed=10, bitspersample=bits, **how)

    runs = b"".join(bytes((228, code)) for code in (9, 99, 199, 128) for _ in range(SIDE // 100))
    lines = (b"\2\2" + struct.pack(">H", SIDE) + runs) * SIDE
    return {
        "a.jpg": imagecodecs.jpeg8_encode(codes, level=85),
        "a.png": imagecodecs.png_encode(codes, level=1),
        "deep.png": imagecodecs.png_encode(deep, level=1),
        "a.webp": imagecodecs.webp_encode(codes, level=0, lossless=True),
        "a.avif": avif(8, codes),
        "deep.avif": avif(10, codes.astype(np.uint16) * 4),
        "pq.avif": avif(10, codes.astype(np.uint16) * 3, primaries=9, transfer=16, matrix=9),
        "a.heic": heic.getvalue(),
        "a.jxl": imagecodecs.jpegxl_encode(codes, effort=1, lossless=True),
        "light.jxl": imagecodecs.jpegxl_encode(light, effort=1, lossless=True),
        "a.tif": samples.tiff_bytes(codes, compression="zlib"),
        "deep.tif": samples.tiff_bytes(deep, compression="zlib"),
        "half.tif": samples.tiff_bytes(light.astype(np.float16), compression="zlib"),
        "light.tif": samples.tiff_bytes(light, compression="zlib"),
        "a.exr": samples.exr_bytes(light.astype(np.float16)),
        "a.hdr": b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y %d +X %d\n" % (SIDE, SIDE) + lines,
        "a.dng": dng(codes[..., 0].astype(np.uint16) * 64),
    }


@pytest.mark.slow
@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="asks /proc")
def test_headers_tell_what_decoding_takes(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    small = samples.every_format()
    for name, data in large_files().items():
        path = save(tmp_path, name, bytes(data))
        first = small.get(f"a{path.suffix}", small["a.png"])
        words = [sys.executable, "-c", PEAKS, str(save(tmp_path, "first", first)), str(path)]
        environment = {**os.environ, "PYTHONPATH": str(root / "src")}
        done = subprocess.run(words, capture_output=True, text=True, check=True, env=environment)
        ((_, pixels, kept, peak, decoding),) = json.loads(done.stdout)
        assert kept == pixels, name
        # The first file of a kind brings libraries of its own along.
        assert peak - 20e6 < decoding < 1.6 * peak + 20e6, (name, peak, decoding)


def test_large_photos_are_decoded_one_by_one() -> None:
    gigabyte = 10**9
    assert memory.decoders_at_a_time([gigabyte, gigabyte // 2, gigabyte], 2) == 2
    assert memory.decoders_at_a_time([2 * gigabyte, gigabyte // 2, gigabyte], 2) == 1
    base = memory.reading_bytes([100, 100], [100, 200], 2) - 500
    assert memory.reading_bytes([gigabyte] * 3, [2 * gigabyte] * 3, 2) - base == (
        memory.IN_MEMORY_BYTES + 2 * gigabyte
    )


def test_a_bracket_of_large_photos_has_one_decoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[int]] = []

    def one(decoding: list[int], most: int) -> int:
        asked.append(decoding)
        return 1

    monkeypatch.setattr(read, "decoders_at_a_time", one)
    data = samples.every_format()["a.png"]
    read.read_bracket([save(tmp_path, f"{name}.png", data) for name in "ab"])
    assert [len(each) for each in asked] == [2]
    assert min(asked[0]) >= 30 * 41 * 3

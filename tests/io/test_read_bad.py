"""Bad input: whatever a file holds, reading it gives a picture or one clear line."""

from __future__ import annotations

import os
import random
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ghostless.errors import FileReadError, GhostlessError
from ghostless.io.base_media import item_place
from ghostless.io.read import read_frame, read_image

from . import samples
from .samples import exr_bytes, picture, pillow_bytes, save, tiff_bytes

FORMATS = samples.every_format()


def refusal(path: Path) -> str:
    """The message that a file is refused with: one line that begins with its path."""
    with pytest.raises(FileReadError) as caught:
        read_frame(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: expected ")
    assert "\n" not in message
    assert "found" in message
    return message


def test_missing_folder_empty_and_special(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "missing.jpg")
    assert "no such file" in refusal(save(tmp_path, "a.jpg", b"x") / "b.jpg")
    assert "found a folder" in refusal(tmp_path)
    assert "an empty file" in refusal(save(tmp_path, "empty.jpg", b""))
    os.mkfifo(tmp_path / "pipe.jpg")
    assert "a device or pipe" in refusal(tmp_path / "pipe.jpg")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    assert "symbolic links" in refusal(tmp_path / "loop.jpg")
    (tmp_path / "dangling.jpg").symlink_to("nowhere")
    assert "no such file" in refusal(tmp_path / "dangling.jpg")
    with pytest.raises(FileReadError):
        read_frame("nul\0.jpg")


def test_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path, "secret.jpg", FORMATS["a.jpg"])
    path.chmod(0)
    if os.access(path, os.R_OK):  # this user may read everything

        def deny(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "open", deny)
    assert "permission is denied" in refusal(path)


def test_what_is_no_photo_is_called_by_its_name(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "zip.jpg", "w") as archive:
        archive.writestr("a", "b")
    assert "a zip archive" in refusal(tmp_path / "zip.jpg")
    page = b"<!DOCTYPE html><html><body>404 Not Found</body></html>"
    assert "a web page" in refusal(save(tmp_path, "page.jpg", page))
    assert "found text" in refusal(save(tmp_path, "text.png", b"just some words\n" * 9))
    assert "only zeros" in refusal(save(tmp_path, "zeros.jpg", bytes(4096)))
    noise = bytes(random.Random(0).randbytes(999))
    assert "unknown data" in refusal(save(tmp_path, "noise.tif", noise))
    assert "PDF" in refusal(save(tmp_path, "a.jpg", b"%PDF-1.7 ..."))
    for start in (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"v/1\x01", b"#?RADIANCE\n"):
        refusal(save(tmp_path, "start.jpg", start))


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_truncated_file_is_never_a_partly_grey_picture(name: str, tmp_path: Path) -> None:
    data = FORMATS[name]
    for share in (0.05, 0.3, 0.5, 0.75, 0.9, 0.97):
        message = refusal(save(tmp_path, name, data[: int(len(data) * share)]))
        assert "damaged or cut off" in message


@pytest.mark.parametrize("name", ["a.jpg", "progressive.jpg", "a.png", "lzw.tif", "a.hdr"])
def test_the_end_overwritten_with_zeros(name: str, tmp_path: Path) -> None:
    """As a card that was pulled out too early leaves it: right size, no content."""
    half = len(FORMATS[name]) // 2
    refusal(save(tmp_path, name, FORMATS[name][:half] + bytes(len(FORMATS[name]) - half)))


def test_a_tiff_with_a_missing_strip(tmp_path: Path) -> None:
    """Readers of scientific images fill such strips with black."""
    data = bytearray(tiff_bytes(picture(), compression="zlib", rowsperstrip=10))
    entry = data.index(struct.pack("<HH", 279, 3)) if struct.pack("<HH", 279, 3) in data else -1
    size = 2 if entry >= 0 else 4
    entry = entry if entry >= 0 else data.index(struct.pack("<HH", 279, 4))
    (values,) = struct.unpack("<I", data[entry + 8 : entry + 12])
    place = entry + 8 if 3 * size <= 4 else values
    data[place + size : place + 2 * size] = bytes(size)
    assert "strip 2 of 3" in refusal(save(tmp_path, "a.tif", bytes(data)))


# Decompression bombs ------------------------------------------------------------------------------

SIDE = 40_000


def png_bomb() -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + crc

    head = struct.pack(">IIBBBBB", SIDE, SIDE, 16, 2, 0, 0, 0)
    rows = zlib.compress(bytes(1 << 20), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def jpeg_bomb() -> bytes:
    data = bytearray(pillow_bytes(picture(), "JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", SIDE, SIDE)
    return bytes(data)


def tiff_bomb() -> bytes:
    data = bytearray(tiff_bytes(picture(), compression="zlib"))
    for tag in (256, 257):
        at = data.index(struct.pack("<HH", tag, 3)) if struct.pack("<HH", tag, 3) in data else -1
        kind = "<H" if at >= 0 else "<I"
        at = at if at >= 0 else data.index(struct.pack("<HH", tag, 4))
        data[at + 8 : at + 8 + struct.calcsize(kind)] = struct.pack(kind, SIDE)
    return bytes(data)


def webp_bomb() -> bytes:
    data = bytearray(FORMATS["a.webp"])
    at = data.index(b"VP8X") + 12
    data[at : at + 6] = (SIDE - 1).to_bytes(3, "little") * 2
    return bytes(data)


def avif_bomb() -> bytes:
    data = bytearray(FORMATS["deep.avif"])
    at = data.index(b"ispe") + 8
    data[at : at + 8] = struct.pack(">II", SIDE, SIDE)
    return bytes(data)


def exr_bomb() -> bytes:
    data = bytearray(FORMATS["a.exr"])
    for name in (b"dataWindow", b"displayWindow"):
        at = data.index(name) + len(name) + 1 + len(b"box2i\0") + 4
        data[at : at + 16] = struct.pack("<4i", 0, 0, SIDE - 1, SIDE - 1)
    return bytes(data)


def jxl_bomb() -> bytes:
    """A codestream whose size is written anew: height, then width, in fields of 18 bits."""
    size = 2 << 1 | (SIDE - 1) << 3 | 0 << 21 | 2 << 24 | (SIDE - 1) << 26
    return b"\xff\x0a" + (size | 1 << 44).to_bytes(6, "little") + bytes(64)


def hdr_bomb() -> bytes:
    return FORMATS["a.hdr"].replace(b"-Y 30 +X 41", b"-Y 40000 +X 40000")


@pytest.mark.parametrize(
    "bomb", [png_bomb, jpeg_bomb, tiff_bomb, webp_bomb, avif_bomb, exr_bomb, jxl_bomb, hdr_bomb]
)
def test_bombs_are_refused_by_their_header(bomb: object, tmp_path: Path) -> None:
    path = save(tmp_path, "bomb", bomb())  # type: ignore[operator]
    message = refusal(path)
    # Of an AVIF that holds a smaller picture than it says, that is what is wrong first.
    assert (
        "at most 400,000,000 pixels, found 40000 x 40000" in message
        or "it says 40000 x 40000 pixels" in message
    )


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.hdr"])
def test_zero_size(name: str, tmp_path: Path) -> None:
    data = bytearray(FORMATS[name])
    if name == "a.png":
        data[16:20] = bytes(4)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    elif name == "a.jpg":
        at = data.index(b"\xff\xc0") + 5
        data[at : at + 2] = bytes(2)
    else:
        data = data.replace(b"-Y 30", b"-Y 0")
    assert " 0 " in refusal(save(tmp_path, name, bytes(data)))


# Floats -------------------------------------------------------------------------------------------


def write_exr(folder: Path, light: NDArray[np.float32]) -> Path:
    return save(folder, "a.exr", exr_bytes(light))


def test_nan_and_infinity_are_counted_and_located(tmp_path: Path) -> None:
    light = picture(300, 20, np.float32)
    light[270, 7, 1] = np.nan
    light[280, 3] = np.inf
    light[299, 19, 2] = -np.inf
    message = refusal(write_exr(tmp_path, light))
    assert "in 3 of 6000 pixels, the first at x=7, y=270" in message
    assert "NaN or infinity" in refusal(save(tmp_path, "a.tif", tiff_bytes(light)))


def test_small_negative_numbers_become_zero_with_a_note(tmp_path: Path) -> None:
    light = picture(dtype=np.float32)
    light[3, 4] = (-0.01, 0.5, 0.5)
    image = read_image(write_exr(tmp_path, light))
    assert image.pixels[3, 4].tolist() == [0, 0.5, 0.5]
    assert any("1 of 1230 pixels were below 0 (down to -0.01)" in note for note in image.notes)
    assert "never negative" in refusal(write_exr(tmp_path, -picture(dtype=np.float32) - 1))


# Damage -------------------------------------------------------------------------------------------


def damaged(data: bytes, dice: random.Random) -> bytes:
    """A file cut off, or with some bytes changed; headers are hit more often than pixels."""
    spoiled = bytearray(data)
    kind = dice.random()
    if kind < 0.15:
        return data[: dice.randrange(len(data))]
    reach = len(data) if kind < 0.55 else min(len(data), 400)
    for _ in range(dice.choice((1, 1, 2, 4, 16))):
        spoiled[dice.randrange(reach)] = dice.choice((0, 1, 127, 128, 255, dice.randrange(256)))
    return bytes(spoiled)


def try_damaged(folder: Path, rounds: int, seed: int) -> None:
    dice = random.Random(seed)
    for name, data in sorted(FORMATS.items()):
        path = folder / name
        for _ in range(rounds):
            path.write_bytes(damaged(data, dice))
            try:
                frame = read_frame(path)
            except GhostlessError as error:
                assert str(path) in str(error)  # noqa: PT017
                assert "\n" not in str(error)  # noqa: PT017
            else:
                assert frame.pixels.ndim == 3


def test_damaged_data_gives_a_picture_or_one_clear_error(tmp_path: Path) -> None:
    try_damaged(tmp_path, rounds=12, seed=1)


@pytest.mark.slow
def test_thousands_of_damaged_files(tmp_path: Path) -> None:
    """In a process of its own, so that a crash or hang of a decoder is seen as what it is."""
    code = (
        "import sys, pathlib, warnings; warnings.simplefilter('error')\n"
        "from tests.io.test_read_bad import try_damaged\n"
        f"try_damaged(pathlib.Path({str(tmp_path)!r}), rounds=400, seed=int(sys.argv[1]))\n"
    )
    root = Path(__file__).resolve().parents[2]
    path = os.pathsep.join([str(root), str(root / "src")])
    for seed in ("2", "3"):
        subprocess.run(
            [sys.executable, "-X", "faulthandler", "-c", code, seed],
            check=True, timeout=500, env={**os.environ, "PYTHONPATH": path},
        )  # fmt: skip


def test_a_decoder_out_of_memory_is_told_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("ghostless.io.read.decode", fail)
    assert "fits in memory" in refusal(save(tmp_path, "a.png", FORMATS["a.png"]))


def test_decoders_print_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("a.exr", "a.dng", "a.png", "a.jpg"):
        data = bytearray(FORMATS[name])
        half = len(data) // 2
        data[half : half + 20] = bytes(20)
        with suppress(GhostlessError):
            read_frame(save(tmp_path, name, bytes(data)))
    assert capfd.readouterr() == ("", "")


def test_extents_that_take_no_bytes_take_no_time_however_many() -> None:
    # iloc, version 0, all field sizes 0: 10,000 items of 65,535 extents each, of no bytes.
    item = struct.pack(">HHH", 7, 0, 65_535)
    box = bytes(4) + struct.pack(">HH", 0, 10_000) + item * 10_000
    start = time.perf_counter()
    assert item_place(box, 0, len(box), 8) is None
    assert item_place(box, 0, len(box), 7) == (0, len(box))
    assert time.perf_counter() - start < 5

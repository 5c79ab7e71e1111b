"""Every kind of bad input: one clear line, exit status 2, and nothing created or changed."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import OpenEXR
import pytest
from PIL import Image

from ghostless.cli import run

from . import scenes
from .files import contents, save_bracket, save_photo

OUT = ["-o", "out.jpg"]


@dataclass(frozen=True)
class Case:
    """Words given after `ghostless` in a folder with frame_1.png .. frame_3.png, and the answer.

    prepare: changes the folder first. says: all of these stand in the one line.
    """

    words: list[str]
    says: tuple[str, ...]
    prepare: Callable[[Path], object] = lambda folder: None


FRAMES = ["frame_1.png", "frame_2.png", "frame_3.png"]
FUSE = ["fuse", *FRAMES]


def _bomb_png(path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0))
    row = chunk(b"IDAT", zlib.compress(bytes(100)))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + row + chunk(b"IEND", b""))


def _bomb_tiff(path: Path) -> None:
    tags = [
        (256, 4, 40_000),  # width
        (257, 4, 40_000),  # height
        (258, 3, 8),  # bits
        (259, 3, 1),  # no compression
        (262, 3, 1),  # black is zero
        (273, 4, 8),  # strip offset
        (277, 3, 1),  # samples
        (278, 4, 40_000),  # rows a strip
        (279, 4, 1_600_000_000),  # strip bytes
    ]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    path.write_bytes(
        b"II*\x00" + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + entries + bytes(4)
    )


def _save_exr(path: Path, pixels: np.ndarray) -> None:
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, {"RGB": pixels.astype(np.float32)}).write(str(path))


def _nan_exr(folder: Path) -> None:
    pixels = scenes.make_radiance(20, 30)
    _save_exr(folder / "fine.exr", pixels)
    pixels = 4 * pixels
    pixels[3, 5, 1] = np.nan
    _save_exr(folder / "nan.exr", pixels)


def _flat(code: int) -> Callable[[Path], None]:
    def prepare(folder: Path) -> None:
        for name in FRAMES:
            Image.fromarray(np.full((48, 64, 3), code, np.uint8)).save(folder / name)

    return prepare


def _photo(name: str, height: int, width: int, orientation: int = 1) -> Callable[[Path], None]:
    def prepare(folder: Path) -> None:
        pixels = scenes.expose(scenes.make_radiance(height, width), 1.0)
        save_photo(folder / name, pixels, stops=1.0, orientation=orientation)  # type: ignore[arg-type]

    return prepare


def _equal(folder: Path) -> None:
    for number, name in enumerate(FRAMES):
        pixels = scenes.expose(scenes.make_radiance(48, 64), 0.0, noise=1, seed=number)
        save_photo(folder / name, pixels, stops=0.0)  # type: ignore[arg-type]


def _truncated(folder: Path) -> None:
    _photo("cut.jpg", 48, 64)(folder)
    whole = (folder / "cut.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])


def _link(name: str, target: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).symlink_to(target)


def _hard_link(folder: Path) -> None:
    os.link(folder / "frame_1.png", folder / "other.png")


def _mostly_empty_folder(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "notes.txt").write_text("no photos here")


CASES = {
    # files
    "missing file": Case(["fuse", *FRAMES, "gone.png", *OUT], ("gone.png",)),
    "empty file": Case(
        ["fuse", *FRAMES, "empty.jpg", *OUT],
        ("empty.jpg", "empty"),
        lambda folder: (folder / "empty.jpg").touch(),
    ),
    "not an image": Case(
        ["fuse", *FRAMES, "text.jpg", *OUT],
        ("text.jpg",),
        lambda folder: (folder / "text.jpg").write_text("Dear diary, no photo today."),
    ),
    "truncated jpeg": Case(["fuse", *FRAMES, "cut.jpg", *OUT], ("cut.jpg",), _truncated),
    "other size": Case(
        ["fuse", *FRAMES, "wide.png", *OUT],
        ("wide.png", "64 x 48", "70 x 48"),
        _photo("wide.png", 48, 70),
    ),
    "turned": Case(
        ["fuse", *FRAMES, "tall.png", *OUT],
        ("tall.png", "48 x 64", "orientation"),
        _photo("tall.png", 64, 48),
    ),
    "turned by exif": Case(
        ["fuse", *FRAMES, "tag.jpg", *OUT],
        ("tag.jpg", "48 x 64", "orientation"),
        _photo("tag.jpg", 48, 64, orientation=6),
    ),
    "link in a circle": Case(
        ["fuse", "link.png", *OUT],
        ("link.png:", "a link that leads to none"),
        _link("link.png", "link.png"),
    ),
    "link to nothing": Case(
        ["fuse", "link.png", "frame_2.png", *OUT],
        ("link.png:", "a link that leads to none"),
        _link("link.png", "gone.png"),
    ),
    "missing folder given": Case(["fuse", "nofolder", *OUT], ("nofolder:", "none of this name")),
    "missing folder above": Case(
        ["fuse", "no/frame_1.png", "frame_2.png", *OUT], ("no/frame_1.png:", "no folder no;")
    ),
    "slip of the finger": Case(
        ["fuse", "frame_1.PNG", "frame_2.png", *OUT], ("frame_1.PNG:", "did you mean frame_1.png?")
    ),
    "pattern not expanded": Case(
        ["fuse", "frame_*.png", *OUT], ("frame_*.png:", "pattern", "3 files fit", "without quotes")
    ),
    "pattern of nothing": Case(["fuse", "IMG_*.jpg", *OUT], ("IMG_*.jpg:", "no file fits")),
    "pattern to info": Case(["info", "IMG_[0-9].jpg"], ("IMG_[0-9].jpg:", "no file fits")),
    "pattern to align": Case(["align", "*.raw", "-o", "out"], ("*.raw:", "no file fits")),
    "address": Case(["fuse", "https://a.example/1.jpg", "b.jpg", *OUT], ("an address",)),
    "empty name": Case(["fuse", "", *OUT], ("after 'fuse'", "empty word")),
    "empty name among others": Case([*FUSE, "", *OUT], ("after 'frame_3.png'", "empty word")),
    "empty output": Case([*FUSE, "-o", ""], ("after '-o'", "empty word")),
    "empty output folder": Case(["align", *FRAMES, "-o", ""], ("after '-o'", "empty word")),
    "empty option": Case([*FUSE, *OUT, "--stops="], ("(--stops=)", "empty word")),
    "empty folder of a shoot": Case(["batch", "", "-o", "out"], ("after 'batch'", "empty word")),
    "one frame": Case(["fuse", "frame_1.png", *OUT], ("at least 2", "found 1")),
    "same file twice": Case(["fuse", "frame_1.png", "frame_1.png", *OUT], ("frame_1.png", "twice")),
    "same file by a link": Case(
        ["fuse", "frame_1.png", "link.png", *OUT], ("twice",), _link("link.png", "frame_1.png")
    ),
    "21 frames": Case(["fuse", *FRAMES * 7, *OUT], ("at most 20", "found 21")),
    "folder without photos": Case(["fuse", "sub", *OUT], ("sub",), _mostly_empty_folder),
    "equal exposures": Case([*FUSE, *OUT], ("expos",), _equal),
    "all black": Case([*FUSE, *OUT], ("black",), _flat(0)),
    "all white": Case([*FUSE, *OUT], ("white",), _flat(255)),
    "png bomb": Case(
        ["fuse", *FRAMES, "bomb.png", *OUT],
        ("bomb.png", "pixels"),
        lambda folder: _bomb_png(folder / "bomb.png"),
    ),
    "tiff bomb": Case(
        ["fuse", *FRAMES, "bomb.tif", *OUT],
        ("bomb.tif", "pixels"),
        lambda folder: _bomb_tiff(folder / "bomb.tif"),
    ),
    "max pixels": Case([*FUSE, *OUT, "--max-pixels", "3000"], ("frame_1.png", "3,000")),
    "nan": Case(["fuse", "fine.exr", "nan.exr", "-o", "out.exr"], ("nan.exr",), _nan_exr),
    # where to
    "folder is a file": Case([*FUSE, "-o", "frame_1.png/out.jpg"], ("frame_1.png",)),
    "unwritable folder": Case([*FUSE, "-o", "/proc/out.jpg"], ("/proc",)),
    "output is a folder": Case(
        [*FUSE, "-o", "dir.jpg", "--overwrite"],
        ("dir.jpg",),
        lambda folder: (folder / "dir.jpg").mkdir(),
    ),
    "unknown suffix": Case([*FUSE, "-o", "out.jgp"], ("out.jgp", ".jpg")),
    **{
        f"other format {suffix}": Case(
            [*FUSE, "-o", f"pic{suffix}"],
            (f"pic{suffix}:", ".jpg, .jpeg, .png", f"found '{suffix}'", "does not write"),
        )
        for suffix in (".bmp", ".gif", ".heic", ".jp2", ".psd", ".BMP", ".ppm")
    },
    "output is a photo of the folder": Case(
        ["fuse", ".", "-o", "frame_2.png", "--overwrite"], ("frame_2.png", "photo", "another name")
    ),
    "output links to a photo of the folder": Case(
        ["fuse", "sub", "-o", "link.png", "--overwrite"],
        ("link.png", "photo"),
        lambda folder: (save_bracket(folder / "sub"), _link("link.png", "sub/frame_1.png")(folder)),
    ),
    "output is a folder that is there": Case(
        [*FUSE, "-o", "sub"], ("sub/fused.jpg",), lambda folder: (folder / "sub").mkdir()
    ),
    "batch to another format": Case(
        ["batch", ".", "-o", "out", "--format", "bmp"], ("--format:", "jpg, jpeg, png", "'bmp'")
    ),
    "no suffix": Case([*FUSE, "-o", "out"], (".jpg",)),
    "existing output": Case(
        [*FUSE, *OUT],
        ("out.jpg", "--overwrite"),
        lambda folder: (folder / "out.jpg").write_text("precious"),
    ),
    "output is an input": Case([*FUSE, "-o", "frame_2.png", "--overwrite"], ("frame_2.png",)),
    "output links to an input": Case(
        [*FUSE, "-o", "link.png", "--overwrite"],
        ("link.png",),
        _link("link.png", "frame_2.png"),
    ),
    "output is an input's other name": Case(
        [*FUSE, "-o", "other.png", "--overwrite"], ("other.png",), _hard_link
    ),
    "report is an input": Case(
        [*FUSE, *OUT, "--report", "frame_1.png", "--overwrite"], ("frame_1.png",)
    ),
    "report below a file": Case(
        [*FUSE, *OUT, "--report", "frame_1.png/report.json"], ("frame_1.png",)
    ),
    "stages below a file": Case(
        [*FUSE, *OUT, "--save-stages", "frame_1.png/stages"], ("frame_1.png",)
    ),
    "align below a file": Case(["align", *FRAMES, "-o", "frame_1.png"], ("frame_1.png",)),
    "deghost below a file": Case(["deghost", *FRAMES, "-o", "frame_1.png"], ("frame_1.png",)),
    # values
    "unknown method": Case([*FUSE, *OUT, "--method", "mertns"], ("'mertns'", "'mertens'")),
    "display method to exr": Case(
        [*FUSE, "-o", "out.exr", "--method", "mertens"], ("out.exr", "mertens")
    ),
    "stops count": Case([*FUSE, *OUT, "--stops", "-2,0"], ("3", "2")),
    "stops infinite": Case([*FUSE, *OUT, "--stops", "1e999,0,2"], ("--stops", "1e999")),
    "stops words": Case([*FUSE, *OUT, "--stops", "dark,mid,bright"], ("--stops", "dark")),
    "stops are shutter times": Case(
        [*FUSE, *OUT, "--stops", "1/60,1/15,1/4"], ("--stops", "shutter times")
    ),
    "stops twice": Case(
        [*FUSE, *OUT, "--stops", "-2,0,2", "--stops-file", "ev.txt"], ("--stops-file",)
    ),
    "stops not finite": Case([*FUSE, *OUT, "--stops", "0,nan,2"], ("--stops", "nan")),
    "stops equal": Case([*FUSE, *OUT, "--stops", "1,1,1"], ("expos",)),
    "stops file missing": Case([*FUSE, *OUT, "--stops-file", "gone.txt"], ("gone.txt",)),
    "stops file of words": Case(
        [*FUSE, *OUT, "--stops-file", "words.txt"],
        ("words.txt",),
        lambda folder: (folder / "words.txt").write_text("a b c"),
    ),
    "reference too large": Case([*FUSE, *OUT, "--reference", "3"], ("reference", "3")),
    "reference negative": Case([*FUSE, *OUT, "--reference", "-1"], ("reference", "-1")),
    "reference word": Case([*FUSE, *OUT, "--reference", "middle"], ("--reference", "middle")),
    "align nonsense": Case([*FUSE, *OUT, "--align", "homografy"], ("homografy", "'homography'")),
    "deghost nonsense": Case([*FUSE, *OUT, "--deghost", "yes"], ("'yes'", "auto, on, off")),
    "tone map nonsense": Case(
        [*FUSE, *OUT, "--method", "debevec", "--tone-map", "reinhart"], ("reinhart", "reinhard")
    ),
    "quality": Case([*FUSE, *OUT, "--jpeg-quality", "101"], ("--jpeg-quality", "100")),
    "quality word": Case([*FUSE, *OUT, "--jpeg-quality", "best"], ("--jpeg-quality", "integer")),
    "quality of a jpeg": Case([*FUSE, *OUT, "--quality", "90"], ("--quality", "--jpeg-quality")),
    "depth": Case([*FUSE, "-o", "out.png", "--depth", "12"], ("out.png", "12", ".avif")),
    "depth of jpeg": Case([*FUSE, *OUT, "--depth", "16"], ("out.jpg", "16", ".png, .tif")),
    "depth of nothing": Case([*FUSE, *OUT, "--depth", "9"], ("out.jpg", "leave the depth out")),
    "weight of another method": Case(
        [*FUSE, "-o", "out.exr", "--set", "mertens.saturation=2"], ("mertens.saturation", "debevec")
    ),
    "negative weight": Case(
        [*FUSE, *OUT, "--set", "mertens.contrast=-1"], ("mertens.contrast", "-1")
    ),
    "tone out of range": Case([*FUSE, *OUT, "--contrast", "101"], ("--contrast", "-100 to 100")),
    "tone of a number": Case([*FUSE, *OUT, "--strength", "nan"], ("--strength", "nan")),
    "tone of a word": Case([*FUSE, *OUT, "--exposure", "much"], ("--exposure", "number")),
    "contrast of radiance": Case(
        [*FUSE, "-o", "out.exr", "--contrast", "5"], ("--contrast", "out.exr", "leave")
    ),
    "keep without a mask": Case([*FUSE, *OUT, "--keep", "IMG_2"], ("keep", "FRAME:MASK")),
    "keep by a mask of another size": Case(
        [*FUSE, *OUT, "--keep", "0:mask.png"],
        ("mask.png", "64 x 48", "64 x 47", "paint it"),
        _photo("mask.png", 47, 64),
    ),
    "keep a photo that is not there": Case(
        [*FUSE, *OUT, "--keep", "frame_4:mask.png"],
        ("keep", "frame_3.png", "'frame_4:mask.png'"),
        _photo("mask.png", 48, 64),
    ),
    "keep a place that is not there": Case(
        [*FUSE, *OUT, "--keep", "3:mask.png"], ("keep", "'3:mask.png'"), _photo("mask.png", 48, 64)
    ),
    "keep by a mask that is none": Case(
        [*FUSE, *OUT, "--keep", "0:none.png"], ("keep", "none.png")
    ),
    # words
    "no files": Case(["fuse", *OUT], ("FILES",)),
    "unknown option": Case([*FUSE, *OUT, "--algin", "auto"], ("--algin", "--align")),
    "unknown command": Case(["fsue", *FRAMES, *OUT], ("'fsue'", "'fuse'")),
    "forgotten command": Case([*FRAMES, *OUT], ("ghostless fuse frame_1.png",)),
    "info of one": Case(["info", "frame_1.png"], ("at least 2",)),
    "info of nothing": Case(["info", "gone.png", "frame_1.png"], ("gone.png",)),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_one_line_and_nothing_lost(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    case = CASES[name]
    save_bracket(tmp_path)
    case.prepare(tmp_path)
    before = contents(tmp_path)
    monkeypatch.chdir(tmp_path)

    status = run(case.words)

    printed, line = capfd.readouterr()
    assert status == 2, line
    assert printed == ""
    assert line.startswith("ghostless: ")
    assert line.count("\n") == 1
    assert line.endswith("\n")
    for words in case.says:
        assert words in line
    assert contents(tmp_path) == before

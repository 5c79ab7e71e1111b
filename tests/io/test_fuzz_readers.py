"""Thousands of damaged files of every format: no crash, no hang, nothing left behind.

Each format is read in a process of its own, which a crash or a hang ends. In it, every file must
give a picture or one clear line; and at the end neither open files nor temporary ones may be there,
and memory must not have grown with the number of files.
"""

from __future__ import annotations

import faulthandler
import importlib.util
import os
import random
import struct
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest

from ghostless.bracket import Fused
from ghostless.errors import FileReadError
from ghostless.io.read import ReadSettings, read_frame
from ghostless.io.write import write_hdr_image
from ghostless.work.memory import resident_bytes

from . import samples

ROUNDS = 2000
SECONDS_PER_FILE = 20
SETTINGS = ReadSettings(max_pixels=4_000_000)
GROWTH_BYTES = 150_000_000
FORMATS = [*samples.every_format(), "a.heic", "gain_map.jpg"]


def make(name: str, folder: Path) -> bytes:
    """A small valid file of a format."""
    if name == "a.heic":
        return samples.heic_bytes(samples.picture())
    if name == "gain_map.jpg":
        light = samples.picture(dtype=np.float32)
        picture = Fused(np.clip(light / 4, 0, 1), "display")
        write_hdr_image(picture, Fused(light, "linear"), folder / name)
        return (folder / name).read_bytes()
    return samples.every_format()[name]


def mutated(data: bytes, dice: random.Random) -> bytes:
    """Damage as cards, cables and malice do it."""
    spoiled = bytearray(data)
    place = dice.randrange(len(data) if dice.random() < 0.5 else min(len(data), 600))
    size = min(len(data) - place, 1 << dice.randrange(9))
    kind = dice.randrange(8)
    if kind == 0:  # cut off
        del spoiled[place:]
    elif kind == 1:  # a piece lost
        del spoiled[place : place + size]
    elif kind == 2:  # a piece twice
        spoiled[place:place] = spoiled[place : place + size]
    elif kind == 3:  # a piece from elsewhere
        other = dice.randrange(len(data))
        spoiled[place : place + size] = spoiled[other : other + size]
    elif kind == 4:  # nothing, or noise
        spoiled[place : place + size] = bytes(size) if dice.random() < 0.5 else dice.randbytes(size)
    elif kind == 5:  # a number at a limit, as lengths and sizes may be
        number = dice.choice((0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF))
        layout = dice.choice(("<", ">")) + dice.choice("HIQ")
        packed = struct.pack(layout, number % (1 << 8 * struct.calcsize(layout)))
        spoiled[place : place + len(packed)] = packed
    elif kind == 6:  # single bits
        for _ in range(dice.choice((1, 2, 8))):
            spoiled[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    else:  # more than there was
        spoiled += dice.randbytes(size)
    return bytes(spoiled)


def read_damaged(name: str, rounds: int, seed: int) -> dict[str, int]:
    """Read so many damaged files; returns how many gave a picture and how many a refusal."""
    folder = Path(tempfile.gettempdir())
    dice = random.Random(f"{name} {seed}")
    valid = make(name, folder)
    path = folder / name
    counts = {"picture": 0, "refused": 0}
    before: tuple[int, int] | None = None
    for number in range(rounds):
        data = mutated(valid, dice)
        path.write_bytes(data)
        faulthandler.dump_traceback_later(SECONDS_PER_FILE, exit=True)
        try:
            frame = read_frame(path, SETTINGS)
        except FileReadError as error:
            counts["refused"] += 1
            assert str(error).startswith(f"{path}: expected "), error  # noqa: PT017
            assert "\n" not in str(error), error  # noqa: PT017
        except BaseException:
            (folder.parent / f"culprit-{name}").write_bytes(data)
            raise
        else:
            counts["picture"] += 1
            assert frame.pixels.size <= 3 * SETTINGS.max_pixels
        finally:
            faulthandler.cancel_dump_traceback_later()
        if number == min(200, rounds // 2):  # pools and caches are filled by now
            before = (len(os.listdir("/proc/self/fd")), resident_bytes())
    assert before is not None
    assert len(os.listdir("/proc/self/fd")) <= before[0], "files are left open"
    assert resident_bytes() - before[1] < GROWTH_BYTES, "memory grows with every file"
    assert threading.active_count() <= 4, "threads are left"
    path.unlink()
    assert list(folder.iterdir()) == [], "files are left behind"
    return counts


def run_alone(name: str, folder: Path, rounds: int) -> dict[str, int]:
    scratch = folder / "scratch"
    scratch.mkdir()
    root = Path(__file__).resolve().parents[2]
    code = (
        "import sys, warnings; warnings.simplefilter('error')\n"
        "from tests.io.test_fuzz_readers import read_damaged\n"
        "print(read_damaged(sys.argv[1], int(sys.argv[2]), seed=7))\n"
    )
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", code, name, str(rounds)],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(root), str(root / "src")]),
            "TMPDIR": str(scratch),
        },
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, f"{name}: status {done.returncode}\n{done.stderr[-3000:]}"
    counts: dict[str, int] = eval(done.stdout)  # a dict that we printed
    return counts


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files in /proc")
@pytest.mark.parametrize("name", FORMATS)
def test_thousands_of_damaged_files_of_a_format(name: str, tmp_path: Path) -> None:
    if name == "a.heic" and importlib.util.find_spec("pillow_heif") is None:
        pytest.skip("needs the extra heif")
    counts = run_alone(name, tmp_path, ROUNDS)
    assert sum(counts.values()) == ROUNDS
    # Damage that is never noticed, or always, would mean that nothing was tried.
    assert counts["refused"] > ROUNDS // 20
    assert counts["picture"] > 0


def test_a_raw_photo_without_colours_is_grey(tmp_path: Path) -> None:
    """As cameras without colour filters write it; damage can turn any DNG into one."""
    data = samples.dng_bytes()
    with_filters, linear = (struct.pack("<HHIHH", 262, 3, 1, n, 0) for n in (32803, 34892))
    assert data.count(with_filters) == 1
    path = tmp_path / "grey.dng"
    path.write_bytes(data.replace(with_filters, linear))
    pixels = read_frame(path).pixels
    assert pixels.shape == (30, 40, 3)
    assert np.ptp(pixels.astype(int), axis=2).max() == 0

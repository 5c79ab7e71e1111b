"""How much memory there is to work with, and how much a process holds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from ghostless.work import memory
from tests import scenes


def test_something_sensible_is_available() -> None:
    assert 50e6 < memory.available_bytes() < 1e15


@pytest.mark.parametrize(("limit", "left"), [("max", None), ("1000", 700), ("200", 0)])
def test_a_containers_limit_counts_less_what_can_be_let_go(
    limit: str, left: int | None, tmp_path: Path
) -> None:
    (tmp_path / "memory.max").write_text(limit + "\n")
    (tmp_path / "memory.current").write_text("400\n")
    (tmp_path / "memory.stat").write_text("anon 290\nactive_file 60\ninactive_file 40\n")
    assert memory._left_in_control_group(tmp_path) == left


def test_without_a_control_group_there_is_no_limit(tmp_path: Path) -> None:
    assert memory._left_in_control_group(tmp_path) is None


def test_the_smaller_of_both_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_linux_available", lambda: 5_000)
    monkeypatch.setattr(memory, "_left_in_control_group", lambda: 3_000)
    assert memory.available_bytes() == 3_000
    monkeypatch.setattr(memory, "_left_in_control_group", lambda: None)
    assert memory.available_bytes() == 5_000


@pytest.mark.parametrize(
    ("frames", "megapixels", "measured_gb"),
    [(3, 2, 1.01), (2, 8, 0.99), (3, 8, 1.07), (7, 8, 1.41), (3, 24, 1.58), (7, 24, 2.05),
     (20, 24, 2.18), (3, 150, 2.11)],
)  # fmt: skip
def test_what_fusing_takes_is_known_within_a_quarter(
    frames: int, megapixels: int, measured_gb: float
) -> None:
    """Measured: JPEG photos taken by hand in which something moved, whole command."""
    known = memory.fusing_bytes(frames, megapixels * 1_000_000) / 1e9
    assert 0.8 * measured_gb < known < 1.25 * measured_gb


def test_what_fusing_takes_grows_with_depth_networks_and_gain_maps() -> None:
    plain = memory.fusing_bytes(3, 24_000_000)
    assert 1.63e9 / 1.25 < memory.fusing_bytes(3, 24_000_000, 2) < 1.63e9 * 1.25
    assert memory.fusing_bytes(3, 24_000_000, 2) > plain
    assert memory.fusing_bytes(3, 24_000_000, network=True) > plain + 1e9
    assert 3.52e9 / 1.25 < memory.fusing_bytes(3, 150_000_000, hdr=True) < 3.52e9 * 1.25


linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

FUSE = """
import sys
from ghostless import FuseOptions, fuse_files
from ghostless.work.memory import peak_resident_bytes
out, *files = sys.argv[1:]
report = fuse_files(files, out, FuseOptions(stops=tuple(range(len(files)))))
print(max(report.peak_bytes, peak_resident_bytes()))
"""


@linux_only
@pytest.mark.slow
@pytest.mark.parametrize(
    ("frames", "megapixels", "suffix"),
    [(2, 8, ".jpg"), (3, 8, ".jpg"), (3, 24, ".jpg")],
)
def test_what_fusing_takes_is_what_was_estimated(
    frames: int, megapixels: int, suffix: str, tmp_path: Path
) -> None:
    """Photos of a scene in which a disc moves, fused by a process of its own."""
    width = round((megapixels * 1e6 * 1.5) ** 0.5)
    height = round(megapixels * 1e6 / width)
    deep = suffix == ".tif"
    base = cv2.resize(scenes.make_radiance(400, 600, seed=2, range_stops=6), (width, height))
    files, rng = [], np.random.default_rng(1)
    for index in range(frames):
        place = (width * (index + 1) // (frames + 2), height // 2)
        radiance = scenes.add_disc(base, place, height // 8, (0.5, 0.35, 0.2))
        codes = scenes.expose(radiance, index - frames / 2, depth=16 if deep else 8)
        # As rough as a photo: what is smooth takes less.
        rough = codes + rng.normal(0, 0.02 * codes.max(), codes.shape)
        codes = np.clip(rough, 0, np.iinfo(codes.dtype).max).astype(codes.dtype)
        shifted = np.roll(codes, index * 5, axis=1)
        files.append(tmp_path / f"IMG_{index}{suffix}")
        cv2.imwrite(str(files[-1]), shifted[:, :, ::-1])
    words = [sys.executable, "-c", FUSE, str(tmp_path / "out.jpg"), *map(str, files)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    measured = int(done.stdout)
    estimate = memory.fusing_bytes(frames, width * height, 2 if deep else 1)
    assert measured / 1.25 < estimate < measured * 1.25


@linux_only
def test_what_a_process_holds_and_held_is_known() -> None:
    memory.forget_peak()
    before = memory.resident_bytes()
    block = bytes(bytearray(b"1") * 100_000_000)
    assert 80e6 < memory.resident_bytes() - before < 150e6
    del block
    held, peak = memory.resident_bytes(), memory.peak_resident_bytes()
    assert peak - held > 80e6
    memory.forget_peak()
    if os.access("/proc/self/clear_refs", os.W_OK):
        assert memory.peak_resident_bytes() < peak - 80e6


@linux_only
def test_other_processes_are_known_until_they_end() -> None:
    code = "block = b'1' * 50_000_000; del block; print(flush=True); input()"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert 1e6 < memory.resident_bytes(child.pid) < 45e6
        assert 50e6 < memory.peak_resident_bytes(child.pid) < 90e6
        child.communicate(b"\n")
    assert memory.resident_bytes(child.pid) == memory.peak_resident_bytes(child.pid) == 0


def test_without_proc_the_system_is_asked_for_the_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    known = memory.peak_resident_bytes()
    monkeypatch.setattr(memory, "_linux_bytes", lambda file, name: None)
    assert memory.resident_bytes() == 0
    assert memory.peak_resident_bytes(1) == 0
    if sys.platform != "win32":
        assert memory.peak_resident_bytes() > 0.9 * known

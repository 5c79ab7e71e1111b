"""Linear DNG: what raw developers make of it is what was merged."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ghostless.bracket import Fused, Metadata, SensorColours
from ghostless.errors import OptionError
from ghostless.io.colours import XYZ_TO_REC709
from ghostless.io.read import read_bracket, read_image
from ghostless.io.write import WriteSettings, write_image
from ghostless.pipeline import FuseOptions, fuse_files

rawpy = pytest.importorskip("rawpy")

Pixels = np.ndarray
# Of some camera: XYZ to its colours, and what is white in the light of a lamp.
MATRIX = ((0.70, -0.21, -0.05), (-0.42, 1.25, 0.18), (-0.06, 0.16, 0.62))
NEUTRAL = (0.48, 1.0, 0.71)


def camera() -> SensorColours:
    """Rows of the camera's colours add up to 1 for white, as LibRaw has them."""
    xyz_of_white = np.linalg.inv(np.array(XYZ_TO_REC709)) @ np.ones(3)
    sums = np.array(MATRIX) @ xyz_of_white
    balanced = np.array(MATRIX) / sums[:, None]
    to_srgb = np.array(XYZ_TO_REC709) @ np.linalg.inv(balanced)
    return SensorColours("Maker Model 1", MATRIX, NEUTRAL, tuple(map(tuple, to_srgb)))


def scene(height: int = 120, width: int = 160) -> Pixels:
    """Light 0..3 in the balanced colours of a sensor, smooth."""
    y, x = np.mgrid[0:height, 0:width] / width
    return np.stack([0.1 + 2.5 * x, 0.12 + 2 * y + x, 0.1 + x * y * 2], 2).astype(np.float32)


def developed(path: Path) -> Pixels:
    """What LibRaw makes of a file: linear sRGB, with the white balance that the file tells."""
    with rawpy.imread(str(path)) as raw:
        codes = raw.postprocess(
            use_camera_wb=True,
            gamma=(1, 1),
            no_auto_bright=True,
            output_bps=16,
            adjust_maximum_thr=0.0,
            output_color=rawpy.ColorSpace.sRGB,
        )
    return np.asarray(codes, np.float32) / 65535


@pytest.mark.parametrize("depth", [16, 32])
def test_libraw_develops_what_was_written_but_for_its_scale(tmp_path: Path, depth: int) -> None:
    out = tmp_path / "merge.dng"
    light = scene()
    write_image(Fused(light, "linear"), out, WriteSettings(depth=depth))
    stops = 2  # the brightest is between 2 and 4
    np.testing.assert_allclose(developed(out) * 2**stops, light, rtol=5e-3, atol=2e-3)
    np.testing.assert_allclose(read_image(out).pixels * 2**stops, light, rtol=1e-3, atol=1e-4)


def test_a_sensors_own_colours_come_out_as_its_matrix_says(tmp_path: Path) -> None:
    out, sensor = tmp_path / "merge.dng", camera()
    light = scene() / 4
    write_image(Fused(light, "linear", metadata=Metadata(sensor=sensor)), out)
    wanted = np.clip(light @ np.array(sensor.to_srgb, np.float32).T, 0, 1)
    np.testing.assert_allclose(developed(out), wanted, rtol=0.01, atol=2e-3)


def bracket_of_raws(folder: Path) -> list[Path]:
    """Three exposures by the camera, as DNGs that tell their exposure times."""
    files = []
    for number, stops in enumerate((-2, 0, 2)):
        clipped = np.clip(scene() * 2.0**stops / 4, 0, 1).astype(np.float32)
        noise = np.random.default_rng(number).normal(0, 1e-3, clipped.shape)
        light = np.clip(clipped + noise * (clipped < 1), 0, 1).astype(np.float32)
        file = folder / f"IMG_{number}.dng"
        write_image(Fused(light, "linear", metadata=Metadata(sensor=camera())), file)
        files.append(file)
    return files


def test_a_merge_of_raws_keeps_the_cameras_colours_and_agrees_with_the_exr(tmp_path: Path) -> None:
    files = bracket_of_raws(tmp_path)
    options = FuseOptions(stops=(-2, 0, 2))
    fuse_files(files, tmp_path / "merge.dng", options)
    fuse_files(files, tmp_path / "merge.exr", options)
    own = read_bracket(files, sensor_colours=True).frames[0].metadata.sensor
    merged = read_bracket([tmp_path / "merge.dng", files[0]], sensor_colours=True)
    told = merged.frames[0].metadata.sensor
    assert own is not None
    assert told is not None
    np.testing.assert_allclose(told.neutral, own.neutral, rtol=1e-3)
    np.testing.assert_allclose(told.to_srgb, camera().to_srgb, rtol=0.01, atol=2e-3)
    radiance = read_image(tmp_path / "merge.exr").pixels
    found = developed(tmp_path / "merge.dng")
    # Where no photo clips: LibRaw mixes what is clipped with what is not, and nobody can tell then.
    inside = (radiance > 0.01).all(axis=2) & (scene() < 0.9).all(axis=2)
    ratio = found[inside] / radiance[inside]
    stops = np.log2(np.median(ratio))
    assert abs(stops - round(float(stops))) < 0.01
    assert np.quantile(np.abs(ratio / np.median(ratio) - 1), 0.99) < 0.01


def test_photos_of_one_bracket_that_are_not_all_raw_are_merged_as_rec_709(tmp_path: Path) -> None:
    files = bracket_of_raws(tmp_path)
    write_image(Fused(scene() / 3, "linear"), tmp_path / "other.exr")
    bracket = read_bracket([*files[:2], tmp_path / "other.exr"], sensor_colours=True)
    assert all(frame.metadata.sensor is None for frame in bracket.frames)


def test_metadata_travels_and_depths_are_checked(tmp_path: Path) -> None:
    facts = Metadata(camera="Maker Model 1", sensor=replace(camera(), camera="Maker Model 1"))
    out = tmp_path / "merge.dng"
    write_image(Fused(scene(), "linear", metadata=facts), out)
    with pytest.raises(OptionError, match="16 or 32"):
        write_image(Fused(scene(), "linear"), tmp_path / "a.dng", WriteSettings(depth=8))
    import tifffile

    with tifffile.TiffFile(out) as file:
        first = file.pages[0]
        assert first.tags[50708].value == "Maker Model 1"
        assert first.subfiletype == 1
        raw = first.pages[0]
        assert raw.photometric == 34892
        assert raw.dtype == np.float16
        assert raw.is_tiled


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
def test_exiftool_finds_no_fault(tmp_path: Path) -> None:
    out = tmp_path / "merge.dng"
    write_image(Fused(scene(), "linear", metadata=Metadata(sensor=camera())), out)
    command = ["exiftool", "-validate", "-warning", "-error", "-a", "-s3", str(out)]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    assert told.strip() == "OK"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("darktable-cli") is None, reason="darktable is not installed")
def test_darktable_shows_the_radiance_to_a_hundredth(tmp_path: Path) -> None:
    out, shown = tmp_path / "merge.dng", tmp_path / "shown.exr"
    light = scene() / 4
    write_image(Fused(light, "linear"), out)
    quiet = ["--core", "--configdir", str(tmp_path / "conf"), "--library", ":memory:"]
    plain = ["--conf", "plugins/darkroom/workflow=none"]
    command = ["darktable-cli", str(out), str(shown), "--icc-type", "LIN_REC709", *quiet, *plain]
    subprocess.run(command, capture_output=True, check=True, timeout=120)
    np.testing.assert_allclose(read_image(shown).pixels, light, rtol=0.01, atol=1e-3)

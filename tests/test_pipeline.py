"""The line from files to a picture, as Python callers use it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import ghostless
from ghostless import FuseOptions, WriteSettings
from tests import scenes

STOPS = (-2.0, 0.0, 2.0)


@pytest.fixture
def moving(tmp_path: Path) -> list[Path]:
    """Three exposures of a scene in which a bright disc moves, as PNG."""
    still = scenes.make_radiance(180, 240, seed=5, range_stops=6)
    files = []
    for index, stops in enumerate(STOPS):
        radiance = scenes.add_disc(still, (60 + 50 * index, 90), 22, (0.5, 0.35, 0.2))
        file = tmp_path / f"IMG_{index}.png"
        cv2.imwrite(str(file), scenes.expose(radiance, stops)[:, :, ::-1])
        files.append(file)
    return files


OPTIONS = FuseOptions(stops=STOPS, reference=1)


def test_fusing_tells_what_it_did(moving: list[Path], tmp_path: Path) -> None:
    options = replace(OPTIONS, report=tmp_path / "told.json", save_stages=tmp_path / "stages")
    stages: dict[str, float] = {}
    report = ghostless.fuse_files(
        moving,
        tmp_path / "out.png",
        options,
        progress=lambda name, done: stages.update({name: done}),
    )
    assert (report.width, report.height, report.method) == (240, 180, "mertens")
    assert [frame.reference for frame in report.frames] == [False, True, False]
    assert report.frames[0].deghosted_share > 0.01
    assert {"read", "exposure", "align", "deghost", "fuse", "write"} <= set(stages)
    assert all(done == 1.0 for done in stages.values())
    assert json.loads((tmp_path / "told.json").read_text())["frames"][1]["reference"] is True
    for stage in ("aligned", "deghosted"):
        for file in moving:
            saved = ghostless.read_frame(tmp_path / "stages" / stage / f"{file.stem}.tif")
            assert saved.pixels.shape == (180, 240, 3)
            assert (tmp_path / "stages" / stage / f"{file.stem}_mask.png").exists()


def test_the_moving_thing_appears_once(moving: list[Path], tmp_path: Path) -> None:
    ghostless.deghost_files(moving, tmp_path / "clean", OPTIONS, masks=True)
    reference = ghostless.read_frame(moving[1]).display()
    for file in (moving[0], moving[2]):
        clean = ghostless.read_frame(tmp_path / "clean" / f"{file.stem}.tif").display()
        before = ghostless.read_frame(file).display()
        place = (slice(75, 105), slice(45, 75) if file == moving[0] else slice(145, 175))

        def likeness(image: np.ndarray, place: tuple[slice, slice] = place) -> float:
            a, b = image[place].mean(axis=2).ravel(), reference[place].mean(axis=2).ravel()
            return float(np.corrcoef(a, b)[0, 1])

        assert likeness(clean) > 0.8 > likeness(before)


def test_order_of_the_files_does_not_matter(moving: list[Path], tmp_path: Path) -> None:
    ghostless.fuse_files(moving, tmp_path / "a.png", OPTIONS)
    turned = replace(OPTIONS, stops=STOPS[::-1])
    ghostless.fuse_files(moving[::-1], tmp_path / "b.png", turned)
    first, second = (cv2.imread(str(tmp_path / f"{name}.png")) for name in "ab")
    assert np.array_equal(first, second)


def test_the_name_of_the_output_decides(moving: list[Path], tmp_path: Path) -> None:
    linear = ghostless.fuse_files(moving, tmp_path / "out.exr", OPTIONS)
    assert (linear.method, linear.space) == ("debevec", "linear")
    mapped = ghostless.fuse_files(moving, tmp_path / "out.jpg", replace(OPTIONS, method="debevec"))
    assert mapped.space == "display"
    assert "tone map" in [stage.name for stage in mapped.stages]
    with pytest.raises(ghostless.SpaceError, match="linear"):
        ghostless.fuse_files(moving, tmp_path / "b.exr", replace(OPTIONS, method="mertens"))


def test_one_step_to_a_picture_for_hdr_displays(moving: list[Path], tmp_path: Path) -> None:
    hdr = replace(OPTIONS, hdr=True, report=tmp_path / "told.json")
    seen: dict[str, ghostless.Fused] = {}
    report = ghostless.fuse_files(
        moving,
        tmp_path / "hdr.jpg",
        hdr,
        observe=lambda name, value: seen.update({name: value}),  # type: ignore[dict-item]
    )
    ghostless.fuse_files(moving, tmp_path / "sdr.jpg", OPTIONS)
    assert (report.method, report.space) == ("mertens", "display")
    assert "merge" in [stage.name for stage in report.stages]
    assert json.loads((tmp_path / "told.json").read_text())["settings"]["hdr"] is True
    # On SDR displays it is the very picture that is made without the option.
    plain = ghostless.read_frame(tmp_path / "sdr.jpg").pixels
    assert np.array_equal(ghostless.read_frame(tmp_path / "hdr.jpg").pixels, plain)
    # On HDR displays it is the scene's light: in the ratios that the radiance merge gives.
    ghostless.fuse_files(moving, tmp_path / "light.exr", OPTIONS)
    light = ghostless.read_image(tmp_path / "light.exr").pixels
    shown = ghostless.read_hdr_image(tmp_path / "hdr.jpg").pixels
    below = (light > 0.02) & (shown < 1)
    stops = np.log2(shown[below] / light[below])
    assert float(np.std(stops)) < 0.1
    assert shown.max() > 1.5
    rendition = seen["rendition"].pixels
    assert np.median(np.abs(shown - rendition) / np.maximum(rendition, 1e-3)) < 0.02

    ghostless.fuse_files(moving, tmp_path / "hdr.avif", replace(hdr, report=None))
    avif = ghostless.read_image(tmp_path / "hdr.avif")
    assert avif.space == "linear"
    assert np.median(np.abs(avif.pixels - rendition) / np.maximum(rendition, 1e-2)) < 0.05


def test_a_linear_method_gives_its_own_light_to_hdr_displays(
    moving: list[Path], tmp_path: Path
) -> None:
    options = replace(OPTIONS, hdr=True, method="debevec")
    seen: dict[str, ghostless.Fused] = {}
    ghostless.fuse_files(
        moving,
        tmp_path / "hdr.jpg",
        options,
        observe=lambda name, value: seen.update({name: value}),  # type: ignore[dict-item]
    )
    light, shown = seen["fused"].pixels, seen["rendition"].pixels
    dark = (shown.max(axis=2, keepdims=True) < 1) & (light > 1e-6)
    ratio = shown[dark] / light[dark]
    assert float(np.std(ratio) / np.mean(ratio)) < 1e-3
    for suffix in (".exr", ".jxl"):  # HDR with or without the option
        ghostless.fuse_files(moving, tmp_path / f"a{suffix}", options)
        ghostless.fuse_files(moving, tmp_path / f"b{suffix}", replace(options, hdr=False))
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_hdr_in_a_format_that_has_none_is_refused_before_any_work(tmp_path: Path) -> None:
    files = [tmp_path / "missing_1.jpg", tmp_path / "missing_2.jpg"]
    with pytest.raises(ghostless.OptionError, match=r"found PNG; write one of \.jpg"):
        ghostless.fuse_files(files, tmp_path / "a.png", FuseOptions(hdr=True))


def test_aligned_frames_keep_their_own_exposure(moving: list[Path], tmp_path: Path) -> None:
    report = ghostless.align_files(moving, tmp_path / "aligned", OPTIONS)
    assert report.method is None
    for file in moving:
        aligned = ghostless.read_frame(tmp_path / "aligned" / f"{file.stem}.tif").pixels
        before = ghostless.read_frame(file).pixels
        assert abs(float(aligned.mean()) - float(before.mean())) < 2


def test_nothing_is_overwritten_unless_told(moving: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "aligned" / "IMG_2.tif"
    out.parent.mkdir()
    out.write_bytes(b"precious")
    with pytest.raises(ghostless.OutputError):
        ghostless.align_files(moving, out.parent, OPTIONS)
    assert out.read_bytes() == b"precious"
    assert list(out.parent.iterdir()) == [out]
    told = replace(OPTIONS, write=WriteSettings(overwrite=True))
    ghostless.align_files(moving, out.parent, told)
    assert ghostless.read_frame(out).width == 240


def test_files_of_one_name_in_several_folders(moving: list[Path], tmp_path: Path) -> None:
    twins = []
    for index, file in enumerate(moving):
        twin = tmp_path / str(index) / "photo.png"
        twin.parent.mkdir()
        twin.write_bytes(file.read_bytes())
        twins.append(twin)
    ghostless.align_files(twins, tmp_path / "aligned", OPTIONS)
    names = sorted(path.name for path in (tmp_path / "aligned").iterdir())
    assert names == ["01_photo.tif", "02_photo.tif", "03_photo.tif"]


def test_an_observer_sees_every_stage_and_changes_nothing(
    moving: list[Path], tmp_path: Path
) -> None:
    seen: dict[str, object] = {}
    options = replace(OPTIONS, method="debevec")
    out, plain = tmp_path / "watched.png", tmp_path / "plain.png"
    ghostless.fuse_files(moving, out, options, observe=seen.__setitem__)
    ghostless.fuse_files(moving, plain, options)
    assert list(seen) == ["aligned", "deghosted", "fused", "picture"]
    aligned, deghosted = seen["aligned"], seen["deghosted"]
    assert isinstance(aligned, ghostless.Stack)
    assert isinstance(deghosted, ghostless.Stack)
    assert any(mask is not None for mask in deghosted.confidence)
    assert [getattr(seen[name], "space") for name in ("fused", "picture")] == ["linear", "display"]  # noqa: B009
    assert out.read_bytes() == plain.read_bytes()


def test_a_reference_that_is_not_there(moving: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ghostless.OptionError, match="from 0"):
        ghostless.fuse_files(moving, tmp_path / "out.png", replace(OPTIONS, reference=3))
    assert not (tmp_path / "out.png").exists()


def test_public_names_load_and_functions_win_over_modules() -> None:
    for name in ghostless.__all__:
        assert getattr(ghostless, name) is not None
    assert callable(ghostless.align_bracket)
    with pytest.raises(AttributeError):
        ghostless.nothing_of_that_name  # noqa: B018

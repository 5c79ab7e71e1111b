"""Mitsuba through our engine: true light, true depth, true names, the right way round."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ghostless.bracket import Fused
from ghostless.cli import run
from ghostless.errors import MissingPackageError, OptionError
from ghostless.io.write import write_image
from ghostless.research.data.rendered_files import read_scene
from ghostless.research.render import engine
from ghostless.research.render.engine import (
    NOTHING,
    Camera,
    Rendering,
    RenderSettings,
    Surface,
    Thing,
    World,
    render,
)
from ghostless.research.render.scenes import SceneSettings, random_scene
from ghostless.research.render.shapes import ball, box, pose
from tests.scenes import make_radiance

pytest.importorskip("mitsuba")
pytest.importorskip("mitsuba_oidn")

# The variant that needs no LLVM is there on every machine.
QUICK = RenderSettings(samples=16, bounces=2, denoise=False, variant="scalar_rgb")
WHITE = np.ones((8, 16, 3), np.float32)
CAMERA = Camera((0, 0, 0), (0, 0, 0), 48, 32, 40.0)


def view(*things: Thing, around: np.ndarray | None = WHITE) -> Rendering:
    return render(World(tuple(things), around), CAMERA, QUICK)


def test_depth_and_names_are_those_of_the_pixels_centres() -> None:
    wall = Thing("wall", box((-9, -9, 4), (9, 9, 5)), Surface((0.5, 0.5, 0.5)))
    board = Thing("board", box((0.5, -0.4, 2), (1.2, 0.6, 2.1)), Surface((0.2, 0.2, 0.2)))
    seen = view(wall, board)
    assert seen.names == ("wall", "board")
    x, y = np.meshgrid(np.arange(48), np.arange(32))
    ray = np.stack([(x - 23.5) / 40, -(y - 15.5) / 40], -1) * 2
    on_board = (ray[..., 0] > 0.5) & (ray[..., 0] < 1.2)
    on_board &= (ray[..., 1] > -0.4) & (ray[..., 1] < 0.6)
    assert np.array_equal(seen.thing == 1, on_board)
    assert seen.depth[on_board] == pytest.approx(2, abs=1e-4)
    assert seen.depth[~on_board] == pytest.approx(4, abs=1e-4)


def test_grey_under_an_even_sky_is_as_bright_as_its_albedo() -> None:
    grey = Surface((0.5, 0.5, 0.5))
    seen = view(Thing("ball", ball(1).moved(pose((0, 0, 3))), grey))
    on_ball = seen.thing == 0
    assert 0.1 < on_ball.mean() < 0.9
    assert seen.radiance[on_ball].mean() == pytest.approx(0.5, rel=0.05)
    assert seen.radiance[seen.thing == NOTHING].mean() == pytest.approx(1, rel=0.05)
    assert np.isinf(seen.depth[seen.thing == NOTHING]).all()


def test_right_is_right_and_up_is_up() -> None:
    around = np.zeros((8, 16, 3), np.float32)
    around[:, 8:] = (1, 0, 0)
    around[:4] += (0, 0, 1)
    red, _, blue = np.moveaxis(view(around=around).radiance, -1, 0)
    assert red[:, 36:].mean() > 10 * red[:, :12].mean()
    assert blue[:6].mean() > 10 * blue[-6:].mean()
    texture = np.full((2, 2, 3), 0.05, np.float32)
    texture[0, 0], texture[0, 1] = (0.9, 0.05, 0.05), (0.05, 0.9, 0.05)
    wall = Thing("wall", box((-3, -2, 4), (3, 2, 5)), Surface(texture))
    red, green, _ = np.moveaxis(view(wall).radiance, -1, 0)
    assert red[22:30, 4:14].mean() > 3 * red[2:10, 4:14].mean()
    assert green[22:30, 34:44].mean() > 3 * green[22:30, 4:14].mean()


def test_lamps_and_colours_of_vertices_show() -> None:
    lamp = Thing("lamp", box((-1, -1, 3), (1, 1, 4)), Surface((0, 0, 0), glow=(3, 2, 1)))
    seen = view(lamp, around=None)
    assert seen.radiance[16, 24] == pytest.approx([3, 2, 1], rel=0.01)
    assert not seen.radiance[0, 0].any()
    painted = Thing("thing", box((-1, -1, 3), (1, 1, 4)).coloured((0.8, 0.4, 0.2)), Surface())
    front = view(painted).radiance[10:22, 18:30].mean(axis=(0, 1))
    assert front == pytest.approx([0.8, 0.4, 0.2], rel=0.05)


def test_denoising_takes_noise_away_and_keeps_the_light() -> None:
    ground = Thing("ground", box((-9, -2, -1), (9, -1, 9)), Surface((0.5, 0.4, 0.3)))
    sky = np.zeros((8, 16, 3), np.float32)
    sky[1, 8] = 30
    few = RenderSettings(samples=4, bounces=2, denoise=False, variant="scalar_rgb")
    world = World((ground,), sky)
    noisy = render(world, CAMERA, few).radiance[24:]
    clean = render(world, CAMERA, RenderSettings(**{**vars(few), "denoise": True})).radiance[24:]
    assert clean.mean() == pytest.approx(noisy.mean(), rel=0.1)
    steps = [np.abs(np.diff(light, axis=1)).mean() for light in (noisy, clean)]
    assert steps[1] < 0.6 * steps[0]


def test_random_scenes_repeat_and_some_of_their_things_move() -> None:
    around = make_radiance(16, 32)
    first, again = (random_scene(np.random.default_rng(3), around) for _ in range(2))
    assert [part.thing.name for part in first.placed] == [part.thing.name for part in again.placed]
    assert all(
        np.array_equal(a.thing.mesh.vertices, b.thing.mesh.vertices)
        for a, b in zip(first.placed, again.placed, strict=True)
    )
    moved = [not np.allclose(part.poses, part.poses[0]) for part in first.placed]
    assert 1 <= sum(moved) <= 4
    assert 6 <= len(moved) <= 14
    places = np.array([camera.place for camera in first.cameras])
    assert 0 < np.ptp(places, axis=0).max() < 0.05


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_command_renders_scenes_and_goes_on_where_it_was_cut_off(tmp_path: Path) -> None:
    panorama = tmp_path / "meadow.exr"
    write_image(Fused(make_radiance(16, 32), "linear"), panorama)
    out = tmp_path / "out"
    words = ["render", str(panorama), "-o", str(out), "--size", "24x16", "--samples", "1"]
    words += ["--moments", "2", "--variant", "scalar_rgb", "-q"]
    assert run(words) == 0
    scene = read_scene(out / "meadow_00")
    assert scene.radiance.shape == (2, 16, 24, 3)
    assert scene.split == "train"
    assert len(scene.poses) == len(json.loads((out / "meadow_00/scene.json").read_text())["things"])
    assert set(np.unique(scene.thing)) <= {*range(len(scene.poses)), NOTHING}
    before = (out / "meadow_00" / "moment_1.exr").stat().st_mtime_ns
    assert run([*words, "--count", "2"]) == 0
    assert (out / "meadow_00" / "moment_1.exr").stat().st_mtime_ns == before
    assert (out / "meadow_01" / "scene.json").is_file()


def test_a_missing_package_and_wrong_settings_are_said_in_a_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(OptionError, match="variant"):
        RenderSettings(variant="gpu")
    with pytest.raises(OptionError, match="samples"):
        RenderSettings(samples=0)
    with pytest.raises(OptionError, match="moments"):
        SceneSettings(moments=1)
    monkeypatch.setitem(__import__("sys").modules, "mitsuba", None)
    engine._mitsuba.cache_clear()
    with pytest.raises(MissingPackageError, match=r"ghostless\[render\]"):
        view()
    engine._mitsuba.cache_clear()

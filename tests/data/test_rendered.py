"""Brackets of rendered scenes: exact flow, ghosts and parallax, on scenes drawn by hand."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from ghostless.cli import run
from ghostless.errors import FileReadError, InputError, OptionError
from ghostless.research.data.camera_settings import CameraSettings
from ghostless.research.data.draws import SimulatedBatch, SimulationSettings
from ghostless.research.data.rendered import RenderedSimulator, load_rendered
from ghostless.research.data.rendered_files import (
    FOLDER,
    NOTHING,
    RenderedScene,
    list_scenes,
    pack_rendered,
    read_packed,
    read_scene,
)
from ghostless.research.render.engine import Camera, Rendering
from ghostless.research.render.files import _write_exr
from ghostless.research.render.shapes import pose

SIZE = (72, 96)
PERFECT = CameraSettings.plain(responses=("srgb",), noise_share=0, jpeg_share=0, rounding=False)


def pattern(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Smooth light that differs everywhere."""
    waves = [np.sin(3 * x + n) + np.cos(2.3 * y - 2 * n) + np.sin(1.7 * (x + y)) for n in range(3)]
    return np.exp2(0.5 * np.stack(waves, axis=-1)).astype(np.float32)


def make_scene(name: str = "drawn", split: str = "train", moves: float = 0.25) -> RenderedScene:
    """A wall at 5 m, a board at 2.5 m that moves by `moves` metres a moment, sky to the right."""
    shifts = [(-0.03, 0.01, 0.0), (0.0, 0.0, 0.0), (0.02, 0.03, -0.02)]
    turns = [(0.4, -0.6, 0.5), (0.0, 0.0, 0.0), (-0.5, 0.3, -0.7)]
    cameras = [
        Camera(shift, turn, SIZE[1], SIZE[0], 90.0)
        for shift, turn in zip(shifts, turns, strict=True)
    ]
    boards = np.stack([pose((moves * n - 0.1, 0.05 * n, 2.5)) for n in (-1, 0, 1)])
    lights, nears, things = [], [], []
    for camera, board in zip(cameras, boards, strict=True):
        y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(float)
        rays = np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(camera.intrinsics).T
        way = rays @ camera.pose[:3, :3].T
        start = camera.pose[:3, 3]
        wall = start + (5 - start[2]) / way[..., 2:] * way
        near = start + (2.5 - start[2]) / way[..., 2:] * way - board[:3, 3]
        on_board = (np.abs(near[..., 0]) < 0.35) & (np.abs(near[..., 1]) < 0.3)
        on_wall = ~on_board & (wall[..., 0] < 1.5)
        light = pattern(4 * way[..., 0] / way[..., 2], 4 * way[..., 1] / way[..., 2])
        light[on_wall] = pattern(wall[..., 0], wall[..., 1])[on_wall]
        light[on_board] = 2 * pattern(4 * near[..., 0], 5 * near[..., 1])[on_board]
        # Depth is along the camera's own axis: the ray's length in units of its third part, 1.
        depth = np.where(on_board, (2.5 - start[2]) / way[..., 2], (5 - start[2]) / way[..., 2])
        lights.append(light)
        nears.append(np.where(on_board | on_wall, 1 / depth, 0).astype(np.float32))
        things.append(np.where(on_board, 1, np.where(on_wall, 0, NOTHING)).astype(np.uint8))
    still = np.broadcast_to(np.eye(4), (3, 4, 4))
    return RenderedScene(
        name,
        name,
        split,  # type: ignore[arg-type]
        np.stack(lights),
        np.stack(nears),
        np.stack(things),
        np.stack([camera.intrinsics for camera in cameras]),
        np.stack([camera.pose for camera in cameras]),
        np.stack([still, boards]),
    )


def settings(**changes: object) -> SimulationSettings:
    """Three equally bright photos without blur, noise and clipping."""
    plain = {
        "size": SIZE,
        "frames": (3, 3),
        "gap_stops": (0.01, 0.01),
        "key": (0.05, 0.05),
        "blur_pixels": 0.0,
        "cast_stops": 0.0,
        "flow": True,
        "camera": PERFECT,
    }
    return SimulationSettings(**{**plain, **changes})  # type: ignore[arg-type]


def sample(
    scene: RenderedScene, *, registered: bool = False, seed: int = 0, **changes: object
) -> SimulatedBatch:
    simulator = RenderedSimulator(
        settings(**changes), load_rendered([scene]), registered=registered
    )
    return simulator.sample(4, torch.Generator().manual_seed(seed))


def errors_after_flow(batch: SimulatedBatch, k: int, n: int) -> np.ndarray:
    """How far frame n, brought to the reference by the true flow, is off it: (h, w)."""
    assert batch.flow is not None
    frame, reference = (
        np.ascontiguousarray(batch.frames[k, i].permute(1, 2, 0).numpy())
        for i in (n, batch.reference)
    )
    height, width = frame.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    dx, dy = batch.flow[k, n].numpy()
    warped = cv2.remap(frame, x + dx, y + dy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.abs(warped - reference).max(axis=-1)


@pytest.mark.parametrize("registered", [False, True])
def test_the_flow_brings_each_frame_onto_the_reference(registered: bool) -> None:
    batch = sample(make_scene(), registered=registered)
    assert batch.hidden is not None
    for k in range(4):
        for n in (0, 2):
            seen = batch.hidden[k, n].numpy() == 0
            errors = errors_after_flow(batch, k, n)
            assert 0.6 < seen.mean() < 0.99
            # Beside edges two things share the four pixels that are mixed.
            assert np.percentile(errors[seen], 90) < 0.012
            assert errors[seen].mean() < 0.5 * errors[~seen].mean()


def test_the_reference_is_where_it_is() -> None:
    batch = sample(make_scene())
    assert batch.reference == 1
    assert batch.ghosts is not None
    assert batch.flow is not None
    assert batch.hidden is not None
    assert batch.flow[:, 1].abs().max() < 1e-3
    assert not batch.ghosts[:, 1].any()
    assert not batch.hidden[:, 1].any()
    eye = torch.eye(3).expand(4, 3, 3)
    assert torch.allclose(batch.homographies[:, 1], eye, atol=1e-4)


def test_ghosts_are_the_board_before_and_after() -> None:
    moving, still = sample(make_scene()), sample(make_scene(moves=0.0), seed=3)
    assert moving.ghosts is not None
    assert still.ghosts is not None
    scene = make_scene()
    board = (scene.thing == 1).mean(axis=(1, 2))
    for n in (0, 2):
        share = moving.ghosts[:, n].mean(dim=(1, 2)).numpy()
        assert (share > 1.2 * board.min()).all()
        assert (share < 2.2 * board.max()).all()
    # It still rises by 5 cm a moment: two pixels, so ghosts are at its rim and on it, no more.
    assert (still.ghosts.mean(dim=(2, 3)) < 1.4 * board.max()).all()


def test_nothing_moves_in_a_scene_where_nothing_does() -> None:
    scene = make_scene()
    frozen = RenderedScene(
        **{**vars(scene), "poses": np.broadcast_to(np.eye(4), scene.poses.shape).copy()}
    )
    batch = sample(frozen)
    assert batch.ghosts is not None
    assert not batch.ghosts.any()


def test_registered_frames_keep_only_parallax() -> None:
    scene = make_scene(moves=0.0)
    loose, tight = sample(scene), sample(scene, registered=True)
    assert loose.flow is not None
    assert tight.flow is not None
    assert loose.flow.abs().mean() > 1.5 * tight.flow.abs().mean()
    assert torch.allclose(tight.homographies, torch.eye(3).expand_as(tight.homographies), atol=1e-4)
    # The plane at the middle depth, the wall, fits; the nearer board does not.
    assert tight.flow[:, 0].norm(dim=1).flatten(1).median() < 0.3
    assert tight.flow[:, 0].norm(dim=1).amax() > 1


def test_patches_and_mirrors_keep_the_answers_true() -> None:
    batch = sample(make_scene(), size=(48, 64), seed=5)
    assert batch.frames.shape == (4, 3, 3, 48, 64)
    assert batch.hidden is not None
    for k in range(4):
        seen = batch.hidden[k, 0].numpy() == 0
        assert np.percentile(errors_after_flow(batch, k, 0)[seen], 90) < 0.012


def test_exposures_and_brightness_follow_the_settings() -> None:
    batch = sample(make_scene(), gap_stops=(2.0, 2.0), key=(0.1, 0.1), frames=(2, 2))
    assert batch.stops.tolist() == [[-1, 1]] * 4
    means = batch.radiance.clamp(min=1e-9).log().mean(dim=(1, 2, 3)).exp()
    assert torch.allclose(means, torch.full((4,), 0.05), rtol=1e-3)


def test_the_seed_decides() -> None:
    first, again = (sample(make_scene(), seed=7) for _ in range(2))
    assert torch.equal(first.frames, again.frames)
    assert not torch.equal(first.frames, sample(make_scene(), seed=8).frames)


def test_sizes_and_frames_beyond_the_scenes_are_refused() -> None:
    with pytest.raises(OptionError, match="size"):
        sample(make_scene(), size=(100, 96))
    with pytest.raises(OptionError, match="frames"):
        sample(make_scene(), frames=(4, 4))
    with pytest.raises(InputError, match="none"):
        load_rendered([make_scene()], split="held-out")


# Files --------------------------------------------------------------------------------------------


def write_scene(scene: RenderedScene, folder: Path) -> None:
    """Write a scene as `ghostless render` does."""
    folder.mkdir(parents=True)
    names = [f"moment_{n + 1}.exr" for n in range(len(scene.radiance))]
    for n, name in enumerate(names):
        with np.errstate(divide="ignore"):
            depth = (1 / scene.nearness[n]).astype(np.float32)
        _write_exr(folder / name, Rendering(scene.radiance[n], depth, scene.thing[n], ()))
    facts = {
        "format": 1,
        "scene": scene.scene,
        "split": scene.split,
        "size": list(SIZE),
        "moments": names,
        "intrinsics": scene.intrinsics.tolist(),
        "cameras": scene.cameras.tolist(),
        "poses": scene.poses.tolist(),
    }
    (folder / "scene.json").write_text(json.dumps(facts))


@pytest.fixture
def rendered(tmp_path: Path) -> Path:
    for name, split in (("one", "train"), ("two", "held-out")):
        write_scene(make_scene(name, split), tmp_path / "rendered" / name)
    return tmp_path / "rendered"


def test_scenes_come_back_from_files_and_packed(rendered: Path, tmp_path: Path) -> None:
    scene = make_scene("one")
    read = [read_scene(folder) for folder in list_scenes(rendered)]
    assert [one.name for one in read] == ["one", "two"]
    assert pack_rendered([rendered], tmp_path / "packed") == ["one", "two"]
    packed = read_packed(tmp_path / "packed")
    assert [one.split for one in packed] == ["train", "held-out"]
    for back, stops in ((read[0], 0.002), (packed[0], 0.2)):
        assert np.array_equal(back.thing, scene.thing)
        assert np.abs(back.nearness - scene.nearness).max() < 1e-4
        assert np.allclose(back.poses, scene.poses)
        assert np.abs(np.log2(back.radiance / scene.radiance)).max() < stops
    with pytest.raises(FileReadError, match="ghostless render"):
        pack_rendered([tmp_path], tmp_path / "other")


def test_data_pack_packs_scenes_beside_the_pictures(
    rendered: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    light = np.exp2(np.random.default_rng(0).uniform(-4, 2, (32, 64, 3))).astype(np.float32)
    (tmp_path / "hdr").mkdir()
    cv2.imwrite(str(tmp_path / "hdr" / "meadow.hdr"), light)
    out = tmp_path / "packed"
    words = ["data", "pack", str(tmp_path / "hdr"), "-o", str(out), "--rendered", str(rendered)]
    assert run([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rendered_scenes"] == 2
    assert [scene.name for scene in read_packed(out / FOLDER)] == ["one", "two"]


def test_simulate_takes_scenes_and_writes_their_answers(rendered: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["simulate", str(rendered), "-o", str(out), "--format", "png", "--flow", "-q"]
    assert run(words) == 0
    truth = out / "0000" / "truth"
    flow = cv2.readOpticalFlow(str(truth / "flow_1.flo"))
    assert flow.shape == (*SIZE, 2)
    assert np.isfinite(flow).all()
    assert np.abs(flow).max() > 1
    for name in ("ghosts_1.png", "hidden_3.png", "truth.exr", "answers.json"):
        assert (truth / name).is_file()
    assert cv2.imread(str(out / "0000" / "1.png")).shape == (*SIZE, 3)


def test_damaged_scenes_are_refused_in_a_line(
    rendered: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (rendered / "one" / "moment_2.exr").unlink()
    assert run(["simulate", str(rendered), "-o", str(tmp_path / "out")]) == 2
    assert "moment_2.exr" in capsys.readouterr().err
    (rendered / "one" / "scene.json").write_text("{}")
    assert run(["simulate", str(rendered), "-o", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "scene.json" in error
    assert error.count("\n") == 1

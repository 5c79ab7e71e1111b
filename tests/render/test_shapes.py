"""Meshes: closed where they should be, facing outwards, as large as asked for."""

from __future__ import annotations

import numpy as np
import pytest

from ghostless.research.render.engine import Camera, _outwards
from ghostless.research.render.shapes import (
    Limb,
    Mesh,
    ball,
    box,
    curtain,
    cushion,
    grown,
    leaf,
    merged,
    pose,
    rounded_box,
    turned,
)


def volume(mesh: Mesh) -> float:
    """Volume enclosed, by the divergence theorem; positive if faces look outwards."""
    a, b, c = (mesh.vertices[_outwards(mesh)[:, n]].astype(float) for n in range(3))
    return float((np.cross(a, b) * c).sum() / 6)


@pytest.mark.parametrize(
    ("mesh", "expected"),
    [
        (box((0, 0, 0), (1, 2, 3)), 6.0),
        (box((0, 0, 0), (1, 2, 3), turn_degrees=30), 6.0),
        (box((0, 0, 0), (1, 2, 3), inside=True), -6.0),
        (ball(0.5, steps=96), np.pi / 6),
        (rounded_box((0, 0, 0), (1, 1, 1), 0.5), np.pi / 6),
        (rounded_box((0, 0, 0), (1, 2, 1), 0.001), 2.0),
        (turned([(0, 0), (1, 0), (1, 2), (0, 2)], steps=200, smooth=False), 2 * np.pi),
        (ball(0.5, steps=96).scaled((1, 2, 1)).moved(pose((3, 1, 2), (10, 20, 30))), np.pi / 3),
    ],
)
def test_volumes_are_right_and_normals_look_out(mesh: Mesh, expected: float) -> None:
    assert volume(mesh) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize(
    "mesh",
    [
        box((0, 0, 0), (1, 2, 3), metres=0.5),
        cushion((0.4, 0.4, 0.1)),
        leaf((0, 0, 0), np.array([0.5, 0.7, 0.3]), 0.5, 0.05, 0.3),
        curtain(1, 2, 5, 0.05, seed=1),
        merged([ball(1).coloured((0.1, 0.2, 0.3)), ball(2).coloured((0.1, 0.2, 0.3))]),
    ],
)
def test_meshes_are_whole(mesh: Mesh) -> None:
    count = len(mesh.vertices)
    assert mesh.normals.shape == (count, 3)
    assert mesh.texture.shape == (count, 2)
    assert mesh.faces.min() >= 0
    assert mesh.faces.max() < count
    assert np.isfinite(mesh.vertices).all()
    assert np.linalg.norm(mesh.normals, axis=1) == pytest.approx(1, abs=1e-3)


def test_what_grows_round_limbs_has_their_colours_and_size() -> None:
    pytest.importorskip("skimage")
    limb = Limb((0, 0, 0), (0, 1, 0), 0.1, 0.1, (0.8, 0.1, 0.1), (0.1, 0.1, 0.8), 0.5)
    mesh = grown([limb], voxel_metres=0.02)
    capsule = np.pi * 0.1**2 * (1 + 4 / 3 * 0.1)
    assert volume(mesh) == pytest.approx(capsule, rel=0.05)
    assert mesh.colours is not None
    assert len(np.unique(mesh.colours.round(3), axis=0)) == 2


def test_a_pose_turns_as_a_camera_does() -> None:
    ahead = np.array([0, 0, 1.0])
    assert (pose(turn_degrees=(0, 30, 0))[:3, :3] @ ahead)[0] == pytest.approx(0.5)
    assert (pose(turn_degrees=(30, 0, 0))[:3, :3] @ ahead)[1] == pytest.approx(0.5)
    right = pose(turn_degrees=(0, 0, 30))[:3, :3] @ np.array([1.0, 0, 0])
    assert right[1] == pytest.approx(-0.5)


def test_a_camera_projects_right_to_right_and_up_to_up() -> None:
    camera = Camera((0, 1, 0), (0, 0, 0), 100, 80, 50.0)
    back = np.linalg.inv(camera.pose)
    for point, expected in (
        ((0, 1, 5), (49.5, 39.5)),
        ((1, 1, 5), (59.5, 39.5)),
        ((0, 2, 5), (49.5, 29.5)),
    ):
        x, y, w = camera.intrinsics @ (back @ [*point, 1])[:3]
        assert (x / w, y / w) == pytest.approx(expected)

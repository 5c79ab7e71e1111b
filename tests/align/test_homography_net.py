"""The homography network as an aligner: followed where it helps, refused where it does not."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import cv2  # noqa: E402

from ghostless.align import (  # noqa: E402
    AlignSettings,
    align_bracket,
    align_pair,
    homography_net,
)
from ghostless.bracket import Bracket, Frame, Registration  # noqa: E402
from ghostless.errors import OptionError, WeightsError  # noqa: E402
from ghostless.nn import four_points, homography, weights  # noqa: E402
from ghostless.nn.weights import WeightsInfo, save_weights  # noqa: E402
from tests.scenes import expose, make_radiance  # noqa: E402

SIZE = (300, 240)


class Oracle:
    """A network that answers with given offsets, pass after pass, then with none.

    It remembers what it was shown.
    """

    def __init__(self, *answers):
        self.answers = answers
        self.seen = []

    def __call__(self, planes):
        self.seen.append(planes)
        turn = len(self.seen) - 1
        return np.array([self.answers[turn] if turn < len(self.answers) else [0.0] * 8], np.float32)


def scene_matrix(offsets):
    """Homography of full-size frames from corner offsets at 256 pixels."""
    small = homography.homography_from_offsets(torch.tensor([offsets]).double())[0].numpy()
    return four_points.rescale_homography(small, (256, 256), SIZE)


def frames(matrix, stops=(-1.0, 1.0)):
    """A reference and a frame with frame(matrix x) = reference(x), of two exposures."""
    width, height = SIZE
    light = make_radiance(height, width, seed=4, range_stops=5)
    moved = cv2.warpPerspective(light, matrix, SIZE, borderMode=cv2.BORDER_REFLECT)
    reference, frame = expose(light, stops[0]), expose(moved.astype(np.float32), stops[1])
    return Frame(reference), Frame(frame)


OFFSETS = [6.0, 3.0, 4.0, -5.0, -3.0, 4.0, 5.0, 6.0]


@pytest.mark.parametrize("stops", [(-1.0, 1.0), (1.0, -1.0)])
def test_a_right_answer_is_followed(stops):
    matrix = scene_matrix(OFFSETS)
    reference, frame = frames(matrix, stops)
    if stops[0] < stops[1]:
        answer = OFFSETS
    else:  # the network is shown the darker frame first, and answers the other way round
        small = four_points.rescale_homography(np.linalg.inv(matrix), SIZE, (256, 256))
        start = np.column_stack([four_points.CORNERS, np.ones(4)])
        moved = start @ small.T
        answer = (moved[:, :2] / moved[:, 2:] - start[:, :2]).ravel().tolist()
    network = Oracle(answer)
    found = homography_net.register_with(network, reference, frame)
    assert found.model == "homography"
    np.testing.assert_allclose(found.matrix, matrix, rtol=1e-3, atol=1e-3)
    assert found.improvement > 0.5
    dark, bright = network.seen[0][0, :3].mean(), network.seen[0][0, 3:6].mean()
    assert dark < bright


def test_later_passes_see_what_earlier_ones_brought_together():
    first, rest = [2 * value for value in OFFSETS], [-0.4 * value for value in OFFSETS]
    matrices = [
        homography.homography_from_offsets(torch.tensor([offsets]).double())[0].numpy()
        for offsets in (first, rest)
    ]
    together = four_points.rescale_homography(matrices[0] @ matrices[1], (256, 256), SIZE)
    reference, frame = frames(together)
    network = Oracle(first, rest)
    found = homography_net.register_with(network, reference, frame, passes=3)
    np.testing.assert_allclose(found.matrix, together, rtol=1e-3, atol=1e-3)
    assert len(network.seen) == 3
    # Bitmaps are the last two planes: they agree better with every pass.
    apart = [float((x[0, 6] != x[0, 7])[40:-40, 40:-40].mean()) for x in network.seen]
    assert apart[2] < 0.5 * apart[1] < 0.5 * apart[0]
    once = homography_net.register_with(Oracle(first, rest), reference, frame, passes=1)
    assert not np.allclose(once.matrix, together, atol=0.5)
    with pytest.raises(OptionError, match="passes: expected a whole number from 1 to 20"):
        homography_net.HomographyNetSettings(passes=0)


def test_mirror_images_are_asked_and_their_answers_turned_back():
    offsets = np.array([[3, 5], [-7, 2], [4, -9], [-6, -1]])
    planes = np.zeros((1, 8, 256, 256), np.float32)
    for (x, y), (dx, dy) in zip([(30, 30), (220, 30), (220, 220), (30, 220)], offsets, strict=True):
        planes[0, 0, y, x] = planes[0, 3, y + dy, x + dx] = 1
    shown = []

    def by_spots(seen):
        """Tells how far the spot in each quarter lies from one plane to the other."""
        shown.append(seen.copy())
        found = []
        for top, left in ((0, 0), (0, 128), (128, 128), (128, 0)):
            quarter = seen[0, :, top : top + 128, left : left + 128]
            places = [np.argwhere(quarter[plane] == 1)[0] for plane in (0, 3)]
            found += [*(places[1] - places[0])[::-1]]
        return np.array([found], np.float32)

    np.testing.assert_array_equal(by_spots(planes), offsets.reshape(1, 8))
    np.testing.assert_array_equal(
        homography_net.mean_of_mirrored(by_spots)(planes), offsets.reshape(1, 8)
    )
    assert len({seen.tobytes() for seen in shown}) == 4


def test_errors_that_mirror_images_do_not_share_are_averaged_out():
    def leaning(seen):
        return np.full((1, 8), 2.0, np.float32)  # as far right and down, whatever it sees

    answer = homography_net.mean_of_mirrored(leaning)(np.zeros((1, 8, 256, 256), np.float32))
    np.testing.assert_allclose(answer, 0, atol=1e-6)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ([-value for value in OFFSETS], "bitmaps differ"),
        ([0.0] * 8, "bitmaps differ"),
        ([200.0, 0, -200, 0, 0, 0, 0, 0], "folded"),
        ([float("nan")] * 8, "folded"),
        ([0.0, 0, -255, 0, -255, -255, 0, -255], "folded"),
        ([0.0, 0, 0, 0, -127, -255, 0, -255], "folded"),
        ([250.0, 0, 250, 0, 250, 0, 250, 0], "of the frame covered"),
    ],
)
def test_a_wrong_answer_is_refused(answer, reason):
    reference, frame = frames(scene_matrix(OFFSETS))
    found = homography_net.register_with(Oracle(answer), reference, frame)
    assert found.model == "identity"
    np.testing.assert_array_equal(found.matrix, np.eye(3))
    assert reason in found.notes[0]
    assert found.improvement == 0


def test_aligned_frames_are_left_alone():
    reference, frame = frames(np.eye(3))
    found = homography_net.register_with(Oracle(OFFSETS), reference, frame)
    assert found.model == "identity"


def test_without_weights_the_training_command_is_named():
    reference, frame = frames(np.eye(3))
    settings = homography_net.HomographyNetSettings(weights="/nowhere/at-all.safetensors")
    with pytest.raises(WeightsError, match="ghostless train chen-chuang"):
        homography_net.register_by_network(reference, frame, settings)


@pytest.mark.parametrize("size", [(1, 1), (5, 9)])
def test_with_weights_of_any_kind_frames_of_any_size_come_through(tmp_path, size):
    torch.manual_seed(0)
    architecture = homography.HomographyArchitecture(base_channels=2, hidden=4)
    path = tmp_path / "weights.safetensors"
    network = homography.HomographyNetwork(architecture)
    save_weights(network, path, WeightsInfo(homography.HOMOGRAPHY.name))
    light = make_radiance(32, 32)[: size[0], : size[1]]
    reference, frame = (Frame(expose(light, stops)) for stops in (-1, 1))
    settings = homography_net.HomographyNetSettings(weights=path, device="cpu")
    found = homography_net.register_by_network(reference, frame, settings)
    assert found.model in ("identity", "homography")
    assert np.isfinite(found.matrix).all()


@pytest.mark.parametrize("honest", [True, False])
def test_the_cascade_starts_from_the_network_and_is_not_misled(monkeypatch, honest):
    true = np.array([[1, 0.02, 9.0], [-0.02, 1, -6.0], [0, 0, 1]])
    light = make_radiance(260, 320, seed=4)
    moved = cv2.warpPerspective(light, true, (320, 260), borderMode=cv2.BORDER_REFLECT)
    reference, frame = Frame(expose(light, -1)), Frame(expose(moved, 1))
    answer = true if honest else np.array([[1, 0, 40.0], [0, 1, 30.0], [0, 0, 1]])
    asked = []

    def answered(*pair):
        asked.append(pair)
        return Registration("homography", answer)

    monkeypatch.setattr(homography_net, "register_by_network", answered)
    found = align_pair(reference, frame, AlignSettings(model="network"))
    assert len(asked) == 1
    corners = np.array([[0, 0, 1], [319, 0, 1], [319, 259, 1], [0, 259, 1]]).T
    ends = [matrix @ corners for matrix in (found.matrix, true)]
    assert np.abs(ends[0][:2] / ends[0][2] - ends[1][:2] / ends[1][2]).max() < 1


def test_aligning_by_network_without_weights_names_the_training_command(tmp_path, monkeypatch):
    frames_of_one_scene = frames(np.eye(3))
    monkeypatch.setattr(weights, "WEIGHTS_FOLDER", tmp_path)
    with pytest.raises(WeightsError, match="ghostless train chen-chuang"):
        align_bracket(Bracket(frames_of_one_scene), AlignSettings(model="network"), 0)

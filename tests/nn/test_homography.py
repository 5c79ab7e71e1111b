"""The homography network, its geometry and the threshold bitmaps."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from tests.scenes import make_radiance  # noqa: E402

from ghostless.errors import OptionError  # noqa: E402
from ghostless.nn import four_points, homography  # noqa: E402
from ghostless.nn.blocks import ConvBlock, count_parameters  # noqa: E402
from ghostless.nn.homography import HomographyArchitecture, HomographyNetwork  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = {"base_channels": 2, "hidden": 8}


@pytest.mark.parametrize(("pool_last", "count"), [(False, 19_487_496), (True, 6_904_584)])
def test_parameter_count(pool_last, count):
    with torch.device("meta"):
        network = HomographyNetwork(HomographyArchitecture(pool_last=pool_last))
    assert count_parameters(network) == count


@pytest.mark.parametrize(("pool_last", "pools"), [(False, 5), (True, 6)])
def test_layers_are_those_of_the_paper(pool_last, pools):
    with torch.device("meta"):
        network = HomographyNetwork(HomographyArchitecture(pool_last=pool_last))
    convolutions = [layer for layer in network.features if isinstance(layer, ConvBlock)]
    assert [layer.conv.out_channels for layer in convolutions] == [64] * 4 + [128] * 4 + [256] * 4
    for layer in convolutions:
        assert layer.conv.kernel_size == (3, 3)
        assert layer.conv.stride == (1, 1)
        assert isinstance(layer.norm, torch.nn.InstanceNorm2d)
        assert layer.activation.negative_slope == 0.2
    kinds = [type(layer).__name__ for layer in network.features]
    pattern = ["ConvBlock", "ConvBlock", "MaxPool2d"] * 6
    assert kinds == (pattern if pool_last else pattern[:-1])
    assert kinds.count("MaxPool2d") == pools
    linear = [layer for layer in network.regression if isinstance(layer, torch.nn.Linear)]
    side = 256 // 2**pools
    assert [(layer.in_features, layer.out_features) for layer in linear] == [
        (256 * side * side, 1024), (1024, 8)
    ]  # fmt: skip


def test_instance_norms_are_counted_from_the_first():
    network = HomographyNetwork(HomographyArchitecture(instance_norms=4, **SMALL))
    blocks = [layer for layer in network.features if isinstance(layer, ConvBlock)]
    normed = [isinstance(block.norm, torch.nn.InstanceNorm2d) for block in blocks]
    assert normed == [True] * 4 + [False] * 8
    with pytest.raises(OptionError, match="0 to 12 instance norms"):
        HomographyArchitecture(instance_norms=13)


def test_offsets_are_in_units_of_an_eighth_of_the_side():
    torch.manual_seed(0)
    network = HomographyNetwork(HomographyArchitecture(**SMALL)).eval()
    x = torch.rand(2, 8, 256, 256)
    offsets = network(x)
    assert offsets.shape == (2, 8)
    torch.testing.assert_close(offsets, 32 * network.regression(network.features(x)))


# Bitmaps


def exposures(gap, seed=0):
    light = make_radiance(64, 80, seed=seed)
    return [
        four_points.grey_for_bitmaps(np.clip(light * 2.0**stops, 0, 1) ** np.float32(1 / 2.2))
        for stops in (-gap / 2, gap / 2)
    ]


def test_grey_has_wards_weights():
    pixels = np.zeros((1, 4, 3), np.float32)
    pixels[0, 0, 0] = pixels[0, 1, 1] = pixels[0, 2, 2] = 1
    pixels[0, 3] = 1
    assert four_points.grey_for_bitmaps(pixels).tolist() == [[53, 182, 18, 255]]


def test_bitmaps_do_not_change_under_a_monotone_curve():
    grey = np.random.default_rng(0).integers(0, 256, (40, 50), dtype=np.uint8)
    curve = np.rint(100 + 155 * (np.arange(256) / 255) ** 0.5).astype(np.uint8)
    levels = np.unique(curve[grey])
    grey = np.searchsorted(curve, levels).astype(np.uint8)[np.searchsorted(levels, curve[grey])]
    assert len(np.unique(grey)) == len(levels)  # no two levels merge under the curve
    first, second = four_points.median_threshold_bitmaps(grey, curve[grey])
    np.testing.assert_array_equal(first, second)
    assert 0.4 < first.mean() < 0.6


def test_exposures_of_a_scene_have_nearly_the_same_bitmaps():
    first, second = four_points.median_threshold_bitmaps(*exposures(2))
    assert (first ^ second).mean() < 0.02
    assert 0.4 < first.mean() < 0.6


def test_thresholds_leave_clipped_tones():
    dark = np.zeros((20, 20), np.uint8)
    dark[:8] = np.arange(160, dtype=np.uint8).reshape(8, 20) + 20
    bright = np.full((20, 20), 200, np.uint8)
    bright[:8] += np.arange(8, dtype=np.uint8)[:, None]
    medians = int(np.median(dark)), int(np.median(bright))
    assert medians[0] == 0
    one, other = four_points.bitmap_thresholds(dark, bright)
    assert 20 < one < 235
    # The same quantile in both.
    assert (dark <= one).mean() == pytest.approx((bright <= other).mean(), abs=0.06)
    one, other = four_points.bitmap_thresholds(255 - bright, 255 - dark)
    assert 20 < other < 235


def test_medians_are_kept_where_they_are_sound():
    first, second = exposures(1)
    one, other = four_points.bitmap_thresholds(first, second)
    assert abs(one - np.median(first)) <= 1
    assert abs(other - np.median(second)) <= 1


def test_network_input_has_two_images_and_two_bitmaps():
    rng = np.random.default_rng(0)
    first, second = rng.random((2, 256, 256, 3), np.float32)
    x = homography.network_input(first, second)
    assert x.shape == (1, 8, 256, 256)
    np.testing.assert_allclose(x[0, :3].permute(1, 2, 0).numpy(), first * 2 - 1, atol=1e-6)
    np.testing.assert_allclose(x[0, 3:6].permute(1, 2, 0).numpy(), second * 2 - 1, atol=1e-6)
    assert set(x[0, 6:].unique().tolist()) == {0.0, 1.0}
    grey = four_points.grey_for_bitmaps(first)
    np.testing.assert_array_equal(x[0, 6].numpy() > 0.5, grey > np.median(grey))


# Geometry


def test_a_known_homography_is_solved_from_its_corners():
    truth = torch.tensor([[1.05, 0.03, -4.0], [-0.02, 0.97, 6.0], [2e-4, -1e-4, 1.0]]).double()
    start = homography.corners(256, 200)
    moved = torch.cat([start, torch.ones(4, 1).double()], 1) @ truth.T
    moved = moved[:, :2] / moved[:, 2:]
    found = homography.solve_homography(start[None], moved[None])[0]
    torch.testing.assert_close(found, truth, rtol=1e-10, atol=1e-10)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-32, 32), min_size=8, max_size=8))
def test_offsets_move_the_corners_as_they_say(offsets):
    moves = torch.tensor([offsets], dtype=torch.float64)
    matrix = homography.homography_from_offsets(moves)[0]
    start = homography.corners()
    moved = torch.cat([start, torch.ones(4, 1).double()], 1) @ matrix.T
    expected = start + moves.view(4, 2)
    torch.testing.assert_close(moved[:, :2] / moved[:, 2:], expected, rtol=0, atol=1e-8)


def test_corners_run_round_the_image():
    expected = [[0, 0], [255, 0], [255, 255], [0, 255]]
    assert homography.corners().tolist() == expected


@pytest.mark.parametrize(
    ("quad", "convex"),
    [
        ([[0, 0], [9, 0], [9, 9], [0, 9]], True),
        ([[0, 0], [9, 1], [7, 9], [1, 8]], True),
        ([[0, 0], [9, 0], [2, 2], [0, 9]], False),  # a dent
        ([[0, 0], [9, 9], [9, 0], [0, 9]], False),  # crossed
        ([[9, 0], [0, 0], [0, 9], [9, 9]], False),  # turned over
        ([[0, 0], [5, 0], [9, 0], [0, 9]], False),  # three in a line
        ([[0, 0], [9, np.nan], [9, 9], [0, 9]], False),
    ],
)
def test_convex_quads(quad, convex):
    assert four_points.is_convex(np.array(quad, float)) is convex


def test_rescaling_keeps_pixel_centres():
    # Half a small pixel to the right is 2 pixels where there are four times as many.
    shift = np.array([[1, 0, 0.5], [0, 1, 0], [0, 0, 1.0]])
    large = four_points.rescale_homography(shift, (256, 256), (1024, 512))
    np.testing.assert_allclose(large, [[1, 0, 2], [0, 1, 0], [0, 0, 1]], atol=1e-12)
    # A turn about the centre of the small image is one about the centre of the large one.
    turn = np.eye(3)
    turn[:2, :2] = [[0, -1], [1, 0]]
    turn[:2, 2] = [255, 0]
    large = four_points.rescale_homography(turn, (256, 256), (1000, 1000))
    centre = np.array([499.5, 499.5, 1])
    np.testing.assert_allclose(large @ centre, centre, atol=1e-9)
    back = four_points.rescale_homography(large, (1000, 1000), (256, 256))
    np.testing.assert_allclose(back, turn, atol=1e-9)


def test_warping_by_whole_pixels_moves_them():
    image = torch.rand(1, 2, 9, 11, dtype=torch.float64)
    shift = torch.tensor([[[1.0, 0, 2], [0, 1, 3], [0, 0, 1]]])
    warped, valid = homography.warp(image, shift)
    torch.testing.assert_close(warped[..., :6, :9], image[..., 3:, 2:])
    torch.testing.assert_close(warped[..., 8, 10], image[..., 8, 10])  # border replicated
    expected = torch.zeros(9, 11).double()
    expected[:6, :9] = 1
    torch.testing.assert_close(valid[0, 0], expected)


def test_identity_warps_nothing():
    image = torch.rand(2, 3, 7, 5)
    warped, valid = homography.warp(image, torch.eye(3).expand(2, 3, 3))
    torch.testing.assert_close(warped, image)
    assert valid.all()


def test_warping_agrees_with_opencv():
    image = cv2.GaussianBlur(make_radiance(64, 80, seed=1), (0, 0), 2).astype(np.float32)
    matrix = np.array([[1.02, 0.05, -3.3], [-0.03, 0.99, 2.7], [1e-4, 2e-4, 1]])
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    expected = cv2.warpPerspective(
        image, matrix, (80, 64), flags=how, borderMode=cv2.BORDER_REPLICATE
    )
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None]
    warped, _ = homography.warp(tensor, torch.from_numpy(matrix)[None])
    # OpenCV rounds positions to 1/32 pixel.
    difference = np.abs(warped[0].permute(1, 2, 0).numpy() - expected)
    assert difference.max() < 0.04 * np.ptp(image)
    assert difference.mean() < 0.002 * np.ptp(image)


def test_gradients_of_the_geometry():
    torch.manual_seed(0)
    offsets = (torch.rand(1, 8, dtype=torch.float64) * 8 - 4).requires_grad_(True)
    assert torch.autograd.gradcheck(homography.homography_from_offsets, offsets)
    image = torch.rand(1, 1, 5, 6, dtype=torch.float64, requires_grad=True)
    matrix = torch.tensor([[[1.01, 0.02, 0.31], [-0.01, 0.98, 0.27], [1e-3, 2e-3, 1]]])
    matrix = matrix.double().requires_grad_(True)
    assert torch.autograd.gradcheck(lambda i, m: homography.warp(i, m)[0], (image, matrix))

"""The merge that keeps to the reference, on scenes whose radiance is known."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from ghostless.nn.merge import merge_towards_reference  # noqa: E402
from ghostless.pixels import merge  # noqa: E402

EXPOSURES = (1.0, 4.0, 16.0)


def shoot(scenes, noise=0.0, exposures=EXPOSURES):
    """Merge frames of radiance (B, 3, H, W) each; 1 is where the first clips."""
    torch.manual_seed(0)
    lights = []
    for scene, exposure in zip(scenes, exposures, strict=True):
        light = scene * exposure + noise * torch.randn_like(scene)
        display = (light.clamp(0, 1).pow(1 / 2.2) * 255).round() / 255
        lights.append(display.pow(2.2))
    displays = [light.pow(1 / 2.2) for light in lights]
    times = [torch.full((1, 1, 1, 1), exposure) for exposure in exposures]
    return merge_towards_reference(displays, lights, times), lights


def test_a_still_scene_is_merged_over_its_whole_range():
    truth = torch.logspace(-3, 0, 64).view(1, 1, 1, 64).expand(1, 3, 8, 64)
    merged, _ = shoot([truth] * 3)
    torch.testing.assert_close(merged, truth, rtol=0.03, atol=0)


def test_noise_is_less_than_the_reference_s():
    truth = torch.full((1, 3, 64, 64), 0.01)
    merged, lights = shoot([truth] * 3, noise=0.002)
    assert (merged - truth).std() < 0.6 * (lights[1] / 4 - truth).std()


@pytest.mark.parametrize("moved", [0, 2])
def test_things_that_move_are_where_the_reference_has_them(moved):
    truth = torch.full((1, 3, 16, 16), 0.05)
    scenes = [truth.clone() for _ in range(3)]
    scenes[moved][..., 4:12, 4:12] = 0.01
    merged, _ = shoot(scenes)
    torch.testing.assert_close(merged, truth, rtol=0.03, atol=0)


def test_where_the_reference_clips_the_dark_frame_says_how_bright():
    truth = torch.full((1, 3, 16, 16), 0.05)
    truth[..., 4:12, 4:12] = 0.7
    merged, _ = shoot([truth] * 3)
    torch.testing.assert_close(merged, truth, rtol=0.03, atol=0)
    # It has left by the time of the dark frame: at least as bright as the reference can say.
    gone = torch.full((1, 3, 16, 16), 0.05)
    merged, _ = shoot([gone, truth, truth])
    assert merged[..., 6:10, 6:10].min() > 0.24


def test_frames_that_all_clip_give_the_brightest_there_is():
    merged, _ = shoot([torch.full((1, 3, 4, 4), 2.0)] * 3)
    torch.testing.assert_close(merged, torch.ones_like(merged), rtol=1e-4, atol=0)


def test_the_reference_may_stand_in_for_a_frame():
    truth = torch.rand(1, 3, 16, 16) / 16
    merged, lights = shoot([truth] * 3, exposures=(1.0, 1.0, 16.0))
    assert merged.isfinite().all()
    assert (merged - truth).abs().mean() < (lights[1] - truth).abs().mean()


def test_its_twin_on_arrays_gives_the_same():
    generator = torch.Generator().manual_seed(2)
    displays = [torch.rand(1, 3, 20, 30, generator=generator) ** 2 for _ in range(3)]
    displays[1][..., :10] = displays[0][..., :10].mul(2).clamp(0, 1)
    displays[2][..., 20:] = 1.0
    lights = [display.pow(2.2) for display in displays]
    times = [torch.full((1, 1, 1, 1), exposure) for exposure in EXPOSURES]
    wanted = merge_towards_reference(displays, lights, times)[0].permute(1, 2, 0).numpy()
    arrays = [[plane[0].permute(1, 2, 0).numpy() for plane in each] for each in (displays, lights)]
    found = merge.merge_towards_reference(*arrays, EXPOSURES)
    np.testing.assert_allclose(found, wanted, rtol=2e-4, atol=1e-7)

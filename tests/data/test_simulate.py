"""Simulated brackets: every setting does what it says, and the answers are exact."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ghostless.errors import OptionError
from ghostless.research.data.camera_settings import CameraSettings
from ghostless.research.data.draws import SimulatedBatch, SimulationSettings
from ghostless.research.data.panoramas import from_radiance
from ghostless.research.data.simulate import BracketSimulator
from tests.data.pictures import PERFECT, lamp, small_panoramas

SMALL = SimulationSettings(size=(48, 64), frames=(3, 3), gap_stops=(2, 2), scale=(1, 1))
CLEAN = replace(SMALL, camera=PERFECT, blur_pixels=0, shutter_share=0)
# Nothing but the camera moves, and everything is in range.
SHAKEN = replace(CLEAN, objects=(0, 0), gap_stops=(0.01, 0.01), key=(0.01, 0.01))


def simulate(settings: SimulationSettings, batch: int = 2, seed: int = 0) -> SimulatedBatch:
    simulator = BracketSimulator(settings, small_panoramas())
    return simulator.sample(batch, torch.Generator().manual_seed(seed))


def through(image: Tensor, grid: Tensor) -> Tensor:
    """Samples of (B, C, H, W) at pixel places (B, H, W, 2); NaN beyond the border."""
    height, width = image.shape[-2:]
    size = torch.tensor([width, height])
    place = (grid + 0.5) * 2 / size - 1
    sampled = F.grid_sample(image, place, align_corners=False)
    inside = ((grid >= 1) & (grid <= size - 2)).all(dim=-1)
    return torch.where(inside[:, None], sampled, torch.nan)


def pixels(height: int, width: int) -> Tensor:
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([x, y, torch.ones_like(x)], dim=-1).float()


def mapped(matrix: Tensor, height: int, width: int) -> Tensor:
    moved = torch.einsum("bij,hwj->bhwi", matrix, pixels(height, width))
    return moved[..., :2] / moved[..., 2:]


def ghosts_of(batch: SimulatedBatch) -> Tensor:
    assert batch.ghosts is not None
    return batch.ghosts


def light_of(batch: SimulatedBatch, n: int) -> Tensor:
    """Light of frame n by the sRGB curve, on the scale of the reference."""
    display = batch.frames[:, n].double()
    linear = torch.where(
        display <= 0.04045, display / 12.92, ((display + 0.055) / 1.055) ** 2.4
    ).float()
    ratio = (batch.stops[:, batch.reference] - batch.stops[:, n]).exp2()
    return linear * ratio.view(-1, 1, 1, 1)


def test_shapes_and_ranges() -> None:
    batch = simulate(replace(SMALL, flow=True))
    assert batch.frames.shape == (2, 3, 3, 48, 64)
    assert batch.stops.shape == (2, 3)
    assert batch.radiance.shape == (2, 3, 48, 64)
    assert batch.homographies.shape == (2, 3, 3, 3)
    assert ghosts_of(batch).shape == (2, 3, 48, 64)
    assert batch.flow is not None
    assert batch.flow.shape == (2, 3, 2, 48, 64)
    assert batch.frames.min() >= 0
    assert batch.frames.max() <= 1
    assert (batch.stops.diff(dim=1) == 2).all()
    assert batch.reference == 1


def test_the_same_seed_gives_the_same_brackets() -> None:
    first, again, other = simulate(SMALL), simulate(SMALL), simulate(SMALL, seed=1)
    assert torch.equal(first.frames, again.frames)
    assert torch.equal(first.radiance, again.radiance)
    assert not torch.equal(first.frames, other.frames)


def test_the_radiance_is_what_the_reference_shows() -> None:
    batch = simulate(CLEAN, batch=4)
    seen = light_of(batch, batch.reference)
    assert (seen - batch.radiance.clamp(max=1)).abs().max() < 1e-3


def test_homographies_bring_frames_onto_the_reference() -> None:
    batch = simulate(SHAKEN, batch=4)
    reference = batch.radiance
    for n in (0, 2):
        aligned = through(light_of(batch, n), mapped(batch.homographies[:, n], 48, 64))
        with_truth = (aligned / reference).log2().abs().nanmedian()
        without = (light_of(batch, n) / reference).log2().abs().median()
        assert with_truth < 0.35 * without
    identity = torch.eye(3).expand(4, 3, 3)
    assert torch.allclose(batch.homographies[:, 1], identity, atol=1e-5)


def test_shake_stays_within_what_was_asked() -> None:
    still = replace(SHAKEN, shake_pixels=0, shake_degrees=0, shake_perspective_pixels=0)
    assert torch.allclose(simulate(still).homographies, torch.eye(3).expand(2, 3, 3, 3), atol=1e-5)
    shift = replace(still, shake_pixels=5)
    moved = mapped(simulate(shift, batch=64).homographies[:, 0], 48, 64) - pixels(48, 64)[..., :2]
    assert 4 < moved.abs().max() <= 5.001
    perspective = replace(still, shake_perspective_pixels=2)
    moved = mapped(simulate(perspective, batch=64).homographies[:, 0], 48, 64)
    shifts = moved - pixels(48, 64)[..., :2]
    # Sideways at the right border, downwards at the lower one, some 2 pixels at most.
    assert 1 < shifts[:, 24, 63, 0].abs().max() < 4.5
    assert 1 < shifts[:, 47, 32, 1].abs().max() < 4.5
    # Stretch and shear move the corners, by both in x and both in y, and not the middle.
    affine = replace(still, shake_affine_pixels=3)
    batch = simulate(affine, batch=64)
    shifts = mapped(batch.homographies[:, 0], 48, 64) - pixels(48, 64)[..., :2]
    most = 3 * (1 + 48 / 64)
    assert 0.7 * most < shifts[:, [0, 0, 47, 47], [0, 63, 0, 63]].abs().max() <= most
    assert shifts[:, 23:25, 31:33].abs().max() < 0.2
    assert torch.allclose(batch.homographies[..., 2, :], torch.tensor([0.0, 0.0, 1.0]))


def test_static_brackets_hold_still() -> None:
    batch = simulate(replace(CLEAN, static=True, objects=(3, 3), gap_stops=(0.01, 0.01)))
    assert torch.allclose(batch.homographies, torch.eye(3).expand(2, 3, 3, 3), atol=1e-5)
    assert ghosts_of(batch).max() == 0
    both = (batch.frames[:, 0] < 1) & (batch.frames[:, 2] < 1)
    assert ((light_of(batch, 0) - light_of(batch, 2)).abs()[both]).max() < 1e-3


MOVING = replace(
    CLEAN,
    objects=(2, 2),
    still_share=0,
    gap_stops=(0.01, 0.01),
    key=(0.01, 0.01),
    object_stops=(2, 2.5),
    shake_pixels=0,
    shake_degrees=0,
    shake_perspective_pixels=0,
)


def test_ghost_masks_cover_what_changed_and_little_else() -> None:
    batch = simulate(MOVING, batch=8)
    for n in (0, 2):
        change = (light_of(batch, n) / light_of(batch, 1)).log2().abs().amax(dim=1)
        ghosts = ghosts_of(batch)[:, n]
        assert change[ghosts == 0].max() < 0.05
        assert (change[ghosts > 0.9] > 0.1).float().mean() > 0.7
    assert ghosts_of(batch)[:, 1].max() == 0
    assert 0.01 < ghosts_of(batch)[:, 0].mean() < 0.6


def test_flow_follows_objects_and_camera() -> None:
    settings = replace(
        MOVING,
        flow=True,
        shake_pixels=4,
        object_travel=(0.05, 0.1),
        object_turn_degrees=5,
        object_share=(0.4, 0.5),
    )
    batch = simulate(settings, batch=8)
    assert batch.flow is not None
    place = pixels(48, 64)[..., :2]
    assert batch.flow[:, 1].abs().max() < 1e-3
    aligned = through(light_of(batch, 0), place + batch.flow[:, 0].permute(0, 2, 3, 1))
    misfit = (aligned / batch.radiance).log2().abs().amax(dim=1)
    background = mapped(batch.homographies[:, 0], 48, 64) - place
    on_object = (batch.flow[:, 0].permute(0, 2, 3, 1) - background).norm(dim=-1) > 1
    inside = F.avg_pool2d(on_object.float()[:, None], 5, 1, 2)[:, 0] == 1
    known = inside & ~misfit.isnan()
    assert known.sum() > 300
    assert misfit[known].median() < 0.1
    unmoved = (light_of(batch, 0) / batch.radiance).log2().abs().amax(dim=1)
    assert misfit[known].median() < 0.4 * unmoved[known].median()


def test_some_objects_leave_the_frame() -> None:
    fast = replace(MOVING, object_travel=(0.8, 1.2), objects=(1, 1))
    batch = simulate(fast, batch=12)
    # The reference shows an object in places where the others show none.
    change = (light_of(batch, 0) / light_of(batch, 2)).log2().abs().amax(dim=1) > 0.05
    assert (change.flatten(1).float().mean(dim=1) < 0.002).any()


def test_objects_come_in_the_number_size_and_edge_asked_for() -> None:
    none = simulate(replace(MOVING, objects=(0, 0)), batch=4)
    assert ghosts_of(none).max() == 0
    small = simulate(replace(MOVING, object_share=(0.1, 0.12)), batch=8)
    large = simulate(replace(MOVING, object_share=(0.4, 0.45)), batch=8)
    assert ghosts_of(large).mean() > 4 * ghosts_of(small).mean()
    hard = simulate(replace(MOVING, edge_pixels=(0.4, 0.4)), batch=8)
    soft = simulate(replace(MOVING, edge_pixels=(6, 6)), batch=8)

    def between(ghosts: Tensor) -> float:
        return float(((ghosts > 0.05) & (ghosts < 0.95)).float().sum() / (ghosts > 0.05).sum())

    assert between(ghosts_of(soft)) > 1.6 * between(ghosts_of(hard))


def test_still_objects_move_by_parallax_only() -> None:
    parallax = replace(MOVING, still_share=1, shake_pixels=6, parallax=1)
    assert ghosts_of(simulate(parallax, batch=8)).max() > 0.9
    assert ghosts_of(simulate(replace(parallax, parallax=0), batch=8)).max() == 0


def test_blur_smears_the_brightest_frame_most() -> None:
    blurred = replace(SHAKEN, blur_pixels=12, samples=16, gap_stops=(2, 2), key=(0.001, 0.001))
    batch = simulate(blurred, batch=8)

    def detail(n: int) -> float:
        stops = light_of(batch, n).clamp(min=1e-6).log2()
        return float(stops.diff(dim=3).abs().mean() + stops.diff(dim=2).abs().mean())

    assert detail(2) < 0.85 * detail(0)


def test_exposure_time_smears_what_moves() -> None:
    sharp = replace(MOVING, object_travel=(0.4, 0.5), samples=16)
    smeared = replace(sharp, shutter_share=1.0)
    first, second = simulate(sharp, batch=6), simulate(smeared, batch=6)
    same_background = (ghosts_of(first)[:, 2] == 0) & (ghosts_of(second)[:, 2] == 0)
    assert same_background.any()
    assert not torch.allclose(light_of(first, 2), light_of(second, 2), rtol=0.05)


@pytest.mark.parametrize(("count", "gap"), [(2, 6.0), (3, 1.0), (7, 2.0)])
def test_frames_and_gaps_are_as_asked(count: int, gap: float) -> None:
    batch = simulate(replace(SMALL, frames=(count, count), gap_stops=(gap, gap)))
    assert batch.frames.shape[1] == count
    assert torch.allclose(batch.stops.diff(dim=1), torch.tensor(gap))


def test_gaps_shrink_to_the_span() -> None:
    settings = replace(SMALL, frames=(7, 7), gap_stops=(1, 6), span_stops=12)
    stops = simulate(settings, batch=16).stops
    span = stops[:, -1] - stops[:, 0]
    assert span.max() == pytest.approx(12)
    assert span.min() > 5.9
    assert stops.diff(dim=1).min() >= 1


def test_no_rings_round_lamps() -> None:
    settings = replace(SHAKEN, static=True, scale=(1.0, 1.6), cast_stops=0)
    simulator = BracketSimulator(settings, from_radiance([("lamp", lamp())]))
    radiance = simulator.sample(4, torch.Generator().manual_seed(0)).radiance
    for view in radiance:
        room = view.median()
        assert view.min() > 0.98 * room
        assert view.max() > 20 * room


def test_views_are_sharp_and_large_ones_fit() -> None:
    sharp = simulate(replace(SHAKEN, static=True, turn_degrees=0), batch=4).radiance
    blurred = F.avg_pool2d(sharp, 3, 1, 1)
    assert ((sharp / blurred).log2().abs()).mean() > 0.05
    huge = simulate(replace(SMALL, size=(200, 300)))
    assert torch.isfinite(huge.radiance).all()


def test_the_key_sets_the_brightness() -> None:
    for key in (0.05, 0.3):
        batch = simulate(replace(SHAKEN, key=(key, key), cast_stops=0, frames=(1, 1)), batch=4)
        means = batch.radiance.log().mean(dim=(1, 2, 3)).exp()
        assert np.allclose(means.numpy(), key, rtol=1e-3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": (4, 64)},
        {"frames": (3, 2)},
        {"frames": (0, 2)},
        {"gap_stops": (3, 1)},
        {"samples": 3},
        {"reference": 2},
        {"still_share": 1.5},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(OptionError):
        SimulationSettings(**wrong)  # type: ignore[arg-type]


def test_still_frames_differ_only_where_something_moved() -> None:
    """The same noise, files and camera: what differs is what has to be found."""
    settings = replace(
        SMALL,
        objects=(2, 2),
        still_share=0.0,
        object_travel=(0.2, 0.3),
        object_share=(0.2, 0.3),
        camera=CameraSettings.plain(jpeg_share=0),
        blur_pixels=0,
        shutter_share=0,
        still_frames=True,
    )
    batch = simulate(settings, batch=4)
    assert batch.still_frames is not None
    assert batch.still_frames.shape == batch.frames.shape
    apart = (batch.frames - batch.still_frames).abs().amax(dim=2)
    reference = batch.reference
    assert apart[:, reference].max() == 0
    # Ghosts lie on the reference's pixels, frames on their own, up to the shake.
    near = F.max_pool2d(ghosts_of(batch), 25, 1, 12)
    for n in (0, 2):
        assert apart[:, n].max() > 0.05
        assert apart[:, n][near[:, n] == 0].max() == 0


def test_nothing_moves_in_the_share_that_stands_still() -> None:
    settings = replace(SMALL, objects=(2, 2), still_share=0.0, parallax=0.0, moving_share=0.5)
    batch = simulate(settings, batch=32)
    moving = (ghosts_of(batch).amax(dim=(1, 2, 3)) > 0.5).float().mean()
    assert 0.2 < moving < 0.8
    never = simulate(replace(settings, moving_share=0.0), batch=8)
    assert ghosts_of(never).max() == 0


def test_frames_out_of_focus_lose_detail() -> None:
    sharp = simulate(replace(CLEAN, objects=(0, 0)), batch=4)
    blurred = simulate(
        replace(CLEAN, objects=(0, 0), defocus_share=1.0, defocus_pixels=3.0), batch=4
    )
    assert torch.equal(sharp.stops, blurred.stops)

    def roughness(batch: SimulatedBatch) -> float:
        return float(batch.frames.diff(dim=-1).abs().mean())

    assert roughness(blurred) < 0.8 * roughness(sharp)

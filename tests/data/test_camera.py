"""The simulated camera: each of its faults does what it says, and can be switched off."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from ghostless.errors import OptionError
from ghostless.pixels import color
from ghostless.research.data.camera import CameraModel, Cameras
from ghostless.research.data.camera_settings import CameraSettings
from ghostless.research.data.darkroom import compress_gamut, luminance
from ghostless.research.data.jpeg import JpegModel
from ghostless.research.data.sensors import COLOR_MATRICES, sensor_matrix
from tests.data.pictures import PERFECT
from tests.scenes import make_radiance


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def photograph(settings: CameraSettings, light: Tensor, seed: int = 0) -> tuple[Tensor, Cameras]:
    model, random = CameraModel(settings), generator(seed)
    cameras = model.draw(light.shape[0], random)
    return model.photograph(light, cameras, random), cameras


def ramp(batch: int = 1) -> Tensor:
    return torch.linspace(0, 1.5, 64 * 64).view(1, 1, 1, 64, 64).repeat(batch, 1, 3, 1, 1)


def test_a_perfect_camera_gives_the_srgb_curve() -> None:
    frames, _ = photograph(PERFECT, ramp())
    wanted = color.linear_to_srgb(np.minimum(ramp().numpy(), 1))
    assert np.abs(frames.numpy() - wanted).max() < 2e-4


def test_channels_clip_one_by_one() -> None:
    light = torch.tensor([0.5, 1.0, 7.0]).view(1, 1, 3, 1, 1).expand(1, 1, 3, 16, 16)
    frames, _ = photograph(PERFECT, light)
    assert frames[0, 0, 0].max() < 0.8
    assert (frames[0, 0, 1:] == 1).all()


@pytest.mark.parametrize("kind", ["srgb", "gamma", "camera"])
def test_responses_rise_from_black_to_white_and_can_be_undone(kind: str) -> None:
    settings = replace(PERFECT, responses=(kind,))
    model, random = CameraModel(settings), generator()
    cameras = model.draw(12, random)
    light = ramp(12).clamp(max=1)
    display = model.develop(light, cameras)
    assert (display.flatten(3).diff(dim=3) >= 0).all()
    assert display.amin() == 0
    assert display.amax() == 1
    assert (model.linearise(display, cameras) - light).abs().max() < 1e-3


def test_camera_curves_are_steeper_than_srgb_in_middle_tones() -> None:
    light = torch.full((30, 1, 3, 1, 1), 0.05)
    frames, _ = photograph(replace(PERFECT, responses=("camera",)), light)
    srgb = float(color.linear_to_srgb(np.float32([0.05]))[0])
    values = frames[:, 0, 0, 0, 0]
    assert values.std() > 0.005
    assert ((values - srgb).abs() > 0.002).float().mean() > 0.5


def test_noise_has_the_variance_asked_for() -> None:
    settings = replace(PERFECT, noise_share=1, shot_noise=(4e-4, 4e-4), read_noise=(2e-3, 2e-3))
    model = CameraModel(settings)
    cameras = model.draw(1, generator())
    for level in (0.0, 0.1, 0.6):
        light = torch.full((1, 1, 3, 128, 128), level)
        noise = model.add_noise(light, cameras, generator(1)) - light
        assert float(noise.var()) == pytest.approx(4e-4 * level + 4e-6, rel=0.05)


def test_white_balance_multiplies_the_noise_of_red_and_blue() -> None:
    settings = replace(
        PERFECT,
        noise_share=1,
        shot_noise=(1e-9, 1e-9),
        read_noise=(1e-2, 1e-2),
        red_gain=(2, 2),
        blue_gain=(2, 2),
    )
    model = CameraModel(settings)
    light = torch.full((1, 1, 3, 128, 128), 0.3)
    noise = model.add_noise(light, model.draw(1, generator()), generator(1)) - light
    spread = noise[0, 0].flatten(1).std(dim=1)
    assert float(spread[0] / spread[1]) == pytest.approx(2, rel=0.05)
    assert float(spread[2] / spread[1]) == pytest.approx(2, rel=0.05)


def test_rounding_leaves_eight_bits() -> None:
    frames, _ = photograph(replace(PERFECT, rounding=True), ramp())
    codes = frames * 255
    assert (codes - codes.round()).abs().max() < 1e-4
    smooth, _ = photograph(PERFECT, ramp())
    assert (smooth * 255 - (smooth * 255).round()).abs().max() > 0.4


@pytest.mark.parametrize("half", [True, False])
@pytest.mark.parametrize("quality", [60, 75, 90])
def test_jpeg_errs_as_the_real_one_does(quality: int, half: bool) -> None:
    light = np.clip(make_radiance(101, 120, seed=3, range_stops=5), 0, 1)
    codes = np.rint(color.linear_to_srgb(light) * 255).astype(np.uint8)
    display = torch.from_numpy(codes).permute(2, 0, 1)[None, None] / 255
    ours = JpegModel().compress(display, torch.tensor([quality]), torch.tensor([half]))
    ours = ours[0, 0].permute(1, 2, 0).numpy() * 255
    sampling = (
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420 if half else cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
    )
    flags = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    real = cv2.imdecode(cv2.imencode(".jpg", codes[:, :, ::-1], flags)[1], cv2.IMREAD_COLOR)
    error = float((real[:, :, ::-1].astype(float) - codes).std())
    assert float((ours - codes).std()) == pytest.approx(error, rel=0.05)
    assert float((ours - real[:, :, ::-1]).std()) < 0.7 * error


def test_jpeg_is_left_out_where_quality_is_zero() -> None:
    display = torch.rand(2, 1, 3, 24, 24, generator=generator())
    result = JpegModel().compress(display, torch.tensor([0, 80]), torch.tensor([True, True]))
    assert torch.equal(result[0], display[0])
    assert not torch.equal(result[1], display[1])


# Real cameras: each effect alone ------------------------------------------------------------------

# Nothing but what a test turns on: no noise, no files, and no bracket that is plain by chance.
ALONE = replace(PERFECT, plain_share=0.0, exposure_stops=0.0, black_change=0.0, glare_change=0.0)


def grey(levels: list[float], size: int = 32) -> Tensor:
    """Even frames (1, N, 3, size, size) of some light."""
    return torch.tensor(levels).view(1, -1, 1, 1, 1).repeat(1, 1, 3, size, size)


def colour(red: float, green: float, blue: float, size: int = 16) -> Tensor:
    return torch.tensor([red, green, blue]).view(1, 1, 3, 1, 1).repeat(1, 1, 1, size, size)


def test_plain_cameras_and_real_ones_without_faults_agree() -> None:
    real, _ = photograph(ALONE, ramp())
    plain, cameras = photograph(PERFECT, ramp())
    assert cameras.real is None
    assert (real - plain).abs().max() < 1e-6


def test_a_share_of_the_real_cameras_is_plain() -> None:
    settings = CameraSettings(plain_share=0.5, rounding=False, jpeg_share=0, noise_share=0)
    model, random = CameraModel(settings), generator(3)
    cameras = model.draw(64, random)
    light = torch.rand(64, 1, 3, 16, 16, generator=random)
    frames = model.photograph(light, cameras, random)
    nominal = model.tables[cameras.response]
    place = (light.flatten(1).sqrt() * 4096).round().long()
    apart = (nominal.gather(1, place) - frames.flatten(1)).abs().amax(dim=1)
    assert 0.3 < float((apart < 0.01).float().mean()) < 0.7


def test_real_cameras_repeat_with_their_seed_and_stay_in_range() -> None:
    settings = CameraSettings(local_share=0.5, hot_share=0.5, flicker_share=0.5)
    light = torch.rand(12, 3, 3, 33, 47, generator=generator()) * 3
    first, again = (photograph(settings, light, seed=5)[0] for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, photograph(settings, light, seed=6)[0])
    assert first.amin() >= 0
    assert first.amax() <= 1
    smooth, _ = photograph(replace(settings, rounding=False, jpeg_share=0), light)
    assert smooth.isfinite().all()
    assert smooth.amin() >= 0
    assert smooth.amax() <= 1


def test_exposures_miss_by_no_more_than_asked_frame_by_frame() -> None:
    light = grey([0.2, 0.2]).repeat(40, 1, 1, 1, 1)
    frames, _ = photograph(replace(ALONE, exposure_share=1, exposure_stops=0.15), light)
    seen = torch.from_numpy(color.srgb_to_linear(frames[:, :, 0, 0, 0].numpy()))
    stops = (seen / 0.2).log2()
    assert 0.12 < float(stops.abs().max()) < 0.152
    assert float((stops[:, 0] - stops[:, 1]).abs().max()) > 0.15


def test_flicker_differs_between_frames_and_leaves_bands_where_the_shutter_rolls() -> None:
    settings = replace(ALONE, flicker_share=1, flicker=(0.3, 0.3))
    light = grey([0.1, 0.4]).repeat(30, 1, 1, 1, 1)
    for bands in (0.0, 1.0):
        frames, _ = photograph(replace(settings, band_share=bands), light)
        rows = torch.from_numpy(color.srgb_to_linear(frames[:, :, 0, :, 0].numpy()))
        spread = (rows / light[:, :, 0, :, 0]).std(dim=2)
        assert bool((spread > 0.02).any()) == bool(bands)
        between = (rows / light[:, :, 0, :, 0]).mean(dim=2).std(dim=0)
        # The longer exposure sees more of the lamp's swings, and less of each.
        assert bands or between[0] > 1.5 * between[1] > 0.03


def test_glare_spreads_light_widely_and_differs_between_frames() -> None:
    light = grey([0.01, 0.01], 64)
    light[..., :8, :8] = 30
    settings = replace(ALONE, glare_share=1, glare=(0.02, 0.02), glare_change=0.3)
    frames, _ = photograph(settings, light)
    seen = torch.from_numpy(color.srgb_to_linear(frames.numpy()))[0, :, 0]
    assert (seen[:, 40:, 40:] > 0.0105).all()
    assert float(seen[0, 12, 12]) > 1.5 * float(seen[0, 60, 60])
    assert float((seen[0, 60, 60] - seen[1, 60, 60]).abs()) > 1e-4


def test_vignetting_is_that_of_one_lens_in_all_frames() -> None:
    settings = replace(ALONE, vignetting_share=1, vignetting=(0.5, 0.5))
    frames, _ = photograph(settings, grey([0.1, 0.2], 64).repeat(8, 1, 1, 1, 1))
    seen = torch.from_numpy(color.srgb_to_linear(frames.numpy()))
    assert (seen[:, 0, 0].flatten(1).amax(dim=1) / seen[:, 0, 0].flatten(1).amin(dim=1)).max() > 1.2
    assert (seen[:, 1] / seen[:, 0] - 2).abs().max() < 1e-2
    assert (seen[:, 0, :, 32, 32] / 0.1 - 1).abs().max() < 0.05


@pytest.mark.parametrize("name", COLOR_MATRICES)
def test_sensors_see_white_as_white(name: str) -> None:
    matrix = sensor_matrix(name)
    assert np.allclose(matrix @ np.ones(3), 1)
    assert np.linalg.cond(matrix) < 12
    # Each channel sees most of its own colour.
    assert (matrix.argmax(axis=1) == [0, 1, 2]).all()


SENSOR = replace(
    ALONE,
    sensor_share=1,
    red_gain=(1.6, 1.6),
    blue_gain=(1.4, 1.4),
    highlight_shares=(1, 0, 0),
)


def test_sensor_colours_are_undone_below_clipping() -> None:
    light = torch.rand(20, 1, 3, 16, 16, generator=generator()) * 0.3 + 0.1
    frames, _ = photograph(SENSOR, light)
    seen = color.srgb_to_linear(frames.numpy())
    assert np.abs(seen - light.numpy()).max() < 2e-3


def test_where_red_clips_first_one_green_code_means_different_light() -> None:
    # Two reds whose green differs: with a curve per channel, green would tell.
    reds = torch.cat([colour(3.0, 0.30, 0.1), colour(6.0, 0.30, 0.1)], dim=1)
    plain, _ = photograph(PERFECT, reds)
    assert (plain[0, 0, 1] == plain[0, 1, 1]).all()
    frames, _ = photograph(replace(SENSOR, compress_share=0), reds.repeat(20, 1, 1, 1, 1))
    green = frames[:, :, 1, 0, 0]
    assert ((green[:, 0] - green[:, 1]).abs() > 0.02).float().mean() > 0.8


@pytest.mark.parametrize(
    ("shares", "neutral"), [((1, 0, 0), True), ((0, 1, 0), False), ((0, 0, 1), True)]
)
def test_highlights_are_neutral_tinted_or_faded(
    shares: tuple[float, float, float], neutral: bool
) -> None:
    settings = replace(SENSOR, highlight_shares=shares, tint=(0.8, 0.8))
    frames, _ = photograph(settings, colour(9, 8.5, 7).repeat(20, 1, 1, 1, 1))
    values = frames[:, 0, :, 0, 0]
    apart = values.amax(dim=1) - values.amin(dim=1)
    assert float(values.amax()) > 0.98
    if neutral:
        assert apart.max() < 0.02
    else:
        assert apart.min() > 0.02
        assert (values[:, 1] < values[:, 0]).all()


def test_faded_highlights_lose_colour_by_and_by() -> None:
    settings = replace(SENSOR, highlight_shares=(0, 0, 1), fade_start=(0.5, 0.5))
    light = torch.linspace(0.1, 3, 64).view(1, 1, 1, 1, 64) * colour(0.8, 0.6, 0.4, 64)
    frames, _ = photograph(settings, light.repeat(10, 1, 1, 1, 1))
    chroma = (frames.amax(dim=2) - frames.amin(dim=2))[:, 0, 0]
    assert (chroma[:, 4:16].amax(dim=1) > 0.1).all()
    assert chroma[:, -1].max() < 0.02


def test_colours_beyond_srgb_are_clipped_or_keep_their_luminance() -> None:
    outside = torch.tensor([0.9, -0.2, 0.3]).view(1, 1, 3, 1, 1)
    inside = compress_gamut(outside)
    assert inside.amin() >= -1e-6
    assert float(luminance(inside) - luminance(outside)) == pytest.approx(0, abs=1e-6)
    assert inside[0, 0, 0] < 0.9
    fits = torch.rand(2, 3, 3, 5, 5, generator=generator())
    assert (compress_gamut(fits) - fits).abs().max() < 1e-5


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_tone_curves_agree_on_greys_and_differ_on_colours(kind: int) -> None:
    shares = tuple(float(kind == each) for each in range(3))
    settings = replace(ALONE, responses=("camera",), tone_shares=shares)
    frames, cameras = photograph(settings, ramp(6))
    model = CameraModel(settings)
    assert (model.linearise(frames, cameras) - ramp(6).clamp(max=1)).abs().max() < 3e-3
    light = colour(0.5, 0.2, 0.05).repeat(6, 1, 1, 1, 1)
    frames = model.photograph(light, cameras, generator())[:, 0, :, 0, 0]
    back = torch.from_numpy(color.srgb_to_linear(frames.numpy()))
    ratio = back[:, 0] / back[:, 1]
    place = (back[:, 1] - back[:, 2]) / (back[:, 0] - back[:, 2])
    assert ((ratio - 2.5).abs().max() < 0.05) == (kind == 1)
    # 0.2 lies a third of the way from 0.05 to 0.5.
    assert ((place - 1 / 3).abs().max() < 0.01) == (kind != 0)


def test_styles_change_colours_but_not_greys() -> None:
    settings = replace(ALONE, style_share=1, contrast=(0, 0), fade=0, saturation=(1.4, 1.4))
    frames, _ = photograph(settings, grey([0.05, 0.3, 0.8]).repeat(4, 1, 1, 1, 1))
    wanted = color.linear_to_srgb(np.float32([0.05, 0.3, 0.8]))
    assert np.abs(frames[:, :, :, 0, 0].numpy() - wanted[:, None]).max() < 1e-3
    light = colour(0.3, 0.25, 0.2)
    plain, _ = photograph(PERFECT, light)
    vivid, _ = photograph(replace(settings, hue_degrees=0), light)
    chroma = [float(frame.amax() - frame.amin()) for frame in (plain, vivid)]
    assert chroma[1] == pytest.approx(1.4 * chroma[0], rel=0.02)
    assert float(luminance(vivid).mean()) == pytest.approx(float(luminance(plain).mean()), abs=1e-3)


def test_a_target_wears_the_style_of_its_photos() -> None:
    settings = replace(ALONE, style_share=1, contrast=(0, 0))
    light = torch.rand(4, 1, 3, 16, 16, generator=generator())
    frames, cameras = photograph(settings, light)
    clean = torch.from_numpy(color.linear_to_srgb(light.numpy()))
    assert (CameraModel(settings).in_style(clean, cameras) - frames).abs().max() < 1e-3


def test_black_is_lifted_and_never_quite_the_same() -> None:
    settings = replace(ALONE, black_share=1, black=(0.02, 0.02), black_change=0.004)
    frames, _ = photograph(settings, grey([0.0, 0.0]).repeat(8, 1, 1, 1, 1))
    levels = frames[:, :, 0, 0, 0]
    assert (levels - 0.02).abs().max() <= 0.004 + 1e-6
    assert (levels[:, 0] != levels[:, 1]).all()
    crushed, _ = photograph(replace(settings, black=(-0.02, -0.02)), ramp())
    assert float((crushed == 0).float().mean()) > 0
    assert float(crushed.amax()) == pytest.approx(1, abs=1e-5)


def test_local_tone_mapping_treats_one_light_by_its_surroundings() -> None:
    settings = replace(ALONE, local_share=1, local_strength=(0.4, 0.4))
    light = grey([0.03], 96)
    light[..., 48:] = 0.9
    light[..., 40:56, 66:82] = 0.03
    frames, _ = photograph(settings, light)
    shadows, in_the_light = frames[0, 0, 0, 48, 10], frames[0, 0, 0, 48, 74]
    assert float(shadows) > float(color.linear_to_srgb(np.float32([0.03]))[0]) * 1.2
    assert float(shadows - in_the_light) > 0.02
    white, _ = photograph(settings, grey([4.0]))
    assert white.amin() > 0.999


def test_demosaicing_leaves_noise_smooth_and_chroma_smoothest() -> None:
    settings = replace(ALONE, noise_share=1, shot_noise=(1e-9, 1e-9), read_noise=(1e-2, 1e-2))
    light = grey([0.5], 128)
    for share in (0.0, 1.0):
        model = CameraModel(replace(settings, grain_share=share))
        noise = model.add_noise(light, model.draw(1, generator()), generator(1)) - light
        assert float(noise.std()) == pytest.approx(1e-2, rel=0.1)
        luma = noise.mean(dim=2)
        chroma = noise[:, :, 0] - noise[:, :, 1]
        along = [
            float((x[..., 2:] * x[..., :-2]).mean() / x.square().mean()) for x in (luma, chroma)
        ]
        assert (along[1] > along[0] + 0.1 > 0.15) == bool(share)


def test_noise_reduction_takes_texture_and_leaves_edges() -> None:
    light = grey([0.2], 64)
    light[..., 32:] = 0.8
    light = light + 0.004 * torch.randn(light.shape, generator=generator())
    frames, _ = photograph(PERFECT, light)
    smooth, _ = photograph(replace(ALONE, smooth_share=1, smooth=(0.02, 0.02)), light)
    flat = (..., slice(4, 60), slice(4, 26))
    assert smooth[flat].std() < 0.5 * frames[flat].std()
    steps = [float(x[..., 33].mean() - x[..., 30].mean()) for x in (frames, smooth)]
    assert steps[1] > 0.9 * steps[0]


def test_sharpening_leaves_halos() -> None:
    light = grey([0.2], 64)
    light[..., 32:] = 0.5
    settings = replace(ALONE, sharpen_share=1, sharpen=(1, 1), sharpen_pixels=(1.2, 1.2))
    frames, _ = photograph(settings, light)
    low, high = color.linear_to_srgb(np.float32([0.2, 0.5]))
    assert float(frames[..., 31].max()) < low - 0.02
    assert float(frames[..., 32].min()) > high + 0.02
    assert float((frames[..., :20] - low).abs().max()) < 1e-3


def test_hot_pixels_stay_in_place_and_glow_with_the_exposure() -> None:
    settings = replace(ALONE, hot_share=1, hot_pixels=(2e-3, 2e-3))
    frames, _ = photograph(settings, grey([0.01, 0.08], 96))
    base = color.linear_to_srgb(np.float32([0.01, 0.08]))
    glow = frames[0].amax(dim=1) - torch.tensor(base).view(2, 1, 1)
    lit = glow > 0.05
    assert 0 < float(lit[1].float().mean()) < 0.1
    assert (lit[1] | ~lit[0]).float().mean() > 0.999
    light = torch.from_numpy(color.srgb_to_linear(frames.numpy()))[0].amax(dim=1)
    added = light - torch.tensor([0.01, 0.08]).view(2, 1, 1)
    assert float(added[0].max()) < 0.4 * float(added[1].max())


def test_faithful_cameras_have_curves_that_can_be_undone() -> None:
    settings = CameraSettings(noise_share=0, jpeg_share=0, glare_share=0, smooth_share=0)
    settings = replace(settings, sharpen_share=0, black_share=0, hot_share=0, flicker_share=0)
    settings = settings.faithful()
    light = torch.rand(16, 1, 3, 16, 16, generator=generator()) * 0.3 + 0.05
    frames, cameras = photograph(settings, light)
    ratio = CameraModel(settings).linearise(frames, cameras) / light
    middle = ratio.flatten(1).median(dim=1).values
    assert (middle.log2().abs() < 0.08).all()


def test_kinds_of_cameras_have_names() -> None:
    assert CameraSettings.of_kind("plain", jpeg_share=0) == CameraSettings.plain(jpeg_share=0)
    assert CameraSettings.of_kind("real") == CameraSettings()
    with pytest.raises(OptionError, match="plian"):
        CameraSettings.of_kind("plian")


@pytest.mark.parametrize(
    "wrong",
    [
        {"responses": ("srbg",)},
        {"noise_share": 2.0},
        {"read_noise": (1, 0)},
        {"responses": ()},
        {"tone_shares": (1, 1, 0)},
        {"vignetting": (0.2, 1.0)},
        {"sensor_share": 1.5},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(OptionError):
        CameraSettings(**wrong)  # type: ignore[arg-type]

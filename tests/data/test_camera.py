"""The simulated camera: each of its faults does what it says, and can be switched off."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from ghostless import color
from ghostless.data.camera import CameraModel, Cameras, CameraSettings
from ghostless.data.jpeg import JpegModel
from ghostless.errors import OptionError
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


@pytest.mark.parametrize(
    "wrong",
    [{"responses": ("srbg",)}, {"noise_share": 2.0}, {"read_noise": (1, 0)}, {"responses": ()}],
)
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(OptionError):
        CameraSettings(**wrong)  # type: ignore[arg-type]

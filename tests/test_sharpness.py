"""Blurred photos among the photos of a bracket."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from ghostless.bracket import Bracket, Frame
from ghostless.exposure.motion import moving_area, small_displays
from ghostless.exposure.reference import choose_reference
from ghostless.exposure.sharpness import relative_sharpness, sharpness_of_moving
from ghostless.pipeline import prepare_files
from ghostless.pixels import color


def photo(
    stops: float, blur_pixels: float = 0.0, noise: float = 1.0, side: int = 512, seed: int = 3
) -> Frame:
    """A picture of texture at every scale, exposed by `stops`."""
    rng = np.random.default_rng(seed)
    light = np.zeros((side, side, 3), np.float32)
    for size in (4, 16, 64, 256):
        layer = rng.normal(0, 1, (size, size, 1)).astype(np.float32)
        light += cv2.resize(layer, (side, side), interpolation=cv2.INTER_LINEAR)[..., None]
    light = np.exp2(0.4 * light - 2.5 + stops)
    if blur_pixels:
        light = np.asarray(cv2.GaussianBlur(light, (0, 0), blur_pixels))
    codes = color.linear_to_srgb(np.clip(light, 0, 1)) * 255
    codes = codes + np.random.default_rng(7).normal(0, noise, codes.shape)
    return Frame(np.clip(np.rint(codes), 0, 255).astype(np.uint8), stops=stops)


@pytest.mark.parametrize("blurred", [0, 1, 2])
def test_the_blurred_photo_is_told_at_any_exposure(blurred: int) -> None:
    frames = [photo(s, 2.0 if i == blurred else 0.0) for i, s in enumerate((-1.5, 0.0, 1.0))]
    sharp = relative_sharpness(frames)
    assert sharp[blurred] < -1
    assert all(abs(value) < 0.5 for i, value in enumerate(sharp) if i != blurred)


def test_exposure_and_depth_alone_change_nothing() -> None:
    frames = [photo(-1.5), photo(0.0), photo(1.0)]
    deep = [replace(frame, pixels=frame.pixels.astype(np.uint16) * 257) for frame in frames]
    linear = [
        replace(frame, pixels=color.srgb_to_linear(frame.unit()), transfer="linear")
        for frame in frames
    ]
    values = relative_sharpness(frames)
    assert all(abs(value) < 0.5 for value in values)
    np.testing.assert_allclose(relative_sharpness(deep), values, atol=1e-3)
    np.testing.assert_allclose(relative_sharpness(linear), values, atol=1e-3)


def test_flat_tiny_and_broken_photos_are_no_worse_than_others() -> None:
    flat = Frame(np.full((40, 50, 3), 90, np.uint8))
    assert relative_sharpness([flat, flat]) == [0.0, 0.0]
    tiny = Frame(np.full((1, 2, 3), 90, np.uint8))
    assert relative_sharpness([tiny, tiny]) == [0.0, 0.0]
    broken = Frame(np.full((90, 90, 3), np.nan, np.float32), transfer="linear")
    assert relative_sharpness([broken, broken]) == [0.0, 0.0]


def test_a_blurred_middle_photo_is_not_the_reference() -> None:
    sharp = Bracket(tuple(photo(s) for s in (-1.5, 0.0, 1.5)))
    assert choose_reference(sharp) == 1
    blurred = Bracket(tuple(photo(s, 2.0 if s == 0 else 0.0) for s in (-1.5, 0.0, 1.5)))
    assert choose_reference(blurred) != 1


def street(blurs: tuple[int, ...]) -> Bracket:
    """Exposures of a wall before which a patterned thing walks, smeared by so many pixels."""
    rng = np.random.default_rng(3)
    wall, thing = (rng.uniform(0.05, 0.2, (480, 640, 1)).astype(np.float32) for _ in range(2))
    wall, thing = (
        np.repeat(cv2.GaussianBlur(x, (0, 0), 0.8)[..., None], 3, 2) for x in (wall, thing)
    )
    wall *= np.linspace(0.4, 1.0, 640, dtype=np.float32)[None, :, None]
    frames = []
    for number, blur in enumerate(blurs):
        light = wall.copy()
        piece = 2 * thing[:160, :160] * np.array([1.5, 0.8, 0.4], np.float32)
        left = 40 + 190 * number
        light[150:310, left : left + 160] = cv2.blur(piece, (blur, 1)) if blur else piece
        codes = color.linear_to_srgb(np.clip(light * 2.0 ** (number - 1.3), 0, 1)) * 255
        frames.append(Frame(np.rint(codes).astype(np.uint8), stops=number - 1.3))
    return Bracket(tuple(frames))


@pytest.mark.parametrize("smeared", [0, 1])
def test_what_is_smeared_by_motion_is_told(smeared: int) -> None:
    told = []
    for blur in (0, 31):
        bracket = street(tuple(blur if i == smeared else 0 for i in range(3)))
        moving = moving_area(small_displays(bracket.frames))
        told.append(sharpness_of_moving(bracket.frames, moving)[smeared])
    assert told[1] < told[0] - 0.4


def test_a_frame_in_which_somebody_is_smeared_by_motion_is_not_kept_to(shared: Path) -> None:
    folder = shared / "dynamic" / "forrest"
    bracket = prepare_files(sorted(folder.glob("*.png")))
    assert choose_reference(bracket) == 2  # in the brightest a man walks by, his legs smeared

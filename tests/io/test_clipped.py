"""Colours that clipped in a space wider than sRGB before they were converted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ghostless.io import icc
from ghostless.io.read import read_bracket, read_frame
from ghostless.pixels import color
from tests import scenes

from .samples import save
from .test_colours import ADOBE_POINTS, chrm, gama, png

STOPS = (-2.0, 0.0, 2.0)
GAMMA = 563 / 256


def colourful(height: int = 160, width: int = 240) -> NDArray[np.float32]:
    """A scene in linear sRGB with soft patches of strong colours, as bright as its photos."""
    light = scenes.make_radiance(height, width, seed=4, range_stops=4) * np.float32(0.5)
    random = np.random.default_rng(6)
    y, x = np.mgrid[:height, :width]
    for _ in range(16):
        place = random.uniform(0, 1, 2) * (height, width)
        patch = np.exp(
            -((y - place[0]) ** 2 + (x - place[1]) ** 2) / (2 * random.uniform(8, 16) ** 2)
        )
        colour = np.where(np.arange(3) == random.integers(3), 0.5, 0.02) * random.uniform(0.7, 1)
        share = np.minimum(1, 1.5 * patch)[..., None]
        light = light * (1 - share) + colour * share
    return light.astype(np.float32)


def adobe_codes(light: NDArray[np.float32], dtype: Any) -> NDArray[Any]:
    """What a camera stores that is set to Adobe RGB."""
    matrix = icc.to_linear_srgb_matrix(icc.adobe_rgb_profile())
    assert matrix is not None
    stored = np.clip(light @ np.linalg.inv(matrix).T, 0, 1) ** (1 / GAMMA)
    return np.asarray(np.rint(stored * np.iinfo(dtype).max), dtype)


def photographed(folder: Path, dtype: Any) -> tuple[list[Path], list[NDArray[np.float32]]]:
    """A bracket taken by hand in Adobe RGB, and what each photo would be in sRGB."""
    scene, paths, truth = colourful(), [], []
    for index, stops in enumerate(STOPS):
        light = np.roll(scene, (3 * index, 7 * index), (0, 1)) * np.float32(2**stops)
        data = png(adobe_codes(light, dtype), gama(1 / GAMMA), chrm(ADOBE_POINTS))
        paths.append(save(folder, f"{index}.png", data))
        truth.append(color.linear_to_srgb(np.clip(light, 0, 1)) * 255)
    return paths, truth


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_darker_photo_tells_what_clipped(dtype: Any, tmp_path: Path) -> None:
    paths, truth = photographed(tmp_path, dtype)
    frames = read_bracket(paths).frames
    alone = [read_frame(path) for path in paths]
    before = np.abs(alone[2].unit() * 255 - truth[2])
    after = np.abs(frames[2].unit() * 255 - truth[2])
    wrong = before.max(axis=2) > 8
    assert wrong.mean() > 0.02
    assert after[wrong].mean() < before[wrong].mean() / 3
    assert after[~wrong].mean() < before[~wrong].mean() + 0.1
    # What did not clip stays as it is.
    whole = truth[2].max(axis=2) < 245
    assert np.array_equal(frames[2].pixels[whole], alone[2].pixels[whole])
    assert np.array_equal(frames[0].pixels, alone[0].pixels)


def test_without_a_darker_photo_nothing_is_guessed(tmp_path: Path) -> None:
    paths, _ = photographed(tmp_path, np.uint8)
    again = save(tmp_path, "again.png", paths[2].read_bytes() + bytes(1))
    for frame in read_bracket([paths[2], again]).frames:
        assert np.array_equal(frame.pixels, read_frame(paths[2]).pixels)


def test_photos_in_srgb_are_left_alone(tmp_path: Path) -> None:
    scene = colourful()
    paths = []
    for index, stops in enumerate(STOPS):
        codes = np.rint(color.linear_to_srgb(np.clip(scene * 2**stops, 0, 1)) * 255)
        paths.append(save(tmp_path, f"{index}.png", png(codes.astype(np.uint8))))
    for frame, path in zip(read_bracket(paths).frames, paths, strict=True):
        assert np.array_equal(frame.pixels, read_frame(path).pixels)


def test_a_black_and_a_white_photo_tell_nothing(tmp_path: Path) -> None:
    paths = []
    for index, level in enumerate((0, 0, 255)):
        codes = np.full((20, 30, 3), level, np.uint8)
        codes[:5, :5] = (0, 255, 0)
        codes[0, 0] = index
        paths.append(
            save(tmp_path, f"{index}.png", png(codes, gama(1 / GAMMA), chrm(ADOBE_POINTS)))
        )
    for frame, path in zip(read_bracket(paths).frames, paths, strict=True):
        assert np.array_equal(frame.pixels, read_frame(path).pixels)

"""What `sen` is for: what is clipped or black in the reference, though things moved."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.scenes import make_radiance, make_stack

from ghostless.bracket import Frame, Stack
from ghostless.methods import fuse_stack
from ghostless.methods.debevec import DebevecSettings
from ghostless.methods.sen import SenSettings, fuse
from ghostless.pixels.patch_match import Search, Source, identity, resized, vote

SETTINGS = SenSettings(iterations=4, response="srgb")
STOPS = (-2.0, 0.0, 2.0)


def scene(height: int = 64, width: int = 90) -> NDArray[np.float32]:
    """Radiance whose left half is dark and whose right half clips at 0 stops."""
    radiance = make_radiance(height, width, seed=4, range_stops=3.0)
    radiance = radiance / np.quantile(radiance, 0.99)
    gain = np.where(np.arange(width) < width // 2, 0.5, 2.5)[None, :, None]
    return (radiance * gain).astype(np.float32)


def decibels(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    def mu(light: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.log1p(5000 * np.clip(light / 4, 0, 1).astype(np.float64)) / np.log1p(5000)

    return float(-10 * np.log10(np.mean(np.square(mu(first) - mu(second)))))


def test_a_still_scene_is_merged_as_by_debevec() -> None:
    stack = make_stack(scene(), STOPS)
    plain = fuse_stack(stack, "debevec", DebevecSettings(response="srgb")).pixels
    fused = fuse(stack, SETTINGS)
    assert fused.space == "linear"
    assert decibels(fused.pixels, plain) > 45


def moved(stack: Stack) -> Stack:
    """The scene with a dark square that the first frame has somewhere else than the others."""
    frames = []
    for number, frame in enumerate(stack.frames):
        pixels = frame.pixels.copy()
        left = 50 if number == 0 else 12
        pixels[20:40, left : left + 20] = (8, 16, 32)[number]
        frames.append(replace(frame, pixels=pixels))
    return replace(stack, frames=tuple(frames))


def test_what_only_another_frame_shows_does_not_come_in() -> None:
    still = make_stack(scene(), STOPS)
    stack = moved(still)
    fused = fuse(stack, SETTINGS).pixels
    own = stack.frames[1].linear()
    # The square of the first frame lies where the reference is bright or clipped.
    ghost = (slice(22, 38), slice(52, 68))
    assert (fused[ghost] > 0.6 * own[ghost]).mean() > 0.98
    plain = fuse_stack(stack, "debevec", DebevecSettings(response="srgb")).pixels
    assert (plain[ghost] > 0.6 * own[ghost]).mean() < 0.9


def test_where_the_reference_tells_all_it_is_kept() -> None:
    stack = moved(make_stack(scene(), STOPS))
    brightest = stack.frames[1].display().max(axis=2)
    told = (brightest > 0.12) & (brightest < 0.88)
    np.testing.assert_allclose(
        fuse(stack, SETTINGS).pixels[told], stack.frames[1].linear()[told], atol=1e-3
    )


def test_a_proxy_gives_nearly_the_same() -> None:
    stack = make_stack(scene(320, 300), STOPS)
    plain = fuse_stack(stack, "debevec", DebevecSettings(response="srgb")).pixels
    proxy = fuse(stack, replace(SETTINGS, megapixels=0.06)).pixels
    assert proxy.shape == (320, 300, 3)
    assert decibels(proxy, plain) > 40


@pytest.mark.parametrize("shift", [(0, 0), (3, -5), (9, 12)])
def test_patches_are_found_where_they_went(shift: tuple[int, int]) -> None:
    random = np.random.default_rng(2)
    source = random.random((60, 70, 3)).astype(np.float32)
    source = cv2.GaussianBlur(source, (5, 5), 1)
    target = np.roll(source, shift, (0, 1))
    places = identity(60, 70)
    usable = np.ones((60, 70), np.bool_)
    inner = np.zeros((60, 70), np.bool_)
    inner[15:45, 18:50] = True
    Search(target, Source(source, usable), places, inner).run(4, np.random.default_rng(0))
    offsets = places - identity(60, 70)
    right = (offsets[0] == -shift[0]) & (offsets[1] == -shift[1])
    assert right[inner].mean() > 0.97
    rows, columns = np.nonzero(cv2.erode(inner.astype(np.uint8), np.ones((7, 7), np.uint8)))
    values, count = vote(Source(source, usable), places, rows, columns)
    assert count.min() > 0
    assert np.abs(values - target[rows, columns]).mean() < 0.02


def test_a_field_can_be_resized() -> None:
    places = identity(20, 30)
    places[1] = np.minimum(places[1] + 2, 29)
    larger = resized(places, (40, 60)) - identity(40, 60)
    assert larger[0].max() == 0
    assert np.median(larger[1]) == 4


def test_hidden_pixels_are_not_taken() -> None:
    stack = make_stack(scene(), STOPS)
    mask = np.full(stack.frames[0].pixels.shape[:2], 255, np.uint8)
    mask[10:50, 50:80] = 0
    results = []
    for value in (0, 255):
        pixels = stack.frames[0].pixels.copy()
        pixels[mask == 0] = value
        frames: tuple[Frame, ...] = (replace(stack.frames[0], pixels=pixels), *stack.frames[1:])
        masked = replace(stack, frames=frames, valid=(mask, None, None))
        results.append(fuse(masked, SETTINGS).pixels)
    np.testing.assert_allclose(results[0], results[1], atol=1e-3)

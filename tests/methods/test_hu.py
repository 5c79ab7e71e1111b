"""What `hu` is for: photos as if taken together, though things moved."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.methods.test_sen import STOPS, decibels, moved, scene
from tests.scenes import make_stack

from ghostless.methods import fuse_stack
from ghostless.methods.debevec import DebevecSettings
from ghostless.methods.hu import HuSettings, as_if_together, fuse

SETTINGS = HuSettings(iterations=4, response="srgb")


def plain(stack: object) -> NDArray[np.float32]:
    return fuse_stack(stack, "debevec", DebevecSettings(response="srgb")).pixels  # type: ignore[arg-type]


def test_a_still_scene_is_merged_as_by_debevec() -> None:
    stack = make_stack(scene(), STOPS)
    assert decibels(fuse(stack, SETTINGS).pixels, plain(stack)) > 45


def test_photos_show_what_the_reference_shows() -> None:
    still = make_stack(scene(), STOPS)
    latent = as_if_together(moved(still), SETTINGS)
    # Where the first frame has the square, the reference is bright or clipped; it has its own.
    ghost, square = (slice(22, 38), slice(52, 68)), (slice(22, 38), slice(14, 30))
    first = latent.frames[0].display()
    assert np.abs(first[ghost] - still.frames[0].display()[ghost]).mean() < 0.06
    assert np.abs(moved(still).frames[0].display()[ghost] - first[ghost]).mean() > 0.15
    assert first[square].mean() < 0.06
    assert latent.frames[1] is moved(still).frames[1] or np.array_equal(
        latent.frames[1].pixels, moved(still).frames[1].pixels
    )
    assert latent.valid == latent.confidence == (None, None, None)


def test_a_frame_of_the_same_exposure_is_the_reference() -> None:
    stack = make_stack(scene(), (-2.0, 0.0, 0.0))
    latent = as_if_together(stack, SETTINGS)
    np.testing.assert_array_equal(latent.frames[2].pixels, stack.frames[1].pixels)


@pytest.mark.parametrize("stops", [(-4.0, -2.0, 0.0), (0.0, 2.0, 4.0)])
def test_farther_photos_are_made_from_nearer_ones(stops: tuple[float, ...]) -> None:
    light = scene() if stops[0] < 0 else scene() * np.float32(0.1)
    stack = make_stack(light, stops)
    stack = replace(stack, reference=2 if stops[0] < 0 else 0)
    latent = as_if_together(stack, SETTINGS)
    farthest = 0 if stops[0] < 0 else 2
    off = latent.frames[farthest].display() - stack.frames[farthest].display()
    assert np.abs(off).mean() < 0.02


def test_a_proxy_gives_nearly_the_same() -> None:
    stack = make_stack(scene(320, 300), STOPS)
    proxy = fuse(stack, replace(SETTINGS, megapixels=0.06)).pixels
    assert decibels(proxy, plain(stack)) > 40

"""Highlights that ghosts hide take on the brightness of their clipped surroundings."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from ghostless.bracket import Frame, Fused, Stack
from ghostless.highlights import extend_highlights
from ghostless.methods import fuse_stack
from tests import scenes

HIDDEN = (slice(40, 56), slice(50, 70))


def window(*, hide: bool = True, dtype: str = "uint8") -> tuple[NDArray[np.float32], Stack]:
    """A dark room with a window two stops over clipping, part of it hidden in the dark frame."""
    light = np.full((96, 128, 3), 0.05, np.float32)
    light[24:72, 32:96] = (4.0, 3.8, 3.6)
    depth = 8 if dtype == "uint8" else 16
    frames = tuple(
        Frame(scenes.expose(light, stops, depth=depth), stops=stops)  # type: ignore[arg-type]
        for stops in (-4.0, 0.0)
    )
    mask = np.full((96, 128), 255, np.uint8)
    mask[HIDDEN] = 0
    confidence = (mask if hide else None, None)
    return light, Stack(frames, 1, confidence=confidence)


def merged(stack: Stack) -> Fused:
    return fuse_stack(stack, "debevec")


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_hidden_part_of_a_window_is_as_bright_as_the_rest(dtype: str) -> None:
    light, stack = window(dtype=dtype)
    before = merged(stack)
    assert before.pixels[48, 60, 1] < 1.2, "all that the merge knows is that it clips"
    after = extend_highlights(before, stack)
    assert after.pixels[HIDDEN][3:-3, 3:-3].max(axis=2) == pytest.approx(4.0, rel=0.12)
    assert (after.pixels >= before.pixels * 0.999).all()
    outside = np.ones((96, 128), bool)
    outside[36:60, 46:74] = False
    assert np.array_equal(after.pixels[outside], before.pixels[outside])
    assert after.pixels[10, 10] == pytest.approx(light[10, 10], rel=0.1)


def test_dark_things_beside_a_hidden_highlight_stay_dark() -> None:
    """The hidden patch reaches over the window's edge into the room."""
    _, stack = window()
    mask = np.full((96, 128), 255, np.uint8)
    mask[40:56, 80:110] = 0
    stack = Stack(stack.frames, 1, confidence=(mask, None))
    before, after = merged(stack), extend_highlights(merged(stack), stack)
    assert np.array_equal(after.pixels[:, 97:], before.pixels[:, 97:])
    assert after.pixels[48, 88, 0] > 2


def test_nothing_hidden_or_nothing_known_changes_nothing() -> None:
    _, stack = window(hide=False)
    radiance = merged(stack)
    assert extend_highlights(radiance, stack) is radiance
    _, stack = window()
    nowhere = np.zeros((96, 128), np.uint8)
    all_hidden = Stack(stack.frames, 1, confidence=(nowhere, None))
    assert extend_highlights(radiance, all_hidden) is radiance
    darkest = Stack(stack.frames, 0)
    assert extend_highlights(radiance, darkest) is radiance

"""Deghosting: frames with moving things are made to agree with the reference."""

from __future__ import annotations

import numpy as np

from ghostless.bracket import Stack
from ghostless.deghost import DeghostSettings, deghost_stack
from tests.scenes import add_disc, make_radiance, make_stack

STOPS = (-3.0, 0.0, 3.0)


def changed_share(before: Stack, after: Stack) -> float:
    """Largest share of pixels of any frame that changed by more than 4 of 255 levels."""
    shares = [0.0]
    for old, new in zip(before.frames, after.frames, strict=True):
        difference = np.abs(old.unit() - new.unit()).max(axis=2)
        shares.append(float(np.mean(difference > 4 / 255)))
    return max(shares)


def test_static_noisy_bracket_stays_nearly_untouched() -> None:
    stack = make_stack(make_radiance(240, 320, seed=1), STOPS, noise=1.0)
    after = deghost_stack(stack)
    assert changed_share(stack, after) < 0.01
    assert after.frames[1] is stack.frames[1]


def test_off_returns_the_stack_itself() -> None:
    scene = make_radiance(60, 80)
    stack = make_stack([add_disc(scene, (20, 20), 9, (2, 2, 2)), scene, scene], STOPS)
    assert deghost_stack(stack, DeghostSettings(mode="off")) is stack

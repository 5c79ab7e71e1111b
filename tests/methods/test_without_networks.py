"""What every method that is no network keeps: stripes do not show, and no picture is too small."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.scenes import make_radiance, make_stack

from ghostless.bracket import Frame, Stack
from ghostless.methods import METHODS, Method, fuse_stack
from ghostless.pixels import stripes

PLAIN = [method for method in METHODS.values() if not method.network]


@pytest.fixture(params=PLAIN, ids=lambda method: method.name)
def method(request: pytest.FixtureRequest) -> Method:
    found: Method = request.param
    return found


def walk_in(pixels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have stripes be as small as their halos let them."""
    monkeypatch.setattr(stripes, "STRIPE_PIXELS", pixels)
    monkeypatch.setitem(stripes.for_each_stripe.__kwdefaults__, "pixels", pixels)


def test_stripes_do_not_show(method: Method, monkeypatch: pytest.MonkeyPatch) -> None:
    if method.deghosts:
        pytest.skip("its own tests look at parts of it")
    count = min(3, method.frames[1])
    stack = make_stack(make_radiance(410, 36, seed=5), np.linspace(-2, 2, count))
    mask = np.full((410, 36), 255, np.uint8)
    mask[150:260, 5:20] = 0
    masked = replace(stack, confidence=(*[None] * (count - 1), mask))
    for some in (stack, masked):
        walk_in(1 << 20, monkeypatch)
        whole = fuse_stack(some, method.name).pixels
        walk_in(36 * 12, monkeypatch)
        off = np.abs(fuse_stack(some, method.name).pixels - whole)
        assert off.mean() < 1e-4
        # Rounding may move a pixel to the next level of a histogram.
        assert off.max() < 4e-3


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (7, 5)])
@pytest.mark.parametrize("wraps", [False, True])
def test_small_and_flat_pictures_are_fused(
    method: Method, size: tuple[int, int], wraps: bool
) -> None:
    random = np.random.default_rng(3)
    pictures: list[Any] = [
        random.integers(0, 256, (*size, 3)),
        random.integers(0, 256, (*size, 1)).repeat(3, axis=2),
        np.zeros((*size, 3)),
        np.full((*size, 3), 255),
    ]
    settings = method.settings_class()
    if method.deghosts:
        settings = replace(settings, iterations=2)
    for picture in pictures:
        frame = Frame(picture.astype(np.uint8))
        frames = tuple(
            replace(frame, stops=float(stops)) for stops in range(min(3, method.frames[1]))
        )
        fused = fuse_stack(Stack(frames, 0, wraps=wraps), method.name, settings).pixels
        assert fused.shape == (*size, 3)
        assert np.isfinite(fused).all()
        assert fused.min() >= 0

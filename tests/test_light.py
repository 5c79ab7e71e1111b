"""Gains on a finished picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghostless.bracket import Fused
from ghostless.errors import OptionError
from ghostless.pipeline import FuseOptions, fuse_files
from ghostless.pixels import color
from ghostless.tone.light import scale_light

from .files import save_bracket

gains = st.tuples(*[st.floats(0.1, 10)] * 3)


def ramp(space: str) -> Fused:
    pixels = np.linspace(0, 1, 300, dtype=np.float32).reshape(10, 10, 3)
    return Fused(pixels, space)  # type: ignore[arg-type]


def test_a_linear_picture_is_multiplied() -> None:
    scaled = scale_light(ramp("linear"), (2.0, 1.0, 0.5))
    np.testing.assert_allclose(scaled.pixels, ramp("linear").pixels * [2, 1, 0.5], rtol=1e-6)


@given(gains)
def test_black_and_white_stay_and_nothing_leaves_the_range(factors: tuple[float, ...]) -> None:
    ends = Fused(np.float32([[[0, 0, 0], [1, 1, 1], [0.5, 0.5, 0.5]]]), "display")
    scaled = scale_light(ends, factors).pixels  # type: ignore[arg-type]
    np.testing.assert_allclose(scaled[0, :2], [[0, 0, 0], [1, 1, 1]], atol=1e-5)
    assert ((scaled >= 0) & (scaled <= 1 + 1e-6)).all()
    assert all(
        (new > 0.5) == (g > 1) or abs(g - 1) < 1e-3
        for new, g in zip(scaled[0, 2], factors, strict=True)
    )


@given(gains, gains)
def test_gains_after_one_another_multiply(a: tuple[float, ...], b: tuple[float, ...]) -> None:
    twice = scale_light(scale_light(ramp("display"), a), b).pixels  # type: ignore[arg-type]
    once = scale_light(ramp("display"), tuple(np.multiply(a, b))).pixels
    np.testing.assert_allclose(twice, once, atol=2e-4)


def test_shadows_are_multiplied() -> None:
    dark = color.linear_to_srgb(np.full((2, 2, 3), 0.001, np.float32))
    scaled = scale_light(Fused(dark, "display"), (4.0, 4.0, 4.0)).pixels
    np.testing.assert_allclose(color.srgb_to_linear(scaled), 0.004, rtol=0.01)


@pytest.mark.parametrize("factors", [(1.0, 1.0), (0.0, 1.0, 1.0), (float("nan"), 1.0, 1.0)])
def test_other_gains_are_refused_before_any_work(
    factors: tuple[float, ...], tmp_path: Path
) -> None:
    files = save_bracket(tmp_path)
    with pytest.raises(OptionError, match="gains"):
        fuse_files(files, tmp_path / "out.png", FuseOptions(gains=factors))  # type: ignore[arg-type]
    assert not (tmp_path / "out.png").exists()


def test_the_line_applies_them(tmp_path: Path) -> None:
    from ghostless import read_image

    files = save_bracket(tmp_path)
    means = []
    for name, factors in (("a.png", None), ("b.png", (0.5, 0.5, 0.5))):
        fuse_files(files, tmp_path / name, FuseOptions(gains=factors))
        means.append(read_image(tmp_path / name).pixels.mean())
    assert means[1] < means[0] - 0.05

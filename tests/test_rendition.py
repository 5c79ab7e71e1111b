"""The HDR rendition: exposed like the SDR picture, bounded, in the colours of the radiance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from ghostless.bracket import Fused
from ghostless.errors import BracketError, SpaceError
from ghostless.pixels import color
from ghostless.tone.rendition import MAX_HEADROOM_STOPS, MIN_HEADROOM_STOPS, hdr_rendition
from tests import scenes

QUICK = settings(max_examples=40, deadline=None)


def rendition(picture: NDArray[np.float32], light: NDArray[np.float32]) -> NDArray[np.float32]:
    return hdr_rendition(Fused(picture, "display"), Fused(light, "linear")).pixels


@pytest.mark.parametrize("scale", [1e-4, 1.0, 300.0])
def test_mid_tones_agree_whatever_the_radiance_is_scaled_by(scale: float) -> None:
    light = scenes.make_radiance(120, 160, seed=3) * np.float32(scale)
    shown = light / np.float32(scale)
    picture = color.linear_to_srgb(1.3 * shown / (1 + shown))
    found = rendition(picture, light)
    sdr = color.luminance(color.srgb_to_linear(picture))
    midtones = (sdr > 0.03) & (sdr < 0.6)
    stops = np.log2(color.luminance(found)[midtones] / sdr[midtones])
    assert abs(float(np.median(stops))) < 1e-3
    assert color.luminance(found).max() > 1.5, "highlights rise over SDR white"


@given(
    picture=arrays(np.float32, (6, 5, 3), elements=st.floats(0, 1, width=32)),
    light=arrays(np.float32, (6, 5, 3), elements=st.floats(0, 1e6, width=32)),
)
@QUICK
def test_it_is_finite_bounded_and_keeps_order_and_hue(
    picture: NDArray[np.float32], light: NDArray[np.float32]
) -> None:
    found = rendition(picture, light)
    assert np.isfinite(found).all()
    assert found.min() >= 0
    assert found.max() <= 2**MAX_HEADROOM_STOPS * 1.001
    brightest, was = found.max(axis=2).ravel(), light.max(axis=2).ravel()
    assert (np.diff(brightest[np.argsort(was)]) >= -1e-5 * max(brightest.max(), 1)).all()
    lit = was > 1e-3
    hue, before = found.reshape(-1, 3)[lit], light.reshape(-1, 3)[lit]
    assert np.abs(hue * was[lit, None] - before * brightest[lit, None]).max(initial=0) <= (
        1e-4 * max(float((was * brightest).max()), 1e-6)
    )


def test_highlights_are_bent_under_the_headroom_without_a_kink() -> None:
    picture = np.full((40, 1000, 3), 0.5, np.float32)
    grey = np.float32(color.srgb_to_linear(np.float32([0.5]))[0])
    light = np.full((40, 1000, 3), grey, np.float32)
    ramp = np.exp2(np.linspace(-2, 9, 1000, dtype=np.float32))
    light[:4] = ramp[None, :, None]  # a tenth of the picture, up to 9 stops over white
    curve = np.log2(rendition(picture, light)[0, :, 0])
    slopes = np.diff(curve) / np.diff(np.log2(ramp))
    assert curve[-1] == pytest.approx(MAX_HEADROOM_STOPS, abs=0.01)
    assert slopes[:400] == pytest.approx(1, abs=1e-3)
    assert np.abs(np.diff(slopes)).max() < 0.02
    assert (slopes > -1e-4).all()


def test_a_few_sparkles_do_not_set_the_headroom() -> None:
    light = np.full((200, 200, 3), 0.2, np.float32)
    light[:20] = 3.0
    light[100, 100] = 1e5
    found = rendition(np.full((200, 200, 3), 0.48, np.float32), light)
    assert np.log2(found.max()) < MIN_HEADROOM_STOPS + 1


def test_black_and_one_pixel() -> None:
    black = np.zeros((3, 4, 3), np.float32)
    assert not rendition(black, black).any()
    assert not rendition(black + np.float32(0.5), black).any()
    one = rendition(np.full((1, 1, 3), 0.5, np.float32), np.full((1, 1, 3), 7.0, np.float32))
    assert one == pytest.approx(0.214, abs=1e-3)


def test_inputs_are_not_written_to() -> None:
    light = scenes.make_radiance(30, 40) * np.float32(9)
    before = light.copy()
    rendition(np.full((30, 40, 3), 0.5, np.float32), light)
    assert np.array_equal(light, before)


def test_what_does_not_belong_together() -> None:
    grey = Fused(np.full((3, 4, 3), 0.5, np.float32), "display")
    light = Fused(grey.pixels, "linear")
    with pytest.raises(SpaceError):
        hdr_rendition(light, light)
    with pytest.raises(SpaceError):
        hdr_rendition(grey, grey)
    with pytest.raises(BracketError, match="found 4 x 3 and 3 x 3"):
        hdr_rendition(grey, Fused(np.ones((3, 3, 3), np.float32), "linear"))

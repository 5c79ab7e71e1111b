"""The same exposure and white balance from set to set."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ghostless import cli
from ghostless.batch.consistent import Look, consistent_gains
from ghostless.io.read import read_image
from ghostless.pixels import color

from .folders import ShootFolder

OUT_FAST = ["--align", "none", "--deghost", "off", "-q"]


def look(**facts: object) -> Look:
    usual: dict[str, object] = {
        "brightness": -1.0, "rendering": 0.0, "cast": (0.0, 0.0), "stops": (-10.0, -6.0),
        "reference": 1, "reference_stops": -8.0,
    }  # fmt: skip
    return Look(**{**usual, **facts})  # type: ignore[arg-type]


def test_pictures_metered_one_by_one_are_made_equally_bright() -> None:
    looks = [look(brightness=b, stops=(s, s + 4)) for b, s in ((-1.5, -10), (-1.0, -9), (-0.7, -8))]
    gains = [gain[1] for gain in consistent_gains(looks)]
    assert gains == pytest.approx([math.exp(0.5), 1.0, math.exp(-0.3)], rel=0.02)


def test_pictures_of_one_manual_exposure_show_one_light_alike() -> None:
    # A tile of the sky may be brighter than one of the ground: only the rendering counts.
    looks = [look(brightness=b, rendering=r) for b, r in ((1.0, 0.2), (-2.0, 0.0), (0.0, 0.0))]
    gains = [gain[1] for gain in consistent_gains(looks)]
    assert gains == pytest.approx([math.exp(-0.2), 1.0, 1.0], rel=0.02)


def test_hdr_files_share_the_cameras_scale() -> None:
    looks = [look(brightness=None, reference_stops=s) for s in (-8.0, -6.0, -8.0)]
    assert [gain[1] for gain in consistent_gains(looks)] == pytest.approx([1.0, 0.25, 1.0])
    untold = [look(brightness=None, reference_stops=None), looks[1]]
    assert [gain[1] for gain in consistent_gains(untold)] == [1.0, 1.0]


def test_casts_meet_in_the_middle_unless_the_white_balance_is_one_already() -> None:
    looks = [look(cast=(0.2, -0.1)), look(), look()]
    red, green, blue = consistent_gains(looks)[0]
    assert (red, green, blue) == pytest.approx((math.exp(-0.2), 1, math.exp(0.1)), rel=0.02)
    assert consistent_gains(looks, white_balance=False)[0] == (1, 1, 1)


@settings(deadline=None)
@given(
    st.lists(
        st.builds(
            look,
            brightness=st.floats(-6, 6),
            cast=st.tuples(st.floats(-2, 2), st.floats(-2, 2)),
            stops=st.none() | st.just((-10.0, -6.0)),
        ),
        max_size=9,
    )
)
def test_gains_are_bounded_and_the_median_stays(looks: list[Look]) -> None:
    gains = consistent_gains(looks)
    assert len(gains) == len(looks)
    assert all(0.17 < value < 6 for gain in gains for value in gain)


def rooms(folder: Path) -> Path:
    """Rooms of very different brightness: what a camera's meter leaves of that."""
    shoot = ShootFolder(folder, height=90, width=120)
    for gain in (0.35, 2.6):
        shoot.bracket(gain=gain)
        shoot.bracket((-1.5, 0.5, 2.5), gain=gain)
    return folder


def brightness_of(out: Path) -> list[float]:
    pictures = [read_image(path).pixels for path in sorted(out.glob("*.png"))]
    light = [np.clip(color.luminance(color.srgb_to_linear(p)), 0.002, 0.998) for p in pictures]
    return [float(np.log(y / (1 - y)).mean()) for y in light]


def test_a_house_becomes_more_even_with_the_option_than_without(tmp_path: Path) -> None:
    shoot = rooms(tmp_path / "shoot")
    words = ["batch", str(shoot), "--format", "png", *OUT_FAST]
    assert cli.run([*words, "-o", str(tmp_path / "plain")]) == 0
    assert cli.run([*words, "-o", str(tmp_path / "even"), "--consistent"]) == 0
    plain, even = brightness_of(tmp_path / "plain"), brightness_of(tmp_path / "even")
    assert len(plain) == len(even) == 4
    assert np.ptp(even) < 0.35 * np.ptp(plain)
    # Once more, nothing has changed.
    stamps = [path.stat().st_mtime_ns for path in sorted((tmp_path / "even").glob("*.png"))]
    assert cli.run([*words, "-o", str(tmp_path / "even"), "--consistent"]) == 0
    assert stamps == [p.stat().st_mtime_ns for p in sorted((tmp_path / "even").glob("*.png"))]


def test_hdr_files_of_one_light_come_out_equal(tmp_path: Path) -> None:
    """Two brackets of one scene, metered differently: the same radiance."""
    shoot = ShootFolder(tmp_path / "shoot", height=90, width=120)
    shoot.bracket((-2.0, 0.0, 2.0))
    shoot.scene = 0
    shoot.bracket((-3.0, -1.0, 1.0))
    words = ["batch", str(shoot.folder), "-o", str(tmp_path / "out"), "--format", "exr"]
    assert cli.run([*words, "--consistent", *OUT_FAST]) == 0
    first, second = (
        color.luminance(read_image(path).pixels)
        for path in sorted((tmp_path / "out").glob("*.exr"))
    )
    ratio = np.median(first / np.maximum(second, 1e-6))
    assert ratio == pytest.approx(1.0, abs=0.06)

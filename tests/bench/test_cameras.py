"""The spread round a monotone mapping: none where photos are curves, some where colours mix."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from ghostless.research.bench.cameras import BANDS, fit_monotone, measure_spread
from tests.files import save_photo
from tests.scenes import expose, make_radiance


def photos(mixed: float) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A dark and a bright photo; `mixed` is how far the bright one's channels are mixed."""
    random = np.random.default_rng(0)
    patches = random.uniform(0.02, 0.24, (12, 16, 3))
    light = cv2.resize(patches, (320, 240), interpolation=cv2.INTER_NEAREST)
    matrix = np.eye(3) * (1 - mixed) + mixed / 3
    frames = [light**0.5, (4 * light @ matrix.T) ** 0.45]
    dark, bright = (np.rint(np.clip(frame, 0, 1) * 255).astype(np.uint8) for frame in frames)
    return dark, bright


def test_a_mapping_rises_and_follows_medians() -> None:
    random = np.random.default_rng(1)
    codes = random.integers(20, 200, (200, 200)).astype(np.uint8)
    values = np.clip(codes * 1.2 + random.normal(0, 3, codes.shape), 0, 255).astype(np.uint8)
    values[:20] = 255 - values[:20]
    mapping = fit_monotone(codes, values, np.ones(codes.shape, bool))
    assert (np.diff(mapping) >= 0).all()
    assert np.abs(mapping[20:200] - np.minimum(np.arange(20, 200) * 1.2, 255)).max() < 4


def test_curves_leave_no_spread_and_mixed_channels_do() -> None:
    curve, mixed = (measure_spread(*photos(share)) for share in (0.0, 0.3))
    assert curve.shape == (4, BANDS + 1, 4)
    assert np.nanmax(curve[:, BANDS]) <= 2
    assert mixed[0, BANDS, 3] > 10
    # Nothing is as dark as that in the bright photo.
    assert np.isnan(curve[1, 0]).all()


def test_the_command_compares_real_and_simulated_pairs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    from ghostless.cli import run

    radiance = make_radiance(160, 200, range_stops=6)
    for number in range(2):
        folder = tmp_path / "pairs" / f"scene{number}"
        folder.mkdir(parents=True)
        for name, stops in (("under", -2 - number), ("over", 1)):
            save_photo(folder / f"{name}.png", expose(radiance, stops), stops=stops)
    cv2.imwrite(str(tmp_path / "meadow.hdr"), make_radiance(300, 600, range_stops=8))
    words = ["bench", "cameras", str(tmp_path / "pairs"), "--hdr", str(tmp_path / "meadow.hdr")]
    assert run([*words, "--count", "3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["pairs"] == {"real photos": 2, "simulated": 3, "plain": 3}
    assert {"codes", "channel", "within simulated", "above plain"} <= set(found["rows"][0])
    assert run([*words, "--count", "3"]) == 0
    assert "2 real photos, 3 simulated, 3 plain" in capsys.readouterr().out


def test_a_folder_without_pairs_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    from ghostless.cli import run

    assert run(["bench", "cameras", str(tmp_path)]) == 2
    assert "expected still brackets" in capsys.readouterr().err

"""The alignment benchmark's own arithmetic, and a short run on real pairs."""

from __future__ import annotations

import importlib.util
import json

import cv2
import numpy as np
import pytest

from ghostless.errors import FileReadError, OptionError
from ghostless.research.bench import alignment
from tests.scenes import expose, make_radiance


def _pair(seed: int = 0, height: int = 360, width: int = 420):
    scene = make_radiance(height, width, seed)
    return expose(scene, -2), expose(scene, 1)


def test_truth_says_where_the_pixels_went():
    random = np.random.default_rng(1)
    image = _pair()[0]
    for radius in alignment.RADII_PIXELS:
        case = alignment.make_patch_pair("same", (image, image), radius, random)
        back = cv2.warpPerspective(
            case.moving.pixels, case.truth, (256, 256), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        )
        inside = cv2.warpPerspective(
            np.ones((256, 256), np.uint8), case.truth, (256, 256), flags=cv2.WARP_INVERSE_MAP
        )
        inside = cv2.erode(inside, np.ones((9, 9), np.uint8)) > 0
        apart = np.abs(back.astype(int) - case.reference.pixels)[inside]
        assert np.median(apart) <= 3
        moved = alignment.corner_error(np.eye(3), case.truth)
        assert 0 < moved < radius * np.sqrt(2)
        assert alignment.corner_error(case.truth, case.truth) == 0


def test_a_picture_smaller_than_patch_and_motion_is_refused():
    small = _pair(height=256, width=256)
    with pytest.raises(ValueError, match="no patch fits"):
        alignment.make_patch_pair("small", small, 32, np.random.default_rng(0))


def _write(folder, pair):
    folder.mkdir()
    for stem, image in zip(("under", "over"), pair, strict=True):
        cv2.imwrite(str(folder / f"{stem}.png"), image[..., ::-1])


def test_a_run_reports_all_methods_side_by_side(tmp_path):
    _write(tmp_path / "one", _pair(1))
    _write(tmp_path / "tiny", _pair(3, 100, 100))
    told: list[float] = []
    result = alignment.run(tmp_path, patches=1, seed=3, progress=told.append)
    assert result.pairs == ("one",)
    assert result.skipped == ("tiny",)
    assert told[-1] == 1
    by = {(s.radius_pixels, s.half, s.method): s for s in result.scores}
    with_torch = importlib.util.find_spec("torch") is not None
    known = alignment.METHODS | (alignment.NETWORK_METHODS if with_torch else {})
    assert set(known) == {m for _, _, m in by}
    ours = [name for name in known if name.startswith("ghostless")]
    for radius in alignment.RADII_PIXELS:
        for name in ours:
            assert by[radius, "all", name].hits == 1
            assert by[radius, "all", name].patches == 1
        assert by[radius, "all", "identity"].hits <= 0.5
        assert by[radius, "all", "identity"].worse == 0
    assert "ghostless" in result.as_text()
    json.dumps(result.as_dict())
    again = alignment.run(tmp_path, patches=1, seed=3, methods=["identity"], pairs=["one"])
    assert again.errors["identity", 8, "one"] == result.errors["identity", 8, "one"]


def test_unknown_names_and_missing_data_are_refused(tmp_path):
    with pytest.raises(FileReadError, match="under"):
        alignment.run(tmp_path / "nowhere")
    _write(tmp_path / "one", _pair(1))
    with pytest.raises(OptionError, match="ghostless"):
        alignment.run(tmp_path, methods=["ghostles"])
    with pytest.raises(OptionError, match="one"):
        alignment.run(tmp_path, pairs=["on"])


@pytest.mark.slow
def test_ours_beats_the_base_lines_on_real_pairs(shared):
    result = alignment.run(shared / "mefb30", patches=2, seed=5)
    by = {(s.radius_pixels, s.method): s for s in result.scores if s.half == "all"}
    for radius, least in ((8, 0.80), (32, 0.75)):
        ours = by[radius, "ghostless"]
        assert ours.hits >= least
        for other in ("identity", "sift+magsac", "opencv ecc"):
            assert ours.hits > by[radius, other].hits
        assert ours.worse <= 0.02

"""ColorVideoVDP: asked for the right thing where it is installed, and missed in one line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ghostless.errors import MissingPackageError
from ghostless.research.metrics import Images, color_video_vdp, score

from .pictures import noisy, photo


@pytest.fixture(autouse=True)
def _forget_metrics() -> Iterator[None]:
    color_video_vdp._metric.cache_clear()
    yield
    color_video_vdp._metric.cache_clear()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Stand-in for the package that notes what it is asked."""
    calls: list[Any] = []

    class Cvvdp:
        def __init__(self, display_name: str, quiet: bool) -> None:
            self.display = display_name

        def predict(self, test: Any, reference: Any, dim_order: str) -> tuple[float, None]:
            calls.append((self.display, test, reference, dim_order))
            return 9.5, None

    monkeypatch.setitem(sys.modules, "pycvvdp", SimpleNamespace(cvvdp=Cvvdp))
    return calls


def test_display_pictures_go_as_bytes_result_first(asked: list[Any]) -> None:
    picture = photo(30, 40)
    result = noisy(picture, 5)
    assert score(Images(result, truth=picture), ["CVVDP"]) == {"CVVDP": 9.5}
    [(display, test, reference, order)] = asked
    assert display == "standard_4k"
    assert test is result
    assert reference is picture
    assert order == "HWC"


def test_radiance_goes_in_candela(asked: list[Any]) -> None:
    light = np.full((30, 40, 3), 2, np.float32)
    light[0, 0, 0] = -1
    score(Images(light, true_radiance=light), ["CVVDP_HDR"])
    [(display, test, _, _)] = asked
    assert "hdr_linear" in display
    assert test.max() == 406
    assert test.min() == 0


def test_without_the_package_it_is_left_out_unless_named(monkeypatch: pytest.MonkeyPatch) -> None:
    # None in this table makes the import fail.
    monkeypatch.setitem(sys.modules, "pycvvdp", None)
    images = Images(photo(30, 40), truth=photo(30, 40))
    assert "CVVDP" not in score(images)
    with pytest.raises(MissingPackageError, match="pip install cvvdp") as caught:
        score(images, ["CVVDP"])
    assert "\n" not in str(caught.value)


def test_the_real_package_gives_ten_to_equal_pictures() -> None:
    pytest.importorskip("pycvvdp", exc_type=ImportError)
    picture = photo(64, 64)
    assert color_video_vdp.color_video_vdp(picture, picture) == pytest.approx(10, abs=1e-3)
    assert color_video_vdp.color_video_vdp(noisy(picture, 30), picture) < 9.5

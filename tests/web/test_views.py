"""Pictures for the screen: reduced in bands, whatever their size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from ghostless.bracket import Frame
from ghostless.web import views
from tests import scenes


@pytest.mark.parametrize("shape", [(701, 1003, 3), (1003, 701, 3), (640, 37, 3), (900, 900)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_bands_meet_without_a_trace(
    shape: tuple[int, ...], dtype: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    trims: list[int] = []
    monkeypatch.setattr(views, "_BAND_BYTES", 20_000)
    monkeypatch.setattr(views, "trim", lambda: trims.append(1))
    scene = np.clip(scenes.make_radiance(*shape[:2], seed=3), 0, 1)
    picture = (scene if len(shape) == 3 else scene[..., 0]) * (255 if dtype == np.uint8 else 1)
    picture = np.ascontiguousarray(picture.astype(dtype))
    side = 90
    reduced = views.reduced(picture, side)
    assert max(reduced.shape) == side
    whole = cv2.resize(picture, reduced.shape[1::-1], interpolation=cv2.INTER_AREA)
    off = np.abs(reduced.astype(float) - whole) * (1 if dtype == np.uint8 else 255)
    assert off.max() <= 1
    assert len(trims) > 3


def test_names_and_sizes_of_previews(tmp_path: Path) -> None:
    frame = Frame(np.full((300, 500, 3), 0.25, np.float32), "linear")
    views.save_frame_previews(frame, tmp_path, {"small": 50, "large": 200, "own": 900})
    for name, size in (("small", (50, 30)), ("large", (200, 120)), ("own", (500, 300))):
        with Image.open(tmp_path / f"{name}.jpg") as image:
            assert image.size == size
            assert abs(np.asarray(image).mean() - 137) < 2  # 0.25 under the curve of sRGB

"""Qc and Qy, as the official program rounds them and in exact arithmetic."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ghostless.research.metrics import Images, score
from ghostless.research.metrics.structure import window_similarities


def test_exact_similarities_stay_in_range_where_rounding_does_not() -> None:
    random = np.random.default_rng(0)
    texture = random.integers(0, 256, (40, 60)).astype(np.uint8)
    # Clipped to the left, each at a level of its own.
    first, second, fused = (texture.copy() for _ in range(3))
    for plane, level in ((first, 255), (second, 251), (fused, 247)):
        plane[:, :30] = level
    noisy = window_similarities(first, second, fused)
    exact = window_similarities(first, second, fused, exact=True)
    assert abs(noisy.yang) > 1 or abs(noisy.cvejic) > 1
    # Half of the windows are flat everywhere and left out; the textured ones are equal.
    assert exact.cvejic == pytest.approx(1, abs=0.01)
    assert exact.yang == pytest.approx(1, abs=0.01)


def test_exact_similarity_of_flat_windows_is_that_of_their_levels() -> None:
    random = np.random.default_rng(0)
    first = random.integers(0, 256, (20, 20)).astype(np.uint8)
    second = np.full((20, 20), 100, np.uint8)
    fused = np.full((20, 20), 50, np.uint8)
    found = window_similarities(first, second, fused, exact=True)
    # Qy: all of the variance is the first one's; unlike sources, so the more similar one counts.
    assert found.yang == pytest.approx(2 * 100 * 50 / (100**2 + 50**2))
    assert found.cvejic == 1  # nothing that shares covariance is left


def test_exact_similarities_equal_the_official_ones_without_flat_windows() -> None:
    random = np.random.default_rng(0)
    planes = [random.integers(0, 256, (40, 60)).astype(np.uint8) for _ in range(3)]
    assert window_similarities(*planes, exact=True) == window_similarities(*planes)


@pytest.mark.parametrize(
    ("method", "pair", "noisy"),
    [("GD", "House", True), ("DSIFT", "House", True), ("DEM", "Memorial", False)],
)
def test_exact_forms_come_near_the_published_table(
    shared: Path, method: str, pair: str, noisy: bool
) -> None:
    def photo(path: Path) -> np.ndarray:
        return np.asarray(Image.open(path).convert("RGB"))

    sources = [next((shared / "mefb30" / pair).glob(f"{name}.*")) for name in ("under", "over")]
    images = Images(
        photo(shared / "reference" / f"{method}_{pair}.png"), tuple(map(photo, sources))
    )
    column = {"DSIFT": "DSIFT_EF"}.get(method, method)
    with (shared / "mefb30" / "published.csv").open() as file:
        rows = list(csv.DictReader(file))
    (row,) = (r for r in rows if (r["pair"], r["method"]) == (pair, column))
    exact = score(images, ["Qc_exact", "Qy_exact", "Qy"])
    # Pairs of TIFF or PNG photos, so no JPEG lies between.
    assert exact["Qy_exact"] == pytest.approx(float(row["Qy"]), rel=0.004)
    assert exact["Qc_exact"] == pytest.approx(float(row["Qc"]), rel=0.045)
    assert (exact["Qy"] > 2) == noisy

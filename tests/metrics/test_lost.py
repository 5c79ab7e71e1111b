"""What a result loses that a source shows."""

from __future__ import annotations

import numpy as np
import pytest

from ghostless.research.metrics import METRICS, Images

FLAT = np.full((10, 10, 3), 100, np.uint8)


def quarter(base: int, level: int) -> np.ndarray:
    """A flat picture of a level, a quarter of it of another."""
    picture = np.full((10, 10, 3), base, np.uint8)
    picture[:5, :5] = level
    return picture


@pytest.mark.parametrize(
    ("name", "lost", "shown", "not_shown"),
    [("Crushed", (3, 0), (20, 100), 19), ("Blown", (252, 255), (235, 100), 236)],
)
def test_what_a_source_shows_and_the_result_does_not_is_counted(
    name: str, lost: tuple[int, int], shown: tuple[int, int], not_shown: int
) -> None:
    metric = METRICS[name]
    for level in lost:
        result = quarter(100, level)
        for source in shown:
            some = Images(result, sources=(quarter(100, source), quarter(100, level)))
            assert metric.compute(some) == 25
        # No source shows anything there: nothing is lost.
        assert metric.compute(Images(result, sources=(quarter(100, not_shown),))) == 0
    assert metric.compute(Images(FLAT, sources=(FLAT,))) == 0

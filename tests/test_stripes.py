from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghostless.pixels.stripes import for_each_stripe, part, stripes


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 5000))
def test_stripes_cover_every_row_once_and_start_even(height: int, width: int, pixels: int) -> None:
    spans = list(stripes(height, width, pixels))
    assert [row for start, stop in spans for row in range(start, stop)] == list(range(height))
    assert all(start % 2 == 0 for start, _ in spans)


def test_for_each_stripe_visits_all_rows_and_reports_progress_from_the_caller() -> None:
    seen = np.zeros(101, int)
    told: list[tuple[float, int]] = []

    def work(start: int, stop: int) -> None:
        seen[start:stop] += 1

    for_each_stripe(
        101, 10, work, pixels=100, progress=lambda f: told.append((f, threading.get_ident()))
    )
    assert (seen == 1).all()
    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert {thread for _, thread in told} == {threading.get_ident()}


def test_an_error_in_a_stripe_reaches_the_caller() -> None:
    def work(start: int, stop: int) -> None:
        if start >= 50:
            raise ValueError("stripe 50")

    with pytest.raises(ValueError, match="stripe 50"):
        for_each_stripe(100, 10, work, pixels=100)


def test_part_maps_into_its_share() -> None:
    told: list[float] = []
    inner = part(told.append, 0.5, 0.75)
    assert inner is not None
    inner(0)
    inner(1)
    assert told == [0.5, 0.75]
    assert part(None, 0, 1) is None

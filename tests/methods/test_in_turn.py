"""Orders of fusing more frames than a method takes at once."""

from __future__ import annotations

import pytest

from ghostless.errors import OptionError
from ghostless.methods.in_turn import fuse_in_turn


class Recorder:
    """Images are (name, brightness); a fusion's name tells its sources, darker first."""

    def __init__(self):
        self.fractions = []

    def fuse(self, darker, brighter):
        assert darker[1] <= brighter[1]
        return f"({darker[0]}{brighter[0]})", (darker[1] + brighter[1]) / 2

    def run(self, count, order):
        images = [(str(i), float(i * i)) for i in range(1, count + 1)]
        return fuse_in_turn(images, self.fuse, lambda image: image[1], order, self.fractions.append)


@pytest.mark.parametrize(
    ("order", "count", "expected"),
    [
        ("mirrored", 2, "(12)"),
        ("mirrored", 3, "(2(13))"),
        ("mirrored", 4, "((23)(14))"),
        ("mirrored", 5, "((24)(3(15)))"),
        ("neighbours", 3, "((12)3)"),
        ("neighbours", 4, "((12)(34))"),
        ("neighbours", 5, "(((12)(34))5)"),
        ("sequential", 4, "(((12)3)4)"),
        ("extremes", 5, "(15)"),
    ],
)
def test_orders(order, count, expected):
    recorder = Recorder()
    name, _ = recorder.run(count, order)
    assert name == expected
    assert recorder.fractions[-1] == 1
    assert len(recorder.fractions) == (1 if order == "extremes" else count - 1)


@pytest.mark.parametrize("order", ["mirrored", "neighbours", "sequential"])
@pytest.mark.parametrize("count", [2, 3, 6, 7, 20])
def test_every_frame_takes_part_once(order, count):
    images = [(frozenset([i]), float(i)) for i in range(count)]

    def fuse(darker, brighter):
        assert not darker[0] & brighter[0]
        return darker[0] | brighter[0], (darker[1] + brighter[1]) / 2

    fused, _ = fuse_in_turn(images, fuse, lambda image: image[1], order)
    assert fused == frozenset(range(count))


def test_mirrored_pairs_pass_few_times_through_the_network():
    def fuse(darker, brighter):
        return max(darker[0], brighter[0]) + 1, (darker[1] + brighter[1]) / 2

    def depth(order):
        return fuse_in_turn([(0, float(i)) for i in range(9)], fuse, lambda i: i[1], order)[0]

    assert depth("mirrored") == 4
    assert depth("sequential") == 8


def test_bad_orders_and_counts():
    with pytest.raises(OptionError, match="order: expected one of mirrored"):
        fuse_in_turn([1, 2], max, float, "random")
    with pytest.raises(ValueError, match="two images"):
        fuse_in_turn([1], max, float)

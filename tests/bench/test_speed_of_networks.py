"""Speed of networks: the figures derived, the table, and one small run of the real thing."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from ghostless.methods import METHODS  # noqa: E402
from ghostless.research.bench import networks, speed, speed_results  # noqa: E402

FULL = networks.NetworkCost(
    name="mef-gan",
    quality="full",
    megapixels=0.5,
    frames=2,
    seconds=(5.0, 9.0, 6.0),
    peak_bytes=int(1.5e9),
    device="cpu",
    device_peak_bytes=0,
    precision="float32",
    random_weights=True,
    gflop=1000.0,
    matrix_gflops={"float32": 200.0, "bfloat16": 400.0},
)
FAST = replace(FULL, quality="fast", megapixels=24.0, seconds=(12.0,), gflop=0.0)


def result(*costs: networks.NetworkCost) -> speed_results.SpeedResult:
    return speed_results.SpeedResult(24, 3, (), (), 2, 2, {"numpy": "2"}, costs)


def test_share_is_arithmetic_per_second_over_the_matrix_rate() -> None:
    assert FULL.seconds_per_megapixel == 12.0
    assert FULL.share_of_matrix_rate == pytest.approx(1000 / 12 / 200)
    in_16_bits = replace(FULL, precision="bfloat16")
    assert in_16_bits.share_of_matrix_rate == pytest.approx(1000 / 12 / 400)
    assert FAST.share_of_matrix_rate is None
    assert FAST.seconds_per_megapixel == 0.5


def test_table_stands_beside_the_papers_and_says_what_is_random() -> None:
    text = result(FULL, FAST).as_text()
    assert "42%" in text
    assert "200 GFLOP/s float32" in text
    assert "1.007 s for an image of the SICE set on a GeForce RTX 3060" in text
    assert "random weights: mef-gan" in text
    assert "random" not in result(replace(FULL, random_weights=False)).as_text()
    told = json.loads(json.dumps(result(FULL, FAST).as_dict()))["networks"]
    assert told[0]["paper"]["seconds"] == 1.007
    assert told[1]["share_of_matrix_rate"] is None


def test_missed_targets_of_fast_at_24_megapixels() -> None:
    assert result(FULL, FAST).missed_targets == ()
    slow = replace(FAST, seconds=(16.0,), peak_bytes=int(3.1e9))
    assert len(result(slow).missed_targets) == 2
    assert "mef-gan fast took 16.0 s, target 15" in result(slow).as_text()
    assert result(replace(slow, megapixels=12.0)).missed_targets == ()
    assert result(replace(slow, device="cuda")).missed_targets == ()


def test_every_network_of_the_table_has_its_papers_word_and_its_kind() -> None:
    names = {method.name for method in METHODS.values() if method.needs_extra}
    own = {name for name in names if METHODS[name].group == "use" and METHODS[name].paper}
    told = {name for name in METHODS if networks.paper_runtime(name) is not None}
    assert own <= told <= names
    for name in names:
        assert METHODS[name].kind.name == METHODS[name].weights
        assert networks.frames_of(name) in (2, 3)


def test_arithmetic_is_counted_as_by_hand() -> None:
    layer = torch.nn.Conv2d(6, 40, 3, padding=1)
    flop = networks._count_flop(lambda: layer(torch.zeros(1, 6, 16, 16)))
    assert flop == 2 * 6 * 40 * 9 * 16 * 16


@pytest.mark.slow
def test_a_small_run_measures_both_qualities() -> None:
    told: list[float] = []
    small = speed.run(
        0.02, 2, ["lcndr"], peers=(), whole_command=False, repeats=1, progress=told.append
    )
    full, fast = small.networks
    assert (full.quality, fast.quality) == ("full", "fast")
    assert full.frames == 2
    # 518 by hand for one megapixel, tiles and padding of a tiny image on top.
    assert 450 < full.gflop < 900
    assert 0.001 < (full.share_of_matrix_rate or 0) < 1.5
    assert full.matrix_gflops["float32"] > 1
    assert 1e8 < full.peak_bytes < 2e9
    assert told == [0.5, 1.0]

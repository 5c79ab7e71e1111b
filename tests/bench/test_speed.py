from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from ghostless.errors import GhostlessError, MissingPackageError, OptionError
from ghostless.research.bench import speed, speed_process, speed_results


def cost(name: str, kind: str, seconds: tuple[float, ...], gigabytes: float) -> speed_results.Cost:
    return speed_results.Cost(name, "1", kind, seconds, int(gigabytes * 1e9))  # type: ignore[arg-type]


def result(*costs: speed_results.Cost, megapixels: float = 24) -> speed_results.SpeedResult:
    peers = tuple(c.name for c in costs if c.name in speed_results.PEERS)
    return speed_results.SpeedResult(megapixels, 3, costs, peers, 2, 2, {"numpy": "2"})


FAST = (
    cost("mertens", "in memory", (1.0, 9.0, 1.2), 1.0),
    cost("opencv-mertens", "in memory", (4.0, 4.0, 5.0), 2.5),
    cost(speed_results.COMMAND, "whole command", (12.0,), 1.5),
)


def test_figures_are_medians_and_ratios_of_like_with_like() -> None:
    fast = result(*FAST)
    assert fast.cost("mertens").median_seconds == 1.2
    assert fast.ratios == {("mertens", "opencv-mertens"): pytest.approx(0.3)}
    assert fast.missed_targets == ()


def test_missed_targets_are_told_in_words_for_their_size_only() -> None:
    slow = (
        replace(FAST[0], seconds=(3.0,), peak_bytes=int(1.3e9)),
        FAST[1],
        replace(FAST[2], seconds=(21.0,), peak_bytes=int(2.6e9)),
    )
    assert len(result(*slow).missed_targets) == 4
    assert "0.75 of the time of opencv-mertens" in result(*slow).as_text()
    assert result(*slow, megapixels=6).missed_targets == ()


def test_text_and_json_hold_the_figures() -> None:
    fast = result(*FAST)
    text = fast.as_text()
    assert "mertens: 0.30 of the time of opencv-mertens" in text
    assert "1.20 (1.00 to 9.00)" in text
    plain = json.loads(json.dumps(fast.as_dict()))
    assert plain["ratios"] == {"mertens / opencv-mertens": pytest.approx(0.3)}
    assert plain["costs"][0]["seconds"] == [1.0, 9.0, 1.2]


def test_the_bracket_is_like_photos(tmp_path: Path) -> None:
    files = speed_process.make_bracket(tmp_path, 0.1, 3)
    frames = [cv2.imread(str(file), cv2.IMREAD_COLOR) for file in files]
    assert {frame.shape for frame in frames} == {(258, 387, 3)}
    means = [float(frame.mean()) for frame in frames]
    assert means == sorted(means)
    assert 10 < means[0] < 90
    assert 130 < means[2] < 250
    again = speed_process.make_bracket(tmp_path, 0.1, 3)
    np.testing.assert_array_equal(cv2.imread(str(again[1]), cv2.IMREAD_COLOR), frames[1])
    detail = cv2.Laplacian(cv2.cvtColor(frames[1], cv2.COLOR_BGR2GRAY), cv2.CV_32F)
    assert detail.std() > 5


def test_a_small_run_measures_each_in_its_own_process() -> None:
    told: list[float] = []
    small = speed.run(0.05, 2, whole_command=False, repeats=1, progress=told.append)
    assert [c.name for c in small.costs] == ["mertens", "opencv-mertens"]
    assert all(c.seconds[0] > 0 for c in small.costs)
    assert all(2e7 < c.peak_bytes < 6e8 for c in small.costs)
    assert told == [0.5, 1.0]


def test_a_method_gets_as_many_photos_as_it_takes() -> None:
    small = speed.run(0.05, 3, ["fler"], (), whole_command=False, repeats=1)
    assert small.cost("fler").core_seconds[0] > 0


def test_a_method_without_its_weights_is_refused_in_a_line() -> None:
    with pytest.raises(OptionError, match="expected the weights of 'meflut'"):
        speed.run(0.05, methods=["meflut"])


def test_wrong_words_and_failing_programs_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OptionError, match="did you mean 'mertens'"):
        speed.run(methods=["mertns"])
    with pytest.raises(OptionError, match="unknown peer"):
        speed.run(peers=["photomatix"])
    with pytest.raises(OptionError, match="megapixels"):
        speed.run(megapixels=0)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(MissingPackageError, match="install the package enfuse"):
        speed.run(0.05, peers=["enfuse"])
    with pytest.raises(GhostlessError, match="expected exit status 0, found 1"):
        speed._run_python("nonsense")


def test_a_peak_is_seen_even_if_the_process_hides_it() -> None:
    """Memory that was given back, with the account reset, as `ghostless fuse` does."""
    hide = (
        "import time; a = bytearray(200_000_000); time.sleep(0.2); del a\n"
        "try: open('/proc/self/clear_refs', 'w').write('5')\n"
        "except OSError: pass\n"
    )
    _, seconds, peak = speed._run([sys.executable, "-c", hide])
    assert seconds > 0.2
    assert peak > 2e8


@pytest.mark.slow
def test_exposure_fusion_meets_its_targets_at_full_size() -> None:
    full = speed.run(24, 3, whole_command=False, repeats=3)
    assert full.missed_targets == (), full.as_text()

"""LuckyHDR's protocol: brackets in three settings, a table each, and printed figures beside."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ghostless import cli
from ghostless.errors import OptionError
from ghostless.research.bench import lucky
from ghostless.research.bench.printed import printed_html, printed_lines
from ghostless.research.bench.results import Row, make_table
from ghostless.research.bench.suites import SUITES

PLAIN = lucky.PRINTED.baseline


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an HDR picture, and photos of it that are small."""
    pytest.importorskip("torch")
    import cv2

    from tests.scenes import make_radiance

    monkeypatch.setattr(lucky, "_SIZE", (96, 128))
    folder = tmp_path / "hdr"
    folder.mkdir()
    cv2.imwrite(str(folder / "meadow.hdr"), make_radiance(300, 600, range_stops=8))
    return folder


def test_settings_are_those_of_the_protocol() -> None:
    pytest.importorskip("torch")
    two, three, affine = map(lucky.settings_of, lucky.GROUPS)
    assert (two.gap_stops, three.gap_stops, affine.gap_stops) == ((2, 2), (3, 3), (2, 2))
    assert replace(two, gap_stops=(3, 3)) == three
    assert two.objects[0] > 0
    assert affine.objects == (0, 0)
    # The corners of 768 x 512 pixels: the shift, and stretch and shear along both sides.
    corner = affine.shake_pixels + affine.shake_affine_pixels * (1 + 512 / 768)
    assert 19 < corner <= 20
    assert affine.shake_degrees == affine.shake_perspective_pixels == 0


def test_every_setting_has_a_table_and_the_printed_figures_stand_below(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = ["bench", "run", "lucky", str(pictures), "-o", str(out), "--count", "1", "--jobs", "1"]
    methods = ["--methods", f"debevec:align=shift,{PLAIN}", "--metrics", "PSNR_mu", "--no-pictures"]
    assert cli.run([*words, *methods, "-q", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert not found["failures"]
    assert list(found["tables"]) == [f"lossless, {group}" for group in lucky.GROUPS]
    for group in lucky.GROUPS:
        assert found["tables"][f"lossless, {group}"]["scenes"] == [f"{group}-0000"]
    report = (out / "report.md").read_text()
    assert "| LuckyHDR, printed | 33.6 (+6.3) | 36.5 (+8.1) | 33.0 (+5.0) |" in report
    assert "The scenes differ" in report
    assert "LuckyHDR, printed" in (out / "report.html").read_text()
    # Every score stands once, in the table of its scene.
    lines = (out / "scores.csv").read_text().splitlines()[1:]
    assert len(lines) == len(lucky.GROUPS) * 2
    for line in lines:
        assert sum(group in line for group in lucky.GROUPS) == 1
        assert line.count(next(group for group in lucky.GROUPS if group in line)) == 2
    # Its photos are there: another folder's pictures are not mixed with them.
    photos = sorted((out / "brackets" / "affine" / "0000").glob("*.png"))
    assert len(photos) == 3
    before = photos[0].stat().st_mtime_ns
    lucky.make_brackets(pictures, out / "brackets", 1)
    assert photos[0].stat().st_mtime_ns == before
    with pytest.raises(OptionError, match="folder of its own"):
        lucky.make_brackets(tmp_path, out / "brackets", 1)


def results(scores: dict[str, dict[str, float]]) -> Any:
    """A run with a score of each method in each group."""
    tables = []
    for group in lucky.GROUPS:
        rows = [
            Row(label, "", "method", {f"{group}-0": {"PSNR_mu": values[group]}}, {}, 0)
            for label, values in scores.items()
        ]
        table = make_table("lossless", ["PSNR_mu"], rows, [f"{group}-0"], 0)
        tables.append(replace(table, group=group))
    about = {"suite": "lucky", "headline": "PSNR_mu"}
    return SimpleNamespace(about=about, tables=tuple(tables))


def test_margins_are_over_the_plain_merge_and_of_the_printed_over_the_weakest() -> None:
    first, second, third = lucky.GROUPS
    found = results(
        {
            PLAIN: {first: 20.0, second: 22.0, third: 24.0},
            "mine": {first: 25.0, second: 21.5, third: 30.0},
        }
    )
    lines = printed_lines(found)
    assert "| mine | 25.0 (+5.0) | 21.5 (-0.5) | 30.0 (+6.0) |" in lines
    assert f"| {PLAIN} | 20.0 (+0.0) | 22.0 (+0.0) | 24.0 (+0.0) |" in lines
    assert lines.index("| mine | 25.0 (+5.0) | 21.5 (-0.5) | 30.0 (+6.0) |") < lines.index(
        "| HDR+, printed | 27.3 (+0.0) | 28.4 (+0.0) | 28.0 (+0.0) |"
    )
    assert "<td>25.0 (+5.0)</td>" in printed_html(found)
    # Without the plain merge there is nothing to be above.
    alone = printed_lines(results({"mine": {first: 25.0, second: 21.5, third: 30.0}}))
    assert "| mine | 25.0 | 21.5 | 30.0 |" in alone
    found.about["suite"] = "mefb"
    assert printed_lines(found) == []
    assert printed_html(found) == ""


def test_only_this_suite_makes_its_scenes() -> None:
    assert [name for name, suite in SUITES.items() if suite.make is not None] == ["lucky"]
    assert set(lucky.PRINTED.groups) == set(lucky.GROUPS) == set(SUITES["lucky"].groups)

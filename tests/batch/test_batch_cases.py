"""Folders of which people complained, through the command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ghostless import cli

FAST = ["--align", "none", "--deghost", "off"]


@pytest.fixture
def cases(shared: Path) -> Path:
    folder = shared / "cases"
    if not folder.is_dir():
        pytest.skip("needs the cases in ../shared/data")
    return folder


def run(folder: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> dict:  # type: ignore[type-arg]
    capsys.readouterr()
    assert cli.run(["batch", str(folder), "-o", str(out), "--json", *FAST]) == 0
    facts: dict = json.loads(capsys.readouterr().out)  # type: ignore[type-arg]
    return facts


def sets(prefix: str, *groups: range, digits: int = 4, suffix: str = ".jpg") -> list[list[str]]:
    return [[f"{prefix}{number:0{digits}}{suffix}" for number in group] for group in groups]


EXPECTED = {
    "batch_flash_frames": (sets("R6_", *(range(n, n + 3) for n in range(1, 20, 4))), {"single": 5}),
    "batch_sevens_with_equal_pair": (
        sets("", range(1, 8), range(8, 15), range(15, 22), digits=2), {}
    ),
    "batch_pairs_four_stops": (sets("P", *(range(n, n + 2) for n in range(1, 10, 2))), {}),
    "batch_pixel_raw_and_jpeg": (
        [[f"PXL_20240505_10000{n}123.RAW-02.ORIGINAL.dng" for n in range(3)]], {"pair": 3}
    ),
    "raw_and_jpeg": (sets("IMG_", range(1, 4), digits=1, suffix=".dng"), {"pair": 3}),
    "own_result": (sets("IMG_", range(1, 4), digits=1), {"left_out": 2}),
    "wrong_third_photo": (sets("IMG_", range(1, 3), digits=1), {"single": 1}),
}  # fmt: skip


@pytest.mark.parametrize("name", EXPECTED)
def test_brackets_are_those_that_were_taken(
    name: str, cases: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    brackets, others = EXPECTED[name]
    facts = run(cases / name, tmp_path / "out", capsys)
    assert [bracket["files"] for bracket in facts["brackets"]] == brackets
    counts = facts["counts"]
    assert {k: counts[f"files_{k}"] for k in ("single", "pair", "left_out")} == {
        "single": 0, "pair": 0, "left_out": 0, **others
    }  # fmt: skip


def test_one_bad_file_costs_no_other(
    cases: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = run(cases / "batch_one_bad_heic", tmp_path / "out", capsys)
    assert facts["counts"]["done"] == 2
    status = {file["file"]: file["status"] for file in facts["files"]}
    assert status.pop("bad.heic") in ("single", "damaged")
    assert set(status.values()) == {"used"}


def test_a_photo_of_another_place_is_listed(
    cases: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = run(cases / "wrong_third_photo", tmp_path / "out", capsys)
    assert any("IMG_3.jpg" in note for note in facts["brackets"][0]["notes"])
    reason = next(file["reason"] for file in facts["files"] if file["file"] == "IMG_3.jpg")
    assert "shows something else" in reason


def test_fuse_leaves_the_flash_out(
    cases: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["fuse", str(cases / "flash_frame"), "-o", str(tmp_path / "out.jpg"), "--json", *FAST]
    assert cli.run(words) == 0
    facts = json.loads(capsys.readouterr().out)
    assert len(facts["frames"]) == 3
    assert facts["notes"][0] == "R6_4.jpg: lit by a flash, as the others are not: left out"

"""How much memory there is to work with."""

from __future__ import annotations

from pathlib import Path

import pytest

from ghostless import memory


def test_something_sensible_is_available() -> None:
    assert 50e6 < memory.available_bytes() < 1e15


@pytest.mark.parametrize(("limit", "left"), [("max", None), ("1000", 700), ("200", 0)])
def test_a_containers_limit_counts_less_what_can_be_let_go(
    limit: str, left: int | None, tmp_path: Path
) -> None:
    (tmp_path / "memory.max").write_text(limit + "\n")
    (tmp_path / "memory.current").write_text("400\n")
    (tmp_path / "memory.stat").write_text("anon 290\nactive_file 60\ninactive_file 40\n")
    assert memory._left_in_control_group(tmp_path) == left


def test_without_a_control_group_there_is_no_limit(tmp_path: Path) -> None:
    assert memory._left_in_control_group(tmp_path) is None


def test_the_smaller_of_both_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_linux_available", lambda: 5_000)
    monkeypatch.setattr(memory, "_left_in_control_group", lambda: 3_000)
    assert memory.available_bytes() == 3_000
    monkeypatch.setattr(memory, "_left_in_control_group", lambda: None)
    assert memory.available_bytes() == 5_000

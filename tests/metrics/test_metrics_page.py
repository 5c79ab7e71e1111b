"""The page on metrics names all of them, and no others in its tables."""

from __future__ import annotations

import re
from pathlib import Path

from ghostless.research.metrics.table import METRICS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"


def test_every_metric_stands_in_a_table_with_its_direction() -> None:
    told = {}
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) >= 4 and cells[1] in ("higher", "lower"):
            told.update(dict.fromkeys(re.split(r",\s*", cells[0]), cells[1]))
    assert told == {
        name: "higher" if metric.higher_is_better else "lower" for name, metric in METRICS.items()
    }

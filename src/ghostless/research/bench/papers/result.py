"""A paper's table worked out: our values beside the printed ones, and what differs."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ...metrics.table import METRICS
from ..results import bootstrap
from .printed import PrintedTable

NOT_HERE = "not here"
# Characters of a reason that fit into a cell.
_CELL = 24


@dataclass(frozen=True)
class Value:
    """A mean over scenes with its 95 % bootstrap interval; low and high are None for one value."""

    mean: float
    low: float | None = None
    high: float | None = None
    count: int = 1

    @classmethod
    def of(cls, values: Sequence[float], seed: int = 0) -> Value | None:
        """Of the values of several scenes; None without any that is finite."""
        finite = [value for value in values if np.isfinite(value)]
        if not finite:
            return None
        if len(finite) == 1:
            return cls(finite[0])
        low, high = bootstrap(np.array([finite]), seed)
        return cls(float(np.mean(finite)), float(low[0]), float(high[0]), len(finite))

    def text(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.mean:.4g}"
        return f"{self.mean:.4g} ({self.low:.3g} to {self.high:.3g})"


@dataclass(frozen=True)
class FoundRow:
    """One row: our values by metric, the printed ones, and why there is none of ours."""

    name: str
    values: Mapping[str, Value] = field(default_factory=dict)
    printed: Mapping[str, float] = field(default_factory=dict)
    missing: str = ""


@dataclass(frozen=True)
class FoundTable:
    """A table worked out, or why it could not be."""

    table: PrintedTable
    rows: tuple[FoundRow, ...] = ()
    differs: tuple[str, ...] = ()
    missing: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for a JSON file."""
        return {
            "id": self.table.id,
            "title": self.table.title,
            "source": self.table.source,
            "metrics": list(self.table.metrics),
            "rows": [
                {
                    "name": row.name,
                    "values": {name: asdict(value) for name, value in row.values.items()},
                    "printed": dict(row.printed),
                    "missing": row.missing,
                }
                for row in self.rows
            ],
            "differs": [*self.table.differs, *self.differs],
            "missing": self.missing,
        }

    def as_text(self) -> str:
        """The table in Markdown, with what differs beneath."""
        lines = [f"## {self.table.source}: {self.table.title}", ""]
        if self.missing:
            return "\n".join([*lines, f"Not worked out: {self.missing}.", ""])
        header = [""]
        for metric in self.table.metrics:
            header.append(f"{metric}{_arrow(metric)}")
            if any(metric in row.printed for row in self.rows):
                header.append("printed")
        lines += [_line(header), "|" + "---|" * len(header)]
        lines += [_line(self._cells(row)) for row in self.rows]
        notes = [*self.table.differs, *self.differs, *self._not_run()]
        if notes:
            lines += ["", "What differs:", "", *(f"- {note}" for note in notes)]
        return "\n".join([*lines, ""])

    def _cells(self, row: FoundRow) -> list[str]:
        cells = [row.name]
        for metric in self.table.metrics:
            value = row.values.get(metric)
            cells.append(value.text() if value is not None else _brief(row.missing))
            if any(metric in other.printed for other in self.rows):
                cells.append(f"{row.printed[metric]:g}" if metric in row.printed else "-")
        return cells

    def _not_run(self) -> list[str]:
        """Why rows are empty, each once."""
        return [
            f"{row.name} not run: {row.missing}." for row in self.rows if len(row.missing) > _CELL
        ]

    def csv_rows(self) -> list[list[Any]]:
        """Table, row, metric, mean, low, high, printed."""
        rows: list[list[Any]] = []
        for row in self.rows:
            for metric in self.table.metrics:
                value = row.values.get(metric)
                ours = ("", "", "") if value is None else (value.mean, value.low, value.high)
                printed = row.printed.get(metric, "")
                rows.append([self.table.id, row.name, metric, *ours, printed])
        return rows


@dataclass(frozen=True)
class PaperResult:
    """All tables of a paper that were asked for."""

    paper: str
    citation: str
    tables: tuple[FoundTable, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for a JSON file."""
        return {
            "paper": self.paper,
            "citation": self.citation,
            "tables": [table.as_dict() for table in self.tables],
        }

    def as_text(self) -> str:
        """The page in Markdown."""
        head = [
            f"# Experiments of {self.paper}",
            "",
            f"{self.citation}. Ours beside what is printed; 95 % bootstrap intervals of means over "
            "scenes in brackets.",
            "",
        ]
        return "\n".join([*head, *(table.as_text() for table in self.tables)])

    def as_csv(self) -> str:
        """One line for each table, row and metric."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["table", "row", "metric", "mean", "low", "high", "printed"])
        for table in self.tables:
            writer.writerows(table.csv_rows())
        return out.getvalue()


def _arrow(metric: str) -> str:
    if metric not in METRICS:
        return ""
    return " ↑" if METRICS[metric].higher_is_better else " ↓"


def _brief(missing: str) -> str:
    """What stands in a cell without a value: a long reason stands beneath the table."""
    return (missing if len(missing) <= _CELL else "not run") or "-"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"

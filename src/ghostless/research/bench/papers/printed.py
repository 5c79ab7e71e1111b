"""What the papers printed, read from tables/NAME.toml: rows, values, and how each is worked out."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from ....errors import unknown_name

FOLDER = Path(__file__).parent / "tables"

Kind = Literal[
    "comparison",
    "scenes",
    "runtime",
    "ablation",
    "inputs",
    "pairs",
    "unaligned",
    "corners",
    "bitmaps",
    "attention",
    "with_and_without",
    "losses",
    "sides",
]
Data = Literal["sice", "kalantari", "mefb", "handheld", "train", "run"]


@dataclass(frozen=True)
class PrintedRow:
    """A row of a table: what the paper calls it, what it is here, and its printed values.

    method: a method of the table ("own" for the paper's), a variant, an aligner or "label". Of the
        kind "scenes" a row is a scene, and `printed` is by the paper's name of a method.
    """

    name: str
    method: str = ""
    printed: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class PrintedTable:
    """A table of a paper, or a figure that is numbers.

    id: to ask for it by. source: its number in the paper. data: which folder it is worked out from.
    metrics: its columns; of the kind "scenes" the paper's names of the `methods`, whose `score` is
    taken. frames: of a scene, "all" photos or the darkest and brightest "two".
    peak: of PSNR, where it is not 255. scenes: names of those that count; () for all. dark: of the
    kind "pairs", how many of the photos are dark, each with every bright one; 0 for any two.
    differs: what differs here, always.
    """

    id: str
    title: str
    source: str
    kind: Kind
    data: Data
    metrics: tuple[str, ...]
    rows: tuple[PrintedRow, ...] = ()
    frames: str = "two"
    peak: float = 255.0
    scenes: tuple[str, ...] = ()
    methods: Mapping[str, str] = field(default_factory=dict)
    score: str = ""
    dark: int = 0
    differs: tuple[str, ...] = ()


def papers() -> tuple[str, ...]:
    """The methods whose papers' tables are at hand."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def tables_of(paper: str) -> tuple[PrintedTable, ...]:
    """All tables of a paper, in its order; raises OptionError, with the near names, for another."""
    if paper not in papers():
        raise unknown_name("paper", paper, papers())
    content = tomllib.loads((FOLDER / f"{paper}.toml").read_text(encoding="utf-8"))
    return tuple(_table(entry) for entry in content["table"])


def _table(entry: Mapping[str, Any]) -> PrintedTable:
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in entry.items()
    }
    values["rows"] = tuple(PrintedRow(**row) for row in entry.get("rows", ()))
    table = PrintedTable(**values)
    assert table.kind in get_args(Kind)
    assert table.data in get_args(Data)
    return table

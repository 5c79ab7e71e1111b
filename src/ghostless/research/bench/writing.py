"""Where results of long runs go: a folder, and a text, a table and JSON of each result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, Protocol

from ...errors import OutputError
from ...io.write import WriteSettings, write_text

OVERWRITE: Final = WriteSettings(overwrite=True)


class Result(Protocol):
    """What a run found, to read and to go on with."""

    def as_text(self) -> str: ...

    def as_csv(self) -> str: ...

    def as_dict(self) -> dict[str, Any]: ...


def make_results_folder(out: Path) -> None:
    """Make a folder for results where there is none; raise OutputError where that fails."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{out}: expected a folder to write results to, found none and could not make it "
            f"({error.strerror}); name another"
        ) from None


def write_result(result: Result, stem: Path) -> None:
    """Write STEM.md, STEM.csv and STEM.json."""
    for suffix, text in (
        (".md", result.as_text()),
        (".csv", result.as_csv()),
        (".json", json.dumps(result.as_dict(), indent=1) + "\n"),
    ):
        write_text(text, stem.with_name(stem.name + suffix), OVERWRITE)


def number_in_words(value: float) -> str:
    """A score as tables show it.

    >>> number_in_words(0.97481), number_in_words(25.1234), number_in_words(1234567.0)
    ('0.9748', '25.123', '1.235e+06')
    """
    return f"{value:.4g}" if abs(value) < 1 or abs(value) >= 1e5 else f"{value:.5g}"

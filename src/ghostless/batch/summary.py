"""The account of every file in the folder at the end of a batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..io.photo_files import natural_key
from .photos import Status
from .plan import Plan
from .run import Done, State

# Of each kind of remark the text shows so many; the JSON has all.
_SHOWN: Final = 20
_IN_WORDS: Final[dict[Status, tuple[str, str]]] = {
    "used": ("used", "used"),
    "single": ("single shot", "single shots"),
    "pair": ("second file of a RAW+JPEG pair", "second files of RAW+JPEG pairs"),
    "left out": ("left out", "left out"),
    "failed": ("in brackets that failed", "in brackets that failed"),
    "damaged": ("damaged", "damaged"),
    "not a photo": ("not a photo", "not photos"),
}


@dataclass(frozen=True)
class FileAccount:
    """What became of one file: the picture that it is used in, or the reason why in none."""

    file: str
    status: Status
    output: str | None = None
    reason: str = ""


@dataclass(frozen=True)
class Summary:
    """What a batch did. `as_dict` gives plain JSON types, `as_text` a screenful."""

    folder: str
    out: str
    brackets: tuple[Done, ...]
    files: tuple[FileAccount, ...]
    seconds: float
    notes: tuple[str, ...] = ()

    @property
    def failed(self) -> int:
        """Number of brackets that failed."""
        return sum(done.state == "failed" for done in self.brackets)

    def as_dict(self) -> dict[str, Any]:
        """Return the summary in plain JSON types."""
        states = Counter(done.state for done in self.brackets)
        statuses = Counter(file.status for file in self.files)
        return {
            "folder": self.folder,
            "out": self.out,
            "seconds": self.seconds,
            "counts": {
                "brackets": len(self.brackets),
                **{state: states[state] for state in ("done", "kept", "failed")},
                "files": len(self.files),
                **{f"files_{s.replace(' ', '_')}": statuses[s] for s in _IN_WORDS},
            },
            "notes": list(self.notes),
            "brackets": [_bracket_facts(done) for done in self.brackets],
            "files": [vars(file).copy() for file in self.files],
        }

    def as_text(self) -> str:
        """Return what failed and why, what is unusual, and the count of everything."""
        failures = [
            f"failed: {done.planned.output}: {done.outcome.error}"
            for done in self.brackets
            if done.state == "failed"
        ]
        notes = [
            f"note: {done.planned.output}: {note}"
            for done in self.brackets
            for note in _notes(done)
            if done.state != "failed"
        ]
        unused = [
            f"{file.status}: {file.file}" + (f" ({file.reason})" if file.reason else "")
            for file in self.files
            if file.status in ("single", "left out", "damaged", "not a photo")
        ]
        of_all = [f"note: {note}" for note in self.notes]
        lines = [*failures, *of_all, *_shortened(notes), *_shortened(unused)]
        return "\n".join([*lines, self._brackets_in_words(), self._files_in_words()])

    def _brackets_in_words(self) -> str:
        states = Counter(done.state for done in self.brackets)
        words: dict[State, str] = {"done": "fused", "kept": "there from before", "failed": "failed"}
        parts = [f"{states[state]} {word}" for state, word in words.items() if states[state]]
        count = _count(len(self.brackets), "bracket", "brackets")
        return f"{count}: {', '.join(parts) or 'nothing to do'}, in {self.seconds:.0f} s"

    def _files_in_words(self) -> str:
        statuses = Counter(file.status for file in self.files)
        parts = [
            f"{statuses[status]} {one if statuses[status] == 1 else many}"
            for status, (one, many) in _IN_WORDS.items()
            if statuses[status]
        ]
        return f"{_count(len(self.files), 'file', 'files')}: {', '.join(parts)}"


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _shortened(lines: Sequence[str]) -> list[str]:
    if len(lines) <= _SHOWN:
        return list(lines)
    return [*lines[:_SHOWN], f"... and {len(lines) - _SHOWN} more; --report FILE has all"]


def _notes(done: Done) -> list[str]:
    return [note for note in (done.planned.note, *done.outcome.notes) if note]


def _bracket_facts(done: Done) -> dict[str, Any]:
    return {
        "number": done.planned.number,
        "output": done.planned.output,
        "state": done.state,
        "files": list(done.planned.files),
        "method": done.outcome.method or None,
        "seconds": done.outcome.seconds,
        "peak_bytes": done.outcome.peak_bytes,
        "notes": _notes(done),
        "error": done.outcome.error or None,
    }


def account(plan: Plan, brackets: Sequence[Done]) -> tuple[FileAccount, ...]:
    """Say of every file of a plan what became of it, in the natural order of names."""
    accounts = []
    for done in brackets:
        failed = done.state == "failed"
        for name in done.planned.files:
            accounts.append(
                FileAccount(
                    name,
                    "failed" if failed else "used",
                    None if failed else done.planned.output,
                    done.outcome.error if failed else "",
                )
            )
    accounts += [
        FileAccount(name, status, None, reason) for name, (status, reason) in plan.rest.items()
    ]
    return tuple(sorted(accounts, key=lambda item: natural_key(item.file)))

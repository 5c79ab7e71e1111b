"""From results to words on the screen: summaries, tables, JSON and progress bars."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import OptionError
from .remaining import Remaining

if TYPE_CHECKING:
    from rich.progress import Progress

    from ..bracket import Bracket, Frame
    from ..methods import Method

_SECONDS_BEFORE_BARS = 1.0


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2))


class Told(Protocol):
    """What a command has to tell, in words and in plain values."""

    def as_dict(self) -> dict[str, Any]: ...

    def as_text(self) -> str: ...


def tell(
    report: Told, quiet: bool, as_json: bool, words: Callable[[Any], str] | None = None
) -> None:
    """Print what was done; words: how, if not as the report itself tells it."""
    if as_json:
        print_json(report.as_dict())
    elif not quiet:
        print(report.as_text() if words is None else words(report))


def check_verbose(verbose: bool, quiet: bool, as_json: bool) -> None:
    """Raise OptionError where more words are asked for and none will be printed."""
    if verbose and (quiet or as_json):
        other = "--quiet" if quiet else "--json, which tells everything"
        raise OptionError(
            f"--verbose: expected words to be printed, found {other}; leave one of both out"
        )


def _frame_facts(frame: Frame, is_reference: bool) -> dict[str, Any]:
    metadata = frame.metadata
    return {
        "file": str(frame.path),
        "width": frame.width,
        "height": frame.height,
        "type": str(frame.pixels.dtype),
        "transfer": frame.transfer,
        "stops": frame.stops,
        "stops_source": frame.stops_source,
        "shutter_seconds": metadata.shutter_seconds,
        "aperture_f_number": metadata.aperture_f_number,
        "iso": metadata.iso,
        "taken_at": metadata.taken_at,
        "camera": metadata.camera,
        "lens": metadata.lens,
        "reference": is_reference,
    }


def bracket_facts(bracket: Bracket, reference: int) -> dict[str, Any]:
    return {
        "frames": [
            _frame_facts(frame, index == reference) for index, frame in enumerate(bracket.frames)
        ],
        "reference": reference,
        "notes": list(bracket.notes),
    }


def print_bracket(bracket: Bracket, reference: int) -> None:
    rows = [("file", "size", "type", "stops", "from", "shutter", "aperture", "ISO", "")]
    for index, frame in enumerate(bracket.frames):
        metadata = frame.metadata
        aperture = metadata.aperture_f_number
        rows.append(
            (
                frame.name,
                f"{frame.width} x {frame.height}",
                f"{frame.pixels.dtype} {frame.transfer}",
                "?" if frame.stops is None else f"{frame.stops:+.2f}",
                frame.stops_source or "",
                _shutter_in_words(metadata.shutter_seconds),
                "" if aperture is None else f"f/{aperture:g}",
                "" if metadata.iso is None else f"{metadata.iso:g}",
                "reference" if index == reference else "",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())
    for note in bracket.notes:
        print(f"note: {note}")


def _shutter_in_words(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"1/{1 / seconds:.0f} s" if 0 < seconds < 0.3 else f"{seconds:g} s"


def in_words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        told = (f"{n} {v:.4g}" if isinstance(v, float) else f"{n} {v:,}" for n, v in value.items())
        return ", ".join(told) or "none"
    if isinstance(value, tuple):
        numbers = all(isinstance(item, int) for item in value)
        return (" to " if numbers else ", ").join(str(item) for item in value) or "none"
    return "none" if value is None else str(value)


class Bars:
    """A progress bar on standard error once a run has lasted a second; none off a terminal.

    shares: what the run's stages take of its time (`remaining`); without, each is by itself.
    """

    def __init__(self, quiet: bool, shares: Mapping[str, float] | None = None) -> None:
        self._wanted = not quiet and sys.stderr.isatty()
        self._lock = threading.Lock()
        self._timer = threading.Timer(_SECONDS_BEFORE_BARS, self._show)
        self._timer.daemon = True
        self._progress: Progress | None = None
        self._stage = ""
        self._remaining = Remaining(shares)
        self._closed = False

    def __enter__(self) -> Bars:
        if self._wanted:
            self._timer.start()
        return self

    def __call__(self, stage: str, fraction: float) -> None:
        with self._lock:
            self._stage = stage
            self._remaining.at(stage, fraction)
            self._draw()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        with self._lock:
            self._closed = True
            if self._progress is not None:
                self._progress.stop()

    def _show(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn
        from rich.text import Text

        remaining = self._remaining

        class Left(ProgressColumn):
            def render(self, task: object) -> Text:
                return Text(remaining.in_words())

        with self._lock:
            if self._closed:
                return
            self._progress = Progress(
                TextColumn("{task.description:<9}"),
                BarColumn(),
                TimeElapsedColumn(),
                Left(),
                console=Console(stderr=True),
                transient=True,
            )
            self._progress.add_task("", total=None)
            self._progress.start()
            self._draw()

    def _draw(self) -> None:
        if self._progress is not None:
            # What tells nothing on its way shows a moving bar instead of a stuck one; a full one
            # would stop the clock beside it.
            share = min(self._remaining.share, 0.999)
            total = 1.0 if share > 0 else None
            task = self._progress.task_ids[0]
            self._progress.update(
                task,
                description=self._stage,
                completed=share,
                total=total,
            )


def print_methods(methods: Sequence[Method]) -> None:
    """Print methods by what they are for, a line each, and why one cannot run here."""
    width = max(len(method.name) for method in methods)
    for group, heading in (("use", "For photographs:"), ("compare", "To compare with:")):
        print(heading)
        for method in methods:
            if method.group == group:
                print(f"  {method.name:<{width}}  {method.summary}")
                why = method.why_not_here()
                if why is not None:
                    print(f"  {'':<{width}}  not here: {why}")
        print()
    print(f"auto: {_auto_in_words()}.")
    print("'ghostless methods NAME' tells all about one; --json, all about all.")


def _auto_in_words() -> str:
    """What "auto" takes, by file and number of photos."""
    from ..methods.table import AUTO

    said = []
    for space, takes in AUTO.items():
        words = [f"{name} of {count} photos" for count, name in takes.items() if count is not None]
        words.append(f"{takes[None]}{' of any other number' if words else ''}")
        said.append(f"for {'pictures' if space == 'display' else 'HDR files'} {', '.join(words)}")
    return "; ".join(said)


def print_facts(method: Method) -> None:
    """Print all that is known of a method."""
    print(f"{method.name}: {method.summary}")
    for fact, value in method.facts().items():
        if fact not in ("name", "summary"):
            print(f"    {fact.replace('_', ' '):<17} {in_words(value)}")

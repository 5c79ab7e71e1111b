"""What was done to a bracket, stage by stage: gathered along the line, printed, saved as JSON."""

from __future__ import annotations

import html
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .bracket import Fused, Stack
from .work.memory import forget_peak, peak_resident_bytes
from .work.spill import trim

Progress = Callable[[str, float], None]
# Called with a moment of the line and what there is then.
Observer = Callable[[str, Stack | Fused], None]


@dataclass(frozen=True)
class StageCost:
    """Wall-clock seconds and peak resident memory of one stage.

    peak_bytes: highest resident memory of the process while the stage ran, where the system can
        tell (Linux); elsewhere the highest since the process began; 0 where nothing can be told.
    """

    name: str
    seconds: float
    peak_bytes: int


@dataclass(frozen=True)
class FrameReport:
    """What was found out about one frame and done to it.

    deghosted_share: of its pixels; None where no ghosts were looked for.
    """

    file: str
    stops: float | None
    stops_source: str | None
    reference: bool
    model: str
    matrix: list[list[float]]
    matches: int
    inliers: int
    residual_pixels: float | None
    improvement: float
    valid_share: float
    deghosted_share: float | None
    notes: list[str]


@dataclass(frozen=True)
class Report:
    """What one run did. `as_dict` gives plain JSON types, `as_text` a short summary.

    Notebooks show it as a table.
    """

    output: str
    method: str | None
    space: str
    width: int
    height: int
    frames: tuple[FrameReport, ...]
    stages: tuple[StageCost, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """Wall-clock seconds of all stages together."""
        return sum(stage.seconds for stage in self.stages)

    @property
    def peak_bytes(self) -> int:
        """Highest resident memory over all stages, bytes."""
        return max((stage.peak_bytes for stage in self.stages), default=0)

    def as_dict(self) -> dict[str, Any]:
        """Return the report in plain JSON types (no NaN)."""
        return {
            "output": self.output,
            "method": self.method,
            "space": self.space,
            "width": self.width,
            "height": self.height,
            "frames": [vars(frame).copy() for frame in self.frames],
            "stages": [vars(stage).copy() for stage in self.stages],
            "seconds": self.seconds,
            "peak_bytes": self.peak_bytes,
            "settings": self.settings,
            "versions": self.versions,
            "notes": list(self.notes),
        }

    def as_text(self) -> str:
        """Return a summary of a few lines: a line per frame, the notes, the cost, the output."""
        width = max(len(frame.file) for frame in self.frames)
        lines = [_frame_line(frame, width) for frame in self.frames]
        lines += [f"note: {note}" for note in self.notes]
        lines += [f"note: {frame.file}: {note}" for frame in self.frames for note in frame.notes]
        lines += [_cost_line(stage.name, stage.seconds, stage.peak_bytes) for stage in self.stages]
        lines.append(_cost_line("in all", self.seconds, self.peak_bytes))
        by = f" by {self.method}" if self.method else ""
        lines.append(f"{self.output}: {self.width} x {self.height}, {self.space}{by}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """What notebooks show: a row for each photo, the notes, what it cost."""
        rows = "".join(_frame_row(frame) for frame in self.frames)
        told = [*self.notes, *(f"{f.file}: {note}" for f in self.frames for note in f.notes)]
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in told)
        head = "".join(f"<th>{name}</th>" for name in ("photo", "stops", "laid by", "deghosted"))
        by = f" by {self.method}" if self.method else ""
        made = f"{self.output}: {self.width} x {self.height}, {self.space}{by}"
        cost = _cost_line("in all", self.seconds, self.peak_bytes)
        return (
            f"<p>{html.escape(made)}</p><table><tr>{head}</tr>{rows}</table>"
            f"{f'<ul>{notes}</ul>' if notes else ''}<p>{html.escape(' '.join(cost.split()))}</p>"
        )


def _frame_row(frame: FrameReport) -> str:
    share = frame.deghosted_share
    cells = (
        frame.file,
        "?" if frame.stops is None else f"{frame.stops:+.2f} ({frame.stops_source or 'unknown'})",
        "reference" if frame.reference else frame.model,
        "" if share is None or frame.reference else f"{100 * share:.1f} %",
    )
    return f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in cells)}</tr>"


def _cost_line(name: str, seconds: float, peak_bytes: int) -> str:
    memory = f"  {peak_bytes / 1e9:5.2f} GB peak" if peak_bytes else ""
    return f"{name:<9} {seconds:6.1f} s{memory}"


def _frame_line(frame: FrameReport, width: int) -> str:
    stops = "   ?" if frame.stops is None else f"{frame.stops:+6.2f}"
    text = f"{frame.file:<{width}}  {stops} stops ({frame.stops_source or 'unknown'})"
    if frame.reference:
        return f"{text}  reference"
    text += f"  {frame.model}"
    if frame.matches:
        text += f", {frame.inliers} of {frame.matches} matches"
    if frame.residual_pixels is not None:
        text += f", residual {frame.residual_pixels:.2f} px"
    if frame.deghosted_share is None:
        return text
    return f"{text}, {100 * frame.deghosted_share:.1f} % deghosted"


def describe_frames(stack: Stack, deghosted: bool = True) -> tuple[FrameReport, ...]:
    """Describe every frame of a stack: exposure, registration, share of pixels deghosted.

    deghosted: whether ghosts were looked for at all.
    """
    reports = []
    for index, frame in enumerate(stack.frames):
        registration = stack.registrations[index] if stack.registrations else None
        identity = np.eye(3)
        residual = registration.residual_pixels if registration else math.nan
        reports.append(
            FrameReport(
                file=frame.name,
                stops=frame.stops,
                stops_source=frame.stops_source,
                reference=index == stack.reference,
                model=registration.model if registration else "none",
                matrix=(registration.matrix if registration else identity).tolist(),
                matches=registration.matches if registration else 0,
                inliers=registration.inliers if registration else 0,
                residual_pixels=residual if math.isfinite(residual) else None,
                improvement=float(registration.improvement) if registration else 0.0,
                valid_share=1 - _share_below_half(stack.valid[index]),
                deghosted_share=_share_below_half(stack.confidence[index]) if deghosted else None,
                notes=list(registration.notes) if registration else [],
            )
        )
    return tuple(reports)


def _share_below_half(mask: np.ndarray | None) -> float:
    return 0.0 if mask is None else float(np.count_nonzero(mask < 128) / mask.size)


def with_strangers(notes: tuple[str, ...], strange: list[str]) -> tuple[str, ...]:
    """Notes, with one for each photo of something else that deghosting has not told of."""
    told = [name for name in strange if any(note.startswith(f"{name} shows") for note in notes)]
    return (
        *notes,
        *(
            f"{name} shows something else than the other photos, so it adds nothing; leave it out"
            for name in strange
            if name not in told
        ),
    )


def plain(value: Any) -> Any:
    """Turn settings into plain JSON types."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value if isinstance(value, bool | int | float | str | None) else str(value)


class Journal:
    """Times the stages of one run, passes their progress on, and keeps what is told of the run.

    frames: what became of each. notes: for the user, each of them once.
    """

    def __init__(self, progress: Progress | None = None) -> None:
        self._progress = progress
        self.stages: list[StageCost] = []
        self.frames: tuple[FrameReport, ...] = ()
        self.notes: list[str] = []

    def note(self, *notes: str) -> None:
        """Keep notes, as far as they are new."""
        self.notes = list(dict.fromkeys((*self.notes, *notes)))

    @contextmanager
    def stage(self, name: str) -> Iterator[Callable[[float], None]]:
        """Run one stage; yields the function that takes its progress, a fraction 0..1."""

        def tell(fraction: float) -> None:
            if self._progress is not None:
                self._progress(name, min(max(fraction, 0.0), 1.0))

        trim()
        forget_peak()
        start = time.perf_counter()
        tell(0.0)
        yield tell
        tell(1.0)
        self.stages.append(StageCost(name, time.perf_counter() - start, peak_resident_bytes()))

"""Deghosting measured where it has nothing to do: brackets, as shot, in which nothing moves.

Each bracket is fused by the whole line with deghosting, and once more, from the same aligned
frames, without. What was replaced there is a mistake, and the difference between the two pictures
is what it costs. A few of the brackets are not quite still, as photographs outdoors never are
(leaves, water, people far away), so a perfect deghoster would not leave all of them alone either.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ... import __version__
from ...errors import GhostlessError
from ...pipeline import FuseOptions
from ..data.scenes import Scene
from .pool import map_in_processes
from .with_and_without import (
    DEFAULT_DATA,
    check_results,
    decibels,
    find_scenes,
    picture_of,
    run_line,
    save_panels,
    save_results,
)

# Two pictures so near are the same to the eye; and so near that only a comparison tells them apart.
SAME_DECIBELS, NEAR_DECIBELS = 40.0, 30.0
FILE = "still.json"


@dataclass(frozen=True)
class StillScore:
    """What deghosting did to one bracket.

    reference: index of the reference, dark to bright. replaced: share of each frame that was
    replaced, dark to bright. decibels: PSNR of the picture with deghosting against that without.
    error: why the line refused the bracket; the rest is empty then.
    """

    suite: str
    scene: str
    reference: int = 0
    replaced: tuple[float, ...] = ()
    decibels: float = 0.0
    notes: tuple[str, ...] = ()
    error: str = ""

    @property
    def _others(self) -> tuple[float, ...]:
        return self.replaced[: self.reference] + self.replaced[self.reference + 1 :]

    @property
    def mean_replaced(self) -> float:
        """Mean share replaced over the frames beside the reference."""
        return float(np.mean(self._others)) if self._others else 0.0

    @property
    def most_replaced(self) -> float:
        """Largest share replaced of any frame."""
        return max(self._others, default=0.0)


@dataclass(frozen=True)
class StillResult:
    """Scores of every bracket, in the order of the folders and names."""

    scores: tuple[StillScore, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    version: str = __version__

    def _rows(self) -> dict[str, list[StillScore]]:
        suites = dict.fromkeys(score.suite for score in self.scores)
        rows = {suite: [s for s in self.scores if s.suite == suite] for suite in suites}
        return rows if len(rows) == 1 else {**rows, "all": list(self.scores)}

    def summary(self) -> dict[str, dict[str, float]]:
        """Return, for each suite and for all, what its brackets come to."""
        table = {}
        for suite, scores in self._rows().items():
            done = [score for score in scores if not score.error]
            table[suite] = {
                "brackets": len(done),
                "same": sum(score.decibels >= SAME_DECIBELS for score in done),
                "near": sum(score.decibels >= NEAR_DECIBELS for score in done),
                "untouched": sum(score.most_replaced == 0 for score in done),
                "mean_replaced": _mean([score.mean_replaced for score in done]),
                "most_replaced": max((score.most_replaced for score in done), default=0.0),
                "mean_decibels": _mean([score.decibels for score in done]),
                "worst_decibels": min((score.decibels for score in done), default=0.0),
            }
        return table

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for a JSON file."""
        return {
            "version": self.version,
            "settings": self.settings,
            "same_decibels": SAME_DECIBELS,
            "near_decibels": NEAR_DECIBELS,
            "summary": self.summary(),
            "brackets": [
                {
                    **asdict(score),
                    "mean_replaced": score.mean_replaced,
                    "most_replaced": score.most_replaced,
                }
                for score in self.scores
            ],
        }

    def as_text(self) -> str:
        """Return a table for the screen."""
        lines = [
            f"{'bracket':<24} {'reference':>9} {'replaced, mean':>14} {'most':>6} "
            f"{'PSNR to without':>15}"
        ]
        for score in self.scores:
            name = f"{score.suite}/{score.scene}"
            if score.error:
                lines.append(f"{name:<24} failed: {score.error}")
                continue
            lines.append(
                f"{name:<24} {score.reference + 1:>4} of {len(score.replaced):>2} "
                f"{score.mean_replaced:>14.1%} {score.most_replaced:>6.1%} "
                f"{score.decibels:>12.1f} dB"
            )
        for suite, facts in self.summary().items():
            lines.append(
                f"{suite}: {facts['same']} of {facts['brackets']} within {SAME_DECIBELS:g} dB, "
                f"{facts['near']} within {NEAR_DECIBELS:g} dB, {facts['untouched']} untouched; "
                f"replaced {facts['mean_replaced']:.1%} in the mean, "
                f"{facts['most_replaced']:.1%} at most; worst {facts['worst_decibels']:.1f} dB"
            )
        return "\n".join(lines)


def run(
    data: Sequence[Path] = DEFAULT_DATA,
    options: FuseOptions | None = None,
    *,
    scenes: tuple[str, ...] | None = None,
    workers: int = 1,
    out: Path | None = None,
    progress: Callable[[float], None] | None = None,
) -> StillResult:
    """Run the line on every bracket of the folders, with deghosting and without.

    data: folders of still brackets. options: those of the line. scenes: names of those to run; None
        for all.
    out: folder for still.json, and for each bracket a picture SUITE_SCENE.jpg: fused without
        deghosting, with it, and where frames were replaced (white: in all of them).
    A bracket that the line refuses is named in the result. Raises FileReadError, BracketError or
    OptionError as `find_scenes` does.
    """
    options = options or FuseOptions(method="mertens")
    found = find_scenes(data, scenes)
    if out is not None:
        check_results(out / FILE)
    jobs = [(suite, scene) for suite, inside in found.items() for scene in inside]
    scores = map_in_processes(
        partial(score_bracket, options=options, out=out), jobs, workers, progress
    )
    result = StillResult(
        tuple(scores),
        {
            "method": options.method,
            "deghost": asdict(options.deghost),
            "align": options.align.model,
        },
    )
    if out is not None:
        save_results(result.as_dict(), out / FILE)
    return result


def score_bracket(
    job: tuple[str, Scene], options: FuseOptions, out: Path | None = None
) -> StillScore:
    """Run one bracket of a suite; the line's refusal becomes the score's error."""
    suite, scene = job
    try:
        line = run_line(scene.files, options)
        without = picture_of(line.aligned, options)
    except GhostlessError as error:
        return StillScore(suite, scene.name, error=" ".join(str(error).split()))
    replaced = line.replaced
    if out is not None:
        others = [mask for i, mask in enumerate(replaced) if i != line.deghosted.reference]
        share = sum(others, np.zeros(others[0].shape, np.float32)) / np.float32(len(others))
        panels = (without, line.picture, np.repeat(share[..., None], 3, axis=2))
        save_panels(panels, out / f"{suite}_{scene.name}.jpg")
    return StillScore(
        suite,
        scene.name,
        line.deghosted.reference,
        tuple(float(mask.mean()) for mask in replaced),
        decibels(line.picture, without),
        line.notes,
    )


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else 0.0

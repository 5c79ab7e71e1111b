"""Deghosting measured where the answer is known: pieces of photographs laid into photographs.

A piece with a soft edge is cut out of all the exposures of a still bracket and laid into the same
bracket, or into another of the same camera and exposures, at another place in each exposure: it
moves. Laid at the reference's place in all of them, each exposure with its own view of the piece,
it gives the bracket in which it holds still. Its fusion is what the fusion of the moving one should
have been, by any method, and where the two brackets differ is what moved, exactly.

The frames are registered as they are, so nothing is aligned. Where and what is laid depends on the
photos, their names, and the seed alone, so that two versions of the code see the same pieces.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ... import __version__
from ...align import AlignSettings
from ...bracket import Metadata
from ...errors import GhostlessError
from ...exposure.assign import assign_stops
from ...io.read import read_bracket
from ...io.write import write_frame
from ...pipeline import FuseOptions
from ...pixels import color
from ..data.scenes import Scene
from .pieces import Frames, differs, make_piece
from .pool import map_in_processes
from .with_and_without import (
    DEFAULT_DATA,
    Flags,
    Picture,
    check_results,
    decibels,
    find_scenes,
    picture_of,
    run_line,
    save_panels,
    save_results,
)

FILE = "pasted.json"
# Two brackets are of one camera and one series of exposures if the codes of one exposure foretell
# those of the others alike: mean difference in codes, over at least this share of the levels.
_ALIKE_CODES, _ALIKE_LEVELS = 2.5, 0.5
_LEVELS = 16
_NEAR_PIXELS = 9  # what counts as inside around what moved


@dataclass(frozen=True)
class PastedScore:
    """What deghosting made of one piece in one bracket.

    number: of the piece, from 0. source: the bracket that it was cut out of.
    reference: index of the frame that the line took as its reference, dark to bright.
    moved: share of the frames beside the reference that shows motion.
    overlap: intersection over union of what was replaced with what moved, over those frames.
    found: share of what moved that was replaced. beyond: share of what did not move that was.
    decibels, without: PSNR of the picture to the true one, with deghosting and without; `_inside`
    near what moved, `_outside` elsewhere.
    error: why the line refused the bracket; the rest is empty then.
    """

    suite: str
    scene: str
    number: int
    source: str = ""
    reference: int = 0
    moved: float = 0.0
    overlap: float = 0.0
    found: float = 0.0
    beyond: float = 0.0
    decibels: float = 0.0
    without: float = 0.0
    decibels_inside: float | None = None
    without_inside: float | None = None
    decibels_outside: float | None = None
    without_outside: float | None = None
    notes: tuple[str, ...] = ()
    error: str = ""

    @property
    def name(self) -> str:
        return f"{self.suite}/{self.scene} {self.number}"


@dataclass(frozen=True)
class PastedResult:
    """Scores of every piece, in the order of the folders, names and numbers."""

    scores: tuple[PastedScore, ...]
    pieces: int
    seed: int
    settings: dict[str, Any] = field(default_factory=dict)
    version: str = __version__

    def suites(self) -> dict[str, list[PastedScore]]:
        """Return the scores by suite."""
        names = dict.fromkeys(score.suite for score in self.scores)
        return {name: [score for score in self.scores if score.suite == name] for name in names}

    def summary(self) -> dict[str, dict[str, Any]]:
        """Return what the pieces of each suite come to."""
        return {name: _summary(scores) for name, scores in self.suites().items()}

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for a JSON file."""
        return {
            "version": self.version,
            "settings": self.settings,
            "pieces": self.pieces,
            "seed": self.seed,
            "summary": self.summary(),
            "scores": [asdict(score) for score in self.scores],
        }

    def as_text(self) -> str:
        """Return a table for the screen."""
        lines = [
            f"{'bracket and piece':<24} {'from':<14} {'ref.':>4} {'moved':>6} {'IoU':>5} "
            f"{'found':>6} {'beyond':>6}   {'PSNR, without':>13}   {'inside, without':>15}"
        ]
        for s in self.scores:
            if s.error:
                lines.append(f"{s.name:<24} failed: {s.error}")
                continue
            lines.append(
                f"{s.name:<24} {s.source:<14} {s.reference + 1:>4} {s.moved:>6.1%} "
                f"{s.overlap:>5.2f} {s.found:>6.1%} {s.beyond:>6.1%}   "
                f"{s.decibels:>5.1f} {s.without:>7.1f}   "
                f"{_or_dash(s.decibels_inside):>7} {_or_dash(s.without_inside):>7}"
            )
        for suite, facts in self.summary().items():
            if not facts["pieces"]:
                lines.append(f"{suite}: no bracket could be fused")
                continue
            lines.append(
                f"{suite}: {facts['pieces']} pieces; IoU {facts['median_overlap']:.2f} median, "
                f"{facts['least_overlap']:.2f} least; {facts['found']:.0%} found, "
                f"{facts['beyond']:.1%} replaced beyond it"
            )
            lines.append(
                f"  PSNR (without): {facts['mean_decibels']:.1f} dB mean "
                f"({facts['mean_without']:.1f}), {facts['median_decibels']:.1f} median "
                f"({facts['median_without']:.1f}), {facts['worst_decibels']:.1f} worst "
                f"({facts['worst_without']:.1f}); inside {_or_dash(facts['mean_inside'])} mean "
                f"({_or_dash(facts['mean_without_inside'])}); "
                f"{facts['better']:.0%} better than without"
            )
            lines.append(f"  worst: {', '.join(facts['worst'])}")
        return "\n".join(lines)


def _or_dash(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _summary(scores: Sequence[PastedScore]) -> dict[str, Any]:
    done = [score for score in scores if not score.error]
    if not done:
        return {"pieces": 0}
    overlaps = [score.overlap for score in done]
    return {
        "pieces": len(done),
        "median_overlap": float(np.median(overlaps)),
        "mean_overlap": float(np.mean(overlaps)),
        "least_overlap": min(overlaps),
        "found": float(np.mean([score.found for score in done])),
        "beyond": float(np.mean([score.beyond for score in done])),
        "mean_decibels": float(np.mean([score.decibels for score in done])),
        "mean_without": float(np.mean([score.without for score in done])),
        "median_decibels": float(np.median([score.decibels for score in done])),
        "median_without": float(np.median([score.without for score in done])),
        "worst_decibels": min(score.decibels for score in done),
        "worst_without": min(score.without for score in done),
        "mean_inside": _mean([score.decibels_inside for score in done]),
        "mean_without_inside": _mean([score.without_inside for score in done]),
        "mean_outside": _mean([score.decibels_outside for score in done]),
        "mean_without_outside": _mean([score.without_outside for score in done]),
        "better": float(np.mean([score.decibels > score.without for score in done])),
        "worst": [
            f"{score.scene} {score.number} ({score.decibels:.1f} dB, {score.without:.1f} without)"
            for score in sorted(done, key=lambda score: score.decibels)[:5]
        ],
    }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


@dataclass(frozen=True)
class _Job:
    """A bracket to lay pieces into, and the brackets, itself first, to cut them out of."""

    suite: str
    scene: Scene
    sources: tuple[Scene, ...]


def run(
    data: Sequence[Path] = DEFAULT_DATA,
    options: FuseOptions | None = None,
    *,
    pieces: int = 2,
    seed: int = 0,
    scenes: tuple[str, ...] | None = None,
    workers: int = 1,
    out: Path | None = None,
    progress: Callable[[float], None] | None = None,
) -> PastedResult:
    """Lay pieces into every bracket of the folders, one at a time, and deghost and fuse it.

    data: folders of still, registered brackets; pieces travel within a folder only.
    options: those of the line; nothing is aligned, whatever they say.
    pieces: so many for each bracket; those of odd number come from another bracket where there is
        one of the same camera and exposures.
    scenes: names of those to run; None for all.
    out: folder for pasted.json, and for each piece a picture SUITE_SCENE_NUMBER.jpg: fused without
        deghosting, with it, the true picture, and what was replaced: green where it moved in any
        frame, red for what moved and was not found, blue for what was replaced beyond.
    A bracket that the line refuses is named in the result. Raises FileReadError, BracketError or
    OptionError as `find_scenes` does.
    """
    options = options or FuseOptions(method="mertens")
    options = replace(options, align=AlignSettings(model="none"))
    everything, chosen = find_scenes(data), find_scenes(data, scenes)
    if out is not None:
        check_results(out / FILE)
    tell = progress or (lambda share: None)
    # Sources are looked for among all brackets, so that a choice of scenes changes no piece.
    jobs: list[_Job] = []
    for suite, inside in chosen.items():
        sources = _sources(everything[suite], workers)
        jobs += [_Job(suite, scene, (scene, *sources[scene.name])) for scene in inside]
    tell(0.05)
    work = partial(score_bracket, options=options, pieces=pieces, seed=seed, out=out)
    scores = map_in_processes(work, jobs, workers, lambda share: tell(0.05 + 0.95 * share))
    result = PastedResult(
        tuple(score for some in scores for score in some),
        pieces,
        seed,
        {"method": options.method, "deghost": asdict(options.deghost)},
    )
    if out is not None:
        save_results(result.as_dict(), out / FILE)
    return result


def score_bracket(
    job: _Job, options: FuseOptions, pieces: int, seed: int, out: Path | None = None
) -> list[PastedScore]:
    """Score every piece of one bracket; the line's refusal becomes a score's error."""
    scores = []
    for number in range(pieces):
        try:
            scores.append(_score(job, number, options, seed, out))
        except GhostlessError as error:
            text = " ".join(str(error).split())
            scores.append(PastedScore(job.suite, job.scene.name, number, error=text))
    return scores


def _score(
    job: _Job, number: int, options: FuseOptions, seed: int, out: Path | None
) -> PastedScore:
    random = np.random.default_rng([seed, number, *job.scene.name.encode()])
    others = job.sources[1:]
    source = others[int(random.integers(len(others)))] if others and number % 2 else job.scene
    frames = read_frames(job.scene)
    cut_from = frames if source is job.scene else read_frames(source)
    piece = make_piece(frames, cut_from, source.name, random)
    moving = tuple(piece.lay(f, index, piece.places[index]) for index, f in enumerate(frames))
    line = _run_line(moving, replace(options, stops=_told_stops(frames)))
    # The line has its own order of frames and its own choice of the reference.
    order = [int(Path(frame.name).stem) for frame in line.aligned.frames]
    reference = line.deghosted.reference
    place = piece.places[order[reference]]
    still = [piece.lay(frames[index], index, place) for index in order]
    true_frames = tuple(
        replace(frame, pixels=true.pixels)
        for frame, true in zip(line.aligned.frames, still, strict=True)
    )
    true_stack = replace(line.aligned, reference=reference, frames=true_frames)
    truth, without = picture_of(true_stack, options), picture_of(line.aligned, options)
    moved = [differs(moving[index], true) for index, true in zip(order, still, strict=True)]
    was_moved, was_replaced = (
        np.array([flags[index] for index in range(len(order)) if index != reference])
        for flags in (moved, line.replaced)
    )
    around = near(was_moved)
    if out is not None:
        panels = (without, line.picture, truth, _found_and_moved(was_moved, was_replaced))
        save_panels(panels, out / f"{job.suite}_{job.scene.name}_{number}.jpg")
    return PastedScore(
        suite=job.suite,
        scene=job.scene.name,
        number=number,
        source=source.name,
        reference=reference,
        moved=float(was_moved.mean()),
        overlap=_share(was_moved & was_replaced, was_moved | was_replaced),
        found=_share(was_moved & was_replaced, was_moved),
        beyond=float((was_replaced & ~was_moved).sum() / max(1, (~was_moved).sum())),
        decibels=decibels(line.picture, truth),
        without=decibels(without, truth),
        decibels_inside=_known(decibels(line.picture, truth, around)),
        without_inside=_known(decibels(without, truth, around)),
        decibels_outside=_known(decibels(line.picture, truth, ~around)),
        without_outside=_known(decibels(without, truth, ~around)),
        notes=line.notes,
    )


def _run_line(frames: Frames, options: FuseOptions) -> Any:
    """The line's result for frames that come as files without metadata."""
    with tempfile.TemporaryDirectory(prefix="ghostless-bench-") as folder:
        files = [Path(folder) / f"{index:02d}.tif" for index in range(len(frames))]
        for file, frame in zip(files, frames, strict=True):
            write_frame(replace(frame, metadata=Metadata()), file)
        return run_line(files, options)


def _share(part: Flags, whole: Flags) -> float:
    """Share of a whole; all of it where there is none."""
    count = int(whole.sum())
    return float(part.sum() / count) if count else 1.0


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def near(moved: Flags) -> Flags:
    """Where anything moved in any of (F, H, W) frames, and around it."""
    size = 2 * _NEAR_PIXELS + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    return np.asarray(cv2.dilate(moved.max(axis=0).astype(np.uint8), disc) > 0)


def _found_and_moved(moved: Flags, replaced: Flags) -> Picture:
    """Paint frames (F, H, W) into one: green found, red missed, blue replaced beyond.

    The brighter, the more frames.
    """
    kinds = (moved & ~replaced, moved & replaced, replaced & ~moved)
    return np.stack([np.sqrt(kind.mean(axis=0, dtype=np.float32)) for kind in kinds], axis=-1)


def read_frames(scene: Scene) -> Frames:
    """Read a bracket by mean level, dark to bright, with the exposures that the line finds."""
    frames = assign_stops(read_bracket(scene.files)).frames
    return tuple(sorted(frames, key=lambda frame: float(frame.pixels.mean())))


def _told_stops(frames: Frames) -> tuple[float, ...] | None:
    """Exposures that came with the photos; None where they were estimated, for the line to do so.

    The piece is in the way of the line's own estimate, as any moving thing would be.
    """
    if any(frame.stops is None or frame.stops_source == "pixels" for frame in frames):
        return None
    return tuple(frame.stops for frame in frames if frame.stops is not None)


def _sources(scenes: Sequence[Scene], workers: int) -> dict[str, list[Scene]]:
    """For every bracket, the others of a folder whose exposures see light as its own do."""
    looks = map_in_processes(_look, scenes, workers)
    return {
        scene.name: [
            other
            for other, its in zip(scenes, looks, strict=True)
            if other.name != scene.name and are_alike(own, its)
        ]
        for scene, own in zip(scenes, looks, strict=True)
    }


def _look(scene: Scene) -> NDArray[np.float64] | None:
    try:
        return curves_of(read_frames(scene))
    except GhostlessError:
        return None  # it will fail in its turn


def curves_of(frames: Frames) -> NDArray[np.float64]:
    """What each level of the middle exposure is in the other ones: (F - 1, 3, 16) in codes.

    Medians; NaN for levels that hardly occur.
    """
    codes = [color.to_display(frame.pixels, frame.transfer) * 255 for frame in frames]
    middle = len(frames) // 2
    levels = np.minimum(codes[middle] * (_LEVELS / 256), _LEVELS - 1).astype(np.uint8)
    curves = np.full((len(frames) - 1, 3, _LEVELS), np.nan)
    for channel in range(3):
        for level in range(_LEVELS):
            here = levels[..., channel] == level
            if here.mean() < 0.003:
                continue
            for row, other in enumerate(codes[:middle] + codes[middle + 1 :]):
                curves[row, channel, level] = np.median(other[..., channel][here])
    return curves


def are_alike(one: NDArray[np.float64] | None, other: NDArray[np.float64] | None) -> bool:
    """Whether two brackets are of one camera and one series of exposures, by their curves.

    Curves (n, 3, levels).
    """
    if one is None or other is None or one.shape != other.shape:
        return False
    apart = np.abs(one - other)
    known = np.isfinite(apart)
    return bool(known.mean() >= _ALIKE_LEVELS and apart[known].mean() <= _ALIKE_CODES)

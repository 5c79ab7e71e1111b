"""What a run of the benchmark found: read from its folder, and the statistics of its tables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ...errors import FileReadError
from .printed import printed_lines
from .speed_results import SpeedRow, load_rows
from .suites import FOLDERS

_RESAMPLES = 2000
_COVERAGE_PERCENT = 95.0

# "imported": a method of ours, with the weights that its authors published.
Kind = Literal["method", "imported", "outside", "published"]


@dataclass(frozen=True)
class Row:
    """One method's scores under one protocol: {scene: {metric: value}}.

    seconds_per_megapixel: of each scene; empty for published methods.
    """

    label: str
    slug: str
    kind: Kind
    scores: Mapping[str, Mapping[str, float]]
    seconds_per_megapixel: Mapping[str, float]
    peak_bytes: int


@dataclass(frozen=True)
class Mean:
    """A mean over scenes with the 95 % interval of its bootstrap, and its rank among methods."""

    value: float
    low: float
    high: float
    rank: float


@dataclass(frozen=True)
class Table:
    """The means of every method and metric, over the scenes that all of them have.

    frames: which photos of each scene were fused: "all", or the darkest and brightest "two".
    group: of the suite's scenes; "" where it has all.
    """

    protocol: str
    metrics: tuple[str, ...]
    rows: tuple[Row, ...]
    scenes: tuple[str, ...]
    means: Mapping[tuple[str, str], Mean]
    frames: str = "all"
    group: str = ""

    @property
    def name(self) -> str:
        """What tells it from the other tables of a report."""
        frames = "" if self.frames == "all" else f"{self.frames} frames"
        return ", ".join(filter(None, [self.protocol, self.group, frames]))

    @cached_property
    def ranked_metrics(self) -> tuple[str, ...]:
        """Those that the mean rank is over.

        They can be compared, and every method in the table has them: a rank among a few is not one
        among all.
        """
        scored = {label for label, _ in self.means}
        return tuple(
            metric
            for metric in self.metrics
            if is_comparable(metric) and all((label, metric) in self.means for label in scored)
        )

    @cached_property
    def mean_ranks(self) -> dict[str, float]:
        """Mean of each method's ranks over `ranked_metrics`, 1 the best."""
        scored = {label for label, _ in self.means}
        return {
            label: float(np.mean([self.means[label, m].rank for m in self.ranked_metrics]))
            for label in scored
            if self.ranked_metrics
        }

    @property
    def by_rank(self) -> tuple[Row, ...]:
        """The rows, best mean rank first."""
        last = float("inf")
        return tuple(sorted(self.rows, key=lambda row: self.mean_ranks.get(row.label, last)))


@dataclass(frozen=True)
class Results:
    """Everything that a folder of results holds."""

    folder: Path
    about: Mapping[str, Any]
    tables: tuple[Table, ...]
    failures: tuple[tuple[str, str, str], ...]
    commits: tuple[str, ...]
    speeds: tuple[SpeedRow, ...] = ()

    def seconds_per_megapixel(self, row: Row) -> float | None:
        """What a method takes: in still scenes as `bench speed` measured it, alone on the machine.

        Else the median over the scenes of this run, whose processes shared it: in moving scenes
        the whole line counts, and `bench speed` measures neither that nor methods with settings.
        """
        for speed in self.speeds:
            fits = speed.name == row.label and speed.quality in ("", "full")
            if fits and self.about["still"]:
                return speed.seconds_per_megapixel
        own = list(row.seconds_per_megapixel.values())
        return float(np.median(own)) if own else None

    def as_dict(self) -> dict[str, Any]:
        """Return the tables in plain JSON types."""
        return {
            "folder": str(self.folder),
            "suite": self.about["suite"],
            "skipped": self.about["skipped"],
            "speed": [vars(speed) for speed in self.speeds],
            "failures": [list(failure) for failure in self.failures],
            "tables": {
                table.name: {
                    "scenes": list(table.scenes),
                    "mean_rank": table.mean_ranks,
                    "methods": {
                        row.label: {
                            "kind": row.kind,
                            "metrics": {
                                metric: vars(table.means[row.label, metric])
                                for metric in table.metrics
                                if (row.label, metric) in table.means
                            },
                        }
                        for row in table.rows
                    },
                }
                for table in self.tables
            },
        }

    def as_text(self) -> str:
        """Return short tables for the screen: mean rank and headline metric."""
        headline = self.about["headline"]
        lines = []
        for table in self.tables:
            lines.append(
                f"{self.about['suite']}, {table.name}: means over {len(table.scenes)} scenes, "
                f"ranks over {len(table.ranked_metrics)} metrics"
            )
            width = max([len(row.label) for row in table.rows] + [6])
            lines.append(f"{'method':<{width}} {'rank':>6} {headline:>12}")
            for row in table.by_rank:
                mean = table.means.get((row.label, headline))
                rank = table.mean_ranks.get(row.label)
                shown = "-" if mean is None else f"{mean.value:.4f}"
                mark = "  published" if row.kind == "published" else ""
                told = "-" if rank is None else f"{rank:.2f}"
                lines.append(f"{row.label:<{width}} {told:>6} {shown:>12}{mark}")
        lines += printed_lines(self)
        lines += [f"skipped {label}: {why}" for label, why in self.about["skipped"].items()]
        lines += [f"failed {label} on {scene}: {why}" for label, scene, why in self.failures]
        return "\n".join(lines)


def load_results(folder: Path) -> Results:
    """Read a folder that `bench` wrote. Raises FileReadError where it holds no results."""
    try:
        about = json.loads((folder / "run.json").read_text())
        contenders = [(c["label"], c["slug"], c["kind"]) for c in about["contenders"]]
        scenes, protocols = list(about["scenes"]), list(about["protocols"])
        metrics, published = list(about["metrics"]), dict(about["published"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FileReadError(
            f"{folder}: expected a folder with results of 'ghostless bench', found none "
            f"(run.json: {getattr(error, 'strerror', None) or 'damaged'}); run a suite into it"
        ) from None
    failures, commits = [], set[str]()
    read: dict[str, dict[str, dict[str, Any]]] = {}
    for label, slug, _ in contenders:
        read[label] = {}
        for scene in scenes:
            fused = _load(folder / "fused" / slug / f"{scene}.json")
            scored = _load(folder / "scores" / slug / f"{scene}.json")
            commits |= {str((part.get("environment") or {}).get("commit")) for part in (fused,)}
            if "error" in fused or "error" in scored:
                failures.append((label, scene, str(fused.get("error") or scored.get("error"))))
            elif "metrics" in scored:
                read[label][scene] = {"fused": fused, "metrics": scored["metrics"]}
                for name, why in scored.get("problems", {}).items():
                    failures.append((label, scene, f"{name}: {why}"))
    tables = []
    for protocol in protocols:
        rows = [_row(label, slug, kind, read[label], protocol) for label, slug, kind in contenders]
        # MEFB's numbers were got by its own way of saving; only that table compares like with like.
        if protocol == "as-published":
            rows += [
                Row(name, "", "published", values, {}, 0)
                for name, values in published.items()
                if values
            ]
        for group in about.get("groups") or [""]:
            own = [scene for scene in scenes if scene.startswith(group)]
            theirs = [replace(row, scores=_chosen(row.scores, own)) for row in rows]
            table = make_table(protocol, metrics, theirs, own, int(about.get("seed", 0)))
            tables.append(replace(table, frames=str(about.get("frames", "all")), group=group))
    for name in FOLDERS.values():
        if (folder / name / "run.json").is_file():
            other = load_results(folder / name)
            tables += other.tables
            commits |= set(other.commits)
            failures += [(m, f"{s} ({name.replace('_', ' ')})", w) for m, s, w in other.failures]
    return Results(
        folder, about, tuple(tables), tuple(failures), tuple(sorted(commits)), load_rows(folder)
    )


def _chosen(
    scores: Mapping[str, Mapping[str, float]], scenes: Sequence[str]
) -> dict[str, Mapping[str, float]]:
    return {scene: scores[scene] for scene in scenes if scene in scores}


def _load(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _row(
    label: str, slug: str, kind: Kind, read: Mapping[str, Mapping[str, Any]], protocol: str
) -> Row:
    scores = {
        scene: {
            name: float(value)
            for name, value in parts["metrics"].get(protocol, {}).items()
            if value is not None
        }
        for scene, parts in read.items()
    }
    speed = {
        scene: float(parts["fused"]["seconds"]) / float(parts["fused"]["megapixels"])
        for scene, parts in read.items()
        if parts["fused"].get("megapixels")
    }
    peak = max([int(parts["fused"].get("peak_bytes") or 0) for parts in read.values()] + [0])
    return Row(label, slug, kind, scores, speed, peak)


def make_table(
    protocol: str,
    metrics: Sequence[str],
    rows: Sequence[Row],
    scenes: Sequence[str],
    seed: int,
) -> Table:
    """Average every metric over the scenes that every method has scores for, and rank the means.

    A method without any score is left out of the choice of scenes. For a metric that only some
    methods have (radiance), those are averaged and ranked among themselves.
    """
    scored = [row for row in rows if any(row.scores.get(scene) for scene in scenes)]
    common = [s for s in scenes if scored and all(row.scores.get(s) for row in scored)]
    means: dict[tuple[str, str], Mean] = {}
    shown = []
    for metric in metrics:
        having = [row for row in scored if any(metric in row.scores[s] for s in common)]
        kept = [s for s in common if all(metric in row.scores[s] for row in having)]
        if not having or not kept:
            continue
        shown.append(metric)
        values = np.array([[row.scores[s][metric] for s in kept] for row in having])
        lows, highs = bootstrap(values, seed)
        averages = values.mean(axis=1)
        for row, average, low, high, rank in zip(
            having, averages, lows, highs, ranks(averages, higher_is_better(metric)), strict=True
        ):
            means[row.label, metric] = Mean(float(average), float(low), float(high), float(rank))
    return Table(protocol, tuple(shown), tuple(rows), tuple(common), means)


def bootstrap(values: Any, seed: int) -> tuple[Any, Any]:
    """Ends of the 95 % percentile intervals of means over scenes; values is (methods, scenes).

    All methods see the same resampled scenes.
    """
    count = values.shape[1]
    picks = np.random.default_rng(seed).integers(0, count, (_RESAMPLES, count))
    resampled = values[:, picks].mean(axis=2)
    outside = (100 - _COVERAGE_PERCENT) / 2
    low, high = np.percentile(resampled, [outside, 100 - outside], axis=1)
    return low, high


def ranks(values: Any, higher_first: bool) -> Any:
    """Ranks from 1, the best; equal values share the mean of their ranks."""
    values = np.asarray(values, float) * (-1 if higher_first else 1)
    better = (values[None, :] < values[:, None]).sum(axis=1)
    equal = (values[None, :] == values[:, None]).sum(axis=1)
    return better + (equal + 1) / 2


def is_comparable(metric: str) -> bool:
    """Whether means of a metric can be compared, by the table of metrics."""
    from ..metrics.table import METRICS

    return METRICS[metric].comparable if metric in METRICS else True


def higher_is_better(metric: str) -> bool:
    """Whether more is better, by the table of metrics."""
    from ..metrics.table import METRICS

    return METRICS[metric].higher_is_better if metric in METRICS else True

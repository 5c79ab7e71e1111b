"""What an ablation found: tables in Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...methods import METHODS
from ..metrics.table import METRICS
from .results import bootstrap

if TYPE_CHECKING:
    pass
from .ablations import Ablation, Variant, ablation_of


@dataclass(frozen=True)
class AblationResult:
    """Values by variant, scene and metric; `missing` names the variants that are not done yet."""

    method: str
    out: Path
    settings: Mapping[str, Any]
    records: Mapping[str, Mapping[str, Any]]
    missing: tuple[str, ...]

    @property
    def ablation(self) -> Ablation:
        return ablation_of(self.method)

    def mean(self, variant: str, metric: str) -> tuple[float, float, float] | None:
        """Mean over scenes and its 95 % bootstrap interval.

        variant: its name, or "NAME, output N" for one of several outputs.
        """
        name, _, number = variant.rpartition(", output ")
        if name in self.records:
            scenes = self.records[name].get("outputs", {}).get(number, {})
        else:
            scenes = self.records.get(variant, {}).get("scenes", {})
        values = [found[metric] for found in scenes.values() if found.get(metric) is not None]
        if not values:
            return None
        low, high = bootstrap(np.array([values]), int(self.settings["seed"]))
        return float(np.mean(values)), float(low[0]), float(high[0])

    def told_apart(self, title: str, metric: str) -> list[tuple[str, str]] | None:
        """Pairs (better, worse) of a table's variants that this metric tells apart.

        By a paired bootstrap: the 95 % interval of their mean difference over the same scenes
        leaves out 0. It knows of the scenes, not of how another seed would have trained. None
        before two variants are done.
        """
        names = [name for name in self.ablation.tables[title] if name in self.records]
        better_is = 1 if METRICS[metric].higher_is_better else -1
        pairs, compared = [], False
        for one, other in permutations(names, 2):
            scenes = self.records[one]["scenes"], self.records[other]["scenes"]
            found = [
                (scenes[0][scene].get(metric), scenes[1][scene].get(metric))
                for scene in scenes[0].keys() & scenes[1].keys()
            ]
            differences = [better_is * (a - b) for a, b in found if a is not None and b is not None]
            if not differences:
                continue
            compared = True
            low, _ = bootstrap(np.array([sorted(differences)]), int(self.settings["seed"]))
            if low[0] > 0:
                pairs.append((one, other))
        return pairs if compared else None

    def order_in_words(self, title: str) -> str:
        """What the first metric makes sure of in a table; "" before two variants are done."""
        metric = self.ablation.metrics[0]
        pairs = self.told_apart(title, metric)
        if pairs is None:
            return ""
        below: dict[str, list[str]] = {}
        for better, worse in pairs:
            below.setdefault(better, []).append(f"*{worse}*")
        told = "; ".join(f"*{better}* above {', '.join(rest)}" for better, rest in below.items())
        return f"Told apart by {metric}, scene by scene: {told or 'none of them'}."

    def as_dict(self) -> dict[str, Any]:
        """Return everything in plain JSON types."""
        return {
            "method": self.method,
            "paper": METHODS[self.method].paper,
            "note": self.ablation.note,
            "settings": dict(self.settings),
            "tables": {title: list(names) for title, names in self.ablation.tables.items()},
            "order": {title: self.order_in_words(title) for title in self.ablation.tables},
            "variants": {
                variant.name: {
                    "published": dict(variant.published),
                    "architecture": dict(variant.architecture),
                    "recipe": dict(variant.recipe),
                    "fusing": dict(variant.settings),
                    "means": {m: self.mean(variant.name, m) for m in self.ablation.metrics},
                    **self.records.get(variant.name, {}),
                }
                for variant in self.ablation.variants
            },
            "missing": list(self.missing),
        }

    def as_csv(self) -> str:
        """One line for each variant and metric."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["variant", "metric", "mean", "low", "high", "published"])
        for variant in self.ablation.variants:
            for metric in self.ablation.metrics:
                found = self.mean(variant.name, metric) or ("", "", "")
                published = variant.published.get(metric, "")
                writer.writerow([variant.name, metric, *found, published])
        return out.getvalue()

    def as_text(self) -> str:
        """The tables in Markdown, with what a reader must know."""
        by_name = {variant.name: variant for variant in self.ablation.variants}
        scenes = {len(record["scenes"]) for record in self.records.values()}
        lines = [
            f"# Ablation of {self.method}",
            "",
            f"{METHODS[self.method].paper}. Every variant trained alike: preset "
            f"{self.settings['preset']}, {self.settings['steps']} steps of "
            f"{self.settings['batch']} patches of {self.settings['patch']} pixels, seed "
            f"{self.settings['seed']}; best weights by validation; scored on "
            f"{max(scenes, default=0)} held-out scenes, 95 % intervals of the mean. The paper's "
            "own figures (its data, its full training) stand beside: compare the order of the "
            f"rows, not the values. {self.ablation.note}".rstrip(),
        ]
        for title, names in self.ablation.tables.items():
            rows = [by_name[name] for name in names]
            shown = [m for m in self.ablation.metrics if any(m in v.published for v in rows)]
            header = ["variant", "parameters"]
            header += [f"{m} {'↑' if METRICS[m].higher_is_better else '↓'}" for m in self._metrics]
            header += [f"paper's {metric}" for metric in shown]
            lines += ["", f"## {title}", "", f"| {' | '.join(header)} |"]
            lines.append("|" + "---|" * len(header))
            lines += [f"| {' | '.join(self._cells(row, names, shown))} |" for row in rows]
            order = self.order_in_words(title)
            lines += ["", order] if order else []
        if self.missing:
            lines += ["", f"Not done yet: {', '.join(self.missing)}."]
        return "\n".join(lines) + "\n"

    @property
    def _metrics(self) -> tuple[str, ...]:
        return self.ablation.metrics

    def _cells(self, variant: Variant, names: Sequence[str], published: Sequence[str]) -> list[str]:
        count = self.records.get(variant.name, {}).get("parameters")
        cells = [variant.name, "-" if count is None else f"{count:,}"]
        for metric in self._metrics:
            found = self.mean(variant.name, metric)
            if found is None:
                cells.append("-")
                continue
            value, low, high = found
            others = [other[0] for name in names if (other := self.mean(name, metric))]
            best = max(others) if METRICS[metric].higher_is_better else min(others)
            text = f"{value:.5g} ({low:.4g} to {high:.4g})"
            cells.append(f"**{text}**" if value == best and len(others) > 1 else text)
        return cells + [
            f"{variant.published[m]:g}" if m in variant.published else "-" for m in published
        ]

"""Methods on a folder of scenes, by the benchmark: tables of scores, per scene, and of seconds."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ....io.read import read_frame
from ...data.scenes import Scene
from ...metrics import Images, score
from ...metrics.table import METRICS
from ..results import Row, load_results
from ..run import BenchSettings, run
from ..suites import SUITES
from .place import Place, counted, levels, with_peak
from .printed import PrintedTable
from .result import NOT_HERE, FoundRow, FoundTable, Value

_LABEL = "label"
# Suites of the benchmark by the folder that a table wants.
_SUITES = {"sice": "sice", "mefb": "mefb", "kalantari": "kalantari", "handheld": "folder"}


def compare(table: PrintedTable, place: Place) -> FoundTable:
    """Scores of every method that is here, on the same scenes."""
    bench = _Bench(table, place, [row.method for row in table.rows])
    rows = []
    for row in table.rows:
        found = bench.scores_of(row.method)
        rows.append(_row(table, place, row.name, row.printed, found, bench.missing(row.method)))
    return FoundTable(table, tuple(rows), bench.differs)


def compare_scenes(table: PrintedTable, place: Place) -> FoundTable:
    """A score of every method that is here, scene by scene, of those that the folder has."""
    bench = _Bench(table, place, list(table.methods.values()))
    scores = {name: bench.scores_of(method) for name, method in table.methods.items()}
    here = {scene.name for scene in bench.scenes}
    rows = []
    for row in table.rows:
        known = {name: scores[name].get(row.name, {}).get(table.score) for name in table.methods}
        values = {name: Value(value) for name, value in known.items() if value is not None}
        missing = NOT_HERE if row.name in here else "scene not here"
        rows.append(FoundRow(row.name, values, row.printed, missing))
    return FoundTable(table, tuple(rows), bench.differs)


def time_methods(table: PrintedTable, place: Place) -> FoundTable:
    """Median seconds for an image."""
    bench = _Bench(table, place, [row.method for row in table.rows])
    rows = []
    for row in table.rows:
        seconds = bench.seconds_of(row.method)
        values = {"seconds": Value(float(np.median(seconds)))} if seconds else {}
        rows.append(FoundRow(row.name, values, row.printed, bench.missing(row.method)))
    machine = "Seconds here are of fusing alone on this machine, beside whatever else it did."
    return FoundTable(table, tuple(rows), (*bench.differs, machine))


def _row(
    table: PrintedTable,
    place: Place,
    name: str,
    printed: Mapping[str, float],
    scores: Mapping[str, Mapping[str, float]],
    missing: str,
) -> FoundRow:
    values = {}
    for metric in table.metrics:
        known = [entry[metric] for entry in scores.values() if metric in entry]
        mean = Value.of([with_peak(metric, v, table.peak) for v in known], place.settings.seed)
        if mean is not None:
            values[metric] = mean
    return FoundRow(name, values, printed, missing)


class _Bench:
    """A run of the benchmark for a table, and what its folder holds."""

    def __init__(self, table: PrintedTable, place: Place, methods: list[str]) -> None:
        self.table, self.place = table, place
        self.folder = place.folder(table)
        self.suite = SUITES[_SUITES[table.data]]
        self.out = place.out / f"{table.kind}-{table.id}"
        labels = {m: place.label(m) for m in methods if m != _LABEL}
        self.labels = {method: label for method, label in labels.items() if label is not None}
        self.scenes = self._scenes()
        self.rows: dict[str, Row] = {}
        self.kinds: dict[str, str] = {}
        self.skipped: dict[str, str] = {}
        if self.labels and self.scenes:
            self._run()

    def _scenes(self) -> list[Scene]:
        found = list(self.suite.read(self.folder))
        if self.table.scenes or self.table.kind == "scenes":
            wanted = self.table.scenes or tuple(row.name for row in self.table.rows)
            found = [scene for scene in found if scene.name in wanted]
        return found[: self.place.settings.scenes]

    @property
    def _own_metrics(self) -> tuple[str, ...]:
        """Metrics that the benchmark works out; those of radiance follow from its files."""
        wanted = (self.table.score,) if self.table.score else self.table.metrics
        known = [m for m in wanted if m in METRICS and METRICS[m].needs != "radiance"]
        return tuple(known) or ("PSNR",)

    @property
    def _tone(self) -> list[str]:
        return [m for m in self.table.metrics if m in METRICS and METRICS[m].needs == "radiance"]

    def _run(self) -> None:
        settings = BenchSettings(
            metrics=self._own_metrics,
            protocols=("lossless",),
            frames=self.table.frames,
            scenes=tuple(scene.name for scene in self.scenes),
            workers=self.place.settings.workers,
            seed=self.place.settings.seed,
        )
        run(self.suite.name, ",".join(self.labels.values()), self.out, self.folder, settings)
        results = load_results(self.out)
        self.rows = {row.label: row for row in results.tables[0].rows}
        kinds = {row.label: row.kind for row in results.tables[0].rows}
        self.kinds = {name: kinds.get(label, "") for name, label in self.labels.items()}
        self.skipped = dict(results.about["skipped"])
        self.failures = results.failures

    @property
    def differs(self) -> tuple[str, ...]:
        count = len(self.scenes)
        how = "as their papers have them" if self.place.settings.as_published else "as they are"
        notes = [f"{counted(count, 'scene')} of {self.folder.name}; methods run {how}, fully."]
        notes += [self.place.about_weights()] if "own" in self.labels else []
        theirs = [name for name in self.labels if self.kinds.get(name) == "imported"]
        if theirs:
            notes.append(f"With the weights that their authors published: {', '.join(theirs)}.")
        if not self.scenes:
            notes[0] = f"{self.folder.name} has none of the paper's scenes."
        notes += [f"Failed: {m} on {s} ({w})." for m, s, w in getattr(self, "failures", ())][:3]
        return tuple(notes)

    def missing(self, method: str) -> str:
        if method == _LABEL:
            return ""
        label = self.labels.get(method)
        if label is None:
            return NOT_HERE
        if label in self.skipped:
            return self.skipped[label]
        row = self.rows.get(label)
        known = row is not None and any(set(s) & set(METRICS) for s in row.scores.values())
        return "" if known or self._tone else "no truth in the folder"

    def scores_of(self, method: str) -> dict[str, dict[str, float]]:
        """Values by scene and metric."""
        if method == _LABEL:
            return {scene.name: self._of_label(scene) for scene in self.scenes if scene.truth}
        row = self.rows.get(self.labels.get(method, ""))
        if row is None:
            return {}
        found = {scene: dict(values) for scene, values in row.scores.items()}
        for scene in self.scenes if self._tone else ():
            of_radiance = self._of_radiance(scene, row.slug, self._tone)
            found.setdefault(scene.name, {}).update(of_radiance)
        return found

    def seconds_of(self, method: str) -> list[float]:
        row = self.rows.get(self.labels.get(method, ""))
        if row is None:
            return []
        records = [self.out / "fused" / row.slug / f"{scene.name}.json" for scene in self.scenes]
        read = [json.loads(path.read_text()) for path in records if path.is_file()]
        return [float(record["seconds"]) for record in read if record.get("seconds")]

    def _of_label(self, scene: Scene) -> dict[str, float]:
        """The ground truth scored as if it were a result."""
        assert scene.truth is not None
        label = levels(read_frame(scene.truth).display())
        chosen = next(s for s in self.suite.find(self.folder, "two") if s.name == scene.name)
        sources = tuple(levels(read_frame(file).display()) for file in chosen.files)
        images = Images(label, sources, truth=label)
        return score(images, [m for m in self.table.metrics if METRICS[m].applies_to(images)])

    def _of_radiance(self, scene: Scene, slug: str, metrics: list[str]) -> dict[str, float]:
        """Metrics of tone mapping, of the file that the benchmark wrote."""
        path = self.out / "fused" / slug / f"{scene.name}.png"
        if not path.is_file():
            return {}
        images = Images(levels(read_frame(path).display()), radiance=self._radiance(scene))
        return score(images, metrics)

    def _radiance(self, scene: Scene) -> NDArray[np.float32]:
        """The radiance merge of all photos of a scene, made once."""
        path = self.out / "radiance" / f"{scene.name}.npy"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, merged(scene))
        return np.asarray(np.load(path), np.float32)


def merged(scene: Scene) -> NDArray[np.float32]:
    """Radiance of all photos of a still scene, by our merge; exposures estimated if unknown."""
    from ....align import AlignSettings, align_bracket
    from ....exposure.assign import assign_stops
    from ....io.read import read_bracket
    from ....methods import fuse_stack

    bracket = assign_stops(read_bracket(scene.files))
    stack = align_bracket(bracket, AlignSettings(model="none"), len(bracket.frames) // 2)
    return np.asarray(fuse_stack(stack, "debevec").pixels, np.float32)

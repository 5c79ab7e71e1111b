"""The benchmark's jobs: where the files of each lie, and when one is done."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ... import pipeline
from ...io.write import write_text
from ..data.scenes import Scene
from .contenders import Contender
from .outside import OUTSIDE
from .suites import (
    SUITES,
    Suite,
)
from .writing import OVERWRITE


@dataclass(frozen=True)
class Place:
    """Where the files of one scene, and of one method on it, lie."""

    out: Path
    scene: str
    slug: str = ""

    @property
    def inputs(self) -> Path:
        return self.out / "inputs" / self.scene

    @property
    def fused(self) -> Path:
        return self.out / "fused" / self.slug / f"{self.scene}.png"

    @property
    def linear(self) -> Path:
        return self.fused.with_suffix(".exr")

    @property
    def ghosts(self) -> Path:
        return self.fused.with_name(f"{self.scene}_ghosts.png")

    @property
    def record(self) -> Path:
        return self.fused.with_suffix(".json")

    @property
    def scores(self) -> Path:
        return self.out / "scores" / self.slug / f"{self.scene}.json"


@dataclass(frozen=True)
class Job:
    """One piece of work for a process: a function's name and what it needs."""

    work: str
    suite: Suite
    scene: Scene
    place: Place
    contender: Contender | None
    redo: bool
    environment: dict[str, Any]
    bytes_needed: int

    def __reduce__(self) -> Any:
        # Suites hold functions of this package; they travel by name.
        values = dict(vars(self))
        suite = values.pop("suite")
        facts = {
            "still": suite.still,
            "metrics": suite.metrics,
            "protocols": suite.protocols,
        }
        return _rebuilt, (values, suite.name, facts)


def _rebuilt(values: dict[str, Any], suite: str, facts: dict[str, Any]) -> Job:
    return Job(suite=replace(SUITES[suite], **facts), **values)


def _record_of(job: Job) -> Path:
    if job.work == "prepare":
        return job.place.inputs / "scene.json"
    return job.place.record if job.work == "fuse" else job.place.scores


def record_error(job: Job, message: str) -> None:
    record = {"key": key_of(job), "error": " ".join(message.split())}
    save_record(_record_of(job), {**record, "environment": job.environment})


def is_done(job: Job) -> bool:
    """Whether a job's result is there, whole, and of these very settings."""
    if job.redo:
        return False
    record = load_record(_record_of(job))
    if record is None or "error" in record or record.get("key") != key_of(job):
        return False
    if job.work == "score":
        have = record.get("metrics", {})
        return all(p in have for p in job.suite.protocols) and set(job.suite.metrics) <= set(
            record.get("tried", [])
        )
    root = _record_of(job).parent
    files = record.get("files", {})
    return bool(files) and all(file_size(root / name) == size for name, size in files.items())


def key_of(job: Job) -> str:
    """Hash of all that a job's result depends on."""
    facts: list[Any] = [job.work, job.suite.still, pipeline.versions()]
    facts += [_stamp(file) for file in job.scene.files]
    if job.work != "prepare":
        assert job.contender is not None
        facts.append(_describe_key(job.contender, job.suite.still))
        facts.append([_stamp(path) for path in job.contender.weights])
        facts.append(_stamp(job.scene.true_radiance) if job.scene.true_radiance else None)
    if job.work == "score":
        facts.append(_stamp(job.scene.truth) if job.scene.truth else None)
        facts.append(job.scene.recordable)
        facts += [_stamp(path) for path in (job.place.fused, job.place.linear)]
    text = json.dumps(facts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _describe_key(contender: Contender, still: bool) -> Any:
    if contender.kind == "outside":
        return [contender.name, OUTSIDE[contender.name].version()]
    return [contender.name, asdict(contender.options(still))]


def _stamp(path: Path) -> tuple[str, int, int] | None:
    try:
        facts = path.stat()
    except OSError:
        return None
    return (path.name, facts.st_size, facts.st_mtime_ns)


def file_size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def save_record(path: Path, record: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(json.dumps(record, indent=1, default=str) + "\n", path, OVERWRITE)


def load_record(path: Path) -> dict[str, Any] | None:
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None

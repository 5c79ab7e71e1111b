"""The benchmark's loops: prepare every scene, fuse it with every method to disk, score the files.

Everything lies in one folder: `run.json` (what ran, where, with what), `inputs/SCENE/` (the photos
as the report shows them), `fused/METHOD/SCENE.png` with a `.json` beside it (settings, seconds,
memory), `scores/METHOD/SCENE.json`. Each loop skips what is there and still valid: a record holds
the hash of all that its result depends on. A scene that fails is a recorded error, never a stop.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast, get_args

from ...errors import OptionError, OutputError, unknown_name
from ...io.write import check_output
from ...methods import METHODS
from ...nn.weights import read_info
from ...work.children import Failure
from ...work.memory import available_bytes, fusing_bytes
from ...work.pool import do_apart
from ..data.scenes import Scene
from ..environment import environment
from .contenders import Contender, parse_contenders
from .jobs import Job, Place, is_done, load_record, record_error, save_record
from .outside import OUTSIDE
from .pool import one_thread_each
from .steps import do_job
from .suites import (
    FOLDERS,
    PROTOCOLS,
    SUITES,
    Frames,
    Protocol,
    Suite,
    chosen_scenes,
    read_published,
)
from .writing import OVERWRITE, make_results_folder

# Estimate of what scoring holds, to keep the pool within its memory: an interpreter with the
# libraries loaded, then bytes for each pixel of the result.
_BASE_BYTES = 250_000_000
_SCORE_BYTES_PER_PIXEL = 900


@dataclass(frozen=True)
class BenchSettings:
    """How a suite is run.

    metrics: names to work out in place of the suite's own. protocols: None for all of the suite's.
    frames: "all" photos, the darkest and the brightest "two", or "both" ways, a table each; None
        for the suite's own. scenes: names; None for all.
    published: table of published scores; None for the one beside the scenes, if any.
    still: for `folder`, whether to fuse frames as they are; None for the suite's own fact.
    workers: processes. memory_bytes: what they may hold together; None for half of what is free.
    brackets: how many are made in each group, by a suite that makes its own.
    seed: of the bootstrap.
    redo: fuse and score again what is there.
    """

    metrics: tuple[str, ...] | None = None
    protocols: tuple[str, ...] | None = None
    frames: str | None = None
    scenes: tuple[str, ...] | None = None
    published: Path | None = None
    still: bool | None = None
    workers: int = 2
    memory_bytes: int | None = None
    brackets: int = 4
    seed: int = 0
    redo: bool = False

    def __post_init__(self) -> None:
        if self.brackets < 1:
            raise OptionError(f"expected at least 1 bracket, found {self.brackets}")
        if self.workers < 1:
            raise OptionError(f"expected at least 1 worker, found {self.workers}")
        if self.frames not in (None, "both", *get_args(Frames)):
            raise OptionError(f"expected frames 'all', 'two' or 'both', found {self.frames!r}")
        for name in self.protocols or ():
            if name not in PROTOCOLS:
                raise unknown_name("protocol", name, PROTOCOLS)


def run(
    suite: str | Suite,
    methods: str,
    out: Path,
    data: Path | None = None,
    settings: BenchSettings | None = None,
    *,
    progress: Callable[[str, float], None] | None = None,
) -> None:
    """Run a suite into a folder; `results.load_results` reads what it wrote.

    suite: a name in `SUITES`, or one of them with other facts.
    methods: names with commas, as `contenders.parse_contenders` reads them.
    progress: called with (loop, fraction 0..1).
    Raises GhostlessError for anything given that cannot be used; a scene or a method that fails
    is a recorded error.
    """
    settings = settings or BenchSettings()
    if isinstance(suite, str):
        if suite not in SUITES:
            raise unknown_name("suite", suite, SUITES)
        suite = SUITES[suite]
    if settings.still is not None:
        suite = replace(suite, still=settings.still)
    suite = replace(suite, metrics=_metrics(suite, settings), protocols=_protocols(suite, settings))
    if suite.make is not None:
        parse_contenders(methods)  # raises before any work
        made, told = out / "brackets", progress and partial(progress, "simulate")
        suite.make(data or suite.data, made, settings.brackets, told)
        data = made
    for number, frames in enumerate(_frames(suite, settings)):
        place = out if number == 0 else out / FOLDERS[frames]
        _run_with(suite, methods, place, data, frames, settings, progress)


def _frames(suite: Suite, settings: BenchSettings) -> tuple[Frames, ...]:
    if settings.frames is None:
        return suite.frames
    if settings.frames == "both":
        return get_args(Frames)
    return (cast(Frames, settings.frames),)


def _run_with(
    suite: Suite,
    methods: str,
    out: Path,
    data: Path | None,
    frames: Frames,
    settings: BenchSettings,
    progress: Callable[[str, float], None] | None,
) -> None:
    """Run a suite on all photos of its scenes, or on two of each."""
    contenders = parse_contenders(methods)
    folder = data or suite.data
    scenes = chosen_scenes(suite.find(folder, frames), settings.scenes)
    published = settings.published
    if published is None and (folder / "published.csv").is_file():
        published = folder / "published.csv"
    table = {} if published is None else read_published(published)
    before = _check_folder(out, suite, folder, frames)

    reasons = {contender.label: contender.missing() for contender in contenders}
    able = [contender for contender in contenders if reasons[contender.label] is None]
    skipped = {**before.get("skipped", {}), **reasons}
    skipped = {label: reason for label, reason in skipped.items() if reason is not None}
    about = {
        "suite": suite.name,
        "summary": suite.summary,
        "data": str(folder),
        "frames": frames,
        "still": suite.still,
        "protocols": list(suite.protocols),
        "metrics": list(suite.metrics),
        "headline": suite.headline if suite.headline in suite.metrics else suite.metrics[0],
        "scenes": [scene.name for scene in scenes],
        "groups": list(suite.groups),
        "contenders": _merged(before, [_describe(contender, suite.still) for contender in able]),
        "skipped": skipped,
        "published": {
            method: {scene.name: rows[scene.name] for scene in scenes if scene.name in rows}
            for method, rows in table.items()
        },
        "seed": settings.seed,
        "environment": {**environment(), "workers": settings.workers},
        "began": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
    }
    save_record(out / "run.json", about)
    _loops(suite, scenes, able, out, settings, progress)


def _metrics(suite: Suite, settings: BenchSettings) -> tuple[str, ...]:
    from ..metrics import get_metric
    from ..metrics.table import METRICS

    if settings.metrics is None:
        return tuple(name for name in suite.metrics if name in METRICS)
    if not settings.metrics:
        raise OptionError("--metrics: expected at least one name, found none")
    return tuple(get_metric(name).name for name in dict.fromkeys(settings.metrics))


def _protocols(suite: Suite, settings: BenchSettings) -> tuple[Protocol, ...]:
    if settings.protocols is None:
        return suite.protocols
    return tuple(protocol for protocol in PROTOCOLS if protocol in settings.protocols)


def _check_folder(out: Path, suite: Suite, data: Path, frames: Frames) -> dict[str, Any]:
    """Check that results can be written; return what an earlier run there was."""
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out}: expected a folder for the results, found a file; name another")
    check_output(out / "run.json", OVERWRITE, suffixes=(".json",), make_folder=True)
    make_results_folder(out)
    before = load_record(out / "run.json") or {}
    now = {"suite": suite.name, "data": str(data), "frames": frames, "still": suite.still}
    for key, value in now.items():
        if before and before.get(key) != value:
            raise OptionError(
                f"{out}: expected results with {key} {value!r}, found ones with "
                f"{before.get(key)!r}; give each run a folder of its own"
            )
    return before


def _describe(contender: Contender, still: bool) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "label": contender.label,
        "slug": contender.slug,
        "kind": contender.kind,
        "summary": contender.summary,
    }
    if contender.kind == "outside":
        facts["version"] = OUTSIDE[contender.name].version()
    else:
        facts["paper"] = METHODS[contender.name].paper
        facts["settings"] = _plain(asdict(contender.options(still)))
        imported = [read_info(path).published for path in contender.weights if path.is_file()]
        if any(imported):
            facts["kind"], facts["weights"] = "imported", imported
    return facts


def _merged(before: dict[str, Any], now: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Keep the methods of an earlier run in the same folder beside those of this one."""
    merged = {facts["label"]: facts for facts in [*before.get("contenders", []), *now]}
    return list(merged.values())


def _loops(
    suite: Suite,
    scenes: Sequence[Scene],
    contenders: Sequence[Contender],
    out: Path,
    settings: BenchSettings,
    progress: Callable[[str, float], None] | None,
) -> None:
    where = environment()
    where["workers"] = settings.workers
    sizes = {scene.name: _pixels(scene) for scene in scenes}

    def job(work: str, scene: Scene, contender: Contender | None) -> Job:
        place = Place(out, scene.name, contender.slug if contender else "")
        pixels = sizes[scene.name]
        needed = _BASE_BYTES + _SCORE_BYTES_PER_PIXEL * pixels
        if work != "score":
            network = contender is not None and contender.is_network
            needed = fusing_bytes(len(scene.files), pixels, _sample_bytes(scene), network=network)
        return Job(work, suite, scene, place, contender, settings.redo, where, needed)

    pairs = [(scene, contender) for scene in scenes for contender in contenders]
    loops = {
        "prepare": [job("prepare", scene, None) for scene in scenes],
        "fuse": [job("fuse", scene, who) for scene, who in pairs],
        "score": [job("score", scene, who) for scene, who in pairs],
    }
    budget = settings.memory_bytes or available_bytes() // 2
    with one_thread_each():
        for name, jobs in loops.items():
            told = None if progress is None else (lambda share, n=name: progress(n, share))
            _run_jobs(jobs, settings.workers, budget, told)


def _sample_bytes(scene: Scene) -> int:
    """Of one channel of a photo, at most."""
    return 1 if scene.files[0].suffix.lower() in (".jpg", ".jpeg") else 2


def _pixels(scene: Scene) -> int:
    from PIL import Image

    try:
        with Image.open(scene.files[0]) as image:
            return image.width * image.height
    except Exception:
        return 24_000_000  # a RAW file, or one that will fail in its turn


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))


def _run_jobs(
    jobs: Sequence[Job], workers: int, budget: int, progress: Callable[[float], None] | None
) -> None:
    """Run jobs in processes, as many at a time as the memory allows, at least one.

    A process that dies (out of memory, a crash in a library) is its job's error; one that was
    killed, perhaps for others' sake, has its job done again alone.
    """
    todo = [job for job in jobs if not is_done(job)]
    answers = do_apart(
        do_job,
        [(job,) for job in todo],
        workers,
        seconds=math.inf,
        needs=lambda place: todo[place].bytes_needed,
        budget=budget,
        fresh=True,
        progress=progress,
    )
    with closing(answers):
        for place, answer in answers:
            if isinstance(answer, Failure):
                record_error(todo[place], f"{answer.reason} (out of memory, or a crash)")

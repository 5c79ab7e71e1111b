"""The benchmark's loops: prepare every scene, fuse it with every method to disk, score the files.

Everything lies in one folder: `run.json` (what ran, where, with what), `inputs/SCENE/` (the photos
as the report shows them), `fused/METHOD/SCENE.png` with a `.json` beside it (settings, seconds,
memory), `scores/METHOD/SCENE.json`. Each loop skips what is there and still valid: a record holds
the hash of all that its result depends on. A scene that fails is a recorded error, never a stop.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import multiprocessing
import os
import platform
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from ... import pipeline
from ...errors import GhostlessError, OptionError, OutputError, unknown_name
from ...io.read import ReadSettings, read_bracket, read_frame, read_image
from ...io.write import WriteSettings, check_output, write_text
from ...methods import METHODS
from ...work.memory import available_bytes
from ..data.scenes import Scene
from .contenders import Contender, parse_contenders
from .outside import OUTSIDE
from .pool import one_thread_each, start_process
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

MEFB_JPEG_QUALITY = 75  # what MATLAB's imwrite takes, and MEFB with it
_OVERWRITE = WriteSettings(overwrite=True)
_PREVIEW_PIXELS = 2048
# Estimates of what a job holds, to keep the pool within its memory: an interpreter with the
# libraries loaded, then bytes for each pixel of each frame (fusing) or of the result (scoring).
_BASE_BYTES = 250_000_000
_NETWORK_BYTES = 2_000_000_000  # torch, a network and the tensors of a tile
_FUSE_BYTES_PER_PIXEL = 70
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
    seed: int = 0
    redo: bool = False

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise OptionError(f"expected at least 1 worker, found {self.workers}")
        if self.frames not in (None, "both", *get_args(Frames)):
            raise OptionError(f"expected frames 'all', 'two' or 'both', found {self.frames!r}")
        for name in self.protocols or ():
            if name not in PROTOCOLS:
                raise unknown_name("protocol", name, PROTOCOLS)


def run(
    suite_name: str,
    methods: str,
    out: Path,
    data: Path | None = None,
    settings: BenchSettings | None = None,
    *,
    progress: Callable[[str, float], None] | None = None,
) -> None:
    """Run a suite into a folder; `results.load_results` reads what it wrote.

    methods: names with commas, as `contenders.parse_contenders` reads them.
    progress: called with (loop, fraction 0..1).
    Raises GhostlessError for anything given that cannot be used; a scene or a method that fails
    is a recorded error.
    """
    settings = settings or BenchSettings()
    if suite_name not in SUITES:
        raise unknown_name("suite", suite_name, SUITES)
    suite = SUITES[suite_name]
    if settings.still is not None:
        suite = replace(suite, still=settings.still)
    suite = replace(suite, metrics=_metrics(suite, settings), protocols=_protocols(suite, settings))
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
    _save(out / "run.json", about)
    _loops(suite, scenes, able, out, settings, progress)


def environment() -> dict[str, Any]:
    """Return what results depend on: commit, versions, machine, threads of each process."""
    return {
        "commit": commit(),
        "versions": pipeline.versions(),
        "device": f"CPU ({platform.machine()}, {_processor()}, {os.cpu_count()} cores)",
        "threads": 1,
    }


def commit() -> str | None:
    """Return the commit of this program, "+" after it where files differ; None off a checkout."""
    here = Path(__file__).resolve().parents[4]
    if not (here / ".git").exists():
        return None
    try:
        words = [
            subprocess.run(
                ["git", "-C", str(here), *command],
                capture_output=True,
                text=True,
                timeout=20,
                check=True,
            ).stdout.strip()
            for command in (
                ["rev-parse", "--short=12", "HEAD"],
                ["status", "--porcelain", "-uno", "src"],
            )
        ]
    except (OSError, subprocess.SubprocessError):
        return None
    return words[0] + ("+" if words[1] else "")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown processor"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "unknown processor"


# ---- what was asked for ----


def _metrics(suite: Suite, settings: BenchSettings) -> tuple[str, ...]:
    from ..metrics import METRICS, get_metric

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
    check_output(out / "run.json", _OVERWRITE, suffixes=(".json",), make_folder=True)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{out}: expected a folder to write results to, found none and could not make it "
            f"({error.strerror}); name another"
        ) from None
    before = _load(out / "run.json") or {}
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
    return facts


def _merged(before: dict[str, Any], now: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Keep the methods of an earlier run in the same folder beside those of this one."""
    merged = {facts["label"]: facts for facts in [*before.get("contenders", []), *now]}
    return list(merged.values())


# ---- jobs ----


@dataclass(frozen=True)
class _Place:
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
class _Job:
    """One piece of work for a process: a function's name and what it needs."""

    work: str
    suite: Suite
    scene: Scene
    place: _Place
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


def _rebuilt(values: dict[str, Any], suite: str, facts: dict[str, Any]) -> _Job:
    return _Job(suite=replace(SUITES[suite], **facts), **values)


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

    def job(work: str, scene: Scene, contender: Contender | None, per_pixel: int) -> _Job:
        frames = len(scene.files) if work != "score" else 1
        place = _Place(out, scene.name, contender.slug if contender else "")
        network = work == "fuse" and contender is not None and contender.is_network
        needed = _NETWORK_BYTES if network else _BASE_BYTES
        needed += per_pixel * frames * sizes[scene.name]
        return _Job(work, suite, scene, place, contender, settings.redo, where, needed)

    pairs = [(scene, contender) for scene in scenes for contender in contenders]
    loops = {
        "prepare": [job("prepare", scene, None, _FUSE_BYTES_PER_PIXEL) for scene in scenes],
        "fuse": [job("fuse", scene, who, _FUSE_BYTES_PER_PIXEL) for scene, who in pairs],
        "score": [job("score", scene, who, _SCORE_BYTES_PER_PIXEL) for scene, who in pairs],
    }
    budget = settings.memory_bytes or available_bytes() // 2
    with one_thread_each():
        for name, jobs in loops.items():
            told = None if progress is None else (lambda share, n=name: progress(n, share))
            _run_jobs(jobs, settings.workers, budget, told)


def _run_jobs(
    jobs: Sequence[_Job], workers: int, budget: int, progress: Callable[[float], None] | None
) -> None:
    """Run jobs in processes, as many at a time as the memory allows, at least one.

    A process that dies (out of memory, a crash in a library) takes its pool along: what was under
    way is then run again one at a time, and a job that dies alone is recorded as an error.
    """
    waiting = [job for job in jobs if not _is_done(job)]
    total, alone = len(waiting), set[int]()
    while waiting:
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(workers, mp_context=context, initializer=start_process)
        running: dict[Future[None], _Job] = {}
        broken = False
        try:
            while (waiting or running) and not broken:
                while waiting and _fits(waiting[0], list(running.values()), workers, budget, alone):
                    job = waiting.pop(0)
                    running[pool.submit(_work, job)] = job
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    job = running.pop(future)
                    try:
                        future.result()
                    except BrokenProcessPool:
                        broken = True
                        if id(job) in alone:
                            _record_error(job, "its process died (out of memory, or a crash)")
                        else:
                            alone.add(id(job))
                            waiting.insert(0, job)
                if progress is not None:
                    progress((total - len(waiting) - len(running)) / total)
            for job in running.values():
                alone.add(id(job))
                waiting.insert(0, job)
            pool.shutdown(cancel_futures=True)
        except BaseException:
            for process in multiprocessing.active_children():
                process.terminate()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _fits(job: _Job, running: list[_Job], workers: int, budget: int, alone: set[int]) -> bool:
    if not running:
        return True
    if len(running) >= workers or id(job) in alone or any(id(j) in alone for j in running):
        return False
    return sum(j.bytes_needed for j in running) + job.bytes_needed <= budget


def _pixels(scene: Scene) -> int:
    from PIL import Image

    try:
        with Image.open(scene.files[0]) as image:
            return image.width * image.height
    except Exception:
        return 24_000_000  # a RAW file, or one that will fail in its turn


def _work(job: _Job) -> None:
    """Do one job and write its record; runs in a process of the pool."""
    try:
        {"prepare": _prepare, "fuse": _fuse, "score": _score}[job.work](job)
    except GhostlessError as error:
        _record_error(job, str(error))
    except Exception as error:
        _record_error(job, f"{type(error).__name__}: {error}")


def _record_of(job: _Job) -> Path:
    if job.work == "prepare":
        return job.place.inputs / "scene.json"
    return job.place.record if job.work == "fuse" else job.place.scores


def _record_error(job: _Job, message: str) -> None:
    record = {"key": _key_of(job), "error": " ".join(message.split())}
    _save(_record_of(job), {**record, "environment": job.environment})


def _is_done(job: _Job) -> bool:
    """Whether a job's result is there, whole, and of these very settings."""
    if job.redo:
        return False
    record = _load(_record_of(job))
    if record is None or "error" in record or record.get("key") != _key_of(job):
        return False
    if job.work == "score":
        have = record.get("metrics", {})
        return all(p in have for p in job.suite.protocols) and set(job.suite.metrics) <= set(
            record.get("tried", [])
        )
    root = _record_of(job).parent
    files = record.get("files", {})
    return bool(files) and all(_size(root / name) == size for name, size in files.items())


def _key_of(job: _Job) -> str:
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


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


# ---- the three kinds of work ----


def _prepare(job: _Job) -> None:
    """Find exposures and reference, save the photos for the report, and the sources for scoring.

    In moving scenes the sources are the photos registered to the reference, so that every result
    is compared with frames of one geometry.
    """
    from ...align import align_bracket
    from ...exposure.assign import assign_stops, choose_reference

    folder = job.place.inputs
    folder.mkdir(parents=True, exist_ok=True)
    bracket = read_bracket(job.scene.files, ReadSettings())
    notes: list[str] = []
    stops: list[float] | None = None
    frames = list(bracket.frames)
    try:
        bracket = assign_stops(bracket)
        frames = list(bracket.frames)
        stops = [float(frame.stops) for frame in frames if frame.stops is not None]
        notes += bracket.notes
    except GhostlessError as error:
        if not job.suite.still:
            raise
        notes.append(str(error))  # methods that need no exposures may still run
        frames.sort(key=lambda frame: float(frame.pixels.mean()))
    # Data sets with true radiance have it in the geometry of the middle frame, the darker of two.
    reference = (len(frames) - 1) // 2
    if job.scene.true_radiance is None and stops is not None:
        reference = choose_reference(bracket)
    files: dict[str, int] = {}
    for number, frame in enumerate(frames, start=1):
        _save_preview(_eight_bits(frame.pixels), folder / f"{number:02d}.jpg")
        files[f"{number:02d}.jpg"] = _size(folder / f"{number:02d}.jpg")
    if not job.suite.still:
        stack = align_bracket(bracket, reference=reference)
        for number, frame in enumerate(stack.frames, start=1):
            name = f"source_{number:02d}.png"
            _write_png(_eight_bits(frame.pixels), folder / name)
            files[name] = _size(folder / name)
    record = {
        "key": _key_of(job),
        "photos": [str(frame.path) for frame in frames],
        "stops": stops,
        "reference": reference,
        "width": frames[0].width,
        "height": frames[0].height,
        "notes": notes,
        "files": files,
        "environment": job.environment,
    }
    _save(folder / "scene.json", record)


def _fuse(job: _Job) -> None:
    """Fuse one scene with one method: a display picture, and radiance where there is a truth."""
    assert job.contender is not None
    place, scene, contender = job.place, job.scene, job.contender
    place.fused.parent.mkdir(parents=True, exist_ok=True)
    prepared = _load(place.inputs / "scene.json") or {}
    outputs = [place.fused]
    if scene.true_radiance is not None and contender.linear:
        outputs.append(place.linear)
    costs, report = [], None
    for out in outputs:
        if contender.kind == "outside":
            cost = _run_outside(contender, scene, prepared, out)
            costs.append((cost.seconds, cost.peak_bytes))
        else:
            report = _run_line(job, prepared, out)
            stages = [stage for stage in report.stages if stage.name != "save"]
            costs.append((sum(s.seconds for s in stages), max(s.peak_bytes for s in stages)))
    written = [path for path in (*outputs, place.ghosts) if path.is_file()]
    record = {
        "key": _key_of(job),
        "scene": scene.name,
        "method": contender.label,
        "seconds": costs[0][0],
        "megapixels": prepared.get("width", 0) * prepared.get("height", 0) / 1e6,
        "frames": len(scene.files),
        "peak_bytes": costs[0][1],
        "files": {path.name: _size(path) for path in written},
        "report": None if report is None else report.as_dict(),
        "environment": {**job.environment, **_device_of(contender)},
    }
    _save(place.record, record)


def _device_of(contender: Contender) -> dict[str, str]:
    """The GPU that a network ran on, if it did."""
    if not contender.is_network:
        return {}
    import torch

    from ...nn.settings import choose_device

    device = choose_device(dict(contender.settings).get("device", "auto"))
    return {"device": torch.cuda.get_device_name(device)} if device.type == "cuda" else {}


def _run_line(job: _Job, prepared: dict[str, Any], out: Path) -> Any:
    assert job.contender is not None
    options = job.contender.options(job.suite.still)
    stages = job.place.fused.with_name(f".{job.scene.name}_stages")
    if not job.suite.still:
        options = replace(options, reference=prepared.get("reference"), save_stages=stages)
    if job.contender.is_network:
        import torch

        torch.set_num_threads(1)
    options = replace(options, write=_OVERWRITE)
    try:
        report = pipeline.fuse_files(job.scene.files, out, options)
        _save_ghosts(stages / "deghosted", job.place.ghosts)
    finally:
        _remove(stages)
    return report


def _run_outside(contender: Contender, scene: Scene, prepared: dict[str, Any], out: Path) -> Any:
    tool = OUTSIDE[contender.name]
    stops = prepared.get("stops")
    if tool.needs_stops and not stops:
        raise OptionError(
            f"{scene.name}: {contender.name} expected known exposures, found none "
            f"({prepared.get('error') or '; '.join(prepared.get('notes', []))})"
        )
    photos = [Path(path) for path in prepared.get("photos", scene.files)]
    if tool.command is not None:  # align_image_stack keeps the geometry of the first photo
        first = photos[prepared.get("reference", 0)]
        photos = [first, *(photo for photo in photos if photo != first)]
    return tool.run(photos, stops or [], out, linear=out.suffix == ".exr")


def _save_ghosts(folder: Path, out: Path) -> None:
    """Write one mask of all frames, white where ghosts were replaced in any."""
    ghosts: NDArray[np.uint8] | None = None
    for file in sorted(folder.glob("*_mask.png")):
        mask = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
        if mask is not None:
            one = np.asarray(255 - mask, np.uint8)
            ghosts = one if ghosts is None else np.maximum(ghosts, one)
    out.unlink(missing_ok=True)
    if ghosts is not None:
        cv2.imwrite(str(out), ghosts)


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def _score(job: _Job) -> None:
    """Work out the metrics of one result that its scene allows and that are not there yet."""
    place = job.place
    made = _load(place.record)
    if made is None or "error" in made:
        _save(
            place.scores,
            {"key": "", "error": "not fused", "environment": job.environment},
        )
        return
    key = _key_of(job)
    before = _load(place.scores) or {}
    if before.get("key") != key or job.redo:
        before = {}
    tried = set(before.get("tried", []))
    names = [name for name in job.suite.metrics if name not in tried]
    metrics: dict[str, dict[str, float | None]] = {
        protocol: dict(values) for protocol, values in before.get("metrics", {}).items()
    }
    problems: dict[str, str] = dict(before.get("problems", {}))
    fused = _eight_bits(read_frame(place.fused).pixels)
    if any(protocol not in metrics for protocol in job.suite.protocols):
        names = list(dict.fromkeys([*names, *job.suite.metrics]))
    start = time.perf_counter()
    values = _values(job, fused, names, problems)
    metrics.setdefault("lossless", {}).update(values)
    if "as-published" in job.suite.protocols:
        if job.scene.has_jpeg_inputs:
            values = _values(job, _through_jpeg(fused), names, problems)
        metrics.setdefault("as-published", {}).update(values)
    record = {
        "key": key,
        "scene": job.scene.name,
        "method": job.contender.label if job.contender else "",
        "metrics": metrics,
        "problems": problems,
        "tried": sorted(tried | set(names)),
        "seconds": time.perf_counter() - start,
        "environment": job.environment,
    }
    _save(place.scores, record)


def _values(
    job: _Job, fused: NDArray[np.uint8], names: Sequence[str], problems: dict[str, str]
) -> dict[str, float | None]:
    """Scores of a display result, and of the radiance beside it, by metric.

    Radiance that no photo can hold, a sun or a lamp, is cut off in truth and result alike: nobody
    can know it, and it would decide every mean.
    """
    from ..metrics import METRICS, Images, score
    from ..metrics.radiance import scaled

    radiance = None
    if job.scene.true_radiance is not None:
        radiance = read_image(job.scene.true_radiance).require("linear").pixels
        radiance = np.minimum(radiance, job.scene.recordable or np.inf)
    truth = None if job.scene.truth is None else _eight_bits(read_frame(job.scene.truth).pixels)
    looks = [Images(fused, tuple(_sources(job)), truth=truth, radiance=radiance)]
    if radiance is not None and job.place.linear.is_file():
        linear = scaled(read_image(job.place.linear).require("linear").pixels, radiance)
        linear = np.minimum(linear, job.scene.recordable or np.inf)
        looks.append(Images(linear, true_radiance=radiance))
    values: dict[str, float | None] = {}
    for images in looks:
        fitting = [name for name in names if METRICS[name].applies_to(images)]
        for name in fitting:
            try:
                value = score(images, [name], threads=1)[name]
            except Exception as error:
                problems[name] = " ".join(str(error).split()) or type(error).__name__
                continue
            # JSON has no infinity; identical images have an infinite PSNR.
            values[name] = value if math.isfinite(value) else None
    return values


def _sources(job: _Job) -> list[NDArray[np.uint8]]:
    if job.suite.still:
        prepared = _load(job.place.inputs / "scene.json") or {}
        files = [Path(path) for path in prepared.get("photos", job.scene.files)]
    else:
        files = sorted(job.place.inputs.glob("source_*.png"))
    return [_eight_bits(read_frame(file).pixels) for file in files]


# ---- small things ----


def _eight_bits(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    if pixels.dtype == np.uint8:
        return np.asarray(pixels)
    if pixels.dtype == np.uint16:
        return np.asarray(np.rint(pixels / np.float32(257)), np.uint8)
    from ...pixels import color

    return np.asarray(np.rint(color.linear_to_srgb(np.clip(pixels, 0, 1)) * 255), np.uint8)


def _through_jpeg(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Save and read again as JPEG of quality 75 with halved chroma, as MATLAB's imwrite does."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=MEFB_JPEG_QUALITY, subsampling="4:2:0")
    return np.asarray(Image.open(buffer).convert("RGB"))


def _save_preview(pixels: NDArray[np.uint8], path: Path) -> None:
    from PIL import Image

    image = Image.fromarray(pixels)
    image.thumbnail((_PREVIEW_PIXELS, _PREVIEW_PIXELS))
    image.save(path, quality=90)


def _write_png(pixels: NDArray[np.uint8], path: Path) -> None:
    from PIL import Image

    Image.fromarray(pixels).save(path, compress_level=1)


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))


def _save(path: Path, record: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(json.dumps(record, indent=1, default=str) + "\n", path, _OVERWRITE)


def _load(path: Path) -> dict[str, Any] | None:
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None

"""The three kinds of work: prepare a scene, fuse it with a method, score the result."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ... import pipeline
from ...errors import GhostlessError, OptionError
from ...io.read import ReadSettings, read_bracket, read_frame, read_image
from ..data.scenes import Scene
from .contenders import Contender
from .jobs import Job, file_size, key_of, load_record, record_error, save_record
from .outside import OUTSIDE
from .writing import OVERWRITE

MEFB_JPEG_QUALITY = 75  # what MATLAB's imwrite takes, and MEFB with it
_PREVIEW_PIXELS = 2048


def do_job(job: Job) -> None:
    """Do one job and write its record; runs in a process of the pool."""
    cv2.setNumThreads(1)
    try:
        {"prepare": _prepare, "fuse": _fuse, "score": _score}[job.work](job)
    except GhostlessError as error:
        record_error(job, str(error))
    except Exception as error:
        record_error(job, f"{type(error).__name__}: {error}")


def _prepare(job: Job) -> None:
    """Find exposures and reference, save the photos for the report, and the sources for scoring.

    In moving scenes the sources are the photos registered to the reference, so that every result
    is compared with frames of one geometry.
    """
    from ...align import align_bracket
    from ...exposure.assign import assign_stops
    from ...exposure.reference import choose_reference

    folder = job.place.inputs
    folder.mkdir(parents=True, exist_ok=True)
    bracket = read_bracket(job.scene.files, ReadSettings())
    stops: list[float] | None = None
    try:
        bracket = assign_stops(bracket)
        frames, notes = list(bracket.frames), list(bracket.notes)
        stops = [float(frame.stops) for frame in frames if frame.stops is not None]
    except GhostlessError as error:
        if not job.suite.still:
            raise
        notes = [str(error)]  # methods that need no exposures may still run
        frames = sorted(bracket.frames, key=lambda frame: float(frame.pixels.mean()))
    # Data sets with true radiance have it in the geometry of the middle frame, the darker of two.
    reference = (len(frames) - 1) // 2
    if job.scene.true_radiance is None and stops is not None:
        reference = choose_reference(bracket)
    written = [
        _save_preview(_eight_bits(f.pixels), folder / f"{n:02d}.jpg")
        for n, f in enumerate(frames, 1)
    ]
    if not job.suite.still:
        stack = align_bracket(bracket, reference=reference)
        written += [
            _write_png(_eight_bits(f.pixels), folder / f"source_{n:02d}.png")
            for n, f in enumerate(stack.frames, 1)
        ]
    record = {
        "key": key_of(job),
        "photos": [str(frame.path) for frame in frames],
        "stops": stops,
        "reference": reference,
        "width": frames[0].width,
        "height": frames[0].height,
        "notes": notes,
        "files": {path.name: file_size(path) for path in written},
        "environment": job.environment,
    }
    save_record(folder / "scene.json", record)


def _fuse(job: Job) -> None:
    """Fuse one scene with one method: a display picture, and radiance where there is a truth."""
    assert job.contender is not None
    place, scene, contender = job.place, job.scene, job.contender
    place.fused.parent.mkdir(parents=True, exist_ok=True)
    prepared = load_record(place.inputs / "scene.json") or {}
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
        "key": key_of(job),
        "scene": scene.name,
        "method": contender.label,
        "seconds": costs[0][0],
        "megapixels": prepared.get("width", 0) * prepared.get("height", 0) / 1e6,
        "frames": len(scene.files),
        "peak_bytes": costs[0][1],
        "files": {path.name: file_size(path) for path in written},
        "report": None if report is None else report.as_dict(),
        "environment": {**job.environment, **_device_of(contender)},
    }
    save_record(place.record, record)


def _device_of(contender: Contender) -> dict[str, str]:
    """The GPU that a network ran on, if it did."""
    if not contender.is_network:
        return {}
    import torch

    from ...nn.settings import choose_device

    device = choose_device(dict(contender.settings).get("device", "auto"))
    return {"device": torch.cuda.get_device_name(device)} if device.type == "cuda" else {}


def _run_line(job: Job, prepared: dict[str, Any], out: Path) -> Any:
    assert job.contender is not None
    options = job.contender.options(job.suite.still)
    stages = job.place.fused.with_name(f".{job.scene.name}_stages")
    if not job.suite.still:
        options = replace(options, reference=prepared.get("reference"), save_stages=stages)
    if job.contender.is_network:
        import torch

        torch.set_num_threads(1)
    options = replace(options, write=OVERWRITE)
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


def _score(job: Job) -> None:
    """Work out the metrics of one result that its scene allows and that are not there yet."""
    place = job.place
    made = load_record(place.record)
    if made is None or "error" in made:
        save_record(
            place.scores,
            {"key": "", "error": "not fused", "environment": job.environment},
        )
        return
    key = key_of(job)
    before = load_record(place.scores) or {}
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
    save_record(place.scores, record)


def _values(
    job: Job, fused: NDArray[np.uint8], names: Sequence[str], problems: dict[str, str]
) -> dict[str, float | None]:
    """Scores of a display result, and of the radiance beside it, by metric.

    Radiance that no photo can hold, a sun or a lamp, is cut off in truth and result alike: nobody
    can know it, and it would decide every mean.
    """
    from ..metrics import Images, score
    from ..metrics.radiance import scaled
    from ..metrics.table import METRICS

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


def _sources(job: Job) -> list[NDArray[np.uint8]]:
    if job.suite.still:
        prepared = load_record(job.place.inputs / "scene.json") or {}
        files = [Path(path) for path in prepared.get("photos", job.scene.files)]
    else:
        files = sorted(job.place.inputs.glob("source_*.png"))
    return [_eight_bits(read_frame(file).pixels) for file in files]


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


def _save_preview(pixels: NDArray[np.uint8], path: Path) -> Path:
    from PIL import Image

    image = Image.fromarray(pixels)
    image.thumbnail((_PREVIEW_PIXELS, _PREVIEW_PIXELS))
    image.save(path, quality=90)
    return path


def _write_png(pixels: NDArray[np.uint8], path: Path) -> Path:
    from PIL import Image

    Image.fromarray(pixels).save(path, compress_level=1)
    return path

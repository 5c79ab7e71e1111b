"""What needs trainings: ablations, the losses of both outputs, and every scale's output."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import numpy as np

from ....errors import FileReadError
from ...metrics import Images, score
from ...metrics.table import METRICS
from ..ablation import AblationSettings, run
from .place import Place, counted, levels, with_peak
from .printed import PrintedTable
from .result import FoundRow, FoundTable, Value

_POINTS = 12


def ablate(table: PrintedTable, place: Place) -> FoundTable:
    """Train what is missing of a table's variants, all alike and briefly, and score them alike."""
    settings = place.settings
    variants = dict.fromkeys(row.method.partition(", output ")[0] for row in table.rows)
    result = run(
        place.paper,
        place.folder(table),
        place.out / "ablation",
        AblationSettings(
            steps=settings.steps,
            batch=settings.batch,
            patch=settings.patch,
            minutes=settings.minutes,
            variants=tuple(variants),
            changes=settings.changes,
            scenes=settings.scenes or AblationSettings.scenes,
            device=settings.device,
            seed=settings.seed,
            quiet=settings.quiet,
        ),
    )
    rows = []
    for row in table.rows:
        values = {}
        for metric in table.metrics:
            found = result.mean(row.method, metric)
            if found is not None:
                mean, low, high = (with_peak(metric, v, table.peak) for v in found)
                values[metric] = Value(mean, low, high)
        missing = "" if values else "not trained yet"
        rows.append(FoundRow(row.name, values, row.printed, missing))
    asked, data = result.settings, place.folder(table).name
    differs = (
        f"Every variant trained alike and briefly: preset {asked['preset']}, {asked['steps']} "
        f"steps of {asked['batch']} patches of {asked['patch']} pixels on {data}, "
        "scored on its held-out scenes: compare the order of the rows, not the values, and only "
        "where the intervals do not overlap.",
    )
    return FoundTable(table, tuple(rows), differs)


def losses_of_outputs(table: PrintedTable, place: Place) -> FoundTable:
    """The logged loss of each output over the steps, thinned."""
    log = place.folder(table) / "log.jsonl"
    steps: dict[int, dict[str, float]] = {}
    lines = log.read_text(encoding="utf-8").splitlines() if log.is_file() else []
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue  # a line that a kill cut short
        found = entry.get("losses") or {} if isinstance(entry, dict) else {}
        outputs = {
            f"output {name.rpartition('_')[2]}": float(value)
            for name, value in found.items()
            if name.startswith("generator/mu_law_")
        }
        if outputs:
            steps[int(entry["step"])] = outputs
    if not steps:
        raise FileReadError(
            f"{log}: expected the log of a training of hdr-gan with a loss for each output, found "
            "none"
        )
    every = max(1, len(steps) // _POINTS)
    chosen = sorted({*sorted(steps)[::every], max(steps)})
    rows = tuple(
        FoundRow(f"step {step:,}", {name: Value(v) for name, v in steps[step].items()})
        for step in chosen
    )
    return FoundTable(table, rows, (f"Means over the intervals of {log.parent.name}'s log.",))


def outputs_of_scales(table: PrintedTable, place: Place) -> FoundTable:
    """Every side output of the decoder, written as PNG and scored against the reduced label."""
    import torch
    import torch.nn.functional as F

    from ....bracket import Fused
    from ....io.write import WriteSettings, write_image
    from ....methods import METHODS
    from ....nn.weights import load_network

    kind = METHODS[place.paper].kind
    network = load_network(kind, place.method_settings(precision="float32")).network
    device = next(network.parameters()).device
    multiple = network.architecture.size_multiple
    found: dict[int, list[dict[str, float]]] = defaultdict(list)
    scenes = place.scenes(table)
    for scene in scenes:
        photos = place.photos(scene)
        tensors = [_tensor(photo, device) for photo in (photos[0], photos[-1])]
        label = _tensor(place.label_picture(scene), device)
        height, width = (side // multiple * multiple for side in label.shape[-2:])
        under, over, label = (image[..., :height, :width] for image in (*tensors, label))
        with torch.inference_mode():
            outputs = network(over=over, under=under)
        for scale, image in enumerate([outputs.final, *outputs.sides]):
            wanted = F.adaptive_avg_pool2d(label, (image.shape[2], image.shape[3]))
            pixels = _pixels(image)
            name = "final" if scale == 0 else f"scale_{scale}"
            path = place.out / "scales" / f"{scene.name.replace('/', '_')}_{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture = Fused(pixels.astype(np.float32) / 255, "display")
            write_image(picture, path, WriteSettings(overwrite=True))
            if min(pixels.shape[:2]) >= 11:
                images = Images(pixels, truth=_pixels(wanted))
                fitting = [m for m in table.metrics if METRICS[m].applies_to(images)]
                found[scale].append(score(images, fitting, threads=1))
    rows = []
    for scale, entries in sorted(found.items(), reverse=True):
        size = "full size" if scale == 1 else f"1/{1 << max(0, scale - 1)} of the size"
        name = "final output" if scale == 0 else f"side output at {size}"
        values = {m: Value.of([e[m] for e in entries], place.settings.seed) for m in table.metrics}
        rows.append(FoundRow(name, {m: v for m, v in values.items() if v is not None}))
    where = f"{counted(len(scenes), 'scene')}; the pictures lie in {place.out / 'scales'}."
    return FoundTable(table, tuple(rows), (where, place.about_weights()))


def _tensor(image: Any, device: Any) -> Any:
    import torch

    planes = np.ascontiguousarray(image.transpose(2, 0, 1)).astype(np.float32) / 255
    return torch.from_numpy(planes)[None].to(device)


def _pixels(image: Any) -> Any:
    return levels(image[0].permute(1, 2, 0).cpu().numpy())

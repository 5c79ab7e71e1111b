"""From a run to weights that can be used: storage in bfloat16, and a card beside them."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ...errors import WeightsError
from ...io.atomic import write_atomically
from ...nn.blocks import count_parameters
from ...nn.weights import WEIGHTS_FOLDER, WeightsInfo, load_weights, read_info, save_weights
from .recipe import Phase

# Of the loss's curve in the card.
_CURVE_POINTS = 12


def finish(folder: Path, phases: tuple[Phase, ...]) -> list[Path]:
    """Write NAME.safetensors (bfloat16) and NAME.md for every phase with weights; return them.

    NAME.onnx too, of the rounded weights, for a network that runs without torch. The best
    averaged weights by validation. Raises WeightsError for a run without any.
    """
    written = []
    for phase in phases:
        name = phase.export.name
        best = folder / f"{name}.best.safetensors"
        if not best.is_file():
            continue
        network, info = load_weights(phase.export, best)
        target = folder / f"{name}.safetensors"
        save_weights(network, target, info, precision="bfloat16")
        load_weights(phase.export, target)  # a file that cannot be read must not be called done
        text = card(phase, info, count_parameters(network), target.stat().st_size, folder)
        target.with_suffix(".md").write_text(text, encoding="utf-8")
        if phase.export.onnx is not None:
            shipped, _ = load_weights(phase.export, target)
            target.with_suffix(".onnx").write_bytes(phase.export.onnx(shipped))
        written.append(target)
    if not written:
        raise WeightsError(
            f"{folder}: expected a run with validated weights (NAME.best.safetensors), found "
            "none; train until the first validation"
        )
    return written


def ship(weights: list[Path], folder: Path = WEIGHTS_FOLDER) -> list[Path]:
    """Copy finished weights and their cards into the package's folder of weights."""
    folder.mkdir(parents=True, exist_ok=True)
    shipped = []
    for path in weights:
        read_info(path)
        graph = path.with_suffix(".onnx")
        for file in (path, path.with_suffix(".md"), *([graph] if graph.is_file() else [])):
            write_atomically(folder / file.name, partial(shutil.copyfile, file), overwrite=True)
        shipped.append(folder / path.name)
    return shipped


def card(phase: Phase, info: WeightsInfo, parameters: int, size_bytes: int, folder: Path) -> str:
    """Markdown about one set of weights: data, steps, hardware, time, scores, known failures."""
    recipe = dict(info.recipe)
    facts = {
        "Parameters": f"{parameters:,}",
        "Architecture": _words(info.architecture),
        "Storage": f"bfloat16 kernels, {size_bytes / 1e6:.1f} MB",
        "Data": info.data,
        "Preset": recipe.get("preset", ""),
        "Steps": _steps(phase, recipe),
        "Hardware": recipe.get("hardware", ""),
        "Time": f"{float(recipe.get('seconds', 0)) / 60:.1f} minutes until then, validation "
        "and, where there were several, earlier phases included",
        "Program": info.commit or "unknown commit",
    }
    lines = [f"# Weights of {info.network}", ""]
    lines += [f"- **{name}:** {value}" for name, value in facts.items()]
    lines += ["", "## Scores on held-out scenes", "", "| score | value |", "|---|---|"]
    lines += [f"| {name} | {value:.4g} |" for name, value in info.scores.items()]
    lines += ["", "## Curve", "", *_curve(phase, folder)]
    lines += ["", "## Recipe", "", f"`{json.dumps(recipe, sort_keys=True)}`"]
    lines += ["", "## Known failures", "", phase.known_failures or "None written down.", ""]
    return "\n".join(lines)


def _steps(phase: Phase, recipe: Mapping[str, Any]) -> str:
    """How long the network had learnt when it was best, and whether that was long."""
    step = int(recipe.get("step", 0))
    batch = int(phase.batch or recipe.get("batch", 0))
    text = f"{step:,} of {phase.steps:,} planned, {batch} samples each; the best by validation"
    before, history = 0, recipe.get("started_from")
    while history:
        before, history = before + int(history.get("step", 0)), history.get("started_from")
    if before:
        text += f". It started from weights of {before:,} steps"
    if step < phase.steps // 10:
        text += ". A short run: expect much of a longer one"
    return text


def _curve(phase: Phase, folder: Path) -> list[str]:
    """A table of validation scores over the steps, thinned."""
    path = folder / "log.jsonl"
    rows: dict[int, Mapping[str, Any]] = {}
    if path.is_file():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                entry = json.loads(line)
                if entry["phase"] == phase.name and "validation" in entry:
                    scores = {str(k): float(v) for k, v in entry["validation"].items()}
                    rows[int(entry["step"])] = scores
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                continue  # a line that a kill cut short; the weights are worth more than it
    if not rows:
        return ["No validations were logged."]
    steps = sorted(rows)
    every = max(1, len(steps) // _CURVE_POINTS)
    chosen = sorted({*steps[::every], steps[-1]})
    names = list(rows[steps[0]])
    table = ["| step | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for step in chosen:
        table.append(
            f"| {step} | " + " | ".join(f"{rows[step].get(n, math.nan):.4g}" for n in names) + " |"
        )
    return table


def _words(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())

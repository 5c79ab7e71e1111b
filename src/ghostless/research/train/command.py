"""What `ghostless train` and `python -m ghostless.research.train` do. Torch is all it needs."""

from __future__ import annotations

import ast
import dataclasses
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ... import methods
from ...errors import OptionError, WeightsError, unknown_name
from ...nn.settings import Precision, needs_torch_extra
from ...settings import named_texts, settings_of

_SWITCH = "architecture."
# Modules of recipes, relative to the package of methods: the methods', and that of the network that
# deghosting finds with.
RECIPES = {
    **{name: method.recipe for name, method in methods.METHODS.items() if method.recipe},
    "agreement": "..research.train.agreement",
}


@dataclass(frozen=True)
class TrainOptions:
    """The command's words; None leaves the preset's number.

    stage: only this phase of a method that has several. start: weights to start from, a path or
    "shipped". changes: NAME=VALUE of the recipe's numbers. finish: write usable weights and their
    card at the end, or when the time is over.
    ship: copy those into the package's folder of weights.
    """

    preset: str = "default"
    stage: str | None = None
    steps: int | None = None
    batch: int | None = None
    patch: int | None = None
    minutes: float | None = None
    device: str = "auto"
    devices: int = 1
    precision: Precision = "auto"
    seed: int = 0
    resume: bool = False
    start: str | None = None
    compile: bool | None = None
    channels_last: bool | None = None
    changes: tuple[str, ...] = ()
    finish: bool = True
    ship: bool = False
    quiet: bool = False


def train(method: str, data: Path, out: Path, options: TrainOptions = TrainOptions()) -> list[Path]:
    """Train a method on packed pictures or photographed brackets; return the finished weights.

    data: a folder that `ghostless data pack` wrote, or one that `data.photo_sets` knows, whose
        photos are decoded once into a folder beside the run. out: the run's folder.
    Raises WeightsError, with the checkpoint written, for a run that was to end with weights and
    stopped before its first validation.
    """
    with needs_torch_extra(f"training of {method!r}"):
        from .engine import Run, RunSettings
        from .export import finish, ship
        from .sources import PhotoUse, open_data

    recipe, phases = prepare(method, options)
    if options.minutes is not None and not options.minutes > 0:
        raise OptionError(f"minutes: expected more than 0, found {options.minutes:g}")
    if options.start not in (None, "shipped") and not Path(str(options.start)).is_file():
        raise WeightsError(
            f"{options.start}: expected weights to start from, found no such file; "
            "give one made by 'ghostless train', or 'shipped'"
        )
    if options.ship and not options.finish:
        raise OptionError("ship: expected finished weights, found --no-finish; leave one out")
    settings = RunSettings(
        minutes=options.minutes,
        device=options.device,
        devices=options.devices,
        precision=options.precision,
        seed=options.seed,
        resume=options.resume,
        start=options.start,
        compile=options.compile,
        channels_last=options.channels_last,
        quiet=options.quiet,
    )
    photos = PhotoUse.of(recipe, data, out, options.quiet)
    run = Run(
        method, recipe, phases, lambda device: open_data(data, device, photos=photos), out, settings
    )
    run.train()
    if run.devices.global_rank or not options.finish:
        return []
    if not run.state.best:
        raise WeightsError(
            f"{out}: expected weights at the end, found none: the run stopped before its first "
            f"validation, at step {run.state.step} ({run.stop_reason}); its checkpoint is there, "
            "go on with --resume, for longer or with no --minutes"
        )
    written = finish(out, phases)
    return ship(written) if options.ship else written


def prepare(method: str, options: TrainOptions) -> tuple[Any, tuple[Any, ...]]:
    """Recipe and phases of a method as the options change them."""
    if method not in RECIPES:
        raise unknown_name("method to train", method, RECIPES)
    with needs_torch_extra(f"training of {method!r}"):
        module = importlib.import_module(RECIPES[method], methods.__name__)
        from .recipe import choose_preset
    preset = module.PRESETS.get(options.preset, module.PRESETS["default"])
    changes = {
        "steps": options.steps,
        "batch": options.batch,
        "patch_pixels": options.patch,
        **_parse(options.changes, preset),
    }
    for common, own in preset.numbers_of(options.stage).items():
        changes[own] = changes.pop(common) or changes.get(own)
    recipe = choose_preset(module.PRESETS, options.preset, changes)
    phases = module.phases(recipe)
    if options.stage is not None:
        names = [phase.name for phase in phases]
        if options.stage not in names:
            raise unknown_name("stage", options.stage, names)
        phases = tuple(phase for phase in phases if phase.name == options.stage)
    for phase in phases:
        phase.check()
    return recipe, phases


def _literal(text: str) -> Any:
    """A number, true or false, or else the word itself."""
    try:
        return ast.literal_eval(text.capitalize())
    except (ValueError, SyntaxError):
        return text


def _parse(changes: Sequence[str], recipe: Any) -> dict[str, Any]:
    """NAME=VALUE of a recipe's numbers, checked against what the recipe has.

    architecture.NAME=VALUE throws a switch of the network; `recipe.switched` checks those.
    """
    known = {name: s for name, s in settings_of(type(recipe)).items() if name != "architecture"}
    parsed: dict[str, Any] = {}
    for name, text in named_texts(changes, "--set"):
        if name.startswith(_SWITCH):
            switches = parsed.setdefault("architecture", dict(recipe.architecture))
            switches[name.removeprefix(_SWITCH)] = _literal(text)
        elif name in known:
            parsed[name] = dataclasses.replace(known[name], name=f"--set {name}").from_text(text)
        else:
            raise unknown_name("number of the recipe", name, known)
    return parsed

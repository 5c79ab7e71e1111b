"""The commands of the group `bench` that are about papers: their ablations and their tables."""

from __future__ import annotations

from typing import Annotated

import typer

from ...cli.show import Bars, print_json, tell
from ...cli.words import (
    Jobs,
    Json,
    Packed,
    Quiet,
    ResultsFolder,
    TrainedMethod,
    TrainingDevice,
    Weights,
)
from ...errors import OptionError

AblationPreset = Annotated[
    str, typer.Option("--recipe", help="Whose losses: the paper's, or the default ones.")
]
AblationMinutes = Annotated[
    float | None,
    typer.Option(min=0, help="Stop cleanly after these; the same command goes on."),
]
AblationChanges = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Change a number of the recipe, everywhere."),
]
VariantNames = Annotated[
    str | None, typer.Option(metavar="V,...", help="Only these, the names as in the table.")
]


def ablation(
    method: TrainedMethod,
    data: Packed,
    out: ResultsFolder,
    preset: AblationPreset = "paper",
    steps: Annotated[int, typer.Option(min=1, help="Of every training.")] = 2000,
    batch: Annotated[int | None, typer.Option(min=1, help="Samples a step.")] = None,
    patch: Annotated[int | None, typer.Option(min=1, help="Side of a sample, pixels.")] = None,
    minutes: AblationMinutes = None,
    variants: VariantNames = None,
    changes: AblationChanges = None,
    first_stage: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|shipped",
            help="Weights of the stage that all variants share, in place of a brief training.",
        ),
    ] = None,
    scenes: Annotated[int, typer.Option(min=1, help="Held-out scenes at most.")] = 16,
    device: TrainingDevice = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Of all random numbers.")] = 0,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Make a paper's ablation tables: train every variant alike and briefly, score them alike."""
    from ..bench.ablation import AblationSettings, run

    settings = AblationSettings(
        preset=preset,
        steps=steps,
        batch=batch,
        patch=patch,
        minutes=minutes,
        variants=None if variants is None else tuple(_variants(variants)),
        changes=tuple(changes or ()),
        first_stage=first_stage,
        scenes=scenes,
        device=device,
        seed=seed,
        quiet=quiet or as_json,
    )
    result = run(method, data, out, settings)
    if as_json:
        print_json(result.as_dict())
    elif not quiet:
        print(result.as_text())


DataFolders = Annotated[
    list[str] | None,
    typer.Option(
        "--data",
        metavar="KIND=DIR",
        help="Where data lie: sice, kalantari, mefb, handheld, train (to train on), run (a "
        "training's folder); repeatable. Else beside the checkout.",
    ),
]
TableIds = Annotated[
    list[str] | None,
    typer.Option("--table", metavar="ID", help="Only this table, such as 1 or fig5; repeatable."),
]
Rivals = Annotated[
    list[str] | None,
    typer.Option(
        "--rival",
        metavar="METHOD=FILE",
        help="Weights of a method of the paper's tables, such as its authors'; repeatable.",
    ),
]
PaperName = Annotated[
    str, typer.Argument(metavar="NAME", help="chen-chuang, mef-gan, lcndr, hdr-gan or dpgn.")
]
AllAsPublished = Annotated[
    bool,
    typer.Option(help="Methods as their papers have them, or as they are by default here."),
]


def paper(
    name: PaperName,
    out: ResultsFolder,
    tables: TableIds = None,
    data: DataFolders = None,
    weights: Weights = None,
    rivals: Rivals = None,
    as_published: AllAsPublished = True,
    steps: Annotated[int, typer.Option(min=1, help="Of every training.")] = 2000,
    batch: Annotated[int | None, typer.Option(min=1, help="Samples a step.")] = None,
    patch: Annotated[int | None, typer.Option(min=1, help="Side of a sample, pixels.")] = None,
    minutes: AblationMinutes = None,
    changes: AblationChanges = None,
    scenes: Annotated[int | None, typer.Option(min=1, help="Of each folder, at most.")] = None,
    side: Annotated[
        int, typer.Option(min=0, help="Reduce photos to this longer side where fused in memory.")
    ] = 0,
    jobs: Jobs = 1,
    device: TrainingDevice = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Of all random numbers.")] = 0,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Work out a paper's tables and figures, ours beside what is printed, and what differs."""
    from ..bench.papers.place import PaperSettings, folders_of, rivals_of
    from ..bench.papers.run import run

    settings = PaperSettings(
        folders=folders_of(data or ()),
        weights=weights,
        rivals=rivals_of(rivals or ()),
        as_published=as_published,
        steps=steps,
        batch=batch,
        patch=patch,
        minutes=minutes,
        changes=tuple(changes or ()),
        scenes=scenes,
        side=side,
        workers=jobs,
        device=device,
        seed=seed,
    )
    with Bars(quiet) as bars:
        result = run(name, out, settings, tables, progress=bars)
    tell(result, quiet, as_json)


def _variants(text: str) -> list[str]:
    """Names parted by commas; "add, add" is one, its comma followed by a blank."""
    import re

    names = [name.strip() for name in re.split(r",(?!\s)", text) if name.strip()]
    if not names:
        raise OptionError(f"--variants: expected names with commas, found {text!r}")
    return names

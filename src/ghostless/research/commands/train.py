"""The words of `ghostless train`; `python -m ghostless.research.train` needs no typer for them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ...cli.show import print_json
from ...cli.words import TrainedMethod, TrainingDevice

Preset = Annotated[
    str,
    typer.Option(
        "--recipe",
        help="paper: as it is printed; program: as its authors' program does; default: ours.",
    ),
]
TrainingData = Annotated[
    Path,
    typer.Option(
        metavar="FOLDER",
        help="What 'ghostless data pack' wrote, or photos: SICE, Kalantari 2017, your brackets.",
    ),
]
Stage = Annotated[str | None, typer.Option(help="Only one phase of a method that has several.")]
Minutes = Annotated[
    float | None, typer.Option(help="Stop cleanly after these; go on with --resume.")
]
Devices = Annotated[int, typer.Option(help="How many on this machine; on several use torchrun.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the folder's checkpoint.")]
StartFrom = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Weights to start from: a file, or 'shipped'."),
]
CompileNetworks = Annotated[
    bool | None, typer.Option("--compile/--no-compile", help="Default: yes on CUDA devices.")
]
ChannelsLast = Annotated[bool | None, typer.Option(help="Default: yes on CUDA devices.")]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Change a number of the recipe."),
]
Finish = Annotated[bool, typer.Option(help="Write usable weights and their card at the end.")]
Ship = Annotated[bool, typer.Option("--ship", help="Copy weights and cards into the package.")]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print JSON on standard output, and no progress.")
]


def train(
    method: TrainedMethod,
    data: TrainingData,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="RUN", help="The run's folder.")],
    preset: Preset = "default",
    stage: Stage = None,
    steps: Annotated[int | None, typer.Option(help="Instead of the preset's.")] = None,
    batch: Annotated[int | None, typer.Option(help="Samples a step and device.")] = None,
    patch: Annotated[int | None, typer.Option(help="Side of a sample in pixels.")] = None,
    minutes: Minutes = None,
    device: TrainingDevice = "auto",
    devices: Devices = 1,
    precision: Annotated[str, typer.Option(help="auto, float32 or bfloat16.")] = "auto",
    seed: Annotated[int, typer.Option(help="Of all random numbers.")] = 0,
    resume: Resume = False,
    start: StartFrom = None,
    compile_networks: CompileNetworks = None,
    channels_last: ChannelsLast = None,
    changes: Changes = None,
    finish: Finish = True,
    ship: Ship = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train a network on packed HDR pictures or on brackets; write its weights and card."""
    from ...errors import OptionError
    from ...nn.settings import PRECISIONS
    from ..train.command import TrainOptions
    from ..train.command import train as run

    if precision not in PRECISIONS:
        raise OptionError(
            f"precision: expected one of {', '.join(PRECISIONS)}, found {precision!r}"
        )
    chosen: Any = precision
    options = TrainOptions(
        preset=preset,
        stage=stage,
        steps=steps,
        batch=batch,
        patch=patch,
        minutes=minutes,
        device=device,
        devices=devices,
        precision=chosen,
        seed=seed,
        resume=resume,
        start=start,
        compile=compile_networks,
        channels_last=channels_last,
        changes=tuple(changes or ()),
        finish=finish,
        ship=ship,
        quiet=quiet or as_json,
    )
    written = run(method, data, out, options)
    if as_json:
        print_json({"output": str(out), "written": [str(path) for path in written]})
        return
    for path in written:
        print(path)

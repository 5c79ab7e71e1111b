"""The commands `bench SUITE` and `bench report`."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_type_hints

import typer

from ...cli.show import Bars, print_json, tell
from ...cli.words import Deghost, Json, MethodName, Packed, Quiet, TrainedMethod, TrainingDevice
from ...errors import OptionError

if TYPE_CHECKING:
    from ...pipeline import FuseOptions
    from ..bench.results import Results

_SUITES = {
    "mefb": "MEFB's pairs of still scenes: twenty metrics, 21 published methods beside ours.",
    "sice": "SICE's brackets of still scenes, against the reference that people picked.",
    "kalantari": "Brackets of moving people, against true radiance where the folder has it.",
    "simulated": "Brackets that 'ghostless simulate' wrote, against their true radiance.",
    "folder": "Any folder of brackets; a true picture beside the photos is used where it is.",
}

ResultsFolder = Annotated[
    Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for results; resumed if there.")
]
Methods = Annotated[
    str,
    typer.Option(
        metavar="A,B,...",
        help="Methods, with settings after a colon (mertens:overshoot=clip), and programs of "
        "others: opencv-mertens, opencv-mtb-mertens, opencv-debevec, opencv-debevec-drago, "
        "enfuse, hugin; and the base line reference-alone.",
    ),
]
Data = Annotated[
    Path | None,
    typer.Argument(metavar="[DATA]", help="Folder of scenes; else beside the checkout."),
]
Metrics = Annotated[
    str | None, typer.Option(metavar="M,...", help="In place of the suite's own metrics.")
]
Scenes = Annotated[str | None, typer.Option(metavar="S,...", help="Only these scenes.")]
Workers = Annotated[int, typer.Option(min=1, help="Processes at a time, one thread each.")]
MemoryGigabytes = Annotated[
    float | None,
    typer.Option(
        "--memory-gb", min=0.1, help="What they may take together; else half of the free."
    ),
]
Redo = Annotated[bool, typer.Option("--redo", help="Fuse and score again what is there.")]
Pictures = Annotated[bool, typer.Option(help="Show the pictures in the page.")]
StillFolders = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="[DATA]...", help="Folders of still brackets; else those beside the checkout."
    ),
]
Sensitivity = Annotated[
    float, typer.Option(min=0.25, max=4, help="Of deghosting: above 1 finds fainter ghosts.")
]
Comparisons = Annotated[
    Path | None,
    typer.Option("--out", "-o", metavar="DIR", help="Also save a picture of each, and the JSON."),
]


def add_commands(bench_app: typer.Typer) -> None:
    """Add a command for each suite, and `report`, to the group `bench`."""
    for name, summary in _SUITES.items():
        bench_app.command(name, help=summary)(_command(name))
    bench_app.command("report")(report)
    bench_app.command("ablation")(ablation)
    for comparison in (still, pasted):
        bench_app.command(comparison.__name__)(_comparison(comparison))


def _command(suite: str) -> Any:
    """Make the command of one suite; suites share their options but for what only one has."""

    def command(
        out: ResultsFolder,
        data: Data = None,
        methods: Methods = "mertens,debevec,opencv-mertens",
        metrics: Metrics = None,
        scenes: Scenes = None,
        protocol: Annotated[
            str | None,
            typer.Option(
                metavar="P,...",
                help="lossless, as-published (JPEG photos' results saved as JPEG 75 first).",
            ),
        ] = None,
        published: Annotated[
            Path | None,
            typer.Option(
                help="CSV of published scores; else published.csv of DATA.",
            ),
        ] = None,
        frames: Annotated[
            str | None,
            typer.Option(
                metavar="all|two|both",
                help="All photos, the darkest and brightest, or a table of each; else as the suite "
                "says (sice: both).",
            ),
        ] = None,
        still: Annotated[
            bool | None,
            typer.Option(
                "--still/--moving",
                help="Fuse photos as they are, or through the whole line; else as the suite says.",
            ),
        ] = None,
        workers: Workers = 2,
        memory_gb: MemoryGigabytes = None,
        seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0,
        redo: Redo = False,
        pictures: Pictures = True,
        quiet: Quiet = False,
        as_json: Json = False,
    ) -> None:
        from ..bench.run import BenchSettings, run

        settings = BenchSettings(
            metrics=_names("--metrics", metrics),
            protocols=_names("--protocol", protocol),
            frames=frames,
            scenes=_names("--scenes", scenes),
            published=published,
            still=still,
            workers=workers,
            memory_bytes=None if memory_gb is None else int(memory_gb * 1e9),
            seed=seed,
            redo=redo,
        )
        with Bars(quiet) as bars:
            run(suite, methods, out, data, settings, progress=bars)
        _tell(out, pictures, quiet, as_json)

    return command


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of results.")],
    pictures: Pictures = True,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write the report of a benchmark again, from the results in its folder."""
    _tell(folder, pictures, quiet, as_json)


def ablation(
    method: TrainedMethod,
    data: Packed,
    out: ResultsFolder,
    preset: Annotated[
        str, typer.Option(help="Whose losses: the paper's, or the default ones.")
    ] = "paper",
    steps: Annotated[int, typer.Option(min=1, help="Of every training.")] = 2000,
    batch: Annotated[int | None, typer.Option(min=1, help="Samples a step.")] = None,
    patch: Annotated[int | None, typer.Option(min=1, help="Side of a sample, pixels.")] = None,
    minutes: Annotated[
        float | None,
        typer.Option(min=0, help="Stop cleanly after these; the same command goes on."),
    ] = None,
    variants: Annotated[
        str | None, typer.Option(metavar="V,...", help="Only these, the names as in the table.")
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


def _compare(
    suite: str,
    further: dict[str, Any],
    data: StillFolders = None,
    method: MethodName = "mertens",
    deghost: Deghost = "auto",
    sensitivity: Sensitivity = 1.0,
    scenes: Scenes = None,
    out: Comparisons = None,
    workers: Workers = 2,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Run a benchmark of brackets fused with and without deghosting."""
    from ..bench.with_and_without import DEFAULT_DATA

    run = importlib.import_module(f"..bench.{suite}", __package__).run
    with Bars(quiet) as bars:
        result = run(
            data or DEFAULT_DATA,
            _options(method, deghost, sensitivity),
            scenes=_names("--scenes", scenes),
            workers=workers,
            out=out,
            progress=lambda share: bars("brackets", share),
            **further,
        )
    tell(result, quiet, as_json)


def _comparison(own: Callable[..., dict[str, Any]]) -> Any:
    """Make the command of the benchmark that a function is named after.

    It has the options of `_compare` and of that function, which returns what they mean to `run`.
    """
    of_its_own = inspect.signature(own).parameters
    shared = list(inspect.signature(_compare).parameters.values())[2:]

    def command(**words: Any) -> None:
        further = own(**{name: words.pop(name) for name in of_its_own})
        _compare(own.__name__, further, **words)

    hints = get_type_hints(own, include_extras=True) | get_type_hints(_compare, include_extras=True)
    options = [
        each.replace(annotation=hints[each.name]) for each in (*of_its_own.values(), *shared)
    ]
    command.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in options}
    command.__doc__ = own.__doc__
    return command


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    return get_type_hints(function, include_extras=True)


def still() -> dict[str, Any]:
    """Measure what deghosting does to brackets in which nothing moves."""
    return {}


def pasted(
    pieces: Annotated[int, typer.Option(min=1, help="Pieces for each bracket.")] = 2,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same pieces.")] = 0,
) -> dict[str, Any]:
    """Measure deghosting where the answer is known: pieces of photos that move through others."""
    return {"pieces": pieces, "seed": seed}


def _options(method: str, deghost: str, sensitivity: float) -> FuseOptions:
    from ...deghost import DeghostSettings
    from ...pipeline import FuseOptions

    settings = DeghostSettings(mode=cast(Any, deghost), sensitivity=sensitivity)
    return FuseOptions(method=method, deghost=settings)


def _variants(text: str) -> list[str]:
    """Names parted by commas; "add, add" is one, its comma followed by a blank."""
    import re

    names = [name.strip() for name in re.split(r",(?!\s)", text) if name.strip()]
    if not names:
        raise OptionError(f"--variants: expected names with commas, found {text!r}")
    return names


def _tell(folder: Path, pictures: bool, quiet: bool, as_json: bool) -> None:
    from ..bench.report import write_report
    from ..bench.results import load_results

    results: Results = load_results(folder)
    write_report(results, pictures)
    if as_json:
        print_json(results.as_dict())
    elif not quiet:
        print(results.as_text())


def _names(option: str, text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    names = tuple(word.strip() for word in text.split(",") if word.strip())
    if not names:
        raise OptionError(f"{option}: expected names with commas, found {text!r}")
    return names

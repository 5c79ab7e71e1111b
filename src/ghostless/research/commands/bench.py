"""The commands of the group `bench`."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_type_hints

import typer

from ...cli.show import Bars, print_json, tell
from ...cli.words import (
    AsPublished,
    Deghost,
    Jobs,
    Json,
    MethodName,
    Quiet,
    ResultsFolder,
    Seed,
)
from ...errors import OptionError
from .bench_papers import ablation, paper

if TYPE_CHECKING:
    from ...pipeline import FuseOptions
    from ..bench.results import Results


def _suites(incomplete: str) -> list[str]:
    from ..bench.suites import SUITES

    return [name for name in SUITES if name.startswith(incomplete)]


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
Protocols = Annotated[
    str | None,
    typer.Option(
        metavar="P,...",
        help="lossless, as-published (JPEG photos' results saved as JPEG 75 first).",
    ),
]
Published = Annotated[
    Path | None, typer.Option(help="CSV of published scores; else published.csv of DATA.")
]
FramesTaken = Annotated[
    str | None,
    typer.Option(
        metavar="all|two|both",
        help="All photos, the darkest and brightest, or a table of each; else as the suite says "
        "(sice: both).",
    ),
]
StillOrMoving = Annotated[
    bool | None,
    typer.Option(
        "--still/--moving",
        help="Fuse photos as they are, or through the whole line; else as the suite says.",
    ),
]
MemoryGigabytes = Annotated[
    float | None,
    typer.Option(
        "--memory-gb", min=0.1, help="What they may take together; else half of the free."
    ),
]
Count = Annotated[
    int, typer.Option(min=1, help="Brackets to make in each setting, where a suite makes them.")
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


bench_app = typer.Typer(
    rich_markup_mode=None, help="Measure methods on scenes, speed and alignment."
)


@bench_app.callback(invoke_without_command=True)
def _start_bench(ctx: typer.Context) -> None:
    if ctx.invoked_subcommand is None:
        print(ctx.get_help())


@bench_app.command("run")
def run_suite(
    suite: Annotated[
        str, typer.Argument(metavar="SUITE", autocompletion=_suites, help="One of those above.")
    ],
    out: ResultsFolder,
    data: Data = None,
    methods: Methods = "mertens,debevec,opencv-mertens",
    metrics: Metrics = None,
    scenes: Scenes = None,
    protocol: Protocols = None,
    published: Published = None,
    frames: FramesTaken = None,
    still: StillOrMoving = None,
    as_published: AsPublished = False,
    jobs: Jobs = 2,
    memory_gb: MemoryGigabytes = None,
    count: Count = 4,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0,
    redo: Redo = False,
    pictures: Pictures = True,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Measure methods on a suite of scenes.

    mefb: MEFB's pairs of still scenes: twenty metrics, 21 published methods beside ours.

    sice: SICE's brackets of still scenes, against the reference that people picked.

    kalantari: brackets of moving people, against true radiance where the folder has it.

    simulated: brackets that 'ghostless simulate' wrote, against their true radiance.

    lucky: brackets of HDR pictures as LuckyHDR's paper has them, with its figures beside.

    folder: any folder of brackets; a true picture beside the photos is used where it is.
    """
    from ..bench.run import BenchSettings, run

    settings = BenchSettings(
        metrics=names_of("--metrics", metrics),
        protocols=names_of("--protocol", protocol),
        frames=frames,
        scenes=names_of("--scenes", scenes),
        published=published,
        still=still,
        workers=jobs,
        memory_bytes=None if memory_gb is None else int(memory_gb * 1e9),
        brackets=count,
        seed=seed,
        redo=redo,
    )
    if as_published:
        from ..bench.contenders import all_as_published

        methods = all_as_published(methods)
    with Bars(quiet) as bars:
        run(suite, methods, out, data, settings, progress=bars)
    _tell(out, pictures, quiet, as_json)


@bench_app.command()
def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of results.")],
    pictures: Pictures = True,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write the report of a benchmark again, from the results in its folder."""
    _tell(folder, pictures, quiet, as_json)


bench_app.command()(ablation)
bench_app.command()(paper)


def _compare(
    suite: str,
    further: dict[str, Any],
    data: StillFolders = None,
    method: MethodName = "mertens",
    deghost: Deghost = "auto",
    sensitivity: Sensitivity = 1.0,
    scenes: Scenes = None,
    out: Comparisons = None,
    jobs: Jobs = 2,
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
            scenes=names_of("--scenes", scenes),
            workers=jobs,
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


def still() -> dict[str, Any]:
    """Measure what deghosting does to brackets in which nothing moves."""
    return {}


def pasted(
    pieces: Annotated[int, typer.Option(min=1, help="Pieces for each bracket.")] = 2,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same pieces.")] = 0,
) -> dict[str, Any]:
    """Measure deghosting where the answer is known: pieces of photos that move through others."""
    return {"pieces": pieces, "seed": seed}


for _benchmark in (still, pasted):
    bench_app.command(_benchmark.__name__)(_comparison(_benchmark))


@bench_app.command("align")
def bench_align(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="Folder of folders with under.* and over.*")
    ] = Path("../shared/data/mefb30"),
    patches: Annotated[int, typer.Option(min=1, help="Patches of each pair and radius.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same patches.")] = 0,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Measure alignment where the answer is known, against SIFT and ECC."""
    from ..bench.alignment import run as run_bench

    with Bars(quiet) as bars:
        result = run_bench(
            data, patches=patches, seed=seed, progress=lambda share: bars("patches", share)
        )
    tell(result, quiet, as_json)


@bench_app.command("batch")
def bench_batch(
    brackets: Annotated[int, typer.Option(min=1, help="Brackets in the simulated shoot.")] = 200,
    megapixels: Annotated[float, typer.Option(min=0.01, help="Size of each photo.")] = 0.3,
    missing: Annotated[
        list[float],
        typer.Option(min=0, max=1, help="Share of photos without EXIF to group at; repeatable."),
    ] = [0.0, 0.1],  # noqa: B006  typer copies it
    jobs: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Brackets at a time, beside one; repeatable. Else one per core."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed takes the same photos.")] = 0,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Measure whole folders: brackets a minute, and brackets grouped wrongly."""
    from ..bench.folders import run as run_bench

    with Bars(quiet) as bars:
        result = run_bench(brackets, megapixels, missing, jobs, seed, progress=bars)
    tell(result, quiet, as_json)


SpeedMethods = Annotated[
    list[str], typer.Option("--method", help="A name from 'ghostless methods'; repeatable.")
]
SpeedPeers = Annotated[
    list[str], typer.Option("--peer", help="A program of others to measure; repeatable.")
]
EveryMethod = Annotated[
    bool, typer.Option("--all", help="All of 'ghostless methods', networks included.")
]
WholeCommand = Annotated[
    bool, typer.Option(help="Also measure 'ghostless fuse' from files to file.")
]
SpeedFolder = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        metavar="DIR",
        help="Write speed.json there; in a suite's folder its report shows it.",
    ),
]


@bench_app.command("speed")
def bench_speed(
    megapixels: Annotated[float, typer.Option(min=0.01, help="Size of each photo.")] = 24.0,
    frames: Annotated[int, typer.Option(min=2, max=20, help="Photos in the bracket.")] = 3,
    method: SpeedMethods = ["mertens"],  # noqa: B006  typer copies it
    peer: SpeedPeers = ["opencv-mertens"],  # noqa: B006
    every_method: EveryMethod = False,
    whole_command: WholeCommand = True,
    out: SpeedFolder = None,
    repeats: Annotated[int, typer.Option(min=1, help="Runs of each; the median counts.")] = 3,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Measure seconds and memory, side by side with other programs."""
    from ...methods import METHODS
    from ..bench.speed import run as run_bench
    from ..bench.speed_results import check_folder, save

    if out is not None:
        check_folder(out)
    with Bars(quiet) as bars:
        result = run_bench(
            megapixels,
            frames,
            # Networks without weights run with random ones; tables of weights cannot.
            [
                name
                for name, entry in METHODS.items()
                if entry.needs_extra or not entry.why_not_here()
            ]
            if every_method
            else method,
            peer,
            whole_command,
            repeats,
            progress=lambda share: bars("runs", share),
        )
    if out is not None:
        save(result, out)
    tell(result, quiet, as_json)


@bench_app.command("cameras")
def bench_cameras(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="Folder of still brackets or pairs.")
    ] = Path("../shared/data"),
    pictures: Annotated[
        Path, typer.Option("--hdr", help="HDR pictures, or a packed folder, to simulate from.")
    ] = Path("../shared/data/hdri"),
    count: Annotated[int, typer.Option(min=2, help="Simulated pairs of each kind.")] = 150,
    seed: Seed = 0,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Measure how far real and simulated photos are from one curve per channel."""
    from ...nn.settings import needs_torch_extra

    with needs_torch_extra("bench cameras"):
        from ..data import camera as _needed  # noqa: F401
    from ..bench.cameras import run as run_bench

    with Bars(quiet) as bars:
        result = run_bench(
            data, pictures, count=count, seed=seed, progress=lambda share: bars("pairs", share)
        )
    tell(result, quiet, as_json)


@bench_app.command("references")
def bench_references(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="Scenes with a label, laid out like SICE's.")
    ] = Path("../shared/data/static/sice"),
    side: Annotated[int, typer.Option(min=176, help="Longer side that is worked at.")] = 512,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Measure how near the references chosen by TMQI come to what people picked."""
    from ...nn.settings import needs_torch_extra

    with needs_torch_extra("bench references"):
        from ..data import references as _needed  # noqa: F401
    from ..bench.references import run as run_bench

    with Bars(quiet) as bars:
        result = run_bench(
            data, longer_side_pixels=side, progress=lambda share: bars("scenes", share)
        )
    tell(result, quiet, as_json)


def _options(method: str, deghost: str, sensitivity: float) -> FuseOptions:
    from ...deghost import DeghostSettings
    from ...pipeline import FuseOptions

    settings = DeghostSettings(mode=cast(Any, deghost), sensitivity=sensitivity)
    return FuseOptions(method=method, deghost=settings)


def _tell(folder: Path, pictures: bool, quiet: bool, as_json: bool) -> None:
    from ..bench.report import write_report
    from ..bench.results import load_results

    results: Results = load_results(folder)
    write_report(results, pictures)
    if as_json:
        print_json(results.as_dict())
    elif not quiet:
        print(results.as_text())
        print(f"report: {folder / 'report.html'}")


def names_of(option: str, text: str | None) -> tuple[str, ...] | None:
    """Names with commas that an option was given; None where it was not."""
    if text is None:
        return None
    names = tuple(word.strip() for word in text.split(",") if word.strip())
    if not names:
        raise OptionError(f"{option}: expected names with commas, found {text!r}")
    return names

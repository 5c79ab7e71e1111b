"""The words of `ghostless batch`, and what it shows on its way."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from ..errors import BracketError, OptionError
from .presets import PresetName
from .show import Bars, print_json
from .told import NOT_OF_BATCH, options_of
from .words import (
    Align,
    Contrast,
    Crop,
    Deghost,
    DeghostBy,
    Depth,
    Device,
    Exposure,
    Highlights,
    JpegQuality,
    Json,
    MaxPixels,
    MethodName,
    Quality,
    Quiet,
    Reference,
    Saturation,
    Shadows,
    Strength,
    Temperature,
    Tint,
    ToneMap,
    Weights,
    Words,
    Wrap,
)

if TYPE_CHECKING:
    from rich.progress import Progress

    from ..batch.photos import Folder
    from ..batch.plan import Plan
    from ..batch.run import Step
    from ..batch.summary import Summary
    from ..pipeline import FuseOptions

SOME_FAILED = 1

Shoot = Annotated[
    Path, typer.Argument(metavar="SHOOT", help="Folder of photos, with its subfolders.")
]
Results = Annotated[
    Path | None, typer.Option("--out", "-o", metavar="DIR", help="Folder for the results.")
]
PlanFile = Annotated[
    Path | None,
    typer.Option(
        metavar="CSV",
        help="Who belongs to whom: a new file is written to check and edit, and nothing is "
        "fused; one that is there is followed.",
    ),
]
Size = Annotated[
    int | None, typer.Option(min=2, max=20, help="Photos of each bracket; else found out.")
]
Pairs = Annotated[str, typer.Option(metavar="raw|jpeg", help="Which of a RAW+JPEG pair is fused.")]
Format = Annotated[
    str,
    typer.Option("--format", "-f", help="Of the results: jpg png tif webp avif, or exr hdr jxl."),
]
Consistent = Annotated[
    bool,
    typer.Option("--consistent", help="The same exposure and white balance from set to set."),
]
Jobs = Annotated[int | None, typer.Option(min=1, help="Brackets at a time; else one per core.")]
MemoryGb = Annotated[
    float | None,
    typer.Option(min=0.1, help="What they may take together; else 70 % of what is available."),
]
Cluster = Annotated[
    str | None,
    typer.Option(metavar="local|auto|ray://HOST:PORT", help="Fuse on a Ray cluster."),
]
Hdr = Annotated[bool, typer.Option("--hdr", help="Make .jpg or .avif shine on HDR displays.")]
OverwriteAny = Annotated[
    bool, typer.Option("--overwrite", help="Fuse all again, and replace any file in the way.")
]
Account = Annotated[Path | None, typer.Option(help="Also save the account of every file as JSON.")]


def batch(
    ctx: typer.Context,
    folder: Shoot,
    out: Results = None,
    plan: PlanFile = None,
    size: Size = None,
    pairs: Pairs = "raw",
    format: Format = "jpg",
    consistent: Consistent = False,
    jobs: Jobs = None,
    memory_gb: MemoryGb = None,
    cluster: Cluster = None,
    preset: PresetName = None,
    method: MethodName = "auto",
    align: Align = "auto",
    crop: Crop = False,
    wrap: Wrap = None,
    deghost: Deghost = "auto",
    deghost_by: DeghostBy = "network",
    reference: Reference = "auto",
    tone_map: ToneMap = "auto",
    exposure: Exposure = 0.0,
    highlights: Highlights = 0.0,
    shadows: Shadows = 0.0,
    contrast: Contrast = 0.0,
    saturation: Saturation = 0.0,
    temperature: Temperature = 0.0,
    tint: Tint = 0.0,
    strength: Strength = 1.0,
    hdr: Hdr = False,
    quality: Quality = None,
    weights: Weights = None,
    device: Device = None,
    words: Words = None,
    jpeg_quality: JpegQuality = 95,
    depth: Depth = None,
    overwrite: OverwriteAny = False,
    report: Account = None,
    max_pixels: MaxPixels = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Find the brackets in a folder of photos and fuse each; run again, it goes on where it was."""
    start = time.monotonic()
    from ..work.pool import start_server

    start_server()  # it loads its libraries while this process loads what it needs
    from ..batch.plan import write_plan
    from ..batch.run import RunSettings
    from ..batch.summary import Summary, account

    suffix = _suffix_of(format)
    options = options_of(ctx, Path(f"name{suffix}"), but=NOT_OF_BATCH).options
    memory_bytes = None if memory_gb is None else int(memory_gb * 1e9)
    settings = RunSettings(jobs=jobs, memory_bytes=memory_bytes, cluster=cluster)
    planning = plan is not None and not plan.exists()
    _check_files(folder, out, plan, planning, size, report)
    shoot, todo = _find_brackets(
        folder, out, None if planning else plan, pairs, size, suffix, options, quiet
    )
    if plan is not None and planning:
        write_plan(todo, shoot, plan)
        _tell_plan(todo, plan, quiet, as_json)
        return
    assert out is not None
    done = _run(todo, shoot, out, options, settings, consistent, quiet)
    accounts, took = account(todo, done.brackets), time.monotonic() - start
    summary = Summary(str(folder), str(out), done.brackets, accounts, took, done.notes)
    _tell(summary, report, quiet, as_json)
    if not todo.brackets:
        raise BracketError(
            f"{folder}: expected brackets, found none among {len(shoot.photos)} photos; "
            "say how many photos each has (--size), or group them yourself (--plan)"
        )
    if summary.failed:
        raise typer.Exit(SOME_FAILED)


def _suffix_of(format: str) -> str:
    from ..io.encode import FORMAT_BY_SUFFIX

    suffix = f".{format.lower().removeprefix('.')}"
    if suffix not in FORMAT_BY_SUFFIX:
        known = [name.removeprefix(".") for name in FORMAT_BY_SUFFIX]
        raise OptionError(f"--format: expected one of {', '.join(known)}, found {format!r}")
    return suffix


def _check_files(
    folder: Path,
    out: Path | None,
    plan: Path | None,
    planning: bool,
    size: int | None,
    report: Path | None,
) -> None:
    """Raise, before any photo is read, what would keep plan, results or report from being there.

    planning: whether the plan is to be written, rather than followed.
    """
    from ..batch.plan import check_plan_file
    from ..batch.run import check_folders
    from ..io.write import WriteSettings, check_output

    if plan is not None and planning:
        check_plan_file(plan)
    if plan is not None and not planning and size is not None:
        raise OptionError(
            f"--size: expected it for finding brackets, found {plan}, which says who belongs to "
            "whom; leave one of both out"
        )
    if out is None and not planning:
        raise OptionError(
            "expected --out DIR for the results, found none; give one, or --plan FILE.csv to "
            "see the brackets first"
        )
    if out is not None:
        check_folders(folder, out)
    if report is not None:
        check_output(report, WriteSettings(overwrite=True), suffixes=(".json",))


def _find_brackets(
    folder: Path,
    out: Path | None,
    plan: Path | None,
    pairs: str,
    size: int | None,
    suffix: str,
    options: FuseOptions,
    quiet: bool,
) -> tuple[Folder, Plan]:
    """The photos of a folder and who belongs to whom: as `plan` says, or else found out."""
    from ..batch.photos import scan_folder
    from ..batch.plan import make_plan, read_plan
    from ..batch.segments import GroupSettings

    read, prefer = options.read, cast(Any, pairs)
    grouping = GroupSettings(size=size)
    with Bars(quiet) as bars:
        shoot = scan_folder(
            folder, prefer=prefer, read=read, skip=out, progress=_stage(bars, "read")
        )
        if plan is not None:
            return shoot, read_plan(plan, shoot, suffix)
        compare = _stage(bars, "compare")
        return shoot, make_plan(shoot, grouping, suffix, read=read, progress=compare)


def _run(
    todo: Plan,
    shoot: Folder,
    out: Path,
    options: FuseOptions,
    settings: Any,
    consistent: bool,
    quiet: bool,
) -> Any:
    from ..batch.consistent import consistent_options
    from ..batch.run import run_plan

    options_of = None
    if consistent and todo.brackets:
        with Bars(quiet) as bars:
            options_of = consistent_options(
                todo, shoot, out, options, progress=_stage(bars, "measure")
            )
    with Steps(quiet) as steps:
        return run_plan(todo, shoot, out, options, settings, options_of=options_of, progress=steps)


def _stage(bars: Bars, name: str) -> Any:
    return lambda share: bars(name, share)


def _tell_plan(todo: Plan, path: Path, quiet: bool, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "plan": str(path),
                "brackets": [
                    {"number": b.number, "output": b.output, "files": list(b.files), "note": b.note}
                    for b in todo.brackets
                ],
                "rest": {name: list(value) for name, value in todo.rest.items()},
            }
        )
    elif not quiet:
        used = sum(len(bracket.files) for bracket in todo.brackets)
        print(
            f"{path}: {len(todo.brackets)} brackets of {used} photos, {len(todo.rest)} other "
            "files; check it, change groups if need be, then give it with --plan and --out"
        )


def _tell(summary: Summary, report: Path | None, quiet: bool, as_json: bool) -> None:
    if report is not None:
        import json

        from ..io.write import WriteSettings, write_text

        text = json.dumps(summary.as_dict(), indent=2) + "\n"
        write_text(text, report, WriteSettings(overwrite=True))
    if as_json:
        print_json(summary.as_dict())
    elif not quiet:
        print(summary.as_text())


class Steps:
    """A line on standard error for each bracket; on a terminal a bar below it."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._progress: Progress | None = None

    def __enter__(self) -> Steps:
        if not self._quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

            self._progress = Progress(
                TextColumn("brackets"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[left]}"),
                console=Console(stderr=True),
                transient=True,
            )
            self._progress.add_task("", total=None, left="")
            self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def __call__(self, step: Step) -> None:
        left = "" if step.seconds_left is None else f"about {in_words(step.seconds_left)} left"
        if self._quiet:
            return
        if self._progress is not None:
            task = self._progress.task_ids[0]
            self._progress.update(task, completed=step.finished, total=step.total, left=left)
        if step.last.state == "kept":
            return
        line = f"{step.finished}/{step.total} {step.last.planned.output}: "
        if step.last.state == "failed":
            line += f"failed: {step.last.outcome.error}"
        else:
            line += f"{len(step.last.planned.files)} photos, {step.last.outcome.seconds:.1f} s"
        if self._progress is not None:
            self._progress.console.print(line, markup=False, highlight=False)
        else:
            print(f"{line}; {left}" if left else line, file=sys.stderr, flush=True)


def in_words(seconds: float) -> str:
    """A time for people.

    >>> in_words(42.4), in_words(150), in_words(7000)
    ('42 s', '2.5 min', '1 h 57 min')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.1f} min"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min"

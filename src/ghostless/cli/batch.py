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
    Crop,
    Deghost,
    DeghostBy,
    Depth,
    Device,
    JpegQuality,
    Json,
    MaxPixels,
    MethodName,
    Quality,
    Quiet,
    Reference,
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


def batch(
    ctx: typer.Context,
    folder: Annotated[
        Path, typer.Argument(metavar="SHOOT", help="Folder of photos, with its subfolders.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DIR", help="Folder for the results."),
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV",
            help="Who belongs to whom: a new file is written to check and edit, and nothing is "
            "fused; one that is there is followed.",
        ),
    ] = None,
    size: Annotated[
        int | None, typer.Option(min=2, max=20, help="Photos of each bracket; else found out.")
    ] = None,
    pairs: Annotated[
        str, typer.Option(metavar="raw|jpeg", help="Which of a RAW+JPEG pair is fused.")
    ] = "raw",
    format: Annotated[
        str,
        typer.Option(
            "--format", "-f", help="Of the results: jpg png tif webp avif, or exr hdr jxl."
        ),
    ] = "jpg",
    consistent: Annotated[
        bool,
        typer.Option("--consistent", help="The same exposure and white balance from set to set."),
    ] = False,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Brackets at a time; else one per core.")
    ] = None,
    memory_gb: Annotated[
        float | None,
        typer.Option(
            "--memory-gb",
            min=0.1,
            help="What they may take together; else 70 % of what is available.",
        ),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(metavar="local|auto|ray://HOST:PORT", help="Fuse on a Ray cluster."),
    ] = None,
    preset: PresetName = None,
    method: MethodName = "auto",
    align: Align = "auto",
    crop: Crop = False,
    wrap: Wrap = None,
    deghost: Deghost = "auto",
    deghost_by: DeghostBy = "network",
    reference: Reference = "auto",
    tone_map: ToneMap = "auto",
    hdr: Annotated[
        bool, typer.Option("--hdr", help="Make .jpg or .avif shine on HDR displays.")
    ] = False,
    quality: Quality = None,
    weights: Weights = None,
    device: Device = None,
    words: Words = None,
    jpeg_quality: JpegQuality = 95,
    depth: Depth = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Fuse all again, and replace any file in the way.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option(help="Also save the account of every file as JSON.")
    ] = None,
    max_pixels: MaxPixels = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Find the brackets in a folder of photos and fuse each; run again, it goes on where it was."""
    start = time.monotonic()
    from ..work.pool import start_server

    start_server()  # it loads its libraries while this process loads what it needs
    from ..batch.photos import scan_folder
    from ..batch.plan import check_plan_file, make_plan, read_plan, write_plan
    from ..batch.run import RunSettings, check_folders
    from ..batch.segments import GroupSettings
    from ..batch.summary import Summary, account
    from ..io.encode import FORMAT_BY_SUFFIX
    from ..io.write import WriteSettings, check_output, write_text

    suffix = f".{format.lower().removeprefix('.')}"
    if suffix not in FORMAT_BY_SUFFIX:
        known = [name.removeprefix(".") for name in FORMAT_BY_SUFFIX]
        raise OptionError(f"--format: expected one of {', '.join(known)}, found {format!r}")
    options = options_of(ctx, Path(f"name{suffix}"), but=NOT_OF_BATCH).options
    memory_bytes = None if memory_gb is None else int(memory_gb * 1e9)
    settings = RunSettings(jobs=jobs, memory_bytes=memory_bytes, cluster=cluster)
    grouping = GroupSettings(size=size)
    plan_is_there = plan is not None and plan.exists()
    if plan is not None and not plan_is_there:
        check_plan_file(plan)
    if plan_is_there and size is not None:
        raise OptionError(
            f"--size: expected it for finding brackets, found {plan}, which says who belongs to "
            "whom; leave one of both out"
        )
    if out is None and (plan is None or plan_is_there):
        raise OptionError(
            "expected --out DIR for the results, found none; give one, or --plan FILE.csv to "
            "see the brackets first"
        )
    if out is not None:
        check_folders(folder, out)
    if report is not None:
        check_output(report, WriteSettings(overwrite=True), suffixes=(".json",))

    with Bars(quiet) as bars:
        read = options.read
        shoot = scan_folder(
            folder, prefer=cast(Any, pairs), read=read, skip=out, progress=_stage(bars, "read")
        )
        if plan is not None and plan_is_there:
            todo = read_plan(plan, shoot, suffix)
        else:
            todo = make_plan(shoot, grouping, suffix, read=read, progress=_stage(bars, "compare"))
    if plan is not None and not plan_is_there:
        write_plan(todo, shoot, plan)
        _tell_plan(todo, plan, quiet, as_json)
        return
    assert out is not None
    done = _run(todo, shoot, out, options, settings, consistent, quiet)
    took = time.monotonic() - start
    accounts = account(todo, done.brackets)
    summary = Summary(str(folder), str(out), done.brackets, accounts, took, done.notes)
    if report is not None:
        import json

        text = json.dumps(summary.as_dict(), indent=2) + "\n"
        write_text(text, report, WriteSettings(overwrite=True))
    _tell(summary, quiet, as_json)
    if not todo.brackets:
        raise BracketError(
            f"{folder}: expected brackets, found none among {len(shoot.photos)} photos; "
            "say how many photos each has (--size), or group them yourself (--plan)"
        )
    if summary.failed:
        raise typer.Exit(SOME_FAILED)


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


def _tell(summary: Summary, quiet: bool, as_json: bool) -> None:
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

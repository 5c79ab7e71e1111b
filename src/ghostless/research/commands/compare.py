"""The command that shows one bracket by many methods."""

from __future__ import annotations

from typing import Annotated

import typer

from ...cli.photos import expand
from ...cli.show import Bars, print_json
from ...cli.words import AsPublished, Files, Jobs, Json, Quiet, ResultsFolder
from .bench import Redo, names_of


def compare(
    files: Files,
    out: ResultsFolder,
    methods: Annotated[
        str,
        typer.Option(
            metavar="use|all|A,B,...",
            help="Those for photographs, all, or some, with settings after a colon.",
        ),
    ] = "use",
    metrics: Annotated[
        str | None, typer.Option(metavar="M,...", help="What stands under each picture.")
    ] = None,
    still: Annotated[
        bool, typer.Option("--still", help="Fuse the photos as they are: nothing moved.")
    ] = False,
    as_published: AsPublished = False,
    jobs: Jobs = 2,
    redo: Redo = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Show one bracket by many methods, side by side on one page, with scores."""
    from ..bench.compare import PAGE, wanted
    from ..bench.compare import compare as compare_methods
    from ..bench.run import BenchSettings

    photos, remarks = expand(files)
    if as_published:
        from ..bench.contenders import all_as_published

        methods = all_as_published(wanted(methods))
    settings = BenchSettings(
        metrics=names_of("--metrics", metrics), still=still, workers=jobs, redo=redo
    )
    with Bars(quiet) as bars:
        results = compare_methods(photos, out, methods, settings, progress=bars)
    if as_json:
        print_json(results.as_dict())
    elif not quiet:
        for remark in remarks:
            print(remark)
        print(results.as_text())
        print(f"page: {out / PAGE}")

"""The words of `ghostless batch`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .presets import PresetName
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
Name = Annotated[
    str | None,
    typer.Option(
        metavar="PATTERN",
        help="Of the results: {first}_hdr, with first, last, date, number, folder, method.",
    ),
]
Watch = Annotated[
    bool, typer.Option("--watch", help="Go on: fuse what a camera puts there, until Ctrl-C.")
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
    name: Name = None,
    consistent: Consistent = False,
    watch: Watch = False,
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
    from ..work.children import start_server

    start_server()  # it loads its libraries while this process loads what it needs
    from ..batch.naming import Naming
    from ..batch.run import RunSettings
    from ..options.chosen import names_by_photos
    from .folders import Asked, suffix_of, whole_folder
    from .rerun import words_again

    suffix = suffix_of(format)
    told = options_of(ctx, Path(f"name{suffix}"), but=NOT_OF_BATCH)
    asked = Asked(
        folder=folder,
        out=out,
        plan=plan,
        size=size,
        pairs=pairs,
        naming=Naming(suffix, name or "", names_by_photos(told.options, Path(f"name{suffix}"))),
        consistent=consistent,
        watch=watch,
        options=told.options,
        settings=RunSettings(
            jobs=jobs,
            memory_bytes=None if memory_gb is None else int(memory_gb * 1e9),
            cluster=cluster,
        ),
        report=report,
        again=tuple(words_again(ctx)),
        quiet=quiet,
        as_json=as_json,
    )
    if whole_folder(asked).failed:
        raise typer.Exit(SOME_FAILED)

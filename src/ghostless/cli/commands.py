"""The subcommands and their words. What they need is imported when they run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import OptionError
from ..research.commands.bench import bench_app
from ..research.commands.compare import compare
from ..research.commands.data import data_app, render, simulate
from ..research.commands.export import export
from ..research.commands.score import ScoreCommand, metrics, score
from ..research.commands.train import train
from ..research.commands.weights import weights_app
from .batch import batch
from .brief import in_brief
from .grouped import GroupedCommand
from .photos import check_no_photo_at, expand, free_name_beside
from .presets import PresetName, presets
from .remaining import OF_A_NETWORK, OF_THE_LINE
from .serve import serve
from .settings import settings
from .show import (
    Bars,
    bracket_facts,
    check_verbose,
    print_bracket,
    print_facts,
    print_json,
    print_methods,
    tell,
)
from .told import OF_ALIGNING, OF_DEGHOSTING, OF_READING, check_deghosting, options_of
from .words import (
    Align,
    AsPublished,
    Contrast,
    Crop,
    Deghost,
    DeghostBy,
    Depth,
    Device,
    Exposure,
    Files,
    Highlights,
    JpegQuality,
    Json,
    Keep,
    MaxPixels,
    MethodName,
    OutFolder,
    Overwrite,
    Quality,
    Quiet,
    Reference,
    ReportFile,
    Saturation,
    Shadows,
    Stops,
    StopsFile,
    Strength,
    Temperature,
    Tint,
    ToneMap,
    Verbose,
    Weights,
    Words,
    Wrap,
)

app = typer.Typer(
    rich_markup_mode=None,
    help="Bracketed photos of one scene in, one good picture out: aligned, free of ghosts, "
    "well exposed everywhere, or as HDR.",
)
app.add_typer(bench_app, name="bench")
app.add_typer(data_app, name="data")
app.add_typer(weights_app, name="weights")


@app.callback(invoke_without_command=True)
def _start(
    ctx: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        from .. import __version__

        print(f"ghostless {__version__}")
    elif ctx.invoked_subcommand is None:
        print(ctx.get_help())


@app.command(cls=GroupedCommand)
def fuse(
    ctx: typer.Context,
    files: Files,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="To write: .jpg .png .tif .webp .avif; radiance: .exr .hdr .jxl .dng. Else a "
            ".jpg beside the photos.",
        ),
    ] = None,
    hdr: Annotated[
        bool,
        typer.Option("--hdr", help="Have a .jpg or .avif shine on HDR displays."),
    ] = False,
    preset: PresetName = None,
    method: MethodName = "auto",
    as_published: AsPublished = False,
    stops: Stops = None,
    stops_file: StopsFile = None,
    align: Align = "auto",
    crop: Crop = False,
    wrap: Wrap = None,
    deghost: Deghost = "auto",
    deghost_by: DeghostBy = "network",
    reference: Reference = "auto",
    keep: Keep = None,
    tone_map: ToneMap = "auto",
    exposure: Exposure = 0.0,
    highlights: Highlights = 0.0,
    shadows: Shadows = 0.0,
    contrast: Contrast = 0.0,
    saturation: Saturation = 0.0,
    temperature: Temperature = 0.0,
    tint: Tint = 0.0,
    strength: Strength = 1.0,
    quality: Quality = None,
    weights: Weights = None,
    device: Device = None,
    words: Words = None,
    jpeg_quality: JpegQuality = 95,
    depth: Depth = None,
    overwrite: Overwrite = False,
    report: ReportFile = None,
    save_stages: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Also save the aligned and deghosted frames and masks."),
    ] = None,
    max_pixels: MaxPixels = None,
    verbose: Verbose = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Fuse the photos of one bracket into one picture."""
    from ..pipeline import fuse_files

    check_verbose(verbose, quiet, as_json)
    target = out or free_name_beside(files)
    told = options_of(ctx, target)
    check_no_photo_at(target, files)
    network = told.method is not None and told.method.needs_extra
    with Bars(quiet, OF_A_NETWORK if network else OF_THE_LINE) as bars:
        photos, remarks = expand(files, out)
        done = fuse_files(photos, target, told.options, progress=bars, remarks=remarks)
    tell(done, quiet, as_json, None if verbose else in_brief)


@app.command(cls=GroupedCommand)
def align(
    ctx: typer.Context,
    files: Files,
    out: OutFolder,
    preset: PresetName = None,
    stops: Stops = None,
    stops_file: StopsFile = None,
    align: Align = "auto",
    crop: Crop = False,
    wrap: Wrap = None,
    reference: Reference = "auto",
    words: Words = None,
    overwrite: Overwrite = False,
    report: ReportFile = None,
    max_pixels: MaxPixels = None,
    verbose: Verbose = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write the aligned frames of one bracket as TIFF files."""
    from ..pipeline import align_files

    check_verbose(verbose, quiet, as_json)
    options = options_of(ctx, takes=OF_ALIGNING).options
    with Bars(quiet, OF_THE_LINE) as bars:
        photos, remarks = expand(files)
        done = align_files(photos, out, options, progress=bars, remarks=remarks)
    tell(done, quiet, as_json, None if verbose else in_brief)


@app.command(cls=GroupedCommand)
def deghost(
    ctx: typer.Context,
    files: Files,
    out: OutFolder,
    masks: Annotated[
        bool, typer.Option("--masks", help="Also write where ghosts were, as PNG.")
    ] = False,
    preset: PresetName = None,
    stops: Stops = None,
    stops_file: StopsFile = None,
    align: Align = "auto",
    crop: Crop = False,
    wrap: Wrap = None,
    deghost: Deghost = "on",
    deghost_by: DeghostBy = "network",
    reference: Reference = "auto",
    words: Words = None,
    overwrite: Overwrite = False,
    report: ReportFile = None,
    max_pixels: MaxPixels = None,
    verbose: Verbose = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write the aligned frames of one bracket with the ghosts gone, as TIFF files."""
    from ..deghost import DeghostSettings
    from ..pipeline import FuseOptions, deghost_files

    check_verbose(verbose, quiet, as_json)
    base = FuseOptions(deghost=DeghostSettings(mode="on"))
    options = options_of(ctx, takes=OF_DEGHOSTING, base=base).options
    check_deghosting(options)
    with Bars(quiet, OF_THE_LINE) as bars:
        photos, remarks = expand(files)
        done = deghost_files(photos, out, options, masks=masks, progress=bars, remarks=remarks)
    tell(done, quiet, as_json, None if verbose else in_brief)


@app.command()
def info(
    ctx: typer.Context,
    files: Files,
    stops: Stops = None,
    stops_file: StopsFile = None,
    max_pixels: MaxPixels = None,
    as_json: Json = False,
) -> None:
    """Print the bracket: each file's exposure and where it is known from, and the reference."""
    from ..exposure.reference import choose_reference
    from ..pipeline import prepare_files

    options = options_of(ctx, takes=OF_READING).options

    photos, remarks = expand(files)
    bracket = prepare_files(photos, options, remarks)
    reference = choose_reference(bracket)
    if as_json:
        print_json(bracket_facts(bracket, reference))
    else:
        print_bracket(bracket, reference)


@app.command()
def methods(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="All there is to tell of one of them.")
    ] = None,
    new: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Write a new method's file, entry, page and test."),
    ] = None,
    network: Annotated[
        bool, typer.Option("--network", help="The new method is a network of two photos.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Print the table of fusion methods, or begin a new one."""
    if new is not None:
        from ..research.commands.new_method import new_method

        tell(new_method(new, network=network), False, as_json)
        return
    if network:
        raise OptionError("network: expected --new NAME with it, found none")
    from ..methods import METHODS, get_method

    chosen = [*METHODS.values()] if name is None else [get_method(name)]
    if as_json:
        print_json([method.facts() for method in chosen])
    elif name is None:
        print_methods(chosen)
    else:
        print_facts(chosen[0])


app.command()(compare)
app.command(cls=ScoreCommand)(score)
app.command()(metrics)


app.command()(train)


app.command()(serve)


app.command()(simulate)


app.command()(render)


app.command(cls=GroupedCommand)(batch)


app.command()(export)


app.command()(presets)


app.command()(settings)

"""The subcommands about data: simulated brackets, packed panoramas, prepared references."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import OptionError
from .show import Bars

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace existing output files.")]
OutFolder = Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder to write to.")]
Seed = Annotated[int, typer.Option(min=0, help="The same seed gives the same result.")]

data_app = typer.Typer(
    rich_markup_mode=None, help="Prepare what networks are trained on: pack panoramas, references."
)


@data_app.callback(invoke_without_command=True)
def _start(ctx: typer.Context) -> None:
    if ctx.invoked_subcommand is None:
        print(ctx.get_help())


def simulate(
    hdr: Annotated[
        list[Path],
        typer.Argument(metavar="HDR", help="HDR pictures, a folder of them, or a packed folder."),
    ],
    out: OutFolder,
    frames: Annotated[int, typer.Option(min=2, max=20, help="Photos in a bracket.")] = 3,
    gap: Annotated[float, typer.Option(min=0.1, max=12, help="Stops between photos.")] = 2.0,
    size: Annotated[str, typer.Option(metavar="WxH", help="Pixels of a photo.")] = "768x512",
    count: Annotated[int, typer.Option(min=1, help="How many brackets.")] = 1,
    seed: Seed = 0,
    static: Annotated[bool, typer.Option("--static", help="Nothing moves.")] = False,
    motion: Annotated[
        float, typer.Option(min=0, help="Largest camera shift between photos, pixels.")
    ] = 6.0,
    objects: Annotated[int, typer.Option(min=0, max=32, help="Things in front, at most.")] = 3,
    suffix: Annotated[
        str, typer.Option("--format", metavar="jpg|png", help="Format of the photos.")
    ] = "jpg",
    jpeg_quality: Annotated[int, typer.Option(min=1, max=100, help="Quality of JPEG files.")] = 92,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Photograph HDR pictures: brackets with shake, moving things, noise, and the true answers."""
    pixels = _size(size)
    from ..nn.settings import needs_networks_extra

    with needs_networks_extra("simulate"):
        from ..data.camera import CameraSettings
        from ..data.export import simulate_files
        from ..data.simulate import SimulationSettings
    settings = SimulationSettings(
        size=pixels,
        frames=(frames, frames),
        gap_stops=(gap, gap),
        span_stops=max(gap * (frames - 1), 1.0),
        static=static,
        shake_pixels=motion,
        objects=(min(1, objects), objects),
        camera=CameraSettings(jpeg_share=0),
    )
    with Bars(quiet) as bars:
        folders = simulate_files(
            hdr,
            out,
            settings,
            count=count,
            seed=seed,
            suffix="." + suffix.lower().lstrip("."),
            quality=jpeg_quality,
            overwrite=overwrite,
            progress=lambda share: bars("brackets", share),
        )
    if not quiet:
        print(f"{len(folders)} bracket{'s' if len(folders) > 1 else ''} in {out}")


def _size(text: str) -> tuple[int, int]:
    """(height, width) of "768x512"."""
    words = text.lower().split("x")
    if len(words) != 2 or not all(word.isdecimal() for word in words):
        raise OptionError(f"--size: expected WIDTHxHEIGHT such as 768x512, found {text!r}")
    return int(words[1]), int(words[0])


@data_app.command()
def pack(
    folders: Annotated[
        list[Path], typer.Argument(metavar="FOLDERS", help="Folders with .hdr and .exr pictures.")
    ],
    out: OutFolder,
    surfaces: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Colour maps that objects are cut from.")
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Pack HDR pictures small for training: log radiance in 16 bits, split by scene."""
    from ..nn.settings import needs_networks_extra

    with needs_networks_extra("data pack"):
        from ..data.panoramas import pack as pack_folders
    with Bars(quiet) as bars:
        entries = pack_folders(
            folders,
            out,
            surfaces=surfaces,
            overwrite=overwrite,
            progress=lambda share: bars("pictures", share),
        )
    if not quiet:
        held_out = sum(entry.split == "held-out" for entry in entries)
        size = sum((out / entry.file).stat().st_size for entry in entries) / 1e6
        print(f"{len(entries)} pictures in {size:.1f} MB, {held_out} of them held out")


@data_app.command()
def references(
    packed: Annotated[Path, typer.Argument(metavar="PACKED", help="A folder from 'data pack'.")],
    out: OutFolder,
    views: Annotated[int, typer.Option(min=1, help="Views of each picture.")] = 8,
    size: Annotated[str, typer.Option(metavar="WxH", help="Pixels of a view.")] = "448x448",
    seed: Seed = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes to work in.")] = 1,
    quiet: Quiet = False,
) -> None:
    """Prepare views with the display picture that a fusion should give; goes on where it ended."""
    pixels = _size(size)
    from ..nn.settings import needs_networks_extra

    with needs_networks_extra("data references"):
        from ..data.references import prepare_references
    with Bars(quiet) as bars:
        count = prepare_references(
            packed,
            out,
            views,
            pixels,
            seed=seed,
            workers=workers,
            progress=lambda share: bars("views", share),
        )
    if not quiet:
        print(f"{count} views in {out}")

"""The subcommands about data: rendered scenes, simulated brackets, packed data, references."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...cli.show import Bars, print_json
from ...cli.words import Jobs, Json, OutFolder, Overwrite, Quiet, Seed
from ...errors import OptionError

data_app = typer.Typer(
    rich_markup_mode=None, help="Prepare what networks are trained on: pack panoramas, references."
)


@data_app.callback(invoke_without_command=True)
def _start(ctx: typer.Context) -> None:
    if ctx.invoked_subcommand is None:
        print(ctx.get_help())


HdrPictures = Annotated[
    list[Path],
    typer.Argument(
        metavar="HDR",
        help="HDR pictures, a folder of them, a packed folder, or scenes of 'render'.",
    ),
]
Size = Annotated[
    str | None,
    typer.Option(metavar="WxH", help="Pixels of a photo; else 768x512, or the scenes' own."),
]
MotionPixels = Annotated[
    float, typer.Option(min=0, help="Largest camera shift between photos, pixels.")
]
Camera = Annotated[
    str,
    typer.Option(
        metavar="real|plain",
        help="Cameras as people have them, or ones that only map each channel by a curve.",
    ),
]
Suffix = Annotated[str, typer.Option("--format", metavar="jpg|png", help="Format of the photos.")]
WithDisplay = Annotated[
    bool, typer.Option("--display", help="Also write the picture a fusion should give.")
]


def simulate(
    hdr: HdrPictures,
    out: OutFolder,
    frames: Annotated[int, typer.Option(min=2, max=20, help="Photos in a bracket.")] = 3,
    gap: Annotated[float, typer.Option(min=0.1, max=12, help="Stops between photos.")] = 2.0,
    size: Size = None,
    count: Annotated[int, typer.Option(min=1, help="How many brackets.")] = 1,
    seed: Seed = 0,
    static: Annotated[bool, typer.Option("--static", help="Nothing moves.")] = False,
    motion: MotionPixels = 6.0,
    objects: Annotated[int, typer.Option(min=0, max=32, help="Things in front, at most.")] = 3,
    camera: Camera = "real",
    suffix: Suffix = "jpg",
    jpeg_quality: Annotated[int, typer.Option(min=1, max=100, help="Quality of JPEG files.")] = 92,
    flow: Annotated[bool, typer.Option("--flow", help="Also write the true flow, .flo.")] = False,
    display: WithDisplay = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Photograph HDR pictures: brackets with shake, moving things, noise, and the true answers."""
    pixels = None if size is None else _size(size)
    from ...nn.settings import needs_torch_extra

    with needs_torch_extra("simulate"):
        from ..data.camera_settings import CameraSettings
        from ..data.draws import SimulationSettings
        from ..data.export import native_size, simulate_files
    settings = SimulationSettings(
        size=pixels or native_size(hdr) or (512, 768),
        frames=(frames, frames),
        gap_stops=(gap, gap),
        span_stops=max(gap * (frames - 1), 1.0),
        static=static,
        shake_pixels=motion,
        objects=(min(1, objects), objects),
        flow=flow,
        camera=CameraSettings.of_kind(camera, jpeg_share=0),
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
            display=display,
            overwrite=overwrite,
            progress=lambda share: bars("brackets", share),
        )
    if as_json:
        print_json({"output": str(out), "brackets": [str(folder) for folder in folders]})
    elif not quiet:
        print(f"{len(folders)} bracket{'s' if len(folders) > 1 else ''} in {out}")


_Panoramas = Annotated[
    list[Path], typer.Argument(metavar="HDR", help="Panoramas for light, or folders of them.")
]
Surfaces = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Colour maps that things are covered with.")
]
Variant = Annotated[
    str, typer.Option(help="Of Mitsuba: auto, llvm_ad_rgb, cuda_ad_rgb or scalar_rgb.")
]


def render(
    panoramas: _Panoramas,
    out: OutFolder,
    surfaces: Surfaces = None,
    count: Annotated[int, typer.Option(min=1, help="How many scenes.")] = 1,
    moments: Annotated[int, typer.Option(min=2, max=20, help="Pictures of a scene.")] = 3,
    size: Annotated[str, typer.Option(metavar="WxH", help="Pixels of a picture.")] = "384x256",
    samples: Annotated[int, typer.Option(min=1, help="Light paths per pixel.")] = 16,
    variant: Variant = "auto",
    seed: Seed = 0,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Render scenes in HDR for 'simulate': true depth, parallax and motion; resumes."""
    from ..render.engine import RenderSettings
    from ..render.files import render_files
    from ..render.scenes import SceneSettings

    with Bars(quiet) as bars:
        folders = render_files(
            panoramas,
            out,
            SceneSettings(size=_size(size), moments=moments),
            RenderSettings(samples=samples, bounces=4, variant=variant),
            surfaces=surfaces,
            count=count,
            seed=seed,
            overwrite=overwrite,
            progress=lambda share: bars("scenes", share),
        )
    if as_json:
        print_json({"output": str(out), "scenes": [str(folder) for folder in folders]})
    elif not quiet:
        print(f"{len(folders)} scene{'s' if len(folders) > 1 else ''} in {out}")


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
    rendered: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Scenes of 'render', packed beside them.")
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Pack HDR pictures small for training: log radiance in 16 bits, split by scene."""
    from ...nn.settings import needs_torch_extra

    with needs_torch_extra("data pack"):
        from ..data.panoramas import pack as pack_folders
        from ..data.rendered_files import FOLDER, pack_rendered
    scenes: list[str] = []
    with Bars(quiet) as bars:
        entries = pack_folders(
            folders,
            out,
            surfaces=surfaces,
            overwrite=overwrite,
            progress=lambda share: bars("pictures", share),
        )
        if rendered is not None:
            scenes = pack_rendered(
                [rendered],
                out / FOLDER,
                overwrite=overwrite,
                progress=lambda share: bars("rendered scenes", share),
            )
    held_out = sum(entry.split == "held-out" for entry in entries)
    size = sum((out / entry.file).stat().st_size for entry in entries)
    if as_json:
        facts = {"pictures": len(entries), "held_out": held_out, "bytes": size}
        print_json({"output": str(out), **facts, "rendered_scenes": len(scenes)})
    elif not quiet:
        beside = f"; {len(scenes)} rendered scenes beside them" if scenes else ""
        print(
            f"{len(entries)} pictures in {size / 1e6:.1f} MB, {held_out} of them held out{beside}"
        )


@data_app.command()
def references(
    packed: Annotated[Path, typer.Argument(metavar="PACKED", help="A folder from 'data pack'.")],
    out: OutFolder,
    views: Annotated[int, typer.Option(min=1, help="Views of each picture.")] = 8,
    size: Annotated[str, typer.Option(metavar="WxH", help="Pixels of a view.")] = "448x448",
    seed: Seed = 0,
    jobs: Jobs = 1,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Prepare views with the display picture that a fusion should give; goes on where it ended."""
    pixels = _size(size)
    from ...nn.settings import needs_torch_extra

    with needs_torch_extra("data references"):
        from ..data.references import prepare_references
    with Bars(quiet) as bars:
        count = prepare_references(
            packed,
            out,
            views,
            pixels,
            seed=seed,
            workers=jobs,
            progress=lambda share: bars("views", share),
        )
    if as_json:
        print_json({"output": str(out), "views": count})
    elif not quiet:
        print(f"{count} views in {out}")

"""Words that several commands share: options and arguments that mean the same wherever they stand.

An option whose help differs is written where it is used.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .complete import alignments, deghost_modes, finders, method_names, operators

# ---- what goes in ----

Files = Annotated[
    list[Path], typer.Argument(metavar="FILES", help="The photos of one bracket, or a folder.")
]
Stops = Annotated[
    str | None,
    typer.Option(
        metavar="A,B,...",
        help="Exposure of each file in stops, in their order: -2,0,2.",
    ),
]
StopsFile = Annotated[Path | None, typer.Option(help="Text file with those numbers.")]
MaxPixels = Annotated[
    int | None, typer.Option(min=1, help="Refuse files with more pixels than this.")
]
Packed = Annotated[
    Path, typer.Option(metavar="PACKED", help="Folder that 'ghostless data pack' wrote.")
]

# ---- what is done ----

Align = Annotated[
    str,
    typer.Option(
        metavar="auto|homography|affine|shift|flow|network|none",
        autocompletion=alignments,
        help="Register",
    ),
]
Crop = Annotated[
    bool, typer.Option("--crop", help="Crop to what all frames show, rather than fill borders.")
]
Wrap = Annotated[
    bool | None,
    typer.Option(
        "--wrap/--no-wrap",
        help="The photos go all the way round, or do not.",
        show_default="as they say: GPano",
    ),
]
Deghost = Annotated[
    str,
    typer.Option(
        metavar="auto|on|off",
        autocompletion=deghost_modes,
        help="Replace what moved between frames.",
    ),
]
DeghostBy = Annotated[
    str,
    typer.Option(
        metavar="network|statistics",
        autocompletion=finders,
        help="How to find what moved.",
    ),
]
Reference = Annotated[
    str,
    typer.Option(
        metavar="auto|INDEX",
        help="Frame to keep to, counted from 0, dark to bright.",
    ),
]
Keep = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FRAME:MASK",
        help="Show this photo where the mask is white; or none.",
    ),
]
Exposure = Annotated[float, typer.Option(metavar="STOPS", help="Brighter or darker.")]
Highlights = Annotated[
    float, typer.Option(metavar="-100..100", help="Bright areas: below 0 darker.")
]
Shadows = Annotated[float, typer.Option(metavar="-100..100", help="Dark areas: above 0 brighter.")]
Contrast = Annotated[float, typer.Option(metavar="-100..100", help="Of tones with each other.")]
Saturation = Annotated[float, typer.Option(metavar="-100..100", help="Of colours.")]
Temperature = Annotated[float, typer.Option(metavar="-100..100", help="Above 0 warmer.")]
Tint = Annotated[float, typer.Option(metavar="-100..100", help="Above 0 towards magenta.")]
Strength = Annotated[
    float, typer.Option(metavar="0..2", help="0: the reference photo; 1: the result.")
]
MethodName = Annotated[
    str, typer.Option(autocompletion=method_names, help="A name from 'ghostless methods'.")
]
ToneMap = Annotated[
    str,
    typer.Option(
        autocompletion=operators, help="Operator that brings a linear result to a display file."
    ),
]
AsPublished = Annotated[
    bool,
    typer.Option(
        "--as-published",
        help="As its paper has it: its settings, no step before.",
    ),
]
Words = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Any of 'ghostless settings'; repeatable.",
    ),
]
Quality = Annotated[
    str | None,
    typer.Option(
        metavar="auto|full|fast",
        help="On every pixel, or on a proxy.",
    ),
]
Weights = Annotated[Path | None, typer.Option(help="A network's weights, trained or imported.")]
Device = Annotated[
    str | None,
    typer.Option(metavar="auto|cpu|cuda|cuda:INDEX", help="Where to run a network."),
]
TrainedMethod = Annotated[
    str,
    typer.Argument(
        metavar="METHOD",
        help="One with a recipe, as mef-gan, or agreement (finds ghosts).",
    ),
]
TrainingDevice = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:INDEX.")]
# Both words mean the same wherever one of them stands.
Jobs = Annotated[
    int, typer.Option("--jobs", "--workers", min=1, help="Processes at a time, one thread each.")
]
Seed = Annotated[int, typer.Option(min=0, help="The same seed gives the same result.")]

# ---- what comes out ----

OutFolder = Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder to write to.")]
JpegQuality = Annotated[
    int, typer.Option(min=1, max=100, help="Quality of JPEG, WebP and AVIF files.")
]
Depth = Annotated[
    int | None, typer.Option(min=8, help="Bits per channel, where the format has a choice.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace existing output files.")]
ReportFile = Annotated[Path | None, typer.Option(help="Also save what was done as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
Verbose = Annotated[
    bool,
    typer.Option("--verbose", "-v", help="Tell all: every photo, every stage's time, all notes."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
ResultsFolder = Annotated[
    Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for results; resumed if there.")
]

"""The words of `ghostless export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...cli.complete import starting
from ...cli.show import print_json
from ...cli.words import Json, Overwrite, Quiet


def _names(incomplete: str) -> list[str]:
    from ..graphs import GRAPHS

    return starting(incomplete, GRAPHS)


def export(
    network: Annotated[
        str,
        typer.Argument(
            metavar="METHOD",
            autocompletion=_names,
            help="chen-chuang, mef-gan, lcndr, hdr-gan, dpgn, or homography, the aligner.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write, .onnx.")],
    weights: Annotated[
        Path | None, typer.Option(help="The network's weights, made by 'ghostless train'.")
    ] = None,
    check: Annotated[
        bool, typer.Option(help="Compare onnxruntime with torch before the file is written.")
    ] = True,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write a network as an ONNX file that any program can run, at any size."""
    from ..onnx import ExportSettings, export_onnx

    settings = ExportSettings(weights=weights, check=check, overwrite=overwrite)
    report = export_onnx(network, out, settings)
    if as_json:
        print_json(report.as_dict())
    elif not quiet:
        print(report.as_text())

"""The words of `ghostless weights`: weights that others made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...cli.complete import starting
from ...cli.show import print_json
from ...cli.words import Json, Overwrite, Quiet
from ...errors import OptionError

weights_app = typer.Typer(rich_markup_mode=None, help="Take over weights that others published.")


@weights_app.callback(invoke_without_command=True)
def _start(ctx: typer.Context) -> None:
    if ctx.invoked_subcommand is None:
        print(ctx.get_help())


def _published() -> list[str]:
    from ...methods import METHODS

    return [method.name for method in METHODS.values() if method.published]


def _names(incomplete: str) -> list[str]:
    return starting(incomplete, _published())


@weights_app.command("import")
def import_(
    method: Annotated[
        str,
        typer.Argument(
            metavar="METHOD", autocompletion=_names, help="One whose authors published weights."
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="File to write, .safetensors; for --weights.")
    ],
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FILE...", help="As its authors published them; none to be told."),
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Turn the weights that a method's authors published into a file for --weights."""
    from ...methods import get_method
    from ...nn.published import import_weights

    entry = get_method(method)
    if not entry.published:
        raise OptionError(
            f"method {method!r}: expected one whose authors' weights can be read, found one "
            f"without; there are: {', '.join(_published())}"
        )
    info = import_weights(
        entry.kind, entry.find(entry.published), files or [], out, overwrite=overwrite
    )
    if as_json:
        print_json({"output": str(out), "network": info.network, **info.published})
    elif not quiet:
        print(f"{out}: weights of {info.network} by its authors")
        print(f"from {info.published['source']}; licence: {info.published['licence']}")

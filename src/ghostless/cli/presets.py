"""The option `--preset` of several commands, and the command `ghostless presets`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from .complete import preset_names
from .show import print_json
from .words import Json


def _choose(ctx: typer.Context, value: str | None) -> str | None:
    """Make the command's defaults what a preset says of folders; `options_of` does the rest."""
    if value is None or ctx.resilient_parsing:
        return value
    from ..presets import read_preset

    known = {parameter.name for parameter in ctx.command.params}
    found = read_preset(value).of_batch()
    ctx.default_map = {name: setting for name, setting in found.items() if name in known}
    return value


PresetName = Annotated[
    str | None,
    typer.Option(
        "--preset",
        metavar="NAME|FILE",
        is_eager=True,
        callback=_choose,
        autocompletion=preset_names,
        help="For a kind of photograph, see 'ghostless presets'.",
    ),
]


def presets(as_json: Json = False) -> None:
    """Print the presets, yours among them, and what each sets."""
    from ..presets import list_presets, user_folder

    found = list_presets()
    if as_json:
        print_json([preset.as_dict() for preset in found])
        return
    for preset in found:
        mine = "" if preset.origin == "shipped" else " (yours)"
        print(f"{preset.name}{mine}: {preset.summary}")
        for name, value in preset.options.items():
            print(f"    {name.replace('_', '-'):<18} {_in_toml(value)}")
    print(f"Your own: {user_folder()}/NAME.toml")


def _in_toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, int | float) else f'"{value}"'

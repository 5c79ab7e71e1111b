"""Commands that are built when they are asked for: a start pays for the one that runs.

Typer builds every option of every command before it reads the first word, which takes longer than
all else that `ghostless --help` does. Here a group knows its commands' names and one line about
each; the options are built when a word names the command.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterator, MutableMapping
from functools import cache
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from ..errors import OptionError, unknown_name


@cache
def command_of(app: typer.Typer, completion: bool = True) -> Any:
    """The group of an app's commands, which must have a callback; its `commands` come lazily."""
    bare = typer.Typer(
        cls=Group,
        help=app.info.help,
        rich_markup_mode=app.rich_markup_mode,
        add_completion=completion,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    bare.registered_callback = app.registered_callback
    group = get_command(bare)
    assert isinstance(group, Group)
    for info in app.registered_commands:
        assert info.callback is not None
        name = info.name or info.callback.__name__.replace("_", "-")
        group.commands.told[name] = _summary(info.help or inspect.getdoc(info.callback) or "")
        group.commands.builders[name] = _builder(app, info)
    for part in app.registered_groups:
        inner = part.typer_instance
        assert part.name is not None
        assert inner is not None
        group.commands.told[part.name] = _summary(str(inner.info.help))
        group.commands.builders[part.name] = _group_builder(inner, part.name)
    return group


def _builder(app: typer.Typer, info: Any) -> Callable[[], Any]:
    def build() -> Any:
        alone = typer.Typer(add_completion=False, rich_markup_mode=app.rich_markup_mode)
        alone.registered_commands.append(info)
        return get_command(alone)

    return build


def _group_builder(app: typer.Typer, name: str) -> Callable[[], Any]:
    def build() -> Any:
        group = command_of(app, completion=False)
        group.name = name
        return group

    return build


def _summary(text: str) -> str:
    """The first sentence of a help text, on one line."""
    first = " ".join(text.strip().split("\n\n")[0].split())
    return first.split(". ")[0].rstrip(".") + "."


# What earlier versions said, by group, and what is said in its place.
_SAID_NOW = {
    "bench": {
        suite: f"bench run {suite}"
        for suite in ("mefb", "sice", "kalantari", "simulated", "folder")
    }
}


class _Commands(MutableMapping[str, Any]):
    """Commands by name, each built at its first use."""

    def __init__(self) -> None:
        self.told: dict[str, str] = {}
        self.builders: dict[str, Callable[[], Any]] = {}
        self._built: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._built:
            self._built[name] = self.builders[name]()
        return self._built[name]

    def __contains__(self, name: object) -> bool:
        return name in self._built or name in self.builders

    def __iter__(self) -> Iterator[str]:
        return iter({**self.builders, **self._built})

    def __len__(self) -> int:
        return len({**self.builders, **self._built})

    def __setitem__(self, name: str, command: Any) -> None:
        self._built[name] = command

    def __delitem__(self, name: str) -> None:
        self.builders.pop(name, None)
        self._built.pop(name, None)


class Group(TyperGroup):
    """Subcommands of which a list needs none built; an unknown one is answered with near names."""

    commands: _Commands

    def __init__(self, **words: Any) -> None:
        super().__init__(**words)
        self.commands = _Commands()

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        width = formatter.width - 6 - max(map(len, self.commands.told))
        with formatter.section("Commands"):
            formatter.write_dl(
                [
                    (name, textwrap.shorten(line, width, placeholder="..."))
                    for name, line in self.commands.told.items()
                ]
            )

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            if Path(args[0]).exists():
                raise OptionError(
                    f"expected a command before {args[0]!r}; "
                    f"to fuse photos: ghostless fuse {args[0]} ... -o out.jpg"
                )
            now = _SAID_NOW.get(self.name or "", {}).get(args[0])
            if now is not None:
                raise OptionError(f"{self.name} {args[0]}: expected 'ghostless {now}' in its place")
            raise unknown_name("command", args[0], self.commands)
        return super().resolve_command(ctx, args)

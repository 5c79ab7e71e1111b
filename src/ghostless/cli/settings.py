"""The command `ghostless settings`: every name that --set and presets take, from one table."""

from __future__ import annotations

from typing import Any

from .show import print_json
from .words import Json


def settings(as_json: Json = False) -> None:
    """Print every setting: its name, what it may be, its default, and what it means."""
    found = list(_facts())
    if as_json:
        print_json(found)
        return
    import textwrap

    for fact in found:
        short = f" ({fact['short']})" if fact["short"] else ""
        print(f"{fact['name']}{short}: {fact['expected']}; default {_in_words(fact['default'])}")
        print(textwrap.indent(textwrap.fill(fact["help"], 92), "    "))


def _facts() -> Any:
    from ..methods import METHODS
    from ..nn.settings import NetworkSettings
    from ..options import SHORT, line_settings
    from ..settings import settings_of

    def fact(name: str, setting: Any, short: str = "") -> dict[str, Any]:
        default = setting.default
        plain = default if isinstance(default, bool | int | float | str | None) else str(default)
        return {
            "name": name,
            "short": short.replace("_", "-"),
            "expected": setting.expected(),
            "default": plain,
            "help": setting.help,
        }

    for name, setting in line_settings().items():
        yield fact(name, setting, SHORT.get(name, ""))
    of_networks = settings_of(NetworkSettings)
    for name, setting in of_networks.items():
        yield fact(f"method.{name}", setting, SHORT.get(f"method.{name}", ""))
    for method in METHODS.values():
        for name, setting in settings_of(method.settings_class).items():
            if name not in of_networks or not method.needs_extra:
                yield fact(f"{method.name}.{name}", setting, SHORT.get(f"method.{name}", ""))


def _in_words(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "none" if value is None else str(value)

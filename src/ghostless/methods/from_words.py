"""A method's settings out of words: order=mirrored, response=srgb, compile=true."""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

from ..errors import OptionError, unknown_name

if TYPE_CHECKING:
    from . import Method


def values_from_words(
    method: Method, words: Mapping[str, str], also_known: Iterable[str] = ()
) -> dict[str, Any]:
    """Turn text into the values of a method's settings, by name.

    also_known: names to suggest beside the method's own. Raises OptionError for a setting that the
    method does not have, with the near names, and for text that is no such value.
    """
    settings_class = method.load()[1]
    known = [field.name for field in fields(settings_class)]
    hints = get_type_hints(settings_class)
    values = {}
    for key, text in words.items():
        if key not in known:
            raise unknown_name(f"setting of {method.name}", key, [*known, *also_known])
        values[key] = _value(f"{method.name}:{key}", text, hints[key])
    return values


def _value(what: str, text: str, hint: Any) -> Any:
    """Turn text into a value of the type that a settings field is annotated with."""
    kinds = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    if types.NoneType in kinds and text.lower() == "none":
        return None
    for kind in kinds:
        if kind is bool and text.lower() in ("true", "false", "yes", "no", "on", "off"):
            return text.lower() in ("true", "yes", "on")
        if kind in (int, float):
            try:
                return kind(text)
            except ValueError:
                continue
        if kind is str or get_origin(kind) is Literal:
            return text
    names = " or ".join(getattr(kind, "__name__", str(kind)) for kind in kinds)
    raise OptionError(f"{what}: expected {names}, found {text!r}")

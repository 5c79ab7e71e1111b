"""Settings that check and explain themselves: what a field of a settings dataclass may be.

A settings dataclass writes everything down once: names, types, defaults; ranges, names that are
known only later and the word for None as `Annotated`; what each field means as paragraphs
`name: text` of its docstring.

    @dataclass(frozen=True)
    class DeghostSettings:
        '''How ghosts are looked for.

        sensitivity: above 1 finds fainter ghosts.
        '''

        sensitivity: Annotated[float, Range(0.25, 4)] = 1.0

        def __post_init__(self) -> None:
            check_settings(self)

`settings_of` tells it to every face: the command's help, the presets, the page's forms.
"""

from __future__ import annotations

import math
import os
import re
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from dataclasses import MISSING, dataclass, fields, replace
from difflib import get_close_matches
from fractions import Fraction
from functools import cache
from numbers import Integral, Real
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Literal,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from .errors import OptionError

_TRUE, _FALSE = ("true", "yes", "on"), ("false", "no", "off")
_SIMPLE = (bool, int, float, str, tuple, Path, type(None))


@dataclass(frozen=True)
class Range:
    """Finite numbers from `low` to `high`, both included; above `above`, below `below`.

    >>> print(Range(1, 100), "|", Range(above=0), "|", Range(0, below=1), "|", Range(low=2))
    from 1 to 100 | above 0 | from 0 to less than 1 | of 2 or more
    """

    low: float = -math.inf
    high: float = math.inf
    above: float = -math.inf
    below: float = math.inf

    def holds(self, value: Any) -> bool:
        finite = isinstance(value, Integral) or math.isfinite(value)
        return finite and self.low <= value <= self.high and self.above < value < self.below

    def __str__(self) -> str:
        low, high = _in_digits(self.low), _in_digits(min(self.high, self.below))
        at_most = f"{'less than ' if self.below <= self.high else ''}{high}"
        if math.isfinite(self.above):
            start = f"above {_in_digits(self.above)}"
            return start if high == "inf" else f"{start} to {at_most}"
        if high == "inf":
            return "" if low == "-inf" else f"of {low} or more"
        return f"up to {at_most}" if low == "-inf" else f"from {low} to {at_most}"


@dataclass(frozen=True)
class Names:
    """One of the names that `known` gives when it is asked, and it is asked late.

    A function of the module: a lambda within an annotation sees no names of its module.
    """

    known: Callable[[], Iterable[str]]


@dataclass(frozen=True)
class Open:
    """What people say for None: `auto` for what is found out then."""

    word: str


@dataclass(frozen=True)
class Setting:
    """One field of a settings dataclass.

    kinds: the types that it may have, None among them where it may be left open. choices: the names
        that it may have if it is a name. range: of its numbers. length: how many numbers a tuple
        has, None for any. of_texts: whether it holds texts instead, which name files. open: the
        word for None. help: what it means, in a paragraph.
    """

    name: str
    kinds: tuple[Any, ...]
    default: Any
    help: str = ""
    range: Range | None = None
    names: Names | None = None
    literals: tuple[Any, ...] = ()
    length: int | None = None
    of_texts: bool = False
    open: str = "none"

    @property
    def choices(self) -> tuple[Any, ...]:
        """The words that it may be, empty where it is no word of a list."""
        return (*self.literals, *(self.names.known() if self.names is not None else ()))

    @property
    def may_be_none(self) -> bool:
        return type(None) in self.kinds

    @property
    def names_a_file(self) -> bool:
        """Whether it is a path: nothing that a stranger may say."""
        return Path in self.kinds or self.of_texts

    def expected(self) -> str:
        """What it may be, in words: "a number from 0.25 to 4"."""
        parts = []
        of_range = f" {self.range}".rstrip() if self.range is not None else ""
        if bool in self.kinds:
            parts.append("true or false")
        if self.choices:
            listed = ", ".join(str(word) for word in self.choices)
            parts.append(f"one of {listed}" if len(self.choices) > 1 else listed)
        if tuple in self.kinds:
            count = "numbers" if self.length is None else f"{self.length} numbers"
            parts.append("texts, with commas between" if self.of_texts else count + of_range)
        elif float in self.kinds:
            parts.append(f"a number{of_range}")
        elif int in self.kinds:
            parts.append(f"a whole number{of_range}")
        if Path in self.kinds:
            parts.append("a file")
        elif str in self.kinds and not self.choices:
            parts.append("text")
        named = (kind for kind in self.kinds if isinstance(kind, type) and kind not in _SIMPLE)
        parts += [kind.__name__ for kind in named]
        if self.may_be_none:
            parts.append(self.open)
        return " or ".join(parts)

    def check(self, value: Any) -> None:
        """Raise OptionError for a value that it may not have."""
        if not self._holds(value):
            raise self._error(value)

    def from_text(self, text: str) -> Any:
        """The value that text means; raise OptionError where it means none."""
        word = text.strip().lower()
        if self.may_be_none and word in ("none", self.open):
            return None
        if bool in self.kinds and word in (*_TRUE, *_FALSE):
            return word in _TRUE
        for choice in self.choices:
            if word == str(choice).lower():
                return choice
        if self.of_texts:
            return tuple(part.strip() for part in text.split(",") if part.strip())
        for read in (self._numbers, self._whole, self._number):
            value = read(text)
            if value is not None:
                if not self._holds(value):
                    raise self._error(text)
                return value
        if Path in self.kinds:
            return Path(text)
        if str in self.kinds and not self.choices:
            return text
        raise self._error(text)

    def from_json(self, value: Any) -> Any:
        """The value that a JSON or TOML value means; raise OptionError where it means none."""
        if isinstance(value, str) and self.may_be_none and value in ("none", self.open):
            return None
        self.check(value)
        if isinstance(value, list):
            return tuple(value) if self.of_texts else tuple(float(number) for number in value)
        if isinstance(value, str) and Path in self.kinds:
            return Path(value)
        if _is_number(value) and float in self.kinds and int not in self.kinds:
            return float(value)
        return value

    def _holds(self, value: Any) -> bool:
        if any(kind is Any for kind in self.kinds):
            return True
        if value is None:
            return self.may_be_none
        if isinstance(value, bool):
            return bool in self.kinds
        if isinstance(value, str | os.PathLike) and Path in self.kinds:
            return True
        if isinstance(value, str):
            if self.names is not None or self.literals:
                return value in self.choices
            return str in self.kinds
        if _is_number(value):
            kinds = (int, float) if isinstance(value, Integral) else (float,)
            wanted = any(kind in self.kinds for kind in kinds) or value in self.literals
            return wanted and (self.range or Range()).holds(value)
        if isinstance(value, Mapping | bytes):
            return isinstance(value, tuple(kind for kind in self.kinds if isinstance(kind, type)))
        if tuple in self.kinds and isinstance(value, Iterable) and isinstance(value, Sized):
            return self._hold_all(tuple(value))
        return isinstance(value, tuple(kind for kind in self.kinds if isinstance(kind, type)))

    def _hold_all(self, values: tuple[Any, ...]) -> bool:
        if self.of_texts:
            return all(isinstance(value, str) for value in values)
        right = self.length is None or len(values) == self.length
        return right and all(
            _is_number(value) and (self.range or Range()).holds(value) for value in values
        )

    def _numbers(self, text: str) -> tuple[float, ...] | None:
        if tuple not in self.kinds:
            return None
        numbers = [_fraction(word) for word in text.replace(",", " ").split()]
        told = tuple(number for number in numbers if number is not None)
        return told if told and len(told) == len(numbers) else None

    def _whole(self, text: str) -> int | None:
        if int not in self.kinds:
            return None
        try:
            return int(text)
        except ValueError:
            number = None if float in self.kinds else _fraction(text)  # 1.5e6
            return int(number) if number is not None and number.is_integer() else None

    def _number(self, text: str) -> float | None:
        return _fraction(text) if float in self.kinds else None

    def _error(self, value: Any) -> OptionError:
        near: list[str] = []
        if isinstance(value, str):
            near = get_close_matches(value, [str(word) for word in self.choices], n=1)
        try:
            found = repr(value)
        except ValueError:  # Python writes out no number of more than 4300 digits
            found = "thousands of digits"
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return OptionError(f"{self.name}: expected {self.expected()}, found {found}{hint}")


def named_texts(words: Iterable[str], written: str = "") -> Iterator[tuple[str, str]]:
    """Names and texts of words NAME=VALUE; raise OptionError for another form.

    written: how messages call the place where the words stand.
    """
    for word in words:
        name, equals, text = (part.strip() for part in word.partition("="))
        if not (name and equals and text):
            start = f"{written}: " if written else ""
            raise OptionError(f"{start}expected NAME=VALUE, found {word!r}")
        yield name, text


def check_settings(settings: Any, group: str = "") -> None:
    """Raise OptionError unless every field of a settings dataclass holds what it may.

    group: what these settings are called among others, for the message: `deghost.sensitivity`.
    """
    for name, setting in settings_of(type(settings)).items():
        value = getattr(settings, name)
        if not setting._holds(value):
            setting = replace(setting, name=f"{group}.{name}") if group else setting
            raise setting._error(value)


def settings_of(settings_class: Any) -> Mapping[str, Setting]:
    """Every field of a settings dataclass by its name, in their order."""
    return _settings_of(settings_class)


@cache
def _settings_of(settings_class: Any) -> Mapping[str, Setting]:
    hints = get_type_hints(settings_class, include_extras=True)
    told: dict[str, str] = {}
    for base in reversed(settings_class.__mro__):
        told.update(_paragraphs(base.__dict__.get("__doc__") or ""))
    found = {}
    for field in fields(settings_class):
        makes = field.default_factory
        default = field.default if makes is MISSING else makes()
        found[field.name] = _setting(field.name, hints[field.name], default, told)
    return types.MappingProxyType(found)


def _setting(name: str, hint: Any, default: Any, told: Mapping[str, str]) -> Setting:
    found: dict[str, Any] = {}
    literals: list[Any] = []
    kinds: list[Any] = []

    def look(hint: Any, inside: bool = False) -> None:
        origin = get_origin(hint)
        if origin is Annotated:
            for extra in hint.__metadata__:
                if isinstance(extra, Range):
                    found["range"] = extra
                elif isinstance(extra, Names):
                    found["names"] = extra
                elif isinstance(extra, Open):
                    found["open"] = extra.word
            look(hint.__origin__, inside)
        elif inside:
            return
        elif origin in (Union, types.UnionType):
            for part in get_args(hint):
                look(part)
        elif origin is Literal:
            literals.extend(get_args(hint))
            kinds.append(Literal)
        elif origin in (tuple, list):
            kinds.append(tuple)
            of = get_args(hint)
            found["length"] = None if Ellipsis in of or origin is list else len(of)
            found["of_texts"] = of[0] is str
            look(of[0], inside=True)
        else:
            kinds.append(hint if origin is None else origin)

    look(hint)
    return Setting(
        name, tuple(kinds), default, told.get(name, ""), literals=tuple(literals), **found
    )


def _paragraphs(docstring: str) -> dict[str, str]:
    """Paragraphs `name: text` or `one, two: text` of a docstring, by name."""
    found: dict[str, str] = {}
    names: list[str] = []
    for line in docstring.split("\n"):
        start = re.match(r" {4}((?:\w+)(?:, \w+)*): (.*)", line)
        if start is not None:
            names = start[1].split(", ")
            for name in names:
                found[name] = start[2].strip()
        elif names and line.startswith(" " * 8):
            for name in names:
                found[name] += " " + line.strip()
        else:
            names = []
    return found


def _in_digits(number: float) -> str:
    """A limit as people write it: 400000000, not 4e+08."""
    return str(int(number)) if math.isfinite(number) and number == int(number) else f"{number:g}"


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _fraction(text: str) -> float | None:
    """A number, or a fraction such as -2/3."""
    try:
        return float(Fraction(text.strip()) if "/" in text else text)
    except (ValueError, ZeroDivisionError, OverflowError):
        return None

"""Settings that check themselves: every settings class of the package, and every kind of field."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, fields, is_dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ghostless
from ghostless.errors import OptionError
from ghostless.methods import METHODS
from ghostless.options import FuseOptions
from ghostless.settings import Names, Open, Range, Setting, check_settings, settings_of
from ghostless.tone.tonemap import ToneMapSettings


@dataclass(frozen=True)
class Inner:
    number: int = 1


@dataclass(frozen=True)
class Every:
    """A field of every kind.

    switch: is on
        or off.
    low, high: two of a kind.
    """

    switch: bool = False
    whole: Annotated[int, Range(2, 20)] = 5
    low: Annotated[float, Range(0.25, 4)] = 1.0
    high: Annotated[float, Range(0, below=50)] = 0.0
    over: Annotated[float, Range(above=0)] = 1.0
    any_number: float = 0.0
    word: Literal["auto", "on", "off"] = "auto"
    late: Annotated[str, Names(lambda: ("ant", "bee"))] = "ant"
    text: str = "some"
    maybe: Annotated[int | None, Range(0, 19), Open("auto")] = None
    either: Annotated[int, Range(1)] | Literal["paper"] | None = None
    file: Path | None = None
    file_or_text: Path | str | None = None
    three: Annotated[tuple[float, float, float] | None, Range(above=0)] = None
    several: tuple[float, ...] | None = None
    inner: Inner = field(default_factory=Inner)
    anything: Any = None

    def __post_init__(self) -> None:
        check_settings(self, "every")


KNOWN = settings_of(Every)


def test_what_a_field_means_is_told_by_the_docstring() -> None:
    assert KNOWN["switch"].help == "is on or off."
    assert KNOWN["low"].help == KNOWN["high"].help == "two of a kind."
    assert KNOWN["text"].help == ""
    assert KNOWN["inner"].default == Inner()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("switch", "true or false"),
        ("whole", "a whole number from 2 to 20"),
        ("low", "a number from 0.25 to 4"),
        ("high", "a number from 0 to less than 50"),
        ("over", "a number above 0"),
        ("any_number", "a number"),
        ("word", "one of auto, on, off"),
        ("late", "one of ant, bee"),
        ("text", "text"),
        ("maybe", "a whole number from 0 to 19 or auto"),
        ("either", "paper or a whole number of 1 or more or none"),
        ("file", "a file or none"),
        ("three", "3 numbers above 0 or none"),
        ("several", "numbers or none"),
        ("inner", "Inner"),
    ],
)
def test_what_a_field_may_be_is_told_in_words(name: str, expected: str) -> None:
    assert KNOWN[name].expected() == expected


def test_large_limits_are_written_out() -> None:
    assert str(Range(1, 400_000_000)) == "from 1 to 400000000"
    assert str(Range(high=3)) == "up to 3"
    assert str(Range(above=0, below=1)) == "above 0 to less than 1"
    assert str(Range()) == ""


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("switch", "Yes", True),
        ("switch", "off", False),
        ("whole", "2", 2),
        ("whole", "1.2e1", 12),
        ("low", "1/3", 1 / 3),
        ("any_number", "-2/3", -2 / 3),
        ("word", "OFF", "off"),
        ("late", "bee", "bee"),
        ("text", "auto", "auto"),
        ("maybe", "auto", None),
        ("maybe", "none", None),
        ("maybe", "3", 3),
        ("either", "paper", "paper"),
        ("either", "none", None),
        ("either", "7", 7),
        ("file", "a b.txt", Path("a b.txt")),
        ("file_or_text", "auto", Path("auto")),
        ("three", "1, 2 3", (1.0, 2.0, 3.0)),
        ("several", "-2,0,+2/3", (-2.0, 0.0, 2 / 3)),
    ],
)
def test_text_is_read(name: str, text: str, value: Any) -> None:
    assert KNOWN[name].from_text(text) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("switch", "1"),
        ("whole", "1"),
        ("whole", "21"),
        ("whole", "2.5"),
        ("whole", "1e999"),
        ("low", "nan"),
        ("low", "inf"),
        ("low", "5"),
        ("high", "50"),
        ("over", "0"),
        ("any_number", "1/0"),
        ("word", "none"),
        ("late", "beee"),
        ("maybe", "first"),
        ("maybe", "-1"),
        ("either", "0"),
        ("three", "1,2"),
        ("three", "1,2,0"),
        ("several", "1,two"),
        ("several", ","),
    ],
)
def test_text_that_means_nothing_is_one_line(name: str, text: str) -> None:
    with pytest.raises(OptionError, match=f"^{name}: expected .*, found [^\n]*$"):
        KNOWN[name].from_text(text)


def test_near_names_are_told() -> None:
    with pytest.raises(OptionError, match="found 'beee'; did you mean 'bee'"):
        Every(late="beee")
    with pytest.raises(OptionError, match="did you mean 'reinhard'"):
        ToneMapSettings(operator="reinhart")
    with pytest.raises(OptionError, match=r"tone_map\.operator: expected one of auto, "):
        ToneMapSettings(operator="nope")
    with pytest.raises(OptionError, match="did you mean 'mertens'"):
        FuseOptions(method="mertns")


@pytest.mark.parametrize(
    "wrong",
    [
        {"switch": 1},
        {"switch": None},
        {"whole": True},
        {"whole": 5.0},
        {"whole": "5"},
        {"whole": 10**400},
        {"whole": 10**5000},
        {"low": float("nan")},
        {"low": 10**400},
        {"word": "On"},
        {"word": None},
        {"text": b"bytes"},
        {"maybe": -1},
        {"either": "papers"},
        {"either": 0},
        {"file": 3},
        {"three": (1, 2)},
        {"three": ("1", "2", "3")},
        {"three": {1: 1, 2: 2, 3: 3}},
        {"several": "123"},
        {"several": (1, None)},
        {"several": np.ones((2, 2))},
        {"inner": {"number": 1}},
    ],
)
def test_a_wrong_value_is_refused_when_it_is_made(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(OptionError, match=f"^every.{name}: expected"):
        Every(**wrong)


def test_values_of_kindred_types_are_taken() -> None:
    Every(
        whole=np.int64(3),  # type: ignore[arg-type]
        low=np.float32(0.5),  # type: ignore[arg-type]
        high=Fraction(1, 2),  # type: ignore[arg-type]
        any_number=-7,
        several=np.array([1.0, 2.0]),  # type: ignore[arg-type]
        three=[1, 2, 3],  # type: ignore[arg-type]
        file="a.txt",  # type: ignore[arg-type]
        anything=object(),
    )


@given(
    name=st.sampled_from(sorted(KNOWN)),
    text=st.text() | st.floats().map(str) | st.sampled_from(["auto", "none", "on", "-1/3", "1,2"]),
)
def test_what_is_read_may_be_held(name: str, text: str) -> None:
    """Text becomes a value that the dataclass takes, or an OptionError, and nothing else."""
    if name in ("inner", "anything"):
        return
    with suppress(OptionError):
        value = KNOWN[name].from_text(text)
        assert getattr(Every(**{name: value}), name) == value


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=2),
)


@given(name=st.sampled_from(sorted(KNOWN)), value=JSON)
def test_json_becomes_what_may_be_held(name: str, value: Any) -> None:
    if name == "anything":
        return
    read = None
    with suppress(OptionError):
        read = KNOWN[name].from_json(value)
    if read is not None:
        Every(**{name: read})
        assert isinstance(read, Path | bool | int | float | str | tuple | None)


# ---- every settings class that there is ----


def settings_classes() -> Iterator[type[Any]]:
    """Every dataclass of the package, but research, whose name says that it is of settings."""
    for module in pkgutil.walk_packages(ghostless.__path__, "ghostless."):
        if ".research" in module.name or module.name.endswith("__main__"):
            continue
        try:
            loaded = importlib.import_module(module.name)
        except ModuleNotFoundError:
            continue  # of an extra
        for found in vars(loaded).values():
            if (
                isinstance(found, type)
                and is_dataclass(found)
                and found.__module__ == module.name
                and found.__name__.endswith(("Settings", "Options"))
            ):
                yield found


CLASSES = {found.__name__: found for found in settings_classes()}
# Of the server, which is told nothing by strangers.
UNCHECKED = {"ServerSettings"}


def test_the_classes_are_found() -> None:
    assert {"FuseOptions", "AlignSettings", "MertensSettings", "ReadSettings"} <= set(CLASSES)


@pytest.mark.parametrize("name", sorted(set(CLASSES) - UNCHECKED))
def test_every_field_is_told_and_checked(name: str) -> None:
    made = CLASSES[name]()
    nothing = object()
    for setting in settings_of(CLASSES[name]).values():
        assert setting.default == getattr(made, setting.name)
        setting.check(setting.default)
        if Any in setting.kinds:
            continue
        with pytest.raises(OptionError, match=rf"\b{setting.name}: expected "):
            replace(made, **{setting.name: nothing})
        if not is_dataclass(setting.default):
            assert setting.help, f"{name}.{setting.name} is not told of in the docstring"
            assert setting.expected()


def test_every_method_checks_its_settings() -> None:
    for method in METHODS.values():
        if method.needs_extra:
            pytest.importorskip("torch")
        settings_class = method.load()[1]
        assert settings_class.__name__ in CLASSES
        for entry in fields(settings_class):
            with pytest.raises(OptionError):
                settings_class(**{entry.name: object()})


def test_a_setting_can_be_made_by_hand() -> None:
    assert Setting("n", (int,), 1, range=Range(1, 2)).from_text("2") == 2

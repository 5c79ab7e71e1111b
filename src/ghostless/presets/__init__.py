"""Presets: sets of options under a name, for a kind of photograph, in small TOML files.

Those that ship lie in the package's folder `files`; a user's own in
`~/.config/ghostless/presets` (or below `XDG_CONFIG_HOME`), where one of the same name takes the
place of the shipped one. A file holds a summary and options by the names that the command has::

    summary = "My church interiors"
    tone-map = "reinhard"
    deghost = "off"

`read_preset` is all that a face of Ghostless needs; what is given beside a preset wins over it.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from ..align import AlignModel
from ..deghost import Finder, Mode
from ..errors import FileReadError, OptionError, unknown_name
from ..io.encode import FORMAT_BY_SUFFIX
from ..io.regular import read_regular
from ..methods import METHODS, Method
from ..nn.settings import QUALITIES, NetworkSettings
from ..tone.operators import OPERATORS

SHIPPED_FOLDER = Path(__file__).resolve().parent / "files"
_MOST_BYTES = 65_536

# Settings of methods: they hold for the methods that have them, and no other is bothered.
METHOD_OPTIONS = ("contrast", "saturation", "well_exposedness", "quality", "device")


@dataclass(frozen=True)
class Preset:
    """Options under a name.

    options: values by the option's name with underscores, checked. origin: "shipped", "yours", or
        "file" for one given by its path.
    """

    name: str
    summary: str
    options: Mapping[str, Any]
    path: Path
    origin: Literal["shipped", "yours", "file"]

    def beside_method(self) -> dict[str, Any]:
        """The options that are no settings of a method."""
        return {k: v for k, v in self.options.items() if k not in METHOD_OPTIONS}

    def for_method(self, method: Method) -> dict[str, Any]:
        """The settings that this method has, of those in the preset."""
        wanted = {k: v for k, v in self.options.items() if k in METHOD_OPTIONS}
        if not wanted:
            return {}
        fields = method.load()[1].__dataclass_fields__
        return {name: value for name, value in wanted.items() if name in fields}

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "summary": self.summary,
            "options": dict(self.options),
            "origin": self.origin,
            "file": str(self.path),
        }


def user_folder() -> Path:
    """Where a user's own presets lie."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    # The specification: a path that is not absolute is to be ignored.
    config = Path(base) if os.path.isabs(base) else Path("~/.config").expanduser()
    return config / "ghostless" / "presets"


def list_presets() -> list[Preset]:
    """All presets by name, the user's in place of shipped ones; raise OptionError for a bad one."""
    return [_read(name, path) for name, path in sorted(_files().items())]


def preset_names() -> list[str]:
    """Names of all presets, without reading them."""
    return sorted(_files())


def read_preset(name: str) -> Preset:
    """Return the preset of a name, or of a path (one with a folder in it, or that ends in .toml).

    Raises OptionError for an unknown name, with the near ones, and for an unknown option or a
    wrong value in the file; FileReadError for a file that cannot be read.
    """
    if name.endswith(".toml") or os.sep in name:
        path = Path(name).expanduser()
        return _read(path.stem, path)
    files = _files()
    if name not in files:
        raise unknown_name("preset", name, files)
    return _read(name, files[name])


def _files() -> dict[str, Path]:
    found: dict[str, Path] = {}
    for folder in (SHIPPED_FOLDER, user_folder()):
        try:
            found.update({path.stem: path for path in folder.glob("*.toml") if path.is_file()})
        except OSError as error:
            raise FileReadError(
                f"{folder}: expected a folder of presets, found one that cannot be read "
                f"({error.strerror}); check its permissions"
            ) from None
    return found


def _read(name: str, path: Path) -> Preset:
    try:
        data = read_regular(path, _MOST_BYTES)
        if len(data) > _MOST_BYTES:
            raise FileReadError(
                f"{path}: expected a preset, found a file of more than {_MOST_BYTES} bytes"
            )
        values = tomllib.loads(data.decode())
    except OSError as error:
        raise FileReadError(
            f"{path}: expected a preset, found it cannot be read ({error.strerror}); "
            "see 'ghostless presets' for those that are there"
        ) from None
    except (ValueError, RecursionError) as error:  # of TOML, of its numbers, of UTF-8
        raise FileReadError(
            f"{path}: expected a preset in TOML, found a mistake ({error}); "
            'write lines such as align = "none"'
        ) from None
    summary = values.pop("summary", "")
    if not isinstance(summary, str):
        raise OptionError(f"{path}: expected summary to be text, found {summary!r}")
    options = {}
    for key, value in values.items():
        option = key.replace("-", "_")
        if option not in _CHECKS:
            known = ["summary", *(name.replace("_", "-") for name in _CHECKS)]
            raise OptionError(f"{path}: {unknown_name('option', key, known)}")
        try:
            options[option] = _CHECKS[option](value)
        except OptionError as error:
            raise OptionError(f"{path}: {key}: {error}") from None
        except ValueError:  # Python writes out no number of more than 4300 digits
            raise OptionError(
                f"{path}: {key}: expected a value of some digits, found thousands"
            ) from None
    _check_together(options, path)
    origin: Literal["shipped", "yours", "file"] = "file"
    if path.parent == SHIPPED_FOLDER:
        origin = "shipped"
    elif path.parent == user_folder():
        origin = "yours"
    return Preset(name, summary, options, path, origin)


def _check_together(options: Mapping[str, Any], path: Path) -> None:
    """Raise OptionError for options of which one does nothing beside another of the same preset."""
    deghost = options.get("deghost", "auto")
    if deghost == "off" and "deghost_by" in options:
        raise OptionError(f"{path}: deghost-by: expected deghosting, found it off")
    if options.get("method", "auto") == "auto":
        return  # what the method does not have is left out
    method = METHODS[options["method"]]
    fields = (NetworkSettings if method.needs_torch else method.load()[1]).__dataclass_fields__
    idle = [name for name in METHOD_OPTIONS if name in options and name not in fields]
    if options.get("tone_map", "auto") != "auto" and method.output == "display":
        idle.append("tone_map")
    if deghost == "auto" and method.deghosts and "deghost_by" in options:
        idle.append("deghost_by")
    if idle:
        raise OptionError(
            f"{path}: {idle[0].replace('_', '-')}: expected a method that can use it, found "
            f"method = {method.name!r} in the same preset; leave one of both out"
        )


# Checks of the values, each of which returns the value


def _one_of(names: Callable[[], tuple[str, ...]]) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if not isinstance(value, str):
            raise OptionError(f"expected one of {', '.join(names())}, found {value!r}")
        if value not in names():
            raise unknown_name("value", value, names())
        return value

    return check


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise OptionError(f"expected true or false, found {value!r}")
    return value


def _whole(low: int, high: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise OptionError(f"expected a whole number from {low} to {high}, found {value!r}")
        return value

    return check


def _weight(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
        raise OptionError(f"expected a number from 0 to 100, found {value!r}")
    return float(value)


def _reference(value: Any) -> str:
    if value == "auto":
        return "auto"
    return str(_whole(0, 19)(value))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise OptionError(f"expected text, found {value!r}")
    return value


def _suffixes() -> tuple[str, ...]:
    return tuple(suffix.removeprefix(".") for suffix in FORMAT_BY_SUFFIX)


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "method": _one_of(lambda: ("auto", *METHODS)),
    "align": _one_of(lambda: get_args(AlignModel)),
    "crop": _switch,
    "deghost": _one_of(lambda: get_args(Mode)),
    "deghost_by": _one_of(lambda: get_args(Finder)),
    "reference": _reference,
    "tone_map": _one_of(lambda: ("auto", *OPERATORS)),
    "contrast": _weight,
    "saturation": _weight,
    "well_exposedness": _weight,
    "quality": _one_of(lambda: QUALITIES),
    "device": _text,
    "hdr": _switch,
    "jpeg_quality": _whole(1, 100),
    "depth": _whole(8, 32),
    # Of 'ghostless batch' alone.
    "format": _one_of(_suffixes),
    "consistent": _switch,
}

"""Presets: sets of options under a name, for a kind of photograph, in small TOML files.

Those that ship lie in the package's folder `files`; a user's own in
`~/.config/ghostless/presets` (or below `XDG_CONFIG_HOME`), where one of the same name takes the
place of the shipped one. A file holds a summary and any settings of `options`, by their dotted
names or the short ones that the command has; a table's name goes before the names in it, and a
table of a method's name holds settings for that method alone::

    summary = "My church interiors"
    tone-map = "reinhard"
    deghost.sensitivity = 2
    [mertens]
    levels = 4

`read_preset` is all that a face of Ghostless needs; what is given beside a preset wins over it.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ..errors import FileReadError, OptionError, unknown_name
from ..io.encode import FORMAT_BY_SUFFIX
from ..io.regular import read_regular
from ..io.write import space_of
from ..methods import METHODS, Method
from ..options import (
    ALIASES,
    GROUPS,
    SHORT,
    FuseOptions,
    canonical,
    is_own,
    line_settings,
    with_values,
)
from ..options.unused import first_unused, unused_options
from ..settings import Names, Setting, settings_of

SHIPPED_FOLDER = Path(__file__).resolve().parent / "files"
_MOST_BYTES = 65_536


def _suffixes() -> tuple[str, ...]:
    return tuple(suffix.removeprefix(".") for suffix in FORMAT_BY_SUFFIX)


# Of 'ghostless batch' alone.
OF_BATCH: Mapping[str, Setting] = {
    "format": Setting("format", (str,), "jpg", names=Names(_suffixes)),
    "consistent": Setting("consistent", (bool,), False),
}


@dataclass(frozen=True)
class Preset:
    """Options under a name.

    options: values by the settings' short names where they have one, else by their dotted ones,
        with underscores, checked. origin: "shipped", "yours", or "file" for one given by its path.
    """

    name: str
    summary: str
    options: Mapping[str, Any]
    path: Path
    origin: Literal["shipped", "yours", "file"]

    def by_dotted_name(self) -> dict[str, Any]:
        """All its values, the settings' under their dotted names."""
        return {ALIASES.get(name, name): value for name, value in self.options.items()}

    def beside_method(self) -> dict[str, Any]:
        """Values of the line's settings, by dotted name."""
        named = self.by_dotted_name()
        return {name: value for name, value in named.items() if name in line_settings()}

    def of_batch(self) -> dict[str, Any]:
        """What only whole folders have: the results' format, and whether they shall be alike."""
        return {name: value for name, value in self.options.items() if name in OF_BATCH}

    def for_method(self, method: Method) -> dict[str, Any]:
        """The settings that this method has, of those in the preset, by their own name.

        Raises OptionError for what this method's table holds and the method does not have.
        """
        named = {n: value for n, value in self.by_dotted_name().items() if is_own(n)}
        own = settings_of(method.settings_class)
        found = {}
        for group in ("method", method.name):  # what is said of one method wins
            for name, value in named.items():
                of, _, field = name.partition(".")
                if of != group:
                    continue
                if field in own:
                    setting = replace(own[field], name=f"{self.path}: {field}")
                    found[field] = setting.from_json(value)
                elif group == method.name:
                    raise unknown_name(f"setting of {group}", field, own)
        return found

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "summary": self.summary,
            "options": {name: _plain(value) for name, value in self.options.items()},
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
    options: dict[str, Any] = {}
    for key, value in _flat(values):
        dotted = key.replace("-", "_") if key.replace("-", "_") in OF_BATCH else canonical(key)
        try:
            read = _read_value(key, dotted, value, values.get("method"))
        except OptionError as error:
            raise OptionError(f"{path}: {error}") from None
        short = SHORT.get(dotted, dotted)
        if short in options:
            raise OptionError(f"{path}: {key}: expected each setting once, found it twice")
        options[short] = read
    origin: Literal["shipped", "yours", "file"] = "file"
    if path.parent == SHIPPED_FOLDER:
        origin = "shipped"
    elif path.parent == user_folder():
        origin = "yours"
    preset = Preset(name, summary, options, path, origin)
    try:
        _check_together(preset)
    except OptionError as error:
        raise OptionError(f"{path}: {error}") from None
    return preset


def _flat(values: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, Any]]:
    """Keys and values of a file, those of tables by `table.key`."""
    tables = {*GROUPS, "method", *METHODS, *(name.replace("_", "-") for name in GROUPS)}
    for key, value in values.items():
        if isinstance(value, dict) and not within and key in tables:
            yield from _flat(value, f"{key}.")
        else:
            yield within + key, value


def _read_value(key: str, name: str, value: Any, method: Any) -> Any:
    """Check a value. method: that the preset asks for, or no method's name."""
    setting = OF_BATCH.get(name) or line_settings().get(name)
    if setting is None and is_own(name):
        group, _, field = name.partition(".")
        # What the preset's own method does not have may be for those that are given beside it.
        methods = [*METHODS.values(), *filter(None, [METHODS.get(method)])]
        if group in METHODS:
            methods = [METHODS[group]]
        own: dict[str, Setting] = {}
        for each in methods:
            own.update(settings_of(each.settings_class))
        setting = own.get(field)
        if setting is None and "." in key:
            raise unknown_name(f"setting of {group}", field, own)
    if setting is None:
        known_names = {*OF_BATCH, *line_settings(), *ALIASES, "summary"}
        raise unknown_name("option", key, [known.replace("_", "-") for known in known_names])
    return replace(setting, name=key).from_json(value)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, Path) else value


def _check_together(preset: Preset) -> None:
    """Raise OptionError for an option that does nothing beside the others, whatever is written."""
    line = with_values(FuseOptions(), preset.beside_method())
    methods = METHODS.values() if line.method == "auto" else [METHODS[line.method]]
    idle: dict[str, str] | None = None
    for method in methods:
        for suffix in FORMAT_BY_SUFFIX:
            out = Path(f"name{suffix}")
            if method.output == "display" and space_of(out) == "linear":
                continue
            unused = unused_options(line, method, out)
            idle = {name: why for name, why in unused.items() if idle is None or name in idle}
    found = first_unused(preset.by_dotted_name(), idle or {})
    if found is not None:
        raise OptionError(f"{_short(found[0])}: {found[1]}")
    if line.method == "auto":
        return  # what the method does not have is left out
    own = settings_of(METHODS[line.method].settings_class)
    for name in preset.by_dotted_name():
        group, dot, field = name.partition(".")
        if dot and group == "method" and field not in own:
            raise OptionError(
                f"{_short(name)}: expected a method that can use it, found method = "
                f"{line.method!r} in the same preset; leave one of both out"
            )


def _short(name: str) -> str:
    return SHORT.get(name, name).replace("_", "-")

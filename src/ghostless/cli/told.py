"""From the words of the command to the options of the library."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import OptionError
from ..settings import settings_of

if TYPE_CHECKING:
    import typer

    from ..methods import Method
    from ..options import FuseOptions
    from ..presets import Preset


@dataclass(frozen=True)
class Told:
    """What a command was told, by dotted names.

    options: to run with. method: that will fuse, as far as can be told before the photos are
        counted; None where nothing is fused.
    """

    options: FuseOptions
    method: Method | None


# What the commands take that write frames, or none; a group stands for all of its settings.
OF_READING = ("stops", "stops_file", "read")
OF_ALIGNING = (*OF_READING, "reference", "report", "align", "write.overwrite")
OF_DEGHOSTING = (*OF_ALIGNING, "deghost", "keep")
# Of a folder, in which brackets tell their own exposures.
NOT_OF_BATCH = ("stops", "stops_file", "report", "save_stages", "gains", "keep")


def options_of(
    ctx: typer.Context,
    out: Path | None = None,
    *,
    takes: Sequence[str] | None = None,
    but: Sequence[str] = (),
    base: FuseOptions | None = None,
) -> Told:
    """Turn what stands on the command line, and in a preset, into options.

    What is given wins over a preset; what a preset sets and this run cannot use is left out.
    out: the file that will be written, or one like those; None where nothing is fused. takes: names
    or groups of the settings that the command has, None for all; but: those that it has not. base:
    the command's defaults.
    Raises OptionError for wrong values, for what is given twice, and for what would do nothing.
    """
    from ..options import FuseOptions, as_published, is_own, with_values
    from ..options.chosen import choose_method, method_of

    def taken(name: str) -> bool:
        groups = (name, name.partition(".")[0])
        if any(group in but for group in groups):
            return False
        return takes is None or any(group in takes for group in groups)

    base = base or FuseOptions()
    given = _given(ctx, taken)
    preset = None
    if (name := ctx.params.get("preset")) is not None:
        from ..presets import read_preset

        preset = read_preset(name)
    values = {} if preset is None else _of_preset(ctx, preset, given, taken)
    line = {name: word for name, word in given.items() if not is_own(name)}
    values.update({name: word.read(None) for name, word in line.items()})
    options = with_values(base, values)
    if out is None:
        return Told(options, None)
    asked = {name: word for name, word in given.items() if is_own(name)}
    method = choose_method(options.method, out, own=[n.partition(".")[2] for n in asked])
    if ctx.params.get("as_published"):
        options = with_values(as_published(options, method), values)  # what is given still wins
    elif options.method == "auto" and preset is not None and not asked:
        options = replace(options, method_settings=_of_methods(preset, out))
        method = method_of(options, out)
        return Told(_settle(given, options, method, out), method)
    own = {} if preset is None else preset.for_method(method)
    own.update(_own_settings(method, asked))
    options = with_values(options, {f"method.{n}": value for n, value in own.items()}, method)
    return Told(_settle(given, options, method, out), method)


def _of_methods(preset: Preset, out: Path) -> Any:
    """What a preset says of methods that "auto" may take; of one alone: it then takes that."""
    from ..options.chosen import auto_methods

    found = [(method, preset.for_method(method)) for method in auto_methods(out)]
    made = tuple(method.settings_class(**own) for method, own in found if own)
    return made if len(made) > 1 else next(iter(made), None)


def _of_preset(
    ctx: typer.Context,
    preset: Preset,
    given: Mapping[str, _Word],
    taken: Callable[[str], bool],
) -> dict[str, Any]:
    """What of a preset's settings of the line holds for this command, beside what is given."""
    # A preset never turns off the very step that a command is for.
    steps = {"align": ("align.model", "none"), "deghost": ("deghost.mode", "off")}
    step = steps.get(str(ctx.command.name))
    sources = ("stops", "stops_file")  # one that is given takes the other's place
    left_out = sources if set(sources) & set(given) else ()
    return {
        name: value
        for name, value in preset.beside_method().items()
        if taken(name) and (name, value) != step and name not in left_out
    }


@dataclass(frozen=True)
class _Word:
    """A value as it was given. written: how, "--crop" or "--set align.crop"; text, or a value."""

    name: str
    written: str
    value: Any

    def read(self, method: Method | None) -> Any:
        from ..methods import METHODS
        from ..options import setting_named, value_from_text

        setting = setting_named(self.name, method or METHODS["mertens"])
        if isinstance(self.value, str):
            return value_from_text(setting, self.value, self.written)
        replace(setting, name=self.written).check(self.value)
        return self.value


def _given(ctx: typer.Context, taken: Callable[[str], bool]) -> dict[str, _Word]:
    """Flags and words of --set that stand on the command line, by dotted name."""
    from ..methods import METHODS
    from ..options import ALIASES, is_own, line_settings, pairs_of, setting_named

    found: dict[str, _Word] = {}
    for parameter, value in ctx.params.items():
        name = ALIASES.get(parameter, parameter)
        known = is_own(name) or name in line_settings()
        if known and taken(name) and is_given(ctx, parameter):
            written = "--" + parameter.replace("_", "-")
            value = tuple(value) if isinstance(value, list) else value
            found[name] = _Word(name, written, str(value) if isinstance(value, Path) else value)
    for name, text in pairs_of(ctx.params.get("words") or (), "--set").items():
        if not is_own(name):
            setting_named(name, METHODS["mertens"])  # raises for none of this name
        if not taken(name):
            raise OptionError(
                f"--set {name}: expected a setting that 'ghostless {ctx.command.name}' uses, found "
                "one that would do nothing; leave it out"
            )
        if name in found:
            raise OptionError(
                f"--set {name}: expected each setting once, found {found[name].written} too; "
                "leave one of both out"
            )
        found[name] = _Word(name, f"--set {name}", text)
    return found


def _settle(
    given: Mapping[str, _Word], options: FuseOptions, method: Method, out: Path
) -> FuseOptions:
    """Refuse what was given and would do nothing; leave out what of a preset would do nothing."""
    from ..options.unused import first_unused, unused_options, without_unused

    unused = unused_options(options, method, out)
    found = first_unused({name: word.value for name, word in given.items()}, unused)
    if found is not None:
        raise OptionError(f"{given[found[0]].written}: {found[1]}")
    return without_unused(options, method, out)


def check_deghosting(options: FuseOptions) -> None:
    """Raise OptionError where the command for deghosting is told to do none."""
    if options.deghost.mode == "off":
        raise OptionError(
            "--deghost: expected 'auto' or 'on', found 'off', which leaves nothing to do; "
            "the frames without it are written by 'ghostless align'"
        )


def is_given(ctx: typer.Context, name: str) -> bool:
    """Whether a parameter stands on the command line; not so a preset's and the default."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _own_settings(method: Method, given: Mapping[str, _Word]) -> dict[str, Any]:
    """A method's own settings as they were given, by their own names."""
    found: dict[str, Any] = {}
    for name, word in given.items():
        field = name.partition(".")[2]
        if not word.written.startswith("--set"):
            _check_flag(method, field, word)
        if field in found:
            raise OptionError(f"{word.written}: expected each setting once, found it twice")
        found[field] = word.read(method)
    return found


def _check_flag(method: Method, field: str, word: _Word) -> None:
    """Say where a network's flag belongs that a method's settings do not have."""
    if field == "quality" and str(word.value).isdecimal():
        raise OptionError(
            f"--quality: expected auto, full or fast, for a network, found {word.value!r}; "
            "the quality of a JPEG is --jpeg-quality"
        )
    if field in settings_of(method.settings_class):
        return
    from ..methods import METHODS

    networks = ", ".join(m.name for m in METHODS.values() if m.needs_extra)
    raise OptionError(
        f"{word.written}: expected a method that is a network, found {method.name!r}; "
        f"leave the option out or use --method with one of {networks}"
    )

"""From the words of the command to the options of the library."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ..errors import BracketError, FileReadError, OptionError

if TYPE_CHECKING:
    import typer

    from ..methods import Method
    from ..pipeline import FuseOptions


def options_from(
    stops: str | None,
    stops_file: Path | None,
    max_pixels: int | None,
    reference: str = "auto",
    align: str = "auto",
    crop: bool = False,
    deghost: str = "auto",
    deghost_by: str = "network",
    wrap: bool | None = None,
) -> FuseOptions:
    """Turn the words that commands share into options; the settings check themselves."""
    numbers = None if stops is None else _parse_stops(stops)
    index = _parse_reference(reference)

    from ..align import AlignSettings
    from ..deghost import DeghostSettings
    from ..io.read import ReadSettings
    from ..pipeline import FuseOptions

    return FuseOptions(
        stops=numbers,
        stops_file=stops_file,
        reference=index,
        align=AlignSettings(model=cast(Any, align), crop=crop),
        deghost=DeghostSettings(mode=cast(Any, deghost), by=cast(Any, deghost_by)),
        read=ReadSettings(wrap=wrap)
        if max_pixels is None
        else ReadSettings(max_pixels=max_pixels, wrap=wrap),
    )


def settle(ctx: typer.Context, options: FuseOptions, method: Method, out: Path) -> FuseOptions:
    """Refuse what was given and would do nothing; leave out what of a preset would do nothing.

    method: that will fuse. out: the file that will be written, or one like those.
    """
    from ..unused import unused_options, without_unused

    for name, why in unused_options(options, method, out).items():
        # "auto" asks for nothing.
        if is_given(ctx, name) and ctx.params[name] != "auto":
            raise OptionError(f"--{name.replace('_', '-')}: {why}")
    return without_unused(options, method, out)


def check_deghosting(deghost: str) -> None:
    """Raise OptionError where the command for deghosting is told to do none."""
    if deghost == "off":
        raise OptionError(
            "--deghost: expected 'auto' or 'on', found 'off', which leaves nothing to do; "
            "the frames without it are written by 'ghostless align'"
        )


def is_given(ctx: typer.Context, name: str) -> bool:
    """Whether a parameter stands on the command line; not so a preset's and the default."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _parse_stops(text: str) -> tuple[float, ...]:
    """Read "-2,0,2" or "-2/3, 0, +2/3" as stops; raise OptionError for anything else."""
    words = text.replace(",", " ").split()
    if len(words) > 1 and all(re.fullmatch(r"1/\d+", word) for word in words):
        raise OptionError(
            f"--stops: expected exposures in stops such as -2,0,2, found shutter times: {text!r}; "
            "twice the time is one stop more"
        )
    try:
        return tuple(float(Fraction(word)) for word in words)
    except (ValueError, ZeroDivisionError, OverflowError):
        raise OptionError(
            f"--stops: expected numbers with commas such as -2,0,2, found {text!r}; "
            "give one number for each file, in the order of the files"
        ) from None


def _parse_reference(text: str) -> int | None:
    if text == "auto":
        return None
    try:
        return int(text)
    except ValueError:
        raise OptionError(
            f"--reference: expected 'auto' or a frame's number counted from 0 (darkest), "
            f"found {text!r}"
        ) from None


# Where formats without Exif say which program made them.
_SIGNED_BYTES = 65_536
_OF_NETWORKS = ("quality", "weights", "device")


def method_settings(
    method: Method,
    wanted: dict[str, Any],
    preset: str | None = None,
    words: Sequence[str] | None = None,
) -> Any:
    """Build a method's settings from the options given and a preset's; None where none was.

    What is given wins; settings of the preset that the method does not have are left out.
    words: NAME=VALUE of further settings, none of which may be given as an option too.
    """
    from_preset: dict[str, Any] = {}
    if preset is not None:
        from ..presets import read_preset

        from_preset = read_preset(preset).for_method(method)
    if not wanted and not from_preset and not words:
        return None
    if str(wanted.get("quality", "")).isdecimal():
        raise OptionError(
            f"--quality: expected auto, full or fast, for a network, found {wanted['quality']!r}; "
            "the quality of a JPEG is --jpeg-quality"
        )
    settings_class = method.load()[1]
    for name in wanted:
        if name not in settings_class.__dataclass_fields__:
            option = "--" + name.replace("_", "-")
            if name in _OF_NETWORKS:
                from ..methods import METHODS

                networks = ", ".join(m.name for m in METHODS.values() if m.needs_torch)
                raise OptionError(
                    f"{option}: expected a method that is a network, found {method.name!r}; "
                    f"leave the option out or use --method with one of {networks}"
                )
            raise OptionError(
                f"{option}: expected a method with this setting, found {method.name!r} "
                "which has none; leave the option out or use --method mertens"
            )
    from ..methods.from_words import values_from_words

    further = values_from_words(method, _pairs(words or ()))
    for name in further:
        if name in wanted:
            raise OptionError(
                f"--set {name}: expected each setting once, found --{name.replace('_', '-')} too; "
                "leave one of both out"
            )
    return settings_class(**{**from_preset, **wanted, **further})


def _pairs(words: Sequence[str]) -> dict[str, str]:
    """NAME=VALUE as names with - for _ or without, and text."""
    pairs = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not (name and equals and value):
            raise OptionError(f"--set: expected NAME=VALUE, found {word!r}")
        key = name.strip().replace("-", "_")
        if key in pairs:
            raise OptionError(f"--set {key}: expected each setting once, found it twice")
        pairs[key] = value.strip()
    return pairs


def check_no_photo_at(out: Path, files: Sequence[Path]) -> None:
    """Raise OutputError if a result would take the place of a photo in one of the folders given.

    What Ghostless made itself there, and what is no photo, may be overwritten.
    """
    from ..errors import GhostlessError, OutputError
    from ..io.metadata import SOFTWARE
    from ..io.read import read_facts

    real = Path(os.path.realpath(out))
    folders = {os.path.realpath(path) for path in files if path.is_dir()}
    if str(real.parent) not in folders or not real.is_file():
        return
    try:
        exif = read_facts(real).metadata.exif or b""
    except GhostlessError:
        return
    with real.open("rb") as file:
        start = file.read(_SIGNED_BYTES)
        file.seek(max(0, real.stat().st_size - _SIGNED_BYTES))
        signed = SOFTWARE.encode() in exif + start + file.read()
    if not signed:
        raise OutputError(
            f"{out}: expected a new file, found a photo that is not from Ghostless in the folder "
            "to be fused; choose another name"
        )


def _missing(path: Path) -> FileReadError:
    """What is most likely wrong with a name that nothing has."""
    import difflib
    import glob

    text = str(path)
    if glob.has_magic(text):
        fitting = len(glob.glob(text))
        what = f"{fitting} files fit" if fitting else "no file fits"
        cure = "give it without quotes" if fitting else "check the name and the folder"
        return FileReadError(
            f"{path}: expected a photo or a folder, found a pattern that the shell has not "
            f"replaced by names ({what} it); {cure}"
        )
    if re.match(r"[a-z]+:/", text):
        return FileReadError(
            f"{path}: expected a photo or a folder, found an address; give files of this machine"
        )
    if not path.parent.is_dir():
        return FileReadError(
            f"{path}: expected a photo or a folder, found no folder {path.parent}; check its name"
        )
    try:
        near = difflib.get_close_matches(path.name, os.listdir(path.parent), n=1)
    except OSError:
        near = []
    hint = f"did you mean {path.with_name(near[0])}?" if near else "check it"
    return FileReadError(f"{path}: expected a photo or a folder, found none of this name; {hint}")


def expand(files: Sequence[Path], out: Path | None = None) -> tuple[list[Path], list[str]]:
    """Replace folders by the photos in them, by name, and say what of them is left out.

    An earlier output there is no photo: neither the file at `out`, nor what Ghostless made.
    """
    from ..io.shots import photos_in

    expanded: list[Path] = []
    notes: list[str] = []
    for path in files:
        if not path.is_dir():
            if not os.path.lexists(path):
                raise _missing(path)
            expanded.append(path)
            continue
        found = photos_in(path)
        inside = [file for file in found.files if out is None or not _is_same(file, out)]
        if not inside:
            raise BracketError(
                f"{path}: expected a folder with the photos of one bracket, "
                "found none in it; give the files by name"
            )
        expanded += inside
        notes += found.notes
    return expanded, notes


def _is_same(first: Path, second: Path) -> bool:
    return os.path.realpath(first) == os.path.realpath(second)

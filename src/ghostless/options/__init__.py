"""What a run can be told, and the one vocabulary in which every face of Ghostless says it.

`FuseOptions` and the settings classes within it are all that there is; names, types, ranges and
help are theirs (`settings.py`). A setting's name is dotted, `deghost.sensitivity`; a method's own
is `method.levels`, or `levels` alone. What people say daily has an alias: `crop` for `align.crop`.
Command, presets, page and benchmarks turn words into options here, and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

from ..align import AlignSettings
from ..bracket import MAX_FRAMES
from ..deghost import DeghostSettings
from ..errors import OptionError, unknown_name
from ..io.read import ReadSettings
from ..io.write import WriteSettings
from ..methods import METHODS, Method
from ..settings import Names, Open, Range, Setting, check_settings, named_texts, settings_of
from ..tone.controls import ToneControls
from ..tone.light import Gains
from ..tone.tonemap import ToneMapSettings


def _methods() -> tuple[str, ...]:
    return ("auto", *METHODS)


@dataclass(frozen=True)
class FuseOptions:
    """Everything a run can be told; the defaults suit hand-held brackets of moving scenes.

    method: a name from the table, or "auto": for display files learned-fusion of two photos and
        mertens of more, debevec for linear ones.
    method_settings: the method's own settings dataclass; None for its defaults. "auto" takes the
        method whose settings they are; of a tuple with those of several, each holds where its
        method is taken.
    stops: exposure of each file in stops, in the order of the files; None to find out.
    stops_file: a text file with those numbers; None to look for one beside the frames.
    reference: index (from 0, dark to bright) of the frame whose geometry and moving things are
        kept; None picks the frame that loses least.
    hdr: whether a display file also holds what HDR displays show: .jpg becomes a gain-map JPEG,
        whose first picture is the one without `hdr`, and .avif gets the PQ curve. Linear files are
        HDR anyway.
    gains: what the light of the result's red, green and blue is multiplied by (`light.scale_light`:
        white stays white); None leaves it as it is.
    keep: decisions by hand about ghosts, each FRAME:MASK. In the white part of the mask, an image
        of the photos' size, all photos show what the photo FRAME shows there, whatever moves: its
        file's name, or its place from 0, dark to bright; "none" has nothing replaced there. Of two
        that overlap the later counts.
    save_stages: folder for the aligned frames, the deghosted frames and the masks.
    report: JSON file that tells what was done.
    """

    method: Annotated[str, Names(_methods)] = "auto"
    method_settings: Any = None
    stops: Annotated[tuple[float, ...] | None, Open("auto")] = None
    stops_file: Path | None = None
    reference: Annotated[int | None, Range(0, MAX_FRAMES - 1), Open("auto")] = None
    align: AlignSettings = field(default_factory=AlignSettings)
    deghost: DeghostSettings = field(default_factory=DeghostSettings)
    keep: tuple[str, ...] = ()
    tone_map: ToneMapSettings = field(default_factory=ToneMapSettings)
    tone: ToneControls = field(default_factory=ToneControls)
    read: ReadSettings = field(default_factory=ReadSettings)
    write: WriteSettings = field(default_factory=WriteSettings)
    hdr: bool = False
    gains: Annotated[Gains | None, Range(2**-16, 2**16)] = None
    save_stages: Path | None = None
    report: Path | None = None

    def __post_init__(self) -> None:
        check_settings(self)
        if self.stops is not None and self.stops_file is not None:
            raise OptionError(
                f"stops: expected one source of exposures, found numbers and {self.stops_file}; "
                "leave out one of --stops and --stops-file"
            )


# ---- names ----

GROUPS: Mapping[str, Any] = {
    "align": AlignSettings,
    "deghost": DeghostSettings,
    "tone_map": ToneMapSettings,
    "tone": ToneControls,
    "read": ReadSettings,
    "write": WriteSettings,
}
# What people say every day, and what it stands for.
ALIASES: Mapping[str, str] = {
    "align": "align.model",
    "crop": "align.crop",
    "deghost": "deghost.mode",
    "deghost_by": "deghost.by",
    "tone_map": "tone_map.operator",
    "jpeg_quality": "write.quality",
    "depth": "write.depth",
    "overwrite": "write.overwrite",
    "max_pixels": "read.max_pixels",
    "wrap": "read.wrap",
    **{name: f"tone.{name}" for name in settings_of(ToneControls)},
    "quality": "method.quality",
    "weights": "method.weights",
    "device": "method.device",
}
SHORT: Mapping[str, str] = {name: short for short, name in ALIASES.items()}
_NOT_SAID = (*GROUPS, "method_settings")


@cache
def line_settings() -> Mapping[str, Setting]:
    """Every setting by its dotted name, such as `deghost.sensitivity`, but those of the methods."""
    named = {n: s for n, s in settings_of(FuseOptions).items() if n not in _NOT_SAID}
    for group, settings_class in GROUPS.items():
        for name, setting in settings_of(settings_class).items():
            named[f"{group}.{name}"] = replace(setting, name=f"{group}.{name}")
    return MappingProxyType(named)


def canonical(name: str) -> str:
    """The dotted name that a name stands for: an alias, a method's own, - for _.

    `method.NAME` is a setting of the method that runs, as is NAME alone where the line has none of
    this name; `mertens.NAME` is one of this method.

    >>> canonical("jpeg-quality"), canonical("levels"), canonical("chen_chuang.order")
    ('write.quality', 'method.levels', 'chen-chuang.order')
    """
    group, dot, field_name = name.strip().partition(".")
    group, field_name = group.replace("-", "_"), field_name.replace("-", "_")
    if not dot:
        if group in ALIASES:
            return ALIASES[group]
        return group if group in line_settings() else f"method.{group}"
    if group.replace("_", "-") in METHODS:
        group = group.replace("_", "-")
    return f"{group}.{field_name}"


def setting_named(name: str, method: Method) -> Setting:
    """The setting of a name; raise OptionError, with the near names, where there is none.

    method: that will run.
    """
    dotted = canonical(name)
    if dotted in line_settings():
        return line_settings()[dotted]
    own = settings_of(method.settings_class)
    group, _, field_name = dotted.partition(".")
    if group in ("method", method.name) and field_name in own:
        return replace(own[field_name], name=dotted)
    if group in METHODS and group != method.name:
        raise OptionError(
            f"{name}: expected a setting of the method that runs, {method.name!r}; leave it out"
        )
    written = name.strip().replace("-", "_")
    if "." in written and group != "method":
        raise unknown_name("setting", written, [*line_settings(), *(f"method.{n}" for n in own)])
    raise unknown_name(f"setting of {method.name}", field_name, {*own, *line_settings(), *ALIASES})


def is_own(name: str) -> bool:
    """Whether a dotted name is of a method's own setting, not of the line."""
    group, dot, _ = name.partition(".")
    return bool(dot) and (group == "method" or group in METHODS)


def value_from_text(setting: Setting, text: str, written: str = "") -> Any:
    """The value that text means for a setting; OptionErrors call it as it was written."""
    if setting.name == "stops":
        _check_no_shutter_times(text, written or setting.name)
    return replace(setting, name=written or setting.name).from_text(text)


def _check_no_shutter_times(text: str, written: str) -> None:
    words = text.replace(",", " ").split()
    if len(words) > 1 and all(re.fullmatch(r"1/\d+", word) for word in words):
        raise OptionError(
            f"{written}: expected exposures in stops such as -2,0,2, found shutter times: "
            f"{text!r}; twice the time is one stop more"
        )


def pairs_of(words: Iterable[str], written: str = "") -> dict[str, str]:
    """NAME=VALUE by dotted name; raise OptionError for another form, or a name given twice."""
    found: dict[str, str] = {}
    for name, text in named_texts(words, written):
        dotted = canonical(name)
        if dotted in found:
            raise OptionError(
                f"{written} {name}: expected each setting once, found it twice".strip()
            )
        found[dotted] = text
    return found


def with_values(
    options: FuseOptions, values: Mapping[str, Any], method: Method | None = None
) -> FuseOptions:
    """The options changed by values of dotted names.

    method: that will run, for the values that are its own. Raises OptionError for wrong values.
    """
    changes: dict[str, Any] = {}
    inner: dict[str, dict[str, Any]] = {}
    own: dict[str, Any] = {}
    for name, value in values.items():
        group, dot, field_name = name.partition(".")
        if not dot:
            changes[name] = value
        elif is_own(name):
            own[field_name] = value
        else:
            inner.setdefault(group, {})[field_name] = value
    for group, fields_of in inner.items():
        changes[group] = replace(getattr(options, group), **fields_of)
    if own:
        assert method is not None
        settings_class = method.settings_class
        before = options.method_settings
        mine = isinstance(before, settings_class)
        changes["method_settings"] = replace(before, **own) if mine else settings_class(**own)
    return replace(options, **changes)


def from_words(
    words: Iterable[str], method: Method, options: FuseOptions | None = None, written: str = ""
) -> FuseOptions:
    """Options changed by words such as `deghost.sensitivity=2` or `levels=4`.

    method: that will run. written: how messages call the place where the words stand.
    """
    values = {}
    for name, text in pairs_of(words, written).items():
        setting = setting_named(name, method)
        values[name] = value_from_text(setting, text, f"{written} {name}".strip())
    return with_values(options or FuseOptions(), values, method)


def as_published(options: FuseOptions, method: Method) -> FuseOptions:
    """Options with which a method does what its paper does, and the line nothing before it.

    No aligner and no deghosting but the method's own or what its paper puts in front, its settings
    `Method.as_published`, and its setting of this name where it has one. Which network runs is said
    by its weights: those that ship may differ from the paper's (their cards say how).
    """
    own = dict(method.as_published)
    if "as_published" in method.settings_class.__dataclass_fields__:
        own["as_published"] = True
    published = {name if "." in name else f"method.{name}": value for name, value in own.items()}
    line = {"align.model": "none", "deghost.mode": "off"}
    return with_values(options, {**line, **published}, method)

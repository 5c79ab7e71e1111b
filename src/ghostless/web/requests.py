"""What a request may ask for: models made from the settings of the library, and back again.

The settings dataclasses are the only place where options, their types and defaults are written
down. Here they become the models that the API checks requests by and its schema shows. What names
a file is left out: no path of a client's is ever used.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from ..align import AlignModel, AlignSettings
from ..bracket import MAX_FRAMES
from ..deghost import DeghostSettings
from ..deghost import Mode as DeghostMode
from ..errors import GhostlessError, OptionError, unknown_name
from ..io.encode import FORMAT_BY_SUFFIX, OUTPUT_FORMATS, OutputFormat
from ..io.photo_files import IMAGE_SUFFIXES
from ..io.read import ReadSettings
from ..io.write import WriteSettings, format_of, space_of
from ..methods import METHODS, Method
from ..methods.table import AUTO
from ..options import FuseOptions
from ..options.chosen import choose_method, method_of
from ..options.unused import check_unused, without_unused
from ..presets import preset_names, read_preset
from ..settings import Range, Setting, settings_of
from ..tone.controls import ToneControls
from ..tone.operators import OPERATORS
from ..tone.tonemap import ToneMapSettings
from .limits import Limits
from .views import TILE_PIXELS

_STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def _names_a_file(setting: Setting) -> bool:
    return setting.names_a_file or setting.name.endswith("weights")


def model_of(settings_class: type[Any], *leave_out: str) -> type[BaseModel]:
    """Make the model of a settings dataclass; its fields that name files are left out too.

    Types, ranges and help are those that the settings tell of themselves (`settings_of`).
    """
    fields: dict[str, Any] = {
        setting.name: (_type_of(setting), Field(setting.default, description=setting.help or None))
        for setting in settings_of(settings_class).values()
        if setting.name not in leave_out and not _names_a_file(setting)
    }
    return create_model(settings_class.__name__, __config__=_STRICT, **fields)


def _type_of(setting: Setting) -> Any:
    """A setting's type; its range and late names are told in the schema and checked by itself."""
    limits = setting.range or Range()
    told: dict[str, Any] = {
        name: value
        for name, value in (
            ("minimum", limits.low),
            ("maximum", limits.high),
            ("exclusiveMinimum", limits.above),
            ("exclusiveMaximum", limits.below),
        )
        if math.isfinite(value)
    }
    kinds: list[Any] = []
    for kind in setting.kinds:
        if kind in (int, float):
            kinds.append(Annotated[kind, Field(json_schema_extra=told)] if told else kind)
        elif kind is tuple:
            kinds.append(Annotated[list[float], Field(max_length=100)])
        elif kind is Literal:
            kinds.append(Literal[setting.literals])
        elif kind is str and setting.names is not None:
            kinds.append(Annotated[str, Field(json_schema_extra={"enum": [*setting.choices]})])
        else:
            kinds.append(kind)
    return functools.reduce(operator.or_, kinds)


_Align = model_of(AlignSettings)
_Deghost = model_of(DeghostSettings)
_ToneMap = model_of(ToneMapSettings)
_Tone = model_of(ToneControls)
_MaybeTone: Any = _Tone | None
_Write = model_of(WriteSettings, "overwrite")

_PICTURE = Path("result.jpg")
# One for every photo, and one where nothing is replaced.
MAX_KEPT = MAX_FRAMES + 1
Scalar = bool | int | float | str | None


class KeepRequest(BaseModel):
    """A part of the picture that is decided by hand. mask: from uploading it, see .../masks.

    frame: the photo that is shown there, counted from 0, dark to bright; null: nothing is replaced.
    """

    model_config = _STRICT
    frame: int | None = None
    mask: str = Field(max_length=64)


FuseRequest = create_model(
    "FuseRequest",
    __config__=_STRICT,
    method=(str, Field("auto", description="auto, or the name of a method")),
    method_settings=(
        dict[str, Scalar],
        Field({}, description="The method's own settings, see /api/options", max_length=40),
    ),
    stops=(
        list[float] | None,
        Field(
            None,
            max_length=100,
            description="Exposure of each photo in stops, in the order they were uploaded in; "
            "null to find out",
        ),
    ),
    reference=(
        int | None,
        Field(
            None,
            description="The photo whose moving things are kept, counted from 0, dark to bright; "
            "null to choose",
        ),
    ),
    align=(_Align, Field(default_factory=_Align)),
    deghost=(_Deghost, Field(default_factory=_Deghost)),
    tone_map=(_ToneMap, Field(default_factory=_ToneMap)),
    tone=(_Tone, Field(default_factory=_Tone)),
    keep=(
        list[KeepRequest],
        Field(
            [],
            max_length=MAX_KEPT,
            description="Decisions by hand about ghosts; of two that overlap the later counts",
        ),
    ),
)

ExportRequest = create_model(
    "ExportRequest",
    __base__=_Write,
    format=(str, Field(description="A suffix from /api/options, such as .tif")),
    hdr=(bool, Field(False, description="For HDR displays, where the format can")),
    tone=(_MaybeTone, Field(None, description="In place of what the job was asked for")),
)


def fuse_options(
    request: dict[str, Any], pixels: int, suffix: str = ".jpg", keep: Sequence[str] = ()
) -> FuseOptions:
    """Turn a checked request into the options of the line; raise OptionError where one is wrong.

    pixels: the most that a photo may have. suffix: of the file that will be written. keep: words
    for what the request keeps, with the masks' files as the server has them. A method that
    cannot write it (a display picture has no radiance) gives way to what "auto" stands for, and
    what was asked for the picture and does nothing for this file is left out.
    """
    asked = _asked(request)
    fits = asked.output == "linear" or space_of(f"result{suffix}") == "display"
    stops = request["stops"]
    options = FuseOptions(
        method=request["method"] if fits else "auto",
        method_settings=_method_settings(asked, request["method_settings"]) if fits else None,
        stops=None if stops is None else tuple(stops),
        reference=request["reference"],
        align=AlignSettings(**request["align"]),
        deghost=DeghostSettings(**request["deghost"]),
        tone_map=ToneMapSettings(**request["tone_map"]),
        tone=ToneControls(**request["tone"]),
        keep=tuple(keep),
        read=ReadSettings(max_pixels=pixels),
    )
    out = Path(f"result{suffix}")
    if out != _PICTURE:
        return without_unused(options, method_of(options, out), out)
    check_unused(options, asked, out)
    return options


def check_fuse_request(request: dict[str, Any], frames: int) -> Method:
    """Raise OptionError or BracketError for what can be told to be wrong without starting a job."""
    method = _asked(request, frames)
    why_not = method.why_not_here()
    if why_not is not None:
        raise OptionError(why_not)
    if request["stops"] is not None and len(request["stops"]) != frames:
        raise OptionError(
            f"stops: expected {frames} numbers, one for each photo, found {len(request['stops'])}"
        )
    if request["reference"] is not None and not 0 <= request["reference"] < frames:
        raise OptionError(
            f"reference: expected a photo from 0 (darkest) to {frames - 1} (brightest), "
            f"found {request['reference']}"
        )
    for kept in request["keep"]:
        if kept["frame"] is not None and not 0 <= kept["frame"] < frames:
            raise OptionError(
                f"keep: expected a photo from 0 (darkest) to {frames - 1} (brightest), or null, "
                f"found {kept['frame']}"
            )
    fuse_options(request, pixels=1)
    return method


def check_export_request(request: dict[str, Any]) -> dict[str, Any]:
    """Return the request with its format as the table writes it.

    Raises OptionError for what cannot be written. A format is one of the table's suffixes, all of
    it: it becomes part of a file's name.
    """
    suffix = request["format"].lower()
    if suffix not in FORMAT_BY_SUFFIX:
        raise unknown_name("format", request["format"][:40], FORMAT_BY_SUFFIX)
    checked = {**request, "format": suffix}
    write_settings(checked)
    tone_of(checked, {})
    return checked


def tone_of(export: dict[str, Any], request: dict[str, Any]) -> ToneControls:
    """The tone of an export: its own, else that of the job; raise OptionError for a wrong one."""
    return ToneControls(**(export["tone"] or request.get("tone", {})))


def write_settings(request: dict[str, Any]) -> WriteSettings:
    """Return how an export is to be written; raise OptionError for an unknown format or depth."""
    known = format_of(f"result{request['format']}")
    variant = known.hdr if request["hdr"] else known
    if variant is None:
        raise OptionError(f"{known.name}: expected a format that can be made for HDR displays")
    depth = request["depth"]
    if depth is not None and depth not in variant.depths:
        depths = " or ".join(str(each) for each in variant.depths)
        raise OptionError(f"{variant.name}: expected a depth of {depths} bits, found {depth}")
    written = WriteSettings(**{name: request[name] for name in _Write.model_fields})
    if not known.lossy and written.quality != WriteSettings().quality:
        raise OptionError(f"quality: {known.name} is compressed without loss; leave it out")
    return written


def _asked(request: dict[str, Any], frames: int | None = None) -> Method:
    """The method that a request asks for, as far as can be told before the photos are counted."""
    return choose_method(request["method"], _PICTURE, frames, request["method_settings"])


def _method_settings(method: Method, wanted: dict[str, Any]) -> Any:
    if not wanted:
        return None
    return _check_values(method, method.settings_class, wanted)


def _check_values(method: Method, settings_class: type[Any], wanted: dict[str, Any]) -> Any:
    """Make settings of what a client wants; raise OptionError where that is wrong."""
    for name, setting in settings_of(settings_class).items():
        if name in wanted and _names_a_file(setting):
            raise OptionError(f"settings of {method.name}: {name}: files are not taken by name")
    try:
        checked = model_of(settings_class).model_validate(wanted)
    except ValidationError as error:
        raise OptionError(f"settings of {method.name}: {in_one_line(error.errors())}") from None
    return settings_class(**checked.model_dump())


def in_one_line(errors: Sequence[Any]) -> str:
    """Put the first of pydantic's errors into one line."""
    first = errors[0]
    place = ".".join(str(part) for part in first["loc"] if part not in ("body", "path", "query"))
    what = first["msg"][:1].lower() + first["msg"][1:]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return f"{place}: {what}{more}" if place else what + more


# What the page offers -----------------------------------------------------------------------------


class MethodFacts(BaseModel):
    """A method that can be chosen. `settings` is a JSON schema of its settings' properties.

    deghosts: whether it deals with ghosts by itself where deghosting is "auto". group: "use" for
    photographs, or "compare". seconds: that it took to fuse three photos on two cores, whatever
    their size and more for every megapixel; null where that was not measured.
    """

    name: str
    summary: str
    group: str
    paper: str
    output: str
    frames: tuple[int, int]
    needs_stops: bool
    deghosts: bool
    available: bool
    why_not: str | None
    seconds: tuple[float, float] | None
    shows: list[str]
    settings: dict[str, Any]


class Choice(BaseModel):
    name: str
    summary: str


class PresetFacts(BaseModel):
    """Options under a name, by their dotted names; those that name files are left out."""

    name: str
    summary: str
    options: dict[str, Scalar | list[float]]


class FormatFacts(BaseModel):
    """A format that can be downloaded.

    hdr: whether it is for HDR displays, and asked for so. lossy: whether there is a quality.
    """

    suffix: str
    name: str
    space: str
    depths: list[int]
    hdr: bool
    lossy: bool


class LimitFacts(BaseModel):
    bracket_bytes: int
    pixels: int
    frames: int
    jobs: int
    keep_seconds: float


class Offer(BaseModel):
    """All that the page and the API offer.

    auto_method: what "auto" takes for a picture. auto_methods: for other numbers of photos.
    tone: a JSON schema of its controls. tile: side of the tiles of a toned picture, in pixels.
    """

    version: str
    methods: list[MethodFacts]
    auto_method: str
    auto_methods: dict[int, str]
    align: list[str]
    deghost: list[str]
    tone_map: list[Choice]
    tone: dict[str, Any]
    tile: int
    presets: list[PresetFacts]
    formats: list[FormatFacts]
    photo_suffixes: list[str]
    limits: LimitFacts


def offer(limits: Limits) -> Offer:
    """Gather what can be asked for, from the tables of the library."""
    from .. import __version__

    return Offer(
        version=__version__,
        methods=[_method_facts(method) for method in METHODS.values()],
        auto_method=choose_method("auto", _PICTURE).name,
        auto_methods={
            photos: name for photos, name in AUTO["display"].items() if photos is not None
        },
        align=list(get_args(AlignModel)),
        deghost=list(get_args(DeghostMode)),
        tone_map=[Choice(name=each.name, summary=each.summary) for each in OPERATORS.values()],
        tone=_Tone.model_json_schema()["properties"],
        tile=TILE_PIXELS,
        presets=_presets(),
        formats=[facts for known in OUTPUT_FORMATS for facts in _format_facts(known)],
        photo_suffixes=sorted(IMAGE_SUFFIXES),
        limits=LimitFacts(
            **{name: getattr(limits, name) for name in LimitFacts.model_fields},
        ),
    )


def _presets() -> list[PresetFacts]:
    """The presets, without a user's own that cannot be read: the command tells what is wrong."""
    found = []
    for name in preset_names():
        with suppress(GhostlessError):
            preset = read_preset(name)
            options = {
                setting: list(value) if isinstance(value, tuple) else value
                for setting, value in preset.by_dotted_name().items()
                if not isinstance(value, Path) and not setting.endswith("weights")
            }
            facts = PresetFacts(name=name, summary=preset.summary, options=options)
            found.append(facts)
    return found


def _method_facts(method: Method) -> MethodFacts:
    why_not = method.why_not_here()
    return MethodFacts(
        name=method.name,
        summary=method.summary,
        group=method.group,
        paper=method.paper,
        output=method.output,
        frames=method.frames,
        needs_stops=method.needs_stops,
        deghosts=method.deghosts,
        available=why_not is None,
        why_not=why_not,
        seconds=method.seconds,
        shows=list(method.shows),
        settings=model_of(method.settings_class).model_json_schema()["properties"],
    )


def _format_facts(known: OutputFormat) -> list[FormatFacts]:
    """A format's entry, and one more for its variant for HDR displays."""
    suffix, space = known.suffixes[0], known.space
    variants = [(known.name, known.depths, False)]
    if known.hdr is not None:
        variants.append((known.hdr.name, known.hdr.depths, True))
    return [
        FormatFacts(
            suffix=suffix,
            name=name,
            space=space,
            depths=list(depths),
            hdr=hdr,
            lossy=known.lossy,
        )
        for name, depths, hdr in variants
    ]

"""The command `ghostless`: reads its words, calls the library, prints one line where it fails.

Nothing heavy is imported at the top: `ghostless --help` must answer at once. Exit status: 0 done,
1 an error of ours, 2 something given that cannot be used, 130 interrupted.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from .errors import BracketError, FileReadError, GhostlessError, OptionError, unknown_name

if TYPE_CHECKING:
    from rich.progress import Progress

    from .bracket import Bracket, Frame
    from .methods import Method
    from .pipeline import FuseOptions
    from .report import Report

ALIGN_MODELS = ("auto", "homography", "affine", "shift", "flow", "none")
DEGHOST_MODES = ("auto", "on", "off")
DEPTHS = ("8", "16", "32")
# What a folder given in place of files is searched for; anything can be named one by one.
FOLDER_SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".avif", ".heic", ".heif", ".hdr", ".exr"),
    *(".dng", ".arw", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2"),
    *(".rwl", ".srw", ".3fr", ".iiq", ".kdc", ".mrw", ".x3f"),
)
_SECONDS_BEFORE_BARS = 1.0


class _Group(TyperGroup):
    """The command's subcommands; an unknown one is answered with the near names."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            if Path(args[0]).exists():
                raise OptionError(
                    f"expected a command before {args[0]!r}; "
                    f"to fuse photos: ghostless fuse {args[0]} ... -o out.jpg"
                )
            raise unknown_name("command", args[0], self.commands)
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=_Group,
    add_completion=False,
    rich_markup_mode=None,
    help="Bracketed photos of one scene in, one good picture out: aligned, free of ghosts, "
    "well exposed everywhere, or as HDR.",
)
bench_app = typer.Typer(
    cls=_Group, rich_markup_mode=None, help="Measure speed and alignment on this machine."
)
app.add_typer(bench_app, name="bench")

# ---- words that several commands share ----

Files = Annotated[
    list[Path], typer.Argument(metavar="FILES", help="The photos of one bracket, or a folder.")
]
Stops = Annotated[
    str | None,
    typer.Option(
        metavar="A,B,...",
        help="Exposure of each file in stops, in the order of the files: -2,0,2.",
    ),
]
StopsFile = Annotated[Path | None, typer.Option(help="Text file with those numbers.")]
Align = Annotated[
    str, typer.Option(metavar="|".join(ALIGN_MODELS), help="How frames may be registered.")
]
Crop = Annotated[
    bool, typer.Option("--crop", help="Crop to what all frames show, rather than fill borders.")
]
Deghost = Annotated[
    str, typer.Option(metavar="|".join(DEGHOST_MODES), help="Replace what moved between frames.")
]
Reference = Annotated[
    str,
    typer.Option(
        metavar="auto|INDEX",
        help="Frame whose geometry and moving things are kept, counted from 0, dark to bright.",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace existing output files.")]
ReportFile = Annotated[Path | None, typer.Option(help="Also save what was done as JSON.")]
MaxPixels = Annotated[
    int | None, typer.Option(min=1, help="Refuse files with more pixels than this.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
OutFolder = Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder to write to.")]


@app.callback(invoke_without_command=True)
def _start(
    ctx: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        from . import __version__

        print(f"ghostless {__version__}")
    elif ctx.invoked_subcommand is None:
        print(ctx.get_help())


@app.command()
def fuse(
    files: Files,
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", help="File to write: .jpg .png .tif .webp .avif, or .hdr .exr for HDR."
        ),
    ],
    method: Annotated[str, typer.Option(help="A name from 'ghostless methods'.")] = "auto",
    stops: Stops = None,
    stops_file: StopsFile = None,
    align: Align = "auto",
    crop: Crop = False,
    deghost: Deghost = "auto",
    reference: Reference = "auto",
    tone_map: Annotated[
        str, typer.Option(help="Operator that brings a linear result to a display file.")
    ] = "auto",
    contrast: Annotated[
        float | None, typer.Option(help="Weight of local contrast (mertens).")
    ] = None,
    saturation: Annotated[
        float | None, typer.Option(help="Weight of saturated colour (mertens).")
    ] = None,
    well_exposedness: Annotated[
        float | None, typer.Option(help="Weight of mid-tones (mertens).")
    ] = None,
    jpeg_quality: Annotated[
        int, typer.Option(min=1, max=100, help="Quality of JPEG, WebP and AVIF files.")
    ] = 95,
    depth: Annotated[
        str | None,
        typer.Option(metavar="|".join(DEPTHS), help="Bits per channel of PNG and TIFF files."),
    ] = None,
    overwrite: Overwrite = False,
    report: ReportFile = None,
    save_stages: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Also save the aligned and deghosted frames and masks."),
    ] = None,
    max_pixels: MaxPixels = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Fuse the photos of one bracket into one picture."""
    options = _options(stops, stops_file, max_pixels, reference, align, crop, deghost)
    from .pipeline import choose_method, fuse_files
    from .tonemap import ToneMapSettings

    weights = {
        name: value
        for name, value in (
            ("contrast", contrast),
            ("saturation", saturation),
            ("well_exposedness", well_exposedness),
        )
        if value is not None
    }
    write = replace(
        options.write,
        quality=jpeg_quality,
        depth=None if depth is None else int(_one_of("--depth", depth, DEPTHS)),
        overwrite=overwrite,
    )
    options = replace(
        options,
        method=method,
        method_settings=_method_settings(choose_method(method, out), weights),
        tone_map=ToneMapSettings(operator=tone_map),
        write=write,
        save_stages=save_stages,
        report=report,
    )
    with _Bars(quiet) as bars:
        done = fuse_files(_expand(files, out), out, options, progress=bars)
    _tell(done, quiet, as_json)


@app.command()
def align(
    files: Files,
    out: OutFolder,
    stops: Stops = None,
    stops_file: StopsFile = None,
    align: Align = "auto",
    crop: Crop = False,
    reference: Reference = "auto",
    overwrite: Overwrite = False,
    report: ReportFile = None,
    max_pixels: MaxPixels = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write the aligned frames of one bracket as TIFF files."""
    options = _options(stops, stops_file, max_pixels, reference, align, crop, "off")
    from .pipeline import align_files

    options = replace(options, write=replace(options.write, overwrite=overwrite), report=report)
    with _Bars(quiet) as bars:
        done = align_files(_expand(files), out, options, progress=bars)
    _tell(done, quiet, as_json)


@app.command()
def deghost(
    files: Files,
    out: OutFolder,
    masks: Annotated[
        bool, typer.Option("--masks", help="Also write where ghosts were, as PNG.")
    ] = False,
    stops: Stops = None,
    stops_file: StopsFile = None,
    align: Align = "auto",
    crop: Crop = False,
    deghost: Deghost = "on",
    reference: Reference = "auto",
    overwrite: Overwrite = False,
    report: ReportFile = None,
    max_pixels: MaxPixels = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write the aligned frames of one bracket with the ghosts gone, as TIFF files."""
    options = _options(stops, stops_file, max_pixels, reference, align, crop, deghost)
    from .pipeline import deghost_files

    options = replace(options, write=replace(options.write, overwrite=overwrite), report=report)
    with _Bars(quiet) as bars:
        done = deghost_files(_expand(files), out, options, masks=masks, progress=bars)
    _tell(done, quiet, as_json)


@app.command()
def info(
    files: Files,
    stops: Stops = None,
    stops_file: StopsFile = None,
    max_pixels: MaxPixels = None,
    as_json: Json = False,
) -> None:
    """Print the bracket: each file's exposure and where it is known from, and the reference."""
    options = _options(stops, stops_file, max_pixels)
    from .exposure import choose_reference
    from .pipeline import prepare_files

    bracket = prepare_files(_expand(files), options)
    reference = choose_reference(bracket)
    if as_json:
        _print_json(_bracket_facts(bracket, reference))
    else:
        _print_bracket(bracket, reference)


@app.command()
def methods(as_json: Json = False) -> None:
    """Print the table of fusion methods."""
    from .methods import METHODS

    facts = [_method_facts(method) for method in METHODS.values()]
    if as_json:
        _print_json(facts)
        return
    for method in facts:
        print(f"{method['name']}: {method['summary']}")
        for fact, value in method.items():
            if fact not in ("name", "summary"):
                print(f"    {fact.replace('_', ' '):<14} {_in_words(value)}")


@bench_app.callback(invoke_without_command=True)
def _start_bench(ctx: typer.Context) -> None:
    if ctx.invoked_subcommand is None:
        print(ctx.get_help())


# ---- from words to options ----


def _options(
    stops: str | None,
    stops_file: Path | None,
    max_pixels: int | None,
    reference: str = "auto",
    align: str = "auto",
    crop: bool = False,
    deghost: str = "auto",
) -> FuseOptions:
    """Turn the shared words into options, cheap checks before expensive imports."""
    numbers = None if stops is None else _parse_stops(stops)
    index = _parse_reference(reference)
    align = _one_of("--align", align, ALIGN_MODELS)
    deghost = _one_of("--deghost", deghost, DEGHOST_MODES)

    from .align import AlignSettings
    from .deghost import DeghostSettings
    from .io.read import ReadSettings
    from .pipeline import FuseOptions

    return FuseOptions(
        stops=numbers,
        stops_file=stops_file,
        reference=index,
        align=AlignSettings(model=align, crop=crop),  # type: ignore[arg-type]  checked above
        deghost=DeghostSettings(mode=deghost),  # type: ignore[arg-type]  checked above
        read=ReadSettings() if max_pixels is None else ReadSettings(max_pixels=max_pixels),
    )


def _parse_stops(text: str) -> tuple[float, ...]:
    """Read "-2,0,2" or "-2/3, 0, +2/3" as stops; raise OptionError for anything else."""
    try:
        return tuple(float(Fraction(word)) for word in text.replace(",", " ").split())
    except (ValueError, ZeroDivisionError):
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


def _one_of(option: str, value: str, known: Sequence[str]) -> str:
    if value not in known:
        raise unknown_name(f"value of {option}", value, known)
    return value


def _method_settings(method: Method, wanted: dict[str, float]) -> Any:
    """Build a method's settings from the options given; None where none was."""
    if not wanted:
        return None
    settings_class = method.load()[1]
    for name in wanted:
        if name not in settings_class.__dataclass_fields__:
            option = "--" + name.replace("_", "-")
            raise OptionError(
                f"{option}: expected a method with this setting, found {method.name!r} "
                "which has none; leave the option out or use --method mertens"
            )
    return settings_class(**wanted)


def _expand(files: Sequence[Path], out: Path | None = None) -> list[Path]:
    """Replace folders by the images in them, by name; an earlier output there is no input."""
    expanded = []
    for path in files:
        if not path.is_dir():
            expanded.append(path)
            continue
        try:
            inside = sorted(
                file
                for file in path.iterdir()
                if file.suffix.lower() in FOLDER_SUFFIXES and not file.name.startswith(".")
            )
        except OSError as error:
            raise FileReadError(
                f"{path}: expected a folder of photos, found one that cannot be read "
                f"({error.strerror}); check its permissions"
            ) from None
        inside = [file for file in inside if out is None or file.resolve() != out.resolve()]
        if not inside:
            raise BracketError(
                f"{path}: expected a folder with the photos of one bracket, "
                "found none in it; give the files by name"
            )
        expanded += inside
    return expanded


# ---- from results to words ----


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2))


def _tell(report: Report, quiet: bool, as_json: bool) -> None:
    if as_json:
        _print_json(report.as_dict())
    elif not quiet:
        print(report.as_text())


def _frame_facts(frame: Frame, is_reference: bool) -> dict[str, Any]:
    metadata = frame.metadata
    return {
        "file": str(frame.path),
        "width": frame.width,
        "height": frame.height,
        "type": str(frame.pixels.dtype),
        "transfer": frame.transfer,
        "stops": frame.stops,
        "stops_source": frame.stops_source,
        "shutter_seconds": metadata.shutter_seconds,
        "aperture_f_number": metadata.aperture_f_number,
        "iso": metadata.iso,
        "taken_at": metadata.taken_at,
        "camera": metadata.camera,
        "lens": metadata.lens,
        "reference": is_reference,
    }


def _bracket_facts(bracket: Bracket, reference: int) -> dict[str, Any]:
    return {
        "frames": [
            _frame_facts(frame, index == reference) for index, frame in enumerate(bracket.frames)
        ],
        "reference": reference,
        "notes": list(bracket.notes),
    }


def _print_bracket(bracket: Bracket, reference: int) -> None:
    rows = [("file", "size", "type", "stops", "from", "shutter", "aperture", "ISO", "")]
    for index, frame in enumerate(bracket.frames):
        metadata = frame.metadata
        aperture = metadata.aperture_f_number
        rows.append(
            (
                frame.name,
                f"{frame.width} x {frame.height}",
                f"{frame.pixels.dtype} {frame.transfer}",
                "?" if frame.stops is None else f"{frame.stops:+.2f}",
                frame.stops_source or "",
                _shutter_in_words(metadata.shutter_seconds),
                "" if aperture is None else f"f/{aperture:g}",
                "" if metadata.iso is None else f"{metadata.iso:g}",
                "reference" if index == reference else "",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())
    for note in bracket.notes:
        print(f"note: {note}")


def _shutter_in_words(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"1/{1 / seconds:.0f} s" if 0 < seconds < 0.3 else f"{seconds:g} s"


def _method_facts(method: Method) -> dict[str, Any]:
    return {name: value for name, value in vars(method).items() if not callable(value)}


def _in_words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return " to ".join(str(item) for item in value)
    return "none" if value is None else str(value)


class _Bars:
    """A progress bar on standard error once a run has lasted a second; none off a terminal."""

    def __init__(self, quiet: bool) -> None:
        self._wanted = not quiet and sys.stderr.isatty()
        self._lock = threading.Lock()
        self._timer = threading.Timer(_SECONDS_BEFORE_BARS, self._show)
        self._timer.daemon = True
        self._progress: Progress | None = None
        self._stage, self._fraction = "", 0.0
        self._closed = False

    def __enter__(self) -> _Bars:
        if self._wanted:
            self._timer.start()
        return self

    def __call__(self, stage: str, fraction: float) -> None:
        with self._lock:
            self._stage, self._fraction = stage, fraction
            self._draw()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        with self._lock:
            self._closed = True
            if self._progress is not None:
                self._progress.stop()

    def _show(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        with self._lock:
            if self._closed:
                return
            self._progress = Progress(
                TextColumn("{task.description:<9}"),
                BarColumn(),
                TimeElapsedColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._progress.add_task("", total=None)
            self._progress.start()
            self._draw()

    def _draw(self) -> None:
        if self._progress is not None:
            # A stage that tells nothing on its way shows a moving bar instead of a stuck one.
            total = 1.0 if self._fraction > 0 else None
            task = self._progress.task_ids[0]
            self._progress.update(
                task, description=self._stage, completed=self._fraction, total=total
            )


# ---- the way in and the ways out ----


def main(words: Sequence[str] | None = None) -> None:
    """Run the command with `words` (the process's own by default) and exit with its status."""
    _hush_libraries()
    sys.exit(run(sys.argv[1:] if words is None else words))


def run(words: Sequence[str]) -> int:
    """Run the command and return its exit status; every failure is one line on standard error."""
    # Typer's base of all usage errors lives under another name in each of its versions.
    usage_error = typer.BadParameter.__mro__[1]
    try:
        command = typer.main.get_command(app)
        status = command.main(args=list(words), prog_name="ghostless", standalone_mode=False)
        sys.stdout.flush()
        if status == 130:
            raise KeyboardInterrupt
        return status if isinstance(status, int) else 0
    except GhostlessError as error:
        return _fail(str(error), 2)
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted; no half-written file is left behind", 130)
    except BrokenPipeError:
        # The reader of our output went away; keep Python's shutdown from complaining about it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if isinstance(error, usage_error):
            return _fail(_usage_in_words(error), 2)
        if os.environ.get("GHOSTLESS_TRACEBACK"):
            raise
        what = f"{type(error).__name__}: {error}".removesuffix(": ")
        return _fail(
            f"unexpected error: {what} (set GHOSTLESS_TRACEBACK=1 for the traceback; "
            "please report it)",
            1,
        )


def _fail(message: str, status: int) -> int:
    print("ghostless: " + " ".join(message.split("\n")), file=sys.stderr)
    return status


def _usage_in_words(error: Any) -> str:
    message = error.format_message().strip().rstrip(".").replace("\n", " ").replace("\t", "")
    command = error.ctx.command_path if error.ctx is not None else "ghostless"
    return f"{message[:1].lower()}{message[1:]} (see '{command} --help')"


def _hush_libraries() -> None:
    """Keep other people's remarks off standard error, and let a polite kill clean up."""
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    logging.getLogger().addHandler(logging.NullHandler())
    if not sys.warnoptions:
        import warnings

        warnings.simplefilter("ignore")
    if threading.current_thread() is threading.main_thread():
        with suppress(ValueError, OSError):
            signal.signal(signal.SIGTERM, _stop)


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt

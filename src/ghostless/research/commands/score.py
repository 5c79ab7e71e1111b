"""The commands `score` and `metrics`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from ...cli.photos import expand
from ...cli.show import Bars, in_words, print_json
from ...cli.words import Json, MaxPixels
from ...errors import InputError, OptionError, SpaceError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...io.read import ReadSettings
    from ..metrics import Images
    from ..metrics.table import Metric

_ALL_OF_MEFB = "MEFB"


def spread_sources(words: Sequence[str]) -> list[str]:
    """Repeat --sources before each of the files that follow it, for an option takes one value."""
    spread: list[str] = []
    position = 0
    while position < len(words):
        word = words[position]
        position += 1
        if word == "--":
            return [*spread, word, *words[position:]]
        if word != "--sources":
            spread.append(word)
            continue
        first = position
        while position < len(words) and not words[position].startswith("-"):
            spread += [word, words[position]]
            position += 1
        if position == first:
            raise OptionError(
                "--sources: expected the photos that were fused, found none after it; "
                "give their files or folder"
            )
    return spread


class ScoreCommand(TyperCommand):
    """A command whose option --sources takes several files."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, spread_sources(args))


SourceFiles = Annotated[
    list[Path] | None,
    typer.Option(metavar="A B ...", help="The photos that were fused, or their folder."),
]
TruthFile = Annotated[
    Path | None,
    typer.Option(help="What the result should be: a picture; .exr or .hdr for such a result."),
]
RadianceFile = Annotated[
    Path | None, typer.Option(help="The scene as .exr or .hdr, to score tone mapping.")
]
MetricNames = Annotated[
    str | None,
    typer.Option(
        metavar="M,...",
        help="Names from 'ghostless metrics', or MEFB for its twenty; else all that apply.",
    ),
]
MatchExposure = Annotated[
    bool,
    typer.Option("--match-exposure", help="First scale a linear result to the truth's exposure."),
]
ScoreDevice = Annotated[
    str | None,
    typer.Option(
        help="auto, cpu, cuda or cuda:INDEX: work out with torch, there, what "
        "'ghostless metrics' marks so; else everything with NumPy."
    ),
]


def score(
    fused: Annotated[Path, typer.Argument(metavar="FUSED", help="The picture to score.")],
    sources: SourceFiles = None,
    truth: TruthFile = None,
    radiance: RadianceFile = None,
    metrics: MetricNames = None,
    match_exposure: MatchExposure = False,
    device: ScoreDevice = None,
    max_pixels: MaxPixels = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
    as_json: Json = False,
) -> None:
    """Score a result against its sources, a true picture, or the scene's radiance."""
    from ..metrics import get_metric
    from ..metrics import score as score_images
    from ..metrics.table import METRICS

    names = None if metrics is None else _names(metrics)
    chosen = None if names is None else [get_metric(name) for name in names]
    asked = Asked(fused, tuple(expand(sources or [])[0]), truth, radiance, match_exposure)
    images, ordered = asked.read(max_pixels)
    with Bars(quiet) as bars:
        values = score_images(
            images, names, device=device, progress=lambda share: bars("metrics", share)
        )
    if as_json:
        print_json(
            {
                # JSON knows no infinity: PSNR of equal pictures is null.
                "metrics": {n: v if math.isfinite(v) else None for n, v in values.items()},
                "fused": str(fused),
                "sources": [str(path) for path in ordered],
                "truth": None if truth is None else str(truth),
                "radiance": None if radiance is None else str(radiance),
            }
        )
        return
    rows = [
        (name, f"{value:.6g}", _direction(METRICS[name]), METRICS[name].paper)
        for name, value in values.items()
    ]
    _print_table([("metric", "value", "better", "paper"), *rows])
    if chosen is None:
        wanted = [m for m in METRICS.values() if m.package is None and m.applies_to(images)]
        small = [metric.name for metric in wanted if metric.name not in values]
        if small:
            print(f"note: left out, for the picture is too small: {', '.join(small)}")


def metrics(as_json: Json = False) -> None:
    """Print the table of metrics."""
    from ..metrics.table import METRICS

    if as_json:
        print_json([_facts(metric) for metric in METRICS.values()])
        return
    rows = [
        (
            metric.name,
            _direction(metric),
            _range(metric),
            _needs(metric),
            "GPU too" if metric.tensor_form else "CPU",
            metric.summary,
            metric.paper,
        )
        for metric in METRICS.values()
    ]
    _print_table([("metric", "better", "range", "needs", "runs on", "what", "paper"), *rows])


@dataclass(frozen=True)
class Asked:
    """The files of one scoring."""

    fused: Path
    sources: tuple[Path, ...]
    truth: Path | None
    radiance: Path | None
    match_exposure: bool

    def read(self, max_pixels: int | None) -> tuple[Images, list[Path]]:
        """Read everything; return it with the sources' files, dark to bright."""
        from ...io.read import ReadSettings
        from ..metrics import Images
        from ..metrics.radiance import scaled

        settings = ReadSettings() if max_pixels is None else ReadSettings(max_pixels=max_pixels)
        result, linear = _read(self.fused, settings)
        self._check_spaces(linear)
        others: dict[Path, NDArray[Any]] = {}
        for path in (*self.sources, self.truth, self.radiance):
            if path is None:
                continue
            others[path] = pixels = self._read_like_result(path, linear, settings)
            if pixels.shape != result.shape:
                raise InputError(
                    f"{path}: expected {result.shape[1]} x {result.shape[0]} pixels like "
                    f"{self.fused}, found {pixels.shape[1]} x {pixels.shape[0]}; "
                    "give images of one scene and size"
                )
        ordered = sorted(self.sources, key=lambda path: float(others[path].mean()))
        truth = None if self.truth is None else others[self.truth]
        if self.match_exposure and truth is not None:
            result = scaled(result, truth)
        images = Images(
            result,
            sources=tuple(others[path] for path in ordered),
            truth=None if linear else truth,
            true_radiance=truth if linear else None,
            radiance=None if self.radiance is None else others[self.radiance],
        )
        return images, ordered

    def _check_spaces(self, linear: bool) -> None:
        if linear and (self.sources or self.radiance):
            option = "--sources" if self.sources else "--radiance"
            raise SpaceError(
                f"{self.fused}: expected a display picture with {option}, found a linear one; "
                "score a tone-mapped file, or give --truth only"
            )
        if linear and self.truth is None:
            raise SpaceError(
                f"{self.fused}: expected --truth with an .exr or .hdr file to score a linear "
                "picture, found none; or score a tone-mapped file"
            )
        if self.match_exposure and not linear:
            raise OptionError(
                f"--match-exposure: expected a linear result, found the display picture "
                f"{self.fused}; leave it out"
            )

    def _read_like_result(self, path: Path, linear: bool, settings: ReadSettings) -> NDArray[Any]:
        """Read a file that must be display or linear, as its part asks for."""
        wanted = path == self.radiance or (path == self.truth and linear)
        pixels, found = _read(path, settings)
        if found == wanted:
            return pixels
        if path in self.sources:
            from ...pixels.color import to_display

            return _as_bytes(to_display(pixels, "linear"))
        kinds = ("a display picture", "a linear one (.exr or .hdr)")
        cure = (
            "give it with --radiance to score tone mapping"
            if path == self.truth and found
            else "give files of one kind"
        )
        raise SpaceError(
            f"{path}: expected {kinds[wanted]} to compare {self.fused} with, "
            f"found {kinds[found]}; {cure}"
        )


def _read(path: Path, settings: ReadSettings) -> tuple[NDArray[Any], bool]:
    """Pixels (H, W, 3), uint8 for a display picture or float32 for a linear one; and which."""
    from ...io.read import read_frame
    from ...pixels.color import to_unit

    frame = read_frame(path, settings)
    if frame.transfer == "linear":
        return to_unit(frame.pixels), True
    return _as_bytes(frame.pixels), False


def _as_bytes(pixels: NDArray[Any]) -> NDArray[Any]:
    """Display pixels of any type as uint8, rounded: what the published metrics work on."""
    import numpy as np

    from ...pixels.color import to_unit

    if pixels.dtype == np.uint8:
        return pixels
    return np.rint(np.clip(to_unit(pixels), 0, 1) * 255).astype(np.uint8)


def _names(text: str) -> list[str]:
    """Names in "M,N"; MEFB stands for its twenty."""
    from ..metrics.table import METRICS

    names: list[str] = []
    for word in text.replace(",", " ").split():
        mefb = [name for name, metric in METRICS.items() if metric.mefb]
        names += mefb if word == _ALL_OF_MEFB else [word]
    if not names:
        raise OptionError(
            "--metrics: expected names with commas such as MEF_SSIM,Qabf, found none; "
            "'ghostless metrics' lists them"
        )
    return names


def _direction(metric: Metric) -> str:
    return "higher" if metric.higher_is_better else "lower"


def _range(metric: Metric) -> str:
    low, high = metric.value_range
    return f"{'..' if low is None else f'{low:g}'} to {'..' if high is None else f'{high:g}'}"


def _needs(metric: Metric) -> str:
    if metric.needs == "sources":
        low, high = metric.sources
        return f"{low} sources" if low == high else f"{low} or more sources"
    return "nothing else" if metric.needs is None else in_words(metric.needs).replace("_", " ")


def _facts(metric: Metric) -> dict[str, Any]:
    return {
        "name": metric.name,
        "summary": metric.summary,
        "paper": metric.paper,
        "needs": metric.needs,
        "sources": list(metric.sources) if metric.needs == "sources" else None,
        "higher_is_better": metric.higher_is_better,
        "range": list(metric.value_range),
        "mefb": metric.mefb,
        "package": metric.package,
        "comparable": metric.comparable,
        "tensor_form": metric.tensor_form,
        "note": metric.note,
    }


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())

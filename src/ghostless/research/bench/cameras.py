"""Whether simulated cameras are as unruly as real ones: what one photo's codes say of another's.

Were a photo a curve of the light in each channel, the codes of one photo of a still scene would
give those of another through a monotone mapping, and nothing would be left. What is left round the
best such mapping, by code and in flat places, is measured on real pairs, on pairs from simulated
real cameras and on pairs from plain ones. Real pairs should lie within what the simulation spans.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...errors import BracketError
from ...io.read import read_image
from ..data.scenes import Scene, read_brackets, read_mefb, read_sice

BANDS = 16
# Pixels that a band must have to be counted.
_LEAST_PIXELS = 150
# Flattest share of each band that is looked at, and the blur under which it is told.
_FLAT_SHARE, _FLAT_SIGMA_PIXELS = 0.4, 1.5
_LONGER_SIDE_PIXELS = 1024
KINDS = ("real photos", "simulated", "plain")
# Means over some pixels have little noise left: what remains is colours, glare and rendering.
_MEAN_PIXELS = 5
DIRECTIONS = (
    "bright from dark, means",
    "dark from bright, means",
    "bright from dark, pixels",
    "dark from bright, pixels",
)
CHANNELS = ("red", "green", "blue", "largest")
# Stops between the frames of a simulated pair, about those of the real ones.
_GAP_STOPS = (1.0, 8.0)
_SIZE = (256, 256)
# HDR pictures that simulated pairs come from, at most; spread over those there are.
_MOST_PICTURES = 24

Codes = NDArray[np.uint8]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class SpreadResult:
    """Spreads in codes of 255, NaN where a band has too few pixels.

    spreads: by kind of KINDS, (pairs, DIRECTIONS, bands + 1, channels): of each band of codes of
    the photo that is read, and in the last row of all. Per channel the 10th to 90th percentile of
    the residual; of "largest", the 90th percentile of the largest channel's residual.
    """

    spreads: dict[str, Values]

    def coverage(self, kind: str, direction: int, band: int, channel: int) -> tuple[float, float]:
        """Shares of real pairs within a kind's 5th to 95th percentile, and above it."""
        real = self.spreads[KINDS[0]][:, direction, band, channel]
        made = self.spreads[kind][:, direction, band, channel]
        real, made = real[np.isfinite(real)], made[np.isfinite(made)]
        if real.size == 0 or made.size == 0:
            return float("nan"), float("nan")
        low, high = np.percentile(made, [5, 95])
        within = float(np.mean((real >= low) & (real <= high)))
        return within, float(np.mean(real > high))

    def quantiles(self, kind: str, direction: int, band: int, channel: int) -> tuple[float, float]:
        """Median and 90th percentile over pairs."""
        values = self.spreads[kind][:, direction, band, channel]
        values = values[np.isfinite(values)]
        if values.size == 0:
            return float("nan"), float("nan")
        median, high = np.percentile(values, [50, 90])
        return float(median), float(high)

    def rows(self) -> list[dict[str, Any]]:
        """One row for each direction and band, and for each channel over all bands."""
        places = [(d, band, 3) for d in (0, 1) for band in range(BANDS)]
        places += [(d, BANDS, c) for d in range(len(DIRECTIONS)) for c in range(len(CHANNELS))]
        rows = []
        for direction, band, channel in places:
            row: dict[str, Any] = {
                "direction": DIRECTIONS[direction],
                "codes": _codes_of(band),
                "channel": CHANNELS[channel],
            }
            for kind in KINDS:
                row[kind] = self.quantiles(kind, direction, band, channel)
            for kind in KINDS[1:]:
                row[f"within {kind}"], row[f"above {kind}"] = self.coverage(
                    kind, direction, band, channel
                )
            rows.append(row)
        return rows

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for a JSON file."""
        # JSON has no NaN: what could not be measured is null.
        rows = [{name: _known(value) for name, value in row.items()} for row in self.rows()]
        return {"pairs": {kind: len(self.spreads[kind]) for kind in KINDS}, "rows": rows}

    def as_text(self) -> str:
        """Return a table for the screen."""
        counts = ", ".join(f"{len(self.spreads[kind])} {kind}" for kind in KINDS)
        lines = [
            f"Spread round the best monotone mapping between two photos, codes of 255; {counts}.",
            "Median and 90th percentile over pairs; real pairs within the 5th to 95th percentile "
            "of simulated ones, and above it.",
        ]
        before = ""
        for row in self.rows():
            if row["direction"] != before:
                before = row["direction"]
                lines += [
                    f"{before:<25}{'real':>12}{'simulated':>13}{'plain':>13}"
                    f"{'within':>9}{'above':>7}{'within plain':>14}{'above':>7}"
                ]
            values = "".join(f"{row[kind][0]:7.1f}{row[kind][1]:6.1f}" for kind in KINDS)
            shares = (
                f"{row['within simulated']:9.0%}{row['above simulated']:7.0%}"
                f"{row['within plain']:14.0%}{row['above plain']:7.0%}"
            )
            lines.append(f"  {row['codes']:<9}{row['channel']:<12}{values}{shares}")
        return "\n".join(lines)


def _known(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_known(part) for part in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _codes_of(band: int) -> str:
    width = 256 // BANDS
    return "all" if band == BANDS else f"{band * width}-{(band + 1) * width - 1}"


def run(
    data: Path,
    pictures: Path,
    *,
    count: int = 150,
    seed: int = 0,
    progress: Callable[[float], None] | None = None,
) -> SpreadResult:
    """Measure real pairs under `data` and `count` simulated ones of each kind of camera.

    data: folder with mefb30 and static/sice, or laid out as one of these, or of any still brackets.
    pictures: HDR files in a folder, or a packed folder, to simulate from.
    Raises BracketError where there are no pairs.
    """
    scenes = _scenes(data)
    found = []
    for number, files in enumerate(scenes):
        pair = [_reduced(read_image(file).pixels) for file in files]
        if pair[0].shape == pair[1].shape:
            found.append(measure_spread(*sorted(pair, key=lambda photo: float(photo.mean()))))
        if progress is not None:
            progress((number + 1) / len(scenes) / 3)
    if not found:
        raise BracketError(f"{data}: expected pairs of one size, found none")
    spreads = {KINDS[0]: np.array(found)}
    for place, kind in enumerate(("real", "plain")):
        made = []
        for number, simulated in enumerate(_simulated(pictures, kind, count, seed)):
            made.append(measure_spread(*simulated))
            if progress is not None:
                progress((1 + place + (number + 1) / count) / 3)
        spreads[KINDS[1 + place]] = np.array(made)
    return SpreadResult(spreads)


def _scenes(data: Path) -> list[tuple[Path, Path]]:
    """Pairs of photos, of longer brackets each with the next but one."""
    scenes: list[Scene] = []
    if (data / "mefb30").is_dir() and (data / "static" / "sice").is_dir():
        scenes = [*read_mefb(data / "mefb30"), *read_sice(data / "static" / "sice")]
    else:
        for read in (read_mefb, read_sice, read_brackets):
            try:
                scenes = list(read(data))
            except BracketError:
                continue
            break
    if not scenes:
        raise BracketError(f"{data}: expected still brackets, found none")
    pairs = []
    for scene in scenes:
        step = min(2, len(scene.files) - 1)
        for first in range(0, len(scene.files) - step, step):
            pairs.append((scene.files[first], scene.files[first + step]))
    return pairs


def _reduced(pixels: NDArray[Any]) -> Codes:
    scale = _LONGER_SIDE_PIXELS / max(pixels.shape[:2])
    if scale < 1:
        pixels = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    codes: Codes = np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    return codes


def _simulated(pictures: Path, kind: str, count: int, seed: int) -> Sequence[tuple[Codes, Codes]]:
    """Still pairs, dark and bright, photographed with one kind of camera."""
    import torch

    from ..data.camera_settings import CameraSettings
    from ..data.draws import SimulationSettings
    from ..data.export import load_sources
    from ..data.panoramas import MANIFEST
    from ..data.simulate import BracketSimulator
    from ..data.splits import HDR_SUFFIXES, list_files

    sources = [pictures]
    if pictures.is_dir() and not (pictures / MANIFEST).is_file():
        files = list_files(pictures, HDR_SUFFIXES)
        sources = files[:: max(1, len(files) // _MOST_PICTURES)]
    settings = SimulationSettings(
        size=_SIZE,
        frames=(2, 2),
        gap_stops=_GAP_STOPS,
        reference=0,
        static=True,
        objects=(0, 0),
        ghosts=False,
        camera=CameraSettings.of_kind(kind),
    )
    simulator = BracketSimulator(settings, load_sources(sources))
    pairs = []
    for number in range(count):
        generator = torch.Generator().manual_seed(seed * 1_000_003 + number)
        frames = simulator.sample(1, generator).frames[0].permute(0, 2, 3, 1)
        dark, bright = (frames * 255).round().clamp(0, 255).to(torch.uint8).numpy()
        pairs.append((dark, bright))
    return pairs


# One pair -----------------------------------------------------------------------------------------


def measure_spread(dark: Codes, bright: Codes) -> Values:
    """Spreads of a pair of photos (H, W, 3), laid out as a row of SpreadResult has them."""
    slope = np.maximum(_slope(dark), _slope(bright))
    spreads = []
    for size in (_MEAN_PIXELS, 1):
        one, two = (np.asarray(cv2.blur(photo, (size, size)), np.uint8) for photo in (dark, bright))
        spreads += [_spread(one, two, slope), _spread(two, one, slope)]
    return np.array(spreads)


def _slope(photo: Codes) -> Values:
    """How fast the photo's luma changes, in codes a pixel."""
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY).astype(np.float32)
    even = cv2.GaussianBlur(grey, (0, 0), _FLAT_SIGMA_PIXELS)
    x, y = (cv2.Sobel(even, cv2.CV_32F, *order, scale=1 / 8) for order in ((1, 0), (0, 1)))
    return np.asarray(np.hypot(x, y), np.float64)


def _spread(read: Codes, wanted: Codes, slope: Values) -> Values:
    """Spreads (bands + 1, channels) of what `wanted` shows where `read` shows a code."""
    width = 256 // BANDS
    found = np.full((BANDS + 1, len(CHANNELS)), np.nan)
    residuals = np.zeros(read.shape)
    for channel in range(3):
        codes, values = read[..., channel], wanted[..., channel]
        mapping = fit_monotone(codes, values, slope <= np.median(slope))
        residuals[..., channel] = values - mapping[codes]
    largest = np.abs(residuals).max(axis=2)
    for channel in range(4):
        # Of all channels, the band is that of green, as cameras meter it.
        bands = read[..., 1 if channel == 3 else channel] // width
        everywhere = []
        for band in range(BANDS):
            here = bands == band
            if np.count_nonzero(here) < _LEAST_PIXELS / _FLAT_SHARE:
                continue
            flat = here & (slope <= np.quantile(slope[here], _FLAT_SHARE))
            rest = largest[flat] if channel == 3 else residuals[..., channel][flat]
            found[band, channel] = _width(rest, channel)
            everywhere.append(rest)
        if everywhere:
            found[BANDS, channel] = _width(np.concatenate(everywhere), channel)
    return found


def _width(rest: Values, channel: int) -> float:
    if channel == 3:
        return float(np.percentile(rest, 90))
    low, high = np.percentile(rest, [10, 90])
    return float(high - low)


def fit_monotone(codes: Codes, values: Codes, chosen: NDArray[np.bool_]) -> Values:
    """The best rising mapping (256,) from codes to values, by medians of each code's values.

    chosen: pixels to fit to. Codes that none of them has lie on lines between their neighbours.
    """
    places = codes[chosen].astype(np.int64) * 256 + values[chosen]
    counts = np.bincount(places, minlength=256 * 256).reshape(256, 256)
    total = counts.sum(axis=1)
    present = np.flatnonzero(total)
    if present.size == 0:
        return np.arange(256, dtype=np.float64)
    cumulated = np.cumsum(counts[present], axis=1)
    medians = (cumulated < 0.5 * total[present, None]).sum(axis=1).astype(np.float64)
    rising = _isotonic(medians, total[present].astype(np.float64))
    return np.interp(np.arange(256), present, rising)


def _isotonic(values: Values, weights: Values) -> Values:
    """The rising sequence nearest to values in weighted squares: pools of adjacent violators."""
    pools: list[tuple[float, float, int]] = []
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        pools.append((value, weight, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (a, first, m), (b, second, n) = pools[-2], pools[-1]
            mean = (a * first + b * second) / (first + second)
            pools[-2:] = [(mean, first + second, m + n)]
    return np.concatenate([np.full(number, value) for value, _, number in pools])

"""How the codes of one frame correspond to those of another exposure of the same scene.

Everything here works on a regular grid of sample pixels, so that its cost does not grow with the
size of the photos. Histograms are compared rather than pixels where frames are not registered:
the distribution of light in a scene hardly changes when the camera shakes or a person walks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..bracket import Frame, Mask
from ..pixels import color
from ..pixels.stripes import every
from .curves import Values, display_values, light_stops, trust, weighted_median

Floats = NDArray[np.float32]

SAMPLES = 200_000
MIN_LEVEL_SAMPLES = 12


def sample_step(height: int, width: int) -> int:
    """Distance in pixels between sample points, so that about SAMPLES of them cover an image.

    Odd, so that the grid does not fall on the same place in every 8 x 8 block of a JPEG.
    """
    step = int(np.sqrt(height * width / SAMPLES))
    return 1 if step <= 1 else step | 1


def sample_display(frame: Frame) -> Floats:
    """Sample pixels of a frame on a regular grid: (n, 3) display values, 0..1, never NaN."""
    step = sample_step(frame.height, frame.width)
    grid = every(frame.pixels, step, step // 2)
    display = color.to_display(grid, frame.transfer).reshape(-1, 3)
    if frame.pixels.dtype == np.float32:
        display = np.nan_to_num(display, nan=0.0)
    return display


def sample_mask(mask: Mask | None, height: int, width: int) -> NDArray[np.bool_]:
    """Tell at the sample points of `sample_display` where a mask (H, W) is set; all for None."""
    step = sample_step(height, width)
    if mask is None:
        rows, columns = (len(range(step // 2, side, step)) for side in (height, width))
        return np.ones(rows * columns, bool)
    return np.asarray(mask[step // 2 :: step, step // 2 :: step].reshape(-1) > 127)


def level_count(frame: Frame) -> int:
    """Number of levels that a table for this frame needs: 256 for 8 bits, 1024 for more."""
    return 256 if frame.pixels.dtype == np.uint8 else 1024


def histograms(display: Floats, levels: int, keep: NDArray[np.bool_] | None = None) -> Floats:
    """Histograms (levels, 3) of samples (n, 3) in 0..1, bin i centred on i / (levels - 1)."""
    codes = np.rint(display * np.float32(levels - 1)).astype(np.int32)
    columns = (codes[:, c] if keep is None else codes[keep[:, c], c] for c in range(3))
    return np.stack([np.bincount(column, minlength=levels) for column in columns], axis=1).astype(
        np.float32
    )


def _cumulated(histogram: NDArray[Any]) -> NDArray[np.float64]:
    """Shares of samples below each edge of the bins (levels + 1), from 0 to 1."""
    total = np.concatenate([[0.0], np.cumsum(histogram, dtype=np.float64)])
    return total / max(float(total[-1]), 1.0)


def quantiles(histogram: NDArray[Any], shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values 0..1 below which the given shares of the samples lie, interpolated inside bins.

    (bins,) and (n,) to (n,).
    """
    levels = len(histogram)
    edges = (np.arange(levels + 1) - 0.5) / (levels - 1)
    return np.clip(np.interp(shares, _cumulated(histogram), edges), 0.0, 1.0)


def monotone(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the non-decreasing sequence nearest to `values` (pool adjacent violators).

    (n,) to (n,).
    """
    if bool((np.diff(values) >= 0).all()):
        return values
    means: list[float] = []
    lengths: list[int] = []
    for value in values.tolist():
        mean, length = value, 1
        while means and means[-1] >= mean:
            total = lengths[-1] + length
            mean = (means.pop() * lengths.pop() + mean * length) / total
            length = total
        means.append(mean)
        lengths.append(length)
    return np.asarray(np.repeat(np.array(means, dtype=np.float64), lengths))


@dataclass(frozen=True)
class IntensityMapping:
    """A monotone mapping per channel from the codes of one frame to those of another.

    levels_at: (levels,) source values 0..1 in the source's own coding, where the table stands.
    table: (levels, 3) target values 0..1 in the target's own coding.
    known: (levels, 3) bool, where the table rests on samples and not on extrapolation.
    """

    levels_at: Floats
    table: Floats
    known: NDArray[np.bool_]
    _lookups: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)

    def apply(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Map source pixels (..., 3) to the target's coding, in the type of `pixels`."""
        if pixels.dtype == np.float32:
            return self.apply_unit(pixels)
        return self._look_up(pixels, pixels.dtype)

    def apply_unit(self, pixels: NDArray[Any]) -> Floats:
        """Map source pixels (..., 3) of any type to target values, float32 0..1."""
        return self._look_up(pixels, np.dtype(np.float32))

    def _look_up(self, pixels: NDArray[Any], wanted: np.dtype[Any]) -> NDArray[Any]:
        if pixels.dtype == np.float32:
            return self._interpolated(np.nan_to_num(pixels, nan=0.0)).astype(np.float32)
        key = (pixels.dtype, wanted)
        if key not in self._lookups:
            self._lookups[key] = self._full_table(pixels.dtype, wanted)
        full = self._lookups[key]
        if pixels.dtype == np.uint8 and pixels.ndim == 3:
            return np.asarray(cv2.LUT(np.ascontiguousarray(pixels), full[None]))
        return np.stack([np.take(full[:, c], pixels[..., c]) for c in range(3)], axis=-1)

    def _interpolated(self, unit: NDArray[Any]) -> NDArray[np.float64]:
        """Target values (..., 3) of source values (..., 3)."""
        channels = [np.interp(unit[..., c], self.levels_at, self.table[:, c]) for c in range(3)]
        return np.stack(channels, axis=-1)

    def _full_table(self, source: np.dtype[Any], wanted: np.dtype[Any]) -> NDArray[Any]:
        codes = np.linspace(0.0, 1.0, np.iinfo(source).max + 1)
        full = self._interpolated(np.broadcast_to(codes[:, None], (len(codes), 3)))
        if wanted == np.float32:
            return full.astype(np.float32)
        return np.rint(np.clip(full, 0, 1) * np.iinfo(wanted).max).astype(wanted)


def intensity_mapping(
    source: Frame,
    target: Frame,
    *,
    registered: bool = False,
    valid: Mask | None = None,
) -> IntensityMapping:
    """Find how the codes of `source` correspond to those of `target`, channel by channel.

    Cumulative histograms are matched (Grossberg and Nayar, "Determining the Camera Response from
    Images: What Is Knowable?", PAMI 2003), which holds without registration. If the frames are
    `registered`, the joint histogram first tells which pixels show the same thing in both, and
    only those are matched: ghosts and borders drop out. Levels without samples, and the clipped
    ends, continue at the constant gain in light of their nearest known neighbours.

    source, target: frames of one scene and one size, at any two exposures.
    registered: whether a pixel shows the same point of the scene in both (up to a few pixels).
    valid: (H, W) uint8 mask of pixels to look at, 0 where not; only with `registered`.
    Returns a mapping with 256 levels for 8-bit sources and 1024 for deeper ones.
    """
    levels = level_count(source)
    source_display = sample_display(source)
    target_display = sample_display(target)
    keep: NDArray[np.bool_] | None = None
    if registered:
        if valid is not None:
            chosen = sample_mask(valid, source.height, source.width)
            if int(chosen.sum()) > MIN_LEVEL_SAMPLES:
                source_display, target_display = source_display[chosen], target_display[chosen]
        keep = agreeing(source_display, target_display)
    source_counts = histograms(source_display, levels, keep)
    target_counts = histograms(target_display, level_count(target), keep)
    at = np.linspace(0.0, 1.0, levels)
    table = np.empty((levels, 3))
    known = np.empty((levels, 3), bool)
    for c in range(3):
        table[:, c], known[:, c] = match_histograms(source_counts[:, c], target_counts[:, c], at)
    levels_at, values = at.astype(np.float32), table.astype(np.float32)
    if source.transfer == "linear":
        levels_at = color.srgb_to_linear(levels_at)
    if target.transfer == "linear":
        values = color.srgb_to_linear(values)
    return IntensityMapping(levels_at, values, known)


def match_histograms(
    source_counts: NDArray[Any], target_counts: NDArray[Any], at: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Match two histograms: target value at each source level, and where that is founded.

    (n,) each.
    """
    cumulated = _cumulated(source_counts)
    middle = 0.5 * (cumulated[1:] + cumulated[:-1])
    matched = quantiles(target_counts, middle)
    top = len(at) - 1
    enough = source_counts >= min(MIN_LEVEL_SAMPLES, max(1.0, float(source_counts.sum()) / 50))
    # The last codes hold everything that clipped: what they match says nothing about their light.
    known = enough & (at > 1.5 / top) & (at < 1 - 1.5 / top)
    if not known.any():
        known = enough
    return _extrapolated(at, matched, known), known


def _extrapolated(
    at: NDArray[np.float64], matched: NDArray[np.float64], known: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Fill unknown levels: between known ones by interpolation, beyond at a constant gain."""
    if not known.any():
        return at.copy()
    light_at, light_matched = _light(at), _light(matched)
    gain = np.log2(light_matched) - np.log2(light_at)
    inside = known & (matched > 0.02) & (matched < 0.98) & (at > 0.02)
    if not inside.any():
        inside = known
    gain = np.interp(at, at[inside], gain[inside])
    continued = color.linear_to_srgb(np.minimum(light_at * np.exp2(gain), 1.0)).astype(np.float64)
    first, last = np.flatnonzero(known)[[0, -1]]
    filled = np.interp(at, at[known], matched[known])
    low, high = at < at[first], at > at[last]
    filled[low] = np.minimum(continued[low], filled[first])
    filled[high] = np.maximum(continued[high], filled[last])
    filled[-1] = max(filled[-1], filled[-2])
    return monotone(filled)


def _light(display: NDArray[np.float64]) -> NDArray[np.float64]:
    light: NDArray[np.float64] = color.srgb_to_linear(display).astype(np.float64)
    return np.maximum(light, 1e-5)


# Narrowest bands in display values around the mapping inside which two registered pixels agree:
# first around a curve of the family, which may be that far off, then around matched histograms.
_AGREEMENT_BANDS = (0.10, 0.05, 0.05)
# Where half of all samples are off by much, registration slips and the band must not cut there.
_BAND_MEDIANS = 5.0
_LOW, _HIGH = 0.015, 0.98
_FIRST_SAMPLES = 10_000


def agreeing(source: Floats, target: Floats) -> NDArray[np.bool_]:
    """Tell which registered samples (n, 3) show one thing in both frames, at their exposures.

    A curve of two parameters that suits most samples says what to expect; matched histograms of
    the samples that fit, which know the true curve, then say it better. Returns (n, 3) bool, alike
    in the three channels; all True if hardly any sample fits.
    """
    at = np.linspace(0.0, 1.0, 256)
    tables = np.repeat(_family_mapping(source, target, at)[:, None], 3, axis=1)
    keep = np.ones(len(source), bool)
    thin = slice(None, None, 1 + len(source) // _FIRST_SAMPLES)
    for band, chosen in zip(_AGREEMENT_BANDS, (thin, thin, slice(None)), strict=True):
        a, b = source[chosen], target[chosen]
        fits = np.ones(len(a), bool)
        for c in range(3):
            fits &= _fits(a[:, c], b[:, c], at, tables[:, c], band)
        if fits.mean() < 0.15:
            break
        if len(fits) == len(source):
            keep = fits
        counts = [histograms(frame[fits], 256) for frame in (a, b)]
        for c in range(3):
            tables[:, c] = match_histograms(counts[0][:, c], counts[1][:, c], at)[0]
    return np.repeat(keep[:, None], 3, axis=1)


def _family_mapping(source: Floats, target: Floats, at: NDArray[np.float64]) -> Values:
    """Mapping of display values under the camera curve and the difference that fit best."""
    step = max(1, len(source) // _FIRST_SAMPLES)
    a, b = source[::step].astype(np.float64), target[::step].astype(np.float64)
    weights = np.minimum(trust(a), trust(b))
    useful = weights > 0.05
    if not useful.any():
        return at
    a, b, weights = a[useful], b[useful], weights[useful]
    best = (float("inf"), at)
    for strength in (0.0, 0.3, 0.6, 0.9, 1.2):
        seen = light_stops(a, strength)
        difference = weighted_median(light_stops(b, strength) - seen, weights)
        error = np.abs(display_values(seen + difference, strength) - b)
        misfit = weighted_median(error, weights)
        if misfit < best[0]:
            moved = light_stops(at, strength) + difference
            best = (misfit, display_values(moved, strength))
    return best[1]


def _fits(
    source: Floats, target: Floats, at: NDArray[np.float64], table: Values, band: float
) -> NDArray[np.bool_]:
    """Whether samples (n,) of one channel lie in a band around a mapping, seen from both sides.

    From a clipped value on, only one direction can contradict.
    """
    fine = np.linspace(0.0, 1.0, 1024)
    forth = np.interp(fine, at, table).astype(np.float32)
    back = np.interp(fine, table + 1e-9 * np.arange(len(table)), at).astype(np.float32)
    fits = np.ones(len(source), bool)
    for given, seen, mapping in ((source, target, forth), (target, source, back)):
        off = seen - mapping[np.rint(given * np.float32(1023)).astype(np.int32)]
        some = off[:: 1 + len(off) // _FIRST_SAMPLES]
        wide = max(band, _BAND_MEDIANS * float(np.median(np.abs(some))))
        fits &= (off <= wide) | (given >= _HIGH)
        fits &= (off >= -wide) | (given <= _LOW)
    return fits

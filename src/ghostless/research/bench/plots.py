"""Plots of the report as inline SVG: boxes of every method, quality against time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

_ROW = 20
_LABELS = 170
_PLOT = 330
_AXIS = 30


@dataclass(frozen=True)
class Box:
    """One row of a box plot: a method's values over scenes."""

    label: str
    kind: str
    values: Sequence[float]


@dataclass(frozen=True)
class Point:
    """One method in the plot of quality against time."""

    label: str
    kind: str
    x: float
    y: float
    low: float
    high: float


def box_plot(title: str, boxes: Sequence[Box]) -> str:
    """Draw one row for each method: box from quarter to three quarters, whiskers at 5 and 95 %."""
    values = np.concatenate([np.asarray(box.values, float) for box in boxes])
    low, high = float(values.min()), float(values.max())
    span = (high - low) or 1.0
    width, height = _LABELS + _PLOT + 16, _ROW * len(boxes) + _AXIS

    def x(value: float) -> float:
        return _LABELS + 8 + (value - low) / span * (_PLOT - 16)

    parts = [_open(width, height, title)]
    bottom = _ROW * len(boxes) + 2
    for tick in _ticks(low, high):
        parts.append(
            f'<line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="0" y2="{bottom}"/>'
        )
        parts.append(_text(x(tick), bottom + 16, f"{tick:g}", "middle", "tick"))
    for number, box in enumerate(boxes):
        y = number * _ROW + _ROW / 2
        p5, p25, p50, p75, p95 = (
            x(float(v)) for v in np.percentile(box.values, (5, 25, 50, 75, 95))
        )
        parts.append(_text(_LABELS, y + 4, box.label, "end", f"name {box.kind}"))
        parts.append(
            f'<g class="box {box.kind}"><title>{escape(box.label)}: median '
            f"{float(np.median(box.values)):.4g}</title>"
            f'<line x1="{p5:.1f}" x2="{p95:.1f}" y1="{y}" y2="{y}"/>'
            f'<rect x="{p25:.1f}" y="{y - 6}" width="{max(p75 - p25, 0.5):.1f}" height="12"/>'
            f'<line class="median" x1="{p50:.1f}" x2="{p50:.1f}" y1="{y - 6}" y2="{y + 6}"/></g>'
        )
    return "".join([*parts, "</svg>"])


def time_plot(title: str, quality: str, points: Sequence[Point]) -> str:
    """Draw quality, with its interval, against seconds for each megapixel on a logarithmic axis."""
    width, height, left, bottom = 640, 340, 64, 44
    x_low = 10 ** math.floor(math.log10(min(p.x for p in points)))
    x_high = 10 ** math.ceil(math.log10(max(p.x for p in points)) + 1e-9)
    y_low, y_high = min(p.low for p in points), max(p.high for p in points)
    margin = 0.08 * ((y_high - y_low) or abs(y_high) or 1.0)
    y_low, y_high = y_low - margin, y_high + margin

    def x(value: float) -> float:
        share = math.log10(value / x_low) / math.log10(x_high / x_low)
        return left + share * (width - left - 24)

    def y(value: float) -> float:
        return (height - bottom) - (value - y_low) / (y_high - y_low) * (height - bottom - 12)

    parts = [_open(width, height, title)]
    tick = x_low
    while tick <= x_high * 1.001:
        at = x(tick)
        parts.append(
            f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="8" y2="{height - bottom}"/>'
        )
        parts.append(_text(at, height - bottom + 16, f"{tick:g}", "middle", "tick"))
        tick *= 10
    for value in _ticks(y_low, y_high):
        at = y(value)
        parts.append(
            f'<line class="grid" x1="{left}" x2="{width - 8}" y1="{at:.1f}" y2="{at:.1f}"/>'
        )
        parts.append(_text(left - 6, at + 4, f"{value:g}", "end", "tick"))
    parts.append(_text((left + width) / 2, height - 6, "seconds per megapixel", "middle", "tick"))
    parts.append(_text(4, 14, quality, "start", "tick"))
    taken: list[tuple[float, float]] = []
    for point in sorted(points, key=lambda p: (p.y, p.x)):
        at_x, at_y = x(point.x), y(point.y)
        parts.append(
            f'<g class="box {point.kind}"><title>{escape(point.label)}: {point.y:.4g} at '
            f"{point.x:.3g} s/MP</title>"
            f'<line x1="{at_x:.1f}" x2="{at_x:.1f}" y1="{y(point.low):.1f}" '
            f'y2="{y(point.high):.1f}"/><circle cx="{at_x:.1f}" cy="{at_y:.1f}" r="5"/></g>'
        )
        label_y = _free_height(at_x, at_y + 4, height - bottom, taken)
        taken.append((at_x, label_y))
        place, anchor = (at_x - 10, "end") if at_x > width - 170 else (at_x + 10, "start")
        parts.append(_text(place, label_y, point.label, anchor, f"name {point.kind}"))
    return "".join([*parts, "</svg>"])


def _free_height(x: float, y: float, lowest: float, taken: list[tuple[float, float]]) -> float:
    """A height near `y` at which a label at `x` lies over none of those at the places taken."""
    for step in (0, 14, -14, 28, -28, 42, -42, 56, 70):
        beside = any(abs(y + step - b) < 14 and abs(x - a) < 190 for a, b in taken)
        if 26 < y + step < lowest and not beside:
            return y + step
    return y


def _open(width: float, height: float, title: str) -> str:
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" '
        f'style="max-width:{width:g}px"><title>{escape(title)}</title>'
    )


def _text(x: float, y: float, words: str, anchor: str, kind: str) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {place} class="{kind}">{escape(words)}</text>'


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers inside a range, about four."""
    span = (high - low) or abs(high) or 1.0
    rough = span / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s * power for s in (1, 2, 2.5, 5, 10) if s * power >= rough)
    first = math.ceil(low / step)
    return [float(f"{n * step:.10g}") for n in range(first, math.floor(high / step) + 1)]

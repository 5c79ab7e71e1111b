"""A family of camera curves: what display codes may mean in light when nobody says.

Cameras render JPEGs steeper than sRGB in shadows and middle tones and roll off the highlights.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..pixels import color

Values = NDArray[np.float64]

_CURVE_LEVELS = 1024
# Strengths of the S-curve that are tried; 0 is sRGB, 1 a camera's standard picture style.
CURVE_STRENGTHS: tuple[float, ...] = tuple(np.linspace(0.0, 1.3, 14).round(2).tolist())
USUAL_STRENGTH = 0.5


@lru_cache(maxsize=32)
def camera_curve(strength: float) -> Values:
    """Light in stops relative to clipping (<= 0) that display codes mean: (1024,) from 0 to 1.

    One parameter describes the family: at display code z, the local contrast against sRGB is
    1 + 0.6 strength (1 - 2 z^2). 0 is sRGB itself, 1 about a camera's standard picture style. The
    form was read off the bracketed JPEGs of three camera makes at known exposures.
    """
    code = np.linspace(0.0, 1.0, _CURVE_LEVELS)
    stops = np.log2(np.maximum(color.srgb_to_linear(code).astype(np.float64), 1e-5))
    contrast = 1 + 0.6 * strength * (1 - 2 * code**2)
    steps = np.diff(stops) / np.maximum(0.5 * (contrast[1:] + contrast[:-1]), 0.15)
    curve: Values = np.concatenate([[0.0], np.cumsum(steps)])
    curve -= curve[-1]
    curve.flags.writeable = False
    return curve


def light_stops(values: Values, strength: float) -> Values:
    """Light in stops relative to clipping of display values 0..1 (any shape) under a curve."""
    codes = np.linspace(0.0, 1.0, _CURVE_LEVELS)
    return np.asarray(np.interp(values, codes, camera_curve(strength)), dtype=np.float64)


def display_values(stops: Values, strength: float) -> Values:
    """Display values 0..1 of light in stops relative to clipping: the inverse of `light_stops`."""
    codes = np.linspace(0.0, 1.0, _CURVE_LEVELS)
    return np.asarray(np.interp(stops, camera_curve(strength), codes), dtype=np.float64)


def trust(values: Values, low: float = 3 / 255) -> Values:
    """How far to trust the light of display values: 0 at black and white, 1 between.

    Toes and shoulders differ most between cameras, and noise lives in the shadows.
    """
    rise = np.clip((values - low) / 0.12, 0.0, 1.0)
    fall = np.clip((0.985 - values) / 0.15, 0.0, 1.0)
    return np.asarray(rise * rise * fall, dtype=np.float64)


def weighted_median(values: Values, weights: Values) -> float:
    """Median of values with weights, both of any one shape."""
    order = np.argsort(values, axis=None)
    cumulated = np.cumsum(weights.reshape(-1)[order])
    index = int(np.searchsorted(cumulated, 0.5 * cumulated[-1]))
    return float(values.reshape(-1)[order[min(index, len(order) - 1)]])

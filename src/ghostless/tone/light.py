"""Making a finished picture brighter or darker, warmer or cooler, without burning it out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..bracket import Fused
from ..errors import OptionError
from ..pixels import color
from ..pixels.stripes import for_each_stripe
from ..work.spill import empty

Gains = tuple[float, float, float]


def check_gains(gains: Gains) -> None:
    """Raise OptionError unless gains are three positive numbers within 16 stops of 1."""
    if len(gains) != 3 or not all(np.isfinite(g) and 2**-16 <= g <= 2**16 for g in gains):
        raise OptionError(
            f"expected gains of red, green and blue between 2^-16 and 2^16, found {gains}"
        )


def scale_light(fused: Fused, gains: Gains) -> Fused:
    """Multiply the light of red, green and blue by a gain each.

    A linear image is multiplied. In a display image the light y becomes g y / (1 + (g - 1) y):
    multiplied by g in the shadows, and white stays white, whatever g is. That curve adds log(g) to
    log(y / (1 - y)), so gains after one another multiply.
    Raises OptionError for gains that `check_gains` refuses.
    """
    check_gains(gains)
    pixels = empty(fused.pixels.shape, np.float32)
    factors = np.asarray(gains, np.float32)

    def work(start: int, stop: int) -> None:
        rows = fused.pixels[start:stop]
        if fused.space == "linear":
            pixels[start:stop] = rows * factors
        else:
            pixels[start:stop] = color.linear_to_srgb(_curve(color.srgb_to_linear(rows), factors))

    for_each_stripe(fused.pixels.shape[0], fused.pixels.shape[1], work)
    return replace(fused, pixels=pixels)


def _curve(light: NDArray[np.float32], factors: NDArray[np.float32]) -> NDArray[np.float32]:
    light = np.clip(light, 0, 1)
    return np.asarray(factors * light / (1 + (factors - 1) * light), np.float32)

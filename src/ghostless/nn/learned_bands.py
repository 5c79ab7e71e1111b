"""What learned fusion is built of, for its network in torch and for its use without."""

from __future__ import annotations

import math

# Longer side of the copies that the network sees.
COPY_PIXELS = 256
# Bands from the one of a single pixel to that of the copies' own pixels; finer ones share the last.
BANDS = 9
MAPS = 3
# What is added to weights and to detail before their logarithm is taken: a weight that nobody
# misses, and a quarter of a code.
WEIGHT_FLOOR = 1e-4
DETAIL_FLOOR = 1e-3
# Side of the square over which a band's detail is averaged.
DETAIL_WINDOW = 5
# What a photo's copy is given as: its colours, its weight, how many photos there are, and what the
# logarithms of the two last are divided by to be near 1.
CHANNELS = 5
LOG_SCALE = 4.0
# Of the fusion's greys, what the curve is chosen by, beside what the photos have in common.
TONES = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)
# Largest sum of the two numbers of the curve: below 1 it never falls.
CURVE_LIMIT = 0.8


def crowd(count: int) -> float:
    """How many photos there are, as a number near 1."""
    return math.log2(count) / LOG_SCALE


def band_of(size: tuple[int, int]) -> tuple[int, float]:
    """The band at or below a level of (H, W), and how far towards the next the level lies, 0..1."""
    place = math.log2(max(size)) - math.log2(COPY_PIXELS) + BANDS - 1
    place = min(max(place, 0.0), BANDS - 1.0)
    low = min(int(place), BANDS - 2)
    return low, place - low

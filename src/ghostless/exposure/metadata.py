"""Exposure in stops as metadata tell it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..bracket import Frame, Metadata

# Frames whose exposures differ by less than this in all are one exposure taken several times.
EQUAL_STOPS = 0.15


def stops_from_metadata(metadata: Metadata) -> float | None:
    """Exposure in stops that the metadata tell: log2(shutter * ISO / 100 / N^2).

    An aperture or ISO that is missing or nonsense (a manual lens writes 0) counts as f/1 and
    ISO 100: in one bracket it is the same for all frames, and only differences count.
    Returns None where the shutter time is missing or nonsense (0, negative, NaN).

    >>> stops_from_metadata(Metadata(shutter_seconds=1 / 4, aperture_f_number=2.0, iso=400))
    -2.0
    """
    return _exposure_stops(metadata, metadata.aperture_f_number, metadata.iso)


def _positive(value: float | None) -> bool:
    return value is not None and math.isfinite(value) and value > 0


def _exposure_stops(
    metadata: Metadata, aperture_f_number: float | None, iso: float | None
) -> float | None:
    if not _positive(metadata.shutter_seconds):
        return None
    stops = math.log2(metadata.shutter_seconds or 1.0)
    if _positive(iso):
        stops += math.log2((iso or 100.0) / 100)
    if _positive(aperture_f_number):
        stops -= 2 * math.log2(aperture_f_number or 1.0)
    return stops


def bracket_metadata_stops(frames: Sequence[Frame]) -> list[float | None]:
    """Stops of each frame from its metadata, gaps in aperture and ISO filled from the others."""
    all_metadata = [frame.metadata for frame in frames]
    apertures = [m.aperture_f_number for m in all_metadata if _positive(m.aperture_f_number)]
    isos = [m.iso for m in all_metadata if _positive(m.iso)]
    stops = [
        _exposure_stops(
            m,
            m.aperture_f_number if _positive(m.aperture_f_number) else next(iter(apertures), None),
            m.iso if _positive(m.iso) else next(iter(isos), None),
        )
        for m in all_metadata
    ]
    if all(value is None for value in stops):
        # Without shutter times the bias of automatic bracketing still tells the differences.
        biases = [m.exposure_bias_stops for m in all_metadata]
        known = [b for b in biases if b is not None and math.isfinite(b)]
        if len(known) == len(frames) and max(known) - min(known) > EQUAL_STOPS:
            return list(known)
    return stops

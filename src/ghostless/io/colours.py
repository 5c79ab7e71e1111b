"""Colours that a file tells by numbers, not by an ICC profile: as the profile they amount to.

Sources: ITU-T H.273 (code points), PNG third edition (gAMA, cHRM, cICP), Exif 2.32 and DCF 2.0
(CIPA DC-008 and DC-009: the option file of Adobe RGB).
"""

from __future__ import annotations

from typing import Final

from . import icc
from .exif import INTEROPERABILITY_POINTER, ExifBlock, Tags, TiffReader

# Chromaticities (x, y) of Rec. ITU-R BT.709-6: red, green, blue, white (D65).
BT709_CHROMATICITIES: Final = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)
# XYZ to linear light with these primaries, white being D65 in both.
XYZ_TO_REC709: Final = (
    (3.2404542, -1.5371385, -0.4985314),
    (-0.9692660, 1.8760108, 0.0415560),
    (0.0556434, -0.2040259, 1.0572252),
)
# Code points of H.273: unspecified, and transfer characteristics.
UNSPECIFIED: Final = 2
LINEAR, PQ, HLG = 8, 16, 18
# Chromaticities by the code points of H.273.
PRIMARIES_OF_H273: Final = {
    1: BT709_CHROMATICITIES,
    4: (0.67, 0.33, 0.21, 0.71, 0.14, 0.08, 0.310, 0.316),
    5: (0.64, 0.33, 0.29, 0.60, 0.15, 0.06, 0.3127, 0.3290),
    6: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, 0.3127, 0.3290),
    7: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, 0.3127, 0.3290),
    9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, 0.3127, 0.3290),
    11: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.314, 0.351),
    12: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.3127, 0.3290),
    22: (0.630, 0.340, 0.295, 0.605, 0.155, 0.077, 0.3127, 0.3290),
}
# Curves that are powers. Those of video (BT.709 and its kin) are shown as sRGB's, as browsers do.
_GAMMAS: Final = {4: 2.2, 5: 2.8, LINEAR: 1.0}
_LIKE_SRGB: Final = (1, UNSPECIFIED, 6, 13, 14, 15)
# As near to sRGB's 1/2.2 as libpng asks before it changes anything.
_SRGB_PNG_GAMMAS: Final = (0.4318, 0.4773)
_SAME_CHROMATICITIES: Final = 2e-3

_COLOUR_SPACE, _WHITE_POINT, _CHROMATICITIES, _GAMMA = 0xA001, 0x013E, 0x013F, 0xA500
_SRGB, _ADOBE_RGB, _UNCALIBRATED = 1, 2, 0xFFFF


def profile_of_h273(primaries: int | None, transfer: int | None) -> tuple[bytes | None, str]:
    """The profile that code points of primaries and an SDR curve amount to, and a note or "".

    None for sRGB, and where they are not specified.
    """
    primaries = UNSPECIFIED if primaries is None else primaries
    transfer = UNSPECIFIED if transfer is None else transfer
    note = ""
    if transfer not in _GAMMAS and transfer not in _LIKE_SRGB:
        note = f"its curve (transfer {transfer} of H.273) is not known and was taken for sRGB's"
    elif primaries not in PRIMARIES_OF_H273 and primaries != UNSPECIFIED:
        note = f"its primaries ({primaries} of H.273) are not known and were taken for sRGB's"
    chromaticities = PRIMARIES_OF_H273.get(primaries, BT709_CHROMATICITIES)
    return _profile(chromaticities, _GAMMAS.get(transfer)), note


def profile_of_png(
    gamma: float | None, chromaticities: tuple[float, ...] | None
) -> tuple[bytes | None, str]:
    """The profile that gAMA (light to this power is the codes) and cHRM amount to, and a note."""
    power = None
    if gamma is not None and not _SRGB_PNG_GAMMAS[0] < gamma < _SRGB_PNG_GAMMAS[1]:
        power = 1 / gamma if gamma > 0 else 0.0
    profile = _profile(chromaticities or BT709_CHROMATICITIES, power)
    if profile == b"":
        return None, "its gAMA or cHRM makes no sense and was ignored"
    return profile, ""


def profile_of_exif(reader: TiffReader, block: ExifBlock) -> tuple[bytes | None, str]:
    """The profile that Exif's ColorSpace and its kin amount to (None: sRGB), and a note or "".

    Adobe RGB is told by the interoperability index R03, by some writers by a ColorSpace of 2.
    """
    space = next(iter(_integers(block.photo, _COLOUR_SPACE)), None)
    index = reader.at_pointer(block.photo.get(INTEROPERABILITY_POINTER)).get(1)
    if space == _ADOBE_RGB or (space != _SRGB and index and index.text().startswith("R03")):
        return icc.adobe_rgb_profile(), ""
    if space != _UNCALIBRATED:
        return None, ""
    points = (*_numbers(block.image, _CHROMATICITIES), *_numbers(block.image, _WHITE_POINT))
    if len(points) == 8:
        gammas = _numbers(block.photo, _GAMMA)
        profile = _profile(points, gammas[0] if gammas else 2.2)
        if profile:
            return profile, ""
    return None, "its Exif says only that its colours are not sRGB's; they were taken for sRGB's"


def _integers(tags: Tags, tag: int) -> list[int]:
    return tags[tag].integers() if tag in tags else []


def _numbers(tags: Tags, tag: int) -> list[float]:
    return tags[tag].numbers() if tag in tags else []


def _profile(chromaticities: tuple[float, ...], gamma: float | None) -> bytes | None:
    """A profile; None for that of sRGB, empty for one that makes no sense."""
    known = zip(chromaticities, BT709_CHROMATICITIES, strict=True)
    if gamma is None and all(abs(a - b) < _SAME_CHROMATICITIES for a, b in known):
        return None
    return icc.rgb_profile(chromaticities, gamma) or b""

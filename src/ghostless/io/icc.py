"""ICC profiles: what one says of its colours, and changing pixels from one to another.

Sources: ICC.1:2022 (profile version 4.4) for the layout; the sRGB colourants are those of
IEC 61966-2-1 adapted to D50 by the Bradford matrix, as every sRGB profile holds them.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Any, Final

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from ..errors import FileReadError

# Columns: red, green and blue colourant of sRGB in XYZ under D50.
_SRGB_TO_XYZ_D50: Final = np.array(
    [
        [0.4360747, 0.3850649, 0.1430804],
        [0.2225045, 0.7168786, 0.0606169],
        [0.0139322, 0.0971045, 0.7141733],
    ]
)
# Profiles round their numbers to 2^-16 and differ in how they adapt to D50; closer than this is
# the same set of primaries (Display P3 differs by 0.2).
_SAME_PRIMARIES: Final = 4e-3


@lru_cache(maxsize=1)
def srgb_profile() -> bytes:
    """The sRGB profile (LittleCMS's own), with its creation date fixed: same picture, same file."""
    return _dated(imagecodecs.cms_profile("srgb"))


@lru_cache(maxsize=1)
def linear_srgb_profile() -> bytes:
    """The sRGB profile with straight curves, for saved frames that are proportional to light."""
    profile = bytearray(srgb_profile())
    for place in _tag_table(bytes(profile)):
        signature, offset, _ = struct.unpack(">4sII", profile[place : place + 12])
        if signature in (b"rTRC", b"gTRC", b"bTRC"):
            profile[place + 8 : place + 12] = struct.pack(">I", 12)
            profile[offset : offset + 12] = b"curv" + bytes(8)
    return bytes(profile)


@lru_cache(maxsize=1)
def adobe_rgb_profile() -> bytes:
    """A profile of Adobe RGB (1998): its primaries, D65, gamma 563/256."""
    return _dated(imagecodecs.cms_profile("adobergb"))


@lru_cache(maxsize=64)
def rgb_profile(chromaticities: tuple[float, ...], gamma: float | None = None) -> bytes | None:
    """A profile of colours that a file tells by numbers; None where they make no sense.

    chromaticities: x and y of red, green, blue and white. gamma: light is the codes to this power;
    None for the curve of sRGB.
    """
    if not np.isfinite(chromaticities).all() or min(chromaticities[1::2]) <= 0:
        return None
    if gamma is not None and not 0.1 <= gamma <= 10:
        return None
    try:
        profile = imagecodecs.cms_profile(
            "rgb", whitepoint=chromaticities[6:], primaries=chromaticities[:6], gamma=gamma or 2.2
        )
    except Exception:  # LittleCMS finds no white between such primaries
        return None
    return _dated(profile if gamma is not None else _with_curve_of_srgb(profile))


def _dated(profile: bytes) -> bytes:
    """The same profile with its creation date fixed: same picture, same file."""
    return profile[:24] + struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + profile[36:]


def _with_curve_of_srgb(profile: bytes) -> bytes:
    curve = _tag(srgb_profile(), b"rTRC")
    whole = bytearray(profile + bytes(-len(profile) % 4) + curve)
    for place in _tag_table(profile):
        if profile[place : place + 4] in (b"rTRC", b"gTRC", b"bTRC"):
            whole[place + 4 : place + 12] = struct.pack(">2I", len(whole) - len(curve), len(curve))
    whole[:4] = struct.pack(">I", len(whole))
    return bytes(whole)


def _tag_table(profile: bytes) -> range:
    count = struct.unpack(">I", profile[128:132])[0] if len(profile) >= 132 else 0
    return range(132, min(132 + 12 * min(count, 200), len(profile) - 11), 12)


def colour_model(profile: bytes) -> str | None:
    """The kind of pixels that a profile describes: "RGB", "GRAY", "CMYK"...; None if damaged."""
    if len(profile) < 132 or profile[36:40] != b"acsp":
        return None
    if struct.unpack(">I", profile[:4])[0] > len(profile):
        return None
    return profile[16:20].decode("latin-1").strip()


def _tag(profile: bytes, wanted: bytes) -> bytes:
    for place in _tag_table(profile):
        signature, offset, size = struct.unpack(">4sII", profile[place : place + 12])
        if signature == wanted:
            return profile[offset : offset + size]
    return b""


def is_linear(profile: bytes) -> bool:
    """Whether an RGB profile says that the numbers are proportional to light."""
    curve = _tag(profile, b"rTRC")
    if len(curve) < 12:
        return False
    if curve[:4] == b"curv":
        count = struct.unpack(">I", curve[8:12])[0]
        # A single entry is a gamma in 8.8 fixed point.
        return count == 0 or (count == 1 and curve[12:14] == b"\x01\x00") or _straight(curve, count)
    return curve[:4] == b"para" and curve[8:10] == b"\0\0" and curve[12:16] == b"\0\1\0\0"


def _straight(curve: bytes, count: int) -> bool:
    if count < 2 or len(curve) < 12 + 2 * count:
        return False
    entries = np.frombuffer(curve, ">u2", count, 12).astype(np.float64)
    return bool(np.abs(entries - np.linspace(0, 65535, count)).max() < 4)


def to_linear_srgb_matrix(profile: bytes) -> NDArray[np.float32] | None:
    """Matrix (3, 3) from the profile's linear RGB to linear sRGB.

    None where there is nothing to change: the profile's primaries are those of sRGB, or it has no
    colourants (a table-based profile).
    """
    columns = []
    for name in (b"rXYZ", b"gXYZ", b"bXYZ"):
        tag = _tag(profile, name)
        if len(tag) < 20 or tag[:4] != b"XYZ ":
            return None
        columns.append(np.array(struct.unpack(">3i", tag[8:20])) / 65536)
    matrix = np.linalg.inv(_SRGB_TO_XYZ_D50) @ np.stack(columns, axis=1)
    if np.abs(matrix - np.eye(3)).max() < _SAME_PRIMARIES:
        return None
    return matrix.astype(np.float32)


def light_of_codes(profile: bytes) -> NDArray[np.float32]:
    """Linear light (256,) float32, 0..1, of the grey codes 0 to 255 under an RGB profile's curve.

    Raises FileReadError if LittleCMS cannot use the profile.
    """
    codes = np.repeat(np.linspace(0, 1, 256, dtype=np.float32)[None, :, None], 3, axis=2)
    light = convert(codes, profile, linear_srgb_profile())
    return np.asarray(np.clip(light[0, :, 1], 0, 1), np.float32)


def convert(pixels: NDArray[Any], source: bytes, target: bytes, model: str = "rgb") -> NDArray[Any]:
    """Change pixels from one profile's colours to another RGB profile's, by LittleCMS.

    pixels: (H, W, 3), (H, W, 4) for CMYK or (H, W) for grey; uint8, uint16 or float32.
    Returns (H, W, 3) of the same type. Raises FileReadError if LittleCMS cannot use a profile.
    """
    try:
        changed = imagecodecs.cms_transform(
            pixels, source, target, colorspace=model, outcolorspace="rgb"
        )
    except Exception as error:
        raise FileReadError(
            f"expected a usable ICC profile, found one that LittleCMS refuses ({error}); "
            "export the photo with another profile"
        ) from error
    return np.asarray(changed)

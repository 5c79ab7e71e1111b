"""JPEG XL: what a file says before its pixels (ISO/IEC 18181-1 annex D, and 18181-2 for boxes).

The codestream begins with bits, not bytes: least significant first, in fields whose lengths depend
on the fields before. Decoding is libjxl's affair; it turns the picture upright by itself.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, Final

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from ..errors import FileReadError
from .headers import Damaged, Header

_CODESTREAM_START: Final = b"\xff\x0a"
# More than any header without an ICC profile takes.
_HEADER_BYTES: Final = 4096
# libjxl decodes them all, at four bytes a pixel each.
_MAX_EXTRA_CHANNELS: Final = 8
_RGB, _GREY = 0, 1
_CUSTOM = 2
# (offset, bits) behind each value of a field's two selecting bits; no bits for a constant.
_Choices = tuple[tuple[int, int], tuple[int, int], tuple[int, int], tuple[int, int]]
_ENUM: Final[_Choices] = ((0, 0), (1, 0), (2, 4), (18, 6))
_SIDE: Final[_Choices] = ((1, 9), (1, 13), (1, 18), (1, 30))
_COORDINATE: Final[_Choices] = ((0, 19), (524_288, 19), (1_048_576, 20), (2_097_152, 21))
# Width to height, for sizes that name a ratio.
_RATIOS: Final = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}


@dataclass
class JpegXLHeader(Header):
    """A JPEG XL header also says whether samples are floats and whose profile they follow.

    premultiplied: whether colours are multiplied by alpha.
    described: whether the colours are told by numbers; False where an ICC profile tells them.
    """

    floats: bool = False
    grey: bool = False
    described: bool = True
    premultiplied: bool = False


class _Bits:
    """Bits of a codestream, in order."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "little")
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        """The next bits as a number."""
        self._left -= count
        if self._left < 0:
            raise Damaged("it ends before its header does")
        value = self._value & ((1 << count) - 1)
        self._value >>= count
        return value

    def flag(self) -> bool:
        """The next bit."""
        return self.take(1) == 1

    def choice(self, choices: _Choices) -> int:
        """A number whose first two bits say how many more there are."""
        offset, bits = choices[self.take(2)]
        return offset + self.take(bits)


def read_jpegxl_header(data: bytes) -> JpegXLHeader:
    """Read size, depth, colours and Exif, upright. Raises Damaged, or FileReadError for no RGB."""
    codestream, exif = _codestream(data)
    if not codestream.startswith(_CODESTREAM_START):
        raise Damaged("its pixels are missing")
    bits = _Bits(codestream[2:])
    height, width = _size(bits)
    header = JpegXLHeader(width, height, primaries=1, transfer=13)
    header.exif = exif
    orientation = 1
    if not bits.flag():  # all as usual
        if bits.flag():
            orientation = bits.take(3) + 1
            header.pages = _skip_views(bits)
        header.bits, header.floats = _depth(bits)
        bits.flag()  # 16-bit buffers suffice
        extra = bits.choice(((0, 0), (1, 0), (2, 4), (1, 12)))
        if extra > _MAX_EXTRA_CHANNELS:
            raise FileReadError(
                f"expected a JPEG XL of at most {_MAX_EXTRA_CHANNELS} channels beside colour, "
                f"found {extra}; export it again without them"
            )
        for _ in range(extra):
            header.premultiplied |= _skip_extra_channel(bits)
        in_xyb = bits.flag()
        _read_colours(bits, header)
        if in_xyb and not header.described:
            # libjxl then gives sRGB, or linear light as floats.
            header.described, header.transfer = True, 8 if header.floats else 13
    if orientation >= 5:
        header.width, header.height = header.height, header.width
    header.applied = orientation
    header.samples = 1 if header.grey else 3
    return header


def _codestream(data: bytes) -> tuple[bytes, bytes | None]:
    """The first bytes of the codestream, and the Exif block, out of the boxes if there are any."""
    if data.startswith(_CODESTREAM_START):
        return data[:_HEADER_BYTES], None
    codestream, exif, place = b"", None, 0
    while place + 8 <= len(data):
        size, name = struct.unpack(">I4s", data[place : place + 8])
        inside = place + 8
        if size == 1:
            size = int.from_bytes(data[inside : inside + 8], "big")
            inside += 8
        end = len(data) if size == 0 else place + size
        if end < inside:
            raise Damaged(f"its box at byte {place} has no length")
        if name in (b"jxlc", b"jxlp") and not codestream:
            inside += 4 if name == b"jxlp" else 0
            codestream = data[inside : min(inside + _HEADER_BYTES, end)]
        elif name == b"Exif" and exif is None and end <= len(data):
            skip = int.from_bytes(data[inside : inside + 4], "big")
            exif = data[inside + 4 + skip : end].removeprefix(b"Exif\0\0") or None
        place = end
    return codestream, exif


def _size(bits: _Bits) -> tuple[int, int]:
    small = bits.flag()
    height = 8 * (bits.take(5) + 1) if small else bits.choice(_SIDE)
    ratio = bits.take(3)
    if ratio:
        across, down = _RATIOS[ratio]
        return height, height * across // down
    return height, 8 * (bits.take(5) + 1) if small else bits.choice(_SIDE)


def _skip_views(bits: _Bits) -> int:
    """Walk over the size meant to be shown, the preview and the animation; 2 pages if one moves."""
    if bits.flag():
        _size(bits)
    if bits.flag():
        eighths = bits.flag()
        sides: _Choices = ((1, 6), (65, 8), (321, 10), (1345, 12))
        if eighths:
            sides = ((16, 0), (32, 0), (1, 5), (33, 9))
        bits.choice(sides)
        if not bits.take(3):
            bits.choice(sides)
    if not bits.flag():
        return 1
    bits.choice(((100, 0), (1000, 0), (1, 10), (1, 30)))
    bits.choice(((1, 0), (1001, 0), (1, 8), (1, 10)))
    bits.choice(((0, 0), (0, 3), (0, 16), (0, 32)))
    bits.flag()
    return 2


def _depth(bits: _Bits) -> tuple[int, bool]:
    if not bits.flag():
        return bits.choice(((8, 0), (10, 0), (12, 0), (1, 6))), False
    depth = bits.choice(((32, 0), (16, 0), (24, 0), (1, 6)))
    bits.take(4)  # bits of the exponent
    return depth, True


def _skip_extra_channel(bits: _Bits) -> bool:
    """Walk over a channel beside the colours; True for an alpha that they are multiplied by."""
    if bits.flag():  # an alpha channel of 8 bits
        return False
    kind = bits.choice(_ENUM)
    _depth(bits)
    bits.choice(((0, 0), (3, 0), (4, 0), (1, 3)))
    bits.take(8 * bits.choice(((0, 0), (0, 4), (16, 5), (48, 10))))
    if kind == 0:
        return bits.flag()
    if kind == 2:
        bits.take(64)
    elif kind == 5:
        bits.choice(((1, 0), (0, 2), (3, 4), (19, 8)))
    return False


def _read_colours(bits: _Bits, header: JpegXLHeader) -> None:
    if bits.flag():  # sRGB
        return
    header.described = not bits.flag()
    space = bits.choice(_ENUM)
    header.grey = space == _GREY
    if space not in (_RGB, _GREY):
        raise FileReadError(
            "expected a JPEG XL with RGB or grey pixels, found another colour space; "
            "export it again as RGB"
        )
    if not header.described:
        return
    if bits.choice(_ENUM) == _CUSTOM:  # the white point
        _skip_points(bits, 1)
        header.primaries = None
    if space == _RGB:
        primaries = bits.choice(_ENUM)
        if primaries == _CUSTOM:
            _skip_points(bits, 3)
        # H.273 has two P3s: 12 is the one with the white of displays.
        known = {1: 1, 9: 9, 11: 12}.get(primaries)
        header.primaries = known if header.primaries is not None else None
    if bits.flag():
        bits.take(24)  # a gamma; those in use are close to sRGB's
    else:
        header.transfer = bits.choice(_ENUM)


def _skip_points(bits: _Bits, count: int) -> None:
    for _ in range(2 * count):
        bits.choice(_COORDINATE)


def decode_jpegxl(data: bytes) -> NDArray[Any]:
    """Decode the first picture, upright: (H, W) or (H, W, C); uint8, uint16 or float32."""
    array = np.asarray(imagecodecs.jpegxl_decode(data, index=0, numthreads=2))
    return array.astype(np.float32) if array.dtype == np.float16 else array

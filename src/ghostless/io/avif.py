"""AVIF: giving a finished file its Exif block and its light levels, which the encoder leaves out.

An AVIF is boxes (ISO/IEC 14496-12). The box `meta` lists items (`iinf`), where their bytes lie
(`iloc`), how they refer to one another (`iref`) and their properties (`iprp`); `mdat` holds the
bytes. Sources: ISO/IEC 23008-12 (HEIF), annex A for Exif; 14496-12, 12.1.6 for `clli`.
"""

from __future__ import annotations

import struct
from typing import Final

from .containers import boxes

_PICTURE, _EXIF = 1, 2
# iloc of version 0: offsets and lengths of 4 bytes, no base, one item (the picture).
_PLAIN_PLACES: Final = struct.pack(">IBBH", 0, 0x44, 0, 1)


def add_facts(data: bytes, exif: bytes, light_levels: tuple[int, int] | None = None) -> bytes:
    """Add the Exif block, and for HDR the light levels, to an AVIF of one picture by libavif.

    exif: without prefix. light_levels: cd/m2 of the brightest pixel, and on average.
    A file that is laid out in another way than libavif's plain one is returned as it is.
    """
    top = {name: (inside, stop) for name, inside, stop in boxes(data, 0, len(data))}
    meta_start, meta_end = top.get(b"meta", (0, 0))
    inner = {name: data[at:stop] for name, at, stop in boxes(data, meta_start + 4, meta_end)}
    places, items = inner.get(b"iloc", b""), inner.get(b"iinf", b"")
    if places[:8] != _PLAIN_PLACES or items[:6] != bytes(5) + b"\1" or b"iref" in inner:
        return data
    inner[b"iinf"] = (
        bytes(5)
        + b"\2"
        + items[6:]
        + _full_box(b"infe", 2, struct.pack(">HH4s", _EXIF, 0, b"Exif") + b"\0")
    )
    # The block is a description of (cdsc) the picture.
    inner[b"iref"] = bytes(4) + _box(b"cdsc", struct.pack(">HHH", _EXIF, 1, _PICTURE))
    if light_levels is not None:
        inner[b"iprp"] = _with_light_levels(inner[b"iprp"], light_levels)
    # An item's entry takes 14 bytes; all else that grows is there already.
    grown = sum(map(len, inner.values())) + 8 * len(inner) + 14 + 4 - (meta_end - meta_start)
    block = b"\0\0\0\0" + exif
    offset, size = struct.unpack(">II", places[14:22])
    inner[b"iloc"] = (
        struct.pack(">IBBH", 0, 0x44, 0, 2)
        + places[8:14]
        + struct.pack(">II", offset + grown, size)
        + struct.pack(">HHHII", _EXIF, 0, 1, len(data) + grown + 8, len(block))
    )
    meta = b"".join(_box(name, body) for name, body in inner.items())
    return b"".join(
        [
            data[: meta_start - 8],
            _box(b"meta", data[meta_start : meta_start + 4] + meta),
            data[meta_end:],
            _box(b"mdat", block),
        ]
    )


def _with_light_levels(properties: bytes, light_levels: tuple[int, int]) -> bytes:
    """Add a property to the list, and tie it to the picture."""
    inner = {name: properties[at:stop] for name, at, stop in boxes(properties, 0, len(properties))}
    listed, ties = inner[b"ipco"], inner[b"ipma"]
    number = sum(1 for _ in boxes(listed, 0, len(listed))) + 1
    brightest, average = (min(level, 65535) for level in light_levels)
    listed += _box(b"clli", struct.pack(">HH", brightest, average))
    # Version and flags, entries, item, and how many properties it has, each tied by a byte.
    ties = ties[:10] + bytes((ties[10] + 1,)) + ties[11:] + bytes((number,))
    return _box(b"ipco", listed) + _box(b"ipma", ties)


def _box(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), name) + body


def _full_box(name: bytes, version: int, body: bytes) -> bytes:
    return _box(name, bytes((version, 0, 0, 0)) + body)

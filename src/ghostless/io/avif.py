"""AVIF: giving a finished file its Exif, XMP and light levels, which the encoder leaves out.

An AVIF is boxes (ISO/IEC 14496-12). The box `meta` lists items (`iinf`), where their bytes lie
(`iloc`), how they refer to one another (`iref`) and their properties (`iprp`); `mdat` holds the
bytes. Sources: ISO/IEC 23008-12 (HEIF), annex A for Exif; 14496-12, 12.1.6 for `clli`.
"""

from __future__ import annotations

import struct
from typing import Final

from .base_media import boxes

# iloc of version 0: offsets and lengths of 4 bytes, no base; an entry of one extent takes 14 bytes.
_PLAIN_PLACES: Final = struct.pack(">IBB", 0, 0x44, 0)
_ENTRY_BYTES: Final = 14


def add_facts(
    data: bytes,
    exif: bytes,
    light_levels: tuple[int, int] | None = None,
    xmp: bytes | None = None,
) -> bytes:
    """Add the Exif block, XMP, and for HDR the light levels, to a still AVIF by libavif.

    exif: without prefix. light_levels: cd/m2 of the brightest pixel, and on average. xmp: a packet.
    A file that has an Exif block, or is laid out in another way than libavif's plain one, is
    returned as it is.
    """
    top = {name: (inside, stop) for name, inside, stop in boxes(data, 0, len(data))}
    meta_start, meta_end = top.get(b"meta", (0, 0))
    inner = {name: data[at:stop] for name, at, stop in boxes(data, meta_start + 4, meta_end)}
    places, items = inner.get(b"iloc", b""), inner.get(b"iinf", b"")
    entries = _plain_entries(places)
    if (
        entries is None
        or b"Exif" in items
        or items[:4] != bytes(4)
        or inner.get(b"iref", bytes(4))[:4] != bytes(4)
    ):
        return data
    picture = int.from_bytes(inner[b"pitm"][4:6], "big")
    first = max(item for item, _, _ in entries) + 1
    # Each: its bytes, and what kind of item they are.
    added = [(bytes(4) + exif, b"Exif\0")]
    added += [] if xmp is None else [(xmp, b"mime\0application/rdf+xml\0")]
    count = int.from_bytes(items[4:6], "big") + len(added)
    inner[b"iinf"] = items[:4] + struct.pack(">H", count) + items[6:]
    inner.setdefault(b"iref", bytes(4))
    for number, (_, kind) in enumerate(added, start=first):
        inner[b"iinf"] += _full_box(b"infe", 2, struct.pack(">HH", number, 0) + kind)
        # They are descriptions of (cdsc) the picture.
        inner[b"iref"] += _box(b"cdsc", struct.pack(">HHH", number, 1, picture))
    if light_levels is not None:
        inner[b"iprp"] = _with_light_levels(inner[b"iprp"], light_levels)
    # All that grows but the entries of the new items is there already.
    grown = sum(map(len, inner.values())) + 8 * len(inner) + _ENTRY_BYTES * len(added)
    grown += 4 - (meta_end - meta_start)
    blocks = [block for block, _ in added]
    inner[b"iloc"] = _moved_places(entries, blocks, first, grown, len(data) + grown + 8)
    meta = b"".join(_box(name, body) for name, body in inner.items())
    meta = _box(b"meta", data[meta_start : meta_start + 4] + meta)
    return data[: meta_start - 8] + meta + data[meta_end:] + _box(b"mdat", b"".join(blocks))


def _moved_places(
    entries: list[tuple[int, int, int]], blocks: list[bytes], first: int, grown: int, place: int
) -> bytes:
    """The box `iloc` when all has moved by `grown` bytes and new items lie at `place`."""
    moved = [(item, offset + grown, size) for item, offset, size in entries]
    for number, block in enumerate(blocks, start=first):
        moved.append((number, place, len(block)))
        place += len(block)
    places = (struct.pack(">HHHII", item, 0, 1, at, size) for item, at, size in moved)
    return _PLAIN_PLACES + struct.pack(">H", len(moved)) + b"".join(places)


def _plain_entries(places: bytes) -> list[tuple[int, int, int]] | None:
    """Item, offset and length of each entry of `iloc`; None where they are told in another way."""
    count = int.from_bytes(places[6:8], "big")
    if places[:6] != _PLAIN_PLACES or len(places) != 8 + _ENTRY_BYTES * count or not count:
        return None
    found = [struct.unpack_from(">HHHII", places, 8 + _ENTRY_BYTES * k) for k in range(count)]
    if any(here or extents != 1 for _, here, extents, _, _ in found):
        return None
    return [(item, offset, size) for item, _, _, offset, size in found]


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

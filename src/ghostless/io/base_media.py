"""The header of AVIF, HEIC and JPEG XL files: boxes of the ISO base media format."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from ..errors import FileReadError
from . import av1, colours
from .headers import Damaged, Header, need

# irot counts quarter turns anticlockwise, imir's axis 0 is top-bottom and 1 left-right; the
# orientation that a rotation followed by a mirror amounts to.
_TURNS: Final = {
    (0, None): 1, (1, None): 8, (2, None): 3, (3, None): 6,
    (0, 0): 4, (0, 1): 2, (1, 0): 5, (1, 1): 7, (2, 0): 2, (2, 1): 4, (3, 0): 7, (3, 1): 5,
}  # fmt: skip


def boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """The boxes between two offsets: name, start and end of what is inside."""
    end = min(end, len(data))
    while start + 8 <= end:
        size, name = struct.unpack(">I4s", data[start : start + 8])
        inside = start + 8
        if size == 1 and start + 16 <= end:
            size = struct.unpack(">Q", data[start + 8 : start + 16])[0]
            inside = start + 16
        elif size == 0:
            size = end - start
        if size < inside - start:
            return
        yield name, inside, min(start + size, end)
        start += size


def _box(data: bytes, start: int, end: int, wanted: bytes) -> tuple[int, int]:
    for name, inside, stop in boxes(data, start, end):
        if name == wanted:
            return inside, stop
    raise Damaged(f"its {wanted.decode()} box is missing")


def read_base_media_header(data: bytes) -> Header:
    """Find the primary picture's properties and its Exif in the meta box."""
    names = {name for name, _, _ in boxes(data, 0, len(data))}
    if b"moov" in names and b"meta" not in names:
        raise FileReadError(
            "expected a still picture, found a sequence of pictures without one; export its first "
            "picture as a still"
        )
    start, end = _box(data, 0, len(data), b"meta")
    start += 4
    primary_at, _ = _box(data, start, end, b"pitm")
    wide = need(data, primary_at, 1)[0] > 0
    primary = int.from_bytes(need(data, primary_at + 4, 4 if wide else 2), "big")
    header = Header(0, 0)
    turn, mirror, crop = 0, None, (0, 0, 0, 0)
    for name, inside, stop in _item_properties(data, start, end, primary):
        body = data[inside:stop]
        if name == b"ispe" and len(body) >= 12:
            header.width, header.height = struct.unpack(">II", body[4:12])
        elif name == b"clap" and len(body) >= 16:
            crop = struct.unpack(">4I", body[:16])
        elif name == b"irot" and body:
            turn = body[0] & 3
        elif name == b"imir" and body:
            mirror = body[0] & 1
        elif name == b"colr" and body[:4] in (b"prof", b"rICC"):
            header.icc_profile = body[4:]
        elif name == b"colr" and body[:4] == b"nclx" and len(body) >= 8:
            header.primaries, header.transfer = struct.unpack(">HH", body[4:8])
    header.colours_told = header.icc_profile is not None or header.primaries not in (None, 2)
    if header.icc_profile is None and header.transfer not in (colours.PQ, colours.HLG):
        header.told_profile, note = colours.profile_of_h273(header.primaries, header.transfer)
        header.notes += [note] if note else []
    if crop[1] and crop[3]:
        header.cropped = crop[0] // crop[1], crop[2] // crop[3]
    _check_av1_sizes(data, start, end)
    header.bits = _av1_bits(data, start, end)
    header.orientation = _TURNS[turn, mirror]
    header.exif = _item_exif(data, start, end)
    return header


# A superblock's side: encoders may fill their last ones up.
_AV1_PADDING: Final = 128


def _check_av1_sizes(data: bytes, start: int, end: int) -> None:
    """Raise Damaged where a coded picture has another size than its item says.

    libavif finds out only when it has decoded the whole, and makes a smaller one as large as is
    said; libheif by itself refuses such pictures.
    """
    for item in _items_of_type(data, *_box(data, start, end, b"iinf"), b"av01"):
        said = [
            struct.unpack(">2I", data[inside + 4 : inside + 12])
            for name, inside, stop in _item_properties(data, start, end, item)
            if name == b"ispe" and stop - inside >= 12
        ]
        place = _place_of_item(data, start, end, item)
        if not said or place is None:
            continue
        width, height = av1.largest_picture(data[place[0] : place[0] + place[1]])
        too_large = width * height > (said[0][0] + _AV1_PADDING) * (said[0][1] + _AV1_PADDING)
        too_small = width * height > 0 and (width < said[0][0] or height < said[0][1])
        if too_large or too_small:
            raise Damaged(
                f"it says {said[0][0]} x {said[0][1]} pixels and holds {width} x {height}"
            )


def _item_properties(
    data: bytes, start: int, end: int, item: int
) -> Iterator[tuple[bytes, int, int]]:
    properties_at, stop = _box(data, start, end, b"iprp")
    container = _box(data, properties_at, stop, b"ipco")
    properties = list(boxes(data, *container))
    inside, stop = _box(data, properties_at, stop, b"ipma")
    version, flags = data[inside], data[inside + 3]
    id_size, index_size = (4 if version else 2), (2 if flags & 1 else 1)
    count = int.from_bytes(need(data, inside + 4, 4), "big")
    place = inside + 8
    for _ in range(min(count, 100_000)):
        identity = int.from_bytes(need(data, place, id_size), "big")
        number = need(data, place + id_size, 1)[0]
        place += id_size + 1
        if identity == item:
            for k in range(number):
                raw = int.from_bytes(need(data, place + k * index_size, index_size), "big")
                index = raw & (0x7FFF if index_size == 2 else 0x7F)
                if 0 < index <= len(properties):
                    yield properties[index - 1]
            return
        place += number * index_size


def _av1_bits(data: bytes, start: int, end: int) -> int:
    inside, stop = _box(data, *_box(data, start, end, b"iprp"), b"ipco")
    for name, at, last in boxes(data, inside, stop):
        if name == b"av1C" and last - at >= 3:
            return {0: 8, 0x40: 10, 0x60: 12}.get(data[at + 2] & 0x60, 8)
    return 8


def _item_exif(data: bytes, start: int, end: int) -> bytes | None:
    """The Exif item's bytes, None where there is none or its place is told in a rarer way."""
    try:
        item = next(_items_of_type(data, *_box(data, start, end, b"iinf"), b"Exif"), None)
        place = _place_of_item(data, start, end, item) if item is not None else None
    except (Damaged, struct.error, IndexError):
        return None
    if place is None:
        return None
    body = data[place[0] : place[0] + min(place[1], 1 << 20)]
    skip = int.from_bytes(body[:4], "big")
    return body[4 + skip :].removeprefix(b"Exif\0\0") or None


def _items_of_type(data: bytes, start: int, end: int, wanted: bytes) -> Iterator[int]:
    first = start + (6 if data[start] == 0 else 8)
    for name, inside, _ in boxes(data, first, end):
        wide = data[inside] >= 3
        identity = int.from_bytes(need(data, inside + 4, 4 if wide else 2), "big")
        kind = need(data, inside + (10 if wide else 8), 4)
        if name == b"infe" and data[inside] >= 2 and kind == wanted:
            yield identity


def _place_of_item(data: bytes, start: int, end: int, item: int) -> tuple[int, int] | None:
    """Where an item's bytes lie, by what a `meta` box holds between two offsets."""
    inside = {name: begin for name, begin, _ in boxes(data, start, end)}.get(b"idat")
    return item_place(data, *_box(data, start, end, b"iloc"), item, inside)


def item_place(
    data: bytes, start: int, end: int, item: int, data_box: int | None = None
) -> tuple[int, int] | None:
    """Where an item's bytes lie and how many there are, by the `iloc` box between two offsets.

    data_box: where the `idat` box's content begins, for items that lie in it. None if not known.
    """
    version = data[start]
    sizes = struct.unpack(">H", need(data, start + 4, 2))[0]
    offset_size, length_size, base_size = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
    index_size = sizes & 15 if version else 0
    id_size = 4 if version == 2 else 2
    place = start + 6

    def number(size: int) -> int:
        nonlocal place
        value = int.from_bytes(need(data, place, size), "big")
        place += size
        return value

    for _ in range(min(number(id_size), 10_000)):
        identity = number(id_size)
        method = number(2) & 15 if version else 0
        number(2)
        base = number(base_size)
        extents = number(2)
        if not extents:
            continue
        number(index_size)
        offset, length = number(offset_size), number(length_size)
        if identity == item and (method == 0 or (method == 1 and data_box)):
            inside = data_box or 0 if method == 1 else 0
            return inside + base + offset, length or len(data)
        # Only the first extent is asked for. Others may take no bytes at all, and be many.
        place += (extents - 1) * (index_size + offset_size + length_size)
    return None

"""The Exif block: a TIFF structure of tagged values, taken apart and put together again.

Nothing here raises on damaged input: an entry that points outside the block is skipped, a pointer
or text of another type passed over, so that a broken date never costs a photo. Values are kept as
little-endian bytes with their types, hence what is read and written again is the same to the bit.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

# Types of TIFF 6.0 section 2 (and IFD, 13): size of one value, and the size of its swappable unit.
_TYPE_SIZES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8,
                      13: 4}  # fmt: skip
_UNIT_SIZES: Final = {**_TYPE_SIZES, 5: 4, 10: 4}
_NUMBER_FORMATS: Final = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 11: "f", 12: "d",
                          13: "I"}  # fmt: skip
BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED, SRATIONAL, IFD = 1, 2, 3, 4, 5, 7, 10, 13

PHOTO_POINTER: Final = 0x8769
GPS_POINTER: Final = 0x8825
INTEROPERABILITY_POINTER: Final = 0xA005
SUB_DIRECTORIES: Final = 0x014A

# What each tag's value must be by Exif 2.32 and 3.0 (CIPA DC-008): text, numbers, fractions, or
# bytes that mean something else. Tags that stand in none of these lists are not judged.
_TEXTS: Final = {ASCII}
_INTEGERS: Final = {BYTE, SHORT, LONG}
_FRACTIONS: Final = {RATIONAL, SRATIONAL}
_BYTES: Final = {BYTE, UNDEFINED}
_IMAGE_TYPES: Final = {
    **dict.fromkeys((0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298), _TEXTS),
    **dict.fromkeys((0x0112, 0x4746, 0x4749), _INTEGERS),
    **dict.fromkeys(range(0x9C9B, 0x9CA0), _BYTES),
}
_PHOTO_TYPES: Final = {
    **dict.fromkeys((0x8824, 0x9003, 0x9004, 0x9010, 0x9011, 0x9012, 0x9290, 0x9291, 0x9292,
                     0xA004, 0xA420, 0xA430, 0xA431, *range(0xA433, 0xA43D)), _TEXTS),
    **dict.fromkeys((0x8822, 0x8827, *range(0x8830, 0x8836), 0x9207, 0x9208, 0x9209, 0x9214,
                     0xA001, 0xA002, 0xA003, 0xA210, 0xA214, 0xA217, *range(0xA401, 0xA404),
                     0xA405, 0xA406, 0xA407, 0xA408, 0xA409, 0xA40A, 0xA40C, 0xA460), _INTEGERS),
    **dict.fromkeys((0x829A, 0x829D, *range(0x9201, 0x9207), 0x920A, 0x920B, 0x9102,
                     *range(0x9400, 0x9406), 0xA20B, 0xA20E, 0xA20F, 0xA215, 0xA404, 0xA432,
                     0xA500), _FRACTIONS),
    **dict.fromkeys((0x8828, 0x9000, 0x9101, 0x927C, 0x9286, 0xA000, 0xA20C, 0xA300, 0xA301,
                     0xA302, 0xA40B, 0xA462), _BYTES),
}  # fmt: skip
_GPS_TYPES: Final = {
    **dict.fromkeys((1, 3, 8, 9, 10, 12, 14, 16, 18, 19, 21, 23, 25, 29), _TEXTS),
    **dict.fromkeys((0, 5, 30), _INTEGERS),
    **dict.fromkeys((2, 4, 6, 7, 11, 13, 15, 17, 20, 22, 24, 26, 31), _FRACTIONS),
    **dict.fromkeys((27, 28), _BYTES),
}
# No camera writes more; a damaged count must not keep us busy.
_MAX_ENTRIES: Final = 1000
_MAX_VALUE_BYTES: Final = 1 << 20


@dataclass(frozen=True)
class Value:
    """One tag's value: its TIFF type, how many there are, and their little-endian bytes."""

    kind: int
    count: int
    data: bytes

    def numbers(self) -> list[float]:
        """The values as floats; a fraction over zero becomes NaN, text an empty list."""
        if self.kind in (RATIONAL, SRATIONAL):
            code = "I" if self.kind == RATIONAL else "i"
            parts = struct.unpack(f"<{2 * self.count}{code}", self.data)
            return [n / d if d else math.nan for n, d in zip(parts[::2], parts[1::2], strict=True)]
        code = _NUMBER_FORMATS.get(self.kind, "")
        return [float(n) for n in struct.unpack(f"<{self.count}{code}", self.data)] if code else []

    def integers(self) -> list[int]:
        """The values of an unsigned integer type; of any other, as of fractions, an empty list."""
        if self.kind not in (BYTE, SHORT, LONG, IFD):
            return []
        return list(struct.unpack(f"<{self.count}{_NUMBER_FORMATS[self.kind]}", self.data))

    def text(self) -> str:
        """The value as text up to its first NUL, stripped; undecodable bytes are replaced.

        Some writers call texts bytes; a value of any other type has none.
        """
        if self.kind not in (ASCII, BYTE, UNDEFINED):
            return ""
        return self.data.split(b"\0", 1)[0].decode("utf-8", "replace").strip()


Tags = dict[int, Value]


@dataclass
class ExifBlock:
    """The directories that matter: the image's (IFD0), the photo's (Exif) and the GPS one."""

    image: Tags = field(default_factory=dict)
    photo: Tags = field(default_factory=dict)
    gps: Tags = field(default_factory=dict)


def short(*numbers: int) -> Value:
    """A value of 16-bit numbers."""
    return Value(SHORT, len(numbers), struct.pack(f"<{len(numbers)}H", *numbers))


def long(*numbers: int) -> Value:
    """A value of 32-bit numbers."""
    return Value(LONG, len(numbers), struct.pack(f"<{len(numbers)}I", *numbers))


def rational(number: float) -> Value:
    """A fraction near a number >= 0: exact for 1/125 and the like."""
    if number < 1e-9 or not math.isfinite(number):
        top, bottom = 0, 1
    elif number < 1 and abs(1 / number - round(1 / number)) < 1e-3 / number:
        top, bottom = 1, round(1 / number)
    else:
        bottom = 10 ** max(0, min(6, 8 - math.ceil(math.log10(number))))
        top = round(number * bottom)
    return Value(RATIONAL, 1, struct.pack("<2I", min(top, 2**32 - 1), min(bottom, 2**32 - 1)))


def ascii_text(text: str) -> Value:
    """A NUL-terminated text value."""
    data = text.encode("utf-8") + b"\0"
    return Value(ASCII, len(data), data)


ReadAt = Callable[[int, int], bytes]


class TiffReader:
    """Reads the directories of a TIFF structure by offset, from bytes or from a file."""

    def __init__(self, read_at: ReadAt, max_value_bytes: int = _MAX_VALUE_BYTES) -> None:
        self._read_at = read_at
        self._max_value_bytes = max_value_bytes
        head = read_at(0, 8)
        self.order = {b"II": "<", b"MM": ">"}.get(head[:2], "")
        self.first = struct.unpack(f"{self.order}I", head[4:])[0] if self.valid(head) else 0

    def valid(self, head: bytes) -> bool:
        """Whether the eight first bytes can begin a TIFF structure."""
        return len(head) == 8 and bool(self.order)

    def directory(self, offset: int) -> tuple[Tags, int]:
        """Return the tags of the directory at an offset, and the next one's offset (0: none)."""
        head = self._read_at(offset, 2) if offset else b""
        if len(head) < 2:
            return {}, 0
        count = struct.unpack(f"{self.order}H", head)[0]
        if count > _MAX_ENTRIES:
            return {}, 0
        body = self._read_at(offset + 2, 12 * count + 4)
        tags: Tags = {}
        for start in range(0, min(12 * count, len(body) - 11), 12):
            self._add_entry(tags, body[start : start + 12])
        tail = body[12 * count :]
        following = struct.unpack(f"{self.order}I", tail)[0] if len(tail) == 4 else 0
        return tags, following

    def _add_entry(self, tags: Tags, entry: bytes) -> None:
        tag, kind, count = struct.unpack(f"{self.order}HHI", entry[:8])
        size = _TYPE_SIZES.get(kind, 0) * count
        if not 0 < size <= self._max_value_bytes or tag in tags:
            return
        if size <= 4:
            data = entry[8 : 8 + size]
        else:
            data = self._read_at(struct.unpack(f"{self.order}I", entry[8:])[0], size)
        if len(data) == size:
            tags[tag] = Value(kind, count, self._little_endian(data, _UNIT_SIZES[kind]))

    def _little_endian(self, data: bytes, unit: int) -> bytes:
        if self.order == "<" or unit == 1:
            return data
        return b"".join(data[i : i + unit][::-1] for i in range(0, len(data), unit))

    def block(self, first: Tags | None = None) -> ExifBlock:
        """Read the Exif block whose image directory is the first (or the tags given)."""
        image = self.directory(self.first)[0] if first is None else first
        block = ExifBlock(dict(image))
        for pointer, name in ((PHOTO_POINTER, "photo"), (GPS_POINTER, "gps")):
            value = block.image.pop(pointer, None)
            if value is not None:
                setattr(block, name, self.at_pointer(value))
        return block

    def at_pointer(self, value: Value | None) -> Tags:
        """The tags of the directory that a pointer's value tells the place of."""
        places = value.integers() if value is not None else []
        return self.directory(places[0])[0] if places else {}


def bytes_reader(data: bytes | memoryview) -> ReadAt:
    """A reader over a block in memory."""
    return lambda offset, size: bytes(data[offset : offset + size])


def parse_exif(data: bytes) -> ExifBlock:
    """Take an Exif block (with or without its "Exif\\0\\0" prefix) apart; empty if damaged."""
    return TiffReader(bytes_reader(data.removeprefix(b"Exif\0\0"))).block()


def build_exif(block: ExifBlock) -> bytes:
    """Put an Exif block together: a little-endian TIFF structure without prefix.

    >>> block = ExifBlock({0x010F: ascii_text("Maker")}, {0x829A: rational(1 / 125)})
    >>> parse_exif(build_exif(block)) == block
    True
    """
    return b"II*\0" + struct.pack("<I", 8) + build_directories(block, 8)


def build_directories(block: ExifBlock, offset: int) -> bytes:
    """The image directory that will stand at `offset` of a structure, the others behind it."""
    image = dict(block.image)
    others = ((PHOTO_POINTER, block.photo), (GPS_POINTER, block.gps))
    for pointer, tags in others:
        if tags:
            image[pointer] = long(0)
    place = offset + directory_size(image)
    parts = []
    for pointer, tags in others:
        if tags:
            image[pointer] = long(place)
            parts.append(build_directory(tags, place))
            place += len(parts[-1])
    return b"".join([build_directory(image, offset), *parts])


def directory_size(tags: Tags) -> int:
    """Bytes that `build_directory` makes of these tags."""
    return 6 + 12 * len(tags) + sum(_outside(value.data) for value in tags.values())


def _outside(data: bytes) -> int:
    return 0 if len(data) <= 4 else len(data) + len(data) % 2


def build_directory(tags: Tags, offset: int) -> bytes:
    """One little-endian directory that will stand at `offset`, its values behind it."""
    entries, values = [struct.pack("<H", len(tags))], []
    place = offset + 6 + 12 * len(tags)
    for tag, value in sorted(tags.items()):
        data = value.data
        head = struct.pack("<HHI", tag, value.kind, value.count)
        if len(data) <= 4:
            entries.append(head + data.ljust(4, b"\0"))
        else:
            entries.append(head + struct.pack("<I", place))
            values.append(data + b"\0" * (len(data) % 2))
            place += len(values[-1])
    return b"".join([*entries, struct.pack("<I", 0), *values])


def of_their_types(block: ExifBlock) -> ExifBlock:
    """The block without tags of another type than Exif gives them, at which other readers stop."""
    sound = (
        {tag: value for tag, value in tags.items() if value.kind in types.get(tag, (value.kind,))}
        for tags, types in (
            (block.image, _IMAGE_TYPES),
            (block.photo, _PHOTO_TYPES),
            (block.gps, _GPS_TYPES),
        )
    )
    return ExifBlock(*sound)


def chosen(tags: Tags, wanted: Iterable[int]) -> Tags:
    """The tags with these numbers, where there are any."""
    return {tag: tags[tag] for tag in wanted if tag in tags}

"""JPEG's segments: making them, and walking those that stand before the pixels (ITU-T T.81, B)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

APP1: Final = 0xE1
APP2: Final = 0xE2
APP13: Final = 0xED
MAX_BODY_BYTES: Final = 65_533
_APP0, _START_OF_SCAN = 0xE0, 0xDA


def segment(marker: int, body: bytes) -> bytes:
    """A segment: marker, length, body of at most `MAX_BODY_BYTES`."""
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def segments(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """The segments before the pixels: marker, where the body begins, and the body."""
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF and data[place + 1] != _START_OF_SCAN:
        size = struct.unpack(">H", data[place + 2 : place + 4])[0]
        if size < 2:
            return
        yield data[place + 1], place + 4, data[place + 4 : place + 2 + size]
        place += 2 + size


def head_end(data: bytes) -> int:
    """Where new segments go: behind the start mark and the JFIF segment that must follow it."""
    if data[2:4] != bytes((0xFF, _APP0)):
        return 2
    return 4 + int(struct.unpack(">H", data[4:6])[0])

"""Finding what programs and people wrote about a photo: XMP packets and IPTC records.

Where they stand: ISO 16684-3 (XMP part 3: storage in files) for JPEG, TIFF, PNG and WebP, with
Adobe's image resources for IPTC; ISO/IEC 23008-12 for AVIF and HEIC; ISO/IEC 18181-2 for JPEG XL.
Nothing here raises on damaged input: what cannot be read is not there.
"""

from __future__ import annotations

import os
import stat
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import imagecodecs

from .base_media import boxes, item_place
from .containers import Format
from .exif import Tags, Value
from .headers import Damaged
from .jpeg import segments

XMP_NAME: Final = b"http://ns.adobe.com/xap/1.0/\0"
_EXTENSION_NAME: Final = b"http://ns.adobe.com/xmp/extension/\0"
PHOTOSHOP_NAME: Final = b"Photoshop 3.0\0"
PNG_KEYWORD: Final = b"XML:com.adobe.xmp"
RDF_TYPE: Final = b"application/rdf+xml"
IPTC_RESOURCE: Final = 0x0404
XMP_TAG, IPTC_TAG, _PHOTOSHOP_TAG = 700, 33723, 34377
# No packet that people need is longer.
_MOST_BYTES: Final = 4 << 20
# Photos whose sidecars bear their name without its suffix; others' bear all of it.
_RAW: Final = "raw"


def read_packets(path: Path, kind: Format) -> tuple[list[bytes], bytes | None]:
    """Find the XMP packets of a photo, those that count most first, and its IPTC records.

    A sidecar (IMG_1.CR2.xmp, and for camera RAW IMG_1.xmp) counts more than what is in the file.
    """
    packets: list[bytes] = []
    iptc: bytes | None = None
    try:
        if kind in ("tiff", "raw"):
            packets, iptc = _of_tiff(path)
        elif kind in ("jpeg", "png", "webp", "avif", "heif", "jxl"):
            packets, iptc = _READERS[kind](path.read_bytes())
    except (OSError, Damaged, struct.error, IndexError, ValueError, zlib.error):
        pass
    short = [packet for packet in (*_sidecars(path, kind), *packets) if len(packet) <= _MOST_BYTES]
    return short, iptc if iptc is None or len(iptc) <= _MOST_BYTES else None


def _sidecars(path: Path, kind: Format) -> Iterator[bytes]:
    names = [path.with_name(path.name + ".xmp")]
    if kind == _RAW:
        names += [path.with_suffix(".xmp"), path.with_suffix(".XMP")]
    for name in names:
        try:
            status = os.stat(name)
            if stat.S_ISREG(status.st_mode) and 0 < status.st_size <= _MOST_BYTES:
                with name.open("rb") as stream:
                    yield stream.read(_MOST_BYTES)
                return
        except (OSError, ValueError):
            continue


_Found = tuple[list[bytes], bytes | None]


def _of_jpeg(data: bytes) -> _Found:
    packets: list[bytes] = []
    pieces: dict[bytes, dict[int, bytes]] = {}
    resources = b""
    for marker, _, body in segments(data):
        if marker == 0xE1 and body.startswith(XMP_NAME):
            packets.append(body[len(XMP_NAME) :])
        elif marker == 0xE1 and body.startswith(_EXTENSION_NAME):
            rest = body[len(_EXTENSION_NAME) :]
            if len(rest) > 40:
                offset = struct.unpack(">I", rest[36:40])[0]
                pieces.setdefault(rest[:32], {})[offset] = rest[40:]
        elif marker == 0xED and body.startswith(PHOTOSHOP_NAME):
            resources += body[len(PHOTOSHOP_NAME) :]
    packets = packets[:1]
    for guid, parts in pieces.items():
        # The first packet names the extension that belongs to it.
        if packets and guid in packets[0]:
            packets.append(_joined(parts))
    return [packet for packet in packets if packet], iptc_of_resources(resources)


def _joined(parts: dict[int, bytes]) -> bytes:
    whole = b""
    for offset in sorted(parts):
        if offset != len(whole):
            return b""
        whole += parts[offset]
    return whole


def iptc_of_resources(data: bytes) -> bytes | None:
    """The IPTC records among Photoshop's image resources."""
    place = 0
    while data[place : place + 4] == b"8BIM":
        number = struct.unpack(">H", data[place + 4 : place + 6])[0]
        name = data[place + 6] + 1
        place += 6 + name + name % 2
        size = struct.unpack(">I", data[place : place + 4])[0]
        body = data[place + 4 : place + 4 + size]
        if number == IPTC_RESOURCE and len(body) == size:
            return body or None
        place += 4 + size + size % 2
    return None


def _of_png(data: bytes) -> _Found:
    packets: list[bytes] = []
    iptc: bytes | None = None
    place = 8
    while place + 12 <= len(data):
        size, kind = struct.unpack(">I4s", data[place : place + 8])
        body = data[place + 8 : place + 8 + size]
        place += size + 12
        if kind == b"iTXt" and body.startswith(PNG_KEYWORD + b"\0"):
            packed, rest = body[len(PNG_KEYWORD) + 1], body[len(PNG_KEYWORD) + 3 :]
            text = rest.split(b"\0", 2)[2]
            packets.append(_inflated(text) if packed else text)
        elif kind in (b"tEXt", b"zTXt") and body.startswith(b"Raw profile type "):
            name, _, text = body[17:].partition(b"\0")
            profile = _raw_profile(_inflated(text[1:]) if kind == b"zTXt" else text)
            if name == b"xmp":
                packets.append(profile)
            elif name in (b"iptc", b"8bim"):
                iptc = iptc or iptc_of_resources(profile) or (profile or None)
    return packets[:1], iptc


def _inflated(data: bytes) -> bytes:
    return zlib.decompressobj().decompress(data, _MOST_BYTES)


def _raw_profile(text: bytes) -> bytes:
    """What ImageMagick writes: a line for the name, one for the length, then hexadecimal digits."""
    lines = text.strip().split(b"\n", 2)
    return bytes.fromhex(lines[2].decode("ascii")) if len(lines) == 3 else b""


def _of_webp(data: bytes) -> _Found:
    place = 12
    while place + 8 <= len(data):
        kind, size = struct.unpack("<4sI", data[place : place + 8])
        if kind == b"XMP ":
            return [data[place + 8 : place + 8 + size]], None
        place += 8 + size + size % 2
    return [], None


def _of_base_media(data: bytes) -> _Found:
    top = {name: (inside, stop) for name, inside, stop in boxes(data, 0, len(data))}
    start, end = top.get(b"meta", (0, 0))
    inner = {name: (inside, stop) for name, inside, stop in boxes(data, start + 4, end)}
    items, stop = inner.get(b"iinf", (0, 0))
    first = items + (6 if data[items] == 0 else 8)
    for name, inside, last in boxes(data, first, stop):
        if name != b"infe" or data[inside] < 2:
            continue
        wide = data[inside] >= 3
        identity = int.from_bytes(data[inside + 4 : inside + (8 if wide else 6)], "big")
        rest = data[inside + (10 if wide else 8) : last]
        if rest[:4] == b"mime" and rest[4:].split(b"\0")[1:2] == [RDF_TYPE]:
            place = item_place(data, *inner[b"iloc"], identity, inner.get(b"idat", (None,))[0])
            if place is not None:
                return [data[place[0] : place[0] + min(place[1], _MOST_BYTES)]], None
    return [], None


def _of_jpegxl(data: bytes) -> _Found:
    if not data.startswith(b"\0\0\0\x0cJXL "):
        return [], None
    for name, inside, stop in boxes(data, 0, len(data)):
        if name == b"xml ":
            return [data[inside:stop]], None
        if name == b"brob" and data[inside : inside + 4] == b"xml ":
            return [_unbrotlied(data[inside + 4 : stop])], None
    return [], None


def _unbrotlied(data: bytes) -> bytes:
    try:
        return bytes(imagecodecs.brotli_decode(data, out=_MOST_BYTES))
    except (RuntimeError, TypeError, AttributeError):
        return b""


def _of_tiff(path: Path) -> _Found:
    from .tiff import file_reader

    reader, file = file_reader(path)
    with file:
        tags, _ = reader.directory(reader.first)
    iptc = _bytes_of(tags, IPTC_TAG, reader.order)
    if iptc is None:
        iptc = iptc_of_resources(_bytes_of(tags, _PHOTOSHOP_TAG, reader.order) or b"")
    packet = _bytes_of(tags, XMP_TAG, reader.order)
    return ([] if packet is None else [packet]), iptc


def _bytes_of(tags: Tags, tag: int, order: str) -> bytes | None:
    value: Value | None = tags.get(tag)
    if value is None:
        return None
    if value.kind == 4 and order == ">":  # bytes that Adobe calls numbers
        return b"".join(value.data[i : i + 4][::-1] for i in range(0, len(value.data), 4))
    return value.data


_READERS: Final = {
    "jpeg": _of_jpeg,
    "png": _of_png,
    "webp": _of_webp,
    "avif": _of_base_media,
    "heif": _of_base_media,
    "jxl": _of_jpegxl,
}


def photoshop_resources(iptc: bytes) -> bytes:
    """IPTC records as Photoshop's image resources: the body of a JPEG's segment."""
    head = PHOTOSHOP_NAME + b"8BIM" + struct.pack(">HHI", IPTC_RESOURCE, 0, len(iptc))
    return head + iptc + b"\0" * (len(iptc) % 2)

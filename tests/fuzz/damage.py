"""Damage as cards, cables, editors and malice do it: to any bytes, and to what they stand for.

Damage that keeps a file's structure gets past the first check and into the code behind it: lengths
and sizes at their extremes, Exif entries of another type or count, chunks with their checksums put
right, JSON and text with values that nobody expects there.
"""

from __future__ import annotations

import json
import random
import re
import struct
import zlib
from collections.abc import Callable
from typing import Any

Damage = Callable[[bytes, random.Random], bytes]

_LIMITS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000,
           0xFFFFFFFF, 0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF)  # fmt: skip
_WORDS = (b"", b"0", b"-1", b"1e999", b"-1e999", b"nan", b"inf", b"9" * 400, b"1e-320", b"null",
          b"true", b'"', b"'", b"[" * 3000, b"{" * 3000, b"\0", b"\xff\xfe", b"\xef\xbb\xbf",
          b"\r", b"\x85", "\u2028".encode(), b"../../x", b"/etc/passwd", b"a" * 5000,
          b"\xed\xa0\x80",
          "\u0661".encode(), b"0x10", b"1_000", b",", b";", b"#", b"=", b"\t")  # fmt: skip
_VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1 << 63, 10**400, 0.5, float("nan"), float("inf"), "", "x", "\0", "../x",
    "a" * 5000, [], [[]], [None, None], {}, {"x": []}, [1, 2, 3], ["1", "2"],
)  # fmt: skip


def bytes_anywhere(data: bytes, dice: random.Random) -> bytes:
    """Pieces cut off, lost, doubled, moved, blanked; numbers at limits; single bits; more."""
    spoiled = bytearray(data)
    place = dice.randrange(len(data) if dice.random() < 0.5 else min(len(data), 600))
    size = min(len(data) - place, 1 << dice.randrange(9))
    kind = dice.randrange(8)
    if kind == 0:
        del spoiled[place:]
    elif kind == 1:
        del spoiled[place : place + size]
    elif kind == 2:
        spoiled[place:place] = spoiled[place : place + size]
    elif kind == 3:
        other = dice.randrange(len(data))
        spoiled[place : place + size] = spoiled[other : other + size]
    elif kind == 4:
        spoiled[place : place + size] = bytes(size) if dice.random() < 0.5 else dice.randbytes(size)
    elif kind == 5:
        layout = dice.choice(("<", ">")) + dice.choice("HIQ")
        packed = struct.pack(layout, dice.choice(_LIMITS) % (1 << 8 * struct.calcsize(layout)))
        spoiled[place : place + len(packed)] = packed
    elif kind == 6:
        for _ in range(dice.choice((1, 2, 8))):
            spoiled[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    else:
        spoiled += dice.randbytes(size)
    return bytes(spoiled)


def exif_entries(data: bytes, dice: random.Random) -> bytes:
    """Entries of a TIFF structure, wherever one is, of another tag, type, count or value."""
    starts = [m.start() for m in re.finditer(rb"II\*\0|MM\0\*", data)]
    if not starts:
        return bytes_anywhere(data, dice)
    start = dice.choice(starts)
    order = "<" if data[start : start + 1] == b"I" else ">"
    entries = _entries(data, start, order)
    if not entries:
        return bytes_anywhere(data, dice)
    spoiled = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 5))):
        at = dice.choice(entries)
        what = dice.randrange(5)
        if what == 0:
            struct.pack_into(order + "H", spoiled, at, dice.choice(entries) % 0xFFFF)
        elif what == 1:
            struct.pack_into(order + "H", spoiled, at + 2, dice.randrange(15))
        elif what == 2:
            struct.pack_into(order + "I", spoiled, at + 4, dice.choice(_LIMITS) & 0xFFFFFFFF)
        elif what == 3:
            inside = dice.randrange(len(data) - start)
            number = dice.choice((inside, dice.choice(_LIMITS))) & 0xFFFFFFFF
            struct.pack_into(order + "I", spoiled, at + 8, number)
        else:  # another entry's whole content: a pointer to itself, a text where a number was
            other = dice.choice(entries)
            spoiled[at + 2 : at + 12] = data[other + 2 : other + 12]
            place = start + int.from_bytes(
                data[at + 8 : at + 12], "little" if order == "<" else "big"
            )
            if place + 8 <= len(data):  # what it points to: a fraction of 0/0, NaN, infinity
                spoiled[place : place + 8] = dice.choice(
                    (bytes(8), b"\xff" * 8, struct.pack(order + "d", float("nan")),
                     struct.pack(order + "d", float("inf")), struct.pack(order + "II", 1, 0))
                )  # fmt: skip
    return bytes(spoiled)


def _entries(data: bytes, start: int, order: str) -> list[int]:
    """Offsets of all directory entries that can be reached."""
    found: list[int] = []
    ahead = (
        [start + struct.unpack_from(order + "I", data, start + 4)[0]]
        if start + 8 <= len(data)
        else []
    )
    seen = set()
    while ahead:
        at = ahead.pop()
        if at in seen or at + 2 > len(data):
            continue
        seen.add(at)
        count = struct.unpack_from(order + "H", data, at)[0]
        for entry in range(at + 2, at + 2 + 12 * min(count, 200), 12):
            if entry + 12 > len(data):
                break
            found.append(entry)
            tag, _, _, value = struct.unpack_from(order + "HHII", data, entry)
            if tag in (330, 0x8769, 0x8825, 0xA005):
                ahead.append(start + value)
    return found


def png_chunks(data: bytes, dice: random.Random) -> bytes:
    """A PNG whose chunks are damaged, lost, doubled or swapped, all with the right checksum."""
    chunks, at = [], 8
    while at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    if not chunks:
        return bytes_anywhere(data, dice)
    index = dice.randrange(len(chunks))
    kind, body = chunks[index]
    what = dice.randrange(4)
    if what == 0 and body:
        chunks[index] = kind, bytes_anywhere(body, dice)
    elif what == 1:
        del chunks[index]
    elif what == 2:
        chunks.insert(dice.randrange(len(chunks)), (kind, body))
    else:
        name = dice.choice((b"tRNS", b"PLTE", b"gAMA", b"cHRM", b"iCCP", b"eXIf", b"cICP", b"acTL"))
        chunks.insert(1, (name, dice.randbytes(dice.choice((0, 1, 4, 8, 32, 300)))))
    out = [data[:8]]
    for name, body in chunks:
        out.append(struct.pack(">I", len(body)) + name + body)
        out.append(struct.pack(">I", zlib.crc32(name + body)))
    return b"".join(out)


_BOXES = re.compile(
    rb"ftyp|meta|hdlr|pitm|iloc|iinf|infe|iprp|ipco|ipma|ispe|pixi|colr|av1C|hvcC|irot|imir|clap|"
    rb"auxC|iref|idat|mdat|moov|trak|mdia|stbl|stsz|stco|stsc|stts|tkhd|mvhd|jxlc|jxlp|jxll|Exif"
)


def boxes(data: bytes, dice: random.Random) -> bytes:
    """A box of an AVIF, HEIC or JPEG XL file whose length or first fields are at a limit."""
    found = [m.start() for m in _BOXES.finditer(data) if m.start() >= 4]
    if not found:
        return bytes_anywhere(data, dice)
    at = dice.choice(found)
    spoiled = bytearray(data)
    field = at - 4 if dice.random() < 0.4 else at + 4 + dice.randrange(24)
    layout = ">" + dice.choice("BHI")
    number = dice.choice((*_LIMITS, dice.randrange(1 << 16))) % (1 << 8 * struct.calcsize(layout))
    if field + 4 <= len(data):
        struct.pack_into(layout, spoiled, field, number)
    return bytes(spoiled)


def jpeg_segments(data: bytes, dice: random.Random) -> bytes:
    """A JPEG segment whose length or first fields are at a limit, or that is there twice."""
    found, at = [], 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        found.append(at)
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    if not found:
        return bytes_anywhere(data, dice)
    at = dice.choice([*found, *found[-3:]])
    spoiled = bytearray(data)
    if dice.random() < 0.2:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        spoiled[at:at] = data[at:end]
        return bytes(spoiled)
    layout = ">" + dice.choice("BH")
    number = dice.choice(_LIMITS) % (1 << 8 * struct.calcsize(layout))
    struct.pack_into(
        layout, spoiled, min(at + 2 + dice.choice((0, 2, 3, 5, 7, 8)), len(data) - 2), number
    )
    return bytes(spoiled)


def xmp(data: bytes, dice: random.Random) -> bytes:
    """An XMP packet, wherever one is, damaged as text; its length stays, as its container says."""
    start, end = data.find(b"<x:xmpmeta"), data.find(b"</x:xmpmeta>")
    if not 0 <= start < end:
        return bytes_anywhere(data, dice)
    spoiled = data[start:end]
    for _ in range(dice.choice((1, 1, 3))):
        spoiled = text(spoiled.replace(b"><", b">\n<"), dice)
    return data[:start] + spoiled[: end - start].ljust(end - start) + data[end:]


def text(data: bytes, dice: random.Random) -> bytes:
    """Lines lost, doubled, swapped; words and numbers replaced by what nobody expects."""
    lines = data.splitlines(keepends=True) or [b""]
    index = dice.randrange(len(lines))
    what = dice.randrange(5)
    if what == 0:
        del lines[index]
    elif what == 1:
        lines[index:index] = [lines[index]] * dice.choice((1, 2, 3000))
    elif what == 2:
        other = dice.randrange(len(lines))
        lines[index], lines[other] = lines[other], lines[index]
    else:
        words = re.split(rb"([\w.+-]+)", lines[index])
        words[dice.randrange(len(words))] = dice.choice(_WORDS)
        lines[index] = b"".join(words)
    return b"".join(lines)


def json_lines(data: bytes, dice: random.Random) -> bytes:
    """A line of JSON with a value of another type, or with a key gone."""
    lines = data.splitlines()
    index = dice.randrange(len(lines))
    try:
        value = changed(json.loads(lines[index]), dice)
    except ValueError:
        return bytes_anywhere(data, dice)
    lines[index] = json.dumps(value).encode()
    return b"\n".join(lines) + b"\n"


def safetensors_header(data: bytes, dice: random.Random) -> bytes:
    """A safetensors file whose header says something else."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    if dice.random() < 0.5:
        own = header.get("__metadata__", {})
        if own:
            key = dice.choice(list(own))
            own[key] = json.dumps(changed(json.loads(own[key]), dice))
    else:
        header = changed(header, dice)
    packed = json.dumps(header).encode()
    return len(packed).to_bytes(8, "little") + packed + data[8 + length :]


def changed(value: Any, dice: random.Random) -> Any:
    """A JSON value with something in it replaced or gone."""
    if isinstance(value, dict) and value and dice.random() < 0.85:
        key = dice.choice(list(value))
        if dice.random() < 0.15:
            return {k: v for k, v in value.items() if k != key}
        return {**value, key: changed(value[key], dice)}
    if isinstance(value, list) and value and dice.random() < 0.6:
        index = dice.randrange(len(value))
        return [*value[:index], changed(value[index], dice), *value[index + 1 :]]
    return dice.choice(_VALUES)


def damaged(name: str, data: bytes, dice: random.Random) -> bytes:
    """A file's bytes damaged one to three times, in ways that suit its name."""
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        data = data or b"\0"
        try:
            data = dice.choice(for_file(name))(data, dice)
        except (ValueError, struct.error, LookupError, AttributeError):
            # The structure that this damage needs is gone already.
            data = bytes_anywhere(data, dice)
    return data


def for_file(name: str) -> tuple[Damage, ...]:
    """The kinds of damage that a file may get, by its suffix; each as often as it is listed."""
    suffix = name.rpartition(".")[2].lower()
    kinds: dict[str, tuple[Damage, ...]] = {
        "jpg": (exif_entries, jpeg_segments, xmp),
        "png": (exif_entries, png_chunks, png_chunks, xmp),
        "tif": (exif_entries, exif_entries, xmp),
        "dng": (exif_entries, exif_entries, exif_entries),
        "webp": (exif_entries, xmp),
        "avif": (exif_entries, boxes, boxes, xmp),
        "heic": (exif_entries, boxes, boxes),
        "jxl": (exif_entries, boxes),
        "jsonl": (text, json_lines, json_lines),
        "toml": (text, text),
        "csv": (text, text),
        "txt": (text, text),
        "safetensors": (safetensors_header, safetensors_header),
    }
    return (bytes_anywhere, bytes_anywhere, *kinds.get(suffix, ()))

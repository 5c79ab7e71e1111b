"""A writer of TensorFlow 1 checkpoints, for tests of what reads them."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[np.generic]]
_TYPES = {np.dtype(np.float32): 1, np.dtype(np.float64): 2, np.dtype(np.int32): 3}


def varint(value: int) -> bytes:
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def message(field: int, value: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(value)) + value


@cache
def crc_of_byte(value: int) -> int:
    """A bit at a time."""
    for _ in range(8):
        value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
    return value


def crc(data: bytes) -> bytes:
    """CRC-32C as it is stored."""
    value = 0xFFFFFFFF
    for byte in data:
        value = crc_of_byte((value ^ byte) & 0xFF) ^ (value >> 8)
    value ^= 0xFFFFFFFF
    turned = (value >> 15 | value << 17) & 0xFFFFFFFF
    return struct.pack("<I", (turned + 0xA282EAD8) & 0xFFFFFFFF)


def block(entries: Sequence[tuple[bytes, bytes]], every: int) -> bytes:
    """A block, with the keys whole at every so many entries; its trailer too."""
    out, restarts, last = b"", [], b""
    for count, (key, value) in enumerate(entries):
        shared = 0
        if count % every:
            while shared < min(len(key), len(last)) and key[shared] == last[shared]:
                shared += 1
        else:
            restarts.append(len(out))
        out += varint(shared) + varint(len(key) - shared) + varint(len(value))
        out += key[shared:] + value
        last = key
    restarts = restarts or [0]
    out += struct.pack(f"<{len(restarts) + 1}I", *restarts, len(restarts))
    return out + b"\0" + crc(out + b"\0")


def table(entries: Sequence[tuple[bytes, bytes]], per_block: int = 100, every: int = 16) -> bytes:
    out, handles = b"", []
    for start in range(0, len(entries), per_block):
        some = entries[start : start + per_block]
        made = block(some, every)
        handles.append((some[-1][0], varint(len(out)) + varint(len(made) - 5)))
        out += made
    places = b""
    for made in (block([], every), block(handles, 1)):
        places += varint(len(out)) + varint(len(made) - 5)
        out += made
    return out + places.ljust(40, b"\0") + bytes.fromhex("57fb808b247547db")


HEADER = number(1, 1) + message(3, number(1, 1))


def entry(array: NDArray[np.generic], offset: int) -> bytes:
    data = array.tobytes()
    shape = b"".join(message(2, number(1, side)) for side in array.shape)
    return (
        number(1, _TYPES[array.dtype])
        + message(2, shape)
        + number(4, offset)
        + number(5, len(data))
        + varint(6 << 3 | 5)
        + crc(data)
    )


def write(folder: Path, arrays: Arrays, per_block: int = 100, every: int = 16) -> list[Path]:
    entries, data = [(b"", HEADER)], b""
    for name in sorted(arrays, key=lambda name: name.encode()):
        entries.append((name.encode(), entry(arrays[name], len(data))))
        data += arrays[name].tobytes()
    return save(folder, table(entries, per_block, every), data)


def save(folder: Path, index: bytes, data: bytes) -> list[Path]:
    paths = [folder / "model.ckpt.index", folder / "model.ckpt.data-00000-of-00001"]
    for path, content in zip(paths, (index, data), strict=True):
        path.write_bytes(content)
    return paths

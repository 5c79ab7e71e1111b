"""Reading checkpoints of TensorFlow 1 without TensorFlow: NAME.index and NAME.data-00000-of-00001.

The index is a sorted table as LevelDB writes them: blocks of entries whose keys share prefixes with
the key before, an index of the blocks, and a footer that says where this index lies. The value of
the empty key is a BundleHeaderProto, all others are a BundleEntryProto: type, shape, and where in
the data file the array lies, row by row. Both are messages of Protocol Buffers. Blocks and arrays
have a CRC-32C each, which is checked.

Written from these formats: LevelDB's table_format.md, TensorFlow's tensor_bundle.proto. Nothing in
a file is believed: whatever is wrong with one is one line, a WeightsError.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import WeightsError
from ...io.regular import read_regular
from .whole import check_whole, damaged

_INDEX = "the index of a TensorFlow checkpoint"
_DATA = "the data of a TensorFlow checkpoint"
_MAGIC = bytes.fromhex("57fb808b247547db")
_FOOTER_BYTES = 48
# After each block: its type (0 for not compressed) and the CRC of block and type.
_BLOCK_TRAILER_BYTES = 5
_CRC_DELTA = 0xA282EAD8
_CRC_POLYNOMIAL = 0x82F63B78  # Castagnoli's, bits reversed
_DT_FLOAT = 1
# Far above any network here; the CRCs take a second for every 10 MB.
_LARGEST_INDEX = 2**22
_LARGEST_DATA = 2**26
_LONGEST_NAME = 2**10
_MOST_DIMENSIONS = 8


def read_tensorflow_checkpoint(paths: Sequence[Path]) -> dict[str, NDArray[np.float32]]:
    """Read the float32 arrays of a TensorFlow 1 checkpoint, by name; those of other types are left.

    paths: the index and its one data file, in any order, told apart by their names, NAME.index and
        NAME.data-00000-of-00001. Kernels are as in there, see `kernel_of`.
    Raises WeightsError, one line, for every way in which they can be wrong.
    """
    indices = [path for path in paths if path.name.endswith(".index")]
    datas = [path for path in paths if ".data-" in path.name]
    if len(paths) != 2 or len(indices) != 1 or len(datas) != 1:
        found = ", ".join(str(path) for path in paths) or "none"
        raise WeightsError(
            "expected the two files of a TensorFlow checkpoint, NAME.index and "
            f"NAME.data-00000-of-00001, found {found}; give both"
        )
    index = _read(indices[0], _INDEX, _LARGEST_INDEX)
    try:
        entries = dict(_entries(index))
    except _Damaged as error:
        raise damaged(indices[0], _INDEX, error) from None
    data = _read(datas[0], _DATA, _LARGEST_DATA)
    wanted = {name: entry for name, entry in entries.items() if entry.dtype == _DT_FLOAT}
    try:
        if sum(entry.size for entry in wanted.values()) > len(data):
            raise _Damaged(f"arrays of more than its {len(data)} bytes")
        return {name: _array(data, name, entry) for name, entry in wanted.items()}
    except _Damaged as error:
        raise damaged(datas[0], f"{_DATA} that go with its index", error) from None


def kernel_of(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """A kernel (h, w, in, out) as torch has them, (out, in, h, w); other arrays as they are."""
    return np.ascontiguousarray(array.transpose(3, 2, 0, 1)) if array.ndim == 4 else array


@dataclass(frozen=True)
class _Entry:
    """Where an array lies in the data file, and what it is."""

    dtype: int
    shape: tuple[int, ...]
    offset: int
    size: int
    crc: int


class _Damaged(Exception):
    """What is wrong with a file, in a few words."""


def _read(path: Path, wanted: str, largest: int) -> bytes:
    check_whole(path, wanted)
    data = read_regular(path, largest)
    if len(data) > largest:
        raise WeightsError(
            f"{path}: expected {wanted} of at most {largest >> 20} MB, found a larger file; "
            "give the file as its authors published it"
        )
    return data


def _array(data: bytes, name: str, entry: _Entry) -> NDArray[np.float32]:
    wanted = 4 * math.prod(entry.shape)
    if not wanted or entry.size != wanted:
        raise _Damaged(f"{entry.size} bytes of {name[:40]!r} where its shape takes {wanted}")
    if entry.offset + entry.size > len(data):
        raise _Damaged(f"{name[:40]!r} ends after the file's {len(data)} bytes")
    if _masked_crc(data[entry.offset : entry.offset + entry.size]) != entry.crc:
        raise _Damaged(f"{name[:40]!r} has changed since it was written")
    values = np.frombuffer(data, "<f4", wanted // 4, entry.offset)
    return np.array(values.reshape(entry.shape), np.float32)


# ---------------------------------------------------------------------------------------------
# The sorted table
# ---------------------------------------------------------------------------------------------


def _entries(data: bytes) -> Iterator[tuple[str, _Entry]]:
    if len(data) < _FOOTER_BYTES or not data.endswith(_MAGIC):
        raise _Damaged("no table's end")
    footer = _Reader(data[-_FOOTER_BYTES:])
    for _ in range(2):  # where the table's own description lies, which says nothing of arrays
        footer.varint()
    used = 0
    for _, handle in _block(data, footer.varint(), footer.varint()):
        numbers = _Reader(handle)
        offset, size = numbers.varint(), numbers.varint()
        used += size
        if used > len(data):  # an index that names a block again and again
            raise _Damaged("blocks of more bytes than it has")
        for key, value in _block(data, offset, size):
            if not key:
                _check_header(value)
            else:
                yield _as_text(key), _parse_entry(value)


def _block(data: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a block."""
    stop = offset + size
    if stop + _BLOCK_TRAILER_BYTES > len(data) or size < 4:
        raise _Damaged("a block beyond its end")
    kind = data[stop]
    if int.from_bytes(data[stop + 1 : stop + _BLOCK_TRAILER_BYTES], "little") != _masked_crc(
        data[offset : stop + 1]
    ):
        raise _Damaged("a block changed since it was written")
    if kind != 0:
        raise _Damaged("compressed blocks, which TensorFlow 1 does not write")
    # Behind the entries: offsets of those whose keys are whole, and how many.
    restarts = int.from_bytes(data[stop - 4 : stop], "little")
    reader = _Reader(data[offset : max(offset, stop - 4 - 4 * restarts)])
    key = b""
    while reader:
        shared, rest, length = reader.varint(), reader.varint(), reader.varint()
        if shared > len(key) or shared + rest > _LONGEST_NAME:
            raise _Damaged("a name that cannot be")
        key = key[:shared] + reader.take(rest)
        yield key, reader.take(length)


class _Reader:
    """Takes numbers and bytes from the front of a piece of a file, never more than there are."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def __bool__(self) -> bool:
        return self.at < len(self.data)

    def take(self, count: int) -> bytes:
        if count > len(self.data) - self.at:
            raise _Damaged("an entry beyond the end of its block")
        self.at += count
        return self.data[self.at - count : self.at]

    def varint(self) -> int:
        """A number of 7 bits a byte, the lowest first; the highest bit says that more follow."""
        value = 0
        for shift in range(0, 64, 7):
            (byte,) = self.take(1)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & (2**64 - 1)
        raise _Damaged("a number of more than 64 bits")


# ---------------------------------------------------------------------------------------------
# Protocol Buffers
# ---------------------------------------------------------------------------------------------


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field of a message; numbers as they stand, the others as bytes."""
    reader = _Reader(message)
    while reader:
        tag = reader.varint()
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            yield number, reader.varint()
        elif wire == 1:
            yield number, int.from_bytes(reader.take(8), "little")
        elif wire == 2:
            yield number, reader.take(reader.varint())
        elif wire == 5:
            yield number, int.from_bytes(reader.take(4), "little")
        else:
            raise _Damaged(f"a field of the unknown kind {wire}")


def _check_header(message: bytes) -> None:
    """BundleHeaderProto: 1 the number of data files, 2 the order of bytes (0 little-endian)."""
    header: Mapping[int, int | bytes] = dict(_fields(message))
    if header.get(1, 0) != 1:
        raise _Damaged("data in more files than one")
    if header.get(2, 0) != 0:
        raise _Damaged("numbers whose highest byte comes first")


def _parse_entry(message: bytes) -> _Entry:
    """BundleEntryProto: 1 type, 2 shape, 3 data file, 4 offset, 5 bytes, 6 CRC, 7 slices."""
    found: dict[int, int] = {}
    shape: tuple[int, ...] = ()
    for number, value in _fields(message):
        if number == 2 and isinstance(value, bytes):
            shape = _parse_shape(value)
        elif number == 7:
            raise _Damaged("an array in slices instead of a whole one")
        elif isinstance(value, int):
            found[number] = value
    if found.get(3, 0) != 0:
        raise _Damaged(f"an array in the data file {found[3]} of one")
    return _Entry(found.get(1, 0), shape, found.get(4, 0), found.get(5, 0), found.get(6, 0))


def _parse_shape(message: bytes) -> tuple[int, ...]:
    """TensorShapeProto: 2 a side each, of which 1 is the length."""
    sides: list[int] = []
    for number, value in _fields(message):
        if number == 2 and isinstance(value, bytes):
            length = dict(_fields(value)).get(1, 0)
            if not isinstance(length, int):
                raise _Damaged("a side without a length")
            sides.append(length)
            if len(sides) > _MOST_DIMENSIONS:
                raise _Damaged(f"an array of more than {_MOST_DIMENSIONS} dimensions")
    return tuple(sides)


def _as_text(key: bytes) -> str:
    try:
        return key.decode("utf-8")
    except UnicodeDecodeError:
        raise _Damaged("a name that is no text") from None


# ---------------------------------------------------------------------------------------------
# CRC-32C
# ---------------------------------------------------------------------------------------------


def _make_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (_CRC_POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return tuple(table)


_CRC_TABLE = _make_table()


def _masked_crc(data: bytes) -> int:
    """CRC-32C of some bytes as both formats store it: turned by 15 bits, plus a number."""
    crc, table = 0xFFFFFFFF, _CRC_TABLE
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + _CRC_DELTA) & 0xFFFFFFFF

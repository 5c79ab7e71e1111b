"""AV1: the size that a stream says of its pictures, before any is decoded.

Source: AV1 Bitstream & Decoding Process Specification, 5.3 (OBU headers) and 5.5 (sequence header).
"""

from __future__ import annotations

from typing import Final

_SEQUENCE_HEADER: Final = 1


class _Bits:
    """Bits of a sequence header, the most significant first."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        """The next bits as a number; 0 beyond the end."""
        self._left -= count
        return (self._value >> self._left) & ((1 << count) - 1) if self._left >= 0 else 0

    def skip_uvlc(self) -> None:
        """Walk over a number of the variable length code."""
        zeros = 0
        while zeros < 32 and self._left > 0 and not self.take(1):
            zeros += 1
        self.take(zeros)


def largest_picture(data: bytes) -> tuple[int, int]:
    """Width and height of the largest picture that any sequence header tells; 0, 0 without one."""
    largest, place = (0, 0), 0
    while place < len(data):
        head = data[place]
        place += 2 if head & 4 else 1
        size = len(data) - place
        if head & 2:
            size, place = _leb128(data, place)
        if head >> 3 & 15 == _SEQUENCE_HEADER:
            found = _size(_Bits(data[place : place + min(size, 1024)]))
            largest = max(largest, found, key=lambda sides: sides[0] * sides[1])
        place += size
    return largest


def _leb128(data: bytes, place: int) -> tuple[int, int]:
    value = 0
    for k, byte in enumerate(data[place : place + 8]):
        value |= (byte & 127) << 7 * k
        if byte < 128:
            return value, place + k + 1
    return len(data), place


def _size(bits: _Bits) -> tuple[int, int]:
    bits.take(4)  # profile, still picture
    if bits.take(1):  # reduced header
        bits.take(5)
    else:
        _skip_operating_points(bits)
    width_bits, height_bits = bits.take(4) + 1, bits.take(4) + 1
    return bits.take(width_bits) + 1, bits.take(height_bits) + 1


def _skip_operating_points(bits: _Bits) -> None:
    delay_bits = 0
    if bits.take(1):  # timing
        bits.take(64)
        if bits.take(1):
            bits.skip_uvlc()
        if bits.take(1):  # decoder model
            delay_bits = bits.take(5) + 1
            bits.take(42)
    with_delay = bits.take(1)
    for _ in range(bits.take(5) + 1):
        bits.take(12)
        if bits.take(5) > 7:
            bits.take(1)
        if delay_bits and bits.take(1):
            bits.take(2 * delay_bits + 1)
        if with_delay and bits.take(1):
            bits.take(4)

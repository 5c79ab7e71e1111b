"""Checkpoints of TensorFlow 1: what a writer of the format writes is read, and nothing else is."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.tensorflow_files import (
    HEADER,
    Arrays,
    block,
    crc,
    entry,
    message,
    number,
    save,
    table,
    varint,
    write,
)

from ghostless.errors import WeightsError
from ghostless.nn.published_files.tensorflow_checkpoint import (
    kernel_of,
    read_tensorflow_checkpoint,
)

# One folder serves all examples: each writes its files anew.
ANY_FOLDER = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def some_arrays() -> Arrays:
    generator = np.random.default_rng(3)
    shapes = {"net/conv1/kernel": (3, 3, 2, 4), "net/conv1/bias": (4,), "net/scale": ()}
    arrays: dict[str, NDArray[np.generic]] = {
        name: np.asarray(generator.normal(size=shape), np.float32) for name, shape in shapes.items()
    }
    return {**arrays, "net/step": np.asarray(7, np.int32)}


def test_the_checksum_is_the_one_that_the_format_names() -> None:
    # The check value of CRC-32C is 0xE3069283.
    turned = (0xE3069283 >> 15 | 0xE3069283 << 17) & 0xFFFFFFFF
    assert crc(b"123456789") == struct.pack("<I", (turned + 0xA282EAD8) & 0xFFFFFFFF)


@ANY_FOLDER
@given(
    st.dictionaries(
        st.text(min_size=1, max_size=12),
        st.lists(st.integers(1, 4), max_size=4),
        min_size=1,
        max_size=9,
    ),
    st.integers(1, 5),
    st.integers(1, 4),
)
def test_arrays_of_any_names_and_shapes_come_back(
    tmp_path: Path, shapes: dict[str, list[int]], per_block: int, every: int
) -> None:
    generator = np.random.default_rng(1)
    arrays = {
        name: np.asarray(generator.normal(size=shape), np.float32) for name, shape in shapes.items()
    }
    found = read_tensorflow_checkpoint(write(tmp_path, arrays, per_block, every)[::-1])
    assert set(found) == set(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == np.float32
        np.testing.assert_array_equal(found[name], array)


def test_arrays_of_other_types_are_left(tmp_path: Path) -> None:
    found = read_tensorflow_checkpoint(write(tmp_path, some_arrays()))
    assert set(found) == {"net/conv1/kernel", "net/conv1/bias", "net/scale"}


@ANY_FOLDER
@given(st.integers(0, 1), st.integers(0, 10**6), st.integers(1, 255))
def test_no_changed_byte_changes_an_array(
    tmp_path: Path, which: int, place: int, change: int
) -> None:
    arrays = some_arrays()
    paths = write(tmp_path, arrays)
    content = bytearray(paths[which].read_bytes())
    content[place % len(content)] ^= change
    paths[which].write_bytes(content)
    try:
        found = read_tensorflow_checkpoint(paths)
    except WeightsError:
        return
    # In the footer's filling, and in arrays that are not read.
    for name, array in found.items():
        np.testing.assert_array_equal(array, arrays[name])


@ANY_FOLDER
@given(st.integers(0, 1), st.floats(0, 1))
def test_a_file_cut_short_is_refused(tmp_path: Path, which: int, share: float) -> None:
    paths = write(tmp_path, {"a": np.ones(5, np.float32)})
    content = paths[which].read_bytes()
    paths[which].write_bytes(content[: min(len(content) - 1, int(share * len(content)))])
    with pytest.raises(WeightsError, match=paths[which].name.replace(".", r"\.")):
        read_tensorflow_checkpoint(paths)


@ANY_FOLDER
@given(st.binary(max_size=200))
def test_what_only_ends_like_a_table_is_refused(tmp_path: Path, content: bytes) -> None:
    paths = save(tmp_path, content + bytes.fromhex("57fb808b247547db"), b"data")
    with pytest.raises(WeightsError):
        read_tensorflow_checkpoint(paths)


ARRAY = np.ones((2, 3), np.float32)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([(b"", number(1, 2))], "more files than one"),
        ([(b"", number(1, 1) + number(2, 1))], "highest byte"),
        ([(b"", HEADER), (b"\xff", entry(ARRAY, 0))], "no text"),
        ([(b"", HEADER), (b"a", entry(ARRAY, 0) + message(7, b""))], "slices"),
        ([(b"", HEADER), (b"a", number(3, 4) + entry(ARRAY, 0))], "data file 4"),
        ([(b"", HEADER), (b"a", entry(ARRAY, 1))], "ends after"),
        ([(b"", HEADER), (b"a", entry(ARRAY, 2**63))], "ends after"),
        ([(b"", HEADER), (b"a", entry(ARRAY, 0) + number(5, 8))], "its shape takes"),
        ([(b"", HEADER), (b"a", entry(ARRAY, 0) + message(2, b""))], "its shape takes"),
        ([(b"", HEADER), (b"a", varint(1 << 3 | 3))], "unknown kind"),
        ([(b"", HEADER), (b"a", number(1, 1) + message(2, message(2, b"") * 9))], "dimensions"),
        ([(b"", HEADER), (b"a" * 2000, entry(ARRAY, 0))], "name"),
        ([(b"", HEADER), *((bytes([key]), entry(ARRAY, 0)) for key in (97, 98))], "more than its"),
    ],
)
def test_what_an_index_may_not_say_is_told(
    tmp_path: Path, entries: list[tuple[bytes, bytes]], words: str
) -> None:
    paths = save(tmp_path, table(entries), ARRAY.tobytes())
    with pytest.raises(WeightsError, match=words):
        read_tensorflow_checkpoint(paths)


def test_a_side_that_no_memory_holds_is_refused(tmp_path: Path) -> None:
    shape = message(2, number(1, 2**62)) + message(2, number(1, 0))
    claim = number(1, 1) + message(2, shape)
    paths = save(tmp_path, table([(b"", HEADER), (b"a", claim)]), ARRAY.tobytes())
    with pytest.raises(WeightsError, match="its shape takes 0"):
        read_tensorflow_checkpoint(paths)


def test_an_index_that_names_one_block_again_and_again_is_refused(tmp_path: Path) -> None:
    one = block([(b"", HEADER), (b"a", entry(ARRAY, 0))], 1)
    again = block([(b"a", varint(0) + varint(len(one) - 5))] * 1000, 1)
    handles = varint(0) * 2 + varint(len(one)) + varint(len(again) - 5)
    index = one + again + handles.ljust(40, b"\0") + bytes.fromhex("57fb808b247547db")
    # 1000 handles take more bytes than the block, but not a thousand times as many.
    with pytest.raises(WeightsError, match="blocks of more bytes"):
        read_tensorflow_checkpoint(save(tmp_path, index, ARRAY.tobytes()))


@pytest.mark.parametrize("names", [[], ["model.ckpt.index"], ["a.index", "b.index"]])
def test_both_files_are_asked_for(tmp_path: Path, names: list[str]) -> None:
    with pytest.raises(WeightsError, match=r"NAME\.index and NAME\.data"):
        read_tensorflow_checkpoint([tmp_path / name for name in names])


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    paths = write(tmp_path, {"a": ARRAY})
    paths[1].unlink()
    with pytest.raises(WeightsError, match=r"data-00000.*cannot be read"):
        read_tensorflow_checkpoint(paths)


def test_kernels_are_turned_to_the_order_of_torch() -> None:
    kernel = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4)
    assert kernel_of(kernel).shape == (4, 3, 1, 2)
    assert kernel_of(kernel)[3, 1, 0, 1] == kernel[0, 1, 1, 3]
    assert kernel_of(np.ones(4, np.float32)).shape == (4,)


@pytest.mark.parametrize(("folder", "count"), [("u2fusion", 659_217), ("sdnet", 67_091)])
def test_authors_files_are_read(shared: Path, folder: str, count: int) -> None:
    files = sorted((shared / "official" / folder).iterdir())
    assert sum(array.size for array in read_tensorflow_checkpoint(files).values()) == count

"""Exif whose pointers, texts and numbers are of other types than they should be.

Such a tag is passed over in every container, and the picture is written in every format.
"""

from __future__ import annotations

import struct
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from ghostless.bracket import Fused
from ghostless.io.exif import ExifBlock, Value, build_directory, build_exif, parse_exif, rational
from ghostless.io.metadata import metadata_from_bytes
from ghostless.io.read import read_frame, read_image
from ghostless.io.write import write_image

from . import samples
from .samples import picture, pillow_bytes, save

MAKE, MODEL, DESCRIPTION, ORIENTATION, PHOTO, GPS = 0x010F, 0x0110, 0x010E, 0x0112, 0x8769, 0x8825
ZERO_OVER_ZERO = Value(5, 1, bytes(8))
INFINITE, NOT_A_NUMBER = (Value(11, 1, struct.pack("<f", n)) for n in (np.inf, np.nan))
FAR = Value(12, 1, struct.pack("<d", 1e300))
NEGATIVE = Value(9, 1, struct.pack("<i", -8))
WRONG_POINTERS = {
    "0/0": ZERO_OVER_ZERO,
    "1/0": Value(5, 1, struct.pack("<2I", 1, 0)),
    "8/1": rational(8),
    "inf": INFINITE,
    "nan": NOT_A_NUMBER,
    "far": FAR,
    "negative": NEGATIVE,
    "text": Value(2, 5, b"here\0"),
    "bytes": Value(7, 4, b"\xff" * 4),
    "beyond": Value(4, 1, b"\xff" * 4),
}


def exif_of(tags: dict[int, Value]) -> bytes:
    return b"II*\0" + struct.pack("<I", 8) + build_directory(tags, 8)


def swapped(exif: bytes) -> bytes:
    """The same block of fractions, 32-bit numbers and bytes in the other byte order."""
    count = struct.unpack("<H", exif[8:10])[0]
    end = 10 + 12 * count
    entries = struct.iter_unpack("<HHII", exif[10:end])
    rest = struct.iter_unpack("<I", exif[end : end + (len(exif) - end) // 4 * 4])
    head = b"MM\0*" + struct.pack(">IH", 8, count)
    parts = [*(struct.pack(">HHII", *e) for e in entries), *(struct.pack(">I", *n) for n in rest)]
    return head + b"".join(parts)


def in_container(kind: str, exif: bytes) -> bytes:
    if kind == "heic":
        pytest.importorskip("pillow_heif")
        import io

        import pillow_heif
        from PIL import Image

        memory = io.BytesIO()
        pillow_heif.from_pillow(Image.fromarray(picture(64, 64))).save(memory, exif=exif)
        return memory.getvalue()
    if kind == "jxl":
        data = bytes(imagecodecs.jpegxl_encode(picture(64, 64), usecontainer=True))
        at = data.index(b"jxlc") - 4
        box = bytes(4) + exif
        return data[:at] + struct.pack(">I4s", 8 + len(box), b"Exif") + box + data[at:]
    if kind == "avif":
        from ghostless.io.avif import add_facts

        return add_facts(pillow_bytes(picture(64, 64), "AVIF"), exif)
    return pillow_bytes(picture(64, 64), kind, exif=exif)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "avif", "heic", "jxl"])
@pytest.mark.parametrize("wrong", sorted(WRONG_POINTERS))
def test_a_pointer_of_the_wrong_type_is_passed_over(kind: str, wrong: str, tmp_path: Path) -> None:
    exif = exif_of({PHOTO: WRONG_POINTERS[wrong], GPS: WRONG_POINTERS[wrong]})
    for order, block in (("II", exif), ("MM", swapped(exif))):
        path = save(tmp_path, f"{order}.{kind}", in_container(kind, block))
        frame = read_frame(path)
        assert frame.pixels.shape == (64, 64, 3)
        assert frame.metadata.shutter_seconds is None


@pytest.mark.parametrize("wrong", sorted(WRONG_POINTERS))
def test_wrong_pointers_in_the_directories_of_a_tiff(wrong: str, tmp_path: Path) -> None:
    value = WRONG_POINTERS[wrong]
    # Too long to stand in the entry itself, so that it can be made anything.
    room = samples.tiff_bytes(picture(), extratags=[(0xFDE8, 7, 16, b"sixteen bytes...", True)])
    data = value.data if len(value.data) <= 4 else room.index(b"sixteen").to_bytes(4, "little")
    at = room.index(struct.pack("<HHI", 0xFDE8, 7, 16))
    for tag in (PHOTO, GPS, 0x014A):
        entry = struct.pack("<HHI", tag, value.kind, value.count) + data.ljust(4, b"\0")
        whole = room[:at] + entry + room[at + 12 :]
        whole = whole.replace(b"sixteen bytes...", value.data.ljust(16, b"\0"))
        assert np.array_equal(read_frame(save(tmp_path, "a.tif", whole)).pixels, picture())


@pytest.mark.parametrize("wrong", [INFINITE, NOT_A_NUMBER, ZERO_OVER_ZERO, NEGATIVE,
                                   Value(2, 5, b"text\0"), Value(16, 1, b"\xff" * 8),
                                   Value(12, 2, struct.pack("<2d", 1e300, 0))])  # fmt: skip
def test_a_profile_of_a_tiff_of_the_wrong_type_is_passed_over(wrong: Value, tmp_path: Path) -> None:
    profile = (0x8773, 7, 16, b"sixteen bytes...", True)
    data = bytearray(samples.tiff_bytes(picture(), extratags=[profile]))
    at = data.index(struct.pack("<HHI", 0x8773, 7, 16))
    data[at : at + 8] = struct.pack("<HHI", 0x8773, wrong.kind, wrong.count)
    if len(wrong.data) <= 4:
        data[at + 8 : at + 12] = wrong.data.ljust(4, b"\0")
    else:
        start = data.index(profile[3])
        data[start : start + len(wrong.data)] = wrong.data
    frame = read_frame(save(tmp_path, "a.tif", bytes(data)))
    assert np.array_equal(frame.pixels, picture())
    assert frame.metadata.icc_profile is None


@pytest.mark.parametrize("wrong", [ZERO_OVER_ZERO, INFINITE, NOT_A_NUMBER, FAR,
                                   Value(3, 2, b"AB\0\0"), rational(1.5)])  # fmt: skip
def test_texts_and_numbers_of_the_wrong_type(wrong: Value, tmp_path: Path) -> None:
    tags = {MAKE: wrong, MODEL: wrong, DESCRIPTION: wrong, ORIENTATION: wrong, 0x8298: wrong}
    photo = dict.fromkeys((0x829A, 0x829D, 0x8827, 0x9003, 0x9291, 0xA434, 0x9286, 0xA001), wrong)
    gps = dict.fromkeys((0, 1, 2, 3, 4, 29), wrong)
    exif = build_exif(ExifBlock(tags, photo, gps))
    path = save(tmp_path, "a.jpg", in_container("JPEG", exif))
    image = read_image(path)
    assert image.metadata.camera is image.metadata.lens is image.metadata.taken_at is None
    for suffix in (".jpg", ".png", ".tif", ".webp", ".avif"):
        target = tmp_path / f"out{suffix}"
        write_image(image, target)
        block = parse_exif(read_image(target).metadata.exif or b"")
        assert not {MAKE, MODEL, DESCRIPTION, 0x8298} & block.image.keys()
        assert not {0x9003, 0x9291, 0xA434} & block.photo.keys()
        assert not {1, 3, 29} & block.gps.keys()
    linear = Fused(image.pixels, "linear", image.metadata)
    for suffix in (".exr", ".jxl", ".hdr"):
        write_image(linear, tmp_path / f"out{suffix}")


def test_sound_tags_are_carried_into_an_8_bit_avif(tmp_path: Path) -> None:
    block = parse_exif(samples.exif_with())
    target = tmp_path / "out.avif"
    facts = metadata_from_bytes(samples.exif_with()[6:])
    write_image(Fused(picture().astype(np.float32) / 255, "display", facts), target)
    written = parse_exif(read_image(target).metadata.exif or b"")
    assert written.gps == block.gps
    assert {tag: block.photo[tag] for tag in (0x829A, 0x829D, 0x8827, 0x9003)} == {
        tag: written.photo[tag] for tag in (0x829A, 0x829D, 0x8827, 0x9003)
    }
    assert written.image[0x8298].text() == "(c) A. Photographer"


def test_the_cases(shared: Path) -> None:
    odd, heic = samples.case(shared, "exif_pointers"), samples.case(shared, "batch_one_bad_heic")
    for path in (*odd, *heic):
        if path.suffix == ".heic":
            pytest.importorskip("pillow_heif")
        assert read_frame(path).pixels.shape[2] == 3

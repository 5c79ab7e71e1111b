"""Gain-map JPEG: the bytes, the numbers, and what an independent decoder makes of them."""

from __future__ import annotations

import io
import random
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image

from ghostless.bracket import Fused, Metadata
from ghostless.errors import FileReadError, GhostlessError, OptionError, OutputError, SpaceError
from ghostless.io import gainmap, icc
from ghostless.io.gainmap_facts import GainMapFacts
from ghostless.io.headers import Damaged
from ghostless.io.read import ReadSettings, read_frame, read_hdr_image, read_image
from ghostless.io.write import WriteSettings, check_output, write_hdr_image, write_image
from ghostless.pixels import color
from tests import scenes

from . import samples
from .test_write import metadata, overwriting

SRGB = color.srgb_to_linear(np.arange(256) / 255)
QUICK = settings(max_examples=40, deadline=None)
ANY_SIZE = ReadSettings().max_pixels


def renditions(height: int, width: int, seed: int = 5) -> tuple[Fused, Fused]:
    """A picture and its HDR rendition: the same mid-tones, highlights up to 3 stops over white."""
    radiance = scenes.make_radiance(height, width, seed=seed, range_stops=8)
    light = radiance.astype(np.float32) * np.float32(8 / radiance.max())
    picture = color.linear_to_srgb(light * 1.5 / (light + 1))
    return Fused(picture, "display", metadata()), Fused(light, "linear", metadata())


def write(path: Path, height: int, width: int, **how: Any) -> tuple[Fused, Fused]:
    picture, hdr = renditions(height, width)
    write_hdr_image(picture, hdr, path, WriteSettings(**how))
    return picture, hdr


def median_error(found: NDArray[np.float32], wanted: NDArray[np.float32]) -> float:
    assert found.shape == wanted.shape
    return float(np.median(np.abs(found - wanted) / np.maximum(wanted, 1e-3)))


def by_libultrahdr(data: bytes) -> NDArray[np.float32]:
    return np.asarray(imagecodecs.ultrahdr_decode(data)[:, :, :3], np.float32)


def jpegs(data: bytes) -> Iterator[tuple[list[tuple[int, bytes]], bytes]]:
    """The JPEGs of a file, walked without any code of ours: segments, and the rest."""
    place = 0
    while place < len(data):
        assert data[place : place + 2] == b"\xff\xd8"
        place += 2
        segments = []
        while data[place + 1] != 0xDA:
            assert data[place] == 0xFF
            size = struct.unpack(">H", data[place + 2 : place + 4])[0]
            segments.append((data[place + 1], data[place + 4 : place + 2 + size]))
            place += 2 + size
        end = data.index(b"\xff\xd9", place) + 2
        yield segments, data[place:end]
        place = end


def without(data: bytes, name: bytes) -> bytes:
    """The file without the segments that begin with a name."""
    out = b""
    for segments, rest in jpegs(data):
        out += b"\xff\xd8"
        for marker, body in segments:
            if not body.startswith(name):
                out += struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body
        out += rest
    return out


# What an independent decoder makes of it ----------------------------------------------------------


@pytest.mark.parametrize("size", [(200, 301), (257, 64), (64, 257), (96, 96)])
def test_libultrahdr_reads_the_hdr_rendition_back(size: tuple[int, int], tmp_path: Path) -> None:
    _, hdr = write(tmp_path / "a.jpg", *size)
    data = (tmp_path / "a.jpg").read_bytes()
    found = by_libultrahdr(data)
    assert median_error(found, hdr.pixels) < 0.02
    assert found.max() == pytest.approx(float(hdr.pixels.max()), rel=0.05)
    # Either of the two ways to say what the map means is enough, and both say the same.
    for name in (b"urn:iso", b"http://ns.adobe.com/xap"):
        again = by_libultrahdr(without(data, name))
        assert np.abs(again - found).max() <= 0.002 * found.max()


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (1, 9), (30, 41), (3, 8200), (9001, 2)])
def test_any_size_comes_back(size: tuple[int, int], tmp_path: Path) -> None:
    _, hdr = write(tmp_path / "a.jpg", *size)
    assert median_error(read_hdr_image(tmp_path / "a.jpg").pixels, hdr.pixels) < 0.02
    with Image.open(tmp_path / "a.jpg") as image:
        assert image.size == size[::-1]


def test_as_long_as_jpeg_programs_can_read(tmp_path: Path) -> None:
    _, hdr = write(tmp_path / "a.jpg", 65_500, 1)
    assert median_error(read_hdr_image(tmp_path / "a.jpg").pixels, hdr.pixels) < 0.02
    with pytest.raises(OutputError, match=r"at most 65500 pixels, found 65501 x 1"):
        write(tmp_path / "b.jpg", 1, 65_501)
    assert [path.name for path in tmp_path.iterdir()] == ["a.jpg"]


def test_a_display_without_headroom_shows_the_very_picture_that_an_ordinary_jpeg_holds(
    tmp_path: Path,
) -> None:
    picture, _ = write(tmp_path / "hdr.jpg", 90, 121)
    write_image(picture, tmp_path / "sdr.jpg")
    plain = read_frame(tmp_path / "sdr.jpg")
    for found in (
        read_frame(tmp_path / "hdr.jpg").pixels,
        cv2.imread(str(tmp_path / "hdr.jpg"))[:, :, ::-1],
        np.asarray(Image.open(tmp_path / "hdr.jpg")),
        imagecodecs.jpeg8_decode((tmp_path / "hdr.jpg").read_bytes()),
    ):
        assert np.array_equal(found, plain.pixels)
    assert read_image(tmp_path / "hdr.jpg").space == "display"
    with Image.open(tmp_path / "hdr.jpg") as image:
        assert image.format == "JPEG"


def test_low_quality_makes_small_files(tmp_path: Path) -> None:
    for quality in (50, 95):
        write(tmp_path / f"{quality}.jpg", 120, 160, quality=quality)
    sizes = [(tmp_path / f"{quality}.jpg").stat().st_size for quality in (50, 95)]
    assert sizes[0] < sizes[1]


def test_the_map_of_another_program(shared: Path) -> None:
    path = shared / "gainmap" / "spruit_sunrise_4k.hdr.jpg"
    codes, facts = gainmap.read_gain_map(path.read_bytes(), ANY_SIZE)
    assert codes.shape == (2048, 4096, 3)
    assert facts == GainMapFacts((0.0,) * 3, (15.9993,) * 3, 15.9993)


@pytest.mark.slow
def test_the_sample_of_another_program(shared: Path) -> None:
    path = shared / "gainmap" / "spruit_sunrise_4k.hdr.jpg"
    ours, theirs = read_hdr_image(path).pixels, by_libultrahdr(path.read_bytes())
    seen = (theirs > 1e-3) & (theirs < 49)  # libultrahdr ends at 10,000 cd/m2
    assert np.median(np.abs(ours - theirs)[seen] / theirs[seen]) < 0.01
    assert read_image(path).space == "display"


# The bytes ----------------------------------------------------------------------------------------


def test_both_pictures_stand_where_the_index_says(tmp_path: Path) -> None:
    write(tmp_path / "a.jpg", 40, 60)
    data = (tmp_path / "a.jpg").read_bytes()
    with Image.open(tmp_path / "a.jpg") as image:
        index = image._getmp()  # type: ignore[attr-defined]
    assert (index[0xB000], index[0xB001]) == (b"0100", 2)
    first, second = index[0xB002]
    assert first["DataOffset"] == 0
    assert first["Attribute"]["MPType"] == "Baseline MP Primary Image"
    # The second one's offset counts from the index itself.
    start = data.index(b"MPF\0") + 4 + second["DataOffset"]
    assert first["Size"] == start
    assert data[start - 2 : start + 3] == b"\xff\xd9\xff\xd8\xff"
    assert start + second["Size"] == len(data)
    assert imagecodecs.jpeg8_decode(data[start:]).shape == (40, 60, 3)


def test_the_directory_in_xmp_tells_the_length_of_the_map(tmp_path: Path) -> None:
    write(tmp_path / "a.jpg", 40, 60)
    data = (tmp_path / "a.jpg").read_bytes()
    (first, _), (second, _) = jpegs(data)
    packets = [
        [body.decode() for _, body in segments if body.startswith(b"http://ns.adobe.com/xap/1.0/")]
        for segments in (first, second)
    ]
    assert [len(found) for found in packets] == [1, 1]
    lengths = re.findall(r'Item:Semantic="GainMap"[^>]*Item:Length="(\d+)"', packets[0][0])
    assert len(lengths) == 1
    assert data[len(data) - int(lengths[0]) :].startswith(b"\xff\xd8\xff")
    assert data[len(data) - int(lengths[0]) - 2 :].startswith(b"\xff\xd9")
    assert ' hdrgm:Version="1.0"' in packets[0][0]
    assert 'hdrgm:BaseRenditionIsHDR="False"' in packets[1][0]


def test_the_iso_block_field_by_field(tmp_path: Path) -> None:
    _, hdr = write(tmp_path / "a.jpg", 40, 60)
    (first, _), (second, _) = jpegs((tmp_path / "a.jpg").read_bytes())
    name = b"urn:iso:std:iso:ts:21496:-1\0"
    (version,) = [body[28:] for _, body in first if body.startswith(name)]
    (block,) = [body[28:] for _, body in second if body.startswith(name)]
    assert version == bytes(4)
    assert len(block) == 5 + 2 * 8 + 5 * 8
    assert block[:5] == bytes(4) + b"\x40"  # one set of numbers, the picture's own primaries
    headrooms = struct.unpack(">4I", block[5:21])
    assert headrooms[:2] == (0, 1_000_000)
    top = float(np.log2(hdr.pixels.max()))
    assert headrooms[2] / headrooms[3] == pytest.approx(top, abs=1e-5)
    fields = struct.unpack(">iIiIIIIIII", block[21:])
    low, high, gamma, sdr, hdr_offset = (fields[k] / fields[k + 1] for k in range(0, 10, 2))
    assert low < 0 < high
    assert (gamma, sdr, hdr_offset) == (1, 1 / 64, 1 / 64)


def test_exif_and_profile_are_kept(tmp_path: Path) -> None:
    adobe = imagecodecs.cms_profile("adobergb")
    picture, hdr = renditions(30, 41)
    told = Fused(picture.pixels, "display", metadata(adobe))
    write_hdr_image(told, hdr, tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as image:
        assert image.info["icc_profile"] == adobe
        assert image.getexif()[0x0112] == 1
        assert image.getexif()[0x013B] == "A. Photographer"
    frame = read_frame(tmp_path / "a.jpg")
    assert frame.metadata.shutter_seconds == pytest.approx(1 / 125)
    assert frame.metadata.camera == "Ghost Optics Spectre 9"


def test_wide_gamut_pictures_keep_their_colours(tmp_path: Path) -> None:
    """The map is made in the picture's own primaries and under its own curve."""
    adobe = imagecodecs.cms_profile("adobergb")
    picture, hdr = renditions(60, 80)
    told = Metadata(icc_profile=adobe)
    write_hdr_image(
        Fused(picture.pixels, "display", told),
        Fused(hdr.pixels, "linear", told),
        tmp_path / "a.jpg",
    )
    matrix = icc.to_linear_srgb_matrix(adobe)
    wanted = np.maximum(cv2.transform(hdr.pixels, matrix), 0)
    assert median_error(read_hdr_image(tmp_path / "a.jpg").pixels, wanted) < 0.02


def test_a_profile_that_cannot_be_used_is_taken_for_srgb(tmp_path: Path) -> None:
    broken = bytearray(icc.srgb_profile())
    broken[128:132] = (0).to_bytes(4, "big")  # a profile without a single tag
    picture, hdr = renditions(30, 41)
    told = Metadata(icc_profile=bytes(broken))
    write_hdr_image(Fused(picture.pixels, "display", told), hdr, tmp_path / "a.jpg")
    data = (tmp_path / "a.jpg").read_bytes()
    assert median_error(by_libultrahdr(data), hdr.pixels) < 0.03


def test_same_picture_same_file(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        write(tmp_path / name, 40, 60)
    assert (tmp_path / "a.jpg").read_bytes() == (tmp_path / "b.jpg").read_bytes()


# The numbers --------------------------------------------------------------------------------------

STOPS = st.integers(-8_000_000, 8_000_000).map(lambda n: n / 1_000_000)
SHARES = st.integers(1, 4_000_000).map(lambda n: n / 1_000_000)


def triples(values: st.SearchStrategy[float]) -> st.SearchStrategy[tuple[float, ...]]:
    """Three numbers, one for each channel; often the same."""
    return st.one_of(values.map(lambda v: (v, v, v)), st.tuples(values, values, values))


FACTS = st.builds(
    GainMapFacts,
    triples(STOPS),
    triples(STOPS),
    SHARES,
    triples(SHARES),
    triples(SHARES),
    triples(SHARES),
    SHARES,
)


@given(facts=FACTS)
@QUICK
def test_both_descriptions_come_back_exactly(facts: GainMapFacts) -> None:
    assert gainmap.parse_iso_block(gainmap.iso_block(facts)) == facts
    assert gainmap.parse_xmp_of_map(gainmap.xmp_of_map(facts)) == facts


@given(
    hdr=arrays(np.float32, (5, 7, 3), elements=st.floats(0, 16, width=32)),
    codes=arrays(np.uint8, (5, 7, 3)),
)
@QUICK
def test_a_map_misses_by_half_a_code_at_most(
    hdr: NDArray[np.float32], codes: NDArray[np.uint8]
) -> None:
    made, facts = gainmap.make_gain_map(codes, hdr, SRGB)
    back = gainmap.apply_gain_map(codes, made, facts, SRGB)
    step_stops = (facts.max_stops[0] - facts.min_stops[0]) / 255
    wanted, found = np.log2(hdr + 1 / 64), np.log2(back + 1 / 64)
    assert np.abs(found - wanted).max() <= step_stops / 2 + 1e-3


@given(share=st.floats(0, 1), data=st.data())
@QUICK
def test_more_headroom_never_shows_less_of_a_highlight(share: float, data: st.DataObject) -> None:
    codes = data.draw(arrays(np.uint8, (4, 4, 3)))
    made = data.draw(arrays(np.uint8, (4, 4, 3)))
    facts = GainMapFacts((0.0,) * 3, (3.0,) * 3, 3.0)
    none, some, whole = (
        gainmap.apply_gain_map(codes, made, facts, SRGB, headroom)
        for headroom in (0.0, 3 * share, None)
    )
    assert np.abs(none - SRGB[codes]).max() < 1e-6
    assert (some >= none - 1e-6).all()
    assert (whole >= some - 1e-5).all()


def test_one_outlier_does_not_coarsen_the_map() -> None:
    codes = np.full((200, 200, 3), 128, np.uint8)
    hdr = np.full((200, 200, 3), SRGB[128], np.float32)
    hdr[:100] *= 2
    hdr[7, 7] = 0  # 1 of 40,000 pixels, far below all others
    _, facts = gainmap.make_gain_map(codes, hdr, SRGB)
    assert facts.min_stops[0] == pytest.approx(0, abs=0.05)
    assert facts.max_stops[0] == pytest.approx(1, abs=0.1)


def test_a_picture_without_highlights_has_a_map_too(tmp_path: Path) -> None:
    for number, level in enumerate((0.0, 0.2, 1.0)):
        grey = np.full((9, 9, 3), level, np.float32)
        path = tmp_path / f"{number}.jpg"
        write_hdr_image(Fused(color.linear_to_srgb(grey), "display"), Fused(grey, "linear"), path)
        assert np.abs(read_hdr_image(path).pixels - grey).max() < 0.02
        gainmap.read_gain_map(path.read_bytes(), ANY_SIZE)


def test_maps_of_other_programs() -> None:
    """One channel, half the size, a common denominator, numbers left out of the XMP."""
    block = struct.pack(">HHBIII", 0, 0, 0x48, 1000, 0, 2000)
    block += struct.pack(">iiIII", -500, 2500, 1000, 16, 16)
    facts = gainmap.parse_iso_block(block)
    assert facts == GainMapFacts(
        (-0.5,) * 3, (2.5,) * 3, 2.0, (1.0,) * 3, (0.016,) * 3, (0.016,) * 3
    )
    short = gainmap.parse_xmp_of_map(
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF'
        b' xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description'
        b' xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0"'
        b' hdrgm:GainMapMax="3.5" hdrgm:HDRCapacityMax="3"/></rdf:RDF></x:xmpmeta>'
    )
    assert short == GainMapFacts((0.0,) * 3, (3.5,) * 3, 3.0)
    codes = np.full((6, 9, 3), 200, np.uint8)
    half = np.full((3, 5), 255, np.uint8)
    wanted = (SRGB[200] + 1 / 64) * 2**3.5 - 1 / 64
    assert gainmap.apply_gain_map(codes, half, short, SRGB) == pytest.approx(wanted, rel=1e-4)


def test_orientation_turns_the_map_with_the_picture(tmp_path: Path) -> None:
    picture, hdr = renditions(24, 40)
    codes = np.rint(picture.pixels * 255).astype(np.uint8)
    made, facts = gainmap.make_gain_map(codes, hdr.pixels, SRGB)
    second = gainmap.encode_gain_map(made, facts, 100)
    exif = samples.exif_with(6)
    segment = struct.pack(">BBH", 0xFF, 0xE1, len(exif) + 2) + exif
    plain = bytes(imagecodecs.jpeg8_encode(codes, level=100, subsampling="444"))
    path = samples.save(tmp_path, "a.jpg", b"".join(gainmap.join_jpegs(plain, [segment], second)))
    found = read_hdr_image(path).pixels
    assert median_error(found, np.ascontiguousarray(np.rot90(hdr.pixels, -1))) < 0.03


# What cannot be -----------------------------------------------------------------------------------


def test_formats_without_hdr_are_answered_with_those_that_have_it(tmp_path: Path) -> None:
    for name in ("a.png", "a.tif", "a.webp"):
        with pytest.raises(
            OptionError, match=r"holds HDR, found .*\.jpg, \.jpeg, \.avif, \.hdr, \.exr, \.jxl"
        ):
            check_output(tmp_path / name, hdr=True)
    for name, depth in (("a.jpg", 10), ("a.avif", 8)):
        with pytest.raises(OptionError, match="depth of"):
            check_output(tmp_path / name, WriteSettings(depth=depth), hdr=True)
    for name in ("a.jpg", "a.avif", "a.exr", "a.hdr", "a.jxl"):
        check_output(tmp_path / name, hdr=True)


def test_what_is_no_pair_is_refused(tmp_path: Path) -> None:
    picture, hdr = renditions(30, 41)
    out = tmp_path / "a.jpg"
    with pytest.raises(SpaceError, match="expected a linear image"):
        write_hdr_image(picture, picture, out)
    with pytest.raises(SpaceError, match="expected a display image"):
        write_hdr_image(hdr, hdr, out)
    with pytest.raises(OptionError, match="one size, found 41 x 30 and 40 x 30"):
        write_hdr_image(picture, Fused(hdr.pixels[:, 1:], "linear"), out)
    broken = hdr.pixels.copy()
    broken[3, 4, 1] = np.nan
    with pytest.raises(OutputError, match="finite"):
        write_hdr_image(picture, Fused(broken, "linear"), out)
    assert not list(tmp_path.iterdir())


def test_a_file_is_there_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "a.jpg", 20, 30)
    before = (tmp_path / "a.jpg").read_bytes()
    with pytest.raises(OutputError, match="exists"):
        write(tmp_path / "a.jpg", 20, 30)

    def fail(*_: object) -> list[bytes]:
        return [b"half a pict", 7]  # type: ignore[list-item]

    monkeypatch.setattr(gainmap, "join_jpegs", fail)
    picture, hdr = renditions(20, 30)
    with pytest.raises(TypeError):
        write_hdr_image(picture, hdr, tmp_path / "a.jpg", overwriting())
    with pytest.raises(TypeError):
        write_hdr_image(picture, hdr, tmp_path / "b.jpg")
    assert (tmp_path / "a.jpg").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.jpg"]


def test_reading_what_has_no_map(tmp_path: Path) -> None:
    picture, hdr = renditions(20, 30)
    write_image(picture, tmp_path / "a.jpg")
    with pytest.raises(FileReadError, match=r"a\.jpg: expected a JPEG with a gain map"):
        read_hdr_image(tmp_path / "a.jpg")
    write_image(picture, tmp_path / "a.png")
    with pytest.raises(SpaceError):
        read_hdr_image(tmp_path / "a.png")
    write_image(hdr, tmp_path / "a.exr")
    assert read_hdr_image(tmp_path / "a.exr").pixels.shape == (20, 30, 3)


def test_a_map_far_larger_than_any_picture_is_not_decoded(tmp_path: Path) -> None:
    write(tmp_path / "a.jpg", 20, 30)
    data = bytearray((tmp_path / "a.jpg").read_bytes())
    at = data.rindex(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", 65_000, 65_000)
    (tmp_path / "a.jpg").write_bytes(data)
    with pytest.raises(FileReadError, match="65000 x 65000 pixels"):
        read_hdr_image(tmp_path / "a.jpg")


@pytest.mark.parametrize(
    "block",
    [b"", bytes(4), b"\0\1" + bytes(60), bytes(4) + b"\xc0" + bytes(136), bytes(4) + b"\x48"],
)
def test_damaged_iso_blocks(block: bytes) -> None:
    with pytest.raises(Damaged):
        gainmap.parse_iso_block(block)


@pytest.mark.parametrize(
    "change",
    [
        lambda xmp: xmp[:-20],
        lambda xmp: xmp.replace(b"GainMapMax", b"GainMapMix"),
        lambda xmp: xmp.replace(b'IsHDR="False"', b'IsHDR="True"'),
        lambda xmp: re.sub(rb"<rdf:li>[0-9.]+", b"<rdf:li>nan", xmp),
        lambda xmp: re.sub(rb"<rdf:li>[0-9.]+", b"<rdf:li>lots", xmp),
        lambda xmp: b'<!DOCTYPE x [<!ENTITY a "b">]>' + xmp,
    ],
)
def test_damaged_xmp(change: Any) -> None:
    xmp = gainmap.xmp_of_map(GainMapFacts((0.0,) * 3, (3.0, 2.0, 1.0), 3.0))
    gainmap.parse_xmp_of_map(xmp)
    with pytest.raises(Damaged):
        gainmap.parse_xmp_of_map(change(xmp))


def test_damaged_files_give_a_picture_or_one_clear_error(tmp_path: Path) -> None:
    write(tmp_path / "a.jpg", 24, 40)
    data = (tmp_path / "a.jpg").read_bytes()
    second = data.index(b"\xff\xd9\xff\xd8") + 2
    dice = random.Random(7)
    refused = 0
    for _ in range(150):
        spoiled = bytearray(data)
        for _ in range(dice.choice((1, 4, 16))):
            start = dice.choice((0, 1200, second))
            spoiled[start + dice.randrange(900)] = dice.choice((0, 1, 255, dice.randrange(256)))
        path = samples.save(
            tmp_path, "b.jpg", bytes(spoiled[: dice.choice((None, None, len(data) // 2))])
        )
        try:
            assert read_hdr_image(path).pixels.ndim == 3
        except GhostlessError as error:
            assert str(path) in str(error)  # noqa: PT017
            assert "\n" not in str(error)  # noqa: PT017
            refused += 1
    assert refused > 20


def test_the_map_is_tried_on_tiles_of_a_large_picture() -> None:
    """Tiles are taken at the same places from all arrays, and hold whole blocks of JPEG's."""
    large = np.arange(1500 * 1700, dtype=np.int64).reshape(1500, 1700)
    tiles = gainmap._tiles(large)
    assert tiles.shape == (64 * 128, 128)
    assert {(int(v) // 1700 % 8, int(v) % 1700 % 8) for v in tiles[::128, 0]} == {(0, 0)}
    assert np.array_equal(gainmap._tiles(large[:40, :50]), large[:40, :50])
    assert gainmap._tiles(large[:1]).shape == (1, 1700)


def test_a_smooth_picture_needs_less_quality_than_leaves() -> None:
    def least_quality(texture: float) -> int:
        noise = np.random.default_rng(0).standard_normal((256, 256, 3)).astype(np.float32)
        y = np.mgrid[:256, :256][0][:, :, None].astype(np.float32) / 256
        hdr = np.exp2(3 * y + texture * noise)
        codes = np.rint(255 * color.linear_to_srgb(hdr / 16)).astype(np.uint8)
        made, facts = gainmap.make_gain_map(codes, hdr**1.3, SRGB)
        return gainmap.map_quality(codes, hdr**1.3, made, facts, SRGB)

    assert least_quality(0.0) < least_quality(1.0)


def test_bytes_of_a_jpeg_file_open_from_memory_too(tmp_path: Path) -> None:
    write(tmp_path / "a.jpg", 24, 40)
    with Image.open(io.BytesIO((tmp_path / "a.jpg").read_bytes())) as image:
        assert image.size == (40, 24)

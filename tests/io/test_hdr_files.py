"""AVIF with the PQ curve and JPEG XL: tags, light, metadata, and headers field by field."""

from __future__ import annotations

import struct
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ghostless.bracket import Fused, Metadata
from ghostless.errors import FileReadError, OptionError
from ghostless.io import icc
from ghostless.io.avif import add_facts
from ghostless.io.containers import read_header
from ghostless.io.exr import BT709_CHROMATICITIES, rgb_to_xyz
from ghostless.io.headers import Damaged
from ghostless.io.jpegxl import read_jpegxl_header
from ghostless.io.read import read_frame, read_hdr_image, read_image
from ghostless.io.write import WriteSettings, write_hdr_image, write_image
from ghostless.pixels import color

from . import samples
from .test_gainmap import median_error, renditions
from .test_write import metadata

BT2020 = (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, 0.3127, 0.3290)


# The PQ curve and BT.2020 -------------------------------------------------------------------------


def test_the_pq_curve_at_the_values_of_its_standard() -> None:
    """SMPTE ST 2084 and BT.2408: codes of 10 bits, full range, for some luminances."""
    codes = color.pq_encode(np.float32([0, 0.1, 1, 10, 100, 203, 1000, 4000, 10000])) * 1023
    assert np.rint(codes).tolist() == [0, 64, 153, 307, 520, 594, 769, 923, 1023]


@given(st.floats(0.005, 10_000))
@settings(max_examples=60, deadline=None)
def test_pq_comes_back(nits: float) -> None:
    assert float(color.pq_decode(color.pq_encode(np.float32([nits])))[0]) == pytest.approx(
        nits, rel=2e-3
    )


def test_the_matrix_to_bt2020_is_that_of_its_primaries() -> None:
    wanted = np.linalg.solve(rgb_to_xyz(BT2020), rgb_to_xyz(BT709_CHROMATICITIES))
    assert np.abs(color.BT2020_FROM_BT709 - wanted).max() < 1e-4
    assert color.BT2020_FROM_BT709.sum(axis=1) == pytest.approx(1, abs=1e-4)


# AVIF ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [None, 10, 12])
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (90, 121)])
def test_avif_holds_the_light_of_the_rendition(
    size: tuple[int, int], depth: int | None, tmp_path: Path
) -> None:
    picture, hdr = renditions(*size)
    write_hdr_image(picture, hdr, tmp_path / "a.avif", WriteSettings(100, depth))
    header = read_header((tmp_path / "a.avif").read_bytes(), "avif")
    assert (header.primaries, header.transfer, header.bits) == (9, 16, depth or 10)
    # An independent decoder's codes, brought to light by the formulas of the standards.
    codes = imagecodecs.avif_decode((tmp_path / "a.avif").read_bytes())
    light = (
        color.pq_decode(codes / ((1 << (depth or 10)) - 1))
        / 203
        @ np.linalg.solve(rgb_to_xyz(BT709_CHROMATICITIES), rgb_to_xyz(BT2020)).T
    )
    assert median_error(light.astype(np.float32), hdr.pixels) < 0.03
    ours = read_image(tmp_path / "a.avif")
    assert ours.space == "linear"
    assert median_error(ours.pixels, hdr.pixels) < 0.03
    assert median_error(read_hdr_image(tmp_path / "a.avif").pixels, hdr.pixels) < 0.03


def test_white_of_the_picture_is_at_203_nits(tmp_path: Path) -> None:
    white = np.ones((16, 16, 3), np.float32)
    write_hdr_image(Fused(white, "display"), Fused(white, "linear"), tmp_path / "a.avif")
    codes = imagecodecs.avif_decode((tmp_path / "a.avif").read_bytes())
    assert np.abs(codes.astype(int) - 594).max() <= 1


def test_wide_gamut_stays_wide(tmp_path: Path) -> None:
    """Adobe RGB's green lies outside sRGB; BT.2020 holds it."""
    told = Metadata(icc_profile=imagecodecs.cms_profile("adobergb"))
    green = np.zeros((16, 16, 3), np.float32)
    green[:] = (0, 1, 0)
    write_hdr_image(
        Fused(green, "display", told), Fused(green, "linear", told), tmp_path / "a.avif"
    )
    codes = imagecodecs.avif_decode((tmp_path / "a.avif").read_bytes())[8, 8]
    light = color.pq_decode(codes / 1023) / 203
    adobe = icc.to_linear_srgb_matrix(told.icc_profile or b"")
    assert adobe is not None
    assert light == pytest.approx(color.BT2020_FROM_BT709 @ adobe @ [0, 1, 0], abs=0.02)
    assert light.min() >= 0


def test_avif_says_the_light_levels_and_keeps_exif(tmp_path: Path) -> None:
    light = np.full((20, 30, 3), 0.5, np.float32)
    light[:2] = 10
    grey = Fused(np.full((20, 30, 3), 0.5, np.float32), "display", metadata())
    write_hdr_image(grey, Fused(light, "linear"), tmp_path / "a.avif")
    data = (tmp_path / "a.avif").read_bytes()
    at = data.index(b"clli") + 4
    brightest, average = struct.unpack(">HH", data[at : at + 4])
    assert brightest == pytest.approx(2030, abs=2)
    assert average == pytest.approx(203 * (0.9 * 0.5 + 0.1 * 10), abs=2)
    with Image.open(tmp_path / "a.avif") as image:  # libavif, by way of Pillow
        image.load()
        assert image.size == (30, 20)
        assert image.getexif()[0x013B] == "A. Photographer"
    assert read_frame(tmp_path / "a.avif").metadata.shutter_seconds == pytest.approx(1 / 125)


def test_an_avif_laid_out_in_another_way_is_left_alone() -> None:
    whole = samples.pillow_bytes(samples.picture(), "AVIF", exif=samples.exif_with(1))
    assert add_facts(whole, b"II*\0") == whole  # it has an Exif block
    assert add_facts(b"no avif at all", b"II*\0") == b"no avif at all"


def test_hlg_is_still_refused(tmp_path: Path) -> None:
    data = imagecodecs.avif_encode(
        np.zeros((8, 8, 3), np.uint16), bitspersample=10, primaries=9, transfer=18, matrix=9
    )
    with pytest.raises(FileReadError, match="HLG"):
        read_frame(samples.save(tmp_path, "a.avif", bytes(data)))


# JPEG XL ------------------------------------------------------------------------------------------


def test_jpeg_xl_is_linear_and_lossless_for_other_programs_too(tmp_path: Path) -> None:
    _, hdr = renditions(30, 41)
    write_image(hdr, tmp_path / "a.jxl", WriteSettings(depth=32))
    data = (tmp_path / "a.jxl").read_bytes()
    assert np.array_equal(imagecodecs.jpegxl_decode(data), hdr.pixels)
    header = read_jpegxl_header(data)
    assert (header.transfer, header.primaries, header.floats, header.bits) == (8, 1, True, 32)
    frame = read_frame(tmp_path / "a.jxl")
    assert frame.transfer == "linear"
    assert frame.metadata.camera == "Ghost Optics Spectre 9"
    assert frame.metadata.shutter_seconds == pytest.approx(1 / 125)
    with pytest.raises(OptionError, match="16 or 32 bits, found 8"):
        write_image(hdr, tmp_path / "b.jxl", WriteSettings(depth=8))


def test_pictures_of_codes_read_as_display(tmp_path: Path) -> None:
    data = imagecodecs.jpegxl_encode(samples.picture()[:, :, 0], lossless=True)
    grey = read_image(samples.save(tmp_path, "a.jxl", data))
    assert grey.space == "display"
    assert np.abs(grey.pixels[:, :, 1] - samples.picture()[:, :, 0] / 255).max() < 1e-6
    two = np.stack([samples.picture(), samples.picture(seed=1)])
    data = imagecodecs.jpegxl_encode(two, lossless=True, photometric="rgb")
    path = samples.save(tmp_path, "b.jxl", data)
    assert np.array_equal(read_frame(path).pixels, samples.picture())
    assert any("the first was taken" in note for note in read_image(path).notes)


@given(height=st.integers(1, 300), width=st.integers(1, 300))
@settings(max_examples=25, deadline=None)
def test_sizes_stand_in_the_first_bits(height: int, width: int) -> None:
    data = imagecodecs.jpegxl_encode(np.zeros((height, width, 3), np.uint8), lossless=True)
    header = read_jpegxl_header(data)
    assert (header.height, header.width) == (height, width)


class Bits:
    """Writes a codestream's header by hand: (value, bits) from the lowest bit on."""

    def __init__(self) -> None:
        self.value, self.count = 0, 0

    def put(self, *fields: tuple[int, int]) -> Bits:
        for value, bits in fields:
            self.value |= value << self.count
            self.count += bits
        return self

    def header(self) -> bytes:
        return b"\xff\x0a" + self.value.to_bytes(self.count // 8 + 40, "little")


def start(*extra: tuple[int, int]) -> Bits:
    """Size 64 x 96 (height x width, ratio 3:2), then ImageMetadata that is not all default."""
    return Bits().put((1, 1), (7, 5), (4, 3), (0, 1), *extra)


ENUM_9, ENUM_11 = ((2, 2), (7, 4)), ((2, 2), (9, 4))
PLAIN_8_BITS = ((0, 1), (0, 2), (1, 1), (0, 2), (0, 1))  # depth, buffers, extra channels, xyb


def test_headers_of_other_encoders() -> None:
    pq = start(
        (0, 1), *PLAIN_8_BITS, (0, 1), (0, 1), (0, 2), (1, 2), *ENUM_9, (0, 1), (2, 2), (14, 4)
    )
    header = read_jpegxl_header(pq.header())
    assert (header.height, header.width) == (64, 96)
    assert (header.primaries, header.transfer, header.bits) == (9, 16, 8)
    turned = start((1, 1), (5, 3), (0, 3), *PLAIN_8_BITS, (1, 1))
    header = read_jpegxl_header(turned.header())
    assert (header.height, header.width) == (96, 64)
    p3 = start((0, 1), *PLAIN_8_BITS, (0, 1), (0, 1), (0, 2), (1, 2), *ENUM_11, (1, 1), (0, 24))
    assert read_jpegxl_header(p3.header()).primaries == 12
    # A preview, an animation, 10 bits, an alpha and a depth channel with a name.
    much = start((1, 1), (0, 3), (0, 1), (1, 1), (1, 1), (0, 2), (1, 3), (1, 1), (0, 2), (0, 2))
    much.put((0, 2), (0, 1), (0, 1), (1, 2), (1, 1), (2, 2), (0, 4), (1, 1))
    much.put((0, 1), (1, 2), (0, 1), (0, 2), (0, 2), (1, 2), (2, 4), (0, 16))
    header = read_jpegxl_header(much.put((1, 1), (1, 1)).header())
    assert (header.pages, header.bits) == (2, 10)
    profile = start((0, 1), *PLAIN_8_BITS, (0, 1), (1, 1), (0, 2))
    assert not read_jpegxl_header(profile.header()).described


def test_jpeg_xl_headers_that_cannot_be_used() -> None:
    xyb = start((0, 1), *PLAIN_8_BITS, (0, 1), (0, 1), (2, 2), (0, 4))
    with pytest.raises(FileReadError, match="another colour space"):
        read_jpegxl_header(xyb.header())
    with pytest.raises(Damaged, match="before its header"):
        read_jpegxl_header(b"\xff\x0a\x00")
    with pytest.raises(Damaged, match="pixels are missing"):
        read_jpegxl_header(b"\0\0\0\x0cJXL \r\n\x87\n")

"""Writing: every format and depth round-trips, metadata and profile survive."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import exifread
import imagecodecs
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image

from ghostless.bracket import Frame, Fused, Metadata
from ghostless.errors import OptionError, OutputError, SpaceError
from ghostless.io import icc
from ghostless.io.exif import parse_exif
from ghostless.io.metadata import metadata_from_bytes
from ghostless.io.read import read_frame, read_image
from ghostless.io.write import (
    WriteSettings,
    check_output,
    space_of,
    write_frame,
    write_image,
    write_mask,
    write_text,
)

from . import samples
from .samples import picture

QUICK = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
SIDES = st.sampled_from([(1, 1), (7, 5), (5, 7), (1, 9), (16, 16), (33, 17)])


def display(height: int = 30, width: int = 41) -> NDArray[np.float32]:
    return picture(height, width).astype(np.float32) / np.float32(255)


def metadata(profile: bytes | None = None) -> Metadata:
    return metadata_from_bytes(samples.exif_with(6)[6:], profile)


def overwriting(**how: int) -> WriteSettings:
    return WriteSettings(overwrite=True, **how)


# Round trips --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("suffix", "depth"), [(".png", 8), (".png", 16), (".tif", 8),
                                               (".tiff", 16), (".tif", 32)])  # fmt: skip
@given(data=st.data())
@QUICK
def test_lossless_display_round_trips(
    suffix: str, depth: int, tmp_path: Path, data: st.DataObject
) -> None:
    shape = (*data.draw(SIDES), 3)
    values = data.draw(arrays(np.float32, shape, elements=st.floats(-0.5, 1.5, width=32)))
    path = tmp_path / f"out{suffix}"
    write_image(Fused(values, "display"), path, overwriting(depth=depth))
    image = read_image(path)
    levels = {8: 255, 16: 65535, 32: 2**24}[depth]
    assert image.space == "display"
    assert np.abs(image.pixels - np.clip(values, 0, 1)).max() <= 0.5 / levels + 1.2e-7
    frame = read_frame(path)
    assert frame.pixels.dtype == {8: np.uint8, 16: np.uint16, 32: np.float32}[depth]
    # What was written once is written the same again.
    write_image(image, path, overwriting(depth=depth))
    assert np.array_equal(read_frame(path).pixels, frame.pixels)


@pytest.mark.parametrize(
    ("suffix", "depth", "mean_error"),
    [(".jpg", 8, 0.01), (".jpeg", 8, 0.01), (".webp", 8, 0.02), (".avif", 8, 0.02),
     (".avif", 10, 0.02), (".avif", 12, 0.02)],
)  # fmt: skip
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (30, 41), (17, 64)])
def test_lossy_display_round_trips(
    suffix: str, depth: int, mean_error: float, size: tuple[int, int], tmp_path: Path
) -> None:
    path = tmp_path / f"out{suffix}"
    write_image(Fused(display(*size), "display"), path, WriteSettings(98, depth))
    image = read_image(path)
    assert image.pixels.shape == (*size, 3)
    tiny = size == (7, 5)  # a few blocks of chroma, and half of them padding
    assert np.abs(image.pixels - display(*size)).mean() < mean_error * (4 if tiny else 1)
    assert read_frame(path).pixels.dtype == (np.uint8 if depth == 8 else np.uint16)


@pytest.mark.parametrize(("suffix", "depth"), [(".exr", 16), (".exr", 32), (".jxl", 16),
                                               (".jxl", 32), (".hdr", None)])  # fmt: skip
@given(data=st.data())
@QUICK
def test_linear_round_trips(
    suffix: str, depth: int | None, tmp_path: Path, data: st.DataObject
) -> None:
    shape = (*data.draw(SIDES), 3)
    exponents = data.draw(arrays(np.float32, shape, elements=st.floats(-12, 15.5, width=32)))
    values = np.exp2(exponents)
    path = tmp_path / f"out{suffix}"
    write_image(Fused(values, "linear"), path, overwriting(depth=depth))  # type: ignore[arg-type]
    image = read_image(path)
    assert image.space == "linear"
    error = np.abs(image.pixels - values)
    if depth == 32:
        assert error.max() == 0
    elif depth == 16:
        assert (error / values).max() <= 2.0**-11
    else:  # eight bits of the brightest channel
        assert (error / values.max(axis=2, keepdims=True)).max() <= 2.0**-8


def test_rounding_is_to_the_nearest_code_and_without_dither(tmp_path: Path) -> None:
    values = np.full((2, 64, 3), 0.5004, np.float32)
    write_image(Fused(values, "display"), tmp_path / "a.png")
    assert np.unique(read_frame(tmp_path / "a.png").pixels).tolist() == [128]
    grey = np.full((4, 8, 3), 1.0042, np.float32)  # 128.54 of 1/128: rounds up
    write_image(Fused(grey, "linear"), tmp_path / "a.hdr")
    assert read_frame(tmp_path / "a.hdr").pixels[0, 0, 0] == pytest.approx(1.0078, abs=1e-4)
    top = np.full((4, 8, 3), 0.9999, np.float32)  # rounds up to the next exponent, so that
    top[:, :, 1] = 0.5058  # this is 64.74 of 1/128
    write_image(Fused(top, "linear"), tmp_path / "b.hdr")
    assert read_frame(tmp_path / "b.hdr").pixels[0, 0].tolist() == [1.0, 65 / 128, 1.0]


def test_black_and_huge_radiance(tmp_path: Path) -> None:
    light = np.zeros((3, 9, 3), np.float32)
    light[1] = 1e5
    for name in ("a.hdr", "a.exr", "a.jxl"):  # half floats end at 65504, so full ones are written
        write_image(Fused(light, "linear"), tmp_path / name)
        back = read_frame(tmp_path / name).pixels
        assert np.abs(back / np.float32(1e5) - light / np.float32(1e5)).max() < 0.004
    for name in ("b.exr", "b.jxl"):
        write_image(Fused(light, "linear"), tmp_path / name, WriteSettings(depth=16))
        assert read_frame(tmp_path / name).pixels.max() == 65504


def test_other_programs_read_what_is_written(tmp_path: Path) -> None:
    import cv2

    image = Fused(display(), "display", metadata())
    for name, depth in (("a.jpg", 8), ("a.png", 8), ("a.tif", 8), ("a.webp", 8), ("a.avif", 8)):
        write_image(image, tmp_path / name, WriteSettings(depth=depth))
        with Image.open(tmp_path / name) as opened:
            opened.load()
            assert opened.mode == "RGB"
            assert np.abs(np.asarray(opened) / 255.0 - display()).mean() < 0.03
    for name in ("b.png", "b.tif"):
        write_image(image, tmp_path / name, WriteSettings(depth=16))
        deep = cv2.imread(str(tmp_path / name), cv2.IMREAD_UNCHANGED)
        assert deep.dtype == np.uint16
        assert np.abs(deep[:, :, ::-1] / 65535 - display()).max() < 1e-4
    write_image(Fused(display(), "linear"), tmp_path / "a.hdr")
    radiance = cv2.imread(str(tmp_path / "a.hdr"), cv2.IMREAD_UNCHANGED)
    assert np.abs(radiance[:, :, ::-1] - display()).max() < 1 / 256


# Metadata and profile -----------------------------------------------------------------------------


DISPLAY_FILES = [("a.jpg", 8), ("a.png", 8), ("b.png", 16), ("a.tif", 8), ("b.tif", 32),
                 ("a.webp", 8), ("a.avif", 8)]  # fmt: skip


@pytest.mark.parametrize(("name", "depth"), [*DISPLAY_FILES, ("b.avif", 10), ("b.avif", 12)])
def test_metadata_is_carried_over_with_care(name: str, depth: int, tmp_path: Path) -> None:
    facts = metadata()
    path = tmp_path / name
    write_image(Fused(display(), "display", facts), path, WriteSettings(depth=depth))
    frame = read_frame(path)
    assert (frame.height, frame.width) == (30, 41), "the orientation was applied once only"
    kept = replace(frame.metadata, exif=None, icc_profile=None)
    assert kept == replace(facts, exif=None, icc_profile=None)
    assert frame.metadata.exif is not None
    block = parse_exif(frame.metadata.exif)
    assert block.image[0x013B].text() == "A. Photographer"
    assert block.image[0x8298].text() == "(c) A. Photographer"
    assert block.gps[2].numbers() == [48.0, 8.0, 30.5]
    if not name.endswith(".tif"):  # there the image's own tags say it
        assert block.photo[0xA002].numbers() == [41]
        assert block.photo[0xA003].numbers() == [30]
        assert block.photo[0xA001].numbers() == [1]
    if name.endswith((".jpg", ".tif")):  # as a reader that is not ours sees it
        with path.open("rb") as stream:
            tags = exifread.process_file(stream)
        assert str(tags["Image Software"]) == "Ghostless"
        assert str(tags["Image Orientation"]) == "Horizontal (normal)"
        assert str(tags["EXIF ExposureTime"]) == "1/125"
        assert str(tags["GPS GPSLatitude"]) == "[48, 8, 61/2]"
        assert "JPEGThumbnail" not in tags


def test_what_no_longer_fits_is_dropped() -> None:
    from ghostless.io.exif import ExifBlock, Value, ascii_text, build_exif, long, rational, short
    from ghostless.io.metadata import carried_block

    block = ExifBlock(
        {0x0100: long(9999), 0x0112: short(8), 0x0131: ascii_text("Camera"), 0x02BC: short(1),
         0x8773: short(1), 0xC612: short(1)},
        {0x927C: ascii_text("maker's note"), 0xA005: long(7), 0x9214: short(5, 5),
         0x9286: ascii_text("ASCII\0\0\0")},
    )  # fmt: skip
    carried = carried_block(Metadata(exif=build_exif(block)), 20, 10, srgb=False)
    block = parse_exif(build_exif(carried))
    assert block.image.keys() == {0x0112, 0x0131}
    assert block.image[0x0112].numbers() == [1]
    assert block.photo.keys() == {0x9000, 0xA001, 0xA002, 0xA003}
    assert block.photo[0xA001].numbers() == [65535]
    long_comment = ExifBlock({}, {0x9286: Value(7, 90_000, b"x" * 90_000), 0x829A: rational(1)})
    carried = carried_block(Metadata(exif=build_exif(long_comment)), 2, 1, srgb=True)
    kept = parse_exif(build_exif(carried))
    assert kept.photo.keys() == {0x9000, 0x829A, 0xA001, 0xA002, 0xA003}


@pytest.mark.parametrize(("name", "depth"), DISPLAY_FILES)
def test_the_profile_is_embedded(name: str, depth: int, tmp_path: Path) -> None:
    adobe = imagecodecs.cms_profile("adobergb")
    for profile in (None, adobe):
        facts = Metadata(icc_profile=profile)
        how = overwriting(depth=depth)
        write_image(Fused(display(), "display", facts), tmp_path / name, how)
        found = read_frame(tmp_path / name).metadata.icc_profile
        assert found == (profile or icc.srgb_profile())
        if name.startswith("a"):
            with Image.open(tmp_path / name) as image:
                assert image.info["icc_profile"] == found


def test_a_profile_larger_than_a_jpeg_segment(tmp_path: Path) -> None:
    srgb = icc.srgb_profile()
    size = 150_000
    large = size.to_bytes(4, "big") + srgb[4:] + bytes(size - len(srgb))
    path = tmp_path / "a.jpg"
    write_image(Fused(display(), "display", Metadata(icc_profile=large)), path)
    assert read_frame(path).metadata.icc_profile == large
    with Image.open(path) as image:
        assert image.info["icc_profile"] == large


def test_same_picture_same_file(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.png", "a.tif"):
        write_image(Fused(display(), "display", metadata()), tmp_path / name)
        first = (tmp_path / name).read_bytes()
        write_image(Fused(display(), "display", metadata()), tmp_path / name, overwriting())
        assert (tmp_path / name).read_bytes() == first


def test_wide_gamut_radiance_leaves_with_srgb_primaries(tmp_path: Path) -> None:
    facts = Metadata(icc_profile=imagecodecs.cms_profile("adobergb"))
    light = np.full((4, 9, 3), 0.5, np.float32)
    light[0] = (0.2, 0.6, 0.1)
    for name in ("a.exr", "a.hdr"):
        write_image(Fused(light, "linear", facts), tmp_path / name)
        pixels = read_frame(tmp_path / name).pixels
        assert np.allclose(pixels[1], 0.5, atol=3e-3), "white stays white"
        # Adobe RGB (1998) to sRGB: same red and blue, green further out.
        wanted = [1.3984 * 0.2 - 0.3984 * 0.6, 0.6, -0.0429 * 0.6 + 1.0429 * 0.1]
        assert np.allclose(pixels[0, 0], wanted, atol=5e-3)


def test_exposure_facts_stand_in_an_exr(tmp_path: Path) -> None:
    import OpenEXR

    write_image(Fused(display(), "linear", metadata()), tmp_path / "a.exr")
    header = OpenEXR.File(str(tmp_path / "a.exr")).header()
    assert header["expTime"] == pytest.approx(1 / 125)
    assert (header["aperture"], header["isoSpeed"]) == (8.0, 200.0)
    assert header["cameraModel"] == "Ghost Optics Spectre 9"
    assert header["capDate"] == "2024:05:06 07:08:09"
    assert len(header["chromaticities"]) == 8
    # 120 N^2 / (S t): 4,800 cd/m2, white in the sun.
    assert header["whiteLuminance"] == pytest.approx(120 * 64 * 125 / 200)
    facts = read_frame(tmp_path / "a.exr").metadata
    assert facts.shutter_seconds == pytest.approx(1 / 125)
    assert (facts.aperture_f_number, facts.iso, facts.lens) == (8.0, 200.0, "Ghost 50mm")
    assert (facts.camera, facts.taken_at) == ("Ghost Optics Spectre 9", "2024-05-06T07:08:09")


# Stages -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("transfer", ["srgb", "linear"])
def test_a_written_frame_reads_as_the_same(
    dtype: type[np.generic], transfer: str, tmp_path: Path
) -> None:
    pixels = picture(dtype=dtype)
    pixels = pixels / np.float32(4) if dtype == np.float32 else pixels
    frame = Frame(pixels, transfer=transfer, metadata=metadata())  # type: ignore[arg-type]
    write_frame(frame, tmp_path / "new folder" / "a.tif")
    back = read_frame(tmp_path / "new folder" / "a.tif")
    assert np.array_equal(back.pixels, frame.pixels)
    assert back.pixels.dtype == dtype
    assert back.transfer == transfer
    assert back.metadata.shutter_seconds == pytest.approx(1 / 125)


def test_a_frame_in_a_format_that_cannot_hold_it(tmp_path: Path) -> None:
    light = Frame(picture(dtype=np.float32), transfer="linear")
    for name in ("a.jpg", "a.png", "a.hdr"):
        with pytest.raises(OptionError, match=r"write a \.tif"):
            write_frame(light, tmp_path / name)
    write_frame(light, tmp_path / "a.exr")
    assert np.array_equal(read_frame(tmp_path / "a.exr").pixels, light.pixels)


def test_masks_and_texts(tmp_path: Path) -> None:
    mask = (picture()[:, :, 0] > 128).astype(np.uint8) * np.uint8(255)
    write_mask(mask[:, ::2], tmp_path / "stages" / "a_mask.png")
    back = read_frame(tmp_path / "stages" / "a_mask.png").pixels
    assert np.array_equal(back[:, :, 0], mask[:, ::2])
    write_text("naïve\n", tmp_path / "report.json")
    assert (tmp_path / "report.json").read_text("utf-8") == "naïve\n"
    with pytest.raises(OutputError, match="exists"):
        write_text("again", tmp_path / "report.json")


# Spaces, suffixes, depths -------------------------------------------------------------------------


def test_space_of_a_name() -> None:
    for name in ("a.jpg", "a.JPEG", "a.png", "a.TIF", "a.tiff", "a.webp", "b.c.avif"):
        assert space_of(name) == "display"
    assert space_of("a.exr") == space_of("a.HDR") == space_of("a.jxl") == "linear"


def test_the_wrong_space_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match="tone-map it first"):
        write_image(Fused(display(), "linear"), tmp_path / "a.png")
    with pytest.raises(SpaceError, match="linear method"):
        write_image(Fused(display(), "display"), tmp_path / "a.exr")
    assert not list(tmp_path.iterdir())


def test_unknown_suffixes_and_depths(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"'\.jgp'.*'\.jpg'.*Known: \.avif, \.dng, \.exr"):
        check_output(tmp_path / "a.jgp")
    with pytest.raises(OptionError, match="with a suffix"):
        check_output(tmp_path / "out")
    for name, depth, known in (("a.jpg", 16, "8 bits"), ("a.png", 32, "8 or 16 bits"),
                               ("a.tif", 12, "8 or 16 or 32"), ("a.avif", 16, "8 or 10 or 12"),
                               ("a.exr", 8, "16 or 32"), ("a.webp", 10, "8 bits")):  # fmt: skip
        with pytest.raises(OptionError, match=f"depth of {known}.*found {depth}"):
            check_output(tmp_path / name, WriteSettings(depth=depth))
    for quality in (0, 101):
        with pytest.raises(OptionError, match=f"1 to 100, found {quality}"):
            WriteSettings(quality=quality)


def test_sides_beyond_a_format(tmp_path: Path) -> None:
    long = np.zeros((1, 16_384, 3), np.float32)
    with pytest.raises(OutputError, match=r"a\.webp.*at most 16383.*16384 x 1"):
        write_image(Fused(long, "display"), tmp_path / "a.webp")
    write_image(Fused(np.zeros((1, 40_000, 3), np.float32), "linear"), tmp_path / "a.hdr")
    assert read_frame(tmp_path / "a.hdr").width == 40_000


def test_pixels_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    values = display()
    values[3, 3, 0] = np.nan
    for name, space in (("a.png", "display"), ("a.exr", "linear"), ("a.tif", "display")):
        with pytest.raises(OutputError, match="finite"):
            write_image(Fused(values, space), tmp_path / name)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_quality_changes_the_size(tmp_path: Path) -> None:
    for suffix in (".jpg", ".webp", ".avif"):
        sizes = []
        for quality in (20, 95):
            path = tmp_path / f"{quality}{suffix}"
            write_image(Fused(display(), "display"), path, WriteSettings(quality=quality))
            sizes.append(path.stat().st_size)
        assert sizes[0] < sizes[1]

"""Reading: formats, colours, orientation, exposure facts, whole brackets."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageCms

from ghostless.errors import BracketError, FileReadError, MissingPackageError
from ghostless.io import decode, icc
from ghostless.io.exif import ExifBlock, Value, ascii_text, build_exif, parse_exif, rational, short
from ghostless.io.metadata import metadata_from_bytes
from ghostless.io.read import ReadSettings, read_bracket, read_frame, read_image

from . import samples
from .samples import picture, pillow_bytes, save, tiff_bytes

FORMATS = samples.every_format()


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_format_reads_as_rgb_in_its_own_type(name: str, tmp_path: Path) -> None:
    frame = read_frame(save(tmp_path, name, FORMATS[name]))
    turned = name in ("a.jpg", "a.png", "a.webp", "a.avif")
    size = (30, 40) if name == "a.dng" else (41, 30) if turned else (30, 41)
    assert frame.pixels.shape == (*size, 3)
    deep = name.startswith(("deep", "lzw", "planar")) or name == "a.dng"
    light = name.endswith((".hdr", ".exr")) or name in ("deflate.tif", "a.jxl", "pq.avif")
    assert frame.pixels.dtype == (np.float32 if light else np.uint16 if deep else np.uint8)
    assert frame.transfer == ("linear" if light or name == "a.dng" else "srgb")


@pytest.mark.parametrize("name", ["alpha.png", "a.tif", "tiled.tif", "lossless.webp", "bytes.jxl"])
def test_lossless_8_bit_formats_give_the_very_pixels(name: str, tmp_path: Path) -> None:
    assert np.array_equal(read_frame(save(tmp_path, name, FORMATS[name])).pixels, picture())


@pytest.mark.parametrize("name", ["deep.png", "lzw.tif", "planar.tif"])
def test_lossless_16_bit_formats_give_the_very_pixels(name: str, tmp_path: Path) -> None:
    frame = read_frame(save(tmp_path, name, FORMATS[name]))
    assert np.array_equal(frame.pixels, picture(dtype=np.uint16))


def test_floats_are_exact_and_half_and_rgbe_nearly(tmp_path: Path) -> None:
    light = picture(dtype=np.float32)
    for name in ("deflate.tif", "float.exr"):
        assert np.array_equal(read_frame(save(tmp_path, name, FORMATS[name])).pixels, light)
    for name in ("a.exr", "a.jxl"):
        half = read_frame(save(tmp_path, name, FORMATS[name])).pixels
        assert np.array_equal(half, picture(dtype=np.float16).astype(np.float32))
    coarse = read_frame(save(tmp_path, "a.hdr", FORMATS["a.hdr"])).pixels
    assert np.abs(coarse - light).max() <= light.max() / 128


@pytest.mark.parametrize("name", ["progressive.jpg", "a.avif", "deep.avif", "cmyk.jpg"])
def test_lossy_formats_come_near(name: str, tmp_path: Path) -> None:
    frame = read_frame(save(tmp_path, name, FORMATS[name]))
    wanted = np.rot90(picture(), -1) if name == "a.avif" else picture()
    assert np.abs(frame.unit() - wanted / 255).mean() < 0.03


def test_content_decides_on_the_format_not_the_name(tmp_path: Path) -> None:
    path = save(tmp_path, "called.tif", FORMATS["alpha.png"])
    assert np.array_equal(read_frame(path).pixels, picture())


def test_strange_file_names(tmp_path: Path) -> None:
    for name in ("-o out.jpg", "ein Bild.png", "фото 写真.png", "a'b\"c;d.png", "%s{}.png"):
        path = save(tmp_path, name, FORMATS["alpha.png"])
        assert read_frame(path).name == name
    tiff = save(tmp_path, "-写真 1.tif", FORMATS["lzw.tif"])
    assert read_frame(tiff).pixels.dtype == np.uint16
    assert read_frame(save(tmp_path, "-写真 1.exr", FORMATS["a.exr"])).transfer == "linear"
    assert read_frame(save(tmp_path, "-写真 1.dng", FORMATS["a.dng"])).transfer == "linear"


# Grey, palette, alpha, odd depths -----------------------------------------------------------------


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_palette_png_of_few_bits(bits: int, tmp_path: Path) -> None:
    image = Image.fromarray(picture()).quantize(2**bits)
    path = save(tmp_path, "a.png", pillow_bytes(image, "PNG", bits=bits))
    assert np.array_equal(read_frame(path).pixels, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA"])
def test_pillow_modes(kind: str, mode: str, tmp_path: Path) -> None:
    image = Image.fromarray(picture()).convert(mode)
    path = save(tmp_path, "a", pillow_bytes(image, kind))
    wanted = np.asarray(image.convert("RGB"))
    assert np.array_equal(read_frame(path).pixels, wanted)


def test_grey_becomes_three_equal_channels(tmp_path: Path) -> None:
    grey = picture(dtype=np.uint16)[:, :, 0].copy()
    for data in (imagecodecs.png_encode(grey), tiff_bytes(grey), tiff_bytes(grey[:1, :1])):
        pixels = read_frame(save(tmp_path, "grey", data)).pixels
        assert all(np.array_equal(pixels[:, :, k], grey[: len(pixels), : pixels.shape[1]])
                   for k in range(3))  # fmt: skip


def test_white_is_zero_tiff_is_inverted(tmp_path: Path) -> None:
    grey = picture()[:, :, 0].copy()
    path = save(tmp_path, "a.tif", tiff_bytes(255 - grey, photometric="miniswhite"))
    assert np.array_equal(read_frame(path).pixels[:, :, 1], grey)


def test_12_bit_tiff_spans_the_full_range(tmp_path: Path) -> None:
    codes = np.array([[0, 1, 2048, 4095]], np.uint16)
    data = tiff_bytes(codes, bitspersample=12)
    pixels = read_frame(save(tmp_path, "a.tif", data)).pixels
    assert pixels[0, :, 0].tolist() == [0, 16, 32776, 65535]


def test_10_bit_avif_spans_the_full_range(tmp_path: Path) -> None:
    codes = np.full((16, 16, 3), 1023, np.uint16)
    codes[:8] = 0
    data = imagecodecs.avif_encode(codes, level=100, bitspersample=10, speed=10)
    pixels = read_frame(save(tmp_path, "a.avif", data)).pixels
    assert (pixels[0, 0, 0], pixels[-1, -1, 0]) == (0, 65535)


def test_cmyk_tiff(tmp_path: Path) -> None:
    inks = np.zeros((4, 5, 4), np.uint8)
    inks[:, :, 1] = 255
    path = save(tmp_path, "a.tif", tiff_bytes(inks, photometric="separated"))
    assert read_frame(path).pixels[0, 0].tolist() == [255, 0, 255]


def test_unusual_tiffs_are_refused_by_name(tmp_path: Path) -> None:
    signed = save(tmp_path, "signed.tif", tiff_bytes(picture().astype(np.int16)))
    with pytest.raises(FileReadError, match=r"signed\.tif.*int16"):
        read_frame(signed)
    lab = save(tmp_path, "lab.tif", tiff_bytes(picture(), photometric="cielab"))
    with pytest.raises(FileReadError, match=r"lab\.tif.*photometric 8"):
        read_frame(lab)


def test_first_page_and_first_frame_with_a_note(tmp_path: Path) -> None:
    first, second = Image.fromarray(picture()), Image.fromarray(255 - picture())
    for kind, how in (("TIFF", {}), ("PNG", {}), ("WEBP", {"lossless": True})):
        data = pillow_bytes(first, kind, save_all=True, append_images=[second], **how)
        image = read_image(save(tmp_path, "many", data))
        assert np.array_equal(np.rint(image.pixels * 255), picture())
        assert any("2 pictures" in note for note in image.notes)


def test_a_tiff_that_begins_with_its_thumbnail(tmp_path: Path) -> None:
    import tifffile

    memory = io.BytesIO()
    with tifffile.TiffWriter(memory) as writer:
        writer.write(picture()[::4, ::4], photometric="rgb", subfiletype=1, metadata=None)
        writer.write(picture(), photometric="rgb", metadata=None)
    frame = read_frame(save(tmp_path, "a.tif", memory.getvalue()))
    assert np.array_equal(frame.pixels, picture())


# Radiance and OpenEXR -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "restore"),
    [
        ("-Y {height} +X {width}", lambda a: a),
        ("-Y {height} -X {width}", lambda a: a[:, ::-1]),
        ("+Y {height} +X {width}", lambda a: a[::-1]),
        ("+Y {height} -X {width}", lambda a: a[::-1, ::-1]),
        ("+X {height} -Y {width}", lambda a: a.transpose(1, 0, 2)),
        ("-X {height} -Y {width}", lambda a: a.transpose(1, 0, 2)[:, ::-1]),
        ("+X {height} +Y {width}", lambda a: a.transpose(1, 0, 2)[::-1]),
        ("-X {height} +Y {width}", lambda a: a.transpose(1, 0, 2)[::-1, ::-1]),
    ],
)
def test_radiance_scan_orders(line: str, restore: Any, tmp_path: Path) -> None:
    light = picture(dtype=np.float32)
    plain = read_frame(save(tmp_path, "plain.hdr", samples.hdr_bytes(light))).pixels
    turned = read_frame(save(tmp_path, "turned.hdr", samples.hdr_bytes(light, line))).pixels
    assert np.array_equal(turned, restore(plain))


def test_radiance_flat_and_old_runs(tmp_path: Path) -> None:
    head = b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 2 +X 4\n"
    one, two = bytes((128, 64, 32, 129)), bytes((255, 255, 255, 128))
    flat = save(tmp_path, "flat.hdr", head + one * 5 + two * 3)
    runs = save(tmp_path, "runs.hdr", head + one + bytes((1, 1, 1, 4)) + two + bytes((1, 1, 1, 2)))
    pixels = read_frame(flat).pixels
    assert pixels[0, 0].tolist() == [1.0, 0.5, 0.25]
    assert np.array_equal(read_frame(runs).pixels, pixels)


def test_exr_layers_luminance_and_windows(tmp_path: Path) -> None:
    import OpenEXR

    light = picture(dtype=np.float32)
    planes = {f"View.Combined.{n}": light[:, :, k].copy() for k, n in enumerate("RGB")}
    memory = io.BytesIO()
    OpenEXR.File({"type": OpenEXR.scanlineimage}, planes).write(memory)
    assert np.array_equal(read_frame(save(tmp_path, "a.exr", memory.getvalue())).pixels, light)
    grey = read_frame(save(tmp_path, "y.exr", samples.exr_bytes(light[:, :, :1], "Y"))).pixels
    assert np.array_equal(grey, np.repeat(light[:, :, :1], 3, axis=2))
    with pytest.raises(FileReadError, match="channels R, G and B, found Z"):
        read_frame(save(tmp_path, "z.exr", samples.exr_bytes(light[:, :, :1], "Z")))


@pytest.mark.parametrize("compression", ["NO", "RLE", "ZIPS", "ZIP", "PIZ", "PXR24", "DWAA"])
@pytest.mark.parametrize("height", [1, 33])
def test_exr_compressions(compression: str, height: int, tmp_path: Path) -> None:
    import OpenEXR

    light = picture(height, dtype=np.float16)
    method = getattr(OpenEXR, f"{compression}_COMPRESSION")
    path = save(tmp_path, "a.exr", samples.exr_bytes(light, compression=method))
    worst = np.abs(read_frame(path).pixels - light).max()
    assert worst <= (0.3 if compression == "DWAA" else 0)


def test_tiled_exr(tmp_path: Path) -> None:
    import OpenEXR

    light = picture(70, 50, dtype=np.float32)
    tiles = OpenEXR.TileDescription()
    tiles.xSize = tiles.ySize = 32
    data = samples.exr_bytes(light, type=OpenEXR.tiledimage, tiles=tiles)
    assert np.array_equal(read_frame(save(tmp_path, "a.exr", data)).pixels, light)


def test_exr_primaries_become_those_of_srgb(tmp_path: Path) -> None:
    light = np.zeros((3, 4, 3), np.float32)
    light[:] = (0.25, 0.5, 0.125)
    same = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)
    path = save(tmp_path, "a.exr", samples.exr_bytes(light, chromaticities=same))
    assert np.array_equal(read_frame(path).pixels, light)
    wide = (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, 0.3127, 0.3290)  # BT.2020
    path = save(tmp_path, "b.exr", samples.exr_bytes(light, chromaticities=wide))
    # The matrix of ITU-R BT.2087-0, annex 2, inverted.
    wanted = [1.6605 * 0.25 - 0.5876 * 0.5 - 0.0728 * 0.125,
              -0.1246 * 0.25 + 1.1329 * 0.5 - 0.0083 * 0.125,
              -0.0182 * 0.25 - 0.1006 * 0.5 + 1.1187 * 0.125]  # fmt: skip
    assert np.allclose(read_frame(path).pixels[1, 1], wanted, atol=1e-3)


# RAW ----------------------------------------------------------------------------------------------


def test_raw_is_linear_and_clips_where_the_sensor_does(tmp_path: Path) -> None:
    mosaic = np.full((30, 40), 4000, np.uint16)
    neutral = (0.5, 1.0, 0.7)
    mosaic[0::2, 0::2] = 2000  # a grey surface: red gets half of green's light, blue 0.7
    mosaic[1::2, 1::2] = 2800
    frame = read_frame(save(tmp_path, "a.dng", samples.dng_bytes(mosaic, neutral=neutral)))
    assert frame.transfer == "linear"
    assert frame.metadata.shutter_seconds == pytest.approx(1 / 125)
    assert (frame.metadata.iso, frame.metadata.camera) == (100, "Ghost One")
    centre = frame.pixels[10:20, 10:30].astype(np.float64)
    assert np.abs(centre / 65535 - 4000 / 16383).max() < 2e-3
    bright = read_frame(save(tmp_path, "b.dng", samples.dng_bytes(mosaic * 2))).pixels
    assert np.abs(bright[10:20, 10:30] / centre - 2).max() < 4e-3
    white = read_frame(save(tmp_path, "c.dng", samples.dng_bytes(np.full_like(mosaic, 16383))))
    assert white.pixels.min() >= 65535 - 64


def test_raw_keeps_its_white_level_whatever_a_frame_holds(tmp_path: Path) -> None:
    """LibRaw by itself would take the brightest pixel of a bright frame for white."""
    mosaic = np.full((30, 40), 14_000, np.uint16)
    data = samples.dng_bytes(mosaic, neutral=(1.0, 1.0, 1.0))
    frame = read_frame(save(tmp_path, "a.dng", data))
    assert np.abs(frame.pixels[10:20, 10:30] / 65535 - 14_000 / 16_383).max() < 2e-3


def test_raw_orientation(tmp_path: Path) -> None:
    frame = read_frame(save(tmp_path, "a.dng", samples.dng_bytes(orientation=6)))
    assert (frame.height, frame.width) == (40, 30)


def test_raw_bracket_has_one_white_balance(tmp_path: Path) -> None:
    first = save(tmp_path, "a.dng", samples.dng_bytes())
    second = save(tmp_path, "b.dng", samples.dng_bytes(neutral=(0.8, 1.0, 0.4)))
    bracket = read_bracket([first, second])
    assert np.array_equal(bracket.frames[0].pixels, bracket.frames[1].pixels)
    assert not np.array_equal(read_frame(second).pixels, bracket.frames[1].pixels)


# HEIC ---------------------------------------------------------------------------------------------


def test_heic(tmp_path: Path) -> None:
    pytest.importorskip("pillow_heif")
    frame = read_frame(save(tmp_path, "a.heic", samples.heic_bytes(picture())))
    assert np.abs(frame.unit() - picture() / 255).mean() < 0.02


def test_heic_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pillow_heif")
    path = save(tmp_path, "a.heic", samples.heic_bytes(picture()))
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    with pytest.raises(MissingPackageError, match=r"a\.heic.*pip install .ghostless\[heif\]"):
        read_frame(path)


# Orientation --------------------------------------------------------------------------------------

# What each Exif orientation does to the stored picture, written independently of OpenCV.
UPRIGHT: dict[int, Any] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied(orientation: int, tmp_path: Path) -> None:
    exif = samples.exif_with(orientation)
    wanted = UPRIGHT[orientation](picture())
    image = Image.fromarray(picture())
    for data in (
        pillow_bytes(image, "PNG", exif=exif),
        pillow_bytes(image, "WEBP", exif=exif, lossless=True),
        tiff_bytes(picture(), extratags=[(274, "H", 1, orientation, True)]),
    ):
        assert np.array_equal(read_frame(save(tmp_path, "turned", data)).pixels, wanted)
    for kind in ("JPEG", "AVIF"):
        path = save(tmp_path, "turned", pillow_bytes(image, kind, exif=exif, quality=95))
        assert np.abs(read_frame(path).unit() - wanted / 255).mean() < 0.03


# Colour profiles ----------------------------------------------------------------------------------


def test_differing_profiles_are_unified_as_littlecms_does(tmp_path: Path) -> None:
    adobe = imagecodecs.cms_profile("adobergb")
    image = Image.fromarray(picture())
    first = save(tmp_path, "a.png", pillow_bytes(image, "PNG"))
    second = save(tmp_path, "b.png", pillow_bytes(image, "PNG", icc_profile=adobe))
    bracket = read_bracket([first, second])
    wanted = ImageCms.profileToProfile(
        image,
        ImageCms.ImageCmsProfile(io.BytesIO(adobe)),
        ImageCms.ImageCmsProfile(io.BytesIO(icc.srgb_profile())),
    )
    assert np.abs(bracket.frames[1].pixels.astype(int) - np.asarray(wanted)).max() <= 1
    assert bracket.frames[1].metadata.icc_profile is None
    assert any("b.png" in note and "ICC profile of a.png" in note for note in bracket.notes)
    assert np.array_equal(bracket.frames[0].pixels, picture())


def test_grey_profile_is_converted_to_srgb(tmp_path: Path) -> None:
    profile = imagecodecs.cms_profile("gray", gamma=1.0)
    grey = np.full((5, 6), 55, np.uint8)
    data = pillow_bytes(grey, "PNG", icc_profile=profile)
    frame = read_frame(save(tmp_path, "a.png", data))
    # 55 / 255 of the light is 128 / 255 in sRGB.
    assert abs(int(frame.pixels[0, 0, 0]) - 128) <= 1
    assert frame.metadata.icc_profile is None


def test_linear_profile_says_linear(tmp_path: Path) -> None:
    data = tiff_bytes(picture(dtype=np.uint16), iccprofile=icc.linear_srgb_profile())
    frame = read_frame(save(tmp_path, "a.tif", data))
    assert frame.transfer == "linear"
    assert np.array_equal(frame.pixels, picture(dtype=np.uint16))
    display = tiff_bytes(picture(dtype=np.float32) / 4, iccprofile=icc.srgb_profile())
    assert read_frame(save(tmp_path, "b.tif", display)).transfer == "srgb"


def test_damaged_profile_is_ignored_with_a_note(tmp_path: Path) -> None:
    data = pillow_bytes(Image.fromarray(picture()), "PNG", icc_profile=b"nonsense" * 40)
    image = read_image(save(tmp_path, "a.png", data))
    assert image.metadata.icc_profile is None
    assert any("ICC profile" in note for note in image.notes)


# Metadata -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_exposure_facts(kind: str, tmp_path: Path) -> None:
    path = save(tmp_path, "a", pillow_bytes(picture(), kind, exif=samples.exif_with()))
    facts = read_frame(path).metadata
    assert facts.shutter_seconds == pytest.approx(1 / 125)
    assert (facts.aperture_f_number, facts.iso, facts.focal_length_mm) == (8.0, 200.0, 50.0)
    assert facts.camera == "Ghost Optics Spectre 9"
    assert (facts.lens, facts.taken_at) == ("Ghost 50mm", "2024-05-06T07:08:09.25")


def photo_facts(**tags: Value) -> Any:
    block = ExifBlock({}, {int(tag[1:], 16): value for tag, value in tags.items()})
    return metadata_from_bytes(build_exif(block))


def test_odd_exposure_values() -> None:
    zero_over_zero = Value(5, 1, bytes(8))
    two = Value(10, 1, (7).to_bytes(4, "little") + (1).to_bytes(4, "little"))
    facts = photo_facts(x829A=zero_over_zero, x9201=two, x9202=rational(4.0))
    assert facts.shutter_seconds == pytest.approx(1 / 128)
    assert facts.aperture_f_number == pytest.approx(4.0)
    facts = photo_facts(x829A=rational(0), x829D=rational(0), x8827=short(0))
    assert (facts.shutter_seconds, facts.aperture_f_number, facts.iso) == (None, None, None)
    assert photo_facts(x8827=short(400, 0)).iso == 400
    big = Value(4, 1, (102400).to_bytes(4, "little"))
    assert photo_facts(x8827=short(65535), x8832=big).iso == 102400
    assert photo_facts(x829A=ascii_text("1/125")).shutter_seconds is None
    assert photo_facts(x9003=ascii_text("0000:00:00 00:00:00")).taken_at is None
    assert photo_facts(xA434=ascii_text("----")).lens is None


def test_exif_block_survives_big_endian_and_loops() -> None:
    block = parse_exif(samples.exif_with(3))
    assert block.image[0x0110].text() == "Spectre 9"
    assert block.gps[2].numbers() == [48.0, 8.0, 30.5]
    assert parse_exif(build_exif(block)) == block
    motorola = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\x08"
    assert parse_exif(motorola).image[0x0112].numbers() == [6.0]
    loop = bytearray(build_exif(ExifBlock({}, {0x829A: rational(1)})))
    loop[18:22] = (8).to_bytes(4, "little")  # the Exif pointer points back
    assert parse_exif(bytes(loop)).photo.keys() <= {0x8769}
    assert parse_exif(b"") == parse_exif(b"II*\0") == parse_exif(b"\xff" * 50) == ExifBlock()


# Brackets -----------------------------------------------------------------------------------------


def test_bracket_keeps_the_order_and_needs_two(tmp_path: Path) -> None:
    paths = []
    for name in ("c.png", "a.png", "b.png"):
        paths.append(save(tmp_path, name, pillow_bytes(picture(seed=len(paths)), "PNG")))
    bracket = read_bracket(paths)
    assert [frame.name for frame in bracket.frames] == ["c.png", "a.png", "b.png"]
    with pytest.raises(BracketError, match="at least 2 frames"):
        read_bracket([tmp_path / "not even there.jpg"])


def test_the_same_file_twice(tmp_path: Path) -> None:
    path = save(tmp_path, "a.png", FORMATS["alpha.png"])
    link = tmp_path / "b.png"
    link.symlink_to(path)
    with pytest.raises(BracketError, match=r"a\.png.*twice"):
        read_bracket([path, path])
    with pytest.raises(BracketError, match=r"b\.png.*twice.*a\.png"):
        read_bracket([path, link])


def test_sizes_are_compared_before_anything_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ghostless.io.read.decode", lambda *_: pytest.fail("decoded"))
    first = save(tmp_path, "a.png", pillow_bytes(picture(), "PNG"))
    other = save(tmp_path, "b.png", pillow_bytes(picture(60), "PNG"))
    with pytest.raises(BracketError, match=r"b\.png: expected 41 x 30.*another size"):
        read_bracket([first, other])


def test_real_brackets(shared: Path) -> None:
    folder = shared / "dynamic" / "hdrtoolbox_handheld"
    bracket = read_bracket(sorted(folder.glob("*.jpg")))
    assert [frame.metadata.shutter_seconds for frame in bracket.frames] == [1 / 80, 1 / 320, 1 / 20]
    assert bracket.frames[0].metadata.camera == "Canon EOS REBEL T2i"
    with Image.open(folder / "IMG_4209.jpg") as image:
        assert bracket.frames[0].pixels.shape == (image.height, image.width, 3)
        assert np.abs(bracket.frames[0].pixels.astype(int) - np.asarray(image)).max() <= 1
    pong = read_frame(shared / "dynamic" / "pingpong" / "Img1.jpg").metadata
    assert (pong.lens, pong.iso) == ("EF-S18-55mm f/3.5-5.6 IS", 100)  # from the maker's note


def test_real_hdr_files(shared: Path) -> None:
    for path in [*sorted((shared / "hdri").glob("*.exr")), *sorted(shared.glob("hdri/a*.hdr"))]:
        image = read_image(path)
        assert image.space == "linear"
        assert image.pixels.shape == (512, 1024, 3)
        assert np.isfinite(image.pixels).all()
    gain_map = read_image(next((shared / "gainmap").glob("*.jpg")))
    assert gain_map.pixels.shape == (2048, 4096, 3)


def test_settings_bound_the_size(tmp_path: Path) -> None:
    path = save(tmp_path, "a.png", FORMATS["alpha.png"])
    read_frame(path, ReadSettings(max_pixels=30 * 41))
    with pytest.raises(FileReadError, match=r"a\.png.*at most 1,229 pixels, found 41 x 30"):
        read_frame(path, ReadSettings(max_pixels=30 * 41 - 1))


def test_turn_knows_no_other_orientation() -> None:
    assert np.array_equal(decode.turn(picture(), 0), picture())

"""Colours that a file tells by numbers: PNG's chunks, Exif, and the code points of AVIF."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray

from ghostless.align import AlignSettings
from ghostless.bracket import Fused
from ghostless.deghost import DeghostSettings
from ghostless.errors import FileReadError
from ghostless.io import icc
from ghostless.io.colours import PRIMARIES_OF_H273
from ghostless.io.exif import (
    ExifBlock,
    Value,
    ascii_text,
    build_directory,
    build_exif,
    directory_size,
    long,
    short,
)
from ghostless.io.read import read_frame, read_image
from ghostless.methods.mertens import MertensSettings
from ghostless.pipeline import FuseOptions, fuse_files
from ghostless.pixels import color

from . import samples
from .samples import picture, pillow_bytes, save, tiff_bytes

SRGB_POINTS = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
ADOBE_POINTS = (0.3127, 0.3290, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def gama(gamma: float) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", round(gamma * 100_000)))


def chrm(points: tuple[float, ...]) -> bytes:
    return chunk(b"cHRM", struct.pack(">8I", *(round(n * 100_000) for n in points)))


def cicp(primaries: int, transfer: int, full: int = 1) -> bytes:
    return chunk(b"cICP", bytes((primaries, transfer, 0, full)))


def iccp(profile: bytes) -> bytes:
    return chunk(b"iCCP", b"x\0\0" + zlib.compress(profile))


SRGB = chunk(b"sRGB", b"\0")


def png(codes: NDArray[Any], *chunks: bytes, exif: bytes = b"") -> bytes:
    data = imagecodecs.png_encode(codes)
    told = chunk(b"eXIf", exif) if exif else b""
    return b"".join([data[:33], *chunks, told, data[33:]])


def exif_of(space: int | None, index: str | None, more: ExifBlock | None = None) -> bytes:
    """An Exif block with ColorSpace and an interoperability directory."""
    block = more or ExifBlock()
    if space is not None:
        block.photo[0xA001] = short(space)
    if index is None:
        return build_exif(block)
    block.photo[0xA005] = long(0)
    place = len(build_exif(block))
    block.photo[0xA005] = long(place)
    return build_exif(block) + build_directory({1: ascii_text(index), 2: Value(7, 4, b"0100")},
                                               place)  # fmt: skip


def in_srgb(codes: NDArray[Any], profile: bytes) -> NDArray[np.float64]:
    """By the profile's own numbers: what LittleCMS makes of it is not asked."""
    gamma = 563 / 256
    matrix = icc.to_linear_srgb_matrix(profile)
    assert matrix is not None
    light = (codes / np.iinfo(codes.dtype).max) ** gamma @ matrix.T.astype(np.float64)
    return np.asarray(color.linear_to_srgb(np.clip(light, 0, 1).astype(np.float32)), np.float64)


# Exif ---------------------------------------------------------------------------------------------

ADOBE = [(0xFFFF, "R03"), (2, None), (2, "R98"), (None, "R03")]


@pytest.mark.parametrize(("space", "index"), ADOBE)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "grey", "TIFF"])
def test_adobe_rgb_told_by_exif(
    kind: str, space: int | None, index: str | None, tmp_path: Path
) -> None:
    exif = exif_of(space, index)
    codes = picture()
    if kind == "grey":
        codes = np.repeat(codes[:, :, :1], 3, axis=2)
        data = pillow_bytes(codes[:, :, 0], "PNG", exif=exif)
    elif kind == "TIFF":
        codes = picture(dtype=np.uint16)
        data = in_tiff(codes, space, index)
    else:
        how = {"JPEG": {"quality": 98, "subsampling": 0}, "WEBP": {"lossless": True}}.get(kind, {})
        data = pillow_bytes(codes, kind, exif=b"Exif\0\0" + exif, **how)
    image = read_image(save(tmp_path, "a", data))
    wanted = in_srgb(codes, imagecodecs.cms_profile("adobergb"))
    assert np.abs(image.pixels - wanted).mean() < (0.015 if kind == "JPEG" else 0.002)
    assert image.metadata.icc_profile is None
    assert any("converted to sRGB" in note for note in image.notes)


def in_tiff(codes: NDArray[Any], space: int | None, index: str | None) -> bytes:
    """A TIFF whose Exif directory stands behind its pixels."""
    data = tiff_bytes(codes, extratags=[(0xFDE8, "I", 1, 0, True)])
    data += bytes(len(data) % 2)
    tags = {} if space is None else {0xA001: short(space)}
    if index is not None:
        tags[0xA005] = long(0)
        tags[0xA005] = long(len(data) + directory_size(tags))
    photo = build_directory(tags, len(data))
    inside = build_directory({1: ascii_text(index)}, len(data) + len(photo)) if index else b""
    entry = struct.pack("<HHII", 0xFDE8, 4, 1, 0)
    pointer = struct.pack("<HHII", 0x8769, 4, 1, len(data))
    return data.replace(entry, pointer, 1) + photo + inside


@pytest.mark.parametrize(("space", "index"), [(1, "R98"), (1, "R03"), (None, "R98"), (None, None)])
def test_exif_that_says_srgb_or_nothing(
    space: int | None, index: str | None, tmp_path: Path
) -> None:
    data = pillow_bytes(picture(), "PNG", exif=exif_of(space, index))
    image = read_image(save(tmp_path, "a.png", data))
    assert np.array_equal(np.rint(image.pixels * 255), picture())
    assert image.notes == ()


def test_uncalibrated_colours(tmp_path: Path) -> None:
    """With primaries they are known all the same; without, a note says that they are not."""
    data = pillow_bytes(picture(), "PNG", exif=exif_of(0xFFFF, None))
    image = read_image(save(tmp_path, "a.png", data))
    assert np.array_equal(np.rint(image.pixels * 255), picture())
    assert any("only that its colours are not sRGB's" in note for note in image.notes)

    def fractions(*numbers: float) -> Value:
        parts = [part for n in numbers for part in (round(n * 10_000), 10_000)]
        return Value(5, len(numbers), struct.pack(f"<{len(parts)}I", *parts))

    more = ExifBlock({0x013E: fractions(*ADOBE_POINTS[:2]), 0x013F: fractions(*ADOBE_POINTS[2:])},
                     {0xA500: fractions(563 / 256)})  # fmt: skip
    data = pillow_bytes(picture(), "PNG", exif=exif_of(0xFFFF, None, more))
    told = read_image(save(tmp_path, "b.png", data))
    wanted = in_srgb(picture(), imagecodecs.cms_profile("adobergb"))
    assert np.abs(told.pixels - wanted).mean() < 0.002


def test_a_profile_is_believed_before_exif(tmp_path: Path) -> None:
    profile = icc.srgb_profile()
    data = pillow_bytes(
        picture(), "JPEG", exif=b"Exif\0\0" + exif_of(0xFFFF, "R03"), icc_profile=profile
    )
    assert read_frame(save(tmp_path, "a.jpg", data)).metadata.icc_profile == profile


def test_a_pointer_of_interoperability_that_leads_nowhere(tmp_path: Path) -> None:
    for value in (Value(5, 1, bytes(8)), Value(11, 1, b"\0\0\xc0\x7f"), Value(4, 1, b"\xff" * 4)):
        exif = build_exif(ExifBlock({}, {0xA001: short(0xFFFF), 0xA005: value}))
        image = read_image(save(tmp_path, "a.png", pillow_bytes(picture(), "PNG", exif=exif)))
        assert np.array_equal(np.rint(image.pixels * 255), picture())


# PNG ----------------------------------------------------------------------------------------------


def test_linear_png(tmp_path: Path) -> None:
    for dtype in (np.uint8, np.uint16):
        for codes in (picture(dtype=dtype), picture(dtype=dtype)[:, :, 0].copy()):
            frame = read_frame(save(tmp_path, "a.png", png(codes, gama(1.0), chrm(SRGB_POINTS))))
            assert (frame.transfer, frame.pixels.dtype) == ("linear", dtype)
            assert np.array_equal(
                frame.pixels[:, :, 0], codes[..., 0] if codes.ndim == 3 else codes
            )
    linear = read_frame(save(tmp_path, "b.png", png(picture(), cicp(1, 8))))
    assert linear.transfer == "linear"


def test_usual_gamma_is_srgb(tmp_path: Path) -> None:
    for chunks in ((gama(0.45455),), (gama(0.45455), chrm(SRGB_POINTS)), (chrm(SRGB_POINTS),)):
        image = read_image(save(tmp_path, "a.png", png(picture(), *chunks)))
        assert np.array_equal(np.rint(image.pixels * 255), picture())
        assert image.notes == ()


def test_other_gammas_and_primaries(tmp_path: Path) -> None:
    codes = picture(dtype=np.uint16)
    data = png(codes, gama(256 / 563), chrm(ADOBE_POINTS))
    # So near to 1/2.2 is sRGB's curve; the primaries are another's.
    image = read_image(save(tmp_path, "a.png", data))
    assert np.abs(image.pixels - in_srgb(codes, icc.adobe_rgb_profile())).mean() < 0.02
    image = read_image(save(tmp_path, "b.png", png(codes, gama(1 / 1.8))))
    wanted = color.linear_to_srgb((codes / 65535).astype(np.float32) ** 1.8)
    assert np.abs(image.pixels - wanted).max() < 1e-3
    for nonsense in ((gama(0.0),), (chrm((0.0,) * 8),)):
        image = read_image(save(tmp_path, "c.png", png(codes, *nonsense)))
        assert np.array_equal(np.rint(image.pixels * 65535), codes)
        assert any("gAMA or cHRM makes no sense" in note for note in image.notes)


def test_the_order_of_chunks_that_tell_of_colour(tmp_path: Path) -> None:
    """cICP over iCCP over sRGB over gAMA and cHRM over Exif, in whatever order they stand."""
    adobe, exif = icc.adobe_rgb_profile(), exif_of(0xFFFF, "R03")
    linear, wide = gama(1.0), chrm(ADOBE_POINTS)

    def read(*chunks: bytes) -> Fused:
        found = [read_image(save(tmp_path, "a.png", png(picture(), *order, exif=exif)))
                 for order in (chunks, chunks[::-1])]  # fmt: skip
        assert np.array_equal(found[0].pixels, found[1].pixels)
        return found[0]

    assert read(cicp(1, 8), iccp(adobe), SRGB).space == "linear"
    kept = read(linear, wide, SRGB, iccp(adobe))
    assert kept.metadata.icc_profile == adobe
    plain = read(linear, wide, SRGB)
    assert (plain.space, plain.notes) == ("display", ())
    assert np.array_equal(np.rint(plain.pixels * 255), picture())
    assert read(linear, wide).space == "linear"
    ignored = read(chunk(b"cICP", bytes((1, 8, 5, 1))), SRGB)
    assert ignored.space == "display"
    assert any("cICP" in note for note in ignored.notes)


def test_pq_png(tmp_path: Path) -> None:
    nits = np.float32([[0.0, 1.0, 100.0, 203.0, 1000.0, 10_000.0]])
    codes = np.rint(np.repeat(color.pq_encode(nits)[:, :, None], 3, 2) * 65535).astype(np.uint16)
    for chunks in ((cicp(9, 16),), (cicp(9, 16), iccp(icc.srgb_profile()), gama(0.45455))):
        data = png(codes, *chunks, exif=exif_of(0xFFFF, "R03"))
        frame = read_frame(save(tmp_path, "a.png", data))
        assert (frame.transfer, frame.pixels.dtype) == ("linear", np.float32)
        assert np.allclose(frame.pixels[:, :, 1], nits / 203, rtol=2e-3, atol=1e-5)
        assert frame.metadata.icc_profile is None
    narrow = np.rint((16 + 219 * (codes / 65535)) / 256 * 65536).astype(np.uint16)
    frame = read_frame(save(tmp_path, "n.png", png(narrow, cicp(9, 16, full=0))))
    assert np.allclose(frame.pixels[0, 1:, 1], nits[0, 1:] / 203, rtol=5e-3)
    grey = read_frame(save(tmp_path, "g.png", png(codes[:, :, 0].copy(), cicp(9, 16))))
    assert np.allclose(grey.pixels[:, :, 2], nits / 203, rtol=2e-3, atol=1e-5)


def test_hlg_png_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(FileReadError, match=r"a\.png: expected a picture.*HLG.*OpenEXR"):
        read_frame(save(tmp_path, "a.png", png(picture(dtype=np.uint16), cicp(9, 18))))


@pytest.mark.parametrize("kind", ["png", "avif"])
def test_wide_primaries_told_by_code(kind: str, tmp_path: Path) -> None:
    codes = np.zeros((32, 32, 3), np.uint16)
    codes[:] = (200, 600, 500)  # of 10 bits
    for code in (9, 12):
        if kind == "png":
            data = png((codes * 65535.0 / 1023 + 0.5).astype(np.uint16), cicp(code, 13))
        else:
            how = {"primaries": code, "transfer": 13, "matrix": 1, "bitspersample": 10}
            data = bytes(imagecodecs.avif_encode(codes, level=100, speed=10, **how))
        image = read_image(save(tmp_path, f"a.{kind}", data))
        matrix = icc.to_linear_srgb_matrix(icc.rgb_profile(PRIMARIES_OF_H273[code], 1.0) or b"")
        assert matrix is not None
        light = matrix @ color.srgb_to_linear(codes[0, 0] / 1023)
        assert np.allclose(
            image.pixels[9, 9], color.linear_to_srgb(np.clip(light, 0, 1)), atol=0.01
        )


# The cases ----------------------------------------------------------------------------------------


def test_the_cases(shared: Path) -> None:
    truth = samples.case(shared, "adobe_rgb_by_exif_truth_in_srgb")
    for path, wanted in zip(samples.case(shared, "adobe_rgb_by_exif")[:2], truth[:2], strict=True):
        found, right = read_frame(path).unit(), read_frame(wanted).unit()
        assert np.abs(found - right).mean() < 0.01
    for name in ("pq_png", "gamma_1_png"):
        means = []
        for path in samples.case(shared, name)[:2]:
            frame = read_frame(path)
            assert frame.transfer == "linear"
            means.append(frame.unit().mean())
        assert means[1] / means[0] == pytest.approx(250 / 60, rel=0.12)


def test_the_case_of_adobe_rgb(shared: Path, tmp_path: Path) -> None:
    """Fused, its patches are those of the same photos in sRGB; green clips in the third one."""
    # The figures are of the paper's weights and a pyramid of nine halved levels; nothing moved, nor
    # was the camera moved.
    options = FuseOptions(
        method="mertens",
        method_settings=MertensSettings(saturation=1, well_exposedness=1, levels=9),
        align=AlignSettings(model="none"),
        deghost=DeghostSettings(mode="off"),
    )
    fused = []
    for name in ("adobe_rgb_by_exif", "adobe_rgb_by_exif_truth_in_srgb"):
        fuse_files(samples.case(shared, name), tmp_path / f"{name}.png", options)
        fused.append(read_image(tmp_path / f"{name}.png").pixels * 255)
    patches = {place: fused[0][320:370, place : place + 50] for place in (30, 125, 412)}
    wanted = {30: (182, 24, 23), 125: (25, 173, 48), 412: (34, 179, 178)}
    for place, patch in patches.items():
        assert np.allclose(patch.mean(axis=(0, 1)), wanted[place], atol=5)
    assert np.abs(fused[0] - fused[1]).mean() < 2

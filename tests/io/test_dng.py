"""DNG of the kinds that LibRaw by itself leaves wrong: gain maps, floats, JPEG XL tiles."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from ghostless.bracket import Frame
from ghostless.errors import FileReadError
from ghostless.io.read import read_bracket, read_facts, read_frame, read_image

from . import samples
from .samples import save

HEIGHT, WIDTH = 60, 80
NEUTRAL = (0.5, 1.0, 0.7)
JPEG_XL = 52546


def fractions(*numbers: float) -> tuple[int, ...]:
    return tuple(part for n in numbers for part in (round(n * 10_000), 10_000))


MATRIX = fractions(
    3.2404542, -1.5371385, -0.4985314, -0.969266, 1.8760108, 0.041556, 0.0556434, -0.2040259,
    1.0572252,
)  # fmt: skip


def dng(
    stored: NDArray[Any],
    *more: tuple[Any, ...],
    order: str = "<",
    in_sub_directory: bool = False,
    orientation: int = 1,
    exposure: tuple[int, int] = (1, 125),
    **how: Any,
) -> bytes:
    """A DNG of a mosaic (H, W), RGGB, or of linear pixels (H, W, 3); of a camera that sees sRGB.

    more: further tags of the raw picture. in_sub_directory: behind a small preview.
    """
    mosaic = stored.ndim == 2
    camera = [
        (271, "s", 0, "Ghost", True),
        (272, "s", 0, "Ghost One", True),
        (274, "H", 1, orientation, True),
        (33434, "2I", 1, exposure, True),
        (33437, "2I", 1, (8, 1), True),
        (34855, "H", 1, 100, True),
        (50706, "B", 4, bytes((1, 7, 0, 0)), True),
        (50708, "s", 0, "Ghost One", True),
        (50721, "2i", 9, MATRIX, True),
        (50728, "2I", 3, fractions(*NEUTRAL), True),
        (50778, "H", 1, 21, True),
    ]
    raw: list[tuple[Any, ...]] = list(more)
    if mosaic:
        raw += [(33421, "H", 2, (2, 2), True), (33422, "B", 4, bytes((0, 1, 1, 2)), True)]
    if stored.dtype == np.uint16 and not any(tag[0] == 50717 for tag in more):
        raw.append((50717, "I", 1, 16383, True))
    kind = 32803 if mosaic else 34892
    memory = io.BytesIO()
    with tifffile.TiffWriter(memory, byteorder=order) as writer:
        if in_sub_directory:
            preview = np.zeros((16, 20, 3), np.uint8)
            writer.write(preview, photometric="rgb", subfiletype=1, subifds=1, extratags=camera,
                         metadata=None, software=False)  # fmt: skip
            camera = []
        writer.write(stored, photometric=kind, extratags=[*camera, *raw], metadata=None,
                     software=False, **how)  # fmt: skip
    return memory.getvalue()


def camera_colours(light: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the sensor measures of light (H, W, 3) under NEUTRAL."""
    return light * np.float32(NEUTRAL)


def mosaic_of(colours: NDArray[Any]) -> NDArray[Any]:
    mosaic = colours[:, :, 1].copy()
    mosaic[0::2, 0::2] = colours[0::2, 0::2, 0]
    mosaic[1::2, 1::2] = colours[1::2, 1::2, 2]
    return mosaic


def scene(height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.float32]:
    """Smooth light, 0.1 to 0.5, of little colour."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    grey = 0.3 + 0.2 * np.sin(x / 15) * np.cos(y / 12)
    return np.stack([grey * 1.1, grey, grey * 0.9], axis=2).astype(np.float32)


def codes_of(light: NDArray[np.float32], white: int = 16383) -> NDArray[np.uint16]:
    return np.rint(np.clip(light, 0, 1) * white).astype(np.uint16)


def inside(frame: Frame, border: int = 6) -> NDArray[np.float32]:
    return frame.unit()[border:-border, border:-border]


# Gain maps ----------------------------------------------------------------------------------------


def gain_opcode(
    gains: NDArray[Any],
    area: tuple[int, int, int, int],
    planes: tuple[int, int] = (0, 1),
    pitch: tuple[int, int] = (1, 1),
    spacing: tuple[float, float] | None = None,
) -> bytes:
    cube = gains if gains.ndim == 3 else gains[:, :, None]
    rows, columns, count = cube.shape
    spacing = spacing or (1 / max(rows - 1, 1), 1 / max(columns - 1, 1))
    body = struct.pack(">10I", *area, *planes, *pitch, rows, columns)
    body += struct.pack(">4dI", *spacing, 0, 0, count) + cube.astype(">f4").tobytes()
    return opcode(9, body)


def opcode(code: int, body: bytes) -> bytes:
    return struct.pack(">4I", code, 0x01030000, 1, len(body)) + body


def opcode_list(number: int, *opcodes: bytes) -> tuple[Any, ...]:
    data = struct.pack(">I", len(opcodes)) + b"".join(opcodes)
    return ({1: 51008, 2: 51009, 3: 51022}[number], 7, len(data), data, True)


def shading(rows: int = 13, columns: int = 17) -> NDArray[np.float64]:
    y, x = np.mgrid[:rows, :columns]
    return 1 + 2 * (((y / (rows - 1) - 0.5) ** 2 + (x / (columns - 1) - 0.5) ** 2) / 0.5)


def shading_at(height: int, width: int) -> NDArray[np.float32]:
    """The same at the pixels' centres, by hand."""
    points = shading()
    rows = np.interp((np.arange(height) + 0.5) / height, np.linspace(0, 1, 13), np.arange(13))
    columns = np.interp((np.arange(width) + 0.5) / width, np.linspace(0, 1, 17), np.arange(17))
    across = np.stack([np.interp(columns, np.arange(17), row) for row in points])
    down = np.stack([np.interp(rows, np.arange(13), column) for column in across.T], axis=1)
    return down.astype(np.float32)


def four_maps(height: int = HEIGHT, width: int = WIDTH) -> list[bytes]:
    area = height, width
    return [gain_opcode(shading(), (y, x, *area), pitch=(2, 2)) for y in (0, 1) for x in (0, 1)]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("in_sub_directory", [False, True])
@pytest.mark.parametrize("whole", [False, True])
def test_a_gain_map_evens_out_the_shading(
    order: str, in_sub_directory: bool, whole: bool, tmp_path: Path
) -> None:
    light = scene()
    shaded = camera_colours(light) / shading_at(HEIGHT, WIDTH)[:, :, None]
    maps = [gain_opcode(shading(), (0, 0, HEIGHT, WIDTH))] if whole else four_maps()
    data = dng(mosaic_of(codes_of(shaded)), opcode_list(2, *maps), order=order,
               in_sub_directory=in_sub_directory)  # fmt: skip
    frame = read_frame(save(tmp_path, "a.dng", data))
    assert np.abs(inside(frame) / light[6:-6, 6:-6] - 1).max() < 0.02
    assert frame.pixels.dtype == np.uint16


def test_a_map_for_each_colour_plane_of_linear_pixels(tmp_path: Path) -> None:
    light, shade = scene(), shading_at(HEIGHT, WIDTH)
    factors = np.float32((1.0, 0.8, 0.6))
    shaded = camera_colours(light) / (1 + (shade[:, :, None] - 1) * factors)
    gains = 1 + (shading()[:, :, None] - 1) * factors
    area = (0, 0, HEIGHT, WIDTH)
    single = [gain_opcode(gains[:, :, k], area, planes=(k, 1)) for k in range(3)]
    for maps in ([gain_opcode(gains, area, planes=(0, 3))], single):
        data = dng(codes_of(shaded), opcode_list(2, *maps))
        frame = read_frame(save(tmp_path, "a.dng", data))
        assert np.abs(inside(frame) / light[6:-6, 6:-6] - 1).max() < 0.01


def test_black_stays_black_and_white_white(tmp_path: Path) -> None:
    """Gains count from the black level, and what the sensor clipped stays clipped."""
    light = scene()
    light[20:30, 20:40] = 0
    light[40:52, 40:60] = 9
    shaded = np.minimum(camera_colours(light) / shading_at(HEIGHT, WIDTH)[:, :, None], 1)
    stored = (np.rint(shaded * (15_000 - 512)) + 512).astype(np.uint16)
    halved = [gain_opcode(np.full((1, 1), 0.5), (0, 0, HEIGHT, WIDTH))]
    levels = [(50714, "H", 1, 512, True), (50717, "I", 1, 15_000, True)]
    frame = read_frame(save(tmp_path, "a.dng", dng(mosaic_of(stored), opcode_list(2, *four_maps()),
                                                   *levels)))  # fmt: skip
    assert frame.unit()[22:28, 22:38].max() < 2e-3
    assert frame.unit()[43:49, 43:57].min() > 0.999
    assert np.abs(frame.unit()[8:18, 8:60] / light[8:18, 8:60] - 1).max() < 0.02
    frame = read_frame(save(tmp_path, "b.dng", dng(mosaic_of(stored), opcode_list(2, *halved),
                                                   *levels)))  # fmt: skip
    assert frame.unit()[43:49, 43:57].min() > 0.999


def test_a_map_counts_from_the_active_area(tmp_path: Path) -> None:
    light = scene()
    shaded = codes_of(camera_colours(light) / shading_at(HEIGHT, WIDTH)[:, :, None])
    stored = np.zeros((HEIGHT + 6, WIDTH + 8), np.uint16)
    stored[4 : 4 + HEIGHT, 6 : 6 + WIDTH] = mosaic_of(shaded)
    area = (50829, "I", 4, (4, 6, 4 + HEIGHT, 6 + WIDTH), True)
    frame = read_frame(save(tmp_path, "a.dng", dng(stored, opcode_list(2, *four_maps()), area)))
    assert frame.pixels.shape == (HEIGHT, WIDTH, 3)
    assert np.abs(inside(frame) / light[6:-6, 6:-6] - 1).max() < 0.02


def test_opcodes_that_are_not_applied_are_named(tmp_path: Path) -> None:
    stored = mosaic_of(codes_of(camera_colours(scene())))
    lists = (
        opcode_list(1, opcode(5, bytes(16))),
        opcode_list(2, opcode(8, bytes(40)), opcode(9, b"too short")),
        opcode_list(3, opcode(1, bytes(60)), opcode(3, bytes(56)), opcode(99, b"")),
    )
    notes = read_image(save(tmp_path, "a.dng", dng(stored, *lists))).notes
    assert len(notes) == 1
    for name in (
        "FixBadPixelsList of list 1",
        "MapPolynomial of list 2",
        "GainMap of list 2",
        "WarpRectilinear of list 3",
        "FixVignetteRadial of list 3",
        "number 99",
    ):
        assert name in notes[0]
    assert read_image(save(tmp_path, "b.dng", dng(stored))).notes == ()


@pytest.mark.parametrize("spoil", ["points", "pitch", "spacing", "nan", "cut", "area"])
def test_damaged_maps_cost_no_photo(spoil: str, tmp_path: Path) -> None:
    whole = bytearray(gain_opcode(shading(), (0, 0, HEIGHT, WIDTH)))
    huge = struct.pack(">I", 0xFFFFFFFF)
    if spoil == "points":
        whole[16 + 32 : 16 + 36] = huge
    elif spoil == "pitch":
        whole[16 + 24 : 16 + 28] = bytes(4)
    elif spoil == "spacing":
        whole[16 + 40 : 16 + 48] = struct.pack(">d", float("nan"))
    elif spoil == "nan":
        whole[-4:] = struct.pack(">f", float("nan"))
    elif spoil == "cut":
        del whole[-9:]
    else:
        whole[16:32] = huge * 4
    stored = mosaic_of(codes_of(camera_colours(scene())))
    data = dng(stored, opcode_list(2, bytes(whole)))
    frame = read_frame(save(tmp_path, "a.dng", data))
    assert np.abs(inside(frame) / scene()[6:-6, 6:-6] - 1).max() < 0.02


# Floats -------------------------------------------------------------------------------------------

LAYOUTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "deflate": {"compression": "zlib", "predictor": 3, "rowsperstrip": 16},
    "tiles": {"compression": "zlib", "tile": (32, 32)},
    "big-endian": {"order": ">"},
    "in a sub-directory": {"in_sub_directory": True},
}


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("mosaic", [False, True])
def test_floats_keep_their_exposures(layout: str, dtype: Any, mosaic: bool, tmp_path: Path) -> None:
    if dtype == np.float16 and "predictor" in LAYOUTS[layout] and mosaic:
        pytest.skip("tifffile writes none")
    light = scene()
    paths = []
    for number, gain in enumerate((0.25, 1.0, 8.0)):
        stored = camera_colours(light * np.float32(gain)).astype(dtype)
        stored = mosaic_of(stored) if mosaic else stored
        exposure = {"exposure": (round(100 * gain), 12_500)}
        paths.append(save(tmp_path, f"{number}.dng", dng(stored, **LAYOUTS[layout], **exposure)))
    frames = read_bracket(paths).frames
    for frame, gain in zip(frames, (0.25, 1.0, 8.0), strict=True):
        assert (frame.transfer, frame.pixels.dtype) == ("linear", np.float32)
        worst = np.abs(inside(frame) / (gain * light[6:-6, 6:-6]) - 1).max()
        assert worst < (0.02 if mosaic else 2e-3)
        assert frame.metadata.shutter_seconds == pytest.approx(gain / 125)


def test_floats_with_levels_an_area_and_an_orientation(tmp_path: Path) -> None:
    light = scene()
    stored = np.zeros((HEIGHT + 4, WIDTH + 2, 3), np.float32)
    stored[2:-2, 1:-1] = 100 + 900 * camera_colours(light)
    tags = [(50714, "2I", 3, (100, 1) * 3, True), (50717, "I", 3, (1000,) * 3, True),
            (50829, "I", 4, (2, 1, 2 + HEIGHT, 1 + WIDTH), True)]  # fmt: skip
    for orientation, back in ((1, 0), (3, 2), (6, 1), (8, 3)):
        path = save(tmp_path, "a.dng", dng(stored, *tags, orientation=orientation))
        frame = read_frame(path)
        facts = read_facts(path)
        assert (facts.height, facts.width) == frame.pixels.shape[:2]
        assert np.allclose(np.rot90(frame.pixels, back), light, atol=2e-3)


def test_float_pictures_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    for shape in ((HEIGHT, WIDTH, 3), (HEIGHT, WIDTH)):
        stored = np.full(shape, 0.5, np.float32)
        stored[3, 4] = np.nan
        with pytest.raises(FileReadError, match=r"a\.dng: expected finite numbers"):
            read_frame(save(tmp_path, "a.dng", dng(stored)))


# JPEG XL ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mosaic", [False, True])
def test_jpeg_xl_tiles(mosaic: bool, tmp_path: Path) -> None:
    light = scene()
    colours = camera_colours(light)
    white = [(50717, "I", 1, 65535, True)]
    stored = codes_of(colours, 65535)
    stored = mosaic_of(stored) if mosaic else stored
    how = {"compression": JPEG_XL, "tile": (32, 48)}
    path = save(tmp_path, "a.dng", dng(stored, *white, in_sub_directory=mosaic, **how))
    frame = read_frame(path)
    assert (frame.transfer, frame.pixels.dtype) == ("linear", np.uint16)
    assert np.abs(inside(frame) / light[6:-6, 6:-6] - 1).max() < 0.02
    assert read_facts(path).white_balance is not None


def test_jpeg_xl_looks_as_the_same_picture_uncoded(tmp_path: Path) -> None:
    stored = mosaic_of(codes_of(camera_colours(scene()), 65535))
    white = [(50717, "I", 1, 65535, True)]
    plain = read_frame(save(tmp_path, "a.dng", dng(stored, *white, orientation=6)))
    coded = read_frame(save(tmp_path, "b.dng", dng(stored, *white, orientation=6,
                                                   compression=JPEG_XL)))  # fmt: skip
    assert np.abs(plain.pixels.astype(int) - coded.pixels).max() <= 1


def test_a_cut_off_jpeg_xl_dng(tmp_path: Path) -> None:
    stored = codes_of(camera_colours(scene()), 65535)
    data = dng(stored, (50717, "I", 1, 65535, True), compression=JPEG_XL, tile=(32, 32))
    for share in (0.3, 0.6, 0.95):
        path = save(tmp_path, "a.dng", data[: int(share * len(data))])
        with pytest.raises(FileReadError, match="damaged or cut off"):
            read_frame(path)


def test_a_compression_that_libraw_lacks_is_told_as_such(tmp_path: Path) -> None:
    data = dng(mosaic_of(codes_of(camera_colours(scene()))))
    at = data.index(struct.pack("<HHI", 259, 3, 1)) + 8
    path = save(tmp_path, "a.dng", data[:at] + struct.pack("<H", 9) + data[at + 2 :])
    with pytest.raises(FileReadError, match=r"a\.dng: expected a RAW.*Adobe DNG Converter"):
        read_frame(path)


def test_reading_facts_decodes_no_pixels(tmp_path: Path) -> None:
    """The header of a DNG tells of its white balance; its raw data need not even be sound."""
    stored = mosaic_of(codes_of(camera_colours(scene()), 65535))
    data = dng(stored, (50717, "I", 1, 65535, True), compression=JPEG_XL)
    spoiled = bytearray(data)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages[0].aspage()
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
            spoiled[offset : offset + count] = bytes(count)
    facts = read_facts(save(tmp_path, "a.dng", bytes(spoiled)))
    assert (facts.height, facts.width) == (HEIGHT, WIDTH)
    assert facts.white_balance is not None
    assert facts.white_balance[:3] == pytest.approx([1 / n for n in NEUTRAL], rel=1e-3)


# The cases ----------------------------------------------------------------------------------------


def test_the_cases(shared: Path) -> None:
    for name, dtype in (("dng_float", np.float32), ("dng_jpeg_xl", np.uint16),
                        ("dng_gain_map", np.uint16)):  # fmt: skip
        frames = read_bracket(samples.case(shared, name)).frames
        dark, middle = (frame.unit().mean() for frame in frames[:2])
        assert all((f.pixels.shape, f.pixels.dtype) == ((240, 360, 3), dtype) for f in frames)
        assert np.log2(middle / dark) == pytest.approx(2, abs=0.12)

"""Photos that are transparent in places, that lie somewhere on a page, or differ by their edges."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from ghostless.align import AlignSettings, align_bracket
from ghostless.bracket import Stack
from ghostless.deghost import DeghostSettings
from ghostless.errors import BracketError, FileReadError
from ghostless.exposure.assign import assign_stops
from ghostless.io.read import read_bracket, read_frame, read_image
from ghostless.pipeline import FuseOptions, fuse_files

from . import scenes

Array = NDArray[Any]
HEIGHT, WIDTH = 96, 144
STOPS = (-2.0, 0.0, 2.0)


def exposures(depth: int = 8, seed: int = 5) -> list[Array]:
    radiance = scenes.make_radiance(HEIGHT, WIDTH, seed=seed)
    return [np.asarray(scenes.expose(radiance, stop, depth=depth)) for stop in STOPS]


def with_alpha(pixels: Array, alpha: Array, under: int = 0) -> Array:
    """Pixels with alpha (0..1) and, where it is 0, one colour under it."""
    top = np.iinfo(pixels.dtype).max
    colours = np.where((alpha > 0)[..., None], pixels, under).astype(pixels.dtype)
    return np.dstack([colours, np.rint(alpha * top).astype(pixels.dtype)])


def hole(left: int = 0, right: int = 30) -> Array:
    alpha = np.ones((HEIGHT, WIDTH))
    alpha[:, left:right] = 0
    return alpha


def save_tiff(path: Path, pixels: Array, **how: Any) -> Path:
    how.setdefault("extrasamples", ["unassalpha"] if pixels.shape[2] == 4 else None)
    tifffile.imwrite(path, pixels, photometric="rgb", metadata=None, **how)
    return path


def save_tiffs(folder: Path, alphas: list[Array | None], depth: int = 8) -> list[Path]:
    paths = []
    for number, (pixels, alpha) in enumerate(zip(exposures(depth), alphas, strict=True)):
        whole = pixels if alpha is None else with_alpha(pixels, alpha)
        paths.append(save_tiff(folder / f"p{number}.tif", whole))
    return paths


def pillow(kind: str, **how: Any) -> Callable[[Path, Array], None]:
    return lambda path, pixels: Image.fromarray(pixels).save(path, kind, **how)


def jpeg_xl(path: Path, pixels: Array) -> None:
    path.write_bytes(imagecodecs.jpegxl_encode(pixels, lossless=True, effort=1))


def associated_tiff(path: Path, pixels: Array) -> None:
    colours = np.rint(pixels[..., :3] * (pixels[..., 3:] / 255)).astype(np.uint8)
    save_tiff(path, np.dstack([colours, pixels[..., 3]]), extrasamples=["assocalpha"])


def untold_tiff(path: Path, pixels: Array) -> None:
    save_tiff(path, pixels, extrasamples=["unspecified"])


def exr(path: Path, pixels: Array) -> None:
    import OpenEXR

    light = (pixels[..., :3] / 255) ** 2.2 * (pixels[..., 3:] / 255)
    channels = np.dstack([light, pixels[..., 3:] / 255]).astype(np.float32)
    OpenEXR.File({"type": OpenEXR.scanlineimage}, {"RGBA": channels}).write(str(path))


def heic(path: Path, pixels: Array) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.from_pillow(Image.fromarray(pixels)).save(path, quality=100)


WRITERS: dict[str, tuple[str, Callable[[Path, Array], None]]] = {
    "PNG": (".png", pillow("PNG")),
    "WebP": (".webp", pillow("WEBP", lossless=True)),
    "AVIF": (".avif", pillow("AVIF", quality=100)),
    "JPEG XL": (".jxl", jpeg_xl),
    "TIFF": (".tif", lambda path, pixels: save_tiff(path, pixels) and None),
    "TIFF, multiplied": (".tif", associated_tiff),
    "TIFF, untold": (".tif", untold_tiff),
    "OpenEXR": (".exr", exr),
    "HEIC": (".heic", heic),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_alpha_of_every_format_is_read(tmp_path: Path, kind: str) -> None:
    suffix, write = WRITERS[kind]
    alpha = hole()
    alpha[40:60, 60:80] = 0.5
    pixels = with_alpha(exposures()[1], alpha)
    path = tmp_path / f"photo{suffix}"
    write(path, pixels)
    frame = read_frame(path)
    assert frame.opaque is not None
    assert np.abs(frame.opaque.astype(float) - 255 * alpha).max() <= 3
    shown = alpha > 0
    display = frame.display() if kind != "OpenEXR" else frame.pixels ** (1 / 2.2)
    off = np.abs(display[shown] * 255 - pixels[..., :3][shown])
    # Lossy formats let colours bleed out of the hole.
    assert np.percentile(off, 90 if kind in ("AVIF", "HEIC") else 99) < 4
    # What lies under the hole is smooth, not black.
    assert frame.unit()[:, 10].mean() > 0.02


def test_a_mask_kept_beside_the_colours_is_no_transparency(tmp_path: Path) -> None:
    pixels = exposures()[1]
    selection = np.zeros((HEIGHT, WIDTH, 1), np.uint8)
    selection[20:40] = 255
    path = save_tiff(
        tmp_path / "a.tif", np.dstack([pixels, selection]), extrasamples=["unspecified"]
    )
    frame = read_frame(path)
    assert frame.opaque is None
    assert np.array_equal(frame.pixels, pixels)


def test_a_photo_that_is_transparent_all_over_is_refused(tmp_path: Path) -> None:
    path = save_tiff(tmp_path / "a.tif", with_alpha(exposures()[1], np.zeros((HEIGHT, WIDTH))))
    with pytest.raises(FileReadError, match=r"a\.tif.*transparent"):
        read_frame(path)


def fuse(paths: list[Path], out: Path, **options: Any) -> Array:
    options.setdefault("deghost", DeghostSettings(mode="off"))
    fuse_files(paths, out, FuseOptions(stops=STOPS, **options))
    fused = read_image(out)
    return fused.pixels


@pytest.mark.parametrize(
    ("method", "which", "depth"),
    [("mertens", 0, 16), ("mertens", 1, 8), ("mertens", 2, 8), ("debevec", 1, 8)],
)
def test_what_one_photo_does_not_show_comes_from_the_others(
    tmp_path: Path, method: str, which: int, depth: int
) -> None:
    alphas: list[Array | None] = [None] * 3
    alphas[which] = hole()
    paths = save_tiffs(tmp_path, alphas, depth)
    for reference in (0, 1, 2):
        out = tmp_path / f"{reference}.png"
        found = fuse(paths, out, method=method, reference=reference)
        (tmp_path / "whole").mkdir(exist_ok=True)
        whole = save_tiffs(tmp_path / "whole", [None] * 3, depth)
        truth = fuse(whole, tmp_path / f"whole_{reference}.png", method=method, reference=reference)
        inside = np.abs(found - truth)[:, :25]
        assert inside.mean() < 0.1
        assert np.abs(found - truth)[:, 35:].mean() < 0.03
        assert read_image(out).opaque is None


def test_soft_edges_leave_no_line(tmp_path: Path) -> None:
    alpha = np.clip((np.arange(WIDTH) - 20) / 30, 0, 1)[None].repeat(HEIGHT, 0)
    paths = save_tiffs(tmp_path, [None, alpha, None])
    found = fuse(paths, tmp_path / "a.png", align=AlignSettings(model="none"), reference=1)
    (tmp_path / "whole").mkdir()
    whole = save_tiffs(tmp_path / "whole", [None] * 3)
    truth = fuse(whole, tmp_path / "b.png", align=AlignSettings(model="none"), reference=1)
    assert np.abs(found - truth).mean(axis=(0, 2)).max() < 0.12


def test_transparency_does_not_mislead_the_exposures(tmp_path: Path) -> None:
    whole = (tmp_path / "whole").mkdir() or save_tiffs(tmp_path / "whole", [None] * 3)
    true = assign_stops(read_bracket(whole)).stops
    for which in range(3):
        alphas: list[Array | None] = [None] * 3
        alphas[which] = hole(0, 60)
        found = assign_stops(read_bracket(save_tiffs(tmp_path, alphas))).stops
        assert np.allclose(np.diff(found), np.diff(true), atol=0.25)


def stack_of(paths: list[Path], **settings: Any) -> Stack:
    bracket = assign_stops(read_bracket(paths), STOPS)
    return align_bracket(bracket, AlignSettings(**settings), 1)


def test_holes_of_one_shape_do_not_hold_the_frames_together(tmp_path: Path) -> None:
    # Every frame is transparent in the same rim, while what it shows is shifted.
    radiance = scenes.make_radiance(HEIGHT + 20, WIDTH + 20, seed=8)
    alpha = np.zeros((HEIGHT, WIDTH))
    alpha[12:-12, 12:-12] = 1
    paths = []
    for number, stop in enumerate(STOPS):
        shift = 4 * number
        part = radiance[shift : shift + HEIGHT, shift : shift + WIDTH]
        pixels = np.asarray(scenes.expose(part, stop))
        paths.append(save_tiff(tmp_path / f"p{number}.tif", with_alpha(pixels, alpha)))
    stack = stack_of(paths)
    for index, wanted in ((0, 4.0), (2, -4.0)):
        matrix = stack.registrations[index].matrix
        assert matrix[0, 2] == pytest.approx(wanted, abs=0.5)
        assert matrix[1, 2] == pytest.approx(wanted, abs=0.5)


def test_the_opacity_moves_with_its_frame(tmp_path: Path) -> None:
    radiance = scenes.make_radiance(HEIGHT, WIDTH + 20, seed=8)
    paths = []
    for number, stop in enumerate(STOPS):
        pixels = np.asarray(scenes.expose(radiance[:, 5 * number : 5 * number + WIDTH], stop))
        alpha = hole(60, 90) if number == 2 else np.ones((HEIGHT, WIDTH))
        paths.append(save_tiff(tmp_path / f"p{number}.tif", with_alpha(pixels, alpha)))
    stack = stack_of(paths)
    valid = stack.valid[2]
    assert valid is not None
    columns = np.flatnonzero(valid[HEIGHT // 2] < 128)
    inside = columns[(columns > 20) & (columns < 120)]
    assert inside[0] == pytest.approx(65, abs=1.5)
    assert inside[-1] == pytest.approx(94, abs=1.5)


OUTPUTS = [".png", ".tif", ".webp", ".avif", ".exr", ".jxl"]


@pytest.mark.parametrize("suffix", OUTPUTS)
def test_what_no_photo_shows_stays_transparent(tmp_path: Path, suffix: str) -> None:
    paths = save_tiffs(tmp_path, [hole(), hole(0, 40), hole()])
    out = tmp_path / f"out{suffix}"
    report = fuse_files(paths, out, FuseOptions(stops=STOPS))
    fused = read_image(out)
    assert fused.opaque is not None
    assert (fused.opaque[:, :29] == 0).all()
    assert (fused.opaque[:, 31:] == 255).all()
    assert any("transparent in all photos" in note for note in report.notes)


@pytest.mark.parametrize("suffix", [".jpg", ".hdr"])
def test_it_is_black_where_the_format_knows_no_transparency(tmp_path: Path, suffix: str) -> None:
    paths = save_tiffs(tmp_path, [hole()] * 3)
    out = tmp_path / f"out{suffix}"
    report = fuse_files(paths, out, FuseOptions(stops=STOPS))
    assert read_image(out).pixels[:, :24].max() < 0.06
    assert any("black in the result" in note for note in report.notes)


def test_gain_map_jpeg_and_deeper_avif_hold_it_too(tmp_path: Path) -> None:
    from ghostless.io.write import WriteSettings

    paths = save_tiffs(tmp_path, [hole()] * 3)
    fuse_files(paths, tmp_path / "hdr.jpg", FuseOptions(stops=STOPS, hdr=True))
    assert read_image(tmp_path / "hdr.jpg").pixels[:, :24].max() < 0.06
    fuse_files(paths, tmp_path / "hdr.avif", FuseOptions(stops=STOPS, hdr=True))
    deep = FuseOptions(stops=STOPS, write=WriteSettings(depth=10))
    fuse_files(paths, tmp_path / "deep.avif", deep)
    opaque = read_image(tmp_path / "deep.avif").opaque
    assert opaque is not None
    assert (opaque[:, :29] == 0).all()


def test_crop_cuts_to_what_all_photos_show(tmp_path: Path) -> None:
    paths = save_tiffs(tmp_path, [None, hole(), hole(120, 144)])
    found = fuse(paths, tmp_path / "out.png", align=AlignSettings(model="none", crop=True))
    assert found.shape == (HEIGHT, 90, 3)
    assert read_image(tmp_path / "out.png").opaque is None


# Positions ----------------------------------------------------------------------------------------


def place(x: float, y: float, resolution: float = 150) -> dict[str, Any]:
    """What nona writes: the place in inches, and the page's size."""
    tags = [
        (286, 5, 1, (round(x / resolution * 100_000), 100_000), True),
        (287, 5, 1, (round(y / resolution * 100_000), 100_000), True),
    ]
    return {"resolution": (resolution, resolution), "resolutionunit": 2, "extratags": tags}


def test_cropped_tiffs_are_laid_where_they_say(tmp_path: Path) -> None:
    frames = exposures()
    boxes = [(0, 0, 144, 96), (10, 6, 144, 90), (0, 12, 120, 96)]  # left, top, right, bottom
    paths = [
        save_tiff(
            tmp_path / f"p{k}.tif", frames[k][top:bottom, left:right], **place(left + 7, top + 9)
        )
        for k, (left, top, right, bottom) in enumerate(boxes)
    ]
    bracket = read_bracket(paths)
    for frame, pixels, (left, top, right, bottom) in zip(
        bracket.frames, frames, boxes, strict=True
    ):
        assert frame.pixels.shape == (HEIGHT, WIDTH, 3)
        shown = np.zeros((HEIGHT, WIDTH), bool)
        shown[top:bottom, left:right] = True
        opaque = np.full(shown.shape, 255) if frame.opaque is None else frame.opaque
        assert np.array_equal(opaque == 255, shown)
        assert np.array_equal(frame.pixels[shown], pixels[shown])
    assert any("144 x 96" in note for note in bracket.notes)
    assert fuse(paths, tmp_path / "out.png").shape == (HEIGHT, WIDTH, 3)


def test_places_that_make_no_sense_are_passed_over(tmp_path: Path) -> None:
    frames = exposures()
    paths = [save_tiff(tmp_path / f"p{k}.tif", frames[k], **place(5000 * k, 0)) for k in range(3)]
    bracket = read_bracket(paths)
    assert [frame.pixels.shape for frame in bracket.frames] == [(HEIGHT, WIDTH, 3)] * 3
    assert all(frame.opaque is None for frame in bracket.frames)


def test_the_same_place_for_all_changes_nothing(tmp_path: Path) -> None:
    paths = [
        save_tiff(tmp_path / f"p{k}.tif", pixels, **place(40, 30))
        for k, pixels in enumerate(exposures())
    ]
    bracket = read_bracket(paths)
    assert not bracket.notes
    assert bracket.frames[0].pixels.shape == (HEIGHT, WIDTH, 3)


def test_a_data_window_inside_the_display_window_is_no_black(tmp_path: Path) -> None:
    import OpenEXR

    light = np.full((40, 50, 3), 0.5, np.float32)
    header = {
        "type": OpenEXR.scanlineimage,
        "dataWindow": (np.array([5, 0], np.int32), np.array([54, 39], np.int32)),
        "displayWindow": (np.array([0, 0], np.int32), np.array([59, 39], np.int32)),
    }
    OpenEXR.File(header, {"RGB": light}).write(str(tmp_path / "a.exr"))
    frame = read_frame(tmp_path / "a.exr")
    assert frame.opaque is not None
    assert (frame.opaque[:, :5] == 0).all()
    assert (frame.opaque[:, 5:55] == 255).all()
    assert frame.pixels[20, 0, 0] == pytest.approx(0.5, abs=0.01)


# Sizes --------------------------------------------------------------------------------------------


def save_sizes(folder: Path, sizes: list[tuple[int, int]]) -> list[Path]:
    paths = []
    for number, ((height, width), pixels) in enumerate(zip(sizes, exposures(), strict=True)):
        top, left = (HEIGHT - height) // 2, (WIDTH - width) // 2
        part = np.ascontiguousarray(pixels[top : top + height, left : left + width])
        Image.fromarray(part).save(folder / f"p{number}.png")
        paths.append(folder / f"p{number}.png")
    return paths


def test_photos_that_differ_by_their_edges_are_cropped_to_what_they_share(tmp_path: Path) -> None:
    bracket = read_bracket(save_sizes(tmp_path, [(96, 144), (94, 144), (96, 140)]))
    for frame, pixels in zip(bracket.frames, exposures(), strict=True):
        assert np.array_equal(frame.pixels, pixels[1:95, 2:142])
    assert len(bracket.notes) == 3
    assert "cropped from 144 x 96 to the 140 x 94 pixels" in bracket.notes[0]


def test_photos_of_wildly_different_sizes_stay_an_error(tmp_path: Path) -> None:
    with pytest.raises(BracketError, match="another size"):
        read_bracket(save_sizes(tmp_path, [(96, 144), (96, 144), (88, 144)]))


def test_the_case(shared: Path, tmp_path: Path) -> None:
    folder = shared / "cases" / "transparent_tiff"
    if not folder.is_dir():
        pytest.skip("needs ../shared/data/cases")
    paths = sorted(folder.iterdir())
    fuse_files(paths, tmp_path / "out.png")
    fused = read_image(tmp_path / "out.png").pixels * 255
    hidden = read_image(paths[2]).opaque
    assert hidden is not None
    assert np.allclose(fused[hidden == 0].mean(axis=0), (98, 108, 119), atol=13)
    # No dark line along the rim of what was transparent.
    rim = fused[:, 8:20].mean(axis=(0, 2))
    assert np.abs(np.diff(rim)).max() < 4


def test_a_transparent_colour_of_a_palette_is_transparent(tmp_path: Path) -> None:
    image = Image.fromarray(exposures()[0]).quantize(8)
    image.save(tmp_path / "palette.png", transparency=3)
    opaque = read_frame(tmp_path / "palette.png").opaque
    assert opaque is not None
    assert np.array_equal(opaque == 0, np.asarray(image) == 3)

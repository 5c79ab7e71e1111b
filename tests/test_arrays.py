"""Brackets from arrays: what is taken, what is refused in one line, and what comes back."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import ghostless
from ghostless import FuseOptions, ToneMapSettings
from ghostless.errors import InputError, OptionError
from tests import scenes

STOPS = (-2.0, 0.0, 2.0)


@pytest.fixture(scope="module")
def photos() -> list[NDArray[np.uint8]]:
    """Three exposures of one scene, RGB."""
    radiance = scenes.make_radiance(120, 160, seed=5, range_stops=6)
    return [scenes.expose(radiance, stops) for stops in STOPS]


def still(photos: Any, **options: Any) -> NDArray[Any]:
    """Fuse without looking for motion: the same frames are merged whatever the type."""
    return np.asarray(ghostless.fuse(photos, align="none", deghost="off", **options))


def test_an_array_comes_of_arrays_as_a_file_comes_of_files(
    photos: list[NDArray[np.uint8]], tmp_path: Path
) -> None:
    files = [tmp_path / f"IMG_{index}.png" for index in range(3)]
    for file, photo in zip(files, photos, strict=True):
        cv2.imwrite(str(file), photo[:, :, ::-1])
    ghostless.fuse_files(files, tmp_path / "out.png", FuseOptions(stops=STOPS))
    written = ghostless.read_frame(tmp_path / "out.png").pixels
    for given in (photos, files, [str(file) for file in files], np.stack(photos)):
        fused = ghostless.fuse(given, stops=STOPS)
        assert fused.space == "display"
        assert np.array_equal(np.rint(255 * np.asarray(fused)), written)
    ghostless.write_image(fused, tmp_path / "again.png")
    assert np.array_equal(ghostless.read_frame(tmp_path / "again.png").pixels, written)


def test_photos_may_come_in_any_order_and_without_stops(photos: list[NDArray[np.uint8]]) -> None:
    known = still(photos, stops=STOPS)
    assert np.array_equal(still(photos[::-1], stops=STOPS[::-1]), known)
    assert np.array_equal(still([photos[1], photos[0], photos[2]]), known)


@pytest.mark.parametrize(
    ("make", "tolerance"),
    [
        (lambda p: p.astype(np.uint16) * 257, 1e-4),
        (lambda p: (p.astype(np.uint16) * 257).astype(">u2"), 1e-4),
        (lambda p: p.astype(np.float32) / 255, 1e-4),
        (lambda p: p / 255.0, 1e-4),
        (lambda p: (p / 255.0).astype(np.float16), 0.02),
        (lambda p: np.asfortranarray(p), 0),
        (lambda p: p[::-1][::-1], 0),
    ],
    ids=["uint16", "big-endian", "float32", "float64", "float16", "fortran", "view"],
)
def test_types_mean_the_same_picture(
    photos: list[NDArray[np.uint8]],
    make: Callable[[NDArray[np.uint8]], NDArray[Any]],
    tolerance: float,
) -> None:
    same = still([make(photo) for photo in photos], stops=STOPS)
    assert np.abs(same - still(photos, stops=STOPS)).max() <= tolerance


def test_grey_photos_give_a_grey_picture(photos: list[NDArray[np.uint8]]) -> None:
    flat = still([photo[:, :, 1] for photo in photos])
    assert flat.shape == (120, 160, 3)
    assert np.ptp(flat, axis=2).max() < 1e-5
    assert np.array_equal(still([photo[:, :, 1:2] for photo in photos]), flat)


def test_colours_in_the_order_of_opencv(photos: list[NDArray[np.uint8]]) -> None:
    turned = [photo[:, :, ::-1] for photo in photos]
    assert np.array_equal(still(turned, channels="bgr"), still(photos))
    # The line that MergeMertens's users know, and ours in its place.
    theirs = cv2.createMergeMertens().process(turned)
    ours = still(turned, channels="bgr")[:, :, ::-1]
    assert np.corrcoef(theirs.ravel(), ours.ravel())[0, 1] > 0.98


def test_linear_numbers_are_said_to_be_so(photos: list[NDArray[np.uint8]]) -> None:
    frames = ghostless.as_bracket(photos).frames
    linear = [frame.linear() for frame in frames]
    fused = still(linear, transfer="linear")
    assert np.abs(fused - still(photos)).max() < 0.01


def test_whatever_gives_an_array_is_taken(photos: list[NDArray[np.uint8]]) -> None:
    class Camera:
        def __init__(self, pixels: NDArray[np.uint8]) -> None:
            self.pixels = pixels

        def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
            return np.array(self.pixels, dtype)

    assert np.array_equal(still([Camera(photo) for photo in photos]), still(photos))


def test_torch_tensors_are_taken(photos: list[NDArray[np.uint8]]) -> None:
    torch = pytest.importorskip("torch")
    tensors = [torch.tensor(photo / 255, requires_grad=True) for photo in photos]
    assert np.abs(still(tensors) - still(photos)).max() < 1e-4


def test_stages_take_arrays_as_well(photos: list[NDArray[np.uint8]]) -> None:
    assert ghostless.assign_stops(photos[::-1], STOPS[::-1]).stops == STOPS
    stack = ghostless.align_bracket(photos)
    assert len(stack.registrations) == 3
    assert ghostless.deghost_stack(photos).frames[0].pixels.shape == photos[0].shape
    assert np.array_equal(ghostless.fuse_stack(photos), still(photos))


def test_no_array_is_written_to(photos: list[NDArray[np.uint8]]) -> None:
    before = [photo.copy() for photo in photos]
    for photo in photos:
        photo.flags.writeable = False
    ghostless.fuse(photos, deghost="on")
    assert all(np.array_equal(a, b) for a, b in zip(photos, before, strict=True))


def test_radiance_unless_a_tone_mapping_is_asked_for(photos: list[NDArray[np.uint8]]) -> None:
    assert ghostless.fuse(photos, stops=STOPS, method="debevec").space == "linear"
    shown = ghostless.fuse(photos, stops=STOPS, method="debevec", tone_map="reinhard")
    assert shown.space == "display"
    told = FuseOptions(stops=STOPS, method="debevec", tone_map=ToneMapSettings("reinhard"))
    assert np.array_equal(ghostless.fuse(photos, told), shown)


def test_what_it_has_to_say_goes_with_the_result(photos: list[NDArray[np.uint8]]) -> None:
    fused = ghostless.fuse(photos, stops=(-2, 0, 7))
    assert any("stops" in note for note in fused.notes)
    seen: dict[str, Any] = {}
    stages: set[str] = set()
    ghostless.fuse(photos, observe=seen.__setitem__, progress=lambda name, _: stages.add(name))
    assert {"aligned", "deghosted", "fused"} <= set(seen)
    assert stages == {"exposure", "align", "deghost", "fuse"}


FLAT = np.full((40, 50, 3), 90, np.uint8)
UNIT = np.full((40, 50, 3), 0.5, np.float32)


def broken(value: float) -> NDArray[np.float32]:
    pixels = UNIT.copy()
    pixels[7, 9, 1] = value
    return pixels


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([FLAT], "at least 2 frames .* found 1"),
        ([FLAT] * 21, "at most 20 frames, found 21"),
        (FLAT, r"list of photos .* found one of shape \(40, 50, 3\).*\[a, b, c\]"),
        ("photo.jpg", "list of photos, found one str"),
        (7, "list of photos, found int"),
        ([FLAT, FLAT[:30]], "photo 2: expected 50 x 40 pixels like photo 1, found 50 x 30"),
        ([FLAT, np.moveaxis(FLAT, -1, 0)], r"photo 2: .*red, green, blue.*channels come first"),
        ([FLAT, np.dstack([FLAT, FLAT[:, :, :1]])], r"photo 2: .*photo\[:, :, :3\]"),
        ([FLAT, FLAT[None]], r"photo 2: .*found \(1, 40, 50, 3\)"),
        ([FLAT, FLAT.astype(np.int64)], "photo 2: .*uint8 .* found int64"),
        ([FLAT, FLAT > 3], "photo 2: .* found bool"),
        ([FLAT, FLAT[:0]], "photo 2: .*found"),
        ([UNIT, broken(np.nan)], "photo 2: .*found nan in row 7, column 9"),
        ([UNIT, broken(np.inf)], "photo 2: .*found inf in row 7, column 9"),
        ([UNIT, broken(255.0)], "photo 2: .*from 0 to 1, found 0.5 to 255; divide by 255"),
        ([UNIT, broken(-1.0)], "photo 2: .*found -1 to 0.5"),
        ([FLAT, "b.jpg"], "found 1 paths among 2 photos"),
        ([FLAT, object()], "photo 2: .* found object"),
        ([FLAT, FLAT], "equally exposed|exposure"),
    ],
)
def test_what_is_no_bracket_is_told_in_one_line(given: Any, told: str) -> None:
    with pytest.raises(InputError) as caught:
        ghostless.fuse(given)
    assert re.search(told, str(caught.value)), str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"metod": "mertens"}, "did you mean 'method'"),
        ({"method": "mertns"}, "did you mean 'mertens'"),
        ({"transfer": "log"}, "unknown transfer 'log'"),
        ({"channels": "gbr"}, "unknown order of channels 'gbr'"),
        ({"align": "homografy"}, "did you mean 'homography'"),
        ({"deghost": "maybe"}, "found 'maybe'"),
        ({"tone_map": "reinhard"}, "tone map: expected a method whose result is radiance"),
        ({"hdr": True}, "hdr: expected files"),
        ({"save_stages": Path("stages")}, "save_stages: expected files"),
        ({"stops_file": Path("stops.txt")}, "stops_file: expected files"),
        ({"stops": (1, 2)}, "stops"),
        ({"reference": 3}, "reference: expected an index"),
        ({"gains": (1, 2)}, "gains"),
    ],
)
def test_options_that_cannot_be_are_told_in_one_line(
    photos: list[NDArray[np.uint8]], options: dict[str, Any], told: str
) -> None:
    with pytest.raises(OptionError) as caught:
        ghostless.fuse(photos, **options)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_slight_overshoot_is_clipped(photos: list[NDArray[np.uint8]]) -> None:
    floats = [photo / 255 for photo in photos]
    floats[2][0, 0] = 1.004
    floats[0][0, 0] = -0.003
    pixels = [frame.pixels for frame in ghostless.as_bracket(floats).frames]
    assert pixels[2].max() == 1.0
    assert pixels[0].min() == 0.0


def test_pixels_of_a_result_as_numpy_wants_them() -> None:
    fused = ghostless.Fused(UNIT, "display")
    assert np.asarray(fused) is UNIT
    assert np.asarray(fused, np.float64).dtype == np.float64
    copied = np.array(fused)
    assert copied is not UNIT
    assert np.array_equal(copied, UNIT)
    with pytest.raises(ValueError, match="without a copy"):
        fused.__array__(np.dtype(np.uint8), copy=False)
    assert np.mean(fused) == pytest.approx(0.5)  # type: ignore[call-overload]


def test_values_have_short_names_for_themselves(photos: list[NDArray[np.uint8]]) -> None:
    bracket = ghostless.as_bracket(photos)
    assert repr(bracket.frames[0]) == "<Frame photo 1: 160 x 120, uint8 srgb, stops unknown>"
    exposed = ghostless.assign_stops(bracket, STOPS)
    assert repr(exposed) == "<Bracket of 3 photos: 160 x 120, uint8 srgb, stops -2 0 2>"
    stack = ghostless.align_bracket(exposed, reference=1)
    assert repr(stack) == ("<Stack of 3 frames: 160 x 120, uint8 srgb, stops -2 0 2, reference 1>")
    assert repr(ghostless.fuse_stack(stack)) == "<Fused: 160 x 120, display>"
    assert "exif" not in repr(ghostless.Metadata(exif=b"MM" * 1000))


def test_notebooks_show_results(photos: list[NDArray[np.uint8]], tmp_path: Path) -> None:
    wide = np.zeros((500, 2000, 3), np.float32)
    wide[:, :1000] = (1, 0.6, 0)
    for space in ("display", "linear"):
        data = ghostless.Fused(wide, space)._repr_png_()  # type: ignore[arg-type]
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        assert image.shape == (160, 640, 3)
        green = 153 if space == "display" else 203
        assert image[80, 100].tolist() == [0, green, 255]
    opaque = np.zeros((500, 2000), np.uint8)
    data = ghostless.Fused(wide, "display", opaque=opaque)._repr_png_()
    assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED).shape == (160, 640, 4)

    files = [tmp_path / f"<{index}>.png" for index in range(3)]
    for file, photo in zip(files, photos, strict=True):
        cv2.imwrite(str(file), photo)
    report = ghostless.fuse_files(files, tmp_path / "out.png", FuseOptions(stops=STOPS))
    told = report._repr_html_()
    assert "&lt;0&gt;.png" in told
    assert "<0>" not in told
    assert told.count("<tr>") == 4
    assert "reference" in told

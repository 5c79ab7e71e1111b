"""Exposures in stops: from EXIF, users, side files and pixels; and the choice of a reference."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ghostless.bracket import Bracket, Frame, Metadata
from ghostless.errors import BracketError, FileReadError, OptionError
from ghostless.exposure.assign import assign_stops
from ghostless.exposure.curves import display_values
from ghostless.exposure.estimate import estimate_stops
from ghostless.exposure.metadata import stops_from_metadata
from ghostless.exposure.reference import choose_reference

from . import scenes


def bracket_with_exif(true: Sequence[float], told: Sequence[float | None], **how: bool) -> Bracket:
    """A bracket whose pixels were exposed at `true` stops and whose EXIF says `told`."""
    frames = scenes.make_frames(scenes.make_radiance(120, 160, 3), true, known=False, **how)
    return Bracket(
        tuple(
            replace(
                frame,
                path=Path(f"photo_{index}.jpg"),
                metadata=Metadata(
                    shutter_seconds=None if stops is None else 2.0**stops / 60,
                    aperture_f_number=8.0,
                    iso=100,
                ),
            )
            for index, (frame, stops) in enumerate(zip(frames, told, strict=True))
        )
    )


def relative(bracket: Bracket) -> list[float]:
    return [stops - bracket.stops[0] for stops in bracket.stops]


def flat(value: int, height: int = 8, width: int = 8) -> Frame:
    return Frame(np.full((height, width, 3), value, np.uint8))


# --- metadata -----------------------------------------------------------------------------------


def test_stops_of_a_stop_more_light_are_one_more() -> None:
    base = Metadata(shutter_seconds=1 / 60, aperture_f_number=8.0, iso=200)
    first = stops_from_metadata(base)
    assert first is not None
    for change in ({"shutter_seconds": 1 / 30}, {"iso": 400}, {"aperture_f_number": 8 / 2**0.5}):
        assert stops_from_metadata(replace(base, **change)) == pytest.approx(first + 1)


@pytest.mark.parametrize("shutter", [None, 0.0, -1.0, math.nan, math.inf])
def test_a_shutter_time_that_is_nonsense_gives_none(shutter: float | None) -> None:
    assert stops_from_metadata(Metadata(shutter_seconds=shutter, iso=100)) is None


@pytest.mark.parametrize("value", [None, 0.0, -2.0, math.nan])
def test_aperture_and_iso_that_are_nonsense_do_not_count(value: float | None) -> None:
    metadata = Metadata(shutter_seconds=0.25, aperture_f_number=value, iso=value)
    assert stops_from_metadata(metadata) == pytest.approx(-2)


def test_an_aperture_missing_in_one_frame_is_that_of_the_others() -> None:
    bracket = bracket_with_exif((-2, 0, 2), (-2, 0, 2))
    middle = replace(
        bracket.frames[1], metadata=replace(bracket.frames[1].metadata, aperture_f_number=0.0)
    )
    done = assign_stops(Bracket((bracket.frames[0], middle, bracket.frames[2])))
    assert relative(done) == pytest.approx([0, 2, 4])
    assert not done.notes


def test_exposure_bias_serves_where_shutter_times_are_missing() -> None:
    bracket = bracket_with_exif((-2, 0, 2), (None, None, None))
    frames = tuple(
        replace(frame, metadata=Metadata(exposure_bias_stops=bias))
        for frame, bias in zip(bracket.frames, (-1.7, 0.0, 1.7), strict=True)
    )
    done = assign_stops(Bracket(frames))
    assert relative(done) == pytest.approx([0, 1.7, 3.4])
    assert {frame.stops_source for frame in done.frames} == {"exif"}


# --- the estimate -------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(
    steps=st.lists(st.floats(0.4, 2.5), min_size=1, max_size=4),
    seed=st.integers(0, 50),
    depth=st.sampled_from([8, 16]),
    linear=st.booleans(),
)
def test_the_estimate_finds_the_stops_of_srgb_and_linear_frames(
    steps: list[float], seed: int, depth: int, linear: bool
) -> None:
    stops = np.cumsum([0.0, *steps])
    stops -= stops.mean()
    radiance = scenes.make_radiance(96, 128, seed)
    depth = 16 if linear else depth
    bracket = scenes.make_bracket(radiance, tuple(stops), known=False, depth=depth, linear=linear)
    found = np.diff(estimate_stops(bracket))
    assert found == pytest.approx(np.diff(stops), rel=0.12, abs=0.1)


def s_curve(light: np.ndarray) -> np.ndarray:
    y = np.clip(light, 0, 1) ** (1 / 2.2)
    return np.asarray(0.3 * y + 0.7 * (3 * y**2 - 2 * y**3))


def film(light: np.ndarray) -> np.ndarray:
    return np.asarray(((1 - np.exp(-3 * np.clip(light, 0, 1))) / (1 - np.exp(-3))) ** (1 / 2.2))


@pytest.mark.parametrize(
    "curve", [s_curve, film, lambda x: np.clip(x, 0, 1) ** (1 / 2.2)], ids=["s", "film", "gamma"]
)
def test_the_estimate_bears_with_unknown_camera_curves(curve) -> None:  # type: ignore[no-untyped-def]
    radiance = scenes.make_radiance(160, 240, 5)
    frames = tuple(
        Frame(np.rint(curve(radiance * np.float32(2.0**stops)) * 255).astype(np.uint8))
        for stops in (-2, 0, 2)
    )
    found = np.diff(estimate_stops(Bracket(frames)))
    assert (found > 1.3).all()
    assert (found < 2.7).all()


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_the_estimate_finds_the_contrast_of_the_camera(strength: float) -> None:
    radiance = scenes.make_radiance(160, 240, 6).astype(np.float64)
    frames = tuple(
        Frame(np.rint(display_values(np.log2(radiance) + stops, strength) * 255).astype(np.uint8))
        for stops in (-2, 0, 2)
    )
    assert np.diff(estimate_stops(Bracket(frames))) == pytest.approx([2, 2], rel=0.08)


def test_the_estimate_bears_with_shake_and_a_passer_by() -> None:
    radiance = scenes.make_radiance(240, 320, 8)
    seen = []
    for index in range(3):
        turn = cv2.getRotationMatrix2D((160, 120), 1.5 * index, 1.0)
        turn[:, 2] += 6 * index
        shaken = cv2.warpAffine(radiance, turn, (320, 240), borderMode=cv2.BORDER_REFLECT)
        seen.append(scenes.add_disc(shaken, (60 + 90 * index, 120), 40, colour=(0.5, 0.1, 0.05)))
    bracket = scenes.make_bracket(seen, (-2, 0, 2), known=False, noise=1.0)
    assert np.diff(estimate_stops(bracket)) == pytest.approx([2, 2], abs=0.35)


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.integers(0, 255), min_size=2, max_size=5),
    size=st.sampled_from([(1, 1), (7, 5), (8, 8)]),
    kind=st.sampled_from(["flat", "random", "float"]),
)
def test_the_estimate_is_finite_and_in_order_on_anything(
    values: list[int], size: tuple[int, int], kind: str
) -> None:
    random = np.random.default_rng(sum(values))
    pattern = random.integers(0, 30, (*size, 3)) if kind == "random" else 0
    codes = [np.clip(value + pattern, 0, 255) for value in values]
    if kind == "float":
        pixels = [(c / 255).astype(np.float32) for c in np.broadcast_arrays(*codes)]
        frames = tuple(Frame(np.zeros((*size, 3), np.float32) + p, "linear") for p in pixels)
    else:
        frames = tuple(Frame((np.zeros((*size, 3)) + c).astype(np.uint8)) for c in codes)
    found = estimate_stops(Bracket(frames))
    assert all(math.isfinite(value) for value in found)
    means = [float(frame.pixels.mean()) for frame in frames]
    for a in range(len(frames)):
        for b in range(len(frames)):
            if means[a] <= means[b]:
                assert found[a] <= found[b] + 1e-9


def test_the_estimate_does_not_depend_on_the_order_of_the_frames() -> None:
    frames = scenes.make_frames(scenes.make_radiance(90, 120, 2), (-3, -1, 0, 2), known=False)
    straight = np.array(estimate_stops(Bracket(frames)))
    order = [2, 0, 3, 1]
    mixed = np.array(estimate_stops(Bracket(tuple(frames[i] for i in order))))
    assert mixed - mixed[1] == pytest.approx(straight[order] - straight[0], abs=1e-9)


def test_nan_in_a_float_frame_does_no_harm() -> None:
    frames = scenes.make_frames(scenes.make_radiance(60, 80, 2), (-1, 1), known=False, linear=True)
    pixels = [frame.pixels.astype(np.float32) / 65535 for frame in frames]
    pixels[0][10:14, 10:20] = np.nan
    bracket = Bracket(tuple(Frame(p.astype(np.float32), "linear") for p in pixels))
    assert all(math.isfinite(value) for value in estimate_stops(bracket))


REAL = {
    "kalantari17_007": (("input_1.jpg", "input_2.jpg", "input_3.jpg"), (0, 2, 4)),
    "kalantari17_009": (("input_1.jpg", "input_2.jpg", "input_3.jpg"), (0, 2, 4)),
    "kalantari17_037": (("input_1.jpg", "input_2.jpg", "input_3.jpg"), (0, 2, 4)),
    "pingpong": (("Img1.jpg", "Img2.jpg", "Img3.jpg"), (-2, 0, 2)),
    "sculpture_garden": (("1.png", "2.png", "3.png", "4.png", "5.png"), (-2, -1, 0, 1, 2)),
    "hdrtoolbox_handheld": (("IMG_4210.jpg", "IMG_4209.jpg", "IMG_4211.jpg"), (-2, 0, 2)),
}


def read_real(folder: Path, names: Sequence[str]) -> Bracket:
    return Bracket(
        tuple(
            Frame(cv2.imread(str(folder / name), cv2.IMREAD_COLOR)[:, :, ::-1], path=folder / name)
            for name in names
        )
    )


@pytest.mark.parametrize("name", REAL)
def test_the_estimate_is_near_on_real_brackets(shared: Path, name: str) -> None:
    names, stops = REAL[name]
    bracket = read_real(shared / "dynamic" / name, names)
    found = np.diff(estimate_stops(bracket))
    assert found == pytest.approx(np.diff(stops), rel=0.3)


@pytest.mark.parametrize("name", sorted(set(REAL) - {"hdrtoolbox_handheld"}))
def test_side_files_of_real_brackets_are_found_and_agree(shared: Path, name: str) -> None:
    names, stops = REAL[name]
    bracket = read_real(shared / "dynamic" / name, names[::-1])
    done = assign_stops(bracket)
    assert done.stops == pytest.approx(stops)
    assert [frame.name for frame in done.frames] == list(names)
    assert {frame.stops_source for frame in done.frames} == {"file"}
    assert not done.notes


# --- putting it together ------------------------------------------------------------------------


def test_frames_are_sorted_dark_to_bright_by_exif() -> None:
    done = assign_stops(bracket_with_exif((2, -2, 0), (2, -2, 0)))
    assert [frame.name for frame in done.frames] == ["photo_1.jpg", "photo_2.jpg", "photo_0.jpg"]
    assert relative(done) == pytest.approx([0, 2, 4])
    assert {frame.stops_source for frame in done.frames} == {"exif"}
    assert done.notes == ()


def test_the_user_is_believed_before_exif() -> None:
    done = assign_stops(bracket_with_exif((-2, 0, 2), (-2, 0, 2)), stops=(-1.7, 0, 1.7))
    assert done.stops == pytest.approx((-1.7, 0, 1.7))
    assert {frame.stops_source for frame in done.frames} == {"user"}
    assert done.notes == ()


def test_a_user_who_contradicts_the_pixels_is_believed_and_told() -> None:
    done = assign_stops(bracket_with_exif((-2, 0, 2), (-2, 0, 2)), stops=(2, 0, -2))
    assert done.stops == (-2, 0, 2)
    assert [frame.name for frame in done.frames] == ["photo_2.jpg", "photo_1.jpg", "photo_0.jpg"]
    assert len(done.notes) == 1
    assert "believed" in done.notes[0]


def test_no_exif_at_all_leaves_it_to_the_pixels() -> None:
    done = assign_stops(bracket_with_exif((2, -2, 0), (None, None, None)))
    assert relative(done) == pytest.approx([0, 2, 4], abs=0.2)
    assert {frame.stops_source for frame in done.frames} == {"pixels"}


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_frame_without_exif_is_placed_among_the_others(missing: int) -> None:
    told: list[float | None] = [-2, 0, 2]
    told[missing] = None
    done = assign_stops(bracket_with_exif((-2, 0, 2), told))
    assert relative(done) == pytest.approx([0, 2, 4], abs=0.3)
    sources = ["exif"] * 3
    sources[missing] = "pixels"
    assert [frame.stops_source for frame in done.frames] == sources
    assert f"photo_{missing}.jpg" in done.notes[0]


@pytest.mark.parametrize(
    "told",
    [(2, 0, -2), (0, 0, 0), (-2, -6, 2), (-2, 0, 9), (5, 0, 2)],
    ids=["reversed", "all equal", "middle too dark", "far off", "one wrong"],
)
def test_exif_that_contradicts_the_pixels_is_overruled(told: tuple[float, ...]) -> None:
    done = assign_stops(bracket_with_exif((-2, 0, 2), told))
    assert [frame.name for frame in done.frames] == ["photo_0.jpg", "photo_1.jpg", "photo_2.jpg"]
    assert relative(done) == pytest.approx([0, 2, 4], abs=0.4)
    assert len(done.notes) == 1
    assert "EXIF contradicts the pixels" in done.notes[0]


def test_only_the_wrong_one_of_many_is_overruled() -> None:
    done = assign_stops(bracket_with_exif((-4, -2, 0, 2, 4), (-4, -2, 8, 2, 4)))
    assert relative(done) == pytest.approx([0, 2, 4, 6, 8], abs=0.3)
    assert [frame.stops_source for frame in done.frames].count("exif") == 4
    assert "overruled for photo_2.jpg:" in done.notes[0]


@settings(max_examples=20, deadline=None)
@given(step=st.floats(0.33, 3.0), seed=st.integers(0, 20), count=st.integers(2, 5))
def test_true_exif_is_never_overruled(step: float, seed: int, count: int) -> None:
    stops = (np.arange(count) - (count - 1) / 2) * step
    radiance = scenes.make_radiance(64, 96, seed)
    frames = scenes.make_frames(radiance, tuple(stops), known=False, noise=1.0)
    frames = tuple(
        replace(frame, metadata=Metadata(shutter_seconds=2.0**value / 60))
        for frame, value in zip(frames, stops, strict=True)
    )
    done = assign_stops(Bracket(frames))
    assert done.notes == ()
    assert np.diff(done.stops) == pytest.approx(np.full(count - 1, step))


def test_assigning_twice_changes_nothing() -> None:
    once = assign_stops(bracket_with_exif((2, -2, 0), (2, None, 0)))
    twice = assign_stops(once)
    assert twice.stops == pytest.approx(once.stops)
    assert twice.notes == once.notes


def test_given_stops_of_frames_are_kept() -> None:
    frames = scenes.make_frames(scenes.make_radiance(50, 60, 1), (2, -1))
    done = assign_stops(Bracket(frames))
    assert done.stops == (-1, 2)


# --- bad input ----------------------------------------------------------------------------------


def test_another_number_of_stops_than_frames_names_both() -> None:
    with pytest.raises(OptionError, match=r"3 frames, found 2 stops"):
        assign_stops(bracket_with_exif((-2, 0, 2), (-2, 0, 2)), stops=(-2, 2))


@pytest.mark.parametrize("stops", [(math.nan, 0, 1), (math.inf, 0, 1), (0, 20, 320)])
def test_stops_that_are_no_stops_are_refused(stops: tuple[float, ...]) -> None:
    with pytest.raises(OptionError, match="expected exposures in stops"):
        assign_stops(bracket_with_exif((-2, 0, 2), (-2, 0, 2)), stops=stops)


@pytest.mark.parametrize("how", ["user", "exif", "pixels"])
def test_frames_of_one_exposure_are_no_bracket(how: str) -> None:
    bracket = bracket_with_exif((0, 0, 0), (None if how == "pixels" else 0,) * 3, noise=True)
    with pytest.raises(BracketError, match="all frames equally exposed"):
        assign_stops(bracket, stops=(1, 1, 1) if how == "user" else None)


@pytest.mark.parametrize(
    ("values", "what"), [((0, 0), "all black"), ((255, 255), "all white"), ((0, 255), "black or")]
)
def test_nothing_but_black_and_white_is_refused(values: tuple[int, ...], what: str) -> None:
    with pytest.raises(BracketError, match=what):
        assign_stops(Bracket(tuple(flat(value) for value in values)), stops=(0, 1))


@pytest.mark.parametrize(("value", "what"), [(0, "black"), (255, "white")])
def test_one_useless_frame_is_kept_with_a_note(value: int, what: str) -> None:
    good = scenes.make_frames(scenes.make_radiance(40, 50, 1), (-1, 1), known=False)
    done = assign_stops(Bracket((*good, flat(value, 40, 50))))
    assert len(done.frames) == 3
    assert any(f"is all {what}" in note for note in done.notes)
    assert done.frames[0 if value == 0 else 2].pixels[0, 0, 0] == value


def test_a_named_side_file_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("1\n2\n")
    with pytest.raises(FileReadError, match="expected 3 exposures"):
        assign_stops(bracket_with_exif((-2, 0, 2), (-2, 0, 2)), side_file=tmp_path / "mine.txt")


@pytest.mark.parametrize("content", ["1\n2\n", "2 0 -2", "hello"])
def test_a_found_side_file_that_does_not_fit_is_passed_over(tmp_path: Path, content: str) -> None:
    (tmp_path / "ev.txt").write_text(content)
    bracket = bracket_with_exif((-2, 0, 2), (-2, 0, 2))
    frames = tuple(replace(frame, path=tmp_path / frame.name) for frame in bracket.frames)
    done = assign_stops(Bracket(frames))
    assert relative(done) == pytest.approx([0, 2, 4])
    assert {frame.stops_source for frame in done.frames} == {"exif"}
    assert "passed over" in done.notes[0]


# --- the reference ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stops", "best"),
    [((-3, 0, 3), 1), ((-6, -3, 0), 2), ((0, 3, 6), 0), ((-4, -2, 0, 2, 4), 2), ((-5, 0), 1)],
)
def test_the_reference_is_the_well_exposed_frame(stops: tuple[float, ...], best: int) -> None:
    radiance = scenes.make_radiance(120, 160, 4, range_stops=6)
    assert choose_reference(scenes.make_bracket(radiance, stops)) == best


def test_equal_frames_give_the_middle_one() -> None:
    assert choose_reference(Bracket(tuple(flat(100) for _ in range(5)))) == 2


def test_a_clipped_light_costs_more_than_a_dark_corner() -> None:
    dark = np.full((40, 40, 3), 120, np.uint8)
    bright = dark.copy()
    dark[:10] = 8
    bright[:10] = 255
    assert choose_reference(Bracket((Frame(dark), Frame(bright)))) == 0


def test_a_person_in_the_light_of_a_window_gets_the_middle_frame(shared: Path) -> None:
    bracket = read_real(shared / "dynamic" / "pingpong", REAL["pingpong"][0])
    assert choose_reference(bracket) == 1


def moving_bracket(
    colour: tuple[float, float, float], stops: tuple[float, ...], surroundings: float = 0.18
) -> Bracket:
    scene = scenes.make_radiance(240, 320, 4, range_stops=2) * np.float32(surroundings / 0.18)
    places = np.linspace(80, 240, len(stops))
    radiances = [scenes.add_disc(scene, (x, 120), 28, colour) for x in places]
    return Bracket(scenes.make_frames(radiances, stops, noise=0.5))


def test_what_moves_should_not_be_clipped_in_the_reference() -> None:
    bright = moving_bracket((1.9, 1.7, 1.5), (-2, 0, 2))
    assert choose_reference(bright) == 0
    still = Bracket(
        scenes.make_frames(scenes.make_radiance(240, 320, 4, range_stops=2), (-2, 0, 2))
    )
    assert choose_reference(still) == 1


def test_what_moves_should_not_be_lost_in_noise_either() -> None:
    dark = moving_bracket((0.004, 0.004, 0.005), (-3, 0, 2))
    assert choose_reference(dark) > 0


def test_choosing_takes_next_to_no_time_on_large_photos() -> None:
    frames = moving_bracket((1.9, 1.7, 1.5), (-2, 0, 2)).frames
    large = tuple(
        replace(f, pixels=np.ascontiguousarray(np.tile(f.pixels, (8, 8, 1)))) for f in frames
    )
    assert choose_reference(Bracket(large)) == 0

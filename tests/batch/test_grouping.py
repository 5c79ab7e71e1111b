"""Which photos make a bracket, on records alone."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ghostless.batch.grouping import group_photos, open_questions
from ghostless.batch.order import Evidence, Photo, idle_seconds, in_order, lit_photos
from ghostless.batch.patterns import SAME_STOPS
from ghostless.batch.segments import GroupSettings
from ghostless.errors import OptionError

from .shoots import (
    NOTHING_TOLD,
    OUTWARDS_5,
    THREE,
    Shoot,
    grouped,
    names,
    without_metadata,
)

PATTERNS = [
    THREE,
    (0.0, -2.0, 2.0),
    (0.0, -1.0, 1.0),
    OUTWARDS_5,
    (4.0, 2.0, 0.0, -2.0, -4.0),
    tuple(float(stop) for stop in range(-3, 4)),
    (0.0, -1.0, 1.0, -2.0, 2.0, -3.0, 3.0, -4.0, 4.0),
    (0.0, -2 / 3, 2 / 3),
]
patterns = st.sampled_from(PATTERNS)
quick = settings(deadline=None, max_examples=30)


def day(pattern: tuple[float, ...], seed: int, brackets: int = 12) -> Shoot:
    """Brackets with single shots in between, an interrupted series, and pauses of all kinds."""
    dice = random.Random(seed)
    shoot = Shoot()
    for _ in range(brackets):
        base = dice.randint(-6, 6) / 3
        kind = dice.random()
        if kind < 0.65:
            shoot.bracket(pattern, base)
        elif kind < 0.70:
            shoot.bracket(pattern[:-1], base)
        else:
            shoot.single(base)
        shoot.wait(dice.choice([0.5, 2.0, 5.0, 20.0]))
    return shoot


# ---- what people shoot ----


@quick
@given(patterns, st.lists(st.integers(-9, 9), min_size=1, max_size=8))
def test_brackets_with_pauses_are_found(pattern: tuple[float, ...], thirds: list[int]) -> None:
    shoot = Shoot()
    for third in thirds:
        shoot.bracket(pattern, third / 3).wait(15)
    assert names(grouped(shoot)) == shoot.truth


@quick
@given(patterns, st.integers(2, 6))
def test_series_in_a_row_without_a_pause_are_told_apart(
    pattern: tuple[float, ...], count: int
) -> None:
    shoot = Shoot()
    for _ in range(count):
        shoot.bracket(pattern)
    assert names(grouped(shoot)) == shoot.truth


def test_series_in_a_row_at_other_exposures_are_told_apart_by_their_pattern() -> None:
    shoot = Shoot().bracket().bracket(base=1).wait(10).bracket(base=0.5)
    shoot.wait(9).bracket(base=-1).bracket(base=1)
    assert names(grouped(shoot)) == shoot.truth


def test_single_shots_in_between_stay_single() -> None:
    shoot = Shoot().bracket().single().single(1).bracket().single(4).bracket().single(-4)
    shoot.wait(10).single().single(1).bracket()
    assert names(grouped(shoot, look=True)) == shoot.truth


def test_single_shots_of_different_exposure_are_no_bracket() -> None:
    shoot = Shoot()
    for stops in (0, 1.3, 0.4, 2.1, -1.0, 0.7):
        shoot.single(stops).wait(4)
    assert names(grouped(shoot, look=True)) == shoot.truth


@pytest.mark.parametrize("taken", [1, 2, 3, 4])
def test_an_interrupted_series_is_kept_apart_from_its_repetition_and_says_so(taken: int) -> None:
    shoot = Shoot().bracket(OUTWARDS_5).wait(9).bracket(OUTWARDS_5[:taken]).bracket(OUTWARDS_5)
    shoot.wait(9).bracket(OUTWARDS_5).wait(9).bracket(OUTWARDS_5)
    groups = grouped(shoot, look=True)
    assert names(groups) == shoot.truth
    notes = [group.note for group in groups]
    assert notes[1] == ("" if taken == 1 else f"interrupted series: {taken} photos, others have 5")
    assert notes[0] == notes[2] == ""


def test_long_exposures_are_counted_from_their_end() -> None:
    shoot = Shoot()
    for base in (9.0, 10.0, 8.0, 10.0):  # up to 32 s, hence 35 s from one photo to the next
        shoot.bracket((-2.0, 0.0, 2.0), base).wait(6)
    assert names(grouped(shoot)) == shoot.truth
    first, second = Photo("a", start_seconds=0, shutter_seconds=30), Photo("b", start_seconds=31)
    assert idle_seconds(first, second) == 1
    noise_reduced = replace(second, start_seconds=62)
    assert idle_seconds(first, noise_reduced) == 2
    assert idle_seconds(replace(first, shutter_seconds=0.01), noise_reduced) == pytest.approx(
        62, abs=0.1
    )
    assert idle_seconds(Photo("a"), second) is None


def test_iso_and_aperture_count_as_the_shutter_does() -> None:
    shoot = Shoot()
    for _ in range(3):
        shoot.bracket((0.0, -2.0, 2.0)).wait(8)
    # The same exposures made with one shutter time: only `stops` differ.
    shoot.change(lambda photo: True, shutter_seconds=1 / 60)
    assert names(grouped(shoot)) == shoot.truth


def test_three_and_five_shots_in_one_shoot() -> None:
    shoot = Shoot().bracket().wait(9).bracket(OUTWARDS_5).wait(9).bracket().bracket().wait(5)
    shoot.bracket(OUTWARDS_5).wait(8).bracket().bracket(OUTWARDS_5).wait(8).bracket()
    assert names(grouped(shoot)) == shoot.truth


def test_slow_brackets_set_by_hand_are_found_with_the_pixels() -> None:
    shoot = Shoot().bracket((-3.0, 0.0, 2.0), pause=5).wait(40).bracket((-3.0, 0.0, 3.0), pause=6)
    assert names(grouped(shoot, look=True)) == shoot.truth


@pytest.mark.parametrize(
    "facts",
    [{"lens": "another"}, {"focal_length_mm": 50.0}, {"width": 3000, "height": 2000},
     {"width": 4000, "height": 6000}, {"camera": "another"}],
)  # fmt: skip
def test_other_lens_focal_length_size_or_camera_is_another_bracket(
    facts: dict[str, object],
) -> None:
    usual: dict[str, object] = {"lens": "lens", "focal_length_mm": 24.0}
    shoot = Shoot(facts=usual).bracket((-4.0, -2.0, 0.0)).bracket((2.0, 4.0, 6.0))
    assert names(grouped(shoot)) == [tuple(photo.name for photo in shoot.photos)]
    shoot = Shoot(facts=usual).bracket((-4.0, -2.0, 0.0))
    shoot.facts = {**usual, **facts}
    shoot.bracket((2.0, 4.0, 6.0))
    assert sorted(names(grouped(shoot))) == sorted(shoot.truth)


def test_two_cameras_at_once_are_told_apart() -> None:
    one, two = Shoot(facts={"camera": "one"}), Shoot(facts={"camera": "two"}, prefix="DSC")
    for _ in range(3):
        one.bracket().wait(7)
        two.bracket(OUTWARDS_5).wait(6)
    photos = [*one.photos, *two.photos]
    assert sorted(names(group_photos(photos))) == sorted([*one.truth, *two.truth])


def test_a_counter_that_starts_again_keeps_the_order_of_time() -> None:
    shoot = Shoot(number=9998).bracket().wait(9)
    shoot.change(lambda p: p.name == "IMG_10000.jpg", name="IMG_0001.jpg")
    shoot.number = 2
    shoot.bracket()
    truth = [("IMG_9998.jpg", "IMG_9999.jpg", "IMG_0001.jpg"), shoot.truth[1]]
    assert names(grouped(shoot)) == truth


# ---- exposures that come twice, pairs, and other light ----

BY_APERTURE = (0.0, 0.67, 1.96, 2.34, 2.34, 1.31, -0.69)  # up, then down
WITH_EQUALS = [
    BY_APERTURE,
    (-2.0, -1.0, 0.0, 0.0, 1.0),
    (-2.0, 0.0, 0.0, 0.0, 2.0),
    (-3.0, -2.0, -1.0, 0.0, 0.0, 1.0, 2.0),
    (0.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0),
    (-3.0, -3.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0),
    # Outwards, to where the shutter can go no faster.
    (0.0, -1.0, 1.0, -2.0, 2.0, -2.0, 3.0),
]


@pytest.mark.parametrize("offsets", WITH_EQUALS)
@pytest.mark.parametrize(("within", "between"), [(0.3, 6), (1.0, 14), (4.0, 20)])
@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_sets_that_stand_apart_may_have_equal_exposures(
    offsets: tuple[float, ...], within: float, between: float, count: int
) -> None:
    shoot = Shoot()
    for number in range(count):
        shoot.bracket(offsets, number % 3 / 3, pause=within).wait(between)
    assert names(grouped(shoot, look=True)) == shoot.truth


def test_a_set_with_equal_exposures_is_found_again_without_a_pause() -> None:
    shoot = Shoot()
    for _ in range(2):
        shoot.bracket(BY_APERTURE).wait(15).bracket(BY_APERTURE).wait(15)
    shoot.bracket(BY_APERTURE).bracket(BY_APERTURE)
    assert names(grouped(shoot, look=True)) == shoot.truth


def test_bursts_beside_brackets_are_no_brackets() -> None:
    shoot = Shoot()
    for burst in ((0.0,) * 6, (0.0, 0.0, 0.33, 0.33, 0.33, 0.0), (1.0, 1.0, 1.0)):
        shoot.bracket().wait(9).bracket(burst, pause=0.1, apart=True).wait(9)
    assert names(grouped(shoot, look=True)) == shoot.truth


@pytest.mark.parametrize("step", [2.0, -3.0, 4.06, 5.0])
@pytest.mark.parametrize("count", [2, 5])
def test_pairs_are_found_by_pauses_even_where_few_pixels_can_be_compared(
    step: float, count: int
) -> None:
    shoot = Shoot()
    for _ in range(count):
        shoot.bracket((0.0, step), pause=1).wait(29)
    dim = 0.63 if abs(step) >= 4 else 0.8
    pixels: dict[tuple[str, str], Evidence] = {}
    while pairs := open_questions(shoot.photos, GroupSettings(), pixels):
        for pair in pairs:
            seen = shoot.look(pair)
            alike = seen.likeness is not None and seen.likeness > 0.5
            pixels[pair] = replace(seen, likeness=dim) if alike else seen
    assert names(group_photos(shoot.photos, GroupSettings(), pixels)) == shoot.truth


@pytest.mark.parametrize("place", [0, 1, 3])
@pytest.mark.parametrize("flash_stops", [-3.4, -4.0, 0.0])
def test_a_photo_by_flash_is_never_in_a_bracket_with_others(place: int, flash_stops: float) -> None:
    shoot = Shoot()
    for _ in range(5):
        offsets = [0.0, -2.0, 2.0]
        offsets.insert(place, flash_stops)
        shoot.bracket(offsets).wait(30)
        taken = shoot.truth.pop()
        ambient = tuple(name for i, name in enumerate(taken) if i != place)
        shoot.truth += [ambient, (taken[place],)]
        shoot.change(lambda photo, lit=taken[place]: photo.name == lit, flash=True)  # type: ignore[misc]
    groups = grouped(shoot, look=True)
    assert sorted(names(groups)) == sorted(shoot.truth)
    assert {group.note for group in groups if not group.is_bracket} == {
        "lit by a flash, or in another light than the photos around it"
    }


@pytest.mark.parametrize("flash_stops", [-3.4, -4.0])
def test_a_flash_that_no_camera_tells_of_is_told_by_the_pixels(flash_stops: float) -> None:
    """As bright as the others at a 10th of the exposure."""
    shoot = Shoot()
    for _ in range(4):
        shoot.bracket((0.0, -2.0, 2.0, flash_stops)).wait(30)
        *ambient, lit = shoot.truth.pop()
        shoot.truth += [tuple(ambient), (lit,)]
    flashes = {group[0] for group in shoot.truth if len(group) == 1}
    pixels: dict[tuple[str, str], Evidence] = {}
    while pairs := open_questions(shoot.photos, GroupSettings(), pixels):
        for pair in pairs:
            seen = shoot.look(pair)
            if pair[1] in flashes:
                seen = Evidence(0.7, -1.2, 0.2)
            elif pair[0] in flashes:
                seen = Evidence(0.1, 0.3, 0.2)
            pixels[pair] = seen
    assert names(group_photos(shoot.photos, GroupSettings(), pixels)) == shoot.truth
    assert set(lit_photos(shoot.photos, pixels)) == flashes


def test_what_is_in_a_bracket_by_its_exposure_alone_is_told() -> None:
    shoot = Shoot(facts={"start_seconds": None, "camera": None}).bracket((-2.0, 0.0))
    shoot.bracket((2.0,))
    bracket, stranger = grouped(shoot, look=True)
    assert "IMG_0003.jpg beside it would fit" in bracket.note
    assert "shows something else" in stranger.note


# ---- what metadata do not tell ----


def test_a_photo_without_metadata_is_found_by_the_pattern() -> None:
    shoot = Shoot()
    for _ in range(5):
        shoot.bracket().bracket(base=1).wait(4)
    shoot.change(lambda photo: photo.name[6:8] in ("01", "08", "14", "15", "30"), **NOTHING_TOLD)
    assert names(grouped(shoot, look=True)) == shoot.truth


def test_a_nearly_white_photo_that_tells_nothing_and_shows_nothing_keeps_its_place() -> None:
    shoot = Shoot()
    for _ in range(4):
        shoot.bracket().wait(5)
    photos = shoot.change(lambda photo: photo.name.endswith("06.jpg"), **NOTHING_TOLD).photos
    white = "IMG_0006.jpg"
    pixels = {
        pair: Evidence() if white in pair else shoot.look(pair)
        for pair in zip(map(str, names_of(photos)), map(str, names_of(photos[1:])))  # noqa: B905
    }
    assert names(group_photos(photos, GroupSettings(), pixels)) == shoot.truth


def names_of(photos: list[Photo]) -> list[str]:
    return [photo.name for photo in photos]


@settings(deadline=None, max_examples=8)
@given(patterns, st.integers(1, 5))
def test_without_any_metadata_the_pixels_decide(pattern: tuple[float, ...], count: int) -> None:
    shoot = Shoot()
    for number in range(count):
        # Two series of one scene in a row are parted by their exposures.
        shoot.bracket(pattern, same_scene=number % 2 == 1)
    photos = without_metadata(shoot, 1.0)
    shoot_of_nothing = replace(shoot, photos=shoot.photos)
    assert names(grouped(shoot_of_nothing, photos=photos, look=True)) == shoot.truth


def test_without_metadata_and_pixels_nothing_is_guessed() -> None:
    photos = without_metadata(Shoot().bracket().bracket(), 1.0)
    assert all(not group.is_bracket for group in group_photos(photos))


@pytest.mark.parametrize(("share", "most_wrong"), [(0.0, 0.005), (0.1, 0.01), (0.5, 0.03)])
def test_days_with_everything_in_them(share: float, most_wrong: float) -> None:
    wrong = total = 0
    for seed in range(8):
        shoot = day(PATTERNS[seed % len(PATTERNS)], seed, brackets=16)
        photos = without_metadata(shoot, share, seed)
        found = set(names(grouped(shoot, photos=photos, look=True)))
        wrong += sum(group not in found for group in shoot.truth)
        total += len(shoot.truth)
    assert wrong <= most_wrong * total


def test_a_damaged_file_takes_its_place_in_a_known_pattern_and_breaks_nothing_else() -> None:
    shoot = Shoot()
    for _ in range(4):
        shoot.bracket().wait(5)
    nothing = {**NOTHING_TOLD, "width": 0, "height": 0, "problem": "damaged"}
    shoot.change(lambda photo: photo.name.endswith("05.jpg"), **nothing)
    assert names(grouped(shoot, look=True)) == shoot.truth
    stray = Photo("IMG_0006a.jpg", problem="damaged")
    groups = names(grouped(shoot, photos=[*shoot.photos, stray], look=True))
    assert sorted(groups) == sorted([*shoot.truth, (stray.name,)])


def test_clean_shoots_ask_for_no_pixels() -> None:
    shoot = Shoot()
    for base in (0, 1, -1, 2):
        shoot.bracket(base=base).wait(9)
    assert open_questions(shoot.photos) == []


# ---- --size ----


def test_size_cuts_photos_that_tell_nothing_into_sets() -> None:
    photos = [Photo(f"p{number}.png") for number in range(11)]
    groups = group_photos(photos, GroupSettings(size=5))
    assert [len(group.photos) for group in groups] == [5, 5, 1]
    assert groups[-1].note == "left over: no full set of 5"


@quick
@given(st.integers(2, 6), st.integers(0, 30))
def test_with_a_size_every_bracket_has_it(size: int, seed: int) -> None:
    shoot = day(OUTWARDS_5, seed, brackets=5)
    groups = grouped(shoot, GroupSettings(size=size))
    assert {len(group.photos) for group in groups} <= {1, size}


def test_size_finds_the_sets_between_leftovers() -> None:
    shoot = Shoot().bracket().wait(9).bracket((-2.0, 0.0), apart=True).wait(9).bracket()
    assert names(grouped(shoot, GroupSettings(size=3))) == shoot.truth


@pytest.mark.parametrize("bad", [{"size": 1}, {"size": 21}, {"max_gap_seconds": 0.0}])
def test_settings_check_themselves(bad: dict[str, float]) -> None:
    with pytest.raises(OptionError, match="expected"):
        GroupSettings(**bad)  # type: ignore[arg-type]


# ---- what always holds ----

some_text = st.none() | st.sampled_from(["a", "b"])
any_photo = st.builds(
    Photo,
    name=st.builds(
        "{}{}{:03d}.jpg".format,
        st.sampled_from(["", "x/"]),
        st.sampled_from("AB"),
        st.integers(0, 40),
    ),
    stops=st.none() | st.integers(-20, 20).map(lambda thirds: thirds / 3),
    start_seconds=st.none() | st.integers(0, 60).map(float),
    shutter_seconds=st.none() | st.sampled_from([0.01, 1.0, 8.0]),
    camera=some_text,
    lens=some_text,
    width=st.sampled_from([0, 60, 40]),
    height=st.just(40),
    problem=st.none() | st.none() | st.just("damaged"),
    flash=st.sampled_from([None, None, False, True]),
)
any_photos = st.lists(any_photo, max_size=25, unique_by=lambda photo: photo.name)
any_evidence = st.builds(Evidence, st.none() | st.floats(-1, 1), st.none() | st.floats(-6, 6))


@quick
@given(any_photos, st.data(), st.none() | st.integers(2, 7))
def test_every_photo_is_in_one_group_in_order_and_none_mixes_what_cannot_be(
    photos: list[Photo], data: st.DataObject, size: int | None
) -> None:
    how = GroupSettings(size=size)
    pixels = {pair: data.draw(any_evidence) for pair in open_questions(photos, how)}
    groups = group_photos(photos, how, pixels)
    flat = [photo for group in groups for photo in group.photos]
    assert flat == [photo for row in in_order(photos) for photo in row]
    assert sorted(names_of(flat)) == sorted(names_of(photos))
    for group in groups:
        assert len({photo.folder for photo in group.photos}) == 1
        assert len({photo.width for photo in group.photos if photo.width}) <= 1
        assert len({photo.camera for photo in group.photos if photo.camera}) <= 1
        told = sorted(photo.stops for photo in group.photos if photo.stops is not None)
        equal = sum(np.diff(told) < SAME_STOPS)
        assert size or 2 * equal <= len(group.photos)
        assert len({bool(photo.flash) for photo in group.photos}) == 1
        assert len(group.photos) <= 20


@quick
@given(any_photos, st.randoms(use_true_random=False), st.floats(-1e6, 1e6))
def test_neither_the_order_given_nor_the_clock_matters(
    photos: list[Photo], dice: random.Random, shift: float
) -> None:
    moved = [
        photo
        if photo.start_seconds is None
        else replace(photo, start_seconds=photo.start_seconds + round(shift))
        for photo in photos
    ]
    dice.shuffle(moved)
    assert names(group_photos(moved)) == names(group_photos(photos))


@quick
@given(any_photos)
def test_questions_end(photos: list[Photo]) -> None:
    pixels: dict[tuple[str, str], Evidence] = {}
    for _ in range(len(photos) + 1):
        pairs = open_questions(photos, GroupSettings(), pixels)
        if not pairs:
            return
        pixels |= dict.fromkeys(pairs, Evidence())
    raise AssertionError("the same questions again and again")

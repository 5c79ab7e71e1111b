"""Deghosting: frames with moving things are made to agree with the reference."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ghostless.bracket import Frame, Stack
from ghostless.deghost import DeghostSettings, deghost_stack
from ghostless.deghost.carry import carry
from ghostless.deghost.mapping import learn_mapping
from ghostless.errors import OptionError
from ghostless.pixels import color
from tests.scenes import Radiance, add_disc, expose, make_frames, make_radiance, make_stack

STOPS = (-3.0, 0.0, 3.0)
HEIGHT, WIDTH = 180, 240
Flags = NDArray[np.bool_]


def changed_share(before: Stack, after: Stack, levels: float = 4.0) -> float:
    """Largest share of pixels of any frame that changed by more than `levels` of 255."""
    shares = [0.0]
    for old, new in zip(before.frames, after.frames, strict=True):
        if old is not new:
            difference = np.abs(old.unit() - new.unit()).max(axis=2)
            shares.append(float(np.mean(difference > levels / 255)))
    return max(shares)


def disc(centre: tuple[float, float], radius: float) -> Flags:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.hypot(x - centre[0], y - centre[1]) < radius


def codes(radiance: Radiance, stops: float) -> NDArray[np.float32]:
    return expose(radiance, stops).astype(np.float32)


def calm_scene(seed: int = 3, range_stops: float = 3.0) -> Radiance:
    """A scene that the middle exposure holds without clipping anywhere that matters."""
    return make_radiance(HEIGHT, WIDTH, seed=seed, range_stops=range_stops)


def moving(
    scene: Radiance, colour: tuple[float, float, float], radius: float = 18
) -> list[Radiance]:
    places = [(60, 60), (120, 90), (180, 130)]
    return [add_disc(scene, place, radius, colour) for place in places]


# --- nothing moves ---------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2])
def test_static_noisy_bracket_stays_nearly_untouched(seed: int) -> None:
    stack = make_stack(make_radiance(HEIGHT, WIDTH, seed=seed), STOPS, noise=1.5)
    after = deghost_stack(stack)
    assert changed_share(stack, after) < 0.01
    assert after.frames[1] is stack.frames[1]


def test_half_a_pixel_of_shift_is_not_a_ghost() -> None:
    big = make_radiance(HEIGHT * 2, WIDTH * 2, seed=5, range_stops=6)
    small = [
        cv2.resize(np.roll(big, shift, axis=1), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
        for shift in (1, 0, -1)
    ]
    stack = make_stack(small, STOPS, noise=1.0)
    assert changed_share(stack, deghost_stack(stack)) < 0.01


def test_frames_without_ghosts_are_passed_through() -> None:
    stack = make_stack(calm_scene(), STOPS, noise=1.0)
    after = deghost_stack(stack)
    assert all(new is old for new, old in zip(after.frames, stack.frames, strict=True))
    assert after.confidence == (None, None, None)
    assert after.notes == ()


@pytest.mark.parametrize("mode", ["auto", "on"])
def test_equal_frames_stay_as_they_are(mode: str) -> None:
    frame = make_frames(make_radiance(60, 80), [0.0], noise=1.0)[0]
    stack = Stack((frame,) * 5, reference=2)
    after = deghost_stack(stack, DeghostSettings(mode=mode))  # type: ignore[arg-type]
    for new in after.frames:
        np.testing.assert_array_equal(new.pixels, frame.pixels)


# --- things move -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("colour", "tolerance"),
    [
        ((1.5, 0.9, 0.6), 6),  # brighter than its surroundings, clipped in the bright frame
        ((0.01, 0.012, 0.02), 6),  # darker
        ((0.25, 0.14, 0.2), 6),  # alike
    ],
)
@pytest.mark.parametrize("known", [True, False])
def test_moving_disc_shows_where_the_reference_has_it(
    colour: tuple[float, float, float], tolerance: float, known: bool
) -> None:
    scene = calm_scene()
    radiances = moving(scene, colour)
    stack = make_stack(radiances, STOPS, noise=0.5, known=known)
    after = deghost_stack(stack)
    truth = radiances[1]
    for index, (place, stops) in enumerate(
        zip([(60, 60), (120, 90), (180, 130)], STOPS, strict=True)
    ):
        if index == 1:
            continue
        # Where the thing was in this frame, and where it is in the reference.
        for spot in (place, (120, 90)):
            inside = disc(spot, 14)
            wanted = codes(truth, stops)[inside]
            before = np.abs(stack.frames[index].pixels[inside] - wanted).mean()
            now = np.abs(after.frames[index].pixels[inside] - wanted).mean()
            assert now < max(tolerance, 0.35 * before)
            mask = after.confidence[index]
            if before > 25:
                assert mask is not None
                assert np.mean(mask[inside] < 64) > 0.9
    assert after.frames[1] is stack.frames[1]
    assert after.confidence[1] is None


def test_what_stands_still_is_kept_while_something_moves() -> None:
    stack = make_stack(moving(calm_scene(), (1.5, 0.9, 0.6)), STOPS, noise=0.5)
    after = deghost_stack(stack)
    far = ~(disc((60, 60), 30) | disc((120, 90), 30) | disc((180, 130), 30))
    for old, new in zip(stack.frames, after.frames, strict=True):
        assert np.mean((old.pixels != new.pixels).any(axis=2)[far]) < 0.01


def test_faint_thing_a_third_of_a_stop_off_is_found() -> None:
    scene = np.full((HEIGHT, WIDTH, 3), 0.18, np.float32)
    scene *= np.exp2(make_radiance(HEIGHT, WIDTH, seed=4, range_stops=0.5)[:, :, :1] - 0.18)
    scene[:, : WIDTH // 2] *= 0.4
    ghost = scene.copy()
    spot = disc((170, 90), 22)
    ghost[spot] *= np.float32(2 ** (1 / 3))
    stack = make_stack([ghost, scene, scene], (-1.0, 0.0, 1.0), noise=1.0)
    after = deghost_stack(stack)
    wanted = codes(scene, -1.0)[spot]
    assert np.abs(after.frames[0].pixels[spot] - wanted).mean() < 3
    assert np.abs(stack.frames[0].pixels[spot] - wanted).mean() > 8


def test_ghost_before_clipped_sky_is_filled_from_the_sky() -> None:
    scene = calm_scene(range_stops=2.0)
    scene[:90] = np.float32([2.5, 2.7, 3.2])  # clipped in the reference and above
    dark = add_disc(scene, (120, 45), 18, (0.05, 0.05, 0.05))
    stack = make_stack([dark, scene, scene], STOPS, noise=0.5)
    after = deghost_stack(stack)
    inside = disc((120, 45), 16)
    difference = after.frames[0].pixels[inside] - codes(scene, -3.0)[inside]
    assert np.abs(difference).max() < 12
    mask = after.confidence[0]
    assert mask is not None
    assert mask[inside].max() < 64


def test_thing_before_clipped_sky_in_the_reference_appears_in_the_dark_frame() -> None:
    scene = calm_scene(range_stops=2.0)
    scene[:90] = np.float32([2.5, 2.7, 3.2])
    reference = add_disc(scene, (120, 45), 18, (0.3, 0.2, 0.1))
    stack = make_stack([scene, reference, reference], STOPS, noise=0.5)
    after = deghost_stack(stack)
    inside = disc((120, 45), 16)
    difference = after.frames[0].pixels[inside] - codes(reference, -3.0)[inside]
    assert np.abs(difference).mean() < 4


def test_a_frame_made_consistent_speaks_for_a_clipped_reference() -> None:
    """Of five frames, the second tells what the clipped reference cannot about the first."""
    scene = calm_scene(range_stops=2.0)
    texture = make_radiance(90, WIDTH, seed=8, range_stops=1.0) / 0.18
    scene[:90] = 2.0 * texture
    ghosted = add_disc(scene, (120, 45), 18, (0.05, 0.05, 0.05))
    stops = (-4.0, -2.0, 0.0, 2.0)
    frames = make_frames([ghosted, scene, scene, scene], stops, noise=0.3)
    after = deghost_stack(Stack(frames, reference=2))
    inside = disc((120, 45), 14)
    difference = after.frames[0].pixels[inside] - codes(scene, -4.0)[inside]
    assert np.abs(difference).mean() < 4
    assert after.frames[1] is frames[1]


# --- cameras that are not three separate curves -------------------------------------------------

# From the sensor's channels to those of the picture, as strong as cameras have it.
MATRIX = np.array([[1.7, -0.5, -0.2], [-0.3, 1.5, -0.2], [0.0, -0.5, 1.5]], np.float32)


def mixing_camera(
    light: Radiance, stops: float, *, flare: float = 0.0, noise: float = 0.5, seed: int = 0
) -> Frame:
    """Photograph sensor light (H, W, 3): the sensor clips, then its channels are mixed."""
    random = np.random.default_rng(seed)
    seen = light * np.float32(2.0**stops) + np.float32(flare)
    spread = noise * np.sqrt(np.maximum(seen, 0) * 4e-5 + 1e-6)
    seen = np.clip(seen + spread * random.standard_normal(seen.shape).astype(np.float32), 0, 1)
    mixed = np.clip(seen @ MATRIX.T, 0, 1)
    return Frame(np.rint(color.linear_to_srgb(mixed) * 255).astype(np.uint8), stops=stops)


def test_clipped_sensor_channels_that_are_mixed_are_no_ghosts() -> None:
    scene = calm_scene(range_stops=4.0)
    # Walls and cloths in the sun: one channel of the sensor clips after the other.
    for index, colour in enumerate([(1.4, 1.1, 0.8), (0.5, 0.9, 1.6), (1.6, 0.5, 0.3)]):
        scene[100:170, 20 + 70 * index : 80 + 70 * index] = np.float32(colour) * np.linspace(
            0.6, 1.4, 60, dtype=np.float32
        ).reshape(1, -1, 1)
    frames = tuple(mixing_camera(scene, ev, seed=i) for i, ev in enumerate(STOPS))
    stack = Stack(frames, reference=1)
    assert changed_share(stack, deghost_stack(stack)) < 0.01


def test_black_that_flare_lifts_in_the_brighter_frame_is_no_ghost() -> None:
    scene = calm_scene(range_stops=3.0)
    scene[60:120, 40:200] = 1e-6
    frames = tuple(
        Frame(expose(scene, ev, noise=0.3, seed=i).astype(np.uint8), stops=ev)
        for i, ev in enumerate(STOPS)
    )
    lifted = scene * 8 + np.linspace(0.006, 0.013, WIDTH, dtype=np.float32).reshape(1, -1, 1)
    frames = (*frames[:2], replace(frames[2], pixels=expose(lifted, 0).astype(np.uint8)))
    assert frames[1].pixels[70:110, 50:190].mean() < 1
    assert 18 <= np.median(frames[2].pixels[70:110, 50:190]) <= 33
    stack = Stack(frames, reference=1)
    after = deghost_stack(stack)
    assert changed_share(stack, after) < 0.01


def test_a_colour_is_mapped_as_a_whole() -> None:
    """Beside a clipped channel the others say too much or too little by themselves."""
    scene = make_radiance(HEIGHT, WIDTH, seed=9, range_stops=5)
    dark, bright = (mixing_camera(scene, ev).pixels.astype(np.float32) for ev in (-2.0, 0.5))
    usable = np.ones((HEIGHT, WIDTH), np.bool_)
    mapping = learn_mapping(bright, dark, usable, source_is_brighter=True, stops_apart=2.5)
    expected, _spread = mapping.expect(bright)
    half_clipped = (bright.max(axis=2) >= 250) & (bright.min(axis=2) < 230)
    assert half_clipped.mean() > 0.02
    whole = np.abs(expected - dark)[half_clipped].mean()
    alone = np.abs(mapping.along_curves(bright) - dark)[half_clipped].mean()
    assert whole < 0.8 * alone


# --- what fills a ghost ---------------------------------------------------------------------------


def test_what_is_carried_stops_at_edges() -> None:
    guide = np.full((80, 120, 3), 60, np.float32)
    guide[:, 60:] = 200
    values = np.where(guide > 100, np.float32(-40), np.float32(30))
    hole = np.zeros((80, 120), np.bool_)
    hole[20:60, 30:90] = True
    known = (~hole).astype(np.float32)
    found = carry(values * known[..., None], known, guide, hole)
    assert np.abs(found - values[hole]).max() < 4  # of the 70 between the two sides


def test_what_is_carried_reaches_past_what_lies_between() -> None:
    guide = np.full((80, 120, 3), 240, np.float32)
    values = np.full((80, 120, 3), 25, np.float32)
    guide[:, 40:80] = 20  # a trunk before the sky, and a hole in it that shows the sky
    values[:, 40:80] = -25
    guide[30:50, 50:70] = 240
    hole = np.zeros((80, 120), np.bool_)
    hole[30:50, 50:70] = True
    known = (~hole).astype(np.float32)
    found = carry(values * known[..., None], known, guide, hole)
    assert np.abs(found - 25).max() < 3


def test_a_wall_beside_clipped_sky_is_not_filled_with_sky() -> None:
    scene = calm_scene(range_stops=1.0)
    scene[:90] = np.float32([2.4, 2.8, 3.6])
    scene[20:90, 130:] = np.float32([0.7, 0.66, 0.6])  # a wall, not clipped
    dark = add_disc(scene, (130, 55), 22, (0.03, 0.03, 0.03))
    after = deghost_stack(make_stack([dark, scene, scene], STOPS, noise=0.5))
    inside = disc((130, 55), 20)
    difference = after.frames[0].pixels[inside] - codes(scene, -3.0)[inside]
    assert np.abs(difference).mean() < 2
    assert np.abs(difference).max() < 25


def test_what_is_replaced_is_as_calm_as_its_surroundings() -> None:
    scene = calm_scene(range_stops=1.0)
    scene[20:160, 30:210] = 0.02
    ghost = add_disc(scene, (120, 90), 30, (0.06, 0.05, 0.04))
    after = deghost_stack(
        Stack(make_frames([scene, scene, ghost], (-1.0, 0.0, 3.0), noise=2.0), reference=1)
    )
    mask = after.confidence[2]
    assert mask is not None
    assert mask[disc((120, 90), 20)].max() == 0
    pixels = after.frames[2].pixels.astype(np.float32)
    rough = np.abs(pixels - cv2.blur(pixels, (3, 3)))
    around = disc((120, 90), 55) & ~disc((120, 90), 42)
    assert rough[disc((120, 90), 24)].mean() < 1.3 * rough[around].mean()


def test_no_seam_where_a_frame_is_toned_by_place() -> None:
    """A frame that is brighter on one side (a lamp that flickers, local tone mapping)."""
    scene = calm_scene(range_stops=1.0)
    scene[30:150, 30:210] = 0.2
    ghost = add_disc(scene, (120, 90), 22, (0.02, 0.02, 0.02))
    slope = np.linspace(0.92, 1.08, WIDTH, dtype=np.float32).reshape(1, -1, 1)
    stack = make_stack([scene, scene, ghost * slope], (-2.0, 0.0, 1.0), noise=0.5)
    after = deghost_stack(stack)
    wanted = codes(scene * slope, 1.0)
    ring = disc((120, 90), 24) & ~disc((120, 90), 19)
    difference = (after.frames[2].pixels - wanted)[ring]
    assert np.abs(difference).mean() < 2.5


# --- doubt ----------------------------------------------------------------------------------------


def test_a_frame_of_something_else_is_named() -> None:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    light = np.float32(0.02) + np.float32(0.3) * ((x // 12 + y // 12) % 2).astype(np.float32)
    scene = np.repeat(light[..., None], 3, axis=2) * calm_scene(range_stops=0.5) / 0.18
    other = np.ascontiguousarray(np.roll(scene, 12, axis=1)) * np.float32([1.3, 1.0, 0.6])
    frames = make_frames([scene, scene, other], (-1.0, 0.0, 1.0), noise=0.5)
    named = replace(frames[2], path=Path("other.jpg"))
    after = deghost_stack(Stack((*frames[:2], named), reference=1))
    assert len(after.notes) == 1
    assert "other.jpg" in after.notes[0]
    assert "shows something else" in after.notes[0]


def test_little_that_moves_is_not_worth_a_note() -> None:
    after = deghost_stack(make_stack(moving(calm_scene(), (1.5, 0.9, 0.6)), STOPS, noise=0.5))
    assert after.notes == ()


# --- what the line promises ------------------------------------------------------------------


def test_off_returns_the_stack_itself() -> None:
    stack = make_stack(moving(calm_scene(), (2, 2, 2)), STOPS)
    assert deghost_stack(stack, DeghostSettings(mode="off")) is stack


def test_inputs_are_not_written_to() -> None:
    stack = make_stack(moving(calm_scene(), (1.5, 1.0, 0.5)), STOPS)
    before = [frame.pixels.copy() for frame in stack.frames]
    deghost_stack(stack)
    for frame, pixels in zip(stack.frames, before, strict=True):
        np.testing.assert_array_equal(frame.pixels, pixels)


def test_two_runs_agree() -> None:
    stack = make_stack(moving(calm_scene(), (1.5, 1.0, 0.5)), STOPS, noise=1.0)
    first, second = deghost_stack(stack), deghost_stack(stack)
    for one, other in zip(first.frames, second.frames, strict=True):
        np.testing.assert_array_equal(one.pixels, other.pixels)


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32", "linear16", "linear float"])
def test_every_kind_of_pixels(kind: str) -> None:
    radiances = moving(calm_scene(), (1.5, 0.9, 0.6))
    linear = kind.startswith("linear")
    deep = kind != "uint8"
    frames = make_frames(radiances, STOPS, noise=0.5, depth=16 if deep else 8, linear=linear)
    if "float" in kind:
        frames = tuple(replace(frame, pixels=frame.unit()) for frame in frames)
    after = deghost_stack(Stack(frames, reference=1))
    inside = disc((60, 60), 14)
    new = after.frames[0]
    assert new.pixels.dtype == frames[0].pixels.dtype
    assert new.transfer == frames[0].transfer
    wanted = color.linear_to_srgb(radiances[1][inside] / 8)
    assert np.abs(new.display()[inside] - wanted).mean() < 4 / 255


def test_filled_borders_are_neither_judged_nor_changed() -> None:
    stack = make_stack(calm_scene(), STOPS, noise=0.5)
    strange = stack.frames[0].pixels.copy()
    strange[:, :30] = 255
    valid = np.full((HEIGHT, WIDTH), 255, np.uint8)
    valid[:, :30] = 0
    frames = (replace(stack.frames[0], pixels=strange), *stack.frames[1:])
    after = deghost_stack(Stack(frames, 1, valid=(valid, None, None)), DeghostSettings(mode="on"))
    np.testing.assert_array_equal(after.frames[0].pixels, strange)


def test_reduced_proxy_finds_the_same_and_keeps_the_size() -> None:
    radiances = moving(calm_scene(), (1.5, 0.9, 0.6))
    stack = make_stack(radiances, STOPS, noise=0.5)
    after = deghost_stack(stack, DeghostSettings(proxy_pixels=HEIGHT * WIDTH // 5))
    inside = disc((60, 60), 14)
    wanted = codes(radiances[1], -3.0)[inside]
    assert after.frames[0].pixels.shape == (HEIGHT, WIDTH, 3)
    assert np.abs(after.frames[0].pixels[inside] - wanted).mean() < 6


def test_progress_rises_to_one() -> None:
    seen: list[float] = []
    stack = make_stack(moving(calm_scene(), (1.5, 0.9, 0.6)), STOPS)
    deghost_stack(stack, progress=seen.append)
    assert seen[-1] == 1.0
    assert all(later >= earlier for earlier, later in pairwise(seen))


@pytest.mark.parametrize(
    "wrong",
    [
        {"mode": "maybe"},
        {"by": "guess"},
        {"sensitivity": 9.0},
        {"feather_pixels": -1.0},
        {"proxy_pixels": 10},
    ],
)
def test_wrong_settings_are_named(wrong: dict[str, object]) -> None:
    with pytest.raises(OptionError, match=r"deghost.*: expected"):
        DeghostSettings(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 5), (2, 2), (67, 101)])
@pytest.mark.parametrize("count", [2, 3, 6])
def test_any_size_and_number(size: tuple[int, int], count: int) -> None:
    random = np.random.default_rng(0)
    frames = tuple(
        Frame(random.integers(0, 256, (*size, 3)).astype(np.uint8)) for _ in range(count)
    )
    after = deghost_stack(Stack(frames, reference=count // 2), DeghostSettings(mode="on"))
    assert all(frame.pixels.shape == (*size, 3) for frame in after.frames)


@pytest.mark.parametrize("value", [0, 128, 255])
def test_flat_frames(value: int) -> None:
    frames = tuple(Frame(np.full((40, 50, 3), v, np.uint8)) for v in (value // 2, value, value))
    stack = Stack(frames, reference=1)
    assert changed_share(stack, deghost_stack(stack)) == 0


def test_nan_and_huge_floats_do_no_harm() -> None:
    pixels = make_frames(calm_scene(), [0.0])[0].unit()
    pixels[5:9, 5:9] = np.nan
    pixels[20, 20] = np.inf
    frames = tuple(Frame(pixels * np.float32(gain), transfer="linear") for gain in (0.3, 1, 3))
    after = deghost_stack(Stack(frames, reference=1), DeghostSettings(mode="on"))
    assert len(after.frames) == 3


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 1000),
    reference=st.integers(0, 2),
    depth=st.sampled_from([8, 16]),
    height=st.integers(1, 70),
    width=st.integers(1, 70),
)
def test_masks_and_frames_keep_their_promises(
    seed: int, reference: int, depth: int, height: int, width: int
) -> None:
    scene = make_radiance(height, width, seed=seed)
    ghost = add_disc(scene, (width / 2, height / 2), height / 5, (2, 1, 1))
    frames = make_frames([scene, ghost, scene], STOPS, noise=1.0, depth=depth)
    stack = Stack(frames, reference=reference)
    after = deghost_stack(stack, DeghostSettings(mode="on"))
    assert after.frames[reference] is frames[reference]
    for old, new, mask in zip(frames, after.frames, after.confidence, strict=True):
        assert new.stops == old.stops
        assert new.pixels.dtype == old.pixels.dtype
        if mask is None:
            assert new is old
        else:
            assert mask.shape == (height, width)
            # What is fully trusted is the frame's own, bit for bit.
            np.testing.assert_array_equal(new.pixels[mask == 255], old.pixels[mask == 255])


# --- the intensity mapping -------------------------------------------------------------------


@pytest.mark.parametrize(("source", "target"), [(1, 0), (1, 2)])
def test_mapping_is_learnt_with_a_third_of_the_picture_ghosted(source: int, target: int) -> None:
    scene = make_radiance(HEIGHT, WIDTH, seed=6, range_stops=5)
    radiances = [scene, scene, scene]
    other = scene.copy()
    other[:, : WIDTH // 3] = scene[::-1, : WIDTH // 3]
    radiances[target] = other
    stops = (-2.0, 0.0, 2.0)
    a, b = (codes(radiances[i], stops[i]) for i in (source, target))
    usable = np.ones((HEIGHT, WIDTH), np.bool_)
    mapping = learn_mapping(a, b, usable, source_is_brighter=target < source, stops_apart=None)
    level = np.arange(40, 200)
    light = color.srgb_to_linear(level / np.float32(255)) * 2.0 ** (stops[target] - stops[source])
    wanted = np.minimum(color.linear_to_srgb(light) * 255, 250)
    for channel in range(3):
        found = np.minimum(mapping.low[level, channel], 250)
        assert np.abs(found - wanted).mean() < 3


# --- real photos -----------------------------------------------------------------------------


@pytest.mark.slow
def test_real_static_brackets_stay_nearly_untouched(shared) -> None:  # type: ignore[no-untyped-def]
    folders = [shared / "static" / "sice" / name for name in ("001", "002", "005", "007", "010")]
    for folder in folders:
        paths = sorted(path for path in folder.iterdir() if "label" not in path.name)
        images = [cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB) for path in paths]
        images.sort(key=lambda image: float(image.mean()))
        stack = Stack(tuple(Frame(np.ascontiguousarray(i)) for i in images), reference=2)
        assert changed_share(stack, deghost_stack(stack), levels=6) < 0.01, folder.name

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.laplacian import collapse, down, gaussian_pyramid, laplacian_pyramid, up
from tests.scenes import make_radiance, make_stack

from ghostless.bracket import Frame, Stack
from ghostless.errors import OptionError
from ghostless.methods.mertens import MertensSettings, fuse
from ghostless.methods.ranges import fit_range
from ghostless.pixels import pyramid, pyramid_steps, stripes

CLIP = MertensSettings(overshoot="clip")
PAPER = MertensSettings(saturation=1, well_exposedness=1, overshoot="clip", levels="paper")
SIZES = [(1, 1), (1, 6), (7, 5), (64, 64), (101, 67)]


def random_stack(
    size: tuple[int, int], count: int = 3, dtype: type = np.uint8, seed: int = 0
) -> Stack:
    random = np.random.default_rng(seed)
    values = random.random((count, *size, 3))
    if dtype == np.float32:
        arrays = list(values.astype(np.float32))
    else:
        arrays = list((values * np.iinfo(dtype).max).astype(dtype))
    return Stack(tuple(Frame(array) for array in arrays), reference=count // 2)


def fuse_plainly(stack: Stack, how: MertensSettings = CLIP) -> NDArray[np.float64]:
    """Mertens et al. 2007 as the paper says it, on whole images in double precision."""
    weights, images = [], []
    for frame in stack.frames:
        # Not frame.display(): float32 codes are no exact multiples, so flat ramps get contrast.
        top = np.iinfo(frame.pixels.dtype).max if frame.pixels.dtype != np.float32 else 1
        image = frame.pixels / np.float64(top)
        grey = image @ np.array([0.2989, 0.5870, 0.1140])
        edge = np.pad(grey, 1, mode="edge")
        laplacian = edge[:-2, 1:-1] + edge[2:, 1:-1] + edge[1:-1, :-2] + edge[1:-1, 2:] - 4 * grey
        weight = np.abs(laplacian) ** how.contrast
        weight *= image.std(axis=2) ** how.saturation
        exposedness = np.exp(-((image - 0.5) ** 2) / (2 * 0.2**2)).prod(axis=2)
        weights.append(weight * exposedness**how.well_exposedness + 1e-12)
        images.append(image)
    total = np.sum(weights, axis=0)
    levels = how.levels
    if levels is None:
        return np.clip(blend_evenly(images, [weight / total for weight in weights]), 0, 1)
    if levels == "paper":
        levels = pyramid.level_count(*total.shape)
    blended: list[NDArray[np.float64]] = []
    for image, weight in zip(images, weights, strict=True):
        details = laplacian_pyramid(image, levels)
        shares = gaussian_pyramid(weight / total, levels)
        layers = [d * s[:, :, None] for d, s in zip(details, shares, strict=True)]
        blended = [a + b for a, b in zip(blended, layers, strict=True)] if blended else layers
    return np.clip(collapse(blended), 0, 1)


def blend_evenly(
    images: list[NDArray[np.float64]], weights: list[NDArray[np.float64]]
) -> NDArray[np.float64]:
    """The pyramids of `balanced_steps`, whole: what these are is tested by themselves."""
    size = weights[0].shape
    level = [np.dstack([image, weight]) for image, weight in zip(images, weights, strict=True)]
    details: list[NDArray[np.float64]] = []
    steps = pyramid_steps.balanced_steps(size)  # type: ignore[arg-type]
    for step in steps:
        coarse = [by_planes(partial(down, step), stacked) for stacked in level]
        detail = np.zeros((*step.size, 3))
        for fine, small in zip(level, coarse, strict=True):
            enlarged = by_planes(partial(up, step), small)
            detail += fine[..., 3:] * (fine[..., :3] - enlarged[..., :3])
        details.append(detail)
        level = coarse
    fused = np.sum([stacked[..., 3:] * stacked[..., :3] for stacked in level], axis=0)
    for step, detail in zip(reversed(steps), reversed(details), strict=True):
        fused = detail + by_planes(partial(up, step), fused)
    return fused


def by_planes(
    change: Callable[[NDArray[Any]], NDArray[Any]], stacked: NDArray[np.float64]
) -> NDArray[np.float64]:
    return np.dstack([change(np.ascontiguousarray(plane)) for plane in np.moveaxis(stacked, 2, 0)])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_stripes_give_what_the_whole_image_gives(
    size: tuple[int, int], dtype: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stripes, "STRIPE_PIXELS", 1)
    monkeypatch.setattr(stripes.stripes, "__defaults__", (size[1] * 12,))
    stack = random_stack(size, dtype=dtype)
    np.testing.assert_allclose(fuse(stack, CLIP).pixels, fuse_plainly(stack), atol=2e-5)


def test_one_large_odd_size_equals_the_whole_image_algorithm() -> None:
    stack = make_stack(make_radiance(667, 1001, seed=3), [-3, 0, 3])
    # Where single precision decides between frames that are all flat, a few pixels may differ.
    error = np.abs(fuse(stack, CLIP).pixels - fuse_plainly(stack))
    assert np.quantile(error, 0.9999) < 3e-4
    assert error.max() < 0.05


@pytest.mark.parametrize(
    "how",
    [
        MertensSettings(contrast=0),
        MertensSettings(saturation=0),
        MertensSettings(well_exposedness=0),
        MertensSettings(contrast=0, saturation=0, well_exposedness=0),
        MertensSettings(contrast=0.5, saturation=2, well_exposedness=1.5),
        MertensSettings(levels=1),
        MertensSettings(levels=3),
        MertensSettings(levels="paper"),
    ],
)
def test_exponents_and_levels_do_what_they_say(how: MertensSettings) -> None:
    stack = make_stack(make_radiance(61, 90), [-3, 0, 3])
    how = replace(how, overshoot="clip")
    np.testing.assert_allclose(fuse(stack, how).pixels, fuse_plainly(stack, how), atol=3e-4)


def test_grey_photos_are_weighed_without_saturation() -> None:
    grey = make_radiance(60, 80)[:, :, :1].repeat(3, axis=2)
    stack = make_stack(grey, [-3, 0, 3])
    without = fuse_plainly(stack, MertensSettings(saturation=0))
    with_it = fuse(stack, MertensSettings(saturation=1, overshoot="clip"))
    np.testing.assert_allclose(with_it.pixels, without, atol=1e-4)
    mean = np.mean([frame.display() for frame in stack.frames], axis=0)
    assert np.abs(fuse(stack).pixels - mean).max() > 0.1


def psnr(first: NDArray[np.float32], second: NDArray[np.uint8]) -> float:
    error = np.floor(first * 255 + 0.5) - second
    return float(10 * np.log10(255**2 / np.mean(error.astype(np.float64) ** 2)))


@pytest.mark.parametrize("pair", ["House", "Memorial", "Office"])
def test_agrees_with_the_published_program(shared: Path, pair: str) -> None:
    def read(pattern: str) -> NDArray[np.uint8]:
        path = next(shared.glob(pattern))
        return np.ascontiguousarray(cv2.imread(str(path), cv2.IMREAD_COLOR)[:, :, ::-1])

    frames = tuple(Frame(read(f"mefb30/{pair}/{name}.*")) for name in ("under", "over"))
    fused = fuse(Stack(frames, 0), replace(PAPER, stretch_percent=1))
    assert psnr(fused.pixels, read(f"reference/MERTENSIPOL_{pair}.png")) > 70


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 5), st.integers(0, 99), st.booleans())
def test_equal_frames_fuse_to_that_frame(
    height: int, width: int, count: int, seed: int, grey: bool
) -> None:
    frame = random_stack((height, width), 1, seed=seed).frames[0]
    if grey:
        frame = Frame(np.ascontiguousarray(frame.pixels[:, :, :1].repeat(3, axis=2)))
    fused = fuse(Stack((frame,) * count, 0))
    np.testing.assert_allclose(fused.pixels, frame.display(), atol=1e-4)


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(4)), st.integers(0, 99))
def test_order_does_not_matter(order: list[int], seed: int) -> None:
    stack = random_stack((23, 18), 4, seed=seed)
    shuffled = Stack(tuple(stack.frames[i] for i in order), reference=order.index(0))
    np.testing.assert_allclose(fuse(shuffled).pixels, fuse(stack).pixels, atol=1e-4)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 30),
    st.integers(1, 30),
    st.integers(1, 20),
    st.sampled_from([np.uint8, np.uint16, np.float32]),
    st.booleans(),
    st.integers(0, 99),
)
def test_output_is_finite_and_in_range(
    height: int, width: int, count: int, dtype: type, masked: bool, seed: int
) -> None:
    random = np.random.default_rng(seed)
    stack = random_stack((height, width), count, dtype, seed)
    frames = list(stack.frames)
    if dtype == np.float32:
        wild = frames[0].pixels * 50 - 10
        wild[0, 0] = np.nan, np.inf, -np.inf
        frames[0] = Frame(wild, transfer="linear")
    masks = tuple(
        random.choice(np.array([0, 0, 1, 255], np.uint8), (height, width)) for _ in frames
    )
    fused = fuse(Stack(tuple(frames), 0, confidence=masks if masked else ()))
    assert fused.pixels.shape == (height, width, 3)
    assert fused.space == "display"
    assert np.isfinite(fused.pixels).all()
    assert fused.pixels.min() >= 0
    assert fused.pixels.max() <= 1


def blob(size: tuple[int, int], soft: bool) -> NDArray[np.uint8]:
    mask = np.full(size, 255, np.uint8)
    mask[20:45, 30:70] = 0
    return cv2.blur(mask, (9, 9)) if soft else mask


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("index", [0, 1, 2])
def test_what_is_masked_has_no_influence(soft: bool, index: int) -> None:
    stack = make_stack(make_radiance(90, 110), [-3, 0, 3])
    masks: list[NDArray[np.uint8] | None] = [None, None, None]
    masks[index] = blob((90, 110), soft)
    garbage = stack.frames[index].pixels.copy()
    random = np.random.default_rng(1)
    # The Laplacian of a pixel looks one pixel around, so garbage keeps that far from what counts.
    inside = cv2.dilate((masks[index] > 0).astype(np.uint8), np.ones((3, 3), np.uint8)) == 0
    garbage[inside] = random.integers(0, 256, (int(inside.sum()), 3))
    frames = list(stack.frames)
    frames[index] = replace(frames[index], pixels=garbage)
    clean = fuse(replace(stack, confidence=tuple(masks))).pixels
    dirty = fuse(replace(stack, frames=tuple(frames), confidence=tuple(masks))).pixels
    assert inside.sum() > 200
    np.testing.assert_allclose(dirty, clean, atol=2e-5)


def test_valid_and_confidence_masks_work_alike_and_full_ones_change_nothing() -> None:
    stack = make_stack(make_radiance(90, 110), [-3, 0, 3])
    mask = blob((90, 110), soft=True)
    by_valid = fuse(replace(stack, valid=(mask, None, None))).pixels
    by_confidence = fuse(replace(stack, confidence=(mask, None, None))).pixels
    np.testing.assert_array_equal(by_valid, by_confidence)
    full = np.full_like(mask, 255)
    plain = fuse(stack).pixels
    np.testing.assert_allclose(fuse(replace(stack, valid=(full,) * 3)).pixels, plain, atol=2e-5)
    assert np.abs(by_valid - plain).max() > 0.02


def test_where_all_frames_are_masked_the_reference_is_taken() -> None:
    stack = random_stack((40, 50))
    nothing = np.zeros((40, 50), np.uint8)
    fused = fuse(replace(stack, confidence=(nothing,) * 3))
    np.testing.assert_allclose(fused.pixels, stack.frames[1].display(), atol=1e-5)


def bright_window(depth: float) -> Stack:
    """A large bright textured window in a dark room."""
    radiance = 0.02 * make_radiance(160, 200, seed=8, range_stops=4)
    radiance[30:100, 60:160] = depth * make_radiance(70, 100, seed=9, range_stops=2)
    return make_stack(radiance, [-3, 0, 3])


def test_a_shoulder_keeps_the_detail_of_highlights_that_clipping_loses() -> None:
    stack = bright_window(16)
    clipped, kept = fuse(stack, CLIP).pixels, fuse(stack).pixels
    assert np.mean(clipped.max(axis=2) >= 1) > 0.01
    assert np.mean(kept.max(axis=2) >= 1) < 0.004
    # Below the shoulder nothing changes, and the order of brightness stays.
    low = clipped.max(axis=2) < 0.89
    np.testing.assert_allclose(kept[low], clipped[low], atol=1e-5)
    unclipped = clipped.max(axis=2) < 0.999
    order = np.argsort(clipped[unclipped].max(axis=1))
    assert (np.diff(kept[unclipped].max(axis=1)[order]) >= -1e-4).all()


def test_a_toe_keeps_the_detail_of_shadows_that_clipping_loses() -> None:
    ramp = np.linspace(-0.2, 1, 1201, dtype=np.float32)
    picture = np.repeat(ramp[None, :, None], 3, axis=2) * np.ones((40, 1, 1), np.float32)
    fitted = picture.copy()
    fit_range(fitted)
    values = fitted[0, :, 1]
    # The darkest give way, in order and without a step; the others stay.
    inner = ramp > np.quantile(ramp, 0.003)
    assert values.min() >= 0
    assert np.all(np.diff(values[inner]) > 0)
    assert np.abs(np.diff(values)).max() < 1.01 * (ramp[1] - ramp[0])
    np.testing.assert_allclose(values[ramp > 0.31], ramp[ramp > 0.31], atol=1e-6)
    # Colours stay as far apart as they were.
    tinted = picture + np.array([0.03, 0, 0], np.float32)
    fit_range(tinted)
    inside = (tinted > 0).all(axis=2) & (tinted < 0.8).all(axis=2)
    apart = (tinted[:, :, 0] - tinted[:, :, 1])[inside]
    np.testing.assert_allclose(apart, 0.03, atol=1e-5)


def test_what_does_not_overshoot_is_left_alone() -> None:
    stack = make_stack(make_radiance(60, 80, range_stops=2), [-1, 0])
    assert fuse(stack, CLIP).pixels.max() < 1
    np.testing.assert_array_equal(fuse(stack).pixels, fuse(stack, CLIP).pixels)


def test_stretching_fills_the_range_and_leaves_a_flat_image_alone() -> None:
    stack = make_stack(make_radiance(120, 160, range_stops=2), [-1, 0])
    fused = fuse(stack, MertensSettings(stretch_percent=1, levels="paper")).pixels
    assert np.mean(fused.min(axis=2) <= 0) >= 0.01
    assert np.mean(fused.max(axis=2) >= 1) >= 0.01
    flat = Stack((Frame(np.full((20, 20, 3), 99, np.uint8)),), 0)
    np.testing.assert_allclose(
        fuse(flat, MertensSettings(stretch_percent=1, levels="paper")).pixels, 99 / 255, atol=1e-5
    )


def test_progress_rises_to_one() -> None:
    told: list[float] = []
    fuse(make_stack(make_radiance(300, 600), [-2, 0, 2]), progress=told.append)
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"contrast": -1.0},
        {"saturation": float("nan")},
        {"well_exposedness": float("inf")},
        {"levels": 0},
        {"stretch_percent": 50.0},
        {"overshoot": "wrap"},
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(OptionError, match="expected"):
        MertensSettings(**wrong)  # type: ignore[arg-type]


def halves(height: int, width: int) -> Stack:
    """A dark room under a bright sky, so that the coarse levels have much to balance."""
    y, x = np.mgrid[0:height, 0:width]
    y, x = (y + 0.5) / height, (x + 0.5) / width
    light = np.where(y < 0.4, 3.0, 0.08) * (1 + 0.3 * np.sin(40 * x) * np.sin(30 * y))
    return make_stack(np.repeat(light[..., None], 3, axis=2), [-3, 0, 3])


@pytest.mark.parametrize("how", [MertensSettings(), MertensSettings(levels="paper")])
def test_large_areas_are_as_bright_at_every_size(how: MertensSettings) -> None:
    pictures = [fuse(halves(size, size * 3 // 2), how).pixels for size in (140, 190, 250)]
    upper = [float(picture[: len(picture) // 3].mean()) for picture in pictures]
    lower = [float(picture[len(picture) // 2 :].mean()) for picture in pictures]
    spread = max(np.ptp(upper), np.ptp(lower))
    if how.levels is None:
        assert spread < 0.02
    else:
        assert spread > 0.03  # else this test would tell nothing


def test_upside_down_it_is_the_same_picture() -> None:
    stack = halves(190, 285)
    turned = Stack(
        tuple(replace(f, pixels=np.ascontiguousarray(f.pixels[::-1])) for f in stack.frames),
        stack.reference,
    )
    for how, least, most in (
        (MertensSettings(), 0.0, 0.001),
        (MertensSettings(levels="paper"), 0.01, 1.0),
    ):
        change = np.abs(fuse(turned, how).pixels[::-1] - fuse(stack, how).pixels).mean()
        assert least <= change <= most

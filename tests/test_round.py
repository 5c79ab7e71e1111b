"""360-degree frames: fused, aligned and deghosted as if their seam were anywhere else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from ghostless.align import AlignSettings, align_bracket
from ghostless.align.rotation import Sphere, turn_of, warp_rotation
from ghostless.bracket import Bracket, Frame, Fused, Stack
from ghostless.deghost import DeghostSettings, deghost_stack
from ghostless.io.read import ReadSettings, read_bracket, read_image
from ghostless.methods import fuse_stack
from ghostless.pipeline import FuseOptions, fuse_files
from ghostless.pixels import color
from ghostless.pixels.pyramid import expand, reduce
from ghostless.pixels.seam import folded, overlap_of, unrolled
from ghostless.tone.tonemap import ToneMapSettings, tone_map

from .io.test_xmp import jpeg_with, packet, panorama, xmp_segment

Floats = NDArray[np.float32]
STOPS = (-2.0, 0.0, 2.0)


def sphere_light(height: int = 128, width: int = 256, seed: int = 3) -> Floats:
    """Light of a scene all round: waves and spots on the sphere, without a seam."""
    random = np.random.default_rng(seed)
    directions = Sphere(height, width, width / 4 - height / 2).directions(
        np.arange(width)[None], np.arange(height)[:, None]
    )
    stops = np.zeros((height, width), np.float32)
    for _ in range(60):
        axis = random.normal(size=3)
        axis *= random.uniform(3, 30) / np.linalg.norm(axis)
        stops += 0.35 * np.sin(directions @ axis + random.uniform(0, 6.3))
    for _ in range(80):
        spot = random.normal(size=3)
        inside = directions @ (spot / np.linalg.norm(spot)) > random.uniform(0.985, 0.999)
        stops[inside] += random.uniform(-2, 2)
    tints = 1 + 0.3 * np.sin(directions @ random.normal(size=(3, 3)) * 3)
    return (0.2 * 2.0 ** stops[..., None] * tints).astype(np.float32)


def shot(light: Floats, stop: float, seed: int = 0) -> Frame:
    noise = np.random.default_rng(seed).normal(0, 0.004, light.shape)
    display = color.linear_to_srgb(np.clip(light * 2.0**stop, 0, 1)) + noise
    return Frame(np.rint(np.clip(display, 0, 1) * 255).astype(np.uint8), stops=stop)


def rolled(frames: Sequence[Frame], columns: int) -> tuple[Frame, ...]:
    return tuple(replace(f, pixels=np.roll(f.pixels, columns, axis=1)) for f in frames)


def seam_step(picture: Floats) -> float:
    """Step across the seam beyond what the picture does on both sides of it, mean, in codes."""
    left, right = picture[:, 0], picture[:, -1]
    slope = ((picture[:, 1] - left) + (right - picture[:, -2])) / 2
    return float(np.abs((left - right - slope).mean(axis=0)).max()) * 255


# Parts --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [16, 37, 300, 801])
def test_folding_undoes_unrolling(width: int) -> None:
    picture = np.random.default_rng(1).random((5, width, 3)).astype(np.float32)
    wide = unrolled(picture)
    assert wide.shape[1] == width + overlap_of(width)
    assert np.allclose(folded(wide, width), picture, atol=1e-6)
    flags = picture[..., 0] > 0.5
    assert np.array_equal(folded(unrolled(flags), width), flags)


def test_a_filter_on_an_unrolled_picture_sees_across_the_seam() -> None:
    picture = np.random.default_rng(1).random((40, 300)).astype(np.float32)
    filtered = folded(cv2.blur(unrolled(picture), (21, 21)), 300)
    moved = folded(cv2.blur(unrolled(np.roll(picture, 111, axis=1)), (21, 21)), 300)
    assert np.allclose(np.roll(filtered, 111, axis=1), moved, atol=1e-5)


@pytest.mark.parametrize("width", [2, 6, 64])
def test_pyramids_turn_with_their_picture(width: int) -> None:
    picture = np.random.default_rng(2).random((9, width)).astype(np.float32)
    small = reduce(picture, wraps=True)
    moved = reduce(np.roll(picture, 2, axis=1), wraps=True)
    assert np.allclose(np.roll(small, 1, axis=1), moved, atol=1e-6)
    large = expand(small, picture.shape, wraps=True)
    assert large.shape == picture.shape
    assert np.allclose(np.roll(large, 2, axis=1), expand(moved, picture.shape, wraps=True))


@pytest.mark.parametrize("width", [1, 3, 7, 33])
def test_pyramids_of_odd_widths_keep_their_sizes_and_flat_areas(width: int) -> None:
    flat = np.full((8, width), 0.3, np.float32)
    small = reduce(flat, wraps=True)
    assert small.shape == (4, (width + 1) // 2)
    assert np.allclose(small, 0.3)
    assert np.allclose(expand(small, flat.shape, wraps=True), 0.3)


# Fusion -------------------------------------------------------------------------------------------


def fused_round(frames: Sequence[Frame], method: str, operator: str = "fusion") -> Floats:
    fused: Fused = fuse_stack(Stack(tuple(frames), 1, wraps=True), method)
    assert fused.wraps
    if fused.space == "linear":
        fused = tone_map(fused, ToneMapSettings(operator))
    return fused.pixels


@pytest.mark.parametrize(
    ("method", "operator"),
    [
        ("mertens", ""),
        ("debevec", "fusion"),
        ("debevec", "durand"),
        ("debevec", "reinhard-local"),
        ("debevec", "mantiuk"),
    ],
)
@pytest.mark.parametrize("size", [(128, 256), (120, 243)])
def test_nothing_happens_at_the_seam(method: str, operator: str, size: tuple[int, int]) -> None:
    light = sphere_light(*size)
    # A bright and a dark side, and the seam between them: what a border would make of them shows.
    ramp = np.where(np.arange(size[1]) < size[1] // 2, 3.0, 0.4).astype(np.float32)
    light *= ramp[None, :, None]
    turn = size[1] // 4
    light = np.roll(light, turn, axis=1)
    frames = [shot(light, stop) for stop in STOPS]
    result = fused_round(frames, method, operator)
    elsewhere = fused_round(rolled(frames, 64), method, operator)
    off = np.abs(np.roll(result, 64, axis=1) - elsewhere) * 255
    # Operators set their tones by a picture whose repeated part counts twice.
    assert off.mean() < 3
    assert seam_step(result) < 0.4 + 0.3 * seam_step(np.roll(result, 31, axis=1))


def test_a_network_sees_no_seam() -> None:
    pytest.importorskip("torch")
    frames = [shot(sphere_light(), stop) for stop in STOPS[::2]]
    stack = Stack(tuple(frames), 0, wraps=True)
    result = fuse_stack(stack, "lcndr").pixels
    assert result.shape == (128, 256, 3)
    assert seam_step(result) < 1.5


# Alignment ----------------------------------------------------------------------------------------


def turned(light: Floats, rotation: NDArray[np.float64]) -> Floats:
    sphere = Sphere(light.shape[0], light.shape[1], 0)
    return np.asarray(warp_rotation(Frame(light, "linear"), rotation, sphere)[0], np.float32)


def tilt(*degrees: float) -> NDArray[np.float64]:
    return np.asarray(cv2.Rodrigues(np.radians(np.array(degrees)))[0])


def off_by(found: NDArray[np.float64], true: NDArray[np.float64], width: int) -> float:
    """Angle between two rotations, in pixels."""
    angle = np.arccos(np.clip((np.trace(found @ true.T) - 1) / 2, -1, 1))
    return float(angle * width / (2 * np.pi))


ROTATIONS = {
    "whole columns": (turn_of(2 * np.pi * 37 / 256), turn_of(-2 * np.pi * 100 / 256)),
    "parts of columns": (turn_of(2 * np.pi * 1.4 / 256), turn_of(-2 * np.pi * 0.7 / 256)),
    "tilted": (tilt(1, 2, 0.5), tilt(-0.7, 40, 1.5)),
}


@pytest.mark.parametrize("kind", ROTATIONS)
def test_rotations_are_found(kind: str) -> None:
    dark, bright = ROTATIONS[kind]
    light = sphere_light()
    frames = (
        shot(turned(light, dark), -2, 1),
        shot(light, 0, 2),
        shot(turned(light, bright), 2, 3),
    )
    stack = align_bracket(Bracket(frames, wraps=True), None, 1)
    for index, true in ((0, dark), (2, bright)):
        registration = stack.registrations[index]
        assert registration.model == "rotation"
        assert off_by(registration.matrix, np.linalg.inv(true), 256) < 0.15
        wanted = shot(light, STOPS[index], 9).pixels.astype(float)
        error = np.abs(stack.frames[index].pixels - wanted)[20:-20]
        assert error.mean() < 4
        assert np.abs(error[:, :2].mean() - error.mean()) < 2  # at the seam as elsewhere
    assert stack.wraps


def test_frames_that_stand_still_are_left_alone() -> None:
    frames = tuple(shot(sphere_light(), stop, k) for k, stop in enumerate(STOPS))
    stack = align_bracket(Bracket(frames, wraps=True), None, 1)
    assert stack.frames[0].pixels is frames[0].pixels
    assert stack.registrations[2].model == "identity"


def test_shift_turns_about_the_vertical_only() -> None:
    light = sphere_light()
    frames = (shot(light, 0), shot(turned(light, tilt(1.5, 5, 0)), 2))
    settings = AlignSettings(model="shift")
    matrix = align_bracket(Bracket(frames, wraps=True), settings, 0).registrations[1].matrix
    assert matrix[1, 1] == pytest.approx(1)
    none = AlignSettings(model="none")
    assert align_bracket(Bracket(frames, wraps=True), none, 0).registrations[1].model == "identity"


def test_a_strip_that_is_no_sphere_is_turned_about_the_vertical() -> None:
    light = np.ascontiguousarray(np.repeat(sphere_light(), 2, axis=0)[64:-20])  # taller than half
    frames = (shot(light, 0), shot(np.roll(light, 30, axis=1), 2))
    stack = align_bracket(Bracket(frames, wraps=True), None, 0)
    assert stack.registrations[1].model == "rotation"
    wanted = shot(light, 2, 5).pixels.astype(float)
    assert np.abs(stack.frames[1].pixels - wanted).mean() < 3


def test_part_of_the_sphere_is_rotated_by_where_it_lies() -> None:
    whole = sphere_light(256, 512)
    rotation = tilt(1, 30, 0)
    rows = slice(40, 180)
    frames = (shot(whole[rows], 0), shot(turned(whole, rotation)[rows], 2))
    bracket = Bracket(frames, wraps=True, top_rows=40)
    registration = align_bracket(bracket, None, 0).registrations[1]
    assert off_by(registration.matrix, np.linalg.inv(rotation), 512) < 0.2


# Deghosting ---------------------------------------------------------------------------------------


def with_ball(light: Floats, column: float) -> Floats:
    height, width = light.shape[:2]
    away = (np.arange(width)[None] - column + width / 2) % width - width / 2
    inside = np.hypot(away, np.arange(height)[:, None] - height * 0.55) < height * 0.11
    out = light.copy()
    out[inside] = (0.05, 0.15, 0.5)
    return out


@pytest.mark.parametrize("proxy_pixels", [1_500_000, 20_000])
@pytest.mark.parametrize("by", ["network", "statistics"])
def test_what_moves_across_the_seam_is_found_as_elsewhere(by: str, proxy_pixels: int) -> None:
    light = sphere_light(160, 320)
    frames = [shot(with_ball(light, 12 * k - 12), stop, k) for k, stop in enumerate(STOPS)]
    settings = DeghostSettings(mode="on", by=by, proxy_pixels=proxy_pixels)  # type: ignore[arg-type]
    found = [
        deghost_stack(Stack(rolled(frames, turn), 1, wraps=True), settings) for turn in (0, 160)
    ]
    truth = [shot(with_ball(light, 0), stop, 7) for stop in STOPS]
    for index in (0, 2):
        here, there = (stack.frames[index].pixels.astype(float) for stack in found)
        there = np.roll(there, -160, axis=1)
        error = np.abs(here - truth[index].pixels)
        around = np.r_[0:30, 290:320]
        assert error[:, around].mean() < np.abs(there - truth[index].pixels)[:, around].mean() + 1.5
        mask = found[0].confidence[index]
        assert mask is not None
        ghosts = mask < 128
        assert ghosts[:, :12].any()
        assert ghosts[:, -12:].any()
        edges = [
            np.abs(picture[:, 0] - picture[:, -1]).mean()
            for picture in (here, truth[index].pixels.astype(float))
        ]
        assert edges[0] < edges[1] + 6


# From files ---------------------------------------------------------------------------------------


def save(folder: Path, told: str | None, width: int = 256, height: int = 128) -> list[Path]:
    folder.mkdir(exist_ok=True)
    paths = []
    for number, stop in enumerate(STOPS):
        pixels = shot(sphere_light(height, width), stop).pixels
        parts = [] if told is None else [xmp_segment(packet(told))]
        paths.append(folder / f"p{number}.jpg")
        paths[-1].write_bytes(jpeg_with(*parts, image=pixels))
    return paths


def test_photos_say_that_they_go_all_the_way_round(tmp_path: Path) -> None:
    whole = save(tmp_path / "whole", panorama(256, 128, 256))
    assert read_bracket(whole).wraps
    assert not read_bracket(whole, ReadSettings(wrap=False)).wraps
    part = save(tmp_path / "part", panorama(256, 128, 400, 20, 10))
    assert not read_bracket(part).wraps
    plain = save(tmp_path / "plain", None)
    assert not read_bracket(plain).wraps
    assert read_bracket(plain, ReadSettings(wrap=True)).wraps


def test_a_band_all_round_tells_where_it_lies(tmp_path: Path) -> None:
    paths = save(tmp_path, panorama(256, 90, 256, 0, 30), height=90)
    bracket = read_bracket(paths)
    assert bracket.wraps
    assert bracket.top_rows == 30


def test_numbers_left_out_mean_the_whole_sphere(tmp_path: Path) -> None:
    assert read_bracket(save(tmp_path, 'GPano:ProjectionType="equirectangular"')).wraps


def test_one_photo_that_says_otherwise_is_heard(tmp_path: Path) -> None:
    paths = save(tmp_path, panorama(256, 128, 256))
    part = save(tmp_path / "part", panorama(256, 128, 400, 20, 10))
    assert not read_bracket([*paths[:2], part[2]]).wraps


def test_the_case(shared: Path, tmp_path: Path) -> None:
    folder = shared / "cases" / "equirectangular_with_xmp"
    if not folder.is_dir():
        pytest.skip("needs ../shared/data/cases")
    fuse_files(sorted(folder.iterdir()), tmp_path / "out.png", FuseOptions())
    picture = read_image(tmp_path / "out.png").pixels
    ground = picture[270:]
    assert np.abs((ground[:, 0] - ground[:, -1]).mean(axis=0)).max() * 255 < 0.4

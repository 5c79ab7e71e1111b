"""What surrounds the networks that fuse luma: levels, stretch, chroma, any number of frames."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.scenes import make_radiance, make_stack  # noqa: E402

from ghostless.bracket import Frame, Stack  # noqa: E402
from ghostless.methods import luma  # noqa: E402
from ghostless.methods.settings import LumaPairSettings, LumaSettings  # noqa: E402
from ghostless.nn.weights import NetworkKind, Sides, WeightsInfo, save_weights  # noqa: E402
from ghostless.pixels import color  # noqa: E402

SIZE = (20, 30)


class Mean(torch.nn.Module):
    """Fuses by the mean; keeps to planes, so that what comes out is known."""

    def forward(self, over=None, under=None, lumas=None):
        return (over + under) / 2 if lumas is None else lumas.mean(dim=1)


def mean_of(network, planes):
    return network(lumas=torch.stack(planes, dim=1))


@pytest.fixture
def kind(tmp_path):
    class Architecture:
        pass

    from dataclasses import dataclass

    architecture = dataclass(frozen=True)(Architecture)
    kind = NetworkKind("mean", architecture, lambda _: Mean(), "", lambda _: Sides(4, 8))
    file = tmp_path / "mean.safetensors"
    save_weights(Mean(), file, WeightsInfo("mean"))
    return kind, file


@pytest.fixture
def stack():
    return make_stack(make_radiance(*SIZE, seed=6), (-2, 0, 2))


def fuse(stack, kind, run, cls=LumaSettings, levels="full", **options):
    settings = cls(weights=kind[1], device="cpu", precision="float32", **options)
    return luma.fuse_luma(stack, settings, kind[0], run, levels=levels).pixels


def luma_of(pixels):
    return color.rgb_to_ycbcr(np.asarray(pixels, np.float32))[..., 0]


def test_all_frames_at_once_or_in_turn(stack, kind) -> None:
    frames = [luma_of(frame.display()) for frame in stack.frames]
    together = fuse(stack, kind, luma.in_tiles(0, 1, call=mean_of))
    # Where chroma does not clip.
    inside = (together > 0.01).all(axis=2) & (together < 0.99).all(axis=2)
    assert inside.mean() > 0.3
    np.testing.assert_allclose(
        luma_of(together)[inside], np.mean(frames, axis=0)[inside], atol=2e-3
    )
    in_turn = fuse(stack, kind, luma.in_tiles(0, 1), LumaPairSettings, order="extremes")
    inside = (in_turn > 0.01).all(axis=2) & (in_turn < 0.99).all(axis=2)
    wanted = (frames[0] + frames[2]) / 2
    np.testing.assert_allclose(luma_of(in_turn)[inside], wanted[inside], atol=2e-3)


def test_grey_stays_grey_and_colour_is_the_strongest(kind) -> None:
    grey = Frame(np.full((*SIZE, 3), 90, np.uint8))
    red = Frame(np.full((*SIZE, 3), (160, 60, 60), np.uint8))
    run = luma.in_tiles(0, 1, call=mean_of)
    plain = fuse(Stack((grey, grey), 0), kind, run)
    np.testing.assert_allclose(plain, 90 / 255, atol=1e-5)
    coloured = color.rgb_to_ycbcr(fuse(Stack((grey, red), 0), kind, run))
    wanted = color.rgb_to_ycbcr(red.display())
    np.testing.assert_allclose(coloured[..., 1:], wanted[..., 1:], atol=1e-5)


@pytest.mark.parametrize(
    ("stretch", "wanted"),
    [
        ("none", (0.2, 0.4, 0.6)),
        ("minmax", (0.0, 0.5, 1.0)),
        ("max", (0.2 / 0.6, 0.4 / 0.6, 1.0)),
        ("percentile", (0.0, 0.5, 1.0)),
    ],
)
def test_the_stretch_is_that_of_the_whole_image(stretch, wanted, kind) -> None:
    plane = np.full(SIZE, 0.2, np.float32)
    plane[7:14], plane[14:] = 0.4, 0.6
    frame = Frame(np.repeat(plane[:, :, None], 3, axis=2))
    tiled = luma.in_tiles(0, 10**7, call=mean_of)  # tiles of the least size
    for run in (luma.in_tiles(0, 1, call=mean_of), tiled):
        found = fuse(Stack((frame, frame), 0), kind, run, stretch=stretch)[[0, 10, -1], 0, 0]
        np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_percentiles_leave_outliers_out() -> None:
    plane = np.linspace(0.3, 0.5, 1001, dtype=np.float32)[None]
    plane[0, 0], plane[0, -1] = 0, 1
    low, high = luma.stretch_limits(plane, "percentile")
    assert (low, high) == pytest.approx((0.302, 0.498), abs=1e-3)
    assert luma.stretch_limits(np.ones((3, 3), np.float32), "minmax") is None


def test_studio_levels_in_and_out(kind) -> None:
    """Given studio luma, and taken for studio luma, nothing changes."""
    frame = Frame(np.full((*SIZE, 3), 77, np.uint8))
    run = luma.in_tiles(0, 1, call=mean_of)
    both = fuse(Stack((frame, frame), 0), kind, run, levels="studio", luma="studio")
    np.testing.assert_allclose(both, 77 / 255, atol=1e-5)
    into = fuse(Stack((frame, frame), 0), kind, run, levels="studio")
    np.testing.assert_allclose(into, (16 + 219 * 77 / 255) / 255, atol=1e-5)


def test_luma_in_codes_is_of_8_bits_and_rounded_down() -> None:
    values = np.float32([10.4, 10.99, 11.0, 200.7]) / 255
    frame = Frame(np.repeat(values[None, :, None], 3, axis=2))
    read = luma.LumaReader([frame], Sides(), "full", torch.device("cpu"), in_codes=True)
    region = luma.Region(0, 1, 0, 4)
    found = read(region)[0].numpy().ravel() * 255
    np.testing.assert_allclose(found, [10, 11, 11, 200], atol=1e-3)
    assert read.reduced(10**6)[0].shape == (1, 1, 1, 4)


def test_frames_are_filled_up_and_cropped(stack, kind) -> None:
    odd = replace(stack, frames=tuple(replace(f, pixels=f.pixels[:19, :29]) for f in stack.frames))
    seen = []

    def call(network, planes):
        seen.append(planes[0].shape[2:])
        return mean_of(network, planes)

    assert fuse(odd, kind, luma.in_tiles(0, 1, multiple=4, call=call)).shape == (19, 29, 3)
    assert seen == [(20, 32)]

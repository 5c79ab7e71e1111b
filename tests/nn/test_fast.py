"""Quality: the choice between every pixel and a proxy, and what the proxy's result is worth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import cv2  # noqa: E402
from tests.scenes import add_disc, make_radiance, make_stack  # noqa: E402

from ghostless.bracket import Fused, Stack  # noqa: E402
from ghostless.methods import METHODS, debevec, get_method, mertens  # noqa: E402
from ghostless.nn import (  # noqa: E402
    chen_chuang,
    dpgn,
    dpgn_tiled,
    fast,
    hdr_gan,
    lcndr,
    mef_gan,
)
from ghostless.nn.settings import NetworkSettings  # noqa: E402
from ghostless.nn.weights import WeightsInfo, save_weights  # noqa: E402
from ghostless.research.metrics import score  # noqa: E402
from ghostless.research.metrics.images import Images  # noqa: E402

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)


def photos(height, width, seed):
    """Radiance with the detail of a photo: sharp at its size, unlike noise."""
    large = make_radiance(2 * height, 2 * width, seed=seed)
    return cv2.resize(large, (width, height), interpolation=cv2.INTER_AREA)


def run_fast(stack, run, pixels):
    proxy = fast.make_proxy(stack, pixels)
    return fast.carry_to_full_size(run(proxy), proxy, stack)


def as_bytes(pixels):
    return np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)


def psnr(a, b):
    return -10 * np.log10(np.mean((a.astype(np.float64) - b) ** 2))


def mef_ssim(stack, pixels):
    sources = tuple(as_bytes(frame.display()) for frame in stack.frames)
    return score(Images(as_bytes(pixels), sources=sources), ["MEF_SSIM"])["MEF_SSIM"]


@pytest.mark.parametrize("stops", [(-2.0, 2.0), (-2.5, 0.0, 2.5)])
def test_fast_exposure_fusion_keeps_the_detail_of_full(stops):
    stack = make_stack(photos(480, 640, seed=3), stops, noise=1)
    full = mertens.fuse(stack).pixels
    small = mertens.fuse(fast.make_proxy(stack, 80 * 640)).pixels
    enlarged = cv2.resize(small, (640, 480), interpolation=cv2.INTER_CUBIC)
    carried = run_fast(stack, mertens.fuse, 80 * 640)
    assert mef_ssim(stack, carried) > mef_ssim(stack, full) - 0.005
    assert mef_ssim(stack, enlarged) < mef_ssim(stack, full) - 0.02
    assert psnr(carried, full) > psnr(enlarged, full) + 3


def mu_law(radiance, brightest):
    return np.log1p(5000 * np.clip(radiance / brightest, 0, 1)) / np.log1p(5000)


def radiance_of(stack):
    return debevec.fuse(stack, debevec.DebevecSettings(response="srgb"))


@pytest.mark.parametrize(("depth", "linear"), [(8, False), (16, False), (16, True)])
def test_fast_radiance_is_linear_and_correct(depth, linear):
    radiance = photos(400, 480, seed=4)
    stack = make_stack(radiance, (-2.0, 0.0, 2.0), depth=depth, linear=linear, noise=1)
    full, carried = radiance_of(stack).pixels, run_fast(stack, radiance_of, 100 * 120)
    truth = np.minimum(radiance, 4)  # the darkest frame clips two stops above the reference
    seen = truth < 3.5
    error = np.abs(np.log2(carried / truth))[seen]
    assert np.median(error) < 0.03
    assert np.percentile(error, 99) < 0.5
    in_domain = [psnr(mu_law(x, 4), mu_law(truth, 4)) for x in (full, carried)]
    small = radiance_of(fast.make_proxy(stack, 100 * 120)).pixels
    enlarged = cv2.resize(small, (480, 400), interpolation=cv2.INTER_LINEAR)
    assert in_domain[1] > 30
    assert in_domain[1] > psnr(mu_law(enlarged, 4), mu_law(truth, 4)) + 4


def test_things_that_moved_stay_where_the_result_has_them():
    """A network that keeps the reference's moving things, and frames that show them elsewhere."""
    background = photos(360, 480, seed=6)
    places = [(120.0, 100.0), (240.0, 180.0), (340.0, 250.0)]
    scenes = [add_disc(background, place, 40, (0.2, 0.05, 0.02)) for place in places]
    stack = make_stack(scenes, (-2.0, 0.0, 2.0))

    def reference_alone(stack):
        reference = stack.frames[stack.reference]
        return Fused(reference.linear(), "linear")

    carried = run_fast(stack, reference_alone, 90 * 120)
    wanted = stack.frames[1].linear()
    error = np.abs(mu_law(carried, 4) - mu_law(wanted, 4))
    y, x = np.mgrid[:360, :480]
    for place in (places[0], places[2]):
        inside = np.hypot(x - place[0], y - place[1]) < 30
        assert error[inside].mean() < 0.01
    assert error.mean() < 0.01


def test_proxy_has_the_frames_means_in_16_bits():
    stack = make_stack(make_radiance(300, 500), (-1.0, 1.0))
    proxy = fast.make_proxy(stack, 20_000)
    shape = proxy.frames[0].pixels.shape
    assert shape == (112, 184, 3)
    for small, frame in zip(proxy.frames, stack.frames, strict=True):
        assert small.pixels.dtype == np.uint16
        assert small.stops == frame.stops
        np.testing.assert_allclose(small.display().mean(), frame.display().mean(), atol=2e-3)
    tall = make_stack(make_radiance(900, 3), (-1.0, 1.0))
    assert fast.make_proxy(tall, 600).frames[0].pixels.shape == (424, 1, 3)


def test_models_look_at_few_frames_with_the_reference_among_them():
    assert fast._frames_for_models(2, 0) == [0, 1]
    assert fast._frames_for_models(4, 3) == [0, 1, 2, 3]
    assert fast._frames_for_models(9, 4) == [0, 4, 5, 8]
    assert fast._frames_for_models(20, 0) == [0, 6, 13, 19]
    stack = make_stack(photos(160, 200, seed=7), (-4, -3, -2, -1, 0, 1, 2, 3, 4))
    carried = run_fast(stack, mertens.fuse, 80 * 100)
    assert psnr(carried, mertens.fuse(stack).pixels) > 28


def test_auto_chooses_by_size_and_device(monkeypatch):
    def choose(wanted, megapixels, device=CPU):
        return fast.choose_quality(wanted, round(megapixels * 1e6), device, 100)

    assert [choose("auto", size) for size in (0.1, 1.4, 1.6, 24)] == ["full"] * 2 + ["fast"] * 2
    assert choose("full", 60) == "full"
    assert choose("fast", 1.4) == "fast"
    assert choose("fast", 0.5) == "full"
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (8e9, 16e9))
    assert [choose("auto", size, CUDA) for size in (24, 39, 41)] == ["full", "full", "fast"]
    limited = [
        fast.choose_quality(wanted, 300_000, CUDA, 100, best_pixels=200_000)
        for wanted in ("auto", "full")
    ]
    assert limited == ["fast", "full"]


KINDS = {
    "chen-chuang": (chen_chuang.GENERATOR, chen_chuang.ChenChuangArchitecture(channels=8)),
    "hdr-gan": (hdr_gan.GENERATOR, hdr_gan.HdrGanArchitecture(base_channels=4)),
    "mef-gan": (mef_gan.GENERATOR, mef_gan.GeneratorArchitecture()),
    "lcndr": (lcndr.NETWORK, lcndr.LcndrArchitecture()),
    "dpgn": (dpgn_tiled.NETWORK, dpgn.DpgnArchitecture(base=4, levels=3, side_outputs=3)),
}


@pytest.fixture(params=sorted(KINDS))
def network(request, tmp_path):
    """A method's name and weights."""
    kind, architecture = KINDS[request.param]
    torch.manual_seed(2)
    path = tmp_path / "random.safetensors"
    save_weights(kind.build(architecture).eval(), path, WeightsInfo(kind.name))
    return request.param, path


def test_every_network_runs_fast_and_says_so(network, monkeypatch):
    name, path = network
    monkeypatch.setattr(fast, "PROXY_PIXELS", 24 * 32)
    monkeypatch.setattr(fast, "FULL_PIXELS_ON_CPU", 60 * 80)
    if METHODS[name].best_pixels:
        monkeypatch.setitem(METHODS, name, replace(METHODS[name], best_pixels=24 * 32))
    run, settings_class = get_method(name).load()
    stack = make_stack(photos(61, 83, seed=1), (-2.0, 0.0, 2.0))
    told = []
    settings = {
        quality: settings_class(weights=path, device="cpu", quality=quality)
        for quality in ("auto", "full", "fast")
    }
    quick = run(stack, settings["fast"], progress=told.append)
    assert quick.pixels.shape == (61, 83, 3)
    assert np.isfinite(quick.pixels).all()
    assert quick.pixels.std() > 1e-4
    assert quick.notes == ("quality fast: the network ran on 32 x 24 pixels, carried to 83 x 61",)
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1)
    auto = run(stack, settings["auto"])
    assert np.array_equal(auto.pixels, quick.pixels)
    assert auto.notes == quick.notes
    full = run(stack, settings["full"])
    assert full.notes == ()
    assert np.abs(full.pixels - quick.pixels).max() > 1e-4
    cut = tuple(replace(frame, pixels=frame.pixels[:24, :30]) for frame in stack.frames)
    small = run(Stack(cut, 1), settings["auto"])
    assert small.notes == ("quality full: the network ran on every pixel",)
    assert np.array_equal(small.pixels, run(Stack(cut, 1), settings["full"]).pixels)


def test_what_is_as_small_as_a_proxy_runs_whole():
    stack = make_stack(photos(24, 32, seed=9), (-2.0, 2.0))
    seen = []

    def run(stack, progress):
        seen.append(stack)
        return mertens.fuse(stack)

    settings = NetworkSettings(quality="fast")
    fused = fast.fuse_at_quality(stack, settings, CPU, run, map_bytes_per_pixel=0)
    assert len(seen) == 1
    assert seen[0] is stack
    assert fused.notes == ("quality full: the network ran on every pixel",)


def test_reduced_again_the_carried_result_is_that_of_the_proxy():
    stack = make_stack(photos(240, 320, seed=9), (-2.0, 2.0))
    proxy = fast.make_proxy(stack, 60 * 80)
    small = mertens.fuse(proxy)
    carried = fast.carry_to_full_size(small, proxy, stack)
    back = cv2.resize(carried, small.pixels.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert psnr(back, small.pixels) > 36

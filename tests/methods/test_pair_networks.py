"""What MEF-GAN, LCNDR and DPGN share as methods: from a stack and a weights file to an image.

Small networks of random weights stand in for trained ones: what is tested is that the method does
what the network says, at any size, for any number of frames.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.scenes import make_radiance, make_stack  # noqa: E402

from ghostless.bracket import Frame, Stack  # noqa: E402
from ghostless.errors import BracketError, OptionError, WeightsError  # noqa: E402
from ghostless.methods import METHODS, get_method, mertens  # noqa: E402
from ghostless.methods.painted import lift_to_grey, take_chroma  # noqa: E402
from ghostless.methods.settings import PaintingSettings  # noqa: E402
from ghostless.nn import dpgn, dpgn_tiled, lcndr, mef_gan  # noqa: E402
from ghostless.nn.weights import WeightsInfo, load_weights, save_weights  # noqa: E402
from ghostless.nn.ycbcr import luma  # noqa: E402
from ghostless.pixels import color  # noqa: E402

NAMES = ("mef-gan", "lcndr", "dpgn")
KINDS = {"mef-gan": mef_gan.GENERATOR, "lcndr": lcndr.NETWORK, "dpgn": dpgn_tiled.NETWORK}
SMALL = {
    "mef-gan": mef_gan.GeneratorArchitecture(initial_gamma=0.5),
    "lcndr": lcndr.LcndrArchitecture(),
    "dpgn": dpgn.DpgnArchitecture(base=4, levels=3, side_outputs=3),
}


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Paths of weights files by method."""
    folder = tmp_path_factory.mktemp("weights")
    paths = {}
    for name, kind in KINDS.items():
        torch.manual_seed(3)
        network = kind.build(SMALL[name])
        settle(network, SMALL[name])
        paths[name] = folder / f"{name}.safetensors"
        save_weights(network, paths[name], WeightsInfo(name))
    return paths


@torch.no_grad()
def settle(network, architecture):
    """Give the norms statistics of some data."""
    network.train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 0.5
    channels = 1 if isinstance(architecture, lcndr.LcndrArchitecture) else 3
    for _ in range(3):
        over, under = torch.rand(2, 2, channels, 32, 32)
        network(over=over, under=under)
    network.eval()


def settings(name, weights, **options):
    _, settings_class = get_method(name).load()
    options = {"device": "cpu", "precision": "float32", **options}
    return settings_class(weights=weights[name], **options)


def fuse(stack, name, weights, **options):
    run, _ = get_method(name).load()
    return run(stack, settings(name, weights, **options))


def scene(height=37, width=45, stops=(-2.0, 2.0), **how):
    return make_stack(make_radiance(height, width, seed=5), stops, **how)


def tensor(pixels):
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None]


def padded(pixels, multiple, mode):
    height, width = pixels.shape[:2]
    rows, columns = -height % multiple, -width % multiple
    return tensor(np.pad(pixels, ((0, rows), (0, columns), (0, 0)), mode=mode))


def as_it_is(name):
    """Options with which nothing but the network, or lcndr's own rule, makes the picture."""
    return {"chroma": "net"} if name == "lcndr" else {"brightness": "net"}


@torch.no_grad()
def by_hand(name, weights, dark, bright):
    """The method's image of two display images, from the network and plain NumPy."""
    network, _ = load_weights(KINDS[name], weights[name])
    height, width = dark.shape[:2]
    mode = "edge" if name == "dpgn" else "reflect"
    over, under = (padded(pixels, 8, mode) for pixels in (bright, dark))
    if name == "lcndr":
        fused_luma = network(over=luma(over), under=luma(under))[0, 0, :height, :width].numpy()
        ycbcr = [color.rgb_to_ycbcr(pixels) for pixels in (bright, dark)]
        chroma = color.fuse_chroma([planes[..., 1:] for planes in ycbcr])
        joined = np.dstack([fused_luma.clip(0, 1), chroma])
        return color.ycbcr_to_rgb(joined).clip(0, 1)
    out = network(over=over, under=under)
    planes = out if name == "mef-gan" else out.final
    image = planes[0].permute(1, 2, 0).numpy()[:height, :width]
    frames = (Frame(dark), Frame(bright))
    ycbcr = color.rgb_to_ycbcr(mertens.fuse(Stack(frames, reference=0)).pixels)
    net_luma = color.rgb_to_ycbcr(np.ascontiguousarray(image))[..., 0]
    by = np.sqrt((net_luma + 0.02) / (ycbcr[..., 0] + 0.02))
    ycbcr[..., 1:] = (ycbcr[..., 1:] - 0.5) * by[..., None] + 0.5
    ycbcr[..., 0] = net_luma
    return color.ycbcr_to_rgb(ycbcr).clip(0, 1)


@pytest.mark.parametrize("name", NAMES)
def test_method_does_what_its_network_says(name, weights):
    stack = scene()
    dark, bright = (frame.display() for frame in stack.frames)
    fused = fuse(stack, name, weights, **as_it_is(name))
    assert fused.space == "display"
    assert fused.pixels.shape == (37, 45, 3)
    np.testing.assert_allclose(fused.pixels, by_hand(name, weights, dark, bright), atol=2e-5)
    assert fused.pixels.std() > 0.01


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(1, 1), (3, 21), (16, 9)])
def test_any_size(name, size, weights):
    pixels = make_radiance(32, 32)[: size[0], : size[1]]
    fused = fuse(make_stack(np.ascontiguousarray(pixels), (-1, 1)), name, weights)
    assert fused.pixels.shape == (*size, 3)
    assert np.isfinite(fused.pixels).all()


@pytest.mark.parametrize("name", NAMES)
def test_three_frames_are_fused_in_turn(name, weights):
    stack = scene(24, 32, (-2, 0, 2))
    how = as_it_is(name)
    fused = fuse(stack, name, weights, order="sequential", **how).pixels
    first, second, third = (frame.display() for frame in stack.frames)
    one = by_hand(name, weights, first, second)
    one = (np.rint(one * 65535) / 65535).astype(np.float32)
    pair = sorted([one, third], key=lambda pixels: pixels.mean())
    # A value between two of 16 bits may be rounded either way, and the network makes more of it.
    np.testing.assert_allclose(fused, by_hand(name, weights, *pair), atol=2e-4)
    extremes = fuse(stack, name, weights, order="extremes", **how).pixels
    np.testing.assert_allclose(extremes, by_hand(name, weights, first, third), atol=2e-5)
    mirrored = fuse(stack, name, weights, order="mirrored", **how).pixels
    assert np.abs(mirrored - fused).max() > 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_16_bit_and_linear_frames_give_the_same_image(name, weights):
    # Scaled chroma would make more of what a network with random weights makes of rounding.
    own = {"dpgn": {"chroma": "prior"}}.get(name, {"chroma": "net"})
    plain = fuse(scene(16, 24), name, weights, **own).pixels
    deep = fuse(scene(16, 24, depth=16), name, weights, **own).pixels
    light = fuse(scene(16, 24, depth=16, linear=True), name, weights, **own).pixels
    assert 0 < np.abs(deep - plain).max() < 0.1
    np.testing.assert_allclose(light, deep, atol=0.02)


@pytest.mark.parametrize("name", ["lcndr", "dpgn"])
def test_a_grey_pair_stays_grey(name, weights):
    grey = np.repeat(make_radiance(24, 24)[..., :1], 3, axis=2)
    fused = fuse(make_stack(grey, (-2, 2)), name, weights).pixels
    assert np.ptp(fused, axis=2).max() < 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_tiles_change_nothing(name, weights, monkeypatch):
    stack = scene(72, 64)
    whole = fuse(stack, name, weights).pixels
    module = {"mef-gan": mef_gan, "lcndr": lcndr, "dpgn": dpgn_tiled}[name]
    monkeypatch.setattr(
        module,
        "tile_budget",
        lambda device, size, cpu_bytes: 4 * 48 * 40 * 40 if size == 1 else 56 * 56,
    )
    fractions = []
    run, _ = get_method(name).load()
    tiled = run(stack, settings(name, weights), fractions.append).pixels
    np.testing.assert_allclose(tiled, whole, atol=2e-5)
    assert len(fractions) > 4
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1)


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_stays_close(name, weights):
    stack = scene(32, 32)
    exact = fuse(stack, name, weights).pixels
    coarse = fuse(stack, name, weights, precision="bfloat16").pixels
    difference = np.abs(coarse - exact)
    assert 0 < difference.mean() < 0.01


@pytest.mark.parametrize("name", ["dpgn", "mef-gan"])
def test_chroma_of_the_network(name, weights):
    stack = scene(16, 16)
    prior = fuse(stack, name, weights, chroma="prior").pixels
    net = fuse(stack, name, weights, chroma="net").pixels
    ycbcr = [color.rgb_to_ycbcr(pixels) for pixels in (prior, net)]
    assert np.abs(ycbcr[0][..., 1:] - ycbcr[1][..., 1:]).max() > 0.01
    inside = ((prior > 0) & (prior < 1)).all(axis=2)
    np.testing.assert_allclose(ycbcr[0][inside, 0], ycbcr[1][inside, 0], atol=1e-5)
    with pytest.raises(OptionError, match="chroma"):
        PaintingSettings(chroma="both")


def test_a_dark_result_is_brightened_to_middle_grey_and_no_further():
    random = np.random.default_rng(0)
    noise = random.random((90, 70, 1)) * (1 - 0.1 * random.random((90, 70, 3)))
    dark, night, bright = ((noise * scale).astype(np.float32) for scale in (0.75, 0.3, 1.0))
    found = dark.copy()
    lift_to_grey(found)
    assert color.rgb_to_ycbcr(found)[..., 0].mean() == pytest.approx(0.461, abs=0.003)
    assert (np.diff(found.ravel()[np.argsort(dark.ravel())]) >= 0).all()
    found = night.copy()
    lift_to_grey(found)
    np.testing.assert_allclose(found, night ** (2 / 3), rtol=1e-5)
    found = bright.copy()
    lift_to_grey(found)
    np.testing.assert_array_equal(found, bright)
    ends = np.float32([0, 0, 0, 1]).repeat(3).reshape(2, 2, 3)
    found = ends.copy()
    lift_to_grey(found)
    np.testing.assert_array_equal(found, ends)


@pytest.mark.parametrize("name", ["dpgn", "mef-gan"])
def test_brightness_of_the_network(name, weights):
    stack = scene(24, 16)
    net = fuse(stack, name, weights, chroma="net", brightness="net").pixels
    grey = fuse(stack, name, weights, chroma="net").pixels
    wanted = net.copy()
    lift_to_grey(wanted)
    np.testing.assert_array_equal(grey, wanted)
    with pytest.raises(OptionError, match="brightness"):
        PaintingSettings(brightness="both")


def test_what_was_made_darker_is_no_redder():
    grey, red = np.full((4, 4, 3), 0.2, np.float32), np.full((4, 4, 3), 0.2, np.float32)
    wall = np.broadcast_to(np.float32([0.8, 0.6, 0.4]), grey.shape).copy()
    take_chroma(grey, wall, scaled=True)
    take_chroma(red, wall)
    strength = [np.ptp(pixels[0, 0]) / pixels[0, 0].max() for pixels in (wall, grey, red)]
    assert strength[0] < strength[1] < strength[2]
    hue = [(p[0, 0] - p[0, 0].min()) / np.ptp(p[0, 0]) for p in (wall, grey)]
    np.testing.assert_allclose(*hue, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_without_weights_the_error_names_the_training_command(name, tmp_path):
    run, settings_class = get_method(name).load()
    with pytest.raises(WeightsError, match=f"ghostless train {name}"):
        run(scene(16, 16), settings_class(weights=tmp_path / "none.safetensors"))


@pytest.mark.parametrize("name", NAMES)
def test_weights_of_another_network_or_shape_are_refused(name, weights, tmp_path):
    other = NAMES[(NAMES.index(name) + 1) % 3]
    run, settings_class = get_method(name).load()
    with pytest.raises(WeightsError, match=f"expected weights of {name!r}"):
        run(scene(16, 16), settings_class(weights=weights[other]))


@pytest.mark.parametrize("name", NAMES)
def test_nan_is_refused(name, weights):
    stack = scene(16, 16)
    pixels = stack.frames[1].display().copy()
    pixels[3, 4, 1] = np.nan
    bad = replace(stack, frames=(stack.frames[0], Frame(pixels)))
    with pytest.raises(BracketError, match="NaN"):
        fuse(bad, name, weights)


@pytest.mark.parametrize("name", NAMES)
def test_unknown_orders_are_refused(name):
    _, settings_class = get_method(name).load()
    with pytest.raises(OptionError, match="order"):
        settings_class(order="backwards")


@pytest.mark.parametrize("name", NAMES)
def test_the_table_s_counts_are_those_of_the_networks(name):
    entry = METHODS[name]
    kind = KINDS[name]
    network = kind.build(kind.architecture())
    count = sum(p.numel() for p in network.parameters())
    assert count in entry.paper_parameters.values()
    assert entry.needs_extra
    assert entry.weights == kind.name == name
    assert entry.frames_at_once == 2

"""HDR-GAN: its layers, its ablations, its domain, and fusing with it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.scenes import make_frames, make_radiance, make_stack  # noqa: E402

from ghostless.bracket import Frame, Stack  # noqa: E402
from ghostless.errors import BracketError, OptionError, WeightsError  # noqa: E402
from ghostless.methods import METHODS, fuse_stack  # noqa: E402
from ghostless.methods.hdr_gan import fuse  # noqa: E402
from ghostless.methods.rounds import choose_triplets  # noqa: E402
from ghostless.methods.settings import HdrGanSettings  # noqa: E402
from ghostless.nn import (  # noqa: E402
    fast,
    fullsize,
    hdr_gan,
)
from ghostless.nn.blocks import ConvBlock, built_folded, count_parameters  # noqa: E402
from ghostless.nn.hdr_gan import (  # noqa: E402
    Discriminator,
    Generator,
    HdrGanArchitecture,
)
from ghostless.nn.mu_law import inverse_mu_law, mu_law  # noqa: E402
from ghostless.nn.weights import WeightsInfo, load_weights, save_weights  # noqa: E402

SMALL = HdrGanArchitecture(base_channels=4)


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make_generator(architecture=SMALL, seed=0):
    torch.manual_seed(seed)
    return built_folded(lambda: Generator(architecture)).double().eval()


def inputs(height=16, width=16, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(3, 1, 6, height, width, generator=generator, dtype=torch.float64) * 2 - 1


@pytest.fixture(scope="module")
def full():
    return Generator()


# The networks


def test_parameter_counts_are_those_of_the_table(full):
    found = {
        "generator": count_parameters(full),
        "discriminator": count_parameters(Discriminator()),
    }
    assert found == METHODS["hdr-gan"].paper_parameters
    assert found == {"generator": 2_557_382, "discriminator": 660_929}


def test_every_convolution_is_spectrally_normed_but_the_three_up_convolutions():
    generator = Generator(SMALL)
    plain = {
        name
        for name, module in generator.named_modules()
        if isinstance(module, torch.nn.Conv2d) and not hasattr(module, "parametrizations")
    }
    assert plain == {"up.0_1.conv.conv", "up.1_1.conv.conv", "up.0_2.conv.conv"}


def test_layers_are_those_of_the_published_program(full):
    generator = full
    for module in generator.modules():
        if isinstance(module, torch.nn.Conv2d):
            assert module.kernel_size in ((3, 3), (1, 1))
            assert module.padding_mode == ("reflect" if module.kernel_size == (3, 3) else "zeros")
            assert module.padding[0] == module.dilation[0] * (module.kernel_size[0] // 2)
        assert not isinstance(module, torch.nn.BatchNorm2d | torch.nn.InstanceNorm2d)
    assert len({id(encoder) for encoder in generator.encoders}) == 3
    for encoder in generator.encoders:
        units = [unit.first.conv for unit in encoder.units]
        assert [(c.in_channels, c.out_channels) for c in units] == [(6, 32), (32, 64), (64, 128)]
        downs = [down.conv for down in encoder.down]
        assert [(c.in_channels, c.out_channels) for c in downs] == [(32, 32), (64, 64)]
        assert all(c.stride == (2, 2) for c in downs)
    for channels, block in zip((32, 64, 128), generator.merging, strict=True):
        assert [layer.conv.in_channels for layer in block.layers] == [3 * channels] + [channels] * 3
        assert all(layer.conv.dilation == (2, 2) for layer in block.layers)
        relus = [isinstance(layer.activation, torch.nn.ReLU) for layer in block.layers]
        assert relus == [True, True, True, False]
    decoders = {name: unit.first.conv.in_channels for name, unit in generator.decoders.items()}
    assert decoders == {"0_1": 96, "1_1": 192, "0_2": 128}
    ups = {name: (up.conv.conv.in_channels, up.conv.conv.out_channels)
           for name, up in generator.up.items()}  # fmt: skip
    assert ups == {"0_1": (64, 32), "1_1": (128, 64), "0_2": (64, 32)}
    assert [head.conv.kernel_size for head in generator.heads.values()] == [(1, 1)] * 2
    unit = generator.decoders["0_1"]
    assert unit.shortcut.conv.kernel_size == (1, 1)
    assert isinstance(unit.second.activation, torch.nn.Identity)


def test_the_decoder_is_that_of_the_paper():
    network = make_generator()
    dark, reference, bright = inputs()
    features = [e(x, 3) for e, x in zip(network.encoders, (dark, reference, bright), strict=True)]
    own = features[1]
    m1, m2, m3 = (
        network.merging[s](torch.cat([f[s] for f in features], 1), own[s]) for s in range(3)
    )
    up, decoder = network.up, network.decoders
    a = decoder["0_1"](torch.cat([up["0_1"](m2), m1, own[0]], 1))
    b = decoder["1_1"](torch.cat([up["1_1"](m3), m2, own[1]], 1))
    c = decoder["0_2"](torch.cat([up["0_2"](b), m1, own[0], a], 1))
    first, second = network(dark, reference, bright)
    torch.testing.assert_close(first, torch.tanh(network.heads["1"](a)))
    torch.testing.assert_close(second, torch.tanh(network.heads["2"](c)))
    torch.testing.assert_close(network.reconstruct(dark, reference, bright), second)


def test_the_reference_passes_through_where_merging_adds_nothing():
    network = make_generator()
    with torch.no_grad():
        for block in network.merging:
            for parameter in block.layers[-1].parameters():
                parameter.zero_()
    dark, reference, bright = inputs()
    one = network(dark, reference, bright)[1]
    other = network(bright * 0.3, reference, dark)[1]
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize(
    ("options", "outputs", "merging_blocks"),
    [
        ({}, 2, 3),
        ({"scales": 2}, 1, 2),
        ({"scales": 4}, 3, 4),
        ({"merging": False}, 2, 0),
        ({"auxiliary_outputs": False}, 1, 3),
    ],
)
def test_ablations(options, outputs, merging_blocks):
    network = make_generator(replace(SMALL, **options))
    images = network(*inputs(32, 24))
    assert len(images) == outputs
    assert all(image.shape == (1, 3, 32, 24) for image in images)
    assert len(network.merging) == merging_blocks
    kept = network.reconstruct(*inputs(32, 24))
    torch.testing.assert_close(kept, images[min(1, outputs - 1)])
    if options:
        assert count_parameters(network) != count_parameters(make_generator())


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({}, (24, 400)),
        ({}, (400, 24)),
        ({"scales": 2}, (80, 140)),
        ({"scales": 4, "auxiliary_outputs": False}, (24, 640)),
        ({"merging": False}, (24, 400)),
        ({"adds_to": "merge"}, (24, 400)),
    ],
)
def test_tiles_give_the_whole_images_result(options, size):
    architecture = HdrGanArchitecture(base_channels=2, **options)
    network = make_generator(architecture)
    height, width = size
    images = inputs(height, width)
    tiles = fullsize.make_tiles(
        height, width, network.halo_pixels, architecture.size_multiple,
        (2 * network.halo_pixels + 100) * 24,
    )  # fmt: skip
    assert len(tiles) > 2
    found = torch.full((1, 3, height, width), torch.nan, dtype=torch.float64)
    with torch.no_grad():
        whole = network.reconstruct(*images)
        fullsize.run_in_tiles(
            lambda tile: network.reconstruct(*(tile.outer.cut(image) for image in images)),
            fullsize.map_writer(found, 1),
            tiles,
        )
    assert whole.std() > 1e-3
    torch.testing.assert_close(found, whole, rtol=0, atol=1e-13)


def test_the_halo_is_as_wide_as_the_network_sees():
    network = make_generator(HdrGanArchitecture(base_channels=1))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(0.02)
    reach = 0
    for offset in range(4):
        x = torch.rand(1, 6, 16, 256, dtype=torch.float64).requires_grad_(True)
        network.reconstruct(x, x, x)[0, 0, 8, 128 + offset].backward()
        seen = x.grad.abs().sum((0, 1, 2)).nonzero()
        reach = max(reach, 128 + offset - int(seen.min()), int(seen.max()) - 128 - offset)
    assert 56 < reach <= network.halo_pixels == 64


def test_discriminator_layers_are_those_of_the_published_program():
    network = Discriminator()
    sizes, x = [], torch.zeros(1, 3, 512, 512, device="meta")
    for layer in network.to("meta").layers:
        x = layer(x)
        sizes.append(x.shape[2])
        assert hasattr(layer.conv, "parametrizations")
        assert layer.conv.kernel_size == (4, 4)
    assert sizes == [255, 126, 62, 59, 58]
    activations = [type(layer.activation).__name__ for layer in network.layers]
    assert activations == ["SiLU"] * 4 + ["Identity"]
    assert network.layers[-1].conv.padding_mode == "reflect"


def test_gradients_reach_every_parameter():
    torch.manual_seed(0)
    network = Generator(SMALL).train()
    frames = inputs().float()
    sum(output.square().mean() for output in network(*frames)).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
    assert all(
        layer.conv.parametrizations.weight.original.grad.abs().max() > 0
        for layer in network.modules()
        if isinstance(layer, ConvBlock) and hasattr(layer.conv, "parametrizations")
    )


# The domain


def test_mu_law_is_its_equation_and_comes_back():
    linear = torch.tensor([0.0, 1e-6, 1e-3, 0.2, 1.0], dtype=torch.float64)
    torch.testing.assert_close(mu_law(linear), torch.log(1 + 5000 * linear) / np.log(5001))
    torch.testing.assert_close(inverse_mu_law(mu_law(linear)), linear, rtol=1e-12, atol=1e-15)
    fine = linear.float()
    torch.testing.assert_close(inverse_mu_law(mu_law(fine)), fine, rtol=1e-5, atol=1e-8)
    assert torch.autograd.gradcheck(mu_law, linear.clone().requires_grad_(True))
    assert torch.autograd.gradcheck(inverse_mu_law, linear.clone().requires_grad_(True))


def inputs_of(radiance, architecture, exposures=(1.0, 4.0, 16.0), change=None):
    """Inputs of three frames of a scene, and their light; change: applied to the bright frame."""
    lights = [(radiance * exposure).clamp(0, 1) for exposure in exposures]
    if change is not None:
        lights[2] = change(lights[2])
    displays = [light.pow(1 / 2.2) for light in lights]
    times = [torch.full((1, 1, 1, 1), exposure).to(radiance) for exposure in exposures]
    return hdr_gan.network_inputs(displays, lights, times, architecture)


def test_inputs_of_one_scene_agree_whatever_the_exposure():
    radiance = torch.rand(1, 3, 4, 4) / 16
    displays = [(radiance * exposure).pow(1 / 2.2) for exposure in (1, 4, 16)]
    found = inputs_of(radiance, SMALL)
    linear = inputs_of(radiance, replace(SMALL, in_hdr=True))
    paper = inputs_of(radiance, replace(SMALL, curve="gamma"))
    for number, display in enumerate(displays):
        torch.testing.assert_close(found[number][:, :3], display * 2 - 1)
        torch.testing.assert_close(found[number][:, 3:], mu_law(radiance) * 2 - 1)
        torch.testing.assert_close(linear[number][:, 3:], radiance * 2 - 1)
        torch.testing.assert_close(paper[number], found[number], rtol=1e-4, atol=1e-5)


def test_untrained_it_gives_the_merge_that_it_adds_to():
    added = replace(SMALL, adds_to="merge")
    radiance = torch.rand(1, 3, 16, 16)
    paper, frames = inputs_of(radiance, SMALL), inputs_of(radiance, added)
    for number in (0, 2):
        torch.testing.assert_close(frames[number], paper[number])
    torch.testing.assert_close(frames[1][:, :3], paper[1][:, :3])
    assert not torch.equal(frames[1], paper[1])
    network = Generator(added)
    for output in network(*frames):
        torch.testing.assert_close(
            hdr_gan.radiance_of_output(output, added), radiance, rtol=5e-3, atol=1e-5
        )
    assert count_parameters(network) == count_parameters(Generator(SMALL))


def test_outputs_added_to_a_merge_stay_radiance():
    added = replace(SMALL, adds_to="merge")
    output = torch.tensor([-1.5, -1.0, 0.0, 1.0, 1.5])
    found = hdr_gan.radiance_of_output(output, added)
    assert found[0] == found[1] == 0
    assert found[3] == found[4]
    with pytest.raises(OptionError, match="adds_to"):
        HdrGanArchitecture(adds_to="mean")
    with pytest.raises(OptionError, match="out_hdr"):
        HdrGanArchitecture(adds_to="merge", out_hdr=True)


def test_outputs_are_mu_law_or_linear():
    output = torch.linspace(-1, 1, 9)
    linear = replace(SMALL, out_hdr=True)
    torch.testing.assert_close(hdr_gan.compressed_output(output, SMALL), output)
    torch.testing.assert_close(
        hdr_gan.radiance_of_output(output, SMALL), inverse_mu_law((output + 1) / 2)
    )
    torch.testing.assert_close(hdr_gan.radiance_of_output(output, linear), (output + 1) / 2)
    # Both forms agree on what the losses see.
    torch.testing.assert_close(
        inverse_mu_law((hdr_gan.compressed_output(output, linear) + 1) / 2), (output + 1) / 2,
        rtol=1e-4, atol=1e-6,
    )  # fmt: skip


# Fusing


@pytest.mark.parametrize(
    ("stops", "reference", "how", "expected"),
    [
        ((-2, 0, 2), 1, "rounds", [(0, 1, 2)]),
        ((-3, 0, 3), 1, "rounds", [(0, 1, 2)]),
        ((0, 2), 0, "rounds", [(0, 0, 1)]),
        ((0, 2), 1, "rounds", [(0, 1, 1)]),
        ((0, 0), 0, "rounds", [(0, 0, 0)]),
        ((-4, -2, 0, 2, 4), 2, "rounds", [(1, 2, 3), (0, 2, 4)]),
        ((-4, -2, 0, 2, 4), 2, "nearest", [(1, 2, 3)]),
        ((-4, -2, 0, 2, 4), 2, "extremes", [(0, 2, 4)]),
        ((-2, -1, 0, 1, 2), 2, "rounds", [(0, 2, 4)]),
        ((-6, -4, -2, 0, 2), 3, "rounds", [(2, 3, 4), (1, 3, 4), (0, 3, 4)]),
        ((0, 2, 4, 6), 0, "rounds", [(0, 0, 1), (0, 0, 2), (0, 0, 3)]),
    ],
)
def test_triplets(stops, reference, how, expected):
    assert choose_triplets(stops, reference, how) == expected


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "hdr-gan.safetensors"
    torch.manual_seed(0)
    save_weights(Generator(SMALL), path, WeightsInfo("hdr-gan"))
    return path


def settings(weights, **options):
    return HdrGanSettings(weights=weights, device="cpu", **options)


def by_hand(weights, frames):
    """Radiance, 1 where the middle of three frames clips, from the network and plain NumPy."""
    network, _ = load_weights(hdr_gan.GENERATOR, weights)
    height, width = frames[0].height, frames[0].width
    rows, columns = max(12, height + -height % 4) - height, max(12, width + -width % 4) - width

    def prepare(frame):
        light = frame.linear() / 2.0 ** (frame.stops - frames[0].stops)
        compressed = np.log1p(5000 * light) / np.log1p(5000)
        x = np.concatenate([frame.display(), compressed], axis=2) * 2 - 1
        x = np.pad(x, ((0, rows), (0, columns), (0, 0)), mode="reflect")
        return torch.from_numpy(x.astype(np.float32)).permute(2, 0, 1)[None]

    with torch.no_grad():
        out = network(*(prepare(frame) for frame in frames))[1]
    unit = (out[0].permute(1, 2, 0).double().numpy()[:height, :width] + 1) / 2
    return (5001**unit - 1) / 5000 * 2.0 ** (frames[1].stops - frames[0].stops)


def test_the_method_does_what_its_network_says(weights):
    stack = make_stack(make_radiance(37, 45), (-2, 0, 2))
    fused = fuse_stack(stack, "hdr-gan", settings(weights))
    assert fused.space == "linear"
    np.testing.assert_allclose(fused.pixels, by_hand(weights, stack.frames), rtol=2e-3, atol=1e-4)
    assert fused.pixels.std() > 1e-3


def test_a_fast_result_has_the_detail_of_the_merge_at_full_size(tmp_path, monkeypatch):
    weights = tmp_path / "merging.safetensors"  # untrained: it gives the merge
    save_weights(Generator(replace(SMALL, adds_to="merge")), weights, WeightsInfo("hdr-gan"))
    monkeypatch.setattr(fast, "PROXY_PIXELS", 32 * 40)
    texture = np.random.default_rng(0).uniform(0.5, 1, (96, 120, 1)).astype(np.float32)
    stack = make_stack(make_radiance(96, 120, range_stops=7) * texture, (-2, 0, 2))
    full, quick = (
        fuse_stack(stack, "hdr-gan", settings(weights, quality=quality))
        for quality in ("full", "fast")
    )
    assert any("ran on 40 x 32 pixels" in note for note in quick.notes)
    loss = np.abs(np.log1p(5000 * quick.pixels) - np.log1p(5000 * full.pixels))
    assert loss.mean() < 1e-3
    # Two rounds have no one merge: the frames themselves lend their detail.
    more = make_stack(make_radiance(96, 120, range_stops=9) * texture, (-4, -2, 0, 2, 4))
    both = fuse_stack(more, "hdr-gan", settings(weights, quality="fast"))
    assert np.isfinite(both.pixels).all()
    assert both.pixels.std() > 1e-2


def test_a_camera_that_is_not_srgb_is_read_by_its_own_curve(tmp_path):
    """The radiance is that of an sRGB camera's photos of the scene, but for a factor and noise."""
    weights = tmp_path / "merging.safetensors"  # untrained: it gives the merge
    save_weights(Generator(replace(SMALL, adds_to="merge")), weights, WeightsInfo("hdr-gan"))
    radiance = make_radiance(64, 96, range_stops=7)
    plain = make_stack(radiance, (-2, 0, 2))
    frames = []
    for frame in plain.frames:
        unit = frame.display().astype(np.float64) ** 0.9
        steep = np.rint((0.4 * unit + 0.6 * (3 * unit**2 - 2 * unit**3)) * 255).astype(np.uint8)
        frames.append(replace(frame, pixels=steep))
    steep = replace(plain, frames=tuple(frames))
    expected = fuse_stack(plain, "hdr-gan", settings(weights)).pixels
    found = fuse_stack(steep, "hdr-gan", settings(weights))
    assert any("camera response" in note for note in found.notes)
    blind = fuse_stack(steep, "hdr-gan", settings(weights, response="srgb")).pixels

    def error(pixels):
        ratio = np.log2(np.maximum(pixels, 1e-4) / np.maximum(expected, 1e-4))
        return np.abs(ratio - np.median(ratio)).mean()

    assert error(found.pixels) < 0.5 * error(blind)
    with pytest.raises(OptionError, match="response"):
        settings(weights, response="gamma")


@pytest.mark.parametrize("size", [(1, 1), (3, 21), (14, 9)])
def test_any_size(size, weights):
    pixels = np.ascontiguousarray(make_radiance(32, 32)[: size[0], : size[1]])
    fused = fuse(make_stack(pixels, (-2, 0, 2)), settings(weights))
    assert fused.pixels.shape == (*size, 3)
    assert np.isfinite(fused.pixels).all()
    assert (fused.pixels >= 0).all()


def test_tiles_do_not_show(weights, monkeypatch):
    stack = make_stack(make_radiance(30, 310), (-2, 0, 2))
    whole = fuse(stack, settings(weights)).pixels
    fractions = []
    monkeypatch.setattr(fullsize, "tile_budget", lambda *_: 230 * 32)
    tiled = fuse(stack, settings(weights), fractions.append).pixels
    assert len(fractions) > 3
    assert fractions[-1] == 1
    np.testing.assert_allclose(tiled, whole, rtol=1e-4, atol=1e-5)


def test_two_frames_use_the_reference_twice(weights):
    stack = make_stack(make_radiance(24, 24), (-1.5, 1.5))
    dark, bright = stack.frames
    assert stack.reference == 1
    fused = fuse(stack, settings(weights))
    expected = by_hand(weights, (dark, bright, bright))
    np.testing.assert_allclose(fused.pixels, expected, rtol=2e-3, atol=1e-4)


def test_further_frames_serve_where_the_inner_ones_clip_or_are_dark(weights):
    light = np.full((16, 48, 3), 0.3, np.float32)
    light[:, 16:32] = 6.0  # clips at -2 stops, not at -4
    light[:, 32:] = 1e-4  # dark even at +2 stops
    frames = make_frames(light, (-4, -2, 0, 2, 4))
    stack = Stack(frames, reference=2)
    fused = fuse(stack, settings(weights)).pixels
    inner = by_hand(weights, frames[1:4])
    outer = by_hand(weights, (frames[0], frames[2], frames[4]))
    np.testing.assert_allclose(fused[:, :16], inner[:, :16], rtol=2e-3, atol=1e-4)
    np.testing.assert_allclose(fused[:, 16:], outer[:, 16:], rtol=2e-3, atol=1e-4)
    assert np.abs(inner - outer)[:, 16:].max() > 1e-2
    nearest = fuse(stack, settings(weights, more_frames="nearest"))
    np.testing.assert_allclose(nearest.pixels, inner, rtol=2e-3, atol=1e-4)
    assert any("did not need" in note for note in nearest.notes)


def test_bfloat16_keeps_the_darks_finely_graded(weights):
    stack = make_stack(make_radiance(48, 48), (-2, 0, 2))
    exact = fuse(stack, settings(weights, precision="float32")).pixels
    coarse = fuse(stack, settings(weights, precision="bfloat16")).pixels
    ratio = coarse / exact
    assert 0 < np.abs(ratio - 1).max() < 0.2
    rounded = torch.from_numpy(coarse).bfloat16().float().numpy()
    assert (rounded != coarse).mean() > 0.9


def test_bad_input(weights, tmp_path):
    radiance = make_radiance(8, 8)
    stack = make_stack(radiance, (-2, 0, 2))
    with pytest.raises(WeightsError, match="ghostless train hdr-gan"):
        fuse_stack(stack, "hdr-gan", settings(tmp_path / "none.safetensors"))
    unknown = make_stack(radiance, (-2, 0, 2), known=False)
    with pytest.raises(BracketError, match="expected a known exposure"):
        fuse_stack(unknown, "hdr-gan", settings(weights))
    with pytest.raises(OptionError, match="more_frames"):
        settings(weights, more_frames="all")
    with pytest.raises(OptionError, match="scales"):
        HdrGanArchitecture(scales=5)
    with pytest.raises(OptionError, match="curve"):
        HdrGanArchitecture(curve="log")
    broken = Frame(np.full((8, 8, 3), np.nan, np.float32), stops=3.0)
    with pytest.raises(BracketError, match="finite"):
        fuse(Stack((*stack.frames, broken), 1), settings(weights))

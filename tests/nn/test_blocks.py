"""Shared layers: sizes, spectral norm and its folding, PatchGAN's layers."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from ghostless.nn import blocks  # noqa: E402
from ghostless.nn.attention import SelfAttention  # noqa: E402
from ghostless.nn.patchgan import PatchGan, pix2pix_70  # noqa: E402


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(8, 8), (7, 10), (9, 5)])
def test_convolution_keeps_the_size_or_halves_it_rounding_up(stride, size):
    layer = blocks.ConvBlock(2, 3, stride=stride, padding_mode="reflect")
    expected = tuple(-(-side // stride) for side in size)
    assert layer(torch.zeros(1, 2, *size)).shape[2:] == expected


def test_dilated_convolution_keeps_the_size():
    layer = blocks.ConvBlock(2, 3, dilation=2, padding_mode="reflect")
    assert layer.conv.padding == (2, 2)
    assert layer(torch.zeros(1, 2, 6, 7)).shape == (1, 3, 6, 7)


def test_deconvolution_doubles_the_size():
    assert blocks.DeconvBlock(2, 3)(torch.zeros(1, 2, 5, 4)).shape == (1, 3, 10, 8)


def test_swish_is_x_times_its_sigmoid():
    x = torch.linspace(-4, 4, 9)
    torch.testing.assert_close(blocks.make_activation("swish")(x), x * torch.sigmoid(x))


def test_spectral_norm_brings_the_largest_singular_value_to_one():
    torch.manual_seed(0)
    layer = blocks.ConvBlock(4, 6, spectral=True)
    with torch.no_grad():
        layer.conv.parametrizations.weight.original.mul_(7)
    for _ in range(30):  # power iterations happen in training mode
        layer.conv.weight  # noqa: B018
    largest = torch.linalg.matrix_norm(layer.conv.weight.flatten(1), ord=2)
    assert float(largest.detach()) == pytest.approx(1, abs=1e-3)


def test_a_network_built_folded_does_what_the_folded_state_says():
    def make():
        return torch.nn.Sequential(
            blocks.ConvBlock(3, 4, spectral=True),
            SelfAttention(4, 2, spectral=True),
            blocks.ConvBlock(4, 2, norm="batch"),
        )

    torch.manual_seed(0)
    network = make()
    network[2].eval()
    state = blocks.folded_state(network)
    assert network.training
    assert not network[2].training
    assert "0.conv.parametrizations.weight.original" in network.state_dict()
    plain = blocks.built_folded(make)
    assert "0.conv.weight" in plain.state_dict()
    assert blocks.count_parameters(plain) == blocks.count_parameters(network)
    plain.load_state_dict(state)
    x = torch.rand(1, 3, 6, 6)
    torch.testing.assert_close(plain.eval()(x), network.eval()(x))
    assert "0.conv.weight" not in make().state_dict()


def test_output_layers_compute_in_float32_under_autocast():
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(8, 3, 1)
    x = torch.rand(1, 8, 4, 4).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        coarse = layer(x)
        fine = blocks.in_full_precision(layer, x)
    assert coarse.dtype == torch.bfloat16
    assert fine.dtype == torch.float32
    torch.testing.assert_close(fine, layer(x.float()))
    wide = blocks.in_full_precision(torch.nn.Identity(), x.double())
    assert wide.dtype == torch.float64


def test_pix2pix_discriminator_judges_patches_of_70_pixels():
    torch.manual_seed(0)
    network = PatchGan(pix2pix_70(3))
    assert blocks.count_parameters(network) == 2_766_529
    assert network(torch.zeros(1, 3, 256, 256)).shape == (1, 1, 30, 30)
    # Instance norm spreads over the image; the patch is that of the convolutions alone.
    for module in network.modules():
        if isinstance(module, blocks.ConvBlock):
            module.norm = torch.nn.Identity()
    x = torch.zeros(1, 3, 128, 128, requires_grad=True)
    network(x)[0, 0, 7, 7].backward()
    seen = x.grad.abs().sum((0, 1)).nonzero()
    assert (seen.max(0).values - seen.min(0).values + 1).tolist() == [70, 70]


def test_a_network_takes_its_folded_state_back():
    def make(seed):
        torch.manual_seed(seed)
        return torch.nn.Sequential(
            blocks.ConvBlock(3, 8, spectral=True), blocks.ConvBlock(8, 2, norm="batch")
        )

    first, second = make(0), make(1)
    for _ in range(60):  # until its largest singular value is 1, as after a training
        first[0].conv.weight  # noqa: B018
    state = blocks.folded_state(first)
    blocks.load_folded_state(second, state)
    for name, value in blocks.folded_state(second).items():
        torch.testing.assert_close(value, state[name], rtol=5e-3, atol=1e-5)
    with pytest.raises(KeyError, match=r"1\.conv\.weight"):
        blocks.load_folded_state(second, {k: v for k, v in state.items() if k != "1.conv.weight"})
    with pytest.raises(KeyError, match="other"):
        blocks.load_folded_state(second, {**state, "other": torch.zeros(1)})


@pytest.mark.parametrize(("kernel", "dilation"), [(3, 1), (3, 2), (5, 1), (1, 1)])
@pytest.mark.parametrize("stride", [1, 2])
def test_mirroring_of_our_own_equals_torch_s(kernel, dilation, stride):
    torch.manual_seed(0)
    block = blocks.ConvBlock(
        3, 4, kernel, stride=stride, dilation=dilation, padding_mode="reflect", spectral=True
    ).eval()
    for size in ((3, 9), (8, 3), (13, 16)):
        for layout in (torch.contiguous_format, torch.channels_last):
            x = torch.rand(2, 3, *size).contiguous(memory_format=layout)
            with torch.no_grad():
                found = block(x)
            torch.testing.assert_close(found, block(x).detach())

"""MEF-GAN: the published layer table, the paper's other readings, tiling equal to the whole."""

from __future__ import annotations

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from ghostless.nn import mef_gan  # noqa: E402
from ghostless.nn.blocks import count_parameters  # noqa: E402
from ghostless.nn.fullsize import map_writer  # noqa: E402
from ghostless.nn.mef_gan import (  # noqa: E402
    Discriminator,
    DiscriminatorArchitecture,
    Generator,
    GeneratorArchitecture,
)

PUBLISHED = GeneratorArchitecture()


def pair(height, width, dtype=torch.float32, seed=0, batch=1):
    generator = torch.Generator().manual_seed(seed)
    over, under = torch.rand(2, batch, 3, height, width, generator=generator, dtype=dtype)
    return {"over": over, "under": under}


def settled(architecture=PUBLISHED, dtype=torch.float32, gamma=0.7):
    """A generator whose norms hold statistics of some data, ready to run."""
    torch.manual_seed(1)
    generator = Generator(architecture)
    if generator.attention is not None:
        torch.nn.init.constant_(generator.attention.gamma, gamma)
    generator = generator.to(dtype).train()
    for module in generator.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 0.5
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.2, 0.2)
    with torch.no_grad():
        for seed in range(3):
            generator(**pair(32, 32, dtype, seed, batch=2))
    return generator.eval()


@pytest.mark.parametrize(
    ("architecture", "count"),
    [
        (PUBLISHED, 487_582),
        (replace(PUBLISHED, merge_channels=216), 709_606),
        (replace(PUBLISHED, norm_before_tanh=False), 487_582 - 6),
        (replace(PUBLISHED, local_spectral_layers=3), 487_582),
        (replace(PUBLISHED, local_block=False), 487_582 - 146_760 - 200 * 128 * 9),
        (replace(PUBLISHED, attention_block=False), 487_582 - 15_949 - 16 * 128 * 9),
    ],
)
def test_generator_parameters(architecture, count):
    assert count_parameters(Generator(architecture)) == count


def test_discriminator_parameters():
    assert count_parameters(Discriminator()) == 1_692_961
    assert count_parameters(Discriminator(DiscriminatorArchitecture("paper"))) == 1_718_657


def rows(block):
    """(in, out, stride, spectral, norm) of every convolution with a norm and an activation."""
    return [
        (
            layer.conv.in_channels,
            layer.conv.out_channels,
            layer.conv.stride[0],
            hasattr(layer.conv, "parametrizations"),
            isinstance(layer.norm, torch.nn.BatchNorm2d),
        )
        for layer in block
    ]


def test_generator_layers():
    generator = Generator()
    assert rows(generator.local.layers) == [
        (6, 40, 1, False, True),
        (40, 40, 1, True, True),
        (80, 40, 1, True, True),
        (120, 40, 1, True, True),
        (160, 40, 1, True, True),
    ]
    block = generator.attention
    assert rows(
        [block.encode_first, block.encode_second, block.decode_first, block.decode_second]
    ) == [
        (6, 16, 2, False, True),
        (16, 32, 2, True, True),
        (32, 20, 1, True, True),
        (20, 16, 1, True, True),
    ]
    assert rows(generator.merge) == [
        (216, 128, 1, True, True),
        (128, 64, 1, True, True),
        (64, 3, 1, False, True),
    ]
    attention = block.attention
    for layer, channels in ((attention.query, 8), (attention.key, 8), (attention.value, 32)):
        assert layer.kernel_size == (1, 1)
        assert layer.out_channels == channels
        assert hasattr(layer, "parametrizations")
    convolutions = [m for m in generator.modules() if isinstance(m, torch.nn.Conv2d)]
    for layer in convolutions:
        if layer.kernel_size == (3, 3):
            assert layer.padding_mode == "reflect"
            assert layer.bias is not None
    for norm in (m for m in generator.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        assert norm.eps == pytest.approx(1e-3)
        assert norm.momentum == pytest.approx(0.01)
    assert block.gamma.item() == 0


def test_readings_of_the_paper():
    text = Generator(replace(PUBLISHED, local_spectral_layers=3, activation="relu"))
    assert [row[3] for row in rows(text.local.layers)] == [False, True, True, True, False]
    assert not any(isinstance(m, torch.nn.LeakyReLU) for m in text.modules())
    assert isinstance(text.merge[2].activation, torch.nn.Tanh)
    figure = Generator(replace(PUBLISHED, norm_before_tanh=False))
    assert [row[4] for row in rows(figure.merge)] == [True, True, False]
    figure.eval()
    out = figure(**pair(16, 16))
    assert 0.02 < out.mean() < 0.98


def test_discriminator_layers():
    assert rows(Discriminator().layers) == [
        (3, 64, 2, True, False),
        (64, 64, 2, True, False),
        (64, 96, 2, True, False),
        (96, 128, 2, True, False),
        (128, 256, 2, True, False),
        (256, 512, 1, False, False),
    ]
    assert rows(Discriminator(DiscriminatorArchitecture("paper")).layers) == [
        (3, 64, 2, True, False),
        (64, 128, 2, True, True),
        (128, 256, 2, True, True),
        (256, 512, 1, False, True),
    ]


@pytest.mark.parametrize("variant", ["code", "paper"])
def test_discriminator_scores_patches(variant):
    architecture = DiscriminatorArchitecture(variant, patch=48)
    scores = Discriminator(architecture)(torch.rand(3, 3, 48, 48))
    assert scores.shape == (3, 1)
    assert scores.std() > 0


@pytest.mark.parametrize("size", [(8, 8), (16, 40), (24, 8)])
def test_output_is_rgb_of_the_same_size_within_0_and_1(size):
    with torch.no_grad():
        out = settled()(**pair(*size))
    assert out.shape == (1, 3, *size)
    assert out.min() >= 0
    assert out.max() <= 1
    assert out.std() > 0.01


def test_over_and_under_are_told_apart():
    generator = settled()
    inputs = pair(16, 16)
    swapped = generator(over=inputs["under"], under=inputs["over"])
    assert (generator(**inputs) - swapped).abs().max() > 0.01
    with pytest.raises(TypeError):
        generator(inputs["over"], inputs["under"])


def test_attention_starts_without_influence_and_reaches_across_the_image():
    inputs = pair(16, 64)
    changed = {name: value.clone() for name, value in inputs.items()}
    changed["over"][..., :16] = 0
    for gamma, far in ((0.0, False), (3.0, True)):
        generator = settled(gamma=gamma)
        with torch.no_grad():
            difference = (generator(**inputs) - generator(**changed))[..., 56:]
        assert bool(difference.abs().max() > 1e-4) == far


@pytest.mark.parametrize("ablation", ["local_block", "attention_block"])
def test_ablations_leave_a_block_out(ablation):
    generator = settled(replace(PUBLISHED, **{ablation: False}))
    names = {name.split(".")[0] for name, _ in generator.named_parameters()}
    assert names == {"local", "attention", "merge"} - {ablation.removesuffix("_block")}
    assert generator(**pair(16, 16)).shape == (1, 3, 16, 16)


def test_at_least_one_block_is_needed():
    with pytest.raises(ValueError, match="both"):
        Generator(replace(PUBLISHED, local_block=False, attention_block=False))


@pytest.mark.parametrize(
    "architecture",
    [PUBLISHED, replace(PUBLISHED, local_block=False), replace(PUBLISHED, attention_block=False)],
)
@pytest.mark.parametrize("tile_pixels", [32 * 48, 1])
def test_tiles_equal_the_whole(architecture, tile_pixels):
    generator = settled(architecture, torch.float64, gamma=2.0)
    inputs = pair(40, 48, torch.float64)
    with torch.no_grad():
        whole = generator(**inputs)
    tiled = torch.full_like(whole, torch.nan)
    seen = []

    def read(region):
        seen.append(region)
        return region.cut(inputs["over"]), region.cut(inputs["under"])

    with torch.no_grad():
        mef_gan.generate_in_tiles(
            generator, read, (40, 48), map_writer(tiled, 1), tile_pixels=tile_pixels
        )
    assert max(region.height * region.width for region in seen) < 40 * 48
    torch.testing.assert_close(tiled, whole, atol=1e-12, rtol=0)


def test_tiles_would_show_too_small_a_halo(monkeypatch):
    monkeypatch.setattr(mef_gan, "HALO_PIXELS", 0)
    generator = settled(dtype=torch.float64)
    inputs = pair(64, 16, torch.float64)
    tiled = torch.zeros(1, 3, 64, 16, dtype=torch.float64)
    with torch.no_grad():
        mef_gan.generate_in_tiles(
            generator,
            lambda region: (region.cut(inputs["over"]), region.cut(inputs["under"])),
            (64, 16),
            map_writer(tiled, 1),
            tile_pixels=16 * 16,
        )
        assert (tiled - generator(**inputs)).abs().max() > 1e-6

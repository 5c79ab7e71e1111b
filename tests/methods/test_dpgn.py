"""DPGN: layer table, priors, ablations, and scale-by-scale tiling equal to the whole."""

from __future__ import annotations

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from ghostless.nn import dpgn, dpgn_tiled  # noqa: E402
from ghostless.nn.blocks import count_parameters  # noqa: E402
from ghostless.nn.dpgn import Dpgn, DpgnArchitecture  # noqa: E402
from ghostless.nn.fullsize import map_writer  # noqa: E402
from ghostless.nn.patchgan import PatchGan  # noqa: E402
from ghostless.nn.priors import fuse_locally, make_priors  # noqa: E402

SMALL = DpgnArchitecture(base=4, levels=3, side_outputs=3)
PLAIN = replace(SMALL, content_priors=False, detail_priors=False)
FUSED = replace(SMALL, adds_to="local fusion")


def pair(height, width, dtype=torch.float32, seed=0, batch=1):
    generator = torch.Generator().manual_seed(seed)
    over, under = torch.rand(2, batch, 3, height, width, generator=generator, dtype=dtype)
    return {"over": over, "under": under}


def settled(architecture=SMALL, dtype=torch.float32):
    """A network whose norms hold statistics of some data, ready to run."""
    torch.manual_seed(1)
    network = Dpgn(replace(architecture, dropout=0.0)).to(dtype).train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 0.5
    side = architecture.size_multiple * 4
    with torch.no_grad():
        for seed in range(3):
            network(**pair(side, side, dtype, seed, batch=2))
        if architecture.adds_to != "nothing":
            torch.nn.init.normal_(network.last.weight)
    return network.eval()


@pytest.mark.parametrize(("base", "count"), [(16, 43_739_937), (8, 10_950_681)])
def test_parameters(base, count):
    network = Dpgn(DpgnArchitecture(base=base))
    assert count_parameters(network) == count
    assert network.architecture.size_multiple == 64


def test_discriminator_is_the_70_pixel_patchgan():
    discriminator = PatchGan(dpgn.DISCRIMINATOR)
    assert count_parameters(discriminator) == 2_766_529
    # Through instance norm a score sees everything; its convolutions alone see 70 pixels.
    norms = [isinstance(block.norm, torch.nn.InstanceNorm2d) for block in discriminator.layers]
    assert norms == [False, True, True, True, False]
    for block in discriminator.layers:
        block.norm = torch.nn.Identity()
    image = torch.zeros(1, 3, 142, 142, requires_grad=True)
    scores = discriminator(image)
    assert scores.shape == (1, 1, 15, 15)
    scores[0, 0, 7, 7].backward()
    rows = image.grad[0].abs().sum(dim=(0, 2)).nonzero()
    assert int(rows.max() - rows.min()) + 1 == 70


def double(channels_in, channels_out):
    return [(channels_in, channels_out, 3, 1), (channels_out, channels_out, 3, 1)]


def table(module):
    return [
        (m.in_channels, m.out_channels, m.kernel_size[0], m.stride[0])
        for m in module.modules()
        if isinstance(m, torch.nn.Conv2d | torch.nn.ConvTranspose2d)
    ]


def test_layers():
    network = Dpgn()
    assert table(network.encoders[0]) == double(6, 16)
    for level, width in enumerate((32, 64, 128, 256, 512), start=1):
        assert table(network.encoders[level]) == [
            *double(3, width),
            *double(width // 2 + width, width),
        ]
    assert table(network.bottom) == double(512, 1024)
    for level, width in enumerate((16, 32, 64, 128, 256, 512)):
        assert table(network.decoders[level]) == [
            (2 * width, width, 2, 2),
            *double(3, 1),
            *double(2 * width, width),
            *double(width, width),
            (width, 3, 1, 1),
        ]
    assert table(network.last) == [(16, 3, 1, 1)]
    kinds = [type(layer).__name__ for layer in network.bottom.layers]
    assert kinds == ["Conv2d", "ReLU", "BatchNorm2d", "Dropout", "Conv2d", "ReLU", "BatchNorm2d"]
    for name, module in network.named_modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.eps == pytest.approx(1e-3)
            assert module.momentum == pytest.approx(0.01)
        if isinstance(module, torch.nn.Dropout):
            assert module.p == pytest.approx(0.0 if name.startswith("decoders") else 0.3)
        if isinstance(module, torch.nn.Conv2d) and module.kernel_size == (3, 3):
            assert module.padding == (1, 1)
            assert module.padding_mode == "zeros"


@torch.no_grad()
def test_outputs_at_every_scale_within_0_and_1():
    outputs = settled()(**pair(16, 40))
    assert [tuple(side.shape[2:]) for side in outputs.sides] == [(16, 40), (8, 20), (4, 10)]
    for image in (outputs.final, *outputs.sides):
        assert image.shape[1] == 3
        assert image.min() >= 0
        assert image.max() <= 1
        assert image.std() > 0.01


@torch.no_grad()
def test_priors_at_hand_are_those_made_of_the_images():
    network = settled()
    inputs = pair(16, 16)
    priors = make_priors([inputs["over"], inputs["under"]], 3)
    torch.testing.assert_close(
        network(**inputs, priors=priors).final, network(**inputs).final, rtol=0, atol=0
    )


@pytest.mark.parametrize(
    ("ablation", "content", "detail"),
    [
        ({}, True, True),
        ({"content_priors": False}, False, True),
        ({"detail_priors": False}, True, False),
        ({"content_priors": False, "detail_priors": False}, False, False),
    ],
)
@torch.no_grad()
def test_ablations_do_not_look_at_the_priors_they_leave_out(ablation, content, detail):
    network = settled(replace(SMALL, **ablation))
    inputs = pair(16, 16)
    for which, matters in (("content", content), ("detail", detail)):
        priors = make_priors([inputs["over"], inputs["under"]], 3)
        expected = network(**inputs, priors=priors).final
        for level in getattr(priors, which)[1:]:
            level += 0.3
        changed = bool((network(**inputs, priors=priors).final != expected).any())
        assert changed == matters


@torch.no_grad()
def test_the_finest_content_prior_is_not_used():
    network = settled()
    inputs = pair(16, 16)
    priors = make_priors([inputs["over"], inputs["under"]], 3)
    expected = network(**inputs, priors=priors).final
    priors.content[0].zero_()
    assert torch.equal(network(**inputs, priors=priors).final, expected)


def test_one_side_output_less_is_one_image_less():
    for count in range(4):
        network = Dpgn(replace(SMALL, side_outputs=count)).eval()
        with torch.no_grad():
            assert len(network(**pair(8, 8)).sides) == count


@pytest.mark.parametrize("wrong", [{"levels": 0}, {"base": 0}, {"side_outputs": 4}])
def test_wrong_architectures_are_refused(wrong):
    with pytest.raises(ValueError, match="expected"):
        replace(SMALL, **wrong)


def test_training_reaches_every_parameter():
    torch.manual_seed(0)
    network = Dpgn(SMALL).train()
    outputs = network(**pair(32, 32, batch=2))
    total = outputs.final.square().mean()
    for side in outputs.sides:
        total = total + side.square().mean()
    total.backward()
    without = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


@torch.no_grad()
def test_untrained_it_gives_what_it_adds_to():
    inputs = pair(32, 64)
    fused = Dpgn(replace(FUSED, levels=5)).eval()(**inputs).final
    torch.testing.assert_close(fused, fuse_locally([inputs["over"], inputs["under"]]))
    with pytest.raises(ValueError, match="prior_weights mertens"):
        replace(FUSED, prior_form="fused_first")
    with pytest.raises(ValueError, match="adds_to"):
        replace(SMALL, adds_to="mean")


def run_tiled(network, inputs, tile_bytes):
    whole = inputs["over"]
    tiled = torch.full_like(whole, torch.nan)
    seen = []

    def read(region):
        seen.append(region.height * region.width)
        return region.cut(inputs["over"]), region.cut(inputs["under"])

    done = []
    dpgn_tiled.fuse_in_tiles(
        network,
        read,
        tuple(whole.shape[2:]),
        map_writer(tiled, 1),
        tile_bytes=tile_bytes,
        progress=done.append,
    )
    assert done == sorted(done)
    assert done[-1] == 1
    return tiled, max(seen)


@pytest.mark.parametrize(
    "architecture",
    [SMALL, PLAIN, replace(SMALL, content_priors=False), FUSED],
)
@pytest.mark.parametrize("tile_pixels", [40 * 40, 1])
@torch.no_grad()
def test_tiles_equal_the_whole(architecture, tile_pixels):
    network = settled(architecture, torch.float64)
    inputs = pair(64, 56, torch.float64)
    tile_bytes = tile_pixels * 4 * dpgn_tiled._BYTES_PER_PIXEL_AND_CHANNEL
    tiled, largest = run_tiled(network, inputs, tile_bytes)
    assert largest < 64 * 56
    torch.testing.assert_close(tiled, network(**inputs).final, atol=1e-12, rtol=0)


@torch.no_grad()
def test_tiles_equal_the_whole_with_the_program_s_priors():
    architecture = replace(SMALL, prior_form="fused_first", prior_weights="program")
    network = settled(architecture, torch.float64)
    inputs = pair(64, 32, torch.float64)
    tiled, _ = run_tiled(network, inputs, 32 * 32 * 4 * dpgn_tiled._BYTES_PER_PIXEL_AND_CHANNEL)
    torch.testing.assert_close(tiled, network(**inputs).final, atol=1e-12, rtol=0)


@torch.no_grad()
def test_a_grey_part_of_a_coloured_image_is_weighted_as_in_the_whole():
    network = settled(dtype=torch.float64)
    inputs = {
        name: torch.cat([image[:, :1].expand(-1, 3, -1, -1), image], dim=2)
        for name, image in pair(48, 16, torch.float64).items()
    }
    tiled, _ = run_tiled(network, inputs, 24 * 24 * 4 * dpgn_tiled._BYTES_PER_PIXEL_AND_CHANNEL)
    torch.testing.assert_close(tiled, network(**inputs).final, atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", ["_ENCODER_HALO", "_DECODER_HALO", "_FINEST_HALO", "_PRIOR_HALO"])
@torch.no_grad()
def test_tiles_would_show_too_small_a_halo(name, monkeypatch):
    monkeypatch.setattr(dpgn_tiled, name, getattr(dpgn_tiled, name) // 2)
    if name == "_PRIOR_HALO":
        monkeypatch.setattr(dpgn_tiled, name, 0)
    network = settled(dtype=torch.float64)
    inputs = pair(64, 32, torch.float64)
    tiled, _ = run_tiled(network, inputs, 24 * 24 * 4 * dpgn_tiled._BYTES_PER_PIXEL_AND_CHANNEL)
    assert (tiled - network(**inputs).final).abs().max() > 1e-9

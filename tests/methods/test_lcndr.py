"""LCNDR: layer tables of both variants, ablations, branch order, tiling equal to the whole."""

from __future__ import annotations

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from ghostless.nn import lcndr  # noqa: E402
from ghostless.nn.blocks import count_parameters  # noqa: E402
from ghostless.nn.fullsize import map_writer  # noqa: E402
from ghostless.nn.lcndr import Lcndr, LcndrArchitecture  # noqa: E402

PAPER = LcndrArchitecture()
PROGRAM = LcndrArchitecture(variant="program")


def pair(height, width, dtype=torch.float32, seed=0, batch=1):
    generator = torch.Generator().manual_seed(seed)
    over, under = torch.rand(2, batch, 1, height, width, generator=generator, dtype=dtype)
    return {"over": over, "under": under}


def settled(architecture=PAPER, dtype=torch.float32):
    """A network whose norms hold statistics of some data, ready to run, attention made strong."""
    torch.manual_seed(1)
    network = Lcndr(architecture).to(dtype).train()
    for name, module in network.named_modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 0.5
        if name.endswith(("query", "key")):
            module.weight.data *= 3
    with torch.no_grad():
        for seed in range(3):
            network(**pair(32, 32, dtype, seed, batch=2))
    return network.eval()


@pytest.mark.parametrize(
    ("architecture", "count"),
    [
        (PAPER, 219_099),
        (replace(PAPER, coordinate_blocks=1), 219_099 - 2 * 856),
        (replace(PAPER, coordinate_blocks=2), 219_099 - 856),
        (replace(PAPER, attention=False), 219_099 - 29_904 - 32 * 64 * 9),
        (replace(PAPER, extraction=False), 219_099 - 111_936 - 3 * 856 - 64 * 64 * 9),
        (replace(PAPER, edge_revision=False), 219_099 - 73_792 - 577 + 128 * 9 + 1),
        (replace(PAPER, attention_stride=2), 219_099),
        (replace(PAPER, attention_norms=True), 219_099 + 2 * (8 + 8 + 32)),
        # Of the 107,204 numbers of the program's file one is a scale that it does not use.
        (PROGRAM, 107_203),
    ],
)
def test_parameters(architecture, count):
    assert count_parameters(Lcndr(architecture)) == count


def table(module):
    return [
        (m.in_channels, m.out_channels, m.kernel_size[0], m.stride[0], m.padding[0], m.padding_mode)
        for m in module.modules()
        if isinstance(m, torch.nn.Conv2d)
    ]


def test_layers_of_the_paper():
    branch = Lcndr().branch
    assert table(branch.stem) == [(1, 32, 3, 1, 1, "zeros")]
    assert sorted(table(branch.extractor)) == sorted(
        [
            (32, 32, 3, 1, 1, "zeros"),
            (32, 64, 3, 1, 1, "zeros"),
            (64, 32, 1, 1, 0, "zeros"),
            (128, 64, 3, 1, 1, "zeros"),
            (64, 32, 1, 1, 0, "zeros"),
            (64, 96, 1, 1, 0, "zeros"),
        ]
    )
    assert len(branch.coordinate) == 3
    assert table(branch.attention)[:2] == [
        (33, 48, 3, 2, 1, "zeros"),
        (48, 32, 3, 2, 1, "zeros"),
    ]
    assert table(branch.revise) == [(128, 64, 3, 1, 1, "zeros"), (64, 1, 3, 1, 1, "zeros")]
    slopes = {m.negative_slope for m in branch.modules() if isinstance(m, torch.nn.LeakyReLU)}
    assert slopes == {0.01}
    for norm in (m for m in branch.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        assert (norm.eps, norm.momentum) == (1e-5, 0.1)


@pytest.mark.parametrize("size", [(16, 16), (24, 40), (40, 16)])
def test_output_has_the_size_of_the_input(size):
    with torch.no_grad():
        out = settled()(**pair(*size))
    assert out.shape == (1, 1, *size)
    assert out.std() > 0.01


def test_maps_lie_between_0_and_tanh_1():
    network = settled()
    inputs = pair(16, 16)
    with torch.no_grad():
        weights = network.make_map(inputs["over"] * 20 - 10, inputs["under"] * 20 - 10)
    assert weights.min() > 0
    assert weights.max() < 0.7616
    assert weights.std() > 0


def test_output_is_the_maps_applied_as_the_paper_says():
    network = settled()
    inputs = pair(16, 24)
    over, under = (2 * luma - 1 for luma in inputs.values())
    over_map, under_map = network.make_map(over, under), network.make_map(under, over)
    expected = (over_map * over + under_map + under + 1) / 2
    torch.testing.assert_close(network(**inputs), expected)


def test_branch_order_matters():
    network = settled()
    inputs = pair(16, 16)
    swapped = network(over=inputs["under"], under=inputs["over"])
    assert (network(**inputs) - swapped).abs().max() > 0.1
    with pytest.raises(TypeError):
        network(inputs["over"], inputs["under"])


def test_table_vi_b_is_the_same_network_with_the_roles_swapped():
    # Adding on the over- and multiplying on the under-exposed image is what the default does to
    # the swapped pair.
    network = settled()
    other = Lcndr(replace(PAPER, tradeoff="add_multiply")).eval()
    other.load_state_dict(network.state_dict())
    inputs = pair(16, 16)
    torch.testing.assert_close(other(**inputs), network(over=inputs["under"], under=inputs["over"]))


def test_tradeoffs_differ_and_follow_their_names():
    base = settled()
    inputs = pair(16, 16)
    over, under = (2 * luma - 1 for luma in inputs.values())
    maps = base.make_map(over, under), base.make_map(under, over)
    expected = {
        "add_add": maps[0] + over + maps[1] + under,
        "add_multiply": maps[0] + over + maps[1] * under,
        "multiply_multiply": maps[0] * over + maps[1] * under,
        "multiply_add": maps[0] * over + maps[1] + under,
    }
    assert set(expected) == set(lcndr.TRADEOFFS)
    for name, value in expected.items():
        network = Lcndr(replace(PAPER, tradeoff=name)).eval()
        network.load_state_dict(base.state_dict())
        torch.testing.assert_close(network(**inputs), (value + 1) / 2)


@pytest.mark.parametrize(
    "wrong", [{"coordinate_blocks": 4}, {"tradeoff": "both"}, {"attention_stride": 4}]
)
def test_wrong_architectures_are_refused(wrong):
    with pytest.raises(ValueError, match="expected"):
        replace(PAPER, **wrong)


ABLATIONS = [
    replace(PAPER, extraction=False),
    replace(PAPER, attention=False),
    replace(PAPER, edge_revision=False),
    replace(PAPER, coordinate_blocks=1),
    replace(PAPER, edge_filter="alone"),
]


@pytest.mark.parametrize("architecture", ABLATIONS)
def test_ablations_run_and_differ_from_the_whole(architecture):
    inputs = pair(16, 16)
    out = settled(architecture)(**inputs)
    assert out.shape == (1, 1, 16, 16)
    assert (out - settled()(**inputs)).abs().max() > 1e-4


def test_far_pixels_matter_only_through_attention():
    inputs = pair(16, 160)
    changed = {name: value.clone() for name, value in inputs.items()}
    changed["under"][..., :16] = 0
    for attention in (True, False):
        # Without extraction, whose coordinate attention sees rows and columns too.
        architecture = replace(PAPER, extraction=False, attention=attention)
        network = settled(architecture)
        with torch.no_grad():
            weights = [
                network.make_map(2 * i["over"] - 1, 2 * i["under"] - 1) for i in (inputs, changed)
            ]
        difference = (weights[0] - weights[1])[..., 100:].abs().max()
        assert bool(difference > 0) == attention


def test_gradient_filter_by_hand():
    # One bright pixel: 1 left difference at it and right of it, 1 lower difference at and above it.
    image = torch.zeros(1, 1, 5, 5, dtype=torch.float64)
    image[0, 0, 2, 2] = 1
    edges = torch.zeros(5, 5, dtype=torch.float64)
    edges[2, 2] = 2**0.5
    edges[2, 3] = 1
    edges[1, 2] = 1
    shifted = torch.zeros_like(edges)
    shifted[:-1, :-1] = edges[1:, 1:]
    expected = torch.maximum(edges, shifted)
    torch.testing.assert_close(lcndr.filter_gradients(image)[0, 0], expected, atol=2e-6, rtol=0)


def test_gradient_filter_has_finite_gradients_on_flat_features():
    flat = torch.full((1, 2, 4, 4), 0.3, requires_grad=True)
    lcndr.filter_gradients(flat).sum().backward()
    assert torch.isfinite(flat.grad).all()


def test_narrowing_before_interpolating_changes_nothing():
    torch.manual_seed(0)
    extractor = lcndr.PoolingExtractor().double()
    x = torch.randn(1, 32, 8, 12, dtype=torch.float64)
    shallow = extractor.shallow(x)
    pooled = lcndr._pool_both_ways(lcndr._pool_both_ways(shallow))
    deep = extractor.narrow(lcndr._interpolate(extractor.deep(pooled), 4))
    expected = extractor.join(torch.cat([shallow, torch.nn.functional.leaky_relu(deep)], dim=1))
    torch.testing.assert_close(extractor(x), expected)


def run_tiled(network, inputs, tile_pixels):
    whole = inputs["over"]
    tiled = torch.full_like(whole, torch.nan)
    seen = []

    def read(region):
        seen.append(region.height * region.width)
        return region.cut(inputs["over"]), region.cut(inputs["under"])

    lcndr.fuse_in_tiles(
        network, read, tuple(whole.shape[2:]), map_writer(tiled, 1), tile_pixels=tile_pixels
    )
    assert max(seen) < whole.numel()
    return tiled


@pytest.mark.parametrize(
    "architecture",
    [PAPER, PROGRAM, replace(PAPER, attention_norms=True), *ABLATIONS[:3]],
)
@torch.no_grad()
def test_tiles_equal_the_whole(architecture):
    network = settled(architecture, torch.float64)
    inputs = pair(80, 72, torch.float64)
    tiled = run_tiled(network, inputs, 56 * 56)
    torch.testing.assert_close(tiled, network(**inputs), atol=1e-12, rtol=0)


@torch.no_grad()
def test_stripes_and_the_finer_attention_equal_the_whole():
    network = settled(replace(PAPER, attention_stride=2, key_pooling=2), torch.float64)
    inputs = pair(96, 24, torch.float64)
    tiled = run_tiled(network, inputs, 24 * 48)
    torch.testing.assert_close(tiled, network(**inputs), atol=1e-12, rtol=0)


@torch.no_grad()
def test_tiles_would_show_too_small_a_halo(monkeypatch):
    monkeypatch.setattr(lcndr, "HALO_PIXELS", 8)
    network = settled(dtype=torch.float64)
    inputs = pair(96, 24, torch.float64)
    tiled = run_tiled(network, inputs, 24 * 32)
    assert (tiled - network(**inputs)).abs().max() > 1e-9


def test_training_reaches_every_parameter():
    network = Lcndr().train()
    inputs = pair(16, 16, batch=2)
    (network(**inputs) - 0.5).square().mean().backward()
    without = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    # A shift of all queries' logits alike, and biases before a norm, change nothing.
    assert all(name.endswith("bias") for name in without)


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (6, 1), (7, 9)])
def test_gradient_filter_without_gradients_is_the_same(size):
    torch.manual_seed(1)
    features = torch.randn(2, 3, *size)
    wanted = lcndr.filter_gradients(features)
    with torch.inference_mode():
        torch.testing.assert_close(lcndr.filter_gradients(features), wanted)


def test_chroma_is_measured_from_tau():
    grey = torch.full((1, 3, 4, 4), 0.5)
    fused = torch.full((1, 1, 4, 4), 0.5)
    neutral = lcndr.add_colour(fused, [grey, grey])
    torch.testing.assert_close(neutral, grey)
    # Half a code beside grey: what is grey is a little green to a tau of 128.
    warm = grey + torch.tensor([0.02, 0.0, -0.02]).view(1, 3, 1, 1)
    one, other = (lcndr.add_colour(fused, [warm, grey], tau) for tau in (127.5, 128.0))
    assert 0 < float((one - other).abs().max()) < 0.01

"""MEF-Net, IFCNN, DeepFuse, ReFusion and MEFLUT: their sizes, symmetries, and running in parts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402
from tests.scenes import make_radiance, make_stack  # noqa: E402

from ghostless.bracket import Frame, Stack  # noqa: E402
from ghostless.errors import BracketError, OptionError, WeightsError  # noqa: E402
from ghostless.methods import (  # noqa: E402  # noqa: E402
    METHODS,
    deepfuse,
    get_method,
    ifcnn,
    maps,
    mef_net,
    meflut,
    refusion,
    small_weights,
)
from ghostless.nn.blocks import count_parameters  # noqa: E402
from ghostless.nn.weights import WeightsInfo, save_weights  # noqa: E402

COUNTS = [
    (mef_net.MefNet(), 26_461),
    (ifcnn.Ifcnn(), 83_587),
    (deepfuse.DeepFuse(), 316_976),
    (deepfuse.DeepFuse(deepfuse.DeepFuseArchitecture("paper")), 88_961),
    (refusion.Refusion(), 59_856),
]


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Weights files of random networks, by method."""
    folder = tmp_path_factory.mktemp("weights")
    files = {}
    for name in ("mef-net", "ifcnn", "deepfuse", "refusion", "meflut"):
        torch.manual_seed(7)
        kind = get_method(name).kind
        files[name] = folder / f"{name}.safetensors"
        save_weights(kind.build(kind.architecture()).eval(), files[name], WeightsInfo(name))
    return files


def fuse(stack, name, weights, **options):
    run, settings_class = get_method(name).load()
    on = {"device": "cpu", "precision": "float32"} if METHODS[name].needs_extra else {}
    return run(stack, settings_class(weights=weights[name], **on, **options)).pixels


@pytest.fixture(scope="module")
def stack():
    return make_stack(make_radiance(90, 70, seed=6), (-2, 0, 2))


@pytest.mark.parametrize(("network", "count"), COUNTS, ids=lambda v: type(v).__name__)
def test_parameters_are_those_of_the_papers(network, count) -> None:
    assert count_parameters(network) == count


# MEF-Net ----------------------------------------------------------------------------------------


def test_mef_net_is_a_mean_of_the_frames(stack, weights) -> None:
    same = Stack((stack.frames[1],) * 3, 0)
    np.testing.assert_allclose(fuse(same, "mef-net", weights), stack.frames[1].display(), atol=2e-5)
    for count in (1, 2, 7):
        many = make_stack(make_radiance(40, 60, seed=2), np.linspace(-3, 3, count))
        fused = fuse(many, "mef-net", weights)
        shown = np.stack([small_weights.color.rgb_to_ycbcr(f.display()) for f in many.frames])
        luma = small_weights.color.rgb_to_ycbcr(fused)[..., 0]
        inside = (fused > 0.01).all(axis=2) & (fused < 0.99).all(axis=2)
        assert (luma >= shown[..., 0].min(axis=0) - 1e-4)[inside].all()
        assert (luma <= shown[..., 0].max(axis=0) + 1e-4)[inside].all()
    backwards = replace(stack, frames=stack.frames[::-1])
    np.testing.assert_allclose(
        fuse(backwards, "mef-net", weights), fuse(stack, "mef-net", weights), atol=1e-5
    )


def test_mef_net_is_trained_as_it_fuses(stack, weights) -> None:
    """The network's own forward, by torch, is the fusion by stripes, by NumPy."""
    torch.manual_seed(7)
    network = mef_net.MefNet().eval()
    frames = [torch.from_numpy(f.display() @ small_weights._LUMA) for f in stack.frames]
    with torch.no_grad():
        wanted = network(torch.stack(frames)[None, :, None])[0, 0].clamp(0, 1).numpy()
    fused = fuse(stack, "mef-net", weights)
    inside = (fused > 0.01).all(axis=2) & (fused < 0.99).all(axis=2)
    luma = small_weights.color.rgb_to_ycbcr(fused)[..., 0]
    np.testing.assert_allclose(luma[inside], wanted[inside], atol=3e-4)


def test_small_copies_are_those_of_torch() -> None:
    for height, width in ((90, 70), (200, 331), (128, 128)):
        pixels = np.random.default_rng(1).random((height, width, 3), np.float32)
        luma = torch.from_numpy(pixels @ small_weights._LUMA)[None, None]
        copy = small_weights.small_copy(Frame(pixels), enlarge=True)
        assert min(copy.shape) == 128
        np.testing.assert_allclose(copy, mef_net.small_copies(luma)[0, 0].numpy(), atol=2e-5)
    assert small_weights.small_copy(Frame(pixels[:90, :70])).shape == (90, 70)
    large = Frame(np.full((2200, 1300, 3), 50, np.uint8))
    assert small_weights.small_copy(large).shape == (216, 128)


def test_the_guided_filter_is_the_one_counted_by_hand() -> None:
    random = np.random.default_rng(3)
    guide, values = random.random((2, 6, 7))
    found = small_weights.SmallWeights.of(guide.astype(np.float32), values, 3, 1e-4)
    slopes = np.empty((6, 7))
    for y in range(6):
        for x in range(7):
            place = (slice(max(0, y - 1), y + 2), slice(max(0, x - 1), x + 2))
            here, there = guide[place].ravel(), values[place].ravel()
            slopes[y, x] = np.mean((here - here.mean()) * there) / (here.var() + 1e-4)
            offset = there.mean() - slopes[y, x] * here.mean()
            assert found.coefficients[y, 1, x] == pytest.approx(offset, abs=1e-4)
    np.testing.assert_allclose(found.coefficients[:, 0], slopes, atol=1e-4)
    by_torch = mef_net.guided_coefficients(
        *(torch.from_numpy(a)[None, None].float() for a in (guide, values))
    )
    np.testing.assert_allclose(by_torch[0][0, 0].numpy(), slopes, atol=1e-3)


@pytest.mark.parametrize("name", ["mef-net", "meflut"])
def test_weight_maps_add_up_to_one(name, stack, weights) -> None:
    settings = get_method(name).settings_class(weights=weights[name])
    found = maps.weight_maps(stack, name, settings)
    assert len(found) == 3
    np.testing.assert_allclose(np.sum(found, axis=0), 1, atol=1e-5)


@pytest.mark.parametrize("name", ["mef-net", "meflut"])
def test_where_all_frames_are_masked_the_reference_shows(name, stack, weights) -> None:
    mask = np.full((90, 70), 255, np.uint8)
    mask[20:50, 10:40] = 0
    masked = replace(stack, confidence=(mask,) * 3, reference=1)
    fused = fuse(masked, name, weights)
    np.testing.assert_allclose(
        fused[20:50, 10:40], stack.frames[1].display()[20:50, 10:40], atol=2e-5
    )


# DeepFuse and IFCNN -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("deepfuse", {}),
        ("ifcnn", {}),
        ("ifcnn", {"planes": "rgb"}),
        ("ifcnn", {"planes": "imagenet"}),
        ("ifcnn", {"equalise": True}),
    ],
)
def test_the_order_of_the_frames_is_nothing(name, options, stack, weights) -> None:
    backwards = replace(stack, frames=stack.frames[::-1])
    first, second = (fuse(s, name, weights, **options) for s in (stack, backwards))
    # Equalising by steps of 8 bits may turn a rounding into a code.
    off = np.abs(first - second)
    assert off.mean() < (2e-3 if options.get("equalise") else 1e-5)
    assert first.std() > 0.01


@pytest.mark.parametrize(
    ("name", "options", "module"),
    [
        ("deepfuse", {}, deepfuse),
        ("ifcnn", {}, ifcnn),
        ("ifcnn", {"planes": "rgb"}, ifcnn),
    ],
)
def test_tiles_make_what_the_whole_makes(name, options, module, stack, weights, monkeypatch):
    large = make_stack(make_radiance(400, 300, seed=6), (-2, 2))
    whole = fuse(large, name, weights, quality="full", **options)
    # Tiles of 2^16 pixels, the smallest budget there is, for each frame.
    monkeypatch.setattr(module, "_BYTES_PER_PIXEL", 10**8)
    np.testing.assert_allclose(
        fuse(large, name, weights, quality="full", **options), whole, atol=2e-5
    )


def test_more_frames_alike_change_nothing(stack) -> None:
    """The features' mean stands in for the sum of two, whatever their number."""
    lumas = torch.rand(1, 1, 1, 30, 40)
    for network in (deepfuse.DeepFuse(), ifcnn.Ifcnn().eval()):
        with torch.no_grad():
            one, three = (network(lumas.expand(1, k, 1, 30, 40)) for k in (1, 3))
        torch.testing.assert_close(one, three, rtol=1e-4, atol=1e-5)


def test_deepfuse_leaves_no_dark_line_at_the_border_it_repeats() -> None:
    plain = torch.full((1, 2, 1, 30, 40), 0.5)
    for borders, even in (("repeated", True), ("black", False)):
        torch.manual_seed(0)
        network = deepfuse.DeepFuse(deepfuse.DeepFuseArchitecture(borders=borders))
        with torch.no_grad():
            fused = network(plain)
        assert fused.shape == (1, 1, 30, 40)
        assert (float(fused.max() - fused.min()) < 1e-6) == even
        assert float((fused - fused[..., 15, 20]).abs()[..., 14:16, 14:26].max()) < 1e-6


def test_deepfuse_sums_the_features_of_two() -> None:
    network = deepfuse.DeepFuse()
    lumas = torch.rand(1, 2, 1, 20, 20)
    features = lumas[0] * 255
    with torch.no_grad():
        for layer in network.layers[:2]:
            features = F.leaky_relu(layer(features), 0.01)
        joined = features.sum(dim=0, keepdim=True)
        for layer in network.layers[2:]:
            joined = F.leaky_relu(layer(joined), 0.01)
        torch.testing.assert_close(network(lumas), joined / 255, rtol=1e-4, atol=1e-6)


def test_ifcnn_joins_as_its_architecture_says() -> None:
    pictures = torch.rand(1, 2, 3, 12, 12)
    found = []
    for join in ("mean", "max", "sum"):
        torch.manual_seed(1)
        network = ifcnn.Ifcnn(ifcnn.IfcnnArchitecture(join)).eval()
        with torch.no_grad():
            found.append(network(pictures))
            features = network.of_each(network.first(pictures[0]))
            joined = {"mean": features.mean(0), "max": features.amax(0), "sum": features.sum(0)}[
                join
            ]
            wanted = network.last(network.of_all(joined[None]))
        torch.testing.assert_close(found[-1], wanted, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(found[0], found[1], atol=1e-3)


def test_ifcnn_equalises_luma_only(stack, weights) -> None:
    with pytest.raises(OptionError, match="planes=luma with it, found planes=rgb"):
        fuse(stack, "ifcnn", weights, planes="rgb", equalise=True)


# ReFusion ---------------------------------------------------------------------------------------


def test_refusion_in_tiles_is_the_whole_where_relations_agree(weights, monkeypatch) -> None:
    large = make_stack(make_radiance(200, 220, seed=6), (-2, 2))
    whole = fuse(large, "refusion", weights, quality="full", order="extremes")
    monkeypatch.setattr(refusion, "_WHOLE_PIXELS", 200 * 220 - 1)
    monkeypatch.setattr(refusion, "_BYTES_PER_PIXEL", 10**8)
    # The copy that tells the relations has all but the whole image's pixels.
    tiled = fuse(large, "refusion", weights, quality="full", order="extremes")
    assert np.abs(tiled - whole).max() < 2e-3
    monkeypatch.setattr(refusion, "_WHOLE_PIXELS", 10_000)
    assert np.abs(fuse(large, "refusion", weights, quality="full") - whole).mean() < 0.02


def test_refusion_uses_the_relations_it_was_given() -> None:
    torch.manual_seed(2)
    network = refusion.Refusion().eval()
    pair = {"over": torch.rand(1, 1, 40, 50), "under": torch.rand(1, 1, 40, 50)}
    relations = refusion.Relations()
    with torch.no_grad():
        whole = network(**pair, relations=relations)
        assert len(relations._gathered) == 2 + 2 + 2 + 2
        relations.use()
        torch.testing.assert_close(network(**pair, relations=relations), whole)
        relations.use()
        part = {name: plane[..., :20, :25] for name, plane in pair.items()}
        inner = network(**part, relations=relations)
        torch.testing.assert_close(inner[..., :7, :12], whole[..., :7, :12], atol=1e-5, rtol=1e-5)


# MEFLUT -----------------------------------------------------------------------------------------


def test_meflut_gives_the_brightest_frame_the_first_curve(tmp_path) -> None:
    torch.manual_seed(1)
    kind = METHODS["meflut"].kind
    tables = kind.build(kind.architecture((2,)))
    with torch.no_grad():
        tables.curves["2"][:] = torch.tensor([[1.0], [0.0]]).expand(2, 256)
    file = tmp_path / "meflut.safetensors"
    save_weights(tables, file, WeightsInfo("meflut"))
    stack = make_stack(make_radiance(40, 50, seed=6), (-2, 2))
    fused = fuse(stack, "meflut", {"meflut": file})
    luma = fused @ small_weights._LUMA
    inside = (fused > 0.01).all(axis=2) & (fused < 0.99).all(axis=2)
    wanted = stack.frames[1].display() @ small_weights._LUMA
    assert np.abs(luma - wanted)[inside].mean() < 1e-3


def test_meflut_looks_its_weights_up(tmp_path) -> None:
    """On flat frames the weights are those of the curves at their greys."""
    torch.manual_seed(1)
    kind = METHODS["meflut"].kind
    tables = kind.build(kind.architecture((2,)))
    file = tmp_path / "meflut.safetensors"
    save_weights(tables, file, WeightsInfo("meflut"))
    dark, bright = (Frame(np.full((8, 9, 3), grey, np.uint8)) for grey in (30, 200))
    fused = fuse(Stack((dark, bright), 0), "meflut", {"meflut": file})
    curves = tables.curves["2"].detach().numpy()
    shares = np.array([curves[1, 30], curves[0, 200]])
    wanted = (shares @ [30, 200]) / shares.sum() / 255
    np.testing.assert_allclose(fused, wanted, atol=1e-4)


def test_meflut_finds_curves_for_any_number() -> None:
    sets = {
        2: np.float32([[0.0] * 256, [1.0] * 256]),
        3: np.float32([[0.0] * 256, [0.5] * 256, [2.0] * 256]),
    }
    assert [c[0] for c in meflut.curves_for(2, sets)] == [0, 1]
    assert [c[0] for c in meflut.curves_for(5, sets)] == pytest.approx([0, 0.25, 0.5, 1.25, 2])
    assert [c[0] for c in meflut.curves_for(1, sets)] == [0]


def test_meflut_refuses_what_are_no_curves(stack, tmp_path) -> None:
    class Wrong(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.curves = torch.nn.ParameterDict({"3": torch.nn.Parameter(torch.rand(2, 256))})

    file = tmp_path / "wrong.safetensors"
    save_weights(Wrong(), file, WeightsInfo("meflut"))
    with pytest.raises(WeightsError, match=r"found 'curves\.3' of shape \(2, 256\)"):
        fuse(stack, "meflut", {"meflut": file})


def test_pixels_that_are_not_finite_are_refused(stack, weights) -> None:
    pixels = stack.frames[0].display().copy()
    pixels[3, 4] = np.nan
    broken = replace(stack, frames=(Frame(pixels), *stack.frames[1:]))
    for name in ("mef-net", "ifcnn", "deepfuse", "refusion"):
        with pytest.raises(BracketError, match="NaN or infinity"):
            fuse(broken, name, weights)
    with pytest.raises(BracketError, match="NaN or infinity"):
        fuse(broken, "ifcnn", weights, planes="rgb")

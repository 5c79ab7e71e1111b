"""U2Fusion, PMGI, SDNet, HALDeR and CF-Net: built as published, at any size, by any frames.

Small networks of random weights stand in for trained ones where the skill does not matter.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch")

from tests.scenes import make_radiance, make_stack  # noqa: E402
from tests.tensorflow_files import write  # noqa: E402

from ghostless.bracket import Fused, Stack  # noqa: E402
from ghostless.errors import WeightsError  # noqa: E402
from ghostless.methods import (  # noqa: E402
    METHODS,
    cf_net,
    fuse_stack,
    get_method,
    halder,
    luma,
    pmgi,
    sdnet,
    u2fusion,
)
from ghostless.methods.luma import add_colour  # noqa: E402
from ghostless.nn import fullsize  # noqa: E402
from ghostless.nn.blocks import count_parameters  # noqa: E402
from ghostless.nn.published import import_weights  # noqa: E402
from ghostless.nn.signed_luma import from_signed, to_signed  # noqa: E402
from ghostless.nn.weights import WeightsInfo, load_weights, save_weights  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

Array = NDArray[np.float32]
LUMA_NETWORKS = ("u2fusion", "pmgi", "sdnet")
NAMES = (*LUMA_NETWORKS, "halder", "cf-net")
SMALL: dict[str, Any] = {
    "u2fusion": u2fusion.U2FusionArchitecture(channels=6, narrowing=(8, 4)),
    "pmgi": pmgi.PmgiArchitecture(channels=4),
    "sdnet": sdnet.SdnetArchitecture(channels=8),
    "halder": halder.HalderArchitecture(channels=8),
    "cf-net": cf_net.CfNetArchitecture(channels=4, groups=3, coupled_blocks=1),
}


def small(name: str) -> Any:
    """A small network whose every number differs from what makes it do nothing."""
    torch.manual_seed(5)
    network = METHODS[name].kind.build(SMALL[name])
    with torch.no_grad():
        for key, value in network.state_dict().items():
            if value.is_floating_point():
                # Wider than at the start of training, so that outputs span their range.
                spread = 0.3 / max(1, value[0].numel() if value.ndim else 1) ** 0.5
                value += spread * torch.randn(value.shape)
            if key.endswith("running_var"):
                value.clamp_(0.5)
    return network.eval()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("weights")
    paths = {name: folder / f"{name}.safetensors" for name in NAMES}
    for name, path in paths.items():
        save_weights(small(name), path, WeightsInfo(name))
    return paths


def fuse(stack: Stack, name: str, weights: Path, **options: Any) -> Fused:
    settings_class = get_method(name).settings_class
    given = {"device": "cpu", "precision": "float32", **options}
    return fuse_stack(stack, name, settings_class(weights=weights, **given))


def scene(height: int = 37, width: int = 45) -> Stack:
    return make_stack(make_radiance(height, width, seed=5), (-2.0, 2.0))


def tensor(pixels: Array) -> Any:
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None]


@pytest.mark.parametrize("name", NAMES)
def test_the_network_has_as_many_parameters_as_the_paper_s(name: str) -> None:
    kind = METHODS[name].kind
    paper = {"channels": 64, "groups": 6} if name == "cf-net" else {}
    count = count_parameters(kind.build(kind.architecture(**paper)))
    assert count == sum(METHODS[name].paper_parameters.values())


@pytest.mark.parametrize(
    ("how", "count"), [({}, 2_894_249), ({"scale": 4, "channels": 64, "groups": 6}, 28_975_849)]
)
def test_cf_net_has_other_sizes(how: dict[str, Any], count: int) -> None:
    with torch.device("meta"):
        assert count_parameters(cf_net.CfNet(cf_net.CfNetArchitecture(**how))) == count


def test_of_sdnet_s_parameters_those_that_fuse_are_told_apart() -> None:
    counts = METHODS["sdnet"].paper_parameters
    assert count_parameters(sdnet.Sdnet().decompose) == counts["decomposition"]


@pytest.mark.parametrize("name", LUMA_NETWORKS)
def test_luma_is_fused_by_the_network_and_colour_by_rule(
    name: str, weights: dict[str, Path]
) -> None:
    stack = scene()
    network, _ = load_weights(METHODS[name].kind, weights[name])
    dark, bright = (
        tensor(frame.display() @ np.array([[0.299], [0.587], [0.114]], np.float32))
        for frame in stack.frames
    )
    with torch.no_grad():
        plane = network(over=bright, under=dark)[0, 0].numpy()
    expected = np.repeat(plane[:, :, None], 3, axis=2)
    add_colour(expected, stack.frames, "percentile")
    found = fuse(stack, name, weights[name]).pixels
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert found.std() > 0.02
    plain = fuse(stack, name, weights[name], stretch="none").pixels
    assert np.abs(plain - found).max() > 0.02


@pytest.mark.parametrize("name", NAMES)
def test_tiles_change_nothing(
    name: str, weights: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Larger than CF-Net sees; sides that are no multiple of anything.
    stack = scene(171, 186)
    whole = fuse(stack, name, weights[name]).pixels
    calls = []

    def budget(*_: Any, **__: Any) -> int:
        calls.append(name)
        return 110 * 110 if name == "cf-net" else 80 * 80

    # Where `pairs` takes it from, for it is asked there when a pair is fused.
    for module in (luma, fullsize, pmgi, cf_net):
        monkeypatch.setattr(module, "tile_budget", budget)
    fractions: list[float] = []
    settings = get_method(name).settings_class(
        weights=weights[name], device="cpu", precision="float32"
    )
    tiled = fuse_stack(stack, name, settings, progress=fractions.append).pixels
    np.testing.assert_allclose(tiled, whole, atol=3e-5)
    assert calls
    assert len(fractions) > 4
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(1, 1), (3, 21), (16, 9)])
def test_any_size(name: str, size: tuple[int, int], weights: dict[str, Path]) -> None:
    pixels = np.ascontiguousarray(make_radiance(32, 32)[: size[0], : size[1]])
    fused = fuse(make_stack(pixels, (-1, 1)), name, weights[name]).pixels
    assert fused.shape == (*size, 3)
    assert np.isfinite(fused).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_the_two_frames_counts(name: str) -> None:
    network = small(name)
    channels = 1 if name in LUMA_NETWORKS else 3
    over, under = torch.rand(2, 1, channels, 16, 16)
    with torch.no_grad():
        difference = network(over=over, under=under) - network(over=under, under=over)
    assert float(difference.abs().max()) > 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_stays_close(name: str, weights: dict[str, Path]) -> None:
    stack = scene(32, 32)
    # A stretch would make more of what little there is to see of random weights.
    how = {"stretch": "none"} if name in LUMA_NETWORKS else {}
    exact = fuse(stack, name, weights[name], **how).pixels
    coarse = fuse(stack, name, weights[name], precision="bfloat16", **how).pixels
    difference = np.abs(coarse - exact)
    assert 0 < difference.mean() < 0.01


def test_studio_levels_are_those_of_the_standard() -> None:
    plane = torch.tensor([0.0, 1.0])
    signed = to_signed(plane, "studio")
    torch.testing.assert_close((signed + 1) / 2 * 255, torch.tensor([16.0, 235.0]))
    torch.testing.assert_close(to_signed(plane, "full"), torch.tensor([-1.0, 1.0]))
    for levels in ("full", "studio"):
        torch.testing.assert_close(from_signed(to_signed(plane, levels), levels), plane)


# ---------------------------------------------------------------------------------------------
# PMGI's norms
# ---------------------------------------------------------------------------------------------


def test_pmgi_norms_have_the_statistics_of_each_image() -> None:
    network = small("pmgi")
    over, under = torch.rand(2, 2, 1, 20, 24)
    with torch.no_grad():
        both = network(over=over, under=under)
        alone = network(over=over[:1], under=under[:1])
    torch.testing.assert_close(both[:1], alone)


def test_pmgi_without_learned_norms_ignores_what_they_learned() -> None:
    learned = small("pmgi")
    plain = pmgi.Pmgi(pmgi.PmgiArchitecture(channels=4, norms="plain"))
    plain.load_state_dict(learned.state_dict())
    over, under = torch.rand(2, 1, 1, 20, 24)
    with torch.no_grad():
        before = learned(over=over, under=under), plain(over=over, under=under)
        for network in (learned, plain):
            for name, value in network.named_parameters():
                if name.endswith((".scale", ".shift")):
                    value.mul_(0.5).add_(0.1)
        after = learned(over=over, under=under), plain(over=over, under=under)
    assert float((before[0] - after[0]).abs().max()) > 1e-3
    torch.testing.assert_close(before[1], after[1])


# ---------------------------------------------------------------------------------------------
# CF-Net's sizes and reach
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_cf_net_sees_as_far_as_its_halo_says_and_not_much_less(scale: Any) -> None:
    how = cf_net.CfNetArchitecture(scale=scale, channels=2, groups=3, coupled_blocks=1)
    halo = how.halo_pixels
    torch.manual_seed(0)
    network = cf_net.CfNet(how).double()
    with torch.no_grad():
        for name, value in network.named_parameters():
            # All the same sign, so that nothing cancels and the farthest still tells.
            value.abs_()
            if "activation" in name:
                value.fill_(1.0)
            elif ".drawing." in name:
                value.mul_(1e-20)  # not clipped
    side = 2 * halo + 8 * scale
    frame = torch.rand(1, 3, side, side, dtype=torch.float64) * 0.1
    low = cf_net.reduced(frame, scale).double().requires_grad_()
    first, second = network.pictures(low, low, last_only=True)[0]
    middle = side // 2 // scale * scale
    block = (..., slice(middle, middle + scale), slice(middle, middle + scale))
    (slope,) = torch.autograd.grad(first[block].sum() + second[block].sum(), low)
    seen = slope.abs().sum(dim=(0, 1)).sum(dim=1).nonzero().flatten()
    reach = max(middle // scale - int(seen.min()), int(seen.max()) - middle // scale)
    within = (halo - (2 * scale if scale > 1 else 0)) // scale
    assert within - 2 <= reach <= within


def test_cf_net_s_first_blocks_look_at_their_own_frame_alone() -> None:
    network = small("cf-net")
    over, under, other = torch.rand(3, 1, 3, 8, 8) * 2 - 1
    with torch.no_grad():
        one = network.pictures(over, under)
        two = network.pictures(over, other)
    assert len(one) == 2
    torch.testing.assert_close(one[0][0], two[0][0])
    assert float((one[1][0] - two[1][0]).abs().max()) > 1e-4
    assert one[0][0].shape == (1, 3, 16, 16)


@pytest.mark.parametrize(
    ("how", "words"),
    [({"groups": 2}, "3 groups"), ({"scale": 3}, "scale"), ({"coupled_blocks": 0}, "1 of")],
)
def test_cf_net_says_what_it_cannot_be(how: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        cf_net.CfNetArchitecture(**how)


# ---------------------------------------------------------------------------------------------
# HALDeR's division
# ---------------------------------------------------------------------------------------------


def test_halder_only_brightens_what_it_blends() -> None:
    network = small("halder")
    over, under = torch.rand(2, 1, 3, 16, 16)
    with torch.no_grad():
        blended = network.blend(over=over, under=under)
        refined = network.refine(blended)
    assert bool((refined >= 0.9999 * blended).all())
    assert float((refined - blended).max()) > 0.01


# ---------------------------------------------------------------------------------------------
# The authors' files
# ---------------------------------------------------------------------------------------------


def published_files(name: str, network: Any, folder: Path) -> list[Path]:
    """What the authors' program would have stored of a network."""
    state = {key: value.numpy() for key, value in network.state_dict().items()}
    if name == "halder":
        return halder_files(state, folder)
    arrays: dict[str, Array] = {}
    for key, value in state.items():
        turned = value.transpose(2, 3, 1, 0) if value.ndim == 4 else value
        arrays[THEIRS[name](key)] = np.ascontiguousarray(turned)
    if name == "pmgi":
        for key in [key for key in arrays if key.endswith("gamma")]:
            for running in ("moving_mean", "moving_variance"):
                arrays[key.replace("gamma", running)] = np.ones(16, np.float32)
    return write(folder, arrays)


def of_u2fusion(key: str) -> str:
    layer, _, kind = key.rpartition(".conv.")
    part, _, number = layer.partition(".")
    count = int(number or 0) + 1
    place = {
        "first": "Generator/encoder/conv1_1",
        "dense": f"Generator/encoder/dense_block_conv{count}",
        "narrow": f"Generator_1/decoder/conv2_{count}",
        "last": "Generator_1/decoder/conv2_4",
    }[part]
    return f"{place}/{'kernel' if kind == 'weight' else 'bias'}"


def of_sdnet(key: str) -> str:
    layer, _, kind = key.rpartition(".conv.")
    for word, number in (("decompose.", 7), ("", 1)):
        for ours, theirs in (("under", "ir"), ("over", "vi")):
            start = f"{word}{ours}."
            if layer.startswith(start):
                count = int(layer.rpartition(".")[2]) + number
                return f"fusion_model/layer{count}_{theirs}/{kind[0]}{count}_{theirs}"
    name = {"join": "5_fuse", "decompose.common": "6_sept"}[layer]
    return f"fusion_model/layer{name}/{kind[0]}{name}"


def of_pmgi(key: str) -> str:
    if key.startswith("join"):
        return f"fusion_model/layer5/{'w5' if key.endswith('weight') else 'b5'}"
    _, index, path, *rest = key.split(".")
    number = ("1", "2", "2_3", "3", "3_4", "4")[int(index)]
    ending = {"under": "", "over": "_vi"}[path]
    last = {
        "weight": f"w{number}{ending}",
        "bias": f"b{number}{ending}",
        "scale": "BatchNorm/gamma",
        "shift": "BatchNorm/beta",
    }[rest[-1]]
    return f"fusion_model/layer{number}{ending}/{last}"


THEIRS = {"u2fusion": of_u2fusion, "sdnet": of_sdnet, "pmgi": of_pmgi}


def halder_files(state: dict[str, Array], folder: Path) -> list[Path]:
    attention = ("fe1", "fe2", "sAtt_1", "sAtt_2", "sAtt_L1", "sAtt_L2", "sAtt_L3", "sAtt_3")
    names = dict(zip(("over", "under", "illumination"), "AVH", strict=True))
    files: dict[str, dict[str, Any]] = {letter: {} for letter in "AVH"}
    for part, letter in names.items():
        own = {k.partition(".")[2]: v for k, v in state.items() if k.startswith(f"{part}.")}
        layers = [*attention, "sAtt_4", "sAtt_5"]
        if letter == "H":
            numbers = (1, 3, 4, 5, 8, 9, 25)
            layers = [*(f"conv{n}" for n in numbers), *(f"bn{n}" for n in numbers), "conv26"]
            files["H"]["module.bn26.weight"] = torch.ones(3)
        ours = list(dict.fromkeys(key.rpartition(".")[0] for key in own))
        for theirs, layer in zip(layers, ours, strict=True):
            for key, value in own.items():
                if key.rpartition(".")[0] == layer:
                    kind = key.rpartition(".")[2]
                    files[letter][f"module.{theirs}.{kind}"] = torch.from_numpy(np.array(value))
    paths = []
    for letter, content in files.items():
        paths.append(folder / f"latest_net_G_{letter}.pth")
        torch.save(content, paths[-1])
    return paths


@pytest.mark.parametrize("name", ["u2fusion", "pmgi", "sdnet", "halder"])
def test_weights_in_the_authors_form_are_taken_over(name: str, tmp_path: Path) -> None:
    torch.manual_seed(2)
    method = METHODS[name]
    network = method.kind.build(method.kind.architecture())
    with torch.no_grad():
        for value in network.state_dict().values():
            if value.is_floating_point():
                value.uniform_(0.1, 1)
    files = published_files(name, network, tmp_path)
    out = tmp_path / "out.safetensors"
    import_weights(method.kind, method.find(method.published), files, out)
    found, info = load_weights(method.kind, out)
    for key, value in network.state_dict().items():
        torch.testing.assert_close(found.state_dict()[key], value, msg=key)
    assert info.published["files"][0]["name"] == files[0].name
    if name in ("pmgi", "sdnet"):
        assert found.architecture.levels == "studio"
    if name == "pmgi":
        assert found.architecture.norms == "plain"


@pytest.mark.parametrize("name", ["u2fusion", "pmgi", "sdnet"])
def test_another_network_s_checkpoint_is_refused(name: str, tmp_path: Path) -> None:
    files = write(tmp_path, {"net/kernel": np.ones((3, 3, 1, 1), np.float32)})
    method = METHODS[name]
    with pytest.raises(WeightsError, match="another network"):
        import_weights(method.kind, method.find(method.published), files, tmp_path / "out")


def test_halder_asks_for_all_three_files(tmp_path: Path) -> None:
    method = METHODS["halder"]
    with pytest.raises(WeightsError, match=r"three files latest_net_G_A\.pth.*found a_A\.pth"):
        import_weights(
            method.kind, method.find(method.published), [tmp_path / "a_A.pth"], tmp_path / "out"
        )


def test_cf_net_has_none_to_take_over() -> None:
    assert not METHODS["cf-net"].published
    assert METHODS["cf-net"].weights_command == "ghostless train cf-net"

"""Chen & Chuang's network: its layers, its ablations, and fusing with it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import cv2  # noqa: E402
from tests.scenes import expose, make_radiance, make_stack  # noqa: E402

from ghostless.align import homography_net  # noqa: E402
from ghostless.bracket import Frame, Registration, Stack  # noqa: E402
from ghostless.errors import BracketError, OptionError, WeightsError  # noqa: E402
from ghostless.methods import METHODS, fuse_stack  # noqa: E402
from ghostless.methods.chen_chuang import fuse, registered  # noqa: E402
from ghostless.methods.settings import ChenChuangSettings  # noqa: E402
from ghostless.nn import chen_chuang  # noqa: E402
from ghostless.nn.blocks import count_parameters  # noqa: E402
from ghostless.nn.chen_chuang import (  # noqa: E402
    ChenChuangArchitecture,
    Discriminator,
    Generator,
)
from ghostless.nn.homography import HOMOGRAPHY, HomographyNetwork  # noqa: E402
from ghostless.nn.priors import fuse_locally  # noqa: E402
from ghostless.nn.weights import WeightsInfo, load_weights, save_weights  # noqa: E402

SMALL = ChenChuangArchitecture(channels=4)
ADDED = {"adds_to": "local fusion"}


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make_generator(architecture=SMALL, seed=0):
    torch.manual_seed(seed)
    network = Generator(architecture).double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter *= 1.5  # so that the result depends on the images and not on biases alone
            if not parameter.any():  # the last layer of one that adds to something
                parameter.normal_(std=0.3)
    return network


def pair(height=128, width=128, batch=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(2, batch, 3, height, width, generator=generator, dtype=torch.float64)


# The networks


def test_parameter_counts_are_those_of_the_table():
    with torch.device("meta"):
        generator = Generator()
        found = {
            "homography": count_parameters(HomographyNetwork()),
            "attention": count_parameters(generator.attention),
            "merging": count_parameters(generator.merging),
            "discriminator": count_parameters(Discriminator()),
        }
    assert found == METHODS["chen-chuang"].paper_parameters
    assert found["attention"] + found["merging"] == 1_364_675
    assert found["discriminator"] == 2_772_673


def test_merging_layers_are_those_of_the_paper():
    with torch.device("meta"):
        merging = Generator().merging
    assert [layer.conv.in_channels for layer in merging.down] == [128] + [64] * 6
    assert [layer.conv.out_channels for layer in merging.down] == [64] * 7
    assert [layer.conv.in_channels for layer in merging.up] == [128] * 6 + [64]
    assert [layer.conv.out_channels for layer in merging.up] == [3] + [64] * 6
    for layer in (*merging.down, *merging.up):
        assert layer.conv.kernel_size == (4, 4)
        assert layer.conv.stride == (2, 2)
        assert layer.conv.padding == (1, 1)
    assert not any(
        isinstance(module, torch.nn.InstanceNorm2d | torch.nn.BatchNorm2d)
        for module in merging.modules()
    )
    assert isinstance(merging.up[0].activation, torch.nn.Sigmoid)
    assert all(isinstance(layer.activation, torch.nn.ReLU) for layer in list(merging.up)[1:])
    assert all(layer.activation.negative_slope == 0.2 for layer in merging.down)


def test_discriminator_layers_are_those_of_the_paper():
    network = Discriminator()
    layers = list(network.layers)
    assert [layer.conv.in_channels for layer in layers] == [9, 64, 128, 256, 512]
    assert [layer.conv.out_channels for layer in layers] == [64, 128, 256, 512, 1]
    assert [layer.conv.stride[0] for layer in layers] == [2, 2, 2, 2, 1]
    norms = [isinstance(layer.norm, torch.nn.InstanceNorm2d) for layer in layers]
    assert norms == [False, True, True, True, False]
    assert isinstance(layers[-1].activation, torch.nn.Identity)
    under, over, image = torch.rand(3, 1, 3, 256, 256)
    scores = network.score(under, over, image)
    assert scores.shape == (1, 1, 15, 15)
    torch.testing.assert_close(scores, network(torch.cat([under, over, image], 1)))


def test_attention_weighs_the_over_exposed_features_only():
    network = make_generator().attention
    under, over = pair(16, 16)
    under_features, over_features = network(under, over)
    torch.testing.assert_close(under_features, network.encoder(under))
    both = torch.cat([network.encoder(under), network.encoder(over)], dim=1)
    attended = network.attention(both)
    assert attended.shape == (1, 4, 16, 16)
    assert ((attended > 0) & (attended < 1)).all()
    torch.testing.assert_close(over_features, attended * network.encoder(over))


def test_ablation_without_attention_leaves_the_features_alone():
    full = make_generator()
    plain = make_generator(replace(SMALL, attention=False))
    under, over = pair(16, 16)
    torch.testing.assert_close(plain.attention(under, over)[1], plain.attention.encoder(over))
    plain.load_state_dict(full.state_dict(), strict=False)
    under, over = pair()
    assert (full(under, over) - plain(under, over)).abs().max() > 1e-4
    assert count_parameters(full) - count_parameters(plain) == 8 * 4 * 9 + 4 + 4 * 4 * 9 + 4


def test_skips_join_mirror_levels():
    merging = make_generator().merging
    _, over = pair()
    features = torch.cat(make_generator().attention(over, over), dim=1)
    maps = [features]
    for layer in merging.down:
        maps.append(layer(maps[-1]))
    assert [tuple(m.shape[2:]) for m in maps][-1] == (1, 1)
    out = merging.up[6](maps[7])
    for level in range(5, -1, -1):
        out = merging.up[level](torch.cat([out, maps[level + 1]], dim=1))
    torch.testing.assert_close(merging(features), out)


@pytest.mark.parametrize(
    ("changes", "size"),
    [
        ({}, (128, 384)),
        ({}, (384, 256)),
        ({"full_size_skip": True}, (128, 384)),
        (ADDED, (128, 384)),
        ({**ADDED, "full_size_skip": True}, (128, 384)),
        ({**ADDED, "gate": True, "shifts": 3}, (384, 256)),
    ],
)
def test_tiles_give_the_whole_images_result(changes, size):
    network = make_generator(replace(SMALL, **changes))
    under, over = pair(*size)
    fractions = []
    found = torch.full_like(under, torch.nan)

    def write(tile, result):
        tile.inner.cut(found)[:] = result

    with torch.no_grad():
        chen_chuang.generate_in_tiles(
            network,
            lambda region: (region.cut(over), region.cut(under)),
            size,
            write,
            tile_pixels=90 * 90,
            progress=fractions.append,
        )
        whole = network(under, over)
    assert whole.std() > 1e-3
    torch.testing.assert_close(found, whole, rtol=0, atol=1e-12)
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert len(fractions) > 4


def test_shifts_of_the_coarse_grid_leave_a_finer_lattice():
    one = make_generator()
    # Of a picture without any detail, far from its borders.
    second = torch.ones(1, 4, 320, 320, dtype=torch.float64)

    def coarse_of(shifts):
        merging = make_generator(replace(SMALL, shifts=shifts)).merging
        merging.load_state_dict(one.merging.state_dict())
        with torch.no_grad():
            return merging.coarse(second)[..., 128:192, 128:192]

    def repeats(maps, pixels):
        return float((maps[..., pixels:] - maps[..., :-pixels]).abs().max()) < 1e-9

    assert repeats(coarse_of(1), 32)
    assert not repeats(coarse_of(1), 16)
    assert repeats(coarse_of(2), 16)
    assert not repeats(coarse_of(2), 8)
    assert repeats(coarse_of(4), 8)
    assert float((coarse_of(4).mean() - coarse_of(1).mean()).abs()) < 1e-9
    trained = make_generator(replace(SMALL, shifts=4)).train()
    torch.testing.assert_close(trained(*pair()), one.train()(*pair()))
    with pytest.raises(OptionError, match="expected 1 to 32, found 33"):
        ChenChuangArchitecture(shifts=33)


def test_untrained_it_gives_the_fusion_that_it_adds_to(tmp_path):
    network = Generator(replace(SMALL, **ADDED)).eval()
    path = tmp_path / "chen-chuang.safetensors"
    save_weights(network, path, WeightsInfo("chen-chuang"))
    light = make_radiance(200, 300, seed=2)
    frames = (Frame(expose(light, -2)), Frame(expose(light, 2)))
    fused = fuse(Stack(frames, reference=0), settings(path)).pixels
    images = [torch.from_numpy(frame.display()).permute(2, 0, 1)[None] for frame in frames]
    expected = fuse_locally(images)[0].permute(1, 2, 0).numpy()
    assert expected.std() > 0.1
    # Up to half a code of white and black. At the right and below the frames are mirrored at once,
    # and not level by level.
    np.testing.assert_allclose(
        fused[:128, :128], expected[:128, :128].clip(0, 1), atol=0.5 / 255 + 1e-5
    )
    with pytest.raises(OptionError, match="adds_to"):
        ChenChuangArchitecture(adds_to="mean")


def test_grey_photos_stay_grey_and_whole(tmp_path):
    path = tmp_path / "chen-chuang.safetensors"
    save_weights(Generator(replace(SMALL, **ADDED)), path, WeightsInfo("chen-chuang"))
    light = make_radiance(64, 96, seed=2).mean(axis=2, keepdims=True).repeat(3, axis=2)
    stack = make_stack(light, (-2, 0, 2))
    fused = fuse(stack, settings(path)).pixels
    assert np.ptp(fused, axis=2).max() < 1e-3
    tinted = [replace(f, pixels=f.pixels.copy()) for f in stack.frames]
    tinted[0].pixels[0, 0] = (9, 0, 0)  # so that saturation counts, and no pixel has any
    other = fuse(Stack(tuple(tinted), stack.reference), settings(path)).pixels
    assert np.abs(fused - other)[8:, 8:].max() > 0.02


def test_what_does_not_pass_the_gate_is_nowhere_in_the_picture():
    network = make_generator(replace(SMALL, **ADDED, gate=True))
    with torch.no_grad():
        network.gate.answer.conv.weight.zero_()
        network.gate.answer.conv.bias.copy_(torch.tensor([-100.0, 0, 0, 0]))
    network.gate.train()  # in noise nobody could tell what changed, and at use all would pass
    under, over = pair(seed=1)
    other = over.flip(2)
    with torch.no_grad():
        # Of the over-exposed frame its levels alone are known.
        torch.testing.assert_close(
            network(under, over).mean(), network(under, other).mean(), atol=0.02, rtol=0
        )
        looked = network.attend(under, over)
        assert float(looked.attention.max()) < 1e-10
        network.gate.answer.conv.bias.copy_(torch.tensor([100.0, 0, 0, 0]))
        open_wide = network(under, over)
        network.gate = None
        torch.testing.assert_close(open_wide, network(under, over))


def test_the_map_that_is_shown_is_that_of_attention_and_gate():
    network = make_generator(replace(SMALL, **ADDED, gate=True))
    seen = []
    network.attention.map.register_forward_hook(lambda module, inputs, output: seen.append(output))
    under, over = pair()
    with torch.no_grad():
        network(under, over)
        looked = network.attend(under, over)
    torch.testing.assert_close(seen[0], looked.attention)
    passes, _ = network.gate(under, over, chen_chuang.make_curves(chen_chuang.gather(under, over)))
    torch.testing.assert_close(looked.passes, passes)
    assert float(looked.attention.std()) > 1e-3
    with pytest.raises(OptionError, match="with attention"):
        make_generator(replace(SMALL, attention=False)).attend(under, over)


@pytest.mark.parametrize("changes", [{}, {**ADDED, "gate": True}])
def test_gradients_reach_every_parameter_and_both_frames(changes):
    network = make_generator(replace(SMALL, **changes)).train()
    under, over = pair().requires_grad_(True)
    network(under, over).mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_gradients_are_right():
    network = make_generator(ChenChuangArchitecture(channels=1))
    under, over = pair()
    probe = torch.zeros(2, dtype=torch.float64, requires_grad=True)

    def run(values):
        return network(under + values[0], over + values[1]).mean(dim=(2, 3))

    assert torch.autograd.gradcheck(run, probe)


# Fusing


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "chen-chuang.safetensors"
    save_weights(make_generator().float(), path, WeightsInfo("chen-chuang"))
    return path


def settings(weights, **options):
    return ChenChuangSettings(weights=weights, device="cpu", **options)


def by_hand(weights, dark, bright):
    network, _ = load_weights(chen_chuang.GENERATOR, weights)
    height, width = dark.shape[:2]

    def tensor(pixels):
        rows, columns = -height % 128, -width % 128
        padded = np.pad(pixels, ((0, rows), (0, columns), (0, 0)), mode="reflect")
        return torch.from_numpy(padded).permute(2, 0, 1)[None]

    with torch.no_grad():
        out = network(tensor(dark), tensor(bright))
    return out[0].permute(1, 2, 0).numpy()[:height, :width]


def test_the_method_does_what_its_network_says(weights):
    stack = make_stack(make_radiance(150, 97), (-2, 2))
    fused = fuse_stack(stack, "chen-chuang", settings(weights))
    dark, bright = (frame.display() for frame in stack.frames)
    np.testing.assert_allclose(fused.pixels, by_hand(weights, dark, bright), atol=1e-5)
    assert fused.space == "display"
    assert np.abs(by_hand(weights, bright, dark) - fused.pixels).max() > 1e-3


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (129, 3)])
def test_any_size(size, weights):
    pixels = np.ascontiguousarray(make_radiance(160, 16)[: size[0], : size[1]])
    fused = fuse(make_stack(pixels, (-1, 1)), settings(weights))
    assert fused.pixels.shape == (*size, 3)
    assert ((fused.pixels >= 0) & (fused.pixels <= 1)).all()


def test_more_frames_are_fused_in_mirrored_pairs(weights):
    stack = make_stack(make_radiance(40, 50), (-2, 0, 2))
    first, second, third = (frame.display() for frame in stack.frames)
    outer = by_hand(weights, first, third)
    outer = (np.rint(outer * 65535) / 65535).astype(np.float32)
    darker, brighter = sorted([outer, second], key=lambda pixels: float(pixels.mean()))
    fused = fuse(stack, settings(weights, order="mirrored"))
    np.testing.assert_allclose(fused.pixels, by_hand(weights, darker, brighter), atol=3e-5)
    outermost = fuse(stack, settings(weights))
    np.testing.assert_allclose(outermost.pixels, by_hand(weights, first, third), atol=1e-5)


def test_the_gate_judges_photos_and_no_results_on_the_way(tmp_path, monkeypatch):
    path = tmp_path / "chen-chuang.safetensors"
    network = make_generator(replace(SMALL, **ADDED, gate=True)).float()
    save_weights(network, path, WeightsInfo("chen-chuang"))
    judged = []
    judge = chen_chuang._judge_in_tiles

    def note(gate, *others):
        judged.append(gate is not None)
        return judge(gate, *others)

    monkeypatch.setattr(chen_chuang, "_judge_in_tiles", note)
    stack = make_stack(make_radiance(40, 50), (-2, -1, 0, 1, 2))
    fuse(stack, settings(path, order="mirrored"))
    # The outer two pairs, then their results, then the middle photo.
    assert judged == [True, True, False, False]


def test_bfloat16_stays_near_float32_and_its_output_is_fine(weights):
    stack = make_stack(make_radiance(64, 64), (-2, 2))
    exact = fuse(stack, settings(weights, precision="float32")).pixels
    coarse = fuse(stack, settings(weights, precision="bfloat16")).pixels
    assert 0 < np.abs(exact - coarse).max() < 0.02
    # Not on the grid of bfloat16, whose steps would show as bands.
    rounded = torch.from_numpy(coarse).bfloat16().float().numpy()
    assert (rounded != coarse).mean() > 0.9


def test_the_homography_network_registers_stacks_that_nobody_aligned(weights, monkeypatch):
    shift = np.array([[1.0, 0, 3], [0, 1, 0], [0, 0, 1]])
    asked = []

    def register(reference, frame, how):
        asked.append((reference, frame, how))
        return Registration("homography", shift)

    monkeypatch.setattr(homography_net, "register_by_network", register)
    light = make_radiance(40, 50)
    stack = make_stack([light, np.roll(light, 3, axis=1)], (-2, 2))
    dark, bright = (frame.display() for frame in stack.frames)
    np.testing.assert_allclose(
        fuse(stack, settings(weights, homography="off")).pixels,
        by_hand(weights, dark, bright),
        atol=1e-5,
    )
    assert asked == []
    fused = fuse(stack, settings(weights, homography="on", homography_weights="w"))
    (reference, frame, how), *_ = asked
    assert (reference, frame) == stack.frames
    assert how.weights == "w"
    moved = cv2.warpPerspective(
        bright, shift, (50, 40), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    np.testing.assert_allclose(fused.pixels, by_hand(weights, dark, moved), atol=1e-3)
    # "auto": not after an aligner was at work, and not without weights.
    asked.clear()
    fuse(stack, settings(weights))
    identity = Registration("identity", np.eye(3))
    aligned = replace(stack, registrations=(identity, identity))
    fuse(aligned, settings(weights, homography_weights="w"))
    assert asked == []
    fuse(stack, settings(weights, homography_weights="w"))
    assert len(asked) == 1


def test_unchecked_its_answer_is_taken_as_it_is(weights, monkeypatch):
    shift = np.array([[1, 0, 3], [0, 1, 0], [0, 0, 1]], np.float64)
    asked = []

    def answer(network, reference, frame, passes):
        asked.append(passes)
        return None if len(asked) > 1 else shift

    monkeypatch.setattr(homography_net, "load", lambda how: None)
    monkeypatch.setattr(homography_net, "answer_of", answer)
    stack = make_stack(make_radiance(40, 50), (-2, 0, 2))
    how = settings(weights, homography="on", homography_check=False, homography_passes=1)
    frames, notes = registered(stack, how)
    assert asked == [1] * (len(stack.frames) - 1)
    moved = stack.frames[1].pixels[:, 3:]
    np.testing.assert_array_equal(frames[1].pixels[:, :-3], moved)
    assert all("answer folds" in note for note in notes)
    assert len(notes) == len(stack.frames) - 2


def test_what_the_homography_network_declined_is_noted(weights, tmp_path):
    path = tmp_path / "homography.safetensors"
    torch.manual_seed(0)
    architecture = HOMOGRAPHY.architecture(base_channels=2, hidden=4)
    save_weights(HomographyNetwork(architecture), path, WeightsInfo(HOMOGRAPHY.name))
    stack = make_stack(make_radiance(40, 50), (-2, 2))
    fused = fuse(stack, settings(weights, homography_weights=str(path)))
    assert any("homography network not followed" in note for note in fused.notes)


def test_bad_input(weights, tmp_path):
    stack = make_stack(make_radiance(8, 8), (-1, 1))
    with pytest.raises(WeightsError, match="ghostless train chen-chuang"):
        fuse_stack(stack, "chen-chuang", settings(tmp_path / "none.safetensors"))
    with pytest.raises(OptionError, match="homography: expected one of"):
        settings(weights, homography="maybe")
    with pytest.raises(OptionError, match="order"):
        settings(weights, order="best")
    with pytest.raises(OptionError, match="channels"):
        ChenChuangArchitecture(channels=0)
    with pytest.raises(BracketError, match="expected 2 to"):
        fuse_stack(Stack(stack.frames[:1], 0), "chen-chuang", settings(weights))
    broken = np.full((8, 8, 3), np.nan, np.float32)
    with pytest.raises(BracketError, match="finite"):
        fuse(Stack((stack.frames[0], Frame(broken)), 0), settings(weights))

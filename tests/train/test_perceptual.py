"""Perceptual losses: VGG-19 and SqueezeNet as the paper's equation and their authors have them."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import save_file  # noqa: E402

from ghostless.errors import WeightsError  # noqa: E402
from ghostless.research.train import perceptual  # noqa: E402


@pytest.fixture(scope="module")
def vgg():
    torch.manual_seed(0)
    return perceptual.Vgg19()


def image(seed, size=16):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(1, 3, size, size, generator=generator)


def test_vgg_has_the_layers_of_configuration_e_up_to_conv5_2(vgg):
    layers = [layer for layer in vgg.features if isinstance(layer, torch.nn.Conv2d)]
    widths = [64] * 2 + [128] * 2 + [256] * 4 + [512] * 6
    assert [layer.out_channels for layer in layers] == widths
    # Positions of the first convolution of each group in torchvision's VGG-19.
    keys = {int(name.split(".")[1]) for name in vgg.state_dict()}
    assert {0, 5, 10, 19, 28} <= keys
    assert max(keys) == 30
    assert not any(parameter.requires_grad for parameter in vgg.parameters())


def test_vgg_gives_the_input_and_five_activations(vgg):
    x = image(0, 32)
    found = vgg(x)
    assert list(found) == ["input", *perceptual.PERCEPTUAL_LAYERS]
    torch.testing.assert_close(found["input"], x * 255)
    shapes = [tuple(found[name].shape[1:]) for name in perceptual.PERCEPTUAL_LAYERS]
    assert shapes == [(64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4), (512, 2, 2)]
    assert all((found[name] >= 0).all() for name in perceptual.PERCEPTUAL_LAYERS)


def test_vgg_sees_images_as_its_weights_expect():
    x = image(1)
    seen = {}
    for name, settings in {
        "caffe": perceptual.VggSettings(),
        "caffe bgr": perceptual.VggSettings(bgr=True),
        "torchvision": perceptual.VggSettings(scale="torchvision", pooling="max"),
    }.items():
        network = perceptual.Vgg19(settings)
        network.features[0].register_forward_hook(
            lambda _m, inputs, _o, name=name: seen.update({name: inputs[0]})
        )
        network(x)
    mean = torch.tensor([123.68, 116.779, 103.939]).view(1, 3, 1, 1)
    torch.testing.assert_close(seen["caffe"], x * 255 - mean, rtol=0, atol=1e-4)
    torch.testing.assert_close(seen["caffe bgr"], (x * 255 - mean).flip(1), rtol=0, atol=1e-4)
    mean, spread = (torch.tensor(v).view(1, 3, 1, 1) for v in (
        [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))  # fmt: skip
    torch.testing.assert_close(seen["torchvision"], (x - mean) / spread)
    kinds = {
        type(layer).__name__
        for settings in (perceptual.VggSettings(), perceptual.VggSettings(pooling="max"))
        for layer in perceptual.Vgg19(settings).features
    }
    assert {"AvgPool2d", "MaxPool2d"} <= kinds


def test_perceptual_loss_is_its_equation(vgg):
    fused, target = image(0), image(1)
    found, wanted = vgg(fused), vgg(target)
    weights = {"input": 1, "conv1_2": 1 / 2.6, "conv2_2": 1 / 4.8, "conv3_2": 1 / 3.7,
               "conv4_2": 1 / 5.6, "conv5_2": 1 / 0.15}  # fmt: skip
    expected = sum(w * (found[n] - wanted[n]).abs().mean() for n, w in weights.items())
    torch.testing.assert_close(perceptual.perceptual_loss(vgg, fused, target), expected)
    assert perceptual.perceptual_loss(vgg, fused, fused) == 0
    only_input = perceptual.perceptual_loss(vgg, fused, target, {"input": 1.0})
    torch.testing.assert_close(only_input, 255 * (fused - target).abs().mean())


def test_perceptual_gradients_reach_the_image(vgg):
    network = vgg.double()
    fused = image(0).double().requires_grad_(True)
    target = image(1).double()
    perceptual.perceptual_loss(network, fused, target).backward()
    step = torch.zeros_like(fused)
    step[0, 1, 5, 7] = 1e-6
    with torch.no_grad():
        up, down = (perceptual.perceptual_loss(network, fused + s, target) for s in (step, -step))
    assert float(fused.grad[0, 1, 5, 7]) == pytest.approx(float(up - down) / 2e-6, rel=1e-3)
    vgg.float()


def test_measured_lambdas_give_every_layer_the_same_say(vgg):
    pairs = [(image(s), image(s + 10)) for s in range(2)]
    lambdas = perceptual.measure_lambdas(vgg, pairs)
    assert lambdas["input"] == 1
    says = {
        name: sum(float(perceptual.perceptual_loss(vgg, a, b, {name: weight})) for a, b in pairs)
        for name, weight in lambdas.items()
    }
    assert all(say == pytest.approx(says["input"], rel=1e-4) for say in says.values())
    with pytest.raises(ValueError, match="differ"):
        perceptual.measure_lambdas(vgg, [(image(0), image(0))])


def test_vgg_weights_come_from_safetensors_and_state_dicts(vgg, tmp_path):
    state = {**vgg.state_dict(), "classifier.0.weight": torch.zeros(2)}
    save_file(state, tmp_path / "vgg.safetensors")
    torch.save(state, tmp_path / "vgg.pth")
    x = image(3)
    for name in ("vgg.safetensors", "vgg.pth"):
        found = perceptual.load_vgg19(tmp_path / name)
        torch.testing.assert_close(found(x)["conv5_2"], vgg(x)["conv5_2"])


class Malicious:
    def __reduce__(self):
        return (print, ("unpickled",))


@pytest.mark.parametrize("what", ["missing", "text", "pickle", "other", "shape"])
def test_bad_vgg_weights_get_one_line(what, tmp_path, capsys):
    path = tmp_path / "vgg.pth"
    if what == "text":
        path.write_text("nothing")
    elif what == "pickle":
        torch.save({"features.0.weight": Malicious()}, path)
    elif what == "other":
        torch.save({"layers.0.weight": torch.zeros(2)}, path)
    elif what == "shape":
        state = {name: torch.zeros(1) for name in perceptual.Vgg19().state_dict()}
        torch.save(state, path)
    with pytest.raises(WeightsError, match=r"vgg\.pth: expected the ImageNet weights") as caught:
        perceptual.load_vgg19(path)
    assert "\n" not in str(caught.value)
    assert "unpickled" not in capsys.readouterr().out


def test_squeezenet_gives_the_input_and_five_activations():
    torch.manual_seed(0)
    network = perceptual.SqueezeNet()
    assert sum(p.numel() for p in network.parameters()) == 735_424
    found = network(image(0, 64))
    assert list(found) == ["input", *perceptual.SQUEEZENET_LAYERS]
    shapes = [tuple(found[name].shape[1:]) for name in perceptual.SQUEEZENET_LAYERS]
    assert shapes == [(96, 29, 29), (128, 14, 14), (256, 7, 7), (384, 7, 7), (512, 3, 3)]
    assert all((found[name] >= 0).all() for name in perceptual.SQUEEZENET_LAYERS)


def test_squeezenets_file_fits_by_name(tmp_path):
    import numpy as np

    state = perceptual.SqueezeNet().state_dict()
    arrays = {name.removeprefix("fires."): value.numpy() for name, value in state.items()}
    np.savez(tmp_path / "features.npz", **arrays)
    found = perceptual.load_squeezenet(tmp_path / "features.npz").state_dict()
    assert all(torch.equal(found[name], state[name]) for name in state)
    del arrays["fire9_expand3x3.bias"]
    np.savez(tmp_path / "short.npz", **arrays)
    for name in ("short.npz", "none.npz"):
        with pytest.raises(WeightsError, match=r"expected the ImageNet weights of SqueezeNet"):
            perceptual.load_squeezenet(tmp_path / name)

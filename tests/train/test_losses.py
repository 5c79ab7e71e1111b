"""LSGAN, sphere GAN, mu-law and perceptual losses: against their equations and gradients."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import save_file  # noqa: E402

from ghostless.errors import WeightsError  # noqa: E402
from ghostless.research.train import losses  # noqa: E402


def scores(*shape, seed=0, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(*shape, generator=generator, dtype=torch.float64)


# LSGAN


def test_least_squares_losses_are_their_equations():
    real, fake = scores(2, 1, 3, 3), scores(2, 1, 3, 3, seed=1)
    expected = 0.5 * ((fake**2).mean() + ((real - 1) ** 2).mean())
    torch.testing.assert_close(losses.lsgan_discriminator_loss(real, fake), expected)
    torch.testing.assert_close(losses.lsgan_generator_loss(fake), ((fake - 1) ** 2).mean())
    ones, zeros = torch.ones(2, 1, 3, 3), torch.zeros(2, 1, 3, 3)
    assert losses.lsgan_discriminator_loss(ones, zeros) == 0
    assert losses.lsgan_generator_loss(ones) == 0


# Sphere GAN


@pytest.mark.parametrize("scale", [1e-3, 0.3, 1.0, 30.0])
def test_projected_scores_lie_on_the_unit_sphere(scale):
    points = losses.to_sphere(scores(4, 9, scale=scale))
    assert points.shape == (4, 10)
    torch.testing.assert_close(points.norm(dim=1), torch.ones(4, dtype=torch.float64))


def test_the_north_pole_is_infinity_and_the_south_pole_is_zero():
    far = losses.to_sphere(torch.full((1, 3), 1e9, dtype=torch.float64))
    torch.testing.assert_close(far[0, -1], torch.tensor(1.0, dtype=torch.float64))
    assert losses.to_sphere(torch.zeros(1, 3))[0].tolist() == [0, 0, 0, -1]
    assert float(losses.sphere_distance(torch.zeros(1, 3))) == pytest.approx(math.pi, abs=1e-5)


@pytest.mark.parametrize("scale", [0.01, 0.3, 1.0, 10.0])
def test_the_closed_form_is_the_arccosine_of_the_paper(scale):
    q = scores(5, 1, 3, 3, scale=scale)
    north = torch.zeros(10, dtype=torch.float64)
    north[-1] = 1
    expected = torch.arccos(losses.to_sphere(q.flatten(1)) @ north)
    # 1e-12 under the root moves only the shortest vectors.
    torch.testing.assert_close(losses.sphere_distance(q), expected, rtol=1e-9, atol=1e-9)


def test_equation_8_between_two_scores_is_the_angle_between_their_points():
    q, r = scores(5, 9), scores(5, 9, seed=1)
    a, b = (x.square().sum(1) for x in (q, r))
    cosine = (a * b - a - b + 4 * (q * r).sum(1) + 1) / ((a + 1) * (b + 1))
    points = (losses.to_sphere(x) for x in (q, r))
    torch.testing.assert_close(cosine, (next(points) * next(points)).sum(1))


def test_the_programs_reference_point_is_the_first_axis():
    q = scores(4, 9)
    expected = torch.arccos(2 * q[:, 0] / (q.square().sum(1) + 1))
    torch.testing.assert_close(losses.sphere_distance(q, ref_index=0), expected)
    assert (losses.sphere_distance(q, ref_index=0) - losses.sphere_distance(q)).abs().max() > 0.1
    last = losses.sphere_distance(q, ref_index=-1)
    torch.testing.assert_close(last, losses.sphere_distance(q))


def test_scores_may_be_divided_by_the_root_of_their_number():
    q = scores(2, 1, 8, 8)
    torch.testing.assert_close(
        losses.sphere_distance(q, by_root_count=True), losses.sphere_distance(q / 8)
    )


def test_sphere_losses_sum_over_outputs_and_moments():
    real, first, second = (scores(3, 1, 2, 2, seed=s) for s in range(3))

    def moments(q):
        d = losses.sphere_distance(q)
        return d.mean() + (d**2).mean() + (d**3).mean()

    expected = moments(first) + moments(second) - 2 * moments(real)
    torch.testing.assert_close(losses.sphere_discriminator_loss(real, [first, second]), expected)
    torch.testing.assert_close(
        losses.sphere_generator_loss([first, second]), -moments(first) - moments(second)
    )
    one = losses.sphere_generator_loss([first], ref_index=0)
    assert float(one) != pytest.approx(float(losses.sphere_generator_loss([first])))


def test_sphere_gradients():
    real, fake = (scores(2, 1, 2, 2, seed=s).requires_grad_(True) for s in range(2))
    assert torch.autograd.gradcheck(
        lambda r, f: losses.sphere_discriminator_loss(r, [f]), (real, fake)
    )
    assert torch.autograd.gradcheck(
        lambda f: losses.sphere_generator_loss([f], ref_index=0), (fake,)
    )


@pytest.mark.parametrize("ref_index", [None, 0])
@pytest.mark.parametrize("value", [0.0, 1e-9, 1e6])
def test_sphere_gradients_are_finite_at_the_poles(value, ref_index):
    fake = torch.full((1, 1, 2, 2), value, requires_grad=True)
    losses.sphere_generator_loss([fake], ref_index=ref_index).backward()
    assert torch.isfinite(fake.grad).all()


# Mu-law L1


def test_deep_supervision_sums_the_outputs():
    target, first, second = (scores(1, 3, 4, 4, seed=s) for s in range(3))
    expected = (first - target).abs().mean() + (second - target).abs().mean()
    torch.testing.assert_close(losses.deep_supervision_loss([first, second], target), expected)


# Perceptual loss


@pytest.fixture(scope="module")
def vgg():
    torch.manual_seed(0)
    return losses.Vgg19()


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
    assert list(found) == ["input", *losses.PERCEPTUAL_LAYERS]
    torch.testing.assert_close(found["input"], x * 255)
    shapes = [tuple(found[name].shape[1:]) for name in losses.PERCEPTUAL_LAYERS]
    assert shapes == [(64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4), (512, 2, 2)]
    assert all((found[name] >= 0).all() for name in losses.PERCEPTUAL_LAYERS)


def test_vgg_sees_images_as_its_weights_expect():
    x = image(1)
    seen = {}
    for name, settings in {
        "caffe": losses.VggSettings(),
        "caffe bgr": losses.VggSettings(bgr=True),
        "torchvision": losses.VggSettings(scale="torchvision", pooling="max"),
    }.items():
        network = losses.Vgg19(settings)
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
        for settings in (losses.VggSettings(), losses.VggSettings(pooling="max"))
        for layer in losses.Vgg19(settings).features
    }
    assert {"AvgPool2d", "MaxPool2d"} <= kinds


def test_perceptual_loss_is_its_equation(vgg):
    fused, target = image(0), image(1)
    found, wanted = vgg(fused), vgg(target)
    weights = {"input": 1, "conv1_2": 1 / 2.6, "conv2_2": 1 / 4.8, "conv3_2": 1 / 3.7,
               "conv4_2": 1 / 5.6, "conv5_2": 1 / 0.15}  # fmt: skip
    expected = sum(w * (found[n] - wanted[n]).abs().mean() for n, w in weights.items())
    torch.testing.assert_close(losses.perceptual_loss(vgg, fused, target), expected)
    assert losses.perceptual_loss(vgg, fused, fused) == 0
    only_input = losses.perceptual_loss(vgg, fused, target, {"input": 1.0})
    torch.testing.assert_close(only_input, 255 * (fused - target).abs().mean())


def test_perceptual_gradients_reach_the_image(vgg):
    network = vgg.double()
    fused = image(0).double().requires_grad_(True)
    target = image(1).double()
    losses.perceptual_loss(network, fused, target).backward()
    step = torch.zeros_like(fused)
    step[0, 1, 5, 7] = 1e-6
    with torch.no_grad():
        up, down = (losses.perceptual_loss(network, fused + s, target) for s in (step, -step))
    assert float(fused.grad[0, 1, 5, 7]) == pytest.approx(float(up - down) / 2e-6, rel=1e-3)
    vgg.float()


def test_measured_lambdas_give_every_layer_the_same_say(vgg):
    pairs = [(image(s), image(s + 10)) for s in range(2)]
    lambdas = losses.measure_lambdas(vgg, pairs)
    assert lambdas["input"] == 1
    says = {
        name: sum(float(losses.perceptual_loss(vgg, a, b, {name: weight})) for a, b in pairs)
        for name, weight in lambdas.items()
    }
    assert all(say == pytest.approx(says["input"], rel=1e-4) for say in says.values())
    with pytest.raises(ValueError, match="differ"):
        losses.measure_lambdas(vgg, [(image(0), image(0))])


def test_vgg_weights_come_from_safetensors_and_state_dicts(vgg, tmp_path):
    state = {**vgg.state_dict(), "classifier.0.weight": torch.zeros(2)}
    save_file(state, tmp_path / "vgg.safetensors")
    torch.save(state, tmp_path / "vgg.pth")
    x = image(3)
    for name in ("vgg.safetensors", "vgg.pth"):
        found = losses.load_vgg19(tmp_path / name)
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
        state = {name: torch.zeros(1) for name in losses.Vgg19().state_dict()}
        torch.save(state, path)
    with pytest.raises(WeightsError, match=r"vgg\.pth: expected the ImageNet weights") as caught:
        losses.load_vgg19(path)
    assert "\n" not in str(caught.value)
    assert "unpickled" not in capsys.readouterr().out

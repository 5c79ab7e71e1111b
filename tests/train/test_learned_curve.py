"""Learned fusion's last layers, fitted to pixels of brackets that are fused once."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from ghostless.nn import learned_fusion as network  # noqa: E402
from ghostless.research.train import learned_curve  # noqa: E402
from ghostless.research.train.samples import replace_parts  # noqa: E402


class Brackets:
    """Three photos of a ramp; the answer is a brighter fusion than there is."""

    def photos(self, batch: int, long_side: int, generator: Any) -> dict[str, Any]:
        light = torch.rand(batch, 1, 3, 6, 8, generator=generator)
        light = light.repeat_interleave(8, dim=-1).repeat_interleave(8, dim=-2)
        photos = (light * torch.tensor([0.3, 1.0, 3.0]).view(1, 3, 1, 1, 1)).clamp(0, 1)
        return {"photos": photos, "target": (0.3 + 0.7 * photos.mean(dim=1)).clamp(0, 1)}


@pytest.fixture(scope="module")
def fusions() -> learned_curve.Fusions:
    torch.manual_seed(0)
    net = network.LearnedFusionNetwork()
    made = torch.Generator().manual_seed(1)
    return learned_curve.fuse_brackets(net, Brackets(), 6, made)  # type: ignore[arg-type]


def test_what_is_fitted_is_what_the_network_gives() -> None:
    torch.manual_seed(3)
    net = network.LearnedFusionNetwork()
    for layer in (net.last, net.curve_of_more, net.gist_of_more):
        torch.nn.init.normal_(layer.weight, std=0.1)
    batch = Brackets().photos(1, 64, torch.Generator().manual_seed(2))
    fused = net(batch["photos"])[0]
    flat = learned_curve._fused(
        net, batch["photos"], batch["target"], torch.Generator().manual_seed(5)
    )
    place = torch.randint(48 * 64, (learned_curve.PIXELS,), generator=torch.manual_seed(5))
    one = learned_curve.Fusions(*(value[None] for value in flat))
    pixels, numbers, share = learned_curve.decided(net, one)
    torch.testing.assert_close(pixels[0, :, 0], fused.flatten(1)[:, place], atol=1e-4, rtol=0)
    assert share.item() == pytest.approx(1)
    assert numbers.shape == (1, 2)


def test_fitting_helps_and_changes_the_last_layers_alone(fusions: learned_curve.Fusions) -> None:
    torch.manual_seed(0)
    net = network.LearnedFusionNetwork()
    fitted = learned_curve.fit(net, fusions, rounds=24)
    assert learned_curve.loss_of(fitted, fusions) < 0.9 * learned_curve.loss_of(net, fusions)
    before = net.state_dict()
    for name, value in fitted.state_dict().items():
        if name.partition(".")[0] not in learned_curve.LAYERS:
            assert torch.equal(value, before[name])


def test_parts_of_all_photos_but_the_reference_are_replaced() -> None:
    photos = torch.zeros(2, 4, 3, 48, 64)
    made = torch.Generator().manual_seed(4)
    replaced = replace_parts(photos, torch.ones_like(photos), 1, made)
    assert torch.equal(replaced[:, 1], photos[:, 1])
    share = replaced[:, [0, 2, 3]].mean(dim=(2, 3, 4))
    assert ((share > 0.001) & (share < 0.6)).all()
    assert replaced.min() >= 0
    assert replaced.max() <= 1

"""The sRGB curve on tensors equals that of `ghostless.pixels.color`, and gradients pass it."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from ghostless.nn import srgb  # noqa: E402
from ghostless.pixels import color  # noqa: E402

# All of 0..1, and both sides of each place where line and power meet.
VALUES = np.concatenate(
    [
        np.linspace(0, 1, 4097, dtype=np.float32),
        np.float32([0.0031307, 0.0031308, 0.0031309, 0.04044, 0.04045, 0.04046]),
    ]
)


@pytest.mark.parametrize("name", ["srgb_to_linear", "linear_to_srgb"])
def test_both_directions_equal_those_of_color(name):
    found = getattr(srgb, name)(torch.from_numpy(VALUES).reshape(1, -1, 1)).flatten()
    np.testing.assert_allclose(found.numpy(), getattr(color, name)(VALUES), rtol=2e-6, atol=1e-7)


def test_light_outside_of_0_to_1_is_treated_alike():
    light = np.float32([-1.0, -0.001, 1.5, 20.0])
    found = srgb.linear_to_srgb(torch.from_numpy(light)).numpy()
    np.testing.assert_allclose(found, color.linear_to_srgb(light), rtol=2e-6)


@pytest.mark.parametrize("function", [srgb.srgb_to_linear, srgb.linear_to_srgb])
def test_gradients_are_finite_and_right_at_black(function):
    values = torch.tensor([0.0, 0.001, 0.5, 1.0], requires_grad=True)
    function(values).sum().backward()
    slope = 12.92 if function is srgb.linear_to_srgb else 1 / 12.92
    assert bool(torch.isfinite(values.grad).all())
    assert float(values.grad[1]) == pytest.approx(slope)

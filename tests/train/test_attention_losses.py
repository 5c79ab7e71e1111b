"""How attention is judged and taught: on maps that are known."""

from __future__ import annotations

import math

import pytest
import torch

from ghostless.nn.ycbcr import luma
from ghostless.research.train.attention_losses import (
    Suppression,
    attention_loss,
    filling_loss,
    joined,
    suppression,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def scene() -> tuple[torch.Tensor, torch.Tensor]:
    """Brightness and change: what changed is brighter than the rest, in the mean."""
    generator = torch.Generator().manual_seed(0)
    brightness = torch.rand(1, 1, 64, 64, generator=generator)
    change = torch.zeros_like(brightness)
    change[..., 16:40, 16:40] = 1
    brightness[..., 16:40, 16:40] = brightness[..., 16:40, 16:40].sqrt()
    return brightness, change


def test_attention_by_brightness_alone_suppresses_nothing() -> None:
    brightness, change = scene()
    # Less on white than on black: by its plain means it would seem to know what changed.
    by_brightness = 1 - 0.7 * (brightness * 16).floor() / 16
    plain = by_brightness[change == 1].mean() / by_brightness[change == 0].mean()
    assert float(plain) < 0.9
    assert suppression(by_brightness, brightness, change).ratio == pytest.approx(1)


@pytest.mark.parametrize("share", [0.0, 1 / 3, 0.8])
def test_attention_that_knows_is_told_by_how_much(share: float) -> None:
    brightness, change = scene()
    by_brightness = 1 - 0.5 * (brightness * 16).floor() / 16
    knowing = by_brightness * (1 - change * (1 - share))
    found = suppression(knowing, brightness, change)
    assert found.ratio == pytest.approx(share)
    assert found.on_unchanged == pytest.approx(float(by_brightness[change == 1].mean()))
    assert found.pixels == 24 * 24


def test_levels_without_their_like_do_not_count() -> None:
    brightness, change = scene()
    brightness[change == 0] = brightness[change == 0] / 2
    attention = torch.where((change == 1) & (brightness < 0.5), 0.2, 0.8)
    found = suppression(attention, brightness, change)
    assert found.pixels == int(((change == 1) & (brightness < 0.5)).sum()) > 0
    assert found.ratio == pytest.approx(0.25)


def test_pairs_are_joined_by_their_pixels_and_nothing_changed_is_no_ratio() -> None:
    both = joined([Suppression(0.2, 0.8, 300), Suppression(0.6, 0.8, 100), Suppression(0, 0, 0)])
    assert both.ratio == pytest.approx(0.3 / 0.8)
    assert both.pixels == 400
    brightness, change = scene()
    assert math.isnan(suppression(brightness, brightness, change * 0).ratio)
    assert math.isnan(joined([]).ratio)


def test_the_loss_gains_by_what_changed_and_not_by_brightness() -> None:
    brightness, change = scene()
    over = brightness.expand(-1, 3, -1, -1)

    def loss(attention: torch.Tensor) -> float:
        return float(attention_loss(attention, over, change))

    halves = torch.full_like(change, 0.5)
    by_brightness = 0.75 - 0.5 * luma(over)
    knowing = 0.9 - 0.8 * change
    assert loss(knowing) < 0.5 * loss(halves)
    # Though what changed is brighter.
    assert loss(by_brightness) > loss(halves) - 0.005


def test_what_is_put_instead_counts_where_it_is_needed() -> None:
    still = torch.full((1, 3, 32, 32), 0.5)
    change = torch.zeros(1, 1, 32, 32)
    change[..., :4] = 1
    wrong_there, wrong_elsewhere = still.clone(), still.clone()
    wrong_there[..., :4] = 0.6
    wrong_elsewhere[..., 8:12] = 0.6
    there, elsewhere = (
        float(filling_loss(image, still, change)) for image in (wrong_there, wrong_elsewhere)
    )
    assert there > 10 * elsewhere > 0
    assert float(filling_loss(still, still, change)) == 0

"""The losses of PMGI, SDNet and U2Fusion against their formulas, and what they pull to."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from ghostless.research.train import luma_pairs, u2fusion
from ghostless.research.train.losses import ssim
from ghostless.research.train.luma_pairs import (
    information,
    information_scale,
    laplacian,
    picture_of,
    pmgi_loss,
    sdnet_squeeze_loss,
    u2fusion_loss,
)
from ghostless.research.train.u2fusion import U2FusionRecipe

from .stand_in import StandIn

pytestmark = pytest.mark.usefixtures("one_thread")


def planes(count: int, seed: int = 0, side: int = 24) -> tuple[Tensor, ...]:
    torch.manual_seed(seed)
    return tuple(torch.rand(count, 2, 1, side, side).unbind(0))


def by_hand(plane: Tensor) -> Tensor:
    """Four neighbours less four times the pixel, zeros beyond the border, in NumPy."""
    padded = np.pad(plane.numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)))
    around = padded[..., :-2, 1:-1] + padded[..., 2:, 1:-1]
    around += padded[..., 1:-1, :-2] + padded[..., 1:-1, 2:]
    return torch.from_numpy(around - 4 * padded[..., 1:-1, 1:-1])


def test_laplacian_is_that_of_four_neighbours() -> None:
    (plane,) = planes(1)
    torch.testing.assert_close(laplacian(plane), by_hand(plane), atol=1e-5, rtol=0)


def test_pmgi_loss_is_its_formula() -> None:
    fused, over, under = planes(3)
    f, o, u = (by_hand(plane) for plane in (fused, over, under))
    expected = 100 * (
        1.5 * ((fused - under).square().mean() + (fused - over).square().mean())
        + 16 * ((f - u).square().mean() + (f - o).square().mean())
    )
    torch.testing.assert_close(pmgi_loss(fused, over, under), expected)


def test_pmgi_pulls_to_the_mean_or_to_the_stronger_gradient() -> None:
    _, over, under = planes(3)
    flat = torch.zeros_like(under)
    for strongest, edges in ((False, over / 2), (True, over)):
        # Of gradients alone: all edges are those of one frame.
        losses = [
            pmgi_loss(image, over, flat, intensity_weight=0.0, strongest_gradient=strongest).item()
            for image in (edges, 0.8 * edges, 1.2 * edges)
        ]
        assert losses[0] == min(losses)
    assert pmgi_loss(over, over, over).item() == pytest.approx(0, abs=1e-9)


def test_sdnet_takes_the_gradient_of_the_frame_that_has_the_stronger() -> None:
    fused, over, under = planes(3)
    flat = torch.full_like(over, 0.5)
    # A flat frame has its gradient at the border alone, where zeros begin.
    inner = (..., slice(3, -3), slice(3, -3))
    assert float(laplacian(flat)[inner].abs().max()) < 1e-6
    total = sdnet_squeeze_loss(fused, over, under, gradient_weight=50.0)
    likeness = sdnet_squeeze_loss(fused, over, under, gradient_weight=0.0)
    expected = (fused - under).square().mean() + (fused - over).square().mean()
    torch.testing.assert_close(likeness, expected)
    f, o, u = (by_hand(plane) for plane in (fused, over, under))
    nearest = torch.minimum((f - o).square(), (f - u).square()).mean()
    farthest = torch.maximum((f - o).square(), (f - u).square()).mean()
    assert float(nearest) < float(total - likeness) / 50 < float(farthest)
    # With one frame alone the choice cannot matter.
    alone = sdnet_squeeze_loss(fused, over, over) - sdnet_squeeze_loss(
        fused, over, over, gradient_weight=0.0
    )
    torch.testing.assert_close(alone, 50 * (f - o).square().mean())


def test_a_sharper_frame_tells_more() -> None:
    (plane,) = planes(1, side=64)
    soft = torch.nn.functional.avg_pool2d(plane, 5, 1, 2, count_include_pad=False)
    assert bool((information(plane) > 2 * information(soft)).all())
    assert float(information(torch.full_like(plane, 0.3)).max()) < 1e-9
    torch.testing.assert_close(information(0.5 * plane), 0.25 * information(plane))


def test_the_scale_makes_the_preference_asked_for() -> None:
    torch.manual_seed(0)
    told = torch.rand(2, 501) * 0.02
    scale = information_scale(told[0] - told[1], 0.3)
    weights = torch.softmax(told / scale, dim=0)
    assert float((weights[0] - weights[1]).abs().median()) == pytest.approx(0.3, abs=1e-4)
    assert information_scale(torch.zeros(3)) > 0


def test_u2fusion_loss_is_its_formula() -> None:
    fused, over, under = planes(3, side=40)
    scale = 1e-3
    told = torch.stack([information(over), information(under)]) / scale
    first, second = torch.softmax(told, dim=0)
    mse = [(fused - source).square().flatten(1).mean(1) for source in (over, under)]
    expected = (first * (1 - ssim(over, fused)) + second * (1 - ssim(under, fused))).mean() + 20 * (
        first * mse[0] + second * mse[1]
    ).mean()
    torch.testing.assert_close(u2fusion_loss(fused, over, under, scale=scale), expected)


def test_u2fusion_shows_both_orders_and_finds_the_same_scale_again() -> None:
    recipe = U2FusionRecipe(batch=2, patch_pixels=32, preference_pairs=5)
    learners = [u2fusion._Learner(recipe) for _ in range(2)]
    lines = [learner.prepare(StandIn()) for learner in learners]
    assert learners[0].scale == learners[1].scale
    assert lines[0] == lines[1]
    brighter = set()
    for seed in range(8):
        batch = learners[0].draw(StandIn(), torch.Generator().manual_seed(seed), 0)
        brighter.add(bool(batch["over"].mean() > batch["under"].mean()))
    assert brighter == {True, False}


def test_pictures_are_stretched_one_by_one() -> None:
    (fused,) = planes(1)
    same = fused * torch.tensor([0.2, 0.5]).view(2, 1, 1, 1) + 0.3
    grey = torch.full((2, 3, 24, 24), 0.5)
    picture = picture_of(same, {"over": grey, "under": grey})
    torch.testing.assert_close(picture, picture_of(fused, {"over": grey, "under": grey}))
    for one in picture[:, 0]:
        # One in a hundred of 576 values at each end is clipped.
        assert 5 <= int((one < 1e-5).sum()) <= 6
        assert 5 <= int((one > 1 - 1e-5).sum()) <= 6
    flat = picture_of(torch.full_like(fused, 0.4), {"over": grey, "under": grey})
    assert bool(torch.isfinite(flat).all())
    assert luma_pairs.lumas_of({"over": grey, "under": grey * 0})[1].max() == 0

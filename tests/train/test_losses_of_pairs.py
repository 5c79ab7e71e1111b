"""Losses of MEF-GAN, LCNDR and DPGN: against their equations, by hand, and by their gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from ghostless.research.train import losses  # noqa: E402


def images(count, channels=3, size=(13, 12), dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    return list(torch.rand(count, 2, channels, *size, generator=generator, dtype=dtype))


def test_cross_entropy_is_that_of_the_probability_from_tanh():
    real, fake = torch.randn(2, 5, 1, dtype=torch.float64)
    p_real, p_fake = ((torch.tanh(z) + 1) / 2 for z in (real, fake))
    expected = -torch.log(p_real).mean() - torch.log(1 - p_fake).mean()
    found = losses.bce_discriminator_loss(real, fake, slope=losses.TANH_SLOPE)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        losses.bce_generator_loss(fake, slope=losses.TANH_SLOPE), -torch.log(p_fake).mean()
    )
    torch.testing.assert_close(
        losses.bce_generator_loss(fake, slope=losses.TANH_SLOPE, saturating=True),
        torch.log(1 - p_fake).mean(),
    )


def test_cross_entropy_stays_finite_where_tanh_saturates():
    sure = torch.tensor([[60.0]], requires_grad=True)
    loss = losses.bce_discriminator_loss(-sure, sure, slope=losses.TANH_SLOPE)
    assert loss.item() == pytest.approx(240)
    loss.backward()
    assert torch.isfinite(sure.grad).all()


def test_discriminator_is_rewarded_for_calling_fakes_fake():
    zero, one = torch.zeros(3, 1), torch.ones(3, 1)
    assert losses.bce_discriminator_loss(one, -one) < losses.bce_discriminator_loss(one, one)
    assert losses.bce_generator_loss(one) < losses.bce_generator_loss(zero)


def test_high_pass_by_hand():
    rgb = torch.zeros(1, 3, 5, 5, dtype=torch.float64)
    rgb[0, 1, 2, 2] = 1
    expected = torch.zeros(5, 5, dtype=torch.float64)
    expected[1:4, 1:4] = 0.587 / 8
    expected[2, 2] = -0.587
    torch.testing.assert_close(losses.high_pass(rgb)[0, 0], expected, atol=1e-7, rtol=0)


def test_content_loss_and_its_ablation():
    fused, target = images(2)
    square = (fused - target).square().mean()
    gradient = (losses.high_pass(fused) - losses.high_pass(target)).abs().mean()
    torch.testing.assert_close(losses.mef_gan_content_loss(fused, target), square + 0.6 * gradient)
    torch.testing.assert_close(
        losses.mef_gan_content_loss(fused, target, gradient_weight=0), square
    )


def test_ssim_equals_that_of_scikit_image():
    metrics = pytest.importorskip("skimage.metrics")
    first, second = images(2, channels=1, size=(40, 33))
    for item, found in enumerate(losses.ssim(first, second)):
        _, whole = metrics.structural_similarity(
            first[item, 0].numpy(),
            second[item, 0].numpy(),
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=1.0,
            full=True,
        )
        assert found.item() == pytest.approx(whole[5:-5, 5:-5].mean(), abs=1e-9)


def test_ssim_of_equal_and_of_constant_images():
    first, _ = images(2)
    torch.testing.assert_close(losses.ssim(first, first), torch.ones(2, dtype=torch.float64))
    dark, bright = torch.full_like(first, 0.2), torch.full_like(first, 0.6)
    expected = (2 * 0.12 + 1e-4) / (0.04 + 0.36 + 1e-4)
    assert losses.ssim(dark, bright)[0].item() == pytest.approx(expected)


def test_lcndr_loss_is_the_equations():
    fused, over, under = images(3, channels=1)
    similarity = (losses.ssim(over, fused) + losses.ssim(under, fused)).mean()
    squares = (fused - over).square().mean() + (fused - under).square().mean()
    expected = 0.3 * (1 - 0.5 * similarity) + 5 * squares
    torch.testing.assert_close(losses.lcndr_loss(fused, over, under), expected)


def test_printed_mse_nearly_vanishes():
    first, second = (torch.full((1, 1, 8, 6), v, dtype=torch.float64) for v in (0.2, 0.6))
    expected = math.sqrt(0.5 * 0.16) / 48
    assert losses.paper_mse(first, second).item() == pytest.approx(expected)
    large = losses.paper_mse(*images(2, channels=1, size=(256, 256)))
    assert large < 1e-5
    fused, over, under = images(3, channels=1)
    printed = losses.lcndr_loss(fused, over, under, mse_form="printed", ssim_weight=0)
    torch.testing.assert_close(
        printed, 5 * (losses.paper_mse(fused, over) + losses.paper_mse(fused, under))
    )


def test_the_squared_errors_pull_lcndr_to_the_mean_of_the_sources():
    _, over, under = images(3, channels=1)
    mean = (over + under) / 2

    def without_ssim(fused):
        return losses.lcndr_loss(fused, over, under, ssim_weight=0)

    assert without_ssim(mean) < without_ssim(over)
    assert without_ssim(mean) < without_ssim(mean + 0.01)


def test_supervised_loss_is_least_at_the_reference():
    target, other = images(2, channels=1)
    assert losses.supervised_luma_loss(target, target).item() == pytest.approx(0, abs=1e-12)
    assert losses.supervised_luma_loss(other, target) > 0.1


def test_multi_scale_loss_resizes_the_target_by_area():
    (target,) = images(1, size=(8, 12))
    sides = [target * 0, torch.zeros(2, 3, 4, 6, dtype=torch.float64)]
    blocks = target.reshape(2, 3, 4, 2, 6, 2).mean(dim=(3, 5))
    expected = 4 * (target.square().mean() + blocks.square().mean())
    torch.testing.assert_close(losses.multi_scale_loss(target, sides, target), expected)
    torch.testing.assert_close(
        losses.multi_scale_loss(target + 0.1, [], target), torch.tensor(0.04, dtype=torch.float64)
    )


@pytest.mark.parametrize(
    "loss",
    [
        lambda x, y: losses.bce_discriminator_loss(x, y, slope=2),
        lambda x, y: losses.bce_generator_loss(x + y, slope=2),
        lambda x, y: losses.bce_generator_loss(x + y, slope=2, saturating=True),
        lambda x, y: losses.ssim(x, y).sum(),
        lambda x, y: losses.lcndr_loss(x, y, y.flip(2)),
        lambda x, y: losses.lcndr_loss(x, y, y.flip(2), mse_form="printed"),
        lambda x, y: losses.multi_scale_loss(x, [torch.nn.functional.avg_pool2d(x, 2)], y),
    ],
)
def test_gradients(loss):
    first, second = (image[:1, :, :, :].requires_grad_() for image in images(2, 1, (12, 12)))
    # Random directions instead of every pixel: a minute less, and as sure to fail.
    assert torch.autograd.gradcheck(loss, (first, second), fast_mode=True)


@pytest.mark.parametrize("gradient_weight", [0.0, 0.6])
def test_gradients_of_the_content_loss(gradient_weight):
    first, second = (image[:1].requires_grad_() for image in images(2, 3, (5, 6)))
    assert torch.autograd.gradcheck(
        lambda x, y: losses.mef_gan_content_loss(x, y, gradient_weight=gradient_weight),
        (first, second),
    )


def test_ssim_loss_of_flat_images_has_finite_gradients():
    flat = torch.full((1, 1, 12, 12), 0.5, requires_grad=True)
    losses.lcndr_loss(flat, torch.zeros_like(flat), torch.ones_like(flat)).backward()
    assert np.isfinite(flat.grad.numpy()).all()


# Equations as they are printed, for experiments


def test_gradients_can_be_differences_of_neighbours():
    rgb = torch.zeros(1, 3, 4, 4, dtype=torch.float64)
    rgb[0, 1, 1, 2] = 1
    right, down = losses.first_differences(rgb)[0]
    assert right[1].tolist() == pytest.approx([0, 0.587, -0.587, 0], abs=1e-6)
    assert down[:, 2].tolist() == pytest.approx([0.587, -0.587, 0, 0], abs=1e-6)
    fused, target = images(2)
    gap = losses.first_differences(fused) - losses.first_differences(target)
    expected = (fused - target).square().mean() + 0.6 * gap.abs().sum(dim=1).mean()
    found = losses.mef_gan_content_loss(fused, target, gradient_form="differences")
    torch.testing.assert_close(found, expected)


def test_the_printed_sign_rewards_calling_fakes_real():
    one = torch.ones(3, 1)
    lured = losses.bce_discriminator_loss(one, one, printed=True)
    assert lured < losses.bce_discriminator_loss(one, -one, printed=True)


def test_the_printed_norm_is_the_root_of_each_images_error():
    fused, target = images(2, size=(8, 8))
    side = target[:, :, ::2, ::2]
    root = torch.stack(
        [
            4 * (image - wanted).square().flatten(1).mean(dim=1)
            for image, wanted in (
                (fused, target),
                (side, torch.nn.functional.adaptive_avg_pool2d(target, (4, 4))),
            )
        ]
    )
    found = losses.multi_scale_loss(fused, [side], target, form="norm")
    torch.testing.assert_close(found, root.sqrt().mean(dim=1).sum())
    plain = losses.multi_scale_loss(fused, [side], target)
    torch.testing.assert_close(plain, root.mean(dim=1).sum())

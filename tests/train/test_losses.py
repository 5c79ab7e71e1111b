"""LSGAN, sphere GAN and mu-law losses: against their equations and gradients."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

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

"""The losses of the five papers, as functions of tensors; a section for each family.

Images are (B, C, H, W); each function says in which range. Every loss is a mean over what it sums,
so that its weight does not depend on batch or size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ...pixels.color import LUMA_601
from ..metrics import tensor as metrics

# ---------------------------------------------------------------------------------------------
# LSGAN (Mao et al., ICCV 2017): Chen & Chuang, equations 2 and 3
# ---------------------------------------------------------------------------------------------


def lsgan_discriminator_loss(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """Half the mean squared distance of real scores from 1 and of fake ones from 0 (equation 2)."""
    return 0.5 * (fake_scores.square().mean() + (real_scores - 1).square().mean())


def lsgan_generator_loss(fake_scores: Tensor) -> Tensor:
    """Mean squared distance of fake scores from 1 (equation 3)."""
    return (fake_scores - 1).square().mean()


# ---------------------------------------------------------------------------------------------
# Sphere GAN (Park, Kwon, CVPR 2019): HDR-GAN, equations 7 to 9
# ---------------------------------------------------------------------------------------------

SPHERE_MOMENTS = 3


def to_sphere(scores: Tensor) -> Tensor:
    """Project score vectors (B, n) onto the unit sphere (B, n + 1), equation 7.

    Inverse stereographic projection; the last coordinate points to the north pole, which is the
    image of the point at infinity.
    """
    square = scores.square().sum(dim=1, keepdim=True)
    return torch.cat([2 * scores, square - 1], dim=1) / (square + 1)


def sphere_distance(
    scores: Tensor, *, ref_index: int | None = None, by_root_count: bool = False
) -> Tensor:
    """Geodesic distance (B,) of projected scores (B, ...) from the north pole, equation 8.

    In closed form 2 atan2(1, |q|), for the distance depends on the length of q alone; the
    arccosine of the equation has infinite slopes where the two points meet.

    ref_index: None for the north pole, as in the paper. A number measures from that coordinate's
        axis instead; the authors' program has 0, which leaves all scores but the first without
        influence except through the length. For experiments only.
    by_root_count: divide the scores by sqrt(n) first, so that gradients do not vanish with the
        size of the image. Not in the paper.
    """
    flat = scores.flatten(1)
    if by_root_count:
        flat = flat / flat.shape[1] ** 0.5
    if ref_index is None:
        length = torch.sqrt(flat.square().sum(dim=1) + 1e-12)
        return 2 * torch.atan2(torch.ones_like(length), length)
    # Away from the slopes of the arccosine at -1 and 1.
    cosine = to_sphere(flat)[:, ref_index].clamp(-1 + 1e-6, 1 - 1e-6)
    return torch.arccos(cosine)


def _sphere_moments(scores: Tensor, ref_index: int | None, by_root_count: bool) -> Tensor:
    distance = sphere_distance(scores, ref_index=ref_index, by_root_count=by_root_count)
    return torch.stack([distance.pow(r).mean() for r in range(1, SPHERE_MOMENTS + 1)]).sum()


def sphere_discriminator_loss(
    real_scores: Tensor,
    fake_scores: Sequence[Tensor],
    *,
    ref_index: int | None = None,
    by_root_count: bool = False,
) -> Tensor:
    """Sum over outputs and moments of mean distance of fakes less that of the real (equation 9).

    fake_scores: one tensor for each supervised output of the generator.
    """
    real = _sphere_moments(real_scores, ref_index, by_root_count)
    fakes = [_sphere_moments(scores, ref_index, by_root_count) for scores in fake_scores]
    return torch.stack([fake - real for fake in fakes]).sum()


def sphere_generator_loss(
    fake_scores: Sequence[Tensor], *, ref_index: int | None = None, by_root_count: bool = False
) -> Tensor:
    """Minus the sum over outputs and moments of the fakes' mean distance (equation 9)."""
    fakes = [_sphere_moments(scores, ref_index, by_root_count) for scores in fake_scores]
    return -torch.stack(fakes).sum()


# ---------------------------------------------------------------------------------------------
# Mu-law L1: HDR-GAN, equations 1 and 6
# ---------------------------------------------------------------------------------------------


def deep_supervision_loss(outputs: Sequence[Tensor], target: Tensor) -> Tensor:
    """Sum over outputs of the mean absolute difference to the target (equation 6).

    outputs, target: in the mu-law domain, -1..1. On 0..1 the loss is half as large, and its
        balance with the adversarial loss (1 to 1 in the paper) another one.
    """
    return torch.stack([F.l1_loss(output, target) for output in outputs]).sum()


# ---------------------------------------------------------------------------------------------
# GAN by cross-entropy (Goodfellow et al., 2014): MEF-GAN, equations 5 and 10; DPGN, equation 6
# ---------------------------------------------------------------------------------------------

# MEF-GAN's discriminator ends in a tanh whose logarithm the losses take: its published program
# makes a probability of it, p = (tanh(z) + 1) / 2, and that is sigmoid(2 z).
TANH_SLOPE = 2.0


def bce_discriminator_loss(
    real_scores: Tensor, fake_scores: Tensor, *, slope: float = 1.0, printed: bool = False
) -> Tensor:
    """Mean -log p(real) plus mean -log(1 - p(fake)), p = sigmoid(slope * score).

    MEF-GAN's equation 10 (slope = TANH_SLOPE) and DPGN's equation 6 (slope 1), whose second term
    is printed with the wrong sign, which rewards a discriminator for calling fakes real.

    printed: with that sign. For experiments.
    """
    fake = F.softplus(slope * fake_scores).mean()
    return F.softplus(-slope * real_scores).mean() + (-fake if printed else fake)


def bce_generator_loss(
    fake_scores: Tensor, *, slope: float = 1.0, saturating: bool = False
) -> Tensor:
    """Mean -log p(fake), p = sigmoid(slope * score), as the published programs have it.

    saturating: mean log(1 - p(fake)) instead (MEF-GAN's equation 5), whose gradient vanishes just
        where fakes are told easily.
    """
    if saturating:
        return -F.softplus(slope * fake_scores).mean()
    return F.softplus(-slope * fake_scores).mean()


# ---------------------------------------------------------------------------------------------
# Content loss of MEF-GAN, equations 7 to 9
# ---------------------------------------------------------------------------------------------


def high_pass(rgb: Tensor) -> Tensor:
    """Mean of the eight neighbours less the pixel, of the grey image: (B, 3, H, W) to (B, 1, H, W).

    The gradient of equation 8 as the published program takes it; zeros beyond the border.
    """
    red, green, blue = (float(weight) for weight in LUMA_601)
    grey = red * rgb[:, :1] + green * rgb[:, 1:2] + blue * rgb[:, 2:]
    kernel = grey.new_full((1, 1, 3, 3), 1 / 8)
    kernel[0, 0, 1, 1] = -1
    return F.conv2d(grey, kernel, padding=1)


def first_differences(rgb: Tensor) -> Tensor:
    """Differences to the right and below of the grey image: (B, 3, H, W) to (B, 2, H, W).

    The gradient of equation 8 as its name says; zero beyond the border.
    """
    red, green, blue = (float(weight) for weight in LUMA_601)
    grey = red * rgb[:, :1] + green * rgb[:, 1:2] + blue * rgb[:, 2:]
    right = F.pad(grey.diff(dim=3), (0, 1, 0, 0))
    return torch.cat([right, F.pad(grey.diff(dim=2), (0, 0, 0, 1))], dim=1)


def mef_gan_content_loss(
    fused: Tensor,
    target: Tensor,
    *,
    gradient_weight: float = 0.6,
    gradient_form: Literal["high-pass", "differences"] = "high-pass",
) -> Tensor:
    """Mean squared error plus the mean absolute difference of gradients (equation 9).

    fused, target: RGB 0..1. gradient_weight: xi; 0 leaves the gradient loss out (the paper's
        ablation). gradient_form: of equation 8, see `high_pass` and `first_differences`. In the
        generator's loss this one counts 500 times the adversarial one.
    """
    loss = F.mse_loss(fused, target)
    if not gradient_weight:
        return loss
    if gradient_form == "high-pass":
        return loss + gradient_weight * F.l1_loss(high_pass(fused), high_pass(target))
    unlike = (first_differences(fused) - first_differences(target)).abs().sum(dim=1).mean()
    return loss + gradient_weight * unlike


# ---------------------------------------------------------------------------------------------
# SSIM (Wang, Bovik, Sheikh, Simoncelli, IEEE TIP 2004), and the losses of LCNDR
# ---------------------------------------------------------------------------------------------


def ssim(first: Tensor, second: Tensor) -> Tensor:
    """Mean structural similarity (B,) of images (B, C, H, W), 0..1, sides of at least 11.

    Gaussian window of 11 x 11, sigma 1.5, where it lies within the image; constants of the paper.
    """
    return metrics.ssim(first, second, peak=1.0)


def paper_mse(first: Tensor, second: Tensor) -> Tensor:
    """LCNDR's equation 9 as printed: sqrt(sum of squares / (2 p)) / (C H W), mean over the batch.

    Some 1e-5 of what the name says, so that nothing but SSIM acts in equation 6. For experiments.
    """
    count = first[0].numel()
    pixels = first.shape[2] * first.shape[3]
    squares = (first - second).square().flatten(1).sum(dim=1)
    return torch.sqrt(squares / (2 * pixels) + 1e-12).mean() / count


def lcndr_loss(
    fused: Tensor,
    over: Tensor,
    under: Tensor,
    *,
    ssim_weight: float = 0.3,
    mse_weight: float = 5.0,
    mse_form: Literal["mean", "printed"] = "mean",
) -> Tensor:
    """Unsupervised loss of LCNDR (equations 6 and 7): likeness of the result to both sources.

    fused, over, under: luma (B, 1, H, W), 0..1. mse_form: "mean" squared error to each source,
        summed, or equation 9 as "printed". The mean is what the squared errors pull to: expect
        little contrast, and see `supervised_luma_loss`.
    """
    mse = F.mse_loss if mse_form == "mean" else paper_mse
    unlikeness = 0.5 * (1 - ssim(over, fused)).mean() + 0.5 * (1 - ssim(under, fused)).mean()
    return ssim_weight * unlikeness + mse_weight * (mse(fused, over) + mse(fused, under))


def supervised_luma_loss(fused: Tensor, target: Tensor, *, ssim_weight: float = 1.0) -> Tensor:
    """Mean absolute error to a reference's luma plus 1 - SSIM. Not in LCNDR's paper.

    fused, target: luma (B, 1, H, W), 0..1.
    """
    return F.l1_loss(fused, target) + ssim_weight * (1 - ssim(fused, target)).mean()


# ---------------------------------------------------------------------------------------------
# Multi-scale L2 loss of DPGN, equation 5
# ---------------------------------------------------------------------------------------------


def multi_scale_loss(
    final: Tensor,
    sides: Sequence[Tensor],
    target: Tensor,
    *,
    form: Literal["mean", "norm"] = "mean",
) -> Tensor:
    """Sum over the final and all side outputs of the mean squared error to the resized target.

    final, target: RGB 0..1, (B, 3, H, W); sides: likewise, smaller. The error counts on the scale
        -1..1, the authors', to which the weight of the adversarial loss is set. The equation
        writes a norm, the text calls it a mean squared error.
    form: "norm" takes the root of every image's mean squared error instead.
    """
    errors = []
    for output in (final, *sides):
        wanted = target
        if output is not final:
            wanted = F.adaptive_avg_pool2d(target, (output.shape[2], output.shape[3]))
        square = 4 * (output - wanted).square().flatten(1).mean(dim=1)
        errors.append((square if form == "mean" else (square + 1e-12).sqrt()).mean())
    return torch.stack(errors).sum()


# ---------------------------------------------------------------------------------------------
# MEF-SSIM as MEF-Net is trained on it: with luminance, and one frame chosen for each place
# ---------------------------------------------------------------------------------------------

_MEF_NET_WINDOW, _MEF_NET_SIGMA = 11, 11 / 6
_MEF_NET_CONSTANTS = (0.01**2, 0.03**2)
# Squared deviation, times two, of the bells that weigh luminances around mid-grey: 2 * 0.2^2.
_MEF_NET_MIDDLE = 0.08


def mef_net_score(lumas: Tensor, fused: Tensor) -> Tensor:
    """Likeness (B,) of a fused luma (B, 1, H, W) to a bracket's (B, K, 1, H, W), 0..1; 1 at best.

    The mean likeness of contrast and structure to the frame of most local contrast at each place,
    times that of luminance to `wanted_luminance`. Zeros beyond the border, as in the authors'
    program: not the metric, which has no luminance and blends structures.
    """
    first, second = _MEF_NET_CONSTANTS
    means = mean_around(lumas)
    variances = mean_around(lumas * lumas) - means.square()
    fused_mean = mean_around(fused)
    fused_variance = mean_around(fused * fused) - fused_mean.square()
    covariances = mean_around(lumas * fused[:, None]) - means * fused_mean[:, None]
    structures = (2 * covariances + second) / (variances + fused_variance[:, None] + second)
    chosen = variances.argmax(dim=1, keepdim=True)
    structure = structures.gather(1, chosen).flatten(1).mean(dim=1)
    wanted = wanted_luminance(lumas, means)
    luminance = (2 * wanted * fused_mean + first) / (wanted**2 + fused_mean**2 + first)
    return luminance.flatten(1).mean(dim=1) * structure


def mean_around(x: Tensor) -> Tensor:
    """Mean around each place: Gaussian window of 11 x 11, sigma 11/6, zeros beyond the border.

    (..., 1, H, W).
    """
    size = _MEF_NET_WINDOW
    places = torch.arange(size, device=x.device, dtype=x.dtype) - size // 2
    bell = torch.exp(-places.square() / (2 * _MEF_NET_SIGMA**2))
    bell = bell / bell.sum()
    along = F.conv2d(
        x.reshape(-1, 1, *x.shape[-2:]), bell.view(1, 1, -1, 1), padding=(size // 2, 0)
    )
    return F.conv2d(along, bell.view(1, 1, 1, -1), padding=(0, size // 2)).view(x.shape)


def wanted_luminance(lumas: Tensor, means: Tensor) -> Tensor:
    """Mean of the frames' local means, by how near mid-grey each is and its whole frame is.

    lumas, means: (B, K, 1, H, W), 0..1. Returns (B, 1, H, W).
    """
    whole = lumas.mean(dim=(-3, -2, -1), keepdim=True)
    away = (whole - 0.5).square() + (means - 0.5).square()
    weights = torch.exp(away / -_MEF_NET_MIDDLE)
    return (weights * means).sum(dim=1) / weights.sum(dim=1)


def luminance_loss(lumas: Tensor, fused: Tensor) -> Tensor:
    """Mean distance of a fused luma's local means from `wanted_luminance`. (B, K, 1, H, W)."""
    wanted = wanted_luminance(lumas, mean_around(lumas))
    return (mean_around(fused) - wanted).abs().mean()

"""MEFB's metrics of planes on tensors: gradients, information, similarity, perception.

Each does what its namesake in `..gradient`, `..information`, `..structure` or `..perception` does,
where its paper is named, for planes (B, C, H, W), values 0..255; every value is the mean over the
channels, (B,).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .._filters import require_size
from ..information import _pattern_information
from ..structure import _TINY
from .filters import (
    bell,
    entropy_bits,
    filter_in_frequency,
    histogram,
    joint_histogram,
    prewitt,
    radius_like,
    smooth_same,
    smooth_valid,
    sobel,
    stretch,
)

# ---- gradients and contrast ----


def average_gradient(fused: Tensor) -> Tensor:
    """Mean gradient magnitude over sqrt(2), levels per pixel. (B, C, H, W) to (B,)."""
    height, width = fused.shape[-2:]
    down = torch.gradient(fused, dim=-2)[0] if height > 1 else torch.zeros_like(fused)
    across = torch.gradient(fused, dim=-1)[0] if width > 1 else torch.zeros_like(fused)
    total = ((across.square() + down.square()) / 2).sqrt().sum(dim=(-2, -1))
    return (total / max((height - 1) * (width - 1), 1)).mean(dim=1)


def edge_intensity(fused: Tensor) -> Tensor:
    """Mean magnitude of the Sobel response, replicated border. (B, C, H, W) to (B,)."""
    return torch.hypot(*sobel(fused, repeat_border=True)).mean(dim=(1, 2, 3))


def spatial_frequency(fused: Tensor) -> Tensor:
    """Root of the mean squared differences along rows and columns. (B, C, H, W) to (B,)."""
    total = fused.diff(dim=-1).square().sum(dim=(-2, -1))
    total = total + fused.diff(dim=-2).square().sum(dim=(-2, -1))
    return (total / (fused.shape[-2] * fused.shape[-1])).sqrt().mean(dim=1)


def standard_deviation(fused: Tensor) -> Tensor:
    """Standard deviation of the levels (population). (B, C, H, W) to (B,)."""
    return fused.flatten(2).std(dim=2, correction=0).mean(dim=1)


def edge_preservation(first: Tensor, second: Tensor, fused: Tensor) -> Tensor:
    """Qabf: edge strength and orientation kept. (B, C, H, W) to (B,)."""
    strength_fused, angle_fused = _strength_and_angle(fused)
    weighted, total = torch.zeros_like(fused), fused.new_zeros(fused.shape[:2])
    for source in (first, second):
        strength, angle = _strength_and_angle(source)
        low, high = torch.minimum(strength, strength_fused), torch.maximum(strength, strength_fused)
        ratio = torch.where(low != high, low / torch.where(high > 0, high, 1), strength_fused)
        alignment = 1 - (angle - angle_fused).abs() / (math.pi / 2)
        kept = 0.9994 * torch.sigmoid(15 * (ratio - 0.5))
        kept = kept * 0.9879 * torch.sigmoid(22 * (alignment - 0.8))
        weighted = weighted + kept * strength
        total = total + strength.sum(dim=(-2, -1))
    kept_share = weighted.sum(dim=(-2, -1)) / torch.where(total > 0, total, 1)
    return torch.where(total > 0, kept_share, 1).mean(dim=1)


def _strength_and_angle(x: Tensor) -> tuple[Tensor, Tensor]:
    across, down = sobel(x)
    vertical = across == 0
    angle = torch.atan(-down / torch.where(vertical, 1, across))
    # The NumPy form takes convolutions, so both signs turn: the angle is the same.
    return torch.hypot(across, down), torch.where(vertical, math.pi / 2, angle)


# ---- information ----


def entropy(fused: Tensor) -> Tensor:
    """Shannon entropy of the levels, bits. (B, C, H, W) to (B,)."""
    return entropy_bits(histogram(fused)).mean(dim=1)


def cross_entropy(first: Tensor, second: Tensor, fused: Tensor) -> Tensor:
    """Mean relative entropy of the sources' levels to the fused image's, bits.

    (B, C, H, W) to (B,).
    """
    target = histogram(fused)
    total = fused.new_zeros(fused.shape[:2])
    for source in (histogram(first), histogram(second)):
        both = (source > 0) & (target > 0)
        ratio = torch.where(both, source, 1) / torch.where(both, target, 1)
        total = total + (torch.where(both, source, 0) * ratio.log2()).sum(dim=2)
    return total.mean(dim=1) / 2


def mutual_information(first: Tensor, second: Tensor) -> Tensor:
    """Mutual information of two planes' levels, bits (256 bins). (B, C, H, W) to (B,)."""
    return _mutual(first, second).mean(dim=1)


def _mutual(first: Tensor, second: Tensor) -> Tensor:
    joint = joint_histogram(first, second)
    return _marginal_entropies(joint) - entropy_bits(joint)


def _marginal_entropies(joint: Tensor) -> Tensor:
    return entropy_bits(joint.sum(dim=3)) + entropy_bits(joint.sum(dim=2))


def normalised_mutual_information(first: Tensor, second: Tensor, fused: Tensor) -> Tensor:
    """NMI of planes stretched to their own range. (B, C, H, W) to (B,)."""
    result = stretch(fused)
    total = fused.new_zeros(fused.shape[:2])
    for source in (stretch(first), stretch(second)):
        joint = joint_histogram(source, result)
        entropies = _marginal_entropies(joint)
        information = (entropies - entropy_bits(joint)) / torch.where(entropies > 0, entropies, 1)
        total = total + torch.where(entropies > 0, information, 0)
    return 2 * total.mean(dim=1)


def tsallis_information(
    first: Tensor, second: Tensor, fused: Tensor, order: float = 1.85
) -> Tensor:
    """TE, with the marginals swapped as MEFB has them. (B, C, H, W) to (B,)."""
    result = stretch(fused)
    total = fused.new_zeros(fused.shape[:2])
    for source in (stretch(first), stretch(second)):
        joint = joint_histogram(source, result)
        product = joint.sum(dim=2).unsqueeze(3) * joint.sum(dim=3).unsqueeze(2)
        present = product > 0
        ratio = joint.pow(order) / torch.where(present, product, 1).pow(order - 1)
        kept = torch.where(present, ratio, 0).sum(dim=(2, 3))
        total = total + (1 - kept) / (1 - order)
    return total.mean(dim=1)


def nonlinear_correlation_entropy(first: Tensor, second: Tensor, fused: Tensor) -> Tensor:
    """Qncie of planes stretched to their own range. (B, C, H, W) to (B,)."""
    planes = [stretch(first), stretch(second), stretch(fused)]
    matrix = torch.eye(3, dtype=fused.dtype, device=fused.device)
    matrix = matrix.expand(*fused.shape[:2], 3, 3).clone()
    for row, column in ((0, 1), (0, 2), (1, 2)):
        # In units of log2(256) bits.
        value = _mutual(planes[row], planes[column]) / 8
        matrix[..., row, column] = matrix[..., column, row] = value
    shares = torch.linalg.eigvalsh(matrix).clamp_min(0) / 3
    return (1 - entropy_bits(shares) / 8).mean(dim=1)


def benchmark_psnr(first: Tensor, second: Tensor, fused: Tensor) -> Tensor:
    """MEFB's PSNR, dB. (B, C, H, W) to (B,)."""
    pixels = fused.shape[-2] * fused.shape[-1]
    errors = [
        (source - fused).square().sum(dim=(-2, -1)).sqrt() / pixels for source in (first, second)
    ]
    return (20 * torch.log10(255 / (sum(errors, torch.zeros_like(errors[0])) / 2).sqrt())).mean(1)


def feature_mutual_information(first: Tensor, second: Tensor, fused: Tensor) -> Tensor:
    """FMI: mean mutual information of edge maps in 3 x 3 windows. (B, C, H, W) to (B,)."""
    require_size(tuple(fused.shape[-2:]), 3, "FMI")
    table = torch.from_numpy(_pattern_information().copy()).to(fused)
    codes = [_pattern_codes(_sobel_edges(plane)) for plane in (first, second, fused)]
    values = table[codes[0], codes[2]] + table[codes[1], codes[2]]
    return values.mean(dim=(1, 2, 3)) / 2


def _sobel_edges(x: Tensor) -> Tensor:
    across, down = ((response / 8).abs() for response in sobel(x, repeat_border=True))
    power = across.square() + down.square()
    cutoff = 4 * power.mean(dim=(-2, -1), keepdim=True)
    padded = F.pad(power, (1, 1, 1, 1))
    left, right = padded[..., 1:-1, :-2], padded[..., 1:-1, 2:]
    above, below = padded[..., :-2, 1:-1], padded[..., 2:, 1:-1]
    tolerance = 100 * torch.finfo(x.dtype).eps
    peak_across = (across >= down - tolerance) & (left <= power) & (power > right)
    peak_down = (down >= across - tolerance) & (above <= power) & (power > below)
    return (power > cutoff) & (peak_across | peak_down)


def _pattern_codes(edges: Tensor) -> Tensor:
    height, width = edges.shape[-2:]
    codes = edges.new_zeros(*edges.shape[:-2], height - 2, width - 2, dtype=torch.long)
    for bit in range(9):
        column, row = divmod(bit, 3)
        codes |= edges[..., row : row + height - 2, column : column + width - 2].long() << bit
    return codes


# ---- similarity ----


def piella_edge_similarity(first: Tensor, second: Tensor, fused: Tensor) -> Tensor:
    """Qw: Piella's weighted similarity on edge images. (B, C, H, W) to (B,)."""
    require_size(tuple(fused.shape[-2:]), 11, "Qw")
    a, b, f = (torch.hypot(*prewitt(plane)) for plane in (first, second, fused))
    _, variance_a, variance_b = _similarity(a, b)
    flat = (variance_a + variance_b == 0).to(a.dtype)
    variance_a, variance_b = variance_a + 0.5 * flat, variance_b + 0.5 * flat
    share = variance_a / (variance_a + variance_b)
    weight = torch.maximum(variance_a, variance_b)
    quality = share * _similarity(f, a)[0] + (1 - share) * _similarity(f, b)[0]
    return ((weight * quality).sum(dim=(-2, -1)) / weight.sum(dim=(-2, -1))).mean(dim=1)


def _similarity(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """SSIM map and both variances, where the window fits."""
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    planes = torch.stack([first, second, first * first, second * second, first * second])
    mean1, mean2, square1, square2, product = smooth_valid(planes, bell(first))
    variance1, variance2 = square1 - mean1 * mean1, square2 - mean2 * mean2
    above = (2 * mean1 * mean2 + c1) * (2 * (product - mean1 * mean2) + c2)
    below = (mean1 * mean1 + mean2 * mean2 + c1) * (variance1 + variance2 + c2)
    return above / below, variance1, variance2


def exact_window_similarities(
    first: Tensor, second: Tensor, fused: Tensor
) -> tuple[Tensor, Tensor]:
    """Qc_exact and Qy_exact of levels: similarity in 7 x 7 windows, weighted in two ways.

    (B, C, H, W) to twice (B,).
    """
    require_size(tuple(fused.shape[-2:]), 11, "Qc or Qy")
    planes = (first, second, fused)
    window = bell(fused, 7, 1.5)
    flat = [F.max_pool2d(p, 7, 1) == -F.max_pool2d(-p, 7, 1) for p in planes]
    means = [smooth_valid(plane, window) for plane in planes]

    def covariance(i: int, j: int) -> Tensor:
        product = smooth_valid(planes[i] * planes[j], window)
        return torch.where(flat[i] | flat[j], 0, product - means[i] * means[j])

    variances = [covariance(i, i) for i in range(3)]

    def similarity(i: int, j: int, shared: Tensor) -> Tensor:
        above = (2 * means[i] * means[j] + _TINY) * (2 * shared + _TINY)
        below = (means[i] ** 2 + means[j] ** 2 + _TINY) * (variances[i] + variances[j] + _TINY)
        return above / below

    shared_a, shared_b = covariance(0, 2), covariance(1, 2)
    similar_a, similar_b = similarity(0, 2, shared_a), similarity(1, 2, shared_b)
    share = shared_a / (shared_a + shared_b)
    quality = share * similar_a + (1 - share) * similar_b
    quality = torch.where(share < 0, 0, torch.where(share > 1, 1, quality))
    part = variances[0] / (variances[0] + variances[1])
    redundant = part * similar_a + (1 - part) * similar_b
    alike = similarity(0, 1, covariance(0, 1)) >= 0.75
    best = torch.maximum(similar_a, similar_b)
    other = torch.where(part.isnan(), part, torch.where(alike, redundant, best))
    return _mean_of_known(quality), _mean_of_known(other)


def _mean_of_known(values: Tensor) -> Tensor:
    means = values.nanmean(dim=(-2, -1))
    return torch.where(means.isnan(), 1, means).mean(dim=1)


# ---- perception ----


def chen_blum_quality(first: Tensor, second: Tensor, fused: Tensor) -> Tensor:
    """Qcb: contrast kept after contrast-sensitivity filtering. (B, C, H, W) to (B,)."""
    height, width = fused.shape[-2:]
    radius = radius_like(fused, height / 30, width / 30)
    response = torch.exp(-((radius / 15.3870) ** 2))
    response = response - 0.7622 * torch.exp(-((radius / 1.3456) ** 2))
    fine_window, coarse_window = (_unnormalised_gaussian(sigma, fused) for sigma in (2.0, 4.0))

    def masked_contrast(plane: Tensor) -> Tensor:
        seen = filter_in_frequency(stretch(plane), response)
        fine, coarse = smooth_same(seen, fine_window), smooth_same(seen, coarse_window)
        quotient = torch.where(coarse != 0, fine / torch.where(coarse != 0, coarse, 1), 1)
        contrast = (quotient - 1).abs()
        return contrast**3 / (contrast**2 + 1e-4)

    contrast_a, contrast_b, contrast_f = (masked_contrast(p) for p in (first, second, fused))
    kept_a = _smaller_over_larger(contrast_a, contrast_f)
    kept_b = _smaller_over_larger(contrast_b, contrast_f)
    power_a, power_b = contrast_a**2, contrast_b**2
    total = power_a + power_b
    share = torch.where(total > 0, power_a / torch.where(total > 0, total, 1), 0.5)
    return (share * kept_a + (1 - share) * kept_b).mean(dim=(1, 2, 3))


def _unnormalised_gaussian(sigma: float, like: Tensor) -> Tensor:
    x = torch.arange(-15, 16, dtype=like.dtype, device=like.device)
    return torch.exp(-(x**2) / (2 * sigma**2)) / (math.sqrt(2 * math.pi) * sigma)


def _smaller_over_larger(first: Tensor, second: Tensor) -> Tensor:
    low, high = torch.minimum(first, second), torch.maximum(first, second)
    return torch.where(high > 0, low / torch.where(high > 0, high, 1), 1)


def chen_varshney_quality(first: Tensor, second: Tensor, fused: Tensor) -> Tensor:
    """Qcv: visible difference to the sources, weighted by edges; lower is better.

    (B, C, H, W) to (B,).
    """
    a, b, f = (stretch(plane) for plane in (first, second, fused))
    height, width = f.shape[-2:]
    radius = radius_like(f, height / 8, width / 8)
    response = 2.6 * (0.0192 + 0.144 * radius) * torch.exp(-((0.144 * radius) ** 1.1))
    above = below = fused.new_zeros(fused.shape[:2])
    for source in (a, b):
        saliency = _block_sums(torch.hypot(*sobel(source)) ** 5)
        error = _block_sums(filter_in_frequency(source - f, response) ** 2) / 256
        above = above + (saliency * error).sum(dim=(-2, -1))
        below = below + saliency.sum(dim=(-2, -1))
    return torch.where(below > 0, above / torch.where(below > 0, below, 1), 0).mean(dim=1)


def _block_sums(x: Tensor, size: int = 16) -> Tensor:
    padded = F.pad(x, (0, -x.shape[-1] % size, 0, -x.shape[-2] % size))
    return size * size * F.avg_pool2d(padded, size)


def fusion_visual_information(first: Tensor, second: Tensor, fused: Tensor) -> Tensor:
    """VIF for fusion: information of the better-kept source, over four scales.

    (B, C, H, W) to (B,).
    """
    require_size(tuple(fused.shape[-2:]), 41, "VIF")
    kept_a, kept_b = _visual_information(first, fused), _visual_information(second, fused)
    score = fused.new_zeros(fused.shape[:2])
    for weight, (gain_a, with_a, without_a), (gain_b, with_b, without_b) in zip(
        (1 / 2.15, 0, 0.15 / 2.15, 1 / 2.15), kept_a, kept_b, strict=True
    ):
        from_a = gain_a < gain_b
        kept = torch.where(from_a, with_a, with_b) + 1e-7
        wanted = torch.where(from_a, without_a, without_b) + 1e-7
        score = score + weight * kept.sum(dim=(-2, -1)) / wanted.sum(dim=(-2, -1))
    return score.mean(dim=1)


def _visual_information(ref: Tensor, dist: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Gain, information with and without distortion, for each scale."""
    noise = 0.005 * 255 * 255
    result = []
    for scale in range(4):
        size = 2 ** (4 - scale) + 1
        window = bell(ref, size, size / 5)
        if scale:
            ref = smooth_valid(ref, window)[..., ::2, ::2]
            dist = smooth_valid(dist, window)[..., ::2, ::2]
        mean_r, mean_d = smooth_valid(ref, window), smooth_valid(dist, window)
        variance_r = (smooth_valid(ref * ref, window) - mean_r**2).clamp_min(0)
        variance_d = (smooth_valid(dist * dist, window) - mean_d**2).clamp_min(0)
        covariance = smooth_valid(ref * dist, window) - mean_r * mean_d
        flat_r, flat_d = variance_r < 1e-10, variance_d < 1e-10
        gain = covariance / (variance_r + 1e-10)
        residual = variance_d - gain * covariance
        residual = torch.where(flat_r, variance_d, residual)
        gain = torch.where(flat_r | flat_d, 0, gain)
        residual = torch.where(flat_d, 0, residual)
        variance_r = torch.where(flat_r, 0, variance_r)
        inverted = gain < 0
        residual = torch.where(inverted, variance_d, residual).clamp_min(1e-10)
        gain = gain.clamp_min(0)
        kept = torch.log10(1 + gain**2 * variance_r / (residual + noise))
        wanted = torch.log10(1 + variance_r / noise)
        result.append((gain, kept, wanted))
    return result

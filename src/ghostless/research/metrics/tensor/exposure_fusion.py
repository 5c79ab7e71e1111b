"""MEF-SSIM on tensors; see `..exposure_fusion` for what it is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from .._filters import require_size
from ..exposure_fusion import MEF_SSIM_WEIGHTS
from .filters import bell, box, halve, power_of_positive, smooth_valid

_WINDOW = 11
_CONSTANT = (0.03 * 255) ** 2
_LEAST_CONTRAST = 0.001
_LARGEST_POWER = 10.0


def mef_ssim(sources: Sequence[Tensor], fused: Tensor, scales: int = 3) -> Tensor:
    """MEF-SSIM (B,) of a fused grey plane to two or more sources; differentiable in the former.

    sources, fused: (B, 1, H, W), values 0..255. scales: 3 as in MEFB, or 1 for the finest only
    (sides of at least 44 or 11 pixels).
    """
    names = ("MEF_SSIM1", "") if scales == 1 else ("MEF_SSIM", "MEF_SSIM1")
    require_size(tuple(fused.shape[-2:]), _WINDOW * 2 ** (scales - 1), *names)
    planes = list(sources)
    if scales == 1:
        return mef_ssim_map(planes, fused).flatten(1).mean(dim=1)
    weights = [weight / sum(MEF_SSIM_WEIGHTS[:scales]) for weight in MEF_SSIM_WEIGHTS[:scales]]
    score = fused.new_ones(len(fused))
    for scale, weight in enumerate(weights):
        if scale:
            planes, fused = [halve(plane) for plane in planes], halve(fused)
        quality = mef_ssim_map(planes, fused).flatten(1).mean(dim=1)
        score = score * power_of_positive(quality, weight)
    return score


def mef_ssim_map(sources: Sequence[Tensor], fused: Tensor) -> Tensor:
    """Quality map (B, 1, H-10, W-10) of one scale: structure and contrast, no luminance."""
    # Only deviations from means count; small numbers leave float32 more of them.
    planes = [plane - plane.mean(dim=(-2, -1), keepdim=True) for plane in sources]
    fused = fused - fused.mean(dim=(-2, -1), keepdim=True)
    pairs = [(i, j) for i in range(len(planes)) for j in range(i, len(planes))]
    with torch.no_grad():
        scale, factors = _wanted_patch(planes, pairs)
    window = bell(fused)
    means = [smooth_valid(plane, window) for plane in planes]
    fused_mean = smooth_valid(fused, window)
    with_fused = torch.zeros_like(fused_mean)
    wanted = torch.zeros_like(fused_mean)
    for plane, mean, factor in zip(planes, means, factors, strict=True):
        with_fused = with_fused + factor * (smooth_valid(plane * fused, window) - mean * fused_mean)
    for i, j in pairs:
        covariance = smooth_valid(planes[i] * planes[j], window) - means[i] * means[j]
        wanted = wanted + (1 if i == j else 2) * factors[i] * factors[j] * covariance
    variance = smooth_valid(fused * fused, window) - fused_mean.square()
    above = 2 * scale * with_fused + _CONSTANT
    return above / (scale.square() * wanted + variance + _CONSTANT)


def _wanted_patch(
    planes: Sequence[Tensor], pairs: Sequence[tuple[int, int]]
) -> tuple[Tensor, list[Tensor]]:
    """Scale of the wanted patch, and the factors of the sources in it, (B, 1, H-10, W-10) each."""
    window = box(planes[0])
    means = [smooth_valid(plane, window) for plane in planes]
    moments = {
        (i, j): _WINDOW**2 * (smooth_valid(planes[i] * planes[j], window) - means[i] * means[j])
        for i, j in pairs
    }
    norms = [moments[i, i].clamp_min(0).sqrt() for i in range(len(planes))]
    contrasts = [norm + _LEAST_CONTRAST for norm in norms]
    largest = torch.stack(contrasts).amax(dim=0)
    power = _power(norms, moments)
    # As shares of the largest: powers of small contrasts leave the range of float32.
    weights = [(contrast / largest).pow(power) for contrast in contrasts]
    total = torch.stack(weights).sum(dim=0)
    factors = [w / total / c for w, c in zip(weights, contrasts, strict=True)]
    length = torch.zeros_like(total)
    for (i, j), moment in moments.items():
        length = length + (1 if i == j else 2) * factors[i] * factors[j] * moment
    length = length.clamp_min(0).sqrt()
    return torch.where(length > 0, largest / torch.where(length > 0, length, 1), 0), factors


def _power(norms: Sequence[Tensor], moments: Mapping[tuple[int, int], Tensor]) -> Tensor:
    """Exponent of the contrasts: the more consistent the sources' structures, the larger."""
    tiny = torch.finfo(norms[0].dtype).eps
    summed = torch.zeros_like(norms[0])
    for (i, j), moment in moments.items():
        summed = summed + (1 if i == j else 2) * moment
    consistency = (summed.clamp_min(0).sqrt() + tiny) / (torch.stack(list(norms)).sum(dim=0) + tiny)
    return torch.tan(math.pi / 2 * consistency.clamp(tiny, 1 - tiny)).clamp_max(_LARGEST_POWER)

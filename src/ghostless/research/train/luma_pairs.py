"""What the recipes of networks that fuse the luma of two frames share.

Sources of the losses: Zhang, Xu, Xiao, Guo, Ma: PMGI, AAAI 2020; Zhang, Ma: SDNet, IJCV 2021; Xu,
Ma, Jiang, Guo, Ling: U2Fusion, IEEE TPAMI 2022. None needs a reference.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ...nn.ycbcr import luma, with_fused_chroma
from .losses import ssim
from .recipe import Batch

# Of SDNet's decision which frame has the stronger gradient: one quarter of a 3 x 3 Gaussian.
_GAUSSIAN = ((0.0947, 0.1183, 0.0947), (0.1183, 0.1478, 0.1183), (0.0947, 0.1183, 0.0947))
_LAPLACIAN = ((0.0, 1.0, 0.0), (1.0, -4.0, 1.0), (0.0, 1.0, 0.0))
_RING = ((1 / 8, 1 / 8, 1 / 8), (1 / 8, -1.0, 1 / 8), (1 / 8, 1 / 8, 1 / 8))
_INFORMATION_SCALES = 5


def lumas_of(batch: Batch) -> tuple[Tensor, Tensor]:
    """Luma (B, 1, H, W), 0..1, of the bright and the dark frames of a batch."""
    return luma(batch["over"]), luma(batch["under"])


def stacked_lumas(batch: Batch) -> Tensor:
    """Luma of the dark and the bright frames of a batch as brackets of two: (B, 2, 1, H, W)."""
    over, under = lumas_of(batch)
    return torch.stack([under, over], dim=1)


def picture_of(fused: Tensor, batch: Batch) -> Tensor:
    """RGB (B, 3, H, W), 0..1, as the methods make it by default: stretched, chroma by rule.

    fused: luma (B, 1, H, W). Each picture is stretched from its first to its 99th percentile.
    """
    flat = fused.flatten(1)
    low, high = (flat.quantile(q, dim=1).view(-1, 1, 1, 1) for q in (0.01, 0.99))
    stretched = (fused - low) / (high - low).clamp_min(1e-6)
    return with_fused_chroma(stretched, [batch["over"], batch["under"]]).clamp(0, 1)


def laplacian(planes: Tensor) -> Tensor:
    """The four neighbours less four times the pixel, zeros beyond the border. (B, 1, H, W)."""
    return _filtered(planes, _LAPLACIAN)


def pmgi_loss(
    fused: Tensor,
    over: Tensor,
    under: Tensor,
    *,
    intensity_weight: float = 1.5,
    gradient_weight: float = 16.0,
    strongest_gradient: bool = False,
) -> Tensor:
    """PMGI's loss: likeness to both frames, and of the Laplacian to both of theirs; times 100.

    fused, over, under: luma (B, 1, H, W), -1..1. strongest_gradient: the Laplacian is to be like
        that of the frame which has the stronger one at each pixel, and not like both, whose mean
        halves every edge that one frame alone has. Not in the paper.
    """
    intensity = F.mse_loss(fused, under) + F.mse_loss(fused, over)
    found, dark, bright = (laplacian(planes) for planes in (fused, under, over))
    if strongest_gradient:
        gradient = 2 * F.mse_loss(found, torch.where(bright.abs() > dark.abs(), bright, dark))
    else:
        gradient = F.mse_loss(found, dark) + F.mse_loss(found, bright)
    return 100 * (intensity_weight * intensity + gradient_weight * gradient)


def sdnet_squeeze_loss(
    fused: Tensor, over: Tensor, under: Tensor, *, gradient_weight: float = 50.0
) -> Tensor:
    """SDNet's loss of the fused luma: likeness to both frames, and of the Laplacian to one's.

    fused, over, under: luma (B, 1, H, W), -1..1. Which frame's, is decided at each pixel by the
    stronger Laplacian of the smoothed frames; where they are equal, it is the dark one's.
    """
    smooth_over, smooth_under = (
        laplacian(_filtered(planes, _GAUSSIAN)).abs() for planes in (over, under)
    )
    target = torch.where(smooth_over > smooth_under, laplacian(over), laplacian(under))
    intensity = F.mse_loss(fused, under) + F.mse_loss(fused, over)
    return intensity + gradient_weight * F.mse_loss(laplacian(fused), target)


def information(planes: Tensor) -> Tensor:
    """How much luma (B, 1, H, W) tells: (B,), the mean energy of its fine detail over five scales.

    In the place of U2Fusion's measure, the same of the features of a VGG-16: no such network ships.
    Each scale averages 2 x 2 pixels of the one before; its detail is the mean of the eight
    neighbours less the pixel.
    """
    terms = []
    for scale in range(_INFORMATION_SCALES):
        if scale:
            planes = F.avg_pool2d(planes, 2)
        terms.append(_filtered(planes, _RING, border="reflect").square().flatten(1).mean(dim=1))
    return torch.stack(terms).mean(dim=0)


def information_scale(differences: Tensor, median_preference: float = 0.3) -> float:
    """The c of U2Fusion's softmax of g / c that makes of typical pairs a moderate preference.

    differences: of the information of the two frames of many pairs, (N,). median_preference: how
        far apart the two weights of the median pair are to be.
    """
    typical = float(differences.abs().median())
    return max(typical, 1e-8) / (2 * math.atanh(median_preference))


def u2fusion_loss(
    fused: Tensor, over: Tensor, under: Tensor, *, scale: float, mse_weight: float = 20.0
) -> Tensor:
    """U2Fusion's loss: 1 - SSIM and squared error to both frames, weighted by what they tell.

    fused, over, under: luma (B, 1, H, W), 0..1. scale: see `information_scale`.
    """
    told = torch.stack([information(over), information(under)]) / scale
    weights = torch.softmax(told, dim=0)
    terms = [
        weight * (1 - ssim(source, fused) + mse_weight * (source - fused).square().mean((1, 2, 3)))
        for weight, source in zip(weights, (over, under), strict=True)
    ]
    return torch.stack(terms).sum(dim=0).mean()


def _filtered(
    planes: Tensor, kernel: tuple[tuple[float, ...], ...], border: str = "constant"
) -> Tensor:
    padded = F.pad(planes, (1, 1, 1, 1), mode=border)
    return F.conv2d(padded, planes.new_tensor(kernel)[None, None])

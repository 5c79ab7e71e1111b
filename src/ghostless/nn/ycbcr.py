"""Luma and chroma for the networks: the torch twins of `ghostless.pixels.color`.

Tensors are (B, 3, H, W) or single planes (B, 1, H, W), display values 0..1, neutral chroma 0.5.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..pixels.color import NEUTRAL_CHROMA, RGB_FROM_YCBCR, YCBCR_FROM_RGB


def rgb_to_ycbcr(rgb: Tensor) -> Tensor:
    """Full-range YCbCr of RGB, both (B, 3, H, W), 0..1; grey has Cb = Cr = 0.5."""
    return _mix(rgb, torch.as_tensor(YCBCR_FROM_RGB)) + _offset(rgb)


def ycbcr_to_rgb(ycbcr: Tensor) -> Tensor:
    """RGB of full-range YCbCr, both (B, 3, H, W); not clipped to 0..1."""
    return _mix(ycbcr - _offset(ycbcr), torch.as_tensor(RGB_FROM_YCBCR))


def luma(rgb: Tensor) -> Tensor:
    """Luma (B, 1, H, W) of RGB (B, 3, H, W), weights 0.299, 0.587, 0.114."""
    return _mix(rgb, torch.as_tensor(YCBCR_FROM_RGB[:1]))


def fuse_chroma(chroma: Sequence[Tensor], neutral: float = NEUTRAL_CHROMA) -> Tensor:
    """Fuse the same chroma plane(s) of several images: the more colour, the more weight.
    (B, C, H, W) each.

    See `ghostless.pixels.color.fuse_chroma`; LCNDR eq. 10 per channel across the images.
    neutral: value that colour is measured from; the paper's tau is 128 / 255.
    """
    offsets = torch.stack([plane - neutral for plane in chroma])
    weights = offsets.abs()
    total = weights.sum(0)
    mean = (offsets * weights).sum(0) / torch.where(total > 0, total, 1)
    return mean + neutral


def with_fused_chroma(
    luma_plane: Tensor, images: Sequence[Tensor], neutral: float = NEUTRAL_CHROMA
) -> Tensor:
    """RGB (B, 3, H, W) of luma (B, 1, H, W) and the fused chroma of images (B, 3, H, W) each.

    Not clipped to 0..1. neutral: see `fuse_chroma`.
    """
    chroma = fuse_chroma([rgb_to_ycbcr(image)[:, 1:] for image in images], neutral)
    return ycbcr_to_rgb(torch.cat([luma_plane, chroma], dim=1))


def with_chroma_of(luma_plane: Tensor, rgb: Tensor) -> Tensor:
    """RGB (B, 3, H, W) with the luma of one image (B, 1, H, W) and the chroma of another."""
    return ycbcr_to_rgb(torch.cat([luma_plane, rgb_to_ycbcr(rgb)[:, 1:]], dim=1))


def _mix(planes: Tensor, matrix: Tensor) -> Tensor:
    # Products of matrices are what autocast computes in 16 bits; colours must not be.
    with torch.autocast(planes.device.type, enabled=False):
        return torch.einsum("oc,bchw->bohw", matrix.to(planes), planes)


def _offset(planes: Tensor) -> Tensor:
    return planes.new_tensor([0.0, NEUTRAL_CHROMA, NEUTRAL_CHROMA]).view(1, 3, 1, 1)

"""JPEG in torch: what compression does to pictures, for a batch at once."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ...pixels import color

# Quantisation tables of ITU-T T.81, annex K.1, luminance and chrominance, row by row.
_LUMINANCE_TABLE = (
    *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55),
    *(14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62),
    *(18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMINANCE_TABLE = (
    *(17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99),
    *(24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99),
    *(99,) * 32,
)
_BLOCK = 8


class JpegModel:
    """What JPEG compression does to pictures, for a batch at once; entropy coding loses nothing."""

    def __init__(self, device: torch.device | str = "cpu") -> None:
        n = torch.arange(_BLOCK, dtype=torch.float64)
        basis = torch.cos(math.pi * (2 * n[None, :] + 1) * n[:, None] / (2 * _BLOCK)) * 0.5
        basis[0] /= math.sqrt(2)
        tables = torch.tensor([_LUMINANCE_TABLE, _CHROMINANCE_TABLE], dtype=torch.float32)
        self._basis = basis.float().to(device)
        self._tables = tables.view(2, _BLOCK, _BLOCK).to(device)
        self._to_ycc = torch.tensor(color.YCBCR_FROM_RGB, dtype=torch.float32, device=device)
        self._to_rgb = torch.tensor(color.RGB_FROM_YCBCR, dtype=torch.float32, device=device)

    def compress(self, display: Tensor, quality: Tensor, half_chroma: Tensor) -> Tensor:
        """Frames (B, N, 3, H, W), 0..1, as they come back from JPEG files, rounded to 8 bits.

        quality: (B,) 1 to 100 of the IJG library, 0 leaves the bracket as it is.
        half_chroma: (B,) bool, whether Cb and Cr have half the width and height.
        """
        chosen = quality > 0
        frames = display[chosen]
        if frames.shape[0] == 0:
            return display
        count, height, width = frames.shape[1], *frames.shape[-2:]
        scaled = self._scaled_tables(quality[chosen]).repeat_interleave(count, dim=0)
        half = half_chroma[chosen].repeat_interleave(count).view(-1, 1, 1, 1)
        flat = frames.flatten(0, 1)
        padding = (0, -width % 16, 0, -height % 16)
        padded = F.pad(flat, padding, mode="replicate") * 255
        planes = torch.einsum("ij,bjhw->bihw", self._to_ycc, padded)
        luma = self._code(planes[:, :1] - 128, scaled[:, :1]) + 128
        chroma = planes[:, 1:]
        full = self._code(chroma, scaled[:, 1:])
        small = self._code(F.avg_pool2d(chroma, 2), scaled[:, 1:])
        enlarged = F.interpolate(small, scale_factor=2, mode="bilinear", align_corners=False)
        planes = torch.cat([luma, torch.where(half, enlarged, full)], dim=1)
        back = torch.einsum("ij,bjhw->bihw", self._to_rgb, planes).round_().clamp_(0, 255)
        result = display.clone()
        result[chosen] = back[..., :height, :width].reshape(frames.shape) / 255
        return result

    def _scaled_tables(self, quality: Tensor) -> Tensor:
        """Luminance and chrominance tables (B, 2, 8, 8) of qualities, as the IJG library scales."""
        quality = quality.float()
        scale = torch.where(quality < 50, (5000 / quality).floor(), 200 - 2 * quality)
        tables = (self._tables * scale.view(-1, 1, 1, 1) + 50).div_(100).floor_()
        return tables.clamp_(1, 255)

    def _code(self, planes: Tensor, tables: Tensor) -> Tensor:
        """Quantise planes (B, C, H, W) in 8 x 8 blocks of the cosine transform."""
        batch, channels, height, width = planes.shape
        blocks = planes.view(batch, channels, height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK)
        blocks = blocks.transpose(3, 4)
        steps = tables[:, :, None, None]
        basis = self._basis
        levels = (basis @ blocks @ basis.T / steps).round_() * steps
        back = basis.T @ levels @ basis
        return back.transpose(3, 4).reshape(batch, channels, height, width)

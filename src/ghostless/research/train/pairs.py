"""What the recipes of the networks for exposure pairs share: their scores and pictures."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ...nn.ycbcr import luma
from .losses import ssim
from .quality import mef_ssim, psnr
from .recipe import Batch, Table, Validation, mean_scores
from .samples import TrainingData, flip

PICTURES = 3


def draw_pairs(
    batch: int, patch_pixels: int
) -> Callable[[TrainingData, torch.Generator, int], Batch]:
    """Batches of pairs, mirrored and transposed at random."""

    def draw(data: TrainingData, generator: torch.Generator, step: int) -> Batch:
        return flip(data.pairs(batch, patch_pixels, generator), generator)

    return draw


def validate_pairs(
    fuse: Callable[[Table, Batch], Tensor],
) -> Callable[[Table, TrainingData], Validation]:
    """Scores of fused held-out pairs: "psnr" and "ssim" to the reference, "mef_ssim" to the pair.

    Pictures show the pair, the fused image and the reference side by side.
    """

    def validate(table: Table, data: TrainingData) -> Validation:
        scores, pictures = [], {}
        for number, batch in enumerate(data.held_out_pairs()):
            fused = fuse(table, batch).clamp(0, 1)
            under, over, target = batch["under"], batch["over"], batch["target"]
            scores.append(
                {
                    "psnr": psnr(fused, target),
                    "ssim": float(ssim(fused, target).mean()),
                    "mef_ssim": float(mef_ssim(luma(under), luma(over), luma(fused)).mean()),
                }
            )
            if number < PICTURES:
                pictures[f"scene {number}"] = torch.cat([under, over, fused, target], dim=3)[0]
        return Validation(mean_scores(scores), pictures)

    return validate

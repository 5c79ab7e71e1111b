"""A tiny source of training data: smooth random radiance, photographed by arithmetic alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ghostless.research.train.samples import Batch

CPU = torch.device("cpu")


def radiance(count: int, side: int, generator: torch.Generator) -> Tensor:
    """Log-smooth radiance (count, 3, side, side) with some seven stops, 1 the brightest or so."""
    coarse = torch.rand(count, 3, 9, 9, generator=generator)
    fine = torch.rand(count, 1, 33, 33, generator=generator)
    stops = 6 * F.interpolate(coarse, (side, side), mode="bilinear") - 6
    return torch.exp2(stops + 2 * F.interpolate(fine, (side, side), mode="bilinear") - 1)


def expose(light: Tensor, stops: float) -> Tensor:
    codes = (light * 2.0**stops).clamp(0, 1).pow(1 / 2.2)
    return (codes * 255).round() / 255


class StandIn:
    """Training data of a few lines."""

    description = "stand-in"
    device = CPU

    def pairs(self, batch: int, patch_pixels: int, generator: torch.Generator) -> Batch:
        light = radiance(batch, patch_pixels, generator)
        # Global tone mapping is a target that every network can learn.
        target = (light / (light + 0.18)).clamp(0, 1)
        return {"under": expose(light, 0), "over": expose(light, 4), "target": target}

    def exposures(self, batch: int, patch_pixels: int, generator: torch.Generator) -> Batch:
        pair = self.pairs(batch, patch_pixels, generator)
        return {name: pair[name] for name in ("under", "over")}

    def brackets(self, batch: int, patch_pixels: int, generator: torch.Generator) -> Batch:
        light = radiance(batch, patch_pixels, generator)
        frames = torch.stack([expose(light, stops) for stops in (0.0, 2.0, 4.0)], dim=1)
        return {
            "frames": frames,
            "light": frames.pow(2.2),
            "stops": torch.tensor([[0.0, 2.0, 4.0]]).expand(batch, 3),
            "radiance": light.clamp(0, 1),
        }

    def comparisons(self, batch: int, patch_pixels: int, generator: torch.Generator) -> Batch:
        light = radiance(batch, patch_pixels, generator)
        still, reference = expose(light, 2), expose(light, 0)
        frame = still.clone()
        place = slice(patch_pixels // 4, patch_pixels // 2)
        frame[..., place, place] = frame[..., place, place].flip(1) * 0.5
        return {"reference": reference, "frame": frame, "still": still}

    def moving_pairs(self, batch: int, patch_pixels: int, generator: torch.Generator) -> Batch:
        made = self.comparisons(batch, patch_pixels, generator)
        return {"under": made["reference"], "over": made["frame"], "still": made["still"]}

    def photos(self, batch: int, long_side: int, generator: torch.Generator) -> Batch:
        light = radiance(batch, long_side, generator)[..., : long_side // 4 * 3]
        photos = torch.stack([expose(light, stops) for stops in (0.0, 2.0, 4.0)], dim=1)
        return {"photos": photos, "target": (light / (light + 0.18)).clamp(0, 1)}

    def held_out_photos(self) -> Sequence[Batch]:
        return [self.photos(1, 128, torch.Generator().manual_seed(seed)) for seed in (7, 8)]

    def held_out_pairs(self) -> Sequence[Batch]:
        return [self.pairs(1, 128, torch.Generator().manual_seed(seed)) for seed in (7, 8)]

    def held_out_exposures(self, patch_pixels: int) -> Sequence[Batch]:
        return [
            self.exposures(1, patch_pixels, torch.Generator().manual_seed(seed)) for seed in (7, 8)
        ]

    def held_out_comparisons(self, patch_pixels: int) -> Sequence[Batch]:
        return [
            self.comparisons(1, patch_pixels, torch.Generator().manual_seed(seed))
            for seed in (7, 8)
        ]

    def held_out_moving_pairs(self, patch_pixels: int) -> Sequence[Batch]:
        return [self.moving_pairs(1, patch_pixels, torch.Generator().manual_seed(7))]

    def held_out_brackets(self) -> Sequence[Batch]:
        return [self.brackets(1, 64, torch.Generator().manual_seed(9))]

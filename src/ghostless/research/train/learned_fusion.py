"""Training the network that corrects exposure fusion's weights (nn/learned_fusion.py).

No paper; the preset "paper" does not exist. It learns from brackets of two to seven photos by the
simulated cameras, and from some photos of each as if the others had not been taken: to keep the
structure of all photos (MEF-SSIM, which judges without a truth), to come near the exposure fusion
of a dense bracket without noise between its ends, and not to crush, clip or turn round what a
photo shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ...nn.learned_fusion import NETWORK, LearnedFusionArchitecture, LearnedFusionNetwork
from ...pixels.color import LUMA_601
from ..metrics.exposure_fusion import MEF_SSIM_WEIGHTS
from ..metrics.tensor.exposure_fusion import mef_ssim, mef_ssim_map
from ..metrics.tensor.filters import halve
from ..metrics.tensor.truth import psnr, weighted_sum
from .losses import ssim
from .recipe import (
    Batch,
    Losses,
    Phase,
    Player,
    Recipe,
    Table,
    Validation,
    check_patch,
    mean_scores,
    schedule_of,
    switched,
)
from .samples import TrainingData

# A pixel is crushed that is darker than this where a photo shows more, and clipped likewise; in
# display values.
_CRUSHED, _SHOWN_DARK = 14 / 255, 24 / 255
_CLIPPED, _SHOWN_BRIGHT = 248 / 255, 235 / 255
# Scales at which gradients are compared, and how strong those of the photos must be.
_REVERSAL_SCALES = (4, 8, 16)
_CERTAIN_GRADIENT = 0.03
# Photos that MEF-SSIM looks at: its time grows with their square.
_MOST_JUDGED = 4
_PICTURES = 4


@dataclass(frozen=True)
class LearnedFusionRecipe(Recipe):
    """Numbers of a training of the weighing network.

    *_weight: of structure (MEF-SSIM; of two photos, and the less the more there are, since the
        dense fusion then shows better what to make of them), of the distance to the dense fusion
        and of its structure (SSIM), of crushed and clipped pixels, of gradients that are turned
        round, and of what leaves the range.
    """

    steps: int = 8000
    batch: int = 1
    patch_pixels: int = 384
    rate: float = 1e-3
    ema_decay: float = 0.998
    validate_every: int = 400
    structure_weight: float = 8.0
    distance_weight: float = 4.0
    likeness_weight: float = 2.0
    crushed_weight: float = 40.0
    clipped_weight: float = 20.0
    reversal_weight: float = 4.0
    range_weight: float = 4.0


PRESETS: Mapping[str, LearnedFusionRecipe] = {"default": LearnedFusionRecipe()}


class _Learner:
    """What the network learns from, and how it is judged."""

    def __init__(self, recipe: LearnedFusionRecipe) -> None:
        self.recipe = recipe

    def draw(self, data: TrainingData, generator: torch.Generator, step: int) -> Batch:
        batch = data.photos(self.recipe.batch, self.recipe.patch_pixels, generator)
        return {**batch, "kept": some_of(batch["photos"].shape[1], generator)}

    def losses(self, table: Table, batch: Batch) -> Losses:
        brackets = [batch]
        count, kept = batch["photos"].shape[1], batch["kept"]
        if len(kept) < count:
            # A bracket costs as much to make as to learn from: it is used twice, the second time
            # mirrored.
            fewer = {"photos": batch["photos"][:, kept], "target": batch["target"]}
            brackets.append({name: value.flip(-1) for name, value in fewer.items()})
        found = [
            self.terms(table.run("generator", bracket["photos"]), bracket) for bracket in brackets
        ]
        return {name: torch.stack([terms[name] for terms in found]).mean() for name in found[0]}

    def terms(self, fused: Tensor, batch: Batch) -> Losses:
        """Every loss of a fusion (B, 3, H, W), weighted."""
        recipe, photos, target = self.recipe, batch["photos"], batch["target"]
        inside = fused.clamp(0, 1)
        terms = {
            "structure": recipe.structure_weight
            * (2 / max(2, photos.shape[1]))
            * lost_structure(photos, fused),
            "distance": recipe.distance_weight * (fused - target).abs().mean(),
            "likeness": recipe.likeness_weight * (1 - ssim(halve(inside), halve(target)).mean()),
            "crushed": recipe.crushed_weight * crushed(photos, fused),
            "clipped": recipe.clipped_weight * clipped(photos, fused),
            "reversal": recipe.reversal_weight * reversal(photos, fused),
            "range": recipe.range_weight * (fused - inside).abs().mean(),
        }
        return {name: loss for name, loss in terms.items() if getattr(recipe, f"{name}_weight")}

    def validate(self, table: Table, data: TrainingData) -> Validation:
        scores, pictures = [], {}
        for number, batch in enumerate(data.held_out_photos()):
            fused = table.run("generator", batch["photos"])
            inside, target = fused.clamp(0, 1), batch["target"]
            terms = self.terms(fused, batch)
            scores.append(
                {
                    "loss": float(torch.stack(list(terms.values())).sum()),
                    "MEF-SSIM": float(_structure(batch["photos"], inside)),
                    "PSNR": float(psnr(255 * inside, 255 * target)),
                    "SSIM": float(ssim(inside, target)),
                    "crushed": 100 * float(_shares(batch["photos"], inside)),
                }
            )
            if number < _PICTURES:
                ends = batch["photos"][:, [0, -1]].unbind(1)
                pictures[f"scene {number}"] = torch.cat([*ends, inside, target], dim=3)[0]
        return Validation(mean_scores(scores), pictures)


def phases(recipe: LearnedFusionRecipe) -> tuple[Phase, ...]:
    """The one phase of this network."""
    architecture = switched(LearnedFusionArchitecture(), recipe)
    check_patch(recipe, 4, 128)
    own = _Learner(recipe)
    return (
        Phase(
            name="learned-fusion",
            steps=recipe.steps,
            players=(
                Player(
                    "generator",
                    lambda: LearnedFusionNetwork(architecture),
                    own.losses,
                    schedule_of(recipe, recipe.steps),
                    clip_gradients=0.1,
                ),
            ),
            draw=own.draw,
            validate=own.validate,
            best="loss",
            lower_is_better=True,
            export=NETWORK,
            known_failures="It mixes what the photos show: what none of them shows, it cannot give "
            "back.",
        ),
    )


def some_of(count: int, generator: torch.Generator) -> Tensor:
    """Numbers of some of as many photos: the first, the last, and each of the others or not."""
    kept = torch.rand(count, generator=generator, device=generator.device) < 0.5
    kept[0] = kept[-1] = True
    return kept.nonzero()[:, 0]


def lost_structure(photos: Tensor, fused: Tensor) -> Tensor:
    """1 - MEF-SSIM without its finest scale, which counts a fourteenth and costs three quarters."""
    planes = [halve(255 * luma(photos[:, index])) for index in _judged(photos.shape[1])]
    result = halve(255 * luma(fused))
    lost = result.new_zeros(())
    weights = MEF_SSIM_WEIGHTS[1:3]
    for scale, weight in enumerate(weights):
        if scale:
            planes, result = [halve(plane) for plane in planes], halve(result)
        lost = lost + weight / sum(weights) * (1 - mef_ssim_map(planes, result).mean())
    return lost


def _judged(count: int) -> list[int]:
    """Which of as many photos to judge by, the outermost among them."""
    if count <= _MOST_JUDGED:
        return list(range(count))
    return [round(i * (count - 1) / (_MOST_JUDGED - 1)) for i in range(_MOST_JUDGED)]


def _structure(photos: Tensor, fused: Tensor) -> Tensor:
    planes = [255 * luma(photos[:, index]) for index in _judged(photos.shape[1])]
    return mef_ssim(planes, 255 * luma(fused))


def luma(pictures: Tensor) -> Tensor:
    """Grey values (..., 1, H, W) of colours (..., 3, H, W), not rounded."""
    flat = pictures.flatten(0, -4) if pictures.ndim > 4 else pictures
    grey = weighted_sum(flat, LUMA_601.tolist())
    return grey.view(*pictures.shape[:-3], 1, *pictures.shape[-2:])


def crushed(photos: Tensor, fused: Tensor) -> Tensor:
    """How far a fusion is below what can be told from black, where a photo shows something."""
    shown = luma(photos).amax(dim=1) > _SHOWN_DARK
    return (F.relu(_CRUSHED - luma(fused)) * shown).mean()


def clipped(photos: Tensor, fused: Tensor) -> Tensor:
    """How far a fusion is above what can be told from white, where a photo shows something."""
    shown = photos.amax(dim=2, keepdim=True).amin(dim=1) < _SHOWN_BRIGHT
    return (F.relu(fused.amax(dim=1, keepdim=True) - _CLIPPED) * shown).mean()


def reversal(photos: Tensor, fused: Tensor) -> Tensor:
    """How much a fusion darkens where the scene, and so every photo, becomes brighter: halos."""
    scene, result = luma(photos).mean(dim=1), luma(fused)
    found = []
    for scale in _REVERSAL_SCALES:
        means = [F.avg_pool2d(plane, scale) for plane in (scene, result)]
        for dim in (-1, -2):
            told, made = (plane.diff(dim=dim) for plane in means)
            certain = told.abs() > _CERTAIN_GRADIENT
            found.append((F.relu(-made * told.sign()) * certain).mean())
    return torch.stack(found).mean()


def _shares(photos: Tensor, inside: Tensor) -> Tensor:
    """Share of the pixels that are 3 or less where a photo shows 20 or more, 0..1."""
    dark = luma(inside) * 255 <= 3
    return (dark & (luma(photos).amax(dim=1) * 255 >= 20)).float().mean()

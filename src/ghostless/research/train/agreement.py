"""Training the agreement network (nn/agreement.py), which tells what moved between two frames.

No paper; the preset "paper" does not exist. Pairs are photographed by the simulated cameras, most
of them of scenes in which nothing or little moves, laid on each other as an aligner leaves them.
Every frame is photographed twice with the same noise, as it is and as it would be had nothing
moved: what differs visibly between the two is what has to be found, no more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...deghost.evidence import evidence
from ...nn.agreement import NETWORK, AgreementArchitecture, AgreementNetwork
from .recipe import (
    Batch,
    Draws,
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
from .samples import TrainingData, changed, flip

_PICTURES = 3


@dataclass(frozen=True)
class AgreementRecipe(Recipe):
    """Numbers of a training of the agreement network.

    overlap_weight: of the loss by overlap, beside the cross entropy of each pixel.
    """

    draws: ClassVar[Draws] = "comparisons"

    steps: int = 12_000
    batch: int = 8
    patch_pixels: int = 192
    rate: float = 2e-3
    validate_every: int = 500
    overlap_weight: float = 0.25


PRESETS: Mapping[str, AgreementRecipe] = {"default": AgreementRecipe()}


class _Learner:
    """What the network learns from, and how it is judged."""

    def __init__(self, recipe: AgreementRecipe) -> None:
        self.recipe = recipe

    def draw(self, data: TrainingData, generator: torch.Generator, step: int) -> Batch:
        pairs = data.comparisons(self.recipe.batch, self.recipe.patch_pixels, generator)
        return judged(flip(pairs, generator))

    def losses(self, table: Table, batch: Batch) -> Losses:
        logits = table.run("generator", batch["evidence"])
        found, moved = logits.sigmoid(), batch["moved"]
        terms = {"entropy": F.binary_cross_entropy_with_logits(logits, moved)}
        if self.recipe.overlap_weight:
            both = (found * moved).sum()
            either = (found + moved - found * moved).sum()
            terms["overlap"] = self.recipe.overlap_weight * (1 - (both + 1) / (either + 1))
        return terms

    def validate(self, table: Table, data: TrainingData) -> Validation:
        scores, pictures = [], {}
        batches = [judged(pair) for pair in data.held_out_comparisons(self.recipe.patch_pixels)]
        for number, batch in enumerate(batches):
            logits = table.run("generator", batch["evidence"])
            scores.append(_score(logits, batch["moved"]))
            if number < _PICTURES:
                seen = batch["evidence"][:1]
                masks = [m[:1].expand(-1, 3, -1, -1) for m in (logits.sigmoid(), batch["moved"])]
                row = torch.cat([seen[:, :3], seen[:, 3:6], *masks], dim=3)
                pictures[f"scene {number}"] = row[0]
        means = mean_scores(scores)
        return Validation(
            {
                "iou": means["both"] / max(means["either"], 1e-9),
                "missed": 1 - means["both"] / max(means["moved"], 1e-9),
                "false": means["false"] / max(means["still"], 1e-9),
            },
            pictures,
        )


def phases(recipe: AgreementRecipe) -> tuple[Phase, ...]:
    """The one phase of this network."""
    architecture = switched(AgreementArchitecture(), recipe)
    check_patch(recipe, architecture.size_multiple, 64)
    own = _Learner(recipe)
    return (
        Phase(
            name="agreement",
            steps=recipe.steps,
            players=(
                Player(
                    "generator",
                    lambda: AgreementNetwork(architecture),
                    own.losses,
                    schedule_of(recipe, recipe.steps),
                    clip_gradients=1.0,
                ),
            ),
            draw=own.draw,
            validate=own.validate,
            best="iou",
            export=NETWORK,
            known_failures="What moves inside an area that is white or black in one of the frames "
            "cannot be told from the two frames; it is left as it is.",
        ),
    )


def judged(pairs: Batch) -> Batch:
    """Evidence (B, 18, H, W) and what moved (B, 1, H, W), 0..1, of pairs.

    pairs: "reference", "frame" and "still", (B, 3, H, W), 0..1.
    """
    seen = []
    for pair in zip(pairs["reference"], pairs["frame"], strict=True):
        reference, frame = (
            np.ascontiguousarray(picture.permute(1, 2, 0).cpu().numpy() * np.float32(255))
            for picture in pair
        )
        everywhere = np.ones(frame.shape[:2], np.bool_)
        seen.append(torch.from_numpy(evidence(reference, frame, everywhere)))
    device = pairs["frame"].device
    return {
        "evidence": torch.stack(seen).to(device),
        "moved": changed(pairs["frame"], pairs["still"]),
    }


def _score(logits: Tensor, target: Tensor) -> dict[str, float]:
    """Areas as shares: found and moved, either, moved, not moved, found of what did not move."""
    found, there = logits > 0, target > 0.5
    surely_still = target < 0.05
    pixels = {
        "both": found & there,
        "either": (found & ~(~there & ~surely_still)) | there,
        "moved": there,
        "still": surely_still,
        "false": found & surely_still,
    }
    return {name: float(chosen.float().mean()) for name, chosen in pixels.items()}

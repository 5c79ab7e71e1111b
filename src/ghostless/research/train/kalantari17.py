"""Training Kalantari & Ramamoorthi's network (methods/kalantari17.py), on brackets laid by flow.

The flow is found on whole views, as at inference; patches are cut from them, away from the borders
and mostly where the reference is dark or bright, for elsewhere it alone is the answer.
Preset "paper": squared differences in the mu-law domain, 20 patches of 40 pixels, two million
steps. The paper cuts each patch once and stores it; here patches are drawn.
Preset "default": 150 thousand steps and a cosine rate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...align.follow import follow
from ...bracket import Frame
from ...errors import OptionError
from ...methods.kalantari17 import HALO_PIXELS, NETWORK
from ...nn.three_frames import PAPER_GAMMA
from ...pixels import color
from .hdr_networks import HdrRecipe, phases_of
from .recipe import Batch, Phase
from .samples import TrainingData

# Patches cut from one view, and how many places are looked at for each of them.
_PATCHES_PER_VIEW = 10
_PLACES_PER_PATCH = 4
# Codes of the reference between which it alone tells what is there, and the share of a patch that
# must lie outside.
_TELLS = (0.2, 0.8)
_SHARE = 0.5


@dataclass(frozen=True)
class Kalantari17Recipe(HdrRecipe):
    """Numbers of the training.

    view_pixels: side of the views in which flow is found. border_pixels: no patch is cut so near to
    their borders, where the flow points out of the view.
    """

    batch: int = 20
    patch_pixels: int = 40
    view_pixels: int = 256
    border_pixels: int = 50

    def __post_init__(self) -> None:
        super().__post_init__()
        room = self.view_pixels - 2 * self.border_pixels
        if self.border_pixels < 0 or room < self.patch_pixels:
            raise OptionError(
                f"view_pixels: expected room for patches of {self.patch_pixels} pixels between "
                f"borders of {self.border_pixels}, found views of {self.view_pixels}"
            )


PRESETS: Mapping[str, Kalantari17Recipe] = {
    "paper": Kalantari17Recipe(
        preset="paper",
        steps=2_000_000,
        rate=1e-4,
        schedule="constant",
        ema_decay=0.0,
        loss="squared",
    ),
    "default": Kalantari17Recipe(steps=150_000, rate=1e-4, loss="squared"),
}


def phases(recipe: Kalantari17Recipe) -> tuple[Phase, ...]:
    """The one phase of this method."""

    def draw(data: TrainingData, generator: torch.Generator, step: int) -> Batch:
        views = -(-recipe.batch // _PATCHES_PER_VIEW)
        drawn = lay_by_flow(data.brackets(views, recipe.view_pixels, generator))
        return cut_patches(drawn, recipe, generator)

    return phases_of(
        recipe,
        NETWORK,
        least_patch=HALO_PIXELS + 1,
        draw=draw,
        lay=lay_by_flow,
        known_failures="What the optical flow does not follow, in clipped areas above all, shows.",
    )


def lay_by_flow(batch: Batch) -> Batch:
    """Lay the dark and the bright frame of brackets on the reference, as at inference."""
    laid = []
    for light, stops in zip(batch["light"].cpu().numpy(), batch["stops"].tolist(), strict=True):
        frames = [
            Frame(color.linear_to_srgb(image.transpose(1, 2, 0)), stops=stop)
            for image, stop in zip(light, stops, strict=True)
        ]
        followed = [follow(frames[1], frame) for frame in frames]
        found = [np.clip(frame.linear(), 0, 1).transpose(2, 0, 1) for frame in followed]
        laid.append(torch.from_numpy(np.stack(found)))
    return {**batch, "light": torch.stack(laid).to(batch["light"])}


def cut_patches(batch: Batch, recipe: Kalantari17Recipe, generator: torch.Generator) -> Batch:
    """Cut a batch of patches from laid brackets, where the reference tells little if there are."""
    views, side, border = len(batch["light"]), recipe.patch_pixels, recipe.border_pixels
    count = recipe.batch * _PLACES_PER_PATCH
    device = generator.device
    room = batch["radiance"].shape[-1] - 2 * border - side + 1
    corners = border + torch.randint(room, (count, 2), generator=generator, device=device)
    codes = batch["light"][:, 1].pow(1 / PAPER_GAMMA)
    telling = ((codes > _TELLS[0]) & (codes < _TELLS[1])).float()

    def cut(images: Tensor, number: int) -> Tensor:
        top, left = (int(corner) for corner in corners[number])
        return images[number % views, ..., top : top + side, left : left + side]

    shares = [float(cut(telling, number).mean()) for number in range(count)]
    # In the order in which they were drawn, those that tell enough by themselves last.
    chosen = sorted(range(count), key=lambda number: shares[number] > _SHARE)[: recipe.batch]
    views_of = torch.tensor([number % views for number in chosen], device=batch["stops"].device)
    patches = {
        name: torch.stack([cut(images, number) for number in chosen])
        for name, images in batch.items()
        if name != "stops"
    }
    return {**patches, "stops": batch["stops"][views_of]}

"""Learned fusion's last layers for more than two photos: the curve, and how far it corrects.

    python -m ghostless.research.train.learned_curve PACKED -o FILE --start FILE

These layers see a few dozen numbers of a bracket, and what they decide changes each pixel by
itself: so brackets are fused once, and some of their pixels are all that is learnt from. It takes
minutes where the recipe (`learned_fusion.py`) takes hours, and leaves what that taught as it is.
"""

from __future__ import annotations

import argparse
import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...nn.learned_bands import LOG_SCALE
from ...nn.learned_fusion import NETWORK, bend, blend, small_copies, tones
from ...nn.weights import load_weights, save_weights
from .learned_fusion import PRESETS, clipped, crushed, some_of
from .samples import TrainingData
from .sources import open_data

# Parts of the corrections that brackets are fused with; between these the fusion is interpolated.
SHARES = (0.0, 0.35, 0.7, 1.0)
LAYERS = ("gist_of_more", "curve_of_more", "share")
PIXELS, LONG_SIDE = 1000, 256
# What MEF-SSIM, which pixels by themselves do not tell, gains on held-out brackets by taking all of
# the corrections; and half of what it gains by a curve of -1 for its second number.
_GAIN_OF_SHARE, _GAIN_OF_CURVE = 0.015, 0.007
_TEST_SHARE = 0.2
_RATE, _DECAY, _BATCH = 3e-3, 0.1, 16
# How often is looked whether it is better than before, in rounds.
_LOOK_EVERY = 6


@dataclass(frozen=True)
class Fusions:
    """Brackets fused with parts of the corrections, B of them, and some pixels of each.

    counts: (B,) photos. common: (B, C), see `LearnedFusionNetwork.guide`. tones: (B, S, T) and
    pixels: (B, S, 3, P) for each of SHARES. targets: (B, 3, P). photos: (B, 2, 3, P): of all
    photos of a bracket, the darkest and the brightest value.
    """

    counts: Tensor
    common: Tensor
    tones: Tensor
    pixels: Tensor
    targets: Tensor
    photos: Tensor

    def some(self, which: Any) -> Fusions:
        return Fusions(*(getattr(self, name)[which] for name in self.__dataclass_fields__))


def fuse_brackets(
    network: Any, data: TrainingData, count: int, generator: torch.Generator
) -> Fusions:
    """Fuse `count` brackets by a network, and some photos of each; not two alone."""
    rows: list[tuple[Tensor, ...]] = []
    for _ in range(count):
        batch = data.photos(1, LONG_SIDE, generator)
        photos, target = batch["photos"], batch["target"]
        among = photos.shape[1]
        chosen = tuple(some_of(among, generator).tolist())
        for kept in sorted({tuple(range(among)), chosen}):
            if len(kept) <= 2:
                continue
            rows.append(_fused(network, photos[:, list(kept)], target, generator))
    return Fusions(*(torch.stack(values) for values in zip(*rows, strict=True)))


@torch.no_grad()
def _fused(
    network: Any, photos: Tensor, target: Tensor, generator: torch.Generator
) -> tuple[Tensor, ...]:
    maps, common = network.guide(small_copies(photos))
    fused = torch.cat([blend(photos, maps * share) for share in SHARES])
    place = torch.randint(target[0, 0].numel(), (PIXELS,), generator=generator)
    ends = torch.stack([photos[0].amin(dim=0), photos[0].amax(dim=0)])
    return (
        torch.tensor(float(photos.shape[1])),
        common[0],
        tones(fused),
        fused.flatten(2)[:, :, place],
        target[0].flatten(1)[:, place],
        ends.flatten(2)[:, :, place],
    )


def decided(network: Any, fusions: Fusions) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels (B, 3, 1, P) as the last layers have them, their curves (B, 2) and shares (B,)."""
    counts = (fusions.counts.log2() / LOG_SCALE)[:, None]
    share = 2 * torch.sigmoid(network.share(torch.cat([fusions.common, counts], dim=1)))[:, 0]
    known = torch.tensor(SHARES)
    within = share.clamp(0, 1)
    below = torch.bucketize(within.detach(), known[1:-1])
    part = (within - known[below]) / (known[below + 1] - known[below])
    rows = torch.arange(len(share))

    def between(values: Tensor) -> Tensor:
        weight = part.view(-1, *[1] * (values.ndim - 2))
        return values[rows, below] * (1 - weight) + values[rows, below + 1] * weight

    told = torch.cat([fusions.common, between(fusions.tones).detach(), counts], dim=1)
    numbers = network.curve_for_more(told)
    return bend(between(fusions.pixels)[:, :, None], numbers), numbers, share


def loss_of(network: Any, fusions: Fusions) -> Tensor:
    """What the recipe lowers, as far as pixels by themselves tell; of MEF-SSIM its slope."""
    recipe = PRESETS["default"]
    pixels, numbers, share = decided(network, fusions)
    photos = fusions.photos[:, :, :, None]
    structure = recipe.structure_weight * 2 / fusions.counts
    lost = _GAIN_OF_SHARE * (1 - share).abs() + _GAIN_OF_CURVE * numbers[:, 1]
    return (
        recipe.distance_weight * (pixels[:, :, 0] - fusions.targets).abs().mean()
        + recipe.crushed_weight * crushed(photos, pixels)
        + recipe.clipped_weight * clipped(photos, pixels)
        + (structure * lost).mean()
    )


def fit(
    network: Any, fusions: Fusions, rounds: int, say: Callable[[str], None] = lambda text: None
) -> Any:
    """The network with last layers that do better on the last fifth of the fusions."""
    network = copy.deepcopy(network).requires_grad_(False)
    for name in LAYERS:
        getattr(network, name).requires_grad_(True)
    count = len(fusions.counts)
    first = count - math.ceil(_TEST_SHARE * count)
    test = fusions.some(slice(first, None))
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(learning, lr=_RATE, weight_decay=_DECAY)
    with torch.no_grad():
        best, kept = float(loss_of(network, test)), copy.deepcopy(network.state_dict())
    say(f"before: {best:.4f}")
    for number in range(rounds):
        for group in optimiser.param_groups:
            group["lr"] = _RATE * (1 - number / rounds)
        for chosen in torch.split(torch.randperm(first), _BATCH):
            optimiser.zero_grad()
            loss_of(network, fusions.some(chosen)).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        if (number + 1) % _LOOK_EVERY == 0:
            with torch.no_grad():
                found = float(loss_of(network, test))
            say(f"round {number + 1}: {found:.4f}")
            if found < best:
                best, kept = found, copy.deepcopy(network.state_dict())
    network.load_state_dict(kept)
    return network


def main(words: Sequence[str] | None = None) -> None:
    made = argparse.ArgumentParser("ghostless.research.train.learned_curve")
    made.add_argument("data", type=Path, help="what 'ghostless data pack' wrote")
    made.add_argument("-o", "--out", type=Path, required=True, help="weights to write")
    made.add_argument("--start", type=Path, help="weights to start from; else those that ship")
    made.add_argument("--brackets", type=int, default=260)
    made.add_argument("--rounds", type=int, default=72)
    made.add_argument("--seed", type=int, default=77)
    asked = made.parse_args(words)
    torch.manual_seed(asked.seed)
    network, info = load_weights(NETWORK, asked.start)
    data = open_data(asked.data, torch.device("cpu"))
    generator = torch.Generator().manual_seed(asked.seed)
    fusions = fuse_brackets(network, data, asked.brackets, generator)
    fitted = fit(network, fusions, asked.rounds, print)
    last = {name: getattr(asked, name) for name in ("brackets", "rounds", "seed")}
    info = replace(info, recipe={**info.recipe, "last_layers": last})
    save_weights(fitted, asked.out, info, precision="bfloat16")


if __name__ == "__main__":
    main()

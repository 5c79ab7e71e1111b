"""Training SAFNet and SAFNet-S (methods/safnet.py), on moving brackets of three frames.

Its authors published weights but no training. Preset "paper": absolute differences in the mu-law
domain, of the result and, at a tenth, of the merge before its correction, on patches of 512 pixels;
the paper adds a census loss, which is not here, and decays the weights. Preset "default": smaller
patches and fewer steps, a tenth of which teaches flow where things move by up to 77 pixels.
`--set architecture.form=small` trains SAFNet-S.
"""

from __future__ import annotations

from collections.abc import Mapping

from ...methods.safnet import NETWORK
from .hdr_networks import HdrRecipe, phases_of
from .recipe import Phase

PRESETS: Mapping[str, HdrRecipe] = {
    "paper": HdrRecipe(
        preset="paper", steps=100_000, batch=4, patch_pixels=512, rate=2e-4, ema_decay=0.0
    ),
    "default": HdrRecipe(),
}


def phases(recipe: HdrRecipe) -> tuple[Phase, ...]:
    """The one phase of this method."""
    return phases_of(
        recipe,
        NETWORK,
        least_patch=64,
        multiple=32,
        known_failures="Motion beyond that of the training is not followed.",
    )

"""Training AHDRNet (methods/ahdrnet.py), on moving brackets of three frames.

Preset "paper", and "program", which has the same numbers: absolute differences in the mu-law
domain, patches of 256 pixels, 8 at a time, the rate a tenth over the last fifth of the steps.
Preset "default": a cosine rate over fewer steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ...methods.ahdrnet import NETWORK
from .hdr_networks import HdrRecipe, phases_of
from .recipe import Phase

_PAPER = HdrRecipe(
    preset="paper",
    steps=200_000,
    rate=1e-4,
    schedule="constant",
    ema_decay=0.0,
    rate_falls_at=0.8,
)
PRESETS: Mapping[str, HdrRecipe] = {
    "paper": _PAPER,
    "program": replace(_PAPER, preset="program"),
    "default": HdrRecipe(),
}


def phases(recipe: HdrRecipe) -> tuple[Phase, ...]:
    """The one phase of this method."""
    return phases_of(
        recipe,
        NETWORK,
        least_patch=32,
        known_failures="Motion of more than some 40 pixels over clipped areas is not followed.",
    )

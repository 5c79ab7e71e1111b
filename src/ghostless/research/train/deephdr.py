"""Training DeepHDR (methods/deephdr.py), on moving brackets of three frames.

Preset "paper", and "program", which is its authors' and has the same numbers: squared differences
in the mu-law domain, Adam with a first moment of a half, 50 epochs of 153 thousand patches. The
program draws its rotations so that one of the four turns comes twice as often; that is not here.
Preset "default": absolute differences, and a cosine rate over fewer steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ...methods.deephdr import NETWORK
from .hdr_networks import HdrRecipe, phases_of
from .recipe import Phase

_PAPER = HdrRecipe(
    preset="paper",
    steps=50 * 153_000 // 16,
    batch=16,
    rate=2e-4,
    schedule="constant",
    ema_decay=0.0,
    loss="squared",
    beta_1=0.5,
)
PRESETS: Mapping[str, HdrRecipe] = {
    "paper": _PAPER,
    "program": replace(_PAPER, preset="program"),
    "default": HdrRecipe(batch=16),
}


def phases(recipe: HdrRecipe) -> tuple[Phase, ...]:
    """The one phase of this method."""
    return phases_of(
        recipe,
        NETWORK,
        least_patch=64,
        multiple=8,
        known_failures="The background must be aligned.",
    )

"""Training NHDRRNet (methods/nhdrrnet.py), on moving brackets of three frames.

Its authors published no program. Preset "program" has the numbers of a port by others: squared
differences in the mu-law domain, 32 patches at a time, a high rate, here with a cosine in place of
the port's power of 0.9. Preset "paper" has those of the retraining that comes nearest to its
printed scores: absolute differences. Preset "default" as that, over fewer steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ...methods.nhdrrnet import NETWORK
from .hdr_networks import HdrRecipe, phases_of
from .recipe import Phase

_PAPER = HdrRecipe(preset="paper", steps=200_000, batch=16, rate=2e-4, ema_decay=0.0)
PRESETS: Mapping[str, HdrRecipe] = {
    "paper": _PAPER,
    "program": replace(_PAPER, preset="program", batch=32, rate=1e-3, loss="squared"),
    "default": HdrRecipe(batch=16),
}


def phases(recipe: HdrRecipe) -> tuple[Phase, ...]:
    """The one phase of this method."""
    return phases_of(recipe, NETWORK, least_patch=64, multiple=16)

"""Training Chen & Chuang's networks (nn/chen_chuang.py, nn/homography.py), in two stages.

Stage "homography" (homography_stage.py): the homography network alone. Stage "fusion"
(fusion_stage.py): attention and merging network, the over-exposed frame registered first. The
numbers and the presets are in chen_chuang_recipe.py.
"""

from __future__ import annotations

from .chen_chuang_recipe import PRESETS as PRESETS
from .chen_chuang_recipe import ChenChuangRecipe
from .fusion_stage import fusion_phase
from .homography_stage import homography_phase
from .recipe import Phase


def phases(recipe: ChenChuangRecipe) -> tuple[Phase, ...]:
    """Both stages, the homography network first."""
    return homography_phase(recipe), fusion_phase(recipe)

"""Exposure fusion: every pixel from the frames that show it best, blended over scales.

Paper: Mertens, Kautz, Van Reeth: Exposure Fusion, Pacific Graphics 2007.
Built as: weight = contrast^a * saturation^b * well-exposedness^c per frame and pixel, normalised
    over the frames; Laplacian pyramids of the frames blended by Gaussian pyramids of the weights
    (`exposure_fusion.py`, in stripes).
Differs from the paper: saturation does not count, by what that does to photos with known answers.
    The coarse levels are grids that part the picture evenly, down to one cell
    (`pixels/pyramid_steps.py`): with those of the paper's program brightness depends on how the
    size divides, and on which side is up. Frames may have masks, and what is masked has no
    influence at any scale (the pyramid of a masked frame is made of its unmasked pixels only). What
    overshoots 0..1 gets a shoulder and a toe in place of being clipped, so that highlights and
    shadows keep their detail.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, sqrt
from typing import Annotated, Literal

import numpy as np

from ..bracket import Fused, Stack
from ..pixels.pyramid import Plane, level_count
from ..pixels.pyramid_steps import Steps, balanced_steps, halvings_alike
from ..pixels.stripes import Progress
from ..settings import Range, check_settings
from .exposure_fusion import Exponents, fuse_exposures, mean_weights
from .photos import Photos, all_grey
from .ranges import each_rows, fit_range, stretch


@dataclass(frozen=True)
class MertensSettings:
    """How exposure fusion weighs the frames.

    contrast, saturation, well_exposedness: exponents of the three measures, 0 leaves one out; the
        paper has 1 for each. The page of the method says what each brings.
    levels: depth of a pyramid whose levels all halve; "paper" for floor(log2(shorter side)) as in
        the paper's program. None for coarse levels that are alike at all sizes, down to a single
        mean, which balances the brightness of large areas better; but for photos with transparent
        parts, to two rows.
    overshoot: blending over scales drives large highlights beside dark areas above 1, and shadows
        beside bright ones below 0. "shoulder" makes room for both, by a shoulder and a toe, so that
        they keep the detail that some frame has; "clip" cuts them off as the paper's program does.
    stretch_percent: let this share of the pixels clip at each end and stretch the rest to 0..1
        (Hessel, IPOL 2018, uses 1), in place of `overshoot`; 0 for not at all.
    """

    contrast: Annotated[float, Range(0)] = 1.0
    saturation: Annotated[float, Range(0)] = 0.0
    well_exposedness: Annotated[float, Range(0)] = 1.0
    levels: Annotated[int, Range(1)] | Literal["paper"] | None = None
    overshoot: Literal["shoulder", "clip"] = "shoulder"
    stretch_percent: Annotated[float, Range(0, below=50)] = 0.0

    def __post_init__(self) -> None:
        check_settings(self)


def fuse(
    stack: Stack,
    settings: MertensSettings = MertensSettings(),
    *,
    progress: Progress | None = None,
) -> Fused:
    """Fuse 1 to 20 aligned frames into one display image by exposure fusion.

    stack: frames of any type and transfer; masks are honoured. Where all frames are masked, the
        reference is taken.
    progress: called with the fraction done, 0..1.
    Returns a display image, (H, W, 3) float32, 0..1, with the reference's metadata.
    """
    photos = Photos(stack)
    exponents = _exponents(stack, settings)
    levels = _levels(stack, settings)
    pixels = fuse_exposures(photos, exponents, levels, progress, wraps=stack.wraps)
    if settings.stretch_percent > 0:
        stretch(pixels, settings.stretch_percent)
    elif settings.overshoot == "shoulder":
        fit_range(pixels)
    else:
        each_rows(pixels, lambda rows: np.clip(rows, 0, 1, out=rows))
    return Fused(pixels, "display", stack.frames[stack.reference].metadata)


def weight_maps(
    stack: Stack, settings: MertensSettings = MertensSettings(), proxy_pixels: int = 600_000
) -> list[Plane]:
    """Return how much each frame counts where, before the blending over scales.

    Means over squares of pixels, so many that a map has at most `proxy_pixels`: (h, w) float32 per
    frame, 0..1, together 1 everywhere.
    """
    photos = Photos(stack)
    height, width = photos.size
    factor = max(1, ceil(sqrt(height * width / proxy_pixels)))
    return mean_weights(photos, _exponents(stack, settings), factor, wraps=stack.wraps)


def _levels(stack: Stack, settings: MertensSettings) -> int | Steps:
    if settings.levels == "paper":
        return level_count(stack.frames[0].height, stack.frames[0].width)
    if settings.levels is not None:
        return settings.levels
    if any(frame.opaque is not None for frame in stack.frames):
        # A mean of the whole would brighten a part by a photo that shows nothing there.
        return halvings_alike
    return balanced_steps


def _exponents(stack: Stack, settings: MertensSettings) -> Exponents:
    # Grey photos have no saturation to judge by (Mertens et al., program).
    coloured = settings.saturation > 0 and not all_grey(stack.frames)
    return Exponents(
        settings.contrast, settings.saturation if coloured else 0.0, settings.well_exposedness
    )

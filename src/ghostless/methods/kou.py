"""Exposure fusion with weights that keep to the edges of the frames.

Paper: Kou, Li, Wen, Chen: Multi-Scale Exposure Fusion via Gradient Domain Guided Image Filtering,
    IEEE ICME 2017.
Built as: the weights of exposure fusion with a slightly wider curve of well-exposedness, times the
    square of the frame's mean brightness; smoothed on every level of the pyramid by the gradient
    domain guided filter, with the level's luma as guide: `guided_weights.py`.
Differs from the paper: what masks hide has no influence on the weights. A guide without any edge,
    which the authors' program cannot take, is one of even edges.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..bracket import Fused, Stack
from ..pixels import color
from ..pixels.stripes import Progress, part
from .exposure_fusion import Exponents
from .guided_weights import fuse_with_guided_weights, gradient_domain
from .photos import Photos, all_grey, visible_means

# exp(-0.4 d^2 / 0.2^2) where exposure fusion has exp(-0.5 d^2 / 0.2^2).
WELL_EXPOSEDNESS = 0.8


@dataclass(frozen=True)
class KouSettings:
    """There is nothing to set."""


def fuse(
    stack: Stack, settings: KouSettings = KouSettings(), *, progress: Progress | None = None
) -> Fused:
    """Fuse 1 to 20 aligned frames into one display image.

    stack: frames of any type and transfer; masks are honoured. Where all frames are masked, the
        reference is taken.
    progress: called with the fraction done, 0..1.
    Returns a display image, (H, W, 3) float32, 0..1, with the reference's metadata.
    """
    photos = Photos(stack)
    brightness = visible_means(photos, part(progress, 0, 0.1), color.luma)
    saturation = 0.0 if all_grey(stack.frames) else 1.0
    exponents = Exponents(saturation=saturation, well_exposedness=WELL_EXPOSEDNESS)
    pixels = fuse_with_guided_weights(
        photos, brightness, exponents, gradient_domain(), part(progress, 0.1, 1)
    )
    np.clip(pixels, 0, 1, out=pixels)
    return Fused(pixels, "display", stack.frames[stack.reference].metadata)

"""Edge-preserving structural patch decomposition: as `fmmef`, but edges stay whole.

Paper: Li, Chan, Qi, Xie: Detail-Preserving Multi-Exposure Fusion with Edge-Preserving Structural
    Patch Decomposition, IEEE TCSVT 2021.
Built as: `structural_scales.py` with weights of the sixth power of contrast. Where a patch varies
    much, its mean is drawn towards the pixel itself, so that edges pass to the next scale as they
    are. On the coarsest scale the means are blended by how near the middle of the range the pixel
    and the whole picture are.
Differs from the paper: means over frames with masks are of what is seen. The authors' program
    judges the edges of all frames by those of the last one, here each by its own;
    `as_published=True` does as it does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..bracket import Fused, Stack
from ..pixels.pyramid import Plane
from ..pixels.stripes import Progress
from ..settings import check_settings
from .structural_scales import Rule, fuse_scales

_POWER, _RADIUS, _COARSEST_RADIUS, _EDGES = 6.0, 4, 3, 0.25


@dataclass(frozen=True)
class MespdSettings:
    """How edges are judged.

    as_published: judge the edges of every frame by those of the last one, as the authors' program
        does.
    """

    as_published: bool = False

    def __post_init__(self) -> None:
        check_settings(self)


def fuse(
    stack: Stack,
    settings: MespdSettings = MespdSettings(),
    *,
    progress: Progress | None = None,
) -> Fused:
    """Fuse 1 to 20 aligned frames into one display image.

    stack: frames of any type and transfer; masks are honoured. Where all frames are masked, the
        reference is taken.
    progress: called with the fraction done, 0..1.
    Returns a display image, (H, W, 3) float32, 0..1, with the reference's metadata.
    """
    rule = Rule(
        _POWER,
        _RADIUS,
        _COARSEST_RADIUS,
        _base_weights,
        edges=_EDGES,
        last_edges=settings.as_published,
    )
    pixels = fuse_scales(stack, rule, progress)
    return Fused(pixels, "display", stack.frames[stack.reference].metadata)


def _base_weights(picture: Plane, mean: NDArray[np.float64]) -> NDArray[np.float64]:
    return 2 * (_exposedness(mean) + _exposedness(mean.mean(keepdims=True)))


def _exposedness(value: NDArray[np.float64]) -> NDArray[np.float64]:
    """An S-curve of exponent 5 from 0 at black and white to 0.5 at mid-grey."""
    from_end = np.clip(np.minimum(value, 1 - value), 0, 0.5)
    return np.where(from_end <= 0.25, 256 * from_end**5, 0.5 - 256 * (0.5 - from_end) ** 5)

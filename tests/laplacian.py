"""A Laplacian pyramid as the papers write it: the answer that fusing in stripes must give."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ghostless.pixels import pyramid
from ghostless.pixels.pyramid_steps import Step


def gaussian_pyramid(image: NDArray[np.float32], levels: int) -> list[NDArray[np.float32]]:
    """Return `levels` images, the finest (the image itself) first."""
    found = [image]
    while len(found) < levels:
        found.append(pyramid.reduce(found[-1]))
    return found


def laplacian_pyramid(image: NDArray[np.float32], levels: int) -> list[NDArray[np.float32]]:
    """Return `levels` images: what each level adds to the next one expanded, then the rest."""
    gaussian = gaussian_pyramid(image, levels)
    details = [
        fine - pyramid.expand(coarse, (fine.shape[0], fine.shape[1]))
        for fine, coarse in pairwise(gaussian)
    ]
    return [*details, gaussian[-1]]


def collapse(levels: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Add the levels of a Laplacian pyramid up again."""
    image = levels[-1]
    for detail in reversed(levels[:-1]):
        image = detail + pyramid.expand(image, (detail.shape[0], detail.shape[1]))
    return image


def down(step: Step, plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """A whole level at the next coarser one."""
    first, last = step.source_rows(0, step.coarse[0])
    return step.reduce_rows(plane[first:last], first, 0, step.coarse[0])


def up(step: Step, plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """A whole level enlarged to the next finer one."""
    return step.expand_rows(plane, 0, step.size[0])

"""Exposure-fusion pyramids as tensors: the priors that guide DPGN, and their parts.

The same weights and pyramids as `methods.mertens` and `pixels.pyramid`, for tensors
on any device. Images are (B, 3, H, W), RGB 0..1; weights (B, 1, H, W).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..pixels.color import LUMA_601
from ..pixels.pyramid_steps import Regridding, Step, Taps

# Mertens, Kautz, Van Reeth: Exposure Fusion, Pacific Graphics 2007, section 3.1 and the authors'
# program: sigma and best value of the well-exposedness, and what keeps weights from being 0 / 0.
_SIGMA = 0.2
_WELL_EXPOSED = 0.5
# 1e-12 in units of 1e-6: torch's ONNX exporter takes a constant as small as the former for 0.
_WEIGHT_UNIT = 1e-6
_WEIGHT_FLOOR = 1e-6
# Rounding makes up to this much Laplacian out of a flat area, more than the floor could outweigh.
_LAPLACIAN_NOISE = 1e-6

# Of `fuse_locally`. Regions of larger images must begin at multiples of `LOCAL_MULTIPLE`, where its
# coarsest level has a sample.
LOCAL_LEVELS = 5
LOCAL_MULTIPLE = 2**LOCAL_LEVELS
LOCAL_HALO = 5 * LOCAL_MULTIPLE
_KNEE = 0.1

_KERNEL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)


def has_colour(images: Sequence[Tensor]) -> Tensor:
    """Whether any image of each item of a batch has any colour: (B, 1, 1, 1) bool."""
    found = [(image.amax(1) > image.amin(1)).flatten(1).any(dim=1) for image in images]
    return torch.stack(found).any(dim=0)[:, None, None, None]


def mertens_weights(images: Sequence[Tensor], coloured: Tensor | None = None) -> list[Tensor]:
    """Weights of exposure fusion, one (B, 1, H, W) per image, adding up to 1 at every pixel.

    Contrast times saturation times well-exposedness; without saturation where no image of an item
    has any colour.

    coloured: `has_colour` of the whole images, if these are regions of larger ones.
    """
    if coloured is None:
        coloured = has_colour(images)
    weights = []
    for image in images:
        quality = _contrast(image) * _well_exposedness(image)
        weights.append(_floored(torch.where(coloured, quality * _spread(image), quality)))
    total = add(weights)
    return [weight / total for weight in weights]


def program_weights(images: Sequence[Tensor]) -> list[Tensor]:
    """Weights as the DPGN authors' program makes them, slips included; nearly all equal.
    (B, 3, H, W) each to (B, 1, H, W).

    Well-exposedness is taken of values 0..255 and around 0.4, so that it vanishes almost
    everywhere and only the floor is left; contrast keeps its sign. For experiments.
    """
    weights = []
    for image in images:
        levels = image * 255
        exposed = torch.exp(-((levels - 0.4) ** 2) / (2 * _SIGMA**2)).prod(dim=1, keepdim=True)
        weights.append(_floored(_laplacian(levels) * _spread(levels) * exposed))
    total = add(weights)
    return [weight / total for weight in weights]


def _floored(weight: Tensor) -> Tensor:
    return weight / _WEIGHT_UNIT + _WEIGHT_FLOOR


def _well_exposedness(image: Tensor) -> Tensor:
    distance = (image - _WELL_EXPOSED).square().sum(dim=1, keepdim=True)
    return torch.exp(-distance / (2 * _SIGMA**2))


def _contrast(image: Tensor) -> Tensor:
    contrast = _laplacian(image).abs()
    return torch.where(contrast > _LAPLACIAN_NOISE, contrast, 0)


def _spread(image: Tensor) -> Tensor:
    """Standard deviation of the three channels; exactly 0 for grey."""
    first, second = image[:, :1] - image[:, 1:2], image[:, 1:2] - image[:, 2:]
    variance = (first.square() + first * second + second.square()) * (2 / 9)
    # sqrt'(0) is infinite: no gradient flows where the root is taken of a stand-in.
    safe = torch.where(variance > 0, variance, 1)
    return torch.where(variance > 0, safe.sqrt(), 0)


def _laplacian(image: Tensor) -> Tensor:
    """Four-neighbour Laplacian of the grey image, borders repeated."""
    red, green, blue = (float(weight) for weight in LUMA_601)
    grey = red * image[:, :1] + green * image[:, 1:2] + blue * image[:, 2:]
    padded = F.pad(grey, (1, 1, 1, 1), mode="replicate")
    return (
        padded[:, :, :-2, 1:-1]
        + padded[:, :, 2:, 1:-1]
        + padded[:, :, 1:-1, :-2]
        + padded[:, :, 1:-1, 2:]
        - 4 * grey
    )


def reduce(image: Tensor) -> Tensor:
    """Blur and drop every second row and column: (B, C, H, W) to (B, C, ceil(H/2), ceil(W/2)).

    Kernel [1 4 6 4 1] / 16; the border is mirrored with the edge sample repeated.
    """
    if torch.onnx.is_in_onnx_export():
        return _reduce_in_graph(image)
    for dim in (2, 3):
        padded = _mirror(image, dim)
        half = (image.shape[dim] + 1) // 2
        image = add(
            [weight * _every_second(padded, dim, tap, half) for tap, weight in enumerate(_KERNEL)]
        )
    return image


def _mirror(image: Tensor, dim: int) -> Tensor:
    """Two samples more at each end of `dim`, mirrored with the edge repeated."""
    size = image.shape[dim]
    index = torch.arange(-2, size + 2, device=image.device) % (2 * size)
    return image.index_select(dim, torch.minimum(index, 2 * size - 1 - index))


def _every_second(padded: Tensor, dim: int, start: int, count: int) -> Tensor:
    part = padded.narrow(dim, start, padded.shape[dim] - start)
    return part[:, :, ::2][:, :, :count] if dim == 2 else part[..., ::2][..., :count]


def expand(coarse: Tensor, size: tuple[int, int]) -> Tensor:
    """Interpolate (B, C, ceil(H/2), ceil(W/2)) to `size` (H, W); the inverse step of `reduce`.

    The edge sample is repeated.
    """
    if torch.onnx.is_in_onnx_export():
        return _expand_in_graph(coarse)
    for dim, wanted in zip((2, 3), size, strict=True):
        pad = (0, 0, 1, 1) if dim == 2 else (1, 1, 0, 0)
        padded = F.pad(coarse, pad, mode="replicate")
        count = coarse.shape[dim]
        before, here, after = (padded.narrow(dim, start, count) for start in range(3))
        even = (before + 6 * here + after) / 8
        odd = (here + after) / 2
        doubled = torch.stack([even, odd], dim=dim + 1).flatten(dim, dim + 1)
        coarse = doubled.narrow(dim, 0, wanted)
    return coarse


def reduce_by(step: Step, image: Tensor) -> Tensor:
    """An image (B, C, H, W) at the next coarser level of `pixels.pyramid_steps`."""
    if isinstance(step, Regridding):
        return _tapped(_tapped(image, step.down[0], 2), step.down[1], 3)
    return reduce(image)


def expand_by(step: Step, coarse: Tensor) -> Tensor:
    """An image of a coarser level (B, C, h, w) enlarged to the finer one."""
    if isinstance(step, Regridding):
        return _tapped(_tapped(coarse, step.up[0], 2), step.up[1], 3)
    return expand(coarse, step.size)


def _tapped(image: Tensor, taps: Taps, dim: int) -> Tensor:
    shape = (-1, 1) if dim == 2 else (1, -1)
    return add(
        [
            image.index_select(dim, torch.from_numpy(taps.index[:, tap]).to(image.device))
            * torch.from_numpy(taps.share[:, tap]).to(image).reshape(shape)
            for tap in range(taps.index.shape[1])
        ]
    )


def fuse_by(steps: Sequence[Step], images: Sequence[Tensor]) -> Tensor:
    """Exposure fusion of images over such levels: (B, 3, H, W), not clipped."""
    weights = mertens_weights(images)
    levels: list[Tensor] = []
    for step in steps:
        coarse = [reduce_by(step, image) for image in images]
        details = [
            image - expand_by(step, small) for image, small in zip(images, coarse, strict=True)
        ]
        levels.append(weighted_content(details, weights))
        images, weights = coarse, [reduce_by(step, weight) for weight in weights]
    fused = weighted_content(images, weights)
    for step, detail in zip(reversed(steps), reversed(levels), strict=True):
        fused = detail + expand_by(step, fused)
    return fused


# In an ONNX graph, where sizes are symbols, slices and indices of every level make expressions that
# the exporter works on for many minutes. Convolutions do not, but all sides must be even.


def _reduce_in_graph(image: Tensor) -> Tensor:
    top = torch.cat([image[:, :, 1:2], image[:, :, :1], image], dim=2)
    padded = torch.cat([top[..., 1:2], top[..., :1], top], dim=3)
    padded = F.pad(padded, (0, 1, 0, 1), mode="replicate")
    return F.conv2d(padded, _kernels(image), stride=2, groups=image.shape[1])


def _expand_in_graph(coarse: Tensor) -> Tensor:
    padded = F.pad(coarse, (1, 1, 1, 1), mode="replicate")
    return F.conv_transpose2d(
        padded,
        4 * _kernels(coarse),
        stride=2,
        padding=4,
        output_padding=1,
        groups=coarse.shape[1],
    )


def _kernels(image: Tensor) -> Tensor:
    """The blur in both directions for each channel: (C, 1, 5, 5)."""
    kernel = image.new_tensor(_KERNEL)
    return torch.outer(kernel, kernel).expand(image.shape[1], 1, 5, 5)


def gaussian_pyramid(image: Tensor, levels: int) -> list[Tensor]:
    """Return `levels` images, the finest (the image itself) first.

    (B, C, H, W), then (B, C, H/2, W/2) ...
    """
    pyramid = [image]
    while len(pyramid) < levels:
        pyramid.append(reduce(pyramid[-1]))
    return pyramid


def collapse(pyramid: Sequence[Tensor]) -> Tensor:
    """Add the levels of a Laplacian pyramid up again, the coarsest being a Gaussian one.

    Back to (B, C, H, W).
    """
    image = pyramid[-1]
    for detail in reversed(pyramid[:-1]):
        image = detail + expand(image, (detail.shape[2], detail.shape[3]))
    return image


def add(terms: Sequence[Tensor]) -> Tensor:
    """Sum of tensors of one shape."""
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


PriorForm = Literal["paper", "fused_first"]
WeightForm = Literal["mertens", "program"]


@dataclass(frozen=True)
class Priors:
    """Content and detail of two images fused at every level of a pyramid, the finest first.

    content[l], detail[l]: (B, 3, H / 2^l, W / 2^l); content 0..1, detail around 0.
    base: content of the level below the last, where it is known.
    """

    content: list[Tensor]
    detail: list[Tensor]
    base: Tensor | None = None


def make_weights(
    images: Sequence[Tensor], form: WeightForm = "mertens", coloured: Tensor | None = None
) -> list[Tensor]:
    """Weights of exposure fusion, or those that the DPGN authors' program makes.

    (B, 3, H, W) each to (B, 1, H, W).
    """
    return mertens_weights(images, coloured) if form == "mertens" else program_weights(images)


def make_priors(
    images: Sequence[Tensor],
    levels: int,
    form: PriorForm = "paper",
    weights: WeightForm = "mertens",
) -> Priors:
    """Fuse images at each of `levels` levels into content and detail priors.

    images: (B, 3, H, W), sides multiples of 2^levels.
    form: "paper": content and detail are the images' Gaussian and Laplacian levels, weighted by
        the Gaussian levels of the weights (DPGN, equations 3 and 4). "fused_first": the images
        are fused to one first; detail is its Laplacian level and content what the next coarser
        level says about this one (the authors' program).
    """
    priors = weighted_priors(images, make_weights(images, weights), levels)
    return priors if form == "paper" else _refused(priors)


def weighted_priors(images: Sequence[Tensor], weights: Sequence[Tensor], levels: int) -> Priors:
    """Priors of images of one level and weights for them, from that level on.

    Images (B, C, H, W), weights (B, 1, H, W).
    """
    content, detail = [], []
    images, weights = list(images), list(weights)
    for _ in range(levels):
        coarse = [reduce(image) for image in images]
        content.append(weighted_content(images, weights))
        detail.append(weighted_detail(images, coarse, weights))
        images, weights = coarse, [reduce(weight) for weight in weights]
    return Priors(content, detail, weighted_content(images, weights))


def weighted_content(images: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    """Sum over images of weight times image (equation 4) at one level. (B, C, H, W)."""
    return add([weight * image for image, weight in zip(images, weights, strict=True)])


def weighted_detail(
    images: Sequence[Tensor], coarse: Sequence[Tensor], weights: Sequence[Tensor]
) -> Tensor:
    """Sum over images of weight times Laplacian (equation 3) at one level. (B, C, H, W).

    coarse: the images' next Gaussian level.
    """
    size = (images[0].shape[2], images[0].shape[3])
    return add(
        [
            weight * (image - expand(small, size))
            for image, small, weight in zip(images, coarse, weights, strict=True)
        ]
    )


def fuse_images(priors: Priors) -> Tensor:
    """Exposure fusion of the images that priors of the paper's form were made of.

    Over as many scales as they have and the base below. Returns (B, 3, H, W), not clipped.
    """
    assert priors.base is not None
    return collapse([*priors.detail, priors.base])


def fuse_locally(images: Sequence[Tensor], coloured: Tensor | None = None) -> Tensor:
    """Exposure fusion of the five finest scales, on the mean of the images at the coarser ones.

    Two exposures that are far apart leave exposure fusion no middle tone to choose, and large areas
    come out as one or the other; the mean keeps them in order, and the fine scales keep the detail
    of both. Looks no further than `LOCAL_HALO` pixels. Returns (B, 3, H, W), 0..1.

    coloured: as of `mertens_weights`.
    """
    detail = weighted_priors(images, mertens_weights(images, coloured), LOCAL_LEVELS).detail
    return fit_range(detail_on_mean(detail, images))


def fit_range(image: Tensor) -> Tensor:
    """Bend what leaves 0..1 back into it, in the outer tenths: noise in the dark stays noise.
    (B, C, H, W) to the same.

    Clipping would make coloured specks of it, and cut off what a later change could bring back.
    """
    low = _KNEE * torch.exp((image.clamp_max(_KNEE) - _KNEE) / _KNEE)
    image = torch.where(image < _KNEE, low, image)
    high = 1 - _KNEE * torch.exp((1 - _KNEE - image.clamp_min(1 - _KNEE)) / _KNEE)
    return torch.where(image > 1 - _KNEE, high, image)


def detail_on_mean(detail: Sequence[Tensor], images: Sequence[Tensor]) -> Tensor:
    """Fused detail (equation 3) at the finest five or fewer scales on the mean of the images.
    (B, C, H, W).

    Not clipped, see `fit_range`.
    """
    detail = detail[:LOCAL_LEVELS]
    mean = add(images) / len(images)
    return collapse([*detail, gaussian_pyramid(mean, len(detail) + 1)[-1]])


def _refused(priors: Priors) -> Priors:
    """Priors of the one image that others are fused to."""
    fused = gaussian_pyramid(fuse_images(priors), len(priors.detail) + 1)
    content = [expand(coarse, (fine.shape[2], fine.shape[3])) for fine, coarse in pairwise(fused)]
    return Priors(content, [fine - low for fine, low in zip(fused, content, strict=False)])

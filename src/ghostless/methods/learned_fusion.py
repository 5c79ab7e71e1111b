"""Exposure fusion whose weights a small network corrects, for any number of photos.

No paper: exposure fusion (Mertens, Kautz, Van Reeth, Pacific Graphics 2007) with weights learnt as
    in MEF-Net (Ma, Duanmu, Zhu, Fang, Wang, TIP 2020) from small copies, band by band.
Built as: the network (nn/learned_fusion.py says how, and trains) sees copies of 256 pixels and
    gives, per photo and band, how much the weight of exposure fusion counts, how much the photo's
    own detail, and what is added; at full size only pyramids are blended (`exposure_fusion.py`, in
    stripes), which halve, as they did when it learnt, but alike at every size
    (`pixels/pyramid_steps.py`). What comes out is at every scale a mean of what the photos show:
    nothing is invented. A gentle curve for the whole picture follows.
Needs no torch: the network is a dozen small convolutions in NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..bracket import Frame, Fused, Stack
from ..errors import WeightsError
from ..nn.learned_bands import (
    BANDS,
    COPY_PIXELS,
    CURVE_LIMIT,
    DETAIL_FLOOR,
    DETAIL_WINDOW,
    LOG_SCALE,
    MAPS,
    TONES,
    WEIGHT_FLOOR,
    band_of,
    crowd,
)
from ..nn.weights import load_arrays
from ..pixels import color
from ..pixels.pyramid import Plane
from ..pixels.pyramid_steps import Step, halvings_alike
from ..pixels.reduced import reduced, size_within
from ..pixels.stripes import Progress, for_each_stripe
from ..settings import check_settings
from ..work.spill import trim
from .exposure_fusion import Exponents, Level, fuse_exposures, mean_weights
from .photos import Photos, all_grey
from .ranges import fit_range

Array = NDArray[np.float32]

NAME = "learned-fusion"
_TRAIN_COMMAND = "ghostless train learned-fusion"


@dataclass(frozen=True)
class LearnedFusionSettings:
    """How to fuse with learned weights.

    weights: a safetensors file; None for the weights that ship with the package.
    curve: whether the whole picture is bent by the curve that the network gives.
    """

    weights: Path | str | None = None
    curve: bool = True

    def __post_init__(self) -> None:
        check_settings(self)


def fuse(
    stack: Stack,
    settings: LearnedFusionSettings = LearnedFusionSettings(),
    *,
    progress: Progress | None = None,
) -> Fused:
    """Fuse 1 to 20 aligned frames into one display image by corrected exposure fusion.

    stack: frames of any type and transfer; masks are honoured as by `mertens`.
    progress: called with the fraction done, 0..1.
    Returns a display image, (H, W, 3) float32, 0..1, with the reference's metadata. Raises
    WeightsError while there are no weights, or where they are damaged or of another network.
    """
    network = _Network.load(settings.weights)
    exponents = Exponents() if not all_grey(stack.frames) else Exponents(saturation=0)
    photos = Photos(stack)
    copies = _Copies.of(stack)
    weights = mean_weights(copies, exponents, 1, wraps=stack.wraps)
    maps, common = network.guide(copies.pictures, np.stack(weights))
    pixels = fuse_exposures(
        photos,
        exponents,
        halvings_alike,
        progress,
        wraps=stack.wraps,
        reweigh=_Correction(maps).correct,
    )
    fit_range(pixels)
    if settings.curve:
        bend(pixels, *network.choose_curve(common, pixels, len(stack.frames)))
    return Fused(pixels, "display", stack.frames[stack.reference].metadata)


@dataclass(frozen=True)
class _Copies:
    """Small copies of a stack's frames: (N, 3, h, w), display values."""

    pictures: Array

    @staticmethod
    def of(stack: Stack) -> _Copies:
        small = []
        for frame in stack.frames:
            pixels = reduced(frame.pixels, size_within(frame.pixels.shape, side=COPY_PIXELS))
            trim()
            shown = color.to_display(pixels, frame.transfer)
            small.append(np.nan_to_num(shown, nan=0.0, posinf=1.0, neginf=0.0).transpose(2, 0, 1))
        pictures = np.ascontiguousarray(np.stack(small), np.float32)
        hidden = [_hidden(frame, pictures.shape[2:4]) for frame in stack.frames]
        if any(part.any() for part in hidden):
            # What is transparent holds a filling, which must not be weighed: the others' mean.
            shown_by = 1 - np.stack(hidden)[:, None].astype(np.float32)
            others = (pictures * shown_by).sum(axis=0) / np.maximum(shown_by.sum(axis=0), 1e-6)
            pictures = pictures * shown_by + others * (1 - shown_by)
        return _Copies(np.asarray(pictures, np.float32))

    @property
    def size(self) -> tuple[int, int]:
        height, width = self.pictures.shape[2:]
        return int(height), int(width)

    @property
    def masked(self) -> Sequence[bool]:
        return [False] * len(self.pictures)

    def planes(self, start: int, stop: int) -> list[list[Plane]]:
        return [[plane.copy() for plane in picture[:, start:stop]] for picture in self.pictures]

    def masks(self, start: int, stop: int) -> list[Plane | None]:
        return [None] * len(self.pictures)


def _hidden(frame: Frame, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Where a frame is transparent, at the size of its copy."""
    if frame.opaque is None:
        return np.zeros(size, np.bool_)
    return np.asarray(reduced(frame.opaque, size) < 250)


# The network ------------------------------------------------------------------------------------


class _Network:
    """The network of nn/learned_fusion.py, from its arrays."""

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        self._arrays = arrays
        self._scales = sum(name.endswith("own.weight") for name in arrays if "down" in name)

    @classmethod
    def load(cls, path: Path | str | None) -> _Network:
        arrays, _ = load_arrays(NAME, _TRAIN_COMMAND, path)
        network = cls(arrays)
        try:
            copies = np.zeros((3, 3, 32, 32), np.float32)
            _, common = network.guide(copies, np.full((3, 32, 32), np.float32(0.5)))
            network.choose_curve(common, copies[0].transpose(1, 2, 0), 2)
            network.choose_curve(common, copies[0].transpose(1, 2, 0), len(copies))
        except (KeyError, ValueError) as error:
            raise WeightsError(
                f"{path or NAME}: expected weights of {NAME!r} that this version can run, found "
                f"others ({error}); train again with: {_TRAIN_COMMAND}"
            ) from None
        return network

    def guide(self, copies: Array, weights: Array) -> tuple[Array, Array]:
        """Maps (N, 3, 9, h/4, w/4) and what all photos have in common (C,), for `choose_curve`.

        copies: (N, 3, h, w), 0..1. weights: those of exposure fusion, (N, h, w).
        """
        logs = np.log(weights + np.float32(WEIGHT_FLOOR)) * np.float32(1 / LOG_SCALE)
        counts = np.full_like(logs, crowd(len(copies)))
        seen = [copies - np.float32(0.5), logs[:, None], counts[:, None]]
        levels = [np.concatenate(seen, axis=1)]
        for number in range(self._scales):
            levels.append(self._among(levels[-1], f"down.{number}", stride=2))
        found = levels.pop()
        means = found.mean(axis=(2, 3))
        common = np.concatenate([means.mean(axis=0), means.max(axis=0)])
        for number in reversed(range(self._scales - 2)):
            skipped = levels.pop()
            height, width = skipped.shape[-2:]
            wide = found.repeat(2, axis=2).repeat(2, axis=3)[..., :height, :width]
            found = self._among(np.concatenate([wide, skipped], axis=1), f"up.{number}")
        maps = np.stack([self._convolve(photo, "last") for photo in found])
        if len(copies) > 2:
            told = np.append(common, np.float32(crowd(len(copies))))
            maps *= np.float32(2 / (1 + math.exp(-float(self._dense(told, "share")[0]))))
        maps = maps.reshape(len(maps), MAPS, BANDS, *maps.shape[-2:])
        return np.asarray(maps, np.float32), np.asarray(common, np.float32)

    def choose_curve(self, common: Array, fused: Array, count: int) -> tuple[float, float]:
        """The curve's two numbers for a fusion (H, W, 3), 0..1, of so many photos."""
        told, name = common, ""
        if count > 2:
            told, name = np.concatenate([common, _tones(fused), [crowd(count)]]), "_of_more"
        gist = self._dense(told.astype(np.float32), f"gist{name}")
        numbers = self._dense(np.maximum(gist, 0), f"curve{name}")
        first, second = numbers * (CURVE_LIMIT / (1 + float(np.abs(numbers).sum())))
        return float(first), float(second)

    def _among(self, photos: Array, name: str, stride: int = 1) -> Array:
        """Each photo's features convolved, and what all photos have of each added."""
        own = np.stack([self._convolve(photo, f"{name}.own", stride) for photo in photos])
        np.maximum(own, 0, out=own)
        shared = np.concatenate([own.mean(axis=0), own.max(axis=0)])
        weight = self._arrays[f"{name}.among.weight"][:, :, 0, 0]
        context = np.tensordot(weight, shared, axes=1)
        context += self._arrays[f"{name}.among.bias"][:, None, None]
        own += context
        return np.maximum(own, 0, out=own)

    def _dense(self, features: Array, name: str) -> Array:
        found = self._arrays[f"{name}.weight"] @ features + self._arrays[f"{name}.bias"]
        return np.asarray(found, np.float32)

    def _convolve(self, features: Array, name: str, stride: int = 1) -> Array:
        """A 3 x 3 convolution of features (C, h, w), zeros outside."""
        weight, bias = self._arrays[f"{name}.weight"], self._arrays[f"{name}.bias"]
        height, width = (-(-side // stride) for side in features.shape[1:])
        padded = np.pad(features, ((0, 0), (1, 1), (1, 1)))
        taps = [
            padded[:, y : y + stride * height : stride, x : x + stride * width : stride]
            for y in range(3)
            for x in range(3)
        ]
        flat = np.stack(taps, axis=1).reshape(weight.shape[1] * 9, height * width)
        out = weight.reshape(len(weight), -1) @ flat
        out += bias[:, None]
        return np.asarray(out.reshape(len(weight), height, width), np.float32)


# What it changes --------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Correction:
    """Maps (N, 3, 9, h, w), applied to the weights of levels of any size."""

    maps: Array

    def correct(self, level: Level, coarser: tuple[Level, Step] | None) -> None:
        """Change the weights of a level in place, see `exposure_fusion.Reweigh`."""
        height, width = level.shape
        low, share = band_of((height, width))
        chosen = self.maps[:, :, low] * (1 - share) + self.maps[:, :, low + 1] * share
        across = np.ascontiguousarray(chosen @ interpolation(chosen.shape[-1], width).T)
        rows_of = _Down.to(across, height)
        details_of = None if coarser is None else _Details.of(level, *coarser)

        def work(start: int, stop: int) -> None:
            rows = level.rows(start, stop)
            details = None if details_of is None else details_of(start, stop)
            weights = corrected_weights(rows, details, rows_of(start, stop))
            for weight, corrected in zip(rows.weights, weights, strict=True):
                weight[:] = corrected

        for_each_stripe(height, width, work)


@dataclass(frozen=True)
class _Details:
    """Logarithm of each photo's mean absolute luma of a band around each pixel, rows of it.

    lumas: of the photos at the next coarser level, to which `step` leads.
    """

    level: Level
    lumas: list[Plane]
    step: Step

    @staticmethod
    def of(level: Level, coarser: Level, step: Step) -> _Details:
        return _Details(level, [_luma(planes) for planes in coarser.planes], step)

    def __call__(self, start: int, stop: int) -> list[Plane]:
        """Rows start..stop: (stop - start, W) per photo."""
        # Even, as enlarging asks for.
        first = max(0, start - 2 * DETAIL_WINDOW // 2 // 2 * 2)
        last = min(self.level.shape[0], stop + DETAIL_WINDOW // 2)
        inner = slice(start - first, stop - first)
        found = []
        for planes, coarse in zip(self.level.planes, self.lumas, strict=True):
            band = _luma([np.ascontiguousarray(plane[first:last]) for plane in planes])
            band -= self.step.expand_rows(coarse, first, last)
            mean = cv2.blur(np.abs(band), (DETAIL_WINDOW,) * 2, borderType=cv2.BORDER_REPLICATE)
            found.append(np.log(np.asarray(mean, np.float32)[inner] + np.float32(DETAIL_FLOOR)))
        return found


@dataclass(frozen=True)
class _Down:
    """Maps (..., h, W) brought to a height, rows at a time.

    maps: those that rows are made of. first: of each row, the upper of the two. share: how far it
    is from that towards the lower.
    """

    maps: Array
    first: NDArray[np.intp]
    share: Array

    @staticmethod
    def to(maps: Array, height: int) -> _Down:
        count = maps.shape[-2]
        if height < count:
            maps, count = np.asarray(interpolation(count, height) @ maps, np.float32), height
        return _Down(maps, *_between(count, height))

    def __call__(self, start: int, stop: int) -> Array:
        """Rows start..stop: (..., stop - start, W)."""
        first, share = self.first[start:stop], self.share[start:stop, None]
        below = np.minimum(first + 1, self.maps.shape[-2] - 1)
        rows = self.maps[..., below, :]
        rows *= share
        above = self.maps[..., first, :]
        above *= 1 - share
        rows += above
        return np.asarray(rows, np.float32)


def _between(count: int, wanted: int) -> tuple[NDArray[np.intp], Array]:
    """Of each wanted sample, the one of `count` before it, and how far it is towards the next."""
    place = np.clip((np.arange(wanted) + 0.5) * count / wanted - 0.5, 0, count - 1)
    first = np.minimum(place.astype(np.intp), max(count - 2, 0))
    return first, np.asarray(place - first, np.float32)


def interpolation(count: int, wanted: int) -> Array:
    """Matrix (wanted, count) that interpolates samples linearly, or takes means where it shrinks.

    Linear: pixels are areas, the border repeats. Means: of all that a wanted one reaches.
    """
    matrix = np.zeros((wanted, count), np.float32)
    rows = np.arange(wanted)
    if wanted >= count:
        first, share = _between(count, wanted)
        matrix[rows, first] = 1 - share
        matrix[rows, np.minimum(first + 1, count - 1)] += share
    else:
        for row in rows:
            start, stop = row * count // wanted, -(-(row + 1) * count // wanted)
            matrix[row, start:stop] = 1 / (stop - start)
    return matrix


def _luma(planes: Sequence[Plane]) -> Plane:
    red, green, blue = (float(weight) for weight in color.LUMA_601)
    grey = cv2.addWeighted(planes[0], red, planes[1], green, 0)
    return np.asarray(cv2.scaleAdd(planes[2], blue, grey), np.float32)


def corrected_weights(level: Level, details: list[Plane] | None, maps: Array) -> list[Plane]:
    """Weights of rows of a level, adding up to 1; 0 where a photo is masked.

    details: logarithms of the photos' detail in the band; None at the coarsest level.
    maps: (N, 3, rows, W).
    """
    logs = []
    for weight, (trust, _, added) in zip(level.weights, maps, strict=True):
        log = np.log(weight + np.float32(WEIGHT_FLOOR))
        logs.append((1 + trust) * log + added)
    if details is not None:
        mean = np.add.reduce(details) * np.float32(1 / len(details))
        for log, detail, (_, detailed, _) in zip(logs, details, maps, strict=True):
            log += detailed * (detail - mean)
    top = np.maximum.reduce(logs)
    shares: list[Plane] = []
    for log, mask in zip(logs, level.masks, strict=True):
        share = np.asarray(cv2.exp(log - top), np.float32)
        shares.append(share if mask is None else share * (mask + np.float32(1e-12)))
    total = np.add.reduce(shares)
    return [np.asarray(share / total, np.float32) for share in shares]


def _tones(fused: Array) -> Array:
    """How dark and bright a fusion (H, W, 3) is: quantiles of its greys, around 0."""
    small = reduced(fused, size_within(fused.shape, side=COPY_PIXELS))
    greys = _luma([np.ascontiguousarray(plane) for plane in np.moveaxis(small, 2, 0)])
    return np.asarray(np.quantile(greys, TONES) - 0.5, np.float32)


def bend(pixels: Array, a: float, b: float) -> None:
    """Bend a picture (H, W, 3), 0..1, in place: x + x (1 - x) (a + b (1 - 2 x))."""

    def work(start: int, stop: int) -> None:
        rows = pixels[start:stop]
        change = rows * np.float32(-2 * b)
        change += np.float32(a + b)
        change *= rows
        change *= 1 - rows
        rows += change

    for_each_stripe(pixels.shape[0], pixels.shape[1], work)

"""Training data out of photographed brackets: pairs with a label, brackets with true radiance.

The papers' own data: SICE, Kalantari & Ramamoorthi 2017, or anybody's brackets
(`data.photo_sets`). Photos are decoded once (`photo_cache`), then cropped as stored codes and
turned on the training device. Where a set has neither labels nor radiance, an exposure fusion of
all photos of a scene stands in for the label, which no network can then surpass.

Photos are taken to lie on each other. Motion between them is what `samples.make_homography_pairs`
makes, with known homographies.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import BracketError, OptionError
from ..data.photo_sets import PhotoSet, find_photo_set
from .photo_cache import CachedScene, PhotoSize, fill_cache
from .samples import Batch, TrainingData, flip, move_pieces
from .sources import PhotoUse

# What Kalantari's photos were encoded with.
KALANTARI_GAMMA = 2.2
HELD_OUT_SIZE = (384, 512)
# Sides of held-out pairs and brackets, for whatever network looks at them.
_PAIR_MULTIPLE, _BRACKET_MULTIPLE = 128, 8
# Of a GPU's free memory, for photos that stay on it.
_SHARE_OF_DEVICE = 0.5


@dataclass(frozen=True)
class _Photos:
    """A scene as tensors, on the device where there is room."""

    name: str
    frames: Tensor
    target: Tensor | None
    radiance: Tensor | None
    stops: tuple[float, ...]

    @property
    def most(self) -> float:
        return 255.0 if self.frames.dtype == torch.uint8 else 65535.0


class PhotoData(TrainingData):
    """Pairs and brackets from photos.

    Raises what `find_photo_set` and `fill_cache` do.
    """

    def __init__(self, folder: Path, device: torch.device, use: PhotoUse) -> None:
        self.set: PhotoSet = find_photo_set(folder)
        self.use = use
        self._on = device
        self._check_use()
        cached = fill_cache(
            self.set, use.cache, PhotoSize.parse(use.size), None if use.quiet else _say
        )
        place = device if _fits(cached.values(), device) else torch.device("cpu")
        self._scenes = {name: _tensors(scene, place) for name, scene in cached.items()}
        self._train = [self._scenes[scene.name] for scene in self.set.train]
        self._held = [self._scenes[scene.name] for scene in self.set.held_out]
        multiple = _BRACKET_MULTIPLE if self.set.layout == "radiance" else _PAIR_MULTIPLE
        for scene in self._held:
            _middle(scene, multiple)  # told before any step
        self._pairs = [(scene, *pair) for scene in self._train for pair in self._pairs_of(scene)]

    @property
    def device(self) -> torch.device:
        return self._on

    @property
    def description(self) -> str:
        truth = {
            "labels": "labels that people picked",
            "radiance": "true radiance",
            "photos": "an exposure fusion of all photos of a scene in place of labels",
        }[self.set.layout]
        return (
            f"photographed brackets of {self.set.folder.name}: {len(self._train)} scenes to train "
            f"on ({len(self._pairs)} pairs), {len(self._held)} held out; {truth}; kept at "
            f"{self.use.size} pixels, pairs {self.use.pairs}"
        )

    def _pairs_of(self, scene: _Photos) -> list[tuple[int, int]]:
        count = len(scene.frames)
        if self.use.pairs == "extremes":
            return [(0, count - 1)]
        return [(i, count - 1 - i) for i in range(count // 2)]

    # ---- what recipes ask for ----

    def pairs(self, batch: int, patch_pixels: int, generator: torch.Generator) -> Batch:
        chosen = self._choose(batch, patch_pixels, generator)
        names = ("under", "over", "target")
        return {name: torch.stack([self._image(*c, name) for c in chosen]) for name in names}

    def exposures(self, batch: int, patch_pixels: int, generator: torch.Generator) -> Batch:
        chosen = self._choose(batch, patch_pixels, generator)
        names = ("under", "over")
        return {name: torch.stack([self._image(*c, name) for c in chosen]) for name in names}

    def middles(self, batch: int, patch_pixels: int, generator: torch.Generator) -> Batch:
        """Pictures ("target") and the middle exposures of their scenes ("middle")."""
        chosen = self._choose(batch, patch_pixels, generator)
        names = ("target", "middle")
        return {name: torch.stack([self._image(*c, name) for c in chosen]) for name in names}

    def brackets(self, batch: int, patch_pixels: int, generator: torch.Generator) -> Batch:
        self._check_radiance()
        made = [
            _bracket(scene, self._window(scene, patch_pixels, generator), self._on)
            for scene in self._drawn(self._train, batch, generator)
        ]
        joined = {name: torch.stack([entry[name] for entry in made]) for name in made[0]}
        turned = flip({name: joined[name] for name in joined if name != "stops"}, generator)
        return {**turned, "stops": joined["stops"]}

    def photos(self, batch: int, long_side: int, generator: torch.Generator) -> Batch:
        (first,) = self._drawn(self._train, 1, generator)
        alike = [scene for scene in self._train if len(scene.frames) == len(first.frames)]
        made = []
        for scene in self._drawn(alike, batch, generator):
            shares = torch.rand(2, generator=generator, device=generator.device).tolist()
            made.append(self._whole(scene, long_side, shares))
        return {name: torch.stack([entry[name] for entry in made]) for name in ("photos", "target")}

    def held_out_photos(self) -> Sequence[Batch]:
        found = []
        for scene in self._held:
            made = self._whole(scene, HELD_OUT_SIZE[1], (0.5, 0.5))
            found.append({name: value[None] for name, value in made.items()})
        return found

    def _whole(self, scene: _Photos, long_side: int, shares: Sequence[float]) -> dict[str, Tensor]:
        """All photos of a scene, cut to 4 to 3 and reduced, and the picture to make of them."""
        height, width = _size(scene)
        sides = (long_side * 3 // 4, long_side)
        sides = sides if width >= height else sides[::-1]
        scale = min(height / sides[0], width / sides[1])
        cut = (int(sides[0] * scale), int(sides[1] * scale))
        window = (int((height - cut[0]) * shares[0]), int((width - cut[1]) * shares[1]), *cut)
        images = [
            *(_cut(codes, window, self._on) / scene.most for codes in scene.frames),
            _cut(self._target(scene), window, self._on) / 255.0,
        ]
        small = F.interpolate(torch.stack(images), sides, mode="area")
        return {"photos": small[:-1], "target": small[-1]}

    def comparisons(self, batch: int, patch_pixels: int, generator: torch.Generator) -> Batch:
        raise _no_comparisons(self.set.folder)

    def moving_pairs(self, batch: int, patch_pixels: int, generator: torch.Generator) -> Batch:
        return move_pieces(self.exposures(batch, patch_pixels, generator), generator)

    def held_out_moving_pairs(self, patch_pixels: int) -> Sequence[Batch]:
        return [
            move_pieces(pair, torch.Generator(pair["under"].device).manual_seed(number))
            for number, pair in enumerate(self.held_out_exposures(patch_pixels))
        ]

    def held_out_pairs(self) -> Sequence[Batch]:
        return [
            {
                name: self._image(
                    scene, *self._pairs_of(scene)[0], _middle(scene, _PAIR_MULTIPLE), name
                )[None]
                for name in ("under", "over", "target")
            }
            for scene in self._held
        ]

    def held_out_exposures(self, patch_pixels: int) -> Sequence[Batch]:
        found = []
        for scene in self._held:
            height, width = _size(scene)
            _check_side(scene, patch_pixels)
            window = ((height - patch_pixels) // 2, (width - patch_pixels) // 2)
            cut = (*window, patch_pixels, patch_pixels)
            pair = self._pairs_of(scene)[0]
            found.append({n: self._image(scene, *pair, cut, n)[None] for n in ("under", "over")})
        return found

    def held_out_comparisons(self, patch_pixels: int) -> Sequence[Batch]:
        raise _no_comparisons(self.set.folder)

    def held_out_brackets(self) -> Sequence[Batch]:
        self._check_radiance()
        made = [
            _bracket(scene, _middle(scene, _BRACKET_MULTIPLE), self._on) for scene in self._held
        ]
        return [{name: value[None] for name, value in entry.items()} for entry in made]

    # ---- drawing ----

    def _drawn(self, among: list[Any], count: int, generator: torch.Generator) -> list[Any]:
        places = torch.randint(len(among), (count,), generator=generator, device=generator.device)
        return [among[place] for place in places.tolist()]

    def _choose(
        self, batch: int, patch_pixels: int, generator: torch.Generator
    ) -> list[tuple[_Photos, int, int, tuple[int, int, int, int]]]:
        return [
            (scene, dark, bright, self._window(scene, patch_pixels, generator))
            for scene, dark, bright in self._drawn(self._pairs, batch, generator)
        ]

    def _window(
        self, scene: _Photos, side: int, generator: torch.Generator
    ) -> tuple[int, int, int, int]:
        """Top, left, height and width of a crop; letterboxed, the whole and its side."""
        height, width = _size(scene)
        if self.use.framing == "letterbox":
            return 0, 0, side, side
        _check_side(scene, side)
        shares = torch.rand(2, generator=generator, device=generator.device).tolist()
        top, left = (
            min(int(share * (long - side + 1)), long - side)
            for share, long in zip(shares, (height, width), strict=True)
        )
        return top, left, side, side

    def _image(
        self, scene: _Photos, dark: int, bright: int, window: tuple[int, int, int, int], name: str
    ) -> Tensor:
        """(3, h, w), 0..1, on the device."""
        if name == "target":
            codes = self._target(scene)
            most = 255.0
        else:
            middle = len(scene.frames) // 2
            codes = scene.frames[{"under": dark, "over": bright, "middle": middle}[name]]
            most = scene.most
        if self.use.framing == "letterbox":
            return _letterboxed(codes, window[2], self._on) / most
        return _cut(codes, window, self._on) / most

    def _target(self, scene: _Photos) -> Tensor:
        if scene.target is None:
            raise self._no_pictures()
        return scene.target

    def _check_use(self) -> None:
        """Raise, before any photo is decoded, where the set cannot teach what is asked of it."""
        if self.use.draws == "brackets":
            self._check_radiance()
        elif self.use.draws == "comparisons":
            raise _no_comparisons(self.set.folder)
        elif self.set.layout == "radiance":
            raise self._no_pictures()

    def _no_pictures(self) -> BracketError:
        return BracketError(
            f"{self.set.folder}: expected labels or photos alone to fuse pairs of, found true "
            "radiance; train hdr-gan on it, or name a set like SICE"
        )

    def _check_radiance(self) -> None:
        if self.set.layout != "radiance":
            raise BracketError(
                f"{self.set.folder}: expected true radiance beside the photos (HDRImg.hdr, "
                "ref_hdr.hdr or truth.exr) to train hdr-gan, found none in any of its "
                f"{len(self.set.scenes)} scenes"
            )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _no_comparisons(folder: Path) -> OptionError:
    return OptionError(
        f"{folder}: expected packed pictures ('ghostless data pack') to train the agreement "
        "network, which must be shown what moved, found photos"
    )


def _fits(scenes: Any, device: torch.device) -> bool:
    if device.type != "cuda":
        return False
    total = sum(
        array.nbytes
        for scene in scenes
        for array in (scene.frames, scene.target, scene.radiance)
        if array is not None
    )
    return bool(total < _SHARE_OF_DEVICE * torch.cuda.mem_get_info(device)[0])


def _tensors(scene: CachedScene, place: torch.device) -> _Photos:
    def tensor(array: Any) -> Tensor | None:
        return None if array is None else torch.from_numpy(np.asarray(array)).to(place)

    frames = tensor(scene.frames)
    assert frames is not None
    return _Photos(scene.name, frames, tensor(scene.target), tensor(scene.radiance), scene.stops)


def _size(scene: _Photos) -> tuple[int, int]:
    return int(scene.frames.shape[1]), int(scene.frames.shape[2])


def _check_side(scene: _Photos, side: int) -> None:
    height, width = _size(scene)
    if side > min(height, width):
        raise OptionError(
            f"{scene.name}: expected photos of at least {side} x {side} pixels, which the patches "
            f"need with their margins, found {width} x {height}; give a smaller --patch, or a "
            "larger photo_size if the photos have been reduced"
        )


def _middle(scene: _Photos, multiple: int) -> tuple[int, int, int, int]:
    """The middle of a scene, sides multiples of a number and no larger than HELD_OUT_SIZE."""
    whole = _size(scene)
    height, width = (
        min(most, side) // multiple * multiple
        for most, side in zip(HELD_OUT_SIZE, whole, strict=True)
    )
    if not height or not width:
        raise OptionError(
            f"{scene.name}: expected photos of at least {multiple} x {multiple} pixels, found "
            f"{whole[1]} x {whole[0]}"
        )
    return (whole[0] - height) // 2, (whole[1] - width) // 2, height, width


def _cut(codes: Tensor, window: tuple[int, int, int, int], device: torch.device) -> Tensor:
    top, left, height, width = window
    part = codes[top : top + height, left : left + width]
    return part.to(device).permute(2, 0, 1).float()


def _letterboxed(codes: Tensor, side: int, device: torch.device) -> Tensor:
    """The whole reduced to a longer side, black to the right and below (DPGN's program)."""
    image = codes.to(device).permute(2, 0, 1).float()[None]
    scale = side / max(image.shape[-2:])
    size = [max(1, round(s * scale)) for s in image.shape[-2:]]
    image = F.interpolate(image, size, mode="bilinear", align_corners=False, antialias=True)
    return F.pad(image, (0, side - size[1], 0, side - size[0]))[0]


def _bracket(
    scene: _Photos, window: tuple[int, int, int, int], device: torch.device
) -> dict[str, Tensor]:
    """Three frames and the radiance of the middle one's moment."""
    assert scene.radiance is not None
    count = len(scene.frames)
    if count < 3:
        raise BracketError(f"{scene.name}: expected at least 3 photos, found {count}")
    chosen = (0, count // 2, count - 1)
    frames = torch.stack([_cut(scene.frames[i], window, device) / scene.most for i in chosen])
    stops = torch.tensor([scene.stops[i] - scene.stops[0] for i in chosen], device=device)
    radiance = _cut(scene.radiance, window, device)
    return {
        "frames": frames,
        "light": frames.pow(KALANTARI_GAMMA),
        "stops": stops,
        "radiance": radiance,
    }

"""What recipes draw from: pairs with a display reference, brackets with the true radiance.

The recipes know only `TrainingData`; `sources.py` makes it of packed pictures. Everything here
stays on the device.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from ...nn.homography import corners, solve_homography, warp

Batch = Mapping[str, Tensor]


class TrainingData(Protocol):
    """Where batches come from.

    description: what the data are, in words, for the card.
    """

    @property
    def description(self) -> str: ...

    @property
    def device(self) -> torch.device: ...

    def pairs(self, batch: int, patch_pixels: int, generator: torch.Generator) -> Batch:
        """Aligned display pairs: "under", "over" and "target", (batch, 3, patch, patch), 0..1."""

    def exposures(self, batch: int, patch_pixels: int, generator: torch.Generator) -> Batch:
        """Aligned display pairs of any gap, "under" and "over" alone, like those of `pairs`."""

    def brackets(self, batch: int, patch_pixels: int, generator: torch.Generator) -> Batch:
        """Moving brackets of three frames, dark to bright, their reference in the middle.

        "frames" (batch, 3, 3, patch, patch), display values; "light", the same linearised, 0..1;
        "stops" (batch, 3), relative to the darkest frame; "radiance" (batch, 3, patch, patch), of
        the middle frame's moment, 1 where the darkest frame clips.
        """

    def comparisons(self, batch: int, patch_pixels: int, generator: torch.Generator) -> Batch:
        """Two frames of any gap, registered, in some of which things move between them.

        "reference" and "frame", (batch, 3, patch, patch), display values, either of them the
        darker; "still", the frame as it would be had nothing moved.
        """

    def moving_pairs(self, batch: int, patch_pixels: int, generator: torch.Generator) -> Batch:
        """Display pairs, registered, in most of which things move between the frames.

        "under" and "over", (batch, 3, patch, patch), 0..1; "still", the brighter frame as it would
        be had everything stood where the darker one shows it.
        """

    def photos(self, batch: int, long_side: int, generator: torch.Generator) -> Batch:
        """Whole still pictures of any number of photos, dark to bright, and what to make of them.

        "photos" (batch, N, 3, H, W) and "target" (batch, 3, H, W), display values; sides 4 to 3,
        upright or not.
        """

    def held_out_photos(self) -> Sequence[Batch]:
        """Pictures of scenes that `photos` never shows, one scene each."""

    def held_out_pairs(self) -> Sequence[Batch]:
        """Pairs of scenes that `pairs` never shows, one scene each, sides multiples of 128.

        Also "radiance" (1, 3, H, W), of any scale, where the source knows it.
        """

    def held_out_exposures(self, patch_pixels: int) -> Sequence[Batch]:
        """Exposures of scenes that `exposures` never shows, one each."""

    def held_out_comparisons(self, patch_pixels: int) -> Sequence[Batch]:
        """Comparisons of scenes that `comparisons` never shows, one each."""

    def held_out_moving_pairs(self, patch_pixels: int) -> Sequence[Batch]:
        """Moving pairs of scenes that `moving_pairs` never shows, one each."""

    def held_out_brackets(self) -> Sequence[Batch]:
        """Brackets of scenes that `brackets` never shows, sides multiples of 8."""


def flip(batch: Batch, generator: torch.Generator) -> Batch:
    """Mirror and transpose each sample at random, all of its images (B, ..., H, W) alike."""
    first = next(iter(batch.values()))
    count, device = first.shape[0], first.device
    flips = torch.rand(3, count, generator=generator, device=device) < 0.5
    turned = {}
    for name, value in batch.items():
        for number, dims in enumerate(((-1,), (-2,))):
            chosen = flips[number].view(-1, *(1,) * (value.ndim - 1))
            value = torch.where(chosen, value.flip(dims), value)
        chosen = flips[2].view(-1, *(1,) * (value.ndim - 1))
        turned[name] = torch.where(chosen, value.transpose(-1, -2), value)
    return turned


def uniform(shape: tuple[int, ...], low: float, high: float, generator: torch.Generator) -> Tensor:
    """Random numbers between two bounds, on the generator's device."""
    drawn = torch.rand(shape, generator=generator, device=generator.device)
    return low + (high - low) * drawn


# Homographies


Spread = Literal["normal", "uniform"]


@dataclass(frozen=True)
class Motion:
    """How far the corners of a patch may move.

    largest_pixels: of each corner in x and y. spread: "normal", cut at two deviations which are
        that largest (Chen & Chuang), or "uniform". shared: share of it by which all corners move
        alike; the rest is each one's own.
    """

    largest_pixels: float
    spread: Spread = "normal"
    shared: float = 0.0

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Offsets (count, 4, 2) of the four corners, float64."""
        common, own = (
            self._draw((count, points, 2), generator) * self.largest_pixels for points in (1, 4)
        )
        return self.shared * common + (1 - self.shared) * own

    def _draw(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        drawn = torch.empty(shape, device=generator.device, dtype=torch.float64)
        if self.spread == "uniform":
            return drawn.uniform_(-1.0, 1.0, generator=generator)
        return torch.nn.init.trunc_normal_(drawn, 0.0, 0.5, -1.0, 1.0, generator=generator)


@dataclass(frozen=True)
class HomographyPair:
    """Two exposures of one square, and where the first's corners lie in the second.

    first, second: (B, 3, side, side), 0..1. offsets: (B, 8), pixels, as the network gives them.
    homography: (B, 3, 3), float64; takes pixel centres of the first to those of the second.
    """

    first: Tensor
    second: Tensor
    offsets: Tensor
    homography: Tensor


def margin_of(motion: Motion) -> int:
    """Pixels round a patch within which its moved quadrilateral stays, so that no border shows."""
    return math.ceil(2 * motion.largest_pixels)


def make_homography_pairs(
    under: Tensor, over: Tensor, offsets: Tensor, margin: int
) -> HomographyPair:
    """Cut the middle square from one exposure and a moved quadrilateral from the other.

    under, over: aligned, (B, 3, S, S), with `margin` pixels on each side of the square (see
    `margin_of`). offsets: of the corners, as of `Motion.draw`.
    """
    batch, side = under.shape[0], under.shape[-1] - 2 * margin
    start = corners(side, side).to(under.device).expand(batch, 4, 2)
    # The second image at the moved corners shows what the first shows at its own:
    # second(c + d) = over(c), so second(x) = over(H^-1 x), with H c ~ c + d.
    back = solve_homography(start + offsets, start)
    shift = torch.eye(3, dtype=torch.float64, device=under.device)
    shift[:2, 2] = margin
    moved, _ = warp(over, shift @ back @ shift.inverse())
    middle = slice(margin, margin + side)
    cut = (..., middle, middle)
    return HomographyPair(
        under[cut], moved[cut], offsets.flatten(1).to(under.dtype), torch.linalg.inv(back)
    )


def repeat_border(image: Tensor, homographies: Tensor) -> Tensor:
    """Images (B, C, H, W) as if they had been warped from squares by homographies (B, 3, 3).

    What such a warp reaches beyond the square it repeats from the border; the rest stays.
    """
    height, width = image.shape[-2:]
    y, x = torch.meshgrid(
        torch.arange(height, dtype=torch.float64, device=image.device),
        torch.arange(width, dtype=torch.float64, device=image.device),
        indexing="ij",
    )
    here = torch.stack([x, y, torch.ones_like(x)]).flatten(1)
    there = homographies @ here
    there = there / there[:, 2:]
    largest = torch.tensor([width - 1.0, height - 1.0], dtype=torch.float64, device=image.device)
    held = torch.minimum(there[:, :2].clamp_min(0), largest.view(1, 2, 1))
    back = torch.linalg.solve(homographies, torch.cat([held, there[:, 2:]], dim=1))
    place = (back[:, :2] / back[:, 2:]) * 2 / largest.view(1, 2, 1) - 1
    grid = place.permute(0, 2, 1).view(-1, height, width, 2).to(image.dtype)
    out: Tensor = F.grid_sample(
        image, grid, mode="bilinear", padding_mode="border", align_corners=True
    )
    return out


def jitter(over: Tensor, largest_pixels: float, generator: torch.Generator) -> Tensor:
    """Leave images (B, C, H, W) misaligned by small homographies, as an aligner does."""
    return move(over, Motion(largest_pixels).draw(over.shape[0], generator))


def move(over: Tensor, offsets: Tensor) -> Tensor:
    """Move images (B, C, H, W) by homographies, given by offsets (B, 4, 2) of the corners."""
    height, width = over.shape[-2:]
    start = corners(width, height).to(over.device).expand(over.shape[0], 4, 2)
    return warp(over, solve_homography(start, start + offsets))[0]


# Moving things


# Codes of 8 bits by which a frame must differ from its still twin to have changed for certain, and
# below which it has not.
_CHANGED_CODES = 12.0
_STILL_CODES = 4.0


def changed(frame: Tensor, still: Tensor) -> Tensor:
    """How surely a frame (B, 3, H, W), 0..1, shows another thing than its still twin.

    (B, 1, H, W), 0..1.
    """
    apart = (frame - still).abs().amax(dim=1, keepdim=True) * 255
    # Of a thing and of its surroundings some pixels are alike by chance: neighbours tell.
    apart = F.avg_pool2d(F.max_pool2d(apart, 3, 1, 1), 3, 1, 1, count_include_pad=False)
    return ((apart - _STILL_CODES) / (_CHANGED_CODES - _STILL_CODES)).clamp(0, 1)


def paste_moving(batch: Batch, share: float, generator: torch.Generator) -> Batch:
    """Let things move: pieces of other samples lie elsewhere in "over" than in the other images.

    A soft-edged ellipse of another sample, whose exposures and reference are all known, is pasted
    into "under" and "target" at one place and into "over" at another. So the target is what a
    fusion should give that keeps the darker frame's moment.

    share: of samples in which something moves.
    """
    if len(batch["under"]) < 2:
        return batch
    other = {name: value.roll(1, 0) for name, value in batch.items()}
    return _pasted(batch, other, share, generator)


def move_pieces(pair: Batch, generator: torch.Generator) -> Batch:
    """Moving pairs, see `TrainingData.moving_pairs`, of still ones.

    A piece of the mirrored photos, so of the same camera and exposures, lies in "over" elsewhere
    than in "under".
    """
    mirrored = {name: pair[name].flip(-1) for name in ("under", "over")}
    still = {"under": pair["under"], "over": pair["over"], "still": pair["over"]}
    return _pasted(still, {**mirrored, "still": mirrored["over"]}, 1.0, generator)


def _pasted(batch: Batch, other: Batch, share: float, generator: torch.Generator) -> Batch:
    """A piece of `other` in all images of a batch, in "over" at another place."""
    under = batch["under"]
    count, _, height, width = under.shape
    draw = uniform((7, count, 1, 1, 1), 0.0, 1.0, generator)
    moving = (draw[6] < share).to(under.dtype)
    radii = 0.05 + 0.2 * draw[:2]
    centre = draw[2:4]
    moved = centre + (draw[4:6] - 0.5) * 0.6
    y = torch.linspace(0, 1, height, device=under.device).view(1, 1, -1, 1)
    x = torch.linspace(0, 1, width, device=under.device).view(1, 1, 1, -1)

    def mask(at: Tensor) -> Tensor:
        distance = (((y - at[0]) / radii[0]).square() + ((x - at[1]) / radii[1]).square()).sqrt()
        # An edge of some two pixels.
        softness = 2 / (radii.amin(dim=0) * min(height, width))
        return ((1 - distance) / softness + 0.5).clamp(0, 1) * moving

    # The piece travels with its ellipse: the other sample is shifted by as much.
    shift_y = ((moved - centre)[0].view(-1) * height).round().long()
    shift_x = ((moved - centre)[1].view(-1) * width).round().long()
    pasted = {}
    for name, value in batch.items():
        if name == "over":
            alpha = mask(
                centre + torch.stack([shift_y / height, shift_x / width]).view(2, -1, 1, 1, 1)
            )
            piece = _shifted(other[name], shift_y, shift_x)
        else:
            alpha, piece = mask(centre), other[name]
        pasted[name] = value + alpha * (piece - value)
    return pasted


# Of a photo, that deghosting replaces, and how soft their edges are.
_MOST_PARTS = 3
_PART_EDGE_PIXELS = 4.0


def replace_parts(
    photos: Tensor, again: Tensor, reference: int, generator: torch.Generator
) -> Tensor:
    """Photos (B, N, 3, H, W) with parts of all but one replaced, as deghosting leaves them.

    again: the photos as the reference tells them, of the same shape. Parts are one to three
    ellipses with soft edges, of each photo at other places: where something was, and where it went.
    """
    batch, count, _, height, width = photos.shape
    y = torch.linspace(0, 1, height, device=photos.device).view(-1, 1)
    x = torch.linspace(0, 1, width, device=photos.device)
    share = torch.zeros(batch, count, 1, height, width, device=photos.device)
    for number in range(_MOST_PARTS):
        draw = uniform((5, batch, count, 1, 1), 0.0, 1.0, generator)
        radii = 0.04 + 0.22 * draw[:2].square()
        distance = ((y - draw[2]) / radii[0]).square() + ((x - draw[3]) / radii[1]).square()
        softness = _PART_EDGE_PIXELS / (radii.amin(dim=0) * min(height, width))
        part = ((1 - distance.sqrt()) / softness + 0.5).clamp(0, 1)
        part = part * (draw[4] < (1.0, 0.5, 0.3)[number])
        share = torch.maximum(share, part[:, :, None])
    share[:, reference] = 0
    return photos + share * (again - photos)


def _shifted(images: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Shift each image (B, C, H, W) by whole pixels, wrapping round."""
    count, channels, height, width = images.shape
    rows = (torch.arange(height, device=images.device) - down.view(-1, 1)) % height
    columns = (torch.arange(width, device=images.device) - right.view(-1, 1)) % width
    rows = rows.view(count, 1, height, 1).expand(-1, channels, -1, width)
    columns = columns.view(count, 1, 1, width).expand(-1, channels, height, -1)
    return images.gather(2, rows).gather(3, columns)


def resize(image: Tensor, side: int) -> Tensor:
    """Resize images (B, C, H, W) to squares, averaging where they shrink."""
    return F.interpolate(image, (side, side), mode="bilinear", align_corners=False, antialias=True)

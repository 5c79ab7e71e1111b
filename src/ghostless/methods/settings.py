"""What the networks of the table can be told. Imports no torch, so that every face can offer it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from ..exposure.response import ResponseChoice
from ..nn.settings import NetworkSettings
from ..settings import Range
from .in_turn import PairOrder

Stretch = Literal["none", "minmax", "max", "percentile"]
Levels = Literal["full", "studio"]


@dataclass(frozen=True, kw_only=True)
class PairSettings(NetworkSettings):
    """How to fuse with a network of two frames, besides what every network can be told.

    order: of fusing more than two frames, see `in_turn.fuse_in_turn`.
    """

    order: PairOrder = "mirrored"


@dataclass(frozen=True, kw_only=True)
class ChenChuangSettings(PairSettings):
    """How to fuse with Chen & Chuang's network.

    homography: register the over-exposed frame with the homography network first: "on", "off", or
        "auto" where the stack was never aligned and `homography_weights` are given.
    homography_weights: a safetensors file; None for the weights that ship.
    homography_passes: how often that network looks, each time at the frames as its answer so far
        brings them together; the paper's does once.
    homography_mirrored: ask it about the frames' three mirror images, too; the paper does not.
    homography_check: take its answer only where it folds nothing and brings the frames' bitmaps
        together; the paper takes any.
    order: as of `PairSettings`. What it makes of results on the way is worse than of two photos.
    """

    order: PairOrder = "extremes"
    homography: Literal["auto", "on", "off"] = "auto"
    homography_weights: str | None = None
    homography_passes: Annotated[int, Range(1, 20)] = 5
    homography_mirrored: bool = True
    homography_check: bool = True


@dataclass(frozen=True, kw_only=True)
class PaintingSettings(PairSettings):
    """How to fuse with a network of two frames that paints every pixel's colour.

    chroma: "prior" takes the luma of the network's image and the chroma of exposure fusion, which
        follows the photos; "scaled" does, too, stronger where the network made it brighter and
        weaker where darker; "net" takes all from the network.
    brightness: "grey" brightens what the network left darker than middle grey in the mean, see
        `painted.lift_to_grey`; "net" leaves it.
    """

    chroma: Literal["scaled", "prior", "net"] = "scaled"
    brightness: Literal["grey", "net"] = "grey"


@dataclass(frozen=True, kw_only=True)
class MefGanSettings(PaintingSettings):
    """How to fuse with MEF-GAN.

    order: as of `PairSettings`. What it makes of results on the way is worse than of two photos.
    """

    order: PairOrder = "extremes"


@dataclass(frozen=True, kw_only=True)
class LcndrSettings(PaintingSettings):
    """How to fuse with LCNDR, whose network fuses luma alone.

    order: as of `PairSettings`. Of results on the way, which are alike, its network makes white.
    chroma: as of `PaintingSettings`; "net" is the paper's rule, Cb and Cr each by how far the
        photos' are from grey, which stains where one photo clips.
    """

    order: PairOrder = "extremes"
    brightness: Literal["grey", "net"] = "net"


@dataclass(frozen=True, kw_only=True)
class TripletSettings(NetworkSettings):
    """How to fuse with a network of three frames, besides what every network can be told.

    more_frames: what to do with more than three: "rounds" fuses further triplets where the first
        one clips or is dark, "nearest" takes the gaps nearest to those of the training only,
        "extremes" the darkest and the brightest.
    """

    more_frames: Literal["rounds", "nearest", "extremes"] = "rounds"


@dataclass(frozen=True, kw_only=True)
class HdrGanSettings(TripletSettings):
    """How to fuse with HDR-GAN.

    response: what display codes mean in light, as of `debevec`: "auto" estimates it and keeps sRGB
        where that fits as well, "srgb" does not, "estimate" refuses where there is too little.
    """

    response: ResponseChoice = "auto"


@dataclass(frozen=True, kw_only=True)
class HdrNetworkSettings(TripletSettings):
    """How to fuse with the other networks of three frames.

    response: as of HDR-GAN; or "gamma", for codes that are light to the power 1 / 2.2, which the
        papers take all photos for.
    """

    response: Literal["auto", "srgb", "estimate", "gamma"] = "auto"


@dataclass(frozen=True, kw_only=True)
class LumaSettings(NetworkSettings):
    """How to fuse with a network that fuses luma, besides what every network can be told.

    stretch: of the fused luma, by what the whole image holds: "minmax" makes its darkest value
        black and its brightest white, "max" the latter alone, "percentile" does as "minmax" but for
        one in a hundred values at each end.
    luma: what levels the fused luma is taken for: "studio" has black at 16 and white at 235 of 255,
        which widens the contrast of luma that is in "full" range.
    """

    stretch: Stretch = "none"
    luma: Levels = "full"


@dataclass(frozen=True, kw_only=True)
class LumaPairSettings(LumaSettings, PairSettings):
    """How to fuse with a network that fuses the luma of two frames."""


@dataclass(frozen=True, kw_only=True)
class DeepFuseSettings(LumaSettings):
    """How to fuse with DeepFuse, whose loss leaves the brightness to the stretch."""

    stretch: Stretch = "percentile"


@dataclass(frozen=True, kw_only=True)
class IfcnnSettings(LumaSettings):
    """How to fuse with IFCNN.

    planes: what the network fuses: "luma", as its authors do with exposures, or all three colours,
        "rgb", or those brought to ImageNet's mean and deviation, "imagenet".
    equalise: equalise the fused luma locally (CLAHE), as its authors do with exposures.
    """

    planes: Literal["luma", "rgb", "imagenet"] = "luma"
    equalise: bool = False


@dataclass(frozen=True, kw_only=True)
class StretchedPairSettings(LumaPairSettings):
    """How to fuse with a network whose luma lies between that of the two frames: stretched."""

    stretch: Stretch = "percentile"

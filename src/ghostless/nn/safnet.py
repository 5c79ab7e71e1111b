"""SAFNet: flow, masks and an explicit merge, then a small network that mends it.

Paper: Kong, Li, Xiong, Zhang, Gu, Chen: SAFNet: Selective Alignment Fusion Network for Efficient
    HDR Imaging, ECCV 2024.
Built as: at half the size, from coarse to fine, the flow from the reference to the dark and the
    bright frame, and a mask of where each is needed and may be believed; the frames read there and
    merged by weights that hang on the reference's codes and the masks, so that the merge never
    leaves what the frames show; then a correction of it from the frames (1,120,849 parameters).
    `form="small"` is the paper's SAFNet-S, one plain stack for the correction (566,713).
Differs from the paper: above 6 megapixels flow and masks are found at 1.5, not at a quarter of the
    pixels: motion in a photo of any size is then what the network knows. Frames are linearised by
    their own curve and given the papers' of 2.2, see `nn.three_frames`. Two frames, and more than
    three: see `triplets`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..settings import Range, check_settings
from .blocks import in_full_precision
from .fullsize import Region
from .three_frames import FRAMES
from .weights import NetworkKind, Sides

LEVELS = 4
# Sides of the image in which flow is found are multiples of this.
_MULTIPLE = 2**LEVELS
FLOW_SHARE = 0.5
FLOW_PIXELS = 1_500_000
# Flow is given to the correction in units of so many pixels.
_FLOW_UNIT = 20.0
DILATIONS = {"full": (1, 2, 4, 2, 1), "small": (1, 1, 2, 4, 2, 1)}
# How far the correction sees round a pixel of the merge.
HALO_PIXELS = {"full": 23, "small": 12}

Form = Literal["full", "small"]


@dataclass(frozen=True)
class SafNetArchitecture:
    """Numbers of the network.

    form: the paper's "full" network, or "small", its SAFNet-S. channels: of each frame's features.
    """

    form: Form = "full"
    channels: Annotated[int, Range(2, 512)] = 40

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True)
class Motion:
    """Where the dark and the bright frame show what the reference does, and whether to believe it.

    flows: (B, 2, h, w) each, x and y in pixels from the reference to the frame. masks: (B, 1, h, w)
    each, 0..1.
    """

    flows: Sequence[Tensor]
    masks: Sequence[Tensor]


def _conv(
    channels_in: int, channels_out: int, *, stride: int = 1, dilation: int = 1, groups: int = 1
) -> nn.Sequential:
    """A 3x3 convolution and a PReLU with a slope for each channel."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, stride, dilation, dilation, groups),
        nn.PReLU(channels_out),
    )


class Encoder(nn.Module):
    """Features of one frame, (B, 6, H, W), at a half, a quarter ... of its size."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList(
            nn.Sequential(
                _conv(6 if level == 0 else channels, channels, stride=2), _conv(channels, channels)
            )
            for level in range(LEVELS)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        found = []
        for level in self.levels:
            x = level(x)
            found.append(x)
        return found


class Decoder(nn.Module):
    """From features and motion at one level to the motion at twice its size."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        joined = FRAMES * channels
        self.first = _conv(joined + 6, joined)
        self.grouped = nn.ModuleList(_conv(joined, joined, groups=FRAMES) for _ in range(3))
        self.last = _conv(joined, joined)
        self.up = nn.ConvTranspose2d(joined, 6, 4, stride=2, padding=1)

    def forward(self, features: Sequence[Tensor], motion: Tensor) -> Tensor:
        """Three maps (B, C, h, w) and motion (B, 6, h, w) to motion (B, 6, 2 h, 2 w).

        Motion: two flows, x and y of each, and the masks' logits.
        """
        dark, reference, bright = features
        x = torch.cat([warp(dark, motion[:, :2]), reference, warp(bright, motion[:, 2:4])], dim=1)
        x = self.first(torch.cat([x, motion.to(x.dtype)], dim=1))
        for conv in self.grouped:
            # Each third of the next layer sees all three.
            x = F.channel_shuffle(conv(x), FRAMES)
        # A flow of 100 pixels has steps of half a pixel in bfloat16.
        change = in_full_precision(self.up, self.last(x))
        larger = F.interpolate(motion, scale_factor=2.0, mode="bilinear", align_corners=False)
        return torch.cat([2 * larger[:, :4], larger[:, 4:]], dim=1) + change


class ResidualBlock(nn.Module):
    """Two dilated 3x3 convolutions, added to the input: (B, channels, H, W) to the same."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.first = _conv(channels, channels, dilation=dilation)
        self.second = nn.Conv2d(channels, channels, 3, 1, dilation, dilation)
        self.activation = nn.PReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.activation(x + self.second(self.first(x)))
        return out


class Correction(nn.Module):
    """What the merge lacks, from the frames, their motion and itself."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        side = channels // 2
        self.dark, self.bright = (
            nn.Sequential(_conv(6, side), _conv(side, side)),
            nn.Sequential(_conv(6, side), _conv(side, side)),
        )
        self.reference = nn.Sequential(_conv(15, channels), _conv(channels, channels))
        joined = channels + 2 * side
        self.blocks = nn.Sequential(
            *(ResidualBlock(joined, dilation) for dilation in DILATIONS["full"])
        )
        self.head = nn.Conv2d(joined, 3, 3, padding=1)

    def sides(self, dark: Tensor, bright: Tensor) -> list[Tensor]:
        """What of the dark and the bright frame, (B, 6, H, W) each, is read by flow."""
        return [self.dark(dark), self.bright(bright)]

    def forward(self, sides: Sequence[Tensor], reference: Tensor, rest: Tensor) -> Tensor:
        """Change (B, 3, h, w) of the merge.

        sides: what was read of `sides`. reference: (B, 6, h, w). rest: motion and merge,
            (B, 9, h, w).
        """
        own = self.reference(torch.cat([reference, rest], dim=1))
        x = self.blocks(torch.cat([sides[0].to(own.dtype), own, sides[1].to(own.dtype)], dim=1))
        return in_full_precision(self.head, x)


class SmallCorrection(nn.Module):
    """The same as `Correction`, by one stack of convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        width = channels * 4 // 5
        self.layers = nn.Sequential(
            *(
                _conv(27 if number == 0 else width, width, dilation=dilation)
                for number, dilation in enumerate(DILATIONS["small"])
            )
        )
        self.head = nn.Conv2d(width, 3, 3, padding=1)

    def sides(self, dark: Tensor, bright: Tensor) -> list[Tensor]:
        return [dark, bright]

    def forward(self, sides: Sequence[Tensor], reference: Tensor, rest: Tensor) -> Tensor:
        x = self.layers(torch.cat([sides[0], reference, sides[1], rest], dim=1))
        return in_full_precision(self.head, x)


class SafNet(nn.Module):
    """Radiance of the reference's moment from three frames as `nn.three_frames` makes them.

    dark, reference, bright: (B, 6, H, W), 0..1, of any sides; best multiples of 32. Returns the
    radiance and the merge before its correction, (B, 3, H, W) each, 0..1, 1 where the dark frame
    clips.
    """

    def __init__(self, architecture: SafNetArchitecture | None = None) -> None:
        super().__init__()
        self.architecture = architecture = architecture or SafNetArchitecture()
        self.encoder = Encoder(architecture.channels)
        self.decoder = Decoder(architecture.channels)
        correction = Correction if architecture.form == "full" else SmallCorrection
        self.correction = correction(architecture.channels)

    def forward(self, dark: Tensor, reference: Tensor, bright: Tensor) -> tuple[Tensor, Tensor]:
        frames = [dark, reference, bright]
        height, width = reference.shape[-2:]
        size = flow_size(height, width)
        small = [F.interpolate(frame, size, mode="bilinear") for frame in frames]
        region = Region(0, height, 0, width)
        motion = enlarged(self.look(small), (height, width), region)
        return self.merge_and_correct([dark, bright], [region, region], reference, region, motion)

    def look(self, frames: Sequence[Tensor]) -> Tensor:
        """Flow to dark and bright frame, and the masks' logits: (B, 6, h, w).

        frames: (B, 6, h, w) each, sides multiples of 16.
        """
        levels = [self.encoder(_light_first(frame)) for frame in frames]
        batch, _, height, width = levels[0][-1].shape
        motion = torch.zeros(batch, 6, height, width, device=frames[0].device)
        motion = motion.to(frames[0].dtype)
        for level in reversed(range(LEVELS)):
            motion = self.decoder([features[level] for features in levels], motion)
        return motion

    def merge_and_correct(
        self,
        sides: Sequence[Tensor],
        places: Sequence[Region],
        reference: Tensor,
        region: Region,
        motion: Motion,
    ) -> tuple[Tensor, Tensor]:
        """Radiance and merge on a region, (B, 3, h, w) each.

        sides: the dark and the bright frame on `places`, which hold what the motion points to and
        two pixels more where the frame has any. reference, motion: on the region.
        """
        frames = [_light_first(frame) for frame in (sides[0], reference, sides[1])]
        wanted = self.correction.sides(frames[0], frames[2])
        read, features = [], []
        for number in (0, 1):
            flow, corner = motion.flows[number], _corner(region, places[number])
            read.append(warp(frames[2 * number], flow, corner))
            same = wanted[number] is frames[2 * number]
            features.append(read[-1] if same else warp(wanted[number], flow, corner))
        merged = merge([read[0], frames[1], read[1]], motion.masks)
        flows = [flow / _FLOW_UNIT for flow in motion.flows]
        rest = torch.cat([*flows, *motion.masks, merged], dim=1)
        change = self.correction(features, frames[1], rest)
        return (merged + change).clamp(0, 1), merged


def _light_first(frame: Tensor) -> Tensor:
    """Six channels as the network has them: light, then codes."""
    return torch.cat([frame[:, 3:], frame[:, :3]], dim=1)


def _corner(region: Region, place: Region) -> tuple[int, int]:
    return region.left - place.left, region.top - place.top


def flow_size(height: int, width: int) -> tuple[int, int]:
    """Size at which flow is found in an image."""
    share = min(FLOW_SHARE, math.sqrt(FLOW_PIXELS / (height * width)))
    rows, columns = (math.ceil(side * share / _MULTIPLE) * _MULTIPLE for side in (height, width))
    return rows, columns


def enlarged(motion: Tensor, size: tuple[int, int], region: Region) -> Motion:
    """The motion on a region of an image of a size, from that of `SafNet.look`."""
    height, width = motion.shape[-2:]
    y = torch.arange(region.top, region.bottom, device=motion.device, dtype=motion.dtype)
    x = torch.arange(region.left, region.right, device=motion.device, dtype=motion.dtype)
    grid = _grid((x + 0.5) / size[1] * 2 - 1, (y + 0.5) / size[0] * 2 - 1)
    grid = grid.expand(len(motion), -1, -1, -1)
    found = F.grid_sample(motion, grid, mode="bilinear", padding_mode="border", align_corners=False)
    scale = found.new_tensor([size[1] / width, size[0] / height]).view(1, 2, 1, 1)
    masks = torch.sigmoid(found[:, 4:])
    return Motion([found[:, :2] * scale, found[:, 2:4] * scale], [masks[:, :1], masks[:, 1:]])


def warp(image: Tensor, flow: Tensor, corner: tuple[int, int] = (0, 0)) -> Tensor:
    """An image (B, C, H, W) read where a flow (B, 2, h, w) points, (B, C, h, w), in float32.

    corner: x and y in the image of the flow's first pixel. Beyond the image its border is repeated.
    """
    height, width = image.shape[-2:]
    rows, columns = flow.shape[-2:]
    flow = flow.to(torch.promote_types(flow.dtype, torch.float32))
    x = torch.arange(columns, device=flow.device, dtype=flow.dtype) + corner[0]
    y = torch.arange(rows, device=flow.device, dtype=flow.dtype) + corner[1]
    unit = flow.new_tensor([2 / max(1, width - 1), 2 / max(1, height - 1)])
    grid = (_grid(x, y) + flow.permute(0, 2, 3, 1)) * unit - 1
    found: Tensor = F.grid_sample(
        image.to(grid.dtype), grid, mode="bilinear", padding_mode="border", align_corners=True
    )
    return found


def _grid(x: Tensor, y: Tensor) -> Tensor:
    """Places (1, h, w, 2) of columns (w,) and rows (h,)."""
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)[None]


def merge(frames: Sequence[Tensor], masks: Sequence[Tensor]) -> Tensor:
    """The mean (B, 3, h, w) of three frames' light, weighed by the reference's codes and the masks.

    frames: light and codes, (B, 6, h, w) each. Where the reference is bright the dark frame counts
    as far as its mask says, where it is dark the bright one, else the reference.
    """
    codes = frames[1][:, 3:]
    from_dark = (2 * codes - 1).clamp_min(0) * masks[0]
    from_bright = (1 - 2 * codes).clamp_min(0) * masks[1]
    own = 1 - from_dark - from_bright
    weights = (from_dark, own, from_bright)
    found: Tensor = sum(  # type: ignore[assignment]
        weight * frame[:, :3] for weight, frame in zip(weights, frames, strict=True)
    )
    return found


NETWORK = NetworkKind(
    name="safnet",
    architecture=SafNetArchitecture,
    build=SafNet,
    train_command="ghostless train safnet",
    sides=lambda _: Sides(1, _MULTIPLE),
)

"""CF-Net: fuses a pair and enlarges it at once, two branches that correct each other.

Paper: Deng, Zhang, Xu, Gu, Duan: Deep Coupled Feedback Network for Joint Exposure Fusion and Image
    Super-Resolution, IEEE Transactions on Image Processing 2021.
Built as: a branch for each frame, which finds features, goes up to the larger size and down again
    several times in a densely connected block, and then in three coupled blocks that also see what
    the other branch has; every block's features are brought to a picture on top of the enlarged
    frame. The result is the mean of both branches' last pictures (2,894,249 parameters; the
    paper's network, `channels=64, groups=6`, has 17,048,297 and takes six times as long).
Differs from the paper:
    - Frames are reduced to a half (bicubic) and brought back by the network, so that the result has
      the frames' size; the paper's task is to enlarge them. Fine detail is what the network makes
      up for it: softer than the frames.
    - `scale=1` leaves the size alone, with convolutions of 3 x 3 pixels in place of the steps up
      and down.
    - Any number of frames, by fusing in turn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..bracket import Fused, Stack
from ..nn.blocks import in_full_precision
from ..nn.fullsize import Tile, make_tiles, run_in_tiles, tile_budget
from ..nn.tiled import PairReader
from ..nn.weights import LoadedNetwork, NetworkKind, Sides
from ..pixels.stripes import Progress
from .pairs import WriteTile, fuse_pairs
from .settings import PairSettings

# Kernel, stride and padding of the steps up and down, by scale.
_STEPS = {1: (3, 1, 1), 2: (6, 2, 2), 4: (8, 4, 2)}
# How far a step up and one down see together, in pixels of the reduced frames.
_REACH_OF_STEPS = {1: 2, 2: 2, 4: 1}
# After this group of a coupled block its branch looks at the other again.
_REFRESHED = 2
_INITIAL_SLOPE = 0.2


@dataclass(frozen=True)
class CfNetArchitecture:
    """Which network; the paper's is channels=64, groups=6.

    scale: how many times smaller the frames that it sees are than its result: 2 or 4 as in the
        paper, or 1. channels: of its features. groups: steps up and down in each block, 3 or more.
        coupled_blocks: of each branch.
    """

    scale: Literal[1, 2, 4] = 2
    channels: int = 32
    groups: int = 4
    coupled_blocks: int = 3

    def __post_init__(self) -> None:
        if self.scale not in _STEPS:
            raise ValueError(f"expected a scale of 1, 2 or 4, found {self.scale}")
        if self.groups <= _REFRESHED:
            raise ValueError(f"expected {_REFRESHED + 1} groups or more, found {self.groups}")
        if self.coupled_blocks < 1:
            raise ValueError(f"expected 1 of coupled_blocks or more, found {self.coupled_blocks}")

    @property
    def halo_pixels(self) -> int:
        """How far it sees, in pixels of its result."""
        blocks = 1 + self.coupled_blocks
        reach = _REACH_OF_STEPS[self.scale] * self.groups * blocks
        # The first convolution, the last step up with its convolution, and the reduction.
        return self.scale * (reach + 3) + (2 * self.scale if self.scale > 1 else 0)


class _Conv(nn.Module):
    """A convolution with bias and a PReLU of one slope."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int = 1,
        *,
        stride: int = 1,
        padding: int = 0,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, kernel, stride, padding)
        self.activation = nn.PReLU(init=_INITIAL_SLOPE)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.activation(self.conv(x))
        return out


class _Up(nn.Module):
    """To the size of the result: a transposed convolution and a PReLU."""

    def __init__(self, channels: int, scale: int) -> None:
        super().__init__()
        kernel, stride, padding = _STEPS[scale]
        self.conv = nn.ConvTranspose2d(channels, channels, kernel, stride, padding)
        self.activation = nn.PReLU(init=_INITIAL_SLOPE)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.activation(self.conv(x))
        return out


class _Groups(nn.Module):
    """Steps up to the size of the result and down again, each seeing all that came before."""

    def __init__(self, architecture: CfNetArchitecture, *, coupled: bool) -> None:
        super().__init__()
        width, count, scale = architecture.channels, architecture.groups, architecture.scale
        kernel, stride, padding = _STEPS[scale]
        self.join_low = nn.ModuleList(_Conv(width * (i + 1), width) for i in range(1, count))
        self.up = nn.ModuleList(_Up(width, scale) for _ in range(count))
        self.join_high = nn.ModuleList(_Conv(width * (i + 1), width) for i in range(1, count))
        self.down = nn.ModuleList(
            _Conv(width, width, kernel, stride=stride, padding=padding) for _ in range(count)
        )
        self.refresh = _Conv(2 * width, width) if coupled else None
        self.last = _Conv(width * count, width)

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        """Features (B, C, h, w) to the same shape; other: what the other branch has."""
        lows, highs = [x], []
        for index in range(len(self.up)):
            low = torch.cat(lows, dim=1)
            low = self.join_low[index - 1](low) if index else low
            highs.append(self.up[index](low))
            high = torch.cat(highs, dim=1)
            high = self.join_high[index - 1](high) if index else high
            low = self.down[index](high)
            if index == _REFRESHED and self.refresh is not None and other is not None:
                low = self.refresh(torch.cat([low, other], dim=1))
            lows.append(low)
        out: Tensor = self.last(torch.cat(lows[1:], dim=1))
        return out


class _Branch(nn.Module):
    """What one frame has for itself."""

    def __init__(self, architecture: CfNetArchitecture, *, first_active: bool) -> None:
        super().__init__()
        width = architecture.channels
        # In the authors' program the dark frame's first convolution has no activation.
        self.first: nn.Module = (
            _Conv(3, 4 * width, 3, padding=1)
            if first_active
            else nn.Conv2d(3, 4 * width, 3, padding=1)
        )
        self.second = _Conv(4 * width, width)
        self.enter = _Conv(width, width)
        self.alone = _Groups(architecture, coupled=False)
        blocks = architecture.coupled_blocks
        self.meet = nn.ModuleList(_Conv(3 * width, width) for _ in range(blocks))
        self.coupled = nn.ModuleList(_Groups(architecture, coupled=True) for _ in range(blocks))
        # For each block a step up and what makes colours of it.
        self.drawing = nn.ModuleList(
            layer
            for _ in range(blocks + 1)
            for layer in (_Up(width, architecture.scale), nn.Conv2d(width, 3, 3, padding=1))
        )

    def start(self, frame: Tensor) -> tuple[Tensor, Tensor]:
        """Features of a reduced frame (B, 3, h, w), -1..1, and what the first block makes."""
        features = self.second(self.first(frame))
        return features, self.alone(self.enter(features))

    def couple(self, number: int, features: Tensor, own: Tensor, other: Tensor) -> Tensor:
        met = self.meet[number](torch.cat([features, own, other], dim=1))
        out: Tensor = self.coupled[number](met, other)
        return out

    def draw(self, step: int, made: Tensor, frame: Tensor) -> Tensor:
        """The picture (B, 3, H, W), -1..1, of a block's features, on top of the reduced frame."""
        up, last = self.drawing[2 * step], self.drawing[2 * step + 1]
        added = in_full_precision(last, up(made))
        size = (added.shape[2], added.shape[3])
        return (F.interpolate(frame, size, mode="bilinear") + added).clamp(-1, 1)


class CfNet(nn.Module):
    """The fusion network.

    over, under: RGB (B, 3, H, W), 0..1, sides multiples of the scale. Returns the same shape, 0..1.
    """

    def __init__(self, architecture: CfNetArchitecture = CfNetArchitecture()) -> None:
        super().__init__()
        self.architecture = architecture
        self.over = _Branch(architecture, first_active=True)
        self.under = _Branch(architecture, first_active=False)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(module.weight, _INITIAL_SLOPE)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(self, *, over: Tensor, under: Tensor) -> Tensor:
        scale = self.architecture.scale
        frames = (reduced(frame, scale) * 2 - 1 for frame in (over, under))
        first, second = self.pictures(*frames, last_only=True)[0]
        return (first + second + 2) / 4

    def pictures(
        self, over: Tensor, under: Tensor, *, last_only: bool = False
    ) -> list[tuple[Tensor, Tensor]]:
        """What both branches make of reduced frames, (B, 3, h, w), -1..1, block after block.

        Pictures (B, 3, H, W), -1..1, of the bright frame's branch and of the dark one's; those of
        the first blocks are taught to be the enlarged frames alone.
        """
        over_features, over_made = self.over.start(over)
        under_features, under_made = self.under.start(under)
        made = [(over_made, under_made)]
        for number in range(self.architecture.coupled_blocks):
            first, second = made[-1]
            made.append(
                (
                    self.over.couple(number, over_features, first, second),
                    self.under.couple(number, under_features, second, first),
                )
            )
        steps = list(enumerate(made))[-1:] if last_only else list(enumerate(made))
        return [
            (self.over.draw(step, first, over), self.under.draw(step, second, under))
            for step, (first, second) in steps
        ]


def reduced(frames: Tensor, scale: int) -> Tensor:
    """Frames (B, 3, H, W), 0..1, to a scale-th of their sides, bicubic without aliases."""
    if scale == 1:
        return frames
    size = [side // scale for side in frames.shape[2:]]
    with torch.autocast(frames.device.type, enabled=False):
        small = F.interpolate(frames.float(), size, mode="bicubic", antialias=True)
    return small.clamp(0, 1)


def _run(
    loaded: LoadedNetwork, read: PairReader, write: WriteTile, progress: Progress | None
) -> None:
    how: CfNetArchitecture = loaded.network.architecture

    def fuse_tile(tile: Tile) -> Tensor:
        over, under = read(tile.outer)
        fused: Tensor = loaded.network(over=over, under=under)
        return fused

    # Peak of all tensors of a tile: what the steps up give, joined, and the features below. Larger
    # tiles than other networks', for it sees far.
    pixel_bytes = 4 * how.channels * (2 * how.groups + 6)
    pixels = tile_budget(loaded.device, pixel_bytes)
    tiles = make_tiles(*read.size, how.halo_pixels, how.scale, pixels)
    run_in_tiles(fuse_tile, write, tiles, progress=progress)


NETWORK = NetworkKind(
    name="cf-net",
    architecture=CfNetArchitecture,
    build=CfNet,
    train_command="ghostless train cf-net",
    sides=lambda architecture: Sides(architecture.scale),
    run=_run,
)


def fuse(stack: Stack, settings: PairSettings, progress: Progress | None = None) -> Fused:
    """Fuse two or more frames, dark to bright, into a display image: see `pairs.fuse_pairs`."""
    return fuse_pairs(stack, settings, "cf-net", progress=progress)

"""What the under-exposed frame of a pair foretells of the over-exposed one, and where that holds.

Not of the paper. Its attention sees 7 pixels of both frames, whose exposures it does not know, so
it cannot tell what moved from what is only brighter. AHDRNet, which it follows, compares frames
that were made alike by their exposure times. Here these are unknown: a curve for each channel, the
mean of the one frame at every level of the other, is measured on the pair itself. What differs from
it has moved, or lies where the other frame is too dark or too bright to tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import Activation, ConvBlock, DeconvBlock, in_full_precision

# Levels at which curves are measured, by the root: dense in the dark, where dark frames are.
NODES = 33
# What a gate sees around each pixel: three halvings and doublings with kernels of 4, and four
# kernels of 3, one of them at an eighth of the size.
GATE_HALO = 40
GATE_MULTIPLE = 8
# Tensors alive at once, in float32: what it sees, its finest maps, and the curves' weights.
GATE_BYTES_PER_PIXEL = 480
# Half a code of 8 bits: of black and white, whose logits are infinite.
LEAST = 0.5 / 255
_SEEN = 18
_WIDTH = 16
# By so much a level leans on its neighbours, on those around and on all: enough where none was
# seen.
_LEANING = ((1.5, 1e-2), (6.0, 1e-4), (100.0, 1e-7))


def add_to(fused: Tensor, change: Tensor) -> Tensor:
    """Change an image (B, 3, H, W), 0..1, by logits of the same shape; returns 0..1."""
    logits: Tensor = torch.logit(fused.clamp(LEAST, 1 - LEAST)) + change
    return logits.sigmoid()


# Curves


def gather(under: Tensor, over: Tensor) -> Tensor:
    """What curves are made of, (B, 2, 3, NODES, 3): from under to over, and back.

    under, over: (B, 3, H, W), 0..1, even sides, or regions of them that touch: their sums add up.
    Of every level the weight, and the sums of the other frame's values and squares.
    """
    with torch.autocast(under.device.type, enabled=False):
        # Means of four pixels: noise would bend curves, and misses by a pixel too.
        small = [F.avg_pool2d(_exactly(image), 2).flatten(2) for image in (under, over)]
        return torch.stack([_sums(*small), _sums(*small[::-1])], dim=1)


def _sums(source: Tensor, target: Tensor) -> Tensor:
    """(B, 3, N) each to (B, 3, NODES, 3)."""
    nodes = torch.arange(NODES, device=source.device, dtype=source.dtype)
    weights = (1 - (_place(source)[:, :, None] - nodes[:, None]).abs()).clamp_min(0)
    values = torch.stack([torch.ones_like(target), target, target.square()], dim=3)
    return weights @ values


def make_curves(sums: Tensor) -> Tensor:
    """Mean and standard deviation at every level: (B, 2, 3, NODES, 2) of `gather`'s sums."""
    nodes = torch.arange(NODES, device=sums.device, dtype=sums.dtype)
    apart = (nodes[:, None] - nodes).square()
    leaning = torch.eye(NODES, device=sums.device, dtype=sums.dtype)
    for width, share in _LEANING:
        leaning = leaning + share * torch.exp(-apart / (2 * width**2))
    with torch.autocast(sums.device.type, enabled=False):
        weight, total, squares = (leaning @ sums).unbind(dim=-1)
    mean = total / weight
    spread = (squares / weight - mean.square()).clamp_min(1e-8).sqrt()
    return torch.stack([mean, spread], dim=-1)


def look_up(curves: Sequence[Tensor], image: Tensor) -> list[Tensor]:
    """Values of curves (B, 3, NODES) at the levels of an image (B, 3, H, W), 0..1, for each."""
    place = _place(image.to(curves[0].dtype)).flatten(2)
    lower = place.floor().clamp_max(NODES - 2)
    share = place - lower
    index = lower.long()
    found = []
    for curve in curves:
        low, high = curve.gather(2, index), curve.gather(2, index + 1)
        found.append((low + share * (high - low)).reshape(image.shape))
    return found


def _place(image: Tensor) -> Tensor:
    return image.clamp(0, 1).sqrt() * (NODES - 1)


def _exactly(image: Tensor) -> Tensor:
    return image.float() if image.dtype in (torch.bfloat16, torch.float16) else image


# The gate


class Gate(nn.Module):
    """Tells how far an over-exposed frame shows what the under-exposed one does, and what it hides.

    A small U-Net on both frames, on what each exceeds its expectation by, and on how sure that is.
    """

    def __init__(self) -> None:
        super().__init__()
        width = _WIDTH
        sides = (width, width * 3 // 2, width * 2, width * 3)
        self.fine = _conv(_SEEN, width)
        self.down = nn.ModuleList(
            _conv(low, high, 4, stride=2, padding=1) for low, high in pairwise(sides)
        )
        self.bottom = _conv(sides[-1], sides[-1])
        self.up = nn.ModuleList(
            DeconvBlock(high if level == 2 else 2 * high, low)
            for level, (low, high) in enumerate(pairwise(sides))
        )
        self.joined = _conv(2 * width, width)
        self.answer = _conv(width, 4, activation="none")
        # At first everything passes, and what does not is the expectation itself.
        nn.init.zeros_(self.answer.conv.weight)
        with torch.no_grad():
            assert self.answer.conv.bias is not None
            self.answer.conv.bias.copy_(torch.tensor([3.0, 0.0, 0.0, 0.0]))

    @torch.no_grad()
    def temper(self, gain: float, lift: float) -> None:
        """Multiply the logits of what passes and raise them, for good.

        A gate that has learnt from as many changed pixels as unchanged ones takes too much for
        changed where nearly all is unchanged.
        """
        conv = self.answer.conv
        assert conv.bias is not None
        conv.weight[0] *= gain
        conv.bias[0] = gain * conv.bias[0] + lift

    def forward(self, under: Tensor, over: Tensor, curves: Tensor) -> tuple[Tensor, Tensor]:
        """How much of the over-exposed frame passes, (B, 1, H, W), and what else is there instead.

        under, over: (B, 3, H, W), 0..1, sides multiples of 8. curves: of `make_curves`, of the
        whole frames. The second is (B, 3, H, W), 0..1: the over-exposed frame as it would be.
        """
        expected, spread = look_up(curves[:, 0].unbind(dim=-1), under)
        (back,) = look_up([curves[:, 1, ..., 0]], over)
        seen = [under, over, expected, 4 * (over - expected), 4 * spread, 4 * (under - back)]
        fine = self.fine(torch.cat([image.to(under.dtype) for image in seen], dim=1))
        maps = [fine]
        for layer in self.down:
            maps.append(layer(maps[-1]))
        out = self.bottom(maps.pop())
        for level in (2, 1, 0):
            out = self.up[level](out)
            if level:
                out = torch.cat([out, maps.pop()], dim=1)
        joined = self.joined(torch.cat([out, fine], dim=1))
        answer = in_full_precision(self.answer, joined)
        return answer[:, :1].sigmoid(), add_to(expected, answer[:, 1:])


def _conv(
    channels_in: int,
    channels_out: int,
    kernel: int = 3,
    *,
    stride: int = 1,
    padding: int | None = None,
    activation: Activation = "leaky_0.2",
) -> ConvBlock:
    # Beyond the border lies more of the same, not black.
    return ConvBlock(
        channels_in,
        channels_out,
        kernel,
        stride=stride,
        padding=padding,
        padding_mode="replicate",
        activation=activation,
    )


def let_through(over: Tensor, passes: Tensor, instead: Tensor) -> Tensor:
    """The over-exposed frame with what does not pass replaced: (B, 3, H, W), 0..1."""
    return instead + passes * (over - instead)

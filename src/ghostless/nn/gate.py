"""What the under-exposed frame of a pair foretells of the over-exposed one, and where that holds.

Not of the paper. Its attention sees 7 pixels of both frames, whose exposures it does not know, so
it cannot tell what moved from what is only brighter. AHDRNet, which it follows, compares frames
that were made alike by their exposure times. Here these are unknown: a curve for each channel, the
mean of the one frame at every level of the other, is measured on the pair itself. What differs from
it has moved, or lies where the other frame is too dark or too bright to tell: there a code of noise
stands for half the range of the other frame, and whatever that shows passes, unless both frames
contradict each other beyond all doubt.
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
# kernels of 3, one of them at an eighth of the size; and twice how far an area reaches.
GATE_HALO = 56
GATE_MULTIPLE = 8
# Tensors alive at once, in float32: what it sees, its finest maps, and the curves' weights.
GATE_BYTES_PER_PIXEL = 480
# Half a code of 8 bits: of black and white, whose logits are infinite.
LEAST = 0.5 / 255
_SEEN = 18
_WIDTH = 16
# By so much noise and rounding put a level off.
_NOISE = 2 / 255
# Between such doubts of what is foretold, of 0..1, the gate is let open; and between so many doubts
# off in both directions it may shut all the same, as around it, this many pixels on each side.
_DOUBTS = (0.06, 0.12)
_CONTRADICTIONS = (1.0, 2.0)
_AROUND = 2
# An area is what is hidden in such shares within this many pixels on each side, and as far around.
_AREA_PIXELS = 6
_AREA_SHARES = (0.6, 0.9)
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
    weights = _tents(source)
    values = torch.stack([torch.ones_like(target), target, target.square()], dim=3)
    return weights @ values


def make_curves(sums: Tensor) -> Tensor:
    """Mean and doubt at every level: (B, 2, 3, NODES, 2) of `gather`'s sums.

    Doubt is how far the other frame lies from that mean: by the standard deviation of what was
    seen, and by what noise makes of the mean where the curve is steep.
    """
    nodes = torch.arange(NODES, device=sums.device, dtype=sums.dtype)
    apart = (nodes[:, None] - nodes).square()
    leaning = torch.eye(NODES, device=sums.device, dtype=sums.dtype)
    for width, share in _LEANING:
        leaning = leaning + share * torch.exp(-apart / (2 * width**2))
    levels = (nodes / (NODES - 1)).square()
    off = [_tents((levels + noise).clamp(0, 1)) for noise in (_NOISE, -_NOISE)]
    with torch.autocast(sums.device.type, enabled=False):
        weight, total, squares = (leaning @ sums).unbind(dim=-1)
        mean = total / weight
        variance = squares / weight - mean.square()
        by_noise = mean @ (off[0] - off[1]) / 2
        doubt = (variance + by_noise.square()).clamp_min(1e-8).sqrt()
    return torch.stack([mean, doubt], dim=-1)


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


def _tents(levels: Tensor) -> Tensor:
    """Shares of nodes in levels (..., N), 0..1: (..., NODES, N)."""
    nodes = torch.arange(NODES, device=levels.device, dtype=levels.dtype)
    shares: Tensor = (1 - (_place(levels)[..., None, :] - nodes[:, None]).abs()).clamp_min(0)
    return shares


def _place(image: Tensor) -> Tensor:
    return image.clamp(0, 1).sqrt() * (NODES - 1)


def _exactly(image: Tensor) -> Tensor:
    return image.float() if image.dtype in (torch.bfloat16, torch.float16) else image


# The gate


class Gate(nn.Module):
    """Tells how far an over-exposed frame shows what the under-exposed one does, and what it hides.

    A small U-Net on both frames, on what each exceeds its expectation by, and on how sure that is.
    At use it hides areas only, and not where nobody can tell; while it learns, any pixel.
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
        expected, doubt = look_up(curves[:, 0].unbind(dim=-1), under)
        back, back_doubt = look_up(curves[:, 1].unbind(dim=-1), over)
        seen = [under, over, expected, 4 * (over - expected), 4 * doubt, 4 * (under - back)]
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
        hidden = (-answer[:, :1]).sigmoid()
        if not self.training:
            # Of what is cut off nothing would be learnt.
            off = (over - expected) / (doubt + _NOISE)
            back_off = (under - back) / (back_doubt + _NOISE)
            hidden = keep_areas(may_hide(doubt, off, back_off) * hidden)
        return 1 - hidden, add_to(expected, answer[:, 1:])


def may_hide(doubt: Tensor, off: Tensor, back_off: Tensor) -> Tensor:
    """How far a gate may shut, (B, 1, H, W), 0..1: not where nobody can tell what changed.

    doubt: of the over-exposed frame as foretold. off, back_off: how many doubts it lies off, and
    the under-exposed one off what it foretells. (B, 3, H, W) each. Where the under-exposed frame is
    black, its black stands for anything from black to the middle of the range; that is foretold as
    its mean, from which nearly all of it differs. Only what is off in both directions is not seen
    elsewhere in the frames.
    """
    sure = 1 - _ramp(doubt.mean(dim=1, keepdim=True), *_DOUBTS)
    both = (off * back_off).abs().clamp_min(1e-8).sqrt().amax(dim=1, keepdim=True)
    contradicted = _mean_around(_ramp(both, *_CONTRADICTIONS), _AROUND)
    return 1 - (1 - sure) * (1 - contradicted)


def keep_areas(hidden: Tensor) -> Tensor:
    """What is hidden (B, 1, H, W), 0..1, in areas and at their edges.

    Things that move are areas. Lines and dots are edges that are misaligned by a pixel or two, or
    leaves, and cost more detail hidden than they show ghosts.
    """
    inner = _ramp(_mean_around(hidden, _AREA_PIXELS), *_AREA_SHARES)
    padded = F.pad(inner, (_AREA_PIXELS,) * 4, mode="replicate")
    return torch.minimum(hidden, F.max_pool2d(padded, 2 * _AREA_PIXELS + 1, 1))


def _mean_around(image: Tensor, pixels: int) -> Tensor:
    return F.avg_pool2d(F.pad(image, (pixels,) * 4, mode="replicate"), 2 * pixels + 1, 1)


def _ramp(values: Tensor, low: float, high: float) -> Tensor:
    return ((values - low) / (high - low)).clamp(0, 1)


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

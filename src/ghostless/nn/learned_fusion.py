"""The network behind `methods/learned_fusion.py`: it corrects the weights of exposure fusion.

Source: none published. Exposure fusion as in Mertens, Kautz, Van Reeth, Pacific Graphics 2007, with
    weights that a network corrects band by band: the idea of MEF-Net (Ma, Duanmu, Zhu, Fang, Wang,
    TIP 2020), a network that sees small copies and gives weights, never pixels, with sets of any
    size as in Deep Sets (Zaheer et al., NeurIPS 2017).
Built as: every photo's small copy goes through the same U-Net; at every scale each photo also sees
    the mean and the largest of what the others have. Out come three coarse maps per photo and
    band: how much the weight of exposure fusion counts, how much the photo's own detail in that
    band, and what is added to both. All are 0 at the start, which is exposure fusion. A curve for
    the whole picture, two numbers, follows.

Here it is as tensors, for training; `methods/learned_fusion.py` does the same without torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..pixels.color import LUMA_601
from ..pixels.pyramid_steps import halvings_alike
from .learned_bands import (
    BANDS,
    CHANNELS,
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
from .priors import expand_by, mertens_weights, reduce_by
from .weights import NetworkKind


@dataclass(frozen=True)
class LearnedFusionArchitecture:
    """Widths of the network's layers.

    channels: at a half of the copies' size, and at each further halving of it. curve_channels: of
    what the curve is chosen by.
    """

    channels: tuple[int, ...] = (16, 24, 32, 40, 48)
    curve_channels: int = 24

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))


class LearnedFusionNetwork(nn.Module):
    """From photos to their fusion; `guide` is what it has learnt."""

    def __init__(
        self, architecture: LearnedFusionArchitecture = LearnedFusionArchitecture()
    ) -> None:
        super().__init__()
        self.architecture = architecture
        widths = architecture.channels
        # Stubs know a module's own modules only as modules.
        self.down: Any = nn.ModuleList(
            _Among(above, width, stride=2) for above, width in pairwise((CHANNELS, *widths))
        )
        self.up: Any = nn.ModuleList(
            _Among(below + width, width) for width, below in pairwise(widths[1:])
        )
        self.last = nn.Conv2d(widths[1], MAPS * BANDS, 3, padding=1)
        # Two photos are judged by what they have in common, more by how their fusion came out too.
        self.gist = nn.Linear(2 * widths[-1], architecture.curve_channels)
        self.curve = nn.Linear(architecture.curve_channels, 2)
        self.gist_of_more = nn.Linear(2 * widths[-1] + len(TONES) + 1, architecture.curve_channels)
        self.curve_of_more = nn.Linear(architecture.curve_channels, 2)
        self.share = nn.Linear(2 * widths[-1] + 1, 1)
        for layer in (self.last, self.curve, self.curve_of_more, self.share):
            nn.init.zeros_(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def guide(self, copies: Tensor) -> tuple[Tensor, Tensor]:
        """Small copies [B x N x 3 x h x w], 0..1, to maps and what all photos have in common.

        Maps: [B x N x 3 x 9 x h/4 x w/4]. In common: [B x C], for `choose_curve`.
        """
        batch, count = copies.shape[:2]
        weights = torch.stack(mertens_weights(list(copies.unbind(1))), dim=1)
        logs = (weights + WEIGHT_FLOOR).log() / LOG_SCALE
        counts = torch.full_like(logs, crowd(count))
        levels = [torch.cat([copies - 0.5, logs, counts], dim=2).flatten(0, 1)]
        for layer in self.down:
            levels.append(layer(levels[-1], count))
        found = levels.pop()
        means = found.mean(dim=(2, 3)).view(batch, count, -1)
        common = torch.cat([means.mean(dim=1), means.amax(dim=1)], dim=1)
        for layer in reversed(self.up):
            skipped = levels.pop()
            height, width = skipped.shape[-2:]
            wide = F.interpolate(found, scale_factor=2, mode="nearest")[..., :height, :width]
            found = layer(torch.cat([wide, skipped], dim=1), count)
        maps = self.last(found)
        if count > 2:
            # The more of the scene's range the photos cover, the less there is to correct.
            told = torch.cat([common, torch.full_like(common[:, :1], crowd(count))], dim=1)
            share = 2 * torch.sigmoid(self.share(told))
            maps = maps * share.repeat_interleave(count, dim=0).view(-1, 1, 1, 1)
        maps = maps.view(batch, count, MAPS, BANDS, *maps.shape[-2:])
        return maps, common

    def choose_curve(self, common: Tensor, fused: Tensor, count: int) -> Tensor:
        """The curve's two numbers [B x 2] for a fusion [B x 3 x H x W] of so many photos."""
        if count <= 2:
            return _limited(self.curve(F.relu(self.gist(common))))
        counts = torch.full_like(common[:, :1], crowd(count))
        return self.curve_for_more(torch.cat([common, tones(fused.detach()), counts], dim=1))

    def curve_for_more(self, told: Tensor) -> Tensor:
        """The same for more than two: from what is in common, the tones and the count."""
        return _limited(self.curve_of_more(F.relu(self.gist_of_more(told))))

    def forward(self, photos: Tensor) -> Tensor:
        """Photos [B x N x 3 x H x W], display values 0..1, to their fusion [B x 3 x H x W].

        It may leave 0..1 a little, as exposure fusion does.
        """
        maps, common = self.guide(small_copies(photos))
        fused = blend(photos, maps)
        return bend(fused, self.choose_curve(common, fused, photos.shape[1]))


def _limited(numbers: Tensor) -> Tensor:
    """Numbers of a curve such that |a| + |b| < 1, which keeps it from falling anywhere."""
    limited: Tensor = CURVE_LIMIT * numbers / (1 + numbers.abs().sum(dim=1, keepdim=True))
    return limited


class _Among(nn.Module):
    """A convolution of each photo's features, then what all photos have of each added."""

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1) -> None:
        super().__init__()
        self.own = nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1)
        self.among = nn.Conv2d(2 * channels_out, channels_out, 1)
        nn.init.kaiming_normal_(self.own.weight, nonlinearity="relu")
        nn.init.normal_(self.among.weight, std=0.5 / math.sqrt(2 * channels_out))

    def forward(self, x: Tensor, count: int) -> Tensor:
        """[B*N x C x h x w] of N photos each to [B*N x C' x h' x w']."""
        own = F.relu(self.own(x))
        photos = own.view(-1, count, *own.shape[1:])
        shared = torch.cat([photos.mean(dim=1), photos.amax(dim=1)], dim=1)
        context = self.among(shared)[:, None].expand(-1, count, -1, -1, -1)
        return F.relu(own + context.flatten(0, 1))


def small_copies(photos: Tensor) -> Tensor:
    """Photos [B x N x 3 x H x W] as large as the network sees them."""
    height, width = photos.shape[-2:]
    scale = COPY_PIXELS / max(height, width)
    if scale >= 1:
        return photos
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    small = F.interpolate(
        photos.flatten(0, 1), size, mode="bilinear", align_corners=False, antialias=True
    )
    return small.view(*photos.shape[:3], *size)


def tones(fused: Tensor) -> Tensor:
    """How dark and bright a fusion [B x 3 x H x W] is: quantiles of its greys, around 0."""
    small = small_copies(fused[:, None])[:, 0].clamp(0, 1)
    red, green, blue = (float(weight) for weight in LUMA_601)
    greys = red * small[:, 0] + green * small[:, 1] + blue * small[:, 2]
    shares = torch.tensor(TONES, dtype=greys.dtype, device=greys.device)
    found: Tensor = torch.quantile(greys.flatten(1), shares, dim=1).T
    return found - 0.5


def blend(photos: Tensor, maps: Tensor) -> Tensor:
    """Exposure fusion of photos [B x N x 3 x H x W] whose weights are corrected by maps."""
    frames = list(photos.unbind(1))
    steps = halvings_alike((photos.shape[-2], photos.shape[-1]))
    pictures = [photos.flatten(0, 1)]
    shares = [torch.stack(mertens_weights(frames), dim=1).flatten(0, 1)]
    for step in steps:
        pictures.append(reduce_by(step, pictures[-1]))
        shares.append(reduce_by(step, shares[-1]))
    batch, count = photos.shape[:2]
    fused: Tensor | None = None
    corrected: Tensor | None = None
    for level in reversed(range(len(pictures))):
        band, share = pictures[level], shares[level]
        size = (band.shape[-2], band.shape[-1])
        coarsest = level == len(steps)
        if not coarsest:
            band = band - expand_by(steps[level], pictures[level + 1])
        if level == 0 and corrected is not None:
            # The finest band is weighed as the next one is: most of it is noise.
            corrected = expand_by(steps[0], corrected.flatten(0, 1)).view(batch, count, 1, *size)
        else:
            detail = torch.zeros_like(share) if coarsest else _detail(band)
            corrected = corrected_weights(
                share.view(batch, count, 1, *size),
                detail.view(batch, count, 1, *size),
                maps_at(maps, size),
            )
        here = (corrected * band.view(batch, count, 3, *size)).sum(dim=1)
        fused = here if fused is None else here + expand_by(steps[level], fused)
    assert fused is not None
    return fused


def _detail(band: Tensor) -> Tensor:
    """Mean absolute luma of a band [B x 3 x H x W] around each pixel: [B x 1 x H x W]."""
    red, green, blue = (float(weight) for weight in LUMA_601)
    luma = (red * band[:, :1] + green * band[:, 1:2] + blue * band[:, 2:]).abs()
    reach = DETAIL_WINDOW // 2
    return F.avg_pool2d(F.pad(luma, (reach,) * 4, mode="replicate"), DETAIL_WINDOW, 1)


def corrected_weights(shares: Tensor, detail: Tensor, maps: Tensor) -> Tensor:
    """Weights of one band, [B x N x 1 x H x W], adding up to 1.

    shares: those of exposure fusion. detail: see above. maps: [B x N x 3 x H x W].
    """
    trust, detailed, added = (maps[:, :, number : number + 1] for number in range(MAPS))
    logs = (shares + WEIGHT_FLOOR).log()
    details = (detail + DETAIL_FLOOR).log()
    details = details - details.mean(dim=1, keepdim=True)
    return torch.softmax((1 + trust) * logs + detailed * details + added, dim=1)


def maps_at(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps [B x N x 3 x 9 x h x w] for a level of (H, W): [B x N x 3 x H x W]."""
    low, share = band_of(size)
    chosen = maps[:, :, :, low] * (1 - share) + maps[:, :, :, low + 1] * share
    flat = chosen.flatten(0, 1)
    if size[0] >= flat.shape[-2] and size[1] >= flat.shape[-1]:
        flat = F.interpolate(flat, size, mode="bilinear", align_corners=False)
    else:
        flat = F.adaptive_avg_pool2d(flat, size)
    return flat.view(*chosen.shape[:3], *size)


def bend(picture: Tensor, numbers: Tensor) -> Tensor:
    """A picture [B x 3 x H x W] bent by the curve of two numbers [B x 2].

    x + x (1 - x) (a + b (1 - 2 x)): a brightens or darkens, b lifts shadows and bends highlights.
    Beyond 0..1 it goes on straight.
    """
    a, b = (number.view(-1, 1, 1, 1) for number in numbers.unbind(1))
    x = picture.clamp(0, 1)
    return picture + x * (1 - x) * (a + b * (1 - 2 * x))


NETWORK = NetworkKind(
    name="learned-fusion",
    architecture=LearnedFusionArchitecture,
    build=LearnedFusionNetwork,
    train_command="ghostless train learned-fusion",
)

"""The homography network of Chen & Chuang, the geometry around it, and median threshold bitmaps.

Paper: Chen, Chuang: Deep Exposure Fusion with Deghosting via Homography Estimation and Attention
    Learning, ICASSP 2020, section 2.1; after DeTone, Malisiewicz, Rabinovich: Deep Image Homography
    Estimation, 2016 (4-point form) and Ward, Journal of Graphics Tools 2003 (bitmaps).
Built as: 12 convolutions 3x3 (64, 128, 256 channels, four each) with instance norm and LeakyReLU,
    max-pooling after every second one but the last, two fully connected layers; from two images
    of 256 x 256 pixels and their bitmaps to the offsets of four corners.
Differs from the paper, or fills what it leaves open:
    - Five poolings, so that the fully connected layers see an 8 x 8 grid, as in DeTone's network,
      which is described in the same words. "After every two" taken literally gives six
      (`pool_last=True`) and a third of the parameters.
    - 8 input channels: both images as RGB, -1..1, and both bitmaps, 0 or 1.
    - LeakyReLU of slope 0.2, also after the first fully connected layer; the output in units of 32
      pixels, an eighth of the width, the largest offset of the training.
    - Instance norm after every convolution takes away, with each channel's mean, how far the whole
      image has moved; such a network hardly leaves chance. `instance_norms=4` keeps it where it
      takes out the exposures, and leaves it out where motion is read.
    - Where a median would lie in clipped tones, both bitmaps take another quantile.

A homography H takes pixel centres (x, y, 1) of the first image to those of the second, so that
the second is warped onto the first by warped(x) = second(H x), without inverting anything.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import OptionError
from .blocks import ConvBlock, Norm
from .four_points import (
    BRIGHTEST_THRESHOLD,
    DARKEST_THRESHOLD,
    QUANTILES,
    SIDE_PIXELS,
    network_planes,
)
from .weights import NetworkKind

# One eighth of the side: offsets are learned as shares of this.
LARGEST_OFFSET_PIXELS = 32.0

CONVOLUTIONS = 12


@dataclass(frozen=True)
class HomographyArchitecture:
    """Which homography network.

    pool_last: pool after the last two convolutions too (6,904,584 parameters, not 19,487,496).
    base_channels: of the first four convolutions; the others have two and four times as many.
    hidden: width of the first fully connected layer.
    instance_norms: convolutions with instance norm, counted from the first; the paper has it after
        all 12.
    """

    pool_last: bool = False
    base_channels: int = 64
    hidden: int = 1024
    instance_norms: int = CONVOLUTIONS

    def __post_init__(self) -> None:
        if not 0 <= self.instance_norms <= CONVOLUTIONS:
            raise OptionError(
                f"homography network: expected 0 to {CONVOLUTIONS} instance norms, "
                f"found {self.instance_norms}"
            )
        if not (1 <= self.base_channels <= 256 and 1 <= self.hidden <= 8192):
            raise OptionError(
                "homography network: expected 1 to 256 base channels and 1 to 8192 hidden units, "
                f"found {self.base_channels} and {self.hidden}"
            )


class HomographyNetwork(nn.Module):
    """Estimates how the second image's corners lie against the first's.

    Input (B, 8, 256, 256) from `network_input`. Output (B, 8): offsets in pixels at that size,
    (x, y) of the top left, top right, bottom right and bottom left corner.
    """

    # Sizes that a training may take multiples of, starting from narrower weights.
    widens_by = ("base_channels", "hidden")

    def __init__(self, architecture: HomographyArchitecture | None = None) -> None:
        super().__init__()
        self.architecture = architecture = architecture or HomographyArchitecture()
        layers: list[nn.Module] = []
        channels_in = 8
        for number in range(CONVOLUTIONS):
            channels = architecture.base_channels * 2 ** (number // 4)
            norm: Norm = "instance" if number < architecture.instance_norms else "none"
            layers.append(ConvBlock(channels_in, channels, norm=norm, activation="leaky_0.2"))
            if number % 2 and (number < CONVOLUTIONS - 1 or architecture.pool_last):
                layers.append(nn.MaxPool2d(2))
            channels_in = channels
        self.features = nn.Sequential(*layers)
        grid = SIDE_PIXELS // (64 if architecture.pool_last else 32)
        self.regression = nn.Sequential(
            nn.Flatten(),
            nn.Linear(channels_in * grid * grid, architecture.hidden),
            nn.LeakyReLU(0.2),
            nn.Linear(architecture.hidden, 8),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.regression(self.features(x)) * LARGEST_OFFSET_PIXELS
        return out


HOMOGRAPHY = NetworkKind(
    name="chen-chuang-homography",
    architecture=HomographyArchitecture,
    build=HomographyNetwork,
    train_command="ghostless train chen-chuang",
)


def network_input(first: NDArray[np.float32], second: NDArray[np.float32]) -> Tensor:
    """Join two display images and their bitmaps to a tensor, see `four_points.network_planes`."""
    return torch.from_numpy(network_planes(first, second))


def answer_with(network: HomographyNetwork, planes: NDArray[np.float32]) -> NDArray[np.float32]:
    """The offsets (1, 8) that a network on any device answers to planes (1, 8, 256, 256)."""
    device = next(network.parameters()).device
    with torch.no_grad():
        offsets = network(torch.from_numpy(planes).to(device)).cpu().float()
    return np.asarray(offsets)


# Geometry


def corners(width: int = SIDE_PIXELS, height: int = SIDE_PIXELS) -> Tensor:
    """Pixel centres (4, 2) of the top left, top right, bottom right and bottom left corner."""
    right, bottom = width - 1.0, height - 1.0
    return torch.tensor(
        [[0.0, 0.0], [right, 0.0], [right, bottom], [0.0, bottom]], dtype=torch.float64
    )


def solve_homography(source: Tensor, target: Tensor) -> Tensor:
    """Homographies (B, 3, 3) that take four points each (B, 4, 2) to four others (B, 4, 2).

    The direct linear transform: eight equations for eight unknowns, the ninth element being 1, in
    double precision. Differentiable in both arguments.
    """
    x, y = source.double().unbind(-1)
    u, v = target.double().unbind(-1)
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    rows_u = torch.stack([x, y, one, zero, zero, zero, -u * x, -u * y], dim=-1)
    rows_v = torch.stack([zero, zero, zero, x, y, one, -v * x, -v * y], dim=-1)
    matrix = torch.cat([rows_u, rows_v], dim=1)
    solution = torch.linalg.solve(matrix, torch.cat([u, v], dim=1))
    return torch.cat([solution, solution.new_ones(len(solution), 1)], dim=1).view(-1, 3, 3)


def homography_from_offsets(offsets: Tensor) -> Tensor:
    """Homographies (B, 3, 3), float64, from the network's corner offsets (B, 8)."""
    start = corners().to(offsets.device).expand(len(offsets), 4, 2)
    return solve_homography(start, start + offsets.double().view(-1, 4, 2))


def warp(image: Tensor, matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Warp images (B, C, H, W) by homographies (B, 3, 3): warped(x) = image(H x), bilinear.

    Returns the warped images, borders replicated, and masks (B, 1, H, W), 1 where the source point
    lies within the image. Differentiable in both arguments. Coordinates are computed in double
    precision.
    """
    height, width = image.shape[-2:]
    rows, columns = (
        torch.arange(size, dtype=torch.float64, device=image.device) for size in (height, width)
    )
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    points = torch.stack([x, y, torch.ones_like(x)]).view(3, -1)
    u, v, w = (matrix.double() @ points).view(-1, 3, height, width).unbind(1)
    u, v = u / w, v / w
    inside = (w > 0) & (u >= 0) & (u <= width - 1) & (v >= 0) & (v <= height - 1)
    # align_corners=False: -1 and 1 are the outer edges of the border pixels.
    grid = torch.stack([(2 * u + 1) / width - 1, (2 * v + 1) / height - 1], dim=-1)
    warped = F.grid_sample(image, grid.to(image.dtype), padding_mode="border", align_corners=False)
    return warped, inside.unsqueeze(1).to(image.dtype)


# As a graph for other programs: bitmaps and matrix included, in operations that any batch allows


class HomographyOfPair(nn.Module):
    """The network with its input and output made whole: two pictures in, a homography out.

    dark, bright: (B, 3, 256, 256), display RGB, 0..1. Returns the offsets of the corners
    (B, 4, 2) in pixels and the homographies (B, 3, 3) from dark to bright, both float32.
    """

    def __init__(self, network: HomographyNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, dark: Tensor, bright: Tensor) -> tuple[Tensor, Tensor]:
        bitmaps = _bitmaps_of_batch(dark, bright)
        planes = torch.cat([dark * 2 - 1, bright * 2 - 1, *bitmaps], dim=1)
        offsets = self.network(planes).reshape(-1, 4, 2)
        return offsets, _matrix_of_offsets(offsets)


def _bitmaps_of_batch(first: Tensor, second: Tensor) -> list[Tensor]:
    """The bitmaps of `network_input` for batches: (B, 1, H, W), 0 or 1, float32."""
    weights = first.new_tensor([54.0, 183.0, 19.0]).reshape(1, 3, 1, 1)
    greys, levels = [], []
    for image in (first, second):
        codes = torch.round(image * 255) * weights
        grey = torch.floor(codes.sum(dim=1, keepdim=True) / 256)
        ordered = grey.flatten(1).sort(dim=1).values
        # The level at which a share of the pixels is reached, as in `bitmap_thresholds`.
        count = ordered.shape[1]
        places = [math.ceil(count * quantile) - 1 for quantile in QUANTILES]
        greys.append(grey)
        levels.append(ordered[:, places])
    excess = torch.zeros_like(levels[0])
    for level in levels:
        excess = excess + (DARKEST_THRESHOLD + 1 - level).clamp(min=0)
        excess = excess + (level - BRIGHTEST_THRESHOLD + 1).clamp(min=0)
    # Of equals the first, so the nearest to the median.
    rank = excess * len(QUANTILES) + torch.arange(len(QUANTILES), device=excess.device)
    chosen = rank.argmin(dim=1, keepdim=True)
    return [
        (grey > level.gather(1, chosen).reshape(-1, 1, 1, 1)).to(first.dtype)
        for grey, level in zip(greys, levels, strict=True)
    ]


def _matrix_of_offsets(offsets: Tensor) -> Tensor:
    """Homographies (B, 3, 3) from corner offsets (B, 4, 2), in closed form (Heckbert 1989).

    Heckbert: Fundamentals of Texture Mapping and Image Warping, section 2.2.3, for the unit
    square, here of 255 pixels a side.
    """
    side = SIDE_PIXELS - 1.0
    start = corners().to(offsets)
    x, y = (start + offsets).unbind(dim=2)
    across_x, across_y = x[:, 1] - x[:, 2], y[:, 1] - y[:, 2]
    down_x, down_y = x[:, 3] - x[:, 2], y[:, 3] - y[:, 2]
    sum_x = x[:, 0] - x[:, 1] + x[:, 2] - x[:, 3]
    sum_y = y[:, 0] - y[:, 1] + y[:, 2] - y[:, 3]
    area = across_x * down_y - down_x * across_y
    g = (sum_x * down_y - down_x * sum_y) / area
    h = (across_x * sum_y - sum_x * across_y) / area
    rows = [
        (x[:, 1] - x[:, 0] + g * x[:, 1]) / side,
        (x[:, 3] - x[:, 0] + h * x[:, 3]) / side,
        x[:, 0],
        (y[:, 1] - y[:, 0] + g * y[:, 1]) / side,
        (y[:, 3] - y[:, 0] + h * y[:, 3]) / side,
        y[:, 0],
        g / side,
        h / side,
        torch.ones_like(g),
    ]
    return torch.stack(rows, dim=1).reshape(-1, 3, 3)

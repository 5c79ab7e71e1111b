"""What cameras do to pictures on their way from sensor to file, in torch, batches of brackets.

Pictures are (B, N, 3, H, W), B brackets of N frames; what differs between cameras is (B,).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

# Luminance of linear sRGB, ITU-R BT.709.
_LUMINANCE = (0.2126, 0.7152, 0.0722)
# A mid grey in stops under white: what local tone mapping leaves as bright as it is.
_MIDDLE_STOPS = -2.5
# How much brighter shadows and darker highlights may become by it, as a factor.
_LOCAL_GAINS = (0.4, 4.0)
# Pixels on each side that an unsharp mask looks at.
_SHARPEN_REACH = 4


def each(value: Tensor) -> Tensor:
    """Shape (B,) or (B, N) so that it multiplies pictures (B, N, C, H, W)."""
    return value.view(value.shape[0], -1, 1, 1, 1)


def luminance(pictures: Tensor) -> Tensor:
    """Luminance (B, N, 1, H, W) of linear pictures; of display ones, luma."""
    red, green, blue = _LUMINANCE
    total = pictures[:, :, :1] * red
    total.add_(pictures[:, :, 1:2], alpha=green).add_(pictures[:, :, 2:], alpha=blue)
    return total


def mix_channels(pictures: Tensor, matrices: Tensor) -> Tensor:
    """Pictures whose channels are mixed by matrices (B, 3, 3)."""
    return torch.matmul(matrices[:, None], pictures.flatten(3)).view(pictures.shape)


def spread_widely(pictures: Tensor, cells: int) -> Tensor:
    """Pictures (B, N, C, H, W) blurred over some 1/cells of their shorter side and more."""
    height, width = pictures.shape[-2:]
    step = max(1, min(height, width) // cells)
    down, up = _resizing(height, step, pictures.device)
    rows = down @ pictures
    down, up_columns = _resizing(width, step, pictures.device)
    return up @ (rows @ down.T) @ up_columns.T


@lru_cache(maxsize=32)
def _resizing(length: int, step: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Means over cells of `step` that are blurred twice, and linear interpolation back."""
    cells = -(-length // step)
    cell = torch.arange(length) // step
    down = (torch.arange(cells)[:, None] == cell).float()
    down /= down.sum(dim=1, keepdim=True)
    blur = torch.zeros(cells, cells)
    for offset in (-1, 0, 1):
        neighbour = (torch.arange(cells) + offset).clamp(0, cells - 1)
        blur[torch.arange(cells), neighbour] += 1 / 3
    place = ((torch.arange(length) + 0.5) / step - 0.5).clamp(0, cells - 1)
    up = (1 - (place[:, None] - torch.arange(cells)).abs()).clamp_(min=0)
    return (blur @ blur @ down).to(device), up.to(device)


def filter_both_ways(planes: Tensor, weights: Sequence[Tensor | float]) -> Tensor:
    """Planes (B, N, C, H, W) filtered along both axes by a symmetric kernel; borders repeat.

    weights: of the middle and of each next pixel outwards, each a number or (B, 1 or N, 1, 1, 1).
    """
    reach = len(weights) - 1
    padded = F.pad(planes.flatten(0, 1), (reach,) * 4, mode="replicate")
    padded = padded.view(*planes.shape[:3], *padded.shape[-2:])
    for axis, length in ((3, planes.shape[3]), (4, planes.shape[4])):
        total = padded.narrow(axis, reach, length) * weights[0]
        for step in range(1, reach + 1):
            before = padded.narrow(axis, reach - step, length)
            both = before + padded.narrow(axis, reach + step, length)
            total += both.mul_(weights[step])
        padded = total
    return padded


def gaussian(sigma_pixels: Tensor, reach: int) -> list[Tensor]:
    """Weights of a Gaussian for `filter_both_ways`; sigma: (B,) or (B, N)."""
    sigma = each(sigma_pixels).clamp(min=1e-3)
    weights = [(-0.5 * (step / sigma) ** 2).exp() for step in range(reach + 1)]
    total = weights[0] + 2 * sum(weights[1:])
    return [weight / total for weight in weights]


def defocus(light: Tensor, sigma_pixels: Tensor) -> Tensor:
    """Light (B, N, 3, H, W) of frames out of focus by a Gaussian; sigma: (B, N), 0 = sharp."""
    if not bool((sigma_pixels > 0).any()):
        return light
    reach = math.ceil(2.5 * float(sigma_pixels.max()))
    return filter_both_ways(light, gaussian(sigma_pixels, reach))


def binomial(planes: Tensor) -> Tensor:
    """Planes (B, N, C, H, W) blurred by (1 2 1) / 4 along both axes; borders repeat."""
    return filter_both_ways(planes, (0.5, 0.25))


# Light --------------------------------------------------------------------------------------------


def vignette(size: tuple[int, int], loss: Tensor, patch_share: Tensor, place: Tensor) -> Tensor:
    """Gains (B, 1, 1, H, W) of a lens over a patch of its frame, 1 in the patch's centre.

    loss: (B,) share of light missing in the frame's corners. patch_share: (B,) sides of the patch
    against the frame's. place: (B, 2) -1..1, where in the frame the patch is, x and y.
    """
    device, batch = loss.device, len(loss)
    squares = torch.zeros(batch, 1, 1, device=device)
    middle = torch.zeros(batch, 1, 1, device=device)
    for axis, (length, shape) in enumerate(zip(size[::-1], ((1, 1, -1), (1, -1, 1)), strict=True)):
        across = (torch.arange(length, device=device) + 0.5) / length * 2 - 1
        centre = (place[:, axis] * (1 - patch_share)).view(-1, 1, 1)
        squares = squares + (centre + patch_share.view(-1, 1, 1) * across.view(shape)) ** 2 / 2
        middle = middle + centre**2 / 2
    # About the fourth power of the cosine of the ray's angle: (1 + k r^2)^-2.
    k = ((1 - loss) ** -0.5 - 1).view(-1, 1, 1)
    gains = ((1 + k * middle) / (1 + k * squares)) ** 2
    return gains[:, None, None]


def flicker_gains(height: int, depth: Tensor, phase: Tensor, cycles: Tensor) -> Tensor:
    """Gains (B, N, 1, H, 1) of lamps that flicker with the mains.

    depth, phase: (B, N) of each frame. cycles: (B,) over the frame's rows while the shutter rolls;
    0 where all rows are exposed at once.
    """
    rows = (torch.arange(height, device=depth.device) + 0.5) / height
    turns = each(cycles) * rows.view(1, 1, 1, -1, 1)
    return 1 + each(depth) * torch.cos(each(phase) + 2 * math.pi * turns)


# Sensor -------------------------------------------------------------------------------------------


def correlate(noise: Tensor, coarse: Tensor) -> Tensor:
    """Noise of unit variance as demosaicing and noise reduction leave it: smooth, chroma most.

    noise: (B, N, 3, H, W) white. coarse: (B, N, 3, ceil(H / 2), ceil(W / 2)) white.
    """
    height, width = noise.shape[-2:]
    # Standard deviations that are left: 3/8 by the binomial kernel, 5/8 by doubling the size.
    luma = binomial(noise.mean(dim=2, keepdim=True)).mul_(8 / 3)
    chroma = coarse - coarse.mean(dim=2, keepdim=True)
    large = F.interpolate(
        chroma.flatten(0, 1), scale_factor=2, mode="bilinear", align_corners=False
    ).mul_(8 / 5)
    return large[..., :height, :width].reshape(noise.shape).add_(luma)


def blend_highlights(sensed: Tensor, gains: Tensor, start: Tensor) -> Tensor:
    """Fade what nears clipping to neutral, so that highlights lose their colour by and by.

    sensed: white-balanced, its channels clipped at `gains` (B, 3). start: (B,) share of its range
    from which on a channel fades the pixel.
    """
    full = (sensed / gains.view(-1, 1, 3, 1, 1)).amax(dim=2, keepdim=True)
    first = each(start)
    share = ((full - first) / (1 - first)).clamp_(0, 1)
    share = share * share * (3 - 2 * share)
    clipped = sensed.clamp(max=1)
    return torch.lerp(clipped, clipped.amax(dim=2, keepdim=True), share)


def compress_gamut(linear: Tensor) -> Tensor:
    """Pull colours outside 0..1 towards grey of their luminance, as far as it takes.

    (B, 3, H, W) to the same.
    """
    grey = luminance(linear).clamp_(0, 1)
    lowest, highest = linear.amin(dim=2, keepdim=True), linear.amax(dim=2, keepdim=True)
    below = grey / (grey - lowest).clamp(min=1e-6)
    above = (1 - grey) / (highest - grey).clamp(min=1e-6)
    share = torch.minimum(below, above).clamp_(0, 1)
    return torch.lerp(grey, linear, share)


# Rendering ----------------------------------------------------------------------------------------


def map_locally(linear: Tensor, strength: Tensor, cells: int) -> Tensor:
    """Lift shadows and hold back highlights by the blurred luminance of the very frame.

    strength: (B,) 0 leaves the frame, 1 makes its base even. White stays white.
    """
    grey = luminance(linear).clamp_(1e-4, 1)
    base = spread_widely(grey.log2(), cells)
    gain = ((base - _MIDDLE_STOPS) * -each(strength)).exp2_().clamp_(*_LOCAL_GAINS)
    # g y / (1 + (g - 1) y) keeps 0 and 1; divided by y it is the factor for all channels.
    factor = gain / (1 + (gain - 1) * grey)
    return linear * factor


def style_matrices(saturation: Tensor, hue_degrees: Tensor) -> Tensor:
    """Matrices (B, 3, 3) that scale chroma about luma and turn hues about the grey axis."""
    device = saturation.device
    grey = torch.tensor(_LUMINANCE, device=device).expand(3, 3)
    identity = torch.eye(3, device=device)
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], device=device) / math.sqrt(3)
    angle = torch.deg2rad(hue_degrees).view(-1, 1, 1)
    turn = identity * angle.cos() + cross * angle.sin() + (1 - angle.cos()) / 3
    chroma = (identity - grey) @ turn @ (identity - grey)
    return grey + saturation.view(-1, 1, 1) * chroma


def apply_style(display: Tensor, matrices: Tensor, pull: Tensor) -> Tensor:
    """Colours of a picture style, whose chroma fades near black and white by `pull`, 0..1.

    (B, 3, H, W) to the same.
    """
    grey = luminance(display)
    styled = mix_channels(display, matrices)
    faded = (grey * 8).clamp_(0, 1) * ((1 - grey) * 6).clamp_(0, 1)
    share = 1 - each(pull) * (1 - faded)
    return torch.lerp(grey, styled, share).clamp_(0, 1)


def smooth(display: Tensor, spread: Tensor) -> Tensor:
    """Noise reduction: texture of less contrast than `spread` (B,) goes, edges stay.

    The local linear filter of J.-S. Lee (1980) over 5 x 5 pixels, led by luma; the chroma of what
    it lets through is smoothed by half.
    """

    grey = luminance(display)
    around = filter_both_ways(torch.cat([display, grey * grey], dim=2), (0.2,) * 3)
    colours, squares = around[:, :, :3], around[:, :, 3:]
    middle = luminance(colours)
    variance = (squares - middle * middle).clamp_(min=0)
    kept = variance / (variance + each(spread) ** 2)
    detail = torch.lerp(grey - middle, display - colours, 0.5)
    return (colours + kept * detail).clamp_(0, 1)


def sharpen(display: Tensor, amount: Tensor, sigma_pixels: Tensor) -> Tensor:
    """Unsharp mask on luma, with its halos: amount and sigma are (B,)."""
    grey = luminance(display)
    blurred = filter_both_ways(grey, gaussian(sigma_pixels, _SHARPEN_REACH))
    detail = (grey - blurred) * each(amount)
    return (display + detail).clamp_(0, 1)


def move_black(display: Tensor, level: Tensor) -> Tensor:
    """Lift black to a level (B, N) above 0, or crush what lies below one under 0; white stays."""
    level = each(level)
    share = torch.where(level < 0, level / (1 + level), level)
    return (display + share * (1 - display)).clamp_(0, 1)

"""The losses of the five papers, as functions of tensors; a section for each family.

Images are (B, C, H, W); each function says in which range. Every loss is a mean over what it sums,
so that its weight does not depend on batch or size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import WeightsError
from ...pixels.color import LUMA_601
from ..metrics import tensor as metrics

# ---------------------------------------------------------------------------------------------
# LSGAN (Mao et al., ICCV 2017): Chen & Chuang, equations 2 and 3
# ---------------------------------------------------------------------------------------------


def lsgan_discriminator_loss(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """Half the mean squared distance of real scores from 1 and of fake ones from 0 (equation 2)."""
    return 0.5 * (fake_scores.square().mean() + (real_scores - 1).square().mean())


def lsgan_generator_loss(fake_scores: Tensor) -> Tensor:
    """Mean squared distance of fake scores from 1 (equation 3)."""
    return (fake_scores - 1).square().mean()


# ---------------------------------------------------------------------------------------------
# Sphere GAN (Park, Kwon, CVPR 2019): HDR-GAN, equations 7 to 9
# ---------------------------------------------------------------------------------------------

SPHERE_MOMENTS = 3


def to_sphere(scores: Tensor) -> Tensor:
    """Project score vectors (B, n) onto the unit sphere (B, n + 1), equation 7.

    Inverse stereographic projection; the last coordinate points to the north pole, which is the
    image of the point at infinity.
    """
    square = scores.square().sum(dim=1, keepdim=True)
    return torch.cat([2 * scores, square - 1], dim=1) / (square + 1)


def sphere_distance(
    scores: Tensor, *, ref_index: int | None = None, by_root_count: bool = False
) -> Tensor:
    """Geodesic distance (B,) of projected scores (B, ...) from the north pole, equation 8.

    In closed form 2 atan2(1, |q|), for the distance depends on the length of q alone; the
    arccosine of the equation has infinite slopes where the two points meet.

    ref_index: None for the north pole, as in the paper. A number measures from that coordinate's
        axis instead; the authors' program has 0, which leaves all scores but the first without
        influence except through the length. For experiments only.
    by_root_count: divide the scores by sqrt(n) first, so that gradients do not vanish with the
        size of the image. Not in the paper.
    """
    flat = scores.flatten(1)
    if by_root_count:
        flat = flat / flat.shape[1] ** 0.5
    if ref_index is None:
        length = torch.sqrt(flat.square().sum(dim=1) + 1e-12)
        return 2 * torch.atan2(torch.ones_like(length), length)
    # Away from the slopes of the arccosine at -1 and 1.
    cosine = to_sphere(flat)[:, ref_index].clamp(-1 + 1e-6, 1 - 1e-6)
    return torch.arccos(cosine)


def _sphere_moments(scores: Tensor, ref_index: int | None, by_root_count: bool) -> Tensor:
    distance = sphere_distance(scores, ref_index=ref_index, by_root_count=by_root_count)
    return torch.stack([distance.pow(r).mean() for r in range(1, SPHERE_MOMENTS + 1)]).sum()


def sphere_discriminator_loss(
    real_scores: Tensor,
    fake_scores: Sequence[Tensor],
    *,
    ref_index: int | None = None,
    by_root_count: bool = False,
) -> Tensor:
    """Sum over outputs and moments of mean distance of fakes less that of the real (equation 9).

    fake_scores: one tensor for each supervised output of the generator.
    """
    real = _sphere_moments(real_scores, ref_index, by_root_count)
    fakes = [_sphere_moments(scores, ref_index, by_root_count) for scores in fake_scores]
    return torch.stack([fake - real for fake in fakes]).sum()


def sphere_generator_loss(
    fake_scores: Sequence[Tensor], *, ref_index: int | None = None, by_root_count: bool = False
) -> Tensor:
    """Minus the sum over outputs and moments of the fakes' mean distance (equation 9)."""
    fakes = [_sphere_moments(scores, ref_index, by_root_count) for scores in fake_scores]
    return -torch.stack(fakes).sum()


# ---------------------------------------------------------------------------------------------
# Mu-law L1: HDR-GAN, equations 1 and 6
# ---------------------------------------------------------------------------------------------


def deep_supervision_loss(outputs: Sequence[Tensor], target: Tensor) -> Tensor:
    """Sum over outputs of the mean absolute difference to the target (equation 6).

    outputs, target: in the mu-law domain, -1..1. On 0..1 the loss is half as large, and its
        balance with the adversarial loss (1 to 1 in the paper) another one.
    """
    return torch.stack([F.l1_loss(output, target) for output in outputs]).sum()


# ---------------------------------------------------------------------------------------------
# VGG-19 perceptual loss: Chen & Chuang, equation 1
# ---------------------------------------------------------------------------------------------

# Simonyan, Zisserman: Very Deep Convolutional Networks for Large-Scale Image Recognition, 2015,
# configuration E, up to conv5_2: output channels of each convolution, a pooling between groups.
_VGG_19 = ((64, 64), (128, 128), (256, 256, 256, 256), (512, 512, 512, 512), (512, 512))
PERCEPTUAL_LAYERS = ("conv1_2", "conv2_2", "conv3_2", "conv4_2", "conv5_2")

# Equation 1, from Chen and Koltun's cascaded refinement networks (whose program writes 10 / 1.5
# for the last). They fit Caffe's weights only: images times 255, means subtracted, average pooling.
CAFFE_LAMBDAS: Mapping[str, float] = {
    "input": 1.0,
    "conv1_2": 1 / 2.6,
    "conv2_2": 1 / 4.8,
    "conv3_2": 1 / 3.7,
    "conv4_2": 1 / 5.6,
    "conv5_2": 1 / 0.15,
}
# Mean of ImageNet, RGB on 0..255, as Caffe's VGG models subtract it.
_CAFFE_MEAN = (123.68, 116.779, 103.939)
# Mean and spread of ImageNet, RGB on 0..1, as torchvision's models expect them.
_TORCHVISION_MEAN = (0.485, 0.456, 0.406)
_TORCHVISION_SPREAD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class VggSettings:
    """Which VGG-19 the weights are of, and so what it wants to see.

    scale: "caffe" (0..255, means subtracted) or "torchvision" (0..1, standardised).
    pooling: "average" as in the program that the lambdas come from, or "max" as trained.
    bgr: whether the first layer was trained on blue, green, red (most conversions from Caffe).
    """

    scale: Literal["caffe", "torchvision"] = "caffe"
    pooling: Literal["average", "max"] = "average"
    bgr: bool = False


class Vgg19(nn.Module):
    """VGG-19 up to conv5_2, giving the activations (after ReLU) that the perceptual loss compares.

    Input (B, 3, H, W), RGB 0..1, sides of at least 16 pixels.
    """

    def __init__(self, settings: VggSettings | None = None) -> None:
        super().__init__()
        self.settings = settings or VggSettings()
        caffe = self.settings.scale == "caffe"
        mean = torch.tensor([m / 255 for m in _CAFFE_MEAN] if caffe else _TORCHVISION_MEAN)
        spread = torch.full((3,), 1 / 255) if caffe else torch.tensor(_TORCHVISION_SPREAD)
        self.register_buffer("mean", mean.view(1, 3, 1, 1), persistent=False)
        self.register_buffer("spread", spread.view(1, 3, 1, 1), persistent=False)
        pool = nn.AvgPool2d(2) if self.settings.pooling == "average" else nn.MaxPool2d(2)
        # Numbered as torchvision numbers them, so that its files of weights fit by name.
        layers: list[nn.Module] = []
        self.names: dict[int, str] = {}
        channels = 3
        for group, widths in enumerate(_VGG_19, start=1):
            layers.extend([pool] if group > 1 else [])
            for number, width in enumerate(widths, start=1):
                layers.extend([nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()])
                self.names[len(layers) - 1] = f"conv{group}_{number}"
                channels = width
        self.features = nn.Sequential(*layers)
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Activations by name: "input" is the image times 255, then PERCEPTUAL_LAYERS."""
        found = {"input": x * 255}
        x = (x - self.get_buffer("mean")) / self.get_buffer("spread")
        if self.settings.bgr:
            x = x.flip(1)
        for index, layer in enumerate(self.features):
            x = layer(x)
            name = self.names.get(index)
            if name in PERCEPTUAL_LAYERS:
                found[name] = x
        return found


def load_vgg19(path: Path | str, settings: VggSettings | None = None) -> Vgg19:
    """Read VGG-19's ImageNet weights from a user's file; none ship with the package.

    path: safetensors, or a PyTorch state dict, which is read without unpickling code. Names as in
        torchvision: "features.N.weight"; layers after conv5_2 are ignored.
    Raises WeightsError if the file is missing, unreadable or not VGG-19.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(
            f"{path}: expected the ImageNet weights of VGG-19, found no such file; give a "
            "safetensors file or a state dict with names as in torchvision"
        )
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
        network = Vgg19(settings)
        wanted = network.state_dict()
        network.load_state_dict({name: state[name] for name in wanted})
    except Exception as error:  # torch.load raises a dozen kinds of errors on bad files
        reason = " ".join(str(error).split())[:120]
        raise WeightsError(
            f"{path}: expected the ImageNet weights of VGG-19 with names as in torchvision, found "
            f"a file that does not fit ({type(error).__name__}: {reason})"
        ) from None
    return network.eval()


def perceptual_loss(
    vgg: Callable[[Tensor], Mapping[str, Tensor]],
    fused: Tensor,
    target: Tensor,
    lambdas: Mapping[str, float] = CAFFE_LAMBDAS,
) -> Tensor:
    """Weighted sum over layers of the mean absolute difference of activations (equation 1).

    fused, target: RGB 0..1. lambdas: weight of each layer, "input" included; measure them with
        `measure_lambdas` for weights that are not Caffe's.
    """
    with torch.no_grad():
        wanted = vgg(target)
    found = vgg(fused)
    terms = [weight * F.l1_loss(found[name], wanted[name]) for name, weight in lambdas.items()]
    return torch.stack(terms).sum()


@torch.no_grad()
def measure_lambdas(
    vgg: Callable[[Tensor], Mapping[str, Tensor]], pairs: Iterable[tuple[Tensor, Tensor]]
) -> dict[str, float]:
    """Weights that give each layer the same say as the input, measured on pairs of images.

    The paper's weights equalise the layers of one set of VGG weights; for another set the same is
    had by lambda = mean |input difference| / mean |activation difference|, the input on 0..255.

    pairs: RGB 0..1, for instance (reference, middle exposure); about 200 give stable figures.
    """
    sums = dict.fromkeys(("input", *PERCEPTUAL_LAYERS), 0.0)
    for first, second in pairs:
        one, other = vgg(first), vgg(second)
        for name in sums:
            sums[name] += float(F.l1_loss(one[name], other[name]))
    if not sums["input"] > 0:
        raise ValueError("expected pairs of images that differ")
    return {name: sums["input"] / value for name, value in sums.items()}


# ---------------------------------------------------------------------------------------------
# GAN by cross-entropy (Goodfellow et al., 2014): MEF-GAN, equations 5 and 10; DPGN, equation 6
# ---------------------------------------------------------------------------------------------

# MEF-GAN's discriminator ends in a tanh whose logarithm the losses take: its published program
# makes a probability of it, p = (tanh(z) + 1) / 2, and that is sigmoid(2 z).
TANH_SLOPE = 2.0


def bce_discriminator_loss(
    real_scores: Tensor, fake_scores: Tensor, *, slope: float = 1.0
) -> Tensor:
    """Mean -log p(real) plus mean -log(1 - p(fake)), p = sigmoid(slope * score).

    MEF-GAN's equation 10 (slope = TANH_SLOPE) and DPGN's equation 6 (slope 1), whose second term
    is printed with the wrong sign.
    """
    return F.softplus(-slope * real_scores).mean() + F.softplus(slope * fake_scores).mean()


def bce_generator_loss(
    fake_scores: Tensor, *, slope: float = 1.0, saturating: bool = False
) -> Tensor:
    """Mean -log p(fake), p = sigmoid(slope * score), as the published programs have it.

    saturating: mean log(1 - p(fake)) instead (MEF-GAN's equation 5), whose gradient vanishes just
        where fakes are told easily.
    """
    if saturating:
        return -F.softplus(slope * fake_scores).mean()
    return F.softplus(-slope * fake_scores).mean()


# ---------------------------------------------------------------------------------------------
# Content loss of MEF-GAN, equations 7 to 9
# ---------------------------------------------------------------------------------------------


def high_pass(rgb: Tensor) -> Tensor:
    """Mean of the eight neighbours less the pixel, of the grey image: (B, 3, H, W) to (B, 1, H, W).

    The gradient of equation 8 as the published program takes it; zeros beyond the border.
    """
    red, green, blue = (float(weight) for weight in LUMA_601)
    grey = red * rgb[:, :1] + green * rgb[:, 1:2] + blue * rgb[:, 2:]
    kernel = grey.new_full((1, 1, 3, 3), 1 / 8)
    kernel[0, 0, 1, 1] = -1
    return F.conv2d(grey, kernel, padding=1)


def mef_gan_content_loss(fused: Tensor, target: Tensor, *, gradient_weight: float = 0.6) -> Tensor:
    """Mean squared error plus the mean absolute difference of high-pass images (equation 9).

    fused, target: RGB 0..1. gradient_weight: xi; 0 leaves the gradient loss out (the paper's
        ablation). In the generator's loss this one counts 500 times the adversarial one.
    """
    loss = F.mse_loss(fused, target)
    if gradient_weight:
        loss = loss + gradient_weight * F.l1_loss(high_pass(fused), high_pass(target))
    return loss


# ---------------------------------------------------------------------------------------------
# SSIM (Wang, Bovik, Sheikh, Simoncelli, IEEE TIP 2004), and the losses of LCNDR
# ---------------------------------------------------------------------------------------------


def ssim(first: Tensor, second: Tensor) -> Tensor:
    """Mean structural similarity (B,) of images (B, C, H, W), 0..1, sides of at least 11.

    Gaussian window of 11 x 11, sigma 1.5, where it lies within the image; constants of the paper.
    """
    return metrics.ssim(first, second, peak=1.0)


def paper_mse(first: Tensor, second: Tensor) -> Tensor:
    """LCNDR's equation 9 as printed: sqrt(sum of squares / (2 p)) / (C H W), mean over the batch.

    Some 1e-5 of what the name says, so that nothing but SSIM acts in equation 6. For experiments.
    """
    count = first[0].numel()
    pixels = first.shape[2] * first.shape[3]
    squares = (first - second).square().flatten(1).sum(dim=1)
    return torch.sqrt(squares / (2 * pixels) + 1e-12).mean() / count


def lcndr_loss(
    fused: Tensor,
    over: Tensor,
    under: Tensor,
    *,
    ssim_weight: float = 0.3,
    mse_weight: float = 5.0,
    mse_form: Literal["mean", "printed"] = "mean",
) -> Tensor:
    """Unsupervised loss of LCNDR (equations 6 and 7): likeness of the result to both sources.

    fused, over, under: luma (B, 1, H, W), 0..1. mse_form: "mean" squared error to each source,
        summed, or equation 9 as "printed". The mean is what the squared errors pull to: expect
        little contrast, and see `supervised_luma_loss`.
    """
    mse = F.mse_loss if mse_form == "mean" else paper_mse
    unlikeness = 0.5 * (1 - ssim(over, fused)).mean() + 0.5 * (1 - ssim(under, fused)).mean()
    return ssim_weight * unlikeness + mse_weight * (mse(fused, over) + mse(fused, under))


def supervised_luma_loss(fused: Tensor, target: Tensor, *, ssim_weight: float = 1.0) -> Tensor:
    """Mean absolute error to a reference's luma plus 1 - SSIM. Not in LCNDR's paper.

    fused, target: luma (B, 1, H, W), 0..1.
    """
    return F.l1_loss(fused, target) + ssim_weight * (1 - ssim(fused, target)).mean()


# ---------------------------------------------------------------------------------------------
# Multi-scale L2 loss of DPGN, equation 5
# ---------------------------------------------------------------------------------------------


def multi_scale_loss(final: Tensor, sides: Sequence[Tensor], target: Tensor) -> Tensor:
    """Sum over the final and all side outputs of the mean squared error to the resized target.

    final, target: RGB 0..1, (B, 3, H, W); sides: likewise, smaller. The error counts on the scale
        -1..1, the authors', to which the weight of the adversarial loss is set. The equation
        writes a norm, the text calls it a mean squared error.
    """
    errors = [F.mse_loss(final, target)]
    for side in sides:
        size = (side.shape[2], side.shape[3])
        errors.append(F.mse_loss(side, F.adaptive_avg_pool2d(target, size)))
    return 4 * torch.stack(errors).sum()

"""Perceptual losses: differences of a trained network's features (Chen & Chuang, equation 1).

No trained network ships. The user names a file: VGG-19's ImageNet weights as the paper has them, or
SqueezeNet's, which is small and free for any use. The paper's weights of the layers (lambdas) make
up for the strengths of one set of VGG-19 weights; for any other they are measured anew in the same
way (`measure_lambdas`).

Images are (B, 3, H, W), RGB 0..1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import WeightsError

Features = Callable[[Tensor], Mapping[str, Tensor]]

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


# Iandola et al.: SqueezeNet, 2016, version 1.0: of each fire module the channels that it squeezes
# to and those of each of its two expansions; a pooling before those in _POOLED.
_FIRES = {
    "fire2": (16, 64),
    "fire3": (16, 64),
    "fire4": (32, 128),
    "fire5": (32, 128),
    "fire6": (48, 192),
    "fire7": (48, 192),
    "fire8": (64, 256),
    "fire9": (64, 256),
}
_POOLED = ("fire2", "fire5", "fire9")
SQUEEZENET_LAYERS = ("conv1", "fire3", "fire5", "fire7", "fire9")
# Mean of ImageNet as its authors subtract it: BGR on 0..255.
_SQUEEZENET_MEAN = (104.0, 117.0, 123.0)


class SqueezeNet(nn.Module):
    """SqueezeNet 1.0 up to fire9, giving the activations (after ReLU) of SQUEEZENET_LAYERS.

    Input (B, 3, H, W), RGB 0..1, sides of at least 32 pixels.
    """

    def __init__(self) -> None:
        super().__init__()
        mean = torch.tensor(_SQUEEZENET_MEAN).view(1, 3, 1, 1)
        self.register_buffer("mean", mean, persistent=False)
        self.conv1 = nn.Conv2d(3, 96, 7, stride=2)
        self.fires = nn.ModuleDict()
        channels = 96
        for name, (squeezed, expanded) in _FIRES.items():
            self.fires[f"{name}_squeeze1x1"] = nn.Conv2d(channels, squeezed, 1)
            self.fires[f"{name}_expand1x1"] = nn.Conv2d(squeezed, expanded, 1)
            self.fires[f"{name}_expand3x3"] = nn.Conv2d(squeezed, expanded, 3, padding=1)
            channels = 2 * expanded
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Activations by name: "input" is the image times 255, then SQUEEZENET_LAYERS."""
        found = {"input": x * 255}
        x = F.relu(self.conv1((x * 255).flip(1) - self.get_buffer("mean")))
        found["conv1"] = x
        for name in _FIRES:
            if name in _POOLED:
                x = F.max_pool2d(x, 3, 2, ceil_mode=True)
            x = F.relu(self.fires[f"{name}_squeeze1x1"](x))
            both = [self.fires[f"{name}_expand{kernel}"](x) for kernel in ("1x1", "3x3")]
            x = F.relu(torch.cat(both, dim=1))
            if name in SQUEEZENET_LAYERS:
                found[name] = x
        return found


def load_squeezenet(path: Path | str) -> SqueezeNet:
    """Read SqueezeNet 1.0's ImageNet weights from a user's file; none ship with the package.

    path: an .npz file with the names of the authors' prototxt, "fire2_squeeze1x1.weight" and so on.
    Raises WeightsError if the file is missing, unreadable or not SqueezeNet 1.0.
    """
    path = Path(path)
    what = "the ImageNet weights of SqueezeNet 1.0 (.npz, names as in its prototxt)"
    if not path.is_file():
        raise WeightsError(f"{path}: expected {what}, found no such file")
    network = SqueezeNet()
    try:
        with np.load(path, allow_pickle=False) as stored:
            state = {
                name: torch.from_numpy(np.asarray(stored[name.removeprefix("fires.")], np.float32))
                for name in network.state_dict()
            }
        network.load_state_dict(state)
    except Exception as error:  # NumPy and torch raise several kinds on bad files
        reason = " ".join(str(error).split())[:120]
        raise WeightsError(
            f"{path}: expected {what}, found a file that does not fit "
            f"({type(error).__name__}: {reason})"
        ) from None
    return network.eval()


def perceptual_loss(
    features: Features,
    fused: Tensor,
    target: Tensor,
    lambdas: Mapping[str, float] = CAFFE_LAMBDAS,
) -> Tensor:
    """Weighted sum over layers of the mean absolute difference of activations (equation 1).

    fused, target: RGB 0..1. lambdas: weight of each layer, "input" included; measure them with
        `measure_lambdas` for weights that are not Caffe's.
    """
    with torch.no_grad():
        wanted = features(target)
    found = features(fused)
    terms = [weight * F.l1_loss(found[name], wanted[name]) for name, weight in lambdas.items()]
    return torch.stack(terms).sum()


@torch.no_grad()
def measure_lambdas(features: Features, pairs: Iterable[tuple[Tensor, Tensor]]) -> dict[str, float]:
    """Weights that give each layer the same say as the input, measured on pairs of images.

    The paper's weights equalise the layers of one set of VGG weights; for other features the same
    is had by lambda = mean |input difference| / mean |activation difference|, the input on 0..255.

    pairs: RGB 0..1, for instance (reference, middle exposure); about 200 give stable figures.
    """
    sums: dict[str, float] = {}
    for first, second in pairs:
        one, other = features(first), features(second)
        for name in one:
            sums[name] = sums.get(name, 0.0) + float(F.l1_loss(one[name], other[name]))
    if not sums.get("input", 0.0) > 0:
        raise ValueError("expected pairs of images that differ")
    return {name: sums["input"] / value for name, value in sums.items()}

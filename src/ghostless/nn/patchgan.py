"""PatchGAN discriminators: a chain of convolutions that scores overlapping patches of an image.

Paper: Isola, Zhu, Zhou, Efros: Image-to-Image Translation with Conditional Adversarial Networks,
CVPR 2017. The papers of `methods/` vary its widths, strides, norms, activation and padding; each
variant is an architecture here, and stands with its method.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from .blocks import Activation, ConvBlock, Norm, PaddingMode


@dataclass(frozen=True)
class PatchLayer:
    """One convolution of a discriminator: output channels and how it walks and normalises.

    activation: None for the discriminator's own.
    """

    channels: int
    stride: int = 2
    norm: Norm = "none"
    padding: int = 1
    padding_mode: PaddingMode = "zeros"
    spectral: bool = False
    activation: Activation | None = None


@dataclass(frozen=True)
class PatchGanArchitecture:
    """Which PatchGAN: the channels that go in, its layers, their kernel and activation.

    The last layer's channels are the scores; give it activation="none" for raw scores.
    """

    channels_in: int
    layers: tuple[PatchLayer, ...]
    kernel: int = 4
    activation: Activation = "leaky_0.2"


class PatchGan(nn.Module):
    """Scores patches of an image; (B, channels_in, H, W) in, (B, C, h, w) scores out.

    Conditions are concatenated to the image along the channels by the caller.
    """

    def __init__(self, architecture: PatchGanArchitecture) -> None:
        super().__init__()
        self.architecture = architecture
        channels = architecture.channels_in
        layers: list[nn.Module] = []
        for layer in architecture.layers:
            layers.append(
                ConvBlock(
                    channels,
                    layer.channels,
                    architecture.kernel,
                    stride=layer.stride,
                    padding=layer.padding,
                    padding_mode=layer.padding_mode,
                    norm=layer.norm,
                    activation=layer.activation or architecture.activation,
                    spectral=layer.spectral,
                )
            )
            channels = layer.channels
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


def pix2pix_70(channels_in: int) -> PatchGanArchitecture:
    """Return the 70 x 70 PatchGAN of pix2pix: 64, 128, 256, 512, 1; instance norm inside."""
    return PatchGanArchitecture(
        channels_in,
        (
            PatchLayer(64),
            PatchLayer(128, norm="instance"),
            PatchLayer(256, norm="instance"),
            PatchLayer(512, stride=1, norm="instance"),
            PatchLayer(1, stride=1, activation="none"),
        ),
    )

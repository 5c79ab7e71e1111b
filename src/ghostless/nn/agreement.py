"""The agreement network: whether two registered frames of unlike exposure show the same thing.

Source: none published. A U-Net (Ronneberger, Fischer, Brox, MICCAI 2015) of plain 3 x 3
    convolutions, as small as OpenCV runs in the time that the statistics took; after the sketch of
    LuckyHDR (2026) that some 66,000 parameters are enough to tell agreement.
Built as: the full size has one convolution going in and one coming out, all else is at a half to a
    sixteenth of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..deghost.evidence import CHANNELS
from .weights import NetworkKind

# What OpenCV 4.9 reads as well as 5.0.
_OPSET = 13
_IR_VERSION = 8


@dataclass(frozen=True)
class AgreementArchitecture:
    """channels: at the full size, and at each halving of it."""

    channels: tuple[int, ...] = (12, 16, 24, 32, 40)

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))

    @property
    def size_multiple(self) -> int:
        return 1 << (len(self.channels) - 1)


class AgreementNetwork(nn.Module):
    """From evidence (B, 18, H, W) to logits (B, 1, H, W) of having moved; sides multiples of 16."""

    def __init__(self, architecture: AgreementArchitecture = AgreementArchitecture()) -> None:
        super().__init__()
        self.architecture = architecture
        widths = architecture.channels
        self.first = _convolution(CHANNELS, widths[0])
        # Stubs know a module's own modules only as modules.
        self.down: Any = nn.ModuleList()
        for above, width in pairwise(widths):
            self.down.append(
                nn.ModuleList([_convolution(above, width, stride=2), _convolution(width, width)])
            )
        self.up: Any = nn.ModuleList(
            _convolution(below + width, width) for width, below in pairwise(widths)
        )
        self.last = _convolution(widths[0], 1)
        with torch.no_grad():
            # Most pixels stand still.
            self.last.weight.mul_(0.1)
            assert self.last.bias is not None
            self.last.bias.fill_(-3.0)

    def forward(self, evidence: Tensor) -> Tensor:
        """[B x 18 x H x W] to [B x 1 x H x W]."""
        levels = [F.relu(self.first(evidence))]
        for halving, convolution in self.down:
            inner = F.relu(halving(levels[-1]))
            levels.append(F.relu(convolution(inner)))
        found = levels.pop()
        for convolution in reversed(self.up):
            wide = F.interpolate(found, scale_factor=2, mode="nearest")
            found = F.relu(convolution(torch.cat([wide, levels.pop()], dim=1)))
        logits: Tensor = self.last(found)
        return logits


def _convolution(channels_in: int, channels_out: int, stride: int = 1) -> nn.Conv2d:
    layer = nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


def agreement_onnx(network: AgreementNetwork) -> bytes:
    """Return the network as the ONNX file that deghosting runs through OpenCV, without torch.

    Laid out node by node, for exporters leave computed sizes in the graph that OpenCV refuses.
    Needs the extra `onnx`.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes: list[Any] = []
    constants: list[Any] = []

    def convolve(layer: nn.Conv2d, source: str, name: str, activate: bool = True) -> str:
        inputs = [source]
        for kind, value in (("weight", layer.weight), ("bias", layer.bias)):
            assert value is not None
            array = value.detach().float().cpu().numpy()
            constants.append(numpy_helper.from_array(array, f"{name}.{kind}"))
            inputs.append(f"{name}.{kind}")
        out = f"{name}.convolved" if activate else name
        stride = list(layer.stride)
        nodes.append(
            helper.make_node(
                "Conv", inputs, [out], kernel_shape=[3, 3], strides=stride, pads=[1, 1, 1, 1]
            )
        )
        if not activate:
            return out
        nodes.append(helper.make_node("Relu", [out], [name]))
        return name

    twice = numpy_helper.from_array(torch.tensor([1.0, 1.0, 2.0, 2.0]).numpy(), "twice")
    constants.append(twice)
    levels = [convolve(network.first, "evidence", "first")]
    for number, (halving, convolution) in enumerate(network.down, start=1):
        inner = convolve(halving, levels[-1], f"down{number}.halving")
        levels.append(convolve(convolution, inner, f"down{number}"))
    found = levels.pop()
    for number in reversed(range(len(network.up))):
        nodes.append(
            helper.make_node(
                "Resize",
                [found, "", "twice"],
                [f"up{number}.wide"],
                mode="nearest",
                coordinate_transformation_mode="asymmetric",
                nearest_mode="floor",
            )
        )
        joined = f"up{number}.joined"
        nodes.append(
            helper.make_node("Concat", [f"up{number}.wide", levels.pop()], [joined], axis=1)
        )
        found = convolve(network.up[number], joined, f"up{number}")
    convolve(network.last, found, "moved", activate=False)
    sides = ["height", "width"]
    graph = helper.make_graph(
        nodes,
        "agreement",
        [helper.make_tensor_value_info("evidence", TensorProto.FLOAT, [1, CHANNELS, *sides])],
        [helper.make_tensor_value_info("moved", TensorProto.FLOAT, [1, 1, *sides])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)])
    model.ir_version = _IR_VERSION
    model.producer_name = "ghostless"
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


NETWORK = NetworkKind(
    name="agreement",
    architecture=AgreementArchitecture,
    build=AgreementNetwork,
    train_command="ghostless train agreement",
    onnx=agreement_onnx,
)

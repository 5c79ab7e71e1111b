"""Layers that several networks share: one convolution with its norm and activation, its undoing.

Sizes follow one rule for every kernel: with `padding="same"` an output side is ceil(side / stride).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm as _spectral_norm

Norm = Literal["none", "instance", "batch", "batch_tf"]
Activation = Literal["none", "relu", "leaky_0.2", "leaky_0.01", "swish", "sigmoid", "tanh"]
PaddingMode = Literal["zeros", "reflect", "replicate"]

# Enough for a largest singular value to three digits from a random start.
_POWER_ITERATIONS = 30


def _as_written() -> bool:
    """Whether somebody follows what is computed: gradients, a compiler or an export."""
    followed = torch.is_grad_enabled() or torch.compiler.is_compiling()
    return followed or torch.onnx.is_in_onnx_export()


def rectified(x: Tensor) -> Tensor:
    """ReLU of a tensor that nobody else needs: in its own memory, where nothing follows that."""
    return F.relu(x) if _as_written() else F.relu_(x)


class Rectifier(nn.ReLU):
    """`rectified` as a layer: of what the layer before made for it alone."""

    def forward(self, x: Tensor) -> Tensor:
        return rectified(x)


_ACTIVATIONS: dict[str, tuple[type[nn.Module], dict[str, float]]] = {
    "none": (nn.Identity, {}),
    "relu": (Rectifier, {}),
    "leaky_0.2": (nn.LeakyReLU, {"negative_slope": 0.2}),
    "leaky_0.01": (nn.LeakyReLU, {"negative_slope": 0.01}),
    "swish": (nn.SiLU, {}),
    "sigmoid": (nn.Sigmoid, {}),
    "tanh": (nn.Tanh, {}),
}


def make_activation(name: Activation) -> nn.Module:
    """Build an activation by name; "swish" is x * sigmoid(x)."""
    kind, options = _ACTIVATIONS[name]
    return kind(**options)


def make_norm(name: Norm, channels: int) -> nn.Module:
    """Build a normalisation by name, with learned scale and shift where it is not "none"."""
    if name == "instance":
        return nn.InstanceNorm2d(channels, affine=True)
    if name == "batch":
        return nn.BatchNorm2d(channels)
    if name == "batch_tf":
        # TensorFlow's and Keras's defaults, which some of the papers' programs were trained with.
        return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)
    return nn.Identity()


class ConvBlock(nn.Module):
    """A convolution with bias, then its normalisation, then its activation.

    padding: pixels on each side; None for what keeps ceil(side / stride) with odd kernels.
    spectral: divide the kernel by its largest singular value (spectral norm, one power iteration a
        training step).
    Input (B, channels_in, H, W).
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int = 3,
        *,
        stride: int = 1,
        dilation: int = 1,
        padding: int | None = None,
        padding_mode: PaddingMode = "zeros",
        norm: Norm = "none",
        activation: Activation = "relu",
        spectral: bool = False,
    ) -> None:
        super().__init__()
        if padding is None:
            padding = dilation * (kernel - 1) // 2
        self.conv = nn.Conv2d(
            channels_in,
            channels_out,
            kernel,
            stride=stride,
            dilation=dilation,
            padding=padding,
            padding_mode=padding_mode if padding else "zeros",
        )
        if spectral:
            divide_by_singular_value(self.conv)
        self.norm = make_norm(norm, channels_out)
        self.activation = make_activation(activation)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels_in, H, W) to (B, channels_out, H/stride, W/stride)."""
        out: Tensor = self.activation(self.norm(self._convolve(x)))
        return out

    def _convolve(self, x: Tensor) -> Tensor:
        conv = self.conv
        if _as_written() or conv.padding_mode != "reflect":
            out: Tensor = conv(x)
            return out
        return convolve_mirrored(x, conv)


def convolve_mirrored(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """What a convolution that pads by reflection makes of (B, C, H, W).

    To mirror a tensor costs a copy of it, on CPUs about what the convolution costs. So it is padded
    by zeros, which costs nothing, and outputs that see beyond the border are made again.
    """
    shape = zip(x.shape[2:], conv.kernel_size, conv.stride, conv.dilation, strict=True)
    assert not isinstance(conv.padding, str)
    down, across = (
        _Sliding(side, (kernel - 1) * dilation, stride, padding)
        for (side, kernel, stride, dilation), padding in zip(shape, conv.padding, strict=True)
    )

    def convolve(part: Tensor, padding: tuple[int, ...] = (0, 0)) -> Tensor:
        return F.conv2d(part, conv.weight, conv.bias, conv.stride, padding, conv.dilation)

    def mirrored(rows: range, columns: range) -> Tensor:
        """What these outputs see, with as little copied on the way as can be."""
        sides = [(2, down, rows), (3, across, columns)]
        few = x
        for dim, side, outputs in sorted(sides, key=lambda side: len(side[2]) / x.shape[side[0]]):
            few = side.seen(few, dim, outputs)
        return few

    if not down.inside or not across.inside:
        return convolve(mirrored(down.outputs, across.outputs))
    out = convolve(x, tuple(conv.padding))
    for rows in down.ends:
        out[:, :, rows.start : rows.stop] = convolve(mirrored(rows, across.outputs))
    middle = slice(down.inside.start, down.inside.stop)
    for columns in across.ends:
        part = convolve(mirrored(down.inside, columns))
        out[:, :, middle, columns.start : columns.stop] = part
    return out


@dataclass(frozen=True)
class _Sliding:
    """A kernel sliding along one side of an image, mirrored beyond both ends.

    side: its pixels. reach: from a kernel's first value to its last, in pixels.
    """

    side: int
    reach: int
    stride: int
    padding: int

    @property
    def outputs(self) -> range:
        return range((self.side + 2 * self.padding - self.reach - 1) // self.stride + 1)

    @property
    def inside(self) -> range:
        """Outputs that see nothing beyond the ends."""
        first = -(-self.padding // self.stride)
        last = (self.side - 1 + self.padding - self.reach) // self.stride
        return range(first, min(last + 1, len(self.outputs)))

    @property
    def ends(self) -> list[range]:
        """All other outputs."""
        every = len(self.outputs)
        ends = [range(self.inside.start), range(self.inside.stop, every)]
        return [end for end in ends if end]

    def seen(self, x: Tensor, dim: int, outputs: range) -> Tensor:
        """Pixels that outputs next to each other see, in their order; x: (B, C, H, W)."""
        start = outputs.start * self.stride - self.padding
        stop = outputs[-1] * self.stride - self.padding + self.reach + 1
        inner = x.narrow(dim, max(0, start), min(stop, self.side) - max(0, start))
        beyond = [range(start, 0), range(self.side, stop)]
        if not any(beyond):
            return inner
        last = self.side - 1
        before = [x.narrow(dim, -place, 1) for place in beyond[0]]
        after = [x.narrow(dim, 2 * last - place, 1) for place in beyond[1]]
        return torch.cat([*before, inner, *after], dim=dim)


class DeconvBlock(nn.Module):
    """A 4x4 transposed convolution of stride 2 (sides doubled) and its activation."""

    def __init__(
        self, channels_in: int, channels_out: int, *, activation: Activation = "relu"
    ) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(channels_in, channels_out, 4, stride=2, padding=1)
        self.activation = make_activation(activation)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels_in, H, W) to (B, channels_out, 2 H, 2 W)."""
        out: Tensor = self.activation(self.conv(x))
        return out


def compile_blocks(network: nn.Module) -> None:
    """Have each block of a network compiled, for images of any size, when it first runs.

    Blocks rather than whole networks: networks run tile by tile and part by part, and a few small
    graphs compile in seconds where a whole one takes minutes. A block that cannot be compiled, or
    any where no compiler is at hand, runs as it is.
    """
    blocks = [part for part in network.modules() if isinstance(part, ConvBlock | DeconvBlock)]
    # All blocks are one piece of code to the compiler, which silently gives up on any code that
    # needs more than eight graphs. Each may need one in each of a few memory layouts.
    graphs = max(64, 4 * len(blocks))
    for block in blocks:
        block.forward = _compiled(block.forward, graphs)  # type: ignore[method-assign, assignment]


def _compiled(forward: Callable[[Tensor], Tensor], graphs: int) -> Callable[[Tensor], Tensor]:
    """A compiled function that runs as it is where it cannot be compiled, in any thread.

    graphs: at most so many for all functions of the same code.
    """
    compiled = torch.compile(forward, dynamic=True)

    def run(x: Tensor) -> Tensor:
        # The compiler's settings are those of the thread that set them.
        with torch._dynamo.config.patch(
            suppress_errors=True,
            recompile_limit=graphs,
            accumulated_recompile_limit=4 * graphs,
        ):
            return compiled(x)

    return run


def in_full_precision(layer: nn.Module, x: Tensor) -> Tensor:
    """Run a layer in float32 although its surroundings compute in 16 bits: for output layers.
    (B, C, H, W).

    Near 1 bfloat16 has steps of 1/256: coarser than the 8 bits of a display image. Wider types
    pass unchanged.
    """
    with torch.autocast(x.device.type, enabled=False):
        out: Tensor = layer(x.float() if x.dtype in (torch.bfloat16, torch.float16) else x)
    return out


_FOLDED: ContextVar[bool] = ContextVar("folded", default=False)


def divide_by_singular_value(layer: nn.Module) -> None:
    """Put spectral norm on a layer's kernel, unless the network is being `built_folded`."""
    if not _FOLDED.get():
        _spectral_norm(layer)


def built_folded(build: Callable[[], nn.Module]) -> nn.Module:
    """Build a network with plain kernels in place of spectral norms, for a `folded_state`.

    It has as many parameters, and runs faster. Norms folded after they were made would have cost
    their power iterations, which take longer than all else in the loading of a network.
    """
    token = _FOLDED.set(True)
    try:
        return build()
    finally:
        _FOLDED.reset(token)


def folded_state(network: nn.Module) -> dict[str, Tensor]:
    """The state of a network, every spectral-normed kernel by its present value.

    For a network `built_folded`. Stored in 16 bits it disturbs no singular vectors.
    """
    state = dict(network.state_dict())
    modes = {module: module.training for module in network.modules()}
    network.eval()
    for name, module in network.named_modules():
        if parametrize.is_parametrized(module, "weight"):
            prefix = f"{name}." if name else ""
            for key in [key for key in state if key.startswith(f"{prefix}parametrizations.weight")]:
                del state[key]
            assert isinstance(module.weight, Tensor)
            state[f"{prefix}weight"] = module.weight.detach()
    for module, mode in modes.items():
        module.training = mode
    return state


@torch.no_grad()
def load_folded_state(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Fill a network, its spectral norms in place, from what `folded_state` gives.

    The estimates of the largest singular values, which such a state lacks, are made anew.
    """
    rest = dict(state)
    for name, module in network.named_modules():
        if parametrize.is_parametrized(module, "weight"):
            module.weight = rest.pop(f"{name}.weight" if name else "weight")
            mode = module.training
            module.train()
            for _ in range(_POWER_ITERATIONS):
                _ = module.weight  # in training mode every look takes one power iteration
            module.training = mode
    missing, surplus = network.load_state_dict(rest, strict=False)
    missing = [name for name in missing if "parametrizations.weight" not in name]
    if missing or surplus:
        raise KeyError(*missing, *surplus)


def count_parameters(network: nn.Module) -> int:
    """Number of trained numbers in a network, without buffers."""
    return sum(parameter.numel() for parameter in network.parameters())

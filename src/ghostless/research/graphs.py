"""The networks as graphs for other programs: pictures in, picture out, nothing around them.

A graph holds all that the method does with its network on aligned frames: linearising, mu-law,
luma and chroma, pyramids, bitmaps. What it takes and gives is said in its ports, so that a program
in any language can use the ONNX file without knowing the method.

The table of methods says which of these functions makes a method's graph. Outside of the graphs:
reading and aligning, sides that are no multiple of what the network takes,
and fusing more frames than it sees at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ..methods import METHODS, Method
from ..nn.settings import needs_torch_extra

if TYPE_CHECKING:
    import torch

    from ..nn.dpgn import Dpgn
    from ..nn.hdr_gan import Generator
    from ..nn.lcndr import Lcndr
    from ..nn.weights import NetworkKind, Sides

DISPLAY = "RGB, 0..1, sRGB primaries and curve"


@dataclass(frozen=True)
class Port:
    """One input or output of a graph.

    shape: numbers where a side is fixed, else the names "batch", "height", "width".
    about: meaning, range, colour space and units.
    """

    name: str
    shape: tuple[int | str, ...]
    about: str


@dataclass(frozen=True)
class Graph:
    """A network as others see it.

    module: called with the inputs in their order, float32; returns the outputs, one tensor or a
        tuple of them.
    size_multiple, least_side: what height and width must be multiples of, and at least.
    border: how the method itself fills up to that multiple, at the bottom and at the right.
    notes: what else a user of the file must know.
    """

    module: torch.nn.Module
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    size_multiple: int
    least_side: int
    border: Literal["reflect", "replicate", "none"]
    notes: str


def _image(name: str, about: str, side: int | None = None) -> Port:
    sides: tuple[int | str, int | str] = ("height", "width") if side is None else (side, side)
    return Port(name, ("batch", 3, *sides), f"{about}: {DISPLAY}")


def _of_pair(module: torch.nn.Module, sides: Sides, notes: str = "") -> Graph:
    return Graph(
        module,
        (
            _image("under", "the darker frame"),
            _image("over", "the brighter frame, aligned to the darker one"),
        ),
        (_image("fused", "the fused picture"),),
        size_multiple=sides.multiple,
        least_side=sides.shortest,
        border=sides.border,
        notes=f"{notes} More than two frames are fused in pairs, the darkest with the brightest "
        "first.".strip(),
    )


def rgb_pair(network: Any, sides: Sides) -> Graph:
    """Of a network that takes `under` and `over` as they are, and gives the picture."""
    import torch

    class Module(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, under: torch.Tensor, over: torch.Tensor) -> torch.Tensor:
            fused: torch.Tensor = self.network(over=over, under=under)
            return fused

    return _of_pair(Module(), sides)


def lcndr(network: Lcndr, sides: Sides) -> Graph:
    """Of LCNDR: luma by the network, chroma by rule."""
    import torch

    from ..nn.lcndr import add_colour
    from ..nn.ycbcr import luma

    class Module(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, under: torch.Tensor, over: torch.Tensor) -> torch.Tensor:
            fused_luma = self.network(over=luma(over), under=luma(under))
            return add_colour(fused_luma, [over, under])

    notes = "The network fuses luma; chroma is fused by rule in the graph."
    return _of_pair(Module(), sides, notes)


def dpgn(network: Dpgn, sides: Sides) -> Graph:
    """Of DPGN, with the pyramids that guide it."""
    import torch

    from ..nn.priors import fuse_images, make_priors
    from ..nn.ycbcr import luma, with_chroma_of

    class Module(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, under: torch.Tensor, over: torch.Tensor) -> torch.Tensor:
            how = self.network.architecture
            priors = make_priors([over, under], how.levels)
            colour = fuse_images(priors).clamp(0, 1)
            if (how.prior_form, how.prior_weights) != ("paper", "mertens"):
                priors = self.network.make_priors(over=over, under=under)
            fused = self.network(over=over, under=under, priors=priors).final
            return with_chroma_of(luma(fused), colour).clamp(0, 1)

    return _of_pair(
        Module(),
        sides,
        "The pyramids of exposure fusion that guide the network are made in the graph. "
        "Chroma is that of exposure fusion over as many scales as the network has, where "
        "'ghostless fuse' takes all scales of the image.",
    )


def hdr_gan(network: Generator, sides: Sides) -> Graph:
    """Of HDR-GAN, from display frames and their exposures to radiance."""
    return Graph(
        _hdr_gan_module(network),
        (
            _image("dark", "the darkest frame"),
            _image("reference", "the frame whose geometry and moving things are kept"),
            _image("bright", "the brightest frame"),
            Port(
                "stops",
                ("batch", 3),
                "exposures of dark, reference and bright in stops, not falling; only their "
                "differences count",
            ),
        ),
        (
            Port(
                "radiance",
                ("batch", 3, "height", "width"),
                "linear RGB, >= 0, sRGB primaries; 1.0 is where the reference frame clips",
            ),
        ),
        size_multiple=sides.multiple,
        least_side=sides.shortest,
        border=sides.border,
        notes="Where there is no darker or no brighter frame, give the reference in its place "
        "with its own stops. What clips in the darkest frame is clipped in the result. The "
        "frames are read as sRGB: 'ghostless fuse' estimates the camera's own curve and brings "
        "them to it first.",
    )


def _hdr_gan_module(network: Generator) -> torch.nn.Module:
    """The network with linearising and mu-law around it."""
    import torch

    from ..nn.hdr_gan import network_inputs, radiance_of_output
    from ..nn.srgb import srgb_to_linear
    from ..nn.three_frames import FRAMES

    class Module(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(
            self,
            dark: torch.Tensor,
            reference: torch.Tensor,
            bright: torch.Tensor,
            stops: torch.Tensor,
        ) -> torch.Tensor:
            frames = [dark, reference, bright]
            exposures = torch.exp2(stops - stops[:, :1]).reshape(-1, FRAMES, 1, 1, 1)
            inputs = network_inputs(
                frames,
                [srgb_to_linear(frame) for frame in frames],
                exposures.unbind(1),
                self.network.architecture,
            )
            radiance = radiance_of_output(
                self.network.reconstruct(*inputs), self.network.architecture
            )
            return radiance * exposures[:, 1]

    return Module()


def homography(network: Any, sides: Sides) -> Graph:
    """Of the homography network: where the corners of a pair lie."""
    from ..nn import four_points, homography

    return Graph(
        homography.HomographyOfPair(network),
        (
            _image("dark", "the darker frame", four_points.SIDE_PIXELS),
            _image("bright", "the brighter frame, not aligned", four_points.SIDE_PIXELS),
        ),
        (
            Port(
                "offsets",
                ("batch", 4, 2),
                "where the corners of dark (top left, top right, bottom right, bottom left) "
                "lie in bright, less where they lie in dark: (x, y) in pixels of the input",
            ),
            Port(
                "homography",
                ("batch", 3, 3),
                "takes pixel centres (x, y, 1) of dark to bright, in pixels of the input "
                "counted from 0: aligned(x) = bright(H x)",
            ),
        ),
        size_multiple=four_points.SIDE_PIXELS,
        least_side=four_points.SIDE_PIXELS,
        border="none",
        notes="Reduce both frames to the input's size, best by averaging over areas. With "
        "S = [[s, 0, (s - 1) / 2], [0, t, (t - 1) / 2], [0, 0, 1]], s = 256 / width and "
        "t = 256 / height, the homography of the full size is inverse(S) H S.",
    )


@dataclass(frozen=True)
class GraphSource:
    """Where a graph comes from: the kind of network, and how to make the graph of a network.

    make: of a network and the sides that it takes.
    """

    kind: NetworkKind
    make: Callable[[Any, Sides], Graph]


def _of_method(method: Method) -> Callable[[], GraphSource]:
    return lambda: GraphSource(method.kind, method.find(method.graph))


def _of_homography() -> GraphSource:
    with needs_torch_extra("export homography"):
        from ..nn.homography import HOMOGRAPHY
    return GraphSource(HOMOGRAPHY, homography)


GRAPHS: dict[str, Callable[[], GraphSource]] = {
    **{name: _of_method(method) for name, method in METHODS.items() if method.graph},
    "homography": _of_homography,
}

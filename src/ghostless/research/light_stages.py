"""How each network that ships is parted into stages that run as graphs: see `nn.graphs`.

What sees the whole image is one stage, what takes much memory runs in tiles in another. The stages
call the network's own parts, as its full-size run does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..nn.weights import NetworkKind

# Shape, type, and how many times smaller than the image; 0 for what has no place in it.
Input = tuple[tuple[int | str, ...], torch.dtype, int]


def planes(
    channels: int, scale: int = 1, height: int | str = "height", width: int | str = "width"
) -> Input:
    """An input of so many planes, `scale` times smaller than the image."""
    return (1, channels, height, width), torch.float32, scale


@dataclass(frozen=True)
class Part:
    """A stage as a module that takes the inputs in their order; other fields as of `graphs.Stage`.

    module: its attribute `network` is the whole network.
    """

    name: str
    module: nn.Module
    inputs: Mapping[str, Input]
    outputs: Mapping[str, int]
    halo: int | None = None
    multiple: int = 1
    bytes_per_pixel: int = 0

    @property
    def scales(self) -> dict[str, int]:
        return {name: scale for name, (_, _, scale) in self.inputs.items()}


class FunctionOf(nn.Module):
    """A function of the network and of inputs as a module."""

    def __init__(self, network: nn.Module, function: Callable[..., Any]) -> None:
        super().__init__()
        self.network = network
        self.function = function

    def forward(self, *inputs: Tensor) -> Any:
        return self.function(self.network, *inputs)


PAIR = {"over": planes(3), "under": planes(3)}
# Whether the photos that a pair comes of have any colour.
COLOURED: Input = ((1, 1, 1, 1), torch.bool, 0)


def mef_gan_parts(network: Any) -> list[Part]:
    """MEF-GAN: attention on the whole image, the rest in tiles."""
    from ..nn.mef_gan import BYTES_PER_PIXEL, HALO_PIXELS, SIZE_MULTIPLE

    def attend(network: Any, over: Tensor, under: Tensor) -> Tensor:
        block = network.attention
        quarter = block.encode_quarter(torch.cat([over, under], dim=1))
        out: Tensor = block.decode_quarter(block.relate(quarter))
        return out

    def merge(network: Any, over: Tensor, under: Tensor, attended: Tensor) -> Tensor:
        pair = torch.cat([over, under], dim=1)
        fused: Tensor = network.merge_blocks(pair, network.attention.decode_half(attended))
        return fused

    return [
        Part("attend", FunctionOf(network, attend), PAIR, {"attended": 4}),
        Part(
            "merge",
            FunctionOf(network, merge),
            {**PAIR, "attended": planes(20, 4)},
            {"fused": 1},
            halo=HALO_PIXELS,
            multiple=SIZE_MULTIPLE,
            bytes_per_pixel=BYTES_PER_PIXEL,
        ),
    ]


def _lumas(over: Tensor, under: Tensor) -> tuple[Tensor, Tensor]:
    from ..nn.ycbcr import luma

    return luma(over) * 2 - 1, luma(under) * 2 - 1


def lcndr_look(network: Any, over: Tensor, under: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gates of rows and of columns, then attention: of the over-exposed image first."""
    from ..nn.lcndr import Means

    branch = network.branch
    pair = _lumas(over, under)
    rows, columns, attended = [], [], []
    for own, other in (pair, pair[::-1]):
        features = branch.stem(own)
        for down, across in branch.gates(Means.of(features)):
            rows.append(down)
            columns.append(across)
        attended.append(branch.attention.relate(branch.attention.encode(features, other)))
    return torch.cat(rows, 1), torch.cat(columns, 1), torch.cat(attended, 1)


def lcndr_fuse(
    network: Any, over: Tensor, under: Tensor, rows: Tensor, columns: Tensor, attended: Tensor
) -> Tensor:
    """The picture of a pair, of what `lcndr_look` gave."""
    from ..nn.lcndr import add_colour
    from ..nn.regions import Region

    branch = network.branch
    blocks = len(branch.coordinate)
    pair = _lumas(over, under)
    maps = []
    for which, own in enumerate(pair):
        gates = [
            (rows[:, at : at + 32], columns[:, at : at + 32])
            for at in range(32 * blocks * which, 32 * blocks * (which + 1), 32)
        ]
        here = attended[:, 32 * which : 32 * (which + 1)]
        large = branch.enlarge(here, Region(0, own.shape[2], 0, own.shape[3]))
        maps.append(branch.weigh(branch.stem(own), gates, large))
    fused = network.combine(pair[0], maps[0], pair[1], maps[1])
    return add_colour(fused, [over, under], network.architecture.tau)


def lcndr_parts(network: Any) -> list[Part]:
    """LCNDR: gates and attention of the whole image, the maps and the colour in tiles."""
    from ..nn.lcndr import BYTES_PER_PIXEL, HALO_PIXELS, SIZE_MULTIPLE

    stride = network.architecture.attention_stride
    gates = 64 * len(network.branch.coordinate)
    seen = {"rows": 1, "columns": 1, "attended": stride}
    return [
        Part("look", FunctionOf(network, lcndr_look), PAIR, seen),
        Part(
            "fuse",
            FunctionOf(network, lcndr_fuse),
            {
                **PAIR,
                "rows": planes(gates, width=1),
                "columns": planes(gates, height=1),
                "attended": planes(64, stride),
            },
            {"fused": 1},
            halo=HALO_PIXELS,
            multiple=SIZE_MULTIPLE,
            bytes_per_pixel=BYTES_PER_PIXEL,
        ),
    ]


def chen_chuang_fine(network: Any, over: Tensor, under: Tensor) -> Tensor:
    """The finest maps, at half the size."""
    features = torch.cat(network.attention(under, over), dim=1)
    first: Tensor = network.merging.down[0](features)
    return first


def chen_chuang_coarse(network: Any, first: Tensor) -> tuple[Tensor, Tensor]:
    """The maps at a quarter of the size, and what comes back from the coarser ones."""
    second = network.merging.down[1](first)
    return second, network.merging.coarse(second)


def chen_chuang_local(network: Any, over: Tensor, under: Tensor, coloured: Tensor) -> Tensor:
    """What the network adds to."""
    from ..nn.priors import fuse_locally

    return fuse_locally((over, under), coloured)


def chen_chuang_finish(
    network: Any, first: Tensor, second: Tensor, coarse: Tensor, local: Tensor
) -> Tensor:
    """The picture."""
    from ..nn.gate import add_to

    # Without a head nothing is made of the first argument.
    return add_to(local, network.merging.finish(first, first, second, coarse))


def chen_chuang_curves(network: Any, over: Tensor, under: Tensor) -> Tensor:
    """What each frame foretells of the other."""
    from ..nn.gate import gather, make_curves

    return make_curves(gather(under, over))


def chen_chuang_gate(network: Any, over: Tensor, under: Tensor, curves: Tensor) -> Tensor:
    """The over-exposed frame with what moved replaced."""
    from ..nn.gate import let_through

    return let_through(over, *network.gate(under, over, curves))


def chen_chuang_parts(network: Any) -> list[Part]:
    """Chen & Chuang: the fine levels in tiles, the others and what they add to on the whole."""
    from ..nn.chen_chuang import FINE_BYTES_PER_PIXEL, FINE_HALO, FINISH_HALO
    from ..nn.gate import GATE_BYTES_PER_PIXEL, GATE_HALO, GATE_MULTIPLE, NODES

    channels = network.architecture.channels
    first, second, coarse = planes(channels, 2), planes(channels, 4), planes(channels, 4)
    whole_maps = {"second": second, "coarse": coarse}

    def part(name: str, function: Any, inputs: Any, outputs: Any, halo: int | None = None) -> Part:
        tiles = {} if halo is None else {"multiple": 4, "bytes_per_pixel": FINE_BYTES_PER_PIXEL}
        return Part(name, FunctionOf(network, function), inputs, outputs, halo, **tiles)

    pair: dict[str, Input] = PAIR
    before: list[Part] = []
    if network.gate is not None:
        curves: Input = ((1, 2, 3, NODES, 2), torch.float32, 0)
        gate = Part(
            "gate",
            FunctionOf(network, chen_chuang_gate),
            {**PAIR, "curves": curves},
            {"passed": 1},
            GATE_HALO,
            GATE_MULTIPLE,
            GATE_BYTES_PER_PIXEL,
        )
        before = [part("curves", chen_chuang_curves, PAIR, {"curves": 0}), gate]
        pair = {"passed": planes(3), "under": planes(3)}
    return [
        *before,
        part("fine", chen_chuang_fine, pair, {"first": 2}, FINE_HALO),
        part("coarse", chen_chuang_coarse, {"first": first}, {"second": 4, "coarse": 4}),
        part("local", chen_chuang_local, {**pair, "coloured": COLOURED}, {"local": 1}),
        part(
            "finish",
            chen_chuang_finish,
            {"first": first, **whole_maps, "local": planes(3)},
            {"fused": 1},
            FINISH_HALO,
        ),
    ]


def dpgn_parts(network: Any) -> list[Part]:
    """DPGN: small enough as a whole."""

    def fuse(network: Any, over: Tensor, under: Tensor) -> Tensor:
        fused: Tensor = network(over=over, under=under).final
        return fused

    return [Part("fuse", FunctionOf(network, fuse), PAIR, {"fused": 1})]


def hdr_gan_parts(network: Any) -> list[Part]:
    """HDR-GAN: convolutions alone, in tiles."""
    from ..nn.hdr_gan import BYTES_PER_PIXEL, GENERATOR
    from .graphs import hdr_gan

    architecture = network.architecture
    module = hdr_gan(network, GENERATOR.sides(architecture)).module
    return [
        Part(
            "reconstruct",
            module,
            {
                "dark": planes(3),
                "reference": planes(3),
                "bright": planes(3),
                "stops": ((1, 3), torch.float32, 0),
            },
            {"radiance": 1},
            halo=network.halo_pixels,
            multiple=architecture.size_multiple,
            bytes_per_pixel=BYTES_PER_PIXEL,
        )
    ]


def homography_parts(network: Any) -> list[Part]:
    """The homography network, of two pictures of one size and their bitmaps."""
    from ..nn.four_points import SIDE_PIXELS

    def answer(network: Any, pair: Tensor) -> Tensor:
        offsets: Tensor = network(pair)
        return offsets

    side: Input = ((1, 8, SIDE_PIXELS, SIDE_PIXELS), torch.float32, 0)
    return [Part("answer", FunctionOf(network, answer), {"pair": side}, {"offsets": 0})]


def _kind_of(method: str) -> Callable[[], NetworkKind]:
    from ..methods import METHODS

    return lambda: METHODS[method].kind


def _homography_kind() -> NetworkKind:
    from ..nn.homography import HOMOGRAPHY

    return HOMOGRAPHY


# By the network's name: what finds its kind, and what parts it.
PLANS: dict[str, tuple[Callable[[], NetworkKind], Callable[[Any], Sequence[Part]]]] = {
    "chen-chuang": (_kind_of("chen-chuang"), chen_chuang_parts),
    "chen-chuang-homography": (_homography_kind, homography_parts),
    "hdr-gan": (_kind_of("hdr-gan"), hdr_gan_parts),
    "mef-gan": (_kind_of("mef-gan"), mef_gan_parts),
    "lcndr": (_kind_of("lcndr"), lcndr_parts),
    "dpgn": (_kind_of("dpgn"), dpgn_parts),
}

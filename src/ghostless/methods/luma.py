"""Everything around a network that fuses luma: levels, stretch, and colour by rule.

Source: Prabhakar, Sai Srikar, Babu: DeepFuse, ICCV 2017, whose rule for colour later networks took
over; the stretch is what SciPy's `imsave` did to their results without a word in the papers.

A network gets the frames' luma and gives one plane. That is stretched, if asked for, by what the
whole image holds, and gets its colour from the frames: every chroma is the frames' mean, each
counted by how far from grey it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..bracket import Frame, Fused, Stack
from ..nn.fast import fuse_at_quality
from ..nn.fullsize import (
    PaddedFrame,
    Region,
    Tile,
    check_finite,
    computing,
    make_tiles,
    pixel_writer,
    run_in_tiles,
    tile_budget,
    to_tensor,
)
from ..nn.tiled import SMALL_TILE_BYTES
from ..nn.weights import LoadedNetwork, NetworkKind, Sides, load_network
from ..pixels import color
from ..pixels.reduced import reduced, size_within
from ..pixels.stripes import Progress, for_each_stripe
from .in_turn import fuse_frames_in_turn
from .settings import Levels, LumaPairSettings, LumaSettings, Stretch

Plane = NDArray[np.float32]
FuseFrames = Callable[[Sequence[Frame], Progress | None], Plane]
WriteTile = Callable[[Tile, Tensor], None]

# Rec. ITU-R BT.601 in 8 bits: luma goes from 16 to 235, which MATLAB's rgb2ycbcr has too.
_STUDIO_BLACK, _STUDIO_RANGE = 16 / 255, 219 / 255
# Of MATLAB's imadjust: what it leaves out at both ends.
_PERCENT = 1.0
_LUMA = color.YCBCR_FROM_RGB[0].astype(np.float32)


class LumaReader:
    """Regions of frames, dark to bright, as their luma, a tensor (1, 1, h, w) each.

    0..1, or within that the levels of studio video; `in_codes`: in steps of 8 bits. The frames are
    extended at the bottom and at the right to the sides that a network takes; `shape` is their
    height and width, `size` that after it.
    """

    def __init__(
        self,
        frames: Sequence[Frame],
        sides: Sides,
        levels: Levels,
        device: torch.device,
        in_codes: bool = False,
    ) -> None:
        self._frames = [PaddedFrame(frame, sides.border) for frame in frames]
        self._levels = levels
        self._in_codes = in_codes
        self._device = device
        self.shape = (frames[0].height, frames[0].width)
        self.size = sides.padded(*self.shape)

    def __len__(self) -> int:
        return len(self._frames)

    def __call__(self, region: Region) -> list[Tensor]:
        return [self.read(number, region) for number in range(len(self))]

    def read(self, number: int, region: Region) -> Tensor:
        """The luma of one frame."""
        return self._luma(self._frames[number].display(region))

    def reduced(self, pixels: int) -> list[Tensor]:
        """The luma of whole frames at about so many pixels, by means of areas, not extended."""
        size = size_within(self.shape, pixels=pixels)
        small = [(reduced(f.frame.pixels, size), f.frame.transfer) for f in self._frames]
        return [self._luma(color.to_display(codes, transfer)) for codes, transfer in small]

    def _luma(self, display: Plane) -> Tensor:
        plane = display @ _LUMA
        if self._levels == "studio":
            plane = plane * np.float32(_STUDIO_RANGE) + np.float32(_STUDIO_BLACK)
        if self._in_codes:
            # Down, as Pillow does; what lies just below a code is that.
            plane = np.floor(plane * 255 + np.float32(1 / 64)) * np.float32(1 / 255)
        return to_tensor(plane[:, :, None], self._device)


# Runs a network on what the reader reads and writes every tile of the fused luma (1, 1, h, w),
# which may leave 0..1 where a stretch brings it back.
RunLuma = Callable[[LoadedNetwork, LumaReader, WriteTile, Progress | None], None]


def fuse_luma(
    stack: Stack,
    settings: LumaSettings,
    kind: NetworkKind,
    run: RunLuma,
    *,
    levels: Levels = "full",
    in_codes: bool = False,
    map_bytes_per_pixel: int = 0,
    finish: Callable[[Plane], None] | None = None,
    progress: Progress | None = None,
) -> Fused:
    """Fuse frames, dark to bright, into a display image, (H, W, 3) float32, 0..1.

    All frames at once, or in turn where the settings are `LumaPairSettings`. Masks are not used:
    the pixels replaced in a deghosted or warped stack agree with its reference.

    run: the network on the frames. levels: of the luma that the network was trained on. in_codes:
        whether it gets that in 8 bits, as its authors' program does.
    map_bytes_per_pixel: as of `nn.fast.fuse_at_quality`. finish: changes the fused
        luma (H, W) in place before it is stretched and gets colour.
    Raises BracketError for pixels that are not finite, and WeightsError while there are no weights,
    naming the command that makes them.
    """
    check_finite(stack.frames)
    loaded = load_network(kind, settings)
    sides = kind.sides(getattr(loaded.network, "architecture", kind.architecture()))

    def fuse_frames(frames: Sequence[Frame], progress: Progress | None) -> Plane:
        read = LumaReader(frames, sides, levels, loaded.device, in_codes)
        fused = _run(run, loaded, read, progress)
        if finish is not None:
            finish(fused[:, :, 0])
        add_colour(fused, frames, settings.stretch, settings.luma)
        return fused

    def fuse_whole(stack: Stack, progress: Progress | None) -> Fused:
        pixels = _all_or_in_turn(fuse_frames, settings)(stack.frames, progress)
        return Fused(pixels, "display", stack.frames[stack.reference].metadata)

    return fuse_at_quality(
        stack,
        settings,
        loaded.device,
        fuse_whole,
        map_bytes_per_pixel=map_bytes_per_pixel,
        progress=progress,
    )


def _run(run: RunLuma, loaded: LoadedNetwork, read: LumaReader, progress: Progress | None) -> Plane:
    """Fused luma of what the reader reads, in the first channel of a picture (H, W, 3)."""
    fused = np.empty((*read.shape, 3), np.float32)
    with torch.inference_mode(), computing(loaded.dtype, loaded.device):
        run(loaded, read, pixel_writer(fused[:, :, :1]), progress)
    return fused


def _all_or_in_turn(fuse: FuseFrames, settings: LumaSettings) -> FuseFrames:
    """How to fuse any number of frames with a function of them, or of two where it takes two."""
    if not isinstance(settings, LumaPairSettings):
        return fuse
    order = settings.order

    def fuse_pair(under: Frame, over: Frame, progress: Progress | None) -> Plane:
        return fuse((under, over), progress)

    return lambda frames, progress: fuse_frames_in_turn(frames, fuse_pair, order, progress)


def as_pair(network: Any, planes: Sequence[Tensor]) -> Tensor:
    """Call a network on the darker and the brighter of two planes, by name."""
    under, over = planes
    fused: Tensor = network(over=over, under=under)
    return fused


def as_bracket(network: Any, planes: Sequence[Tensor]) -> Tensor:
    """Call a network on any number of planes, dark to bright, as one bracket (1, K, 1, h, w)."""
    fused: Tensor = network(torch.stack(list(planes), dim=1))
    return fused


def in_tiles(
    halo_pixels: int,
    bytes_per_pixel: int,
    multiple: int = 1,
    call: Callable[[Any, Sequence[Tensor]], Tensor] = as_pair,
) -> RunLuma:
    """Return how to run a network of convolutions alone on luma.

    halo_pixels: how far it sees. bytes_per_pixel: peak of all its tensors, for each frame of those
    it sees at once. multiple: what its strides and poolings divide the image by. call: the network
    on planes (1, 1, h, w) each, giving one.
    """

    def run(
        loaded: LoadedNetwork, read: LumaReader, write: WriteTile, progress: Progress | None
    ) -> None:
        pixels = tile_budget(loaded.device, bytes_per_pixel * len(read), SMALL_TILE_BYTES)
        tiles = make_tiles(*read.size, halo_pixels, multiple, pixels)
        run_in_tiles(
            lambda tile: call(loaded.network, read(tile.outer)), write, tiles, progress=progress
        )

    return run


def add_colour(
    fused: Plane,
    frames: Sequence[Frame],
    stretch: Stretch = "none",
    levels: Levels = "full",
) -> None:
    """Make RGB, 0..1, of fused luma and the frames' chroma, in place.

    fused: (H, W, 3), the luma in its first channel, clipped to 0..1 after the stretch. levels: what
    that luma is taken for.
    """
    height, width = fused.shape[:2]
    limits = stretch_limits(fused[:, :, 0], stretch)

    def work(start: int, stop: int) -> None:
        rows = slice(start, stop)
        luma = stretched(fused[rows, :, 0], limits)
        np.clip(luma, 0, 1, out=luma)
        if levels == "studio":
            luma = (luma - np.float32(_STUDIO_BLACK)) * np.float32(1 / _STUDIO_RANGE)
        chroma = [color.rgb_to_ycbcr(frame.display(rows))[:, :, 1:] for frame in frames]
        mean = color.fuse_chroma(chroma)
        ycbcr = np.concatenate([luma[:, :, None], mean], axis=2)
        fused[rows] = np.clip(color.ycbcr_to_rgb(ycbcr), 0, 1)

    for_each_stripe(height, width, work)


def stretch_limits(luma: Plane, stretch: Stretch) -> tuple[float, float] | None:
    """What becomes 0 and 1 of a whole image's luma (H, W); None for what is left as it is."""
    if stretch == "none":
        return None
    if stretch == "percentile":
        low, high = (float(v) for v in np.percentile(luma, (_PERCENT, 100 - _PERCENT)))
    else:
        low, high = 0.0 if stretch == "max" else float(luma.min()), float(luma.max())
    return (low, high) if high > low else None


def stretched(luma: Plane, limits: tuple[float, float] | None) -> Plane:
    """Luma stretched by the limits of the whole image; not clipped."""
    if limits is None:
        return luma.copy()
    low, high = limits
    return (luma - np.float32(low)) * np.float32(1 / (high - low))

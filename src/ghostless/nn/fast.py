"""Running a network on every pixel or on a proxy, as its settings and the machine decide.

On a proxy of a megapixel or less a network takes seconds whatever the size of the photos, and sees
the scene at the scale that it was trained on. `guided` carries its result to the full size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from ..bracket import Frame, Fused, Pixels, Stack
from ..pixels import color
from ..pixels.stripes import Progress, part
from . import guided
from .settings import NetworkSettings

if TYPE_CHECKING:
    import torch

PROXY_PIXELS = 800_000
# Largest image that "auto" runs as a whole on a CPU: half a minute on two cores with the slowest.
FULL_PIXELS_ON_CPU = 1_500_000
# Share of a GPU's free memory that the maps of a whole image may take; tiles need the rest.
_SHARE_FOR_MAPS = 0.5

# Sides of the proxy; all networks but two pad to it, those two to multiples of it.
_PROXY_MULTIPLE = 8
# The models look at so many frames at most: neighbours in exposure say the same.
_FRAMES_IN_MODELS = 4
# Deviation of the noise of a photo's display values: a level of 8 bits.
_DISPLAY_NOISE = 1 / 255
# Kalantari, Ramamoorthi (SIGGRAPH 2017): the curve in which HDR networks work.
_MU = 5000.0

Run = Callable[[Stack, Progress | None], Fused]
# Rows of a stack's frames to values (rows, W, 3) in the space of the result.
Base = Callable[[Stack, slice], NDArray[np.float32]]


def fuse_at_quality(
    stack: Stack,
    settings: NetworkSettings,
    device: torch.device | None,
    run: Run,
    *,
    map_bytes_per_pixel: int,
    base: Base | None = None,
    best_pixels: int | None = None,
    progress: Progress | None = None,
) -> Fused:
    """Run a network on a stack, whole or on a proxy.

    device: None for a network that runs as graphs (see `nn.graphs`), always on a proxy.
    run: fuses a stack whole, in bounded memory. map_bytes_per_pixel: what it holds of the whole
        image between its passes. base: what the network adds its output to, if that is cheap to
        make at the full size, whose detail the result then has. best_pixels: of the images that
        the network does better than larger ones, as those that taught it; "auto" is fast above,
        and proxies have so many.
    Returns what `run` does, with a note on the quality unless the settings say "full".
    """
    first = stack.frames[0]
    height, width = first.height, first.width
    pixels = height * width
    quality = choose_quality(settings.quality, pixels, device, map_bytes_per_pixel, best_pixels)
    if quality == "full":
        fused = run(stack, progress)
        if settings.quality == "full":
            return fused
        note = "quality full: the network ran on every pixel"
        return replace(fused, notes=(*fused.notes, note))
    proxy = make_proxy(stack, best_pixels or PROXY_PIXELS)
    small = run(proxy, part(progress, 0, 0.8))
    carried = carry_to_full_size(small, proxy, stack, base, part(progress, 0.8, 1))
    size = f"{small.pixels.shape[1]} x {small.pixels.shape[0]}"
    note = f"quality fast: the network ran on {size} pixels, carried to {width} x {height}"
    return replace(small, pixels=carried, notes=(*small.notes, note))


def choose_quality(
    wanted: str,
    pixels: int,
    device: torch.device | None,
    map_bytes_per_pixel: int,
    best_pixels: int | None = None,
) -> str:
    """Return "full" or "fast" for an image of so many pixels on a device.

    "auto" is full on a CPU up to 1.5 megapixels, and on a GPU as long as its free memory lasts;
    nowhere above `best_pixels`. What is no larger than a proxy runs whole in any case.
    """
    if pixels <= (best_pixels or PROXY_PIXELS) or wanted == "full":
        return "full"
    if device is None or wanted == "fast" or best_pixels is not None:
        return "fast"
    if device.type == "cuda":
        import torch

        free_bytes = torch.cuda.mem_get_info(device)[0]
        fits = pixels * map_bytes_per_pixel <= _SHARE_FOR_MAPS * free_bytes
    else:
        fits = pixels <= FULL_PIXELS_ON_CPU
    return "full" if fits else "fast"


def make_proxy(stack: Stack, pixels: int) -> Stack:
    """Reduce the frames of a stack to about so many pixels, by means of areas; without masks."""
    first = stack.frames[0]
    scale = min(1.0, math.sqrt(pixels / (first.height * first.width)))
    size = (_proxy_side(first.width, scale), _proxy_side(first.height, scale))
    frames = tuple(replace(frame, pixels=_reduced(frame.pixels, size)) for frame in stack.frames)
    return replace(stack, frames=frames, valid=(), confidence=())


def _proxy_side(side: int, scale: float) -> int:
    rounded = round(side * scale / _PROXY_MULTIPLE) * _PROXY_MULTIPLE
    return rounded if 0 < rounded <= side else max(1, round(side * scale))


def _reduced(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Frame of (width, height) `size`; 8-bit pixels become 16-bit ones, which means need."""
    if pixels.dtype == np.uint8:
        pixels = np.multiply(pixels, np.uint16(257), dtype=np.uint16)
    reduced: Pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    return reduced


def carry_to_full_size(
    result: Fused,
    proxy: Stack,
    stack: Stack,
    base: Base | None = None,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """Carry what was fused of a proxy to the size of its stack: (H, W, 3) in the same space.

    base: looked at in place of the frames, as of `fuse_at_quality`.
    """
    chosen = _frames_for_models(len(stack.frames), stack.reference)
    domain: _Domain = _DisplayValues()
    if result.space == "linear":
        domain = _Radiance.of(stack)
    first = stack.frames[0]
    out = np.empty((first.height, first.width, 3), np.float32)

    def read(source: Stack, start: int, stop: int) -> NDArray[np.float32]:
        rows = slice(start, stop)
        if base is not None:
            values = [domain.of_result(base(source, rows))]
        else:
            values = [domain.of_frame(source.frames[index], index, rows) for index in chosen]
        return np.concatenate([plane.transpose(2, 0, 1) for plane in values])

    def write(start: int, stop: int, planes: NDArray[np.float32]) -> None:
        np.clip(planes, 0, 1, out=planes)
        out[start:stop] = domain.to_result(planes).transpose(1, 2, 0)

    small = result.pixels.shape[0]
    noise: NDArray[np.float32] | float = 0.0  # what a base needs is in the base
    if base is None:
        each = [domain.noise(proxy.frames[index], index) for index in chosen]
        noise = np.concatenate([plane.transpose(2, 0, 1) for plane in each])
    guided.carry(
        read(proxy, 0, small),
        np.ascontiguousarray(domain.of_result(result.pixels).transpose(2, 0, 1)),
        lambda start, stop: read(stack, start, stop),
        write,
        (first.height, first.width),
        noise,
        progress,
    )
    return out


def _frames_for_models(count: int, reference: int) -> list[int]:
    """Indices of the frames that models look at: darkest, brightest, reference and between."""
    if count <= _FRAMES_IN_MODELS:
        return list(range(count))
    spread = [round(x) for x in np.linspace(0, count - 1, _FRAMES_IN_MODELS)]
    if reference not in spread:
        nearest = min(spread[1:-1], key=lambda index: abs(index - reference))
        spread[spread.index(nearest)] = reference
    return spread


class _Domain(Protocol):
    """The values in which a result is locally an affine function of the frames, 0..1."""

    def of_frame(self, frame: Frame, index: int, rows: slice) -> NDArray[np.float32]: ...

    def noise(self, frame: Frame, index: int) -> NDArray[np.float32]:
        """Variance of each value of a frame."""
        ...

    def of_result(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]: ...

    def to_result(self, values: NDArray[np.float32]) -> NDArray[np.float32]: ...


class _DisplayValues:
    """For display images: the frames as they look."""

    def of_frame(self, frame: Frame, index: int, rows: slice) -> NDArray[np.float32]:
        return frame.display(rows)

    def noise(self, frame: Frame, index: int) -> NDArray[np.float32]:
        return np.full(frame.pixels.shape, _DISPLAY_NOISE**2, np.float32)

    def of_result(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        return pixels

    def to_result(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        return values


@dataclass(frozen=True)
class _Radiance:
    """For radiance: logarithm-like values of what each frame says of the light.

    All frames agree in them, and with the result, wherever they are well exposed. A dark frame's
    shadows are so coarse there that its noise, carried through the curve, keeps it out.

    exposures: of each frame over that of the darkest one. scale: radiance where the darkest frame
    clips (1.0 is where the reference does).
    """

    exposures: Sequence[float]
    scale: float

    @classmethod
    def of(cls, stack: Stack) -> _Radiance:
        darkest = min(stack.stops)
        return cls(
            [2.0 ** (stop - darkest) for stop in stack.stops],
            2.0 ** (stack.stops[stack.reference] - darkest),
        )

    def of_frame(self, frame: Frame, index: int, rows: slice) -> NDArray[np.float32]:
        light = np.clip(frame.linear(rows), 0, 1)
        light *= np.float32(1 / self.exposures[index])
        return _compress(light)

    def noise(self, frame: Frame, index: int) -> NDArray[np.float32]:
        display = frame.display()
        step = np.float32(_DISPLAY_NOISE)
        above, below = (
            _compress(
                color.srgb_to_linear(np.clip(display + change, 0, 1))
                * np.float32(1 / self.exposures[index])
            )
            for change in (step, -step)
        )
        # Half of the way from a level below to a level above; the clipped ends are no surer.
        return np.asarray(np.square((above - below) / 2), np.float32)

    def of_result(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        return _compress(np.clip(pixels * np.float32(1 / self.scale), 0, 1))

    def to_result(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        values *= np.float32(math.log1p(_MU))
        np.expm1(values, out=values)
        values *= np.float32(self.scale / _MU)
        return values


def _compress(light: NDArray[np.float32]) -> NDArray[np.float32]:
    """mu-law of light 0..1, in place."""
    light *= np.float32(_MU)
    np.log1p(light, out=light)
    light *= np.float32(1 / math.log1p(_MU))
    return light

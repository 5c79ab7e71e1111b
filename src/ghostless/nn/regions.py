"""Running a network on images of any size in bounded memory, equal to running it on the whole.

A network made of convolutions sees a limited surrounding of each pixel (its halo). So it can run
tile by tile: every tile is cut with the halo around it, and only the tile itself is kept. The
result equals that of the whole image to rounding if

- the halo is at least as wide as the network's reach,
- tiles begin at multiples of what the network's strides and poolings divide the image by,
- at the true borders a tile ends where the image ends, so that the network's own padding happens
  there and only there.

Layers with statistics of the whole image (instance norm, attention, coordinate pooling) must run
outside of the tiles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from ..bracket import Frame, Pixels
from ..errors import BracketError
from ..pixels import color

Progress = Callable[[float], None]


class _Sliced(Protocol):
    def __getitem__(self, key: Any, /) -> Any: ...


# A map (..., h, w): an array or a tensor.
Planes = TypeVar("Planes", bound=_Sliced)


@dataclass(frozen=True)
class Region:
    """A rectangle of pixels: rows top to bottom - 1, columns left to right - 1."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left

    def slices(self, scale: int = 1) -> tuple[slice, slice]:
        """Rows and columns of this region in a map that is `scale` times smaller."""
        return (
            slice(self.top // scale, self.bottom // scale),
            slice(self.left // scale, self.right // scale),
        )

    def cut(self, planes: Planes, scale: int = 1) -> Planes:
        """View of this region in a map (..., H / scale, W / scale)."""
        rows, columns = self.slices(scale)
        view: Planes = planes[..., rows, columns]
        return view

    def within(self, outer: Region, planes: Planes) -> Planes:
        """View of this region in a map (..., h, w) of one that holds it."""
        top, left = self.top - outer.top, self.left - outer.left
        view: Planes = planes[..., top : top + self.height, left : left + self.width]
        return view

    def cropped(self, height: int, width: int) -> Region:
        """What of this region lies within an image that begins where the padded one does."""
        return Region(self.top, min(self.bottom, height), self.left, min(self.right, width))

    def grown(self, halo: int, multiple: int, size: tuple[int, int]) -> Region:
        """This region with `halo` pixels around, rounded outwards, within an image's `size`."""

        def sides(start: int, stop: int, most: int) -> tuple[int, int]:
            start = max(0, (start - halo) // multiple * multiple)
            return start, min(most, -(-(stop + halo) // multiple) * multiple)

        return Region(
            *sides(self.top, self.bottom, size[0]), *sides(self.left, self.right, size[1])
        )


@dataclass(frozen=True)
class Tile:
    """One step of a tiled run: what is kept of it, and that with the halo around."""

    inner: Region
    outer: Region

    def keep(self, planes: Planes, scale: int = 1) -> Planes:
        """Cut the inner region out of a result (..., h, w) for the outer one.

        scale: how many times smaller than the image the result is.
        """
        top = (self.inner.top - self.outer.top) // scale
        left = (self.inner.left - self.outer.left) // scale
        height, width = self.inner.height // scale, self.inner.width // scale
        view: Planes = planes[..., top : top + height, left : left + width]
        return view


def make_tiles(height: int, width: int, halo: int, multiple: int, tile_pixels: int) -> list[Tile]:
    """Divide an image into equal tiles of at most `tile_pixels` pixels, halo included.

    height, width: multiples of `multiple`, as is every tile's origin. halo: reach of the network
    in pixels, rounded up to the multiple. Of all divisions the one that computes the fewest pixels
    twice. A budget that the halo alone exceeds is not kept: tiles are then as large as the halo.
    """
    if height % multiple or width % multiple:
        raise ValueError(f"{height} x {width} is no multiple of {multiple}")
    halo = _round_up(halo, multiple)
    rows, columns = _tile_size(height, width, halo, multiple, tile_pixels)
    return [
        Tile(inner, _grow(inner, halo, height, width))
        for top in range(0, height, rows)
        for left in range(0, width, columns)
        for inner in [Region(top, min(top + rows, height), left, min(left + columns, width))]
    ]


def _tile_size(
    height: int, width: int, halo: int, multiple: int, tile_pixels: int
) -> tuple[int, int]:
    """Rows and columns of the tiles that cost the least."""
    best = (
        _fewest(height, max(multiple, halo), multiple),
        _fewest(width, max(multiple, halo), multiple),
    )
    least = float("inf")
    for count in range(1, height // multiple + 1):
        rows = _round_up(-(-height // count), multiple)
        outer_rows = min(height, rows + 2 * halo)
        columns = width
        if outer_rows * width > tile_pixels:
            columns = (tile_pixels // outer_rows - 2 * halo) // multiple * multiple
        if columns <= 0:
            continue
        columns = _fewest(width, columns, multiple)
        outer_columns = min(width, columns + 2 * halo)
        cost = -(-height // rows) * outer_rows * -(-width // columns) * outer_columns
        if cost < least:
            best, least = (rows, columns), cost
    return best


def _fewest(size: int, largest: int, multiple: int) -> int:
    """Divide a side into as few equal parts of at most `largest` as possible; return their size."""
    return _round_up(-(-size // -(-size // min(size, largest))), multiple)


def _grow(region: Region, halo: int, height: int, width: int) -> Region:
    return Region(
        max(0, region.top - halo),
        min(height, region.bottom + halo),
        max(0, region.left - halo),
        min(width, region.right + halo),
    )


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def run_in_tiles(
    function: Callable[[Tile], Planes],
    write: Callable[[Tile, Planes], None],
    tiles: list[Tile],
    *,
    scale: int = 1,
    progress: Progress | None = None,
) -> None:
    """Call `function` for each tile and pass what is kept of its result to `write`.

    function: from a tile to the result (..., h, w) for its outer region, `scale` times smaller.
    """
    for index, tile in enumerate(tiles):
        write(tile, tile.keep(function(tile), scale))
        if progress is not None:
            progress((index + 1) / len(tiles))


def check_finite(frames: Iterable[Frame]) -> None:
    """Raise BracketError for a frame with NaN or infinity, which a network would spread."""
    for frame in frames:
        if frame.pixels.dtype != np.float32:
            continue
        for start in range(0, frame.height, 256):
            if not np.isfinite(frame.pixels[start : start + 256]).all():
                raise BracketError(
                    f"{frame.name}: expected finite pixels, found NaN or infinity; "
                    "repair the file or leave the frame out"
                )


def reflected(start: int, stop: int, size: int) -> NDArray[np.intp]:
    """Indices (stop - start,) into an axis of `size` samples, mirrored about its last samples.

    Without repeating the border sample, and as often as it takes, so that even an axis of one
    sample can be padded to any length.
    """
    period = max(1, 2 * (size - 1))
    index = np.arange(start, stop) % period
    return np.minimum(index, period - index)


def repeated(start: int, stop: int, size: int) -> NDArray[np.intp]:
    """Indices (stop - start,) into an axis of `size` samples, the last one repeated."""
    return np.minimum(np.arange(start, stop), size - 1)


@dataclass(frozen=True)
class PaddedFrame:
    """Reads regions of a frame as if it were larger, padded at the bottom and at the right.

    border: mirrored ("reflect") or the last pixel repeated ("replicate"). Nothing of full size is
    held, and only the pixels of the region are decoded.
    """

    frame: Frame
    border: Literal["reflect", "replicate"] = "reflect"

    def display(self, region: Region) -> NDArray[np.float32]:
        """Display values (h, w, 3), 0..1, of a region of the padded frame."""
        return color.to_display(self._stored(region), self.frame.transfer)

    def linear(self, region: Region) -> NDArray[np.float32]:
        """Linear light (h, w, 3) of a region of the padded frame, 1.0 where the frame clips."""
        return color.to_linear(self._stored(region), self.frame.transfer)

    def _stored(self, region: Region) -> Pixels:
        frame = self.frame
        if region.bottom <= frame.height and region.right <= frame.width:
            rows, columns = region.slices()
            return cast(Pixels, np.ascontiguousarray(frame.pixels[rows, columns]))
        indices = reflected if self.border == "reflect" else repeated
        rows_read = indices(region.top, region.bottom, frame.height)
        columns_read = indices(region.left, region.right, frame.width)
        return frame.pixels[np.ix_(rows_read, columns_read)]


def to_planes(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Pixels (h, w, C) as an array (1, C, h, w), one plane after the other."""
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])

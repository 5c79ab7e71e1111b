"""Brackets out of arrays: what other programs, notebooks and cameras have in memory.

Every function that takes a bracket takes a list of arrays in its place, and a list of paths.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..bracket import Bracket, Frame, Pixels, check_frame_count
from ..errors import BracketError, InputError, unknown_name
from ..pixels.color import Transfer

Channels = Literal["rgb", "bgr"]
# A Bracket, or 2 to 20 photos of one scene: arrays, what has `__array__`, frames, or else paths.
Photos = Bracket | Iterable[Any]

# Values of a picture that resampling took this far beyond its range are clipped, not refused.
_OVERSHOOT = 0.02
_RANGES = "uint8 (0 to 255), uint16 (0 to 65535) or float (0 to 1)"


def as_bracket(
    photos: Photos, *, transfer: Transfer = "srgb", channels: Channels = "rgb"
) -> Bracket:
    """Make a Bracket of photos in memory, in the order given; a Bracket is returned as it is.

    photos: 2 to 20 photos of one scene and one size, each an array or something that gives one
        (a torch tensor, a PIL image), (height, width, 3) or, if grey, (height, width) or
        (height, width, 1), of type uint8 (0 to 255), uint16 (0 to 65535) or float (0 to 1); or one
        array (N, height, width, 3) of them; or Frames; or paths, which `read_bracket` reads.
        Of uint8 and uint16 RGB arrays no copy is made, so they must not change meanwhile.
    transfer: how the arrays' numbers relate to light: "srgb" for pictures as cameras and files
        have them, "linear" for numbers proportional to light, 1.0 or the type's largest where the
        sensor clips.
    channels: the order of the arrays' colours; "bgr" is that of OpenCV. A Frame is always RGB.
    Raises BracketError for photos that make no bracket or are no pictures, OptionError for an
    unknown transfer or order, and what `read_bracket` raises.
    """
    if isinstance(photos, Bracket):
        return photos
    for kind, name, known in (
        ("transfer", transfer, get_args(Transfer)),
        ("order of channels", channels, get_args(Channels)),
    ):
        if name not in known:
            raise unknown_name(kind, str(name), known)
    items = _listed(photos)
    check_frame_count(len(items))
    paths = paths_in(items)
    if paths:
        from .read import read_bracket

        return read_bracket(paths)
    names = (f"photo {number}" for number in range(1, len(items) + 1))
    return Bracket(
        tuple(
            _frame(item, name, transfer, channels) for item, name in zip(items, names, strict=True)
        )
    )


def paths_in(photos: Photos) -> list[Path]:
    """The photos' paths if paths are what was given; raise InputError for some of each."""
    if isinstance(photos, Bracket) or hasattr(photos, "ndim"):
        return []
    items = _listed(photos)
    paths = [Path(item) for item in items if isinstance(item, str | Path)]
    if paths and len(paths) < len(items):
        raise InputError(
            f"expected arrays or paths, found {len(paths)} paths among {len(items)} photos; "
            "read those with ghostless.read_frame"
        )
    return paths


def _listed(photos: Iterable[Any]) -> list[Any]:
    if isinstance(photos, str | bytes | Path | Frame):
        raise InputError(
            f"expected a list of photos, found one {type(photos).__name__}; "
            "give all photos of the bracket"
        )
    sides = getattr(photos, "ndim", 4)
    if sides != 4:
        raise InputError(
            f"expected a list of photos or an array of shape (N, height, width, 3), found one of "
            f"shape {_shape(photos)}; give all photos of the bracket, as [a, b, c]"
        )
    if not isinstance(photos, Iterable):
        raise InputError(f"expected a list of photos, found {type(photos).__name__}")
    return list(photos)


def _frame(photo: Any, name: str, transfer: Transfer, channels: Channels) -> Frame:
    if isinstance(photo, Frame):
        return photo
    array = _rgb(_array(photo, name), name)
    pixels = _in_range(array[:, :, ::-1] if channels == "bgr" else array, name, transfer)
    return Frame(pixels, transfer, label=name)


def _array(photo: Any, name: str) -> NDArray[Any]:
    if hasattr(photo, "detach"):  # a tensor that is trained, or lies on a GPU
        photo = photo.detach().cpu()
    try:
        array = np.asarray(photo)
    except Exception as error:
        why = " ".join(str(error).split())
        raise BracketError(
            f"{name}: expected an array of pixels, found {type(photo).__name__}, which gives none "
            f"({why})"
        ) from error
    if array.ndim == 0:
        raise BracketError(f"{name}: expected an array of pixels, found {type(photo).__name__}")
    return array


def _rgb(array: NDArray[Any], name: str) -> NDArray[Any]:
    """The array as (H, W, 3); grey is repeated."""
    shape = array.shape
    if len(shape) == 3 and shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim == 2:
        return np.repeat(array[:, :, None], 3, axis=2)
    if len(shape) == 3 and shape[2] == 3:
        return array
    cure = "give one array for each photo"
    if len(shape) == 3 and shape[2] == 4:
        cure = "leave out the opacity: photo[:, :, :3]"
    elif len(shape) == 3 and shape[0] in (1, 3, 4):
        cure = "its channels come first: np.moveaxis(photo, 0, -1)"
    raise BracketError(
        f"{name}: expected pixels of shape (height, width, 3) in the order red, green, blue, or "
        f"(height, width) for grey, found {shape}; {cure}"
    )


def _in_range(array: NDArray[Any], name: str, transfer: Transfer) -> Pixels:
    """The array in one of a Frame's types, in the machine's order of bytes; floats are checked."""
    array = np.ascontiguousarray(array)
    kind = array.dtype.newbyteorder("=")
    if kind in (np.uint8, np.uint16):
        return array.astype(kind, copy=False)
    if kind.kind != "f":
        raise BracketError(
            f"{name}: expected pixels of type {_RANGES}, found {kind}; bring them into such a "
            "range first, then convert: photo.astype(np.uint8)"
        )
    pixels: NDArray[np.float32] = array.astype(np.float32, copy=False)
    if pixels.size == 0:
        return pixels
    low, high = float(pixels.min()), float(pixels.max())
    if not np.isfinite(low + high):
        place = np.argwhere(~np.isfinite(pixels))[0].tolist()
        raise BracketError(
            f"{name}: expected finite numbers, found {pixels[tuple(place)]} in row {place[0]}, "
            f"column {place[1]}; np.nan_to_num puts numbers in their place"
        )
    largest = 1 + _OVERSHOOT if transfer == "srgb" else np.inf
    if low < -_OVERSHOOT or high > largest:
        cure = "divide by 255" if 1 < high <= 255 and low >= 0 else "scale them"
        raise BracketError(
            f"{name}: expected numbers from 0 to {'1' if transfer == 'srgb' else 'any'}, found "
            f"{low:.4g} to {high:.4g}; {cure}, or give another transfer"
        )
    top = 1 if transfer == "srgb" else None
    return pixels if low >= 0 and high <= (top or high) else np.clip(pixels, 0, top)


def _shape(array: Any) -> tuple[int, ...]:
    return tuple(int(side) for side in getattr(array, "shape", ()))

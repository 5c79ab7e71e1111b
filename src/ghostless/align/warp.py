"""Resampling at full size: one interpolation, a validity mask, borders filled or cut off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..bracket import Frame, Mask, Pixels
from ..exposure.intensity import IntensityMapping, intensity_mapping
from ..pixels.stripes import for_each_stripe
from ..work.spill import empty, settled
from .proxy import Matrix

_STRIPE_PIXELS = 1 << 20
# A cubic kernel reaches 2 pixels; one more for rounding.
_REACH_PIXELS = 3
# Largest masks are searched for the crop at this size.
_CROP_SIDE = 640
# A crop that keeps less than this share of the picture is not what anyone asked for.
_LEAST_CROP = 0.2

_INVERSE = cv2.WARP_INVERSE_MAP


def corners_of(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Pixel-centre coordinates (4, 2) of the corners of an image of shape (height, width, ...)."""
    right, bottom = shape[1] - 1, shape[0] - 1
    return np.array([[0, 0], [right, 0], [right, bottom], [0, bottom]], np.float64)


def corner_motion(matrix: Matrix, shape: tuple[int, ...]) -> float:
    """Largest distance in pixels by which a matrix moves an image's corners."""
    corners = corners_of(shape)
    moved = cv2.perspectiveTransform(corners[None], matrix)[0] - corners
    return float(np.hypot(moved[:, 0], moved[:, 1]).max())


def _source_rows(matrix: Matrix, start: int, stop: int, shape: tuple[int, ...]) -> tuple[int, int]:
    """Rows of the source that the destination rows start..stop need."""
    right = shape[1] - 1
    ends = np.array([[[0, start], [right, start], [0, stop], [right, stop]]], np.float64)
    rows = cv2.perspectiveTransform(ends, matrix)[0, :, 1]
    first = int(np.clip(np.floor(rows.min()) - _REACH_PIXELS, 0, shape[0] - 1))
    last = int(np.clip(np.ceil(rows.max()) + _REACH_PIXELS + 1, first + 1, shape[0]))
    return first, last


def _interpolate(
    source: Pixels, matrix: Matrix, size: tuple[int, int], *, linear_light: bool
) -> Pixels:
    """Resample pixels; cubic for integers, without rings round lamps in linear light."""
    border = cv2.BORDER_REPLICATE
    if source.dtype == np.float32:
        # A cubic kernel's negative lobes leave black rings round a lamp of a thousand times white.
        flags = cv2.INTER_LINEAR | _INVERSE
        linear: Any = cv2.warpPerspective(source, matrix, size, flags=flags, borderMode=border)
        return np.asarray(linear)
    cubic: Any = cv2.warpPerspective(
        source, matrix, size, flags=cv2.INTER_CUBIC | _INVERSE, borderMode=border
    )
    if not linear_light:
        return np.asarray(cubic)
    # Linear integers have the lamps too: hold the result between the neighbouring pixels' values.
    box = np.ones((3, 3), np.uint8)
    nearest = cv2.INTER_NEAREST | _INVERSE
    for limit, bound in ((cv2.erode, cv2.max), (cv2.dilate, cv2.min)):
        edge = cv2.warpPerspective(
            limit(source, box), matrix, size, flags=nearest, borderMode=border
        )
        cubic = bound(cubic, edge)
    return np.asarray(cubic)


def warp_pixels(
    frame: Frame, matrix: Matrix, opaque: Mask | None = None
) -> tuple[Pixels, Mask | None]:
    """Resample a frame onto the reference in one interpolation, in stripes of rows.

    matrix: (3, 3), reference to frame, pixel-centre coordinates.
    opaque: (H, W) to write the frame's opacity to, resampled, for one that has it.
    Returns pixels of the frame's own type, its edge repeated beyond the border, and the validity
    mask (H, W) uint8: 255 where the frame has pixels of its own, 0 beyond and where it is
    transparent; None if it is all valid.
    """
    height, width = frame.pixels.shape[:2]
    out = empty(frame.pixels.shape, frame.pixels.dtype)
    valid = empty((height, width), np.uint8)

    def work(start: int, stop: int) -> None:
        first, last = _source_rows(matrix, start, stop, frame.pixels.shape)
        down = np.array([[1, 0, 0], [0, 1, start], [0, 0, 1]], np.float64)
        up = np.array([[1, 0, 0], [0, 1, -first], [0, 0, 1]], np.float64)
        local = up @ matrix @ down
        size = (width, stop - start)
        source: Any = np.ascontiguousarray(frame.pixels[first:last])
        out[start:stop] = _interpolate(source, local, size, linear_light=frame.transfer == "linear")
        valid[start:stop] = _covered(local, size, (last - first, width))
        if frame.opaque is not None and opaque is not None:
            own = np.ascontiguousarray(frame.opaque[first:last])
            flags, edge = cv2.INTER_LINEAR | _INVERSE, cv2.BORDER_REPLICATE
            opaque[start:stop] = cv2.warpPerspective(own, local, size, flags=flags, borderMode=edge)
            np.minimum(valid[start:stop], opaque[start:stop], out=valid[start:stop])

    for_each_stripe(height, width, work, pixels=_STRIPE_PIXELS)
    return out, _unless_all_valid(valid)


def _unless_all_valid(valid: Mask) -> Mask | None:
    return None if valid.min(initial=255) == 255 else valid


def _covered(matrix: Matrix, size: tuple[int, int], source: tuple[int, int]) -> Mask:
    """Mask of the destination pixels whose nearest source pixel lies inside the frame."""
    return np.asarray(
        cv2.warpPerspective(
            np.full(source, 255, np.uint8),
            matrix,
            size,
            flags=cv2.INTER_NEAREST | _INVERSE,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=0,
        )
    )


def _through(m: Matrix, x: NDArray[Any], y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Where a matrix takes places."""
    depth = m[2, 0] * x + m[2, 1] * y + m[2, 2]
    to_x = (m[0, 0] * x + m[0, 1] * y + m[0, 2]) / depth
    return to_x, (m[1, 0] * x + m[1, 1] * y + m[1, 2]) / depth


def warp_by_flow(
    frame: Frame, matrix: Matrix, flow: NDArray[np.float32], opaque: Mask | None = None
) -> tuple[Pixels, Mask | None]:
    """Resample a frame by a matrix and a dense flow, in one interpolation, in stripes of rows.

    flow: (h, w, 2) x and y in full-size pixels, at any smaller size; the frame is read at
        matrix (x + flow(x)).
    opaque: as in `warp_pixels`.
    Returns what `warp_pixels` returns.
    """
    height, width = frame.pixels.shape[:2]
    out = empty(frame.pixels.shape, frame.pixels.dtype)
    valid = empty((height, width), np.uint8)
    across, down = flow.shape[1] / width, flow.shape[0] / height
    to_flow = np.array([[across, 0, (across - 1) / 2], [0, down, (down - 1) / 2]], np.float64)
    columns = np.arange(width, dtype=np.float32)[None]
    m = matrix.astype(np.float64)
    reach = np.abs(flow).max(axis=(0, 1)) if flow.size else np.zeros(2)

    def work(start: int, stop: int) -> None:
        placed = to_flow.copy()
        placed[1, 2] += placed[1, 1] * start
        size, how = (width, stop - start), cv2.INTER_LINEAR | _INVERSE
        moved = cv2.warpAffine(flow, placed, size, flags=how, borderMode=cv2.BORDER_REPLICATE)
        rows = np.arange(start, stop, dtype=np.float32)[:, None]
        to_x, to_y = _through(m, columns + moved[..., 0], rows + moved[..., 1])
        valid[start:stop] = 255 * (
            (to_x >= -0.5) & (to_y >= -0.5) & (to_x <= width - 0.5) & (to_y <= height - 0.5)
        )
        first, last = _source_rows(
            matrix, int(start - reach[1] - 1), int(stop + reach[1] + 1), frame.pixels.shape
        )
        places = to_x.astype(np.float32), (to_y - first).astype(np.float32)

        def read(array: NDArray[Any], how: int) -> Any:
            source = np.ascontiguousarray(array[first:last])
            return cv2.remap(source, *places, how, borderMode=cv2.BORDER_REPLICATE)

        linear = frame.transfer == "linear" or frame.pixels.dtype == np.float32
        out[start:stop] = read(frame.pixels, cv2.INTER_LINEAR if linear else cv2.INTER_CUBIC)
        if frame.opaque is not None and opaque is not None:
            opaque[start:stop] = read(frame.opaque, cv2.INTER_LINEAR)
            np.minimum(valid[start:stop], opaque[start:stop], out=valid[start:stop])

    for_each_stripe(height, width, work, pixels=_STRIPE_PIXELS // 4)
    return out, _unless_all_valid(valid)


def fill_from_reference(
    reference: Frame, frame: Frame, valid: Mask | None, reference_valid: Mask | None = None
) -> Frame:
    """Fill what a warped frame lacks with the reference's pixels, re-exposed to the frame.
    Masks (H, W).

    The re-exposure is the mapping of codes learned where both frames have pixels. The pixels of
    `frame` are written in place: they are the warp's own. Returns the frame.
    reference_valid: where the reference has pixels of its own; None for everywhere.
    """
    if valid is None:
        return frame
    both = valid if reference_valid is None else np.minimum(valid, reference_valid)
    if not both.any():
        # Nothing to learn from; the reference as it is, is at least the right scene.
        _blend_in(frame.pixels, valid, lambda rows, places: reference.pixels[rows][places])
        return frame
    mapping = intensity_mapping(reference, frame, registered=True, valid=both)

    def exposed(rows: slice, places: NDArray[np.bool_]) -> NDArray[Any]:
        # (n, 1, 3): a column of pixels.
        return mapping.apply(reference.pixels[rows][places][:, None])[:, 0]

    _blend_in(frame.pixels, valid, exposed)
    return frame


def _blend_in(
    picture: Pixels, own: Mask, other: Callable[[slice, NDArray[np.bool_]], NDArray[Any]]
) -> None:
    """Write other pixels (n, 3) over those that are not a picture's own, in place, as far as so.

    own: (H, W), 255 where the picture stays as it is, 0 where it is replaced, in part between.
    other: gives them for rows and the places (h, W) in them.
    """

    def work(start: int, stop: int) -> None:
        rows = slice(start, stop)
        share = own[rows]
        missing = share < 255
        if not missing.any():
            return
        wanted = other(rows, missing)
        partly = share[missing]
        if partly.any():
            part = partly[:, None].astype(np.float32) * np.float32(1 / 255)
            mine = picture[rows][missing].astype(np.float32)
            mixed = wanted.astype(np.float32)
            mixed += (mine - mixed) * part
            wanted = mixed if picture.dtype == np.float32 else np.rint(mixed).astype(picture.dtype)
        picture[rows][missing] = wanted

    for_each_stripe(own.shape[0], own.shape[1], work, pixels=_STRIPE_PIXELS)


def fill_reference(
    reference: Frame, others: Sequence[tuple[Frame, Mask | None]]
) -> tuple[Frame, Mask]:
    """Fill where a reference is transparent with what other frames show there, re-exposed to it.
    Masks (H, W).

    others: registered frames with their validity, those that are to be asked first at the front.
    Returns the reference with pixels of its own memory, and where it was opaque; what no frame
    shows stays as it is.
    """
    assert reference.opaque is not None
    own = reference.opaque
    filled = replace(reference, pixels=reference.pixels.copy())
    covered = own.copy()
    for frame, valid in others:
        if covered.min() == 255:
            break
        shown = np.full_like(own, 255) if valid is None else valid
        both = np.minimum(own, shown)
        if not both.any():
            continue
        mapping = intensity_mapping(frame, reference, registered=True, valid=both)
        # Under what is there already, as far as that lets it through.
        added = (255 - covered.astype(np.uint16)) * shown // 255
        total = (covered + added).astype(np.uint8)
        stays = np.where(total > 0, covered.astype(np.uint32) * 255 // np.maximum(total, 1), 255)
        stays[shown == 0] = 255

        def exposed(
            rows: slice,
            places: NDArray[np.bool_],
            mapping: IntensityMapping = mapping,
            frame: Frame = frame,
        ) -> NDArray[Any]:
            values = mapping.apply_unit(frame.pixels[rows][places][:, None])[:, 0]
            kind: np.dtype[Any] = reference.pixels.dtype
            if kind == np.float32:
                return values
            return np.rint(np.clip(values, 0, 1) * np.iinfo(kind).max).astype(kind)

        _blend_in(filled.pixels, stays.astype(np.uint8), exposed)
        covered = total
    return filled, own


def _largest_rectangle(full: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Largest all-true rectangle as (top, bottom, left, right), ends exclusive."""
    heights = np.zeros(full.shape[1], np.int64)
    best, found = 0, (0, 0, 0, 0)
    for row in range(full.shape[0]):
        heights = np.where(full[row], heights + 1, 0)
        # Histogram's largest rectangle with a stack of rising columns.
        stack: list[tuple[int, int]] = []
        for column, height in enumerate([*heights.tolist(), 0]):
            start = column
            while stack and stack[-1][1] >= height:
                start, tall = stack.pop()
                if tall * (column - start) > best:
                    best = tall * (column - start)
                    found = (row + 1 - tall, row + 1, start, column)
            stack.append((start, height))
    return found


def common_rectangle(
    valid: list[Mask | None], shape: tuple[int, ...]
) -> tuple[slice, slice] | None:
    """Find the largest rectangle (rows, columns) that is valid in all masks. masks: (H, W).

    Returns None where nothing needs cutting or too little would remain.
    """
    masks = [mask for mask in valid if mask is not None]
    if not masks:
        return None
    height, width = shape[:2]
    step = -(-max(height, width) // _CROP_SIDE)
    rows, columns = -(-height // step), -(-width // step)
    padded = np.full((rows * step, columns * step), 255, np.uint8)
    padded[:height, :width] = masks[0]
    for mask in masks[1:]:
        np.minimum(padded[:height, :width], mask, out=padded[:height, :width])
    # A cell counts only if all of its pixels are valid.
    cells = padded.reshape(rows, step, columns, step).min(axis=(1, 3)) == 255
    top, bottom, left, right = (edge * step for edge in _largest_rectangle(cells))
    bottom, right = min(bottom, height), min(right, width)
    if (bottom - top) * (right - left) < _LEAST_CROP * height * width:
        return None
    return slice(top, bottom), slice(left, right)


def crop_frame(frame: Frame, rectangle: tuple[slice, slice]) -> Frame:
    """Return the frame with only the pixels of a rectangle, in their own memory."""
    pixels: Any = settled(np.ascontiguousarray(frame.pixels[rectangle]))
    rows, columns = rectangle
    left, top, *_ = frame.metadata.window or (0, 0)
    window = (left + columns.start, top + rows.start, pixels.shape[1], pixels.shape[0])
    metadata = replace(frame.metadata, window=window)
    return replace(frame, pixels=pixels, metadata=metadata, opaque=None)

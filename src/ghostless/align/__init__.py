"""Registration of a bracket's frames to one of them, by a cascade that never ends worse off.

On reduced stand-ins (proxy.py) of each frame and the reference, cascade.py goes through 1 to 3:

1. starting points: matched features (features.py), the frame as it is, the shift of threshold
   bitmaps (mtb.py), the motions of the frames between, chained, and on request the homography
   network's answer (homography_net.py);
2. each is refined directly on locally normalised pixels, coarse to fine (ecc.py);
3. the simplest motion that the evidence supports is kept: none, shift, similarity, affine or
   homography; "none" wins unless another one is clearly better;
4. optionally, dense flow for what no matrix describes (flow.py);
5. one resampling at full size, validity mask, borders filled or cropped (warp.py).

Frames that go all the way round (360 degrees) are rotated on their sphere instead (rotation.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np

from ..bracket import Bracket, Crop, Frame, Mask, Registration, Stack
from ..errors import BracketError
from ..exposure.assign import assign_stops
from ..exposure.reference import choose_reference
from ..io.arrays import Photos
from ..settings import Range, check_settings
from ..work.spill import empty
from .cascade import Pair, describe, estimate_chained, estimate_motion
from .flow import Flow, residual_flow, to_full_flow
from .proxy import Matrix, gray_of, make_proxy
from .rotation import Pair as RoundPair
from .rotation import describe_rotation, estimate_rotation, sphere_of, warp_rotation
from .warp import (
    common_rectangle,
    crop_frame,
    fill_from_reference,
    fill_reference,
    warp_by_flow,
    warp_pixels,
)

AlignModel = Literal["auto", "homography", "affine", "shift", "flow", "network", "none"]
Progress = Callable[[float], None]

# Smaller frames hold too little to align by.
_SMALLEST_SIDE = 16


@dataclass(frozen=True)
class AlignSettings:
    """How a bracket is aligned.

    model: the most general motion allowed: "homography", "affine" or "shift" fit that motion or
        none; "auto" chooses among them by the evidence; "flow" is auto followed by dense flow;
        "network" is auto with the homography network's answer as a further starting point, where
        that answer helps; "none" leaves the frames as they are. Frames that go all the way round
        are rotated, with "shift" about the vertical only.
    crop: cut all frames to the largest rectangle that every frame covers, instead of filling
        borders from the reference.
    proxy_pixels: size of the reduced frames that the motion is estimated on.
    """

    model: AlignModel = "auto"
    crop: bool = False
    proxy_pixels: Annotated[int, Range(10_000)] = 1_500_000

    def __post_init__(self) -> None:
        check_settings(self, "align")


def _alone(note: str) -> Registration:
    return Registration("identity", np.eye(3), notes=(note,))


def _too_small(frame: Frame) -> bool:
    return min(frame.width, frame.height) < _SMALLEST_SIDE


def align_pair(
    reference: Frame, moving: Frame, settings: AlignSettings | None = None
) -> Registration:
    """Find the motion that brings one frame onto another of the same size.

    Returns a Registration whose matrix takes pixel-centre coordinates of the reference to those of
    the moving frame; exposures need not be known. Where no motion is clearly better than none it
    is the identity, and its notes say so. Dense flow is not part of it.
    Raises BracketError for frames of different sizes.
    """
    settings = settings or AlignSettings()
    Bracket((reference, moving))
    if settings.model == "none":
        return Registration("identity", np.eye(3))
    if _too_small(reference):
        return _alone(f"smaller than {_SMALLEST_SIDE} pixels; not aligned")
    pair = Pair(*(make_proxy(frame, settings.proxy_pixels) for frame in (reference, moving)))
    known, notes = _known_motions(reference, moving, pair, settings)
    estimate = estimate_motion(pair, settings.model, known)
    return describe(estimate, pair, reference.pixels.shape, notes)


def _known_motions(
    reference: Frame, moving: Frame, pair: Pair, settings: AlignSettings
) -> tuple[dict[str, Matrix], tuple[str, ...]]:
    """What the homography network says of a pair, if it is asked; in unit coordinates."""
    if settings.model != "network":
        return {}, ()
    from .homography_net import register_by_network

    found = register_by_network(reference, moving)
    if found.model == "identity":
        return {}, found.notes
    return {"network": pair.from_full_size(found.matrix, reference.pixels.shape)}, found.notes


def _neighbours_first(count: int, reference: int) -> Iterator[tuple[int, int]]:
    """Yield (frame, neighbour nearer to the reference), going outwards on both sides."""
    for index in range(reference - 1, -1, -1):
        yield index, index + 1
    for index in range(reference + 1, count):
        yield index, index - 1


def _warped(
    frame: Frame, reference: Frame, registration: Registration, flow: Flow | None
) -> tuple[Frame, Mask | None]:
    opaque = None if frame.opaque is None else empty(frame.opaque.shape, np.uint8)
    if flow is not None:
        pixels, valid = warp_by_flow(frame, registration.matrix, flow, opaque)
    elif registration.model == "identity":
        return frame, frame.opaque
    else:
        pixels, valid = warp_pixels(frame, registration.matrix, opaque)
    return replace(frame, pixels=pixels, opaque=opaque), valid


def _flow_of(pair: Pair, matrix: Matrix, full: tuple[int, ...]) -> Flow | None:
    flow = residual_flow(gray_of(pair.reference), gray_of(pair.moving), pair.to_pixels(matrix))
    return None if flow is None else to_full_flow(flow, full)


def align_bracket(
    bracket: Bracket | Photos,
    settings: AlignSettings | None = None,
    reference: int | None = None,
    *,
    progress: Progress | None = None,
) -> Stack:
    """Register the frames of a bracket to one of them.

    bracket: frames sorted dark to bright; exposures need not be known. Of photos as `as_bracket`
        takes them, arrays or paths in any order, they are found.
    reference: index of the frame that stays as it is; None for the one that loses least.
    progress: called with the fraction done, 0..1.
    Returns a Stack of frames of the same size and type. A frame that needs no motion keeps its
    pixels, the very same array. Where a warped frame has no pixels of its own, it is filled from
    the reference, re-exposed, and its validity mask is 0; with settings.crop, all frames are cut
    to what every frame covers instead.
    Raises BracketError for a reference that is not there.
    """
    settings = settings or AlignSettings()
    if not isinstance(bracket, Bracket):
        bracket = assign_stops(bracket)
    frames = bracket.frames
    if reference is None:
        reference = choose_reference(bracket)
    if not 0 <= reference < len(frames):
        raise BracketError(
            f"expected a reference from 0 to {len(frames) - 1}, found {reference}; "
            "frames count from 0, dark to bright"
        )
    kept = Registration("reference", np.eye(3))
    if settings.model == "none" or _too_small(frames[0]):
        alone = (
            Registration("identity", np.eye(3))
            if settings.model == "none"
            else _alone(f"smaller than {_SMALLEST_SIDE} pixels; not aligned")
        )
        registrations = tuple(kept if i == reference else alone for i in range(len(frames)))
        return _finished(
            bracket, settings, reference, list(frames), [f.opaque for f in frames], registrations
        )

    register = _align_round if bracket.wraps else _align_flat
    return register(bracket, settings, reference, progress)


def _align_flat(
    bracket: Bracket, settings: AlignSettings, reference: int, progress: Progress | None
) -> Stack:
    """Register frames that end at their borders."""
    frames = bracket.frames
    full = frames[0].pixels.shape
    out = list(frames)
    valid: list[Mask | None] = [None] * len(frames)
    results = [Registration("reference", np.eye(3))] * len(frames)
    base = make_proxy(frames[reference], settings.proxy_pixels)
    neighbour, to_neighbour = base, np.eye(3)
    order = list(_neighbours_first(len(frames), reference))
    for done, (index, nearer) in enumerate(order):
        if nearer == reference:
            neighbour, to_neighbour = base, np.eye(3)
        moving = make_proxy(frames[index], settings.proxy_pixels)
        pair = Pair(base, moving)
        known, remarks = _known_motions(frames[reference], frames[index], pair, settings)
        if nearer == reference:
            estimate = estimate_motion(pair, settings.model, known)
        else:
            estimate = estimate_chained(
                pair, to_neighbour, neighbour, moving, settings.model, known
            )
        registration = describe(estimate, pair, full, remarks)
        neighbour, to_neighbour = moving, estimate.motion.matrix
        flow = _flow_of(pair, to_neighbour, full) if settings.model == "flow" else None
        if flow is not None:
            registration = replace(registration, model="flow")
        del pair
        if progress is not None:
            progress((done + 0.7) / len(order))
        out[index], valid[index] = _warped(frames[index], frames[reference], registration, flow)
        results[index] = registration
        if progress is not None:
            progress((done + 1) / len(order))
    valid[reference] = frames[reference].opaque
    return _finished(bracket, settings, reference, out, valid, tuple(results))


def _align_round(
    bracket: Bracket, settings: AlignSettings, reference: int, progress: Progress | None
) -> Stack:
    """Register frames that go all the way round, as `align_bracket` does others."""
    frames = bracket.frames
    sphere = sphere_of(frames[reference], bracket.top_rows)
    out = list(frames)
    valid = [frame.opaque for frame in frames]
    results = [Registration("reference", np.eye(3))] * len(frames)
    turns_only = settings.model == "shift"
    base = make_proxy(frames[reference], settings.proxy_pixels)
    neighbour, to_neighbour = base, np.eye(3)
    order = list(_neighbours_first(len(frames), reference))
    for done, (index, nearer) in enumerate(order):
        if nearer == reference:
            neighbour, to_neighbour = base, np.eye(3)
        moving = make_proxy(frames[index], settings.proxy_pixels)
        starts = []
        if nearer != reference:
            link, *_ = estimate_rotation(
                RoundPair(neighbour, moving, sphere), turns_only=turns_only
            )
            starts = [link @ to_neighbour]
        pair = RoundPair(base, moving, sphere)
        rotation, gained, notes = estimate_rotation(pair, starts, turns_only=turns_only)
        del pair
        neighbour, to_neighbour = moving, rotation
        results[index] = describe_rotation(rotation, gained, notes, sphere)
        if results[index].model == "rotation":
            opaque = valid[index]
            opaque = None if opaque is None else empty(opaque.shape, np.uint8)
            pixels, valid[index] = warp_rotation(frames[index], rotation, sphere, opaque)
            out[index] = replace(frames[index], pixels=pixels, opaque=opaque)
        if progress is not None:
            progress((done + 1) / len(order))
    return _finished(bracket, settings, reference, out, valid, tuple(results))


def _finished(
    bracket: Bracket,
    settings: AlignSettings,
    reference: int,
    frames: list[Frame],
    valid: list[Mask | None],
    registrations: tuple[Registration, ...],
) -> Stack:
    """Cut or fill what registered frames do not show, and make a stack of them."""
    notes, crop = bracket.notes, None
    if settings.crop and any(mask is not None for mask in valid):
        cut = _cropped(frames, valid)
        if cut is not None:
            frames, crop = cut
            valid = [None] * len(frames)
            notes = (*notes, _crop_note(frames[0], crop))
        else:
            notes = (*notes, "the frames share too little to crop; borders filled instead")
    _fill(bracket, frames, valid, reference)
    return Stack(
        tuple(frames),
        reference,
        tuple(valid),
        registrations=registrations,
        filled=True,
        notes=notes,
        # A crop that took columns off took the seam with them.
        wraps=bracket.wraps and frames[0].width == bracket.frames[0].width,
        crop=crop,
    )


def _fill(bracket: Bracket, frames: list[Frame], valid: list[Mask | None], reference: int) -> None:
    """Fill what frames do not show from the reference, and that from the others; in the list."""
    own = None
    if valid[reference] is not None:
        # The nearest in exposure first.
        near = sorted(set(range(len(frames))) - {reference}, key=lambda i: abs(i - reference))
        others = [(frames[index], valid[index]) for index in near]
        frames[reference], own = fill_reference(frames[reference], others)
        valid[reference] = own
    for index, frame in enumerate(frames):
        if index == reference or valid[index] is None:
            continue
        if frame.pixels is bracket.frames[index].pixels:
            frame = replace(frame, pixels=frame.pixels.copy())
        frames[index] = fill_from_reference(frames[reference], frame, valid[index], own)


def _cropped(frames: list[Frame], valid: list[Mask | None]) -> tuple[list[Frame], Crop] | None:
    """Cut all frames to the rectangle that all cover; None where too little remains."""
    first = frames[0]
    rectangle = common_rectangle(valid, first.pixels.shape)
    if rectangle is None:
        return None
    rows, columns = rectangle
    crop = Crop(columns.start, rows.start, first.width, first.height)
    return [crop_frame(frame, rectangle) for frame in frames], crop


def _crop_note(frame: Frame, crop: Crop) -> str:
    return f"cropped to {frame.width} x {frame.height} pixels at ({crop.left}, {crop.top})"

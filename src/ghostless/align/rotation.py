"""Registration of frames that go all the way round (360 degrees): rotations of the sphere.

A camera that sees everything knows no homography: whatever its hand does, short of moving away, is
a rotation of the sphere on which its picture lies (equirectangular: columns are longitudes, rows
latitudes). The turn about the vertical is found for all directions at once, by circular
correlation of rows; the rest by Gauss-Newton steps on locally normalised pixels, coarse to fine, as
in ecc.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..bracket import Frame, Mask, Pixels, Registration
from ..pixels.seam import with_margins
from ..pixels.stripes import for_each_stripe
from ..work.spill import empty
from .proxy import Gray, Matrix, gray_of, local_normalise, overlapping_range, resized

Floats = NDArray[np.float32]

_WINDOW_PIXELS = 3.0
_SOFTEN_PIXELS = 0.8
_NOISE_CODES = 0.3
_MARGIN_PIXELS = 16
_SMALLEST_SIDE = 24
# Turns about the vertical are sought at this width, and this many of the likeliest tried.
_TURN_COLUMNS = 1024
_TURNS = 3
_POINTS = 15_000
# Nearer to the poles than this, a picture is drawn out beyond use.
_HIGHEST_LATITUDE = np.radians(72)
_STEPS = 12
_SMALLEST_STEP_PIXELS = 0.01
# A rotation must raise the correlation by this share of what is missing over none, the full one
# over a turn; one of less than half a pixel by more, to be worth resampling.
_CLEAR_GAIN = 0.03
_CLEAR_GAIN_TINY = 0.1
_LEAST_CORRELATION = 0.15
_FULL_GAIN = 0.01
_TINY_PIXELS = 0.5
_STILL_PIXELS = 0.1
# How much of the picture must prefer a rotation to none.
_CONSENT = 0.5
_TILE = 16
# A turn this near to whole columns is made by moving columns.
_WHOLE_PIXELS = 0.02
_STRIPE_PIXELS = 1 << 18
_REACH_PIXELS = 3


@dataclass(frozen=True)
class Sphere:
    """Where the pixels of a picture (height, width) lie on the sphere.

    top: rows between the zenith and the first row. A picture that reaches beyond the poles is no
    sphere: only turns about the vertical make sense then.
    """

    height: int
    width: int
    top: float

    @property
    def whole(self) -> bool:
        return self.top >= -1 and self.top + self.height <= self.width / 2 + 1

    @property
    def radians_per_pixel(self) -> float:
        return 2 * np.pi / self.width

    def scaled(self, height: int, width: int) -> Sphere:
        """The same part of the sphere at another size."""
        return Sphere(height, width, self.top * width / self.width)

    def latitudes(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Latitudes (n,) of rows (n,), in radians, up from the horizon."""
        return np.pi / 2 - (rows + 0.5 + self.top) * self.radians_per_pixel

    def directions(self, x: NDArray[Any], y: NDArray[Any]) -> Floats:
        """Directions (..., 3) of pixels: right, up and ahead."""
        longitude = (x + 0.5) * self.radians_per_pixel - np.pi
        latitude = self.latitudes(y)
        flat = np.cos(latitude)
        parts = np.broadcast_arrays(
            flat * np.sin(longitude), np.sin(latitude), flat * np.cos(longitude)
        )
        return np.stack(parts, axis=-1).astype(np.float32)

    def pixels(self, directions: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Columns and rows of directions; columns from -0.5 to width - 0.5.

        (..., 3) to twice (...,).
        """
        longitude = np.arctan2(directions[..., 0], directions[..., 2])
        latitude = np.arcsin(np.clip(directions[..., 1], -1, 1))
        x = (longitude + np.float32(np.pi)) / np.float32(self.radians_per_pixel) - np.float32(0.5)
        y = (np.float32(np.pi / 2) - latitude) / np.float32(self.radians_per_pixel)
        return x, y - np.float32(0.5 + self.top)


def sphere_of(frame: Frame, top: float | None) -> Sphere:
    """The sphere of a frame; top: rows above it, None for as many as below."""
    return Sphere(
        frame.height, frame.width, (frame.width / 2 - frame.height) / 2 if top is None else top
    )


# Estimating ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Level:
    """Both pictures at one size, locally normalised; moving with margins beyond the seam.

    points: of the reference, (N,) each: column, row, value and weight.
    """

    sphere: Sphere
    reference: Gray
    reference_energy: Gray
    moving: Floats
    points: tuple[Floats, Floats, Floats, Floats]

    def sampled(self, rotation: Matrix, x: Floats, y: Floats) -> tuple[NDArray[Any], NDArray[Any]]:
        """Values, both gradients and energy (..., 4) of the moving picture, and directions."""
        directions = self.sphere.directions(x, y) @ rotation.T.astype(np.float32)
        to_x, to_y = self.sphere.pixels(directions)
        shape = to_x.shape
        flat = cv2.remap(
            self.moving,
            (to_x + np.float32(_REACH_PIXELS)).reshape(-1, shape[-1]),
            to_y.reshape(-1, shape[-1]),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
        )
        return flat.reshape(*shape, 4), directions


class Pair:
    """Two proxies of frames that go all the way round, on which rotations are tried."""

    def __init__(self, reference: Floats, moving: Floats, sphere: Sphere) -> None:
        self.sphere = sphere.scaled(*reference.shape[:2])
        grays = [gray_of(reference), gray_of(moving)]
        span = overlapping_range(*grays)
        grays = [np.clip(grays[0], *span.reference), np.clip(grays[1], *span.moving)]
        self.levels = [_make_level(grays[0], grays[1], self.sphere)]
        while min(grays[0].shape) / 2 >= _SMALLEST_SIDE:
            shape = grays[0].shape
            half = (max(1, round(shape[0] / 2)), max(1, round(shape[1] / 2)))
            grays = [resized(gray, half) for gray in grays]
            self.levels.append(_make_level(grays[0], grays[1], self.sphere.scaled(*half)))
        self.scored = next(
            (level for level in self.levels if level.sphere.width <= _TURN_COLUMNS),
            self.levels[-1],
        )


def _make_level(reference: Gray, moving: Gray, sphere: Sphere) -> _Level:
    value, energy = _normalised(reference)
    moving_value, moving_energy = _normalised(moving)
    wide = with_margins(moving_value, 1)
    gradients = [
        np.asarray(cv2.Sobel(wide, cv2.CV_32F, dx, 1 - dx, scale=1 / 8))[:, 1:-1] for dx in (1, 0)
    ]
    bundle = with_margins(np.dstack([moving_value, *gradients, moving_energy]), _REACH_PIXELS)
    return _Level(
        sphere, value, energy, np.ascontiguousarray(bundle), _points(value, energy, sphere)
    )


def _normalised(gray: Gray) -> tuple[Gray, Gray]:
    margin = min(_MARGIN_PIXELS, gray.shape[1])
    wide = np.ascontiguousarray(with_margins(gray, margin))
    soft = np.asarray(cv2.GaussianBlur(wide, (0, 0), _SOFTEN_PIXELS), np.float32)
    parts = local_normalise(soft, _WINDOW_PIXELS, _NOISE_CODES)
    value, energy = (np.ascontiguousarray(part[:, margin:-margin]) for part in parts)
    return value, energy


def _points(value: Gray, energy: Gray, sphere: Sphere) -> tuple[Floats, Floats, Floats, Floats]:
    """The pixels with most texture, far enough from the poles."""
    gx, gy = (cv2.Sobel(value, cv2.CV_32F, dx, 1 - dx, scale=1 / 8) for dx in (1, 0))
    area = np.cos(sphere.latitudes(np.arange(value.shape[0])))
    if sphere.whole:
        area[area < np.cos(_HIGHEST_LATITUDE)] = 0
    weight = energy * np.maximum(area, 0).astype(np.float32)[:, None]
    strength = weight * (np.abs(gx) + np.abs(gy))
    # Equally many from small cells all over the picture.
    side = max(4, int(np.sqrt(value.size / _POINTS)) * 2)
    rows, columns = value.shape[0] // side, value.shape[1] // side
    cells = strength[: rows * side, : columns * side].reshape(rows, side, columns, side)
    cells = cells.transpose(0, 2, 1, 3).reshape(rows * columns, side * side)
    best = np.argpartition(cells, -4, axis=1)[:, -4:]
    cell = np.arange(rows * columns)[:, None]
    y = ((cell // columns) * side + best // side).ravel()
    x = ((cell % columns) * side + best % side).ravel()
    textured = strength[y, x] > 1e-3
    y, x = y[textured], x[textured]
    return x.astype(np.float32), y.astype(np.float32), value[y, x], weight[y, x]


def _turns(level: _Level) -> Iterator[Matrix]:
    """The likeliest turns about the vertical, by circular correlation of all rows."""
    area = np.cos(level.sphere.latitudes(np.arange(level.sphere.height)))
    weight = np.maximum(area, 0).astype(np.float32)[:, None]
    moving = level.moving[:, _REACH_PIXELS:-_REACH_PIXELS]
    first = np.fft.rfft(level.reference * level.reference_energy * weight, axis=1)
    second = np.fft.rfft(moving[..., 0] * moving[..., 3], axis=1)
    likeness = np.fft.irfft((np.conj(first) * second).sum(axis=0), level.sphere.width)
    apart = max(3, level.sphere.width // 128)
    for _ in range(_TURNS):
        shift = int(likeness.argmax())
        yield turn_of(shift * level.sphere.radians_per_pixel)
        near = np.arange(shift - apart, shift + apart + 1) % level.sphere.width
        likeness[near] = -np.inf


def turn_of(radians: float) -> Matrix:
    """The rotation that moves every longitude on by an angle."""
    c, s = np.cos(radians), np.sin(radians)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]], np.float64)


def _rotation_of(vector: NDArray[np.float64]) -> Matrix:
    """Rodrigues' rotation."""
    return np.asarray(cv2.Rodrigues(vector.astype(np.float64))[0], np.float64)


def _refined(level: _Level, rotation: Matrix, free: Sequence[int]) -> Matrix:
    """Improve a rotation on one level; free: of the axes right, up, ahead those turned about."""
    x, y, value, weight = level.points
    if x.size < 20:
        return rotation
    current = rotation
    per_pixel = np.float32(1 / level.sphere.radians_per_pixel)
    for _ in range(_STEPS):
        sampled, d = level.sampled(current, x[:, None], y[:, None])
        sampled, d = sampled[:, 0], d[:, 0]
        flat = np.maximum(np.square(d[:, 0]) + np.square(d[:, 2]), np.float32(1e-3))
        # How far a pixel moves for each small rotation w: its direction moves by w x d.
        zero = np.zeros_like(flat)
        moved = (
            (zero, -d[:, 2], d[:, 1]),
            (d[:, 2], zero, -d[:, 0]),
            (-d[:, 1], d[:, 0], zero),
        )
        jacobian = np.stack(
            [
                per_pixel
                * (
                    sampled[:, 1] * (d[:, 2] * move[0] - d[:, 0] * move[2]) / flat
                    - sampled[:, 2] * move[1] / np.sqrt(flat)
                )
                for move in (moved[axis] for axis in free)
            ]
        )
        residual = sampled[:, 0] - value
        strength = weight * sampled[:, 3]
        seen = strength > 0.02
        if np.count_nonzero(seen) < 20:
            return rotation
        spread = max(0.1, 1.4826 * float(np.median(np.abs(residual[seen]))))
        strength = strength / (1 + (residual / spread) ** 2) ** 2 * seen
        weighted = jacobian * strength
        hessian = (weighted @ jacobian.T).astype(np.float64)
        slope = (weighted @ residual).astype(np.float64)
        hessian += 1e-6 * max(float(np.trace(hessian)), 1e-9) * np.eye(len(free))
        step = np.zeros(3)
        step[list(free)] = np.clip(-np.linalg.solve(hessian, slope), -0.05, 0.05)
        current = _rotation_of(step) @ current
        if float(np.abs(step).max()) / level.sphere.radians_per_pixel < _SMALLEST_STEP_PIXELS:
            break
    return current


def _correlation(level: _Level, rotation: Matrix) -> tuple[float, float]:
    """How well both pictures agree under a rotation, -1..1, and how much of it prefers it to none.

    The second is 1 where all tiles gain by it, -1 where all lose.
    """
    height, width = level.reference.shape
    grid = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    sampled, _ = level.sampled(rotation, *grid)
    unmoved = level.moving[:, _REACH_PIXELS:-_REACH_PIXELS]
    area = np.maximum(np.cos(level.sphere.latitudes(np.arange(height))), 0)[:, None]
    weight = np.sqrt(level.reference_energy * sampled[..., 3]) * area.astype(np.float32)
    both = float((weight * level.reference * sampled[..., 0]).sum())
    powers = [
        float((weight * np.square(image)).sum()) for image in (level.reference, sampled[..., 0])
    ]
    scale = float(np.sqrt(powers[0] * powers[1]))
    gain = level.reference * (sampled[..., 0] - unmoved[..., 0]) * area.astype(np.float32)
    tiles = (-(-width // _TILE), -(-height // _TILE))
    sums = cv2.resize(gain, tiles, interpolation=cv2.INTER_AREA)
    total = float(np.abs(sums).sum())
    agreed = float(sums.sum()) / total if total > 0 else 0.0
    return both / scale if scale > 0 else 0.0, agreed


def estimate_rotation(
    pair: Pair, starts: Sequence[Matrix] = (), *, turns_only: bool = False
) -> tuple[Matrix, float, tuple[str, ...]]:
    """Find the rotation of a pair.

    starts: rotations found elsewhere, further starting points.
    Returns it (identity where none is clearly better), the share of the misfit that it removes, and
    notes.
    """
    scored = pair.scored
    turns_only = turns_only or not pair.sphere.whole
    about: tuple[int, ...] = (1,) if turns_only else (0, 1, 2)
    coarse = pair.levels[pair.levels.index(scored) :]
    unmoved, _ = _correlation(scored, np.eye(3))
    tried = []
    for start in (np.eye(3), *_turns(scored), *starts):
        rotation = start
        for level in reversed(coarse[:3]):
            rotation = _refined(level, rotation, about)
        tried.append((_correlation(scored, rotation)[0], rotation, start))
    found, rotation, start = max(tried, key=lambda entry: entry[0])
    if not turns_only:
        # The simplest that serves as well.
        turned = turn_of(float(np.arctan2(rotation[0, 2], rotation[2, 2])))
        turned = _refined(scored, turned, (1,))
        simple = _correlation(scored, turned)[0]
        if simple > found - _FULL_GAIN * (1 - unmoved):
            found, rotation, about = simple, turned, (1,)
    for level in reversed(pair.levels[: pair.levels.index(scored)]):
        rotation = _refined(level, rotation, about)
    found, agreed = _correlation(scored, rotation)
    gain = (found - unmoved) / max(1 - unmoved, 1e-6)
    least = (
        _CLEAR_GAIN_TINY if motion_pixels(rotation, scored.sphere) < _TINY_PIXELS else (_CLEAR_GAIN)
    )
    if gain < least or found < _LEAST_CORRELATION or agreed < _CONSENT:
        return np.eye(3), 0.0, ("no rotation fits clearly better than none; left as it is",)
    return rotation, float(np.clip(gain, 0, 1)), ()


def motion_pixels(rotation: Matrix, sphere: Sphere) -> float:
    """The angle of a rotation, in pixels at the horizon."""
    angle = np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1))
    return float(angle / sphere.radians_per_pixel)


def describe_rotation(
    rotation: Matrix, improvement: float, notes: tuple[str, ...], sphere: Sphere
) -> Registration:
    """A rotation as a registration of full-size frames."""
    if motion_pixels(rotation, sphere) < _STILL_PIXELS:
        return Registration("identity", np.eye(3), improvement=improvement, notes=notes)
    return Registration("rotation", rotation, improvement=improvement, notes=notes)


# Resampling ---------------------------------------------------------------------------------------


def warp_rotation(
    frame: Frame, rotation: Matrix, sphere: Sphere, opaque: Mask | None = None
) -> tuple[Pixels, Mask | None]:
    """Rotate a frame onto the reference in one interpolation, in stripes of rows.

    rotation: takes directions of the reference to those of the frame.
    opaque: (H, W) to write the frame's opacity to, for one that has it.
    Returns what `warp.warp_pixels` returns. A turn by whole columns keeps the very pixel values.
    """
    height, width = frame.pixels.shape[:2]
    shift = float(np.arctan2(rotation[0, 2], rotation[2, 2])) / sphere.radians_per_pixel
    if rotation[1, 1] > 1 - 1e-12 and abs(shift - round(shift)) < _WHOLE_PIXELS:
        if opaque is not None and frame.opaque is not None:
            opaque[:] = np.roll(frame.opaque, -round(shift), axis=1)
        return np.roll(frame.pixels, -round(shift), axis=1), opaque
    out = empty(frame.pixels.shape, frame.pixels.dtype)
    valid = np.full((height, width), 255, np.uint8)
    smooth = frame.transfer == "linear" or frame.pixels.dtype == np.float32
    columns = np.arange(width, dtype=np.float32)[None]

    def work(start: int, stop: int) -> None:
        rows = np.arange(start, stop, dtype=np.float32)[:, None]
        if rotation[1, 1] > 1 - 1e-12:  # rows stay rows, also beyond the poles
            x = np.broadcast_to((columns + np.float32(shift)) % width, (stop - start, width))
            to_x, to_y = np.ascontiguousarray(x), np.repeat(rows, width, axis=1)
        else:
            directions = sphere.directions(columns, rows) @ rotation.T.astype(np.float32)
            to_x, to_y = sphere.pixels(directions)
        valid[start:stop][(to_y < -0.5) | (to_y > height - 0.5)] = 0
        first = int(np.clip(np.floor(to_y.min()) - _REACH_PIXELS, 0, height - 1))
        last = int(np.clip(np.ceil(to_y.max()) + _REACH_PIXELS + 1, first + 1, height))
        places = to_x + np.float32(_REACH_PIXELS), to_y - np.float32(first)
        out[start:stop] = cv2.remap(
            np.ascontiguousarray(with_margins(frame.pixels[first:last], _REACH_PIXELS)),
            *places,
            cv2.INTER_LINEAR if smooth else cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REPLICATE,
        )
        if frame.opaque is not None and opaque is not None:
            opaque[start:stop] = cv2.remap(
                np.ascontiguousarray(with_margins(frame.opaque[first:last], _REACH_PIXELS)),
                *places,
                cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REPLICATE,
            )
            np.minimum(valid[start:stop], opaque[start:stop], out=valid[start:stop])

    for_each_stripe(height, width, work, pixels=_STRIPE_PIXELS)
    return out, None if valid.min() == 255 else valid

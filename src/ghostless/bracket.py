"""The values that travel down the line: frames, brackets, stacks and the fused image.

All are frozen and check themselves when they are built. Pixels are RGB arrays of shape (H, W, 3)
that stay in the type they were read in (uint8, uint16 or float32) until a stage needs numbers.
Nobody writes into an array that one of these values holds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .errors import BracketError, SpaceError
from .pixels import color

Pixels = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.float32]
Mask = NDArray[np.uint8]
Space = Literal["display", "linear"]

# Left, top, width and height of a part of a picture; it may reach beyond the picture's edges.
Window = tuple[int, int, int, int]

MIN_FRAMES = 2
MAX_FRAMES = 20


Matrix3 = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class SensorColours:
    """What the colours of a sensor mean, of pixels that are left in them.

    Pixels are linear sensor values over `neutral`: white in the light of the photo is (1, 1, 1).

    camera: its name. xyz_to_camera: 3 x 3, XYZ of D65 white to sensor values before white balance.
    neutral: sensor values of what is white in the photo's light, the largest 1. to_srgb: 3 x 3,
        pixels to linear sRGB.
    """

    camera: str
    xyz_to_camera: Matrix3
    neutral: tuple[float, float, float]
    to_srgb: Matrix3


@dataclass(frozen=True)
class Metadata:
    """What a file says about its picture, besides the pixels.

    `exif` is the Exif block as stored (a TIFF structure, without the "Exif\\0\\0" prefix) and
    `icc_profile` the ICC profile's bytes; `xmp` is an XMP packet, `iptc` the records of IPTC's IIM.
    Exposure facts are None where the file has none.
    window: which part of the upright photo its pixels show; None for all of it.
    sensor: whose colours its pixels have, where they are a sensor's own.
    """

    exif: bytes | None = field(default=None, repr=False)
    icc_profile: bytes | None = field(default=None, repr=False)
    shutter_seconds: float | None = None
    aperture_f_number: float | None = None
    iso: float | None = None
    exposure_bias_stops: float | None = None
    taken_at: str | None = None
    camera: str | None = None
    lens: str | None = None
    focal_length_mm: float | None = None
    xmp: bytes | None = field(default=None, repr=False)
    iptc: bytes | None = field(default=None, repr=False)
    window: Window | None = None
    flash_fired: bool | None = None
    sensor: SensorColours | None = None


@dataclass(frozen=True)
class Frame:
    """One photo of a bracket.

    pixels: (H, W, 3) RGB, uint8, uint16 or float32; integers span 0 to their type's maximum.
    transfer: how the numbers relate to light: "srgb" (display coding) or "linear" (proportional to
        light; 1.0 or the type's maximum is where the sensor clips).
    stops: exposure in stops (log2 of the light let in), larger is brighter; only differences
        between frames count. None while unknown.
    opaque: (H, W) uint8, 0 where the photo is transparent and shows nothing, 255 where it shows the
        scene; None where it does everywhere. Pixels under 0 hold no more than a filling.
    stops_source: where `stops` comes from: "exif", "user", "file" or "pixels".
    label: what to call pixels that come from no file.
    """

    pixels: Pixels
    transfer: color.Transfer = "srgb"
    stops: float | None = None
    stops_source: str | None = None
    path: Path | None = None
    metadata: Metadata = field(default_factory=Metadata)
    opaque: Mask | None = None
    label: str = "frame"

    def __post_init__(self) -> None:
        if self.opaque is not None and (
            self.opaque.shape != self.pixels.shape[:2] or self.opaque.dtype != np.uint8
        ):
            raise BracketError(
                f"{self.name}: expected an opacity of shape {self.pixels.shape[:2]} and type "
                f"uint8, found {self.opaque.shape} and {self.opaque.dtype}"
            )
        if self.pixels.ndim != 3 or self.pixels.shape[2] != 3 or 0 in self.pixels.shape:
            raise BracketError(
                f"{self.name}: expected pixels of shape (height, width, 3), "
                f"found {self.pixels.shape}"
            )
        if self.pixels.dtype not in (np.uint8, np.uint16, np.float32):
            raise BracketError(
                f"{self.name}: expected pixels of type uint8, uint16 or float32, "
                f"found {self.pixels.dtype}"
            )

    @property
    def name(self) -> str:
        """The file's name, or the label of pixels that come from no file."""
        return self.path.name if self.path is not None else self.label

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    def __repr__(self) -> str:
        return f"<Frame {self.name}: {_kind(self)}, {_stops_text((self,))}>"

    def unit(self, rows: slice = slice(None)) -> NDArray[np.float32]:
        """Rows of the frame as float32 in its own coding, integers scaled to 0..1.

        (rows, W, 3) or (rows, W).
        """
        return color.to_unit(self.pixels[rows])

    def display(self, rows: slice = slice(None)) -> NDArray[np.float32]:
        """Rows of the frame as float32 display values, 0..1, sRGB curve. (rows, W, 3)."""
        return color.to_display(self.pixels[rows], self.transfer)

    def linear(self, rows: slice = slice(None)) -> NDArray[np.float32]:
        """Rows of the frame as float32 linear light, 1.0 where the frame clips. (rows, W, 3)."""
        return color.to_linear(self.pixels[rows], self.transfer)


@dataclass(frozen=True)
class Bracket:
    """The frames of one scene as read, sorted dark to bright once their stops are known.

    notes: one-line remarks for the user gathered on the way (an overruled EXIF, a turned photo).
    wraps: whether the frames go all the way round, so that their right edge is their left one's
        neighbour (360-degree panoramas).
    top_rows: how many rows lie between the zenith and the first row of frames that wrap; None for
        as many as between the last one and the nadir.
    """

    frames: tuple[Frame, ...]
    notes: tuple[str, ...] = ()
    wraps: bool = False
    top_rows: float | None = None

    def __post_init__(self) -> None:
        check_frame_count(len(self.frames))
        first = self.frames[0]
        for frame in self.frames[1:]:
            if frame.pixels.shape != first.pixels.shape:
                turned = frame.pixels.shape[:2] == first.pixels.shape[1::-1]
                what = "another orientation" if turned else "another size"
                raise BracketError(
                    f"{frame.name}: expected {first.width} x {first.height} pixels like "
                    f"{first.name}, found {frame.width} x {frame.height} ({what}); "
                    "give the frames of one bracket only"
                )

    def __repr__(self) -> str:
        turning = ", all the way round" if self.wraps else ""
        return (
            f"<Bracket of {len(self.frames)} photos: {_kind(self.frames[0])}{turning}, "
            f"{_stops_text(self.frames)}>"
        )

    @property
    def stops(self) -> tuple[float, ...]:
        """Every frame's exposure in stops; raises BracketError where one is unknown."""
        return _known_stops(self.frames)


def _kind(frame: Frame) -> str:
    """Size, type and coding of a frame in a few words."""
    return f"{frame.width} x {frame.height}, {frame.pixels.dtype} {frame.transfer}"


def _stops_text(frames: tuple[Frame, ...]) -> str:
    """Exposures in a few words.

    >>> _stops_text((Frame(np.zeros((1, 1, 3), np.uint8), stops=-2.0),))
    'stops -2'
    """
    known = [frame.stops for frame in frames if frame.stops is not None]
    if len(known) < len(frames):
        return "stops unknown"
    return f"stops {' '.join(f'{stops:.3g}' for stops in known)}"


def check_frame_count(count: int) -> None:
    """Raise BracketError unless `count` frames can make a bracket."""
    if count < MIN_FRAMES:
        raise BracketError(
            f"expected at least {MIN_FRAMES} frames of one scene, found {count}; "
            "give all photos of the bracket"
        )
    if count > MAX_FRAMES:
        raise BracketError(
            f"expected at most {MAX_FRAMES} frames, found {count}; give one bracket at a time"
        )


def _known_stops(frames: tuple[Frame, ...]) -> tuple[float, ...]:
    stops = []
    for frame in frames:
        if frame.stops is None:
            raise BracketError(
                f"{frame.name}: expected a known exposure, found none; "
                "give the stops of all frames or have them estimated first"
            )
        stops.append(frame.stops)
    return tuple(stops)


RegistrationModel = Literal[
    "reference", "homography", "affine", "shift", "flow", "rotation", "identity"
]


@dataclass(frozen=True)
class Registration:
    """How one frame was brought onto the reference.

    matrix: (3, 3) float64; takes pixel-centre coordinates (x, y, 1) of the reference to those of
        the frame, so that warped(x) = frame(matrix x). Identity for the reference itself. Of the
        model "rotation" (360-degree frames) it takes directions (right, up, ahead at the middle of
        the frame) of the reference to those of the frame.
    matches, inliers: feature pairs offered to and kept by the robust fit (0 where none was made).
    residual_pixels: root mean square distance of the inliers after the fit; NaN where unknown.
    improvement: share of the photometric misfit that the registration removed, 0..1.
    notes: fall-backs taken on the way, in plain words.
    """

    model: RegistrationModel
    matrix: NDArray[np.float64]
    matches: int = 0
    inliers: int = 0
    residual_pixels: float = float("nan")
    improvement: float = 0.0
    notes: tuple[str, ...] = ()


class Crop(NamedTuple):
    """The part of photos that a crop left, in pixels: where it begins, and the photos' size."""

    left: int
    top: int
    photo_width: int
    photo_height: int


@dataclass(frozen=True)
class Stack:
    """Frames registered to one reference, dark to bright, with a mask or two each.

    valid: per frame (H, W) uint8, 255 where the warped frame has pixels of its own, 0 where it was
        filled from the reference; None where all is valid. That of the reference is 0 where it is
        transparent and was filled from the other frames, as far as they show anything.
    confidence: per frame (H, W) uint8 after `deghost`: 255 where the frame shows what the reference
        shows, 0 where it was ghosted and its pixels were replaced; None before `deghost`
        or where nothing was found.
    filled: whether the pixels under both masks hold the reference's content at the frame's own
        exposure. Methods that want every exposure of a thing to choose from (exposure fusion)
        then use them and ignore the masks; those that want measurements of light do not.
    registrations: per frame, empty if the stack was never aligned.
    wraps: as in `Bracket`.
    crop: which part of the photos the frames show after a crop; None for all of them.
    """

    frames: tuple[Frame, ...]
    reference: int
    valid: tuple[Mask | None, ...] = ()
    confidence: tuple[Mask | None, ...] = ()
    registrations: tuple[Registration, ...] = ()
    filled: bool = False
    notes: tuple[str, ...] = ()
    wraps: bool = False
    crop: Crop | None = None

    def __post_init__(self) -> None:
        count = len(self.frames)
        if not 0 <= self.reference < count:
            raise BracketError(
                f"expected a reference from 0 to {count - 1}, found {self.reference}"
            )
        shape = self.frames[0].pixels.shape
        if any(frame.pixels.shape != shape for frame in self.frames):
            raise BracketError("expected the frames of a stack to have one size, found several")
        for name in ("valid", "confidence"):
            masks = getattr(self, name) or (None,) * count
            object.__setattr__(self, name, masks)
            if len(masks) != count:
                raise BracketError(f"expected {count} {name} masks, found {len(masks)}")
            for mask in masks:
                if mask is not None and (mask.shape != shape[:2] or mask.dtype != np.uint8):
                    raise BracketError(
                        f"expected {name} masks of shape {shape[:2]} and type uint8, "
                        f"found {mask.shape} and {mask.dtype}"
                    )

    def __repr__(self) -> str:
        ghosts = sum(mask is not None for mask in self.confidence)
        told = f", ghosts replaced in {ghosts}" if ghosts else ""
        return (
            f"<Stack of {len(self.frames)} frames: {_kind(self.frames[0])}, "
            f"{_stops_text(self.frames)}, reference {self.reference}{told}>"
        )

    @property
    def stops(self) -> tuple[float, ...]:
        """Every frame's exposure in stops; raises BracketError where one is unknown."""
        return _known_stops(self.frames)

    @property
    def opaque(self) -> Mask | None:
        """Where any frame shows the scene, (H, W) uint8, 0 where none does; None for everywhere."""
        masks = [mask for mask in self.valid if mask is not None]
        if len(masks) < len(self.valid):
            return None
        seen = np.maximum.reduce(masks)
        return None if seen.all() and seen.min() == 255 else seen

    def weight(self, index: int, rows: slice = slice(None)) -> NDArray[np.float32] | None:
        """Rows of what a method should multiply frame `index`'s weight by: 0..1, None for 1.

        The product of the validity and confidence masks, float32 (h, W).
        """
        masks = [m[rows] for m in (self.valid[index], self.confidence[index]) if m is not None]
        if not masks:
            return None
        weight = masks[0].astype(np.float32) * np.float32(1 / 255)
        for mask in masks[1:]:
            weight *= mask.astype(np.float32) * np.float32(1 / 255)
        return weight


@dataclass(frozen=True)
class Fused:
    """One image that knows its space. `np.asarray` of it is its pixels; notebooks show it.

    pixels: (H, W, 3) float32 RGB. In space "display" 0..1 with the sRGB curve (or that of the
        input's ICC profile); in space "linear" scene radiance, >= 0, where 1.0 is diffuse white
        (what just clips in the reference frame).
    opaque: (H, W) uint8, 0 where no photo showed anything; None where one did everywhere.
    wraps: whether the right edge is the left one's neighbour.
    """

    pixels: NDArray[np.float32]
    space: Space
    metadata: Metadata = field(default_factory=Metadata)
    notes: tuple[str, ...] = ()
    opaque: Mask | None = None
    wraps: bool = False

    def __post_init__(self) -> None:
        if self.opaque is not None and self.opaque.shape != self.pixels.shape[:2]:
            raise BracketError(
                f"expected an opacity of shape {self.pixels.shape[:2]}, found {self.opaque.shape}"
            )
        if self.pixels.ndim != 3 or self.pixels.shape[2] != 3 or self.pixels.dtype != np.float32:
            raise BracketError(
                "expected a fused image of shape (height, width, 3) and type float32, "
                f"found {self.pixels.shape} and {self.pixels.dtype}"
            )

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        # NumPy 1 knows no `copy`, and calls this without it.
        if copy is False and dtype is not None and np.dtype(dtype) != self.pixels.dtype:
            raise ValueError(f"pixels of type float32 cannot be {np.dtype(dtype)} without a copy")
        return np.array(self.pixels, dtype) if copy else np.asarray(self.pixels, dtype)

    def __repr__(self) -> str:
        height, width = self.pixels.shape[:2]
        return f"<Fused: {width} x {height}, {self.space}>"

    def _repr_png_(self) -> bytes:
        """What notebooks show: the picture, reduced; radiance as far as 1.0."""
        from .pixels.thumbnail import png_thumbnail

        transfer: color.Transfer = "srgb" if self.space == "display" else "linear"
        return png_thumbnail(self.pixels, transfer, self.opaque)

    def require(self, space: Space) -> Fused:
        """Return self if it is in `space`; raise SpaceError otherwise."""
        if self.space != space:
            cure = "tone-map it first" if space == "display" else "merge with a linear method"
            raise SpaceError(f"expected a {space} image, found a {self.space} one; {cure}")
        return self

"""Reading: from files on disk to a frame, a bracket, or one image.

A file is looked at in two steps. `_probe` tells its format by content and reads the header only;
missing files, wrong sizes and pictures too large are refused there. Only then pixels are decoded,
two files at a time. Whatever a decoder does on damaged data, the caller sees one FileReadError.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import cv2
import numpy as np

from ..bracket import Bracket, Frame, Fused, Mask, Metadata, Window, check_frame_count
from ..errors import BracketError, FileReadError, GhostlessError
from ..pixels import color
from ..pixels.holes import fill_holes
from ..settings import Open, Range, check_settings
from ..work.memory import decoders_at_a_time
from ..work.packages import check_installed
from ..work.spill import settled
from . import icc
from .clipped import restore_clipped
from .colours import HLG
from .containers import FORMAT_NAMES, HEAD_BYTES, Format, read_header, sniff, what_it_seems
from .decode import Samples, decode, decoding_bytes, finish, kept_bytes, turn
from .gainmap import apply_gain_map, read_gain_map
from .headers import Damaged, Header, check_pixels
from .jpegxl import read_jpegxl_header
from .metadata import metadata_from_bytes
from .packets import read_packets
from .placing import Placed, through_window, windows_of
from .turns import Laid, settle_turns
from .xmp import gathered_xmp, kept_iptc, panorama_of

DECODING_THREADS: Final = 2
_KNOWN: Final = "JPEG, PNG, TIFF, WebP, AVIF, HEIC, JPEG XL, Radiance HDR, OpenEXR or camera RAW"
StrPath = str | os.PathLike[str]
T = TypeVar("T")


@dataclass(frozen=True)
class ReadSettings:
    """How photos are read.

    max_pixels: a picture of more (width times height) is refused before it is decoded.
    white_balance: multipliers of red, green, blue and second green that RAW photos are developed
        with; None for the camera's own of the bracket's first photo.
    wrap: whether the photos go all the way round, 360 degrees, so that their right edge is their
        left one's neighbour; None for what they say of themselves (GPano).
    """

    max_pixels: Annotated[int, Range(1)] = 400_000_000
    white_balance: Annotated[tuple[float, float, float, float] | None, Range(above=0)] = None
    wrap: Annotated[bool | None, Open("auto")] = None

    def __post_init__(self) -> None:
        check_settings(self, "read")


@dataclass(frozen=True)
class PhotoFacts:
    """What a photo's file says before its pixels are decoded.

    height, width: once turned upright.
    orientation: the tag that says how, 1..8.
    white_balance: the camera's multipliers for R, G, B, G2 of a RAW file, else None.
    kept_bytes, decoding_bytes: memory that its pixels, and decoding them, will take.
    """

    kind: Format
    height: int
    width: int
    metadata: Metadata
    white_balance: tuple[float, float, float, float] | None = None
    orientation: int = 1
    kept_bytes: int = 0
    decoding_bytes: int = 0


@dataclass(frozen=True)
class _Photo:
    """A file whose header was read: enough to check a bracket, nothing decoded yet.

    further: an orientation to apply once the picture is upright by its own tag.
    window: the part of the upright picture that is wanted, None for all of it.
    own_colours: whether a RAW file is wanted in its sensor's colours.
    """

    path: Path
    kind: Format
    header: Header
    white_balance: tuple[float, float, float, float] | None = None
    further: int = 1
    window: Window | None = None
    own_colours: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Height and width once turned upright and cut to the window."""
        return self.upright if self.window is None else (self.window[3], self.window[2])

    @property
    def upright(self) -> tuple[int, int]:
        """Height and width once turned upright."""
        sides = self.header.height, self.header.width
        swapped = (self.header.orientation >= 5) != (self.further >= 5)
        return (sides[1], sides[0]) if swapped else sides

    @property
    def tag(self) -> int:
        """The orientation that the file tells, whoever applies it."""
        return max(self.header.orientation, self.header.applied)


def read_frame(path: StrPath, settings: ReadSettings = ReadSettings()) -> Frame:
    """Read one photo: upright RGB pixels in the file's own integer type, or float32.

    path: JPEG, PNG, TIFF, WebP, AVIF, HEIC, JPEG XL, Radiance HDR, OpenEXR or camera RAW, told by
        content. Of a gain-map JPEG the SDR picture is read, see `read_hdr_image`.
    Floats, RAW, PQ codes (1.0 = SDR white) and files whose ICC profile says so are "linear", all
    else "srgb".
    Raises FileReadError for a file that is missing, damaged, too large or no photo, and
    MissingPackageError for HEIC without pillow-heif.
    """
    photo = _probe(Path(path), settings)
    if photo.kind == "raw" and settings.white_balance is not None:
        photo = replace(photo, white_balance=settings.white_balance)
    return _decode_photo(photo)[0]


def read_facts(path: StrPath, settings: ReadSettings = ReadSettings()) -> PhotoFacts:
    """Read what a photo's file says of it, without its pixels.

    Raises FileReadError for a file that is missing, damaged, too large or no photo, and
    MissingPackageError for HEIC without pillow-heif.
    """
    photo = _probe(Path(path), settings)
    height, width = photo.size
    header = photo.header
    metadata = metadata_from_bytes(header.exif, header.icc_profile)
    needs = kept_bytes(photo.kind, header), decoding_bytes(photo.kind, header)
    return PhotoFacts(photo.kind, height, width, metadata, photo.white_balance, photo.tag, *needs)


def read_bracket(
    paths: Iterable[StrPath],
    settings: ReadSettings = ReadSettings(),
    *,
    sensor_colours: bool = False,
) -> Bracket:
    """Read the photos of one scene, in the order given, all in the first one's colours.

    Count, doubles and sizes are checked before anything is decoded. RAW frames are developed with
    one white balance, the first one's unless the settings say otherwise. Exposures are left to
    `exposure.assign_stops`.
    sensor_colours: leave photos that are all RAW in their sensor's own colours, balanced, which
        their metadata then tell, as the first one's file does (`Metadata.sensor`).
    Raises BracketError where the files make no bracket, and what `read_frame` raises.
    """
    files = [Path(path) for path in paths]
    check_frame_count(len(files))
    photos = [_probe(path, settings) for path in files]
    _check_doubles(photos)
    photos, remarks = _laid_alike(photos)
    photos = _in_one_size(photos, settings, remarks)
    # The bracket's own check, on frames that take no memory.
    Bracket(
        tuple(
            Frame(np.broadcast_to(np.uint8(0), (*photo.size, 3)), path=photo.path)
            for photo in photos
        )
    )
    balance = settings.white_balance
    if balance is None:
        balance = next((p.white_balance for p in photos if p.white_balance is not None), None)
    own = sensor_colours and all(photo.kind == "raw" for photo in photos)
    photos = [
        replace(p, white_balance=balance, own_colours=own) if p.kind == "raw" else p for p in photos
    ]
    needs = [decoding_bytes(photo.kind, photo.header) for photo in photos]
    with ThreadPoolExecutor(decoders_at_a_time(needs, DECODING_THREADS)) as pool:
        results = _unclipped(list(pool.map(_decode_settled, photos)), photos)
    frames, notes = [], remarks
    for frame, found in results:
        unified, converted = _in_colours_of(results[0][0], frame)
        frames.append(unified if unified is frame else _settled(unified))
        notes += [f"{frame.name}: {remark}" for remark in (*found, *converted)]
    if own and balance is not None:
        from . import raw

        sensor = raw.sensor_colours(photos[0].path, balance, frames[0].metadata.camera)
        frames = [replace(f, metadata=replace(f.metadata, sensor=sensor)) for f in frames]
    wraps, top_rows = _round(frames, settings.wrap)
    return Bracket(tuple(frames), tuple(notes), wraps, top_rows)


def _round(frames: Sequence[Frame], wanted: bool | None) -> tuple[bool, float | None]:
    """Whether frames go all the way round, and how many rows lie above them on their sphere."""
    told = [panorama_of(frame.metadata.xmp) for frame in frames]
    whole = [
        panorama
        for panorama, frame in zip(told, frames, strict=True)
        if panorama is not None and panorama.wraps and panorama.width == frame.width
    ]
    partial = any(panorama is not None and not panorama.wraps for panorama in told)
    wraps = bool(whole) and not partial if wanted is None else wanted
    if not wraps or not whole:
        return wraps, None
    _, top, *_ = frames[0].metadata.window or (0, 0)
    return wraps, float(whole[0].top + top)


def read_image(path: StrPath, settings: ReadSettings = ReadSettings()) -> Fused:
    """Read any single image as float32: display 0..1, or linear for HDR, EXR, RAW and the like.

    Raises what `read_frame` raises.
    """
    frame, notes = _decode_photo(_probe(Path(path), settings))
    if frame.transfer == "linear":
        return Fused(color.to_unit(frame.pixels), "linear", frame.metadata, notes, frame.opaque)
    pixels = np.clip(color.to_unit(frame.pixels), 0, 1)
    return Fused(pixels, "display", frame.metadata, notes, frame.opaque)


def read_hdr_image(path: StrPath, settings: ReadSettings = ReadSettings()) -> Fused:
    """Read a picture as a display with all the headroom it asks for shows it.

    path: a gain-map JPEG (ISO 21496-1 or Ultra HDR), or any file that `read_image` reads as linear.
    Returns a linear image with sRGB primaries; 1.0 is SDR white for gain maps and PQ.
    Raises SpaceError for a picture that is not HDR, and what `read_frame` raises.
    """
    photo = _probe(Path(path), settings)
    if photo.kind != "jpeg":
        return read_image(path, settings).require("linear")
    return _guarded(photo.path, photo.kind, lambda: _apply_own_gain_map(photo, settings))


def _apply_own_gain_map(photo: _Photo, settings: ReadSettings) -> Fused:
    gain_map, facts = read_gain_map(
        photo.path.read_bytes(), photo.header.width * photo.header.height
    )
    frame, notes = _decode_unguarded(photo)
    profile = frame.metadata.icc_profile or icc.srgb_profile()
    codes = np.asarray(frame.pixels, np.uint8)
    upright = turn(gain_map, photo.header.orientation)
    light = apply_gain_map(codes, upright, facts, icc.light_of_codes(profile))
    matrix = icc.to_linear_srgb_matrix(profile)
    if matrix is not None:
        light = np.maximum(cv2.transform(light, matrix), 0)
    return Fused(light, "linear", replace(frame.metadata, icc_profile=None), notes)


# Before decoding ----------------------------------------------------------------------------------


def _probe(path: Path, settings: ReadSettings) -> _Photo:
    head = _read_head(path)
    kind = sniff(head)
    if kind is None:
        found = what_it_seems(head)
        raise FileReadError(f"{path}: expected a photo ({_KNOWN}), found {found}; give photos only")
    return _guarded(path, kind, lambda: _read_photo_header(path, kind, settings))


def _read_head(path: Path) -> bytes:
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise FileReadError(f"{path}: expected a photo, found a folder; give the files in it")
        if not stat.S_ISREG(status.st_mode):
            raise FileReadError(f"{path}: expected a photo, found a device or pipe; give a file")
        with path.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    if not head:
        raise FileReadError(f"{path}: expected a photo, found an empty file; copy it again")
    return head


def _unreadable(path: Path, error: Exception) -> FileReadError:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return FileReadError(f"{path}: expected a photo, found no such file; check the name")
    if isinstance(error, PermissionError):
        return FileReadError(
            f"{path}: expected a readable photo, found that permission is denied; "
            "change the file's permissions"
        )
    reason = getattr(error, "strerror", None) or str(error)
    shown = str(path).replace("\0", "\\0")
    return FileReadError(f"{shown}: expected a readable photo, found: {reason}; check the file")


def _read_photo_header(path: Path, kind: Format, settings: ReadSettings) -> _Photo:
    balance = None
    if kind == "tiff":
        from .tiff import is_raw, read_tiff_header

        kind = "raw" if is_raw(path) else "tiff"
        header = read_tiff_header(path) if kind == "tiff" else Header(1, 1)
    elif kind == "exr":
        from .exr import read_exr_header

        header = read_exr_header(path)
    elif kind == "jxl":
        header = read_jpegxl_header(path.read_bytes())
    elif kind != "raw":
        header = read_header(path.read_bytes(), kind)
    if kind == "raw":
        from .raw import read_raw_header

        header, balance = read_raw_header(path, settings.max_pixels)
    if kind == "heif":
        check_installed("a HEIC photo", "heif")
        header.width, header.height = header.cropped or (header.width, header.height)
    if header.transfer == HLG:  # light as a display shows it depends on the display
        raise FileReadError(
            "expected a picture with the sRGB or the PQ curve, found one coded with HLG (an HDR "
            "picture); export it as OpenEXR, or as an SDR picture"
        )
    if header.width < 1 or header.height < 1:
        raise Damaged(f"its size is {header.width} x {header.height} pixels")
    check_pixels(header, settings.max_pixels)
    return _Photo(path, kind, header, balance)


def _check_doubles(photos: Sequence[_Photo]) -> None:
    seen: dict[tuple[int, int], Path] = {}
    for photo in photos:
        status = os.stat(photo.path)
        key = (status.st_dev, status.st_ino)
        if key in seen:
            other = "" if seen[key] == photo.path else f" (also given as {seen[key]})"
            raise BracketError(
                f"{photo.path}: expected different photos, found this one twice{other}; "
                "give each photo once"
            )
        seen[key] = photo.path


def _laid_alike(photos: list[_Photo]) -> tuple[list[_Photo], list[str]]:
    """Turn the photos whose tags are at odds with the others' so that their pixels fit."""
    laid = [Laid(photo.path.name, *photo.size, photo.tag) for photo in photos]
    turns, notes = settle_turns(laid, lambda index: _decode_photo(photos[index])[0])
    return [replace(p, further=turn) for p, turn in zip(photos, turns, strict=True)], notes


def _in_one_size(photos: list[_Photo], settings: ReadSettings, notes: list[str]) -> list[_Photo]:
    """Give photos that differ in size as programs leave them a window of one size each."""
    placed = [
        Placed(p.path.name, *p.upright, p.header.place if (p.tag, p.further) == (1, 1) else None)
        for p in photos
    ]
    windows, remarks = windows_of(placed)
    photos = [replace(p, window=window) for p, window in zip(photos, windows, strict=True)]
    height, width = photos[0].size
    if remarks and height * width > settings.max_pixels:
        raise BracketError(
            f"{photos[0].path.name}: expected photos that cover at most {settings.max_pixels:,} "
            f"pixels together, found {width} x {height} by their positions; "
            "scale them down or allow more with --max-pixels"
        )
    notes += remarks
    return photos


# Decoding -----------------------------------------------------------------------------------------


def _guarded(path: Path, kind: Format, work: Callable[[], T]) -> T:
    """Run a decoder; whatever it raises becomes an error that names the file."""
    name = FORMAT_NAMES[kind]
    try:
        return work()
    except FileReadError as error:
        if str(error).startswith(str(path)):
            raise
        raise FileReadError(f"{path}: {error}") from error
    except GhostlessError as error:
        raise type(error)(f"{path}: {error}") from error
    except OSError as error:
        if error.errno is not None:
            raise _unreadable(path, error) from error
        raise _damaged(path, name, error) from error
    except MemoryError as error:
        raise FileReadError(
            f"{path}: expected a {name} file that fits in memory, found that it does not; "
            "scale the picture down"
        ) from error
    except Exception as error:
        raise _damaged(path, name, error) from error


def _damaged(path: Path, name: str, error: Exception) -> FileReadError:
    reason = " ".join(str(error).split())[:160] or type(error).__name__
    return FileReadError(
        f"{path}: expected a whole {name} file, found it damaged or cut off ({reason}); "
        "copy it from the camera again"
    )


def _decode_photo(photo: _Photo) -> tuple[Frame, tuple[str, ...]]:
    return _guarded(photo.path, photo.kind, lambda: _decode_unguarded(photo))


def _decode_settled(photo: _Photo) -> tuple[Frame, tuple[str, ...]]:
    frame, notes = _decode_photo(photo)
    return _settled(frame), notes


def _unclipped(
    results: list[tuple[Frame, tuple[str, ...]]], photos: Sequence[_Photo]
) -> list[tuple[Frame, tuple[str, ...]]]:
    told = [p.header.told_profile if p.header.icc_profile is None else None for p in photos]
    frames = restore_clipped([frame for frame, _ in results], told)
    return [(frame, found) for frame, (_, found) in zip(frames, results, strict=True)]


def _settled(frame: Frame) -> Frame:
    pixels: Any = settled(frame.pixels)
    return frame if pixels is frame.pixels else replace(frame, pixels=pixels)


def _decode_unguarded(photo: _Photo) -> tuple[Frame, tuple[str, ...]]:
    header = photo.header
    upright = photo.kind in ("raw", "heif")
    if photo.kind == "raw":
        from .raw import decode_raw

        assert photo.white_balance is not None
        light, remarks = decode_raw(photo.path, photo.white_balance, own_colours=photo.own_colours)
        samples = Samples(light, transfer="linear", notes=remarks)
    else:
        samples = decode(photo.path, photo.kind, header)
    if samples.array.size == 0 or samples.array.ndim not in (2, 3):
        raise Damaged("it holds no pixels")
    pixels, transfer, profile = finish(samples, header, upright=upright)
    pixels, opaque = turn(pixels, photo.further), samples.opaque
    if opaque is not None:
        opaque = np.asarray(turn(opaque, photo.further), np.uint8)
    if pixels.shape[:2] != photo.upright:
        found = f"{pixels.shape[1]} x {pixels.shape[0]}"
        height, width = photo.upright
        raise Damaged(f"its header says {width} x {height} pixels, it holds {found}")
    if photo.window is not None:
        pixels, opaque = through_window(pixels, opaque, photo.window)
    pixels = np.ascontiguousarray(pixels)
    notes = [*header.notes, *samples.notes]
    if header.pages > 1:
        notes.append(f"it holds {header.pages} pictures; the first was taken")
    packets, iptc = read_packets(photo.path, photo.kind)
    height, width = photo.upright
    turned = photo.further != 1 or photo.tag != 1
    metadata = replace(
        metadata_from_bytes(header.exif, profile),
        xmp=gathered_xmp(packets, iptc, width, height, turned=turned),
        iptc=kept_iptc(iptc),
        window=photo.window,
    )
    if opaque is not None:
        opaque = np.ascontiguousarray(opaque)
        if not opaque.any():
            raise FileReadError(
                "expected a photo that shows something, found it transparent all over; "
                "export it again"
            )
        notes.append(f"{_percent(opaque)} of it is transparent and not used")
        pixels = pixels if pixels.flags.writeable else pixels.copy()
        fill_holes(pixels, opaque)
    frame = Frame(pixels, transfer, path=photo.path, metadata=metadata, opaque=opaque)
    return frame, tuple(notes)


def _percent(opaque: Mask) -> str:
    share = 100 * float(np.count_nonzero(opaque < 128)) / opaque.size
    return f"{share:.0f} %" if share >= 1 else f"{max(share, 0.1):.1f} %"


def _in_colours_of(first: Frame, frame: Frame) -> tuple[Frame, list[str]]:
    """Convert a frame to the first one's ICC profile if it has another."""
    source, target = frame.metadata.icc_profile, first.metadata.icc_profile
    if source == target or frame.transfer == "linear" or first.transfer == "linear":
        return frame, []
    pixels = icc.convert(frame.pixels, source or icc.srgb_profile(), target or icc.srgb_profile())
    if pixels.dtype == np.float32:
        pixels = np.clip(pixels, 0, 1)
    metadata: Metadata = replace(frame.metadata, icc_profile=target)
    note = f"its colours were converted to the ICC profile of {first.name}"
    return replace(frame, pixels=pixels, metadata=metadata), [note]

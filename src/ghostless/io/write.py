"""Writing: a result is on disk whole, or not at all, and never in an input's place.

A file is written without a name (or, where the system cannot, under a temporary one) in the folder
where it shall be, flushed to the disk, and only then given its name in one step. A crash before
that step leaves nothing, and two programs that want the same new name cannot both have it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ..bracket import Frame, Fused, Mask, Metadata, Space
from ..errors import OptionError, OutputError, unknown_name
from ..settings import Range, check_settings
from ..work.spill import trim
from . import icc
from .atomic import (
    StrPath,
    cannot_write,
    check_free,
    check_output_folder,
    make_folder_of,
    write_atomically,
)
from .encode import (
    FORMAT_BY_SUFFIX,
    OUTPUT_FORMATS,
    Encoder,
    Extras,
    HdrVariant,
    OutputFormat,
    encode_grey_png,
)
from .metadata import carried_block
from .photo_files import IMAGE_SUFFIXES
from .xmp import carried_xmp

_ROWS_AT_ONCE: Final = 256
_HALF_MAX: Final = 65504.0
_DEPTH_OF_TYPE: Final = {"uint8": 8, "uint16": 16, "float32": 32}


@dataclass(frozen=True)
class WriteSettings:
    """How results are written.

    quality: of JPEG, WebP and AVIF files.
    depth: bits per sample; None for the format's default (8; AVIF for HDR displays 10; OpenEXR and
        JPEG XL 16, half floats, or 32 where the picture exceeds their range).
    overwrite: whether an existing file may be replaced; an input never is.
    """

    quality: Annotated[int, Range(1, 100)] = 95
    depth: Annotated[int, Range(8, 32)] | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        check_settings(self, "write")


def format_of(path: StrPath) -> OutputFormat:
    """Return the format that a file name asks for; raise OptionError for an unknown suffix."""
    name = Path(path)
    known = FORMAT_BY_SUFFIX.get(name.suffix.lower())
    if known is None:
        written = ", ".join(FORMAT_BY_SUFFIX)
        if name.is_dir():
            raise OptionError(
                f"{path}: expected a file name, found a folder; name a file in it, such as "
                f"{name / 'fused.jpg'}"
            )
        if name.suffix.lower() in _suffixes_of_others():
            raise OptionError(
                f"{path}: expected a name that ends in one of {written}, found "
                f"{name.suffix!r}, a format that Ghostless does not write"
            )
        if not name.suffix:
            raise OptionError(
                f"{path}: expected a file name with a suffix, found none; "
                f"end it with one of {written}"
            )
        raise unknown_name(f"suffix of {path}:", name.suffix, FORMAT_BY_SUFFIX)
    return known


def _suffixes_of_others() -> set[str]:
    """Names of formats that exist and are not written here: no slip of the finger."""
    from PIL import Image

    return {*IMAGE_SUFFIXES, *Image.registered_extensions()} - set(FORMAT_BY_SUFFIX)


def space_of(path: StrPath) -> Space:
    """Return the space that a file name asks for: "display", or "linear" for .exr, .hdr and .jxl.

    >>> space_of("out.jpg"), space_of("out.EXR")
    ('display', 'linear')
    """
    return format_of(path).space


def check_output(
    path: StrPath,
    settings: WriteSettings = WriteSettings(),
    inputs: Sequence[StrPath] = (),
    *,
    suffixes: tuple[str, ...] | None = None,
    make_folder: bool = False,
    hdr: bool = False,
) -> None:
    """Raise, before any work is done, if a file could not be written where it should go.

    inputs: files that must not be overwritten, whatever the settings say.
    suffixes: those allowed, for files that are no pictures (a report); None for the pictures'.
    make_folder: whether a missing folder will be made.
    hdr: whether the file shall shine on HDR displays.
    Raises OptionError for a name or depth that no format has, and OutputError for a missing or
    unwritable folder, an existing file, or an input.
    """
    target = Path(path)
    if "\0" in str(target):
        raise OptionError("expected a file name, found one with a NUL character in it")
    if suffixes is None:
        _choose_depth(target, settings.depth, hdr)
    elif target.suffix.lower() not in suffixes:
        raise OptionError(
            f"{target}: expected a name that ends in {' or '.join(suffixes)}, "
            f"found {repr(target.suffix) if target.suffix else 'no suffix'}"
        )
    try:
        check_output_folder(target, make_folder)
        check_free(target, settings.overwrite, inputs)
    except OSError as error:
        raise cannot_write(target, error) from error


def _choose_depth(path: Path, depth: int | None, hdr: bool = False) -> int:
    known = format_of(path)
    variant = _hdr_variant(path) if hdr and known.space == "display" else known
    if depth is None:
        return variant.depths[0]
    if depth not in variant.depths:
        able = [
            f.suffixes[0] for f in OUTPUT_FORMATS if f.space == known.space and depth in f.depths
        ]
        other = f" or write one of {', '.join(able)}" if able and not hdr else ""
        raise OptionError(
            f"{path}: {variant.name} expected a depth of "
            f"{' or '.join(str(d) for d in variant.depths)} bits, found {depth}; "
            f"leave the depth out{other}"
        )
    return depth


def _hdr_variant(path: Path) -> HdrVariant:
    known = format_of(path)
    if known.hdr is None:
        suffixes = [s for s, f in FORMAT_BY_SUFFIX.items() if f.hdr or f.space == "linear"]
        raise OptionError(
            f"{path}: expected a format that holds HDR, found {known.name}; "
            f"write one of {', '.join(suffixes)}, or leave out --hdr"
        )
    return known.hdr


def write_image(
    fused: Fused,
    path: StrPath,
    settings: WriteSettings = WriteSettings(),
    inputs: Sequence[StrPath] = (),
) -> None:
    """Write a fused image; the file's suffix decides on the format and the space.

    fused: in the space of the format (`space_of`); metadata and ICC profile are carried over.
        Linear results leave with sRGB primaries, whatever profile their frames had.
    inputs: files that are never overwritten.
    Raises SpaceError for the wrong space, OptionError and OutputError as `check_output` does.
    """
    target = Path(path)
    check_output(target, settings, inputs)
    known = format_of(target)
    fused.require(known.space)
    depth = _choose_depth(target, settings.depth)
    if known.space == "linear":
        pixels: NDArray[Any] = _linear_pixels(fused, target)
        too_bright = settings.depth is None and float(pixels.max(initial=0)) > _HALF_MAX
        depth = max(known.depths) if too_bright else depth
        profile = icc.srgb_profile()
    else:
        pixels = _display_codes(fused.pixels, depth, target)
        profile = _profile_of(fused.metadata)
    pixels = _with_transparency(pixels, fused.opaque, known.alpha)
    extras = _extras(target, pixels, known, depth, profile, fused.metadata, settings)
    _write_pixels(target, pixels, known.encode, extras, settings, inputs)


def write_hdr_image(
    picture: Fused,
    rendition: Fused,
    path: StrPath,
    settings: WriteSettings = WriteSettings(),
    inputs: Sequence[StrPath] = (),
) -> None:
    """Write a picture for SDR and HDR displays: a gain-map JPEG, or an AVIF with the PQ curve.

    picture: display space, as `write_image` takes it; the JPEG shows just this on SDR displays.
    rendition: linear, of the same size and primaries, 1.0 = white of the picture; see
        `rendition.hdr_rendition`.
    Raises SpaceError, OptionError and OutputError as `write_image` does.
    """
    target = Path(path)
    check_output(target, settings, inputs, hdr=True)
    known, variant = format_of(target), _hdr_variant(target)
    shown, light = picture.require("display").pixels, rendition.require("linear").pixels
    if shown.shape != light.shape:
        raise OptionError(
            f"{target}: expected a picture and its HDR rendition of one size, found "
            f"{shown.shape[1]} x {shown.shape[0]} and {light.shape[1]} x {light.shape[0]}"
        )
    depth = _choose_depth(target, settings.depth, hdr=True)
    codes = _with_transparency(_display_codes(shown, 8, target), picture.opaque, False)
    light = _with_transparency(light, picture.opaque, False)
    _check_finite(light, target)
    profile = _profile_of(picture.metadata)
    extras = _extras(target, codes, known, depth, profile, picture.metadata, settings)

    def encode(scratch: Path, pixels: NDArray[Any], extras: Extras) -> None:
        variant.encode(scratch, pixels, light, extras)

    _write_pixels(target, codes, encode, extras, settings, inputs)


def write_frame(
    frame: Frame,
    path: StrPath,
    settings: WriteSettings = WriteSettings(),
    inputs: Sequence[StrPath] = (),
) -> None:
    """Write a frame's pixels as they are, in their own type, with metadata and profile.

    path: .tif for any frame, .png for integers, .exr for linear floats; its folder is made.
    A frame that is written and read again is the same: linear ones get a linear profile.
    Raises OptionError for a format that lacks the frame's type, OutputError as `check_output`.
    """
    target = Path(path)
    check_output(target, WriteSettings(overwrite=settings.overwrite), inputs, make_folder=True)
    known = format_of(target)
    depth = _DEPTH_OF_TYPE[frame.pixels.dtype.name]
    fits = known.name in ("PNG", "TIFF") or (known.name == "OpenEXR" and depth == 32)
    if not fits or depth not in known.depths or (known.space == "linear" != frame.transfer):
        raise OptionError(
            f"{target}: expected a format that holds {frame.pixels.dtype} frames unchanged, "
            f"found {known.name}; write a .tif file"
        )
    linear = frame.transfer == "linear"
    profile = icc.linear_srgb_profile() if linear else _profile_of(frame.metadata)
    make_folder_of(target)
    whole = WriteSettings(overwrite=settings.overwrite)
    extras = _extras(target, frame.pixels, known, depth, profile, frame.metadata, whole)
    _write_pixels(target, frame.pixels, known.encode, extras, whole, inputs)


def write_mask(
    mask: Mask,
    path: StrPath,
    settings: WriteSettings = WriteSettings(),
    inputs: Sequence[StrPath] = (),
) -> None:
    """Write a mask (H, W) uint8 as a grey PNG; its folder is made."""
    target = Path(path)
    check_output(target, settings, inputs, suffixes=(".png",), make_folder=True)
    make_folder_of(target)
    write_atomically(
        target,
        lambda scratch: encode_grey_png(scratch, np.ascontiguousarray(mask)),
        overwrite=settings.overwrite,
        inputs=inputs,
    )


def write_text(
    text: str,
    path: StrPath,
    settings: WriteSettings = WriteSettings(),
    inputs: Sequence[StrPath] = (),
) -> None:
    """Write a text file (UTF-8) atomically, as a report is."""
    data = text.encode("utf-8")
    write_atomically(
        path,
        lambda scratch: _write_bytes(scratch, data),
        overwrite=settings.overwrite,
        inputs=inputs,
    )


def _write_bytes(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _extras(
    target: Path,
    pixels: NDArray[Any],
    known: OutputFormat,
    depth: int,
    profile: bytes,
    metadata: Metadata,
    settings: WriteSettings,
) -> Extras:
    """What goes into the file beside the pixels; raise OutputError if these are too many."""
    height, width = pixels.shape[:2]
    if max(height, width) > known.max_side:
        raise OutputError(
            f"{target}: {known.name} expected sides of at most {known.max_side} pixels, "
            f"found {width} x {height}; write a .png or .tif file (.exr for HDR)"
        )
    srgb = icc.to_linear_srgb_matrix(profile) is None
    block = carried_block(metadata, width, height, srgb=srgb)
    xmp = carried_xmp(metadata, width, height)
    return Extras(settings.quality, depth, profile, block, metadata, xmp, metadata.iptc)


def _write_pixels(
    target: Path,
    pixels: NDArray[Any],
    encode: Encoder,
    extras: Extras,
    settings: WriteSettings,
    inputs: Sequence[StrPath],
) -> None:
    pixels = np.ascontiguousarray(pixels)
    write_atomically(
        target,
        lambda scratch: encode(scratch, pixels, extras),
        overwrite=settings.overwrite,
        inputs=inputs,
    )


def _profile_of(metadata: Metadata) -> bytes:
    """The profile to embed: the input's if it describes display RGB, else sRGB."""
    profile = metadata.icc_profile
    if profile is None or icc.colour_model(profile) != "RGB" or icc.is_linear(profile):
        return icc.srgb_profile()
    return profile


def _display_codes(pixels: NDArray[np.float32], depth: int, target: Path) -> NDArray[Any]:
    """Display values 0..1 to the codes of a depth, rounded; 10 and 12 bits travel in 16."""
    if depth == 32:
        _check_finite(pixels, target)
        return np.clip(pixels, 0, 1)
    codes = np.empty(pixels.shape, np.uint8 if depth == 8 else np.uint16)
    top = np.float32(np.iinfo(codes.dtype).max)
    for start in range(0, len(pixels), _ROWS_AT_ONCE):
        rows = pixels[start : start + _ROWS_AT_ONCE]
        _check_finite(rows, target)
        scaled = np.clip(rows, 0, 1)
        scaled *= top
        codes[start : start + _ROWS_AT_ONCE] = np.rint(scaled, out=scaled)
        trim()
    return codes


def _linear_pixels(fused: Fused, target: Path) -> NDArray[np.float32]:
    """Radiance with sRGB primaries, never negative.

    Most programs take every .exr and .hdr to have these primaries, and .hdr can say nothing else,
    so radiance of wide-gamut frames is converted rather than labelled.
    """
    profile = fused.metadata.icc_profile
    matrix = icc.to_linear_srgb_matrix(profile) if profile is not None else None
    _check_finite(fused.pixels, target)
    pixels = fused.pixels if matrix is None else cv2.transform(fused.pixels, matrix)
    return np.maximum(pixels, 0, out=None if matrix is None else pixels)


def holds_transparency(path: StrPath, *, hdr: bool = False) -> bool:
    """Whether a file of this name can be transparent in places."""
    return format_of(path).alpha and not hdr


def _with_transparency(pixels: NDArray[Any], opaque: Mask | None, kept: bool) -> NDArray[Any]:
    """Pixels with alpha as the fourth channel, or on black where the format has none."""
    if opaque is None:
        return pixels
    if not kept:
        share = opaque.astype(np.float32) * np.float32(1 / 255)
        black = pixels * share[:, :, None]
        if pixels.dtype != np.float32:
            black = np.rint(black).astype(pixels.dtype)
        return np.asarray(black)
    if pixels.dtype == np.float32:
        alpha: NDArray[Any] = opaque.astype(np.float32) * np.float32(1 / 255)
    else:
        alpha = opaque.astype(pixels.dtype) * pixels.dtype.type(257 if pixels.itemsize == 2 else 1)
    return np.dstack([pixels, alpha])


def _check_finite(pixels: NDArray[np.float32], target: Path) -> None:
    for start in range(0, len(pixels), _ROWS_AT_ONCE):
        trim()
        if not np.isfinite(pixels[start : start + _ROWS_AT_ONCE]).all():
            raise OutputError(
                f"{target}: expected finite pixels, found NaN or infinity; nothing was written"
            )

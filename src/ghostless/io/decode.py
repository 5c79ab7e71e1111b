"""From a file's bytes to RGB pixels: one decoder per format, and what they have in common.

Every decoder returns the samples as stored; `finish` makes them upright RGB of shape (H, W, 3).
Nothing here makes a float copy of integers.
"""

from __future__ import annotations

import io
import re
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import cv2
import imagecodecs
import numpy as np
from numpy.typing import NDArray

from ..errors import FileReadError
from ..pixels import color
from ..pixels.color import Transfer
from ..pixels.stripes import for_each_stripe
from . import icc
from .colours import BT709_CHROMATICITIES, LINEAR, PQ, PRIMARIES_OF_H273, UNSPECIFIED
from .containers import Format, RadianceHeader
from .exr import rgb_to_xyz
from .headers import Header
from .jpegxl import JpegXLHeader, decode_jpegxl
from .rgbe import decode_radiance
from .tiff import decode_tiff, full_range

_ROTATIONS: Final = {
    3: cv2.ROTATE_180,
    6: cv2.ROTATE_90_CLOCKWISE,
    8: cv2.ROTATE_90_COUNTERCLOCKWISE,
}


@dataclass
class Samples:
    """Samples as a decoder gives them.

    array: (H, W) or (H, W, C); uint8, uint16 or float32. model: "gray", "rgb" or "cmyk", with
    alpha, if any, as the last channel. transfer: None where the profile shall say.
    premultiplied: whether the colours are multiplied by alpha.
    opaque: what `finish` makes of alpha: (H, W) uint8, 0 transparent, upright; None for no alpha.
    """

    array: NDArray[Any]
    model: str = "rgb"
    transfer: Transfer | None = "srgb"
    notes: list[str] = field(default_factory=list)
    premultiplied: bool = False
    opaque: NDArray[np.uint8] | None = None


# What decoding takes at its peak, per byte of the pixels that come out, measured with 16 megapixels
# of each kind: some decoders hold the picture once more in planes of their own.
_PEAK_SHARES: Final[dict[Format, float]] = {
    "webp": 2.5,
    "avif": 3.2,
    "heif": 3.2,
    "raw": 3.0,
    "tiff": 1.5,
}
_PEAK_SHARE: Final = 1.2


def kept_bytes(kind: Format, header: Header) -> int:
    """Memory that a photo's pixels take once read, by its header, in bytes."""
    floats = kind in ("exr", "hdr") or header.transfer == PQ or getattr(header, "floats", False)
    sample_bytes = 4 if floats or header.bits > 16 else 2 if header.bits > 8 or kind == "raw" else 1
    return 3 * sample_bytes * header.width * header.height


def decoding_bytes(kind: Format, header: Header) -> int:
    """Memory that decoding a photo takes at its peak, by its header, in bytes."""
    width, height = header.stored or (header.width, header.height)
    stored = max(1.0, width * height / max(1, header.width * header.height))
    alpha = 4 / 3 if header.samples in (2, 4) else 1
    share = 1.8 if header.transfer == PQ else _PEAK_SHARES.get(kind, _PEAK_SHARE)
    return int(kept_bytes(kind, header) * share * stored * alpha)


def decode(path: Path, kind: Format, header: Header) -> Samples:
    """Decode any format but RAW. Raises Damaged, FileReadError or whatever the decoder does."""
    if kind == "tiff":
        array, model, premultiplied = decode_tiff(path)
        transfer: Transfer = "linear" if array.dtype == np.float32 else "srgb"
        return Samples(array, model, transfer, premultiplied=premultiplied)
    if kind == "exr":
        from .exr import decode_exr

        array, notes = decode_exr(path)
        return Samples(array, transfer="linear", notes=notes, premultiplied=True)
    data = path.read_bytes()
    if kind == "jpeg":
        return _decode_jpeg(data, header)
    if kind == "hdr":
        assert isinstance(header, RadianceHeader)
        return Samples(decode_radiance(data, header), transfer="linear")
    if kind == "jxl":
        assert isinstance(header, JpegXLHeader)
        return _decode_jpegxl(data, header)
    if kind == "png":
        array = imagecodecs.png_decode(_png_pixels_only(data))
    elif kind == "webp":
        array = _decode_webp(data, header)
    elif kind == "avif":
        array = full_range(_decode_avif(data, header), header.bits)
    else:
        array = _decode_heif(data)
    model = "rgb" if array.ndim == 3 and array.shape[2] > 2 else "gray"
    if not header.full_range:
        array = _stretched(array, header.bits)
    if header.transfer == PQ:
        header.icc_profile = header.told_profile = None
        return _from_pq(array, model, header.primaries)
    return Samples(array, model)


def _decode_jpeg(data: bytes, header: Header) -> Samples:
    if header.samples == 4 or not header.complete:
        # Pillow knows Adobe's inverted inks, and is strict about pixels that are missing.
        from PIL.JpegImagePlugin import JpegImageFile

        with JpegImageFile(io.BytesIO(data)) as image:
            if header.samples == 4:
                return Samples(np.asarray(image), "cmyk")
            return Samples(np.array(image), "rgb" if header.samples == 3 else "gray")
    array = imagecodecs.jpeg8_decode(data)
    return Samples(array, "rgb" if array.ndim == 3 else "gray")


def _png_pixels_only(data: bytes) -> bytes:
    """A PNG without the chunks that only tell about it: libpng warns of damage in them."""
    parts, offset = [data[:8]], 8
    while offset + 12 <= len(data):
        size, kind = struct.unpack(">I4s", data[offset : offset + 8])
        if kind in (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"):
            parts.append(data[offset : offset + size + 12])
        offset += size + 12
    return b"".join(parts)


def _stretched(array: NDArray[Any], bits: int) -> NDArray[Any]:
    """Codes of the narrow range that video keeps (ITU-R BT.2100-2, table 9) over the full one.

    An alpha channel, which there is none of in video, is stretched too.
    """
    top = np.iinfo(array.dtype).max
    low, high = (level * (1 << bits) / 256 / ((1 << bits) - 1) * top for level in (16, 235))
    table = (np.arange(top + 1) - low) * (top / (high - low))
    return np.asarray(np.rint(np.clip(table, 0, top)).astype(array.dtype)[array])


def _decode_webp(data: bytes, header: Header) -> NDArray[Any]:
    if header.pages > 1:
        # A frame of an animation may cover a part of the canvas only; Pillow composes it.
        from PIL.WebPImagePlugin import WebPImageFile

        with WebPImageFile(io.BytesIO(data)) as image:
            return np.array(image)
    return np.asarray(imagecodecs.webp_decode(data))


def _decode_avif(data: bytes, header: Header) -> NDArray[Any]:
    """Decode the primary picture, which is what the header tells of; a sequence has others too.

    Asked for one picture of several, imagecodecs (2026.3.6) writes all that follow it past the end
    of its array. So it is never given a file in which libavif would see more than one.
    """
    header.pages = _avif_pictures(data)
    if header.pages != 1:
        # This brand has libavif take the primary picture; of any other, it takes a track.
        data = data[:8] + b"avif" + data[12:]
        if _avif_pictures(data) != 1:
            raise FileReadError(
                "expected a still picture, found a sequence of pictures without one; export its "
                "first picture as a still"
            )
    return np.asarray(imagecodecs.avif_decode(data))


def _avif_pictures(data: bytes) -> int:
    """How many pictures libavif sees in a file; 0 where it does not tell."""
    try:
        # Beyond the last one: refused before any is decoded.
        imagecodecs.avif_decode(data, index=2**31 - 1)
    except IndexError as error:
        match = re.search(r"\[0, (\d+)\]", str(error))
        return int(match[1]) if match else 0
    return 0


def _decode_heif(data: bytes) -> NDArray[Any]:
    import pillow_heif

    file = pillow_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=False)
    array = np.asarray(file)
    if array.dtype == np.uint16:
        bits = int(file.info.get("bit_depth", 16))
        array = full_range(array >> (16 - bits), bits)
    return array


def _decode_jpegxl(data: bytes, header: JpegXLHeader) -> Samples:
    array = decode_jpegxl(data)
    if not header.floats:
        array = full_range(array, header.bits)
    model = "gray" if header.grey else "rgb"
    if header.transfer == PQ:
        return _from_pq(array, model, header.primaries, premultiplied=header.premultiplied)
    samples = Samples(array, model, "linear" if header.transfer == LINEAR else "srgb")
    samples.premultiplied = header.premultiplied
    if not header.described:
        samples.notes.append("its ICC profile was not read; its colours were taken for sRGB's")
    elif model == "rgb":
        _to_srgb_primaries(samples, header.primaries)
    return samples


def _from_pq(
    array: NDArray[Any], model: str, primaries: int | None, *, premultiplied: bool = False
) -> Samples:
    """Linear light of PQ codes (SMPTE ST 2084), 1.0 = SDR white, with sRGB primaries."""
    alone = Samples(array, model, premultiplied=premultiplied)
    array = _split_alpha(alone)
    colours = 1 if model == "gray" or array.ndim == 2 else 3
    codes = array if array.ndim == 3 else array[:, :, None]
    notes = ["its PQ codes were turned into light, 1.0 = 203 cd/m2"]
    matrix = _matrix_to_srgb(primaries, notes) if model == "rgb" else None
    scale = np.float32(1 / color.SDR_WHITE_NITS)
    table: NDArray[np.float32] | None = None
    if array.dtype != np.float32:
        levels = np.iinfo(array.dtype).max
        table = (color.pq_decode(np.arange(levels + 1) / levels) * scale).astype(np.float32)
    light = np.empty((*array.shape[:2], colours), np.float32)

    def work(start: int, stop: int) -> None:
        part = codes[start:stop, :, :colours]
        rows = color.pq_decode(part) * scale if table is None else np.take(table, part)
        if matrix is not None:
            rows = np.maximum(cv2.transform(rows, matrix), 0)
        light[start:stop] = rows

    for_each_stripe(array.shape[0], array.shape[1], work)
    return Samples(light, model, "linear", notes, opaque=alone.opaque)


def _matrix_to_srgb(primaries: int | None, notes: list[str]) -> NDArray[np.float32] | None:
    """Matrix (3, 3) from linear RGB of an H.273 code's primaries to sRGB's; None to change nothing.

    Says in `notes` what it does.
    """
    if primaries in (None, 1, UNSPECIFIED):
        return None
    chromaticities = PRIMARIES_OF_H273.get(primaries)
    if chromaticities is None:
        notes.append("its primaries are unknown and were taken for sRGB's")
        return None
    notes.append("its primaries were converted to those of sRGB")
    matrix = np.linalg.solve(rgb_to_xyz(BT709_CHROMATICITIES), rgb_to_xyz(chromaticities))
    return matrix.astype(np.float32)


def _to_srgb_primaries(samples: Samples, primaries: int | None) -> None:
    """Convert RGB samples of the primaries of an H.273 code to sRGB's; what lies outside is cut."""
    matrix = _matrix_to_srgb(primaries, samples.notes)
    if matrix is None:
        return
    array = samples.array
    kept = array[:, :, :3]
    if array.dtype == np.float32 and samples.transfer == "linear":
        changed = np.maximum(cv2.transform(kept, matrix), 0)
    else:
        changed = np.empty(kept.shape, array.dtype)
        top = 1 if array.dtype == np.float32 else np.iinfo(array.dtype).max

        def work(start: int, stop: int) -> None:
            light = color.to_linear(kept[start:stop], samples.transfer or "srgb")
            light = np.maximum(cv2.transform(light, matrix), 0)
            codes = light if samples.transfer == "linear" else color.linear_to_srgb(light)
            changed[start:stop] = codes if top == 1 else np.rint(np.clip(codes, 0, 1) * top)

        for_each_stripe(array.shape[0], array.shape[1], work)
    samples.array = changed


def finish(
    samples: Samples, header: Header, *, upright: bool = False
) -> tuple[NDArray[Any], Transfer, bytes | None]:
    """Make samples upright RGB with a profile that fits.

    upright: the decoder turned the picture already.
    Returns pixels (H, W, 3), their transfer, and the RGB profile that describes them (None: sRGB,
    and always for linear pixels, which are brought to sRGB's primaries, and where the file told of
    its colours by numbers, for those are converted to sRGB).
    """
    array, profile = _to_rgb(samples, header.icc_profile or header.told_profile)
    transfer: Transfer = samples.transfer or "srgb"
    if profile is not None and icc.is_linear(profile):
        transfer = "linear"
    elif profile is not None and array.dtype == np.float32:
        transfer = "srgb"
    if array.dtype == np.float32:
        check_floats(array, samples.notes)
    if transfer == "linear" and profile is not None:
        array, profile = _linear_to_srgb_primaries(array, profile), None
    elif profile is not None and header.icc_profile is None:
        array, profile = icc.convert(array, profile, icc.srgb_profile()), None
        samples.notes.append("its colours were converted to sRGB")
    if not upright:
        array = turn(array, header.orientation)
        if samples.opaque is not None:
            samples.opaque = np.ascontiguousarray(turn(samples.opaque, header.orientation))
    return np.ascontiguousarray(array), transfer, profile


def _to_rgb(samples: Samples, profile: bytes | None) -> tuple[NDArray[Any], bytes | None]:
    array = _split_alpha(samples)
    model = icc.colour_model(profile) if profile is not None else None
    fits = {"gray": ("GRAY", "RGB"), "rgb": ("RGB",), "cmyk": ("CMYK",)}[samples.model]
    if profile is not None and model not in fits:
        samples.notes.append("its ICC profile is damaged or of another kind and was ignored")
        profile = None
    if samples.model == "gray":
        if profile is not None and model == "GRAY":
            return icc.convert(array[:, :, 0], profile, icc.srgb_profile(), "gray"), None
        return np.asarray(cv2.cvtColor(array, cv2.COLOR_GRAY2RGB)), profile
    if samples.model == "cmyk":
        if profile is not None:
            return icc.convert(array, profile, icc.srgb_profile(), "cmyk"), None
        samples.notes.append("its inks have no ICC profile; their colours are approximate")
        return _naive_cmyk(array), None
    return array, profile


def _split_alpha(samples: Samples) -> NDArray[Any]:
    """The colours (H, W, C) without alpha, which goes to `samples.opaque` unless all is opaque."""
    array = samples.array if samples.array.ndim == 3 else samples.array[:, :, None]
    colours = {"gray": 1, "rgb": 3, "cmyk": 4}[samples.model]
    if array.shape[2] <= colours:
        return array
    alpha = array[:, :, colours]
    array = np.ascontiguousarray(array[:, :, :colours])
    if alpha.dtype == np.float32:
        share = np.clip(np.nan_to_num(alpha, nan=0.0), 0, 1)
        opaque = np.rint(share * 255).astype(np.uint8)
    elif alpha.dtype == np.uint16:
        opaque = ((alpha.astype(np.uint32) + 128) // 257).astype(np.uint8)
    else:
        opaque = np.ascontiguousarray(alpha)
    if opaque.min(initial=255) == 255:
        return array
    samples.opaque = opaque
    if samples.premultiplied:
        _divide_by_alpha(array, alpha)
    return array


def _divide_by_alpha(array: NDArray[Any], alpha: NDArray[Any]) -> None:
    """Undo the multiplication by alpha in place; what is entirely transparent becomes 0."""
    top = 1.0 if array.dtype == np.float32 else float(np.iinfo(array.dtype).max)
    for start in range(0, len(array), 256):
        rows = array[start : start + 256]
        part = alpha[start : start + 256]
        partly = (part > 0) & (part < top)
        rows[~(part > 0)] = 0
        values = rows[partly].astype(np.float32)
        values *= (np.float32(top) / part[partly].astype(np.float32))[:, None]
        if array.dtype != np.float32:
            values = np.rint(np.minimum(values, top))
        rows[partly] = values.astype(array.dtype)


def _naive_cmyk(inks: NDArray[Any]) -> NDArray[Any]:
    top = np.iinfo(inks.dtype).max if inks.dtype.kind == "u" else 1
    paper = top - inks
    wide = paper[:, :, :3].astype(np.uint32 if inks.dtype.kind == "u" else np.float32)
    return np.asarray((wide * paper[:, :, 3:] // top).astype(inks.dtype))


def _linear_to_srgb_primaries(array: NDArray[Any], profile: bytes) -> NDArray[Any]:
    matrix = icc.to_linear_srgb_matrix(profile)
    if matrix is None:
        return array
    top = 1.0 if array.dtype == np.float32 else np.iinfo(array.dtype).max
    changed = cv2.transform(array.astype(np.float32), matrix)
    if array.dtype == np.float32:
        return np.asarray(np.maximum(changed, 0))
    return np.rint(np.clip(changed, 0, top)).astype(array.dtype)


def turn(array: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Apply an Exif orientation (1..8): the picture as it should be looked at."""
    if orientation in _ROTATIONS:
        return np.asarray(cv2.rotate(array, _ROTATIONS[orientation]))
    if orientation == 2:
        return np.asarray(cv2.flip(array, 1))
    if orientation == 4:
        return np.asarray(cv2.flip(array, 0))
    if orientation in (5, 7):
        turned = cv2.transpose(array)
        return np.asarray(cv2.flip(turned, -1) if orientation == 7 else turned)
    return array


def check_floats(array: NDArray[np.float32], notes: list[str]) -> None:
    """Refuse NaN and infinity; set the small negative numbers of renderers to 0 with a note.

    Raises FileReadError that counts them and says where the first is.
    """
    bad, negative, first = 0, 0, (0, 0)
    low = 0.0
    for start in range(0, len(array), 256):
        rows = array[start : start + 256]
        finite = np.isfinite(rows)
        if not finite.all():
            spoiled = ~finite.all(axis=2)
            if bad == 0:
                y, x = np.argwhere(spoiled)[0]
                first = (int(x), int(y) + start)
            bad += int(spoiled.sum())
        elif bad == 0 and rows.min(initial=0) < 0:
            negative += int((rows < 0).any(axis=2).sum())
            low = min(low, float(rows.min()))
    total = array.shape[0] * array.shape[1]
    if bad:
        raise FileReadError(
            f"expected finite numbers, found NaN or infinity in {bad} of {total} pixels, the first "
            f"at x={first[0]}, y={first[1]}; repair or render the picture again"
        )
    if negative:
        if negative > total // 2 and -low > float(array.max()):
            raise FileReadError(
                f"expected light, which is never negative, found {negative} of {total} pixels "
                f"below 0 (down to {low:.3g}); export the picture again"
            )
        notes.append(f"{negative} of {total} pixels were below 0 (down to {low:.3g}), set to 0")
        np.maximum(array, 0, out=array)

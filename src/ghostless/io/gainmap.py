"""Gain-map JPEG: an ordinary picture that turns into HDR on the displays and programs that can.

The file holds two JPEGs, one behind the other. The first is the SDR picture, which every program
shows. The second, the gain map, says for each pixel by how many stops the HDR rendition differs:

    gain = log2((HDR + 1/64) / (SDR + 1/64)),  both linear, 1.0 = SDR white

A display with enough headroom shows SDR times 2^gain, one with some headroom a part of it.

What the gain map means is said twice, for readers of either kind: by ISO 21496-1:2025 (a binary
block in an APP2 segment) and by Adobe's and Google's Ultra HDR (XMP: `hdrgm`, and a `Container`
directory that gives the second picture's length). CIPA DC-007, the Multi-Picture Format, gives its
place. The map has three channels and the picture's own size; docs/hdr-files.md says why.

Sources: ISO 21496-1:2025, annex C for the block; Ultra HDR Image Format v1.1, Android developers;
Adobe, Gain Map specification 1.0 (equations); CIPA DC-007-2009 (MPF).
"""

from __future__ import annotations

import struct
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from typing import Any, Final

import cv2
import imagecodecs
import numpy as np
from numpy.typing import NDArray

from ..errors import FileReadError
from ..pixels.stripes import for_each_stripe
from .containers import read_header
from .gainmap_facts import (
    CONTAINER,
    DENOMINATOR,
    HDRGM,
    ITEM,
    OFFSET,
    GainMapFacts,
    iso_block,
    iso_version,
    parse_iso_block,
    parse_xml,
    parse_xmp_of_map,
    xmp_of_map,
    xmp_of_picture,
)
from .headers import Damaged, check_pixels
from .jpeg import APP1, APP2, head_end, segment, segments

ISO_NAME: Final = b"urn:iso:std:iso:ts:21496:-1\0"
XMP_NAME: Final = b"http://ns.adobe.com/xap/1.0/\0"
MPF_NAME: Final = b"MPF\0"
# JPEG qualities of the map, tried in turn until the HDR rendition comes back within this error
# (relative, the median of the samples). Its errors multiply the picture's light.
_MAP_QUALITIES: Final = (80, 85, 90, 95, 98, 100)
_MAP_ERROR: Final = 0.015
# Errors of what is darker than this are no longer relative.
_DARKEST: Final = np.float32(1e-3)
# Tried on this many tiles spread over the picture, of a side that JPEG's blocks fit in.
_TILES, _TILE_PIXELS = 64, 128
# Samples that the map's range may leave out: a dark speck under a bright one would coarsen it all.
_LEFT_OUT_BELOW, _LEFT_OUT_ABOVE = 1e-4, 1e-5
_LEAST_RANGE_STOPS: Final = 0.01
_HISTOGRAM_STOPS: Final = 16
_BINS_PER_STOP: Final = 64

_NO_MAP: Final = "expected a JPEG with a gain map, found an ordinary one; give an HDR picture"
Codes = NDArray[np.uint8]


def make_gain_map(
    picture: Codes, hdr: NDArray[np.float32], light_of_code: NDArray[np.float32]
) -> tuple[Codes, GainMapFacts]:
    """Compute the gain map between an SDR picture and its HDR rendition.

    picture: (H, W, 3) display codes, best those that a reader will decode: then the map also makes
        up for what JPEG did to them. hdr: (H, W, 3) linear, 1.0 = SDR white, same primaries.
    light_of_code: (256,) linear light of each display code, 0..1.
    Returns the map's codes (H, W, 3) and their meaning.
    """
    height, width = picture.shape[:2]
    base = np.log2(light_of_code + np.float32(OFFSET)).astype(np.float32)

    def gains(start: int, stop: int) -> NDArray[np.float32]:
        stops = np.log2(hdr[start:stop] + np.float32(OFFSET))
        stops -= cv2.LUT(picture[start:stop], base)
        return np.asarray(stops)

    lowest, highest = _range_of(gains, height, width)
    codes = np.empty(picture.shape, np.uint8)
    scale = np.float32(255 / (highest - lowest))

    def work(start: int, stop: int) -> None:
        rows = gains(start, stop)
        rows -= np.float32(lowest)
        rows *= scale
        codes[start:stop] = np.rint(np.clip(rows, 0, 255, out=rows))

    for_each_stripe(height, width, work)
    headroom = float(np.log2(max(float(hdr.max()), 1.0)))
    headroom = max(_in_decimals(headroom), _LEAST_RANGE_STOPS)
    return codes, GainMapFacts((lowest,) * 3, (highest,) * 3, headroom)


def _range_of(
    gains: Callable[[int, int], NDArray[np.float32]], height: int, width: int
) -> tuple[float, float]:
    """The stops that codes 0 and 255 shall stand for: all but a few outliers lie between them."""
    bins = 2 * _HISTOGRAM_STOPS * _BINS_PER_STOP
    edges = np.linspace(-_HISTOGRAM_STOPS, _HISTOGRAM_STOPS, bins + 1)
    counts: dict[int, NDArray[np.int64]] = {}

    def work(start: int, stop: int) -> None:
        rows = np.clip(gains(start, stop), edges[0], edges[-1])
        counts[start] = np.histogram(rows, bins, (edges[0], edges[-1]))[0]

    for_each_stripe(height, width, work)
    below = np.cumsum(np.sum(list(counts.values()), axis=0)) / (3 * height * width)
    first = int(np.searchsorted(below, _LEFT_OUT_BELOW, side="right"))
    last = int(np.searchsorted(below, 1 - _LEFT_OUT_ABOVE))
    lowest, highest = float(edges[first]), float(edges[min(max(last, first) + 1, bins)])
    return _in_decimals(lowest), _in_decimals(max(highest, lowest + _LEAST_RANGE_STOPS))


def _in_decimals(number: float) -> float:
    return round(number * DENOMINATOR) / DENOMINATOR


def apply_gain_map(
    picture: Codes,
    gain_map: Codes,
    facts: GainMapFacts,
    light_of_code: NDArray[np.float32],
    headroom_stops: float | None = None,
) -> NDArray[np.float32]:
    """Show an SDR picture on a display of some headroom: the HDR rendition, or part of the way.

    picture: (H, W, 3) display codes. gain_map: codes, (h, w) or (h, w, 3), of any size.
    light_of_code: (256,) linear light of each display code.
    headroom_stops: of the display over SDR white; None for as much as the map asks for.
    Returns (H, W, 3) float32, linear, 1.0 = SDR white (ISO 21496-1, clause 6).
    """
    height, width = picture.shape[:2]
    channels = gain_map if gain_map.ndim == 3 else gain_map[:, :, None]
    share = _share_of_map(facts, headroom_stops)
    steps = np.arange(256, dtype=np.float32)[:, None] / 255
    low, high = np.array([facts.min_stops, facts.max_stops], np.float32)
    stops_of_code = low + (high - low) * steps ** (1 / np.array(facts.gamma, np.float32))
    planes = []
    for channel in range(3):
        codes = channels[:, :, min(channel, channels.shape[2] - 1)]
        stops = cv2.LUT(codes, stops_of_code[:, channel])
        if codes.shape != (height, width):
            stops = cv2.resize(stops, (width, height), interpolation=cv2.INTER_LINEAR)
        shown = np.ascontiguousarray(picture[:, :, channel])
        light: NDArray[np.float32] = np.asarray(cv2.LUT(shown, light_of_code))
        light += np.float32(facts.offset_sdr[channel])
        light *= np.exp2(stops * np.float32(share))
        light -= np.float32(facts.offset_hdr[channel])
        planes.append(np.maximum(light, 0, out=light))
    return np.asarray(cv2.merge(planes))


def _share_of_map(facts: GainMapFacts, headroom_stops: float | None) -> float:
    """How far a display of some headroom goes from the SDR to the HDR rendition, 0..1."""
    if headroom_stops is None:
        return 1.0
    whole = facts.hdr_headroom_stops - facts.sdr_headroom_stops
    if whole == 0:
        return 1.0
    return min(max((headroom_stops - facts.sdr_headroom_stops) / whole, 0.0), 1.0)


def join_jpegs(
    picture: bytes, own_segments: list[bytes], second: bytes, carried: bytes = b""
) -> list[bytes]:
    """Put picture and map together; returns the pieces of the file in order.

    picture: the SDR picture as a JPEG. own_segments: its Exif and ICC segments, whole.
    second: the gain map as a JPEG of `encode_gain_map`. carried: see `xmp_of_picture`.
    """
    xmp = segment(APP1, XMP_NAME + xmp_of_picture(len(second), carried))
    iso = segment(APP2, ISO_NAME + iso_version())
    at = head_end(picture)
    mpf_at = at + sum(map(len, own_segments)) + len(xmp) + len(iso)
    first_bytes = mpf_at + len(_mpf_segment(0, 0, 0)) + len(picture) - at
    mpf = _mpf_segment(mpf_at, first_bytes, len(second))
    return [picture[:at], *own_segments, xmp, iso, mpf, picture[at:], second]


def encode_gain_map(gain_map: Codes, facts: GainMapFacts, quality: int) -> bytes:
    """A gain map as a JPEG that says what its codes mean."""
    data = _jpeg(gain_map, quality)
    at = head_end(data)
    said = segment(APP1, XMP_NAME + xmp_of_map(facts)) + segment(APP2, ISO_NAME + iso_block(facts))
    return b"".join([data[:at], said, data[at:]])


def _jpeg(codes: Codes, quality: int) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(codes, level=quality, subsampling="444"))


def map_quality(
    picture: Codes,
    hdr: NDArray[np.float32],
    gain_map: Codes,
    facts: GainMapFacts,
    light_of_code: NDArray[np.float32],
    most: int = 100,
) -> int:
    """The least JPEG quality of the map at which the HDR rendition comes back well enough.
    Pictures (H, W, 3).

    The arrays are those of `make_gain_map`; tried on tiles of them: smooth skies need little,
    sunlit leaves much. Returns at most `most`, for whom small files count for more.
    """
    picture, hdr, gain_map = (_tiles(array) for array in (picture, hdr, gain_map))
    for quality in (quality for quality in _MAP_QUALITIES if quality < most):
        decoded = np.asarray(imagecodecs.jpeg8_decode(_jpeg(gain_map, quality)))
        back = apply_gain_map(picture, decoded, facts, light_of_code)
        if float(np.median(np.abs(back - hdr) / np.maximum(hdr, _DARKEST))) <= _MAP_ERROR:
            return quality
    return most


def _tiles(array: NDArray[Any]) -> NDArray[Any]:
    """Tiles spread evenly over an image, one below the other; all of a small or narrow one."""
    height, width = array.shape[:2]
    side = _TILE_PIXELS
    if height * width <= _TILES * side**2 or min(height, width) < side:
        return np.ascontiguousarray(array[: max(1, _TILES * side**2 // width)])
    across = round(_TILES**0.5)
    return np.concatenate(
        [
            array[y : y + side, x : x + side]
            for y in np.linspace(0, height - side, across).astype(int) // 8 * 8
            for x in np.linspace(0, width - side, across).astype(int) // 8 * 8
        ]
    )


def _mpf_segment(at: int, first_bytes: int, second_bytes: int) -> bytes:
    """The index of both pictures; `at` is where this segment will stand in the file.

    CIPA DC-007, 5.2: a TIFF structure. Offsets count from its first byte, 8 into the segment.
    """
    entries = 8 + 2 + 3 * 12 + 4
    tiff = struct.pack(">2sHIH", b"MM", 42, 8, 3)
    tiff += struct.pack(">HHI4s", 0xB000, 7, 4, b"0100")
    tiff += struct.pack(">HHII", 0xB001, 4, 1, 2)
    tiff += struct.pack(">HHIII", 0xB002, 7, 2 * 16, entries, 0)
    # 0x030000 is a baseline primary picture; the second is of no type that MPF knows.
    tiff += struct.pack(">IIIHH", 0x030000, first_bytes, 0, 0, 0)
    tiff += struct.pack(">IIIHH", 0, second_bytes, max(first_bytes - (at + 8), 0), 0, 0)
    return segment(APP2, MPF_NAME + tiff)


def read_gain_map(data: bytes, max_pixels: int) -> tuple[Codes, GainMapFacts]:
    """Find and decode the gain map of a JPEG; one of more than `max_pixels` is refused.

    max_pixels: those of the picture, at whose size a map says all that it can.

    Returns the map's codes, (h, w) or (h, w, 3), and what they mean. ISO 21496-1 is believed before
    XMP. Raises FileReadError where there is none, and Damaged where it cannot be read.
    """
    second = data[_second_picture(data) :]
    if second[:2] != b"\xff\xd8":
        raise Damaged("it holds no second picture where it says that there is one")
    blocks, packets = [], []
    for marker, _, body in segments(second):
        if marker == APP2 and body.startswith(ISO_NAME) and len(body) > len(ISO_NAME) + 4:
            blocks.append(body[len(ISO_NAME) :])
        elif marker == APP1 and body.startswith(XMP_NAME) and HDRGM.encode() in body:
            packets.append(body[len(XMP_NAME) :])
    if not blocks and not packets:
        raise FileReadError(_NO_MAP)
    header = read_header(second, "jpeg")
    if header.width * header.height > max_pixels:
        raise Damaged(
            f"its gain map has {header.width} x {header.height} pixels, more than the picture"
        )
    check_pixels(header, max_pixels)
    facts = parse_iso_block(blocks[0]) if blocks else parse_xmp_of_map(packets[0])
    return np.asarray(imagecodecs.jpeg8_decode(second)), facts


def _second_picture(data: bytes) -> int:
    """Where the second picture begins: by the Multi-Picture Format, else by its length in XMP."""
    for marker, place, body in segments(data):
        if marker == APP2 and body.startswith(MPF_NAME):
            return place + 4 + _mpf_offset(body[4:])
    for marker, _, body in segments(data):
        if marker == APP1 and body.startswith(XMP_NAME):
            return len(data) - _container_length(body[len(XMP_NAME) :])
    raise FileReadError(_NO_MAP)


def _mpf_offset(tiff: bytes) -> int:
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    try:
        if order is None:
            raise Damaged("its index of pictures is damaged")
        at = struct.unpack(order + "I", tiff[4:8])[0]
        for k in range(struct.unpack(order + "H", tiff[at : at + 2])[0]):
            entry = tiff[at + 2 + 12 * k : at + 14 + 12 * k]
            tag, _, size, place = struct.unpack(order + "HHII", entry)
            if tag == 0xB002 and size >= 32:
                return int(struct.unpack(order + "I", tiff[place + 24 : place + 28])[0])
    except struct.error as error:
        raise Damaged("its index of pictures is cut off") from error
    raise Damaged("its index of pictures names no second one")


def _container_length(packet: bytes) -> int:
    try:
        for item in parse_xml(packet).iter(f"{{{CONTAINER}}}Item"):
            if item.get(f"{{{ITEM}}}Semantic") == "GainMap":
                return int(item.get(f"{{{ITEM}}}Length", "0"))
    except (ElementTree.ParseError, ValueError) as error:
        raise Damaged("its XMP is damaged") from error
    raise FileReadError(_NO_MAP)

"""A gain map's numbers as files hold them: the binary block of ISO 21496-1, and XMP."""

from __future__ import annotations

import struct
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from .headers import Damaged

OFFSET: Final = 1 / 64

# ISO 21496-1 stores fractions; with this denominator they are the decimals that XMP prints.
DENOMINATOR: Final = 1_000_000
_MULTI_CHANNEL, _BASE_COLOUR_SPACE, _COMMON_DENOMINATOR = 0x80, 0x40, 0x08

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class GainMapFacts:
    """What a gain map's numbers mean; a value per channel, red, green, blue.

    min_stops, max_stops: log2 of the gains that codes 0 and 255 stand for. gamma: the power that
        codes were raised to. offset_sdr, offset_hdr: added to both sides before they are divided.
    sdr_headroom_stops: log2 of the headroom up to which the picture is shown as it is.
    hdr_headroom_stops: the same from which on the map is applied in full.
    """

    min_stops: Triple
    max_stops: Triple
    hdr_headroom_stops: float
    gamma: Triple = (1.0, 1.0, 1.0)
    offset_sdr: Triple = (OFFSET, OFFSET, OFFSET)
    offset_hdr: Triple = (OFFSET, OFFSET, OFFSET)
    sdr_headroom_stops: float = 0.0


def iso_block(facts: GainMapFacts) -> bytes:
    """The binary block of ISO 21496-1, annex C.2, in the picture's primaries.

    Numbers that all three channels share are written once, as for a map of one channel.
    """

    def fraction(value: float) -> bytes:
        kind = ">iI" if value < 0 else ">II"
        return struct.pack(kind, round(value * DENOMINATOR), DENOMINATOR)

    channels = list(
        zip(
            facts.min_stops,
            facts.max_stops,
            facts.gamma,
            facts.offset_sdr,
            facts.offset_hdr,
            strict=True,
        )
    )
    flags = _BASE_COLOUR_SPACE
    if len(set(channels)) == 1:
        channels = channels[:1]
    else:
        flags |= _MULTI_CHANNEL
    numbers = [facts.sdr_headroom_stops, facts.hdr_headroom_stops]
    numbers += [value for channel in channels for value in channel]
    return iso_version() + bytes((flags,)) + b"".join(map(fraction, numbers))


def iso_version() -> bytes:
    """Least version that a reader must know, and the writer's: what stands in the first picture."""
    return struct.pack(">HH", 0, 0)


def parse_iso_block(block: bytes) -> GainMapFacts:
    """Read the block of ISO 21496-1 (with libultrahdr's common denominator too).

    Raises Damaged where it is cut off, of a later version, or divides by 0.
    """
    try:
        version, _, flags = struct.unpack(">HHB", block[:5])
        if version != 0:
            raise Damaged(f"its gain map is of version {version} of ISO 21496-1; 0 is known")
        numbers = _fractions(block[5:], flags)
        headrooms = [next(numbers), next(numbers)]
        count = 3 if flags & _MULTI_CHANNEL else 1
        channels = [[next(numbers) for _ in range(5)] for _ in range(count)]
    except (struct.error, StopIteration, ZeroDivisionError) as error:
        raise Damaged("its gain map's block of ISO 21496-1 is damaged") from error
    low, high, gamma, sdr, hdr = (_triple(values) for values in zip(*channels, strict=True))
    return _checked(GainMapFacts(low, high, headrooms[1], gamma, sdr, hdr, headrooms[0]))


def _fractions(block: bytes, flags: int) -> Iterator[float]:
    """The block's numbers in order; only the channels' first two may be negative."""
    shared = struct.unpack(">I", block[:4])[0] if flags & _COMMON_DENOMINATOR else None
    place, index = (0 if shared is None else 4), 0
    while True:
        kind = ">i" if index >= 2 and (index - 2) % 5 < 2 else ">I"
        numerator = struct.unpack(kind, block[place : place + 4])[0]
        place, index = place + 4, index + 1
        denominator = shared
        if denominator is None:
            denominator = struct.unpack(">I", block[place : place + 4])[0]
            place += 4
        yield numerator / denominator


def _triple(values: tuple[float, ...]) -> Triple:
    return (values[0], values[0], values[0]) if len(values) == 1 else values[:3]  # type: ignore


def _checked(facts: GainMapFacts) -> GainMapFacts:
    numbers = (*facts.min_stops, *facts.max_stops, *facts.gamma, facts.hdr_headroom_stops)
    if not np.isfinite(numbers).all() or max(map(abs, numbers)) > 64 or min(facts.gamma) <= 0:
        raise Damaged("its gain map's numbers make no sense")
    return facts


_RDF: Final = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
HDRGM: Final = "http://ns.adobe.com/hdr-gain-map/1.0/"
CONTAINER: Final = "http://ns.google.com/photos/1.0/container/"
ITEM: Final = CONTAINER + "item/"
# What each of hdrgm's numbers is when it is left out (Adobe's specification).
_HDRGM_DEFAULTS: Final = {
    "GainMapMin": 0.0,
    "Gamma": 1.0,
    "OffsetSDR": OFFSET,
    "OffsetHDR": OFFSET,
    "HDRCapacityMin": 0.0,
}


def xmp_of_picture(map_bytes: int, carried: bytes = b"") -> bytes:
    """The XMP of the first picture: that there is a map, and how many bytes it takes.

    carried: rdf:Description elements of what else is said of the picture.
    """
    return _xmp(
        f'xmlns:Container="{CONTAINER}" xmlns:Item="{ITEM}" xmlns:hdrgm="{HDRGM}"'
        ' hdrgm:Version="1.0"',
        "<Container:Directory><rdf:Seq>"
        '<rdf:li rdf:parseType="Resource">'
        '<Container:Item Item:Semantic="Primary" Item:Mime="image/jpeg"/></rdf:li>'
        '<rdf:li rdf:parseType="Resource">'
        '<Container:Item Item:Semantic="GainMap" Item:Mime="image/jpeg"'
        f' Item:Length="{map_bytes}"/></rdf:li>'
        "</rdf:Seq></Container:Directory>",
        carried.decode(),
    )


def xmp_of_map(facts: GainMapFacts) -> bytes:
    """The XMP of the gain map; numbers that differ between the channels become lists of three.

    Some readers know no lists.
    """
    attributes = (
        ' hdrgm:Version="1.0" hdrgm:BaseRenditionIsHDR="False"'
        f' hdrgm:HDRCapacityMin="{facts.sdr_headroom_stops:.6f}"'
        f' hdrgm:HDRCapacityMax="{facts.hdr_headroom_stops:.6f}"'
    )
    lists = ""
    for name, values in (
        ("GainMapMin", facts.min_stops),
        ("GainMapMax", facts.max_stops),
        ("Gamma", facts.gamma),
        ("OffsetSDR", facts.offset_sdr),
        ("OffsetHDR", facts.offset_hdr),
    ):
        if len(set(values)) == 1:
            attributes += f' hdrgm:{name}="{values[0]:.6f}"'
        else:
            items = "".join(f"<rdf:li>{value:.6f}</rdf:li>" for value in values)
            lists += f"<hdrgm:{name}><rdf:Seq>{items}</rdf:Seq></hdrgm:{name}>"
    return _xmp(f'xmlns:hdrgm="{HDRGM}"{attributes}', lists)


def _xmp(attributes: str, inside: str, beside: str = "") -> bytes:
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        f'<rdf:RDF xmlns:rdf="{_RDF}"><rdf:Description rdf:about="" {attributes}>'
        f"{inside}</rdf:Description>{beside}</rdf:RDF></x:xmpmeta>"
    ).encode()


def parse_xmp_of_map(packet: bytes) -> GainMapFacts:
    """Read a gain map's `hdrgm` numbers. Raises Damaged where they are missing or make no sense."""
    try:
        description = next(
            node
            for node in parse_xml(packet).iter(f"{{{_RDF}}}Description")
            if f"{{{HDRGM}}}Version" in node.attrib
        )
        values = {
            name: _hdrgm_numbers(description, name)
            for name in ("GainMapMin", "GainMapMax", "Gamma", "OffsetSDR", "OffsetHDR",
                         "HDRCapacityMin", "HDRCapacityMax")
        }  # fmt: skip
    except (ElementTree.ParseError, StopIteration, ValueError) as error:
        raise Damaged("its gain map's XMP is damaged") from error
    base_is_hdr = description.get(f"{{{HDRGM}}}BaseRenditionIsHDR", "False")
    if base_is_hdr.lower() == "true":
        raise Damaged("its first picture is the HDR one, which is not known here")
    return _checked(
        GainMapFacts(
            values["GainMapMin"],
            values["GainMapMax"],
            values["HDRCapacityMax"][0],
            values["Gamma"],
            values["OffsetSDR"],
            values["OffsetHDR"],
            values["HDRCapacityMin"][0],
        )
    )


def parse_xml(packet: bytes) -> ElementTree.Element:
    if b"<!" in packet:  # no entities, which can blow a kilobyte up to gigabytes
        raise ValueError("declarations in XMP")
    return ElementTree.fromstring(packet.strip(b"\0 \n"))


def _hdrgm_numbers(description: ElementTree.Element, name: str) -> Triple:
    text = description.get(f"{{{HDRGM}}}{name}")
    node = description.find(f"{{{HDRGM}}}{name}")
    if text is not None:
        texts = [text]
    elif node is not None:
        texts = [item.text or "" for item in node.iter(f"{{{_RDF}}}li")] or [node.text or ""]
    elif name in _HDRGM_DEFAULTS:
        texts = [str(_HDRGM_DEFAULTS[name])]
    else:
        raise ValueError(f"{name} is missing")
    return _triple(tuple(float(text) for text in texts))

"""XMP and IPTC: what of them a result may still say, and how.

Only properties that are known to stay true are carried: who made the photo, what it shows, its
rights, rating and keywords, and what a panorama viewer must know, brought up to date. Develop
settings, histories, thumbnails, gain maps and whatever else belongs to the old pixels or file is
left behind. IPTC's records are carried as they are, and said in XMP too, since most containers have
a place for XMP alone.

Sources: ISO 16684-1 (XMP), IPTC Photo Metadata Standard 2023.2 (and its mapping of IIM to XMP),
Google's Photo Sphere XMP metadata.
"""

from __future__ import annotations

import struct
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..bracket import Metadata

_RDF: Final = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_XML: Final = "http://www.w3.org/XML/1998/namespace"
_META: Final = "adobe:ns:meta/"
_DC: Final = "http://purl.org/dc/elements/1.1/"
_XAP: Final = "http://ns.adobe.com/xap/1.0/"
_PHOTOSHOP: Final = "http://ns.adobe.com/photoshop/1.0/"
_CORE: Final = "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/"
_EXT: Final = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_TIFF: Final = "http://ns.adobe.com/tiff/1.0/"
_EXIF: Final = "http://ns.adobe.com/exif/1.0/"
_GPANO: Final = "http://ns.google.com/photos/1.0/panorama/"
_MWG_REGIONS: Final = "http://www.metadataworkinggroup.com/schemas/regions/"
_MP_REGIONS: Final = "http://ns.microsoft.com/photo/1.2/"

_PREFIXES: Final = {
    "x": _META, "rdf": _RDF, "dc": _DC, "xmp": _XAP, "photoshop": _PHOTOSHOP,
    "Iptc4xmpCore": _CORE, "Iptc4xmpExt": _EXT, "tiff": _TIFF, "exif": _EXIF, "GPano": _GPANO,
    "xmpRights": "http://ns.adobe.com/xap/1.0/rights/",
    "plus": "http://ns.useplus.org/ldf/xmp/1.0/",
    "lr": "http://ns.adobe.com/lightroom/1.0/",
    "digiKam": "http://www.digikam.org/ns/1.0/",
    "MicrosoftPhoto": "http://ns.microsoft.com/photo/1.0/",
    "mediapro": "http://ns.iview-multimedia.com/mediapro/1.0/",
    "acdsee": "http://ns.acdsee.com/iptc/1.0/",
    "cc": "http://creativecommons.org/ns#",
    "mwg-rs": _MWG_REGIONS, "MP": _MP_REGIONS,
    "MPRI": "http://ns.microsoft.com/photo/1.2/t/RegionInfo#",
    "MPReg": "http://ns.microsoft.com/photo/1.2/t/Region#",
    "stArea": "http://ns.adobe.com/xmp/sType/Area#",
    "stDim": "http://ns.adobe.com/xap/1.0/sType/Dimensions#",
}  # fmt: skip
for _prefix, _uri in _PREFIXES.items():
    ElementTree.register_namespace(_prefix, _uri)

# Namespaces whose properties stay true in a new picture: all but those named.
_ALL_BUT: Final[dict[str, frozenset[str]]] = {
    _DC: frozenset({"format"}),
    _PREFIXES["xmpRights"]: frozenset(),
    _CORE: frozenset(),
    _EXT: frozenset({"ImageRegion", "DigImageGUID", "MaxAvailHeight", "MaxAvailWidth"}),
    _PREFIXES["plus"]: frozenset({"ImageFileFormatAsDelivered", "ImageFileSizeAsDelivered"}),
    _PREFIXES["cc"]: frozenset(),
    _PREFIXES["mediapro"]: frozenset(),
    _PREFIXES["acdsee"]: frozenset({"rpp", "dpp"}),
    _GPANO: frozenset(),
}
# Those of which only some do.
_ONLY: Final[dict[str, frozenset[str]]] = {
    _XAP: frozenset({"Rating", "Label", "CreateDate", "Nickname", "BaseURL"}),
    _PHOTOSHOP: frozenset(
        {"AuthorsPosition", "CaptionWriter", "Category", "City", "Country", "Credit", "DateCreated",
         "Headline", "Instructions", "Source", "State", "SupplementalCategories",
         "TransmissionReference", "Urgency"}
    ),
    _TIFF: frozenset({"Artist", "Copyright", "ImageDescription", "Make", "Model", "Orientation"}),
    _EXIF: frozenset({"UserComment", "DateTimeOriginal"}),
    _PREFIXES["lr"]: frozenset({"hierarchicalSubject", "weightedFlatSubject"}),
    _PREFIXES["digiKam"]: frozenset({"TagsList", "ColorLabel", "PickLabel"}),
    _PREFIXES["MicrosoftPhoto"]: frozenset({"Rating", "LastKeywordXMP", "LastKeywordIPTC"}),
}  # fmt: skip
# Places in the picture, which hold as long as it is the whole one and was not turned.
_REGIONS: Final = ((_MWG_REGIONS, "Regions"), (_MP_REGIONS, "RegionInfo"), (_EXT, "ImageRegion"))

_DEEPEST: Final = 40
_MOST_PROPERTIES: Final = 2000
# A JPEG segment holds 65,533 bytes, the block's name among them.
_MOST_BYTES: Final = 65_000
_PACKET_HEAD: Final = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
_PACKET_END: Final = '<?xpacket end="w"?>'

Element = ElementTree.Element
# By namespace and name.
_Properties = dict[tuple[str, str], Element]


# Reading ------------------------------------------------------------------------------------------


def gathered_xmp(
    packets: Sequence[bytes], iptc: bytes | None, width: int, height: int, *, turned: bool
) -> bytes | None:
    """Put together what is carried of a photo's packets (those that count most first) and IPTC.

    width, height: of the upright picture. turned: whether it had to be turned to be upright; then
        nothing that names places in it is kept.
    Returns a packet, None where there is nothing to carry. Damaged packets are passed over.
    """
    found: _Properties = {}
    for packet in packets:
        for name, element in _read(packet).items():
            found.setdefault(name, element)
    for name, element in _from_iptc(iptc).items():
        found.setdefault(name, element)
    if turned:
        found = {name: element for name, element in found.items() if not _is_place(name)}
    elif (_GPANO, "ProjectionType") in found:
        _update_panorama(found, width, height)
    else:
        found = {name: element for name, element in found.items() if name[0] != _GPANO}
    return _write(found) if found else None


def _is_place(name: tuple[str, str]) -> bool:
    return name in _REGIONS or name[0] == _GPANO


class _Builder(ElementTree.TreeBuilder):
    """Refuses what no program writes and what would cost much time or stack."""

    def __init__(self) -> None:
        super().__init__()
        self._depth = 0

    def start(self, tag: Any, attrs: Any, /) -> Element:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ValueError("XMP is nested too deeply")
        return super().start(tag, attrs)

    def end(self, tag: Any, /) -> Element:
        self._depth -= 1
        return super().end(tag)

    def doctype(self, *_: Any) -> None:
        raise ValueError("declarations in XMP")


def _read(packet: bytes) -> _Properties:
    """The properties of a packet that are carried; none if it is damaged."""
    try:
        if packet[:2] in (b"\xff\xfe", b"\xfe\xff"):
            packet = packet.decode("utf-16").encode()
        if b"<!DOCTYPE" in packet or b"<!ENTITY" in packet:
            return {}  # entities can blow a kilobyte up to gigabytes
        parser = ElementTree.XMLParser(target=_Builder())
        parser.feed(packet.strip(b"\0 \r\n\t"))
        # The RDF may be all there is.
        root = ElementTree.Element("packet")
        root.append(parser.close())
    except (ElementTree.ParseError, ValueError, LookupError, RecursionError):
        return {}
    found: _Properties = {}
    for description in root.iterfind(f".//{{{_RDF}}}RDF/{{{_RDF}}}Description"):
        for key, text in description.attrib.items():
            _keep(found, key, text)
        for child in description:
            _keep(found, child.tag, child)
        if len(found) > _MOST_PROPERTIES:
            return {}
    return found


def _keep(found: _Properties, tag: str, value: str | Element) -> None:
    uri, _, local = tag[1:].partition("}") if tag.startswith("{") else ("", "", tag)
    allowed = (uri in _ALL_BUT and local not in _ALL_BUT[uri]) or local in _ONLY.get(uri, ())
    allowed = allowed or (uri, local) in _REGIONS or (uri == _EXIF and local.startswith("GPS"))
    if not allowed or (uri, local) in found:
        return
    if isinstance(value, str):
        element = ElementTree.Element(tag)
        element.text = value
    else:
        element = value
        element.tail = None
    found[uri, local] = element


# IPTC ---------------------------------------------------------------------------------------------

# Numbers of record 2 (IIM 4.2), and the property that means the same; "list" for several values,
# "words" for text in a language, "text" for one value.
_IIM: Final = {
    5: (_DC, "title", "words"), 10: (_PHOTOSHOP, "Urgency", "text"),
    15: (_PHOTOSHOP, "Category", "text"), 20: (_PHOTOSHOP, "SupplementalCategories", "list"),
    25: (_DC, "subject", "list"), 40: (_PHOTOSHOP, "Instructions", "text"),
    80: (_DC, "creator", "names"), 85: (_PHOTOSHOP, "AuthorsPosition", "text"),
    90: (_PHOTOSHOP, "City", "text"), 92: (_CORE, "Location", "text"),
    95: (_PHOTOSHOP, "State", "text"), 100: (_CORE, "CountryCode", "text"),
    101: (_PHOTOSHOP, "Country", "text"), 103: (_PHOTOSHOP, "TransmissionReference", "text"),
    105: (_PHOTOSHOP, "Headline", "text"), 110: (_PHOTOSHOP, "Credit", "text"),
    115: (_PHOTOSHOP, "Source", "text"), 116: (_DC, "rights", "words"),
    120: (_DC, "description", "words"), 122: (_PHOTOSHOP, "CaptionWriter", "text"),
}  # fmt: skip
# A picture of the caption, and previews of the object: of the old picture.
_OLD_PICTURES: Final = {125, 200, 201, 202}
_UTF_8: Final = b"\x1b%G"


def _datasets(iptc: bytes) -> list[tuple[int, int, bytes]]:
    """Record, number and value of each dataset, as far as they can be read."""
    found: list[tuple[int, int, bytes]] = []
    place = 0
    while place + 5 <= len(iptc) and iptc[place] == 0x1C:
        record, number, size = struct.unpack(">BBH", iptc[place + 1 : place + 5])
        place += 5
        if size & 0x8000:  # the size of the size
            count = size & 0x7FFF
            size = int.from_bytes(iptc[place : place + count], "big") if count <= 4 else 1 << 40
            place += count
        value = iptc[place : place + size]
        if len(value) < size or len(found) >= _MOST_PROPERTIES:
            break
        found.append((record, number, value))
        place += size
    return found


def kept_iptc(iptc: bytes | None) -> bytes | None:
    """IPTC's records without what tells of the old pixels; None for none."""
    parts = []
    for record, number, value in _datasets(iptc or b""):
        told = record == 2 and number not in _OLD_PICTURES
        if (told or (record, number) == (1, 90)) and len(value) < 0x8000:
            parts.append(struct.pack(">BBBH", 0x1C, record, number, len(value)) + value)
    whole = b"".join(parts)
    return whole if whole and len(whole) <= _MOST_BYTES else None


def _from_iptc(iptc: bytes | None) -> _Properties:
    values: dict[int, list[str]] = {}
    sets = _datasets(iptc or b"")
    utf_8 = any((record, number, value) == (1, 90, _UTF_8) for record, number, value in sets)
    for record, number, value in sets:
        if record == 2 and number in _IIM:
            text = _decoded(value, utf_8).strip("\0 ")
            if text:
                values.setdefault(number, []).append(text)
    found: _Properties = {}
    for number, texts in values.items():
        uri, local, form = _IIM[number]
        element = ElementTree.Element(f"{{{uri}}}{local}")
        if form == "text":
            element.text = texts[0]
        else:
            container = {"list": "Bag", "names": "Seq", "words": "Alt"}[form]
            inside = ElementTree.SubElement(element, f"{{{_RDF}}}{container}")
            for text in texts if form != "words" else texts[:1]:
                item = ElementTree.SubElement(inside, f"{{{_RDF}}}li")
                item.text = text
                if form == "words":
                    item.set(f"{{{_XML}}}lang", "x-default")
        found[uri, local] = element
    return found


def _decoded(value: bytes, utf_8: bool) -> str:
    if not utf_8:
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return value.decode("cp1252", "replace")
    return value.decode("utf-8", "replace")


# Panoramas ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Panorama:
    """Where a picture lies on a sphere: GPano's numbers, in pixels of the picture.

    full_width, full_height: of the whole sphere. left, top: of the picture on it.
    """

    width: int
    height: int
    full_width: int
    full_height: int
    left: int
    top: int

    @property
    def wraps(self) -> bool:
        """Whether it goes all the way round."""
        return self.width == self.full_width


_NUMBERS: Final = {
    "width": "CroppedAreaImageWidthPixels",
    "height": "CroppedAreaImageHeightPixels",
    "full_width": "FullPanoWidthPixels",
    "full_height": "FullPanoHeightPixels",
    "left": "CroppedAreaLeftPixels",
    "top": "CroppedAreaTopPixels",
}
_INSIDE: Final = "LargestValidInteriorRect"


def panorama_of(xmp: bytes | None) -> Panorama | None:
    """Where a picture lies on the sphere, by an XMP packet that `gathered_xmp` made."""
    return None if xmp is None else _panorama(_read(xmp))


def _panorama(found: _Properties) -> Panorama | None:
    projection = found.get((_GPANO, "ProjectionType"))
    if projection is None or (projection.text or "").strip().lower() != "equirectangular":
        return None
    numbers = {}
    for name, local in _NUMBERS.items():
        element = found.get((_GPANO, local))
        try:
            numbers[name] = round(float(element.text or "")) if element is not None else None
        except (ValueError, OverflowError):
            return None
    if all(number is None for number in numbers.values()):
        return Panorama(2, 1, 2, 1, 0, 0)  # the whole sphere, at any size
    told = {name: number for name, number in numbers.items() if number is not None}
    if len(told) < len(numbers):
        return None
    panorama = Panorama(**told)
    fits = (
        0 < panorama.width <= panorama.full_width < 1 << 30
        and 0 < panorama.height <= panorama.full_height < 1 << 30
        and 0 <= panorama.left <= panorama.full_width - panorama.width
        and 0 <= panorama.top <= panorama.full_height - panorama.height
    )
    return panorama if fits else None


def _update_panorama(
    found: _Properties, width: int, height: int, window: tuple[int, ...] | None = None
) -> None:
    """Make GPano's numbers those of a picture of this size, or drop them all, in place.

    window: left, top, width and height of the picture in the one that the numbers tell of.
    """
    panorama = _panorama(found)
    told = panorama
    if panorama is not None and window is not None:
        left, top, *size = window
        panorama = Panorama(
            size[0], size[1], panorama.full_width, panorama.full_height,
            panorama.left + left, panorama.top + top,
        )  # fmt: skip
        if (
            left < 0
            or top < 0
            or panorama.left + size[0] > panorama.full_width
            or panorama.top + size[1] > panorama.full_height
        ):
            panorama = None
    if panorama is not None:
        panorama = _scaled(panorama, width, height)
    if panorama is None:
        for name in [name for name in found if name[0] == _GPANO]:
            del found[name]
        return
    if panorama != told:
        for name in [name for name in found if name[1].startswith(_INSIDE)]:
            del found[name]
    for field, local in _NUMBERS.items():
        element = ElementTree.Element(f"{{{_GPANO}}}{local}")
        element.text = str(getattr(panorama, field))
        found[_GPANO, local] = element


# How much the two sides may be scaled differently before the numbers are of another picture.
_SAME_SHAPE: Final = 0.01


def _scaled(panorama: Panorama, width: int, height: int) -> Panorama | None:
    """A panorama's numbers for a picture that was scaled to a size; None if it was not only so."""
    if (panorama.width, panorama.height) == (width, height):
        return panorama
    across, down = width / panorama.width, height / panorama.height
    if abs(across / down - 1) > _SAME_SHAPE + 1 / min(width, height):
        return None
    whole = panorama.height == panorama.full_height
    full_width = width if panorama.wraps else round(panorama.full_width * across)
    full_height = height if whole else round(panorama.full_height * down)
    left = min(round(panorama.left * across), full_width - width)
    top = min(round(panorama.top * down), full_height - height)
    if left < 0 or top < 0:
        return None
    return Panorama(width, height, full_width, full_height, left, top)


# Writing ------------------------------------------------------------------------------------------


def carried_xmp(metadata: Metadata, width: int, height: int) -> bytes | None:
    """The XMP packet of a result of this size, from that of the reference photo; None for none.

    The orientation is 1, for results are upright; a panorama's numbers are those of the result.
    As many of the longest properties go as do not fit 65,000 bytes.
    """
    found = _read(metadata.xmp) if metadata.xmp else {}
    if (_TIFF, "Orientation") in found:
        found[_TIFF, "Orientation"].text = "1"
    if metadata.window is not None:
        found = {name: element for name, element in found.items() if name not in _REGIONS}
    if (_GPANO, "ProjectionType") in found:
        _update_panorama(found, width, height, metadata.window)
    while found:
        packet = _write(found)
        if len(packet) <= _MOST_BYTES:
            return packet
        del found[max(found, key=lambda name: len(ElementTree.tostring(found[name])))]
    return None


def _write(found: _Properties) -> bytes:
    return _packet([_description(found)])


def _description(found: _Properties) -> Element:
    description = ElementTree.Element(f"{{{_RDF}}}Description", {f"{{{_RDF}}}about": ""})
    description.extend(found[name] for name in sorted(found))
    return description


def _packet(descriptions: Iterable[Element]) -> bytes:
    root = ElementTree.Element(f"{{{_META}}}xmpmeta")
    rdf = ElementTree.SubElement(root, f"{{{_RDF}}}RDF")
    rdf.extend(descriptions)
    body = ElementTree.tostring(root, encoding="unicode")
    return f"{_PACKET_HEAD}{body}{_PACKET_END}".encode()


def descriptions_of(packet: bytes | None) -> bytes:
    """The rdf:Description of a packet of `carried_xmp`, to stand in another packet."""
    if packet is None:
        return b""
    description = _description(_read(packet))
    return str(ElementTree.tostring(description, encoding="unicode")).encode()

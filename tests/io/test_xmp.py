"""XMP and IPTC: carried into every container that holds them, and true there."""

from __future__ import annotations

import struct
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ghostless.align import AlignSettings
from ghostless.bracket import Fused, Metadata
from ghostless.deghost import DeghostSettings
from ghostless.io.jpeg import APP1, APP13, head_end, segment
from ghostless.io.packets import XMP_NAME, photoshop_resources, read_packets
from ghostless.io.read import read_facts, read_frame
from ghostless.io.write import WriteSettings, write_hdr_image, write_image
from ghostless.io.xmp import carried_xmp, gathered_xmp, kept_iptc, panorama_of
from ghostless.pipeline import FuseOptions, fuse_files

from ..files import save_bracket
from .samples import picture, pillow_bytes, tiff_bytes

NAMES = {
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "dc": "http://purl.org/dc/elements/1.1/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
    "tiff": "http://ns.adobe.com/tiff/1.0/",
    "crs": "http://ns.adobe.com/camera-raw-settings/1.0/",
    "hdrgm": "http://ns.adobe.com/hdr-gain-map/1.0/",
    "xmpMM": "http://ns.adobe.com/xap/1.0/mm/",
    "xmpGImg": "http://ns.adobe.com/xap/1.0/g/img/",
    "GPano": "http://ns.google.com/photos/1.0/panorama/",
    "xmpNote": "http://ns.adobe.com/xmp/note/",
    "mwg-rs": "http://www.metadataworkinggroup.com/schemas/regions/",
}
WORDS = '<dc:title><rdf:Alt><rdf:li xml:lang="x-default">{}</rdf:li></rdf:Alt></dc:title>'


def packet(attributes: str = "", inside: str = "") -> bytes:
    """An XMP packet with one description, as a program writes it, with room to grow."""
    spaces = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in NAMES.items())
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {spaces}>'
        f'<rdf:Description rdf:about="" {attributes}>{inside}</rdf:Description>'
        f'</rdf:RDF></x:xmpmeta>{" " * 200}<?xpacket end="w"?>'
    ).encode()


def panorama(width: int, height: int, full: int, left: int = 0, top: int = 0) -> str:
    return (
        'GPano:ProjectionType="equirectangular" GPano:UsePanoramaViewer="True" '
        f'GPano:CroppedAreaImageWidthPixels="{width}" GPano:CroppedAreaImageHeightPixels="{height}"'
        f' GPano:FullPanoWidthPixels="{full}" GPano:FullPanoHeightPixels="{full // 2}" '
        f'GPano:CroppedAreaLeftPixels="{left}" GPano:CroppedAreaTopPixels="{top}" '
        'GPano:LargestValidInteriorRectLeft="0" GPano:PoseHeadingDegrees="12.5"'
    )


def properties(xmp: bytes | None) -> dict[str, Any]:
    """Prefixed names of a packet's properties, and their texts."""
    if xmp is None:
        return {}
    prefixes = {uri: prefix for prefix, uri in NAMES.items()}
    found: dict[str, Any] = {}
    for description in ElementTree.fromstring(xmp).iter(f"{{{NAMES['rdf']}}}Description"):
        entries = [(key, text) for key, text in description.attrib.items()]
        entries += [(child.tag, "".join(child.itertext()).strip()) for child in description]
        for key, text in entries:
            uri, _, local = key[1:].partition("}")
            found[f"{prefixes.get(uri, uri)}:{local}"] = text
    return found


def iptc(*sets: tuple[int, int, bytes]) -> bytes:
    return b"".join(struct.pack(">BBBH", 0x1C, r, n, len(v)) + v for r, n, v in sets)


def jpeg_with(*segments: bytes, image: Any = None, **how: Any) -> bytes:
    data = pillow_bytes(picture() if image is None else image, "JPEG", quality=95, **how)
    at = head_end(data)
    return data[:at] + b"".join(segments) + data[at:]


def xmp_segment(data: bytes) -> bytes:
    return segment(APP1, XMP_NAME + data)


PACKET = packet('xmp:Rating="4"', WORDS.format("Roof"))
CONTAINERS = {
    "a.jpg": lambda: jpeg_with(xmp_segment(PACKET)),
    "a.png": lambda: pillow_bytes(picture(), "PNG", pnginfo=_png_info(False)),
    "packed.png": lambda: pillow_bytes(picture(), "PNG", pnginfo=_png_info(True)),
    "a.tif": lambda: tiff_bytes(picture(), extratags=[(700, 1, len(PACKET), PACKET, True)]),
    "big_endian.tif": lambda: tiff_bytes(
        picture(), byteorder=">", extratags=[(700, 7, len(PACKET), PACKET, True)]
    ),
    "a.webp": lambda: pillow_bytes(picture(), "WEBP", xmp=PACKET),
    "a.avif": lambda: pillow_bytes(picture(), "AVIF", xmp=PACKET),
    "a.heic": lambda: _heic(),
    "a.jxl": lambda: _jpeg_xl(b"xml ", PACKET),
    "packed.jxl": lambda: _jpeg_xl(b"brob", b"xml " + _brotli(PACKET)),
}


def _png_info(packed: bool) -> Any:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", PACKET.decode(), zip=packed)
    return info


def _heic() -> bytes:
    import io

    pillow_heif = pytest.importorskip("pillow_heif")
    memory = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(picture())).save(memory, xmp=PACKET)
    return memory.getvalue()


def _brotli(data: bytes) -> bytes:
    import imagecodecs

    return bytes(imagecodecs.brotli_encode(data))


def _jpeg_xl(kind: bytes, body: bytes) -> bytes:
    import imagecodecs

    data = bytes(imagecodecs.jpegxl_encode(picture(), usecontainer=True, effort=1))
    return data + struct.pack(">I4s", 8 + len(body), kind) + body


@pytest.mark.parametrize("name", CONTAINERS)
def test_xmp_of_every_container_is_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(CONTAINERS[name]())
    found = properties(read_frame(tmp_path / name).metadata.xmp)
    assert found["dc:title"] == "Roof"
    assert found["xmp:Rating"] == "4"


def fused(metadata: Metadata, height: int = 30, width: int = 41) -> Fused:
    pixels = np.full((height, width, 3), 0.5, np.float32)
    return Fused(pixels, "display", metadata)


HELD = Metadata(
    xmp=gathered_xmp([PACKET], None, 41, 30, turned=False),
    iptc=iptc((1, 90, b"\x1b%G"), (2, 25, b"berlin")),
)


@pytest.mark.parametrize(
    "name", ["a.jpg", "a.png", "a.tif", "a.webp", "a.avif", "deep.avif", "a.jxl"]
)
@pytest.mark.parametrize("transparent", [False, True])
def test_xmp_is_written_into_every_container(tmp_path: Path, name: str, transparent: bool) -> None:
    from dataclasses import replace

    path = tmp_path / name
    opaque = np.full((30, 41), 255, np.uint8)
    opaque[:, :9] = 0
    image = replace(fused(HELD), opaque=opaque if transparent else None)
    if name.endswith(".jxl"):
        image = replace(image, space="linear")
    depth = 10 if name.startswith("deep") else None
    write_image(image, path, WriteSettings(depth=depth))
    metadata = read_frame(path).metadata
    found = properties(metadata.xmp)
    assert found["dc:title"] == "Roof"
    assert found["xmp:Rating"] == "4"
    assert metadata.exif is not None
    assert b"0232" in metadata.exif
    if path.suffix in (".jpg", ".tif"):
        assert metadata.iptc == HELD.iptc
    if path.suffix in (".jpg", ".png", ".tif", ".webp", ".avif"):
        with Image.open(path) as seen:
            assert b"Roof" in seen.info["xmp"]
            seen.load()


def test_a_gain_map_jpeg_has_one_packet_for_both(tmp_path: Path) -> None:
    path = tmp_path / "hdr.jpg"
    light = Fused(np.full((30, 41, 3), 2, np.float32), "linear")
    write_hdr_image(fused(HELD), light, path)
    packets, records = read_packets(path, "jpeg")
    found = properties(packets[0])
    assert found["dc:title"] == "Roof"
    assert found["hdrgm:Version"] == "1.0"
    assert records == HELD.iptc
    # Read again as a photo, it is an SDR picture: nothing of the map is carried on.
    assert not any(name.startswith("hdrgm") for name in properties(read_frame(path).metadata.xmp))
    from ghostless.io.read import read_hdr_image

    assert read_hdr_image(path).pixels.mean() == pytest.approx(2, rel=0.05)


def test_what_belongs_to_the_old_pixels_is_left_behind() -> None:
    old = packet(
        'crs:Exposure2012="+1.5" hdrgm:Version="1.0" tiff:Orientation="6" tiff:ImageWidth="999" '
        'xmpMM:DocumentID="uuid:1" photoshop:City="Bonn" photoshop:ICCProfile="x" xmp:Rating="2" '
        'dc:format="image/jpeg"',
        "<xmp:Thumbnails><rdf:Alt><rdf:li><xmpGImg:image>/9j/4AAQ</xmpGImg:image></rdf:li>"
        "</rdf:Alt></xmp:Thumbnails>"
        "<xmpMM:History><rdf:Seq><rdf:li>"
        '<rdf:Description dc:title="not mine"/></rdf:li></rdf:Seq></xmpMM:History>',
    )
    xmp = gathered_xmp([old], None, 40, 30, turned=True)
    found = properties(carried_xmp(Metadata(xmp=xmp), 40, 30))
    found.pop("rdf:about")
    assert found == {"tiff:Orientation": "1", "photoshop:City": "Bonn", "xmp:Rating": "2"}


def test_extended_xmp_is_put_together(tmp_path: Path) -> None:
    guid = b"0123456789ABCDEF0123456789ABCDEF"
    words = "wide " * 25_000
    extension = packet(inside=f"<photoshop:Instructions>{words}</photoshop:Instructions>")
    standard = packet(f'xmp:Rating="3" xmpNote:HasExtendedXMP="{guid.decode()}"')
    pieces = [extension[i : i + 60_000] for i in range(0, len(extension), 60_000)]
    made = [xmp_segment(standard)]
    for number, piece in reversed(list(enumerate(pieces))):
        head = struct.pack(">II", len(extension), 60_000 * number)
        made.append(segment(APP1, b"http://ns.adobe.com/xmp/extension/\0" + guid + head + piece))
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg_with(*made))
    metadata = read_frame(path).metadata
    found = properties(metadata.xmp)
    assert found["photoshop:Instructions"] == words.strip()
    assert found["xmp:Rating"] == "3"
    # What does not fit into one segment again goes, the rest stays.
    write_image(fused(metadata), tmp_path / "b.jpg")
    again = properties(read_frame(tmp_path / "b.jpg").metadata.xmp)
    assert "photoshop:Instructions" not in again
    assert again["xmp:Rating"] == "3"


def test_iptc_is_said_in_xmp_too(tmp_path: Path) -> None:
    records = iptc(
        (2, 0, b"\0\4"), (2, 5, b"Roof"), (2, 25, b"berlin"), (2, 25, b"roof"), (2, 80, b"Ann"),
        (2, 116, "© Ann".encode("cp1252")), (2, 202, b"an old preview"), (3, 20, b"\0\1"),
    )  # fmt: skip
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg_with(segment(APP13, photoshop_resources(records))))
    metadata = read_frame(path).metadata
    assert metadata.iptc is not None
    assert b"old preview" not in metadata.iptc
    assert b"berlin" in metadata.iptc
    write_image(fused(metadata), tmp_path / "b.png")
    found = properties(read_frame(tmp_path / "b.png").metadata.xmp)
    assert found["dc:title"] == "Roof"
    assert found["dc:creator"] == "Ann"
    assert found["dc:rights"] == "© Ann"
    assert found["dc:subject"].replace(" ", "") == "berlinroof"


def test_sidecars_count_more_than_what_is_inside(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg_with(xmp_segment(PACKET)))
    (tmp_path / "a.jpg.xmp").write_bytes(packet('xmp:Rating="1" crs:Exposure2012="2"'))
    (tmp_path / "a.xmp").write_bytes(packet('xmp:Rating="5"'))  # of a RAW photo
    found = properties(read_frame(path).metadata.xmp)
    assert found["xmp:Rating"] == "1"
    assert found["dc:title"] == "Roof"


def test_sidecars_that_are_no_files_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg_with(xmp_segment(PACKET)))
    (tmp_path / "a.jpg.xmp").symlink_to("/dev/zero")
    assert properties(read_frame(path).metadata.xmp)["xmp:Rating"] == "4"


# Panoramas ----------------------------------------------------------------------------------------


def gpano(attributes: str, size: tuple[int, int], turned: bool = False) -> dict[str, Any]:
    xmp = gathered_xmp([packet(attributes)], None, *size, turned=turned)
    return {name: text for name, text in properties(xmp).items() if name.startswith("GPano")}


def test_a_panorama_of_the_size_told_is_kept_as_it_is() -> None:
    found = gpano(panorama(800, 300, 1000, 100, 50), (800, 300))
    assert found["GPano:FullPanoWidthPixels"] == "1000"
    assert found["GPano:CroppedAreaLeftPixels"] == "100"
    assert found["GPano:PoseHeadingDegrees"] == "12.5"
    assert "GPano:LargestValidInteriorRectLeft" in found


def test_a_panorama_that_was_scaled_is_told_anew() -> None:
    found = gpano(panorama(800, 400, 800), (600, 300))
    assert found["GPano:CroppedAreaImageWidthPixels"] == "600"
    assert found["GPano:FullPanoWidthPixels"] == "600"
    assert found["GPano:FullPanoHeightPixels"] == "300"
    assert "GPano:LargestValidInteriorRectLeft" not in found


@pytest.mark.parametrize(
    ("attributes", "size"),
    [
        (panorama(800, 400, 800), (700, 400)),
        (panorama(800, 400, 600), (800, 400)),
        (panorama(800, 400, 800, left=50), (800, 400)),
        (panorama(800, 400, 800).replace('FullPanoWidthPixels="800"', 'X="1"'), (800, 400)),
        ('GPano:ProjectionType="cylindrical"', (800, 400)),
        (panorama(800, 400, 800).replace('"800"', '"eight"'), (800, 400)),
    ],
)
def test_numbers_that_cannot_be_true_are_left_out(attributes: str, size: tuple[int, int]) -> None:
    assert gpano(attributes, size) == {}


def test_a_turned_panorama_is_none() -> None:
    assert gpano(panorama(800, 400, 800), (400, 800), turned=True) == {}


def test_a_cropped_panorama_says_where_it_lies() -> None:
    xmp = gathered_xmp([packet(panorama(800, 400, 800))], None, 800, 400, turned=False)
    cut = carried_xmp(Metadata(xmp=xmp, window=(20, 10, 700, 380)), 700, 380)
    assert cut is not None
    found = panorama_of(cut)
    assert found is not None
    assert (found.left, found.top, found.width, found.height) == (20, 10, 700, 380)
    assert (found.full_width, found.full_height) == (800, 400)
    assert not found.wraps
    beyond = carried_xmp(Metadata(xmp=xmp, window=(-5, 0, 810, 400)), 810, 400)
    assert not any(name.startswith("GPano") for name in properties(beyond))


def test_crop_of_the_line_moves_the_panorama(tmp_path: Path) -> None:
    from .. import scenes

    radiance = scenes.make_radiance(96, 144, seed=4)
    paths = []
    for number, (shift, stop) in enumerate(((0, -2.0), (3, 0.0), (6, 2.0))):
        pixels = scenes.expose(radiance[shift : shift + 84, 2 * shift : 2 * shift + 128], stop)
        data = jpeg_with(xmp_segment(packet(panorama(128, 84, 400, 30, 20))), image=pixels)
        paths.append(tmp_path / f"p{number}.jpg")
        paths[-1].write_bytes(data)
    options = FuseOptions(stops=(-2, 0, 2), reference=1, align=AlignSettings(crop=True))
    report = fuse_files(paths, tmp_path / "out.png", options)
    assert report.width < 128
    found = panorama_of(read_frame(tmp_path / "out.png").metadata.xmp)
    assert found is not None
    assert (found.width, found.height) == (report.width, report.height)
    assert found.left > 30
    assert found.top > 20
    assert found.full_width == 400


# Damage -------------------------------------------------------------------------------------------

BOMB = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">]><x>&a;</x>'
DAMAGED = {
    "cut off": PACKET[:300],
    "a bomb": BOMB,
    "no XML": b"\xff\x00\x12 rating 5",
    "nested": b"<x>" * 100_000,
    "nothing": b"",
    "of another code page": PACKET.decode().encode("utf-16")[:-7],
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_xmp_costs_no_photo(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.png"
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + DAMAGED[name])
    path.write_bytes(pillow_bytes(picture(), "PNG", pnginfo=info))
    assert read_frame(path).metadata.xmp is None


def test_utf_16_is_read() -> None:
    body = PACKET.decode().replace("\ufeff", "")
    xmp = gathered_xmp([body.encode("utf-16")], None, 4, 3, turned=False)
    assert properties(xmp)["dc:title"] == "Roof"


@pytest.mark.parametrize("data", [b"8BIM", b"8BIM\4\4\0\0\xff\xff\xff\xff", b"8BIM\4\4\xff"])
def test_damaged_resources_cost_no_photo(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg_with(segment(APP13, b"Photoshop 3.0\0" + data)))
    assert read_frame(tmp_path / "a.jpg").metadata.iptc is None


def test_damaged_iptc() -> None:
    assert kept_iptc(b"\x1c\2\5\0\x10short") is None
    assert kept_iptc(b"\x1c\2\5\x80\x04\xff\xff\xff\xff") is None
    assert kept_iptc(None) is None


def test_facts_alone_do_not_look_for_packets(tmp_path: Path) -> None:
    path = save_bracket(tmp_path)[0]
    assert read_facts(path).metadata.xmp is None


def test_the_case(shared: Path, tmp_path: Path) -> None:
    folder = shared / "cases" / "equirectangular_with_xmp"
    if not folder.is_dir():
        pytest.skip("needs ../shared/data/cases")
    still = FuseOptions(align=AlignSettings(model="none"), deghost=DeghostSettings(mode="off"))
    for suffix in (".jpg", ".png"):
        out = tmp_path / f"out{suffix}"
        fuse_files(sorted(folder.iterdir()), out, still)
        metadata = read_frame(out).metadata
        found = properties(metadata.xmp)
        assert found["dc:title"] == "Rooftop"
        assert found["dc:subject"] == "berlin"
        assert found["dc:creator"] == "Ann"
        assert found["xmp:Rating"] == "4"
        assert found["GPano:FullPanoWidthPixels"] == "800"
    assert metadata.iptc is None  # a PNG has no place for it

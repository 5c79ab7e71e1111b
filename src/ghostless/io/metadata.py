"""Metadata: what a file says about its picture, and what of it a result may still say.

Tag numbers and their meaning: Exif 2.32 (CIPA DC-008).
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from ..bracket import Metadata
from .exif import (
    UNDEFINED,
    ExifBlock,
    Tags,
    Value,
    ascii_text,
    build_exif,
    chosen,
    long,
    of_their_types,
    parse_exif,
    rational,
    short,
)

SOFTWARE: Final = "Ghostless"

_MAKE, _MODEL, _ORIENTATION, _SOFTWARE, _DATE_TIME = 0x010F, 0x0110, 0x0112, 0x0131, 0x0132
_EXPOSURE_TIME, _F_NUMBER, _ISO, _DATE_ORIGINAL, _DATE_DIGITIZED = (
    0x829A, 0x829D, 0x8827, 0x9003, 0x9004,
)  # fmt: skip
_SHUTTER_APEX, _APERTURE_APEX, _BIAS, _FOCAL_LENGTH = 0x9201, 0x9202, 0x9204, 0x920A
_MAKER_NOTE, _SUB_SECONDS, _OFFSET_ORIGINAL = 0x927C, 0x9291, 0x9011
_LENS_MODEL, _COLOUR_SPACE, _PIXELS_X, _PIXELS_Y = 0xA434, 0xA001, 0xA002, 0xA003
_EXIF_VERSION, _USER_COMMENT, _FLASH = 0x9000, 0x9286, 0x9209

# Of the image directory only these outlive a new picture: description, make, model, date, artist,
# copyright, rating, and what Windows writes (title, comment, author, keywords, subject).
_KEPT_IMAGE_TAGS: Final = (
    0x010E, _MAKE, _MODEL, _DATE_TIME, 0x013B, 0x8298, 0x4746, 0x4749,
    0x9C9B, 0x9C9C, 0x9C9D, 0x9C9E, 0x9C9F,
)  # fmt: skip
# Of the photo's directory all but these: they tell of the old pixels (coding, compression, size,
# where the subject is, the sensor's pattern), or hold offsets that break when moved (maker note,
# interoperability).
_DROPPED_PHOTO_TAGS: Final = {
    0x9101, 0x9102, 0x9214, _MAKER_NOTE, 0xA000, _COLOUR_SPACE, _PIXELS_X, _PIXELS_Y, 0xA004,
    0xA005, 0xA20C, 0xA20E, 0xA20F, 0xA210, 0xA214, 0xA302, 0xA500,
}  # fmt: skip
# TIFF/EP (ISO 12234-2, hence DNG) lets the exposure stand in the image's directory.
_TIFF_EP_PHOTO_TAGS: Final = (
    _EXPOSURE_TIME, _F_NUMBER, 0x8822, _ISO, _DATE_ORIGINAL, _SHUTTER_APEX, _APERTURE_APEX, _BIAS,
    0x9207, 0x9209, _FOCAL_LENGTH,
)  # fmt: skip
# A JPEG segment holds 65533 bytes, six of them the block's name.
_MAX_EXIF_BYTES: Final = 65_000


# Reading ------------------------------------------------------------------------------------------


def metadata_from_exif(
    block: ExifBlock, exif: bytes | None = None, icc_profile: bytes | None = None
) -> Metadata:
    """Read the facts of a parsed Exif block; those that are missing or absurd stay None."""
    photo = block.photo
    return Metadata(
        exif=exif,
        icc_profile=icc_profile,
        shutter_seconds=_shutter(photo),
        aperture_f_number=_aperture(photo),
        iso=_iso(photo),
        exposure_bias_stops=_first(photo, _BIAS, -20, 20),
        taken_at=_taken_at(block),
        camera=_camera(block.image),
        lens=_clean(photo.get(_LENS_MODEL)),
        focal_length_mm=_positive(photo, _FOCAL_LENGTH, 1e5),
        flash_fired=_flash_fired(photo),
    )


def metadata_from_bytes(exif: bytes | None, icc_profile: bytes | None = None) -> Metadata:
    """Read the facts of an Exif block in bytes; the maker's note is asked for ISO and lens.

    Cameras before Exif 2.3 wrote the lens only there, some before 2.2 the ISO too.
    """
    block = parse_exif(exif) if exif else ExifBlock()
    missing = _iso(block.photo) is None or _clean(block.photo.get(_LENS_MODEL)) is None
    if exif is not None and _MAKER_NOTE in block.photo and missing:
        facts = facts_by_exifread(io.BytesIO(exif))
        if _iso(block.photo) is None and facts.get("iso", 0) > 0:
            block.photo[_ISO] = short(min(round(facts["iso"]), 65535))
        if "lens" in facts:
            block.photo.setdefault(_LENS_MODEL, ascii_text(facts["lens"]))
    return metadata_from_exif(block, exif, icc_profile)


def _numbers(tags: Tags, tag: int) -> list[float]:
    value = tags.get(tag)
    return [n for n in value.numbers() if math.isfinite(n)] if value is not None else []


def _first(tags: Tags, tag: int, low: float, high: float) -> float | None:
    return next((n for n in _numbers(tags, tag) if low <= n <= high), None)


def _positive(tags: Tags, tag: int, high: float) -> float | None:
    return next((n for n in _numbers(tags, tag) if 0 < n <= high), None)


def _shutter(photo: Tags) -> float | None:
    seconds = _positive(photo, _EXPOSURE_TIME, 1e5)
    if seconds is None:
        # APEX: Tv = -log2(seconds); 0/0 and other nonsense gives no number.
        speed = _first(photo, _SHUTTER_APEX, -17, 20)
        seconds = 2.0**-speed if speed is not None else None
    return seconds


def _aperture(photo: Tags) -> float | None:
    f_number = _positive(photo, _F_NUMBER, 1000)
    if f_number is None:
        # APEX: Av = 2 log2(N). A lens without contacts writes 0.
        aperture = _positive(photo, _APERTURE_APEX, 20)
        f_number = 2.0 ** (aperture / 2) if aperture is not None else None
    return f_number


def _iso(photo: Tags) -> float | None:
    iso = _positive(photo, _ISO, 65534)
    # 65535 means that the true one did not fit: it stands in one of the 32-bit tags.
    for tag in (0x8833, 0x8832, 0x8831):
        if iso is None:
            iso = _positive(photo, tag, 1e8)
    return iso


def _flash_fired(photo: Tags) -> bool | None:
    """Bit 0 of the tag; the others tell of modes, and whether the flash's light came back."""
    flash = _first(photo, _FLASH, 0, 65535)
    return None if flash is None else bool(int(flash) & 1)


def _clean(value: Value | None) -> str | None:
    text = value.text() if value is not None else ""
    return text if text.strip("-? 0./") else None


def _camera(image: Tags) -> str | None:
    make, model = _clean(image.get(_MAKE)), _clean(image.get(_MODEL))
    if make is None or model is None:
        return model or make
    first_word = make.split()[0]
    return model if model.lower().startswith(first_word.lower()) else f"{make} {model}"


def _taken_at(block: ExifBlock) -> str | None:
    """ISO 8601, with what the camera knew of the fraction of a second and of the time zone."""
    for tags, tag, sub in (
        (block.photo, _DATE_ORIGINAL, _SUB_SECONDS),
        (block.photo, _DATE_DIGITIZED, 0x9292),
        (block.image, _DATE_TIME, 0x9290),
    ):
        value = tags.get(tag)
        try:
            when = datetime.strptime(value.text() if value else "", "%Y:%m:%d %H:%M:%S")
        except ValueError:
            continue
        fraction = block.photo[sub].text() if sub in block.photo else ""
        offset = block.photo[_OFFSET_ORIGINAL].text() if _OFFSET_ORIGINAL in block.photo else ""
        text = when.isoformat() + (f".{fraction}" if fraction.isdecimal() else "")
        return text + (offset if _is_offset(offset) else "")
    return None


def _is_offset(text: str) -> bool:
    return (
        len(text) == 6 and text[0] in "+-" and text[3] == ":" and (text[1:3] + text[4:]).isdigit()
    )


_EXIFREAD_NAMES: Final = {
    "shutter": ("EXIF ExposureTime",),
    "f_number": ("EXIF FNumber",),
    "iso": ("EXIF ISOSpeedRatings", "MakerNote ISOSpeedRatings", "MakerNote ISOSetting",
            "MakerNote ISO"),
    "bias": ("EXIF ExposureBiasValue",),
    "focal_length": ("EXIF FocalLength",),
}  # fmt: skip
_EXIFREAD_TEXTS: Final = {
    "make": ("Image Make",),
    "model": ("Image Model",),
    "date": ("EXIF DateTimeOriginal",),
    "lens": ("EXIF LensModel", "MakerNote LensModel", "MakerNote LensType"),
}


def facts_by_exifread(file: Any) -> dict[str, Any]:
    """Ask ExifRead, which knows makers' notes and the RAW containers that are no TIFF."""
    import logging

    import exifread

    logging.getLogger("exifread").setLevel(logging.CRITICAL)
    try:
        tags = exifread.process_file(file, details=True, extract_thumbnail=False)
    except Exception:
        return {}
    facts: dict[str, Any] = {}
    for name, keys in _EXIFREAD_NAMES.items():
        number = next((n for key in keys for n in _exifread_numbers(tags.get(key))), None)
        if number is not None:
            facts[name] = number
    for name, keys in _EXIFREAD_TEXTS.items():
        texts = (str(tags[key]).strip() for key in keys if key in tags)
        # An unknown lens is printed as its number.
        text = next((t for t in texts if any(c.isalpha() for c in t) and t != "Unknown"), None)
        if text is not None:
            facts[name] = text
    return facts


def _exifread_numbers(tag: Any) -> Iterator[float]:
    values = getattr(tag, "values", [])
    for value in values if isinstance(values, list) else str(values).split():
        try:
            number = float(value)
        except (TypeError, ValueError, ZeroDivisionError):
            continue
        if math.isfinite(number):
            yield number


def block_from_facts(facts: dict[str, Any]) -> ExifBlock:
    """Build a small Exif block of facts that were found outside one (some RAW files)."""
    block = ExifBlock()
    for name, tag in (("make", _MAKE), ("model", _MODEL)):
        if facts.get(name):
            block.image[tag] = ascii_text(facts[name])
    for name, tag in (("date", _DATE_ORIGINAL), ("lens", _LENS_MODEL)):
        if facts.get(name):
            block.photo[tag] = ascii_text(facts[name])
    for name, tag in (
        ("shutter", _EXPOSURE_TIME),
        ("f_number", _F_NUMBER),
        ("focal_length", _FOCAL_LENGTH),
    ):
        if facts.get(name, 0) > 0:
            block.photo[tag] = rational(facts[name])
    if facts.get("iso", 0) > 0:
        block.photo[_ISO] = short(min(round(facts["iso"]), 65535))
    return block


def compact_block(block: ExifBlock) -> ExifBlock:
    """What is worth keeping of a TIFF's or RAW's directories: facts, not the pixels' layout."""
    photo = chosen(block.image, _TIFF_EP_PHOTO_TAGS) | block.photo
    return ExifBlock(
        chosen(block.image, (*_KEPT_IMAGE_TAGS, _ORIENTATION, _SOFTWARE)),
        {tag: value for tag, value in photo.items() if _is_worth_keeping(tag, value)},
        block.gps,
    )


def _is_worth_keeping(tag: int, value: Value) -> bool:
    if tag == _USER_COMMENT and not value.data[8:].strip(b"\0 "):
        return False  # cameras reserve room for one
    return tag not in _DROPPED_PHOTO_TAGS


# Writing ------------------------------------------------------------------------------------------


def carried_block(metadata: Metadata, width: int, height: int, *, srgb: bool) -> ExifBlock:
    """The Exif directories of a result, from those of the reference frame.

    Camera, lens, date, artist, copyright, GPS and the exposure stay. The thumbnail, the maker's
    note, what tells of the old pixels, and tags of a wrong type go; orientation, size and colour
    space are written anew. As many of the longest values go as do not fit 65,000 bytes.
    """
    carried = parse_exif(metadata.exif) if metadata.exif else ExifBlock()
    block = of_their_types(compact_block(carried))
    block.image[_ORIENTATION] = short(1)
    block.image[_SOFTWARE] = ascii_text(SOFTWARE)
    if metadata.lens is not None:
        block.photo.setdefault(_LENS_MODEL, ascii_text(metadata.lens))
    block.photo.setdefault(_EXIF_VERSION, Value(UNDEFINED, 4, b"0232"))
    block.photo[_COLOUR_SPACE] = short(1 if srgb else 0xFFFF)
    block.photo[_PIXELS_X], block.photo[_PIXELS_Y] = long(width), long(height)
    for tags in (block.photo, block.image, block.gps):
        while tags and len(build_exif(block)) > _MAX_EXIF_BYTES:
            del tags[max(tags, key=lambda tag: len(tags[tag].data))]
    return block

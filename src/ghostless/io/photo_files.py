"""Which files of a folder are photos, and the order that they come in."""

from __future__ import annotations

import re
import stat
from pathlib import Path

from ..errors import FileReadError

IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".insp", ".png", ".tif", ".tiff", ".webp", ".avif"),
    *(".heic", ".heif", ".hif", ".jxl", ".hdr", ".exr"),
    # The camera RAW formats that LibRaw reads.
    *(".3fr", ".ari", ".arw", ".bay", ".cap", ".cr2", ".cr3", ".crw", ".cs1", ".dcr", ".dcs"),
    *(".dng", ".drf", ".erf", ".fff", ".iiq", ".k25", ".kc2", ".kdc", ".mdc", ".mef", ".mos"),
    *(".mrw", ".nef", ".nrw", ".orf", ".ori", ".pef", ".ptx", ".pxn", ".qtk", ".raf", ".raw"),
    *(".rdc", ".rw2", ".rwl", ".rwz", ".sr2", ".srf", ".srw", ".sti", ".x3f"),
)


def natural_key(name: str) -> tuple[tuple[int, int | str], ...]:
    """Sort key by which IMG_9 comes before IMG_10.

    >>> sorted(["b10.jpg", "b9.jpg"], key=natural_key)
    ['b9.jpg', 'b10.jpg']
    """
    parts = re.split(r"(\d+)", name.casefold())
    return tuple((0, int(part)) if part.isdecimal() else (1, part) for part in parts if part)


def images_in(folder: Path) -> list[Path]:
    """List the image files of a folder by name, frame 9 before frame 10; hidden ones left out.

    What is an image is told by its name alone. Raises FileReadError for a folder that cannot be
    read.
    """
    try:
        inside = list(folder.iterdir())
    except OSError as error:
        raise FileReadError(
            f"{folder}: expected a folder of photos, found one that cannot be read "
            f"({error.strerror}); check its name and permissions"
        ) from None
    images = [
        path
        for path in inside
        if path.suffix.lower() in IMAGE_SUFFIXES
        and not path.name.startswith(".")
        and _may_be_a_photo(path)
    ]
    return sorted(images, key=lambda path: natural_key(path.name))


def _may_be_a_photo(path: Path) -> bool:
    """Whether a path is a file; reading what cannot be looked at will say why."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return True

"""What all readers ask first: that a file can be read, and holds no more than it seems to."""

from __future__ import annotations

import zipfile
from pathlib import Path

from ...errors import WeightsError
from ...io.regular import open_regular

# The largest networks that any paper compared here published take less.
MOST_BYTES = 2**30


def check_whole(path: Path, wanted: str) -> None:
    """Raise WeightsError for a file that is missing, no file, empty, or larger than any weights.

    wanted: what it should be, in words. Of a zip archive the contents count: a small one can hold
    more than memory does.
    """
    try:
        with open_regular(path) as file:
            file.seek(0, 2)
            size = file.tell()
    except OSError as error:
        raise WeightsError(
            f"{path}: expected {wanted}, found it cannot be read ({error.strerror}); "
            "check its name and permissions"
        ) from None
    if not size:
        raise WeightsError(f"{path}: expected {wanted}, found an empty file; fetch it again")
    if zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as archive:
                size = max(size, sum(entry.file_size for entry in archive.infolist()))
        except (zipfile.BadZipFile, ValueError, OSError) as error:
            raise damaged(path, wanted, error) from None
    if size > MOST_BYTES:
        raise WeightsError(
            f"{path}: expected {wanted} of at most {MOST_BYTES >> 20} MB, found {size >> 20} MB; "
            "the file is of another network"
        )


def damaged(path: Path, wanted: str, why: object) -> WeightsError:
    """The error for a file that cannot be what it should be; `why` in a few words."""
    text = " ".join(str(why).split())
    text = text if len(text) <= 120 else f"{text[:120]}..."
    return WeightsError(
        f"{path}: expected {wanted}, found something else or a damaged one ({text}); "
        "give the file as its authors published it"
    )

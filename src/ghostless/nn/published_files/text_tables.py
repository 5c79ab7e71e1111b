"""Tables of numbers in text files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import WeightsError
from ...io.regular import read_regular
from .whole import check_whole, damaged

_WANTED = "a table of numbers"
_MOST_BYTES = 2**24


def read_table(path: Path) -> NDArray[np.float32]:
    """Read the numbers of a text file in their order, (count,) float32.

    They stand with commas, semicolons or white space between. Raises WeightsError for a file that
    is missing, too large, or holds anything else.
    """
    check_whole(path, _WANTED)
    data = read_regular(path, _MOST_BYTES)
    if len(data) > _MOST_BYTES:
        raise WeightsError(
            f"{path}: expected {_WANTED} of at most {_MOST_BYTES >> 20} MB, found a larger file; "
            "give the file as its authors published it"
        )
    try:
        words = data.decode("ascii").replace(",", " ").replace(";", " ").split()
        numbers = np.array([float(word) for word in words], np.float32)
    except (UnicodeDecodeError, ValueError) as error:
        raise damaged(path, _WANTED, error) from None
    if not len(numbers) or not np.isfinite(numbers).all():
        raise damaged(path, _WANTED, "no numbers, or some that are not finite")
    return numbers
